//! The group of the curve, its encoding and its scalars.

mod schnorr_vectors;

use holdfast_crypto::curve::{
    Affine, DecodeError, GENERATOR, LADDER_END, LADDER_OFFSET, LADDER_START, POINT_BYTES, Projective, point_from_name,
};
use holdfast_crypto::field::PRIME;
use holdfast_crypto::scalar::{SCALAR_BITS, SCALAR_BYTES, Scalar};
use holdfast_crypto::septic::Septic;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use schnorr_vectors::VECTORS;

const SEED: u64 = 0x0063_7572_7665;
const FUZZ_ROUNDS: u32 = 100_000;

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        1 => (0..8_u128).prop_map(Scalar::from_u128),
        1 => (0..8_u128).prop_map(|value| Scalar::from_u128(value).neg()),
        6 => any::<([u8; 32], [u8; 32])>().prop_map(|(low, high)| Scalar::from_bytes_wide(&wide(low, high))),
    ]
}

fn point() -> impl Strategy<Value = Affine> {
    scalar().prop_filter_map("the identity", |scalar| GENERATOR.mul(&scalar))
}

fn wide(low: [u8; 32], high: [u8; 32]) -> [u8; 64] {
    std::array::from_fn(|i| if i < 32 { low[i] } else { high[i - 32] })
}

/// Double and add, by affine sums that know every case; `None` is the identity.
fn multiple_naive(point: Affine, scalar: &Scalar) -> Option<Affine> {
    scalar.bits_be().into_iter().fold(None, |sum, bit| {
        let doubled = sum_naive(sum, sum);
        if bit { sum_naive(doubled, Some(point)) } else { doubled }
    })
}

fn sum_naive(left: Option<Affine>, right: Option<Affine>) -> Option<Affine> {
    match (left, right) {
        (None, sum) | (sum, None) => sum,
        (Some(left), Some(right)) if left == right => Some(left.double()),
        (Some(left), Some(right)) => left.add_distinct(&right),
    }
}

fn projective(point: Option<Affine>) -> Projective {
    point.map_or(Projective::IDENTITY, Projective::from)
}

#[test]
fn constants_are_the_points_of_their_names() {
    let constants = &VECTORS.constants;
    for (name, constant, vector) in [
        ("generator", GENERATOR, &constants.generator),
        ("ladder start", LADDER_START, &constants.ladder_start),
        ("ladder offset", LADDER_OFFSET, &constants.ladder_offset),
    ] {
        assert_eq!(point_from_name(name), constant);
        assert_eq!(vector.point(), constant);
    }
    assert_eq!(constants.ladder_end.point(), LADDER_END);
}

#[test]
fn ladder_of_zero_ends_at_the_end() {
    let end = (0..216).fold(LADDER_START, |sum, _| sum.double().add_distinct(&LADDER_OFFSET).expect("two points"));
    assert_eq!(end, LADDER_END);
}

#[test]
fn order_annihilates_every_point() {
    let order_less_one = Scalar::ONE.neg();
    for point in [GENERATOR, LADDER_START, LADDER_OFFSET, LADDER_END] {
        assert_eq!(point.mul(&order_less_one), Some(point.neg()));
        assert_eq!(point.mul(&Scalar::ZERO), None);
        assert!(Projective::from(point.neg()).add_affine(&point).is_identity());
    }
}

#[test]
fn multiples_agree_with_the_vectors() {
    for vector in &VECTORS.multiples {
        let scalar = Scalar::from_bytes(&vector.scalar.bytes()).expect("a canonical scalar");
        let point = GENERATOR.mul(&scalar).expect("not the identity");
        assert_eq!((*point.x(), *point.y()), (vector.x.septic(), vector.y.septic()));
        assert_eq!(point.to_bytes(), vector.point.bytes());
        assert_eq!(Affine::from_bytes(&vector.point.bytes()), Ok(point));
    }
}

