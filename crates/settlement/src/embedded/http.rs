//! The embedded chain for other processes: its JSON-RPC by HTTP.
//!
//! Requests are POSTed, one or a list of them. Whoever reaches the port may steer the chain, as with every development node: listen on this machine alone.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{Chain, Fault};
use crate::{Error, Result};

/// Largest body of a request. The largest transaction, six blobs with their proofs in hexadecimal digits, takes a fifth of it.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Most requests of one list.
pub const REQUESTS_MAX: usize = 1_000;
/// Most connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send a request's head, and its body.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// How long answers under way may take when the server ends.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// After a connection that could not be accepted (too many open files, say).
const PAUSE: Duration = Duration::from_millis(50);

/// Codes of JSON-RPC.
const NO_JSON: i64 = -32_700;
const NO_REQUEST: i64 = -32_600;

/// A chain that is served; it ends with this handle.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a chain from a thread of its own. Port 0 is any that is free.
    pub fn start(chain: Chain, address: SocketAddr) -> Result<Self> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        let thread = thread::Builder::new().name("embedded chain".into());
        let thread = thread.spawn(move || runtime.block_on(serve(chain, listener, stopped))).map_err(failed)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As endpoints are written.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more connections, and waits a moment for the answers under way.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // If the thread is gone, nobody hears it.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(chain: Chain, listener: tokio::net::TcpListener, mut stopped: oneshot::Receiver<()>) {
    let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            _ = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let chain = chain.clone();
        let service = service_fn(move |request| answer(chain.clone(), request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            let _done = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _done = timeout(END_PATIENCE, graceful.shutdown()).await;
}

async fn answer(chain: Chain, request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "JSON-RPC requests are POSTed here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let too_long = || plain(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {BODY_BYTES_MAX} bytes\n"));
    // What says so beforehand is not waited for.
    if request.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Ok(too_long());
    }
    let body = timeout(BODY_PATIENCE, Limited::new(request.into_body(), BODY_BYTES_MAX).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Ok(too_long()),
        Ok(Err(error)) => return Ok(plain(StatusCode::BAD_REQUEST, format!("the request breaks off: {error}\n"))),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT, "the request took too long\n")),
    };
    Ok(match respond(&chain, &body) {
        Some(answer) => {
            let mut response = plain(StatusCode::OK, answer.to_string());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        None => plain(StatusCode::NO_CONTENT, ""),
    })
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// The answer to a body; none if all that it asks wants no answer.
fn respond(chain: &Chain, body: &[u8]) -> Option<Value> {
    let wrong = |code, message: String| Some(failure(&Value::Null, Fault { code, message, data: None }));
    match serde_json::from_slice(body) {
        Err(error) => wrong(NO_JSON, format!("expected a request in JSON, got {error}")),
        Ok(Value::Array(requests)) if requests.is_empty() => wrong(NO_REQUEST, "the list has no requests".into()),
        Ok(Value::Array(requests)) if requests.len() > REQUESTS_MAX => {
            wrong(NO_REQUEST, format!("a list has at most {REQUESTS_MAX} requests, got {}", requests.len()))
        }
        Ok(Value::Array(requests)) => {
            let answers: Vec<Value> = requests.iter().filter_map(|request| respond_one(chain, request)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(request) => respond_one(chain, &request),
    }
}

fn respond_one(chain: &Chain, request: &Value) -> Option<Value> {
    let id = request.get("id");
    let wanted = |id: &Value| id.is_null() || id.is_number() || id.is_string();
    let method = request.get("method").and_then(Value::as_str).filter(|_| id.is_none_or(wanted));
    let Some(method) = method else {
        let message = "expected an object with `method`, `params` and `id`".into();
        return Some(failure(&Value::Null, Fault { code: NO_REQUEST, message, data: None }));
    };
    let answer = chain.call(method, request.get("params").unwrap_or(&Value::Null));
    // Without an id, nobody waits for an answer.
    let id = id?;
    Some(match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(fault) => failure(id, fault),
    })
}

fn failure(id: &Value, Fault { code, message, data }: Fault) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if let Some(data) = data {
        error["data"] = data;
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}
