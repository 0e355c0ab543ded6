//! The check of a session's signature: Schnorr over the septic curve of `holdfast_crypto::schnorr`, whose field is an extension of the proof's own.
//!
//! A signature (R, s) by the key P of the head h is valid if `s × G = R + e × P`, where `e` comes from the hash of R, P and h. The *signature* table (one row each)
//! hashes, and the *ladder* table (eight rows each, 27 bits a row) computes `s × G − e × P` by double-and-add from the most significant bit:
//!
//! ```text
//! A_0 = S + s[216] G
//! A_i+1 = 2 A_i + T_i,   T_i = O + s[215 − i] G − e[215 − i] P        i = 0 … 215
//! A_216 = 2^216 S + (2^216 − 1) O + s G − e P = R + E,                E = 2^216 S + (2^216 − 1) O
//! ```
//!
//! with two constant points S (`LADDER_START`) and O (`LADDER_OFFSET`), of which nobody knows a relation to each other or to G: they were hashed to the curve. The bits of `s` are the
//! prover's to choose: a proof says that a signature exists, not which. The bits of `e` are those of the hash.
//!
//! # Exceptional cases
//!
//! All points are on the curve (P and R are checked to be, the others follow), whose order is an odd prime, and none is the point at infinity, which has no coordinates. So
//! y ≠ 0 for each, and of two points with the same x either both are the same or one is the negative of the other.
//!
//! - A sum `p + q` has slope λ with `λ (x_q − x_p) = y_q − y_p`. For q = −p that reads 0 = −2 y_p: no λ. For q = p it reads 0 = 0, and any λ would do: so there are columns with
//!   weights by which the coefficients of `x_q − x_p` sum to 1, and for zero there are none.
//! - `2 A + T` is computed as `(A + T) + A` without the y of the sum between: `(λ1 + λ2) (x_A − x_{A+T}) = 2 y_A`. If both x were the same this would read 0 = 2 y_A: no λ2. (That is
//!   A + T = ±A: T at infinity, or 2 A + T at infinity.)
//!
//! So an accepted row is a true group operation, whatever the prover chooses: *soundness is unconditional*. What remains is that a valid signature could meet an exception
//! and find no proof. Every `A_i = 2^i S + (2^i − 1) O + (a known multiple of G) − (a known multiple of P)`, and an exception equates it to ±T, or its double to −T: a relation
//! `2^j S + … O + … G + … P = 0` that is not trivial, since no other term has S. Whoever made the valid signature knows the discrete logarithm of P (by rewinding, as in the proof of
//! security of Schnorr's signatures), and so would know a relation between S, O and G, which is as hard as discrete logarithms. The same holds for R = ±E and P = ±O, ±(O + G).
//!
//! # The challenge
//!
//! `e` is made of the low 27 bits of each of the hash's eight cells, the first cell most significant. A cell is `low + 2^27 × top` with a top of four bits; since the modulus is 15 × 2^27 + 1,
//! that is ambiguous only for values below 2^27 − 1, which would also be `modulus + value` with top 15: top = 15 is allowed with low = 0 alone.
//!
//! A row of the ladder hands on the challenge rotated by one cell. After eight rows it has come round, so that the row of the signature takes back the end of its own
//! ladder, and of none with another challenge.

use holdfast_crypto::{
    Digest, F,
    curve::{Affine, GENERATOR, LADDER_END, LADDER_OFFSET, LADDER_START},
    field::{DIGEST_CELLS, cell_to_canonical},
    schnorr::{CHALLENGE_TAG, PublicKey, Signature, challenge},
    septic::Septic,
};
use openvm_stark_backend::{
    PartitionedBaseAir,
    interaction::InteractionBuilder,
    p3_air::{Air, AirBuilder, BaseAir, BaseAirWithPublicValues},
    p3_field::{Field, PrimeCharacteristicRing},
};
use std::{array::from_fn, sync::LazyLock};

use crate::{
    air::{Columns, local, look_up_compression, plain_air, push},
    row::Bus,
};

