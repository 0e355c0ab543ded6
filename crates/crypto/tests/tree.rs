//! The tree against its definition, at every step.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use holdfast_crypto::poseidon2::compress;
use holdfast_crypto::tree::{DEPTH, InclusionProof, LEAF_INDEX_MAX, SUBTREE_HEIGHT_MAX, SubtreeProof, Tree};
use holdfast_crypto::{Digest, F};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use reference::{NaiveTree, Poseidon2, cells, digest};

static POSEIDON2: LazyLock<Poseidon2> = LazyLock::new(Poseidon2::new);

const SEED: u64 = 0x7472_6565;

/// Regions of leaves, far apart; batches cluster in them and so meet again.
const REGIONS: [u32; 4] = [0, 1 << 20, 5 << 25, LEAF_INDEX_MAX - 199];

type Batch = BTreeMap<u32, Digest>;

fn index() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => (prop::sample::select(&REGIONS[..]), 0..200_u32).prop_map(|(start, offset)| start + offset),
        1 => 0..=LEAF_INDEX_MAX,
    ]
}

fn leaf() -> impl Strategy<Value = Digest> {
    prop_oneof![
        1 => Just(Digest::default()),
        9 => any::<[u32; 8]>().prop_map(F::new_array),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    prop::collection::btree_map(index(), leaf(), 0..24)
}

fn listed(batch: &Batch) -> Vec<(u32, Digest)> {
    batch.iter().map(|(index, leaf)| (*index, *leaf)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_batch_gives_the_root_and_the_nodes_of_the_definition(
        batches in prop::collection::vec(batch(), 1..4),
        probes in prop::collection::vec((0..=DEPTH, index()), 8),
    ) {
        let (mut tree, mut naive) = (Tree::new(), NaiveTree::new(&POSEIDON2));
        for batch in &batches {
            naive.leaves.extend(batch.iter().map(|(index, leaf)| (*index, cells(leaf))));
            let root = tree.update(&listed(batch));
            prop_assert_eq!(root, digest(&naive.root()));
            prop_assert_eq!(tree.root(), root);
            for (level, index) in &probes {
                prop_assert_eq!(cells(&tree.node(*level, index >> level)), naive.node(*level, index >> level));
            }
            for index in batch.keys() {
                for level in 0..=DEPTH {
                    prop_assert_eq!(cells(&tree.node(level, index >> level)), naive.node(level, index >> level));
                }
            }
        }
    }

    #[test]
    fn trace_lists_each_touched_node_once_with_its_old_and_new_values(first in batch(), second in batch()) {
        let mut tree = Tree::new();
        let _root = tree.update(&listed(&first));
        let before = tree.clone();
        let trace = tree.update_traced(&listed(&second));

        let mut after = before.clone();
        let _root = after.update(&listed(&second));
        prop_assert_eq!(tree.root(), after.root());

        // Level order, bottom-up: the set is ordered by (level, index).
        let touched: BTreeSet<(u32, u32)> =
            (0..=DEPTH).flat_map(|level| second.keys().map(move |index| (level, index >> level))).collect();
        let positions: Vec<(u32, u32)> = trace.iter().map(|node| (node.level, node.index)).collect();
        let expected: Vec<(u32, u32)> = touched.iter().copied().filter(|(level, _)| *level > 0).collect();
        prop_assert_eq!(positions, expected);

        for node in trace {
            let (left, right) = ((node.level - 1, 2 * node.index), (node.level - 1, 2 * node.index + 1));
            prop_assert_eq!(node.left_touched, touched.contains(&left));
            prop_assert_eq!(node.right_touched, touched.contains(&right));
            prop_assert_eq!(node.old_left, before.node(left.0, left.1));
            prop_assert_eq!(node.old_right, before.node(right.0, right.1));
            prop_assert_eq!(node.new_left, after.node(left.0, left.1));
            prop_assert_eq!(node.new_right, after.node(right.0, right.1));
            prop_assert_eq!(node.old_out, before.node(node.level, node.index));
            prop_assert_eq!(node.new_out, after.node(node.level, node.index));
            prop_assert_eq!(node.old_out, compress(&node.old_left, &node.old_right));
            prop_assert_eq!(node.new_out, compress(&node.new_left, &node.new_right));
            prop_assert!(node.left_touched || node.old_left == node.new_left);
            prop_assert!(node.right_touched || node.old_right == node.new_right);
        }
    }

    #[test]
    fn proof_holds_in_its_tree_and_no_other(batch in batch(), index in index(), value in leaf()) {
        let mut tree = Tree::new();
        let root = tree.update(&listed(&batch));
        let proof = tree.prove(index);
        prop_assert_eq!(proof.index(), index);
        prop_assert_eq!(*proof.leaf(), batch.get(&index).copied().unwrap_or_default());
        prop_assert_eq!(proof.root(), root);
        prop_assert!(proof.verify(&root));
        prop_assert_eq!(InclusionProof::decode(&proof.encode()), Ok(proof.clone()));

        let root_changed = tree.update(&[(index, value)]);
        prop_assert_eq!(proof.verify(&root_changed), value == *proof.leaf());
    }

    #[test]
    fn subtree_proof_holds_in_its_tree_and_no_other(
        batch in batch(), index in index(), height in 0..=SUBTREE_HEIGHT_MAX, value in leaf(),
    ) {
        let mut tree = Tree::new();
        let root = tree.update(&listed(&batch));
        let proof = tree.prove_subtree(index >> height, height);
        prop_assert_eq!((proof.index(), proof.height()), (index >> height, height));
        let first = index >> height << height;
        let expected: Vec<Digest> =
            (first..first + (1 << height)).map(|leaf| batch.get(&leaf).copied().unwrap_or_default()).collect();
        prop_assert_eq!(proof.leaves(), &expected);
        prop_assert_eq!(proof.root(), root);
        prop_assert!(proof.verify(&root));
        prop_assert_eq!(SubtreeProof::decode(&proof.encode()), Ok(proof.clone()));

        let old = tree.node(0, index);
        let root_changed = tree.update(&[(index, value)]);
        prop_assert_eq!(proof.verify(&root_changed), value == old);
    }

    #[test]
    fn snapshot_keeps_its_leaves_while_the_tree_changes(first in batch(), second in batch()) {
        let (mut tree, mut untouched) = (Tree::new(), Tree::new());
        let root = tree.update(&listed(&first));
        let _root = untouched.update(&listed(&first));
        let snapshot = tree.clone();
        let _root = tree.update(&listed(&second));
        prop_assert_eq!(snapshot.root(), root);
        for index in first.keys().chain(second.keys()) {
            for level in 0..DEPTH {
                prop_assert_eq!(snapshot.node(level, index >> level), untouched.node(level, index >> level));
            }
        }
    }
}

#[test]
fn any_bit_of_an_encoded_proof_matters() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut tree = Tree::new();
    let leaves: Vec<(u32, Digest)> = (40..60).map(|leaf| (leaf, rng.random())).collect();
    let root = tree.update(&leaves);
    let bytes = tree.prove(47).encode();
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!InclusionProof::decode(&bytes).is_ok_and(|proof| proof.verify(&root)), "bit {bit}");
    }
}

