//! Whether a synthesised circuit's cells satisfy it: gates, copies, constants and ranges, one by one. It takes seconds and no parameters, where a proof takes minutes and says only that something is wrong.

use halo2_base::{
    AssignedValue, ContextCell,
    gates::circuit::builder::BaseCircuitBuilder,
    halo2_proofs::halo2curves::{bn256::Fr, ff::PrimeField},
};
use openvm_stark_backend::p3_maybe_rayon::prelude::*;

/// Advice cells of a gate: q·(a + b·c − d) = 0.
const GATE: usize = 4;

/// Checks a circuit of one thread. `Err` says what is wrong first.
pub(super) fn check(builder: &mut BaseCircuitBuilder<Fr>) -> Result<(), String> {
    let range_bits = builder.config_params.lookup_bits.unwrap_or_default();
    let looked_up: Vec<Fr> = builder
        .lookup_manager()
        .iter()
        .flat_map(|manager| {
            let cells = manager.cells_to_lookup.lock().expect("no thread panicked");
            cells.values().flatten().map(|[cell]| *cell.value()).collect::<Vec<_>>()
        })
        .collect();
    let pool = builder.pool(0);
    let [context] = pool.threads.as_slice() else {
        return Err(format!("expected one thread, got {}", pool.threads.len()));
    };
    let advice: Vec<Fr> = context.advice.par_iter().map(|cell| cell.evaluate()).collect();
    let gate = |&at: &usize| match advice.get(at..at + GATE) {
        Some([a, b, c, d]) => a + b * c != *d,
        _ => true,
    };
    let selected: Vec<usize> =
        context.selector.iter().enumerate().filter(|(_, selected)| **selected).map(|(at, _)| at).collect();
    if let Some(at) = selected.par_iter().copied().find_any(gate) {
        return Err(format!("the gate at cell {at} is not satisfied"));
    }
    let value = |cell: &ContextCell| advice.get(cell.offset).copied();
    let copies = pool.copy_manager.lock().expect("no thread panicked");
    if let Some((one, other)) = copies.advice_equalities.iter().find(|(one, other)| value(one) != value(other)) {
        return Err(format!("cells {} and {} are not equal", one.offset, other.offset));
    }
    if let Some((_, cell)) = copies.constant_equalities.iter().find(|(constant, cell)| value(cell) != Some(*constant)) {
        return Err(format!("cell {} is not the constant that it is copied from", cell.offset));
    }
    let too_large = |value: &&Fr| {
        let bytes = value.to_repr();
        (range_bits..8 * bytes.len()).any(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1)
    };
    if looked_up.par_iter().any(|value| too_large(&value)) {
        return Err(format!("a cell is not below 2^{range_bits}"));
    }
    Ok(())
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

    fn checked(change: impl FnOnce(&mut BaseCircuitBuilder<Fr>)) -> Result<(), String> {
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
        check(&mut builder)
    }

    #[test]
    fn a_circuit_is_satisfied_by_its_cells_and_by_no_others() {
        assert_eq!(checked(|_| {}), Ok(()));
        let cells = {
            let mut cells = 0;
            checked(|builder| cells = builder.main(0).advice.len()).expect("it is satisfied");
            cells
        };
        for at in 0..cells {
            let changed = checked(|builder| builder.main(0).advice[at] = Assigned::Trivial(Fr::from(99)));
            assert!(changed.is_err(), "cell {at}");
        }
        let out_of_range = checked(|builder| {
            let range = builder.range_chip();
            let context = builder.main(0);
            let large = context.load_witness(Fr::from(1 << LOOKUP_BITS));
            range.add_cell_to_lookup(context, large);
        });
        assert_eq!(out_of_range, Err("a cell is not below 2^8".into()));
    }
}
