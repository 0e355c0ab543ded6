//! Databento's market-by-order records: every order of a real venue, with its id.
//!
//! A trade is reported three times: as a trade (`T`, with the aggressor's side), as a fill of each resting order (`F`),
//! and as a cancel (`C`) of what the fill took. The first becomes an immediate-or-cancel order; a cancel that fills
//! account for is passed on as "filled", so that it removes only what our own book did not match.
//!
//! The encoding (DBN, versions 1 to 3) is read here and not with the `dbn` crate: its decoder (0.73.0) takes a file
//! that was cut off for one that ended, and makes references to misaligned records of a corrupt one. Its encoder writes
//! the tests' files.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufReader, Read},
};

use holdfast_protocol::{Price, Side, Size, TimeInForce, TimeMs};

use super::{
    FlowEvent, Instrument, Source, decimal,
    error::{FlowError, Position, value},
    input::{Input, Opened},
};

/// First bytes of a file; its version follows.
pub(super) const PREFIX: &[u8] = b"DBN";
const VERSION_MAX: u8 = 3;
/// Prefix, version and the length of the metadata.
const PRELUDE_BYTES: usize = 8;
/// Metadata before its variable part.
const METADATA_BYTES_MIN: usize = 100;
/// Largest metadata. It lists symbols: a whole venue's have a few MB.
const METADATA_BYTES_MAX: u32 = 64 << 20;
/// Most orders in the source's book at a time.
const ORDERS_MAX: usize = 1 << 24;
/// Most instruments of one file.
const INSTRUMENTS_MAX: usize = 1 << 20;
/// Decimals of every price in a record.
const PRICE_DECIMALS: u32 = 9;
/// A price that is none.
const PRICE_UNDEFINED: i64 = i64::MAX;
/// Length, type, publisher, instrument, time.
const HEADER_BYTES: usize = 16;
/// A market-by-order record; live recordings add a time of sending.
const MBO_BYTES: usize = 56;
const MBO_TYPE: u8 = 0xa0;

pub(super) struct Databento {
    records: Records,
    instrument: Instrument,
    instrument_id: u32,
    time: Option<TimeMs>,
    unused: u64,
    /// The orders in the source's book.
    orders: BTreeMap<u64, Order>,
}

struct Order {
    price: Price,
    size: u64,
    /// Filled, but not yet cancelled.
    filled: u64,
}

impl Databento {
    /// Reads the file twice: first to find the instrument and its grid.
    pub(super) fn new(opened: Opened, input: &Input) -> Result<Self, FlowError> {
        let (again, _) = input.open()?;
        let instrument_of_most = survey(Records::new(opened)?)?;
        let records = Records::new(again)?;
        let Survey { instrument_id, tick_decimals } = instrument_of_most;
        let symbol = symbol_of(records.version, &records.metadata, instrument_id);
        let symbol = symbol.unwrap_or_else(|| format!("instrument {instrument_id}"));
        let instrument = Instrument { symbol, tick_decimals, lot_decimals: 0 };
        Ok(Self { records, instrument, instrument_id, time: None, unused: 0, orders: BTreeMap::new() })
    }

    fn apply(&mut self, at: Position, record: Record, events: &mut VecDeque<FlowEvent>) -> Result<(), FlowError> {
        let Record { action, side, order_id: key, price, size, .. } = record;
        match action {
            b'A' => {
                let (side, price) = (self.side(at, side)?, self.price(at, price)?);
                let size = in_range(at, size)?;
                if self.orders.len() == ORDERS_MAX {
                    return Err(value(at, "orders", format!("at most {ORDERS_MAX} at a time"), "one more"));
                }
                self.orders.insert(key, Order { price, size: size.get(), filled: 0 });
                let time_in_force = TimeInForce::GoodTillCancel;
                events.push_back(FlowEvent::Place { key, trader: key, side, price, size, time_in_force });
            }
            b'M' => {
                let (price, size) = (self.price(at, price)?, in_range(at, size)?);
                if let Some(order) = self.orders.get_mut(&key) {
                    *order = Order { price, size: size.get(), filled: 0 };
                }
                events.push_back(FlowEvent::Amend { key, price, size });
            }
            b'C' => events.push_back(self.cancel(at, key, size)?),
            b'F' => {
                if let Some(order) = self.orders.get_mut(&key) {
                    order.filled = order.filled.saturating_add(size.into());
                }
            }
            b'T' => {
                let price = self.price(at, price)?;
                events.push_back(FlowEvent::Mark { price });
                // Without a side it is an auction's or an off-book trade.
                if side != b'N' {
                    let (side, size) = (self.side(at, side)?, in_range(at, size)?);
                    let (trader, time_in_force) = (record.sequence.into(), TimeInForce::ImmediateOrCancel);
                    events.push_back(FlowEvent::Place { key, trader, side, price, size, time_in_force });
                }
            }
            b'R' => {
                let orders = std::mem::take(&mut self.orders);
                events.extend(orders.into_keys().map(|key| FlowEvent::Cancel { key }));
            }
            b'N' => self.unused += 1,
            other => {
                return Err(value(at, "action", "A, C, M, T, F, R or N", &char::from(other).to_string()));
            }
        }
        Ok(())
    }

