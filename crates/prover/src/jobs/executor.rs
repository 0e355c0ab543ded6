//! The jobs of an aggregation, done by an [`Aggregator`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use holdfast_circuit::{
    last::LastKey,
    verify::{SegmentProof, decode_proof},
};
use openvm_stark_backend::codec::{Decode, Encode};

use super::{Executor, Failure, Job, KeyId, Work};
use crate::aggregate::{AggregateError, Aggregator, Kind, NodeProof, Stretch};

/// What an object of a proof of the recursion begins with; the byte after it is its [`Tag`].
const MAGIC: &[u8; 3] = b"HFA";

/// Which circuit an object's proof is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Leaf = 1,
    First = 2,
    Node = 3,
    Wrap = 4,
}

impl Tag {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Leaf => Self::Leaf,
            Kind::First => Self::First,
            Kind::Node => Self::Node,
        }
    }
}

/// Does the jobs of an aggregation. The keys of all layers are made when the first job needs them.
#[derive(Default)]
pub struct Aggregation {
    aggregator: OnceLock<Aggregator>,
}

impl Aggregation {
    pub fn new() -> Self {
        Self::default()
    }

    /// The key that these jobs are for.
    pub fn key() -> KeyId {
        KeyId(LastKey::bundled().id())
    }

    fn aggregator(&self) -> &Aggregator {
        self.aggregator.get_or_init(Aggregator::new)
    }
}

impl Executor for Aggregation {
    fn execute(&self, job: &Job, inputs: &[Vec<u8>]) -> Result<Vec<u8>, Failure> {
        if job.key != Self::key() {
            let (expected, got) = (Self::key(), job.key);
            return Err(Failure::Other(format!("key: expected {expected}, which this program has, got {got}")));
        }
        let aggregator = self.aggregator();
        match &job.work {
            Work::Segment { .. } => {
                Err(Failure::Other("a segment is proven from the state before its batch, which is not here".into()))
            }
            Work::Leaf { data_before, .. } => {
                let segments = each(inputs, |bytes| guarded(|| decode_proof(bytes)))?;
                stretch(aggregator.leaf(*data_before, &segments))
            }
            Work::First { .. } => {
                let below = each(inputs, |bytes| read_stretch(bytes, &[Kind::Leaf]))?;
                stretch(aggregator.node(&below))
            }
            Work::Node { .. } => {
                let below = each(inputs, |bytes| read_stretch(bytes, &[Kind::First, Kind::Node]))?;
                stretch(aggregator.node(&below))
            }
            Work::Wrap { .. } => {
                let node = each(inputs, |bytes| read_stretch(bytes, &[Kind::Node]))?;
                write(Tag::Wrap, &aggregator.wrap(&node[0]).map_err(failure)?)
            }
            Work::Last { .. } => {
                let wrap = each(inputs, read_wrap)?;
                let bytes = aggregator.last(&wrap[0]).map_err(failure)?;
                // The proof is of use to those who have the bundled key, and to nobody else.
                let verified = LastKey::bundled().verify(&bytes);
                verified.map_err(|error| Failure::Other(format!("{error} (against the key that is bundled)")))?;
                Ok(bytes)
            }
        }
    }
}

/// Reads the result of a wrap's job.
///
/// # Errors
///
/// If the bytes are not of a wrap's proof. Whether it is valid is another question.
pub fn read_wrap(bytes: &[u8]) -> Result<NodeProof, String> {
    read(bytes, Tag::Wrap)
}

/// Reads every input.
fn each<T>(inputs: &[Vec<u8>], read: impl Fn(&[u8]) -> Result<T, String>) -> Result<Vec<T>, Failure> {
    let read = |(index, bytes): (usize, &Vec<u8>)| read(bytes).map_err(|reason| Failure::Input { index, reason });
    inputs.iter().enumerate().map(read).collect()
}

fn stretch(proven: Result<Stretch, AggregateError>) -> Result<Vec<u8>, Failure> {
    let Stretch { kind, proof } = proven.map_err(failure)?;
    write(Tag::of(kind), &proof)
}

fn failure(error: AggregateError) -> Failure {
    match error {
        AggregateError::Child { index, reason } => Failure::Input { index, reason },
        error => Failure::Other(error.to_string()),
    }
}

fn write(tag: Tag, proof: &NodeProof) -> Result<Vec<u8>, Failure> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(tag as u8);
    proof.encode(&mut bytes).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(bytes)
}

fn read(bytes: &[u8], tag: Tag) -> Result<NodeProof, String> {
    let expected = [MAGIC.as_slice(), &[tag as u8]].concat();
    let rest = bytes.strip_prefix(expected.as_slice()).ok_or_else(|| format!("expected the proof of a {tag:?}"))?;
    guarded(|| NodeProof::decode_from_bytes(rest).map_err(|error| error.to_string()))
}

fn read_stretch(bytes: &[u8], kinds: &[Kind]) -> Result<Stretch, String> {
    let kind = kinds.iter().copied().find(|&kind| bytes.get(MAGIC.len()) == Some(&(Tag::of(kind) as u8)));
    let kind = kind.ok_or_else(|| format!("expected the proof of one of {kinds:?}"))?;
    Ok(Stretch { kind, proof: read(bytes, Tag::of(kind))? })
}

/// The backend's decoder may panic on bytes that are no proof.
fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("its bytes are no proof".into()))
}

/// The segments' proofs are the same type as those of the recursion.
const _: fn(SegmentProof) -> NodeProof = |proof| proof;
