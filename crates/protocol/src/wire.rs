//! The canonical encoding of an instruction: few bytes, and exactly one form.
//!
//! An instruction is a head byte, its session (signer × 4 + key), and then the command's other fields. The head's low four bits are
//! the command's kind ([`Command::kind`]), its high four bits the kind's flags; flags that a kind does not use are zero.
//!
//! | kind | flags | fields after the session |
//! |---|---|---|
//! | 1 deposit | – | account, amount |
//! | 2 withdraw | – | amount |
//! | 3 place | bit 0 sell, bits 1–2 time in force, bit 3 reduce-only | market × 4 + self-trade, price, size |
//! | 4 cancel | – | order |
//! | 5 cancel all, 9 release | – | market |
//! | 6 amend | bits 0–1 self-trade | order, price, size |
//! | 7 mark | – | market, price |
//! | 8 time | – | time |
//! | 10 open | – | account, owner (20 bytes) |
//! | 11 register | bit 0 withdraws, bit 1 replaces | account × 4 + key, expiry, public key (28 bytes) |
//! | 12 revoke | – | account × 4 + key |
//! | 13 forced | – | none of its own: an instruction of another kind follows, whose session has key 0 |
//!
//! A number is a little-endian base-128 varint (LEB128) of minimal length; an order is its slot as a varint and its
//! generation as one byte. Sequence numbers are not published: an instruction's place in its session follows from the state.
//!
//! Every value has one encoding and everything else is an error, so `decode(x) = Ok(c)` implies `encode(c) = x`.
//! Decoding allocates nothing and never panics.

use holdfast_crypto::{
    curve::POINT_BYTES,
    schnorr::{PublicKey, SIGNATURE_BYTES, Signature},
};

use crate::{
    command::{
        Amend, Cancel, CancelAll, Command, Deposit, Instruction, Mark, Open, Place, Register, Release, Revoke,
        SelfTrade, Side, Time, TimeInForce, Withdraw,
    },
    limits,
    units::{AccountId, Amount, KeyIndex, MarketId, OrderId, OutOfRange, Price, Size, TimeMs},
};

/// Bytes of the shortest instruction: head, session, market.
pub const INSTRUCTION_BYTES_MIN: usize = 3;
/// Bits of an account and one of its keys.
const SESSION_BITS: u32 = limits::ACCOUNT_BITS + limits::KEY_BITS;
/// Bytes of the longest instruction, a forced register: two heads, session, place, expiry, public key.
pub const INSTRUCTION_BYTES_MAX: usize =
    2 + 2 * varint_bytes_max(SESSION_BITS) + varint_bytes_max(limits::TIME_BITS) + POINT_BYTES;
/// Bytes of the longest instruction of a trader, an amend: head, session, order slot and generation, price, size.
pub const TRADE_BYTES_MAX: usize = 1
    + varint_bytes_max(SESSION_BITS)
    + varint_bytes_max(limits::ORDER_BITS)
    + 1
    + varint_bytes_max(limits::PRICE_BITS)
    + varint_bytes_max(limits::SIZE_BITS);

const SELF_TRADE_BITS: u32 = 2;
const KIND_MASK: u8 = 0x0f;
/// Kind of what stands before a forced instruction.
const FORCED: u8 = 13;
/// The key that is written for a forced instruction.
const NO_KEY: KeyIndex = match KeyIndex::new(0) {
    Ok(key) => key,
    Err(_) => unreachable!(),
};
const FLAG_SHIFT: u32 = 4;

const _: () = assert!(limits::GENERATION_BITS == u8::BITS);
const _: () = assert!(TRADE_BYTES_MAX <= INSTRUCTION_BYTES_MAX);

