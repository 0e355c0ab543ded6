//! A venue to replay a file on.

use holdfast_protocol::{AccountGenesis, Genesis, KeyGenesis, MarketGenesis, Price, TimeMs};

use super::{FEE_ACCOUNT, Instrument, OPERATOR, ORACLE, Wallets};

/// A venue with one market, the file's, and the terms of a liquid perpetual: 20× leverage, liquidation at 40×, fees of
/// one and three and a half basis points. The accounts of the roles have the session keys of their wallets.
pub fn default_genesis(instrument: &Instrument, first_price: Price, wallets: &Wallets) -> Genesis {
    let Instrument { symbol, tick_decimals, lot_decimals } = instrument;
    let role = |account| {
        let key = KeyGenesis { public_key: wallets.public_key(account), withdraws: true, expiry: Wallets::EXPIRY };
        AccountGenesis { account, owner: Wallets::owner(account), keys: vec![key] }
    };
    Genesis {
        deployment: Wallets::DEPLOYMENT,
        time: TimeMs::new(0).expect("in range"),
        oracle: ORACLE,
        operator: OPERATOR,
        fee_account: FEE_ACCOUNT,
        quote_decimals: tick_decimals + lot_decimals,
        accounts: [ORACLE, OPERATOR, FEE_ACCOUNT].map(role).into(),
        markets: vec![MarketGenesis {
            symbol: symbol.clone(),
            tick_decimals: *tick_decimals,
            lot_decimals: *lot_decimals,
            mark: first_price,
            initial_margin_ppm: 50_000,
            maintenance_margin_ppm: 25_000,
            maker_fee_ppm: 100,
            taker_fee_ppm: 350,
            open_orders_max: 2_000,
            position_max: 1 << 40,
            mark_move_ppm: 100_000,
        }],
    }
}
