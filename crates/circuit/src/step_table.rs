//! The tables of the steps: one row is one step.
//!
//! A row is: active, clock, what the step receives, and then the columns that the step function asks for. It receives its place in the chain
//! from the step bus (and its frame, or its command), runs the function, and sends where it goes.

use holdfast_crypto::{
    Digest,
    field::{DIGEST_CELLS, cell_to_canonical},
};
use holdfast_exchange::{
    fields::{
        AmendFields, CancelFields, DepositFields, EntryFields, InstructionFields, MarkFields, OpenFields, PlaceFields,
        RegisterFields, RevokeFields, SealFields, TimeFields, WithdrawFields,
    },
    flow::{
        AdmitFrame, FillFrame, Grant, Label, MarginRegisters, PayoutFrame, ProbeRegisters, RemoveRegisters, SweepFrame,
        Taker, TradeFrame, TurnFrame, Verdict,
    },
    machine::{LIMB_BITS, WORD_LIMBS},
    record::{CellReader, Record},
    step::{Input, Step, execute},
};
use holdfast_protocol::{
    Command, Instruction, KeyIndex,
    cells::{Blocks, COMMAND_CELLS, FLAGS, PART_BITS},
    limits,
    publication::{HIGH_BITS, WORD_CELLS},
};

use crate::{
    cells::{Cells, Circuit, Signed, Went, cells_of, columns_of},
    row::{Bus, Expr, Row},
};

/// What a row's first columns are filled with.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub active: i64,
    pub clock: i64,
    /// The sequence number of a command, or the handle of a frame.
    pub argument: i64,
    /// The cells of the command's fields, of the registers or of the frame.
    pub cells: Vec<i64>,
    pub verdict: Vec<i64>,
    /// Of a command: what its session grants.
    pub grant: Vec<i64>,
}

/// One row of a step's table.
pub fn step_row<R: Row>(row: &mut R, step: Step, entry: &Entry) -> Went<R::E> {
    let active = row.column(entry.active);
    let clock = row.column(entry.clock);
    let mut circuit = Circuit::new(row, active.clone(), clock);
    let one = circuit.row.constant(1);
    circuit.row.assert_zero(active.clone() * (active - one));
    let input = receive(&mut circuit, step, entry);
    execute(&mut circuit, input);
    circuit.finish()
}

/// Bits of an owner's address.
const ADDRESS_BITS: u32 = 160;
/// A command's field that needs no check of its range, because `authorise` has checked it.
const TRUSTED: u32 = 0;
/// Columns of the row of an instruction that are filled when its outcome is known: the code, and the digest after its first block.
pub const PUBLISHED: std::ops::Range<usize> = 2..2 + 1 + DIGEST_CELLS;
/// First of the columns of the row of an extended command that are filled then: the digest before and after each of its further blocks, and the number of words before them.
pub const EXTENSION: usize = 2;

