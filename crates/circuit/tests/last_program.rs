//! The constraint program, as the contract executes it, against the constraints.
//!
//! A valid proof is a weak test of the program: at its openings many constraints vanish whatever they are compiled to (those that bind the public values, in a table of one row, all do).
//! So `contracts/test/harness` has a contract that *is* the verifier, with its code for loading key data, public values, constants and openings, and for running programs, but that
//! runs them at any point and returns what they come to. Here are the constraints evaluated plainly, node by node, at the same points: random ones, and those at which the numbers in
//! the contract's words are as large as they can get. What a program does not need to be right (padding) is listed, word for word, by changing them.
//!
//! `HOLDFAST_MUTATIONS=1` changes every word of all programs, not only some.

mod evm;

use std::{array, collections::BTreeMap, env, ops::Range};

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use evm::Chain;
use holdfast_circuit::last::{
    LastKey,
    export::{PIECE_BYTES_MAX, export},
    keccak::EF,
};
use holdfast_crypto::{
    F,
    field::{PRIME, cell_to_canonical},
};
use openvm_stark_backend::{
    air_builders::symbolic::{SymbolicConstraintsDag, SymbolicExpressionNode, symbolic_variable::Entry},
    p3_field::{BasedVectorSpace, PrimeCharacteristicRing},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

sol! {
    struct Point {
        uint256 isFirst;
        uint256 isLast;
        uint256 isTransition;
        uint256 norm;
        uint256 lambda;
        uint256 mu;
        uint256 beta;
    }

    function evaluate(bytes calldata proof, Point calldata point, uint256 first, uint256 end) external view
        returns (uint256[] memory values);
}

const HARNESS: &str = "test/artifacts/ConstraintsHarness.json";
/// Enough for all programs, several times.
const GAS: u64 = 30_000_000;
/// Lanes of selectors are below 3.55 p (`BOUND_SELECTOR` of the exporter).
const SELECTOR_LANE_MAX: u64 = (355 * PRIME as u64 - 1) / 100;
/// The words of the key data's head that say where the constants and the programs are: see `contracts/src/Key.sol`.
const CONSTANTS_COUNT: usize = 8;
const CONSTANTS_AT: usize = 23;
const PROGRAM_AT: usize = 27;
/// Words of 32 bytes that are always zero, and that are never read but by instructions that pad.
const ZERO_WORD: u16 = 3;
const PADDING_WORD: u16 = 0;
/// Numbers of a table's program that are changed, and how many constants there are for one that is.
const SAMPLE_OF_TABLE: usize = 12;
const CONSTANTS_STEP: usize = 8;

/// Coefficients of an element of the extension that need not be reduced.
type Lanes = [u64; 4];

/// What everything is evaluated at.
#[derive(Clone)]
struct At {
    /// Of each table.
    public: Vec<Vec<F>>,
    /// Of each table, part (the common one first, then the preprocessed and the cached ones) and column: the opening in this row, and in the next.
    openings: Vec<Vec<Vec<[EF; 2]>>>,
    /// Whether the row is the first, the last, or any but the last: three unrelated elements here.
    selectors: [Lanes; 3],
    norm: F,
    lambda: EF,
    mu: EF,
    beta: EF,
}

fn element(mut lane: impl FnMut() -> u64) -> EF {
    EF::new(array::from_fn(|_| F::from_u64(lane() % u64::from(PRIME))))
}

impl At {
    /// A point whose coefficients `lane` makes; it is told the greatest that each may be.
    fn new(key: &LastKey, mut lane: impl FnMut(u64) -> u64) -> Self {
        let most = u64::from(PRIME) - 1;
        let airs = &key.key.inner.per_air;
        let public = airs
            .iter()
            .map(|air| (0..air.params.num_public_values).map(|_| F::from_u64(lane(most))).collect())
            .collect();
        let openings = airs
            .iter()
            .map(|air| {
                let width = &air.params.width;
                let parts = [width.common_main].into_iter().chain(width.preprocessed).chain(width.cached_mains.clone());
                let mut column = || {
                    let next = if air.params.need_rot { element(|| lane(most)) } else { EF::ZERO };
                    [element(|| lane(most)), next]
                };
                parts.map(|columns| (0..columns).map(|_| column()).collect()).collect()
            })
            .collect();
        let selectors = array::from_fn(|_| array::from_fn(|_| lane(SELECTOR_LANE_MAX)));
        let norm = F::from_u64(lane(most));
        let [lambda, mu, beta] = array::from_fn(|_| element(|| lane(most)));
        Self { public, openings, selectors, norm, lambda, mu, beta }
    }

    fn random(key: &LastKey, random: &mut ChaCha8Rng) -> Self {
        Self::new(key, |most| random.next_u64() % (most + 1))
    }

    /// The beginning of a proof with these public values and openings, as the contract reads them.
    fn proof(&self, key: &LastKey) -> Vec<u8> {
        let inner = &key.key.inner;
        let mut bytes = vec![0; 32];
        let mut write =
            |cells: &[F]| bytes.extend(cells.iter().flat_map(|&cell| cell_to_canonical(cell).to_be_bytes()));
        self.public.iter().for_each(|cells| write(cells));
        if inner.params.logup.pow_bits > 0 {
            write(&[F::ZERO]);
        }
        let mut write_part = |table: usize, part: &[[EF; 2]]| {
            let rows = if inner.per_air[table].params.need_rot { 2 } else { 1 };
            part.iter()
                .flat_map(|column| &column[..rows])
                .for_each(|opening| write(opening.as_basis_coefficients_slice()));
        };
        let sorted = key.sorted();
        sorted.iter().for_each(|&table| write_part(table, &self.openings[table][0]));
        for &table in &sorted {
            self.openings[table][1..].iter().for_each(|part| write_part(table, part));
        }
        bytes
    }

    /// What a table's constraints come to, by λ, and each of its interactions: `norm`·multiplicity + μ·denominator.
    fn evaluate(&self, key: &LastKey, table: usize) -> Vec<EF> {
        let air = &key.key.inner.per_air[table];
        let SymbolicConstraintsDag { constraints, interactions } = &air.symbolic_constraints;
        let cached = air.params.width.cached_mains.len();
        let selector = |lanes: Lanes| EF::new(lanes.map(F::from_u64));
        let mut values: Vec<EF> = Vec::with_capacity(constraints.nodes.len());
        for node in &constraints.nodes {
            values.push(match node {
                SymbolicExpressionNode::Variable(variable) => match variable.entry {
                    Entry::Public => self.public[table][variable.index].into(),
                    Entry::Preprocessed { offset } => self.openings[table][1][variable.index][offset],
                    Entry::Main { part_index, offset } if part_index == cached => {
                        self.openings[table][0][variable.index][offset]
                    }
                    Entry::Main { part_index, offset } => {
                        let first = self.openings[table].len() - cached;
                        self.openings[table][first + part_index][variable.index][offset]
                    }
                    Entry::Challenge => panic!("there are no challenges"),
                },
                SymbolicExpressionNode::IsFirstRow => selector(self.selectors[0]),
                SymbolicExpressionNode::IsLastRow => selector(self.selectors[1]),
                SymbolicExpressionNode::IsTransition => selector(self.selectors[2]),
                SymbolicExpressionNode::Constant(value) => (*value).into(),
                SymbolicExpressionNode::Add { left_idx, right_idx, .. } => values[*left_idx] + values[*right_idx],
                SymbolicExpressionNode::Sub { left_idx, right_idx, .. } => values[*left_idx] - values[*right_idx],
                SymbolicExpressionNode::Neg { idx, .. } => -values[*idx],
                SymbolicExpressionNode::Mul { left_idx, right_idx, .. } => values[*left_idx] * values[*right_idx],
            });
        }
        let fold = |elements: &mut dyn Iterator<Item = EF>, by: EF| {
            let mut power = EF::ONE;
            elements.fold(EF::ZERO, |sum, element| {
                let term = element * power;
                power *= by;
                sum + term
            })
        };
        let constraints = fold(&mut constraints.constraint_idx.iter().map(|&index| values[index]), self.lambda);
        let interactions = interactions.iter().map(|interaction| {
            let bus = EF::from_u16(interaction.bus_index) + EF::ONE;
            let mut message = interaction.message.iter().map(|&index| values[index]).chain([bus]);
            values[interaction.count] * self.norm + self.mu * fold(&mut message, self.beta)
        });
        [constraints].into_iter().chain(interactions).collect()
    }
}

fn word(lanes: &Lanes) -> U256 {
    U256::from_limbs(*lanes)
}

fn ext_word(value: EF) -> U256 {
    let coefficients = value.as_basis_coefficients_slice();
    word(&array::from_fn(|i| u64::from(cell_to_canonical(coefficients[i]))))
}

/// The key data as the contract has them.
struct Harness {
    key: LastKey,
    data: Vec<u8>,
    chain: Chain,
}

/// What the contract says of a table: its values, and where its program ends in the key data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    values: Vec<U256>,
    end: U256,
}

