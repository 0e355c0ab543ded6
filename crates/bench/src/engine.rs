//! Full rules on one core: commands per second, latency, and state roots.

use std::{path::Path, time::Instant};

use hdrhistogram::Histogram;
use holdfast_cli::flow::{
    FIRST_TRADER, Feedback, Flow, Instrument, KEY_SEED_DEFAULT, Mapper, Wallets, default_genesis,
};
use holdfast_exchange::{Chained, Engine, Event};
use holdfast_protocol::{
    AccountId, Amount, Cancel, Command, Genesis, Instruction, MarketId, OrderId, Outcome, Place, Price, SelfTrade,
    Side, Size, TimeInForce,
};

use crate::synthetic::{Operation, operations};

/// Instructions of a flow, with the genesis that they belong to.
pub struct Recorded {
    pub genesis: Genesis,
    pub instructions: Vec<Instruction>,
    /// How many of them only prepare.
    pub start: usize,
    pub name: String,
}

/// Instructions of real flow, recorded through an engine. Who signs, does so when it is measured.
pub fn record_flow(input: Option<&Path>, accounts: u32) -> Recorded {
    let sample: &[u8] = include_bytes!("../../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
    let (flow, name) = match input {
        Some(path) => {
            (Flow::open(path), path.file_name().map_or("input".into(), |name| name.to_string_lossy().into_owned()))
        }
        None => (Flow::from_bytes(sample), "bundled sample".into()),
    };
    let flow = flow.expect("the input can be read");
    let instrument: Instrument = flow.instrument();
    let wallets = Wallets::new(KEY_SEED_DEFAULT, accounts);
    let genesis = default_genesis(&instrument, flow.first_price(), &wallets);
    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let market = MarketId::new(0).expect("in range");
    let mut mapper = Mapper::new(&genesis, market, accounts).expect("as many accounts");
    let mut instructions = Vec::new();
    let mut fresh = Vec::new();
    mapper.start(&wallets, &mut fresh);
    let mut run = |fresh: &mut Vec<Command>, mapper: &mut Mapper| {
        for command in fresh.drain(..) {
            let instruction = Instruction { key: Wallets::KEY, command };
            let outcome = engine.instruct(&instruction).expect("every account has its key");
            mapper.observe(&command, outcome, &holdfast_cli::order_events(engine.events()));
            instructions.push(instruction);
        }
    };
    run(&mut fresh, &mut mapper);
    for event in flow {
        mapper.map(&event.expect("the input is sound"), &mut fresh);
        run(&mut fresh, &mut mapper);
    }
    Recorded { genesis, instructions, start: 3 * accounts as usize, name }
}

/// The synthetic mix, for `accounts` accounts of one market.
fn synthetic_flow(count: usize, accounts: u32) -> Recorded {
    let instrument = Instrument { symbol: "SYNTHETIC".into(), tick_decimals: 2, lot_decimals: 4 };
    let wallets = Wallets::new(KEY_SEED_DEFAULT, accounts);
    let genesis = default_genesis(&instrument, Price::new(100_000).expect("in range"), &wallets);
    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let market = MarketId::new(0).expect("in range");
    let account = |key: u32| AccountId::new(FIRST_TRADER.get() + key % accounts).expect("in range");
    let mut commands = Vec::new();
    let mut mapper = Mapper::new(&genesis, market, accounts).expect("as many accounts");
    mapper.start(&wallets, &mut commands);
    let mut instructions: Vec<Instruction> = Vec::with_capacity(commands.len() + count);
    let mut instruct = |engine: &mut Engine, command: Command| {
        let instruction = Instruction { key: Wallets::KEY, command };
        instructions.push(instruction);
        engine.instruct(&instruction).expect("every account has its key")
    };
    // Deposits that no order of the mix can exhaust.
    for mut command in commands {
        if let Command::Deposit(deposit) = &mut command {
            deposit.amount = Amount::new(1 << 60).expect("in range");
        }
        assert_eq!(instruct(&mut engine, command), Outcome::Accepted);
    }
    let start = 3 * accounts as usize;
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
        instruct(&mut engine, command);
        for event in engine.events() {
            if let Event::Rested { slot, generation, .. } = event {
                resting[key as usize] = OrderId::new(*slot, *generation as u8).ok();
            }
        }
    }
    Recorded { genesis, instructions, start, name: String::new() }
}

/// The instructions chained to their sessions, as the stage before the engine hands them on; and the seconds it took.
fn chained(recorded: &Recorded) -> (Vec<Chained>, f64) {
    let mut engine = Engine::new(&recorded.genesis).expect("a valid genesis");
    let mut seconds = 0.0;
    let chained = recorded.instructions.iter().map(|instruction| {
        let clock = Instant::now();
        let chained = Chained::new(engine.store(), instruction).expect("every account has its key");
        seconds += clock.elapsed().as_secs_f64();
        engine.apply(&chained);
        chained
    });
    (chained.collect(), seconds)
}

/// Times the instructions after those that prepare, in one go and then one by one.
fn time(name: &str, recorded: &Recorded) {
    let (chained, chaining) = chained(recorded);
    let (prepare, timed) = chained.split_at(recorded.start);
    let fresh = || {
        let mut engine = Engine::new(&recorded.genesis).expect("a valid genesis");
        for chained in prepare {
            engine.apply(chained);
        }
        engine
    };
    let mut best = f64::MAX;
    let (mut accepted, mut fills) = (0u64, 0u64);
    for _ in 0..3 {
        let mut engine = fresh();
        (accepted, fills) = (0, 0);
        let clock = Instant::now();
        for chained in timed {
            accepted += u64::from(engine.apply(chained) == Outcome::Accepted);
            fills += engine.events().iter().filter(|event| matches!(event, Event::Filled { .. })).count() as u64;
        }
        best = best.min(clock.elapsed().as_secs_f64());
    }
    let count = timed.len();
    println!(
        "engine, {name}: {count} commands, {accepted} accepted, {fills} fills: {:.2} M commands/s (best of 3, one core, no I/O, sessions chained before)",
        count as f64 / best / 1e6
    );
    println!(
        "  chaining to sessions (one hash each), before the engine: {:.0} ns a command",
        1e9 * chaining / chained.len() as f64
    );
    let mut engine = fresh();
    let mut histogram = Histogram::<u64>::new(3).expect("3 digits");
    for chained in timed {
        let clock = Instant::now();
        engine.apply(chained);
        histogram.saturating_record(clock.elapsed().as_nanos() as u64);
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
    let seed = crate::synthetic::SEED;
    time(
        &format!("synthetic mix (50 % place, 40 % cancel, 10 % crossing; {accounts} accounts, seed {seed})"),
        &synthetic_flow(count, accounts),
    );
    let recorded = record_flow(binance, accounts);
    time(&format!("{}, {accounts} accounts", recorded.name), &recorded);
}

/// Touched slots per second of the incremental root, by batch size.
pub fn roots() {
    let accounts = 1_000;
    let recorded = synthetic_flow(400_000, accounts);
    let (chained, _) = chained(&recorded);
    for batch in [1usize << 10, 1 << 14, 1 << 17] {
        let mut engine = Engine::new(&recorded.genesis).expect("a valid genesis");
        let (mut slots, mut leaves, mut seconds) = (0, 0, 0.0);
        for chunk in chained.chunks(batch) {
            for chained in chunk {
                engine.apply(chained);
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
