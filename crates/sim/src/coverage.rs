//! Which branches of the rules a run has taken.

use std::{cell::Cell, fmt};

use holdfast_protocol::{Command, Reject};

use Reject::*;

/// The rejects of each kind of command, in order of precedence, as `docs/RULES.md` lists them.
pub const REJECTS: [(&str, &[Reject]); 12] = [
    ("Deposit", &[KeyExpired, NotOperator, AccountNotOpen, AmountZero, DepositCap]),
    ("Withdraw", &[KeyExpired, KeyNotPermitted, AmountZero, InsufficientCollateral, VaultShort, InsufficientMargin]),
    (
        "Place",
        &[
            KeyExpired,
            UnknownMarket,
            PriceZero,
            SizeZero,
            PositionSlotsFull,
            OpenOrdersLimit,
            ReduceOnlyIncreases,
            PositionLimit,
            PostOnlyCrosses,
            BookFull,
            FillOrKillUnfillable,
            InsufficientMargin,
        ],
    ),
    ("Cancel", &[KeyExpired, UnknownOrder, NotOrderOwner]),
    ("CancelAll", &[KeyExpired, UnknownMarket]),
    ("Amend", &[KeyExpired, UnknownOrder, NotOrderOwner, PriceZero, SizeZero, PositionLimit, InsufficientMargin]),
    ("Mark", &[KeyExpired, NotOracle, UnknownMarket, PriceZero, MarkMoveTooLarge]),
    ("Time", &[KeyExpired, NotOperator, TimeBackwards]),
    ("Release", &[KeyExpired, NoPosition, PositionInUse]),
    ("Open", &[KeyExpired, NotOperator, AccountOpen]),
    ("Register", &[KeyExpired, NotOperator, AccountNotOpen, OwnKey, KeyUnknown, KeyInUse, KeyWornOut]),
    ("Revoke", &[KeyExpired, NotOperator, OwnKey, KeyUnknown]),
];

