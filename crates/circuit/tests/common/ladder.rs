//! Rows of the tables of signatures as a dishonest prover would fill them: from any "points" and any bits, as far as the formulas go.
//!
//! It is a second filler, written beside `holdfast_circuit::schnorr::fill`, which refuses what is not valid.

use std::collections::BTreeMap;

use holdfast_circuit::{
    air::Table,
    check::{Checker, TableChecker, Window, range_place},
    row::Bus,
    schnorr::{BIT_WIDTH, BITS, LADDER_HEAD, LADDER_WIDTH, ROWS, SIGNATURE_WIDTH},
};
use holdfast_crypto::{
    Digest, F,
    curve::{Affine, GENERATOR, LADDER_END, LADDER_OFFSET, LADDER_START},
    field::{DIGEST_CELLS, cell_to_canonical},
    poseidon2::compress,
    scalar::{SCALAR_BITS, Scalar},
    schnorr::CHALLENGE_TAG,
    septic::Septic,
};
use openvm_stark_backend::p3_field::{Field, PrimeCharacteristicRing};

use super::forge::{Claim, permutation};

/// Two coordinates: a point of the curve, or not.
pub type Pair = [Septic; 2];
/// Low bits of the challenge's cells.
pub type Lows = [u32; ROWS];

const POINT: usize = 14;
/// Columns of a row of the signature table: the key, the head, R, the hashes, the top bit of s, and the three sums.
pub mod signature_column {
    pub const KEY: usize = 1;
    pub const HEAD: usize = KEY + super::POINT;
    pub const COMMITMENT: usize = HEAD + 8;
    pub const HASHES: usize = COMMITMENT + super::POINT;
    pub const TOP: usize = HASHES + 32;
    pub const SUMS: usize = TOP + 1;
    /// Columns of a sum: slope, weights, result.
    pub const SUM: usize = 2 * 7 + super::POINT;
}
/// Columns of a row of the ladder: step, A before, O − P, O + G − P, the challenge, its first cell's top bits, whether they are 15, the inverse.
pub mod ladder_column {
    pub const STEP: usize = 1;
    pub const BEFORE: usize = 2;
    pub const OFFSET_KEY: usize = BEFORE + super::POINT;
    pub const OFFSET_BOTH: usize = OFFSET_KEY + super::POINT;
    pub const CHALLENGE: usize = OFFSET_BOTH + super::POINT;
    pub const TOP: usize = CHALLENGE + 8;
    pub const IS_LAST: usize = TOP + 1;
    pub const INVERSE: usize = IS_LAST + 1;
}
const _: () = assert!(DIGEST_CELLS == ROWS);
const _: () = assert!(
    signature_column::SUMS + 3 * signature_column::SUM == SIGNATURE_WIDTH && ladder_column::INVERSE + 1 == LADDER_HEAD
);
const _: () = assert!(ladder_column::INVERSE + 1 + BITS * BIT_WIDTH == LADDER_WIDTH && BITS * ROWS + 1 == SCALAR_BITS);

pub fn pair(point: &Affine) -> Pair {
    [*point.x(), *point.y()]
}

/// Everything that the rows of one signature are filled from.
#[derive(Debug, Clone)]
pub struct Forgery {
    pub key: Pair,
    pub head: Digest,
    pub commitment: Pair,
    pub hashes: [Digest; 4],
    /// Most significant first.
    pub scalar: [bool; SCALAR_BITS],
    pub lows: Lows,
    pub tops: [F; ROWS],
    /// Where the ladder begins, if not where it should.
    pub start: Option<Pair>,
    /// The slope of a sum of equal points, where there are any.
    pub slope: Slope,
    /// Something that is filled otherwise, and what is added to it. All else follows from it.
    pub altered: Option<(Site, Septic)>,
}

/// A place in the rows of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// Of one of the three sums of the signature's row.
    Sum(usize, Part),
    /// Of a bit of a row of the ladder.
    Bit(usize, usize, Part),
}

/// What a sum, or a bit of the ladder, consists of. (A sum has no second slope, and no product.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The product of both bits (in the first coefficient).
    Product,
    Slope,
    Second,
    Weights,
    X,
    Y,
}

/// A slope where any would do.
#[derive(Debug, Clone, Copy)]
pub enum Slope {
    /// The one that makes the result right.
    Tangent,
    Free(Septic),
}

