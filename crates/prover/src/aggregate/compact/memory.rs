//! How much memory a circuit takes to prove, and how much there is.

use std::fs;

use super::{
    inner::{self, Size},
    outer,
};

/// Bytes of an element of BN254's scalar field.
const ELEMENT_BYTES: u64 = 32;
/// Elements as large as two points of BN254's first group: what the parameters have for a row.
const SETUP_ELEMENTS: usize = 4;
/// Columns that a product of the permutation argument covers: two less than the degree of the constraints, which is four.
const PERMUTATION_CHUNK: usize = 2;
/// Cosets on which the quotient of constraints of that degree is evaluated.
const QUOTIENT_PARTS: usize = 4;
/// Bytes that the builder of a circuit has for a cell: its value, its copies, and where it was put.
const CELL_BYTES: u64 = 400;
/// What `/proc/meminfo` calls the memory that can be had without swapping.
const AVAILABLE: &str = "MemAvailable:";

/// There is too little memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory for a circuit of 2^{k} rows: expected {:.1} GiB available, got {:.1} GiB",
    gibibytes(*required),
    gibibytes(*available)
)]
pub struct MemoryError {
    pub k: u32,
    pub required: u64,
    pub available: u64,
}

/// Bytes that proving a circuit of this size takes, its key's making included: an estimate, from what Halo2's prover keeps at its peak, when it evaluates the quotient.
pub fn required(size: &Size) -> u64 {
    let Size { k, cells, lookups, columns, lookup_columns, fixed_columns } = size;
    let advice = columns + lookup_columns;
    // A selector for each column of the gate, and the table of ranges.
    let fixed = fixed_columns + columns + 1;
    let permuted = advice + fixed_columns + 1;
    let products = permuted.div_ceil(PERMUTATION_CHUNK);
    // Values and coefficients of both, and the polynomials of the first, the last and the other rows.
    let key = 2 * fixed + 2 * permuted + 3;
    // Advice, products, six columns of each lookup, and what blinds the quotient.
    let proof = advice + products + 6 * lookup_columns + 2;
    // All of them once more, on one coset, and the quotient on all.
    let quotient = fixed + permuted + proof + 2 * QUOTIENT_PARTS;
    let polynomials = (SETUP_ELEMENTS + key + proof + quotient) as u64;
    polynomials * (ELEMENT_BYTES << k) + (cells + lookups) as u64 * CELL_BYTES
}

/// Bytes of memory that can be had now; `None` where the system does not tell.
pub fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(AVAILABLE))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// That a circuit's prover has the memory that it takes.
///
/// # Errors
///
/// If there is less than [`required`].
pub fn enough(size: &Size, available: u64) -> Result<(), MemoryError> {
    let required = required(size);
    if available >= required { Ok(()) } else { Err(MemoryError { k: size.k, required, available }) }
}

/// That both circuits can be proven, one after the other.
///
/// # Errors
///
/// If there is less than the larger takes.
pub fn enough_for_both(available: u64) -> Result<(), MemoryError> {
    enough(&inner::SIZE, available)?;
    enough(&outer::SIZE, available)
}

fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_an_error_that_says_how_much() {
        let size = Size { k: 20, cells: 1 << 20, lookups: 1 << 17, columns: 1, lookup_columns: 1, fixed_columns: 1 };
        let required = required(&size);
        assert!(required > 1 << 30, "{required}");
        assert_eq!(enough(&size, required), Ok(()));
        let error = enough(&size, 1 << 30).expect_err("it takes more");
        assert_eq!(error, MemoryError { k: 20, required, available: 1 << 30 });
        let text = error.to_string();
        assert!(text.contains("2^20 rows") && text.contains("got 1.0 GiB"), "{text}");
        assert!(required_grows(&size), "twice the rows take about twice the memory");
    }

    fn required_grows(size: &Size) -> bool {
        let larger = Size { k: size.k + 1, cells: 2 * size.cells, lookups: 2 * size.lookups, ..size.clone() };
        required(&larger) == 2 * required(size)
    }
}
