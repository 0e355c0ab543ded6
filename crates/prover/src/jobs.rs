//! Proving as jobs that separate processes can take: execute → segment → aggregate.
//!
//! A [`Job`] is pure data: what is to be proven, from what, and for which key. Its id is a hash of that. A job names what it starts from by *content* (the published data of a batch), and what
//! other jobs give it by *their ids*, not by the bytes that they gave: proving grinds for random witnesses, so that the same job done twice gives other bytes which serve equally. So the
//! whole graph follows from what is published, before anything is proven; a result that is lost or damaged is made again by its job alone, and what was made from it stays.
//!
//! - [`Plan`]: the graph of an aggregation, and which of its jobs are to be done, given what is there. No state of its own, so nothing to keep or to repair.
//! - [`Store`]: objects by the hash of their bytes, and which object is the result of a job. Bytes that are not what their name says are as if absent.
//! - [`Claims`]: who works on what, for a while. They spare work and guarantee nothing: a claim that is lost, or taken over too early, costs doing a job twice, and both results are good.
//! - [`work`]: what a worker does until nothing is left. There is a queue in this process ([`Memory`]) and one in a directory that many processes share ([`Directory`]); a broker would be a third.
//!
//! **Trust.** Each proof is verified by the job that takes it in, and the last by whoever reads it. Whoever may write to a store can hold up the work (a proof's decoder believes its lengths), but
//! not make a false last proof.

mod directory;
mod executor;
mod memory;
mod resources;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::U256;
use holdfast_crypto::{
    Digest,
    field::{digest_decode, digest_encode},
    hex::{from_hex, to_hex},
};
use sha2::{Digest as _, Sha256};

use crate::{
    SegmentLimits,
    aggregate::{LEAF_ARITY, NODE_ARITY},
};

pub use directory::Directory;
pub use executor::{Aggregation, read_wrap};
pub use memory::Memory;
pub use resources::{memory_peak_bytes, memory_peak_reset};

/// What a job's encoding begins with: its format, so that no other hash of the project is a job's id.
const DOMAIN: &[u8; 16] = b"holdfast job 2\0\0";
/// Most jobs that one job takes in.
const INPUTS_MAX: usize = if LEAF_ARITY > NODE_ARITY { LEAF_ARITY } else { NODE_ARITY };

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl $name {
            /// Reads 64 hexadecimal digits in lower case.
            pub fn from_hex(text: &str) -> Option<Self> {
                from_hex(text).ok().map(Self)
            }
        }
    };
}
id!(
    /// Bytes, by their SHA-256.
    ObjectId
);
id!(
    /// A job, by the SHA-256 of its encoding.
    JobId
);
id!(
    /// The key that a job is for: of a segment, the hash of the segments' verifying key; of everything above, the id of the last proof's key, which fixes the keys of all layers.
    KeyId
);

impl ObjectId {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl KeyId {
    /// Of the segments' verifying key.
    pub fn segment(pre_hash: &Digest) -> Self {
        Self(digest_encode(pre_hash))
    }
}

/// What is to be proven, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A segment of a batch. Whoever proves it must have the state before the batch, which is that of this root: it comes from executing the batches before.
    Segment {
        /// The batch's published data.
        batch: ObjectId,
        root_old: Digest,
        /// Where the polynomial of what the batch publishes is evaluated: it depends on the published data, and on what carries them.
        z: U256,
        /// Which of the segments that the limits cut it into.
        index: u32,
        limits: SegmentLimits,
    },
    /// A leaf over segments. `data_before` is the digest of all data published before the first of them.
    Leaf { data_before: Digest, segments: Vec<JobId> },
    /// A node over leaves.
    First { leaves: Vec<JobId> },
    /// A node over first nodes, or over nodes.
    Node { below: Vec<JobId> },
    /// The wrap of the one node that is over everything.
    Wrap { node: JobId },
    /// The last proof.
    Last { wrap: JobId },
}

/// Kinds of work, in the order in which proofs go through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Segment = 1,
    Leaf = 2,
    First = 3,
    Node = 4,
    Wrap = 5,
    Last = 6,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Segment, Self::Leaf, Self::First, Self::Node, Self::Wrap, Self::Last];

    pub fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Leaf => "leaf",
            Self::First => "first",
            Self::Node => "node",
            Self::Wrap => "wrap",
            Self::Last => "last",
        }
    }
}

