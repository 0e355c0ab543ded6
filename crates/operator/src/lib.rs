//! What a venue's operator runs: the loop from Ethereum's inbox and signed requests to batches, proofs, finality and payouts.
//!
//! ```text
//! inbox ──┐                                  ┌── commit (poster) ── Committed: the point z
//!         ├─ sequencer ── batch on disk ─────┤                          │
//! orders ─┘   (journal of the open batch)    └── prover's thread ◄──────┘
//!                                                segments, aggregation ── finality (poster) ── payouts
//! ```
//!
//! [`Operator::step`] does one round, and waits for nothing but the endpoint's answers. What is to be done follows from two things at every step: the directory ([`records`]: the batches, and what
//! was carried out since the last one) and the chain (what is committed, final and paid). So it can be killed at any time, and goes on where it was; what is proven is among the
//! jobs' results (`holdfast_prover::jobs`).
//!
//! Where requests come from is an [`Orders`], and what proves is a [`Prove`]; [`Prover`] is the real one.
//!
//! **What it cannot do.** A batch must be committed within 24 hours of its time, also after it was removed, or the contract does not take it (`docs/SETTLEMENT.md`). It would then have to
//! be executed anew with all behind it, with others' requests refused that they were told are accepted: this program says so and stops, and leaves it to its operator.

#![allow(clippy::disallowed_types, reason = "only the deterministic crates must do without hash maps and clocks")]

mod error;
mod event;
mod operator;
mod orders;
mod prove;
pub mod records;
mod worker;

pub use error::{Error, Result};
pub use event::Event;
pub use operator::{Operator, Options, Parts, Status};
pub use orders::{Asked, Orders, Queue, QueueEnd, Refused};
pub use prove::{Committed, Prove, Prover, Stretch, Watch};
