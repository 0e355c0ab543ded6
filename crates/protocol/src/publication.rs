//! What a batch publishes on Ethereum, and how a proof is bound to it: see `docs/SETTLEMENT.md`.
//!
//! A batch's instructions and outcomes are *words*, one for each block of each instruction, which are the coefficients of a polynomial over the scalar field of BLS12-381. Its value at a
//! point that depends on both the published bytes and the digest of the instructions is computed by Ethereum from the former and by the segments' proofs from the latter.
//! Seals are not published: that there were valid signatures is what the proofs say.

use alloy_primitives::{B256, U256, keccak256, uint};
use holdfast_crypto::{
    Digest, F,
    curve::Affine,
    field::{cell_from_canonical, cell_to_canonical},
    poseidon2::compress,
    schnorr::PublicKey,
    septic::Septic,
};

use crate::{
    batch::Batch,
    cells::{Block, Blocks, COMMAND_CELLS, FLAGS, PART_BITS, batch_digest, blocks, digest_start, owner_from_cells},
    command::{
        Amend, Cancel, CancelAll, Command, Deposit, Instruction, Mark, Open, Place, Register, Release, Revoke,
        SelfTrade, Side, Time, TimeInForce, Withdraw,
    },
    limits,
    reject::Outcome,
    units::{AccountId, Amount, KeyIndex, MarketId, OrderId, Price, Size, TimeMs},
};

/// Bytes of a word.
pub const WORD_BYTES: usize = 30;
/// Bits of a cell of a word.
pub const CELL_BITS: u32 = 30;
/// Cells of a word.
pub const WORD_CELLS: usize = COMMAND_CELLS + 1;
/// Cells of 30 bits of an element of the scalar field.
pub const SCALAR_CELLS: usize = 9;
/// Bits of the high part of a cell of a public key, whose low part is as long as that of other cells.
pub const HIGH_BITS: u32 = 3;
/// The order of the scalar field of BLS12-381.
pub const MODULUS: U256 = uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

/// A word, big endian.
pub type Word = [u8; WORD_BYTES];

/// The cells of the words of an instruction's blocks, the first with its outcome's code.
pub fn word_cells(blocks: &Blocks, code: u8) -> impl Iterator<Item = [u32; WORD_CELLS]> + use<> {
    // Two further blocks are a public key.
    let has_key = blocks.further().len() == 2;
    let further: Vec<_> =
        blocks.further().iter().map(|block| if has_key { split_high(block) } else { with_last(block, 0) }).collect();
    std::iter::once(with_last(&blocks.first, code.into())).chain(further)
}

fn with_last(block: &Block, last: u32) -> [u32; WORD_CELLS] {
    std::array::from_fn(|i| block.get(i).copied().unwrap_or(last))
}

/// Cells of 31 bits: their low 28 bits, and the others together in the last cell.
fn split_high(block: &Block) -> [u32; WORD_CELLS] {
    let high = block.iter().rev().fold(0, |high, cell| high << HIGH_BITS | cell >> PART_BITS);
    std::array::from_fn(|i| block.get(i).map_or(high, |cell| cell & ((1 << PART_BITS) - 1)))
}

fn join_high(cells: &[u32; WORD_CELLS]) -> Block {
    std::array::from_fn(|i| {
        let high = cells[COMMAND_CELLS] >> (i as u32 * HIGH_BITS) & ((1 << HIGH_BITS) - 1);
        cells[i] | high << PART_BITS
    })
}

fn word(cells: &[u32; WORD_CELLS]) -> Word {
    let value = cells.iter().rev().fold(U256::ZERO, |value, cell| value << CELL_BITS | U256::from(*cell));
    let bytes: [u8; 32] = value.to_be_bytes();
    std::array::from_fn(|i| bytes[i + 32 - WORD_BYTES])
}

fn cells(word: &Word) -> [u32; WORD_CELLS] {
    let value = U256::from_be_slice(word);
    std::array::from_fn(|i| (value >> (i as u32 * CELL_BITS) & U256::from((1u32 << CELL_BITS) - 1)).to::<u32>())
}

