//! The tables of ours in the recursion: one row for each proof below, whose public values it reads from the verifier's circuit, joins, and passes on.
//!
//! OpenVM's sub-circuit verifies the proofs below, and sends, for each of them: its public values, the hash of its key (which its transcript starts from), and the commitments of its
//! own to constraints (which say whose proofs *it* verified). What these must be, is said here. A key's hash is checked by the layer above the proof, and the commitment that the
//! proof was verified with, by the layer above that; so every layer pins two.
//!
//! | layer | verifies | key hash of those | commitment in those |
//! |---|---|---|---|
//! | leaf | segments | the segments' | they have none |
//! | first node | leaves | the leaves' | to the segments' constraints |
//! | node, `above_nodes` = 0 | first nodes | the first nodes' | to the leaves' constraints |
//! | node, `above_nodes` = 1 | nodes | `node_key` | to the first nodes' constraints, or to those of `node_key`, as their `above_nodes` says |
//! | wrap | a node | the nodes' | to the first nodes' constraints, or to the nodes' |
//! | last | a wrap | the wrap's | to the nodes' constraints |
//!
//! All but `node_key` are constants. A node cannot know its own key, so it says in public what it takes for it; nodes over nodes agree on it, and the wrap compares it with
//! the key itself.

use std::array::from_fn;

use holdfast_circuit::{
    air::Table,
    last::public::{LastPublic, offset as last},
    public::{PublicValues, offset as segment},
};
use holdfast_crypto::{Digest, F, field::DIGEST_CELLS};
use openvm_recursion_circuit::{
    bus::{
        CachedCommitBus, CachedCommitBusMessage, Poseidon2CompressBus, Poseidon2CompressMessage, PreHashBus,
        PreHashMessage, PublicValuesBus, PublicValuesBusMessage,
    },
    system::BusInventory,
};
use openvm_stark_backend::{
    BaseAirWithPublicValues, PartitionedBaseAir,
    interaction::InteractionBuilder,
    p3_air::{Air, AirBuilder, AirBuilderWithPublicValues, BaseAir},
    p3_field::PrimeCharacteristicRing,
    p3_matrix::Matrix,
};

use super::public::{KeyCells, NodePublic, Point, node, point};

/// The index of our table in every circuit of the recursion.
pub const TABLE: usize = 0;
/// The index of the table, in the circuits of the recursion, that has the committed constraints.
pub const CONSTRAINTS_TABLE: usize = 1;

/// The buses that end in our tables.
#[derive(Debug, Clone)]
pub struct Buses {
    public_values: PublicValuesBus,
    key_hash: PreHashBus,
    commitment: CachedCommitBus,
    compress: Poseidon2CompressBus,
}

impl From<&BusInventory> for Buses {
    fn from(inventory: &BusInventory) -> Self {
        Self {
            public_values: inventory.public_values_bus,
            key_hash: inventory.pre_hash_bus,
            commitment: inventory.cached_commit_bus,
            compress: inventory.poseidon2_compress_bus,
        }
    }
}

/// The table of a leaf.
#[derive(Debug, Clone)]
pub struct LeafTable {
    pub buses: Buses,
    pub segment_key: Digest,
}

/// The table of a node, first or not.
#[derive(Debug, Clone)]
pub struct NodeTable {
    pub buses: Buses,
    /// The key of the proofs below that are not nodes.
    pub below: KeyCells,
    /// The commitment, in those, to the constraints that they verified with.
    pub below_verified: Digest,
}

/// The table of the wrap: over one node, which covers whole batches.
#[derive(Debug, Clone)]
pub struct WrapTable {
    pub buses: Buses,
    pub node: KeyCells,
    /// The commitment to the constraints of first nodes.
    pub first_constraints: Digest,
}

/// The table of the last proof, which says what the wrap says.
#[derive(Debug, Clone)]
pub struct LastTable {
    pub buses: Buses,
    pub wrap_hash: Digest,
    /// The commitment, in the wrap, to the constraints of nodes.
    pub node_constraints: Digest,
}

/// Columns of [`LeafTable`].
pub mod leaf_column {
    use super::{DIGEST_CELLS, PublicValues};

