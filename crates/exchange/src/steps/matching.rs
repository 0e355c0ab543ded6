//! Matching: the best opposite order, the margin of both sides as after the fill, the fill.

use super::{
    fee_ceil, id_is_zero, meets, meets_initial,
    orders::{Best, best_opposite, release_open, spend},
};
use crate::{
    flow::{FillFrame, Frame, Label, MarginRegisters, Next, RemoveRegisters, Taker, TradeFrame, TurnFrame, Verdict},
    machine::{Bit, Event, Id, Int, Machine, NOTIONAL_LIMBS, Wide, Word},
    slots::{Account, Market, Position},
};

/// Looks at the best opposite order and decides what happens to it and to the taker.
#[inline(always)]
pub fn match_head<M: Machine>(m: &mut M, mut taker: Taker<M::V>) {
    let Best { slot: head, order: maker, crosses, .. } = best_opposite(m, &taker.market, &taker.buys, &taker.price);
    let own_position = m.peek_position(&taker.account, &taker.entry);
    // The maker's position; of the taker if no order crosses (the sentinel belongs to nobody).
    let maker_account = m.id_select(&crosses, &maker.account, &taker.account);
    let maker_entry = m.id_select(&crosses, &maker.entry, &taker.entry);
    let maker_position = m.peek_position(&maker_account, &maker_entry);

    let sells = m.not(&taker.buys);
    let own = m.id_equal(&maker.account, &taker.account);
    let taker_cap = reducible(m, &own_position, &taker.buys);
    let taker_cap = m.word_select(&taker.reduce_only, &taker_cap, &taker.remaining);
    let taker_size = m.word_min(&taker.remaining, &taker_cap);
    let taker_stuck = m.word_is_zero(&taker_size);
    let maker_cap = reducible(m, &maker_position, &sells);
    let maker_cap = m.word_select(&maker.reduce_only, &maker_cap, &maker.size);
    let maker_size = m.word_min(&maker.size, &maker_cap);
    let maker_stuck = m.word_is_zero(&maker_size);
    let size = m.word_min(&taker_size, &maker_size);

    // Exactly one of: rests or expires (nothing crosses), spent (the budget is), prevented (own order), stuck (taker), drops (maker stuck), trades.
    let done = m.not(&crosses);
    let rests = m.and(&done, &taker.rests);
    let expires = m.without(&done, &rests);
    let exhausted = id_is_zero(m, &taker.budget);
    taker.budget = spend(m, &taker.budget, &exhausted);
    let spent = m.and(&crosses, &exhausted);
    let looks = m.without(&crosses, &spent);
    let prevented = m.and(&looks, &own);
    let foreign = m.without(&looks, &prevented);
    let stuck = m.and(&foreign, &taker_stuck);
    let able = m.without(&foreign, &stuck);
    let drops = m.and(&able, &maker_stuck);
    let trades = m.without(&able, &drops);

    // Self-trade prevention: the maker is removed, or the taker expires, or the one and then the other.
    let prevented_maker = m.and(&prevented, &taker.expire_maker);
    let prevented_only_taker = m.without(&prevented, &prevented_maker);
    let prevented_both = m.and(&prevented_maker, &taker.expire_taker);
    let goes_on = m.without(&prevented_maker, &prevented_both);

    let expires = m.or(&expires, &spent);
    let expires = m.or(&expires, &stuck);
    let expires = m.or(&expires, &prevented_only_taker);
    let removes = m.or(&drops, &prevented_maker);
    let expires_later = m.or(&expires, &prevented_both);
    let matches_later = m.or(&drops, &goes_on);

    let handle = m.frame();
    m.suspend(&rests, Frame::Rest(taker.clone()));
    m.goto(&rests, Next::Resume(Label::Rest, handle.clone()));
    m.suspend(&expires_later, Frame::Expire(taker.clone()));
    m.goto(&expires, Next::Resume(Label::Expire, handle.clone()));
    m.suspend(&matches_later, Frame::Match(taker.clone()));
    let (to_match, to_expire) = (m.id(Label::Match.number()), m.id(Label::Expire.number()));
    let then = m.id_select(&prevented_both, &to_expire, &to_match);
    m.goto(&removes, Next::Remove(RemoveRegisters { slot: head.clone(), then, frame: handle.clone() }));
    m.suspend(&trades, Frame::Trade(TradeFrame { taker, slot: head, size }));
    m.goto(&trades, Next::Resume(Label::Trade, handle));
}

/// Prices the fill, and asks for the maker's margin as after it.
#[inline(always)]
pub fn trade<M: Machine>(m: &mut M, frame: TradeFrame<M::V>) {
    let TradeFrame { taker, slot, size } = frame;
    let maker = m.peek_order(&slot);
    let market = m.peek_market(&taker.market);
    let notional = m.word_mul(&maker.price, &size);
    let maker_fee = fee_ceil(m, &notional, &market.maker_fee_ppm);
    let buys = m.not(&taker.buys);
    let leg = Leg {
        account: &maker.account,
        entry: &maker.entry,
        buys: &buys,
        size: &size,
        notional: &notional,
        fee: &maker_fee,
    };
    let (registers, shrinks, costless) = leg.margin(m, Label::Turn, &market, &taker.market);
    let always = m.bit(true);
    m.suspend(&always, Frame::Turn(TurnFrame { taker, slot, size, notional, maker_fee, shrinks, costless }));
    m.goto(&always, Next::Margin(registers));
}

