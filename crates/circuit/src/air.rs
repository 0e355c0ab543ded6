//! The tables as AIRs: those of the steps, and those that hold them together (segment, memory boundary, Merkle tree, Poseidon2). Those of signatures are in [`crate::schnorr`].

use holdfast_crypto::{F, field::DIGEST_CELLS};
use holdfast_exchange::{
    flow::Label,
    machine::{LIMB_BITS, Plain},
    record::Record,
    slots::{Account, Deployment, Kind, LEAF_CELLS, Market, Order, Owner, Position, Session, System},
    step::Step,
};
use holdfast_protocol::publication::WORD_CELLS;
use openvm_circuit_primitives::var_range::{VariableRangeCheckerAir, VariableRangeCheckerBus};
use openvm_stark_backend::{
    AirRef, PartitionedBaseAir, StarkProtocolConfig,
    air_builders::sub::SubAirBuilder,
    interaction::InteractionBuilder,
    p3_air::{Air, AirBuilder, AirBuilderWithPublicValues, BaseAir, BaseAirWithPublicValues},
    p3_field::PrimeCharacteristicRing,
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};
use p3_baby_bear::{
    BABYBEAR_RC16_EXTERNAL_FINAL, BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL,
    GenericPoseidon2LinearLayersBabyBear,
};
use p3_poseidon2_air::RoundConstants;
use std::sync::Arc;

use crate::{
    RANGE_BITS,
    cells::{ACCESSES_MAX, CLOCK_BITS, GAP_BITS},
    public::{PublicValues, offset},
    publication::{self, WORDS, WordsEntry, power_place, words_row},
    row::{Bus, Row},
    schnorr::{KeyAir, LadderAir, SignatureAir},
    step_table::{Entry, step_row},
};

/// Cells of the permutation's state.
const STATE: usize = 16;
/// x^7, of which one register (x^3) keeps every constraint at degree 3.
const SBOX_DEGREE: u64 = 7;
const SBOX_REGISTERS: usize = 1;
const HALF_FULL_ROUNDS: usize = 4;
const PARTIAL_ROUNDS: usize = 13;

/// The audited AIR of the Poseidon2 permutation, width 16 over BabyBear: Plonky3's, with its constants.
type Permutation = p3_poseidon2_air::Poseidon2Air<
    F,
    GenericPoseidon2LinearLayersBabyBear,
    STATE,
    SBOX_DEGREE,
    SBOX_REGISTERS,
    HALF_FULL_ROUNDS,
    PARTIAL_ROUNDS,
>;

fn round_constants() -> RoundConstants<F, STATE, HALF_FULL_ROUNDS, PARTIAL_ROUNDS> {
    RoundConstants::new(BABYBEAR_RC16_EXTERNAL_INITIAL, BABYBEAR_RC16_INTERNAL, BABYBEAR_RC16_EXTERNAL_FINAL)
}

/// The rows of these permutations, without the count of their uses. As many inputs as a power of two.
pub fn permutation_rows(inputs: Vec<[F; STATE]>) -> RowMajorMatrix<F> {
    p3_poseidon2_air::generate_trace_rows::<
        F,
        GenericPoseidon2LinearLayersBabyBear,
        STATE,
        SBOX_DEGREE,
        SBOX_REGISTERS,
        HALF_FULL_ROUNDS,
        PARTIAL_ROUNDS,
    >(inputs, &round_constants(), 0)
}

/// Depth of the state's tree.
pub const TREE_DEPTH: u32 = holdfast_crypto::tree::DEPTH;

/// The tables, in the order of the verifying key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Segment,
    Step(Step),
    Boundary(Kind),
    Merkle,
    Signature,
    Ladder,
    Key,
    Words,
    Poseidon2,
    Range,
}

