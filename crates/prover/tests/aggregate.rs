//! The tables that join proofs: every cell of them says something, nothing is joined that does not meet, and any way of joining says the same in the end.
//!
//! No proof is made here. The tables are checked exactly: by their constraints, and by their messages against what the circuit that verifies sends of the
//! proofs below (`aggregate/checker.rs`). Keys are made up (`aggregate/world.rs`).

#[path = "aggregate/checker.rs"]
mod checker;
#[path = "aggregate/world.rs"]
mod world;

use std::collections::BTreeSet;

use checker::{Child, Refusal, VERIFIER, buses, circuit_tables, sent};
use holdfast_circuit::{
    air::Table,
    last::{LastPublic, public::offset as last_offset},
    public::{PublicValues, offset as segment},
};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_ZERO, cell_to_canonical, digest_to_hex},
    poseidon2::compress,
};
use holdfast_protocol::cells::digest_start;
use holdfast_prover::aggregate::{
    AggregateError, fill_leaf, fill_node, fill_wrap,
    public::{KeyCells, NodePublic, Point, node, point},
    tables::{CONSTRAINTS_TABLE, TABLE, leaf_column, node_column, wrap_column},
};
use openvm_stark_backend::{
    p3_field::{Field, PrimeCharacteristicRing},
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use world::{
    Case, FIRST, FOREIGN, LEAF, Layer, NODE, NODE_IN_WRAP, SEGMENT, WRAP, cells, chain, could_be_honest, data_before,
    last, leaf, leaves, over, random_cell, rows, spliced, stacked, wrap,
};

const SEED: u64 = 1;

fn dice() -> ChaCha8Rng {
    println!("seed {SEED}");
    ChaCha8Rng::seed_from_u64(SEED)
}

/// Honest tables of every layer, with one row, with two, and with three and one of padding.
fn cases(dice: &mut ChaCha8Rng) -> Vec<Case> {
    // Three batches, of three, one and two segments, and two segments of a fourth.
    let chain = chain(dice, 7, &[3, 1, 2], 2);
    let mut cases = Vec::new();
    // Leaves that close no batch, one at the end, one at the beginning, several.
    for sizes in [&[1; 8][..], &[2; 4], &[3, 3, 2], &[1, 2, 3, 2]] {
        cases.extend(leaves(&chain, sizes));
    }
    let leaves = leaves(&chain, &[1, 1, 1, 1, 2]);
    let firsts: Vec<Case> = [&leaves[..1], &leaves[1..3], &leaves[3..], &leaves[..3]].map(over).into();
    let nodes: Vec<Case> = [&firsts[..1], &firsts[1..3], &firsts[..3], &firsts[2..3]].map(over).into();
    // Over nodes: over one, two, three.
    let tops: Vec<Case> = [&nodes[2..3], &[nodes[0].clone(), nodes[1].clone()]].map(over).into();
    let thirds: Vec<Case> = firsts[..3].iter().map(|first| over(std::slice::from_ref(first))).collect();
    cases.extend([over(&thirds), over(&[tops[0].clone()])]);
    cases.extend([firsts, nodes, tops].concat());
    // Wraps of a chain that begins at the seventh batch, over a node over first nodes, and over one over nodes.
    let mut whole: Vec<Case> = cases.iter().filter(|case| is_whole(case)).map(wrap).collect();
    assert!(whole.len() >= 2, "there are nodes over whole batches");
    whole.extend(whole.clone().iter().map(last));
    cases.extend(whole);
    cases
}

/// Whether a node covers whole batches from the beginning.
fn is_whole(case: &Case) -> bool {
    case.layer == Layer::Node && fill_wrap(&case.says()).is_ok()
}

/// What a cell is changed to: near, fixed, and what stands beside it and above it.
fn changes(trace: &RowMajorMatrix<F>, row: usize, column: usize, dice: &mut ChaCha8Rng) -> Vec<F> {
    let at = |row: usize, column: usize| trace.values[row * trace.width() + column];
    let (width, height) = (trace.width(), trace.height());
    let honest = at(row, column);
    let candidates = [
        honest + F::ONE,
        honest - F::ONE,
        -honest,
        F::ZERO,
        F::ONE,
        -F::ONE,
        F::TWO,
        at(row, (column + 1) % width),
        at(row, (column + width - 1) % width),
        at((row + 1) % height, column),
        random_cell(dice),
    ];
    candidates.into_iter().filter(|&value| value != honest).collect()
}

/// The cells of honest rows whose change survives, over the proofs below as they are, or over any honest ones.
fn survivors(case: &Case, any_below: bool, dice: &mut ChaCha8Rng) -> BTreeSet<(usize, usize)> {
    let checker = case.layer.checker();
    let messages = sent(&case.below);
    let mut trace = case.trace.clone();
    let mut survivors = BTreeSet::new();
    for row in 0..case.below.len() {
        for column in 0..checker.width {
            let at = row * checker.width + column;
            for value in changes(&case.trace, row, column, dice) {
                trace.values[at] = value;
                let survives = if any_below {
                    let messages = checker.messages(&trace, &case.public);
                    messages.is_ok_and(|messages| could_be_honest(case.layer, &messages, &case.public))
                } else {
                    checker.check(&trace, &case.public, &messages).is_ok()
                };
                if survives {
                    survivors.insert((row, column));
                }
            }
            trace.values[at] = case.trace.values[at];
        }
    }
    survivors
}

/// Whether a row of a leaf closes a batch.
fn closes(case: &Case, row: usize) -> bool {
    let cell = |at: usize| case.trace.values[row * case.trace.width() + leaf_column::SEGMENT + at];
    cell(segment::BATCHES_END) != cell(segment::BATCHES_START)
}

/// Why the change of an honest row's cell is harmless, whatever it is changed to. (`None`: it is refused.)
fn harmless(case: &Case, row: usize, column: usize) -> Option<&'static str> {
    match (case.layer, column) {
        (Layer::Leaf, leaf_column::HASHED..) if !closes(case, row) => {
            Some("nothing is hashed where no batch is closed: the count of the lookup is 0, and so is the factor")
        }
        _ => None,
    }
}

