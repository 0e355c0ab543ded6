//! Why an operator cannot go on.

use std::{io, path::PathBuf};

use holdfast_exchange::Refusal;
use holdfast_protocol::{GenesisError, Outcome};
use holdfast_prover::{BatchError, ProveError, jobs::StoreError};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: cannot {action}: {source}")]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} is in use: another operator runs in it; two of them would contradict each other")]
    InUse { path: PathBuf },
    #[error("{path} is another venue's: its genesis is not the one that was given")]
    OtherGenesis { path: PathBuf },
    #[error(
        "{path} has {got} batches, but batch {expected} is final: it is another venue's directory, or an old copy of this one's; bring the batches back, or rebuild them from Ethereum"
    )]
    Behind { path: PathBuf, expected: u64, got: u64 },
    #[error(
        "the vault of this chain is {got}, the genesis names {expected}: give the endpoint and the genesis of one venue"
    )]
    OtherVault { expected: String, got: String },
    #[error("batch {batch}, instruction {instruction}: expected outcome {expected:?}, got {got:?} on disk")]
    Outcome { batch: u64, instruction: usize, expected: Outcome, got: Outcome },
    #[error(
        "entry {index} of the inbox is another than the one that was carried out: Ethereum was reorganised. Use more confirmations. Take back what is committed from the batch with that entry on (`holdfast recall --from N`), move batches/ from that one on, open/ and poster/ out of the operator's directory, and start again"
    )]
    InboxChanged { index: u64 },
    #[error("entry {index} of the inbox is no instruction: {reason}")]
    Entry { index: u64, reason: String },
    #[error(
        "batch {batch} was committed otherwise than it is here: expected {expected}, got {got}. Somebody else posts with the operator's key. What is not final can be taken back: `holdfast recall --from {batch}`"
    )]
    Foreign { batch: u64, expected: String, got: String },
    #[error(
        "the venue is frozen since batch {batch}: nothing can be committed any more; everybody exits by the escape"
    )]
    Frozen { batch: u64 },
    #[error(
        "batch {batch} is not committed, or not any more, and ended more than a day ago (at {time} ms), so that Ethereum does not take it: move batches/{batch:06}.batch and those after it, open/ and poster/ out of {path}, and start again; the inbox is carried out anew then, and who has signed what was in them has to sign it anew"
    )]
    TooLate { batch: u64, time: u64, path: PathBuf },
    #[error(
        "batch {batch} leads to root {expected}, its proof's execution to {got}: a fault of this program; take it back (`holdfast recall --from {batch}`), move batches/{batch:06}.batch and those after it, open/ and poster/ out of the operator's directory, and start again"
    )]
    Root { batch: u64, expected: String, got: String },
    #[error("the operator's session key cannot sign: {0}")]
    Session(String),
    #[error("the venue refused what it must not refuse: {0}")]
    Refused(#[from] Refusal),
    #[error("the orders: {0}")]
    Orders(String),
    #[error("there are {0} batches, as many as a venue may have")]
    BatchesUsedUp(u32),
    #[error(
        "batch {batch} cannot be proven: {source}; take it back (`holdfast recall --from {batch}`), move batches/{batch:06}.batch and those after it, open/ and poster/ out of the operator's directory, and start again without what cannot be proven"
    )]
    Unprovable { batch: u64, source: BatchError },
    #[error("batch {batch}, segment {segment}: {source}")]
    Segment { batch: u64, segment: u32, source: ProveError },
    #[error("{kind} {job}: {reason} (what is proven stays proven: start again to go on)")]
    Job { kind: &'static str, job: String, reason: String },
    #[error("the prover's thread ended: {0}")]
    Prover(String),
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error(transparent)]
    Settlement(#[from] holdfast_settlement::Error),
}

impl Error {
    /// Whether the next step may find it gone: an endpoint that does not answer, fees that are too low, a pause of the council.
    pub fn is_passing(&self) -> bool {
        use holdfast_settlement::Error as L1;
        matches!(
            self,
            Self::Settlement(
                L1::Endpoint { .. } | L1::Missing { .. } | L1::NotMined { .. } | L1::Reverted { .. } | L1::Blob(_)
            )
        )
    }
}
