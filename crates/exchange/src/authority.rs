//! Session keys natively: chaining instructions to their sessions, and checking signatures before the engine relies on them.
//!
//! Two types carry what was done: a [`Chained`] instruction has its session's chain computed, and a [`Verified`] signature was checked. Neither can be made otherwise.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_crypto::{
    Digest,
    curve::Affine,
    schnorr::{PublicKey, verify, verify_batch},
    septic::Septic,
};
use holdfast_protocol::{
    AccountId, Command, Instruction, KeyIndex, Request, Seal, Signature,
    cells::{absorb, blocks},
    command::INBOX,
    limits::{BRIDGE, SEQUENCE_MAX},
};

use crate::{fields::InstructionFields, machine::Plain, slots::Session, store::Store};

/// Why the sequencer does not let a request in. It is not in the batch then, and its session stands where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("account {account}, session key {key}: no such key is registered")]
    NoKey { account: AccountId, key: KeyIndex },
    #[error("account {account}, session key {key}: expected sequence number {expected}, got {got}")]
    Sequence { account: AccountId, key: KeyIndex, expected: u32, got: u32 },
    #[error("account {account}, session key {key}: it has signed as many commands as it may; replace it")]
    WornOut { account: AccountId, key: KeyIndex },
    #[error("account {account}, session key {key}: the signature is not that of the session's head")]
    Signature { account: AccountId, key: KeyIndex },
    #[error("account {account}, session key {key}: there is nothing to seal")]
    Sealed { account: AccountId, key: KeyIndex },
    #[error(
        "account {account}, session key {key}: it is replaced or revoked before a seal covers what it has asked for"
    )]
    Unsealed { account: AccountId, key: KeyIndex },
    #[error("account {account}: expected an instruction of a session key, got one that only Ethereum can ask for")]
    Forced { account: AccountId },
    #[error("the batch holds as many instructions as it may; close it")]
    BatchFull,
}

/// Whether the state lets an instruction be executed (and perhaps be rejected): what a step asserts, asked beforehand.
pub fn check_instruction(store: &Store, instruction: &Instruction) -> Result<(), Refusal> {
    let (account, key) = instruction.session();
    let session = store.session_of((account, key));
    // The inbox is live, but nobody's key.
    if !session.live || (account.get() == BRIDGE && !instruction.is_forced()) {
        return Err(Refusal::NoKey { account, key });
    }
    if session.sequence == SEQUENCE_MAX {
        return Err(Refusal::WornOut { account, key });
    }
    match replaced(store, instruction) {
        Some((account, key)) if store.session_of((account, key)).unsealed => Err(Refusal::Unsealed { account, key }),
        _ => Ok(()),
    }
}

/// The session whose key an instruction would replace or take away, if the registrar asks for it, and not for the key that it signs with.
pub(crate) fn replaced(store: &Store, instruction: &Instruction) -> Option<(AccountId, KeyIndex)> {
    let session = match &instruction.command {
        Command::Register(c) => (c.account, c.key),
        Command::Revoke(c) => (c.account, c.key),
        _ => return None,
    };
    let own = instruction.session();
    (own.0.get() == store.system().registrar && session != own).then_some(session)
}

/// Most blocks of an instruction.
const BLOCKS_MAX: usize = 3;

/// An instruction, and what its session's chain becomes by it.
#[derive(Debug, Clone)]
pub struct Chained {
    instruction: Instruction,
    before: Digest,
    /// After each block.
    heads: [Digest; BLOCKS_MAX],
    count: usize,
    fields: InstructionFields<Plain>,
}

impl Chained {
    /// Chains an instruction to its session as the state has it.
    pub fn new(store: &Store, instruction: &Instruction) -> Result<Self, Refusal> {
        check_instruction(store, instruction)?;
        Chain::of(store, instruction.session())?.append(instruction)
    }

    pub fn instruction(&self) -> &Instruction {
        &self.instruction
    }

