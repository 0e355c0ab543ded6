//! Commands: what a participant, the oracle or the operator asks. See `docs/RULES.md` for what each does.

use serde::{Deserialize, Serialize};

use crate::units::{AccountId, Amount, MarketId, OrderId, Price, Size, TimeMs};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Buy,
    Sell,
}

/// How long the part of an order that does not match at once lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    GoodTillCancel = 0,
    ImmediateOrCancel = 1,
    FillOrKill = 2,
    PostOnly = 3,
}

/// What happens when an order would match another order of the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfTrade {
    ExpireTaker = 0,
    ExpireMaker = 1,
    ExpireBoth = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deposit {
    pub account: AccountId,
    pub amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Withdraw {
    pub account: AccountId,
    pub amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    pub account: AccountId,
    pub market: MarketId,
    pub side: Side,
    pub time_in_force: TimeInForce,
    pub reduce_only: bool,
    pub self_trade: SelfTrade,
    pub price: Price,
    pub size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cancel {
    pub account: AccountId,
    pub order: OrderId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CancelAll {
    pub account: AccountId,
    pub market: MarketId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amend {
    pub account: AccountId,
    pub order: OrderId,
    pub self_trade: SelfTrade,
    pub price: Price,
    pub size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    pub sender: AccountId,
    pub market: MarketId,
    pub price: Price,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Time {
    pub sender: AccountId,
    pub time: TimeMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    pub account: AccountId,
    pub market: MarketId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Deposit(Deposit),
    Withdraw(Withdraw),
    Place(Place),
    Cancel(Cancel),
    CancelAll(CancelAll),
    Amend(Amend),
    Mark(Mark),
    Time(Time),
    Release(Release),
}

impl Command {
    /// Stable number of the command's kind, on the wire and in the circuit. Never reused.
    pub const fn kind(&self) -> u32 {
        match self {
            Command::Deposit(_) => 1,
            Command::Withdraw(_) => 2,
            Command::Place(_) => 3,
            Command::Cancel(_) => 4,
            Command::CancelAll(_) => 5,
            Command::Amend(_) => 6,
            Command::Mark(_) => 7,
            Command::Time(_) => 8,
            Command::Release(_) => 9,
        }
    }
}
