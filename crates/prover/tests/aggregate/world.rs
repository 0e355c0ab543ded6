//! Layers with made-up keys, and the chains of segments that they are over.

use std::{array::from_fn, sync::LazyLock};

use holdfast_circuit::{
    air::Table,
    last::LastPublic,
    public::{PublicValues, offset as segment},
};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_ZERO, PRIME},
    poseidon2::compress,
};
use holdfast_protocol::cells::digest_start;
use holdfast_prover::aggregate::{
    Filled, fill_leaf, fill_node, fill_wrap,
    public::{KeyCells, NodePublic, node},
    tables::{Buses, LastTable, LeafTable, NodeTable, TABLE, WrapTable, leaf_column},
};
use openvm_stark_backend::{
    p3_field::PrimeCharacteristicRing,
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};
use rand_chacha::{ChaCha8Rng, rand_core::RngCore};

use crate::checker::{Checker, Child, Messages, Refusal, implied, inventory, sent};

/// The cells of a segment's public values.
pub type SegmentCells = [F; PublicValues::CELLS];

const fn made_up(seed: u32) -> Digest {
    let mut digest = DIGEST_ZERO;
    let mut i = 0;
    while i < digest.len() {
        digest[i] = F::new(1000 * seed + i as u32);
        i += 1;
    }
    digest
}

const fn key(seed: u32) -> KeyCells {
    KeyCells { hash: made_up(seed), constraints: made_up(seed + 1) }
}

/// The keys of each layer's proofs: what their transcripts start from, and the commitment to their constraints by the layer above.
pub const SEGMENT: KeyCells = key(10);
pub const LEAF: KeyCells = key(20);
pub const FIRST: KeyCells = key(30);
pub const NODE: KeyCells = key(40);
/// The commitment to the constraints of nodes, under the wrap's parameters.
pub const NODE_IN_WRAP: Digest = made_up(50);
pub const WRAP: KeyCells = key(60);
/// Nobody's.
pub const FOREIGN: KeyCells = key(70);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    Leaf,
    First,
    /// A node, over first nodes or over nodes.
    Node,
    Wrap,
    Last,
}

impl Layer {
    pub const ALL: [Layer; 5] = [Layer::Leaf, Layer::First, Layer::Node, Layer::Wrap, Layer::Last];

    pub fn checker(self) -> &'static Checker {
        static CHECKERS: LazyLock<[Checker; 5]> = LazyLock::new(|| {
            let buses = || Buses::from(inventory());
            [
                Checker::new(&LeafTable { buses: buses(), segment_key: SEGMENT.hash }),
                Checker::new(&NodeTable { buses: buses(), below: LEAF, below_verified: SEGMENT.constraints }),
                Checker::new(&NodeTable { buses: buses(), below: FIRST, below_verified: LEAF.constraints }),
                Checker::new(&WrapTable { buses: buses(), node: NODE, first_constraints: FIRST.constraints }),
                Checker::new(&LastTable { buses: buses(), wrap_hash: WRAP.hash, node_constraints: NODE_IN_WRAP }),
            ]
        });
        &CHECKERS[self as usize]
    }

    /// An honest proof of this layer (or of a segment), with these public values.
    pub fn proof(self, public: &[F]) -> Child {
        let above_nodes = public[public.len() - 1] == F::ONE;
        let (key_hash, commitment) = match self {
            Layer::Leaf => (LEAF.hash, SEGMENT.constraints),
            Layer::First => (FIRST.hash, LEAF.constraints),
            Layer::Node => (NODE.hash, if above_nodes { NODE.constraints } else { FIRST.constraints }),
            Layer::Wrap => (WRAP.hash, NODE_IN_WRAP),
            Layer::Last => unreachable!("nothing verifies a last proof in a circuit"),
        };
        Child { public: Some((TABLE, public.to_vec())), key_hash, commitment: Some(commitment) }
    }

    /// Whether an honest prover can make this proof of this layer, as far as its public values tell without the others'.
    pub fn makes(self, child: &Child) -> bool {
        let Some((TABLE, public)) = &child.public else { return false };
        if *child != self.proof(public) {
            return false;
        }
        let Some(says) = NodePublic::from_cells(public) else { return self == Layer::Wrap };
        let above = [F::ZERO, F::ONE].contains(&says.above_nodes);
        says.segment_key == SEGMENT.hash
            && match self {
                Layer::Leaf => says.above_nodes == F::ZERO && says.node_key == KeyCells::default(),
                // (What it takes for the key of nodes is for nobody to compare.)
                Layer::First => says.above_nodes == F::ZERO,
                Layer::Node => above && says.node_key == NODE,
                Layer::Wrap | Layer::Last => false,
            }
    }
}

