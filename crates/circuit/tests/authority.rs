//! Session keys in the circuit: signed batches are accepted, and nothing that a session's key has not signed.

mod common;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use common::{
    Refusal,
    attacks::{
        ALICE, Adder, BOB, CAROL, DAVE, Liar, NEVER, OPERATOR, Reader, SECOND, START, Stage, buy, by_second, cancel,
        deposit, first, id, key_index, open, register, revoke, secret_of, sell, time, time_of, withdraw,
    },
    authority::{
        FIRST_SESSION, SECOND_SESSION, alice_asked, altered_extension, check_head, exchanged_rows, invent, reader,
        reader_of, repeated_ladder, seal_by_invention, seal_without_signature, sealed_by_another_key, sealed_with,
        session, signed_heads, unregistered_key, unsealed_batch, unsealed_batch_denied, unsealed_key_lost,
    },
    check, checker,
    forge::{At, Forger, Honest, Place, Prover, SessionPlace, Version},
    refusal,
};
use holdfast_circuit::{
    air::{SYSTEM_UNSEALED, Table},
    check::Checker,
    row::Bus,
    step_table::command_entry,
    witness::Builder,
};
use holdfast_crypto::{Digest, scalar::Scalar};
use holdfast_exchange::{Refusal as NotLetIn, Sequencer, slots::Kind, step::Step};
use holdfast_protocol::{
    Batch, BatchHeader, Command, Instruction, Outcome, Register, Reject, Request, Revoke, Seal, authority::Session,
    publication::Progress,
};
use holdfast_sim::keyring::secret;

const fn in_step(step: Step) -> Refusal {
    Refusal::Constraint(Table::Step(step))
}

fn apply(forger: &mut Forger, instruction: &Instruction) -> Outcome {
    forger.apply(&mut Honest, instruction)
}

fn stage() -> Forger {
    Stage::new().forger()
}

/// The client's end of a session of the stage.
fn client(stage: &Stage, account: u32, key: u32) -> Session {
    let session = stage.store().session(account, key);
    let index = key_index(key);
    match session.live {
        true => Session::resume(secret(secret_of(account, key)), index, session.sequence, session.head),
        false => {
            Session::new(secret(secret_of(account, key)), &stage.store().deployment().domain, id(account), index, 1)
        }
    }
}

/// From signed requests by way of the sequencer to a segment.
#[test]
fn a_signed_batch_satisfies_the_constraints() {
    let stage = Stage::new();
    let mut operator = client(&stage, OPERATOR, 0);
    let mut alice = client(&stage, ALICE, 0);
    let mut dave = client(&stage, DAVE, 0);
    let request = |session: &mut Session, instruction: Instruction| session.request(instruction.command);
    let requests: Vec<(Request, Outcome)> = [
        (request(&mut operator, open(OPERATOR, DAVE)), None),
        (request(&mut operator, register(DAVE, 0, false, secret_of(DAVE, 0))), None),
        (request(&mut operator, register(DAVE, 0, false, 40)), Some(Reject::KeyInUse)),
        (request(&mut operator, deposit(DAVE, 1 << 30)), None),
        (request(&mut alice, sell(ALICE, 9_970, 10)), None),
        (request(&mut dave, buy(DAVE, 9_960, 10)), None),
        (request(&mut dave, sell(DAVE, 9_970, 10)), None),
        (request(&mut operator, revoke(DAVE, 0)), None),
        (request(&mut operator, revoke(OPERATOR, 0)), Some(Reject::OwnKey)),
    ]
    .map(|(request, reject)| (request, reject.map_or(Outcome::Accepted, Outcome::Rejected)))
    .into();
    let (mut store, mut tree) = (stage.store().clone(), stage.tree().clone());
    let mut sequencer = Sequencer::new(stage.engine.clone());
    for (request, outcome) in &requests {
        assert_eq!(sequencer.submit(request), Ok(*outcome));
    }
    let (batch, root) = sequencer.close_batch();
    assert_eq!(batch.seals.len(), 3);

    let mut builder = Builder::new(&mut store, 0, common::start(2));
    let mut seals = batch.seals.iter().peekable();
    for at in 0..=batch.instructions.len() {
        while let Some(seal) = seals.next_if(|seal| seal.after as usize == at) {
            assert_eq!(builder.seal(seal), Ok(()));
        }
        if let Some(instruction) = batch.instructions.get(at) {
            assert_eq!(builder.apply(instruction), Ok(batch.outcomes[at]));
        }
    }
    let segment = builder.finish(&mut tree, true);
    let published = Progress::end(&batch, common::POINT).digest(time_of(segment.public.time_end));
    assert_eq!((segment.public.root_new, segment.public.digest_out), (root, published));
    assert_eq!(refusal(&segment), None);
}

