//! What the commands on Ethereum share: a venue that was checked first, an endpoint, a key, and transactions whose cost is said.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256, hex},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use holdfast_settlement::{
    Follower, Venue,
    blobs::{Beacon, Blobs, FromTransactions, Kept},
    client::{DynProvider, Quote, Wallet, ask, endpoint, request},
    contracts::{Deployment, IAccounts, IInbox, small},
    follower::Cursor,
};
use holdfast_watcher::{Checked, Proofs, Report, Watcher, check, check_to_leave};
use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use crate::{
    commands::key,
    error::{Error, Result, unexpected},
    flow::decimal,
    keystore,
    ui::{self, Ui, facts, grouped},
};

/// Where the private key is taken from if no file is named: for automation.
pub const KEY_VARIABLE: &str = "HOLDFAST_PRIVATE_KEY";
/// Chains on which a venue may have a stand-in for the verifier: those of development nodes.
pub const DEVELOPMENT_CHAINS: [u64; 2] = [1_337, 31_337];
/// How often it is looked whether Ctrl-C was pressed.
const INTERRUPT_POLL: Duration = Duration::from_millis(100);
const ETHER_DECIMALS: u32 = 18;
/// Amounts are below this (`docs/SETTLEMENT.md`).
const AMOUNT_END: u128 = 1 << 80;

/// Where a venue is, and how it is reached.
#[derive(Debug, Clone)]
pub struct Access {
    pub venue: PathBuf,
    pub url: String,
    /// The venue is one of development, whose verifier believes everything: proofs are not verified.
    pub unproven: bool,
}

/// Whose transactions are sent.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    /// A Web3 keystore, or a private key in hexadecimal digits; else the variable has the latter.
    pub key: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    /// Say what would be sent, and what it would cost.
    pub dry_run: bool,
}

/// Who is asked besides the endpoint, and what is kept.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Another endpoint, which must have the same blocks and events.
    pub second: Option<String>,
    /// A consensus client, for blobs.
    pub beacon: Option<String>,
    /// A directory that keeps what does not stay on Ethereum for ever.
    pub state: Option<PathBuf>,
    /// Blocks that must come after one before it is looked at.
    pub confirmations: u64,
}

/// Runs what waits for Ethereum.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| unexpected("this machine", "threads to wait with", error))?.block_on(work)
}

/// A venue that is in order, by its file, the chain and the source.
pub struct Ethereum {
    pub venue: Venue,
    pub at: Deployment,
    pub provider: DynProvider,
    pub checked: Checked,
    pub proofs: fn() -> Proofs,
    pub ui: Ui,
}

impl Ethereum {
    /// Reads the venue's file and compares it with the chain.
    ///
    /// # Errors
    ///
    /// If anything is not as it must be: then nothing may be sent.
    pub async fn open(access: &Access, ui: Ui) -> Result<Self> {
        Self::open_with(access, ui, false).await
    }

    /// As [`Ethereum::open`], for those who put no money in: a verifier that the council has replaced keeps nobody from watching, and from leaving.
    ///
    /// # Errors
    ///
    /// If anything else is not as it must be.
    pub async fn open_to_leave(access: &Access, ui: Ui) -> Result<Self> {
        Self::open_with(access, ui, true).await
    }

    async fn open_with(access: &Access, ui: Ui, leaving: bool) -> Result<Self> {
        let venue = Venue::load(&access.venue)?;
        if access.unproven && !DEVELOPMENT_CHAINS.contains(&venue.chain_id) {
            let expected = format!("a venue on a development chain ({DEVELOPMENT_CHAINS:?})");
            let error = unexpected("--unproven", expected, format!("chain {}", venue.chain_id));
            return Err(error.advise("leave it out: where there is money, proofs are verified"));
        }
        let proofs: fn() -> Proofs = if access.unproven { || Proofs::Unverified } else { Proofs::bundled };
        let provider = endpoint(&access.url).await?;
        let bar = ui.bar("check", "contracts", None);
        let checked = if leaving {
            check_to_leave(&venue, &provider, &proofs()).await?
        } else {
            check(&venue, &provider, &proofs()).await?
        };
        bar.finish_and_clear();
        Ok(Self { at: venue.deployment(), venue, provider, checked, proofs, ui })
    }

