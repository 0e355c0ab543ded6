//! The commands for users and strangers of a venue on Ethereum: arguments, and one function each.
//!
//! Every one of them reads the venue's file and holds it against the chain and the source (`holdfast_watcher::check`) before it does anything else.

pub mod claim;
pub mod exit;
pub mod force;
pub mod freeze;
pub mod metrics;
pub mod money;
pub mod recall;
pub mod watch;
pub mod webhook;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use alloy::primitives::Address;
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use crate::{
    error::{Result, unexpected},
    l1::{Access, Ethereum, Signing, Sources, block_on},
    ui::{self, Ui},
};

const KEY_HELP: &str = "\
The key that signs is taken from --key (a Web3 keystore, whose passphrase is taken from --passphrase-file, or from
HOLDFAST_PASSPHRASE, or asked for; or a file with 64 hexadecimal digits), or else from HOLDFAST_PRIVATE_KEY.
Before anything is sent, the venue's file is held against the chain, the contracts' code and the bundled key.";

#[derive(Debug, Clone, Args)]
pub struct AccessArguments {
    /// The file that names the venue: chain, contracts, genesis.
    #[arg(long, value_name = "FILE", default_value = "venue.json")]
    venue: PathBuf,
    /// An Ethereum endpoint: http://… or https://…
    #[arg(long = "l1", id = "l1", value_name = "URL")]
    url: String,
    /// A venue of a development chain (1337 or 31337) whose verifier believes everything: verify no proofs.
    #[arg(long)]
    unproven: bool,
}

#[derive(Debug, Clone, Args)]
pub struct SigningArguments {
    /// A Web3 keystore, or a private key in 64 hexadecimal digits; else HOLDFAST_PRIVATE_KEY has one.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Take the keystore's passphrase from this file, without the end of its line.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Say what would be sent and what it would cost, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub struct SourcesArguments {
    /// Another endpoint, which must have the same blocks and events.
    #[arg(long, value_name = "URL", requires = "l1")]
    second: Option<String>,
    /// A consensus client: where the blobs of batches are asked for.
    #[arg(long, value_name = "URL", requires = "l1")]
    beacon: Option<String>,
    /// Keep blobs here (and, when watching, which alarms were told): consensus clients forget blobs after weeks.
    #[arg(long, value_name = "DIR", requires = "l1")]
    state: Option<PathBuf>,
    /// Look only at blocks that have so many after them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    confirmations: u64,
}

impl From<AccessArguments> for Access {
    fn from(AccessArguments { venue, url, unproven }: AccessArguments) -> Self {
        Self { venue, url, unproven }
    }
}

impl From<SigningArguments> for Signing {
    fn from(SigningArguments { key, passphrase_file, dry_run }: SigningArguments) -> Self {
        Self { key, passphrase_file, dry_run }
    }
}

impl From<SourcesArguments> for Sources {
    fn from(SourcesArguments { second, beacon, state, confirmations }: SourcesArguments) -> Self {
        Self { second, beacon, state, confirmations }
    }
}

/// A venue on Ethereum, for `holdfast verify`.
#[derive(Debug, Clone, Args)]
pub struct VenueArguments {
    /// Check a venue on Ethereum, by this endpoint: everything that `holdfast watch` checks, once.
    #[arg(long = "l1", id = "l1", value_name = "URL", conflicts_with_all = ["dir", "last", "compact", "genesis_root"])]
    url: Option<String>,
    /// With --l1: the file that names the venue.
    #[arg(long, value_name = "FILE", default_value = "venue.json")]
    venue: PathBuf,
    /// With --l1: a venue of a development chain whose verifier believes everything: verify no proofs.
    #[arg(long, requires = "l1")]
    unproven: bool,
    #[command(flatten)]
    sources: SourcesArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Deposit(DepositArguments),
    Withdraw(WithdrawArguments),
    Force(ForceArguments),
    Claim(ClaimArguments),
    Freeze(FreezeArguments),
    Recall(RecallArguments),
    Refund(RefundArguments),
    Exit(ExitArguments),
    Watch(WatchArguments),
}

/// Deposit into a venue on Ethereum: the first deposit opens your account
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast deposit --venue venue.json --l1 https://… --key wallet.json --amount 1000
  holdfast deposit --venue venue.json --l1 https://… --key wallet.json --amount 12.5 --dry-run