/// The rows of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub signature: Vec<F>,
    pub ladder: Vec<F>,
}

impl Rows {
    pub fn claim(&self) -> Claim {
        let cell = |at: usize| self.signature[at];
        (
            std::array::from_fn(|i| cell(signature_column::KEY + i)),
            std::array::from_fn(|i| cell(signature_column::HEAD + i)),
        )
    }
    pub fn row_mut(&mut self, row: usize) -> &mut [F] {
        &mut self.ladder[row * LADDER_WIDTH..][..LADDER_WIDTH]
    }
}

impl Forgery {
    /// With the hashes and the bits of the challenge that the inputs have.
    pub fn new(key: Pair, head: Digest, commitment: Pair, scalar: &Scalar) -> Self {
        let with = |coordinate: &Septic, last: u32| -> Digest {
            std::array::from_fn(|i| coordinate.0.get(i).copied().unwrap_or(F::from_u32(last)))
        };
        let first = compress(&with(&commitment[0], CHALLENGE_TAG), &with(&commitment[1], 0));
        let second = compress(&first, &with(&key[0], 0));
        let third = compress(&second, &with(&key[1], 0));
        let mut forgery = Self {
            key,
            head,
            commitment,
            hashes: [first, second, third, compress(&third, &head)],
            scalar: scalar.bits_be(),
            lows: [0; ROWS],
            tops: [F::ZERO; ROWS],
            start: None,
            slope: Slope::Tangent,
            altered: None,
        };
        forgery.split_challenge();
        forgery
    }

    /// Splits the last hash into the bits of the challenge and those above them.
    pub fn split_challenge(&mut self) {
        let cells = self.hashes[3].map(cell_to_canonical);
        self.lows = cells.map(|cell| cell & ((1 << BITS) - 1));
        self.tops = cells.map(|cell| F::from_u32(cell >> BITS));
    }

    /// Splits the last hash so that the low bits are what they are, whatever the tops become.
    pub fn fit_tops(&mut self) {
        let weight = F::from_u32(1 << BITS).inverse();
        self.tops = std::array::from_fn(|cell| (self.hashes[3][cell] - F::from_u32(self.lows[cell])) * weight);
    }

    /// The slope, and weights by which the coefficients of the difference of the x sum to 1; those of zero are zero.
    fn slope(&self, p: &Pair, q: &Pair) -> (Septic, Septic) {
        let run = q[0] - p[0];
        let mut weights = Septic::ZERO;
        if let Some(at) = run.0.iter().position(|&cell| cell != F::ZERO) {
            weights.0[at] = run.0[at].inverse();
        }
        match (run.inverse(), self.slope) {
            (Some(inverse), _) => ((q[1] - p[1]) * inverse, weights),
            (None, Slope::Free(slope)) => (slope, weights),
            (None, Slope::Tangent) => {
                let square = p[0].square();
                let two = Septic::new([2, 0, 0, 0, 0, 0, 0]);
                ((square.double() + square + two) * p[1].double().inverse().unwrap_or(Septic::ZERO), weights)
            }
        }
    }

    /// What is added at a place.
    fn added(&self, site: Site) -> Septic {
        match self.altered {
            Some((altered, added)) if altered == site => added,
            _ => Septic::ZERO,
        }
    }

    fn push_sum(&self, row: &mut Vec<F>, index: usize, p: &Pair, q: &Pair) -> Pair {
        let added = |part| self.added(Site::Sum(index, part));
        let (slope, weights) = self.slope(p, q);
        let (slope, weights) = (slope + added(Part::Slope), weights + added(Part::Weights));
        let x = slope.square() - p[0] - q[0] + added(Part::X);
        let sum = [x, slope * (p[0] - x) - p[1] + added(Part::Y)];
        for element in [&slope, &weights, &sum[0], &sum[1]] {
            row.extend(element.0);
        }
        sum
    }

