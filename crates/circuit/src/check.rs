//! Checks filled segments exactly, without a proof: every constraint on every row, every bus as a multiset.
//!
//! It reads the same symbolic constraints that the verifying key holds, so what it refuses, a verifier refuses (but for the proof system's own
//! error). It is how the tests find out, fast, *why* a segment is refused; a verifier of proofs has no use for it.

use std::collections::BTreeMap;

use holdfast_crypto::{F, field::cell_to_canonical};
use openvm_stark_backend::{
    air_builders::symbolic::{SymbolicConstraintsDag, SymbolicExpressionNode as Node, symbolic_variable::Entry},
    p3_field::PrimeCharacteristicRing,
    p3_matrix::Matrix,
};

use crate::{RANGE_BITS, air::Table, public::PublicValues, row::Bus, verify::VerifyingKey, witness::Segment};

/// The first thing that is wrong with a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("expected {expected} tables, got {got}")]
    Tables { expected: usize, got: usize },
    #[error("table {table:?}: expected 2^n rows of {expected_width} columns, got {height} of {width}")]
    Shape { table: Table, expected_width: usize, height: usize, width: usize },
    #[error("constraint {constraint} of table {table:?} does not hold on row {row}")]
    Constraint { table: Table, row: usize, constraint: usize },
    /// The message was sent `excess` times more often than received, modulo the field's order.
    #[error("bus {bus:?}: message {message:?} is not in balance: {excess}")]
    Bus { bus: Bus, message: Vec<u32>, excess: u32 },
    #[error("the tables together have more rows than the buses can count")]
    Heights,
}

/// Evaluates the constraints of all tables.
pub struct Checker<'k> {
    key: &'k VerifyingKey,
    tables: Vec<TableChecker<'k>>,
}

/// Evaluates the constraints and messages of one table's rows.
pub struct TableChecker<'k> {
    pub table: Table,
    pub width: usize,
    dag: &'k SymbolicConstraintsDag<F>,
}

/// What the constraints of a row see.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    pub local: &'a [F],
    /// The following row; after the last one the first.
    pub next: &'a [F],
    pub first: bool,
    pub last: bool,
    pub public: &'a [F],
}

impl<'a> Window<'a> {
    /// The window of a row of a table with values in rows of `width`.
    pub fn new(values: &'a [F], width: usize, row: usize, public: &'a [F]) -> Self {
        let height = values.len() / width;
        let at = |row: usize| &values[row * width..][..width];
        Window { local: at(row), next: at((row + 1) % height), first: row == 0, last: row + 1 == height, public }
    }
}

/// A message of one row: it is sent `count` times, or received if `count` is negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub bus: Bus,
    pub cells: Vec<F>,
    pub count: F,
}

impl Bus {
    pub const ALL: [Bus; 15] = [
        Bus::Range,
        Bus::Poseidon2,
        Bus::Memory,
        Bus::Step,
        Bus::Frame,
        Bus::Command,
        Bus::Outcome,
        Bus::Digest,
        Bus::Merkle,
        Bus::Signature,
        Bus::Ladder,
        Bus::Word,
        Bus::Value,
        Bus::Powers,
        Bus::Key,
    ];

    pub fn from_index(index: u16) -> Option<Bus> {
        Bus::ALL.into_iter().find(|&bus| bus as u16 == index)
    }
}

impl<'k> TableChecker<'k> {
    /// The value of every expression that the table's constraints and messages are made of, in an order in which each follows its operands.
    pub fn evaluate(&self, window: &Window<'_>, values: &mut Vec<F>) {
        evaluate_all(self.dag, window, values);
    }

    /// Evaluates again only the expressions with these indices.
    pub fn reevaluate(&self, window: &Window<'_>, expressions: &[usize], values: &mut [F]) {
        for &index in expressions {
            values[index] = evaluate(&self.dag.constraints.nodes[index], window, values);
        }
    }

    /// The expressions that must be zero, as indices of what [`TableChecker::evaluate`] gives.
    pub fn constraints(&self) -> &[usize] {
        &self.dag.constraints.constraint_idx
    }

    /// Number of messages that every row may send or receive.
    pub fn messages(&self) -> usize {
        self.dag.interactions.len()
    }

    /// One of the row's messages.
    pub fn message(&self, index: usize, values: &[F]) -> Message {
        let interaction = &self.dag.interactions[index];
        Message {
            bus: Bus::from_index(interaction.bus_index).expect("the tables use the listed buses"),
            cells: interaction.message.iter().map(|&expression| values[expression]).collect(),
            count: values[interaction.count],
        }
    }

    /// The expressions that a message consists of.
    pub fn message_expressions(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let interaction = &self.dag.interactions[index];
        interaction.message.iter().copied().chain([interaction.count])
    }

    /// The expressions that depend on a column: of the row itself, or of the row before it if `next`.
    pub fn dependents(&self, column: usize, next: bool) -> Vec<usize> {
        let nodes = &self.dag.constraints.nodes;
        let mut depends = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            depends[index] = match node {
                Node::Variable(variable) => {
                    matches!(variable.entry, Entry::Main { offset, .. } if (offset == 1) == next && variable.index == column)
                }
                Node::IsFirstRow | Node::IsLastRow | Node::IsTransition | Node::Constant(_) => false,
                Node::Add { left_idx, right_idx, .. }
                | Node::Sub { left_idx, right_idx, .. }
                | Node::Mul { left_idx, right_idx, .. } => depends[*left_idx] || depends[*right_idx],
                Node::Neg { idx, .. } => depends[*idx],
            };
        }
        (0..nodes.len()).filter(|&index| depends[index]).collect()
    }
}