/// Coordinates of a point: seven cells each.
const COORDINATE: usize = 7;
/// Bits of the challenge, and of the signature's scalar, that one row of the ladder takes.
pub const BITS: usize = 27;
/// Rows of the ladder of one signature: one per cell of the challenge.
pub const ROWS: usize = DIGEST_CELLS;
const TOP_BITS: u32 = 4;

pub const SIGNATURE_WIDTH: usize = 1 + 2 * POINT + 5 * DIGEST_CELLS + 1 + 3 * (2 * COORDINATE + POINT);
const POINT: usize = 2 * COORDINATE;
/// Columns of one bit: bits of s and e and their product, both slopes, weights, and the accumulator after it.
pub const BIT_WIDTH: usize = 3 + 3 * COORDINATE + POINT;
/// Columns of a row of the ladder before those of its bits.
pub const LADDER_HEAD: usize = 2 + 3 * POINT + DIGEST_CELLS + 3;
pub const LADDER_WIDTH: usize = LADDER_HEAD + BITS * BIT_WIDTH;

/// O + G and S + G.
static CONSTANTS: LazyLock<(Affine, Affine)> = LazyLock::new(|| {
    let plus = |point: &Affine| point.add_distinct(&GENERATOR).expect("they are different points");
    (plus(&LADDER_OFFSET), plus(&LADDER_START))
});

/// An element of the extension field, as expressions.
#[derive(Clone)]
struct Element<E>([E; COORDINATE]);

impl<E: PrimeCharacteristicRing> Element<E> {
    fn constant(value: &Septic) -> Self
    where
        E: From<F>,
    {
        Self(value.0.map(E::from))
    }
    fn add(&self, other: &Self) -> Self {
        Self(from_fn(|i| self.0[i].clone() + other.0[i].clone()))
    }
    fn sub(&self, other: &Self) -> Self {
        Self(from_fn(|i| self.0[i].clone() - other.0[i].clone()))
    }
    fn scale(&self, factor: E) -> Self {
        Self(from_fn(|i| self.0[i].clone() * factor.clone()))
    }
    fn neg(&self) -> Self {
        Self(from_fn(|i| -self.0[i].clone()))
    }
    fn mul(&self, other: &Self) -> Self {
        let mut product = from_fn(|_| E::ZERO);
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                product[i + j] += a.clone() * b.clone();
            }
        }
        Self::reduced(&product)
    }
    fn square(&self) -> Self {
        let mut product = from_fn(|_| E::ZERO);
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in self.0.iter().enumerate().skip(i + 1) {
                product[i + j] += a.clone() * b.clone();
            }
        }
        for cell in &mut product {
            *cell = cell.clone() * E::TWO;
        }
        for (i, a) in self.0.iter().enumerate() {
            product[2 * i] += a.clone() * a.clone();
        }
        Self::reduced(&product)
    }
    /// Modulo z^7 = 2 z + 5.
    fn reduced(product: &[E; 2 * COORDINATE - 1]) -> Self {
        Self(from_fn(|i| {
            let mut cell = product[i].clone();
            if let Some(over) = product.get(i + COORDINATE) {
                cell += over.clone() * E::from_u32(5);
            }
            if i > 0 {
                cell += product[i + COORDINATE - 1].clone() * E::from_u32(2);
            }
            cell
        }))
    }
}

#[derive(Clone)]
struct Point<E> {
    x: Element<E>,
    y: Element<E>,
}

impl<E: PrimeCharacteristicRing + From<F>> Point<E> {
    fn constant(point: &Affine) -> Self {
        Self { x: Element::constant(point.x()), y: Element::constant(point.y()) }
    }
    fn cells(&self) -> Vec<E> {
        self.x.0.iter().chain(&self.y.0).cloned().collect()
    }
    fn neg(&self) -> Self {
        Self { x: self.x.clone(), y: self.y.neg() }
    }
    /// `self + bit × (other − self)`, by coordinates.
    fn select(&self, bit: E, other: &Self) -> Self {
        let coordinate = |a: &Element<E>, b: &Element<E>| a.add(&b.sub(a).scale(bit.clone()));
        Self { x: coordinate(&self.x, &other.x), y: coordinate(&self.y, &other.y) }
    }
}