fn receive<R: Row>(c: &mut Circuit<'_, R>, step: Step, entry: &Entry) -> Input<Cells<R::E>> {
    use limits::{ACCOUNT_BITS, GENERATION_BITS, KEY_BITS, MARKET_BITS, ORDER_BITS, PRICE_BITS, SIZE_BITS, TIME_BITS};
    match step {
        Step::Authorise => instruction(c, entry),
        Step::Seal => {
            let sequence = c.row.column(entry.argument);
            take(c, Label::Idle, [sequence.clone()]);
            let bits = [ACCOUNT_BITS, KEY_BITS];
            let fields = read_fields::<R, SealFields<_>>(c, entry, &bits);
            Input::Seal(sequence, fields)
        }
        Step::Open => {
            let extension = Extension::<_, 2>::columns(c);
            let (grant, fields) = command(c, entry, 10, true, &[TRUSTED, ACCOUNT_BITS], |_, f: &OpenFields<_>| {
                (vec![], vec![f.sender.clone(), f.account.clone()])
            });
            // It must be an address: whoever settles with its owner reads it.
            let (last, others) = fields.owner.split_last().expect("six parts");
            others.iter().for_each(|part| c.range_wide(part, PART_BITS));
            c.range_wide(last, ADDRESS_BITS - others.len() as u32 * PART_BITS);
            let word = padded(c, &fields.owner);
            extension.absorb(c, &grant.sequence, &[&fields.owner], &[word]);
            Input::Open(grant, fields)
        }
        Step::Register => {
            let extension = Extension::<_, 3>::columns(c);
            let bits = [TRUSTED, ACCOUNT_BITS, KEY_BITS, TIME_BITS];
            let (grant, fields) = command(c, entry, 11, true, &bits, |c, f: &RegisterFields<_>| {
                let place = session_cell(c, &f.account, &f.key);
                let [low, high] = pairs(c, &f.expiry);
                (vec![f.withdraws.clone(), f.replaces.clone()], vec![f.sender.clone(), place, low, high])
            });
            let blocks = [&fields.x, &fields.y];
            let key = fields.x.iter().chain(&fields.y).cloned().collect();
            let active = c.active.clone();
            c.row.interact(Bus::Key, false, key, active);
            let words = blocks.map(|coordinate| coordinate_word(c, coordinate));
            extension.absorb(c, &grant.sequence, &blocks, &words);
            Input::Register(grant, fields)
        }
        Step::Revoke => {
            let bits = [TRUSTED, ACCOUNT_BITS, KEY_BITS];
            let (grant, fields) = command(c, entry, 12, false, &bits, |c, f: &RevokeFields<_>| {
                let place = session_cell(c, &f.account, &f.key);
                (vec![], vec![f.sender.clone(), place])
            });
            Input::Revoke(grant, fields)
        }
        Step::Deposit => {
            let bits = [TRUSTED, ACCOUNT_BITS, limits::TRANSFER_BITS];
            let (grant, fields) = command(c, entry, 1, false, &bits, |c, f: &DepositFields<_>| {
                let [low, middle, high] = transfer(c, &f.amount);
                (vec![], vec![f.sender.clone(), f.account.clone(), low, middle, high])
            });
            Input::Deposit(grant, fields)
        }
        Step::Withdraw => {
            let bits = [TRUSTED, limits::TRANSFER_BITS];
            let (grant, fields) = command(c, entry, 2, false, &bits, |c, f: &WithdrawFields<_>| {
                let [low, middle, high] = transfer(c, &f.amount);
                let zero = c.row.constant(0);
                (vec![], vec![f.account.clone(), zero, low, middle, high])
            });
            Input::Withdraw(grant, fields)
        }
        Step::Place => {
            let bits = [TRUSTED, MARKET_BITS, PRICE_BITS, SIZE_BITS];
            let (grant, fields) = command(c, entry, 3, false, &bits, |c, f: &PlaceFields<_>| {
                let flags = [&f.buys, &f.force_low, &f.force_high, &f.reduce_only, &f.self_low, &f.self_high];
                let [price_low, price_high] = pairs(c, &f.price);
                let [size_low, size_high] = pairs(c, &f.size);
                (
                    flags.map(Clone::clone).to_vec(),
                    vec![f.account.clone(), f.market.clone(), price_low, price_high, size_low, size_high],
                )
            });
            Input::Place(grant, fields)
        }
        Step::Cancel => {
            let bits = [TRUSTED, ORDER_BITS, GENERATION_BITS];
            let (grant, fields) = command(c, entry, 4, false, &bits, |_, f: &CancelFields<_>| {
                (vec![], vec![f.account.clone(), f.slot.clone(), f.generation.clone()])
            });
            Input::Cancel(grant, fields)
        }
        Step::CancelAll => {
            let (grant, fields) = command(c, entry, 5, false, &[TRUSTED, MARKET_BITS], entry_cells);
            Input::CancelAll(grant, fields)
        }
        Step::Amend => {
            let bits = [TRUSTED, ORDER_BITS, GENERATION_BITS, PRICE_BITS, SIZE_BITS];
            let (grant, fields) = command(c, entry, 6, false, &bits, |c, f: &AmendFields<_>| {
                let [price_low, price_high] = pairs(c, &f.price);
                let [size_low, size_high] = pairs(c, &f.size);
                // The generation stands above the two bits of the self-trade prevention.
                (
                    vec![f.self_low.clone(), f.self_high.clone(), f.generation.clone()],
                    vec![f.account.clone(), f.slot.clone(), price_low, price_high, size_low, size_high],
                )
            });
            Input::Amend(grant, fields)
        }
        Step::Mark => {
            let bits = [TRUSTED, MARKET_BITS, PRICE_BITS];
            let (grant, fields) = command(c, entry, 7, false, &bits, |c, f: &MarkFields<_>| {
                let [low, high] = pairs(c, &f.price);
                (vec![], vec![f.sender.clone(), f.market.clone(), low, high])
            });
            Input::Mark(grant, fields)
        }
        Step::Time => {
            let (grant, fields) = command(c, entry, 8, false, &[TRUSTED, TIME_BITS], |c, f: &TimeFields<_>| {
                let [low, high] = pairs(c, &f.time);
                let zero = c.row.constant(0);
                (vec![], vec![f.sender.clone(), zero, low, high])
            });
            Input::Time(grant, fields)
        }
        Step::Release => {
            let (grant, fields) = command(c, entry, 9, false, &[TRUSTED, MARKET_BITS], entry_cells);
            Input::Release(grant, fields)
        }
        Step::Probe => Input::Probe(registers::<R, ProbeRegisters<_>>(c, entry, Label::Probe)),
        Step::Margin => Input::Margin(registers::<R, MarginRegisters<_>>(c, entry, Label::Margin)),
        Step::Remove => Input::Remove(registers::<R, RemoveRegisters<_>>(c, entry, Label::Remove)),
        Step::Match => resumed::<R, Taker<_>>(c, entry, Label::Match, Input::Match),
        Step::Trade => resumed::<R, TradeFrame<_>>(c, entry, Label::Trade, Input::Trade),
        Step::Rest => resumed::<R, Taker<_>>(c, entry, Label::Rest, Input::Rest),
        Step::Expire => resumed::<R, Taker<_>>(c, entry, Label::Expire, Input::Expire),
        Step::Sweep => resumed::<R, SweepFrame<_>>(c, entry, Label::Sweep, Input::Sweep),
        Step::Admit => judged::<R, AdmitFrame<_>>(c, entry, Label::Admit, Input::Admit),
        Step::Turn => judged::<R, TurnFrame<_>>(c, entry, Label::Turn, Input::Turn),
        Step::Fill => judged::<R, FillFrame<_>>(c, entry, Label::Fill, Input::Fill),
        Step::Payout => judged::<R, PayoutFrame<_>>(c, entry, Label::Payout, Input::Payout),
    }
}

