//! From events of a file to commands of a running venue.
//!
//! [`Mapper::start`] opens and funds the accounts; [`Mapper::map`] then turns each event into commands, at most one of which
//! concerns an order. Whoever runs the engine executes them in order and reports each through [`Feedback::observe`]
//! before the next event: that is how the mapper learns under which id an order rests and what is left of it.
//!
//! The file's venue matched its orders and the engine matches them again, so the two drift apart a little, and the
//! mapper steers the book back to what the file says:
//!
//! | event | command |
//! |---|---|
//! | place | place |
//! | amend | amend, or nothing if the order already is so: our own matching has filled it |
//! | cancel | cancel, also if our matching has filled the order: the venue must reject it |
//! | filled | nothing, or a cancel of what our matching has left |
//! | level | place (post-only), amend or cancel: whatever makes our order at that level show the level's size; nothing if it does |
//! | amend or cancel of an order that never rested, or that the file never placed | nothing; counted |
//! | time | time, at most once a second of the file |
//! | mark | with the next time: mark, in several steps if it moved further than one update may |
//!
//! If the file has no marks, the price of our own last fill is taken.
//!
//! Accounts 0, 1 and 2 are the oracle, the operator and the fee account; traders follow. A trader's account is a hash
//! of its number in the file, so that equal files give equal commands. Levels are quoted by the first half of the
//! traders and takers (immediate-or-cancel) come from the second half, so that they never meet themselves; orders come
//! from all.

use std::collections::{HashMap, VecDeque};

use holdfast_protocol::{
    AccountId, Amend, Amount, Cancel, Command, Deposit, Genesis, Mark, MarketId, Open, OrderId, Outcome, Place, Price,
    Register, SelfTrade, Side, Size, Time, TimeInForce, TimeMs,
    limits::{DEPOSITS_MAX, PPM},
};

use super::{FlowEvent, Wallets};

pub const ORACLE: AccountId = account(0);
pub const OPERATOR: AccountId = account(1);
pub const FEE_ACCOUNT: AccountId = account(2);
pub const FIRST_TRADER: AccountId = account(3);
/// Most trading accounts.
pub const ACCOUNTS_MAX: u32 = 1 << 16;
/// Most orders of the file that are remembered at a time: as many as the venue has order slots.
const KEYS_MAX: usize = 1 << 24;
/// Least time of the file between two time commands, and between two updates of the mark.
const INTERVAL_MS: u64 = 1_000;
/// Most steps of one update of the mark; 20 moves of 10 % are a factor of 6.
const MARK_STEPS_MAX: usize = 20;
/// Each account's deposit, in largest positions at the first price.
const DEPOSIT_POSITIONS: u128 = 4;

/// What an engine did to orders while it executed a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    /// The command's order, or what was left of it, rests under this id.
    Rested { order: OrderId, size: Size },
    /// A resting order was filled by this much.
    Filled { maker: OrderId, price: Price, size: Size },
    /// A resting order left the book: cancelled, replaced or removed by the matching.
    Removed { order: OrderId },
}

/// Whoever generates commands hears what became of them.
pub trait Feedback {
    /// Reports one command, in the order in which they were issued, with the engine's events in their order.
    fn observe(&mut self, command: &Command, outcome: Outcome, events: &[OrderEvent]);
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapperError {
    #[error("accounts: expected 1 to {ACCOUNTS_MAX}, got {got}")]
    Accounts { got: u32 },
    #[error("market: expected one of the genesis' {expected}, got {got}")]
    Market { expected: usize, got: MarketId },
}

/// What the events came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Each opened, given a session key, and funded.
    pub accounts: u64,
    pub times: u64,
    pub marks: u64,
    pub places: u64,
    pub amends: u64,
    pub cancels: u64,
    /// Of the cancels: of orders that the file says were filled, and ours were not.
    pub cancels_of_filled: u64,
    /// Events whose effect our own matching had already had.
    pub already_so: u64,
    /// Amends and cancels of orders that the file never placed.
    pub unknown_key: u64,
    /// Amends and cancels of orders that never rested here: filled at once, or rejected.
    pub never_rested: u64,
    /// Places of an order that the file has placed or ended before, or beyond the number of orders that are remembered.
    pub unplaceable: u64,
}

pub struct Mapper {
    market: MarketId,
    accounts: u32,
    deposit: Amount,
    mark: Price,
    mark_move_ppm: u32,
    mark_wanted: Option<Price>,
    file_has_marks: bool,
    time_sent: Option<TimeMs>,
    orders: HashMap<Key, Order>,
    keys: HashMap<OrderId, Key>,
    /// Commands that were issued and not yet observed.
    pending: VecDeque<(Command, Option<Key>)>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Order(u64),
    Level(u64),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// The file has ended it before it placed it, as happens when its lines are out of order.
    Ended,
    Known(Known),
}

