//! `holdfast prove`: every batch that is not proven yet.
//!
//! A batch is proven when the record of its proofs is there. Of a batch that is not, the segments whose proofs are there (and say what the segment must say)
//! are kept: a kill at any time loses the segments in work and nothing else.
//!
//! Two threads: one executes the batches again and fills the tables of the next segment while the other proves the segment before it. With `--jobs N` each of
//! N processes of this program does so for every N-th segment.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use holdfast_circuit::{
    air::Table,
    verify::{decode_proof, verifying_key},
    witness::Segment,
};
use holdfast_crypto::{Digest, field::digest_to_hex};
use holdfast_protocol::publication::point_in_calldata;
use holdfast_prover::{Prover, SegmentLimits, fill_batch, jobs::memory_peak_bytes, shapes};
use indicatif::ProgressBar;
use openvm_stark_backend::codec::Encode;
use serde::{Deserialize, Serialize};

use crate::{
    dir::{BatchRecord, Dir, Settings, proof_name, record_root},
    error::{Error, Result, same, unexpected},
    execute::execute,
    ui::{Ui, bytes, count, facts, grouped, interrupted, rate, seconds},
};

/// Most processes that prove beside each other.
pub const JOBS_MAX: u32 = 64;
/// Most segments of a batch: as many as a file's name has room for.
const SEGMENTS_MAX: usize = 1_000;

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// Steps and signatures of a segment; those that the directory's proofs have by default.
    pub segment_rows: Option<u64>,
    pub segment_signatures: Option<u64>,
    pub jobs: u32,
    /// Set in the processes that `jobs` starts.
    pub share: Option<Share>,
}

/// Every `of`-th segment, from the one at `index` on.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub index: u32,
    pub of: u32,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Commands whose segments were proven by this run.
    pub commands: u64,
    pub segments: u64,
    pub prove_seconds: f64,
    pub commands_per_second: f64,
    pub cells: u64,
    pub cells_per_command: f64,
    /// Of all processes together.
    pub peak_memory_bytes: u64,
    pub proof_bytes: u64,
    pub batches: u64,
    pub segment_rows: u64,
    pub segment_signatures: u64,
    pub jobs: u32,
    /// Segments of these batches that were proven before.
    pub segments_found: u64,
    /// Batches that were proven before.
    pub batches_found: u64,
    /// Spent in filling tables and in proving them; both go on at the same time.
    pub fill_seconds: f64,
    pub prove_only_seconds: f64,
    pub tables: BTreeMap<String, TableCells>,
}

/// The rows of a table in all segments together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TableCells {
    pub rows: u64,
    pub columns: u64,
    pub cells: u64,
}

/// What happens while a share is proven. The processes of `--jobs` print it, one object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Progress {
    /// A segment is proven, and its proof written.
    Proven {
        batch: u32,
        segment: usize,
        commands: u64,
        bytes: u64,
        fill_seconds: f64,
        prove_seconds: f64,
        tables: BTreeMap<String, TableCells>,
    },
    /// A segment was proven before.
    Found {
        batch: u32,
        segment: usize,
        commands: u64,
    },
    /// A batch has this many segments.
    Cut {
        batch: u32,
        segments: usize,
    },
    Done {
        peak_memory_bytes: u64,
    },
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    if let Some(share) = options.share {
        let dir = Dir::open(&options.dir)?;
        let batches = dir.batches()?;
        // A process of another that has set everything up.
        let settings =
            dir.settings()?.ok_or_else(|| unexpected(options.dir.display(), "settings of the proofs", "none"))?;
        let mut report = |progress| {
            let mut line = serde_json::to_string(&progress).expect("progress is JSON");
            line.push('\n');
            let written = std::io::stdout().write_all(line.as_bytes());
            written.map_err(|error| Error::file("write", Path::new("standard output"), error))
        };
        prove_share(&Prover::new(), &dir, &batches, &settings, share, &mut report)?;
        report(Progress::Done { peak_memory_bytes: memory_peak_bytes() })?;
        return Ok(Report::default());
    }
    if !(1..=JOBS_MAX).contains(&options.jobs) {
        return Err(unexpected("--jobs", format!("1 to {JOBS_MAX}"), options.jobs));
    }
    let dir = Dir::open_to_write(&options.dir)?;
    let batches = dir.batches()?;
    // With more than one process, this one does not prove.
    let prover = (options.jobs == 1).then(Prover::new);
    let key = prover.as_ref().map_or_else(|| verifying_key().pre_hash, |prover| prover.verifying_key().pre_hash);
    let settings = settle(&dir, &key, options)?;
    let mut unproven = Vec::new();
    for batch in &batches {
        if dir.proof_record(batch.batch)?.is_none() {
            unproven.push(batch);
        }
    }
    let bar = ui.bar("prove", "commands", Some(unproven.iter().map(|batch| batch.commands).sum()));
    let started = Instant::now();
    let mut tally = Tally { dir: &dir, bar: bar.clone(), open: BTreeMap::new(), report: Report::default() };
    tally.report.batches_found = (batches.len() - unproven.len()) as u64;
    if !unproven.is_empty() {
        match &prover {
            None => prove_in_processes(options, &mut tally)?,
            Some(prover) => {
                let all = Share { index: 0, of: 1 };
                prove_share(prover, &dir, &batches, &settings, all, &mut |progress| tally.take(progress))?;
            }
        }
    }
    bar.finish_and_clear();
    let mut report = tally.report;
    report.prove_seconds = if unproven.is_empty() { 0.0 } else { started.elapsed().as_secs_f64() };
    report.commands_per_second = rate(report.commands, report.prove_seconds);
    report.cells_per_command = rate(report.cells, report.commands as f64);
    report.peak_memory_bytes += memory_peak_bytes();
    report.segment_rows = settings.segment_rows;
    report.segment_signatures = settings.segment_signatures;
    report.jobs = options.jobs;
    Ok(report)
}

