//! The field, the digest and their one encoding.
//!
//! A cell is an element of BabyBear, p = 2³¹ − 2²⁷ + 1. In memory it is in Montgomery form; outside memory it is its
//! canonical value, an integer in `0..p`. Nothing may serialise an [`F`] by its own `serde` implementation, which writes
//! the Montgomery form: use the functions here.
//!
//! A digest is eight cells. Encoded, it is 32 bytes: each cell's canonical value as a little-endian `u32`, in order.
//! Decoding refuses a value of p or more, so that every digest has exactly one encoding.

use p3_field::PrimeField32;
use p3_field::integers::QuotientMap;

use crate::hex::{HexError, from_hex, to_hex};

/// An element of the BabyBear field.
pub use p3_baby_bear::BabyBear as F;

/// The order of the field: 15 · 2²⁷ + 1 = 2 013 265 921.
pub const PRIME: u32 = 0x7800_0001;
const _: () = assert!(PRIME == F::ORDER_U32);

/// Cells in a digest: 8 × 30.9 bits = 247 bits, so a collision costs about 2¹²³ calls.
pub const DIGEST_CELLS: usize = 8;

/// Bytes in an encoded digest.
pub const DIGEST_BYTES: usize = 4 * DIGEST_CELLS;

/// What the hash returns and the tree stores: a raw leaf or an inner node.
pub type Digest = [F; DIGEST_CELLS];

/// The digest of eight zero cells, which is also the default raw leaf.
pub const DIGEST_ZERO: Digest = F::new_array([0; DIGEST_CELLS]);

/// Why bytes or text are not the encoding of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("expected {expected} bytes, got {got}")]
    Length { expected: usize, got: usize },
    #[error("expected a cell below {PRIME}, got {got}")]
    Cell { got: u32 },
    #[error("expected a lower-case hexadecimal digit at byte {position}, got byte {got:#04x}")]
    HexDigit { position: usize, got: u8 },
    #[error("expected an index of at most {max}, got {got}")]
    Index { max: u32, got: u32 },
    #[error("expected a height of at most {max}, got {got}")]
    Height { max: u32, got: u32 },
}

impl From<HexError> for DecodeError {
    fn from(error: HexError) -> Self {
        match error {
            HexError::Length { expected, got } => Self::Length { expected, got },
            HexError::Digit { position, got } => Self::HexDigit { position, got },
        }
    }
}

/// The element of canonical value `value`, or `None` where `value` is not below [`PRIME`].
pub fn cell_from_canonical(value: u32) -> Option<F> {
    F::from_canonical_checked(value)
}

/// The canonical value of `cell`, in `0..PRIME`.
pub fn cell_to_canonical(cell: F) -> u32 {
    cell.as_canonical_u32()
}

/// Encodes a digest: eight little-endian `u32`.
pub fn digest_encode(digest: &Digest) -> [u8; DIGEST_BYTES] {
    let mut bytes = [0; DIGEST_BYTES];
    for (chunk, cell) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(digest) {
        *chunk = cell_to_canonical(*cell).to_le_bytes();
    }
    bytes
}

/// Decodes a digest.
///
/// # Errors
/// [`DecodeError::Cell`] where a cell's value is not below [`PRIME`].
pub fn digest_decode(bytes: &[u8; DIGEST_BYTES]) -> Result<Digest, DecodeError> {
    let mut digest = DIGEST_ZERO;
    for (cell, chunk) in digest.iter_mut().zip(bytes.as_chunks::<4>().0) {
        let value = u32::from_le_bytes(*chunk);
        *cell = cell_from_canonical(value).ok_or(DecodeError::Cell { got: value })?;
    }
    Ok(digest)
}

/// Writes the encoding of a digest as 64 lower-case hexadecimal digits, without a prefix.
pub fn digest_to_hex(digest: &Digest) -> String {
    to_hex(&digest_encode(digest))
}

/// Reads what [`digest_to_hex`] writes, and nothing else: neither upper case nor a prefix.
///
/// # Errors
/// [`DecodeError::Length`] where the text is not 64 bytes, [`DecodeError::HexDigit`] where a byte of it is not a
/// lower-case hexadecimal digit, [`DecodeError::Cell`] where a cell's value is not below [`PRIME`].
pub fn digest_from_hex(text: &str) -> Result<Digest, DecodeError> {
    digest_decode(&from_hex(text)?)
}
