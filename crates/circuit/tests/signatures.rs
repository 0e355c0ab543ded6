//! Signatures natively and in the circuit: one is valid if and only if rows can be filled that the tables "signature" and "ladder" accept.
//!
//! The rows are checked by themselves: every constraint, every look-up against the permutation or the range, and the buses between the two tables and a seal's claim.
//! For signatures that are not valid, rows are forced: filled as far as the formulas go (`common::ladder`), and made to fit where a prover is free to.
//!
//! `fill` gives nothing for a valid signature that meets an exception of the ladder. Nobody can make one, by the argument in `holdfast_circuit::schnorr`: none of these tests could find it.

mod common;

use std::collections::BTreeMap;

use common::{
    checker,
    forge::Claim,
    ladder::{
        Fault, Forgery, Pair, Part, Rows, Site, Slope, faults, ladder_column, look_ups, pair, refill, refill_sloped,
        signature_column,
    },
};
use holdfast_circuit::{
    air::Table,
    check::Checker,
    row::Bus,
    schnorr::{BIT_WIDTH, BITS, LADDER_HEAD, LADDER_WIDTH, ROWS, fill},
};
use holdfast_crypto::{
    Digest, F,
    curve::{Affine, GENERATOR, LADDER_END, LADDER_OFFSET, LADDER_START, point_from_name},
    field::cell_to_canonical,
    scalar::{SCALAR_BITS, Scalar},
    schnorr::{PublicKey, Signature, challenge, challenge_scalar, verify},
    septic::Septic,
};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

const SEED: u64 = 1;
const SIGNATURE: Table = Table::Signature;
const LADDER: Table = Table::Ladder;

struct Dice(ChaCha8Rng);

impl Dice {
    fn new() -> Self {
        println!("seed {SEED}");
        Self(ChaCha8Rng::seed_from_u64(SEED))
    }
    fn scalar(&mut self) -> Scalar {
        let mut bytes = [0; 64];
        self.0.fill_bytes(&mut bytes);
        Scalar::from_bytes_wide(&bytes)
    }
    fn cell(&mut self) -> F {
        F::from_u64(self.0.next_u64())
    }
    fn head(&mut self) -> Digest {
        std::array::from_fn(|_| self.cell())
    }
    fn element(&mut self) -> Septic {
        Septic(std::array::from_fn(|_| self.cell()))
    }
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound
    }
}

/// A signature, valid or not, of a head by a key.
#[derive(Debug, Clone, Copy)]
struct Case {
    key: Affine,
    head: Digest,
    commitment: Affine,
    scalar: Scalar,
}

fn times_generator(scalar: &Scalar) -> Affine {
    GENERATOR.mul(scalar).expect("a scalar other than zero")
}

fn plus(a: &Affine, b: &Affine) -> Affine {
    a.add_distinct(b).expect("points of different x")
}

impl Case {
    /// A valid signature by the key with this secret, and this nonce.
    fn signed(secret: &Scalar, nonce: &Scalar, head: Digest) -> Self {
        let case =
            Case { key: times_generator(secret), head, commitment: times_generator(nonce), scalar: Scalar::ZERO };
        Self { scalar: nonce.add(&case.challenge().mul(secret)), ..case }
    }

    fn random(dice: &mut Dice) -> Self {
        Self::signed(&dice.scalar(), &dice.scalar(), dice.head())
    }

    fn challenge(&self) -> Scalar {
        challenge_scalar(&challenge(&self.commitment, &PublicKey::new(self.key), &self.head)[3])
    }

    fn forgery(&self) -> Forgery {
        Forgery::new(pair(&self.key), self.head, pair(&self.commitment), &self.scalar)
    }

    fn verifies(&self) -> bool {
        verify(&PublicKey::new(self.key), &self.head, &Signature::new(self.commitment, self.scalar))
    }
}

/// What is wrong with the rows, given that a seal wants the signature that they are about.
fn faults_of(checker: &Checker<'_>, rows: &Rows) -> BTreeMap<Fault, usize> {
    faults(checker, &rows.signature, &rows.ladder, &[rows.claim()])
}

const fn unbalanced(bus: Bus) -> Fault {
    Fault::Unbalanced(bus as u16)
}

/// Fills the rows of a case, or forces them: they are accepted if and only if the signature is valid.
fn check(checker: &Checker<'_>, case: &Case, expected: bool) {
    let public_key = PublicKey::new(case.key);
    assert_eq!(case.verifies(), expected, "natively: {case:?}");
    let filled = fill(&public_key, &case.head, &Signature::new(case.commitment, case.scalar));
    assert_eq!(filled.is_some(), expected, "filled: {case:?}");
    let forced = case.forgery().rows();
    let faults = faults_of(checker, &forced);
    assert_eq!(faults.is_empty(), expected, "{faults:?}: {case:?}");
    let Some(filled) = filled else { return };
    // Both fillers agree, and so do the look-ups that are counted with those of the rows.
    assert_eq!((&filled.signature, &filled.ladder), (&forced.signature, &forced.ladder));
    assert_eq!(look_ups(checker, &forced), (filled.permutations.to_vec(), filled.tops.to_vec()));
}

