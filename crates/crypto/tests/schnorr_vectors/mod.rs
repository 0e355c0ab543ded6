//! The vectors that `schnorr_reference.py` writes, and compares with what is committed:
//! `python3 crates/crypto/tests/schnorr_reference.py --check`.

#![allow(dead_code, reason = "each test file reads its part")]

use std::sync::LazyLock;

use holdfast_crypto::curve::Affine;
use holdfast_crypto::septic::{DEGREE, Septic};
use serde::Deserialize;

pub static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../vectors/schnorr.json")).expect("the file that the reference writes")
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    pub septic: Vec<SepticVector>,
    pub constants: Constants,
    pub multiples: Vec<MultipleVector>,
    pub signatures: Vec<SignatureVector>,
    pub forged: Vec<ForgedVector>,
    pub rejected_points: Vec<RejectedPointVector>,
    pub rejected_scalars: Vec<RejectedScalarVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SepticVector {
    pub a: Hex,
    pub b: Hex,
    pub product: Hex,
    pub inverse: Hex,
    pub root: Option<Hex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    pub order: Hex,
    pub generator: Coordinates,
    pub ladder_start: Coordinates,
    pub ladder_offset: Coordinates,
    pub ladder_end: Coordinates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    pub x: Hex,
    pub y: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultipleVector {
    pub scalar: Hex,
    pub point: Hex,
    pub x: Hex,
    pub y: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureVector {
    pub seed: Hex,
    pub public_key: String,
    pub message: String,
    pub challenge: [String; 4],
    pub challenge_scalar: Hex,
    pub signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgedVector {
    pub what: String,
    pub public_key: String,
    pub message: String,
    pub signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedPointVector {
    pub what: String,
    pub bytes: Hex,
    pub error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedScalarVector {
    pub what: String,
    pub bytes: Hex,
}

/// Bytes as hexadecimal digits.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Hex(String);

impl Hex {
    pub fn bytes<const BYTES: usize>(&self) -> [u8; BYTES] {
        assert_eq!(self.0.len(), 2 * BYTES);
        std::array::from_fn(|i| u8::from_str_radix(&self.0[2 * i..2 * i + 2], 16).expect("hexadecimal digits"))
    }

    /// Seven coefficients, each a little-endian word.
    pub fn septic(&self) -> Septic {
        let bytes: [u8; 4 * DEGREE] = self.bytes();
        let (words, _) = bytes.as_chunks::<4>();
        Septic::new(std::array::from_fn(|i| u32::from_le_bytes(words[i])))
    }
}

impl Coordinates {
    pub fn point(&self) -> Affine {
        Affine::new(self.x.septic(), self.y.septic()).expect("a point on the curve")
    }
}
