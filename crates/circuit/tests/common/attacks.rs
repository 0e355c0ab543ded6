//! A small venue, and segments of it that prove what is not true: each made as consistent as a dishonest prover can make it.

use std::sync::LazyLock;

use holdfast_circuit::{
    air::{MERKLE_WIDTH, SEGMENT_CHAIN, SEGMENT_END, SYSTEM_BATCHES, Table, record_cells},
    check::{Checker, Window},
    row::Bus,
    step_table::command_entry,
    witness::{Segment, padded},
};
use holdfast_crypto::{Digest, F, poseidon2::compress, tree::Tree};
use holdfast_exchange::{
    Engine,
    slots::Kind,
    step::Step,
    store::{Store, leaves_of},
};
use holdfast_protocol::{
    AccountGenesis, AccountId, Address, Amend, Amount, Cancel, CancelAll, Command, Deployment, Deposit, Genesis,
    Instruction, KeyGenesis, KeyIndex, Mark, MarketGenesis, MarketId, Open, OrderId, Outcome, Place as PlaceCommand,
    Price, Register, Release, Revoke, SelfTrade, Side, Size, Time, TimeInForce, TimeMs, Withdraw, limits,
};
use holdfast_sim::keyring::secret;
use openvm_stark_backend::{p3_field::PrimeCharacteristicRing, p3_matrix::dense::RowMajorMatrix};

use super::{
    forge::{At, Forger, Honest, Place, Prover, Version, fit_lookups},
    seal_all,
};

pub const ORACLE: u32 = 0;
pub const OPERATOR: u32 = 1;
pub const FEES: u32 = 2;
pub const ALICE: u32 = 3;
pub const BOB: u32 = 4;
pub const CAROL: u32 = 5;
/// Has no account yet.
pub const DAVE: u32 = 6;
/// The second key of the operator, of Alice (it may not withdraw) and of Bob (it has expired).
pub const SECOND: u32 = 1;
/// Milliseconds at genesis.
pub const START: u64 = 1_700_000_000_000;
/// A key that never expires.
pub const NEVER: u64 = (1 << limits::TIME_BITS) - 1;
/// The first order slot.
pub const FIRST: u32 = limits::FIRST_ORDER;

pub fn id(account: u32) -> AccountId {
    AccountId::new(account).expect("a small id")
}

pub fn key_index(key: u32) -> KeyIndex {
    KeyIndex::new(key).expect("a small index")
}

fn market_id(market: u32) -> MarketId {
    MarketId::new(market).expect("a small id")
}

pub fn time_of(time: u64) -> TimeMs {
    TimeMs::new(time).expect("a time")
}

/// By the signer's first key.
pub fn first(command: Command) -> Instruction {
    Instruction { key: key_index(0), command }
}

/// The same by the signer's second key.
pub fn by_second(instruction: Instruction) -> Instruction {
    Instruction { key: key_index(SECOND), ..instruction }
}

/// Number of the test key of an account's key.
pub fn secret_of(account: u32, key: u32) -> u32 {
    account + 10 * key
}

pub fn deposit(account: u32, amount: u128) -> Instruction {
    let amount = Amount::new(amount).expect("a small amount");
    first(Command::Deposit(Deposit { sender: id(OPERATOR), account: id(account), amount }))
}

pub fn withdraw(account: u32, amount: u128) -> Instruction {
    first(Command::Withdraw(Withdraw { account: id(account), amount: Amount::new(amount).expect("a small amount") }))
}

pub fn place(account: u32, market: u32, side: Side, time_in_force: TimeInForce, price: u32, size: u64) -> Instruction {
    first(Command::Place(PlaceCommand {
        account: id(account),
        market: market_id(market),
        side,
        time_in_force,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: Price::new(price).expect("a price"),
        size: Size::new(size).expect("a size"),
    }))
}

pub fn buy(account: u32, price: u32, size: u64) -> Instruction {
    place(account, 0, Side::Buy, TimeInForce::GoodTillCancel, price, size)
}

pub fn sell(account: u32, price: u32, size: u64) -> Instruction {
    place(account, 0, Side::Sell, TimeInForce::GoodTillCancel, price, size)
}

