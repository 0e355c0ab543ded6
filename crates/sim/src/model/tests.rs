//! One small scenario per rule, with the numbers worked out. Unless a test says otherwise: one market, mark 100, initial
//! margin 10%, maintenance margin 5%, no fees, positions up to 1000 lots, 4 open orders, a mark moves by at most 20%.
//! Accounts below 20 are open, and each has a key in place 0 that may do all, for ever; the time is 1000.

use holdfast_protocol::{AccountGenesis, Amount, Deployment, KeyGenesis, MarketGenesis, Open, Register, Revoke};

use super::*;
use crate::{keyring::public_key, stream::NEVER};
use Reject::*;
use SelfTrade::*;
use TimeInForce::*;

const HOUSE: u32 = 0;
const ORACLE: u32 = 1;
const OPERATOR: u32 = 2;
const ALICE: u32 = 3;
const BOB: u32 = 4;
const CAROL: u32 = 5;

const ACCEPTED: Outcome = Outcome::Accepted;
const FIRST: u32 = limits::FIRST_ORDER;

fn account(id: u32) -> AccountId {
    AccountId::new(id).unwrap()
}

fn key(index: u32) -> KeyIndex {
    KeyIndex::new(index).unwrap()
}

fn market(id: u32) -> MarketId {
    MarketId::new(id).unwrap()
}

fn order(slot: u32, generation: u8) -> OrderId {
    OrderId::new(slot, generation).unwrap()
}

fn rules() -> MarketGenesis {
    MarketGenesis {
        symbol: "TEST".into(),
        tick_decimals: 2,
        lot_decimals: 4,
        mark: Price::new(100).unwrap(),
        initial_margin_ppm: 100_000,
        maintenance_margin_ppm: 50_000,
        maker_fee_ppm: 0,
        taker_fee_ppm: 0,
        open_orders_max: 4,
        position_max: 1000,
        mark_move_ppm: 200_000,
    }
}

fn genesis(markets: Vec<MarketGenesis>) -> Genesis {
    let open = |id| AccountGenesis {
        account: account(id),
        owner: Address::repeat_byte(1),
        keys: vec![KeyGenesis { public_key: public_key(id), withdraws: true, expiry: NEVER }],
    };
    Genesis {
        deployment: Deployment { chain_id: 1, contract: Address::ZERO },
        time: TimeMs::new(1000).unwrap(),
        oracle: account(ORACLE),
        operator: account(OPERATOR),
        fee_account: account(HOUSE),
        quote_decimals: 6,
        accounts: (0..20).map(open).collect(),
        markets,
    }
}

fn buy(id: u32, price: u32, size: u64) -> Place {
    Place {
        account: account(id),
        market: market(0),
        side: Side::Buy,
        time_in_force: GoodTillCancel,
        reduce_only: false,
        self_trade: ExpireTaker,
        price: Price::new(price).unwrap(),
        size: Size::new(size).unwrap(),
    }
}

fn sell(id: u32, price: u32, size: u64) -> Place {
    Place { side: Side::Sell, ..buy(id, price, size) }
}

/// A model whose commands are short to write.
struct Bench(Model);

impl Bench {
    fn new(rules: MarketGenesis) -> Self {
        Self(Model::new(&genesis(vec![rules])))
    }

    /// Alice, Bob and Carol with a million each.
    fn rich(rules: MarketGenesis) -> Self {
        Self::new(rules).funded(&[(ALICE, 1_000_000), (BOB, 1_000_000), (CAROL, 1_000_000)])
    }

    fn funded(mut self, deposits: &[(u32, u128)]) -> Self {
        for (id, amount) in deposits {
            assert_eq!(self.deposit(*id, *amount), ACCEPTED);
        }
        self
    }

    /// A command signed with its signer's key in place 0.
    fn ask(&mut self, command: Command) -> Outcome {
        self.ask_with(0, command)
    }

    fn ask_with(&mut self, index: u32, command: Command) -> Outcome {
        self.0.run(&Instruction { key: key(index), command })
    }

    fn deposit(&mut self, id: u32, amount: u128) -> Outcome {
        let (sender, amount) = (account(OPERATOR), Amount::new(amount).unwrap());
        self.ask(Command::Deposit(Deposit { sender, account: account(id), amount }))
    }

    fn withdraw(&mut self, id: u32, amount: u128) -> Outcome {
        let amount = Amount::new(amount).unwrap();
        self.ask(Command::Withdraw(Withdraw { account: account(id), amount }))
    }

    fn place(&mut self, place: Place) -> Outcome {
        self.ask(Command::Place(place))
    }

    /// Places orders that must be accepted.
    fn all(&mut self, places: &[Place]) {
        for place in places {
            assert_eq!(self.place(*place), ACCEPTED, "{place:?}");
        }
    }

    fn cancel(&mut self, id: u32, order: OrderId) -> Outcome {
        self.ask(Command::Cancel(Cancel { account: account(id), order }))
    }

    fn cancel_all(&mut self, id: u32) -> Outcome {
        self.ask(Command::CancelAll(CancelAll { account: account(id), market: market(0) }))
    }

    fn amend(&mut self, id: u32, order: OrderId, price: u32, size: u64) -> Outcome {
        let (price, size) = (Price::new(price).unwrap(), Size::new(size).unwrap());
        self.ask(Command::Amend(Amend { account: account(id), order, self_trade: ExpireMaker, price, size }))
    }

    fn mark(&mut self, sender: u32, price: u32) -> Outcome {
        let (sender, price) = (account(sender), Price::new(price).unwrap());
        self.ask(Command::Mark(Mark { sender, market: market(0), price }))
    }

    fn marks(&mut self, prices: &[u32]) {
        for price in prices {
            assert_eq!(self.mark(ORACLE, *price), ACCEPTED, "mark {price}");
        }
    }

    fn time(&mut self, sender: u32, time: u64) -> Outcome {
        self.ask(Command::Time(Time { sender: account(sender), time: TimeMs::new(time).unwrap() }))
    }

    fn release(&mut self, id: u32, in_market: u32) -> Outcome {
        self.ask(Command::Release(Release { account: account(id), market: market(in_market) }))
    }

    fn collateral(&self, id: u32) -> i128 {
        self.0.account(account(id)).collateral.try_into().unwrap()
    }

    /// Size, quote, bids, asks and open orders of the position in market 0.
    fn position(&self, id: u32) -> (i64, i128, u64, u64, u32) {
        let entries = self.0.account(account(id)).entries;
        let position = entries.into_iter().flatten().find(|position| position.market == market(0)).unwrap();
        let quote = position.quote.try_into().unwrap();
        (position.size, quote, position.bids, position.asks, position.open_orders)
    }

    /// Slot, owner, price and remaining size of each order, best first.
    fn book(&self, side: Side) -> Vec<(u32, u32, u32, u64)> {
        let orders = self.0.book(market(0), side).iter();
        orders.map(|order| (order.order.slot(), order.account.get(), order.price.get(), order.size.get())).collect()
    }

    fn bids(&self) -> Vec<(u32, u32, u32, u64)> {
        self.book(Side::Buy)
    }

