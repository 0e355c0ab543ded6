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
    /// Largest number of steps at which another command may begin. The largest table is that of the hashes, at most 2^20: one per command (no more than
    /// steps), two for each touched node of the tree ([`SegmentLimits::SLOTS_MAX`]), and those of the last command, whose work is bounded
    /// (`MAKERS_MAX`, `OPEN_ORDERS_MAX`): 2^18 + 2^19 + 2^18.
    pub const ROWS_MAX: usize = 1 << 18;
    /// Largest number of slots at which another command may begin. Slots far from all others have 16 nodes of their own and share those above:
    /// 2^13 × 16 × 2 hashes, and as many again for the shared ones at most.
    pub const SLOTS_MAX: usize = 1 << 13;

    /// The limits, or the nearest that can be proven.
    pub fn clamped(self) -> Self {
        Self { rows: self.rows.clamp(1, Self::ROWS_MAX), slots: self.slots.clamp(1, Self::SLOTS_MAX) }
    }
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { rows: Self::ROWS_MAX, slots: Self::SLOTS_MAX }
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
    let limits = limits.clamped();
    loop {
        let mut builder = Builder::new(store, sequence as u32, digest);
        let first = sequence;
        while sequence < batch.commands.len()
            && (sequence == first || builder.rows() < limits.rows && builder.touched() < limits.slots)
        {
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
