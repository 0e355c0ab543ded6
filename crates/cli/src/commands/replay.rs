//! `holdfast replay`: real order flow in, signed commands between, batches and roots out.
//!
//! Four threads in a row: one reads and parses the file; the *market*, those who sent its orders, maps its events to commands and signs them; the *venue* checks every
//! signature, executes, and closes batches into state roots; one writes them.
//!
//! The market's next command depends on what became of the last one (under which id an order rests). So that signatures can be made and checked in bunches, it does
//! not wait for the venue: it executes its commands on an engine of its own, ahead. That the two agree is asserted.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use holdfast_crypto::{Digest, field::digest_to_hex, schnorr::SIGNATURE_BYTES};
use holdfast_exchange::{Engine, Event, Plain, Refusal, Sequencer};
use holdfast_protocol::{
    Batch, Command, Instruction, MarketId, Outcome, Request, Side,
    batch::{BATCH_NUMBER_MAX, INSTRUCTIONS_MAX},
};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{
    dir::{BatchRecord, Dir, FORMAT, Meta},
    error::{Error, Result, unexpected},
    flow::{Counts, Feedback, Flow, FlowError, FlowEvent, Mapper, Wallets, default_genesis},
    order_events,
    ui::{Ui, bytes, count, decimal, facts, grouped, interrupted, rate, seconds, short_hex, shown},
};

