//! `holdfast inspect`: the state after the last batch, or what is in a batch, as tables.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use comfy_table::CellAlignment;
use holdfast_crypto::field::{cell_to_canonical, digest_to_hex};
use holdfast_exchange::{Engine, authority::public_key};
use holdfast_protocol::{
    AccountId, Address, Command, KeyIndex, MarketGenesis, MarketId, Outcome, PublicKey, Side, Signature,
    cells::owner_from_cells,
    limits::{KEYS_MAX, PPM},
    wire::encode_instruction,
};
use serde::Serialize;

use super::table;
use crate::{
    dir::Dir,
    error::{Result, unexpected},
    execute::execute,
    ui::{Ui, bytes, count, decimal, facts, grouped, short_hex, shown},
};

/// Rows of a list that are shown to a person; JSON has all of them.
const ROWS_SHOWN: usize = 12;

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    pub what: What,
}

#[derive(Debug, Clone, Copy)]
pub enum What {
    Overview,
    Account(u32),
    Market(u32),
    Batch(u32),
}

/// Amounts are decimal numbers in the collateral token, sizes in the base asset, prices in the collateral token.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    Overview(Overview),
    Account(Account),
    Market(Market),
    Batch(Batch),
}

#[derive(Debug, Serialize)]
pub struct Overview {
    pub batches: u32,
    pub commands: u64,
    pub root: String,
    pub time_ms: u64,
    pub deposits: String,
    pub markets: Vec<MarketLine>,
    /// Largest equity first.
    pub accounts: Vec<AccountLine>,
}

#[derive(Debug, Serialize)]
pub struct MarketLine {
    pub market: u32,
    pub symbol: String,
    pub mark: String,
    pub best_bid: Option<String>,
    pub best_ask: Option<String>,
    pub bids: u64,
    pub asks: u64,
    pub open_interest: String,
}

#[derive(Debug, Serialize)]
pub struct AccountLine {
    pub account: u32,
    pub role: &'static str,
    pub collateral: String,
    pub unrealised: String,
    pub equity: String,
    pub positions: usize,
    pub open_orders: u64,
    #[serde(skip)]
    sort: i128,
}

#[derive(Debug, Serialize)]
pub struct Account {
    pub account: u32,
    pub role: &'static str,
    /// To whom withdrawals go; none while the account is not open.
    pub owner: Option<Address>,
    pub keys: Vec<Key>,
    pub collateral: String,
    pub equity: String,
    pub initial_margin: String,
    pub maintenance_margin: String,
    pub positions: Vec<Position>,
    pub orders: Vec<Order>,
}

/// A session key, and where the chain of what it has asked for stands.
#[derive(Debug, Serialize)]
pub struct Key {
    pub key: u32,
    pub public_key: PublicKey,
    /// May withdraw, besides trading.
    pub withdraws: bool,
    pub expiry_ms: u64,
    /// Commands so far.
    pub sequence: u32,
    /// Keys that this place has had, with this one.
    pub generation: u32,
    pub head: String,
}

#[derive(Debug, Serialize)]
pub struct Position {
    pub market: u32,
    pub symbol: String,
    /// Negative is short.
    pub size: String,
    pub entry_price: Option<String>,
    pub mark: String,
    pub unrealised: String,
    pub open_bids: String,
    pub open_asks: String,
    pub open_orders: u64,
}

#[derive(Debug, Serialize)]
pub struct Order {
    pub market: u32,
    pub side: Side,
    pub price: String,
    pub size: String,
    pub slot: u32,
    pub generation: u8,
    pub reduce_only: bool,
}

