//! A batch as it is published.

use alloy::primitives::{B256, Bytes, U256, keccak256};

/// Bytes of a word.
pub const WORD_BYTES: usize = 30;
/// A block of an instruction: eight cells of 30 bits, big endian.
pub type Word = [u8; WORD_BYTES];

/// The order of BLS12-381's scalar field.
pub const ORDER: U256 =
    U256::from_limbs([0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48]);

/// What is committed of a batch.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Publication {
    pub batch: u64,
    /// The digest of its instructions and outcomes.
    pub chain: [u8; 32],
    /// At its end, in milliseconds.
    pub time: u64,
    pub words: Vec<Word>,
}

impl Publication {
    /// The words as calldata.
    pub fn bytes(&self) -> Bytes {
        self.words.as_flattened().to_vec().into()
    }

    /// Of the data as calldata.
    pub fn commitment(&self) -> B256 {
        keccak256(self.words.as_flattened())
    }
}

/// Of the data as blobs with these versioned hashes.
pub fn blob_commitment(hashes: &[B256]) -> B256 {
    keccak256(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
}

/// Where the words are evaluated.
pub fn point(commitment: B256, chain: &[u8; 32]) -> U256 {
    let hash = keccak256([commitment.0, *chain].concat());
    U256::from_be_bytes(hash.0) % ORDER
}

/// Words of calldata.
pub fn words_from_bytes(bytes: &[u8]) -> Option<Vec<Word>> {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    rest.is_empty().then(|| words.to_vec())
}