pub fn cancel(account: u32, slot: u32) -> Instruction {
    first(Command::Cancel(Cancel { account: id(account), order: OrderId::new(slot, 1).expect("an order") }))
}

pub fn cancel_all(account: u32, market: u32) -> Instruction {
    first(Command::CancelAll(CancelAll { account: id(account), market: market_id(market) }))
}

pub fn amend(account: u32, slot: u32, price: u32, size: u64) -> Instruction {
    first(Command::Amend(Amend {
        account: id(account),
        order: OrderId::new(slot, 1).expect("an order"),
        self_trade: SelfTrade::ExpireTaker,
        price: Price::new(price).expect("a price"),
        size: Size::new(size).expect("a size"),
    }))
}

pub fn mark(sender: u32, market: u32, price: u32) -> Instruction {
    let price = Price::new(price).expect("a price");
    first(Command::Mark(Mark { sender: id(sender), market: market_id(market), price }))
}

pub fn time(sender: u32, time: u64) -> Instruction {
    first(Command::Time(Time { sender: id(sender), time: time_of(time) }))
}

pub fn release(account: u32, market: u32) -> Instruction {
    first(Command::Release(Release { account: id(account), market: market_id(market) }))
}

pub fn open(sender: u32, account: u32) -> Instruction {
    let owner = Address::from(std::array::from_fn(|i| 0x11 * (i as u8 % 15 + 1)));
    first(Command::Open(Open { sender: id(sender), account: id(account), owner }))
}

/// Registers (or replaces) the key whose test key has this number.
pub fn register(account: u32, key: u32, replaces: bool, number: u32) -> Instruction {
    first(Command::Register(Register {
        sender: id(OPERATOR),
        account: id(account),
        key: key_index(key),
        replaces,
        withdraws: true,
        expiry: time_of(NEVER),
        public_key: secret(number).public_key(),
    }))
}

pub fn revoke(account: u32, key: u32) -> Instruction {
    first(Command::Revoke(Revoke { sender: id(OPERATOR), account: id(account), key: key_index(key) }))
}

pub fn genesis() -> Genesis {
    let market = |index: u32, mark| MarketGenesis {
        symbol: format!("M{index}"),
        tick_decimals: 2,
        lot_decimals: 4,
        mark: Price::new(mark).expect("a price"),
        initial_margin_ppm: 50_000,
        maintenance_margin_ppm: 25_000,
        maker_fee_ppm: 100,
        taker_fee_ppm: 350,
        open_orders_max: 100,
        position_max: 1 << 30,
        mark_move_ppm: 100_000,
    };
    let account = |account: u32, keys: &[(bool, u64)]| AccountGenesis {
        account: id(account),
        owner: Address::repeat_byte(account as u8 + 1),
        keys: (0..)
            .zip(keys)
            .map(|(key, &(withdraws, expiry))| KeyGenesis {
                public_key: secret(secret_of(account, key)).public_key(),
                withdraws,
                expiry: time_of(expiry),
            })
            .collect(),
    };
    Genesis {
        deployment: Deployment { chain_id: 31_337, contract: Address::ZERO },
        time: time_of(START),
        oracle: id(ORACLE),
        operator: id(OPERATOR),
        fee_account: id(FEES),
        quote_decimals: 6,
        accounts: vec![
            account(ORACLE, &[(false, NEVER)]),
            account(OPERATOR, &[(false, NEVER), (false, NEVER)]),
            account(FEES, &[]),
            account(ALICE, &[(true, NEVER), (false, NEVER)]),
            account(BOB, &[(true, NEVER), (true, START - 1)]),
            account(CAROL, &[(true, NEVER)]),
        ],
        markets: vec![market(0, 10_000), market(1, 2_000)],
    }
}

/// A venue with a batch behind it, whose book of market 0 is
///
/// | bids | asks |
/// |---|---|
/// | 9,990: 512 of Alice, 514 of Bob | 10,010: 515 of Carol, 517 of Alice |
/// | 9,980: 513 of Alice | 10,020: 516 of Carol |
///
/// with 100 lots each. In market 1 Alice bids for 10 in slot 518, and slot 519 has been freed by Bob.
#[derive(Clone)]
pub struct Stage {
    pub genesis_root: Digest,
    pub engine: Engine,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let mut engine = Engine::new(&genesis()).expect("the genesis is valid");
    let genesis_root = engine.root();
    for instruction in Stage::instructions() {
        assert_eq!(engine.instruct(&instruction), Ok(Outcome::Accepted));
    }
    seal_all(&mut engine);
    let _root = engine.close_batch();
    Stage { genesis_root, engine }
});

