//! Deposits and withdrawals.

use holdfast_protocol::{
    Reject,
    limits::{BRIDGE, DEPOSITS_MAX, PAYOUTS},
};

use super::{Guard, finish, id_plus_one, last_entry, margin_of, meets_initial};
use crate::{
    fields::{DepositFields, WithdrawFields},
    flow::{Frame, Grant, Label, Next, PayoutFrame, Verdict},
    machine::{Bit, Id, Int, Machine, Wide},
};

/// Credits an account's collateral, if the registrar says so.
#[inline(always)]
pub fn deposit<M: Machine>(m: &mut M, grant: Grant<M::V>, c: DepositFields<M::V>) {
    let amount: Int<M, 6> = m.int_nonnegative(&c.amount);

    let owner = m.peek_owner(&c.account);
    let mut system = m.open_system();
    let mut guard = Guard::granted(m, &grant);
    let is_registrar = m.id_equal(&grant.account, &system.registrar);
    guard.refuse_unless(m, &is_registrar, Reject::NotOperator);
    guard.refuse_unless(m, &owner.open, Reject::AccountNotOpen);
    let nothing = m.int_is_zero(&amount);
    guard.refuse(m, &nothing, Reject::AmountZero);
    // deposits + amount ≤ DEPOSITS_MAX, which is one limb of value 2^6 above six limbs of zero: 2^90.
    let deposits: Wide<M, 7> = m.wide_add(&system.deposits, &c.amount);
    let over = exceeds_deposits_max(m, &deposits);
    guard.refuse(m, &over, Reject::DepositCap);

    let credited = select_wide(m, &guard.ok, &deposits, &system.deposits);
    system.deposits = credited;
    m.close_system(system);

    let mut account = m.open_account(&c.account);
    let collateral = m.int_add(&account.collateral, &amount);
    account.collateral = m.int_select(&guard.ok, &collateral, &account.collateral);
    m.close_account(&c.account, account);
    finish(m, &grant.sequence, &guard);
}

/// Asks for collateral; `payout` decides once the margin is known.
#[inline(always)]
pub fn withdraw<M: Machine>(m: &mut M, grant: Grant<M::V>, c: WithdrawFields<M::V>) {
    let amount: Int<M, 6> = m.int_nonnegative(&c.amount);
    let system = m.peek_system();
    let account = m.peek_account(&c.account);

    let mut guard = Guard::granted(m, &grant);
    guard.refuse_unless(m, &grant.withdraws, Reject::KeyNotPermitted);
    let nothing = m.int_is_zero(&amount);
    guard.refuse(m, &nothing, Reject::AmountZero);
    let left: Int<M, 8> = m.int_sub(&account.collateral, &amount);
    let short = m.int_is_negative(&left);
    guard.refuse(m, &short, Reject::InsufficientCollateral);
    let deposits = m.int_nonnegative(&system.deposits);
    let held: Int<M, 7> = m.int_sub(&deposits, &amount);
    let short = m.int_is_negative(&held);
    guard.refuse(m, &short, Reject::VaultShort);

    let Grant { sequence, .. } = grant;
    let refused = m.not(&guard.ok);
    m.outcome(&refused, &sequence, &guard.code);
    let next = id_plus_one(m, &sequence);
    m.goto(&refused, Next::Idle(next));

    m.suspend(&guard.ok, Frame::Payout(PayoutFrame { sequence, account: c.account.clone(), amount: c.amount }));
    let last = last_entry(m, &account.entries);
    let registers = margin_of(m, Label::Payout, &c.account, last, left);
    m.goto(&guard.ok, Next::Margin(registers));
}

/// Debits collateral if initial margin is met without it.
#[inline(always)]
pub fn payout<M: Machine>(m: &mut M, frame: PayoutFrame<M::V>, verdict: Verdict<M::V>) {
    let PayoutFrame { sequence, account: id, amount } = frame;
    let mut guard = Guard::new(m);
    let met = meets_initial(m, &verdict);
    guard.refuse_unless(m, &met, Reject::InsufficientMargin);
    pay(m, &guard.ok, &id, &amount);
    let amount: Int<M, 6> = m.int_nonnegative(&amount);

    let mut system = m.open_system();
    let deposits = m.int_nonnegative(&system.deposits);
    let held: Int<M, 7> = m.int_sub(&deposits, &amount);
    let held = m.int_select(&guard.ok, &held, &deposits);
    // `withdraw` has seen that the vault holds the amount.
    let short = m.int_is_negative(&held);
    let covered = m.not(&short);
    m.check(&covered);
    system.deposits = m.int_magnitude(&held);
    m.close_system(system);

    let mut account = m.open_account(&id);
    let left = m.int_sub(&account.collateral, &amount);
    account.collateral = m.int_select(&guard.ok, &left, &account.collateral);
    m.close_account(&id, account);
    finish(m, &sequence, &guard);
}

/// The chain of withdrawals absorbs one: Ethereum pays what is on it.
#[inline(always)]
fn pay<M: Machine>(m: &mut M, enabled: &Bit<M>, account: &Id<M>, amount: &Wide<M, 6>) {
    let (bridge, place) = (m.id(BRIDGE), m.id(PAYOUTS));
    let mut payouts = m.open_session(&bridge, &place);
    let block = m.fields_of_transfer(account, amount);
    let head = m.absorb(&payouts.head, &block, &payouts.sequence);
    payouts.head = m.fields_select(enabled, &head, &payouts.head);
    let one = m.id_of(enabled);
    payouts.sequence = m.id_add(&payouts.sequence, &one);
    m.close_session(&bridge, &place, payouts);
}

fn exceeds_deposits_max<M: Machine>(m: &mut M, deposits: &Wide<M, 7>) -> Bit<M> {
    let deposits = m.int_nonnegative(deposits);
    let max = wide_power::<M>(m);
    let max = m.int_nonnegative(&max);
    let room: Int<M, 7> = m.int_sub(&max, &deposits);
    m.int_is_negative(&room)
}

/// `DEPOSITS_MAX` = 2^90 = 2^38 × 2^32 × 2^20.
fn wide_power<M: Machine>(m: &mut M) -> Wide<M, 7> {
    const _: () = assert!(DEPOSITS_MAX == 1 << (38 + 32 + 20));
    let (a, b, c) = (m.word(1 << 38), m.word(1 << 32), m.word(1 << 20));
    let product = m.word_mul(&a, &b);
    m.wide_scale(&product, &c)
}

fn select_wide<M: Machine>(m: &mut M, condition: &Bit<M>, then: &Wide<M, 7>, otherwise: &Wide<M, 7>) -> Wide<M, 7> {
    let (then, otherwise) = (m.int_nonnegative(then), m.int_nonnegative(otherwise));
    let chosen = m.int_select(condition, &then, &otherwise);
    m.int_magnitude(&chosen)
}
