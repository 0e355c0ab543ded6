//! Units are types. Raw integers enter through the checked constructors only, at the edge.
//!
//! In JSON a unit is a number if every value of it fits 64 bits, and otherwise (an amount) a string of decimal digits:
//! JSON readers round larger numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits;

/// A value outside its bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be below {bound}, got {got}")]
pub struct OutOfRange {
    pub what: &'static str,
    pub bound: u128,
    pub got: u128,
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($raw:ty) < $bound:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($raw);

        impl $name {
            /// The first value that is too large.
            pub const BOUND: u128 = $bound;

            pub const fn new(raw: $raw) -> Result<Self, OutOfRange> {
                if raw as u128 >= Self::BOUND {
                    return Err(OutOfRange { what: $what, bound: Self::BOUND, got: raw as u128 });
                }
                Ok(Self(raw))
            }

            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl TryFrom<u128> for $name {
            type Error = OutOfRange;
            fn try_from(raw: u128) -> Result<Self, OutOfRange> {
                match <$raw>::try_from(raw) {
                    Ok(narrow) => Self::new(narrow),
                    Err(_) => Err(OutOfRange { what: $what, bound: Self::BOUND, got: raw }),
                }
            }
        }

        impl From<$name> for u128 {
            fn from(unit: $name) -> u128 {
                unit.0 as u128
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if Self::BOUND <= 1 << u64::BITS {
                    serializer.serialize_u64(self.0 as u64)
                } else {
                    serializer.collect_str(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = if Self::BOUND <= 1 << u64::BITS {
                    u64::deserialize(deserializer)?.into()
                } else {
                    parse_digits(&String::deserialize(deserializer)?).map_err(D::Error::custom)?
                };
                Self::try_from(raw).map_err(D::Error::custom)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

unit!(/** Index of an account. */ AccountId(u32) < 1 << limits::ACCOUNT_BITS, "account");
unit!(/** Index of a session key of an account. */ KeyIndex(u32) < 1 << limits::KEY_BITS, "session key");
unit!(/** Index of a market. */ MarketId(u32) < 1 << limits::MARKET_BITS, "market");
unit!(/** Price in ticks. Zero is representable, and rejected by the rules. */ Price(u32) < 1 << limits::PRICE_BITS, "price");
unit!(/** Size in lots. Zero is representable, and rejected by the rules. */ Size(u64) < 1 << limits::SIZE_BITS, "size");
unit!(/** Amount of one transfer in quote units. */ Amount(u128) < 1 << limits::TRANSFER_BITS, "amount");
unit!(/** Milliseconds since the Unix epoch. */ TimeMs(u64) < 1 << limits::TIME_BITS, "time");

impl KeyIndex {
    /// In place of a key: Ethereum asks, for the account's owner. Not below [`KeyIndex::BOUND`], so that it is no key's index.
    pub const ETHEREUM: Self = Self(limits::KEYS_MAX as u32);

    /// The index of an instruction's key, or [`KeyIndex::ETHEREUM`].
    pub fn of_instruction(raw: u32) -> Result<Self, OutOfRange> {
        if raw == Self::ETHEREUM.0 { Ok(Self::ETHEREUM) } else { Self::new(raw) }
    }

    pub(crate) fn deserialize_of_instruction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_instruction(u32::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Parses what [`u128`] prints, and nothing else: no sign, no leading zero.
fn parse_digits(text: &str) -> Result<u128, String> {
    match text.parse::<u128>() {
        Ok(value) if value.to_string() == text => Ok(value),
        _ => Err(format!("expected a string of decimal digits, got {text:?}")),
    }
}

/// An order's id: its slot, and which use of the slot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "OrderIdFields")]
pub struct OrderId {
    slot: u32,
    generation: u8,
}

/// An order's id as JSON has it, before its bound is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderIdFields {
    slot: u32,
    generation: u8,
}

impl TryFrom<OrderIdFields> for OrderId {
    type Error = OutOfRange;
    fn try_from(OrderIdFields { slot, generation }: OrderIdFields) -> Result<Self, OutOfRange> {
        Self::new(slot, generation)
    }
}

impl OrderId {
    pub const fn new(slot: u32, generation: u8) -> Result<Self, OutOfRange> {
        if slot >> limits::ORDER_BITS != 0 {
            return Err(OutOfRange { what: "order slot", bound: 1 << limits::ORDER_BITS, got: slot as u128 });
        }
        Ok(Self { slot, generation })
    }

    pub const fn slot(self) -> u32 {
        self.slot
    }

    pub const fn generation(self) -> u8 {
        self.generation
    }
}

impl std::fmt::Display for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}
