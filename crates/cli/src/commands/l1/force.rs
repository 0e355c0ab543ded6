//! `holdfast withdraw` and `holdfast force`: what Ethereum's inbox takes, and the venue cannot refuse to hear.

use alloy::{
    primitives::{Address, U256},
    sol_types::{SolCall, SolEvent},
};
use holdfast_protocol::{MarketGenesis, Price, PublicKey, Size};
use holdfast_settlement::contracts::{IInbox, small};
use serde::Serialize;

use super::{Shown, checked_text};
use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Purse, Signing, Transaction, lines, moment, parse_units},
    ui::Ui,
};

/// Days after which a session key expires, at most.
pub const DAYS_MAX: u64 = 3_650;
const DAY_SECONDS: u64 = 86_400;
/// An entry is due after so many seconds.
const SERVICE_SECONDS: u64 = DAY_SECONDS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    Buy,
    Sell,
}

#[derive(Debug, Clone)]
pub enum What {
    Withdraw { amount: String },
    Register { public_key: String, index: u64, replaces: bool, withdraws: bool, days: u64 },
    Revoke { index: u64 },
    CancelAll { market: u64 },
    Close { market: u64, side: Side, price: String, size: String },
}

#[derive(Debug, Serialize)]
pub struct Forced {
    pub ok: bool,
    pub checked: String,
    pub owner: Address,
    pub account: u64,
    /// What is asked for, in words.
    pub what: String,
    /// Its number in the inbox; nothing if it was not sent.
    pub entry: Option<u64>,
    /// Until when the venue must have carried it out, in seconds since 1970.
    pub due: Option<u64>,
    pub transactions: Vec<Transaction>,
    pub dry_run: bool,
}

impl Shown for Forced {
    fn text(&self) -> String {
        let mut rows = vec![
            ("venue", self.checked.clone()),
            ("account", format!("{} of {}", self.account, self.owner)),
            ("forced", self.what.clone()),
        ];
        if let (Some(entry), Some(due)) = (self.entry, self.due) {
            rows.push(("entry", format!("{entry} of the inbox; due by {}", moment(due))));
        }
        lines(rows, &self.transactions)
    }
}

/// Appends a forced command to the inbox.
///
/// # Errors
///
/// If the venue is not in order, the owner has no account, or the inbox would refuse it.
pub async fn run(access: &Access, signing: &Signing, what: &What, ui: Ui) -> Result<Forced> {
    // A key is for who stays; all else can be a part of leaving.
    let ethereum = match what {
        What::Register { .. } => Ethereum::open(access, ui).await?,
        _ => Ethereum::open_to_leave(access, ui).await?,
    };
    if ethereum.checked.frozen {
        return Err(unexpected("the venue", "one that serves", "a frozen one").advise("leave it with `holdfast exit`"));
    }
    let mut purse = ethereum.purse(signing).await?;
    let owner = purse.address();
    let Some(account) = ethereum.account_of(owner).await? else {
        let error = unexpected("account", format!("one of {owner}"), "none");
        return Err(error.advise("the first deposit opens it: holdfast deposit"));
    };
    let (said, receipt) = match what {
        What::Withdraw { amount } => {
            let units = ethereum.amount(amount)?;
            let call = IInbox::withdrawCall { amount: units };
            (format!("a withdrawal of {}", ethereum.exact(units)), send(&mut purse, &ethereum, &call).await?)
        }
        What::Register { public_key, index, replaces, withdraws, days } => {
            let key = PublicKey::from_hex(public_key);
            let key =
                key.map_err(|error| unexpected("--public-key", "56 hexadecimal digits of a public key", error))?;
            let expires = ethereum.checked.time + days * DAY_SECONDS;
            let call = IInbox::registerCall {
                key: U256::from(*index),
                replaces: *replaces,
                withdraws: *withdraws,
                expiry: expires * 1_000,
                x: key.point().x().to_canonical(),
                y: key.point().y().to_canonical(),
            };
            let may = if *withdraws { "trade and withdraw" } else { "trade" };
            let said =
                format!("key {index} of the account, which may {may} until {}: {}", moment(expires), key.to_hex());
            (said, send(&mut purse, &ethereum, &call).await?)
        }
        What::Revoke { index } => {
            let call = IInbox::revokeCall { key: U256::from(*index) };
            (format!("key {index} of the account is revoked"), send(&mut purse, &ethereum, &call).await?)
        }
        What::CancelAll { market } => {
            let terms = terms(&ethereum, *market)?;
            let call = IInbox::cancelAllCall { market: U256::from(*market) };
            (format!("all orders in {} are cancelled", terms.symbol), send(&mut purse, &ethereum, &call).await?)
        }
        What::Close { market, side, price, size } => {
            let terms = terms(&ethereum, *market)?;
            let ticks = parse_units("--price", price, terms.tick_decimals, Price::BOUND - 1)?;
            let lots = parse_units("--size", size, terms.lot_decimals, Size::BOUND - 1)?;
            let buys = *side == Side::Buy;
            let call = IInbox::closeCall {
                market: U256::from(*market),
                buys,
                price: U256::from(ticks),
                size: U256::from(lots),
            };
            let (verb, limit) = if buys { ("buys", "at most") } else { ("sells", "at least") };
            let said = format!("{verb} up to {size} of {} at {limit} {price}, reduce-only", terms.symbol);
            (said, send(&mut purse, &ethereum, &call).await?)
        }
    };
    Ok(Forced {
        ok: true,
        checked: checked_text(&ethereum),
        owner,
        account,
        what: said,
        entry: receipt,
        due: receipt.map(|_| ethereum.checked.time + SERVICE_SECONDS),
        dry_run: purse.dry_run,
        transactions: purse.transactions,
    })
}

fn terms(ethereum: &Ethereum, market: u64) -> Result<&MarketGenesis> {
    let markets = &ethereum.venue.genesis.markets;
    let found = usize::try_from(market).ok().and_then(|market| markets.get(market));
    let expected = || format!("a market from 0 to {}", markets.len() - 1);
    found.ok_or_else(|| unexpected("--market", expected(), market))
}

/// Sends an entry with the inbox's fee, and says its number.
async fn send<C: SolCall>(purse: &mut Purse<'_>, ethereum: &Ethereum, call: &C) -> Result<Option<u64>> {
    let receipt = purse.order("forced command", ethereum.at.inbox, call, ethereum.checked.fee).await?;
    let Some(receipt) = receipt else { return Ok(None) };
    let mut logs = receipt.inner.logs().iter();
    let appended = logs.find_map(|log| IInbox::Appended::decode_log(&log.inner).ok());
    let appended = appended.ok_or_else(|| unexpected("the inbox's answer", "an entry", "none"))?;
    Ok(Some(small("an entry of the inbox", appended.index)?))
}
