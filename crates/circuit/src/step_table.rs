//! The tables of the steps: one row is one step.
//!
//! A row is: active, clock, what the step receives, and then the columns that the step function asks for. It receives its place in the chain
//! from the step bus (and its frame, or its command), runs the function, and sends where it goes.

use holdfast_exchange::{
    fields::{AmendFields, CancelFields, EntryFields, MarkFields, PlaceFields, TimeFields, TransferFields},
    flow::{
        AdmitFrame, FillFrame, Label, MarginRegisters, PayoutFrame, ProbeRegisters, RemoveRegisters, SweepFrame, Taker,
        TradeFrame, TurnFrame, Verdict,
    },
    machine::{LIMB_BITS, WORD_LIMBS},
    record::{CellReader, Record},
    step::{Input, Step, execute},
};
use holdfast_protocol::{Command, limits};

use crate::{
    cells::{Cells, Circuit, Signed, Went, cells_of, columns_of},
    published::FLAGS,
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

fn receive<R: Row>(c: &mut Circuit<'_, R>, step: Step, entry: &Entry) -> Input<Cells<R::E>> {
    match step {
        Step::Deposit => {
            let (sequence, fields) =
                command(c, entry, 1, &[limits::ACCOUNT_BITS, limits::TRANSFER_BITS], transfer_cells);
            Input::Deposit(sequence, fields)
        }
        Step::Withdraw => {
            let (sequence, fields) =
                command(c, entry, 2, &[limits::ACCOUNT_BITS, limits::TRANSFER_BITS], transfer_cells);
            Input::Withdraw(sequence, fields)
        }
        Step::Place => {
            let bits = [limits::ACCOUNT_BITS, limits::MARKET_BITS, limits::PRICE_BITS, limits::SIZE_BITS];
            let (sequence, fields) = command(c, entry, 3, &bits, |c, f: &PlaceFields<Cells<R::E>>| {
                let flags = [&f.buys, &f.force_low, &f.force_high, &f.reduce_only, &f.self_low, &f.self_high];
                let [price_low, price_high] = pairs(c, &f.price);
                let [size_low, size_high] = pairs(c, &f.size);
                (
                    flags.map(Clone::clone).to_vec(),
                    vec![f.account.clone(), f.market.clone(), price_low, price_high, size_low, size_high],
                )
            });
            Input::Place(sequence, fields)
        }
        Step::Cancel => {
            let bits = [limits::ACCOUNT_BITS, limits::ORDER_BITS, limits::GENERATION_BITS];
            let (sequence, fields) = command(c, entry, 4, &bits, |_, f: &CancelFields<Cells<R::E>>| {
                (vec![], vec![f.account.clone(), f.slot.clone(), f.generation.clone()])
            });
            Input::Cancel(sequence, fields)
        }
        Step::CancelAll => {
            let (sequence, fields) = command(c, entry, 5, &[limits::ACCOUNT_BITS, limits::MARKET_BITS], entry_cells);
            Input::CancelAll(sequence, fields)
        }
        Step::Amend => {
            let bits = [
                limits::ACCOUNT_BITS,
                limits::ORDER_BITS,
                limits::GENERATION_BITS,
                limits::PRICE_BITS,
                limits::SIZE_BITS,
            ];
            let (sequence, fields) = command(c, entry, 6, &bits, |c, f: &AmendFields<Cells<R::E>>| {
                let [price_low, price_high] = pairs(c, &f.price);
                let [size_low, size_high] = pairs(c, &f.size);
                // The generation stands above the two bits of the self-trade prevention.
                (
                    vec![f.self_low.clone(), f.self_high.clone(), f.generation.clone()],
                    vec![f.account.clone(), f.slot.clone(), price_low, price_high, size_low, size_high],
                )
            });
            Input::Amend(sequence, fields)
        }
        Step::Mark => {
            let bits = [limits::ACCOUNT_BITS, limits::MARKET_BITS, limits::PRICE_BITS];
            let (sequence, fields) = command(c, entry, 7, &bits, |c, f: &MarkFields<Cells<R::E>>| {
                let [low, high] = pairs(c, &f.price);
                (vec![], vec![f.sender.clone(), f.market.clone(), low, high])
            });
            Input::Mark(sequence, fields)
        }
        Step::Time => {
            let bits = [limits::ACCOUNT_BITS, limits::TIME_BITS];
            let (sequence, fields) = command(c, entry, 8, &bits, |c, f: &TimeFields<Cells<R::E>>| {
                let [low, high] = pairs(c, &f.time);
                let zero = c.row.constant(0);
                (vec![], vec![f.sender.clone(), zero, low, high])
            });
            Input::Time(sequence, fields)
        }
        Step::Release => {
            let (sequence, fields) = command(c, entry, 9, &[limits::ACCOUNT_BITS, limits::MARKET_BITS], entry_cells);
            Input::Release(sequence, fields)
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

/// Takes a command: its fields are range-checked, because they come from outside, and sent for as the cells that were published.
fn command<R: Row, T: Record<Cells<R::E>>>(
    c: &mut Circuit<'_, R>,
    entry: &Entry,
    kind: u32,
    bits: &[u32],
    cells: impl FnOnce(&mut Circuit<'_, R>, &T) -> (Vec<R::E>, Vec<R::E>),
) -> (R::E, T) {
    let sequence = c.row.column(entry.argument);
    take(c, Label::Idle, [sequence.clone()]);
    let fields =
        T::read(&mut FieldReader { circuit: c, values: entry.cells.iter().copied(), bits: bits.iter().copied() });
    let (flags, rest) = cells(c, &fields);
    // head = kind + 16 × (flag 0 + 2 × flag 1 + 4 × flag 2 + …)
    let mut head = c.row.constant(i64::from(kind));
    for (index, flag) in flags.into_iter().enumerate() {
        head = head + c.row.constant(i64::from(FLAGS << index)) * flag;
    }
    let mut message = vec![sequence.clone(), head];
    message.extend(rest);
    let zero = c.row.constant(0);
    message.resize(1 + crate::published::COMMAND_CELLS, zero);
    let active = c.active.clone();
    c.row.interact(Bus::Command, true, message, active);
    (sequence, fields)
}

fn transfer_cells<R: Row>(c: &mut Circuit<'_, R>, f: &TransferFields<Cells<R::E>>) -> (Vec<R::E>, Vec<R::E>) {
    let zero = c.row.constant(0);
    let [low, middle, high] = [0, 2, 4].map(|at| paired(c, &f.amount[at], &f.amount[at + 1]));
    (vec![], vec![f.account.clone(), zero, low, middle, high])
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
        let (value, bits) = (self.value(), self.bits());
        self.circuit.input_id(value, bits)
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
}

/// The kind of step that begins a command, and the cells of its fields.
pub fn command_entry(command: &Command) -> (Step, Vec<i64>) {
    use holdfast_exchange::{machine::Plain, record::PlainWriter};
    fn cells<T: Record<Plain>>(fields: T) -> Vec<i64> {
        let mut out = Vec::with_capacity(T::CELLS);
        fields.write(&mut PlainWriter(&mut out));
        out.into_iter().map(i64::from).collect()
    }
    match command {
        Command::Deposit(c) => (Step::Deposit, cells(TransferFields::<Plain>::from(c))),
        Command::Withdraw(c) => (Step::Withdraw, cells(TransferFields::<Plain>::from(c))),
        Command::Place(c) => (Step::Place, cells(PlaceFields::<Plain>::from(c))),
        Command::Cancel(c) => (Step::Cancel, cells(CancelFields::<Plain>::from(c))),
        Command::CancelAll(c) => (Step::CancelAll, cells(EntryFields::<Plain>::from(c))),
        Command::Amend(c) => (Step::Amend, cells(AmendFields::<Plain>::from(c))),
        Command::Mark(c) => (Step::Mark, cells(MarkFields::<Plain>::from(c))),
        Command::Time(c) => (Step::Time, cells(TimeFields::<Plain>::from(c))),
        Command::Release(c) => (Step::Release, cells(EntryFields::<Plain>::from(c))),
    }
}