impl Stage {
    pub fn new() -> Self {
        STAGE.clone()
    }

    pub fn instructions() -> Vec<Instruction> {
        let deposits = [ALICE, BOB, CAROL].map(|account| deposit(account, 1_000_000_000));
        let orders = [
            buy(ALICE, 9_990, 100),
            buy(ALICE, 9_980, 100),
            buy(BOB, 9_990, 100),
            sell(CAROL, 10_010, 100),
            sell(CAROL, 10_020, 100),
            sell(ALICE, 10_010, 100),
            place(ALICE, 1, Side::Buy, TimeInForce::GoodTillCancel, 1_990, 10),
            place(BOB, 1, Side::Buy, TimeInForce::GoodTillCancel, 1_980, 10),
            cancel(BOB, FIRST + 7),
        ];
        deposits.into_iter().chain(orders).collect()
    }

    pub fn store(&self) -> &Store {
        self.engine.store()
    }

    pub fn tree(&self) -> &Tree {
        self.engine.tree()
    }

    /// A forger of the second batch.
    pub fn forger(&self) -> Forger {
        Forger::new(self.store(), self.tree(), 0, super::start(2))
    }
}

/// A prover that reads slots by a rule of its own.
pub struct Reader<R>(pub R);

impl<R: FnMut(At, Place, &[Version]) -> Option<Version>> Prover for Reader<R> {
    fn load(&mut self, at: At, place: Place, versions: &[Version]) -> Version {
        (self.0)(at, place, versions).unwrap_or_else(|| Honest.load(at, place, versions))
    }
}

/// A prover that gives advice by a rule of its own: from the step and the honest advice.
pub struct Adviser<R>(pub R);

impl<R: FnMut(Step, i64) -> i64> Prover for Adviser<R> {
    fn hint(&mut self, at: At, honest: i64) -> i64 {
        (self.0)(at.step, honest)
    }
}

/// A prover that adds to one cell, at a clock and in a column.
pub struct Adder {
    pub clock: i64,
    pub column: usize,
    pub added: i64,
}

impl Prover for Adder {
    fn column(&mut self, at: At, honest: i64) -> i64 {
        let here = (at.clock, at.column) == (self.clock, self.column);
        if here { honest + self.added } else { honest }
    }
}

/// A prover that turns one bit, at a clock and in a column.
pub struct Liar {
    pub clock: i64,
    pub column: usize,
}

impl Prover for Liar {
    fn column(&mut self, at: At, honest: i64) -> i64 {
        let here = (at.clock, at.column) == (self.clock, self.column) && (0..2).contains(&honest);
        if here { 1 - honest } else { honest }
    }
}

/// The rows of a table that are active.
fn active(segment: &Segment, table: Table, width: usize) -> Vec<F> {
    let rows = &segment.traces[table.index()].as_ref().expect("the table has rows").values;
    rows.chunks_exact(width).filter(|row| row[0] == F::ONE).flatten().copied().collect()
}

/// Replaces the active rows of a table, and makes the lookup tables fit.
fn replace(checker: &Checker<'_>, segment: &mut Segment, table: Table, rows: Vec<F>) {
    segment.traces[table.index()] = padded(rows, checker.table(table).width);
    fit_lookups(checker, segment);
}

/// A trade with the second order of the book: the first is skipped by reading a sentinel that does not point to it.
pub fn skipped_maker(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    let mut reader = Reader(|at: At, (kind, slot, _): Place, versions: &[Version]| {
        let mut version = versions.last()?.clone();
        let next = record_cells(Kind::Order) - 1;
        if at.step != Step::Match || kind != Kind::Order || slot != 0 || version.cells[next] != i64::from(FIRST) {
            return None;
        }
        version.cells[next] = i64::from(FIRST + 2);
        Some(version)
    });
    let order = place(CAROL, 0, Side::Sell, TimeInForce::ImmediateOrCancel, 9_980, 50);
    assert_eq!(forger.apply(&mut reader, &order), Outcome::Accepted);
    assert_eq!(
        [FIRST, FIRST + 2].map(|slot| forger.order(slot).size),
        [100, 50],
        "Bob's order was filled before Alice's"
    );
    forger.close(checker)
}