fn element<V: Copy, E: From<V>>(columns: &mut Columns<'_, V>) -> Element<E> {
    let mut cells = columns.many(COORDINATE).into_iter();
    Element(from_fn(|_| cells.next().expect("as many as asked for")))
}

fn point<V: Copy, E: From<V>>(columns: &mut Columns<'_, V>) -> Point<E> {
    Point { x: element(columns), y: element(columns) }
}

fn assert_equal<AB: AirBuilder>(builder: &mut AB, a: &Element<AB::Expr>, b: &Element<AB::Expr>) {
    for (a, b) in a.0.iter().zip(&b.0) {
        builder.assert_zero(a.clone() - b.clone());
    }
}

/// y² = x³ + 2 x + 26 z⁵
fn assert_on_curve<AB: AirBuilder>(builder: &mut AB, p: &Point<AB::Expr>) {
    let cube = p.x.square().mul(&p.x);
    let mut right = cube.add(&p.x.scale(AB::Expr::TWO));
    right.0[5] += AB::Expr::from_u32(26);
    assert_equal(builder, &p.y.square(), &right);
}

/// d ≠ 0: a combination of its coefficients, with weights that are the prover's to choose, is 1. There is none for zero, and one for everything else.
fn assert_not_zero<AB: AirBuilder>(builder: &mut AB, d: &Element<AB::Expr>, weights: &Element<AB::Expr>) {
    let products = d.0.iter().zip(&weights.0).map(|(cell, weight)| cell.clone() * weight.clone());
    builder.assert_one(products.reduce(|sum, product| sum + product).expect("an element has coefficients"));
}

/// The sum of two points with different x, in new columns: slope, weights that show that the x differ, sum.
fn sum<V: Copy, AB: AirBuilder<F = F, Var = V>>(
    builder: &mut AB,
    columns: &mut Columns<'_, V>,
    p: &Point<AB::Expr>,
    q: &Point<AB::Expr>,
) -> Point<AB::Expr>
where
    AB::Expr: From<V> + From<F>,
{
    let (slope, weights, sum) = (element::<_, AB::Expr>(columns), element(columns), point::<_, AB::Expr>(columns));
    let run = q.x.sub(&p.x);
    assert_not_zero(builder, &run, &weights);
    // λ (x_q − x_p) = y_q − y_p;  x = λ² − x_p − x_q;  y = λ (x_p − x) − y_p
    assert_equal(builder, &slope.mul(&run), &q.y.sub(&p.y));
    assert_equal(builder, &sum.x, &slope.square().sub(&p.x).sub(&q.x));
    assert_equal(builder, &sum.y, &slope.mul(&p.x.sub(&sum.x)).sub(&p.y));
    sum
}

/// One row per signature: its hash, and both ends of its ladder.
///
/// Columns: active, P, h, R, the hash after R, after x and y of P, and after h (the challenge), the top bit of s; and three sums (slope, weights, sum): O − P, O + G − P, R + E.
#[derive(Debug, Clone, Copy)]
pub struct SignatureAir;

plain_air!(SignatureAir, self => SIGNATURE_WIDTH);

impl<AB: InteractionBuilder<F = F>> Air<AB> for SignatureAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        let key: Point<AB::Expr> = point(&mut columns);
        let head: Vec<AB::Expr> = columns.many(DIGEST_CELLS);
        let commitment: Point<AB::Expr> = point(&mut columns);
        let hashes: [Vec<AB::Expr>; 4] = from_fn(|_| columns.many(DIGEST_CELLS));
        let top: AB::Expr = columns.one();

        builder.assert_bool(active.clone());
        builder.assert_bool(top.clone());
        assert_on_curve(builder, &key);
        assert_on_curve(builder, &commitment);

        let with = |coordinate: &Element<AB::Expr>, last: u32| {
            let mut block = coordinate.0.to_vec();
            block.push(AB::Expr::from_u32(last));
            block
        };
        let first = with(&commitment.x, CHALLENGE_TAG);
        let [after_commitment, after_x, after_y, challenge] = &hashes;
        let blocks = [
            (&first, with(&commitment.y, 0), after_commitment),
            (after_commitment, with(&key.x, 0), after_x),
            (after_x, with(&key.y, 0), after_y),
            (after_y, head.clone(), challenge),
        ];
        for (left, right, output) in blocks {
            look_up_compression(builder, left, &right, output, active.clone());
        }

        let (offset_generator, start_generator) = &*CONSTANTS;
        let minus_key = key.neg();
        let offset_key = sum(builder, &mut columns, &Point::constant(&LADDER_OFFSET), &minus_key);
        let offset_both = sum(builder, &mut columns, &Point::constant(offset_generator), &minus_key);
        let end = sum(builder, &mut columns, &Point::constant(&LADDER_END), &commitment);
        let start = Point::constant(&LADDER_START).select(top, &Point::constant(start_generator));

        for (receives, step, accumulator) in [(false, 0, start), (true, ROWS as u32, end)] {
            let mut message = vec![AB::Expr::from_u32(step)];
            for point in [&accumulator, &offset_key, &offset_both] {
                message.extend(point.cells());
            }
            message.extend_from_slice(challenge);
            push(builder, Bus::Ladder, receives, message, active.clone());
        }
        let mut message = key.cells();
        message.extend(head);
        push(builder, Bus::Signature, false, message, active);
    }
}