/// Drops the maker if it may not fill; else asks for the taker's margin as after the fill.
#[inline(always)]
pub fn turn<M: Machine>(m: &mut M, frame: TurnFrame<M::V>, verdict: Verdict<M::V>) {
    let TurnFrame { taker, slot, size, notional, maker_fee, shrinks, costless } = frame;
    let fills = may_fill(m, &verdict, &shrinks, &costless);
    let market = m.peek_market(&taker.market);
    let taker_fee = fee_ceil(m, &notional, &market.taker_fee_ppm);
    let leg = Leg {
        account: &taker.account,
        entry: &taker.entry,
        buys: &taker.buys,
        size: &size,
        notional: &notional,
        fee: &taker_fee,
    };
    let (registers, shrinks, costless) = leg.margin(m, Label::Fill, &market, &taker.market);

    let drops = m.not(&fills);
    let handle = m.frame();
    m.suspend(&drops, Frame::Match(taker.clone()));
    let then = m.id(Label::Match.number());
    m.goto(&drops, Next::Remove(RemoveRegisters { slot: slot.clone(), then, frame: handle }));
    m.suspend(&fills, Frame::Fill(FillFrame { taker, slot, size, notional, maker_fee, taker_fee, shrinks, costless }));
    m.goto(&fills, Next::Margin(registers));
}

/// Expires the taker if it may not fill; else moves size, quote and fees.
#[inline(always)]
pub fn fill<M: Machine>(m: &mut M, frame: FillFrame<M::V>, verdict: Verdict<M::V>) {
    let FillFrame { mut taker, slot, size, notional, maker_fee, taker_fee, shrinks, costless } = frame;
    let fills = may_fill(m, &verdict, &shrinks, &costless);
    let expires = m.not(&fills);
    let handle = m.frame();
    m.suspend(&expires, Frame::Expire(taker.clone()));
    m.goto(&expires, Next::Resume(Label::Expire, handle.clone()));

    let mut order = m.open_order(&slot);
    let (maker_account, maker_entry, price) = (order.account.clone(), order.entry.clone(), order.price.clone());
    let generation = order.generation.clone();
    let left = m.word_sub_exact(&order.size, &size);
    order.size = m.word_select(&fills, &left, &order.size);
    m.close_order(&slot, order);

    let sells = m.not(&taker.buys);
    settle(m, &fills, &maker_account, &maker_entry, &sells, &size, &notional, &maker_fee);
    settle(m, &fills, &taker.account, &taker.entry, &taker.buys, &size, &notional, &taker_fee);

    let system = m.peek_system();
    let mut fees = m.open_account(&system.fee_account);
    let fee: Wide<M, 7> = m.wide_add(&maker_fee, &taker_fee);
    let fee = m.int_nonnegative(&fee);
    let collateral = m.int_add(&fees.collateral, &fee);
    fees.collateral = m.int_select(&fills, &collateral, &fees.collateral);
    m.close_account(&system.fee_account, fees);

    taker.remaining = m.word_sub_exact(&taker.remaining, &size);
    m.notify(&fills, || Event::Filled {
        maker_slot: slot.clone(),
        maker_generation: generation.clone(),
        maker_account: maker_account.clone(),
        taker_account: taker.account.clone(),
        market: taker.market.clone(),
        taker_buys: taker.buys.clone(),
        price: price.clone(),
        size: size.clone(),
        maker_fee: maker_fee.clone(),
        taker_fee: taker_fee.clone(),
    });

    // A consumed maker leaves the book; a taker with something left matches on.
    let consumed = m.word_is_zero(&left);
    let satisfied = m.word_is_zero(&taker.remaining);
    let satisfied = m.and(&fills, &satisfied);
    let goes_on = m.without(&fills, &satisfied);
    let removes = m.and(&fills, &consumed);
    let stays = m.without(&fills, &removes);
    let sequence_next = taker.sequence_next.clone();
    m.suspend(&goes_on, Frame::Match(taker));
    let (to_idle, to_match) = (m.id(Label::Idle.number()), m.id(Label::Match.number()));
    let then = m.id_select(&satisfied, &to_idle, &to_match);
    let back = m.id_select(&satisfied, &sequence_next, &handle);
    m.goto(&stays, Next::Return(then.clone(), back.clone()));
    m.goto(&removes, Next::Remove(RemoveRegisters { slot, then, frame: back }));
}