    /// An amount of the collateral token, as people write it, in quote units.
    pub fn amount(&self, text: &str) -> Result<U256> {
        let decimals = self.venue.genesis.quote_decimals;
        parse_units("--amount", text, decimals, AMOUNT_END - 1).map(U256::from)
    }

    /// Quote units as people read them.
    pub fn shown(&self, units: impl Into<U256>) -> String {
        ui::shown(&units_text(units.into(), self.venue.genesis.quote_decimals))
    }

    /// Quote units, exact.
    pub fn exact(&self, units: impl Into<U256>) -> String {
        units_text(units.into(), self.venue.genesis.quote_decimals)
    }

    pub async fn ask<C: SolCall>(&self, what: &'static str, to: Address, call: &C) -> Result<C::Return> {
        Ok(ask(&self.provider, what, to, call, None).await?)
    }

    /// The account of an owner, if it has one.
    pub async fn account_of(&self, owner: Address) -> Result<Option<u64>> {
        let what = "an account";
        if !self.ask(what, self.at.inbox, &IAccounts::hasAccountCall { owner }).await? {
            return Ok(None);
        }
        Ok(Some(small(what, self.ask(what, self.at.inbox, &IInbox::accountOfCall { owner }).await?)?))
    }

    pub async fn owner_of(&self, account: u64) -> Result<Option<Address>> {
        let call = IInbox::ownerOfCall { account: U256::from(account) };
        let owner = self.ask("an account's owner", self.at.inbox, &call).await?;
        Ok((owner != Address::ZERO).then_some(owner))
    }

    /// A watcher at the deployment's block.
    ///
    /// # Errors
    ///
    /// If a source is not one.
    pub async fn watcher(&self, sources: &Sources) -> Result<Watcher> {
        let keeper: Arc<dyn Blobs> = match &sources.beacon {
            None => Arc::new(FromTransactions(self.provider.clone())),
            Some(url) => Arc::new(Beacon::discover(url, DEVELOPMENT_CHAINS.contains(&self.at.chain)).await?),
        };
        let keeper: Arc<dyn Blobs> = match &sources.state {
            None => keeper,
            Some(folder) => Arc::new(Kept::new(&folder.join("blobs"), keeper)?),
        };
        let mut follower = Follower::new(self.provider.clone(), keeper, Cursor::new(self.at.clone()))
            .with_confirmations(sources.confirmations);
        if let Some(url) = &sources.second {
            follower = follower.with_second(endpoint(url).await?);
        }
        Ok(Watcher::new(self.venue.genesis.clone(), self.proofs, follower)?)
    }

    /// Looks once, with progress.
    ///
    /// # Errors
    ///
    /// If an endpoint does not answer, or Ctrl-C is pressed.
    pub async fn look(&self, watcher: &mut Watcher) -> Result<Report> {
        let bar = self.ui.bar("follow", "blocks", Some(1));
        let report = uninterrupted("nothing is lost: run it again", async {
            let looked = watcher.look_with(|catching| {
                let first = self.at.block;
                bar.set_length(catching.head.saturating_sub(first) + 1);
                bar.set_position(catching.block.saturating_sub(first) + 1);
                bar.set_message(format!("batch {} is final", catching.batch_final));
            });
            Ok(looked.await?)
        });
        let report = report.await;
        bar.finish_and_clear();
        report
    }

