//! The exchange and the model, run in step and compared.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use holdfast_crypto::{Digest, field::cell_to_canonical};
use holdfast_exchange::{
    Engine, Event, OrderView, Plain, Refusal,
    authority::{check_seals, public_key},
    slots::{Owner, Session},
};
use holdfast_protocol::{
    AccountId, Address, Command, Genesis, Instruction, KeyIndex, MarketId, OrderId, Outcome, Price, Register, Side,
    Size, TimeMs, Withdraw,
    authority::{head_absorb, head_start},
    cells::{PART_BITS, absorb, owner_from_cells},
    command::{INBOX, PAYOUTS},
    limits,
};
use holdfast_sim::{
    AccountState, FillState, Keyring, Model, OrderState, PositionState, Scenario, SessionState, SystemState, Venue,
    keyring::KEYS,
};

/// Everything there is, links and generations included, is compared every so many commands.
const FULL_EVERY: usize = 256;
/// Every session is sealed every so many commands, as at the end of a batch.
const SEAL_EVERY: usize = 8_192;
/// The heads of sessions are compared with those that a client computes every so many commands: hashing is slow.
const HEAD_EVERY: usize = 8;
/// The first seals of a scenario are made of signatures, as they should be; the others are written, for signatures are
/// slower still.
const SIGNED_SEALS: u32 = 16;

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring::new(KEYS));

/// The exchange, seen as the model is.
pub struct Exchange {
    pub engine: Engine,
    /// Seals still to be made of signatures.
    signed_seals: u32,
}

#[allow(dead_code, reason = "each test file uses its part of this module")]
impl Exchange {
    fn of_scenario(scenario: &Scenario) -> Self {
        let mut engine = Engine::new(&scenario.genesis).expect("the genesis is valid");
        if scenario.fresh != limits::FIRST_ORDER {
            let mut system = engine.system().clone();
            system.fresh = scenario.fresh;
            engine.store_mut().set_system(system);
        }
        Self { engine, signed_seals: SIGNED_SEALS }
    }

    fn seal(&mut self, account: AccountId, key: KeyIndex) {
        if self.signed_seals == 0 {
            return self.write_seal(account, key);
        }
        self.signed_seals -= 1;
        let session = self.engine.store().session_of((account, key));
        let public_key = public_key(session).expect("only a registered key is unsealed");
        let seal = KEYRING.seal(account, key, &public_key, &session.head, 0);
        for verified in check_seals(self.engine.store(), &[seal]).expect("the key has signed") {
            self.engine.seal(&verified);
        }
    }

    fn write_seal(&mut self, account: AccountId, key: KeyIndex) {
        let mut session = self.engine.store().session_of((account, key)).clone();
        let mut system = self.engine.system().clone();
        assert!(session.unsealed, "only what is unsealed is sealed");
        session.unsealed = false;
        system.unsealed -= 1;
        self.engine.store_mut().set_session(account.get(), key.get(), session);
        self.engine.store_mut().set_system(system);
    }

    /// A book from its worst order to its best, by the backward links.
    fn book_backwards(&self, market: MarketId, side: Side) -> Vec<OrderId> {
        let sentinel = 2 * market.get() + u32::from(side == Side::Sell);
        let mut orders = Vec::new();
        let mut slot = self.engine.store().order(sentinel).prev;
        while slot != sentinel {
            let order = self.engine.store().order(slot);
            orders.push(OrderId::new(slot, order.generation as u8).expect("a slot"));
            slot = order.prev;
        }
        orders
    }
}

impl Venue for Exchange {
    fn apply(&mut self, instruction: &Instruction) -> Option<Outcome> {
        match self.engine.instruct(instruction) {
            Ok(outcome) => Some(outcome),
            Err(Refusal::NoKey { .. } | Refusal::WornOut { .. } | Refusal::Unsealed { .. }) => None,
            Err(refusal) => panic!("{refusal}"),
        }
    }

