//! Who is let in, what a batch says of it, and that a replay accepts the same.

mod common;

use std::collections::BTreeMap;

use common::{
    ALICE, BOB, EXPIRES, FULL, OPERATOR, START, TRADES, account, buy, deposit, genesis, key, replace, revoke, secret,
    set_time, withdraw,
};
use holdfast_crypto::Digest;
use holdfast_exchange::{
    Chained, Engine, Refusal, Sequencer,
    authority::{admit, check_seals},
};
use holdfast_protocol::{
    Address, Batch, Command, Deployment, Instruction, Outcome, Register, Reject, Request, Revoke, Seal, SecretKey,
    authority::Session, limits::SEQUENCE_MAX,
};

const ACCEPTED: Result<Outcome, Refusal> = Ok(Outcome::Accepted);

fn rejected(reject: Reject) -> Result<Outcome, Refusal> {
    Ok(Outcome::Rejected(reject))
}

fn no_key(id: u32, index: u32) -> Result<Outcome, Refusal> {
    Err(Refusal::NoKey { account: account(id), key: key(index) })
}

fn wrong_signature(id: u32, index: u32) -> Result<Outcome, Refusal> {
    Err(Refusal::Signature { account: account(id), key: key(index) })
}

fn wrong_sequence(id: u32, index: u32, expected: u32, got: u32) -> Result<Outcome, Refusal> {
    Err(Refusal::Sequence { account: account(id), key: key(index), expected, got })
}

/// A client's session with a key of the genesis, before its first command.
fn session(id: u32, index: u32) -> Session {
    session_of(secret(id, index), id, index, 1)
}

fn session_of(secret: SecretKey, id: u32, index: u32, generation: u32) -> Session {
    Session::new(secret, &genesis().deployment.domain(), account(id), key(index), generation)
}

fn engine() -> Engine {
    Engine::new(&genesis()).expect("a valid genesis")
}

/// A sequencer, and clients who sign with the keys of the genesis.
struct Venue {
    sequencer: Sequencer,
    sessions: BTreeMap<(u32, u32), Session>,
}

impl Venue {
    fn new() -> Self {
        Self { sequencer: Sequencer::new(engine()), sessions: BTreeMap::new() }
    }

    fn sign(&mut self, index: u32, command: Command) -> Request {
        let id = command.signer().get();
        self.sessions.entry((id, index)).or_insert_with(|| session(id, index)).request(command)
    }

    fn ask(&mut self, index: u32, command: Command) -> Result<Outcome, Refusal> {
        let request = self.sign(index, command);
        self.sequencer.submit(&request)
    }

    fn submit_all(&mut self, requests: &[Request]) -> Vec<Result<Outcome, Refusal>> {
        let mut results = Vec::new();
        self.sequencer.submit_all(requests, |_, result| results.push(result));
        results
    }

    /// Sequence number and head of a session in the state.
    fn state(&self, id: u32, index: u32) -> (u32, Digest) {
        let session = self.sequencer.engine().store().session(id, index);
        (session.sequence, session.head)
    }
}

#[test]
fn a_signed_request_is_let_in_and_its_session_goes_on() {
    let mut venue = Venue::new();
    let mut alice = session(ALICE, FULL);
    assert_eq!(venue.state(ALICE, FULL), (0, *alice.head()));
    assert_eq!(venue.ask(FULL, deposit(ALICE, 1 << 40)), ACCEPTED);
    for sequence in 1..4 {
        assert_eq!(venue.sequencer.submit(&alice.request(buy(ALICE, 1))), ACCEPTED);
        assert_eq!(venue.state(ALICE, FULL), (sequence, *alice.head()));
    }
    assert_eq!(venue.sequencer.instructions().len(), 4);
    assert_eq!(venue.sequencer.engine().system().unsealed, 2);
}

#[test]
fn a_rejected_command_is_part_of_the_chain() {
    let mut venue = Venue::new();
    let mut alice = session(ALICE, FULL);
    assert_eq!(venue.sequencer.submit(&alice.request(buy(ALICE, 0))), rejected(Reject::SizeZero));
    assert_eq!(venue.state(ALICE, FULL), (1, *alice.head()));
    assert_eq!(venue.sequencer.submit(&alice.request(withdraw(ALICE, 0))), rejected(Reject::AmountZero));
    assert_eq!(venue.state(ALICE, FULL), (2, *alice.head()));
    // A client that left the rejected commands out signs something else.
    let mut forgetful = session(ALICE, FULL);
    let request = Request { sequence: 2, ..forgetful.request(withdraw(ALICE, 0)) };
    assert_eq!(venue.sequencer.submit(&request), wrong_signature(ALICE, FULL));
}

