//! `holdfast aggregate` and `holdfast work`: one proof for all batches, by jobs that any number of processes take.
//!
//! The jobs follow from the directory (`holdfast_prover::jobs`): whoever has it knows them, and asks the store which are done. So there is nothing to hand out and nothing to keep in
//! step: `aggregate` is a worker that writes the last proof at its end, `work` is one that does not.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy_primitives::U256;
use holdfast_circuit::{
    last::{LastKey, LastPublic},
    verify::verifying_key,
};
use holdfast_crypto::{
    Digest,
    field::{DIGEST_ZERO, digest_to_hex},
    poseidon2::compress,
};
use holdfast_protocol::{Command, Outcome as Verdict, TimeMs, publication::Progress};
use holdfast_prover::{
    SegmentLimits,
    jobs::{
        Aggregation, Directory, Event, Job, JobId, KeyId, Kind, ObjectId, Outcome, Plan, Site, Source, Store,
        StoreError, Work, WorkError, memory_peak_bytes, owner_name, work as take_jobs,
    },
};
use indicatif::ProgressBar;
use serde::Serialize;

use super::verify_final;
use crate::{
    dir::{
        BatchRecord, Dir, FINAL_PROOF, FileRecord, FinalRecord, batch_name, proof_name, proof_record_name, record_name,
        record_root, sha256_hex,
    },
    error::{Error, Result, same, unexpected},
    ui::{Ui, bytes, count, facts, grouped, interrupted, seconds},
};

/// How long a claim lasts without being renewed. A worker that is killed holds its job up for so long; one that lives renews in a quarter of that.
const LEASE: Duration = Duration::from_secs(30);
/// How often a worker looks again when others work on all that is ready.
const POLL: Duration = Duration::from_millis(500);
/// The layers of an aggregation.
const LAYERS: [Kind; 5] = [Kind::Leaf, Kind::First, Kind::Node, Kind::Wrap, Kind::Last];

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// Where the jobs' results are; in the directory itself by default.
    pub jobs_dir: Option<PathBuf>,
}

/// Something for each layer, from the segments up.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct PerLayer<T> {
    pub leaf: T,
    pub first: T,
    pub node: T,
    pub wrap: T,
    pub last: T,
}

