//! What a watcher finds wrong.

use serde::Serialize;

/// Something that must not be. Each says what was expected and what was got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "alarm", rename_all = "snake_case")]
pub enum Alarm {
    #[error("batch {batch}: its data cannot be read, so that nobody can carry it out or prove it: {reason}")]
    Data { batch: u64, reason: String },
    #[error("batch {batch}, {what}: expected {expected}, got {got}")]
    Batch { batch: u64, what: &'static str, expected: String, got: String },
    #[error("batch {batch} is final without a proof that holds: {reason}")]
    Proof { batch: u64, reason: String },
    #[error(
        "batch {batch} is final by {verifier}, which the council has put in the place of the first verifier: this program cannot check its proof, nor those after it"
    )]
    Foreign { batch: u64, verifier: String },
    #[error(
        "batch {batch}: the venue carries out an entry of the inbox that is not the next: expected {expected}, got {got}"
    )]
    Inbox { batch: u64, expected: String, got: String },
    #[error("entry {index} of the inbox is no instruction: {reason}")]
    Entry { index: u64, reason: String },
    #[error("the rollup paid a withdrawal that is not the last unpaid one of its run: expected {expected}, got {got}")]
    Payout { expected: String, got: String },
    #[error(
        "the rollup's {what} is another: expected {expected}, got {got}. The council can replace it: what this program knows no longer holds"
    )]
    Replaced { what: &'static str, expected: String, got: String },
    #[error(
        "proposal {id} of the council is approved, and can be carried out from second {ready_at} on: {proposed}. Who does not want that leaves before"
    )]
    Proposal { id: u64, ready_at: u64, proposed: String },
    #[error("the endpoints cannot both be right: {reason}")]
    Endpoints { reason: String },
    #[error("nothing was seen of the chain for {minutes} minutes: {reason}")]
    Blind { minutes: u64, reason: String },
    #[error("entry {index} of the inbox has waited for {hours} hours: it is due within 24")]
    Overdue { index: u64, hours: u64 },
    #[error("no batch has become final for {hours} hours; after 168 anybody may freeze the venue")]
    Stale { hours: u64 },
    #[error(
        "the vault holds {held}, but owes {owed}: {deposits} to accounts, {payouts} in payouts, {waiting} in deposits that wait, {claimable} to claim"
    )]
    Vault { held: String, owed: String, deposits: String, payouts: String, waiting: String, claimable: String },
    #[error("the vault says that it holds {held}, but the token says {balance}")]
    Balance { held: String, balance: String },
    #[error("{accounts} accounts are below zero at the last marks and owe {debt}: an exit now would be cut")]
    Insolvent { accounts: usize, debt: String },
    #[error("the venue is frozen: take what is yours with `holdfast exit`")]
    Frozen,
}

impl Alarm {
    /// Whether somebody broke a rule, or the chain is not what it must be; else somebody is late, or the venue is in trouble by its own rules.
    pub const fn is_breach(&self) -> bool {
        !matches!(
            self,
            Self::Overdue { .. }
                | Self::Stale { .. }
                | Self::Insolvent { .. }
                | Self::Frozen
                | Self::Blind { .. }
                | Self::Proposal { .. }
        )
    }

    /// Its name, as in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Data { .. } => "data",
            Self::Batch { .. } => "batch",
            Self::Proof { .. } => "proof",
            Self::Foreign { .. } => "foreign",
            Self::Inbox { .. } => "inbox",
            Self::Entry { .. } => "entry",
            Self::Payout { .. } => "payout",
            Self::Replaced { .. } => "replaced",
            Self::Proposal { .. } => "proposal",
            Self::Endpoints { .. } => "endpoints",
            Self::Blind { .. } => "blind",
            Self::Overdue { .. } => "overdue",
            Self::Stale { .. } => "stale",
            Self::Vault { .. } => "vault",
            Self::Balance { .. } => "balance",
            Self::Insolvent { .. } => "insolvent",
            Self::Frozen => "frozen",
        }
    }

    /// All kinds.
    pub const KINDS: [&'static str; 17] = [
        "data",
        "batch",
        "proof",
        "foreign",
        "inbox",
        "entry",
        "payout",
        "replaced",
        "proposal",
        "endpoints",
        "blind",
        "overdue",
        "stale",
        "vault",
        "balance",
        "insolvent",
        "frozen",
    ];

    /// What it is about, whatever the hour: one alarm goes on under one name while its figures change.
    pub fn name(&self) -> String {
        match self {
            Self::Overdue { index, .. } => format!("overdue {index}"),
            Self::Stale { .. }
            | Self::Vault { .. }
            | Self::Balance { .. }
            | Self::Insolvent { .. }
            | Self::Blind { .. } => self.kind().into(),
            other => other.to_string(),
        }
    }
}