fn take<R: Row>(c: &mut Circuit<'_, R>, label: Label, rest: impl IntoIterator<Item = R::E>) {
    let mut message = vec![c.clock.clone(), c.row.constant(i64::from(label.number()))];
    message.extend(rest);
    let active = c.active.clone();
    c.row.interact(Bus::Step, true, message, active);
}

fn take_frame<R: Row, T: Record<Cells<R::E>>>(
    c: &mut Circuit<'_, R>,
    label: Label,
    handle: &R::E,
    values: &[i64],
) -> T {
    let frame: T = columns_of(c.row, values.iter().copied());
    let mut message = vec![handle.clone(), c.row.constant(i64::from(label.number()))];
    message.extend(cells_of(&frame));
    let active = c.active.clone();
    c.row.interact(Bus::Frame, true, message, active);
    frame
}

fn registers<R: Row, T: Record<Cells<R::E>>>(c: &mut Circuit<'_, R>, entry: &Entry, label: Label) -> T {
    let registers: T = columns_of(c.row, entry.cells.iter().copied());
    take(c, label, cells_of(&registers));
    registers
}

fn resumed<R: Row, T: Record<Cells<R::E>>>(
    c: &mut Circuit<'_, R>,
    entry: &Entry,
    label: Label,
    input: impl FnOnce(R::E, T) -> Input<Cells<R::E>>,
) -> Input<Cells<R::E>> {
    let handle = c.row.column(entry.argument);
    take(c, label, [handle.clone()]);
    let frame = take_frame(c, label, &handle, &entry.cells);
    input(handle, frame)
}

fn judged<R: Row, T: Record<Cells<R::E>>>(
    c: &mut Circuit<'_, R>,
    entry: &Entry,
    label: Label,
    input: impl FnOnce(R::E, T, Verdict<Cells<R::E>>) -> Input<Cells<R::E>>,
) -> Input<Cells<R::E>> {
    let handle = c.row.column(entry.argument);
    let verdict: Verdict<Cells<R::E>> = columns_of(c.row, entry.verdict.iter().copied());
    let mut message = vec![handle.clone()];
    message.extend(cells_of(&verdict));
    take(c, label, message);
    let frame = take_frame(c, label, &handle, &entry.cells);
    input(handle, frame, verdict)
}

