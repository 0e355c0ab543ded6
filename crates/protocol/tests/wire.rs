//! The wire encoding is a bijection between batches and the byte strings that decode; it is frozen by `vectors/`.

mod common;

use holdfast_protocol::{
    AccountId, Amend, Amount, Batch, BatchHeader, Cancel, CancelAll, Command, Deposit, Mark, MarketId, OrderId,
    Outcome, Place, Price, Reject, Release, SelfTrade, Side, Size, Time, TimeInForce, TimeMs, Withdraw,
    batch::{BATCH_NUMBER_MAX, COMMANDS_MAX, MAGIC},
    wire::{COMMAND_BYTES_MAX, COMMAND_BYTES_MIN, DecodeError, Reader, decode_command, encode_command},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn encode(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    encode_command(command, &mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<Command, DecodeError> {
    let mut reader = Reader::new(bytes);
    let command = decode_command(&mut reader)?;
    reader.finish()?;
    Ok(command)
}

proptest! {
    #[test]
    fn command_round_trips(command in common::command()) {
        let bytes = encode(&command);
        prop_assert!((COMMAND_BYTES_MIN..=COMMAND_BYTES_MAX).contains(&bytes.len()));
        prop_assert_eq!(decode(&bytes), Ok(command));
    }

    #[test]
    fn command_round_trips_through_json(command in common::command()) {
        let text = serde_json::to_string(&command).unwrap();
        prop_assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }

    #[test]
    fn batch_round_trips(batch in common::batch()) {
        prop_assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    }

    #[test]
    fn every_truncation_of_a_batch_is_rejected(batch in common::batch()) {
        let bytes = batch.encode();
        for length in 0..bytes.len() {
            let truncated = matches!(Batch::decode(&bytes[..length]), Err(DecodeError::Truncated { .. }));
            prop_assert!(truncated, "length {}", length);
        }
    }

    #[test]
    fn trailing_byte_is_rejected(batch in common::batch(), byte: u8) {
        let mut bytes = batch.encode();
        bytes.push(byte);
        let error = DecodeError::Trailing { offset: bytes.len() - 1, got: 1 };
        prop_assert_eq!(Batch::decode(&bytes), Err(error));
    }

    #[test]
    fn any_bytes_decode_canonically_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::new(&bytes);
        if let Ok(command) = decode_command(&mut reader) {
            prop_assert_eq!(&encode(&command)[..], &bytes[..reader.offset()]);
        }
        let batch: Vec<u8> = MAGIC.iter().chain(&bytes).copied().collect();
        if let Ok(decoded) = Batch::decode(&batch) {
            prop_assert_eq!(decoded.encode(), batch);
        }
    }
}

/// A splitmix64 generator: the seed is the test's, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Most mutants keep the magic and lie near the encoding, where a lax decoder would take a second form for the same
/// batch.
#[test]
fn mutated_batches_decode_canonically_or_not_at_all() {
    let seed = 1;
    let mut random = Random(seed);
    let original = sample_batch().encode();
    let mut decoded = 0;
    for round in 0..200_000 {
        let mut bytes = original.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes[at] |= 0x80,
                3 => bytes.insert(at, [0x00, 0x80, 0x01, 0xff][random.below(4)]),
                4 => drop(bytes.remove(at)),
                _ => {
                    let next = (at + 1) % bytes.len();
                    bytes.swap(at, next);
                }
            }
        }
        if let Ok(batch) = Batch::decode(&bytes) {
            assert_eq!(batch.encode(), bytes, "seed {seed}, round {round}");
            decoded += 1;
        }
    }
    assert!(decoded > 1_000, "only {decoded} mutants decoded: the mutations are too coarse to test anything");
}

fn account(raw: u32) -> AccountId {
    AccountId::new(raw).unwrap()
}

