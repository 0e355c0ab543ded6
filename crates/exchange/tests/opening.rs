//! Openings of states: made, read natively, and read by the contract, with the same verdict on every byte string.

mod common;
mod evm;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{I256, U256};
use alloy_sol_types::SolError;
use evm::{
    Reader, readAccountCall, readBridgeCall, readDeploymentCall, readMarketsCall, readSystemCall, revert_data, word,
};
use holdfast_crypto::{
    Digest, F,
    field::{DIGEST_BYTES, DIGEST_ZERO, PRIME, cell_to_canonical, digest_decode},
    tree::Tree,
};
use holdfast_exchange::{
    Engine, Plain,
    opening::{
        OpenedAccount, OpenedBridge, OpeningError, open_account, open_bridge, open_deployment, open_markets,
        open_system, read_account, read_bridge, read_deployment, read_markets, read_system,
    },
    slots::{Account, Market, Owner, Position, Session, System},
};
use holdfast_protocol::{AccountId, MarketId, cells::owner_cells, limits};
use holdfast_sim::Scenario;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// The largest magnitude of an amount.
const AMOUNT_MAX: i128 = (1 << 112) - 1;
/// The largest word, and the largest magnitude of a size that fits the slot.
const WORD_MAX: u64 = (1 << 42) - 1;
/// An account that is open in no genesis.
const STRANGER: u32 = (1 << limits::ACCOUNT_BITS) - 1;

fn account_id(id: u32) -> AccountId {
    AccountId::new(id).expect("an account")
}

fn set(markets: impl IntoIterator<Item = u32>) -> BTreeSet<MarketId> {
    markets.into_iter().map(|id| MarketId::new(id).expect("a market")).collect()
}

fn bits(markets: &BTreeSet<MarketId>) -> U256 {
    markets.iter().fold(U256::ZERO, |bits, market| bits | U256::ONE << market.get() as usize)
}

/// A state with accounts of all kinds, and 256 markets.
struct Zoo {
    engine: Engine,
    root: Digest,
}

/// Accounts of the zoo.
const EMPTY: u32 = 5;
const ONE: u32 = 6;
const FULL: u32 = 0;
const SPARSE: u32 = 7;
const HUGE: u32 = STRANGER - 1;

fn position(market: u32, size: i128, quote: i128) -> Position<Plain> {
    Position { market: market + 1, size, quote, bids: 3, asks: 1 << 30, open_orders: 2 }
}

impl Zoo {
    fn new() -> Self {
        let mut engine = Engine::new(&common::genesis()).expect("a valid genesis");
        let store = engine.store_mut();
        let owner = |byte: u8| Owner {
            open: true,
            address: owner_cells(&holdfast_protocol::Address::repeat_byte(byte)).map(F::new),
        };
        for id in 0..256 {
            let mut market: Market<Plain> = store.market(0).clone();
            market.mark = (1 << 32) - 1 - u64::from(id);
            market.position_max = if id == 255 { WORD_MAX } else { 1 << 40 };
            market.tick_decimals = id;
            store.set_market(id, market);
        }
        let mut put = |id: u32, collateral: i128, entries: u32, positions: &[(u32, Position<Plain>)]| {
            let mut directory = [0; 16];
            for (entry, position) in positions {
                directory[*entry as usize] = position.market;
                store.set_position(id, *entry, position.clone());
            }
            store.set_account(id, Account { collateral, entries, directory });
            store.set_owner(id, owner(0xa0 ^ id as u8));
        };
        put(EMPTY, 0, 0, &[]);
        put(ONE, -12_345_678_901_234, 1, &[(0, position(0, -7, 70_000))]);
        let sixteen: Vec<_> =
            (0..16).map(|entry| (entry, position(255 - 16 * entry, i128::from(entry) - 8, -(1 << 80)))).collect();
        put(FULL, (1 << 90) + 1, 16, &sixteen);
        put(SPARSE, 1, 16, &[(3, position(9, 1, -1)), (4, position(255, 0, 0)), (11, position(8, -1, 1))]);
        let huge = Position {
            market: 256,
            size: -i128::from(WORD_MAX),
            quote: AMOUNT_MAX,
            bids: WORD_MAX,
            asks: WORD_MAX,
            open_orders: WORD_MAX,
        };
        put(HUGE, -AMOUNT_MAX, 16, &[(15, huge)]);
        let mut bridge = |place, session: Session<Plain>| store.set_session(STRANGER, place, session);
        let extreme = |cell: u32| F::new(PRIME - 1 - cell);
        bridge(
            0,
            Session {
                live: true,
                public_key: std::array::from_fn(|cell| extreme(cell as u32)),
                withdraws: true,
                expiry: WORD_MAX,
                unsealed: true,
                generation: (1 << 30) - 1,
                sequence: (1 << 30) - 2,
                head: std::array::from_fn(|cell| extreme(20 + cell as u32)),
            },
        );
        bridge(1, Session { sequence: 5, head: std::array::from_fn(|cell| F::new(cell as u32)), ..Session::default() });
        let _ = store.take_conservation();
        let root = engine.close_batch();
        Self { engine, root }
    }

