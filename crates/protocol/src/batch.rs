//! A batch, and its published data: the bytes from which anyone re-executes it.
//!
//! ```text
//! magic and version  4 bytes: "HFB" and 2
//! number             varint, 1 ..= BATCH_NUMBER_MAX
//! instructions       varint count, at most INSTRUCTIONS_MAX; then each instruction (see `wire`)
//! rejects            varint count; then, in order, each rejected instruction as the varint number of accepted ones since the
//!                    previous rejected one (or the start), and its reject code in one byte
//! seals              varint count, no more than instructions; then each seal: the varint number of instructions since the previous seal
//!                    (or the start), its session, the signature in 56 bytes
//! ```
//!
//! What each instruction's outcome was follows from re-execution; it is published so that a difference is found at the
//! instruction that differs. Rejects are rare, so only they are listed. A *seal* is the last signature of a session in this batch: it covers
//! all that the session has asked for so far. At the end of a batch every session is sealed. The encoding is canonical and its length exact:
//! `decode(x) = Ok(b)` implies `encode(b) = x`.

use holdfast_crypto::schnorr::{SIGNATURE_BYTES, Signature};

use crate::{
    command::Instruction,
    reject::{Outcome, Reject},
    units::{AccountId, KeyIndex},
    wire::{
        DecodeError, INSTRUCTION_BYTES_MIN, Reader, decode_instruction, encode_instruction, put_session, put_varint,
        session, signature,
    },
};

/// Most instructions of one batch.
pub const INSTRUCTIONS_MAX: usize = 1 << 20;
/// Largest batch number. It fits one field element with room for a tag.
pub const BATCH_NUMBER_MAX: u32 = (1 << 28) - 1;
/// The first three bytes say what it is, the fourth is the version of this encoding.
pub const MAGIC: [u8; 4] = *b"HFB\x02";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchHeader {
    /// The first batch after the genesis is 1; at most [`BATCH_NUMBER_MAX`].
    pub number: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    /// At most [`INSTRUCTIONS_MAX`].
    pub instructions: Vec<Instruction>,
    /// One per instruction.
    pub outcomes: Vec<Outcome>,
    /// By ascending [`Seal::after`]; no more than instructions.
    pub seals: Vec<Seal>,
}

/// A session's signature of all that it has asked for so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Number of instructions of the batch before it.
    pub after: u32,
    pub account: AccountId,
    pub key: KeyIndex,
    /// Of the session's head.
    pub signature: Signature,
}

impl Batch {
    /// The batch's published data.
    ///
    /// # Panics
    /// If the batch breaks a bound that its fields' documentation states: whoever built it has a bug.
    pub fn encode(&self) -> Vec<u8> {
        let Batch { header: BatchHeader { number }, instructions, outcomes, seals } = self;
        assert!((1..=BATCH_NUMBER_MAX).contains(number), "batch number {number} is not 1 to {BATCH_NUMBER_MAX}");
        let count = instructions.len();
        assert!(count <= INSTRUCTIONS_MAX, "{count} instructions are more than {INSTRUCTIONS_MAX}");
        assert_eq!(count, outcomes.len(), "one outcome per instruction");
        assert!(seals.len() <= count, "{} seals are more than the instructions that they seal", seals.len());

        let mut out = MAGIC.to_vec();
        put_varint((*number).into(), &mut out);
        put_varint(count as u128, &mut out);
        for instruction in instructions {
            encode_instruction(instruction, &mut out);
        }
        let rejects = outcomes.iter().filter(|outcome| **outcome != Outcome::Accepted).count();
        put_varint(rejects as u128, &mut out);
        let mut accepted: u128 = 0;
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted => accepted += 1,
                Outcome::Rejected(reject) => {
                    put_varint(accepted, &mut out);
                    out.push(reject.code());
                    accepted = 0;
                }
            }
        }
        put_varint(seals.len() as u128, &mut out);
        let mut before = 0;
        for Seal { after, account, key, signature } in seals {
            assert!(before <= *after && *after as usize <= count, "seals stand in order, among the instructions");
            put_varint(u128::from(after - before), &mut out);
            put_session(*account, *key, &mut out);
            out.extend_from_slice(&signature.to_bytes());
            before = *after;
        }
        out
    }

    /// Reads published data: all of it, or an error.
    pub fn decode(bytes: &[u8]) -> Result<Batch, DecodeError> {
        let mut reader = Reader::new(bytes);
        let got = reader.array("magic and version")?;
        if got != MAGIC {
            return Err(DecodeError::Magic { offset: 0, expected: MAGIC, got });
        }
        let number = reader.varint("batch number", 1, BATCH_NUMBER_MAX.into())? as u32;
        let instructions = decode_instructions(&mut reader)?;
        let outcomes = decode_outcomes(&mut reader, instructions.len())?;
        let seals = decode_seals(&mut reader, instructions.len())?;
        reader.finish()?;
        Ok(Batch { header: BatchHeader { number }, instructions, outcomes, seals })
    }
}

fn decode_instructions(reader: &mut Reader<'_>) -> Result<Vec<Instruction>, DecodeError> {
    let count = reader.varint("number of instructions", 0, INSTRUCTIONS_MAX as u128)? as usize;
    // Never more than the bytes at hand can hold, whatever the count claims.
    let mut instructions = Vec::with_capacity(count.min(reader.remaining() / INSTRUCTION_BYTES_MIN));
    for _ in 0..count {
        instructions.push(decode_instruction(reader)?);
    }
    Ok(instructions)
}

fn decode_seals(reader: &mut Reader<'_>, instructions: usize) -> Result<Vec<Seal>, DecodeError> {
    let count = reader.varint("number of seals", 0, instructions as u128)? as usize;
    let mut seals = Vec::with_capacity(count.min(reader.remaining() / SIGNATURE_BYTES));
    let mut after = 0;
    for _ in 0..count {
        after += reader.varint("instructions before a seal", 0, (instructions - after) as u128)? as usize;
        let (account, key) = session(reader)?;
        seals.push(Seal { after: after as u32, account, key, signature: signature(reader)? });
    }
    Ok(seals)
}

/// `count` is the number of instructions, which were already read: the allocation is bounded by the bytes they took.
fn decode_outcomes(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Outcome>, DecodeError> {
    let rejects = reader.varint("number of rejects", 0, count as u128)? as usize;
    let mut outcomes = Vec::with_capacity(count);
    for index in 0..rejects {
        // Each reject still to come takes one instruction.
        let accepted_max = count - outcomes.len() - (rejects - index);
        let accepted = reader.varint("accepted instructions before a reject", 0, accepted_max as u128)? as usize;
        outcomes.resize(outcomes.len() + accepted, Outcome::Accepted);
        let offset = reader.offset();
        let code = reader.byte("reject code")?;
        let Some(reject) = Reject::from_code(code) else {
            return Err(DecodeError::OutOfRange {
                offset,
                what: "reject code",
                expected_min: 1,
                expected_max: Reject::ALL.len() as u128,
                got: code.into(),
            });
        };
        outcomes.push(Outcome::Rejected(reject));
    }
    outcomes.resize(count, Outcome::Accepted);
    Ok(outcomes)
}