fn place(account_raw: u32, price: u32, size: u64) -> Place {
    Place {
        account: account(account_raw),
        market: MarketId::new(0).unwrap(),
        side: Side::Buy,
        time_in_force: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: Price::new(price).unwrap(),
        size: Size::new(size).unwrap(),
    }
}

/// Every kind, every flag, and both ends of every field.
fn sample_commands() -> Vec<(&'static str, Command)> {
    let amount = |raw| Amount::new(raw).unwrap();
    let market = |raw| MarketId::new(raw).unwrap();
    let order = |slot, generation| OrderId::new(slot, generation).unwrap();
    let price = |raw| Price::new(raw).unwrap();
    let size = |raw| Size::new(raw).unwrap();
    let time = |raw| TimeMs::new(raw).unwrap();
    let (account_last, market_last) = (account((1 << 20) - 1), market(255));
    let typical = place(17, 6_180_030, 199);
    vec![
        ("deposit, smallest", Command::Deposit(Deposit { account: account(0), amount: amount(0) })),
        ("deposit", Command::Deposit(Deposit { account: account(3), amount: amount(1_000_000_000_000) })),
        ("deposit, largest", Command::Deposit(Deposit { account: account_last, amount: amount((1 << 80) - 1) })),
        ("withdraw", Command::Withdraw(Withdraw { account: account(300), amount: amount(127) })),
        ("withdraw, two bytes", Command::Withdraw(Withdraw { account: account(300), amount: amount(128) })),
        ("place, bid", Command::Place(typical)),
        ("place, ask", Command::Place(Place { side: Side::Sell, ..typical })),
        (
            "place, immediate or cancel",
            Command::Place(Place { time_in_force: TimeInForce::ImmediateOrCancel, ..typical }),
        ),
        ("place, fill or kill", Command::Place(Place { time_in_force: TimeInForce::FillOrKill, ..typical })),
        ("place, post-only", Command::Place(Place { time_in_force: TimeInForce::PostOnly, ..typical })),
        ("place, reduce-only", Command::Place(Place { reduce_only: true, ..typical })),
        ("place, expire maker", Command::Place(Place { self_trade: SelfTrade::ExpireMaker, ..typical })),
        ("place, expire both", Command::Place(Place { self_trade: SelfTrade::ExpireBoth, ..typical })),
        (
            "place, largest",
            Command::Place(Place {
                account: account_last,
                market: market_last,
                side: Side::Sell,
                time_in_force: TimeInForce::PostOnly,
                reduce_only: true,
                self_trade: SelfTrade::ExpireBoth,
                price: price(u32::MAX),
                size: size((1 << 40) - 1),
            }),
        ),
        ("cancel", Command::Cancel(Cancel { account: account(17), order: order(512, 1) })),
        ("cancel, largest", Command::Cancel(Cancel { account: account_last, order: order((1 << 24) - 1, 255) })),
        ("cancel all", Command::CancelAll(CancelAll { account: account(17), market: market(1) })),
        (
            "amend",
            Command::Amend(Amend {
                account: account(17),
                order: order(513, 255),
                self_trade: SelfTrade::ExpireTaker,
                price: price(6_180_020),
                size: size(1),
            }),
        ),
        (
            "amend, largest",
            Command::Amend(Amend {
                account: account_last,
                order: order((1 << 24) - 1, 0),
                self_trade: SelfTrade::ExpireBoth,
                price: price(u32::MAX),
                size: size((1 << 40) - 1),
            }),
        ),
        ("mark", Command::Mark(Mark { sender: account(0), market: market(0), price: price(6_180_025) })),
        ("time", Command::Time(Time { sender: account(1), time: time(1_723_161_255_088) })),
        ("time, largest", Command::Time(Time { sender: account(1), time: time((1 << 42) - 1) })),
        ("release", Command::Release(Release { account: account(17), market: market_last })),
    ]
}

