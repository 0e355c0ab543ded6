//! Openings: what a slot of the state holds, shown against a state root, as Ethereum reads them.
//!
//! `contracts/src/StateTree.sol` is the twin of this module: the same bytes, and on every byte string the same verdict, by the same checks in the same order. A verdict is what the
//! slot holds, or the first thing that is wrong ([`OpeningError`], whose variants are the contract's errors). Nothing here panics on any bytes.
//!
//! # Encoding
//!
//! A digest, or a raw leaf, is 32 bytes: eight cells as *big-endian* `u32`, in order, so that the first one is the most significant of an EVM word. A slot is its raw leaves.
//! *Siblings* are digests of nodes, each the other child of the parent of a node on the path, from the level said up to level 27. The index of what is opened is not among the
//! bytes: the reader says what is to be opened.
//!
//! | opening of an account | bytes |
//! |---|---|
//! | the account: 4 leaves | 128 |
//! | its owner: 1 leaf | 32 |
//! | the digest of its session keys' 16 leaves (level 4) | 32 |
//! | for each directory entry that is not empty, ascending: the position, 4 leaves | 128 n |
//! | siblings from level 7 on | 672 |
//!
//! An account's other leaves are zero: those that belong to no slot, and the positions of empty entries, since only a flat position without orders is released.
//!
//! | opening of the system | bytes | | opening of the deployment | bytes |
//! |---|---|---|---|---|
//! | 4 leaves | 128 | | 1 leaf | 32 |
//! | siblings from level 2 on | 832 | | siblings from level 0 on | 896 |
//!
//! | opening of the bridge | bytes |
//! |---|---|
//! | the inbox's slot, 4 leaves; the payouts', 4 leaves | 256 |
//! | siblings from level 3 on | 800 |
//!
//! | opening of a set of markets | bytes |
//! |---|---|
//! | for each market, ascending: 4 leaves | 128 n |
//! | for each level from 2 to 9, and each node there that is above a market of the set and whose sibling is not, ascending: that sibling | 32 each |
//! | siblings of the node above all markets, from level 10 on | 576 |
//!
//! Cells have one form: a bit is 0 or 1, an id below 2^30, a limb below 2^14, minus zero is none, and cells that no field has are 0. So a slot has one encoding, and since the
//! root fixes all digests, an opening has one too.

use std::collections::BTreeSet;

use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_BYTES, DIGEST_ZERO, cell_from_canonical, cell_to_canonical},
    poseidon2::compress,
    tree::{DEPTH, Tree},
};
use holdfast_protocol::{AccountId, Address, MarketId, cells::owner_from_cells, limits};

use crate::{
    machine::{LIMB_BITS, Plain, WORD_LIMBS},
    record::{CellReader, PlainReader, Record},
    slots::{Account, Kind, LEAF_CELLS, Market, Position, Session, Slot, System},
};

/// Bytes of a slot of four leaves.
const SLOT_BYTES: usize = 4 * DIGEST_BYTES;
/// The level of the nodes over four leaves.
const SLOT_LEVEL: u32 = 2;
/// The level of the nodes that have exactly one account's leaves below them.
const ACCOUNT_LEVEL: u32 = Kind::Account.region().outer_stride.ilog2();
/// The level of the node that has exactly the markets' leaves below it.
const MARKETS_LEVEL: u32 = SLOT_LEVEL + limits::MARKET_BITS;
/// The level of the node over the bridge's two slots, and that node's first leaf.
const BRIDGE_LEVEL: u32 = SLOT_LEVEL + 1;
const BRIDGE_LEAF: u32 = Kind::Session.region().leaf((1 << limits::ACCOUNT_BITS) - 1, 0);
/// Where the parts of an account's opening begin.
const OWNER_AT: usize = SLOT_BYTES;
const SESSIONS_AT: usize = OWNER_AT + DIGEST_BYTES;
const POSITIONS_AT: usize = SESSIONS_AT + DIGEST_BYTES;
const ACCOUNT_PATH_BYTES: usize = DIGEST_BYTES * (DEPTH - ACCOUNT_LEVEL) as usize;
/// Bits of an id.
const ID_BITS: u32 = 30;
/// Levels of subtrees of an account that may be empty.
const ZEROS: usize = 7;

