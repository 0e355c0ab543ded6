//! `holdfast verify --final`: the last proof, by the native twin of the contract that verifies it on Ethereum. The key is bundled: it follows from the source, and this program trusts nothing else.
//!
//! A proof alone says that *some* batches lead from one root to another. With the directory it is compared with what was published: the genesis' root, the roots, the number of batches, the
//! times, and the digest of all data, each computed here from the genesis and the batches.

use std::{path::PathBuf, time::Instant};

use holdfast_circuit::{
    last::{LastKey, LastPublic},
    verify::verifying_key,
};
use holdfast_crypto::{Digest, field::digest_to_hex, hex::to_hex};
use holdfast_prover::aggregate::params;
use openvm_stark_backend::{SystemParams, WhirProximityStrategy, soundness::SoundnessCalculator};
use serde::Serialize;

use super::aggregate::Published;
use crate::{
    dir::{Dir, FINAL_PROOF, FINAL_RECORD, FinalRecord, Statement, read_file, sha256_hex},
    error::{Result, same, unexpected},
    ui::{Ui, bytes, count, facts, good, seconds},
};

#[derive(Debug, Clone)]
pub struct Options {
    /// A last proof, or the directory that `holdfast aggregate` completed.
    pub path: PathBuf,
    /// The genesis root that is trusted; that of the directory's genesis by default.
    pub genesis_root: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    /// The proof was compared with the published data.
    pub compared: bool,
    /// The genesis root was given by whoever verifies.
    pub genesis_pinned: bool,
    #[serde(flatten)]
    pub statement: Statement,
    /// Batches that were published after the last that the proof is over.
    pub batches_after: u32,
    pub key: String,
    pub final_proof_bytes: u64,
    pub sha256: String,
    /// Of the proof alone.
    pub proof_seconds: f64,
    pub verify_seconds: f64,
    pub security: Security,
}

/// Bits of proven security: of a chain of proofs, those of its weakest layer.
#[derive(Debug, Serialize)]
pub struct Security {
    pub bits: f64,
    pub layers: Vec<LayerSecurity>,
}

/// The parameters of a layer's proof system, and the bits that each part of the protocol gives. A layer has those of its weakest part.
#[derive(Debug, Serialize)]
pub struct LayerSecurity {
    pub layer: &'static str,
    /// Computed from the key; otherwise from the parameters, for a circuit at the bounds of this program.
    pub from_key: bool,
    pub bits: f64,
    pub logup_bits: f64,
    pub gkr_bits: f64,
    pub zerocheck_bits: f64,
    pub batching_bits: f64,
    pub stacking_bits: f64,
    pub whir_bits: f64,
    pub whir_query_bits: f64,
    pub whir_proximity_bits: f64,
    pub log_blowup: usize,
    pub log_height: usize,
    /// Values that are folded into one in each round of WHIR, as a base-2 logarithm; and the queries of each round.
    pub fold: usize,
    pub queries: Vec<usize>,
    pub query_pow_bits: usize,
    pub folding_pow_bits: usize,
    pub mu_pow_bits: usize,
    pub logup_pow_bits: usize,
    pub proximity: String,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let key = LastKey::bundled();
    let key_id = to_hex(&key.id());
    let dir = if options.path.is_dir() { Some(Dir::open(&options.path)?) } else { None };
    let (recorded, proof) = match &dir {
        None => (None, read_file(&options.path)?),
        Some(dir) => {
            let none = || {
                unexpected(dir.path().display(), format!("a file {FINAL_RECORD}"), "none")
                    .advise(format!("make the last proof first: holdfast aggregate {}", dir.path().display()))
            };
            let (record, proof) = dir.last_proof()?.ok_or_else(none)?;
            (Some(record), proof)
        }
    };
    if let Some(record) = &recorded {
        same(format!("{FINAL_RECORD}, key"), &key_id, &record.key).map_err(|error| {
            error.advise("the proof was made by another version of the rules, which this program does not vouch for")
        })?;
    }
    let began = Instant::now();
    let public = key.verify(&proof)?;
    let proof_seconds = began.elapsed().as_secs_f64();
    let sha256 = sha256_hex(&proof);
    let segments = verifying_key();
    same("segment key", digest_to_hex(&segments.pre_hash), digest_to_hex(&public.segment_key))?;
    if let Some(pinned) = &options.genesis_root {
        same("genesis root", digest_to_hex(pinned), digest_to_hex(&public.root_old))
            .map_err(|error| error.advise("this proof starts from another state than the genesis that you trust"))?;
    }
    let mut batches_after = 0;
    if let (Some(dir), Some(record)) = (&dir, &recorded) {
        // An interruption between the two leaves a new proof beside an old record.
        let again = format!("write both again: holdfast aggregate {}", dir.path().display());
        let what = |field: &str| format!("{FINAL_PROOF} against {FINAL_RECORD}, {field}");
        same(what("bytes"), record.proof.bytes, proof.len() as u64).map_err(|error| error.advise(&again))?;
        same(what("sha256"), &record.proof.sha256, &sha256).map_err(|error| error.advise(&again))?;
        says(FINAL_RECORD, &public, record)?;
        batches_after = compare(dir, "the last proof", &public, ui)?;
    }
    Ok(Report {
        ok: true,
        compared: dir.is_some(),
        genesis_pinned: options.genesis_root.is_some(),
        statement: Statement::from(&public),
        batches_after,
        key: key_id,
        final_proof_bytes: proof.len() as u64,
        sha256,
        proof_seconds,
        verify_seconds: started.elapsed().as_secs_f64(),
        security: security(key, &segments.inner.params, &SoundnessCalculator::calculate_from_vk(&segments)),
    })
}

