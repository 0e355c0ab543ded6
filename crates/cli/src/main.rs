//! The `holdfast` command.

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use holdfast_cli::{
    commands::{
        aggregate, audit, compact, demo, devnet, export_verifier, inspect, key, l1, prove, replay, verify, verify_final,
    },
    error::{Error, Result},
    flow::{ACCOUNTS_MAX, KEY_SEED_DEFAULT},
    ui::{self, Ui},
};
use holdfast_crypto::{Digest, field::digest_from_hex};
use holdfast_protocol::{PublicKey, Signature, batch::INSTRUCTIONS_MAX};
use holdfast_prover::SegmentLimits;
use serde::Serialize;

/// The prover allocates and frees gigabytes; the system's allocator gives them back to the kernel every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "holdfast",
    version,
    about = "A derivatives exchange that proves every batch",
    long_about = "Holdfast matches and margins off chain at millions of commands a second, and proves every batch by STARK.\n\
                  This command replays real order flow, proves it, and checks it as an outsider would.",
    after_help = "Start with:\n  holdfast demo\n\n\
                  Then with a capture of your own:\n  \
                  holdfast replay capture.jsonl.gz --out day\n  \
                  holdfast prove day\n  \
                  holdfast verify day\n  \
                  holdfast aggregate day\n  \
                  holdfast verify --final day\n  \
                  holdfast audit day\n  \
                  holdfast inspect day --market 0\n\n\
                  A venue on Ethereum, by its file and an endpoint:\n  \
                  holdfast verify --venue venue.json --l1 https://…\n  \
                  holdfast deposit --venue venue.json --l1 https://… --key wallet.json --amount 100\n  \
                  holdfast watch --venue venue.json --l1 https://…\n\n\
                  Exit status: 0 if all is well, 1 if something failed or was refused, 2 for a wrong call."
)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
    /// Print one JSON object instead of text, and no progress.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Subcommands {
    Demo(DemoArguments),
    Devnet(devnet::Arguments),
    Replay(ReplayArguments),
    Prove(ProveArguments),
    Verify(VerifyArguments),
    Aggregate(AggregateArguments),
    Work(WorkArguments),
    Compact(CompactArguments),
    ExportVerifier(ExportVerifierArguments),
    Audit(AuditArguments),
    Inspect(InspectArguments),
    Key(KeyArguments),
    #[command(flatten)]
    Ethereum(l1::Command),
}

