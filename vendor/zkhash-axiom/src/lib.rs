//! The round constants of Poseidon2 that OpenVM reads, under the names by which it asks for them: over BabyBear at width 16
//! (`openvm-poseidon2-air` 2.0), and over the scalar field of BN254 at width 3 (`openvm-stark-sdk` 2.0, for Holdfast's
//! feature `compact` alone).
//!
//! The crate that this one stands in for brings some ninety crates along, one of them (`halo2` 0.1.0-beta.2) under a
//! licence that Holdfast cannot take, all for two tables of numbers. Plonky3 has the first, and the proof system itself takes
//! it from there; OpenVM tests that the two are equal. Should they ever differ, every proof that the recursion makes is
//! refused by the verifier, which hashes with Plonky3's. The second is copied from that crate; Holdfast's prover tests the
//! permutation against the known answer of its authors.

mod bn256;

pub mod ark_ff {
    /// A field element's integer, in limbs, least significant first.
    pub struct BigInt<const LIMBS: usize>(pub [u64; LIMBS]);

    /// What is asked of a prime field.
    pub trait PrimeField {
        type BigInt;

        fn into_bigint(self) -> Self::BigInt;
    }
}

pub mod fields {
    pub mod babybear {
        use crate::ark_ff::{BigInt, PrimeField};

        /// An element of BabyBear, in canonical form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct FpBabyBear(pub(crate) u32);

        impl PrimeField for FpBabyBear {
            type BigInt = BigInt<1>;

            fn into_bigint(self) -> BigInt<1> {
                BigInt([u64::from(self.0)])
            }
        }
    }

    pub mod bn256 {
        use crate::ark_ff::{BigInt, PrimeField};

        /// An element of the scalar field of BN254, in canonical form: limbs, least significant first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct FpBN256(pub(crate) [u64; 4]);

        impl FpBN256 {
            /// From 64 hexadecimal digits, the most significant first. They are this crate's own: others are a panic.
            pub(crate) fn from_hex(digits: &str) -> Self {
                let limb =
                    |at: usize| u64::from_str_radix(&digits[16 * at..16 * at + 16], 16).expect("hexadecimal digits");
                Self([limb(3), limb(2), limb(1), limb(0)])
            }
        }

        impl PrimeField for FpBN256 {
            type BigInt = BigInt<4>;

            fn into_bigint(self) -> BigInt<4> {
                BigInt(self.0)
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

    pub mod poseidon2_instance_bn256 {
        use std::sync::LazyLock;

        use crate::{
            bn256::{EXTERNAL_FINAL, EXTERNAL_INITIAL, INTERNAL},
            fields::bn256::FpBN256,
        };

        /// Constants of the 64 rounds at width 3: four full rounds, 56 partial ones (a constant on the first cell), four
        /// full rounds.
        pub static RC3: LazyLock<Vec<Vec<FpBN256>>> = LazyLock::new(|| {
            let full = |row: &[&str; 3]| row.map(FpBN256::from_hex).to_vec();
            let partial = |first: &&str| vec![FpBN256::from_hex(first), FpBN256([0; 4]), FpBN256([0; 4])];
            let (initial, last) = (EXTERNAL_INITIAL.iter().map(full), EXTERNAL_FINAL.iter().map(full));
            initial.chain(INTERNAL.iter().map(partial)).chain(last).collect()
        });
    }
}
