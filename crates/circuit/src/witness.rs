//! The `Fill` reading: executes commands on the state and fills the rows of every table of a segment.

use std::collections::BTreeMap;

use holdfast_crypto::{
    Digest, F,
    curve::Affine,
    field::{DIGEST_ZERO, cell_to_canonical},
    poseidon2::compress,
    schnorr::PublicKey,
    septic::Septic,
    tree::{TouchedNode, Tree},
};
use holdfast_exchange::{
    authority::{Refusal, check_instruction, check_seals},
    flow::{Frame, Next},
    machine::{LIMB_BITS, Plain},
    record::{PlainReader, PlainWriter, Record},
    slots::{Account, Kind, Market, Order, Owner, Position, Session, Slot, System},
    step::Step,
    store::{Store, leaves_of},
};
use holdfast_protocol::{
    Command, Instruction, Outcome, Seal, TimeMs,
    cells::{Block, block_cells, blocks},
    publication::{Progress, WORD_CELLS, extend, word_cells},
};
use openvm_stark_backend::{
    p3_field::PrimeCharacteristicRing,
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};

use crate::{
    RANGE_BITS,
    air::{
        BoundaryAir, MERKLE_WIDTH, PROGRESS_HASHES, SEGMENT_WIDTH, Table, permutation_rows, record_cells, row_width,
    },
    cells::{ACCESSES_MAX, CLOCK_BITS, Cells, GAP_BITS, MODULUS, cells_of},
    public::PublicValues,
    publication::{self, WORDS, scalar_limbs, words_row},
    row::{Bus, Row},
    schnorr::{self, KEY_WIDTH, LADDER_WIDTH, SIGNATURE_WIDTH, key_row},
    step_table::{EXTENSION, Entry, PUBLISHED, command_entry, instruction_cells, step_row},
};

/// A slot of the state: its kind and its indices.
type Place = (Kind, u32, u32);

/// What a segment did to one slot.
#[derive(Debug, Clone)]
struct Touch {
    before: Vec<u32>,
    last_access: u32,
}

/// What all rows share while they are filled.
struct Shared<'a> {
    store: &'a mut Store,
    touches: BTreeMap<Place, Touch>,
    range_counts: Vec<u32>,
    code: Option<u8>,
    sweep: Vec<u32>,
    permutations: Vec<[Digest; 2]>,
    /// The signature that a seal asked for: of which key and head.
    signed: Option<([i64; 14], [i64; 8])>,
}

impl Shared<'_> {
    /// Counts one look-up of the range table.
    #[inline]
    fn count_range(&mut self, value: u32, bits: u32) {
        self.range_counts[(1 << bits) + value as usize - 1] += 1;
    }
}

/// A row that is filled with values.
struct Fill<'a, 'b> {
    shared: &'a mut Shared<'b>,
    cells: &'a mut Vec<F>,
}

#[inline]
fn field(value: i64) -> F {
    debug_assert!(value.abs() < MODULUS);
    if value < 0 { -F::from_u32(-value as u32) } else { F::from_u32(value as u32) }
}

fn index(value: i64) -> u32 {
    u32::try_from(value).expect("an index is not negative")
}

/// A slot from the cells that a row gives it.
fn plain<S: Record<Plain>>(cells: &[i64]) -> S {
    let cells: Vec<u32> = cells.iter().map(|&cell| index(cell)).collect();
    S::read(&mut PlainReader(&cells))
}

fn record<S: Slot<Plain>>(slot: &S) -> Vec<u32> {
    let mut cells = Vec::with_capacity(S::CELLS);
    slot.write(&mut PlainWriter(&mut cells));
    cells
}

fn slot_record(store: &Store, (kind, outer, inner): Place) -> Vec<u32> {
    match kind {
        Kind::System => record(store.system()),
        Kind::Market => record(store.market(outer)),
        Kind::Account => record(store.account(outer)),
        Kind::Position => record(store.position(outer, inner)),
        Kind::Order => record(store.order(outer)),
        Kind::Session => record(store.session(outer, inner)),
        Kind::Owner => record(store.owner(outer)),
        Kind::Deployment => record(store.deployment()),
    }
}

