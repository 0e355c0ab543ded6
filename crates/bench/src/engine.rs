//! Full rules on one core: commands per second, latency, and state roots.

use std::{path::Path, time::Instant};

use hdrhistogram::Histogram;
use holdfast_cli::flow::{Feedback, Flow, Instrument, Mapper, default_genesis};
use holdfast_exchange::{Engine, Event};
use holdfast_protocol::{
    AccountId, Amount, Cancel, Command, Deposit, Genesis, MarketId, OrderId, Outcome, Place, Price, SelfTrade, Side,
    Size, TimeInForce,
};

use crate::synthetic::{Operation, operations};

/// Commands of real flow, recorded through an engine, with the genesis that they belong to.
pub fn record_flow(input: Option<&Path>, accounts: u32) -> (Genesis, Vec<Command>, String) {
    let sample: &[u8] = include_bytes!("../../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
    let (flow, name) = match input {
        Some(path) => {
            (Flow::open(path), path.file_name().map_or("input".into(), |name| name.to_string_lossy().into_owned()))
        }
        None => (Flow::from_bytes(sample), "bundled sample".into()),
    };
    let flow = flow.expect("the input can be read");
    let instrument: Instrument = flow.instrument();
    let genesis = default_genesis(&instrument, flow.first_price());
    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let market = MarketId::new(0).expect("in range");
    let mut mapper = Mapper::new(&genesis, market, accounts).expect("as many accounts");
    let mut commands = Vec::new();
    let mut fresh = Vec::new();
    mapper.start(&mut fresh);
    let mut run = |fresh: &mut Vec<Command>, mapper: &mut Mapper| {
        for command in fresh.drain(..) {
            let outcome = engine.apply(&command);
            mapper.observe(&command, outcome, &holdfast_cli::order_events(engine.events()));
            commands.push(command);
        }
    };
    run(&mut fresh, &mut mapper);
    for event in flow {
        mapper.map(&event.expect("the input is sound"), &mut fresh);
        run(&mut fresh, &mut mapper);
    }
    (genesis, commands, name)
}

/// Commands of the synthetic mix, for `accounts` accounts of one market.
fn synthetic_commands(count: usize, accounts: u32) -> (Genesis, Vec<Command>, usize) {
    let instrument = Instrument { symbol: "SYNTHETIC".into(), tick_decimals: 2, lot_decimals: 4 };
    let genesis = default_genesis(&instrument, Price::new(100_000).expect("in range"));
    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let market = MarketId::new(0).expect("in range");
    let account = |key: u32| AccountId::new(3 + key % accounts).expect("in range");
    let mut commands: Vec<Command> = (0..accounts)
        .map(|key| Command::Deposit(Deposit { account: account(key), amount: Amount::new(1 << 60).expect("in range") }))
        .collect();
    for command in &commands {
        assert_eq!(engine.apply(command), Outcome::Accepted);
    }
    let start = commands.len();
    let mut resting: Vec<Option<OrderId>> = vec![None; count];
    for operation in operations(count) {
        let place = |key: u32, buys: bool, price: u32, size: u32, time_in_force| {
            Command::Place(Place {
                account: account(key),
                market,
                side: if buys { Side::Buy } else { Side::Sell },
                time_in_force,
                reduce_only: false,
                self_trade: SelfTrade::ExpireMaker,
                price: Price::new(price).expect("in range"),
                size: Size::new(u64::from(size)).expect("in range"),
            })
        };
        let (key, command) = match operation {
            Operation::Add { key, buys, price, size } => {
                (key, place(key, buys, price, size, TimeInForce::GoodTillCancel))
            }
            Operation::Cross { key, buys, price, size } => {
                (key, place(key, buys, price, size, TimeInForce::ImmediateOrCancel))
            }
            Operation::Cancel { key } => match resting[key as usize].take() {
                Some(order) => (key, Command::Cancel(Cancel { account: account(key), order })),
                None => continue,
            },
        };
        engine.apply(&command);
        for event in engine.events() {
            if let Event::Rested { slot, generation, .. } = event {
                resting[key as usize] = OrderId::new(*slot, *generation as u8).ok();
            }
        }
        commands.push(command);
    }
    (genesis, commands, start)
}

/// Times `commands` after the first `start`, in one go and then one by one.
fn time(name: &str, genesis: &Genesis, commands: &[Command], start: usize) {
    let mut best = f64::MAX;
    let (mut accepted, mut fills) = (0u64, 0u64);
    for _ in 0..3 {
        let mut engine = Engine::new(genesis).expect("a valid genesis");
        for command in &commands[..start] {
            engine.apply(command);
        }
        (accepted, fills) = (0, 0);
        let clock = Instant::now();
        for command in &commands[start..] {
            accepted += u64::from(engine.apply(command) == Outcome::Accepted);
            fills += engine.events().iter().filter(|event| matches!(event, Event::Filled { .. })).count() as u64;
        }
        best = best.min(clock.elapsed().as_secs_f64());
    }
    let count = commands.len() - start;
    println!(
        "engine, {name}: {count} commands, {accepted} accepted, {fills} fills: {:.2} M commands/s (best of 3, one core, no I/O, no hashing)",
        count as f64 / best / 1e6
    );
    let mut engine = Engine::new(genesis).expect("a valid genesis");
    let mut histogram = Histogram::<u64>::new(3).expect("3 digits");
    for (at, command) in commands.iter().enumerate() {
        let clock = Instant::now();
        engine.apply(command);
        let nanoseconds = clock.elapsed().as_nanos() as u64;
        if at >= start {
            histogram.saturating_record(nanoseconds);
        }
    }
    println!(
        "  latency, clock included: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns",
        histogram.value_at_quantile(0.5),
        histogram.value_at_quantile(0.99),
        histogram.value_at_quantile(0.999),
        histogram.max()
    );
}

pub fn run(binance: Option<&Path>, count: usize) {
    let accounts = 1_000;
    let (genesis, commands, start) = synthetic_commands(count, accounts);
    time(
        &format!(
            "synthetic mix (50 % place, 40 % cancel, 10 % crossing; {accounts} accounts, seed {})",
            crate::synthetic::SEED
        ),
        &genesis,
        &commands,
        start,
    );
    let (genesis, commands, name) = record_flow(binance, accounts);
    time(&format!("{name}, {accounts} accounts"), &genesis, &commands, 0);
}

/// Touched slots per second of the incremental root, by batch size.
pub fn roots() {
    let accounts = 1_000;
    let (genesis, commands, _) = synthetic_commands(400_000, accounts);
    for batch in [1usize << 10, 1 << 14, 1 << 17] {
        let mut engine = Engine::new(&genesis).expect("a valid genesis");
        let (mut slots, mut leaves, mut seconds) = (0, 0, 0.0);
        for chunk in commands.chunks(batch) {
            for command in chunk {
                engine.apply(command);
            }
            slots += engine.store().touched_count();
            let clock = Instant::now();
            let touched = engine.touched_leaves();
            leaves += touched.len();
            let root = engine.update_tree(&touched);
            seconds += clock.elapsed().as_secs_f64();
            let _root = std::hint::black_box(root);
        }
        println!(
            "root, batches of {batch} synthetic commands: {slots} touched slots ({leaves} raw leaves): {:.0} k slots/s (threads: {})",
            slots as f64 / seconds / 1e3,
            std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all cores; set RAYON_NUM_THREADS=1 for one".into()),
        );
    }
}