/// Why another honest proof below may say something else in this cell. (`None`: the change is refused, whatever the proofs below.)
fn free(case: &Case, row: usize, column: usize) -> Option<&'static str> {
    const CLOCK: usize = leaf_column::SEGMENT + segment::CLOCK_END;
    const SEQUENCE: usize = leaf_column::SEGMENT + segment::SEQUENCE_END;
    const KEY: std::ops::Range<usize> =
        node_column::CHILD + node::NODE_KEY_HASH..node_column::CHILD + node::ABOVE_NODES;
    const ABOVE: usize = node_column::CHILD + node::ABOVE_NODES;
    const WRAP_ABOVE: usize = wrap_column::CHILD + node::ABOVE_NODES;
    let above_nodes = case.layer == Layer::Node && case.public[node::ABOVE_NODES] == F::ONE;
    match (case.layer, column) {
        (Layer::Leaf, CLOCK) => Some("the clock is a segment's own: the next one starts at 1"),
        (Layer::Leaf, SEQUENCE) if closes(case, row) => {
            Some("the count of a closed batch's instructions is in its digest, and the next one starts at 0")
        }
        (Layer::Node, column) if KEY.contains(&column) && !above_nodes => {
            Some("what a first node takes for the key of nodes is for nobody to compare: it has none below")
        }
        (Layer::Node, ABOVE) if above_nodes => Some("a node is over first nodes or over nodes"),
        (Layer::Wrap, WRAP_ABOVE) => Some("a node is over first nodes or over nodes"),
        _ => harmless(case, row, column),
    }
}

/// The survivors must be exactly the cells for which there is a reason.
fn check_survivors(any_below: bool, reason: impl Fn(&Case, usize, usize) -> Option<&'static str>) {
    let mut dice = dice();
    for case in cases(&mut dice) {
        let all = (0..case.below.len()).flat_map(|row| (0..case.trace.width()).map(move |column| (row, column)));
        let listed: BTreeSet<_> = all.filter(|&(row, column)| reason(&case, row, column).is_some()).collect();
        let found = survivors(&case, any_below, &mut dice);
        assert_eq!(found, listed, "{:?} over {} proofs: the cells that may be changed", case.layer, case.below.len());
    }
}

#[test]
fn honest_tables_are_accepted() {
    for case in cases(&mut dice()) {
        assert_eq!(case.check(), Ok(()), "{:?}", case.layer);
        let messages = case.layer.checker().messages(&case.trace, &case.public).expect("it is accepted");
        assert!(could_be_honest(case.layer, &messages, &case.public), "{:?}", case.layer);
    }
}

#[test]
fn a_changed_cell_is_refused() {
    check_survivors(false, harmless);
}

/// The same, if the proofs below may be others, as long as they are honest ones.
#[test]
fn a_changed_cell_is_refused_over_any_honest_proofs() {
    check_survivors(true, free);
}

#[test]
fn a_changed_public_value_is_refused() {
    let mut dice = dice();
    for case in cases(&mut dice) {
        let messages = sent(&case.below);
        let checker = case.layer.checker();
        let above_nodes = case.layer == Layer::Node && case.public[node::ABOVE_NODES] == F::ONE;
        let is_node = matches!(case.layer, Layer::First | Layer::Node);
        for at in 0..case.public.len() {
            // What a node over others than nodes takes for the key of nodes, the nodes above it compare, and the wrap.
            let free = is_node && !above_nodes && (node::NODE_KEY_HASH..node::ABOVE_NODES).contains(&at);
            let honest = case.public[at];
            let values = [honest + F::ONE, honest - F::ONE, -honest, F::ZERO, F::ONE, random_cell(&mut dice)];
            for value in values.into_iter().filter(|&value| value != honest) {
                let mut public = case.public.clone();
                public[at] = value;
                let accepted = checker.check(&case.trace, &public, &messages).is_ok();
                assert_eq!(accepted, free, "{:?}, public value {at}: {honest} to {value}", case.layer);
            }
        }
    }
}

/// Rows that only fill a table up say nothing, and cannot begin to.
#[test]
fn a_row_of_padding_says_nothing() {
    let mut dice = dice();
    let mut padded = 0;
    for case in cases(&mut dice).into_iter().filter(|case| case.below.len() < case.trace.height()) {
        padded += 1;
        let (checker, messages) = (case.layer.checker(), sent(&case.below));
        let proofs = case.below.len();
        let mut honest = rows(&case.trace).swap_remove(proofs - 1);
        honest[leaf_column::INDEX] = F::from_usize(proofs);
        let random: Vec<F> = (0..checker.width).map(|_| random_cell(&mut dice)).collect();
        for filling in [honest, random, vec![F::ZERO; checker.width], vec![F::ONE; checker.width]] {
            let check = |valid: F, quiet: bool| {
                let mut row = filling.clone();
                row[leaf_column::VALID] = valid;
                if quiet && case.layer == Layer::Leaf {
                    row[leaf_column::SEGMENT + segment::BATCHES_END] =
                        row[leaf_column::SEGMENT + segment::BATCHES_START];
                } else if quiet {
                    row[node_column::CHILD + node::ABOVE_NODES] = F::ZERO;
                }
                let mut trace = case.trace.clone();
                trace.row_mut(proofs).copy_from_slice(&row);
                checker.check(&trace, &case.public, &messages)
            };
            for valid in [F::ONE, -F::ONE, F::TWO, random_cell(&mut dice)] {
                assert!(check(valid, false).is_err() && check(valid, true).is_err(), "valid {valid} times");
            }
            // (A flag that is none is refused even there; all else is accepted, and changes no message.)
            assert_eq!(check(F::ZERO, true), Ok(()));
        }
    }
    assert!(padded >= 3, "there are tables with padding");
}

