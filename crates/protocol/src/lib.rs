//! What every part of Holdfast must agree on: units, ids, limits, commands and what their signatures cover, reject codes, the genesis,
//! and the one canonical wire encoding of a batch's published data. It knows no state and no rule.
//!
//! The rules that give these types their meaning are in `docs/RULES.md`.

pub mod authority;
pub mod batch;
pub mod cells;
pub mod command;
pub mod genesis;
pub mod limits;
pub mod publication;
pub mod reject;
pub mod units;
pub mod wire;

pub use alloy_primitives::Address;
pub use authority::{Deployment, Request};
pub use batch::{Batch, BatchHeader, Seal};
pub use command::{
    Amend, Cancel, CancelAll, Command, Deposit, Instruction, Mark, Open, Place, Register, Release, Revoke, SelfTrade,
    Side, Time, TimeInForce, Withdraw,
};
pub use genesis::{AccountGenesis, Genesis, GenesisError, KeyGenesis, MarketGenesis};
pub use holdfast_crypto::schnorr::{PublicKey, SecretKey, Signature};
pub use reject::{Outcome, Reject};
pub use units::{AccountId, Amount, KeyIndex, MarketId, OrderId, Price, Size, TimeMs};