/// The sample that the `holdfast` command brings along.
pub const SAMPLE: &[u8] = include_bytes!("../../../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
pub const SAMPLE_NAME: &str = "binance-usdm-btcusdt-sample.jsonl.gz";

/// Events handed from the reader to the market at a time.
const CHUNK_EVENTS: usize = 1_024;
/// Chunks that the reader may be ahead.
const CHUNKS_MAX: usize = 16;
/// Requests that are signed, and whose signatures are checked, together.
const BUNCH_REQUESTS: usize = 1_024;
/// Bunches that the market may be ahead.
const BUNCHES_MAX: usize = 2;
/// Closed batches that may wait to be written.
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
    /// What all session keys derive from.
    pub key_seed: String,
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
    /// Signatures made: one per command.
    pub signed: u64,
    pub sign_seconds: f64,
    /// Signatures checked by the venue, before it executed what they are for.
    pub verified: u64,
    /// Spent in that, with the execution. (Signing goes on at the same time.)
    pub verify_seconds: f64,
    /// Signatures published: the last one of each session of a batch.
    pub seals: u64,
    /// Of all published bytes, those of signatures.
    pub seal_bytes: u64,
    /// Spent in hashing the state.
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
    if !(1..=INSTRUCTIONS_MAX).contains(&options.batch_commands) {
        return Err(unexpected("--batch", format!("1 to {INSTRUCTIONS_MAX}"), options.batch_commands));
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
    let wallets = Wallets::new(&options.key_seed, options.accounts);
    let genesis = default_genesis(&instrument, flow.first_price(), &wallets);
    let market_id = MarketId::new(0).expect("the first market");
    let mapper = Mapper::new(&genesis, market_id, options.accounts)?;
    let engine = Engine::new(&genesis)?;
    let dir = Dir::create(&options.out, genesis, |genesis_root, genesis_sha256| Meta {
        format: FORMAT,
        source: format!("{name} ({format})"),
        accounts: options.accounts,
        batch_commands: options.batch_commands as u64,
        genesis_root,
        genesis_sha256,
    })?;

    let bar = ui.bar("replay", "commands", options.limit);
    let market = Market::new(engine.clone(), mapper, wallets, options.limit);
    let mut venue = Venue::new(engine, options.batch_commands, bar.clone());
    let (market, issued, ran, written) = thread::scope(|scope| {
        let (events_in, events) = sync_channel(CHUNKS_MAX);
        let (bunches_in, bunches) = sync_channel(BUNCHES_MAX);
        let (closed_in, closed) = sync_channel(CLOSED_MAX);
        scope.spawn(move || read(flow, &events_in));
        let market = scope.spawn(move || market.run(&events, &bunches_in));
        let dir = &dir;
        let writer = scope.spawn(move || write(dir, &closed));
        let mut ran = venue.run(bunches, &closed_in);
        let (market, issued) = market.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let (Ok(()), Issued::All) = (&ran, &issued) {
            ran = venue.finish(&closed_in);
        }
        drop(closed_in);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (market, issued, ran, written)
    });
    bar.finish_and_clear();
    let written = written?;
    let batches = written.batches;
    ran.map_err(|error| match error {
        Error::Interrupted { .. } => Error::Interrupted {
            advice: format!(
                "written so far: {}; run the same command again to continue",
                count(batches.into(), "batch")
            ),
        },
        error => error,
    })?;
    match issued {
        Issued::All => {}
        Issued::Stopped => return Err(Error::Stopped),
        Issued::Refused(refusal) => return Err(refusal.into()),
        Issued::Until(source) => {
            let commands = venue.total.commands + venue.tally.commands;
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
    let total = &venue.total;
    let execute_seconds = market.execute.as_secs_f64();
    let quote_decimals = dir.genesis.quote_decimals;
    let best = [Side::Buy, Side::Sell].map(|side| {
        let book = venue.sequencer.engine().book(market_id, side);
        book.first().map(|order| (order.price.get(), order.size.get()))
    });
    Ok(Report {
        commands: total.commands,
        accepted: total.commands - total.rejected,
        rejected: total.rejected,
        fills: total.fills,
        volume: venue.volume_quote as f64 / 10_f64.powi(quote_decimals as i32),
        volume_lots: total.volume_lots,
        batches,
        batches_found: written.found,
        root: digest_to_hex(&venue.root),
        genesis_root: dir.meta.genesis_root.clone(),
        execute_seconds,
        commands_per_second: rate(total.commands, execute_seconds),
        signed: market.signed,
        sign_seconds: market.sign.as_secs_f64(),
        verified: total.commands,
        verify_seconds: venue.submit.as_secs_f64(),
        seals: written.seals,
        seal_bytes: written.seals * SIGNATURE_BYTES as u64,
        root_seconds: venue.close.as_secs_f64(),
        seconds: started.elapsed().as_secs_f64(),
        published_bytes: written.bytes,
        symbol: instrument.symbol,
        format,
        accounts: options.accounts,
        rejects: venue.rejects,
        mapping: market.mapper.counts(),
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
                "signed",
                format!(
                    "{} in {}; checked, and executed again, in {}",
                    count(self.signed, "command"),
                    seconds(self.sign_seconds),
                    seconds(self.verify_seconds)
                ),
            ),
            ("seals", format!("{} published ({})", count(self.seals, "signature"), bytes(self.seal_bytes))),
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
            ("root", format!("{} (hashing {})", short_hex(&self.root), seconds(self.root_seconds))),
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

/// Commands, and what became of them on the market's own engine.
struct Bunch {
    requests: Vec<Request>,
    outcomes: Vec<Outcome>,
}

/// The second thread: maps events to commands, and signs them.
struct Market {
    /// Ahead of the venue's.
    engine: Engine,
    mapper: Mapper,
    wallets: Wallets,
    /// Commands still to be taken.
    left: u64,
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
    signed: u64,
    execute: Duration,
    sign: Duration,
}

/// What the market has sent.
enum Issued {
    /// Everything up to the end of the input, or to the limit.
    All,
    /// Everything up to an error in the input.
    Until(FlowError),
    /// A session can go on no longer.
    Refused(Refusal),
    /// The venue is gone.
    Stopped,
}

impl Market {
    fn new(engine: Engine, mapper: Mapper, wallets: Wallets, limit: Option<u64>) -> Self {
        Self {
            engine,
            mapper,
            wallets,
            left: limit.unwrap_or(u64::MAX),
            commands: Vec::with_capacity(BUNCH_REQUESTS),
            outcomes: Vec::with_capacity(BUNCH_REQUESTS),
            signed: 0,
            execute: Duration::ZERO,
            sign: Duration::ZERO,
        }
    }

    fn run(
        mut self,
        events: &Receiver<Vec<std::result::Result<FlowEvent, FlowError>>>,
        bunches: &SyncSender<Bunch>,
    ) -> (Self, Issued) {
        let issued = match self.issue_all(events, bunches) {
            Ok(()) => Issued::All,
            Err(end) => end,
        };
        let issued = match (issued, self.send(bunches)) {
            (Issued::All | Issued::Until(_), Err(stopped)) => stopped,
            (issued, _) => issued,
        };
        (self, issued)
    }

    fn issue_all(
        &mut self,
        events: &Receiver<Vec<std::result::Result<FlowEvent, FlowError>>>,
        bunches: &SyncSender<Bunch>,
    ) -> std::result::Result<(), Issued> {
        let mut issued = Vec::new();
        self.mapper.start(&self.wallets, &mut issued);
        self.take(&mut issued, bunches)?;
        for chunk in events {
            for event in chunk {
                self.mapper.map(&event.map_err(Issued::Until)?, &mut issued);
                self.take(&mut issued, bunches)?;
            }
        }
        Ok(())
    }

    /// Executes what was issued, ahead of the venue, and has it signed bunch by bunch. An error if nothing may follow.
    fn take(&mut self, issued: &mut Vec<Command>, bunches: &SyncSender<Bunch>) -> std::result::Result<(), Issued> {
        for command in issued.drain(..) {
            if self.left == 0 {
                return Err(Issued::All);
            }
            self.left -= 1;
            let started = Instant::now();
            let outcome = self.engine.instruct(&Instruction { key: Wallets::KEY, command }).map_err(Issued::Refused)?;
            self.execute += started.elapsed();
            self.mapper.observe(&command, outcome, &order_events(self.engine.events()));
            self.commands.push(command);
            self.outcomes.push(outcome);
            if self.commands.len() == BUNCH_REQUESTS {
                self.send(bunches)?;
            }
        }
        Ok(())
    }

    /// Signs the bunch in hand, and sends it.
    fn send(&mut self, bunches: &SyncSender<Bunch>) -> std::result::Result<(), Issued> {
        let started = Instant::now();
        let requests = self.wallets.request_all(&self.commands);
        self.sign += started.elapsed();
        self.signed += requests.len() as u64;
        self.commands.clear();
        let outcomes = std::mem::replace(&mut self.outcomes, Vec::with_capacity(BUNCH_REQUESTS));
        bunches.send(Bunch { requests, outcomes }).map_err(|_| Issued::Stopped)
    }
}

/// A batch that was closed, and what is known of it.
struct Closed {
    batch: Batch,
    record: BatchRecord,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    commands: u64,
    rejected: u64,
    fills: u64,
    volume_lots: u64,
}

/// The third thread: checks signatures, executes, and closes batches.
struct Venue {
    sequencer: Sequencer,
    bar: ProgressBar,
    batch_commands: usize,
    /// Of the batch in hand, and of all.
    tally: Tally,
    total: Tally,
    rejects: BTreeMap<String, u64>,
    volume_quote: u128,
    /// After the last batch.
    root: Digest,
    submit: Duration,
    close: Duration,
}

impl Venue {
    fn new(engine: Engine, batch_commands: usize, bar: ProgressBar) -> Self {
        Self {
            root: engine.root(),
            sequencer: Sequencer::new(engine),
            bar,
            batch_commands,
            tally: Tally::default(),
            total: Tally::default(),
            rejects: BTreeMap::new(),
            volume_quote: 0,
            submit: Duration::ZERO,
            close: Duration::ZERO,
        }
    }

    /// Takes requests in until there are no more, or nobody wants the batches, or it is interrupted. The last batch stays open.
    fn run(&mut self, bunches: Receiver<Bunch>, closed: &SyncSender<Closed>) -> Result<()> {
        for Bunch { requests, outcomes } in bunches {
            let (mut requests, mut outcomes) = (&requests[..], &outcomes[..]);
            while !requests.is_empty() {
                let room = self.batch_commands - self.sequencer.instructions().len();
                let now = room.min(requests.len());
                self.submit(&requests[..now], &outcomes[..now])?;
                (requests, outcomes) = (&requests[now..], &outcomes[now..]);
                if now == room {
                    self.finish(closed)?;
                    if interrupted() {
                        return Err(Error::Interrupted { advice: String::new() });
                    }
                }
            }
        }
        Ok(())
    }

    fn submit(&mut self, requests: &[Request], expected: &[Outcome]) -> Result<()> {
        let Self { sequencer, tally, rejects, volume_quote, .. } = self;
        let mut expected = expected.iter();
        let mut refused = Ok(());
        let started = Instant::now();
        sequencer.submit_all(requests, |engine, result| {
            let expected = expected.next();
            match result {
                Ok(outcome) => {
                    assert_eq!(
                        Some(&outcome),
                        expected,
                        "the market's engine is ahead of the venue's, not apart from it"
                    );
                    tally.count(outcome, engine.events(), rejects, volume_quote);
                }
                Err(refusal) => refused = refused.and(Err(refusal)),
            }
        });
        self.submit += started.elapsed();
        self.bar.set_position(self.total.commands + self.tally.commands);
        Ok(refused?)
    }

    /// Closes the batch in hand, if there is anything in it, and hands it to the writer.
    fn finish(&mut self, closed: &SyncSender<Closed>) -> Result<()> {
        if self.tally.commands == 0 {
            return Ok(());
        }
        let batches = self.sequencer.engine().system().batches;
        if batches == BATCH_NUMBER_MAX {
            return Err(
                unexpected("batches", format!("at most {BATCH_NUMBER_MAX}"), "more").advise("choose a larger --batch")
            );
        }
        let Tally { commands, rejected, fills, volume_lots } = std::mem::take(&mut self.tally);
        self.total.commands += commands;
        self.total.rejected += rejected;
        self.total.fills += fills;
        self.total.volume_lots += volume_lots;
        let started = Instant::now();
        let (batch, root) = self.sequencer.close_batch();
        self.close += started.elapsed();
        self.root = root;
        let number = batch.header.number;
        let record = BatchRecord {
            batch: number,
            commands,
            accepted: commands - rejected,
            rejected,
            fills,
            volume_lots,
            seals: batch.seals.len() as u64,
            root: digest_to_hex(&root),
            published_sha256: String::new(),
        };
        self.bar.set_message(format!("{} fills, {} batches", grouped(self.total.fills), grouped(number)));
        closed.send(Closed { batch, record }).map_err(|_| Error::Stopped)
    }
}

impl Tally {
    fn count(
        &mut self,
        outcome: Outcome,
        events: &[Event<Plain>],
        rejects: &mut BTreeMap<String, u64>,
        volume_quote: &mut u128,
    ) {
        self.commands += 1;
        if let Outcome::Rejected(reject) = outcome {
            self.rejected += 1;
            *rejects.entry(format!("{reject:?}")).or_default() += 1;
        }
        for event in events {
            if let Event::Filled { price, size, .. } = event {
                self.fills += 1;
                self.volume_lots += size;
                *volume_quote += u128::from(*price) * u128::from(*size);
            }
        }
    }
}

/// What the fourth thread did.
#[derive(Default)]
struct Written {
    batches: u32,
    found: u32,
    seals: u64,
    bytes: u64,
}

/// The fourth thread: files.
fn write(dir: &Dir, closed: &Receiver<Closed>) -> Result<Written> {
    let mut written = Written::default();
    for Closed { batch, record } in closed {
        written.seals += record.seals;
        let put = dir.put_batch(&batch, record)?;
        written.batches += 1;
        written.found += u32::from(!put.written);
        written.bytes += put.bytes;
    }
    Ok(written)
}
