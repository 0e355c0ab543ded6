//! `holdfast claim`: from a final withdrawal to tokens.

use alloy::primitives::{Address, U256};
use holdfast_settlement::contracts::{IRollup, IVault};
use holdfast_watcher::Payout;
use serde::Serialize;

use super::{Shown, checked_text, whose};
use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Purse, Signing, Sources, Transaction, lines, text},
    ui::{Ui, count},
};

/// Payouts of one transaction: those of owners that never had any take some 85,000 gas each.
const PAYOUTS_MAX: usize = 128;

#[derive(Debug, Clone)]
pub struct Options {
    pub sources: Sources,
    pub owner: Option<Address>,
    pub all: bool,
}

#[derive(Debug, Serialize)]
pub struct Claimed {
    pub ok: bool,
    pub checked: String,
    pub owner: Address,
    /// Final withdrawals that were unpaid: all, and of these the owner's.
    pub unpaid: usize,
    pub unpaid_of_owner: Vec<Payout>,
    /// Of them, how many were paid: of each run from the last backwards.
    pub paid: usize,
    /// What was claimed (or, by a dry run, can be), in the collateral token.
    pub claimed: String,
    #[serde(serialize_with = "text")]
    pub claimed_units: U256,
    pub transactions: Vec<Transaction>,
    pub dry_run: bool,
}

impl Shown for Claimed {
    fn text(&self) -> String {
        let due: Vec<String> = self.unpaid_of_owner.iter().map(|payout| format!("number {}", payout.index)).collect();
        let due = if due.is_empty() { "none of this owner".into() } else { due.join(", ") };
        let rows = [
            ("venue", self.checked.clone()),
            ("owner", self.owner.to_string()),
            ("unpaid", format!("{} of all: {due}", count(self.unpaid as u64, "final withdrawal"))),
            ("paid", count(self.paid as u64, "withdrawal")),
            ("claimed", self.claimed.clone()),
        ];
        lines(rows, &self.transactions)
    }
}

/// Pays what is final and unpaid, as far as the owner needs it, and claims.
///
/// # Errors
///
/// If nothing is due, or the venue is not in order.
pub async fn run(access: &Access, signing: &Signing, options: &Options, ui: Ui) -> Result<Claimed> {
    let Options { sources, owner, all } = options;
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let mut purse = ethereum.purse(signing).await?;
    let (owner, at) = (whose(*owner, &purse), ethereum.at.clone());
    let runs = ethereum.ask("runs of withdrawals", at.rollup, &IRollup::runsCall {}).await?;
    // Without any, there is no need to know the state.
    let unpaid: Vec<Payout> =
        if runs.is_zero() { Vec::new() } else { ethereum.rebuilt(sources).await?.0.rebuilt().payouts().to_vec() };
    let of_owner: Vec<Payout> = unpaid.iter().filter(|payout| payout.owner == Some(owner)).cloned().collect();
    // In each run, those of the owner and what stands behind the first of them.
    let runs: Vec<&[Payout]> = unpaid.chunk_by(|one, next| one.run == next.run).collect();
    let wanted: Vec<&[Payout]> = runs.iter().filter_map(|run| wanted(run, (!all).then_some(owner))).collect();
    let due = of_owner.iter().fold(U256::ZERO, |sum, payout| sum + U256::from(payout.amount));
    let claimable = ethereum.ask("what is claimable", at.vault, &IVault::claimableCall { owner }).await?;
    if wanted.is_empty() && claimable.is_zero() {
        let error = unexpected(format!("what is due to {owner}"), "something", "nothing");
        return Err(error.advise(
            "a withdrawal is due when its batch is final; what a frozen venue owes takes `holdfast exit` or `holdfast refund` first",
        ));
    }
    pay(&ethereum, &mut purse, &wanted).await?;
    let mut claimed = claimable + due;
    if purse.dry_run && claimable.is_zero() && !due.is_zero() {
        purse.later("claim", U256::ZERO);
    } else if !claimed.is_zero() {
        claimed = if purse.dry_run {
            claimed
        } else {
            ethereum.ask("what is claimable", at.vault, &IVault::claimableCall { owner }).await?
        };
        purse.order("claim", at.vault, &IVault::claimCall { owner }, U256::ZERO).await?;
    }
    Ok(Claimed {
        ok: true,
        checked: checked_text(&ethereum),
        owner,
        unpaid: unpaid.len(),
        paid: wanted.iter().map(|payouts| payouts.len()).sum(),
        unpaid_of_owner: of_owner,
        claimed: ethereum.exact(claimed),
        claimed_units: claimed,
        dry_run: purse.dry_run,
        transactions: purse.transactions,
    })
}

/// What of a run has to be paid for this owner, or for everybody.
fn wanted(run: &[Payout], owner: Option<Address>) -> Option<&[Payout]> {
    match owner {
        None => Some(run),
        Some(_) => run.iter().position(|payout| payout.owner == owner).map(|first| &run[first..]),
    }
}

/// Pays withdrawals, those of a run from the last backwards.
async fn pay(ethereum: &Ethereum, purse: &mut Purse<'_>, runs: &[&[Payout]]) -> Result<()> {
    let parts = runs.iter().flat_map(|run| run.rchunks(PAYOUTS_MAX));
    for (part, some) in parts.enumerate() {
        let run = U256::from(some[0].run);
        let payouts = some.iter().rev().map(|payout| IRollup::Payout {
            account: U256::from(payout.account.get()),
            amount: U256::from(payout.amount),
            headBefore: payout.head_before,
        });
        let end = some.last().map_or(0, |payout| payout.index + 1);
        let call = IRollup::payCall { run, end: U256::from(end), payouts: payouts.collect() };
        if purse.dry_run && part > 0 {
            purse.later("payouts", U256::ZERO);
        } else {
            purse.order("payouts", ethereum.at.rollup, &call, U256::ZERO).await?;
        }
    }
    Ok(())
}
