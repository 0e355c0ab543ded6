//! What is published is what is executed: attacks on words, on their polynomial, on what a segment shows of them, and on forced instructions. (That every single cell is held is in `tamper`.)

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use alloy_primitives::U256;
use common::{
    POINT, Refusal,
    attacks::{ALICE, Adder, DAVE, OPERATOR, Stage, buy, deposit, open, register},
    check, checker,
    forge::{CellsOnly, Forger, Honest, fit_lookups},
    refusal, start,
};
use holdfast_circuit::{
    air::{SEGMENT_POINT, Table, row_width},
    publication::{LIMB_BITS, LIMBS, WORDS, WordsEntry, entries, powers, scalar_limbs, words_row},
    row::Bus,
    schnorr::KEY_WIDTH,
    step_table::PUBLISHED,
    witness::{Builder, Segment, padded},
};
use holdfast_crypto::{F, field::DIGEST_CELLS};
use holdfast_exchange::{Engine, Refusal as NotLetIn, step::Step};
use holdfast_protocol::{
    Address, Deployment, Instruction, KeyIndex, Outcome, Reject,
    cells::blocks,
    publication::{MODULUS, Progress, WORD_CELLS, word_cells},
};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

/// A closed batch of a few instructions, with further blocks among them.
fn segment() -> Segment {
    let mut forger = Stage::new().forger();
    for instruction in [buy(ALICE, 9_985, 10), open(OPERATOR, DAVE), register(DAVE, 0, false, 40), deposit(DAVE, 100)] {
        forger.apply(&mut Honest, &instruction);
    }
    forger.close(&checker())
}

/// The active rows of a table, changed.
fn change(segment: &mut Segment, table: Table, width: usize, change: impl FnOnce(&mut Vec<F>)) {
    let checker = checker();
    let rows = &segment.traces[table.index()].as_ref().expect("the table has rows").values;
    let mut rows: Vec<F> = rows.chunks_exact(width).filter(|row| row[0] == F::ONE).flatten().copied().collect();
    change(&mut rows);
    segment.traces[table.index()] = padded(rows, width);
    fit_lookups(&checker, segment);
}

/// Columns of what is published, in the segment's row: whether it begins, its words, their rows, the point and its powers, and the value before.
const BEGINS: usize = SEGMENT_POINT - 3;
const BEFORE: usize = SEGMENT_POINT + WORDS * LIMBS;

#[test]
fn what_is_published_is_accepted() {
    let segment = segment();
    assert_eq!(refusal(&segment), None);
    // Seven words (one, two, three, one) in two rows, and three rows for the powers.
    let rows = &segment.traces[Table::Segment.index()].as_ref().expect("a row").values;
    assert_eq!(rows[BEGINS..BEGINS + 3], [1, 7, 5].map(F::from_u8));
}

/// The last row of words left out: nobody takes them, and the value is another.
#[test]
fn words_left_out_are_missed() {
    let mut segment = segment();
    let width = row_width(Table::Words);
    change(&mut segment, Table::Words, width, |rows| drop(rows.drain(width..2 * width)));
    check(&segment, Refusal::Bus(Bus::Word));
}

/// The same words, published twice.
#[test]
fn words_published_twice_are_missed() {
    let mut segment = segment();
    let width = row_width(Table::Words);
    change(&mut segment, Table::Words, width, |rows| rows.extend_from_within(..2 * width));
    check(&segment, Refusal::Bus(Bus::Word));
}

/// A segment of one word, for which the point alone is needed, with what is said to be its powers: every row is filled as if they were, and the segment's row names them.
fn with_powers(said: [U256; WORDS]) -> Segment {
    let instruction = buy(ALICE, 9_985, 10);
    let mut forger = Stage::new().forger();
    let outcome = forger.apply(&mut Honest, &instruction);
    let words: Vec<_> = word_cells(&blocks(&instruction), outcome.code()).collect();
    let mut segment = forger.close(&checker());
    let (mut entries, _) = entries(&words, &start(2));
    let mut rows = Vec::new();
    for entry in &mut entries {
        let power = powers(POINT).iter().position(|power| *power == entry.value);
        if let Some(power) = power {
            entry.value = said[power];
        }
        entry.powers = said;
        words_row(&mut CellsOnly(&mut rows), entry);
    }
    segment.traces[Table::Words.index()] = padded(rows, row_width(Table::Words));
    let width = checker().table(Table::Segment).width;
    change(&mut segment, Table::Segment, width, |row| {
        for (cell, limb) in row[SEGMENT_POINT..].iter_mut().zip(said.into_iter().flat_map(scalar_limbs)) {
            *cell = F::from_u64(limb as u64);
        }
    });
    segment
}

