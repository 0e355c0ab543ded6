//! The constraints and the filling of rows against the native engine, on the same random streams.
//!
//! `HOLDFAST_COMMANDS` makes the streams longer, `HOLDFAST_SEED` other.

mod common;

use common::{
    Unsealed, checker, engine,
    forge::{Forger, Honest},
    seal_of, sealed_before, unsealed,
};
use holdfast_circuit::{air::Table, witness::Builder};
use holdfast_exchange::{Engine, authority::check_seals};
use holdfast_protocol::publication::Progress;
use holdfast_sim::{Model, Scenario};

/// Instructions per scenario.
fn commands() -> usize {
    std::env::var("HOLDFAST_COMMANDS").map_or(3_000, |text| text.parse().expect("HOLDFAST_COMMANDS is a number"))
}
/// Instructions per segment: every third segment closes a batch.
const SEGMENT: usize = 600;

/// One after the other: the model, the native engine, and the rows that are filled.
struct Three<'a, 'b> {
    model: &'a mut Model,
    native: &'a mut Engine,
    builder: &'a mut Builder<'b>,
}

impl Three<'_, '_> {
    fn seal(&mut self, (account, key): Unsealed) {
        let seal = seal_of(self.native.store(), (account, key), self.builder.sequence());
        let verified = check_seals(self.native.store(), &[seal]).expect("the seal is valid");
        self.native.seal(&verified[0]);
        assert_eq!(self.builder.seal(&seal), Ok(()));
        self.model.seal(account, key);
    }
}

fn agree(name: &str) {
    let seed = std::env::var("HOLDFAST_SEED").map_or(1, |text| text.parse().expect("HOLDFAST_SEED is a number"));
    println!("scenario {name}, seed {seed}");
    let scenario = Scenario::named(name);
    let (mut model, mut stream) = (scenario.model(), scenario.stream(seed));
    let (mut native, mut filled) = (engine(&scenario), engine(&scenario));
    let mut tree = filled.tree().clone();
    let checker = checker();
    let (mut applied, mut batch, mut sequence) = (0, 1, 0);
    let mut progress: Progress = common::start(batch);
    for segment in 0.. {
        if applied >= commands() {
            return;
        }
        let closes = segment % 3 == 2;
        let mut builder = Builder::new(filled.store_mut(), sequence, progress);
        let mut three = Three { model: &mut model, native: &mut native, builder: &mut builder };
        for _ in 0..SEGMENT {
            let instruction = stream.next(three.model);
            if let Some(session) = sealed_before(three.native.store(), &instruction) {
                three.seal(session);
            }
            let expected = three.native.instruct(&instruction);
            assert_eq!(
                three.model.apply(&instruction),
                expected.ok(),
                "the model, instruction {applied}, {instruction:?}"
            );
            assert_eq!(three.builder.apply(&instruction), expected, "instruction {applied}, {instruction:?}");
            applied += 1;
        }
        if closes {
            for session in unsealed(three.native.store()) {
                three.seal(session);
            }
            native.count_batch();
        }
        (sequence, progress) = (builder.sequence(), builder.progress());
        println!("segment {segment}: {} signatures", builder.signatures());
        let filled = builder.finish(&mut tree, closes);
        let leaves = native.touched_leaves();
        assert_eq!(native.update_tree(&leaves), filled.public.root_new, "root after instruction {applied}");
        assert_eq!(checker.check(&filled), Ok(()), "segment {segment}");
        if closes {
            batch += 1;
            (sequence, progress) = (0, common::start(batch));
        }
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
fn settled_segments_satisfy_the_constraints() {
    agree("settled");
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
        let mut forger = Forger::new(engine.store(), &tree, 7, common::start(3));
        let mut native = engine.clone();
        let mut builder = Builder::new(engine.store_mut(), 7, common::start(3));
        let seal = |native: &mut Engine, builder: &mut Builder<'_>, forger: &mut Forger, (account, key): Unsealed| {
            let seal = seal_of(native.store(), (account, key), builder.sequence());
            common::seal(native, (account, key));
            assert_eq!(builder.seal(&seal), Ok(()));
            forger.seal(&mut Honest, (account.get(), key.get()));
        };
        for instruction in scenario.commands(5, 200) {
            if let Some(session) = sealed_before(native.store(), &instruction) {
                seal(&mut native, &mut builder, &mut forger, session);
            }
            let outcome = native.instruct(&instruction);
            assert_eq!(builder.apply(&instruction), outcome);
            assert_eq!(Ok(forger.apply(&mut Honest, &instruction)), outcome);
        }
        for session in unsealed(native.store()) {
            seal(&mut native, &mut builder, &mut forger, session);
        }
        let (expected, got) = (builder.finish(&mut tree, true), forger.finish(&checker, true));
        assert_eq!(expected.public, got.public, "{}", scenario.name);
        for (table, (expected, got)) in Table::all().zip(expected.traces.iter().zip(&got.traces)) {
            assert!(expected == got, "{}: table {}", scenario.name, table.name());
        }
    }
}
