//! What can be observed of a venue, in the same shape whichever implementation runs it.

use holdfast_protocol::{
    AccountId, Address, Command, Instruction, KeyIndex, MarketId, OrderId, Outcome, Price, PublicKey, Register, Revoke,
    Side, Size, TimeMs,
};
use num_bigint::BigInt;

/// An implementation of the rules.
pub trait Venue {
    /// `None` if the instruction cannot be carried out: its session has no key, or it needs a seal before.
    fn apply(&mut self, instruction: &Instruction) -> Option<Outcome>;

    fn system(&self) -> SystemState;

    /// An account never heard of is the default one.
    fn account(&self, account: AccountId) -> AccountState;

    /// `None` where the account is not open.
    fn owner(&self, account: AccountId) -> Option<Address>;

    fn session(&self, account: AccountId, key: KeyIndex) -> SessionState;

    /// The resting orders in order of priority. Empty where there is no such market.
    fn book(&self, market: MarketId, side: Side) -> Vec<OrderState>;

    /// `None` where there is no such market.
    fn mark(&self, market: MarketId) -> Option<Price>;

    /// The fills of the last command, in order.
    fn fills(&self) -> Vec<FillState>;

    /// The session that must be sealed before this instruction, by which the registrar may take its key away. (None takes
    /// its own away.)
    fn seal_due(&self, instruction: &Instruction) -> Option<(AccountId, KeyIndex)> {
        let (account, key) = place_of(&instruction.command).filter(|place| *place != instruction.session())?;
        let SystemState { settled, operator, .. } = self.system();
        let by_registrar = if settled { instruction.is_forced() } else { instruction.command.signer() == operator };
        (by_registrar && self.session(account, key).unsealed).then_some((account, key))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemState {
    pub time: TimeMs,
    pub operator: AccountId,
    /// A contract holds the money: Ethereum is the registrar.
    pub settled: bool,
    /// Forced instructions so far.
    pub forced: u32,
    /// Withdrawals so far.
    pub payouts: u32,
    /// Deposits minus withdrawals.
    pub deposits: BigInt,
    /// The next slot to be reused, 0 for none: the first one of `free_list`.
    pub free_head: u32,
    /// The next never-used slot.
    pub fresh: u32,
    /// The freed slots, next to be reused first.
    pub free_list: Vec<u32>,
    /// Sessions that are not sealed.
    pub unsealed: u32,
}

/// A place for a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionState {
    /// The registered key, if there is one. All but the generation is zero if there is none.
    pub public_key: Option<PublicKey>,
    pub withdraws: bool,
    pub expiry: TimeMs,
    /// It has asked for something since its signature was last checked.
    pub unsealed: bool,
    /// Keys that were registered here so far.
    pub generation: u32,
    /// Instructions of this key so far.
    pub sequence: u32,
}

impl Default for SessionState {
    /// A place that never had a key.
    fn default() -> Self {
        let expiry = TimeMs::new(0).expect("zero is a time");
        Self { public_key: None, withdraws: false, expiry, unsealed: false, generation: 0, sequence: 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    pub collateral: BigInt,
    /// The directory: always `ENTRIES_MAX` entries.
    pub entries: Vec<Option<PositionState>>,
    /// The rules' `entries`: all directory entries from this one on are empty.
    pub high: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionState {
    pub market: MarketId,
    /// In lots; negative when short.
    pub size: i64,
    pub quote: BigInt,
    /// Remaining sizes of the account's open orders on each side, in lots.
    pub bids: u64,
    pub asks: u64,
    pub open_orders: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderState {
    pub order: OrderId,
    pub account: AccountId,
    /// Directory entry of the owner's position.
    pub entry: u32,
    pub price: Price,
    /// What remains of it.
    pub size: Size,
    pub reduce_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillState {
    pub market: MarketId,
    pub taker: AccountId,
    pub taker_side: Side,
    pub maker: AccountId,
    pub maker_order: OrderId,
    pub price: Price,
    pub size: Size,
    pub taker_fee: BigInt,
    pub maker_fee: BigInt,
}

/// The place of the session key that a command is about.
pub(crate) fn place_of(command: &Command) -> Option<(AccountId, KeyIndex)> {
    match command {
        Command::Register(Register { account, key, .. }) | Command::Revoke(Revoke { account, key, .. }) => {
            Some((*account, *key))
        }
        _ => None,
    }
}