impl Row for Fill<'_, '_> {
    type E = i64;

    #[inline]
    fn constant(&self, value: i64) -> i64 {
        value
    }
    #[inline]
    fn column(&mut self, value: i64) -> i64 {
        self.cells.push(field(value));
        value
    }
    #[inline]
    fn value(&self, e: &i64) -> i64 {
        *e
    }
    #[inline]
    fn assert_zero(&mut self, e: i64) {
        debug_assert_eq!(e.rem_euclid(MODULUS), 0, "an honest row satisfies its constraints");
    }
    #[inline]
    fn range(&mut self, active: &i64, e: &i64, bits: u32) {
        assert!(*e >= 0 && *e >> bits == 0, "an honest row keeps its ranges: {e} has more than {bits} bits");
        if *active != 0 {
            self.shared.count_range(*e as u32, bits);
        }
    }
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}

    fn load(&mut self, kind: Kind, outer: &i64, inner: &i64, timestamp: &i64) -> (Vec<i64>, i64) {
        let place = (kind, index(*outer), index(*inner));
        let cells = slot_record(self.shared.store, place);
        let values = cells.iter().map(|&cell| i64::from(cell)).collect();
        let touch = self.shared.touches.entry(place).or_insert(Touch { before: cells, last_access: 0 });
        let gap = timestamp - 1 - i64::from(touch.last_access);
        touch.last_access = index(*timestamp);
        (values, gap)
    }
    fn store(&mut self, kind: Kind, outer: &i64, inner: &i64, cells: &[i64]) {
        let (outer, inner) = (index(*outer), index(*inner));
        let store = &mut self.shared.store;
        match kind {
            Kind::System => store.set_system(plain::<System<Plain>>(cells)),
            Kind::Market => store.set_market(outer, plain::<Market<Plain>>(cells)),
            Kind::Account => store.set_account(outer, plain::<Account<Plain>>(cells)),
            Kind::Position => store.set_position(outer, inner, plain::<Position<Plain>>(cells)),
            Kind::Order => store.set_order(outer, plain::<Order<Plain>>(cells)),
            Kind::Session => store.set_session(outer, inner, plain::<Session<Plain>>(cells)),
            Kind::Owner => store.set_owner(outer, plain::<Owner<Plain>>(cells)),
            // It is never written: a step that reads it closes it with what it read.
            Kind::Deployment => debug_assert_eq!(
                cells.iter().map(|&cell| index(cell)).collect::<Vec<_>>(),
                record(store.deployment()),
                "the deployment does not change"
            ),
        }
    }
    fn hint_neighbour(&mut self, sentinel: &i64, price: i64) -> i64 {
        i64::from(self.shared.store.neighbour(index(*sentinel), price as u64))
    }
    fn hint_open_order(&mut self, account: &i64, entry: &i64, after: &i64) -> i64 {
        if *after == 0 {
            self.shared.sweep = self.shared.store.open_orders(index(*account), index(*entry));
            self.shared.sweep.reverse();
        }
        i64::from(self.shared.sweep.pop().unwrap_or(0))
    }
    fn compress(&mut self, left: &[i64; 8], right: &[i64; 8]) -> [i64; 8] {
        let [left, right] = [left, right].map(|side| side.map(field));
        self.shared.permutations.push([left, right]);
        compress(&left, &right).map(|cell| i64::from(cell_to_canonical(cell)))
    }
    fn note_signed(&mut self, public_key: &[i64; 14], head: &[i64; 8]) {
        assert!(self.shared.signed.replace((*public_key, *head)).is_none(), "a step asks for one signature");
    }
    fn note_outcome(&mut self, enabled: &i64, code: &i64) {
        if *enabled != 0 {
            let code = u8::try_from(*code).expect("a reject code is small");
            assert!(self.shared.code.replace(code).is_none(), "a command has one outcome");
        }
    }
}