/// Takes an instruction as it is published: the batch's digest absorbs it (its first block), and its command is handed on.
fn instruction<R: Row>(c: &mut Circuit<'_, R>, entry: &Entry) -> Input<Cells<R::E>> {
    // What depends on the outcome comes first: it is filled last.
    let code = c.row.column(0);
    let [after] = digest_columns(c);
    let sequence = c.row.column(entry.argument);
    take(c, Label::Idle, [sequence.clone()]);
    let mut values = entry.cells.iter().copied();
    let mut value = || values.next().unwrap_or(0);
    let extended = c.bit_column(value() != 0);
    let before: [R::E; DIGEST_CELLS] = std::array::from_fn(|_| c.row.column(value()));
    let words = c.row.column(value());
    let account = c.input_id(value(), limits::ACCOUNT_BITS);
    let key = c.input_id(value(), limits::KEY_BITS);
    let forced = c.bit_column(value() != 0);
    let session = session_cell(c, &account, &key)
        + c.row.constant(i64::from(KeyIndex::ETHEREUM.get()) << limits::ACCOUNT_BITS) * forced.clone();
    let cells: [R::E; COMMAND_CELLS] = std::array::from_fn(|i| {
        let value = value();
        if i == 1 { session.clone() } else { c.row.column(value) }
    });

    let active = c.active.clone();
    let (zero, one) = (c.row.constant(0), c.row.constant(1));
    let [head, _, rest @ ..] = &cells;
    let mut message = vec![sequence.clone(), extended.clone(), head.clone(), account.clone()];
    message.extend_from_slice(rest);
    c.row.interact(Bus::Command, false, message, active.clone());
    c.row.interact(Bus::Outcome, true, vec![sequence.clone(), code.clone()], active.clone());
    let mut message = vec![sequence.clone(), zero, words.clone()];
    message.extend_from_slice(&before);
    c.row.interact(Bus::Digest, true, message, active.clone());
    let mut message = vec![sequence.clone() + one.clone(), extended, words.clone() + one];
    message.extend_from_slice(&after);
    c.row.interact(Bus::Digest, false, message, active);
    let block = std::array::from_fn(|i| cells.get(i).unwrap_or(&code).clone());
    c.look_up_compression(&before, &block, &after);
    publish(c, &words, &block);
    Input::Authorise(sequence, InstructionFields { account, key, forced, cells })
}

/// `N` digests in new columns, to be filled later.
fn digest_columns<R: Row, const N: usize>(c: &mut Circuit<'_, R>) -> [[R::E; DIGEST_CELLS]; N] {
    std::array::from_fn(|_| std::array::from_fn(|_| c.row.column(0)))
}

/// The columns of an extended command in which the batch's digest absorbs its further blocks: filled last.
struct Extension<E, const N: usize> {
    /// Before the first block, and after each.
    digests: [[E; DIGEST_CELLS]; N],
    /// Words of the segment before those of the further blocks.
    words: E,
}

impl<E: Expr, const N: usize> Extension<E, N> {
    fn columns<R: Row<E = E>>(c: &mut Circuit<'_, R>) -> Self {
        Self { digests: digest_columns(c), words: c.row.column(0) }
    }

    /// Absorbs the blocks, and publishes their words.
    fn absorb<R: Row<E = E>, const L: usize>(
        &self,
        c: &mut Circuit<'_, R>,
        sequence: &E,
        blocks: &[&[E; L]],
        words: &[[E; WORD_CELLS]],
    ) {
        assert!(N == blocks.len() + 1 && blocks.len() == words.len());
        let (zero, one) = (c.row.constant(0), c.row.constant(1));
        let active = c.active.clone();
        let next = sequence.clone() + one.clone();
        let words_after = self.words.clone() + c.row.constant(words.len() as i64);
        let ends =
            [(true, one.clone(), &self.words, &self.digests[0]), (false, zero, &words_after, &self.digests[N - 1])];
        for (receives, stage, words, digest) in ends {
            let mut message = vec![next.clone(), stage, words.clone()];
            message.extend_from_slice(digest);
            c.row.interact(Bus::Digest, receives, message, active.clone());
        }
        let mut place = self.words.clone();
        for (at, (cells, word)) in blocks.iter().zip(words).enumerate() {
            let block = padded(c, cells);
            c.look_up_compression(&self.digests[at], &block, &self.digests[at + 1]);
            publish(c, &place, word);
            place = place + one.clone();
        }
    }
}

/// Cells, and zeros after them.
fn padded<R: Row, const L: usize>(c: &Circuit<'_, R>, cells: &[R::E; L]) -> [R::E; WORD_CELLS] {
    std::array::from_fn(|i| cells.get(i).cloned().unwrap_or_else(|| c.row.constant(0)))
}

