//! Proves segments: keys, and proofs from filled tables.

pub mod aggregate;
pub mod jobs;
pub mod segments;

pub use segments::{BatchError, SegmentLimits, fill_batch};

use holdfast_circuit::{
    air::airs,
    verify::{Config, SegmentProof, VerifyingKey, system_params},
    witness::Segment,
};
use openvm_cpu_backend::CpuBackend;
use openvm_stark_backend::{
    StarkEngine,
    p3_matrix::Matrix,
    prover::{AirProvingContext, DeviceDataTransporter, DeviceMultiStarkProvingKey, ProvingContext},
};
use openvm_stark_sdk::config::baby_bear_poseidon2::BabyBearPoseidon2CpuEngine;

/// Everything that proves segments: the backend and the proving key.
pub struct Prover {
    engine: BabyBearPoseidon2CpuEngine,
    proving_key: DeviceMultiStarkProvingKey<CpuBackend<Config>>,
    verifying_key: VerifyingKey,
}

/// A failure inside the proof system.
#[derive(Debug, thiserror::Error)]
#[error("the prover failed: {0}")]
pub struct ProveError(String);

impl Prover {
    /// Makes the keys. They follow from the source alone.
    pub fn new() -> Self {
        let engine: BabyBearPoseidon2CpuEngine = StarkEngine::new(system_params());
        let (proving_key, verifying_key) = engine.keygen(&airs::<Config>());
        let proving_key = engine.device().transport_pk_to_device(&proving_key);
        Self { engine, proving_key, verifying_key }
    }

    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// Proves a segment.
    pub fn prove(&self, segment: Segment) -> Result<SegmentProof, ProveError> {
        let public = segment.public.to_cells();
        let per_trace = segment
            .traces
            .into_iter()
            .enumerate()
            .filter_map(|(index, trace)| {
                let public_values = if index == 0 { public.clone() } else { Vec::new() };
                Some((index, AirProvingContext::simple(trace?, public_values)))
            })
            .collect();
        self.engine
            .prove(&self.proving_key, ProvingContext::new(per_trace))
            .map_err(|error| ProveError(error.to_string()))
    }
}

impl Default for Prover {
    fn default() -> Self {
        Self::new()
    }
}

/// Cells of a segment's tables.
pub fn cells(segment: &Segment) -> usize {
    segment.traces.iter().flatten().map(|trace| trace.values.len()).sum()
}

/// Rows and columns of a segment's tables, by table.
pub fn shapes(segment: &Segment) -> Vec<(holdfast_circuit::air::Table, usize, usize)> {
    holdfast_circuit::air::Table::all()
        .zip(&segment.traces)
        .filter_map(|(table, trace)| trace.as_ref().map(|trace| (table, trace.height(), trace.width())))
        .collect()
}
