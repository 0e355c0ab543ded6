//! The key as Ethereum's verifier reads it: one byte string, cut into pieces that become the code of data contracts.
//!
//! It has a head of words (`Key` in `contracts/src/Key.sol`, which says what each of them is), what the transcript absorbs first, the constraints' constants, a record for each
//! table, and the constraint program of `contracts/src/Constraints.sol`. The verifier binds it by its Keccak-256 hash.
//!
//! The program computes with elements of the extension whose coefficients are not reduced until they have to be. How large each of them can get is known here, so that it is
//! here where reductions are put in: see [`Bound`].

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::keccak256;
use holdfast_crypto::{F, field::cell_to_canonical};
use openvm_stark_backend::{
    air_builders::symbolic::{
        SymbolicConstraintsDag, SymbolicExpressionNode,
        symbolic_variable::{Entry, SymbolicVariable},
    },
    calculate_n_logup,
};

use super::{LastKey, encoding};

/// Bytes of key data in a piece: the code of a contract may have 24,576 bytes, the first of which is a STOP.
pub const PIECE_BYTES_MAX: usize = 24_575;
/// Pieces that the verifier takes.
pub const PIECES_MAX: usize = 6;

/// Where the frame begins in the verifier's memory, and where its vectors for WHIR end: `FRAME` and `SCRATCH` of the contracts, and room for what is absorbed.
const FRAME: usize = 0xa000;
const WHIR_END: usize = 0x1c000;
/// Words of `Key`.
const HEAD_WORDS: usize = 31;
/// Where the powers of λ are in the verifier's memory (two words each), and how many there is room for: `POWERS_LAMBDA`.
const POWERS_LAMBDA: usize = 0x5000;
const CONSTRAINTS_MAX: usize = (FRAME - POWERS_LAMBDA) / 64;
/// Elements in the contracts' vectors of challenges.
const VECTOR_ELEMENTS: usize = 64;
/// What the contracts have room for: base-2 logarithm of the values that are folded into one, queries of a round, rounds, queries of all rounds, cells that a query opens in one
/// tree, coefficients of the final polynomial.
const WHIR_FOLD_MAX: usize = 5;
const WHIR_QUERIES_MAX: usize = 128;
const WHIR_ROUNDS_MAX: usize = 8;
const WHIR_POINTS_MAX: usize = 512;
const WHIR_CELLS_MAX: usize = 2_000;
const WHIR_FINAL_MAX: usize = 256;
/// Commitments for which they have room: of the common columns, and of parts of tables.
const COMMITMENTS_MAX: usize = 16;
/// The degree up to which the contracts interpolate.
const DEGREE_MAX: usize = 7;

/// Key data for the verifier contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The key data.
    pub data: Vec<u8>,
    /// Keccak-256 of the key data.
    pub commitment: [u8; 32],
}

impl Export {
    /// The key data in pieces, none of them empty, of at most [`PIECE_BYTES_MAX`] bytes.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks(PIECE_BYTES_MAX)
    }

    /// The init code of the contracts that hold the pieces.
    pub fn data_contracts(&self) -> Vec<Vec<u8>> {
        self.pieces().map(data_contract).collect()
    }
}

/// The init code of a contract whose code is a STOP byte and the piece.
pub fn data_contract(piece: &[u8]) -> Vec<u8> {
    let length = (piece.len() + 1) as u32;
    // PUSH4 length, DUP1, PUSH1 12, RETURNDATASIZE (0), CODECOPY, RETURNDATASIZE, RETURN: copies what follows these 12 bytes.
    let mut code = vec![0x63];
    code.extend(length.to_be_bytes());
    code.extend([0x80, 0x60, 12, 0x3d, 0x39, 0x3d, 0xf3, 0x00]);
    code.extend(piece);
    code
}

/// Words that the transcript absorbs at once beside the preamble or the openings: its state, and a witness.
const ABSORBED_WORDS: usize = 2;

