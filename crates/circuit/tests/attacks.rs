//! Attacks with a purpose: what a dishonest prover would want to prove, made as consistent as it can be made, and refused where it must be.

mod common;

use common::{
    Refusal,
    attacks::{
        ALICE, Adviser, BOB, CAROL, DAVE, FIRST, Hash, Liar, OPERATOR, ORACLE, Reader, START, Stage, amend, buy,
        by_second, cancel, cancel_all, changed_untouched_child, deposit, forged_outcomes, invented_end, invented_hash,
        mark, open, place, read_from_the_future, register, release, revoke, skipped_maker, slot_outside_its_region,
        split_history, stale_read, time, withdraw, wrong_neighbour,
    },
    check, checker,
    forge::{Honest, Place, Version},
    refusal,
};
use holdfast_circuit::{air::Table, row::Bus, step_table::command_entry};
use holdfast_exchange::{slots::Kind, step::Step};
use holdfast_protocol::{Instruction, Outcome, Reject, Side, TimeInForce};
use openvm_stark_backend::p3_matrix::Matrix;

fn steps_of(step: Step) -> Option<Refusal> {
    Some(Refusal::Constraint(Table::Step(step)))
}

/// The stage by itself: what the attacks start from is accepted.
#[test]
fn the_same_without_an_attack_is_accepted() {
    let stage = Stage::new();
    for closes in [false, true] {
        let mut forger = stage.forger();
        for command in [
            deposit(ALICE, 100),
            deposit(ALICE, 200),
            place(CAROL, 0, Side::Sell, TimeInForce::ImmediateOrCancel, 9_980, 50),
            buy(BOB, 9_985, 10),
            cancel_all(ALICE, 0),
        ] {
            assert_eq!(forger.apply(&mut Honest, &command), Outcome::Accepted);
        }
        if closes {
            forger.seal_all(&mut Honest);
        }
        assert_eq!(refusal(&forger.finish(&checker(), closes)), None);
    }
}

const FIRST_TWO: [fn() -> Instruction; 2] = [|| deposit(ALICE, 100), || deposit(BOB, 200)];

#[test]
fn swapped_commands_break_the_chain_of_steps() {
    let [first, second] = FIRST_TWO.map(|instruction| instruction());
    let mut forger = Stage::new().forger();
    forger.execute(&mut Honest, 1, &second, &second.command);
    forger.execute(&mut Honest, 0, &first, &first.command);
    check(&forger.close(&checker()), Refusal::Bus(Bus::Step));
}

#[test]
fn swapped_and_renumbered_commands_are_not_those_published() {
    let [first, second] = FIRST_TWO.map(|instruction| instruction());
    let mut forger = Stage::new().forger();
    forger.execute(&mut Honest, 0, &first, &second.command);
    forger.execute(&mut Honest, 1, &second, &first.command);
    check(&forger.close(&checker()), Refusal::Bus(Bus::Command));
}

/// Alice has positions in two markets: her margin takes two steps.
#[test]
fn swapped_steps_of_one_command_break_the_order_of_accesses() {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &withdraw(ALICE, 1));
    let checker = checker();
    let mut segment = forger.close(&checker);
    let margin = segment.traces[Table::Step(Step::Margin).index()].as_mut().expect("margin steps");
    assert_eq!(margin.height(), 2);
    let clock = 1;
    margin.values.swap(clock, margin.width + clock);
    check(&segment, Refusal::Bus(Bus::Memory));
}

#[test]
fn deposits_in_the_opposite_order_read_from_the_future() {
    check(&read_from_the_future(&checker()), Refusal::Bus(Bus::Range));
}

#[test]
fn a_command_executed_twice_breaks_the_chain_of_steps() {
    let mut forger = Stage::new().forger();
    let instruction = deposit(ALICE, 100);
    for _ in 0..2 {
        forger.execute(&mut Honest, 0, &instruction, &instruction.command);
    }
    check(&forger.close(&checker()), Refusal::Bus(Bus::Step));
}

#[test]
fn a_skipped_maker_at_the_head_of_the_queue_is_missed_by_the_memory() {
    check(&skipped_maker(&checker()), Refusal::Bus(Bus::Memory));
}

/// Bob's bid of 9,985 belongs behind his own of 9,990 (slot 514).
#[test]
fn an_order_behind_a_wrong_neighbour_violates_the_insertion() {
    let honest = FIRST + 2;
    let orders = FIRST..FIRST + 9;
    for slot in (0..4).chain(orders).filter(|&slot| slot != honest) {
        assert_eq!(refusal(&wrong_neighbour(&checker(), slot)), steps_of(Step::Rest), "slot {slot}");
    }
    assert_eq!(refusal(&wrong_neighbour(&checker(), honest)), None);
}

