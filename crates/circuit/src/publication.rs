//! The table that evaluates the polynomial of the published words: see `docs/SETTLEMENT.md`.
//!
//! The steps of instructions send their words, each with its place. A row of the *words* table takes up to four of them, and the value before them, to the value after:
//!
//! ```text
//! value' = value × z^n + Σ word_i × z^(n − 1 − i)      modulo r, n = 1 … 4
//! ```
//!
//! z² to z⁴ are made by rows of the same table, from words of zero that the segment sends to places of their own: [`POWERS_PLACE`].
//! Elements are 26 limbs of ten bits; cells of words have three limbs each, so that a word's limbs are those of
//! its cells. An equation modulo r is one over the integers with a quotient, checked limb by limb with carries; elements are not reduced below r, which costs nothing: a value that is
//! shown to Ethereum is compared with one that is.

use alloy_primitives::{U256, Uint};
use holdfast_protocol::publication::{CELL_BITS, MODULUS, Progress, WORD_CELLS, extend};

use crate::{
    cells::{self, Circuit},
    row::{Bus, Row},
    verify::LOG_STACKED_HEIGHT,
};

/// Bits of a limb: a cell of a word has three.
pub const LIMB_BITS: u32 = 10;
/// Limbs of an element.
pub const LIMBS: usize = 26;
/// Limbs of the quotient of an equation: products of two elements of 260 bits, four of them, by r > 2^254.
const QUOTIENT_LIMBS: usize = 27;
/// Most words of a row.
pub const WORDS: usize = 4;
/// Limbs of a cell.
const CELL_LIMBS: usize = (CELL_BITS / LIMB_BITS) as usize;

const _: () = assert!(CELL_BITS == 3 * LIMB_BITS && LIMB_BITS as usize * LIMBS >= 256);

/// Large enough for what an equation has on either side.
type Wide = Uint<576, 9>;

/// What a row of the words table is filled with.
#[derive(Debug, Clone)]
pub struct WordsEntry {
    pub active: i64,
    /// Words of the segment before this row's.
    pub place: i64,
    /// One to four.
    pub words: Vec<[u32; WORD_CELLS]>,
    /// Before them.
    pub value: U256,
    pub powers: [U256; WORDS],
}

impl Default for WordsEntry {
    fn default() -> Self {
        Self { active: 0, place: 0, words: Vec::new(), value: U256::ZERO, powers: [U256::ZERO; WORDS] }
    }
}

/// Places far from those of the published words, for the powers of z. From place P + 2 n with value z^(n + 1) and a word of zero there, and no word at the place after it, no row can come but to
/// the place after it with the value z^(n + 1) × z: a row of more words finds no more of them. So the segment sends the value and the word, and what it receives is the next power.
pub const POWERS_PLACE: i64 = 1 << 30;
/// Beyond all published words, of which a segment has fewer than four for each row, and below the modulus.
const _: () = assert!(POWERS_PLACE > 4 << LOG_STACKED_HEIGHT && power_place(WORDS) < cells::MODULUS);

/// The place from which the power after this one is made: 0 for z.
pub const fn power_place(power: usize) -> i64 {
    POWERS_PLACE + 2 * power as i64
}

/// What the table of a segment's words is filled with, in rows, and the value after them.
pub fn entries(words: &[[u32; WORD_CELLS]], before: &Progress) -> (Vec<WordsEntry>, U256) {
    let Progress { z, mut value, .. } = *before;
    let powers = powers(z);
    let published = words.chunks(WORDS).enumerate().map(|(row, words)| {
        let place = (row * WORDS) as i64;
        let entry = WordsEntry { active: 1, place, words: words.to_vec(), value, powers };
        value = words.iter().fold(value, |value, word| extend(value, word, z));
        entry
    });
    let mut rows: Vec<_> = published.collect();
    let next_power = |power| {
        let (place, words) = (power_place(power), vec![[0; WORD_CELLS]]);
        WordsEntry { active: 1, place, words, value: powers[power], powers }
    };
    rows.extend((0..WORDS - 1).map(next_power));
    (rows, value)
}

/// z, z², z³, z⁴.
pub fn powers(z: U256) -> [U256; WORDS] {
    let mut power = U256::ONE;
    std::array::from_fn(|_| {
        power = power.mul_mod(z, MODULUS);
        power
    })
}

/// A number as limbs, the least significant first.
pub fn limbs<const N: usize>(value: &Wide) -> [i64; N] {
    let mask = Wide::from((1u64 << LIMB_BITS) - 1);
    std::array::from_fn(|i| (*value >> (i * LIMB_BITS as usize) & mask).to::<u64>() as i64)
}

/// An element's limbs.
pub fn scalar_limbs(value: U256) -> [i64; LIMBS] {
    limbs(&Wide::from(value))
}

fn columns<R: Row, const N: usize>(c: &mut Circuit<'_, R>, values: [i64; N]) -> [R::E; N] {
    values.map(|value| c.row.column(value))
}

fn checked_columns<R: Row, const N: usize>(c: &mut Circuit<'_, R>, values: [i64; N]) -> [R::E; N] {
    let columns = columns(c, values);
    for column in &columns {
        c.range_wide(column, LIMB_BITS);
    }
    columns
}

/// The number that limbs are, in a row that is filled.
fn number<R: Row>(c: &Circuit<'_, R>, limbs: &[R::E]) -> Wide {
    limbs.iter().rev().fold(Wide::ZERO, |number, limb| (number << LIMB_BITS as usize) | Wide::from(c.row.value(limb)))
}

/// Two numbers in limbs, to be multiplied.
type Product<'a, E> = (&'a [E], &'a [E]);

