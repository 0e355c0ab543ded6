//! Steps as data: which function runs on which input. One kind of step is one table of the circuit.

use crate::{
    fields::{AmendFields, CancelFields, EntryFields, MarkFields, PlaceFields, TimeFields, TransferFields},
    flow::{
        AdmitFrame, FillFrame, Frame, Label, MarginRegisters, Next, PayoutFrame, ProbeRegisters, RemoveRegisters,
        SweepFrame, Taker, TradeFrame, TurnFrame, Verdict,
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

/// Everything a step runs on. Those that begin a command have its sequence number and fields.
#[derive(Debug, Clone)]
pub enum Input<V: Values> {
    Deposit(V::Id, TransferFields<V>),
    Withdraw(V::Id, TransferFields<V>),
    Place(V::Id, PlaceFields<V>),
    Cancel(V::Id, CancelFields<V>),
    CancelAll(V::Id, EntryFields<V>),
    Amend(V::Id, AmendFields<V>),
    Mark(V::Id, MarkFields<V>),
    Time(V::Id, TimeFields<V>),
    Release(V::Id, EntryFields<V>),
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

    /// What follows from where a step went and what it suspended; `None` when the command is done. `number` reads the value of a concrete id.
    ///
    /// # Panics
    /// If a step is reached whose frame was not suspended: a bug in the step functions.
    #[inline(always)]
    pub fn following(next: Next<V>, frame: &mut Option<Frame<V>>, number: impl Fn(&V::Id) -> u32) -> Option<Self> {
        let (label, handle, verdict) = match next {
            Next::Idle(_) => return None,
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
        Input::Deposit(sequence, fields) => steps::deposit(m, sequence, fields),
        Input::Withdraw(sequence, fields) => steps::withdraw(m, sequence, fields),
        Input::Place(sequence, fields) => steps::place(m, sequence, fields),
        Input::Cancel(sequence, fields) => steps::cancel(m, sequence, fields),
        Input::CancelAll(sequence, fields) => steps::cancel_all(m, sequence, fields),
        Input::Amend(sequence, fields) => steps::amend(m, sequence, fields),
        Input::Mark(sequence, fields) => steps::mark(m, sequence, fields),
        Input::Time(sequence, fields) => steps::time(m, sequence, fields),
        Input::Release(sequence, fields) => steps::release(m, sequence, fields),
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