    fn asks(&self) -> Vec<(u32, u32, u32, u64)> {
        self.book(Side::Sell)
    }

    /// Maker, price and size of the last command's fills.
    fn fills(&self) -> Vec<(u32, u32, u64)> {
        self.0.fills().iter().map(|fill| (fill.maker.get(), fill.price.get(), fill.size.get())).collect()
    }
}

fn rejected(reject: Reject) -> Outcome {
    Outcome::Rejected(reject)
}

// Deposit and withdraw.

#[test]
fn a_deposit_of_nothing_is_rejected() {
    assert_eq!(Bench::new(rules()).deposit(ALICE, 0), rejected(AmountZero));
}

#[test]
fn deposits_stop_at_the_cap() {
    // 1024 × (2^80 − 1) = 2^90 − 1024 leaves room for 1024.
    let mut bench = Bench::new(rules());
    for _ in 0..1024 {
        assert_eq!(bench.deposit(ALICE, (1 << 80) - 1), ACCEPTED);
    }
    assert_eq!(bench.deposit(BOB, 1025), rejected(DepositCap));
    assert_eq!(bench.deposit(BOB, 1024), ACCEPTED);
    assert_eq!(bench.deposit(BOB, 1), rejected(DepositCap));
    assert_eq!(bench.withdraw(ALICE, 1), ACCEPTED);
    assert_eq!(bench.deposit(BOB, 1), ACCEPTED);
}

#[test]
fn a_withdrawal_takes_no_more_than_collateral() {
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 100), (BOB, 100)]);
    assert_eq!(bench.withdraw(ALICE, 0), rejected(AmountZero));
    assert_eq!(bench.withdraw(ALICE, 101), rejected(InsufficientCollateral));
    assert_eq!(bench.withdraw(ALICE, 100), ACCEPTED);
    assert_eq!(bench.collateral(ALICE), 0);
    assert_eq!(bench.0.system().deposits, BigInt::from(100));
}

#[test]
fn a_withdrawal_leaves_initial_margin() {
    // 10 lots long at mark 100 and a resting bid for 5: initial margin is 15 × 100 × 10% = 150.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 1000), (BOB, 1000)]);
    bench.all(&[sell(BOB, 100, 10), buy(ALICE, 100, 15)]);
    assert_eq!(bench.withdraw(ALICE, 851), rejected(InsufficientMargin));
    assert_eq!(bench.withdraw(ALICE, 850), ACCEPTED);
    // At mark 110 the position gained 10 × 10 = 100 and the margin is 165: 150 + 100 − 165 = 85 are free.
    bench.marks(&[110]);
    assert_eq!(bench.withdraw(ALICE, 86), rejected(InsufficientMargin));
    assert_eq!(bench.withdraw(ALICE, 85), ACCEPTED);
}

#[test]
fn a_debt_that_nobody_pays_is_withdrawn_from_the_deposits_of_others() {
    // What version 1 does not prevent. 10 lots change hands at 100; the mark runs to 206 and takes Bob from 100 to
    // 100 − 10 × 106 = −960. He may still close at the mark (the fill costs him nothing), and Alice has 100 + 1060.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 100), (BOB, 100)]);
    bench.all(&[sell(BOB, 100, 10), buy(ALICE, 100, 10)]);
    bench.marks(&[120, 144, 172, 206]);
    bench.all(&[sell(ALICE, 206, 10), Place { reduce_only: true, ..buy(BOB, 206, 10) }]);
    assert_eq!((bench.collateral(ALICE), bench.collateral(BOB)), (1160, -960));
    assert_eq!(bench.withdraw(ALICE, 1160), rejected(VaultShort));
    assert_eq!(bench.deposit(CAROL, 1000), ACCEPTED);
    assert_eq!(bench.withdraw(ALICE, 1160), ACCEPTED);
    assert_eq!(bench.withdraw(CAROL, 41), rejected(VaultShort));
}

// Place: the rejects.

#[test]
fn place_rejects_in_order_of_precedence() {
    // Each line mends the fault that the line before was rejected for, and keeps all later ones.
    let no_room = Bench::new(MarketGenesis { open_orders_max: 1, position_max: 10, ..rules() }).funded(&[(BOB, 1000)]);
    let mut bench = no_room.funded(&[(ALICE, 10)]);
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 10, 1)]);
    let place = Place { time_in_force: PostOnly, reduce_only: true, market: market(7), ..buy(ALICE, 0, 0) };
    assert_eq!(bench.place(place), rejected(UnknownMarket));
    let place = Place { market: market(0), ..place };
    assert_eq!(bench.place(place), rejected(PriceZero));
    let place = Place { price: Price::new(100).unwrap(), ..place };
    assert_eq!(bench.place(place), rejected(SizeZero));
    let place = Place { size: Size::new(10).unwrap(), ..place };
    assert_eq!(bench.place(place), rejected(OpenOrdersLimit));
    assert_eq!(bench.cancel_all(ALICE), ACCEPTED);
    assert_eq!(bench.place(place), rejected(ReduceOnlyIncreases));
    let place = Place { reduce_only: false, size: Size::new(11).unwrap(), ..place };
    assert_eq!(bench.place(place), rejected(PositionLimit));
    let place = Place { size: Size::new(10).unwrap(), ..place };
    assert_eq!(bench.place(place), rejected(PostOnlyCrosses));
    let place = Place { time_in_force: FillOrKill, ..place };
    assert_eq!(bench.place(place), rejected(FillOrKillUnfillable));
    let place = Place { time_in_force: GoodTillCancel, ..place };
    // 10 × 100 × 10% = 100 > 10.
    assert_eq!(bench.place(place), rejected(InsufficientMargin));
    assert_eq!(bench.deposit(ALICE, 90), ACCEPTED);
    assert_eq!(bench.place(place), ACCEPTED);
}

#[test]
fn a_full_directory_takes_no_new_market() {
    let mut bench = Bench(Model::new(&genesis(vec![rules(); 17]))).funded(&[(ALICE, 1_000_000)]);
    for id in 0..16 {
        bench.all(&[Place { market: market(id), ..buy(ALICE, 90, 1) }]);
    }
    assert_eq!(bench.place(Place { market: market(16), ..buy(ALICE, 90, 1) }), rejected(PositionSlotsFull));
    assert_eq!(bench.place(Place { market: market(15), ..buy(ALICE, 90, 1) }), ACCEPTED);
    // An entry that was freed is used again, the lowest first.
    assert_eq!(bench.cancel(ALICE, order(FIRST + 5, 1)), ACCEPTED);
    assert_eq!(bench.release(ALICE, 5), ACCEPTED);
    assert_eq!(bench.place(Place { market: market(16), ..buy(ALICE, 90, 1) }), ACCEPTED);
    let entries = bench.0.account(account(ALICE)).entries;
    assert_eq!(entries[5].as_ref().unwrap().market, market(16));
}

