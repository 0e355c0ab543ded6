//! Cutting a batch into segments.

use holdfast_circuit::{
    published::digest_start,
    witness::{Builder, Segment},
};
use holdfast_crypto::tree::Tree;
use holdfast_exchange::store::Store;
use holdfast_protocol::{Batch, Outcome};

/// When a segment ends: after the command with which it reaches one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Steps.
    pub rows: usize,
    /// Distinct slots read or written.
    pub slots: usize,
}

impl SegmentLimits {
    /// Largest number of steps: a command that begins below it can add at most some 2^17 more, so that no table grows beyond 2^20 rows.
    pub const ROWS_MAX: usize = 1 << 19;
    /// A slot far from all others leads to 31 hashes before and after; 2^14 slots share the upper levels and stay below 2^20.
    pub const SLOTS_MAX: usize = 1 << 14;
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { rows: 1 << 18, slots: Self::SLOTS_MAX }
    }
}

/// The published outcome of a command is not what its execution gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("batch {batch}, command {command}: expected outcome {expected:?}, got {got:?} published")]
pub struct OutcomeError {
    pub batch: u32,
    pub command: usize,
    pub expected: Outcome,
    pub got: Outcome,
}

/// Executes a batch from this state and tree, and gives each of its segments, filled, to `take`. The cuts follow from the batch and the limits alone.
pub fn fill_batch<E: From<OutcomeError>>(
    store: &mut Store,
    tree: &mut Tree,
    batch: &Batch,
    limits: SegmentLimits,
    mut take: impl FnMut(usize, Segment) -> Result<(), E>,
) -> Result<(), E> {
    let mut sequence = 0;
    let mut digest = digest_start(batch.header.number);
    let mut index = 0;
    loop {
        let mut builder = Builder::new(store, sequence as u32, digest);
        while sequence < batch.commands.len() && builder.rows() < limits.rows && builder.touched() < limits.slots {
            let outcome = builder.apply(&batch.commands[sequence]);
            let published = batch.outcomes[sequence];
            if outcome != published {
                let error =
                    OutcomeError { batch: batch.header.number, command: sequence, expected: outcome, got: published };
                return Err(error.into());
            }
            sequence += 1;
        }
        digest = builder.digest();
        let closes = sequence == batch.commands.len();
        take(index, builder.finish(tree, closes))?;
        if closes {
            return Ok(());
        }
        index += 1;
    }
}