/// The words of a batch, first to last.
pub fn words(batch: &Batch) -> Vec<Word> {
    let pairs = batch.instructions.iter().zip(&batch.outcomes);
    pairs
        .flat_map(|(instruction, outcome)| word_cells(&blocks(instruction), outcome.code()).map(|cells| word(&cells)))
        .collect()
}

/// Why words are not those of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    #[error("word {word}: expected the first word of an instruction, got {got}")]
    Instruction { word: usize, got: String },
    #[error("word {word}: expected {expected} more word(s) of the instruction, got the end")]
    Truncated { word: usize, expected: usize },
    #[error("word {word}: expected an outcome's code, got {got}")]
    Outcome { word: usize, got: u32 },
    #[error("the bytes: expected a multiple of {WORD_BYTES}, got {got}")]
    Length { got: usize },
}

/// Reads a batch's words. What is read has these words and no others.
///
/// # Errors
///
/// If they are not the words of instructions and outcomes.
pub fn read_words(words: &[Word]) -> Result<(Vec<Instruction>, Vec<Outcome>), PublicationError> {
    let (mut instructions, mut outcomes) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(first) = words.get(at) {
        let wrong = || PublicationError::Instruction { word: at, got: alloy_primitives::hex::encode(first) };
        let first_cells = cells(first);
        let count = 1 + further_blocks(first_cells[0] % FLAGS);
        let Some(taken) = words.get(at..at + count) else {
            return Err(PublicationError::Truncated { word: at, expected: at + count - words.len() });
        };
        let further: Vec<_> = taken[1..].iter().map(cells).collect();
        let instruction = instruction(&first_cells, &further).ok_or_else(wrong)?;
        let code = first_cells[COMMAND_CELLS];
        let outcome = u8::try_from(code).ok().and_then(Outcome::from_code);
        let outcome = outcome.ok_or(PublicationError::Outcome { word: at, got: code })?;
        // One form: what was read must have these words.
        if word_cells(&blocks(&instruction), outcome.code()).map(|cells| word(&cells)).ne(taken.iter().copied()) {
            return Err(wrong());
        }
        instructions.push(instruction);
        outcomes.push(outcome);
        at += count;
    }
    Ok((instructions, outcomes))
}

/// Splits bytes into words.
///
/// # Errors
///
/// If their number is no multiple of a word's.
pub fn words_of_bytes(bytes: &[u8]) -> Result<Vec<Word>, PublicationError> {
    let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
    if rest.is_empty() { Ok(words.to_vec()) } else { Err(PublicationError::Length { got: bytes.len() }) }
}

/// The forced instruction of an entry of Ethereum's inbox, from the cells of its blocks, whose last ones are nothing of the instruction. Nothing if no instruction has these blocks.
pub fn forced(cells: &[[u32; WORD_CELLS]]) -> Option<Instruction> {
    let own = |block: &[u32; WORD_CELLS]| -> Block { std::array::from_fn(|i| block[i]) };
    let (first, further) = cells.split_first()?;
    let has_key = further.len() == 2;
    let further: Vec<_> =
        further.iter().map(|block| if has_key { split_high(&own(block)) } else { with_last(&own(block), 0) }).collect();
    let instruction = instruction(&with_last(&own(first), 0), &further)?;
    let made = blocks(&instruction);
    let same = std::iter::once(&made.first).chain(made.further()).copied().eq(cells.iter().map(own));
    (same && instruction.is_forced()).then_some(instruction)
}

const fn further_blocks(kind: u32) -> usize {
    match kind {
        10 => 1,
        11 => 2,
        _ => 0,
    }
}

