//! What can go wrong between this machine and Ethereum.

use std::path::PathBuf;

use alloy::{primitives::B256, transports::TransportError};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: the endpoint did not answer as expected: {source}")]
    Endpoint { what: &'static str, source: TransportError },
    #[error("{what}: the endpoint has no {missing}, which it had or must have")]
    Missing { what: &'static str, missing: String },
    #[error("{0} is not an address of an endpoint: expected http://… or https://…")]
    Url(String),
    #[error("the endpoint is of chain {got}, expected chain {expected}: give an endpoint of that chain")]
    WrongChain { expected: u64, got: u64 },
    #[error("{what} is refused by the contract: {reason}")]
    Reverted { what: &'static str, reason: String },
    #[error(
        "{what} was not mined within {seconds} s (transaction {hash}): it may still be; ask for it again, or pay more"
    )]
    NotMined { what: &'static str, seconds: u64, hash: B256 },
    #[error("{what} cannot be signed: {reason}")]
    Signing { what: &'static str, reason: String },
    #[error("{what} needs {got} gas, a transaction has at most {most}")]
    TooMuchGas { what: &'static str, got: u64, most: u64 },
    #[error("cannot listen on {address}: {source} (another program may be there already: choose another port)")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error(transparent)]
    Blob(#[from] crate::blobs::BlobError),
    #[error("the consensus client did not answer as expected: {url}: {reason}")]
    Beacon { url: String, reason: String },
    #[error("artifact {contract}: {reason}")]
    Artifact { contract: &'static str, reason: String },
    #[error("block {block} holds an event of the contracts that cannot be read: {reason}")]
    Event { block: u64, reason: String },
    #[error(
        "the endpoints contradict each other: block {block} is {first} to the first and {second} to the second; one of them is wrong or not in step: do not go on before it is known which"
    )]
    Contradiction { block: u64, first: B256, second: B256 },
    #[error(
        "the chain was reorganised behind block {oldest}, the last one that is remembered: start again from the deployment's block"
    )]
    ReorganisedTooDeep { oldest: u64 },
    #[error("the digest of batch {batch} is none: cells below the field's modulus are expected, got {got}")]
    NoDigest { batch: u64, got: B256 },
    #[error("batch {expected} comes next, got {got}: batches are given in order, without gaps")]
    Order { expected: u64, got: u64 },
    #[error(
        "the chain has another batch {batch} than this poster's: expected {expected}, got {got}. Somebody else posts with the operator's key, or the journal is another deployment's"
    )]
    Foreign { batch: u64, expected: B256, got: B256 },
    #[error("nonce {expected} of the deployer is planned for, but {got} is next: plan the addresses anew")]
    PlanStale { expected: u64, got: u64 },
    #[error("stopped at {0}, as the test asked")]
    Crash(&'static str),
}

impl Error {
    pub(crate) fn endpoint(what: &'static str) -> impl FnOnce(TransportError) -> Self {
        move |source| match source.as_error_resp().and_then(|error| error.as_revert_data()) {
            Some(data) => Self::Reverted { what, reason: crate::contracts::explain(&data) },
            None => Self::Endpoint { what, source },
        }
    }

    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
