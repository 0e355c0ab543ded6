//! The field of p⁷ elements that the curve is over: F_p\[z\] / (z⁷ − 2z − 5).
//!
//! 7 is prime and zᵖ ≠ z = z^(p⁷), so the polynomial is irreducible; a test repeats that computation. An element is its
//! seven coefficients, that of zⁱ at index i. Reduction is z⁷ = 2z + 5.
//!
//! # Inverse and square root
//!
//! Both go through F_p. With r = (p⁷ − 1)/(p − 1) = 1 + p + … + p⁶, the norm aʳ lies in F_p, and a ↦ aᵖ is linear, so
//! that powers of p are cheap (Itoh and Tsujii 1988):
//!
//! - a⁻¹ = a^(r − 1) / aʳ, where a^(r − 1) takes three multiplications and four maps of the form a ↦ a^(pⁱ);
//! - r is odd, so a^((r + 1)/2) squares to aʳ · a, and √a = a^((r + 1)/2) / √(aʳ). As
//!   (r + 1)/2 = 1 + p(1 + p² + p⁴)(p + 1)/2, it takes one power of (p + 1)/2 and three more multiplications. An
//!   element is a square where its norm is one, because r is odd.
//!
//! # Time
//!
//! Addition, multiplication and inversion take no branch on a value and read no memory at an index that depends on one,
//! as far as the source says; the compiler is trusted not to add any. The square root does: it is for public values.

use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use crate::field::{F, PRIME, cell_to_canonical};

/// The degree of the extension, and the number of coefficients of an element.
pub const DEGREE: usize = 7;

/// An element of F_p⁷: coefficient i is that of zⁱ.
///
/// With a packed vector of cells in place of [`F`], it is as many elements side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Septic<R = F>(pub [R; DEGREE]);

/// What an element can be made of: F, or vectors of F.
pub trait Cell: Algebra<F> + Copy {}

impl<R: Algebra<F> + Copy> Cell for R {}

impl Septic {
    pub const ZERO: Self = Self([F::ZERO; DEGREE]);
    pub const ONE: Self = Self::new([1, 0, 0, 0, 0, 0, 0]);

    /// The element of canonical coefficients `cells`. Values of p or more are reduced.
    pub const fn new(cells: [u32; DEGREE]) -> Self {
        Self(F::new_array(cells))
    }

    /// The canonical value of each coefficient.
    pub fn to_canonical(self) -> [u32; DEGREE] {
        self.0.map(cell_to_canonical)
    }

    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The inverse, or `None` of zero.
    pub fn inverse(&self) -> Option<Self> {
        (!self.is_zero()).then(|| self.inverse_or_zero())
    }

    /// One of the two square roots, or `None` where the element is no square. Takes a time that depends on the element.
    pub fn sqrt(&self) -> Option<Self> {
        // b = a^((p + 1)/2), and (p + 1)/2 = 15 · 2²⁶ + 1.
        const _: () = assert!(PRIME.div_ceil(2) == 15 * (1 << 26) + 1);
        let a_3 = self.square() * *self;
        let a_15 = a_3.square().square() * a_3;
        let half = (0..26).fold(a_15, |power, _| power.square()) * *self;

        // w = (b · b^(p²) · b^(p⁴))ᵖ, so that w² = a^(r − 1). Then the norm is a · w², and (a · w)² is a times the norm.
        let half_p = half.frobenius(&FROBENIUS_1);
        let w = half_p * half_p.frobenius(&FROBENIUS_2) * half_p.frobenius(&FROBENIUS_4);
        let root_scaled = *self * w;
        let norm = (root_scaled * w).0[0];

        let root = root_scaled.scale(cell_inverse_or_zero(cell_sqrt(norm)?));
        (root.square() == *self).then_some(root)
    }
}

impl<R: Cell> Septic<R> {
    /// The element of F_p.
    pub fn from_cell(cell: R) -> Self {
        let mut coefficients = [R::ZERO; DEGREE];
        coefficients[0] = cell;
        Self(coefficients)
    }

    #[must_use]
    pub fn double(&self) -> Self {
        *self + *self
    }

    /// The product by an element of F_p.
    #[must_use]
    pub fn scale(&self, factor: R) -> Self {
        let mut product = *self;
        for cell in &mut product.0 {
            *cell *= factor;
        }
        product
    }