#[test]
fn open_orders_are_limited_only_where_an_order_may_rest() {
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 1), buy(ALICE, 91, 1), sell(ALICE, 110, 1), sell(ALICE, 111, 1)]);
    assert_eq!(bench.place(buy(ALICE, 92, 1)), rejected(OpenOrdersLimit));
    assert_eq!(bench.place(Place { time_in_force: PostOnly, ..buy(ALICE, 92, 1) }), rejected(OpenOrdersLimit));
    assert_eq!(bench.place(Place { time_in_force: ImmediateOrCancel, ..buy(ALICE, 92, 1) }), ACCEPTED);
}

#[test]
fn reduce_only_needs_an_opposite_position() {
    let mut bench = Bench::rich(rules());
    let reduce_only = |place| Place { reduce_only: true, ..place };
    assert_eq!(bench.place(reduce_only(sell(ALICE, 100, 1))), rejected(ReduceOnlyIncreases));
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5)]);
    assert_eq!(bench.place(reduce_only(buy(ALICE, 90, 1))), rejected(ReduceOnlyIncreases));
    assert_eq!(bench.place(reduce_only(sell(BOB, 110, 1))), rejected(ReduceOnlyIncreases));
    assert_eq!(bench.place(reduce_only(sell(ALICE, 110, 99))), ACCEPTED);
}

#[test]
fn the_position_limit_counts_open_orders_of_one_side() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 100, 400), buy(ALICE, 100, 400), buy(ALICE, 90, 500)]);
    // 400 + 500 + 100 = 1000 is the limit; selling, 1400 − 400 = 1000.
    assert_eq!(bench.place(buy(ALICE, 91, 101)), rejected(PositionLimit));
    assert_eq!(bench.place(sell(ALICE, 110, 1401)), rejected(PositionLimit));
    bench.all(&[buy(ALICE, 91, 100), sell(ALICE, 110, 1400)]);
    assert_eq!(bench.position(ALICE), (400, -40_000, 600, 1400, 3));
}

#[test]
fn post_only_is_rejected_even_against_an_own_order() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(ALICE, 100, 5), buy(BOB, 90, 5)]);
    let post_only = |place| Place { time_in_force: PostOnly, ..place };
    assert_eq!(bench.place(post_only(buy(ALICE, 100, 1))), rejected(PostOnlyCrosses));
    assert_eq!(bench.place(post_only(sell(ALICE, 90, 1))), rejected(PostOnlyCrosses));
    assert_eq!(bench.place(post_only(buy(ALICE, 99, 1))), ACCEPTED);
    assert_eq!(bench.place(post_only(sell(ALICE, 100, 1))), ACCEPTED);
}

#[test]
fn a_full_book_takes_only_immediate_orders_and_amendments() {
    let mut bench = Bench(Model::with_fresh(&genesis(vec![rules()]), (1 << 24) - 2));
    bench = bench.funded(&[(ALICE, 1_000_000), (BOB, 1_000_000)]);
    let last = (1 << 24) - 1;
    bench.all(&[buy(ALICE, 90, 5), buy(ALICE, 91, 5)]);
    assert_eq!(bench.bids(), [(last, ALICE, 91, 5), (last - 1, ALICE, 90, 5)]);
    // Full is full, even for an order that would match wholly.
    assert_eq!(bench.place(sell(BOB, 91, 1)), rejected(BookFull));
    assert_eq!(bench.place(Place { time_in_force: PostOnly, ..sell(BOB, 95, 1) }), rejected(BookFull));
    bench.all(&[Place { time_in_force: ImmediateOrCancel, ..sell(BOB, 91, 1) }]);
    assert_eq!(bench.amend(ALICE, order(last - 1, 1), 92, 7), ACCEPTED);
    assert_eq!(bench.bids(), [(last - 1, ALICE, 92, 7), (last, ALICE, 91, 4)]);
    bench.all(&[Place { time_in_force: FillOrKill, ..sell(BOB, 92, 7) }, sell(BOB, 95, 1)]);
    assert_eq!(bench.asks(), [(last - 1, BOB, 95, 1)]);
}

#[test]
fn fill_or_kill_walks_the_crossing_orders_of_others() {
    // Bob sells 3 at 100 and 4 at 102, Alice 2 at 101.
    let book = || {
        let mut bench = Bench::rich(rules());
        bench.all(&[sell(BOB, 100, 3), sell(ALICE, 101, 2), sell(BOB, 102, 4)]);
        bench
    };
    let fill_or_kill = |place, self_trade| Place { time_in_force: FillOrKill, self_trade, ..place };
    let unfillable = rejected(FillOrKillUnfillable);
    assert_eq!(book().place(fill_or_kill(buy(CAROL, 102, 9), ExpireTaker)), ACCEPTED);
    assert_eq!(book().place(fill_or_kill(buy(CAROL, 102, 10), ExpireTaker)), unfillable);
    assert_eq!(book().place(fill_or_kill(buy(CAROL, 101, 6), ExpireTaker)), unfillable);
    // Alice's own order ends the walk after 3, or is skipped: 3 + 4.
    assert_eq!(book().place(fill_or_kill(buy(ALICE, 102, 4), ExpireTaker)), unfillable);
    assert_eq!(book().place(fill_or_kill(buy(ALICE, 102, 4), ExpireBoth)), unfillable);
    assert_eq!(book().place(fill_or_kill(buy(ALICE, 102, 3), ExpireBoth)), ACCEPTED);
    assert_eq!(book().place(fill_or_kill(buy(ALICE, 102, 8), ExpireMaker)), unfillable);
    let mut bench = book();
    assert_eq!(bench.place(fill_or_kill(buy(ALICE, 102, 7), ExpireMaker)), ACCEPTED);
    assert_eq!(bench.fills(), [(BOB, 100, 3), (BOB, 102, 4)]);
    assert_eq!(bench.asks(), []);
}

#[test]
fn a_fill_or_kill_order_is_partly_filled_when_a_maker_is_refused() {
    // Bob's 30 lots at 100 need 300 after the mark has risen to 120, and he would have 500 − 20 × 30 < 0: removed.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 10_000), (BOB, 500), (CAROL, 10_000)]);
    bench.all(&[sell(CAROL, 100, 5), sell(BOB, 100, 30)]);
    bench.marks(&[120]);
    bench.all(&[Place { time_in_force: FillOrKill, ..buy(ALICE, 100, 20) }]);
    assert_eq!(bench.fills(), [(CAROL, 100, 5)]);
    assert_eq!((bench.asks(), bench.bids()), (vec![], vec![]));
    assert_eq!(bench.position(ALICE), (5, -500, 0, 0, 0));
}

#[test]
fn margin_is_asked_of_the_larger_side() {
    // Bids of 8 and asks of 10: the worst position is 10, and 10 × 100 × 10% = 100.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 100)]);
    bench.all(&[sell(ALICE, 110, 10), buy(ALICE, 90, 8), buy(ALICE, 90, 2)]);
    assert_eq!(bench.place(buy(ALICE, 90, 1)), rejected(InsufficientMargin));
    assert_eq!(bench.place(sell(ALICE, 110, 1)), rejected(InsufficientMargin));
}

// Matching.

