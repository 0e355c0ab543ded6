//! The last proof: the one that Ethereum verifies.
//!
//! It says that a chain of batches was proven, and it is a proof of the recursion circuit (made in `holdfast-prover`) under [`keccak::KeccakConfig`]. Here is what a verifier needs:
//! the configuration, the key, the proof's one encoding, and its verification. The contracts in `contracts/` verify the same bytes, with the same verdict; [`export`]
//! makes their data from the key.
//!
//! The key fixes the height of every table, so that a proof is a string of bytes of one length, whose fields are where the key says.

pub mod encoding;
pub mod export;
pub mod keccak;
pub mod public;

use std::sync::LazyLock;

use keccak::{KeccakConfig, KeccakDigest, KeccakTranscript};
use openvm_stark_backend::{
    keygen::types::MultiStarkVerifyingKey, proof::Proof, prover::stacked_pcs::StackedLayout,
    soundness::SoundnessCalculator, verifier::verify,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use public::LastPublic;

/// A proof under the Keccak configuration.
pub type KeccakProof = Proof<KeccakConfig>;

/// What the last proof is verified against.
#[derive(Clone, Serialize, Deserialize)]
pub struct LastKey {
    pub key: MultiStarkVerifyingKey<KeccakConfig>,
    /// Base-2 logarithm of the height of each table.
    pub log_heights: Vec<usize>,
    /// Of each table, the commitments to the columns that do not depend on the proof: here, to the constraints of the circuit below.
    pub cached_commitments: Vec<Vec<KeccakDigest>>,
}

/// Why bytes are not a valid last proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LastError {
    #[error("the last proof: expected {expected} bytes, got {got}")]
    Length { expected: usize, got: usize },
    #[error("the last proof, at byte {at}: expected a field element below {prime}, got {got}", prime = holdfast_crypto::field::PRIME)]
    Element { at: usize, got: u32 },
    #[error("the last proof is not valid: {0}")]
    Invalid(String),
    #[error("the last proof's public values: {0}")]
    Public(String),
    #[error("the last proof's key: {0}")]
    Key(String),
}

/// What a key's bytes begin with.
const MAGIC: [u8; 4] = *b"HFK1";
/// The key of the last proof, as `cargo xtask vectors` makes it from the source. CI compares them.
const BUNDLED: &[u8] = include_bytes!("last.key");

impl LastKey {
    /// The key that the source leads to.
    pub fn bundled() -> &'static Self {
        static KEY: LazyLock<LastKey> =
            LazyLock::new(|| LastKey::from_bytes(BUNDLED).expect("the bundled key is one, or the build is broken"));
        &KEY
    }

    /// A magic number, and the serialisation of `postcard`.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, MAGIC.to_vec()).expect("a key is data without references")
    }

    /// Reads a key. Its author is trusted: only what is needed for reading proofs is checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LastError> {
        let rest =
            bytes.strip_prefix(&MAGIC).ok_or_else(|| LastError::Key("expected the bytes `HFK1` first".into()))?;
        let (key, rest): (Self, _) =
            postcard::take_from_bytes(rest).map_err(|error| LastError::Key(error.to_string()))?;
        let tables = key.key.inner.per_air.len();
        if !rest.is_empty() || key.log_heights.len() != tables || key.cached_commitments.len() != tables {
            return Err(LastError::Key(format!(
                "expected heights and commitments of {tables} tables, and nothing after"
            )));
        }
        let height_max = key.key.inner.params.log_stacked_height();
        if key.log_heights.iter().any(|&log_height| log_height > height_max) {
            return Err(LastError::Key(format!("expected tables of at most 2^{height_max} rows")));
        }
        Ok(key)
    }

    /// SHA-256 of the key's bytes: a name for it.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// Verifies a proof, and returns what it says.
    pub fn verify(&self, bytes: &[u8]) -> Result<LastPublic, LastError> {
        let mut transcript = KeccakTranscript::new();
        let proof = encoding::decode(self, bytes)?;
        let config = KeccakConfig::new(self.key.inner.params.clone());
        verify(&config, &self.key, &proof, &mut transcript).map_err(|error| LastError::Invalid(error.to_string()))?;
        let (_, cells) = self.public_cells(&proof);
        LastPublic::from_cells(cells)
            .ok_or_else(|| LastError::Public(format!("expected {} values in range, got {cells:?}", LastPublic::CELLS)))
    }

    /// The table that has public values, and these.
    pub fn public_cells<'a>(&self, proof: &'a KeccakProof) -> (usize, &'a [holdfast_crypto::F]) {
        proof
            .public_values
            .iter()
            .enumerate()
            .find(|(_, values)| !values.is_empty())
            .map_or((0, &[]), |(table, values)| (table, values.as_slice()))
    }

    /// Tables by height, the highest first: the order in which a proof treats them.
    pub fn sorted(&self) -> Vec<usize> {
        let mut tables: Vec<usize> = (0..self.log_heights.len()).collect();
        tables.sort_by_key(|&table| (std::cmp::Reverse(self.log_heights[table]), table));
        tables
    }

    /// How the columns of each commitment are stacked: those of all tables, and then each that stands alone.
    pub fn layouts(&self) -> Vec<StackedLayout> {
        let params = &self.key.inner.params;
        let stacked = |columns: Vec<(usize, usize)>| {
            StackedLayout::new(params.l_skip, params.log_stacked_height(), columns)
                .expect("a key's tables fit its height")
        };
        let width = |table: usize| &self.key.inner.per_air[table].params.width;
        let sorted = self.sorted();
        let common = sorted.iter().map(|&table| (width(table).common_main, self.log_heights[table])).collect();
        let alone = sorted.iter().flat_map(|&table| {
            let width = width(table);
            width.preprocessed.iter().chain(&width.cached_mains).map(move |&columns| (columns, self.log_heights[table]))
        });
        std::iter::once(stacked(common)).chain(alone.map(|columns| stacked(vec![columns]))).collect()
    }

    /// Bits of proven security, by part of the protocol.
    pub fn soundness(&self) -> SoundnessCalculator {
        SoundnessCalculator::calculate_from_vk(&self.key)
    }
}
