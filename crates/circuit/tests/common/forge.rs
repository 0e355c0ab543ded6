//! A naive prover that can be told to lie.
//!
//! [`Forger`] fills the tables of a segment like [`holdfast_circuit::witness::Builder`], but from a plain history of every slot, and it asks a [`Prover`]
//! about every cell, every slot read and every hint. Whatever follows from a lie is computed from it, and all that a dishonest prover is free to
//! choose (tree, lookup tables, digests) is made to fit: what remains wrong is what the constraints must find.

use std::collections::BTreeMap;

use holdfast_circuit::{
    air::{BoundaryAir, MERKLE_WIDTH, SEGMENT_WIDTH, SYSTEM_BATCHES, Table, row_width},
    cells::{ACCESSES_MAX, Cells, MODULUS},
    check::{Checker, Window, range_place},
    public::PublicValues,
    publication::{self, words_row},
    row::{Bus, Row},
    schnorr::{self, KEY_WIDTH, LADDER_WIDTH, SIGNATURE_WIDTH},
    step_table::{EXTENSION, Entry, PUBLISHED, command_entry, instruction_cells, step_row},
    witness::{Segment, fill_in, fill_poseidon2, fill_range, follow, padded, progress_cells},
};
use holdfast_crypto::{
    Digest, F,
    curve::Affine,
    field::cell_to_canonical,
    poseidon2::compress,
    schnorr::{PublicKey, Signature},
    septic::Septic,
    tree::Tree,
};
use holdfast_exchange::{
    flow::{Frame, Next},
    machine::{LIMB_BITS, Plain},
    record::{PlainReader, Record},
    slots::{Kind, Order, Session, System},
    step::Step,
    store::{Store, leaves_of},
};
use holdfast_protocol::{
    Command, Instruction, Outcome, TimeMs,
    cells::{Blocks, absorb, blocks},
    publication::{Progress, WORD_CELLS, word_cells},
};
use openvm_stark_backend::{
    p3_field::PrimeCharacteristicRing,
    p3_matrix::{Matrix, dense::RowMajorMatrix},
};

/// A slot: kind, outer and inner index.
pub type Place = (Kind, u32, u32);

/// What a slot held from a time on.
#[derive(Debug, Clone)]
pub struct Version {
    pub timestamp: i64,
    pub cells: Vec<i64>,
}

/// A cell of a step's table, by the clock of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub step: Step,
    pub clock: i64,
    pub column: usize,
}

/// Decides what is true.
pub trait Prover {
    /// What a cell is filled with.
    fn column(&mut self, _at: At, honest: i64) -> i64 {
        honest
    }
    /// What a read of a slot finds.
    fn load(&mut self, _at: At, _place: Place, versions: &[Version]) -> Version {
        versions.last().expect("a slot has a first version").clone()
    }
    /// The advice that a step asks for.
    fn hint(&mut self, _at: At, honest: i64) -> i64 {
        honest
    }
}

/// Fills every cell as the rules say.
pub struct Honest;
impl Prover for Honest {}

/// Everything that the filling of a row took from outside of it.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub step: Step,
    pub entry: Entry,
    /// The cells of each slot read, and the time since its last access, less one.
    pub loads: Vec<(Vec<i64>, i64)>,
    pub hints: Vec<i64>,
}

#[derive(Clone)]
pub struct Forger {
    store: Store,
    tree: Tree,
    history: BTreeMap<Place, Vec<Version>>,
    steps: Vec<Vec<F>>,
    /// Inputs of every row, by step.
    pub inputs: Vec<Vec<Inputs>>,
    /// In the order in which they were executed.
    pub published: Vec<Published>,
    /// Rows of the tables of signatures.
    pub signatures: Vec<F>,
    pub ladders: Vec<F>,
    /// Rows of registered keys, of those that are points.
    pub keys: Vec<F>,
    pub clock: i64,
    sequence_start: u32,
    progress: Progress,
    /// Words published so far, known when the digests are fitted.
    words: Vec<[u32; WORD_CELLS]>,
}