#[test]
fn rows_and_proofs_below_are_the_same_number() {
    let mut dice = dice();
    for case in cases(&mut dice) {
        let mut fewer = case.clone();
        fewer.below.pop();
        let mut more = case.clone();
        more.below.push(case.below[0].clone());
        for wrong in [fewer, more] {
            assert!(matches!(wrong.check(), Err(Refusal::Messages { .. })), "{:?}: {:?}", case.layer, wrong.check());
        }
        // Two rows for one proof, where rows are not numbered; no row at all, where they are.
        let rows = rows(&case.trace);
        let mut wrong = case.clone();
        if matches!(case.layer, Layer::Wrap | Layer::Last) {
            wrong.trace = stacked(&[rows[0].clone(), rows[0].clone()]);
            assert!(matches!(wrong.check(), Err(Refusal::Messages { .. })), "{:?}", case.layer);
        } else {
            wrong.trace.values.fill(F::ZERO);
            wrong.below.clear();
            assert!(matches!(wrong.check(), Err(Refusal::Constraint { row: 0, .. })), "{:?}", case.layer);
        }
    }
}

/// Single proofs in every numbered layer: one, and one of a stretch that stands still where the first ends.
fn standing(dice: &mut ChaCha8Rng) -> Vec<[Case; 2]> {
    let mut standing = Vec::new();
    for closes in [false, true] {
        let mut segments = two_segments(dice, closes);
        let still = &mut segments[1];
        (still.root_new, still.digest_out, still.sequence_end) =
            (still.root_old, still.digest_in, still.sequence_start);
        (still.batches_end, still.time_end) = (still.batches_start, still.time_start);
        let mut parts = leaves(&segments, &[1, 1]);
        for _ in 0..4 {
            standing.push([parts[0].clone(), parts[1].clone()]);
            parts = parts.iter().map(|part| over(std::slice::from_ref(part))).collect();
        }
    }
    standing
}

/// A table of four rows, each that of a part, valid so many times and with this number; it is over these parts, and says what the first says.
fn arranged(rows: [(&Case, F, usize); 4], below: &[&Case]) -> Case {
    let values = rows.map(|(part, valid, index)| {
        let mut row = part.trace.values.clone();
        (row[leaf_column::VALID], row[leaf_column::INDEX]) = (valid, F::from_usize(index));
        row
    });
    let below = below.iter().flat_map(|part| part.below.clone()).collect();
    Case { trace: stacked(&values), below, ..rows[0].0.clone() }
}

/// A row that is valid −1 times could give back what another has received, as if that one's proof had been verified.
#[test]
fn a_row_that_takes_another_back_is_refused() {
    let (zero, one) = (F::ZERO, F::ONE);
    for [first, still] in &standing(&mut dice()) {
        let row = |valid, index| (still, valid, index);
        let padding = row(zero, 0);
        assert_eq!(arranged([(first, one, 0), padding, padding, padding], &[first]).check(), Ok(()));
        assert_eq!(arranged([(first, one, 0), row(one, 1), padding, padding], &[first, still]).check(), Ok(()));
        let unverified = arranged([(first, one, 0), row(one, 1), padding, padding], &[first]);
        assert!(matches!(unverified.check(), Err(Refusal::Messages { .. })));
        is_violation(&arranged([(first, one, 0), row(one, 1), padding, row(-one, 1)], &[first]));
    }
}

/// Rows are in the order of their proofs, and without a gap, even if all fits together otherwise.
#[test]
fn rows_with_a_gap_or_backwards_are_refused() {
    let (zero, one) = (F::ZERO, F::ONE);
    for [first, still] in &standing(&mut dice()) {
        let padding = (still, zero, 0);
        is_violation(&arranged([(first, one, 0), padding, (still, one, 1), padding], &[first, still]));
        is_violation(&arranged([(first, one, 1), (still, one, 0), padding, padding], &[still, first]));
        let all = [first, still, still];
        assert_eq!(arranged([(first, one, 0), (still, one, 1), (still, one, 2), padding], &all).check(), Ok(()));
        is_violation(&arranged([(first, one, 0), (still, one, 2), (still, one, 1), padding], &all));
    }
}

/// With a flag of 2, the key below would be what the word for the key of nodes makes it.
#[test]
fn a_flag_that_is_none_is_refused() {
    let doubled =
        |one: Digest, zero: Digest| -> Digest { std::array::from_fn(|i| zero[i] + F::TWO * (one[i] - zero[i])) };
    let halved = |sum: Digest, zero: Digest| -> Digest {
        std::array::from_fn(|i| zero[i] + (sum[i] - zero[i]) * F::TWO.inverse())
    };
    for (layer, below, [says, _]) in pairs(&mut dice()).into_iter().filter(|(_, below, _)| *below != Layer::Node) {
        let (key, verified) = if layer == Layer::First { (LEAF, SEGMENT) } else { (FIRST, LEAF) };
        let mut forged = over_one(layer, below, &says);
        let word = [halved(FOREIGN.hash, key.hash), FOREIGN.constraints].concat();
        for (i, &cell) in word.iter().enumerate() {
            tell(&mut forged, 0, node::NODE_KEY_HASH + i, cell);
            forged.public[node::NODE_KEY_HASH + i] = cell;
        }
        forged.public[node::ABOVE_NODES] = F::TWO;
        forged.below[0].key_hash = FOREIGN.hash;
        forged.below[0].commitment = Some(doubled(key.constraints, verified.constraints));
        is_violation(&forged);
    }
}

