//! `Row`: the cells of one row of a table, either as expressions to be constrained or as values to be filled in.
//!
//! The gadgets of [`crate::cells`] are written once against this trait, so that the constraints of a row and its values cannot differ: both come from
//! the same text, which asks for columns in the same order.

use std::{
    fmt::Debug,
    ops::{Add, Mul, Sub},
};

use holdfast_exchange::slots::Kind;

/// Values of cells in one reading: expressions, or integers.
pub trait Expr: Clone + Debug + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}
impl<T: Clone + Debug + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Expr for T {}

/// The buses that connect the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Bus {
    /// `(value, bits)`: value < 2^bits.
    Range = 0,
    /// `(input 16, output 8)`: a Poseidon2 permutation, truncated.
    Poseidon2 = 1,
    /// `(kind, leaf, timestamp, cells)`: content of a slot since a time.
    Memory = 2,
    /// `(clock, label, handle, registers)`: where the chain of steps stands.
    Step = 3,
    /// `(clock of the step that suspended it, label, cells)`.
    Frame = 4,
    /// `(sequence, extended, head, signer, cells 5)`: the command of a published instruction.
    Command = 5,
    /// `(sequence, code)`: its outcome.
    Outcome = 6,
    /// `(sequence, stage, words, digest 8)`: the digest of all instructions before this one; at stage 1, of its first block too. And how many words were published for them.
    Digest = 7,
    /// `(level, index, old digest 8, new digest 8)`: a node of the tree before and after the segment.
    Merkle = 8,
    /// `(public key 14, head 8)`: whoever holds the key has signed the head.
    Signature = 9,
    /// `(step, accumulator 14, offset − key 14, offset + generator − key 14, challenge 8)`: where the check of a signature stands.
    Ladder = 10,
    /// `(place, cells 8)`: a published word, and its place among the segment's; or a word of zero, where a power is made.
    Word = 11,
    /// `(words, value 26)`: the value of the polynomial of the published words so far.
    Value = 12,
    /// `(point 26, its powers up to the fourth 3 × 26)`: where the polynomial is evaluated.
    Powers = 13,
    /// `(x 7, y 7)`: a point of the curve.
    Key = 14,
}

/// One row.
pub trait Row {
    type E: Expr;

    fn constant(&self, value: i64) -> Self::E;
    /// The next column. `value` is what it is filled with; a reading that only constrains ignores it.
    fn column(&mut self, value: i64) -> Self::E;
    /// The integer that an expression of cells stands for; 0 in a reading that only constrains.
    fn value(&self, e: &Self::E) -> i64;
    fn assert_zero(&mut self, e: Self::E);
    /// Looks up that `e` is below 2^`bits`, `bits` ≤ [`crate::RANGE_BITS`].
    fn range(&mut self, active: &Self::E, e: &Self::E, bits: u32);
    /// Sends (or, if `receives`, receives) `message` `count` times; `count` is 0 or 1.
    fn interact(&mut self, bus: Bus, receives: bool, message: Vec<Self::E>, count: Self::E);

    /// The cells of a slot, and the time since its last access, less one.
    fn load(&mut self, kind: Kind, outer: &Self::E, inner: &Self::E, timestamp: &Self::E) -> (Vec<i64>, i64);
    fn store(&mut self, kind: Kind, outer: &Self::E, inner: &Self::E, cells: &[Self::E]);
    fn hint_neighbour(&mut self, sentinel: &Self::E, price: i64) -> i64;
    fn hint_open_order(&mut self, account: &Self::E, entry: &Self::E, after: &Self::E) -> i64;
    /// The cells of `compress(left, right)`, which is looked up.
    fn compress(&mut self, left: &[Self::E; 8], right: &[Self::E; 8]) -> [i64; 8];
    /// Notes that a signature of this head by this key is needed.
    fn note_signed(&mut self, public_key: &[Self::E; 14], head: &[Self::E; 8]);
    /// Notes a command's outcome.
    fn note_outcome(&mut self, enabled: &Self::E, code: &Self::E);
}