/// What is unsealed at the end of a segment can be sealed in the next.
#[test]
fn a_batch_sealed_in_its_last_segment_is_accepted() {
    let stage = Stage::new();
    let (mut store, mut tree) = (stage.store().clone(), stage.tree().clone());
    let instructions =
        [buy(ALICE, 9_985, 10), deposit(ALICE, 100), by_second(buy(ALICE, 9_984, 10)), buy(BOB, 9_983, 10)];
    let (mut sequence, mut progress) = (0, common::start(2));
    for instruction in &instructions {
        let mut builder = Builder::new(&mut store, sequence, progress);
        assert_eq!(builder.apply(instruction), Ok(Outcome::Accepted));
        (sequence, progress) = (builder.sequence(), builder.progress());
        let segment = builder.finish(&mut tree, false);
        assert_eq!(refusal(&segment), None);
    }
    // Closed too early, or after three of four.
    for sealed in [0, 3, 4] {
        let (mut store, mut tree) = (store.clone(), tree.clone());
        let unsealed = common::unsealed(&store);
        assert_eq!(unsealed.len(), 4);
        let seals: Vec<_> =
            unsealed[..sealed].iter().map(|&session| common::seal_of(&store, session, sequence)).collect();
        let mut builder = Builder::new(&mut store, sequence, progress);
        for seal in &seals {
            assert_eq!(builder.seal(seal), Ok(()));
        }
        let expected = (sealed < 4).then_some(Refusal::Constraint(Table::Segment));
        assert_eq!(refusal(&builder.finish(&mut tree, true)), expected);
    }
}

// A batch is closed when every session is sealed.

#[test]
fn a_batch_closed_with_an_unsealed_session_violates_the_segment() {
    check(&unsealed_batch(&checker()), Refusal::Constraint(Table::Segment));
}

#[test]
fn an_unsealed_session_denied_is_missed_by_the_memory() {
    check(&unsealed_batch_denied(&checker()), Refusal::Bus(Bus::Memory));
}

/// The session, or the count of unsealed ones, read as it must have been for nothing to be left to seal.
#[test]
fn an_unsealed_session_that_is_not_counted_is_missed_by_the_memory() {
    let checker = checker();
    let instruction = buy(ALICE, 9_985, 10);
    let mut forgers = [stage(), stage()];
    forgers[0].apply(&mut reader_of(Step::Authorise, Kind::Session, session::UNSEALED, 1), &instruction);
    forgers[1].apply(&mut reader_of(Step::Authorise, Kind::System, SYSTEM_UNSEALED, -1), &instruction);
    for forger in forgers {
        check(&forger.finish(&checker, true), Refusal::Bus(Bus::Memory));
    }
}

/// The count is brought down by sealing something else: a session that is sealed, or the same one twice.
#[test]
fn a_seal_of_what_is_not_unsealed_is_refused() {
    let checker = checker();
    let bob: SessionPlace = (BOB, 0);
    let mut forger = alice_asked();
    forger.seal(&mut Honest, bob);
    check(&forger.finish(&checker, true), in_step(Step::Seal));
    let mut forger = alice_asked();
    forger.seal(&mut reader_of(Step::Seal, Kind::Session, session::UNSEALED, 1), bob);
    check(&forger.finish(&checker, true), Refusal::Bus(Bus::Memory));

    let both = || {
        let mut forger = alice_asked();
        apply(&mut forger, &buy(BOB, 9_985, 10));
        forger.seal(&mut Honest, bob);
        forger
    };
    let mut forger = both();
    forger.seal(&mut Honest, bob);
    check(&forger.finish(&checker, true), in_step(Step::Seal));
    // As it was before.
    let mut forger = both();
    forger.seal(&mut reader(Step::Seal, Kind::Session, |version, all| *version = all[all.len() - 2].clone()), bob);
    check(&forger.finish(&checker, true), Refusal::Bus(Bus::Memory));
    // A seal that takes two off the count.
    let mut forger = alice_asked();
    apply(&mut forger, &buy(BOB, 9_985, 10));
    forger.seal(&mut reader_of(Step::Seal, Kind::System, SYSTEM_UNSEALED, 1), bob);
    check(&forger.finish(&checker, true), Refusal::Bus(Bus::Memory));
}

#[test]
fn a_batch_counted_but_not_closed_violates_the_segment() {
    let mut segment = alice_asked().finish(&checker(), false);
    segment.public.batches_end += 1;
    check(&segment, Refusal::Constraint(Table::Segment));
}

