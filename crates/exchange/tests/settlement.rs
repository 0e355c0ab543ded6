//! What Ethereum and the venue agree on, as vectors: the contracts' tests (`contracts/test`) read them.
//!
//! `HOLDFAST_BLESS=1` rewrites them, after a change of what is published or of the state's layout.

mod common;

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use common::{account, key, time};
use holdfast_crypto::{Digest, F, poseidon2::compress, schnorr::SecretKey};
use holdfast_exchange::{
    Engine, Plain,
    opening::{open_account, open_bridge, open_deployment, open_markets, open_system, read_bridge},
    slots::{Account, Market, Owner, Position, Session},
};
use holdfast_protocol::{
    Amount, Batch, BatchHeader, Command, Deployment, Instruction, KeyIndex, MarketId, Outcome, Place, Price, SelfTrade,
    Side, Size, TimeInForce,
    cells::{Block, absorb, blocks, digest_start, owner_cells},
    command::{CancelAll, Deposit, Open, Register, Revoke, Withdraw},
    limits::{self, BRIDGE},
    publication::{self, digest_of, digest_word},
};
use serde_json::{Value, json};

const CHAIN_ID: u64 = 0x1234_5678_9abc_def0;
const VAULT: Address = Address::repeat_byte(0xa7);
/// The order of BLS12-381's scalar field.
const R: &str = "0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

fn word(digest: &Digest) -> String {
    digest_word(digest).to_string()
}

fn bytes(opening: Vec<u8>) -> String {
    hex::encode_prefixed(opening)
}

fn amount(raw: u128) -> Amount {
    Amount::new(raw).expect("an amount")
}

fn market(id: u32) -> MarketId {
    MarketId::new(id).expect("a market")
}

fn deployment() -> Deployment {
    Deployment { chain_id: CHAIN_ID, contract: VAULT }
}

fn forced(command: Command) -> Instruction {
    Instruction { key: KeyIndex::ETHEREUM, command }
}

fn forced_blocks(command: Command) -> Vec<Block> {
    let blocks = blocks(&forced(command));
    [vec![blocks.first], blocks.further().to_vec()].concat()
}

fn absorbed(head: &Digest, blocks: &[Block], last: u32) -> Digest {
    let first = absorb(head, &blocks[0], last);
    blocks[1..].iter().fold(first, |head, block| absorb(&head, block, 0))
}

const ID: u32 = 3;
const OWNER: Address = Address::new(hex!("0123456789abcdef0fedcba9876543210f1e2d3c"));
const EXPIRY: u64 = (1 << 42) - 5;

fn close(side: Side, id: u32, price: u32, size: u64) -> Command {
    Command::Place(Place {
        account: account(ID),
        market: market(id),
        side,
        time_in_force: TimeInForce::ImmediateOrCancel,
        reduce_only: true,
        self_trade: SelfTrade::ExpireMaker,
        price: Price::new(price).expect("a price"),
        size: Size::new(size).expect("a size"),
    })
}

fn register(index: u32, replaces: bool, withdraws: bool) -> Command {
    Command::Register(Register {
        sender: account(ID),
        account: account(ID),
        key: key(index),
        replaces,
        withdraws,
        expiry: time(EXPIRY),
        public_key: secret().public_key(),
    })
}

fn secret() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn deposit(raw: u128) -> Command {
    Command::Deposit(Deposit { sender: account(ID), account: account(ID), amount: amount(raw) })
}

/// The commands that the contracts' tests send, in their order.
fn entries() -> Vec<Command> {
    vec![
        Command::Open(Open { sender: account(ID), account: account(ID), owner: OWNER }),
        deposit(5_000_000),
        Command::Withdraw(Withdraw { account: account(ID), amount: amount((1 << 80) - 1) }),
        close(Side::Buy, 3, u32::MAX, (1 << 40) - 1),
        close(Side::Sell, 255, 1, 1),
        Command::CancelAll(CancelAll { account: account(ID), market: market(254) }),
        register(1, false, true),
        register(3, true, false),
        Command::Revoke(Revoke { sender: account(ID), account: account(ID), key: key(2) }),
        deposit((1 << 80) - 1),
    ]
}

fn inbox() -> Value {
    let domain = deployment().domain();
    let start = absorb(&domain, &[BRIDGE, 0, 0, 0, 0, 0, 0], 1);
    let mut heads = vec![start];
    for (index, command) in entries().into_iter().enumerate() {
        heads.push(absorbed(&heads[index], &forced_blocks(command), index as u32));
    }
    let point = secret().public_key();
    let coordinates = [point.point().x(), point.point().y()].map(|coordinate| coordinate.to_canonical().to_vec());
    json!({
        "domain": word(&domain),
        "owner": OWNER,
        "expiry": EXPIRY,
        "x": coordinates[0],
        "y": coordinates[1],
        "heads": heads.iter().map(word).collect::<Vec<_>>(),
    })
}

