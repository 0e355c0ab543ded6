//! The rules: one function per kind of step. `docs/RULES.md` says in words what they do together.

mod authority;
mod funds;
mod margin;
mod matching;
mod orders;
mod venue;

pub use authority::{authorise, open, register, revoke, seal};
pub use funds::{deposit, payout, withdraw};
pub use margin::margin;
pub use matching::{fill, match_head, trade, turn};
pub use orders::{admit, amend, cancel, cancel_all, expire, place, probe, remove, rest, sweep};
pub use venue::{mark, release, time};

use holdfast_protocol::{Reject, limits::PPM};

use crate::{
    flow::{Grant, MarginRegisters, Next, Verdict},
    machine::{Bit, Id, Int, Machine, NOTIONAL_LIMBS, Wide, Word},
    slots::Account,
};

/// A ladder of guards: the code of the first that refuses.
struct Guard<M: Machine> {
    ok: Bit<M>,
    code: Id<M>,
}

impl<M: Machine> Guard<M> {
    #[inline(always)]
    fn new(m: &mut M) -> Self {
        Self { ok: m.bit(true), code: m.id(0) }
    }

    /// The first guard of every command: its session key has not expired.
    #[inline(always)]
    fn granted(m: &mut M, grant: &Grant<M::V>) -> Self {
        let code = m.id_of(&grant.expired);
        Self { ok: m.not(&grant.expired), code: m.id_scale(&code, u32::from(Reject::KeyExpired.code())) }
    }

    /// Refuses with `reject` if `bad`, unless an earlier guard has refused.
    #[inline(always)]
    fn refuse(&mut self, m: &mut M, bad: &Bit<M>, reject: Reject) {
        let refused = m.and(&self.ok, bad);
        self.ok = m.without(&self.ok, &refused);
        let refused = m.id_of(&refused);
        let code = m.id_scale(&refused, u32::from(reject.code()));
        self.code = m.id_add(&self.code, &code);
    }

    #[inline(always)]
    fn refuse_unless(&mut self, m: &mut M, good: &Bit<M>, reject: Reject) {
        let bad = m.not(good);
        self.refuse(m, &bad, reject);
    }
}

#[inline(always)]
fn id_plus_one<M: Machine>(m: &mut M, a: &Id<M>) -> Id<M> {
    let one = m.id(1);
    m.id_add(a, &one)
}

#[inline(always)]
fn id_is_zero<M: Machine>(m: &mut M, a: &Id<M>) -> Bit<M> {
    let zero = m.id(0);
    m.id_equal(a, &zero)
}

/// Ends a command whose outcome is decided.
#[inline(always)]
fn finish<M: Machine>(m: &mut M, sequence: &Id<M>, guard: &Guard<M>) {
    let always = m.bit(true);
    m.outcome(&always, sequence, &guard.code);
    let next = id_plus_one(m, sequence);
    m.goto(&always, Next::Idle(next));
}

/// A word as a signed integer.
#[inline(always)]
fn signed<M: Machine>(m: &mut M, negative: &Bit<M>, a: &Word<M>) -> Int<M, 3> {
    let magnitude = m.widen(a);
    m.int(negative, &magnitude)
}

#[inline(always)]
fn nonnegative<M: Machine>(m: &mut M, a: &Word<M>) -> Int<M, 3> {
    let magnitude = m.widen(a);
    m.int_nonnegative(&magnitude)
}

/// Whether a resting order at `price` crosses the limit of an order that `buys`.
#[inline(always)]
fn crosses_limit<M: Machine>(m: &mut M, buys: &Bit<M>, limit: &Word<M>, price: &Word<M>) -> Bit<M> {
    let low = m.word_select(buys, price, limit);
    let high = m.word_select(buys, limit, price);
    m.word_at_most(&low, &high)
}

/// Sentinel of the book on the same side: `2 × market` for bids, one more for asks.
#[inline(always)]
fn own_sentinel<M: Machine>(m: &mut M, market: &Id<M>, buys: &Bit<M>) -> Id<M> {
    let sells = m.not(buys);
    opposite_sentinel(m, market, &sells)
}

/// Sentinel of the book that an order which `buys` matches against.
#[inline(always)]
fn opposite_sentinel<M: Machine>(m: &mut M, market: &Id<M>, buys: &Bit<M>) -> Id<M> {
    let base = m.id_scale(market, 2);
    let side = m.id_of(buys);
    m.id_add(&base, &side)
}

/// `worst = max(size + bids, asks − size)`, the largest position that open orders can lead to. It is never negative, because the two sum to
/// bids + asks; must fit a word.
#[inline(always)]
fn worst_position<M: Machine>(m: &mut M, size: &Int<M, 3>, bids: &Word<M>, asks: &Word<M>) -> Word<M> {
    let (bids, asks) = (nonnegative(m, bids), nonnegative(m, asks));
    let long: Int<M, 3> = m.int_add(size, &bids);
    let short: Int<M, 3> = m.int_sub(&asks, size);
    let difference: Int<M, 4> = m.int_sub(&long, &short);
    let short_is_larger = m.int_is_negative(&difference);
    let worst = m.int_select(&short_is_larger, &short, &long);
    let worst = m.int_magnitude(&worst);
    m.narrow(&worst)
}

