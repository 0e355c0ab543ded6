//! The exchange against the model: the same commands, and after every command the same state.
//!
//! Outcome, fills, system, and the accounts and books that the command may have touched are compared after every command;
//! everything there is, links and generations included, every [`FULL_EVERY`] commands. A difference (or a panic) is shrunk
//! to the few commands that cause it, and printed with the scenario and the seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_exchange::{Engine, Event, OrderView, Plain};
use holdfast_protocol::{
    AccountId, Amount, Command, Deposit, MarketId, OrderId, Outcome, Place, Price, SelfTrade, Side, Size, TimeInForce, TimeMs,
    limits,
};
use holdfast_sim::{AccountState, FillState, Model, OrderState, PositionState, Scenario, SystemState, Venue, shrink};

/// Commands per scenario and seed.
const COMMANDS: usize = 50_000;
const SEEDS: std::ops::Range<u64> = 0..6;
const FULL_EVERY: usize = 256;
const SCENARIOS: u64 = 7;

/// The exchange, seen as the model is.
struct Exchange(Engine);

impl Exchange {
    fn new(scenario: &Scenario) -> Self {
        let mut engine = Engine::new(&scenario.genesis).expect("the genesis is valid");
        if scenario.fresh != limits::FIRST_ORDER {
            let mut system = engine.system().clone();
            system.fresh = scenario.fresh;
            engine.store_mut().set_system(system);
        }
        Self(engine)
    }

    /// A book from its worst order to its best, by the backward links.
    fn book_backwards(&self, market: MarketId, side: Side) -> Vec<OrderId> {
        let sentinel = 2 * market.get() + u32::from(side == Side::Sell);
        let mut orders = Vec::new();
        let mut slot = self.0.store().order(sentinel).prev;
        while slot != sentinel {
            let order = self.0.store().order(slot);
            orders.push(OrderId::new(slot, order.generation as u8).expect("a slot"));
            slot = order.prev;
        }
        orders
    }
}

impl Venue for Exchange {
    fn apply(&mut self, command: &Command) -> Outcome {
        self.0.apply(command)
    }

    fn system(&self) -> SystemState {
        let system = self.0.system();
        SystemState {
            time: TimeMs::new(system.time).expect("a time"),
            deposits: system.deposits.into(),
            free_head: system.free_head,
            fresh: system.fresh,
            free_list: self.0.free_list(),
        }
    }

    fn account(&self, id: AccountId) -> AccountState {
        let account = self.0.account(id);
        let entries = account.positions.into_iter().map(|entry| {
            let (market, position) = entry?;
            assert_eq!(position.market, market.get() + 1, "directory and position name the same market");
            Some(PositionState {
                market,
                size: position.size.try_into().expect("a position is bounded"),
                quote: position.quote.into(),
                bids: position.bids,
                asks: position.asks,
                open_orders: position.open_orders.try_into().expect("open orders are bounded"),
            })
        });
        AccountState { collateral: account.collateral.into(), entries: entries.collect(), high: account.entries }
    }

    fn book(&self, market: MarketId, side: Side) -> Vec<OrderState> {
        let view = |order: OrderView| OrderState {
            order: order.order,
            account: order.account,
            entry: order.entry,
            price: order.price,
            size: order.size,
            reduce_only: order.reduce_only,
        };
        self.0.book(market, side).into_iter().map(view).collect()
    }

    fn mark(&self, market: MarketId) -> Option<Price> {
        let slot = self.0.store().market(market.get());
        slot.exists.then(|| Price::try_from(u128::from(slot.mark)).expect("a price"))
    }

    fn fills(&self) -> Vec<FillState> {
        let view = |event: &Event<Plain>| match event {
            Event::Filled {
                maker_slot,
                maker_generation,
                maker_account,
                taker_account,
                market,
                taker_buys,
                price,
                size,
                maker_fee,
                taker_fee,
            } => Some(FillState {
                market: MarketId::new(*market).expect("a market"),
                taker: AccountId::new(*taker_account).expect("an account"),
                taker_side: if *taker_buys { Side::Buy } else { Side::Sell },
                maker: AccountId::new(*maker_account).expect("an account"),
                maker_order: OrderId::new(*maker_slot, *maker_generation as u8).expect("an order"),
                price: Price::try_from(u128::from(*price)).expect("a price"),
                size: Size::new(*size).expect("a size"),
                taker_fee: (*taker_fee).into(),
                maker_fee: (*maker_fee).into(),
            }),
            _ => None,
        };
        self.0.events().iter().filter_map(view).collect()
    }
}

/// Both, in step.
struct Pair {
    exchange: Exchange,
    model: Model,
    applied: usize,
}

impl Pair {
    fn new(scenario: &Scenario) -> Self {
        Self { exchange: Exchange::new(scenario), model: scenario.model(), applied: 0 }
    }

