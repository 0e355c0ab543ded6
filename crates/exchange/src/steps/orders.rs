//! The life of an order outside matching: placing, admission, resting, amending, cancelling, removal.

use holdfast_protocol::{
    Reject,
    limits::{MAKERS_MAX, ORDER_BITS},
};

use super::{
    Guard, crosses_limit, find_entry, id_is_zero, id_plus_one, last_entry, margin_of, meets_initial, opposite_sentinel,
    own_sentinel, set_entry, worst_position,
};
use crate::{
    fields::{AmendFields, CancelFields, EntryFields, PlaceFields},
    flow::{
        AdmitFrame, Frame, Grant, Label, MarginRegisters, Next, ProbeRegisters, RemoveRegisters, SweepFrame, Taker,
        Verdict,
    },
    machine::{Bit, Event, Id, Machine, Word},
    slots::{Order, Position},
};

/// Checks a new order; `admit` decides once the account's margin with it is known.
#[inline(always)]
pub fn place<M: Machine>(m: &mut M, grant: Grant<M::V>, c: PlaceFields<M::V>) {
    let system = m.peek_system();
    let market = m.peek_market(&c.market);
    let account = m.peek_account(&c.account);
    let entry = find_entry(m, &account, &c.market);
    let position = m.peek_position(&c.account, &entry.index);
    let Best { sentinel, slot: head, crosses, .. } = best_opposite(m, &c.market, &c.buys, &c.price);

    let rests = m.same(&c.force_low, &c.force_high);
    let post_only = m.and(&c.force_low, &c.force_high);
    let fill_or_kill = m.without(&c.force_high, &post_only);
    check_self_trade(m, &c.self_low, &c.self_high);
    let expire_maker = m.or(&c.self_low, &c.self_high);
    let expire_taker = m.not(&c.self_low);

    let mut guard = Guard::granted(m, &grant);
    guard.refuse_unless(m, &market.exists, Reject::UnknownMarket);
    let zero = m.word_is_zero(&c.price);
    guard.refuse(m, &zero, Reject::PriceZero);
    let zero = m.word_is_zero(&c.size);
    guard.refuse(m, &zero, Reject::SizeZero);
    guard.refuse_unless(m, &entry.available, Reject::PositionSlotsFull);
    let full = m.word_at_most(&market.open_orders_max, &position.open_orders);
    let full = m.and(&full, &rests);
    guard.refuse(m, &full, Reject::OpenOrdersLimit);
    let flat = m.int_is_zero(&position.size);
    let short = m.int_is_negative(&position.size);
    let opposite = m.same(&short, &c.buys);
    let flat_opposite = m.and(&flat, &opposite);
    let opposite = m.without(&opposite, &flat_opposite);
    let increases = m.not(&opposite);
    let increases = m.and(&increases, &c.reduce_only);
    guard.refuse(m, &increases, Reject::ReduceOnlyIncreases);
    let (bids, asks) = open_sums_plus(m, &position, &c.buys, &c.size);
    let worst = worst_position(m, &position.size, &bids, &asks);
    let within = m.word_at_most(&worst, &market.position_max);
    guard.refuse_unless(m, &within, Reject::PositionLimit);
    let post_crosses = m.and(&post_only, &crosses);
    guard.refuse(m, &post_crosses, Reject::PostOnlyCrosses);
    let none_freed = id_is_zero(m, &system.free_head);
    let slots_end = m.id(1 << ORDER_BITS);
    let none_fresh = m.id_equal(&system.fresh, &slots_end);
    let book_full = m.and(&none_freed, &none_fresh);
    let book_full = m.and(&book_full, &rests);
    guard.refuse(m, &book_full, Reject::BookFull);

    let refused = m.not(&guard.ok);
    m.outcome(&refused, &grant.sequence, &guard.code);
    let sequence_next = id_plus_one(m, &grant.sequence);
    m.goto(&refused, Next::Idle(sequence_next.clone()));

    // The first empty entry is at most `entries`: it grows if that is the one.
    let grows = m.id_equal(&entry.index, &account.entries);
    let grows = m.id_of(&grows);
    let entries = m.id_add(&account.entries, &grows);
    let last = last_entry(m, &entries);
    let registers = margin_of(m, Label::Admit, &c.account, last, account.collateral.clone());
    let registers = MarginRegisters {
        instead: entry.index.clone(),
        instead_market: id_plus_one(m, &c.market),
        instead_size: position.size.clone(),
        instead_bids: bids,
        instead_asks: asks,
        ..registers
    };
    let fresh = m.not(&entry.found);
    let amends = m.bit(false);
    let replaced = m.id(0);
    let budget = m.id(MAKERS_MAX);
    let taker = Taker {
        sequence_next,
        account: c.account,
        entry: entry.index,
        market: c.market,
        buys: c.buys.clone(),
        rests,
        reduce_only: c.reduce_only,
        expire_maker,
        expire_taker,
        price: c.price.clone(),
        remaining: c.size.clone(),
        budget: budget.clone(),
    };
    m.suspend(&guard.ok, Frame::Admit(AdmitFrame { taker, fresh, crosses, amends, replaced }));
    let probes = m.and(&guard.ok, &fill_or_kill);
    let at_once = m.without(&guard.ok, &probes);
    m.goto(&at_once, Next::Margin(registers.clone()));
    // The low bit without the high one is "expire maker".
    let probe = ProbeRegisters {
        slot: head,
        sentinel,
        missing: c.size,
        price: c.price,
        buys: c.buys,
        skips_own: c.self_low,
        budget,
        margin: registers,
    };
    m.goto(&probes, Next::Probe(probe));
}

