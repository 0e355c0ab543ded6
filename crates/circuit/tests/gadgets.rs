//! The gadgets against integers: the right result is accepted, and a wrong one that is close to right is not.

use holdfast_circuit::{
    cells::{Circuit, MODULUS, Signed},
    row::{Bus, Row},
};
use holdfast_exchange::{
    machine::{LIMB_BITS, Machine, WORD_LIMBS},
    slots::Kind,
};
use holdfast_protocol::limits::PPM;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

const SEED: u64 = 1;
const ROUNDS: usize = 2_000;
const BASE: i64 = 1 << LIMB_BITS;
const LIMB_MASK: u128 = (1 << LIMB_BITS) - 1;

/// A row that is judged while it is filled; some columns have a value claimed for them.
#[derive(Default)]
struct Judged {
    columns: usize,
    claims: Vec<(usize, i64)>,
    violations: usize,
}

impl Row for Judged {
    type E = i64;

    fn constant(&self, value: i64) -> i64 {
        value
    }
    fn column(&mut self, value: i64) -> i64 {
        let claim = self.claims.iter().find(|(column, _)| *column == self.columns);
        self.columns += 1;
        claim.map_or(value, |(_, claim)| *claim)
    }
    fn value(&self, e: &i64) -> i64 {
        *e
    }
    fn assert_zero(&mut self, e: i64) {
        self.violations += usize::from(e.rem_euclid(MODULUS) != 0);
    }
    fn range(&mut self, _: &i64, e: &i64, bits: u32) {
        self.violations += usize::from(e.rem_euclid(MODULUS) >> bits != 0);
    }
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}
    fn load(&mut self, _: Kind, _: &i64, _: &i64, _: &i64) -> (Vec<i64>, i64) {
        unreachable!("the gadgets of numbers read no slot")
    }
    fn store(&mut self, _: Kind, _: &i64, _: &i64, _: &[i64]) {}
    fn hint_neighbour(&mut self, _: &i64, _: i64) -> i64 {
        0
    }
    fn hint_open_order(&mut self, _: &i64, _: &i64, _: &i64) -> i64 {
        0
    }
    fn compress(&mut self, _: &[i64; 8], _: &[i64; 8]) -> [i64; 8] {
        unreachable!("the gadgets of numbers hash nothing")
    }
    fn note_signed(&mut self, _: &[i64; 14], _: &[i64; 8]) {}
    fn note_outcome(&mut self, _: &i64, _: &i64) {}
}

/// Runs a gadget with claims for some of its columns; gives its result and whether nothing is violated.
fn run<T>(claims: &[(usize, i64)], gadget: impl Fn(&mut Circuit<'_, Judged>) -> T) -> (T, bool) {
    let mut row = Judged { claims: claims.to_vec(), ..Judged::default() };
    let result = gadget(&mut Circuit::new(&mut row, 1, 1));
    (result, row.violations == 0)
}

fn limbs<const L: usize>(number: u128) -> [i64; L] {
    std::array::from_fn(|limb| (number >> (limb as u32 * LIMB_BITS) & LIMB_MASK) as i64)
}

fn number(limbs: &[i64]) -> i128 {
    limbs.iter().rev().fold(0, |number, limb| number * i128::from(BASE) + i128::from(*limb))
}

fn signed<const L: usize>(value: i128) -> Signed<i64, L> {
    Signed { negative: i64::from(value < 0), magnitude: limbs(value.unsigned_abs()) }
}

fn value<const L: usize>(a: &Signed<i64, L>) -> i128 {
    if a.negative == 1 { -number(&a.magnitude) } else { number(&a.magnitude) }
}

/// Claims for columns from `first` on.
fn claims(first: usize, values: &[i64]) -> Vec<(usize, i64)> {
    values.iter().enumerate().map(|(at, value)| (first + at, *value)).collect()
}

/// Numbers of at most `bits` bits, of every length, and often at an end of their range.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new() -> Self {
        println!("seed {SEED}");
        Self(ChaCha8Rng::seed_from_u64(SEED))
    }

    fn number(&mut self, bits: u32) -> u128 {
        let most = (1 << bits) - 1;
        let random = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
        match self.0.next_u32() % 8 {
            0 => 0,
            1 => most,
            2 => 1 << (self.0.next_u32() % bits),
            3 => most - (random & most) % 3,
            _ => random & most >> (self.0.next_u32() % bits),
        }
    }

    fn integer(&mut self, bits: u32) -> i128 {
        let magnitude = self.number(bits) as i128;
        if self.0.next_u32().is_multiple_of(2) { magnitude } else { -magnitude }
    }
}

#[test]
fn a_word_difference_is_right_or_refused() {
    let mut dice = Dice::new();
    for round in 0..ROUNDS {
        let a = dice.number(42);
        let b = if round % 4 == 0 { a ^ (dice.number(2)) } else { dice.number(42) };
        let gadget = |c: &mut Circuit<'_, Judged>| c.word_sub(&limbs(a), &limbs(b));
        let ((fits, difference), holds) = run(&[], gadget);
        let expected = if b <= a { a - b } else { b - a - 1 };
        assert!(holds && (fits, number(&difference)) == (i64::from(b <= a), expected as i128), "{a} − {b}");
        // The other answer, as it is modulo 2^42: −(d + 1).
        let other = limbs::<WORD_LIMBS>((1 << 42) - 1 - expected);
        assert!(!run(&claims(0, &[&[1 - fits][..], &other].concat()), gadget).1, "{a} − {b} the other way round");
    }
}

