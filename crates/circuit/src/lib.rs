//! The rules as circuits.
//!
//! The step functions of `holdfast-exchange` are read twice more here, by one text: [`cells::Circuit`] is a machine over a [`row::Row`], and a row is either
//! constrained (`Constrain`, in [`air`]) or filled (`Fill`, in [`witness`]).
//!
//! - [`cells`]: the gadgets. [`step_table`]: what a step's row receives. [`air`]: all tables.
//! - [`schnorr`]: the tables of signatures. [`publication`]: that of the published words. [`public`]: what a proof says in public.
//! - [`witness`]: executes instructions and fills the tables of a segment. [`verify`]: checks proofs, and chains of them.
//! - [`check`]: checks filled tables directly, for tests.

pub mod air;
pub mod cells;
pub mod check;
mod inverse;
pub mod last;
mod lengths;
pub mod public;
pub mod publication;
pub mod row;
pub mod schnorr;
pub mod step_table;
pub mod verify;
pub mod witness;

/// Bits of the range table.
pub const RANGE_BITS: u32 = 16;