    /// The state rebuilt from Ethereum, up to now.
    ///
    /// # Errors
    ///
    /// As [`Ethereum::look`]; and if what was rebuilt is not the final state, so that nothing can be opened in it.
    pub async fn rebuilt(&self, sources: &Sources) -> Result<(Watcher, Report)> {
        let mut watcher = self.watcher(sources).await?;
        let report = self.look(&mut watcher).await?;
        let call = holdfast_settlement::contracts::IRollup::rootCall {};
        let root = ask(&self.provider, "the final root", self.at.rollup, &call, Some(report.block)).await?;
        if report.root != root.to_string() {
            let why = report.alarms.first().map(ToString::to_string).unwrap_or_default();
            let error = unexpected("the state rebuilt from Ethereum", format!("root {root}"), report.root.clone());
            return Err(error.advise(format!("look closer with `holdfast watch --once`. {why}")));
        }
        Ok((watcher, report))
    }

    pub async fn purse(&self, signing: &Signing) -> Result<Purse<'_>> {
        let wallet = Wallet::new(self.provider.clone(), signer(signing)?).await?;
        Ok(Purse { ethereum: self, wallet, dry_run: signing.dry_run, transactions: Vec::new() })
    }
}

/// Waits for something, or for Ctrl-C.
pub async fn uninterrupted<T>(advice: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let stop = async {
        while !ui::interrupted() {
            tokio::time::sleep(INTERRUPT_POLL).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = stop => Err(Error::Interrupted { advice: advice.into() }),
    }
}

/// A transaction: sent, or (by `--dry-run`) only priced.
#[derive(Debug, Clone, Serialize)]
pub struct Transaction {
    pub what: &'static str,
    /// Nothing if it was not sent.
    pub hash: Option<B256>,
    pub block: Option<u64>,
    /// Gas that it took, or would take at most; nothing if that cannot be told before the one before it is mined.
    pub gas: Option<u64>,
    /// Wei for that gas (at most, if it was not sent).
    #[serde(serialize_with = "optional_text")]
    pub fee_wei: Option<U256>,
    /// Wei sent along: the inbox's fee.
    #[serde(serialize_with = "text")]
    pub value_wei: U256,
}

pub fn text<T: ToString, S: Serializer>(value: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

pub fn optional_text<T: ToString, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&value.to_string()),
        None => serializer.serialize_none(),
    }
}

impl Transaction {
    fn shown(&self) -> String {
        let along = if self.value_wei.is_zero() {
            String::new()
        } else {
            format!(", and {} sent along", ether(self.value_wei))
        };
        let cost = match (self.gas, self.fee_wei) {
            (Some(gas), Some(fee)) => format!("{} gas, {}{along}", grouped(gas), ether(fee)),
            _ => format!("its gas is known once the one before it is mined{along}"),
        };
        match (self.hash, self.block) {
            (Some(hash), Some(block)) => format!("{cost}; {hash} in block {block}"),
            _ => format!("not sent: {cost} at most"),
        }
    }
}

/// A report's lines: what it is about, and then its transactions.
pub fn lines(rows: impl IntoIterator<Item = (&'static str, String)>, transactions: &[Transaction]) -> String {
    let transactions = transactions.iter().map(|one| (one.what, one.shown()));
    facts(&rows.into_iter().chain(transactions).collect::<Vec<_>>())
}

/// A key that pays for transactions.
pub struct Purse<'a> {
    ethereum: &'a Ethereum,
    pub wallet: Wallet,
    pub dry_run: bool,
    pub transactions: Vec<Transaction>,
}