impl<T> PerLayer<T> {
    fn of(&mut self, kind: Kind) -> Option<&mut T> {
        match kind {
            Kind::Segment => None,
            Kind::Leaf => Some(&mut self.leaf),
            Kind::First => Some(&mut self.first),
            Kind::Node => Some(&mut self.node),
            Kind::Wrap => Some(&mut self.wrap),
            Kind::Last => Some(&mut self.last),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub segments: u64,
    /// Proofs on the way from a segment to the last proof.
    pub layers: u64,
    /// Of all proofs of a layer together, whichever run and process made them.
    pub seconds_per_layer: PerLayer<f64>,
    pub proofs_per_layer: PerLayer<u64>,
    /// Of one process.
    pub peak_memory_bytes: u64,
    pub peak_memory_bytes_per_layer: PerLayer<u64>,
    pub final_proof_bytes: u64,
    pub batches: u32,
    pub commands: u64,
    /// Proofs that this process made.
    pub jobs: u64,
    /// Proofs that were there, or that others made meanwhile.
    pub jobs_found: u64,
    /// Of this run.
    pub aggregate_seconds: f64,
    pub verify_seconds: f64,
    pub old_root: String,
    pub new_root: String,
    pub key: String,
    pub ok: bool,
}

/// What a worker did.
#[derive(Debug, Serialize)]
pub struct WorkReport {
    /// Proofs that this process made.
    pub jobs: u64,
    pub seconds: f64,
    pub seconds_per_layer: PerLayer<f64>,
    pub proofs_per_layer: PerLayer<u64>,
    pub peak_memory_bytes: u64,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let task = Task::open(options)?;
    let mut tally = Tally::new(&task.plan, &task.store.inner, ui)?;
    let proof = task.take_jobs(&mut tally, "aggregate")?;
    tally.bar.finish_and_clear();
    let public = LastKey::bundled().verify(&proof)?;
    task.dir.put_last_proof(&record(Aggregation::key().to_string(), &public, &proof), &proof)?;
    let aggregate_seconds = started.elapsed().as_secs_f64();
    let verify = verify_final::Options { path: task.dir.path().to_owned(), genesis_root: None };
    let verified = verify_final::run(&verify, Ui::QUIET)?;

    let mut report = Report {
        segments: task.segments.len() as u64,
        layers: task.plan.layers() as u64,
        seconds_per_layer: PerLayer::default(),
        proofs_per_layer: PerLayer::default(),
        peak_memory_bytes: memory_peak_bytes(),
        peak_memory_bytes_per_layer: PerLayer::default(),
        final_proof_bytes: proof.len() as u64,
        batches: public.batch_last,
        commands: task.batches.iter().map(|batch| batch.commands).sum(),
        jobs: tally.jobs,
        jobs_found: task.plan.jobs().len() as u64 - tally.jobs.min(task.plan.jobs().len() as u64),
        aggregate_seconds,
        verify_seconds: verified.verify_seconds,
        old_root: verified.statement.old_root,
        new_root: verified.statement.new_root,
        key: verified.key,
        ok: verified.ok,
    };
    for (place, job) in task.plan.jobs().iter().enumerate() {
        // What is below a result that was found need not be there any more.
        let outcome = task.store.result(task.plan.id(place))?;
        let (seconds, memory) =
            outcome.map_or((0.0, 0), |outcome| (outcome.milliseconds as f64 / 1e3, outcome.memory_bytes));
        if let Some(sum) = report.seconds_per_layer.of(job.kind()) {
            *sum += seconds;
        }
        if let Some(proofs) = report.proofs_per_layer.of(job.kind()) {
            *proofs += 1;
        }
        if let Some(most) = report.peak_memory_bytes_per_layer.of(job.kind()) {
            *most = memory.max(*most);
        }
        report.peak_memory_bytes = report.peak_memory_bytes.max(memory);
    }
    Ok(report)
}

/// Takes jobs until none is left.
pub fn work(options: &Options, ui: Ui) -> Result<WorkReport> {
    let started = Instant::now();
    let task = Task::open(options)?;
    let mut tally = Tally::new(&task.plan, &task.store.inner, ui)?;
    let _proof = task.take_jobs(&mut tally, "work")?;
    tally.bar.finish_and_clear();
    Ok(WorkReport {
        jobs: tally.jobs,
        seconds: started.elapsed().as_secs_f64(),
        seconds_per_layer: tally.seconds,
        proofs_per_layer: tally.proofs,
        peak_memory_bytes: tally.memory.max(memory_peak_bytes()),
    })
}

/// The bytes of the wrap's proof, which an aggregation left behind.
#[cfg(feature = "compact")]
pub(crate) fn wrap(options: &Options) -> Result<Vec<u8>> {
    let task = Task::open(options)?;
    let place = task.plan.jobs().iter().position(|job| job.kind() == Kind::Wrap);
    let id = task.plan.id(place.expect("every aggregation has a wrap"));
    let found = match task.store.result(id)? {
        Some(outcome) => task.store.object(outcome.object)?,
        None => None,
    };
    let path = options.dir.display();
    found.ok_or_else(|| {
        unexpected(&path, "the proof of its wrap among its jobs", "none")
            .advise(format!("make the last proof first: holdfast aggregate {path}"))
    })
}

/// What is recorded of a proof over whole batches, for this key.
pub(crate) fn record(key: String, public: &LastPublic, proof: &[u8]) -> FinalRecord {
    FinalRecord {
        key,
        statement: public.into(),
        proof: FileRecord { bytes: proof.len() as u64, sha256: sha256_hex(proof) },
    }
}

/// A directory whose batches are all proven, as what an aggregation starts from.
struct Task {
    dir: Dir,
    batches: Vec<BatchRecord>,
    /// The batch and the number in it of each segment.
    segments: BTreeMap<JobId, (u32, usize)>,
    plan: Plan,
    store: Proven,
}

impl Task {
    fn open(options: &Options) -> Result<Self> {
        let dir = Dir::open(&options.dir)?;
        let batches = dir.batches()?;
        let unproven = dir.unproven(&batches)?;
        if !unproven.is_empty() {
            let error = unexpected(
                format!("{} of {}", batch_list(&unproven), count(batches.len() as u64, "batch")),
                "all proven",
                format!("{} without proofs", grouped(unproven.len() as i128)),
            );
            return Err(error.advise(format!("prove what is left first: holdfast prove {}", options.dir.display())));
        }
        let (settings, proofs) = dir.proof_records(&batches)?;
        let key = verifying_key().pre_hash;
        same("proofs/settings.json, verifying_key", &digest_to_hex(&key), &settings.verifying_key).map_err(
            |error| {
                error
                    .advise("the proofs were made by another version of the rules: this one makes other proofs of them")
            },
        )?;
        let limits = SegmentLimits {
            rows: settings.segment_rows as usize,
            slots: settings.segment_slots as usize,
            signatures: settings.segment_signatures as usize,
        };
        let (mut sources, mut segments, mut results) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut chain = Published::begin(&dir)?;
        for (record, proven) in batches.iter().zip(&proofs) {
            let (number, before) = (record.batch, chain.clone());
            let (published, z) = chain.append(&dir, record)?;
            for (index, file) in proven.segments.iter().enumerate() {
                let what = || format!("batch {number}, {}", proof_record_name(number));
                let object = ObjectId::from_hex(&file.sha256)
                    .ok_or_else(|| unexpected(what(), "hashes of 64 hexadecimal digits", &file.sha256))?;
                let work = Work::Segment { batch: published, root_old: before.root, z, index: index as u32, limits };
                let job = Job { key: KeyId::segment(&key), work }.id();
                sources.push(Source { job, data_before: before.data });
                segments.insert(job, (number, index));
                results.insert(job, object);
            }
        }
        if sources.is_empty() {
            return Err(unexpected(dir.path().display(), "at least one segment", "none"));
        }
        let jobs_dir = options.jobs_dir.clone().unwrap_or_else(|| dir.jobs_path());
        let objects = results.iter().map(|(job, object)| (*object, segments[job])).collect();
        let inner = Directory::open(&jobs_dir, LEASE)?;
        let store = Proven { dir: dir.clone(), results, objects, inner };
        let plan = Plan::aggregate(Aggregation::key(), &sources);
        Ok(Self { dir, batches, segments, plan, store })
    }

    /// Works until the last proof is there.
    fn take_jobs(&self, tally: &mut Tally<'_>, command: &str) -> Result<Vec<u8>> {
        let (executor, owner) = (Aggregation::new(), owner_name());
        let site =
            Site { store: &self.store, claims: &self.store.inner, executor: &executor, owner: &owner, poll: POLL };
        let done = take_jobs(&self.plan, &site, &interrupted, &mut |event| tally.take(event));
        done.map_err(|error| self.explain(error, command))
    }

    fn explain(&self, error: WorkError, command: &str) -> Error {
        let path = self.dir.path().display();
        let segment = |job: &JobId, reason: String| match self.segments.get(job) {
            Some(&(batch, index)) => {
                let (proof, record) = (proof_name(batch, index), proof_record_name(batch));
                unexpected(format!("batch {batch}, {proof}"), "a valid proof of its segment", reason).advise(format!(
                    "remove {path}/{proof} and {path}/{record}, and make it again: holdfast prove {path}"
                ))
            }
            None => Error::Job { kind: "segment", job: job.to_string(), reason },
        };
        match error {
            WorkError::Store(error) => Error::Store(error),
            WorkError::Missing { job } => segment(&job, "none with the hash that its batch's record states".to_owned()),
            WorkError::Source { job, reason } => segment(&job, reason),
            WorkError::Failed { kind, job, reason } => Error::Job { kind: kind.name(), job: job.to_string(), reason },
            WorkError::Stopped => {
                Error::Interrupted { advice: format!("nothing is lost; continue with: holdfast {command} {path}") }
            }
        }
    }
}

/// Where the published data lead: what a last proof over them must say.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub root: Digest,
    pub time: u64,
    /// Digest of all data.
    pub data: Digest,
}

impl Published {
    /// At the genesis.
    pub(crate) fn begin(dir: &Dir) -> Result<Self> {
        Ok(Self { root: dir.engine()?.root(), time: dir.genesis.time.get(), data: DIGEST_ZERO })
    }