#[test]
fn large_batch_gives_the_same_tree_however_it_is_divided() {
    println!("seed {SEED}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let indices: BTreeSet<u32> = (0..20_000)
        .map(|i| if i % 2 == 0 { rng.random_range(0..1 << 15) } else { rng.random_range(0..=LEAF_INDEX_MAX) })
        .collect();
    let leaves: Vec<(u32, Digest)> = indices.into_iter().map(|index| (index, rng.random())).collect();

    let root_with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| Tree::new().update(&leaves))
    };
    let root = root_with_threads(1);
    assert_eq!(root_with_threads(4), root);

    let mut tree = Tree::new();
    for leaves in leaves.rchunks(777) {
        let _root = tree.update(leaves);
    }
    assert_eq!(tree.root(), root);
    for (index, leaf) in &leaves {
        assert_eq!(tree.node(0, *index), *leaf);
    }
}

#[test]
fn leaves_set_back_to_zero_give_the_empty_tree() {
    let empty = Tree::new();
    let mut tree = Tree::new();
    assert_eq!(tree.update(&[]), empty.root());
    assert!(tree.update_traced(&[]).is_empty());
    let leaves = [0, 1, 77, LEAF_INDEX_MAX].map(|index| (index, F::new_array([index + 1; 8])));
    assert_ne!(tree.update(&leaves), empty.root());
    assert_eq!(tree.update(&leaves.map(|(index, _)| (index, Digest::default()))), empty.root());
}

#[test]
fn malformed_batch_panics_and_leaves_the_tree_as_it_was() {
    let leaf = F::new_array([9; 8]);
    let mut tree = Tree::new();
    let root = tree.update(&[(5, leaf)]);
    for indices in [[4, 3], [3, 3], [0, LEAF_INDEX_MAX + 1], [0, u32::MAX]] {
        let leaves = indices.map(|index| (index, leaf));
        assert!(catch_unwind(AssertUnwindSafe(|| tree.update(&leaves))).is_err(), "{indices:?}");
        assert!(catch_unwind(AssertUnwindSafe(|| tree.update_traced(&leaves))).is_err(), "{indices:?}");
        assert_eq!(tree.root(), root);
        assert_eq!(tree.node(0, 5), leaf);
        assert_eq!(tree.node(0, 3), Digest::default());
    }
}

#[test]
fn node_that_does_not_exist_panics() {
    let tree = Tree::new();
    for (level, index) in [(0, LEAF_INDEX_MAX + 1), (1, 1 << 27), (DEPTH, 1), (DEPTH + 1, 0), (u32::MAX, 0)] {
        assert!(catch_unwind(|| tree.node(level, index)).is_err(), "{level} {index}");
    }
    assert!(catch_unwind(|| tree.prove(LEAF_INDEX_MAX + 1)).is_err());
    assert!(catch_unwind(|| tree.prove_subtree(0, SUBTREE_HEIGHT_MAX + 1)).is_err());
    assert!(catch_unwind(|| tree.prove_subtree(1 << 26, 2)).is_err());
}