#[test]
fn a_replayed_request_is_refused() {
    let mut venue = Venue::new();
    let request = venue.sign(FULL, deposit(ALICE, 5));
    assert_eq!(venue.sequencer.submit(&request), ACCEPTED);
    assert_eq!(venue.sequencer.submit(&request), wrong_sequence(OPERATOR, FULL, 1, 0));
    let request = Request { sequence: 1, ..request };
    assert_eq!(venue.sequencer.submit(&request), wrong_signature(OPERATOR, FULL));
    assert_eq!(venue.submit_all(&[request, request]), [wrong_signature(OPERATOR, FULL); 2]);
}

#[test]
fn requests_out_of_order_are_refused() {
    let mut venue = Venue::new();
    let [first, second] = [1, 2].map(|amount| venue.sign(FULL, deposit(ALICE, amount)));
    let expected = [wrong_sequence(OPERATOR, FULL, 0, 1), ACCEPTED, ACCEPTED];
    assert_eq!(venue.submit_all(&[second, first, second]), expected);
}

#[test]
fn another_key_signs_in_vain() {
    let mut venue = Venue::new();
    let request = session_of(secret(BOB, FULL), ALICE, FULL, 1).request(withdraw(ALICE, 1));
    assert_eq!(venue.sequencer.submit(&request), wrong_signature(ALICE, FULL));
    // The account's other key, in the first one's place.
    let request = session_of(secret(ALICE, TRADES), ALICE, FULL, 1).request(withdraw(ALICE, 1));
    assert_eq!(venue.sequencer.submit(&request), wrong_signature(ALICE, FULL));
    // Nobody's key, in a place without one; and an account that is not open.
    let request = session_of(secret(ALICE, FULL), ALICE, 3, 1).request(withdraw(ALICE, 1));
    assert_eq!(venue.sequencer.submit(&request), no_key(ALICE, 3));
    let request = session_of(secret(ALICE, FULL), 9, FULL, 1).request(withdraw(9, 1));
    assert_eq!(venue.sequencer.submit(&request), no_key(9, FULL));
}

#[test]
fn a_signature_for_another_deployment_is_refused() {
    let mut venue = Venue::new();
    let ours = genesis().deployment;
    for deployment in [Deployment { chain_id: 2, ..ours }, Deployment { contract: Address::with_last_byte(1), ..ours }]
    {
        let mut elsewhere = Session::new(secret(ALICE, FULL), &deployment.domain(), account(ALICE), key(FULL), 1);
        let request = elsewhere.request(withdraw(ALICE, 1));
        assert_eq!(venue.sequencer.submit(&request), wrong_signature(ALICE, FULL));
    }
}

#[test]
fn an_altered_command_is_refused() {
    let mut venue = Venue::new();
    let request = venue.sign(FULL, withdraw(ALICE, 1));
    let altered = |key, command| Request { instruction: Instruction { key, command }, ..request };
    assert_eq!(venue.sequencer.submit(&altered(key(FULL), withdraw(ALICE, 2))), wrong_signature(ALICE, FULL));
    assert_eq!(venue.sequencer.submit(&altered(key(FULL), withdraw(BOB, 1))), wrong_signature(BOB, FULL));
    assert_eq!(venue.sequencer.submit(&altered(key(TRADES), withdraw(ALICE, 1))), wrong_signature(ALICE, TRADES));
    assert_eq!(venue.sequencer.submit(&request), rejected(Reject::InsufficientCollateral));

    // A register's public key lies in blocks of its own.
    let request = venue.sign(FULL, replace(ALICE, FULL, &secret(ALICE, TRADES)));
    let Command::Register(register) = request.instruction.command else { unreachable!("a register") };
    let to_bob = Register { public_key: secret(BOB, FULL).public_key(), ..register };
    let altered =
        Request { instruction: Instruction { key: key(FULL), command: Command::Register(to_bob) }, ..request };
    assert_eq!(venue.sequencer.submit(&altered), wrong_signature(OPERATOR, FULL));
    assert_eq!(venue.sequencer.submit(&request), ACCEPTED);
}