    fn system(&self) -> SystemState {
        let system = self.engine.system();
        SystemState {
            time: TimeMs::new(system.time).expect("a time"),
            operator: AccountId::new(system.operator).expect("an account"),
            settled: system.registrar == limits::BRIDGE,
            forced: self.engine.store().session_of(INBOX).sequence,
            payouts: self.engine.store().session_of(PAYOUTS).sequence,
            deposits: system.deposits.into(),
            free_head: system.free_head,
            fresh: system.fresh,
            free_list: self.engine.free_list(),
            unsealed: system.unsealed,
        }
    }

    fn owner(&self, account: AccountId) -> Option<Address> {
        let Owner { open, address } = self.engine.store().owner(account.get());
        let cells = address.map(cell_to_canonical);
        assert!(*open || cells == [0; 6], "an account that is not open has no address");
        open.then(|| owner_from_cells(&cells).expect("the cells of an address"))
    }

    fn session(&self, account: AccountId, key: KeyIndex) -> SessionState {
        let session = self.engine.store().session_of((account, key));
        let Session { live, public_key: cells, withdraws, expiry, unsealed, generation, sequence, head } = session;
        assert!(*live || cells.map(cell_to_canonical) == [0; 14], "an empty place has no key");
        assert!(*live || *head == Digest::default(), "an empty place has no head");
        SessionState {
            public_key: public_key(session),
            withdraws: *withdraws,
            expiry: TimeMs::new(*expiry).expect("a time"),
            unsealed: *unsealed,
            generation: *generation,
            sequence: *sequence,
        }
    }

    fn account(&self, id: AccountId) -> AccountState {
        let account = self.engine.account(id);
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
        self.engine.book(market, side).into_iter().map(view).collect()
    }

    fn mark(&self, market: MarketId) -> Option<Price> {
        let slot = self.engine.store().market(market.get());
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
        self.engine.events().iter().filter_map(view).collect()
    }
}

/// Both, in step.
pub struct Pair {
    pub exchange: Exchange,
    pub model: Model,
    applied: usize,
    outcome: Option<Outcome>,
    domain: Digest,
    accounts: u32,
    markets: u32,
}

impl Pair {
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn new(scenario: &Scenario) -> Self {
        Self::of(&scenario.genesis, Exchange::of_scenario(scenario), scenario.model(), scenario.stream.accounts)
    }

    /// Both from a genesis of real flow, with accounts below `accounts`. Their keys are not on the keyring.
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn of_genesis(genesis: &Genesis, accounts: u32) -> Self {
        let engine = Engine::new(genesis).expect("the genesis is valid");
        Self::of(genesis, Exchange { engine, signed_seals: 0 }, Model::new(genesis), accounts)
    }

    fn of(genesis: &Genesis, exchange: Exchange, model: Model, accounts: u32) -> Self {
        let (domain, markets) = (genesis.deployment.domain(), genesis.markets.len() as u32);
        let pair = Self { exchange, model, applied: 0, outcome: None, domain, accounts, markets };
        for place in pair.model.sessions().into_keys() {
            pair.compare_head_start(place).expect("the genesis starts the chains");
        }
        pair
    }

    /// What became of the last command.
    #[allow(dead_code, reason = "each test file uses its part of this module")]
    pub fn last_outcome(&self) -> Outcome {
        self.outcome.expect("a command was applied")
    }

