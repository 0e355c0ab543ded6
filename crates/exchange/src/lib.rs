//! The exchange's rules, written once.
//!
//! - [`machine`]: the trait that the rules are written against; [`record`]: structs of its values with a fixed sequence of cells.
//! - [`slots`]: the state; [`fields`]: commands; [`flow`]: registers and frames between steps.
//! - [`steps`]: the rules. [`step`]: steps as data.
//! - [`native`], [`store`], [`engine`]: the native reading, which the sequencer and every auditor run.
//! - [`opening`]: slots shown against a state root, as Ethereum reads them.
//! - [`authority`]: session keys natively; [`sequencer`]: the engine behind them, making batches.
//!
//! The other readings (constraints, trace rows) live in `holdfast-circuit`. The rules in words are in `docs/RULES.md`.

pub mod authority;
pub mod engine;
pub mod fields;
pub mod flow;
pub mod machine;
pub mod native;
pub mod opening;
pub mod record;
pub mod sequencer;
pub mod slots;
pub mod step;
pub mod steps;
pub mod store;

pub use authority::{Chained, Refusal, Verified};
pub use engine::{AccountView, Engine, OrderView};
pub use machine::{Event, Machine, Plain, Values};
pub use sequencer::Sequencer;