/// One order of the walk that tells whether a fill-or-kill order can be filled.
#[inline(always)]
pub fn probe<M: Machine>(m: &mut M, r: ProbeRegisters<M::V>) {
    let order = m.peek_order(&r.slot);
    let end = m.id_equal(&r.slot, &r.sentinel);
    let crosses = crosses_limit(m, &r.buys, &r.price, &order.price);
    let beyond = m.not(&crosses);
    let own = m.id_equal(&order.account, &r.margin.account);
    let skips = m.and(&own, &r.skips_own);
    let stops = m.without(&own, &skips);
    let exhausted = id_is_zero(m, &r.budget);
    let dead = m.or(&end, &beyond);
    let dead = m.or(&dead, &stops);
    let dead = m.or(&dead, &exhausted);

    let nothing = m.word(0);
    let size = m.word_select(&own, &nothing, &order.size);
    // missing ≤ size: enough. Otherwise missing − size is still missing.
    let enough = m.word_at_most(&r.missing, &size);
    let (_, missing) = m.word_sub(&r.missing, &size);

    let verdict =
        Verdict { killed: m.bit(true), equity: m.int_zero(), initial: m.wide_zero(), maintenance: m.wide_zero() };
    m.goto(&dead, Next::Judge(r.margin.then.clone(), r.margin.frame.clone(), verdict));
    let alive = m.not(&dead);
    let enough = m.and(&alive, &enough);
    m.goto(&enough, Next::Margin(r.margin.clone()));
    let on = m.without(&alive, &enough);
    let budget = spend(m, &r.budget, &exhausted);
    m.goto(&on, Next::Probe(ProbeRegisters { slot: order.next, missing, budget, ..r }));
}

/// Refuses the order for want of margin, or admits it: reserves its size, and sends it to match, to rest or to expire.
#[inline(always)]
pub fn admit<M: Machine>(m: &mut M, frame: AdmitFrame<M::V>, verdict: Verdict<M::V>) {
    let AdmitFrame { taker, fresh, crosses, amends, replaced } = frame;
    let mut guard = Guard::new(m);
    guard.refuse(m, &verdict.killed, Reject::FillOrKillUnfillable);
    let met = meets_initial(m, &verdict);
    let met = m.or(&met, &taker.reduce_only);
    guard.refuse_unless(m, &met, Reject::InsufficientMargin);

    let mut account = m.open_account(&taker.account);
    let key = id_plus_one(m, &taker.market);
    let writes = m.and(&guard.ok, &fresh);
    set_entry(m, &mut account, &writes, &taker.entry, &key);
    let grows = m.id_equal(&taker.entry, &account.entries);
    let grows = m.and(&grows, &writes);
    let grows = m.id_of(&grows);
    account.entries = m.id_add(&account.entries, &grows);
    m.close_account(&taker.account, account);

    let mut position = m.open_position(&taker.account, &taker.entry);
    position.market = m.id_select(&guard.ok, &key, &position.market);
    let (bids, asks) = open_sums_plus(m, &position, &taker.buys, &taker.remaining);
    position.bids = m.word_select(&guard.ok, &bids, &position.bids);
    position.asks = m.word_select(&guard.ok, &asks, &position.asks);
    m.close_position(&taker.account, &taker.entry, position);

    let always = m.bit(true);
    let one = m.id(1);
    let sequence = m.id_sub(&taker.sequence_next, &one);
    m.outcome(&always, &sequence, &guard.code);

    let matches = m.and(&guard.ok, &crosses);
    let passive = m.without(&guard.ok, &matches);
    let rests = m.and(&passive, &taker.rests);
    let expires = m.without(&passive, &rests);
    let (to_match, to_rest) = (m.id(Label::Match.number()), m.id(Label::Rest.number()));
    let to_expire = m.id(Label::Expire.number());
    let then = m.id_select(&rests, &to_rest, &to_expire);
    let then = m.id_select(&matches, &to_match, &then);
    let handle = m.frame();

    let refused = m.not(&guard.ok);
    m.goto(&refused, Next::Idle(taker.sequence_next.clone()));
    m.suspend(&matches, Frame::Match(taker.clone()));
    m.suspend(&rests, Frame::Rest(taker.clone()));
    m.suspend(&expires, Frame::Expire(taker));
    let replaces = m.and(&guard.ok, &amends);
    let direct = m.without(&guard.ok, &replaces);
    m.goto(&direct, Next::Return(then.clone(), handle.clone()));
    m.goto(&replaces, Next::Remove(RemoveRegisters { slot: replaced, then, frame: handle }));
}