    /// Goes on over a batch, and returns the hash of its published data, and where their polynomial is evaluated (in a directory, as if they went to calldata). The root is the one that is recorded: it is for a proof to say whether it follows.
    pub(crate) fn append(&mut self, dir: &Dir, record: &BatchRecord) -> Result<(ObjectId, U256)> {
        let number = record.batch;
        let batch = dir.batch(record)?;
        let published = ObjectId::of(&batch.encode());
        let what = format!("batch {number}, {} against {}, sha256", batch_name(number), record_name(number));
        same(what, &record.published_sha256, &published.to_string())?;
        let accepted =
            batch.instructions.iter().zip(&batch.outcomes).filter(|(_, verdict)| **verdict == Verdict::Accepted);
        for (instruction, _) in accepted {
            if let Command::Time(advance) = &instruction.command {
                self.time = advance.time.get();
            }
        }
        let time = TimeMs::new(self.time).expect("the time of a command, or of the genesis");
        let progress = Progress::end_in_calldata(&batch);
        self.data = compress(&self.data, &progress.digest(time));
        self.root = record_root(record);
        Ok((published, progress.z))
    }
}

/// `batch 3`, `batches 1, 4 and 6 to 9`.
fn batch_list(batches: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &batch in batches {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == batch => *last = batch,
            _ => runs.push((batch, batch)),
        }
    }
    let names: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
        .collect();
    let word = if batches.len() == 1 { "batch" } else { "batches" };
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{word} {} and {last}", rest.join(", ")),
        _ => format!("{word} {}", names.join(", ")),
    }
}

