//! The row of a step is a function of what it receives.
//!
//! A dishonest prover does not change one cell: it lies in one and computes the rest of the row from the lie. Of every step, rows of honest segments are
//! filled again with such lies, from the same entry, the same slots and the same hints. Each must violate a constraint, look up what does not exist, or
//! receive something else than the honest row, which another row would have to have sent.

#[allow(dead_code)]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use common::{
    checker,
    corpus::{corpus, samples},
    forge::{Inputs, permutation},
};
use holdfast_circuit::{
    air::Table,
    cells::MODULUS,
    check::{Message, TableChecker, Window, range_place},
    row::{Bus, Row},
    step_table::step_row,
};
use holdfast_crypto::{F, field::cell_to_canonical};
use holdfast_exchange::slots::Kind;
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

/// Rows of every step that are lied in.
const ROWS: usize = 60;

/// What is added to cells: `(column, difference)`.
type Lie<'a> = &'a [(usize, i64)];

/// A row that is filled from recorded inputs, with a lie.
struct Replay<'a> {
    inputs: &'a Inputs,
    lie: Lie<'a>,
    cells: Vec<F>,
    loads: usize,
    hints: usize,
}

impl Replay<'_> {
    fn hint(&mut self) -> i64 {
        self.hints += 1;
        self.inputs.hints[self.hints - 1]
    }
}

impl Row for Replay<'_> {
    type E = i64;

    fn constant(&self, value: i64) -> i64 {
        value
    }
    fn column(&mut self, value: i64) -> i64 {
        let added: i64 =
            self.lie.iter().filter(|(column, _)| *column == self.cells.len()).map(|(_, added)| added).sum();
        let value = value + added;
        self.cells.push(F::from_u64(value.rem_euclid(MODULUS) as u64));
        value
    }
    fn value(&self, e: &i64) -> i64 {
        *e
    }
    fn assert_zero(&mut self, _: i64) {}
    fn range(&mut self, _: &i64, _: &i64, _: u32) {}
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}
    fn load(&mut self, _: Kind, _: &i64, _: &i64, _: &i64) -> (Vec<i64>, i64) {
        self.loads += 1;
        self.inputs.loads[self.loads - 1].clone()
    }
    fn store(&mut self, _: Kind, _: &i64, _: &i64, _: &[i64]) {}
    fn hint_neighbour(&mut self, _: &i64, _: i64) -> i64 {
        self.hint()
    }
    fn hint_open_order(&mut self, _: &i64, _: &i64, _: &i64) -> i64 {
        self.hint()
    }
    fn note_outcome(&mut self, _: &i64, _: &i64) {}
}

/// The row with a lie; `None` if the lie has no consistent continuation (the gadgets assert that what they compute fits).
fn replay(inputs: &Inputs, lie: Lie<'_>) -> Option<Vec<F>> {
    let mut row = Replay { inputs, lie, cells: Vec::new(), loads: 0, hints: 0 };
    catch_unwind(AssertUnwindSafe(|| step_row(&mut row, inputs.step, &inputs.entry))).ok()?;
    Some(row.cells)
}

/// The messages that a row receives on the buses that are no lookups.
fn received(checker: &TableChecker<'_>, values: &[F]) -> BTreeMap<(u16, Vec<u32>), u32> {
    let mut received = BTreeMap::new();
    for index in 0..checker.messages() {
        let Message { bus, cells, count } = checker.message(index, values);
        if count == -F::ONE {
            let cells = cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
            *received.entry((bus as u16, cells)).or_insert(0) += 1;
        }
    }
    received
}

/// What refuses a row: constraints by their index, and lookups by the index of the message.
fn refusals(checker: &TableChecker<'_>, values: &[F]) -> Vec<(bool, usize)> {
    let constraints = checker.constraints().iter().enumerate();
    let mut refusals: Vec<(bool, usize)> =
        constraints.filter(|&(_, &at)| values[at] != F::ZERO).map(|(index, _)| (true, index)).collect();
    for index in 0..checker.messages() {
        let Message { bus, cells, count } = checker.message(index, values);
        let exists = match bus {
            Bus::Range => {
                let cells: Vec<u32> = cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
                range_place(&cells).is_some()
            }
            Bus::Poseidon2 => permutation(&cells).is_some(),
            _ => true,
        };
        if count != F::ZERO && !exists {
            refusals.push((false, index));
        }
    }
    refusals
}

