//! The streams take every branch of the rules, and the model's invariants hold along the way.

use holdfast_protocol::{AccountId, Command, Instruction, KeyIndex, Outcome, Register, Reject, limits};
use holdfast_sim::{Coverage, Scenario, keyring::public_key, stream::NEVER};

const COMMANDS: usize = 200_000;
const SEED: u64 = 1;

/// The one branch that no stream reaches: it takes 2^28 keys in one place.
fn worn_out() -> Coverage {
    let scenario = Scenario::named("calm");
    let mut model = scenario.model();
    let (account, key) = (AccountId::new(3).expect("an account"), KeyIndex::new(3).expect("a key"));
    model.set_generation(account, key, limits::GENERATIONS_MAX - 1);
    let sender = scenario.genesis.operator;
    let public_key = public_key(0);
    let register = Register { sender, account, key, replaces: false, withdraws: true, expiry: NEVER, public_key };
    let first = KeyIndex::new(0).expect("a key");
    let outcome = model.apply(&Instruction { key: first, command: Command::Register(register) });
    assert_eq!(outcome, Some(Outcome::Rejected(Reject::KeyWornOut)));
    model.coverage().clone()
}

#[test]
fn the_scenarios_together_hit_every_branch() {
    let mut coverage = worn_out();
    for scenario in Scenario::all() {
        let (mut model, mut stream) = (scenario.model(), scenario.stream(SEED));
        for _ in 0..COMMANDS {
            let instruction = stream.next(&model);
            model.run(&instruction);
        }
        coverage.merge(model.coverage());
    }
    let missing = coverage.missing();
    assert!(missing.is_empty(), "seed {SEED}, never hit: {missing:#?}\n{coverage}");
}