fn sample_batch() -> Batch {
    let commands: Vec<Command> = sample_commands().into_iter().map(|(_, command)| command).collect();
    let mut outcomes = vec![Outcome::Accepted; commands.len()];
    outcomes[0] = Outcome::Rejected(Reject::AmountZero);
    outcomes[4] = Outcome::Rejected(Reject::InsufficientCollateral);
    outcomes[5] = Outcome::Rejected(Reject::InsufficientMargin);
    *outcomes.last_mut().unwrap() = Outcome::Rejected(Reject::PositionInUse);
    Batch { header: BatchHeader { number: 300 }, commands, outcomes }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    commands: Vec<CommandVector>,
    batches: Vec<BatchVector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandVector {
    name: String,
    command: Command,
    hex: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchVector {
    name: String,
    number: u32,
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
    hex: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vectors() -> Vectors {
    let commands = sample_commands()
        .into_iter()
        .map(|(name, command)| CommandVector { name: name.into(), command, hex: hex(&encode(&command)) })
        .collect();
    let empty = Batch { header: BatchHeader { number: 1 }, commands: vec![], outcomes: vec![] };
    let last = Batch { header: BatchHeader { number: BATCH_NUMBER_MAX }, ..empty.clone() };
    let batches = [("empty", empty), ("largest number", last), ("every kind of command", sample_batch())]
        .map(|(name, batch)| {
            let hex = hex(&batch.encode());
            let Batch { header: BatchHeader { number }, commands, outcomes } = batch;
            BatchVector { name: name.into(), number, commands, outcomes, hex }
        })
        .into();
    Vectors { commands, batches }
}

/// `HOLDFAST_BLESS=1` rewrites the vectors. They freeze a published format: every byte that changes breaks everyone who
/// reads it, so rewriting them is a reviewed decision that goes with a new version in the magic.
#[test]
fn encoding_equals_the_golden_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/wire.json");
    if std::env::var("HOLDFAST_BLESS").as_deref() == Ok("1") {
        std::fs::write(path, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let golden: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden, vectors());
}

fn batch_bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(MAGIC.to_vec(), |mut bytes, part| {
        bytes.extend_from_slice(part);
        bytes
    })
}

fn check(bytes: &[u8], expected: &str) {
    let error = Batch::decode(bytes).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn malformed_batches_name_where_expected_and_got() {
    let cancel_all: &[u8] = &[5, 17, 1];
    check(b"", "byte 0, magic and version: expected 4 more byte(s), got the end of the data");
    check(b"HFB", "byte 0, magic and version: expected 1 more byte(s), got the end of the data");
    check(b"HFB\x02", "byte 0: expected magic and version [48, 46, 42, 01], got [48, 46, 42, 02]");
    check(&batch_bytes(&[&[0, 0, 0]]), "byte 4, batch number: expected 1 to 268435455, got 0");
    check(
        &batch_bytes(&[&[0x80, 0x80, 0x80, 0x80]]),
        "byte 4, batch number: expected a number of at most 4 byte(s), got one that goes on",
    );
    check(
        &batch_bytes(&[&[0x81, 0x80, 0x00]]),
        "byte 4, batch number: expected a number of 1 byte(s), got it padded to 3",
    );
    check(&batch_bytes(&[&[1, 1, 0x0f]]), "byte 6, command kind: expected 1 to 9, got 15");
    check(&batch_bytes(&[&[1, 1, 0x00]]), "byte 6, command kind: expected 1 to 9, got 0");
    check(&batch_bytes(&[&[1, 1, 0x15]]), "byte 6, flags: expected 0 to 0, got 1");
    check(&batch_bytes(&[&[1, 1, 0x36]]), "byte 6, self-trade: expected 0 to 2, got 3");
    check(&batch_bytes(&[&[1, 1, 0x46]]), "byte 6, self-trade: expected 0 to 2, got 4");
    check(&batch_bytes(&[&[1, 1, 0x03, 0, 3]]), "byte 8, self-trade: expected 0 to 2, got 3");
    check(&batch_bytes(&[&[1, 1, 5, 0x80, 0x80, 0x40]]), "byte 7, account: expected 0 to 1048575, got 1048576");
    check(&batch_bytes(&[&[1, 1], cancel_all, &[2]]), "byte 9, number of rejects: expected 0 to 1, got 2");
    check(
        &batch_bytes(&[&[1, 1], cancel_all, &[1, 1, 1]]),
        "byte 10, accepted commands before a reject: expected 0 to 0, got 1",
    );
    check(&batch_bytes(&[&[1, 1], cancel_all, &[1, 0, 0]]), "byte 11, reject code: expected 1 to 23, got 0");
    check(&batch_bytes(&[&[1, 1], cancel_all, &[1, 0, 24]]), "byte 11, reject code: expected 1 to 23, got 24");
    check(&batch_bytes(&[&[1, 1], cancel_all, &[0, 9]]), "byte 10: expected the end of the data, got 1 more byte(s)");
}

#[test]
fn claimed_command_count_beyond_the_limit_is_rejected() {
    let over = COMMANDS_MAX as u32 + 1;
    let count = [over as u8 & 0x7f | 0x80, (over >> 7) as u8 & 0x7f | 0x80, (over >> 14) as u8];
    check(&batch_bytes(&[&[1], &count]), "byte 5, number of commands: expected 0 to 1048576, got 1048577");
}

#[test]
fn claimed_command_count_beyond_the_data_is_rejected() {
    // 2^20 commands, and no bytes for them.
    check(&batch_bytes(&[&[1, 0x80, 0x80, 0x40]]), "byte 8, head: expected 1 more byte(s), got the end of the data");
}

#[test]
fn largest_batch_round_trips() {
    let cancel_all = CancelAll { account: account(3), market: MarketId::new(0).unwrap() };
    let batch = Batch {
        header: BatchHeader { number: BATCH_NUMBER_MAX },
        commands: vec![Command::CancelAll(cancel_all); COMMANDS_MAX],
        outcomes: vec![Outcome::Rejected(Reject::UnknownMarket); COMMANDS_MAX],
    };
    assert!(Batch::decode(&batch.encode()) == Ok(batch));
}

#[test]
#[should_panic(expected = "one outcome per command")]
fn batch_without_an_outcome_per_command_panics() {
    let batch = Batch { header: BatchHeader { number: 1 }, commands: vec![], outcomes: vec![Outcome::Accepted] };
    batch.encode();
}

#[test]
fn longest_and_shortest_commands_meet_the_stated_lengths() {
    let lengths: Vec<usize> = sample_commands().iter().map(|(_, command)| encode(command).len()).collect();
    assert_eq!(lengths.iter().min(), Some(&COMMAND_BYTES_MIN));
    assert_eq!(lengths.iter().max(), Some(&COMMAND_BYTES_MAX));
}

#[test]
fn reject_codes_are_contiguous_from_one() {
    let codes: Vec<u8> = Reject::ALL.iter().map(|reject| reject.code()).collect();
    assert_eq!(codes, (1..=Reject::ALL.len() as u8).collect::<Vec<_>>());
    assert!(Reject::ALL.iter().all(|reject| Reject::from_code(reject.code()) == Some(*reject)));
}

#[test]
fn units_beyond_their_bounds_are_rejected_in_json() {
    let check = |text: &str, expected: &str| {
        let error = serde_json::from_str::<Command>(text).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(r#"{"command":"release","account":1048576,"market":0}"#, "account must be below 1048576, got 1048576");
    check(
        r#"{"command":"deposit","account":0,"amount":"1208925819614629174706176"}"#,
        "amount must be below 1208925819614629174706176, got 1208925819614629174706176",
    );
    check(r#"{"command":"deposit","account":0,"amount":"+5"}"#, r#"expected a string of decimal digits, got "+5""#);
    check(
        r#"{"command":"cancel","account":0,"order":{"slot":16777216,"generation":0}}"#,
        "order slot must be below 16777216, got 16777216",
    );
}
