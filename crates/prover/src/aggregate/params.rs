//! Parameters of the proof system, by layer.
//!
//! They are chosen for the layer above to be small: a circuit that verifies a proof grows with its queries, and with the length of the last polynomial that each of them evaluates.
//! That each gives 100 bits of proven security is a test, on the keys themselves.

use holdfast_circuit::verify::{Config, VerifyingKey};
use openvm_stark_backend::{
    SystemParams, WhirProximityStrategy,
    soundness::{SoundnessCalculator, base_field_order},
};
use openvm_stark_sdk::config::{
    RECURSION_MAX_CONSTRAINT_DEGREE, SECURITY_BITS_TARGET, challenge_field_bits,
    log_up_params::log_up_security_params_baby_bear_100_bits,
};

/// Bounds of the circuits of leaves, nodes and wraps, so that their security can be told without making their keys. That the keys are within is a test.
const CONSTRAINTS_MAX: usize = 5_000;
const TABLES_MAX: usize = 100;
const COLUMNS_MAX: usize = 30_000;
const LOG_INTERACTIONS_MAX: usize = 31;

/// Whether a circuit has no more constraints in a table, no more tables, and no more columns than [`Layer::soundness_at_bounds`] reckons with.
pub fn is_within_bounds(key: &VerifyingKey) -> bool {
    let tables = &key.inner.per_air;
    let columns: usize = tables.iter().map(|table| table.params.width.total_width()).sum();
    let constraints = tables.iter().map(|table| table.symbolic_constraints.constraints.constraint_idx.len());
    let interactions = u64::from(key.inner.params.logup.max_interaction_count);
    tables.len() <= TABLES_MAX
        && columns <= COLUMNS_MAX
        && constraints.max().unwrap_or(0) <= CONSTRAINTS_MAX
        && interactions <= 1 << LOG_INTERACTIONS_MAX
}

/// What differs between layers.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub log_blowup: usize,
    pub l_skip: usize,
    pub n_stack: usize,
    pub w_stack: usize,
    pub log_final_poly_len: usize,
    pub folding_pow_bits: usize,
    pub mu_pow_bits: usize,
    pub query_pow_bits: usize,
    pub proximity: WhirProximityStrategy,
    pub k: usize,
}

impl Layer {
    /// The proven security of any circuit of this layer within the bounds.
    pub fn soundness_at_bounds(self) -> SoundnessCalculator {
        let params = self.params();
        SoundnessCalculator::calculate(
            &params,
            base_field_order::<Config>(),
            challenge_field_bits(),
            CONSTRAINTS_MAX,
            TABLES_MAX,
            params.max_constraint_degree,
            params.log_stacked_height(),
            COLUMNS_MAX,
            params.w_stack,
            LOG_INTERACTIONS_MAX - params.l_skip,
        )
    }

    pub fn params(self) -> SystemParams {
        let Self {
            log_blowup,
            l_skip,
            n_stack,
            w_stack,
            log_final_poly_len,
            folding_pow_bits,
            mu_pow_bits,
            query_pow_bits,
            proximity,
            k,
        } = self;
        let regime = proximity.initial_round();
        let list = SoundnessCalculator::whir_proximity_gap_security(
            regime,
            challenge_field_bits(),
            l_skip + n_stack,
            log_blowup,
            w_stack,
        );
        SystemParams::new(
            log_blowup,
            l_skip,
            n_stack,
            w_stack,
            log_final_poly_len,
            folding_pow_bits,
            mu_pow_bits,
            proximity,
            SECURITY_BITS_TARGET,
            log_up_security_params_baby_bear_100_bits(list.log2_list_size),
            RECURSION_MAX_CONSTRAINT_DEGREE,
            query_pow_bits,
            k,
        )
    }
}

/// Leaves.
pub const LEAF: Layer = Layer {
    log_blowup: 2,
    l_skip: 4,
    n_stack: 17,
    w_stack: 2048,
    log_final_poly_len: 5,
    folding_pow_bits: 4,
    mu_pow_bits: 13,
    query_pow_bits: 20,
    proximity: WhirProximityStrategy::UniqueDecoding,
    k: 4,
};

/// Nodes, the first and the others.
///
/// They have as many rounds of WHIR as leaves, because a circuit's columns depend on its child's rounds, and first nodes and nodes must have the same columns.
pub const NODE: Layer = Layer {
    log_blowup: 3,
    l_skip: 2,
    n_stack: 17,
    w_stack: 512,
    log_final_poly_len: 6,
    folding_pow_bits: 19,
    mu_pow_bits: 20,
    query_pow_bits: 20,
    proximity: WhirProximityStrategy::ListDecoding { m: 2 },
    k: 4,
};

/// The wrap.
pub const WRAP: Layer = Layer {
    log_blowup: 5,
    l_skip: 2,
    n_stack: 17,
    w_stack: 64,
    log_final_poly_len: 7,
    folding_pow_bits: 18,
    mu_pow_bits: 22,
    query_pow_bits: 22,
    proximity: WhirProximityStrategy::ListDecoding { m: 1 },
    k: 3,
};

/// The last proof.
pub const LAST: Layer = Layer {
    log_blowup: 6,
    l_skip: 2,
    n_stack: 16,
    w_stack: 32,
    log_final_poly_len: 6,
    folding_pow_bits: 18,
    mu_pow_bits: 20,
    query_pow_bits: 21,
    proximity: WhirProximityStrategy::ListDecoding { m: 1 },
    k: 3,
};

/// The proof under Poseidon2 over BN254, which a Halo2 circuit verifies: the compact option.
///
/// In that circuit a permutation costs some two thousand cells, and the queries' rows and paths are most of them; so the queries are as few as a prover can stand that hashes 2^24 rows slowly.
pub const BN254: Layer = Layer {
    log_blowup: 6,
    l_skip: 2,
    n_stack: 16,
    w_stack: 32,
    log_final_poly_len: 6,
    folding_pow_bits: 18,
    mu_pow_bits: 20,
    query_pow_bits: 20,
    proximity: WhirProximityStrategy::ListDecoding { m: 1 },
    k: 3,
};
