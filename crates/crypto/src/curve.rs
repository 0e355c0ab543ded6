//! The elliptic curve of the signatures.
//!
//! E: y² = x³ + 2x + 26z⁵ over F_p⁷ of [`crate::septic`]: the curve that Succinct introduced for the multiset hash of SP1.
//! Its group has the prime order n of [`crate::scalar`], so every point but the identity generates it, and no point has
//! order 2: y is never zero. What is known of its security stands in [`crate::schnorr`].
//!
//! # Encoding
//!
//! A point other than the identity is 28 bytes: the seven coefficients of x as little-endian `u32`, with the parity of y
//! in the top bit of the last. The parity is that of the canonical value of y's first coefficient, from z⁰ on, that is
//! not zero. It tells y from −y, because v and p − v differ in parity. Decoding refuses a coefficient of p or more, which
//! includes any other bit 31, and an x that no point has, so that every point has exactly one encoding. The identity has
//! none.
//!
//! # Constants
//!
//! [`GENERATOR`], [`LADDER_START`] and [`LADDER_OFFSET`] come from [`point_from_name`], which leaves nothing to choose.
//! The ladder constants serve the circuit, whose double-and-add works on affine points: it starts at LADDER_START, and
//! after each of 216 doublings adds LADDER_OFFSET, or LADDER_OFFSET plus the point to multiply. [`LADDER_END`] is what that
//! adds to the multiple. Between points whose logarithms to the base G are known, a step in which the two points have the
//! same x would give a logarithm of the ladder constants. But anyone can make up a key *from* the ladder constants, with
//! no known logarithm, for which some step does: a circuit must refuse such a step, and not leave its slope free.

use std::array;

use sha2::{Digest as _, Sha256};

use crate::field::{F, PRIME, cell_from_canonical};
use crate::hex::{HexError, to_hex};
use crate::scalar::{SCALAR_BYTES, Scalar};
use crate::septic::{Cell, DEGREE, Septic};

/// Bytes in an encoded point.
pub const POINT_BYTES: usize = 4 * DEGREE;

/// The point of name "generator", to which keys are multiples.
pub const GENERATOR: Affine = Affine {
    x: Septic::new([298103024, 949573150, 1452016224, 1489440589, 1449011712, 1346367562, 1795223202]),
    y: Septic::new([979216132, 241665061, 728316262, 1409648346, 1951720904, 91968449, 885162069]),
};

/// The point of name "ladder start".
pub const LADDER_START: Affine = Affine {
    x: Septic::new([1150458757, 675656230, 1046459894, 1276231512, 713308296, 1407602828, 218468061]),
    y: Septic::new([520073092, 503637127, 438661972, 199404747, 695178896, 1975327411, 1029402776]),
};

/// The point of name "ladder offset".
pub const LADDER_OFFSET: Affine = Affine {
    x: Septic::new([1017334865, 1979090836, 1417989380, 1873002876, 873978389, 1284165018, 1169111044]),
    y: Septic::new([400580722, 136912697, 1270194756, 1385825082, 1795342564, 299208857, 587336103]),
};

/// 2²¹⁶ · [`LADDER_START`] + (2²¹⁶ − 1) · [`LADDER_OFFSET`].
pub const LADDER_END: Affine = Affine {
    x: Septic::new([393729658, 615429331, 1696874813, 953960, 1669288488, 542440317, 1432550025]),
    y: Septic::new([1876037082, 1723106168, 580109682, 927863847, 1191299956, 228231582, 1604870867]),
};

/// Why bytes or text are not the encoding of a point, a scalar or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("expected {expected} bytes, got {got}")]
    Length { expected: usize, got: usize },
    #[error("expected a lower-case hexadecimal digit at byte {position}, got byte {got:#04x}")]
    HexDigit { position: usize, got: u8 },
    #[error("expected a coefficient below {PRIME}, got {got}")]
    Coefficient { got: u32 },
    #[error("expected the x of a point on the curve, got the coefficients {got:?}")]
    OffCurve { got: [u32; DEGREE] },
    #[error("expected a scalar below the order of the group, got the little-endian bytes {}", to_hex(got))]
    Scalar { got: [u8; SCALAR_BYTES] },
}