#[test]
fn a_revoked_key_is_refused() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, buy(ALICE, 0)), rejected(Reject::SizeZero));
    assert_eq!(venue.ask(FULL, revoke(ALICE, FULL)), ACCEPTED);
    assert_eq!(venue.ask(FULL, buy(ALICE, 0)), no_key(ALICE, FULL));
    // The account's other keys go on.
    assert_eq!(venue.ask(TRADES, buy(ALICE, 0)), rejected(Reject::SizeZero));
}

#[test]
fn a_key_that_is_registered_again_begins_anew() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, deposit(ALICE, 100)), ACCEPTED);
    let old = venue.sign(FULL, withdraw(ALICE, 40));
    assert_eq!(venue.sequencer.submit(&old), ACCEPTED);
    // In its own place, in two ways, and in another place.
    assert_eq!(venue.ask(FULL, replace(ALICE, FULL, &secret(ALICE, FULL))), ACCEPTED);
    assert_eq!(venue.sequencer.submit(&old), wrong_signature(ALICE, FULL));
    assert_eq!(venue.ask(FULL, revoke(ALICE, FULL)), ACCEPTED);
    let Command::Register(register) = replace(ALICE, FULL, &secret(ALICE, FULL)) else { unreachable!("a register") };
    let again = Register { replaces: false, ..register };
    assert_eq!(venue.ask(FULL, Command::Register(again)), ACCEPTED);
    assert_eq!(venue.sequencer.submit(&old), wrong_signature(ALICE, FULL));
    let elsewhere = Register { key: key(3), ..again };
    assert_eq!(venue.ask(FULL, Command::Register(elsewhere)), ACCEPTED);
    let moved = Request { instruction: Instruction { key: key(3), ..old.instruction }, ..old };
    assert_eq!(venue.sequencer.submit(&moved), wrong_signature(ALICE, 3));

    let mut third = session_of(secret(ALICE, FULL), ALICE, FULL, 3);
    assert_eq!(venue.sequencer.submit(&third.request(withdraw(ALICE, 40))), ACCEPTED);
    let mut other_place = session_of(secret(ALICE, FULL), ALICE, 3, 1);
    assert_eq!(venue.sequencer.submit(&other_place.request(withdraw(ALICE, 20))), ACCEPTED);
}

#[test]
fn an_expired_key_is_let_in_and_gets_nothing() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, deposit(ALICE, 100)), ACCEPTED);
    assert_eq!(venue.ask(EXPIRES, withdraw(ALICE, 1)), ACCEPTED);
    assert_eq!(venue.ask(FULL, set_time(START + 1)), ACCEPTED);
    assert_eq!(venue.ask(EXPIRES, withdraw(ALICE, 1)), rejected(Reject::KeyExpired));
    assert_eq!(venue.ask(EXPIRES, set_time(START + 2)), rejected(Reject::KeyExpired));
    assert_eq!(venue.state(ALICE, EXPIRES).0, 2);
    let (batch, root) = venue.sequencer.close_batch();
    assert_eq!(batch.outcomes[3..], [Outcome::Rejected(Reject::KeyExpired); 2]);
    assert_eq!(batch.seals.len(), 3);
    assert_eq!(replay(&mut engine(), &batch), root);
}

#[test]
fn a_key_does_only_what_it_may() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, deposit(ALICE, 1 << 40)), ACCEPTED);
    assert_eq!(venue.ask(TRADES, withdraw(ALICE, 1)), rejected(Reject::KeyNotPermitted));
    assert_eq!(venue.ask(TRADES, buy(ALICE, 1)), ACCEPTED);
    // A role's key need not withdraw; and no key speaks for a role that its account has not.
    assert_eq!(venue.ask(TRADES, deposit(ALICE, 1)), ACCEPTED);
    let Command::Deposit(deposit) = deposit(ALICE, 1) else { unreachable!("a deposit") };
    let own = Command::Deposit(holdfast_protocol::Deposit { sender: account(ALICE), ..deposit });
    assert_eq!(venue.ask(FULL, own), rejected(Reject::NotOperator));
}