/// By how much a fill of an order that `buys` can shrink the position: its size if it is on the opposite side, else 0.
#[inline(always)]
fn reducible<M: Machine>(m: &mut M, position: &Position<M::V>, buys: &Bit<M>) -> Word<M> {
    let short = m.int_is_negative(&position.size);
    let opposite = m.same(&short, buys);
    let size = m.int_magnitude(&position.size);
    let size = m.narrow(&size);
    let nothing = m.word(0);
    m.word_select(&opposite, &size, &nothing)
}

/// Whether an account may fill, from what the margin chain found as after the fill.
#[inline(always)]
fn may_fill<M: Machine>(m: &mut M, verdict: &Verdict<M::V>, shrinks: &Bit<M>, costless: &Bit<M>) -> Bit<M> {
    let initial = meets_initial(m, verdict);
    let maintenance = meets(m, &verdict.equity, &verdict.maintenance);
    let harmless = m.or(&maintenance, costless);
    let harmless = m.and(shrinks, &harmless);
    m.or(&initial, &harmless)
}

/// One side of a fill, before it happens.
struct Leg<'a, M: Machine> {
    account: &'a Id<M>,
    entry: &'a Id<M>,
    buys: &'a Bit<M>,
    size: &'a Word<M>,
    notional: &'a Wide<M, NOTIONAL_LIMBS>,
    fee: &'a Wide<M, NOTIONAL_LIMBS>,
}

impl<M: Machine> Leg<'_, M> {
    /// Registers of the margin chain as after the fill, whether the fill shrinks the position, and whether it costs no equity.
    #[inline(always)]
    fn margin(
        &self,
        m: &mut M,
        then: Label,
        market: &Market<M::V>,
        market_id: &Id<M>,
    ) -> (MarginRegisters<M::V>, Bit<M>, Bit<M>) {
        let Leg { account: id, entry, buys, size, notional, fee } = *self;
        let account = m.peek_account(id);
        let mut position = m.peek_position(id, entry);

        let reducible = reducible(m, &position, buys);
        let shrinks = m.word_at_most(size, &reducible);

        // gain = size × mark − notional for a buyer, the negative of it for a seller, less the fee.
        let value = m.word_mul(size, &market.mark);
        let value = m.int(buys, &value);
        let sells = m.not(buys);
        let paid = m.int(&sells, notional);
        // −(value − notional) for a buyer.
        let loss: Int<M, 6> = m.int_add(&value, &paid);
        let fee = m.int_nonnegative(fee);
        let loss: Int<M, 7> = m.int_add(&loss, &fee);
        let gains = m.int_is_negative(&loss);
        let even = m.int_is_zero(&loss);
        let costless = m.or(&gains, &even);

        let cash = m.int(buys, notional);
        let equity: Int<M, 8> = m.int_add(&account.collateral, &cash);
        let equity: Int<M, 8> = m.int_sub(&equity, &fee);
        let delta = super::signed(m, &sells, size);
        let instead_size: Int<M, 3> = m.int_add(&position.size, &delta);
        release_open(m, &mut position, buys, size);
        let last = super::last_entry(m, &account.entries);
        let registers = super::margin_of(m, then, id, last, equity);
        let registers = MarginRegisters {
            instead: entry.clone(),
            instead_market: super::id_plus_one(m, market_id),
            instead_size,
            instead_bids: position.bids,
            instead_asks: position.asks,
            ..registers
        };
        (registers, shrinks, costless)
    }
}

/// Moves one side of a fill: size, quote, open sums and fee; a position that becomes flat realises its quote.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn settle<M: Machine>(
    m: &mut M,
    fills: &Bit<M>,
    account_id: &Id<M>,
    entry: &Id<M>,
    buys: &Bit<M>,
    size: &Word<M>,
    notional: &Wide<M, NOTIONAL_LIMBS>,
    fee: &Wide<M, NOTIONAL_LIMBS>,
) {
    let sells = m.not(buys);
    let mut position = m.open_position(account_id, entry);
    let delta = super::signed(m, &sells, size);
    let new_size: Int<M, 3> = m.int_add(&position.size, &delta);
    let cash = m.int(buys, notional);
    let quote: Int<M, 8> = m.int_add(&position.quote, &cash);
    let flat = m.int_is_zero(&new_size);
    let zero = m.int_zero();
    let realised = m.int_select(&flat, &quote, &zero);
    let kept = m.int_select(&flat, &zero, &quote);
    let mut reduced = position.clone();
    release_open(m, &mut reduced, buys, size);
    position.size = m.int_select(fills, &new_size, &position.size);
    position.quote = m.int_select(fills, &kept, &position.quote);
    position.bids = m.word_select(fills, &reduced.bids, &position.bids);
    position.asks = m.word_select(fills, &reduced.asks, &position.asks);
    m.close_position(account_id, entry, position);

    let mut account: Account<M::V> = m.open_account(account_id);
    let fee = m.int_nonnegative(fee);
    let collateral: Int<M, 8> = m.int_sub(&account.collateral, &fee);
    let collateral: Int<M, 8> = m.int_add(&collateral, &realised);
    account.collateral = m.int_select(fills, &collateral, &account.collateral);
    m.close_account(account_id, account);
}
