//! `holdfast verify`: trusts the genesis root and the source of this program, nothing else.
//!
//! The verifying key follows from the source. Of each batch, the digest is computed from the published data, and the proofs must lead without a break from the
//! root before to that digest and the root after. Nothing is executed, and no session key's signature looked at: that all are there and valid is what the proofs
//! say. The sequencer's word is not asked for.

use std::{path::PathBuf, time::Instant};

use holdfast_circuit::verify::{Chain, VerifyError, decode_proof, verifying_key};
use holdfast_crypto::{Digest, field::digest_to_hex};
use holdfast_protocol::publication::Progress;
use serde::Serialize;

use crate::{
    dir::{Dir, proof_name, proof_record_name, record_name, sha256_hex},
    error::{Result, same, unexpected},
    ui::{Ui, bytes, count, facts, good, rate, seconds},
};

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// The genesis root that is trusted; that of the directory's genesis by default.
    pub genesis_root: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub batches: u32,
    pub commands: u64,
    pub old_root: String,
    pub new_root: String,
    pub verify_seconds: f64,
    pub ok: bool,
    pub segments: u64,
    pub proof_bytes: u64,
    pub published_bytes: u64,
    pub verifying_key: String,
    /// The genesis root was given by whoever verifies.
    pub genesis_pinned: bool,
    pub seconds_per_segment: f64,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let dir = Dir::open(&options.dir)?;
    let root_genesis = dir.engine()?.root();
    let old_root = digest_to_hex(&root_genesis);
    if let Some(pinned) = &options.genesis_root {
        same("genesis root", &digest_to_hex(pinned), &old_root)
            .map_err(|error| error.advise("this directory starts from another genesis than the one you trust"))?;
    }
    let batches = dir.batches()?;
    let (settings, proofs) = dir.proof_records(&batches)?;
    let key = verifying_key();
    let verifying_key = digest_to_hex(&key.pre_hash);
    same("proofs/settings.json, verifying_key", &verifying_key, &settings.verifying_key).map_err(|error| {
        error.advise("the proofs were made by another version of the rules, which this program does not vouch for")
    })?;

    let bar = ui.bar("verify", "commands", Some(batches.iter().map(|batch| batch.commands).sum()));
    let mut chain = Chain::new(root_genesis);
    let (mut commands, mut segments, mut proof_bytes, mut published_bytes) = (0, 0, 0, 0);
    for (record, proven) in batches.iter().zip(&proofs) {
        let number = record.batch;
        let batch = dir.batch(record)?;
        let published = batch.encode();
        published_bytes += published.len() as u64;
        let mut decoded = Vec::with_capacity(proven.segments.len());
        for (segment, file) in proven.segments.iter().enumerate() {
            let name = proof_name(number, segment);
            let Some(bytes) = dir.proof(number, segment)? else {
                return Err(unexpected(format!("batch {number}"), format!("a file {name}"), "none"));
            };
            let what = |field: &str| format!("batch {number}, {name} against {}, {field}", proof_record_name(number));
            same(what("bytes"), file.bytes, bytes.len() as u64)?;
            same(what("sha256"), &file.sha256, &sha256_hex(&bytes))?;
            let decode = |reason| VerifyError::Decode { batch: number, segment, reason };
            decoded.push(decode_proof(&bytes).map_err(decode)?);
            proof_bytes += bytes.len() as u64;
            segments += 1;
        }
        chain.append(&key, batch.instructions.len() as u32, &Progress::end_in_calldata(&batch), &decoded)?;
        let what = |field: &str| format!("batch {number}, {}, {field}", record_name(number));
        same(what("root"), &digest_to_hex(&chain.root), &record.root)?;
        // The proofs say that there are valid signatures; those that are published are for whoever executes.
        same(what("published_sha256"), &record.published_sha256, &sha256_hex(&published))?;
        commands += record.commands;
        bar.set_position(commands);
        bar.set_message(format!("batch {number}"));
    }
    bar.finish_and_clear();
    let verify_seconds = started.elapsed().as_secs_f64();
    Ok(Report {
        batches: chain.batches,
        commands,
        old_root,
        new_root: digest_to_hex(&chain.root),
        verify_seconds,
        ok: true,
        segments,
        proof_bytes,
        published_bytes,
        verifying_key,
        genesis_pinned: options.genesis_root.is_some(),
        seconds_per_segment: verify_seconds / (segments as f64).max(1.0),
    })
}

impl Report {
    pub fn text(&self) -> String {
        let pinned =
            if self.genesis_pinned { "as you gave it" } else { "taken from the directory: pin it with --genesis-root" };
        facts(&[
            ("genesis", format!("{} ({pinned})", self.old_root)),
            ("root", self.new_root.clone()),
            ("chain", format!("{}, {}", count(self.batches.into(), "batch"), count(self.commands, "command"))),
            (
                "proofs",
                format!(
                    "{}, {}, {} each",
                    count(self.segments, "segment"),
                    bytes(self.proof_bytes),
                    seconds(self.seconds_per_segment)
                ),
            ),
            ("data", format!("{} published", bytes(self.published_bytes))),
            ("key", self.verifying_key.clone()),
            (
                "time",
                format!(
                    "{} ({:.0} commands/s)",
                    seconds(self.verify_seconds),
                    rate(self.commands, self.verify_seconds)
                ),
            ),
            (
                "verdict",
                format!(
                    "{}: every root follows from the one before by the rules and the published commands, and all are signed",
                    good("valid")
                ),
            ),
        ])
    }
}