#[test]
fn coordinates_off_the_curve_are_no_point() {
    assert_eq!(Affine::new(*GENERATOR.x(), *GENERATOR.y()), Some(GENERATOR));
    assert_eq!(Affine::new(*GENERATOR.x(), *GENERATOR.x()), None);
    assert_eq!(Affine::new(Septic::ZERO, Septic::ZERO), None);
}

#[test]
fn points_that_are_not_canonical_are_rejected() {
    for vector in &VECTORS.rejected_points {
        let error = Affine::from_bytes(&vector.bytes.bytes()).expect_err(&vector.what);
        let name = match error {
            DecodeError::Coefficient { got } => {
                assert!(got >= PRIME);
                "coefficient"
            }
            DecodeError::OffCurve { .. } => "off curve",
            _ => "another error",
        };
        assert_eq!(name, vector.error, "{}", vector.what);
    }
}

#[test]
fn scalars_that_are_not_canonical_are_rejected() {
    assert_eq!(VECTORS.constants.order.bytes(), {
        let mut order = Scalar::ONE.neg().to_bytes();
        order[0] += 1;
        order
    });
    for vector in &VECTORS.rejected_scalars {
        let bytes: [u8; SCALAR_BYTES] = vector.bytes.bytes();
        assert_eq!(Scalar::from_bytes(&bytes), Err(DecodeError::Scalar { got: bytes }), "{}", vector.what);
    }
}

#[test]
fn errors_name_what_was_expected_and_what_came() {
    let check = |error: DecodeError, text: &str| assert_eq!(error.to_string(), text);
    check(DecodeError::Coefficient { got: PRIME }, "expected a coefficient below 2013265921, got 2013265921");
    check(
        DecodeError::OffCurve { got: [1, 2, 3, 4, 5, 6, 7] },
        "expected the x of a point on the curve, got the coefficients [1, 2, 3, 4, 5, 6, 7]",
    );
    check(
        DecodeError::Scalar { got: [0xff; SCALAR_BYTES] },
        &format!("expected a scalar below the order of the group, got the little-endian bytes {}", "ff".repeat(28)),
    );
}

#[test]
fn decoding_any_bytes_neither_panics_nor_accepts_a_second_encoding() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut points, mut scalars) = (0, 0);
    let mut valid = GENERATOR.to_bytes();
    for _ in 0..FUZZ_ROUNDS {
        let mut bytes: [u8; POINT_BYTES] = if rng.random() { rng.random() } else { valid };
        // Words of 31 bits are often coefficients, a scalar's top bits are often zero.
        match rng.random_range(0..4) {
            0 => bytes.iter_mut().skip(3).step_by(4).for_each(|byte| *byte &= 0x7f),
            1 => bytes[27] = rng.random_range(0..3),
            2 => bytes[rng.random_range(0..POINT_BYTES)] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
        if let Ok(point) = Affine::from_bytes(&bytes) {
            assert_eq!(point.to_bytes(), bytes);
            assert_eq!(Affine::new(*point.x(), *point.y()), Some(point));
            valid = bytes;
            points += 1;
        }
        if let Ok(scalar) = Scalar::from_bytes(&bytes) {
            assert_eq!(scalar.to_bytes(), bytes);
            scalars += 1;
        }
    }
    assert!(points > FUZZ_ROUNDS / 8 && scalars > FUZZ_ROUNDS / 16, "the fuzzer must reach both: {points}, {scalars}");
}