#[derive(Debug, Serialize)]
pub struct Market {
    pub market: u32,
    pub symbol: String,
    pub mark: String,
    pub initial_margin_ppm: u32,
    pub maintenance_margin_ppm: u32,
    pub maker_fee_ppm: u32,
    pub taker_fee_ppm: u32,
    pub open_interest: String,
    /// Best first.
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

#[derive(Debug, Serialize)]
pub struct Level {
    pub price: String,
    pub size: String,
    pub orders: u64,
}

#[derive(Debug, Serialize)]
pub struct Batch {
    pub batch: u32,
    pub commands: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub fills: u64,
    pub root: String,
    pub published_bytes: u64,
    pub kinds: Vec<KindLine>,
    /// By reject code.
    pub rejects: Vec<RejectLine>,
    /// In the order in which they stand among the commands.
    pub seals: Vec<Seal>,
    /// Bytes of each segment's proof; none if the batch is not proven.
    pub proofs: Option<Vec<u64>>,
}

/// A session's signature of all that it has asked for so far.
#[derive(Debug, Serialize)]
pub struct Seal {
    /// Commands of the batch before it.
    pub after: u32,
    pub account: u32,
    pub key: u32,
    /// Commands of the session in this batch that it is the first to cover.
    pub covers: u64,
    pub signature: Signature,
}

#[derive(Debug, Serialize)]
pub struct KindLine {
    pub kind: &'static str,
    pub commands: u64,
    pub rejected: u64,
    pub bytes: u64,
    pub bytes_per_command: f64,
}

#[derive(Debug, Serialize)]
pub struct RejectLine {
    pub code: u8,
    pub name: String,
    pub meaning: String,
    pub commands: u64,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let dir = Dir::open(&options.dir)?;
    if let What::Batch(number) = options.what {
        return Ok(Report::Batch(batch(&dir, number)?));
    }
    let state = State::after_all(dir, ui)?;
    Ok(match options.what {
        What::Account(id) => Report::Account(state.account(id)?),
        What::Market(id) => Report::Market(state.market(id)?),
        What::Overview | What::Batch(_) => Report::Overview(state.overview()),
    })
}

/// The engine after all batches, and what the genesis says about how to show it.
struct State {
    dir: Dir,
    engine: Engine,
    commands: u64,
}

/// What an account is worth.
struct Worth {
    unrealised: i128,
    equity: i128,
    initial: i128,
    maintenance: i128,
    open_orders: u64,
    positions: usize,
}

impl State {
    fn after_all(dir: Dir, ui: Ui) -> Result<State> {
        let batches = dir.batches()?;
        let mut engine = dir.engine()?;
        let mut commands = 0;
        let bar = ui.bar("replay", "commands", Some(batches.iter().map(|batch| batch.commands).sum()));
        for record in &batches {
            execute(&mut engine, &dir.batch(record)?, |_| {})?;
            engine.count_batch();
            commands += record.commands;
            bar.set_position(commands);
        }
        let leaves = engine.touched_leaves();
        let root = digest_to_hex(&engine.update_tree(&leaves));
        bar.finish_and_clear();
        match batches.last() {
            Some(last) if last.root != root => {
                let error = unexpected(format!("batch {}, root", last.batch), root, &last.root);
                Err(error.advise(format!("find the first batch that differs: holdfast audit {}", dir.path().display())))
            }
            _ => Ok(State { dir, engine, commands }),
        }
    }

    fn terms(&self, market: MarketId) -> &MarketGenesis {
        &self.dir.genesis.markets[market.get() as usize]
    }

    fn amount(&self, amount: i128) -> String {
        decimal(amount, self.dir.genesis.quote_decimals)
    }

    fn role(&self, account: AccountId) -> &'static str {
        let genesis = &self.dir.genesis;
        match account {
            id if id == genesis.oracle => "oracle",
            id if id == genesis.operator => "operator",
            id if id == genesis.fee_account => "fees",
            _ => "trader",
        }
    }

    fn worth(&self, id: AccountId) -> Worth {
        let account = self.engine.account(id);
        let mut worth = Worth {
            unrealised: 0,
            equity: account.collateral,
            initial: 0,
            maintenance: 0,
            open_orders: 0,
            positions: 0,
        };
        for (market, position) in account.positions.iter().flatten() {
            let terms = self.terms(*market);
            let mark = i128::from(self.engine.mark(*market));
            let unrealised = position.size * mark + position.quote;
            worth.unrealised += unrealised;
            worth.equity += unrealised;
            let largest = (position.size + i128::from(position.bids)).max(i128::from(position.asks) - position.size);
            worth.initial += largest * mark * i128::from(terms.initial_margin_ppm) / i128::from(PPM);
            worth.maintenance +=
                position.size.abs() * mark * i128::from(terms.maintenance_margin_ppm) / i128::from(PPM);
            worth.open_orders += position.open_orders;
            worth.positions += usize::from(position.size != 0);
        }
        worth
    }

