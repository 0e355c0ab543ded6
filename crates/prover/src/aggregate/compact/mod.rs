//! The compact option: the last proof as one of some kilobytes over BN254, at the price of a trusted setup and of a machine with much memory.
//!
//! ```text
//! wrap ── stark ──→ proof under Poseidon2 over BN254      (this module)
//!      ── inner ──→ Halo2 proof that it is valid          ([`inner`]: OpenVM's static verifier, and what it must say)
//!      ── outer ──→ Halo2 proof of that, under Keccak-256 ([`outer`]: what Ethereum verifies)
//! ```
//!
//! The first is the last proof's circuit with another hash: the same four facts are pinned ([`super::tables::LastTable`]), and its heights are the same. The inner circuit has the key of the first
//! as constants, and the outer one that of the inner; the parameters of the commitments are read from files ([`setup`]).

mod check;
pub mod inner;
pub mod memory;
pub mod outer;
pub mod setup;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use halo2_base::halo2_proofs::halo2curves::bn256::{Fr, G1Affine, G2Affine};
use openvm_stark_backend::{StarkEngine, SystemParams, keygen::types::MultiStarkVerifyingKey, proof::Proof};
use openvm_stark_sdk::config::baby_bear_bn254_poseidon2::{
    BabyBearBn254Poseidon2Config, BabyBearBn254Poseidon2CpuEngine, Transcript,
};
use serde::{Deserialize, Serialize};
use snark_verifier_sdk::{
    SHPLONK, Snark, halo2::gen_dummy_snark_from_protocol, snark_verifier::verifier::plonk::PlonkProtocol,
};

use super::{
    AggregateError, Aggregator, LAST_LOG_HEIGHTS, Layer, NodeProof, params,
    tables::{CONSTRAINTS_TABLE, LastTable, TABLE},
};
pub use check::{Fault, Loose};
use inner::{Inner, Size};
use memory::MemoryError;
pub use outer::CompactKey;
use setup::{Files, Setup, SetupError};

/// The configuration of the proof that the inner circuit verifies.
pub type Bn254Config = BabyBearBn254Poseidon2Config;
/// A proof under it.
pub type Bn254Proof = Proof<Bn254Config>;
type Engine = BabyBearBn254Poseidon2CpuEngine<Transcript>;

/// Why there is no compact proof.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("the {circuit} circuit: expected {expected}, got {got}")]
    Circuit { circuit: &'static str, expected: String, got: String },
    #[error("the {circuit} circuit is not satisfied: {fault}")]
    Unsatisfied { circuit: &'static str, fault: Box<Fault> },
    #[error("the prover of the {circuit} circuit failed: {reason}")]
    Prover { circuit: &'static str, reason: String },
    #[error("the compact proof: expected {expected} bytes, got {got}")]
    Length { expected: usize, got: usize },
    #[error("the compact proof is not valid: {0}")]
    Invalid(String),
    #[error("the compact proof's public values: {0}")]
    Public(String),
    #[error("the compact proof's key: {0}")]
    Key(String),
}

/// What makes compact proofs of wraps.
pub struct Compact<'a> {
    aggregator: &'a Aggregator,
    layer: Layer<Bn254Config, Engine, 1>,
    inner: Inner,
    rows: Rows,
}

/// Rows of the circuits, as base-2 logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    pub inner: u32,
    pub outer: u32,
}

impl Default for Rows {
    fn default() -> Self {
        Self { inner: inner::K, outer: outer::K }
    }
}

/// A compact proof, and the key that it is verified against.
pub struct CompactProof {
    pub key: CompactKey,
    pub bytes: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Makes the key of the first proof. It follows from the source alone.
    pub fn new(aggregator: &'a Aggregator) -> Self {
        Self::with_parameters(aggregator, params::BN254.params(), Rows::default())
    }

    /// The same with other parameters of the first proof, and other rows: for tests, which can do with less security, and have less time.
    pub fn with_parameters(aggregator: &'a Aggregator, params: SystemParams, rows: Rows) -> Self {
        let wrap = aggregator.wrap_layer();
        let (wrap_hash, node_constraints) = (wrap.key.pre_hash, wrap.child_constraints.commitment);
        let layer: Layer<Bn254Config, Engine, 1> =
            Layer::new(params, &wrap.key, |buses, _| Arc::new(LastTable { buses, wrap_hash, node_constraints }));
        let inner = Inner::new(&layer.key, layer.child_constraints.commitment, &LAST_LOG_HEIGHTS, rows.inner);
        Self { aggregator, layer, inner, rows }
    }

    /// The key of the first proof.
    pub fn stark_key(&self) -> &MultiStarkVerifyingKey<Bn254Config> {
        &self.layer.key
    }

    /// The circuit that verifies the first proof.
    pub fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Proves the first proof: what the wrap says, under Poseidon2 over BN254.
    ///
    /// # Errors
    ///
    /// If the wrap is not valid, or needs more rows than the circuit has.
    pub fn stark(&self, wrap: &NodeProof) -> Result<Bn254Proof, AggregateError> {
        let heights: Vec<usize> = LAST_LOG_HEIGHTS[TABLE + 1..].iter().map(|log_height| 1 << log_height).collect();
        let tables = self.layer.fill_over_wrap(self.aggregator, wrap, Some(&heights))?;
        let proof = self.layer.prove(tables.ok_or(AggregateError::Heights)?)?;
        self.verify_stark(&proof).map_err(AggregateError::Prover)?;
        Ok(proof)
    }

