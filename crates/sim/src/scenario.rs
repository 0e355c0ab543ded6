//! Named pairs of a genesis and a stream, each leading to another corner of the rules.

use holdfast_protocol::{
    AccountGenesis, AccountId, Address, Deployment, Genesis, Instruction, KeyGenesis, MarketGenesis, Price, TimeMs,
    limits,
};

use crate::{
    keyring::{self, KEYS},
    model::Model,
    stream::{NEVER, Stream, StreamConfig, Weights},
};

#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub genesis: Genesis,
    pub stream: StreamConfig,
    /// The first order slot; above `FIRST_ORDER` only where the book is to fill up.
    pub fresh: u32,
}

impl Scenario {
    pub fn all() -> Vec<Scenario> {
        vec![calm(), frenzy(), margin(), directory(), tiny_prices(), extremes(), full_book(), settled()]
    }

    /// Panics if there is no scenario of that name.
    pub fn named(name: &str) -> Scenario {
        let found = Self::all().into_iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| panic!("no scenario is called {name}"))
    }

    pub fn model(&self) -> Model {
        Model::with_fresh(&self.genesis, self.fresh)
    }

    pub fn stream(&self, seed: u64) -> Stream {
        Stream::new(seed, self.stream.clone(), &self.genesis)
    }

    /// The first `count` commands of a stream run on the model. A key that one of them takes away may have to be sealed
    /// before.
    pub fn commands(&self, seed: u64, count: usize) -> Vec<Instruction> {
        let (mut model, mut stream) = (self.model(), self.stream(seed));
        let next = |_| {
            let instruction = stream.next(&model);
            model.run(&instruction);
            instruction
        };
        (0..count).map(next).collect()
    }
}

const WEIGHTS: Weights = Weights {
    deposit: 8,
    withdraw: 6,
    place: 50,
    cancel: 8,
    cancel_all: 2,
    amend: 12,
    mark: 8,
    time: 3,
    release: 3,
    open: 1,
    register: 3,
    revoke: 2,
};

/// Before the first command.
const TIME: u64 = 1_750_000_000_000;

fn account(id: u32) -> AccountId {
    AccountId::new(id).expect("a small id")
}

/// Accounts 0 to `open` − 1 are open.
fn genesis(open: u32, markets: Vec<MarketGenesis>) -> Genesis {
    Genesis {
        deployment: Deployment { chain_id: 1, contract: Address::ZERO },
        time: TimeMs::new(TIME).expect("below the bound"),
        oracle: account(1),
        operator: account(2),
        fee_account: account(0),
        quote_decimals: 6,
        accounts: (0..open).map(account_genesis).collect(),
        markets,
    }
}

/// Three keys: one that may do all, for ever, one that may not withdraw, and one that expires soon, the first account's
/// before all others.
fn account_genesis(id: u32) -> AccountGenesis {
    let key = |index: u32, withdraws, expiry| KeyGenesis {
        public_key: keyring::public_key((limits::KEYS_MAX as u32 * id + index) % KEYS),
        withdraws,
        expiry,
    };
    let soon = TimeMs::new(TIME + 500 * u64::from(id)).expect("below the bound");
    AccountGenesis {
        account: account(id),
        owner: Address::repeat_byte(id as u8 + 1),
        keys: vec![key(0, true, NEVER), key(1, false, NEVER), key(2, true, soon)],
    }
}

/// 5% initial and 3% maintenance margin, small fees, limits that orders of a few thousand lots can reach.
fn market(index: usize, mark: u32) -> MarketGenesis {
    MarketGenesis {
        symbol: format!("M{index}-USD"),
        tick_decimals: 2,
        lot_decimals: 4,
        mark: Price::new(mark).expect("every u32 is a price"),
        initial_margin_ppm: 50_000,
        maintenance_margin_ppm: 30_000,
        maker_fee_ppm: 100,
        taker_fee_ppm: 450,
        open_orders_max: 8,
        position_max: 10_000,
        mark_move_ppm: 50_000,
    }
}