    /// Applies a command to both. An error says how they differ.
    fn apply(&mut self, scenario: &Scenario, command: &Command) -> Result<(), String> {
        let both = AssertUnwindSafe(|| {
            let expected = self.model.apply(command);
            let got = self.exchange.apply(command);
            same("outcome", &expected, &got)?;
            self.applied += 1;
            self.compare_touched()?;
            if self.applied.is_multiple_of(FULL_EVERY) { self.compare_all(scenario) } else { Ok(()) }
        });
        catch_unwind(both).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)");
            Err(format!("panic: {text}"))
        })
    }

    fn compare_touched(&self) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        same("fills", &model.fills().to_vec(), &exchange.fills())?;
        same("system", &model.system(), &exchange.system())?;
        for account in &model.touched().accounts {
            same(&format!("account {account}"), &model.account(*account), &exchange.account(*account))?;
        }
        for market in &model.touched().markets {
            self.compare_market(*market)?;
        }
        Ok(())
    }

    fn compare_market(&self, market: MarketId) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        same(&format!("mark of market {market}"), &model.mark(market), &exchange.mark(market))?;
        for side in [Side::Buy, Side::Sell] {
            let (expected, got) = (model.book(market, side).to_vec(), exchange.book(market, side));
            same(&format!("book {market} {side:?}"), &expected, &got)?;
        }
        Ok(())
    }

    fn compare_all(&self, scenario: &Scenario) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        for id in 0..scenario.stream.accounts {
            let id = AccountId::new(id).expect("accounts are few");
            same(&format!("account {id}"), &model.account(id), &exchange.account(id))?;
        }
        for id in 0..scenario.genesis.markets.len() as u32 {
            let market = MarketId::new(id).expect("a market");
            self.compare_market(market)?;
            for side in [Side::Buy, Side::Sell] {
                let expected: Vec<OrderId> = model.book(market, side).iter().rev().map(|order| order.order).collect();
                let got = exchange.book_backwards(market, side);
                same(&format!("book {market} {side:?} backwards"), &expected, &got)?;
            }
        }
        for (slot, generation) in model.snapshot().generations {
            let got = exchange.0.store().order(slot).generation;
            same(&format!("generation of slot {slot}"), &u32::from(generation), &got)?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}\nexpected {expected:#?}\ngot      {got:#?}")) }
}

/// The first difference on given commands.
fn difference(scenario: &Scenario, commands: &[Command]) -> Option<String> {
    let mut pair = Pair::new(scenario);
    let differs = commands.iter().find_map(|command| pair.apply(scenario, command).err());
    differs.or_else(|| pair.compare_all(scenario).err())
}

fn check(scenario: &Scenario, seed: u64) {
    let (mut pair, mut stream) = (Pair::new(scenario), scenario.stream(seed));
    let mut commands = Vec::with_capacity(COMMANDS);
    for _ in 0..COMMANDS {
        let command = stream.next(&pair.model);
        commands.push(command);
        if let Err(first) = pair.apply(scenario, &command) {
            let commands = shrink(&commands, |commands| difference(scenario, commands).is_some());
            let text = difference(scenario, &commands).unwrap_or(first);
            let lines: String = commands.iter().map(|command| format!("  {command:?}\n")).collect();
            panic!("scenario {}, seed {seed}: {text}\nafter\n{lines}", scenario.name);
        }
    }
    if let Err(text) = pair.compare_all(scenario) {
        panic!("scenario {}, seed {seed}, at the end: {text}", scenario.name);
    }
}

/// Seeds per scenario: [`SEEDS`], or more for a long run of as many commands as the environment asks for.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("HOLDFAST_DIFFERENTIAL_COMMANDS") {
        Ok(commands) => {
            let commands: u64 = commands.parse().expect("HOLDFAST_DIFFERENTIAL_COMMANDS is a number of commands");
            0..commands.div_ceil(SCENARIOS * COMMANDS as u64)
        }
        Err(_) => SEEDS,
    }
}

fn check_all(name: &str) {
    let scenario = Scenario::named(name);
    seeds().for_each(|seed| check(&scenario, seed));
}

/// An order meets more opposite orders than one command may look at: it stops, and its remainder expires; and a fill-or-kill order does not look further.
#[test]
fn a_command_looks_at_a_bounded_number_of_makers() {
    let scenario = Scenario::named("calm");
    let mut pair = Pair::new(&scenario);
    let (maker, taker) = (AccountId::new(3).expect("an account"), AccountId::new(4).expect("an account"));
    let price = scenario.genesis.markets[0].mark;
    let place = |account, side, size, time_in_force| {
        Command::Place(Place {
            account,
            market: MarketId::new(0).expect("a market"),
            side,
            time_in_force,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price,
            size: Size::new(size).expect("a size"),
        })
    };
    let makers = u64::from(limits::MAKERS_MAX);
    let mut apply = |command: &Command| {
        pair.apply(&scenario, command).unwrap_or_else(|difference| panic!("{command:?}: {difference}"));
        pair.exchange.0.events().len()
    };
    for account in [maker, taker] {
        apply(&Command::Deposit(Deposit { account, amount: Amount::new(1 << 70).expect("an amount") }));
    }
    // Open orders are limited per account: several accounts make the queue.
    let per_account = u64::from(scenario.genesis.markets[0].open_orders_max);
    for order in 0..makers + 2 {
        let account = AccountId::new(10 + (order / per_account) as u32).expect("an account");
        if order % per_account == 0 {
            apply(&Command::Deposit(Deposit { account, amount: Amount::new(1 << 70).expect("an amount") }));
        }
        assert_eq!(apply(&place(account, Side::Sell, 1, TimeInForce::GoodTillCancel)), 1, "order {order} rests");
    }
    assert_eq!(apply(&place(taker, Side::Buy, makers + 1, TimeInForce::FillOrKill)), 0, "not fillable within the bound");
    let events = apply(&place(taker, Side::Buy, makers + 2, TimeInForce::GoodTillCancel));
    assert_eq!(events as u64, 2 * makers + 1, "as many fills and removals as the bound, and then the rest expires");
}

#[test]
fn calm_markets_agree() {
    check_all("calm");
}

#[test]
fn frantic_markets_agree() {
    check_all("frenzy");
}

#[test]
fn thin_margins_agree() {
    check_all("margin");
}

#[test]
fn full_directories_agree() {
    check_all("directory");
}

#[test]
fn tiny_prices_agree() {
    check_all("tiny-prices");
}

#[test]
fn extreme_numbers_agree() {
    check_all("extremes");
}

#[test]
fn full_books_agree() {
    check_all("full-book");
}
