//! alloy's way to a chain in this process.

use std::task::{Context, Poll};

use alloy::{
    rpc::json_rpc::{ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest},
    transports::{TransportError, TransportFut},
};
use serde_json::{Value, value::to_raw_value};
use tower::Service;

use super::{Chain, Fault};

#[derive(Debug, Clone)]
pub struct Transport(Chain);

impl Transport {
    pub fn new(chain: Chain) -> Self {
        Self(chain)
    }

    fn answer(&self, request: &SerializedRequest) -> Response {
        let parameters = request.params().map_or(Ok(Value::Null), |raw| serde_json::from_str(raw.get()));
        let answer = parameters
            .map_err(|error| Fault::parameters(error.to_string()))
            .and_then(|parameters| self.0.call(request.method(), &parameters))
            .and_then(|value| to_raw_value(&value).map_err(|error| Fault::refused(error.to_string())));
        let payload = match answer {
            Ok(value) => ResponsePayload::Success(value),
            Err(Fault { code, message, data }) => ResponsePayload::Failure(ErrorPayload {
                code,
                message: message.into(),
                data: data.and_then(|data| to_raw_value(&data).ok()),
            }),
        };
        Response { id: request.id().clone(), payload }
    }
}

impl Service<RequestPacket> for Transport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            Ok(match packet {
                RequestPacket::Single(request) => ResponsePacket::Single(this.answer(&request)),
                RequestPacket::Batch(requests) => {
                    ResponsePacket::Batch(requests.iter().map(|request| this.answer(request)).collect())
                }
            })
        })
    }
}
