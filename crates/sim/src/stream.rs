//! Seeded random commands, aimed at the edges of the rules.
//!
//! A stream looks at a [`Venue`] before each command: at the books to find orders worth crossing, amending or
//! cancelling, at positions and margin to place orders that only just are, or are not, acceptable, at session keys to
//! sign with. The same seed and the same venue states give the same commands, whichever implementation runs them.
//!
//! Every instruction is of a registered key. The oracle and the operator always keep one that never expires. A key that
//! an instruction takes away may have to be sealed before: see [`Venue::seal_due`].

use holdfast_protocol::{
    AccountId, Address, Amend, Amount, Cancel, CancelAll, Command, Deposit, Genesis, Instruction, KeyIndex, Mark,
    MarketId, Open, OrderId, Place, Price, Register, Release, Revoke, SelfTrade, Side, Size, Time, TimeInForce, TimeMs,
    Withdraw, limits,
};
use num_bigint::BigInt;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{
    keyring::{self, KEYS},
    view::{AccountState, OrderState, PositionState, SessionState, Venue, place_of},
};

/// How many ids of orders seen are kept to be used again when they may be stale.
const SEEN_MAX: usize = 64;
/// A key of this expiry never expires.
pub const NEVER: TimeMs = match TimeMs::new((1 << limits::TIME_BITS) - 1) {
    Ok(time) => time,
    Err(_) => unreachable!(),
};

#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// Account ids 0 to `accounts` − 1 act once they are open, those of the genesis' roles among them.
    pub accounts: u32,
    /// Orders of one market beyond which the stream turns to cancelling.
    pub depth_max: usize,
    /// Prices lie up to this many ticks away from the mark.
    pub width: u32,
    /// Largest ordinary order, in lots.
    pub size_max: u64,
    /// Largest ordinary deposit or withdrawal, in quote units.
    pub amount_max: u128,
    /// Percentage of deposits that are as large as they can be.
    pub huge_deposits: u64,
    /// Percentage of order prices, sizes and marks drawn from the whole range of the type.
    pub wild: u64,
    pub weights: Weights,
}

/// Relative frequencies of the commands.
#[derive(Debug, Clone)]
pub struct Weights {
    pub deposit: u64,
    pub withdraw: u64,
    pub place: u64,
    pub cancel: u64,
    pub cancel_all: u64,
    pub amend: u64,
    pub mark: u64,
    pub time: u64,
    pub release: u64,
    pub open: u64,
    pub register: u64,
    pub revoke: u64,
}

#[derive(Debug, Clone)]
pub struct Stream {
    config: StreamConfig,
    genesis: Genesis,
    dice: Dice,
    /// Per market: whether its mark currently tends to rise.
    rising: Vec<bool>,
    /// Some of the order ids that were ever seen in a book.
    seen: Vec<OrderId>,
}

impl Stream {
    pub fn new(seed: u64, config: StreamConfig, genesis: &Genesis) -> Self {
        assert!(config.accounts > 0);
        Self {
            config,
            genesis: genesis.clone(),
            dice: Dice(ChaCha8Rng::seed_from_u64(seed)),
            rising: vec![true; genesis.markets.len()],
            seen: Vec::new(),
        }
    }

    pub fn next(&mut self, venue: &impl Venue) -> Instruction {
        let command = self.command(venue);
        Instruction { key: self.key(venue, &command), command }
    }

    fn command(&mut self, venue: &impl Venue) -> Command {
        let market = self.existing_market();
        let orders = self.orders(venue, market);
        self.remember(&orders);
        if orders.len() > self.config.depth_max && self.dice.percent(50) {
            return self.thin_out(venue, &orders, market);
        }
        let weights = &self.config.weights;
        let weights = [
            weights.deposit,
            weights.withdraw,
            weights.place,
            weights.cancel,
            weights.cancel_all,
            weights.amend,
            weights.mark,
            weights.time,
            weights.release,
            weights.open,
            weights.register,
            weights.revoke,
        ];
        match self.dice.weighted(&weights) {
            0 => self.deposit(venue),
            1 => self.withdraw(venue),
            2 => self.place(venue, market),
            3 => self.cancel(venue, &orders),
            4 => Command::CancelAll(CancelAll { account: self.account(venue), market: self.any_market() }),
            5 => self.amend(venue, market, &orders),
            6 => self.mark(venue),
            7 => self.time(venue),
            8 => self.release(venue),
            9 => self.open(venue),
            10 => self.register(venue),
            _ => self.revoke(venue),
        }
    }