/// An instruction as its row says that it is published.
#[derive(Debug, Clone)]
pub struct Published {
    pub sequence: u32,
    pub blocks: Blocks,
    pub code: u8,
    /// Whether the batch's digest goes on after it.
    pub absorbed: bool,
    /// Rows of `authorise`, and of the command if it is extended.
    row: usize,
    extension: Option<(Step, usize)>,
}

/// A session: account and key.
pub type SessionPlace = (u32, u32);
/// A signature that a seal asks for: the key's coordinates, and the head.
pub type Claim = ([F; 14], Digest);

/// First column of the digest before an instruction, in its row; and its place in the cells of the entry.
const BEFORE: usize = PUBLISHED.end + 2;
const ENTRY_BEFORE: usize = 1;
/// Accounts among which unsealed sessions are looked for.
const ACCOUNTS: u32 = 32;

/// Lies can make a command go on for ever.
const CLOCK_MAX: i64 = 1 << 14;
const ORDERS_MAX: usize = 1 << 12;

fn field(value: i64) -> F {
    F::from_u64(value.rem_euclid(MODULUS) as u64)
}

impl Forger {
    /// Starts from a state that has been hashed into the tree.
    pub fn new(store: &Store, tree: &Tree, sequence_start: u32, progress: Progress) -> Self {
        let mut forger = Self {
            store: store.clone(),
            tree: tree.clone(),
            history: BTreeMap::new(),
            steps: vec![Vec::new(); Step::ALL.len()],
            inputs: vec![Vec::new(); Step::ALL.len()],
            published: Vec::new(),
            signatures: Vec::new(),
            ladders: Vec::new(),
            keys: Vec::new(),
            clock: 1,
            sequence_start,
            progress,
            words: Vec::new(),
        };
        // The segment table reads the system slot at timestamp 1.
        let system = forger.versions((Kind::System, 0, 0));
        system.push(Version { timestamp: 1, ..system[0].clone() });
        forger
    }

    /// All versions of a slot, the first with timestamp 0.
    pub fn versions(&mut self, place: Place) -> &mut Vec<Version> {
        let (kind, outer, inner) = place;
        self.history.entry(place).or_insert_with(|| {
            let mut cells = self.store.slot_cells(kind, outer, inner);
            cells.truncate(holdfast_circuit::air::record_cells(kind));
            vec![Version { timestamp: 0, cells: cells.into_iter().map(i64::from).collect() }]
        })
    }

    /// An order as it is now. (Looking at it is not an access.)
    pub fn order(&self, slot: u32) -> Order<Plain> {
        match self.history.get(&(Kind::Order, slot, 0)) {
            Some(versions) => read(&versions.last().expect("a slot has a first version").cells),
            None => self.store.order(slot).clone(),
        }
    }

    /// The slots of a book, best first.
    pub fn book(&self, sentinel: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut slot = self.order(sentinel).next;
        while slot != sentinel {
            assert!(slots.len() < ORDERS_MAX, "a book broken by a lie");
            slots.push(slot);
            slot = self.order(slot).next;
        }
        slots
    }

    /// The open orders of a position, by slot.
    pub fn orders_of(&self, account: u32, entry: u32) -> Vec<u32> {
        let market = match self.history.get(&(Kind::Position, account, entry)) {
            Some(versions) => versions.last().expect("a slot has a first version").cells[0] as u32,
            None => self.store.position(account, entry).market,
        };
        let Some(market) = market.checked_sub(1) else { return Vec::new() };
        let mut slots = [self.book(2 * market), self.book(2 * market + 1)].concat();
        slots.retain(|&slot| {
            let order = self.order(slot);
            order.account == account && order.entry == entry
        });
        slots.sort_unstable();
        slots
    }

    /// A session as it is now. (Looking at it is not an access.)
    pub fn session(&self, (account, key): SessionPlace) -> Session<Plain> {
        match self.history.get(&(Kind::Session, account, key)) {
            Some(versions) => read(&versions.last().expect("a slot has a first version").cells),
            None => self.store.session(account, key).clone(),
        }
    }

    /// The sessions that are not sealed, by account and key.
    pub fn unsealed(&self) -> Vec<SessionPlace> {
        let sessions = (0..ACCOUNTS).flat_map(|account| (0..4).map(move |key| (account, key)));
        sessions.filter(|&place| self.session(place).unsealed).collect()
    }

