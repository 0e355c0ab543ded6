//! The `Native` reading: plain integers on the typed state. This is the sequencer's hot path.

use holdfast_crypto::{Digest, F, poseidon2::compress};
use holdfast_protocol::limits::PPM;

use crate::{
    flow::{Frame, Next},
    machine::{Event, LIMB_BITS, Machine, Plain},
    slots::{Account, Deployment, Market, Order, Owner, Position, Session, System},
    store::Store,
};

/// Runs steps on a [`Store`].
pub struct Native<'a> {
    pub store: &'a mut Store,
    pub events: &'a mut Vec<Event<Plain>>,
    pub next: Option<Next<Plain>>,
    pub frame: Option<Frame<Plain>>,
    pub code: u32,
    /// Open orders still to be swept, last first.
    pub sweep: Vec<u32>,
    /// What the session's chain becomes by each block of the instruction, known beforehand: hashing is not done here.
    pub heads: std::slice::Iter<'a, Digest>,
}

impl<'a> Native<'a> {
    #[inline(always)]
    pub fn new(store: &'a mut Store, events: &'a mut Vec<Event<Plain>>, heads: &'a [Digest]) -> Self {
        Self { store, events, next: None, frame: None, code: 0, sweep: Vec::new(), heads: heads.iter() }
    }
}

