//! The reference model: `docs/RULES.md`, said again as plainly as possible.
//!
//! Nothing is kept that can be computed. The state is what participants did: collateral, directories of positions, and
//! the books as lists in order of priority; `bids`, `asks` and `open_orders` are counted in the books whenever a rule
//! asks for them, margin is summed over a fresh [`Portfolio`], and money is a `BigInt`. Every check runs before the first
//! change, so that a reject has nothing to undo but that its session has asked. After every command the model asserts its
//! own invariants: see [`Model::assert_invariants`]. Session keys are in `authority`.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_protocol::{
    AccountId, Address, Amend, Cancel, CancelAll, Command, Deposit, Genesis, Instruction, KeyIndex, Mark, MarketId,
    OrderId, Outcome, Place, Price, Reject, Release, SelfTrade, Side, Size, Time, TimeInForce, TimeMs, Withdraw,
    limits,
};
use num_bigint::BigInt;

use crate::{
    coverage::{Branch, Coverage},
    view::{AccountState, FillState, OrderState, PositionState, SessionState, SystemState, Venue},
};

mod authority;
#[cfg(test)]
mod tests;

use authority::{Authority, Grant};

/// Bound of every amount in the state: |x| < 2^112.
const AMOUNT_BITS: u32 = 112;

#[derive(Debug, Clone)]
pub struct Model {
    time: TimeMs,
    oracle: AccountId,
    operator: AccountId,
    fee_account: AccountId,
    /// A contract holds the money: Ethereum is the registrar.
    settled: bool,
    /// Forced instructions, and withdrawals, so far.
    forced: u32,
    payouts: u32,
    deposits: BigInt,
    authority: Authority,
    /// Market `i` is market id `i`.
    markets: Vec<Market>,
    /// The accounts that ever did something; the others are in their initial state.
    accounts: BTreeMap<AccountId, Account>,
    /// Generation of every slot ever used.
    generations: BTreeMap<u32, u8>,
    /// Freed slots; the last one is reused first.
    free: Vec<u32>,
    fresh: u32,
    fresh_first: u32,

    /// The order being matched, whose remaining size counts as open.
    taker: Option<Taker>,
    fills: Vec<FillState>,
    touched: Touched,
    coverage: Coverage,
}

/// What the last command may have changed, besides the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Their owners included.
    pub accounts: BTreeSet<AccountId>,
    pub sessions: BTreeSet<(AccountId, KeyIndex)>,
    pub markets: BTreeSet<MarketId>,
}

/// All that can be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub system: SystemState,
    pub marks: Vec<Price>,
    pub accounts: BTreeMap<AccountId, AccountState>,
    pub owners: BTreeMap<AccountId, Address>,
    pub sessions: BTreeMap<(AccountId, KeyIndex), SessionState>,
    /// Bids and asks of every market.
    pub books: Vec<[Vec<OrderState>; 2]>,
    pub generations: BTreeMap<u32, u8>,
}

#[derive(Debug, Clone)]
struct Market {
    mark: Price,
    initial_margin_ppm: u32,
    maintenance_margin_ppm: u32,
    maker_fee_ppm: u32,
    taker_fee_ppm: u32,
    open_orders_max: u32,
    position_max: u64,
    mark_move_ppm: u32,
    /// Both in order of priority: best price first, and by time within a price.
    bids: Vec<OrderState>,
    asks: Vec<OrderState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    collateral: BigInt,
    directory: [Option<Position>; limits::ENTRIES_MAX],
    high: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    market: MarketId,
    size: i128,
    quote: BigInt,
}

#[derive(Debug, Clone, Copy)]
struct Taker {
    account: AccountId,
    entry: u32,
    market: MarketId,
    side: Side,
    price: Price,
    remaining: u64,
    reduce_only: bool,
    self_trade: SelfTrade,
    time_in_force: TimeInForce,
}

/// How matching ended.
enum End {
    /// Nothing remains, or the best opposite order does not cross.
    Done,
    /// The remainder expires, whatever the time in force.
    Expired,
}

/// One account's collateral and positions as they are, or as they would be: what margin is computed from.
#[derive(Debug, Clone)]
struct Portfolio {
    collateral: BigInt,
    holdings: Vec<Holding>,
}

#[derive(Debug, Clone)]
struct Holding {
    market: MarketId,
    size: i128,
    quote: BigInt,
    bids: i128,
    asks: i128,
}

impl Holding {
    /// The largest position that the open orders can lead to.
    fn worst(&self) -> i128 {
        (self.size + self.bids).max(self.asks - self.size)
    }

