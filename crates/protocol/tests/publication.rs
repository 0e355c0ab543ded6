//! The words of a batch: a bijection between instructions with outcomes and the words that are read, and a polynomial whose value binds them.

mod common;

use alloy_primitives::U256;
use holdfast_protocol::{
    Instruction, KeyIndex, Outcome, TimeMs,
    cells::blocks,
    publication::{
        MODULUS, Progress, PublicationError, WORD_BYTES, Word, commitment, evaluate, extend, point, point_in_calldata,
        read_words, scalar_cells, word_cells, words, words_of_bytes,
    },
};
use proptest::prelude::*;

/// Bytes that are near those of words: each some instruction's, with changes.
fn nearly_words() -> impl Strategy<Value = Vec<Word>> {
    let change = (any::<prop::sample::Index>(), 0..WORD_BYTES, any::<u8>());
    (common::batch(), prop::collection::vec(change, 0..4)).prop_map(|(batch, changes)| {
        let mut words = words(&batch);
        for (at, byte, with) in changes {
            if !words.is_empty() {
                let at = at.index(words.len());
                words[at][byte] ^= with;
            }
        }
        words
    })
}

fn again(instructions: &[Instruction], outcomes: &[Outcome]) -> Vec<Word> {
    let header = holdfast_protocol::BatchHeader { number: 1 };
    let (instructions, outcomes) = (instructions.to_vec(), outcomes.to_vec());
    words(&holdfast_protocol::Batch { header, instructions, outcomes, seals: Vec::new() })
}

proptest! {
    #[test]
    fn words_round_trip(batch in common::batch()) {
        let words = words(&batch);
        prop_assert_eq!(read_words(&words), Ok((batch.instructions.clone(), batch.outcomes.clone())));
        prop_assert_eq!(words_of_bytes(words.as_flattened()), Ok(words.clone()));
        // The first word of an instruction is never zero: the degree of the polynomial gives the number of words.
        prop_assert!(words.first().is_none_or(|word| *word != [0; WORD_BYTES]));
    }

    #[test]
    fn what_is_read_has_these_words_alone(words in nearly_words()) {
        if let Ok((instructions, outcomes)) = read_words(&words) {
            prop_assert_eq!(again(&instructions, &outcomes), words);
        }
    }

    #[test]
    fn arbitrary_words_are_read_or_refused(words in prop::collection::vec(any::<[u8; WORD_BYTES]>(), 0..8)) {
        if let Ok((instructions, outcomes)) = read_words(&words) {
            prop_assert_eq!(again(&instructions, &outcomes), words);
        }
    }

    #[test]
    fn a_batch_cut_short_within_an_instruction_is_refused(batch in common::batch()) {
        let words = words(&batch);
        let mut ends = vec![0];
        for instruction in &batch.instructions {
            ends.push(ends[ends.len() - 1] + 1 + blocks(instruction).further().len());
        }
        for length in 0..=words.len() {
            let read = read_words(&words[..length]);
            prop_assert_eq!(read.is_ok(), ends.contains(&length));
            let truncated = matches!(read, Err(PublicationError::Truncated { .. }));
            prop_assert!(read.is_ok() || truncated);
        }
    }

    #[test]
    fn the_value_is_that_of_the_polynomial(batch in common::batch(), z in any::<[u64; 4]>()) {
        let z = U256::from_limbs(z).reduce_mod(MODULUS);
        let words = words(&batch);
        // Coefficient j is the word that is j-th from the last.
        let (mut power, mut expected) = (U256::ONE, U256::ZERO);
        for word in words.iter().rev() {
            expected = expected.add_mod(power.mul_mod(U256::from_be_slice(word), MODULUS), MODULUS);
            power = power.mul_mod(z, MODULUS);
        }
        prop_assert_eq!(evaluate(&words, z), expected);
        let pairs = batch.instructions.iter().zip(&batch.outcomes);
        let cells = pairs.flat_map(|(instruction, outcome)| word_cells(&blocks(instruction), outcome.code()));
        prop_assert_eq!(cells.fold(U256::ZERO, |value, cells| extend(value, &cells, z)), expected);
        prop_assert_eq!(Progress::end(&batch, z).value, expected);
    }

    #[test]
    fn a_scalar_survives_its_cells(limbs in any::<[u64; 4]>()) {
        let scalar = U256::from_limbs(limbs);
        let cells = scalar_cells(scalar);
        prop_assert!(cells.iter().all(|cell| cell >> 30 == 0));
        let back = cells.iter().rev().fold(U256::ZERO, |scalar, cell| scalar << 30 | U256::from(*cell));
        prop_assert_eq!(back, scalar);
    }
}

#[test]
fn the_point_depends_on_the_data_and_on_the_chain() {
    let batch = common::sample_batch();
    let words = words(&batch);
    let end = Progress::end_in_calldata(&batch);
    assert_eq!(end.z, point_in_calldata(&batch));
    assert_eq!(end.z, point(&commitment(&words), &end.chain));
    assert!(end.z < MODULUS && end.value < MODULUS);
    let mut others = words.clone();
    others[3][7] ^= 1;
    assert_ne!(point(&commitment(&others), &end.chain), end.z);
    assert_ne!(evaluate(&others, end.z), end.value);
    let mut chain = end.chain;
    chain.swap(0, 1);
    assert_ne!(point(&commitment(&words), &chain), end.z);
}

#[test]
fn every_part_of_what_is_shown_changes_its_digest() {
    let batch = common::sample_batch();
    let time = TimeMs::new((1 << 41) + 5).expect("a time");
    let end = Progress::end_in_calldata(&batch);
    let mut chain = end.chain;
    chain.swap(2, 3);
    let others = [
        Progress { chain, ..end },
        Progress { z: end.z ^ U256::ONE << 254, ..end },
        Progress { value: end.value + U256::ONE, ..end },
    ];
    let digest = end.digest(time);
    assert!(others.iter().all(|other| other.digest(time) != digest));
    assert_ne!(end.digest(TimeMs::new((1 << 41) + 6).expect("a time")), digest);
    assert!(!end.begins());
    assert!(Progress::start(7, end.z).begins());
}

#[test]
fn a_forced_instruction_is_of_the_inbox() {
    let (_, instruction) = common::sample_instructions()[0];
    let forced = Instruction { key: KeyIndex::ETHEREUM, ..instruction };
    assert!(forced.is_forced() && !instruction.is_forced());
    assert_eq!(forced.session(), holdfast_protocol::command::INBOX);
    assert_eq!(blocks(&forced).first[1], instruction.command.signer().get() + (4 << 20));
    assert_eq!(KeyIndex::new(4).ok(), None);
    assert_eq!(KeyIndex::of_instruction(4), Ok(KeyIndex::ETHEREUM));
    assert!(KeyIndex::of_instruction(5).is_err());
}