/// Secrets and nonces that are small, large, of few bits, or near the middle.
fn extreme_scalars() -> Vec<Scalar> {
    let one = Scalar::ONE;
    let power = |exponent: u32| (0..exponent).fold(one, |power, _| power.add(&power));
    let half = Scalar::from_u128(2).neg().add(&one);
    let mut scalars = vec![one, Scalar::from_u128(2), Scalar::from_u128(3), one.neg(), half, power(216), power(215)];
    scalars.extend([power(27), power(189).neg(), power(216).sub(&one), Scalar::from_u128(u128::MAX)]);
    scalars
}

/// Heads of extreme cells.
fn extreme_heads() -> Vec<Digest> {
    vec![Digest::default(), [-F::ONE; 8], std::array::from_fn(F::from_usize), [F::from_u32(1 << 27); 8]]
}

#[test]
fn valid_signatures_are_accepted() {
    let checker = checker();
    let mut dice = Dice::new();
    let mut cases: Vec<Case> = (0..400).map(|_| Case::random(&mut dice)).collect();
    let (scalars, heads) = (extreme_scalars(), extreme_heads());
    for (i, secret) in scalars.iter().enumerate() {
        for (j, nonce) in scalars.iter().enumerate() {
            cases.push(Case::signed(secret, nonce, heads[(i + j) % heads.len()]));
        }
    }
    println!("{} valid signatures", cases.len());
    for case in &cases {
        check(&checker, case, true);
    }
}

/// Changes of a valid signature, and of what it is of.
fn changed(dice: &mut Dice, case: &Case, other: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    let bit = Scalar::from_u128(1 << dice.below(127));
    for scalar in [
        case.scalar.add(&Scalar::ONE),
        case.scalar.sub(&Scalar::ONE),
        case.scalar.add(&bit),
        case.scalar.neg(),
        other.scalar,
        dice.scalar(),
        Scalar::ZERO,
        Scalar::ONE,
        Scalar::ONE.neg(),
    ] {
        cases.push(Case { scalar, ..*case });
    }
    let challenge = case.challenge();
    for commitment in [
        case.commitment.neg(),
        case.commitment.double(),
        plus(&case.commitment, &GENERATOR),
        other.commitment,
        case.key,
        GENERATOR,
        LADDER_OFFSET,
        LADDER_END,
        // s G − e P for the challenge of another R.
        plus(&times_generator(&dice.scalar()), &case.key.mul(&challenge).expect("not zero").neg()),
    ] {
        cases.push(Case { commitment, ..*case });
    }
    let mut head = case.head;
    head[dice.below(8)] += F::ONE;
    cases.push(Case { head, ..*case });
    head = case.head;
    head.swap(0, 7);
    cases.push(Case { head, ..*case });
    cases.push(Case { head: other.head, ..*case });
    for key in [case.key.neg(), other.key, plus(&case.key, &GENERATOR), case.key.double()] {
        cases.push(Case { key, ..*case });
    }
    cases.push(Case { key: case.commitment, commitment: case.key, ..*case });
    cases
}

#[test]
fn changed_signatures_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let mut count = 0;
    for _ in 0..30 {
        let [case, other] = [0; 2].map(|_| Case::random(&mut dice));
        for case in changed(&mut dice, &case, &other) {
            check(&checker, &case, false);
            count += 1;
        }
    }
    println!("{count} changed signatures");
}

/// Keys that nobody has the secret of, chosen so that sums of the ladder are of equal or opposite points: R and s cannot be chosen to suit them.
#[test]
fn signatures_by_keys_that_nobody_has_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let offset_generator = plus(&LADDER_OFFSET, &GENERATOR);
    let mut keys = vec![
        LADDER_OFFSET,
        LADDER_START,
        LADDER_END,
        offset_generator,
        plus(&LADDER_START, &GENERATOR),
        plus(&LADDER_OFFSET, &LADDER_START.neg()),
        plus(&offset_generator, &LADDER_START.neg()),
        plus(&LADDER_OFFSET, &plus(&LADDER_START, &GENERATOR).neg()),
        plus(&LADDER_OFFSET, &LADDER_START),
        plus(&LADDER_OFFSET, &LADDER_START.double()),
        plus(&LADDER_END, &LADDER_OFFSET),
        point_from_name("nobody"),
    ];
    keys.extend(keys.clone().iter().map(Affine::neg));
    let mut count = 0;
    for key in keys {
        let nonce = dice.scalar();
        for commitment in [
            times_generator(&nonce),
            GENERATOR,
            key,
            key.neg(),
            LADDER_END,
            LADDER_END.neg(),
            plus(&LADDER_END, &GENERATOR),
            plus(&LADDER_END, &LADDER_OFFSET.neg()),
        ] {
            for scalar in [nonce, dice.scalar(), Scalar::ZERO] {
                check(&checker, &Case { key, head: dice.head(), commitment, scalar }, false);
                count += 1;
            }
        }
    }
    println!("{count} signatures without a key");
}

