//! Verification of segments, and of chains of them.
//!
//! Nothing here panics on any bytes: what is wrong with a proof is an error that says what was expected and what was got.

use holdfast_crypto::{Digest, F, field::digest_to_hex};
use holdfast_protocol::{TimeMs, batch::BATCH_NUMBER_MAX, cells::digest_start, publication::Progress};
use openvm_stark_backend::{
    StarkEngine, SystemParams, codec::Decode, keygen::types::MultiStarkVerifyingKey, proof::Proof,
};
use openvm_stark_sdk::config::{
    SECURITY_BITS_TARGET, app_params_with_100_bits_security,
    baby_bear_poseidon2::{BabyBearPoseidon2Config, BabyBearPoseidon2RefEngine, DuplexSponge},
};

use crate::{
    air::{Table, airs},
    lengths,
    public::PublicValues,
};

/// The proof system's configuration: BabyBear, Poseidon2, SWIRL at 100 bits of proven security.
pub type Config = BabyBearPoseidon2Config;
pub type SegmentProof = Proof<Config>;
pub type VerifyingKey = MultiStarkVerifyingKey<Config>;

/// Base-2 logarithm of the height of the stacked trace.
pub const LOG_STACKED_HEIGHT: usize = 21;
/// Largest base-2 logarithm of a table's height.
pub const LOG_HEIGHT_MAX: usize = 20;

/// Base-2 logarithm of the length of the last polynomial: a circuit that verifies a segment evaluates it at each query.
const LOG_FINAL_POLYNOMIAL: usize = 5;

/// Parameters of the proof system for segments: OpenVM's for its applications, but with a shorter last polynomial.
pub fn system_params() -> SystemParams {
    let app = app_params_with_100_bits_security(LOG_STACKED_HEIGHT);
    SystemParams::new(
        app.log_blowup,
        app.l_skip,
        app.n_stack,
        app.w_stack,
        LOG_FINAL_POLYNOMIAL,
        app.whir.folding_pow_bits,
        app.whir.mu_pow_bits,
        app.whir.proximity,
        SECURITY_BITS_TARGET,
        app.logup,
        app.max_constraint_degree,
        app.whir.query_phase_pow_bits,
        app.whir.k,
    )
}

/// The verifying key. It follows from the source alone.
pub fn verifying_key() -> VerifyingKey {
    let engine: BabyBearPoseidon2RefEngine<DuplexSponge> = StarkEngine::new(system_params());
    engine.keygen(&airs::<Config>()).1
}

/// Why a proof was refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("segment {segment} of batch {batch}: the proof's bytes do not decode: {reason}")]
    Decode { batch: u32, segment: usize, reason: String },
    #[error("segment {segment} of batch {batch}: the proof is not valid: {reason}")]
    Proof { batch: u32, segment: usize, reason: String },
    #[error("segment {segment} of batch {batch}, {what}: expected {expected}, got {got}")]
    Chain { batch: u32, segment: usize, what: &'static str, expected: String, got: String },
    #[error("batch {batch}, {what}: expected {expected}, got {got}")]
    Batch { batch: u32, what: &'static str, expected: String, got: String },
}

/// Decodes a segment's proof.
pub fn decode_proof(bytes: &[u8]) -> Result<SegmentProof, String> {
    lengths::check(bytes, &system_params())?;
    let mut rest = bytes;
    let proof = SegmentProof::decode(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("expected {} bytes, got {}", bytes.len() - rest.len(), bytes.len()));
    }
    Ok(proof)
}

