//! The bare book on the synthetic mix: ours, matchcore's and orderbook-rs's, in one run.
//!
//! Ours is the committed book itself: the step functions `rest` and `remove` on the state, and matching at the head, without accounts' margin.

use std::{hint::black_box, time::Instant};

use hdrhistogram::Histogram;
use holdfast_cli::flow::{Instrument, KEY_SEED_DEFAULT, Wallets, default_genesis};
use holdfast_exchange::{
    Machine, Plain,
    flow::{Label, RemoveRegisters, Taker},
    native::Native,
    slots::Position,
    steps,
    store::Store,
};
use holdfast_protocol::Price;

use crate::synthetic::{Operation, operations};

/// A book under test.
trait Book {
    fn apply(&mut self, operation: &Operation);
    /// Orders resting at the end, printed to show that the books did the same work. (matchcore ends with a few fewer; why was not looked into.)
    fn resting(&self) -> usize;
}

struct Ours {
    store: Store,
    events: Vec<holdfast_exchange::Event<Plain>>,
    slots: Vec<u32>,
    keys: Vec<u32>,
    resting: usize,
}

/// Key of an order that is not in the book.
const GONE: u32 = u32::MAX;

impl Ours {
    fn new(count: usize) -> Self {
        let instrument = Instrument { symbol: "SYNTHETIC".into(), tick_decimals: 2, lot_decimals: 4 };
        let genesis = default_genesis(
            &instrument,
            Price::new(100_000).expect("a price in range"),
            &Wallets::new(KEY_SEED_DEFAULT, 0),
        );
        let mut store = Store::new(&genesis);
        // What the orders reserve is no part of a bare book: it is there from the start.
        store.set_position(3, 0, Position { bids: 1 << 41, asks: 1 << 41, ..Position::default() });
        Self { store, events: Vec::new(), slots: vec![0; count], keys: vec![GONE; 1 << 20], resting: 0 }
    }

    #[inline]
    fn machine(&mut self) -> Native<'_> {
        self.events.clear();
        Native::new(&mut self.store, &mut self.events, &[])
    }

    #[inline]
    fn remove(&mut self, slot: u32) {
        let then = Label::Idle.number();
        steps::remove(&mut self.machine(), RemoveRegisters { slot, then, frame: 0 });
        self.resting -= 1;
        let key = std::mem::replace(&mut self.keys[slot as usize], GONE);
        self.slots[key as usize] = 0;
    }

    #[inline]
    fn cross(&mut self, buys: bool, price: u32, size: u32) -> u32 {
        let sentinel = u32::from(buys);
        let mut remaining = u64::from(size);
        while remaining > 0 {
            let head = self.store.order(sentinel).next;
            if head == sentinel {
                break;
            }
            let mut order = self.store.order(head).clone();
            let crosses = if buys { order.price <= u64::from(price) } else { order.price >= u64::from(price) };
            if !crosses {
                break;
            }
            let fill = remaining.min(order.size);
            remaining -= fill;
            order.size -= fill;
            let consumed = order.size == 0;
            self.store.set_order(head, order);
            if consumed {
                self.remove(head);
            }
        }
        remaining as u32
    }
}

impl Book for Ours {
    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Add { key, buys, price, size } => {
                let remaining = self.cross(buys, price, size);
                if remaining == 0 {
                    return;
                }
                let taker = Taker {
                    sequence_next: 0,
                    account: 3,
                    entry: 0,
                    market: 0,
                    buys,
                    rests: true,
                    reduce_only: false,
                    expire_maker: false,
                    expire_taker: false,
                    price: u64::from(price),
                    remaining: u64::from(remaining),
                    budget: 0,
                };
                let mut machine = self.machine();
                let system = machine.peek_system();
                let slot = if system.free_head == 0 { system.fresh } else { system.free_head };
                steps::rest(&mut machine, taker);
                self.slots[key as usize] = slot;
                self.keys[slot as usize] = key;
                self.resting += 1;
            }
            Operation::Cancel { key } => {
                let slot = self.slots[key as usize];
                if slot != 0 {
                    self.remove(slot);
                }
            }
            Operation::Cross { buys, price, size, .. } => {
                self.cross(buys, price, size);
            }
        }
    }

    fn resting(&self) -> usize {
        self.resting
    }
}

struct Matchcore {
    book: matchcore::OrderBook,
    next: u64,
    ids: Vec<Option<matchcore::OrderId>>,
}

impl Matchcore {
    fn execute(&mut self, kind: matchcore::CommandKind) -> matchcore::CommandOutcome {
        let command = matchcore::Command {
            meta: matchcore::CommandMeta {
                sequence_number: matchcore::SequenceNumber(self.next),
                timestamp: matchcore::Timestamp(self.next),
            },
            kind,
        };
        self.next += 1;
        self.book.execute(&command)
    }