    fn markets(&self) -> impl Iterator<Item = MarketId> + '_ {
        (0..self.dir.genesis.markets.len() as u32).map(|id| MarketId::new(id).expect("a market of the genesis"))
    }

    fn open_interest(&self, market: MarketId) -> i128 {
        let positions = self.engine.accounts_in_use().flat_map(|id| self.engine.account(id).positions);
        positions.flatten().filter(|(held, _)| *held == market).map(|(_, position)| position.size.max(0)).sum()
    }

    fn overview(&self) -> Overview {
        let system = self.engine.system();
        let markets = self.markets().map(|market| {
            let terms = self.terms(market);
            let price = |ticks: u64| decimal(ticks.into(), terms.tick_decimals);
            let [bids, asks] = [Side::Buy, Side::Sell].map(|side| self.engine.book(market, side));
            MarketLine {
                market: market.get(),
                symbol: terms.symbol.clone(),
                mark: price(self.engine.mark(market)),
                best_bid: bids.first().map(|order| price(order.price.get().into())),
                best_ask: asks.first().map(|order| price(order.price.get().into())),
                bids: bids.len() as u64,
                asks: asks.len() as u64,
                open_interest: decimal(self.open_interest(market), terms.lot_decimals),
            }
        });
        let mut accounts: Vec<_> = self
            .engine
            .accounts_in_use()
            .map(|id| {
                let worth = self.worth(id);
                AccountLine {
                    account: id.get(),
                    role: self.role(id),
                    collateral: self.amount(self.engine.account(id).collateral),
                    unrealised: self.amount(worth.unrealised),
                    equity: self.amount(worth.equity),
                    positions: worth.positions,
                    open_orders: worth.open_orders,
                    sort: worth.equity,
                }
            })
            .collect();
        accounts.sort_by_key(|account| std::cmp::Reverse(account.sort));
        Overview {
            batches: system.batches,
            commands: self.commands,
            root: digest_to_hex(&self.engine.root()),
            time_ms: system.time,
            deposits: self.amount(system.deposits as i128),
            markets: markets.collect(),
            accounts,
        }
    }

    fn keys(&self, account: AccountId) -> Vec<Key> {
        let key = |index| {
            let session = self.engine.store().session(account.get(), index);
            Some(Key {
                key: index,
                public_key: public_key(session)?,
                withdraws: session.withdraws,
                expiry_ms: session.expiry,
                sequence: session.sequence,
                generation: session.generation,
                head: digest_to_hex(&session.head),
            })
        };
        (0..KEYS_MAX as u32).filter_map(key).collect()
    }

    fn owner(&self, account: AccountId) -> Option<Address> {
        let owner = self.engine.store().owner(account.get());
        let cells = owner.address.map(cell_to_canonical);
        owner.open.then(|| owner_from_cells(&cells).expect("an owner's cells are those of an address"))
    }

    fn account(&self, id: u32) -> Result<Account> {
        let account = AccountId::new(id).map_err(|error| unexpected("--account", "an account", error))?;
        let view = self.engine.account(account);
        let worth = self.worth(account);
        let mut positions = Vec::new();
        let mut orders = Vec::new();
        for (market, position) in view.positions.iter().flatten() {
            let terms = self.terms(*market);
            let mark = self.engine.mark(*market);
            let size = |lots: i128| decimal(lots, terms.lot_decimals);
            let entry = (position.size != 0).then(|| decimal(-position.quote / position.size, terms.tick_decimals));
            positions.push(Position {
                market: market.get(),
                symbol: terms.symbol.clone(),
                size: size(position.size),
                entry_price: entry,
                mark: decimal(mark.into(), terms.tick_decimals),
                unrealised: self.amount(position.size * i128::from(mark) + position.quote),
                open_bids: size(position.bids.into()),
                open_asks: size(position.asks.into()),
                open_orders: position.open_orders,
            });
            for side in [Side::Buy, Side::Sell] {
                orders.extend(self.engine.book(*market, side).iter().filter(|order| order.account == account).map(
                    |order| Order {
                        market: market.get(),
                        side,
                        price: decimal(order.price.get().into(), terms.tick_decimals),
                        size: size(order.size.get().into()),
                        slot: order.order.slot(),
                        generation: order.order.generation(),
                        reduce_only: order.reduce_only,
                    },
                ));
            }
        }
        Ok(Account {
            account: id,
            role: self.role(account),
            owner: self.owner(account),
            keys: self.keys(account),
            collateral: self.amount(view.collateral),
            equity: self.amount(worth.equity),
            initial_margin: self.amount(worth.initial),
            maintenance_margin: self.amount(worth.maintenance),
            positions,
            orders,
        })
    }

    fn market(&self, id: u32) -> Result<Market> {
        let count = self.dir.genesis.markets.len();
        let market = self.markets().find(|market| market.get() == id);
        let market = market.ok_or_else(|| unexpected("--market", format!("0 to {}", count - 1), id))?;
        let terms = self.terms(market);
        let [bids, asks] = [Side::Buy, Side::Sell].map(|side| {
            let mut levels: Vec<(u32, u64, u64)> = Vec::new();
            for order in self.engine.book(market, side) {
                match levels.last_mut() {
                    Some((price, size, orders)) if *price == order.price.get() => {
                        *size += order.size.get();
                        *orders += 1;
                    }
                    _ => levels.push((order.price.get(), order.size.get(), 1)),
                }
            }
            let level = |(price, size, orders): (u32, u64, u64)| Level {
                price: decimal(price.into(), terms.tick_decimals),
                size: decimal(size.into(), terms.lot_decimals),
                orders,
            };
            levels.into_iter().map(level).collect::<Vec<_>>()
        });
        Ok(Market {
            market: id,
            symbol: terms.symbol.clone(),
            mark: decimal(self.engine.mark(market).into(), terms.tick_decimals),
            initial_margin_ppm: terms.initial_margin_ppm,
            maintenance_margin_ppm: terms.maintenance_margin_ppm,
            maker_fee_ppm: terms.maker_fee_ppm,
            taker_fee_ppm: terms.taker_fee_ppm,
            open_interest: decimal(self.open_interest(market), terms.lot_decimals),
            bids,
            asks,
        })
    }
}

