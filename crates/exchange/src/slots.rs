//! The state's slots, and where each lies in the Merkle tree.
//!
//! The tree has 2^28 raw leaves of eight cells. A slot is two or four neighbouring raw leaves; unused cells are zero.
//!
//! | region | first leaf | leaves per slot |
//! |---|---|---|
//! | system | 0 | 4 |
//! | deployment | 4 | 1 |
//! | markets | 2^10 | 4 |
//! | orders | 2^26 | 2 |
//! | accounts | 2^27 | 128 per account: the account at 0, its owner at 4 (1 leaf), its session keys at 16 + 4 × key, its positions at 64 + 4 × entry |

use holdfast_crypto::{F, field::DIGEST_ZERO};
use holdfast_protocol::limits;

use crate::{
    machine::{Plain, Values},
    record::{PlainWriter, Record, record},
};

record! {
    /// The venue itself.
    pub struct System {
        /// Milliseconds since the Unix epoch.
        time: Word,
        oracle: Id,
        operator: Id,
        fee_account: Id,
        /// First freed order slot, 0 if there is none.
        free_head: Id,
        /// Next never-used order slot.
        fresh: Id,
        /// Deposits minus withdrawals.
        deposits: Wide<7>,
        /// Opens accounts, registers keys and credits deposits: the operator, or in a settled deployment the bridge.
        registrar: Id,
        /// Session keys that have asked for something since their signature was last checked. None at the end of a batch.
        unsealed: Id,
        /// Batches closed so far.
        batches: Id,
    }
}

record! {
    /// What a signature is for: the same in all states of a deployment.
    pub struct Deployment {
        domain: Fields<8>,
    }
}

record! {
    pub struct Market {
        exists: Bit,
        /// Mark price in ticks.
        mark: Word,
        initial_margin_ppm: Word,
        maintenance_margin_ppm: Word,
        maker_fee_ppm: Word,
        taker_fee_ppm: Word,
        mark_move_ppm: Word,
        /// In lots.
        position_max: Word,
        open_orders_max: Word,
        tick_decimals: Id,
        lot_decimals: Id,
    }
}

record! {
    pub struct Account {
        collateral: Int<8>,
        /// All directory entries from this index on are empty.
        entries: Id,
        /// Market + 1 of each position, 0 if the entry is empty.
        directory: Ids<16>,
    }
}

record! {
    /// To whom an account's withdrawals go.
    pub struct Owner {
        /// There is one.
        open: Bit,
        /// Its address, 28 bits a cell.
        address: Fields<6>,
    }
}

record! {
    /// A session key of an account.
    pub struct Session {
        /// A key is registered here.
        live: Bit,
        /// Coordinates x and y.
        public_key: Fields<14>,
        /// May withdraw.
        withdraws: Bit,
        /// Last moment at which its commands are carried out.
        expiry: Word,
        /// It has asked for something since its signature was last checked.
        unsealed: Bit,
        /// Keys that were registered here so far.
        generation: Id,
        /// Instructions of this key so far.
        sequence: Id,
        /// Head of the chain of its instructions.
        head: Fields<8>,
    }
}

record! {
    pub struct Position {
        /// Market + 1, 0 if the entry is empty.
        market: Id,
        /// In lots; negative is short.
        size: Int<3>,
        /// What sells brought minus what buys cost since the position was last flat.
        quote: Int<8>,
        /// Sum of the remaining sizes of the account's open bids in this market.
        bids: Word,
        asks: Word,
        /// Orders resting in the book.
        open_orders: Word,
    }
}

record! {
    pub struct Order {
        /// In a book; else the slot is free.
        live: Bit,
        buys: Bit,
        market: Id,
        account: Id,
        /// Directory entry of the owner's position.
        entry: Id,
        generation: Id,
        reduce_only: Bit,
        price: Word,
        /// Remaining size.
        size: Word,
        prev: Id,
        /// Of a free slot: the next free slot, 0 if there is none.
        next: Id,
    }
}

/// The kinds of slots. The number is the kind's tag on the memory bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    System = 1,
    Market = 2,
    Account = 3,
    Position = 4,
    Order = 5,
    Session = 6,
    Owner = 7,
    Deployment = 8,
}

/// Where the slots of a kind lie: at leaf `base + outer × outer_stride + inner × inner_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    pub kind: Kind,
    pub base: u32,
    pub outer_bits: u32,
    pub outer_stride: u32,
    pub inner_bits: u32,
    pub inner_stride: u32,
    /// Raw leaves of one slot.
    pub leaves: usize,
}

