//! The machine of the circuits: bounded integers as cells, and the gadgets that compute with them.
//!
//! Every value is a linear expression of the row's columns; whatever is not linear gets columns of its own. Limbs are always range-checked where they are
//! created, and trusted where they are read from memory, from a frame or from the registers of the step before: those hold only
//! what a row has written (or what the state held before, which a row of an earlier segment has written).

use std::marker::PhantomData;

use holdfast_exchange::{
    flow::{Frame, Label, Next},
    machine::{LIMB_BITS, Machine, Values, WORD_LIMBS},
    record::{CellReader, CellWriter, Record},
    slots::{Account, Deployment, Kind, Market, Order, Owner, Position, Session, Slot, System},
};
use holdfast_protocol::limits::PPM;

use crate::row::{Bus, Expr, Row};

/// One limb's base.
const BASE: i64 = 1 << LIMB_BITS;
/// The field's modulus, 2^31 − 2^27 + 1.
pub const MODULUS: i64 = (1 << 31) - (1 << 27) + 1;
/// Slot accesses that one step may make: the clock's weight in a timestamp.
pub const ACCESSES_MAX: u32 = 16;
/// Bits of the clock of a segment.
pub const CLOCK_BITS: u32 = 24;
/// Bits of the time between two accesses of a slot, and so of the timestamps of a segment.
pub const GAP_BITS: u32 = 28;
const _: () = assert!(ACCESSES_MAX.ilog2() + CLOCK_BITS <= GAP_BITS);

/// A signed integer: 1 if negative, and the magnitude's limbs.
#[derive(Debug, Clone)]
pub struct Signed<E, const L: usize> {
    pub negative: E,
    pub magnitude: [E; L],
}

/// The values of the circuits.
#[derive(Debug, Clone)]
pub struct Cells<E>(PhantomData<E>);

impl<E: Expr> Values for Cells<E> {
    type Bit = E;
    type Id = E;
    type Word = [E; WORD_LIMBS];
    type Wide<const L: usize> = [E; L];
    type Int<const L: usize> = Signed<E, L>;
    type Fields<const N: usize> = [E; N];
}

/// Where a step went, and what it suspended.
pub type Went<E> = (Option<Next<Cells<E>>>, Option<Frame<Cells<E>>>);

/// A slot that was opened, and the time of that access. There is one of a kind at most.
struct Open<E> {
    kind: Kind,
    outer: E,
    inner: E,
    timestamp: E,
}

/// One row of a step's table, as a machine.
pub struct Circuit<'r, R: Row> {
    pub row: &'r mut R,
    /// 1 if the row is a step, 0 if it is padding.
    pub active: R::E,
    /// Number of the step in its segment; the first has 1.
    pub clock: R::E,
    accesses: u32,
    open: Vec<Open<R::E>>,
    gotos: Vec<R::E>,
    /// What the step did, in a reading with values.
    pub next: Option<Next<Cells<R::E>>>,
    pub frame: Option<Frame<Cells<R::E>>>,
}

/// Reads a record from freshly allocated columns.
struct ColumnReader<'a, R: Row, I> {
    row: &'a mut R,
    values: I,
}

impl<R: Row, I: Iterator<Item = i64>> ColumnReader<'_, R, I> {
    fn cell(&mut self) -> R::E {
        let value = self.values.next().unwrap_or(0);
        self.row.column(value)
    }
}

impl<R: Row, I: Iterator<Item = i64>> CellReader<Cells<R::E>> for ColumnReader<'_, R, I> {
    fn bit(&mut self) -> R::E {
        self.cell()
    }
    fn id(&mut self) -> R::E {
        self.cell()
    }
    fn word(&mut self) -> [R::E; WORD_LIMBS] {
        std::array::from_fn(|_| self.cell())
    }
    fn wide<const L: usize>(&mut self) -> [R::E; L] {
        std::array::from_fn(|_| self.cell())
    }
    fn int<const L: usize>(&mut self) -> Signed<R::E, L> {
        Signed { negative: self.cell(), magnitude: std::array::from_fn(|_| self.cell()) }
    }
    fn fields<const N: usize>(&mut self) -> [R::E; N] {
        std::array::from_fn(|_| self.cell())
    }
}

/// Collects a record's cells.
struct CellCollector<E>(Vec<E>);

impl<E: Expr> CellWriter<Cells<E>> for CellCollector<E> {
    fn bit(&mut self, value: &E) {
        self.0.push(value.clone());
    }
    fn id(&mut self, value: &E) {
        self.0.push(value.clone());
    }
    fn word(&mut self, value: &[E; WORD_LIMBS]) {
        self.0.extend(value.iter().cloned());
    }
    fn wide<const L: usize>(&mut self, value: &[E; L]) {
        self.0.extend(value.iter().cloned());
    }
    fn int<const L: usize>(&mut self, value: &Signed<E, L>) {
        self.0.push(value.negative.clone());
        self.0.extend(value.magnitude.iter().cloned());
    }
    fn fields<const N: usize>(&mut self, value: &[E; N]) {
        self.0.extend(value.iter().cloned());
    }
}