/// An honest proof of a segment.
pub fn segment_proof(public: &[F]) -> Child {
    Child { public: Some((Table::Segment.index(), public.to_vec())), key_hash: SEGMENT.hash, commitment: None }
}

/// Whether an honest prover can make this proof of a segment, as far as its public values tell without the others.
fn is_segment(child: &Child) -> bool {
    let Some((_, public)) = &child.public else { return false };
    let closes = public[segment::BATCHES_END] - public[segment::BATCHES_START];
    *child == segment_proof(public) && [F::ZERO, F::ONE].contains(&closes)
}

/// A filled table, and the proofs below it.
#[derive(Debug, Clone)]
pub struct Case {
    pub layer: Layer,
    pub trace: RowMajorMatrix<F>,
    pub public: Vec<F>,
    pub below: Vec<Child>,
}

impl Case {
    pub fn new(layer: Layer, filled: Filled, below: Vec<Child>) -> Self {
        let Filled { trace, public, hashed: _ } = filled;
        Self { layer, trace, public, below }
    }

    pub fn check(&self) -> Result<(), Refusal> {
        self.layer.checker().check(&self.trace, &self.public, &sent(&self.below))
    }

    /// What it says as a proof below another.
    pub fn says(&self) -> NodePublic {
        NodePublic::from_cells(&self.public).expect("it is a leaf or a node")
    }

    pub fn proof(&self) -> Child {
        self.layer.proof(&self.public)
    }
}

/// Whether any honest proofs below could send what a table receives.
pub fn could_be_honest(layer: Layer, messages: &Messages, public: &[F]) -> bool {
    let Some(children) = implied(messages) else { return false };
    children.iter().all(|child| match layer {
        Layer::Leaf => is_segment(child),
        Layer::First => Layer::Leaf.makes(child),
        Layer::Node if public[node::ABOVE_NODES] == F::ONE => Layer::Node.makes(child),
        Layer::Node => Layer::First.makes(child),
        Layer::Wrap => Layer::Node.makes(child),
        Layer::Last => Layer::Wrap.makes(child),
    })
}

pub fn leaf(data: Digest, segments: &[SegmentCells]) -> Case {
    let filled = fill_leaf(data, segments, SEGMENT.hash).expect("the segments meet");
    Case::new(Layer::Leaf, filled, segments.iter().map(|cells| segment_proof(cells)).collect())
}

/// A node over cases of one layer.
pub fn over(below: &[Case]) -> Case {
    let (layer, key) = match below[0].layer {
        Layer::Leaf => (Layer::First, KeyCells::default()),
        _ => (Layer::Node, NODE),
    };
    let public: Vec<NodePublic> = below.iter().map(Case::says).collect();
    let filled = fill_node(&public, key, below[0].layer == Layer::Node).expect("the stretches meet");
    Case::new(layer, filled, below.iter().map(Case::proof).collect())
}

pub fn wrap(node: &Case) -> Case {
    Case::new(Layer::Wrap, fill_wrap(&node.says()).expect("it covers whole batches"), vec![node.proof()])
}

pub fn last(wrap: &Case) -> Case {
    let trace = RowMajorMatrix::new(wrap.public.clone(), LastPublic::CELLS);
    Case { layer: Layer::Last, trace, public: wrap.public.clone(), below: vec![wrap.proof()] }
}

