//! Whether a synthesised circuit's cells satisfy it: gates, copies, constants and ranges, one by one. It takes seconds and no parameters, where a proof takes minutes and says only that something is wrong.

use std::{collections::BTreeSet, fmt};

use halo2_base::{
    AssignedValue, ContextCell,
    gates::circuit::builder::BaseCircuitBuilder,
    halo2_proofs::halo2curves::{bn256::Fr, ff::PrimeField},
};
use openvm_stark_backend::p3_maybe_rayon::prelude::*;

/// Advice cells of a gate: q·(a + b·c − d) = 0.
const GATE: usize = 4;

/// What of a circuit is not satisfied: the first of each kind, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// The first cell of a gate.
    pub gate: Option<usize>,
    pub gates: usize,
    /// Two cells that should be equal.
    pub copy: Option<(usize, usize)>,
    pub copies: usize,
    /// A cell that should be a constant.
    pub constant: Option<usize>,
    pub constants: usize,
    /// A cell that should be in the table of ranges.
    pub range: Option<usize>,
    pub ranges: usize,
}

/// Values that may be changed, each alone, without a gate, a copy or a constant to notice: how many, of how many values; and the first cells of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    pub loose: usize,
    pub values: usize,
    pub some: Vec<usize>,
}

/// A circuit's cells, by their offsets in its one thread, and what they must satisfy.
pub(super) struct Cells {
    advice: Vec<Fr>,
    gates: Vec<usize>,
    copies: Vec<(usize, usize)>,
    constants: Vec<(Fr, usize)>,
    looked_up: Vec<usize>,
    range_bits: usize,
    instances: Vec<usize>,
}

impl Cells {
    /// The cells of a circuit of one thread.
    pub(super) fn of(builder: &mut BaseCircuitBuilder<Fr>) -> Self {
        let range_bits = builder.config_params.lookup_bits.unwrap_or_default();
        let offset = |cell: &AssignedValue<Fr>| cell.cell.expect("keys are made with all cells").offset;
        let instances = builder.assigned_instances.iter().flatten().map(offset).collect();
        let mut looked_up = Vec::new();
        for manager in builder.lookup_manager() {
            let cells = manager.cells_to_lookup.lock().expect("no thread panicked");
            looked_up.extend(cells.values().flatten().map(|[cell]| offset(cell)));
        }
        let pool = builder.pool(0);
        let [context] = pool.threads.as_slice() else { panic!("there is one thread") };
        let advice = context.advice.par_iter().map(|cell| cell.evaluate()).collect();
        let gates = context.selector.iter().enumerate().filter(|(_, selected)| **selected).map(|(at, _)| at).collect();
        let managed = pool.copy_manager.lock().expect("no thread panicked");
        let at = |cell: &ContextCell| cell.offset;
        let copies = managed.advice_equalities.iter().map(|(one, other)| (at(one), at(other))).collect();
        let constants = managed.constant_equalities.iter().map(|(constant, cell)| (*constant, at(cell))).collect();
        Self { advice, gates, copies, constants, looked_up, range_bits, instances }
    }

    fn gate(&self, at: usize) -> bool {
        match self.advice.get(at..at + GATE) {
            Some([a, b, c, d]) => a + b * c == *d,
            _ => false,
        }
    }