#[test]
fn a_lie_and_what_follows_from_it_is_refused() {
    let checker = checker();
    let corpus = corpus(&checker);
    let mut believed = BTreeSet::new();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for checker in checker.tables() {
        let Table::Step(step) = checker.table else { continue };
        let (mut lies, mut impossible, mut elsewhere) = (0, 0, 0);
        let mut sole = BTreeSet::new();
        let samples = samples(&corpus, checker);
        // The samples that show most come first and last; the ones between are taken evenly.
        for sample in samples.iter().step_by(samples.len().div_ceil(ROWS)) {
            let filled = &corpus[sample.filled];
            let inputs = &filled.inputs[step as usize][sample.row];
            let honest = replay(inputs, &[]).expect("an honest row can be filled");
            let rows = &filled.segment.traces[checker.table.index()].as_ref().expect("the table has rows").values;
            assert_eq!(honest, rows[sample.row * checker.width..][..checker.width], "a replay without a lie is honest");
            let mut values = Vec::new();
            let window = Window { local: &honest, next: &honest, first: false, last: false, public: &[] };
            checker.evaluate(&window, &mut values);
            let honest_received = received(checker, &values);

            let limb = 1 << 14;
            for column in 0..checker.width {
                let flip = if honest[column] == F::ONE { -1 } else { 1 };
                let next = (column + 1).min(checker.width - 1);
                let kinds: [Lie<'_>; 5] = [
                    &[(column, flip)],
                    &[(column, -flip)],
                    &[(column, limb)],
                    // The same number in limbs that are no limbs.
                    &[(column, limb), (next, -1)],
                    &[(column, -limb), (next, 1)],
                ];
                for v in [
                    honest[column] + F::ONE,
                    honest[column] - F::ONE,
                    F::ZERO,
                    F::ONE,
                    -F::ONE,
                    F::from_u32(1 << 14),
                    honest[column] + F::from_u32(1 << 14),
                ] {
                    if v == honest[column] {
                        continue;
                    }
                    let mut row = honest.clone();
                    row[column] = v;
                    checker.evaluate(&Window { local: &row, next: &row, ..window }, &mut values);
                    let refusals = refusals(checker, &values);
                    let same = received(checker, &values) == honest_received;
                    if let ([only], true) = (&refusals[..], same) {
                        sole.insert(*only);
                    }
                }
                for lie in kinds {
                    lies += 1;
                    let Some(row) = replay(inputs, lie) else {
                        impossible += 1;
                        continue;
                    };
                    checker.evaluate(&Window { local: &row, next: &row, ..window }, &mut values);
                    let refusals = refusals(checker, &values);
                    let same = received(checker, &values) == honest_received;
                    if let ([only], true) = (&refusals[..], same) {
                        sole.insert(*only);
                    }
                    if refusals.is_empty() {
                        if same {
                            believed.insert((checker.table, lie.to_vec()));
                        } else {
                            elsewhere += 1;
                        }
                    }
                }
            }
        }

        let dag_len = 200000;
        for index in 0..checker.constraints().len() {
            if !sole.contains(&(true, index)) {
                println!("{} constraint {index}: {}", step.name(), show(checker, checker.constraints()[index], 0));
            }
        }
        for index in 0..checker.messages() {
            let m = checker.message(index, &vec![F::ZERO; dag_len]);
            if m.bus == Bus::Range && !sole.contains(&(false, index)) {
                let first = checker.message_expressions(index).collect::<Vec<_>>();
                println!(
                    "{} range {index}: {} bits {}",
                    step.name(),
                    show(checker, first[0], 0),
                    show(checker, first[1], 0)
                );
            }
        }
        let constraints = checker.constraints().len();
        let ranges: Vec<usize> = (0..checker.messages())
            .filter(|&i| checker.message(i, &vec![F::ZERO; dag_len]).bus == Bus::Range)
            .collect();
        println!(
            "{:12} SUMMARY lies {lies} impossible {impossible} elsewhere {elsewhere}; sole constraints {}/{constraints}, ranges {}/{}",
            step.name(),
            sole.iter().filter(|s| s.0).count(),
            ranges.iter().filter(|&&i| sole.contains(&(false, i))).count(),
            ranges.len()
        );
    }
    std::panic::set_hook(hook);
    assert_eq!(believed, BTreeSet::new(), "lies that are believed");
}

fn show(checker: &TableChecker<'_>, at: usize, depth: usize) -> String {
    if depth > 5 {
        return "…".into();
    }
    checker.show(at, &|at| show(checker, at, depth + 1))
}