impl Table {
    pub fn all() -> impl Iterator<Item = Table> {
        [Table::Segment]
            .into_iter()
            .chain(Step::ALL.iter().map(|&step| Table::Step(step)))
            .chain(Kind::ALL.into_iter().map(Table::Boundary))
            .chain([
                Table::Merkle,
                Table::Signature,
                Table::Ladder,
                Table::Key,
                Table::Words,
                Table::Poseidon2,
                Table::Range,
            ])
    }

    pub fn name(self) -> String {
        match self {
            Table::Segment => "segment".into(),
            Table::Step(step) => step.name().into(),
            Table::Boundary(kind) => format!("boundary_{}", kind.name()),
            Table::Merkle => "merkle".into(),
            Table::Signature => "signature".into(),
            Table::Ladder => "ladder".into(),
            Table::Key => "key".into(),
            Table::Words => "words".into(),
            Table::Poseidon2 => "poseidon2".into(),
            Table::Range => "range".into(),
        }
    }

    /// Index in the verifying key.
    pub fn index(self) -> usize {
        Table::all().position(|table| table == self).expect("every table is listed")
    }
}

/// All tables as AIRs.
pub fn airs<SC: StarkProtocolConfig<F = F>>() -> Vec<AirRef<SC>> {
    Table::all()
        .map(|table| -> AirRef<SC> {
            match table {
                Table::Segment => Arc::new(SegmentAir),
                Table::Step(_) | Table::Words => Arc::new(RowAir::new(table)),
                Table::Boundary(kind) => Arc::new(BoundaryAir { kind }),
                Table::Merkle => Arc::new(MerkleAir),
                Table::Signature => Arc::new(SignatureAir),
                Table::Ladder => Arc::new(LadderAir),
                Table::Key => Arc::new(KeyAir),
                Table::Poseidon2 => Arc::new(Poseidon2Air::new()),
                Table::Range => {
                    let bus = VariableRangeCheckerBus::new(Bus::Range as u16, RANGE_BITS as usize);
                    Arc::new(VariableRangeCheckerAir::new(bus))
                }
            }
        })
        .collect()
}

/// Cells of a slot's record, without padding.
pub fn record_cells(kind: Kind) -> usize {
    match kind {
        Kind::System => System::<Plain>::CELLS,
        Kind::Market => Market::<Plain>::CELLS,
        Kind::Account => Account::<Plain>::CELLS,
        Kind::Position => Position::<Plain>::CELLS,
        Kind::Order => Order::<Plain>::CELLS,
        Kind::Session => Session::<Plain>::CELLS,
        Kind::Owner => Owner::<Plain>::CELLS,
        Kind::Deployment => Deployment::<Plain>::CELLS,
    }
}

/// A row that is constrained.
struct Constrain<'a, AB: AirBuilder> {
    builder: &'a mut AB,
    columns: Vec<AB::Var>,
    at: usize,
}