// The layout that the paths below are of.
const _: () = assert!(Kind::Account.region().base == 1 << 27 && ACCOUNT_LEVEL == 7);
const _: () = assert!(Kind::Owner.region().base - Kind::Account.region().base == 4);
const _: () = assert!(Kind::Session.region().base - Kind::Account.region().base == 16 && limits::KEYS_MAX == 4);
const _: () = assert!(Kind::Position.region().base - Kind::Account.region().base == 64 && limits::ENTRIES_MAX == 16);
const _: () = assert!(Kind::Market.region().base == 1 << MARKETS_LEVEL && Kind::Market.region().leaves == 4);

/// Why bytes are not the opening of what they should open. Positions are byte offsets in the opening.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("there is no account {account}")]
    AccountRange { account: u32 },
    #[error("no market is asked for")]
    NoMarkets,
    /// Of an account whose opening is too short to say how many positions there are, `expected` is the shortest.
    #[error("expected {expected} bytes, got {got}")]
    OpeningLength { expected: usize, got: usize },
    #[error("a cell of the digest at byte {at} is not below the field's modulus")]
    NotCanonical { at: usize },
    #[error("the raw leaf at byte {at} is none that this slot can have")]
    LeafWrong { at: usize },
    #[error("an integer of the slot at byte {at} is minus zero")]
    NegativeZero { at: usize },
    #[error("{entries} directory entries, more than there are")]
    EntriesWrong { entries: u32 },
    #[error("directory entry {entry} holds {cell}, which is no market, or is not among the entries in use")]
    DirectoryWrong { entry: usize, cell: u32 },
    #[error("the position of entry {entry} is of market cell {got}, the directory says {expected}")]
    MarketWrong { entry: usize, expected: u32, got: u32 },
    #[error("the opening is of root {got:?}, not {expected:?}")]
    RootWrong { expected: Digest, got: Digest },
}

/// What an account's opening shows.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedAccount {
    pub account: Account<Plain>,
    /// To whom its withdrawals go, if the account is open.
    pub owner: Option<Address>,
    /// The directory entries that are not empty, ascending, and their positions.
    pub positions: Vec<(usize, Position<Plain>)>,
}

/// How far the two chains with Ethereum have come: what they have absorbed, and their heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedBridge {
    pub inbox_count: u32,
    pub inbox_head: Digest,
    pub payout_count: u32,
    pub payout_head: Digest,
}

/// Opens an account: its slot, its owner and all its positions.
pub fn open_account(tree: &Tree, account: AccountId) -> Vec<u8> {
    let first = Kind::Account.region().leaf(account.get(), 0);
    let mut bytes = Vec::with_capacity(POSITIONS_AT + SLOT_BYTES * limits::ENTRIES_MAX + ACCOUNT_PATH_BYTES);
    push_leaves(&mut bytes, tree, first, 4);
    push_leaves(&mut bytes, tree, Kind::Owner.region().leaf(account.get(), 0), 1);
    push(&mut bytes, &tree.node(4, (first >> 4) + 1));
    let leaves: Vec<F> = (first..first + 4).flat_map(|leaf| tree.node(0, leaf)).collect();
    for entry in 0..limits::ENTRIES_MAX as u32 {
        if leaves[DIRECTORY_CELL + entry as usize] != DIGEST_ZERO[0] {
            push_leaves(&mut bytes, tree, Kind::Position.region().leaf(account.get(), entry), 4);
        }
    }
    push_path(&mut bytes, tree, first >> ACCOUNT_LEVEL, ACCOUNT_LEVEL);
    bytes
}

