//! `holdfast watch`, and `holdfast verify --l1`: a venue from Ethereum alone.
//!
//! Each look goes on from the one before. What it finds wrong is told once: in a line, to the webhook, as a metric; and again when it is over. An endpoint that does not answer is no alarm at first: it is
//! asked again, and becomes one after ten minutes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_settlement::Error as EthereumError;
use holdfast_watcher::{Alarm, Checked, Report};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Shown, checked_text, metrics::Metrics, webhook::Webhook};
use crate::{
    dir::pretty,
    error::{Error, Result, unexpected},
    l1::{Access, Ethereum, Sources, moment, write},
    ui::{self, Ui, bad, count, facts, good, grouped},
};

/// After so many minutes without an answer there is an alarm.
const BLIND_MINUTES: u64 = 10;
/// How often it is looked whether Ctrl-C was pressed.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);
const TOLD: &str = "alarms.json";
/// Alarms of which it is remembered that they were told.
const TOLD_MAX: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Options {
    pub sources: Sources,
    pub once: bool,
    pub webhook: Option<String>,
    pub metrics: Option<SocketAddr>,
    pub interval_seconds: u64,
    pub json: bool,
}

/// What one look found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Nothing is wrong.
    pub ok: bool,
    /// Somebody broke a rule (else somebody is late, or the venue is in trouble by its own rules).
    pub breached: bool,
    pub proofs_verified: bool,
    pub checked: Checked,
    #[serde(flatten)]
    pub report: Report,
    pub seconds: f64,
    #[serde(skip)]
    decimals: u32,
    #[serde(skip)]
    line: String,
}

impl Shown for Verified {
    fn text(&self) -> String {
        let Report {
            block,
            time,
            batch_final,
            batch_committed,
            commands,
            root,
            held,
            deposits,
            payouts,
            waiting,
            claimable,
            ..
        } = &self.report;
        let amount = |text: &str| shown(text, self.decimals);
        let proofs = match (self.proofs_verified, *batch_final) {
            (false, _) => "proofs NOT verified (--unproven)",
            (true, 0) => "no proof to verify yet",
            (true, _) if self.checked.replaced.is_some() => "every proof verified up to the other verifier's",
            (true, _) => "every proof verified",
        };
        let mut rows = vec![
            ("venue", self.line.clone()),
            ("block", format!("{} of {}", grouped(*block), moment(*time))),
            (
                "final",
                format!(
                    "batch {batch_final} of {batch_committed} committed, {}; {proofs}",
                    count(*commands, "command")
                ),
            ),
            ("root", root.clone()),
            ("vault", amount(held)),
            (
                "owed",
                format!(
                    "{} to accounts, {} in final withdrawals, {} in deposits that wait, {} to claim",
                    amount(deposits),
                    amount(payouts),
                    amount(waiting),
                    amount(claimable)
                ),
            ),
            ("inbox", inbox_text(&self.report)),
            ("time", ui::seconds(self.seconds)),
        ];
        for alarm in &self.report.alarms {
            rows.push(("alarm", format!("{} {}", bad(alarm.kind()), spoken(alarm))));
        }
        let verdict = if self.ok {
            format!("{}: the state follows from what was published, and the vault holds what is owed", good("in order"))
        } else {
            format!("{}: {}", bad("not in order"), count(self.report.alarms.len() as u64, "alarm"))
        };
        rows.push(("verdict", verdict));
        facts(&rows)
    }

    fn is_well(&self) -> bool {
        self.ok
    }
}

fn shown(units: &str, decimals: u32) -> String {
    let units = units.parse().unwrap_or_default();
    ui::shown(&crate::l1::units_text(units, decimals))
}

/// An alarm in words; a time in seconds also as people read it.
fn spoken(alarm: &Alarm) -> String {
    match alarm {
        Alarm::Proposal { ready_at, .. } => format!("{alarm} (that is {})", moment(*ready_at)),
        _ => alarm.to_string(),
    }
}

fn inbox_text(report: &Report) -> String {
    match (report.oldest_entry, report.oldest_since) {
        (Some(entry), Some(since)) => {
            let entries = report.inbox_waiting;
            format!("{entries} waiting, the oldest is entry {entry}, since {}", moment(since))
        }
        _ => "nothing waits".into(),
    }
}