/// Puts the remainder into the book, behind all orders that are at least as good.
#[inline(always)]
pub fn rest<M: Machine>(m: &mut M, taker: Taker<M::V>) {
    let mut system = m.open_system();
    let none_freed = id_is_zero(m, &system.free_head);
    let slot = m.id_select(&none_freed, &system.fresh, &system.free_head);

    // The neighbours: `prev` is hinted, and pinned by what it is and what follows it.
    let sentinel = own_sentinel(m, &taker.market, &taker.buys);
    let prev_slot = m.hint_neighbour(&sentinel, &taker.price);
    m.id_check(&prev_slot, ORDER_BITS);
    let mut prev = m.open_order(&prev_slot);
    m.check(&prev.live.clone());
    let same_market = m.id_equal(&prev.market, &taker.market);
    m.check(&same_market);
    let same_side = m.same(&prev.buys, &taker.buys);
    m.check(&same_side);
    let prev_is_sentinel = m.id_equal(&prev_slot, &sentinel);
    let prev_is_as_good = at_least_as_good(m, &taker.buys, &prev.price, &taker.price);
    let prev_fits = m.or(&prev_is_sentinel, &prev_is_as_good);
    m.check(&prev_fits);
    let next_slot = prev.next.clone();
    prev.next = slot.clone();
    m.close_order(&prev_slot, prev);

    let mut next = m.open_order(&next_slot);
    let next_is_sentinel = m.id_equal(&next_slot, &sentinel);
    let next_is_as_good = at_least_as_good(m, &taker.buys, &next.price, &taker.price);
    let next_is_worse = m.not(&next_is_as_good);
    let next_fits = m.or(&next_is_sentinel, &next_is_worse);
    m.check(&next_fits);
    next.prev = slot.clone();
    m.close_order(&next_slot, next);

    let freed = m.open_order(&slot);
    let is_free = m.not(&freed.live);
    m.check(&is_free);
    let generation_last = m.id((1 << holdfast_protocol::limits::GENERATION_BITS) - 1);
    let wraps = m.id_equal(&freed.generation, &generation_last);
    let (first, following) = (m.id(0), id_plus_one(m, &freed.generation));
    let generation = m.id_select(&wraps, &first, &following);
    let order = Order {
        live: m.bit(true),
        buys: taker.buys.clone(),
        market: taker.market.clone(),
        account: taker.account.clone(),
        entry: taker.entry.clone(),
        generation: generation.clone(),
        reduce_only: taker.reduce_only.clone(),
        price: taker.price.clone(),
        size: taker.remaining.clone(),
        prev: prev_slot,
        next: next_slot,
    };
    m.close_order(&slot, order);

    system.free_head = m.id_select(&none_freed, &system.free_head, &freed.next);
    let taken = m.id_of(&none_freed);
    system.fresh = m.id_add(&system.fresh, &taken);
    m.close_system(system);

    let mut position = m.open_position(&taker.account, &taker.entry);
    let one = m.word(1);
    position.open_orders = m.word_add(&position.open_orders, &one);
    m.close_position(&taker.account, &taker.entry, position);

    let always = m.bit(true);
    m.notify(&always, || Event::Rested {
        slot: slot.clone(),
        generation: generation.clone(),
        account: taker.account.clone(),
        market: taker.market.clone(),
        buys: taker.buys.clone(),
        price: taker.price.clone(),
        size: taker.remaining.clone(),
    });
    m.goto(&always, Next::Idle(taker.sequence_next));
}