    fn open(&self, id: u32) -> Vec<u8> {
        open_account(self.engine.tree(), account_id(id))
    }
}

fn signed(value: i128) -> I256 {
    I256::try_from(value).expect("it fits")
}

/// What the contract returns of an account.
fn told(opened: &OpenedAccount) -> evm::Account {
    let OpenedAccount { account, owner, positions } = opened;
    evm::Account {
        open: owner.is_some(),
        owner: owner.unwrap_or_default(),
        collateral: signed(account.collateral),
        entries: U256::from(account.entries),
        directory: account.directory.map(U256::from),
        positions: positions
            .iter()
            .map(|(entry, position)| evm::Position {
                entry: U256::from(*entry),
                market: U256::from(position.market - 1),
                size: signed(position.size),
                quote: signed(position.quote),
                bids: U256::from(position.bids),
                asks: U256::from(position.asks),
                openOrders: U256::from(position.open_orders),
            })
            .collect(),
    }
}

fn told_system(system: &System<Plain>) -> evm::System {
    evm::System {
        time: U256::from(system.time),
        oracle: U256::from(system.oracle),
        operator: U256::from(system.operator),
        feeAccount: U256::from(system.fee_account),
        freeHead: U256::from(system.free_head),
        fresh: U256::from(system.fresh),
        deposits: U256::from(system.deposits),
        registrar: U256::from(system.registrar),
        unsealed: U256::from(system.unsealed),
        batches: U256::from(system.batches),
    }
}

fn told_bridge(bridge: &OpenedBridge) -> evm::Bridge {
    evm::Bridge {
        inboxCount: U256::from(bridge.inbox_count),
        inboxHead: word(&bridge.inbox_head),
        payoutCount: U256::from(bridge.payout_count),
        payoutHead: word(&bridge.payout_head),
    }
}

fn told_market(id: MarketId, market: &Market<Plain>) -> evm::Market {
    evm::Market {
        market: U256::from(id.get()),
        exists: market.exists,
        mark: U256::from(market.mark),
        initialMarginPpm: U256::from(market.initial_margin_ppm),
        maintenanceMarginPpm: U256::from(market.maintenance_margin_ppm),
        makerFeePpm: U256::from(market.maker_fee_ppm),
        takerFeePpm: U256::from(market.taker_fee_ppm),
        markMovePpm: U256::from(market.mark_move_ppm),
        positionMax: U256::from(market.position_max),
        openOrdersMax: U256::from(market.open_orders_max),
        tickDecimals: U256::from(market.tick_decimals),
        lotDecimals: U256::from(market.lot_decimals),
    }
}

/// What is read, in words of the contract.
#[derive(Debug, Clone)]
enum Asked {
    Account(u32),
    System,
    Bridge,
    Deployment,
    Markets(BTreeSet<MarketId>),
}

