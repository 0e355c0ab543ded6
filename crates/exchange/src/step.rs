//! Steps as data: which function runs on which input. One kind of step is one table of the circuit.

use crate::{
    fields::{
        AmendFields, CancelFields, DepositFields, EntryFields, InstructionFields, MarkFields, OpenFields, PlaceFields,
        RegisterFields, RevokeFields, SealFields, TimeFields, WithdrawFields,
    },
    flow::{
        AdmitFrame, FillFrame, Frame, Grant, Label, MarginRegisters, Next, PayoutFrame, ProbeRegisters,
        RemoveRegisters, SweepFrame, Taker, TradeFrame, TurnFrame, Verdict,
    },
    machine::{Machine, Values},
    steps,
};

macro_rules! steps {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// The kinds of steps, in the order of their tables.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Step { $($name,)* }

        impl Step {
            pub const ALL: &[Step] = &[$(Step::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Step::$name => $text,)* }
            }
        }
    };
}

steps! {
    Authorise = "authorise",
    Seal = "seal",
    Open = "open",
    Register = "register",
    Revoke = "revoke",
    Deposit = "deposit",
    Withdraw = "withdraw",
    Place = "place",
    Cancel = "cancel",
    CancelAll = "cancel_all",
    Amend = "amend",
    Mark = "mark",
    Time = "time",
    Release = "release",
    Probe = "probe",
    Margin = "margin",
    Admit = "admit",
    Match = "match",
    Trade = "trade",
    Turn = "turn",
    Fill = "fill",
    Rest = "rest",
    Expire = "expire",
    Remove = "remove",
    Sweep = "sweep",
    Payout = "payout",
}

/// Everything a step runs on. Those of commands have what their session grants, and their fields.
#[derive(Debug, Clone)]
pub enum Input<V: Values> {
    /// The sequence number of the instruction.
    Authorise(V::Id, InstructionFields<V>),
    /// The sequence number of the next instruction.
    Seal(V::Id, SealFields<V>),
    Open(Grant<V>, OpenFields<V>),
    Register(Grant<V>, RegisterFields<V>),
    Revoke(Grant<V>, RevokeFields<V>),
    Deposit(Grant<V>, DepositFields<V>),
    Withdraw(Grant<V>, WithdrawFields<V>),
    Place(Grant<V>, PlaceFields<V>),
    Cancel(Grant<V>, CancelFields<V>),
    CancelAll(Grant<V>, EntryFields<V>),
    Amend(Grant<V>, AmendFields<V>),
    Mark(Grant<V>, MarkFields<V>),
    Time(Grant<V>, TimeFields<V>),
    Release(Grant<V>, EntryFields<V>),
    Probe(ProbeRegisters<V>),
    Margin(MarginRegisters<V>),
    /// The handle of the frame, the frame, and what the margin chain found.
    Admit(V::Id, AdmitFrame<V>, Verdict<V>),
    Match(V::Id, Taker<V>),
    Trade(V::Id, TradeFrame<V>),
    Turn(V::Id, TurnFrame<V>, Verdict<V>),
    Fill(V::Id, FillFrame<V>, Verdict<V>),
    Rest(V::Id, Taker<V>),
    Expire(V::Id, Taker<V>),
    Remove(RemoveRegisters<V>),
    Sweep(V::Id, SweepFrame<V>),
    Payout(V::Id, PayoutFrame<V>, Verdict<V>),
}

impl<V: Values> Input<V> {
    pub fn step(&self) -> Step {
        match self {
            Input::Authorise(..) => Step::Authorise,
            Input::Seal(..) => Step::Seal,
            Input::Open(..) => Step::Open,
            Input::Register(..) => Step::Register,
            Input::Revoke(..) => Step::Revoke,
            Input::Deposit(..) => Step::Deposit,
            Input::Withdraw(..) => Step::Withdraw,
            Input::Place(..) => Step::Place,
            Input::Cancel(..) => Step::Cancel,
            Input::CancelAll(..) => Step::CancelAll,
            Input::Amend(..) => Step::Amend,
            Input::Mark(..) => Step::Mark,
            Input::Time(..) => Step::Time,
            Input::Release(..) => Step::Release,
            Input::Probe(..) => Step::Probe,
            Input::Margin(..) => Step::Margin,
            Input::Admit(..) => Step::Admit,
            Input::Match(..) => Step::Match,
            Input::Trade(..) => Step::Trade,
            Input::Turn(..) => Step::Turn,
            Input::Fill(..) => Step::Fill,
            Input::Rest(..) => Step::Rest,
            Input::Expire(..) => Step::Expire,
            Input::Remove(..) => Step::Remove,
            Input::Sweep(..) => Step::Sweep,
            Input::Payout(..) => Step::Payout,
        }
    }