/// An instruction of these cells, if there is one. Of cells that are not the instruction's own, it does not look at all.
fn instruction(first: &[u32; WORD_CELLS], further: &[[u32; WORD_CELLS]]) -> Option<Instruction> {
    let [head, session, a, b, c, d, e, _] = *first;
    let (kind, flags) = (head % FLAGS, head / FLAGS);
    let place = |cell: u32| {
        let account = AccountId::new(cell & ((1 << limits::ACCOUNT_BITS) - 1)).ok()?;
        Some((account, cell >> limits::ACCOUNT_BITS))
    };
    let number = |parts: &[u32]| parts.iter().rev().fold(0u128, |number, part| number << PART_BITS | u128::from(*part));
    let (account, key) = place(session)?;
    let key = KeyIndex::of_instruction(key).ok()?;
    let sender = account;
    let target = |cell: u32| AccountId::new(cell).ok();
    let market = || MarketId::new(a).ok();
    let price = |parts: &[u32]| Price::try_from(number(parts)).ok();
    let size = |parts: &[u32]| Size::try_from(number(parts)).ok();
    let time = |parts: &[u32]| TimeMs::try_from(number(parts)).ok();
    let self_trade = |bits: u32| {
        Some(match bits {
            0 => SelfTrade::ExpireTaker,
            1 => SelfTrade::ExpireMaker,
            2 => SelfTrade::ExpireBoth,
            _ => return None,
        })
    };
    let command = match kind {
        1 => Command::Deposit(Deposit {
            sender,
            account: target(a)?,
            amount: Amount::try_from(number(&[b, c, d])).ok()?,
        }),
        2 => Command::Withdraw(Withdraw { account, amount: Amount::try_from(number(&[b, c, d])).ok()? }),
        3 => Command::Place(Place {
            account,
            market: market()?,
            side: if flags & 1 != 0 { Side::Buy } else { Side::Sell },
            time_in_force: match flags >> 1 & 3 {
                0 => TimeInForce::GoodTillCancel,
                1 => TimeInForce::ImmediateOrCancel,
                2 => TimeInForce::FillOrKill,
                _ => TimeInForce::PostOnly,
            },
            reduce_only: flags >> 3 & 1 != 0,
            self_trade: self_trade(flags >> 4)?,
            price: price(&[b, c])?,
            size: size(&[d, e])?,
        }),
        4 => Command::Cancel(Cancel { account, order: OrderId::new(a, u8::try_from(b).ok()?).ok()? }),
        5 => Command::CancelAll(CancelAll { account, market: market()? }),
        6 => Command::Amend(Amend {
            account,
            order: OrderId::new(a, u8::try_from(flags >> 2).ok()?).ok()?,
            self_trade: self_trade(flags & 3)?,
            price: price(&[b, c])?,
            size: size(&[d, e])?,
        }),
        7 => Command::Mark(Mark { sender, market: market()?, price: price(&[b, c])? }),
        8 => Command::Time(Time { sender, time: time(&[b, c])? }),
        9 => Command::Release(Release { account, market: market()? }),
        10 => {
            let owner = owner_from_cells(further.first()?.first_chunk()?)?;
            Command::Open(Open { sender, account: target(a)?, owner })
        }
        11 => {
            let (account, key) = place(a)?;
            let [x, y] = further else { return None };
            let coordinate = |cells: &[u32; WORD_CELLS]| {
                let mut element = Septic::ZERO;
                for (to, from) in element.0.iter_mut().zip(join_high(cells)) {
                    *to = cell_from_canonical(from)?;
                }
                Some(element)
            };
            let point = Affine::new(coordinate(x)?, coordinate(y)?)?;
            Command::Register(Register {
                sender,
                account,
                key: KeyIndex::new(key).ok()?,
                replaces: flags & 2 != 0,
                withdraws: flags & 1 != 0,
                expiry: time(&[b, c])?,
                public_key: PublicKey::new(point),
            })
        }
        12 => {
            let (account, key) = place(a)?;
            Command::Revoke(Revoke { sender, account, key: KeyIndex::new(key).ok()? })
        }
        _ => return None,
    };
    Some(Instruction { key, command })
}

/// What data in calldata is committed by.
pub fn commitment(words: &[Word]) -> B256 {
    keccak256(words.as_flattened())
}

/// A digest as Ethereum has it: its cells big endian, the first one most significant.
pub fn digest_word(digest: &Digest) -> B256 {
    let mut word = B256::ZERO;
    for (bytes, cell) in word.as_chunks_mut::<4>().0.iter_mut().zip(digest) {
        *bytes = cell_to_canonical(*cell).to_be_bytes();
    }
    word
}