/// The ladder takes a scalar by its bits: s and s + n, where that has as many, are the same multiple, and either shows that there is a signature.
#[test]
fn a_scalar_may_be_spelled_beyond_the_order() {
    let checker = checker();
    let mut dice = Dice::new();
    let order_less_one = Scalar::ONE.neg().bits_be();
    let mut spelled = 0;
    while spelled < 20 {
        let case = Case::random(&mut dice);
        // s + (n − 1) + 1, bit by bit.
        let bits = case.scalar.bits_be();
        let mut carry = true;
        let mut sum = [false; SCALAR_BITS];
        for at in (0..SCALAR_BITS).rev() {
            let ones = u8::from(bits[at]) + u8::from(order_less_one[at]) + u8::from(carry);
            (sum[at], carry) = (ones % 2 == 1, ones > 1);
        }
        if carry {
            continue;
        }
        spelled += 1;
        let rows = Forgery { scalar: sum, ..case.forgery() }.rows();
        assert_ne!(rows, case.forgery().rows());
        assert_eq!(faults_of(&checker, &rows), BTreeMap::new());
    }
}

/// A cell of the challenge may be −1, though no hash of these tests has one: 15 × 2^27 in the integers.
#[test]
fn the_largest_cell_of_a_challenge_is_accepted() {
    let checker = checker();
    let mut dice = Dice::new();
    let secret = dice.scalar();
    let case = Case::signed(&secret, &dice.scalar(), dice.head());
    let mut forgery = case.forgery();
    forgery.hashes[3][3] = -F::ONE;
    forgery.split_challenge();
    assert_eq!((forgery.lows[3], forgery.tops[3]), (0, F::from_u32(15)));
    resign(&mut forgery, &case, &secret);
    // The hash alone is wrong.
    let mut rows = forgery.rows();
    let hash = (Fault::Lookup(SIGNATURE, Bus::Poseidon2 as u16), 1);
    assert_eq!(only(&faults_of(&checker, &rows)), std::slice::from_ref(&hash));
    // The inverse of zero is zero.
    rows.row_mut(3)[ladder_column::INVERSE] = F::ONE;
    assert_eq!(only(&faults_of(&checker, &rows)), [(Fault::Constraint(LADDER), 1), hash]);
}

fn only(faults: &BTreeMap<Fault, usize>) -> Vec<(Fault, usize)> {
    faults.iter().map(|(fault, count)| (fault.clone(), *count)).collect()
}

/// Makes the ladder end where it should for the bits of the challenge that it takes: whoever has the secret can.
fn resign(forgery: &mut Forgery, case: &Case, secret: &Scalar) {
    let challenge = challenge_scalar(&forgery.lows.map(F::from_u32));
    let nonce = case.scalar.sub(&case.challenge().mul(secret));
    forgery.scalar = nonce.add(&challenge.mul(secret)).bits_be();
}

/// Some cell of the challenge, and the bits of another challenge there, with a signature that suits it.
fn resigned(dice: &mut Dice, bits: impl Fn(&mut Dice, u32) -> Option<u32>) -> (usize, Forgery) {
    loop {
        let secret = dice.scalar();
        let case = Case::signed(&secret, &dice.scalar(), dice.head());
        let mut forgery = case.forgery();
        let row = dice.below(ROWS);
        let Some(low) = bits(dice, cell_to_canonical(forgery.hashes[3][row])) else { continue };
        forgery.lows[row] = low;
        resign(&mut forgery, &case, &secret);
        return (row, forgery);
    }
}

/// A small cell v is also p + v = (v + 1) + 15 × 2^27: another challenge, for which the key's owner could sign something else later.
#[test]
fn another_spelling_of_a_small_cell_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..20 {
        let (row, mut forgery) = resigned(&mut dice, |_, cell| (cell < (1 << BITS) - 1).then_some(cell + 1));
        forgery.fit_tops();
        assert_eq!(forgery.tops[row], F::from_u32(15));
        let mut rows = forgery.rows();
        let alone = vec![(Fault::Constraint(LADDER), 1)];
        assert_eq!(only(&faults_of(&checker, &rows)), alone);
        // Nor if it is denied that the top is 15, whatever its inverse.
        for inverse in [F::ZERO, F::ONE, dice.cell()] {
            let cells = rows.row_mut(row);
            (cells[ladder_column::IS_LAST], cells[ladder_column::INVERSE]) = (F::ZERO, inverse);
            assert_eq!(only(&faults_of(&checker, &rows)), alone);
        }
    }
}