    fn open_mut(&mut self, side: Side) -> &mut i128 {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

impl Portfolio {
    /// The holding in a market; a flat one if the account has no entry for it yet.
    fn holding_mut(&mut self, market: MarketId) -> &mut Holding {
        let index = self.holdings.iter().position(|holding| holding.market == market).unwrap_or_else(|| {
            self.holdings.push(Holding { market, size: 0, quote: BigInt::ZERO, bids: 0, asks: 0 });
            self.holdings.len() - 1
        });
        &mut self.holdings[index]
    }
}

/// Whether an account may fill, and by which clause of the rule.
enum Verdict {
    MeetsInitial { exactly: bool },
    ShrinksAboveMaintenance { exactly: bool },
    ShrinksWithoutCost { no_gain: bool },
    RefusedNotShrinking,
    RefusedFlipping,
    RefusedCostlyShrink,
}

impl Verdict {
    fn accepts(&self) -> bool {
        match self {
            Verdict::MeetsInitial { .. } => true,
            Verdict::ShrinksAboveMaintenance { .. } | Verdict::ShrinksWithoutCost { .. } => true,
            Verdict::RefusedNotShrinking | Verdict::RefusedFlipping | Verdict::RefusedCostlyShrink => false,
        }
    }
}

impl Model {
    /// The state before the first command. Panics if the genesis is not valid.
    pub fn new(genesis: &Genesis) -> Self {
        Self::with_fresh(genesis, limits::FIRST_ORDER)
    }

    /// As if all order slots below `fresh` had been used up and were never to be freed: the way to a full book that does
    /// not lead over 2^24 orders.
    pub fn with_fresh(genesis: &Genesis, fresh: u32) -> Self {
        genesis.validate().expect("the genesis is valid");
        assert!((limits::FIRST_ORDER..=1 << limits::ORDER_BITS).contains(&fresh));
        let markets = genesis.markets.iter().map(|market| Market {
            mark: market.mark,
            initial_margin_ppm: market.initial_margin_ppm,
            maintenance_margin_ppm: market.maintenance_margin_ppm,
            maker_fee_ppm: market.maker_fee_ppm,
            taker_fee_ppm: market.taker_fee_ppm,
            open_orders_max: market.open_orders_max,
            position_max: market.position_max,
            mark_move_ppm: market.mark_move_ppm,
            bids: Vec::new(),
            asks: Vec::new(),
        });
        Self {
            time: genesis.time,
            oracle: genesis.oracle,
            operator: genesis.operator,
            fee_account: genesis.fee_account,
            settled: genesis.deployment.is_settled(),
            forced: 0,
            payouts: 0,
            deposits: BigInt::ZERO,
            authority: Authority::new(genesis),
            markets: markets.collect(),
            accounts: BTreeMap::new(),
            generations: BTreeMap::new(),
            free: Vec::new(),
            fresh,
            fresh_first: fresh,
            taker: None,
            fills: Vec::new(),
            touched: Touched::default(),
            coverage: Coverage::default(),
        }
    }

    /// What becomes of an instruction. `None` if it cannot be carried out, and so is in no batch: its session has no key, or
    /// one that has signed as many instructions as it may; or the key that it would take away is not sealed.
    pub fn apply(&mut self, instruction: &Instruction) -> Option<Outcome> {
        self.fills.clear();
        self.touched = Touched::default();
        let grant = self.authorise(instruction)?;
        let result = self.carry_out(&grant, &instruction.command);
        assert!(self.taker.is_none());
        Some(match result {
            Ok(()) => {
                self.assert_invariants();
                Outcome::Accepted
            }
            Err(reject) => {
                let sessions = match instruction.is_forced() {
                    true => BTreeSet::new(),
                    false => BTreeSet::from([instruction.session()]),
                };
                let session_only = Touched { sessions, ..Touched::default() };
                assert_eq!(self.touched, session_only, "a rejected command changes nothing but its session");
                self.coverage.hit_reject(&instruction.command, reject);
                Outcome::Rejected(reject)
            }
        })
    }

    /// The fills of the last command, in order.
    pub fn fills(&self) -> &[FillState] {
        &self.fills
    }

    /// What the last command may have changed, besides the system.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            system: self.system(),
            marks: self.markets.iter().map(|market| market.mark).collect(),
            accounts: self.accounts.keys().map(|id| (*id, self.account(*id))).collect(),
            owners: self.owners().clone(),
            sessions: self.sessions(),
            books: self.markets.iter().map(|market| [market.bids.clone(), market.asks.clone()]).collect(),
            generations: self.generations.clone(),
        }
    }

    pub fn system(&self) -> SystemState {
        SystemState {
            time: self.time,
            operator: self.operator,
            settled: self.settled,
            forced: self.forced,
            payouts: self.payouts,
            deposits: self.deposits.clone(),
            free_head: self.free.last().copied().unwrap_or(0),
            fresh: self.fresh,
            free_list: self.free.iter().rev().copied().collect(),
            unsealed: self.unsealed(),
        }
    }

    pub fn account(&self, id: AccountId) -> AccountState {
        let account = self.accounts.get(&id).cloned().unwrap_or_default();
        let view = |position: Position| PositionState {
            market: position.market,
            size: position.size.try_into().expect("a position is bounded"),
            quote: position.quote,
            bids: self.open_size(id, position.market, Side::Buy),
            asks: self.open_size(id, position.market, Side::Sell),
            open_orders: self.open_orders(id, position.market),
        };
        AccountState {
            collateral: account.collateral,
            entries: account.directory.into_iter().map(|position| position.map(view)).collect(),
            high: account.high,
        }
    }

    pub fn book(&self, market: MarketId, side: Side) -> &[OrderState] {
        match (self.market(market), side) {
            (None, _) => &[],
            (Some(market), Side::Buy) => &market.bids,
            (Some(market), Side::Sell) => &market.asks,
        }
    }

    pub fn mark(&self, market: MarketId) -> Option<Price> {
        self.market(market).map(|market| market.mark)
    }

    // The commands.

    fn carry_out(&mut self, grant: &Grant, command: &Command) -> Result<(), Reject> {
        ensure(!grant.expired, Reject::KeyExpired)?;
        match command {
            Command::Deposit(command) => self.deposit(grant, command),
            Command::Withdraw(command) => self.withdraw(grant, command),
            Command::Place(command) => self.place(command),
            Command::Cancel(command) => self.cancel(command),
            Command::CancelAll(command) => self.cancel_all(command),
            Command::Amend(command) => self.amend(command),
            Command::Mark(command) => self.set_mark(command),
            Command::Time(command) => self.set_time(command),
            Command::Release(command) => self.release(command),
            Command::Open(command) => self.open(grant, command),
            Command::Register(command) => self.register(grant, command),
            Command::Revoke(command) => self.revoke(grant, command),
        }
    }

    fn deposit(&mut self, grant: &Grant, deposit: &Deposit) -> Result<(), Reject> {
        let amount = BigInt::from(deposit.amount.get());
        let cap = BigInt::from(limits::DEPOSITS_MAX);
        ensure(self.is_registrar(grant, deposit.sender), Reject::NotOperator)?;
        ensure(self.owner(deposit.account).is_some(), Reject::AccountNotOpen)?;
        ensure(amount != BigInt::ZERO, Reject::AmountZero)?;
        ensure(&self.deposits + &amount <= cap, Reject::DepositCap)?;

        self.account_mut(deposit.account).collateral += &amount;
        self.deposits += amount;
        self.hit_if(self.deposits == cap, Branch::DepositReachesCap);
        self.hit(Branch::DepositAccepted);
        Ok(())
    }

    fn withdraw(&mut self, grant: &Grant, withdraw: &Withdraw) -> Result<(), Reject> {
        let amount = BigInt::from(withdraw.amount.get());
        let before = self.portfolio(withdraw.account);
        ensure(grant.withdraws, Reject::KeyNotPermitted)?;
        ensure(amount != BigInt::ZERO, Reject::AmountZero)?;
        ensure(before.collateral >= amount, Reject::InsufficientCollateral)?;
        ensure(self.deposits >= amount, Reject::VaultShort)?;
        let mut after = before.clone();
        after.collateral -= &amount;
        ensure(self.meets_initial(&after), Reject::InsufficientMargin)?;

        self.account_mut(withdraw.account).collateral -= &amount;
        self.deposits -= &amount;
        self.payouts += 1;
        self.hit(Branch::WithdrawAccepted);
        self.hit_if(after.holdings.iter().any(|holding| holding.size != 0), Branch::WithdrawAcceptedWithPosition);
        self.hit_if(self.meets_initial_exactly(&after), Branch::WithdrawExactMargin);
        self.hit_if(after.collateral == BigInt::ZERO, Branch::WithdrawWholeCollateral);
        Ok(())
    }

