//! Golden vectors: the verifying key, and the encodings of state and instructions, never change unnoticed.
//!
//! `vectors/` holds one fact a line. After a reviewed change,
//! `HOLDFAST_BLESS=1 cargo test -p holdfast-circuit --test vectors verifying_key` writes `key.txt` anew, and `… state` writes `state.txt`: a change of
//! the circuits must not touch the latter.

mod common;

use common::{
    attacks::{
        ALICE, BOB, DAVE, FIRST, OPERATOR, ORACLE, START, Stage, amend, buy, by_second, cancel, cancel_all, deposit,
        genesis, mark, open, register, release, revoke, sell, time, withdraw,
    },
    carry_out,
};
use holdfast_circuit::{air::Table, verify::verifying_key};
use holdfast_crypto::{F, field::digest_to_hex};
use holdfast_exchange::{
    Engine, Plain,
    slots::{Account, Deployment, Kind, Market, NOBODY, Order, Owner, Position, Session, Slot, System, cells},
};
use holdfast_protocol::{
    Instruction, TimeMs,
    cells::{batch_digest, blocks},
    limits,
    publication::{self, Progress},
};
use openvm_stark_backend::soundness::SoundnessCalculator;

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

/// The calculation is the backend's, on the key itself: round by round, without conjectures, under unique decoding.
#[test]
fn a_segment_has_100_bits_of_proven_security() {
    let bits = SoundnessCalculator::calculate_from_vk(&verifying_key()).total_bits;
    assert!(bits >= 100.0, "expected 100 bits of proven security, got {bits}");
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
    for instruction in instructions() {
        let blocks = blocks(&instruction);
        let further = blocks.further().iter().map(|block| format!(" | {}", list(block)));
        let further: String = further.collect();
        lines.push(format!("instruction {}: {}{further}", instruction.command.kind(), list(&blocks.first)));
    }

    let mut engine = Engine::new(&genesis()).expect("the genesis is valid");
    lines.push(format!("root genesis {}", digest_to_hex(&engine.root())));
    for (number, instructions) in (1..).zip([Stage::instructions(), instructions(), Vec::new()]) {
        let batch = carry_out(&mut engine, number, &instructions);
        lines.push(format!("digest {number} {}", digest_to_hex(&batch_digest(&batch))));
        let words = publication::words(&batch);
        lines.push(format!("published {number} {} in {} words", publication::commitment(&words), words.len()));
        let end = Progress::end_in_calldata(&batch);
        lines.push(format!("point {number} {:#066x}, value {:#066x}", end.z, end.value));
        let time = TimeMs::new(engine.system().time).expect("a time");
        lines.push(format!("shown {number} {}", digest_to_hex(&end.digest(time))));
        let read = publication::read_words(&words).expect("they are a batch's");
        assert_eq!(read, (batch.instructions.clone(), batch.outcomes.clone()));
        lines.push(format!("root {number} {}", digest_to_hex(&engine.close_batch())));
    }
    check("state.txt", &lines);
}

/// One of every kind, on the stage.
fn instructions() -> Vec<Instruction> {
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
        by_second(open(OPERATOR, DAVE)),
        register(BOB, 1, true, 41),
        revoke(ALICE, 0),
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
        registrar: limits::BRIDGE,
        unsealed: 1 << 22,
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
    let fields = |first: u32, value: u32| F::new(first + value);
    let owner = Owner { open: true, address: std::array::from_fn(|i| fields((1 << 28) - 18, i as u32)) };
    let session = Session {
        live: true,
        public_key: std::array::from_fn(|i| fields(0x7800_0000 - 40, i as u32)),
        withdraws: true,
        expiry: (1 << limits::TIME_BITS) - 19,
        unsealed: true,
        generation: limits::GENERATIONS_MAX - 1,
        sequence: limits::SEQUENCE_MAX - 20,
        head: std::array::from_fn(|i| fields(0x7800_0000 - 60, i as u32)),
    };
    let deployment = Deployment { domain: std::array::from_fn(|i| fields(0x7800_0000 - 80, i as u32)) };
    vec![
        slot(0, 0, system),
        slot((1 << limits::MARKET_BITS) - 1, 0, market),
        slot(account, 0, debtor),
        slot(account, 15, position),
        slot(order, 0, resting),
        slot(account, limits::KEYS_MAX as u32 - 1, session),
        slot(account, 0, owner),
        slot(0, 0, deployment),
    ]
}

fn list(cells: &[u32]) -> String {
    cells.iter().map(u32::to_string).collect::<Vec<String>>().join(" ")
}