    pub const INDEX: usize = 0;
    pub const VALID: usize = 1;
    pub const SEGMENT: usize = 2;
    pub const DATA: usize = SEGMENT + PublicValues::CELLS;
    /// The first half of the permutation of the data's and the batch's digest.
    pub const HASHED: usize = DATA + DIGEST_CELLS;
    pub const COLUMNS: usize = HASHED + DIGEST_CELLS;
}

/// Columns of [`NodeTable`].
pub mod node_column {
    use super::NodePublic;

    pub const INDEX: usize = 0;
    pub const VALID: usize = 1;
    pub const CHILD: usize = 2;
    pub const COLUMNS: usize = CHILD + NodePublic::CELLS;
}

/// Columns of [`WrapTable`]. (Those of [`LastTable`] are the public values.)
pub mod wrap_column {
    use super::NodePublic;

    pub const CHILD: usize = 0;
    /// The inverse of the number of batches.
    pub const BATCHES_INVERSE: usize = CHILD + NodePublic::CELLS;
    pub const COLUMNS: usize = BATCHES_INVERSE + 1;
}

macro_rules! table {
    ($table:ty, $columns:expr, $values:expr) => {
        impl<T> BaseAir<T> for $table {
            fn width(&self) -> usize {
                $columns
            }
        }
        impl<T> BaseAirWithPublicValues<T> for $table {
            fn num_public_values(&self) -> usize {
                $values
            }
        }
        impl<T> PartitionedBaseAir<T> for $table {}
    };
}
table!(LeafTable, leaf_column::COLUMNS, NodePublic::CELLS);
table!(NodeTable, node_column::COLUMNS, NodePublic::CELLS);
table!(WrapTable, wrap_column::COLUMNS, LastPublic::CELLS);
table!(LastTable, LastPublic::CELLS, LastPublic::CELLS);

/// What is common to all rows of leaves and nodes: proofs are numbered from 0, valid rows come first, and there is one.
struct Rows<AB: AirBuilder> {
    index: AB::Expr,
    valid: AB::Expr,
    /// Whether the next row is valid, and so this one too. (On the last row, whose next is the first, it means nothing.)
    valid_next: AB::Expr,
}

impl<AB: AirBuilder<F = F>> Rows<AB> {
    fn constrain(builder: &mut AB, local: [AB::Expr; 2], next: [AB::Expr; 2]) -> Self {
        let ([index, valid], [index_next, valid_next]) = (local, next);
        builder.assert_bool(valid.clone());
        builder.when_first_row().assert_one(valid.clone());
        builder.when_first_row().assert_zero(index.clone());
        // valid' ≤ valid
        builder.when_transition().assert_bool(valid.clone() - valid_next.clone());
        // index' = index + 1
        builder.when_transition().when(valid_next.clone()).assert_eq(index_next, index.clone() + AB::Expr::ONE);
        Self { index, valid, valid_next }
    }
}

/// Stretches meet, and the first and last ends are those in public.
fn join<AB: AirBuilder<F = F>>(
    builder: &mut AB,
    rows: &Rows<AB>,
    [before, after, before_next]: [[AB::Expr; Point::CELLS]; 3],
    [public_before, public_after]: [[AB::Expr; Point::CELLS]; 2],
) {
    for cell in 0..Point::CELLS {
        // before' = after
        builder
            .when_transition()
            .when(rows.valid_next.clone())
            .assert_eq(before_next[cell].clone(), after[cell].clone());
        builder.when_first_row().assert_eq(before[cell].clone(), public_before[cell].clone());
        // A valid row is the last one if the next is not, or if it is the table's last.
        let ends = rows.valid.clone() - rows.valid_next.clone();
        builder.when_transition().when(ends).assert_eq(after[cell].clone(), public_after[cell].clone());
        builder.when_last_row().when(rows.valid.clone()).assert_eq(after[cell].clone(), public_after[cell].clone());
    }
}

/// A row's or the public values' cells, from `at` on.
fn take<V: Copy + Into<E>, E, const N: usize>(cells: &[V], at: usize) -> [E; N] {
    from_fn(|i| cells[at + i].into())
}

fn constants<E: From<F>>(digest: &Digest) -> [E; DIGEST_CELLS] {
    digest.map(E::from)
}