/// The rows of a segment under construction, and the state they lead to.
pub struct Builder<'a> {
    shared: Shared<'a>,
    steps: Vec<Vec<F>>,
    signatures: Vec<F>,
    ladders: Vec<F>,
    keys: Vec<F>,
    system_before: Vec<u32>,
    sequence_start: u32,
    sequence: u32,
    clock: u32,
    progress_in: Progress,
    progress: Progress,
    /// What the segment publishes.
    words: Vec<[u32; WORD_CELLS]>,
    rows: usize,
}

/// The filled tables of a segment, by index of the verifying key; `None` for a table without rows.
pub struct Segment {
    pub public: PublicValues,
    pub traces: Vec<Option<RowMajorMatrix<F>>>,
}

/// Clock of a segment's first step.
const CLOCK_START: u32 = 1;
/// Steps in a segment: the clock after the last one has [`CLOCK_BITS`] bits.
pub const STEPS_MAX: usize = (1 << CLOCK_BITS) - 2;

impl<'a> Builder<'a> {
    /// A segment that starts from this state, with the batch's sequence number and what it has published so far. The state must have been hashed up to here.
    pub fn new(store: &'a mut Store, sequence: u32, progress: Progress) -> Self {
        let system_before = record(store.system());
        let mut touches = BTreeMap::new();
        // The segment table reads the system slot at timestamp 1.
        touches.insert((Kind::System, 0, 0), Touch { before: system_before.clone(), last_access: 1 });
        Self {
            shared: Shared {
                store,
                touches,
                range_counts: vec![0; 1 << (RANGE_BITS + 1)],
                code: None,
                sweep: Vec::new(),
                permutations: Vec::new(),
                signed: None,
            },
            steps: vec![Vec::new(); Step::ALL.len()],
            signatures: Vec::new(),
            ladders: Vec::new(),
            keys: Vec::new(),
            system_before,
            sequence_start: sequence,
            sequence,
            clock: CLOCK_START,
            progress_in: progress,
            progress,
            words: Vec::new(),
            rows: 0,
        }
    }

    /// Steps so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Slots touched so far.
    pub fn touched(&self) -> usize {
        self.shared.touches.len()
    }

    /// Hashes so far, without those of the tree.
    pub fn permutations(&self) -> usize {
        self.shared.permutations.len()
    }

    /// Signatures so far.
    pub fn signatures(&self) -> usize {
        self.signatures.len() / SIGNATURE_WIDTH
    }

    /// Sessions that are not sealed.
    pub fn unsealed(&self) -> u32 {
        self.shared.store.system().unsealed
    }

    /// Number of the next instruction in its batch.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// What the batch has published so far.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Executes one instruction, and fills its rows.
    ///
    /// # Errors
    /// If the state does not let it be executed ([`check_instruction`]). Nothing is changed then.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<Outcome, Refusal> {
        check_instruction(self.shared.store, instruction)?;
        self.shared.code = None;
        let blocks = blocks(instruction);
        let before = self.progress.chain;
        let words = self.words.len();
        let cells = instruction_cells(instruction, &blocks, &before, words);
        let argument = i64::from(self.sequence);
        let (command_step, _) = command_entry(&instruction.command);
        let rows = [Step::Authorise, command_step].map(|step| (step, self.steps[step as usize].len()));
        self.run(Step::Authorise, Entry { active: 1, argument, cells, ..Entry::default() }, Some(&instruction.command));
        let code = self.shared.code.expect("a command has an outcome");
        let outcome = Outcome::from_code(code).expect("a step gives a known reject code");

