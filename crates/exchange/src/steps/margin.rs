//! The margin chain: one step per directory entry of an account.

use super::{id_is_zero, id_plus_one, worst_position};
use crate::{
    flow::{MarginRegisters, Next, Verdict},
    machine::{Int, Machine, Wide},
};

/// Adds the position at `index` to equity and requirements.
///
/// `equity' = equity + size × mark + quote`, `initial' = initial + worst × mark × initial_margin_ppm`,
/// `maintenance' = maintenance + |size| × mark × maintenance_margin_ppm`.
#[inline(always)]
pub fn margin<M: Machine>(m: &mut M, r: MarginRegisters<M::V>) {
    let position = m.peek_position(&r.account, &r.index);
    let instead = m.id_equal(&r.index, &r.instead);
    let size = m.int_select(&instead, &r.instead_size, &position.size);
    let bids = m.word_select(&instead, &r.instead_bids, &position.bids);
    let asks = m.word_select(&instead, &r.instead_asks, &position.asks);
    let key = m.id_select(&instead, &r.instead_market, &position.market);

    // An empty entry is flat: it reads market 0 and adds nothing.
    let empty = id_is_zero(m, &key);
    let used = m.not(&empty);
    let used = m.id_of(&used);
    let market_id = m.id_sub(&key, &used);
    let market = m.peek_market(&market_id);

    let worst = worst_position(m, &size, &bids, &asks);
    let worst_value = m.word_mul(&worst, &market.mark);
    let initial: Wide<M, 7> = m.wide_scale(&worst_value, &market.initial_margin_ppm);
    let initial: Wide<M, 7> = m.wide_add(&r.initial, &initial);

    let magnitude = m.int_magnitude(&size);
    let magnitude = m.narrow(&magnitude);
    let value = m.word_mul(&magnitude, &market.mark);
    let maintenance: Wide<M, 7> = m.wide_scale(&value, &market.maintenance_margin_ppm);
    let maintenance: Wide<M, 7> = m.wide_add(&r.maintenance, &maintenance);

    let short = m.int_is_negative(&size);
    let value: Int<M, 6> = m.int(&short, &value);
    let worth: Int<M, 8> = m.int_add(&position.quote, &value);
    let equity: Int<M, 8> = m.int_add(&r.equity, &worth);

    let done = m.id_equal(&r.index, &r.last);
    let verdict = Verdict {
        killed: m.bit(false),
        equity: equity.clone(),
        initial: initial.clone(),
        maintenance: maintenance.clone(),
    };
    m.goto(&done, Next::Judge(r.then.clone(), r.frame.clone(), verdict));
    let more = m.not(&done);
    let index = id_plus_one(m, &r.index);
    m.goto(&more, Next::Margin(MarginRegisters { index, equity, initial, maintenance, ..r }));
}
