//! Following a venue, and saying what is wrong.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use holdfast_protocol::Genesis;
use holdfast_settlement::{
    Error, Follower, Result,
    client::{Holdings, Proposal, holdings, proposals},
    follower::{Cursor, Event, Located},
};
use serde::Serialize;

use crate::{
    alarm::Alarm,
    rebuild::{Proofs, Rebuilt},
};

const HOUR: u64 = 3_600;
/// An entry is due after so many seconds.
const SERVICE: u64 = 24 * HOUR;
/// A day without a final batch is worth a word.
const PATIENCE: u64 = 24 * HOUR;

/// Where a venue stands, by Ethereum alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The last block looked at.
    pub block: u64,
    pub batch_final: u64,
    pub batch_committed: u64,
    pub commands: u64,
    pub root: String,
    /// Milliseconds.
    pub time_final: u64,
    /// What the vault holds, and what the venue owes: to accounts, in final payouts, in deposits that wait, and what is claimable.
    pub held: String,
    pub deposits: String,
    pub payouts: String,
    pub waiting: String,
    pub claimable: String,
    pub frozen: bool,
    /// Of the block, and when the last batch became final, in seconds.
    pub time: u64,
    pub final_since: u64,
    /// Entries of the inbox that wait; the oldest of them, and since when.
    pub inbox_waiting: usize,
    pub oldest_entry: Option<u64>,
    pub oldest_since: Option<u64>,
    /// All alarms since the beginning, and those of now.
    pub alarms: Vec<Alarm>,
}

impl Report {
    /// Whether somebody broke a rule.
    pub fn is_breached(&self) -> bool {
        self.alarms.iter().any(Alarm::is_breach)
    }
}

/// How far a look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catching {
    pub block: u64,
    pub head: u64,
    pub batch_final: u64,
}

/// Follows a venue's contracts and rebuilds its state.
pub struct Watcher {
    genesis: Genesis,
    proofs: fn() -> Proofs,
    start: Cursor,
    follower: Follower,
    rebuilt: Rebuilt,
    /// When each entry of the inbox that waits was appended, in seconds.
    appended: BTreeMap<u64, u64>,
    alarms: Vec<Alarm>,
}

impl Watcher {
    /// From the deployment's block on. `follower` stands there.
    ///
    /// # Errors
    ///
    /// If the genesis is not valid.
    pub fn new(
        genesis: Genesis,
        proofs: fn() -> Proofs,
        follower: Follower,
    ) -> std::result::Result<Self, holdfast_protocol::GenesisError> {
        let rebuilt = Rebuilt::new(&genesis, proofs())?;
        Ok(Self {
            genesis,
            proofs,
            start: follower.cursor().clone(),
            follower,
            rebuilt,
            appended: BTreeMap::new(),
            alarms: Vec::new(),
        })
    }

    pub fn rebuilt(&self) -> &Rebuilt {
        &self.rebuilt
    }

    /// Goes on to the last block, and says where the venue stands.
    ///
    /// # Errors
    ///
    /// If the endpoint does not answer, or answers what cannot be.
    pub async fn look(&mut self) -> Result<Report> {
        self.look_with(|_| {}).await
    }

    /// As [`Watcher::look`], and says how far it is after each step.
    ///
    /// # Errors
    ///
    /// If the endpoint does not answer, or answers what cannot be. What was seen stays seen: the next look goes on from there.
    pub async fn look_with(&mut self, mut told: impl FnMut(Catching)) -> Result<Report> {
        let head = self.follower.height().await?;
        loop {
            let before = self.follower.cursor().clone();
            let step = self.follower.step().await?;
            if !step.undone.is_empty() {
                // What was final there may not be here: once more from the beginning. (With enough confirmations this does not happen.)
                self.restart();
                continue;
            }
            // All that an event needs is fetched before any is taken, so that an endpoint that fails in between loses none.
            let mut found = Vec::with_capacity(step.events.len());
            for located in step.events {
                match self.complete(&located).await {
                    Ok((proof, time)) => found.push((located, proof, time)),
                    Err(error) => {
                        self.follower.rewind(before);
                        return Err(error);
                    }
                }
            }
            for (located, proof, time) in &found {
                self.take(located, proof.as_deref(), *time);
            }
            let next = self.follower.cursor().next();
            told(Catching {
                block: next.saturating_sub(1),
                head: head.max(next.saturating_sub(1)),
                batch_final: self.rebuilt.batch_final(),
            });
            if step.done {
                break;
            }
        }
        self.report().await
    }

    fn restart(&mut self) {
        self.follower.rewind(self.start.clone());
        self.rebuilt = Rebuilt::new(&self.genesis, (self.proofs)()).expect("it was valid");
        self.appended.clear();
        self.alarms.clear();
    }

