//! Full proofs: honest segments are proven and verified, and forged ones are not.
//!
//! What must be refused, and why, is tested exhaustively on filled tables (`crates/circuit/tests`). Here a sample goes all the way, so that nothing
//! stands between those tests and what a verifier says.

#[path = "../../circuit/tests/common/mod.rs"]
mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use common::{
    attacks::{
        ALICE, BOB, FIRST, Stage, changed_untouched_child, deposit, forged_rejection, invented_end, skipped_maker,
        split_history, stale_read, wrong_neighbour,
    },
    checker, engine,
    forge::Honest,
};
use holdfast_circuit::{
    air::Table,
    published::{batch_digest, digest_start},
    verify::{Chain, SegmentProof, VerifyError, verify_segment, verifying_key},
    witness::{Builder, Segment},
};
use holdfast_crypto::{Digest, F, field::digest_to_hex};
use holdfast_exchange::Engine;
use holdfast_protocol::{Batch, BatchHeader, Command, Outcome, Reject};
use holdfast_prover::{Prover, SegmentLimits, fill_batch};
use holdfast_sim::Scenario;
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

static PROVER: LazyLock<Prover> = LazyLock::new(Prover::new);

fn prove(segment: Segment) -> SegmentProof {
    PROVER.prove(segment).expect("an honest segment can be proven")
}

/// Why a segment is refused: by the prover, which may notice, or by the verifier of what it gives.
fn refusal(segment: Segment) -> Result<(), String> {
    let proof = catch_unwind(AssertUnwindSafe(|| PROVER.prove(segment)))
        .map_err(|_| "the prover panics".to_owned())?
        .map_err(|error| error.to_string())?;
    verify_segment(PROVER.verifying_key(), &proof).map(|_| ())
}

/// Executes a batch, and proves it in segments of at most `rows` steps and a command.
fn prove_batch(engine: &mut Engine, number: u32, commands: Vec<Command>, rows: usize) -> (Batch, Vec<SegmentProof>) {
    let mut rehearsal = engine.clone();
    let outcomes = commands.iter().map(|command| rehearsal.apply(command)).collect();
    let batch = Batch { header: BatchHeader { number }, commands, outcomes };
    let limits = SegmentLimits { rows, ..SegmentLimits::default() };
    let mut proofs = Vec::new();
    let mut tree = engine.tree().clone();
    let take = |_, segment| {
        proofs.push(prove(segment));
        Ok::<(), holdfast_prover::OutcomeError>(())
    };
    fill_batch(engine.store_mut(), &mut tree, &batch, limits, take).expect("the outcomes are those of the rules");
    assert_eq!(rehearsal.close_batch(), tree.root());
    *engine = rehearsal;
    (batch, proofs)
}

#[test]
fn the_prover_and_the_verifier_have_the_same_key() {
    assert_eq!(digest_to_hex(&PROVER.verifying_key().pre_hash), digest_to_hex(&verifying_key().pre_hash));
}

/// Two batches, of two segments and of one without commands, lead from the genesis to the engine's root, and to nothing else.
#[test]
fn a_chain_is_what_its_proofs_say() {
    let mut engine = Engine::new(&common::attacks::genesis()).expect("the genesis is valid");
    let genesis_root = engine.root();
    let (first, proofs) = prove_batch(&mut engine, 1, Stage::commands(), 20);
    assert_eq!(proofs.len(), 2);
    let first_root = engine.root();
    let (second, second_proofs) = prove_batch(&mut engine, 2, Vec::new(), 20);
    let key = PROVER.verifying_key();
    let append = |chain: &Chain, batch: &Batch, proofs: &[SegmentProof]| {
        let mut chain = chain.clone();
        let commands = batch.commands.len() as u32;
        chain.append(key, commands, &batch_digest(batch), proofs).map(|()| chain)
    };

    let start = Chain::new(genesis_root);
    let middle = append(&start, &first, &proofs).expect("the first batch follows the genesis");
    assert_eq!((middle.root, middle.batches), (first_root, 1));
    let end = append(&middle, &second, &second_proofs).expect("the second batch follows the first");
    assert_eq!((end.root, end.batches), (engine.root(), 2));

    // A root from another batch.
    let broken = append(&Chain { root: first_root, ..start.clone() }, &first, &proofs);
    assert!(matches!(broken, Err(VerifyError::Chain { segment: 0, what: "old root", .. })), "{broken:?}");
    // The second batch at the place of the first.
    let misplaced = append(&start, &second, &second_proofs);
    assert!(matches!(misplaced, Err(VerifyError::Chain { segment: 0, what: "old root", .. })), "{misplaced:?}");
    // A segment left out, at either end, or repeated; none at all.
    for (segments, what) in [
        (&proofs[1..], "old root"),
        (&proofs[..1], "batches closed after"),
        (&[proofs[0].clone(), proofs[0].clone()][..], "old root"),
        (&[proofs[1].clone(), proofs[0].clone()][..], "old root"),
    ] {
        let broken = append(&start, &first, segments);
        assert!(matches!(&broken, Err(VerifyError::Chain { what: got, .. }) if *got == what), "{what}: {broken:?}");
    }
    assert!(matches!(append(&start, &first, &[]), Err(VerifyError::Batch { what: "segments", .. })));

    // Published data with a rejection that was not executed, and without a command that was.
    let mut longer = first.clone();
    longer.commands.push(deposit(ALICE, 0));
    longer.outcomes.push(Outcome::Rejected(Reject::AmountZero));
    let broken = append(&start, &longer, &proofs);
    assert!(matches!(broken, Err(VerifyError::Batch { what: "commands", .. })), "{broken:?}");
    let mut other = first.clone();
    other.commands[0] = deposit(BOB, 1);
    let broken = append(&start, &other, &proofs);
    assert!(matches!(broken, Err(VerifyError::Batch { what: "digest of the published data", .. })), "{broken:?}");
}