/// The cells of a record, in order.
pub fn cells_of<E: Expr, T: Record<Cells<E>>>(record: &T) -> Vec<E> {
    let mut collector = CellCollector(Vec::with_capacity(T::CELLS));
    record.write(&mut collector);
    collector.0
}

/// A record in new columns, filled with these values (missing ones are 0).
pub fn columns_of<R: Row, T: Record<Cells<R::E>>>(row: &mut R, values: impl Iterator<Item = i64>) -> T {
    T::read(&mut ColumnReader { row, values })
}

impl<'r, R: Row> Circuit<'r, R> {
    pub fn new(row: &'r mut R, active: R::E, clock: R::E) -> Self {
        Self { row, active, clock, accesses: 0, open: Vec::new(), gotos: Vec::new(), next: None, frame: None }
    }

    /// Checks what must hold over the whole step.
    pub fn finish(mut self) -> Went<R::E> {
        assert!(self.open.is_empty(), "a step closes every slot that it opens");
        // Exactly one way to go on: the sum of the enabled bits is 1.
        let mut sum = self.constant(0);
        for enabled in std::mem::take(&mut self.gotos) {
            sum = sum + enabled;
        }
        let one = self.constant(1);
        self.row.assert_zero(sum - one);
        (self.next, self.frame)
    }

    fn constant(&self, value: i64) -> R::E {
        self.row.constant(value)
    }

    fn value(&self, e: &R::E) -> i64 {
        self.row.value(e)
    }

    fn integer(&self, limbs: &[R::E]) -> i128 {
        limbs.iter().rev().fold(0, |sum, limb| (sum << LIMB_BITS) + i128::from(self.value(limb)))
    }

    fn range(&mut self, e: &R::E, bits: u32) {
        let active = self.active.clone();
        self.row.range(&active, e, bits);
    }

    fn interact(&mut self, bus: Bus, receives: bool, message: Vec<R::E>, enabled: Option<&R::E>) {
        let count = match enabled {
            Some(enabled) => self.active.clone() * enabled.clone(),
            None => self.active.clone(),
        };
        self.row.interact(bus, receives, message, count);
    }

    /// b × (b − 1) = 0
    fn assert_bit(&mut self, b: &R::E) {
        let one = self.constant(1);
        self.row.assert_zero(b.clone() * (b.clone() - one));
    }

    pub fn bit_column(&mut self, value: bool) -> R::E {
        let bit = self.row.column(i64::from(value));
        self.assert_bit(&bit);
        bit
    }

    fn limb_columns<const L: usize>(&mut self, magnitude: u128) -> [R::E; L] {
        std::array::from_fn(|limb| {
            let column = self.row.column((magnitude >> (limb as u32 * LIMB_BITS)) as i64 & (BASE - 1));
            self.range(&column, LIMB_BITS);
            column
        })
    }

    /// A new column that equals an expression of degree 2.
    fn materialise(&mut self, e: R::E) -> R::E {
        let column = self.row.column(self.value(&e));
        self.row.assert_zero(column.clone() - e);
        column
    }

    /// Whether `d`, an integer that is not a multiple of the modulus unless it is 0, is zero.
    pub(crate) fn is_zero(&mut self, d: R::E) -> R::E {
        // bit = 1 − d × inverse; d × bit = 0; and inverse × bit = 0, which pins the inverse of 0.
        let value = self.value(&d);
        let inverse = self.row.column(crate::inverse::inverse(value));
        let bit = self.row.column(i64::from(value == 0));
        let one = self.constant(1);
        self.row.assert_zero(one - bit.clone() - d.clone() * inverse.clone());
        self.row.assert_zero(d * bit.clone());
        self.row.assert_zero(inverse * bit.clone());
        bit
    }

    fn limbs_are_zero(&mut self, limbs: &[R::E]) -> R::E {
        // At most 9 limbs below 2^14: their sum is below the modulus.
        let mut sum = self.constant(0);
        for limb in limbs {
            sum = sum + limb.clone();
        }
        self.is_zero(sum)
    }

    /// Asserts that Σ positions\[k\] × 2^(14 k) = 0 over the integers, by carries.
    fn assert_integer_zero(&mut self, positions: Vec<(R::E, i64, i64)>, carries: Option<(i64, i64)>) {
        self.assert_integer_zero_in(LIMB_BITS, positions, carries);
    }