/// A word of what is published.
fn publish<R: Row>(c: &mut Circuit<'_, R>, place: &R::E, cells: &[R::E; WORD_CELLS]) {
    let mut message = vec![place.clone()];
    message.extend_from_slice(cells);
    let active = c.active.clone();
    c.row.interact(Bus::Word, false, message, active);
}

/// The word of a coordinate of a public key: the low 28 bits of each cell, and the high three of all in the last cell.
///
/// The modulus is 7 × 2^28 + 2^27 + 1, so that a cell can be split in two ways unless the low part is at most 2^27 where the high part is 7.
fn coordinate_word<R: Row>(c: &mut Circuit<'_, R>, coordinate: &[R::E; COMMAND_CELLS]) -> [R::E; WORD_CELLS] {
    const TOP: i64 = (1 << HIGH_BITS) - 1;
    let mut highs = c.row.constant(0);
    let mut lows = Vec::with_capacity(COMMAND_CELLS);
    for (at, cell) in coordinate.iter().enumerate() {
        let value = c.row.value(cell);
        let low = c.input_id(value & ((1 << PART_BITS) - 1), PART_BITS);
        let high = c.input_id(value >> PART_BITS, HIGH_BITS);
        let whole = low.clone() + c.row.constant(1 << PART_BITS) * high.clone();
        c.row.assert_zero(whole - cell.clone());
        let top = c.row.constant(TOP);
        let is_top = c.is_zero(high.clone() - top);
        let room = c.row.constant(1 << (PART_BITS - 1)) - low.clone();
        c.range_wide(&(is_top * room), PART_BITS);
        highs = highs + c.row.constant(1 << (at as u32 * HIGH_BITS)) * high;
        lows.push(low);
    }
    std::array::from_fn(|i| lows.get(i).unwrap_or(&highs).clone())
}

