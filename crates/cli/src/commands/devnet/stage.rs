//! The venue on Ethereum: contracts, traders, and the files by which a devnet goes on.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, U256, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
};
use holdfast_circuit::last::{LastKey, export::export};
use holdfast_crypto::hex::to_hex;
use holdfast_exchange::{
    Engine,
    opening::{open_bridge, open_deployment, open_system},
};
use holdfast_protocol::{AccountId, Deployment, Genesis, PublicKey, TimeMs, publication::digest_word};
use holdfast_settlement::{
    Client, Venue,
    client::{DynProvider, SessionKey, Wallet, endpoint, head},
    contracts::{IERC20, Opened, Parameters, SEATS, create_reader, create_token, create_verifier, deploy, plan},
    embedded::{Chain, Config},
};
use serde::{Deserialize, Serialize};

use super::{Options, view::Told};
use crate::{
    error::{Error, Result, unexpected},
    flow::{FEE_ACCOUNT, FIRST_TRADER, Flow, OPERATOR, Wallets, default_genesis},
    l1::{self, DEVELOPMENT_CHAINS, ether},
    ui,
};

const SETUP: &str = "devnet.json";
pub const VENUE: &str = "venue.json";
/// Of the embedded chain: a private key that has ether and tokens, and is nobody's yet.
const USER_KEY: &str = "user.key";
const USER: &str = "user";
const VERSION: u32 = 1;
/// Seconds after which the embedded chain makes a block if nobody sends anything.
const BLOCK_SECONDS: u64 = 12;
/// How often it is looked whether a transaction was mined, where that is soon.
const POLL_QUICK: Duration = Duration::from_millis(20);
/// Wei for each entry of the inbox.
const FEE: u64 = 1_000_000_000;
/// Of the token, the most that the vault takes.
const CAP_BITS: usize = 90;
const DEPOSIT_MIN: u64 = 100;
/// Gas of the contracts, of which the embedded chain measures 41.5 M, with some to spare.
const SETUP_GAS: u64 = 60_000_000;
/// Gas of a trader's transactions: an allowance, a deposit, a key, a withdrawal, a claim.
const TRADER_GAS: u64 = 1_500_000;
/// Entries of the inbox for each trader, with some to spare.
const TRADER_ENTRIES: u64 = 8;

/// By what a devnet goes on: its secrets, and how far its traders are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    version: u32,
    /// All keys of traders, and the sessions of the roles, derive from it.
    pub seed: String,
    pub input: String,
    pub accounts: u32,
    pub deposit: String,
    /// On the chain of this process, or on another.
    pub embedded: bool,
    /// Traders that have deposited, and whose keys are registered.
    pub traders: u32,
    /// Whether the forced withdrawal was asked for.
    pub forced: bool,
}

fn file_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::file(action, path, source)
}

/// Writes a file that its owner alone can read, all of it or nothing.
fn write_secret(out: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, temporary) = (out.join(name), out.join("devnet.tmp"));
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary);
    let written = file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(file_error("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(file_error("write", &path))
}

impl Setup {
    /// Reads the directory's, or makes one.
    fn open(options: &Options, out: &Path, input: &str) -> Result<(Self, bool)> {
        let path = out.join(SETUP);
        let advice = "choose another --out, or start it as it was started before";
        if !path.exists() {
            if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
                let error = unexpected(out.display(), "a new or empty directory, or a devnet's", "another's files");
                return Err(error.advise("choose another --out"));
            }
            fs::create_dir_all(out).map_err(file_error("make the directory", out))?;
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| unexpected("the system", "randomness", error))?;
            let setup = Self {
                version: VERSION,
                seed: to_hex(&seed),
                input: input.into(),
                accounts: options.accounts,
                deposit: options.deposit.clone(),
                embedded: options.url.is_none(),
                traders: 0,
                forced: false,
            };
            setup.save(out)?;
            return Ok((setup, false));
        }
        let bytes = fs::read(&path).map_err(file_error("read", &path))?;
        let what = path.display().to_string();
        let setup: Self = serde_json::from_slice(&bytes)
            .map_err(|error| unexpected(&what, "the keys of a devnet in JSON", error).advise("choose another --out"))?;
        let same = |field: &str, expected: String, got: String| {
            if expected == got {
                Ok(())
            } else {
                Err(unexpected(format!("{what}, {field}"), expected, got).advise(advice))
            }
        };
        same("version", VERSION.to_string(), setup.version.to_string())?;
        same("input", input.into(), setup.input.clone())?;
        same("accounts", options.accounts.to_string(), setup.accounts.to_string())?;
        same("deposit", options.deposit.clone(), setup.deposit.clone())?;
        if setup.embedded {
            let got = "one whose chain ended with its process";
            let error = unexpected(out.display(), "a new or empty directory", got);
            return Err(error.advise(
                "the embedded chain's state does not survive: choose another --out, or use --l1 for a chain that does",
            ));
        }
        if options.url.is_none() {
            let error = unexpected("--l1", "the chain on which this devnet was started", "none");
            return Err(error.advise(advice));
        }
        Ok((setup, true))
    }

    fn save(&self, out: &Path) -> Result<()> {
        write_secret(out, SETUP, &serde_json::to_vec_pretty(self).expect("it serialises"))
    }

    /// An Ethereum key for one of the devnet's purposes.
    fn signer(&self, purpose: &str) -> Result<PrivateKeySigner> {
        let hash = keccak256(format!("holdfast/devnet/{purpose}/{}", self.seed));
        PrivateKeySigner::from_bytes(&hash).map_err(|error| unexpected(purpose, "a private key", error))
    }

    fn trader(&self, trader: u32) -> Result<PrivateKeySigner> {
        self.signer(&format!("trader {trader}"))
    }
}

