//! Reject codes: stable numbers; `docs/RULES.md` lists, per command, the order in which they take precedence.

use serde::{Deserialize, Serialize};

macro_rules! rejects {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// Why a command changed nothing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
        #[repr(u8)]
        pub enum Reject {
            $(#[error($text)] $name = $code,)*
        }

        impl Reject {
            pub const ALL: &[Reject] = &[$(Reject::$name,)*];

            pub const fn code(self) -> u8 {
                self as u8
            }

            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Reject::$name),)*
                    _ => None,
                }
            }
        }
    };
}

rejects! {
    UnknownMarket = 1, "the market does not exist";
    PriceZero = 2, "the price is zero";
    SizeZero = 3, "the size is zero";
    PositionSlotsFull = 4, "all position entries of the account are in use";
    OpenOrdersLimit = 5, "the account has as many open orders in this market as it may";
    ReduceOnlyIncreases = 6, "a reduce-only order needs a position on the opposite side";
    PositionLimit = 7, "position and open orders would exceed the market's position limit";
    PostOnlyCrosses = 8, "a post-only order would match at once";
    BookFull = 9, "no order slot is left";
    FillOrKillUnfillable = 10, "the book cannot fill the whole order";
    InsufficientMargin = 11, "initial margin is not met";
    UnknownOrder = 12, "no such open order";
    NotOrderOwner = 13, "the order belongs to another account";
    AmountZero = 14, "the amount is zero";
    DepositCap = 15, "the venue's deposits would exceed their cap";
    InsufficientCollateral = 16, "the account's collateral is smaller than the amount";
    VaultShort = 17, "the vault holds less than the amount";
    NotOracle = 18, "the sender is not the oracle";
    NotOperator = 19, "the sender is not the operator; or, of accounts, keys and deposits, not the registrar";
    MarkMoveTooLarge = 20, "the mark price moves further than one update may";
    TimeBackwards = 21, "the time lies before the system's time";
    NoPosition = 22, "the account has no entry for this market";
    PositionInUse = 23, "the position is not flat, or has open orders";
    KeyExpired = 24, "the session key has expired";
    KeyNotPermitted = 25, "the session key may not withdraw";
    AccountOpen = 26, "the account has an owner already";
    AccountNotOpen = 27, "the account has no owner yet";
    OwnKey = 28, "a session key can neither replace nor revoke itself";
    KeyInUse = 29, "a session key is registered in this place";
    KeyUnknown = 30, "no session key is registered in this place";
    KeyWornOut = 31, "this place has had as many session keys as it may";
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Accepted,
    Rejected(Reject),
}

impl Outcome {
    /// 0 for accepted, else the reject's code.
    pub const fn code(self) -> u8 {
        match self {
            Outcome::Accepted => 0,
            Outcome::Rejected(reject) => reject.code(),
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Outcome::Accepted),
            _ => match Reject::from_code(code) {
                Some(reject) => Some(Outcome::Rejected(reject)),
                None => None,
            },
        }
    }
}
