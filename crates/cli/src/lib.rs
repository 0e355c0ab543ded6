//! What the `holdfast` command is made of.

#![allow(clippy::disallowed_types, reason = "only the deterministic crates must do without hash maps and clocks")]

pub mod events;
pub mod flow;

pub use events::order_events;