/// A seal belongs between two instructions: within one, nothing hands it the number of the next.
#[test]
fn a_seal_within_an_instruction_breaks_the_chain_of_steps() {
    let mut forger = stage();
    forger.authorise_only(&mut Honest, &buy(ALICE, 9_985, 10), Outcome::Accepted);
    forger.seal(&mut Honest, FIRST_SESSION);
    check(&forger.finish(&checker(), false), Refusal::Bus(Bus::Step));
}

// A seal takes a signature of the session's head by the session's key.

#[test]
fn a_seal_without_a_signature_is_refused() {
    check(&seal_without_signature(&checker()), Refusal::Bus(Bus::Signature));
}

#[test]
fn a_seal_by_another_key_is_refused() {
    check(&sealed_by_another_key(&checker()), Refusal::Bus(Bus::Signature));
}

/// R and s that are nothing, those of the session's last seal, or those of another session.
#[test]
fn a_seal_by_invention_misses_the_end_of_its_ladder() {
    let checker = checker();
    check(&seal_by_invention(&checker), Refusal::Bus(Bus::Ladder));
    let stage = Stage::new();
    let old = stage.store().session(ALICE, 0).head;
    for signer in [secret_of(ALICE, 0), secret_of(BOB, 0)] {
        let mut forger = alice_asked();
        let claim = forger.seal_unchecked(&mut Honest, FIRST_SESSION);
        let heads = [old, claim.1];
        for head in heads.into_iter().filter(|head| *head != claim.1 || signer != secret_of(ALICE, 0)) {
            let signature = secret(signer).sign(&head);
            let mut forger = forger.clone();
            let commitment = holdfast_crypto::schnorr::PublicKey::new(*signature.r());
            invent(&mut forger, &claim, &commitment, signature.s());
            check(&forger.finish(&checker, true), Refusal::Bus(Bus::Ladder));
        }
        invent(&mut forger, &claim, &secret(signer).public_key(), &Scalar::ZERO);
        check(&forger.finish(&checker, true), Refusal::Bus(Bus::Ladder));
    }
}

#[test]
fn another_ladder_than_the_signatures_own_is_refused() {
    let checker = checker();
    check(&repeated_ladder(&checker), Refusal::Bus(Bus::Ladder));
    // (Rows of the same step exchanged are the same two ladders.)
    assert_eq!(refusal(&exchanged_rows(&checker, [4, 4])), None);
    for rows in [[0, 1], [7, 0], [3, 4], [6, 5]] {
        check(&exchanged_rows(&checker, rows), Refusal::Bus(Bus::Ladder));
    }
}

// A signature covers all that its session has asked for, in order, once.

/// What Alice's first key asks for, and signs after each.
fn asked() -> [Instruction; 3] {
    [buy(ALICE, 9_985, 10), cancel(ALICE, holdfast_protocol::limits::FIRST_ORDER), sell(ALICE, 10_005, 10)]
}

fn carry_out(forger: &mut Forger, instructions: &[Instruction]) {
    for instruction in instructions {
        apply(forger, instruction);
    }
}

/// Seals a session with each of the signatures that there are.
#[track_caller]
fn check_signatures(forger: &Forger, checker: &Checker<'_>, session: SessionPlace, heads: &[Digest]) {
    for head in heads {
        check(&sealed_with(forger.clone(), checker, session, head), Refusal::Bus(Bus::Signature));
    }
}

#[test]
fn a_beginning_of_a_session_is_accepted_with_its_own_signature() {
    let checker = checker();
    let heads = signed_heads(&asked());
    for (count, own) in (1..).zip(&heads) {
        let mut forger = stage();
        carry_out(&mut forger, &asked()[..count]);
        for head in &heads {
            let expected = (head != own).then_some(Refusal::Bus(Bus::Signature));
            assert_eq!(refusal(&sealed_with(forger.clone(), &checker, FIRST_SESSION, head)), expected);
        }
    }
}

#[test]
fn instructions_left_out_altered_inserted_repeated_or_reordered_are_not_signed() {
    let checker = checker();
    let heads = signed_heads(&asked());
    let [a, b, c] = asked();
    let other = buy(ALICE, 9_985, 11);
    for carried_out in [
        vec![a, c],
        vec![b, c],
        vec![b],
        vec![c],
        vec![other, b, c],
        vec![a, b, sell(ALICE, 10_006, 10)],
        vec![a, other, b, c],
        vec![other, a, b, c],
        vec![a, b, c, other],
        vec![b, a, c],
        vec![a, c, b],
        vec![a, a, b, c],
        vec![a, b, b],
    ] {
        let mut forger = stage();
        carry_out(&mut forger, &carried_out);
        check_signatures(&forger, &checker, FIRST_SESSION, &heads);
    }
}