    fn place(&mut self, place: &Place) -> Result<(), Reject> {
        let Place { account, market, side, time_in_force, reduce_only, self_trade, price, size } = *place;
        let Some(rules) = self.market(market) else {
            return Err(Reject::UnknownMarket);
        };
        let (open_orders_max, position_max) = (rules.open_orders_max, rules.position_max);
        ensure(price.get() != 0, Reject::PriceZero)?;
        ensure(size.get() != 0, Reject::SizeZero)?;

        let held = self.held_entry(account, market);
        let entry = held.or_else(|| self.first_empty_entry(account)).ok_or(Reject::PositionSlotsFull)?;
        let may_rest = matches!(time_in_force, TimeInForce::GoodTillCancel | TimeInForce::PostOnly);
        let open_orders_full = self.open_orders(account, market) >= open_orders_max;
        ensure(!(may_rest && open_orders_full), Reject::OpenOrdersLimit)?;

        if reduce_only && self.reducible(account, market, side) == 0 {
            self.hit(match self.position_size(account, market) {
                0 if held.is_none() => Branch::ReduceOnlyWithoutEntry,
                0 => Branch::ReduceOnlyFlat,
                _ => Branch::ReduceOnlySameSide,
            });
            return Err(Reject::ReduceOnlyIncreases);
        }

        let mut after = self.portfolio(account);
        *after.holding_mut(market).open_mut(side) += i128::from(size.get());
        let worst = after.holding_mut(market).worst();
        if worst > i128::from(position_max) {
            self.hit(side.pick(Branch::PositionLimitBuy, Branch::PositionLimitSell));
            return Err(Reject::PositionLimit);
        }

        let crossed = self.book(market, side.opposite()).first().is_some_and(|best| crosses(side, price, best.price));
        if time_in_force == TimeInForce::PostOnly && crossed {
            self.hit(side.pick(Branch::PostOnlyCrossesBuy, Branch::PostOnlyCrossesSell));
            return Err(Reject::PostOnlyCrosses);
        }

        let book_full = self.free.is_empty() && self.fresh == 1 << limits::ORDER_BITS;
        ensure(!(may_rest && book_full), Reject::BookFull)?;
        ensure(time_in_force != TimeInForce::FillOrKill || self.is_fillable(place), Reject::FillOrKillUnfillable)?;
        ensure(reduce_only || self.meets_initial(&after), Reject::InsufficientMargin)?;

        self.hit(match time_in_force {
            TimeInForce::GoodTillCancel => Branch::PlaceGoodTillCancel,
            TimeInForce::ImmediateOrCancel => Branch::PlaceImmediateOrCancel,
            TimeInForce::FillOrKill => Branch::PlaceFillOrKill,
            TimeInForce::PostOnly => Branch::PlacePostOnly,
        });
        self.hit_if(reduce_only, Branch::PlaceReduceOnly);
        self.hit_if(reduce_only && !self.meets_initial(&after), Branch::ReduceOnlyBelowInitialMargin);
        self.hit_if(worst == i128::from(position_max), Branch::PositionExactlyAtLimit);
        let open = *after.holding_mut(market).open_mut(side);
        self.hit_if(open > i128::from(position_max), Branch::OpenSizeAbovePositionLimit);
        self.hit_if(open > i128::from(limits::POSITION_MAX), Branch::OpenSizeAboveLargestPosition);
        self.hit_if(!reduce_only && self.meets_initial_exactly(&after), Branch::MarginExactlyMet);
        self.hit_if(book_full, Branch::BookFullButImmediate);
        self.hit_if(open_orders_full, Branch::OpenOrdersLimitButImmediate);
        if held.is_none() {
            self.open_entry(account, entry, market);
        }
        self.hit_if(held.is_some(), Branch::PlaceHeldEntry);
        self.match_and_rest(Taker {
            account,
            entry,
            market,
            side,
            price,
            remaining: size.get(),
            reduce_only,
            self_trade,
            time_in_force,
        });
        Ok(())
    }

    fn cancel(&mut self, cancel: &Cancel) -> Result<(), Reject> {
        let (market, side, _) = self.find_order(cancel.account, cancel.order)?;
        self.remove(market, side, cancel.order);
        self.hit(Branch::CancelAccepted);
        Ok(())
    }

    fn cancel_all(&mut self, cancel: &CancelAll) -> Result<(), Reject> {
        ensure(self.market(cancel.market).is_some(), Reject::UnknownMarket)?;
        let mut own = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            let orders = self.book(cancel.market, side).iter().filter(|order| order.account == cancel.account);
            own.extend(orders.map(|order| (order.order.slot(), side, order.order)));
        }
        own.sort_by_key(|(slot, _, _)| *slot);
        for (_, side, order) in &own {
            self.remove(cancel.market, *side, *order);
        }