    /// Executes one instruction as `prover` says, and publishes it with the outcome that the steps give.
    pub fn apply(&mut self, prover: &mut dyn Prover, instruction: &Instruction) -> Outcome {
        let sequence = self.sequence();
        self.execute(prover, sequence, instruction, &instruction.command)
    }

    /// Number of the next instruction.
    pub fn sequence(&self) -> u32 {
        self.sequence_start + self.published.len() as u32
    }

    /// Executes `command` as if it were that of `instruction`.
    pub fn execute(
        &mut self,
        prover: &mut dyn Prover,
        sequence: u32,
        instruction: &Instruction,
        command: &Command,
    ) -> Outcome {
        let blocks = blocks(instruction);
        // The digest before it is filled in at the end.
        let cells = instruction_cells(instruction, &blocks, &self.progress.chain, 0);
        let (step, _) = command_entry(command);
        let [row, extension] = [Step::Authorise, step].map(|step| self.inputs[step as usize].len());
        let entry = Entry { active: 1, argument: i64::from(sequence), cells, ..Entry::default() };
        let code = self.run(prover, Step::Authorise, entry, Some(command)).expect("a command has an outcome") as u8;
        if let Command::Register(register) = command {
            self.keys.extend(schnorr::key_row(register.public_key.point()));
        }
        let is_extended = matches!(step, Step::Open | Step::Register) && !blocks.further().is_empty();
        let extension = is_extended.then_some((step, extension));
        self.published.push(Published { sequence, blocks, code, absorbed: true, row, extension });
        Outcome::from_code(code).expect("a step gives a known reject code")
    }

    /// Authorises an instruction as `prover` says, but executes nothing.
    pub fn authorise_only(&mut self, prover: &mut dyn Prover, instruction: &Instruction, outcome: Outcome) {
        let (sequence, blocks) = (self.sequence(), blocks(instruction));
        let cells = instruction_cells(instruction, &blocks, &self.progress.chain, 0);
        let row = self.inputs[Step::Authorise as usize].len();
        let entry = Entry { active: 1, argument: i64::from(sequence), cells, ..Entry::default() };
        self.step(prover, Step::Authorise, entry);
        let code = outcome.code();
        self.published.push(Published { sequence, blocks, code, absorbed: true, row, extension: None });
    }

    /// Seals a session as `prover` says, but for the check of its signature: gives what is claimed to be signed.
    pub fn seal_unchecked(&mut self, prover: &mut dyn Prover, (account, key): SessionPlace) -> Claim {
        let argument = i64::from(self.sequence());
        let entry = Entry { active: 1, argument, cells: vec![account.into(), key.into()], ..Entry::default() };
        let Stepped { signed, .. } = self.step(prover, Step::Seal, entry);
        signed.expect("a seal asks for a signature")
    }

    /// Seals a session as `prover` says; whoever has its key signs. Without a signature the rows of its check are missing.
    pub fn seal(&mut self, prover: &mut dyn Prover, session: SessionPlace) {
        let claim = self.seal_unchecked(prover, session);
        if let Some((public_key, signature)) = sign(&claim) {
            self.check_signature(&public_key, &claim.1, &signature);
        }
    }

    /// Seals every session that is not.
    pub fn seal_all(&mut self, prover: &mut dyn Prover) {
        for session in self.unsealed() {
            self.seal(prover, session);
        }
    }

    /// Fills the rows of a valid signature.
    pub fn check_signature(&mut self, public_key: &PublicKey, head: &Digest, signature: &Signature) {
        let rows = schnorr::fill(public_key, head, signature).expect("a valid signature");
        self.signatures.extend(rows.signature);
        self.ladders.extend(rows.ladder);
    }

    /// Runs a chain of steps to its end; gives the outcome's code, if there is one.
    fn run(&mut self, prover: &mut dyn Prover, step: Step, entry: Entry, command: Option<&Command>) -> Option<i64> {
        let mut following = Some((step, entry));
        let mut suspended: Option<(i64, Frame<Cells<i64>>)> = None;
        let mut code = None;
        while let Some((step, entry)) = following {
            let clock = self.clock;
            let stepped = self.step(prover, step, entry);
            code = stepped.code.or(code);
            if let Some(frame) = stepped.frame {
                suspended = Some((clock, frame));
            }
            following = follow(stepped.next, &mut suspended, command);
        }
        code
    }