/// Work, for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub key: KeyId,
    pub work: Work,
}

impl Job {
    pub fn kind(&self) -> Kind {
        match &self.work {
            Work::Segment { .. } => Kind::Segment,
            Work::Leaf { .. } => Kind::Leaf,
            Work::First { .. } => Kind::First,
            Work::Node { .. } => Kind::Node,
            Work::Wrap { .. } => Kind::Wrap,
            Work::Last { .. } => Kind::Last,
        }
    }

    /// The jobs whose results it takes in, in order.
    pub fn inputs(&self) -> &[JobId] {
        match &self.work {
            Work::Segment { .. } => &[],
            Work::Leaf { segments: inputs, .. } | Work::First { leaves: inputs } | Work::Node { below: inputs } => {
                inputs
            }
            Work::Wrap { node: input } | Work::Last { wrap: input } => std::slice::from_ref(input),
        }
    }

    pub fn id(&self) -> JobId {
        JobId(Sha256::digest(self.encode()).into())
    }

    /// The one encoding: domain, kind, key, fields in order. Numbers are of eight bytes, the most significant first; a list is its length and its ids.
    pub fn encode(&self) -> Vec<u8> {
        let Self { key, work } = self;
        let mut out = DOMAIN.to_vec();
        out.push(self.kind() as u8);
        out.extend(key.0);
        let number = |out: &mut Vec<u8>, number: u64| out.extend(number.to_be_bytes());
        let ids = |out: &mut Vec<u8>, ids: &[JobId]| {
            number(out, ids.len() as u64);
            ids.iter().for_each(|id| out.extend(id.0));
        };
        match work {
            Work::Segment { batch, root_old, z, index, limits: SegmentLimits { rows, slots, signatures } } => {
                out.extend(batch.0);
                out.extend(digest_encode(root_old));
                out.extend(z.to_be_bytes::<32>());
                for value in [*index as usize, *rows, *slots, *signatures] {
                    number(&mut out, value as u64);
                }
            }
            Work::Leaf { data_before, segments } => {
                out.extend(digest_encode(data_before));
                ids(&mut out, segments);
            }
            Work::First { leaves: inputs } | Work::Node { below: inputs } => ids(&mut out, inputs),
            Work::Wrap { node: input } | Work::Last { wrap: input } => out.extend(input.0),
        }
        out
    }

    /// Reads an encoding; `None` if it is not one. `decode(x) = Some(job)` implies `job.encode() = x`.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(DOMAIN)?;
        let mut take = |length: usize| -> Option<&[u8]> {
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            Some(taken)
        };
        let kind = take(1)?[0];
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        let mut hash = || -> Option<[u8; 32]> { take(32)?.try_into().ok() };
        let key = KeyId(hash()?);
        let work = match kind {
            Kind::Segment => {
                let (batch, root_old) = (ObjectId(hash()?), digest_decode(&hash()?).ok()?);
                let z = U256::from_be_bytes(hash()?);
                let mut number = || -> Option<usize> { u64::from_be_bytes(take(8)?.try_into().ok()?).try_into().ok() };
                let index = u32::try_from(number()?).ok()?;
                let limits = SegmentLimits { rows: number()?, slots: number()?, signatures: number()? };
                Work::Segment { batch, root_old, z, index, limits }
            }
            Kind::Leaf | Kind::First | Kind::Node => {
                let data_before = if kind == Kind::Leaf { Some(digest_decode(&hash()?).ok()?) } else { None };
                let count = u64::from_be_bytes(take(8)?.try_into().ok()?);
                if count > INPUTS_MAX as u64 {
                    return None;
                }
                let inputs = (0..count).map(|_| Some(JobId(take(32)?.try_into().ok()?))).collect::<Option<Vec<_>>>()?;
                match (kind, data_before) {
                    (_, Some(data_before)) => Work::Leaf { data_before, segments: inputs },
                    (Kind::First, None) => Work::First { leaves: inputs },
                    (_, None) => Work::Node { below: inputs },
                }
            }
            Kind::Wrap => Work::Wrap { node: JobId(hash()?) },
            Kind::Last => Work::Last { wrap: JobId(hash()?) },
        };
        rest.is_empty().then_some(Self { key, work })
    }
}