#[derive(Debug, Clone, Copy)]
struct Known {
    account: AccountId,
    price: Price,
    /// The last id under which it rested, if it ever did.
    id: Option<OrderId>,
    /// What rests of it; 0 if nothing does.
    size: u64,
}

impl Mapper {
    /// A mapper for one market of a venue that starts from this genesis, with this many trading accounts.
    pub fn new(genesis: &Genesis, market: MarketId, accounts: u32) -> Result<Mapper, MapperError> {
        if !(1..=ACCOUNTS_MAX).contains(&accounts) {
            return Err(MapperError::Accounts { got: accounts });
        }
        let Some(terms) = genesis.markets.get(market.get() as usize) else {
            return Err(MapperError::Market { expected: genesis.markets.len(), got: market });
        };
        let wanted = DEPOSIT_POSITIONS * u128::from(terms.position_max) * u128::from(terms.mark.get());
        let share = DEPOSITS_MAX / u128::from(accounts);
        let deposit = Amount::new(wanted.min(share).min(Amount::BOUND - 1)).expect("it was bounded");
        Ok(Mapper {
            market,
            accounts,
            deposit,
            mark: terms.mark,
            mark_move_ppm: terms.mark_move_ppm,
            mark_wanted: None,
            file_has_marks: false,
            time_sent: None,
            orders: HashMap::new(),
            keys: HashMap::new(),
            pending: VecDeque::new(),
            counts: Counts::default(),
        })
    }

    /// Appends the commands that come before the first event: every trader's account, its session key and its deposit.
    ///
    /// # Panics
    /// If there are fewer wallets than traders.
    pub fn start(&mut self, wallets: &Wallets, out: &mut Vec<Command>) {
        for trader in 0..self.accounts {
            let (sender, account) = (OPERATOR, self.account_of(trader));
            let register = Register {
                sender,
                account,
                key: Wallets::KEY,
                replaces: false,
                withdraws: true,
                expiry: Wallets::EXPIRY,
                public_key: wallets.public_key(account),
            };
            let commands = [
                Command::Open(Open { sender, account, owner: Wallets::owner(account) }),
                Command::Register(register),
                Command::Deposit(Deposit { sender, account, amount: self.deposit }),
            ];
            for command in commands {
                self.issue(command, None, out);
            }
            self.counts.accounts += 1;
        }
    }