    /// Fills one row.
    fn step(&mut self, prover: &mut dyn Prover, step: Step, mut entry: Entry) -> Stepped {
        assert!(self.clock <= CLOCK_MAX, "no command of these tests takes that many steps");
        entry.clock = self.clock;
        let mut cells = Vec::new();
        let inputs = Inputs { step, entry: entry.clone(), loads: Vec::new(), hints: Vec::new() };
        let (open, code, signed) = (Vec::new(), None, None);
        let mut row = ForgedRow { forger: self, prover, inputs, cells: &mut cells, open, code, signed };
        let (next, frame) = step_row(&mut row, step, &entry);
        let ForgedRow { inputs, code, signed, .. } = row;
        self.inputs[step as usize].push(inputs);
        self.steps[step as usize].extend(cells);
        self.clock += 1;
        Stepped { next: next.expect("a step goes somewhere"), frame, code, signed }
    }

    /// Fills in what the digest of the published instructions is before and after each, in the order of their numbers; gives that after the last.
    pub fn fit_digests(&mut self) -> Digest {
        let mut published = self.published.clone();
        published.sort_by_key(|published| published.sequence);
        let mut digest = self.progress.chain;
        self.words.clear();
        for Published { blocks, code, absorbed, row, extension, .. } in published {
            let mut after = absorb(&digest, &blocks.first, code.into());
            let values = [F::from_u8(code)].into_iter().chain(after);
            fill_in(self.row_mut(Step::Authorise, row), PUBLISHED.start, values);
            let words = self.words.len();
            let before: Vec<F> = digest.into_iter().chain([F::from_usize(words)]).collect();
            fill_in(self.row_mut(Step::Authorise, row), BEFORE, before.iter().copied());
            let cells = &mut self.inputs[Step::Authorise as usize][row].entry.cells;
            for (cell, before) in cells[ENTRY_BEFORE..].iter_mut().zip(before) {
                *cell = i64::from(cell_to_canonical(before));
            }
            let mut digests = after.to_vec();
            for block in blocks.further() {
                after = absorb(&after, block, 0);
                digests.extend(after);
            }
            digests.push(F::from_usize(words + 1));
            if let Some((step, row)) = extension {
                fill_in(self.row_mut(step, row), EXTENSION, digests);
            }
            if absorbed {
                digest = after;
                self.words.extend(word_cells(&blocks, code));
            }
        }
        digest
    }

    fn row_mut(&mut self, step: Step, row: usize) -> &mut [F] {
        let width = row_width(Table::Step(step));
        &mut self.steps[step as usize][row * width..][..width]
    }

    /// Seals every session, and ends the segment and its batch.
    pub fn close(mut self, checker: &Checker<'_>) -> Segment {
        self.seal_all(&mut Honest);
        self.finish(checker, true)
    }

    /// Ends the segment: makes everything fit as far as it can be made to.
    pub fn finish(self, checker: &Checker<'_>, closes: bool) -> Segment {
        self.finish_closing(checker, i64::from(closes))
    }