/// Opens the venue's slot.
pub fn open_system(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_leaves(&mut bytes, tree, Kind::System.region().leaf(0, 0), 4);
    push_path(&mut bytes, tree, Kind::System.region().base >> SLOT_LEVEL, SLOT_LEVEL);
    bytes
}

/// Opens the two slots of the bridge.
pub fn open_bridge(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_leaves(&mut bytes, tree, BRIDGE_LEAF, 8);
    push_path(&mut bytes, tree, BRIDGE_LEAF >> BRIDGE_LEVEL, BRIDGE_LEVEL);
    bytes
}

/// Opens the deployment's slot.
pub fn open_deployment(tree: &Tree) -> Vec<u8> {
    let leaf = Kind::Deployment.region().leaf(0, 0);
    let mut bytes = Vec::new();
    push_leaves(&mut bytes, tree, leaf, 1);
    push_path(&mut bytes, tree, leaf, 0);
    bytes
}

/// Opens a set of markets together. (Of the empty set, nothing is an opening.)
pub fn open_markets(tree: &Tree, set: &BTreeSet<MarketId>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut nodes: Vec<u32> = Vec::new();
    for market in set {
        let first = Kind::Market.region().leaf(market.get(), 0);
        push_leaves(&mut bytes, tree, first, 4);
        nodes.push(first >> SLOT_LEVEL);
    }
    for level in SLOT_LEVEL..MARKETS_LEVEL {
        for &node in &nodes {
            if nodes.binary_search(&(node ^ 1)).is_err() {
                push(&mut bytes, &tree.node(level, node ^ 1));
            }
        }
        for node in &mut nodes {
            *node >>= 1;
        }
        nodes.dedup();
    }
    push_path(&mut bytes, tree, 1, MARKETS_LEVEL);
    bytes
}

/// What an account holds in the state of this root.
///
/// # Errors
/// Where the bytes are not its opening against this root.
pub fn read_account(root: &Digest, account: u32, bytes: &[u8]) -> Result<OpenedAccount, OpeningError> {
    if account >> limits::ACCOUNT_BITS != 0 {
        return Err(OpeningError::AccountRange { account });
    }
    let shortest = POSITIONS_AT + ACCOUNT_PATH_BYTES;
    if bytes.len() < shortest {
        return Err(OpeningError::OpeningLength { expected: shortest, got: bytes.len() });
    }
    let (slot, digest) = read_slot::<Account<Plain>>(bytes, 0)?;
    if slot.entries as usize > limits::ENTRIES_MAX {
        return Err(OpeningError::EntriesWrong { entries: slot.entries });
    }
    for (entry, &cell) in slot.directory.iter().enumerate() {
        if cell > 1 << limits::MARKET_BITS || (cell != 0 && entry >= slot.entries as usize) {
            return Err(OpeningError::DirectoryWrong { entry, cell });
        }
    }
    let occupied = || slot.directory.iter().copied().enumerate().filter(|&(_, cell)| cell != 0);
    let siblings = POSITIONS_AT + SLOT_BYTES * occupied().count();
    require_length(bytes, siblings + ACCOUNT_PATH_BYTES)?;

    let zeros = zeros();
    let (owner, owner_digest) = read_owner(bytes, &zeros)?;
    let mut node = compress(&digest, &owner_digest);
    node = compress(&node, &zeros[3]);
    node = compress(&node, &digest_at(bytes, SESSIONS_AT)?);
    node = compress(&node, &zeros[5]);

    let mut positions = Vec::new();
    let mut nodes = [zeros[SLOT_LEVEL as usize]; limits::ENTRIES_MAX];
    for (place, (entry, expected)) in occupied().enumerate() {
        let at = POSITIONS_AT + SLOT_BYTES * place;
        let cells = cells_at(bytes, at, 4);
        check_leaves::<Position<Plain>>(&cells, at)?;
        if cells[0] != expected {
            return Err(OpeningError::MarketWrong { entry, expected, got: cells[0] });
        }
        let (position, digest) = read_slot(bytes, at)?;
        nodes[entry] = digest;
        positions.push((entry, position));
    }
    let mut nodes = nodes.to_vec();
    while nodes.len() > 1 {
        nodes = nodes.as_chunks::<2>().0.iter().map(|[left, right]| compress(left, right)).collect();
    }
    node = compress(&node, &nodes[0]);
    let index = Kind::Account.region().leaf(account, 0) >> ACCOUNT_LEVEL;
    require_root(root, climb(bytes, siblings, node, index, ACCOUNT_LEVEL)?)?;
    Ok(OpenedAccount { account: slot, owner, positions })
}

