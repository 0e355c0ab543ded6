//! `holdfast deposit` and `holdfast refund`.

use alloy::{
    primitives::{Address, U256},
    rpc::types::Filter,
    sol_types::{SolEvent, SolValue},
};
use holdfast_settlement::{
    client::{events, head},
    contracts::{IERC20, IInbox, IRollup, IStand, IVault, small},
};
use serde::Serialize;

use super::{Shown, checked_text, whose};
use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Signing, Transaction, lines, text},
    ui::Ui,
};

#[derive(Debug, Serialize)]
pub struct Deposited {
    pub ok: bool,
    pub checked: String,
    pub owner: Address,
    /// The account; nothing if it is opened by this deposit, which was not sent.
    pub account: Option<u64>,
    /// The account was, or would be, opened by this deposit.
    pub opened: bool,
    /// In the collateral token.
    pub amount: String,
    #[serde(serialize_with = "text")]
    pub amount_units: U256,
    /// Entries of the inbox by this deposit: the last is the deposit.
    pub entries: Vec<u64>,
    pub transactions: Vec<Transaction>,
    pub dry_run: bool,
}

impl Shown for Deposited {
    fn text(&self) -> String {
        let account = match (self.account, self.opened) {
            (Some(account), true) => format!("{account}, opened by this deposit"),
            (Some(account), false) => account.to_string(),
            (None, _) => "the next that is free: this deposit opens it".into(),
        };
        let rows = [
            ("venue", self.checked.clone()),
            ("owner", self.owner.to_string()),
            ("account", account),
            ("amount", self.amount.clone()),
        ];
        lines(rows, &self.transactions)
    }
}

/// Deposits, after the vault was allowed to take the tokens.
///
/// # Errors
///
/// If the venue is not in order, or would refuse it.
pub async fn deposit(access: &Access, signing: &Signing, amount: &str, ui: Ui) -> Result<Deposited> {
    let ethereum = Ethereum::open(access, ui).await?;
    let (units, at) = (ethereum.amount(amount)?, ethereum.at.clone());
    let checked = &ethereum.checked;
    if checked.frozen || checked.paused {
        let error =
            unexpected("the venue", "one that takes deposits", if checked.frozen { "a frozen one" } else { "a pause" });
        return Err(error.advise("what is yours in a frozen venue: holdfast exit, holdfast refund, holdfast claim"));
    }
    if units < checked.deposit_min {
        let least = ethereum.exact(checked.deposit_min);
        return Err(unexpected("--amount", format!("at least {least}, the smallest deposit"), amount));
    }
    let held = ethereum.ask("what the vault holds", at.vault, &IVault::heldCall {}).await?;
    if held + units > checked.cap {
        let (left, cap) = (ethereum.exact(checked.cap.saturating_sub(held)), ethereum.exact(checked.cap));
        return Err(unexpected("--amount", format!("at most {left}: the vault takes {cap} in all"), amount));
    }
    let mut purse = ethereum.purse(signing).await?;
    let owner = purse.address();
    let has = ethereum.ask("a balance", at.token, &IERC20::balanceOfCall { owner }).await?;
    if has < units {
        let expected = format!("at least {} of the token {}", ethereum.exact(units), at.token);
        return Err(unexpected(format!("balance of {owner}"), expected, ethereum.exact(has)));
    }
    let before = ethereum.account_of(owner).await?;
    let fee = checked.fee * U256::from(if before.is_some() { 1 } else { 2 });
    let allowed = IERC20::allowanceCall { owner, spender: at.vault };
    let allowed = ethereum.ask("what the vault may take", at.token, &allowed).await?;
    if allowed < units {
        let call = IERC20::approveCall { spender: at.vault, amount: units };
        purse.order("allowance", at.token, &call, U256::ZERO).await?;
    }
    let receipt = if purse.dry_run && allowed < units {
        purse.later("deposit", fee);
        None
    } else {
        purse.order("deposit", at.inbox, &IInbox::depositCall { amount: units }, fee).await?
    };
    let mut entries = Vec::new();
    for log in receipt.iter().flat_map(|receipt| receipt.inner.logs()) {
        if let Ok(event) = IInbox::Appended::decode_log(&log.inner) {
            entries.push(small("an entry of the inbox", event.index)?);
        }
    }
    Ok(Deposited {
        ok: true,
        checked: checked_text(&ethereum),
        owner,
        account: ethereum.account_of(owner).await?,
        opened: before.is_none(),
        amount: ethereum.exact(units),
        amount_units: units,
        entries,
        dry_run: purse.dry_run,
        transactions: purse.transactions,
    })
}

