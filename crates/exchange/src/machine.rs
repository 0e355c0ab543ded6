//! `Machine`: what a step function may do. The rules are written once against this trait; each reading of them
//! (native execution, constraints, trace rows) is one implementation of it.
//!
//! A step function has no data-dependent control flow: every operation is executed for every input, a choice is a
//! `select`, and what must not happen is switched off by an `enabled` bit. Every operation is total on the values that the
//! step functions can give it; where a bound is relied on, the operation says so.

use holdfast_crypto::F;

use crate::{
    flow::{Frame, Next},
    slots::{Account, Deployment, Market, Order, Owner, Position, Session, System},
};

/// Bits of a limb: integers are little-endian limbs, small enough that the sums of products in a multiplication of
/// [`WORD_LIMBS`] limbs stay below the field's modulus (3 × 2^28 + carries < 2^31 − 2^27 + 1).
pub const LIMB_BITS: u32 = 14;
/// Limbs of a word: 42 bits hold a price (32), a size or a sum of sizes (42), a time (42), and a rate (20).
pub const WORD_LIMBS: usize = 3;
/// Limbs of the magnitude of a stored amount: 112 bits.
pub const AMOUNT_LIMBS: usize = 8;
/// Limbs of a notional: price × size, 84 bits.
pub const NOTIONAL_LIMBS: usize = 6;
/// Limbs of a sum of margin requirements scaled by 10^6: 16 × 2^(40 + 32 + 20) = 2^96 < 2^98.
pub const REQUIREMENT_LIMBS: usize = 7;

/// The types that values have in one reading.
pub trait Values: Clone + std::fmt::Debug {
    /// A truth value.
    type Bit: Clone + std::fmt::Debug;
    /// A small number below 2^30 that is compared and selected but not ordered: an index, a label, a counter.
    type Id: Clone + std::fmt::Debug;
    /// An unsigned integer of [`WORD_LIMBS`] limbs.
    type Word: Clone + std::fmt::Debug;
    /// An unsigned integer of `L` limbs.
    type Wide<const L: usize>: Clone + std::fmt::Debug;
    /// A signed integer whose magnitude has `L` limbs. Zero is not negative.
    type Int<const L: usize>: Clone + std::fmt::Debug;
    /// `N` elements of the proof's field, with which nothing is computed: digests, keys, addresses.
    type Fields<const N: usize>: Clone + std::fmt::Debug;
}

/// Plain integers: the values of native execution and of stored state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain;

impl Values for Plain {
    type Bit = bool;
    type Id = u32;
    type Word = u64;
    type Wide<const L: usize> = u128;
    type Int<const L: usize> = i128;
    type Fields<const N: usize> = [F; N];
}

pub type Bit<M> = <<M as Machine>::V as Values>::Bit;
pub type Id<M> = <<M as Machine>::V as Values>::Id;
pub type Word<M> = <<M as Machine>::V as Values>::Word;
pub type Wide<M, const L: usize> = <<M as Machine>::V as Values>::Wide<L>;
pub type Int<M, const L: usize> = <<M as Machine>::V as Values>::Int<L>;
pub type Fields<M, const N: usize> = <<M as Machine>::V as Values>::Fields<N>;

/// One reading of the rules.
pub trait Machine: Sized {
    type V: Values;

    // Bits.
    fn bit(&mut self, value: bool) -> Bit<Self>;
    fn not(&mut self, a: &Bit<Self>) -> Bit<Self>;
    fn and(&mut self, a: &Bit<Self>, b: &Bit<Self>) -> Bit<Self>;
    /// `a` and not `b`, where `b` implies `a`.
    fn without(&mut self, a: &Bit<Self>, b: &Bit<Self>) -> Bit<Self>;
    fn or(&mut self, a: &Bit<Self>, b: &Bit<Self>) -> Bit<Self> {
        let (not_a, not_b) = (self.not(a), self.not(b));
        let neither = self.and(&not_a, &not_b);
        self.not(&neither)
    }
    /// Whether both are equal.
    fn same(&mut self, a: &Bit<Self>, b: &Bit<Self>) -> Bit<Self>;

    // Ids.
    fn id(&mut self, value: u32) -> Id<Self>;
    fn id_of(&mut self, bit: &Bit<Self>) -> Id<Self>;
    fn id_add(&mut self, a: &Id<Self>, b: &Id<Self>) -> Id<Self>;
    /// `a − b`, where `a ≥ b`.
    fn id_sub(&mut self, a: &Id<Self>, b: &Id<Self>) -> Id<Self>;
    fn id_scale(&mut self, a: &Id<Self>, factor: u32) -> Id<Self>;
    fn id_equal(&mut self, a: &Id<Self>, b: &Id<Self>) -> Bit<Self>;
    fn id_select(&mut self, condition: &Bit<Self>, then: &Id<Self>, otherwise: &Id<Self>) -> Id<Self>;
    /// Checks that a hinted id has at most `bits` bits.
    fn id_check(&mut self, a: &Id<Self>, bits: u32);
    /// `a < b`, for ids of at most 28 bits.
    fn id_less(&mut self, a: &Id<Self>, b: &Id<Self>) -> Bit<Self>;

