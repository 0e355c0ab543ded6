//! Inclusion proofs of slots against the state root.

mod common;

use common::{ALICE, FULL, account, buy, deposit, genesis};
use holdfast_crypto::field::cell_to_canonical;
use holdfast_exchange::{Engine, slots::Kind};
use holdfast_protocol::{Command, Instruction, Outcome, limits};

fn apply(engine: &mut Engine, command: Command) {
    let instruction = Instruction { key: common::key(FULL), command };
    assert_eq!(engine.instruct(&instruction), Ok(Outcome::Accepted));
}

#[test]
fn every_slot_is_proven_against_the_root() {
    let mut engine = Engine::new(&genesis()).expect("a valid genesis");
    apply(&mut engine, deposit(ALICE, 1 << 40));
    apply(&mut engine, buy(ALICE, 5));
    let root = engine.close_batch();

    let slots = [
        (Kind::System, 0, 0),
        (Kind::Market, 0, 0),
        (Kind::Deployment, 0, 0),
        (Kind::Account, ALICE, 0),
        (Kind::Owner, ALICE, 0),
        (Kind::Session, ALICE, FULL),
        (Kind::Position, ALICE, 0),
        (Kind::Order, limits::FIRST_ORDER, 0),
        // Never written: proven to be empty.
        (Kind::Account, (1 << limits::ACCOUNT_BITS) - 1, 0),
        (Kind::Owner, (1 << limits::ACCOUNT_BITS) - 1, 0),
        (Kind::Session, (1 << limits::ACCOUNT_BITS) - 1, 3),
    ];
    for (kind, outer, inner) in slots {
        let proof = engine.prove_slot(kind, outer, inner);
        assert!(proof.verify(&root), "{kind:?}");
        let (_, cells) = engine.slot(kind, outer, inner);
        let proven: Vec<u32> = proof.leaves().iter().flatten().map(|&cell| cell_to_canonical(cell)).collect();
        assert_eq!(proven, cells, "{kind:?}");
    }

    let proof = engine.prove_account(account(ALICE));
    assert!(proof.verify(&root));
    assert_eq!(proof.leaves().len(), 128);
    for (kind, inner) in [(Kind::Account, 0), (Kind::Owner, 0), (Kind::Session, FULL), (Kind::Position, 0)] {
        let (first, cells) = engine.slot(kind, ALICE, inner);
        let at = (first % 128) as usize;
        let leaves = &proof.leaves()[at..at + kind.region().leaves];
        let proven: Vec<u32> = leaves.iter().flatten().map(|&cell| cell_to_canonical(cell)).collect();
        assert_eq!(proven, cells, "{kind:?}");
    }

    // A proof is of its root alone.
    apply(&mut engine, deposit(ALICE, 1));
    let later = engine.close_batch();
    assert!(!proof.verify(&later));
}