#[test]
fn instructions_moved_to_another_session_are_not_signed() {
    let checker = checker();
    let heads = signed_heads(&asked());
    let mut forger = stage();
    carry_out(&mut forger, &asked().map(by_second));
    check_signatures(&forger, &checker, SECOND_SESSION, &heads);
    // The second key's own signature of the first one's heads, too.
    let own = forger.session(SECOND_SESSION).public_key;
    for head in &heads {
        let mut forger = forger.clone();
        let _claim = forger.seal_unchecked(&mut Honest, SECOND_SESSION);
        check_head(&mut forger, own, head);
        check(&forger.finish(&checker, false), Refusal::Bus(Bus::Signature));
    }
}

/// The first segment carries them out, sealed; the second does so again.
#[test]
fn instructions_replayed_in_a_later_segment_are_not_signed() {
    let checker = checker();
    let heads = signed_heads(&asked());
    let mut stage = Stage::new();
    for instruction in asked() {
        assert_eq!(stage.engine.instruct(&instruction), Ok(Outcome::Accepted));
    }
    common::seal_all(&mut stage.engine);
    let _root = stage.engine.close_batch();
    for count in 1..=3 {
        let mut forger = stage.forger();
        carry_out(&mut forger, &asked()[..count]);
        check_signatures(&forger, &checker, FIRST_SESSION, &heads);
    }
}

/// The head as it was, with its own valid signature: by the seal, or by the next instruction.
#[test]
fn a_head_rolled_back_is_missed_by_the_memory() {
    let checker = checker();
    let [a, b, _] = asked();
    let mut forger = stage();
    carry_out(&mut forger, &[a, b]);
    let mut earlier = reader(Step::Seal, Kind::Session, |version, all| *version = all[all.len() - 2].clone());
    let mut rolled_back = forger.clone();
    rolled_back.seal(&mut earlier, FIRST_SESSION);
    check(&rolled_back.finish(&checker, true), Refusal::Bus(Bus::Memory));
    // The latest version with the earlier head.
    let mut earlier = reader(Step::Seal, Kind::Session, |version, all| {
        version.cells[session::SEQUENCE..].clone_from_slice(&all[all.len() - 2].cells[session::SEQUENCE..]);
    });
    forger.seal(&mut earlier, FIRST_SESSION);
    check(&forger.finish(&checker, true), Refusal::Bus(Bus::Memory));

    let mut forger = stage();
    apply(&mut forger, &a);
    forger.apply(&mut reader(Step::Authorise, Kind::Session, |version, all| *version = all[0].clone()), &b);
    forger.seal_all(&mut Honest);
    check(&forger.finish(&checker, false), Refusal::Bus(Bus::Memory));
}

/// The operator signs a key, and another one is registered and published.
#[test]
fn another_extension_than_the_signed_one_is_not_signed() {
    let checker = checker();
    let operator: SessionPlace = (OPERATOR, 0);
    let mut signed = stage();
    apply(&mut signed, &register(ALICE, 2, false, 40));
    let head = signed.session(operator).head;
    assert_eq!(refusal(&sealed_with(signed, &checker, operator, &head)), None);
    let mut forger = stage();
    apply(&mut forger, &register(ALICE, 2, false, 41));
    check_signatures(&forger, &checker, operator, &[head]);
}

/// A key registered again does not bring back what it has signed before.
#[test]
fn signatures_of_an_earlier_registration_are_none() {
    let checker = checker();
    let heads = signed_heads(&asked());
    let mut forger = stage();
    apply(&mut forger, &register(ALICE, 0, true, secret_of(ALICE, 0)));
    carry_out(&mut forger, &asked());
    check_signatures(&forger, &checker, FIRST_SESSION, &heads);
    // Nor by its first registration's first instructions: the stage has some.
    let mut first_heads = Vec::new();
    let genesis = holdfast_exchange::Engine::new(&common::attacks::genesis()).expect("the genesis is valid");
    let alices: Vec<Instruction> = Stage::instructions()
        .into_iter()
        .filter(|instruction| instruction.session() == (id(ALICE), key_index(0)))
        .collect();
    let mut client =
        Session::new(secret(secret_of(ALICE, 0)), &genesis.store().deployment().domain, id(ALICE), key_index(0), 1);
    for instruction in &alices {
        client.extend(instruction.command);
        first_heads.push(*client.head());
    }
    assert!(first_heads.contains(&Stage::new().store().session(ALICE, 0).head), "these heads are those of the stage");
    let mut forger = stage();
    apply(&mut forger, &register(ALICE, 0, true, secret_of(ALICE, 0)));
    carry_out(&mut forger, &alices);
    check_signatures(&forger, &checker, FIRST_SESSION, &first_heads);
}

// Instructions come from registered keys, and get what those are granted.