/// Proofs are numbered from 0, each once, and valid rows have no gap.
#[test]
fn rows_numbered_otherwise_are_refused() {
    let mut dice = dice();
    for case in cases(&mut dice).into_iter().filter(|case| case.trace.height() >= 2 && case.below.len() >= 2) {
        let proofs = case.below.len();
        let renumbered = |index: &dyn Fn(usize) -> usize| {
            let mut wrong = case.clone();
            for row in 0..proofs {
                wrong.trace.row_mut(row)[leaf_column::INDEX] = F::from_usize(index(row));
            }
            wrong.check()
        };
        assert_eq!(renumbered(&|row| row), Ok(()));
        assert!(renumbered(&|row| row + 1).is_err(), "from 1");
        assert!(renumbered(&|_| 0).is_err(), "all the same");
        assert!(renumbered(&|row| 2 * row).is_err(), "every second");
        assert!(renumbered(&|row| proofs - 1 - row).is_err(), "backwards");
        // A gap, whose proof is given up.
        let mut wrong = case.clone();
        let mut rows = rows(&case.trace);
        rows.truncate(proofs);
        rows.insert(1, vec![F::ZERO; case.trace.width()]);
        wrong.trace = stacked(&rows);
        assert!(matches!(wrong.check(), Err(Refusal::Constraint { .. })), "{:?}", wrong.check());
    }
}

/// A proof of another circuit, or one that was verified with other constraints, or one without our table, is not received.
#[test]
fn proofs_of_another_key_are_refused() {
    let mut dice = dice();
    let hashes = [SEGMENT.hash, LEAF.hash, FIRST.hash, NODE.hash, WRAP.hash, FOREIGN.hash, DIGEST_ZERO];
    let commitments =
        [SEGMENT, LEAF, FIRST, NODE, WRAP, FOREIGN].map(|key| key.constraints).into_iter().chain([NODE_IN_WRAP]);
    let commitments: Vec<Digest> = commitments.collect();
    for case in cases(&mut dice) {
        for index in 0..case.below.len() {
            let check = |change: &dyn Fn(&mut Child)| {
                let mut wrong = case.clone();
                change(&mut wrong.below[index]);
                (wrong.below != case.below).then(|| wrong.check())
            };
            let refused = |checked: Option<Result<(), Refusal>>| {
                assert!(matches!(checked, None | Some(Err(Refusal::Messages { .. }))), "{:?}: {checked:?}", case.layer);
            };
            for hash in hashes {
                refused(check(&|child| child.key_hash = hash));
            }
            for &commitment in &commitments {
                refused(check(&|child| child.commitment = Some(commitment)));
            }
            refused(check(&|child| child.commitment = None));
            refused(check(&|child| child.public = None));
            refused(check(&|child| child.public.as_mut().expect("it has some").0 += 1));
            refused(check(&|child| child.public.as_mut().expect("it has some").1.truncate(1)));
            refused(check(&|child| child.public.as_mut().expect("it has some").1.push(F::ZERO)));
        }
    }
}

#[track_caller]
fn is_violation(case: &Case) {
    assert!(matches!(case.check(), Err(Refusal::Constraint { .. })), "{:?}: {:?}", case.layer, case.check());
}

/// Two segments in a row, of which the first closes its batch or not.
fn two_segments(dice: &mut ChaCha8Rng, closes: bool) -> Vec<PublicValues> {
    chain(dice, 3, if closes { &[1, 1] } else { &[2] }, 0)
}