    /// Ends the segment, and as many batches.
    pub fn finish_closing(mut self, checker: &Checker<'_>, closes: i64) -> Segment {
        let system = self.versions((Kind::System, 0, 0));
        let (first, last) = (system[0].clone(), system.last().expect("a slot has a first version").clone());
        let mut counted = last.cells.clone();
        counted[SYSTEM_BATCHES] += closes;
        let timestamp = i64::from(ACCESSES_MAX) * self.clock;
        self.versions((Kind::System, 0, 0)).push(Version { timestamp, cells: counted.clone() });
        let gap = timestamp - 1 - last.timestamp;
        let mut segment = vec![F::ONE, field(closes)];
        for value in [gap, self.clock] {
            segment.extend([field(value & ((1 << LIMB_BITS) - 1)), field(value >> LIMB_BITS)]);
        }
        segment.extend(first.cells.iter().chain(&last.cells).map(|&cell| field(cell)));

        let root_old = self.tree.root();
        let boundaries = self.boundaries();
        let merkle = self.merkle();
        let chain = self.fit_digests();
        let (entries, value) = publication::entries(&self.words, &self.progress);
        let progress_out = Progress { chain, value, ..self.progress };
        let begins = self.progress.begins();
        let time_at = |cells: &[i64]| {
            TimeMs::new(read::<System<Plain>>(cells).time & (TimeMs::BOUND - 1) as u64).expect("masked")
        };
        let ends = [(self.progress, time_at(&first.cells)), (progress_out, time_at(&last.cells))];
        let (cells, _) = progress_cells(ends, begins, self.words.len());
        segment.extend(cells);
        let mut words = Vec::new();
        entries.iter().for_each(|entry| words_row(&mut CellsOnly(&mut words), entry));
        let sequence_end = self.published.iter().map(|published| published.sequence + 1).max();
        let time = |cells: &[i64]| read::<System<Plain>>(cells).time;
        let public = PublicValues {
            root_old,
            root_new: self.tree.root(),
            digest_in: if begins { self.progress.chain } else { self.progress.digest(ends[0].1) },
            digest_out: progress_out.digest(ends[1].1),
            sequence_start: self.sequence_start,
            sequence_end: sequence_end.unwrap_or(self.sequence_start),
            clock_end: self.clock as u32,
            batches_start: first.cells[SYSTEM_BATCHES] as u32,
            batches_end: counted[SYSTEM_BATCHES] as u32,
            time_start: time(&first.cells),
            time_end: time(&last.cells),
        };
        let (mut steps, mut boundaries) = (self.steps.into_iter(), boundaries.into_iter());
        let next = |iterator: &mut dyn Iterator<Item = Vec<F>>| iterator.next().expect("one per table");
        let traces = Table::all()
            .map(|table| match table {
                Table::Segment => Some(RowMajorMatrix::new(segment.clone(), SEGMENT_WIDTH)),
                Table::Step(_) => padded(next(&mut steps), row_width(table)),
                Table::Boundary(kind) => padded(next(&mut boundaries), BoundaryAir::columns(kind)),
                Table::Merkle => padded(merkle.clone(), MERKLE_WIDTH),
                Table::Signature => padded(self.signatures.clone(), SIGNATURE_WIDTH),
                Table::Ladder => padded(self.ladders.clone(), LADDER_WIDTH),
                Table::Key => padded(self.keys.clone(), KEY_WIDTH),
                Table::Words => padded(words.clone(), row_width(table)),
                Table::Poseidon2 | Table::Range => None,
            })
            .collect();
        let mut segment = Segment { public, traces };
        fit_lookups(checker, &mut segment);
        segment
    }

    fn boundaries(&self) -> Vec<Vec<F>> {
        let mut tables = vec![Vec::new(); Kind::ALL.len()];
        for (&(kind, outer, inner), versions) in &self.history {
            let region = kind.region();
            let table = &mut tables[Kind::ALL.iter().position(|&listed| listed == kind).expect("a kind is listed")];
            let [first, .., last] = &versions[..] else { unreachable!("a slot in the history was accessed") };
            table.push(F::ONE);
            for (bits, index) in [(region.outer_bits, outer), (region.inner_bits, inner)] {
                let limbs = (0..bits).step_by(LIMB_BITS as usize);
                table.extend(limbs.map(|shift| F::from_u32((index >> shift) & ((1 << LIMB_BITS) - 1))));
            }
            table.push(field(last.timestamp));
            table.extend(first.cells.iter().chain(&last.cells).map(|&cell| field(cell)));
        }
        tables
    }

    fn merkle(&mut self) -> Vec<F> {
        let mut leaves: Vec<(u32, Digest)> = Vec::new();
        for (&(kind, outer, inner), versions) in &self.history {
            let last = versions.last().expect("a slot has a first version");
            let mut cells: Vec<u32> = last.cells.iter().map(|&cell| cell_to_canonical(field(cell))).collect();
            cells.resize(kind.cells(), 0);
            leaves.extend(leaves_of(kind, outer, inner, &cells).map(|(at, leaf)| (at, leaf.map(F::new))));
        }
        leaves.sort_unstable_by_key(|(at, _)| *at);
        let mut rows = Vec::new();
        for node in self.tree.update_traced(&leaves) {
            rows.extend([F::ONE, F::from_u32(node.level), F::from_u32(node.index)]);
            rows.extend([node.left_touched, node.right_touched].map(F::from_bool));
            let (old, new) =
                ([node.old_left, node.old_right, node.old_out], [node.new_left, node.new_right, node.new_out]);
            rows.extend(old.into_iter().chain(new).flatten());
        }
        rows
    }
}