fn integer<E: PrimeCharacteristicRing>(value: i64) -> E {
    let magnitude = E::from_u64(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

impl<AB: InteractionBuilder> Row for Constrain<'_, AB> {
    type E = AB::Expr;

    fn constant(&self, value: i64) -> AB::Expr {
        integer(value)
    }
    fn column(&mut self, _value: i64) -> AB::Expr {
        let column = self.columns[self.at];
        self.at += 1;
        column.into()
    }
    fn value(&self, _e: &AB::Expr) -> i64 {
        0
    }
    fn assert_zero(&mut self, e: AB::Expr) {
        self.builder.assert_zero(e);
    }
    fn range(&mut self, active: &AB::Expr, e: &AB::Expr, bits: u32) {
        let bits = integer::<AB::Expr>(i64::from(bits));
        self.builder.push_interaction(Bus::Range as u16, [e.clone(), bits], active.clone(), 1);
    }
    fn interact(&mut self, bus: Bus, receives: bool, message: Vec<AB::Expr>, count: AB::Expr) {
        let count = if receives { -count } else { count };
        self.builder.push_interaction(bus as u16, message, count, 1);
    }
    fn load(&mut self, _: Kind, _: &AB::Expr, _: &AB::Expr, _: &AB::Expr) -> (Vec<i64>, i64) {
        (Vec::new(), 0)
    }
    fn store(&mut self, _: Kind, _: &AB::Expr, _: &AB::Expr, _: &[AB::Expr]) {}
    fn hint_neighbour(&mut self, _: &AB::Expr, _: i64) -> i64 {
        0
    }
    fn hint_open_order(&mut self, _: &AB::Expr, _: &AB::Expr, _: &AB::Expr) -> i64 {
        0
    }
    fn compress(&mut self, _: &[AB::Expr; 8], _: &[AB::Expr; 8]) -> [i64; 8] {
        [0; 8]
    }
    fn note_signed(&mut self, _: &[AB::Expr; 14], _: &[AB::Expr; 8]) {}
    fn note_outcome(&mut self, _: &AB::Expr, _: &AB::Expr) {}
}

/// Counts columns.
struct Count(usize);

impl Row for Count {
    type E = i64;

    fn constant(&self, value: i64) -> i64 {
        value
    }
    fn column(&mut self, _: i64) -> i64 {
        self.0 += 1;
        0
    }
    fn value(&self, _: &i64) -> i64 {
        0
    }
    fn assert_zero(&mut self, _: i64) {}
    fn range(&mut self, _: &i64, _: &i64, _: u32) {}
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}
    fn load(&mut self, _: Kind, _: &i64, _: &i64, _: &i64) -> (Vec<i64>, i64) {
        (Vec::new(), 0)
    }
    fn store(&mut self, _: Kind, _: &i64, _: &i64, _: &[i64]) {}
    fn hint_neighbour(&mut self, _: &i64, _: i64) -> i64 {
        0
    }
    fn hint_open_order(&mut self, _: &i64, _: &i64, _: &i64) -> i64 {
        0
    }
    fn compress(&mut self, _: &[i64; 8], _: &[i64; 8]) -> [i64; 8] {
        [0; 8]
    }
    fn note_signed(&mut self, _: &[i64; 14], _: &[i64; 8]) {}
    fn note_outcome(&mut self, _: &i64, _: &i64) {}
}

/// A row of a table that is written as a function over [`Row`], with nothing in it.
fn table_row<R: Row>(row: &mut R, table: Table) {
    match table {
        Table::Step(step) => drop(step_row(row, step, &Entry::default())),
        Table::Words => words_row(row, &WordsEntry::default()),
        _ => unreachable!("the {} table has an AIR of its own", table.name()),
    }
}

/// Columns of a step's table, or of that of the published words.
pub fn row_width(table: Table) -> usize {
    let mut count = Count(0);
    table_row(&mut count, table);
    count.0
}

/// A table whose rows are written as a function over [`Row`].
#[derive(Debug, Clone)]
struct RowAir {
    table: Table,
    width: usize,
}

impl RowAir {
    fn new(table: Table) -> Self {
        Self { table, width: row_width(table) }
    }
}

/// An AIR without public values or preprocessed columns.
macro_rules! plain_air {
    ($name:ident, $self:ident => $width:expr) => {
        impl<T> BaseAir<T> for $name {
            fn width(&$self) -> usize {
                $width
            }
        }
        impl<T> BaseAirWithPublicValues<T> for $name {}
        impl<T> PartitionedBaseAir<T> for $name {}
    };
}
pub(crate) use plain_air;

pub(crate) fn local<AB: AirBuilder<Var: Copy>>(builder: &AB) -> Vec<AB::Var> {
    let main = builder.main();
    let row = main.row_slice(0).expect("a table has rows");
    row.to_vec()
}

plain_air!(RowAir, self => self.width);