        self.hit(match own.len() {
            0 if self.held_entry(cancel.account, cancel.market).is_none() => Branch::CancelAllNoEntry,
            0 => Branch::CancelAllNone,
            1 => Branch::CancelAllOne,
            _ => Branch::CancelAllMany,
        });
        let on_side = |wanted: Side| own.iter().any(|(_, side, _)| *side == wanted);
        self.hit_if(on_side(Side::Buy) && on_side(Side::Sell), Branch::CancelAllBothSides);
        Ok(())
    }

    fn amend(&mut self, amend: &Amend) -> Result<(), Reject> {
        let Amend { account, order: id, self_trade, price, size } = *amend;
        let (market, side, index) = self.find_order(account, id).inspect_err(|reject| {
            let sentinel = id.slot() < limits::FIRST_ORDER;
            self.hit_if(sentinel && *reject == Reject::NotOrderOwner, Branch::AmendSentinel);
            self.hit_if(!sentinel && *reject == Reject::NotOrderOwner, Branch::AmendOfOther);
        })?;
        ensure(price.get() != 0, Reject::PriceZero)?;
        ensure(size.get() != 0, Reject::SizeZero)?;

        let old = self.book(market, side)[index];
        if price == old.price && size <= old.size {
            self.book_mut(market, side)[index].size = size;
            self.account_mut(account);
            self.hit(if size < old.size { Branch::AmendShrinksInPlace } else { Branch::AmendChangesNothing });
            return Ok(());
        }

        let mut after = self.portfolio(account);
        *after.holding_mut(market).open_mut(side) += i128::from(size.get()) - i128::from(old.size.get());
        if after.holding_mut(market).worst() > i128::from(self.markets[index_of(market)].position_max) {
            self.hit(side.pick(Branch::AmendBuyPositionLimit, Branch::AmendSellPositionLimit));
            return Err(Reject::PositionLimit);
        }
        ensure(old.reduce_only || self.meets_initial(&after), Reject::InsufficientMargin)?;

        self.hit_if(price != old.price, Branch::AmendPrice);
        self.hit_if(size > old.size, Branch::AmendIncreasesSize);
        self.hit_if(old.reduce_only && !self.meets_initial(&after), Branch::AmendReduceOnlyBelowInitialMargin);
        let best = self.book(market, side.opposite()).first().copied();
        let crossed = best.filter(|best| crosses(side, price, best.price));
        self.hit_if(crossed.is_some(), Branch::AmendCrosses);
        self.hit_if(crossed.is_some_and(|best| best.account == account), Branch::AmendSelfTrade);

        self.remove(market, side, id);
        let rested = self.match_and_rest(Taker {
            account,
            entry: old.entry,
            market,
            side,
            price,
            remaining: size.get(),
            reduce_only: old.reduce_only,
            self_trade,
            time_in_force: TimeInForce::GoodTillCancel,
        });
        let filled: u64 = self.fills.iter().map(|fill| fill.size.get()).sum();
        self.hit_if(filled == size.get(), Branch::AmendFillsWholly);
        if let Some(rested) = rested {
            let same_slot = rested.slot() == id.slot();
            self.hit(if same_slot { Branch::AmendToSameSlot } else { Branch::AmendToOtherSlot });
            self.hit_if(old.reduce_only, Branch::AmendReduceOnlyRests);
        }
        Ok(())
    }

    fn set_mark(&mut self, mark: &Mark) -> Result<(), Reject> {
        ensure(mark.sender == self.oracle, Reject::NotOracle)?;
        let Some(market) = self.market(mark.market) else {
            return Err(Reject::UnknownMarket);
        };
        ensure(mark.price.get() != 0, Reject::PriceZero)?;
        let (old, new) = (u128::from(market.mark.get()), u128::from(mark.price.get()));
        let (moved, most) = (new.abs_diff(old) * u128::from(limits::PPM), old * u128::from(market.mark_move_ppm));
        if moved > most && new.abs_diff(old) > 1 {
            self.hit(if new > old { Branch::MarkTooHigh } else { Branch::MarkTooLow });
            return Err(Reject::MarkMoveTooLarge);
        }

        self.market_mut(mark.market).mark = mark.price;
        self.hit(match new.cmp(&old) {
            std::cmp::Ordering::Less => Branch::MarkDown,
            std::cmp::Ordering::Equal => Branch::MarkUnchanged,
            std::cmp::Ordering::Greater => Branch::MarkUp,
        });
        self.hit_if(moved > 0 && moved == most, Branch::MarkMovesFarthest);
        Ok(())
    }

    fn set_time(&mut self, time: &Time) -> Result<(), Reject> {
        ensure(time.sender == self.operator, Reject::NotOperator)?;
        ensure(time.time >= self.time, Reject::TimeBackwards)?;
        self.hit(if time.time > self.time { Branch::TimeForward } else { Branch::TimeStands });
        self.time = time.time;
        Ok(())
    }

    fn release(&mut self, release: &Release) -> Result<(), Reject> {
        let Some(entry) = self.held_entry(release.account, release.market) else {
            return Err(Reject::NoPosition);
        };
        if self.position_size(release.account, release.market) != 0 {
            self.hit(Branch::ReleaseWhenPositionOpen);
            return Err(Reject::PositionInUse);
        }
        if self.open_orders(release.account, release.market) != 0 {
            self.hit(Branch::ReleaseWhenOrdersOpen);
            return Err(Reject::PositionInUse);
        }

        let account = self.account_mut(release.account);
        account.directory[entry as usize] = None;
        let highest = account.high == entry + 1;
        if highest {
            account.high = entry;
        }
        let above_hole = highest && entry > 0 && account.directory[entry as usize - 1].is_none();
        self.hit(if highest { Branch::ReleaseHighest } else { Branch::ReleaseOther });
        self.hit_if(above_hole, Branch::ReleaseAboveHole);
        Ok(())
    }

    // Matching.

    /// Whether the opposite book could fill a fill-or-kill order, by the sizes alone.
    fn is_fillable(&self, place: &Place) -> bool {
        let mut found = 0;
        let mut end = Branch::FillOrKillEndOfBook;
        for maker in self.book(place.market, place.side.opposite()).iter().take(limits::MAKERS_MAX as usize) {
            if !crosses(place.side, place.price, maker.price) {
                end = Branch::FillOrKillEndOfCross;
                break;
            }
            if maker.account != place.account {
                found += u128::from(maker.size.get());
            } else if place.self_trade == SelfTrade::ExpireMaker {
                self.hit(Branch::FillOrKillOwnSkipped);
            } else {
                end = Branch::FillOrKillOwnEndsWalk;
                break;
            }
        }
        let size = u128::from(place.size.get());
        self.hit_if(found < size, end);
        self.hit_if(found == size, Branch::FillOrKillExactlyFillable);
        found >= size
    }

    /// Matches an order and rests what may rest of it: the id of the resting order, if there is one.
    fn match_and_rest(&mut self, taker: Taker) -> Option<OrderId> {
        self.account_mut(taker.account);
        self.taker = Some(taker);
        let end = self.match_taker();
        let remaining = self.taker.take().expect("the order being matched").remaining;

        let fills = self.fills.len();
        self.hit_if(fills > 1, Branch::SeveralFills);
        self.hit_if(self.fills.iter().any(|fill| fill.price != self.fills[0].price), Branch::SeveralPrices);
        if taker.time_in_force == TimeInForce::FillOrKill {
            self.hit(if remaining == 0 { Branch::FillOrKillFilled } else { Branch::FillOrKillPartlyFilled });
        }
        if remaining == 0 {
            self.hit(Branch::RemainderNone);
            return None;
        }
        let may_rest = matches!(taker.time_in_force, TimeInForce::GoodTillCancel | TimeInForce::PostOnly);
        if matches!(end, End::Expired) || !may_rest {
            self.hit(if may_rest { Branch::RemainderExpires } else { Branch::RemainderExpiresImmediate });
            self.hit_if(fills == 0, Branch::RemainderExpiresUnfilled);
            return None;
        }
        self.hit(if fills == 0 { Branch::RestsUnfilled } else { Branch::RestsPartlyFilled });
        Some(self.rest(Taker { remaining, ..taker }))
    }

    fn match_taker(&mut self) -> End {
        let mut looked_at = 0;
        loop {
            let taker = self.taker.expect("the order being matched");
            let opposite = taker.side.opposite();
            if taker.remaining == 0 {
                return End::Done;
            }
            let Some(maker) = self.book(taker.market, opposite).first().copied() else {
                return End::Done;
            };
            if !crosses(taker.side, taker.price, maker.price) {
                return End::Done;
            }
            if looked_at == limits::MAKERS_MAX {
                return End::Expired;
            }
            looked_at += 1;

            if maker.account == taker.account {
                self.hit(match taker.self_trade {
                    SelfTrade::ExpireTaker => Branch::SelfTradeExpireTaker,
                    SelfTrade::ExpireMaker => Branch::SelfTradeExpireMaker,
                    SelfTrade::ExpireBoth => Branch::SelfTradeExpireBoth,
                });
                if matches!(taker.self_trade, SelfTrade::ExpireMaker | SelfTrade::ExpireBoth) {
                    self.remove(taker.market, opposite, maker.order);
                }
                if matches!(taker.self_trade, SelfTrade::ExpireTaker | SelfTrade::ExpireBoth) {
                    return End::Expired;
                }
                continue;
            }

            let mut size = taker.remaining.min(maker.size.get());
            if taker.reduce_only {
                let cap = self.reducible(taker.account, taker.market, taker.side);
                if cap == 0 {
                    self.hit(Branch::TakerCapZero);
                    self.hit_if(self.fills.is_empty(), Branch::TakerCapZeroAtStart);
                    return End::Expired;
                }
                self.hit_if(cap < size, Branch::TakerCapLimits);
                size = size.min(cap);
            }
            if maker.reduce_only {
                let cap = self.reducible(maker.account, taker.market, opposite);
                if cap == 0 {
                    let flat = self.position_size(maker.account, taker.market) == 0;
                    self.hit(if flat { Branch::MakerCapZeroFlat } else { Branch::MakerCapZeroSameSide });
                    self.remove(taker.market, opposite, maker.order);
                    continue;
                }
                self.hit_if(cap < size, Branch::MakerCapLimits);
                size = size.min(cap);
            }

            let market = &self.markets[index_of(taker.market)];
            let maker_fee = fee(maker.price, size, market.maker_fee_ppm);
            let taker_fee = fee(maker.price, size, market.taker_fee_ppm);
            let verdict = self.may_fill(maker.account, taker.market, opposite, maker.price, size, &maker_fee);
            if !self.accept_maker(&verdict) {
                self.count_own_fee(maker.account, taker.market, opposite, maker.price, size);
                self.remove(taker.market, opposite, maker.order);
                continue;
            }
            let verdict = self.may_fill(taker.account, taker.market, taker.side, maker.price, size, &taker_fee);
            if !self.accept_taker(&verdict) {
                self.count_own_fee(taker.account, taker.market, taker.side, maker.price, size);
                return End::Expired;
            }
            self.fill(&taker, &maker, size, taker_fee, maker_fee);
        }
    }

    fn may_fill(&self, id: AccountId, market: MarketId, side: Side, price: Price, size: u64, fee: &BigInt) -> Verdict {
        let (lots, sign) = (i128::from(size), side.sign());
        let mut after = self.portfolio(id);
        after.collateral -= fee;
        let holding = after.holding_mut(market);
        let before = holding.size;
        holding.size += sign * lots;
        holding.quote -= sign * notional(price, size);
        *holding.open_mut(side) -= lots;
        if self.meets_initial(&after) {
            return Verdict::MeetsInitial { exactly: self.meets_initial_exactly(&after) };
        }

        let opposite_side = before * sign < 0;
        if !opposite_side {
            return Verdict::RefusedNotShrinking;
        }
        if before.abs() < lots {
            return Verdict::RefusedFlipping;
        }
        let (equity, maintenance) = (self.equity(&after) * limits::PPM, self.maintenance(&after));
        if equity >= maintenance {
            return Verdict::ShrinksAboveMaintenance { exactly: equity == maintenance && maintenance > BigInt::ZERO };
        }
        let mark = self.markets[index_of(market)].mark;
        let gain = sign * (notional(mark, size) - notional(price, size)) - fee;
        if gain >= BigInt::ZERO {
            return Verdict::ShrinksWithoutCost { no_gain: gain == BigInt::ZERO };
        }
        Verdict::RefusedCostlyShrink
    }

    fn accept_maker(&self, verdict: &Verdict) -> bool {
        let (branch, on_the_line) = match verdict {
            Verdict::MeetsInitial { exactly } => {
                (Branch::MakerMeetsInitial, exactly.then_some(Branch::MakerMeetsInitialExactly))
            }
            Verdict::ShrinksAboveMaintenance { exactly } => {
                (Branch::MakerShrinksAboveMaintenance, exactly.then_some(Branch::MakerShrinksAtMaintenance))
            }
            Verdict::ShrinksWithoutCost { no_gain } => {
                (Branch::MakerShrinksWithoutCost, no_gain.then_some(Branch::MakerShrinksAtNoGain))
            }
            Verdict::RefusedNotShrinking => (Branch::MakerRefusedNotShrinking, None),
            Verdict::RefusedFlipping => (Branch::MakerRefusedFlipping, None),
            Verdict::RefusedCostlyShrink => (Branch::MakerRefusedCostlyShrink, None),
        };
        self.hit(branch);
        on_the_line.inspect(|branch| self.hit(*branch));
        verdict.accepts()
    }

    fn accept_taker(&self, verdict: &Verdict) -> bool {
        let (branch, on_the_line) = match verdict {
            Verdict::MeetsInitial { exactly } => {
                (Branch::TakerMeetsInitial, exactly.then_some(Branch::TakerMeetsInitialExactly))
            }
            Verdict::ShrinksAboveMaintenance { exactly } => {
                (Branch::TakerShrinksAboveMaintenance, exactly.then_some(Branch::TakerShrinksAtMaintenance))
            }
            Verdict::ShrinksWithoutCost { no_gain } => {
                (Branch::TakerShrinksWithoutCost, no_gain.then_some(Branch::TakerShrinksAtNoGain))
            }
            Verdict::RefusedNotShrinking => (Branch::TakerRefusedNotShrinking, None),
            Verdict::RefusedFlipping => (Branch::TakerRefusedFlipping, None),
            Verdict::RefusedCostlyShrink => (Branch::TakerRefusedCostlyShrink, None),
        };
        self.hit(branch);
        on_the_line.inspect(|branch| self.hit(*branch));
        if !verdict.accepts() {
            let first = self.fills.is_empty();
            self.hit(if first { Branch::TakerRefusedAtFirstFill } else { Branch::TakerRefusedAfterFills });
        }
        verdict.accepts()
    }

    fn fill(&mut self, taker: &Taker, maker: &OrderState, size: u64, taker_fee: BigInt, maker_fee: BigInt) {
        let opposite = taker.side.opposite();
        self.count_fill(taker, maker, size, &taker_fee);
        self.trade(maker.account, taker.market, opposite, maker.price, size, &maker_fee);
        self.trade(taker.account, taker.market, taker.side, maker.price, size, &taker_fee);

        self.taker.as_mut().expect("the order being matched").remaining -= size;
        let best = &mut self.book_mut(taker.market, opposite)[0];
        assert_eq!(best.order, maker.order);
        let left = maker.size.get() - size;
        best.size = Size::new(left).expect("a size that shrank");
        if left == 0 {
            self.remove(taker.market, opposite, maker.order);
        }
        self.fills.push(FillState {
            market: taker.market,
            taker: taker.account,
            taker_side: taker.side,
            maker: maker.account,
            maker_order: maker.order,
            price: maker.price,
            size: Size::new(size).expect("no larger than an order"),
            taker_fee,
            maker_fee,
        });
    }

    /// One side of a fill: the position and the fee.
    fn trade(&mut self, id: AccountId, market: MarketId, side: Side, price: Price, size: u64, fee: &BigInt) {
        let entry = self.held_entry(id, market).expect("an account with an order has an entry");
        let account = self.account_mut(id);
        let position = account.directory[entry as usize].as_mut().expect("held");
        position.size += side.sign() * i128::from(size);
        position.quote -= side.sign() * notional(price, size);
        let mut realised = BigInt::ZERO;
        if position.size == 0 {
            std::mem::swap(&mut realised, &mut position.quote);
        }
        account.collateral += &realised;
        account.collateral -= fee;
        self.account_mut(self.fee_account).collateral += fee;

        self.hit_if(realised > BigInt::ZERO, Branch::RealisesGain);
        self.hit_if(realised < BigInt::ZERO, Branch::RealisesLoss);
        self.hit_if(self.accounts[&id].collateral < BigInt::ZERO, Branch::CollateralNegative);
    }

    /// The fee account was refused a fill, and only for a fee that it would have paid to itself.
    fn count_own_fee(&self, id: AccountId, market: MarketId, side: Side, price: Price, size: u64) {
        if id == self.fee_account {
            let verdict = self.may_fill(id, market, side, price, size, &BigInt::ZERO);
            self.hit_if(verdict.accepts(), Branch::FeeAccountRefusedForOwnFee);
        }
    }

    /// Branches of a fill that is about to happen.
    fn count_fill(&self, taker: &Taker, maker: &OrderState, size: u64, taker_fee: &BigInt) {
        let lots = i128::from(size);
        let before = self.position_size(taker.account, taker.market) * taker.side.sign();
        self.hit(match before {
            0 => Branch::TakerOpens,
            1.. => Branch::TakerIncreases,
            _ if -before > lots => Branch::TakerShrinks,
            _ if -before == lots => Branch::TakerCloses,
            _ => Branch::TakerFlips,
        });
        let before = self.position_size(maker.account, taker.market) * taker.side.opposite().sign();
        self.hit(match before {
            0 => Branch::MakerOpens,
            1.. => Branch::MakerIncreases,
            _ if -before > lots => Branch::MakerShrinks,
            _ if -before == lots => Branch::MakerCloses,
            _ => Branch::MakerFlips,
        });
        self.hit(match taker.remaining.cmp(&maker.size.get()) {
            std::cmp::Ordering::Less => Branch::FillLimitedByTaker,
            std::cmp::Ordering::Equal => Branch::FillBothExactly,
            std::cmp::Ordering::Greater => Branch::FillLimitedByMaker,
        });
        let filled = size == maker.size.get();
        self.hit(if filled { Branch::MakerOrderFilled } else { Branch::MakerOrderPartlyFilled });
        let rate = self.markets[index_of(taker.market)].taker_fee_ppm;
        let exact = taker_fee * limits::PPM == notional(maker.price, size) * rate;
        self.hit(if exact { Branch::FeeExact } else { Branch::FeeRoundedUp });
        self.hit_if(*taker_fee == BigInt::ZERO, Branch::FeeZero);
        self.hit_if(taker.account == self.fee_account, Branch::FeeAccountTakes);
        self.hit_if(maker.account == self.fee_account, Branch::FeeAccountMakes);
        for account in [taker.account, maker.account] {
            self.hit_if(self.equity(&self.portfolio(account)) < BigInt::ZERO, Branch::EquityNegativeFill);
        }
    }

    /// Puts the remainder of an order into its book, behind all orders of its price.
    fn rest(&mut self, taker: Taker) -> OrderId {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.hit(Branch::SlotFromFreeList);
                slot
            }
            None => {
                assert!(self.fresh < 1 << limits::ORDER_BITS, "place rejects what finds no slot");
                self.hit(Branch::SlotFresh);
                self.fresh += 1;
                self.fresh - 1
            }
        };
        let generation = self.generations.get(&slot).copied().unwrap_or(0).wrapping_add(1);
        self.hit_if(generation == 0, Branch::GenerationWraps);
        self.generations.insert(slot, generation);
        let id = OrderId::new(slot, generation).expect("slots are bounded");

        let order = OrderState {
            order: id,
            account: taker.account,
            entry: taker.entry,
            price: taker.price,
            size: Size::new(taker.remaining).expect("no larger than it was"),
            reduce_only: taker.reduce_only,
        };
        let book = self.book_mut(taker.market, taker.side);
        let worse = |other: &OrderState| match taker.side {
            Side::Buy => other.price < order.price,
            Side::Sell => other.price > order.price,
        };
        let (index, length) = (book.iter().position(worse).unwrap_or(book.len()), book.len());
        let behind_same_price = index > 0 && book[index - 1].price == order.price;
        book.insert(index, order);
        self.hit(match index {
            _ if length == 0 => Branch::RestsInEmptyBook,
            0 => Branch::RestsAtFront,
            _ if index == length => Branch::RestsAtBack,
            _ => Branch::RestsBetween,
        });
        self.hit_if(behind_same_price, Branch::RestsBehindSamePrice);
        id
    }

    /// Takes an order out of its book and frees its slot.
    fn remove(&mut self, market: MarketId, side: Side, id: OrderId) {
        let book = self.book_mut(market, side);
        let index = book.iter().position(|order| order.order == id).expect("the order rests");
        let owner = book.remove(index).account;
        self.account_mut(owner);
        self.free.push(id.slot());
    }

    /// The book and index of an account's resting order.
    fn find_order(&self, account: AccountId, id: OrderId) -> Result<(MarketId, Side, usize), Reject> {
        if id.slot() < limits::FIRST_ORDER {
            // The sentinels belong to nobody; a market that does not exist has no books, and so no sentinels.
            let market_exists = (id.slot() as usize / 2) < self.markets.len();
            if market_exists && id.generation() == 0 {
                self.hit(Branch::CancelSentinel);
                return Err(Reject::NotOrderOwner);
            }
            self.hit(if market_exists {
                Branch::CancelSentinelOtherGeneration
            } else {
                Branch::CancelSentinelOfNoMarket
            });
            return Err(Reject::UnknownOrder);
        }
        for market in self.market_ids() {
            for side in [Side::Buy, Side::Sell] {
                let found = self.book(market, side).iter().position(|order| order.order == id);
                let Some(index) = found else { continue };
                if self.book(market, side)[index].account != account {
                    self.hit(Branch::CancelOfOther);
                    return Err(Reject::NotOrderOwner);
                }
                return Ok((market, side, index));
            }
        }
        self.hit(match id.slot() {
            slot if slot >= self.fresh => Branch::CancelNeverUsedSlot,
            slot if self.free.contains(&slot) => Branch::CancelFreeSlot,
            _ => Branch::CancelOtherGeneration,
        });
        Err(Reject::UnknownOrder)
    }

    // The state.

    fn market(&self, id: MarketId) -> Option<&Market> {
        self.markets.get(index_of(id))
    }

    fn market_ids(&self) -> impl Iterator<Item = MarketId> + use<> {
        (0..self.markets.len() as u32).map(|id| MarketId::new(id).expect("the genesis is bounded"))
    }

    fn market_mut(&mut self, id: MarketId) -> &mut Market {
        self.touched.markets.insert(id);
        &mut self.markets[index_of(id)]
    }

    fn book_mut(&mut self, market: MarketId, side: Side) -> &mut Vec<OrderState> {
        let market = self.market_mut(market);
        match side {
            Side::Buy => &mut market.bids,
            Side::Sell => &mut market.asks,
        }
    }

    fn account_mut(&mut self, id: AccountId) -> &mut Account {
        self.touched.accounts.insert(id);
        self.accounts.entry(id).or_default()
    }

    fn position(&self, id: AccountId, market: MarketId) -> Option<&Position> {
        self.accounts.get(&id)?.directory.iter().flatten().find(|position| position.market == market)
    }

    fn position_size(&self, id: AccountId, market: MarketId) -> i128 {
        self.position(id, market).map_or(0, |position| position.size)
    }

    fn held_entry(&self, id: AccountId, market: MarketId) -> Option<u32> {
        let holds = |entry: &Option<Position>| entry.as_ref().is_some_and(|position| position.market == market);
        self.accounts.get(&id)?.directory.iter().position(holds).map(|entry| entry as u32)
    }

    fn first_empty_entry(&self, id: AccountId) -> Option<u32> {
        match self.accounts.get(&id) {
            Some(account) => account.directory.iter().position(Option::is_none).map(|entry| entry as u32),
            None => Some(0),
        }
    }

    fn open_entry(&mut self, id: AccountId, entry: u32, market: MarketId) {
        let account = self.account_mut(id);
        account.directory[entry as usize] = Some(Position { market, size: 0, quote: BigInt::ZERO });
        let in_hole = account.directory[entry as usize + 1..].iter().any(Option::is_some);
        account.high = account.high.max(entry + 1);
        self.hit(Branch::PlaceNewEntry);
        self.hit_if(in_hole, Branch::PlaceNewEntryInHole);
        self.hit_if(entry as usize == limits::ENTRIES_MAX - 1, Branch::PlaceNewEntryLast);
    }

    /// Remaining sizes of an account's open orders on one side of a market, the one being matched included.
    fn open_size(&self, id: AccountId, market: MarketId, side: Side) -> u64 {
        let resting = self.book(market, side).iter().filter(|order| order.account == id).map(|order| order.size.get());
        let taker = self.taker.filter(|taker| (taker.account, taker.market, taker.side) == (id, market, side));
        resting.chain(taker.map(|taker| taker.remaining)).sum()
    }

    /// Number of orders of an account that rest in the books of a market.
    fn open_orders(&self, id: AccountId, market: MarketId) -> u32 {
        let count = |side| self.book(market, side).iter().filter(|order| order.account == id).count();
        (count(Side::Buy) + count(Side::Sell)) as u32
    }

    /// What a reduce-only order of this side may fill: the size of the position if it is on the opposite side.
    fn reducible(&self, id: AccountId, market: MarketId, side: Side) -> u64 {
        let against = -side.sign() * self.position_size(id, market);
        against.max(0).try_into().expect("a position is bounded")
    }

    // Margin.

    fn portfolio(&self, id: AccountId) -> Portfolio {
        let Some(account) = self.accounts.get(&id) else {
            return Portfolio { collateral: BigInt::ZERO, holdings: Vec::new() };
        };
        let holding = |position: &Position| Holding {
            market: position.market,
            size: position.size,
            quote: position.quote.clone(),
            bids: self.open_size(id, position.market, Side::Buy).into(),
            asks: self.open_size(id, position.market, Side::Sell).into(),
        };
        Portfolio {
            collateral: account.collateral.clone(),
            holdings: account.directory.iter().flatten().map(holding).collect(),
        }
    }

    /// In quote units.
    fn equity(&self, portfolio: &Portfolio) -> BigInt {
        let value = |holding: &Holding| self.value(holding.market, holding.size) + &holding.quote;
        portfolio.holdings.iter().map(value).fold(portfolio.collateral.clone(), |sum, value| sum + value)
    }

    /// Scaled by 10^6.
    fn initial(&self, portfolio: &Portfolio) -> BigInt {
        let required = |holding: &Holding| {
            self.value(holding.market, holding.worst()) * self.markets[index_of(holding.market)].initial_margin_ppm
        };
        portfolio.holdings.iter().map(required).sum()
    }

    /// Scaled by 10^6.
    fn maintenance(&self, portfolio: &Portfolio) -> BigInt {
        let required = |holding: &Holding| {
            self.value(holding.market, holding.size.abs())
                * self.markets[index_of(holding.market)].maintenance_margin_ppm
        };
        portfolio.holdings.iter().map(required).sum()
    }

    fn meets_initial(&self, portfolio: &Portfolio) -> bool {
        self.equity(portfolio) * limits::PPM >= self.initial(portfolio)
    }

    /// Whether initial margin is met with nothing to spare, and is not zero: for coverage.
    fn meets_initial_exactly(&self, portfolio: &Portfolio) -> bool {
        let initial = self.initial(portfolio);
        initial > BigInt::ZERO && self.equity(portfolio) * limits::PPM == initial
    }

    /// `lots × mark`.
    fn value(&self, market: MarketId, lots: i128) -> BigInt {
        BigInt::from(lots) * self.markets[index_of(market)].mark.get()
    }

    // Checking itself.

    fn hit(&self, branch: Branch) {
        self.coverage.hit(branch);
    }

    fn hit_if(&self, condition: bool, branch: Branch) {
        if condition {
            self.coverage.hit(branch);
        }
    }

    /// Panics unless all that must hold between two commands holds.
    pub fn assert_invariants(&self) {
        self.assert_authority();
        self.assert_accounts();
        self.assert_books();
    }

    fn assert_accounts(&self) {
        let bound = BigInt::from(1) << AMOUNT_BITS;
        let mut sizes = vec![0; self.markets.len()];
        let mut sum = BigInt::ZERO;
        for (id, account) in &self.accounts {
            assert!(account.collateral.magnitude() < bound.magnitude(), "collateral of account {id}");
            sum += &account.collateral;
            assert!(account.directory[account.high as usize..].iter().all(Option::is_none), "entries of account {id}");
            let mut seen = BTreeSet::new();
            for position in account.directory.iter().flatten() {
                assert!(seen.insert(position.market), "account {id} holds market {} once", position.market);
                assert!(position.quote.magnitude() < bound.magnitude(), "quote of account {id}");
                assert!(position.size != 0 || position.quote == BigInt::ZERO, "a flat position is realised");
                sum += &position.quote;
                sizes[index_of(position.market)] += position.size;
            }
            for holding in self.portfolio(*id).holdings {
                let market = &self.markets[index_of(holding.market)];
                assert!(holding.size.abs() <= holding.worst());
                assert!(holding.worst() <= i128::from(market.position_max), "position limit of account {id}");
                assert!(self.open_orders(*id, holding.market) <= market.open_orders_max, "open orders of account {id}");
            }
        }
        assert_eq!(sum, self.deposits, "the sum of all collateral and all quotes equals the deposits");
        assert!(sizes.iter().all(|size| *size == 0), "the sum of sizes in each market is zero: {sizes:?}");
        assert!((BigInt::ZERO..=BigInt::from(limits::DEPOSITS_MAX)).contains(&self.deposits));
    }

    fn assert_books(&self) {
        let mut used = vec![false; (self.fresh - self.fresh_first) as usize];
        let mut use_slot = |slot: u32| {
            let used = &mut used[(slot - self.fresh_first) as usize];
            assert!(!*used, "slot {slot} is used once");
            *used = true;
        };
        for slot in &self.free {
            use_slot(*slot);
        }
        for id in self.market_ids() {
            let market = &self.markets[index_of(id)];
            assert!(market.mark.get() > 0);
            assert!(market.bids.is_sorted_by(|before, after| before.price >= after.price), "bids of market {id}");
            assert!(market.asks.is_sorted_by(|before, after| before.price <= after.price), "asks of market {id}");
            if let (Some(bid), Some(ask)) = (market.bids.first(), market.asks.first()) {
                assert!(bid.price < ask.price, "market {id} is not crossed");
            }
            for order in market.bids.iter().chain(&market.asks) {
                use_slot(order.order.slot());
                assert!(order.size.get() > 0 && order.price.get() > 0);
                assert_eq!(self.generations[&order.order.slot()], order.order.generation());
                assert_eq!(self.held_entry(order.account, id), Some(order.entry));
            }
        }
        assert!(used.iter().all(|used| *used), "every slot below fresh is free or in a book");
    }
}