fn payouts() -> Value {
    let paid = [(ID, 1_u128), (0, 1 << 78), (BRIDGE - 1, 1 << 77), (ID, 77_000_000), (ID, 1 << 56)];
    let mut heads = vec![Digest::default()];
    for (index, (id, amount)) in paid.into_iter().enumerate() {
        let part = |part: u32| (amount >> (28 * part)) as u32 & ((1 << 28) - 1);
        let block = [id, part(0), part(1), part(2), 0, 0, 0];
        heads.push(absorb(&heads[index], &block, index as u32));
    }
    json!({
        "accounts": paid.map(|(id, _)| id),
        "amounts": paid.map(|(_, amount)| format!("{amount:#x}")),
        "heads": heads.iter().map(word).collect::<Vec<_>>(),
    })
}

/// A word of an instruction's block. Blocks of a public key's coordinates have the cells' high bits in the eighth.
fn published(block: &Block, last: u32, coordinate: bool) -> U256 {
    let mut cells = block.to_vec();
    let mut eighth = last;
    if coordinate {
        for (index, cell) in cells.iter_mut().enumerate() {
            eighth |= (*cell >> 28) << (3 * index);
            *cell &= (1 << 28) - 1;
        }
    }
    cells.push(eighth);
    cells.iter().enumerate().fold(U256::ZERO, |word, (index, &cell)| word | U256::from(cell) << (30 * index))
}

/// Cells of a number, the least significant first.
fn parts(value: U256, count: usize, bits: usize) -> Vec<u32> {
    (0..count).map(|cell| ((value >> (bits * cell)) & U256::from((1u64 << bits) - 1)).to::<u32>()).collect()
}

fn batch(number: u32, commands: &[Command], ends: u64) -> Value {
    let modulus: U256 = R.parse().expect("a number");
    let mut chain = digest_start(number);
    let (mut words, mut instructions, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for (index, command) in commands.iter().enumerate() {
        let outcome = Outcome::from_code(index as u8 % 7).unwrap_or(Outcome::Accepted);
        let (blocks, code) = (forced_blocks(*command), outcome.code().into());
        instructions.push(forced(*command));
        outcomes.push(outcome);
        chain = absorbed(&chain, &blocks, code);
        words.push(published(&blocks[0], code, false));
        for block in &blocks[1..] {
            words.push(published(block, 0, matches!(command, Command::Register(_))));
        }
    }
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes::<32>()[2..].to_vec()).collect();
    let commitment = keccak256(&data);
    let chain_word: B256 = word(&chain).parse().expect("a word");
    let z = U256::from_be_bytes(keccak256([commitment.0, chain_word.0].concat()).0) % modulus;
    let power = |exponent: usize| z.pow_mod(U256::from(exponent), modulus);
    let value = words.iter().enumerate().fold(U256::ZERO, |sum, (index, &word)| {
        sum.add_mod(word.mul_mod(power(words.len() - 1 - index), modulus), modulus)
    });
    let mut cells = [parts(z, 9, 30), parts(value, 9, 30), parts(U256::from(ends), 3, 14)].concat();
    cells.resize(24, 0);
    let digest = cells.chunks(8).fold(chain, |hash, block| {
        let block: Digest = std::array::from_fn(|cell| F::new(block[cell]));
        compress(&hash, &block)
    });
    // What the venue publishes is the same.
    let whole = Batch { header: BatchHeader { number }, instructions, outcomes, seals: Vec::new() };
    assert_eq!(publication::words(&whole).as_flattened(), data);
    let progress = publication::Progress::end_in_calldata(&whole);
    assert_eq!((progress.chain, progress.z, progress.value), (chain, z, value));
    assert_eq!(progress.digest(time(ends)), digest);
    json!({
        "chain": word(&chain), "words": bytes(data), "commitment": commitment, "z": z, "value": value, "time": ends,
        "digest": word(&digest),
    })
}

fn batches() -> Value {
    let commands = entries();
    let list = [
        batch(1, &commands, (1 << 42) - 1),
        batch(2, &[], 1_700_000_000_000),
        batch(3, &commands[..6], 1_700_000_000_001),
    ];
    let data = list
        .iter()
        .fold(Digest::default(), |data, batch| compress(&data, &digest(batch["digest"].as_str().expect("a word"))));
    json!({ "list": list, "data": word(&data) })
}