/// A venue that stands on a chain.
pub struct Stage {
    pub out: PathBuf,
    pub setup: Setup,
    /// The chain of this process, if it is on that.
    pub chain: Option<Chain>,
    pub provider: DynProvider,
    pub venue: Venue,
    pub operator: Client,
    /// What every trader has deposited, in quote units.
    pub deposit: u128,
    /// Of the venue's lots, one of the flow.
    pub scale: u64,
}

impl Stage {
    /// Makes the venue, or finds it as it was left.
    pub async fn open(options: &Options, out: &Path, input: &str, flow: &Flow, told: &mut Told) -> Result<Self> {
        let (setup, found) = Setup::open(options, out, input)?;
        let (chain, provider, wallet) = match &options.url {
            None => {
                let signer = setup.signer("operator")?;
                let traders: Vec<Address> =
                    (0..setup.accounts).map(|trader| Ok(setup.trader(trader)?.address())).collect::<Result<_>>()?;
                let others = [signer.address(), setup.signer(USER)?.address()];
                let config = Config { timestamp: seconds_now(), step: 1, ..Config::default() };
                let chain = Chain::new(config.rich(traders.into_iter().chain(others)));
                let wallet = Wallet::embedded(&chain, signer).await?;
                (Some(chain.clone()), chain.provider(), wallet)
            }
            Some(url) => {
                let provider = endpoint(url).await?;
                let mut wallet = Wallet::new(provider.clone(), l1::signer(&options.signing)?).await?;
                if DEVELOPMENT_CHAINS.contains(&wallet.chain) {
                    wallet.poll = POLL_QUICK;
                }
                (None, provider, wallet)
            }
        };
        let path = out.join(VENUE);
        let instrument = flow.instrument();
        let venue = if found && path.exists() {
            told.note(format!("goes on with the venue of {}", path.display()));
            Venue::load(&path)?
        } else {
            make(options, &setup, &wallet, flow, told).await?
        };
        let decimals = instrument.tick_decimals + instrument.lot_decimals;
        let scale = 10_u64.pow(venue.genesis.quote_decimals.saturating_sub(decimals));
        fs::write(&path, venue.encode()).map_err(file_error("write", &path))?;
        let deposit = l1::parse_units("--deposit", &setup.deposit, venue.genesis.quote_decimals, (1 << 80) - 1)?;
        let operator = Client::new(wallet, venue.deployment())?;
        Ok(Self { out: out.to_owned(), setup, chain, provider, venue, operator, deposit, scale })
    }

    /// The traders' deposits and keys, and the withdrawal that one of them forces.
    pub async fn gather(&mut self, options: &Options, told: &mut Told) -> Result<()> {
        let accounts = self.setup.accounts;
        let token_is_ours = options.token.is_none();
        for trader in self.setup.traders..accounts {
            if ui::interrupted() {
                return Err(Error::Interrupted {
                    advice: "with --l1 and the same --out it goes on where it was".into(),
                });
            }
            let client = self.trader(trader).await?;
            let owner = client.wallet.address;
            let expected = u64::from(FIRST_TRADER.get() + trader);
            if client.account_of(owner).await?.is_none() {
                self.fund(&client, token_is_ours).await?;
                let receipt = client.deposit(U256::from(self.deposit)).await?;
                told.gas("deposit", receipt.gas_used);
            }
            let got = client.account_of(owner).await?.unwrap_or_default();
            if got != expected {
                let error = unexpected(format!("account of trader {trader}"), expected, got);
                return Err(
                    error.advise("somebody else has opened an account at this venue: start anew with another --out")
                );
            }
            let account = AccountId::new(FIRST_TRADER.get() + trader).expect("few accounts");
            let receipt = client.register(session_key(Wallets::secret(&self.setup.seed, account).public_key())).await?;
            told.gas("register", receipt.gas_used);
            self.setup.traders = trader + 1;
            // On a chain that ends with this process there is nothing to go on with.
            if self.chain.is_none() {
                self.setup.save(&self.out)?;
            }
            told.progress(format!("traders: {} of {accounts} have deposited", trader + 1));
        }
        if !self.setup.forced {
            let client = self.trader(accounts - 1).await?;
            let receipt = client.withdraw(U256::from(self.withdrawal())).await?;
            told.gas("forced withdrawal", receipt.gas_used);
            self.setup.forced = true;
            self.setup.save(&self.out)?;
        }
        if self.chain.is_some() {
            self.welcome(told).await?;
        }
        Ok(())
    }