/// A plain slot from its cells.
fn read<S: Record<Plain>>(cells: &[i64]) -> S {
    let cells: Vec<u32> = cells.iter().map(|&cell| cell_to_canonical(field(cell))).collect();
    S::read(&mut PlainReader(&cells))
}

/// The key of a claim, if it is a point of the curve.
pub fn key_of((public_key, _): &Claim) -> Option<PublicKey> {
    let coordinate = |at: usize| Septic(std::array::from_fn(|i| public_key[at + i]));
    Affine::new(coordinate(0), coordinate(7)).map(PublicKey::new)
}

/// The signature that a claim needs, by whoever has the key.
pub fn sign(claim: &Claim) -> Option<(PublicKey, Signature)> {
    let public_key = key_of(claim)?;
    Some((public_key, super::sign(&public_key, &claim.1)?))
}

/// Fills the range and the Poseidon2 table with what the other tables look up, as far as that exists.
pub fn fit_lookups(checker: &Checker<'_>, segment: &mut Segment) {
    let public = segment.public.to_cells();
    let mut ranges = vec![0; 1 << (holdfast_circuit::RANGE_BITS + 1)];
    let mut permutations = Vec::new();
    let mut values = Vec::new();
    for (checker, trace) in checker.tables().iter().zip(&segment.traces) {
        let (Some(trace), false) = (trace, matches!(checker.table, Table::Range | Table::Poseidon2)) else { continue };
        for row in 0..trace.height() {
            checker.evaluate(&Window::new(&trace.values, checker.width, row, &public), &mut values);
            for index in 0..checker.messages() {
                let message = checker.message(index, &values);
                match message.bus {
                    Bus::Range if message.count == F::ONE => {
                        let cells: Vec<u32> = message.cells.iter().map(|&cell| cell_to_canonical(cell)).collect();
                        if let Some(place) = range_place(&cells) {
                            ranges[place] += 1;
                        }
                    }
                    Bus::Poseidon2 if message.count == F::ONE => permutations.extend(permutation(&message.cells)),
                    _ => {}
                }
            }
        }
    }
    segment.traces[Table::Poseidon2.index()] = Some(fill_poseidon2(permutations));
    segment.traces[Table::Range.index()] = Some(fill_range(&ranges));
}

/// The input of a permutation that is looked up; `None` if the output is not its.
pub fn permutation(message: &[F]) -> Option<[Digest; 2]> {
    let digest = |at: usize| -> Digest { std::array::from_fn(|cell| message[at + cell]) };
    let (left, right, output) = (digest(0), digest(8), digest(16));
    let expected = compress(&left, &right);
    (0..8).all(|cell| expected[cell] == output[cell] + left[cell]).then_some([left, right])
}

/// A row that is filled from its entry alone.
pub struct CellsOnly<'a>(pub &'a mut Vec<F>);

impl Row for CellsOnly<'_> {
    type E = i64;

    fn constant(&self, value: i64) -> i64 {
        value
    }
    fn column(&mut self, value: i64) -> i64 {
        self.0.push(field(value));
        value
    }
    fn value(&self, e: &i64) -> i64 {
        *e
    }
    fn assert_zero(&mut self, _: i64) {}
    fn range(&mut self, _: &i64, _: &i64, _: u32) {}
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}
    fn load(&mut self, _: Kind, _: &i64, _: &i64, _: &i64) -> (Vec<i64>, i64) {
        unreachable!("it reads no slot")
    }
    fn store(&mut self, _: Kind, _: &i64, _: &i64, _: &[i64]) {
        unreachable!("it writes no slot")
    }
    fn hint_neighbour(&mut self, _: &i64, _: i64) -> i64 {
        unreachable!("it takes no advice")
    }
    fn hint_open_order(&mut self, _: &i64, _: &i64, _: &i64) -> i64 {
        unreachable!("it takes no advice")
    }
    fn compress(&mut self, _: &[i64; 8], _: &[i64; 8]) -> [i64; 8] {
        unreachable!("it hashes nothing")
    }
    fn note_signed(&mut self, _: &[i64; 14], _: &[i64; 8]) {}
    fn note_outcome(&mut self, _: &i64, _: &i64) {}
}

