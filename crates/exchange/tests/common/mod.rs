//! A small venue, and keys for everybody. (Every test is a crate of its own, and uses only some of it.)

#![allow(dead_code)]

use holdfast_protocol::{
    AccountGenesis, AccountId, Address, Amount, Command, Deployment, Deposit, Genesis, KeyGenesis, KeyIndex,
    MarketGenesis, MarketId, Place, Price, Register, Revoke, SecretKey, SelfTrade, Side, Size, Time, TimeInForce,
    TimeMs, Withdraw, limits,
};

pub const ORACLE: u32 = 0;
pub const OPERATOR: u32 = 1;
pub const HOUSE: u32 = 2;
pub const ALICE: u32 = 7;
pub const BOB: u32 = 8;

/// Time before the first command.
pub const START: u64 = 1_700_000_000_000;
pub const NEVER: u64 = (1 << limits::TIME_BITS) - 1;

/// Keys of every account: one that may do all, one that may not withdraw, and one that expires at `START`.
pub const FULL: u32 = 0;
pub const TRADES: u32 = 1;
pub const EXPIRES: u32 = 2;

pub fn account(id: u32) -> AccountId {
    AccountId::new(id).expect("an account")
}

pub fn key(index: u32) -> KeyIndex {
    KeyIndex::new(index).expect("a session key")
}

pub fn time(raw: u64) -> TimeMs {
    TimeMs::new(raw).expect("a time")
}

/// The secret of an account's key in the genesis.
pub fn secret(id: u32, index: u32) -> SecretKey {
    SecretKey::from_seed([(limits::KEYS_MAX as u32 * id + index) as u8; 32])
}

pub fn genesis() -> Genesis {
    let open = |id| {
        let key = |index, withdraws, expiry| KeyGenesis {
            public_key: secret(id, index).public_key(),
            withdraws,
            expiry: time(expiry),
        };
        AccountGenesis {
            account: account(id),
            owner: Address::repeat_byte(0xee),
            keys: vec![key(FULL, true, NEVER), key(TRADES, false, NEVER), key(EXPIRES, true, START)],
        }
    };
    Genesis {
        deployment: Deployment { chain_id: 1, contract: Address::ZERO },
        time: time(START),
        oracle: account(ORACLE),
        operator: account(OPERATOR),
        fee_account: account(HOUSE),
        quote_decimals: 6,
        accounts: [ORACLE, OPERATOR, HOUSE, ALICE, BOB].map(open).into(),
        markets: vec![MarketGenesis {
            symbol: "BTC-USD".into(),
            tick_decimals: 2,
            lot_decimals: 4,
            mark: Price::new(10_000).expect("a price"),
            initial_margin_ppm: 50_000,
            maintenance_margin_ppm: 25_000,
            maker_fee_ppm: 100,
            taker_fee_ppm: 350,
            open_orders_max: 100,
            position_max: 1 << 38,
            mark_move_ppm: 100_000,
        }],
    }
}

pub fn deposit(id: u32, amount: u128) -> Command {
    let amount = Amount::new(amount).expect("an amount");
    Command::Deposit(Deposit { sender: account(OPERATOR), account: account(id), amount })
}

pub fn withdraw(id: u32, amount: u128) -> Command {
    Command::Withdraw(Withdraw { account: account(id), amount: Amount::new(amount).expect("an amount") })
}

pub fn buy(id: u32, size: u64) -> Command {
    Command::Place(Place {
        account: account(id),
        market: MarketId::new(0).expect("a market"),
        side: Side::Buy,
        time_in_force: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: Price::new(9_999).expect("a price"),
        size: Size::new(size).expect("a size"),
    })
}

pub fn set_time(raw: u64) -> Command {
    Command::Time(Time { sender: account(OPERATOR), time: time(raw) })
}

/// Puts a key that may do all, for ever, in the place of another.
pub fn replace(id: u32, index: u32, by: &SecretKey) -> Command {
    Command::Register(Register {
        sender: account(OPERATOR),
        account: account(id),
        key: key(index),
        replaces: true,
        withdraws: true,
        expiry: time(NEVER),
        public_key: by.public_key(),
    })
}

pub fn revoke(id: u32, index: u32) -> Command {
    Command::Revoke(Revoke { sender: account(OPERATOR), account: account(id), key: key(index) })
}
