//! The proof system's configuration for Ethereum: BabyBear and its extension of degree 4 as everywhere, Keccak-256 for the Merkle trees and the transcript.

use alloy_primitives::{Keccak256, keccak256};
use holdfast_crypto::{F, field::PRIME};
use openvm_stark_backend::{
    FiatShamirTranscript, StarkProtocolConfig, SystemParams,
    hasher::MerkleHasher,
    p3_field::{PrimeCharacteristicRing, PrimeField32, extension::BinomialExtensionField},
    p3_maybe_rayon::prelude::*,
    p3_symmetric::Permutation,
};
use p3_keccak::{KeccakF, VECTOR_LEN};

/// The extension F\[x\]/(x⁴ − 11).
pub type EF = BinomialExtensionField<F, 4>;
/// A Keccak-256 hash.
pub type KeccakDigest = [u8; 32];

/// The configuration of the last proof.
#[derive(Debug, Clone)]
pub struct KeccakConfig {
    params: SystemParams,
    hasher: KeccakHasher,
}

impl KeccakConfig {
    pub fn new(params: SystemParams) -> Self {
        Self { params, hasher: KeccakHasher }
    }
}

impl StarkProtocolConfig for KeccakConfig {
    type F = F;
    type EF = EF;
    type Digest = KeccakDigest;
    type Hasher = KeccakHasher;

    fn params(&self) -> &SystemParams {
        &self.params
    }

    fn hasher(&self) -> &Self::Hasher {
        &self.hasher
    }
}

/// Rows are hashed as the four big-endian bytes of each cell's canonical value, pairs of digests by concatenation.
///
/// Leaves and nodes have no tags: a key fixes the width of the rows and the depth of the trees, so that one cannot be taken for the other.
#[derive(Debug, Clone, Copy)]
pub struct KeccakHasher;

impl MerkleHasher for KeccakHasher {
    type F = F;
    type Digest = KeccakDigest;

    fn hash_slice(&self, cells: &[F]) -> KeccakDigest {
        /// Cells that are hashed from the stack; more are hashed in pieces.
        const CELLS: usize = 64;
        let mut bytes = [0; 4 * CELLS];
        let fill = |bytes: &mut [u8; 4 * CELLS], cells: &[F]| {
            for (bytes, cell) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(cells) {
                *bytes = cell.as_canonical_u32().to_be_bytes();
            }
        };
        if cells.len() <= CELLS {
            fill(&mut bytes, cells);
            return keccak256(&bytes[..4 * cells.len()]).0;
        }
        let mut hasher = Keccak256::new();
        for piece in cells.chunks(CELLS) {
            fill(&mut bytes, piece);
            hasher.update(&bytes[..4 * piece.len()]);
        }
        hasher.finalize().0
    }

    fn compress(&self, left: KeccakDigest, right: KeccakDigest) -> KeccakDigest {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&left);
        bytes[32..].copy_from_slice(&right);
        keccak256(bytes).0
    }
}

/// The transcript: a chain of Keccak-256 over what is observed.
///
/// A word of 256 bits is drawn as `state = keccak256(state ‖ observed)`, and gives four challenges of the field, one for each 64 bits, the least significant first, reduced modulo
/// p. So each value of a challenge has a probability of at most (1 + 2⁻³³)/p.
#[derive(Debug, Clone, Default)]
pub struct KeccakTranscript {
    state: KeccakDigest,
    /// What was observed since the last word.
    observed: Vec<u8>,
    /// Lanes of the state that were not drawn yet.
    lanes: usize,
}

/// Challenges of the field in a word.
const LANES: usize = 4;
/// Bytes of the sponge that a block of input goes into.
const RATE: usize = 136;
/// Words of the sponge.
const WORDS: usize = 25;

impl KeccakTranscript {
    pub fn new() -> Self {
        Self::default()
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.observed.extend_from_slice(bytes);
        self.lanes = 0;
    }

    fn word(&mut self) {
        let mut hasher = Keccak256::new();
        hasher.update(self.state);
        hasher.update(&self.observed);
        self.state = hasher.finalize().0;
        self.observed.clear();
        self.lanes = LANES;
    }

    fn lane(&self, index: usize) -> F {
        let end = 32 - 8 * index;
        let bytes = self.state[end - 8..end].try_into().expect("eight bytes");
        F::from_u64(u64::from_be_bytes(bytes) % u64::from(PRIME))
    }

    fn draw(&mut self) -> F {
        if !self.observed.is_empty() || self.lanes == 0 {
            self.word();
        }
        self.lanes -= 1;
        self.lane(LANES - 1 - self.lanes)
    }

    fn draw_ext(&mut self) -> EF {
        if !self.observed.is_empty() || self.lanes != LANES {
            self.word();
        }
        self.lanes = 0;
        EF::new(std::array::from_fn(|index| self.lane(index)))
    }

    /// What the words so far, and what was observed for them, come to.
    pub fn state(&self) -> KeccakDigest {
        self.state
    }