/// One row per registered key: it is a point of the curve, so that whoever reads what is published finds a key.
///
/// Columns: active, P.
#[derive(Debug, Clone, Copy)]
pub struct KeyAir;

pub const KEY_WIDTH: usize = 1 + POINT;

plain_air!(KeyAir, self => KEY_WIDTH);

impl<AB: InteractionBuilder<F = F>> Air<AB> for KeyAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        let key: Point<AB::Expr> = point(&mut columns);
        builder.assert_bool(active.clone());
        assert_on_curve(builder, &key);
        push(builder, Bus::Key, true, key.cells(), active);
    }
}

/// The row of a key.
pub fn key_row(key: &Affine) -> Vec<F> {
    let mut row = vec![F::ONE];
    push_point(&mut row, key);
    row
}

/// Eight rows per signature: 27 bits of double-and-add each.
///
/// Columns: active, step, A before, O − P, O + G − P, the challenge from this row's cell on, the cell's top bits, whether they are 15 and the inverse that shows it; and for each bit: that of s, that of e, their
/// product, λ1, λ2, weights that show that x_T − x_A is not zero, A after.
#[derive(Debug, Clone, Copy)]
pub struct LadderAir;

plain_air!(LadderAir, self => LADDER_WIDTH);

impl<AB: InteractionBuilder<F = F>> Air<AB> for LadderAir {
    fn eval(&self, builder: &mut AB) {
        let columns = local(builder);
        let mut columns = Columns { rest: &columns };
        let active: AB::Expr = columns.one();
        let step: AB::Expr = columns.one();
        let before: Point<AB::Expr> = point(&mut columns);
        let offset_key: Point<AB::Expr> = point(&mut columns);
        let offset_both: Point<AB::Expr> = point(&mut columns);
        let challenge: Vec<AB::Expr> = columns.many(DIGEST_CELLS);
        let top: AB::Expr = columns.one();
        let is_last: AB::Expr = columns.one();
        let inverse: AB::Expr = columns.one();

        builder.assert_bool(active.clone());
        let offset = Point::constant(&LADDER_OFFSET);
        let offset_generator = Point::constant(&CONSTANTS.0);
        let mut accumulator = before.clone();
        let mut low = AB::Expr::ZERO;
        for _ in 0..BITS {
            let [s, e, both]: [AB::Expr; 3] = from_fn(|_| columns.one());
            let [first, second, run_weights]: [Element<AB::Expr>; 3] = from_fn(|_| element(&mut columns));
            let after: Point<AB::Expr> = point(&mut columns);
            builder.assert_bool(s.clone());
            builder.assert_bool(e.clone());
            builder.assert_zero(both.clone() - s.clone() * e.clone());
            low = low.clone() + low + e.clone();

            // T = O + s G − e P, by coordinates: O + s (O+G − O) + e (O−P − O) + s e (O+G−P − O+G − O−P + O)
            let term = |at: fn(&Point<AB::Expr>) -> &Element<AB::Expr>| {
                let (o, og, ok, okg) = (at(&offset), at(&offset_generator), at(&offset_key), at(&offset_both));
                o.add(&og.sub(o).scale(s.clone()))
                    .add(&ok.sub(o).scale(e.clone()))
                    .add(&okg.sub(og).sub(ok).add(o).scale(both.clone()))
            };
            let t = Point { x: term(|p| &p.x), y: term(|p| &p.y) };
            let a = accumulator;
            // λ1 (x_T − x_A) = y_T − y_A, and x_T ≠ x_A
            let run = t.x.sub(&a.x);
            assert_not_zero(builder, &run, &run_weights);
            assert_equal(builder, &first.mul(&run), &t.y.sub(&a.y));
            // (λ1 + λ2) (x_A − x_{A+T}) = 2 y_A, where x_{A+T} = λ1² − x_A − x_T
            let first_square = first.square();
            let fall = a.x.scale(AB::Expr::TWO).add(&t.x).sub(&first_square);
            assert_equal(builder, &first.add(&second).mul(&fall), &a.y.scale(AB::Expr::TWO));
            // x = λ2² − x_A − x_{A+T} = λ2² − λ1² + x_T;  y = λ2 (x_A − x) − y_A
            assert_equal(builder, &after.x, &second.square().sub(&first_square).add(&t.x));
            assert_equal(builder, &after.y, &second.mul(&a.x.sub(&after.x)).sub(&a.y));
            accumulator = after;
        }

        // cell = low + 2^27 × top, and top = 15 implies low = 0
        builder.push_interaction(Bus::Range as u16, [top.clone(), AB::Expr::from_u32(TOP_BITS)], active.clone(), 1);
        builder.assert_zero(challenge[0].clone() - low.clone() - top.clone() * AB::Expr::from_u32(1 << BITS));
        let short = top - AB::Expr::from_u32((1 << TOP_BITS) - 1);
        builder.assert_zero(AB::Expr::ONE - is_last.clone() - short.clone() * inverse.clone());
        builder.assert_zero(short * is_last.clone());
        builder.assert_zero(inverse * is_last.clone());
        builder.assert_zero(is_last * low);

        let mut rotated = challenge.clone();
        rotated.rotate_left(1);
        let ends = [(true, step.clone(), &before, challenge), (false, step + AB::Expr::ONE, &accumulator, rotated)];
        for (receives, step, accumulator, challenge) in ends {
            let mut message = vec![step];
            for point in [accumulator, &offset_key, &offset_both] {
                message.extend(point.cells());
            }
            message.extend(challenge);
            push(builder, Bus::Ladder, receives, message, active.clone());
        }
    }
}