    #[must_use]
    #[inline]
    pub fn square(&self) -> Self {
        // Coefficient k of the product is the sum of a[i] · a[k − i]: each product of two different coefficients counts
        // twice. The zeros round three products up to four, which packed cells reduce at once.
        let [a_0, a_1, a_2, a_3, a_4, a_5, a_6] = self.0;
        let [_, b_1, b_2, b_3, b_4, b_5, b_6] = self.double().0;
        let zero = R::ZERO;
        reduce(&[
            a_0 * a_0,
            a_0 * b_1,
            R::dot_product(&[a_0, a_1], &[b_2, a_1]),
            R::dot_product(&[a_0, a_1], &[b_3, b_2]),
            R::dot_product(&[a_0, a_1, a_2, zero], &[b_4, b_3, a_2, zero]),
            R::dot_product(&[a_0, a_1, a_2, zero], &[b_5, b_4, b_3, zero]),
            R::dot_product(&[a_0, a_1, a_2, a_3], &[b_6, b_5, b_4, a_3]),
            R::dot_product(&[a_1, a_2, a_3, zero], &[b_6, b_5, b_4, zero]),
            R::dot_product(&[a_2, a_3, a_4, zero], &[b_6, b_5, a_4, zero]),
            R::dot_product(&[a_3, a_4], &[b_6, b_5]),
            R::dot_product(&[a_4, a_5], &[b_6, a_5]),
            a_5 * b_6,
            a_6 * a_6,
        ])
    }

    /// The product of the seven conjugates a^(pⁱ), which lies in F_p.
    pub fn norm(&self) -> R {
        (*self * self.conjugates()).0[0]
    }

    /// The inverse, or zero of zero, without a branch.
    #[must_use]
    pub fn inverse_or_zero(&self) -> Self {
        let conjugates = self.conjugates();
        let norm = (*self * conjugates).0[0];
        conjugates.scale(cell_inverse_or_zero(norm))
    }

    /// a^(r − 1), whose product with a is the norm of a.
    fn conjugates(&self) -> Self {
        // The exponents p, p + p², p + … + p⁴ and p + … + p⁶ in turn.
        let first = self.frobenius(&FROBENIUS_1);
        let two = first * first.frobenius(&FROBENIUS_1);
        let four = two * two.frobenius(&FROBENIUS_2);
        four * two.frobenius(&FROBENIUS_4)
    }

    /// a^(pⁱ) for i = 1, 2 or 4, by the matrix of the map.
    fn frobenius(&self, matrix: &[[F; DEGREE]; DEGREE]) -> Self {
        let mut power = *self;
        for (cell, row) in power.0.iter_mut().zip(matrix) {
            *cell = R::dot_product(&self.0, &row.map(R::from));
        }
        power
    }
}

impl<R: Cell> Add for Septic<R> {
    type Output = Self;

    #[inline]
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl<R: Cell> AddAssign for Septic<R> {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        for (cell, other) in self.0.iter_mut().zip(other.0) {
            *cell += other;
        }
    }
}

impl<R: Cell> Sub for Septic<R> {
    type Output = Self;

    #[inline]
    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl<R: Cell> SubAssign for Septic<R> {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        for (cell, other) in self.0.iter_mut().zip(other.0) {
            *cell -= other;
        }
    }
}

impl<R: Cell> Neg for Septic<R> {
    type Output = Self;

    fn neg(mut self) -> Self {
        for cell in &mut self.0 {
            *cell = -*cell;
        }
        self
    }
}

impl<R: Cell> Mul for Septic<R> {
    type Output = Self;

    #[inline]
    fn mul(self, other: Self) -> Self {
        let (a, b) = (&self.0, &other.0);
        reduce(&[
            convolution::<R, 1>(a, b, 0),
            convolution::<R, 2>(a, b, 0),
            convolution::<R, 3>(a, b, 0),
            convolution::<R, 4>(a, b, 0),
            convolution::<R, 5>(a, b, 0),
            convolution::<R, 6>(a, b, 0),
            convolution::<R, 7>(a, b, 0),
            convolution::<R, 6>(a, b, 1),
            convolution::<R, 5>(a, b, 2),
            convolution::<R, 4>(a, b, 3),
            convolution::<R, 3>(a, b, 4),
            convolution::<R, 2>(a, b, 5),
            convolution::<R, 1>(a, b, 6),
        ])
    }
}