/// An account of the state: its collateral, and market, size and quote of its positions.
type Holding = (u32, i128, &'static [(u32, i128, i128)]);

const MARKS: [(u32, u64); 3] = [(0, 100), (1, 250), (200, 7)];
const HOLDINGS: [Holding; 5] = [
    (7, 10_000, &[(0, 50, -4_000), (200, -300, 2_000)]),
    (8, 1_000, &[(0, -50, 4_000), (1, 20, -9_000)]),
    (9, 500, &[(1, -20, 9_000), (200, 300, -2_000)]),
    (10, 3_000, &[]),
    (11, -7, &[]),
];

fn equity((_, collateral, positions): &Holding) -> i128 {
    let mark = |id: u32| MARKS.iter().find(|(market, _)| *market == id).map_or(0, |(_, mark)| i128::from(*mark));
    collateral + positions.iter().map(|(id, size, quote)| size * mark(*id) + quote).sum::<i128>()
}

/// The root of the state as the store has it.
fn root_of(engine: &mut Engine) -> Digest {
    let _ = engine.store_mut().take_conservation();
    let leaves = engine.touched_leaves();
    engine.update_tree(&leaves)
}

/// A settled genesis.
fn genesis() -> (Engine, Digest) {
    let mut genesis = common::genesis();
    genesis.deployment = deployment();
    // Where a contract holds the money, accounts are numbered from 0 on.
    for (id, entry) in (0..).zip(&mut genesis.accounts) {
        entry.account = account(id);
    }
    (genesis.oracle, genesis.operator, genesis.fee_account) = (account(0), account(1), account(2));
    let engine = Engine::new(&genesis).expect("a valid genesis");
    let root = engine.root();
    (engine, root)
}

/// One of the bridge's places, after it has absorbed so much.
fn bridge(place: &Session<Plain>, heads: &[Digest]) -> Session<Plain> {
    Session { sequence: heads.len() as u32 - 1, head: heads[heads.len() - 1], ..place.clone() }
}

/// A state with accounts below zero, to which a batch has led that consumed all entries and made all payouts.
fn state() -> Value {
    let (mut engine, genesis_root) = genesis();
    let opened = json!({
        "root": word(&genesis_root),
        "system": bytes(open_system(engine.tree())),
        "deployment": bytes(open_deployment(engine.tree())),
        "bridge": bytes(open_bridge(engine.tree())),
        "time": engine.store().system().time,
    });
    let store = engine.store_mut();
    let mut deposits = 0;
    for (id, mark) in MARKS {
        let market = Market { mark, ..store.market(0).clone() };
        store.set_market(id, market);
    }
    for (id, collateral, positions) in HOLDINGS {
        deposits += collateral;
        let mut directory = [0; 16];
        for (entry, &(market, size, quote)) in positions.iter().enumerate() {
            deposits += quote;
            directory[entry] = market + 1;
            let position = Position { market: market + 1, size, quote, bids: 0, asks: 0, open_orders: 0 };
            store.set_position(id, entry as u32, position);
        }
        store.set_account(id, Account { collateral, entries: positions.len() as u32, directory });
        let address = owner_cells(&Address::repeat_byte(id as u8)).map(F::new);
        store.set_owner(id, Owner { open: true, address });
    }
    assert_eq!(deposits, HOLDINGS.iter().map(equity).sum::<i128>());
    let heads = |vectors: Value| -> Vec<Digest> {
        let list = vectors["heads"].as_array().expect("heads").clone();
        list.iter().map(|head| digest(head.as_str().expect("a word"))).collect()
    };
    let (consumed, paid) = (heads(inbox()), heads(payouts()));
    for (place, heads) in [(limits::INBOX, &consumed), (limits::PAYOUTS, &paid)] {
        assert_eq!(store.session(BRIDGE, place).head, heads[0]);
        let session = bridge(store.session(BRIDGE, place), heads);
        store.set_session(BRIDGE, place, session);
    }
    let mut system = store.system().clone();
    system.deposits = deposits as u128;
    system.batches = 3;
    store.set_system(system);
    let root = root_of(&mut engine);
    let tree = engine.tree();
    assert_eq!(read_bridge(&root, &open_bridge(tree)).expect("the bridge").inbox_count as usize, consumed.len() - 1);
    let markets: BTreeSet<_> = MARKS.iter().map(|(id, _)| market(*id)).collect();
    json!({
        "genesis": opened,
        "root": word(&root),
        "deposits": deposits,
        "system": bytes(open_system(tree)),
        "bridge": bytes(open_bridge(tree)),
        "markets": bytes(open_markets(tree, &markets)),
        "market_ids": MARKS.map(|(id, _)| id),
        "marks": MARKS.map(|(_, mark)| mark),
        "accounts": HOLDINGS.map(|(id, ..)| id),
        "equities": HOLDINGS.iter().map(|holding| equity(holding).to_string()).collect::<Vec<_>>(),
        "openings": HOLDINGS.map(|(id, ..)| bytes(open_account(tree, account(id)))),
        "stranger": bytes(open_account(tree, account(12))),
    })
}

/// The digest of a word.
fn digest(word: &str) -> Digest {
    digest_of(&word.parse().expect("a word")).expect("a digest")
}

#[test]
fn the_contracts_vectors_are_these() {
    let vectors = json!({
        "chain_id": CHAIN_ID,
        "vault": VAULT,
        "inbox": inbox(),
        "payouts": payouts(),
        "batches": batches(),
        "state": state(),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/settlement.json");
    if std::env::var("HOLDFAST_BLESS").as_deref() == Ok("1") {
        std::fs::write(path, serde_json::to_string_pretty(&vectors).expect("it is JSON") + "\n")
            .expect("it is written");
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("it is JSON");
    assert_eq!(golden, vectors);
}
