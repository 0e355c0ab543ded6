//! `holdfast replay`: real order flow in, batches and roots out.
//!
//! Three threads in a row: one reads and parses the file; one maps its events to commands and executes them; one hashes the touched slots of a closed batch
//! into the state root and writes it, beside the execution of the next batch.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use holdfast_crypto::{Digest, field::digest_to_hex, tree::Tree};
use holdfast_exchange::{Engine, Event};
use holdfast_protocol::{Batch, BatchHeader, Command, MarketId, Outcome, batch::COMMANDS_MAX};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{
    dir::{BatchRecord, Dir, FORMAT, Meta},
    error::{Error, Result, unexpected},
    flow::{Counts, Feedback, Flow, FlowError, FlowEvent, Mapper, default_genesis},
    order_events,
    ui::{Ui, count, decimal, facts, grouped, interrupted, rate, seconds, short_hex, shown},
};

/// The sample that the `holdfast` command brings along.
pub const SAMPLE: &[u8] = include_bytes!("../../../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
pub const SAMPLE_NAME: &str = "binance-usdm-btcusdt-sample.jsonl.gz";

/// Events handed from the reader to the engine at a time.
const CHUNK_EVENTS: usize = 1_024;
/// Chunks that the reader may be ahead.
const CHUNKS_MAX: usize = 16;
/// Closed batches that may wait for their root.
const CLOSED_MAX: usize = 2;

#[derive(Debug, Clone)]
pub enum Source {
    File(PathBuf),
    Sample,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub source: Source,
    pub out: PathBuf,
    /// Commands at most.
    pub limit: Option<u64>,
    /// Commands of a batch.
    pub batch_commands: usize,
    /// Trading accounts.
    pub accounts: u32,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub commands: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub fills: u64,
    /// Value of all fills in the collateral token.
    pub volume: f64,
    pub volume_lots: u64,
    pub batches: u32,
    /// Of these, found in the directory as they are.
    pub batches_found: u32,
    pub root: String,
    pub genesis_root: String,
    /// Spent in executing commands alone, on one core.
    pub execute_seconds: f64,
    pub commands_per_second: f64,
    /// Spent in hashing the state, on another core.
    pub root_seconds: f64,
    /// All in all, with reading, parsing and writing.
    pub seconds: f64,
    pub published_bytes: u64,
    pub symbol: String,
    pub format: String,
    pub accounts: u32,
    /// Rejected commands by code.
    pub rejects: BTreeMap<String, u64>,
    /// What the input's events came to.
    pub mapping: Counts,
    #[serde(skip)]
    pub best: [Option<(u32, u64)>; 2],
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    if !(1..=COMMANDS_MAX).contains(&options.batch_commands) {
        return Err(unexpected("--batch", format!("1 to {COMMANDS_MAX}"), options.batch_commands));
    }
    let started = Instant::now();
    let (flow, name) = match &options.source {
        Source::Sample => (Flow::from_bytes(SAMPLE), SAMPLE_NAME.to_owned()),
        Source::File(path) => (Flow::open(path), path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
    };
    let flow = flow.map_err(|source| Error::Flow {
        source,
        advice: "see `holdfast replay --help` for the formats that are read".into(),
    })?;
    let instrument = flow.instrument();
    let format = format!("{:?}", flow.format());
    let genesis = default_genesis(&instrument, flow.first_price());
    let market = MarketId::new(0).expect("the first market");
    let mapper = Mapper::new(&genesis, market, options.accounts)?;
    let engine = Engine::new(&genesis)?;
    let tree = engine.tree().clone();
    let dir = Dir::create(&options.out, genesis, |genesis_root, genesis_sha256| Meta {
        format: FORMAT,
        source: format!("{name} ({format})"),
        accounts: options.accounts,
        batch_commands: options.batch_commands as u64,
        genesis_root,
        genesis_sha256,
    })?;

    let bar = ui.bar("replay", "commands", options.limit);
    let executor = Executor::new(engine, mapper, options, bar.clone());
    let (executor, end, written) = thread::scope(|scope| {
        let (events_in, events) = sync_channel(CHUNKS_MAX);
        let (closed_in, closed) = sync_channel(CLOSED_MAX);
        scope.spawn(move || read(flow, &events_in));
        let dir = &dir;
        let writer = scope.spawn(move || write(dir, tree, &closed));
        let (executor, end) = executor.run(events, closed_in);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (executor, end, written)
    });
    bar.finish_and_clear();
    let written = written?;
    let batches = written.batches;
    match end {
        End::Complete => {}
        End::Stopped => return Err(Error::Stopped),
        End::Interrupted => {
            let advice =
                format!("written so far: {}; run the same command again to continue", count(batches.into(), "batch"));
            return Err(Error::Interrupted { advice });
        }
        End::Failed(source) => {
            let commands = executor.total.commands + executor.tally.commands;
            let advice = format!(
                "written so far: {}; `--limit {commands}` replays all that is good of the input",
                count(batches.into(), "full batch")
            );
            return Err(Error::Flow { source, advice });
        }
    }
    if batches == 0 {
        return Err(unexpected(name, "at least one command", "none"));
    }
    let total = &executor.total;
    let execute_seconds = executor.execute.as_secs_f64();
    let quote_decimals = dir.genesis.quote_decimals;
    let best = [holdfast_protocol::Side::Buy, holdfast_protocol::Side::Sell].map(|side| {
        let book = executor.engine.book(market, side);
        book.first().map(|order| (order.price.get(), order.size.get()))
    });
    Ok(Report {
        commands: total.commands,
        accepted: total.commands - total.rejected,
        rejected: total.rejected,
        fills: total.fills,
        volume: executor.volume_quote as f64 / 10_f64.powi(quote_decimals as i32),
        volume_lots: total.volume_lots,
        batches,
        batches_found: written.found,
        root: digest_to_hex(&written.root),
        genesis_root: dir.meta.genesis_root.clone(),
        execute_seconds,
        commands_per_second: rate(total.commands, execute_seconds),
        root_seconds: written.root_time.as_secs_f64(),
        seconds: started.elapsed().as_secs_f64(),
        published_bytes: written.bytes,
        symbol: instrument.symbol,
        format,
        accounts: options.accounts,
        rejects: executor.rejects,
        mapping: executor.mapper.counts(),
        best,
    })
}

impl Report {
    pub fn text(&self) -> String {
        let per_command = self.published_bytes as f64 / self.commands as f64;
        let mut rejects: Vec<_> = self.rejects.iter().collect();
        rejects.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rejects: Vec<_> = rejects.iter().map(|(name, count)| format!("{name} {}", grouped(**count))).collect();
        let rejects = if rejects.is_empty() { String::new() } else { format!(" ({})", rejects.join(", ")) };
        facts(&[
            ("input", format!("{}, {}, {} accounts", self.symbol, self.format, grouped(self.accounts))),
            ("commands", grouped(self.commands)),
            ("rejected", format!("{}{rejects}", grouped(self.rejected))),
            ("fills", format!("{}, worth {}", grouped(self.fills), grouped(self.volume as i128))),
            (
                "executed",
                format!(
                    "{} commands/s on one core ({})",
                    grouped(self.commands_per_second as u64),
                    seconds(self.execute_seconds)
                ),
            ),
            (
                "batches",
                format!(
                    "{}, {:.1} bytes a command published{}",
                    grouped(self.batches),
                    per_command,
                    match self.batches_found {
                        0 => String::new(),
                        found => format!("; {} were there already", grouped(found)),
                    }
                ),
            ),
            ("genesis", short_hex(&self.genesis_root)),
            ("root", format!("{} (hashing {}, beside execution)", short_hex(&self.root), seconds(self.root_seconds))),
            ("total", seconds(self.seconds)),
        ])
    }

    /// Best bid and ask at the end, for display.
    pub fn best_prices(&self, tick_decimals: u32) -> String {
        let show = |side: Option<(u32, u64)>| {
            side.map_or("none".into(), |(price, _)| shown(&decimal(price.into(), tick_decimals)))
        };
        format!("{} / {}", show(self.best[0]), show(self.best[1]))
    }
}

/// The first thread: reads and parses.
fn read(flow: Flow, events: &SyncSender<Vec<std::result::Result<FlowEvent, FlowError>>>) {
    let mut chunk = Vec::with_capacity(CHUNK_EVENTS);
    for event in flow {
        chunk.push(event);
        if chunk.len() == CHUNK_EVENTS
            && events.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_EVENTS))).is_err()
        {
            return;
        }
    }
    // The receiver may have had enough; that is its own affair.
    let _sent = events.send(chunk);
}