/// A top that is not 15 is not said to be, though it may have low bits of zero.
#[test]
fn whether_a_top_is_fifteen_has_one_answer() {
    let checker = checker();
    let mut dice = Dice::new();
    let secret = dice.scalar();
    let case = Case::signed(&secret, &dice.scalar(), dice.head());
    let mut forgery = case.forgery();
    forgery.hashes[3][5] = F::from_u32(3 << BITS);
    forgery.split_challenge();
    resign(&mut forgery, &case, &secret);
    let mut rows = forgery.rows();
    let hash = (Fault::Lookup(SIGNATURE, Bus::Poseidon2 as u16), 1);
    assert_eq!(only(&faults_of(&checker, &rows)), std::slice::from_ref(&hash));
    let cells = rows.row_mut(5);
    (cells[ladder_column::IS_LAST], cells[ladder_column::INVERSE]) = (F::ONE, F::ZERO);
    assert_eq!(only(&faults_of(&checker, &rows)), [(Fault::Constraint(LADDER), 1), hash]);
}

/// Bits of another challenge, consistently: the tops that would be needed are no tops.
#[test]
fn bits_of_another_challenge_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..20 {
        let (_, mut forgery) = resigned(&mut dice, |dice, cell| {
            let low = cell & ((1 << BITS) - 1);
            let other = low ^ (1 << dice.below(BITS));
            // (There is one other spelling, with a top of 15: see above.)
            (cell + 1 != other).then_some(other)
        });
        assert_eq!(only(&faults_of(&checker, &forgery.rows())), [(Fault::Constraint(LADDER), 1)]);
        forgery.fit_tops();
        let faults = faults_of(&checker, &forgery.rows());
        assert_eq!(only(&faults), [(Fault::Lookup(LADDER, Bus::Range as u16), 1)]);
    }
}

/// Other bits of s, consistently.
#[test]
fn bits_of_another_scalar_end_elsewhere() {
    let checker = checker();
    let mut dice = Dice::new();
    for at in (0..SCALAR_BITS).step_by(9) {
        let mut forgery = Case::random(&mut dice).forgery();
        forgery.scalar[at] ^= true;
        assert_eq!(only(&faults_of(&checker, &forgery.rows())), [(unbalanced(Bus::Ladder), 2)]);
    }
}

/// A bit that is 2 in the place of two bits with the same sum: the points follow by the formulas.
#[test]
fn a_bit_that_is_none_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let mut refused = 0;
    while refused < 10 {
        let case = Case::random(&mut dice);
        let forgery = case.forgery();
        let low = forgery.lows[0];
        // …10… of e becomes …02…
        let Some(at) = (0..BITS - 1).find(|bit| low >> (BITS - 2 - bit) & 3 == 2) else { continue };
        refused += 1;
        let mut rows = forgery.rows();
        let row = rows.row_mut(0);
        let honest = row.to_vec();
        refill(row, |bit| {
            let [s, e] = [0, 1].map(|of| honest[LADDER_HEAD + bit * BIT_WIDTH + of]);
            match bit {
                _ if bit == at => [s, F::ZERO],
                _ if bit == at + 1 => [s, F::TWO],
                _ => [s, e],
            }
        });
        let faults = faults_of(&checker, &rows);
        assert_eq!(faults.get(&Fault::Constraint(LADDER)), Some(&1), "{faults:?}");
        // Of s, where nothing says what the sum is.
        let mut rows = case.forgery().rows();
        let row = rows.row_mut(0);
        refill(row, |bit| {
            let [s, e] = [0, 1].map(|of| honest[LADDER_HEAD + bit * BIT_WIDTH + of]);
            if bit == at { [F::from_u32(7), e] } else { [s, e] }
        });
        assert_eq!(faults_of(&checker, &rows).get(&Fault::Constraint(LADDER)), Some(&1));
    }
}