    /// Asserts that Σ positions\[k\] × 2^(bits × k) = 0 over the integers, by carries.
    ///
    /// Every position comes with bounds of its integer value. `carries`, if given, are bounds that honest carries keep and that are checked; without them they
    /// follow from the positions. Each equation `position + carry = 2^bits × carry'` is between integers smaller than the modulus, which is asserted here,
    /// so that it holds over the integers if it holds in the field.
    pub(crate) fn assert_integer_zero_in(
        &mut self,
        bits: u32,
        positions: Vec<(R::E, i64, i64)>,
        carries: Option<(i64, i64)>,
    ) {
        let radix = 1 << bits;
        let last = positions.len() - 1;
        let mut carry = self.constant(0);
        let (mut carry_low, mut carry_high) = (0i64, 0i64);
        for (k, (position, low, high)) in positions.into_iter().enumerate() {
            let total = position + carry;
            let (low, high) = (low + carry_low, high + carry_high);
            if k == last {
                assert!(-MODULUS < low && high < MODULUS, "the last sum cannot wrap");
                self.row.assert_zero(total);
                return;
            }
            let (honest_low, honest_high) = carries.unwrap_or((-((-low).div_euclid(radix)), high.div_euclid(radix)));
            let column = self.row.column(self.value(&total) >> bits);
            (carry_low, carry_high) = self.assert_carry(&column, honest_low, honest_high);
            assert!(
                -MODULUS < low - radix * carry_high && high - radix * carry_low < MODULUS,
                "a sum less its carry cannot wrap"
            );
            let radix = self.constant(radix);
            self.row.assert_zero(total - radix * column.clone());
            carry = column;
        }
    }

    /// Checks that a carry lies between these bounds, or slightly wider ones, which are returned.
    fn assert_carry(&mut self, carry: &R::E, low: i64, high: i64) -> (i64, i64) {
        let one = self.constant(1);
        match (low, high) {
            (0, 0) => self.row.assert_zero(carry.clone()),
            (0, 1) => self.assert_bit(carry),
            (-1, 0) => self.row.assert_zero(carry.clone() * (carry.clone() + one)),
            (-1, 1) => self.row.assert_zero(carry.clone() * (carry.clone() * carry.clone() - one)),
            _ => {
                let bits = 64 - ((high - low) as u64).leading_zeros();
                assert!(bits <= crate::RANGE_BITS + 1, "carries of {bits} bits");
                let offset = self.constant(low);
                let mut rest = carry.clone() - offset;
                if bits > crate::RANGE_BITS {
                    // The highest bit by itself.
                    let high = self.bit_column(self.value(&rest) >> crate::RANGE_BITS & 1 != 0);
                    rest = rest - self.constant(1 << crate::RANGE_BITS) * high;
                }
                self.range(&rest, bits.min(crate::RANGE_BITS));
                return (low, low + (1 << bits) - 1);
            }
        }
        (low, high)
    }

    /// Positions of the product of two numbers in limbs, `n` of them, less those of `result`.
    fn product_positions(&self, a: &[R::E], b: &[R::E], result: &[R::E], n: usize) -> Vec<(R::E, i64, i64)> {
        (0..n)
            .map(|k| {
                let mut sum = self.constant(0);
                let mut terms = 0;
                for (i, limb) in a.iter().enumerate() {
                    if let Some(other) = k.checked_sub(i).and_then(|j| b.get(j)) {
                        sum = sum + limb.clone() * other.clone();
                        terms += 1;
                    }
                }
                let mut low = 0;
                if let Some(limb) = result.get(k) {
                    sum = sum - limb.clone();
                    low = -(BASE - 1);
                }
                (sum, low, terms * (BASE - 1) * (BASE - 1))
            })
            .collect()
    }

    fn product<const P: usize>(&mut self, a: &[R::E], b: &[R::E]) -> [R::E; P] {
        let value = self.integer(a) * self.integer(b);
        debug_assert!(value >> (P as u32 * LIMB_BITS) == 0, "{value} has more than {P} limbs");
        let result: [R::E; P] = self.limb_columns(value as u128);
        let n = P.max(a.len() + b.len() - 1);
        let positions = self.product_positions(a, b, &result, n);
        self.assert_integer_zero(positions, None);
        result
    }

    /// `1 − 2 × negative`
    fn sign(&self, negative: &R::E) -> R::E {
        let (one, two) = (self.constant(1), self.constant(2));
        one - two * negative.clone()
    }

    fn signed_value<const L: usize>(&self, a: &Signed<R::E, L>) -> i128 {
        let magnitude = self.integer(&a.magnitude);
        if self.value(&a.negative) != 0 { -magnitude } else { magnitude }
    }