#[test]
fn matching_follows_price_then_time_at_the_maker_price() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 101, 3), sell(CAROL, 100, 4), sell(BOB, 100, 5), sell(CAROL, 102, 9)]);
    bench.all(&[buy(ALICE, 101, 14)]);
    assert_eq!(bench.fills(), [(CAROL, 100, 4), (BOB, 100, 5), (BOB, 101, 3)]);
    // 4 × 100 + 5 × 100 + 3 × 101 = 1203; the remaining 2 rest.
    assert_eq!(bench.position(ALICE), (12, -1203, 2, 0, 1));
    assert_eq!(bench.position(BOB), (-8, 803, 0, 0, 0));
    assert_eq!(bench.position(CAROL), (-4, 400, 0, 9, 1));
    // Slot 512 was freed last.
    assert_eq!(bench.bids(), [(FIRST, ALICE, 101, 2)]);
    assert_eq!(bench.asks(), [(FIRST + 3, CAROL, 102, 9)]);
}

#[test]
fn an_immediate_remainder_expires() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 100, 3), Place { time_in_force: ImmediateOrCancel, ..buy(ALICE, 100, 5) }]);
    assert_eq!(bench.position(ALICE), (3, -300, 0, 0, 0));
    assert_eq!(bench.bids(), []);
}

#[test]
fn self_trade_prevention_expires_taker_maker_or_both() {
    // Bob sells 1 at 99, Alice 2 at 100, Bob 3 at 101; Alice buys 10 up to 101.
    let run = |self_trade| {
        let mut bench = Bench::rich(rules());
        bench.all(&[sell(BOB, 99, 1), sell(ALICE, 100, 2), sell(BOB, 101, 3)]);
        bench.all(&[Place { self_trade, ..buy(ALICE, 101, 10) }]);
        (bench.fills().len(), bench.asks().len(), bench.position(ALICE))
    };
    assert_eq!(run(ExpireTaker), (1, 2, (1, -99, 0, 2, 1)));
    // 99 + 3 × 101 = 402; 6 rest.
    assert_eq!(run(ExpireMaker), (2, 0, (4, -402, 6, 0, 1)));
    assert_eq!(run(ExpireBoth), (1, 1, (1, -99, 0, 0, 0)));
}

#[test]
fn a_reduce_only_taker_stops_at_flat() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5)]);
    bench.all(&[buy(BOB, 99, 3), buy(BOB, 98, 10), Place { reduce_only: true, ..sell(ALICE, 98, 9) }]);
    assert_eq!(bench.fills(), [(BOB, 99, 3), (BOB, 98, 2)]);
    assert_eq!(bench.asks(), []);
    // 3 × 99 + 2 × 98 − 500 = −7, realised.
    assert_eq!((bench.position(ALICE), bench.collateral(ALICE)), ((0, 0, 0, 0, 0), 999_993));
}

#[test]
fn a_reduce_only_maker_is_capped_and_then_removed() {
    // Alice, 5 long, asks 9 reduce-only at 101; Carol takes 20: 5 from Alice, whose rest goes, and 7 from Bob.
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5)]);
    bench.all(&[Place { reduce_only: true, ..sell(ALICE, 101, 9) }, sell(BOB, 102, 7), buy(CAROL, 102, 20)]);
    assert_eq!(bench.fills(), [(ALICE, 101, 5), (BOB, 102, 7)]);
    assert_eq!(bench.asks(), []);
    assert_eq!(bench.position(ALICE), (0, 0, 0, 0, 0));
    assert_eq!(bench.position(CAROL), (12, -1219, 8, 0, 1));
}

#[test]
fn reduce_only_orders_need_no_margin_and_outlive_their_position() {
    // Alice's 10 pay for 1 lot, and for asks of 1000. Once she is flat, 999 lots are offered that nobody will deliver:
    // they count for post-only and fill-or-kill, and go when they are hit.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 10), (BOB, 10_000), (CAROL, 10_000)]);
    bench.all(&[sell(BOB, 100, 1), buy(ALICE, 100, 1)]);
    bench.all(&[Place { reduce_only: true, ..sell(ALICE, 101, 250) }; 4]);
    bench.all(&[Place { time_in_force: ImmediateOrCancel, ..buy(BOB, 101, 1) }]);
    assert_eq!(bench.position(ALICE), (0, 0, 0, 999, 4));
    assert_eq!(bench.place(Place { time_in_force: PostOnly, ..buy(CAROL, 101, 1) }), rejected(PostOnlyCrosses));
    bench.all(&[Place { time_in_force: FillOrKill, ..buy(CAROL, 101, 100) }]);
    assert_eq!((bench.fills(), bench.asks()), (vec![], vec![]));
}

#[test]
fn a_maker_who_has_become_unable_to_pay_is_removed() {
    // Bob bids 100 for 50 with 500. At mark 94 the fill would cost 50 × 6 = 300, and 200 < 50 × 94 × 10%.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 10_000), (BOB, 500), (CAROL, 10_000)]);
    bench.all(&[buy(BOB, 100, 50), buy(CAROL, 99, 1)]);
    bench.marks(&[94]);
    bench.all(&[sell(ALICE, 99, 10)]);
    assert_eq!(bench.fills(), [(CAROL, 99, 1)]);
    assert_eq!(bench.position(BOB), (0, 0, 0, 0, 0));
    assert_eq!(bench.asks(), [(FIRST + 1, ALICE, 99, 9)]);
}

#[test]
fn a_taker_stops_where_a_fill_would_break_initial_margin() {
    // Alice has 104 and buys 10 up to 110: at placement 10 × 100 × 10% = 100. 4 lots at 101 cost 4, which leaves exactly
    // 100. A lot at 110 would cost 10 more.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 104), (BOB, 10_000)]);
    bench.all(&[sell(BOB, 101, 4), sell(BOB, 110, 10), buy(ALICE, 110, 10)]);
    assert_eq!(bench.fills(), [(BOB, 101, 4)]);
    assert_eq!(bench.position(ALICE), (4, -404, 0, 0, 0));
    assert_eq!(bench.bids(), []);
}

/// Alice is long 10 from 100 with 100 of collateral, and the mark is 95: equity 50, initial 95, maintenance 47.5.
fn under_initial() -> Bench {
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 100), (BOB, 10_000)]);
    bench.all(&[sell(BOB, 100, 10), buy(ALICE, 100, 10)]);
    bench.marks(&[95]);
    bench
}

#[test]
fn a_fill_that_shrinks_the_position_needs_only_maintenance() {
    // Selling 2 at 90 costs 2 × 5 = 10: equity 40 ≥ 8 × 95 × 5% = 38, though below initial margin, 76.
    let mut bench = under_initial();
    bench.all(&[buy(BOB, 90, 2), Place { reduce_only: true, ..sell(ALICE, 90, 2) }]);
    assert_eq!(bench.fills(), [(BOB, 90, 2)]);
    // Without reduce-only, placing already fails.
    assert_eq!(under_initial().place(sell(ALICE, 90, 2)), rejected(InsufficientMargin));
}