#[derive(Debug, Serialize)]
pub struct Refunded {
    pub ok: bool,
    pub checked: String,
    pub owner: Address,
    pub refunds: Vec<Refund>,
    /// In the collateral token.
    pub sum: String,
    pub transactions: Vec<Transaction>,
    pub dry_run: bool,
}

#[derive(Debug, Serialize)]
pub struct Refund {
    pub entry: u64,
    pub amount: String,
}

impl Shown for Refunded {
    fn text(&self) -> String {
        let entries: Vec<String> =
            self.refunds.iter().map(|refund| format!("entry {}: {}", refund.entry, refund.amount)).collect();
        let rows = [
            ("venue", self.checked.clone()),
            ("owner", self.owner.to_string()),
            ("refunds", entries.join(", ")),
            ("sum", self.sum.clone()),
        ];
        format!("{}  next: holdfast claim\n", lines(rows, &self.transactions))
    }
}

/// Refunds deposits of a frozen venue.
///
/// # Errors
///
/// If the venue is not frozen, or there is nothing to refund.
pub async fn refund(
    access: &Access,
    signing: &Signing,
    entry: Option<u64>,
    owner: Option<Address>,
    ui: Ui,
) -> Result<Refunded> {
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let at = ethereum.at.clone();
    if !ethereum.checked.frozen {
        let error = unexpected("the venue", "a frozen one", "one that serves");
        return Err(error.advise(
            "a deposit that waits is carried out within 24 hours; when it may be frozen says `holdfast freeze --check`",
        ));
    }
    let mut purse = ethereum.purse(signing).await?;
    let owner = whose(owner, &purse);
    let wanted = match entry {
        Some(entry) => vec![entry],
        None => entries_of(&ethereum, owner).await?,
    };
    let consumed = ethereum.ask("entries consumed", at.rollup, &IRollup::inboxConsumedCall {}).await?;
    let (mut refunds, mut sum) = (Vec::new(), U256::ZERO);
    for entry in wanted {
        let index = U256::from(entry);
        let amount = ethereum.ask("an entry's deposit", at.inbox, &IStand::amountOfCall { index }).await?;
        if index < consumed || amount.is_zero() {
            continue;
        }
        purse.order("refund", at.inbox, &IInbox::refundCall { index }, U256::ZERO).await?;
        sum += amount;
        refunds.push(Refund { entry, amount: ethereum.exact(amount) });
    }
    if refunds.is_empty() {
        let got = format!("none ({consumed} entries were consumed: they are part of the state, see `holdfast exit`)");
        return Err(unexpected("deposits to refund", "some that were not consumed or refunded", got));
    }
    Ok(Refunded {
        ok: true,
        checked: checked_text(&ethereum),
        owner,
        sum: ethereum.exact(sum),
        refunds,
        dry_run: purse.dry_run,
        transactions: purse.transactions,
    })
}

/// The inbox's entries of an owner's account.
async fn entries_of(ethereum: &Ethereum, owner: Address) -> Result<Vec<u64>> {
    let Some(account) = ethereum.account_of(owner).await? else {
        return Err(unexpected("account", format!("one of {owner}"), "none").advise("it has never deposited"));
    };
    let filter = Filter::new().address(ethereum.at.inbox).event_signature(IInbox::Appended::SIGNATURE_HASH);
    let filter = filter.topic2(alloy::primitives::B256::from_slice(&U256::from(account).abi_encode()));
    let (_, last, _) = head(&ethereum.provider).await?;
    let mut entries = Vec::new();
    for log in events(&ethereum.provider, &filter, ethereum.at.block, last, true).await? {
        let event = IInbox::Appended::decode_log(&log.inner);
        let event = event.map_err(|error| unexpected("an event of the inbox", "an entry", error))?;
        entries.push(small("an entry of the inbox", event.index)?);
    }
    Ok(entries)
}