#[test]
fn an_instruction_of_an_unregistered_key_violates_the_authorisation() {
    let checker = checker();
    for revoked in [false, true] {
        check(&unregistered_key(&checker, revoked), in_step(Step::Authorise));
    }
    let mut forger = stage();
    apply(&mut forger, &revoke(ALICE, SECOND));
    let instruction = by_second(buy(ALICE, 9_985, 10));
    for change in 0..2 {
        let mut forger = forger.clone();
        let mut reader = reader(Step::Authorise, Kind::Session, |version, all| match change {
            0 => version.cells[session::LIVE] = 1,
            _ => *version = all[0].clone(),
        });
        forger.apply(&mut reader, &instruction);
        check(&forger.finish(&checker, false), Refusal::Bus(Bus::Memory));
    }
}

/// The command of one account under the session of another, or of another key.
#[test]
fn a_command_under_another_session_is_not_received() {
    let checker = checker();
    let instruction = buy(ALICE, 9_985, 10);
    let mut forger = stage();
    forger.execute(&mut Honest, 0, &buy(BOB, 9_985, 10), &instruction.command);
    check(&forger.finish(&checker, false), Refusal::Bus(Bus::Command));
    // The key of a grant decides which session absorbs the extension.
    let mut forger = stage();
    forger.apply(
        &mut Adder { clock: 2, column: grant_column(Step::Register) + 1, added: 1 },
        &register(ALICE, 2, false, 40),
    );
    check(&forger.finish(&checker, false), Refusal::Bus(Bus::Step));
}

/// First column of what a command's step is granted: sequence, account, key, expired, withdraws.
const fn grant_column(step: Step) -> usize {
    match step {
        Step::Open => 2 + 2 * 8 + 1,
        Step::Register => 2 + 3 * 8 + 1,
        _ => 2,
    }
}

#[test]
fn forged_grants_are_refused() {
    let checker = checker();
    for (instruction, reject, granted, honest) in [
        (by_second(buy(BOB, 9_985, 10)), Reject::KeyExpired, 3, 1),
        (by_second(withdraw(ALICE, 100)), Reject::KeyNotPermitted, 4, 0),
    ] {
        let honest_outcome = Outcome::Rejected(reject);
        let mut forger = stage();
        assert_eq!(apply(&mut forger, &instruction), honest_outcome);
        assert_eq!(refusal(&forger.close(&checker)), None);
        // The command's step says otherwise.
        let (step, _) = command_entry(&instruction.command);
        let mut forger = stage();
        let added = 1 - 2 * honest;
        let mut adder = Adder { clock: 2, column: grant_column(step) + granted, added };
        assert_eq!(forger.apply(&mut adder, &instruction), Outcome::Accepted);
        check(&forger.finish(&checker, false), Refusal::Bus(Bus::Step));
        // A bit of the authorisation turned.
        let mut refusals = Vec::new();
        for column in 1..checker.table(Table::Step(Step::Authorise)).width {
            let mut forger = stage();
            let executed = AssertUnwindSafe(|| forger.apply(&mut Liar { clock: 1, column }, &instruction));
            let Ok(outcome) = catch_unwind(executed) else { continue };
            let refusal = refusal(&forger.finish(&checker, false));
            if outcome != honest_outcome {
                refusals.push(refusal.unwrap_or_else(|| panic!("column {column}: {outcome:?} is accepted")));
            }
        }
        println!("{instruction:?}: {refusals:?}");
        assert!(!refusals.is_empty(), "some bit of the authorisation grants it");
        assert!(refusals.contains(&in_step(Step::Authorise)) || refusals.contains(&Refusal::Bus(Bus::Memory)));
    }
    // The session read with more than it has.
    for (instruction, cell, value) in [
        (by_second(buy(BOB, 9_985, 10)), session::EXPIRY + 1, (1 << 14) - 1),
        (by_second(withdraw(ALICE, 100)), session::WITHDRAWS, 1),
    ] {
        let mut forger = stage();
        forger.apply(&mut reader_of(Step::Authorise, Kind::Session, cell, value), &instruction);
        check(&forger.finish(&checker, false), Refusal::Bus(Bus::Memory));
    }
}

/// At its last moment a key is still good.
#[test]
fn a_key_expires_after_its_last_moment() {
    let expiry = START + 5;
    let Command::Register(fields) = register(CAROL, 1, false, 40).command else { unreachable!("a registration") };
    let register = first(Command::Register(Register { expiry: time_of(expiry), ..fields }));
    let order = by_second(buy(CAROL, 9_985, 10));
    let mut forger = stage();
    for (instruction, reject) in [
        (register, None),
        (time(OPERATOR, expiry), None),
        (order, None),
        (time(OPERATOR, expiry + 1), None),
        (order, Some(Reject::KeyExpired)),
        (time(OPERATOR, NEVER), None),
        (order, Some(Reject::KeyExpired)),
        (buy(CAROL, 9_985, 10), None),
    ] {
        assert_eq!(apply(&mut forger, &instruction), reject.map_or(Outcome::Accepted, Outcome::Rejected));
    }
    assert_eq!(refusal(&forger.close(&checker())), None);
}

