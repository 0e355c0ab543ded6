//! Rows of sixteen cells, laid side by side in packed vectors and back.

use std::array;

use p3_field::{Field, PackedFieldPow2, PackedValue, PrimeCharacteristicRing};

use crate::field::F;

/// As many cells as a vector register of the instruction set of compilation holds.
pub(crate) type Packed = <F as Field>::Packing;

/// Cells in a [`Packed`].
pub(crate) const LANES: usize = Packed::WIDTH;

/// Cells in a row.
pub(crate) const ROW_CELLS: usize = 16;
const _: () = assert!(ROW_CELLS.is_multiple_of(LANES));

/// Lane l of column c is cell c of row l.
pub(crate) fn columns_of_rows(rows: &[&[F; ROW_CELLS]; LANES]) -> [Packed; ROW_CELLS] {
    let mut columns = [Packed::ZERO; ROW_CELLS];
    for (block, columns) in columns.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        *columns = transposed(array::from_fn(|lane| *Packed::from_slice(&rows[lane][block * LANES..][..LANES])));
    }
    columns
}

/// Cell c of row l is lane l of column c.
pub(crate) fn rows_of_columns(columns: &[Packed; ROW_CELLS]) -> [[F; ROW_CELLS]; LANES] {
    let mut rows = [[F::ZERO; ROW_CELLS]; LANES];
    for (block, columns) in columns.as_chunks::<LANES>().0.iter().enumerate() {
        for (row, cells) in rows.iter_mut().zip(transposed(*columns)) {
            row[block * LANES..][..LANES].copy_from_slice(cells.as_slice());
        }
    }
    rows
}

/// Transposes a square of cells: lane j of row i becomes lane i of row j.
///
/// Swaps the off-diagonal quarters of every 2b × 2b square, for b = 1, 2, 4, …
pub(crate) fn transposed(mut rows: [Packed; LANES]) -> [Packed; LANES] {
    let mut block = 1;
    while block < LANES {
        for row in (0..LANES).filter(|row| row & block == 0) {
            (rows[row], rows[row + block]) = rows[row].interleave(rows[row + block], block);
        }
        block *= 2;
    }
    rows
}