/// What differs, and the change that makes it differ.
type Mismatch = (&'static str, Box<dyn Fn(&mut PublicValues)>);

/// What differs between two segments that do not meet, each alone.
fn mismatches() -> Vec<Mismatch> {
    let mut mismatches: Vec<Mismatch> = Vec::new();
    for i in 0..8 {
        mismatches.push(("root", Box::new(move |public| public.root_old[i] += F::ONE)));
        mismatches.push(("digest of the batch", Box::new(move |public| public.digest_in[i] += F::ONE)));
    }
    mismatches.push(("instructions", Box::new(|public| public.sequence_start += 1)));
    mismatches.push((
        "batches",
        Box::new(|public| {
            public.batches_start += 1;
            public.batches_end += 1;
        }),
    ));
    for limb in 0..3 {
        mismatches.push(("time", Box::new(move |public| public.time_start ^= 1 << (14 * limb))));
    }
    mismatches
}

#[test]
fn segments_that_do_not_meet_are_refused() {
    let mut dice = dice();
    for closes in [false, true] {
        let segments = two_segments(&mut dice, closes);
        let data = data_before(&segments);
        let one = leaf(data[0], &[cells(&segments[0])]);
        assert_eq!(spliced(&[one.clone(), leaf(data[1], &[cells(&segments[1])])]).check(), Ok(()));
        for (what, change) in mismatches() {
            let mut second = segments[1].clone();
            change(&mut second);
            let forged = spliced(&[one.clone(), leaf(data[1], &[cells(&second)])]);
            is_violation(&forged);
            // Natively too, and it says why.
            let refused = fill_leaf(data[0], &[cells(&segments[0]), cells(&second)], SEGMENT.hash);
            let Err(AggregateError::Join { index: 1, what: got, .. }) = refused else { panic!("{what}: {refused:?}") };
            assert_eq!(got, what);
        }
        for i in 0..8 {
            let mut other = data[1];
            other[i] += F::ONE;
            is_violation(&spliced(&[one.clone(), leaf(other, &[cells(&segments[1])])]));
        }
    }
}

/// A node over one proof below that says this.
fn over_one(layer: Layer, below: Layer, says: &NodePublic) -> Case {
    let key = if layer == Layer::First { KeyCells::default() } else { NODE };
    let filled = fill_node(&[*says], key, below == Layer::Node).expect("one proof meets itself");
    Case::new(layer, filled, vec![below.proof(&says.to_cells())])
}

/// Pairs of stretches that meet, for every layer of nodes: the layer, the one below, and what the two below say.
fn pairs(dice: &mut ChaCha8Rng) -> Vec<(Layer, Layer, [NodePublic; 2])> {
    let mut pairs = Vec::new();
    for closes in [false, true] {
        let mut below = leaves(&two_segments(dice, closes), &[1, 1]);
        for layer in [Layer::First, Layer::Node, Layer::Node] {
            pairs.push((layer, below[0].layer, [below[0].says(), below[1].says()]));
            below = below.iter().map(|case| over(std::slice::from_ref(case))).collect();
        }
    }
    pairs
}

#[test]
fn stretches_that_do_not_meet_are_refused() {
    for (layer, below, [one, two]) in pairs(&mut dice()) {
        let part = |says: &NodePublic| over_one(layer, below, says);
        assert_eq!(spliced(&[part(&one), part(&two)]).check(), Ok(()));
        for at in 0..Point::CELLS {
            let mut cells = two.before.to_cells();
            cells[at] += F::ONE;
            let two = NodePublic { before: Point::from_cells(&cells), ..two };
            is_violation(&spliced(&[part(&one), part(&two)]));
            let refused = fill_node(&[one, two], NODE, below == Layer::Node);
            assert!(matches!(refused, Err(AggregateError::Join { index: 1, .. })), "cell {at}: {refused:?}");
        }
    }
}

#[test]
fn a_stretch_twice_or_in_reversed_order_is_refused() {
    let mut dice = dice();
    for closes in [false, true] {
        let segments = two_segments(&mut dice, closes);
        let [one, two] = leaves(&segments, &[1, 1]).try_into().expect("there are two");
        for wrong in [[&one, &one], [&two, &one], [&two, &two]] {
            is_violation(&spliced(&wrong.map(Clone::clone)));
        }
        is_violation(&spliced(&[one.clone(), two.clone(), two.clone()]));
        is_violation(&spliced(&[one.clone(), one.clone(), two.clone()]));
    }
    for (layer, below, [one, two]) in pairs(&mut dice) {
        for wrong in [[one, one], [two, one], [two, two]] {
            is_violation(&spliced(&wrong.map(|says| over_one(layer, below, &says))));
        }
    }
}

/// Batches that are not in order: each has its own honest beginning, and one is left out, or entered in the middle.
#[test]
fn a_gap_in_the_batches_is_refused() {
    let mut dice = dice();
    let segments = chain(&mut dice, 0, &[1, 1, 1], 0);
    let data = data_before(&segments);
    // The third follows the first in everything but its number, and the start of its digest.
    let mut third = segments[2].clone();
    PublicValues { root_new: third.root_old, time_end: third.time_start, .. } = segments[0].clone();
    let parts = [leaf(data[0], &[cells(&segments[0])]), leaf(data[1], &[cells(&third)])];
    is_violation(&spliced(&parts));
    // The second batch begins with its sixth instruction.
    let mut second = segments[1].clone();
    second.sequence_start = 5;
    let parts = [leaf(data[0], &[cells(&segments[0])]), leaf(data[1], &[cells(&second)])];
    is_violation(&spliced(&parts));
}

/// A segment whose count of batches moves by anything but 0 and 1 is refused, with all that follows from it made to fit.
#[test]
fn a_segment_that_closes_two_batches_is_refused() {
    let mut dice = dice();
    let segments = chain(&mut dice, 4, &[1], 0);
    let honest = leaf(DIGEST_ZERO, &[cells(&segments[0])]);
    for closed in [F::TWO, -F::ONE, F::from_u32(1 << 14), random_cell(&mut dice)] {
        let mut forged = honest.clone();
        let batches = F::from_u32(4) + closed;
        forged.trace.values[leaf_column::SEGMENT + segment::BATCHES_END] = batches;
        forged.below[0].public.as_mut().expect("a segment has some").1[segment::BATCHES_END] = batches;
        forged.public[node::AFTER + point::BATCHES] = batches;
        for (i, &digest) in segments[0].digest_out.iter().enumerate() {
            // after = closes ? start : digest, with a flag that is none
            let start = if i == 0 { batches + F::ONE } else { F::ZERO };
            forged.public[node::AFTER + point::DIGEST + i] = digest + closed * (start - digest);
            let hashed = forged.trace.values[leaf_column::HASHED + i];
            forged.public[node::AFTER + point::DATA + i] = closed * hashed;
        }
        forged.public[node::AFTER + point::SEQUENCE] = (F::ONE - closed) * F::from_u32(segments[0].sequence_end);
        is_violation(&forged);
    }
}

/// Changes what the proof of a row says, there and in the row.
fn tell(case: &mut Case, row: usize, at: usize, value: F) {
    let column = match case.layer {
        Layer::Leaf => leaf_column::SEGMENT,
        Layer::First | Layer::Node => node_column::CHILD,
        Layer::Wrap | Layer::Last => wrap_column::CHILD,
    };
    let width = case.trace.width();
    case.trace.values[row * width + column + at] = value;
    case.below[row].public.as_mut().expect("it has some").1[at] = value;
}

#[test]
fn stretches_of_another_segment_key_are_refused() {
    for (layer, below, says) in pairs(&mut dice()) {
        for row in [0, 1] {
            for i in 0..8 {
                let mut forged = spliced(&says.map(|says| over_one(layer, below, &says)));
                tell(&mut forged, row, node::SEGMENT_KEY + i, FOREIGN.hash[i]);
                is_violation(&forged);
                // To say so in public does not help, if one of two is another's.
                forged.public[node::SEGMENT_KEY + i] = FOREIGN.hash[i];
                is_violation(&forged);
            }
        }
    }
    // A leaf says the key that it is made for, and no other.
    let segments = two_segments(&mut dice(), true);
    let mut forged = leaf(DIGEST_ZERO, &[cells(&segments[0])]);
    forged.public[node::SEGMENT_KEY..node::NODE_KEY_HASH].copy_from_slice(&FOREIGN.hash);
    is_violation(&forged);
}

/// A node over nodes has the same word for the key of nodes as they, and the wrap compares it with the key.
#[test]
fn another_key_of_nodes_is_refused() {
    let mut dice = dice();
    let foreign: Vec<F> = [FOREIGN.hash, FOREIGN.constraints].concat();
    for (layer, below, says) in pairs(&mut dice).into_iter().filter(|(_, below, _)| *below == Layer::Node) {
        let honest = spliced(&says.map(|says| over_one(layer, below, &says)));
        for row in [0, 1] {
            for (i, &cell) in foreign.iter().enumerate() {
                let mut forged = honest.clone();
                tell(&mut forged, row, node::NODE_KEY_HASH + i, cell);
                is_violation(&forged);
            }
        }
        // All of them say the same foreign key. If the proofs are under that key, the node is right; but no wrap takes it.
        let mut forged = honest.clone();
        for (i, &cell) in foreign.iter().enumerate() {
            tell(&mut forged, 0, node::NODE_KEY_HASH + i, cell);
            tell(&mut forged, 1, node::NODE_KEY_HASH + i, cell);
            forged.public[node::NODE_KEY_HASH + i] = cell;
        }
        assert!(matches!(forged.check(), Err(Refusal::Messages { .. })), "the proofs are under the nodes' key");
        forged.below.iter_mut().for_each(|child| child.key_hash = FOREIGN.hash);
        assert_eq!(forged.check(), Ok(()));
    }
    for wrap in cases(&mut dice).into_iter().filter(|case| case.layer == Layer::Wrap) {
        for (i, &cell) in foreign.iter().enumerate() {
            let mut forged = wrap.clone();
            tell(&mut forged, 0, node::NODE_KEY_HASH + i, cell);
            is_violation(&forged);
        }
    }
}

#[test]
fn a_flipped_flag_of_a_node_is_refused() {
    for (layer, below, says) in pairs(&mut dice()) {
        let honest = spliced(&says.map(|says| over_one(layer, below, &says)));
        let above_nodes = honest.public[node::ABOVE_NODES];
        for value in [F::ONE - above_nodes, F::TWO, -F::ONE] {
            let mut forged = honest.clone();
            forged.public[node::ABOVE_NODES] = value;
            assert!(forged.check().is_err(), "{layer:?} over {below:?}");
            // The word for the key of nodes is what is below, and those below agree.
            if let Layer::First | Layer::Node = below {
                for row in [0, 1] {
                    for i in 0..16 {
                        let says = forged.public[node::NODE_KEY_HASH + i];
                        tell(&mut forged, row, node::NODE_KEY_HASH + i, says);
                    }
                }
                assert!(forged.check().is_err(), "{layer:?} over {below:?}");
            }
        }
        for row in [0, 1] {
            let mut forged = honest.clone();
            let flag = says[row].above_nodes;
            tell(&mut forged, row, node::ABOVE_NODES, F::ONE - flag);
            // A leaf is over segments and a first node over leaves: the flag is 0. A node was verified with other constraints than it says.
            if below == Layer::Node {
                assert!(matches!(forged.check(), Err(Refusal::Messages { .. })), "{:?}", forged.check());
            } else {
                is_violation(&forged);
            }
        }
    }
}

/// A first node that says that it is over nodes chooses the key of what it is over. Nothing takes it.
#[test]
fn a_first_node_over_nodes_is_refused_above() {
    let mut dice = dice();
    let leaves = leaves(&two_segments(&mut dice, true), &[1, 1]);
    let mut forged = over(&leaves[..1]);
    forged.public[node::NODE_KEY_HASH..node::NODE_KEY_CONSTRAINTS].copy_from_slice(&FOREIGN.hash);
    forged.public[node::NODE_KEY_CONSTRAINTS..node::ABOVE_NODES].copy_from_slice(&FOREIGN.constraints);
    forged.public[node::ABOVE_NODES] = F::ONE;
    for i in 0..16 {
        let says = forged.public[node::NODE_KEY_HASH + i];
        tell(&mut forged, 0, node::NODE_KEY_HASH + i, says);
    }
    forged.below[0].key_hash = FOREIGN.hash;
    forged.below[0].commitment = Some(LEAF.constraints);
    assert_eq!(forged.check(), Ok(()), "by itself it is right");
    for above_nodes in [F::ZERO, F::ONE] {
        let mut node = over_one(Layer::Node, Layer::First, &over(&leaves[..1]).says());
        node.public[node::ABOVE_NODES] = above_nodes;
        forged.public.iter().enumerate().for_each(|(at, &value)| tell(&mut node, 0, at, value));
        node.public[node::NODE_KEY_HASH..node::ABOVE_NODES]
            .copy_from_slice(&forged.public[node::NODE_KEY_HASH..node::ABOVE_NODES]);
        node.below = vec![forged.proof()];
        if above_nodes == F::ZERO {
            is_violation(&node);
        } else {
            assert!(matches!(node.check(), Err(Refusal::Messages { .. })), "it is not under the key of nodes");
        }
    }
}

/// The wrap over a node that says this, whatever it is.
fn forced_wrap(says: &NodePublic) -> Case {
    let NodePublic { before, after, segment_key, .. } = says;
    let mut row = says.to_cells().to_vec();
    row.push((after.batches - before.batches).try_inverse().unwrap_or(F::ONE));
    let mut public = vec![F::ZERO; LastPublic::CELLS];
    public[last_offset::ROOT_OLD..last_offset::ROOT_NEW].copy_from_slice(&before.root);
    public[last_offset::ROOT_NEW..last_offset::BATCH_FIRST].copy_from_slice(&after.root);
    public[last_offset::BATCH_FIRST] = before.batches + F::ONE;
    public[last_offset::BATCH_LAST] = after.batches;
    public[last_offset::TIME_START..last_offset::TIME_END].copy_from_slice(&before.time);
    public[last_offset::TIME_END..last_offset::DATA].copy_from_slice(&after.time);
    public[last_offset::DATA..last_offset::SEGMENT_KEY].copy_from_slice(&after.data);
    public[last_offset::SEGMENT_KEY..].copy_from_slice(segment_key);
    let trace = RowMajorMatrix::new(row, wrap_column::COLUMNS);
    Case { layer: Layer::Wrap, trace, public, below: vec![Layer::Node.proof(&says.to_cells())] }
}

/// A chain that begins or ends in the middle of a batch, that has published before, or that has no batch, is not wrapped; natively neither.
#[test]
fn a_wrap_of_anything_but_whole_batches_is_refused() {
    let mut dice = dice();
    let honest = cases(&mut dice).into_iter().find(is_whole).expect("there is a node over whole batches").says();
    assert_eq!(forced_wrap(&honest).check(), Ok(()));
    let check = |says: &NodePublic, end: &'static str| {
        is_violation(&forced_wrap(says));
        assert_eq!(fill_wrap(says).map(|_| ()), Err(AggregateError::Ends { end }));
    };
    let changed = |point: &Point, at: usize| {
        let mut cells = point.to_cells();
        cells[at] += F::ONE;
        Point::from_cells(&cells)
    };
    for at in point::DIGEST..=point::SEQUENCE {
        check(&NodePublic { before: changed(&honest.before, at), ..honest }, "begins");
        check(&NodePublic { after: changed(&honest.after, at), ..honest }, "ends");
    }
    for at in point::DATA..Point::CELLS {
        check(&NodePublic { before: changed(&honest.before, at), ..honest }, "begins");
    }
    check(&NodePublic { before: changed(&honest.before, point::BATCHES), ..honest }, "begins");
    check(&NodePublic { after: changed(&honest.after, point::BATCHES), ..honest }, "ends");
    check(&NodePublic { after: honest.before, ..honest }, "ends");
    // Everything but the number of batches may have moved.
    let after = Point { root: honest.after.root, time: honest.after.time, ..honest.before };
    check(&NodePublic { after, ..honest }, "ends");
}