    /// Checks all of it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let advice = &self.advice;
        let large = |&&at: &&usize| {
            let bytes = advice[at].to_repr();
            (self.range_bits..8 * bytes.len()).any(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1)
        };
        let gates: Vec<usize> = self.gates.par_iter().copied().filter(|&at| !self.gate(at)).collect();
        let copies: Vec<(usize, usize)> =
            self.copies.par_iter().copied().filter(|&(one, other)| advice[one] != advice[other]).collect();
        let constants: Vec<usize> =
            self.constants.par_iter().filter(|(constant, at)| advice[*at] != *constant).map(|(_, at)| *at).collect();
        let ranges: Vec<usize> = self.looked_up.par_iter().filter(large).copied().collect();
        let fault = Fault {
            gate: gates.first().copied(),
            gates: gates.len(),
            copy: copies.first().copied(),
            copies: copies.len(),
            constant: constants.first().copied(),
            constants: constants.len(),
            range: ranges.first().copied(),
            ranges: ranges.len(),
        };
        if fault == Fault::default() { Ok(()) } else { Err(fault) }
    }

    /// Changes each value, in all cells that are copies of it, and asks the gates and the constants.
    pub(super) fn loose(&self) -> Loose {
        let mut class: Vec<usize> = (0..self.advice.len()).collect();
        fn find(class: &mut [usize], mut at: usize) -> usize {
            while class[at] != at {
                class[at] = class[class[at]];
                at = class[at];
            }
            at
        }
        for &(one, other) in &self.copies {
            let (one, other) = (find(&mut class, one), find(&mut class, other));
            class[one.max(other)] = one.min(other);
        }
        let mut held = vec![false; self.advice.len()];
        for at in self.constants.iter().map(|(_, at)| at).chain(&self.instances) {
            held[find(&mut class, *at)] = true;
        }
        // Any difference but zero: a large one, so that it is none by chance.
        let difference = -Fr::from(0x5eed).square();
        for &start in &self.gates {
            let of: [usize; GATE] = std::array::from_fn(|i| find(&mut class, start + i));
            for changed in of.into_iter().collect::<BTreeSet<_>>() {
                if !held[changed] {
                    let cell = |i| {
                        let value = self.advice[start + i];
                        if of[i] == changed { value + difference } else { value }
                    };
                    held[changed] = cell(0) + cell(1) * cell(2) != cell(3);
                }
            }
        }
        let values: Vec<usize> = (0..class.len()).filter(|&at| class[at] == at).collect();
        let loose: Vec<usize> = values.iter().copied().filter(|&at| !held[at]).collect();
        Loose { loose: loose.len(), values: values.len(), some: loose.into_iter().take(GATE).collect() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = false;
        let mut say = |text: Option<String>| {
            let Some(text) = text else { return Ok(()) };
            let comma = if std::mem::replace(&mut said, true) { "; " } else { "" };
            write!(f, "{comma}{text}")
        };
        say(self.gate.map(|at| format!("{} gates, first at cell {at}", self.gates)))?;
        say(self.copy.map(|(one, other)| format!("{} copies, first cells {one} and {other}", self.copies)))?;
        say(self.constant.map(|at| format!("{} constants, first cell {at}", self.constants)))?;
        say(self.range.map(|at| format!("{} ranges, first cell {at}", self.ranges)))
    }
}

/// The values of a column of instances.
pub(super) fn values(instances: &[AssignedValue<Fr>]) -> Vec<Fr> {
    instances.iter().map(|instance| *instance.value()).collect()
}

#[cfg(test)]
mod tests {
    use halo2_base::{
        QuantumCell::{Constant, Existing, Witness},
        gates::{GateInstructions, RangeInstructions, circuit::CircuitBuilderStage},
        halo2_proofs::plonk::Assigned,
    };

    use super::*;

    const LOOKUP_BITS: usize = 8;

    fn cells(change: impl FnOnce(&mut BaseCircuitBuilder<Fr>)) -> Cells {
        let builder = BaseCircuitBuilder::<Fr>::from_stage(CircuitBuilderStage::Keygen);
        let mut builder = builder.use_k(9).use_lookup_bits(LOOKUP_BITS).use_instance_columns(1);
        let range = builder.range_chip();
        let context = builder.main(0);
        let product = range.gate().mul(context, Witness(Fr::from(3)), Constant(Fr::from(5)));
        range.range_check(context, product, LOOKUP_BITS);
        let sum = range.gate().add(context, Existing(product), Constant(Fr::one()));
        let same = context.load_witness(Fr::from(16));
        context.constrain_equal(&sum, &same);
        change(&mut builder);
        Cells::of(&mut builder)
    }

    #[test]
    fn a_circuit_is_satisfied_by_its_cells_and_by_no_others() {
        let honest = cells(|_| {});
        assert_eq!(honest.check(), Ok(()));
        assert_eq!(honest.loose().loose, 0);
        for at in 0..honest.advice.len() {
            let changed = cells(|builder| builder.main(0).advice[at] = Assigned::Trivial(Fr::from(99)));
            assert!(changed.check().is_err(), "cell {at}");
        }
        let out_of_range = cells(|builder| {
            let context = builder.main(0);
            let (tag, large) = (context.tag(), context.load_witness(Fr::from(1 << LOOKUP_BITS)));
            builder.lookup_manager()[0].add_lookup(tag, [large]);
        });
        let at = honest.advice.len();
        assert_eq!(out_of_range.check(), Err(Fault { range: Some(at), ranges: 1, ..Fault::default() }));
    }

    #[test]
    fn a_value_that_nothing_holds_is_found() {
        // x·0 = 0 for any x, and nothing else looks at it.
        let with = cells(|builder| {
            let range = builder.range_chip();
            let context = builder.main(0);
            let any = context.load_witness(Fr::from(7));
            range.gate().mul(context, Existing(any), Constant(Fr::zero()));
        });
        assert_eq!(with.check(), Ok(()));
        assert_eq!(with.loose().loose, 1);
    }
}
