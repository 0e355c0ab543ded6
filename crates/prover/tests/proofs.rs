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
        ALICE, BOB, CAROL, DAVE, FIRST, OPERATOR, SECOND, Stage, buy, by_second, changed_untouched_child, deposit,
        forged_rejection, invented_end, open, register, revoke, sell, skipped_maker, split_history, stale_read,
        wrong_neighbour,
    },
    authority::{
        altered_extension, repeated_ladder, seal_by_invention, seal_without_signature, unregistered_key,
        unsealed_batch, unsealed_batch_denied, unsealed_key_lost,
    },
    carry_out, checker, engine,
    forge::Honest,
};
use holdfast_circuit::{
    air::Table,
    verify::{Chain, SegmentProof, VerifyError, verify_segment, verifying_key},
    witness::{Builder, Segment},
};
use holdfast_crypto::{Digest, F, field::digest_to_hex};
use holdfast_exchange::{Engine, step::Step};
use holdfast_protocol::publication::{Progress, point_in_calldata};
use holdfast_protocol::{Batch, Instruction, Outcome, Reject};
use holdfast_prover::{BatchError, Prover, SegmentLimits, fill_batch};
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

/// Executes a batch, and proves it in segments of at most `rows` steps and an instruction, or a signature.
fn prove_batch(
    engine: &mut Engine,
    number: u32,
    instructions: &[Instruction],
    rows: usize,
) -> (Batch, Vec<SegmentProof>) {
    let mut rehearsal = engine.clone();
    let batch = carry_out(&mut rehearsal, number, instructions);
    let limits = SegmentLimits { rows, ..SegmentLimits::default() };
    let mut proofs = Vec::new();
    let mut tree = engine.tree().clone();
    let take = |_, segment| {
        proofs.push(prove(segment));
        Ok::<(), BatchError>(())
    };
    fill_batch(engine.store_mut(), &mut tree, &batch, point_in_calldata(&batch), limits, take)
        .expect("the outcomes are those of the rules");
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
    let (first, proofs) = prove_batch(&mut engine, 1, &Stage::instructions(), 30);
    assert_eq!(proofs.len(), 2);
    let first_root = engine.root();
    let (second, second_proofs) = prove_batch(&mut engine, 2, &[], 30);
    let key = PROVER.verifying_key();
    let append = |chain: &Chain, batch: &Batch, proofs: &[SegmentProof]| {
        let mut chain = chain.clone();
        let instructions = batch.instructions.len() as u32;
        chain.append(key, instructions, &Progress::end_in_calldata(batch), proofs).map(|()| chain)
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

    // Published data with a rejection that was not executed, and without an instruction that was.
    let mut longer = first.clone();
    longer.instructions.push(deposit(ALICE, 0));
    longer.outcomes.push(Outcome::Rejected(Reject::AmountZero));
    let broken = append(&start, &longer, &proofs);
    assert!(matches!(broken, Err(VerifyError::Batch { what: "instructions", .. })), "{broken:?}");
    let mut other = first.clone();
    other.instructions[0] = deposit(BOB, 1);
    let broken = append(&start, &other, &proofs);
    assert!(matches!(broken, Err(VerifyError::Batch { what: "digest of the published data", .. })), "{broken:?}");
}

/// A rejection dropped from what is executed and published alike, and signed so, proves well, but not the data that others have seen.
#[test]
fn a_dropped_rejection_is_not_the_published_data() {
    let stage = Stage::new();
    let published = [deposit(ALICE, 100), deposit(ALICE, 0), deposit(BOB, 200)];
    let seen = carry_out(&mut stage.engine.clone(), 2, &published);
    assert_eq!(seen.outcomes[1], Outcome::Rejected(Reject::AmountZero));

    let (_, proofs) = prove_batch(&mut stage.engine.clone(), 2, &[published[0], published[2]], 1000);
    let mut chain = Chain { root: stage.tree().root(), batches: 1, time: None };
    let refused = chain.append(PROVER.verifying_key(), 3, &Progress::end_in_calldata(&seen), &proofs);
    assert!(matches!(refused, Err(VerifyError::Batch { what: "instructions", .. })), "{refused:?}");
    let refused = chain.append(PROVER.verifying_key(), 2, &Progress::end_in_calldata(&seen), &proofs);
    assert!(matches!(refused, Err(VerifyError::Batch { what: "digest of the published data", .. })), "{refused:?}");
}

/// What sessions do: keys come and go, each sealed before it goes, and six sessions are sealed at the end.
fn busy_day() -> Vec<Instruction> {
    vec![
        open(OPERATOR, DAVE),
        register(DAVE, 0, false, 40),
        deposit(DAVE, 1 << 30),
        buy(ALICE, 9_985, 10),
        by_second(sell(ALICE, 10_030, 10)),
        by_second(buy(BOB, 9_985, 10)),
        Instruction { key: common::attacks::key_index(0), ..sell(DAVE, 9_980, 5) },
        register(DAVE, 0, true, 41),
        revoke(BOB, SECOND),
        sell(DAVE, 9_980, 5),
        buy(CAROL, 9_950, 1),
        by_second(register(OPERATOR, 0, true, 42)),
        buy(BOB, 9_950, 1),
    ]
}

/// One segment with all of a batch's signatures, and the same batch in several segments, of which the last one checks six of nine.
#[test]
fn signed_batches_prove() {
    let stage = Stage::new();
    let start = Chain { root: stage.tree().root(), batches: 1, time: None };
    let mut roots = Vec::new();
    for (rows, segments) in [(1_000, 1), (24, 3)] {
        let mut engine = stage.engine.clone();
        let (batch, proofs) = prove_batch(&mut engine, 2, &busy_day(), rows);
        let instructions = batch.instructions.len() as u32;
        let at_the_end = batch.seals.iter().filter(|seal| seal.after == instructions).count();
        assert_eq!((batch.seals.len(), at_the_end, proofs.len()), (9, 6, segments));
        let append = |proofs: &[SegmentProof]| {
            let mut chain = start.clone();
            chain
                .append(PROVER.verifying_key(), instructions, &Progress::end_in_calldata(&batch), proofs)
                .map(|()| chain)
        };
        let chain = append(&proofs).expect("the batch is proven");
        assert_eq!(chain.root, engine.root());
        roots.push(chain.root);
        if segments > 1 {
            // Without its last segment the batch is not closed.
            let refused = append(&proofs[..segments - 1]);
            assert!(matches!(refused, Err(VerifyError::Chain { what: "batches closed after", .. })), "{refused:?}");
        }
    }
    assert_eq!(roots[0], roots[1]);
}

/// What a batch lacks is found out before anything is proven.
#[test]
fn a_batch_without_a_seal_is_not_proven() {
    let stage = Stage::new();
    let instructions = [buy(ALICE, 9_985, 10), revoke(ALICE, 0)];
    let batch = carry_out(&mut stage.engine.clone(), 2, &instructions);
    assert_eq!(batch.seals.len(), 2);
    let fill = |batch: &Batch| {
        let mut engine = stage.engine.clone();
        let (store, tree) = engine.parts_mut();
        fill_batch(store, tree, batch, point_in_calldata(batch), SegmentLimits::default(), |_, _| {
            Ok::<(), BatchError>(())
        })
    };
    assert_eq!(fill(&batch), Ok(()));
    let mut unsealed = batch.clone();
    unsealed.seals.pop();
    assert_eq!(fill(&unsealed), Err(BatchError::Unsealed { batch: 2, unsealed: 1 }));
    let mut unsealed = batch.clone();
    unsealed.seals.remove(0);
    assert!(matches!(fill(&unsealed), Err(BatchError::Instruction { batch: 2, instruction: 1, .. })));
    let mut exchanged = batch.clone();
    exchanged.seals[0].signature = batch.seals[1].signature;
    assert!(matches!(fill(&exchanged), Err(BatchError::Seal { batch: 2, seal: 0, .. })));
    let mut twice = batch.clone();
    twice.seals.push(batch.seals[1]);
    assert!(matches!(fill(&twice), Err(BatchError::Seal { batch: 2, seal: 2, .. })));
}

/// A few instructions of every scenario, proven.
#[test]
fn segments_of_every_scenario_prove() {
    const INSTRUCTIONS: usize = 60;
    const SEED: u64 = 3;
    println!("seed {SEED}");
    for scenario in Scenario::all() {
        let mut native = engine(&scenario);
        let mut filled = engine(&scenario);
        let mut tree = filled.tree().clone();
        let batch = carry_out(&mut native, 1, &scenario.commands(SEED, INSTRUCTIONS));
        let mut builder = Builder::new(filled.store_mut(), 0, common::start(1));
        let mut seals = batch.seals.iter().peekable();
        for at in 0..=INSTRUCTIONS {
            while let Some(seal) = seals.next_if(|seal| seal.after as usize == at) {
                assert_eq!(builder.seal(seal), Ok(()));
            }
            if let Some(instruction) = batch.instructions.get(at) {
                assert_eq!(builder.apply(instruction), Ok(batch.outcomes[at]));
            }
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
        let mut segment = forger.close(&checker);
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
        ("an unsealed batch", unsealed_batch(&checker)),
        ("an unsealed batch denied", unsealed_batch_denied(&checker)),
        ("a seal without a signature", seal_without_signature(&checker)),
        ("a seal by invention", seal_by_invention(&checker)),
        ("a ladder for two signatures", repeated_ladder(&checker)),
        ("an instruction of a revoked key", unregistered_key(&checker, true)),
        ("a key replaced before it has signed", unsealed_key_lost(&checker, true)),
        ("another public key than the published one", altered_extension(&checker, Step::Register, 9)),
        ("a root from another batch", honest(|segment| segment.public.root_old[0] += F::ONE)),
        ("a tampered instruction", honest(|segment| *cell(segment, Table::Step(Step::Authorise), 30) += F::ONE)),
        ("a tampered ladder", honest(|segment| *cell(segment, Table::Ladder, 60) += F::ONE)),
        ("a tampered hash", honest(|segment| *cell(segment, Table::Poseidon2, 100) += F::ONE)),
        ("a tampered range", honest(|segment| *cell(segment, Table::Range, 3) += F::ONE)),
    ] {
        let refused = refusal(segment).expect_err(name);
        println!("{name}: {refused}");
    }
}