/// Bob's bid in market 1 put behind the last bid of market 0, where the end of the book makes it look well placed.
#[test]
fn an_order_in_the_book_of_another_market_violates_the_insertion() {
    let mut forger = Stage::new().forger();
    let mut adviser = Adviser(|_, _| i64::from(FIRST + 1));
    let order = place(BOB, 1, Side::Buy, TimeInForce::GoodTillCancel, 1_985, 10);
    assert_eq!(forger.apply(&mut adviser, &order), Outcome::Accepted);
    check(&forger.close(&checker()), Refusal::Constraint(Table::Step(Step::Rest)));
}

/// A rejection that the digest of the published instructions passes over.
#[test]
fn a_rejection_dropped_from_the_published_commands_breaks_the_digest() {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 0)), Outcome::Rejected(Reject::AmountZero));
    forger.apply(&mut Honest, &deposit(BOB, 200));
    forger.published[1].absorbed = false;
    check(&forger.close(&checker()), Refusal::Bus(Bus::Digest));
}

#[test]
fn a_rejection_that_was_not_executed_breaks_the_chain_of_steps() {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    forger.authorise_only(&mut Honest, &deposit(ALICE, 0), Outcome::Rejected(Reject::AmountZero));
    forger.apply(&mut Honest, &deposit(BOB, 200));
    check(&forger.close(&checker()), Refusal::Bus(Bus::Step));
}

/// The batch's digest absorbs another code than that of the outcome.
#[test]
fn an_outcome_published_otherwise_than_it_was_is_not_received() {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    forger.published[0].code = Reject::AmountZero.code();
    check(&forger.close(&checker()), Refusal::Bus(Bus::Outcome));
}

/// Turns every bit of a command's own step: what leads to another outcome must be refused, and by the step's own constraints at least once.
fn check_outcome(instruction: &Instruction, honest: Outcome) {
    let (step, _) = command_entry(&instruction.command);
    let checker = checker();
    let refusals: Vec<Refusal> = forged_outcomes(&checker, instruction, honest)
        .map(|(outcome, segment)| {
            refusal(&segment).unwrap_or_else(|| panic!("{instruction:?} with {outcome:?} is accepted"))
        })
        .collect();
    let own = Refusal::Constraint(Table::Step(step));
    println!("{instruction:?}: {refusals:?}");
    assert!(refusals.contains(&own), "some bit of {instruction:?} changes its outcome");
}

#[test]
fn forged_rejections_violate_the_guards() {
    for command in [
        deposit(ALICE, 100),
        withdraw(ALICE, 100),
        buy(BOB, 9_985, 10),
        cancel(ALICE, FIRST),
        cancel_all(ALICE, 0),
        amend(ALICE, FIRST, 9_985, 50),
        mark(ORACLE, 0, 10_001),
        time(OPERATOR, START + 1),
        release(BOB, 1),
        open(OPERATOR, DAVE),
        register(ALICE, 2, false, 40),
        register(ALICE, 0, true, 40),
        revoke(ALICE, 0),
    ] {
        check_outcome(&command, Outcome::Accepted);
    }
}

#[test]
fn forged_acceptances_violate_the_guards() {
    let rejected = Outcome::Rejected;
    for (command, reject) in [
        (deposit(ALICE, 0), Reject::AmountZero),
        (withdraw(ALICE, 2_000_000_000), Reject::InsufficientCollateral),
        (buy(BOB, 9_985, 1 << 31), Reject::PositionLimit),
        (place(CAROL, 0, Side::Sell, TimeInForce::PostOnly, 9_990, 10), Reject::PostOnlyCrosses),
        (cancel(BOB, FIRST), Reject::NotOrderOwner),
        (cancel_all(ALICE, 9), Reject::UnknownMarket),
        (amend(BOB, FIRST, 9_990, 50), Reject::NotOrderOwner),
        (mark(ALICE, 0, 10_001), Reject::NotOracle),
        (mark(ORACLE, 0, 20_000), Reject::MarkMoveTooLarge),
        (time(OPERATOR, START - 1), Reject::TimeBackwards),
        (release(ALICE, 0), Reject::PositionInUse),
        (by_second(withdraw(ALICE, 100)), Reject::KeyNotPermitted),
        (open(ALICE, DAVE), Reject::NotOperator),
        (open(OPERATOR, ALICE), Reject::AccountOpen),
        (register(DAVE, 0, false, 40), Reject::AccountNotOpen),
        (register(ALICE, 0, false, 40), Reject::KeyInUse),
        (register(ALICE, 2, true, 40), Reject::KeyUnknown),
        (register(OPERATOR, 0, true, 40), Reject::OwnKey),
        (revoke(ALICE, 2), Reject::KeyUnknown),
        (revoke(OPERATOR, 0), Reject::OwnKey),
    ] {
        check_outcome(&command, rejected(reject));
    }
}

#[test]
fn a_stale_read_is_missed_by_the_memory() {
    check(&stale_read(&checker()), Refusal::Bus(Bus::Memory));
}

