//! Lies that are told late, and honestly gone on with.
//!
//! A changed byte of a proof ends in the first check behind it: most often in a witness of work, or a Merkle path. What the last checks are for, only a prover shows who lies at one point and
//! then answers all challenges as they fall. Here are small keys (so that the contract verifies keys of other shapes, too), and such a prover: see [`liar`]. Both verifiers have to refuse each of
//! its proofs, and for the same reason.

mod evm;
mod liar;

use std::collections::BTreeMap;

use evm::{Chain, Verdict, check};
use holdfast_circuit::last::{KeccakProof, LastError, LastKey, LastPublic, encoding::encode, public::offset};
use holdfast_crypto::F;
use holdfast_exchange::machine::LIMB_BITS;
use liar::{Lie, Said, Shape, Small};
use openvm_stark_backend::{calculate_n_logup, p3_field::PrimeCharacteristicRing};

const SHAPES: [Shape; 5] = [
    Shape { name: "usual", l_skip: 2, n_stack: 4, log_blowup: 1, k: 2, queries: &[5, 3], work: [0; 4] },
    Shape { name: "no group", l_skip: 0, n_stack: 6, log_blowup: 2, k: 1, queries: &[4, 3, 2], work: [0; 4] },
    Shape { name: "work", l_skip: 3, n_stack: 4, log_blowup: 1, k: 2, queries: &[3, 2], work: [2, 3, 1, 4] },
    Shape { name: "a constant at the end", l_skip: 1, n_stack: 5, log_blowup: 3, k: 3, queries: &[3, 4], work: [0; 4] },
    Shape { name: "one round", l_skip: 2, n_stack: 3, log_blowup: 1, k: 4, queries: &[9], work: [0, 0, 1, 0] },
];

/// A key, the contract with it, and its name in messages.
struct Both {
    small: Small,
    chain: Chain,
    shape: &'static Shape,
}

/// What the contract says where the twin says this.
fn reason(error: &LastError) -> &'static str {
    let text = match error {
        LastError::Invalid(text) => text,
        LastError::Public(_) => return "TimeWrong",
        other => panic!("the proof is read: {other}"),
    };
    let reasons = [
        ("Invalid logup_pow_witness", "WitnessWrong"),
        ("Zero-check failed", "GkrRootNotZero"),
        ("Denominator consistency", "GkrRootDenominator"),
        ("Layer consistency", "GkrLayer"),
        ("GKR numerator", "NumeratorsWrong"),
        ("GKR denominator", "DenominatorsWrong"),
        ("`sum_claim` does not equal", "BatchSumWrong"),
        ("Claims are inconsistent", "ConstraintsWrong"),
        ("s_0 does not match", "StackingSumWrong"),
        ("s_n(u_n) does not match", "StackingClaimWrong"),
        ("proof-of-work witness", "WitnessWrong"),
        ("merkle verification", "MerklePathWrong"),
        ("final poly is not", "FinalPolynomialWrong"),
    ];
    let found = reasons.iter().find(|(says, _)| text.contains(says));
    found.map_or_else(|| panic!("another error: {text}"), |(_, reason)| reason)
}

impl Both {
    fn new(shape: &'static Shape) -> Self {
        let small = Small::new(shape);
        let chain = Chain::deploy(&small.key);
        Self { small, chain, shape }
    }

    fn key(&self) -> &LastKey {
        &self.small.key
    }

    /// The one verdict of both verifiers, by the contract's name for it, with its arguments.
    fn verdict(&mut self, bytes: &[u8], what: &str) -> String {
        let what = format!("{}, {what}", self.shape.name);
        let verdict = check(&self.small.key, &mut self.chain, bytes, &what);
        if let Err(error) = self.key().verify(bytes) {
            assert_eq!(verdict.split(' ').next(), Some(reason(&error)), "{what}: {error}");
        }
        verdict
    }

    fn encoded(&self, proof: &KeccakProof) -> Vec<u8> {
        encode(self.key(), proof).expect("it has the key's shape")
    }
}

/// The contract is for keys of any shape, and the prover of these tests, if it does not lie, is the backend's.
#[test]
fn honest_proofs_of_small_keys_are_valid() {
    for shape in &SHAPES {
        let mut both = Both::new(shape);
        let proof = both.small.prove(Lie::Nothing).0;
        // Any witness of work may be found first.
        if shape.work == [0; 4] {
            assert_eq!(proof, both.small.prove_plainly(), "{}", shape.name);
        }
        let bytes = both.encoded(&proof);
        assert_eq!(both.verdict(&bytes, "honest"), "valid");
        let Verdict::Valid { gas, .. } = both.chain.verify(&bytes) else { panic!("it is valid") };
        println!("{}: {} bytes, {} gas", shape.name, bytes.len(), gas.total);
    }
}