#[test]
fn scalar_from_a_wide_integer_is_reduced() {
    assert_eq!(Scalar::from_bytes_wide(&[0; 64]), Scalar::ZERO);
    let order: [u8; SCALAR_BYTES] = VECTORS.constants.order.bytes();
    let mut bytes = [0; 64];
    bytes[..SCALAR_BYTES].copy_from_slice(&order);
    assert!(Scalar::from_bytes_wide(&bytes).is_zero());
    bytes[0] += 5;
    assert_eq!(Scalar::from_bytes_wide(&bytes), Scalar::from_u128(5));

    // 2⁵¹² − 1 by doubling.
    let all_ones = (0..512).fold(Scalar::ZERO, |sum, _| sum.add(&sum).add(&Scalar::ONE));
    assert_eq!(Scalar::from_bytes_wide(&[0xff; 64]), all_ones);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn complete_formulas_equal_the_affine_sums(p in point(), q in point()) {
        let identity = Projective::IDENTITY;
        for (left, right) in [
            (Some(p), Some(q)), (Some(p), Some(p)), (Some(p), Some(p.neg())), (Some(p), None), (None, Some(p)), (None, None),
        ] {
            let sum = sum_naive(left, right);
            prop_assert_eq!(projective(left).add(&projective(right)).to_affine(), sum);
            // Z is one in none of these.
            let (left_scaled, right_scaled) =
                (projective(left).add(&identity), projective(right).double().add(&projective(right).neg()));
            prop_assert_eq!(left_scaled.add(&right_scaled), projective(sum));
            if let Some(right) = right {
                prop_assert_eq!(left_scaled.add_affine(&right).to_affine(), sum);
            }
            prop_assert_eq!(projective(sum).is_identity(), sum.is_none());
        }
        prop_assert_eq!(Projective::from(p).double().to_affine(), Some(p.double()));
        prop_assert!(identity.double().is_identity());
        prop_assert_ne!(projective(Some(p)), identity);
    }

    #[test]
    fn affine_sums_stay_on_the_curve(p in point(), q in point()) {
        prop_assert_eq!(p.add_distinct(&p), None);
        prop_assert_eq!(p.add_distinct(&p.neg()), None);
        for sum in [Some(p.double()), Some(p.neg()), p.add_distinct(&q)].into_iter().flatten() {
            prop_assert_eq!(Affine::new(*sum.x(), *sum.y()), Some(sum));
        }
    }

    #[test]
    fn multiple_equals_naive_double_and_add(p in point(), k in scalar()) {
        prop_assert_eq!(p.mul(&k), multiple_naive(p, &k));
    }

    #[test]
    fn multiples_are_linear(p in point(), a in scalar(), b in scalar()) {
        let multiple = |scalar: &Scalar| projective(p.mul(scalar));
        prop_assert_eq!(multiple(&a.add(&b)), multiple(&a).add(&multiple(&b)));
        prop_assert_eq!(multiple(&a.sub(&b)), multiple(&a).add(&multiple(&b).neg()));
        prop_assert_eq!(multiple(&a.mul(&b)), projective(p.mul(&a).and_then(|p| p.mul(&b))));
    }

    #[test]
    fn selection_takes_one_of_two(p in point(), q in point()) {
        let (p, q) = (Projective::from(p), Projective::from(q));
        prop_assert_eq!(Projective::select(&p, &q, false), p);
        prop_assert_eq!(Projective::select(&p, &q, true), q);
    }

    #[test]
    fn scalars_are_a_ring_and_their_bits_are_their_value(a in scalar(), b in scalar(), c in scalar()) {
        prop_assert_eq!(a.add(&b), b.add(&a));
        prop_assert_eq!(a.mul(&b), b.mul(&a));
        prop_assert_eq!(a.mul(&b.add(&c)), a.mul(&b).add(&a.mul(&c)));
        prop_assert_eq!(a.mul(&b).mul(&c), a.mul(&b.mul(&c)));
        prop_assert_eq!(a.sub(&b).add(&b), a);
        prop_assert!(a.add(&a.neg()).is_zero());
        prop_assert_eq!(a.mul(&Scalar::ONE), a);

        let bits = a.bits_be();
        prop_assert_eq!(bits.len(), SCALAR_BITS);
        let value = bits.into_iter().fold(Scalar::ZERO, |value, bit| {
            value.add(&value).add(if bit { &Scalar::ONE } else { &Scalar::ZERO })
        });
        prop_assert_eq!(value, a);
        prop_assert_eq!(Scalar::from_bytes(&a.to_bytes()), Ok(a));
    }
}