#[test]
fn a_worn_out_key_is_refused() {
    let mut engine = engine();
    let mut session = engine.store().session(ALICE, FULL).clone();
    session.sequence = SEQUENCE_MAX - 1;
    let mut alice = Session::resume(secret(ALICE, FULL), key(FULL), session.sequence, session.head);
    engine.store_mut().set_session(ALICE, FULL, session);
    let mut sequencer = Sequencer::new(engine);
    assert_eq!(sequencer.submit(&alice.request(buy(ALICE, 0))), rejected(Reject::SizeZero));
    let refusal = Err(Refusal::WornOut { account: account(ALICE), key: key(FULL) });
    assert_eq!(sequencer.submit(&alice.request(buy(ALICE, 0))), refusal);
}

#[test]
fn a_wrong_signature_among_others_is_refused_alone() {
    let mut venue = Venue::new();
    let [first, second, third] = [1, 2, 3].map(|amount| venue.sign(FULL, deposit(ALICE, amount)));
    let forged = Request { signature: first.signature, ..second };
    let bob = venue.sign(FULL, buy(BOB, 0));
    let expected = [
        ACCEPTED,
        wrong_signature(OPERATOR, FULL),
        wrong_sequence(OPERATOR, FULL, 1, 2),
        rejected(Reject::SizeZero),
        ACCEPTED,
        ACCEPTED,
    ];
    assert_eq!(venue.submit_all(&[first, forged, third, bob, second, third]), expected);
}

#[test]
fn a_wrong_first_signature_leaves_its_session_unknown() {
    let mut venue = Venue::new();
    let [first, second] = [1, 2].map(|amount| venue.sign(FULL, deposit(ALICE, amount)));
    let forged = Request { signature: second.signature, ..first };
    let expected = [wrong_signature(OPERATOR, FULL), ACCEPTED, ACCEPTED];
    assert_eq!(venue.submit_all(&[forged, first, second]), expected);
}

#[test]
fn what_follows_a_change_of_keys_is_checked_against_the_new_ones() {
    let mut venue = Venue::new();
    let new = || SecretKey::from_seed([200; 32]);
    let mut alice = session_of(new(), ALICE, FULL, 2);
    let requests = [
        venue.sign(FULL, buy(ALICE, 0)),
        venue.sign(FULL, replace(ALICE, FULL, &new())),
        venue.sign(FULL, buy(ALICE, 0)),
        alice.request(buy(ALICE, 0)),
        venue.sign(FULL, revoke(ALICE, FULL)),
        alice.request(buy(ALICE, 0)),
    ];
    let expected = [
        rejected(Reject::SizeZero),
        ACCEPTED,
        wrong_sequence(ALICE, FULL, 0, 1),
        rejected(Reject::SizeZero),
        ACCEPTED,
        no_key(ALICE, FULL),
    ];
    assert_eq!(venue.submit_all(&requests), expected);
    let (batch, root) = venue.sequencer.close_batch();
    // Alice's two keys before they went, and the operator's at the end.
    let seals: Vec<(u32, u32)> = batch.seals.iter().map(|seal| (seal.after, seal.account.get())).collect();
    assert_eq!(seals, [(1, ALICE), (3, ALICE), (4, OPERATOR)]);
    assert_eq!(replay(&mut engine(), &batch), root);
}

#[test]
fn no_key_takes_itself_away() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, revoke(OPERATOR, FULL)), rejected(Reject::OwnKey));
    assert_eq!(venue.ask(FULL, replace(OPERATOR, FULL, &secret(ALICE, FULL))), rejected(Reject::OwnKey));
    assert_eq!(venue.ask(TRADES, replace(OPERATOR, FULL, &secret(ALICE, FULL))), ACCEPTED);
    assert_eq!(venue.ask(FULL, set_time(START)), wrong_sequence(OPERATOR, FULL, 0, 2));
    let (batch, root) = venue.sequencer.close_batch();
    assert_eq!(replay(&mut engine(), &batch), root);
}

#[test]
fn refused_requests_change_nothing() {
    let (mut venue, mut untroubled) = (Venue::new(), Venue::new());
    let first = venue.sign(FULL, deposit(ALICE, 100));
    let second = venue.sign(FULL, withdraw(ALICE, 10));
    let register = venue.sign(FULL, replace(ALICE, FULL, &secret(BOB, FULL)));
    let forged = Request { signature: first.signature, ..second };
    let forged_register = Request { signature: first.signature, ..register };
    let gap = Request { sequence: 7, ..register };
    let expected = [
        wrong_signature(ALICE, FULL),
        wrong_sequence(OPERATOR, FULL, 0, 7),
        wrong_sequence(OPERATOR, FULL, 0, 1),
        ACCEPTED,
        wrong_signature(OPERATOR, FULL),
        ACCEPTED,
        wrong_sequence(ALICE, FULL, 1, 0),
        ACCEPTED,
        wrong_signature(ALICE, FULL),
    ];
    let requests = [forged, gap, register, first, forged_register, second, second, register, second];
    assert_eq!(venue.submit_all(&requests), expected);
    assert_eq!(untroubled.submit_all(&[first, second, register]), [ACCEPTED; 3]);
    assert_eq!(venue.sequencer.close_batch(), untroubled.sequencer.close_batch());
}

