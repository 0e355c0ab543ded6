//! `holdfast exit`: out of a venue, from Ethereum alone.
//!
//! The escape takes, in this order: the record of the system and of the markets (once, by anybody), debts of accounts below zero (for three days from the freeze), and, after these days, each account's
//! exit. What cannot be sent yet is said with the time from which on it can.

use std::path::PathBuf;

use alloy::primitives::{Address, U256};
use holdfast_protocol::{AccountId, limits, publication::digest_word};
use holdfast_settlement::{
    client::head,
    contracts::{IEscape, IStand, small},
};
use holdfast_watcher::{
    Exit, Rebuilt,
    exit::{Record, market_set, owner as owner_of},
};
use serde::Serialize;

use super::{
    Shown, checked_text,
    freeze::{Stand, stand},
};
use crate::{
    dir::pretty,
    error::{Error, Result, unexpected},
    l1::{Access, Ethereum, Purse, Signing, Sources, Transaction, lines, moment, write},
    ui::{self, Ui, count},
};

/// For so many seconds after the freeze debts are shown, and nobody exits.
const DEBT_WINDOW_SECONDS: u64 = 3 * 86_400;

#[derive(Debug, Clone)]
pub struct Options {
    pub sources: Sources,
    pub account: Option<u64>,
    pub owner: Option<Address>,
    pub out: Option<PathBuf>,
    pub send: bool,
}

/// Everything that the escape takes, for some accounts: of the last final state.
#[derive(Debug, Serialize)]
pub struct Proofs<'a> {
    pub chain_id: u64,
    pub escape: Address,
    pub batch_final: u64,
    pub root: String,
    pub record: &'a Record,
    /// Accounts below zero: whoever shows them makes the others' shares right.
    pub debts: &'a [Exit],
    pub exits: &'a [Exit],
}

#[derive(Debug, Serialize)]
pub struct Left {
    pub ok: bool,
    pub checked: String,
    pub batch_final: u64,
    pub root: String,
    pub accounts: Vec<Leaving>,
    /// Accounts below zero.
    pub debts: usize,
    pub stand: Stand,
    /// Seconds since 1970: exits are paid from then on; nothing if the venue is not frozen.
    pub exits_from: Option<u64>,
    pub out: Option<PathBuf>,
    /// What was sent, or what each step would cost, as far as that can be told now.
    pub transactions: Vec<Transaction>,
    /// What comes next.
    pub next: String,
}

#[derive(Debug, Serialize)]
pub struct Leaving {
    pub account: AccountId,
    pub owner: Address,
    /// In the collateral token, at the last final marks; below zero if the account owes.
    pub equity: String,
    pub exited: bool,
    pub opening_bytes: usize,
}

impl Shown for Left {
    fn text(&self) -> String {
        let mut rows = vec![
            ("venue", self.checked.clone()),
            ("state", format!("after batch {}, root {}", self.batch_final, self.root)),
        ];
        for one in &self.accounts {
            let exited = if one.exited { "; it has exited" } else { "" };
            rows.push(("account", format!("{}: {} for {}{exited}", one.account, ui::shown(&one.equity), one.owner)));
        }
        rows.push(("debts", count(self.debts as u64, "account") + " below zero"));
        if let Some(out) = &self.out {
            rows.push(("proofs", format!("written to {}", out.display())));
        }
        format!("{}  next: {}\n", lines(rows, &self.transactions), self.next)
    }
}

/// Makes the proofs for leaving, and sends what can be sent.
///
/// # Errors
///
/// If there is no such account, or the venue is not in order.
pub async fn run(access: &Access, signing: &Signing, options: &Options, ui: Ui) -> Result<Left> {
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let (watcher, report) = ethereum.rebuilt(&options.sources).await?;
    let rebuilt = watcher.rebuilt();
    let exits = exits(&ethereum, rebuilt, options)?;
    let record = rebuilt.record();
    let debts: Vec<Exit> = rebuilt.debtors().iter().filter_map(|(account, _)| rebuilt.exit(*account)).collect();
    let root = digest_word(&rebuilt.engine().root()).to_string();
    if let Some(out) = &options.out {
        let proofs = Proofs {
            chain_id: ethereum.at.chain,
            escape: ethereum.at.escape,
            batch_final: report.batch_final,
            root: root.clone(),
            record: &record,
            debts: &debts,
            exits: &exits,
        };
        write(out, &pretty(&proofs))?;
    }
    let stand = stand(&ethereum).await?;
    let mut left = Left {
        ok: true,
        checked: checked_text(&ethereum),
        batch_final: report.batch_final,
        root,
        accounts: Vec::new(),
        debts: debts.len(),
        stand,
        exits_from: None,
        out: options.out.clone(),
        transactions: Vec::new(),
        next: if stand.may_freeze {
            "holdfast freeze".into()
        } else {
            format!("nothing to do while the venue serves: `holdfast withdraw` (a freeze is possible {})", stand.text())
        },
    };
    for exit in &exits {
        left.accounts.push(leaving(&ethereum, exit).await?);
    }
    if !stand.frozen {
        if options.send {
            let error = unexpected("the venue", "a frozen one", "one that serves");
            return Err(error.advise(format!(
                "freeze it first, with `holdfast freeze` ({}); or withdraw: holdfast withdraw",
                stand.text()
            )));
        }
        return Ok(left);
    }
    let frozen_at = ethereum.ask("when it was frozen", ethereum.at.escape, &IStand::frozenAtCall {}).await?;
    let from = small("when it was frozen", frozen_at)? + DEBT_WINDOW_SECONDS;
    left.exits_from = Some(from);
    let (_, _, now) = head(&ethereum.provider).await?;
    let later = now < from;
    left.next = match (later, options.send) {
        (true, true) => format!("the same command again, after {}: debts can be shown until then", moment(from)),
        (true, false) => format!("holdfast exit --send, now (the record and the debts) and after {}", moment(from)),
        (false, true) => "holdfast claim, and `holdfast refund` for deposits that were not consumed".into(),
        (false, false) => "holdfast exit --send".into(),
    };
    if options.send {
        let mut purse = ethereum.purse(signing).await?;
        leave(&ethereum, &mut purse, &record, &debts, &exits, later).await?;
        left.transactions = purse.transactions;
        left.accounts.clear();
        for exit in &exits {
            left.accounts.push(leaving(&ethereum, exit).await?);
        }
    }
    Ok(left)
}

