//! Inverses for the hints of zero tests.

use std::sync::OnceLock;

use holdfast_crypto::F;
use openvm_stark_backend::p3_field::{Field, PrimeCharacteristicRing, PrimeField32};

const SMALL: usize = 1 << 12;

fn small_inverses() -> &'static [u32; SMALL] {
    static TABLE: OnceLock<Box<[u32; SMALL]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Box::new([0; SMALL]);
        for (value, inverse) in table.iter_mut().enumerate().skip(1) {
            *inverse = F::from_u32(value as u32).inverse().as_canonical_u32();
        }
        table
    })
}

/// The inverse of an integer below the modulus in absolute value, as a canonical integer; 0 for 0.
pub fn inverse(value: i64) -> i64 {
    let magnitude = value.unsigned_abs() as usize;
    let inverse = match small_inverses().get(magnitude) {
        Some(&inverse) => inverse,
        None => F::from_u32(magnitude as u32).inverse().as_canonical_u32(),
    };
    if value < 0 { crate::cells::MODULUS - i64::from(inverse) } else { i64::from(inverse) }
}