    fn cancel(&mut self, at: Position, key: u64, size: u32) -> Result<FlowEvent, FlowError> {
        // Not seen before: the mapper counts it.
        let Some(order) = self.orders.get_mut(&key) else { return Ok(FlowEvent::Cancel { key }) };
        let size = u64::from(size);
        if size > order.size {
            return Err(value(
                at,
                "size of a cancel",
                format!("at most the order's {}", order.size),
                &size.to_string(),
            ));
        }
        let by_fill = order.filled >= size;
        order.filled = order.filled.saturating_sub(size);
        order.size -= size;
        if order.size > 0 {
            let (price, size) = (order.price, Size::new(order.size).expect("it shrank"));
            return Ok(FlowEvent::Amend { key, price, size });
        }
        self.orders.remove(&key);
        Ok(if by_fill { FlowEvent::Filled { key } } else { FlowEvent::Cancel { key } })
    }

    fn side(&self, at: Position, side: u8) -> Result<Side, FlowError> {
        match side {
            b'B' => Ok(Side::Buy),
            b'A' => Ok(Side::Sell),
            other => Err(value(at, "side", "B (bid) or A (ask)", &char::from(other).to_string())),
        }
    }

    fn price(&self, at: Position, price: i64) -> Result<Price, FlowError> {
        let text = match u128::try_from(price) {
            Ok(raw) => decimal::format(raw, PRICE_DECIMALS),
            Err(_) => price.to_string(),
        };
        decimal::price(at, &text, self.instrument.tick_decimals)
    }
}

impl Source for Databento {
    fn instrument(&self) -> Instrument {
        self.instrument.clone()
    }

    fn read(&mut self, events: &mut VecDeque<FlowEvent>) -> Result<bool, FlowError> {
        let Some(record) = self.records.next()? else { return Ok(false) };
        let at = self.records.position();
        let Some(record) = record.filter(|record| record.instrument_id == self.instrument_id) else {
            self.unused += 1;
            return Ok(true);
        };
        let time = TimeMs::new(record.ts_recv / 1_000_000);
        let time = time.map_err(|_| value(at, "ts_recv", "nanoseconds since 1970", &record.ts_recv.to_string()))?;
        if self.time != Some(time) {
            self.time = Some(time);
            events.push_back(FlowEvent::Time { time });
        }
        self.apply(at, record, events)?;
        Ok(true)
    }

    fn position(&self) -> Position {
        self.records.position()
    }

    fn unused(&self) -> u64 {
        self.unused
    }
}

fn in_range(at: Position, size: u32) -> Result<Size, FlowError> {
    match Size::new(size.into()) {
        Ok(in_range) if size > 0 => Ok(in_range),
        _ => Err(value(at, "size", format!("1 to {}", u32::MAX), &size.to_string())),
    }
}

struct Survey {
    instrument_id: u32,
    tick_decimals: u32,
}

/// The instrument with the most records (the lowest id, if several), and the decimals of its prices.
fn survey(mut records: Records) -> Result<Survey, FlowError> {
    let mut instruments: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    while let Some(record) = records.next()? {
        let Some(Record { instrument_id, action, price, .. }) = record else { continue };
        if instruments.len() == INSTRUMENTS_MAX && !instruments.contains_key(&instrument_id) {
            let expected = format!("at most {INSTRUMENTS_MAX} of them");
            return Err(value(records.position(), "instruments", expected, "one more"));
        }
        let (count, decimals) = instruments.entry(instrument_id).or_insert((0, 0));
        *count += 1;
        // Prices out of bounds are for the second reading to report.
        if matches!(action, b'A' | b'M' | b'T') && price > 0 && price != PRICE_UNDEFINED {
            *decimals = (*decimals).max(decimals_needed(price));
        }
    }
    let most = instruments.into_iter().max_by_key(|(id, (count, _))| (*count, std::cmp::Reverse(*id)));
    match most {
        Some((instrument_id, (_, tick_decimals))) => Ok(Survey { instrument_id, tick_decimals }),
        None => Err(value(records.position(), "file", "market-by-order records", "none")),
    }
}

fn decimals_needed(mut price: i64) -> u32 {
    let mut decimals = PRICE_DECIMALS;
    while decimals > 0 && price % 10 == 0 {
        price /= 10;
        decimals -= 1;
    }
    decimals
}