impl<AB: InteractionBuilder> Air<AB> for RowAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let mut row = Constrain { builder, columns, at: 0 };
        table_row(&mut row, self.table);
        assert_eq!(row.at, self.width, "a row asks for as many columns as the table has");
    }
}

/// Takes slices of a row in order.
pub(crate) struct Columns<'a, V> {
    pub rest: &'a [V],
}

impl<'a, V: Copy> Columns<'a, V> {
    pub fn one<E: From<V>>(&mut self) -> E {
        self.many(1).remove(0)
    }
    pub fn many<E: From<V>>(&mut self, n: usize) -> Vec<E> {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken.iter().map(|&column| column.into()).collect()
    }
}

fn constant<AB: AirBuilder>(value: u32) -> AB::Expr {
    AB::Expr::from_u32(value)
}

pub(crate) fn push<AB: InteractionBuilder>(
    builder: &mut AB,
    bus: Bus,
    receives: bool,
    message: Vec<AB::Expr>,
    count: AB::Expr,
) {
    let count = if receives { -count } else { count };
    builder.push_interaction(bus as u16, message, count, 1);
}

/// Looks up `output = compress(left, right)`: the permutation's first cells, plus `left`.
pub(crate) fn look_up_compression<AB: InteractionBuilder>(
    builder: &mut AB,
    left: &[AB::Expr],
    right: &[AB::Expr],
    output: &[AB::Expr],
    count: AB::Expr,
) {
    let permuted = output.iter().zip(left).map(|(output, left)| output.clone() - left.clone());
    let message: Vec<AB::Expr> = left.iter().chain(right).cloned().chain(permuted).collect();
    builder.push_interaction(Bus::Poseidon2 as u16, message, count, 1);
}

/// The segment itself: one row that ties the ends of every chain to the public values.
///
/// Columns: active, whether the segment closes its batch, the time between the last access to the system slot and the end (two limbs), the clock at the end (two
/// limbs), and the system slot's cells at the start and at the end (before the batch is counted). Of what is published: whether the segment begins its batch, how many words it publishes, in how many rows of the words table they and the powers are, the point and its powers, and for
/// each end the digest of the instructions, the value, and the digests between it and the one that is public.
#[derive(Debug, Clone, Copy)]
pub struct SegmentAir;

const SYSTEM_CELLS: usize = System::<Plain>::CELLS;
/// Position of the count of batches among the system slot's cells: it is the last one.
pub const SYSTEM_BATCHES: usize = SYSTEM_CELLS - 1;
/// Position of the count of unsealed sessions: before it.
pub const SYSTEM_UNSEALED: usize = SYSTEM_BATCHES - 1;
pub const SEGMENT_WIDTH: usize = SEGMENT_CHAIN + PROGRESS_HASHES * DIGEST_CELLS;
/// First column of the system slot's cells at the end.
pub const SEGMENT_END: usize = 6 + SYSTEM_CELLS;
/// First column of the digests at the end: of the instructions, and those between it and the one that is public.
pub const SEGMENT_CHAIN: usize = SEGMENT_POINT + (WORDS + 2) * publication::LIMBS + PROGRESS_HASHES * DIGEST_CELLS;
/// First column of the point and its powers.
pub const SEGMENT_POINT: usize = SEGMENT_END + SYSTEM_CELLS + 3;
/// Digests of an end: of the instructions, and after the first two of the three blocks that follow.
pub const PROGRESS_HASHES: usize = 3;

impl<T> BaseAir<T> for SegmentAir {
    fn width(&self) -> usize {
        SEGMENT_WIDTH
    }
}
impl<T> BaseAirWithPublicValues<T> for SegmentAir {
    fn num_public_values(&self) -> usize {
        PublicValues::CELLS
    }
}
impl<T> PartitionedBaseAir<T> for SegmentAir {}