/// The settings that the directory's proofs have, or from now on shall have.
fn settle(dir: &Dir, key: &Digest, options: &Options) -> Result<Settings> {
    let rows_max = SegmentLimits::ROWS_MAX as u64;
    let signatures_max = SegmentLimits::SIGNATURES_MAX as u64;
    for (option, max, wanted) in [
        ("--segment-rows", rows_max, options.segment_rows),
        ("--segment-signatures", signatures_max, options.segment_signatures),
    ] {
        if let Some(got) = wanted
            && !(1..=max).contains(&got)
        {
            return Err(unexpected(option, format!("1 to {max}"), got));
        }
    }
    let default = SegmentLimits::default();
    let wanted = Settings {
        verifying_key: digest_to_hex(key),
        segment_rows: options.segment_rows.unwrap_or(default.rows as u64),
        segment_slots: default.slots as u64,
        segment_signatures: options.segment_signatures.unwrap_or(default.signatures as u64),
    };
    let Some(found) = dir.settings()? else {
        dir.put_settings(&wanted)?;
        return Ok(wanted);
    };
    let proofs = dir.path().join("proofs");
    let another = format!(
        "the proofs that are there were made otherwise: to make all of them again, remove {}/* first",
        proofs.display()
    );
    let what = |field: &str| format!("{}/settings.json, {field}", proofs.display());
    let check = || {
        same(what("verifying_key"), &wanted.verifying_key, &found.verifying_key)?;
        let slots_max = SegmentLimits::SLOTS_MAX as u64;
        for (field, max, wanted, got) in [
            ("segment_rows", rows_max, options.segment_rows, found.segment_rows),
            ("segment_slots", slots_max, None, found.segment_slots),
            ("segment_signatures", signatures_max, options.segment_signatures, found.segment_signatures),
        ] {
            same(what(field), wanted.unwrap_or(got), got)?;
            if !(1..=max).contains(&got) {
                return Err(unexpected(what(field), format!("1 to {max}"), got));
            }
        }
        Ok(())
    };
    check().map_err(|error| error.advise(another))?;
    Ok(found)
}

/// What is known of the batches under way, and the sum of it all.
struct Tally<'a> {
    dir: &'a Dir,
    bar: ProgressBar,
    /// Per batch, the number of its segments where it is known, and those that are proven.
    open: BTreeMap<u32, (Option<usize>, BTreeSet<usize>)>,
    report: Report,
}

impl Tally<'_> {
    fn take(&mut self, progress: Progress) -> Result<()> {
        let batch = match progress {
            Progress::Proven { batch, segment, commands, bytes: length, fill_seconds, prove_seconds, tables } => {
                self.report.commands += commands;
                self.report.segments += 1;
                self.report.proof_bytes += length;
                self.report.fill_seconds += fill_seconds;
                self.report.prove_only_seconds += prove_seconds;
                for (name, table) in tables {
                    self.report.cells += table.cells;
                    let sum = self.report.tables.entry(name).or_default();
                    sum.rows += table.rows;
                    sum.columns = table.columns;
                    sum.cells += table.cells;
                }
                self.bar.inc(commands);
                self.bar.set_message(format!(
                    "batch {batch}, segment {segment}: {} in {}",
                    bytes(length),
                    seconds(prove_seconds)
                ));
                self.open.entry(batch).or_default().1.insert(segment);
                batch
            }
            Progress::Found { batch, segment, commands } => {
                self.report.segments_found += 1;
                self.bar.inc(commands);
                self.open.entry(batch).or_default().1.insert(segment);
                batch
            }
            Progress::Cut { batch, segments } => {
                self.open.entry(batch).or_default().0 = Some(segments);
                batch
            }
            Progress::Done { peak_memory_bytes } => {
                self.report.peak_memory_bytes += peak_memory_bytes;
                return Ok(());
            }
        };
        if let Some((Some(segments), proven)) = self.open.get(&batch)
            && proven.len() == *segments
            // Each of several processes says how a batch is cut.
            && self.dir.proof_record(batch)?.is_none()
        {
            self.dir.put_proof_record(batch, *segments)?;
            self.report.batches += 1;
        }
        Ok(())
    }
}

