//! The fields of a command as a step function takes them.

use holdfast_crypto::F;
use holdfast_protocol::{
    Amend, Cancel, CancelAll, Deposit, Instruction, Mark, Open, Place, Register, Release, Revoke, SelfTrade, Side,
    Time, TimeInForce, Withdraw,
    cells::{Blocks, COMMAND_CELLS, blocks, owner_cells},
};

use crate::{machine::Plain, record::record};

record! {
    /// Of every instruction, before what it asks is looked at.
    pub struct InstructionFields {
        account: Id,
        /// 0 if it is forced.
        key: Id,
        /// Ethereum asks, for the account's owner.
        forced: Bit,
        /// The first block: see `holdfast_protocol::cells`.
        cells: Fields<7>,
    }
}

record! {
    pub struct DepositFields {
        sender: Id,
        account: Id,
        amount: Wide<6>,
    }
}

record! {
    pub struct WithdrawFields {
        account: Id,
        amount: Wide<6>,
    }
}

record! {
    pub struct PlaceFields {
        account: Id,
        market: Id,
        buys: Bit,
        /// Low bit of the time in force.
        force_low: Bit,
        force_high: Bit,
        reduce_only: Bit,
        /// Low bit of the self-trade prevention.
        self_low: Bit,
        self_high: Bit,
        price: Word,
        size: Word,
    }
}

record! {
    pub struct CancelFields {
        account: Id,
        slot: Id,
        generation: Id,
    }
}

record! {
    /// Of cancel-all and of release.
    pub struct EntryFields {
        account: Id,
        market: Id,
    }
}

record! {
    pub struct AmendFields {
        account: Id,
        slot: Id,
        generation: Id,
        self_low: Bit,
        self_high: Bit,
        price: Word,
        size: Word,
    }
}

record! {
    pub struct MarkFields {
        sender: Id,
        market: Id,
        price: Word,
    }
}

record! {
    pub struct TimeFields {
        sender: Id,
        time: Word,
    }
}

record! {
    pub struct OpenFields {
        sender: Id,
        account: Id,
        owner: Fields<6>,
    }
}

record! {
    pub struct RegisterFields {
        sender: Id,
        account: Id,
        key: Id,
        withdraws: Bit,
        replaces: Bit,
        expiry: Word,
        x: Fields<7>,
        y: Fields<7>,
    }
}

record! {
    pub struct RevokeFields {
        sender: Id,
        account: Id,
        key: Id,
    }
}

record! {
    /// Whose signature is checked.
    pub struct SealFields {
        account: Id,
        key: Id,
    }
}

const _: () = assert!(COMMAND_CELLS == 7);

impl From<&Instruction> for InstructionFields<Plain> {
    fn from(instruction: &Instruction) -> Self {
        Self::new(instruction, &blocks(instruction))
    }
}

impl InstructionFields<Plain> {
    /// Of an instruction that has these blocks.
    pub fn new(instruction: &Instruction, blocks: &Blocks) -> Self {
        let forced = instruction.is_forced();
        let (_, key) = instruction.session();
        let account = instruction.command.signer();
        Self { account: account.get(), key: key.get(), forced, cells: blocks.first.map(F::new) }
    }
}

impl From<&Deposit> for DepositFields<Plain> {
    fn from(c: &Deposit) -> Self {
        Self { sender: c.sender.get(), account: c.account.get(), amount: c.amount.get() }
    }
}

impl From<&Open> for OpenFields<Plain> {
    fn from(c: &Open) -> Self {
        Self { sender: c.sender.get(), account: c.account.get(), owner: owner_cells(&c.owner).map(F::new) }
    }
}

impl From<&Register> for RegisterFields<Plain> {
    fn from(c: &Register) -> Self {
        let point = c.public_key.point();
        Self {
            sender: c.sender.get(),
            account: c.account.get(),
            key: c.key.get(),
            withdraws: c.withdraws,
            replaces: c.replaces,
            expiry: c.expiry.get(),
            x: point.x().0,
            y: point.y().0,
        }
    }
}

impl From<&Revoke> for RevokeFields<Plain> {
    fn from(c: &Revoke) -> Self {
        Self { sender: c.sender.get(), account: c.account.get(), key: c.key.get() }
    }
}

impl From<&Withdraw> for WithdrawFields<Plain> {
    fn from(c: &Withdraw) -> Self {
        Self { account: c.account.get(), amount: c.amount.get() }
    }
}

const fn self_trade_bits(mode: SelfTrade) -> (bool, bool) {
    (mode as u8 & 1 != 0, mode as u8 & 2 != 0)
}

impl From<&Place> for PlaceFields<Plain> {
    fn from(c: &Place) -> Self {
        let force = match c.time_in_force {
            TimeInForce::GoodTillCancel => 0u8,
            TimeInForce::ImmediateOrCancel => 1,
            TimeInForce::FillOrKill => 2,
            TimeInForce::PostOnly => 3,
        };
        let (self_low, self_high) = self_trade_bits(c.self_trade);
        Self {
            account: c.account.get(),
            market: c.market.get(),
            buys: c.side == Side::Buy,
            force_low: force & 1 != 0,
            force_high: force & 2 != 0,
            reduce_only: c.reduce_only,
            self_low,
            self_high,
            price: u64::from(c.price.get()),
            size: c.size.get(),
        }
    }
}

impl From<&Cancel> for CancelFields<Plain> {
    fn from(c: &Cancel) -> Self {
        Self { account: c.account.get(), slot: c.order.slot(), generation: u32::from(c.order.generation()) }
    }
}

impl From<&CancelAll> for EntryFields<Plain> {
    fn from(c: &CancelAll) -> Self {
        Self { account: c.account.get(), market: c.market.get() }
    }
}

impl From<&Release> for EntryFields<Plain> {
    fn from(c: &Release) -> Self {
        Self { account: c.account.get(), market: c.market.get() }
    }
}

impl From<&Amend> for AmendFields<Plain> {
    fn from(c: &Amend) -> Self {
        let (self_low, self_high) = self_trade_bits(c.self_trade);
        Self {
            account: c.account.get(),
            slot: c.order.slot(),
            generation: u32::from(c.order.generation()),
            self_low,
            self_high,
            price: u64::from(c.price.get()),
            size: c.size.get(),
        }
    }
}

impl From<&Mark> for MarkFields<Plain> {
    fn from(c: &Mark) -> Self {
        Self { sender: c.sender.get(), market: c.market.get(), price: u64::from(c.price.get()) }
    }
}

impl From<&Time> for TimeFields<Plain> {
    fn from(c: &Time) -> Self {
        Self { sender: c.sender.get(), time: c.time.get() }
    }
}
