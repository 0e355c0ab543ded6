//! What can be observed of a venue, in the same shape whichever implementation runs it.

use holdfast_protocol::{AccountId, Command, MarketId, OrderId, Outcome, Price, Side, Size, TimeMs};
use num_bigint::BigInt;

/// An implementation of the rules.
pub trait Venue {
    fn apply(&mut self, command: &Command) -> Outcome;

    fn system(&self) -> SystemState;

    /// An account never heard of is the default one.
    fn account(&self, account: AccountId) -> AccountState;

    /// The resting orders in order of priority. Empty where there is no such market.
    fn book(&self, market: MarketId, side: Side) -> Vec<OrderState>;

    /// `None` where there is no such market.
    fn mark(&self, market: MarketId) -> Option<Price>;

    /// The fills of the last command, in order.
    fn fills(&self) -> Vec<FillState>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemState {
    pub time: TimeMs,
    /// Deposits minus withdrawals.
    pub deposits: BigInt,
    /// The next slot to be reused, 0 for none: the first one of `free_list`.
    pub free_head: u32,
    /// The next never-used slot.
    pub fresh: u32,
    /// The freed slots, next to be reused first.
    pub free_list: Vec<u32>,
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