// A key does not go before it has signed.

#[test]
fn a_key_lost_while_unsealed_violates_its_guard() {
    let checker = checker();
    check(&unsealed_key_lost(&checker, true), in_step(Step::Register));
    check(&unsealed_key_lost(&checker, false), in_step(Step::Revoke));
    for (instruction, step) in [(register(ALICE, 0, true, 40), Step::Register), (revoke(ALICE, 0), Step::Revoke)] {
        for change in 0..2 {
            let mut forger = alice_asked();
            let mut reader = Reader(|at: At, (kind, account, _): Place, versions: &[Version]| {
                if (at.step, kind, account) != (step, Kind::Session, ALICE) {
                    return None;
                }
                let mut version = versions[change].clone();
                version.cells[session::UNSEALED] = 0;
                Some(version)
            });
            assert_eq!(forger.apply(&mut reader, &instruction), Outcome::Accepted);
            check(&forger.finish(&checker, false), Refusal::Bus(Bus::Memory));
        }
        // Sealed before, it goes.
        let mut forger = alice_asked();
        forger.seal(&mut Honest, FIRST_SESSION);
        assert_eq!(apply(&mut forger, &instruction), Outcome::Accepted);
        assert_eq!(refusal(&forger.close(&checker)), None);
    }
}

/// What the engine does not let in has no rows that are accepted, and what it lets in has: an instruction of a key that is not registered, and one of the operator, accepted or rejected,
/// about a key that is not sealed (but for the key that it signs with).
#[test]
fn what_the_engine_does_not_let_in_is_refused() {
    let checker = checker();
    let by_bob = |instruction: Instruction| match instruction.command {
        Command::Register(c) => first(Command::Register(Register { sender: id(BOB), ..c })),
        Command::Revoke(c) => first(Command::Revoke(Revoke { sender: id(BOB), ..c })),
        _ => unreachable!("a command about a key"),
    };
    let no_key = |account: u32, key: u32| Err(NotLetIn::NoKey { account: id(account), key: key_index(key) });
    let unsealed = |account: u32, key: u32| Err(NotLetIn::Unsealed { account: id(account), key: key_index(key) });
    let rejected = |reject| Ok(Outcome::Rejected(reject));
    let by_third = |instruction: Instruction| Instruction { key: key_index(3), ..instruction };
    for (instruction, expected, refusal_expected) in [
        (by_third(buy(ALICE, 9_985, 10)), no_key(ALICE, 3), Some(in_step(Step::Authorise))),
        (buy(DAVE, 9_985, 10), no_key(DAVE, 0), Some(in_step(Step::Authorise))),
        (register(ALICE, 0, true, 40), unsealed(ALICE, 0), Some(in_step(Step::Register))),
        (register(ALICE, 0, false, 40), unsealed(ALICE, 0), Some(in_step(Step::Register))),
        (revoke(ALICE, 0), unsealed(ALICE, 0), Some(in_step(Step::Revoke))),
        (by_second(revoke(OPERATOR, 0)), unsealed(OPERATOR, 0), Some(in_step(Step::Revoke))),
        (by_bob(register(ALICE, 0, true, 40)), rejected(Reject::NotOperator), None),
        (by_bob(revoke(ALICE, 0)), rejected(Reject::NotOperator), None),
        (register(OPERATOR, 0, true, 40), rejected(Reject::OwnKey), None),
        (revoke(OPERATOR, 0), rejected(Reject::OwnKey), None),
        (revoke(ALICE, 1), Ok(Outcome::Accepted), None),
        (revoke(ALICE, 2), rejected(Reject::KeyUnknown), None),
    ] {
        let before = [buy(ALICE, 9_985, 10), deposit(ALICE, 100)];
        let stage = Stage::new();
        let (mut engine, mut store) = (stage.engine.clone(), stage.store().clone());
        let mut builder = Builder::new(&mut store, 0, common::start(2));
        let mut forger = stage.forger();
        for instruction in &before {
            assert_eq!(engine.instruct(instruction), Ok(Outcome::Accepted));
            assert_eq!(builder.apply(instruction), Ok(Outcome::Accepted));
            apply(&mut forger, instruction);
        }
        let progress = builder.progress();
        assert_eq!(engine.instruct(&instruction), expected, "{instruction:?}");
        assert_eq!(builder.apply(&instruction), expected, "{instruction:?}");
        assert_eq!(
            (builder.sequence(), builder.progress() == progress),
            (2 + u32::from(expected.is_ok()), expected.is_err())
        );
        apply(&mut forger, &instruction);
        assert_eq!(refusal(&forger.finish(&checker, false)), refusal_expected, "{instruction:?}");
        assert_eq!(expected.is_ok(), refusal_expected.is_none());
    }
}

