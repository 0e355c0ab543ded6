//! The round constants of Poseidon2 over BabyBear, under the names by which `openvm-poseidon2-air` 2.0 asks for them.
//!
//! The crate that this one stands in for brings some ninety crates along, one of them (`halo2` 0.1.0-beta.2) under a
//! licence that Holdfast cannot take, all for one table of 21 rows of 16 numbers. Plonky3 has the same table, and the
//! proof system itself takes it from there; OpenVM tests that the two are equal. Should they ever differ, every proof that
//! the recursion makes is refused by the verifier, which hashes with Plonky3's.

pub mod ark_ff {
    /// A field element's integer, in limbs, least significant first.
    pub struct BigInt(pub [u64; 1]);

    /// What is asked of a prime field.
    pub trait PrimeField {
        fn into_bigint(self) -> BigInt;
    }
}

pub mod fields {
    pub mod babybear {
        use crate::ark_ff::{BigInt, PrimeField};

        /// An element of BabyBear, in canonical form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct FpBabyBear(pub(crate) u32);

        impl PrimeField for FpBabyBear {
            fn into_bigint(self) -> BigInt {
                BigInt([u64::from(self.0)])
            }
        }
    }
}

pub mod poseidon2 {
    pub mod poseidon2_instance_babybear {
        use std::sync::LazyLock;

        use p3_baby_bear::{
            BABYBEAR_RC16_EXTERNAL_FINAL, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL, BabyBear,
        };
        use p3_field::{PrimeCharacteristicRing, PrimeField32};

        use crate::fields::babybear::FpBabyBear;

        /// Constants of the 21 rounds at width 16: four full rounds, thirteen partial ones (a constant on the first cell),
        /// four full rounds.
        pub static RC16: LazyLock<Vec<Vec<FpBabyBear>>> = LazyLock::new(|| {
            let partial = BABYBEAR_RC16_INTERNAL.map(|first| {
                let mut row = [BabyBear::ZERO; 16];
                row[0] = first;
                row
            });
            BABYBEAR_RC16_EXTERNAL_INITIAL
                .iter()
                .chain(&partial)
                .chain(&BABYBEAR_RC16_EXTERNAL_FINAL)
                .map(|row| row.iter().map(|cell| FpBabyBear(cell.as_canonical_u32())).collect())
                .collect()
        });
    }
}