/// `choice ? one : zero`, for a choice that is 0 or 1.
fn select<E: PrimeCharacteristicRing>(
    choice: &E,
    one: &[E; DIGEST_CELLS],
    zero: &[E; DIGEST_CELLS],
) -> [E; DIGEST_CELLS] {
    from_fn(|i| zero[i].clone() + choice.clone() * (one[i].clone() - zero[i].clone()))
}

impl Buses {
    /// Receives all public values of a proof below, of which one table has some.
    fn public_values<AB: InteractionBuilder<F = F>>(
        &self,
        builder: &mut AB,
        index: &AB::Expr,
        table: usize,
        values: &[AB::Expr],
        valid: &AB::Expr,
    ) {
        for (number, value) in values.iter().enumerate() {
            let message = PublicValuesBusMessage {
                air_idx: AB::Expr::from_usize(table),
                pv_idx: AB::Expr::from_usize(number),
                value: value.clone(),
            };
            self.public_values.receive(builder, index.clone(), message, valid.clone());
        }
    }

    fn key_hash<AB: InteractionBuilder<F = F>>(
        &self,
        builder: &mut AB,
        index: &AB::Expr,
        hash: [AB::Expr; DIGEST_CELLS],
        valid: &AB::Expr,
    ) {
        self.key_hash.receive(builder, index.clone(), PreHashMessage { vk_pre_hash: hash }, valid.clone());
    }

    fn commitment<AB: InteractionBuilder<F = F>>(
        &self,
        builder: &mut AB,
        index: &AB::Expr,
        commitment: [AB::Expr; DIGEST_CELLS],
        valid: &AB::Expr,
    ) {
        let message = CachedCommitBusMessage {
            air_idx: AB::Expr::from_usize(CONSTRAINTS_TABLE),
            cached_idx: AB::Expr::ZERO,
            global_cached_idx: AB::Expr::ZERO,
            cached_commit: commitment,
        };
        self.commitment.receive(builder, index.clone(), message, valid.clone());
    }
}

impl<AB> Air<AB> for LeafTable
where
    AB: InteractionBuilder<F = F> + AirBuilderWithPublicValues,
{
    fn eval(&self, builder: &mut AB) {
        use leaf_column::{DATA, HASHED, INDEX, SEGMENT, VALID};
        let main = builder.main();
        let (local, next) = (main.row_slice(0).expect("a row"), main.row_slice(1).expect("the next row"));
        let (local, next): (&[AB::Var], &[AB::Var]) = (&local, &next);
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let cell = |row: &[AB::Var], at: usize| -> AB::Expr { row[at].into() };

        let pair = |row| [cell(row, INDEX), cell(row, VALID)];
        let rows = Rows::constrain(builder, pair(local), pair(next));
        let values: Vec<AB::Expr> = (0..PublicValues::CELLS).map(|i| cell(local, SEGMENT + i)).collect();
        self.buses.public_values(builder, &rows.index, Table::Segment.index(), &values, &rows.valid);
        self.buses.key_hash(builder, &rows.index, constants(&self.segment_key), &rows.valid);

        // A segment closes one batch, or none.
        let value = |row: &[AB::Var], at: usize| cell(row, SEGMENT + at);
        let closes = value(local, segment::BATCHES_END) - value(local, segment::BATCHES_START);
        builder.assert_bool(closes.clone());

        // data' = compress(data, digest of the batch), which is the permutation's first half plus data
        let data: [AB::Expr; DIGEST_CELLS] = take(local, DATA);
        let hashed: [AB::Expr; DIGEST_CELLS] = take(local, HASHED);
        let digest_out: [AB::Expr; DIGEST_CELLS] = take(local, SEGMENT + segment::DIGEST_OUT);
        let input = from_fn(|i| if i < DIGEST_CELLS { data[i].clone() } else { digest_out[i - DIGEST_CELLS].clone() });
        let message = Poseidon2CompressMessage { input, output: hashed.clone() };
        self.buses.compress.lookup_key(builder, message, rows.valid.clone() * closes.clone());
        let data_after: [AB::Expr; DIGEST_CELLS] = from_fn(|i| data[i].clone() + closes.clone() * hashed[i].clone());

        // The next batch's digest starts from its number.
        let batches_end = value(local, segment::BATCHES_END);
        let start: [AB::Expr; DIGEST_CELLS] =
            from_fn(|i| if i == 0 { batches_end.clone() + AB::Expr::ONE } else { AB::Expr::ZERO });
        let digest_after = select(&closes, &start, &digest_out);

        let before = |row: &[AB::Var]| -> [AB::Expr; Point::CELLS] {
            from_fn(|at| match at {
                at if at < point::DIGEST => value(row, segment::ROOT_OLD + at),
                at if at < point::SEQUENCE => value(row, segment::DIGEST_IN + at - point::DIGEST),
                point::SEQUENCE => value(row, segment::SEQUENCE_START),
                point::BATCHES => value(row, segment::BATCHES_START),
                at if at < point::DATA => value(row, segment::TIME_START + at - point::TIME),
                at => cell(row, DATA + at - point::DATA),
            })
        };
        let after = from_fn(|at| match at {
            at if at < point::DIGEST => value(local, segment::ROOT_NEW + at),
            at if at < point::SEQUENCE => digest_after[at - point::DIGEST].clone(),
            point::SEQUENCE => (AB::Expr::ONE - closes.clone()) * value(local, segment::SEQUENCE_END),
            point::BATCHES => batches_end.clone(),
            at if at < point::DATA => value(local, segment::TIME_END + at - point::TIME),
            at => data_after[at - point::DATA].clone(),
        });
        let ends = [from_fn(|i| public[node::BEFORE + i].clone()), from_fn(|i| public[node::AFTER + i].clone())];
        join(builder, &rows, [before(local), after, before(next)], ends);

        for (i, cell) in self.segment_key.iter().enumerate() {
            builder.assert_eq(public[node::SEGMENT_KEY + i].clone(), AB::Expr::from(*cell));
        }
        for value in &public[node::NODE_KEY_HASH..] {
            builder.assert_zero(value.clone());
        }
    }
}

