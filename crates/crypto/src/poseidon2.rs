//! The two-to-one compression.
//!
//! `compress(left, right) = P(left ‖ right)[0..8] + left`, where P is the Poseidon2 permutation of width 16 over
//! BabyBear (S-box x⁷, 4 + 13 + 4 rounds) with the round constants of Horizen Labs and the matrices of Plonky3: exactly
//! `p3_baby_bear::default_babybear_poseidon2_16`, the one that `openvm-stark-sdk` proves with.
//! <https://eprint.iacr.org/2023/323> defines Poseidon2, and proposes this feed-forward for compression.
//!
//! # Why the feed-forward
//!
//! Truncation alone, `P(left ‖ right)[0..8]`, is what most STARK code uses, and it is sound only where every input is
//! itself the output of a hash. P is a permutation that anyone can run backwards: for any node `n` and any eight cells
//! `x`, `P⁻¹(n ‖ x)` is a pair that truncates to `n`, so collisions are free. Our leaves are *raw*: the cells under a
//! level-1 node are the state itself, and an owner of that shortcut could open a committed slot as almost any other one.
//! With the feed-forward the output depends on the input after the permutation too, running P backwards no longer lands
//! on a chosen output, and in the ideal-permutation model a collision costs about 2¹²³ calls. In a circuit it is one
//! addition to each output cell, of degree one, and no column. The tests hold both facts: they build the collision
//! against truncation and show that it fails here.
//!
//! # Many at once
//!
//! [`compress_many`] lays [`LANES`] pairs side by side in packed field elements: 16 with AVX-512, 8 with AVX2, 4 with
//! NEON, else 1. The instruction set is that of compilation (`-C target-cpu`). The result is the same on all.

use std::array;
use std::sync::LazyLock;

use p3_baby_bear::{Poseidon2BabyBear, default_babybear_poseidon2_16};
use p3_field::{PackedValue, PrimeCharacteristicRing};
use p3_symmetric::Permutation;

use crate::field::{DIGEST_CELLS, DIGEST_ZERO, Digest, F};
use crate::lanes::{self, Packed, columns_of_rows, transposed};

/// Cells in the permutation's state: two digests.
pub const WIDTH: usize = 2 * DIGEST_CELLS;

/// Pairs that [`compress_many`] hashes side by side on the instruction set it was compiled for.
pub const LANES: usize = lanes::LANES;
const _: () = assert!(WIDTH == lanes::ROW_CELLS);

static PERMUTATION: LazyLock<Poseidon2BabyBear<WIDTH>> = LazyLock::new(default_babybear_poseidon2_16);

/// Hashes two digests, or two raw leaves, into one.
pub fn compress(left: &Digest, right: &Digest) -> Digest {
    let mut state = [F::ZERO; WIDTH];
    state[..DIGEST_CELLS].copy_from_slice(left);
    state[DIGEST_CELLS..].copy_from_slice(right);
    PERMUTATION.permute_mut(&mut state);
    array::from_fn(|cell| state[cell] + left[cell])
}

/// Sets `out[i]` to `compress(&pairs[i][0], &pairs[i][1])` for every i.
///
/// # Panics
/// Where the two slices differ in length.
pub fn compress_many(pairs: &[[Digest; 2]], out: &mut [Digest]) {
    assert_eq!(pairs.len(), out.len());
    let permutation = &*PERMUTATION;

    let (pairs_full, pairs_rest) = pairs.as_chunks::<LANES>();
    let (out_full, out_rest) = out.as_chunks_mut::<LANES>();
    for (pairs, out) in pairs_full.iter().zip(out_full) {
        *out = compress_lanes(permutation, pairs);
    }

    if pairs_rest.len() == 1 {
        // A vector permutation costs more than a scalar one, but less than two.
        out_rest[0] = compress(&pairs_rest[0][0], &pairs_rest[0][1]);
    } else if pairs_rest.len() > 1 {
        let mut pairs = [[DIGEST_ZERO; 2]; LANES];
        pairs[..pairs_rest.len()].copy_from_slice(pairs_rest);
        out_rest.copy_from_slice(&compress_lanes(permutation, &pairs)[..pairs_rest.len()]);
    }
}

fn compress_lanes(permutation: &Poseidon2BabyBear<WIDTH>, pairs: &[[Digest; 2]; LANES]) -> [Digest; LANES] {
    // Lane l of state[c] is cell c of pair l.
    let mut state =
        columns_of_rows(&array::from_fn(|lane| pairs[lane].as_flattened().try_into().expect("two digests are a row")));

    let left: [Packed; DIGEST_CELLS] = array::from_fn(|cell| state[cell]);
    permutation.permute_mut(&mut state);
    for (cell, left) in left.into_iter().enumerate() {
        state[cell] += left;
    }

    // The way back, of the first eight cells only. Where a vector is wider than a digest, its other cells are dropped.
    let mut digests = [DIGEST_ZERO; LANES];
    let cells_per_block = LANES.min(DIGEST_CELLS);
    for block in 0..DIGEST_CELLS / cells_per_block {
        let columns = array::from_fn(|row| state[block * cells_per_block + row]);
        for (digest, row) in digests.iter_mut().zip(transposed(columns)) {
            digest[block * cells_per_block..][..cells_per_block].copy_from_slice(&row.as_slice()[..cells_per_block]);
        }
    }
    digests
}