/// Powers that are not those of the point: each must follow from the one before it.
#[test]
fn powers_of_another_point_are_refused() {
    let honest = powers(POINT);
    assert_eq!(refusal(&with_powers(honest)), None);
    for power in 1..WORDS {
        let mut said = honest;
        said[power] = U256::from(7);
        assert_eq!(refusal(&with_powers(said)), Some(Refusal::Bus(Bus::Value)), "power {power}");
    }
    // All of another point: then that is not the one that is shown.
    assert_eq!(refusal(&with_powers(powers(U256::from(7)))), Some(Refusal::Bus(Bus::Poseidon2)));
}

/// Rows of powers, filled otherwise, with what the segment's row says they are.
fn with_power_rows(said: [U256; WORDS], change_rows: impl FnOnce(&mut Vec<WordsEntry>)) -> Segment {
    let mut segment = with_powers(said);
    let width = row_width(Table::Words);
    change(&mut segment, Table::Words, width, |rows| {
        let (mut power_rows, _) = entries(&[], &start(2));
        change_rows(&mut power_rows);
        rows.truncate(width);
        power_rows.iter_mut().for_each(|entry| entry.powers = said);
        power_rows.iter().for_each(|entry| words_row(&mut CellsOnly(rows), entry));
    });
    segment
}

/// Each power has a place of its own: a row cannot go over all of them, nor begin where another ends.
#[test]
fn powers_are_made_one_by_one() {
    let [z, z2, z3, _] = powers(POINT);
    // From z to "z⁴" in one row, by the "z³" that nobody has made.
    let claimed = U256::from(7);
    let leap = z.mul_mod(claimed, MODULUS);
    let leapt = with_power_rows([z, U256::from(5), claimed, leap], |rows| {
        rows.truncate(1);
        rows[0].words = vec![[0; WORD_CELLS]; WORDS - 1];
    });
    check(&leapt, Refusal::Bus(Bus::Word));
    // The second power is taken for the first.
    let taken = with_power_rows([z, z2, z2, z3], |rows| rows[1].value = z);
    check(&taken, Refusal::Bus(Bus::Value));
    let honest = with_power_rows(powers(POINT), |_| ());
    assert_eq!(refusal(&honest), None);
}

/// Puts a cell into the segment's row, for the one that was there.
fn swap(segment: &mut Segment, column: usize, cell: &mut F) {
    let row = &mut segment.traces[Table::Segment.index()].as_mut().expect("a row").values;
    std::mem::swap(&mut row[column], cell);
}

/// What comes from outside is in limbs of ten bits: three of them are a cell of what is hashed, and others would be the same cell.
#[test]
fn the_point_and_the_value_before_are_in_limbs() {
    let stage = Stage::new();
    let (mut store, mut tree) = (stage.store().clone(), stage.tree().clone());
    let mut builder = Builder::new(&mut store, 0, start(2));
    assert_eq!(builder.apply(&buy(ALICE, 9_985, 10)), Ok(Outcome::Accepted));
    let (progress, sequence) = (builder.progress(), builder.sequence());
    builder.finish(&mut tree, false);
    let mut forger = Forger::new(&store, &tree, sequence, progress);
    forger.apply(&mut Honest, &buy(ALICE, 9_984, 10));
    let mut segment = forger.close(&checker());
    assert_eq!(refusal(&segment), None);
    for limb in (SEGMENT_POINT..SEGMENT_POINT + LIMBS).chain(BEFORE..BEFORE + LIMBS) {
        let mut cell = F::from_u32(1 << LIMB_BITS);
        swap(&mut segment, limb, &mut cell);
        check(&segment, Refusal::Bus(Bus::Range));
        swap(&mut segment, limb, &mut cell);
    }
}

/// Without the rows that make the powers, nobody takes their words.
#[test]
fn powers_are_not_left_out() {
    let mut segment = segment();
    let width = row_width(Table::Words);
    change(&mut segment, Table::Words, width, |rows| rows.truncate(rows.len() - width));
    check(&segment, Refusal::Bus(Bus::Word));
}

/// A key that nobody has checked to be a point.
#[test]
fn a_key_without_its_row_is_missed() {
    let mut segment = segment();
    let row = segment.traces[Table::Key.index()].as_ref().expect("a row").values.clone();
    segment.traces[Table::Key.index()] = None;
    fit_lookups(&checker(), &mut segment);
    check(&segment, Refusal::Bus(Bus::Key));
    // Another y is no point.
    segment.traces[Table::Key.index()] = padded(row, KEY_WIDTH);
    change(&mut segment, Table::Key, KEY_WIDTH, |rows| rows[KEY_WIDTH - 1] += F::ONE);
    check(&segment, Refusal::Constraint(Table::Key));
}

