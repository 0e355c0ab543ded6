//! The row of a step is a function of what it receives.
//!
//! A dishonest prover does not change one cell: it lies in one and computes the rest of the row from the lie. Of every step, rows of honest segments are
//! filled again with such lies, from the same entry, the same slots and the same hints. Each must violate a constraint, look up what does not exist, or
//! receive something else than the honest row, which another row would have to have sent. The digest that a row hands on is given as well: it is that
//! of the published instructions.

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
    step_table::{EXTENSION, PUBLISHED, step_row},
};
use holdfast_crypto::{
    F,
    field::{DIGEST_CELLS, cell_to_canonical},
    poseidon2::compress,
};
use holdfast_exchange::{machine::LIMB_BITS, slots::Kind, step::Step};
use openvm_stark_backend::p3_field::{Field, PrimeCharacteristicRing};

/// Rows of every step that are lied in.
const ROWS: usize = 12;
const BASE: i64 = 1 << LIMB_BITS;

/// What is added to cells: `(column, difference)`.
type Lie = Vec<(usize, i64)>;

/// A row that is filled from recorded inputs, with a lie.
struct Replay<'a> {
    inputs: &'a Inputs,
    lie: &'a Lie,
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
        self.cells.push(field(value));
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
    fn compress(&mut self, left: &[i64; 8], right: &[i64; 8]) -> [i64; 8] {
        compress(&left.map(field), &right.map(field)).map(|cell| i64::from(cell_to_canonical(cell)))
    }
    fn note_signed(&mut self, _: &[i64; 14], _: &[i64; 8]) {}
    fn note_outcome(&mut self, _: &i64, _: &i64) {}
}

fn field(value: i64) -> F {
    F::from_u64(value.rem_euclid(MODULUS) as u64)
}

/// The columns of a step's row that are filled with what the batch's digest absorbs before it, and the first columns of the digests that follow from them.
fn published(step: Step) -> (Vec<usize>, &'static [usize]) {
    const FOLLOWING: [usize; 3] = [PUBLISHED.start + 1, EXTENSION + DIGEST_CELLS, EXTENSION + 2 * DIGEST_CELLS];
    // The first digest, and after the last one the number of words.
    let given =
        |digests: usize| (EXTENSION..EXTENSION + DIGEST_CELLS).chain([EXTENSION + digests * DIGEST_CELLS]).collect();
    match step {
        Step::Authorise => (vec![PUBLISHED.start], &FOLLOWING[..1]),
        Step::Open => (given(2), &FOLLOWING[1..2]),
        Step::Register => (given(3), &FOLLOWING[1..]),
        _ => (Vec::new(), &[]),
    }
}

/// Fills in the columns of a row that follow from what is published. A lie in them stays one.
fn publish(checker: &TableChecker<'_>, step: Step, honest: &[F], lie: &Lie, row: &mut [F]) {
    let (given, following) = published(step);
    for column in given {
        row[column] += honest[column];
    }
    let mut values = Vec::new();
    for (index, &first) in following.iter().enumerate() {
        checker.evaluate(&window(row), &mut values);
        let messages = (0..checker.messages()).map(|index| checker.message(index, &values));
        let message =
            messages.filter(|message| message.bus == Bus::Poseidon2).nth(index).expect("a look-up per digest");
        let digest = |at: usize| std::array::from_fn(|cell| message.cells[at + cell]);
        row[first..first + DIGEST_CELLS].copy_from_slice(&compress(&digest(0), &digest(DIGEST_CELLS)));
        for &(column, added) in lie.iter().filter(|(column, _)| (first..first + DIGEST_CELLS).contains(column)) {
            row[column] += field(added);
        }
    }
}

/// The row with a lie; `None` if the gadgets refuse to compute on (they assert that what they compute fits).
fn replay(inputs: &Inputs, lie: &Lie) -> Option<Vec<F>> {
    let mut row = Replay { inputs, lie, cells: Vec::new(), loads: 0, hints: 0 };
    catch_unwind(AssertUnwindSafe(|| step_row(&mut row, inputs.step, &inputs.entry))).ok()?;
    Some(row.cells)
}

/// The lies that are told in a column.
fn lies(honest: &[F], column: usize) -> Vec<Lie> {
    let cell = |column: usize| honest.get(column).map_or(0, |&cell| i64::from(cell_to_canonical(cell)));
    let flip = |column: usize| if cell(column) == 1 { -1 } else { 1 };
    let next = column + 1;
    let mut lies = vec![
        vec![(column, flip(column))],
        vec![(column, -flip(column))],
        vec![(column, BASE)],
        // The same number in limbs that are none.
        vec![(column, BASE), (next, -1)],
        vec![(column, -BASE), (next, 1)],
        // A place next to the right one, under a key that is none.
        vec![(column, 1), (column + 3, -32)],
        vec![(column, -1), (column + 3, 32)],
        // No inverse, and the opposite of whether there is one.
        vec![(column, -cell(column)), (next, flip(next))],
    ];
    // A number that is the same modulo the field's order.
    let limbs = [cell(column), cell(next), cell(column + 2)];
    if limbs.iter().all(|&limb| limb < BASE) {
        let number = limbs[0] + BASE * limbs[1] + BASE * BASE * limbs[2];
        for wrapped in
            [number + MODULUS, number - MODULUS].into_iter().filter(|wrapped| (0..BASE * BASE * BASE).contains(wrapped))
        {
            let difference = |at: usize| (wrapped >> (at as u32 * LIMB_BITS)) % BASE - limbs[at];
            lies.push((0..3).map(|at| (column + at, difference(at))).collect());
        }
    }
    lies
}