#[test]
fn a_comparison_of_ids_is_right_or_refused() {
    let mut dice = Dice::new();
    for round in 0..ROUNDS {
        let a = dice.number(28) as i64;
        let b = if round % 4 == 0 { a } else { dice.number(28) as i64 };
        let gadget = |c: &mut Circuit<'_, Judged>| c.id_less(&a, &b);
        assert_eq!(run(&[], gadget), (i64::from(a < b), true), "{a} < {b}");
        assert!(!run(&[(0, i64::from(a >= b))], gadget).1, "{a} < {b} denied");
    }
}

#[test]
fn equality_is_right_or_refused() {
    let mut dice = Dice::new();
    for round in 0..ROUNDS {
        let a = dice.number(30) as i64;
        let b = if round % 4 == 0 { a } else { dice.number(30) as i64 };
        let gadget = |c: &mut Circuit<'_, Judged>| c.id_equal(&a, &b);
        let (equal, holds) = run(&[], gadget);
        assert!(holds && equal == i64::from(a == b), "{a} = {b}");
        for inverse in [0, 1, dice.number(30) as i64] {
            assert!(!run(&claims(0, &[inverse, 1 - equal]), gadget).1, "{a} = {b} denied, inverse {inverse}");
        }
        if a == b {
            // Two inverses of zero would be two rows for one input.
            assert!(!run(&[(0, 1)], gadget).1);
        }
    }
}

#[test]
fn a_signed_sum_is_right_or_refused() {
    let mut dice = Dice::new();
    for round in 0..ROUNDS {
        let a = dice.integer(111);
        let b = if round % 4 == 0 { -a } else { dice.integer(83) };
        let gadget = |c: &mut Circuit<'_, Judged>| c.int_add::<8, 8, 8>(&signed(a), &signed(b));
        let (sum, holds) = run(&[], gadget);
        assert!(holds && value(&sum) == a + b, "{a} + {b}");
        let subtraction = |c: &mut Circuit<'_, Judged>| c.int_sub::<8, 8, 8>(&signed(a), &signed(b));
        let (difference, holds) = run(&[], subtraction);
        assert!(holds && value(&difference) == a - b, "{a} − {b}");
        // Columns: the sign, then the limbs. The other sign, with the same limbs and with the complement modulo 2^112.
        let other = limbs::<8>((1 << 112) - (a + b).unsigned_abs());
        for magnitude in [sum.magnitude, other] {
            let claim = claims(0, &[&[1 - sum.negative][..], &magnitude].concat());
            assert!(!run(&claim, gadget).1, "{a} + {b} with the other sign");
        }
    }
}

#[test]
fn zero_is_not_negative() {
    let gadget = |c: &mut Circuit<'_, Judged>| c.int_sub::<3, 3, 3>(&signed(7), &signed(7));
    for inverse in [0, 1, -1] {
        assert!(!run(&[(0, 1), (1 + 3 + 3, inverse)], gadget).1);
    }
}

#[test]
fn a_product_is_right_or_refused() {
    let mut dice = Dice::new();
    for _ in 0..ROUNDS {
        let (a, b) = (dice.number(42), dice.number(42));
        let gadget = |c: &mut Circuit<'_, Judged>| c.word_mul(&limbs(a), &limbs(b));
        let (product, holds) = run(&[], gadget);
        assert!(holds && number(&product) == (a * b) as i128, "{a} × {b}");
        for wrong in [(a * b) as i128 + 1, (a * b) as i128 - 1, (a * b) as i128 + i128::from(MODULUS)] {
            if wrong >= 0 && wrong >> 84 == 0 {
                assert!(!run(&claims(0, &limbs::<6>(wrong as u128)), gadget).1, "{a} × {b} = {wrong}");
            }
        }
    }
}

/// The quotient next to the right one differs by 10^6 in the rest, which has 20 bits: only the bounds of the rest refuse it.
#[test]
fn a_division_is_rounded_up_or_refused() {
    let mut dice = Dice::new();
    let ppm = i128::from(PPM);
    for round in 0..ROUNDS {
        let a = match round % 3 {
            0 => dice.number(103) as i128,
            // A rest of few, or of nearly 10^6.
            _ => (dice.number(83) as i128 * ppm + dice.integer(16)).max(0),
        };
        let gadget = |c: &mut Circuit<'_, Judged>| c.wide_div_ppm_ceil::<8, 6>(&limbs(a as u128));
        let (quotient, holds) = run(&[], gadget);
        let expected = (a + ppm - 1) / ppm;
        assert!(holds && number(&quotient) == expected, "{a} / 10^6");
        for wrong in [expected - 1, expected + 1] {
            if wrong < 0 || wrong >> 84 != 0 {
                continue;
            }
            // Columns: the quotient's limbs, then the rest's.
            let rest = (wrong * ppm - a) as i64;
            let mut claim = claims(0, &limbs::<6>(wrong as u128));
            claim.extend(claims(6, &[rest.rem_euclid(BASE), rest.div_euclid(BASE)]));
            assert!(!run(&claim, gadget).1, "{a} / 10^6 = {wrong}");
        }
    }
}