    fn deposit(&mut self, venue: &impl Venue) -> Command {
        let account = if self.dice.percent(80) { self.account(venue) } else { self.any_account() };
        let room = limits::DEPOSITS_MAX - u128_of(&venue.system().deposits);
        let amount = if self.dice.percent(self.config.huge_deposits) {
            Amount::BOUND - 1
        } else {
            match self.dice.below(20) {
                0 => 0,
                // As much as fits under the cap, or one unit more.
                1 => room + self.dice.below_wide(2),
                // What an account that owes needs to trade again.
                2..=7 => {
                    let owed = u128_of(&-margin(venue, &self.genesis, &venue.account(account)).equity);
                    owed + self.dice.log(self.config.amount_max)
                }
                _ => self.dice.log(self.config.amount_max),
            }
        };
        Command::Deposit(Deposit { sender: self.operator(venue), account, amount: amount_of(amount) })
    }

    fn withdraw(&mut self, venue: &impl Venue) -> Command {
        let account = self.account(venue);
        let state = venue.account(account);
        let collateral = u128_of(&state.collateral);
        let amount = match self.dice.below(8) {
            0 if self.dice.percent(30) => 0,
            0 | 1 => collateral,
            2 => collateral + 1,
            // What initial margin leaves free, or one unit more.
            3 | 4 => u128_of(&(margin(venue, &self.genesis, &state).free / limits::PPM)) + self.dice.below_wide(2),
            // Profit that the vault does not hold.
            5 => u128_of(&venue.system().deposits) + self.dice.below_wide(2),
            _ => self.dice.log(self.config.amount_max),
        };
        Command::Withdraw(Withdraw { account, amount: amount_of(amount) })
    }

    fn place(&mut self, venue: &impl Venue, market: MarketId) -> Command {
        let account = self.account(venue);
        let time_in_force = match self.dice.below(20) {
            0..10 => TimeInForce::GoodTillCancel,
            10..13 => TimeInForce::ImmediateOrCancel,
            13..16 => TimeInForce::FillOrKill,
            _ => TimeInForce::PostOnly,
        };
        let mut place = Place {
            account,
            market,
            side: self.side(),
            time_in_force,
            reduce_only: self.dice.percent(8),
            self_trade: self.self_trade(),
            price: self.price(venue, market),
            size: size_of(self.dice.log(self.config.size_max.into())),
        };
        let state = venue.account(account);
        let held = state.entries.iter().flatten().find(|position| position.market == market);
        match self.dice.below(10) {
            0..4 => self.aim_at_book(venue, &mut place),
            4 => self.aim_at_margin(venue, &state, &mut place),
            5 => self.aim_at_limit(held, &mut place),
            6 | 7 => self.aim_at_position(venue, held, &mut place),
            _ => {}
        }
        if self.dice.percent(2) {
            place.market = self.any_market();
        }
        if self.dice.percent(1) {
            place.price = price_of(0);
        }
        if self.dice.percent(1) {
            place.size = size_of(0);
        }
        Command::Place(place)
    }

    /// Prices the order at the level of some opposite order, and sizes it to what lies before that, give or take a lot.
    fn aim_at_book(&mut self, venue: &impl Venue, place: &mut Place) {
        let opposite = venue.book(place.market, opposite(place.side));
        if opposite.is_empty() {
            return;
        }
        let reach = self.dice.index(opposite.len());
        place.price = opposite[reach].price;
        let others = opposite[..=reach].iter().filter(|order| order.account != place.account);
        let within: u128 = others.map(|order| u128::from(order.size.get())).sum();
        if self.dice.percent(60) {
            place.size = size_of((within + self.dice.below_wide(3)).saturating_sub(1).max(1));
        }
    }

    /// Sizes the order to what initial margin just allows, give or take a lot.
    fn aim_at_margin(&mut self, venue: &impl Venue, state: &AccountState, place: &mut Place) {
        let rules = &self.genesis.markets[place.market.get() as usize];
        let mark = venue.mark(place.market).expect("the market exists");
        let per_lot = u128::from(mark.get()) * u128::from(rules.initial_margin_ppm);
        let free = u128_of(&margin(venue, &self.genesis, state).free) / per_lot;
        place.size = size_of((free + self.dice.below_wide(3)).saturating_sub(1).max(1));
        place.reduce_only = false;
    }

