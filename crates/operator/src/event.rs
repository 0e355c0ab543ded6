//! What an operator tells of its work.

use holdfast_settlement::poster::Task;
use serde::Serialize;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An entry of the inbox was carried out.
    Served {
        index: u64,
        account: u32,
        outcome: String,
    },
    /// A batch was executed to its end, and is on disk.
    Closed {
        batch: u64,
        commands: u64,
        rejected: u64,
        /// Of the commands, those of Ethereum's inbox.
        forced: u64,
        fills: u64,
        /// Published on Ethereum.
        bytes: u64,
        root: String,
        /// In milliseconds.
        time: u64,
    },
    /// A transaction was handed to the endpoint.
    Sent {
        task: Task,
        hash: String,
        blobs: bool,
    },
    /// It was mined.
    Mined {
        task: Task,
        block: u64,
        gas: u64,
    },
    /// It costs more than it may, and waits.
    TooDear {
        task: Task,
    },
    /// A batch's data are on Ethereum.
    Committed {
        batch: u64,
        blobs: u64,
    },
    Segment {
        batch: u64,
        segment: u32,
        commands: u64,
        seconds: f64,
        /// It was proven before.
        found: bool,
    },
    Proven {
        batch: u64,
        segments: u32,
        seconds: f64,
    },
    /// One proof of several batches is begun.
    Aggregating {
        first: u64,
        last: u64,
    },
    /// A proof on the way to it.
    Aggregated {
        layer: &'static str,
        left: u64,
        seconds: f64,
    },
    LastProof {
        first: u64,
        last: u64,
        bytes: u64,
        seconds: f64,
    },
    Final {
        batch: u64,
    },
    /// Withdrawals became claimable.
    Paid {
        payouts: u64,
        /// In quote units.
        amount: String,
        gas: u64,
    },
    /// Committed batches were taken back; the poster commits them again.
    Removed {
        first: u64,
        last: u64,
    },
    /// A batch was committed again in another way than before: what was proven behind the last final one is proven anew.
    CommittedOtherwise {
        batch: u64,
    },
    /// Batches became final by somebody else's proof: what was proven here beyond is proven anew.
    ProvenByOthers {
        batch: u64,
    },
}