    /// a + b, or a − b if `subtracts`.
    fn signed_sum<const A: usize, const B: usize, const P: usize>(
        &mut self,
        a: &Signed<R::E, A>,
        b: &Signed<R::E, B>,
        subtracts: bool,
    ) -> Signed<R::E, P> {
        let (left, right) = (self.signed_value(a), self.signed_value(b));
        let value = if subtracts { left - right } else { left + right };
        debug_assert!(value.unsigned_abs() >> (P as u32 * LIMB_BITS) == 0, "{value} has more than {P} limbs");
        let negative = self.bit_column(value < 0);
        let magnitude: [R::E; P] = self.limb_columns(value.unsigned_abs());
        let (sign_a, sign_b, sign) = (self.sign(&a.negative), self.sign(&b.negative), self.sign(&negative));
        let n = A.max(B).max(P);
        let mut positions = Vec::with_capacity(n);
        for k in 0..n {
            let mut sum = self.constant(0);
            let mut bound = 0;
            if let Some(limb) = a.magnitude.get(k) {
                sum = sum + sign_a.clone() * limb.clone();
                bound += BASE - 1;
            }
            if let Some(limb) = b.magnitude.get(k) {
                let term = sign_b.clone() * limb.clone();
                sum = if subtracts { sum - term } else { sum + term };
                bound += BASE - 1;
            }
            if let Some(limb) = magnitude.get(k) {
                sum = sum - sign.clone() * limb.clone();
                bound += BASE - 1;
            }
            positions.push((sum, -bound, bound));
        }
        // Up to the signs this is x + y = z with x, y, z ≥ 0, whose carries are 0 or 1.
        self.assert_integer_zero(positions, Some((-1, 1)));

        // Zero is not negative: negative × (sum of limbs × inverse − 1) = 0, and (1 − negative) × inverse = 0 pins the inverse.
        let mut limbs = self.constant(0);
        for limb in &magnitude {
            limbs = limbs + limb.clone();
        }
        let inverse = if value < 0 { crate::inverse::inverse(self.value(&limbs)) } else { 0 };
        let inverse = self.row.column(inverse);
        let one = self.constant(1);
        self.row.assert_zero(negative.clone() * (limbs * inverse.clone() - one.clone()));
        self.row.assert_zero((one - negative.clone()) * inverse);
        Signed { negative, magnitude }
    }

    fn select(&mut self, condition: &R::E, then: &R::E, otherwise: &R::E) -> R::E {
        // column = condition × (then − otherwise) + otherwise
        self.materialise(condition.clone() * (then.clone() - otherwise.clone()) + otherwise.clone())
    }

    /// Looks up that `e` is below 2^`bits`, `bits` ≤ 28.
    pub(crate) fn range_wide(&mut self, e: &R::E, bits: u32) {
        if bits <= crate::RANGE_BITS {
            return self.range(e, bits);
        }
        // e = low + 2^14 × high
        let value = self.value(e);
        let low = self.row.column(value & (BASE - 1));
        let high = self.row.column(value >> LIMB_BITS);
        self.range(&low, LIMB_BITS);
        self.range(&high, bits - LIMB_BITS);
        let base = self.constant(BASE);
        self.row.assert_zero(e.clone() - low - base * high);
    }

    /// An input of at most `bits` bits (≤ 28).
    pub fn input_id(&mut self, value: i64, bits: u32) -> R::E {
        let id = self.row.column(value);
        self.range_wide(&id, bits);
        id
    }

    /// An input of at most `bits` bits in `L` limbs.
    pub fn input_wide<const L: usize>(&mut self, value: u128, bits: u32) -> [R::E; L] {
        std::array::from_fn(|limb| {
            let limb = limb as u32;
            let column = self.row.column((value >> (limb * LIMB_BITS)) as i64 & (BASE - 1));
            let limb_bits = bits.saturating_sub(limb * LIMB_BITS).min(LIMB_BITS);
            if limb_bits == 0 {
                self.row.assert_zero(column.clone());
            } else {
                self.range(&column, limb_bits);
            }
            column
        })
    }

    fn leaf(&self, kind: Kind, outer: &R::E, inner: &R::E) -> R::E {
        let region = kind.region();
        let at = |index: &R::E, stride: u32| self.constant(i64::from(stride)) * index.clone();
        self.constant(i64::from(region.base)) + at(outer, region.outer_stride) + at(inner, region.inner_stride)
    }

    fn open<S: Slot<Cells<R::E>>>(&mut self, outer: &R::E, inner: &R::E) -> S {
        // timestamp = 16 × clock + number of the access; the last access was before: timestamp − 1 − gap, 0 ≤ gap < 2^28.
        assert!(self.accesses < ACCESSES_MAX, "a step makes at most {ACCESSES_MAX} accesses");
        assert!(
            self.open.iter().all(|open| open.kind != S::KIND),
            "a slot is closed before another of its kind is opened"
        );
        let weight = self.constant(i64::from(ACCESSES_MAX));
        let access = self.constant(i64::from(self.accesses));
        self.accesses += 1;
        let timestamp = weight * self.clock.clone() + access;
        let (values, gap) = self.row.load(S::KIND, outer, inner, &timestamp);
        let slot: S = columns_of(self.row, values.into_iter());
        let gap_low = self.row.column(gap & (BASE - 1));
        let gap_high = self.row.column(gap >> LIMB_BITS);
        self.range(&gap_low, LIMB_BITS);
        self.range(&gap_high, GAP_BITS - LIMB_BITS);
        let (one, base) = (self.constant(1), self.constant(BASE));
        let previous = timestamp.clone() - one - gap_low - base * gap_high;
        let leaf = self.leaf(S::KIND, outer, inner);
        let mut message = vec![self.constant(S::KIND as i64), leaf.clone(), previous];
        message.extend(cells_of(&slot));
        self.interact(Bus::Memory, true, message, None);
        self.open.push(Open { kind: S::KIND, outer: outer.clone(), inner: inner.clone(), timestamp });
        slot
    }