/// Where an aggregation starts: a segment's job, and the digest of all data published before the segment, from the beginning of what is aggregated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub job: JobId,
    pub data_before: Digest,
}

/// The jobs of an aggregation, from segments to one last proof. It follows from its sources alone.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Inputs before those that take them in; the last is the last proof.
    jobs: Vec<Job>,
    ids: Vec<JobId>,
    places: BTreeMap<JobId, usize>,
}

/// What of a plan is left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Jobs without a result that the last proof needs, as places in [`Plan::jobs`], ascending.
    pub needed: Vec<usize>,
    /// Those of them whose inputs are all there.
    pub ready: Vec<usize>,
    /// Sources without a result that a needed job takes in.
    pub missing: Vec<JobId>,
}

impl Plan {
    /// Leaves over segments, first nodes over leaves, and nodes until one is left.
    ///
    /// All groups begin at the left, and one that is left over goes up as it is where it can: so when segments are appended, the jobs over complete groups stay the same, with their results.
    ///
    /// # Panics
    /// Without sources.
    pub fn aggregate(key: KeyId, sources: &[Source]) -> Self {
        assert!(!sources.is_empty(), "there is nothing to aggregate");
        let mut plan = Self { jobs: Vec::new(), ids: Vec::new(), places: BTreeMap::new() };
        let mut add = |work: Work| plan.add(Job { key, work });
        let leaves: Vec<JobId> = sources
            .chunks(LEAF_ARITY)
            .map(|group| {
                let segments = group.iter().map(|source| source.job).collect();
                add(Work::Leaf { data_before: group[0].data_before, segments })
            })
            .collect();
        let firsts: Vec<JobId> =
            leaves.chunks(NODE_ARITY).map(|group| add(Work::First { leaves: group.to_vec() })).collect();
        // A first node must be below a node, even alone.
        let mut nodes: Vec<JobId> =
            firsts.chunks(NODE_ARITY).map(|group| add(Work::Node { below: group.to_vec() })).collect();
        while nodes.len() > 1 {
            let over = |group: &[JobId]| match group {
                [alone] => *alone,
                _ => add(Work::Node { below: group.to_vec() }),
            };
            nodes = nodes.chunks(NODE_ARITY).map(over).collect();
        }
        let wrap = add(Work::Wrap { node: nodes[0] });
        add(Work::Last { wrap });
        plan
    }

    fn add(&mut self, job: Job) -> JobId {
        let id = job.id();
        self.places.insert(id, self.jobs.len());
        self.ids.push(id);
        self.jobs.push(job);
        id
    }

    /// Inputs come before those that take them in.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The id of the job at a place.
    pub fn id(&self, place: usize) -> JobId {
        self.ids[place]
    }

    /// The id of the last proof's job.
    pub fn last(&self) -> JobId {
        self.ids[self.ids.len() - 1]
    }

    /// Proofs on the longest way from a segment to the last proof, which is one of them.
    pub fn layers(&self) -> usize {
        let mut depths: Vec<usize> = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            let below = job.inputs().iter().filter_map(|input| self.places.get(input)).map(|&place| depths[place]);
            depths.push(1 + below.max().unwrap_or(0));
        }
        depths.last().copied().unwrap_or(0)
    }

    /// What is left to do. What is below a result that is there is not asked for.
    pub fn frontier(&self, store: &dyn Store) -> Result<Frontier, StoreError> {
        let (mut needed, mut ready, mut missing) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let mut known: BTreeMap<JobId, bool> = BTreeMap::new();
        let mut done = |id: JobId| -> Result<bool, StoreError> {
            if let Some(&done) = known.get(&id) {
                return Ok(done);
            }
            let done = is_done(store, id)?;
            known.insert(id, done);
            Ok(done)
        };
        let mut open = Vec::new();
        if !done(self.last())? {
            open.push(self.jobs.len() - 1);
        }
        while let Some(place) = open.pop() {
            if !needed.insert(place) {
                continue;
            }
            let mut complete = true;
            for &input in self.jobs[place].inputs() {
                if done(input)? {
                    continue;
                }
                complete = false;
                match self.places.get(&input) {
                    Some(&below) => open.push(below),
                    None => _ = missing.insert(input),
                }
            }
            if complete {
                ready.push(place);
            }
        }
        ready.sort_unstable();
        Ok(Frontier { needed: needed.into_iter().collect(), ready, missing: missing.into_iter().collect() })
    }
}

