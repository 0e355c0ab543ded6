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
/// Cosets on which the quotient is evaluated: for constraints of degree four, and of five.
const QUOTIENT_PARTS: usize = 4;
/// Polynomials that the opening has beside all others.
const OPENING: usize = 4;
/// Bytes that the builder of a circuit has for a cell: its value, its copies, and where it was put.
const CELL_BYTES: u64 = 300;
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
    // A single column is looked up itself, where a selector says so: that is one degree more.
    let (beside, selectors, degree) = if *columns == 1 { (0, *lookup_columns, 5) } else { (*lookup_columns, 0, 4) };
    let advice = columns + beside;
    // A selector for each column of the gate, and the table of ranges.
    let fixed = fixed_columns + columns + selectors + 1;
    let permuted = advice + fixed_columns + 1;
    // A product of the permutation argument has room for two columns less than the degree.
    let products = permuted.div_ceil(degree - 2);
    // Values and coefficients of both, and the polynomials of the first, the last and the other rows.
    let key = 2 * fixed + 2 * permuted + 3;
    // Advice, products, six columns of each lookup, and what blinds the quotient.
    let proof = advice + products + 6 * lookup_columns + 2;
    // All of them once more, on one coset, and the quotient on all.
    let quotient = fixed + permuted + proof + 2 * QUOTIENT_PARTS;
    let polynomials = (SETUP_ELEMENTS + key + proof + quotient + OPENING) as u64;
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

    /// What was measured, of circuits over a first proof with few queries: rows, cells, cells looked up, columns, and GiB at most.
    #[test]
    fn the_estimate_is_a_little_more_than_what_was_measured() {
        let measured = [
            (20, 9_209_396, 646_588, 9, 5.6),
            (21, 9_209_396, 646_588, 5, 7.7),
            (21, 5_445_189, 640_359, 3, 6.5),
            (22, 4_159_730, 501_639, 1, 8.6),
        ];
        for (k, cells, lookups, columns, most) in measured {
            let estimate =
                gibibytes(required(&Size { k, cells, lookups, columns, lookup_columns: 1, fixed_columns: 1 }));
            assert!(most < estimate && estimate < 1.3 * most, "2^{k} rows: {estimate} GiB, measured {most}");
        }
    }

    fn required_grows(size: &Size) -> bool {
        let larger = Size { k: size.k + 1, cells: 2 * size.cells, lookups: 2 * size.lookups, ..size.clone() };
        required(&larger) == 2 * required(size)
    }
}