pub fn random_cell(dice: &mut ChaCha8Rng) -> F {
    F::from_u32(dice.next_u32() % PRIME)
}

pub fn random_digest(dice: &mut ChaCha8Rng) -> Digest {
    from_fn(|_| random_cell(dice))
}

/// A random chain of batches, each of so many segments; `open` more segments of a batch follow that is not closed.
pub fn chain(dice: &mut ChaCha8Rng, batches_before: u32, batches: &[usize], open: usize) -> Vec<PublicValues> {
    let mut chain: Vec<PublicValues> = Vec::new();
    let mut root = random_digest(dice);
    let mut time = u64::from(dice.next_u32());
    let mut closed = batches_before;
    let all = batches.iter().map(|&segments| (segments, true)).chain([(open, false)]);
    for (segments, closes) in all {
        let mut digest = digest_start(closed + 1);
        let mut sequence = 0;
        for segment in 0..segments {
            // Now and then a segment, or the whole batch, has no instructions.
            let instructions = (dice.next_u32() % 8) * 100;
            let root_new = random_digest(dice);
            let last = closes && segment + 1 == segments;
            let public = PublicValues {
                root_old: root,
                root_new,
                digest_in: digest,
                digest_out: if instructions == 0 { digest } else { random_digest(dice) },
                sequence_start: sequence,
                sequence_end: sequence + instructions,
                clock_end: dice.next_u32() >> 8,
                batches_start: closed,
                batches_end: closed + u32::from(last),
                time_start: time,
                time_end: time + u64::from(dice.next_u32() % 5000),
            };
            PublicValues { root_new: root, digest_out: digest, sequence_end: sequence, time_end: time, .. } =
                public.clone();
            closed = public.batches_end;
            chain.push(public);
        }
    }
    chain
}

pub fn cells(public: &PublicValues) -> SegmentCells {
    public.to_cells().try_into().expect("so many cells")
}

/// The digest of all data before each of these segments, and after the last.
pub fn data_before(chain: &[PublicValues]) -> Vec<Digest> {
    let mut data = vec![DIGEST_ZERO];
    for public in chain {
        let before = data[data.len() - 1];
        let closes = public.batches_end != public.batches_start;
        data.push(if closes { compress(&before, &public.digest_out) } else { before });
    }
    data
}

/// Cuts a chain into leaves of so many segments, in turn.
pub fn leaves(chain: &[PublicValues], sizes: &[usize]) -> Vec<Case> {
    let data = data_before(chain);
    let mut from = 0;
    let mut leaves = Vec::new();
    for &size in sizes {
        let segments: Vec<SegmentCells> = chain[from..from + size].iter().map(cells).collect();
        leaves.push(leaf(data[from], &segments));
        from += size;
    }
    leaves
}

/// Honest rows of a table, by their number among the proofs below.
pub fn rows(trace: &RowMajorMatrix<F>) -> Vec<Vec<F>> {
    trace.rows().map(Iterator::collect).collect()
}

/// A table of these rows, filled up with zeros.
pub fn stacked(rows: &[Vec<F>]) -> RowMajorMatrix<F> {
    let width = rows[0].len();
    let mut values = rows.concat();
    values.resize(width * rows.len().next_power_of_two(), F::ZERO);
    RowMajorMatrix::new(values, width)
}

/// What a prover who cheats fills in for stretches that need not meet: leaves or nodes of one proof each, whose rows are numbered, and the ends are the first's and the last's.
pub fn spliced(parts: &[Case]) -> Case {
    let mut rows_all = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(part.below.len(), 1, "a part is over one proof");
        let mut row = rows(&part.trace).swap_remove(0);
        row[leaf_column::INDEX] = F::from_usize(index);
        rows_all.push(row);
    }
    let mut public = parts[0].says();
    public.after = parts[parts.len() - 1].says().after;
    Case {
        layer: parts[0].layer,
        trace: stacked(&rows_all),
        public: public.to_cells().to_vec(),
        below: parts.iter().flat_map(|part| part.below.clone()).collect(),
    }
}
