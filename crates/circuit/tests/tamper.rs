//! Every column of every table says something: a changed cell is refused.
//!
//! Of every table, active rows of honest segments are taken; every cell of them is changed to several values, and the constraints and messages that see
//! it are evaluated again. The prover is taken to be as free as it can be: it makes the lookup tables fit. A change survives if no constraint is
//! violated, every lookup exists, and the messages on all other buses are the same as before. The survivors must be exactly those listed.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    checker,
    corpus::{Filled, Sample, corpus, has_padding, samples},
    forge::permutation,
};
use holdfast_circuit::{
    air::Table,
    check::{Message, TableChecker, Window, range_place},
    row::Bus,
};
use holdfast_crypto::{
    F,
    field::{DIGEST_CELLS, cell_to_canonical},
};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Columns of active rows that may be changed without consequence: table, column, and why that is harmless.
const SURVIVORS: &[(Table, usize, &str)] = &[];

/// Least number of active rows per table that must be tampered with.
const ROWS_MIN: usize = 8;
const SEED: u64 = 1;

/// The cells of a row's column, and what depends on it.
struct Dependents {
    expressions: Vec<usize>,
    constraints: Vec<usize>,
    messages: Vec<usize>,
}

impl Dependents {
    fn new(checker: &TableChecker<'_>, column: usize, next: bool) -> Self {
        let expressions = checker.dependents(column, next);
        let depends: BTreeSet<usize> = expressions.iter().copied().collect();
        let constraints = checker.constraints().iter().copied().filter(|at| depends.contains(at)).collect();
        let messages = (0..checker.messages())
            .filter(|&index| checker.message_expressions(index).any(|at| depends.contains(&at)))
            .collect();
        Self { expressions, constraints, messages }
    }
}

/// One row's constraints and messages, evaluated on the honest segment.
struct Evaluated<'a> {
    checker: &'a TableChecker<'a>,
    window: Window<'a>,
    values: Vec<F>,
}

impl<'a> Evaluated<'a> {
    fn new(checker: &'a TableChecker<'a>, values: &'a [F], row: usize, public: &'a [F]) -> Self {
        let window = Window::new(values, checker.width, row, public);
        let mut values = Vec::new();
        checker.evaluate(&window, &mut values);
        Self { checker, window, values }
    }

    /// Whether a tampered window is refused; adds to `difference` what it changes in messages. `scratch` holds the honest values, and does so again afterwards.
    fn refuses(
        &self,
        tampered: &Window<'_>,
        dependents: &Dependents,
        difference: &mut BTreeMap<(u16, Vec<u32>), F>,
        scratch: &mut [F],
    ) -> bool {
        self.checker.reevaluate(tampered, &dependents.expressions, scratch);
        let refused = self.refuses_values(dependents, difference, scratch);
        for &at in &dependents.expressions {
            scratch[at] = self.values[at];
        }
        refused
    }

    fn refuses_values(
        &self,
        dependents: &Dependents,
        difference: &mut BTreeMap<(u16, Vec<u32>), F>,
        scratch: &[F],
    ) -> bool {
        if dependents.constraints.iter().any(|&at| scratch[at] != F::ZERO) {
            return true;
        }
        for &index in &dependents.messages {
            let (old, new) = (self.checker.message(index, &self.values), self.checker.message(index, scratch));
            if is_lookup(self.checker.table, old.bus) {
                if !exists(&new) {
                    return true;
                }
                continue;
            }
            for (message, count) in [(&old, -old.count), (&new, new.count)] {
                let cells = message.cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
                *difference.entry((message.bus as u16, cells)).or_insert(F::ZERO) += count;
            }
        }
        false
    }
}

/// Whether a table looks up in this bus.
fn is_lookup(table: Table, bus: Bus) -> bool {
    match bus {
        Bus::Range => table != Table::Range,
        Bus::Poseidon2 => table != Table::Poseidon2,
        _ => false,
    }
}

/// Whether a lookup table can have what is looked up.
fn exists(message: &Message) -> bool {
    let cells: Vec<u32> = message.cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
    match cell_to_canonical(message.count) {
        0 => true,
        1 if message.bus == Bus::Range => range_place(&cells).is_some(),
        1 => permutation(&message.cells).is_some(),
        _ => false,
    }
}