/// The rows of one signature, and what they look up.
pub struct Rows {
    pub signature: Vec<F>,
    pub ladder: Vec<F>,
    pub permutations: [[Digest; 2]; 4],
    /// The tops of the challenge's cells, each of four bits.
    pub tops: [u32; ROWS],
}

/// The bits of a number's range look-up in [`Rows::tops`].
pub const TOPS_BITS: u32 = TOP_BITS;

/// Fills the rows of a valid signature. `None` if it is not valid (or meets an exception, which nobody can make it do).
pub fn fill(public_key: &PublicKey, head: &Digest, signature: &Signature) -> Option<Rows> {
    let scalar = signature.s().bits_be();
    fill_bits(public_key.point(), head, signature.r(), &scalar)
}

/// The same, from the bits of the scalar.
fn fill_bits(key: &Affine, head: &Digest, commitment: &Affine, scalar: &[bool; 1 + ROWS * BITS]) -> Option<Rows> {
    let public_key = PublicKey::new(*key);
    let hashes = challenge(commitment, &public_key, head);
    let mut signature = vec![F::ONE];
    push_point(&mut signature, key);
    signature.extend(head);
    push_point(&mut signature, commitment);
    signature.extend(hashes.iter().flatten());
    signature.push(F::from_bool(scalar[0]));
    let minus_key = key.neg();
    let (offset_generator, start_generator) = &*CONSTANTS;
    let offset_key = push_sum(&mut signature, &LADDER_OFFSET, &minus_key)?;
    let offset_both = push_sum(&mut signature, offset_generator, &minus_key)?;
    let end = push_sum(&mut signature, &LADDER_END, commitment)?;

    let mut ladder = Vec::with_capacity(ROWS * LADDER_WIDTH);
    let mut tops = [0; ROWS];
    let mut accumulator = if scalar[0] { *start_generator } else { LADDER_START };
    let mut rotated = hashes[3];
    for row in 0..ROWS {
        let cell = cell_to_canonical(rotated[0]);
        let top = cell >> BITS;
        tops[row] = top;
        ladder.extend([F::ONE, F::from_usize(row)]);
        for point in [&accumulator, &offset_key, &offset_both] {
            push_point(&mut ladder, point);
        }
        ladder.extend(rotated);
        let short = F::from_u32(top) - F::from_u32((1 << TOP_BITS) - 1);
        ladder.extend([F::from_u32(top), F::from_bool(short == F::ZERO), short.try_inverse().unwrap_or(F::ZERO)]);
        for bit in 0..BITS {
            let s = scalar[1 + row * BITS + bit];
            let e = cell >> (BITS - 1 - bit) & 1 != 0;
            let t = match (s, e) {
                (false, false) => &LADDER_OFFSET,
                (true, false) => offset_generator,
                (false, true) => &offset_key,
                (true, true) => &offset_both,
            };
            ladder.extend([s, e, s & e].map(F::from_bool));
            accumulator = push_double_add(&mut ladder, &accumulator, t)?;
        }
        rotated.rotate_left(1);
    }
    if accumulator != end {
        return None;
    }
    let with = |coordinate: &Septic, last: u32| -> Digest {
        from_fn(|i| coordinate.0.get(i).copied().unwrap_or(F::from_u32(last)))
    };
    let permutations = [
        [with(commitment.x(), CHALLENGE_TAG), with(commitment.y(), 0)],
        [hashes[0], with(key.x(), 0)],
        [hashes[1], with(key.y(), 0)],
        [hashes[2], *head],
    ];
    Some(Rows { signature, ladder, permutations, tops })
}