#[test]
fn a_fill_that_shrinks_at_a_cost_below_maintenance_is_refused() {
    // Selling 2 at 88 costs 14: equity 36 < 38.
    let mut bench = under_initial();
    bench.all(&[buy(BOB, 88, 2), Place { reduce_only: true, ..sell(ALICE, 88, 2) }]);
    assert_eq!(bench.fills(), []);
    assert_eq!(bench.asks(), []);
}

#[test]
fn a_fill_that_shrinks_at_the_mark_is_always_allowed() {
    // At mark 76 Alice's equity is 100 − 240 = −140. She may sell at 76, and not at 75.
    let run = |price| {
        let mut bench = under_initial();
        bench.marks(&[80, 76]);
        bench.all(&[buy(BOB, price, 4), Place { reduce_only: true, ..sell(ALICE, price, 4) }]);
        bench.fills()
    };
    assert_eq!(run(76), [(BOB, 76, 4)]);
    assert_eq!(run(75), []);
}

#[test]
fn a_fee_counts_against_the_gain_of_a_shrinking_fill() {
    // As above with a fee of 1%: 4 × 76 = 304 costs 3.04, rounded up to 4, so that 77 (gain 4 − 4) is needed.
    let run = |price| {
        let rules = MarketGenesis { taker_fee_ppm: 10_000, ..rules() };
        let mut bench = Bench::new(rules).funded(&[(ALICE, 110), (BOB, 10_000)]);
        bench.all(&[sell(BOB, 100, 10), buy(ALICE, 100, 10)]);
        bench.marks(&[95, 80, 76]);
        bench.all(&[buy(BOB, price, 4), Place { reduce_only: true, ..sell(ALICE, price, 4) }]);
        bench.fills()
    };
    assert_eq!(run(77), [(BOB, 77, 4)]);
    assert_eq!(run(76), []);
}

#[test]
fn a_fill_that_would_flip_the_position_needs_initial_margin() {
    // Bob is short 10 from 100 with 200 and bids 12 at 121. At mark 122 his equity is 200 − 220 = −20. Buying at 121
    // gains 1 a lot: he may buy 10, but 12 would leave him 2 long with −8.
    let run = |size| {
        let mut bench = Bench::new(rules()).funded(&[(ALICE, 10_000), (BOB, 200)]);
        bench.all(&[sell(BOB, 100, 10), buy(ALICE, 100, 10), buy(BOB, 121, 12)]);
        bench.marks(&[120, 122]);
        bench.all(&[Place { time_in_force: ImmediateOrCancel, ..sell(ALICE, 121, size) }]);
        (bench.fills(), bench.bids())
    };
    assert_eq!(run(10), (vec![(BOB, 121, 10)], vec![(FIRST, BOB, 121, 2)]));
    assert_eq!(run(12), (vec![], vec![]));
}

#[test]
fn closing_realises_and_flipping_does_not() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5), buy(BOB, 103, 8), sell(ALICE, 103, 8)]);
    // Through zero: quote is −500 + 824, size −3.
    assert_eq!((bench.position(ALICE), bench.collateral(ALICE)), ((-3, 324, 0, 0, 0), 1_000_000));
    bench.all(&[sell(BOB, 102, 3), buy(ALICE, 102, 3)]);
    // 324 − 306 = 18 = 5 × 3 + 3 × 1.
    assert_eq!((bench.position(ALICE), bench.collateral(ALICE)), ((0, 0, 0, 0, 0), 1_000_018));
    assert_eq!(bench.collateral(BOB), 999_982);
}

#[test]
fn fees_are_rounded_up_for_both_sides() {
    // 7 × 100 = 700: 700 × 100 ppm = 0.07 and 700 × 450 ppm = 0.315, each rounded up to 1.
    let mut bench = Bench::rich(MarketGenesis { maker_fee_ppm: 100, taker_fee_ppm: 450, ..rules() });
    bench.all(&[sell(BOB, 100, 7), buy(ALICE, 100, 7)]);
    assert_eq!((bench.collateral(ALICE), bench.collateral(BOB), bench.collateral(HOUSE)), (999_999, 999_999, 2));
    // 200 × 100 = 20,000: exactly 2 and 9.
    bench.all(&[sell(BOB, 100, 200), buy(ALICE, 100, 200)]);
    assert_eq!((bench.collateral(ALICE), bench.collateral(BOB), bench.collateral(HOUSE)), (999_990, 999_997, 13));
}

#[test]
fn the_house_pays_fees_to_itself_but_must_afford_them() {
    // The house takes 10 at 100 for a fee of 1% = 10, with 109 of collateral: 99 < 100, although the fee comes back.
    let mut bench = Bench::new(MarketGenesis { taker_fee_ppm: 10_000, ..rules() });
    bench = bench.funded(&[(HOUSE, 109), (BOB, 10_000)]);
    bench.all(&[sell(BOB, 100, 20), buy(HOUSE, 100, 10)]);
    assert_eq!(bench.fills(), []);
    assert_eq!(bench.deposit(HOUSE, 1), ACCEPTED);
    bench.all(&[buy(HOUSE, 100, 10)]);
    assert_eq!(bench.fills(), [(BOB, 100, 10)]);
    assert_eq!(bench.collateral(HOUSE), 110);
}

// Slots and ids.

#[test]
fn freed_slots_are_reused_last_first_with_the_next_generation() {
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 1), buy(ALICE, 91, 1), buy(ALICE, 92, 1)]);
    assert_eq!(bench.cancel(ALICE, order(FIRST, 1)), ACCEPTED);
    assert_eq!(bench.cancel(ALICE, order(FIRST + 2, 1)), ACCEPTED);
    assert_eq!(bench.0.system().free_list, [FIRST + 2, FIRST]);
    bench.all(&[buy(ALICE, 93, 1), buy(ALICE, 94, 1), buy(ALICE, 95, 1)]);
    assert_eq!(bench.bids()[..3], [(FIRST + 3, ALICE, 95, 1), (FIRST, ALICE, 94, 1), (FIRST + 2, ALICE, 93, 1)]);
    assert_eq!(bench.cancel(ALICE, order(FIRST, 1)), rejected(UnknownOrder));
    assert_eq!(bench.cancel(ALICE, order(FIRST, 2)), ACCEPTED);
}

#[test]
fn a_generation_wraps_after_256_uses() {
    let mut bench = Bench::rich(rules());
    for round in 1..=513u32 {
        bench.all(&[buy(ALICE, 90, 1)]);
        assert_eq!(bench.cancel(ALICE, order(FIRST, (round % 256) as u8)), ACCEPTED, "round {round}");
    }
}

#[test]
fn only_the_owner_cancels_and_sentinels_have_none() {
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 1)]);
    assert_eq!(bench.cancel(BOB, order(FIRST, 1)), rejected(NotOrderOwner));
    assert_eq!(bench.cancel(ALICE, order(FIRST, 2)), rejected(UnknownOrder));
    assert_eq!(bench.cancel(ALICE, order(FIRST + 1, 0)), rejected(UnknownOrder));
    assert_eq!(bench.cancel(HOUSE, order(0, 0)), rejected(NotOrderOwner));
    assert_eq!(bench.cancel(HOUSE, order(1, 1)), rejected(UnknownOrder));
    // Slot 511 is for the sentinel of a market that does not exist.
    assert_eq!(bench.cancel(HOUSE, order(511, 0)), rejected(UnknownOrder));
    assert_eq!(bench.cancel(ALICE, order(FIRST, 1)), ACCEPTED);
    assert_eq!(bench.cancel(ALICE, order(FIRST, 1)), rejected(UnknownOrder));
}

