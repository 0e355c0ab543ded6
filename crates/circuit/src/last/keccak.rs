//! The proof system's configuration for Ethereum: BabyBear and its extension of degree 4 as everywhere, Keccak-256 for the Merkle trees and the transcript.

use alloy_primitives::{Keccak256, keccak256};
use holdfast_crypto::{F, field::PRIME};
use openvm_stark_backend::{
    FiatShamirTranscript, StarkProtocolConfig, SystemParams,
    hasher::MerkleHasher,
    p3_field::{PrimeCharacteristicRing, PrimeField32, extension::BinomialExtensionField},
};

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
#[derive(Clone)]
pub struct KeccakTranscript {
    state: KeccakDigest,
    /// Has absorbed the state, and what was observed since.
    hasher: Keccak256,
    observed: bool,
    /// Lanes of the state that were not drawn yet.
    lanes: usize,
}

/// Challenges of the field in a word.
const LANES: usize = 4;

impl KeccakTranscript {
    pub fn new() -> Self {
        Self { state: [0; 32], hasher: Self::after([0; 32]), observed: false, lanes: 0 }
    }

    fn after(state: KeccakDigest) -> Keccak256 {
        let mut hasher = Keccak256::new();
        hasher.update(state);
        hasher
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.observed = true;
        self.lanes = 0;
    }

    fn word(&mut self) {
        self.state = self.hasher.clone().finalize().0;
        self.hasher = Self::after(self.state);
        self.observed = false;
        self.lanes = LANES;
    }

    fn lane(&self, index: usize) -> F {
        let end = 32 - 8 * index;
        let bytes = self.state[end - 8..end].try_into().expect("eight bytes");
        F::from_u64(u64::from_be_bytes(bytes) % u64::from(PRIME))
    }

    fn draw(&mut self) -> F {
        if self.observed || self.lanes == 0 {
            self.word();
        }
        self.lanes -= 1;
        self.lane(LANES - 1 - self.lanes)
    }

    fn draw_ext(&mut self) -> EF {
        if self.observed || self.lanes != LANES {
            self.word();
        }
        self.lanes = 0;
        EF::new(std::array::from_fn(|index| self.lane(index)))
    }

    /// What the challenges so far, and what was observed for them, come to.
    pub fn state(&self) -> KeccakDigest {
        self.state
    }
}

impl Default for KeccakTranscript {
    fn default() -> Self {
        Self::new()
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
}