        // The outcome is known: what the digest absorbs can be filled in.
        let mut digest = self.absorb(before, &blocks.first, code.into());
        let [(step, row), extension] = rows;
        let published = [F::from_u8(code)].into_iter().chain(digest);
        fill_in(&mut self.steps[step as usize][row..], PUBLISHED.start, published);
        if !blocks.further().is_empty() {
            let mut digests = digest.to_vec();
            for block in blocks.further() {
                digest = self.absorb(digest, block, 0);
                digests.extend(digest);
            }
            digests.push(F::from_usize(words + 1));
            let (step, row) = extension;
            fill_in(&mut self.steps[step as usize][row..], EXTENSION, digests);
        }
        if let Command::Register(register) = &instruction.command {
            self.keys.extend(key_row(register.public_key.point()));
        }
        for word in word_cells(&blocks, code) {
            self.progress.value = extend(self.progress.value, &word, self.progress.z);
            self.words.push(word);
        }
        self.progress.chain = digest;
        self.sequence += 1;
        Ok(outcome)
    }

    /// The digest after a block, and the look-up of its permutation.
    fn absorb(&mut self, digest: Digest, block: &Block, last: u32) -> Digest {
        let block = block_cells(block, last);
        self.shared.permutations.push([digest, block]);
        compress(&digest, &block)
    }

    /// Checks the signature of a session's head, and fills the rows of the check.
    ///
    /// # Errors
    /// If the signature is not valid, or the session has nothing to seal. Nothing is changed then.
    pub fn seal(&mut self, seal: &Seal) -> Result<(), Refusal> {
        let verified = check_seals(self.shared.store, std::slice::from_ref(seal))?;
        let (account, key) = verified[0].session();
        let argument = i64::from(self.sequence);
        let cells = vec![account.get().into(), key.get().into()];
        self.run(Step::Seal, Entry { active: 1, argument, cells, ..Entry::default() }, None);
        let (public_key, head) = self.shared.signed.take().expect("a seal asks for a signature");
        let public_key = public_key.map(field);
        let coordinate = |at: usize| Septic(std::array::from_fn(|i| public_key[at + i]));
        let point = Affine::new(coordinate(0), coordinate(7)).expect("a registered key is on the curve");
        let rows = schnorr::fill(&PublicKey::new(point), &head.map(field), verified[0].signature())
            .expect("nobody can make a valid signature meet an exception of the ladder");
        self.signatures.extend(rows.signature);
        self.ladders.extend(rows.ladder);
        self.shared.permutations.extend(rows.permutations);
        for top in rows.tops {
            self.shared.count_range(top, schnorr::TOPS_BITS);
        }
        Ok(())
    }

    /// Runs a chain of steps to its end.
    fn run(&mut self, step: Step, entry: Entry, command: Option<&Command>) {
        let mut following = Some((step, entry));
        let mut suspended: Option<(i64, Frame<Cells<i64>>)> = None;
        while let Some((step, mut entry)) = following {
            assert!(self.rows < STEPS_MAX, "a segment has at most {STEPS_MAX} steps");
            entry.clock = i64::from(self.clock);
            let mut row = Fill { shared: &mut self.shared, cells: &mut self.steps[step as usize] };
            let (next, frame) = step_row(&mut row, step, &entry);
            if let Some(frame) = frame {
                suspended = Some((entry.clock, frame));
            }
            self.clock += 1;
            self.rows += 1;
            following = follow(next.expect("a step goes somewhere"), &mut suspended, command);
        }
    }

    /// Ends the segment (and its batch, if it `closes` it): brings the tree up to date and fills the remaining tables.
    pub fn finish(mut self, tree: &mut Tree, closes: bool) -> Segment {
        let root_old = tree.root();
        let system_end = record(self.shared.store.system());
        let system_touch =
            self.shared.touches.get_mut(&(Kind::System, 0, 0)).expect("the system slot is always touched");
        let system_access = system_touch.last_access;
        system_touch.last_access = ACCESSES_MAX * self.clock;
        if closes {
            let mut system = self.shared.store.system().clone();
            system.batches += 1;
            self.shared.store.set_system(system);
        }

        let (boundaries, nodes) = self.fill_boundaries(tree);
        let mut merkle = self.fill_merkle(&nodes);
        let system_after = record(self.shared.store.system());
        let time = |cells: &[u32]| System::<Plain>::read(&mut PlainReader(cells)).time;
        let batches = |cells: &[u32]| System::<Plain>::read(&mut PlainReader(cells)).batches;
        let mut words = self.fill_words();
        let begins = self.progress_in.begins();
        let time_of = |cells: &[u32]| TimeMs::new(time(cells)).expect("the state's time is one");
        let digest_out = self.progress.digest(time_of(&system_end));
        let digest_in = match begins {
            true => self.progress_in.chain,
            false => self.progress_in.digest(time_of(&self.system_before)),
        };
        let public = PublicValues {
            root_old,
            root_new: tree.root(),
            digest_in,
            digest_out,
            sequence_start: self.sequence_start,
            sequence_end: self.sequence,
            clock_end: self.clock,
            batches_start: batches(&self.system_before),
            batches_end: batches(&system_after),
            time_start: time(&self.system_before),
            time_end: time(&system_end),
        };

        let gap = ACCESSES_MAX * self.clock - 1 - system_access;
        let mut segment = vec![F::ONE, F::from_bool(closes)];
        for (value, bits) in [(gap, GAP_BITS), (self.clock, CLOCK_BITS)] {
            for (limb, bits) in [(value & ((1 << LIMB_BITS) - 1), LIMB_BITS), (value >> LIMB_BITS, bits - LIMB_BITS)] {
                self.shared.count_range(limb, bits);
                segment.push(F::from_u32(limb));
            }
        }
        segment.extend(self.system_before.iter().chain(&system_end).map(|&cell| F::from_u32(cell)));
        let ends = [(self.progress_in, time_of(&self.system_before)), (self.progress, time_of(&system_end))];
        let (cells, [before, after]) = progress_cells(ends, begins, self.words.len());
        segment.extend(cells);
        self.shared.permutations.extend(after);
        if !begins {
            self.shared.permutations.extend(before);
        }
        for limb in [self.progress_in.z, self.progress_in.value].into_iter().flat_map(scalar_limbs) {
            self.shared.count_range(limb as u32, publication::LIMB_BITS);
        }
        debug_assert_eq!(segment.len(), SEGMENT_WIDTH);

        // Each is moved into its place: the tables are large.
        let mut poseidon2 = Some(fill_poseidon2(std::mem::take(&mut self.shared.permutations)));
        let mut range = Some(fill_range(&self.shared.range_counts));
        let mut signatures = std::mem::take(&mut self.signatures);
        let mut ladders = std::mem::take(&mut self.ladders);
        let mut keys = std::mem::take(&mut self.keys);
        let mut steps = std::mem::take(&mut self.steps).into_iter();
        let mut boundaries = boundaries.into_iter();
        let traces = Table::all()
            .map(|table| match table {
                Table::Segment => Some(RowMajorMatrix::new(std::mem::take(&mut segment), SEGMENT_WIDTH)),
                Table::Step(_) => padded(steps.next().expect("a table per step"), row_width(table)),
                Table::Boundary(kind) => {
                    padded(boundaries.next().expect("a table per kind"), BoundaryAir::columns(kind))
                }
                Table::Merkle => padded(std::mem::take(&mut merkle), MERKLE_WIDTH),
                Table::Signature => padded(std::mem::take(&mut signatures), SIGNATURE_WIDTH),
                Table::Ladder => padded(std::mem::take(&mut ladders), LADDER_WIDTH),
                Table::Key => padded(std::mem::take(&mut keys), KEY_WIDTH),
                Table::Words => padded(std::mem::take(&mut words), row_width(table)),
                Table::Poseidon2 => poseidon2.take(),
                Table::Range => range.take(),
            })
            .collect();
        Segment { public, traces }
    }

    /// Fills the table of what is published.
    fn fill_words(&mut self) -> Vec<F> {
        let (entries, value) = publication::entries(&self.words, &self.progress_in);
        assert_eq!(value, self.progress.value, "the words' rows lead to the value that goes on");
        let mut words = Vec::new();
        for entry in entries {
            words_row(&mut Fill { shared: &mut self.shared, cells: &mut words }, &entry);
        }
        words
    }

    fn fill_boundaries(&mut self, tree: &mut Tree) -> (Vec<Vec<F>>, Vec<TouchedNode>) {
        let mut tables = vec![Vec::new(); Kind::ALL.len()];
        let mut leaves: Vec<(u32, Digest)> = Vec::new();
        // The rest of the store's own list is of no use here.
        self.shared.store.take_touched();
        let touches = std::mem::take(&mut self.shared.touches);
        for (&(kind, outer, inner), touch) in &touches {
            let region = kind.region();
            let after = slot_record(self.shared.store, (kind, outer, inner));
            let table: &mut Vec<F> = &mut tables[Kind::ALL.iter().position(|&k| k == kind).expect("a kind is listed")];
            table.push(F::ONE);
            for (bits, value) in [(region.outer_bits, outer), (region.inner_bits, inner)] {
                let mut done = 0;
                while done < bits {
                    let limb_bits = (bits - done).min(LIMB_BITS);
                    let limb = (value >> done) & ((1 << limb_bits) - 1);
                    table.push(F::from_u32(limb));
                    self.shared.count_range(limb, limb_bits);
                    done += limb_bits;
                }
            }
            table.push(F::from_u32(touch.last_access));
            debug_assert_eq!(touch.before.len(), record_cells(kind));
            table.extend(touch.before.iter().chain(&after).map(|&cell| F::from_u32(cell)));
            let mut padded = after;
            padded.resize(kind.cells(), 0);
            leaves.extend(leaves_of(kind, outer, inner, &padded).map(|(at, leaf)| (at, leaf.map(F::new))));
        }
        leaves.sort_unstable_by_key(|(at, _)| *at);
        let nodes = tree.update_traced(&leaves);
        (tables, nodes)
    }

    fn fill_merkle(&mut self, nodes: &[TouchedNode]) -> Vec<F> {
        let mut rows = Vec::with_capacity(nodes.len() * MERKLE_WIDTH);
        for node in nodes {
            rows.extend([
                F::ONE,
                F::from_u32(node.level),
                F::from_u32(node.index),
                F::from_bool(node.left_touched),
                F::from_bool(node.right_touched),
            ]);
            for digest in
                [&node.old_left, &node.old_right, &node.old_out, &node.new_left, &node.new_right, &node.new_out]
            {
                rows.extend_from_slice(digest);
            }
            self.shared.permutations.push([node.old_left, node.old_right]);
            self.shared.permutations.push([node.new_left, node.new_right]);
        }
        rows
    }
}

