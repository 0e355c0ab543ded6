//! The fast multiples against the slow one.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::curve::{LADDER_OFFSET, LADDER_START};

const SEED: u64 = 0x006d_756c_7469_706c;

fn random_scalar(rng: &mut ChaCha8Rng) -> Scalar {
    match rng.random_range(0..8) {
        0 => Scalar::ZERO,
        1 => Scalar::from_u128(rng.random_range(0..40)),
        2 => Scalar::from_u128(rng.random_range(0..40)).neg(),
        3 => Scalar::from_u128(rng.random()),
        _ => Scalar::from_bytes_wide(&rng.random::<[[u8; 32]; 2]>().as_flattened().try_into().expect("64 bytes")),
    }
}

fn multiple(point: &Affine, scalar: &Scalar) -> Projective {
    point.mul(scalar).map_or(Projective::IDENTITY, Projective::from)
}

fn sum_naive(terms: &[(Affine, Scalar)]) -> Projective {
    terms.iter().fold(Projective::IDENTITY, |sum, (point, scalar)| sum.add(&multiple(point, scalar)))
}

#[test]
fn multiples_of_one_point_equal_double_and_add() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..200 {
        let scalar = random_scalar(&mut rng);
        assert_eq!(generator_multiple(&scalar), multiple(&GENERATOR, &scalar), "{scalar:?}");
        assert_eq!(public_multiple(&LADDER_START, &scalar), multiple(&LADDER_START, &scalar), "{scalar:?}");
    }
}

#[test]
fn non_adjacent_form_has_the_value_of_the_scalar_and_few_digits() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..200 {
        let scalar = random_scalar(&mut rng);
        let digits = non_adjacent_form(&scalar);
        let value = digits.iter().rev().fold(Scalar::ZERO, |value, digit| {
            let magnitude = Scalar::from_u128(u128::from(digit.unsigned_abs()));
            value.add(&value).add(&if *digit < 0 { magnitude.neg() } else { magnitude })
        });
        assert_eq!(value, scalar);
        assert!(digits.iter().all(|digit| *digit == 0 || (digit % 2 != 0 && digit.abs() < 16)));
        assert!(digits.windows(5).all(|window| window.iter().filter(|digit| **digit != 0).count() <= 1));
    }
}

#[test]
fn sum_of_multiples_equals_the_naive_one_at_every_digit_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for digit_bits in DIGIT_BITS_MIN..=DIGIT_BITS_MAX {
        for length in [0, 1, 2, 3, 17, 40] {
            let terms: Vec<(Affine, Scalar)> = (0..length)
                .map(|_| {
                    let factor = Scalar::from_u128(rng.random_range(1..u128::MAX));
                    (GENERATOR.mul(&factor).expect("not the identity"), random_scalar(&mut rng))
                })
                .collect();
            assert_eq!(sum_by_digits(&terms, digit_bits), sum_naive(&terms), "{digit_bits} bits, {length} terms");
        }
    }
}

#[test]
fn equal_and_opposite_points_are_summed_too() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let points = [GENERATOR, GENERATOR.neg(), GENERATOR.double(), LADDER_OFFSET, LADDER_OFFSET.neg()];
    for length in [2, 3, 4, 5, 8, 33, 100] {
        for _ in 0..8 {
            let scalars: [Scalar; 2] = std::array::from_fn(|_| random_scalar(&mut rng));
            let terms: Vec<(Affine, Scalar)> = (0..length)
                .map(|_| (points[rng.random_range(0..points.len())], scalars[rng.random_range(0..2)]))
                .collect();
            assert_eq!(sum_of_multiples(&terms), sum_naive(&terms));
        }
        let same = vec![(GENERATOR, Scalar::ONE); length];
        assert_eq!(sum_of_multiples(&same), multiple(&GENERATOR, &Scalar::from_u128(length as u128)));
        let opposite: Vec<(Affine, Scalar)> =
            same.iter().flat_map(|(point, one)| [(*point, *one), (point.neg(), *one)]).collect();
        assert!(sum_of_multiples(&opposite).is_identity());
    }
}

#[test]
fn many_terms_equal_one_term_of_the_same_sum() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut terms = Vec::new();
    let mut total = Scalar::ZERO;
    let mut point = GENERATOR;
    let mut point_scalar = Scalar::ONE;
    for _ in 0..ROWS_AT_ONCE / 2 + 3 {
        let scalar = random_scalar(&mut rng);
        total = total.add(&scalar.mul(&point_scalar));
        terms.push((point, scalar));
        point = point.double();
        point_scalar = point_scalar.add(&point_scalar);
    }
    assert_eq!(sum_of_multiples(&terms), generator_multiple(&total));
}

#[test]
fn digits_have_the_value_of_the_scalar() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for digit_bits in DIGIT_BITS_MIN..=DIGIT_BITS_MAX {
        let terms: Vec<(Affine, Scalar)> =
            (0..20).map(|_| (GENERATOR, random_scalar(&mut rng))).chain([(GENERATOR, Scalar::ONE.neg())]).collect();
        let digits = Digits::new(&terms, digit_bits);
        let base = Scalar::from_u128(1 << digit_bits);
        for (term, (_, scalar)) in terms.iter().enumerate() {
            let value = (0..digits.windows).rev().fold(Scalar::ZERO, |value, window| {
                let digit = digits.digits[window * terms.len() + term];
                assert!(usize::from(digit.unsigned_abs()) <= digits.buckets);
                let magnitude = Scalar::from_u128(u128::from(digit.unsigned_abs()));
                value.mul(&base).add(&if digit < 0 { magnitude.neg() } else { magnitude })
            });
            assert_eq!(value, *scalar);
        }
    }
}