/// A rejection dropped from what is executed and published alike proves well, but not the data that others have seen.
#[test]
fn a_dropped_rejection_is_not_the_published_data() {
    let stage = Stage::new();
    let mut engine = stage.engine.clone();
    let published = vec![deposit(ALICE, 100), deposit(ALICE, 0), deposit(BOB, 200)];
    let outcomes: Vec<Outcome> = published.iter().map(|command| engine.apply(command)).collect();
    assert_eq!(outcomes[1], Outcome::Rejected(Reject::AmountZero));
    let seen = Batch { header: BatchHeader { number: 2 }, commands: published.clone(), outcomes };

    let (_, proofs) = prove_batch(&mut stage.engine.clone(), 2, vec![published[0], published[2]], 1000);
    let mut chain = Chain { root: stage.tree().root(), batches: 1, time: None };
    let refused = chain.append(PROVER.verifying_key(), 3, &batch_digest(&seen), &proofs);
    assert!(matches!(refused, Err(VerifyError::Batch { what: "commands", .. })), "{refused:?}");
    let refused = chain.append(PROVER.verifying_key(), 2, &batch_digest(&seen), &proofs);
    assert!(matches!(refused, Err(VerifyError::Batch { what: "digest of the published data", .. })), "{refused:?}");
}

/// A few commands of every scenario, proven.
#[test]
fn segments_of_every_scenario_prove() {
    const COMMANDS: usize = 60;
    const SEED: u64 = 3;
    println!("seed {SEED}");
    for scenario in Scenario::all() {
        let mut native = engine(&scenario);
        let mut filled = engine(&scenario);
        let mut tree = filled.tree().clone();
        let mut builder = Builder::new(filled.store_mut(), 0, digest_start(1));
        for command in scenario.commands(SEED, COMMANDS) {
            assert_eq!(builder.apply(&command), native.apply(&command));
        }
        let public = verify_segment(PROVER.verifying_key(), &prove(builder.finish(&mut tree, true)));
        let root: Option<Digest> = public.ok().map(|public| public.root_new);
        assert_eq!(root, Some(native.close_batch()), "{}", scenario.name);
    }
}

#[test]
fn forged_segments_do_not_prove() {
    let checker = checker();
    let honest = |change: fn(&mut Segment)| {
        let mut forger = Stage::new().forger();
        forger.apply(&mut Honest, &deposit(ALICE, 100));
        let mut segment = forger.finish(&checker, true);
        change(&mut segment);
        segment
    };
    fn cell(segment: &mut Segment, table: Table, column: usize) -> &mut F {
        &mut segment.traces[table.index()].as_mut().expect("the table has rows").values[column]
    }
    assert_eq!(refusal(honest(|_| ())), Ok(()));
    for (name, segment) in [
        ("a skipped maker", skipped_maker(&checker)),
        ("a wrong neighbour", wrong_neighbour(&checker, FIRST)),
        ("a forged rejection", forged_rejection(&checker)),
        ("a stale read", stale_read(&checker)),
        ("a slot with two histories", split_history(&checker)),
        ("a changed untouched slot", changed_untouched_child(&checker)),
        ("an invented end", invented_end(&checker)),
        ("a root from another batch", honest(|segment| segment.public.root_old[0] += F::ONE)),
        ("a tampered command", honest(|segment| *cell(segment, Table::Commands, 3) += F::ONE)),
        ("a tampered hash", honest(|segment| *cell(segment, Table::Poseidon2, 100) += F::ONE)),
        ("a tampered range", honest(|segment| *cell(segment, Table::Range, 3) += F::ONE)),
    ] {
        let refused = refusal(segment).expect_err(name);
        println!("{name}: {refused}");
    }
}