/// What a verifier who goes through the segments one by one comes to: `Chain::append`, without the proofs.
fn one_by_one(segments: &[PublicValues]) -> LastPublic {
    let first = &segments[0];
    let (mut root, mut batches, mut time) = (first.root_old, first.batches_start, first.time_start);
    let (mut digest, mut sequence) = (digest_start(batches + 1), 0);
    let mut data = DIGEST_ZERO;
    for public in segments {
        let before = (&public.root_old, &public.digest_in, public.sequence_start, public.batches_start);
        assert_eq!(before, (&root, &digest, sequence, batches));
        assert_eq!(public.time_start, time);
        PublicValues { root_new: root, digest_out: digest, sequence_end: sequence, time_end: time, .. } =
            public.clone();
        if public.batches_end == batches + 1 {
            batches += 1;
            data = compress(&data, &digest);
            (digest, sequence) = (digest_start(batches + 1), 0);
        }
        assert_eq!(public.batches_end, batches);
    }
    assert_eq!((digest, sequence), (digest_start(batches + 1), 0), "the chain ends with a batch");
    LastPublic {
        root_old: first.root_old,
        root_new: root,
        batch_first: first.batches_start + 1,
        batch_last: batches,
        time_start: first.time_start,
        time_end: time,
        data,
        segment_key: SEGMENT.hash,
    }
}