Lets the vault take this amount of the token, if it may not yet, and deposits it by the inbox.

{KEY_HELP}"))]
pub struct DepositArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    /// Of the collateral token, such as 12.5.
    #[arg(long, value_name = "DECIMAL")]
    amount: String,
}

/// Force a withdrawal through Ethereum: the venue must carry it out within 24 hours, or can be frozen
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast withdraw --venue venue.json --l1 https://… --key wallet.json --amount 250.75

When it is final, `holdfast claim` pays it out. Where the account lacks the collateral, the venue refuses the
withdrawal, and that is the end of it.

{KEY_HELP}"))]
pub struct WithdrawArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    /// Of the collateral token, such as 12.5.
    #[arg(long, value_name = "DECIMAL")]
    amount: String,
}

/// Force a command of your account through Ethereum: the venue cannot refuse to hear it
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast force register --venue venue.json --l1 https://… --key wallet.json --public-key e17d… --index 0
  holdfast force revoke --venue venue.json --l1 https://… --key wallet.json --index 0
  holdfast force cancel-all --venue venue.json --l1 https://… --key wallet.json --market 0
  holdfast force close --venue venue.json --l1 https://… --key wallet.json --market 0 --side sell --price 61000 --size 0.5

A withdrawal is forced by `holdfast withdraw`. Each entry costs the inbox's fee.

{KEY_HELP}"))]
pub struct ForceArguments {
    #[command(subcommand)]
    what: ForceCommand,
}

#[derive(Debug, Subcommand)]
enum ForceCommand {
    /// Register a session key for your account, or replace one
    Register {
        #[command(flatten)]
        access: AccessArguments,
        #[command(flatten)]
        signing: SigningArguments,
        /// The session key's public key (`holdfast key show`): 56 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        public_key: String,
        /// Its place among the account's four keys.
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..4))]
        index: u64,
        /// The place has a key already, which this one replaces.
        #[arg(long)]
        replaces: bool,
        /// The key may withdraw, besides trading.
        #[arg(long)]
        withdraws: bool,
        /// Days until it expires.
        #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=force::DAYS_MAX))]
        days: u64,
    },
    /// Revoke a session key of your account
    Revoke {
        #[command(flatten)]
        access: AccessArguments,
        #[command(flatten)]
        signing: SigningArguments,
        /// Its place among the account's four keys.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..4))]
        index: u64,
    },
    /// Cancel all orders of your account in a market
    CancelAll {
        #[command(flatten)]
        access: AccessArguments,
        #[command(flatten)]
        signing: SigningArguments,
        #[arg(long, value_name = "N")]
        market: u64,
    },
    /// Reduce a position against the book: immediate or cancel, reduce-only
    Close {
        #[command(flatten)]
        access: AccessArguments,
        #[command(flatten)]
        signing: SigningArguments,
        #[arg(long, value_name = "N")]
        market: u64,
        /// What the order does: sell to close a long position, buy to close a short one.
        #[arg(long, value_enum)]
        side: force::Side,
        /// The worst price, such as 61000.5.
        #[arg(long, value_name = "DECIMAL")]
        price: String,
        /// The most to close, such as 0.25.
        #[arg(long, value_name = "DECIMAL")]
        size: String,
    },
}

/// Pay out what is due to an owner: final withdrawals that nobody paid yet, and what the vault owes
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast claim --venue venue.json --l1 https://… --key wallet.json
  holdfast claim --venue venue.json --l1 https://… --key wallet.json --owner 0x70997970…      for somebody else
  holdfast claim --venue venue.json --l1 https://… --key wallet.json --all                    pays everybody's withdrawals

Withdrawals are paid from the last backwards: to reach one, those after it are paid too. Which are due is read from the
state rebuilt from Ethereum, which takes a while where there is much of it.

{KEY_HELP}"))]
pub struct ClaimArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    #[command(flatten)]
    sources: SourcesArguments,
    /// Whose; the key's by default. The tokens go to the owner, whoever asks.
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// Pay all final withdrawals, also those of others.
    #[arg(long)]
    all: bool,
}