    /// Writes the open slot of the kind. (There is one at most; its place is that at which it was opened, whatever the step says.)
    fn close<S: Slot<Cells<R::E>>>(&mut self, new: &S) {
        let at = self.open.iter().position(|open| open.kind == S::KIND).expect("a slot is closed that was opened");
        let Open { outer, inner, timestamp, .. } = self.open.remove(at);
        let cells = cells_of(new);
        self.row.store(S::KIND, &outer, &inner, &cells);
        let mut message = vec![self.constant(S::KIND as i64), self.leaf(S::KIND, &outer, &inner), timestamp];
        message.extend(cells);
        self.interact(Bus::Memory, false, message, None);
    }

    fn peek<S: Slot<Cells<R::E>>>(&mut self, outer: &R::E, inner: &R::E) -> S {
        let slot: S = self.open(outer, inner);
        self.close(&slot);
        slot
    }

    /// Looks up `after = compress(before, block)`: the permutation's first cells, plus `before`.
    pub fn look_up_compression(&mut self, before: &[R::E; 8], block: &[R::E; 8], after: &[R::E; 8]) {
        let mut message: Vec<R::E> = before.iter().chain(block).cloned().collect();
        message.extend(after.iter().zip(before).map(|(after, before)| after.clone() - before.clone()));
        self.interact(Bus::Poseidon2, false, message, None);
    }

    fn enabled(&self, enabled: &R::E) -> bool {
        self.value(&self.active) != 0 && self.value(enabled) != 0
    }
}

macro_rules! memory {
    ($($slot:ident: $open:ident $close:ident $peek:ident ($($outer:ident $(, $inner:ident)?)?);)*) => {
        $(
            fn $open(&mut self $(, $outer: &R::E $(, $inner: &R::E)?)?) -> $slot<Self::V> {
                let zero = self.constant(0);
                memory!(@at self.open::<$slot<Self::V>>, zero $(, $outer $(, $inner)?)?)
            }
            fn $close(&mut self $(, $outer: &R::E $(, $inner: &R::E)?)?, new: $slot<Self::V>) {
                $(let _ = $outer; $(let _ = $inner;)?)?
                self.close::<$slot<Self::V>>(&new);
            }
            fn $peek(&mut self $(, $outer: &R::E $(, $inner: &R::E)?)?) -> $slot<Self::V> {
                let zero = self.constant(0);
                memory!(@at self.peek::<$slot<Self::V>>, zero $(, $outer $(, $inner)?)?)
            }
        )*
    };
    (@at $self:ident.$f:ident::<$s:ty>, $zero:ident) => { $self.$f::<$s>(&$zero, &$zero) };
    (@at $self:ident.$f:ident::<$s:ty>, $zero:ident, $outer:ident) => { $self.$f::<$s>($outer, &$zero) };
    (@at $self:ident.$f:ident::<$s:ty>, $zero:ident, $outer:ident, $inner:ident) => {{
        let _ = $zero;
        $self.$f::<$s>($outer, $inner)
    }};
}