/// The jobs' store, beside the segments' proofs of the directory, which are results of theirs.
struct Proven {
    dir: Dir,
    results: BTreeMap<JobId, ObjectId>,
    objects: BTreeMap<ObjectId, (u32, usize)>,
    inner: Directory,
}

impl Store for Proven {
    fn put_object(&self, bytes: &[u8]) -> std::result::Result<ObjectId, StoreError> {
        self.inner.put_object(bytes)
    }

    fn object(&self, id: ObjectId) -> std::result::Result<Option<Vec<u8>>, StoreError> {
        let Some(&(batch, segment)) = self.objects.get(&id) else { return self.inner.object(id) };
        let found = self.dir.proof(batch, segment).map_err(|error| match error {
            Error::File { action, path, source } => StoreError { action, what: path.display().to_string(), source },
            error => StoreError {
                action: "read",
                what: proof_name(batch, segment),
                source: io::Error::other(error.to_string()),
            },
        })?;
        Ok(found.filter(|bytes| ObjectId::of(bytes) == id))
    }

    fn has_object(&self, id: ObjectId) -> std::result::Result<bool, StoreError> {
        if self.objects.contains_key(&id) { Ok(true) } else { self.inner.has_object(id) }
    }

    fn put_result(&self, job: JobId, outcome: &Outcome) -> std::result::Result<(), StoreError> {
        self.inner.put_result(job, outcome)
    }

    fn result(&self, job: JobId) -> std::result::Result<Option<Outcome>, StoreError> {
        match self.results.get(&job) {
            Some(&object) => Ok(Some(Outcome { object, milliseconds: 0, memory_bytes: 0 })),
            None => self.inner.result(job),
        }
    }

    fn forget(&self, job: JobId) -> std::result::Result<(), StoreError> {
        self.inner.forget(job)
    }
}

/// What this process did, and how long the rest may take.
struct Tally<'a> {
    plan: &'a Plan,
    bar: ProgressBar,
    needed: Vec<usize>,
    jobs: u64,
    seconds: PerLayer<f64>,
    proofs: PerLayer<u64>,
    memory: u64,
    /// Seconds and proofs of each layer that are known, from this process and from others.
    known: BTreeMap<Kind, (f64, u64)>,
}

