//! How steps follow one another: what a step keeps for later (frames), and where it goes next.
//!
//! ```text
//! idle ──► authorise ──► one of place, amend, cancel, cancel_all, withdraw, deposit, mark, time, release, open, register, revoke
//! idle ──► seal ──► idle
//!
//! place ──► probe* ──► margin* ──► admit ─┬─► match ─► trade ─► margin* ─► turn ─► margin* ─► fill ─┐
//! amend ──────────────► margin* ──► admit │     ▲ │ │                                │            │ │
//!                                         │     └─│─┴─► remove ◄─────────────────────┘            │ │
//!                                         │       └──────────────────────────────◄───────────────┘ │
//!                                         ├─► rest ──► idle                                        │
//!                                         └─► expire ──► idle ◄────────────────────────────────────┘
//! cancel ──► remove ──► idle        cancel_all ──► sweep ⇄ remove ──► idle       withdraw ──► margin* ──► payout ──► idle
//! deposit, mark, time, release, open, register, revoke ──► idle
//! ```
//!
//! Every step goes to exactly one next step. What the next step must know beyond its registers travels as a *frame*, kept under the handle of the
//! step that suspended it and taken up by the one step that is reached with that handle.

use crate::{machine::Values, record::record};

/// Where the chain of steps stands. The number is the label on the step bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Label {
    /// Between two instructions.
    Idle = 0,
    Probe = 1,
    Margin = 2,
    Admit = 3,
    Match = 4,
    Trade = 5,
    Turn = 6,
    Fill = 7,
    Rest = 8,
    Expire = 9,
    Remove = 10,
    Sweep = 11,
    Payout = 12,
    /// At the step of an instruction's command.
    Command = 13,
}

impl Label {
    pub const fn number(self) -> u32 {
        self as u32
    }
}

record! {
    /// What the session of an instruction says of its command.
    pub struct Grant {
        /// Of the instruction in its batch.
        sequence: Id,
        /// The session: its account (the bridge, if Ethereum asks) and its key.
        account: Id,
        key: Id,
        /// The key has expired: the command is refused.
        expired: Bit,
        /// The key may withdraw.
        withdraws: Bit,
    }
}

record! {
    /// An order being matched.
    pub struct Taker {
        /// Sequence number of the command after this one.
        sequence_next: Id,
        account: Id,
        /// Directory entry of the account's position in the market.
        entry: Id,
        market: Id,
        buys: Bit,
        /// The remainder rests; else it expires.
        rests: Bit,
        reduce_only: Bit,
        expire_maker: Bit,
        expire_taker: Bit,
        /// Limit.
        price: Word,
        remaining: Word,
        /// Opposite orders that matching may still look at.
        budget: Id,
    }
}

record! {
    /// Kept from `place` or `amend` while the account's margin is computed.
    pub struct AdmitFrame {
        taker: Taker,
        /// The directory entry is new.
        fresh: Bit,
        crosses: Bit,
        /// An amendment: `replaced` is the slot of the order that this one replaces.
        amends: Bit,
        replaced: Id,
    }
}

record! {
    /// Kept from `match` for `trade`.
    pub struct TradeFrame {
        taker: Taker,
        /// Slot of the maker's order.
        slot: Id,
        size: Word,
    }
}

record! {
    /// Kept from `trade` while the maker's margin is computed.
    pub struct TurnFrame {
        taker: Taker,
        slot: Id,
        size: Word,
        notional: Wide<6>,
        maker_fee: Wide<6>,
        /// The fill shrinks the maker's position.
        shrinks: Bit,
        /// The fill does not cost the maker equity.
        costless: Bit,
    }
}

record! {
    /// Kept from `turn` while the taker's margin is computed.
    pub struct FillFrame {
        taker: Taker,
        slot: Id,
        size: Word,
        notional: Wide<6>,
        maker_fee: Wide<6>,
        taker_fee: Wide<6>,
        shrinks: Bit,
        costless: Bit,
    }
}

record! {
    /// A cancel-all under way.
    pub struct SweepFrame {
        sequence_next: Id,
        account: Id,
        entry: Id,
        /// Slot of the order removed last, 0 at first.
        last: Id,
    }
}

record! {
    /// A withdrawal while the account's margin is computed.
    pub struct PayoutFrame {
        sequence: Id,
        account: Id,
        amount: Wide<6>,
    }
}

record! {
    /// Registers of the margin chain: one step per directory entry, from `index` to `last`.
    pub struct MarginRegisters {
        /// Label and frame to return to.
        then: Id,
        frame: Id,
        account: Id,
        index: Id,
        last: Id,
        /// The position at this entry is evaluated as if it were what follows; 16 for none.
        instead: Id,
        /// Market + 1.
        instead_market: Id,
        instead_size: Int<3>,
        instead_bids: Word,
        instead_asks: Word,
        equity: Int<8>,
        /// Scaled by 10^6.
        initial: Wide<7>,
        /// Scaled by 10^6.
        maintenance: Wide<7>,
    }
}

record! {
    /// What a margin chain found. `killed`: a fill-or-kill order cannot be filled; the rest is then meaningless.
    pub struct Verdict {
        killed: Bit,
        equity: Int<8>,
        initial: Wide<7>,
        maintenance: Wide<7>,
    }
}

record! {
    /// Registers of the walk over the book that a fill-or-kill order makes.
    pub struct ProbeRegisters {
        slot: Id,
        sentinel: Id,
        missing: Word,
        price: Word,
        buys: Bit,
        /// Own orders are skipped; else one ends the walk.
        skips_own: Bit,
        /// Orders that the walk may still look at.
        budget: Id,
        margin: MarginRegisters,
    }
}

record! {
    pub struct RemoveRegisters {
        slot: Id,
        /// Label to return to, and the frame there (of `Idle`: the next sequence number).
        then: Id,
        frame: Id,
    }
}

/// A suspended frame; the variant is the step that takes it up.
#[derive(Debug, Clone)]
pub enum Frame<V: Values> {
    Admit(AdmitFrame<V>),
    Match(Taker<V>),
    Trade(TradeFrame<V>),
    Turn(TurnFrame<V>),
    Fill(FillFrame<V>),
    Rest(Taker<V>),
    Expire(Taker<V>),
    Sweep(SweepFrame<V>),
    Payout(PayoutFrame<V>),
}

impl<V: Values> Frame<V> {
    pub fn label(&self) -> Label {
        match self {
            Frame::Admit(_) => Label::Admit,
            Frame::Match(_) => Label::Match,
            Frame::Trade(_) => Label::Trade,
            Frame::Turn(_) => Label::Turn,
            Frame::Fill(_) => Label::Fill,
            Frame::Rest(_) => Label::Rest,
            Frame::Expire(_) => Label::Expire,
            Frame::Sweep(_) => Label::Sweep,
            Frame::Payout(_) => Label::Payout,
        }
    }
}

/// Where a step goes.
#[derive(Debug, Clone)]
pub enum Next<V: Values> {
    /// The command is done; the next one has this sequence number.
    Idle(V::Id),
    /// To the step of the instruction's command.
    Command(Grant<V>),
    /// To a step that takes up this frame.
    Resume(Label, V::Id),
    /// The same with a label that was handed down.
    Return(V::Id, V::Id),
    /// To the step (first) that takes up the frame (second), with what the margin chain found.
    Judge(V::Id, V::Id, Verdict<V>),
    Probe(ProbeRegisters<V>),
    Margin(MarginRegisters<V>),
    Remove(RemoveRegisters<V>),
}