/// The venue's slot in the state of this root.
///
/// # Errors
/// Where the bytes are not its opening against this root.
pub fn read_system(root: &Digest, bytes: &[u8]) -> Result<System<Plain>, OpeningError> {
    require_length(bytes, SLOT_BYTES + DIGEST_BYTES * (DEPTH - SLOT_LEVEL) as usize)?;
    let (system, digest) = read_slot(bytes, 0)?;
    require_root(root, climb(bytes, SLOT_BYTES, digest, Kind::System.region().base >> SLOT_LEVEL, SLOT_LEVEL)?)?;
    Ok(system)
}

/// The two slots of the bridge in the state of this root.
///
/// # Errors
/// Where the bytes are not their opening against this root.
pub fn read_bridge(root: &Digest, bytes: &[u8]) -> Result<OpenedBridge, OpeningError> {
    let siblings = 2 * SLOT_BYTES;
    require_length(bytes, siblings + DIGEST_BYTES * (DEPTH - BRIDGE_LEVEL) as usize)?;
    let (inbox, inbox_digest) = read_slot::<Session<Plain>>(bytes, 0)?;
    let (payouts, payouts_digest) = read_slot::<Session<Plain>>(bytes, SLOT_BYTES)?;
    let node = compress(&inbox_digest, &payouts_digest);
    require_root(root, climb(bytes, siblings, node, BRIDGE_LEAF >> BRIDGE_LEVEL, BRIDGE_LEVEL)?)?;
    Ok(OpenedBridge {
        inbox_count: inbox.sequence,
        inbox_head: inbox.head,
        payout_count: payouts.sequence,
        payout_head: payouts.head,
    })
}

/// The domain of the deployment in the state of this root.
///
/// # Errors
/// Where the bytes are not the opening of its slot against this root.
pub fn read_deployment(root: &Digest, bytes: &[u8]) -> Result<Digest, OpeningError> {
    require_length(bytes, DIGEST_BYTES * (1 + DEPTH as usize))?;
    let domain = digest_at(bytes, 0)?;
    require_root(root, climb(bytes, DIGEST_BYTES, domain, Kind::Deployment.region().base, 0)?)?;
    Ok(domain)
}

/// The markets of a set in the state of this root, ascending.
///
/// # Errors
/// Where the set is empty, or the bytes are not its opening against this root.
pub fn read_markets(root: &Digest, set: &BTreeSet<MarketId>, bytes: &[u8]) -> Result<Vec<Market<Plain>>, OpeningError> {
    if set.is_empty() {
        return Err(OpeningError::NoMarkets);
    }
    require_length(bytes, markets_length(set))?;
    let mut markets = Vec::new();
    let mut nodes: Vec<(u32, Digest)> = Vec::new();
    let mut at = 0;
    for market in set {
        let (slot, digest) = read_slot(bytes, at)?;
        markets.push(slot);
        nodes.push((Kind::Market.region().leaf(market.get(), 0) >> SLOT_LEVEL, digest));
        at += SLOT_BYTES;
    }
    while nodes[0].0 > 1 {
        let mut parents = Vec::with_capacity(nodes.len());
        for pair in nodes.chunk_by(|(left, _), (right, _)| left ^ 1 == *right) {
            let parent = if let [(_, left), (_, right)] = pair {
                compress(left, right)
            } else {
                let sibling = digest_at(bytes, at)?;
                at += DIGEST_BYTES;
                let (index, node) = &pair[0];
                if index & 1 == 0 { compress(node, &sibling) } else { compress(&sibling, node) }
            };
            parents.push((pair[0].0 >> 1, parent));
        }
        nodes = parents;
    }
    require_root(root, climb(bytes, at, nodes[0].1, 1, MARKETS_LEVEL)?)?;
    Ok(markets)
}