/// Contract and twin come to the same verdict: the same content, or the same error with the same arguments. Returns the twin's, and the contract's gas.
fn check(reader: &mut Reader, root: &Digest, asked: &Asked, bytes: &[u8]) -> Result<evm::Gas, OpeningError> {
    let (root_word, opening) = (word(root), bytes.to_vec().into());
    macro_rules! agree {
        ($call:expr, $native:expr, $told:expr) => {
            match (reader.read(&$call), $native) {
                (Ok((got, gas)), Ok(native)) => {
                    assert_eq!(got, $told(native), "{asked:?}");
                    Ok(gas)
                }
                (Err(data), Err(error)) => {
                    assert_eq!(data.to_vec(), revert_data(&error), "{asked:?}: the twin says {error}");
                    Err(error)
                }
                (contract, native) => panic!("{asked:?}: the contract says {contract:?}, the twin {native:?}"),
            }
        };
    }
    match asked {
        Asked::Account(id) => agree!(
            readAccountCall { root: root_word, index: U256::from(*id), opening },
            read_account(root, *id, bytes),
            |native| told(&native)
        ),
        Asked::System => {
            agree!(readSystemCall { root: root_word, opening }, read_system(root, bytes), |native| told_system(&native))
        }
        Asked::Bridge => {
            agree!(readBridgeCall { root: root_word, opening }, read_bridge(root, bytes), |native| told_bridge(&native))
        }
        Asked::Deployment => {
            agree!(readDeploymentCall { root: root_word, opening }, read_deployment(root, bytes), |native| word(
                &native
            ))
        }
        Asked::Markets(markets) => agree!(
            readMarketsCall { root: root_word, set: bits(markets), opening },
            read_markets(root, markets, bytes),
            |native: Vec<_>| markets
                .iter()
                .zip(&native)
                .map(|(&id, market)| told_market(id, market))
                .collect::<Vec<_>>()
        ),
    }
}

fn name(error: &OpeningError) -> String {
    format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// An account is opened as the engine has it.
fn check_account(reader: &mut Reader, engine: &Engine, root: &Digest, id: u32) -> evm::Gas {
    let bytes = open_account(engine.tree(), account_id(id));
    let opened = read_account(root, id, &bytes).unwrap_or_else(|error| panic!("account {id}: {error}"));
    assert_eq!(opened.account, *engine.store().account(id));
    let view = engine.account(account_id(id));
    let held: Vec<_> = view.positions.iter().enumerate().filter(|(_, held)| held.is_some()).collect();
    assert_eq!(opened.positions.len(), held.len());
    for ((entry, position), (expected, held)) in opened.positions.iter().zip(held) {
        assert_eq!((*entry, Some(position)), (expected, held.as_ref().map(|(_, position)| position)));
    }
    let owner = engine.store().owner(id);
    assert_eq!(opened.owner.is_some(), owner.open);
    assert_eq!(owner_cells(&opened.owner.unwrap_or_default()), owner.address.map(cell_to_canonical));
    check(reader, root, &Asked::Account(id), &bytes).expect("the twin says so")
}

#[test]
fn accounts_of_all_kinds_are_read_as_they_are() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    for id in [EMPTY, ONE, FULL, SPARSE, HUGE, STRANGER, common::ORACLE, common::ALICE] {
        let _ = check_account(&mut reader, &zoo.engine, &zoo.root, id);
    }
    let opened = read_account(&zoo.root, HUGE, &zoo.open(HUGE)).expect("it is its opening");
    assert_eq!((opened.account.collateral, opened.positions[0].1.quote), (-AMOUNT_MAX, AMOUNT_MAX));
    assert_eq!(opened.positions[0].1.size, -i128::from(WORD_MAX));
    let stranger = read_account(&zoo.root, STRANGER, &zoo.open(STRANGER)).expect("it is its opening");
    assert_eq!(stranger.owner, None);
}

#[test]
fn the_other_slots_are_read_as_they_are() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    let (tree, store) = (zoo.engine.tree(), zoo.engine.store());
    check(&mut reader, &zoo.root, &Asked::System, &open_system(tree)).expect("the venue's slot");
    assert_eq!(read_system(&zoo.root, &open_system(tree)).as_ref(), Ok(store.system()));
    check(&mut reader, &zoo.root, &Asked::Bridge, &open_bridge(tree)).expect("the bridge's slots");
    let [inbox, payouts] = [0, 1].map(|place| store.session(STRANGER, place));
    let expected = OpenedBridge {
        inbox_count: inbox.sequence,
        inbox_head: inbox.head,
        payout_count: payouts.sequence,
        payout_head: payouts.head,
    };
    assert_eq!(read_bridge(&zoo.root, &open_bridge(tree)), Ok(expected));
    check(&mut reader, &zoo.root, &Asked::Deployment, &open_deployment(tree)).expect("the deployment's slot");
    assert_eq!(read_deployment(&zoo.root, &open_deployment(tree)), Ok(store.deployment().domain));

    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut sets = vec![set([0]), set([255]), set([0, 1]), set([1, 2]), set([127, 128]), set(0..16), set([0, 255])];
    sets.extend((0..16).map(|_| set((0..1 + random.next_u32() % 12).map(|_| random.next_u32() % 256))));
    for markets in sets {
        let bytes = open_markets(tree, &markets);
        check(&mut reader, &zoo.root, &Asked::Markets(markets.clone()), &bytes).expect("these markets");
        let read = read_markets(&zoo.root, &markets, &bytes).expect("these markets");
        assert!(markets.iter().map(|id| store.market(id.get())).eq(&read));
    }
    // All markets at once: 256 slots and 255 nodes above them are more hashes than one transaction has gas for, natively they are read.
    let all = set(0..256);
    assert_eq!(read_markets(&zoo.root, &all, &open_markets(tree, &all)).map(|markets| markets.len()), Ok(256));
}