/// Solves every violated equation for the last column in it (a carry, where there is one), in the field.
fn repair(checker: &TableChecker<'_>, last_columns: &[Option<usize>], row: &mut [F], values: &mut Vec<F>) {
    let mut repaired = BTreeSet::new();
    for (&constraint, &column) in checker.constraints().iter().zip(last_columns) {
        let Some(column) = column else { continue };
        if values[constraint] == F::ZERO || !repaired.insert(column) {
            continue;
        }
        let (before, cell) = (values[constraint], row[column]);
        let mut at = |value: F| {
            row[column] = value;
            checker.evaluate(&window(row), values);
            values[constraint]
        };
        let slope = at(cell + F::ONE) - before;
        let solution = if slope == F::ZERO { cell } else { cell - before * slope.inverse() };
        if at(solution) != F::ZERO {
            // The equation is not linear in this column.
            let _before = at(cell);
        }
    }
}

/// A row of a step's table by itself: such a table looks at no other row.
fn window(row: &[F]) -> Window<'_> {
    Window { local: row, next: row, first: false, last: false, public: &[] }
}

/// The messages that a row receives on the buses that are no lookups, and the digests that it sends.
fn received(checker: &TableChecker<'_>, values: &[F]) -> BTreeMap<(u16, Vec<u32>), u32> {
    let mut received = BTreeMap::new();
    for index in 0..checker.messages() {
        let Message { bus, cells, count } = checker.message(index, values);
        if count == -F::ONE || (bus == Bus::Digest && count == F::ONE) {
            let cells = cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
            *received.entry((bus as u16, cells)).or_insert(0) += 1;
        }
    }
    received
}

/// Whether a constraint is violated, or something looked up that does not exist.
fn is_refused(checker: &TableChecker<'_>, values: &[F]) -> bool {
    checker.constraints().iter().any(|&at| values[at] != F::ZERO)
        || (0..checker.messages()).any(|index| {
            let Message { bus, cells, count } = checker.message(index, values);
            let exists = match bus {
                Bus::Range => {
                    let cells: Vec<u32> = cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
                    range_place(&cells).is_some()
                }
                Bus::Poseidon2 => permutation(&cells).is_some(),
                _ => true,
            };
            count != F::ZERO && !exists
        })
}

/// Tells every lie in sampled rows of one table; gives those that are believed.
fn believed_lies(checker: &TableChecker<'_>, rows: &[(&Inputs, &[F])]) -> Vec<Lie> {
    let mut last_columns = vec![None; checker.constraints().len()];
    for column in 0..checker.width {
        let dependents: BTreeSet<usize> = checker.dependents(column, false).into_iter().collect();
        for (last, constraint) in last_columns.iter_mut().zip(checker.constraints()) {
            if dependents.contains(constraint) {
                *last = Some(column);
            }
        }
    }
    let mut believed = Vec::new();
    let (mut told, mut untellable) = (0, 0);
    let mut values = Vec::new();
    for (inputs, honest) in rows {
        let mut replayed = replay(inputs, &Vec::new()).expect("an honest row can be filled");
        publish(checker, inputs.step, honest, &Vec::new(), &mut replayed);
        assert_eq!(replayed, *honest, "a replay without a lie is honest");
        checker.evaluate(&window(honest), &mut values);
        let honest_received = received(checker, &values);
        for lie in (0..checker.width).flat_map(|column| lies(honest, column)) {
            told += 1;
            let Some(mut row) = replay(inputs, &lie) else {
                untellable += 1;
                continue;
            };
            publish(checker, inputs.step, honest, &lie, &mut row);
            checker.evaluate(&window(&row), &mut values);
            if lie.len() > 2 {
                repair(checker, &last_columns, &mut row, &mut values);
            }
            if row != *honest && !is_refused(checker, &values) && received(checker, &values) == honest_received {
                believed.push(lie);
            }
        }
    }
    println!("{:12} {told:6} lies, {untellable:5} cannot be told", checker.table.name());
    believed
}

#[test]
fn a_lie_and_what_follows_from_it_is_refused() {
    let checker = checker();
    let corpus = corpus(&checker);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut believed = BTreeMap::new();
    for checker in checker.tables() {
        let Table::Step(step) = checker.table else { continue };
        let samples = samples(&corpus, checker);
        let rows: Vec<(&Inputs, &[F])> = samples
            .iter()
            .step_by(samples.len().div_ceil(ROWS))
            .map(|sample| {
                let filled = &corpus[sample.filled];
                let rows = &filled.segment.traces[checker.table.index()].as_ref().expect("the table has rows").values;
                (&filled.inputs[step as usize][sample.row], &rows[sample.row * checker.width..][..checker.width])
            })
            .collect();
        let lies = believed_lies(checker, &rows);
        if !lies.is_empty() {
            believed.insert(checker.table, lies);
        }
    }
    std::panic::set_hook(hook);
    assert_eq!(believed, BTreeMap::new(), "lies that are believed");
}
