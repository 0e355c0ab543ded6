//! `holdfast freeze`: whether and when a venue may be frozen, and the freeze.

use alloy::primitives::U256;
use holdfast_settlement::{
    client::head,
    contracts::{IEscape, IInbox, IRollup, IStand, small},
};
use serde::Serialize;

use super::{Shown, checked_text};
use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Signing, Transaction, lines, moment},
    ui::Ui,
};

/// What the escape waits for: seconds that an entry may wait, and the next final batch.
pub const PATIENCE_SECONDS: u64 = 7 * 86_400;

/// Whether a venue may be frozen, and since when, or from when on if nothing changes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stand {
    pub frozen: bool,
    pub may_freeze: bool,
    /// Seconds since 1970: it may be frozen after this, if nothing becomes final, or no entry is consumed, until then.
    pub freezable_after: u64,
    pub final_since: u64,
    /// The oldest entry that waits, and since when.
    pub oldest_entry: Option<u64>,
    pub oldest_since: Option<u64>,
}

/// Asks the contracts.
///
/// # Errors
///
/// If the endpoint does not answer.
pub async fn stand(ethereum: &Ethereum) -> Result<Stand> {
    let (at, what) = (&ethereum.at, "whether the venue may be frozen");
    let final_since = small(what, ethereum.ask(what, at.rollup, &IRollup::finalSinceCall {}).await?)?;
    let consumed = ethereum.ask(what, at.rollup, &IRollup::inboxConsumedCall {}).await?;
    let entries = ethereum.ask(what, at.inbox, &IInbox::countCall {}).await?;
    let (mut oldest_entry, mut oldest_since) = (None, None);
    if consumed < entries {
        oldest_entry = Some(small(what, consumed)?);
        oldest_since = Some(small(what, ethereum.ask(what, at.inbox, &IInbox::timeOfCall { index: consumed }).await?)?);
    }
    let since = oldest_since.map_or(final_since, |since| since.min(final_since));
    let frozen = ethereum.ask(what, at.rollup, &IRollup::frozenCall {}).await?;
    let (_, _, now) = head(&ethereum.provider).await?;
    // The contract sees the time of the block that the transaction comes in.
    let may_freeze =
        !frozen && (ethereum.ask(what, at.escape, &IStand::lateCall {}).await? || now > since + PATIENCE_SECONDS);
    Ok(Stand { frozen, may_freeze, freezable_after: since + PATIENCE_SECONDS, final_since, oldest_entry, oldest_since })
}

impl Stand {
    pub fn text(&self) -> String {
        if self.frozen {
            return "the venue is frozen: leave it with `holdfast exit`".into();
        }
        let after = moment(self.freezable_after);
        if self.may_freeze { format!("it may be frozen, since {after}") } else { format!("not before {after}") }
    }
}

#[derive(Debug, Serialize)]
pub struct Freeze {
    pub ok: bool,
    pub checked: String,
    #[serde(flatten)]
    pub stand: Stand,
    pub transactions: Vec<Transaction>,
}

impl Shown for Freeze {
    fn text(&self) -> String {
        let oldest = match (self.stand.oldest_entry, self.stand.oldest_since) {
            (Some(entry), Some(since)) => format!("entry {entry}, since {}", moment(since)),
            _ => "none waits".into(),
        };
        let rows = [
            ("venue", self.checked.clone()),
            ("inbox", oldest),
            ("final", format!("last since {}", moment(self.stand.final_since))),
            ("freeze", self.stand.text()),
        ];
        lines(rows, &self.transactions)
    }

    fn is_well(&self) -> bool {
        self.ok
    }
}

/// Freezes a venue, or only says whether it may be.
///
/// # Errors
///
/// If it may not be frozen.
pub async fn run(access: &Access, signing: &Signing, check: bool, ui: Ui) -> Result<Freeze> {
    let ethereum = Ethereum::open_to_leave(access, ui).await?;
    let mut stand = stand(&ethereum).await?;
    let checked = checked_text(&ethereum);
    if check {
        return Ok(Freeze { ok: stand.may_freeze, checked, stand, transactions: Vec::new() });
    }
    if !stand.may_freeze {
        let got = if stand.frozen { "one that is frozen" } else { "one that serves" };
        let error = unexpected("the venue", "one that has left an entry, or made nothing final, for 7 days", got);
        return Err(error.advise(stand.text()));
    }
    let mut purse = ethereum.purse(signing).await?;
    purse.order("freeze", ethereum.at.escape, &IEscape::freezeCall {}, U256::ZERO).await?;
    stand.frozen = !purse.dry_run;
    Ok(Freeze { ok: true, checked, stand, transactions: purse.transactions })
}