#[test]
fn states_of_real_streams_are_read_as_they_are() {
    let mut reader = Reader::deploy();
    let (mut most, mut shorts) = (0, 0);
    for scenario in Scenario::all() {
        let mut engine = Engine::new(&scenario.genesis).expect("a valid genesis");
        for part in scenario.commands(7, 6_000).chunks(3_000) {
            for instruction in part {
                // What needs a seal first is left out.
                let _ = engine.instruct(instruction);
            }
            let root = engine.close_batch();
            for id in 0..scenario.stream.accounts {
                let _ = check_account(&mut reader, &engine, &root, id);
                let view = engine.account(account_id(id));
                most = most.max(view.positions.iter().flatten().count());
                shorts += view.positions.iter().flatten().filter(|(_, position)| position.size < 0).count();
            }
            check(&mut reader, &root, &Asked::System, &open_system(engine.tree())).expect("the venue's slot");
            let markets = set(0..scenario.genesis.markets.len() as u32);
            let bytes = open_markets(engine.tree(), &markets);
            check(&mut reader, &root, &Asked::Markets(markets), &bytes).expect("the markets");
        }
    }
    println!("at most {most} positions, {shorts} shorts");
    assert!(most == 16 && shorts > 100, "the streams lead to all kinds of accounts");
}

/// Of an opening of the deployment, the contract says what root its 28 compressions lead to: 1,680 of them, of random and extreme cells.
#[test]
fn the_contracts_compression_is_the_trees() {
    let mut reader = Reader::deploy();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for kind in 0..60 {
        let mut cell = || match kind % 4 {
            0 => random.next_u32() % PRIME,
            1 => [0, 1, PRIME - 1][random.next_u32() as usize % 3],
            2 => PRIME - 1 - random.next_u32() % 16,
            _ => [PRIME - 1, random.next_u32() % PRIME][random.next_u32() as usize % 2],
        };
        let bytes: Vec<u8> = (0..8 * 29).flat_map(|_| cell().to_be_bytes()).collect();
        let error = check(&mut reader, &DIGEST_ZERO, &Asked::Deployment, &bytes).expect_err("no such state is known");
        assert_eq!(name(&error), "RootWrong");
    }
    // The digests of the empty tree.
    let (tree, empty) = (Tree::new(), Tree::new().root());
    check(&mut reader, &empty, &Asked::Deployment, &open_deployment(&tree)).expect("it is empty");
    check(&mut reader, &empty, &Asked::Account(0), &open_account(&tree, account_id(0))).expect("it is empty");
}