impl Machine for Native<'_> {
    type V = Plain;

    #[inline(always)]
    fn bit(&mut self, value: bool) -> bool {
        value
    }
    #[inline(always)]
    fn not(&mut self, a: &bool) -> bool {
        !a
    }
    #[inline(always)]
    fn and(&mut self, a: &bool, b: &bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn or(&mut self, a: &bool, b: &bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn without(&mut self, a: &bool, b: &bool) -> bool {
        a & !b
    }
    #[inline(always)]
    fn same(&mut self, a: &bool, b: &bool) -> bool {
        a == b
    }

    #[inline(always)]
    fn id(&mut self, value: u32) -> u32 {
        value
    }
    #[inline(always)]
    fn id_of(&mut self, bit: &bool) -> u32 {
        u32::from(*bit)
    }
    #[inline(always)]
    fn id_add(&mut self, a: &u32, b: &u32) -> u32 {
        a + b
    }
    #[inline(always)]
    fn id_sub(&mut self, a: &u32, b: &u32) -> u32 {
        a - b
    }
    #[inline(always)]
    fn id_scale(&mut self, a: &u32, factor: u32) -> u32 {
        a * factor
    }
    #[inline(always)]
    fn id_equal(&mut self, a: &u32, b: &u32) -> bool {
        a == b
    }
    #[inline(always)]
    fn id_select(&mut self, condition: &bool, then: &u32, otherwise: &u32) -> u32 {
        if *condition { *then } else { *otherwise }
    }
    #[inline(always)]
    fn id_check(&mut self, a: &u32, bits: u32) {
        debug_assert!(a >> bits == 0);
    }
    #[inline(always)]
    fn id_less(&mut self, a: &u32, b: &u32) -> bool {
        a < b
    }

    #[inline(always)]
    fn word(&mut self, value: u64) -> u64 {
        value
    }
    #[inline(always)]
    fn word_add(&mut self, a: &u64, b: &u64) -> u64 {
        a + b
    }
    #[inline(always)]
    fn word_sub(&mut self, a: &u64, b: &u64) -> (bool, u64) {
        if b <= a { (true, a - b) } else { (false, b - a - 1) }
    }
    #[inline(always)]
    fn word_select(&mut self, condition: &bool, then: &u64, otherwise: &u64) -> u64 {
        if *condition { *then } else { *otherwise }
    }
    #[inline(always)]
    fn word_is_zero(&mut self, a: &u64) -> bool {
        *a == 0
    }
    #[inline(always)]
    fn word_mul(&mut self, a: &u64, b: &u64) -> u128 {
        u128::from(*a) * u128::from(*b)
    }

    #[inline(always)]
    fn widen(&mut self, a: &u64) -> u128 {
        u128::from(*a)
    }
    #[inline(always)]
    fn narrow(&mut self, a: &u128) -> u64 {
        *a as u64
    }
    #[inline(always)]
    fn wide_zero<const L: usize>(&mut self) -> u128 {
        0
    }
    #[inline(always)]
    fn wide_add<const A: usize, const B: usize, const R: usize>(&mut self, a: &u128, b: &u128) -> u128 {
        a + b
    }
    #[inline(always)]
    fn wide_scale<const A: usize, const R: usize>(&mut self, a: &u128, factor: &u64) -> u128 {
        a * u128::from(*factor)
    }
    #[inline(always)]
    fn wide_div_ppm_ceil<const A: usize, const R: usize>(&mut self, a: &u128) -> u128 {
        match u64::try_from(*a) {
            Ok(narrow) => u128::from(narrow.div_ceil(PPM)),
            Err(_) => a.div_ceil(u128::from(PPM)),
        }
    }

    #[inline(always)]
    fn int<const L: usize>(&mut self, negative: &bool, magnitude: &u128) -> i128 {
        let magnitude = *magnitude as i128;
        if *negative { -magnitude } else { magnitude }
    }
    #[inline(always)]
    fn int_nonnegative<const L: usize>(&mut self, magnitude: &u128) -> i128 {
        *magnitude as i128
    }
    #[inline(always)]
    fn int_zero<const L: usize>(&mut self) -> i128 {
        0
    }
    #[inline(always)]
    fn int_add<const A: usize, const B: usize, const R: usize>(&mut self, a: &i128, b: &i128) -> i128 {
        a + b
    }
    #[inline(always)]
    fn int_sub<const A: usize, const B: usize, const R: usize>(&mut self, a: &i128, b: &i128) -> i128 {
        a - b
    }
    #[inline(always)]
    fn int_select<const L: usize>(&mut self, condition: &bool, then: &i128, otherwise: &i128) -> i128 {
        if *condition { *then } else { *otherwise }
    }
    #[inline(always)]
    fn int_is_zero<const L: usize>(&mut self, a: &i128) -> bool {
        *a == 0
    }
    #[inline(always)]
    fn int_is_negative<const L: usize>(&mut self, a: &i128) -> bool {
        *a < 0
    }
    #[inline(always)]
    fn int_magnitude<const L: usize>(&mut self, a: &i128) -> u128 {
        a.unsigned_abs()
    }

    #[inline(always)]
    fn fields_zero<const N: usize>(&mut self) -> [F; N] {
        F::new_array([0; N])
    }
    #[inline(always)]
    fn fields_of(&mut self, a: &u32) -> [F; 1] {
        [F::new(*a)]
    }
    fn fields_of_transfer(&mut self, account: &u32, amount: &u128) -> [F; 4] {
        let part = |index: u32| (amount >> (index * 2 * LIMB_BITS)) as u32 & ((1 << (2 * LIMB_BITS)) - 1);
        [*account, part(0), part(1), part(2)].map(F::new)
    }
    fn fields_join(&mut self, a: &[F; 7], b: &[F; 7]) -> [F; 14] {
        std::array::from_fn(|i| if i < 7 { a[i] } else { b[i - 7] })
    }
    #[inline(always)]
    fn fields_select<const N: usize>(&mut self, condition: &bool, then: &[F; N], otherwise: &[F; N]) -> [F; N] {
        if *condition { *then } else { *otherwise }
    }
    #[inline(always)]
    fn absorb<const N: usize>(&mut self, chain: &Digest, cells: &[F; N], last: &u32) -> Digest {
        let absorbed = || {
            let mut block = [F::new(*last); 8];
            for (i, cell) in block[..7].iter_mut().enumerate() {
                *cell = cells.get(i).copied().unwrap_or(F::new(0));
            }
            compress(chain, &block)
        };
        match self.heads.next() {
            Some(head) => {
                debug_assert_eq!(*head, absorbed(), "the chain was computed from where it stands");
                *head
            }
            None => absorbed(),
        }
    }
    /// Natively a signature is checked before the step that relies on it: see [`crate::authority::Verified`].
    #[inline(always)]
    fn signed(&mut self, _public_key: &[F; 14], _head: &Digest) {}

    #[inline(always)]
    fn check(&mut self, condition: &bool) {
        assert!(*condition, "an invariant of the rules holds");
    }

    #[inline(always)]
    fn open_system(&mut self) -> System<Plain> {
        self.store.system().clone()
    }
    #[inline(always)]
    fn close_system(&mut self, new: System<Plain>) {
        self.store.set_system(new);
    }
    #[inline(always)]
    fn peek_system(&mut self) -> System<Plain> {
        self.store.system().clone()
    }
    #[inline(always)]
    fn open_market(&mut self, market: &u32) -> Market<Plain> {
        self.store.market(*market).clone()
    }
    #[inline(always)]
    fn close_market(&mut self, market: &u32, new: Market<Plain>) {
        self.store.set_market(*market, new);
    }
    #[inline(always)]
    fn peek_market(&mut self, market: &u32) -> Market<Plain> {
        self.store.market(*market).clone()
    }
    #[inline(always)]
    fn open_account(&mut self, account: &u32) -> Account<Plain> {
        self.store.account(*account).clone()
    }
    #[inline(always)]
    fn close_account(&mut self, account: &u32, new: Account<Plain>) {
        self.store.set_account(*account, new);
    }
    #[inline(always)]
    fn peek_account(&mut self, account: &u32) -> Account<Plain> {
        self.store.account(*account).clone()
    }
    #[inline(always)]
    fn open_position(&mut self, account: &u32, entry: &u32) -> Position<Plain> {
        self.store.position(*account, *entry).clone()
    }
    #[inline(always)]
    fn close_position(&mut self, account: &u32, entry: &u32, new: Position<Plain>) {
        self.store.set_position(*account, *entry, new);
    }
    #[inline(always)]
    fn peek_position(&mut self, account: &u32, entry: &u32) -> Position<Plain> {
        self.store.position(*account, *entry).clone()
    }
    #[inline(always)]
    fn open_order(&mut self, slot: &u32) -> Order<Plain> {
        self.store.order(*slot).clone()
    }
    #[inline(always)]
    fn close_order(&mut self, slot: &u32, new: Order<Plain>) {
        self.store.set_order(*slot, new);
    }
    #[inline(always)]
    fn peek_order(&mut self, slot: &u32) -> Order<Plain> {
        self.store.order(*slot).clone()
    }

    #[inline(always)]
    fn open_session(&mut self, account: &u32, key: &u32) -> Session<Plain> {
        self.store.session(*account, *key).clone()
    }
    #[inline(always)]
    fn close_session(&mut self, account: &u32, key: &u32, new: Session<Plain>) {
        self.store.set_session(*account, *key, new);
    }
    #[inline(always)]
    fn open_owner(&mut self, account: &u32) -> Owner<Plain> {
        self.store.owner(*account).clone()
    }
    #[inline(always)]
    fn close_owner(&mut self, account: &u32, new: Owner<Plain>) {
        self.store.set_owner(*account, new);
    }
    #[inline(always)]
    fn peek_owner(&mut self, account: &u32) -> Owner<Plain> {
        self.store.owner(*account).clone()
    }
    #[inline(always)]
    fn peek_deployment(&mut self) -> Deployment<Plain> {
        self.store.deployment().clone()
    }

    #[inline(always)]
    fn hint_neighbour(&mut self, book: &u32, price: &u64) -> u32 {
        self.store.neighbour(*book, *price)
    }
    fn hint_open_order(&mut self, account: &u32, entry: &u32, after: &u32) -> u32 {
        if *after == 0 {
            self.sweep = self.store.open_orders(*account, *entry);
            self.sweep.reverse();
        }
        self.sweep.pop().unwrap_or(0)
    }

    #[inline(always)]
    fn suspend(&mut self, enabled: &bool, frame: Frame<Plain>) {
        if *enabled {
            self.frame = Some(frame);
        }
    }
    #[inline(always)]
    fn frame(&mut self) -> u32 {
        0
    }
    #[inline(always)]
    fn goto(&mut self, enabled: &bool, next: Next<Plain>) {
        if *enabled {
            self.next = Some(next);
        }
    }
    #[inline(always)]
    fn outcome(&mut self, enabled: &bool, _sequence: &u32, code: &u32) {
        if *enabled {
            self.code = *code;
        }
    }
    #[inline(always)]
    fn notify(&mut self, enabled: &bool, event: impl FnOnce() -> Event<Plain>) {
        if *enabled {
            self.events.push(event());
        }
    }
}
