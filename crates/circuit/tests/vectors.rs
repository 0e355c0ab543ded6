//! Golden vectors: the verifying key, and the encodings of state and commands, never change unnoticed.
//!
//! `vectors/` holds one fact a line. After a reviewed change,
//! `HOLDFAST_BLESS=1 cargo test -p holdfast-circuit --test vectors verifying_key` writes `key.txt` anew, and `… state` writes `state.txt`: a change of
//! the circuits must not touch the latter.

mod common;

use common::attacks::{
    ALICE, BOB, FIRST, OPERATOR, ORACLE, START, Stage, amend, buy, cancel, cancel_all, deposit, genesis, mark, release,
    sell, time, withdraw,
};
use holdfast_circuit::{
    air::Table,
    published::{batch_digest, command_cells},
    verify::verifying_key,
};
use holdfast_crypto::field::digest_to_hex;
use holdfast_exchange::{
    Engine, Plain,
    slots::{Account, Kind, Market, NOBODY, Order, Position, Slot, System, cells},
};
use holdfast_protocol::{Batch, BatchHeader, limits};

#[track_caller]
fn check(file: &str, lines: &[String]) {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        return std::fs::write(path, lines.join("\n") + "\n").expect("the vector file can be written");
    }
    let expected = std::fs::read_to_string(path).expect("the vector file is part of the source");
    for (expected, got) in expected.lines().zip(lines) {
        assert_eq!(expected, got, "{file}");
    }
    assert_eq!(expected.lines().count(), lines.len(), "lines of {file}");
}

/// The digest, and by table what it stands for: columns, constraints, messages, degree.
#[test]
fn the_verifying_key_is_unchanged() {
    let key = verifying_key();
    let mut lines = vec![format!("key {}", digest_to_hex(&key.pre_hash))];
    for (table, air) in Table::all().zip(&key.inner.per_air) {
        let constraints = &air.symbolic_constraints;
        lines.push(format!(
            "table {} {} {} {} {}",
            table.name(),
            air.params.width.common_main,
            constraints.constraints.num_constraints(),
            constraints.interactions.len(),
            air.max_constraint_degree
        ));
    }
    check("key.txt", &lines);
}

#[test]
fn the_state_encoding_is_unchanged() {
    let mut lines = Vec::new();
    for (kind, [outer, inner], cells) in slots() {
        lines.push(format!(
            "slot {} {outer} {inner} at {}: {}",
            kind.name(),
            kind.region().leaf(outer, inner),
            list(&cells)
        ));
    }
    for command in commands() {
        lines.push(format!("command {}: {}", command.kind(), list(&command_cells(&command))));
    }

    let mut engine = Engine::new(&genesis()).expect("the genesis is valid");
    lines.push(format!("root genesis {}", digest_to_hex(&engine.root())));
    for (number, commands) in (1..).zip([Stage::commands(), commands(), Vec::new()]) {
        let outcomes = commands.iter().map(|command| engine.apply(command)).collect();
        let batch = Batch { header: BatchHeader { number }, commands, outcomes };
        lines.push(format!("digest {number} {}", digest_to_hex(&batch_digest(&batch))));
        lines.push(format!("root {number} {}", digest_to_hex(&engine.close_batch())));
    }
    check("state.txt", &lines);
}

/// One of every kind, on the stage.
fn commands() -> Vec<holdfast_protocol::Command> {
    vec![
        deposit(ALICE, (1 << 80) - 1),
        withdraw(ALICE, 1 << 60),
        buy(BOB, 10_015, 130),
        sell(BOB, u32::MAX, (1 << 40) - 1),
        cancel(ALICE, FIRST),
        cancel_all(ALICE, 0),
        amend(BOB, FIRST + 2, 9_995, 120),
        mark(ORACLE, 0, 10_500),
        time(OPERATOR, START + 86_400_000),
        release(BOB, 1),
    ]
}

/// A slot of every kind with fields that differ from each other, at the last place of its region.
fn slots() -> Vec<(Kind, [u32; 2], Vec<u32>)> {
    fn slot<S: Slot<Plain>>(outer: u32, inner: u32, slot: S) -> (Kind, [u32; 2], Vec<u32>) {
        (S::KIND, [outer, inner], cells(&slot))
    }
    let account = (1 << limits::ACCOUNT_BITS) - 1;
    let order = (1 << limits::ORDER_BITS) - 1;
    let system = System {
        time: (1 << limits::TIME_BITS) - 2,
        oracle: 1,
        operator: 2,
        fee_account: account,
        free_head: order,
        fresh: 1 << limits::ORDER_BITS,
        deposits: limits::DEPOSITS_MAX,
        batches: 3,
    };
    let market = Market {
        exists: true,
        mark: u64::from(u32::MAX) - 4,
        initial_margin_ppm: 50_000,
        maintenance_margin_ppm: 30_000,
        maker_fee_ppm: 100,
        taker_fee_ppm: 350,
        mark_move_ppm: 999_999,
        position_max: limits::POSITION_MAX - 5,
        open_orders_max: 65_535,
        tick_decimals: 6,
        lot_decimals: 7,
    };
    let debtor = Account {
        collateral: -(1 << 100) - 8,
        entries: 16,
        directory: std::array::from_fn(|entry| 241 + entry as u32),
    };
    let position = Position {
        market: 256,
        size: -(1 << 40) + 9,
        quote: (1 << 111) + 10,
        bids: (1 << 41) - 11,
        asks: (1 << 41) - 12,
        open_orders: 13,
    };
    let resting = Order {
        live: true,
        buys: true,
        market: 255,
        account: NOBODY,
        entry: 15,
        generation: 254,
        reduce_only: true,
        price: u64::from(u32::MAX) - 14,
        size: (1 << 40) - 15,
        prev: order - 16,
        next: order - 17,
    };
    vec![
        slot(0, 0, system),
        slot((1 << limits::MARKET_BITS) - 1, 0, market),
        slot(account, 0, debtor),
        slot(account, 15, position),
        slot(order, 0, resting),
    ]
}

fn list(cells: &[u32]) -> String {
    cells.iter().map(u32::to_string).collect::<Vec<String>>().join(" ")
}