impl From<HexError> for DecodeError {
    fn from(error: HexError) -> Self {
        match error {
            HexError::Length { expected, got } => Self::Length { expected, got },
            HexError::Digit { position, got } => Self::HexDigit { position, got },
        }
    }
}

/// A point of the curve other than the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Affine {
    x: Septic,
    y: Septic,
}

impl Affine {
    /// The point of the given coordinates, or `None` where it is not on the curve.
    pub fn new(x: Septic, y: Septic) -> Option<Self> {
        (y.square() == curve_right_side(&x)).then_some(Self { x, y })
    }

    /// The point of coordinates that are known to be on the curve.
    pub(crate) fn new_unchecked(x: Septic, y: Septic) -> Self {
        Self { x, y }
    }

    pub fn x(&self) -> &Septic {
        &self.x
    }

    pub fn y(&self) -> &Septic {
        &self.y
    }

    #[must_use]
    pub fn neg(&self) -> Self {
        Self { x: self.x, y: -self.y }
    }

    /// The sum of two points of different x, or `None` where their x is the same.
    pub fn add_distinct(&self, other: &Self) -> Option<Self> {
        let slope = (other.y - self.y) * (other.x - self.x).inverse()?;
        Some(self.third_point(&other.x, &slope))
    }

    /// Twice the point. It is not the identity, as no point has order 2.
    #[must_use]
    pub fn double(&self) -> Self {
        let x_2 = self.x.square();
        let slope = (x_2.double() + x_2 + A) * self.y.double().inverse_or_zero();
        self.third_point(&self.x, &slope)
    }

    /// The multiple of the point, or `None` where `scalar` is zero. No step depends on the scalar's value.
    pub fn mul(&self, scalar: &Scalar) -> Option<Self> {
        let mut sum = Projective::IDENTITY;
        for bit in scalar.bits_be() {
            let doubled = sum.double();
            sum = Projective::select(&doubled, &doubled.add_affine(self), bit);
        }
        sum.to_affine()
    }

    /// The reflection of the third point on the line of slope `slope` through this point and one of x `other_x`.
    fn third_point(&self, other_x: &Septic, slope: &Septic) -> Self {
        let x = slope.square() - self.x - *other_x;
        Self { x, y: *slope * (self.x - x) - self.y }
    }

    /// Encodes the point: see the module.
    pub fn to_bytes(&self) -> [u8; POINT_BYTES] {
        let mut bytes = [0; POINT_BYTES];
        for (chunk, cell) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.x.to_canonical()) {
            *chunk = cell.to_le_bytes();
        }
        bytes[POINT_BYTES - 1] |= u8::from(parity(&self.y)) << 7;
        bytes
    }

    /// Decodes a point.
    ///
    /// # Errors
    /// [`DecodeError::Coefficient`] where a coefficient is not below p, [`DecodeError::OffCurve`] where no point has
    /// that x.
    pub fn from_bytes(bytes: &[u8; POINT_BYTES]) -> Result<Self, DecodeError> {
        let mut words: [u32; DEGREE] = array::from_fn(|i| u32::from_le_bytes(bytes.as_chunks::<4>().0[i]));
        let parity_wanted = words[DEGREE - 1] >> 31 == 1;
        words[DEGREE - 1] &= u32::MAX >> 1;

        let mut x = Septic::ZERO;
        for (cell, word) in x.0.iter_mut().zip(words) {
            *cell = cell_from_canonical(word).ok_or(DecodeError::Coefficient { got: word })?;
        }
        let y = curve_right_side(&x).sqrt().ok_or(DecodeError::OffCurve { got: words })?;
        Ok(Self { x, y: if parity(&y) == parity_wanted { y } else { -y } })
    }
}

