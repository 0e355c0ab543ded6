//! Alarms as POSTs of JSON: from a task of its own, with a time limit and retries, so that a slow receiver never keeps the watching.

use std::{sync::Arc, time::Duration};

use alloy::transports::http::reqwest::{Client, Url, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::metrics::Metrics;
use crate::error::{Result, unexpected};

/// Alarms that wait for the receiver; further ones are lost, and counted.
const QUEUE_MAX: usize = 1_024;
/// How long a POST may take, how often it is tried, and how long is waited after the first failure (twice as long after each further one).
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_secs(1);
/// How long the end of the program waits for what is still to be sent.
const END_PATIENCE: Duration = Duration::from_secs(30);

pub struct Webhook {
    queue: Sender<Value>,
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Webhook {
    /// Begins to send; within the runtime.
    ///
    /// # Errors
    ///
    /// If this is no address of a receiver.
    pub fn start(url: &str, metrics: Arc<Metrics>) -> Result<Self> {
        let parsed = url.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let parsed = parsed.ok_or_else(|| unexpected("--webhook", "http://… or https://…", url))?;
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(|error| unexpected("--webhook", "a client", error))?;
        let (queue, waiting) = channel(QUEUE_MAX);
        let task = tokio::spawn(deliver(client, parsed, waiting, Arc::clone(&metrics)));
        Ok(Self { queue, task, metrics })
    }

    /// Puts an alarm into the queue; never waits.
    pub fn tell(&self, alarm: Value) {
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.queue.try_send(alarm) {
            self.metrics.webhook_lost.inc();
            eprintln!("webhook: {QUEUE_MAX} alarms wait already: one is lost");
        }
    }

    /// Waits a moment for what is still to be sent.
    pub async fn end(self) {
        drop(self.queue);
        if timeout(END_PATIENCE, self.task).await.is_err() {
            eprintln!("webhook: not all alarms were sent within {} s", END_PATIENCE.as_secs());
        }
    }
}

async fn deliver(client: Client, url: Url, mut waiting: Receiver<Value>, metrics: Arc<Metrics>) {
    while let Some(alarm) = waiting.recv().await {
        let body = alarm.to_string();
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body.clone());
            let why = match request.send().await {
                Ok(response) if response.status().is_success() => break,
                Ok(response) => format!("status {}", response.status()),
                Err(error) => error.to_string(),
            };
            metrics.webhook_failures.inc();
            if attempt == TRIES {
                metrics.webhook_lost.inc();
                eprintln!("webhook: an alarm is lost after {TRIES} tries: {why}");
                break;
            }
            eprintln!("webhook: try {attempt} of {TRIES} failed: {why}");
            sleep(pause).await;
            pause *= 2;
        }
    }
}
