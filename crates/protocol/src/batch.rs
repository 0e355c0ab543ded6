//! A batch, and its published data: the bytes from which anyone re-executes it.
//!
//! ```text
//! magic and version  4 bytes: "HFB" and 1
//! number             varint, 1 ..= BATCH_NUMBER_MAX
//! commands           varint count, at most COMMANDS_MAX; then each command (see `wire`)
//! rejects            varint count; then, in order, each rejected command as the varint number of accepted commands since the
//!                    previous rejected one (or the start), and its reject code in one byte
//! ```
//!
//! What each command's outcome was follows from re-execution; it is published so that a difference is found at the
//! command that differs. Rejects are rare, so only they are listed. The encoding is canonical and its length exact:
//! `decode(x) = Ok(b)` implies `encode(b) = x`.

use crate::{
    command::Command,
    reject::{Outcome, Reject},
    wire::{COMMAND_BYTES_MIN, DecodeError, Reader, decode_command, encode_command, put_varint},
};

/// Most commands of one batch.
pub const COMMANDS_MAX: usize = 1 << 20;
/// Largest batch number. It fits one field element with room for a tag.
pub const BATCH_NUMBER_MAX: u32 = (1 << 28) - 1;
/// The first three bytes say what it is, the fourth is the version of this encoding.
pub const MAGIC: [u8; 4] = *b"HFB\x01";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchHeader {
    /// The first batch after the genesis is 1; at most [`BATCH_NUMBER_MAX`].
    pub number: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    /// At most [`COMMANDS_MAX`].
    pub commands: Vec<Command>,
    /// One per command.
    pub outcomes: Vec<Outcome>,
}

impl Batch {
    /// The batch's published data.
    ///
    /// # Panics
    /// If the batch breaks a bound that its fields' documentation states: whoever built it has a bug.
    pub fn encode(&self) -> Vec<u8> {
        let Batch { header: BatchHeader { number }, commands, outcomes } = self;
        assert!((1..=BATCH_NUMBER_MAX).contains(number), "batch number {number} is not 1 to {BATCH_NUMBER_MAX}");
        assert!(commands.len() <= COMMANDS_MAX, "{} commands are more than {COMMANDS_MAX}", commands.len());
        assert_eq!(commands.len(), outcomes.len(), "one outcome per command");

        let mut out = MAGIC.to_vec();
        put_varint((*number).into(), &mut out);
        put_varint(commands.len() as u128, &mut out);
        for command in commands {
            encode_command(command, &mut out);
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
        let commands = decode_commands(&mut reader)?;
        let outcomes = decode_outcomes(&mut reader, commands.len())?;
        reader.finish()?;
        Ok(Batch { header: BatchHeader { number }, commands, outcomes })
    }
}

fn decode_commands(reader: &mut Reader<'_>) -> Result<Vec<Command>, DecodeError> {
    let count = reader.varint("number of commands", 0, COMMANDS_MAX as u128)? as usize;
    // Never more than the bytes at hand can hold, whatever the count claims.
    let mut commands = Vec::with_capacity(count.min(reader.remaining() / COMMAND_BYTES_MIN));
    for _ in 0..count {
        commands.push(decode_command(reader)?);
    }
    Ok(commands)
}

/// `count` is the number of commands, which were already read: the allocation is bounded by the bytes they took.
fn decode_outcomes(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Outcome>, DecodeError> {
    let rejects = reader.varint("number of rejects", 0, count as u128)? as usize;
    let mut outcomes = Vec::with_capacity(count);
    for index in 0..rejects {
        // Each reject still to come takes one command.
        let accepted_max = count - outcomes.len() - (rejects - index);
        let accepted = reader.varint("accepted commands before a reject", 0, accepted_max as u128)? as usize;
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