/// Changes every cell of a sampled row; gives the columns that some change of survives.
fn tamper(
    checker: &TableChecker<'_>,
    dependents: &[[Dependents; 2]],
    corpus: &[Filled],
    samples: &[Sample],
    dice: &mut ChaCha8Rng,
    survivors: &mut BTreeSet<usize>,
) -> usize {
    let mut changes = 0;
    for (at, &Sample { filled, row }) in samples.iter().enumerate() {
        let segment = &corpus[filled].segment;
        let public = segment.public.to_cells();
        let rows = &segment.traces[checker.table.index()].as_ref().expect("the sampled table has rows").values;
        let height = rows.len() / checker.width;
        let evaluated = Evaluated::new(checker, rows, row, &public);
        let preceding = Evaluated::new(checker, rows, (row + height - 1) % height, &public);
        let other = &samples[(at + 1) % samples.len()];
        let other = &corpus[other.filled].segment.traces[checker.table.index()].as_ref().expect("it has rows").values
            [other.row * checker.width..][..checker.width];
        let mut cells = evaluated.window.local.to_vec();
        let (mut scratch, mut scratch_preceding) = (evaluated.values.clone(), preceding.values.clone());
        for column in 0..checker.width {
            let honest = cells[column];
            let random = F::from_u64(u64::from(dice.next_u32()));
            let high = F::from_u32(1 << 14);
            let values = [
                honest + F::ONE,
                honest - F::ONE,
                F::ZERO,
                F::ONE,
                -F::ONE,
                high,
                honest + high,
                other[column],
                random,
            ];
            for value in values.into_iter().filter(|&value| value != honest) {
                changes += 1;
                cells[column] = value;
                let mut difference = BTreeMap::new();
                // (A table of one row follows itself.)
                let next = if height == 1 { &cells } else { evaluated.window.next };
                let tampered = Window { local: &cells, next, ..evaluated.window };
                let mut refused = evaluated.refuses(&tampered, &dependents[column][0], &mut difference, &mut scratch);
                if height > 1 && !refused {
                    let tampered = Window { next: &cells, ..preceding.window };
                    refused =
                        preceding.refuses(&tampered, &dependents[column][1], &mut difference, &mut scratch_preceding);
                }
                if !refused && difference.values().all(|&count| count == F::ZERO) {
                    survivors.insert(column);
                }
            }
            cells[column] = honest;
        }
    }
    changes
}

#[test]
fn a_changed_cell_of_an_active_row_is_refused() {
    println!("seed {SEED}");
    let checker = checker();
    let corpus = corpus(&checker);
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut found = BTreeSet::new();
    for checker in checker.tables() {
        let samples = samples(&corpus, checker);
        assert!(samples.len() >= ROWS_MIN, "table {} has {} active rows", checker.table.name(), samples.len());
        let dependents: Vec<[Dependents; 2]> =
            (0..checker.width).map(|column| [false, true].map(|next| Dependents::new(checker, column, next))).collect();
        let mut survivors = BTreeSet::new();
        let changes = tamper(checker, &dependents, &corpus, &samples, &mut dice, &mut survivors);
        println!("{:20} {:4} rows, {changes:7} changes", checker.table.name(), samples.len());
        found.extend(survivors.into_iter().map(|column| (checker.table, column)));
    }
    let listed: BTreeSet<(Table, usize)> = SURVIVORS.iter().map(|&(table, column, _)| (table, column)).collect();
    assert_eq!(found, listed, "the columns that may be changed are those listed");
}

/// The rows that only fill a table up can neither send nor receive, whatever stands in them.
#[test]
fn a_row_of_padding_says_nothing() {
    println!("seed {SEED}");
    let checker = checker();
    let corpus = corpus(&checker);
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    for checker in checker.tables().iter().filter(|checker| has_padding(checker.table)) {
        for Filled { segment, .. } in &corpus {
            let public = segment.public.to_cells();
            let Some(trace) = &segment.traces[checker.table.index()] else { continue };
            // Where no row of the corpus is padding (the segment's table has one row), the first one is said to be.
            let row = trace.values.chunks_exact(checker.width).position(|row| row[0] == F::ZERO).unwrap_or(0);
            let mut values = Vec::new();
            let honest = Window { first: false, ..Window::new(&trace.values, checker.width, row, &public) };
            for random in [false, true] {
                // The cells of a row are random, or those of an honest row.
                let mut cells = honest.local.to_vec();
                cells[0] = F::ZERO;
                if random {
                    cells[1..].fill_with(|| F::from_u32(dice.next_u32() >> 2));
                }
                let window = Window { local: &cells, ..honest };
                checker.evaluate(&window, &mut values);
                for index in 0..checker.messages() {
                    let message = checker.message(index, &values);
                    assert_eq!(message.count, F::ZERO, "table {}, {:?}", checker.table.name(), message.bus);
                }
            }
        }
    }
}