/// Starts a process for each share, and listens to them.
fn prove_in_processes(options: &Options, tally: &mut Tally) -> Result<()> {
    let of = options.jobs;
    let program = std::env::current_exe().map_err(|error| Error::file("find", Path::new("this program"), error))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / of as usize).max(1).to_string();
    let mut children = Vec::new();
    for index in 0..of {
        let mut command = Command::new(&program);
        command.arg("prove").arg(&options.dir).arg("--share").arg(format!("{index}/{of}"));
        if std::env::var_os("RAYON_NUM_THREADS").is_none() {
            command.env("RAYON_NUM_THREADS", &threads);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        children.push(child.map_err(|error| Error::file("start", &program, error))?);
    }
    let (lines_in, lines) = sync_channel(64);
    let listeners: Vec<_> = children
        .iter_mut()
        .filter_map(|child| child.stdout.take())
        .map(|output| {
            let lines_in = lines_in.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                    if lines_in.send(line).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(lines_in);
    let mut outcome = Ok(());
    for line in lines {
        // After a failure the rest is only read, so that the processes end by themselves.
        if outcome.is_ok() {
            outcome = serde_json::from_str(&line)
                .map_err(|error| unexpected("a proving process' report", "its progress in JSON", error))
                .and_then(|progress| tally.take(progress));
        }
    }
    for listener in listeners {
        listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    for (index, mut child) in (0..of).zip(children) {
        let status = child.wait().map_err(|error| Error::file("wait for", &program, error))?;
        if outcome.is_ok() && !status.success() {
            outcome = Err(if interrupted() {
                stopped(&options.dir)
            } else {
                Error::Worker { index, of, status: status.to_string() }
            });
        }
    }
    outcome
}

fn stopped(dir: &Path) -> Error {
    Error::Interrupted { advice: format!("nothing is lost; continue with: holdfast prove {}", dir.display()) }
}

/// From the thread that fills to the one that proves.
enum Filled {
    Segment { batch: u32, index: usize, segment: Box<Segment>, seconds: f64 },
    Progress(Progress),
}

/// Proves the segments of a share.
fn prove_share(
    prover: &Prover,
    dir: &Dir,
    batches: &[BatchRecord],
    settings: &Settings,
    share: Share,
    report: &mut impl FnMut(Progress) -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        // No room: one segment is filled while another is proven, and never more than these two are in memory.
        let (filled_in, filled) = sync_channel(0);
        let filler = scope.spawn(move || fill(dir, batches, settings, share, &filled_in));
        let proven = prove(dir, prover, filled, report);
        let filled = filler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (proven, filled) {
            // The filler was stopped by the prover's end.
            (Err(error), _) => Err(error),
            (Ok(()), filled) => filled,
        }
    })
}

fn prove(
    dir: &Dir,
    prover: &Prover,
    filled: Receiver<Filled>,
    report: &mut impl FnMut(Progress) -> Result<()>,
) -> Result<()> {
    for item in filled {
        match item {
            Filled::Progress(progress) => report(progress)?,
            Filled::Segment { batch, index, segment, seconds: fill_seconds } => {
                let commands = u64::from(segment.public.sequence_end - segment.public.sequence_start);
                let tables = shapes(&segment)
                    .into_iter()
                    .map(|(table, rows, columns)| {
                        let (rows, columns) = (rows as u64, columns as u64);
                        (table.name(), TableCells { rows, columns, cells: rows * columns })
                    })
                    .collect();
                let started = Instant::now();
                let failed = |source| Error::Prove { batch, segment: index, source };
                let proof = prover.prove(*segment).map_err(failed)?;
                let prove_seconds = started.elapsed().as_secs_f64();
                let encoded = proof
                    .encode_to_vec()
                    .map_err(|error| Error::file("encode", Path::new(&proof_name(batch, index)), error))?;
                dir.put_proof(batch, index, &encoded)?;
                let length = encoded.len() as u64;
                report(Progress::Proven {
                    batch,
                    segment: index,
                    commands,
                    bytes: length,
                    fill_seconds,
                    prove_seconds,
                    tables,
                })?;
                if interrupted() {
                    return Err(stopped(dir.path()));
                }
            }
        }
    }
    Ok(())
}

/// Executes all batches: those that are proven natively, the others segment by segment.
fn fill(
    dir: &Dir,
    batches: &[BatchRecord],
    settings: &Settings,
    share: Share,
    filled: &SyncSender<Filled>,
) -> Result<()> {
    let limits = SegmentLimits {
        rows: settings.segment_rows as usize,
        slots: settings.segment_slots as usize,
        signatures: settings.segment_signatures as usize,
    };
    let send = |item| filled.send(item).map_err(|_| Error::Stopped);
    let mut engine = dir.engine()?;
    for record in batches {
        let number = record.batch;
        let batch = dir.batch(record)?;
        if dir.proof_record(number)?.is_some() {
            execute(&mut engine, &batch, |_| {})?;
            let root = engine.close_batch();
            same(format!("batch {number}, root after it"), digest_to_hex(&root), record.root.clone())?;
            continue;
        }
        let (store, tree) = engine.parts_mut();
        let mut started = Instant::now();
        let mut segments = 0;
        fill_batch(store, tree, &batch, point_in_calldata(&batch), limits, |index, segment| {
            let seconds = started.elapsed().as_secs_f64();
            if index == SEGMENTS_MAX {
                let error = unexpected(format!("batch {number}"), format!("at most {SEGMENTS_MAX} segments"), "more");
                return Err(error.advise("prove it with more --segment-rows, or more --segment-signatures"));
            }
            if interrupted() {
                return Err(stopped(dir.path()));
            }
            segments = index + 1;
            if (number + index as u32) % share.of == share.index {
                if is_proven(dir, number, index, &segment)? {
                    let commands = u64::from(segment.public.sequence_end - segment.public.sequence_start);
                    send(Filled::Progress(Progress::Found { batch: number, segment: index, commands }))?;
                } else {
                    send(Filled::Segment { batch: number, index, segment: Box::new(segment), seconds })?;
                }
            }
            started = Instant::now();
            Ok(())
        })?;
        // What the batch did is accounted for by its proof.
        let _conservation = store.take_conservation();
        let root = tree.root();
        same(format!("batch {number}, root after it"), digest_to_hex(&root), digest_to_hex(&record_root(record)))?;
        send(Filled::Progress(Progress::Cut { batch: number, segments }))?;
    }
    Ok(())
}

/// Whether there is a proof that says what this segment's must say. (Whether it is valid is for `holdfast verify`.)
fn is_proven(dir: &Dir, batch: u32, index: usize, segment: &Segment) -> Result<bool> {
    let Some(bytes) = dir.proof(batch, index)? else { return Ok(false) };
    let said = decode_proof(&bytes).ok().and_then(|proof| proof.public_values.into_iter().nth(Table::Segment.index()));
    Ok(said.is_some_and(|cells| cells == segment.public.to_cells()))
}

impl Report {
    pub fn text(&self) -> String {
        if self.segments == 0 && self.batches == 0 {
            return format!("  nothing to prove: {} proven already\n", count(self.batches_found, "batch"));
        }
        let facts = facts(&[
            (
                "proven",
                format!(
                    "{} in {} of {}",
                    count(self.commands, "command"),
                    count(self.segments, "segment"),
                    count(self.batches, "batch")
                ),
            ),
            (
                "before",
                format!(
                    "{}, and {} of others",
                    count(self.batches_found, "batch"),
                    count(self.segments_found, "segment")
                ),
            ),
            ("time", format!("{} ({:.0} commands/s)", seconds(self.prove_seconds), self.commands_per_second)),
            ("cells", format!("{} ({:.0} a command)", grouped(self.cells), self.cells_per_command)),
            (
                "proofs",
                format!(
                    "{} ({:.0} bytes a command)",
                    bytes(self.proof_bytes),
                    self.proof_bytes as f64 / self.commands.max(1) as f64
                ),
            ),
            ("memory", format!("{} at most", bytes(self.peak_memory_bytes))),
        ]);
        facts + &self.table_text()
    }

    /// Where the cells are.
    fn table_text(&self) -> String {
        if self.tables.is_empty() {
            return String::new();
        }
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(_, table)| std::cmp::Reverse(table.cells));
        let mut shown = crate::commands::table(&["table", "rows", "columns", "cells", "cells a command"], 1);
        for (name, table) in tables {
            let per_command = format!("{:.0}", table.cells as f64 / self.commands.max(1) as f64);
            shown.add_row([
                name.clone(),
                grouped(table.rows),
                grouped(table.columns),
                grouped(table.cells),
                per_command,
            ]);
        }
        format!("{shown}\n")
    }
}