/// The hashes at one end of a segment.
type EndHashes = [[Digest; 2]; PROGRESS_HASHES];

/// The last cells of the segment's row: what is published at both ends, with the time there. And what is hashed of it.
pub fn progress_cells(ends: [(Progress, TimeMs); 2], begins: bool, words: usize) -> (Vec<F>, [EndHashes; 2]) {
    let rows = words.div_ceil(WORDS) + WORDS - 1;
    let mut cells = vec![F::from_bool(begins), F::from_usize(words), F::from_usize(rows)];
    cells.extend(publication::powers(ends[0].0.z).into_iter().flat_map(scalar_limbs).map(field));
    let hashes: [EndHashes; 2] = ends.map(|(progress, time)| {
        let mut digest = progress.chain;
        progress.blocks(time).map(|block| {
            let hashed = [digest, block];
            digest = compress(&digest, &block);
            hashed
        })
    });
    for (end, ((progress, _), hashes)) in ends.iter().zip(&hashes).enumerate() {
        cells.extend(scalar_limbs(progress.value).map(field));
        for (at, [digest, _]) in hashes.iter().enumerate() {
            // Where a batch begins, its number is all there is.
            let is_there = !begins || end > 0 || at == 0;
            cells.extend(if is_there { *digest } else { DIGEST_ZERO });
        }
    }
    (cells, hashes)
}

