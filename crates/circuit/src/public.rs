//! What a segment's proof says in public.

use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_CELLS, cell_to_canonical},
};
use holdfast_exchange::machine::LIMB_BITS;
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

/// The public values of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicValues {
    pub root_old: Digest,
    pub root_new: Digest,
    /// Digest of what the batch has published before and after this segment ([`holdfast_protocol::publication::Progress`]); where it begins, of its number.
    pub digest_in: Digest,
    pub digest_out: Digest,
    /// Number in its batch of the first command, and of the one after the last.
    pub sequence_start: u32,
    pub sequence_end: u32,
    /// Clock after the last step.
    pub clock_end: u32,
    /// Batches closed before and after this segment.
    pub batches_start: u32,
    pub batches_end: u32,
    /// Milliseconds since the Unix epoch.
    pub time_start: u64,
    pub time_end: u64,
}

/// Where each public value stands.
pub mod offset {
    use holdfast_crypto::field::DIGEST_CELLS;

    pub const ROOT_OLD: usize = 0;
    pub const ROOT_NEW: usize = ROOT_OLD + DIGEST_CELLS;
    pub const DIGEST_IN: usize = ROOT_NEW + DIGEST_CELLS;
    pub const DIGEST_OUT: usize = DIGEST_IN + DIGEST_CELLS;
    pub const SEQUENCE_START: usize = DIGEST_OUT + DIGEST_CELLS;
    pub const SEQUENCE_END: usize = SEQUENCE_START + 1;
    pub const CLOCK_END: usize = SEQUENCE_END + 1;
    pub const BATCHES_START: usize = CLOCK_END + 1;
    pub const BATCHES_END: usize = BATCHES_START + 1;
    pub const TIME_START: usize = BATCHES_END + 1;
    pub const TIME_END: usize = TIME_START + 3;
}

impl PublicValues {
    pub const CELLS: usize = offset::TIME_END + 3;

    pub fn to_cells(&self) -> Vec<F> {
        let Self {
            root_old,
            root_new,
            digest_in,
            digest_out,
            sequence_start,
            sequence_end,
            clock_end,
            batches_start,
            batches_end,
            time_start,
            time_end,
        } = self;
        let mut cells = Vec::with_capacity(Self::CELLS);
        for digest in [root_old, root_new, digest_in, digest_out] {
            cells.extend_from_slice(digest);
        }
        for id in [sequence_start, sequence_end, clock_end, batches_start, batches_end] {
            cells.push(F::from_u32(*id));
        }
        for time in [time_start, time_end] {
            cells.extend((0..3).map(|limb| F::from_u64(time >> (limb * LIMB_BITS) & ((1 << LIMB_BITS) - 1))));
        }
        cells
    }

    /// Reads the public values of a proof; `None` if there is another number of them.
    pub fn from_cells(cells: &[F]) -> Option<Self> {
        if cells.len() != Self::CELLS {
            return None;
        }
        let digest = |at: usize| -> Digest { std::array::from_fn(|i| cells[at + i]) };
        const _: () = assert!(DIGEST_CELLS == 8);
        let id = |at: usize| cell_to_canonical(cells[at]);
        let time = |at: usize| (0..3).fold(0, |sum, limb| sum | u64::from(id(at + limb)) << (limb as u32 * LIMB_BITS));
        Some(Self {
            root_old: digest(offset::ROOT_OLD),
            root_new: digest(offset::ROOT_NEW),
            digest_in: digest(offset::DIGEST_IN),
            digest_out: digest(offset::DIGEST_OUT),
            sequence_start: id(offset::SEQUENCE_START),
            sequence_end: id(offset::SEQUENCE_END),
            clock_end: id(offset::CLOCK_END),
            batches_start: id(offset::BATCHES_START),
            batches_end: id(offset::BATCHES_END),
            time_start: time(offset::TIME_START),
            time_end: time(offset::TIME_END),
        })
    }
}