/// Why a key cannot be verified by the contracts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("the contracts take a key with {what} from {min} to {max}, got {got}")]
    Limit { what: &'static str, min: usize, max: usize, got: usize },
    #[error("table {table}: {what}")]
    Table { table: usize, what: &'static str },
}

fn limit(what: &'static str, min: usize, max: usize, got: usize) -> Result<usize, ExportError> {
    if (min..=max).contains(&got) { Ok(got) } else { Err(ExportError::Limit { what, min, max, got }) }
}

/// Writes the key data.
pub fn export(key: &LastKey) -> Result<Export, ExportError> {
    let inner = &key.key.inner;
    let params = &inner.params;
    let whir = &params.whir;
    let sorted = key.sorted();
    let l_skip = limit("l_skip", 0, 5, params.l_skip)?;
    let n_stack = limit("n_stack", 0, VECTOR_ELEMENTS - 4 - l_skip, params.n_stack)?;
    let degree = limit("a constraint degree", 1, DEGREE_MAX - 1, params.max_constraint_degree)? + 1;
    let interactions: u64 = sorted
        .iter()
        .map(|&table| (inner.per_air[table].num_interactions() as u64) << key.log_heights[table].max(l_skip))
        .sum();
    limit("interactions", 1, u32::MAX as usize, interactions as usize)?;
    let n_logup = calculate_n_logup(l_skip, interactions);
    let n_max = sorted.first().map_or(0, |&table| key.log_heights[table].saturating_sub(l_skip));
    limit("a fold", 1, WHIR_FOLD_MAX, whir.k)?;
    let rounds = limit("WHIR rounds", 1, WHIR_ROUNDS_MAX, whir.rounds.len())?;
    // The variables of the univariate round are among those that WHIR folds.
    limit("folds", l_skip.max(1), VECTOR_ELEMENTS, whir.k * rounds)?;
    limit("a final polynomial", 1, WHIR_FINAL_MAX, 1 << params.log_final_poly_len())?;
    limit("log2 of the domain", whir.k + rounds, 27, params.log_stacked_height() + params.log_blowup)?;
    for round in &whir.rounds {
        limit("queries of a round", 1, WHIR_QUERIES_MAX, round.num_queries)?;
    }
    let widths: Vec<usize> =
        key.layouts().iter().map(openvm_stark_backend::prover::stacked_pcs::StackedLayout::width).collect();
    limit("commitments", 1, COMMITMENTS_MAX, widths.len())?;
    // The native verifier refuses more than `w_stack`, which the security calculation assumes.
    limit("stacked columns", 1, VECTOR_ELEMENTS.min(params.w_stack), widths.iter().sum())?;
    limit("cells of a query", 1, WHIR_CELLS_MAX, widths.iter().max().copied().unwrap_or(0) << whir.k)?;
    limit("queries", 1, WHIR_POINTS_MAX, whir.rounds.iter().map(|round| round.num_queries).sum())?;
    for constraint in &inner.trace_height_constraints {
        let sum: u64 = key
            .log_heights
            .iter()
            .zip(&constraint.coefficients)
            .map(|(&log_height, &coefficient)| u64::from(coefficient) << log_height.max(l_skip))
            .sum();
        limit("a weighted sum of heights", 0, constraint.threshold as usize - 1, sum as usize)?;
    }

    let (preamble, gaps) = preamble(key)?;
    let columns = Columns::new(key, &sorted);
    let mut constants = Constants::default();
    // Programs refer to words behind the constants, whose number is known when all programs are: a first pass counts.
    for &table in &sorted {
        let mut program = Program::new(table, key, &columns, &mut constants, 0);
        program.lower()?;
    }
    let constants_count = constants.values.len();
    let mut traces = Vec::new();
    let mut code = Vec::new();
    // The transcript absorbs openings, and the preamble, from where the results are.
    let mut results_max = (columns.total + 2).max(preamble.len().div_ceil(32) + ABSORBED_WORDS);
    // Openings are batched by 64 powers at a time.
    let mut powers = VECTOR_ELEMENTS;
    for &table in &sorted {
        let air = &inner.per_air[table];
        let mut program = Program::new(table, key, &columns, &mut constants, constants_count);
        let (bytes, results) = program.write()?;
        results_max = results_max.max(results);
        traces.extend([key.log_heights[table] as u8, u8::from(air.params.need_rot)]);
        let dag = &air.symbolic_constraints;
        for (what, number) in
            [("columns of a table", air.params.width.common_main), ("interactions of a table", dag.interactions.len())]
        {
            traces.extend((limit(what, 0, u16::MAX.into(), number)? as u16).to_be_bytes());
        }
        traces.extend((code.len() as u32).to_be_bytes());
        powers = powers.max(limit("constraints of a table", 0, CONSTRAINTS_MAX, dag.constraints.constraint_idx.len())?);
        code.extend(bytes);
    }
    limit("as many constants as the first pass met", constants_count, constants_count, constants.values.len())?;
    let results_at = FRAME + 32 * (3 + columns.public_values + constants_count + 2 * columns.total);
    let key_at = (results_at + 32 * results_max).max(WHIR_END);
    limit("memory", 0, 32 * usize::from(u16::MAX), key_at)?;

    let mut parts = Vec::new();
    let mut commitments = Vec::new();
    for part in &columns.parts {
        parts.extend([part.log_height as u8, u8::from(part.need_rot)]);
        parts.extend((limit("columns of a part", 1, u16::MAX.into(), part.width)? as u16).to_be_bytes());
        commitments.extend(part.commitment);
    }
    let constant_bytes: Vec<u8> = constants.values.iter().flat_map(|value| value.to_be_bytes()).collect();
    let queries = whir.rounds.iter().enumerate().fold([0; 32], |mut word, (round, config)| {
        word[30 - 2 * round..32 - 2 * round].copy_from_slice(&(config.num_queries as u16).to_be_bytes());
        word
    });

    let mut at = 32 * HEAD_WORDS;
    let mut place = |section: &[u8]| {
        let here = at;
        at += section.len();
        here
    };
    let preamble_at = place(&preamble);
    let gaps_at = place(&gaps);
    let constants_at = place(&constant_bytes);
    let traces_at = place(&traces);
    let parts_at = place(&parts);
    let commitments_at = place(&commitments);
    let program_at = place(&code);
    let length = at;

    let head: [usize; HEAD_WORDS] = [
        encoding::length(key),
        l_skip,
        n_stack,
        n_logup,
        n_max,
        degree,
        sorted.len(),
        columns.public_values,
        constants_count,
        columns.total,
        columns.parts.len(),
        params.logup.pow_bits,
        whir.mu_pow_bits,
        whir.folding_pow_bits,
        whir.query_phase_pow_bits,
        params.log_blowup,
        whir.k,
        rounds,
        // The queries have four words' worth of numbers, and are put in below.
        0,
        preamble.len(),
        preamble_at,
        gaps.len() / GAP_BYTES,
        gaps_at,
        constants_at,
        traces_at,
        parts_at,
        commitments_at,
        program_at,
        key_at,
        length,
        powers,
    ];
    let mut data = Vec::with_capacity(length);
    for number in head {
        data.extend([0; 24]);
        data.extend((number as u64).to_be_bytes());
    }
    data[32 * QUERIES_WORD..32 * (QUERIES_WORD + 1)].copy_from_slice(&queries);
    for section in [preamble, gaps, constant_bytes, traces, parts, commitments, code] {
        data.extend(section);
    }
    limit("key data", 1, PIECES_MAX * PIECE_BYTES_MAX, data.len())?;
    let commitment = keccak256(&data).0;
    Ok(Export { data, commitment })
}

/// Lists of operands have a multiple of so many.
const LIST_PADDING: usize = 4;
/// The word of memory that is always zero in Solidity.
const ZERO_WORD: [u8; 2] = [0, 3];
/// The word of the head that holds the numbers of queries.
const QUERIES_WORD: usize = 18;
/// Bytes of a gap: its offsets in preamble and proof, and its length.
const GAP_BYTES: usize = 12;

/// What the transcript absorbs before anything of the proof but its first commitment and public values, for which it has gaps.
fn preamble(key: &LastKey) -> Result<(Vec<u8>, Vec<u8>), ExportError> {
    let mut bytes = key.key.pre_hash.to_vec();
    let mut gaps = Vec::new();
    let mut from = 0;
    let mut gap = |bytes: &mut Vec<u8>, length: usize| {
        for number in [bytes.len(), from, length] {
            gaps.extend((number as u32).to_be_bytes());
        }
        bytes.resize(bytes.len() + length, 0);
        from += length;
    };
    gap(&mut bytes, 32);
    for (table, air) in key.key.inner.per_air.iter().enumerate() {
        if !air.is_required {
            bytes.extend(1_u32.to_be_bytes());
        }
        let log_height = key.log_heights[table];
        match &air.preprocessed_data {
            Some(data) => {
                if data.hypercube_dim + key.key.inner.params.l_skip as isize != log_height as isize {
                    return Err(ExportError::Table {
                        table,
                        what: "its height is not that of its preprocessed columns",
                    });
                }
                bytes.extend(data.commit);
            }
            None => bytes.extend((log_height as u32).to_be_bytes()),
        }
        key.cached_commitments[table].iter().for_each(|commitment| bytes.extend(commitment));
        if air.params.num_public_values > 0 {
            gap(&mut bytes, 4 * air.params.num_public_values);
        }
    }
    Ok((bytes, gaps))
}

/// A part of a table that has a commitment of its own.
struct Part {
    log_height: usize,
    need_rot: bool,
    width: usize,
    commitment: [u8; 32],
}

/// Where the openings of each table's columns, and its public values, are.
struct Columns {
    /// Of each table: the first column of its common part, and of its preprocessed and cached parts in order.
    common: Vec<usize>,
    other: Vec<Vec<usize>>,
    public: Vec<usize>,
    public_values: usize,
    parts: Vec<Part>,
    total: usize,
}

impl Columns {
    fn new(key: &LastKey, sorted: &[usize]) -> Self {
        let airs = &key.key.inner.per_air;
        let mut total = 0;
        let mut take = |width: usize| {
            let first = total;
            total += width;
            first
        };
        let mut common = vec![0; airs.len()];
        for &table in sorted {
            common[table] = take(airs[table].params.width.common_main);
        }
        let mut other = vec![Vec::new(); airs.len()];
        let mut parts = Vec::new();
        for &table in sorted {
            let air = &airs[table];
            let preprocessed = air.preprocessed_data.as_ref().map(|data| data.commit);
            let commitments = preprocessed.iter().chain(&key.cached_commitments[table]);
            let widths = air.params.width.preprocessed.iter().chain(&air.params.width.cached_mains);
            for (&width, &commitment) in widths.zip(commitments) {
                other[table].push(take(width));
                parts.push(Part {
                    log_height: key.log_heights[table],
                    need_rot: air.params.need_rot,
                    width,
                    commitment,
                });
            }
        }
        let mut public_values = 0;
        let public = airs
            .iter()
            .map(|air| {
                let first = public_values;
                public_values += air.params.num_public_values;
                first
            })
            .collect();
        Self { common, other, public, public_values, parts, total }
    }
}

/// The constants that programs refer to, in the order in which they were first met.
#[derive(Default)]
struct Constants {
    values: Vec<u32>,
    numbers: BTreeMap<u32, usize>,
}

impl Constants {
    fn number(&mut self, value: u32) -> usize {
        *self.numbers.entry(value).or_insert_with(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }
}

/// What an instruction computes. The discriminants are those of `contracts/src/Constraints.sol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Add = 1,
    Sub = 2,
    Mul = 3,
    Scale = 4,
    Reduce = 5,
    Dot = 6,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Add, Self::Sub, Self::Mul, Self::Scale, Self::Reduce, Self::Dot];

    /// Batches of this kind have a multiple of so many instructions.
    fn padding(self) -> usize {
        match self {
            Self::Add | Self::Sub => 8,
            Self::Mul | Self::Scale | Self::Reduce | Self::Dot => 1,
        }
    }
}