/// Fills in columns of a row that were left open.
pub fn fill_in(row: &mut [F], at: usize, values: impl IntoIterator<Item = F>) {
    for (cell, value) in row[at..].iter_mut().zip(values) {
        *cell = value;
    }
}

/// The next step's entry, with the cells that its row receives. `command` is that of the instruction.
pub fn follow(
    next: Next<Cells<i64>>,
    suspended: &mut Option<(i64, Frame<Cells<i64>>)>,
    command: Option<&Command>,
) -> Option<(Step, Entry)> {
    let with = |step, cells: Vec<i64>| Some((step, Entry { active: 1, cells, ..Entry::default() }));
    let (label, handle, verdict) = match next {
        Next::Idle(_) => return None,
        Next::Command(grant) => {
            let (step, cells) = command_entry(command.expect("an instruction has a command"));
            return Some((step, Entry { active: 1, cells, grant: cells_of(&grant), ..Entry::default() }));
        }
        Next::Probe(registers) => return with(Step::Probe, cells_of(&registers)),
        Next::Margin(registers) => return with(Step::Margin, cells_of(&registers)),
        Next::Remove(registers) => return with(Step::Remove, cells_of(&registers)),
        Next::Resume(label, handle) => (i64::from(label.number()), handle, Vec::new()),
        Next::Return(label, handle) => (label, handle, Vec::new()),
        Next::Judge(label, handle, verdict) => (label, handle, cells_of(&verdict)),
    };
    if label == i64::from(holdfast_exchange::flow::Label::Idle.number()) {
        return None;
    }
    let (suspended_at, frame) = suspended.take().expect("a step that takes up a frame follows one that suspended it");
    assert_eq!(suspended_at, handle, "the frame that is taken up is the one that was suspended");
    assert_eq!(i64::from(frame.label().number()), label, "the step that is reached is the one that the frame is for");
    let (step, cells) = match &frame {
        Frame::Admit(frame) => (Step::Admit, cells_of(frame)),
        Frame::Match(frame) => (Step::Match, cells_of(frame)),
        Frame::Trade(frame) => (Step::Trade, cells_of(frame)),
        Frame::Turn(frame) => (Step::Turn, cells_of(frame)),
        Frame::Fill(frame) => (Step::Fill, cells_of(frame)),
        Frame::Rest(frame) => (Step::Rest, cells_of(frame)),
        Frame::Expire(frame) => (Step::Expire, cells_of(frame)),
        Frame::Sweep(frame) => (Step::Sweep, cells_of(frame)),
        Frame::Payout(frame) => (Step::Payout, cells_of(frame)),
    };
    Some((step, Entry { active: 1, clock: 0, argument: handle, cells, verdict, grant: Vec::new() }))
}

