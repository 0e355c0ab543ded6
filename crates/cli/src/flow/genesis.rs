//! A venue to replay a file on.

use holdfast_protocol::{Genesis, MarketGenesis, Price, TimeMs};

use super::{FEE_ACCOUNT, Instrument, OPERATOR, ORACLE};

/// A venue with one market, the file's, and the terms of a liquid perpetual: 20× leverage, liquidation at 40×, fees of
/// one and three and a half basis points.
pub fn default_genesis(instrument: &Instrument, first_price: Price) -> Genesis {
    let Instrument { symbol, tick_decimals, lot_decimals } = instrument;
    Genesis {
        time: TimeMs::new(0).expect("in range"),
        oracle: ORACLE,
        operator: OPERATOR,
        fee_account: FEE_ACCOUNT,
        quote_decimals: tick_decimals + lot_decimals,
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
