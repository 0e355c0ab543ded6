//! The genesis: what a deployment starts from. Its state root is the one thing a verifier trusts besides the verifying key.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use holdfast_crypto::schnorr::PublicKey;
use serde::{Deserialize, Serialize};

use crate::{
    authority::Deployment,
    limits,
    units::{AccountId, Price, TimeMs},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Which deployment signatures are for.
    pub deployment: Deployment,
    /// Time before the first command.
    pub time: TimeMs,
    /// May update mark prices.
    pub oracle: AccountId,
    /// May advance time; and, where no contract holds the money, open accounts, register session keys and credit deposits.
    pub operator: AccountId,
    /// Receives all fees.
    pub fee_account: AccountId,
    /// Decimals of the quote unit, for display: 6 means that one unit is 10^-6 of the collateral token.
    pub quote_decimals: u32,
    /// Accounts that are open from the start; those of the roles must be among them.
    pub accounts: Vec<AccountGenesis>,
    /// Market `i` of the list is market id `i`.
    pub markets: Vec<MarketGenesis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountGenesis {
    pub account: AccountId,
    /// To whom withdrawals go.
    pub owner: Address,
    /// Session key `i` of the list has index `i`.
    pub keys: Vec<KeyGenesis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyGenesis {
    pub public_key: PublicKey,
    /// May withdraw, besides trading.
    pub withdraws: bool,
    /// Last moment at which the key's commands are carried out.
    pub expiry: TimeMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketGenesis {
    /// Display name, such as `BTC-USD`. Not part of the state.
    pub symbol: String,
    /// A tick is 10^-tick_decimals of the collateral token.
    pub tick_decimals: u32,
    /// A lot is 10^-lot_decimals of the base asset. `tick_decimals + lot_decimals = quote_decimals`.
    pub lot_decimals: u32,
    pub mark: Price,
    pub initial_margin_ppm: u32,
    pub maintenance_margin_ppm: u32,
    pub maker_fee_ppm: u32,
    pub taker_fee_ppm: u32,
    pub open_orders_max: u32,
    /// In lots.
    pub position_max: u64,
    /// Largest move of one mark update.
    pub mark_move_ppm: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("genesis, {field}: expected {expected}, got {got}")]
pub struct GenesisError {
    pub field: String,
    pub expected: String,
    pub got: String,
}

impl Genesis {
    /// Checks every bound that the rules rely on.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let fail = |field: String, expected: String, got: String| Err(GenesisError { field, expected, got });
        let count = self.markets.len();
        if count == 0 || count > 1 << limits::MARKET_BITS {
            return fail("markets".into(), format!("1 to {} markets", 1 << limits::MARKET_BITS), count.to_string());
        }
        let mut open = BTreeSet::new();
        for AccountGenesis { account, owner, keys } in &self.accounts {
            let field = |name: &str| format!("account {account}, {name}");
            if !open.insert(*account) {
                return fail(field("account"), "one entry".into(), "two".into());
            }
            if account.get() == limits::BRIDGE {
                return fail(field("account"), format!("below {}", limits::BRIDGE), account.to_string());
            }
            if *owner == Address::ZERO {
                return fail(field("owner"), "an address that is not zero".into(), owner.to_string());
            }
            if keys.len() > limits::KEYS_MAX {
                return fail(field("keys"), format!("at most {}", limits::KEYS_MAX), keys.len().to_string());
            }
        }
        // The inbox counts accounts from those of the genesis on.
        if self.deployment.is_settled() && open.iter().zip(0..).any(|(account, expected)| account.get() != expected) {
            let expected = format!("accounts 0 to {}, where a contract holds the money", open.len() - 1);
            return fail("accounts".into(), expected, "others".into());
        }
        for (role, account) in [("oracle", self.oracle), ("operator", self.operator), ("fee_account", self.fee_account)]
        {
            match self.accounts.iter().find(|entry| entry.account == account) {
                None => return fail(role.into(), "one of the accounts listed".into(), account.to_string()),
                Some(entry) if role != "fee_account" && entry.keys.iter().all(|key| key.expiry < self.time) => {
                    let expected = "an account with a session key that has not expired".into();
                    return fail(role.into(), expected, format!("{account} without"));
                }
                Some(_) => {}
            }
        }
        for (id, market) in self.markets.iter().enumerate() {
            let field = |name: &str| format!("market {id} ({}), {name}", market.symbol);
            let bounded = |name: &str, low: u64, high: u64, got: u64| {
                if (low..=high).contains(&got) {
                    Ok(())
                } else {
                    fail(field(name), format!("{low} to {high}"), got.to_string())
                }
            };
            bounded("mark", 1, u64::from(u32::MAX), u64::from(market.mark.get()))?;
            bounded("initial_margin_ppm", 1, limits::PPM, u64::from(market.initial_margin_ppm))?;
            bounded(
                "maintenance_margin_ppm",
                1,
                u64::from(market.initial_margin_ppm),
                u64::from(market.maintenance_margin_ppm),
            )?;
            bounded("maker_fee_ppm", 0, limits::FEE_PPM_MAX, u64::from(market.maker_fee_ppm))?;
            bounded("taker_fee_ppm", 0, limits::FEE_PPM_MAX, u64::from(market.taker_fee_ppm))?;
            bounded("open_orders_max", 1, u64::from(limits::OPEN_ORDERS_MAX), u64::from(market.open_orders_max))?;
            bounded("position_max", 1, limits::POSITION_MAX, market.position_max)?;
            bounded("mark_move_ppm", 1, limits::PPM, u64::from(market.mark_move_ppm))?;
            bounded("tick_decimals", 0, 30, u64::from(market.tick_decimals))?;
            bounded("lot_decimals", 0, 30, u64::from(market.lot_decimals))?;
            let decimals = market.tick_decimals + market.lot_decimals;
            if decimals != self.quote_decimals {
                return fail(
                    field("tick_decimals + lot_decimals"),
                    format!("quote_decimals = {} (one tick times one lot is one quote unit)", self.quote_decimals),
                    decimals.to_string(),
                );
            }
        }
        Ok(())
    }
}