/// Seals that the engine refuses; the state and the rows are as before.
#[test]
fn what_is_no_seal_changes_nothing() {
    let stage = Stage::new();
    let (mut store, mut tree) = (stage.store().clone(), stage.tree().clone());
    let mut builder = Builder::new(&mut store, 0, common::start(2));
    let (account, key) = (id(ALICE), key_index(0));
    let seal = |signature| Seal { after: 0, account, key, signature };
    let own = secret(secret_of(ALICE, 0));
    let sealed = stage.store().session(ALICE, 0).head;
    assert_eq!(builder.seal(&seal(own.sign(&sealed))), Err(NotLetIn::Sealed { account, key }));
    assert_eq!(builder.apply(&buy(ALICE, 9_985, 10)), Ok(Outcome::Accepted));
    let head = signed_heads(&[buy(ALICE, 9_985, 10)])[0];
    for signature in [own.sign(&sealed), secret(secret_of(ALICE, SECOND)).sign(&head)] {
        assert_eq!(builder.seal(&seal(signature)), Err(NotLetIn::Signature { account, key }));
    }
    let nobody = Seal { key: key_index(3), ..seal(own.sign(&head)) };
    assert_eq!(builder.seal(&nobody), Err(NotLetIn::NoKey { account, key: key_index(3) }));
    assert_eq!((builder.unsealed(), builder.signatures()), (1, 0));
    assert_eq!(builder.seal(&seal(own.sign(&head))), Ok(()));
    assert_eq!((builder.unsealed(), builder.signatures()), (0, 1));
    assert_eq!(refusal(&builder.finish(&mut tree, true)), None);
}

/// Of a session whose key is replaced or revoked, every cell that should change is kept as it was: the key, what it may do, and its place in the chain, so that old
/// signatures would be good again.
#[test]
fn a_session_that_keeps_something_of_its_old_key_violates_the_step() {
    let checker = checker();
    let cells = |forger: &mut Forger| -> Vec<i64> {
        let versions = forger.versions((Kind::Session, ALICE, 0));
        versions.last().expect("a slot has a first version").cells.clone()
    };
    let Command::Register(fields) = register(ALICE, 0, true, 40).command else { unreachable!("a registration") };
    let other = Register { withdraws: false, expiry: time_of(START), ..fields };
    for (step, instruction) in [(Step::Register, first(Command::Register(other))), (Step::Revoke, revoke(ALICE, 0))] {
        let old = cells(&mut stage());
        let run = |column: usize, added: i64| {
            let mut forger = stage();
            assert_eq!(forger.apply(&mut Adder { clock: 2, column, added }, &instruction), Outcome::Accepted);
            forger
        };
        let new = cells(&mut run(usize::MAX, 0));
        let mut kept = BTreeSet::new();
        for column in 2..checker.table(Table::Step(step)).width {
            let Ok(mut forger) = catch_unwind(AssertUnwindSafe(|| run(column, 1))) else { continue };
            let changed: Vec<usize> = (0..new.len())
                .zip(cells(&mut forger))
                .filter(|&(at, cell)| cell != new[at])
                .map(|(at, _)| at)
                .collect();
            let &[at] = &changed[..] else { continue };
            let mut forger = run(column, old[at] - new[at]);
            if old[at] != new[at] && cells(&mut forger)[at] == old[at] {
                // (It may be a field of the command that was changed, which is not the published one.)
                let refusal = refusal(&forger.finish(&checker, false)).expect("the lie is refused");
                kept.extend((refusal == in_step(step)).then_some(at));
            }
        }
        let expected: BTreeSet<usize> = (0..new.len()).filter(|&at| old[at] != new[at]).collect();
        assert_eq!(kept, expected, "{step:?}");
        assert!(expected.len() > 20);
    }
}

/// What heads start from is what the deployment says.
#[test]
fn another_domain_is_missed_by_the_memory() {
    let mut forger = stage();
    forger.apply(&mut reader_of(Step::Register, Kind::Deployment, 0, 7), &register(ALICE, 2, false, 40));
    check(&forger.finish(&checker(), false), Refusal::Bus(Bus::Memory));
}

// What is published is what is executed.

#[test]
fn an_altered_extension_is_not_the_published_one() {
    let checker = checker();
    for (step, cells) in [(Step::Open, 6), (Step::Register, 14)] {
        for cell in 0..cells {
            check(&altered_extension(&checker, step, cell), Refusal::Bus(Bus::Poseidon2));
        }
    }
}