#[test]
fn admitted_requests_go_on_from_each_other() {
    let engine = engine();
    let mut alice = session(ALICE, FULL);
    let [first, second] = [1, 2].map(|amount| alice.request(withdraw(ALICE, amount)));
    let admitted = admit(engine.store(), &[first, second]);
    let heads: Vec<Digest> = admitted.iter().map(|admitted| *admitted.as_ref().expect("signed").0.head()).collect();
    assert_eq!(heads[1], *alice.head());
    assert_ne!(heads[0], heads[1]);
    assert!(
        admitted.iter().all(|admitted| admitted.as_ref().expect("signed").1.session() == (account(ALICE), key(FULL)))
    );
    // Nothing was applied.
    assert!(admit(engine.store(), &[second]).iter().all(Result::is_err));
}

#[test]
fn the_events_told_are_those_of_the_request() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, deposit(ALICE, 1 << 40)), ACCEPTED);
    let [first, second] = [1, 2].map(|size| venue.sign(FULL, buy(ALICE, size)));
    let mut told = Vec::new();
    let requests = [first, first, second];
    venue.sequencer.submit_all(&requests, |engine, result| told.push((result.is_ok(), engine.events().len())));
    // An order rests, a replay is refused, another order rests.
    assert_eq!(told, [(true, 1), (false, 0), (true, 1)]);
}

// Batches.

/// Executes a batch as its readers do: every instruction has the outcome that is published, every seal is checked. The root after it.
fn replay(engine: &mut Engine, batch: &Batch) -> Digest {
    assert_eq!(Batch::decode(&batch.encode()).as_ref(), Ok(batch));
    let mut seals = batch.seals.as_slice();
    for at in 0..=batch.instructions.len() {
        let count = seals.iter().take_while(|seal| seal.after as usize == at).count();
        let (here, later) = seals.split_at(count);
        for verified in check_seals(engine.store(), here).expect("the sessions' keys have signed") {
            engine.seal(&verified);
        }
        seals = later;
        if let Some(instruction) = batch.instructions.get(at) {
            assert_eq!(engine.instruct(instruction), Ok(batch.outcomes[at]));
        }
    }
    assert_eq!(engine.system().unsealed, 0);
    engine.close_batch()
}

#[test]
fn a_closed_batch_is_sealed_and_replays_to_its_root() {
    let mut venue = Venue::new();
    let mut replaying = engine();
    for number in 1..=3 {
        assert_eq!(venue.ask(FULL, deposit(ALICE, 1 << 40)), ACCEPTED);
        assert_eq!(venue.ask(FULL, buy(ALICE, 1)), ACCEPTED);
        assert_eq!(venue.ask(TRADES, buy(ALICE, 1)), ACCEPTED);
        assert_eq!(venue.ask(FULL, buy(BOB, 1)), rejected(Reject::InsufficientMargin));
        assert_eq!(venue.ask(FULL, buy(ALICE, 1)), ACCEPTED);
        let (batch, root) = venue.sequencer.close_batch();
        assert_eq!((batch.header.number, batch.instructions.len(), batch.seals.len()), (number, 5, 4));
        assert!(batch.seals.iter().all(|seal| seal.after == 5));
        assert!(venue.sequencer.instructions().is_empty());
        assert_eq!(replay(&mut replaying, &batch), root);
    }
    // Nothing to seal.
    let (batch, root) = venue.sequencer.close_batch();
    assert_eq!((batch.header.number, batch.instructions.len(), batch.seals.len()), (4, 0, 0));
    assert_eq!(replay(&mut replaying, &batch), root);
}