/// Nothing but the queries, and the claims that they add, shows that a polynomial is not the one before, folded; nothing but the claim shows that the columns are not those that were proven.
#[test]
fn openings_of_something_else_are_refused_by_the_last_check() {
    for shape in &SHAPES {
        let mut both = Both::new(shape);
        let folded = |round: usize| shape.l_skip + shape.n_stack - shape.k * (round + 1);
        // A polynomial with fewer coefficients than three has no room for this lie.
        let bent = (0..shape.queries.len()).filter(|&round| folded(round) >= 2).map(Some);
        let mut lies: Vec<Lie> =
            bent.flat_map(|bent| [false, true].map(|columns| Lie::Opening { columns, bent })).collect();
        lies.push(Lie::Opening { columns: true, bent: None });
        for lie in lies {
            let bytes = both.encoded(&both.small.prove(lie).0);
            assert_eq!(both.verdict(&bytes, &format!("{lie:?}")), "FinalPolynomialWrong");
        }
    }
}

/// By the part of the proof that a value is in, the checks that it may fail.
fn checks(both: &Both) -> Vec<(&'static str, usize, &'static [&'static str])> {
    let Shape { l_skip, n_stack, k, queries, .. } = *both.shape;
    let inner = &both.key().key.inner;
    let interactions = inner
        .per_air
        .iter()
        .zip(&both.key().log_heights)
        .map(|(air, &log_height)| (air.num_interactions() as u64) << log_height.max(l_skip))
        .sum();
    let layers = l_skip + calculate_n_logup(l_skip, interactions);
    let domain = (1 << l_skip) - 1;
    let degree = inner.params.max_constraint_degree + 1;
    let n_max = both.key().log_heights.iter().max().expect("it has tables").saturating_sub(l_skip);
    let columns: usize = inner.per_air.iter().map(|air| air.params.width.total_width()).sum();
    let stacked: usize = both.key().layouts().iter().map(|layout| layout.width()).sum();
    let rounds = queries.len();
    let mut parts: Vec<(_, _, &[_])> = vec![
        ("root", 1, &["GkrRootDenominator"]),
        ("first layer", 4, &["GkrRootNotZero", "GkrRootDenominator"]),
        ("layers", 4 * (layers - 1) + 3 * layers * (layers - 1) / 2, &["GkrLayer"]),
        ("numerators and denominators", 2 * inner.per_air.len(), &["NumeratorsWrong", "DenominatorsWrong"]),
        ("constraints, univariate", degree * domain + 1, &["BatchSumWrong", "ConstraintsWrong"]),
        ("constraints, rounds", degree * n_max, &["ConstraintsWrong"]),
        // Not every column's next row is in a constraint.
        ("openings", 2 * columns, &["ConstraintsWrong", "StackingSumWrong"]),
        ("stacking, univariate", 2 * domain + 1, &["StackingSumWrong", "StackingClaimWrong"]),
        ("stacking, rounds", 2 * n_stack, &["StackingClaimWrong"]),
        ("stacked openings", stacked, &["StackingClaimWrong"]),
    ];
    for round in 0..rounds {
        parts.push(("folding", 2 * k, &["FinalPolynomialWrong"]));
        if round + 1 < rounds {
            parts.push(("commitment", 1, &["MerklePathWrong"]));
            parts.push(("value outside of the domain", 1, &["FinalPolynomialWrong"]));
        } else {
            parts.push(("final polynomial", 1 << (l_skip + n_stack - k * rounds), &["FinalPolynomialWrong"]));
        }
    }
    parts
}

/// Every value that the prover sends, changed alone, and everything behind it honest.
#[test]
fn every_value_counts() {
    for shape in &SHAPES {
        let mut both = Both::new(shape);
        let said = both.small.prove(Lie::Nothing).1.said;
        let parts = checks(&both);
        assert_eq!(parts.iter().map(|(_, count, _)| count).sum::<usize>(), said.len(), "{}", shape.name);
        let parts = parts.iter().flat_map(|&(part, count, errors)| std::iter::repeat_n((part, errors), count));
        let mut verdicts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for (index, (part, errors)) in parts.enumerate() {
            // Claims of the next row, of tables that do not look at it, are absorbed as zeros and are not in the proof.
            if part == "openings" && said[index] == Said::Element(PrimeCharacteristicRing::ZERO) {
                *verdicts.entry((part, "not in the proof".into())).or_default() += 1;
                continue;
            }
            let (proof, liar) = both.small.prove(Lie::Heard(index));
            let mut bytes = both.encoded(&proof);
            let (old, new) = (liar.said[index].bytes(), liar.heard.expect("it was heard").bytes());
            let places: Vec<usize> =
                bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old).map(|(at, _)| at).collect();
            let [at] = places[..] else { panic!("{}: value {index} ({part}) is at {places:?}", shape.name) };
            bytes[at..at + new.len()].copy_from_slice(&new);
            let verdict = both.verdict(&bytes, &format!("value {index} ({part})"));
            let name = verdict.split(' ').next().unwrap_or_default().to_owned();
            assert!(errors.contains(&name.as_str()), "{}: value {index} ({part}): {verdict}", shape.name);
            *verdicts.entry((part, name)).or_default() += 1;
        }
        println!("{}: {verdicts:?}", shape.name);
    }
}