    /// Verifies the first proof.
    ///
    /// # Errors
    ///
    /// If it is not valid, or not of the shape that the inner circuit is made for.
    pub fn verify_stark(&self, proof: &Bn254Proof) -> Result<(), String> {
        let constraints = [self.layer.child_constraints.commitment];
        let fits = |(table, log_height): (usize, &usize)| {
            let cached: &[_] = if table == CONSTRAINTS_TABLE { &constraints } else { &[] };
            let shape = proof.trace_vdata[table].as_ref();
            shape.is_some_and(|shape| shape.log_height == *log_height && shape.cached_commitments == cached)
        };
        let tables = LAST_LOG_HEIGHTS.len();
        if proof.trace_vdata.len() != tables
            || proof.public_values.len() != tables
            || !LAST_LOG_HEIGHTS.iter().enumerate().all(fits)
        {
            return Err("it has other tables, or was verified with the constraints of another key".into());
        }
        self.layer.engine.verify(&self.layer.key, proof).map_err(|error| error.to_string())
    }

    /// Proves the inner circuit over a first proof. Its keys are made on the way, and dropped.
    ///
    /// # Errors
    ///
    /// If the proof is not valid, or the parameters in the directory are missing or wrong.
    pub fn inner_proof(&self, files: &Files<'_>, proof: &Bn254Proof) -> Result<InnerProof, CompactError> {
        self.verify_stark(proof).map_err(|reason| CompactError::Prover { circuit: "inner", reason })?;
        let setup = Setup::read(files, self.rows.inner)?;
        let snark = guarded("inner", || self.inner.prove(&setup, proof))?;
        Ok(InnerProof { snark, secret: setup.secret(), rows: self.rows })
    }

    /// Makes the key of the inner circuit alone, over any first proof, valid or not: it does not depend on which. (For tests that this is so.)
    ///
    /// # Errors
    ///
    /// If the parameters in the directory are missing or wrong.
    pub fn inner_key(&self, files: &Files<'_>, proof: &Bn254Proof) -> Result<Vec<u8>, CompactError> {
        let setup = Setup::read(files, self.rows.inner)?;
        guarded("inner", || Ok(key_bytes(&self.inner.key(&setup, proof)?)))
    }
}

/// A proof of the inner circuit, with its key, and by which ceremony's parameters it was made.
#[derive(Clone, Serialize, Deserialize)]
pub struct InnerProof {
    snark: Snark,
    secret: G2Affine,
    rows: Rows,
}

fn key_bytes(key: &PlonkProtocol<G1Affine>) -> Vec<u8> {
    postcard::to_allocvec(key).expect("a key is data without references")
}

impl InnerProof {
    /// The key of its circuit, as [`Compact::inner_key`] has it.
    pub fn key(&self) -> Vec<u8> {
        key_bytes(&self.snark.protocol)
    }

    /// What it says: the instances of its circuit.
    pub fn instances(&self) -> &[Fr] {
        &self.snark.instances[0]
    }

    /// Something of the same shape, for the same key, that is no proof: the outer circuit's key can be made over it as well. (For tests that this is so.)
    pub fn blank(&self) -> Self {
        Self { snark: gen_dummy_snark_from_protocol::<SHPLONK>(self.snark.protocol.clone()), ..self.clone() }
    }

    /// Counts the outer circuit's cells, over this proof.
    ///
    /// # Errors
    ///
    /// If the parameters in the directory are missing or wrong.
    pub fn outer_size(&self, files: &Files<'_>) -> Result<Size, CompactError> {
        let setup = Setup::read(files, self.rows.outer)?;
        guarded("outer", || Ok(outer::size(&setup, self.snark.clone())))
    }

    /// Makes the key of the outer circuit alone.
    ///
    /// # Errors
    ///
    /// If the parameters in the directory are missing or wrong.
    pub fn outer_key(&self, files: &Files<'_>) -> Result<CompactKey, CompactError> {
        let setup = Setup::read(files, self.rows.outer)?;
        guarded("outer", || outer::key(&setup, self.snark.clone()))
    }

    /// Proves the outer circuit over it: the bytes that Ethereum verifies, and the key. The proving key is made on the way, and dropped.
    ///
    /// # Errors
    ///
    /// If the parameters in the directory are missing or wrong, or of another ceremony.
    pub fn compact(self, files: &Files<'_>) -> Result<CompactProof, CompactError> {
        let setup = Setup::read(files, self.rows.outer)?;
        if setup.secret() != self.secret {
            let [other, path] = [self.rows.inner, self.rows.outer].map(|k| files.path(k));
            return Err(SetupError::Ceremony { path, other }.into());
        }
        let (key, bytes) = guarded("outer", || outer::prove(&setup, self.snark))?;
        Ok(CompactProof { key, bytes })
    }
}

/// Looks whether the files of parameters are there, without reading their points.
///
/// # Errors
///
/// If one is missing, or of another length.
pub fn look_for_setups(files: &Files<'_>) -> Result<(), SetupError> {
    Setup::look(files, inner::K)?;
    Setup::look(files, outer::K)
}

/// Halo2's provers assert and unwrap.
fn guarded<T>(circuit: &'static str, prove: impl FnOnce() -> Result<T, CompactError>) -> Result<T, CompactError> {
    catch_unwind(AssertUnwindSafe(prove)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(CompactError::Prover { circuit, reason: text.unwrap_or_else(|| "it panicked".into()) })
    })
}