#[test]
fn seals_that_do_not_hold_are_refused() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, buy(ALICE, 0)), rejected(Reject::SizeZero));
    let early = venue.sessions[&(ALICE, FULL)].sign();
    assert_eq!(venue.ask(FULL, buy(ALICE, 0)), rejected(Reject::SizeZero));
    assert_eq!(venue.ask(FULL, buy(BOB, 0)), rejected(Reject::SizeZero));
    let (batch, _) = venue.sequencer.close_batch();
    let [alice, bob] = [batch.seals[0], batch.seals[1]];
    let mut replaying = engine();
    for instruction in &batch.instructions {
        replaying.instruct(instruction).expect("the keys are registered");
    }

    let check = |seals: &[Seal]| check_seals(replaying.store(), seals).map(|verified| verified.len());
    let refused = |id, index| Err(Refusal::Signature { account: account(id), key: key(index) });
    assert_eq!(check(&[alice, bob]), Ok(2));
    assert_eq!(check(&[Seal { signature: early, ..alice }, bob]), refused(ALICE, FULL));
    assert_eq!(check(&[alice, Seal { signature: alice.signature, ..bob }]), refused(BOB, FULL));
    let unused = Seal { key: key(TRADES), ..alice };
    assert_eq!(check(&[unused]), Err(Refusal::Sealed { account: account(ALICE), key: key(TRADES) }));
    assert_eq!(check(&[alice, bob, alice]), Err(Refusal::Sealed { account: account(ALICE), key: key(FULL) }));
    let nobody = Seal { key: key(3), ..alice };
    assert_eq!(check(&[alice, nobody]), Err(Refusal::NoKey { account: account(ALICE), key: key(3) }));

    // Once sealed, there is nothing left to seal.
    for verified in check_seals(replaying.store(), &[alice]).expect("signed") {
        replaying.seal(&verified);
    }
    let sealed = check_seals(replaying.store(), &[alice]).map(|verified| verified.len());
    assert_eq!(sealed, Err(Refusal::Sealed { account: account(ALICE), key: key(FULL) }));
}

#[test]
#[should_panic(expected = "a batch ends sealed")]
fn a_sequencer_does_not_start_inside_of_a_batch() {
    let mut engine = engine();
    engine.instruct(&Instruction { key: key(FULL), command: buy(ALICE, 0) }).expect("the key is registered");
    Sequencer::new(engine);
}

#[test]
#[should_panic(expected = "an instruction follows its session's head")]
fn an_instruction_is_not_applied_twice() {
    let mut engine = engine();
    let instruction = Instruction { key: key(FULL), command: buy(ALICE, 0) };
    let chained = Chained::new(engine.store(), &instruction).expect("the key is registered");
    engine.apply(&chained);
    engine.apply(&chained);
}

#[test]
#[should_panic(expected = "a seal covers the head of its session")]
fn a_seal_is_not_used_once_its_session_has_gone_on() {
    let mut venue = Venue::new();
    assert_eq!(venue.ask(FULL, buy(ALICE, 0)), rejected(Reject::SizeZero));
    let (batch, _) = venue.sequencer.close_batch();
    let mut replaying = engine();
    replaying.instruct(&batch.instructions[0]).expect("the key is registered");
    let verified = check_seals(replaying.store(), &batch.seals).expect("signed");
    replaying.instruct(&batch.instructions[0]).expect("the key is registered");
    replaying.seal(&verified[0]);
}

#[test]
fn a_key_is_not_replaced_unsealed() {
    let mut engine = engine();
    let place = (account(ALICE), key(FULL));
    let mut alice = session(ALICE, FULL);
    assert_eq!(engine.instruct(&alice.extend(buy(ALICE, 0))), rejected(Reject::SizeZero));
    for command in [replace(ALICE, FULL, &secret(ALICE, TRADES)), revoke(ALICE, FULL)] {
        let refusal = Err(Refusal::Unsealed { account: place.0, key: place.1 });
        assert_eq!(engine.instruct(&Instruction { key: key(FULL), command }), refusal);
    }
    // Nobody else's word is a reason to seal it.
    let by_bob = Command::Revoke(Revoke { sender: account(BOB), account: place.0, key: place.1 });
    assert_eq!(engine.instruct(&Instruction { key: key(FULL), command: by_bob }), rejected(Reject::NotOperator));
    let seal = Seal { after: 1, account: place.0, key: place.1, signature: alice.sign() };
    for verified in check_seals(engine.store(), &[seal]).expect("signed") {
        engine.seal(&verified);
    }
    assert_eq!(engine.instruct(&Instruction { key: key(FULL), command: revoke(ALICE, FULL) }), ACCEPTED);
}