    // Words.
    fn word(&mut self, value: u64) -> Word<Self>;
    /// `a + b`, which must fit a word.
    fn word_add(&mut self, a: &Word<Self>, b: &Word<Self>) -> Word<Self>;
    /// Whether `b ≤ a`, and then `a − b`; otherwise `b − a − 1`.
    fn word_sub(&mut self, a: &Word<Self>, b: &Word<Self>) -> (Bit<Self>, Word<Self>);
    fn word_select(&mut self, condition: &Bit<Self>, then: &Word<Self>, otherwise: &Word<Self>) -> Word<Self>;
    fn word_is_zero(&mut self, a: &Word<Self>) -> Bit<Self>;
    fn word_mul(&mut self, a: &Word<Self>, b: &Word<Self>) -> Wide<Self, NOTIONAL_LIMBS>;
    /// `a ≤ b`.
    fn word_at_most(&mut self, a: &Word<Self>, b: &Word<Self>) -> Bit<Self> {
        self.word_sub(b, a).0
    }
    fn word_min(&mut self, a: &Word<Self>, b: &Word<Self>) -> Word<Self> {
        let first = self.word_at_most(a, b);
        self.word_select(&first, a, b)
    }
    /// `a − b`, where `a ≥ b` is known and checked.
    fn word_sub_exact(&mut self, a: &Word<Self>, b: &Word<Self>) -> Word<Self> {
        let (fits, difference) = self.word_sub(a, b);
        self.check(&fits);
        difference
    }

    // Wide unsigned integers.
    fn widen(&mut self, a: &Word<Self>) -> Wide<Self, WORD_LIMBS>;
    fn narrow(&mut self, a: &Wide<Self, WORD_LIMBS>) -> Word<Self>;
    fn wide_zero<const L: usize>(&mut self) -> Wide<Self, L>;
    /// `a + b`, which must fit `R` limbs.
    fn wide_add<const A: usize, const B: usize, const R: usize>(
        &mut self,
        a: &Wide<Self, A>,
        b: &Wide<Self, B>,
    ) -> Wide<Self, R>;
    /// `a × factor`, which must fit `R` limbs.
    fn wide_scale<const A: usize, const R: usize>(&mut self, a: &Wide<Self, A>, factor: &Word<Self>) -> Wide<Self, R>;
    /// `a / 10^6`, rounded up; must fit `R` limbs.
    fn wide_div_ppm_ceil<const A: usize, const R: usize>(&mut self, a: &Wide<Self, A>) -> Wide<Self, R>;

    // Signed integers.
    /// The integer with this sign and magnitude. (Minus zero becomes zero.)
    fn int<const L: usize>(&mut self, negative: &Bit<Self>, magnitude: &Wide<Self, L>) -> Int<Self, L>;
    fn int_nonnegative<const L: usize>(&mut self, magnitude: &Wide<Self, L>) -> Int<Self, L>;
    fn int_zero<const L: usize>(&mut self) -> Int<Self, L>;
    /// `a + b`, which must fit `R` limbs.
    fn int_add<const A: usize, const B: usize, const R: usize>(
        &mut self,
        a: &Int<Self, A>,
        b: &Int<Self, B>,
    ) -> Int<Self, R>;
    /// `a − b`, which must fit `R` limbs.
    fn int_sub<const A: usize, const B: usize, const R: usize>(
        &mut self,
        a: &Int<Self, A>,
        b: &Int<Self, B>,
    ) -> Int<Self, R>;
    fn int_select<const L: usize>(
        &mut self,
        condition: &Bit<Self>,
        then: &Int<Self, L>,
        otherwise: &Int<Self, L>,
    ) -> Int<Self, L>;
    fn int_is_zero<const L: usize>(&mut self, a: &Int<Self, L>) -> Bit<Self>;
    fn int_is_negative<const L: usize>(&mut self, a: &Int<Self, L>) -> Bit<Self>;
    fn int_magnitude<const L: usize>(&mut self, a: &Int<Self, L>) -> Wide<Self, L>;

    // Field elements.
    fn fields_zero<const N: usize>(&mut self) -> Fields<Self, N>;
    fn fields_of(&mut self, a: &Id<Self>) -> Fields<Self, 1>;
    /// An account, and an amount in parts of two limbs.
    fn fields_of_transfer(&mut self, account: &Id<Self>, amount: &Wide<Self, 6>) -> Fields<Self, 4>;
    fn fields_join(&mut self, a: &Fields<Self, 7>, b: &Fields<Self, 7>) -> Fields<Self, 14>;
    fn fields_select<const N: usize>(
        &mut self,
        condition: &Bit<Self>,
        then: &Fields<Self, N>,
        otherwise: &Fields<Self, N>,
    ) -> Fields<Self, N>;
    /// `compress(chain, cells ‖ 0… ‖ last)`, for at most seven cells.
    fn absorb<const N: usize>(
        &mut self,
        chain: &Fields<Self, 8>,
        cells: &Fields<Self, N>,
        last: &Id<Self>,
    ) -> Fields<Self, 8>;
    /// Whoever holds this public key has signed this head.
    fn signed(&mut self, public_key: &Fields<Self, 14>, head: &Fields<Self, 8>);

