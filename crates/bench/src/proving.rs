//! Proving real flow: commands per second, and where the cells go.

use std::{collections::BTreeMap, path::Path, time::Instant};

use holdfast_circuit::verify::verify_segment;
use holdfast_cli::flow::{KEY_SEED_DEFAULT, Wallets};
use holdfast_crypto::{Digest, tree::Tree};
use holdfast_exchange::{Engine, Sequencer, store::Store};
use holdfast_protocol::{Batch, Instruction, Seal, Signature, publication::point_in_calldata};
use holdfast_prover::{BatchError, Prover, SegmentLimits, cells, fill_batch, jobs::memory_peak_bytes, shapes};
use openvm_stark_backend::codec::Encode;

use crate::engine::{Recorded, record_flow};

/// Signs what was recorded, and puts it into batches: those of the sequencer, or sealed after every instruction.
pub(crate) struct Batches {
    sequencer: Sequencer,
    wallets: Wallets,
    /// Of each instruction of the last batch.
    signatures: Vec<Signature>,
    sign_seconds: f64,
    verify_seconds: f64,
}

impl Batches {
    pub(crate) fn new(engine: Engine, accounts: u32) -> Self {
        Self {
            sequencer: Sequencer::new(engine),
            wallets: Wallets::new(KEY_SEED_DEFAULT, accounts),
            signatures: Vec::new(),
            sign_seconds: 0.0,
            verify_seconds: 0.0,
        }
    }

    pub(crate) fn next(&mut self, instructions: &[Instruction]) -> (Batch, Digest) {
        self.signatures.clear();
        // A new account's key is registered before its own commands come: the sequencer splits there.
        for instructions in instructions.chunks(1 << 10) {
            let clock = Instant::now();
            let commands: Vec<_> = instructions.iter().map(|instruction| instruction.command).collect();
            let requests = self.wallets.request_all(&commands);
            self.sign_seconds += clock.elapsed().as_secs_f64();
            self.signatures.extend(requests.iter().map(|request| request.signature));
            let clock = Instant::now();
            self.sequencer.submit_all(&requests, |_, result| {
                result.expect("a signed request is let in");
            });
            self.verify_seconds += clock.elapsed().as_secs_f64();
        }
        self.sequencer.close_batch()
    }

    /// The last batch, sealed after every instruction.
    fn sealed_each(&self, mut batch: Batch) -> Batch {
        let seal = |(at, (instruction, signature)): (usize, (&Instruction, &Signature))| {
            let (account, key) = instruction.session();
            Seal { after: at as u32 + 1, account, key, signature: *signature }
        };
        batch.seals = batch.instructions.iter().zip(&self.signatures).enumerate().map(seal).collect();
        batch
    }
}

/// What proving took.
#[derive(Default)]
struct Totals {
    segments: usize,
    seals: usize,
    proof_bytes: usize,
    cells: usize,
    fill_seconds: f64,
    prove_seconds: f64,
    verify_seconds: f64,
    /// Rows, columns and cells.
    tables: BTreeMap<String, (usize, usize, usize)>,
}

impl Totals {
    fn seconds(&self) -> f64 {
        self.fill_seconds + self.prove_seconds
    }

    /// Proves a batch from this state.
    fn prove(&mut self, prover: &Prover, store: &mut Store, tree: &mut Tree, batch: &Batch) {
        self.seals += batch.seals.len();
        let z = point_in_calldata(batch);
        let mut clock = Instant::now();
        fill_batch::<BatchError>(store, tree, batch, z, SegmentLimits::default(), |_, segment| {
            self.fill_seconds += clock.elapsed().as_secs_f64();
            self.cells += cells(&segment);
            for (table, height, width) in shapes(&segment) {
                let entry = self.tables.entry(table.name()).or_default();
                entry.0 += height;
                entry.1 = width;
                entry.2 += height * width;
            }
            let started = Instant::now();
            let proof = prover.prove(segment).expect("an honest segment is proven");
            self.prove_seconds += started.elapsed().as_secs_f64();
            self.proof_bytes += proof.encode_to_vec().expect("a proof encodes").len();
            let started = Instant::now();
            verify_segment(prover.verifying_key(), &proof).expect("an honest proof is valid");
            self.verify_seconds += started.elapsed().as_secs_f64();
            self.segments += 1;
            clock = Instant::now();
            Ok(())
        })
        .expect("the native outcomes are those of the circuit");
    }
}

pub fn run(input: Option<&Path>, batch_size: usize, batches: Option<usize>, accounts: u32, single: usize) {
    let Recorded { genesis, instructions, start, name } = record_flow(input, accounts);
    let engine = Engine::new(&genesis).expect("a valid genesis");
    let (mut store, mut tree) = (engine.store().clone(), engine.tree().clone());
    let prover = Prover::new();
    let interactions: BTreeMap<String, usize> = holdfast_circuit::air::Table::all()
        .zip(&prover.verifying_key().inner.per_air)
        .map(|(table, air)| (table.name(), air.symbolic_constraints.interactions.len()))
        .collect();
    println!("proving {name}: {} commands, {accounts} accounts, batches of {batch_size}", instructions.len());

    let mut source = Batches::new(engine, accounts);
    let (mut proven, mut totals) = (0usize, Totals::default());
    // Opening accounts is not what is measured: it is proven, but apart.
    let (prepare, mut rest) = instructions.split_at(start);
    let mut preparing = Totals::default();
    let (batch, _) = source.next(prepare);
    preparing.prove(&prover, &mut store, &mut tree, &batch);
    if single > 0 {
        // The flow's first commands: with a signature a session, and with one for every instruction.
        let chunk;
        (chunk, rest) = rest.split_at(single.min(rest.len()));
        let (before, before_tree) = (store.clone(), tree.clone());
        let (chained, _) = source.next(chunk);
        let mut once = Totals::default();
        once.prove(&prover, &mut store, &mut tree, &chained);
        let (mut before, mut before_tree) = (before, before_tree);
        let mut each = Totals::default();
        each.prove(&prover, &mut before, &mut before_tree, &source.sealed_each(chained));
        let rate = |totals: &Totals| chunk.len() as f64 / totals.seconds();
        println!(
            "the first {} commands, a signature each: {:.0} commands/s, {:.0} cells a command; with one a session ({}): {:.0} commands/s, {:.0} cells a command",
            chunk.len(),
            rate(&each),
            each.cells as f64 / chunk.len() as f64,
            once.seals,
            rate(&once),
            once.cells as f64 / chunk.len() as f64,
        );
    }
    for chunk in rest.chunks(batch_size).take(batches.unwrap_or(usize::MAX)) {
        let (batch, root) = source.next(chunk);
        totals.prove(&prover, &mut store, &mut tree, &batch);
        assert_eq!(tree.root(), root, "both readings lead to the same root");
        proven += chunk.len();
    }
    let (fill_seconds, prove_seconds, seconds) = (totals.fill_seconds, totals.prove_seconds, totals.seconds());
    println!(
        "prepared: {} accounts opened, keyed and funded in {:.1} s; signed {:.0}/s on all cores, verified (1,024 together) and executed {:.0}/s on one",
        accounts,
        preparing.seconds(),
        (start + proven) as f64 / source.sign_seconds,
        (start + proven) as f64 / source.verify_seconds
    );
    println!(
        "proven: {proven} commands and {} signatures in {} segments: {:.0} commands/s ({fill_seconds:.1} s filling, {prove_seconds:.1} s proving)",
        totals.seals,
        totals.segments,
        proven as f64 / seconds
    );
    let Totals { segments, proof_bytes, cells: cell_count, verify_seconds, tables, .. } = totals;
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
