//! A batch as it is published: words, and what binds them. What they are is in [`holdfast_protocol::publication`].

use alloy::primitives::{B256, Bytes, U256, keccak256};
pub use holdfast_protocol::publication::{MODULUS, WORD_BYTES, Word, digest_of, forced};
use holdfast_protocol::{Batch, TimeMs, cells::batch_digest, publication};

/// What is committed of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    pub batch: u64,
    /// The digest of its instructions and outcomes, as Ethereum has digests.
    pub chain: B256,
    /// At its end, in milliseconds.
    pub time: u64,
    pub words: Vec<Word>,
}

impl Publication {
    pub fn of(batch: &Batch, end: TimeMs) -> Self {
        Self {
            batch: batch.header.number.into(),
            chain: publication::digest_word(&batch_digest(batch)),
            time: end.get(),
            words: publication::words(batch),
        }
    }

    /// The words as calldata.
    pub fn bytes(&self) -> Bytes {
        self.words.as_flattened().to_vec().into()
    }
}

/// Of the data as blobs with these versioned hashes.
pub fn blob_commitment(hashes: &[B256]) -> B256 {
    keccak256(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
}

/// Where the words are evaluated; nothing if the chain is no digest, and refused by the contract.
pub fn point(commitment: &B256, chain: &B256) -> Option<U256> {
    Some(publication::point(commitment, &digest_of(chain)?))
}

/// Words of calldata.
pub fn words_from_bytes(bytes: &[u8]) -> Option<Vec<Word>> {
    publication::words_of_bytes(bytes).ok()
}