impl Harness {
    fn new(key: LastKey) -> Self {
        let data = export(&key).expect("the key is one for the contracts").data;
        let pieces: Vec<Vec<u8>> = data.chunks(PIECE_BYTES_MAX).map(<[u8]>::to_vec).collect();
        let commitment: B256 = alloy_primitives::keccak256(&data);
        let chain = Chain::deploy_contract(HARNESS, &pieces, commitment).expect("the harness deploys");
        Self { key, data, chain }
    }

    /// Evaluates tables, by their place in the proof's order. An error is what the call ended in.
    fn evaluate(&mut self, at: &At, proof: &[u8], tables: Range<usize>) -> Result<Vec<Outcome>, String> {
        let [is_first, is_last, is_transition] = at.selectors;
        let call = evaluateCall {
            proof: Bytes::copy_from_slice(proof),
            point: Point {
                isFirst: word(&is_first),
                isLast: word(&is_last),
                isTransition: word(&is_transition),
                norm: U256::from(cell_to_canonical(at.norm)),
                lambda: ext_word(at.lambda),
                mu: ext_word(at.mu),
                beta: ext_word(at.beta),
            },
            first: U256::from(tables.start),
            end: U256::from(tables.end),
        };
        let output = self.chain.query(call.abi_encode().into(), GAS)?;
        let words = evaluateCall::abi_decode_returns(&output).map_err(|error| error.to_string())?;
        let mut words = words.into_iter();
        let sorted = self.key.sorted();
        Ok(sorted[tables]
            .iter()
            .map(|&table| {
                let interactions = self.key.key.inner.per_air[table].num_interactions();
                let values = words.by_ref().take(1 + interactions).collect();
                Outcome { values, end: words.next().expect("each table has an end") }
            })
            .collect())
    }