impl<'a> Tally<'a> {
    fn new(plan: &'a Plan, store: &Directory, ui: Ui) -> Result<Self> {
        let bar = ui.bar("aggregate", "proofs", Some(plan.jobs().len() as u64));
        let mut known: BTreeMap<Kind, (f64, u64)> = BTreeMap::new();
        for (place, job) in plan.jobs().iter().enumerate() {
            if let Some(outcome) = store.result(plan.id(place))? {
                let (sum, proofs) = known.entry(job.kind()).or_default();
                *sum += outcome.milliseconds as f64 / 1e3;
                *proofs += 1;
            }
        }
        let (seconds, proofs) = (PerLayer::default(), PerLayer::default());
        Ok(Self { plan, bar, needed: Vec::new(), jobs: 0, seconds, proofs, memory: 0, known })
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Needed(needed) => {
                self.needed = needed.to_vec();
                self.bar.set_position((self.plan.jobs().len() - needed.len()) as u64);
            }
            Event::Started(job) => {
                let (kind, left) = (job.kind(), self.left());
                let of_kind = |places: &mut dyn Iterator<Item = usize>| {
                    places.filter(|&place| self.plan.jobs()[place].kind() == kind).count()
                };
                let all = of_kind(&mut (0..self.plan.jobs().len()));
                let number = all - of_kind(&mut self.needed.iter().copied()) + 1;
                self.bar.set_message(format!("{} {number} of {all}{left}", kind.name()));
            }
            Event::Finished(job, outcome) => {
                let seconds = outcome.milliseconds as f64 / 1e3;
                self.jobs += 1;
                self.memory = self.memory.max(outcome.memory_bytes);
                if let Some(sum) = self.seconds.of(job.kind()) {
                    *sum += seconds;
                }
                if let Some(proofs) = self.proofs.of(job.kind()) {
                    *proofs += 1;
                }
                let (sum, proofs) = self.known.entry(job.kind()).or_default();
                *sum += seconds;
                *proofs += 1;
            }
            Event::Waiting => self.bar.set_message(format!("others are at work{}", self.left())),
        }
    }

    /// What this process alone would take for the rest, as far as it can be known: a layer without proofs is taken to be like the others.
    fn left(&self) -> String {
        let (seconds, proofs) = self.known.values().fold((0.0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        if proofs == 0 {
            return String::new();
        }
        let mean = |(seconds, proofs): (f64, u64)| seconds / proofs as f64;
        let each = |place: &usize| {
            let kind = self.plan.jobs()[*place].kind();
            mean(self.known.get(&kind).copied().unwrap_or((seconds, proofs)))
        };
        let left: f64 = self.needed.iter().map(each).sum();
        if left < 90.0 {
            format!(" · about {left:.0} s left")
        } else {
            format!(" · about {:.0} min left", left / 60.0)
        }
    }
}

impl Report {
    pub fn text(&self) -> String {
        facts(&[
            (
                "proven",
                format!(
                    "{} of {} in one proof of {}",
                    count(self.commands, "command"),
                    count(self.batches.into(), "batch"),
                    bytes(self.final_proof_bytes)
                ),
            ),
            (
                "jobs",
                format!(
                    "{} done, {} found; {} over {}",
                    grouped(self.jobs),
                    grouped(self.jobs_found),
                    count(self.layers, "layer"),
                    count(self.segments, "segment")
                ),
            ),
            ("time", seconds(self.aggregate_seconds)),
            ("memory", format!("{} at most", bytes(self.peak_memory_bytes))),
            ("root", format!("{} → {}", self.old_root, self.new_root)),
            ("key", self.key.clone()),
            ("verified", format!("by this program's own verifier in {}", seconds(self.verify_seconds))),
        ]) + &layer_text(self.proofs_per_layer, self.seconds_per_layer, Some(self.peak_memory_bytes_per_layer))
            + &format!("  written: {FINAL_PROOF}\n")
    }
}

impl WorkReport {
    pub fn text(&self) -> String {
        let done = format!("{} in {}", count(self.jobs, "job"), seconds(self.seconds));
        let memory = format!("{} at most", bytes(self.peak_memory_bytes));
        facts(&[("done", done), ("memory", memory), ("left", "nothing: the last proof is made".into())])
            + &layer_text(self.proofs_per_layer, self.seconds_per_layer, None)
    }
}

/// Where the time went.
fn layer_text(mut proofs: PerLayer<u64>, mut took: PerLayer<f64>, memory: Option<PerLayer<u64>>) -> String {
    let mut shown = super::table(&["layer", "proofs", "seconds", "seconds a proof", "memory"], 1);
    for kind in LAYERS {
        let (Some(&mut proofs), Some(&mut seconds)) = (proofs.of(kind), took.of(kind)) else { continue };
        if proofs == 0 {
            continue;
        }
        let memory = memory.and_then(|mut memory| memory.of(kind).copied()).map_or_else(String::new, bytes);
        let each = format!("{:.1}", seconds / proofs as f64);
        shown.add_row([kind.name().to_owned(), grouped(proofs), format!("{seconds:.1}"), each, memory]);
    }
    format!("{shown}\n")
}

#[cfg(test)]
mod tests {
    use super::batch_list;

    #[test]
    fn batches_are_listed_as_runs() {
        for (batches, text) in [
            (&[3][..], "batch 3"),
            (&[1, 2, 3], "batches 1 to 3"),
            (&[1, 4], "batches 1 and 4"),
            (&[1, 4, 6, 7, 8, 9], "batches 1, 4 and 6 to 9"),
        ] {
            assert_eq!(batch_list(batches), text);
        }
    }
}