/// The accounts that were named.
fn exits(ethereum: &Ethereum, rebuilt: &Rebuilt, options: &Options) -> Result<Vec<Exit>> {
    let exits: Vec<Exit> = match (options.account, options.owner) {
        (Some(account), _) => {
            let id = u32::try_from(account).ok().and_then(|id| AccountId::new(id).ok());
            id.and_then(|id| rebuilt.exit(id)).into_iter().collect()
        }
        (None, Some(owner)) => (0..limits::BRIDGE)
            .filter_map(|id| AccountId::new(id).ok())
            .filter(|&id| owner_of(rebuilt.engine(), id) == Some(owner))
            .filter_map(|id| rebuilt.exit(id))
            .collect(),
        (None, None) => Vec::new(),
    };
    if !exits.is_empty() {
        return Ok(exits);
    }
    let named = match (options.account, options.owner) {
        (Some(account), _) => format!("account {account}"),
        (_, owner) => format!("an account of {}", owner.unwrap_or_default()),
    };
    let waiting = rebuilt.waiting().len();
    let error = unexpected(format!("the final state of {}", ethereum.at.rollup), named, "none such");
    Err(error.advise(format!(
        "{} not part of the final state: in a frozen venue, `holdfast refund` gives them back",
        match waiting {
            1 => "1 deposit is".into(),
            _ => format!("{waiting} deposits are"),
        }
    )))
}

async fn leaving(ethereum: &Ethereum, exit: &Exit) -> Result<Leaving> {
    let account = U256::from(exit.account.get());
    let exited = ethereum.ask("who has exited", ethereum.at.escape, &IEscape::exitedCall { account }).await?;
    let sign = if exit.equity < 0 { "-" } else { "" };
    let equity = format!("{sign}{}", ethereum.exact(U256::from(exit.equity.unsigned_abs())));
    Ok(Leaving { account: exit.account, owner: exit.owner, equity, exited, opening_bytes: exit.opening.len() })
}

/// Sends what is missing, in order.
async fn leave(
    ethereum: &Ethereum,
    purse: &mut Purse<'_>,
    record: &Record,
    debts: &[Exit],
    exits: &[Exit],
    later: bool,
) -> Result<()> {
    let escape = ethereum.at.escape;
    let markets = market_set(&record.markets);
    let system = ethereum.ask("what is recorded", escape, &IStand::systemRecordedCall {}).await?;
    let recorded = ethereum.ask("what is recorded", escape, &IStand::marketsRecordedCall {}).await?;
    let (system_missing, markets_missing) = (!system, recorded & markets != markets);
    let missing = system_missing || markets_missing;
    if missing {
        let call = IEscape::recordCall {
            systemOpening: if system_missing { record.system.clone().into() } else { Vec::new().into() },
            marketSet: if markets_missing { markets } else { U256::ZERO },
            marketsOpening: if markets_missing { record.markets_opening.clone().into() } else { Vec::new().into() },
        };
        purse.order("record", escape, &call, U256::ZERO).await?;
    }
    // Without the record, nothing after it can be priced.
    let unpriced = purse.dry_run && missing;
    for exit in if later { debts } else { &[] } {
        let account = U256::from(exit.account.get());
        if ethereum.ask("which debts are shown", escape, &IStand::debtShownCall { account }).await? {
            continue;
        }
        let call = IEscape::showDebtCall { account, opening: exit.opening.clone().into() };
        if unpriced {
            purse.later("debt", U256::ZERO)
        } else {
            purse.order("debt", escape, &call, U256::ZERO).await.map(drop)?
        }
    }
    if later {
        return Ok(());
    }
    let mut sent = false;
    for exit in exits {
        let account = U256::from(exit.account.get());
        if exit.equity <= 0 || ethereum.ask("who has exited", escape, &IEscape::exitedCall { account }).await? {
            continue;
        }
        let call = IEscape::exitCall { account, opening: exit.opening.clone().into() };
        if unpriced {
            purse.later("exit", U256::ZERO)
        } else {
            purse.order("exit", escape, &call, U256::ZERO).await.map(drop)?
        }
        sent = true;
    }
    if sent {
        return Ok(());
    }
    let error: Error = unexpected("accounts that can exit", "one that has something and has not exited", "none");
    Err(error.advise("what was paid out is claimed with `holdfast claim`"))
}
