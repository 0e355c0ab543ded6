//! The exchange and the model, run in step and compared.

use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_exchange::{Engine, Event, OrderView, Plain};
use holdfast_protocol::{AccountId, Command, Genesis, MarketId, OrderId, Outcome, Price, Side, Size, TimeMs, limits};
use holdfast_sim::{AccountState, FillState, Model, OrderState, PositionState, Scenario, SystemState, Venue};

/// Everything there is, links and generations included, is compared every so many commands.
const FULL_EVERY: usize = 256;

/// The exchange, seen as the model is.
pub struct Exchange(pub Engine);

#[allow(dead_code, reason = "each test file uses its part of this module")]
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
pub struct Pair {
    pub exchange: Exchange,
    pub model: Model,
    applied: usize,
    outcome: Option<Outcome>,
    accounts: u32,
    markets: u32,
}

impl Pair {
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            exchange: Exchange::new(scenario),
            model: scenario.model(),
            applied: 0,
            outcome: None,
            accounts: scenario.stream.accounts,
            markets: scenario.genesis.markets.len() as u32,
        }
    }

    /// Both from a genesis of real flow, with accounts below `accounts`.
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn of_genesis(genesis: &Genesis, accounts: u32) -> Self {
        let engine = Engine::new(genesis).expect("the genesis is valid");
        let markets = genesis.markets.len() as u32;
        Self { exchange: Exchange(engine), model: Model::new(genesis), applied: 0, outcome: None, accounts, markets }
    }

    /// What became of the last command.
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn last_outcome(&self) -> Outcome {
        self.outcome.expect("a command was applied")
    }

    /// Applies a command to both. An error says how they differ.
    pub fn apply(&mut self, command: &Command) -> Result<(), String> {
        let both = AssertUnwindSafe(|| {
            let expected = self.model.apply(command);
            let got = self.exchange.apply(command);
            same("outcome", &expected, &got)?;
            self.outcome = Some(got);
            self.applied += 1;
            self.compare_touched()?;
            if self.applied.is_multiple_of(FULL_EVERY) { self.compare_all() } else { Ok(()) }
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

    pub fn compare_all(&self) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        for id in 0..self.accounts {
            let id = AccountId::new(id).expect("accounts are few");
            same(&format!("account {id}"), &model.account(id), &exchange.account(id))?;
        }
        for id in 0..self.markets {
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