    /// Fills one bit of a row but for the bits themselves: 2 A + T.
    fn push_bit(&self, row: &mut Vec<F>, at: [usize; 2], a: &Pair, t: &Pair) -> Pair {
        let added = |part| self.added(Site::Bit(at[0], at[1], part));
        let (first, weights) = self.slope(a, t);
        let (first, weights) = (first + added(Part::Slope), weights + added(Part::Weights));
        let square = first.square();
        let fall = a[0].double() + t[0] - square;
        let second = a[1].double() * fall.inverse().unwrap_or(Septic::ZERO) - first + added(Part::Second);
        let x = second.square() - square + t[0] + added(Part::X);
        let after = [x, second * (a[0] - x) - a[1] + added(Part::Y)];
        for element in [&first, &second, &weights, &after[0], &after[1]] {
            row.extend(element.0);
        }
        after
    }

    pub fn rows(&self) -> Rows {
        let mut signature = vec![F::ONE];
        let push = |row: &mut Vec<F>, pair: &Pair| pair.iter().for_each(|element| row.extend(element.0));
        push(&mut signature, &self.key);
        signature.extend(self.head);
        push(&mut signature, &self.commitment);
        signature.extend(self.hashes.iter().flatten());
        signature.push(F::from_bool(self.scalar[0]));
        let minus_key = [self.key[0], -self.key[1]];
        let [offset_generator, start_generator] =
            [LADDER_OFFSET, LADDER_START].map(|point| pair(&point.add_distinct(&GENERATOR).expect("different points")));
        let offset = pair(&LADDER_OFFSET);
        let offset_key = self.push_sum(&mut signature, 0, &offset, &minus_key);
        let offset_both = self.push_sum(&mut signature, 1, &offset_generator, &minus_key);
        self.push_sum(&mut signature, 2, &pair(&LADDER_END), &self.commitment);

        let start = if self.scalar[0] { start_generator } else { pair(&LADDER_START) };
        let mut accumulator = self.start.unwrap_or(start);
        let mut challenge = self.hashes[3];
        let mut ladder = Vec::with_capacity(ROWS * LADDER_WIDTH);
        for row in 0..ROWS {
            ladder.extend([F::ONE, F::from_usize(row)]);
            for point in [&accumulator, &offset_key, &offset_both] {
                push(&mut ladder, point);
            }
            ladder.extend(challenge);
            let short = self.tops[row] - F::from_u32(15);
            ladder.extend([self.tops[row], F::from_bool(short == F::ZERO), short.try_inverse().unwrap_or(F::ZERO)]);
            for bit in 0..BITS {
                let s = self.scalar[1 + row * BITS + bit];
                let e = self.lows[row] >> (BITS - 1 - bit) & 1 != 0;
                let [s, e] = [s, e].map(F::from_bool);
                let both = s * e + self.added(Site::Bit(row, bit, Part::Product)).0[0];
                let t = term([s, e, both], [&offset, &offset_generator, &offset_key, &offset_both]);
                ladder.extend([s, e, both]);
                accumulator = self.push_bit(&mut ladder, [row, bit], &accumulator, &t);
            }
            challenge.rotate_left(1);
        }
        Rows { signature, ladder }
    }

    /// Where the ladder ends.
    pub fn end(&self) -> Pair {
        let rows = self.rows();
        let last = &rows.ladder[rows.ladder.len() - POINT..];
        [0, 7].map(|at| Septic(std::array::from_fn(|i| last[at + i])))
    }
}

/// T = O + s (O+G − O) + e (O−P − O) + s e (O+G−P − O+G − O−P + O), by coordinates.
fn term([s, e, both]: [F; 3], [o, og, ok, okg]: [&Pair; 4]) -> Pair {
    std::array::from_fn(|i| {
        o[i] + (og[i] - o[i]).scale(s) + (ok[i] - o[i]).scale(e) + (okg[i] - og[i] - ok[i] + o[i]).scale(both)
    })
}

/// Fills the bits of a row of the ladder again from `before` on, with these (field) values of s and e, which need not be bits.
pub fn refill(row: &mut [F], bits: impl Fn(usize) -> [F; 2]) {
    refill_sloped(row, Slope::Tangent, bits);
}

