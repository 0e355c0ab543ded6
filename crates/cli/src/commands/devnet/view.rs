//! What a person, or a program, sees of a devnet.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use alloy::{eips::BlockId, providers::Provider};
use holdfast_operator::{Event, Status};
use holdfast_settlement::{client::DynProvider, poster::Task};
use holdfast_watcher::{Alarm, Report as Watched};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::{Result, unexpected},
    l1::units_text,
    ui::{self, Ui, bytes, count, dim, good, grouped, line, seconds},
};

/// Batches that are shown at a time.
const ROWS_SHOWN: usize = 8;

/// Gas of the transactions of one kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Gas {
    pub transactions: u64,
    pub gas: u64,
    pub most: u64,
}

/// The way of a batch, in seconds since the devnet was started.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    pub batch: u64,
    pub commands: u64,
    pub rejected: u64,
    pub forced: u64,
    pub fills: u64,
    pub bytes: u64,
    /// In blobs, or nothing where it went in calldata.
    pub blobs: u64,
    pub executed: Option<f64>,
    pub committed: Option<f64>,
    pub proven: Option<f64>,
    #[serde(rename = "final")]
    pub finished: Option<f64>,
    pub commit_gas: Option<u64>,
}

impl Row {
    /// From the end of the batch's execution, which its last command waited for, to finality.
    pub fn to_final(&self) -> Option<f64> {
        Some(self.finished? - self.executed?)
    }
}

/// Collects what happens, and shows it.
pub struct Told {
    started: Instant,
    json: bool,
    lines: bool,
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    pub rows: BTreeMap<u64, Row>,
    pub gas: BTreeMap<&'static str, Gas>,
    pub claimed: u128,
    pub paid: u128,
    proving: String,
    trouble: Option<String>,
    decimals: u32,
}