#[test]
fn cancel_all_frees_slots_in_ascending_order() {
    let mut bench = Bench::rich(rules());
    bench.all(&[sell(ALICE, 110, 1), buy(BOB, 90, 1), buy(ALICE, 90, 1), sell(ALICE, 105, 1)]);
    assert_eq!(bench.cancel_all(ALICE), ACCEPTED);
    assert_eq!(bench.0.system().free_list, [FIRST + 3, FIRST + 2, FIRST]);
    assert_eq!((bench.bids(), bench.asks()), (vec![(FIRST + 1, BOB, 90, 1)], vec![]));
    assert_eq!(bench.cancel_all(ALICE), ACCEPTED);
    assert_eq!(bench.cancel_all(CAROL), ACCEPTED);
    let elsewhere = CancelAll { account: account(ALICE), market: market(1) };
    assert_eq!(bench.ask(Command::CancelAll(elsewhere)), rejected(UnknownMarket));
}

// Amend.

#[test]
fn shrinking_an_order_keeps_its_priority_and_id() {
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 5), buy(BOB, 90, 5)]);
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 5), ACCEPTED);
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 3), ACCEPTED);
    assert_eq!(bench.bids(), [(FIRST, ALICE, 90, 3), (FIRST + 1, BOB, 90, 5)]);
    assert_eq!(bench.position(ALICE), (0, 0, 3, 0, 1));
}

#[test]
fn growing_an_order_gives_up_its_priority_and_id() {
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 5), buy(BOB, 90, 5)]);
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 6), ACCEPTED);
    assert_eq!(bench.bids(), [(FIRST + 1, BOB, 90, 5), (FIRST, ALICE, 90, 6)]);
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 1), rejected(UnknownOrder));
    assert_eq!(bench.amend(ALICE, order(FIRST, 2), 91, 6), ACCEPTED);
    assert_eq!(bench.bids()[0], (FIRST, ALICE, 91, 6));
}

#[test]
fn amend_rejects_in_order_of_precedence() {
    // Alice has 100: enough for 10 lots at mark 100.
    let mut bench = Bench::new(rules()).funded(&[(ALICE, 100)]);
    bench.all(&[buy(ALICE, 90, 5)]);
    assert_eq!(bench.amend(BOB, order(FIRST, 2), 0, 0), rejected(UnknownOrder));
    assert_eq!(bench.amend(BOB, order(FIRST, 1), 0, 0), rejected(NotOrderOwner));
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 0, 0), rejected(PriceZero));
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 0), rejected(SizeZero));
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 1001), rejected(PositionLimit));
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 11), rejected(InsufficientMargin));
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 90, 10), ACCEPTED);
}

#[test]
fn an_amended_order_may_match_and_take_another_slot() {
    // Alice's bid in slot 512 moves to 101 and takes Bob's ask in 513, whose slot is freed last.
    let mut bench = Bench::rich(rules());
    bench.all(&[buy(ALICE, 90, 5), sell(BOB, 101, 2)]);
    assert_eq!(bench.amend(ALICE, order(FIRST, 1), 101, 5), ACCEPTED);
    assert_eq!(bench.fills(), [(BOB, 101, 2)]);
    assert_eq!(bench.bids(), [(FIRST + 1, ALICE, 101, 3)]);
    assert_eq!(bench.0.system().free_list, [FIRST]);
}

#[test]
fn an_amended_reduce_only_order_rests_when_flat_and_expires_when_it_crosses() {
    let flat_with_order = || {
        let mut bench = Bench::rich(rules());
        bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5), Place { reduce_only: true, ..sell(ALICE, 110, 5) }]);
        bench.all(&[buy(BOB, 99, 5), sell(ALICE, 99, 5), buy(BOB, 90, 1)]);
        bench
    };
    let mut bench = flat_with_order();
    let id = bench.0.book(market(0), Side::Sell)[0].order;
    assert_eq!(bench.amend(ALICE, id, 120, 9), ACCEPTED);
    assert_eq!(bench.asks().len(), 1);
    let mut bench = flat_with_order();
    assert_eq!(bench.amend(ALICE, id, 90, 5), ACCEPTED);
    assert_eq!((bench.asks().len(), bench.fills().len()), (0, 0));
}

// Mark, time and release.

#[test]
fn a_mark_moves_up_to_its_limit() {
    // 20% of 100 either way.
    let mut bench = Bench::new(rules());
    assert_eq!(bench.mark(ALICE, 0), rejected(NotOracle));
    assert_eq!(bench.mark(ORACLE, 0), rejected(PriceZero));
    assert_eq!(bench.mark(ORACLE, 121), rejected(MarkMoveTooLarge));
    assert_eq!(bench.mark(ORACLE, 79), rejected(MarkMoveTooLarge));
    assert_eq!(bench.mark(ORACLE, 120), ACCEPTED);
    // 20% of 120 is 24.
    assert_eq!(bench.mark(ORACLE, 96), ACCEPTED);
    let unknown = Mark { sender: account(ORACLE), market: market(1), price: Price::new(0).unwrap() };
    assert_eq!(bench.ask(Command::Mark(unknown)), rejected(UnknownMarket));
}

#[test]
fn a_small_mark_moves_by_one_tick() {
    // 20% of 4 is less than a tick; two ticks are too far.
    let mut bench = Bench::new(MarketGenesis { mark: Price::new(4).unwrap(), ..rules() });
    assert_eq!(bench.mark(ORACLE, 6), rejected(MarkMoveTooLarge));
    assert_eq!(bench.mark(ORACLE, 5), ACCEPTED);
    assert_eq!(bench.mark(ORACLE, 4), ACCEPTED);
}

#[test]
fn time_does_not_run_backwards() {
    let mut bench = Bench::new(rules());
    assert_eq!(bench.time(ALICE, 0), rejected(NotOperator));
    assert_eq!(bench.time(OPERATOR, 999), rejected(TimeBackwards));
    assert_eq!(bench.time(OPERATOR, 1000), ACCEPTED);
    assert_eq!(bench.time(OPERATOR, 2000), ACCEPTED);
    assert_eq!(bench.time(OPERATOR, 1999), rejected(TimeBackwards));
}

#[test]
fn releasing_needs_a_flat_position_without_orders() {
    let mut bench = Bench::rich(rules());
    assert_eq!(bench.release(ALICE, 0), rejected(NoPosition));
    bench.all(&[sell(BOB, 100, 5), buy(ALICE, 100, 5)]);
    assert_eq!(bench.release(ALICE, 0), rejected(PositionInUse));
    bench.all(&[buy(BOB, 100, 5), sell(ALICE, 100, 5), buy(ALICE, 90, 1)]);
    assert_eq!(bench.release(ALICE, 0), rejected(PositionInUse));
    assert_eq!(bench.cancel_all(ALICE), ACCEPTED);
    assert_eq!(bench.release(ALICE, 0), ACCEPTED);
    assert_eq!(bench.release(ALICE, 0), rejected(NoPosition));
}