/// The same, with a slope for sums of equal points.
pub fn refill_sloped(row: &mut [F], slope: Slope, bits: impl Fn(usize) -> [F; 2]) {
    let pair_at =
        |row: &[F], at: usize| -> Pair { [0, 7].map(|offset| Septic(std::array::from_fn(|i| row[at + offset + i]))) };
    let [offset_key, offset_both] = [ladder_column::OFFSET_KEY, ladder_column::OFFSET_BOTH].map(|at| pair_at(row, at));
    let offset = pair(&LADDER_OFFSET);
    let generator = pair(&LADDER_OFFSET.add_distinct(&GENERATOR).expect("different points"));
    let forgery = Forgery { slope, ..Forgery::new(offset, Digest::default(), offset, &Scalar::ZERO) };
    let mut accumulator = pair_at(row, ladder_column::BEFORE);
    for bit in 0..BITS {
        let [s, e] = bits(bit);
        let t = term([s, e, s * e], [&offset, &generator, &offset_key, &offset_both]);
        let mut cells = vec![s, e, s * e];
        accumulator = forgery.push_bit(&mut cells, [0, bit], &accumulator, &t);
        row[LADDER_HEAD + bit * BIT_WIDTH..][..BIT_WIDTH].copy_from_slice(&cells);
    }
}

/// What is wrong with rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Constraint(Table),
    /// Something is looked up that does not exist.
    Lookup(Table, BusNumber),
    Unbalanced(BusNumber),
}

/// A bus, by its number, so that it has an order.
pub type BusNumber = u16;

/// All that is wrong with rows of the two tables, given what seals claim, and how often.
pub fn faults(checker: &Checker<'_>, signatures: &[F], ladders: &[F], claims: &[Claim]) -> BTreeMap<Fault, usize> {
    let mut faults = BTreeMap::new();
    let mut balance: BTreeMap<(u16, Vec<u32>), F> = BTreeMap::new();
    let canonical = |cells: &[F]| -> Vec<u32> { cells.iter().map(|&cell| cell_to_canonical(cell)).collect() };
    for (public_key, head) in claims {
        let cells: Vec<F> = public_key.iter().chain(head).copied().collect();
        *balance.entry((Bus::Signature as u16, canonical(&cells))).or_insert(F::ZERO) -= F::ONE;
    }
    let mut values = Vec::new();
    for (table, rows) in [(Table::Signature, signatures), (Table::Ladder, ladders)] {
        let checker: &TableChecker<'_> = checker.table(table);
        let mut add = |fault: Fault, count: usize| *faults.entry(fault).or_insert(0) += count;
        for row in rows.chunks_exact(checker.width) {
            // Neither table looks at another row.
            checker.evaluate(&Window { local: row, next: row, first: false, last: false, public: &[] }, &mut values);
            let violated = checker.constraints().iter().filter(|&&at| values[at] != F::ZERO).count();
            if violated > 0 {
                add(Fault::Constraint(table), violated);
            }
            for index in 0..checker.messages() {
                let message = checker.message(index, &values);
                let exists = match message.bus {
                    Bus::Range => range_place(&canonical(&message.cells)).is_some(),
                    Bus::Poseidon2 => permutation(&message.cells).is_some(),
                    bus => {
                        *balance.entry((bus as u16, canonical(&message.cells))).or_insert(F::ZERO) += message.count;
                        continue;
                    }
                };
                if !exists && message.count != F::ZERO {
                    add(Fault::Lookup(table, message.bus as u16), 1);
                }
            }
        }
    }
    for ((bus, _), excess) in balance {
        if excess != F::ZERO {
            *faults.entry(Fault::Unbalanced(bus)).or_insert(0) += 1;
        }
    }
    faults
}

/// The look-ups of rows, by bus: permutations and ranges.
pub fn look_ups(checker: &Checker<'_>, rows: &Rows) -> (Vec<[Digest; 2]>, Vec<u32>) {
    let (mut permutations, mut ranges, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (table, rows) in [(Table::Signature, &rows.signature), (Table::Ladder, &rows.ladder)] {
        let checker = checker.table(table);
        for row in rows.chunks_exact(checker.width) {
            checker.evaluate(&Window { local: row, next: row, first: false, last: false, public: &[] }, &mut values);
            for index in 0..checker.messages() {
                let message = checker.message(index, &values);
                match message.bus {
                    Bus::Poseidon2 => permutations.push(permutation(&message.cells).expect("a permutation")),
                    Bus::Range => ranges.push(cell_to_canonical(message.cells[0])),
                    _ => {}
                }
            }
        }
    }
    (permutations, ranges)
}