/// Drops the remainder.
#[inline(always)]
pub fn expire<M: Machine>(m: &mut M, taker: Taker<M::V>) {
    let mut position = m.open_position(&taker.account, &taker.entry);
    release_open(m, &mut position, &taker.buys, &taker.remaining);
    m.close_position(&taker.account, &taker.entry, position);
    let always = m.bit(true);
    m.notify(&always, || Event::Expired {
        account: taker.account.clone(),
        market: taker.market.clone(),
        remaining: taker.remaining.clone(),
    });
    m.goto(&always, Next::Idle(taker.sequence_next));
}

/// Takes an order out of its book and frees its slot.
#[inline(always)]
pub fn remove<M: Machine>(m: &mut M, r: RemoveRegisters<M::V>) {
    let mut system = m.open_system();
    let order = m.open_order(&r.slot);
    m.check(&order.live.clone());
    let (no, zero, nothing) = (m.bit(false), m.id(0), m.word(0));
    let freed = Order {
        live: no.clone(),
        buys: no.clone(),
        market: zero.clone(),
        account: zero.clone(),
        entry: zero.clone(),
        generation: order.generation.clone(),
        reduce_only: no,
        price: nothing.clone(),
        size: nothing,
        prev: zero,
        next: system.free_head.clone(),
    };
    m.close_order(&r.slot, freed);
    system.free_head = r.slot.clone();
    m.close_system(system);

    let mut prev = m.open_order(&order.prev);
    prev.next = order.next.clone();
    m.close_order(&order.prev, prev);
    let mut next = m.open_order(&order.next);
    next.prev = order.prev.clone();
    m.close_order(&order.next, next);

    let mut position = m.open_position(&order.account, &order.entry);
    release_open(m, &mut position, &order.buys, &order.size);
    let one = m.word(1);
    position.open_orders = m.word_sub_exact(&position.open_orders, &one);
    m.close_position(&order.account, &order.entry, position);

    let always = m.bit(true);
    m.notify(&always, || Event::Removed {
        slot: r.slot.clone(),
        generation: order.generation.clone(),
        remaining: order.size.clone(),
    });
    m.goto(&always, Next::Return(r.then, r.frame));
}

/// Cancels one order.
#[inline(always)]
pub fn cancel<M: Machine>(m: &mut M, grant: Grant<M::V>, c: CancelFields<M::V>) {
    let order = m.peek_order(&c.slot);
    let mut guard = Guard::granted(m, &grant);
    refuse_foreign(m, &mut guard, &order, &c.account, &c.generation);
    let always = m.bit(true);
    m.outcome(&always, &grant.sequence, &guard.code);
    let next = id_plus_one(m, &grant.sequence);
    let refused = m.not(&guard.ok);
    m.goto(&refused, Next::Idle(next.clone()));
    let idle = m.id(Label::Idle.number());
    m.goto(&guard.ok, Next::Remove(RemoveRegisters { slot: c.slot, then: idle, frame: next }));
}

/// Cancels all orders of an account in a market, one `sweep` each.
#[inline(always)]
pub fn cancel_all<M: Machine>(m: &mut M, grant: Grant<M::V>, c: EntryFields<M::V>) {
    let market = m.peek_market(&c.market);
    let account = m.peek_account(&c.account);
    let entry = find_entry(m, &account, &c.market);
    let mut guard = Guard::granted(m, &grant);
    guard.refuse_unless(m, &market.exists, Reject::UnknownMarket);
    let always = m.bit(true);
    m.outcome(&always, &grant.sequence, &guard.code);
    let sequence_next = id_plus_one(m, &grant.sequence);
    let sweeps = m.and(&guard.ok, &entry.found);
    let last = m.id(0);
    let frame = SweepFrame { sequence_next: sequence_next.clone(), account: c.account, entry: entry.index, last };
    m.suspend(&sweeps, Frame::Sweep(frame));
    let handle = m.frame();
    m.goto(&sweeps, Next::Resume(Label::Sweep, handle));
    let done = m.not(&sweeps);
    m.goto(&done, Next::Idle(sequence_next));
}