    /// The session's head after the instruction: what its signature covers.
    pub fn head(&self) -> &Digest {
        &self.heads[self.count - 1]
    }

    pub(crate) fn heads(&self) -> &[Digest] {
        &self.heads[..self.count]
    }

    pub(crate) fn fields(&self) -> InstructionFields<Plain> {
        self.fields.clone()
    }

    #[inline]
    pub(crate) fn assert_follows(&self, store: &Store) {
        let session = store.session_of(self.instruction.session());
        assert!(session.live && session.head == self.before, "an instruction follows its session's head");
    }
}

/// Where the chain of one session stands: in the state, or ahead of it.
#[derive(Debug, Clone, Copy)]
struct Chain {
    account: AccountId,
    key: KeyIndex,
    sequence: u32,
    head: Digest,
}

impl Chain {
    fn of(store: &Store, (account, key): (AccountId, KeyIndex)) -> Result<Self, Refusal> {
        let session = store.session_of((account, key));
        if !session.live {
            return Err(Refusal::NoKey { account, key });
        }
        debug_assert!(account.get() != BRIDGE || (account, key) == INBOX, "the bridge has no keys");
        Ok(Self { account, key, sequence: session.sequence, head: session.head })
    }

    fn append(&mut self, instruction: &Instruction) -> Result<Chained, Refusal> {
        let Self { account, key, .. } = *self;
        if self.sequence == SEQUENCE_MAX {
            return Err(Refusal::WornOut { account, key });
        }
        let blocks = blocks(instruction);
        let mut chained = Chained {
            instruction: *instruction,
            before: self.head,
            heads: [self.head; BLOCKS_MAX],
            count: 0,
            fields: InstructionFields::new(instruction, &blocks),
        };
        let last = std::iter::once(self.sequence).chain(std::iter::repeat(0));
        for (block, last) in std::iter::once(&blocks.first).chain(blocks.further()).zip(last) {
            self.head = absorb(&self.head, block, last);
            chained.heads[chained.count] = self.head;
            chained.count += 1;
        }
        self.sequence += 1;
        Ok(chained)
    }
}

/// The public key of a session, if one is registered. (The inbox is live without one.)
pub fn public_key(session: &Session<Plain>) -> Option<PublicKey> {
    let coordinate = |at: usize| Septic(std::array::from_fn(|i| session.public_key[at + i]));
    let point = if session.live { Affine::new(coordinate(0), coordinate(7)) } else { None };
    point.map(PublicKey::new)
}

/// A signature that was checked: the session's key has signed this head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    account: AccountId,
    key: KeyIndex,
    head: Digest,
    signature: Signature,
}

