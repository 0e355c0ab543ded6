//! What proves: batches as they are committed, and then one proof for several of them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration, time::Instant};

use alloy_primitives::U256;
use holdfast_crypto::{Digest, field::DIGEST_ZERO, poseidon2::compress};
use holdfast_exchange::Engine;
use holdfast_protocol::{Batch, Command, Instruction, Outcome, TimeMs, publication::Progress};
use holdfast_prover::{
    BatchError, SegmentLimits, fill_batch,
    jobs::{
        Aggregation, Directory, Event as JobEvent, Job, JobId, KeyId, ObjectId, Outcome as JobOutcome, Plan, Site,
        Source, Store, Work, WorkError, memory_peak_bytes, owner_name, work,
    },
};
use openvm_stark_backend::codec::Encode;

use crate::{Error, Event, Result};

/// How long a claim of a job lasts without being renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often it is looked again when others work on all that is ready.
const POLL: Duration = Duration::from_millis(500);

/// A batch that Ethereum has.
#[derive(Debug, Clone)]
pub struct Committed {
    pub batch: Arc<Batch>,
    /// Where the polynomial of its words is evaluated: it follows from what carries them.
    pub z: U256,
    /// At its end.
    pub time: TimeMs,
    /// The state's after it.
    pub root: Digest,
    /// It leaves out an entry of the inbox that was due when it was committed: no proof may end with it.
    pub leaves_due: bool,
}

impl Committed {
    pub fn number(&self) -> u64 {
        self.batch.header.number.into()
    }

    /// Withdrawals that it carries out and that a session key has signed: what the contract bounds. (One that Ethereum asked for has its entry of the inbox beside the bound.)
    pub fn signed_withdrawals(&self) -> u64 {
        let all = self.batch.instructions.iter().zip(&self.batch.outcomes);
        let counts = |(instruction, outcome): &(&Instruction, &Outcome)| {
            matches!(instruction.command, Command::Withdraw(_))
                && !instruction.is_forced()
                && **outcome == Outcome::Accepted
        };
        all.filter(counts).count() as u64
    }

    /// What the contract keeps of it.
    pub fn digest(&self) -> Digest {
        Progress::end(&self.batch, self.z).digest(self.time)
    }
}

/// Batches in a row that become final together.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// Before the first of them.
    pub root_old: Digest,
    pub time_old: u64,
    /// At least one.
    pub batches: &'a [Committed],
}

impl Stretch<'_> {
    /// Numbers of the first and the last batch.
    pub fn numbers(&self) -> (u64, u64) {
        (self.batches[0].number(), self.last().number())
    }

    pub fn last(&self) -> &Committed {
        &self.batches[self.batches.len() - 1]
    }

    /// Digest of all their data: a public value of the proof.
    pub fn data(&self) -> Digest {
        self.batches.iter().fold(DIGEST_ZERO, |data, batch| compress(&data, &batch.digest()))
    }
}

/// Who sees a proof being made, and may stop it.
pub struct Watch<'a> {
    pub stop: &'a dyn Fn() -> bool,
    pub tell: &'a dyn Fn(Event),
}

/// What proves. It runs on a thread of its own; an error is the end of it.
pub trait Prove: Send {
    /// Takes the engine over the next batch, and proves it.
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()>;

    /// Makes the proof of these batches, all of which it has proven.
    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>>;
}

/// Proves segments, and aggregates them, as jobs whose results are in a directory.
pub struct Prover {
    jobs: Directory,
    limits: SegmentLimits,
    owner: String,
    keys: Option<holdfast_prover::Prover>,
    aggregation: Aggregation,
    /// The jobs of each batch's segments, since the last final one.
    segments: BTreeMap<u64, Vec<JobId>>,
}

impl Prover {
    /// A prover whose results are in this directory. The keys are made when they are first needed.
    pub fn open(jobs: &Path, limits: SegmentLimits) -> Result<Self> {
        Ok(Self {
            jobs: Directory::open(jobs, LEASE)?,
            limits,
            owner: owner_name(),
            keys: None,
            aggregation: Aggregation::new(),
            segments: BTreeMap::new(),
        })
    }
}

/// What stops the filling of segments.
enum Ended {
    Batch(BatchError),
    Other(Error),
}

