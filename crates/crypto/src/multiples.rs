//! Multiples of points and their sums: of the generator by a secret, of a point by a public scalar, of many at once.
//!
//! # Many at once
//!
//! [`sum_of_multiples`] is the bucket method of Pippenger 1976, with signed digits. A scalar is cut into digits of w bits
//! from −2^(w − 1) up; in each window, the points go to the bucket of their digit's magnitude, negated where it is
//! negative. With S(w, m) the sum of bucket m of window w, the result is Σ 2^(w·window) · Σ m · S(window, m).
//!
//! - Buckets are summed in affine coordinates, pairs of neighbours at a time, so that all inversions of a round are one
//!   (Montgomery's trick), and as many pairs side by side as there are lanes in a vector. A sum then costs five
//!   multiplications and a squaring, instead of the twelve of the complete formula.
//! - The two exceptional cases of affine sums, equal points and opposite ones, are met by anyone who signs twice with
//!   one nonce. They are set aside and summed one at a time, by the complete formula.
//! - The weighted sums of the buckets take the complete formula, a window to each lane.

use std::array;
use std::sync::LazyLock;

use p3_field::{PackedValue, PrimeCharacteristicRing};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::curve::{Affine, GENERATOR, Projective};
use crate::field::F;
use crate::lanes::{LANES, Packed, ROW_CELLS, columns_of_rows, rows_of_columns};
use crate::scalar::{SCALAR_BITS, Scalar};
use crate::septic::{DEGREE, Septic};

/// The multiple of the generator. Neither the steps nor the addresses depend on the scalar's value.
///
/// The scalar is cut into digits to the base 16. Table i holds 1 to 16 times 16ⁱ·G, without the identity, so that a digit
/// stands for one more than itself; the sum of all 16ⁱ is first subtracted from the scalar to make up for it.
pub(crate) fn generator_multiple(scalar: &Scalar) -> Projective {
    let GeneratorTables { surplus, windows } = &*GENERATOR_TABLES;
    let digits = scalar.sub(surplus).to_bytes();
    let mut sum = Projective::IDENTITY;
    for (window, table) in windows.iter().enumerate() {
        let digit = digits[window / 2] >> (4 * (window % 2)) & 0xf;
        sum = sum.add_affine(&selected(table, digit));
    }
    sum
}

/// The multiple of a point. The time depends on the scalar, which must be public.
///
/// The digits are zero or odd, of magnitude below 16, and any two that are not zero are at least five places apart
/// (the w-ary non-adjacent form of width five).
pub(crate) fn public_multiple(point: &Affine, scalar: &Scalar) -> Projective {
    // The multiples by 1, 3, 5, …, 15.
    let mut odd_multiples = [Projective::from(*point); 8];
    let twice = odd_multiples[0].double();
    for i in 1..odd_multiples.len() {
        odd_multiples[i] = odd_multiples[i - 1].add(&twice);
    }

    let mut sum = Projective::IDENTITY;
    for digit in non_adjacent_form(scalar).into_iter().rev() {
        sum = sum.double();
        let multiple = &odd_multiples[usize::from(digit.unsigned_abs() / 2)];
        match digit.signum() {
            1 => sum = sum.add(multiple),
            -1 => sum = sum.add(&multiple.neg()),
            _ => {}
        }
    }
    sum
}

/// The sum of each point times its scalar. The time depends on both, which must be public.
pub(crate) fn sum_of_multiples(terms: &[(Affine, Scalar)]) -> Projective {
    sum_by_digits(terms, digit_bits_best(terms))
}

fn sum_by_digits(terms: &[(Affine, Scalar)], digit_bits: usize) -> Projective {
    let digits = Digits::new(terms, digit_bits);

    // A point and its negative: rows 2i and 2i + 1.
    let rows: Vec<Row> =
        terms.iter().flat_map(|(point, _)| [row_of_point(point), row_of_point(&point.neg())]).collect();

    // As many windows at a time as fill the vectors, without leaving the cache.
    let windows_at_once = (ROWS_AT_ONCE / terms.len().max(1)).clamp(1, digits.windows);
    let mut sums = Vec::with_capacity(digits.windows * digits.buckets);
    for first in (0..digits.windows).step_by(windows_at_once) {
        let last = (first + windows_at_once).min(digits.windows);
        sums.extend(sums_of_buckets(Buckets::filled(&digits, first..last, &rows)));
    }

    let sums_of_windows = sums_of_weighted_buckets(&sums, digits.buckets);
    sums_of_windows
        .into_iter()
        .rev()
        .fold(Projective::IDENTITY, |sum, window| (0..digit_bits).fold(sum, |sum, _| sum.double()).add(&window))
}