macro_rules! branches {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A branch of the rules other than a plain reject (those are counted by command and code).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Branch {
            $($(#[$doc])* $name,)*
        }

        impl Branch {
            pub const ALL: &[Branch] = &[$(Branch::$name,)*];
        }
    };
}

branches! {
    DepositAccepted,
    /// The net deposits are now exactly at their cap.
    DepositReachesCap,

    WithdrawAccepted,
    WithdrawAcceptedWithPosition,
    /// Equity less the amount is exactly the initial margin, of a position.
    WithdrawExactMargin,
    WithdrawWholeCollateral,

    PlaceGoodTillCancel,
    PlaceImmediateOrCancel,
    PlaceFillOrKill,
    PlacePostOnly,
    PlaceHeldEntry,
    PlaceNewEntry,
    /// The new entry lies below one in use.
    PlaceNewEntryInHole,
    PlaceNewEntryLast,
    PlaceReduceOnly,
    /// No entry holds the market.
    ReduceOnlyWithoutEntry,
    ReduceOnlyFlat,
    ReduceOnlySameSide,
    /// A reduce-only order is accepted though initial margin is not met.
    ReduceOnlyBelowInitialMargin,
    PositionExactlyAtLimit,
    /// Orders of one side may add up to twice the position limit, against a position of the other side.
    OpenSizeAbovePositionLimit,
    OpenSizeAboveLargestPosition,
    /// Size plus bids, or asks minus size, exceed the limit on the order's side.
    PositionLimitBuy,
    PositionLimitSell,
    MarginExactlyMet,
    PostOnlyCrossesBuy,
    PostOnlyCrossesSell,
    /// The book is full, but an immediate-or-cancel or fill-or-kill order is not concerned.
    BookFullButImmediate,
    /// The open order limit is reached, but an immediate-or-cancel or fill-or-kill order is not concerned.
    OpenOrdersLimitButImmediate,
    FillOrKillOwnSkipped,
    FillOrKillOwnEndsWalk,
    FillOrKillEndOfCross,
    FillOrKillEndOfBook,
    FillOrKillExactlyFillable,
    FillOrKillFilled,
    FillOrKillPartlyFilled,

    SelfTradeExpireTaker,
    SelfTradeExpireMaker,
    SelfTradeExpireBoth,
    TakerCapZero,
    /// The taker's position was already flat or on its own side when matching started (an amended order).
    TakerCapZeroAtStart,
    TakerCapLimits,
    MakerCapZeroFlat,
    MakerCapZeroSameSide,
    MakerCapLimits,
    FillLimitedByTaker,
    FillLimitedByMaker,
    FillBothExactly,

    MakerMeetsInitial,
    MakerMeetsInitialExactly,
    MakerShrinksAboveMaintenance,
    MakerShrinksAtMaintenance,
    MakerShrinksWithoutCost,
    MakerShrinksAtNoGain,
    MakerRefusedNotShrinking,
    /// On the opposite side, but the fill is larger than the position.
    MakerRefusedFlipping,
    MakerRefusedCostlyShrink,
    TakerMeetsInitial,
    TakerMeetsInitialExactly,
    TakerShrinksAboveMaintenance,
    TakerShrinksAtMaintenance,
    TakerShrinksWithoutCost,
    TakerShrinksAtNoGain,
    TakerRefusedNotShrinking,
    TakerRefusedFlipping,
    TakerRefusedCostlyShrink,
    TakerRefusedAtFirstFill,
    TakerRefusedAfterFills,

    MakerOpens,
    MakerIncreases,
    MakerShrinks,
    MakerCloses,
    MakerFlips,
    TakerOpens,
    TakerIncreases,
    TakerShrinks,
    TakerCloses,
    TakerFlips,
    RealisesGain,
    RealisesLoss,
    FeeExact,
    FeeRoundedUp,
    FeeZero,
    FeeAccountTakes,
    FeeAccountMakes,
    FeeAccountRefusedForOwnFee,
    MakerOrderFilled,
    MakerOrderPartlyFilled,
    SeveralFills,
    SeveralPrices,
    CollateralNegative,
    EquityNegativeFill,

    RemainderNone,
    /// Of an order that could have rested.
    RemainderExpires,
    RemainderExpiresImmediate,
    RemainderExpiresUnfilled,
    RestsUnfilled,
    RestsPartlyFilled,
    RestsInEmptyBook,
    RestsAtFront,
    RestsBehindSamePrice,
    RestsBetween,
    RestsAtBack,
    SlotFromFreeList,
    SlotFresh,
    GenerationWraps,

    CancelFreeSlot,
    CancelNeverUsedSlot,
    CancelOtherGeneration,
    CancelSentinel,
    CancelSentinelOtherGeneration,
    CancelSentinelOfNoMarket,
    CancelOfOther,
    CancelAccepted,
    CancelAllNoEntry,
    CancelAllNone,
    CancelAllOne,
    CancelAllMany,
    CancelAllBothSides,

    AmendSentinel,
    AmendOfOther,
    AmendShrinksInPlace,
    AmendChangesNothing,
    AmendPrice,
    AmendIncreasesSize,
    AmendCrosses,
    AmendToSameSlot,
    AmendToOtherSlot,
    AmendFillsWholly,
    AmendReduceOnlyRests,
    AmendReduceOnlyBelowInitialMargin,
    AmendBuyPositionLimit,
    AmendSellPositionLimit,
    AmendSelfTrade,

    MarkUp,
    MarkDown,
    MarkUnchanged,
    MarkMovesFarthest,
    MarkTooHigh,
    MarkTooLow,

    TimeForward,
    TimeStands,

    ReleaseHighest,
    ReleaseOther,
    /// After releasing the highest entry the one below it is empty too, and `entries` does not fall further.
    ReleaseAboveHole,
    ReleaseWhenPositionOpen,
    ReleaseWhenOrdersOpen,

    /// The time is exactly the key's expiry.
    KeyInItsLastMoment,
    /// A valid key that may not withdraw.
    KeyThatMayNotWithdraw,
    OpenAccepted,
    /// In a place that never had a key.
    RegisterFirst,
    RegisterAfterRevoke,
    RegisterReplaces,
    /// The key that is registered there already begins anew.
    RegisterSameKey,
    /// The key is registered in another place too.
    RegisterKeyOfOtherPlace,
    RegisterOverUsedKey,
    RegisterOverExpiredKey,
    RegisterWithdraws,
    RegisterWithoutWithdraws,
    /// The new key has expired already.
    RegisterExpired,
    RegisterForOperator,
    OwnKeyReplaced,
    OwnKeyRegistered,
    /// A key is to be replaced in a place that never had one.
    KeyUnknownNever,
    KeyUnknownRevoked,
    RevokeUsedKey,
    RevokeUnusedKey,
    RevokeExpiredKey,
    RevokeNoKey,
    RevokeOfNoAccount,
}

/// How often each branch and each reject was hit.
#[derive(Debug, Clone)]
pub struct Coverage {
    branches: Vec<Cell<u64>>,
    rejects: Vec<Vec<Cell<u64>>>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            branches: vec![Cell::new(0); Branch::ALL.len()],
            rejects: REJECTS.iter().map(|(_, rejects)| vec![Cell::new(0); rejects.len()]).collect(),
        }
    }
}

impl Coverage {
    /// Counts by shared reference, so that checks which change nothing can be seen to change nothing.
    pub(crate) fn hit(&self, branch: Branch) {
        let count = &self.branches[branch as usize];
        count.set(count.get() + 1);
    }

    /// Panics if the rules do not list this reject for this command.
    pub(crate) fn hit_reject(&self, command: &Command, reject: Reject) {
        let kind = command.kind() as usize - 1;
        let index = REJECTS[kind].1.iter().position(|listed| *listed == reject);
        let index = index.unwrap_or_else(|| panic!("{reject:?} is not a reject of {}", REJECTS[kind].0));
        let count = &self.rejects[kind][index];
        count.set(count.get() + 1);
    }

    pub fn merge(&mut self, other: &Coverage) {
        for (mine, theirs) in self.branches.iter().zip(&other.branches) {
            mine.set(mine.get() + theirs.get());
        }
        for (mine, theirs) in self.rejects.iter().flatten().zip(other.rejects.iter().flatten()) {
            mine.set(mine.get() + theirs.get());
        }
    }

    pub fn count(&self, branch: Branch) -> u64 {
        self.branches[branch as usize].get()
    }

    /// Every branch and reject with its count, by name.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let branches = Branch::ALL.iter().map(|branch| (format!("{branch:?}"), self.count(*branch)));
        let rejects = REJECTS.iter().zip(&self.rejects).flat_map(|((command, rejects), counts)| {
            rejects.iter().zip(counts).map(move |(reject, count)| (format!("{command}: {reject:?}"), count.get()))
        });
        branches.chain(rejects).collect()
    }

    /// Names of what was never hit.
    pub fn missing(&self) -> Vec<String> {
        self.counts().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().into_iter().try_for_each(|(name, count)| writeln!(f, "{count:>12}  {name}"))
    }
}