/// That the record beside a proof says what the proof says.
pub(crate) fn says(name: &str, public: &LastPublic, record: &FinalRecord) -> Result<()> {
    let said = Statement::from(public);
    let Statement { old_root, new_root, batch_first, batch_last, time_start, time_end, data, segment_key } =
        &record.statement;
    let what = |field: &str| format!("the proof against {name}, {field}");
    same(what("old_root"), old_root, &said.old_root)?;
    same(what("new_root"), new_root, &said.new_root)?;
    same(what("batch_first"), *batch_first, said.batch_first)?;
    same(what("batch_last"), *batch_last, said.batch_last)?;
    same(what("time_start"), *time_start, said.time_start)?;
    same(what("time_end"), *time_end, said.time_end)?;
    same(what("data"), data, &said.data)?;
    same(what("segment_key"), segment_key, &said.segment_key)
}

/// That a proof is over the directory's genesis and its first batches. Returns how many batches come after them.
pub(crate) fn compare(dir: &Dir, proof: &str, public: &LastPublic, ui: Ui) -> Result<u32> {
    let what = |field: &str| format!("{proof}, {field}");
    let batches = dir.batches()?;
    let mut published = Published::begin(dir)?;
    same(what("old root (the genesis')"), digest_to_hex(&published.root), digest_to_hex(&public.root_old))?;
    same(what("first batch"), 1, public.batch_first)?;
    same(what("time before it"), published.time, public.time_start)?;
    let covered = public.batch_last as usize;
    if !(1..=batches.len()).contains(&covered) {
        let expected = format!("one of the {} published", count(batches.len() as u64, "batch"));
        return Err(unexpected(what("last batch"), expected, covered));
    }
    let commands = batches[..covered].iter().map(|batch| batch.commands).sum();
    let bar = ui.bar("compare", "commands", Some(commands));
    for record in &batches[..covered] {
        published.append(dir, record)?;
        bar.inc(record.commands);
        bar.set_message(format!("batch {}", record.batch));
    }
    bar.finish_and_clear();
    same(what("digest of all published data"), digest_to_hex(&published.data), digest_to_hex(&public.data))?;
    same(what("new root"), digest_to_hex(&published.root), digest_to_hex(&public.root_new))?;
    same(what("time after the last batch"), published.time, public.time_end)?;
    Ok((batches.len() - covered) as u32)
}

fn security(key: &LastKey, segment: &SystemParams, of_segment: &SoundnessCalculator) -> Security {
    let mut layers = vec![layer("segment", true, segment, of_segment)];
    for (name, of_layer) in [("leaf", params::LEAF), ("nodes", params::NODE), ("wrap", params::WRAP)] {
        layers.push(layer(name, false, &of_layer.params(), &of_layer.soundness_at_bounds()));
    }
    layers.push(layer("last", true, &key.key.inner.params, &key.soundness()));
    let bits = layers.iter().map(|layer| layer.bits).fold(f64::INFINITY, f64::min);
    Security { bits, layers }
}