    /// Applies an instruction to both, once what it takes away is sealed. An error says how they differ.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<(), String> {
        let both = AssertUnwindSafe(|| {
            if let Some((account, key)) = self.model.seal_due(instruction) {
                let unsealed = (self.model.apply(instruction), self.exchange.apply(instruction));
                assert_eq!(unsealed, (None, None), "a key does not go unsealed");
                self.seal(account, key);
            }
            let before = self.exchange.engine.store().session_of(instruction.session()).clone();
            let payouts = self.exchange.engine.store().session_of(PAYOUTS).clone();
            let expected = self.model.apply(instruction);
            let got = self.exchange.apply(instruction);
            same("outcome", &expected, &got)?;
            self.outcome = got;
            self.applied += 1;
            self.compare_touched()?;
            if got.is_some() && self.applied.is_multiple_of(HEAD_EVERY) {
                let expected = head_absorb(&before.head, before.sequence, instruction);
                same("head", &expected, &self.head(instruction.session()))?;
            }
            if let (Some(Outcome::Accepted), Command::Withdraw(Withdraw { account, amount })) =
                (got, &instruction.command)
            {
                let part = |index: u32| (amount.get() >> (index * PART_BITS)) as u32 & ((1 << PART_BITS) - 1);
                let block = [account.get(), part(0), part(1), part(2), 0, 0, 0];
                same("payouts", &absorb(&payouts.head, &block, payouts.sequence), &self.head(PAYOUTS))?;
            }
            if let (Some(Outcome::Accepted), Command::Register(Register { account, key, .. })) =
                (got, instruction.command)
            {
                self.compare_head_start((account, key))?;
            }
            if self.applied.is_multiple_of(SEAL_EVERY) {
                self.seal_all();
            }
            if self.applied.is_multiple_of(FULL_EVERY) { self.compare_all() } else { Ok(()) }
        });
        catch_unwind(both).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)");
            Err(format!("panic: {text}"))
        })
    }

    fn seal(&mut self, account: AccountId, key: KeyIndex) {
        self.model.seal(account, key);
        self.exchange.seal(account, key);
    }

    fn seal_all(&mut self) {
        for ((account, key), session) in self.model.sessions() {
            if session.unsealed {
                self.seal(account, key);
            }
        }
        assert_eq!((self.model.system().unsealed, self.exchange.system().unsealed), (0, 0), "a batch ends sealed");
    }

    fn head(&self, place: (AccountId, KeyIndex)) -> Digest {
        self.exchange.engine.store().session_of(place).head
    }

    /// A session that has not asked for anything yet.
    fn compare_head_start(&self, (account, key): (AccountId, KeyIndex)) -> Result<(), String> {
        let generation = self.model.session(account, key).generation;
        same("first head", &head_start(&self.domain, account, key, generation), &self.head((account, key)))
    }

    fn compare_touched(&self) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        same("fills", &model.fills().to_vec(), &exchange.fills())?;
        same("system", &model.system(), &exchange.system())?;
        for account in &model.touched().accounts {
            same(format_args!("account {account}"), &model.account(*account), &exchange.account(*account))?;
            same(format_args!("owner of account {account}"), &model.owner(*account), &exchange.owner(*account))?;
        }
        for place in &model.touched().sessions {
            self.compare_session(*place)?;
        }
        for market in &model.touched().markets {
            self.compare_market(*market)?;
        }
        Ok(())
    }

    fn compare_session(&self, (account, key): (AccountId, KeyIndex)) -> Result<(), String> {
        let (expected, got) = (self.model.session(account, key), self.exchange.session(account, key));
        same(format_args!("account {account}, session key {key}"), &expected, &got)
    }

    fn compare_market(&self, market: MarketId) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        same(format_args!("mark of market {market}"), &model.mark(market), &exchange.mark(market))?;
        for side in [Side::Buy, Side::Sell] {
            let (expected, got) = (model.book(market, side).to_vec(), exchange.book(market, side));
            same(format_args!("book {market} {side:?}"), &expected, &got)?;
        }
        Ok(())
    }

    pub fn compare_all(&self) -> Result<(), String> {
        let Self { exchange, model, .. } = self;
        for id in 0..self.accounts {
            let id = AccountId::new(id).expect("accounts are few");
            same(format_args!("account {id}"), &model.account(id), &exchange.account(id))?;
            same(format_args!("owner of account {id}"), &model.owner(id), &exchange.owner(id))?;
            for key in 0..limits::KEYS_MAX as u32 {
                self.compare_session((id, KeyIndex::new(key).expect("below their number")))?;
            }
        }
        for id in 0..self.markets {
            let market = MarketId::new(id).expect("a market");
            self.compare_market(market)?;
            for side in [Side::Buy, Side::Sell] {
                let expected: Vec<OrderId> = model.book(market, side).iter().rev().map(|order| order.order).collect();
                let got = exchange.book_backwards(market, side);
                same(format_args!("book {market} {side:?} backwards"), &expected, &got)?;
            }
        }
        for (slot, generation) in model.snapshot().generations {
            let got = exchange.engine.store().order(slot).generation;
            same(format_args!("generation of slot {slot}"), &u32::from(generation), &got)?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: impl std::fmt::Display, expected: &T, got: &T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}\nexpected {expected:#?}\ngot      {got:#?}")) }
}
