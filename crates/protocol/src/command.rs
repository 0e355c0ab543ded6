//! Commands: what a participant, the oracle or the operator asks. See `docs/RULES.md` for what each does.

use alloy_primitives::Address;
use holdfast_crypto::schnorr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::{
    limits,
    units::{AccountId, Amount, KeyIndex, MarketId, OrderId, Price, Size, TimeMs},
};

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

/// Credits what has arrived for an account. The registrar says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deposit {
    pub sender: AccountId,
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

/// Gives an account its owner. The registrar says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Open {
    pub sender: AccountId,
    pub account: AccountId,
    /// To whom withdrawals go.
    pub owner: Address,
}

/// Gives an account a session key. The registrar says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Register {
    pub sender: AccountId,
    pub account: AccountId,
    pub key: KeyIndex,
    /// The key takes the place of one that is registered; else the place must be free.
    pub replaces: bool,
    /// The key may withdraw (to the owner), besides trading.
    pub withdraws: bool,
    /// Last moment at which the key's commands are carried out.
    pub expiry: TimeMs,
    pub public_key: PublicKey,
}

/// Takes a session key away. The registrar says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revoke {
    pub sender: AccountId,
    pub account: AccountId,
    pub key: KeyIndex,
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
    Open(Open),
    Register(Register),
    Revoke(Revoke),
}

/// The place of the chain of forced instructions.
pub const INBOX: (AccountId, KeyIndex) = bridge(limits::INBOX);
/// The place of the chain of withdrawals.
pub const PAYOUTS: (AccountId, KeyIndex) = bridge(limits::PAYOUTS);

const fn bridge(place: u32) -> (AccountId, KeyIndex) {
    match (AccountId::new(limits::BRIDGE), KeyIndex::new(place)) {
        (Ok(account), Ok(key)) => (account, key),
        _ => panic!("the bridge's places are places of an account"),
    }
}

/// A command, and which of its signer's session keys asks for it: what is published, and what a session's chain absorbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instruction {
    /// Of the signer's account; or [`KeyIndex::ETHEREUM`]. (In JSON it has a name of its own: some commands have a `key` too.)
    #[serde(rename = "session_key", deserialize_with = "KeyIndex::deserialize_of_instruction")]
    pub key: KeyIndex,
    #[serde(flatten)]
    pub command: Command,
}

impl Instruction {
    /// The session whose chain absorbs it: of the signer's key, or the inbox.
    pub const fn session(&self) -> (AccountId, KeyIndex) {
        if self.is_forced() { INBOX } else { (self.command.signer(), self.key) }
    }

    /// No key has signed it: Ethereum asks.
    pub const fn is_forced(&self) -> bool {
        self.key.get() == KeyIndex::ETHEREUM.get()
    }
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
            Command::Open(_) => 10,
            Command::Register(_) => 11,
            Command::Revoke(_) => 12,
        }
    }

    /// The account whose session key must sign: the account that trades, or the role that speaks.
    pub const fn signer(&self) -> AccountId {
        match self {
            Command::Deposit(c) => c.sender,
            Command::Withdraw(c) => c.account,
            Command::Place(c) => c.account,
            Command::Cancel(c) => c.account,
            Command::CancelAll(c) => c.account,
            Command::Amend(c) => c.account,
            Command::Mark(c) => c.sender,
            Command::Time(c) => c.sender,
            Command::Release(c) => c.account,
            Command::Open(c) => c.sender,
            Command::Register(c) => c.sender,
            Command::Revoke(c) => c.sender,
        }
    }
}
