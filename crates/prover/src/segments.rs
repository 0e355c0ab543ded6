//! Cutting a batch into segments.

use alloy_primitives::U256;
use holdfast_circuit::witness::{Builder, Segment};
use holdfast_crypto::tree::Tree;
use holdfast_exchange::{authority::Refusal, store::Store};
use holdfast_protocol::{Batch, Outcome, publication::Progress};

/// When a segment ends: after the instruction or the seal with which it reaches one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Steps.
    pub rows: usize,
    /// Distinct slots read or written.
    pub slots: usize,
    /// Signatures.
    pub signatures: usize,
}

impl SegmentLimits {
    /// Largest number of steps at which another instruction may begin.
    pub const ROWS_MAX: usize = 1 << 18;
    /// Largest number of slots at which another instruction may begin. Slots far from all others have 16 nodes of their own and share those above:
    /// 2^13 × 16 × 2 hashes, and as many again for the shared ones at most.
    pub const SLOTS_MAX: usize = 1 << 13;
    /// Largest number of hashes (of instructions and signatures) at which another may begin. The largest table is that of all hashes, at most 2^20: these, two for each touched node of
    /// the tree ([`SegmentLimits::SLOTS_MAX`]), and those of the last instruction, whose work is bounded (`MAKERS_MAX`, `OPEN_ORDERS_MAX`: some 150,000): 2^18 + 2^19 + 2^18.
    const PERMUTATIONS_MAX: usize = 1 << 18;
    /// Largest number of signatures: the ladder has 2^16 rows of them, of some thousand columns.
    pub const SIGNATURES_MAX: usize = 1 << 13;
    /// As many signatures, of some 10,000 cells each, weigh about as much as the rest of a large segment.
    const SIGNATURES: usize = 1 << 10;

    /// The limits, or the nearest that can be proven.
    pub fn clamped(self) -> Self {
        Self {
            rows: self.rows.clamp(1, Self::ROWS_MAX),
            slots: self.slots.clamp(1, Self::SLOTS_MAX),
            signatures: self.signatures.clamp(1, Self::SIGNATURES_MAX),
        }
    }

    fn allow(&self, builder: &Builder<'_>) -> bool {
        builder.rows() < self.rows
            && builder.touched() < self.slots
            && builder.signatures() < self.signatures
            && builder.permutations() < Self::PERMUTATIONS_MAX
    }
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { rows: Self::ROWS_MAX, slots: Self::SLOTS_MAX, signatures: Self::SIGNATURES }
    }
}

/// A batch that cannot be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("batch {batch}, instruction {instruction}: expected outcome {expected:?}, got {got:?} published")]
    Outcome { batch: u32, instruction: usize, expected: Outcome, got: Outcome },
    #[error("batch {batch}, instruction {instruction}: {refusal}")]
    Instruction { batch: u32, instruction: usize, refusal: Refusal },
    #[error("batch {batch}, seal {seal}: {refusal}")]
    Seal { batch: u32, seal: usize, refusal: Refusal },
    #[error("batch {batch}: expected every session sealed at its end, got {unsealed} unsealed")]
    Unsealed { batch: u32, unsealed: u32 },
}

/// Executes a batch from this state and tree, and gives each of its segments, filled, to `take`. The cuts follow from the batch and the limits alone; `z` is where the polynomial of what it publishes is
/// evaluated ([`holdfast_protocol::publication`]).
pub fn fill_batch<E: From<BatchError>>(
    store: &mut Store,
    tree: &mut Tree,
    batch: &Batch,
    z: U256,
    limits: SegmentLimits,
    mut take: impl FnMut(usize, Segment) -> Result<(), E>,
) -> Result<(), E> {
    let number = batch.header.number;
    let (mut instruction, mut seal) = (0, 0);
    let mut progress = Progress::start(number, z);
    let limits = limits.clamped();
    for index in 0.. {
        let mut builder = Builder::new(store, instruction as u32, progress);
        while builder.rows() == 0 || limits.allow(&builder) {
            match (batch.seals.get(seal), batch.instructions.get(instruction)) {
                (Some(next), _) if next.after as usize <= instruction => {
                    builder.seal(next).map_err(|refusal| BatchError::Seal { batch: number, seal, refusal })?;
                    seal += 1;
                }
                (_, Some(next)) => {
                    let expected = builder.apply(next).map_err(|refusal| BatchError::Instruction {
                        batch: number,
                        instruction,
                        refusal,
                    })?;
                    let got = batch.outcomes[instruction];
                    if expected != got {
                        return Err(BatchError::Outcome { batch: number, instruction, expected, got }.into());
                    }
                    instruction += 1;
                }
                _ => break,
            }
        }
        progress = builder.progress();
        let closes = instruction == batch.instructions.len() && seal == batch.seals.len();
        let unsealed = builder.unsealed();
        if closes && unsealed != 0 {
            return Err(BatchError::Unsealed { batch: number, unsealed }.into());
        }
        take(index, builder.finish(tree, closes))?;
        if closes {
            break;
        }
    }
    Ok(())
}