/// All changes of one kind or another to an opening; every one is refused, by both with the same error.
#[test]
fn contract_and_twin_agree_on_changed_openings() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    let tree = zoo.engine.tree();
    let markets = set([0, 1, 7, 200]);
    let samples = [
        (Asked::Account(SPARSE), zoo.open(SPARSE)),
        (Asked::Account(HUGE), zoo.open(HUGE)),
        (Asked::System, open_system(tree)),
        (Asked::Bridge, open_bridge(tree)),
        (Asked::Deployment, open_deployment(tree)),
        (Asked::Markets(markets.clone()), open_markets(tree, &markets)),
    ];
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    let mut refuse = |reader: &mut Reader, asked: &Asked, bytes: &[u8], what: &str| {
        let error = check(reader, &zoo.root, asked, bytes).expect_err(what);
        *verdicts.entry(name(&error)).or_default() += 1;
    };
    const SEED: u64 = 0x6f70_656e;
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for (sample, (asked, opening)) in samples.iter().enumerate() {
        check(&mut reader, &zoo.root, asked, opening).expect("it is the opening");
        // Every byte of the first, some of the others.
        for at in (0..opening.len()).step_by(if sample == 0 { 1 } else { 7 }) {
            let mut changed = opening.clone();
            changed[at] ^= 1 << (random.next_u32() % 8);
            refuse(&mut reader, asked, &changed, &format!("{asked:?}, byte {at}"));
        }
        // Every cell, plus p or set to a bound.
        for at in (0..opening.len()).step_by(if sample == 0 { 4 } else { 44 }) {
            let value = u32::from_be_bytes(opening[at..at + 4].try_into().expect("four bytes"));
            let others = [value.wrapping_add(PRIME), PRIME, u32::MAX, 1 << 14, 1, 0];
            let other = others[at / 4 % others.len()];
            if other != value {
                let mut changed = opening.clone();
                changed[at..at + 4].copy_from_slice(&other.to_be_bytes());
                refuse(&mut reader, asked, &changed, &format!("{asked:?}, cell {}", at / 4));
            }
        }
        for length in [0, 1, 31, 32, 863, 864, opening.len() - 32, opening.len() - 1] {
            refuse(&mut reader, asked, &opening[..length.min(opening.len() - 1)], "truncated");
        }
        for more in [1, 32, 128] {
            refuse(&mut reader, asked, &[opening.clone(), vec![0; more]].concat(), "extended");
        }
        // Two words of it exchanged.
        for _ in 0..40 {
            let words = opening.len() / DIGEST_BYTES;
            let [a, b] = [0; 2].map(|_: usize| random.next_u32() as usize % words * DIGEST_BYTES);
            let mut changed = opening.clone();
            changed[a..a + DIGEST_BYTES].copy_from_slice(&opening[b..b + DIGEST_BYTES]);
            changed[b..b + DIGEST_BYTES].copy_from_slice(&opening[a..a + DIGEST_BYTES]);
            if changed != *opening {
                refuse(&mut reader, asked, &changed, "exchanged");
            }
        }
        // As the opening of something else.
        for other in [0, SPARSE ^ 1, SPARSE + 2, HUGE - 1, STRANGER, 1 << 20, u32::MAX] {
            if !matches!(asked, Asked::Account(id) if *id == other) {
                refuse(&mut reader, &Asked::Account(other), opening, "another account");
            }
        }
        for others in [set([]), set([0, 1, 7, 201]), set([0, 1, 6, 200]), set([0, 1, 7])] {
            refuse(&mut reader, &Asked::Markets(others), opening, "other markets");
        }
        // Of another state.
        let error = check(&mut reader, &Tree::new().root(), asked, opening).expect_err("another state");
        assert_eq!(name(&error), "RootWrong");
    }
    println!("{verdicts:?}");
    let kinds =
        ["AccountRange", "NoMarkets", "OpeningLength", "NotCanonical", "LeafWrong", "DirectoryWrong", "MarketWrong"];
    for kind in kinds.into_iter().chain(["EntriesWrong", "RootWrong"]) {
        assert!(verdicts.contains_key(kind), "no change leads to {kind}");
    }
    assert!(verdicts.values().sum::<u64>() >= 2_000, "2,000 changed openings");
}

/// Bytes that nobody has made an opening of, of right and wrong lengths.
#[test]
fn contract_and_twin_agree_on_any_bytes() {
    let mut reader = Reader::deploy();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let kinds = [Asked::Account(3), Asked::System, Asked::Deployment, Asked::Markets(set([4, 5])), Asked::Bridge];
    for (round, asked) in kinds.iter().cycle().take(200).enumerate() {
        let length = match round % 3 {
            0 => random.next_u32() as usize % 3_000,
            _ => [864, 960, 928, 1056, 1056][round % 5],
        };
        let mut bytes = vec![0; length];
        match round % 5 {
            0 => random.fill_bytes(&mut bytes),
            1 => bytes.fill(0xff),
            // Cells of few bits come further.
            _ => bytes.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = random.next_u32() as u8 & 1),
        }
        let error = check(&mut reader, &DIGEST_ZERO, asked, &bytes).expect_err("no such state is known");
        assert_ne!(name(&error), "AccountRange");
    }
    // Accounts have 256 bits in the contract.
    for index in [U256::ONE << 32, U256::ONE << 255, U256::MAX] {
        let call = readAccountCall { root: word(&DIGEST_ZERO), index, opening: vec![0; 864].into() };
        let expected = evm::AccountRange { account: index };
        assert_eq!(reader.read(&call).expect_err("no such account").to_vec(), expected.abi_encode());
    }
}