impl Told {
    pub fn new(json: bool, ui: Ui, started: Instant) -> Self {
        let terminal = ui.progress && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let bars =
            terminal.then(|| (MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)), Vec::new()));
        Self {
            started,
            json,
            lines: !json && bars.is_none() && ui.progress,
            bars,
            rows: BTreeMap::new(),
            gas: BTreeMap::new(),
            claimed: 0,
            paid: 0,
            proving: String::new(),
            trouble: None,
            decimals: 0,
        }
    }

    pub fn set_decimals(&mut self, decimals: u32) {
        self.decimals = decimals;
    }

    pub fn seconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3
    }

    /// One event: an object for a program, with the seconds since the start as `at`; a line for a file.
    fn event(&self, mut object: Value, text: &str) {
        if self.json {
            object["at"] = json!(self.seconds());
            line(&object.to_string());
        } else if self.lines {
            line(&format!("{:>8.1} s  {text}", self.seconds()));
        }
    }

    /// Something a person should know, once.
    pub fn note(&self, text: String) {
        match &self.bars {
            // Where nobody reads it, there is nothing to say.
            Some((bars, _)) => _ = bars.println(format!("  {text}")),
            None => self.event(json!({ "event": "note", "text": text }), &text),
        }
    }

    /// How far something is that takes long.
    pub fn progress(&mut self, text: String) {
        match self.bars {
            Some(_) => self.show(&[text]),
            None => self.event(json!({ "event": "setup", "text": text }), &text),
        }
    }

    pub fn gas(&mut self, kind: &'static str, gas: u64) {
        let sum = self.gas.entry(kind).or_default();
        sum.transactions += 1;
        sum.gas += gas;
        sum.most = sum.most.max(gas);
    }

    /// The transactions of these blocks are those of the deployment.
    pub async fn deployed(&mut self, provider: &DynProvider, first: u64, last: u64) -> Result<()> {
        for number in first..=last {
            let block = provider.get_block(BlockId::number(number)).await;
            let block = block.map_err(|error| unexpected("the endpoint", "a block", error))?;
            let Some(block) = block else { continue };
            if !block.transactions.is_empty() {
                self.gas("deployment", block.header.gas_used);
            }
        }
        Ok(())
    }

    pub fn claimed(&mut self, owner: &str, amount: u128, gas: u64) {
        self.claimed += amount;
        self.gas("claim", gas);
        let object = json!({ "event": "claimed", "owner": owner, "amount": amount.to_string(), "gas": gas });
        let text = format!("{owner} has claimed {}", self.units(&amount.to_string()));
        self.event(object, &text);
    }

    pub fn trouble(&mut self, error: &str) {
        if self.trouble.as_deref() != Some(error) {
            self.event(json!({ "event": "trouble", "error": error }), &format!("{error}; trying again"));
            self.trouble = Some(error.to_owned());
        }
    }

    pub fn untroubled(&mut self) {
        self.trouble = None;
    }

    pub fn alarm(&self, alarm: &Alarm) {
        let text = format!("{} {alarm}", ui::bad("ALARM"));
        match &self.bars {
            Some((bars, _)) => _ = bars.println(&text),
            None => self.event(json!({ "event": "alarm", "alarm": alarm, "text": alarm.to_string() }), &text),
        }
    }

    /// Quote units as people read them.
    pub fn units(&self, units: &str) -> String {
        units.parse().map_or_else(|_| units.to_owned(), |units| ui::shown(&units_text(units, self.decimals)))
    }

    pub fn take(&mut self, event: &Event) {
        let now = self.seconds();
        let row = |rows: &mut BTreeMap<u64, Row>, batch: u64, set: &dyn Fn(&mut Row)| {
            set(rows.entry(batch).or_insert_with(|| Row { batch, ..Row::default() }));
        };
        let text = match event {
            Event::Served { index, account, outcome } => format!("inbox {index}: account {account}, {outcome}"),
            &Event::Closed { batch, commands, rejected, forced, fills, bytes: length, .. } => {
                row(&mut self.rows, batch, &|row| {
                    (row.commands, row.rejected, row.forced, row.fills) = (commands, rejected, forced, fills);
                    (row.bytes, row.executed) = (length, Some(now));
                });
                let said = format!("{}, {} fills, {}", count(commands, "command"), grouped(fills), bytes(length));
                format!("batch {batch}: executed ({said})")
            }
            Event::Sent { task, .. } => format!("{}: sent", named(*task)),
            &Event::Mined { task, gas, block } => {
                let kind = match task {
                    Task::Commit(batch) => {
                        row(&mut self.rows, batch, &|row| row.commit_gas = Some(gas));
                        "commit"
                    }
                    Task::Finalise(_) => "finality",
                };
                self.gas(kind, gas);
                format!("{}: in block {block}, {} gas", named(task), grouped(gas))
            }
            Event::TooDear { task } => format!("{}: fees are too high, it waits", named(*task)),
            &Event::Committed { batch, blobs } => {
                row(&mut self.rows, batch, &|row| (row.blobs, row.committed) = (blobs, Some(now)));
                let what = if blobs == 0 { "calldata".into() } else { count(blobs, "blob") };
                format!("batch {batch}: its data are on Ethereum, in {what}")
            }
            Event::Segment { batch, segment, commands, seconds: took, found } => {
                let how = if *found { "was proven before".into() } else { format!("proven in {}", seconds(*took)) };
                self.proving = format!("batch {batch}, segment {segment}: {how}");
                format!("batch {batch}, segment {segment}: {} {how}", count(*commands, "command"))
            }
            Event::Proven { batch, segments, seconds: took } => {
                row(&mut self.rows, *batch, &|row| row.proven = Some(now));
                format!("batch {batch}: proven, {} in {}", count((*segments).into(), "segment"), seconds(*took))
            }
            Event::Aggregating { first, last } => {
                self.proving = format!("one proof of batches {first} to {last}");
                format!("batches {first} to {last}: one proof is begun")
            }
            Event::Aggregated { layer, left, seconds: took } => {
                self.proving = format!("{layer} in {}, {} to go", seconds(*took), count(*left, "proof"));
                format!("{layer}: proven in {}; {} to go", seconds(*took), count(*left, "proof"))
            }
            Event::LastProof { first, last, bytes: length, seconds: took } => {
                self.proving = format!("batches {first} to {last}: last proof in {}", seconds(*took));
                format!("batches {first} to {last}: last proof of {} in {}", bytes(*length), seconds(*took))
            }
            &Event::Final { batch } => {
                for row in self.rows.range_mut(..=batch).map(|(_, row)| row) {
                    row.finished.get_or_insert(now);
                }
                format!("batch {batch}: {}", good("final"))
            }
            Event::Paid { payouts, amount, gas } => {
                self.paid += amount.parse().unwrap_or(0);
                self.gas("payouts", *gas);
                format!("{} of {} are claimable", count(*payouts, "withdrawal"), self.units(amount))
            }
            Event::Removed { first, last } => {
                format!("batches {first} to {last}: taken back, and to be committed again")
            }
            Event::CommittedOtherwise { batch } => {
                format!("batch {batch}: committed otherwise than before, so it is proven anew")
            }
            Event::ProvenByOthers { batch } => format!("batch {batch}: made final by somebody else"),
        };
        // Of the inbox there are too many for a person.
        if self.json || !matches!(event, Event::Served { .. }) {
            self.event(serde_json::to_value(event).expect("an event is JSON"), &text);
        }
    }

    /// The view of a terminal.
    pub fn view(&mut self, status: &Status, watched: Option<&Watched>, now: u64) {
        if self.bars.is_none() {
            return;
        }
        let mut lines = vec![format!(
            "{}  {:>8} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9}",
            dim("batch"),
            dim("commands"),
            dim("  fills"),
            dim("      data"),
            dim(" executed"),
            dim("on chain"),
            dim("  proven"),
            dim("   final")
        )];
        let at = |time: Option<f64>| time.map_or_else(|| "·".to_owned(), |time| format!("{time:.1} s"));
        let hidden = self.rows.len().saturating_sub(ROWS_SHOWN);
        for row in self.rows.values().skip(hidden) {
            lines.push(format!(
                "{:>5}  {:>8} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9}",
                row.batch,
                grouped(row.commands),
                grouped(row.fills),
                bytes(row.bytes),
                at(row.executed),
                at(row.committed),
                at(row.proven),
                at(row.finished)
            ));
        }
        let open = format!("{} in the open batch", count(status.open_commands, "command"));
        lines.push(format!("{}   {open}; inbox: {} of {} carried out", dim("venue"), status.served, status.inbox));
        lines.push(format!("{}  {}", dim("prover"), self.proving));
        let gas: Vec<String> = self
            .gas
            .iter()
            .map(|(kind, gas)| format!("{kind} {} × {}", gas.transactions, grouped(gas.gas / gas.transactions.max(1))))
            .collect();
        lines.push(format!("{}     {}", dim("gas"), gas.join(", ")));
        if let Some(watched) = watched {
            let age = now.saturating_sub(watched.time_final / 1_000);
            let said = format!("batch {} is final, {} old", watched.batch_final, seconds(age as f64));
            lines.push(format!("{}   {said}; block {}", dim("proof"), watched.block));
            lines.push(format!("{}   {}", dim("vault"), self.vault(watched)));
            let alarms = match watched.alarms.len() {
                0 => good("no alarms").to_string(),
                more => ui::bad(&count(more as u64, "alarm")).to_string(),
            };
            lines.push(format!("{} {alarms}", dim("watcher")));
        }
        if let Some(trouble) = &self.trouble {
            lines.push(format!("{} {trouble}", ui::bad("trouble")));
        }
        self.show(&lines);
    }

    pub fn vault(&self, watched: &Watched) -> String {
        let of = |units: &str| self.units(units);
        format!(
            "holds {}; owes {} to accounts, {} in payouts, {} in deposits that wait, {} to claim",
            of(&watched.held),
            of(&watched.deposits),
            of(&watched.payouts),
            of(&watched.waiting),
            of(&watched.claimable)
        )
    }

    fn show(&mut self, lines: &[String]) {
        let Some((all, bars)) = &mut self.bars else { return };
        while bars.len() < lines.len() {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(ProgressStyle::with_template("  {msg}").expect("the template is well formed"));
            bars.push(bar);
        }
        while bars.len() > lines.len() {
            if let Some(bar) = bars.pop() {
                bar.finish_and_clear();
                all.remove(&bar);
            }
        }
        for (bar, text) in bars.iter().zip(lines) {
            bar.set_message(text.clone());
            bar.tick();
        }
    }

    /// Takes the view away, for what is printed after it.
    pub fn end(&mut self) {
        if let Some((all, bars)) = &mut self.bars {
            for bar in bars.drain(..) {
                bar.finish();
            }
            drop(std::mem::take(all));
        }
    }
}

fn named(task: Task) -> String {
    match task {
        Task::Commit(batch) => format!("batch {batch}, commit"),
        Task::Finalise(batch) => format!("batch {batch}, finality"),
    }
}

/// How often the view is drawn.
pub const DRAW: Duration = Duration::from_millis(250);