    /// Sizes the order to what the position limit just allows, give or take a lot.
    fn aim_at_limit(&mut self, held: Option<&PositionState>, place: &mut Place) {
        let limit = i128::from(self.genesis.markets[place.market.get() as usize].position_max);
        let used = held.map_or(0, |position| match place.side {
            Side::Buy => i128::from(position.size) + i128::from(position.bids),
            Side::Sell => i128::from(position.asks) - i128::from(position.size),
        });
        let room = u128::try_from(limit - used).expect("the limit holds");
        place.size = size_of((room + self.dice.below_wide(3)).saturating_sub(1).max(1));
    }

    /// Closes, shrinks or flips the position, often reduce-only and often at a price that matches.
    fn aim_at_position(&mut self, venue: &impl Venue, held: Option<&PositionState>, place: &mut Place) {
        place.reduce_only = self.dice.percent(70);
        let Some(position) = held else { return };
        let against = if position.size > 0 { Side::Sell } else { Side::Buy };
        if self.dice.percent(90) {
            place.side = against;
        }
        let size = u128::from(position.size.unsigned_abs());
        place.size = size_of(match self.dice.below(6) {
            0 => size + 1,
            1 => size * 2,
            2 | 3 => self.dice.log(size),
            _ => size.max(1),
        });
        if self.dice.percent(60)
            && let Some(best) = venue.book(place.market, opposite(place.side)).first()
        {
            place.price = best.price;
        }
    }

    fn cancel(&mut self, venue: &impl Venue, orders: &[(Side, OrderState)]) -> Command {
        let (account, order) = self.some_order(venue, orders);
        Command::Cancel(Cancel { account, order })
    }

    fn amend(&mut self, venue: &impl Venue, market: MarketId, orders: &[(Side, OrderState)]) -> Command {
        let (account, order) = self.some_order(venue, orders);
        let self_trade = self.self_trade();
        let (mut price, mut size) = (self.price(venue, market), size_of(self.dice.log(self.config.size_max.into())));
        if let Some((side, old)) = orders.iter().find(|(_, old)| old.order == order) {
            let crossed = venue.book(market, opposite(*side));
            let remaining = u128::from(old.size.get());
            match self.dice.below(12) {
                0..3 => (price, size) = (old.price, size_of(self.dice.log(remaining))),
                3 => (price, size) = (old.price, old.size),
                4 => (price, size) = (old.price, size_of(remaining + self.dice.log(self.config.size_max.into()))),
                5 | 6 => size = old.size,
                7..9 if !crossed.is_empty() => price = crossed[self.dice.index(crossed.len())].price,
                9 => size = size_of(self.genesis.markets[market.get() as usize].position_max.into()),
                _ => {}
            }
        }
        if self.dice.percent(2) {
            price = price_of(0);
        }
        if self.dice.percent(2) {
            size = size_of(0);
        }
        Command::Amend(Amend { account, order, self_trade, price, size })
    }

    fn mark(&mut self, venue: &impl Venue) -> Command {
        let market = self.existing_market();
        let index = market.get() as usize;
        let rules = &self.genesis.markets[index];
        let start = u128::from(rules.mark.get());
        let mark = u128::from(venue.mark(market).expect("the market exists").get());
        let most = mark * u128::from(rules.mark_move_ppm) / u128::from(limits::PPM);
        // The mark wanders within an eighth and eight times where it started, with a will to turn around at times.
        if mark > start * 8 || (mark > 1 && mark < start / 8) || self.dice.percent(4) {
            self.rising[index] = mark <= start;
        }
        let step = match self.dice.below(10) {
            0..4 => most,
            4 => most + 1,
            5 => 0,
            _ => self.dice.log(most.max(1)),
        };
        let price = if self.dice.percent(self.config.wild) {
            self.dice.log(Price::BOUND - 1)
        } else if self.rising[index] != self.dice.percent(10) {
            mark + step
        } else {
            mark.saturating_sub(step)
        };
        let sender = if self.dice.percent(4) { self.account(venue) } else { self.genesis.oracle };
        let market = if self.dice.percent(2) { self.any_market() } else { market };
        let price = if self.dice.percent(2) { 0 } else { price };
        Command::Mark(Mark { sender, market, price: price_of(price) })
    }

