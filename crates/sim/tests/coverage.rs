//! The streams take every branch of the rules, and the model's invariants hold along the way.

use holdfast_sim::{Coverage, Scenario};

const COMMANDS: usize = 200_000;
const SEED: u64 = 1;

#[test]
fn the_scenarios_together_hit_every_branch() {
    let mut coverage = Coverage::default();
    for scenario in Scenario::all() {
        let (mut model, mut stream) = (scenario.model(), scenario.stream(SEED));
        for _ in 0..COMMANDS {
            let command = stream.next(&model);
            model.apply(&command);
        }
        coverage.merge(model.coverage());
    }
    let missing = coverage.missing();
    assert!(missing.is_empty(), "seed {SEED}, never hit: {missing:#?}\n{coverage}");
}