/// A segment that begins where something was published before, and so hides it.
#[test]
fn a_segment_does_not_begin_after_something_was_published() {
    let stage = Stage::new();
    let (mut store, mut tree) = (stage.store().clone(), stage.tree().clone());
    let mut builder = Builder::new(&mut store, 0, start(2));
    assert_eq!(builder.apply(&buy(ALICE, 9_985, 10)), Ok(Outcome::Accepted));
    let (progress, sequence) = (builder.progress(), builder.sequence());
    let first = builder.finish(&mut tree, false);
    let mut forger = Forger::new(&store, &tree, sequence, progress);
    forger.apply(&mut Honest, &buy(ALICE, 9_984, 10));
    let honest = forger.clone().close(&checker());
    assert_eq!((refusal(&honest), honest.public.digest_in), (None, first.public.digest_out));

    // It says that what was shown is the digest of instructions, and the value nothing.
    let hidden = Progress { chain: first.public.digest_out, value: U256::ZERO, z: POINT };
    let mut forger = Forger::new(&store, &tree, sequence, hidden);
    forger.apply(&mut Honest, &buy(ALICE, 9_984, 10));
    let mut segment = forger.close(&checker());
    assert_ne!(segment.public.digest_in, first.public.digest_out, "it goes on from elsewhere");
    segment.public.digest_in = first.public.digest_out;
    let width = checker().table(Table::Segment).width;
    change(&mut segment, Table::Segment, width, |row| {
        row[BEGINS] = F::ONE;
        row[BEFORE + LIMBS + DIGEST_CELLS..BEFORE + LIMBS + 3 * DIGEST_CELLS].fill(F::ZERO);
    });
    check(&segment, Refusal::Constraint(Table::Segment));
}

/// Values that are the same modulo the order are equal to the circuit; what is shown has one form.
#[test]
fn a_value_beyond_the_order_is_shown_as_such() {
    let progress = Progress { value: U256::from(5), ..start(2) };
    let beyond = Progress { value: U256::from(5) + MODULUS, ..progress };
    let time = holdfast_protocol::TimeMs::new(0).expect("a time");
    assert_ne!(progress.digest(time), beyond.digest(time));
}

fn forced(instruction: Instruction) -> Instruction {
    Instruction { key: KeyIndex::ETHEREUM, ..instruction }
}

/// The stage's venue, with a contract.
fn settled() -> Engine {
    let mut genesis = common::attacks::genesis();
    genesis.deployment = Deployment { contract: Address::repeat_byte(0xcc), ..genesis.deployment };
    Engine::new(&genesis).expect("its accounts are numbered from 0 on")
}

/// Where no contract holds the money, Ethereum asks for nothing.
#[test]
fn a_forced_instruction_without_a_contract_is_refused() {
    let stage = Stage::new();
    let instruction = forced(deposit(ALICE, 100));
    let mut store = stage.store().clone();
    let refused = Builder::new(&mut store, 0, start(2)).apply(&instruction);
    assert!(matches!(refused, Err(NotLetIn::NoKey { .. })), "{refused:?}");
    let mut forger = stage.forger();
    forger.apply(&mut Honest, &instruction);
    check(&forger.finish(&checker(), false), Refusal::Constraint(Table::Step(Step::Authorise)));
}

/// What a key has signed does not become Ethereum's asking, nor the other way round: the column that says which is turned.
#[test]
fn asking_cannot_be_passed_on() {
    let engine = settled();
    let column = PUBLISHED.end + 2 + DIGEST_CELLS + 1;
    for (instruction, outcome) in [
        (buy(ALICE, 9_985, 10), Outcome::Rejected(Reject::InsufficientMargin)),
        (forced(deposit(ALICE, 100)), Outcome::Accepted),
    ] {
        let mut forger = Forger::new(engine.store(), engine.tree(), 0, start(1));
        assert_eq!(forger.apply(&mut Honest, &instruction), outcome);
        assert_eq!(refusal(&forger.close(&checker())), None);
        // The account and its two parts, the key, and whether it is forced.
        let mut told = 0;
        for (column, added) in (column..column + 5).flat_map(|column| [(column, 1), (column, -1)]) {
            // Some lies lead to where there is nothing, and cannot be told.
            let segment = catch_unwind(AssertUnwindSafe(|| {
                let mut forger = Forger::new(engine.store(), engine.tree(), 0, start(1));
                forger.apply(&mut Adder { clock: 1, column, added }, &instruction);
                forger.finish(&checker(), false)
            }));
            if let Ok(segment) = segment {
                told += 1;
                assert!(refusal(&segment).is_some(), "column {column}, {added}");
            }
        }
        assert!(told > 5);
    }
}

/// In a settled deployment the operator's own word is worth nothing.
#[test]
fn the_operator_is_no_registrar_where_a_contract_holds_the_money() {
    let mut engine = settled();
    for instruction in [deposit(ALICE, 100), open(OPERATOR, DAVE), register(ALICE, 2, false, 40)] {
        assert_eq!(engine.instruct(&instruction), Ok(Outcome::Rejected(Reject::NotOperator)), "{instruction:?}");
        assert_eq!(engine.instruct(&forced(instruction)), Ok(Outcome::Accepted), "{instruction:?}");
    }
}