/// Replay, prove, verify and audit a bundled sample of real order flow, then tamper with it
#[derive(Args)]
#[command(
    after_help = "Examples:\n  holdfast demo\n  holdfast demo --out demo     keeps what it makes, to look at with the other commands"
)]
struct DemoArguments {
    /// Keep the results in this directory; it must be new or empty. A temporary one by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only the first so many commands of the sample.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Execute real order flow, signed; write per batch the published data and the state root
#[derive(Args)]
#[command(after_help = "\
Formats, recognised by content, plain or compressed with gzip, xz or zstd:
  Bitstamp live-order logs and tables of orders
  Binance USD-M, COIN-M and spot captures of depth and trades (lines of `<ns> {json}`)
  Databento MBO (.dbn)

Examples:
  holdfast replay bitstamp-btcusd-2015-05-01.log.xz --out day
  holdfast replay capture.jsonl.gz --out first --limit 100000 --batch 4096 --accounts 500

A replay that was interrupted, or ended by a full disk, goes on if it is called again in the same way.")]
struct ReplayArguments {
    /// The file to replay.
    input: PathBuf,
    /// The directory to write; new, empty or from an earlier replay of the same input.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after so many commands.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Commands of a batch.
    #[arg(long, value_name = "N", default_value_t = 1 << 14, value_parser = clap::value_parser!(u32).range(1..=INSTRUCTIONS_MAX as i64))]
    batch: u32,
    /// Trading accounts over which the input's orders are spread.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(ACCOUNTS_MAX)))]
    accounts: u32,
    /// What every account's session key derives from. The default is public: keys made like this are for replays only.
    #[arg(long, value_name = "TEXT", default_value = KEY_SEED_DEFAULT)]
    key_seed: String,
}

/// Prove every batch that is not proven yet; can be interrupted at any time
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast prove day
  holdfast prove day --segment-rows 65536     smaller segments: less memory, more proofs
  holdfast prove day --jobs 4                 four processes beside each other

Run it again after an interruption: what is proven stays proven.")]
struct ProveArguments {
    /// The directory that `holdfast replay` wrote.
    dir: PathBuf,
    #[arg(long, value_name = "N", help = segment_rows_help(), value_parser = clap::value_parser!(u64).range(1..=SegmentLimits::ROWS_MAX as u64))]
    segment_rows: Option<u64>,
    #[arg(long, value_name = "N", help = segment_signatures_help(), value_parser = clap::value_parser!(u64).range(1..=SegmentLimits::SIGNATURES_MAX as u64))]
    segment_signatures: Option<u64>,
    /// Processes that prove beside each other. One uses all cores already; more help where there are many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(prove::JOBS_MAX)))]
    jobs: u32,
    /// The part of another process' work that this one does.
    #[arg(long, hide = true, value_parser = parse_share)]
    share: Option<prove::Share>,
}

/// Check every proof and the chain of roots, from the genesis and the published data alone
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast verify day
  holdfast verify day --genesis-root 3f0c…     trusts this root, not the one of the directory's genesis
  holdfast verify day --json
  holdfast verify --final day                  the last proof alone, and that it is over what was published
  holdfast verify --final last.proof           the last proof alone
  holdfast verify --compact day                the compact proof, with the key beside it
  holdfast verify --compact compact.proof --key compact.key --key-id 9a41…
  holdfast verify --l1 https://… --venue venue.json     a venue on Ethereum: all that a watcher checks, once

Without --genesis-root the genesis of the directory is trusted: compare the root that is printed with one you know.")]
struct VerifyArguments {
    /// The directory that `holdfast prove` completed; with --final, the one that `holdfast aggregate` completed, or a last proof; with --compact likewise.
    #[arg(required_unless_present = "l1")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    ethereum: l1::VenueArguments,
    /// Check the last proof, as Ethereum does, instead of all proofs.
    #[arg(long = "final")]
    last: bool,
    /// Check the compact proof, as Ethereum does, instead of all proofs. (Built with the feature `compact` only.)
    #[arg(long, conflicts_with = "last")]
    compact: bool,
    /// With --compact: the key's file; the one that `holdfast compact` wrote by default.
    #[arg(long, value_name = "FILE", requires = "compact")]
    key: Option<PathBuf>,
    /// With --compact: the key to trust, as SHA-256 of its bytes: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", requires = "compact")]
    key_id: Option<String>,
    /// The genesis root to trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = parse_root)]
    genesis_root: Option<Digest>,
}

/// Make one proof of all batches, for Ethereum, from the proofs of their segments; can be interrupted at any time
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast aggregate day
  holdfast aggregate day --json
  holdfast work day                       in another terminal: helps, if there is memory for two

Writes final/last.proof and final/last.json, and verifies them. Run it again after an interruption: what is proven
stays proven. After more batches are proven, run it again too: what is over the earlier ones is used again.")]
struct AggregateArguments {
    /// The directory that `holdfast prove` completed.
    dir: PathBuf,
    /// Keep the proofs between segments and last proof here; in jobs/ of the directory by default.
    #[arg(long, value_name = "DIR")]
    jobs_dir: Option<PathBuf>,
}

/// Take jobs of `holdfast aggregate` until none is left: any number of processes may, on one directory
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast work day & holdfast work day & holdfast aggregate day
  holdfast work day --jobs-dir /mnt/jobs     on another machine, which has a copy of the directory

A job that another process has claimed is left to it, unless that one is not heard of for half a minute. Each process
takes some gigabytes of memory and all cores.")]
struct WorkArguments {
    /// The directory that `holdfast prove` completed.
    dir: PathBuf,
    /// Where the proofs between segments and last proof are; all workers must name the same. In jobs/ of the directory by default.
    #[arg(long, value_name = "DIR")]
    jobs_dir: Option<PathBuf>,
}

/// Make a compact proof of the last proof's wrap, for cheaper verification: by a trusted setup, and much memory
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast aggregate day
  holdfast compact day --params srs
  holdfast verify --compact day
  holdfast export-verifier --compact day --out verifier

Writes final/compact.proof, final/compact.key and final/compact.json. The parameters are files of a ceremony, named
kzg_bn254_K.srs; they are checked, and never made here. Built with the feature `compact` only.")]
struct CompactArguments {
    /// The directory that `holdfast aggregate` completed.
    dir: PathBuf,
    /// The directory with the files of parameters.
    #[arg(long, value_name = "DIR")]
    params: PathBuf,
    /// Where the proofs between segments and last proof are; in jobs/ of the directory by default.
    #[arg(long, value_name = "DIR")]
    jobs_dir: Option<PathBuf>,
    /// Begin even if there seems to be too little memory.
    #[arg(long)]
    ignore_memory: bool,
}

/// Write what is deployed to Ethereum: the verifier of last proofs, and its key as data contracts
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast export-verifier --out verifier
  holdfast export-verifier --out verifier --json
  holdfast export-verifier --compact day --out verifier     the source of the compact proof's verifier instead

Deploy the creation code of every piece-N.hex, then that of FinalVerifier.json with their addresses and the commitment
of verifier.json. All of it follows from the source: contracts/ compiles to the verifier, byte for byte.")]
struct ExportVerifierArguments {
    /// The directory to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write the verifier of compact proofs instead: for this key, or the one in this directory. (Built with the feature `compact` only.)
    #[arg(long, value_name = "DIR|FILE")]
    compact: Option<PathBuf>,
}

/// Execute the published data again; compare every outcome and every root, check every signature
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast audit day\n  holdfast audit day --json")]
struct AuditArguments {
    /// The directory that `holdfast replay` wrote.
    dir: PathBuf,
}

/// Show balances, positions, the book, or what is in a batch
#[derive(Args)]
#[command(group = ArgGroup::new("what").args(["account", "market", "batch"]))]
#[command(after_help = "\
Examples:
  holdfast inspect day                  markets and largest accounts
  holdfast inspect day --account 7      balance, positions, open orders
  holdfast inspect day --market 0       terms and depth of the book
  holdfast inspect day --batch 3        commands by kind, rejects by code")]
struct InspectArguments {
    /// The directory that `holdfast replay` wrote.
    dir: PathBuf,
    #[arg(long, value_name = "N")]
    account: Option<u32>,
    #[arg(long, value_name = "N")]
    market: Option<u32>,
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
}

/// Make session keys, and sign with them
#[derive(Args)]
#[command(after_help = "\
Examples:
  holdfast key new --out session-key.json
  holdfast key show session-key.json
  holdfast key sign session-key.json 9f0c…
  holdfast key verify e17d… 9f0c… bbe9…

A key file is Ethereum's Web3 Secret Storage, version 3: the seed of the key, encrypted under a passphrase.
The passphrase is asked for, unless a file or the environment gives it.")]
struct KeyArguments {
    #[command(subcommand)]
    what: KeySubcommands,
    /// Take the passphrase from this file, without the end of its line.
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum KeySubcommands {
    /// Make a key of the operating system's randomness, and write it, encrypted, to a new file
    #[command(after_help = KEY_HELP)]
    New {
        /// The file to write. One that is there is never written over.
        #[arg(long, value_name = "FILE", default_value = "session-key.json")]
        out: PathBuf,
    },
    /// Print the public key of a key file
    #[command(after_help = KEY_HELP)]
    Show { file: PathBuf },
    /// Sign the head of a session: print the signature
    ///
    /// The head stands for everything that the session has asked for. Sign none that you, or a program that you trust, have not computed from your own commands.
    #[command(after_help = KEY_HELP)]
    Sign {
        file: PathBuf,
        /// 64 hexadecimal digits.
        #[arg(value_parser = parse_root)]
        head: Digest,
    },
    /// Check a signature of the head of a session: exit status 0 if it is valid, 1 if not
    Verify {
        /// 56 hexadecimal digits.
        #[arg(value_parser = parse_public_key)]
        public_key: PublicKey,
        /// 64 hexadecimal digits.
        #[arg(value_parser = parse_root)]
        head: Digest,
        /// 112 hexadecimal digits.
        #[arg(value_parser = parse_signature)]
        signature: Signature,
    },
}

const KEY_HELP: &str = "\
The passphrase is taken from --passphrase-file, or else from HOLDFAST_PASSPHRASE in the environment, or else asked for.
The variable is for automation: other programs of the same user may see it.";

fn segment_rows_help() -> String {
    let (default, max) = (SegmentLimits::default().rows, SegmentLimits::ROWS_MAX);
    format!("Steps after which a segment ends: 1 to {max}, {default} by default. All proofs of a directory share it")
}

fn segment_signatures_help() -> String {
    let (default, max) = (SegmentLimits::default().signatures, SegmentLimits::SIGNATURES_MAX);
    format!(
        "Signatures after which a segment ends: 1 to {max}, {default} by default. All proofs of a directory share it"
    )
}

fn parse_share(text: &str) -> std::result::Result<prove::Share, String> {
    let share = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
    match share {
        Some((index, of)) if index < of => Ok(prove::Share { index, of }),
        _ => Err(format!("expected I/N with I below N, got {text}")),
    }
}

fn parse_public_key(text: &str) -> std::result::Result<PublicKey, String> {
    PublicKey::from_hex(text).map_err(|error| error.to_string())
}

fn parse_signature(text: &str) -> std::result::Result<Signature, String> {
    Signature::from_hex(text).map_err(|error| error.to_string())
}

fn parse_root(text: &str) -> std::result::Result<Digest, String> {
    digest_from_hex(text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let Arguments { command, json } = Arguments::parse();
    ui::set_colours();
    // A process that works for another is interrupted together with it, and leaves it to that one to say so.
    let serves = matches!(&command, Subcommands::Prove(arguments) if arguments.share.is_some());
    // Nothing is lost by ending a question for a passphrase, or the work with it, at once.
    if !matches!(&command, Subcommands::Key(_)) {
        ui::catch_interrupts(!serves);
    }
    let error = match run(command, json) {
        Ok(status) => return status,
        Err(error) => error,
    };
    if serves && matches!(error, Error::Interrupted { .. }) {
        return ExitCode::FAILURE;
    }
    let advice = error.advice();
    if json {
        let (ok, message) = (false, error.to_string());
        print_json(&serde_json::json!({ "ok": ok, "error": message, "advice": advice }));
    }
    eprintln!("{} {error}", ui::bad_on_stderr("error:"));
    if let Some(advice) = advice {
        eprintln!("  {advice}");
    }
    ExitCode::FAILURE
}

fn run(command: Subcommands, json: bool) -> Result<ExitCode> {
    let ui = Ui { progress: !json };
    match command {
        Subcommands::Demo(DemoArguments { out, limit }) => {
            let report = demo::run(&demo::Options { out, limit, talk: !json }, ui)?;
            if json {
                print_json(&report);
            }
        }
        Subcommands::Devnet(arguments) => return devnet::command(arguments, json, ui),
        Subcommands::Replay(ReplayArguments { input, out, limit, batch, accounts, key_seed }) => {
            let source = replay::Source::File(input);
            let options = replay::Options { source, out, limit, batch_commands: batch as usize, accounts, key_seed };
            let report = replay::run(&options, ui)?;
            show(json, &report, || format!("{}  next: holdfast prove {}", report.text(), options.out.display()));
        }
        Subcommands::Prove(ProveArguments { dir, segment_rows, segment_signatures, jobs, share }) => {
            let options = prove::Options { dir, segment_rows, segment_signatures, jobs, share };
            let report = prove::run(&options, ui)?;
            if share.is_none() {
                show(json, &report, || format!("{}  next: holdfast verify {}", report.text(), options.dir.display()));
            }
        }
        Subcommands::Verify(VerifyArguments { dir: Some(_), ethereum, .. }) if ethereum.is_given() => {
            let reason =
                "--unproven, --second, --beacon, --state and --confirmations are for venues on Ethereum: give --l1 URL";
            Arguments::command().error(ErrorKind::ArgumentConflict, reason).exit()
        }
        Subcommands::Verify(VerifyArguments { dir: None, ethereum, .. }) => return l1::verify(ethereum, json, ui),
        Subcommands::Verify(VerifyArguments { dir: Some(dir), compact: true, key, key_id, genesis_root, .. }) => {
            let options = compact::VerifyOptions { path: dir, key, key_id, genesis_root };
            let report = compact::verify(&options, ui)?;
            show(json, &report, || report.text());
        }
        Subcommands::Verify(VerifyArguments { dir: Some(dir), last: true, genesis_root, .. }) => {
            let report = verify_final::run(&verify_final::Options { path: dir, genesis_root }, ui)?;
            show(json, &report, || report.text());
        }
        Subcommands::Verify(VerifyArguments { dir: Some(dir), last: false, genesis_root, .. }) => {
            let report = verify::run(&verify::Options { dir, genesis_root }, ui)?;
            show(json, &report, || report.text());
        }
        Subcommands::Aggregate(AggregateArguments { dir, jobs_dir }) => {
            let options = aggregate::Options { dir, jobs_dir };
            let report = aggregate::run(&options, ui)?;
            let next = || format!("{}  next: holdfast verify --final {}", report.text(), options.dir.display());
            show(json, &report, next);
        }
        Subcommands::Work(WorkArguments { dir, jobs_dir }) => {
            let report = aggregate::work(&aggregate::Options { dir, jobs_dir }, ui)?;
            show(json, &report, || report.text());
        }
        Subcommands::Compact(CompactArguments { dir, params, jobs_dir, ignore_memory }) => {
            let options = compact::Options { dir, params, jobs_dir, ignore_memory };
            let report = compact::run(&options, ui)?;
            let next = || format!("{}  next: holdfast verify --compact {}", report.text(), options.dir.display());
            show(json, &report, next);
        }
        Subcommands::ExportVerifier(ExportVerifierArguments { out, compact: Some(key) }) => {
            let report = compact::export(&compact::ExportOptions { key, out })?;
            show(json, &report, || report.text());
        }
        Subcommands::ExportVerifier(ExportVerifierArguments { out, compact: None }) => {
            let report = export_verifier::run(&export_verifier::Options { out })?;
            show(json, &report, || report.text());
        }
        Subcommands::Audit(AuditArguments { dir }) => {
            let report = audit::run(&audit::Options { dir }, ui)?;
            show(json, &report, || report.text());
        }
        Subcommands::Inspect(InspectArguments { dir, account, market, batch }) => {
            let what = match (account, market, batch) {
                (Some(id), _, _) => inspect::What::Account(id),
                (_, Some(id), _) => inspect::What::Market(id),
                (_, _, Some(number)) => inspect::What::Batch(number),
                (None, None, None) => inspect::What::Overview,
            };
            let options = inspect::Options { dir, what };
            let report = inspect::run(&options, ui)?;
            show(json, &report, || report.text(&options.dir));
        }
        Subcommands::Key(KeyArguments { what, passphrase_file }) => {
            let what = match what {
                KeySubcommands::New { out } => key::What::New { out },
                KeySubcommands::Show { file } => key::What::Show { file },
                KeySubcommands::Sign { file, head } => key::What::Sign { file, head },
                KeySubcommands::Verify { public_key, head, signature } => {
                    key::What::Verify { public_key, head, signature }
                }
            };
            let report = key::run(&key::Options { what, passphrase_file })?;
            show(json, &report, || report.text());
        }
        Subcommands::Ethereum(command) => return l1::run(command, json, ui),
    }
    Ok(ExitCode::SUCCESS)
}

fn show<T: Serialize>(json: bool, report: &T, text: impl FnOnce() -> String) {
    if json { print_json(report) } else { ui::line(&text()) }
}

fn print_json<T: Serialize>(report: &T) {
    ui::line(&serde_json::to_string_pretty(report).expect("reports are JSON"));
}