/// An upper bound of an element's coefficients, in units of p/100.
type Bound = u64;

/// The bounds of `contracts/src/Field.sol`.
const BOUND_CANONICAL: Bound = 100;
const BOUND_SELECTOR: Bound = 355;
const BOUND_MUL: Bound = 118;
const BOUND_REDUCED: Bound = 355;
const BOUND_SCALE_IN: Bound = 426;
const BOUND_SUBTRAHEND: Bound = 400;
const BOUND_MUL_IN: Bound = 6_800;
const BOUND_LISTED: Bound = 1_600;
const BOUND_DOT: Bound = 247;
const BOUND_DOT_FACTOR: Bound = 1_600;
const BOUND_DOT_ADDEND: Bound = 100_000;
/// Products of one sign in a sum of products.
const DOT_PRODUCTS_MAX: usize = 8;
/// What any intermediate result is kept below, far from 64 bits.
const BOUND_MAX: Bound = 1_000_000;

/// What an instruction takes: a word that is in the frame before the program runs, or an instruction's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operand {
    Word(usize),
    Constant(u32),
    Result(usize),
}

#[derive(Debug, Clone)]
struct Instruction {
    kind: Kind,
    /// Of [`Kind::Dot`]: what the products are added to.
    a: Operand,
    b: Operand,
    /// Factors of the products, of [`Kind::Dot`] alone: those that are subtracted, and those that are added.
    products: [Vec<(Operand, Operand)>; 2],
}