/// T = A: any slope would satisfy the other equations, and is refused by the weights alone.
#[test]
fn a_sum_of_equal_points_is_refused_whatever_its_slope() {
    let checker = checker();
    let mut dice = Dice::new();
    let case = Case::random(&mut dice);
    let honest = case.forgery().rows();
    let row = &honest.ladder[..LADDER_WIDTH];
    let table = checker.table(LADDER);
    let violated = |row: &[F]| {
        let mut values = Vec::new();
        let window = holdfast_circuit::check::Window { local: row, next: row, first: false, last: false, public: &[] };
        table.evaluate(&window, &mut values);
        table.constraints().iter().filter(|&&at| values[at] != F::ZERO).count()
    };
    assert_eq!(violated(row), 0);
    let at = |row: &[F], at: usize| -> Pair { [0, 7].map(|i| Septic(std::array::from_fn(|j| row[at + i + j]))) };
    let bit = |row: &[F], bit: usize| [0, 1].map(|of| row[LADDER_HEAD + bit * BIT_WIDTH + of]);
    let terms = |row: &[F]| -> Pair {
        let generator = plus(&LADDER_OFFSET, &GENERATOR);
        match bit(row, 0).map(|bit| bit == F::ONE) {
            [false, false] => pair(&LADDER_OFFSET),
            [true, false] => pair(&generator),
            [false, true] => at(row, ladder_column::OFFSET_KEY),
            [true, true] => at(row, ladder_column::OFFSET_BOTH),
        }
    };
    let term = terms(row);
    let put = |row: &mut [F], at: usize, value: &Septic| row[at..at + 7].copy_from_slice(&value.0);
    let with = |before: Pair, slope: Slope| {
        let mut cells = row.to_vec();
        put(&mut cells, ladder_column::BEFORE, &before[0]);
        put(&mut cells, ladder_column::BEFORE + 7, &before[1]);
        let bits: Vec<[F; 2]> = (0..BITS).map(|at| bit(row, at)).collect();
        refill_sloped(&mut cells, slope, |bit| bits[bit]);
        cells
    };
    let free: Vec<Slope> = (0..10).map(|_| Slope::Free(dice.element())).chain([Slope::Free(Septic::ZERO)]).collect();
    for slope in free.iter().copied().chain([Slope::Tangent]) {
        let mut cells = with(term, slope);
        assert_eq!(violated(&cells), 1, "weights of zero: {slope:?}");
        // No weights help: zeros sum to zero.
        for weights in [Septic::ONE, dice.element()] {
            put(&mut cells, LADDER_HEAD + 3 + 14, &weights);
            assert_eq!(violated(&cells), 1);
        }
    }
    // T = −A: the slope's equation fails, too.
    for slope in free.iter().copied() {
        assert!(violated(&with([term[0], -term[1]], slope)) > 1);
    }
    // 2 A + T and A + T at infinity: no second slope.
    let a = Affine::new(term[0], term[1]).expect("T is on the curve");
    let half = a.mul(&halved(&Scalar::ONE)).expect("not zero").neg();
    assert_eq!(half.double(), a.neg());
    assert!((1..=7).contains(&violated(&with(pair(&half), Slope::Tangent))));
}

/// The inverse of 2 modulo the order, times a scalar.
fn halved(scalar: &Scalar) -> Scalar {
    // (n + 1) / 2: double-and-add over the bits of n − 1, shifted right by one, plus one.
    let bits = Scalar::ONE.neg().bits_be();
    let half = bits[..SCALAR_BITS - 1].iter().fold(Scalar::ZERO, |value, &bit| {
        let doubled = value.add(&value);
        if bit { doubled.add(&Scalar::ONE) } else { doubled }
    });
    half.add(&Scalar::ONE).mul(scalar)
}

/// A key that makes the first T equal to the first A: the slope would be free, and nobody needs its secret.
#[test]
fn a_key_that_meets_an_exception_signs_nothing() {
    let checker = checker();
    let mut dice = Dice::new();
    // O − P = S: for e beginning with 1 and s with 00.
    let key = plus(&LADDER_OFFSET, &LADDER_START.neg());
    let mut found = 0;
    while found < 10 {
        let case =
            Case { key, head: dice.head(), commitment: times_generator(&dice.scalar()), scalar: Scalar::from_u128(9) };
        let mut forgery = case.forgery();
        if forgery.lows[0] >> (BITS - 1) == 0 {
            continue;
        }
        found += 1;
        assert!(fill(&PublicKey::new(key), &case.head, &Signature::new(case.commitment, case.scalar)).is_none());
        for slope in [Slope::Tangent, Slope::Free(dice.element())] {
            forgery.slope = slope;
            let faults = faults_of(&checker, &forgery.rows());
            assert_eq!(only(&faults), [(Fault::Constraint(LADDER), 1), (unbalanced(Bus::Ladder), 2)], "{slope:?}");
        }
    }
}

/// P = −O, P = −(O + G) and R = E make sums of the signature's own row sums of equal points; P = O, P = O + G and R = −E, of opposite ones.
#[test]
fn exceptional_sums_of_the_signature_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let offset_generator = plus(&LADDER_OFFSET, &GENERATOR);
    let other = Case::random(&mut dice);
    for (equal, key, commitment) in [
        (true, LADDER_OFFSET.neg(), other.commitment),
        (true, offset_generator.neg(), other.commitment),
        (true, other.key, LADDER_END),
        (false, LADDER_OFFSET, other.commitment),
        (false, offset_generator, other.commitment),
        (false, other.key, LADDER_END.neg()),
    ] {
        let case = Case { key, commitment, ..other };
        for slope in [Slope::Tangent, Slope::Free(dice.element()), Slope::Free(Septic::ZERO)] {
            let rows = Forgery { slope, ..case.forgery() }.rows();
            let faults = faults_of(&checker, &rows);
            let count = faults[&Fault::Constraint(SIGNATURE)];
            assert_eq!(count == 1, equal, "{faults:?}");
        }
    }
}