/// A point of the curve in homogeneous coordinates: (X/Z, Y/Z), or the identity where Z = 0.
///
/// The formulas of sums are complete: they hold for any two points, with the identity among them (Renes, Costello and
/// Batina 2016, section 3, for a curve of odd order). No step depends on a value.
///
/// With a packed vector of cells in place of [`F`], it is as many points side by side.
#[derive(Clone, Copy, Debug)]
pub struct Projective<R = F> {
    pub(crate) x: Septic<R>,
    pub(crate) y: Septic<R>,
    pub(crate) z: Septic<R>,
}

/// The products of the coordinates of two points (X₁ : Y₁ : Z₁) and (X₂ : Y₂ : Z₂) from which the sum is made.
struct Products<R> {
    /// X₁X₂
    xx: Septic<R>,
    /// Y₁Y₂
    yy: Septic<R>,
    /// Z₁Z₂
    zz: Septic<R>,
    /// X₁Y₂ + X₂Y₁
    xy: Septic<R>,
    /// X₁Z₂ + X₂Z₁
    xz: Septic<R>,
    /// Y₁Z₂ + Y₂Z₁
    yz: Septic<R>,
}

impl Projective {
    pub const IDENTITY: Self = Self { x: Septic::ZERO, y: Septic::ONE, z: Septic::ZERO };

    pub fn is_identity(&self) -> bool {
        self.z.is_zero()
    }

    /// The affine point, or `None` of the identity.
    pub fn to_affine(&self) -> Option<Affine> {
        let z_inverse = self.z.inverse()?;
        Some(Affine { x: self.x * z_inverse, y: self.y * z_inverse })
    }

    /// `one` where `choice` holds, else `zero`, by arithmetic alone.
    #[must_use]
    pub fn select(zero: &Self, one: &Self, choice: bool) -> Self {
        let choice = F::new(u32::from(choice));
        let select = |zero: Septic, one: Septic| zero + (one - zero).scale(choice);
        Self { x: select(zero.x, one.x), y: select(zero.y, one.y), z: select(zero.z, one.z) }
    }

    /// The sum with a point other than the identity.
    #[must_use]
    pub fn add_affine(&self, other: &Affine) -> Self {
        let (xx, yy) = (self.x * other.x, self.y * other.y);
        Self::sum(&Products {
            xx,
            yy,
            zz: self.z,
            xy: (self.x + self.y) * (other.x + other.y) - xx - yy,
            xz: self.x + self.z * other.x,
            yz: self.y + self.z * other.y,
        })
    }
}

impl<R: Cell> Projective<R> {
    #[must_use]
    pub fn neg(&self) -> Self {
        Self { x: self.x, y: -self.y, z: self.z }
    }

    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        let (xx, yy, zz) = (self.x * other.x, self.y * other.y, self.z * other.z);
        Self::sum(&Products {
            xx,
            yy,
            zz,
            xy: (self.x + self.y) * (other.x + other.y) - xx - yy,
            xz: (self.x + self.z) * (other.x + other.z) - xx - zz,
            yz: (self.y + self.z) * (other.y + other.z) - yy - zz,
        })
    }

    #[must_use]
    pub fn double(&self) -> Self {
        let (xx, yy, zz) = (self.x.square(), self.y.square(), self.z.square());
        let xy = (self.x * self.y).double();
        let xz = (self.x * self.z).double();
        let yz = (self.y * self.z).double();
        let [s, t, u] = Self::middle(&xx, &zz, &xz);
        let (minus, plus) = (yy - s, yy + s);
        // The equation of the curve makes Z₃ = yz·(yy + s) + xy·u, here, four times yz·yy.
        Self { x: xy * minus - yz * t, y: u * t + plus * minus, z: (yz * yy).double().double() }
    }

    #[inline]
    fn sum(products: &Products<R>) -> Self {
        let Products { xx, yy, zz, xy, xz, yz } = products;
        let [s, t, u] = Self::middle(xx, zz, xz);
        let (minus, plus) = (*yy - s, *yy + s);
        Self { x: *xy * minus - *yz * t, y: u * t + plus * minus, z: *yz * plus + *xy * u }
    }

    /// s = a·xz + 3b·zz, t = a·xx + 3b·xz − a²·zz and u = 3xx + a·zz, with a = 2.
    #[inline]
    fn middle(xx: &Septic<R>, zz: &Septic<R>, xz: &Septic<R>) -> [Septic<R>; 3] {
        let s = xz.double() + times_three_b(zz);
        let t = (*xx - zz.double()).double() + times_three_b(xz);
        let u = xx.double() + *xx + zz.double();
        [s, t, u]
    }
}