impl Instruction {
    fn operands(&self) -> impl Iterator<Item = Operand> {
        let factors = self.products.iter().flatten().flat_map(|&(a, b)| [a, b]);
        [self.a, self.b].into_iter().chain(factors)
    }

    /// Bytes of its encoding.
    fn bytes(&self) -> usize {
        4 + 4 * self.products.iter().map(Vec::len).sum::<usize>()
    }
}

/// The program of one table.
struct Program<'a> {
    table: usize,
    dag: &'a SymbolicConstraintsDag<F>,
    columns: &'a Columns,
    need_rot: bool,
    cached: usize,
    constants: &'a mut Constants,
    constants_count: usize,
    instructions: Vec<Instruction>,
    bounds: Vec<Bound>,
    known: BTreeMap<(Kind, Operand, Operand), usize>,
}

/// What is listed behind the program.
struct Lists {
    /// By factor, what it is multiplied by, and the constraint's number.
    constraints: BTreeMap<Operand, Vec<(Operand, usize)>>,
    /// The multiplicity, the message, and the bus.
    interactions: Vec<Vec<Operand>>,
}

/// A sum before it is turned into instructions.
#[derive(Default)]
struct Sum {
    constant: F,
    /// Subtracted, and added.
    terms: [Vec<Operand>; 2],
    products: [Vec<(Operand, Operand)>; 2],
}