#[test]
fn releasing_the_highest_entry_lowers_entries_by_one_only() {
    let mut bench = Bench(Model::new(&genesis(vec![rules(); 3]))).funded(&[(ALICE, 1_000_000)]);
    let place = |id| Place { market: market(id), time_in_force: ImmediateOrCancel, ..buy(ALICE, 100, 1) };
    bench.all(&[place(2), place(1), place(0)]);
    let high = |bench: &Bench| bench.0.account(account(ALICE)).high;
    // Entries 0, 1, 2 hold markets 2, 1, 0.
    assert_eq!(bench.release(ALICE, 1), ACCEPTED);
    assert_eq!(high(&bench), 3);
    assert_eq!(bench.release(ALICE, 0), ACCEPTED);
    assert_eq!(high(&bench), 2);
    bench.all(&[place(0)]);
    assert_eq!((high(&bench), bench.0.held_entry(account(ALICE), market(0))), (2, Some(1)));
}

// Session keys. Dave's account, 20, is not open.

const DAVE: u32 = 20;

fn open(id: u32) -> Open {
    Open { sender: account(OPERATOR), account: account(id), owner: Address::repeat_byte(9) }
}

/// Puts a key that may do all, for ever, into a free place.
fn register(id: u32, index: u32) -> Register {
    Register {
        sender: account(OPERATOR),
        account: account(id),
        key: key(index),
        replaces: false,
        withdraws: true,
        expiry: NEVER,
        public_key: public_key(30),
    }
}

fn revoke(id: u32, index: u32) -> Revoke {
    Revoke { sender: account(OPERATOR), account: account(id), key: key(index) }
}

#[test]
fn an_account_is_opened_once_and_by_the_operator() {
    let mut bench = Bench::new(rules());
    assert_eq!(bench.ask(Command::Open(Open { sender: account(ALICE), ..open(BOB) })), rejected(NotOperator));
    assert_eq!(bench.ask(Command::Open(open(ALICE))), rejected(AccountOpen));
    assert_eq!(bench.deposit(DAVE, 0), rejected(AccountNotOpen));
    assert_eq!(bench.ask(Command::Open(open(DAVE))), ACCEPTED);
    assert_eq!(bench.0.owner(account(DAVE)), Some(Address::repeat_byte(9)));
    assert_eq!(bench.ask(Command::Open(open(DAVE))), rejected(AccountOpen));
    assert_eq!(bench.deposit(DAVE, 1), ACCEPTED);
}

#[test]
fn only_the_operator_deposits() {
    let mut bench = Bench::new(rules());
    let deposit = Deposit { sender: account(ALICE), account: account(DAVE), amount: Amount::new(0).unwrap() };
    assert_eq!(bench.ask(Command::Deposit(deposit)), rejected(NotOperator));
    let deposit = Deposit { sender: account(OPERATOR), ..deposit };
    assert_eq!(bench.ask(Command::Deposit(deposit)), rejected(AccountNotOpen));
    let deposit = Deposit { account: account(ALICE), ..deposit };
    assert_eq!(bench.ask(Command::Deposit(deposit)), rejected(AmountZero));
}

#[test]
fn an_instruction_without_a_registered_key_is_not_let_in() {
    let mut bench = Bench::new(rules());
    let before = bench.0.snapshot();
    for (id, index) in [(DAVE, 0), (ALICE, 1)] {
        let command = Command::Place(buy(id, 100, 1));
        assert_eq!(bench.0.apply(&Instruction { key: key(index), command }), None);
    }
    assert_eq!(bench.0.snapshot(), before);
}

#[test]
fn register_rejects_in_order_of_precedence() {
    // Each line mends the fault that the line before was rejected for, and keeps all later ones.
    let mut bench = Bench::new(rules());
    let command = Register { sender: account(ALICE), replaces: true, ..register(DAVE, 0) };
    assert_eq!(bench.ask(Command::Register(command)), rejected(NotOperator));
    let command = Register { sender: account(OPERATOR), ..command };
    assert_eq!(bench.ask(Command::Register(command)), rejected(AccountNotOpen));
    let command = Register { account: account(OPERATOR), ..command };
    assert_eq!(bench.ask(Command::Register(command)), rejected(OwnKey));
    // An own key can neither be replaced nor registered: there is one.
    assert_eq!(bench.ask(Command::Register(Register { replaces: false, ..command })), rejected(OwnKey));
    let command = Register { key: key(3), ..command };
    bench.0.set_generation(account(OPERATOR), key(3), limits::GENERATIONS_MAX - 1);
    assert_eq!(bench.ask(Command::Register(command)), rejected(KeyUnknown));
    let command = Register { replaces: false, ..command };
    assert_eq!(bench.ask(Command::Register(command)), rejected(KeyWornOut));
    bench.0.set_generation(account(OPERATOR), key(3), limits::GENERATIONS_MAX - 2);
    assert_eq!(bench.ask(Command::Register(command)), ACCEPTED);
    assert_eq!(bench.ask(Command::Register(command)), rejected(KeyInUse));
    assert_eq!(bench.ask(Command::Register(Register { replaces: true, ..command })), rejected(KeyWornOut));
}

#[test]
fn revoke_rejects_in_order_of_precedence() {
    let mut bench = Bench::new(rules());
    let command = Revoke { sender: account(ALICE), ..revoke(OPERATOR, 0) };
    assert_eq!(bench.ask(Command::Revoke(command)), rejected(NotOperator));
    assert_eq!(bench.ask(Command::Revoke(revoke(OPERATOR, 0))), rejected(OwnKey));
    assert_eq!(bench.ask(Command::Revoke(revoke(ALICE, 1))), rejected(KeyUnknown));
    assert_eq!(bench.ask(Command::Revoke(revoke(DAVE, 0))), rejected(KeyUnknown));
    assert_eq!(bench.ask(Command::Revoke(revoke(ALICE, 0))), ACCEPTED);
    assert_eq!(bench.ask(Command::Revoke(revoke(ALICE, 0))), rejected(KeyUnknown));
    // Another key of the operator may take away the first.
    assert_eq!(bench.ask(Command::Register(register(OPERATOR, 1))), ACCEPTED);
    assert_eq!(bench.ask_with(1, Command::Revoke(revoke(OPERATOR, 0))), ACCEPTED);
    assert_eq!(bench.0.apply(&Instruction { key: key(0), command: Command::Revoke(revoke(BOB, 0)) }), None);
}