/// An order of Bob put behind another order than the one where it belongs.
pub fn wrong_neighbour(checker: &Checker<'_>, slot: u32) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    let mut adviser = Adviser(|step, honest| if step == Step::Rest { i64::from(slot) } else { honest });
    assert_eq!(forger.apply(&mut adviser, &buy(BOB, 9_985, 10)), Outcome::Accepted);
    forger.close(checker)
}

/// Two deposits of Alice, the second of which reads her account as it was before the first.
pub fn stale_read(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    stale_deposits(&mut forger);
    forger.close(checker)
}

fn stale_deposits(forger: &mut Forger) {
    let mut stale =
        Reader(|_, (kind, _, _): Place, versions: &[Version]| (kind == Kind::Account).then(|| versions[0].clone()));
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 100)), Outcome::Accepted);
    assert_eq!(forger.apply(&mut stale, &deposit(ALICE, 200)), Outcome::Accepted);
}

/// The same two deposits, with both versions of the account carried to the end: its slot has two boundary rows, and the tree two paths for it.
pub fn split_history(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    stale_deposits(&mut forger);
    let versions = forger.versions((Kind::Account, ALICE, 0)).clone();
    let mut segment = forger.close(checker);

    let table = Table::Boundary(Kind::Account);
    let mut rows = active(&segment, table, checker.table(table).width);
    let cells = record_cells(Kind::Account);
    let mut row = rows[..checker.table(table).width].to_vec();
    let field = |cell: i64| F::from_u64(cell as u64);
    let after = row.len() - cells;
    row[after - cells - 1] = field(versions[1].timestamp);
    row[after..].copy_from_slice(&versions[1].cells.iter().copied().map(field).collect::<Vec<F>>());
    rows.extend(row);
    replace(checker, &mut segment, table, rows);

    let mut cells: Vec<u32> = versions[1].cells.iter().map(|&cell| cell as u32).collect();
    cells.resize(Kind::Account.cells(), 0);
    let leaves: Vec<(u32, Digest)> =
        leaves_of(Kind::Account, ALICE, 0, &cells).map(|(at, leaf)| (at, leaf.map(F::new))).collect();
    let mut rows = active(&segment, Table::Merkle, MERKLE_WIDTH);
    for node in stage.tree().clone().update_traced(&leaves) {
        rows.extend([F::ONE, F::from_u32(node.level), F::from_u32(node.index)]);
        rows.extend([node.left_touched, node.right_touched].map(F::from_bool));
        let (old, new) = ([node.old_left, node.old_right, node.old_out], [node.new_left, node.new_right, node.new_out]);
        rows.extend(old.into_iter().chain(new).flatten());
    }
    replace(checker, &mut segment, Table::Merkle, rows);
    segment
}

/// Two deposits that each read what the other has written: the first one from the future, so that they take place in the opposite order.
pub fn read_from_the_future(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let alice = (Kind::Account, ALICE, 0);
    // What the second deposit writes, if it comes first.
    let mut rehearsal = stage.forger();
    assert_eq!(rehearsal.apply(&mut Honest, &deposit(BOB, 100)), Outcome::Accepted);
    assert_eq!(rehearsal.apply(&mut Honest, &deposit(ALICE, 200)), Outcome::Accepted);
    let future = rehearsal.versions(alice)[1].clone();

    let mut forger = stage.forger();
    let mut ahead = Reader(|_, place: Place, _: &[Version]| (place == alice).then(|| future.clone()));
    assert_eq!(forger.apply(&mut ahead, &deposit(ALICE, 100)), Outcome::Accepted);
    let mut first = Reader(|_, place: Place, versions: &[Version]| (place == alice).then(|| versions[0].clone()));
    assert_eq!(forger.apply(&mut first, &deposit(ALICE, 200)), Outcome::Accepted);
    forger.versions(alice).swap(1, 2);
    forger.close(checker)
}

