//! Captures of Binance's futures streams (USD-M and COIN-M, and spot): depth differences, trades and the best bid and
//! ask, with one order book snapshot of the REST interface among them.
//!
//! The feed shows price levels, not orders. Each level becomes one market maker's quote, which grows and shrinks with
//! it, and each trade one immediate-or-cancel order at the trade's price. What the two say twice, a trade and the level
//! it shrank, meets in the mapper: a level that already has its new size is left alone.
//!
//! The book starts as the exchange prescribes: differences are kept until the snapshot is there, those it already holds
//! are dropped, and the first of the others must cover the snapshot's id. From then on each difference must follow on
//! the one before. Within one difference the levels that vanish come first, so that it never crosses itself.

use std::collections::VecDeque;

use holdfast_protocol::{Price, Side, TimeInForce, TimeMs};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    FlowEvent, Instrument, Source, decimal,
    error::{FlowError, Position, value},
    input::Lines,
};

/// Level changes that are kept until the snapshot comes.
const LEVELS_KEPT_MAX: usize = 1 << 20;
/// Most decimals a price or size may be printed with.
const DECIMALS_MAX: u32 = 12;

pub(super) struct Binance {
    lines: Lines,
    unused: u64,
    time: Option<TimeMs>,
    symbol: Option<String>,
    decimals: Option<Decimals>,
    /// The last difference's final id.
    last_id: Option<u64>,
    book: Book,
}

#[derive(Debug, Clone, Copy)]
struct Decimals {
    tick: u32,
    lot: u32,
}

enum Book {
    /// No snapshot yet.
    Waiting {
        kept: Vec<Difference>,
        levels: usize,
    },
    /// Differences up to this id are in the snapshot; none beyond it was seen yet.
    Joining {
        snapshot_id: u64,
    },
    Following,
}

struct Difference {
    at: Position,
    first_id: u64,
    last_id: u64,
    levels: Vec<FlowEvent>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
    #[serde(borrow)]
    bids: Option<Levels<'a>>,
    #[serde(borrow)]
    asks: Option<Levels<'a>>,
}

/// Price and size of each level, as text.
type Levels<'a> = Vec<(&'a str, &'a str)>;

#[derive(Deserialize)]
struct Kind<'a> {
    e: &'a str,
    s: &'a str,
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "U")]
    first_id: u64,
    #[serde(rename = "u")]
    last_id: u64,
    /// Futures only.
    #[serde(rename = "pu")]
    previous_id: Option<u64>,
    #[serde(rename = "b", borrow)]
    bids: Levels<'a>,
    #[serde(rename = "a", borrow)]
    asks: Levels<'a>,
}

#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "t")]
    id: u64,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    size: &'a str,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
    /// Futures only: `MARKET`, or a transfer that is no match in the book (insurance fund, deleveraging).
    #[serde(rename = "X")]
    kind: Option<&'a str>,
}

impl Binance {
    pub(super) fn new(lines: Lines) -> Self {
        let book = Book::Waiting { kept: Vec::new(), levels: 0 };
        Self { lines, unused: 0, time: None, symbol: None, decimals: None, last_id: None, book }
    }
}

impl Source for Binance {
    fn instrument(&self) -> Instrument {
        let Decimals { tick, lot } = self.decimals.unwrap_or(Decimals { tick: 0, lot: 0 });
        let symbol = self.symbol.clone().unwrap_or_default();
        Instrument { symbol, tick_decimals: tick, lot_decimals: lot }
    }

