//! Marks, time, and the release of unused directory entries.

use holdfast_protocol::{Reject, limits::PPM};

use super::{Guard, find_entry, finish, id_plus_one, set_entry};
use crate::{
    fields::{EntryFields, MarkFields, TimeFields},
    flow::Grant,
    machine::{Int, Machine, Wide},
};

/// Sets a mark price, if the oracle says so and it does not move too far at once.
#[inline(always)]
pub fn mark<M: Machine>(m: &mut M, grant: Grant<M::V>, c: MarkFields<M::V>) {
    let system = m.peek_system();
    let mut market = m.open_market(&c.market);
    let mut guard = Guard::granted(m, &grant);
    let is_oracle = m.id_equal(&c.sender, &system.oracle);
    guard.refuse_unless(m, &is_oracle, Reject::NotOracle);
    guard.refuse_unless(m, &market.exists.clone(), Reject::UnknownMarket);
    let zero = m.word_is_zero(&c.price);
    guard.refuse(m, &zero, Reject::PriceZero);

    // |price − mark| × 10^6 ≤ mark × mark_move_ppm, or |price − mark| ≤ 1: a mark of few ticks must not be stuck.
    let new = super::nonnegative(m, &c.price);
    let old = super::nonnegative(m, &market.mark);
    let moved: Int<M, 3> = m.int_sub(&new, &old);
    let moved = m.int_magnitude(&moved);
    let moved = m.narrow(&moved);
    let one = m.word(1);
    let one_tick = m.word_at_most(&moved, &one);
    let ppm = m.word(PPM);
    let moved: Wide<M, 6> = m.word_mul(&moved, &ppm);
    let allowed = m.word_mul(&market.mark, &market.mark_move_ppm);
    let (moved, allowed) = (m.int_nonnegative(&moved), m.int_nonnegative(&allowed));
    let room: Int<M, 6> = m.int_sub(&allowed, &moved);
    let too_far = m.int_is_negative(&room);
    let near = m.not(&too_far);
    let near = m.or(&near, &one_tick);
    guard.refuse_unless(m, &near, Reject::MarkMoveTooLarge);

    market.mark = m.word_select(&guard.ok, &c.price, &market.mark);
    m.close_market(&c.market, market);
    finish(m, &grant.sequence, &guard);
}

/// Advances the time.
#[inline(always)]
pub fn time<M: Machine>(m: &mut M, grant: Grant<M::V>, c: TimeFields<M::V>) {
    let mut system = m.open_system();
    let mut guard = Guard::granted(m, &grant);
    let is_operator = m.id_equal(&c.sender, &system.operator);
    guard.refuse_unless(m, &is_operator, Reject::NotOperator);
    let forwards = m.word_at_most(&system.time, &c.time);
    guard.refuse_unless(m, &forwards, Reject::TimeBackwards);
    system.time = m.word_select(&guard.ok, &c.time, &system.time);
    m.close_system(system);
    finish(m, &grant.sequence, &guard);
}

/// Empties the directory entry of a flat position without open orders.
#[inline(always)]
pub fn release<M: Machine>(m: &mut M, grant: Grant<M::V>, c: EntryFields<M::V>) {
    let mut account = m.open_account(&c.account);
    let entry = find_entry(m, &account, &c.market);
    let mut position = m.open_position(&c.account, &entry.index);
    let mut guard = Guard::granted(m, &grant);
    guard.refuse_unless(m, &entry.found, Reject::NoPosition);
    let flat = m.int_is_zero(&position.size);
    let quiet = m.word_is_zero(&position.open_orders);
    let unused = m.and(&flat, &quiet);
    guard.refuse_unless(m, &unused, Reject::PositionInUse);

    let empty = m.id(0);
    position.market = m.id_select(&guard.ok, &empty, &position.market);
    m.close_position(&c.account, &entry.index, position);

    set_entry(m, &mut account, &guard.ok, &entry.index, &empty);
    let above = id_plus_one(m, &entry.index);
    let highest = m.id_equal(&above, &account.entries);
    let lowers = m.and(&highest, &guard.ok);
    account.entries = m.id_select(&lowers, &entry.index, &account.entries);
    m.close_account(&c.account, account);
    finish(m, &grant.sequence, &guard);
}
