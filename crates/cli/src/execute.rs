//! A batch executed natively, as its published data have it: every outcome compared, every seal checked at its place.

use holdfast_exchange::{Engine, authority::check_seals};
use holdfast_protocol::Batch;
use holdfast_prover::BatchError;

use crate::error::Result;

/// Executes a batch, up to where it can be closed. `executed` sees the engine after each instruction.
pub fn execute(engine: &mut Engine, batch: &Batch, mut executed: impl FnMut(&Engine)) -> Result<()> {
    let number = batch.header.number;
    let mut sealed = 0;
    for (instruction, (next, &published)) in batch.instructions.iter().zip(&batch.outcomes).enumerate() {
        sealed += seal(engine, batch, sealed, instruction)?;
        let outcome =
            engine.instruct(next).map_err(|refusal| BatchError::Instruction { batch: number, instruction, refusal })?;
        if outcome != published {
            let (expected, got) = (outcome, published);
            return Err(BatchError::Outcome { batch: number, instruction, expected, got }.into());
        }
        executed(engine);
    }
    seal(engine, batch, sealed, batch.instructions.len())?;
    match engine.system().unsealed {
        0 => Ok(()),
        unsealed => Err(BatchError::Unsealed { batch: number, unsealed }.into()),
    }
}

/// Checks the seals from `first` on that stand after so many instructions, and seals their sessions. Gives their number.
fn seal(engine: &mut Engine, batch: &Batch, first: usize, after: usize) -> Result<usize> {
    let seals = &batch.seals[first..];
    let seals = &seals[..seals.partition_point(|seal| seal.after as usize <= after)];
    if let Ok(verified) = check_seals(engine.store(), seals) {
        for verified in &verified {
            engine.seal(verified);
        }
        return Ok(seals.len());
    }
    // One by one, to find the one that is at fault.
    for (index, seal) in (first..).zip(seals) {
        let refused = |refusal| BatchError::Seal { batch: batch.header.number, seal: index, refusal };
        for verified in check_seals(engine.store(), std::slice::from_ref(seal)).map_err(refused)? {
            engine.seal(&verified);
        }
    }
    Ok(seals.len())
}