/// Cells of a table's entry: those of x, then those of y, by their canonical values, for [`subtle`] to select.
type TableEntry = [u32; 2 * DEGREE];

const GENERATOR_WINDOWS: usize = SCALAR_BITS.div_ceil(4);

struct GeneratorTables {
    /// The sum of 16ⁱ over all windows i.
    surplus: Scalar,
    windows: Vec<[TableEntry; 16]>,
}

static GENERATOR_TABLES: LazyLock<GeneratorTables> = LazyLock::new(|| {
    let mut surplus = [0; 64];
    surplus[..GENERATOR_WINDOWS / 2].fill(0x11);
    surplus[GENERATOR_WINDOWS / 2] = 0x01;
    const _: () = assert!(GENERATOR_WINDOWS % 2 == 1);

    let mut base = GENERATOR;
    let windows = (0..GENERATOR_WINDOWS)
        .map(|_| {
            let mut multiples = [base; 16];
            multiples[1] = base.double();
            for i in 2..16 {
                multiples[i] = multiples[i - 1].add_distinct(&base).expect("n divides no small sum or difference");
            }
            base = multiples[15];
            multiples.map(|point| {
                let (x, y) = (point.x().to_canonical(), point.y().to_canonical());
                array::from_fn(|cell| if cell < DEGREE { x[cell] } else { y[cell - DEGREE] })
            })
        })
        .collect();
    GeneratorTables { surplus: Scalar::from_bytes_wide(&surplus), windows }
});

/// Entry `digit` of the table, read by reading them all.
fn selected(table: &[TableEntry; 16], digit: u8) -> Affine {
    let mut selected: TableEntry = [0; 2 * DEGREE];
    for (index, entry) in (0_u8..).zip(table) {
        let choice = index.ct_eq(&digit);
        for (selected, cell) in selected.iter_mut().zip(entry) {
            selected.conditional_assign(cell, choice);
        }
    }
    let (x, y) = selected.split_at(DEGREE);
    Affine::new_unchecked(Septic(array::from_fn(|i| F::new(x[i]))), Septic(array::from_fn(|i| F::new(y[i]))))
}

/// The digits of [`public_multiple`], the least significant first.
fn non_adjacent_form(scalar: &Scalar) -> [i8; SCALAR_BITS + 1] {
    const WIDTH: usize = 5;
    let bits = scalar.bits_be();
    let mut digits = [0; SCALAR_BITS + 1];
    let mut position = 0;
    let mut carry = 0;
    while position < digits.len() {
        let bit = |position: usize| i8::from(SCALAR_BITS.checked_sub(position + 1).is_some_and(|i| bits[i]));
        if bit(position) == carry {
            // The bit and the carry sum to zero or two: a zero digit, and the carry stays.
            position += 1;
            continue;
        }
        let window: i8 = (0..WIDTH).map(|i| bit(position + i) << i).sum::<i8>() + carry;
        carry = i8::from(window >= 1 << (WIDTH - 1));
        digits[position] = window - (carry << WIDTH);
        position += WIDTH;
    }
    debug_assert_eq!(carry, 0);
    digits
}

/// A point in one row of cells: x, y, z, of which z is one, or zero for the identity; and a cell that is not used.
type Row = [F; ROW_CELLS];

const CELL_Y: usize = DEGREE;
const CELL_Z: usize = 2 * DEGREE;

const ROW_IDENTITY: Row = {
    let mut row = [F::new(0); ROW_CELLS];
    row[CELL_Y] = F::new(1);
    row
};

fn row_of_point(point: &Affine) -> Row {
    let mut row = ROW_IDENTITY;
    row[..CELL_Y].copy_from_slice(&point.x().0);
    row[CELL_Y..CELL_Z].copy_from_slice(&point.y().0);
    row[CELL_Z] = F::ONE;
    row
}

/// Rows that are summed at once, unless one window has more: their vectors are well filled until few are left, and they
/// stay in the cache.
const ROWS_AT_ONCE: usize = 4096;

/// The most additions that share an inversion, in vectors. An inversion costs about thirteen multiplications, and a group
/// holds about three KiB.
const GROUPS_PER_INVERSION: usize = 32;

/// Bits of a digit, at least and at most. The most bounds the buckets of a window to 512.
const DIGIT_BITS_MIN: usize = 4;
const DIGIT_BITS_MAX: usize = 10;

/// The bits of a digit that cost the fewest vector multiplications.
fn digit_bits_best(terms: &[(Affine, Scalar)]) -> usize {
    let cost = |digit_bits: usize| {
        let additions: usize = terms.iter().map(|(_, scalar)| scalar.bit_length().div_ceil(digit_bits)).sum();
        let vectors = Digits::windows(digit_bits).div_ceil(LANES) << (digit_bits - 1);
        additions.div_ceil(LANES) * 6 + vectors * 24
    };
    (DIGIT_BITS_MIN..=DIGIT_BITS_MAX).min_by_key(|digit_bits| cost(*digit_bits)).expect("a range that is not empty")
}

