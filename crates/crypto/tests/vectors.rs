//! Golden vectors: the hash, the tree and the encodings never change unnoticed.
//!
//! `vectors/` holds one fact a line, in the order in which [`lines`] computes them. After a reviewed change of a format,
//! `cargo test -p holdfast-crypto --test vectors -- --ignored` writes the file anew.

use std::fmt::Write as _;

use holdfast_crypto::field::{PRIME, digest_to_hex};
use holdfast_crypto::poseidon2::{compress, compress_many};
use holdfast_crypto::tree::{DEPTH, LEAF_INDEX_MAX, Tree};
use holdfast_crypto::{Digest, F};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/crypto.txt");

#[test]
fn vectors_are_unchanged() {
    let expected = std::fs::read_to_string(PATH).expect("the vector file is part of the source");
    for (line, expected) in lines().iter().zip(expected.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines().len(), expected.lines().count());
}

#[test]
#[ignore = "writes the vectors instead of testing against them"]
fn regenerate() {
    std::fs::write(PATH, lines().join("\n") + "\n").expect("the vector file can be written");
}

fn lines() -> Vec<String> {
    let mut lines = vec![];

    let counting = F::new_array([0, 1, 2, 3, 4, 5, 6, 7]);
    let counting_on = F::new_array([8, 9, 10, 11, 12, 13, 14, 15]);
    let zero = Digest::default();
    let last = F::new_array([PRIME - 1; 8]);
    let pairs = [[zero, zero], [counting, counting_on], [counting_on, counting], [zero, last], [last, last]];
    let mut out = [zero; 5];
    compress_many(&pairs, &mut out);
    for ([left, right], out) in pairs.iter().zip(&out) {
        assert_eq!(compress(left, right), *out);
        lines.push(format!("compress {} {} {}", digest_to_hex(left), digest_to_hex(right), digest_to_hex(out)));
    }

    let mut tree = Tree::new();
    for level in 0..=DEPTH {
        lines.push(format!("default {level} {}", digest_to_hex(&tree.node(level, 0))));
    }

    // Three regions, the first and the last leaf, and a second batch that meets the first.
    let batches: [&[u32]; 3] =
        [&[0, 1, 2, 1 << 20, (1 << 20) + 129, LEAF_INDEX_MAX], &[1, 3, 5 << 25, (5 << 25) + 64], &[0, LEAF_INDEX_MAX]];
    for (number, batch) in (1..).zip(batches) {
        let leaves: Vec<(u32, Digest)> = batch.iter().map(|index| (*index, leaf(*index, number))).collect();
        for (index, leaf) in &leaves {
            lines.push(format!("set {index} {}", digest_to_hex(leaf)));
        }
        lines.push(format!("root {}", digest_to_hex(&tree.update(&leaves))));
    }

    lines.push(format!("prove {} {}", 1 << 20, hex(&tree.prove(1 << 20).encode())));
    lines.push(format!("prove_subtree {} {} {}", 1 << 19, 1, hex(&tree.prove_subtree(1 << 19, 1).encode())));
    lines.push(format!("prove_subtree {} {} {}", 0, 2, hex(&tree.prove_subtree(0, 2).encode())));
    lines
}

/// Any cells will do, if they differ.
fn leaf(index: u32, number: u32) -> Digest {
    F::new_array(std::array::from_fn(|cell| (index ^ 0x2545_f491).wrapping_mul(2 * cell as u32 + 2 * number + 1) >> 1))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
        text
    })
}