/// The value of every expression of a table, in an order in which each follows its operands.
pub fn evaluate_all(dag: &SymbolicConstraintsDag<F>, window: &Window<'_>, values: &mut Vec<F>) {
    values.clear();
    for node in &dag.constraints.nodes {
        let value = evaluate(node, window, values);
        values.push(value);
    }
}

#[inline]
fn evaluate(node: &Node<F>, window: &Window<'_>, values: &[F]) -> F {
    match node {
        Node::Variable(variable) => match variable.entry {
            Entry::Main { offset: 0, .. } => window.local[variable.index],
            Entry::Main { .. } => window.next[variable.index],
            Entry::Public => window.public[variable.index],
            Entry::Preprocessed { .. } | Entry::Challenge => unreachable!("no table uses these"),
        },
        Node::IsFirstRow => F::from_bool(window.first),
        Node::IsLastRow => F::from_bool(window.last),
        Node::IsTransition => F::from_bool(!window.last),
        Node::Constant(constant) => *constant,
        Node::Add { left_idx, right_idx, .. } => values[*left_idx] + values[*right_idx],
        Node::Sub { left_idx, right_idx, .. } => values[*left_idx] - values[*right_idx],
        Node::Neg { idx, .. } => -values[*idx],
        Node::Mul { left_idx, right_idx, .. } => values[*left_idx] * values[*right_idx],
    }
}

impl<'k> Checker<'k> {
    pub fn new(key: &'k VerifyingKey) -> Self {
        let tables = Table::all().zip(&key.inner.per_air).map(|(table, air)| TableChecker {
            table,
            width: air.params.width.common_main,
            dag: &air.symbolic_constraints,
        });
        Self { key, tables: tables.collect() }
    }

    /// The tables in the order of the verifying key.
    pub fn tables(&self) -> &[TableChecker<'k>] {
        &self.tables
    }

    pub fn table(&self, table: Table) -> &TableChecker<'k> {
        &self.tables[table.index()]
    }

    /// Checks everything, and names what is violated first.
    pub fn check(&self, segment: &Segment) -> Result<(), Violation> {
        let Segment { public, traces } = segment;
        if traces.len() != self.tables.len() {
            return Err(Violation::Tables { expected: self.tables.len(), got: traces.len() });
        }
        let public = public.to_cells();
        debug_assert_eq!(public.len(), PublicValues::CELLS);
        let mut balance = Balance::default();
        let mut heights = vec![0u64; traces.len()];
        for ((checker, trace), rows) in self.tables.iter().zip(traces).zip(&mut heights) {
            let Some(trace) = trace else { continue };
            let (table, height, width) = (checker.table, trace.height(), trace.width());
            if !height.is_power_of_two() || width != checker.width {
                return Err(Violation::Shape { table, expected_width: checker.width, height, width });
            }
            *rows = height as u64;
            let mut values = Vec::new();
            for row in 0..height {
                checker.evaluate(&Window::new(&trace.values, width, row, &public), &mut values);
                let violated = checker.constraints().iter().position(|&expression| values[expression] != F::ZERO);
                if let Some(constraint) = violated {
                    return Err(Violation::Constraint { table, row, constraint });
                }
                balance.add_row(checker, &values);
            }
        }
        self.check_heights(&heights)?;
        balance.check()
    }

    /// No message can be counted as often as the field has elements.
    fn check_heights(&self, heights: &[u64]) -> Result<(), Violation> {
        for constraint in &self.key.inner.trace_height_constraints {
            let total: u64 =
                constraint.coefficients.iter().zip(heights).map(|(&weight, height)| u64::from(weight) * height).sum();
            if total >= u64::from(constraint.threshold) {
                return Err(Violation::Heights);
            }
        }
        Ok(())
    }
}

/// How often every message was sent, less how often it was received.
struct Balance {
    /// Of the range bus, by the place of `(value, bits)` in its table: by far the most frequent.
    ranges: Vec<F>,
    others: BTreeMap<(u16, Vec<u32>), F>,
}

impl Default for Balance {
    fn default() -> Self {
        Self { ranges: vec![F::ZERO; 1 << (RANGE_BITS + 1)], others: BTreeMap::new() }
    }
}

impl Balance {
    fn add_row(&mut self, checker: &TableChecker<'_>, values: &[F]) {
        for interaction in &checker.dag.interactions {
            let count = values[interaction.count];
            if count == F::ZERO {
                continue;
            }
            let cells: Vec<u32> = interaction.message.iter().map(|&at| cell_to_canonical(values[at])).collect();
            match (interaction.bus_index == Bus::Range as u16).then(|| range_place(&cells)).flatten() {
                Some(place) => self.ranges[place] += count,
                None => *self.others.entry((interaction.bus_index, cells)).or_insert(F::ZERO) += count,
            }
        }
    }

    fn check(self) -> Result<(), Violation> {
        if let Some(place) = self.ranges.iter().position(|&excess| excess != F::ZERO) {
            let bits = (place + 1).ilog2();
            let message = vec![place as u32 + 1 - (1 << bits), bits];
            return Err(Violation::Bus { bus: Bus::Range, message, excess: cell_to_canonical(self.ranges[place]) });
        }
        match self.others.into_iter().find(|(_, excess)| *excess != F::ZERO) {
            Some(((bus, message), excess)) => {
                let bus = Bus::from_index(bus).expect("the tables use the listed buses");
                Err(Violation::Bus { bus, message, excess: cell_to_canonical(excess) })
            }
            None => Ok(()),
        }
    }
}

/// Row of the range table that holds `(value, bits)`, if there is one.
pub fn range_place(message: &[u32]) -> Option<usize> {
    let &[value, bits] = message else { return None };
    (bits <= RANGE_BITS && value >> bits == 0).then(|| (1 << bits) + value as usize - 1)
}