/// Something else in one place, and all that follows from it: the equation of that place is the only one that fails.
#[test]
fn every_equation_refuses_something_by_itself() {
    let checker = checker();
    let mut dice = Dice::new();
    let sums = (0..3).flat_map(|sum| [Part::Slope, Part::Weights, Part::X, Part::Y].map(|part| Site::Sum(sum, part)));
    let parts = [Part::Product, Part::Slope, Part::Second, Part::Weights, Part::X, Part::Y];
    let bits = (0..ROWS).flat_map(|row| [0, 13, BITS - 1].map(|bit| (row, bit)));
    let bits = bits.flat_map(|(row, bit)| parts.map(|part| Site::Bit(row, bit, part)));
    for site in sums.chain(bits) {
        let forgery = Forgery { altered: Some((site, dice.element())), ..Case::random(&mut dice).forgery() };
        let faults = faults_of(&checker, &forgery.rows());
        let (own, other) = match site {
            Site::Sum(..) => (SIGNATURE, LADDER),
            Site::Bit(..) => (LADDER, SIGNATURE),
        };
        let equations = match site {
            Site::Bit(_, _, Part::Product | Part::Weights) | Site::Sum(_, Part::Weights) => 1,
            _ => 7,
        };
        assert_eq!(faults.get(&Fault::Constraint(own)), Some(&equations), "{site:?}: {faults:?}");
        assert!(!faults.contains_key(&Fault::Constraint(other)), "{site:?}: {faults:?}");
    }
}

/// The top bit of s, if it is none: the ladder begins where the row of the signature says.
#[test]
fn a_top_bit_that_is_none_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let [start, generator] = [pair(&LADDER_START), pair(&plus(&LADDER_START, &GENERATOR))];
    for top in [F::TWO, -F::ONE, dice.cell()] {
        let case = Case::random(&mut dice);
        let begins: Pair = std::array::from_fn(|i| start[i] + (generator[i] - start[i]).scale(top));
        let mut rows = Forgery { start: Some(begins), ..case.forgery() }.rows();
        rows.signature[signature_column::TOP] = top;
        let faults = faults_of(&checker, &rows);
        assert_eq!(faults.get(&Fault::Constraint(SIGNATURE)), Some(&1), "{faults:?}");
        // Where it begins is agreed upon; where it ends is not.
        assert_eq!(faults.get(&unbalanced(Bus::Ladder)), Some(&2), "{faults:?}");
    }
}

/// "Points" that are not on the curve: everything else is filled by the same formulas.
#[test]
fn points_off_the_curve_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..10 {
        let case = Case::random(&mut dice);
        let on = [pair(&case.key), pair(&case.commitment)];
        for which in 0..2 {
            let point = on[which];
            for off in [
                [point[0], point[1] + Septic::ONE],
                [point[0], Septic::ZERO],
                [point[0] + Septic::ONE, point[1]],
                [Septic::ZERO, Septic::ZERO],
                [dice.element(), dice.element()],
            ] {
                let mut pairs = on;
                pairs[which] = off;
                let faults = faults_of(&checker, &Forgery::new(pairs[0], case.head, pairs[1], &case.scalar).rows());
                let count = faults[&Fault::Constraint(SIGNATURE)];
                assert!((1..=7).contains(&count), "the equation of the curve alone: {faults:?}");
                assert!(!faults.contains_key(&Fault::Constraint(LADDER)), "{faults:?}");
            }
        }
    }
}

/// A ladder from another start ends anywhere: the row of the signature does not send it.
#[test]
fn a_ladder_that_starts_elsewhere_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..10 {
        let valid = Case::random(&mut dice);
        let case = Case { scalar: dice.scalar(), ..valid };
        let top = case.scalar.bits_be()[0];
        let start = if top { plus(&LADDER_START, &GENERATOR) } else { LADDER_START };
        // A_216 = 2^216 A_0 + …: what is missing at the end, (s − s') G, divided by 2^216.
        let missing = valid.scalar.sub(&case.scalar);
        let missing = (0..216).fold(missing, |scalar, _| halved(&scalar));
        let start = plus(&start, &times_generator(&missing));
        let forgery = Forgery { start: Some(pair(&start)), ..case.forgery() };
        assert_eq!(forgery.end(), pair(&plus(&LADDER_END, &case.commitment)));
        assert_eq!(only(&faults_of(&checker, &forgery.rows())), [(unbalanced(Bus::Ladder), 2)]);
    }
}