fn batch(dir: &Dir, number: u32) -> Result<Batch> {
    let batches = dir.batches()?;
    let record = batches.iter().find(|record| record.batch == number);
    let record = record.ok_or_else(|| unexpected("--batch", format!("1 to {}", batches.len()), number))?;
    let published = dir.batch(record)?;
    let mut kinds: BTreeMap<u32, KindLine> = BTreeMap::new();
    let mut rejects: BTreeMap<u8, RejectLine> = BTreeMap::new();
    let mut encoded = Vec::new();
    for (instruction, outcome) in published.instructions.iter().zip(&published.outcomes) {
        let command = &instruction.command;
        encoded.clear();
        encode_instruction(instruction, &mut encoded);
        let empty = KindLine { kind: kind_name(command), commands: 0, rejected: 0, bytes: 0, bytes_per_command: 0.0 };
        let kind = kinds.entry(command.kind()).or_insert(empty);
        kind.commands += 1;
        kind.bytes += encoded.len() as u64;
        if let Outcome::Rejected(reject) = outcome {
            kind.rejected += 1;
            let (code, name, meaning) = (reject.code(), format!("{reject:?}"), reject.to_string());
            rejects.entry(code).or_insert(RejectLine { code, name, meaning, commands: 0 }).commands += 1;
        }
    }
    let proofs = dir.proof_record(number)?.map(|record| record.segments.iter().map(|file| file.bytes).collect());
    Ok(Batch {
        batch: number,
        commands: record.commands,
        accepted: record.accepted,
        rejected: record.rejected,
        fills: record.fills,
        root: record.root.clone(),
        published_bytes: published.encode().len() as u64,
        kinds: kinds
            .into_values()
            .map(|line| KindLine { bytes_per_command: line.bytes as f64 / line.commands as f64, ..line })
            .collect(),
        rejects: rejects.into_values().collect(),
        seals: seals(&published),
        proofs,
    })
}

fn seals(published: &holdfast_protocol::Batch) -> Vec<Seal> {
    let mut covered: BTreeMap<(AccountId, KeyIndex), u64> = BTreeMap::new();
    let mut instructions = published.instructions.iter();
    let mut before = 0;
    let seal = |seal: &holdfast_protocol::Seal| {
        let &holdfast_protocol::Seal { after, account, key, signature } = seal;
        for instruction in instructions.by_ref().take((after - before) as usize) {
            *covered.entry(instruction.session()).or_default() += 1;
        }
        before = after;
        let covers = covered.remove(&(account, key)).unwrap_or(0);
        Seal { after, account: account.get(), key: key.get(), covers, signature }
    };
    published.seals.iter().map(seal).collect()
}