/// The signed digits of each term's scalar.
struct Digits {
    terms: usize,
    windows: usize,
    /// Buckets of a window: the magnitudes from 1 to 2^(bits − 1).
    buckets: usize,
    /// Digit `window · terms + term`.
    digits: Vec<i16>,
}

impl Digits {
    /// Windows that hold any scalar: with two bits more than the scalar has, the last window carries nothing.
    fn windows(digit_bits: usize) -> usize {
        (SCALAR_BITS + 2).div_ceil(digit_bits)
    }

    fn new(terms: &[(Affine, Scalar)], digit_bits: usize) -> Self {
        let windows = Self::windows(digit_bits);
        let half = 1_i16 << (digit_bits - 1);
        let mut digits = vec![0; windows * terms.len()];
        for (term, (_, scalar)) in terms.iter().enumerate() {
            // A digit of half the base or more is that less the base, and carries one.
            let mut carry = 0;
            for window in 0..windows {
                let digit = scalar.bits_at(window * digit_bits, digit_bits) as i16 + carry;
                carry = i16::from(digit >= half);
                digits[window * terms.len() + term] = digit - (carry << digit_bits);
            }
            debug_assert_eq!(carry, 0);
        }
        Self { terms: terms.len(), windows, buckets: 1 << (digit_bits - 1), digits }
    }
}

/// Rows in buckets, one bucket after the other.
struct Buckets {
    rows: Vec<Row>,
    lengths: Vec<usize>,
}

impl Buckets {
    /// The buckets of some windows: those of the first window from magnitude 1 up, and so on.
    fn filled(digits: &Digits, windows: std::ops::Range<usize>, points: &[Row]) -> Self {
        let windows_digits =
            digits.digits[windows.start * digits.terms..windows.end * digits.terms].chunks(digits.terms.max(1));
        let bucket = |window: usize, digit: i16| match usize::from(digit.unsigned_abs()) {
            0 => None,
            magnitude => Some(window * digits.buckets + magnitude - 1),
        };

        let mut lengths = vec![0; windows.len() * digits.buckets];
        for (window, digits) in windows_digits.clone().enumerate() {
            for bucket in digits.iter().filter_map(|digit| bucket(window, *digit)) {
                lengths[bucket] += 1;
            }
        }

        // Where the next row of each bucket goes.
        let mut next = Vec::with_capacity(lengths.len());
        let mut end = 0;
        for length in &lengths {
            next.push(end);
            end += length;
        }
        let mut rows = vec![ROW_IDENTITY; end];
        for (window, digits) in windows_digits.enumerate() {
            for (term, digit) in digits.iter().enumerate() {
                if let Some(bucket) = bucket(window, *digit) {
                    rows[next[bucket]] = points[2 * term + usize::from(*digit < 0)];
                    next[bucket] += 1;
                }
            }
        }
        Self { rows, lengths }
    }
}

/// Two rows to add, and where the sum goes.
#[derive(Clone, Copy)]
struct Addition {
    left: usize,
    right: usize,
    out: usize,
}

/// The sum of each bucket.
fn sums_of_buckets(buckets: Buckets) -> Vec<Row> {
    let Buckets { mut rows, mut lengths } = buckets;
    let mut rows_halved: Vec<Row> = Vec::with_capacity(rows.len());
    let mut additions = Vec::with_capacity(rows.len() / 2);
    while lengths.iter().any(|length| *length > 1) {
        rows_halved.clear();
        additions.clear();
        let mut start = 0;
        for length in &mut lengths {
            for left in (start..start + *length).step_by(2) {
                let right = left + 1;
                if right == start + *length {
                    rows_halved.push(rows[left]);
                } else if is_exceptional(&rows[left], &rows[right]) {
                    rows_halved.push(complete_sum(&rows[left], &rows[right]));
                } else {
                    additions.push(Addition { left, right, out: rows_halved.len() });
                    rows_halved.push(ROW_IDENTITY);
                }
            }
            start += *length;
            *length = length.div_ceil(2);
        }
        for additions in additions.chunks(GROUPS_PER_INVERSION * LANES) {
            add_rows(&rows, additions, &mut rows_halved);
        }
        std::mem::swap(&mut rows, &mut rows_halved);
    }

    let mut rows = rows.into_iter();
    lengths.iter().map(|length| if *length == 0 { ROW_IDENTITY } else { rows.next().expect("one row") }).collect()
}