    /// A number of the key data's head.
    fn head(&self, index: usize) -> usize {
        let bytes = self.data[32 * index + 24..32 * index + 32].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes) as usize
    }

    /// Writes two bytes of the key data.
    fn set(&mut self, at: usize, value: u16) {
        self.data[at..at + 2].copy_from_slice(&value.to_be_bytes());
        for piece in at / PIECE_BYTES_MAX..=(at + 1) / PIECE_BYTES_MAX {
            let start = PIECE_BYTES_MAX * piece;
            let end = self.data.len().min(start + PIECE_BYTES_MAX);
            self.chain.replace_piece(piece, &self.data[start..end]);
        }
    }

    fn get(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.data[at], self.data[at + 1]])
    }
}

const SEED: u64 = 0x7072_6f67;

/// All programs at all kinds of points.
#[test]
fn programs_come_to_what_the_constraints_say_at_any_point() {
    let mut harness = Harness::new(LastKey::bundled().clone());
    let key = harness.key.clone();
    let sorted = key.sorted();
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut points = vec![
        ("all as large as can be", At::new(&key, |most| most)),
        ("all zero", At::new(&key, |_| 0)),
        ("each as large as can be, or zero", At::new(&key, |most| most * (random.next_u64() & 1))),
        ("each as large as can be, or random", {
            At::new(&key, |most| if random.next_u64() & 1 == 0 { most } else { random.next_u64() % (most + 1) })
        }),
    ];
    let mut large = At::random(&key, &mut random);
    large.selectors = [[SELECTOR_LANE_MAX; 4]; 3];
    points.push(("random, and selectors as large as can be", large));
    points.extend((0..3).map(|_| ("random", At::random(&key, &mut random))));
    let (mut constraints, mut interactions) = (0, 0);
    for (name, at) in &points {
        let outcomes =
            harness.evaluate(at, &at.proof(&key), 0..sorted.len()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut starts = harness.head(PROGRAM_AT);
        for (&table, outcome) in sorted.iter().zip(&outcomes) {
            let expected = at.evaluate(&key, table);
            let air = &key.key.inner.per_air[table];
            assert_eq!(outcome.values[0], ext_word(expected[0]), "{name}: constraints of table {table}");
            for (index, (got, &expected)) in outcome.values.iter().zip(&expected).enumerate().skip(1) {
                assert_eq!(*got, ext_word(expected), "{name}: interaction {} of table {table}", index - 1);
            }
            assert_eq!(outcome.values.len(), expected.len());
            constraints += air.symbolic_constraints.constraints.num_constraints();
            interactions += expected.len() - 1;
            let end = outcome.end.to::<usize>();
            assert!(end > starts, "programs lie one behind the other");
            starts = end;
        }
        assert_eq!(starts, harness.data.len(), "there is nothing behind the last program");
    }
    let points = points.len();
    println!(
        "{points} points, {} constraints and {} interactions at each",
        constraints / points,
        interactions / points
    );
}

/// The table that says what the proof says has a constraint for each of the public values, and they are all in its fold.
#[test]
fn every_public_value_is_in_a_constraint() {
    let mut harness = Harness::new(LastKey::bundled().clone());
    let key = harness.key.clone();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let at = At::random(&key, &mut random);
    let sorted = key.sorted();
    let mut seen = 0;
    for (place, &table) in sorted.iter().enumerate() {
        let mut fold = |at: &At| harness.evaluate(at, &at.proof(&key), place..place + 1).expect("it runs")[0].values[0];
        let before = fold(&at);
        for value in 0..at.public[table].len() {
            let mut changed = at.clone();
            changed.public[table][value] += F::ONE;
            assert_ne!(fold(&changed), before, "public value {value} of table {table}");
            seen += 1;
        }
    }
    assert_eq!(seen, holdfast_circuit::last::LastPublic::CELLS);
}

/// A constraint with another coefficient is another program.
#[test]
fn a_changed_coefficient_changes_what_a_program_comes_to() {
    let key = LastKey::bundled();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let at = At::random(key, &mut random);
    let proof = at.proof(key);
    let mut changed_tables = 0;
    for (place, &table) in key.sorted().iter().enumerate() {
        let mut changed = key.clone();
        let nodes = &mut changed.key.inner.per_air[table].symbolic_constraints.constraints.nodes;
        let Some(constant) = nodes.iter_mut().find_map(|node| match node {
            SymbolicExpressionNode::Constant(value) => Some(value),
            _ => None,
        }) else {
            continue;
        };
        *constant += F::ONE;
        let (before, after) = (at.evaluate(key, table), at.evaluate(&changed, table));
        assert_ne!(before, after, "table {table}");
        let got = Harness::new(changed).evaluate(&at, &proof, place..place + 1).expect("it runs");
        assert_eq!(got[0].values, after.into_iter().map(ext_word).collect::<Vec<_>>(), "table {table}");
        changed_tables += 1;
    }
    assert!(changed_tables > 20, "{changed_tables} tables have constants");
}

/// What two bytes of a program are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A kind, in the upper byte.
    Kind,
    /// A length, numbers of products, a number of elements.
    Shape,
    Operand,
    /// The place of a power of λ.
    Power,
    /// A word that pads a list, which is zero; another would not be.
    Zero,
    /// An instruction that pads a batch of eight: nobody reads its result.
    PaddingInstruction,
    /// The second operand of an instruction that has one.
    SecondOfReduce,
    /// The power of λ that a zero in a list is multiplied by.
    PowerOfZero,
    /// The length of the batch of no instructions that ends a program.
    LengthOfEnd,
    /// The factor of the group of no constraints that ends a list.
    FactorOfNone,
}