fn kind_name(command: &Command) -> &'static str {
    match command {
        Command::Deposit(_) => "deposit",
        Command::Withdraw(_) => "withdraw",
        Command::Place(_) => "place",
        Command::Cancel(_) => "cancel",
        Command::CancelAll(_) => "cancel all",
        Command::Amend(_) => "amend",
        Command::Mark(_) => "mark",
        Command::Time(_) => "time",
        Command::Release(_) => "release",
        Command::Open(_) => "open",
        Command::Register(_) => "register",
        Command::Revoke(_) => "revoke",
    }
}

impl Report {
    pub fn text(&self, dir: &Path) -> String {
        match self {
            Report::Overview(overview) => overview.text(dir),
            Report::Account(account) => account.text(),
            Report::Market(market) => market.text(),
            Report::Batch(batch) => batch.text(),
        }
    }
}

/// Says that a list goes on.
fn rest(count: usize) -> String {
    match count.checked_sub(ROWS_SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!("  … and {} more (all of them with --json)\n", grouped(more as u64)),
    }
}

impl Overview {
    fn text(&self, dir: &Path) -> String {
        let facts = facts(&[
            ("batches", format!("{}, {}", count(self.batches.into(), "batch"), count(self.commands, "command"))),
            ("root", self.root.clone()),
            ("time", format!("{} ms", grouped(self.time_ms))),
            ("deposits", shown(&self.deposits)),
        ]);
        let mut markets =
            table(&["market", "symbol", "mark", "best bid", "best ask", "bids", "asks", "open interest"], 2);
        for line in &self.markets {
            let side = |price: &Option<String>| price.as_deref().map_or("none".into(), shown);
            markets.add_row([
                line.market.to_string(),
                line.symbol.clone(),
                shown(&line.mark),
                side(&line.best_bid),
                side(&line.best_ask),
                grouped(line.bids),
                grouped(line.asks),
                shown(&line.open_interest),
            ]);
        }
        let mut accounts =
            table(&["account", "role", "collateral", "unrealised", "equity", "positions", "open orders"], 2);
        for line in self.accounts.iter().take(ROWS_SHOWN) {
            accounts.add_row([
                line.account.to_string(),
                line.role.to_string(),
                shown(&line.collateral),
                shown(&line.unrealised),
                shown(&line.equity),
                line.positions.to_string(),
                grouped(line.open_orders),
            ]);
        }
        let more = format!("  more: holdfast inspect {} --account N | --market N | --batch N\n", dir.display());
        format!("{facts}{markets}\n{accounts}\n{}{more}", rest(self.accounts.len()))
    }
}

impl Account {
    fn text(&self) -> String {
        let facts = facts(&[
            ("account", format!("{} ({})", self.account, self.role)),
            ("owner", self.owner.map_or("none: not open".into(), |owner| owner.to_string())),
            ("collateral", shown(&self.collateral)),
            ("equity", shown(&self.equity)),
            ("initial margin", shown(&self.initial_margin)),
            ("maintenance", shown(&self.maintenance_margin)),
        ]);
        let headers = ["market", "symbol", "size", "entry", "mark", "unrealised", "open bids", "open asks", "orders"];
        let mut positions = table(&headers, 2);
        for line in &self.positions {
            positions.add_row([
                line.market.to_string(),
                line.symbol.clone(),
                shown(&line.size),
                line.entry_price.as_deref().map_or("flat".into(), shown),
                shown(&line.mark),
                shown(&line.unrealised),
                shown(&line.open_bids),
                shown(&line.open_asks),
                grouped(line.open_orders),
            ]);
        }
        let mut orders = table(&["market", "side", "order", "price", "size"], 3);
        for line in self.orders.iter().take(ROWS_SHOWN) {
            let side = if line.side == Side::Buy { "buy" } else { "sell" };
            let id = format!("{}/{}", line.slot, line.generation);
            orders.add_row([line.market.to_string(), side.to_string(), id, shown(&line.price), shown(&line.size)]);
        }
        let mut keys = table(&["key", "public key", "may", "expiry (ms)", "commands", "generation"], 3);
        for line in &self.keys {
            keys.add_row([
                line.key.to_string(),
                line.public_key.to_hex(),
                if line.withdraws { "trade, withdraw" } else { "trade" }.to_string(),
                grouped(line.expiry_ms),
                grouped(line.sequence),
                line.generation.to_string(),
            ]);
        }
        format!("{facts}{keys}\n{positions}\n{orders}\n{}", rest(self.orders.len()))
    }
}