    /// The sponge after all blocks but those with the witness, which is observed next; and those: one, or two if the witness fills the first.
    fn before_witness(&self) -> ([u64; WORDS], Vec<[u64; RATE / 8]>, usize) {
        let mut message = self.state.to_vec();
        message.extend_from_slice(&self.observed);
        let at = message.len();
        // What is observed has whole cells, of which a block has 34: a witness lies in one block.
        assert!(at.is_multiple_of(4), "cells and digests are observed, nothing else");
        message.extend_from_slice(&[0; 4]);
        let filled = message.len() % RATE;
        message.push(1);
        message.resize(message.len() - 1 - filled + RATE, 0);
        *message.last_mut().expect("it is padded") |= 0x80;
        let mut blocks: Vec<[u64; RATE / 8]> = message
            .chunks_exact(RATE)
            .map(|block| {
                std::array::from_fn(|i| u64::from_le_bytes(block[8 * i..8 * i + 8].try_into().expect("eight bytes")))
            })
            .collect();
        let last = blocks.split_off(at / RATE);
        let mut sponge = [0; WORDS];
        for block in &blocks {
            for (word, input) in sponge.iter_mut().zip(block) {
                *word ^= input;
            }
            KeccakF.permute_mut(&mut sponge);
        }
        (sponge, last, at % RATE)
    }

    /// Looks for a witness among `VECTOR_LEN` of them at once.
    fn try_witnesses(
        sponge: &[u64; WORDS],
        blocks: &[[u64; RATE / 8]],
        at: usize,
        first: u32,
        bits: usize,
    ) -> Option<u32> {
        let mut sponges: [[u64; VECTOR_LEN]; WORDS] = sponge.map(|word| [word; VECTOR_LEN]);
        for (number, block) in blocks.iter().enumerate() {
            for (words, input) in sponges.iter_mut().zip(block) {
                words.iter_mut().for_each(|word| *word ^= input);
            }
            if number == 0 {
                for (lane, word) in sponges[at / 8].iter_mut().enumerate() {
                    *word ^= u64::from((first + lane as u32).to_be()) << (8 * (at % 8));
                }
            }
            KeccakF.permute_mut(&mut sponges);
        }
        // The last eight bytes of the digest, as a big-endian number, are the word's first lane.
        let challenge = |word: u64| word.swap_bytes() % u64::from(PRIME);
        let found = sponges[3].iter().position(|&word| challenge(word).trailing_zeros() as usize >= bits)?;
        Some(first + found as u32)
    }
}

impl FiatShamirTranscript<KeccakConfig> for KeccakTranscript {
    fn observe(&mut self, value: F) {
        self.absorb(&value.as_canonical_u32().to_be_bytes());
    }

    fn sample(&mut self) -> F {
        self.draw()
    }

    fn observe_commit(&mut self, digest: KeccakDigest) {
        self.absorb(&digest);
    }

    fn sample_ext(&mut self) -> EF {
        self.draw_ext()
    }

    fn grind(&mut self, bits: usize) -> F {
        if bits == 0 {
            return F::ZERO;
        }
        let (sponge, blocks, at) = self.before_witness();
        let witness = (0..PRIME / VECTOR_LEN as u32)
            .into_par_iter()
            .find_map_any(|batch| Self::try_witnesses(&sponge, &blocks, at, batch * VECTOR_LEN as u32, bits))
            .expect("two thousand million witnesses are enough");
        let witness = F::from_u32(witness);
        assert!(FiatShamirTranscript::<KeccakConfig>::check_witness(self, bits, witness), "the sponge is Keccak-256");
        witness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fast search finds witnesses wherever they lie in their block, and the transcripts of prover and verifier go on alike.
    #[test]
    fn a_ground_witness_is_one_after_any_number_of_cells() {
        for cells in 0..2 * RATE / 4 + 2 {
            let mut prover = KeccakTranscript::new();
            for cell in 0..cells {
                prover.observe(F::from_usize(cell));
            }
            let mut verifier = prover.clone();
            let witness = FiatShamirTranscript::<KeccakConfig>::grind(&mut prover, 6);
            assert!(FiatShamirTranscript::<KeccakConfig>::check_witness(&mut verifier, 6, witness), "{cells} cells");
            assert_eq!(prover.sample_ext(), verifier.sample_ext());
        }
    }

    #[test]
    fn a_challenge_depends_on_everything_observed_and_on_its_order() {
        let challenge = |values: &[u32]| {
            let mut transcript = KeccakTranscript::new();
            values.iter().for_each(|&value| transcript.observe(F::new(value)));
            transcript.sample_ext()
        };
        let all = [challenge(&[]), challenge(&[0]), challenge(&[0, 0]), challenge(&[0, 1]), challenge(&[1, 0])];
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| one != other), "{i}");
        }
        let mut drawn = KeccakTranscript::new();
        let (first, second) = (drawn.sample_ext(), drawn.sample_ext());
        assert_ne!(first, second);
    }
}