/// Stop a venue that has left an entry of the inbox, or made nothing final, for 7 days
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast freeze --venue venue.json --l1 https://… --key wallet.json
  holdfast freeze --venue venue.json --l1 https://… --check       says whether, or when, it may be frozen

A freeze is for good: from then on the last final state is paid out (`holdfast exit`).

{KEY_HELP}"))]
pub struct FreezeArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    /// Say whether it may be frozen, and send nothing: exit status 0 if it may, 1 if not.
    #[arg(long)]
    check: bool,
}

/// Take back batches that are committed and not final: the operator's, for six hours, and again after three days
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast recall --venue venue.json --l1 https://… --key operator.json --from 17 --dry-run
  holdfast recall --venue venue.json --l1 https://… --key operator.json --from 17

For what somebody else has committed with the operator's key, or what cannot be proven. Batch 17 goes, and all behind it.
Stop the operator before, and start it afterwards: it commits again what it still has, as long as that is less than a day
old. The times are counted from the commitment of the batch, or from the end of a pause after it.

{KEY_HELP}"))]
pub struct RecallArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    /// The first batch to take back.
    #[arg(long, value_name = "N")]
    from: u64,
}

/// Refund deposits that a frozen venue did not consume
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  holdfast refund --venue venue.json --l1 https://… --key wallet.json               all of yours
  holdfast refund --venue venue.json --l1 https://… --key wallet.json --entry 17

What is refunded can be claimed then: `holdfast claim`.

{KEY_HELP}"))]
pub struct RefundArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    /// One entry of the inbox; all deposits of the owner by default.
    #[arg(long, value_name = "N")]
    entry: Option<u64>,
    /// Whose; the key's by default.
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
}

/// Leave a venue without its operator: the exit proof from Ethereum alone, and, once it is frozen, the exit
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").args(["account", "owner"]).required(true))]
#[command(after_help = format!("\
Examples:
  holdfast exit --venue venue.json --l1 https://… --account 7 --out exit.json
  holdfast exit --venue venue.json --l1 https://… --owner 0x70997970… --key wallet.json --send

Rebuilds the state, and writes what the escape takes: the record of the venue and its markets, the accounts below zero,
and the opening of yours. With --send it is sent, in order: the record, the debts (for 3 days from the freeze), and then
the exit. Run it again after the 3 days; what was sent is not sent again.

{KEY_HELP}"))]
pub struct ExitArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    signing: SigningArguments,
    #[command(flatten)]
    sources: SourcesArguments,
    #[arg(long, value_name = "N")]
    account: Option<u64>,
    /// All accounts of this owner.
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// Write the proofs to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Send what can be sent now.
    #[arg(long)]
    send: bool,
}

/// Watch a venue from Ethereum alone: rebuild its state, verify every final proof, compare the books
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  holdfast watch --venue venue.json --l1 https://… --beacon https://… --state watch
  holdfast watch --venue venue.json --l1 https://… --once
  holdfast watch --venue venue.json --l1 https://… --second https://… --confirmations 12 \\
      --webhook https://hooks.example/holdfast --metrics 127.0.0.1:9184

Every batch is carried out again from what was published, and its outcomes, digests, times and roots compared; every
final proof is verified with the bundled key; what the vault holds is compared with what it owes. What is wrong is an
alarm: a line, a POST of JSON to the webhook, a metric.

With --json, one JSON object a line: for each change of what is known, and for each alarm.
Exit status: 0 if all is well, 1 if there is an alarm (with --once, or when it ends), 2 for a wrong call.")]
pub struct WatchArguments {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    sources: SourcesArguments,
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    /// POST every new alarm to this address, as JSON.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Serve metrics (Prometheus' text format) on this address, under /metrics.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl VenueArguments {
    /// Whether anything was given that means nothing without `--l1`.
    pub fn is_given(&self) -> bool {
        let SourcesArguments { second, beacon, state, confirmations } = &self.sources;
        self.unproven || second.is_some() || beacon.is_some() || state.is_some() || *confirmations != 0
    }
}

/// What a command prints.
pub trait Shown: Serialize {
    fn text(&self) -> String;

    /// Whether all is well.
    fn is_well(&self) -> bool {
        true
    }
}

