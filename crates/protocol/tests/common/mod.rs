//! Strategies for every wire type.

use holdfast_protocol::{
    AccountId, Amend, Amount, Batch, BatchHeader, Cancel, CancelAll, Command, Deposit, Mark, MarketId, OrderId,
    Outcome, Place, Price, Reject, Release, SelfTrade, Side, Size, Time, TimeInForce, TimeMs, Withdraw,
    batch::BATCH_NUMBER_MAX,
    limits::{ACCOUNT_BITS, MARKET_BITS, ORDER_BITS, PRICE_BITS, SIZE_BITS, TIME_BITS, TRANSFER_BITS},
};
use proptest::prelude::*;

/// Numbers of every length up to `bits`, with both ends.
fn number(bits: u32) -> impl Strategy<Value = u128> {
    (any::<u128>(), 0..=bits).prop_map(|(raw, bits)| raw & ((1 << bits) - 1))
}

fn account() -> impl Strategy<Value = AccountId> {
    number(ACCOUNT_BITS).prop_map(|raw| AccountId::try_from(raw).unwrap())
}

fn market() -> impl Strategy<Value = MarketId> {
    number(MARKET_BITS).prop_map(|raw| MarketId::try_from(raw).unwrap())
}

fn price() -> impl Strategy<Value = Price> {
    number(PRICE_BITS).prop_map(|raw| Price::try_from(raw).unwrap())
}

fn size() -> impl Strategy<Value = Size> {
    number(SIZE_BITS).prop_map(|raw| Size::try_from(raw).unwrap())
}

fn amount() -> impl Strategy<Value = Amount> {
    number(TRANSFER_BITS).prop_map(|raw| Amount::try_from(raw).unwrap())
}

fn order() -> impl Strategy<Value = OrderId> {
    (number(ORDER_BITS), any::<u8>()).prop_map(|(slot, generation)| OrderId::new(slot as u32, generation).unwrap())
}

fn self_trade() -> impl Strategy<Value = SelfTrade> {
    prop_oneof![Just(SelfTrade::ExpireTaker), Just(SelfTrade::ExpireMaker), Just(SelfTrade::ExpireBoth)]
}

fn place() -> impl Strategy<Value = Place> {
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let time_in_force = prop_oneof![
        Just(TimeInForce::GoodTillCancel),
        Just(TimeInForce::ImmediateOrCancel),
        Just(TimeInForce::FillOrKill),
        Just(TimeInForce::PostOnly)
    ];
    (account(), market(), side, time_in_force, any::<bool>(), self_trade(), price(), size()).prop_map(
        |(account, market, side, time_in_force, reduce_only, self_trade, price, size)| Place {
            account,
            market,
            side,
            time_in_force,
            reduce_only,
            self_trade,
            price,
            size,
        },
    )
}

pub fn command() -> impl Strategy<Value = Command> {
    let deposit = (account(), amount()).prop_map(|(account, amount)| Command::Deposit(Deposit { account, amount }));
    let withdraw = (account(), amount()).prop_map(|(account, amount)| Command::Withdraw(Withdraw { account, amount }));
    let cancel = (account(), order()).prop_map(|(account, order)| Command::Cancel(Cancel { account, order }));
    let cancel_all =
        (account(), market()).prop_map(|(account, market)| Command::CancelAll(CancelAll { account, market }));
    let amend =
        (account(), order(), self_trade(), price(), size()).prop_map(|(account, order, self_trade, price, size)| {
            Command::Amend(Amend { account, order, self_trade, price, size })
        });
    let mark = (account(), market(), price())
        .prop_map(|(sender, market, price)| Command::Mark(Mark { sender, market, price }));
    let time = (account(), number(TIME_BITS))
        .prop_map(|(sender, raw)| Command::Time(Time { sender, time: TimeMs::try_from(raw).unwrap() }));
    let release = (account(), market()).prop_map(|(account, market)| Command::Release(Release { account, market }));
    prop_oneof![deposit, withdraw, place().prop_map(Command::Place), cancel, cancel_all, amend, mark, time, release]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Accepted),
        1 => proptest::sample::select(Reject::ALL).prop_map(Outcome::Rejected),
    ]
}

pub fn batch() -> impl Strategy<Value = Batch> {
    (1..=BATCH_NUMBER_MAX, proptest::collection::vec((command(), outcome()), 0..40)).prop_map(|(number, pairs)| {
        let (commands, outcomes) = pairs.into_iter().unzip();
        Batch { header: BatchHeader { number }, commands, outcomes }
    })
}