    /// A key with ether and tokens, for whoever wants to act as a user of the embedded chain.
    async fn welcome(&self, told: &mut Told) -> Result<()> {
        let signer = self.setup.signer(USER)?;
        self.operator.mint(signer.address(), U256::from(self.deposit)).await?;
        write_secret(&self.out, USER_KEY, format!("{}\n", to_hex(signer.to_bytes().as_slice())).as_bytes())?;
        told.note(format!("a key with ether and tokens, for you: {}", self.out.join(USER_KEY).display()));
        Ok(())
    }

    /// What two of the traders take out: one by its session key, one by Ethereum.
    pub fn withdrawal(&self) -> u128 {
        (self.deposit / 100).max(1)
    }

    /// Who withdraws.
    pub async fn withdrawers(&self) -> Result<Vec<Client>> {
        let first = self.trader(0).await?;
        let last = self.trader(self.setup.accounts - 1).await?;
        Ok(if self.setup.accounts == 1 { vec![first] } else { vec![first, last] })
    }

    async fn trader(&self, trader: u32) -> Result<Client> {
        let signer = self.setup.trader(trader)?;
        let mut wallet = match &self.chain {
            Some(chain) => Wallet::embedded(chain, signer).await?,
            None => Wallet::new(self.provider.clone(), signer).await?,
        };
        if self.chain.is_none() {
            wallet.poll = self.operator.wallet.poll;
        }
        Ok(Client::new(wallet, self.venue.deployment())?)
    }

    /// Gives a trader tokens and, where it has none, ether.
    async fn fund(&self, client: &Client, mints: bool) -> Result<()> {
        let (owner, wallet) = (client.wallet.address, &self.operator.wallet);
        let amount = U256::from(self.deposit);
        if self.chain.is_none() {
            let need =
                U256::from(wallet.fees().await?.most) * U256::from(TRADER_GAS) + U256::from(TRADER_ENTRIES * FEE);
            let request = TransactionRequest::default().with_to(owner).with_value(need);
            wallet.send("ether for a trader", request).await?;
        }
        if client.balance(owner).await? >= amount {
            return Ok(());
        }
        if mints {
            self.operator.mint(owner, amount).await?;
        } else {
            let call = IERC20::transferCall { to: owner, amount };
            wallet.order("tokens for a trader", self.venue.contracts.token, &call, U256::ZERO).await?;
        }
        Ok(())
    }

    /// Whether blocks are made at once, and by nobody else.
    pub fn is_quick(&self) -> bool {
        DEVELOPMENT_CHAINS.contains(&self.venue.chain_id)
    }

