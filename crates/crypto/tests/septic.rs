//! The extension field against its definition.

mod schnorr_vectors;

use holdfast_crypto::F;
use holdfast_crypto::field::PRIME;
use holdfast_crypto::septic::{DEGREE, Septic};
use proptest::prelude::*;

use schnorr_vectors::VECTORS;

/// A generator of the units of F_p, so no square in F_p⁷ either.
const NON_SQUARE: u32 = 31;

const Z: Septic = Septic::new([0, 1, 0, 0, 0, 0, 0]);

fn element() -> impl Strategy<Value = Septic> {
    let cell = || prop_oneof![1 => Just(0), 1 => Just(1), 1 => Just(PRIME - 1), 7 => 0..PRIME];
    prop::array::uniform7(cell()).prop_map(Septic::new)
}

/// The product of the two polynomials, then one subtraction of a multiple of z⁷ − 2z − 5 after another.
fn product_naive(a: &Septic, b: &Septic) -> Septic {
    let prime = u64::from(PRIME);
    let (a, b) = (a.to_canonical(), b.to_canonical());
    let mut cells = [0_u64; 2 * DEGREE - 1];
    for i in 0..DEGREE {
        for j in 0..DEGREE {
            cells[i + j] = (cells[i + j] + u64::from(a[i]) * u64::from(b[j])) % prime;
        }
    }
    for top in (DEGREE..cells.len()).rev() {
        cells[top - 6] = (cells[top - 6] + 2 * cells[top]) % prime;
        cells[top - 7] = (cells[top - 7] + 5 * cells[top]) % prime;
    }
    Septic::new(std::array::from_fn(|i| cells[i] as u32))
}

fn power(base: Septic, mut exponent: u32) -> Septic {
    let (mut base, mut result) = (base, Septic::ONE);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = product_naive(&result, &base);
        }
        base = product_naive(&base, &base);
        exponent >>= 1;
    }
    result
}

/// a, aᵖ, a^(p²), …
fn conjugates(a: Septic) -> impl Iterator<Item = Septic> {
    std::iter::successors(Some(a), |a| Some(power(*a, PRIME)))
}

#[test]
fn polynomial_is_irreducible() {
    let powers: Vec<Septic> = conjugates(Z).take(DEGREE + 1).collect();
    assert_ne!(powers[1], Z);
    assert_eq!(powers[DEGREE], Z);
    assert_eq!(power(Z, 7), Z.double() + Septic::new([5, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn arithmetic_agrees_with_the_vectors() {
    for vector in &VECTORS.septic {
        let (a, b) = (vector.a.septic(), vector.b.septic());
        assert_eq!(a * b, vector.product.septic());
        assert_eq!(a.inverse(), Some(vector.inverse.septic()));
        // Either root may come out.
        let root = vector.root.as_ref().map(|root| root.septic());
        assert!(a.sqrt() == root || a.sqrt() == root.map(|root| -root), "{a:?}");
    }
}

#[test]
fn zero_has_itself_as_root_and_no_inverse() {
    assert!(Septic::ZERO.is_zero() && !Septic::ONE.is_zero());
    assert_eq!(Septic::ZERO.inverse(), None);
    assert_eq!(Septic::ZERO.inverse_or_zero(), Septic::ZERO);
    assert_eq!(Septic::ZERO.sqrt(), Some(Septic::ZERO));
}

#[test]
fn values_above_the_prime_are_reduced() {
    assert_eq!(Septic::new([PRIME; DEGREE]), Septic::ZERO);
    assert_eq!(Septic::new([PRIME + 1, 0, 0, 0, 0, 0, 0]), Septic::ONE);
    assert_eq!(Septic::new([3; DEGREE]).to_canonical(), [3; DEGREE]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn elements_are_a_commutative_ring(a in element(), b in element(), c in element(), factor in 0..PRIME) {
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!((a + b) + c, a + (b + c));
        prop_assert_eq!(a + Septic::ZERO, a);
        prop_assert_eq!(a - b, a + -b);
        prop_assert_eq!(a - a, Septic::ZERO);
        prop_assert_eq!(a.double(), a + a);
        prop_assert_eq!(a * b, b * a);
        prop_assert_eq!((a * b) * c, a * (b * c));
        prop_assert_eq!(a * Septic::ONE, a);
        prop_assert_eq!(a * (b + c), a * b + a * c);
        prop_assert_eq!(a.scale(F::new(factor)), a * Septic::from_cell(F::new(factor)));

        let mut changed = a;
        changed += b;
        changed -= c;
        changed *= c;
        prop_assert_eq!(changed, (a + b - c) * c);
    }

    #[test]
    fn products_and_squares_equal_the_naive_ones(a in element(), b in element()) {
        prop_assert_eq!(a * b, product_naive(&a, &b));
        prop_assert_eq!(a.square(), product_naive(&a, &a));
    }

    #[test]
    fn norm_is_the_product_of_the_conjugates(a in element()) {
        let product = conjugates(a).take(DEGREE).fold(Septic::ONE, |product, conjugate| product * conjugate);
        prop_assert_eq!(Septic::from_cell(a.norm()), product);
    }

    #[test]
    fn inverse_times_the_element_is_one(a in element()) {
        prop_assert_eq!(a.inverse().map(|inverse| inverse * a), (!a.is_zero()).then_some(Septic::ONE));
    }

    #[test]
    fn squares_have_roots_and_other_elements_have_none(a in element()) {
        let square = a.square();
        let root = square.sqrt().expect("a square");
        prop_assert!(root == a || root == -a);
        if !a.is_zero() {
            prop_assert_eq!(square.scale(F::new(NON_SQUARE)).sqrt(), None);
        }
    }
}