/// One look at everything.
///
/// # Errors
///
/// If it cannot look.
pub async fn verify(access: &Access, sources: &Sources, ui: Ui) -> Result<Verified> {
    let began = Instant::now();
    let ethereum = Ethereum::open(access, ui).await?;
    let mut watcher = ethereum.watcher(sources).await?;
    let report = ethereum.look(&mut watcher).await?;
    Ok(verified(&ethereum, access, report, began))
}

fn verified(ethereum: &Ethereum, access: &Access, report: Report, began: Instant) -> Verified {
    Verified {
        ok: report.alarms.is_empty(),
        breached: report.is_breached(),
        proofs_verified: !access.unproven,
        checked: ethereum.checked.clone(),
        report,
        seconds: began.elapsed().as_secs_f64(),
        decimals: ethereum.venue.genesis.quote_decimals,
        line: checked_text(ethereum),
    }
}

/// Watches until it is interrupted, or once. True if all is well at the end.
///
/// # Errors
///
/// If it cannot begin; with `once`, if it cannot look.
pub async fn run(access: &Access, options: &Options, ui: Ui) -> Result<bool> {
    let began = Instant::now();
    let metrics = Arc::new(Metrics::new());
    if let Some(address) = options.metrics {
        let address = metrics.serve(address).await?;
        eprintln!("metrics: http://{address}/metrics");
    }
    let webhook = options.webhook.as_deref().map(|url| Webhook::start(url, Arc::clone(&metrics))).transpose()?;
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let mut teller = Teller::new(&ethereum, options, webhook)?;
    let mut watcher = ethereum.watcher(&options.sources).await?;
    let (mut last, mut seen, mut blind) = (None, Instant::now(), Vec::new());
    loop {
        match ethereum.look(&mut watcher).await {
            Ok(report) => {
                seen = Instant::now();
                blind.clear();
                metrics.update(&report);
                teller.look(&report)?;
                if options.once {
                    let verified = verified(&ethereum, access, report, began);
                    let text = if options.json {
                        serde_json::to_string_pretty(&verified).expect("reports are JSON")
                    } else {
                        verified.text()
                    };
                    ui::line(&text);
                    teller.end().await;
                    return Ok(verified.ok);
                }
                last = Some(report);
            }
            Err(Error::Interrupted { .. }) => break,
            Err(error) if options.once => {
                teller.end().await;
                return Err(error);
            }
            Err(error) => {
                metrics.endpoint_errors.inc();
                eprintln!("not seen: {error}; asked again in {} s", options.interval_seconds);
                blind = unseen(&error, seen.elapsed());
                let mut alarms = last.as_ref().map_or_else(Vec::new, |report: &Report| report.alarms.clone());
                alarms.extend(blind.clone());
                metrics.alarms(&alarms);
                teller.alarms(&alarms, None)?;
            }
        }
        let until = Instant::now() + Duration::from_secs(options.interval_seconds);
        while Instant::now() < until && !ui::interrupted() {
            tokio::time::sleep(INTERRUPT_POLL).await;
        }
        if ui::interrupted() {
            break;
        }
    }
    teller.end().await;
    Ok(blind.is_empty() && last.is_none_or(|report| report.alarms.is_empty()))
}

/// What a failed look is worth.
fn unseen(error: &Error, since: Duration) -> Vec<Alarm> {
    let minutes = since.as_secs() / 60;
    match error {
        Error::L1(contradiction @ EthereumError::Contradiction { .. }) => {
            vec![Alarm::Endpoints { reason: contradiction.to_string() }]
        }
        _ if minutes >= BLIND_MINUTES => vec![Alarm::Blind { minutes, reason: error.to_string() }],
        _ => Vec::new(),
    }
}

/// Alarms that were told and are not over, by their names: with when they began (seconds since 1970, of the block).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    rollup: String,
    alarms: BTreeMap<String, u64>,
}

/// Says what changes: in lines, and to the webhook.
struct Teller<'a> {
    ethereum: &'a Ethereum,
    json: bool,
    once: bool,
    webhook: Option<Webhook>,
    file: Option<PathBuf>,
    told: Told,
    line: Option<Value>,
    time: u64,
}