/// Where an account's directory begins among its cells.
const DIRECTORY_CELL: usize = <Account<Plain> as Record<Plain>>::CELLS - limits::ENTRIES_MAX;

/// The length of the opening of a set of markets.
fn markets_length(set: &BTreeSet<MarketId>) -> usize {
    let mut nodes: Vec<u32> = set.iter().map(|market| market.get()).collect();
    let mut siblings = (DEPTH - MARKETS_LEVEL) as usize;
    for _ in SLOT_LEVEL..MARKETS_LEVEL {
        let below = nodes.len();
        nodes.iter_mut().for_each(|node| *node >>= 1);
        nodes.dedup();
        siblings += 2 * nodes.len() - below;
    }
    SLOT_BYTES * set.len() + DIGEST_BYTES * siblings
}

/// The digests of subtrees that were never written, by level.
fn zeros() -> [Digest; ZEROS] {
    let mut zeros = [DIGEST_ZERO; ZEROS];
    for level in 1..ZEROS {
        zeros[level] = compress(&zeros[level - 1], &zeros[level - 1]);
    }
    zeros
}

fn push(bytes: &mut Vec<u8>, digest: &Digest) {
    bytes.extend(digest.iter().flat_map(|&cell| cell_to_canonical(cell).to_be_bytes()));
}

fn push_leaves(bytes: &mut Vec<u8>, tree: &Tree, first: u32, count: u32) {
    for leaf in first..first + count {
        push(bytes, &tree.node(0, leaf));
    }
}

/// The siblings from a node of this level up.
fn push_path(bytes: &mut Vec<u8>, tree: &Tree, index: u32, level: u32) {
    for above in level..DEPTH {
        push(bytes, &tree.node(above, (index >> (above - level)) ^ 1));
    }
}

fn require_length(bytes: &[u8], expected: usize) -> Result<(), OpeningError> {
    if bytes.len() == expected { Ok(()) } else { Err(OpeningError::OpeningLength { expected, got: bytes.len() }) }
}

fn require_root(expected: &Digest, got: Digest) -> Result<(), OpeningError> {
    if got == *expected { Ok(()) } else { Err(OpeningError::RootWrong { expected: *expected, got }) }
}

/// The cells of leaves, of which there are so many.
fn cells_at(bytes: &[u8], at: usize, leaves: usize) -> Vec<u32> {
    let (cells, _) = bytes[at..at + DIGEST_BYTES * leaves].as_chunks::<4>();
    cells.iter().map(|&cell| u32::from_be_bytes(cell)).collect()
}

fn digest_at(bytes: &[u8], at: usize) -> Result<Digest, OpeningError> {
    let mut digest = DIGEST_ZERO;
    for (cell, &value) in digest.iter_mut().zip(&cells_at(bytes, at, 1)) {
        *cell = cell_from_canonical(value).ok_or(OpeningError::NotCanonical { at })?;
    }
    Ok(digest)
}

/// From a node of this level to the root.
fn climb(bytes: &[u8], at: usize, mut node: Digest, index: u32, level: u32) -> Result<Digest, OpeningError> {
    for step in 0..DEPTH - level {
        let sibling = digest_at(bytes, at + DIGEST_BYTES * step as usize)?;
        node = if (index >> step) & 1 == 0 { compress(&node, &sibling) } else { compress(&sibling, &node) };
    }
    Ok(node)
}

