//! Commands as cells, and the digest that binds a proof to the published data.
//!
//! An instruction is one block of eight cells, or more: seven cells below 2^28 (a head: kind + 16 × flags; the session: signer + 2^20 × key; ids; words and amounts
//! as 28-bit parts), and an eighth that depends on who absorbs it. Kinds that do not fit are *extended*: further blocks follow, whose number the kind fixes, so that a
//! sequence of blocks can be read in one way only.
//!
//! | kind | cells 2.. of the first block | further blocks |
//! |---|---|---|
//! | deposit | account, amount (3) | |
//! | withdraw | 0, amount (3) | |
//! | place | market, price (2), size (2) | |
//! | cancel | order slot, generation | |
//! | cancel all, release | market | |
//! | amend | order slot, price (2), size (2) | |
//! | mark | market, price (2) | |
//! | time | 0, time (2) | |
//! | open | account | owner (6 × 28 bits), 0, 0 |
//! | register | account + 2^20 × key, expiry (2) | x (7), 0; y (7), 0 of the public key |
//! | revoke | account + 2^20 × key | |
//!
//! Two chains absorb them, each by `compress(chain, block)`: a session's chain (see [`crate::authority`]), and the batch's digest, which starts from the batch's number. In the
//! first block, the eighth cell is the sequence number for the former and the outcome's code for the latter; in further blocks it is 0.

use holdfast_crypto::{Digest, F, field::cell_to_canonical, poseidon2::compress};

use crate::{
    batch::Batch,
    command::{Command, Instruction, SelfTrade, Side, TimeInForce},
    limits,
    reject::Outcome,
    units::{AccountId, KeyIndex},
};

/// Cells of a block that the command itself fills.
pub const COMMAND_CELLS: usize = 7;
/// Weight of the flags in the head.
pub const FLAGS: u32 = 16;
/// Bits of a part of a number that is more than one cell.
pub const PART_BITS: u32 = 28;
/// Cells of an owner's address.
pub const OWNER_CELLS: usize = 6;

/// Seven cells, as canonical values.
pub type Block = [u32; COMMAND_CELLS];

const fn part(value: u128, index: u32) -> u32 {
    (value >> (index * PART_BITS)) as u32 & ((1 << PART_BITS) - 1)
}

/// An account and one of its keys in one cell.
pub const fn session_cell(account: AccountId, key: KeyIndex) -> u32 {
    account.get() + (key.get() << limits::ACCOUNT_BITS)
}

/// An address as cells of 28 bits, the least significant first.
pub fn owner_cells(owner: &crate::Address) -> [u32; OWNER_CELLS] {
    let bytes = owner.into_array();
    let (high, low) = bytes.split_at(4);
    let high = u32::from_be_bytes(high.try_into().expect("four bytes"));
    let low = u128::from_be_bytes(low.try_into().expect("sixteen bytes"));
    // 160 = 5 × 28 + 20: the fifth cell takes 16 bits of the low part and 12 of the high part.
    let middle = (low >> 112) as u32 | (high & 0xfff) << 16;
    [part(low, 0), part(low, 1), part(low, 2), part(low, 3), middle, high >> 12]
}

/// The address of these cells, if they are the cells of one.
pub fn owner_from_cells(cells: &[u32; OWNER_CELLS]) -> Option<crate::Address> {
    let [a, b, c, d, middle, high] = cells.map(u128::from);
    let low = a | b << 28 | c << 56 | d << 84 | (middle & 0xffff) << 112;
    let high = (middle >> 16) as u32 | (high as u32) << 12;
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&high.to_be_bytes());
    bytes[4..].copy_from_slice(&low.to_be_bytes());
    let owner = crate::Address::from(bytes);
    (owner_cells(&owner) == *cells).then_some(owner)
}

