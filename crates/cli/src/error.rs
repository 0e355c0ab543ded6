//! What can go wrong while a command runs, and what to do about it.

use std::{fmt::Display, io, path::Path, path::PathBuf};

use holdfast_circuit::{last::LastError, verify::VerifyError};
use holdfast_exchange::Refusal;
use holdfast_protocol::GenesisError;
#[cfg(feature = "compact")]
use holdfast_prover::aggregate::compact::CompactError;
use holdfast_prover::{BatchError, ProveError, jobs::StoreError};

use crate::flow::{FlowError, MapperError};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: cannot {action}: {}", path.display(), reason(source))]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Something is not as it must be.
    #[error("{what}: expected {expected}, got {got}")]
    Unexpected { what: String, expected: String, got: String, advice: Option<String> },
    #[error("{source}")]
    Flow { source: FlowError, advice: String },
    #[error(transparent)]
    Mapper(#[from] MapperError),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the venue refused a request: {0}")]
    Refused(#[from] Refusal),
    #[error("batch {batch}, segment {segment}: {source}")]
    Prove { batch: u32, segment: usize, source: ProveError },
    #[error("proving process {index} of {of} ended with {status}")]
    Worker { index: u32, of: u32, status: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{kind} {job}: {reason}")]
    Job { kind: &'static str, job: String, reason: String },
    #[error(transparent)]
    Last(#[from] LastError),
    #[cfg(feature = "compact")]
    #[error("{source}")]
    Compact { source: CompactError, advice: Option<String> },
    #[error(transparent)]
    L1(#[from] holdfast_settlement::Error),
    #[error(transparent)]
    Venue(#[from] holdfast_settlement::VenueError),
    #[error(transparent)]
    Check(#[from] holdfast_watcher::CheckError),
    #[error(transparent)]
    Operator(#[from] holdfast_operator::Error),
    #[error("interrupted")]
    Interrupted { advice: String },
    /// The other end of a channel is gone: its own error says why.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// What to do about it, if there is something to say.
    pub fn advice(&self) -> Option<String> {
        match self {
            Error::File { source, .. } | Error::Store(StoreError { source, .. })
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                Some("make room and run the same command again: it continues, nothing is half written".into())
            }
            Error::Unexpected { advice, .. } => advice.clone(),
            #[cfg(feature = "compact")]
            Error::Compact { advice, .. } => advice.clone(),
            Error::Flow { advice, .. } | Error::Interrupted { advice } => Some(advice.clone()),
            Error::Batch(BatchError::Outcome { .. }) => {
                Some("the published outcomes are not those of the rules; do not trust this data".into())
            }
            Error::Batch(_) => Some(
                "those who are said to have asked for these commands have not signed them; do not trust this data"
                    .into(),
            ),
            Error::Last(_) => Some(
                "it was changed, or another version of holdfast made it, which this program does not vouch for".into(),
            ),
            Error::Job { .. } => Some("what is proven stays proven: run the same command again to continue".into()),
            Error::Check(error) => error.advice().map(Into::into),
            Error::L1(holdfast_settlement::Error::Endpoint { what: "blobs of a transaction", .. })
            | Error::L1(holdfast_settlement::Error::Blob(_)) => Some(
                "this endpoint does not keep blobs: name a consensus client that has them, with --beacon URL".into(),
            ),
            Error::Worker { .. } => Some("its error is above; run the same command again to continue".into()),
            _ => None,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Error::File { action, path: path.to_owned(), source }
    }

    #[must_use]
    pub(crate) fn advise(mut self, text: impl Into<String>) -> Self {
        if let Error::Unexpected { advice, .. } = &mut self {
            *advice = Some(text.into());
        }
        self
    }
}

fn reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::NotFound => "expected a file or directory of this name, got none".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => source.to_string(),
    }
}

pub(crate) fn unexpected(what: impl Display, expected: impl Display, got: impl Display) -> Error {
    Error::Unexpected { what: what.to_string(), expected: expected.to_string(), got: got.to_string(), advice: None }
}

/// Checks that two things are the same, or says how they differ.
pub(crate) fn same<T: PartialEq + Display>(what: impl Display, expected: T, got: T) -> Result<()> {
    if expected == got { Ok(()) } else { Err(unexpected(what, expected, got)) }
}
