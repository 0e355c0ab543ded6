//! `holdfast audit`: executes the published data again, compares every outcome and every root, and checks every signature. It needs no proofs; it is what a watcher does.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use holdfast_crypto::field::digest_to_hex;
use holdfast_exchange::Event;
use serde::Serialize;

use crate::{
    dir::{Dir, record_name, sha256_hex},
    error::{Result, same},
    execute::execute,
    ui::{Ui, count, facts, good, grouped, rate, seconds},
};

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub batches: u32,
    pub commands: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub fills: u64,
    /// Signatures checked.
    pub seals: u64,
    pub old_root: String,
    pub new_root: String,
    /// Spent in executing commands and checking signatures.
    pub execute_seconds: f64,
    pub commands_per_second: f64,
    pub root_seconds: f64,
    pub seconds: f64,
    pub ok: bool,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let dir = Dir::open(&options.dir)?;
    let batches = dir.batches()?;
    let mut engine = dir.engine()?;
    let old_root = digest_to_hex(&engine.root());
    let bar = ui.bar("audit", "commands", Some(batches.iter().map(|batch| batch.commands).sum()));
    let (mut commands, mut rejected, mut fills, mut seals) = (0, 0, 0, 0);
    let (mut execute_time, mut root_time) = (Duration::ZERO, Duration::ZERO);
    for record in &batches {
        let number = record.batch;
        let batch = dir.batch(record)?;
        let (mut batch_fills, mut volume_lots) = (0, 0);
        let began = Instant::now();
        execute(&mut engine, &batch, |engine| {
            for event in engine.events() {
                if let Event::Filled { size, .. } = event {
                    batch_fills += 1;
                    volume_lots += size;
                }
            }
        })?;
        execute_time += began.elapsed();
        let began = Instant::now();
        let root = engine.close_batch();
        root_time += began.elapsed();
        let what = |field: &str| format!("batch {number}, {}, {field}", record_name(number));
        same(what("root"), &digest_to_hex(&root), &record.root)?;
        same(what("fills"), batch_fills, record.fills)?;
        same(what("volume_lots"), volume_lots, record.volume_lots)?;
        same(what("published_sha256"), &sha256_hex(&batch.encode()), &record.published_sha256)?;
        commands += record.commands;
        rejected += record.rejected;
        fills += record.fills;
        seals += record.seals;
        bar.set_position(commands);
        bar.set_message(format!("batch {number}"));
    }
    bar.finish_and_clear();
    let execute_seconds = execute_time.as_secs_f64();
    Ok(Report {
        batches: batches.len() as u32,
        commands,
        accepted: commands - rejected,
        rejected,
        fills,
        seals,
        old_root,
        new_root: digest_to_hex(&engine.root()),
        execute_seconds,
        commands_per_second: rate(commands, execute_seconds),
        root_seconds: root_time.as_secs_f64(),
        seconds: started.elapsed().as_secs_f64(),
        ok: true,
    })
}

impl Report {
    pub fn text(&self) -> String {
        facts(&[
            (
                "executed",
                format!(
                    "{}, {}, {} rejected, {}",
                    count(self.batches.into(), "batch"),
                    count(self.commands, "command"),
                    grouped(self.rejected),
                    count(self.fills, "fill")
                ),
            ),
            (
                "speed",
                format!(
                    "{} commands/s ({}; roots {})",
                    grouped(self.commands_per_second as u64),
                    seconds(self.execute_seconds),
                    seconds(self.root_seconds)
                ),
            ),
            ("signed", format!("{} checked, which cover every command", count(self.seals, "signature"))),
            ("root", self.new_root.clone()),
            (
                "verdict",
                format!("{}: every outcome and every root is what the rules give, and all is signed", good("in order")),
            ),
        ])
    }
}