/// A batch whose commands are executed, and the leaves they touched.
struct Closed {
    batch: Batch,
    /// Its root is not known yet.
    record: BatchRecord,
    leaves: Vec<(u32, Digest)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    commands: u64,
    rejected: u64,
    fills: u64,
    volume_lots: u64,
}

/// The second thread: maps events to commands, and executes them.
struct Executor {
    engine: Engine,
    mapper: Mapper,
    bar: ProgressBar,
    batch_commands: usize,
    /// Commands still to be taken.
    left: u64,
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
    batch: u32,
    /// Of the batch in hand, and of all.
    tally: Tally,
    total: Tally,
    rejects: BTreeMap<String, u64>,
    volume_quote: u128,
    execute: Duration,
}

enum End {
    /// The input ended, or the limit was reached.
    Complete,
    Interrupted,
    Failed(FlowError),
    /// The writer is gone.
    Stopped,
}

impl Executor {
    fn new(engine: Engine, mapper: Mapper, options: &Options, bar: ProgressBar) -> Self {
        Self {
            engine,
            mapper,
            bar,
            batch_commands: options.batch_commands,
            left: options.limit.unwrap_or(u64::MAX),
            commands: Vec::with_capacity(options.batch_commands),
            outcomes: Vec::with_capacity(options.batch_commands),
            batch: 1,
            tally: Tally::default(),
            total: Tally::default(),
            rejects: BTreeMap::new(),
            volume_quote: 0,
            execute: Duration::ZERO,
        }
    }