impl<AB: InteractionBuilder + AirBuilderWithPublicValues> Air<AB> for SegmentAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        let closes: AB::Expr = columns.one();
        let gap: [AB::Expr; 2] = [columns.one(), columns.one()];
        let clock: [AB::Expr; 2] = [columns.one(), columns.one()];
        let start: Vec<AB::Expr> = columns.many(SYSTEM_CELLS);
        let end: Vec<AB::Expr> = columns.many(SYSTEM_CELLS);
        let begins: AB::Expr = columns.one();
        let words: AB::Expr = columns.one();
        let rows: AB::Expr = columns.one();
        let powers: [Vec<AB::Expr>; WORDS] = std::array::from_fn(|_| columns.many(publication::LIMBS));
        let [point, ..] = &powers;
        let [before, after]: [Progress<AB::Expr>; 2] = std::array::from_fn(|_| Progress::take(&mut columns));

        // The first row is the segment; any other row does nothing.
        let first = builder.is_first_row();
        builder.assert_zero(active.clone() - first);
        builder.assert_bool(closes.clone());
        let cells = |from: usize, n: usize| public[from..from + n].to_vec();
        let [sequence_start, sequence_end, clock_end] =
            [offset::SEQUENCE_START, offset::SEQUENCE_END, offset::CLOCK_END].map(|at| public[at].clone());

        // The chain of steps starts idle at clock 1 and ends idle.
        let idle = constant::<AB>(Label::Idle.number());
        let one = AB::Expr::ONE;
        push(builder, Bus::Step, false, vec![one.clone(), idle.clone(), sequence_start.clone()], active.clone());
        push(builder, Bus::Step, true, vec![clock_end.clone(), idle, sequence_end.clone()], active.clone());

        // The digest of the commands.
        for (receives, sequence, words, progress) in
            [(false, sequence_start, AB::Expr::ZERO, &before), (true, sequence_end, words, &after)]
        {
            let mut digest = vec![sequence, AB::Expr::ZERO, words.clone()];
            digest.extend_from_slice(&progress.hashes[0]);
            push(builder, Bus::Digest, receives, digest, active.clone());
            // The value of the words, at the point.
            let mut value = vec![words];
            value.extend_from_slice(&progress.value);
            push(builder, Bus::Value, receives, value, active.clone());
        }
        // Every row of the words is told the point and its powers.
        push(builder, Bus::Powers, false, powers.concat(), active.clone() * rows);
        let zeros = vec![AB::Expr::ZERO; WORD_CELLS];
        // Each power but the first is that before it, times the point: as a value is extended by a word of zero.
        for (power, pair) in powers.windows(2).enumerate() {
            let place = integer::<AB::Expr>(power_place(power));
            let with = |place: &AB::Expr, rest: &[AB::Expr]| [std::slice::from_ref(place), rest].concat();
            push(builder, Bus::Word, false, with(&place, &zeros), active.clone());
            push(builder, Bus::Value, false, with(&place, &pair[0]), active.clone());
            push(builder, Bus::Value, true, with(&(place + AB::Expr::ONE), &pair[1]), active.clone());
        }
        // The point and the value before come from outside; the powers and the value after are made of what is checked.
        for limb in point.iter().chain(&before.value) {
            let bits = constant::<AB>(publication::LIMB_BITS);
            builder.push_interaction(Bus::Range as u16, [limb.clone(), bits], active.clone(), 1);
        }
        // What is public is the digest of all of it. A batch begins with the digest of its number alone, and nothing published.
        builder.assert_bool(begins.clone());
        let goes_on = AB::Expr::ONE - begins.clone();
        let digest_in = cells(offset::DIGEST_IN, DIGEST_CELLS);
        for (i, cell) in before.hashes[0].iter().enumerate() {
            builder.assert_zero(active.clone() * begins.clone() * (cell.clone() - digest_in[i].clone()));
            if i > 0 {
                builder.assert_zero(begins.clone() * cell.clone());
            }
        }
        let [_, hashed @ ..] = &before.hashes;
        for cell in before.value.iter().chain(hashed.iter().flatten()) {
            builder.assert_zero(begins.clone() * cell.clone());
        }
        before.look_up::<AB>(builder, point, &start[..3], &digest_in, active.clone() * goes_on);
        let digest_out = cells(offset::DIGEST_OUT, DIGEST_CELLS);
        after.look_up::<AB>(builder, point, &end[..3], &digest_out, active.clone());

        // The root.
        let mut root = vec![constant::<AB>(TREE_DEPTH), AB::Expr::ZERO];
        root.extend(cells(offset::ROOT_OLD, DIGEST_CELLS));
        root.extend(cells(offset::ROOT_NEW, DIGEST_CELLS));
        push(builder, Bus::Merkle, true, root, active.clone());

        // The system slot before all steps (timestamp 1) and after them (timestamp 16 × clock).
        let system = |timestamp: AB::Expr, cells: &[AB::Expr]| {
            let mut message =
                vec![constant::<AB>(Kind::System as u32), constant::<AB>(Kind::System.region().base), timestamp];
            message.extend_from_slice(cells);
            message
        };
        push(builder, Bus::Memory, true, system(AB::Expr::ZERO, &start), active.clone());
        push(builder, Bus::Memory, false, system(one, &start), active.clone());
        // The last access lies before the end, 0 ≤ gap < 2^28: else the segment could receive what it sends itself.
        // And the clock has 24 bits, so that timestamps have 28 and cannot wrap.
        let limbs = [
            (&gap[0], LIMB_BITS),
            (&gap[1], GAP_BITS - LIMB_BITS),
            (&clock[0], LIMB_BITS),
            (&clock[1], CLOCK_BITS - LIMB_BITS),
        ];
        for (limb, bits) in limbs {
            builder.push_interaction(Bus::Range as u16, [limb.clone(), constant::<AB>(bits)], active.clone(), 1);
        }
        let [clock_low, clock_high] = clock;
        let clock = clock_low + constant::<AB>(1 << LIMB_BITS) * clock_high;
        builder.assert_zero(active.clone() * (clock_end.clone() - clock));
        let [gap_low, gap_high] = gap;
        let finish = constant::<AB>(ACCESSES_MAX) * clock_end;
        let last_access = finish.clone() - AB::Expr::ONE - gap_low - constant::<AB>(1 << LIMB_BITS) * gap_high;
        push(builder, Bus::Memory, true, system(last_access, &end), active.clone());
        let mut counted = end.clone();
        counted[SYSTEM_BATCHES] = end[SYSTEM_BATCHES].clone() + closes.clone();
        push(builder, Bus::Memory, false, system(finish, &counted), active.clone());

        // A batch is closed when every session is sealed.
        builder.assert_zero(closes.clone() * end[SYSTEM_UNSEALED].clone());

        // Time (the slot's first three cells) and batch number at both ends.
        let mut shown = |at: usize, cell: &AB::Expr| {
            builder.assert_zero(active.clone() * (cell.clone() - public[at].clone()));
        };
        for limb in 0..3 {
            shown(offset::TIME_START + limb, &start[limb]);
            shown(offset::TIME_END + limb, &end[limb]);
        }
        shown(offset::BATCHES_START, &start[SYSTEM_BATCHES]);
        shown(offset::BATCHES_END, &counted[SYSTEM_BATCHES]);
    }
}

