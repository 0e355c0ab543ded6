//! What a proof of the recursion says in public: the stretch of the chain that it covers, and whose keys it trusts.

use holdfast_circuit::public::{PublicValues, offset as segment};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_CELLS, cell_to_canonical},
    poseidon2::compress,
};
use holdfast_protocol::cells::digest_start;
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

/// A point between two segments, as cells: what the next segment must start from.
///
/// At a batch's end it is the beginning of the next one: the digest is that batch's start, the sequence number 0. So joining two stretches is equality, wherever they meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub root: Digest,
    /// Of the batch's instructions so far.
    pub digest: Digest,
    /// Instructions of the batch so far.
    pub sequence: F,
    /// Batches closed.
    pub batches: F,
    pub time: [F; 3],
    /// Digest of all data published since the beginning of what one last proof covers: `compress` over the digests of the batches closed.
    pub data: Digest,
}

impl Point {
    pub const CELLS: usize = 3 * DIGEST_CELLS + 5;

    pub fn to_cells(self) -> [F; Self::CELLS] {
        let Self { root, digest, sequence, batches, time, data } = self;
        let mut cells = [F::ZERO; Self::CELLS];
        let parts: [&[F]; 6] = [&root, &digest, &[sequence], &[batches], &time, &data];
        let mut at = 0;
        for part in parts {
            cells[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        cells
    }

    pub fn from_cells(cells: &[F; Self::CELLS]) -> Self {
        let digest = |at: usize| -> Digest { std::array::from_fn(|i| cells[at + i]) };
        Self {
            root: digest(point::ROOT),
            digest: digest(point::DIGEST),
            sequence: cells[point::SEQUENCE],
            batches: cells[point::BATCHES],
            time: std::array::from_fn(|i| cells[point::TIME + i]),
            data: digest(point::DATA),
        }
    }
}

/// Where each part of a point stands.
pub mod point {
    use holdfast_crypto::field::DIGEST_CELLS;

    pub const ROOT: usize = 0;
    pub const DIGEST: usize = ROOT + DIGEST_CELLS;
    pub const SEQUENCE: usize = DIGEST + DIGEST_CELLS;
    pub const BATCHES: usize = SEQUENCE + 1;
    pub const TIME: usize = BATCHES + 1;
    pub const DATA: usize = TIME + 3;
}

/// The public values of a leaf or a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePublic {
    pub before: Point,
    pub after: Point,
    /// Hash of the segments' verifying key.
    pub segment_key: Digest,
    /// What the proof takes for the key of nodes: its hash, and the commitment to its constraints. Zero in a leaf.
    pub node_key: KeyCells,
    /// 1 if the proofs below are nodes, whose key is `node_key`.
    pub above_nodes: F,
}

/// A verifying key, as the recursion knows it: what its transcripts start from, and what its constraints are committed to by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyCells {
    pub hash: Digest,
    pub constraints: Digest,
}

/// Where each public value stands.
pub mod node {
    use holdfast_crypto::field::DIGEST_CELLS;

    use super::Point;

    pub const BEFORE: usize = 0;
    pub const AFTER: usize = BEFORE + Point::CELLS;
    pub const SEGMENT_KEY: usize = AFTER + Point::CELLS;
    pub const NODE_KEY_HASH: usize = SEGMENT_KEY + DIGEST_CELLS;
    pub const NODE_KEY_CONSTRAINTS: usize = NODE_KEY_HASH + DIGEST_CELLS;
    pub const ABOVE_NODES: usize = NODE_KEY_CONSTRAINTS + DIGEST_CELLS;
}

impl NodePublic {
    pub const CELLS: usize = node::ABOVE_NODES + 1;

    pub fn to_cells(self) -> [F; Self::CELLS] {
        let Self { before, after, segment_key, node_key: KeyCells { hash, constraints }, above_nodes } = self;
        let mut cells = [F::ZERO; Self::CELLS];
        cells[node::BEFORE..node::AFTER].copy_from_slice(&before.to_cells());
        cells[node::AFTER..node::SEGMENT_KEY].copy_from_slice(&after.to_cells());
        cells[node::SEGMENT_KEY..node::NODE_KEY_HASH].copy_from_slice(&segment_key);
        cells[node::NODE_KEY_HASH..node::NODE_KEY_CONSTRAINTS].copy_from_slice(&hash);
        cells[node::NODE_KEY_CONSTRAINTS..node::ABOVE_NODES].copy_from_slice(&constraints);
        cells[node::ABOVE_NODES] = above_nodes;
        cells
    }

    /// Reads the public values of a leaf's or a node's proof; `None` if there is another number of them.
    pub fn from_cells(cells: &[F]) -> Option<Self> {
        let cells: &[F; Self::CELLS] = cells.try_into().ok()?;
        let digest = |at: usize| -> Digest { std::array::from_fn(|i| cells[at + i]) };
        let point = |at: usize| Point::from_cells(&std::array::from_fn(|i| cells[at + i]));
        Some(Self {
            before: point(node::BEFORE),
            after: point(node::AFTER),
            segment_key: digest(node::SEGMENT_KEY),
            node_key: KeyCells { hash: digest(node::NODE_KEY_HASH), constraints: digest(node::NODE_KEY_CONSTRAINTS) },
            above_nodes: cells[node::ABOVE_NODES],
        })
    }
}

/// The points before and after a segment that starts when `data` was published, and what was hashed on the way: the digest of all data, and the batch's, if it closes one.
pub fn points(segment: &[F; PublicValues::CELLS], data: Digest) -> (Point, Point, Option<(Digest, Digest)>) {
    let digest = |at: usize| -> Digest { std::array::from_fn(|i| segment[at + i]) };
    let time = |at: usize| -> [F; 3] { std::array::from_fn(|i| segment[at + i]) };
    let batches_end = segment[segment::BATCHES_END];
    let before = Point {
        root: digest(segment::ROOT_OLD),
        digest: digest(segment::DIGEST_IN),
        sequence: segment[segment::SEQUENCE_START],
        batches: segment[segment::BATCHES_START],
        time: time(segment::TIME_START),
        data,
    };
    let closes = batches_end != segment[segment::BATCHES_START];
    let digest_out = digest(segment::DIGEST_OUT);
    let open = Point {
        root: digest(segment::ROOT_NEW),
        digest: digest_out,
        sequence: segment[segment::SEQUENCE_END],
        batches: batches_end,
        time: time(segment::TIME_END),
        data,
    };
    if !closes {
        return (before, open, None);
    }
    let next = digest_start(cell_to_canonical(batches_end + F::ONE));
    let after = Point { digest: next, sequence: F::ZERO, data: compress(&data, &digest_out), ..open };
    (before, after, Some((data, digest_out)))
}

/// Whether a batch begins here.
pub fn begins(point: &Point) -> bool {
    let start = digest_start(cell_to_canonical(point.batches + F::ONE));
    point.sequence == F::ZERO && point.digest == start
}