fn layer(layer: &'static str, from_key: bool, params: &SystemParams, bits: &SoundnessCalculator) -> LayerSecurity {
    // A tenth of a bit is what these calculations mean; cut off, so that no part looks better than it is.
    let cut = |bits: f64| (bits * 10.0).floor() / 10.0;
    LayerSecurity {
        layer,
        from_key,
        bits: cut(bits.total_bits),
        logup_bits: cut(bits.logup_bits),
        gkr_bits: cut(bits.gkr_sumcheck_bits.min(bits.gkr_batching_bits)),
        zerocheck_bits: cut(bits.zerocheck_sumcheck_bits),
        batching_bits: cut(bits.constraint_batching_bits),
        stacking_bits: cut(bits.stacked_reduction_bits),
        whir_bits: cut(bits.whir_bits),
        whir_query_bits: cut(bits.whir_details.query_bits),
        whir_proximity_bits: cut(bits.whir_details.proximity_gaps_bits),
        log_blowup: params.log_blowup,
        log_height: params.log_stacked_height(),
        fold: params.whir.k,
        queries: params.whir.rounds.iter().map(|round| round.num_queries).collect(),
        query_pow_bits: params.whir.query_phase_pow_bits,
        folding_pow_bits: params.whir.folding_pow_bits,
        mu_pow_bits: params.whir.mu_pow_bits,
        logup_pow_bits: params.logup.pow_bits,
        proximity: match params.whir.proximity {
            WhirProximityStrategy::UniqueDecoding => "unique decoding".into(),
            WhirProximityStrategy::ListDecoding { m } => format!("list decoding, m = {m}"),
            WhirProximityStrategy::SplitUniqueList { m, list_start_round } => {
                format!("unique decoding, from round {list_start_round} on list decoding, m = {m}")
            }
        },
    }
}

impl Report {
    pub fn text(&self) -> String {
        let pinned = match (self.genesis_pinned, self.compared) {
            (true, _) => "as you gave it",
            (false, true) => "taken from the directory: pin it with --genesis-root",
            (false, false) => "as the proof says: pin it with --genesis-root",
        };
        let Statement { old_root, new_root, batch_first, batch_last, time_start, time_end, data, segment_key } =
            &self.statement;
        let mut chain = format!("batches {batch_first} to {batch_last}");
        if self.batches_after > 0 {
            chain += &format!("; {} published since: aggregate again", count(self.batches_after.into(), "batch"));
        }
        let compared = if self.compared {
            "roots, batches, times and the digest of all data are those of the genesis and the published batches"
        } else {
            "nothing: give the directory to compare the proof with what was published"
        };
        facts(&[
            ("old root", format!("{old_root} ({pinned})")),
            ("new root", new_root.clone()),
            ("chain", chain),
            ("time", format!("{time_start} to {time_end} ms since 1970")),
            ("data", data.clone()),
            ("proof", format!("{}, verified in {}", bytes(self.final_proof_bytes), seconds(self.proof_seconds))),
            ("key", format!("{} (bundled)", self.key)),
            ("segments", segment_key.clone()),
            ("compared", compared.into()),
        ]) + &self.security.text()
            + &facts(&[(
                "verdict",
                format!(
                    "{}: {}",
                    good("valid"),
                    if self.compared {
                        "the new root follows from the genesis by the rules and the published commands, and all are signed"
                    } else {
                        "the new root follows from the old one by the rules and by signed commands of this digest"
                    }
                ),
            )])
    }
}

/// A name, and what a layer has of it.
type Row<T> = (&'static str, fn(&LayerSecurity) -> T);

impl Security {
    /// A column for each layer; a row for each part of the protocol, and then the parameters.
    fn text(&self) -> String {
        let mut headers = vec!["security, bits"];
        headers.extend(self.layers.iter().map(|layer| layer.layer));
        let mut shown = super::table(&headers, 1);
        let parts: [Row<f64>; 8] = [
            ("logup", |layer| layer.logup_bits),
            ("gkr", |layer| layer.gkr_bits),
            ("zerocheck", |layer| layer.zerocheck_bits),
            ("batching of constraints", |layer| layer.batching_bits),
            ("stacked openings", |layer| layer.stacking_bits),
            ("whir, queries", |layer| layer.whir_query_bits),
            ("whir, all rounds", |layer| layer.whir_bits),
            ("least", |layer| layer.bits),
        ];
        for (name, part) in parts {
            shown.add_row(
                std::iter::once(name.to_owned()).chain(self.layers.iter().map(|layer| format!("{:.1}", part(layer)))),
            );
        }
        let parameters: [Row<String>; 4] = [
            ("rate", |layer| format!("1/{}", 1 << layer.log_blowup)),
            ("queries", |layer| layer.queries.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")),
            ("work for queries, folds", |layer| format!("{}, {}", layer.query_pow_bits, layer.folding_pow_bits)),
            ("work for batching, logup", |layer| format!("{}, {}", layer.mu_pow_bits, layer.logup_pow_bits)),
        ];
        for (name, parameter) in parameters {
            shown.add_row(std::iter::once(name.to_owned()).chain(self.layers.iter().map(parameter)));
        }
        let facts = facts(&[(
            "security",
            format!(
                "{:.1} bits proven: the least of all parts of all layers. Segments and the last proof from their keys; those between for the largest circuits that the bounds allow",
                self.bits
            ),
        )]);
        format!("{facts}{shown}\n")
    }
}