/// The blocks of an instruction: one, two or three.
pub fn blocks(instruction: &Instruction) -> Blocks {
    let Instruction { key, command } = instruction;
    let session = session_cell(command.signer(), *key);
    let head = |flags: u32| command.kind() + FLAGS * flags;
    let low_high = |value: u64| [part(value.into(), 0), part(value.into(), 1)];
    let transfer =
        |account: u32, amount: u128| [head(0), session, account, part(amount, 0), part(amount, 1), part(amount, 2), 0];
    let mut further = Further::None;
    let first = match command {
        Command::Deposit(c) => transfer(c.account.get(), c.amount.get()),
        Command::Withdraw(c) => transfer(0, c.amount.get()),
        Command::Place(c) => {
            let force = match c.time_in_force {
                TimeInForce::GoodTillCancel => 0,
                TimeInForce::ImmediateOrCancel => 1,
                TimeInForce::FillOrKill => 2,
                TimeInForce::PostOnly => 3,
            };
            let flags = u32::from(c.side == Side::Buy)
                + 2 * force
                + 8 * u32::from(c.reduce_only)
                + 16 * self_trade(c.self_trade);
            let [price_low, price_high] = low_high(c.price.get().into());
            let [size_low, size_high] = low_high(c.size.get());
            [head(flags), session, c.market.get(), price_low, price_high, size_low, size_high]
        }
        Command::Cancel(c) => [head(0), session, c.order.slot(), c.order.generation().into(), 0, 0, 0],
        Command::CancelAll(c) => [head(0), session, c.market.get(), 0, 0, 0, 0],
        Command::Amend(c) => {
            let flags = self_trade(c.self_trade) + 4 * u32::from(c.order.generation());
            let [price_low, price_high] = low_high(c.price.get().into());
            let [size_low, size_high] = low_high(c.size.get());
            [head(flags), session, c.order.slot(), price_low, price_high, size_low, size_high]
        }
        Command::Mark(c) => {
            let [low, high] = low_high(c.price.get().into());
            [head(0), session, c.market.get(), low, high, 0, 0]
        }
        Command::Time(c) => {
            let [low, high] = low_high(c.time.get());
            [head(0), session, 0, low, high, 0, 0]
        }
        Command::Release(c) => [head(0), session, c.market.get(), 0, 0, 0, 0],
        Command::Open(c) => {
            let mut block = [0; COMMAND_CELLS];
            block[..OWNER_CELLS].copy_from_slice(&owner_cells(&c.owner));
            further = Further::One(block);
            [head(0), session, c.account.get(), 0, 0, 0, 0]
        }
        Command::Register(c) => {
            let point = c.public_key.point();
            further = Further::Two([point.x(), point.y()].map(|coordinate| coordinate.0.map(cell_to_canonical)));
            let flags = u32::from(c.withdraws) + 2 * u32::from(c.replaces);
            let [low, high] = low_high(c.expiry.get());
            [head(flags), session, session_cell(c.account, c.key), low, high, 0, 0]
        }
        Command::Revoke(c) => [head(0), session, session_cell(c.account, c.key), 0, 0, 0, 0],
    };
    Blocks { first, further }
}

const fn self_trade(mode: SelfTrade) -> u32 {
    mode as u32
}

/// The blocks of one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    pub first: Block,
    further: Further,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Further {
    None,
    One(Block),
    Two([Block; 2]),
}

impl Blocks {
    /// The blocks after the first.
    pub fn further(&self) -> &[Block] {
        match &self.further {
            Further::None => &[],
            Further::One(block) => std::slice::from_ref(block),
            Further::Two(blocks) => blocks,
        }
    }

    /// What a chain is after it has absorbed the blocks, the first with this eighth cell.
    pub fn absorbed_by(&self, chain: &Digest, last: u32) -> Digest {
        let chain = absorb(chain, &self.first, last);
        self.further().iter().fold(chain, |chain, block| absorb(&chain, block, 0))
    }
}

/// `compress(chain, block ‖ last)`.
pub fn absorb(chain: &Digest, block: &Block, last: u32) -> Digest {
    compress(chain, &block_cells(block, last))
}

/// A block and its eighth cell as field elements.
pub fn block_cells(block: &Block, last: u32) -> Digest {
    std::array::from_fn(|i| F::new(block.get(i).copied().unwrap_or(last)))
}

/// The digest before a batch's first instruction.
pub fn digest_start(batch_number: u32) -> Digest {
    let mut digest = Digest::default();
    digest[0] = F::new(batch_number);
    digest
}

/// The digest after one more instruction.
pub fn digest_absorb(digest: &Digest, instruction: &Instruction, outcome: Outcome) -> Digest {
    blocks(instruction).absorbed_by(digest, outcome.code().into())
}

/// The digest of all of a batch's published instructions and outcomes.
pub fn batch_digest(batch: &Batch) -> Digest {
    batch
        .instructions
        .iter()
        .zip(&batch.outcomes)
        .fold(digest_start(batch.header.number), |digest, (instruction, outcome)| {
            digest_absorb(&digest, instruction, *outcome)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_cells() {
        for bytes in [[0; 20], [0xff; 20], std::array::from_fn(|i| 0x11 * (i as u8 % 15 + 1))] {
            let owner = crate::Address::from(bytes);
            let cells = owner_cells(&owner);
            assert!(cells[..5].iter().all(|&cell| cell >> PART_BITS == 0) && cells[5] >> 20 == 0);
            assert_eq!(owner_from_cells(&cells), Some(owner));
        }
        assert_eq!(owner_from_cells(&[0, 0, 0, 0, 0, 1 << 20]), None);
        assert_eq!(owner_from_cells(&[1 << 28, 0, 0, 0, 0, 0]), None);
    }
}