    /// What must hold whatever the inputs are: it pins a hint, or states an invariant. Not a user's mistake: those are rejects.
    fn check(&mut self, condition: &Bit<Self>);
    /// `condition` must hold if `enabled`.
    fn check_if(&mut self, enabled: &Bit<Self>, condition: &Bit<Self>) {
        let violated = {
            let not = self.not(condition);
            self.and(enabled, &not)
        };
        let holds = self.not(&violated);
        self.check(&holds);
    }

    // Memory. `open` reads a slot; the step then either writes it with `close` or leaves it with `peek`, which is both at once. A slot
    // must be closed before another that may be the same one is opened.
    fn open_system(&mut self) -> System<Self::V>;
    fn close_system(&mut self, new: System<Self::V>);
    fn peek_system(&mut self) -> System<Self::V>;
    fn open_market(&mut self, market: &Id<Self>) -> Market<Self::V>;
    fn close_market(&mut self, market: &Id<Self>, new: Market<Self::V>);
    fn peek_market(&mut self, market: &Id<Self>) -> Market<Self::V>;
    fn open_account(&mut self, account: &Id<Self>) -> Account<Self::V>;
    fn close_account(&mut self, account: &Id<Self>, new: Account<Self::V>);
    fn peek_account(&mut self, account: &Id<Self>) -> Account<Self::V>;
    fn open_position(&mut self, account: &Id<Self>, entry: &Id<Self>) -> Position<Self::V>;
    fn close_position(&mut self, account: &Id<Self>, entry: &Id<Self>, new: Position<Self::V>);
    fn peek_position(&mut self, account: &Id<Self>, entry: &Id<Self>) -> Position<Self::V>;
    fn open_order(&mut self, slot: &Id<Self>) -> Order<Self::V>;
    fn close_order(&mut self, slot: &Id<Self>, new: Order<Self::V>);
    fn peek_order(&mut self, slot: &Id<Self>) -> Order<Self::V>;
    fn open_session(&mut self, account: &Id<Self>, key: &Id<Self>) -> Session<Self::V>;
    fn close_session(&mut self, account: &Id<Self>, key: &Id<Self>, new: Session<Self::V>);
    fn open_owner(&mut self, account: &Id<Self>) -> Owner<Self::V>;
    fn close_owner(&mut self, account: &Id<Self>, new: Owner<Self::V>);
    fn peek_owner(&mut self, account: &Id<Self>) -> Owner<Self::V>;
    fn peek_deployment(&mut self) -> Deployment<Self::V>;

    // Hints: advice that is not computed from the inputs. The caller pins each with checks.
    /// The order behind which an order of this price belongs in the book, or the book's sentinel. Not yet checked in any way.
    fn hint_neighbour(&mut self, book: &Id<Self>, price: &Word<Self>) -> Id<Self>;
    /// The first open order of the position in a slot above `after`, or 0. Not yet checked in any way.
    fn hint_open_order(&mut self, account: &Id<Self>, entry: &Id<Self>, after: &Id<Self>) -> Id<Self>;

    // Control. In every execution of a step exactly one `goto` is enabled, and at most one `suspend`.
    /// Keeps a frame until the step it names is reached by a `goto` with [`Machine::frame`] of this step.
    fn suspend(&mut self, enabled: &Bit<Self>, frame: Frame<Self::V>);
    /// The handle of the frame that this step suspends.
    fn frame(&mut self) -> Id<Self>;
    fn goto(&mut self, enabled: &Bit<Self>, next: Next<Self::V>);
    /// The command's outcome: 0 or a reject code. Exactly one per command.
    fn outcome(&mut self, enabled: &Bit<Self>, sequence: &Id<Self>, code: &Id<Self>);

    /// Tells an observer what happened. It is not part of the rules.
    fn notify(&mut self, _enabled: &Bit<Self>, _event: impl FnOnce() -> Event<Self::V>) {}
}

/// What an observer may want to know.
#[derive(Debug, Clone)]
pub enum Event<V: Values> {
    Filled {
        maker_slot: V::Id,
        maker_generation: V::Id,
        maker_account: V::Id,
        taker_account: V::Id,
        market: V::Id,
        taker_buys: V::Bit,
        price: V::Word,
        size: V::Word,
        maker_fee: V::Wide<NOTIONAL_LIMBS>,
        taker_fee: V::Wide<NOTIONAL_LIMBS>,
    },
    Rested {
        slot: V::Id,
        generation: V::Id,
        account: V::Id,
        market: V::Id,
        buys: V::Bit,
        price: V::Word,
        size: V::Word,
    },
    Removed {
        slot: V::Id,
        generation: V::Id,
        remaining: V::Word,
    },
    Expired {
        account: V::Id,
        market: V::Id,
        remaining: V::Word,
    },
}