/// How much of a batch is published at one end of a segment: see [`holdfast_protocol::publication::Progress`].
struct Progress<E> {
    value: Vec<E>,
    hashes: [Vec<E>; PROGRESS_HASHES],
}

impl<E: Clone + PrimeCharacteristicRing> Progress<E> {
    fn take<V: Copy>(columns: &mut Columns<'_, V>) -> Self
    where
        E: From<V>,
    {
        let value = columns.many(publication::LIMBS);
        Self { value, hashes: std::array::from_fn(|_| columns.many(DIGEST_CELLS)) }
    }

    /// Looks up that `digest` is the digest of it.
    fn look_up<AB: InteractionBuilder<Expr = E>>(
        &self,
        builder: &mut AB,
        point: &[E],
        time: &[E],
        digest: &[E],
        count: E,
    ) {
        // Three limbs of ten bits a cell.
        let packed = |limbs: &[E]| -> Vec<E> {
            let cell = |limbs: &[E]| {
                limbs
                    .iter()
                    .rev()
                    .fold(E::ZERO, |cell, limb| cell * E::from_u32(1 << publication::LIMB_BITS) + limb.clone())
            };
            limbs.chunks(3).map(cell).collect()
        };
        let mut cells = packed(point);
        cells.extend(packed(&self.value));
        cells.extend_from_slice(time);
        cells.resize(3 * DIGEST_CELLS, E::ZERO);
        let [chain, first, second] = &self.hashes;
        for (at, (left, output)) in
            [(chain, first.as_slice()), (first, second), (second, digest)].into_iter().enumerate()
        {
            let block = &cells[at * DIGEST_CELLS..][..DIGEST_CELLS];
            look_up_compression(builder, left, block, output, count.clone());
        }
    }
}

/// The slots of one kind that a segment touches: their content before and after it.
///
/// Columns: active, outer index (low 14 bits, high bits), inner index, timestamp of the last access, cells before, cells after. A kind without an index has no
/// columns for it.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryAir {
    pub kind: Kind,
}