    fn read(&mut self, events: &mut VecDeque<FlowEvent>) -> Result<bool, FlowError> {
        let Self { lines, unused, time, symbol, decimals, last_id, book } = self;
        let end = lines.position();
        let Some((at, line)) = lines.next()? else {
            return match book {
                Book::Following => Ok(false),
                Book::Waiting { .. } => {
                    Err(value(end, "snapshot", "a line with `lastUpdateId`", "the end of the file"))
                }
                Book::Joining { snapshot_id } => {
                    let expected = format!("a depth update that covers the snapshot's id {snapshot_id}");
                    Err(value(end, "depth update", expected, "the end of the file"))
                }
            };
        };
        let Some((ns, json)) = line.split_once(' ') else {
            return Err(value(at, "line", "`<nanoseconds> {json}`", line));
        };
        let now = parse_time(at, ns)?;
        let envelope: Envelope = parse_json(at, "line", json)?;
        if let Some(snapshot_id) = envelope.last_update_id {
            let Book::Waiting { kept, .. } = book else {
                // The book follows on without gaps: another snapshot says nothing new.
                *unused += 1;
                return Ok(true);
            };
            let kept = std::mem::take(kept);
            push_time(now, time, events);
            let (bids, asks) = (envelope.bids.unwrap_or_default(), envelope.asks.unwrap_or_default());
            push_levels(at, decimals, &bids, &asks, events)?;
            *book = Book::Joining { snapshot_id };
            for difference in kept {
                join(difference, book, events)?;
            }
            return Ok(true);
        }
        let Some(data) = envelope.data else {
            return Err(value(at, "line", "`data` of a stream, or a snapshot with `lastUpdateId`", json));
        };
        let data = data.get();
        let kind: Kind = parse_json(at, "event", data)?;
        if symbol.get_or_insert_with(|| kind.s.to_owned()) != kind.s {
            *unused += 1;
            return Ok(true);
        }
        match kind.e {
            "depthUpdate" => {
                let depth: Depth = parse_json(at, "depth update", data)?;
                check_sequence(at, &depth, *last_id)?;
                *last_id = Some(depth.last_id);
                push_time(now, time, events);
                let mut levels = VecDeque::new();
                push_levels(at, decimals, &depth.bids, &depth.asks, &mut levels)?;
                let Depth { first_id, last_id, .. } = depth;
                join(Difference { at, first_id, last_id, levels: levels.into() }, book, events)?;
            }
            "trade" => {
                let trade: Trade = parse_json(at, "trade", data)?;
                if trade.kind.is_some_and(|kind| kind != "MARKET") {
                    *unused += 1;
                    return Ok(true);
                }
                push_time(now, time, events);
                push_trade(at, decimals, &trade, matches!(book, Book::Waiting { .. }), events)?;
            }
            _ => *unused += 1,
        }
        Ok(true)
    }

    fn position(&self) -> Position {
        self.lines.position()
    }

    fn unused(&self) -> u64 {
        self.unused
    }
}

/// Keeps, drops or applies a difference, by where the book stands.
fn join(difference: Difference, book: &mut Book, events: &mut VecDeque<FlowEvent>) -> Result<(), FlowError> {
    match book {
        Book::Waiting { kept, levels } => {
            *levels += difference.levels.len();
            if *levels > LEVELS_KEPT_MAX {
                let expected = format!("a snapshot within {LEVELS_KEPT_MAX} level changes");
                return Err(value(difference.at, "snapshot", expected, "none"));
            }
            kept.push(difference);
        }
        Book::Joining { snapshot_id } => {
            if difference.last_id < *snapshot_id {
                return Ok(());
            }
            // The update after the one that ends at the snapshot's id covers it as well.
            if difference.first_id > *snapshot_id + 1 {
                return Err(FlowError::Gap {
                    at: difference.at,
                    expected: format!("an update that covers the snapshot's id {snapshot_id}"),
                    got: format!("{} to {}", difference.first_id, difference.last_id),
                });
            }
            events.extend(difference.levels);
            *book = Book::Following;
        }
        Book::Following => events.extend(difference.levels),
    }
    Ok(())
}