/// The digest passes over an extension, or expects one that is none.
#[test]
fn a_turned_extended_bit_is_not_received() {
    let checker = checker();
    // Columns: active, clock, code, the digest after, the sequence number, extended.
    let column = 2 + 1 + 8 + 1;
    for (instruction, added) in
        [(deposit(ALICE, 100), 1), (open(OPERATOR, DAVE), -1), (register(ALICE, 2, false, 40), -1)]
    {
        let mut forger = stage();
        forger.apply(&mut Adder { clock: 1, column, added }, &instruction);
        check(&forger.finish(&checker, false), Refusal::Bus(Bus::Command));
    }
}

/// A position of Alice's opened as a session key of hers: with an index so large that it lies where her positions are.
#[test]
fn a_session_outside_its_region_is_out_of_range() {
    let stage = Stage::new();
    let mut forger = stage.forger();
    apply(&mut forger, &deposit(ALICE, 100));
    let (sessions, positions) = (Kind::Session.region(), Kind::Position.region());
    let outside = (positions.leaf(ALICE, 0) - sessions.leaf(ALICE, 0)) / sessions.inner_stride;
    assert_eq!(sessions.leaf(ALICE, outside), positions.leaf(ALICE, 0));
    let mut cells = stage.store().slot_cells(Kind::Position, ALICE, 0);
    cells.truncate(holdfast_circuit::air::record_cells(Kind::Session));
    let version = Version { timestamp: 0, cells: cells.into_iter().map(i64::from).collect() };
    *forger.versions((Kind::Session, ALICE, outside)) = vec![version.clone(), version];
    check(&forger.close(&checker()), Refusal::Bus(Bus::Range));
}

/// The digest after an instruction is that of its blocks.
#[test]
fn the_digest_is_that_of_the_published_instructions() {
    let checker = checker();
    let instructions =
        [open(OPERATOR, DAVE), register(DAVE, 0, false, 40), register(DAVE, 0, false, 41), deposit(DAVE, 7)];
    let mut forger = stage();
    let mut outcomes = Vec::new();
    for instruction in &instructions {
        outcomes.push(apply(&mut forger, instruction));
    }
    let batch =
        Batch { header: BatchHeader { number: 2 }, instructions: instructions.to_vec(), outcomes, seals: vec![] };
    let segment = forger.close(&checker);
    let published = Progress::end(&batch, common::POINT).digest(time_of(segment.public.time_end));
    assert_eq!((segment.public.digest_out, refusal(&segment)), (published, None));
}

/// Every cell of the steps of authority, changed together with all that follows from it, in a segment that is sealed by whoever has the keys. What is signed is what is
/// done then; but what is published, and what was in the state, is not.
#[test]
fn a_lie_in_a_step_of_authority_is_refused_with_all_that_follows() {
    let checker = checker();
    // The step, the clock of its row, and what happens.
    let cases: [(Step, i64, Instruction); 5] = [
        (Step::Authorise, 1, buy(ALICE, 9_985, 10)),
        (Step::Seal, 0, buy(ALICE, 9_985, 10)),
        (Step::Open, 2, open(OPERATOR, DAVE)),
        (Step::Register, 2, register(ALICE, SECOND, true, 40)),
        (Step::Revoke, 2, revoke(ALICE, SECOND)),
    ];
    for (step, clock, instruction) in cases {
        let mut untold = 0;
        for column in 1..checker.table(Table::Step(step)).width {
            for added in [1, -1] {
                let told = catch_unwind(AssertUnwindSafe(|| {
                    let mut forger = stage();
                    if step == Step::Seal {
                        apply(&mut forger, &instruction);
                        let clock = forger.clock;
                        let mut adder = Adder { clock, column, added };
                        forger.seal(&mut adder as &mut dyn Prover, FIRST_SESSION);
                    } else {
                        forger.apply(&mut Adder { clock, column, added }, &instruction);
                        forger.seal_all(&mut Honest);
                    }
                    forger.finish(&checker, false)
                }));
                let Ok(segment) = told else {
                    untold += 1;
                    continue;
                };
                assert!(refusal(&segment).is_some() != is_fitted(step, column), "{step:?}, column {column}, {added}");
            }
        }
        println!("{step:?}: {untold} lies cannot be told");
    }
}

/// Whether the forger fills in a column at the end, whatever is said of it before: the code, the digests, and the number of words.
fn is_fitted(step: Step, column: usize) -> bool {
    match step {
        Step::Authorise => (2..11).contains(&column) || (13..22).contains(&column),
        Step::Open => (2..3 + 2 * 8).contains(&column),
        Step::Register => (2..3 + 3 * 8).contains(&column),
        _ => false,
    }
}