/// A digest from Ethereum, if it is one.
pub fn digest_of(word: &B256) -> Option<Digest> {
    let mut digest = Digest::default();
    for (cell, bytes) in digest.iter_mut().zip(word.as_chunks::<4>().0) {
        *cell = cell_from_canonical(u32::from_be_bytes(*bytes))?;
    }
    Some(digest)
}

/// Where a batch's polynomial is evaluated.
pub fn point(commitment: &B256, chain: &Digest) -> U256 {
    let mut bytes = commitment.to_vec();
    bytes.extend_from_slice(digest_word(chain).as_slice());
    U256::from_be_bytes(keccak256(bytes).0).reduce_mod(MODULUS)
}

/// Where the polynomial of a batch is evaluated whose data goes to calldata.
pub fn point_in_calldata(batch: &Batch) -> U256 {
    point(&commitment(&words(batch)), &batch_digest(batch))
}

/// The polynomial's value after one more coefficient.
pub fn extend(value: U256, cells: &[u32; WORD_CELLS], z: U256) -> U256 {
    let word = U256::from_be_slice(&word(cells));
    value.mul_mod(z, MODULUS).add_mod(word, MODULUS)
}

/// The polynomial's value: the first word is the highest coefficient.
pub fn evaluate(words: &[Word], z: U256) -> U256 {
    words.iter().fold(U256::ZERO, |value, word| value.mul_mod(z, MODULUS).add_mod(U256::from_be_slice(word), MODULUS))
}

/// An element of the scalar field as cells of 30 bits, the least significant first.
pub fn scalar_cells(scalar: U256) -> [u32; SCALAR_CELLS] {
    std::array::from_fn(|i| (scalar >> (i as u32 * CELL_BITS) & U256::from((1u32 << CELL_BITS) - 1)).to::<u32>())
}

/// Bits of a part of a time in [`Progress::blocks`].
const TIME_PART_BITS: u32 = 14;

/// How much of a batch was published: what a proof carries from one segment to the next, and shows of the whole batch in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Digest of the instructions and outcomes so far.
    pub chain: Digest,
    /// Where the polynomial is evaluated.
    pub z: U256,
    /// Its value so far.
    pub value: U256,
}

impl Progress {
    /// At the beginning of a batch.
    pub fn start(number: u32, z: U256) -> Self {
        Self { chain: digest_start(number), z, value: U256::ZERO }
    }

    /// Whether nothing was published yet: then the chain is the digest of the batch's number, and no hash has that form.
    pub fn begins(&self) -> bool {
        self.value.is_zero() && self.chain[1..] == Digest::default()[1..]
    }

    /// At the end of a batch.
    pub fn end(batch: &Batch, z: U256) -> Self {
        Self { chain: batch_digest(batch), z, value: evaluate(&words(batch), z) }
    }

    /// At the end of a batch whose data goes to calldata.
    pub fn end_in_calldata(batch: &Batch) -> Self {
        let words = words(batch);
        Self::end_of_words(batch_digest(batch), &commitment(&words), &words)
    }

    /// At the end of a batch of this digest, whose data are these words and are committed to so.
    pub fn end_of_words(chain: Digest, commitment: &B256, words: &[Word]) -> Self {
        let z = point(commitment, &chain);
        Self { chain, z, value: evaluate(words, z) }
    }

    /// What the chain absorbs to become [`Progress::digest`].
    pub fn blocks(&self, time: TimeMs) -> [Digest; 3] {
        let time = (0..3).map(|i| (time.get() >> (i * TIME_PART_BITS)) as u32 & ((1 << TIME_PART_BITS) - 1));
        let mut cells = scalar_cells(self.z).into_iter().chain(scalar_cells(self.value)).chain(time);
        std::array::from_fn(|_| std::array::from_fn(|_| F::new(cells.next().unwrap_or(0))))
    }

    /// What a proof shows of it, with the time after it.
    pub fn digest(&self, time: TimeMs) -> Digest {
        self.blocks(time).iter().fold(self.chain, |digest, block| compress(&digest, block))
    }
}
