//! What every part of Holdfast must agree on: units, ids, limits, commands, reject codes, the genesis, and the one
//! canonical wire encoding of a batch's published data. It knows no state and no rule.
//!
//! The rules that give these types their meaning are in `docs/RULES.md`.

pub mod batch;
pub mod command;
pub mod genesis;
pub mod limits;
pub mod reject;
pub mod units;
pub mod wire;

pub use batch::{Batch, BatchHeader};
pub use command::{
    Amend, Cancel, CancelAll, Command, Deposit, Mark, Place, Release, SelfTrade, Side, Time, TimeInForce, Withdraw,
};
pub use genesis::{Genesis, GenesisError, MarketGenesis};
pub use reject::{Outcome, Reject};
pub use units::{AccountId, Amount, MarketId, OrderId, Price, Size, TimeMs};
