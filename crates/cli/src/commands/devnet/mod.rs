//! `holdfast devnet`: a venue on Ethereum with all that belongs to it, on real order flow and with real proofs.
//!
//! An Ethereum (in this process, or one that is given), the contracts, traders whose money and keys come from Ethereum, the operator (`holdfast_operator`) with its prover, and a
//! watcher that believes none of them.

mod market;
mod stage;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, U256};
use clap::{Args, ValueEnum};
use holdfast_operator::{Operator, Parts, Prover, Status};
use holdfast_protocol::{Amount, batch::INSTRUCTIONS_MAX};
use holdfast_prover::{SegmentLimits, jobs::memory_peak_bytes};
use holdfast_settlement::{
    Client, Follower,
    blobs::{Beacon, Blobs, FromTransactions},
    embedded::http::Server,
    follower::Cursor,
    poster::Carrier,
};
use holdfast_watcher::{Proofs, Report as Watched, check};
use serde::Serialize;

use self::{
    market::Market,
    stage::{Stage, VENUE},
    view::{DRAW, Gas, Row, Told},
};
use super::replay::{SAMPLE, SAMPLE_NAME};
use crate::{
    error::{Error, Result, unexpected},
    flow::{ACCOUNTS_MAX, Flow},
    l1::{self, Ethereum, Signing, Sources},
    ui::{self, Ui, bytes, count, facts, grouped, interrupted, seconds},
};

/// How long the loop rests: where blocks are made at once, and elsewhere.
const REST_QUICK: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_secs(1);
/// Blocks that must follow one on a chain that is not one's own.
const CONFIRMATIONS: u64 = 2;
/// Traders, unless it is said otherwise; on another chain each of them costs its owner ether and time.
const ACCOUNTS: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Data {
    /// Whatever costs less.
    Auto,
    Calldata,
    Blobs,
}

/// Run a whole venue on Ethereum: contracts, traders, operator, prover and watcher, on real order flow
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  holdfast devnet                                    the bundled sample; ends with Ctrl-C
  holdfast devnet --batches 4 --json                 ends when 4 batches are final; one JSON object a line
  holdfast devnet capture.jsonl.gz --data blobs
  holdfast devnet --out net --l1 http://127.0.0.1:8546 --key operator.key

Every proof is real: finality takes some minutes, and some 6 GB of memory. While it runs, other commands reach the
embedded chain, and act as users and strangers do:
  holdfast watch --venue net/venue.json --l1 http://127.0.0.1:8545 --once
  holdfast deposit --venue net/venue.json --l1 http://127.0.0.1:8545 --key net/user.key --amount 100
  holdfast withdraw --venue net/venue.json --l1 http://127.0.0.1:8545 --key net/user.key --amount 40

With --l1, the key needs ether for the contracts and for the traders, who are given some; it is told how much if it is
too little. Without --token, a test token is deployed, of which anybody may have any amount. Stopped at any time and
called again in the same way, it goes on. Without --l1, the chain ends with the process, and its venue with it.