impl Verified {
    pub fn session(&self) -> (AccountId, KeyIndex) {
        (self.account, self.key)
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(crate) fn covers(&self, session: &Session<Plain>) -> bool {
        session.live && session.head == self.head
    }
}

/// Chains requests to their sessions and checks their signatures together, which costs less than one by one. What a refused request would have led to is
/// taken back: the next of its session stands where it stood. The requests must not change session keys but in the last one.
pub fn admit(store: &Store, requests: &[Request]) -> Vec<Result<(Chained, Verified), Refusal>> {
    let mut admitted: Vec<Option<Admitted>> = vec![None; requests.len()];
    // A wrong signature takes its instruction out of its session, and what follows there stands elsewhere: those sessions again, without the first wrong one of each.
    let mut doubtful: Vec<usize> = (0..requests.len()).collect();
    for _ in 0..ROUNDS_MAX {
        let mut chains = BTreeMap::new();
        let (mut claims, mut claimed) = (Vec::new(), Vec::new());
        for &at in &doubtful {
            if is_forged(&admitted[at]) {
                continue;
            }
            admitted[at] = Some(chain_one(store, &mut chains, &requests[at]).map(|(chained, verified, claim)| {
                claims.push(claim);
                claimed.push(at);
                (chained, verified)
            }));
        }
        let mut wrong = BTreeSet::new();
        for at in verify_batch(&claims).err().into_iter().flatten().map(|at| claimed[at]) {
            let (account, key) = requests[at].instruction.session();
            if wrong.insert((account, key)) {
                admitted[at] = Some(Err(Refusal::Signature { account, key }));
            }
        }
        doubtful.retain(|&at| wrong.contains(&requests[at].instruction.session()));
        if doubtful.is_empty() {
            break;
        }
    }
    let mut chains = BTreeMap::new();
    for at in doubtful {
        if !is_forged(&admitted[at]) {
            admitted[at] = Some(admit_one(store, &mut chains, &requests[at]));
        }
    }
    admitted.into_iter().map(|result| result.expect("every request was looked at")).collect()
}

/// Rounds of checking together; sessions with more wrong signatures than that are checked one by one.
const ROUNDS_MAX: usize = 4;

type Admitted = Result<(Chained, Verified), Refusal>;

fn is_forged(admitted: &Option<Admitted>) -> bool {
    matches!(admitted, Some(Err(Refusal::Signature { .. })))
}

type Claim = (PublicKey, Digest, Signature);

type Chains = BTreeMap<(AccountId, KeyIndex), (Chain, PublicKey)>;

/// Chains a request, believing its signature.
fn chain_one(store: &Store, chains: &mut Chains, request: &Request) -> Result<(Chained, Verified, Claim), Refusal> {
    let Request { sequence, instruction, signature } = request;
    if instruction.is_forced() {
        return Err(Refusal::Forced { account: instruction.command.signer() });
    }
    let (account, key) = instruction.session();
    let (chain, public_key) = match chains.entry((account, key)) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => {
            let chain = Chain::of(store, (account, key))?;
            let public_key = public_key(store.session_of((account, key))).ok_or(Refusal::NoKey { account, key })?;
            entry.insert((chain, public_key))
        }
    };
    if *sequence != chain.sequence {
        return Err(Refusal::Sequence { account, key, expected: chain.sequence, got: *sequence });
    }
    let chained = chain.append(instruction)?;
    let head = *chained.head();
    let verified = Verified { account, key, head, signature: *signature };
    Ok((chained, verified, (*public_key, head, *signature)))
}

fn admit_one(store: &Store, chains: &mut Chains, request: &Request) -> Result<(Chained, Verified), Refusal> {
    let session = request.instruction.session();
    let before = chains.get(&session).copied();
    let (chained, verified, (public_key, head, signature)) = chain_one(store, chains, request)?;
    if verify(&public_key, &head, &signature) {
        return Ok((chained, verified));
    }
    match before {
        Some(before) => chains.insert(session, before),
        None => chains.remove(&session),
    };
    Err(Refusal::Signature { account: session.0, key: session.1 })
}

/// Checks published seals against the heads that their sessions have, all of them together. On refusal, one of them that is at fault.
pub fn check_seals(store: &Store, seals: &[Seal]) -> Result<Vec<Verified>, Refusal> {
    let mut claims = Vec::with_capacity(seals.len());
    let mut checked = Vec::with_capacity(seals.len());
    let mut sealed = BTreeSet::new();
    for &Seal { after: _, account, key, signature } in seals {
        let session = store.session_of((account, key));
        let public_key = public_key(session).ok_or(Refusal::NoKey { account, key })?;
        if !session.unsealed || !sealed.insert((account, key)) {
            return Err(Refusal::Sealed { account, key });
        }
        claims.push((public_key, session.head, signature));
        checked.push(Verified { account, key, head: session.head, signature });
    }
    match verify_batch(&claims) {
        Ok(()) => Ok(checked),
        Err(invalid) => {
            let Verified { account, key, .. } = checked[invalid[0]];
            Err(Refusal::Signature { account, key })
        }
    }
}