    fn time(&mut self, venue: &impl Venue) -> Command {
        let now = u128::from(venue.system().time.get());
        let time = match self.dice.below(8) {
            0 => now,
            1 => now.saturating_sub(1),
            2 => self.dice.log(now.max(1)),
            _ => now + self.dice.log(1000),
        };
        let sender = self.operator(venue);
        let time = time.min(TimeMs::BOUND - 1);
        Command::Time(Time { sender, time: TimeMs::try_from(time).expect("bounded above") })
    }

    fn release(&mut self, venue: &impl Venue) -> Command {
        let account = self.account(venue);
        let entries = venue.account(account).entries;
        let held: Vec<&PositionState> = entries.iter().flatten().collect();
        let flat: Vec<&&PositionState> =
            held.iter().filter(|position| position.size == 0 && position.open_orders == 0).collect();
        let market = match self.dice.below(4) {
            0 => self.any_market(),
            1 if !held.is_empty() => held[self.dice.index(held.len())].market,
            _ if !flat.is_empty() => flat[self.dice.index(flat.len())].market,
            _ => self.any_market(),
        };
        Command::Release(Release { account, market })
    }

    fn open(&mut self, venue: &impl Venue) -> Command {
        let mut owner = [0; 20];
        owner.iter_mut().for_each(|byte| *byte = self.dice.below(256) as u8);
        Command::Open(Open { sender: self.operator(venue), account: self.any_account(), owner: Address::from(owner) })
    }

    fn register(&mut self, venue: &impl Venue) -> Command {
        let (account, key) = self.place_for_key(venue);
        let held = venue.session(account, key).public_key;
        let now = venue.system().time.get();
        let expiry = match self.dice.below(12) {
            0 => now,
            1 => now - 1,
            2..4 => (now + self.dice.log(20_000) as u64).min(NEVER.get()),
            _ => NEVER.get(),
        };
        let any = keyring::public_key(self.dice.below(KEYS.into()) as u32);
        Command::Register(Register {
            sender: self.operator(venue),
            account,
            key,
            replaces: held.is_some() != self.dice.percent(15),
            withdraws: self.dice.percent(75),
            expiry: TimeMs::new(expiry).expect("bounded above"),
            public_key: held.filter(|_| self.dice.percent(15)).unwrap_or(any),
        })
    }

    fn revoke(&mut self, venue: &impl Venue) -> Command {
        let (account, key) = self.place_for_key(venue);
        Command::Revoke(Revoke { sender: self.operator(venue), account, key })
    }

    /// A place to put a key into or to take one from; often of an account that has no valid key left.
    fn place_for_key(&mut self, venue: &impl Venue) -> (AccountId, KeyIndex) {
        let mut account = self.any_account();
        let now = venue.system().time;
        let stuck = self.actors().find(|&account| {
            let valid = |session: SessionState| session.public_key.is_some() && session.expiry >= now;
            venue.owner(account).is_some() && !sessions(venue, account).any(|(_, session)| valid(session))
        });
        if let Some(stuck) = stuck
            && self.dice.percent(50)
        {
            account = stuck;
        }
        let key = KeyIndex::new(self.dice.below(limits::KEYS_MAX as u64) as u32).expect("below their number");
        // The oracle must be able to go on. The operator's last key is signed with itself, and stays: see `key`.
        if account == self.genesis.oracle && is_last(venue, account, key) {
            account = self.genesis.operator;
        }
        // Ethereum's asking needs no key of the operator, and would take even its last.
        if self.settled() && account == self.genesis.operator && is_last(venue, account, key) {
            account = self.genesis.fee_account;
        }
        (account, key)
    }

    /// The session key that signs a command: mostly one that may, and not always the same.
    fn key(&mut self, venue: &impl Venue, command: &Command) -> KeyIndex {
        let forced = match command {
            _ if !self.settled() => 0,
            Command::Deposit(_) | Command::Open(_) | Command::Register(_) | Command::Revoke(_) => 94,
            Command::Withdraw(_) | Command::CancelAll(_) => 30,
            Command::Place(_) => 5,
            _ => 0,
        };
        if forced > 0 && self.dice.percent(forced) {
            return KeyIndex::ETHEREUM;
        }
        let signer = command.signer();
        let live: Vec<(KeyIndex, SessionState)> =
            sessions(venue, signer).filter(|(_, session)| session.public_key.is_some()).collect();
        if let Some((account, key)) = place_of(command)
            && account == signer
            && live.iter().any(|(live, _)| *live == key)
            && (is_last(venue, account, key) || self.dice.percent(30))
        {
            return key;
        }
        let now = venue.system().time;
        let withdraws = matches!(command, Command::Withdraw(_));
        let may = |session: &SessionState| session.expiry >= now && (session.withdraws || !withdraws);
        let able: Vec<KeyIndex> = live.iter().filter(|(_, session)| may(session)).map(|(key, _)| *key).collect();
        match self.dice.below(20) {
            0..15 if !able.is_empty() => able[0],
            15..19 if !able.is_empty() => able[self.dice.index(able.len())],
            _ => live[self.dice.index(live.len())].0,
        }
    }