impl Part {
    /// The bits that are changed: the second one if the first makes no difference, since two words may hold the same (a·b and (−a)·(−b) somewhere do).
    fn changes(self) -> [u16; 2] {
        if self == Self::Kind { [1 << 8, 1 << 9] } else { [1, 2] }
    }

    /// Whether it makes no difference.
    fn idle(self) -> bool {
        matches!(
            self,
            Self::LengthOfEnd
                | Self::PaddingInstruction
                | Self::SecondOfReduce
                | Self::PowerOfZero
                | Self::FactorOfNone
        )
    }
}

/// Reads a program two bytes at a time, and notes what they are.
struct Walk<'a> {
    data: &'a [u8],
    here: usize,
    parts: Vec<(usize, Part)>,
}

impl Walk<'_> {
    /// The number that is so many numbers ahead.
    fn peek(&self, ahead: usize) -> u16 {
        let at = self.here + 2 * ahead;
        u16::from_be_bytes([self.data[at], self.data[at + 1]])
    }

    fn take(&mut self, part: Part) -> u16 {
        let value = self.peek(0);
        self.parts.push((self.here, part));
        self.here += 2;
        value
    }

    /// A batch of instructions of one kind, up to where it ends.
    fn batch(&mut self, kind: u16, end: usize) {
        while self.here < end {
            match kind {
                1 | 2 => {
                    let padding = self.peek(0) == PADDING_WORD && self.peek(1) == PADDING_WORD;
                    let part = if padding { Part::PaddingInstruction } else { Part::Operand };
                    self.take(part);
                    self.take(part);
                }
                3 | 4 => {
                    self.take(Part::Operand);
                    self.take(Part::Operand);
                }
                5 => {
                    self.take(Part::Operand);
                    self.take(Part::SecondOfReduce);
                }
                6 => {
                    let [subtracted, added] = self.take(Part::Shape).to_be_bytes();
                    self.take(Part::Operand);
                    for _ in 0..2 * (u16::from(subtracted) + u16::from(added)) {
                        self.take(Part::Operand);
                    }
                }
                other => panic!("there is no kind {other}"),
            }
        }
        assert_eq!(self.here, end, "instructions end where their batch does");
    }

    /// A table's program and lists.
    fn program(&mut self, interactions: usize) {
        loop {
            let high = self.take(Part::Kind);
            let low = self.take(if high == 0 { Part::LengthOfEnd } else { Part::Shape });
            let (kind, length) = (high >> 8, usize::from(high & 0xff) << 16 | usize::from(low));
            if kind == 0 {
                break;
            }
            self.batch(kind, self.here + length);
        }
        let element = |word: u16| if word == ZERO_WORD { Part::Zero } else { Part::Operand };
        loop {
            let elements = self.take(Part::Shape);
            // The factor; none, if the list ends.
            self.take(if elements == 0 { Part::FactorOfNone } else { Part::Operand });
            if elements == 0 {
                break;
            }
            for _ in 0..elements {
                let part = element(self.peek(0));
                self.take(part);
                self.take(if part == Part::Zero { Part::PowerOfZero } else { Part::Power });
            }
        }
        for _ in 0..interactions {
            for _ in 0..self.take(Part::Shape) {
                self.take(element(self.peek(0)));
            }
        }
    }
}

