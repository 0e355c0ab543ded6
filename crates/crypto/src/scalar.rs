//! Integers modulo the order of the curve's group.
//!
//! n = 134062710381075636479997415343722979822569397998875702343109881667, a prime of 217 bits. A scalar is held as the
//! integer below n. Encoded, it is 28 bytes, little-endian; decoding refuses an integer of n or more, so that every
//! scalar has exactly one encoding.
//!
//! Sums, products and reductions take a time that does not depend on the values (`crypto-bigint`).

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{NonZero, U256, const_monty_params};
use zeroize::Zeroize;

use crate::curve::DecodeError;

/// Bits of the order, and so of a scalar.
pub const SCALAR_BITS: usize = 217;

/// Bytes in an encoded scalar.
pub const SCALAR_BYTES: usize = 28;

const_monty_params!(
    Modulus,
    U256,
    "000000000145e36df302999c79aa3d81b0963ea77238bde9333b5f8f8902af43",
    "The order of the group of the curve."
);

/// The order of the group of the curve.
const ORDER: NonZero<U256> = NonZero::<U256>::new_unwrap(*Montgomery::MODULUS.as_ref());
const _: () = assert!(ORDER.as_ref().bits_vartime() == SCALAR_BITS as u32);

type Montgomery = ConstMontyForm<Modulus, { U256::LIMBS }>;

/// An integer modulo the order of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scalar(U256);

impl Scalar {
    pub const ZERO: Self = Self(U256::ZERO);
    pub const ONE: Self = Self(U256::ONE);

    /// Bits of the digits of [`Scalar::from_digits`].
    pub(crate) const DIGIT_BITS: u32 = 27;

    pub const fn from_u128(value: u128) -> Self {
        Self(U256::from_u128(value))
    }

    /// The integer of the 64 little-endian bytes, modulo the order.
    ///
    /// Of 512 uniform bits, the result is uniform up to 2⁻²⁹⁵.
    pub fn from_bytes_wide(bytes: &[u8; 64]) -> Self {
        let (low, high) = bytes.split_at(32);
        Self(U256::rem_wide((U256::from_le_slice(low), U256::from_le_slice(high)), &ORDER))
    }

    /// The number of these digits to the base 2²⁷, the most significant first: below 2²¹⁶ and so below the order.
    pub(crate) fn from_digits(digits: &[u32; 8]) -> Self {
        assert!(digits.iter().all(|digit| *digit < 1 << Self::DIGIT_BITS));
        Self(
            digits.iter().fold(U256::ZERO, |value, digit| value.shl_vartime(Self::DIGIT_BITS) | U256::from_u32(*digit)),
        )
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero().into()
    }

    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        Self(self.0.add_mod(&other.0, &ORDER))
    }

    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        Self(self.0.sub_mod(&other.0, &ORDER))
    }

    #[must_use]
    pub fn neg(&self) -> Self {
        Self(self.0.neg_mod(&ORDER))
    }

    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        // The product of one factor in Montgomery form and one that is not is out of that form.
        Self(Montgomery::new(&self.0).mul(&Montgomery::from_montgomery(other.0)).to_montgomery())
    }

    /// The bits, the most significant first.
    pub fn bits_be(&self) -> [bool; SCALAR_BITS] {
        let bytes = self.to_bytes();
        std::array::from_fn(|i| {
            let position = SCALAR_BITS - 1 - i;
            bytes[position / 8] >> (position % 8) & 1 == 1
        })
    }

    /// The number of bits without leading zeros. Takes a time that depends on the value.
    pub(crate) fn bit_length(&self) -> usize {
        self.0.bits_vartime() as usize
    }

    /// The integer of `count` bits from bit `start` on, the least significant being bit 0.
    pub(crate) fn bits_at(&self, start: usize, count: usize) -> u64 {
        let words = self.0.as_words();
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        let (index, shift) = (start / 64, start % 64);
        let high = if shift == 0 { 0 } else { word(index + 1) << (64 - shift) };
        (word(index) >> shift | high) & ((1 << count) - 1)
    }

    /// Encodes the scalar: 28 bytes, little-endian.
    pub fn to_bytes(&self) -> [u8; SCALAR_BYTES] {
        let mut bytes = [0; SCALAR_BYTES];
        for (chunk, word) in bytes.chunks_mut(8).zip(self.0.to_words()) {
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    /// Decodes a scalar.
    ///
    /// # Errors
    /// [`DecodeError::Scalar`] where the integer is not below the order.
    pub fn from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Result<Self, DecodeError> {
        let mut bytes_wide = [0; 32];
        bytes_wide[..SCALAR_BYTES].copy_from_slice(bytes);
        let value = U256::from_le_slice(&bytes_wide);
        if value < *ORDER.as_ref() { Ok(Self(value)) } else { Err(DecodeError::Scalar { got: *bytes }) }
    }
}

impl Zeroize for Scalar {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}