impl Purse<'_> {
    pub fn address(&self) -> Address {
        self.wallet.address
    }

    /// Sends a call with so much wei, and waits for it. With `--dry-run` it is only priced, and there is no receipt.
    ///
    /// # Errors
    ///
    /// If the contract would refuse it, or does; if Ctrl-C is pressed while it waits (it may be mined all the same).
    pub async fn order<C: SolCall>(
        &mut self,
        what: &'static str,
        to: Address,
        call: &C,
        value: U256,
    ) -> Result<Option<TransactionReceipt>> {
        let request: TransactionRequest = request(to, call).value(value);
        let quote = self.wallet.quote(what, &request).await?;
        let Quote { gas, .. } = quote;
        if self.dry_run {
            let fee_wei = Some(quote.most());
            self.transactions.push(Transaction {
                what,
                hash: None,
                block: None,
                gas: Some(gas),
                fee_wei,
                value_wei: value,
            });
            return Ok(None);
        }
        let hash = self.wallet.post(what, &request, quote).await?;
        if self.ethereum.ui.progress {
            eprintln!("  {what}: sent as {hash}, {} gas and {} at most", grouped(gas), ether(quote.most()));
        }
        let advice = format!(
            "transaction {hash} was handed in and may still be mined: look for it before you ask for this again"
        );
        let wait = async { Ok(self.wallet.wait(what, hash).await?) };
        let receipt = uninterrupted(&advice, wait).await?;
        let receipt = self.wallet.settled(what, &request, receipt).await?;
        self.transactions.push(Transaction {
            what,
            hash: Some(hash),
            block: receipt.block_number,
            gas: Some(receipt.gas_used),
            fee_wei: Some(U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price)),
            value_wei: value,
        });
        Ok(Some(receipt))
    }

    /// Notes a transaction that cannot be priced yet, because it stands on one that was not sent.
    pub fn later(&mut self, what: &'static str, value: U256) {
        self.transactions.push(Transaction {
            what,
            hash: None,
            block: None,
            gas: None,
            fee_wei: None,
            value_wei: value,
        });
    }
}

/// The key of a file: a Web3 keystore, or 64 hexadecimal digits; or that of the environment.
pub fn signer(signing: &Signing) -> Result<PrivateKeySigner> {
    let digits = |name: &str, text: &str| {
        let wrong =
            || unexpected(name, "a private key of 64 hexadecimal digits, or a Web3 keystore in JSON", "something else");
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|_| wrong())?;
        PrivateKeySigner::from_slice(&*bytes).map_err(|_| wrong())
    };
    let Some(path) = &signing.key else {
        let Some(text) = std::env::var_os(KEY_VARIABLE) else {
            let error = unexpected("key", "one to sign transactions with", "none");
            return Err(
                error.advise(format!("give --key FILE (a Web3 keystore, or a private key), or set {KEY_VARIABLE}"))
            );
        };
        let text = Zeroizing::new(text.into_encoded_bytes());
        return digits(KEY_VARIABLE, &String::from_utf8_lossy(&text));
    };
    let (name, bytes) = (path.display().to_string(), Zeroizing::new(keystore::read(path)?));
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return digits(&name, &String::from_utf8_lossy(&bytes));
    }
    let passphrase = key::passphrase(signing.passphrase_file.as_deref(), false)?;
    let (secret, address) = keystore::unseal_ethereum(&name, &bytes, &passphrase)?;
    let wrong = |error| unexpected(&name, "a private key", error);
    let signer = PrivateKeySigner::from_slice(&*secret).map_err(wrong)?;
    match address {
        Some(address) if address != signer.address() => {
            Err(unexpected(format!("{name}, address"), signer.address(), address))
        }
        _ => Ok(signer),
    }
}

/// Decimal text in units of 10^-decimals, from 1 to `most`.
pub fn parse_units(what: &str, text: &str, decimals: u32, most: u128) -> Result<u128> {
    let expected = || {
        format!(
            "{} to {}, with at most {decimals} decimals",
            decimal::format(1, decimals),
            decimal::format(most, decimals)
        )
    };
    match decimal::parse(text, decimals) {
        Ok(units) if (1..=most).contains(&units) => Ok(units),
        _ => Err(unexpected(what, expected(), text)),
    }
}

/// Units of 10^-decimals as a decimal number, exact.
pub fn units_text(units: U256, decimals: u32) -> String {
    let decimals = decimals as usize;
    let digits = format!("{:0>width$}", units.to_string(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    if fraction.is_empty() { whole.into() } else { format!("{whole}.{fraction}") }
}

/// Wei as ether.
pub fn ether(wei: U256) -> String {
    let text = units_text(wei, ETHER_DECIMALS);
    format!("{} ether", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Seconds since 1970 as people write a moment, in UTC.
pub fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("second {seconds}"))
}

/// Writes a file in full or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(holdfast_settlement::journal::write(path, bytes)?)
}