/// One market, well-funded accounts, a mark that hardly matters.
fn calm() -> Scenario {
    Scenario {
        name: "calm",
        genesis: genesis(5, vec![market(0, 10_000)]),
        stream: StreamConfig {
            accounts: 5,
            depth_max: 30,
            width: 100,
            size_max: 2_000,
            amount_max: 20_000_000,
            huge_deposits: 0,
            wild: 0,
            weights: Weights { place: 80, cancel: 4, cancel_all: 1, mark: 3, ..WEIGHTS },
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// Several markets, crossing all the time, and one of them without fees. One account has yet to be opened.
fn frenzy() -> Scenario {
    let free = MarketGenesis { maker_fee_ppm: 0, taker_fee_ppm: 0, ..market(2, 500) };
    Scenario {
        name: "frenzy",
        genesis: genesis(5, vec![market(0, 10_000), market(1, 2_000), free]),
        stream: StreamConfig {
            accounts: 6,
            depth_max: 16,
            width: 12,
            size_max: 4_000,
            amount_max: 10_000_000,
            huge_deposits: 0,
            wild: 0,
            weights: Weights { place: 70, amend: 20, mark: 5, ..WEIGHTS },
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// Thin margins under a mark that runs: insolvent accounts, refused fills, profit that the vault does not hold.
fn margin() -> Scenario {
    let thin = |index, mark| MarketGenesis {
        initial_margin_ppm: 20_000,
        maintenance_margin_ppm: 10_000,
        mark_move_ppm: 30_000,
        position_max: 1_000_000,
        ..market(index, mark)
    };
    Scenario {
        name: "margin",
        genesis: genesis(5, vec![thin(0, 1_000), MarketGenesis { maker_fee_ppm: 0, taker_fee_ppm: 0, ..thin(1, 400) }]),
        stream: StreamConfig {
            accounts: 5,
            depth_max: 16,
            width: 60,
            size_max: 5_000,
            amount_max: 100_000,
            huge_deposits: 0,
            wild: 0,
            weights: Weights { deposit: 5, mark: 16, withdraw: 8, ..WEIGHTS },
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// More markets than an account has entries. One account has yet to be opened.
fn directory() -> Scenario {
    let markets = (0..20).map(|index| MarketGenesis { open_orders_max: 2, ..market(index, 100) }).collect();
    Scenario {
        name: "directory",
        genesis: genesis(3, markets),
        stream: StreamConfig {
            accounts: 4,
            depth_max: 5,
            width: 5,
            size_max: 50,
            amount_max: 1_000_000,
            huge_deposits: 0,
            wild: 0,
            weights: Weights { cancel_all: 6, release: 12, ..WEIGHTS },
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// Marks of a few ticks, sizes of a few lots: every comparison is met exactly again and again.
fn tiny_prices() -> Scenario {
    let tiny = |index, mark| MarketGenesis {
        initial_margin_ppm: 500_000,
        maintenance_margin_ppm: 250_000,
        maker_fee_ppm: 0,
        taker_fee_ppm: 100_000,
        open_orders_max: 3,
        position_max: 20,
        mark_move_ppm: 1_000_000,
        ..market(index, mark)
    };
    Scenario {
        name: "tiny-prices",
        genesis: genesis(4, vec![tiny(0, 4), MarketGenesis { taker_fee_ppm: 0, ..tiny(1, 2) }]),
        stream: StreamConfig {
            accounts: 4,
            depth_max: 10,
            width: 3,
            size_max: 8,
            amount_max: 40,
            huge_deposits: 0,
            wild: 0,
            weights: WEIGHTS,
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// Every number at its bounds: prices of 2^32 − 1 ticks, positions of 2^40 lots, margins of one millionth and of one.
fn extremes() -> Scenario {
    let wide = |index, mark, initial_margin_ppm, maintenance_margin_ppm| MarketGenesis {
        initial_margin_ppm,
        maintenance_margin_ppm,
        maker_fee_ppm: 100_000,
        taker_fee_ppm: 100_000,
        position_max: limits::POSITION_MAX,
        mark_move_ppm: 1_000_000,
        open_orders_max: limits::OPEN_ORDERS_MAX,
        ..market(index, mark)
    };
    Scenario {
        name: "extremes",
        genesis: genesis(
            5,
            vec![
                wide(0, u32::MAX, 1_000_000, 1_000_000),
                wide(1, 1, 1, 1),
                MarketGenesis { maker_fee_ppm: 0, taker_fee_ppm: 0, ..wide(2, 1 << 31, 100_000, 1) },
            ],
        ),
        stream: StreamConfig {
            accounts: 5,
            depth_max: 16,
            width: u32::MAX,
            size_max: limits::POSITION_MAX,
            amount_max: 1 << 80,
            huge_deposits: 50,
            wild: 30,
            weights: Weights { deposit: 15, ..WEIGHTS },
        },
        fresh: limits::FIRST_ORDER,
    }
}

/// Twelve order slots left.
fn full_book() -> Scenario {
    Scenario { name: "full-book", fresh: (1 << limits::ORDER_BITS) - 12, ..calm() }
}

/// A contract holds the money, and Ethereum forces what it is asked to. One account has yet to be opened.
fn settled() -> Scenario {
    let frenzy = frenzy();
    let deployment = Deployment { contract: Address::repeat_byte(0xc0), ..frenzy.genesis.deployment };
    let weights = Weights { deposit: 12, withdraw: 12, cancel_all: 6, open: 3, register: 6, revoke: 4, ..WEIGHTS };
    Scenario {
        name: "settled",
        genesis: Genesis { deployment, ..frenzy.genesis },
        stream: StreamConfig { weights, ..frenzy.stream },
        fresh: frenzy.fresh,
    }
}