/// Runs a command, and prints its report.
///
/// # Errors
///
/// If it fails, or is refused.
pub fn run(command: Command, json: bool, ui: Ui) -> Result<ExitCode> {
    match command {
        Command::Deposit(DepositArguments { access, signing, amount }) => {
            let (access, signing) = (access.into(), signing.into());
            print(json, &block_on(money::deposit(&access, &signing, &amount, ui))?)
        }
        Command::Withdraw(WithdrawArguments { access, signing, amount }) => {
            let (access, signing) = (access.into(), signing.into());
            print(json, &block_on(force::run(&access, &signing, &force::What::Withdraw { amount }, ui))?)
        }
        Command::Force(ForceArguments { what }) => {
            let (access, signing, what) = match what {
                ForceCommand::Register { access, signing, public_key, index, replaces, withdraws, days } => {
                    (access, signing, force::What::Register { public_key, index, replaces, withdraws, days })
                }
                ForceCommand::Revoke { access, signing, index } => (access, signing, force::What::Revoke { index }),
                ForceCommand::CancelAll { access, signing, market } => {
                    (access, signing, force::What::CancelAll { market })
                }
                ForceCommand::Close { access, signing, market, side, price, size } => {
                    (access, signing, force::What::Close { market, side, price, size })
                }
            };
            print(json, &block_on(force::run(&access.into(), &signing.into(), &what, ui))?)
        }
        Command::Claim(ClaimArguments { access, signing, sources, owner, all }) => {
            let options = claim::Options { sources: sources.into(), owner, all };
            print(json, &block_on(claim::run(&access.into(), &signing.into(), &options, ui))?)
        }
        Command::Freeze(FreezeArguments { access, signing, check }) => {
            print(json, &block_on(freeze::run(&access.into(), &signing.into(), check, ui))?)
        }
        Command::Recall(RecallArguments { access, signing, from }) => {
            print(json, &block_on(recall::run(&access.into(), &signing.into(), from, ui))?)
        }
        Command::Refund(RefundArguments { access, signing, entry, owner }) => {
            print(json, &block_on(money::refund(&access.into(), &signing.into(), entry, owner, ui))?)
        }
        Command::Exit(ExitArguments { access, signing, sources, account, owner, out, send }) => {
            let options = exit::Options { sources: sources.into(), account, owner, out, send };
            print(json, &block_on(exit::run(&access.into(), &signing.into(), &options, ui))?)
        }
        Command::Watch(WatchArguments { access, sources, once, webhook, metrics, interval }) => {
            let options =
                watch::Options { sources: sources.into(), once, webhook, metrics, interval_seconds: interval, json };
            let well = block_on(watch::run(&access.into(), &options, ui))?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// `holdfast verify --l1`: one look at everything that a watcher checks.
///
/// # Errors
///
/// If it cannot look. What it finds is in the report.
pub fn verify(arguments: VenueArguments, json: bool, ui: Ui) -> Result<ExitCode> {
    let VenueArguments { url, venue, unproven, sources } = arguments;
    let Some(url) = url else {
        return Err(unexpected("what to verify", "a directory, or a venue on Ethereum (--l1 URL)", "neither"));
    };
    let access = Access { venue, url, unproven };
    print(json, &block_on(watch::verify(&access, &sources.into(), ui))?)
}

fn print<T: Shown>(json: bool, report: &T) -> Result<ExitCode> {
    if json {
        ui::line(&serde_json::to_string_pretty(report).expect("reports are JSON"));
    } else {
        ui::line(&report.text());
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The owner that was named, or the key's.
pub(crate) fn whose(owner: Option<Address>, purse: &crate::l1::Purse<'_>) -> Address {
    owner.unwrap_or(purse.address())
}

/// What was checked before anything was done, in a line.
pub(crate) fn checked_text(ethereum: &Ethereum) -> String {
    let checked = &ethereum.checked;
    let key = match (checked.replaced, checked.key_commitment) {
        (Some(verifier), _) => format!(
            "the council has REPLACED the verifier, or its key: {verifier} says what is final, and this program cannot check it"
        ),
        (None, Some(_)) => "code and key of the contracts are those of this program".into(),
        (None, None) => "proofs are NOT verified (--unproven)".into(),
    };
    format!("chain {}, vault {}; {key}", checked.chain_id, ethereum.at.vault)
}