/// What came of one step.
struct Stepped {
    next: Next<Cells<i64>>,
    frame: Option<Frame<Cells<i64>>>,
    code: Option<i64>,
    signed: Option<Claim>,
}

struct ForgedRow<'a> {
    forger: &'a mut Forger,
    prover: &'a mut dyn Prover,
    inputs: Inputs,
    cells: &'a mut Vec<F>,
    /// Slots read and not yet written, with the time of the access.
    open: Vec<(Place, i64)>,
    code: Option<i64>,
    signed: Option<Claim>,
}

impl ForgedRow<'_> {
    fn at(&self) -> At {
        At { step: self.inputs.step, clock: self.inputs.entry.clock, column: self.cells.len() }
    }

    fn hint(&mut self, honest: u32) -> i64 {
        let hint = self.prover.hint(self.at(), i64::from(honest));
        self.inputs.hints.push(hint);
        hint
    }
}

impl Row for ForgedRow<'_> {
    type E = i64;

    fn constant(&self, value: i64) -> i64 {
        value
    }
    fn column(&mut self, value: i64) -> i64 {
        let value = self.prover.column(self.at(), value);
        self.cells.push(field(value));
        value
    }
    fn value(&self, e: &i64) -> i64 {
        *e
    }
    fn assert_zero(&mut self, _: i64) {}
    fn range(&mut self, _: &i64, _: &i64, _: u32) {}
    fn interact(&mut self, _: Bus, _: bool, _: Vec<i64>, _: i64) {}

    fn load(&mut self, kind: Kind, outer: &i64, inner: &i64, timestamp: &i64) -> (Vec<i64>, i64) {
        let place = (kind, *outer as u32, *inner as u32);
        let at = self.at();
        let version = self.prover.load(at, place, self.forger.versions(place));
        let gap = timestamp - 1 - version.timestamp;
        self.open.push((place, *timestamp));
        self.inputs.loads.push((version.cells.clone(), gap));
        (version.cells, gap)
    }
    fn store(&mut self, kind: Kind, outer: &i64, inner: &i64, cells: &[i64]) {
        let place = (kind, *outer as u32, *inner as u32);
        let open = self.open.iter().rposition(|(open, _)| *open == place).expect("a slot is written that was read");
        let (_, timestamp) = self.open.remove(open);
        self.forger.versions(place).push(Version { timestamp, cells: cells.to_vec() });
    }
    fn hint_neighbour(&mut self, sentinel: &i64, price: i64) -> i64 {
        let sentinel = *sentinel as u32;
        let bids = sentinel.is_multiple_of(2);
        let as_good = |slot: &u32| {
            let other = self.forger.order(*slot).price as i64;
            if bids { other >= price } else { other <= price }
        };
        let neighbour = self.forger.book(sentinel).into_iter().take_while(as_good).last();
        self.hint(neighbour.unwrap_or(sentinel))
    }
    fn hint_open_order(&mut self, account: &i64, entry: &i64, after: &i64) -> i64 {
        let owned = self.forger.orders_of(*account as u32, *entry as u32);
        self.hint(owned.into_iter().find(|slot| i64::from(*slot) > *after).unwrap_or(0))
    }
    fn compress(&mut self, left: &[i64; 8], right: &[i64; 8]) -> [i64; 8] {
        compress(&left.map(field), &right.map(field)).map(|cell| i64::from(cell_to_canonical(cell)))
    }
    fn note_signed(&mut self, public_key: &[i64; 14], head: &[i64; 8]) {
        self.signed = Some((public_key.map(field), head.map(field)));
    }
    fn note_outcome(&mut self, enabled: &i64, code: &i64) {
        if *enabled != 0 {
            self.code = Some(*code);
        }
    }
}