/// Takes a command: its fields are range-checked, because they come from outside, and sent for as the cells that were published.
fn command<R: Row, T: Record<Cells<R::E>>>(
    c: &mut Circuit<'_, R>,
    entry: &Entry,
    kind: u32,
    extended: bool,
    bits: &[u32],
    cells: impl FnOnce(&mut Circuit<'_, R>, &T) -> (Vec<R::E>, Vec<R::E>),
) -> (Grant<Cells<R::E>>, T) {
    let grant: Grant<_> = columns_of(c.row, entry.grant.iter().copied());
    take(c, Label::Command, cells_of(&grant));
    let fields = read_fields(c, entry, bits);
    let (flags, rest) = cells(c, &fields);
    // head = kind + 16 × (flag 0 + 2 × flag 1 + 4 × flag 2 + …)
    let mut head = c.row.constant(i64::from(kind));
    for (index, flag) in flags.into_iter().enumerate() {
        head = head + c.row.constant(i64::from(FLAGS << index)) * flag;
    }
    let mut message = vec![grant.sequence.clone(), c.row.constant(i64::from(extended)), head];
    message.extend(rest);
    let zero = c.row.constant(0);
    message.resize(2 + COMMAND_CELLS, zero);
    let active = c.active.clone();
    c.row.interact(Bus::Command, true, message, active);
    (grant, fields)
}

fn read_fields<R: Row, T: Record<Cells<R::E>>>(c: &mut Circuit<'_, R>, entry: &Entry, bits: &[u32]) -> T {
    T::read(&mut FieldReader { circuit: c, values: entry.cells.iter().copied(), bits: bits.iter().copied() })
}

/// `account + 2^20 × key`
fn session_cell<R: Row>(c: &Circuit<'_, R>, account: &R::E, key: &R::E) -> R::E {
    account.clone() + c.row.constant(1 << limits::ACCOUNT_BITS) * key.clone()
}

fn transfer<R: Row>(c: &Circuit<'_, R>, amount: &[R::E; 6]) -> [R::E; 3] {
    [0, 2, 4].map(|at| paired(c, &amount[at], &amount[at + 1]))
}

fn entry_cells<R: Row>(_: &mut Circuit<'_, R>, f: &EntryFields<Cells<R::E>>) -> (Vec<R::E>, Vec<R::E>) {
    (vec![], vec![f.account.clone(), f.market.clone()])
}

fn paired<R: Row>(c: &Circuit<'_, R>, low: &R::E, high: &R::E) -> R::E {
    low.clone() + c.row.constant(1 << LIMB_BITS) * high.clone()
}

fn pairs<R: Row>(c: &Circuit<'_, R>, word: &[R::E; WORD_LIMBS]) -> [R::E; 2] {
    [paired(c, &word[0], &word[1]), word[2].clone()]
}

/// Reads a command's fields from new columns, range-checking each with the next of `bits`.
struct FieldReader<'a, 'r, R: Row, I, B> {
    circuit: &'a mut Circuit<'r, R>,
    values: I,
    bits: B,
}

impl<E: Expr, R: Row<E = E>, I: Iterator<Item = i64>, B: Iterator<Item = u32>> FieldReader<'_, '_, R, I, B> {
    fn value(&mut self) -> i64 {
        self.values.next().unwrap_or(0)
    }
    fn bits(&mut self) -> u32 {
        self.bits.next().expect("every field of a command has a bound")
    }
}

impl<E: Expr, R: Row<E = E>, I: Iterator<Item = i64>, B: Iterator<Item = u32>> CellReader<Cells<E>>
    for FieldReader<'_, '_, R, I, B>
{
    fn bit(&mut self) -> E {
        let value = self.value();
        self.circuit.bit_column(value != 0)
    }
    fn id(&mut self) -> E {
        match (self.value(), self.bits()) {
            (value, TRUSTED) => self.circuit.row.column(value),
            (value, bits) => self.circuit.input_id(value, bits),
        }
    }
    fn word(&mut self) -> [E; WORD_LIMBS] {
        self.wide::<WORD_LIMBS>()
    }
    fn wide<const L: usize>(&mut self) -> [E; L] {
        let value = (0..L as u32).fold(0, |sum, limb| sum | (self.value() as u128) << (limb * LIMB_BITS));
        let bits = self.bits();
        self.circuit.input_wide(value, bits)
    }
    fn int<const L: usize>(&mut self) -> Signed<E, L> {
        unreachable!("no command has a signed field")
    }
    fn fields<const N: usize>(&mut self) -> [E; N] {
        std::array::from_fn(|_| {
            let value = self.value();
            self.circuit.row.column(value)
        })
    }
}

/// The cells that the row of an instruction receives, after this digest and so many words.
pub fn instruction_cells(instruction: &Instruction, blocks: &Blocks, digest: &Digest, words: usize) -> Vec<i64> {
    let InstructionFields { account, key, forced, cells: _ } = InstructionFields::new(instruction, blocks);
    let mut cells = vec![i64::from(!blocks.further().is_empty())];
    cells.extend(digest.map(|cell| i64::from(cell_to_canonical(cell))));
    cells.push(words as i64);
    cells.extend([account, key, u32::from(forced)].map(i64::from));
    cells.extend(blocks.first.map(i64::from));
    cells
}

/// The kind of step of a command, and the cells of its fields.
pub fn command_entry(command: &Command) -> (Step, Vec<i64>) {
    use holdfast_exchange::{machine::Plain, record::PlainWriter};
    fn cells<T: Record<Plain>>(fields: T) -> Vec<i64> {
        let mut out = Vec::with_capacity(T::CELLS);
        fields.write(&mut PlainWriter(&mut out));
        out.into_iter().map(i64::from).collect()
    }
    match command {
        Command::Deposit(c) => (Step::Deposit, cells(DepositFields::<Plain>::from(c))),
        Command::Withdraw(c) => (Step::Withdraw, cells(WithdrawFields::<Plain>::from(c))),
        Command::Place(c) => (Step::Place, cells(PlaceFields::<Plain>::from(c))),
        Command::Cancel(c) => (Step::Cancel, cells(CancelFields::<Plain>::from(c))),
        Command::CancelAll(c) => (Step::CancelAll, cells(EntryFields::<Plain>::from(c))),
        Command::Amend(c) => (Step::Amend, cells(AmendFields::<Plain>::from(c))),
        Command::Mark(c) => (Step::Mark, cells(MarkFields::<Plain>::from(c))),
        Command::Time(c) => (Step::Time, cells(TimeFields::<Plain>::from(c))),
        Command::Release(c) => (Step::Release, cells(EntryFields::<Plain>::from(c))),
        Command::Open(c) => (Step::Open, cells(OpenFields::<Plain>::from(c))),
        Command::Register(c) => (Step::Register, cells(RegisterFields::<Plain>::from(c))),
        Command::Revoke(c) => (Step::Revoke, cells(RevokeFields::<Plain>::from(c))),
    }
}