impl<R: Row> Machine for Circuit<'_, R> {
    type V = Cells<R::E>;

    fn bit(&mut self, value: bool) -> R::E {
        self.constant(i64::from(value))
    }
    fn not(&mut self, a: &R::E) -> R::E {
        self.constant(1) - a.clone()
    }
    fn and(&mut self, a: &R::E, b: &R::E) -> R::E {
        self.materialise(a.clone() * b.clone())
    }
    fn without(&mut self, a: &R::E, b: &R::E) -> R::E {
        a.clone() - b.clone()
    }
    fn same(&mut self, a: &R::E, b: &R::E) -> R::E {
        // 1 − a − b + 2ab
        let both = self.materialise(a.clone() * b.clone());
        let (one, two) = (self.constant(1), self.constant(2));
        one - a.clone() - b.clone() + two * both
    }

    fn id(&mut self, value: u32) -> R::E {
        self.constant(i64::from(value))
    }
    fn id_of(&mut self, bit: &R::E) -> R::E {
        bit.clone()
    }
    fn id_add(&mut self, a: &R::E, b: &R::E) -> R::E {
        a.clone() + b.clone()
    }
    fn id_sub(&mut self, a: &R::E, b: &R::E) -> R::E {
        a.clone() - b.clone()
    }
    fn id_scale(&mut self, a: &R::E, factor: u32) -> R::E {
        self.constant(i64::from(factor)) * a.clone()
    }
    fn id_equal(&mut self, a: &R::E, b: &R::E) -> R::E {
        self.is_zero(a.clone() - b.clone())
    }
    fn id_select(&mut self, condition: &R::E, then: &R::E, otherwise: &R::E) -> R::E {
        self.select(condition, then, otherwise)
    }
    fn id_check(&mut self, a: &R::E, bits: u32) {
        self.range_wide(a, bits);
    }
    fn id_less(&mut self, a: &R::E, b: &R::E) -> R::E {
        // less: b − a − 1 ≥ 0; otherwise a − b ≥ 0. Both differences are below 2^28, and never both non-negative.
        let less = self.bit_column(self.value(a) < self.value(b));
        let one = self.constant(1);
        let otherwise = a.clone() - b.clone();
        let then = b.clone() - a.clone() - one;
        let difference = self.select(&less, &then, &otherwise);
        self.range_wide(&difference, 28);
        less
    }

    fn word(&mut self, value: u64) -> [R::E; WORD_LIMBS] {
        std::array::from_fn(|limb| self.constant((value >> (limb as u32 * LIMB_BITS)) as i64 & (BASE - 1)))
    }
    fn word_add(&mut self, a: &[R::E; WORD_LIMBS], b: &[R::E; WORD_LIMBS]) -> [R::E; WORD_LIMBS] {
        self.wide_add::<WORD_LIMBS, WORD_LIMBS, WORD_LIMBS>(a, b)
    }
    fn word_sub(&mut self, a: &[R::E; WORD_LIMBS], b: &[R::E; WORD_LIMBS]) -> (R::E, [R::E; WORD_LIMBS]) {
        // fits: a − b = difference; otherwise b − a − 1 = difference.
        let (left, right) = (self.integer(a), self.integer(b));
        let fits = self.bit_column(right <= left);
        let difference = if right <= left { left - right } else { right - left - 1 };
        let difference: [R::E; WORD_LIMBS] = self.limb_columns(difference as u128);
        let (one, two) = (self.constant(1), self.constant(2));
        let sign = two * fits.clone() - one.clone();
        let mut positions = Vec::with_capacity(WORD_LIMBS);
        for k in 0..WORD_LIMBS {
            let mut sum = sign.clone() * (a[k].clone() - b[k].clone()) - difference[k].clone();
            if k == 0 {
                sum = sum - (one.clone() - fits.clone());
            }
            positions.push((sum, -2 * BASE, BASE));
        }
        self.assert_integer_zero(positions, Some((-1, 0)));
        (fits, difference)
    }
    fn word_select(
        &mut self,
        condition: &R::E,
        then: &[R::E; WORD_LIMBS],
        otherwise: &[R::E; WORD_LIMBS],
    ) -> [R::E; WORD_LIMBS] {
        std::array::from_fn(|limb| self.select(condition, &then[limb], &otherwise[limb]))
    }
    fn word_is_zero(&mut self, a: &[R::E; WORD_LIMBS]) -> R::E {
        self.limbs_are_zero(a)
    }
    fn word_mul(&mut self, a: &[R::E; WORD_LIMBS], b: &[R::E; WORD_LIMBS]) -> [R::E; 6] {
        self.product(a, b)
    }

    fn widen(&mut self, a: &[R::E; WORD_LIMBS]) -> [R::E; WORD_LIMBS] {
        a.clone()
    }
    fn narrow(&mut self, a: &[R::E; WORD_LIMBS]) -> [R::E; WORD_LIMBS] {
        a.clone()
    }
    fn wide_zero<const L: usize>(&mut self) -> [R::E; L] {
        std::array::from_fn(|_| self.constant(0))
    }
    fn wide_add<const A: usize, const B: usize, const P: usize>(&mut self, a: &[R::E; A], b: &[R::E; B]) -> [R::E; P] {
        let value = self.integer(a) + self.integer(b);
        debug_assert!(value >> (P as u32 * LIMB_BITS) == 0, "{value} has more than {P} limbs");
        let result: [R::E; P] = self.limb_columns(value as u128);
        let positions = (0..A.max(B).max(P))
            .map(|k| {
                let mut sum = self.constant(0);
                for limb in [a.get(k), b.get(k)].into_iter().flatten() {
                    sum = sum + limb.clone();
                }
                if let Some(limb) = result.get(k) {
                    sum = sum - limb.clone();
                }
                (sum, -BASE, 2 * BASE)
            })
            .collect();
        self.assert_integer_zero(positions, Some((0, 1)));
        result
    }
    fn wide_scale<const A: usize, const P: usize>(&mut self, a: &[R::E; A], factor: &[R::E; WORD_LIMBS]) -> [R::E; P] {
        self.product(a, factor)
    }
    fn wide_div_ppm_ceil<const A: usize, const P: usize>(&mut self, a: &[R::E; A]) -> [R::E; P] {
        // quotient × 10^6 = a + rest, 0 ≤ rest < 10^6: quotient = ceil(a / 10^6).
        let ppm = PPM as i128;
        let value = self.integer(a);
        let quotient_value = (value + ppm - 1) / ppm;
        debug_assert!(quotient_value >> (P as u32 * LIMB_BITS) == 0, "{quotient_value} has more than {P} limbs");
        let rest_value = (quotient_value * ppm - value) as i64;
        let quotient: [R::E; P] = self.limb_columns(quotient_value as u128);
        // The rest and its complement to 10^6 − 1 both have 20 bits.
        let rest = [self.row.column(rest_value & (BASE - 1)), self.row.column(rest_value >> LIMB_BITS)];
        self.range(&rest[0], LIMB_BITS);
        self.range(&rest[1], 20 - LIMB_BITS);
        let base = self.constant(BASE);
        let largest = self.constant(PPM as i64 - 1);
        let complement = largest - rest[0].clone() - base * rest[1].clone();
        self.range_wide(&complement, 20);
        let limbs = [self.constant(PPM as i64 & (BASE - 1)), self.constant(PPM as i64 >> LIMB_BITS)];
        let n = A.max(P + 1);
        let mut positions = Vec::with_capacity(n);
        for k in 0..n {
            let mut sum = self.constant(0);
            let (mut low, mut high) = (0, 0);
            for (shift, factor) in limbs.iter().enumerate() {
                if let Some(limb) = k.checked_sub(shift).and_then(|at| quotient.get(at)) {
                    sum = sum + factor.clone() * limb.clone();
                    high += (BASE - 1) * (PPM as i64 >> (shift as u32 * LIMB_BITS) & (BASE - 1));
                }
            }
            for subtracted in [a.get(k), rest.get(k)].into_iter().flatten() {
                sum = sum - subtracted.clone();
                low -= BASE - 1;
            }
            positions.push((sum, low, high));
        }
        self.assert_integer_zero(positions, None);
        quotient
    }

    fn int<const L: usize>(&mut self, negative: &R::E, magnitude: &[R::E; L]) -> Signed<R::E, L> {
        let zero = self.limbs_are_zero(magnitude);
        let one = self.constant(1);
        let negative = self.materialise(negative.clone() * (one - zero));
        Signed { negative, magnitude: magnitude.clone() }
    }
    fn int_nonnegative<const L: usize>(&mut self, magnitude: &[R::E; L]) -> Signed<R::E, L> {
        Signed { negative: self.constant(0), magnitude: magnitude.clone() }
    }
    fn int_zero<const L: usize>(&mut self) -> Signed<R::E, L> {
        Signed { negative: self.constant(0), magnitude: self.wide_zero() }
    }
    fn int_add<const A: usize, const B: usize, const P: usize>(
        &mut self,
        a: &Signed<R::E, A>,
        b: &Signed<R::E, B>,
    ) -> Signed<R::E, P> {
        self.signed_sum(a, b, false)
    }
    fn int_sub<const A: usize, const B: usize, const P: usize>(
        &mut self,
        a: &Signed<R::E, A>,
        b: &Signed<R::E, B>,
    ) -> Signed<R::E, P> {
        self.signed_sum(a, b, true)
    }
    fn int_select<const L: usize>(
        &mut self,
        condition: &R::E,
        then: &Signed<R::E, L>,
        otherwise: &Signed<R::E, L>,
    ) -> Signed<R::E, L> {
        let negative = self.select(condition, &then.negative, &otherwise.negative);
        let magnitude =
            std::array::from_fn(|limb| self.select(condition, &then.magnitude[limb], &otherwise.magnitude[limb]));
        Signed { negative, magnitude }
    }
    fn int_is_zero<const L: usize>(&mut self, a: &Signed<R::E, L>) -> R::E {
        self.limbs_are_zero(&a.magnitude)
    }
    fn int_is_negative<const L: usize>(&mut self, a: &Signed<R::E, L>) -> R::E {
        a.negative.clone()
    }
    fn int_magnitude<const L: usize>(&mut self, a: &Signed<R::E, L>) -> [R::E; L] {
        a.magnitude.clone()
    }

    fn fields_zero<const N: usize>(&mut self) -> [R::E; N] {
        std::array::from_fn(|_| self.constant(0))
    }
    fn fields_of(&mut self, a: &R::E) -> [R::E; 1] {
        [a.clone()]
    }
    fn fields_of_transfer(&mut self, account: &R::E, amount: &[R::E; 6]) -> [R::E; 4] {
        let base = self.constant(BASE);
        let part = |at: usize| amount[at].clone() + base.clone() * amount[at + 1].clone();
        [account.clone(), part(0), part(2), part(4)]
    }
    fn fields_join(&mut self, a: &[R::E; 7], b: &[R::E; 7]) -> [R::E; 14] {
        std::array::from_fn(|i| if i < 7 { a[i].clone() } else { b[i - 7].clone() })
    }
    fn fields_select<const N: usize>(
        &mut self,
        condition: &R::E,
        then: &[R::E; N],
        otherwise: &[R::E; N],
    ) -> [R::E; N] {
        std::array::from_fn(|i| self.select(condition, &then[i], &otherwise[i]))
    }
    fn absorb<const N: usize>(&mut self, chain: &[R::E; 8], cells: &[R::E; N], last: &R::E) -> [R::E; 8] {
        const { assert!(N <= 7) };
        let block: [R::E; 8] = std::array::from_fn(|i| match cells.get(i) {
            _ if i == 7 => last.clone(),
            Some(cell) => cell.clone(),
            None => self.constant(0),
        });
        let after = self.row.compress(chain, &block).map(|value| self.row.column(value));
        self.look_up_compression(chain, &block, &after);
        after
    }
    fn signed(&mut self, public_key: &[R::E; 14], head: &[R::E; 8]) {
        let message = public_key.iter().chain(head).cloned().collect();
        self.interact(Bus::Signature, true, message, None);
        self.row.note_signed(public_key, head);
    }

    fn check(&mut self, condition: &R::E) {
        let one = self.constant(1);
        self.row.assert_zero(one - condition.clone());
    }

    memory! {
        System: open_system close_system peek_system ();
        Market: open_market close_market peek_market (market);
        Account: open_account close_account peek_account (account);
        Position: open_position close_position peek_position (account, entry);
        Order: open_order close_order peek_order (slot);
    }
    fn open_session(&mut self, account: &R::E, key: &R::E) -> Session<Self::V> {
        self.open(account, key)
    }
    fn close_session(&mut self, _: &R::E, _: &R::E, new: Session<Self::V>) {
        self.close(&new);
    }
    fn open_owner(&mut self, account: &R::E) -> Owner<Self::V> {
        let zero = self.constant(0);
        self.open(account, &zero)
    }
    fn close_owner(&mut self, _: &R::E, new: Owner<Self::V>) {
        self.close(&new);
    }
    fn peek_owner(&mut self, account: &R::E) -> Owner<Self::V> {
        let zero = self.constant(0);
        self.peek(account, &zero)
    }
    fn peek_deployment(&mut self) -> Deployment<Self::V> {
        let zero = self.constant(0);
        self.peek(&zero, &zero)
    }

    fn hint_neighbour(&mut self, book: &R::E, price: &[R::E; WORD_LIMBS]) -> R::E {
        let price = self.integer(price) as i64;
        let hint = self.row.hint_neighbour(book, price);
        self.row.column(hint)
    }
    fn hint_open_order(&mut self, account: &R::E, entry: &R::E, after: &R::E) -> R::E {
        let hint = self.row.hint_open_order(account, entry, after);
        self.row.column(hint)
    }

    fn suspend(&mut self, enabled: &R::E, frame: Frame<Self::V>) {
        let mut message = vec![self.clock.clone(), self.constant(i64::from(frame.label().number()))];
        message.extend(frame_cells(&frame));
        self.interact(Bus::Frame, false, message, Some(enabled));
        if self.enabled(enabled) {
            assert!(self.frame.replace(frame).is_none(), "a step suspends at most one frame");
        }
    }
    fn frame(&mut self) -> R::E {
        self.clock.clone()
    }
    fn goto(&mut self, enabled: &R::E, next: Next<Self::V>) {
        let one = self.constant(1);
        let mut message = vec![self.clock.clone() + one];
        let label = |label: Label| self.constant(i64::from(label.number()));
        match &next {
            Next::Idle(sequence) => message.extend([label(Label::Idle), sequence.clone()]),
            Next::Command(grant) => {
                message.push(label(Label::Command));
                message.extend(cells_of(grant));
            }
            Next::Resume(to, frame) => message.extend([label(*to), frame.clone()]),
            Next::Return(to, frame) => message.extend([to.clone(), frame.clone()]),
            Next::Judge(to, frame, verdict) => {
                message.extend([to.clone(), frame.clone()]);
                message.extend(cells_of(verdict));
            }
            Next::Probe(registers) => {
                message.push(label(Label::Probe));
                message.extend(cells_of(registers));
            }
            Next::Margin(registers) => {
                message.push(label(Label::Margin));
                message.extend(cells_of(registers));
            }
            Next::Remove(registers) => {
                message.push(label(Label::Remove));
                message.extend(cells_of(registers));
            }
        }
        self.interact(Bus::Step, false, message, Some(enabled));
        self.gotos.push(enabled.clone());
        if self.enabled(enabled) {
            assert!(self.next.replace(next).is_none(), "a step goes to exactly one next step");
        }
    }
    fn outcome(&mut self, enabled: &R::E, sequence: &R::E, code: &R::E) {
        self.interact(Bus::Outcome, false, vec![sequence.clone(), code.clone()], Some(enabled));
        let noted = self.active.clone() * enabled.clone();
        self.row.note_outcome(&noted, code);
    }
}

/// The cells of a frame.
fn frame_cells<E: Expr>(frame: &Frame<Cells<E>>) -> Vec<E> {
    match frame {
        Frame::Admit(frame) => cells_of(frame),
        Frame::Match(frame) | Frame::Rest(frame) | Frame::Expire(frame) => cells_of(frame),
        Frame::Trade(frame) => cells_of(frame),
        Frame::Turn(frame) => cells_of(frame),
        Frame::Fill(frame) => cells_of(frame),
        Frame::Sweep(frame) => cells_of(frame),
        Frame::Payout(frame) => cells_of(frame),
    }
}
