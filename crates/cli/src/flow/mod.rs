//! Real order flow: other venues' recordings, read as one stream of events and turned into commands.
//!
//! [`Flow`] reads a file, whose compression and format it finds by content, into [`FlowEvent`]s in ticks and lots. A
//! [`Mapper`] turns these into commands against a running engine, and the [`Wallets`] of those who ask for them sign.
//!
//! | format | what a line is | events |
//! |---|---|---|
//! | Bitstamp live-order log | `<ms> order_created {json}`, also changed, deleted, trade, order_book | each order a place, amend, cancel; trades are marks |
//! | Bitstamp orders table | `id,timestamp,exchange.timestamp,price,volume,action,direction` | the same, without marks |
//! | Binance futures capture | `<ns> {json}` of the depth, trade and book ticker streams, and one REST snapshot | each price level a quote, each trade a taker |
//! | Databento MBO | a DBN record (versions 1 to 3) | each order a place, amend, cancel; trades are takers |
//!
//! Plain, gzip, xz and zstd files are read. A reader yields what the file says and keeps no book of its own; where the
//! file is broken (truncated, off the grid of ticks and lots, with a gap in its sequence numbers) it stops with an
//! error that names the line, what it expected and what it got. Prices and sizes are exact: nothing is rounded.
//!
//! - Bitstamp prices have 2 decimals and sizes 8.
//! - Binance prints each price and size of a pair with the same decimals; those of the first one give the pair's.
//!   COIN-M sizes are contracts. Sequence numbers are checked with `pu`, or where it is missing (spot) with `U`.
//! - Databento prices have the fewest decimals in which every price of the file is exact, and sizes none. If the file
//!   has several instruments, the one with the most records is read.

mod binance;
mod bitstamp;
mod databento;
pub(crate) mod decimal;
mod error;
mod genesis;
mod input;
mod mapper;
#[cfg(test)]
mod tests;
mod wallets;

use std::{collections::VecDeque, path::Path, sync::Arc};

use holdfast_protocol::{Price, Side, Size, TimeInForce, TimeMs};

use self::{
    binance::Binance,
    bitstamp::{BitstampLog, BitstampTable, TABLE_HEADER},
    databento::Databento,
    input::{Input, Lines},
};
pub use self::{
    error::{FlowError, Position},
    genesis::default_genesis,
    input::{Compression, LINE_BYTES_MAX},
    mapper::{
        ACCOUNTS_MAX, Counts, FEE_ACCOUNT, FIRST_TRADER, Feedback, Mapper, MapperError, OPERATOR, ORACLE, OrderEvent,
    },
    wallets::{KEY_SEED_DEFAULT, Wallets},
};

/// How many events are read ahead to find the first price.
const PEEK_EVENTS_MAX: usize = 4_096;

