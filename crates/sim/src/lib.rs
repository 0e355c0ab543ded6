//! A second opinion on the rules.
//!
//! - [`model`]: a naive implementation of `docs/RULES.md`, written from that page alone. It shares no code with the
//!   exchange: big integers for money, a book is a sorted list, and every sum is computed from scratch where it is needed.
//! - [`coverage`]: which branches of the rules a run has taken.
//! - [`stream`]: seeded random commands built to take all of them, driven by what any [`view::Venue`] shows.
//! - [`scenario`]: named pairs of a genesis and a stream configuration, from calm to the bounds of every number.
//! - [`keyring`]: session keys for tests.
//! - [`shrink`]: cuts a failing stream down to the commands that matter.
//!
//! The differential test, which compares the exchange with the model after every command, is `tests/differential.rs`.

#![forbid(unsafe_code)]

pub mod coverage;
pub mod keyring;
pub mod model;
pub mod scenario;
pub mod shrink;
pub mod stream;
pub mod view;

pub use coverage::{Branch, Coverage};
pub use keyring::Keyring;
pub use model::Model;
pub use scenario::Scenario;
pub use shrink::shrink;
pub use stream::{Stream, StreamConfig};
pub use view::{AccountState, FillState, OrderState, PositionState, SessionState, SystemState, Venue};