impl<'a> Program<'a> {
    fn new(
        table: usize,
        key: &'a LastKey,
        columns: &'a Columns,
        constants: &'a mut Constants,
        constants_count: usize,
    ) -> Self {
        let air = &key.key.inner.per_air[table];
        Self {
            table,
            dag: &air.symbolic_constraints,
            columns,
            need_rot: air.params.need_rot,
            cached: air.num_cached_mains(),
            constants,
            constants_count,
            instructions: Vec::new(),
            bounds: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    fn error(&self, what: &'static str) -> ExportError {
        ExportError::Table { table: self.table, what }
    }

    fn variable(&self, variable: &SymbolicVariable<F>) -> Result<Operand, ExportError> {
        let (first, offset) = match variable.entry {
            Entry::Public => {
                return Ok(Operand::Word(3 + self.columns.public[self.table] + variable.index));
            }
            Entry::Challenge => return Err(self.error("challenges are not supported")),
            Entry::Preprocessed { offset } => (self.columns.other[self.table].first().copied(), offset),
            Entry::Main { part_index, offset } if part_index == self.cached => {
                (Some(self.columns.common[self.table]), offset)
            }
            Entry::Main { part_index, offset } => {
                let other = &self.columns.other[self.table];
                // A preprocessed part, if there is one, comes before the cached ones.
                (other.get(other.len() - self.cached + part_index).copied(), offset)
            }
        };
        let first = first.ok_or_else(|| self.error("a variable has no column"))?;
        if offset > usize::from(self.need_rot) {
            return Err(self.error("a variable is not in this row or the next"));
        }
        let opening = 2 * (first + variable.index) + offset;
        Ok(Operand::Word(3 + self.columns.public_values + self.constants_count + opening))
    }

    fn bound(&self, operand: Operand) -> Bound {
        match operand {
            Operand::Word(0..3) => BOUND_SELECTOR,
            Operand::Word(_) | Operand::Constant(_) => BOUND_CANONICAL,
            Operand::Result(result) => self.bounds[result],
        }
    }

    fn emit(&mut self, kind: Kind, a: Operand, b: Operand) -> Operand {
        let (a, b) = match kind {
            Kind::Add | Kind::Mul if b < a => (b, a),
            _ => (a, b),
        };
        if let Some(&result) = self.known.get(&(kind, a, b)) {
            return Operand::Result(result);
        }
        let bound = match kind {
            Kind::Add => self.bound(a) + self.bound(b),
            Kind::Sub => self.bound(a) + BOUND_SUBTRAHEND,
            Kind::Mul => BOUND_MUL,
            Kind::Scale | Kind::Reduce => BOUND_REDUCED,
            Kind::Dot => BOUND_DOT,
        };
        let result = self.push(Instruction { kind, a, b, products: Default::default() }, bound);
        self.known.insert((kind, a, b), result);
        Operand::Result(result)
    }

    fn push(&mut self, instruction: Instruction, bound: Bound) -> usize {
        self.instructions.push(instruction);
        self.bounds.push(bound);
        self.instructions.len() - 1
    }

    /// The operand, reduced if it may exceed a bound.
    fn below(&mut self, operand: Operand, bound: Bound) -> Operand {
        if self.bound(operand) <= bound { operand } else { self.emit(Kind::Reduce, operand, operand) }
    }

    /// The value of a node that is not part of its user's sum.
    fn node(&mut self, index: usize, uses: &Uses, values: &[Operand]) -> Result<Operand, ExportError> {
        Ok(match &self.dag.constraints.nodes[index] {
            SymbolicExpressionNode::Variable(variable) => self.variable(variable)?,
            SymbolicExpressionNode::IsFirstRow => Operand::Word(0),
            SymbolicExpressionNode::IsLastRow => Operand::Word(1),
            SymbolicExpressionNode::IsTransition => Operand::Word(2),
            SymbolicExpressionNode::Constant(value) => Operand::Constant(cell_to_canonical(*value)),
            SymbolicExpressionNode::Add { .. }
            | SymbolicExpressionNode::Sub { .. }
            | SymbolicExpressionNode::Neg { .. } => {
                let mut sum = Sum::default();
                self.collect(index, true, uses, values, &mut sum);
                self.emit_sum(sum)
            }
            SymbolicExpressionNode::Mul { left_idx, right_idx, .. } => {
                let (a, b) = (values[*left_idx], values[*right_idx]);
                match (a, b) {
                    (_, Operand::Constant(_)) => {
                        let a = self.below(a, BOUND_SCALE_IN);
                        self.emit(Kind::Scale, a, b)
                    }
                    (Operand::Constant(_), _) => {
                        let b = self.below(b, BOUND_SCALE_IN);
                        self.emit(Kind::Scale, b, a)
                    }
                    _ => {
                        let a = self.below(a, BOUND_MUL_IN);
                        let b = self.below(b, BOUND_MUL_IN);
                        self.emit(Kind::Mul, a, b)
                    }
                }
            }
        })
    }

    /// Adds a node to a sum (subtracts it, unless `plus`): its own terms, if it is a sum that is used here alone.
    fn collect(&self, index: usize, plus: bool, uses: &Uses, values: &[Operand], sum: &mut Sum) {
        let mut part = |index: usize, plus: bool| {
            let node = &self.dag.constraints.nodes[index];
            match node {
                SymbolicExpressionNode::Constant(value) => sum.constant += if plus { *value } else { -*value },
                SymbolicExpressionNode::Mul { left_idx, right_idx, .. } if uses.absorbed[index] => {
                    sum.products[usize::from(plus)].push((values[*left_idx], values[*right_idx]));
                }
                _ if uses.absorbed[index] => self.collect(index, plus, uses, values, sum),
                _ => sum.terms[usize::from(plus)].push(values[index]),
            }
        };
        match &self.dag.constraints.nodes[index] {
            SymbolicExpressionNode::Add { left_idx, right_idx, .. } => {
                part(*left_idx, plus);
                part(*right_idx, plus);
            }
            SymbolicExpressionNode::Sub { left_idx, right_idx, .. } => {
                part(*left_idx, plus);
                part(*right_idx, !plus);
            }
            SymbolicExpressionNode::Neg { idx, .. } => part(*idx, !plus),
            _ => part(index, plus),
        }
    }

    fn emit_sum(&mut self, sum: Sum) -> Operand {
        let Sum { constant, terms: [minus, plus], products: [subtracted, added] } = sum;
        let mut plus = plus.into_iter();
        let constant = Operand::Constant(cell_to_canonical(constant));
        let mut value = if constant == Operand::Constant(0) { plus.next().unwrap_or(constant) } else { constant };
        for term in plus {
            let term = self.below(term, BOUND_MAX / 2);
            value = self.below(value, BOUND_MAX / 2);
            value = self.emit(Kind::Add, value, term);
        }
        for term in minus {
            let term = self.below(term, BOUND_SUBTRAHEND);
            value = self.below(value, BOUND_MAX / 2);
            value = self.emit(Kind::Sub, value, term);
        }
        if subtracted.is_empty() && added.is_empty() {
            return value;
        }
        let mut factors = |products: Vec<(Operand, Operand)>| -> Vec<(Operand, Operand)> {
            let mut factor = |operand| self.below(operand, BOUND_DOT_FACTOR);
            products.into_iter().map(|(a, b)| (factor(a), factor(b))).collect()
        };
        let (subtracted, added) = (factors(subtracted), factors(added));
        let rounds = subtracted.len().max(added.len()).div_ceil(DOT_PRODUCTS_MAX);
        for round in 0..rounds {
            let part = |products: &[(Operand, Operand)]| {
                products.iter().skip(round * DOT_PRODUCTS_MAX).take(DOT_PRODUCTS_MAX).copied().collect()
            };
            let a = self.below(value, BOUND_DOT_ADDEND);
            let products = [part(&subtracted), part(&added)];
            value = Operand::Result(self.push(Instruction { kind: Kind::Dot, a, b: a, products }, BOUND_DOT));
        }
        value
    }

    /// Turns the expressions into instructions, in an order in which they could run.
    fn lower(&mut self) -> Result<Lists, ExportError> {
        let dag = self.dag;
        let nodes = &dag.constraints.nodes;
        let uses = Uses::new(dag);
        let mut values = Vec::with_capacity(nodes.len());
        for index in 0..nodes.len() {
            // A node that is part of its user's sum has no value of its own: nobody asks for this one.
            let value = if uses.absorbed[index] { Operand::Constant(0) } else { self.node(index, &uses, &values)? };
            values.push(value);
        }
        let constraints = self.group(&uses, &values);
        let mut interactions = Vec::new();
        for interaction in &dag.interactions {
            let listed = std::iter::once(&interaction.count).chain(&interaction.message);
            let mut terms: Vec<Operand> = listed.map(|&idx| self.below(values[idx], BOUND_LISTED)).collect();
            terms.push(Operand::Constant(u32::from(interaction.bus_index) + 1));
            interactions.push(terms);
        }
        let lists = Lists { constraints, interactions };
        let constants: Vec<Operand> =
            lists.operands().chain(self.instructions.iter().flat_map(Instruction::operands)).collect();
        for operand in constants {
            if let Operand::Constant(value) = operand {
                self.constants.number(value);
            }
        }
        Ok(lists)
    }

    /// The constraints, by a factor that many of them have in common ("if this, then …"), or by 1.
    fn group(&mut self, uses: &Uses, values: &[Operand]) -> BTreeMap<Operand, Vec<(Operand, usize)>> {
        let dag = self.dag;
        let factors = |index: usize| match &dag.constraints.nodes[index] {
            SymbolicExpressionNode::Mul { left_idx, right_idx, .. } if uses.count[index] == 1 => {
                let pair = (values[*left_idx], values[*right_idx]);
                (!matches!(pair, (Operand::Constant(_), _) | (_, Operand::Constant(_)))).then_some(pair)
            }
            _ => None,
        };
        let mut frequency: BTreeMap<Operand, usize> = BTreeMap::new();
        for (a, b) in dag.constraints.constraint_idx.iter().filter_map(|&index| factors(index)) {
            *frequency.entry(a).or_default() += 1;
            *frequency.entry(b).or_default() += 1;
        }
        let mut groups: BTreeMap<Operand, Vec<(Operand, usize)>> = BTreeMap::new();
        for (number, &index) in dag.constraints.constraint_idx.iter().enumerate() {
            let (factor, element) = match factors(index) {
                Some((a, b)) if frequency[&a].max(frequency[&b]) > 1 => {
                    if frequency[&a] >= frequency[&b] {
                        (a, b)
                    } else {
                        (b, a)
                    }
                }
                _ => (Operand::Constant(1), values[index]),
            };
            let factor = self.below(factor, BOUND_MUL_IN);
            let element = self.below(element, BOUND_LISTED);
            groups.entry(factor).or_default().push((element, number));
        }
        groups
    }

    /// The program's bytes with its lists, and how many results it writes.
    fn write(&mut self) -> Result<(Vec<u8>, usize), ExportError> {
        let lists = self.lower()?;
        let order = self.schedule(&lists);
        // Where each result goes.
        let mut places = vec![0; self.instructions.len()];
        let mut results = 0;
        for (kind, batch) in &order {
            for (offset, &instruction) in batch.iter().enumerate() {
                places[instruction] = results + offset;
            }
            results += batch.len().next_multiple_of(kind.padding());
        }
        let results_first = 3 + self.columns.public_values + self.constants_count + 2 * self.columns.total;
        let constants = &self.constants.numbers;
        let public_values = self.columns.public_values;
        let table = self.table;
        let word = |operand: Operand| -> Result<[u8; 2], ExportError> {
            let in_frame = match operand {
                Operand::Word(word) => word,
                Operand::Constant(value) => {
                    let missing =
                        ExportError::Table { table, what: "the first pass did not meet one of its constants" };
                    3 + public_values + constants.get(&value).copied().ok_or(missing)?
                }
                Operand::Result(result) => results_first + places[result],
            };
            let number = u16::try_from(FRAME / 32 + in_frame);
            number
                .map(u16::to_be_bytes)
                .map_err(|_| ExportError::Table { table, what: "its program has too many results" })
        };
        let mut bytes = Vec::new();
        for (kind, batch) in &order {
            let padding = batch.len().next_multiple_of(kind.padding()) - batch.len();
            let length = batch.iter().map(|&index| self.instructions[index].bytes()).sum::<usize>() + 4 * padding;
            limit("bytes of a batch of instructions", 0, (1 << 24) - 1, length)?;
            bytes.extend((((*kind as u32) << 24) | length as u32).to_be_bytes());
            for &instruction in batch {
                let Instruction { kind, a, b, products } = &self.instructions[instruction];
                let [subtracted, added] = products;
                match kind {
                    Kind::Dot => bytes.extend([subtracted.len() as u8, added.len() as u8]),
                    _ => bytes.extend(word(*a)?),
                }
                bytes.extend(word(*b)?);
                for &(a, b) in subtracted.iter().chain(added) {
                    bytes.extend(word(a)?);
                    bytes.extend(word(b)?);
                }
            }
            bytes.resize(bytes.len() + 4 * padding, 0);
        }
        bytes.extend([0; 4]);
        let list = |bytes: &mut Vec<u8>, operands: &[Operand], padded: usize| -> Result<(), ExportError> {
            for &operand in operands {
                bytes.extend(word(operand)?);
            }
            (operands.len()..padded).for_each(|_| bytes.extend(ZERO_WORD));
            Ok(())
        };
        for (&factor, elements) in &lists.constraints {
            for group in elements.chunks(VECTOR_ELEMENTS) {
                let padded = group.len().next_multiple_of(LIST_PADDING);
                bytes.extend((padded as u16).to_be_bytes());
                bytes.extend(word(factor)?);
                for &(element, number) in group {
                    bytes.extend(word(element)?);
                    bytes.extend(((POWERS_LAMBDA + 64 * number) as u16).to_be_bytes());
                }
                for _ in group.len()..padded {
                    bytes.extend(ZERO_WORD);
                    bytes.extend((POWERS_LAMBDA as u16).to_be_bytes());
                }
            }
        }
        // A group of no elements ends the list.
        bytes.extend([0; 4]);
        for terms in &lists.interactions {
            let padded = terms.len().next_multiple_of(LIST_PADDING);
            limit("terms of an interaction", 2, VECTOR_ELEMENTS, padded)?;
            bytes.extend((padded as u16).to_be_bytes());
            list(&mut bytes, terms, padded)?;
        }
        Ok((bytes, results))
    }

    /// The instructions that the lists need, in batches of one kind: always the kind of which most can run, for as long as it can.
    fn schedule(&self, lists: &Lists) -> Vec<(Kind, Vec<usize>)> {
        let mut needed = vec![false; self.instructions.len()];
        for operand in lists.operands() {
            if let Operand::Result(result) = operand {
                needed[result] = true;
            }
        }
        for (index, instruction) in self.instructions.iter().enumerate().rev() {
            if needed[index] {
                for operand in instruction.operands() {
                    if let Operand::Result(result) = operand {
                        needed[result] = true;
                    }
                }
            }
        }
        let mut waiting = vec![0; self.instructions.len()];
        let mut users = vec![Vec::new(); self.instructions.len()];
        let mut ready: BTreeMap<Kind, BTreeSet<usize>> =
            Kind::ALL.iter().map(|&kind| (kind, BTreeSet::new())).collect();
        for (index, instruction) in self.instructions.iter().enumerate().filter(|&(index, _)| needed[index]) {
            let operands: BTreeSet<Operand> = instruction.operands().collect();
            for operand in operands {
                if let Operand::Result(result) = operand {
                    waiting[index] += 1;
                    users[result].push(index);
                }
            }
            if waiting[index] == 0 {
                ready.entry(instruction.kind).or_default().insert(index);
            }
        }
        let mut order = Vec::new();
        // Of two kinds with as many, the one with the higher number, so that the order is defined.
        while let Some(kind) =
            ready.iter().filter(|(_, set)| !set.is_empty()).max_by_key(|(_, set)| set.len()).map(|(&kind, _)| kind)
        {
            let mut batch = Vec::new();
            while let Some(index) = ready.entry(kind).or_default().pop_first() {
                batch.push(index);
                for &user in &users[index] {
                    waiting[user] -= 1;
                    if waiting[user] == 0 {
                        ready.entry(self.instructions[user].kind).or_default().insert(user);
                    }
                }
            }
            order.push((kind, batch));
        }
        order
    }
}

impl Lists {
    fn operands(&self) -> impl Iterator<Item = Operand> {
        let constraints = self.constraints.iter().flat_map(|(&factor, elements)| {
            std::iter::once(factor).chain(elements.iter().map(|&(element, _)| element))
        });
        constraints.chain(self.interactions.iter().flatten().copied())
    }
}

/// How nodes are used.
struct Uses {
    /// By how many nodes, constraints and terms of interactions.
    count: Vec<usize>,
    /// Whether the one user is a sum, of which the node becomes a part: sums and products do.
    absorbed: Vec<bool>,
}

impl Uses {
    fn new(dag: &SymbolicConstraintsDag<F>) -> Self {
        let nodes = &dag.constraints.nodes;
        let mut count = vec![0; nodes.len()];
        let mut by_sums = vec![0; nodes.len()];
        for node in nodes {
            match node {
                SymbolicExpressionNode::Add { left_idx, right_idx, .. }
                | SymbolicExpressionNode::Sub { left_idx, right_idx, .. } => {
                    for &index in [left_idx, right_idx] {
                        count[index] += 1;
                        by_sums[index] += 1;
                    }
                }
                SymbolicExpressionNode::Neg { idx, .. } => {
                    count[*idx] += 1;
                    by_sums[*idx] += 1;
                }
                SymbolicExpressionNode::Mul { left_idx, right_idx, .. } => {
                    count[*left_idx] += 1;
                    count[*right_idx] += 1;
                }
                SymbolicExpressionNode::Variable(_)
                | SymbolicExpressionNode::IsFirstRow
                | SymbolicExpressionNode::IsLastRow
                | SymbolicExpressionNode::IsTransition
                | SymbolicExpressionNode::Constant(_) => {}
            }
        }
        let listed = dag
            .interactions
            .iter()
            .flat_map(|interaction| std::iter::once(&interaction.count).chain(&interaction.message));
        for &index in dag.constraints.constraint_idx.iter().chain(listed) {
            count[index] += 1;
        }
        let absorbed = nodes.iter().enumerate().map(|(index, node)| {
            let joins = matches!(
                node,
                SymbolicExpressionNode::Add { .. }
                    | SymbolicExpressionNode::Sub { .. }
                    | SymbolicExpressionNode::Neg { .. }
                    | SymbolicExpressionNode::Mul { .. }
            );
            joins && count[index] == 1 && by_sums[index] == 1
        });
        let absorbed = absorbed.collect();
        Self { count, absorbed }
    }
}
