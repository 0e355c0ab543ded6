//! Holdfast on Ethereum: contracts and their deployment, a client, who follows the chain, and who posts batches and proofs to it.
//!
//! There is one path to every Ethereum: alloy's provider. [`embedded`] is one in the same process, behind that provider, for tests and devnets.

pub mod blobs;
pub mod client;
pub mod code;
pub mod contracts;
pub mod embedded;
pub mod error;
pub mod follower;
pub mod journal;
pub mod poster;
pub mod publication;
pub mod venue;

pub use client::{Client, Fees};
pub use error::{Error, Result};
pub use follower::{Event, Follower};
pub use poster::Poster;
pub use publication::Publication;
pub use venue::{Venue, VenueError};
