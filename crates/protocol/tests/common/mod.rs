//! Strategies for every wire type, and samples of every kind of instruction. (Every test is a crate of its own, and uses
//! only some of it.)

#![allow(dead_code)]

use std::sync::LazyLock;

use holdfast_crypto::Digest;
use holdfast_protocol::{
    AccountId, Address, Amend, Amount, Batch, BatchHeader, Cancel, CancelAll, Command, Deposit, Instruction, KeyIndex,
    Mark, MarketId, Open, OrderId, Outcome, Place, Price, PublicKey, Register, Reject, Release, Revoke, Seal,
    SecretKey, SelfTrade, Side, Signature, Size, Time, TimeInForce, TimeMs, Withdraw,
    batch::BATCH_NUMBER_MAX,
    limits::{ACCOUNT_BITS, KEY_BITS, MARKET_BITS, ORDER_BITS, PRICE_BITS, SIZE_BITS, TIME_BITS, TRANSFER_BITS},
};
use proptest::prelude::*;

/// A test key.
pub fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

/// Keys, and a signature of each: making them is slow.
static SIGNED: LazyLock<Vec<(PublicKey, Signature)>> = LazyLock::new(|| {
    let signed = |n| (secret(n).public_key(), secret(n).sign(&Digest::default()));
    (0..8).map(signed).collect()
});

pub fn public_key_of(n: u8) -> PublicKey {
    SIGNED[usize::from(n)].0
}

pub fn signature_of(n: u8) -> Signature {
    SIGNED[usize::from(n)].1
}

/// Numbers of every length up to `bits`, with both ends.
fn number(bits: u32) -> impl Strategy<Value = u128> {
    (any::<u128>(), 0..=bits).prop_map(|(raw, bits)| raw & ((1 << bits) - 1))
}

fn account() -> impl Strategy<Value = AccountId> {
    number(ACCOUNT_BITS).prop_map(|raw| AccountId::try_from(raw).unwrap())
}

fn key() -> impl Strategy<Value = KeyIndex> {
    number(KEY_BITS).prop_map(|raw| KeyIndex::try_from(raw).unwrap())
}

fn time() -> impl Strategy<Value = TimeMs> {
    number(TIME_BITS).prop_map(|raw| TimeMs::try_from(raw).unwrap())
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    (0..SIGNED.len()).prop_map(|n| SIGNED[n].0)
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

fn command() -> impl Strategy<Value = Command> {
    let deposit = (account(), account(), amount())
        .prop_map(|(sender, account, amount)| Command::Deposit(Deposit { sender, account, amount }));
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
    let set_time = (account(), time()).prop_map(|(sender, time)| Command::Time(Time { sender, time }));
    let release = (account(), market()).prop_map(|(account, market)| Command::Release(Release { account, market }));
    let open = (account(), account(), any::<[u8; 20]>())
        .prop_map(|(sender, account, owner)| Command::Open(Open { sender, account, owner: owner.into() }));
    let register = (account(), account(), key(), any::<bool>(), any::<bool>(), time(), public_key()).prop_map(
        |(sender, account, key, replaces, withdraws, expiry, public_key)| {
            Command::Register(Register { sender, account, key, replaces, withdraws, expiry, public_key })
        },
    );
    let revoke = (account(), account(), key())
        .prop_map(|(sender, account, key)| Command::Revoke(Revoke { sender, account, key }));
    let place = place().prop_map(Command::Place);
    prop_oneof![deposit, withdraw, place, cancel, cancel_all, amend, mark, set_time, release, open, register, revoke]
}

pub fn instruction() -> impl Strategy<Value = Instruction> {
    let asks = prop_oneof![4 => key(), 1 => Just(KeyIndex::ETHEREUM)];
    (asks, command()).prop_map(|(key, command)| Instruction { key, command })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Accepted),
        1 => proptest::sample::select(Reject::ALL).prop_map(Outcome::Rejected),
    ]
}

/// A seal, but for its place: some fraction of the instructions stands before it.
fn seal() -> impl Strategy<Value = (u32, Seal)> {
    (0..=100u32, account(), key(), 0..SIGNED.len())
        .prop_map(|(percent, account, key, n)| (percent, Seal { after: 0, account, key, signature: SIGNED[n].1 }))
}