impl BoundaryAir {
    pub fn index_columns(kind: Kind) -> usize {
        let region = kind.region();
        (region.outer_bits as usize).div_ceil(LIMB_BITS as usize)
            + (region.inner_bits as usize).div_ceil(LIMB_BITS as usize)
    }

    pub fn columns(kind: Kind) -> usize {
        2 + Self::index_columns(kind) + 2 * record_cells(kind)
    }
}

plain_air!(BoundaryAir, self => BoundaryAir::columns(self.kind));

impl<AB: InteractionBuilder> Air<AB> for BoundaryAir {
    fn eval(&self, builder: &mut AB) {
        let region = self.kind.region();
        let columns = local(builder);
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        builder.assert_bool(active.clone());
        let mut leaf = constant::<AB>(region.base);
        for (bits, stride) in [(region.outer_bits, region.outer_stride), (region.inner_bits, region.inner_stride)] {
            let mut done = 0;
            while done < bits {
                let limb_bits = (bits - done).min(LIMB_BITS);
                let limb: AB::Expr = columns.one();
                builder.push_interaction(
                    Bus::Range as u16,
                    [limb.clone(), constant::<AB>(limb_bits)],
                    active.clone(),
                    1,
                );
                leaf += limb * constant::<AB>(stride << done);
                done += limb_bits;
            }
        }
        let last_access: AB::Expr = columns.one();
        let cells = record_cells(self.kind);
        let before: Vec<AB::Expr> = columns.many(cells);
        let after: Vec<AB::Expr> = columns.many(cells);

        let memory = |timestamp: AB::Expr, cells: &[AB::Expr]| {
            let mut message = vec![constant::<AB>(self.kind as u32), leaf.clone(), timestamp];
            message.extend_from_slice(cells);
            message
        };
        push(builder, Bus::Memory, false, memory(AB::Expr::ZERO, &before), active.clone());
        push(builder, Bus::Memory, true, memory(last_access, &after), active.clone());

        for offset in 0..region.leaves {
            let part = |cells: &[AB::Expr]| -> Vec<AB::Expr> {
                let mut part: Vec<_> = cells.iter().skip(offset * LEAF_CELLS).take(LEAF_CELLS).cloned().collect();
                part.resize(LEAF_CELLS, AB::Expr::ZERO);
                part
            };
            let mut message = vec![AB::Expr::ZERO, leaf.clone() + constant::<AB>(offset as u32)];
            message.extend(part(&before));
            message.extend(part(&after));
            push(builder, Bus::Merkle, false, message, active.clone());
        }
    }
}

