//! The wire encoding is a bijection between batches and the byte strings that decode; it is frozen by `vectors/`.

mod common;

use common::{
    account_of, forced_samples, key_of, sample_batch, sample_batch_without_points, sample_instructions, signature_of,
};
use holdfast_protocol::{
    AccountId, Batch, BatchHeader, CancelAll, Command, Instruction, KeyIndex, MarketId, Outcome, Reject, Seal,
    Signature,
    batch::{BATCH_NUMBER_MAX, INSTRUCTIONS_MAX, MAGIC},
    wire::{
        DecodeError, INSTRUCTION_BYTES_MAX, INSTRUCTION_BYTES_MIN, Reader, TRADE_BYTES_MAX, decode_instruction,
        encode_instruction,
    },
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn encode(instruction: &Instruction) -> Vec<u8> {
    let mut out = Vec::new();
    encode_instruction(instruction, &mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<Instruction, DecodeError> {
    let mut reader = Reader::new(bytes);
    let instruction = decode_instruction(&mut reader)?;
    reader.finish()?;
    Ok(instruction)
}

proptest! {
    #[test]
    fn instruction_round_trips(instruction in common::instruction()) {
        let bytes = encode(&instruction);
        prop_assert!((INSTRUCTION_BYTES_MIN..=INSTRUCTION_BYTES_MAX).contains(&bytes.len()));
        prop_assert_eq!(decode(&bytes), Ok(instruction));
    }

    #[test]
    fn instruction_round_trips_through_json(instruction in common::instruction()) {
        let text = serde_json::to_string(&instruction).unwrap();
        prop_assert_eq!(serde_json::from_str::<Instruction>(&text).unwrap(), instruction);
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
        if let Ok(instruction) = decode_instruction(&mut reader) {
            prop_assert_eq!(&encode(&instruction)[..], &bytes[..reader.offset()]);
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
fn check_mutants(original: &Batch, rounds: usize, decoded_min: usize) {
    let seed = 1;
    let mut random = Random(seed);
    let original = original.encode();
    let mut decoded = 0;
    for round in 0..rounds {
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
    assert!(decoded > decoded_min, "only {decoded} mutants decoded: the mutations are too coarse to test anything");
}

#[test]
fn mutated_batches_decode_canonically_or_not_at_all() {
    check_mutants(&sample_batch_without_points(), 200_000, 1_000);
}

/// Keys and signatures are slow to decode, and most of a batch that has them.
#[test]
fn mutated_batches_with_keys_and_seals_decode_canonically_or_not_at_all() {
    check_mutants(&sample_batch(), 10_000, 100);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    instructions: Vec<InstructionVector>,
    batches: Vec<BatchVector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstructionVector {
    name: String,
    key: u32,
    command: Command,
    hex: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchVector {
    name: String,
    number: u32,
    instructions: Vec<(KeyIndex, Command)>,
    outcomes: Vec<Outcome>,
    seals: Vec<SealVector>,
    hex: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealVector {
    after: u32,
    account: AccountId,
    key: KeyIndex,
    signature: Signature,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vectors() -> Vectors {
    let instruction = |(name, instruction): (&str, Instruction)| InstructionVector {
        name: name.into(),
        key: instruction.key.get(),
        command: instruction.command,
        hex: hex(&encode(&instruction)),
    };
    let empty = Batch { header: BatchHeader { number: 1 }, instructions: vec![], outcomes: vec![], seals: vec![] };
    let last = Batch { header: BatchHeader { number: BATCH_NUMBER_MAX }, ..empty.clone() };
    let batches = [("empty", empty), ("largest number", last), ("every kind of command, and seals", sample_batch())]
        .map(|(name, batch)| {
            let hex = hex(&batch.encode());
            let Batch { header: BatchHeader { number }, instructions, outcomes, seals } = batch;
            let seal = |Seal { after, account, key, signature }| SealVector { after, account, key, signature };
            let seals = seals.into_iter().map(seal).collect();
            let instructions = instructions.into_iter().map(|Instruction { key, command }| (key, command)).collect();
            BatchVector { name: name.into(), number, instructions, outcomes, seals, hex }
        })
        .into();
    let samples = sample_instructions().into_iter().chain(forced_samples());
    Vectors { instructions: samples.map(instruction).collect(), batches }
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
    // Session 17 × 4 + 1, market 1.
    let cancel_all: &[u8] = &[5, 69, 1];
    check(b"", "byte 0, magic and version: expected 4 more byte(s), got the end of the data");
    check(b"HFB", "byte 0, magic and version: expected 1 more byte(s), got the end of the data");
    check(b"HFB\x01", "byte 0: expected magic and version [48, 46, 42, 02], got [48, 46, 42, 01]");
    check(&batch_bytes(&[&[0, 0, 0]]), "byte 4, batch number: expected 1 to 268435455, got 0");
    check(
        &batch_bytes(&[&[0x80, 0x80, 0x80, 0x80]]),
        "byte 4, batch number: expected a number of at most 4 byte(s), got one that goes on",
    );
    check(
        &batch_bytes(&[&[0x81, 0x80, 0x00]]),
        "byte 4, batch number: expected a number of 1 byte(s), got it padded to 3",
    );
    check(&batch_bytes(&[&[1, 1, 0x0f]]), "byte 6, command kind: expected 1 to 13, got 15");
    check(&batch_bytes(&[&[1, 1, 0x0e]]), "byte 6, command kind: expected 1 to 13, got 14");
    check(
        &batch_bytes(&[&[1, 1, 0x0d]]),
        "byte 7, head of a forced instruction: expected 1 more byte(s), got the end of the data",
    );
    check(&batch_bytes(&[&[1, 1, 0x00]]), "byte 6, command kind: expected 1 to 13, got 0");
    check(&batch_bytes(&[&[1, 1, 0x15]]), "byte 6, flags: expected 0 to 0, got 1");
    check(&batch_bytes(&[&[1, 1, 0x36]]), "byte 6, flags: expected 0 to 2, got 3");
    check(&batch_bytes(&[&[1, 1, 0x4b]]), "byte 6, flags: expected 0 to 3, got 4");
    check(&batch_bytes(&[&[1, 1, 0x03, 0, 3]]), "byte 8, self-trade: expected 0 to 2, got 3");
    check(&batch_bytes(&[&[1, 1, 5, 0x80, 0x80, 0x80, 0x02]]), "byte 7, session: expected 0 to 4194303, got 4194304");
    check(&batch_bytes(&[&[1, 1, 10, 0, 0x80, 0x80, 0x40]]), "byte 8, account: expected 0 to 1048575, got 1048576");
    check(
        &batch_bytes(&[&[1, 1, 10, 0, 0], &[1; 19]]),
        "byte 9, owner: expected 1 more byte(s), got the end of the data",
    );
    check(&batch_bytes(&[&[1, 1], cancel_all, &[2]]), "byte 9, number of rejects: expected 0 to 1, got 2");
    check(
        &batch_bytes(&[&[1, 1], cancel_all, &[1, 1, 1]]),
        "byte 10, accepted instructions before a reject: expected 0 to 0, got 1",
    );
    check(&batch_bytes(&[&[1, 1], cancel_all, &[1, 0, 0]]), "byte 11, reject code: expected 1 to 31, got 0");
    check(&batch_bytes(&[&[1, 1], cancel_all, &[1, 0, 32]]), "byte 11, reject code: expected 1 to 31, got 32");
    check(&batch_bytes(&[&[1, 1], cancel_all, &[0, 2]]), "byte 10, number of seals: expected 0 to 1, got 2");
    check(
        &batch_bytes(&[&[1, 1], cancel_all, &[0, 1, 2]]),
        "byte 11, instructions before a seal: expected 0 to 1, got 2",
    );
    check(
        &batch_bytes(&[&[1, 2], cancel_all, cancel_all, &[0, 2, 1, 0], &signature_of(0).to_bytes(), &[2]]),
        "byte 72, instructions before a seal: expected 0 to 1, got 2",
    );
    check(
        &batch_bytes(&[&[1, 1], cancel_all, &[0, 0, 9]]),
        "byte 11: expected the end of the data, got 1 more byte(s)",
    );
}

#[test]
fn keys_and_signatures_that_are_none_are_rejected() {
    // A register of session 0 for session 0 that never expires, up to its public key at byte 10.
    let register = |key: &[u8]| batch_bytes(&[&[1, 1, 11, 0, 0, 0], key]);
    let seal = |signature: &[u8]| batch_bytes(&[&[1, 1, 5, 0, 0, 0, 1, 1, 0], signature]);
    let with = |mut bytes: Vec<u8>, at: usize, word: u32| {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    let (key, signature) = (common::public_key_of(0).to_bytes().to_vec(), signature_of(0).to_bytes().to_vec());
    // The field's modulus is 15 × 2^27 + 1.
    let prime = 0x7800_0001;
    check(
        &register(&with(key.clone(), 0, prime)),
        "byte 10, public key: expected a coefficient below 2013265921, got 2013265921",
    );
    check(&register(&key[..27]), "byte 10, public key: expected 1 more byte(s), got the end of the data");
    check(
        &seal(&with(signature.clone(), 4, prime)),
        "byte 13, signature: expected a coefficient below 2013265921, got 2013265921",
    );
    check(&seal(&signature[..55]), "byte 13, signature: expected 1 more byte(s), got the end of the data");
    let beyond = [&signature[..28], &[0xff; 28]].concat();
    check(
        &seal(&beyond),
        &format!(
            "byte 13, signature: expected a scalar below the order of the group, got the little-endian bytes {}",
            "ff".repeat(28)
        ),
    );
    // Half of all x are those of no point: the first of some that is not, in both places.
    let off_curve = (0..64).find(|&x| {
        let error = Batch::decode(&register(&with(vec![0; 28], 0, x)));
        matches!(error, Err(DecodeError::Curve { .. }))
    });
    let x = off_curve.expect("some x is that of no point");
    let expected = format!("expected the x of a point on the curve, got the coefficients [{x}, 0, 0, 0, 0, 0, 0]");
    check(&register(&with(vec![0; 28], 0, x)), &format!("byte 10, public key: {expected}"));
    check(&seal(&with(vec![0; 56], 0, x)), &format!("byte 13, signature: {expected}"));
}

#[test]
fn claimed_instruction_count_beyond_the_limit_is_rejected() {
    let over = INSTRUCTIONS_MAX as u32 + 1;
    let count = [over as u8 & 0x7f | 0x80, (over >> 7) as u8 & 0x7f | 0x80, (over >> 14) as u8];
    check(&batch_bytes(&[&[1], &count]), "byte 5, number of instructions: expected 0 to 1048576, got 1048577");
}

#[test]
fn claimed_instruction_count_beyond_the_data_is_rejected() {
    // 2^20 instructions, and no bytes for them.
    check(&batch_bytes(&[&[1, 0x80, 0x80, 0x40]]), "byte 8, head: expected 1 more byte(s), got the end of the data");
}

fn cancel_all() -> Instruction {
    let command = Command::CancelAll(CancelAll { account: account_of(3), market: MarketId::new(0).unwrap() });
    Instruction { key: key_of(0), command }
}

#[test]
fn largest_batch_round_trips() {
    let batch = Batch {
        header: BatchHeader { number: BATCH_NUMBER_MAX },
        instructions: vec![cancel_all(); INSTRUCTIONS_MAX],
        outcomes: vec![Outcome::Rejected(Reject::UnknownMarket); INSTRUCTIONS_MAX],
        seals: vec![seal(INSTRUCTIONS_MAX as u32)],
    };
    assert!(Batch::decode(&batch.encode()) == Ok(batch));
}

fn seal(after: u32) -> Seal {
    Seal { after, account: account_of(3), key: key_of(0), signature: signature_of(0) }
}

/// Of so many instructions.
fn batch(instructions: usize, seals: Vec<Seal>) -> Batch {
    Batch {
        header: BatchHeader { number: 1 },
        instructions: vec![cancel_all(); instructions],
        outcomes: vec![Outcome::Accepted; instructions],
        seals,
    }
}

#[test]
#[should_panic(expected = "one outcome per instruction")]
fn batch_without_an_outcome_per_instruction_panics() {
    Batch { outcomes: vec![], ..batch(1, vec![]) }.encode();
}

#[test]
#[should_panic(expected = "2 seals are more than the instructions that they seal")]
fn batch_with_more_seals_than_instructions_panics() {
    batch(1, vec![seal(0), seal(1)]).encode();
}

#[test]
#[should_panic(expected = "seals stand in order, among the instructions")]
fn batch_with_seals_out_of_order_panics() {
    batch(2, vec![seal(2), seal(1)]).encode();
}

#[test]
#[should_panic(expected = "seals stand in order, among the instructions")]
fn batch_with_a_seal_behind_its_end_panics() {
    batch(2, vec![seal(3)]).encode();
}

#[test]
fn longest_and_shortest_instructions_meet_the_stated_lengths() {
    let samples: Vec<_> = sample_instructions().into_iter().chain(forced_samples()).collect();
    let length = |instruction: &Instruction| encode(instruction).len();
    let lengths = || samples.iter().map(|(_, instruction)| length(instruction));
    assert_eq!(lengths().min(), Some(INSTRUCTION_BYTES_MIN));
    assert_eq!(lengths().max(), Some(INSTRUCTION_BYTES_MAX));
    let trades = samples.iter().filter(|(_, instruction)| matches!(instruction.command.kind(), 3..=6 | 9));
    assert_eq!(trades.map(|(_, instruction)| length(instruction)).max(), Some(TRADE_BYTES_MAX));
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
        r#"{"command":"deposit","sender":0,"account":0,"amount":"1208925819614629174706176"}"#,
        "amount must be below 1208925819614629174706176, got 1208925819614629174706176",
    );
    check(r#"{"command":"revoke","sender":0,"account":0,"key":4}"#, "session key must be below 4, got 4");
    check(
        r#"{"command":"deposit","sender":0,"account":0,"amount":"+5"}"#,
        r#"expected a string of decimal digits, got "+5""#,
    );
    check(
        r#"{"command":"cancel","account":0,"order":{"slot":16777216,"generation":0}}"#,
        "order slot must be below 16777216, got 16777216",
    );
}

#[test]
fn a_forced_instruction_has_no_key_and_is_forced_once() {
    let [(_, forced), _] = forced_samples()[..] else { unreachable!("two samples") };
    let bytes = encode(&forced);
    assert_eq!(bytes[0], 13);
    // Session 2 × 4 + 1: a key.
    let mut with_key = bytes.clone();
    with_key[2] |= 1;
    let error = decode(&with_key).expect_err("a key").to_string();
    assert_eq!(error, "byte 1, key of a forced instruction: expected 0 to 0, got 1");
    let twice = [&[13], &bytes[..]].concat();
    let error = decode(&twice).expect_err("twice").to_string();
    assert_eq!(error, "byte 1, command kind: expected 1 to 13, got 13");
}
