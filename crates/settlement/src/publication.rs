//! A batch as it is published: words, and what binds them. What they are is in [`holdfast_protocol::publication`].

use alloy::primitives::{B256, Bytes, U256, keccak256};
use holdfast_crypto::{Digest, field::cell_from_canonical};
pub use holdfast_protocol::publication::{MODULUS, WORD_BYTES, Word};
use holdfast_protocol::{Batch, Instruction, TimeMs, cells::batch_digest, publication};

/// What is committed of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    pub batch: u64,
    /// The digest of its instructions and outcomes, as Ethereum has digests.
    pub chain: [u8; 32],
    /// At its end, in milliseconds.
    pub time: u64,
    pub words: Vec<Word>,
}

impl Publication {
    pub fn of(batch: &Batch, end: TimeMs) -> Self {
        Self {
            batch: batch.header.number.into(),
            chain: publication::digest_word(&batch_digest(batch)).0,
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

/// A digest from Ethereum, if it is one.
pub fn digest_of(word: &[u8; 32]) -> Option<Digest> {
    let mut digest = Digest::default();
    for (cell, bytes) in digest.iter_mut().zip(word.as_chunks::<4>().0) {
        *cell = cell_from_canonical(u32::from_be_bytes(*bytes))?;
    }
    Some(digest)
}

/// Where the words are evaluated; nothing if the chain is no digest, and refused by the contract.
pub fn point(commitment: &B256, chain: &[u8; 32]) -> Option<U256> {
    Some(publication::point(commitment, &digest_of(chain)?))
}

/// Bits of a cell of a word, and of those of its low part in a public key's coordinate.
const CELL_BITS: usize = 30;
const LOW_BITS: u32 = 28;
const HIGH_BITS: usize = 3;

/// The instruction of an inbox's entry, from its blocks' cells.
pub fn forced(blocks: &[[u32; 8]]) -> Option<Instruction> {
    let first = blocks.first()?;
    let coordinates = blocks.len() == 3;
    let words: Vec<Word> = blocks
        .iter()
        .enumerate()
        .map(|(number, block)| {
            let mut cells = *block;
            // As instructions are published, where cells have 30 bits.
            if coordinates && number > 0 {
                cells[7] = 0;
                for cell in 0..7 {
                    cells[7] |= (cells[cell] >> LOW_BITS) << (HIGH_BITS * cell);
                    cells[cell] &= (1 << LOW_BITS) - 1;
                }
            }
            let all = cells.iter().rev().fold(U256::ZERO, |word, &cell| (word << CELL_BITS) | U256::from(cell));
            let bytes = all.to_be_bytes::<32>();
            std::array::from_fn(|byte| bytes[byte + 2])
        })
        .collect();
    let wide = blocks.iter().flatten().any(|&cell| cell >> 31 != 0) || first.iter().any(|&cell| cell >> LOW_BITS != 0);
    let (instructions, _) = publication::read_words(&words).ok()?;
    let &[instruction] = instructions.as_slice() else { return None };
    (!wide && instruction.is_forced()).then_some(instruction)
}

/// Words of calldata.
pub fn words_from_bytes(bytes: &[u8]) -> Option<Vec<Word>> {
    publication::words_of_bytes(bytes).ok()
}