    /// Takes an order from books that have grown too deep, or all orders of its owner.
    fn thin_out(&mut self, venue: &impl Venue, orders: &[(Side, OrderState)], market: MarketId) -> Command {
        let (_, order) = orders[self.dice.index(orders.len())];
        let account = self.owner(venue, &order);
        if self.dice.percent(20) {
            return Command::CancelAll(CancelAll { account, market });
        }
        Command::Cancel(Cancel { account, order: order.order })
    }

    /// Whose order it is; somebody else if that account has no key to sign with.
    fn owner(&mut self, venue: &impl Venue, order: &OrderState) -> AccountId {
        if has_key(venue, order.account) { order.account } else { self.account(venue) }
    }

    /// Mostly a resting order and its owner; else one that is stale, foreign, a sentinel or never existed.
    fn some_order(&mut self, venue: &impl Venue, orders: &[(Side, OrderState)]) -> (AccountId, OrderId) {
        let account = self.account(venue);
        let fresh = venue.system().fresh;
        let generation = self.dice.below(256) as u8;
        match self.dice.below(20) {
            0 => (account, order_id(self.dice.below(limits::FIRST_ORDER.into()) as u32, 0)),
            1 => (account, order_id(self.dice.below(2 * self.genesis.markets.len() as u64) as u32, generation % 2)),
            2 => (account, order_id(fresh + self.dice.below(2) as u32, generation % 2)),
            3 | 4 if !self.seen.is_empty() => (account, self.seen[self.dice.index(self.seen.len())]),
            5 if !self.seen.is_empty() => {
                let slot = self.seen[self.dice.index(self.seen.len())].slot();
                (account, order_id(slot, generation))
            }
            _ if orders.is_empty() => (account, order_id(limits::FIRST_ORDER, generation)),
            6 => (account, orders[self.dice.index(orders.len())].1.order),
            _ => {
                let (_, order) = orders[self.dice.index(orders.len())];
                (self.owner(venue, &order), order.order)
            }
        }
    }

    fn orders(&self, venue: &impl Venue, market: MarketId) -> Vec<(Side, OrderState)> {
        let side = |side| venue.book(market, side).into_iter().map(move |order| (side, order));
        side(Side::Buy).chain(side(Side::Sell)).collect()
    }

    fn remember(&mut self, orders: &[(Side, OrderState)]) {
        if orders.is_empty() {
            return;
        }
        let (_, order) = orders[self.dice.index(orders.len())];
        if self.seen.len() < SEEN_MAX {
            self.seen.push(order.order);
        } else {
            let index = self.dice.index(SEEN_MAX);
            self.seen[index] = order.order;
        }
    }

    /// Around the mark: mostly near it, at times far away.
    fn price(&mut self, venue: &impl Venue, market: MarketId) -> Price {
        if self.dice.percent(self.config.wild) {
            return price_of(self.dice.log(Price::BOUND - 1));
        }
        let mark = u128::from(venue.mark(market).expect("the market exists").get());
        let width = u128::from(self.config.width);
        let offset = if self.dice.percent(50) { self.dice.log(width) } else { self.dice.below_wide(width + 1) };
        price_of(if self.dice.percent(50) { mark + offset } else { mark.saturating_sub(offset).max(1) })
    }

    /// One that has a key to sign with.
    fn account(&mut self, venue: &impl Venue) -> AccountId {
        let start = self.dice.index(self.config.accounts as usize);
        let mut from_there = self.actors().skip(start).chain(self.actors());
        from_there.find(|account| has_key(venue, *account)).expect("the operator has a key")
    }

    /// At times one that nobody has heard of.
    fn any_account(&mut self) -> AccountId {
        let bound = if self.dice.percent(10) { limits::BRIDGE } else { self.config.accounts };
        AccountId::new(self.dice.below(bound.into()) as u32).expect("bounded")
    }

