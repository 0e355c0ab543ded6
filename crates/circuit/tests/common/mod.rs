//! What the tests of the circuit share. (Every test is a crate of its own, and uses only some of it.)

#![allow(dead_code)]

pub mod attacks;
pub mod corpus;
pub mod forge;

use std::sync::LazyLock;

use holdfast_circuit::{
    check::Checker,
    verify::{VerifyingKey, verifying_key},
};
use holdfast_exchange::Engine;
use holdfast_protocol::limits;
use holdfast_sim::Scenario;

static KEY: LazyLock<VerifyingKey> = LazyLock::new(verifying_key);

pub fn checker() -> Checker<'static> {
    Checker::new(&KEY)
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