impl<AB> Air<AB> for NodeTable
where
    AB: InteractionBuilder<F = F> + AirBuilderWithPublicValues,
{
    fn eval(&self, builder: &mut AB) {
        use node_column::{CHILD, INDEX, VALID};
        let main = builder.main();
        let (local, next) = (main.row_slice(0).expect("a row"), main.row_slice(1).expect("the next row"));
        let (local, next): (&[AB::Var], &[AB::Var]) = (&local, &next);
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let cell = |row: &[AB::Var], at: usize| -> AB::Expr { row[at].into() };

        let pair = |row| [cell(row, INDEX), cell(row, VALID)];
        let rows = Rows::constrain(builder, pair(local), pair(next));
        let child: Vec<AB::Expr> = (0..NodePublic::CELLS).map(|i| cell(local, CHILD + i)).collect();
        self.buses.public_values(builder, &rows.index, TABLE, &child, &rows.valid);

        // The proofs below are nodes, or they are not.
        let above_nodes = public[node::ABOVE_NODES].clone();
        builder.assert_bool(above_nodes.clone());
        let node_hash: [AB::Expr; DIGEST_CELLS] = from_fn(|i| public[node::NODE_KEY_HASH + i].clone());
        let node_constraints: [AB::Expr; DIGEST_CELLS] = from_fn(|i| public[node::NODE_KEY_CONSTRAINTS + i].clone());
        let hash = select(&above_nodes, &node_hash, &constants(&self.below.hash));
        self.buses.key_hash(builder, &rows.index, hash, &rows.valid);
        // A node verified the proofs below it with the constraints of those below nodes, or of nodes.
        let child_above_nodes = child[node::ABOVE_NODES].clone();
        let verified = select(&child_above_nodes, &node_constraints, &constants(&self.below.constraints));
        let commitment = select(&above_nodes, &verified, &constants(&self.below_verified));
        self.buses.commitment(builder, &rows.index, commitment, &rows.valid);
        let not_nodes = AB::Expr::ONE - above_nodes.clone();
        builder.when(not_nodes).assert_zero(child_above_nodes);
        for i in 0..2 * DIGEST_CELLS {
            // Nodes agree on the key of nodes.
            let at = node::NODE_KEY_HASH + i;
            let mut nodes = builder.when(rows.valid.clone());
            nodes.when(above_nodes.clone()).assert_eq(child[at].clone(), public[at].clone());
        }
        for i in 0..DIGEST_CELLS {
            let at = node::SEGMENT_KEY + i;
            builder.when(rows.valid.clone()).assert_eq(child[at].clone(), public[at].clone());
        }

        let ends = [from_fn(|i| public[node::BEFORE + i].clone()), from_fn(|i| public[node::AFTER + i].clone())];
        let at = |row: &[AB::Var], at: usize| -> [AB::Expr; Point::CELLS] { take(row, CHILD + at) };
        let meet = [at(local, node::BEFORE), at(local, node::AFTER), at(next, node::BEFORE)];
        join(builder, &rows, meet, ends);
    }
}