pub fn batch() -> impl Strategy<Value = Batch> {
    let pairs = proptest::collection::vec((instruction(), outcome()), 0..40);
    (1..=BATCH_NUMBER_MAX, pairs, proptest::collection::vec(seal(), 0..4)).prop_map(|(number, pairs, mut seals)| {
        let (instructions, outcomes): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        seals.truncate(instructions.len());
        seals.sort_by_key(|(percent, _)| *percent);
        let count = instructions.len() as u32;
        let seals = seals.into_iter().map(|(percent, seal)| Seal { after: count * percent / 100, ..seal }).collect();
        Batch { header: BatchHeader { number }, instructions, outcomes, seals }
    })
}

pub fn account_of(raw: u32) -> AccountId {
    AccountId::new(raw).unwrap()
}

pub fn key_of(raw: u32) -> KeyIndex {
    KeyIndex::new(raw).unwrap()
}

/// Every kind, every flag, and both ends of every field.
pub fn sample_instructions() -> Vec<(&'static str, Instruction)> {
    let amount = |raw| Amount::new(raw).unwrap();
    let market = |raw| MarketId::new(raw).unwrap();
    let order = |slot, generation| OrderId::new(slot, generation).unwrap();
    let price = |raw| Price::new(raw).unwrap();
    let size = |raw| Size::new(raw).unwrap();
    let time = |raw| TimeMs::new(raw).unwrap();
    let (account, key) = (account_of, key_of);
    let (account_last, market_last, time_last) = (account((1 << 20) - 1), market(255), time((1 << 42) - 1));
    let owner = |first: u8| Address::from(std::array::from_fn(|i| first.wrapping_add(i as u8)));
    let deposit = |sender, account, amount| Command::Deposit(Deposit { sender, account, amount });
    let typical = Place {
        account: account(17),
        market: market(0),
        side: Side::Buy,
        time_in_force: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: price(6_180_030),
        size: size(199),
    };
    let register = Register {
        sender: account(2),
        account: account(17),
        key: key(1),
        replaces: false,
        withdraws: false,
        expiry: time(1_723_161_255_088),
        public_key: public_key_of(1),
    };
    let commands = vec![
        ("deposit, smallest", 0, deposit(account(0), account(0), amount(0))),
        ("deposit", 1, deposit(account(2), account(3), amount(1_000_000_000_000))),
        ("deposit, largest", 3, deposit(account_last, account_last, amount((1 << 80) - 1))),
        ("withdraw", 0, Command::Withdraw(Withdraw { account: account(300), amount: amount(127) })),
        ("withdraw, two bytes", 2, Command::Withdraw(Withdraw { account: account(300), amount: amount(128) })),
        ("place, bid", 0, Command::Place(typical)),
        ("place, ask", 1, Command::Place(Place { side: Side::Sell, ..typical })),
        (
            "place, immediate or cancel",
            2,
            Command::Place(Place { time_in_force: TimeInForce::ImmediateOrCancel, ..typical }),
        ),
        ("place, fill or kill", 3, Command::Place(Place { time_in_force: TimeInForce::FillOrKill, ..typical })),
        ("place, post-only", 0, Command::Place(Place { time_in_force: TimeInForce::PostOnly, ..typical })),
        ("place, reduce-only", 0, Command::Place(Place { reduce_only: true, ..typical })),
        ("place, expire maker", 0, Command::Place(Place { self_trade: SelfTrade::ExpireMaker, ..typical })),
        ("place, expire both", 0, Command::Place(Place { self_trade: SelfTrade::ExpireBoth, ..typical })),
        (
            "place, largest",
            3,
            Command::Place(Place {
                account: account_last,
                market: market_last,
                side: Side::Sell,
                time_in_force: TimeInForce::PostOnly,
                reduce_only: true,
                self_trade: SelfTrade::ExpireBoth,
                price: price(u32::MAX),
                size: size((1 << 40) - 1),
            }),
        ),
        ("cancel", 0, Command::Cancel(Cancel { account: account(17), order: order(512, 1) })),
        ("cancel, largest", 3, Command::Cancel(Cancel { account: account_last, order: order((1 << 24) - 1, 255) })),
        ("cancel all", 0, Command::CancelAll(CancelAll { account: account(17), market: market(1) })),
        (
            "amend",
            1,
            Command::Amend(Amend {
                account: account(17),
                order: order(513, 255),
                self_trade: SelfTrade::ExpireTaker,
                price: price(6_180_020),
                size: size(1),
            }),
        ),
        (
            "amend, largest",
            3,
            Command::Amend(Amend {
                account: account_last,
                order: order((1 << 24) - 1, 0),
                self_trade: SelfTrade::ExpireBoth,
                price: price(u32::MAX),
                size: size((1 << 40) - 1),
            }),
        ),
        ("mark", 0, Command::Mark(Mark { sender: account(0), market: market(0), price: price(6_180_025) })),
        ("time", 0, Command::Time(Time { sender: account(1), time: time(1_723_161_255_088) })),
        ("time, largest", 3, Command::Time(Time { sender: account(1), time: time_last })),
        ("release", 0, Command::Release(Release { account: account(17), market: market_last })),
        ("open", 0, Command::Open(Open { sender: account(2), account: account(17), owner: owner(0x11) })),
        (
            "open, largest",
            3,
            Command::Open(Open { sender: account_last, account: account_last, owner: Address::repeat_byte(0xff) }),
        ),
        ("register", 0, Command::Register(register)),
        ("register, withdraws", 1, Command::Register(Register { withdraws: true, ..register })),
        ("register, replaces", 2, Command::Register(Register { replaces: true, ..register })),
        (
            "register, largest",
            3,
            Command::Register(Register {
                sender: account_last,
                account: account_last,
                key: key(3),
                replaces: true,
                withdraws: true,
                expiry: time_last,
                public_key: public_key_of(2),
            }),
        ),
        ("revoke", 0, Command::Revoke(Revoke { sender: account(2), account: account(17), key: key(0) })),
        ("revoke, largest", 3, Command::Revoke(Revoke { sender: account_last, account: account_last, key: key(3) })),
    ];
    commands.into_iter().map(|(name, index, command)| (name, Instruction { key: key(index), command })).collect()
}