pub const LEAF_CELLS: usize = 8;
/// Owner of the sentinels: no account has this index.
pub const NOBODY: u32 = 1 << limits::ACCOUNT_BITS;

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::System,
        Kind::Market,
        Kind::Account,
        Kind::Position,
        Kind::Order,
        Kind::Session,
        Kind::Owner,
        Kind::Deployment,
    ];

    pub const fn region(self) -> Region {
        let (base, outer_bits, outer_stride, inner_bits, inner_stride, leaves) = match self {
            Kind::System => (0, 0, 0, 0, 0, 4),
            Kind::Market => (1 << 10, limits::MARKET_BITS, 4, 0, 0, 4),
            Kind::Account => (1 << 27, limits::ACCOUNT_BITS, 128, 0, 0, 4),
            Kind::Position => ((1 << 27) + 64, limits::ACCOUNT_BITS, 128, 4, 4, 4),
            Kind::Order => (1 << 26, limits::ORDER_BITS, 2, 0, 0, 2),
            Kind::Session => ((1 << 27) + 16, limits::ACCOUNT_BITS, 128, limits::KEY_BITS, 4, 4),
            Kind::Owner => ((1 << 27) + 4, limits::ACCOUNT_BITS, 128, 0, 0, 1),
            Kind::Deployment => (4, 0, 0, 0, 0, 1),
        };
        Region { kind: self, base, outer_bits, outer_stride, inner_bits, inner_stride, leaves }
    }

    pub const fn cells(self) -> usize {
        self.region().leaves * LEAF_CELLS
    }

    pub const fn name(self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Market => "market",
            Kind::Account => "account",
            Kind::Position => "position",
            Kind::Order => "order",
            Kind::Session => "session",
            Kind::Owner => "owner",
            Kind::Deployment => "deployment",
        }
    }
}

impl Region {
    pub const fn leaf(&self, outer: u32, inner: u32) -> u32 {
        self.base + outer * self.outer_stride + inner * self.inner_stride
    }
}

const _: () = assert!(limits::ENTRIES_MAX == 16);
const _: () = assert!(<System<Plain> as Record<Plain>>::CELLS <= Kind::System.cells());
const _: () = assert!(<Market<Plain> as Record<Plain>>::CELLS <= Kind::Market.cells());
const _: () = assert!(<Account<Plain> as Record<Plain>>::CELLS <= Kind::Account.cells());
const _: () = assert!(<Position<Plain> as Record<Plain>>::CELLS <= Kind::Position.cells());
const _: () = assert!(<Order<Plain> as Record<Plain>>::CELLS <= Kind::Order.cells());
const _: () = assert!(<Session<Plain> as Record<Plain>>::CELLS <= Kind::Session.cells());
const _: () = assert!(<Owner<Plain> as Record<Plain>>::CELLS <= Kind::Owner.cells());
const _: () = assert!(<Deployment<Plain> as Record<Plain>>::CELLS <= Kind::Deployment.cells());

/// A slot: a record with a place in the tree.
pub trait Slot<V: Values>: Record<V> {
    const KIND: Kind;
}

macro_rules! slot {
    ($($name:ident),*) => {
        $(
            impl<V: Values> Slot<V> for $name<V> {
                const KIND: Kind = Kind::$name;
            }

            impl PartialEq for $name<Plain> {
                fn eq(&self, other: &Self) -> bool {
                    cells(self) == cells(other)
                }
            }
        )*
    };
}
slot!(System, Market, Account, Position, Order, Session, Owner, Deployment);

/// The cells of a plain slot, padded with zeros to the slot's length.
pub fn cells<S: Slot<Plain>>(slot: &S) -> Vec<u32> {
    let mut out = Vec::with_capacity(S::KIND.cells());
    slot.write(&mut PlainWriter(&mut out));
    debug_assert_eq!(out.len(), S::CELLS);
    out.resize(S::KIND.cells(), 0);
    out
}

impl Default for System<Plain> {
    fn default() -> Self {
        System {
            time: 0,
            oracle: 0,
            operator: 0,
            fee_account: 0,
            free_head: 0,
            fresh: 0,
            deposits: 0,
            registrar: 0,
            unsealed: 0,
            batches: 0,
        }
    }
}

impl Default for Deployment<Plain> {
    fn default() -> Self {
        Deployment { domain: DIGEST_ZERO }
    }
}

impl Default for Owner<Plain> {
    fn default() -> Self {
        Owner { open: false, address: F::new_array([0; 6]) }
    }
}

impl Default for Session<Plain> {
    fn default() -> Self {
        Session {
            live: false,
            public_key: F::new_array([0; 14]),
            withdraws: false,
            expiry: 0,
            unsealed: false,
            generation: 0,
            sequence: 0,
            head: DIGEST_ZERO,
        }
    }
}

impl Default for Market<Plain> {
    fn default() -> Self {
        Market {
            exists: false,
            mark: 0,
            initial_margin_ppm: 0,
            maintenance_margin_ppm: 0,
            maker_fee_ppm: 0,
            taker_fee_ppm: 0,
            mark_move_ppm: 0,
            position_max: 0,
            open_orders_max: 0,
            tick_decimals: 0,
            lot_decimals: 0,
        }
    }
}

impl Default for Account<Plain> {
    fn default() -> Self {
        Account { collateral: 0, entries: 0, directory: [0; 16] }
    }
}

impl Default for Position<Plain> {
    fn default() -> Self {
        Position { market: 0, size: 0, quote: 0, bids: 0, asks: 0, open_orders: 0 }
    }
}

impl Default for Order<Plain> {
    fn default() -> Self {
        Order {
            live: false,
            buys: false,
            market: 0,
            account: 0,
            entry: 0,
            generation: 0,
            reduce_only: false,
            price: 0,
            size: 0,
            prev: 0,
            next: 0,
        }
    }
}
