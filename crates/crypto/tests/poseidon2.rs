//! The compression against its definition, and the reason for its feed-forward.

mod reference;

use holdfast_crypto::poseidon2::{LANES, compress, compress_many};
use holdfast_crypto::{Digest, F};
use p3_baby_bear::default_babybear_poseidon2_16;
use p3_symmetric::Permutation;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use reference::{Cells, P, Poseidon2, State, cells, digest, joined};

const SEED: u64 = 0x706f_7365_6964_6f6e;

#[test]
fn reference_permutation_is_that_of_plonky3() {
    let (poseidon2, mut rng) = (Poseidon2::new(), ChaCha8Rng::seed_from_u64(SEED));
    for _ in 0..64 {
        let state: [F; 16] = rng.random();
        let integers: State = joined(&cells(state[..8].try_into().unwrap()), &cells(state[8..].try_into().unwrap()));
        let permuted = default_babybear_poseidon2_16().permute(state);
        let expected = poseidon2.permuted(integers);
        assert_eq!(cells(permuted[..8].try_into().unwrap()), expected[..8]);
        assert_eq!(cells(permuted[8..].try_into().unwrap()), expected[8..]);
        assert_eq!(poseidon2.unpermuted(expected), integers);
    }
}

#[test]
fn compress_equals_its_definition() {
    let (poseidon2, mut rng) = (Poseidon2::new(), ChaCha8Rng::seed_from_u64(SEED));
    for _ in 0..64 {
        let (left, right): (Digest, Digest) = rng.random();
        assert_eq!(cells(&compress(&left, &right)), poseidon2.compress(&cells(&left), &cells(&right)));
    }
    let (zero, last) = ([0; 8], [P - 1; 8]);
    for (left, right) in [(zero, zero), (zero, last), (last, zero), (last, last)] {
        assert_eq!(cells(&compress(&digest(&left), &digest(&right))), poseidon2.compress(&left, &right));
    }
}

#[test]
fn compress_many_equals_compress_at_every_length() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for length in 0..=3 * LANES + 1 {
        let pairs: Vec<[Digest; 2]> = (0..length).map(|_| [rng.random(), rng.random()]).collect();
        let mut out = vec![Digest::default(); length];
        compress_many(&pairs, &mut out);
        let expected: Vec<Digest> = pairs.iter().map(|[left, right]| compress(left, right)).collect();
        assert_eq!(out, expected, "{length} pairs, {LANES} lanes");
    }
}

#[test]
#[should_panic(expected = "assertion")]
fn compress_many_into_a_slice_of_another_length_panics() {
    compress_many(&[[Digest::default(); 2]; 2], &mut [Digest::default(); 1]);
}

/// Running the permutation backwards from a node opens it as other raw leaves, if compression is truncation alone.
#[test]
fn collision_of_the_truncated_permutation_fails_against_compress() {
    let (poseidon2, mut rng) = (Poseidon2::new(), ChaCha8Rng::seed_from_u64(SEED));
    let (left, right): (Digest, Digest) = rng.random();
    let (left, right) = (cells(&left), cells(&right));
    let truncated = |left: &Cells, right: &Cells| -> Cells {
        poseidon2.permuted(joined(left, right))[..8].try_into().expect("eight of sixteen cells")
    };

    let node = truncated(&left, &right);
    let chosen = [7; 8];
    let forged = poseidon2.unpermuted(joined(&node, &chosen));
    let forged_left: Cells = forged[..8].try_into().unwrap();
    let forged_right: Cells = forged[8..].try_into().unwrap();

    assert_ne!((forged_left, forged_right), (left, right));
    assert_eq!(truncated(&forged_left, &forged_right), node);
    assert_ne!(compress(&digest(&forged_left), &digest(&forged_right)), compress(&digest(&left), &digest(&right)),);
}