/// A row is active once or not at all: one that is active −1 times could take back what another has sent, or supply what it looks up.
#[test]
fn a_row_is_active_once_or_not_at_all() {
    let checker = checker();
    let corpus = corpus(&checker);
    for checker in checker.tables().iter().filter(|checker| has_padding(checker.table)) {
        let Sample { filled, row } = samples(&corpus, checker)[0];
        let segment = &corpus[filled].segment;
        let public = segment.public.to_cells();
        let rows = &segment.traces[checker.table.index()].as_ref().expect("the table has rows").values;
        let honest = Window::new(rows, checker.width, row, &public);
        let violates = |active: F, first: bool| {
            let mut cells = honest.local.to_vec();
            cells[0] = active;
            let mut values = Vec::new();
            checker.evaluate(&Window { local: &cells, first, ..honest }, &mut values);
            checker.constraints().iter().any(|&at| values[at] != F::ZERO)
        };
        let name = checker.table.name();
        for active in [-F::ONE, F::TWO, F::from_u32(1 << 16)] {
            assert!(violates(active, true) && violates(active, false), "table {name}: active {active}");
        }
        if checker.table == Table::Segment {
            // There is one segment.
            assert!(violates(F::ZERO, true) && violates(F::ONE, false));
            assert!(!violates(F::ONE, true) && !violates(F::ZERO, false));
        } else {
            assert!(!violates(F::ONE, false) && !violates(F::ZERO, false), "table {name}");
        }
    }
}

/// A node of the tree receives each child once or not at all: twice, an unchanged child could have two histories.
#[test]
fn a_child_is_touched_once_or_not_at_all() {
    let checker = checker();
    let corpus = corpus(&checker);
    let checker = checker.table(Table::Merkle);
    let rows = &corpus[0].segment.traces[checker.table.index()].as_ref().expect("the table has rows").values;
    let honest = Window::new(rows, checker.width, 0, &[]);
    for touched in [3, 4] {
        let violates = |count: F| {
            let mut cells = honest.local.to_vec();
            let (before, after) = cells[5..].split_at_mut(3 * DIGEST_CELLS);
            after.copy_from_slice(before);
            cells[touched] = count;
            let mut values = Vec::new();
            checker.evaluate(&Window { local: &cells, ..honest }, &mut values);
            checker.constraints().iter().any(|&at| values[at] != F::ZERO)
        };
        assert!(violates(F::TWO) && violates(-F::ONE), "column {touched}");
        assert!(!violates(F::ZERO) && !violates(F::ONE), "column {touched}");
    }
}

#[test]
fn a_changed_public_value_is_refused() {
    let checker = checker();
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let table = checker.table(Table::Segment);
    for Filled { segment, .. } in corpus(&checker) {
        let rows = &segment.traces[0].as_ref().expect("the segment table has a row").values;
        let public = segment.public.to_cells();
        let messages = |public: &[F]| -> Option<Vec<Message>> {
            let mut values = Vec::new();
            table.evaluate(&Window::new(rows, table.width, 0, public), &mut values);
            let holds = table.constraints().iter().all(|&at| values[at] == F::ZERO);
            holds.then(|| (0..table.messages()).map(|index| table.message(index, &values)).collect())
        };
        let honest = messages(&public).expect("the honest segment satisfies its constraints");
        for at in 0..public.len() {
            for value in [public[at] + F::ONE, F::ZERO, F::from_u32(dice.next_u32() >> 2)] {
                let mut tampered = public.clone();
                tampered[at] = value;
                assert!(value == public[at] || messages(&tampered).as_ref() != Some(&honest), "public value {at}");
            }
        }
    }
}