Exit status: 0 if all is well, 1 if something failed or the watcher has an alarm, 2 for a wrong call.")]
pub struct Arguments {
    /// The file whose order flow is traded (see `holdfast replay --help`); a bundled sample by default.
    input: Option<PathBuf>,
    /// Keep everything in this directory, venue.json among it; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Trading accounts over which the input's orders are spread.
    #[arg(long, value_name = "N", default_value_t = ACCOUNTS, value_parser = clap::value_parser!(u32).range(1..=i64::from(ACCOUNTS_MAX)))]
    accounts: u32,
    /// Commands of a batch.
    #[arg(long, value_name = "N", default_value_t = 2_048, value_parser = clap::value_parser!(u32).range(1..=INSTRUCTIONS_MAX as i64))]
    batch: u32,
    /// Seconds after which a batch is closed that has fewer.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    batch_seconds: u64,
    /// End when so many batches are final, or all of the input is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batches: Option<u64>,
    /// Only the first so many commands of the input.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What carries the batches' data.
    #[arg(long, value_enum, default_value_t = Data::Auto)]
    data: Data,
    /// What every trader deposits, in the token.
    #[arg(long, value_name = "AMOUNT", default_value = "10000000")]
    deposit: String,
    /// Serve the embedded chain on this port of this machine.
    #[arg(long, value_name = "N", default_value_t = 8_545, conflicts_with_all = ["no_serve", "url"])]
    port: u16,
    /// Do not serve the embedded chain.
    #[arg(long, conflicts_with = "url")]
    no_serve: bool,
    /// Use this Ethereum instead of an embedded one: http://… or https://…
    #[arg(long = "l1", value_name = "URL")]
    url: Option<String>,
    /// With --l1: a Web3 keystore, or a private key in 64 hexadecimal digits; else HOLDFAST_PRIVATE_KEY has one.
    #[arg(long, value_name = "FILE", requires = "url")]
    key: Option<PathBuf>,
    /// With --l1: take the keystore's passphrase from this file, without the end of its line.
    #[arg(long, value_name = "FILE", requires = "url")]
    passphrase_file: Option<PathBuf>,
    /// With --l1: the collateral token, instead of a test token.
    #[arg(long, value_name = "ADDRESS", requires = "url")]
    token: Option<Address>,
    /// With --l1: a consensus client, for blobs.
    #[arg(long, value_name = "URL", requires = "url")]
    beacon: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub input: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub accounts: u32,
    pub batch_commands: usize,
    pub batch_seconds: u64,
    pub batches: Option<u64>,
    pub limit: Option<u64>,
    pub data: Data,
    pub deposit: String,
    /// Where the embedded chain is served.
    pub port: Option<u16>,
    pub url: Option<String>,
    pub signing: Signing,
    pub token: Option<Address>,
    pub beacon: Option<String>,
    /// One JSON object for each event.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input: None,
            out: None,
            accounts: ACCOUNTS,
            batch_commands: 2_048,
            batch_seconds: 60,
            batches: None,
            limit: None,
            data: Data::Auto,
            deposit: "10000000".into(),
            port: None,
            url: None,
            signing: Signing::default(),
            token: None,
            beacon: None,
            json: false,
        }
    }
}