/// A ladder for another key: P at infinity makes every R = s G good.
#[test]
fn a_ladder_of_another_key_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..10 {
        let [victim, own] = [0; 2].map(|_| Case::random(&mut dice));
        let nonce = dice.scalar();
        let case = Case { commitment: times_generator(&nonce), scalar: nonce, ..victim };
        let mut rows = case.forgery().rows();
        for row in 0..ROWS {
            let bits: Vec<[F; 2]> =
                (0..BITS).map(|bit| [0, 1].map(|of| rows.row_mut(row)[LADDER_HEAD + bit * BIT_WIDTH + of])).collect();
            let before = match row {
                0 => None,
                _ => Some(rows.row_mut(row - 1)[LADDER_WIDTH - 14..].to_vec()),
            };
            let cells = rows.row_mut(row);
            if let Some(before) = before {
                cells[ladder_column::BEFORE..][..14].copy_from_slice(&before);
            }
            for (at, point) in [
                (ladder_column::OFFSET_KEY, pair(&LADDER_OFFSET)),
                (ladder_column::OFFSET_BOTH, pair(&plus(&LADDER_OFFSET, &GENERATOR))),
            ] {
                cells[at..][..7].copy_from_slice(&point[0].0);
                cells[at + 7..][..7].copy_from_slice(&point[1].0);
            }
            refill(cells, |bit| bits[bit]);
        }
        let end: Vec<F> = pair(&plus(&LADDER_END, &case.commitment)).iter().flat_map(|element| element.0).collect();
        assert_eq!(rows.row_mut(ROWS - 1)[LADDER_WIDTH - 14..], end, "the ladder ends where it should");
        // Both ends have other points than the row of the signature.
        assert_eq!(only(&faults_of(&checker, &rows)), [(unbalanced(Bus::Ladder), 4)]);
        // And the row of the signature computes them itself.
        for at in [0, 1] {
            let column = signature_column::SUMS + at * signature_column::SUM + 14;
            let point = rows.row_mut(0)[ladder_column::OFFSET_KEY + 14 * at..][..14].to_vec();
            rows.signature[column..][..14].copy_from_slice(&point);
        }
        assert_eq!(faults_of(&checker, &rows).keys().cloned().collect::<Vec<_>>(), [Fault::Constraint(SIGNATURE)]);
        // Nor does a valid signature of one's own help, whatever is put into its row.
        let mut rows = own.forgery().rows();
        rows.signature[signature_column::KEY..][..14]
            .copy_from_slice(&victim.forgery().rows().signature[signature_column::KEY..][..14]);
        assert!(!faults_of(&checker, &rows).is_empty());
    }
}

/// A ladder for another challenge: with e = 0 every R = s G is good.
#[test]
fn a_ladder_of_another_challenge_is_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    for _ in 0..10 {
        let nonce = dice.scalar();
        let case = Case { commitment: times_generator(&nonce), scalar: nonce, ..Case::random(&mut dice) };
        let honest = case.forgery();
        let mut forgery = honest.clone();
        forgery.hashes[3] = Digest::default();
        forgery.split_challenge();
        let mut rows = forgery.rows();
        // In every row alike, but for the hash everything is in order.
        assert_eq!(only(&faults_of(&checker, &rows)), [(Fault::Lookup(SIGNATURE, Bus::Poseidon2 as u16), 1)]);
        rows.signature[signature_column::HASHES + 24..][..8].copy_from_slice(&honest.hashes[3]);
        assert_eq!(only(&faults_of(&checker, &rows)), [(unbalanced(Bus::Ladder), 4)]);
    }
}

