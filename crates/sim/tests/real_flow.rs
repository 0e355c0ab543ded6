//! The exchange against the model on real order flow: the bundled sample, and any files that `HOLDFAST_FLOW` names (separated by colons).

mod pair;

use std::path::{Path, PathBuf};

use holdfast_cli::flow::{Feedback, Flow, KEY_SEED_DEFAULT, Mapper, Wallets, default_genesis};
use holdfast_protocol::{Command, Instruction, MarketId};
use pair::Pair;

const ACCOUNTS: u32 = 50;

fn agree(input: &Path) {
    let name = input.display();
    let flow = Flow::open(input).unwrap_or_else(|error| panic!("{name}: {error}"));
    let wallets = Wallets::new(KEY_SEED_DEFAULT, ACCOUNTS);
    let genesis = default_genesis(&flow.instrument(), flow.first_price(), &wallets);
    let market = MarketId::new(0).expect("a market");
    let mut mapper = Mapper::new(&genesis, market, ACCOUNTS).expect("as many accounts");
    let mut pair = Pair::of_genesis(&genesis, ACCOUNTS + 3);
    let mut commands = Vec::new();
    let mut count = 0u64;
    let mut run = |commands: &mut Vec<Command>, mapper: &mut Mapper| {
        for command in commands.drain(..) {
            pair.apply(&Instruction { key: Wallets::KEY, command })
                .unwrap_or_else(|difference| panic!("{name}, command {count}, {command:?}: {difference}"));
            count += 1;
            let outcome = pair.last_outcome();
            mapper.observe(&command, outcome, &holdfast_cli::order_events(pair.exchange.engine.events()));
        }
    };
    mapper.start(&wallets, &mut commands);
    run(&mut commands, &mut mapper);
    for event in flow {
        mapper.map(&event.unwrap_or_else(|error| panic!("{name}: {error}")), &mut commands);
        run(&mut commands, &mut mapper);
    }
    pair.compare_all().unwrap_or_else(|difference| panic!("{name}, at the end: {difference}"));
    assert!(count > 1_000, "{name}: {count} commands");
    println!("{name}: {count} commands agree");
}

#[test]
fn the_sample_agrees() {
    agree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz"));
}

#[test]
fn the_named_files_agree() {
    let files = std::env::var_os("HOLDFAST_FLOW").unwrap_or_default();
    let files: Vec<PathBuf> = std::env::split_paths(&files).filter(|path| !path.as_os_str().is_empty()).collect();
    for file in files {
        agree(&file);
    }
}