/// Removes the account's next open order in the market, by ascending slot, until none is left.
///
/// The slot is hinted. That it is the account's, lies above the last one, and that the chain ends only when the position counts no open
/// order pins the hints: any other choice would leave an order out and never end.
#[inline(always)]
pub fn sweep<M: Machine>(m: &mut M, frame: SweepFrame<M::V>) {
    let position = m.peek_position(&frame.account, &frame.entry);
    let done = m.word_is_zero(&position.open_orders);
    let more = m.not(&done);
    let slot = m.hint_open_order(&frame.account, &frame.entry, &frame.last);
    m.id_check(&slot, ORDER_BITS);
    let order = m.peek_order(&slot);
    let ascends = m.id_less(&frame.last, &slot);
    m.check_if(&more, &ascends);
    m.check_if(&more, &order.live);
    let own = m.id_equal(&order.account, &frame.account);
    m.check_if(&more, &own);
    let here = m.id_equal(&order.entry, &frame.entry);
    m.check_if(&more, &here);

    m.goto(&done, Next::Idle(frame.sequence_next.clone()));
    m.suspend(&more, Frame::Sweep(SweepFrame { last: slot.clone(), ..frame }));
    let then = m.id(Label::Sweep.number());
    let handle = m.frame();
    m.goto(&more, Next::Remove(RemoveRegisters { slot, then, frame: handle }));
}

/// Shrinks an order in place, or checks its replacement as `place` checks a new order.
#[inline(always)]
pub fn amend<M: Machine>(m: &mut M, grant: Grant<M::V>, c: AmendFields<M::V>) {
    let mut order = m.open_order(&c.slot);
    let mut guard = Guard::granted(m, &grant);
    refuse_foreign(m, &mut guard, &order, &c.account, &c.generation);
    let zero = m.word_is_zero(&c.price);
    guard.refuse(m, &zero, Reject::PriceZero);
    let zero = m.word_is_zero(&c.size);
    guard.refuse(m, &zero, Reject::SizeZero);

    // In place: the same price, and not larger.
    let (higher_or_same, _) = m.word_sub(&c.price, &order.price);
    let (lower_or_same, _) = m.word_sub(&order.price, &c.price);
    let same_price = m.and(&higher_or_same, &lower_or_same);
    let (not_larger, reduction) = m.word_sub(&order.size, &c.size);
    let shrinks = m.and(&same_price, &not_larger);
    let in_place = m.and(&guard.ok, &shrinks);

    // The position of the command's account; it is the order's unless a guard has refused.
    let mut position = m.open_position(&c.account, &order.entry);
    let market = m.peek_market(&order.market);
    let open = m.word_select(&order.buys, &position.bids, &position.asks);
    let (_, without_old) = m.word_sub(&open, &order.size);
    let replaced_open = m.word_add(&without_old, &c.size);
    let bids = m.word_select(&order.buys, &replaced_open, &position.bids);
    let asks = m.word_select(&order.buys, &position.asks, &replaced_open);
    let worst = worst_position(m, &position.size, &bids, &asks);
    let within = m.word_at_most(&worst, &market.position_max);
    let within = m.or(&within, &shrinks);
    guard.refuse_unless(m, &within, Reject::PositionLimit);

    let (_, shrunk) = m.word_sub(&open, &reduction);
    let new_open = m.word_select(&in_place, &shrunk, &open);
    let instead_size = position.size.clone();
    position.bids = m.word_select(&order.buys, &new_open, &position.bids);
    position.asks = m.word_select(&order.buys, &position.asks, &new_open);
    m.close_position(&c.account, &order.entry, position);

    let old = order.clone();
    order.size = m.word_select(&in_place, &c.size, &order.size);
    m.close_order(&c.slot, order);

    let Best { crosses, .. } = best_opposite(m, &old.market, &old.buys, &c.price);
    let account = m.peek_account(&c.account);

    let replaces = m.without(&guard.ok, &in_place);
    let decided = m.not(&replaces);
    m.outcome(&decided, &grant.sequence, &guard.code);
    let sequence_next = id_plus_one(m, &grant.sequence);
    m.goto(&decided, Next::Idle(sequence_next.clone()));

    let last = last_entry(m, &account.entries);
    let registers = margin_of(m, Label::Admit, &c.account, last, account.collateral);
    let registers = MarginRegisters {
        instead: old.entry.clone(),
        instead_market: id_plus_one(m, &old.market),
        instead_size,
        instead_bids: bids,
        instead_asks: asks,
        ..registers
    };
    let (yes, no) = (m.bit(true), m.bit(false));
    check_self_trade(m, &c.self_low, &c.self_high);
    let expire_maker = m.or(&c.self_low, &c.self_high);
    let expire_taker = m.not(&c.self_low);
    let taker = Taker {
        sequence_next,
        account: c.account,
        entry: old.entry,
        market: old.market,
        buys: old.buys,
        rests: yes.clone(),
        reduce_only: old.reduce_only,
        expire_maker,
        expire_taker,
        price: c.price,
        remaining: c.size,
        budget: m.id(MAKERS_MAX),
    };
    m.suspend(&replaces, Frame::Admit(AdmitFrame { taker, fresh: no, crosses, amends: yes, replaced: c.slot }));
    m.goto(&replaces, Next::Margin(registers));
}