    fn submit(&mut self, buys: bool, price: u32, size: u32, force: matchcore::TimeInForce) -> matchcore::OrderId {
        let id = matchcore::OrderId(self.next);
        let side = if buys { matchcore::Side::Buy } else { matchcore::Side::Sell };
        let order = matchcore::LimitOrder::new(
            matchcore::Price(u64::from(price)),
            matchcore::QuantityPolicy::Standard { quantity: matchcore::Quantity(u64::from(size)) },
            matchcore::OrderFlags::new(side, false, force),
        );
        black_box(self.execute(matchcore::CommandKind::Submit(matchcore::SubmitCmd {
            order: matchcore::NewOrder::Limit(order),
        })));
        id
    }
}

impl Book for Matchcore {
    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Add { key, buys, price, size } => {
                let id = self.submit(buys, price, size, matchcore::TimeInForce::Gtc);
                self.ids[key as usize] = Some(id);
            }
            Operation::Cancel { key } => {
                if let Some(order_id) = self.ids[key as usize].take() {
                    black_box(self.execute(matchcore::CommandKind::Cancel(matchcore::CancelCmd {
                        order_id,
                        order_kind: matchcore::OrderKind::Limit,
                    })));
                }
            }
            Operation::Cross { buys, price, size, .. } => {
                self.submit(buys, price, size, matchcore::TimeInForce::Ioc);
            }
        }
    }

    fn resting(&self) -> usize {
        self.book.limit().orders().len()
    }
}

struct OrderbookRs {
    book: orderbook_rs::OrderBook,
}

impl OrderbookRs {
    fn submit(&mut self, key: u32, buys: bool, price: u32, size: u32, force: orderbook_rs::TimeInForce) {
        let side = if buys { orderbook_rs::Side::Buy } else { orderbook_rs::Side::Sell };
        let (price, size) = (u128::from(price), u64::from(size));
        let _ = black_box(self.book.add_limit_order(Self::id(key), price, size, side, force, None));
    }

    fn id(key: u32) -> orderbook_rs::Id {
        orderbook_rs::Id::from_u64(u64::from(key))
    }
}

impl Book for OrderbookRs {
    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Add { key, buys, price, size } => {
                self.submit(key, buys, price, size, orderbook_rs::TimeInForce::Gtc);
            }
            Operation::Cancel { key } => {
                let _ = black_box(self.book.cancel_order(Self::id(key)));
            }
            Operation::Cross { key, buys, price, size } => {
                self.submit(key, buys, price, size, orderbook_rs::TimeInForce::Ioc);
            }
        }
    }

    fn resting(&self) -> usize {
        self.book.get_all_orders().len()
    }
}

/// Operations per second, and the latency histogram of a second pass; with the number of resting orders at the end.
fn time<B: Book>(make: impl Fn() -> B, operations: &[Operation]) -> (f64, Histogram<u64>, usize) {
    let mut best = f64::MAX;
    let mut resting = 0;
    for _ in 0..3 {
        let mut book = make();
        let clock = Instant::now();
        for operation in operations {
            book.apply(black_box(operation));
        }
        best = best.min(clock.elapsed().as_secs_f64());
        resting = book.resting();
    }
    let mut book = make();
    let mut histogram = Histogram::new(3).expect("3 digits");
    for operation in operations {
        let clock = Instant::now();
        book.apply(black_box(operation));
        histogram.saturating_record(clock.elapsed().as_nanos() as u64);
    }
    (operations.len() as f64 / best, histogram, resting)
}

pub fn run(count: usize) {
    let operations = operations(count);
    let matchcore = || Matchcore { book: matchcore::OrderBook::new("TEST"), next: 0, ids: vec![None; count] };
    let orderbook = || OrderbookRs { book: orderbook_rs::OrderBook::new("TEST") };
    println!(
        "bare books, {count} operations (50 % add, 40 % cancel, 10 % crossing), seed {}, best of 3, one thread:",
        crate::synthetic::SEED
    );
    let results = [
        ("holdfast", time(|| Ours::new(count), &operations)),
        ("matchcore 0.4", time(matchcore, &operations)),
        ("orderbook-rs 0.15", time(orderbook, &operations)),
    ];
    let ours = results[0].1.0;
    for (name, (rate, histogram, resting)) in &results {
        println!(
            "  {name:18} {:7.2} M/s   holdfast/it {:6.2}   p50 {} ns, p99 {} ns, p99.9 {} ns   {resting} resting",
            rate / 1e6,
            ours / rate,
            histogram.value_at_quantile(0.5),
            histogram.value_at_quantile(0.99),
            histogram.value_at_quantile(0.999),
        );
    }
}
