//! The way out of a frozen venue, for everybody: what the escape takes.

use std::collections::BTreeSet;

use holdfast_crypto::field::cell_to_canonical;
use holdfast_crypto::tree::Tree;
use holdfast_exchange::{
    Engine,
    opening::{open_account, open_markets, open_system},
};
use holdfast_protocol::{AccountId, Address, MarketId, cells::owner_from_cells, limits};
use serde::Serialize;

/// What one account's exit takes: an opening of the account under the last final root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exit {
    pub account: AccountId,
    pub owner: Address,
    /// Collateral and positions at the last final marks, in quote units; below zero if the account owes.
    pub equity: i128,
    #[serde(serialize_with = "hex")]
    pub opening: Vec<u8>,
}

/// What the escape records once, before anybody exits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    #[serde(serialize_with = "hex")]
    pub system: Vec<u8>,
    /// Bit m is set if market m is opened.
    #[serde(serialize_with = "set")]
    pub markets: BTreeSet<MarketId>,
    #[serde(serialize_with = "hex")]
    pub markets_opening: Vec<u8>,
}

fn hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&alloy_primitives::hex::encode_prefixed(bytes))
}

fn set<S: serde::Serializer>(markets: &BTreeSet<MarketId>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&market_set(markets))
}

/// A set of markets as contracts have it.
pub fn market_set(markets: &BTreeSet<MarketId>) -> alloy_primitives::U256 {
    markets.iter().fold(alloy_primitives::U256::ZERO, |set, market| set | alloy_primitives::U256::ONE << market.get())
}

/// An account's collateral and positions at the marks of this state. The contract computes the same.
pub fn equity(engine: &Engine, account: AccountId) -> i128 {
    let view = engine.account(account);
    view.positions.iter().flatten().fold(view.collateral, |equity, (market, position)| {
        equity + position.size * i128::from(engine.mark(*market)) + position.quote
    })
}

/// To whom an account's withdrawals go.
pub fn owner(engine: &Engine, account: AccountId) -> Option<Address> {
    let owner = engine.store().owner(account.get());
    owner_from_cells(&owner.address.map(cell_to_canonical)).filter(|_| owner.open)
}

/// What an account's exit takes; nothing if it has no owner.
pub fn exit(engine: &Engine, account: AccountId) -> Option<Exit> {
    Some(Exit {
        account,
        owner: owner(engine, account)?,
        equity: equity(engine, account),
        opening: open_account(engine.tree(), account),
    })
}

/// What the escape records: the system, and every market that there is.
pub fn record(engine: &Engine) -> Record {
    let tree: &Tree = engine.tree();
    let markets: BTreeSet<MarketId> = (0..1 << limits::MARKET_BITS)
        .filter(|&market| engine.store().market(market).exists)
        .map(|market| MarketId::new(market).expect("below the bound"))
        .collect();
    Record { system: open_system(tree), markets_opening: open_markets(tree, &markets), markets }
}
