//! Encodings: what is written is read back, and nothing else is read.

use holdfast_crypto::field::{
    DIGEST_BYTES, DIGEST_ZERO, DecodeError, PRIME, cell_from_canonical, cell_to_canonical, digest_decode,
    digest_encode, digest_from_hex, digest_to_hex,
};
use holdfast_crypto::tree::{InclusionProof, LEAF_INDEX_MAX, SUBTREE_HEIGHT_MAX, SubtreeProof, Tree};
use holdfast_crypto::{Digest, F};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 0x656e_636f_6465;
const FUZZ_ROUNDS: u32 = 20_000;

#[test]
fn cell_is_canonical_below_the_prime_only() {
    for value in [0, 1, PRIME - 1] {
        assert_eq!(cell_from_canonical(value).map(cell_to_canonical), Some(value));
    }
    for value in [PRIME, PRIME + 1, u32::MAX] {
        assert_eq!(cell_from_canonical(value), None);
    }
}

#[test]
fn digest_is_eight_little_endian_words() {
    let digest = F::new_array([1, 0x0102_0304, 0, PRIME - 1, 5, 6, 7, 8]);
    let hex = concat!("01000000", "04030201", "00000000", "00000078", "05000000", "06000000", "07000000", "08000000");
    assert_eq!(digest_to_hex(&digest), hex);
    assert_eq!(digest_from_hex(hex), Ok(digest));
    assert_eq!(digest_decode(&digest_encode(&digest)), Ok(digest));
}

#[test]
fn digest_with_a_cell_that_is_not_canonical_is_rejected() {
    for position in 0..8 {
        for value in [PRIME, u32::MAX] {
            let mut bytes = [0; DIGEST_BYTES];
            bytes[4 * position..][..4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(digest_decode(&bytes), Err(DecodeError::Cell { got: value }));
        }
    }
}

#[test]
fn hex_that_is_not_canonical_is_rejected() {
    let hex = digest_to_hex(&F::new_array([0xab; 8]));
    let check = |text: &str, expected| assert_eq!(digest_from_hex(text), Err(expected), "{text}");
    check("", DecodeError::Length { expected: 64, got: 0 });
    check(&hex[1..], DecodeError::Length { expected: 64, got: 63 });
    check(&format!("0x{hex}"), DecodeError::Length { expected: 64, got: 66 });
    check(&format!("0x{}", &hex[2..]), DecodeError::HexDigit { position: 1, got: b'x' });
    check(&hex.to_uppercase(), DecodeError::HexDigit { position: 0, got: b'A' });
    check(&format!("{}é", &hex[2..]), DecodeError::HexDigit { position: 62, got: 0xc3 });
    check(&"f".repeat(64), DecodeError::Cell { got: u32::MAX });
}

#[test]
fn proofs_that_are_not_canonical_are_rejected() {
    let tree = Tree::new();
    let valid = tree.prove(3).encode();
    assert_eq!(valid.len(), InclusionProof::BYTES);

    let check = |bytes: &[u8], expected| assert_eq!(InclusionProof::decode(bytes), Err(expected));
    check(&[], DecodeError::Length { expected: 932, got: 0 });
    check(&valid[1..], DecodeError::Length { expected: 932, got: 931 });
    check(&[valid.as_slice(), &[0]].concat(), DecodeError::Length { expected: 932, got: 933 });
    check(&patched(&valid, 0, LEAF_INDEX_MAX + 1), DecodeError::Index { max: LEAF_INDEX_MAX, got: LEAF_INDEX_MAX + 1 });
    check(&patched(&valid, 4, PRIME), DecodeError::Cell { got: PRIME });
    check(&patched(&valid, 928, PRIME), DecodeError::Cell { got: PRIME });

    let valid = tree.prove_subtree(3, 2).encode();
    assert_eq!(valid.len(), 5 + 32 * (4 + 26));
    let check = |bytes: &[u8], expected| assert_eq!(SubtreeProof::decode(bytes), Err(expected));
    check(&[], DecodeError::Length { expected: 5 + 32 * (1 + 28), got: 0 });
    check(&valid[..1], DecodeError::Length { expected: 5 + 32 * (4 + 26), got: 1 });
    check(&valid[..964], DecodeError::Length { expected: 965, got: 964 });
    check(&[9], DecodeError::Height { max: SUBTREE_HEIGHT_MAX, got: 9 });
    check(&[255; 965], DecodeError::Height { max: SUBTREE_HEIGHT_MAX, got: 255 });
    check(&patched(&valid, 1, 1 << 26), DecodeError::Index { max: (1 << 26) - 1, got: 1 << 26 });
    check(&patched(&valid, 5, PRIME), DecodeError::Cell { got: PRIME });
    check(&patched(&valid, 961, PRIME), DecodeError::Cell { got: PRIME });
}

#[test]
fn decoding_any_bytes_neither_panics_nor_accepts_a_second_encoding() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut tree = Tree::new();
    let leaves: Vec<(u32, Digest)> = (0..64).map(|leaf| (1000 + 3 * leaf, rng.random())).collect();
    let root = tree.update(&leaves);

    let mut accepted = 0;
    for _ in 0..FUZZ_ROUNDS {
        let mut bytes = match rng.random_range(0..4) {
            0 => tree.prove(rng.random_range(0..=LEAF_INDEX_MAX)).encode(),
            1 => {
                let height = rng.random_range(0..=SUBTREE_HEIGHT_MAX);
                tree.prove_subtree(rng.random_range(0..=LEAF_INDEX_MAX >> height), height).encode()
            }
            2 => (0..rng.random_range(0..2 * InclusionProof::BYTES)).map(|_| rng.random()).collect(),
            _ => vec![rng.random_range(0..4); rng.random_range(0..2 * InclusionProof::BYTES)],
        };
        for _ in 0..rng.random_range(0..3) {
            mutate(&mut bytes, &mut rng);
        }

        if let Ok(proof) = InclusionProof::decode(&bytes) {
            assert_eq!(proof.encode(), bytes);
            let holds = proof.verify(&root);
            assert_eq!(holds, proof == tree.prove(proof.index()));
            accepted += 1;
        }
        if let Ok(proof) = SubtreeProof::decode(&bytes) {
            assert_eq!(proof.encode(), bytes);
            let holds = proof.verify(&root);
            assert_eq!(holds, proof == tree.prove_subtree(proof.index(), proof.height()));
            accepted += 1;
        }
        if let Some(bytes) = bytes.first_chunk() {
            assert!(
                digest_decode(bytes).is_err() || digest_encode(&digest_decode(bytes).unwrap_or(DIGEST_ZERO)) == *bytes
            );
        }
        let _ = digest_from_hex(&String::from_utf8_lossy(&bytes));
    }
    assert!(accepted > FUZZ_ROUNDS / 8, "the fuzzer must reach what it is for: {accepted}");
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    let position = rng.random_range(0..bytes.len());
    match rng.random_range(0..6) {
        0 => bytes[position] ^= 1 << rng.random_range(0..8),
        1 => bytes[position] = rng.random(),
        2 => bytes.truncate(position),
        3 => bytes.insert(position, rng.random()),
        4 => bytes[..5.min(position)].fill(rng.random()),
        _ => drop(bytes.remove(position)),
    }
}

fn patched(bytes: &[u8], position: usize, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[position..][..4].copy_from_slice(&value.to_le_bytes());
    bytes
}