/// Pads a table to a power of two with copies of its first row that are not active. `None` for an empty table.
pub fn padded(mut rows: Vec<F>, width: usize) -> Option<RowMajorMatrix<F>> {
    if rows.is_empty() {
        return None;
    }
    let height = rows.len() / width;
    debug_assert_eq!(rows.len(), height * width);
    let mut padding = rows[..width].to_vec();
    padding[0] = F::ZERO;
    let target = height.next_power_of_two();
    rows.reserve_exact((target - height) * width);
    for _ in height..target {
        rows.extend_from_slice(&padding);
    }
    Some(RowMajorMatrix::new(rows, width))
}

/// Permutations, each once with the number of its uses.
pub fn fill_poseidon2(permutations: Vec<[Digest; 2]>) -> RowMajorMatrix<F> {
    let state = |[left, right]: &[Digest; 2]| -> [F; 16] {
        std::array::from_fn(|i| if i < 8 { left[i] } else { right[i - 8] })
    };
    let mut uses = BTreeMap::new();
    for permutation in &permutations {
        *uses.entry(state(permutation)).or_insert(0u32) += 1;
    }
    let (mut inputs, mut counts): (Vec<_>, Vec<_>) = uses.into_iter().unzip();
    let height = inputs.len().next_power_of_two();
    inputs.resize(height, [F::ZERO; 16]);
    counts.resize(height, 0);
    let trace = permutation_rows(inputs);
    let width = trace.width() + 1;
    let mut rows = Vec::with_capacity(height * width);
    for (row, count) in trace.values.chunks_exact(width - 1).zip(counts) {
        rows.extend_from_slice(row);
        rows.push(F::from_u32(count));
    }
    RowMajorMatrix::new(rows, width)
}

/// The range table: all `(value, bits)`, with how often each was looked up.
pub fn fill_range(counts: &[u32]) -> RowMajorMatrix<F> {
    let mut rows = Vec::with_capacity(counts.len() * 4);
    for (at, &count) in counts.iter().enumerate() {
        let bits = (at + 1).ilog2();
        let value = at + 1 - (1 << bits);
        rows.extend([F::from_u32(value as u32), F::from_u32(bits), F::from_u32(1 << bits), F::from_u32(count)]);
    }
    RowMajorMatrix::new(rows, 4)
}