    /// The operator, or at times somebody else.
    fn operator(&mut self, venue: &impl Venue) -> AccountId {
        if self.dice.percent(6) { self.account(venue) } else { self.genesis.operator }
    }

    fn settled(&self) -> bool {
        self.genesis.deployment.is_settled()
    }

    fn actors(&self) -> impl Iterator<Item = AccountId> + use<> {
        (0..self.config.accounts).map(|id| AccountId::new(id).expect("accounts are few"))
    }

    fn existing_market(&mut self) -> MarketId {
        MarketId::new(self.dice.index(self.genesis.markets.len()) as u32).expect("the genesis is bounded")
    }

    /// Often one that does not exist.
    fn any_market(&mut self) -> MarketId {
        if self.dice.percent(20) {
            return MarketId::new(self.dice.below(1 << limits::MARKET_BITS) as u32).expect("bounded");
        }
        self.existing_market()
    }

    fn side(&mut self) -> Side {
        if self.dice.percent(50) { Side::Buy } else { Side::Sell }
    }

    fn self_trade(&mut self) -> SelfTrade {
        [SelfTrade::ExpireTaker, SelfTrade::ExpireMaker, SelfTrade::ExpireBoth][self.dice.index(3)]
    }
}

/// The places for session keys of an account.
fn sessions(venue: &impl Venue, account: AccountId) -> impl Iterator<Item = (KeyIndex, SessionState)> {
    (0..limits::KEYS_MAX as u32).map(move |key| {
        let key = KeyIndex::new(key).expect("below their number");
        (key, venue.session(account, key))
    })
}

fn has_key(venue: &impl Venue, account: AccountId) -> bool {
    sessions(venue, account).any(|(_, session)| session.public_key.is_some())
}

/// Whether an account has no other key that never expires.
fn is_last(venue: &impl Venue, account: AccountId, key: KeyIndex) -> bool {
    let lasts = |session: SessionState| session.public_key.is_some() && session.expiry == NEVER;
    !sessions(venue, account).any(|(other, session)| other != key && lasts(session))
}

/// Where an account stands.
struct Margin {
    equity: BigInt,
    /// `10^6 × equity − initial`: negative when initial margin is not met.
    free: BigInt,
}

fn margin(venue: &impl Venue, genesis: &Genesis, state: &AccountState) -> Margin {
    let mut equity = state.collateral.clone();
    let mut initial = BigInt::ZERO;
    for position in state.entries.iter().flatten() {
        let mark = venue.mark(position.market).expect("a position's market exists").get();
        let (size, bids, asks) = (i128::from(position.size), i128::from(position.bids), i128::from(position.asks));
        let rate = genesis.markets[position.market.get() as usize].initial_margin_ppm;
        equity += BigInt::from(size) * mark + &position.quote;
        initial += BigInt::from((size + bids).max(asks - size)) * mark * rate;
    }
    let free = &equity * limits::PPM - initial;
    Margin { equity, free }
}

struct Dice(ChaCha8Rng);

impl Clone for Dice {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dice")
    }
}

impl Dice {
    /// 0 to `bound` − 1. The bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn below_wide(&mut self, bound: u128) -> u128 {
        (u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64())) % bound
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// 1 to `most`, every order of magnitude about as likely as another.
    fn log(&mut self, most: u128) -> u128 {
        let bits = self.below(u64::from(most.max(1).ilog2()) + 1) + 1;
        (1 + self.below_wide(1 << bits)).min(most.max(1))
    }

    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("left is below the sum of the weights");
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}

/// Zero where negative, and the largest value where larger.
fn u128_of(value: &BigInt) -> u128 {
    if *value < BigInt::ZERO { 0 } else { value.try_into().unwrap_or(u128::MAX) }
}

fn amount_of(raw: u128) -> Amount {
    Amount::new(raw.min(Amount::BOUND - 1)).expect("clamped")
}

fn price_of(raw: u128) -> Price {
    Price::try_from(raw.min(Price::BOUND - 1)).expect("clamped")
}

fn size_of(raw: u128) -> Size {
    Size::try_from(raw.min(Size::BOUND - 1)).expect("clamped")
}

fn order_id(slot: u32, generation: u8) -> OrderId {
    OrderId::new(slot.min((1 << limits::ORDER_BITS) - 1), generation).expect("clamped")
}