/// An opening in which everything fits but one rule, with the root that it leads to: the rule is what refuses it.
#[test]
fn what_no_state_has_is_refused_whatever_the_root() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    let opening = zoo.open(SPARSE);
    let cell = |at: usize, value: u32| {
        let mut changed = opening.clone();
        changed[4 * at..4 * at + 4].copy_from_slice(&value.to_be_bytes());
        changed
    };
    // Cells of the account's slot: sign, 8 limbs, entries, directory; of its owner, from cell 32 on; of its first position, from cell 48 on.
    let (entries, directory, owner, first) = (9, 10, 32, 48);
    let mut minus_zero = cell(0, 1);
    minus_zero[4..36].fill(0);
    let mut unowned = cell(owner, 0);
    unowned[4 * owner + 4..4 * owner + 8].copy_from_slice(&1u32.to_be_bytes());
    let cases = [
        ("a sign of 2", cell(0, 2), OpeningError::LeafWrong { at: 0 }),
        ("a limb of 15 bits", cell(1, 1 << 14), OpeningError::LeafWrong { at: 0 }),
        ("a high limb of 15 bits", cell(8, 1 << 14), OpeningError::LeafWrong { at: 32 }),
        ("minus zero", minus_zero, OpeningError::NegativeZero { at: 0 }),
        ("an unused cell", cell(31, 1), OpeningError::LeafWrong { at: 96 }),
        ("17 entries", cell(entries, 17), OpeningError::EntriesWrong { entries: 17 }),
        ("fewer entries than are in use", cell(entries, 11), OpeningError::DirectoryWrong { entry: 11, cell: 9 }),
        ("no market", cell(directory + 3, 257), OpeningError::DirectoryWrong { entry: 3, cell: 257 }),
        ("an entry of 31 bits", cell(directory + 3, 1 << 30), OpeningError::LeafWrong { at: 32 }),
        ("an entry left out", cell(directory + 3, 0), OpeningError::OpeningLength { expected: 1120, got: 1248 }),
        ("an entry too many", cell(directory + 5, 1), OpeningError::OpeningLength { expected: 1376, got: 1248 }),
        ("another market", cell(directory + 3, 11), OpeningError::MarketWrong { entry: 3, expected: 11, got: 10 }),
        ("another position's market", cell(first, 0), OpeningError::MarketWrong { entry: 3, expected: 10, got: 0 }),
        ("an owner of 2", cell(owner, 2), OpeningError::LeafWrong { at: 128 }),
        ("an owner's address of a closed account", unowned, OpeningError::LeafWrong { at: 128 }),
        ("an address of 161 bits", cell(owner + 6, 1 << 20), OpeningError::LeafWrong { at: 128 }),
        ("an address part of 29 bits", cell(owner + 1, 1 << 28), OpeningError::LeafWrong { at: 128 }),
        ("a digest that is not canonical", cell(40, PRIME), OpeningError::NotCanonical { at: 160 }),
        (
            "the last sibling",
            cell(opening.len() / 4 - 1, u32::MAX),
            OpeningError::NotCanonical { at: opening.len() - 32 },
        ),
    ];
    for (what, bytes, expected) in cases {
        // The root does not matter: neither reader comes to compare it.
        for root in [zoo.root, DIGEST_ZERO] {
            assert_eq!(check(&mut reader, &root, &Asked::Account(SPARSE), &bytes).unwrap_err(), expected, "{what}");
        }
    }
    // A position without lots whose sign says that it is short, in the second position.
    let second = first + 32;
    let mut short = cell(second + 1, 1);
    short[4 * (second + 2)..4 * (second + 5)].fill(0);
    let error = check(&mut reader, &zoo.root, &Asked::Account(SPARSE), &short).unwrap_err();
    assert_eq!(error, OpeningError::NegativeZero { at: 4 * second });
}