/// A slot of four leaves, and its digest.
fn read_slot<S: Slot<Plain>>(bytes: &[u8], at: usize) -> Result<(S, Digest), OpeningError> {
    let cells = cells_at(bytes, at, 4);
    check_leaves::<S>(&cells, at)?;
    let mut checker = Checker::new(&cells);
    S::read(&mut checker);
    if checker.negative_zero {
        return Err(OpeningError::NegativeZero { at });
    }
    let slot = S::read(&mut PlainReader(&cells));
    let leaf = |i| digest_at(bytes, at + DIGEST_BYTES * i);
    let digest = compress(&compress(&leaf(0)?, &leaf(1)?), &compress(&leaf(2)?, &leaf(3)?));
    Ok((slot, digest))
}

/// Checks that all cells are of the form that their fields have, and those that no field has are zero.
fn check_leaves<S: Slot<Plain>>(cells: &[u32], at: usize) -> Result<(), OpeningError> {
    let mut checker = Checker::new(cells);
    S::read(&mut checker);
    let unused = cells[S::CELLS..].iter().position(|&cell| cell != 0).map(|cell| S::CELLS + cell);
    match checker.wrong.or(unused) {
        Some(cell) => Err(OpeningError::LeafWrong { at: at + cell / LEAF_CELLS * DIGEST_BYTES }),
        None => Ok(()),
    }
}

/// The owner, if there is one, and the node of level 2 that its leaf is below.
fn read_owner(bytes: &[u8], zeros: &[Digest; ZEROS]) -> Result<(Option<Address>, Digest), OpeningError> {
    let wrong = OpeningError::LeafWrong { at: OWNER_AT };
    let cells = cells_at(bytes, OWNER_AT, 1);
    let (Ok(parts), 0) = (cells[1..7].try_into(), cells[7]) else { return Err(wrong) };
    let address = owner_from_cells(parts).ok_or(wrong.clone())?;
    let owner = match cells[0] {
        1 => Some(address),
        0 if address == Address::ZERO => None,
        _ => return Err(wrong),
    };
    let leaf = digest_at(bytes, OWNER_AT)?;
    Ok((owner, compress(&compress(&leaf, &zeros[0]), &zeros[1])))
}

/// Reads a record's cells to see whether they are of the form that the fields have.
struct Checker<'a> {
    cells: &'a [u32],
    next: usize,
    /// The first cell that is too large.
    wrong: Option<usize>,
    negative_zero: bool,
}

impl<'a> Checker<'a> {
    fn new(cells: &'a [u32]) -> Self {
        Self { cells, next: 0, wrong: None, negative_zero: false }
    }

    /// The next cell, which should have at most so many bits.
    fn cell(&mut self, bits: u32) -> u32 {
        let cell = self.cells[self.next];
        if cell >> bits != 0 && self.wrong.is_none() {
            self.wrong = Some(self.next);
        }
        self.next += 1;
        cell
    }
}

impl CellReader<Plain> for Checker<'_> {
    fn bit(&mut self) -> bool {
        self.cell(1) != 0
    }
    fn id(&mut self) -> u32 {
        self.cell(ID_BITS)
    }
    fn word(&mut self) -> u64 {
        u64::from(self.wide::<WORD_LIMBS>() != 0)
    }
    /// Whether it is not zero: no more is asked here.
    fn wide<const L: usize>(&mut self) -> u128 {
        (0..L).fold(0, |any, _| any | u128::from(self.cell(LIMB_BITS)))
    }
    fn int<const L: usize>(&mut self) -> i128 {
        let negative = self.bit();
        let zero = self.wide::<L>() == 0;
        self.negative_zero |= negative && zero;
        0
    }
    fn fields<const N: usize>(&mut self) -> [F; N] {
        std::array::from_fn(|_| cell_from_canonical(self.cell(31)).unwrap_or_default())
    }
}
