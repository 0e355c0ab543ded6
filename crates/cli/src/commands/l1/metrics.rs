//! What a watcher knows, as metrics of Prometheus' text format, by HTTP.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use holdfast_watcher::{Alarm, Report};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::error::{Error, Result, unexpected};

/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 16;
/// How long a client may take to send its request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

type Number = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

pub struct Metrics {
    registry: Mutex<Registry>,
    block: Gauge,
    block_time: Gauge,
    looked: Gauge,
    batch_final: Gauge,
    batch_committed: Gauge,
    commands: Gauge,
    inbox_waiting: Gauge,
    inbox_oldest_seconds: Gauge,
    final_age_seconds: Gauge,
    vault: Number,
    liabilities: Family<Kind, Number>,
    frozen: Gauge,
    council_ready: Gauge,
    alarms: Family<Kind, Gauge>,
    pub endpoint_errors: Counter,
    pub webhook_failures: Counter,
    pub webhook_lost: Counter,
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("holdfast")),
            block: Gauge::default(),
            block_time: Gauge::default(),
            looked: Gauge::default(),
            batch_final: Gauge::default(),
            batch_committed: Gauge::default(),
            commands: Gauge::default(),
            inbox_waiting: Gauge::default(),
            inbox_oldest_seconds: Gauge::default(),
            final_age_seconds: Gauge::default(),
            vault: Number::default(),
            liabilities: Family::default(),
            frozen: Gauge::default(),
            council_ready: Gauge::default(),
            alarms: Family::default(),
            endpoint_errors: Counter::default(),
            webhook_failures: Counter::default(),
            webhook_lost: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let Ok(mut registry) = self.registry.lock() else { return };
        registry.register("block", "Last block that was looked at", self.block.clone());
        registry.register("block_timestamp_seconds", "Time of that block", self.block_time.clone());
        registry.register("looked_timestamp_seconds", "When it was last looked", self.looked.clone());
        registry.register("batch_final", "Last final batch", self.batch_final.clone());
        registry.register("batch_committed", "Last committed batch", self.batch_committed.clone());
        registry.register("commands", "Instructions of final batches", self.commands.clone());
        registry.register(
            "inbox_waiting",
            "Entries of the inbox that no final batch has consumed",
            self.inbox_waiting.clone(),
        );
        registry.register(
            "inbox_oldest_seconds",
            "Age of the oldest of them, 0 if there is none",
            self.inbox_oldest_seconds.clone(),
        );
        registry.register("final_age_seconds", "Time since a batch became final", self.final_age_seconds.clone());
        registry.register("vault_units", "What the vault holds, in quote units", self.vault.clone());
        registry.register("liabilities_units", "What the venue owes, in quote units", self.liabilities.clone());
        registry.register("frozen", "1 if the venue is frozen", self.frozen.clone());
        registry.register(
            "council_ready_timestamp_seconds",
            "From when on what the council has approved can be carried out, the first of it; 0 if there is nothing",
            self.council_ready.clone(),
        );
        registry.register("alarms", "Alarms of now, by kind", self.alarms.clone());
        registry.register("endpoint_errors", "Looks that failed", self.endpoint_errors.clone());
        registry.register("webhook_failures", "POSTs that failed", self.webhook_failures.clone());
        registry.register("webhook_lost", "Alarms that the webhook never got", self.webhook_lost.clone());
    }

    /// Takes over what a look found.
    pub fn update(&self, report: &Report) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        // Amounts have up to 90 bits: a floating-point number is near enough for a graph.
        let amount = |text: &str| text.parse().unwrap_or(f64::NAN);
        self.block.set(number(report.block));
        self.block_time.set(number(report.time));
        #[allow(clippy::disallowed_methods, reason = "when it was looked is this machine's time")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.looked.set(number(now));
        self.batch_final.set(number(report.batch_final));
        self.batch_committed.set(number(report.batch_committed));
        self.commands.set(number(report.commands));
        self.inbox_waiting.set(number(report.inbox_waiting as u64));
        self.inbox_oldest_seconds.set(number(report.oldest_since.map_or(0, |since| report.time.saturating_sub(since))));
        self.final_age_seconds.set(number(report.time.saturating_sub(report.final_since)));
        self.vault.set(amount(&report.held));
        for (kind, text) in [
            ("deposits", &report.deposits),
            ("payouts", &report.payouts),
            ("waiting", &report.waiting),
            ("claimable", &report.claimable),
        ] {
            self.liabilities.get_or_create(&Kind { kind }).set(amount(text));
        }
        self.frozen.set(i64::from(report.frozen));
        let ready = report.alarms.iter().filter_map(|alarm| match alarm {
            Alarm::Proposal { ready_at, .. } => Some(*ready_at),
            _ => None,
        });
        self.council_ready.set(number(ready.min().unwrap_or(0)));
        self.alarms(&report.alarms);
    }

    /// Counts the alarms of now.
    pub fn alarms(&self, alarms: &[Alarm]) {
        for kind in Alarm::KINDS {
            let count = alarms.iter().filter(|alarm| alarm.kind() == kind).count();
            self.alarms.get_or_create(&Kind { kind }).set(count as i64);
        }
    }

    fn text(&self) -> Option<String> {
        let mut text = String::new();
        encode(&mut text, &*self.registry.lock().ok()?).ok()?;
        Some(text)
    }

    /// Serves them from now on, and says where; within the runtime.
    ///
    /// # Errors
    ///
    /// If the address is not free.
    pub async fn serve(self: &Arc<Self>, address: SocketAddr) -> Result<SocketAddr> {
        let failed = |error: std::io::Error| -> Error {
            let error = unexpected("--metrics", format!("{address} to be free to listen on"), error);
            error.advise("choose another port")
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tokio::spawn(accept(listener, Arc::clone(self)));
        Ok(address)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        let service = service_fn(move |request| {
            let answer = answer(&metrics, &request);
            async { Ok::<_, Infallible>(answer) }
        });
        let mut builder = http1::Builder::new();
        // One request each: a scrape comes seconds after the last.
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).keep_alive(false);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            let _done = connection.await;
            drop(place);
        });
    }
}

fn answer(metrics: &Metrics, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    };
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at GET /metrics\n".into());
    }
    match metrics.text() {
        None => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n".into()),
        Some(text) => {
            let mut response = plain(StatusCode::OK, text);
            let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, form);
            response
        }
    }
}