#[test]
fn a_session_counts_its_instructions_and_a_place_its_keys() {
    let mut bench = Bench::rich(rules());
    let session = |bench: &Bench| {
        let SessionState { public_key, unsealed, generation, sequence, .. } = bench.0.session(account(ALICE), key(0));
        (public_key, unsealed, generation, sequence)
    };
    assert_eq!(session(&bench), (Some(public_key(ALICE)), false, 1, 0));
    assert_eq!(bench.place(buy(ALICE, 90, 1)), ACCEPTED);
    assert_eq!(bench.place(buy(ALICE, 90, 0)), rejected(SizeZero));
    assert_eq!(session(&bench), (Some(public_key(ALICE)), true, 1, 2));
    // Alice and the operator, who has funded her.
    assert_eq!(bench.0.system().unsealed, 2);
    bench.0.seal(account(ALICE), key(0));
    assert_eq!(session(&bench), (Some(public_key(ALICE)), false, 1, 2));
    assert_eq!(bench.0.system().unsealed, 1);
    assert_eq!(bench.ask(Command::Register(Register { replaces: true, ..register(ALICE, 0) })), ACCEPTED);
    assert_eq!(session(&bench), (Some(public_key(30)), false, 2, 0));
    assert_eq!(bench.ask(Command::Revoke(revoke(ALICE, 0))), ACCEPTED);
    assert_eq!(bench.0.session(account(ALICE), key(0)), SessionState { generation: 2, ..SessionState::default() });
    assert_eq!(bench.ask(Command::Register(register(ALICE, 0))), ACCEPTED);
    assert_eq!(session(&bench), (Some(public_key(30)), false, 3, 0));
}

#[test]
fn a_key_does_not_go_unsealed() {
    let mut bench = Bench::rich(rules());
    assert_eq!(bench.place(buy(ALICE, 90, 1)), ACCEPTED);
    let revoke = |sender, index| {
        let command = Command::Revoke(Revoke { sender: account(sender), ..revoke(ALICE, index) });
        Instruction { key: key(0), command }
    };
    let before = bench.0.snapshot();
    // Neither accepted nor rejected.
    assert_eq!(bench.0.apply(&revoke(OPERATOR, 0)), None);
    assert_eq!(bench.0.snapshot(), before);
    // Nobody else's word is a reason to seal it.
    assert_eq!(bench.0.apply(&revoke(BOB, 0)), Some(rejected(NotOperator)));
    assert_eq!(bench.0.apply(&revoke(ALICE, 0)), Some(rejected(NotOperator)));
    bench.0.seal(account(ALICE), key(0));
    assert_eq!(bench.0.apply(&revoke(OPERATOR, 0)), Some(ACCEPTED));
}

#[test]
#[should_panic(expected = "only what is unsealed is sealed")]
fn a_session_is_not_sealed_twice() {
    Bench::new(rules()).0.seal(account(ALICE), key(0));
}

#[test]
fn a_key_expires_after_its_last_moment() {
    let mut bench = Bench::rich(rules());
    let until = Register { expiry: TimeMs::new(1500).unwrap(), ..register(ALICE, 1) };
    assert_eq!(bench.ask(Command::Register(until)), ACCEPTED);
    assert_eq!(bench.time(OPERATOR, 1500), ACCEPTED);
    assert_eq!(bench.ask_with(1, Command::Place(buy(ALICE, 90, 1))), ACCEPTED);
    assert_eq!(bench.time(OPERATOR, 1501), ACCEPTED);
    assert_eq!(bench.ask_with(1, Command::Place(buy(ALICE, 90, 0))), rejected(KeyExpired));
    assert_eq!(
        bench.ask_with(1, Command::Cancel(Cancel { account: account(ALICE), order: order(0, 0) })),
        rejected(KeyExpired)
    );
    assert_eq!(bench.0.session(account(ALICE), key(1)).sequence, 3);
    assert_eq!(bench.cancel(ALICE, order(FIRST, 1)), ACCEPTED);
}

#[test]
fn a_key_withdraws_only_if_it_may() {
    let mut bench = Bench::rich(rules());
    assert_eq!(bench.ask(Command::Register(Register { withdraws: false, ..register(ALICE, 1) })), ACCEPTED);
    let withdraw =
        |amount| Command::Withdraw(Withdraw { account: account(ALICE), amount: Amount::new(amount).unwrap() });
    assert_eq!(bench.ask_with(1, withdraw(0)), rejected(KeyNotPermitted));
    assert_eq!(bench.ask_with(1, Command::Place(buy(ALICE, 90, 1))), ACCEPTED);
    assert_eq!(bench.ask(withdraw(1)), ACCEPTED);
}

// Over random streams.

#[test]
fn a_rejected_command_changes_only_its_session() {
    for scenario in crate::Scenario::all() {
        let (mut model, mut stream) = (scenario.model(), scenario.stream(2));
        for _ in 0..5_000 {
            let instruction = stream.next(&model);
            if let Some((account, key)) = model.seal_due(&instruction) {
                model.seal(account, key);
            }
            let mut expected = model.snapshot();
            if model.apply(&instruction) != Some(ACCEPTED) {
                if instruction.is_forced() {
                    expected.system.forced += 1;
                } else {
                    let session = expected.sessions.get_mut(&instruction.session()).unwrap();
                    expected.system.unsealed += u32::from(!session.unsealed);
                    session.unsealed = true;
                    session.sequence += 1;
                }
                assert_eq!(expected, model.snapshot(), "{}, seed 2, {instruction:?}", scenario.name);
                assert!(model.fills().is_empty());
            }
        }
    }
}

#[test]
fn only_what_was_touched_changes() {
    for scenario in crate::Scenario::all() {
        let (mut model, mut stream) = (scenario.model(), scenario.stream(3));
        for _ in 0..3_000 {
            let instruction = stream.next(&model);
            if let Some((account, key)) = model.seal_due(&instruction) {
                model.seal(account, key);
            }
            let before = model.snapshot();
            model.apply(&instruction).unwrap();
            let (after, touched) = (model.snapshot(), model.touched());
            let context = format!("{}, seed 3, {instruction:?}", scenario.name);
            for (id, account) in &after.accounts {
                let same = before.accounts.get(id) == Some(account);
                assert!(same || touched.accounts.contains(id), "{context}");
            }
            for (id, owner) in &after.owners {
                let same = before.owners.get(id) == Some(owner);
                assert!(same || touched.accounts.contains(id), "{context}");
            }
            for (place, session) in &after.sessions {
                let same = before.sessions.get(place) == Some(session);
                assert!(same || touched.sessions.contains(place), "{context}");
            }
            for (id, (old, new)) in before.books.iter().zip(&after.books).enumerate() {
                let id = market(id as u32);
                let same = old == new && before.marks[index_of(id)] == after.marks[index_of(id)];
                assert!(same || touched.markets.contains(&id), "{context}");
            }
        }
    }
}

/// Whatever happens to keys, the oracle and the operator can go on.
#[test]
fn the_roles_keep_a_key_that_never_expires() {
    for scenario in crate::Scenario::all() {
        let (mut model, mut stream) = (scenario.model(), scenario.stream(4));
        for _ in 0..5_000 {
            model.run(&stream.next(&model));
            for role in [ORACLE, OPERATOR] {
                let lasts = |index| {
                    let session = model.session(account(role), key(index));
                    session.public_key.is_some() && session.expiry == NEVER
                };
                assert!((0..4).any(lasts), "{}, seed 4, account {role}", scenario.name);
            }
        }
    }
}