fn push_point(row: &mut Vec<F>, point: &Affine) {
    row.extend(point.x().0);
    row.extend(point.y().0);
}

/// Slope, weights and sum of two points with different x.
fn push_sum(row: &mut Vec<F>, p: &Affine, q: &Affine) -> Option<Affine> {
    let run = *q.x() - *p.x();
    let slope = (*q.y() - *p.y()) * run.inverse()?;
    let sum = p.add_distinct(q)?;
    row.extend(slope.0);
    row.extend(weights(&run));
    push_point(row, &sum);
    Some(sum)
}

/// Weights by which the coefficients of an element that is not zero sum to 1: the inverse of the first of them that is not zero.
fn weights(element: &Septic) -> [F; COORDINATE] {
    let mut weights = [F::ZERO; COORDINATE];
    let found = element.0.iter().zip(&mut weights).find(|(cell, _)| **cell != F::ZERO);
    if let Some((cell, weight)) = found {
        *weight = cell.inverse();
    }
    weights
}

/// 2 A + T: slopes, weights, result.
fn push_double_add(row: &mut Vec<F>, a: &Affine, t: &Affine) -> Option<Affine> {
    let [(ax, ay), (tx, ty)] = [a, t].map(|point| (*point.x(), *point.y()));
    let run = tx - ax;
    let first = (ty - ay) * run.inverse()?;
    let between = first * first - ax - tx;
    let second = (ay + ay) * (ax - between).inverse()? - first;
    let x = second * second - ax - between;
    let y = second * (ax - x) - ay;
    let after = Affine::new(x, y).expect("the sum of points of the curve is on it");
    row.extend(first.0);
    row.extend(second.0);
    row.extend(weights(&run));
    push_point(row, &after);
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_whatever_is_not_zero_sum_to_one() {
        for zeros in 0..COORDINATE {
            let element = Septic(from_fn(|i| if i < zeros { F::ZERO } else { F::from_usize(5 + i) }));
            let sum: F = element.0.iter().zip(weights(&element)).map(|(&cell, weight)| cell * weight).sum();
            assert_eq!(sum, F::ONE);
        }
        assert_eq!(weights(&Septic::ZERO), [F::ZERO; COORDINATE]);
    }
}
