//! Honest segments of every scenario, and rows of them that show every table in every state that its columns have.

use std::collections::BTreeSet;

use holdfast_circuit::{
    air::Table,
    check::{Checker, TableChecker},
    witness::Segment,
};
use holdfast_crypto::{F, field::cell_to_canonical};
use holdfast_exchange::Engine;
use holdfast_sim::Scenario;
use openvm_stark_backend::{p3_field::PrimeCharacteristicRing, p3_matrix::Matrix};

use super::{
    Unsealed, engine,
    forge::{Forger, Honest, Inputs},
    sealed_before, unsealed,
};

/// Segments per scenario; the second closes its batch.
const SEGMENTS: usize = 2;
const COMMANDS: usize = 1_000;
const SEED: u64 = 11;

pub struct Filled {
    pub segment: Segment,
    /// What every row of a step was filled from, by step.
    pub inputs: Vec<Vec<Inputs>>,
}

/// A row of one of the corpus' segments.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub filled: usize,
    pub row: usize,
}

pub fn corpus(checker: &Checker<'_>) -> Vec<Filled> {
    println!("{SEGMENTS} segments of {COMMANDS} commands of every scenario, seed {SEED}");
    let mut corpus = Vec::new();
    for scenario in Scenario::all() {
        let mut engine = engine(&scenario);
        let instructions = scenario.commands(SEED, SEGMENTS * COMMANDS);
        let mut sequence = 0;
        for (index, instructions) in instructions.chunks(COMMANDS).enumerate() {
            let mut forger = Forger::new(engine.store(), engine.tree(), sequence, super::start(1));
            let seal = |engine: &mut Engine, forger: &mut Forger, session: Unsealed| {
                forger.seal(&mut Honest, (session.0.get(), session.1.get()));
                super::seal(engine, session);
            };
            for instruction in instructions {
                if let Some(session) = sealed_before(engine.store(), instruction) {
                    seal(&mut engine, &mut forger, session);
                }
                let outcome = forger.apply(&mut Honest, instruction);
                assert_eq!(engine.instruct(instruction), Ok(outcome));
            }
            let closes = index + 1 == SEGMENTS;
            if closes {
                for session in unsealed(engine.store()) {
                    seal(&mut engine, &mut forger, session);
                }
            }
            let leaves = engine.touched_leaves();
            let _root = engine.update_tree(&leaves);
            let _digest = forger.fit_digests();
            sequence = forger.sequence();
            let inputs = forger.inputs.clone();
            let segment = forger.finish(checker, closes);
            corpus.push(Filled { segment, inputs });
        }
    }
    corpus
}

/// Rows whose first cell says whether they are active.
pub fn has_padding(table: Table) -> bool {
    !matches!(table, Table::Poseidon2 | Table::Range)
}

/// Active rows of a table: the first few, and every one that has a cell in a state that no row before had it in.
pub fn samples(corpus: &[Filled], checker: &TableChecker<'_>) -> Vec<Sample> {
    const FIRST: usize = 8;
    let table = checker.table;
    let mut seen = BTreeSet::new();
    let mut samples = Vec::new();
    for (filled, Filled { segment, .. }) in corpus.iter().enumerate() {
        let Some(trace) = &segment.traces[table.index()] else { continue };
        let rows = trace.values.chunks_exact(checker.width).enumerate();
        for (row, cells) in rows.filter(|(_, cells)| !has_padding(table) || cells[0] == F::ONE) {
            let mut new = samples.len() < FIRST || row + 1 == trace.height();
            for (column, &cell) in cells.iter().enumerate() {
                new |= seen.insert((column, state(cell)));
            }
            if new {
                samples.push(Sample { filled, row });
            }
        }
    }
    samples
}

/// 0, 1, a limb, more, a negative number.
fn state(cell: F) -> u8 {
    match cell_to_canonical(cell) {
        0 => 0,
        1 => 1,
        2..0x4000 => 2,
        0x4000..0x4000_0000 => 3,
        _ => 4,
    }
}