#[test]
fn a_read_with_another_time_is_missed_by_the_memory() {
    let mut forger = Stage::new().forger();
    let mut reader = Reader(|_, (kind, _, _): Place, versions: &[Version]| {
        let last = versions.last()?;
        (kind == Kind::Account).then(|| Version { timestamp: versions[0].timestamp, ..last.clone() })
    });
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    forger.apply(&mut reader, &deposit(ALICE, 200));
    check(&forger.close(&checker()), Refusal::Bus(Bus::Memory));
}

#[test]
fn a_slot_with_two_histories_has_two_roots() {
    check(&split_history(&checker()), Refusal::Bus(Bus::Merkle));
}

#[test]
fn a_changed_untouched_slot_violates_the_tree() {
    check(&changed_untouched_child(&checker()), Refusal::Constraint(Table::Merkle));
}

#[test]
fn a_root_from_another_batch_is_not_reached() {
    let stage = Stage::new();
    let mut forger = stage.forger();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    let mut segment = forger.close(&checker());
    segment.public.root_old = stage.genesis_root;
    check(&segment, Refusal::Bus(Bus::Merkle));
}

#[test]
fn an_invented_hash_is_not_that_of_its_input() {
    for hash in [Hash::RootOld, Hash::RootNew, Hash::Chain, Hash::Shown] {
        assert_eq!(refusal(&invented_hash(&checker(), hash)), Some(Refusal::Bus(Bus::Poseidon2)), "{hash:?}");
    }
}

#[test]
fn a_slot_outside_its_region_is_out_of_range() {
    check(&slot_outside_its_region(&checker()), Refusal::Bus(Bus::Range));
}

#[test]
fn a_batch_closed_twice_violates_the_segment() {
    let mut forger = Stage::new().forger();
    forger.apply(&mut Honest, &deposit(ALICE, 100));
    forger.seal_all(&mut Honest);
    check(&forger.finish_closing(&checker(), 2), Refusal::Constraint(Table::Segment));
}

#[test]
fn an_invented_end_of_a_batch_is_refused() {
    check(&invented_end(&checker()), Refusal::Bus(Bus::Range));
}

/// Alice's orders in market 0 are 512, 513 and 517; 514 is Bob's and 518 lies in market 1. The sweep goes on until hers are gone.
#[test]
fn a_cancel_all_of_other_orders_violates_the_sweep() {
    let [first, second, bobs, third, elsewhere] = [0, 1, 2, 5, 6].map(|offset| i64::from(FIRST + offset));
    for advised in [
        vec![second, third, first],
        vec![third, second, first],
        vec![first, second, bobs, third],
        vec![first, second, third, elsewhere],
    ] {
        let mut forger = Stage::new().forger();
        let mut slots = advised.iter().copied();
        let mut adviser = Adviser(|_, _| slots.next().unwrap_or(0));
        assert_eq!(forger.apply(&mut adviser, &cancel_all(ALICE, 0)), Outcome::Accepted);
        let refusal = refusal(&forger.close(&checker()));
        if advised == [first, second, third, elsewhere] {
            // The position counts no open order after the third: what is advised then is looked at, and has no consequence.
            assert_eq!(refusal, None);
        } else {
            assert_eq!(refusal, steps_of(Step::Sweep), "slots {advised:?}");
        }
    }
}

/// Alice cancels in market 1, and loses an order of market 0 with it.
#[test]
fn a_cancel_all_in_another_market_violates_the_sweep() {
    let mut forger = Stage::new().forger();
    let mut slots = [FIRST, FIRST + 6].into_iter();
    let mut adviser = Adviser(|_, _| slots.next().map_or(0, i64::from));
    assert_eq!(forger.apply(&mut adviser, &cancel_all(ALICE, 1)), Outcome::Accepted);
    assert!(!forger.order(FIRST).live);
    check(&forger.close(&checker()), Refusal::Constraint(Table::Step(Step::Sweep)));
}

/// A turned bit in the second sweep that ends the command early leaves Alice's later orders in the book.
#[test]
fn a_cancel_all_that_ends_early_violates_the_sweep() {
    let stage = Stage::new();
    let checker = checker();
    let mut honest = stage.forger();
    honest.apply(&mut Honest, &cancel_all(ALICE, 0));
    let mut refusals = Vec::new();
    for column in 1..checker.table(Table::Step(Step::Sweep)).width {
        // authorise, cancel-all, sweep, remove, sweep
        let mut forger = stage.forger();
        let command = cancel_all(ALICE, 0);
        let executed = std::panic::AssertUnwindSafe(|| forger.apply(&mut Liar { clock: 5, column }, &command));
        if std::panic::catch_unwind(executed).is_ok() && forger.clock < honest.clock {
            refusals
                .push(refusal(&forger.close(&checker)).unwrap_or_else(|| panic!("column {column} ends the command")));
        }
    }
    println!("{refusals:?}");
    assert!(refusals.contains(&Refusal::Constraint(Table::Step(Step::Sweep))), "some bit ends the command");
}
