//! `holdfast recall`: the operator takes back batches that are committed and not final.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolEvent,
};
use holdfast_settlement::{
    client::head,
    contracts::{IBatches, ICouncil, IRollup, small},
};
use serde::Serialize;

use super::{Shown, checked_text};
use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Signing, Transaction, lines, moment},
    ui::Ui,
};

/// Batches that can be taken back, and when.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: u64,
    last: u64,
    operator: Address,
    /// Seconds since 1970: it can be taken back until the first, and again from the second on.
    until: u64,
    again: u64,
}

impl Window {
    /// Of this batch and those behind it.
    async fn of(ethereum: &Ethereum, from: u64) -> Result<Self> {
        let (at, what) = (&ethereum.at, "what can be taken back");
        if ethereum.ask(what, at.rollup, &IRollup::frozenCall {}).await? {
            let error = unexpected("the venue", "one that serves", "one that is frozen");
            return Err(error.advise("the last final state stands for good: leave it with `holdfast exit`"));
        }
        let finished = small(what, ethereum.ask(what, at.rollup, &IRollup::batchFinalCall {}).await?)?;
        let last = small(what, ethereum.ask(what, at.rollup, &IRollup::batchCommittedCall {}).await?)?;
        if finished == last {
            let got = format!("{from}, where all that is committed is final (up to batch {last})");
            return Err(unexpected("--from", "a batch that is committed and not final", got));
        }
        if !(finished + 1..=last).contains(&from) {
            let expected = format!("a batch that is committed and not final, {} to {last}", finished + 1);
            return Err(unexpected("--from", expected, from));
        }
        let batch = ethereum.ask(what, at.rollup, &IBatches::batchesCall { batch: U256::from(from) }).await?;
        let pause = small(what, ethereum.ask(what, at.council, &ICouncil::pauseEndCall {}).await?)?;
        let since = batch.committedAt.max(pause);
        let recall = small(what, ethereum.ask(what, at.rollup, &IBatches::RECALL_TIMECall {}).await?)?;
        let window = small(what, ethereum.ask(what, at.rollup, &IBatches::PROOF_WINDOWCall {}).await?)?;
        let operator = ethereum.ask(what, at.rollup, &IBatches::operatorCall {}).await?;
        Ok(Self { first: from, last, operator, until: since + recall, again: since + window })
    }

    fn is_open(&self, now: u64) -> bool {
        now <= self.until || now > self.again
    }
}

#[derive(Debug, Serialize)]
pub struct Recall {
    pub checked: String,
    /// The batches that were taken back, or would be (by `--dry-run`).
    pub first: u64,
    pub last: u64,
    pub transactions: Vec<Transaction>,
}

impl Shown for Recall {
    fn text(&self) -> String {
        let sent = self.transactions.iter().any(|transaction| transaction.hash.is_some());
        let how = if sent { "taken back" } else { "would be taken back" };
        let rows = [
            ("venue", self.checked.clone()),
            ("batches", format!("{} to {}: {how}", self.first, self.last)),
            ("next", "the operator commits again what it still has, as long as it is less than a day old".into()),
        ];
        lines(rows, &self.transactions)
    }
}

/// Takes batches back, from this one on.
///
/// # Errors
///
/// If the key is not the operator's, or these batches cannot be taken back (now).
pub async fn run(access: &Access, signing: &Signing, from: u64, ui: Ui) -> Result<Recall> {
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let window = Window::of(&ethereum, from).await?;
    let mut purse = ethereum.purse(signing).await?;
    if purse.address() != window.operator {
        return Err(unexpected("the key", format!("the operator's, {}", window.operator), purse.address()));
    }
    let (_, _, now) = head(&ethereum.provider).await?;
    if !window.is_open(now) {
        let (until, again) = (moment(window.until), moment(window.again));
        let error = unexpected(format!("batch {from}"), "one that can be taken back", "one whose proof may still come");
        return Err(error.advise(format!("it could be until {until}, and can be again after {again}")));
    }
    let call = IRollup::removeCall { from: U256::from(from) };
    let receipt = purse.order("recall", ethereum.at.rollup, &call, U256::ZERO).await?;
    let removed = receipt.iter().flat_map(|receipt| receipt.logs());
    let removed = removed.filter_map(|log| IRollup::Removed::decode_log(&log.inner).ok()).last();
    // More may have been committed, or become final, since it was asked.
    let (first, last) = match removed {
        Some(event) => (small("the removal", event.first)?, small("the removal", event.last)?),
        None => (window.first, window.last),
    };
    Ok(Recall { checked: checked_text(&ethereum), first, last, transactions: purse.transactions })
}
