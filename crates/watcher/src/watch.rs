//! Following a venue, and saying what is wrong.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use holdfast_protocol::Genesis;
use holdfast_settlement::{
    Error, Follower, Result,
    client::holdings,
    follower::{Cursor, Event},
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
    /// All alarms since the beginning, and those of now.
    pub alarms: Vec<Alarm>,
}

impl Report {
    /// Whether somebody broke a rule.
    pub fn is_breached(&self) -> bool {
        self.alarms.iter().any(Alarm::is_breach)
    }
}

/// Follows a venue's contracts and rebuilds its state.
pub struct Watcher {
    genesis: Genesis,
    proofs: fn() -> Proofs,
    start: Cursor,
    follower: Follower,
    rebuilt: Rebuilt,
    /// When each entry of the inbox that waits was appended, in seconds; and when the last batch became final.
    appended: BTreeMap<u64, u64>,
    final_since: Option<u64>,
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
            final_since: None,
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
        let mut step = self.follower.catch_up().await?;
        if !step.undone.is_empty() {
            // What was final there may not be here: once more from the beginning. (With enough confirmations this does not happen.)
            self.follower.rewind(self.start.clone());
            self.rebuilt = Rebuilt::new(&self.genesis, (self.proofs)()).expect("it was valid");
            self.appended.clear();
            self.final_since = None;
            self.alarms.clear();
            step = self.follower.catch_up().await?;
        }
        for located in &step.events {
            let proof = match &located.event {
                Event::Final { .. } => self.follower.proof_in(located.transaction).await?,
                _ => None,
            };
            self.rebuilt.apply(located, proof.as_deref(), &mut self.alarms);
            match &located.event {
                Event::Appended { index, .. } => {
                    let time = self.follower.time_of(located.block).await?;
                    self.appended.insert(*index, time);
                }
                Event::Final { inbox_consumed, .. } => {
                    self.final_since = Some(self.follower.time_of(located.block).await?);
                    self.appended = self.appended.split_off(inbox_consumed);
                }
                _ => {}
            }
        }
        self.report().await
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
        if let Some((&index, &since)) = self.appended.first_key_value()
            && now.saturating_sub(since) > SERVICE
        {
            alarms.push(Alarm::Overdue { index, hours: (now - since) / HOUR });
        }
        if let Some(since) = self.final_since
            && now.saturating_sub(since) > PATIENCE
        {
            alarms.push(Alarm::Stale { hours: (now - since) / HOUR });
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
            alarms,
        })
    }
}