fn check_sequence(at: Position, depth: &Depth, last_id: Option<u64>) -> Result<(), FlowError> {
    if depth.first_id > depth.last_id {
        let expected = format!("a last id of at least the first, {}", depth.first_id);
        return Err(value(at, "depth update", expected, &depth.last_id.to_string()));
    }
    let Some(last_id) = last_id else { return Ok(()) };
    let (name, expected, got) = match depth.previous_id {
        Some(previous_id) => ("pu", last_id, previous_id),
        None => ("U", last_id.saturating_add(1), depth.first_id),
    };
    if expected != got {
        let (expected, got) = (format!("{name} = {expected}"), got.to_string());
        return Err(FlowError::Gap { at, expected, got });
    }
    Ok(())
}

fn push_levels(
    at: Position,
    decimals: &mut Option<Decimals>,
    bids: &Levels,
    asks: &Levels,
    out: &mut VecDeque<FlowEvent>,
) -> Result<(), FlowError> {
    let mut present = Vec::new();
    for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
        for (price, size) in levels {
            let Decimals { tick, lot } = known_decimals(at, decimals, price, size)?;
            let (price, size) = (decimal::price(at, price, tick)?, decimal::size_or_zero(at, size, lot)?);
            let level = FlowEvent::Level { key: level_key(side, price), side, price, size };
            if size == 0 { out.push_back(level) } else { present.push(level) }
        }
    }
    out.extend(present);
    Ok(())
}

fn push_trade(
    at: Position,
    decimals: &mut Option<Decimals>,
    trade: &Trade,
    book_is_empty: bool,
    events: &mut VecDeque<FlowEvent>,
) -> Result<(), FlowError> {
    let &Trade { id, price, size, buyer_is_maker, kind: _ } = trade;
    let Decimals { tick, lot } = known_decimals(at, decimals, price, size)?;
    let (price, size) = (decimal::price(at, price, tick)?, decimal::size(at, size, lot)?);
    events.push_back(FlowEvent::Mark { price });
    if !book_is_empty {
        let side = if buyer_is_maker { Side::Sell } else { Side::Buy };
        let time_in_force = TimeInForce::ImmediateOrCancel;
        events.push_back(FlowEvent::Place { key: id, trader: id, side, price, size, time_in_force });
    }
    Ok(())
}

fn level_key(side: Side, price: Price) -> u64 {
    let side = match side {
        Side::Buy => 0,
        Side::Sell => 1,
    };
    u64::from(price.get()) << 1 | side
}

/// The first price and size printed give the decimals of all.
fn known_decimals(
    at: Position,
    decimals: &mut Option<Decimals>,
    price: &str,
    size: &str,
) -> Result<Decimals, FlowError> {
    if let Some(known) = decimals {
        return Ok(*known);
    }
    let first = Decimals { tick: decimal::decimals_of(price), lot: decimal::decimals_of(size) };
    if first.tick > DECIMALS_MAX || first.lot > DECIMALS_MAX {
        let expected = format!("a price and a size of at most {DECIMALS_MAX} decimals");
        return Err(value(at, "level", expected, &format!("{price}, {size}")));
    }
    Ok(*decimals.insert(first))
}

/// The capture's own clock, which is the same for all streams.
fn parse_time(at: Position, ns: &str) -> Result<TimeMs, FlowError> {
    let time = ns.parse::<u64>().ok().and_then(|ns| TimeMs::new(ns / 1_000_000).ok());
    time.ok_or_else(|| value(at, "time", "nanoseconds since 1970", ns))
}

fn push_time(time: TimeMs, last: &mut Option<TimeMs>, events: &mut VecDeque<FlowEvent>) {
    if *last != Some(time) {
        *last = Some(time);
        events.push_back(FlowEvent::Time { time });
    }
}

fn parse_json<'a, T: Deserialize<'a>>(at: Position, what: &'static str, json: &'a str) -> Result<T, FlowError> {
    serde_json::from_str(json).map_err(|error| value(at, what, format!("its fields as JSON ({error})"), json))
}