impl From<Affine> for Projective {
    fn from(point: Affine) -> Self {
        Self { x: point.x, y: point.y, z: Septic::ONE }
    }
}

/// (X₁ : Y₁ : Z₁) and (X₂ : Y₂ : Z₂) are one point where X₁Z₂ = X₂Z₁ and Y₁Z₂ = Y₂Z₁.
impl PartialEq for Projective {
    fn eq(&self, other: &Self) -> bool {
        self.x * other.z == other.x * self.z && self.y * other.z == other.y * self.z
    }
}

impl Eq for Projective {}

/// The point that belongs to a name.
///
/// For c = 0, 1, 2, … in turn, coefficient i of x is the little-endian integer SHA-256("holdfast/curve/" ‖ name ‖ c ‖ "/"
/// ‖ i) modulo p, with c and i in decimal. The first x that a point has is taken, with the y of even parity.
pub fn point_from_name(name: &str) -> Affine {
    (0_u32..)
        .find_map(|counter| {
            let x = Septic(array::from_fn(|i| {
                let hash = Sha256::digest(format!("holdfast/curve/{name}{counter}/{i}"));
                hash.iter().rev().fold(F::new(0), |value, byte| value * F::new(256) + F::new(u32::from(*byte)))
            }));
            let y = curve_right_side(&x).sqrt()?;
            Some(Affine { x, y: if parity(&y) { -y } else { y } })
        })
        .expect("half of all x are those of a point")
}

const A: Septic = Septic::new([2, 0, 0, 0, 0, 0, 0]);
const B: Septic = Septic::new([0, 0, 0, 0, 0, 26, 0]);

/// x³ + 2x + 26z⁵.
fn curve_right_side(x: &Septic) -> Septic {
    (x.square() + A) * *x + B
}

/// The product by 3b = 78z⁵: z⁵ times zⁱ is z^(5 + i) for i < 2, else 2z^(i − 1) + 5z^(i − 2).
fn times_three_b<R: Cell>(a: &Septic<R>) -> Septic<R> {
    let [a_0, a_1, a_2, a_3, a_4, a_5, a_6] = a.0;
    let (once, twofold, fivefold) = (R::from(F::new(78)), R::from(F::new(2 * 78)), R::from(F::new(5 * 78)));
    Septic([
        a_2 * fivefold,
        R::dot_product(&[a_2, a_3], &[twofold, fivefold]),
        R::dot_product(&[a_3, a_4], &[twofold, fivefold]),
        R::dot_product(&[a_4, a_5], &[twofold, fivefold]),
        R::dot_product(&[a_5, a_6], &[twofold, fivefold]),
        R::dot_product(&[a_0, a_6], &[once, twofold]),
        a_1 * once,
    ])
}

/// Whether the canonical value of the first coefficient that is not zero is odd; of zero, `false`.
fn parity(y: &Septic) -> bool {
    y.to_canonical().into_iter().find(|cell| *cell != 0).is_some_and(|cell| cell % 2 == 1)
}
