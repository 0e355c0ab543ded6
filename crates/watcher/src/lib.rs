//! The watcher: checks a venue from Ethereum alone.
//!
//! What it needs is an endpoint, the genesis (whose root the rollup names) and the key of last proofs (which is in this program): no file of the operator's. From the events and the published data it carries out
//! every batch again, and compares outcomes, roots, digests and times with what was committed and made final; it verifies every proof itself; it follows the inbox and the payouts; and it compares
//! what the vault holds with what the venue owes. What is wrong is an [`Alarm`]. The state that it rebuilds is also where everybody's way out comes from: [`Rebuilt::exit`].

pub mod alarm;
pub mod check;
pub mod exit;
pub mod rebuild;
mod watch;

pub use alarm::Alarm;
pub use check::{CheckError, Checked, check, check_to_leave};
pub use exit::Exit;
pub use rebuild::{Payout, Proofs, Rebuilt, Waiting};
pub use watch::{Catching, Report, Watcher};