/// Every challenge, of which the prover got another than the verifiers draw.
#[test]
fn every_challenge_counts() {
    for shape in &SHAPES {
        let mut both = Both::new(shape);
        let challenges = both.small.prove(Lie::Nothing).1.challenges;
        let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
        for index in 0..challenges {
            let bytes = both.encoded(&both.small.prove(Lie::Told(index)).0);
            let verdict = both.verdict(&bytes, &format!("challenge {index}"));
            *verdicts.entry(verdict).or_default() += 1;
        }
        // The last γ is for the verifiers alone, and so are the points of two polynomials on a group of one element, which are constants.
        let idle = if shape.l_skip == 0 { 3 } else { 1 };
        assert_eq!(verdicts["valid"], idle, "{}: {verdicts:#?}", shape.name);
        println!("{}: {verdicts:?}", shape.name);
    }
}

/// Every witness of work, in a proof that is right but for this one.
#[test]
fn every_witness_counts() {
    for shape in &SHAPES {
        let [logup, mu, folding, queries] = shape.work.map(|bits| usize::from(bits > 0));
        let rounds = shape.queries.len();
        let mut both = Both::new(shape);
        let witnesses = both.small.prove(Lie::Nothing).1.witnesses;
        assert_eq!(witnesses, logup + mu + rounds * (shape.k * folding + queries), "{}", shape.name);
        for index in 0..witnesses {
            let bytes = both.encoded(&both.small.prove(Lie::Idle(index)).0);
            assert_eq!(both.verdict(&bytes, &format!("witness {index}")), "WitnessWrong");
        }
    }
}

/// Every public value, of which the proof says another than was proven.
#[test]
fn every_public_value_counts() {
    let mut both = Both::new(&SHAPES[0]);
    for index in 0..LastPublic::CELLS {
        let bytes = both.encoded(&both.small.prove(Lie::Public(index)).0);
        let verdict = both.verdict(&bytes, &format!("public value {index}"));
        assert_ne!(verdict, "valid", "public value {index}");
    }
}

/// The last proof's own table has limbs of times in range; the contract checks them nevertheless.
#[test]
fn times_with_large_limbs_are_refused() {
    let mut both = Both::new(&SHAPES[0]);
    for limb in 0..6 {
        let cell = offset::TIME_START + limb;
        let bytes = both.encoded(&both.small.prove(Lie::Time(cell)).0);
        assert_eq!(both.verdict(&bytes, "a time"), format!("TimeWrong {{ cell: {cell}, got: {} }}", 1 << LIMB_BITS));
    }
}

/// Every answer to a query: its cells and each digest of its path.
#[test]
fn every_answer_counts() {
    for shape in &SHAPES {
        let mut both = Both::new(shape);
        let honest = both.small.prove(Lie::Nothing).0;
        let mut refused = |round: usize, query: usize, change: &dyn Fn(&mut KeccakProof)| {
            let mut proof = honest.clone();
            change(&mut proof);
            let bytes = both.encoded(&proof);
            let verdict = both.verdict(&bytes, &format!("round {round}, query {query}"));
            assert_eq!(verdict, format!("MerklePathWrong {{ round: {round}, query: {query} }}"), "{}", shape.name);
        };
        let commitments = honest.whir_proof.initial_round_opened_rows.len();
        for (round, &queries) in shape.queries.iter().enumerate() {
            for query in 0..queries {
                for row in 0..1 << shape.k {
                    if round > 0 {
                        refused(round, query, &|proof| {
                            proof.whir_proof.codeword_opened_values[round - 1][query][row] += F::ONE;
                        });
                        continue;
                    }
                    for commitment in 0..commitments {
                        refused(round, query, &|proof| {
                            let cells = &mut proof.whir_proof.initial_round_opened_rows[commitment][query][row];
                            let last = cells.len() - 1;
                            cells[last] += F::ONE;
                        });
                    }
                }
                let depth = shape.l_skip + shape.n_stack + shape.log_blowup - shape.k - round;
                for level in 0..depth {
                    if round > 0 {
                        refused(round, query, &|proof| {
                            proof.whir_proof.codeword_merkle_proofs[round - 1][query][level][31] ^= 1;
                        });
                        continue;
                    }
                    for commitment in 0..commitments {
                        refused(round, query, &|proof| {
                            proof.whir_proof.initial_round_merkle_proofs[commitment][query][level][31] ^= 1;
                        });
                    }
                }
            }
        }
    }
}
