//! Bounds, given once. The checks of the rules, the column widths of the circuits and the sizes of the state's regions
//! all come from here.

/// Bits of an account index.
pub const ACCOUNT_BITS: u32 = 20;
/// Account whose places for session keys hold the chains with Ethereum. It is nobody's.
pub const BRIDGE: u32 = (1 << ACCOUNT_BITS) - 1;
/// The place, of the bridge, of the chain of forced instructions.
pub const INBOX: u32 = 0;
/// The place, of the bridge, of the chain of withdrawals.
pub const PAYOUTS: u32 = 1;
/// Bits of the index of an account's session key.
pub const KEY_BITS: u32 = 2;
/// Session keys of an account.
pub const KEYS_MAX: usize = 1 << KEY_BITS;
/// Keys that one place of an account can have, one after the other. (A place that began again from the first would bring its old signatures back.)
pub const GENERATIONS_MAX: u32 = 1 << 28;
/// Commands that one session key can sign, after which it must be replaced. (At 1,000 commands a second, twelve days.)
pub const SEQUENCE_MAX: u32 = 1 << 30;
/// Bits of a market index.
pub const MARKET_BITS: u32 = 8;
/// Bits of an order slot index.
pub const ORDER_BITS: u32 = 24;
/// Bits of an order slot's generation.
pub const GENERATION_BITS: u32 = 8;
/// Bits of a price in ticks.
pub const PRICE_BITS: u32 = 32;
/// Bits of an order's size in lots.
pub const SIZE_BITS: u32 = 40;
/// Bits of a time in milliseconds since the Unix epoch.
pub const TIME_BITS: u32 = 42;
/// Bits of the amount of one deposit or withdrawal, in quote units.
pub const TRANSFER_BITS: u32 = 80;
/// Largest net deposits of the whole venue, in quote units.
///
/// It also bounds every account's equity: an account whose equity is not positive can only shrink its positions, so all
/// gains together are at most the deposits plus what 2^20 accounts can owe, each at most 16 positions of 2^40 lots at 2^32
/// ticks: 2^90 + 2^96, far below the 2^112 that a stored amount can hold. (The quotes of two positions of one account can drift apart while their sum
/// stays: by at most 2^72 a fill, so that reaching 2^112 takes 2^40 of the largest fills.)
pub const DEPOSITS_MAX: u128 = 1 << 90;
/// Positions an account can hold.
pub const ENTRIES_MAX: usize = 16;
/// Largest `position_max` a market may have, in lots.
pub const POSITION_MAX: u64 = 1 << 40;
/// One in parts per million.
pub const PPM: u64 = 1_000_000;
/// Largest fee rate a market may have, in parts per million.
pub const FEE_PPM_MAX: u64 = 100_000;
/// Order slots below this one are the sentinels of the books: slot 2 × market + side.
pub const FIRST_ORDER: u32 = 2 << MARKET_BITS;
/// Orders of the opposite book that one command may look at, while matching, and again while a fill-or-kill order is checked. It bounds
/// the steps of one command, and so the segment of a proof that must hold them all.
pub const MAKERS_MAX: u32 = 1 << 10;
/// Largest number of open orders per account and market that a genesis may allow. It bounds one cancel-all: wherever its orders lie among 2^24 slots,
/// removing 2^11 touches at most 3 × 2^11 slots, whose paths are some 150,000 hashes, and a segment must hold them on top of what it held before.
pub const OPEN_ORDERS_MAX: u32 = 1 << 11;

const _: () = assert!(ACCOUNT_BITS <= 28 && ORDER_BITS <= 28);
const _: () = assert!(POSITION_MAX.ilog2() <= SIZE_BITS);