impl<'a> Teller<'a> {
    fn new(ethereum: &'a Ethereum, options: &Options, webhook: Option<Webhook>) -> Result<Self> {
        let rollup = ethereum.at.rollup.to_string();
        let (mut file, mut told) = (None, Told { rollup: rollup.clone(), alarms: BTreeMap::new() });
        if let Some(folder) = &options.sources.state {
            std::fs::create_dir_all(folder).map_err(|error| Error::file("create", folder, error))?;
            let path = folder.join(TOLD);
            if let Some(bytes) = holdfast_settlement::journal::read(&path)? {
                let again = "remove it: alarms that go on are told once more then";
                told = serde_json::from_slice(&bytes)
                    .map_err(|error| unexpected(path.display(), "the alarms that were told", error).advise(again))?;
                if told.rollup != rollup {
                    let error = unexpected(path.display(), format!("alarms of the rollup {rollup}"), &told.rollup);
                    return Err(error.advise("give each venue a --state directory of its own"));
                }
            }
            file = Some(path);
        }
        Ok(Self {
            ethereum,
            json: options.json,
            once: options.once,
            webhook,
            file,
            told,
            line: None,
            time: ethereum.checked.time,
        })
    }

    /// After a look: a line if anything but the block has changed, and what is new of the alarms.
    fn look(&mut self, report: &Report) -> Result<()> {
        self.time = report.time;
        let mut value = serde_json::to_value(report).expect("reports are JSON");
        let full = value.clone();
        for changing in ["block", "time", "alarms"] {
            value.as_object_mut().and_then(|fields| fields.remove(changing));
        }
        if !self.once && self.line.as_ref() != Some(&value) {
            if self.json {
                ui::line(&json!({ "seen": full }).to_string());
            } else {
                let amount = |text: &str| shown(text, self.ethereum.venue.genesis.quote_decimals);
                let Report { block, batch_final, batch_committed, held, .. } = report;
                ui::line(&format!(
                    "{} block {block}: batch {batch_final} of {batch_committed} is final; the vault holds {}; inbox: {}",
                    moment(report.time),
                    amount(held),
                    inbox_text(report)
                ));
            }
            self.line = Some(value);
        }
        self.alarms(&report.alarms, Some(report))
    }

    /// Tells alarms that are new, and those that are over.
    fn alarms(&mut self, alarms: &[Alarm], report: Option<&Report>) -> Result<()> {
        let mut now = BTreeMap::new();
        for alarm in alarms {
            let name = alarm.name();
            let since = self.told.alarms.get(&name).copied();
            if since.is_none() && !now.contains_key(&name) {
                self.tell(alarm, report);
            }
            now.insert(name, since.unwrap_or(self.time));
        }
        // While nothing is seen, nothing is over.
        for name in self.told.alarms.keys().filter(|name| report.is_some() && !now.contains_key(*name)) {
            if self.json && !self.once {
                ui::line(&json!({ "over": name, "time": self.time }).to_string());
            } else if !self.json {
                eprintln!("{} over: {name}", moment(self.time));
            }
        }
        if report.is_none() {
            now.extend(self.told.alarms.clone());
        }
        while now.len() > TOLD_MAX {
            now.pop_first();
        }
        if now != self.told.alarms {
            self.told.alarms = now;
            if let Some(file) = &self.file {
                write(file, &pretty(&self.told))?;
            }
        }
        Ok(())
    }

    fn tell(&self, alarm: &Alarm, report: Option<&Report>) {
        let told = json!({
            "chain_id": self.ethereum.at.chain,
            "rollup": self.ethereum.at.rollup,
            "block": report.map(|report| report.block),
            "time": self.time,
            "kind": alarm.kind(),
            "breach": alarm.is_breach(),
            "alarm": alarm,
            "text": spoken(alarm),
        });
        // With --once the report has all of them.
        if self.json && !self.once {
            ui::line(&told.to_string());
        } else if !self.json {
            eprintln!("{} {} {}", moment(self.time), ui::bad_on_stderr("alarm:"), spoken(alarm));
        }
        if let Some(webhook) = &self.webhook {
            webhook.tell(told);
        }
    }

    async fn end(self) {
        if let Some(webhook) = self.webhook {
            webhook.end().await;
        }
    }
}