impl Venue for Model {
    fn apply(&mut self, instruction: &Instruction) -> Option<Outcome> {
        self.apply(instruction)
    }

    fn system(&self) -> SystemState {
        self.system()
    }

    fn account(&self, account: AccountId) -> AccountState {
        self.account(account)
    }

    fn owner(&self, account: AccountId) -> Option<Address> {
        self.owner(account)
    }

    fn session(&self, account: AccountId, key: KeyIndex) -> SessionState {
        self.session(account, key)
    }

    fn book(&self, market: MarketId, side: Side) -> Vec<OrderState> {
        self.book(market, side).to_vec()
    }

    fn mark(&self, market: MarketId) -> Option<Price> {
        self.mark(market)
    }

    fn fills(&self) -> Vec<FillState> {
        self.fills.clone()
    }
}

/// The model's own words for a side, so that it shares none with the exchange.
trait Direction: Copy {
    fn opposite(self) -> Side;
    /// What a fill does to the position: +1 for a buy, −1 for a sell.
    fn sign(self) -> i128;
    fn pick<T>(self, buy: T, sell: T) -> T;
}

impl Direction for Side {
    fn opposite(self) -> Side {
        self.pick(Side::Sell, Side::Buy)
    }

    fn sign(self) -> i128 {
        self.pick(1, -1)
    }

    fn pick<T>(self, buy: T, sell: T) -> T {
        match self {
            Side::Buy => buy,
            Side::Sell => sell,
        }
    }
}

fn ensure(condition: bool, reject: Reject) -> Result<(), Reject> {
    if condition { Ok(()) } else { Err(reject) }
}

fn index_of(market: MarketId) -> usize {
    market.get() as usize
}

/// Whether an order of this side and limit price matches an opposite order of price `best`.
fn crosses(side: Side, limit: Price, best: Price) -> bool {
    match side {
        Side::Buy => best <= limit,
        Side::Sell => best >= limit,
    }
}

/// One tick times one lot is one quote unit.
fn notional(price: Price, size: u64) -> BigInt {
    BigInt::from(price.get()) * size
}

/// Rounded up, in the house's favour.
fn fee(price: Price, size: u64, fee_ppm: u32) -> BigInt {
    (notional(price, size) * fee_ppm + (limits::PPM - 1)) / limits::PPM
}