/// One less of a budget, unless it is exhausted.
#[inline(always)]
pub(super) fn spend<M: Machine>(m: &mut M, budget: &Id<M>, exhausted: &Bit<M>) -> Id<M> {
    let left = m.not(exhausted);
    let left = m.id_of(&left);
    m.id_sub(budget, &left)
}

/// The best order of the opposite book.
pub(super) struct Best<M: Machine> {
    pub sentinel: Id<M>,
    /// The sentinel if the book is empty.
    pub slot: Id<M>,
    pub order: Order<M::V>,
    /// There is an order, and it crosses the limit.
    pub crosses: Bit<M>,
}

#[inline(always)]
pub(super) fn best_opposite<M: Machine>(m: &mut M, market: &Id<M>, buys: &Bit<M>, price: &Word<M>) -> Best<M> {
    let sentinel = opposite_sentinel(m, market, buys);
    let slot = m.peek_order(&sentinel).next;
    let order = m.peek_order(&slot);
    let none = m.id_equal(&slot, &sentinel);
    let some = m.not(&none);
    let crosses = crosses_limit(m, buys, price, &order.price);
    let crosses = m.and(&some, &crosses);
    Best { sentinel, slot, order, crosses }
}

/// In a book of bids (`buys`) or asks, a price at least as good as `price`.
#[inline(always)]
fn at_least_as_good<M: Machine>(m: &mut M, buys: &Bit<M>, candidate: &Word<M>, price: &Word<M>) -> Bit<M> {
    let low = m.word_select(buys, price, candidate);
    let high = m.word_select(buys, candidate, price);
    m.word_at_most(&low, &high)
}

/// Bids and asks with `size` more open on the side of an order that `buys`.
#[inline(always)]
fn open_sums_plus<M: Machine>(
    m: &mut M,
    position: &Position<M::V>,
    buys: &Bit<M>,
    size: &Word<M>,
) -> (Word<M>, Word<M>) {
    let open = m.word_select(buys, &position.bids, &position.asks);
    let open = m.word_add(&open, size);
    let bids = m.word_select(buys, &open, &position.bids);
    let asks = m.word_select(buys, &position.asks, &open);
    (bids, asks)
}

/// Takes `size` out of the position's open bids or asks.
#[inline(always)]
pub(super) fn release_open<M: Machine>(m: &mut M, position: &mut Position<M::V>, buys: &Bit<M>, size: &Word<M>) {
    let open = m.word_select(buys, &position.bids, &position.asks);
    let open = m.word_sub_exact(&open, size);
    position.bids = m.word_select(buys, &open, &position.bids);
    position.asks = m.word_select(buys, &position.asks, &open);
}

/// Refuses unless the slot holds a live order of this generation that belongs to the account.
#[inline(always)]
fn refuse_foreign<M: Machine>(
    m: &mut M,
    guard: &mut Guard<M>,
    order: &Order<M::V>,
    account: &Id<M>,
    generation: &Id<M>,
) {
    let same_generation = m.id_equal(&order.generation, generation);
    let known = m.and(&order.live, &same_generation);
    guard.refuse_unless(m, &known, Reject::UnknownOrder);
    let own = m.id_equal(&order.account, account);
    guard.refuse_unless(m, &own, Reject::NotOrderOwner);
}

/// Of the four values of two bits, three are modes: whoever reads what is published knows no fourth.
#[inline(always)]
fn check_self_trade<M: Machine>(m: &mut M, low: &Bit<M>, high: &Bit<M>) {
    let both = m.and(low, high);
    let known = m.not(&both);
    m.check(&known);
}