fn is_done(store: &dyn Store, job: JobId) -> Result<bool, StoreError> {
    match store.result(job)? {
        Some(outcome) => store.has_object(outcome.object),
        None => Ok(false),
    }
}

/// The result of a job, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub object: ObjectId,
    pub milliseconds: u64,
    /// Largest memory of the process while it did this job; 0 where it is not known.
    pub memory_bytes: u64,
}

/// A store that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {what}: {source}")]
pub struct StoreError {
    pub action: &'static str,
    pub what: String,
    pub source: io::Error,
}

/// Where objects and results are. Everything that is put is there in full or not at all, whenever the process ends.
pub trait Store: Sync {
    fn put_object(&self, bytes: &[u8]) -> Result<ObjectId, StoreError>;

    /// The bytes of an object; `None` if it is absent, or if what is there is something else.
    fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether something is there under an object's name: a cheap guess that [`Store::object`] decides.
    fn has_object(&self, id: ObjectId) -> Result<bool, StoreError>;

    /// Records a job's result, instead of an earlier one. The object must be there.
    fn put_result(&self, job: JobId, outcome: &Outcome) -> Result<(), StoreError>;

    fn result(&self, job: JobId) -> Result<Option<Outcome>, StoreError>;

    /// Forgets a job's result, if there is one, so that it is made again.
    fn forget(&self, job: JobId) -> Result<(), StoreError>;
}

/// Who works on what. A claim lasts for a lease since it was made or renewed.
pub trait Claims: Sync {
    fn lease(&self) -> Duration;

    /// Claims a job; false if another owner has, not longer than a lease ago.
    fn claim(&self, job: JobId, owner: &str) -> Result<bool, StoreError>;

    /// False if the claim is not this owner's any more.
    fn renew(&self, job: JobId, owner: &str) -> Result<bool, StoreError>;

    /// Gives a claim back, if it is still this owner's.
    fn release(&self, job: JobId, owner: &str) -> Result<(), StoreError>;
}

/// Does jobs.
pub trait Executor: Sync {
    /// Does a job whose inputs' bytes are these, in the job's order. What it returns is the job's result.
    fn execute(&self, job: &Job, inputs: &[Vec<u8>]) -> Result<Vec<u8>, Failure>;
}

/// Why a job cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// One of the inputs is not what its job must give.
    #[error("input {index}: {reason}")]
    Input { index: usize, reason: String },
    #[error("{0}")]
    Other(String),
}

/// Why a worker ended before the last proof was there.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a plan starts from is not there.
    #[error("job {job}: no result, and none can be made here")]
    Missing { job: JobId },
    /// What a plan starts from is not what it must be.
    #[error("job {job}: its result does not serve: {reason}")]
    Source { job: JobId, reason: String },
    #[error("{} {job}: {reason}", kind.name())]
    Failed { kind: Kind, job: JobId, reason: String },
    #[error("stopped")]
    Stopped,
}

/// What a worker tells while it works.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// These jobs, as places in [`Plan::jobs`], have no result yet.
    Needed(&'a [usize]),
    Started(&'a Job),
    Finished(&'a Job, &'a Outcome),
    /// Others work on all that is ready.
    Waiting,
}

/// What a worker works with.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub store: &'a dyn Store,
    pub claims: &'a dyn Claims,
    pub executor: &'a dyn Executor,
    /// The worker's name, which no other has.
    pub owner: &'a str,
    /// How long to wait before looking again, while others work on all that is ready.
    pub poll: Duration,
}