impl From<BatchError> for Ended {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

impl Prove for Prover {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        let Self { jobs, limits, keys, segments, .. } = self;
        let keys = keys.get_or_insert_with(holdfast_prover::Prover::new);
        let (number, started) = (committed.number(), Instant::now());
        let key = KeyId::segment(&keys.verifying_key().pre_hash);
        let (published, root_old) = (ObjectId::of(&committed.batch.encode()), engine.root());
        let mut ids = Vec::new();
        let (store, tree) = engine.parts_mut();
        let filled = fill_batch(store, tree, &committed.batch, committed.z, *limits, |index, segment| {
            if (watch.stop)() {
                return Err(Ended::Other(Error::Stopped));
            }
            let index = index as u32;
            let work = Work::Segment { batch: published, root_old, z: committed.z, index, limits: *limits };
            let job = Job { key, work }.id();
            ids.push(job);
            let commands = u64::from(segment.public.sequence_end - segment.public.sequence_start);
            let (found, started) = (is_there(jobs, job).map_err(Ended::Other)?, Instant::now());
            if !found {
                let failed = |source| Error::Segment { batch: number, segment: index, source };
                let proof = keys.prove(segment).map_err(failed).map_err(Ended::Other)?;
                put(jobs, job, &proof, started).map_err(Ended::Other)?;
            }
            let seconds = started.elapsed().as_secs_f64();
            (watch.tell)(Event::Segment { batch: number, segment: index, commands, seconds, found });
            Ok(())
        });
        filled.map_err(|ended| match ended {
            Ended::Batch(source) => Error::Unprovable { batch: number, source },
            Ended::Other(error) => error,
        })?;
        // What the batch did is accounted for by its proof.
        let _conservation = store.take_conservation();
        let count = ids.len() as u32;
        segments.insert(number, ids);
        let seconds = started.elapsed().as_secs_f64();
        (watch.tell)(Event::Proven { batch: number, segments: count, seconds });
        Ok(())
    }

    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>> {
        let (mut data, mut sources) = (DIGEST_ZERO, Vec::new());
        for committed in stretch.batches {
            let jobs = self.segments.get(&committed.number()).into_iter().flatten();
            sources.extend(jobs.map(|&job| Source { job, data_before: data }));
            data = compress(&data, &committed.digest());
        }
        let plan = Plan::aggregate(Aggregation::key(), &sources);
        let Self { jobs, aggregation, owner, .. } = &*self;
        let site = Site { store: jobs, claims: jobs, executor: aggregation, owner, poll: POLL };
        let left = std::cell::Cell::new(0);
        let observe = &mut |event: JobEvent<'_>| match event {
            JobEvent::Needed(needed) => left.set(needed.len() as u64),
            JobEvent::Finished(job, outcome) => (watch.tell)(Event::Aggregated {
                layer: job.kind().name(),
                left: left.get().saturating_sub(1),
                seconds: outcome.milliseconds as f64 / 1e3,
            }),
            _ => {}
        };
        let proof = work(&plan, &site, watch.stop, observe).map_err(|error| match error {
            WorkError::Stopped => Error::Stopped,
            WorkError::Store(error) => Error::Store(error),
            // It is proven again when the operator starts the next time.
            WorkError::Missing { job } => source_lost(jobs, job, "its result is lost or damaged".into()),
            WorkError::Source { job, reason } => source_lost(jobs, job, reason),
            WorkError::Failed { kind, job, reason } => Error::Job { kind: kind.name(), job: job.to_string(), reason },
        })?;
        let last = stretch.last().number();
        self.segments.retain(|&number, _| number > last);
        Ok(proof)
    }
}

fn is_there(jobs: &Directory, job: JobId) -> Result<bool> {
    match jobs.result(job)? {
        Some(outcome) => Ok(jobs.object(outcome.object)?.is_some()),
        None => Ok(false),
    }
}

fn put(jobs: &Directory, job: JobId, proof: &impl Encode, started: Instant) -> Result<()> {
    let unwritable = |error: std::io::Error| Error::Job {
        kind: "segment",
        job: job.to_string(),
        reason: format!("its proof cannot be encoded: {error}"),
    };
    let object = jobs.put_object(&proof.encode_to_vec().map_err(unwritable)?)?;
    let milliseconds = started.elapsed().as_millis() as u64;
    Ok(jobs.put_result(job, &JobOutcome { object, milliseconds, memory_bytes: memory_peak_bytes() })?)
}

fn source_lost(jobs: &Directory, job: JobId, reason: String) -> Error {
    match jobs.forget(job) {
        Ok(()) => Error::Job { kind: "segment", job: job.to_string(), reason },
        Err(error) => Error::Store(error),
    }
}