    /// Lets the embedded chain's time go on.
    pub fn tick(&self) {
        let Some(chain) = &self.chain else { return };
        let now = seconds_now();
        if now >= chain.timestamp() + BLOCK_SECONDS && chain.set_next_timestamp(now).is_ok() {
            chain.mine();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an Ethereum's blocks have the time of day")]
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn session_key(public: PublicKey) -> SessionKey {
    let (x, y) = (public.point().x().to_canonical(), public.point().y().to_canonical());
    SessionKey { key: 0, replaces: false, withdraws: true, expiry: Wallets::EXPIRY.get(), x, y }
}

/// Deploys everything.
async fn make(options: &Options, setup: &Setup, wallet: &Wallet, flow: &Flow, told: &mut Told) -> Result<Venue> {
    if options.url.is_some() {
        let fees = wallet.fees().await?;
        let each = U256::from(fees.most) * U256::from(TRADER_GAS) + U256::from(TRADER_ENTRIES * FEE);
        let need = U256::from(fees.most) * U256::from(SETUP_GAS) + each * U256::from(setup.accounts);
        let has = wallet.provider.get_balance(wallet.address).await;
        let has = has.map_err(|error| unexpected("the endpoint", "a balance", error))?;
        if has < need {
            let what = format!("ether of {}", wallet.address);
            let error = unexpected(what, format!("{} at today's fees", ether(need)), ether(has));
            return Err(error.advise(
                "it pays for the contracts and the traders' transactions: send it more, or take fewer --accounts",
            ));
        }
    }
    let (_, first, _) = head(&wallet.provider).await?;
    let token = match options.token {
        Some(token) => token,
        None => create_token(wallet).await?,
    };
    let decimals = wallet.ask("the token's decimals", token, &IERC20::decimalsCall {}).await?;
    if options.token.is_some() {
        let deposit = l1::parse_units("--deposit", &setup.deposit, decimals.into(), (1 << 80) - 1)?;
        let need = U256::from(deposit) * U256::from(setup.accounts);
        let has = wallet.ask("a balance", token, &IERC20::balanceOfCall { owner: wallet.address }).await?;
        if has < need {
            let what = format!("token {token} of {}", wallet.address);
            let shown = |units| l1::units_text(units, decimals.into());
            let error = unexpected(what, shown(need), shown(has));
            return Err(error.advise("every trader deposits --deposit of it: get more, or take fewer --accounts"));
        }
    }
    told.progress("contracts: state reader".into());
    let reader = create_reader(wallet).await?;
    told.progress("contracts: verifier, and its key".into());
    let key = export(LastKey::bundled()).map_err(|error| unexpected("the bundled key", "one for contracts", error))?;
    let verifier = create_verifier(wallet, key.data_contracts(), key.commitment.into()).await?;
    told.progress("contracts: vault, inbox, rollup, escape, council".into());
    let plan = plan(wallet).await?;
    let (_, _, time) = head(&wallet.provider).await?;
    let genesis = genesis(setup, wallet, flow, plan.vault, time, decimals.into())?;
    let engine = Engine::new(&genesis)?;
    let tree = engine.tree();
    let member = |seat: usize| setup.signer(&format!("member {seat}")).map(|signer| signer.address());
    let members: Vec<Address> = (0..SEATS).map(member).collect::<Result<_>>()?;
    let parameters = Parameters {
        token,
        cap: U256::from(1) << CAP_BITS,
        fee: U256::from(FEE),
        deposit_min: U256::from(DEPOSIT_MIN),
        owners: genesis.accounts.iter().map(|account| account.owner).collect(),
        reader,
        verifier,
        segment_key: digest_word(&holdfast_circuit::verify::verifying_key().pre_hash),
        operator: wallet.address,
        members: std::array::from_fn(|seat| members[seat]),
        genesis: Opened {
            root: digest_word(&engine.root()),
            deployment: open_deployment(tree).into(),
            system: open_system(tree).into(),
            bridge: open_bridge(tree).into(),
        },
    };
    let at = deploy(wallet, &plan, parameters).await?;
    // Elsewhere others have transactions in these blocks too.
    if DEVELOPMENT_CHAINS.contains(&wallet.chain) {
        let (_, last, _) = head(&wallet.provider).await?;
        told.deployed(&wallet.provider, first + 1, last).await?;
    }
    Ok(Venue::new(&at, genesis))
}

/// The genesis of a replay, with a contract that holds the money, and owners whose keys there are.
fn genesis(
    setup: &Setup,
    wallet: &Wallet,
    flow: &Flow,
    vault: Address,
    time: u64,
    token_decimals: u32,
) -> Result<Genesis> {
    let mut instrument = flow.instrument();
    let decimals = instrument.tick_decimals + instrument.lot_decimals;
    // One tick times one lot is one unit of the token: a lot is as small as that asks for.
    let Some(finer) = token_decimals.checked_sub(decimals) else {
        let error = unexpected(
            "decimals of the token",
            format!("at least {decimals}, as many as the flow's prices and sizes have together"),
            token_decimals,
        );
        return Err(error.advise("give another --token, or another input"));
    };
    instrument.lot_decimals += finer;
    let mut genesis = default_genesis(&instrument, flow.first_price(), &Wallets::new(&setup.seed, 0));
    genesis.deployment = Deployment { chain_id: wallet.chain, contract: vault };
    genesis.time = TimeMs::new(time * 1_000).map_err(|error| unexpected("the chain's time", "a time", error))?;
    for entry in &mut genesis.accounts {
        entry.owner = match entry.account {
            // Fees go to whom runs the venue.
            FEE_ACCOUNT => wallet.address,
            account => setup.signer(&format!("owner {account}"))?.address(),
        };
    }
    Ok(genesis)
}

/// The operator's session key.
pub fn operator_secret(setup: &Setup) -> holdfast_protocol::SecretKey {
    Wallets::secret(&setup.seed, OPERATOR)
}