/// Cuts so many things into runs of 1 to `max`.
fn random_cut(dice: &mut ChaCha8Rng, mut things: usize, max: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    while things > 0 {
        let size = (1 + dice.next_u32() as usize % max).min(things);
        sizes.push(size);
        things -= size;
    }
    sizes
}

/// Joins neighbours at random, and checks every table on the way.
fn random_level(dice: &mut ChaCha8Rng, below: &[Case]) -> Vec<Case> {
    let mut from = 0;
    let mut level = Vec::new();
    for size in random_cut(dice, below.len(), 4) {
        let case = over(&below[from..from + size]);
        assert_eq!(case.check(), Ok(()), "{:?} over {size}", case.layer);
        level.push(case);
        from += size;
    }
    level
}

#[test]
fn any_tree_over_a_chain_says_what_the_chain_is() {
    const CHAINS: u32 = 60;
    let mut dice = dice();
    for _ in 0..CHAINS {
        let batches = 1 + dice.next_u32() as usize % 6;
        let batches: Vec<usize> = (0..batches).map(|_| 1 + dice.next_u32() as usize % 5).collect();
        let before = dice.next_u32() % 1000;
        let open = usize::from(dice.next_u32().is_multiple_of(8));
        let segments = chain(&mut dice, before, &batches, open);
        let sizes = random_cut(&mut dice, segments.len(), 5);
        let leaves = leaves(&segments, &sizes);
        for leaf in &leaves {
            assert_eq!(leaf.check(), Ok(()));
        }
        let firsts = random_level(&mut dice, &leaves);
        let mut nodes = random_level(&mut dice, &firsts);
        while nodes.len() > 1 {
            nodes = random_level(&mut dice, &nodes);
        }
        if open > 0 {
            assert_eq!(fill_wrap(&nodes[0].says()).map(|_| ()), Err(AggregateError::Ends { end: "ends" }));
            continue;
        }
        let wrap = wrap(&nodes[0]);
        assert_eq!(wrap.check(), Ok(()));
        let last = last(&wrap);
        assert_eq!(last.check(), Ok(()));
        assert_eq!(LastPublic::from_cells(&last.public), Some(one_by_one(&segments)));
    }
}

