//! What the tests of the circuit share. (Every test is a crate of its own, and uses only some of it.)

#![allow(dead_code)]

pub mod attacks;
pub mod authority;
pub mod corpus;
pub mod forge;
pub mod ladder;

use std::{collections::BTreeMap, sync::LazyLock};

use alloy_primitives::{U256, uint};
use holdfast_circuit::{
    air::Table,
    check::{Checker, Violation},
    row::Bus,
    verify::{VerifyingKey, verifying_key},
    witness::Segment,
};
use holdfast_crypto::{
    Digest,
    schnorr::{PublicKey, SecretKey, Signature},
};
use holdfast_exchange::{
    Engine,
    authority::{check_seals, public_key},
    slots::Session,
    store::Store,
};
use holdfast_protocol::{
    AccountId, Batch, BatchHeader, Command, Instruction, KeyIndex, Seal, limits, publication::Progress,
};
use holdfast_sim::{Scenario, keyring::secret};

/// Where these tests' batches are evaluated: any point is as good as another.
pub const POINT: U256 = uint!(0x2b1a90fd3c5e77418f0e6d2c4ba98765f0e1d2c3b4a5968778695a4b3c2d1e0f_U256);

/// The beginning of a batch.
pub fn start(number: u32) -> Progress {
    Progress::start(number, POINT)
}

static KEY: LazyLock<VerifyingKey> = LazyLock::new(verifying_key);

/// Test keys in use.
const SECRETS: u32 = 64;
static RING: LazyLock<BTreeMap<PublicKey, SecretKey>> = LazyLock::new(|| {
    let entry = |n| {
        let secret = secret(n);
        (secret.public_key(), secret)
    };
    (0..SECRETS).map(entry).collect()
});

pub fn checker() -> Checker<'static> {
    Checker::new(&KEY)
}

/// The signature of whoever has the key; `None` if it is not one of the test keys.
pub fn sign(public_key: &PublicKey, head: &Digest) -> Option<Signature> {
    RING.get(public_key).map(|secret| secret.sign(head))
}

/// The native engine at the start of a scenario, hashed.
pub fn engine(scenario: &Scenario) -> Engine {
    let mut engine = Engine::new(&scenario.genesis).expect("the genesis is valid");
    if scenario.fresh != limits::FIRST_ORDER {
        let mut system = engine.system().clone();
        system.fresh = scenario.fresh;
        engine.store_mut().set_system(system);
        let leaves = engine.touched_leaves();
        let _root = engine.update_tree(&leaves);
    }
    engine
}

/// A session that is not sealed.
pub type Unsealed = (AccountId, KeyIndex);

/// The session that must be sealed before this instruction, because it may lose its key.
pub fn sealed_before(store: &Store, instruction: &Instruction) -> Option<Unsealed> {
    let session = match &instruction.command {
        Command::Register(c) => (c.account, c.key),
        Command::Revoke(c) => (c.account, c.key),
        _ => return None,
    };
    (session != instruction.session() && store.session_of(session).unsealed).then_some(session)
}

/// All sessions of the first accounts that are not sealed.
pub fn unsealed(store: &Store) -> Vec<Unsealed> {
    let sessions = (0..32).flat_map(|account| (0..limits::KEYS_MAX as u32).map(move |key| (account, key)));
    let sessions = sessions.map(|(account, key)| {
        (AccountId::new(account).expect("a small id"), KeyIndex::new(key).expect("a small index"))
    });
    let unsealed: Vec<Unsealed> = sessions.filter(|&session| store.session_of(session).unsealed).collect();
    assert_eq!(
        unsealed.len(),
        store.system().unsealed as usize,
        "the unsealed sessions are those of the first accounts"
    );
    unsealed
}

/// The seal of a session by its key.
pub fn seal_of(store: &Store, (account, key): Unsealed, after: u32) -> Seal {
    let session: &Session<_> = store.session_of((account, key));
    let public_key = public_key(session).expect("an unsealed session has a key");
    let signature = sign(&public_key, &session.head).expect("a test key");
    Seal { after, account, key, signature }
}

/// Seals a session of the native engine by its key.
pub fn seal(engine: &mut Engine, session: Unsealed) {
    let seal = seal_of(engine.store(), session, 0);
    let verified = check_seals(engine.store(), &[seal]).expect("the seal is valid");
    engine.seal(&verified[0]);
}

/// Seals every session of the native engine.
pub fn seal_all(engine: &mut Engine) {
    for session in unsealed(engine.store()) {
        seal(engine, session);
    }
}

/// Carries out instructions natively, and seals every session; gives the batch. (It is not closed.)
pub fn carry_out(engine: &mut Engine, number: u32, instructions: &[Instruction]) -> Batch {
    let mut batch = Batch {
        header: BatchHeader { number },
        instructions: instructions.to_vec(),
        outcomes: Vec::new(),
        seals: Vec::new(),
    };
    let mut seal_one = |engine: &mut Engine, session: Unsealed, after: usize| {
        batch.seals.push(seal_of(engine.store(), session, after as u32));
        seal(engine, session);
    };
    for (after, instruction) in instructions.iter().enumerate() {
        if let Some(session) = sealed_before(engine.store(), instruction) {
            seal_one(engine, session, after);
        }
        batch.outcomes.push(engine.instruct(instruction).expect("the key is registered"));
    }
    for session in unsealed(engine.store()) {
        seal_one(engine, session, instructions.len());
    }
    batch
}

/// Where an attack is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Constraint(Table),
    Bus(Bus),
}

/// Where a segment is found out; `None` if it is accepted.
pub fn refusal(segment: &Segment) -> Option<Refusal> {
    match checker().check(segment) {
        Ok(()) => None,
        Err(Violation::Constraint { table, .. }) => Some(Refusal::Constraint(table)),
        Err(Violation::Bus { bus, .. }) => Some(Refusal::Bus(bus)),
        Err(other) => panic!("the attack is not well-formed: {other}"),
    }
}

#[track_caller]
pub fn check(segment: &Segment, expected: Refusal) {
    assert_eq!(refusal(segment), Some(expected));
}
