//! Who may ask: what a session key signs.
//!
//! An account trades by *session keys*. The instructions of a session form a hash chain: its *head* absorbs each instruction in turn, accepted or rejected, and a
//! signature covers the head. So the signature of the last instruction authorises all before it, and a proof needs one of them only.
//!
//! ```text
//! domain   = compress(TAG ‖ chain id (3 × 28 bits) ‖ 0…, contract (6 × 28 bits) ‖ 0 0)
//! head_0   = compress(domain, session ‖ 0… ‖ generation)      session = account + 2^20 × key
//! head_n+1 = the instruction's blocks absorbed by head_n, the first with sequence n (see `cells`)
//! signature = Schnorr over the curve of `holdfast_crypto::schnorr`, of the head after the instruction
//! ```
//!
//! The domain binds a signature to one deployment; the session, to one place of one account; the generation (how often that place was given a key), to one registration, so that
//! registering a key again does not bring its old commands back; the sequence number, to one place in the chain.

use alloy_primitives::Address;
use holdfast_crypto::{
    Digest,
    poseidon2::compress,
    schnorr::{SecretKey, Signature},
};
use serde::{Deserialize, Serialize};

use crate::{
    cells::{COMMAND_CELLS, PART_BITS, absorb, block_cells, blocks, owner_cells, session_cell},
    command::Instruction,
    units::{AccountId, KeyIndex},
};

/// "HFA1", below the field's modulus.
const TAG: u32 = 0x4846_4131;

/// Which deployment a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// EIP-155. As long as there is no contract, every venue (and every new genesis of one) needs a number of its own: two with the same number take each other's signatures.
    pub chain_id: u64,
    /// The contract that holds the money, or the zero address if there is none.
    pub contract: Address,
}

impl Deployment {
    /// Whether a contract holds the money. Then Ethereum is the registrar: it opens accounts, registers keys and credits deposits.
    pub fn is_settled(&self) -> bool {
        self.contract != Address::ZERO
    }

    /// The first value of every session's chain derives from it.
    pub fn domain(&self) -> Digest {
        let Self { chain_id, contract } = self;
        let part = |index: u32| (chain_id >> (index * PART_BITS)) as u32 & ((1 << PART_BITS) - 1);
        let mut owner = [0; COMMAND_CELLS];
        owner[..6].copy_from_slice(&owner_cells(contract));
        compress(&block_cells(&[TAG, part(0), part(1), part(2), 0, 0, 0], 0), &block_cells(&owner, 0))
    }
}

/// The head of a session before its first instruction.
pub fn head_start(domain: &Digest, account: AccountId, key: KeyIndex, generation: u32) -> Digest {
    absorb(domain, &[session_cell(account, key), 0, 0, 0, 0, 0, 0], generation)
}

/// The head after one more instruction.
pub fn head_absorb(head: &Digest, sequence: u32, instruction: &Instruction) -> Digest {
    blocks(instruction).absorbed_by(head, sequence)
}

/// An instruction as it reaches the sequencer: signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Instructions of this session before this one.
    pub sequence: u32,
    pub instruction: Instruction,
    /// Of the session's head after this instruction.
    pub signature: Signature,
}

/// The client's end of a session: knows its head, and signs.
///
/// It must see every instruction that it signs reach the chain, in order. A signature covers all that led to the head: so never take up a head on the venue's word. After a disconnect, go on
/// from your own record, or from the session's slot under the root of a batch that is proven (it is sealed: what led to it was signed).
#[derive(Debug)]
pub struct Session {
    secret: SecretKey,
    key: KeyIndex,
    sequence: u32,
    head: Digest,
}

impl Session {
    /// A session that has signed nothing yet.
    pub fn new(secret: SecretKey, domain: &Digest, account: AccountId, key: KeyIndex, generation: u32) -> Self {
        Self::resume(secret, key, 0, head_start(domain, account, key, generation))
    }

    /// A session that stands here.
    pub const fn resume(secret: SecretKey, key: KeyIndex, sequence: u32, head: Digest) -> Self {
        Self { secret, key, sequence, head }
    }

    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    pub const fn head(&self) -> &Digest {
        &self.head
    }

    /// Signs the next command.
    pub fn request(&mut self, command: crate::Command) -> Request {
        let instruction = self.extend(command);
        Request { sequence: self.sequence - 1, instruction, signature: self.sign() }
    }

    /// Appends a command without signing: a later signature covers it.
    pub fn extend(&mut self, command: crate::Command) -> Instruction {
        let instruction = Instruction { key: self.key, command };
        self.head = head_absorb(&self.head, self.sequence, &instruction);
        self.sequence += 1;
        instruction
    }

    /// The signature of everything so far.
    pub fn sign(&self) -> Signature {
        self.secret.sign(&self.head)
    }
}