impl From<(Arguments, bool)> for Options {
    fn from((arguments, json): (Arguments, bool)) -> Self {
        let Arguments {
            input,
            out,
            accounts,
            batch,
            batch_seconds,
            batches,
            limit,
            data,
            deposit,
            port,
            no_serve,
            url,
            key,
            passphrase_file,
            token,
            beacon,
        } = arguments;
        Self {
            input,
            out,
            accounts,
            batch_commands: batch as usize,
            batch_seconds,
            batches,
            limit,
            data,
            deposit,
            port: (!no_serve && url.is_none()).then_some(port),
            url,
            signing: Signing { key, passphrase_file, dry_run: false },
            token,
            beacon,
            json,
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub event: &'static str,
    pub ok: bool,
    /// All in all, and until the traders were ready.
    pub seconds: f64,
    pub setup_seconds: f64,
    pub batches: u64,
    pub batches_final: u64,
    /// Commands of final batches.
    pub commands: u64,
    /// From the end of a batch's execution to its finality.
    pub to_final_seconds_first: f64,
    pub to_final_seconds_most: f64,
    /// Of commit and finality, for each command of the final batches.
    pub gas_per_command: f64,
    pub bytes_per_command: f64,
    pub gas: BTreeMap<&'static str, Gas>,
    pub rows: Vec<Row>,
    pub deposited: String,
    pub paid: String,
    pub claimed: String,
    pub peak_memory_bytes: u64,
    pub venue: PathBuf,
    pub status: Status,
    pub watcher: Watched,
    #[serde(skip)]
    units: Vec<(&'static str, String)>,
}

impl Report {
    pub fn text(&self) -> String {
        let mut rows = vec![
            ("final", format!("{} of {}", grouped(self.batches_final), count(self.batches, "batch"))),
            ("commands", grouped(self.commands)),
            (
                "to final",
                format!(
                    "{} for the first batch, {} at most; {} with the setup of contracts and traders",
                    seconds(self.to_final_seconds_first),
                    seconds(self.to_final_seconds_most),
                    seconds(self.seconds)
                ),
            ),
            ("cost", format!("{:.0} gas and {:.1} bytes a command", self.gas_per_command, self.bytes_per_command)),
        ];
        for (kind, Gas { transactions, gas, .. }) in &self.gas {
            let each = gas / (*transactions).max(1);
            rows.push(("gas", format!("{kind}: {} of {}", count(*transactions, "transaction"), grouped(each))));
        }
        rows.extend(self.units.iter().cloned());
        rows.push(("memory", format!("{} at most", bytes(self.peak_memory_bytes))));
        let alarms = match self.watcher.alarms.len() {
            0 => "none: every proof verified, every batch executed again, the vault compared".into(),
            _ => self.watcher.alarms.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        rows.push(("alarms", alarms));
        facts(&rows)
    }
}

/// Runs the command: what it shows, and its exit status.
pub fn command(arguments: Arguments, json: bool, ui: Ui) -> Result<ExitCode> {
    let options = Options::from((arguments, json));
    let report = run(&options, ui)?;
    if json {
        ui::line(&serde_json::to_string(&report).expect("reports are JSON"));
    } else {
        ui::line(&report.text());
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a devnet until its end, or until Ctrl-C.
///
/// # Errors
///
/// If something cannot go on. An alarm of the watcher is no error, but in the report.
pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    l1::block_on(run_async(options, ui))
}

async fn run_async(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let mut told = Told::new(options.json, ui, started);
    let temporary = tempfile::Builder::new().prefix("holdfast-devnet-").tempdir();
    let temporary = temporary.map_err(|error| Error::file("make a directory in", &std::env::temp_dir(), error))?;
    let out = options.out.clone().unwrap_or_else(|| temporary.path().join("devnet"));
    let (flow, input) = open_flow(options)?;
    let address = options.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // A port that is taken is said before there is anything.
    if let Some(address) = address {
        TcpListener::bind(address).map_err(|source| holdfast_settlement::Error::Listen { address, source })?;
    }
    let mut stage = Stage::open(options, &out, &input, &flow, &mut told).await?;
    told.set_decimals(stage.venue.genesis.quote_decimals);
    let server = match (&stage.chain, address) {
        (Some(chain), Some(address)) => Some(Server::start(chain.clone(), address)?),
        _ => None,
    };
    told.note(format!("venue: {}", out.join(VENUE).display()));
    if let Some(server) = &server {
        told.note(format!("the chain is at {}", server.url()));
    }
    stage.gather(options, &mut told).await?;
    let setup_seconds = told.seconds();
    let done = drive(options, &stage, flow, &mut told).await;
    told.end();
    if let Some(server) = server {
        server.stop();
    }
    let (status, watched) = done?;
    Ok(report(&stage, &told, setup_seconds, out.join(VENUE), status, watched))
}

fn open_flow(options: &Options) -> Result<(Flow, String)> {
    let (flow, name) = match &options.input {
        None => (Flow::from_bytes(SAMPLE), SAMPLE_NAME.to_owned()),
        Some(path) => (Flow::open(path), path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
    };
    let flow = flow.map_err(|source| Error::Flow {
        source,
        advice: "see `holdfast replay --help` for the formats that are read".into(),
    })?;
    Ok((flow, name))
}

async fn keeper(options: &Options, stage: &Stage) -> Result<Arc<dyn Blobs>> {
    Ok(match &options.beacon {
        None => Arc::new(FromTransactions(stage.provider.clone())),
        Some(url) => Arc::new(Beacon::discover(url, stage.is_quick()).await?),
    })
}

/// The operator, the watcher, and those who claim.
async fn drive(options: &Options, stage: &Stage, flow: Flow, told: &mut Told) -> Result<(Status, Watched)> {
    let confirmations = if stage.is_quick() { 0 } else { CONFIRMATIONS };
    let genesis = &stage.venue.genesis;
    let proofs: fn() -> Proofs = Proofs::bundled;
    let checked = check(&stage.venue, &stage.provider, &proofs()).await?;
    let (at, provider) = (stage.venue.deployment(), stage.provider.clone());
    let ethereum = Ethereum { venue: stage.venue.clone(), at: at.clone(), provider, checked, proofs, ui: Ui::QUIET };
    let sources = Sources { beacon: options.beacon.clone(), confirmations, ..Sources::default() };
    let mut watcher = ethereum.watcher(&sources).await?;

    let withdraws = Amount::new(stage.withdrawal()).map_err(|error| unexpected("--deposit", "an amount", error))?;
    let (seed, accounts) = (&stage.setup.seed, stage.setup.accounts);
    let market = Market::new(flow, genesis, seed, accounts, stage.scale, options.limit, withdraws)?;
    let follower = Follower::new(stage.provider.clone(), keeper(options, stage).await?, Cursor::new(at))
        .with_confirmations(confirmations);
    let carrier = match options.data {
        Data::Auto => Carrier::Cheapest,
        Data::Calldata => Carrier::Calldata,
        Data::Blobs => Carrier::Blobs,
    };
    let settings = holdfast_operator::Options {
        batch_commands: options.batch_commands,
        batch_age: Duration::from_secs(options.batch_seconds),
        carrier,
        ..holdfast_operator::Options::default()
    };
    let prover = Prover::open(&stage.out.join("jobs"), SegmentLimits::default())?;
    let parts = Parts {
        client: stage.operator.clone(),
        secret: stage::operator_secret(&stage.setup),
        follower,
        orders: Box::new(market),
        prove: Box::new(prover),
    };
    let mut operator = Operator::open(&stage.out, genesis, parts, settings).await?;
    let withdrawers = stage.withdrawers().await?;
    let (mut watched, mut alarms, mut drawn) = (watcher.look().await?, 0, Instant::now());
    loop {
        stage.tick();
        let events = match operator.step().await {
            Ok(events) => {
                told.untroubled();
                events
            }
            Err(error) if error.is_passing() => {
                told.trouble(&error.to_string());
                operator.told()
            }
            Err(error) => {
                operator.told().iter().for_each(|event| told.take(event));
                return Err(error.into());
            }
        };
        events.iter().for_each(|event| told.take(event));
        match watcher.look().await {
            Ok(report) => watched = report,
            Err(error) => told.trouble(&error.to_string()),
        }
        for alarm in watched.alarms.iter().skip(alarms) {
            told.alarm(alarm);
        }
        alarms = watched.alarms.len();
        let status = operator.status();
        if watched.claimable != "0" {
            claim(&withdrawers, told).await?;
        }
        if drawn.elapsed() >= DRAW {
            told.view(&status, Some(&watched), operator.now());
            drawn = Instant::now();
        }
        let enough = options.batches.is_some_and(|batches| status.finished >= batches || status.is_idle());
        // What is final is paid, and what is paid is claimed.
        let clear = status.paid == status.payouts && watched.claimable == "0" && watched.payouts == "0";
        if (enough && clear && watched.batch_final == status.finished) || interrupted() {
            told.view(&status, Some(&watched), operator.now());
            operator.end();
            return Ok((status, watched));
        }
        tokio::time::sleep(if stage.is_quick() { REST_QUICK } else { REST }).await;
    }
}

async fn claim(withdrawers: &[Client], told: &mut Told) -> Result<()> {
    for client in withdrawers {
        let owner = client.wallet.address;
        let amount = client.claimable(owner).await?;
        if amount > U256::ZERO {
            let receipt = client.claim(owner).await?;
            told.claimed(&owner.to_string(), u128::try_from(amount).unwrap_or(u128::MAX), receipt.gas_used);
        }
    }
    Ok(())
}

fn report(stage: &Stage, told: &Told, setup_seconds: f64, venue: PathBuf, status: Status, watcher: Watched) -> Report {
    let rows: Vec<Row> = told.rows.values().cloned().collect();
    // Those of which this process has seen all.
    let finished: Vec<&Row> = rows.iter().filter(|row| row.finished.is_some() && row.commands > 0).collect();
    let sum = |of: fn(&Row) -> u64| finished.iter().map(|row| of(row)).sum::<u64>() as f64;
    let commands = sum(|row| row.commands).max(1.0);
    // Without one of them, what finality took is nobody's here.
    let seen = told.gas.get("finality").copied().unwrap_or_default();
    let finality = if finished.is_empty() { Gas::default() } else { seen };
    let times: Vec<f64> = finished.iter().filter_map(|row| row.to_final()).collect();
    let deposited = stage.deposit * u128::from(stage.setup.accounts);
    let shown = |units: u128| told.units(&units.to_string());
    let units = vec![
        ("deposited", format!("{} by {}", shown(deposited), count(stage.setup.accounts.into(), "trader"))),
        ("paid", format!("{}, of which {} claimed", shown(told.paid), shown(told.claimed))),
        ("vault", told.vault(&watcher)),
    ];
    Report {
        event: "summary",
        ok: watcher.alarms.is_empty(),
        seconds: told.seconds(),
        setup_seconds,
        batches: status.batches,
        batches_final: status.finished,
        commands: watcher.commands,
        to_final_seconds_first: times.first().copied().unwrap_or_default(),
        to_final_seconds_most: times.iter().copied().fold(0.0, f64::max),
        gas_per_command: (sum(|row| row.commit_gas.unwrap_or(0)) + finality.gas as f64) / commands,
        bytes_per_command: sum(|row| row.bytes) / commands,
        gas: told.gas.clone(),
        rows,
        deposited: deposited.to_string(),
        paid: told.paid.to_string(),
        claimed: told.claimed.to_string(),
        peak_memory_bytes: memory_peak_bytes(),
        venue,
        status,
        watcher,
        units,
    }
}