impl<AB> Air<AB> for WrapTable
where
    AB: InteractionBuilder<F = F> + AirBuilderWithPublicValues,
{
    fn eval(&self, builder: &mut AB) {
        use wrap_column::{BATCHES_INVERSE, CHILD};
        let main = builder.main();
        let local = main.row_slice(0).expect("a row");
        let local: &[AB::Var] = &local;
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let child: Vec<AB::Expr> = (0..NodePublic::CELLS).map(|i| local[CHILD + i].into()).collect();
        let (index, valid) = (AB::Expr::ZERO, AB::Expr::ONE);
        self.buses.public_values(builder, &index, TABLE, &child, &valid);
        self.buses.key_hash(builder, &index, constants(&self.node.hash), &valid);
        let above_nodes = child[node::ABOVE_NODES].clone();
        let verified = select(&above_nodes, &constants(&self.node.constraints), &constants(&self.first_constraints));
        self.buses.commitment(builder, &index, verified, &valid);
        // What the nodes took for their key is their key.
        for i in 0..DIGEST_CELLS {
            builder.assert_eq(child[node::NODE_KEY_HASH + i].clone(), AB::Expr::from(self.node.hash[i]));
            builder.assert_eq(child[node::NODE_KEY_CONSTRAINTS + i].clone(), AB::Expr::from(self.node.constraints[i]));
        }

        // The chain begins and ends between batches.
        let end = |at: usize, part: usize| child[at + part].clone();
        for at in [node::BEFORE, node::AFTER] {
            builder.assert_zero(end(at, point::SEQUENCE));
            builder.assert_eq(end(at, point::DIGEST), end(at, point::BATCHES) + AB::Expr::ONE);
            for i in 1..DIGEST_CELLS {
                builder.assert_zero(end(at, point::DIGEST + i));
            }
        }
        for i in 0..DIGEST_CELLS {
            builder.assert_zero(end(node::BEFORE, point::DATA + i));
        }
        // There is at least one batch.
        let batches = end(node::AFTER, point::BATCHES) - end(node::BEFORE, point::BATCHES);
        builder.assert_one(batches * local[BATCHES_INVERSE].into());

        let mut equal = |at: usize, value: AB::Expr| builder.assert_eq(public[at].clone(), value);
        for i in 0..DIGEST_CELLS {
            equal(last::ROOT_OLD + i, end(node::BEFORE, point::ROOT + i));
            equal(last::ROOT_NEW + i, end(node::AFTER, point::ROOT + i));
            equal(last::DATA + i, end(node::AFTER, point::DATA + i));
            equal(last::SEGMENT_KEY + i, child[node::SEGMENT_KEY + i].clone());
        }
        equal(last::BATCH_FIRST, end(node::BEFORE, point::BATCHES) + AB::Expr::ONE);
        equal(last::BATCH_LAST, end(node::AFTER, point::BATCHES));
        for i in 0..3 {
            equal(last::TIME_START + i, end(node::BEFORE, point::TIME + i));
            equal(last::TIME_END + i, end(node::AFTER, point::TIME + i));
        }
    }
}

impl<AB> Air<AB> for LastTable
where
    AB: InteractionBuilder<F = F> + AirBuilderWithPublicValues,
{
    fn eval(&self, builder: &mut AB) {
        let main = builder.main();
        let local = main.row_slice(0).expect("a row");
        let values: Vec<AB::Expr> = local.iter().map(|&value| value.into()).collect();
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let (index, valid) = (AB::Expr::ZERO, AB::Expr::ONE);
        self.buses.public_values(builder, &index, TABLE, &values, &valid);
        self.buses.key_hash(builder, &index, constants(&self.wrap_hash), &valid);
        self.buses.commitment(builder, &index, constants(&self.node_constraints), &valid);
        for (value, public) in values.into_iter().zip(public) {
            builder.assert_eq(value, public);
        }
    }
}