/// An error names what was expected and what was got.
#[test]
fn stretches_that_do_not_meet_are_refused_with_the_reason() {
    let (_, _, [one, two]) = pairs(&mut dice()).swap_remove(0);
    let hex = |point: &Point| [point.root, point.digest, point.data].map(|digest| digest_to_hex(&digest));
    let [root, digest, data] = hex(&one.after);
    let number = |cell: F| cell_to_canonical(cell).to_string();
    let expected = [
        (point::ROOT, "root", root),
        (point::DIGEST + 7, "digest of the batch", digest),
        (point::SEQUENCE, "instructions", number(one.after.sequence)),
        (point::BATCHES, "batches", number(one.after.batches)),
        (point::TIME + 1, "time", format!("{:?}", one.after.time)),
        (point::DATA + 3, "digest of all data", data),
    ];
    for (at, what, expected) in expected {
        let mut cells = two.before.to_cells();
        cells[at] += F::ONE;
        let before = Point::from_cells(&cells);
        let [root, digest, data] = hex(&before);
        let got = match at {
            point::SEQUENCE => number(before.sequence),
            point::BATCHES => number(before.batches),
            at if at < point::DIGEST => root,
            at if at < point::SEQUENCE => digest,
            at if at < point::DATA => format!("{:?}", before.time),
            _ => data,
        };
        assert_ne!(expected, got);
        let refused = fill_node(&[one, NodePublic { before, ..two }], KeyCells::default(), false).map(|_| ());
        assert_eq!(refused, Err(AggregateError::Join { index: 1, what, expected: expected.clone(), got: got.clone() }));
        let message = refused.expect_err("it is refused").to_string();
        assert!(message.contains(&expected) && message.contains(&got) && message.contains(what), "{message}");
    }
}

/// What fits together but for the keys is refused natively too: the prover would not notice.
#[test]
fn stretches_of_other_keys_are_refused_with_the_reason() {
    for (_, below, [one, two]) in pairs(&mut dice()) {
        let over_nodes = below == Layer::Node;
        let check = |says: [NodePublic; 2], index: usize, what: &'static str, keys: [Digest; 2]| {
            let [expected, got] = keys.map(|key| digest_to_hex(&key));
            let refused = fill_node(&says, NODE, over_nodes).map(|_| ());
            assert_eq!(refused, Err(AggregateError::Key { index, what, expected, got }));
        };
        assert!(fill_node(&[one, two], NODE, over_nodes).is_ok());
        let other = NodePublic { segment_key: FOREIGN.hash, ..two };
        check([one, other], 1, "key of segments", [SEGMENT.hash, FOREIGN.hash]);
        if over_nodes {
            let hash = KeyCells { hash: FOREIGN.hash, ..NODE };
            check([one, NodePublic { node_key: hash, ..two }], 1, "key of nodes", [NODE.hash, FOREIGN.hash]);
            check([NodePublic { node_key: hash, ..one }, two], 0, "key of nodes", [NODE.hash, FOREIGN.hash]);
            let constraints = KeyCells { constraints: FOREIGN.constraints, ..NODE };
            let keys = [NODE.constraints, FOREIGN.constraints];
            check([one, NodePublic { node_key: constraints, ..two }], 1, "constraints of nodes", keys);
        } else {
            let refused = fill_node(&[one, NodePublic { above_nodes: F::ONE, ..two }], NODE, false).map(|_| ());
            assert_eq!(refused, Err(AggregateError::Layers));
        }
    }
}

#[test]
fn public_values_of_another_number_are_no_nodes() {
    let (_, _, [one, _]) = pairs(&mut dice()).swap_remove(0);
    let cells = one.to_cells();
    assert_eq!(NodePublic::from_cells(&cells), Some(one));
    assert_eq!(NodePublic::from_cells(&cells[1..]), None);
    assert_eq!(NodePublic::from_cells(&[&cells[..], &[F::ZERO]].concat()), None);
    assert_eq!(NodePublic::from_cells(&[]), None);
}

/// The circuit above sends each public value twice. The constraints that mention it receive it once, and our table once: so all must be mentioned.
#[test]
fn every_public_value_is_mentioned_once() {
    for layer in Layer::ALL {
        let checker = layer.checker();
        assert_eq!(checker.mentioned(), (0..checker.public_values).collect::<Vec<usize>>(), "{layer:?}");
    }
}

/// What the tables rely on of the circuit: their messages come from its tables of shapes and public values, and nobody else receives any but public values.
#[test]
fn messages_to_our_tables_have_one_source() {
    let buses = buses();
    let tables = circuit_tables();
    let with = |bus: u16| -> Vec<(&str, usize)> {
        let count = |dag: &openvm_stark_backend::air_builders::symbolic::SymbolicConstraintsDag<F>| {
            dag.interactions.iter().filter(|interaction| interaction.bus_index == bus).count()
        };
        let counted = tables.iter().map(|(name, _, dag)| (name.as_str(), count(dag)));
        counted.filter(|&(_, count)| count > 0).collect()
    };
    assert!(matches!(with(buses.key_hash)[..], [(name, 1)] if name.starts_with("ProofShapeAir")));
    assert!(matches!(with(buses.commitment)[..], [(name, _)] if name.starts_with("ProofShapeAir")));
    // Two proofs have a place in this circuit: the expressions of each receive once; the values of each are sent twice.
    let mut values = with(buses.public_values);
    values.sort_unstable();
    assert!(
        matches!(values[..], [(one, 2), (other, 2)] if one.starts_with("PublicValuesAir") && other.starts_with("SymbolicExpressionAir")),
        "{values:?}"
    );
    let committed: Vec<usize> =
        tables.iter().enumerate().filter(|(_, (_, cached, _))| *cached > 0).map(|(index, _)| index).collect();
    assert_eq!(committed, [CONSTRAINTS_TABLE - 1 - TABLE], "one table has committed columns");
    // Segments have public values in one table, and nothing committed.
    for (index, table) in VERIFIER.key.inner.per_air.iter().enumerate() {
        let values = if index == Table::Segment.index() { PublicValues::CELLS } else { 0 };
        assert_eq!((table.params.num_public_values, table.num_cached_mains()), (values, 0));
    }
}