impl<R: Cell> MulAssign for Septic<R> {
    #[inline]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

/// The sum of a[i] · b[k − i], of which there are `TERMS`, the first at i = `start`: coefficient k of the product.
///
/// An inner product sums before it reduces, and so costs less than its terms.
#[inline(always)]
fn convolution<R: Cell, const TERMS: usize>(a: &[R; DEGREE], b: &[R; DEGREE], start: usize) -> R {
    let (mut left, mut right) = ([R::ZERO; TERMS], [R::ZERO; TERMS]);
    for term in 0..TERMS {
        left[term] = a[start + term];
        right[term] = b[start + TERMS - 1 - term];
    }
    R::dot_product(&left, &right)
}

/// The polynomial of degree 12 modulo z⁷ − 2z − 5: z^(7 + m) = 2z^(m + 1) + 5z^m.
#[inline(always)]
fn reduce<R: Cell>(polynomial: &[R; 2 * DEGREE - 1]) -> Septic<R> {
    let [c_0, c_1, c_2, c_3, c_4, c_5, c_6, high @ ..] = *polynomial;
    let mut reduced = [c_0, c_1, c_2, c_3, c_4, c_5, c_6];
    for (m, cell) in high.into_iter().enumerate() {
        let doubled = cell.double();
        reduced[m] += doubled.double() + cell;
        reduced[m + 1] += doubled;
    }
    Septic(reduced)
}

/// c⁻¹ = c^(p − 2), which is zero of zero. Its steps do not depend on c.
fn cell_inverse_or_zero<R: Cell>(cell: R) -> R {
    cell.exp_u64(u64::from(PRIME) - 2)
}

/// The two-adic order of p − 1 = 15 · 2²⁷.
const TWO_ADICITY: u32 = 27;

/// A square root in F_p, or `None` where there is none: Tonelli and Shanks.
fn cell_sqrt(cell: F) -> Option<F> {
    // cell⁷ · cell = cell⁸ and cell⁷ · cell⁸ = cell¹⁵, so that root² = cell · remainder, where the order of the
    // remainder divides 2²⁷.
    let power = cell.exp_u64(7);
    let mut root = power * cell;
    let mut remainder = power * root;
    // A generator of the subgroup of order 2²⁷: a generator of all to the 15.
    let mut generator = F::GENERATOR.exp_u64(15);
    let mut generator_log2 = TWO_ADICITY;
    if cell.is_zero() {
        return Some(F::ZERO);
    }
    while remainder != F::ONE {
        let mut order_log2 = 0;
        let mut square = remainder;
        while square != F::ONE {
            square = square.square();
            order_log2 += 1;
        }
        if order_log2 >= generator_log2 {
            return None;
        }
        let factor = generator.exp_power_of_2((generator_log2 - order_log2 - 1) as usize);
        generator = factor.square();
        generator_log2 = order_log2;
        root *= factor;
        remainder *= generator;
    }
    Some(root)
}

/// The matrix of a ↦ aᵖ: column j is z^(j · p).
const FROBENIUS_1: [[F; DEGREE]; DEGREE] = F::new_2d_array([
    [1, 954599710, 862825265, 596273169, 557608863, 763416381, 1734711039],
    [0, 1359279693, 597046311, 658837454, 1173670028, 1252567168, 1749813853],
    [0, 566669999, 978840770, 1515468261, 1749546888, 628856225, 1227235221],
    [0, 1982781815, 1790138282, 367059247, 1086464137, 1771903394, 1707730636],
    [0, 1735718361, 1044777201, 781278880, 803900099, 650712211, 424560395],
    [0, 1174868538, 835869808, 1544222616, 1288818584, 19417363, 1007029514],
    [0, 1120871770, 1342179023, 155490465, 1184677604, 57990258, 498034669],
]);

/// The matrix of a ↦ a^(p^2): column j is z^(j · p^2).
const FROBENIUS_2: [[F; DEGREE]; DEGREE] = F::new_2d_array([
    [1, 1013489358, 209824426, 1475628651, 550038364, 882720258, 738287111],
    [0, 1619071628, 1313900768, 777565847, 948935655, 821925756, 1955364991],
    [0, 304593143, 38410482, 704492386, 68722023, 199955840, 552724293],
    [0, 1949397349, 256593180, 1218528120, 1251345762, 812002876, 1175775744],
    [0, 1564307636, 1708830551, 1245363405, 1692456177, 1484951277, 341623997],
    [0, 327761151, 1244995038, 475884575, 1177958698, 1063138035, 1454022463],
    [0, 415430835, 1555324019, 649166061, 350232928, 491712810, 408193320],
]);

/// The matrix of a ↦ a^(p^4): column j is z^(j · p^4).
const FROBENIUS_4: [[F; DEGREE]; DEGREE] = F::new_2d_array([
    [1, 45857718, 1737577410, 570373514, 129235996, 647252441, 989776625],
    [0, 1400751519, 1355857490, 1466767786, 202812727, 68093590, 1784707278],
    [0, 618751699, 456089855, 947277652, 1537970986, 1772856085, 596143403],
    [0, 863586292, 231142353, 233889890, 768098655, 998849531, 834672642],
    [0, 79278078, 235982250, 1376068783, 1931568244, 1734375088, 1016537676],
    [0, 218193368, 1725971078, 1440868689, 1342643398, 749374190, 1241831831],
    [0, 979882625, 2006312059, 2826437, 595700976, 1467929837, 1268124064],
]);
