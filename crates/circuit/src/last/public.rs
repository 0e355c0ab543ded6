//! What the last proof says in public.

use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_CELLS, cell_to_canonical},
};
use holdfast_exchange::machine::LIMB_BITS;

/// The public values of a last proof: "these batches lead from this state to that one".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPublic {
    pub root_old: Digest,
    pub root_new: Digest,
    /// Numbers of the first and of the last batch.
    pub batch_first: u32,
    pub batch_last: u32,
    /// Milliseconds since the Unix epoch: before the first batch, and after the last.
    pub time_start: u64,
    pub time_end: u64,
    /// Digest of all published data: `compress` over the batches' digests in order, from zero.
    pub data: Digest,
    /// Hash of the segments' verifying key.
    pub segment_key: Digest,
}

/// Where each public value stands.
pub mod offset {
    use holdfast_crypto::field::DIGEST_CELLS;

    pub const ROOT_OLD: usize = 0;
    pub const ROOT_NEW: usize = ROOT_OLD + DIGEST_CELLS;
    pub const BATCH_FIRST: usize = ROOT_NEW + DIGEST_CELLS;
    pub const BATCH_LAST: usize = BATCH_FIRST + 1;
    pub const TIME_START: usize = BATCH_LAST + 1;
    pub const TIME_END: usize = TIME_START + 3;
    pub const DATA: usize = TIME_END + 3;
    pub const SEGMENT_KEY: usize = DATA + DIGEST_CELLS;
}

impl LastPublic {
    pub const CELLS: usize = offset::SEGMENT_KEY + DIGEST_CELLS;

    /// Reads them from a proof; `None` if there is another number of them, or a time whose parts are too large. (A valid proof has none such.)
    pub fn from_cells(cells: &[F]) -> Option<Self> {
        if cells.len() != Self::CELLS {
            return None;
        }
        let digest = |at: usize| -> Digest { std::array::from_fn(|i| cells[at + i]) };
        let number = |at: usize| cell_to_canonical(cells[at]);
        let time = |at: usize| {
            (0..3).try_fold(0, |sum, limb| {
                let part = u64::from(number(at + limb));
                (part >> LIMB_BITS == 0).then_some(sum | part << (limb as u32 * LIMB_BITS))
            })
        };
        Some(Self {
            root_old: digest(offset::ROOT_OLD),
            root_new: digest(offset::ROOT_NEW),
            batch_first: number(offset::BATCH_FIRST),
            batch_last: number(offset::BATCH_LAST),
            time_start: time(offset::TIME_START)?,
            time_end: time(offset::TIME_END)?,
            data: digest(offset::DATA),
            segment_key: digest(offset::SEGMENT_KEY),
        })
    }
}