/// Whether the affine formula does not hold: one is the identity, or the two have the same x.
fn is_exceptional(left: &Row, right: &Row) -> bool {
    left[..CELL_Y] == right[..CELL_Y] || left[CELL_Z] == F::ZERO || right[CELL_Z] == F::ZERO
}

fn complete_sum(left: &Row, right: &Row) -> Row {
    let [left, right] = [left, right].map(|row| {
        let (x, rest) = row.split_first_chunk().expect("a row is longer than x");
        let y = rest.first_chunk().expect("a row is longer than x and y");
        Projective { x: Septic(*x), y: Septic(*y), z: Septic::from_cell(row[CELL_Z]) }
    });
    left.add(&right).to_affine().map_or(ROW_IDENTITY, |point| row_of_point(&point))
}

/// Additions side by side.
struct AdditionGroup {
    left_x: Septic<Packed>,
    left_y: Septic<Packed>,
    right_x: Septic<Packed>,
    right_y: Septic<Packed>,
    /// The product of the denominators of the groups before this one.
    denominators_before: Septic<Packed>,
}

/// Adds the rows of each addition, none of them exceptional, with one inversion for all.
fn add_rows(rows: &[Row], additions: &[Addition], out: &mut [Row]) {
    let mut denominators = Septic::from_cell(Packed::ONE);
    let groups: Vec<AdditionGroup> = additions
        .chunks(LANES)
        .map(|additions| {
            // The last group is filled up with its last addition.
            let addition = |lane: usize| additions[lane.min(additions.len() - 1)];
            let (left_x, left_y, _) = coordinates(&array::from_fn(|lane| &rows[addition(lane).left]));
            let (right_x, right_y, _) = coordinates(&array::from_fn(|lane| &rows[addition(lane).right]));
            let denominators_before = denominators;
            denominators *= right_x - left_x;
            AdditionGroup { left_x, left_y, right_x, right_y, denominators_before }
        })
        .collect();

    // The inverse of the product of the denominators up to the group.
    let mut inverse = denominators.inverse_or_zero();
    for (group, additions) in groups.iter().zip(additions.chunks(LANES)).rev() {
        let AdditionGroup { left_x, left_y, right_x, right_y, denominators_before } = group;
        let slope = (*right_y - *left_y) * (inverse * *denominators_before);
        inverse *= *right_x - *left_x;

        let x = slope.square() - *left_x - *right_x;
        let y = slope * (*left_x - x) - *left_y;
        let mut columns = [Packed::ZERO; ROW_CELLS];
        columns[..CELL_Y].copy_from_slice(&x.0);
        columns[CELL_Y..CELL_Z].copy_from_slice(&y.0);
        columns[CELL_Z] = Packed::ONE;
        for (row, addition) in rows_of_columns(&columns).iter().zip(additions) {
            out[addition.out] = *row;
        }
    }
}

/// The sum of m times bucket m of each window, where the buckets of a window are numbered from 1.
fn sums_of_weighted_buckets(sums: &[Row], buckets: usize) -> Vec<Projective> {
    let windows: Vec<&[Row]> = sums.chunks(buckets).collect();
    let mut sums_of_windows = Vec::with_capacity(windows.len());
    for windows in windows.chunks(LANES) {
        let identity = Projective {
            x: Septic::from_cell(Packed::ZERO),
            y: Septic::from_cell(Packed::ONE),
            z: Septic::from_cell(Packed::ZERO),
        };
        // The sum of the buckets from the last to this one, and the sum of those sums.
        let (mut sum, mut sum_weighted) = (identity, identity);
        for bucket in (0..buckets).rev() {
            let (x, y, z) =
                coordinates(&array::from_fn(|lane| windows.get(lane).map_or(&ROW_IDENTITY, |window| &window[bucket])));
            sum = sum.add(&Projective { x, y, z: Septic::from_cell(z) });
            sum_weighted = sum_weighted.add(&sum);
        }

        let lane = |coordinate: &Septic<Packed>, lane: usize| Septic(coordinate.0.map(|cell| cell.as_slice()[lane]));
        sums_of_windows.extend((0..windows.len()).map(|window| Projective {
            x: lane(&sum_weighted.x, window),
            y: lane(&sum_weighted.y, window),
            z: lane(&sum_weighted.z, window),
        }));
    }
    sums_of_windows
}

/// The coordinates of as many rows as there are lanes.
fn coordinates(rows: &[&Row; LANES]) -> (Septic<Packed>, Septic<Packed>, Packed) {
    let columns = columns_of_rows(rows);
    let (x, rest) = columns.split_first_chunk().expect("a row is longer than x");
    let y = rest.first_chunk().expect("a row is longer than x and y");
    (Septic(*x), Septic(*y), columns[CELL_Z])
}

#[cfg(test)]
mod tests;