/// `10^6 × equity ≥ requirement`.
#[inline(always)]
fn meets<M: Machine>(m: &mut M, equity: &Int<M, 8>, requirement: &Wide<M, 7>) -> Bit<M> {
    let negative = m.int_is_negative(equity);
    let magnitude = m.int_magnitude(equity);
    let ppm = m.word(PPM);
    let scaled: Wide<M, 9> = m.wide_scale(&magnitude, &ppm);
    let scaled = m.int(&negative, &scaled);
    let requirement = m.int_nonnegative(requirement);
    let surplus: Int<M, 9> = m.int_sub(&scaled, &requirement);
    let short = m.int_is_negative(&surplus);
    m.not(&short)
}

/// Initial margin is met.
#[inline(always)]
fn meets_initial<M: Machine>(m: &mut M, verdict: &Verdict<M::V>) -> Bit<M> {
    meets(m, &verdict.equity, &verdict.initial)
}

/// `ceil(notional × fee_ppm / 10^6)`.
#[inline(always)]
fn fee_ceil<M: Machine>(m: &mut M, notional: &Wide<M, NOTIONAL_LIMBS>, fee_ppm: &Word<M>) -> Wide<M, NOTIONAL_LIMBS> {
    let scaled: Wide<M, 8> = m.wide_scale(notional, fee_ppm);
    m.wide_div_ppm_ceil(&scaled)
}

/// Where a market is in an account's directory.
struct Entry<M: Machine> {
    /// An entry holds the market.
    found: Bit<M>,
    /// An entry holds the market, or one is empty.
    available: Bit<M>,
    /// The entry that holds the market, else the first empty one, else 0.
    index: Id<M>,
}

#[inline(always)]
fn find_entry<M: Machine>(m: &mut M, account: &Account<M::V>, market: &Id<M>) -> Entry<M> {
    let key = id_plus_one(m, market);
    let mut found = m.bit(false);
    let mut held = m.id(0);
    let mut seen_empty = m.bit(false);
    let mut empty = m.id(0);
    for (index, occupant) in account.directory.iter().enumerate() {
        let is_held = m.id_equal(occupant, &key);
        found = m.or(&found, &is_held);
        let weight = m.id_of(&is_held);
        let weight = m.id_scale(&weight, index as u32);
        held = m.id_add(&held, &weight);
        let is_empty = id_is_zero(m, occupant);
        let later = m.and(&is_empty, &seen_empty);
        let first = m.without(&is_empty, &later);
        seen_empty = m.or(&seen_empty, &is_empty);
        let weight = m.id_of(&first);
        let weight = m.id_scale(&weight, index as u32);
        empty = m.id_add(&empty, &weight);
    }
    let available = m.or(&found, &seen_empty);
    let index = m.id_select(&found, &held, &empty);
    Entry { found, available, index }
}

/// Writes `value` at `index` of a directory if `enabled`.
#[inline(always)]
fn set_entry<M: Machine>(m: &mut M, account: &mut Account<M::V>, enabled: &Bit<M>, index: &Id<M>, value: &Id<M>) {
    for (position, occupant) in account.directory.iter_mut().enumerate() {
        let here = m.id(position as u32);
        let here = m.id_equal(index, &here);
        let here = m.and(&here, enabled);
        *occupant = m.id_select(&here, value, occupant);
    }
}

/// Registers of a margin chain over all positions of the account as they stand, starting from `equity`.
#[inline(always)]
fn margin_of<M: Machine>(
    m: &mut M,
    then: crate::flow::Label,
    account_id: &Id<M>,
    last: Id<M>,
    equity: Int<M, 8>,
) -> MarginRegisters<M::V> {
    MarginRegisters {
        then: m.id(then.number()),
        frame: m.frame(),
        account: account_id.clone(),
        index: m.id(0),
        last,
        instead: m.id(16),
        instead_market: m.id(0),
        instead_size: m.int_zero(),
        instead_bids: m.word(0),
        instead_asks: m.word(0),
        equity,
        initial: m.wide_zero(),
        maintenance: m.wide_zero(),
    }
}

/// Index of the last directory entry that a margin chain must visit: the highest used one, or 0.
#[inline(always)]
fn last_entry<M: Machine>(m: &mut M, entries: &Id<M>) -> Id<M> {
    let none = id_is_zero(m, entries);
    let none = m.id_of(&none);
    let at_least_one = m.id_add(entries, &none);
    let one = m.id(1);
    m.id_sub(&at_least_one, &one)
}