    fn run(
        mut self,
        events: Receiver<Vec<std::result::Result<FlowEvent, FlowError>>>,
        closed: SyncSender<Closed>,
    ) -> (Self, End) {
        let mut issued = Vec::new();
        self.mapper.start(&mut issued);
        let mut end = self.execute(&mut issued, &closed);
        'input: while end.is_none() {
            let Ok(chunk) = events.recv() else { break };
            for event in chunk {
                match event {
                    Ok(event) => self.mapper.map(&event, &mut issued),
                    Err(error) => {
                        end = Some(End::Failed(error));
                        break 'input;
                    }
                }
                end = self.execute(&mut issued, &closed);
                if end.is_some() {
                    break 'input;
                }
            }
        }
        let mut end = end.unwrap_or(End::Complete);
        if matches!(end, End::Complete) && !self.commands.is_empty() && !self.close(&closed) {
            end = End::Stopped;
        }
        (self, end)
    }

    /// Executes what was issued. `Some` if that is the end.
    fn execute(&mut self, issued: &mut Vec<Command>, closed: &SyncSender<Closed>) -> Option<End> {
        for command in issued.drain(..) {
            if self.left == 0 {
                return Some(End::Complete);
            }
            self.left -= 1;
            let started = Instant::now();
            let outcome = self.engine.apply(&command);
            self.execute += started.elapsed();
            self.count(outcome);
            self.mapper.observe(&command, outcome, &order_events(self.engine.events()));
            self.commands.push(command);
            self.outcomes.push(outcome);
            if self.commands.len() == self.batch_commands {
                if !self.close(closed) {
                    return Some(End::Stopped);
                }
                if interrupted() {
                    return Some(End::Interrupted);
                }
            }
        }
        None
    }

    fn count(&mut self, outcome: Outcome) {
        self.tally.commands += 1;
        if let Outcome::Rejected(reject) = outcome {
            self.tally.rejected += 1;
            *self.rejects.entry(format!("{reject:?}")).or_default() += 1;
        }
        for event in self.engine.events() {
            if let Event::Filled { price, size, .. } = event {
                self.tally.fills += 1;
                self.tally.volume_lots += size;
                self.volume_quote += u128::from(*price) * u128::from(*size);
            }
        }
    }

    /// Closes the batch in hand and hands it to the writer. `false` if the writer is gone.
    fn close(&mut self, closed: &SyncSender<Closed>) -> bool {
        let Tally { commands, rejected, fills, volume_lots } = std::mem::take(&mut self.tally);
        self.total.commands += commands;
        self.total.rejected += rejected;
        self.total.fills += fills;
        self.total.volume_lots += volume_lots;
        let number = self.batch;
        self.batch += 1;
        let accepted = commands - rejected;
        let record =
            BatchRecord { batch: number, commands, accepted, rejected, fills, volume_lots, root: String::new() };
        let batch = Batch {
            header: BatchHeader { number },
            commands: std::mem::replace(&mut self.commands, Vec::with_capacity(self.batch_commands)),
            outcomes: std::mem::replace(&mut self.outcomes, Vec::with_capacity(self.batch_commands)),
        };
        self.engine.count_batch();
        let leaves = self.engine.touched_leaves();
        self.bar.set_position(self.total.commands);
        self.bar.set_message(format!("{} fills, {} batches", grouped(self.total.fills), grouped(number)));
        closed.send(Closed { batch, record, leaves }).is_ok()
    }
}

/// What the third thread did.
struct Written {
    batches: u32,
    found: u32,
    root: Digest,
    root_time: Duration,
    bytes: u64,
}

/// The third thread: roots and files.
fn write(dir: &Dir, mut tree: Tree, closed: &Receiver<Closed>) -> Result<Written> {
    let mut written = Written { batches: 0, found: 0, root: tree.root(), root_time: Duration::ZERO, bytes: 0 };
    for Closed { batch, record, leaves } in closed {
        let started = Instant::now();
        written.root = tree.update(&leaves);
        written.root_time += started.elapsed();
        let record = BatchRecord { root: digest_to_hex(&written.root), ..record };
        let put = dir.put_batch(&batch, &record)?;
        written.batches += 1;
        written.found += u32::from(!put.written);
        written.bytes += put.bytes;
    }
    Ok(written)
}