/// Rows of ladders left out, repeated, renumbered, or exchanged between signatures. (In what order they stand in their table says nothing.)
#[test]
fn rows_of_ladders_out_of_place_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let secret = dice.scalar();
    // Two signatures by one key, and one by another.
    let cases = [
        Case::signed(&secret, &dice.scalar(), dice.head()),
        Case::signed(&secret, &dice.scalar(), dice.head()),
        Case::random(&mut dice),
    ];
    let rows: Vec<Rows> = cases.iter().map(|case| case.forgery().rows()).collect();
    let claims: Vec<Claim> = rows.iter().map(Rows::claim).collect();
    let signatures: Vec<F> = rows.iter().flat_map(|rows| rows.signature.clone()).collect();
    let honest: Vec<Vec<F>> =
        rows.iter().flat_map(|rows| rows.ladder.chunks_exact(LADDER_WIDTH).map(<[F]>::to_vec)).collect();
    let check = |ladder: &[Vec<F>]| faults(&checker, &signatures, &ladder.concat(), &claims);
    assert_eq!(check(&honest), BTreeMap::new());
    let mut shuffled = honest.clone();
    shuffled.reverse();
    shuffled.swap(1, 9);
    assert_eq!(check(&shuffled), BTreeMap::new());

    let refused = |ladder: &[Vec<F>], what: &str| {
        let faults = check(ladder);
        assert_eq!(faults.keys().cloned().collect::<Vec<_>>(), [unbalanced(Bus::Ladder)], "{what}");
    };
    for row in 0..honest.len() {
        let mut skipped = honest.clone();
        let removed = skipped.remove(row);
        refused(&skipped, "skipped");
        for after in &mut skipped[row..(row / ROWS + 1) * ROWS - 1] {
            after[ladder_column::STEP] -= F::ONE;
        }
        refused(&skipped, "skipped and renumbered");
        let mut repeated = honest.clone();
        repeated.insert(row, removed);
        refused(&repeated, "repeated");
        for after in &mut repeated[row + 1..(row / ROWS + 1) * ROWS + 1] {
            after[ladder_column::STEP] += F::ONE;
        }
        refused(&repeated, "repeated and renumbered");
        for other in 0..row {
            let mut renumbered = honest.clone();
            renumbered[row][ladder_column::STEP] = honest[other][ladder_column::STEP];
            renumbered[other][ladder_column::STEP] = honest[row][ladder_column::STEP];
            if row % ROWS != other % ROWS {
                refused(&renumbered, "renumbered");
            }
            // The bits, the accumulators and the challenge change places, the number stays.
            let mut exchanged = honest.clone();
            exchanged.swap(row, other);
            let (low, high) = exchanged.split_at_mut(row);
            std::mem::swap(&mut low[other][ladder_column::STEP], &mut high[0][ladder_column::STEP]);
            if row % ROWS != other % ROWS {
                refused(&exchanged, "exchanged");
            }
        }
        // The ladder goes on from the middle of another one.
        let other = (row + ROWS) % honest.len();
        let mut crossed = honest.clone();
        let before = honest[other][ladder_column::BEFORE..][..14].to_vec();
        crossed[row][ladder_column::BEFORE..][..14].copy_from_slice(&before);
        let bits: Vec<[F; 2]> =
            (0..BITS).map(|bit| [0, 1].map(|of| honest[row][LADDER_HEAD + bit * BIT_WIDTH + of])).collect();
        refill(&mut crossed[row], |bit| bits[bit]);
        // (All first rows begin at one of two points.)
        if row % ROWS != 0 {
            refused(&crossed, "crossed");
        }
    }
    // Without its ladder, or with one twice.
    refused(&honest[ROWS..], "without a ladder");
    refused(&[&honest[..], &honest[..ROWS]].concat(), "a ladder twice");
    // A row of the signature that is active, but neither sends nor is asked for.
    let faults = faults(&checker, &signatures, &honest.concat(), &claims[1..]);
    assert_eq!(only(&faults), [(unbalanced(Bus::Signature), 1)]);
}

/// Two signatures of one challenge would be of one R: their ladders are the same rows. Of two others, no part can be exchanged, by columns or by groups of them.
#[test]
fn mixtures_of_a_valid_and_an_invalid_signature_are_refused() {
    let checker = checker();
    let mut dice = Dice::new();
    let groups: [std::ops::Range<usize>; 9] = [
        signature_column::KEY..signature_column::HEAD,
        signature_column::HEAD..signature_column::COMMITMENT,
        signature_column::COMMITMENT..signature_column::HASHES,
        signature_column::HASHES..signature_column::HASHES + 24,
        signature_column::HASHES + 24..signature_column::TOP,
        signature_column::TOP..signature_column::SUMS,
        signature_column::SUMS..signature_column::SUMS + signature_column::SUM,
        signature_column::SUMS + signature_column::SUM..signature_column::SUMS + 2 * signature_column::SUM,
        signature_column::SUMS + 2 * signature_column::SUM..signature_column::SUMS + 3 * signature_column::SUM,
    ];
    let ladder_groups = [
        ladder_column::BEFORE..ladder_column::OFFSET_KEY,
        ladder_column::OFFSET_KEY..ladder_column::CHALLENGE,
        ladder_column::CHALLENGE..ladder_column::TOP,
        ladder_column::TOP..LADDER_HEAD,
        LADDER_HEAD..LADDER_WIDTH,
    ];
    let mut mixed = 0;
    for round in 0..600 {
        let valid = Case::random(&mut dice);
        let other = Case::random(&mut dice);
        // The same key asked for another head; another key for the same; or both.
        let wanted = match round % 3 {
            0 => Case { head: other.head, ..valid },
            1 => Case { key: other.key, ..valid },
            _ => Case { head: other.head, key: other.key, ..valid },
        };
        let (good, bad) = (valid.forgery().rows(), wanted.forgery().rows());
        let mut rows = good.clone();
        for group in &groups {
            if dice.below(2) == 0 {
                rows.signature[group.clone()].copy_from_slice(&bad.signature[group.clone()]);
            }
        }
        // What a seal asks for is what is not signed.
        rows.signature[groups[0].clone()].copy_from_slice(&bad.signature[groups[0].clone()]);
        rows.signature[groups[1].clone()].copy_from_slice(&bad.signature[groups[1].clone()]);
        for row in 0..ROWS {
            for group in &ladder_groups {
                if dice.below(4) == 0 {
                    let cells = bad.ladder[row * LADDER_WIDTH..][group.clone()].to_vec();
                    rows.row_mut(row)[group.clone()].copy_from_slice(&cells);
                }
            }
        }
        let faults = faults_of(&checker, &rows);
        assert!(!faults.is_empty());
        mixed += 1;
    }
    println!("{mixed} mixtures");
}