/// A deposit rejected though nothing is wrong with it: the first lie in a bit of its row that leads there.
pub fn forged_rejection(checker: &Checker<'_>) -> Segment {
    let honest = Outcome::Accepted;
    forged_outcomes(checker, &deposit(ALICE, 100), honest).next().expect("some bit rejects the deposit").1
}

/// Clock of the first command's own step: `authorise` comes before it.
const COMMAND_CLOCK: i64 = 2;

/// Every segment in which one turned bit of a command's own step leads to another outcome than the honest one. (The batch goes on.)
pub fn forged_outcomes<'a>(
    checker: &'a Checker<'a>,
    instruction: &'a Instruction,
    honest: Outcome,
) -> impl Iterator<Item = (Outcome, Segment)> + 'a {
    let stage = Stage::new();
    let (step, _) = command_entry(&instruction.command);
    (1..checker.table(Table::Step(step)).width).filter_map(move |column| {
        let mut forger = stage.forger();
        // Some bits contradict what the step asserts natively.
        let lie =
            std::panic::AssertUnwindSafe(|| forger.apply(&mut Liar { clock: COMMAND_CLOCK, column }, instruction));
        let outcome = std::panic::catch_unwind(lie).ok()?;
        (outcome != honest).then(|| (outcome, forger.finish(checker, false)))
    })
}

/// A batch whose end is invented: the segment's row receives the very message that it sends, and so says any time and any number of batches.
pub fn invented_end(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 100)), Outcome::Accepted);
    let last = forger.versions((Kind::System, 0, 0)).last().expect("a version").clone();
    // The batch is not closed, and the slot itself stays as the last step has left it.
    let mut segment = forger.finish(checker, false);
    let table = Table::Boundary(Kind::System);
    let mut rows = active(&segment, table, checker.table(table).width);
    rows[1] = F::from_u64(last.timestamp as u64);
    replace(checker, &mut segment, table, rows);

    let mut rows = active(&segment, Table::Segment, checker.table(Table::Segment).width);
    let end = SEGMENT_END;
    // One less than nothing before the end: at the end itself.
    rows[SEGMENT_GAP] = -F::ONE;
    rows[SEGMENT_GAP + 1] = F::ZERO;
    rows[end] += F::ONE;
    rows[end + SYSTEM_BATCHES] += F::ONE;
    segment.public.time_end += 1;
    segment.public.batches_end += 1;
    fit_shown(checker, &mut segment, rows);
    segment
}

/// Columns of the segment's table: the time after the last access to the system slot, and that slot's cells at the end.
const SEGMENT_GAP: usize = 2;

/// A slot changed that no step has touched: another digest in place of an untouched child of the tree, and all that follows from it up to the root.
pub fn changed_untouched_child(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 100)), Outcome::Accepted);
    let mut segment = forger.close(checker);
    let mut rows: RowMajorMatrix<F> = RowMajorMatrix::new(active(&segment, Table::Merkle, MERKLE_WIDTH), MERKLE_WIDTH);
    let digest = |row: &[F], at: usize| -> Digest { std::array::from_fn(|cell| row[5 + 8 * at + cell]) };
    // Columns: active, level, index, left and right touched; left, right and node before; the same after.
    let (left, right, node) = (3, 4, 5);
    let row = rows.row_slices().position(|row| row[4] == F::ZERO).expect("some right child is untouched");
    let cells = rows.row_mut(row);
    cells[5 + 8 * right] += F::ONE;
    let (mut level, mut index) = (cells[1], cells[2]);
    loop {
        let at =
            rows.row_slices().position(|row| (row[1], row[2]) == (level, index)).expect("every ancestor is touched");
        let cells = rows.row_mut(at);
        let hashed = compress(&digest(cells, left), &digest(cells, right));
        cells[5 + 8 * node..][..8].copy_from_slice(&hashed);
        if index == F::ZERO && level == F::from_u32(holdfast_crypto::tree::DEPTH) {
            segment.public.root_new = hashed;
            break;
        }
        let number = holdfast_crypto::field::cell_to_canonical(index);
        (level, index) = (level + F::ONE, F::from_u32(number / 2));
        let parent =
            rows.row_slices().position(|row| (row[1], row[2]) == (level, index)).expect("every ancestor is touched");
        let child = if number.is_multiple_of(2) { left } else { right };
        rows.row_mut(parent)[5 + 8 * child..][..8].copy_from_slice(&hashed);
    }
    replace(checker, &mut segment, Table::Merkle, rows.values);
    segment
}