/// The same of the bridge: of each of its two slots, whatever the root.
#[test]
fn what_no_session_is_is_refused_whatever_the_root() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    let opening = open_bridge(zoo.engine.tree());
    // Cells: live, public key (14), withdraws, expiry (3), unsealed, generation, sequence, head (8), unused.
    let cases = [
        ("live", 0, 2, 0, false),
        ("a key's cell", 1, PRIME, 0, true),
        ("a key's cell of 32 bits", 7, 1 << 31, 0, false),
        ("a key's last cell", 14, PRIME + 1, 1, true),
        ("withdraws", 15, 2, 1, false),
        ("a limb", 16, 1 << 14, 2, false),
        ("unsealed", 19, 2, 2, false),
        ("a generation", 20, 1 << 30, 2, false),
        ("a sequence number", 21, 1 << 30, 2, false),
        ("a head's first cell", 22, u32::MAX >> 1, 2, true),
        ("a head's last cell", 29, PRIME, 3, true),
        ("an unused cell", 30, 1, 3, false),
        ("the last cell", 31, 1, 3, false),
    ];
    for (what, cell, value, leaf, canonical) in cases {
        for slot in [0, 1] {
            let mut changed = opening.clone();
            changed[128 * slot + 4 * cell..][..4].copy_from_slice(&value.to_be_bytes());
            let at = 128 * slot + 32 * leaf;
            let expected = if canonical { OpeningError::NotCanonical { at } } else { OpeningError::LeafWrong { at } };
            let error = check(&mut reader, &DIGEST_ZERO, &Asked::Bridge, &changed).unwrap_err();
            assert_eq!(error, expected, "{what}");
        }
    }
}

/// A position that the directory does not say cannot stay hidden: the leaves of empty entries are part of the root.
#[test]
fn a_hidden_position_is_seen() {
    let (mut reader, mut zoo) = (Reader::deploy(), Zoo::new());
    zoo.engine.store_mut().set_position(SPARSE, 9, position(3, 1, 1));
    let _ = zoo.engine.store_mut().take_conservation();
    let root = zoo.engine.close_batch();
    let opening = open_account(zoo.engine.tree(), account_id(SPARSE));
    let error = check(&mut reader, &root, &Asked::Account(SPARSE), &opening).unwrap_err();
    assert_eq!(name(&error), "RootWrong");
}

/// The first cell is the most significant, unlike in the encoding of digests elsewhere.
#[test]
fn digests_are_big_endian_words() {
    let zoo = Zoo::new();
    let opening = open_deployment(zoo.engine.tree());
    let domain = zoo.engine.store().deployment().domain;
    let swapped: Vec<u8> = opening[..32].chunks(4).flat_map(|cell| cell.iter().rev().copied()).collect();
    assert_eq!(digest_decode(&swapped.try_into().expect("32 bytes")), Ok(domain));
    assert_eq!(&opening[..32], word(&domain).as_slice());
}

/// Prints what openings cost, and holds the bounds that an exit's gas rests on.
#[test]
fn gas() {
    let (mut reader, zoo) = (Reader::deploy(), Zoo::new());
    let tree = zoo.engine.tree();
    let scattered = set((0..16).map(|market| 16 * market));
    let cases = [
        ("account, no position", Asked::Account(EMPTY), zoo.open(EMPTY), 600_000),
        ("account, 1 position", Asked::Account(ONE), zoo.open(ONE), 700_000),
        ("account, 16 positions", Asked::Account(FULL), zoo.open(FULL), 1_700_000),
        ("system", Asked::System, open_system(tree), 500_000),
        ("deployment", Asked::Deployment, open_deployment(tree), 500_000),
        ("the bridge", Asked::Bridge, open_bridge(tree), 550_000),
        ("1 market", Asked::Markets(set([3])), open_markets(tree, &set([3])), 500_000),
        ("markets 0 to 15", Asked::Markets(set(0..16)), open_markets(tree, &set(0..16)), 1_600_000),
        ("16 markets, 16 apart", Asked::Markets(scattered.clone()), open_markets(tree, &scattered), 2_300_000),
    ];
    println!("{:24} {:>6} {:>10} {:>11}", "opening", "bytes", "execution", "transaction");
    let mut costs = BTreeMap::new();
    for (what, asked, bytes, most) in cases {
        let gas = check(&mut reader, &zoo.root, &asked, &bytes).expect("it is the opening");
        println!("{what:24} {:>6} {:>10} {:>11}", bytes.len(), gas.execution, gas.total);
        assert!(gas.execution <= most, "{what}: {} gas, more than {most}", gas.execution);
        costs.insert(what, gas.execution);
    }
    // 28 compressions, and little else.
    println!("a compression: {}", costs["deployment"] / 28);
    // The exit of an account with positions in 16 markets reads both.
    assert!(costs["account, 16 positions"] + costs["16 markets, 16 apart"] < 4_000_000);
}