/// Verifies one segment's proof by itself, and returns what it says.
pub fn verify_segment(key: &VerifyingKey, proof: &SegmentProof) -> Result<PublicValues, String> {
    // What the backend's verifier indexes without looking is looked at here first.
    let tables = Table::all().count();
    if proof.public_values.len() != tables || proof.trace_vdata.len() != tables {
        return Err(format!(
            "expected {tables} tables, got {} with public values and {} with shapes",
            proof.public_values.len(),
            proof.trace_vdata.len()
        ));
    }
    for (table, shape) in Table::all().zip(&proof.trace_vdata) {
        match shape {
            Some(shape) if shape.log_height > LOG_HEIGHT_MAX => {
                return Err(format!(
                    "table {}: expected at most 2^{LOG_HEIGHT_MAX} rows, got 2^{}",
                    table.name(),
                    shape.log_height
                ));
            }
            None if table == Table::Segment => return Err("expected the segment table, got none".into()),
            _ => {}
        }
    }
    let public = PublicValues::from_cells(&proof.public_values[Table::Segment.index()])
        .ok_or_else(|| format!("expected {} public values", PublicValues::CELLS))?;
    let engine: BabyBearPoseidon2RefEngine<DuplexSponge> = StarkEngine::new(key.inner.params.clone());
    engine.verify(key, proof).map_err(|error| error.to_string())?;
    Ok(public)
}

/// Where a chain of segments stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub root: Digest,
    /// Batches closed.
    pub batches: u32,
    /// Of the last segment; none at genesis.
    pub time: Option<u64>,
}

impl Chain {
    pub fn new(root_genesis: Digest) -> Self {
        Self { root: root_genesis, batches: 0, time: None }
    }

    /// Appends a batch: its segments, which must lead without a break from here to the digest of what is published (at a point that the caller has chosen, or checked).
    pub fn append(
        &mut self,
        key: &VerifyingKey,
        instructions: u32,
        published: &Progress,
        segments: &[SegmentProof],
    ) -> Result<(), VerifyError> {
        let batch = self.batches.saturating_add(1);
        if batch > BATCH_NUMBER_MAX {
            let (expected, got) = (format!("at most {BATCH_NUMBER_MAX}"), batch.to_string());
            return Err(VerifyError::Batch { batch, what: "number", expected, got });
        }
        let mut root = self.root;
        let mut digest_so_far = digest_start(batch);
        let mut sequence = 0;
        let mut time = self.time;
        for (segment, proof) in segments.iter().enumerate() {
            let public = verify_segment(key, proof).map_err(|reason| VerifyError::Proof { batch, segment, reason })?;
            let last = segment + 1 == segments.len();
            let same = |what, expected: String, got: String| {
                if expected == got { Ok(()) } else { Err(VerifyError::Chain { batch, segment, what, expected, got }) }
            };
            same("old root", digest_to_hex(&root), digest_to_hex(&public.root_old))?;
            same("digest before", digest_to_hex(&digest_so_far), digest_to_hex(&public.digest_in))?;
            same("first sequence number", sequence.to_string(), public.sequence_start.to_string())?;
            same("batches closed before", self.batches.to_string(), public.batches_start.to_string())?;
            let closed = self.batches + u32::from(last);
            same("batches closed after", closed.to_string(), public.batches_end.to_string())?;
            if let Some(time) = time {
                same("time before", time.to_string(), public.time_start.to_string())?;
            }
            root = public.root_new;
            digest_so_far = public.digest_out;
            sequence = public.sequence_end;
            time = Some(public.time_end);
        }
        let same = |what, expected: String, got: String| {
            if expected == got { Ok(()) } else { Err(VerifyError::Batch { batch, what, expected, got }) }
        };
        if segments.is_empty() {
            same("segments", "at least one".into(), "none".into())?;
        }
        same("instructions", instructions.to_string(), sequence.to_string())?;
        // The time is what the last segment says: Ethereum bounds it.
        let end = time.and_then(|time| TimeMs::new(time).ok()).map(|time| published.digest(time));
        let expected = end.as_ref().map_or_else(|| "a time".into(), digest_to_hex);
        same("digest of the published data", expected, digest_to_hex(&digest_so_far))?;
        *self = Self { root, batches: batch, time };
        Ok(())
    }
}

/// A digest's cells as the proof system's field elements. (They are the same type; this pins it.)
const _: fn(F) -> openvm_stark_sdk::config::baby_bear_poseidon2::F = |cell| cell;