/// What Ethereum asks for: a deposit, and the longest instruction of all.
pub fn forced_samples() -> Vec<(&'static str, Instruction)> {
    let forced = |name| {
        let found = sample_instructions().into_iter().find(|(sample, _)| *sample == name);
        Instruction { key: KeyIndex::ETHEREUM, ..found.expect("a sample").1 }
    };
    vec![("deposit, forced", forced("deposit")), ("register, largest, forced", forced("register, largest"))]
}

/// Every sample, some of them rejected, and seals where they may stand: before all, two in one place, and after all.
pub fn sample_batch() -> Batch {
    let instructions: Vec<Instruction> =
        sample_instructions().into_iter().map(|(_, instruction)| instruction).collect();
    let mut outcomes = vec![Outcome::Accepted; instructions.len()];
    outcomes[0] = Outcome::Rejected(Reject::AmountZero);
    outcomes[4] = Outcome::Rejected(Reject::InsufficientCollateral);
    outcomes[5] = Outcome::Rejected(Reject::InsufficientMargin);
    *outcomes.last_mut().unwrap() = Outcome::Rejected(Reject::KeyUnknown);
    let seal = |after, account, key, n| Seal {
        after,
        account: account_of(account),
        key: key_of(key),
        signature: signature_of(n),
    };
    let last = instructions.len() as u32;
    let seals = vec![seal(0, 0, 0, 3), seal(17, 17, 1, 4), seal(17, 300, 2, 5), seal(last, (1 << 20) - 1, 3, 6)];
    Batch { header: BatchHeader { number: 300 }, instructions, outcomes, seals }
}

/// The same without points of the curve, which decode slowly.
pub fn sample_batch_without_points() -> Batch {
    let Batch { header, instructions, outcomes, seals: _ } = sample_batch();
    let pairs = instructions.into_iter().zip(outcomes);
    let plain = pairs.filter(|(instruction, _)| !matches!(instruction.command, Command::Register(_)));
    let (instructions, outcomes) = plain.unzip();
    Batch { header, instructions, outcomes, seals: Vec::new() }
}
