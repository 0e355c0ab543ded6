//! What an aggregator refuses before it proves anything. (Its keys take long to make: whoever has them calls this.)

use std::slice::from_ref;

use holdfast_circuit::{
    air::Table,
    public::PublicValues,
    verify::{LOG_HEIGHT_MAX, SegmentProof},
};
use holdfast_crypto::{F, field::DIGEST_ZERO};
use holdfast_prover::aggregate::{
    AggregateError, Aggregator, Kind, LEAF_ARITY, NODE_ARITY, Stretch, public::NodePublic, tables::TABLE,
};
use openvm_stark_backend::{
    p3_field::PrimeCharacteristicRing,
    proof::{BatchConstraintProof, GkrProof, StackingProof, TraceVData, WhirProof},
};
use openvm_stark_sdk::config::baby_bear_poseidon2::EF;

/// A proof of so many tables, each of 2^`log_height` rows, if any; all else is missing.
fn nothing(tables: usize, log_height: Option<usize>) -> SegmentProof {
    let shape = log_height.map(|log_height| TraceVData { log_height, ..TraceVData::default() });
    SegmentProof {
        common_main_commit: DIGEST_ZERO,
        trace_vdata: vec![shape; tables],
        public_values: vec![Vec::new(); tables],
        gkr_proof: GkrProof {
            logup_pow_witness: F::ZERO,
            q0_claim: EF::ZERO,
            claims_per_layer: Vec::new(),
            sumcheck_polys: Vec::new(),
        },
        batch_constraint_proof: BatchConstraintProof {
            numerator_term_per_air: Vec::new(),
            denominator_term_per_air: Vec::new(),
            univariate_round_coeffs: Vec::new(),
            sumcheck_round_polys: Vec::new(),
            column_openings: Vec::new(),
        },
        stacking_proof: StackingProof {
            univariate_round_coeffs: Vec::new(),
            sumcheck_round_polys: Vec::new(),
            stacking_openings: Vec::new(),
        },
        whir_proof: WhirProof {
            mu_pow_witness: F::ZERO,
            whir_sumcheck_polys: Vec::new(),
            codeword_commits: Vec::new(),
            ood_values: Vec::new(),
            folding_pow_witnesses: Vec::new(),
            query_phase_pow_witnesses: Vec::new(),
            initial_round_opened_rows: Vec::new(),
            initial_round_merkle_proofs: Vec::new(),
            codeword_opened_values: Vec::new(),
            codeword_merkle_proofs: Vec::new(),
            final_poly: Vec::new(),
        },
    }
}

const KINDS: [Kind; 3] = [Kind::Leaf, Kind::First, Kind::Node];

fn stretch(kind: Kind, proof: &SegmentProof) -> Stretch {
    Stretch { kind, proof: proof.clone() }
}

/// Too many proofs, none, those of two layers, those that are none: nothing is proven over them, and nothing panics.
pub fn is_refused_with_the_reason(aggregator: &Aggregator) {
    let tables = aggregator.key(Kind::Leaf).inner.per_air.len();
    let none = nothing(tables, None);
    for got in [0, LEAF_ARITY + 1] {
        let refused = aggregator.leaf(DIGEST_ZERO, &vec![none.clone(); got]).map(|_| ());
        assert_eq!(refused, Err(AggregateError::Arity { max: LEAF_ARITY, got }));
    }
    for got in [0, NODE_ARITY + 1] {
        let refused = aggregator.node(&vec![stretch(Kind::Leaf, &none); got]).map(|_| ());
        assert_eq!(refused, Err(AggregateError::Arity { max: NODE_ARITY, got }));
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2), (2, 1), (2, 0), (1, 0)] {
        let refused = aggregator.node(&[one, other].map(|kind| stretch(KINDS[kind], &none))).map(|_| ());
        assert_eq!(refused, Err(AggregateError::Layers));
    }
    for kind in [Kind::Leaf, Kind::First] {
        assert_eq!(aggregator.wrap(&stretch(kind, &none)).map(|_| ()), Err(AggregateError::Layers));
    }
    stretches_that_are_none_are_refused(aggregator, tables);
    segments_that_are_none_are_refused(aggregator);
}

#[track_caller]
fn is_named(refused: Result<(), AggregateError>, words: [&str; 2]) {
    let Err(AggregateError::Child { index: 0, reason }) = &refused else { panic!("{words:?}: {refused:?}") };
    assert!(words.iter().all(|word| reason.contains(word)), "expected {words:?}, got {reason}");
}

fn stretches_that_are_none_are_refused(aggregator: &Aggregator, tables: usize) {
    let check = |proof: &SegmentProof, words: [&str; 2]| {
        for kind in KINDS {
            let reason = aggregator.verify(&stretch(kind, proof)).expect_err("it is no proof");
            assert!(words.iter().all(|word| reason.contains(word)), "expected {words:?}, got {reason}");
            is_named(aggregator.node(&[stretch(kind, proof)]).map(|_| ()), words);
        }
        is_named(aggregator.wrap(&stretch(Kind::Node, proof)).map(|_| ()), words);
    };
    let with_ours = |log_height: Option<usize>| {
        let mut proof = nothing(tables, log_height);
        proof.public_values[TABLE] = vec![F::ZERO; NodePublic::CELLS];
        proof
    };
    let (expected, ours) =
        (format!("expected {tables} tables"), format!("expected a table with {} public values", NodePublic::CELLS));
    check(&nothing(0, None), [&expected, "got 0"]);
    check(&nothing(tables + 1, Some(3)), [&expected, &format!("got {}", tables + 1)]);
    check(&nothing(tables, None), [&ours, "got 0"]);
    check(&nothing(tables, Some(3)), [&ours, "got 0"]);
    check(&with_ours(None), [&ours, ""]);
    check(&with_ours(Some(64)), ["expected at most 2^", "got 2^64"]);
    check(&with_ours(Some(3)), ["constraints of another key", ""]);
}

fn segments_that_are_none_are_refused(aggregator: &Aggregator) {
    let tables = Table::all().count();
    let check = |proof: &SegmentProof, words: [&str; 2]| {
        is_named(aggregator.leaf(DIGEST_ZERO, from_ref(proof)).map(|_| ()), words);
    };
    check(&nothing(0, None), [&format!("expected {tables} tables"), "got 0"]);
    check(&nothing(tables, None), ["expected the segment table, got none", ""]);
    check(&nothing(tables, Some(LOG_HEIGHT_MAX + 1)), ["expected at most 2^", &format!("2^{}", LOG_HEIGHT_MAX + 1)]);
    check(&nothing(tables, Some(3)), [&format!("expected {} public values", PublicValues::CELLS), ""]);
}