    /// What follows from where a step went and what it suspended; `None` when the instruction is done. `number` reads the value of a concrete id, `command` gives
    /// the step of the instruction's command.
    ///
    /// # Panics
    /// If a step is reached whose frame was not suspended: a bug in the step functions.
    #[inline(always)]
    pub fn following(
        next: Next<V>,
        frame: &mut Option<Frame<V>>,
        number: impl Fn(&V::Id) -> u32,
        command: impl FnOnce(Grant<V>) -> Self,
    ) -> Option<Self> {
        let (label, handle, verdict) = match next {
            Next::Idle(_) => return None,
            Next::Command(grant) => return Some(command(grant)),
            Next::Probe(registers) => return Some(Input::Probe(registers)),
            Next::Margin(registers) => return Some(Input::Margin(registers)),
            Next::Remove(registers) => return Some(Input::Remove(registers)),
            Next::Resume(label, handle) => (label.number(), handle, None),
            Next::Return(label, handle) => (number(&label), handle, None),
            Next::Judge(label, handle, verdict) => (number(&label), handle, Some(verdict)),
        };
        if label == Label::Idle.number() {
            return None;
        }
        let frame = frame.take().expect("a step that takes up a frame follows one that suspended it");
        assert_eq!(frame.label().number(), label, "the step that is reached is the one that the frame is for");
        Some(match (frame, verdict) {
            (Frame::Match(frame), None) => Input::Match(handle, frame),
            (Frame::Trade(frame), None) => Input::Trade(handle, frame),
            (Frame::Rest(frame), None) => Input::Rest(handle, frame),
            (Frame::Expire(frame), None) => Input::Expire(handle, frame),
            (Frame::Sweep(frame), None) => Input::Sweep(handle, frame),
            (Frame::Admit(frame), Some(verdict)) => Input::Admit(handle, frame, verdict),
            (Frame::Turn(frame), Some(verdict)) => Input::Turn(handle, frame, verdict),
            (Frame::Fill(frame), Some(verdict)) => Input::Fill(handle, frame, verdict),
            (Frame::Payout(frame), Some(verdict)) => Input::Payout(handle, frame, verdict),
            (frame, verdict) => panic!("{:?} taken up with verdict {}", frame.label(), verdict.is_some()),
        })
    }
}

/// Runs one step.
#[inline(always)]
pub fn execute<M: Machine>(m: &mut M, input: Input<M::V>) {
    match input {
        Input::Authorise(sequence, fields) => steps::authorise(m, sequence, fields),
        Input::Seal(sequence, fields) => steps::seal(m, sequence, fields),
        Input::Open(grant, fields) => steps::open(m, grant, fields),
        Input::Register(grant, fields) => steps::register(m, grant, fields),
        Input::Revoke(grant, fields) => steps::revoke(m, grant, fields),
        Input::Deposit(grant, fields) => steps::deposit(m, grant, fields),
        Input::Withdraw(grant, fields) => steps::withdraw(m, grant, fields),
        Input::Place(grant, fields) => steps::place(m, grant, fields),
        Input::Cancel(grant, fields) => steps::cancel(m, grant, fields),
        Input::CancelAll(grant, fields) => steps::cancel_all(m, grant, fields),
        Input::Amend(grant, fields) => steps::amend(m, grant, fields),
        Input::Mark(grant, fields) => steps::mark(m, grant, fields),
        Input::Time(grant, fields) => steps::time(m, grant, fields),
        Input::Release(grant, fields) => steps::release(m, grant, fields),
        Input::Probe(registers) => steps::probe(m, registers),
        Input::Margin(registers) => steps::margin(m, registers),
        Input::Admit(_, frame, verdict) => steps::admit(m, frame, verdict),
        Input::Match(_, frame) => steps::match_head(m, frame),
        Input::Trade(_, frame) => steps::trade(m, frame),
        Input::Turn(_, frame, verdict) => steps::turn(m, frame, verdict),
        Input::Fill(_, frame, verdict) => steps::fill(m, frame, verdict),
        Input::Rest(_, frame) => steps::rest(m, frame),
        Input::Expire(_, frame) => steps::expire(m, frame),
        Input::Remove(registers) => steps::remove(m, registers),
        Input::Sweep(_, frame) => steps::sweep(m, frame),
        Input::Payout(_, frame, verdict) => steps::payout(m, frame, verdict),
    }
}