/// The touched inner nodes of the state's tree, before and after the segment.
///
/// Columns: active, level (of the node; a raw leaf has 0), index, whether the left and the right child are touched, and before and after: left, right, node (8 each).
///
/// A touched child is received from its own row, and each is sent exactly once, so that, from the root down, every touched node has exactly one row; an untouched
/// child must be the same before and after.
#[derive(Debug, Clone, Copy)]
pub struct MerkleAir;

pub const MERKLE_WIDTH: usize = 5 + 6 * DIGEST_CELLS;

plain_air!(MerkleAir, self => MERKLE_WIDTH);

impl<AB: InteractionBuilder> Air<AB> for MerkleAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        let level: AB::Expr = columns.one();
        let index: AB::Expr = columns.one();
        let touched: [AB::Expr; 2] = [columns.one(), columns.one()];
        let mut digest = || columns.many::<AB::Expr>(DIGEST_CELLS);
        let before = [digest(), digest(), digest()];
        let after = [digest(), digest(), digest()];

        builder.assert_bool(active.clone());
        for (child, touched) in touched.into_iter().enumerate() {
            builder.assert_bool(touched.clone());
            let side = constant::<AB>(child as u32);
            let mut message = vec![level.clone() - AB::Expr::ONE, index.clone() + index.clone() + side];
            message.extend_from_slice(&before[child]);
            message.extend_from_slice(&after[child]);
            push(builder, Bus::Merkle, true, message, active.clone() * touched.clone());
            // Untouched: before = after.
            for (old, new) in before[child].iter().zip(&after[child]) {
                builder.assert_zero((AB::Expr::ONE - touched.clone()) * (old.clone() - new.clone()));
            }
        }
        let mut message = vec![level, index];
        message.extend_from_slice(&before[2]);
        message.extend_from_slice(&after[2]);
        push(builder, Bus::Merkle, false, message, active.clone());
        for [left, right, node] in [&before, &after] {
            look_up_compression(builder, left, right, node, active.clone());
        }
    }
}

/// Poseidon2 permutations. Columns: those of the audited sub-AIR, and how often the row is looked up.
pub struct Poseidon2Air {
    sub: Permutation,
}

impl Poseidon2Air {
    pub fn new() -> Self {
        Self { sub: Permutation::new(round_constants()) }
    }

    pub fn columns(&self) -> usize {
        BaseAir::<F>::width(&self.sub) + 1
    }
}

impl Default for Poseidon2Air {
    fn default() -> Self {
        Self::new()
    }
}

impl BaseAir<F> for Poseidon2Air {
    fn width(&self) -> usize {
        self.columns()
    }
}
impl BaseAirWithPublicValues<F> for Poseidon2Air {}
impl PartitionedBaseAir<F> for Poseidon2Air {}

impl<AB: InteractionBuilder<F = F>> Air<AB> for Poseidon2Air {
    fn eval(&self, builder: &mut AB) {
        let width = BaseAir::<F>::width(&self.sub);
        let mut sub = SubAirBuilder::<AB, Permutation, AB::F>::new(builder, 0..width);
        self.sub.eval(&mut sub);

        // After one column that this table does not use come the 16 of the input. The last full round ends with the output.
        let columns = local(builder);
        let input = &columns[1..17];
        let output = &columns[width - 16..width - 16 + DIGEST_CELLS];
        let message: Vec<AB::Expr> = input.iter().chain(output).map(|&column| column.into()).collect();
        // The sub-AIR leaves its first column free; here it says nothing, and is 1 as that crate fills it.
        builder.assert_one(columns[0]);
        let count: AB::Expr = columns[width].into();
        builder.push_interaction(Bus::Poseidon2 as u16, message, -count, 0);
    }
}
