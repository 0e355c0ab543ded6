//! Aggregation of real flow: seconds and memory by layer, and what Ethereum pays.

use std::{path::Path, time::Instant};

use holdfast_circuit::{
    public::PublicValues,
    verify::{SegmentProof, VerifyingKey},
};
use holdfast_crypto::field::DIGEST_ZERO;
use holdfast_exchange::Engine;
use holdfast_protocol::publication::point_in_calldata;
use holdfast_prover::{
    BatchError, Prover, SegmentLimits,
    aggregate::{Aggregator, Kind, LEAF_ARITY, NODE_ARITY, NodeProof, Stretch},
    fill_batch,
    jobs::memory_peak_bytes,
};
use openvm_stark_backend::{codec::Encode, soundness::SoundnessCalculator};

use crate::{
    engine::{Recorded, record_flow},
    proving::Batches,
};

/// Runs a step, and prints what it took.
fn timed<T>(name: &str, step: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let result = step();
    let (seconds, memory) = (clock.elapsed().as_secs_f64(), memory_peak_bytes() as f64 / (1u64 << 30) as f64);
    println!("  {name:28} {seconds:>6.1} s   peak memory so far {memory:.2} GiB");
    result
}

fn shape(key: &VerifyingKey, proof: &NodeProof) -> String {
    let tables = key.inner.per_air.iter().zip(&proof.trace_vdata);
    let cells: usize =
        tables.filter_map(|(air, shape)| Some(air.params.width.total_width() << shape.as_ref()?.log_height)).sum();
    let bytes = proof.encode_to_vec().expect("a proof encodes").len();
    format!("{:.1} M cells, proof {bytes} bytes", cells as f64 / 1e6)
}

fn soundness(name: &str, bits: &SoundnessCalculator) {
    let SoundnessCalculator { logup_bits, gkr_sumcheck_bits, gkr_batching_bits, whir_bits, total_bits, .. } = bits;
    let (zerocheck, batching) = (bits.zerocheck_sumcheck_bits, bits.constraint_batching_bits);
    println!(
        "  {name:28} {total_bits:>6.1} bits: logup {logup_bits:.1}, gkr {gkr_sumcheck_bits:.1} and {gkr_batching_bits:.1}, zerocheck {zerocheck:.1}, batching {batching:.1}, stacking {:.1}, whir {whir_bits:.1}",
        bits.stacked_reduction_bits
    );
}

pub fn run(input: Option<&Path>, batch_size: usize, batches: usize, accounts: u32) {
    let Recorded { genesis, instructions, start, name } = record_flow(input, accounts);
    let engine = Engine::new(&genesis).expect("a valid genesis");
    let (mut store, mut tree) = (engine.store().clone(), engine.tree().clone());
    let mut source = Batches::new(engine, accounts);
    println!("aggregating {name}: {batches} batches of {batch_size} commands after one that opens {accounts} accounts");
    let (prepare, rest) = instructions.split_at(start);
    let chunks = std::iter::once(prepare).chain(rest.chunks(batch_size).take(batches));
    let mut segments: Vec<SegmentProof> = Vec::new();
    timed("segments", || {
        let prover = Prover::new();
        for chunk in chunks {
            let (batch, _) = source.next(chunk);
            let take = |_, segment| {
                segments.push(prover.prove(segment).expect("an honest segment is proven"));
                Ok::<(), BatchError>(())
            };
            fill_batch(&mut store, &mut tree, &batch, point_in_calldata(&batch), SegmentLimits::default(), take)
                .expect("the outcomes are the rules'");
        }
    });
    println!("  {} segments of {} public values", segments.len(), PublicValues::CELLS);

    let aggregator = timed("keys of leaves and nodes", Aggregator::new);
    let mut data = DIGEST_ZERO;
    let mut layer: Vec<Stretch> = Vec::new();
    for below in segments.chunks(LEAF_ARITY) {
        let leaf = timed(&format!("leaf of {}", below.len()), || aggregator.leaf(data, below).expect("they follow"));
        println!("    {}", shape(aggregator.key(Kind::Leaf), &leaf.proof));
        data = aggregator.verify(&leaf).expect("the leaf is valid").after.data;
        layer.push(leaf);
    }
    while layer.len() > 1 || layer[0].kind != Kind::Node {
        let mut above = Vec::new();
        for below in layer.chunks(NODE_ARITY) {
            let what = if below[0].kind == Kind::Leaf { "first node" } else { "node" };
            let node = timed(&format!("{what} of {}", below.len()), || aggregator.node(below).expect("they follow"));
            println!("    {}", shape(aggregator.key(node.kind), &node.proof));
            above.push(node);
        }
        layer = above;
    }
    let _hash = timed("key of the wrap", || aggregator.wrap_key().pre_hash);
    let wrap = timed("wrap", || aggregator.wrap(&layer[0]).expect("the node covers whole batches"));
    println!("    {}", shape(aggregator.wrap_key(), &wrap));
    let key = timed("key of the last proof", || aggregator.last_key());
    let last = timed("last proof", || aggregator.last(&wrap).expect("the wrap fits"));
    println!("    {} bytes", last.len());
    let public = timed("verification", || key.verify(&last).expect("the last proof is valid"));
    println!("  batches {} to {} are proven by one proof", public.batch_first, public.batch_last);

    println!("proven security, by part of the protocol:");
    for (name, kind) in [("leaf", Kind::Leaf), ("first node", Kind::First), ("node", Kind::Node)] {
        soundness(name, &SoundnessCalculator::calculate_from_vk(aggregator.key(kind)));
    }
    soundness("wrap", &SoundnessCalculator::calculate_from_vk(aggregator.wrap_key()));
    soundness("last", &key.soundness());
}
