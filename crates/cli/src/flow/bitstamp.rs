//! Bitstamp's live orders, as the raw log of its feed and as the table that is made of it.
//!
//! The feed reports each order when it enters (with its whole size, before it matches), when what is left of it
//! changes, and when it leaves. An order that leaves with nothing left was filled. A market order appears as one whose
//! price changes as it walks the book.

use std::collections::VecDeque;

use holdfast_protocol::{Price, Side, Size, TimeInForce, TimeMs};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    FlowEvent, Instrument, Source, decimal,
    error::{FlowError, Position, value},
    input::Lines,
};

const TICK_DECIMALS: u32 = 2;
const LOT_DECIMALS: u32 = 8;

/// First line of the table.
pub(super) const TABLE_HEADER: &str = "id,timestamp,exchange.timestamp,price,volume,action,direction";

fn instrument() -> Instrument {
    Instrument { symbol: "BTC-USD".into(), tick_decimals: TICK_DECIMALS, lot_decimals: LOT_DECIMALS }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Created,
    Changed,
    Deleted,
}

/// One event of one order; `size` is what is left of it.
struct OrderLine {
    action: Action,
    id: u64,
    side: Side,
    price: Price,
    size: u64,
}

fn push_order(at: Position, line: OrderLine, events: &mut VecDeque<FlowEvent>) -> Result<(), FlowError> {
    let OrderLine { action, id: key, side, price, size } = line;
    events.push_back(match (action, size) {
        (Action::Created, 0) => return Err(value(at, "size of a new order", "above 0", "0")),
        (Action::Changed | Action::Deleted, 0) => FlowEvent::Filled { key },
        (Action::Created, size) => {
            let time_in_force = TimeInForce::GoodTillCancel;
            FlowEvent::Place { key, trader: key, side, price, size: in_range(size), time_in_force }
        }
        (Action::Changed, size) => FlowEvent::Amend { key, price, size: in_range(size) },
        (Action::Deleted, _) => FlowEvent::Cancel { key },
    });
    Ok(())
}

fn in_range(size: u64) -> Size {
    Size::new(size).expect("sizes are bounded where they are parsed")
}

fn push_time(
    at: Position,
    ms: &str,
    last: &mut Option<TimeMs>,
    out: &mut VecDeque<FlowEvent>,
) -> Result<(), FlowError> {
    let time = ms.parse().ok().and_then(|raw| TimeMs::new(raw).ok());
    let time = time.ok_or_else(|| value(at, "time", "milliseconds since 1970", ms))?;
    if *last != Some(time) {
        *last = Some(time);
        out.push_back(FlowEvent::Time { time });
    }
    Ok(())
}

pub(super) struct BitstampLog {
    lines: Lines,
    time: Option<TimeMs>,
    unused: u64,
}

#[derive(Deserialize)]
struct OrderJson<'a> {
    id: u64,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    amount: &'a RawValue,
    order_type: u8,
}

#[derive(Deserialize)]
struct TradeJson<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
}

impl BitstampLog {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, time: None, unused: 0 }
    }
}

impl Source for BitstampLog {
    fn instrument(&self) -> Instrument {
        instrument()
    }

    fn read(&mut self, events: &mut VecDeque<FlowEvent>) -> Result<bool, FlowError> {
        let Self { lines, time, unused } = self;
        let Some((at, line)) = lines.next()? else { return Ok(false) };
        let mut parts = line.splitn(3, ' ');
        let (Some(ms), Some(kind), Some(json)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(value(at, "line", "`<milliseconds> <kind> {json}`", line));
        };
        push_time(at, ms, time, events)?;
        let action = match kind {
            "order_created" => Action::Created,
            "order_changed" => Action::Changed,
            "order_deleted" => Action::Deleted,
            "trade" => {
                let TradeJson { price } = parse_json(at, "trade", json)?;
                events.push_back(FlowEvent::Mark { price: decimal::price(at, &text(at, price)?, TICK_DECIMALS)? });
                return Ok(true);
            }
            // The best 20 levels, which follow from the orders.
            "order_book" => {
                *unused += 1;
                return Ok(true);
            }
            _ => {
                let expected = "order_created, order_changed, order_deleted, order_book or trade";
                return Err(value(at, "kind", expected, kind));
            }
        };
        let OrderJson { id, price, amount, order_type } = parse_json(at, "order", json)?;
        let side = match order_type {
            0 => Side::Buy,
            1 => Side::Sell,
            other => return Err(value(at, "order_type", "0 (buy) or 1 (sell)", &other.to_string())),
        };
        let price = decimal::price(at, &text(at, price)?, TICK_DECIMALS)?;
        let size = decimal::size_or_zero(at, &text(at, amount)?, LOT_DECIMALS)?;
        push_order(at, OrderLine { action, id, side, price, size }, events)?;
        Ok(true)
    }

    fn position(&self) -> Position {
        self.lines.position()
    }

    fn unused(&self) -> u64 {
        self.unused
    }
}

fn parse_json<'a, T: Deserialize<'a>>(at: Position, what: &'static str, json: &'a str) -> Result<T, FlowError> {
    serde_json::from_str(json).map_err(|error| value(at, what, format!("its fields as JSON ({error})"), json))
}

/// A decimal number that is printed as a string, or as the nearest binary float (236.28999999999999 for 236.29): then
/// the shortest decimal number which that float stands for.
fn text(at: Position, raw: &RawValue) -> Result<String, FlowError> {
    let raw = raw.get();
    if let Some(quoted) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(quoted.into());
    }
    match raw.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(float.to_string()),
        _ => Err(value(at, "number", "a number, plain or as a string", raw)),
    }
}

pub(super) struct BitstampTable {
    lines: Lines,
    time: Option<TimeMs>,
}

impl BitstampTable {
    pub(super) fn new(mut lines: Lines) -> Result<Self, FlowError> {
        match lines.next()? {
            Some((_, TABLE_HEADER)) => Ok(Self { lines, time: None }),
            Some((at, other)) => Err(value(at, "header", TABLE_HEADER, other)),
            None => Err(FlowError::Empty),
        }
    }
}

impl Source for BitstampTable {
    fn instrument(&self) -> Instrument {
        instrument()
    }

    fn read(&mut self, events: &mut VecDeque<FlowEvent>) -> Result<bool, FlowError> {
        let Self { lines, time } = self;
        let Some((at, line)) = lines.next()? else { return Ok(false) };
        let columns: Vec<&str> = line.split(',').collect();
        // The exchange's own time has whole seconds only.
        let &[id, ms, _exchange_ms, price, volume, action, direction] = columns.as_slice() else {
            return Err(value(at, "line", "7 columns", line));
        };
        push_time(at, ms, time, events)?;
        let id = id.parse().map_err(|_| value(at, "id", "a whole number below 2^64", id))?;
        let action = match action {
            "created" => Action::Created,
            "changed" => Action::Changed,
            "deleted" => Action::Deleted,
            other => return Err(value(at, "action", "created, changed or deleted", other)),
        };
        let side = match direction {
            "bid" => Side::Buy,
            "ask" => Side::Sell,
            other => return Err(value(at, "direction", "bid or ask", other)),
        };
        let price = decimal::price(at, price, TICK_DECIMALS)?;
        // The table's volumes are whole lots.
        let size = decimal::size_or_zero(at, volume, 0)?;
        push_order(at, OrderLine { action, id, side, price, size }, events)?;
        Ok(true)
    }

    fn position(&self) -> Position {
        self.lines.position()
    }

    fn unused(&self) -> u64 {
        0
    }
}