/// The instrument's symbol by the metadata's mappings, if it has one there.
fn symbol_of(version: u8, metadata: &[u8], instrument_id: u32) -> Option<String> {
    // Version 1 has symbols of fixed length, and what came later in its reserved bytes. The length follows data set,
    // schema, start, end, limit, symbol types and the flag for times of sending: 16 + 2 + 3 × 8 + 3 bytes.
    let symbol_bytes = match version {
        1 => 22,
        _ => usize::from(u16::from_le_bytes(*metadata.get(45..)?.first_chunk()?)),
    };
    let mut rest = metadata.get(METADATA_BYTES_MIN..)?;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(taken)
    };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let schema_bytes = number(take(4)?)?;
    take(schema_bytes)?;
    // Symbols, partly resolved ones, unresolved ones.
    for _ in 0..3 {
        let symbols = number(take(4)?)?;
        take(symbols.checked_mul(symbol_bytes)?)?;
    }
    let mappings = number(take(4)?)?;
    for _ in 0..mappings {
        let symbol = text(take(symbol_bytes)?);
        for _ in 0..number(take(4)?)? {
            // First and last day.
            take(8)?;
            if text(take(symbol_bytes)?) == instrument_id.to_string() {
                return Some(symbol);
            }
        }
    }
    None
}

/// The fields of a market-by-order record that say something here.
#[derive(Debug, Clone, Copy)]
struct Record {
    instrument_id: u32,
    order_id: u64,
    price: i64,
    size: u32,
    action: u8,
    side: u8,
    ts_recv: u64,
    sequence: u32,
}

impl Record {
    fn parse(bytes: &[u8; MBO_BYTES]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        // Not read: publisher (2), ts_event (8), flags (36), channel (37), ts_in_delta (48).
        Self {
            instrument_id: u32_at(4),
            order_id: u64_at(16),
            price: u64_at(24) as i64,
            size: u32_at(32),
            action: bytes[38],
            side: bytes[39],
            ts_recv: u64_at(40),
            sequence: u32_at(52),
        }
    }
}

struct Records {
    reader: BufReader<Box<dyn Read + Send>>,
    version: u8,
    metadata: Vec<u8>,
    number: u64,
}

impl Records {
    fn new(opened: Opened) -> Result<Self, FlowError> {
        let at = Position::Record(0);
        let mut reader = BufReader::new(opened.into_reader());
        let mut prelude = [0; PRELUDE_BYTES];
        if fill(&mut reader, at, &mut prelude)? < PRELUDE_BYTES {
            return Err(value(at, "metadata", "its length", "the end of the file"));
        }
        let [_, _, _, version, length @ ..] = prelude;
        if !(1..=VERSION_MAX).contains(&version) {
            return Err(value(at, "version", format!("1 to {VERSION_MAX}"), &version.to_string()));
        }
        let length = u32::from_le_bytes(length);
        if !(METADATA_BYTES_MIN as u32..=METADATA_BYTES_MAX).contains(&length) {
            let expected = format!("{METADATA_BYTES_MIN} to {METADATA_BYTES_MAX} bytes");
            return Err(value(at, "metadata", expected, &length.to_string()));
        }
        // Grows with what is read, whatever length is claimed.
        let mut metadata = Vec::new();
        let read = (&mut reader).take(length.into()).read_to_end(&mut metadata);
        if read.map_err(|source| unreadable(at, source))? < length as usize {
            return Err(value(at, "metadata", format!("{length} bytes"), "the end of the file"));
        }
        Ok(Self { reader, version, metadata, number: 0 })
    }

    fn position(&self) -> Position {
        Position::Record(self.number)
    }

    /// The next record, `Some(None)` if it is not a market-by-order one.
    fn next(&mut self) -> Result<Option<Option<Record>>, FlowError> {
        let after = self.position();
        let mut record = [0; u8::MAX as usize * 4];
        if fill(&mut self.reader, after, &mut record[..1])? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let at = self.position();
        let length = usize::from(record[0]) * 4;
        if length < HEADER_BYTES {
            return Err(value(at, "length", format!("at least {HEADER_BYTES} bytes"), &length.to_string()));
        }
        let record = &mut record[..length];
        if fill(&mut self.reader, after, &mut record[1..])? < length - 1 {
            return Err(value(at, "record", format!("{length} bytes"), "the end of the file"));
        }
        if record[1] != MBO_TYPE {
            return Ok(Some(None));
        }
        match record.first_chunk() {
            Some(record) => Ok(Some(Some(Record::parse(record)))),
            None => Err(value(at, "length", format!("at least {MBO_BYTES} bytes"), &length.to_string())),
        }
    }
}

/// Fills the buffer as far as the file goes, and says how far.
fn fill(reader: &mut impl Read, after: Position, buffer: &mut [u8]) -> Result<usize, FlowError> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(after, error)),
        }
    }
    Ok(length)
}

fn unreadable(after: Position, source: io::Error) -> FlowError {
    FlowError::Read { after, what: "truncated or corrupt data", source }
}
