//! What the `holdfast` command is made of.
//!
//! - [`flow`]: readers of real order flow, and the mapper from their events to commands.
//! - [`execute`]: a batch executed natively, and everything in it checked.
//! - [`keystore`]: session keys in files.
//! - [`dir`]: the directory that a replay writes, a prover completes, and a verifier reads.
//! - [`l1`]: a venue on Ethereum that was checked, keys, and transactions whose cost is said.
//! - [`commands`]: one module per subcommand.

#![allow(clippy::disallowed_types, reason = "only the deterministic crates must do without hash maps and clocks")]

pub mod commands;
pub mod dir;
pub mod error;
pub mod events;
pub mod execute;
pub mod flow;
pub mod keystore;
pub mod l1;
pub mod ui;

pub use events::order_events;