    /// What an event needs besides itself: its proof, and its time.
    async fn complete(&self, located: &Located) -> Result<(Option<Vec<u8>>, u64)> {
        Ok(match located.event {
            Event::Final { .. } => (self.follower.proof_in(located.transaction).await?, 0),
            Event::Appended { .. } => (None, self.follower.time_of(located.block).await?),
            _ => (None, 0),
        })
    }

    fn take(&mut self, located: &Located, proof: Option<&[u8]>, time: u64) {
        self.rebuilt.apply(located, proof, &mut self.alarms);
        match &located.event {
            Event::Appended { index, .. } => {
                self.appended.insert(*index, time);
            }
            Event::Final { inbox_consumed, .. } => self.appended = self.appended.split_off(inbox_consumed),
            _ => {}
        }
    }

    async fn report(&self) -> Result<Report> {
        let Self { rebuilt, follower, .. } = self;
        let block = follower
            .cursor()
            .next()
            .checked_sub(1)
            .ok_or_else(|| Error::Missing { what: "the chain", missing: "block of the deployment".into() })?;
        let now = follower.time_of(block).await?;
        let holdings = holdings(follower.provider(), follower.cursor().deployment(), block).await?;
        let mut alarms = self.alarms.clone();
        let oldest_since = self.appended.first_key_value().map(|(_, &since)| since);
        let final_since = holdings.final_since;
        alarms.extend(self.replaced(&holdings));
        // In a frozen venue the council can carry nothing out.
        if !rebuilt.is_frozen() {
            let planned = proposals(follower.provider(), follower.cursor().deployment(), block, now).await?;
            alarms.extend(planned.into_iter().map(|Proposal { id, what, ready_at }| Alarm::Proposal {
                id,
                ready_at,
                proposed: what,
            }));
        }
        if let Some((&index, &since)) = self.appended.first_key_value()
            && !rebuilt.is_frozen()
            && now.saturating_sub(since) > SERVICE
        {
            alarms.push(Alarm::Overdue { index, hours: (now - since) / HOUR });
        }
        if !rebuilt.is_frozen() && now.saturating_sub(final_since) > PATIENCE {
            alarms.push(Alarm::Stale { hours: (now - final_since) / HOUR });
        }
        if holdings.balance < holdings.held {
            alarms.push(Alarm::Balance { held: holdings.held.to_string(), balance: holdings.balance.to_string() });
        }
        let (deposits, payouts, waiting) =
            (U256::from(rebuilt.deposits()), rebuilt.payouts_due(), rebuilt.deposits_waiting());
        let owed = deposits + payouts + waiting + holdings.claimable;
        // In a frozen venue, exits and refunds move from one to the other.
        if !rebuilt.is_frozen() && owed != holdings.held {
            alarms.push(Alarm::Vault {
                held: holdings.held.to_string(),
                owed: owed.to_string(),
                deposits: deposits.to_string(),
                payouts: payouts.to_string(),
                waiting: waiting.to_string(),
                claimable: holdings.claimable.to_string(),
            });
        }
        let debtors = rebuilt.debtors();
        if !debtors.is_empty() {
            let debt: i128 = debtors.iter().map(|(_, equity)| -equity).sum();
            alarms.push(Alarm::Insolvent { accounts: debtors.len(), debt: debt.to_string() });
        }
        if rebuilt.is_frozen() {
            alarms.push(Alarm::Frozen);
        }
        Ok(Report {
            block,
            batch_final: rebuilt.batch_final(),
            batch_committed: rebuilt.batch_committed(),
            commands: rebuilt.commands(),
            root: holdfast_protocol::publication::digest_word(&rebuilt.engine().root()).to_string(),
            time_final: rebuilt.time_final(),
            held: holdings.held.to_string(),
            deposits: deposits.to_string(),
            payouts: payouts.to_string(),
            waiting: waiting.to_string(),
            claimable: holdings.claimable.to_string(),
            frozen: rebuilt.is_frozen(),
            time: now,
            final_since,
            inbox_waiting: rebuilt.entries_waiting(),
            oldest_entry: rebuilt.oldest_entry(),
            oldest_since,
            alarms,
        })
    }

    /// What the council can replace, and has.
    fn replaced(&self, holdings: &Holdings) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut compare = |what, expected: String, got: String| {
            if expected != got {
                alarms.push(Alarm::Replaced { what, expected, got });
            }
        };
        let expected = self.start.deployment().verifier;
        compare("verifier", expected.to_string(), holdings.verifier.to_string());
        if let Proofs::Verified(_, segment_key) = self.rebuilt.proofs() {
            let expected = holdfast_protocol::publication::digest_word(segment_key);
            compare("segments' key", expected.to_string(), holdings.segment_key.to_string());
        }
        alarms
    }
}
