//! Cryptography that knows no exchange: the field, the hash and the tree that every other part agrees on.
//!
//! - [`field`]: the BabyBear field [`F`], the [`Digest`] of eight cells and its one canonical encoding.
//! - [`poseidon2`]: the two-to-one compression, one pair at a time or many side by side in vector registers.
//! - [`septic`], [`curve`], [`scalar`]: the extension field of degree 7, the curve over it, and its group's order.
//! - [`schnorr`]: the signatures on that curve with which users authorise what they do.
//! - [`tree`]: the sparse Merkle tree of fixed depth whose root is the state root.
//!
//! The crate is deterministic: no I/O, clock, randomness, float or hash map. Threads only divide work whose result does
//! not depend on how it is divided.

pub mod curve;
pub mod field;
pub mod hex;
mod lanes;
mod multiples;
pub mod poseidon2;
pub mod scalar;
pub mod schnorr;
pub mod septic;
pub mod tree;

pub use field::{Digest, F};
