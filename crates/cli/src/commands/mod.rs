//! What the `holdfast` command does: one module per subcommand, each a function from its options to a report, which is printed for a person
//! (`Report::text`) or as one JSON object.

pub mod aggregate;
pub mod audit;
pub mod compact;
pub mod demo;
pub mod devnet;
pub mod export_verifier;
pub mod inspect;
pub mod key;
pub mod l1;
pub mod prove;
pub mod replay;
pub mod verify;
pub mod verify_final;

use comfy_table::{CellAlignment, Table, TableComponent, presets};

/// A table whose first `left` columns are words and whose others are numbers.
pub(crate) fn table(headers: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(headers.iter().copied());
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
