//! The whole way, with real proofs: a chain of two batches in three segments becomes one last proof, and the bundled key is the key of the source.
//!
//! One test does it all, because it takes minutes: `cargo xtask recursion` runs it. After a change of any circuit,
//! `cargo xtask recursion bless` writes the bundled key and the sample proof anew.

#[path = "../../circuit/tests/common/mod.rs"]
mod common;
#[path = "aggregate/misuse.rs"]
mod misuse;

use common::{attacks::Stage, carry_out};
use holdfast_circuit::{
    last::{LastKey, LastPublic, export::export},
    verify::{SegmentProof, verify_segment, verifying_key},
};
use holdfast_crypto::{field::DIGEST_ZERO, poseidon2::compress};
use holdfast_exchange::Engine;
use holdfast_protocol::{
    Batch, Instruction, TimeMs,
    publication::{Progress, point_in_calldata},
};
use holdfast_prover::{
    BatchError, Prover, SegmentLimits,
    aggregate::{AggregateError, Aggregator, Kind, params},
    fill_batch,
};
use openvm_stark_backend::soundness::SoundnessCalculator;

const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../circuit/src/last/last.key");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../circuit/tests/vectors/last.proof");
/// What forge's tests and anvil's deploy.
const KEY_DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/key.bin");

fn prove_batch(
    prover: &Prover,
    engine: &mut Engine,
    number: u32,
    instructions: &[Instruction],
) -> (Batch, Vec<SegmentProof>) {
    let mut after = engine.clone();
    let batch = carry_out(&mut after, number, instructions);
    let limits = SegmentLimits { rows: 30, ..SegmentLimits::default() };
    let mut proofs = Vec::new();
    let mut tree = engine.tree().clone();
    let take = |_, segment| {
        proofs.push(prover.prove(segment).expect("an honest segment can be proven"));
        Ok::<(), BatchError>(())
    };
    fill_batch(engine.store_mut(), &mut tree, &batch, point_in_calldata(&batch), limits, take)
        .expect("the outcomes are those of the rules");
    let _root = after.close_batch();
    *engine = after;
    (batch, proofs)
}

#[test]
#[ignore = "it takes minutes: cargo xtask recursion"]
fn a_chain_becomes_one_proof_under_the_bundled_key() {
    let mut engine = Engine::new(&common::attacks::genesis()).expect("the genesis is valid");
    let root_old = engine.root();
    let prover = Prover::new();
    let (first, proofs) = prove_batch(&prover, &mut engine, 1, &Stage::instructions());
    let (second, second_proofs) = prove_batch(&prover, &mut engine, 2, &[]);
    let (root_new, segment_key) = (engine.root(), verifying_key().pre_hash);
    let segments: Vec<SegmentProof> = proofs.into_iter().chain(second_proofs).collect();
    assert_eq!(segments.len(), 3);
    let public = |segment: &SegmentProof| verify_segment(prover.verifying_key(), segment).expect("it is valid");
    let (time_start, time_end) = (public(&segments[0]).time_start, public(&segments[2]).time_end);

    let aggregator = Aggregator::new();
    misuse::is_refused_with_the_reason(&aggregator);
    for kind in [Kind::Leaf, Kind::First, Kind::Node] {
        let bits = SoundnessCalculator::calculate_from_vk(aggregator.key(kind)).total_bits;
        assert!(bits >= 100.0, "{kind:?}: expected 100 bits of proven security, got {bits}");
        assert!(params::is_within_bounds(aggregator.key(kind)), "{kind:?}");
    }
    // Segments that do not follow one another are refused before anything is proven.
    let crossed = aggregator.leaf(DIGEST_ZERO, &[segments[1].clone(), segments[0].clone()]);
    assert!(matches!(crossed, Err(AggregateError::Join { index: 1, what: "root", .. })), "{:?}", crossed.err());

    // A leaf ends in the middle of the first batch, or at its end: here the second begins within it.
    let one = aggregator.leaf(DIGEST_ZERO, &segments[..2]).expect("two segments make a leaf");
    let data = aggregator.verify(&one).expect("the leaf is valid").after.data;
    let other = aggregator.leaf(data, &segments[2..]).expect("one segment makes a leaf");
    let node = aggregator.node(&[one.clone(), other]).expect("two leaves make a first node");
    let part = aggregator.node(&[one]).expect("one leaf makes a first node");
    let part_of = aggregator.verify(&part).expect("the node is valid");
    assert_eq!(part_of.after.data, data);
    let node = aggregator.node(&[node]).expect("a first node makes a node");
    // A node over nodes.
    let node = aggregator.node(&[node]).expect("a node makes a node");
    let wrap = aggregator.wrap(&node).expect("the node covers whole batches");
    let bits = SoundnessCalculator::calculate_from_vk(aggregator.wrap_key()).total_bits;
    assert!(bits >= 100.0, "wrap: expected 100 bits of proven security, got {bits}");
    assert!(params::is_within_bounds(aggregator.wrap_key()));
    let (needed, fixed) =
        (aggregator.last_log_heights(&wrap).expect("it is valid"), &aggregator.last_key().log_heights);
    assert!(needed.iter().zip(fixed).all(|(needed, fixed)| needed <= fixed), "expected {fixed:?}, got {needed:?}");
    let last = aggregator.last(&wrap).expect("the wrap fits the last circuit");

    let key = aggregator.last_key();
    let bits = key.soundness().total_bits;
    assert!(bits >= 100.0, "last: expected 100 bits of proven security, got {bits}");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::write(KEY, key.to_bytes()).expect("the key can be written");
        std::fs::write(SAMPLE, &last).expect("the sample can be written");
        let exported = export(key).expect("the key is one for the contracts");
        std::fs::write(KEY_DATA, exported.data).expect("the key data can be written");
    } else {
        assert!(key.to_bytes() == LastKey::bundled().to_bytes(), "the bundled key is not that of the source: bless it");
    }
    // No instruction of these batches moves the time.
    let time = TimeMs::new(time_end).expect("a time");
    let data = [first, second]
        .iter()
        .fold(DIGEST_ZERO, |data, batch| compress(&data, &Progress::end_in_calldata(batch).digest(time)));
    let expected =
        LastPublic { root_old, root_new, batch_first: 1, batch_last: 2, time_start, time_end, data, segment_key };
    assert_eq!(key.verify(&last), Ok(expected));
}