/// Replaces the segment's row, and makes the digests at its end follow from the rest of it.
fn fit_shown(checker: &Checker<'_>, segment: &mut Segment, mut row: Vec<F>) {
    let table = checker.table(Table::Segment);
    let (mut values, public) = (Vec::new(), segment.public.to_cells());
    table.evaluate(&Window::new(&row, table.width, 0, &public), &mut values);
    let messages = (0..table.messages()).map(|index| table.message(index, &values));
    let hashed: Vec<_> = messages.filter(|message| message.bus == Bus::Poseidon2).collect();
    let [.., first, second, third] = &hashed[..] else { unreachable!("three hashes at each end") };
    let mut digest: Digest = std::array::from_fn(|i| row[SEGMENT_CHAIN + i]);
    for (at, message) in [first, second, third].into_iter().enumerate() {
        digest = compress(&digest, &std::array::from_fn(|i| message.cells[8 + i]));
        if let Some(cells) = row.get_mut(SEGMENT_CHAIN + 8 * (at + 1)..SEGMENT_CHAIN + 8 * (at + 2)) {
            cells.copy_from_slice(&digest);
        }
    }
    segment.public.digest_out = digest;
    replace(checker, segment, Table::Segment, row);
}

/// A hash that does not follow from what is hashed: the root before or after the segment, the digest of its instructions, or what is shown of it.
#[derive(Debug, Clone, Copy)]
pub enum Hash {
    RootOld,
    RootNew,
    Chain,
    Shown,
}

/// Another digest in place of a hash at the end of its chain, in the row that computes it and in public.
pub fn invented_hash(checker: &Checker<'_>, hash: Hash) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 100)), Outcome::Accepted);
    let mut segment = forger.close(checker);
    let mut row = active(&segment, Table::Segment, checker.table(Table::Segment).width);
    let mut chain: Digest = std::array::from_fn(|i| row[SEGMENT_CHAIN + i]);
    let (table, digest) = match hash {
        Hash::RootOld => (Table::Merkle, &mut segment.public.root_old),
        Hash::RootNew => (Table::Merkle, &mut segment.public.root_new),
        Hash::Chain => (Table::Step(Step::Authorise), &mut chain),
        Hash::Shown => {
            segment.public.digest_out[0] += F::ONE;
            return segment;
        }
    };
    let honest = *digest;
    digest[0] += F::ONE;
    let invented = *digest;
    if let Hash::Chain = hash {
        row[SEGMENT_CHAIN..SEGMENT_CHAIN + 8].copy_from_slice(&chain);
        fit_shown(checker, &mut segment, row);
    }
    let mut rows = active(&segment, table, checker.table(table).width);
    let at = rows.windows(honest.len()).position(|cells| cells == honest).expect("some row computes the hash");
    rows[at..at + honest.len()].copy_from_slice(&invented);
    replace(checker, &mut segment, table, rows);
    segment
}

/// Bob's account opened as an order: a slot so far outside of the orders' region that it lies in that of the accounts.
pub fn slot_outside_its_region(checker: &Checker<'_>) -> Segment {
    let stage = Stage::new();
    let mut forger = stage.forger();
    assert_eq!(forger.apply(&mut Honest, &deposit(ALICE, 100)), Outcome::Accepted);
    let (orders, accounts) = (Kind::Order.region(), Kind::Account.region());
    let outside = (accounts.leaf(BOB, 0) - orders.base) / orders.outer_stride;
    assert_eq!(orders.leaf(outside, 0), accounts.leaf(BOB, 0));
    let mut cells = stage.store().slot_cells(Kind::Account, BOB, 0);
    cells.truncate(record_cells(Kind::Order));
    let version = Version { timestamp: 0, cells: cells.into_iter().map(i64::from).collect() };
    *forger.versions((Kind::Order, outside, 0)) = vec![version.clone(), version];
    forger.close(checker)
}
