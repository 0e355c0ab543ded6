//! Proving real flow: commands per second, and where the cells go.

use std::{collections::BTreeMap, path::Path, time::Instant};

use holdfast_circuit::verify::verify_segment;
use holdfast_exchange::Engine;
use holdfast_protocol::{Batch, BatchHeader};
use holdfast_prover::{OutcomeError, Prover, SegmentLimits, cells, fill_batch, shapes};
use openvm_stark_backend::codec::Encode;

use crate::{engine::record_flow, report::memory_peak_bytes};

pub fn run(input: Option<&Path>, batch_size: usize, batches: Option<usize>, accounts: u32) {
    let (genesis, commands, name) = record_flow(input, accounts);
    let mut native = Engine::new(&genesis).expect("a valid genesis");
    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let mut tree = engine.tree().clone();
    let prover = Prover::new();
    let interactions: BTreeMap<String, usize> = holdfast_circuit::air::Table::all()
        .zip(&prover.verifying_key().inner.per_air)
        .map(|(table, air)| (table.name(), air.symbolic_constraints.interactions.len()))
        .collect();
    println!("proving {name}: {} commands, {accounts} accounts, batches of {batch_size}", commands.len());

    let (mut proven, mut segments, mut proof_bytes, mut cell_count) = (0usize, 0usize, 0usize, 0usize);
    let (mut fill_seconds, mut prove_seconds, mut verify_seconds) = (0.0, 0.0, 0.0);
    let mut tables: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    for (number, chunk) in commands.chunks(batch_size).enumerate().take(batches.unwrap_or(usize::MAX)) {
        let outcomes = chunk.iter().map(|command| native.apply(command)).collect();
        let root = native.close_batch();
        let header = BatchHeader { number: number as u32 + 1 };
        let batch = Batch { header, commands: chunk.to_vec(), outcomes };
        let mut clock = Instant::now();
        fill_batch::<OutcomeError>(engine.store_mut(), &mut tree, &batch, SegmentLimits::default(), |_, segment| {
            fill_seconds += clock.elapsed().as_secs_f64();
            cell_count += cells(&segment);
            for (table, height, width) in shapes(&segment) {
                let entry = tables.entry(table.name()).or_default();
                entry.0 += height;
                entry.1 = width;
                entry.2 += height * width;
            }
            let started = Instant::now();
            let proof = prover.prove(segment).expect("an honest segment is proven");
            prove_seconds += started.elapsed().as_secs_f64();
            proof_bytes += proof.encode_to_vec().expect("a proof encodes").len();
            let started = Instant::now();
            verify_segment(prover.verifying_key(), &proof).expect("an honest proof is valid");
            verify_seconds += started.elapsed().as_secs_f64();
            segments += 1;
            clock = Instant::now();
            Ok(())
        })
        .expect("the native outcomes are those of the circuit");
        assert_eq!(tree.root(), root, "both readings lead to the same root");
        proven += chunk.len();
    }
    let seconds = fill_seconds + prove_seconds;
    println!(
        "proven: {proven} commands in {segments} segments: {:.0} commands/s ({fill_seconds:.1} s filling, {prove_seconds:.1} s proving)",
        proven as f64 / seconds
    );
    println!(
        "  {} cells, {:.0} a command; proofs {} bytes, {:.0} a command; verify {:.0} ms a segment; peak memory {:.2} GiB",
        cell_count,
        cell_count as f64 / proven as f64,
        proof_bytes,
        proof_bytes as f64 / proven as f64,
        1e3 * verify_seconds / segments as f64,
        memory_peak_bytes() as f64 / (1u64 << 30) as f64,
    );
    println!("  {:22} {:>9} {:>6} {:>12} {:>10} {:>14}", "table", "rows", "cols", "cells", "cells/cmd", "messages/cmd");
    let mut rows: Vec<_> = tables.into_iter().collect();
    rows.sort_by_key(|(_, (_, _, cells))| std::cmp::Reverse(*cells));
    for (table, (height, width, cells)) in rows {
        let messages = height * interactions.get(&table).copied().unwrap_or(0);
        println!(
            "  {table:22} {height:>9} {width:>6} {cells:>12} {:>10.0} {:>14.1}",
            cells as f64 / proven as f64,
            messages as f64 / proven as f64
        );
    }
}