impl Market {
    fn text(&self) -> String {
        let percent = |ppm: u32| format!("{} %", decimal(ppm.into(), 4));
        let facts = facts(&[
            ("market", format!("{} ({})", self.market, self.symbol)),
            ("mark", shown(&self.mark)),
            (
                "margin",
                format!(
                    "{} initial, {} maintenance",
                    percent(self.initial_margin_ppm),
                    percent(self.maintenance_margin_ppm)
                ),
            ),
            ("fees", format!("{} maker, {} taker", percent(self.maker_fee_ppm), percent(self.taker_fee_ppm))),
            ("open interest", shown(&self.open_interest)),
            ("levels", format!("{} bids, {} asks", grouped(self.bids.len() as u64), grouped(self.asks.len() as u64))),
        ]);
        let mut depth = table(&["orders", "bid size", "bid", "ask", "ask size", "orders"], 0);
        for index in 0..self.bids.len().max(self.asks.len()).min(ROWS_SHOWN) {
            let cells = |level: Option<&Level>| match level {
                Some(Level { price, size, orders }) => [shown(price), shown(size), orders.to_string()],
                None => Default::default(),
            };
            let ([bid, bid_size, bids], [ask, ask_size, asks]) =
                (cells(self.bids.get(index)), cells(self.asks.get(index)));
            depth.add_row([bids, bid_size, bid, ask, ask_size, asks]);
        }
        format!("{facts}{depth}\n{}", rest(self.bids.len().max(self.asks.len())))
    }
}

impl Batch {
    fn text(&self) -> String {
        let proofs = match &self.proofs {
            None => "not proven".to_string(),
            Some(proofs) => format!("{}, {}", count(proofs.len() as u64, "segment"), bytes(proofs.iter().sum())),
        };
        let facts = facts(&[
            ("batch", self.batch.to_string()),
            (
                "commands",
                format!(
                    "{}: {} accepted, {} rejected, {} fills",
                    grouped(self.commands),
                    grouped(self.accepted),
                    grouped(self.rejected),
                    grouped(self.fills)
                ),
            ),
            (
                "published",
                format!(
                    "{} ({:.2} bytes a command)",
                    bytes(self.published_bytes),
                    self.published_bytes as f64 / self.commands.max(1) as f64
                ),
            ),
            ("signatures", format!("{} cover them all", count(self.seals.len() as u64, "seal"))),
            ("proofs", proofs),
            ("root", short_hex(&self.root)),
        ]);
        let mut kinds = table(&["kind", "commands", "rejected", "bytes", "bytes a command"], 1);
        for line in &self.kinds {
            kinds.add_row([
                line.kind.to_string(),
                grouped(line.commands),
                grouped(line.rejected),
                grouped(line.bytes),
                format!("{:.2}", line.bytes_per_command),
            ]);
        }
        let mut seals = table(&["seal", "account", "key", "after command", "covers", "signature"], 1);
        seals.column_mut(5).expect("there are six").set_cell_alignment(CellAlignment::Left);
        for (index, line) in self.seals.iter().take(ROWS_SHOWN).enumerate() {
            seals.add_row([
                index.to_string(),
                line.account.to_string(),
                line.key.to_string(),
                grouped(line.after),
                grouped(line.covers),
                short_hex(&line.signature.to_hex()),
            ]);
        }
        let seals = format!("{seals}\n{}", rest(self.seals.len()));
        if self.rejects.is_empty() {
            return format!("{facts}{kinds}\n{seals}");
        }
        let mut rejects = table(&["code", "reject", "meaning", "commands"], 3);
        for line in &self.rejects {
            rejects.add_row([line.code.to_string(), line.name.clone(), line.meaning.clone(), grouped(line.commands)]);
        }
        format!("{facts}{kinds}\n{rejects}\n{seals}")
    }
}