/// An element, in new columns, that is the sum of these products and of a number, modulo r.
fn sum_of_products<R: Row>(c: &mut Circuit<'_, R>, products: &[Product<'_, R::E>], addend: &[R::E]) -> [R::E; LIMBS] {
    let modulus = Wide::from(MODULUS);
    let total = products.iter().fold(number(c, addend), |total, (a, b)| total + number(c, a) * number(c, b));
    let (quotient, remainder) = total.div_rem(modulus);
    let quotient: [R::E; QUOTIENT_LIMBS] = checked_columns(c, limbs(&quotient));
    let result: [R::E; LIMBS] = checked_columns(c, limbs(&remainder));

    const MAX: i64 = (1 << LIMB_BITS) - 1;
    let modulus: [i64; LIMBS] = limbs(&modulus);
    let positions = (0..LIMBS + QUOTIENT_LIMBS - 1).map(|k| {
        let mut position = c.row.constant(0);
        let (mut low, mut high) = (0, 0);
        for (a, b) in products {
            for (i, limb) in a.iter().enumerate() {
                if let Some(other) = k.checked_sub(i).and_then(|j| b.get(j)) {
                    position = position + limb.clone() * other.clone();
                    high += MAX * MAX;
                }
            }
        }
        for (i, limb) in quotient.iter().enumerate() {
            if let Some(&factor) = k.checked_sub(i).and_then(|j| modulus.get(j)) {
                position = position - c.row.constant(factor) * limb.clone();
                low -= MAX * factor;
            }
        }
        if let Some(limb) = addend.get(k) {
            position = position + limb.clone();
            high += MAX;
        }
        if let Some(limb) = result.get(k) {
            position = position - limb.clone();
            low -= MAX;
        }
        (position, low, high)
    });
    let positions = positions.collect();
    c.assert_integer_zero_in(LIMB_BITS, positions, None);
    result
}

/// A row of the words table.
pub fn words_row<R: Row>(row: &mut R, entry: &WordsEntry) {
    let mut circuit = begin(row, entry.active);
    let c = &mut circuit;
    let one = c.row.constant(1);
    let place = c.row.column(entry.place);

    // The last word stands in the last place, and is always there; others may be missing from the front.
    let absent = WORDS - entry.words.len().clamp(1, WORDS);
    let mut present: Vec<R::E> = (0..WORDS - 1).map(|at| c.bit_column(at >= absent)).collect();
    for pair in present.windows(2) {
        c.row.assert_zero(pair[0].clone() * (one.clone() - pair[1].clone()));
    }
    present.push(one.clone());

    let mut next = place.clone();
    let mut word_limbs = Vec::with_capacity(WORDS);
    for (at, present) in present.iter().enumerate() {
        let cells = at.checked_sub(absent).and_then(|at| entry.words.get(at)).copied().unwrap_or_default();
        let mut limbs = Vec::with_capacity(WORD_CELLS * CELL_LIMBS);
        let mut message = vec![next.clone()];
        for cell in cells {
            let parts: [R::E; CELL_LIMBS] = checked_columns(c, limbs_of_cell(cell));
            let mut whole = c.row.constant(0);
            for part in parts.iter().rev() {
                whole = c.row.constant(1 << LIMB_BITS) * whole + part.clone();
            }
            // What is missing is zero.
            if at + 1 < WORDS {
                c.row.assert_zero((one.clone() - present.clone()) * whole.clone());
            }
            message.push(whole);
            limbs.extend(parts);
        }
        let count = c.active.clone() * present.clone();
        c.row.interact(Bus::Word, true, message, count);
        next = next + present.clone();
        word_limbs.push(limbs);
    }

    let value = columns(c, scalar_limbs(entry.value));
    receive(c, Bus::Value, &place, &value);
    let powers: [[R::E; LIMBS]; WORDS] = entry.powers.map(|power| columns(c, scalar_limbs(power)));
    let active = c.active.clone();
    c.row.interact(Bus::Powers, true, powers.as_flattened().to_vec(), active.clone());

    // The power by which the value is multiplied: one more for each word that is there.
    let factor: [R::E; LIMBS] = std::array::from_fn(|limb| {
        let mut factor = powers[0][limb].clone();
        for n in 1..WORDS {
            let is_there = present[WORDS - 1 - n].clone();
            factor = factor + is_there * (powers[n][limb].clone() - powers[n - 1][limb].clone());
        }
        factor
    });
    let mut products: Vec<Product<'_, R::E>> = vec![(&value, &factor)];
    for at in 0..WORDS - 1 {
        products.push((&word_limbs[at], &powers[WORDS - 2 - at]));
    }
    let after = sum_of_products(c, &products, &word_limbs[WORDS - 1]);
    let mut message = vec![next];
    message.extend(after);
    c.row.interact(Bus::Value, false, message, active);
}

fn limbs_of_cell(cell: u32) -> [i64; CELL_LIMBS] {
    std::array::from_fn(|i| i64::from(cell >> (i as u32 * LIMB_BITS) & ((1 << LIMB_BITS) - 1)))
}

fn receive<R: Row>(c: &mut Circuit<'_, R>, bus: Bus, first: &R::E, rest: &[R::E]) {
    let mut message = vec![first.clone()];
    message.extend_from_slice(rest);
    let active = c.active.clone();
    c.row.interact(bus, true, message, active);
}

fn begin<R: Row>(row: &mut R, active: i64) -> Circuit<'_, R> {
    let active = row.column(active);
    let (zero, one) = (row.constant(0), row.constant(1));
    row.assert_zero(active.clone() * (active.clone() - one));
    // This table has no part in the chain of steps: it has no clock.
    Circuit::new(row, active, zero)
}