/// Changes numbers of programs one at a time: what tables come to changes with each, but for those that make no difference.
#[test]
fn a_changed_number_changes_what_a_program_comes_to() {
    let mut harness = Harness::new(LastKey::bundled().clone());
    let key = harness.key.clone();
    let sorted = key.sorted();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let at = At::random(&key, &mut random);
    let proof = at.proof(&key);
    let before = harness.evaluate(&at, &proof, 0..sorted.len()).expect("the programs run");
    let all = env::var_os("HOLDFAST_MUTATIONS").is_some();
    let mut start = harness.head(PROGRAM_AT);
    let mut unexpected = Vec::new();
    let mut survivors: BTreeMap<Part, [usize; 2]> = BTreeMap::new();
    for (place, &table) in sorted.iter().enumerate() {
        let end = before[place].end.to::<usize>();
        let mut walk = Walk { data: &harness.data, here: start, parts: Vec::new() };
        walk.program(key.key.inner.per_air[table].num_interactions());
        assert_eq!(walk.here, end, "the contract read as much of table {table}'s program");
        let mut parts = walk.parts;
        if !all {
            // The lists are shuffled as far as they are used.
            let sample = parts.len().min(SAMPLE_OF_TABLE);
            for i in 0..sample {
                let other = i + random.next_u64() as usize % (parts.len() - i);
                parts.swap(i, other);
            }
            parts.truncate(sample);
        }
        for (here, part) in parts {
            let number = harness.get(here);
            let same = part.changes().iter().all(|change| {
                harness.set(here, number ^ change);
                let after = harness.evaluate(&at, &proof, place..place + 1);
                after.is_ok_and(|after| after[0] == before[place])
            });
            harness.set(here, number);
            let counts = survivors.entry(part).or_default();
            counts[0] += usize::from(same);
            counts[1] += 1;
            if same != part.idle() {
                unexpected.push(format!("table {table}, number {number} at {here}: {part:?}"));
            }
        }
        start = end;
    }
    println!("survivors, and changes, by part: {survivors:?}");
    assert!(unexpected.is_empty(), "{} changes: {unexpected:#?}", unexpected.len());

    // Constants are common to all programs.
    let constants = harness.head(CONSTANTS_AT);
    let count = harness.head(CONSTANTS_COUNT);
    for constant in (0..count).filter(|constant| all || constant % CONSTANTS_STEP == 0) {
        let low = constants + 4 * constant + 2;
        let number = harness.get(low);
        harness.set(low, number ^ 1);
        let after = harness.evaluate(&at, &proof, 0..sorted.len()).expect("the programs run");
        harness.set(low, number);
        assert_ne!(after, before, "constant {constant}");
    }
    assert_eq!(harness.evaluate(&at, &proof, 0..sorted.len()).expect("the programs run"), before);
    println!("{count} constants");
}