/// What is traded in a file, and the grid that its prices and sizes lie on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    pub symbol: String,
    /// A tick is 10^-tick_decimals of the quote currency.
    pub tick_decimals: u32,
    /// A lot is 10^-lot_decimals of the base asset.
    pub lot_decimals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEvent {
    /// Time goes on.
    Time { time: TimeMs },
    /// The source traded at this price.
    Mark { price: Price },
    /// An order enters. `key` names it in later events; orders of one `trader` belong to one account.
    Place { key: u64, trader: u64, side: Side, price: Price, size: Size, time_in_force: TimeInForce },
    /// What is left of an order is now this, by its owner's wish or because some of it was filled at the source.
    Amend { key: u64, price: Price, size: Size },
    /// An order leaves unfilled.
    Cancel { key: u64 },
    /// An order was filled to its end at the source.
    Filled { key: u64 },
    /// A price level, named by `key`, now shows this size; zero if it is gone. Keys of levels and of orders are apart.
    Level { key: u64, side: Side, price: Price, size: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    BitstampLog,
    BitstampTable,
    BinanceCapture,
    DatabentoMbo,
}

/// A file of order flow: an iterator of its events, which ends after the first error.
pub struct Flow {
    format: Format,
    compression: Compression,
    first_price: Price,
    source: Box<dyn Source + Send>,
    queue: VecDeque<FlowEvent>,
    failure: Option<FlowError>,
    ended: bool,
}

/// Reads one line or record at a time.
trait Source {
    fn instrument(&self) -> Instrument;
    /// Appends the events of the next line or record, if any. `false` at the end.
    fn read(&mut self, events: &mut VecDeque<FlowEvent>) -> Result<bool, FlowError>;
    /// The last line or record read.
    fn position(&self) -> Position;
    /// Lines or records that say nothing an event could.
    fn unused(&self) -> u64;
}

impl Flow {
    pub fn open(path: &Path) -> Result<Flow, FlowError> {
        Flow::from_input(Input::File(path.to_owned()))
    }

    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Flow, FlowError> {
        Flow::from_input(Input::Bytes(bytes.into()))
    }

    pub fn instrument(&self) -> Instrument {
        self.source.instrument()
    }

    /// The first price the source traded at or, where it says none near the start, of its first order.
    pub fn first_price(&self) -> Price {
        self.first_price
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The last line or record read.
    pub fn position(&self) -> Position {
        self.source.position()
    }

    /// Lines or records so far that say nothing an event could, such as a best bid that the book shows as well.
    pub fn unused(&self) -> u64 {
        self.source.unused()
    }

    fn from_input(input: Input) -> Result<Flow, FlowError> {
        let (opened, compression) = input.open()?;
        let format = recognise(opened.head())?;
        let source: Box<dyn Source + Send> = match format {
            Format::BitstampLog => Box::new(BitstampLog::new(Lines::new(opened))),
            Format::BitstampTable => Box::new(BitstampTable::new(Lines::new(opened))?),
            Format::BinanceCapture => Box::new(Binance::new(Lines::new(opened))),
            Format::DatabentoMbo => Box::new(Databento::new(opened, &input)?),
        };
        let placeholder = Price::new(1).expect("in range");
        let (queue, failure) = (VecDeque::new(), None);
        let mut flow = Flow { format, compression, first_price: placeholder, source, queue, failure, ended: false };
        flow.first_price = flow.peek_price()?;
        Ok(flow)
    }

    /// Reads ahead to the first mark. An error beyond the first price is kept for the iterator.
    fn peek_price(&mut self) -> Result<Price, FlowError> {
        let mut examined = 0;
        let mut first_order = None;
        loop {
            while examined < self.queue.len() {
                match self.queue[examined] {
                    FlowEvent::Mark { price } => return Ok(price),
                    FlowEvent::Place { price, .. } | FlowEvent::Level { price, .. } if first_order.is_none() => {
                        first_order = Some(price);
                    }
                    _ => {}
                }
                examined += 1;
            }
            if self.ended || examined >= PEEK_EVENTS_MAX {
                break;
            }
            self.refill();
        }
        match (first_order, self.failure.take()) {
            (Some(price), failure) => {
                self.failure = failure;
                Ok(price)
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(FlowError::NoPrice { at: self.source.position() }),
        }
    }

    fn refill(&mut self) {
        match self.source.read(&mut self.queue) {
            Ok(true) => {}
            Ok(false) => self.ended = true,
            Err(error) => {
                self.ended = true;
                self.failure = Some(error);
            }
        }
    }
}

impl Iterator for Flow {
    type Item = Result<FlowEvent, FlowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.queue.is_empty() && !self.ended {
            self.refill();
        }
        match self.queue.pop_front() {
            Some(event) => Some(Ok(event)),
            None => self.failure.take().map(Err),
        }
    }
}

/// Tells the format from the (decompressed) start of a file.
fn recognise(head: &[u8]) -> Result<Format, FlowError> {
    if head.is_empty() {
        return Err(FlowError::Empty);
    }
    if head.starts_with(databento::PREFIX) {
        return Ok(Format::DatabentoMbo);
    }
    if head.starts_with(TABLE_HEADER.as_bytes()) {
        return Ok(Format::BitstampTable);
    }
    let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match head[digits..].strip_prefix(b" ") {
        Some(rest) if digits > 0 && rest.starts_with(b"{") => Ok(Format::BinanceCapture),
        Some(rest) if digits > 0 && (rest.starts_with(b"order_") || rest.starts_with(b"trade ")) => {
            Ok(Format::BitstampLog)
        }
        _ => Err(FlowError::UnknownFormat { got: error::excerpt(&String::from_utf8_lossy(head)) }),
    }
}
