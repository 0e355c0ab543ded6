//! The constraints and the filling of rows against the native engine, on the same random streams.
//!
//! `HOLDFAST_COMMANDS` makes the streams longer, `HOLDFAST_SEED` other.

mod common;

use common::{
    checker, engine,
    forge::{Forger, Honest},
};
use holdfast_circuit::{air::Table, published::digest_start, witness::Builder};
use holdfast_crypto::Digest;
use holdfast_sim::Scenario;

/// Commands per scenario.
fn commands() -> usize {
    std::env::var("HOLDFAST_COMMANDS").map_or(3_000, |text| text.parse().expect("HOLDFAST_COMMANDS is a number"))
}
/// Commands per segment: every third segment closes a batch.
const SEGMENT: usize = 600;

fn agree(name: &str) {
    let seed = std::env::var("HOLDFAST_SEED").map_or(1, |text| text.parse().expect("HOLDFAST_SEED is a number"));
    println!("scenario {name}, seed {seed}");
    let scenario = Scenario::named(name);
    let (mut model, mut stream) = (scenario.model(), scenario.stream(seed));
    let (mut native, mut filled) = (engine(&scenario), engine(&scenario));
    let mut tree = filled.tree().clone();
    let checker = checker();
    let mut digest: Digest = digest_start(1);
    let mut applied = 0;
    for segment in 0.. {
        if applied >= commands() {
            return;
        }
        let mut builder = Builder::new(filled.store_mut(), applied as u32, digest);
        for _ in 0..SEGMENT {
            let command = stream.next(&model);
            model.apply(&command);
            let expected = native.apply(&command);
            assert_eq!(builder.apply(&command), expected, "command {applied}, {command:?}");
            applied += 1;
        }
        digest = builder.digest();
        let closes = segment % 3 == 2;
        let filled = builder.finish(&mut tree, closes);
        if closes {
            native.count_batch();
        }
        let leaves = native.touched_leaves();
        assert_eq!(native.update_tree(&leaves), filled.public.root_new, "root after command {applied}");
        assert_eq!(checker.check(&filled), Ok(()), "segment {segment}");
    }
}

#[test]
fn calm_segments_satisfy_the_constraints() {
    agree("calm");
}

#[test]
fn frantic_segments_satisfy_the_constraints() {
    agree("frenzy");
}

#[test]
fn segments_of_thin_margins_satisfy_the_constraints() {
    agree("margin");
}

#[test]
fn segments_of_full_directories_satisfy_the_constraints() {
    agree("directory");
}

#[test]
fn segments_of_tiny_prices_satisfy_the_constraints() {
    agree("tiny-prices");
}

#[test]
fn segments_of_extreme_numbers_satisfy_the_constraints() {
    agree("extremes");
}

#[test]
fn segments_of_full_books_satisfy_the_constraints() {
    agree("full-book");
}

/// The naive builder, when it does not lie, and the real one fill the same tables.
#[test]
fn an_honest_forger_fills_what_the_builder_fills() {
    let checker = checker();
    for scenario in Scenario::all() {
        let mut engine = engine(&scenario);
        let mut tree = engine.tree().clone();
        let mut forger = Forger::new(engine.store(), &tree, 7, digest_start(3));
        let mut builder = Builder::new(engine.store_mut(), 7, digest_start(3));
        for command in scenario.commands(5, 200) {
            assert_eq!(builder.apply(&command), forger.apply(&mut Honest, &command));
        }
        let (expected, got) = (builder.finish(&mut tree, true), forger.finish(&checker, true));
        assert_eq!(expected.public, got.public, "{}", scenario.name);
        for (table, (expected, got)) in Table::all().zip(expected.traces.iter().zip(&got.traces)) {
            assert!(expected == got, "{}: table {}", scenario.name, table.name());
        }
    }
}
