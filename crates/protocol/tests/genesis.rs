//! A genesis that breaks a bound is refused, and the error names it.

mod common;

use common::{account_of, public_key_of};
use holdfast_protocol::{AccountGenesis, Address, Deployment, Genesis, KeyGenesis, MarketGenesis, Price, TimeMs};

fn account(id: u32, keys: u8) -> AccountGenesis {
    let key = |n| KeyGenesis { public_key: public_key_of(n), withdraws: true, expiry: TimeMs::new(0).unwrap() };
    AccountGenesis { account: account_of(id), owner: Address::repeat_byte(1), keys: (0..keys).map(key).collect() }
}

/// The fee account has no key, and needs none.
fn valid() -> Genesis {
    Genesis {
        deployment: Deployment { chain_id: 1, contract: Address::ZERO },
        time: TimeMs::new(0).unwrap(),
        oracle: account_of(1),
        operator: account_of(2),
        fee_account: account_of(0),
        quote_decimals: 6,
        accounts: vec![account(0, 0), account(1, 1), account(2, 4), account((1 << 20) - 2, 1)],
        markets: vec![MarketGenesis {
            symbol: "M".into(),
            tick_decimals: 2,
            lot_decimals: 4,
            mark: Price::new(100).unwrap(),
            initial_margin_ppm: 50_000,
            maintenance_margin_ppm: 50_000,
            maker_fee_ppm: 0,
            taker_fee_ppm: 100_000,
            open_orders_max: 1,
            position_max: 1 << 40,
            mark_move_ppm: 1_000_000,
        }],
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Genesis), expected: &str) {
    let mut genesis = valid();
    change(&mut genesis);
    let error = genesis.validate().expect_err(expected);
    assert_eq!(error.to_string(), format!("genesis, {expected}"));
}

#[test]
fn a_valid_genesis_is_accepted_and_survives_json() {
    assert_eq!(valid().validate(), Ok(()));
    let text = serde_json::to_string(&valid()).unwrap();
    assert_eq!(serde_json::from_str::<Genesis>(&text).unwrap(), valid());
}

#[test]
fn one_account_may_have_all_roles() {
    let role = account_of(2);
    let genesis = Genesis { oracle: role, fee_account: role, accounts: vec![account(2, 1)], ..valid() };
    assert_eq!(genesis.validate(), Ok(()));
}

#[test]
fn accounts_and_roles_that_break_a_rule_are_named() {
    check(|g| g.accounts.push(account(1, 0)), "account 1, account: expected one entry, got two");
    check(
        |g| g.accounts[3].owner = Address::ZERO,
        "account 1048574, owner: expected an address that is not zero, got 0x0000000000000000000000000000000000000000",
    );
    check(
        |g| g.accounts[3] = account((1 << 20) - 1, 0),
        "account 1048575, account: expected below 1048575, got 1048575",
    );
    check(|g| g.accounts[3] = account(5, 5), "account 5, keys: expected at most 4, got 5");
    check(|g| g.oracle = account_of(7), "oracle: expected one of the accounts listed, got 7");
    check(|g| g.operator = account_of(7), "operator: expected one of the accounts listed, got 7");
    check(|g| g.fee_account = account_of(7), "fee_account: expected one of the accounts listed, got 7");
    check(
        |g| g.accounts[1].keys.clear(),
        "oracle: expected an account with a session key that has not expired, got 1 without",
    );
    // All of the operator's keys are of time 0.
    check(
        |g| g.time = TimeMs::new(1).unwrap(),
        "oracle: expected an account with a session key that has not expired, got 1 without",
    );
    check(
        |g| {
            g.time = TimeMs::new(1).unwrap();
            g.accounts[1].keys[0].expiry = g.time;
        },
        "operator: expected an account with a session key that has not expired, got 2 without",
    );
    check(|g| g.accounts.clear(), "oracle: expected one of the accounts listed, got 1");
}

#[test]
fn markets_that_break_a_bound_are_named() {
    check(|g| g.markets.clear(), "markets: expected 1 to 256 markets, got 0");
    check(|g| g.markets = vec![g.markets[0].clone(); 257], "markets: expected 1 to 256 markets, got 257");
    let market = |change: fn(&mut MarketGenesis), expected: &str| {
        check(|g| change(&mut g.markets[0]), &format!("market 0 (M), {expected}"));
    };
    market(|m| m.mark = Price::new(0).unwrap(), "mark: expected 1 to 4294967295, got 0");
    market(|m| m.initial_margin_ppm = 0, "initial_margin_ppm: expected 1 to 1000000, got 0");
    market(|m| m.initial_margin_ppm = 1_000_001, "initial_margin_ppm: expected 1 to 1000000, got 1000001");
    market(|m| m.maintenance_margin_ppm = 0, "maintenance_margin_ppm: expected 1 to 50000, got 0");
    market(|m| m.maintenance_margin_ppm = 50_001, "maintenance_margin_ppm: expected 1 to 50000, got 50001");
    market(|m| m.maker_fee_ppm = 100_001, "maker_fee_ppm: expected 0 to 100000, got 100001");
    market(|m| m.taker_fee_ppm = 100_001, "taker_fee_ppm: expected 0 to 100000, got 100001");
    market(|m| m.open_orders_max = 0, "open_orders_max: expected 1 to 2048, got 0");
    market(|m| m.open_orders_max = 2049, "open_orders_max: expected 1 to 2048, got 2049");
    market(|m| m.position_max = 0, "position_max: expected 1 to 1099511627776, got 0");
    market(|m| m.position_max = (1 << 40) + 1, "position_max: expected 1 to 1099511627776, got 1099511627777");
    market(|m| m.mark_move_ppm = 0, "mark_move_ppm: expected 1 to 1000000, got 0");
    market(|m| m.mark_move_ppm = 1_000_001, "mark_move_ppm: expected 1 to 1000000, got 1000001");
    market(|m| m.tick_decimals = 31, "tick_decimals: expected 0 to 30, got 31");
    market(|m| m.lot_decimals = 31, "lot_decimals: expected 0 to 30, got 31");
    market(
        |m| m.lot_decimals = 5,
        "tick_decimals + lot_decimals: expected quote_decimals = 6 (one tick times one lot is one quote unit), got 7",
    );
}

/// What no JSON may hold.
#[test]
fn malformed_json_is_refused() {
    let text = serde_json::to_string(&valid()).unwrap();
    let check = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let error = serde_json::from_str::<Genesis>(&text.replacen(from, to, 1)).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    let key = public_key_of(0).to_hex();
    check(&key, &key[2..], "expected 56 bytes, got 54");
    check(&key, &key.to_uppercase(), "expected a lower-case hexadecimal digit");
    check(&key, &format!("01000078{}", &key[8..]), "expected a coefficient below 2013265921");
    check(r#""chain_id":1"#, r#""chain_id":-1"#, "invalid value");
    check(r#""chain_id":1"#, r#""chain":1"#, "unknown field `chain`");
    check(r#""oracle":1"#, r#""oracle":1048576"#, "account must be below 1048576");
    check(r#""accounts":"#, r#""account":"#, "unknown field `account`");
    check(r#""owner":"0x01"#, r#""owner":"0x"#, "invalid");
}