    /// Appends the commands that an event asks for.
    ///
    /// # Panics
    /// If a command issued before was not observed yet: without its outcome the next one would be wrong.
    pub fn map(&mut self, event: &FlowEvent, out: &mut Vec<Command>) {
        assert!(self.pending.is_empty(), "{} command(s) were not observed", self.pending.len());
        match *event {
            FlowEvent::Time { time } => self.time(time, out),
            FlowEvent::Mark { price } => {
                self.file_has_marks = true;
                self.mark_wanted = Some(price);
            }
            FlowEvent::Place { .. } => self.place(event, out),
            FlowEvent::Amend { key, price, size } => self.amend(key, price, size, out),
            FlowEvent::Cancel { key } => self.cancel(key, out),
            FlowEvent::Filled { key } => self.filled(key, out),
            FlowEvent::Level { key, side, price, size } => self.level(key, side, price, size, out),
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn time(&mut self, time: TimeMs, out: &mut Vec<Command>) {
        let due = self.time_sent.is_none_or(|sent| time.get() >= sent.get() + INTERVAL_MS);
        if !due {
            return;
        }
        self.time_sent = Some(time);
        self.counts.times += 1;
        self.issue(Command::Time(Time { sender: OPERATOR, time }), None, out);
        let Some(wanted) = self.mark_wanted else { return };
        let mut mark = self.mark;
        for _ in 0..MARK_STEPS_MAX {
            let next = step_towards(mark, wanted, self.mark_move_ppm);
            if next == mark {
                break;
            }
            mark = next;
            self.counts.marks += 1;
            self.issue(Command::Mark(Mark { sender: ORACLE, market: self.market, price: next }), None, out);
        }
    }

    fn place(&mut self, event: &FlowEvent, out: &mut Vec<Command>) {
        let &FlowEvent::Place { key, trader, side, price, size, time_in_force } = event else { return };
        let rests = matches!(time_in_force, TimeInForce::GoodTillCancel | TimeInForce::PostOnly);
        let key = rests.then_some(Key::Order(key));
        let account = if rests { self.account_of(self.spread(trader)) } else { self.taker(trader) };
        if let Some(key) = key {
            if self.orders.contains_key(&key) || self.orders.len() >= KEYS_MAX {
                self.counts.unplaceable += 1;
                return;
            }
            self.orders.insert(key, Order::Known(Known { account, price, id: None, size: 0 }));
        }
        self.issue_place(account, side, time_in_force, price, size, key, out);
    }

    fn amend(&mut self, key: u64, price: Price, size: Size, out: &mut Vec<Command>) {
        let key = Key::Order(key);
        match self.orders.get(&key) {
            None | Some(Order::Ended) => self.counts.unknown_key += 1,
            Some(Order::Known(Known { id: None, .. })) => self.counts.never_rested += 1,
            Some(Order::Known(known)) if known.size == size.get() && known.price == price => {
                self.counts.already_so += 1
            }
            Some(&Order::Known(Known { account, id: Some(order), .. })) => {
                self.issue_amend(account, order, price, size, key, out);
            }
        }
    }

    fn cancel(&mut self, key: u64, out: &mut Vec<Command>) {
        let key = Key::Order(key);
        match self.orders.get(&key) {
            None if self.orders.len() < KEYS_MAX => {
                self.counts.unknown_key += 1;
                self.orders.insert(key, Order::Ended);
            }
            None | Some(Order::Ended) => self.counts.unknown_key += 1,
            Some(Order::Known(Known { id: None, .. })) => {
                self.counts.never_rested += 1;
                self.orders.remove(&key);
            }
            Some(&Order::Known(Known { account, id: Some(order), .. })) => {
                self.issue_cancel(account, order, key, out);
            }
        }
    }

    fn filled(&mut self, key: u64, out: &mut Vec<Command>) {
        match self.orders.get(&Key::Order(key)) {
            Some(&Order::Known(Known { size: 0, .. })) => {
                self.counts.already_so += 1;
                self.orders.remove(&Key::Order(key));
            }
            Some(Order::Known(_)) => {
                self.counts.cancels_of_filled += 1;
                self.cancel(key, out);
            }
            None | Some(Order::Ended) => self.cancel(key, out),
        }
    }

    fn level(&mut self, level: u64, side: Side, price: Price, size: u64, out: &mut Vec<Command>) {
        let key = Key::Level(level);
        let known = match self.orders.get(&key) {
            Some(Order::Known(known)) => Some(*known),
            _ => None,
        };
        match (known, Size::new(size).ok().filter(|size| size.get() > 0)) {
            (Some(Known { account, id: Some(order), size: 1.., .. }), None) => {
                self.issue_cancel(account, order, key, out);
            }
            (_, None) => {
                self.counts.already_so += 1;
                self.orders.remove(&key);
            }
            (Some(Known { size: resting, .. }), Some(size)) if resting == size.get() => self.counts.already_so += 1,
            (Some(Known { account, id: Some(order), size: 1.., .. }), Some(size)) => {
                self.issue_amend(account, order, price, size, key, out);
            }
            (None, Some(_)) if self.orders.len() >= KEYS_MAX => self.counts.unplaceable += 1,
            (_, Some(size)) => {
                let account = self.maker(level);
                self.orders.insert(key, Order::Known(Known { account, price, id: None, size: 0 }));
                self.issue_place(account, side, TimeInForce::PostOnly, price, size, Some(key), out);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are an order's own fields")]
    fn issue_place(
        &mut self,
        account: AccountId,
        side: Side,
        time_in_force: TimeInForce,
        price: Price,
        size: Size,
        key: Option<Key>,
        out: &mut Vec<Command>,
    ) {
        let (market, reduce_only, self_trade) = (self.market, false, SelfTrade::ExpireTaker);
        let place = Place { account, market, side, time_in_force, reduce_only, self_trade, price, size };
        self.counts.places += 1;
        self.issue(Command::Place(place), key, out);
    }

    fn issue_amend(
        &mut self,
        account: AccountId,
        order: OrderId,
        price: Price,
        size: Size,
        key: Key,
        out: &mut Vec<Command>,
    ) {
        self.counts.amends += 1;
        let self_trade = SelfTrade::ExpireTaker;
        self.issue(Command::Amend(Amend { account, order, self_trade, price, size }), Some(key), out);
    }

    fn issue_cancel(&mut self, account: AccountId, order: OrderId, key: Key, out: &mut Vec<Command>) {
        self.counts.cancels += 1;
        self.issue(Command::Cancel(Cancel { account, order }), Some(key), out);
    }

    fn issue(&mut self, command: Command, key: Option<Key>, out: &mut Vec<Command>) {
        self.pending.push_back((command, key));
        out.push(command);
    }

    /// Market makers are the first half of the traders.
    fn maker(&self, number: u64) -> AccountId {
        self.account_of((mix(number) % u64::from(self.accounts.div_ceil(2))) as u32)
    }

    /// Takers are the second half, or the only trader.
    fn taker(&self, number: u64) -> AccountId {
        let takers = (self.accounts / 2).max(1);
        self.account_of(self.accounts - takers + (mix(number) % u64::from(takers)) as u32)
    }

    fn spread(&self, number: u64) -> u32 {
        (mix(number) % u64::from(self.accounts)) as u32
    }

    fn account_of(&self, trader: u32) -> AccountId {
        AccountId::new(FIRST_TRADER.get() + trader).expect("ACCOUNTS_MAX is far below the bound of accounts")
    }

    fn known(&mut self, key: Key) -> Option<&mut Known> {
        match self.orders.get_mut(&key) {
            Some(Order::Known(known)) => Some(known),
            _ => None,
        }
    }

    /// The order under this id no longer rests.
    fn gone(&mut self, order: OrderId) {
        if let Some(known) = self.keys.remove(&order).and_then(|key| self.known(key)) {
            known.size = 0;
        }
    }

    fn observe_event(&mut self, event: OrderEvent, key: Option<Key>, price: Option<Price>) {
        match event {
            OrderEvent::Rested { order, size } => {
                let Some(key) = key else { return };
                self.keys.insert(order, key);
                if let Some(known) = self.known(key) {
                    known.id = Some(order);
                    known.size = size.get();
                    known.price = price.unwrap_or(known.price);
                }
            }
            OrderEvent::Filled { maker, price, size } => {
                if !self.file_has_marks {
                    self.mark_wanted = Some(price);
                }
                let Some(known) = self.keys.get(&maker).copied().and_then(|key| self.known(key)) else { return };
                known.size = known.size.saturating_sub(size.get());
                if known.size == 0 {
                    self.keys.remove(&maker);
                }
            }
            OrderEvent::Removed { order } => self.gone(order),
        }
    }

    /// An accepted amend either shrank the order in its place, or replaced it: then it rests again, if at all, by an
    /// event.
    fn observe_amend(&mut self, amend: &Amend, key: Key) {
        let &Amend { order, price, size, account: _, self_trade: _ } = amend;
        let Some(known) = self.known(key) else { return };
        if price == known.price && size.get() <= known.size {
            known.size = size.get();
        } else {
            known.price = price;
            self.gone(order);
        }
    }
}

impl Feedback for Mapper {
    /// # Panics
    /// If this is not the command that was issued next.
    fn observe(&mut self, command: &Command, outcome: Outcome, events: &[OrderEvent]) {
        let issued = self.pending.pop_front();
        let Some((_, key)) = issued.filter(|(issued, _)| issued == command) else {
            panic!("observed {command:?}, but {issued:?} was issued");
        };
        if outcome == Outcome::Accepted {
            match (command, key) {
                (Command::Mark(mark), _) => self.mark = mark.price,
                (Command::Amend(amend), Some(key)) => self.observe_amend(amend, key),
                (Command::Cancel(cancel), _) => self.gone(cancel.order),
                _ => {}
            }
            let price = match command {
                Command::Place(place) => Some(place.price),
                Command::Amend(amend) => Some(amend.price),
                _ => None,
            };
            for event in events {
                self.observe_event(*event, key, price);
            }
        }
        if let (Command::Cancel(_), Some(key)) = (command, key) {
            // The file speaks of it no more.
            self.orders.remove(&key);
        }
    }
}

/// The furthest that one update of the mark may go towards a price.
fn step_towards(mark: Price, wanted: Price, move_ppm: u32) -> Price {
    let (mark, wanted) = (u64::from(mark.get()), u64::from(wanted.get()));
    let reach = mark * u64::from(move_ppm) / PPM;
    let next = wanted.clamp(mark - reach, mark + reach);
    Price::try_from(u128::from(next)).expect("it lies between two prices")
}

/// The finaliser of splitmix64: consecutive numbers land anywhere.
fn mix(number: u64) -> u64 {
    let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

const fn account(raw: u32) -> AccountId {
    match AccountId::new(raw) {
        Ok(account) => account,
        Err(_) => panic!("out of range"),
    }
}