/// Does what is ready, until the last proof is there, and returns its bytes. Ends early, without losing a result, when `stop` says so between two jobs.
pub fn work(
    plan: &Plan,
    site: &Site<'_>,
    stop: &dyn Fn() -> bool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<u8>, WorkError> {
    // Results that were thrown away because they did not serve: once may be an accident.
    let mut redone = BTreeSet::new();
    loop {
        if stop() {
            return Err(WorkError::Stopped);
        }
        let frontier = plan.frontier(site.store)?;
        observe(Event::Needed(&frontier.needed));
        if frontier.needed.is_empty() {
            match result_bytes(site.store, plan.last())? {
                Some(bytes) => return Ok(bytes),
                None => {
                    site.store.forget(plan.last())?;
                    continue;
                }
            }
        }
        if let Some(&job) = frontier.missing.first() {
            return Err(WorkError::Missing { job });
        }
        let mut worked = false;
        for &place in &frontier.ready {
            if site.claims.claim(plan.id(place), site.owner)? {
                let done = attempt(plan, place, site, &mut redone, observe);
                site.claims.release(plan.id(place), site.owner)?;
                done?;
                worked = true;
                break;
            }
        }
        if !worked {
            observe(Event::Waiting);
            thread::sleep(site.poll);
        }
    }
}

/// Does a claimed job, unless somebody else has meanwhile, or finds out that an input must be made again.
fn attempt(
    plan: &Plan,
    place: usize,
    site: &Site<'_>,
    redone: &mut BTreeSet<JobId>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), WorkError> {
    let (job, id) = (&plan.jobs()[place], plan.id(place));
    if is_done(site.store, id)? {
        return Ok(());
    }
    let mut inputs = Vec::with_capacity(job.inputs().len());
    for &input in job.inputs() {
        match result_bytes(site.store, input)? {
            Some(bytes) => inputs.push(bytes),
            None if plan.places.contains_key(&input) => return Ok(site.store.forget(input)?),
            None => return Err(WorkError::Missing { job: input }),
        }
    }
    observe(Event::Started(job));
    memory_peak_reset();
    let started = Instant::now();
    let executed = while_renewing(site, id, || site.executor.execute(job, &inputs));
    let milliseconds = started.elapsed().as_millis() as u64;
    match executed {
        Ok(bytes) => {
            let object = site.store.put_object(&bytes)?;
            let outcome = Outcome { object, milliseconds, memory_bytes: memory_peak_bytes() };
            site.store.put_result(id, &outcome)?;
            observe(Event::Finished(job, &outcome));
            Ok(())
        }
        Err(Failure::Input { index, reason }) => {
            let input = job.inputs()[index];
            if !plan.places.contains_key(&input) {
                return Err(WorkError::Source { job: input, reason });
            }
            if !redone.insert(input) {
                return Err(WorkError::Failed { kind: job.kind(), job: id, reason });
            }
            Ok(site.store.forget(input)?)
        }
        Err(Failure::Other(reason)) => Err(WorkError::Failed { kind: job.kind(), job: id, reason }),
    }
}

/// Runs `job`, and keeps its claim alive meanwhile.
fn while_renewing<T>(site: &Site<'_>, id: JobId, job: impl FnOnce() -> T) -> T {
    // Three chances within a lease.
    let interval = site.claims.lease() / 4;
    thread::scope(|scope| {
        // Its end, by a panic too, is what stops the other thread.
        let (ends, ended) = sync_channel::<()>(0);
        scope.spawn(move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match site.claims.renew(id, site.owner) {
                    // A store that fails now will fail again when the result is put.
                    Ok(true) | Err(_) => {}
                    Ok(false) => break,
                }
            }
        });
        let done = job();
        drop(ends);
        done
    })
}

fn result_bytes(store: &dyn Store, job: JobId) -> Result<Option<Vec<u8>>, StoreError> {
    match store.result(job)? {
        Some(outcome) => store.object(outcome.object),
        None => Ok(None),
    }
}

/// A name for a worker, which no other has.
pub fn owner_name() -> String {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    // The standard library's one source of the system's randomness.
    let word = || RandomState::new().build_hasher().finish();
    format!("{}-{:016x}{:016x}", std::process::id(), word(), word())
}