/// Why bytes are not the encoding of anything: where, what was expected there and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("byte {offset}, {what}: expected {expected} more byte(s), got the end of the data")]
    Truncated { offset: usize, what: &'static str, expected: usize },
    #[error("byte {offset}, {what}: expected a number of {expected} byte(s), got it padded to {got}")]
    Overlong { offset: usize, what: &'static str, expected: usize, got: usize },
    #[error("byte {offset}, {what}: expected a number of at most {expected} byte(s), got one that goes on")]
    Unending { offset: usize, what: &'static str, expected: usize },
    #[error("byte {offset}, {what}: expected {expected_min} to {expected_max}, got {got}")]
    OutOfRange { offset: usize, what: &'static str, expected_min: u128, expected_max: u128, got: u128 },
    #[error("byte {offset}, {what}: {error}")]
    Curve { offset: usize, what: &'static str, error: holdfast_crypto::curve::DecodeError },
    #[error("byte {offset}: expected magic and version {expected:02x?}, got {got:02x?}")]
    Magic { offset: usize, expected: [u8; 4], got: [u8; 4] },
    #[error("byte {offset}: expected the end of the data, got {got} more byte(s)")]
    Trailing { offset: usize, got: usize },
}

/// Reads a slice from its start, and knows how far it got.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Checks that everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            got => Err(DecodeError::Trailing { offset: self.offset, got }),
        }
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(what)?;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let Some(found) = self.bytes.get(self.offset..).and_then(|rest| rest.first_chunk::<N>()) else {
            return Err(DecodeError::Truncated { offset: self.offset, what, expected: N - self.remaining().min(N) });
        };
        self.offset += N;
        Ok(*found)
    }

    /// Reads a varint and checks that it lies in `min ..= max`.
    pub(crate) fn varint(&mut self, what: &'static str, min: u128, max: u128) -> Result<u128, DecodeError> {
        let start = self.offset;
        let bytes_max = varint_bytes_max(u128::BITS - max.leading_zeros());
        let mut value: u128 = 0;
        for index in 0..bytes_max {
            let byte = self.byte(what)?;
            // At most 12 bytes (see `VARINT_BITS_MAX`), so the shift is at most 77.
            value |= u128::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 != 0 {
                continue;
            }
            if byte == 0 && index > 0 {
                let got = index + 1;
                return Err(DecodeError::Overlong { offset: start, what, expected: varint_bytes(value), got });
            }
            if value < min || value > max {
                let (expected_min, expected_max) = (min, max);
                return Err(DecodeError::OutOfRange { offset: start, what, expected_min, expected_max, got: value });
            }
            return Ok(value);
        }
        Err(DecodeError::Unending { offset: start, what, expected: bytes_max })
    }

    fn unit<T: TryFrom<u128, Error = OutOfRange>>(
        &mut self,
        what: &'static str,
        bound: u128,
    ) -> Result<T, DecodeError> {
        let offset = self.offset;
        let got = self.varint(what, 0, bound - 1)?;
        T::try_from(got).map_err(|error| beyond_bound(offset, error))
    }
}

/// Appends the instruction's one encoding.
pub fn encode_instruction(instruction: &Instruction, out: &mut Vec<u8>) {
    let Instruction { key, command } = *instruction;
    let flags = match command {
        Command::Place(Place { side, time_in_force, reduce_only, .. }) => place_flags(side, time_in_force, reduce_only),
        Command::Amend(Amend { self_trade, .. }) => self_trade as u8,
        Command::Register(Register { withdraws, replaces, .. }) => withdraws as u8 | (replaces as u8) << 1,
        _ => 0,
    };
    let forced = instruction.is_forced();
    if forced {
        out.push(FORCED);
    }
    out.push(command.kind() as u8 | flags << FLAG_SHIFT);
    put_session(command.signer(), if forced { NO_KEY } else { key }, out);
    match command {
        Command::Deposit(Deposit { sender: _, account, amount }) => {
            put_varint(account.into(), out);
            put_varint(amount.into(), out);
        }
        Command::Withdraw(Withdraw { account: _, amount }) => put_varint(amount.into(), out),
        Command::Place(place) => {
            let Place { account: _, market, side: _, time_in_force: _, reduce_only: _, self_trade, price, size } =
                place;
            put_varint(u128::from(market) << SELF_TRADE_BITS | self_trade as u128, out);
            put_varint(price.into(), out);
            put_varint(size.into(), out);
        }
        Command::Cancel(Cancel { account: _, order }) => put_order(order, out),
        Command::CancelAll(CancelAll { account: _, market }) | Command::Release(Release { account: _, market }) => {
            put_varint(market.into(), out);
        }
        Command::Amend(Amend { account: _, order, self_trade: _, price, size }) => {
            put_order(order, out);
            put_varint(price.into(), out);
            put_varint(size.into(), out);
        }
        Command::Mark(Mark { sender: _, market, price }) => {
            put_varint(market.into(), out);
            put_varint(price.into(), out);
        }
        Command::Time(Time { sender: _, time }) => put_varint(time.into(), out),
        Command::Open(Open { sender: _, account, owner }) => {
            put_varint(account.into(), out);
            out.extend_from_slice(owner.as_slice());
        }
        Command::Register(register) => {
            let Register { sender: _, account, key, replaces: _, withdraws: _, expiry, public_key } = register;
            put_session(account, key, out);
            put_varint(expiry.into(), out);
            out.extend_from_slice(&public_key.to_bytes());
        }
        Command::Revoke(Revoke { sender: _, account, key }) => put_session(account, key, out),
    }
}

/// Reads one instruction.
pub fn decode_instruction(reader: &mut Reader<'_>) -> Result<Instruction, DecodeError> {
    let first = reader.offset();
    let head = reader.byte("head")?;
    if head != FORCED {
        return decode_command(first, head, reader);
    }
    let offset = reader.offset();
    let head = reader.byte("head of a forced instruction")?;
    let instruction = decode_command(offset, head, reader)?;
    match instruction.key {
        NO_KEY => Ok(Instruction { key: KeyIndex::ETHEREUM, ..instruction }),
        key => Err(out_of_range(offset, "key of a forced instruction", 0, 0, key.get() as u8)),
    }
}

fn decode_command(offset: usize, head: u8, reader: &mut Reader<'_>) -> Result<Instruction, DecodeError> {
    let (kind, flags) = (head & KIND_MASK, head >> FLAG_SHIFT);
    let flags_max = match kind {
        3 => 0b1111,
        6 => 0b10,
        11 => 0b11,
        1..=12 => 0,
        got => return Err(out_of_range(offset, "command kind", 1, FORCED, got)),
    };
    if flags > flags_max {
        return Err(out_of_range(offset, "flags", 0, flags_max, flags));
    }
    let (account, key) = session(reader)?;
    // The signer: of the commands of a role, its sender.
    let sender = account;
    let command = match kind {
        1 => Command::Deposit(Deposit { sender, account: read_account(reader)?, amount: amount(reader)? }),
        2 => Command::Withdraw(Withdraw { account, amount: amount(reader)? }),
        3 => Command::Place(decode_place(account, flags, reader)?),
        4 => Command::Cancel(Cancel { account, order: order(reader)? }),
        5 => Command::CancelAll(CancelAll { account, market: market(reader)? }),
        6 => Command::Amend(Amend {
            account,
            self_trade: self_trade(offset, flags)?,
            order: order(reader)?,
            price: price(reader)?,
            size: size(reader)?,
        }),
        7 => Command::Mark(Mark { sender, market: market(reader)?, price: price(reader)? }),
        8 => Command::Time(Time { sender, time: reader.unit("time", TimeMs::BOUND)? }),
        9 => Command::Release(Release { account, market: market(reader)? }),
        10 => {
            let account = read_account(reader)?;
            Command::Open(Open { sender, account, owner: reader.array::<20>("owner")?.into() })
        }
        11 => {
            let (account, key) = session(reader)?;
            let expiry = reader.unit("expiry", TimeMs::BOUND)?;
            let (withdraws, replaces) = (flags & 1 != 0, flags & 2 != 0);
            let public_key = public_key(reader)?;
            Command::Register(Register { sender, account, key, replaces, withdraws, expiry, public_key })
        }
        _ => {
            let (account, key) = session(reader)?;
            Command::Revoke(Revoke { sender, account, key })
        }
    };
    Ok(Instruction { key, command })
}

/// Appends a varint of minimal length.
pub(crate) fn put_varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of the longest varint of so many bits.
const fn varint_bytes_max(bits: u32) -> usize {
    assert!(bits <= VARINT_BITS_MAX);
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// Widest number on the wire: an amount.
const VARINT_BITS_MAX: u32 = limits::TRANSFER_BITS;

/// Bytes of this value's varint.
const fn varint_bytes(value: u128) -> usize {
    varint_bytes_max(u128::BITS - value.leading_zeros())
}

fn put_order(order: OrderId, out: &mut Vec<u8>) {
    put_varint(order.slot().into(), out);
    out.push(order.generation());
}

const fn place_flags(side: Side, time_in_force: TimeInForce, reduce_only: bool) -> u8 {
    let sell = match side {
        Side::Buy => 0,
        Side::Sell => 1,
    };
    sell | (time_in_force as u8) << 1 | (reduce_only as u8) << 3
}

fn decode_place(account: AccountId, flags: u8, reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
    let side = if flags & 1 == 0 { Side::Buy } else { Side::Sell };
    let time_in_force = match flags >> 1 & 0b11 {
        0 => TimeInForce::GoodTillCancel,
        1 => TimeInForce::ImmediateOrCancel,
        2 => TimeInForce::FillOrKill,
        _ => TimeInForce::PostOnly,
    };
    let reduce_only = flags >> 3 != 0;
    let offset = reader.offset();
    let combined = reader.varint("market and self-trade", 0, (MarketId::BOUND << SELF_TRADE_BITS) - 1)?;
    let self_trade = self_trade(offset, combined as u8 & 0b11)?;
    let market = MarketId::try_from(combined >> SELF_TRADE_BITS).map_err(|error| beyond_bound(offset, error))?;
    let (price, size) = (price(reader)?, size(reader)?);
    Ok(Place { account, market, side, time_in_force, reduce_only, self_trade, price, size })
}

fn self_trade(offset: usize, code: u8) -> Result<SelfTrade, DecodeError> {
    match code {
        0 => Ok(SelfTrade::ExpireTaker),
        1 => Ok(SelfTrade::ExpireMaker),
        2 => Ok(SelfTrade::ExpireBoth),
        got => Err(out_of_range(offset, "self-trade", 0, 2, got)),
    }
}

fn read_account(reader: &mut Reader<'_>) -> Result<AccountId, DecodeError> {
    reader.unit("account", AccountId::BOUND)
}

pub(crate) fn put_session(account: AccountId, key: KeyIndex, out: &mut Vec<u8>) {
    put_varint(u128::from(account) << limits::KEY_BITS | u128::from(key), out);
}

/// An account and one of its keys.
pub(crate) fn session(reader: &mut Reader<'_>) -> Result<(AccountId, KeyIndex), DecodeError> {
    let combined = reader.varint("session", 0, (1 << SESSION_BITS) - 1)? as u32;
    let account = AccountId::new(combined >> limits::KEY_BITS).expect("a session has as many bits");
    let key = KeyIndex::new(combined & (limits::KEYS_MAX as u32 - 1)).expect("masked");
    Ok((account, key))
}

fn public_key(reader: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.array::<POINT_BYTES>("public key")?;
    PublicKey::from_bytes(&bytes).map_err(|error| DecodeError::Curve { offset, what: "public key", error })
}

pub(crate) fn signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.array::<SIGNATURE_BYTES>("signature")?;
    Signature::from_bytes(&bytes).map_err(|error| DecodeError::Curve { offset, what: "signature", error })
}

fn amount(reader: &mut Reader<'_>) -> Result<Amount, DecodeError> {
    reader.unit("amount", Amount::BOUND)
}

fn market(reader: &mut Reader<'_>) -> Result<MarketId, DecodeError> {
    reader.unit("market", MarketId::BOUND)
}

fn price(reader: &mut Reader<'_>) -> Result<Price, DecodeError> {
    reader.unit("price", Price::BOUND)
}

fn size(reader: &mut Reader<'_>) -> Result<Size, DecodeError> {
    reader.unit("size", Size::BOUND)
}

fn order(reader: &mut Reader<'_>) -> Result<OrderId, DecodeError> {
    let offset = reader.offset();
    let slot = reader.varint("order slot", 0, (1 << limits::ORDER_BITS) - 1)?;
    let generation = reader.byte("order generation")?;
    OrderId::new(slot as u32, generation).map_err(|error| beyond_bound(offset, error))
}

fn beyond_bound(offset: usize, error: OutOfRange) -> DecodeError {
    let OutOfRange { what, bound, got } = error;
    DecodeError::OutOfRange { offset, what, expected_min: 0, expected_max: bound - 1, got }
}

fn out_of_range(offset: usize, what: &'static str, expected_min: u8, expected_max: u8, got: u8) -> DecodeError {
    DecodeError::OutOfRange {
        offset,
        what,
        expected_min: expected_min.into(),
        expected_max: expected_max.into(),
        got: got.into(),
    }
}
