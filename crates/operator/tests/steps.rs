//! The loop on the embedded chain, with all contracts and the venue's own engine. Only the proofs are not there: a contract that says what it is told stands in for their verifier. The operator is
//! stopped and started again between its steps.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;

use std::{path::Path, sync::Arc, time::Duration};

use alloy::{
    primitives::{B256, U256},
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use common::venue::{SEGMENT_KEY, START, Settled, account, genesis};
use holdfast_exchange::Engine;
use holdfast_operator::{
    Committed, Error, Event, Operator, Options, Parts, Prove, Queue, QueueEnd, Result, Stretch, Watch,
};
use holdfast_protocol::{
    Amount, Command, KeyIndex, MarketId, Place, Price, Request, SecretKey, SelfTrade, Side, Size, TimeInForce,
    Withdraw, authority::Session, publication::digest_word,
};
use holdfast_settlement::{
    Client, Follower,
    blobs::FromTransactions,
    client::SessionKey,
    contracts::Deployment,
    embedded::{Chain, Undone},
    follower::Cursor,
    journal::Finality,
    poster::{self, Carrier, Poster},
};
use holdfast_watcher::{Proofs, Watcher};

const TRADERS: u32 = 4;
const FIRST: u32 = 3;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// More steps than anything here takes.
const STEPS_MAX: usize = 2_000;

/// Says of itself what the proof would say.
struct StandIn;

impl Prove for StandIn {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        let root = engine.replay(&committed.batch.instructions, |_, _, _| {}).expect("it was carried out before");
        assert_eq!(root, committed.root);
        (watch.tell)(Event::Proven { batch: committed.number(), segments: 1, seconds: 0.0 });
        Ok(())
    }

    fn last(&mut self, stretch: &Stretch<'_>, _: &Watch<'_>) -> Result<Vec<u8>> {
        let ((first, last), end) = (stretch.numbers(), stretch.last());
        let statement = (
            (digest_word(&stretch.root_old), digest_word(&end.root), U256::from(first), U256::from(last)),
            (U256::from(stretch.time_old), U256::from(end.time.get()), digest_word(&stretch.data()), SEGMENT_KEY),
        );
        Ok(statement.abi_encode_params())
    }
}

fn key() -> KeyIndex {
    KeyIndex::new(0).expect("a key")
}

fn secret(account: u32) -> SecretKey {
    SecretKey::from_seed([0x40 + account as u8; 32])
}

struct Trader {
    client: Client,
    session: Session,
}

struct Stage {
    chain: Chain,
    at: Deployment,
    operator: Client,
    folder: tempfile::TempDir,
    options: Options,
    traders: Vec<Trader>,
}

impl Stage {
    async fn new(options: Options) -> Self {
        let Settled { chain, operator, .. } = Settled::new().await;
        let at = operator.at.clone();
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut this = Self { chain, at, operator, folder, options, traders: Vec::new() };
        for number in 0..TRADERS {
            let trader = this.trader(FIRST + number).await;
            this.traders.push(trader);
        }
        this
    }

    async fn trader(&self, id: u32) -> Trader {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x70 + id as u8)).expect("a private key");
        let owner = signer.address();
        self.chain.set_balance(owner, U256::from(ETHER));
        let client = Client::embedded(&self.chain, signer, self.at.clone()).await.expect("a client");
        client.mint(owner, U256::from(2_000_000)).await.expect("tokens");
        client.deposit(U256::from(2_000_000)).await.expect("a deposit");
        let point = *secret(id).public_key().point();
        let (x, y) = (point.x().to_canonical(), point.y().to_canonical());
        let register = SessionKey { key: 0, replaces: false, withdraws: true, expiry: START * 2, x, y };
        client.register(register).await.expect("a session key");
        let domain = genesis(self.at.chain, self.at.vault).deployment.domain();
        Trader { client, session: Session::new(secret(id), &domain, account(id), key(), 1) }
    }

    fn follower(&self) -> Follower {
        let keeper = Arc::new(FromTransactions(self.chain.provider()));
        Follower::new(self.chain.provider(), keeper, Cursor::new(self.at.clone()))
    }

    async fn open_in(&self, path: &Path) -> Result<(Operator, QueueEnd)> {
        let (end, queue) = Queue::new();
        let genesis = genesis(self.at.chain, self.at.vault);
        let (client, secret) = (self.operator.clone(), SecretKey::from_seed([1; 32]));
        let parts =
            Parts { client, secret, follower: self.follower(), orders: Box::new(queue), prove: Box::new(StandIn) };
        let operator = Operator::open(path, &genesis, parts, self.options.clone()).await?;
        Ok((operator, end))
    }

    async fn open(&self) -> (Operator, QueueEnd) {
        self.open_in(self.folder.path()).await.expect("its files are in order")
    }

    fn ask(&mut self, trader: usize, command: Command) -> Request {
        self.traders[trader].session.request(command)
    }

    fn place(&mut self, trader: usize, side: Side, price: u32, size: u64) -> Request {
        let command = Command::Place(Place {
            account: account(FIRST + trader as u32),
            market: MarketId::new(0).expect("a market"),
            side,
            time_in_force: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price: Price::new(price).expect("a price"),
            size: Size::new(size).expect("a size"),
        });
        self.ask(trader, command)
    }

    fn withdraw(&mut self, trader: usize, amount: u128) -> Request {
        let (account, amount) = (account(FIRST + trader as u32), Amount::new(amount).expect("an amount"));
        self.ask(trader, Command::Withdraw(Withdraw { account, amount }))
    }

    fn trades(&mut self) -> Vec<Request> {
        let side = |trader| if trader % 2 == 0 { Side::Buy } else { Side::Sell };
        let all: Vec<_> = (0..5).flat_map(|round| (0..TRADERS as usize).map(move |trader| (round, trader))).collect();
        all.into_iter().map(|(round, trader)| self.place(trader, side(trader), 10_000 + 10 * round, 20)).collect()
    }

    async fn report(&self) -> holdfast_watcher::Report {
        let genesis = genesis(self.at.chain, self.at.vault);
        let mut watcher = Watcher::new(genesis, || Proofs::Unverified, self.follower()).expect("a valid genesis");
        watcher.look().await.expect("Ethereum answers")
    }
}

/// Steps until all that was asked for is final and paid.
async fn settle(operator: &mut Operator) -> Vec<Event> {
    let mut told = Vec::new();
    for _ in 0..STEPS_MAX {
        told.extend(operator.step().await.expect("a step"));
        if operator.status().is_idle() {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come to an end: {:?}, {told:?}", operator.status());
}

fn options(carrier: Carrier, batch_commands: usize) -> Options {
    Options { batch_commands, carrier, ..Options::default() }
}

/// From deposits to claims, with every step by another process, as it were.
#[tokio::test]
async fn it_goes_on_where_it_was_after_every_step() {
    for (carrier, blobs) in [(Carrier::Calldata, 0), (Carrier::Blobs, 1)] {
        let mut stage = Stage::new(options(carrier, 12)).await;
        let requests = stage.trades();
        stage.traders[2].client.withdraw(U256::from(70_000)).await.expect("a withdrawal");
        let withdrawal = stage.withdraw(0, 150_000);
        let asked: Vec<Request> = requests.iter().copied().chain([withdrawal]).collect();
        let mut told = Vec::new();
        let mut steps = 0;
        loop {
            let (mut operator, end) = stage.open().await;
            // Some at a time, so that it is stopped in the middle of batches too.
            let store = operator.engine().store();
            let is_left =
                |request: &&Request| request.sequence >= store.session_of(request.instruction.session()).sequence;
            let left: Vec<Request> = asked.iter().filter(is_left).copied().collect();
            for request in left.iter().take(2) {
                end.send(*request).expect("there is room");
            }
            drop(end);
            for _ in 0..=steps % 3 {
                told.extend(operator.step().await.expect("a step"));
            }
            let (idle, status) = (operator.status().is_idle(), operator.status());
            operator.end();
            steps += 1;
            if idle && left.is_empty() {
                assert_eq!((status.served, status.payouts, status.paid), (3 * u64::from(TRADERS) + 1, 2, 2));
                break;
            }
            assert!(steps < STEPS_MAX, "{status:?}");
        }
        assert!(steps > 8, "{steps}");
        let carried = told.iter().filter_map(|event| match event {
            Event::Committed { blobs, .. } => Some(*blobs),
            _ => None,
        });
        assert!(carried.into_iter().all(|got| got == blobs));
        let (first, third) = (stage.traders[0].client.clone(), stage.traders[2].client.clone());
        for (client, amount) in [(first, 150_000), (third, 70_000)] {
            let owner = client.wallet.address;
            client.claim(owner).await.expect("it is claimable");
            assert_eq!(client.balance(owner).await.expect("an answer"), U256::from(amount));
        }
        let report = stage.report().await;
        assert_eq!(report.alarms, [], "{report:?}");
        assert_eq!(
            (report.batch_final, report.payouts.as_str(), report.waiting.as_str()),
            (report.batch_committed, "0", "0")
        );
        assert_eq!(report.deposits, (u64::from(TRADERS) * 2_000_000 - 220_000).to_string());
        assert_eq!(report.held, report.deposits);
        assert!(report.batch_final >= 4, "{report:?}");
        // Every order, none twice.
        let forced = 3 * u64::from(TRADERS) + 1;
        assert_eq!(report.commands, forced + requests.len() as u64 + 1 + report.batch_final, "and the times");
    }
}

/// Requests that were let in are not lost with the process, and a line that is not whole was told to nobody.
#[tokio::test]
async fn the_open_batch_survives() {
    let mut stage = Stage::new(options(Carrier::Calldata, 1_000)).await;
    let requests = stage.trades();
    let (mut operator, end) = stage.open().await;
    requests.iter().for_each(|request| end.send(*request).expect("there is room"));
    operator.step().await.expect("a step");
    let before = operator.status();
    assert_eq!(before.open_commands, 3 * u64::from(TRADERS) + requests.len() as u64);
    drop(operator);
    let log = stage.folder.path().join("open/000001.log");
    let whole = std::fs::read(&log).expect("the log");
    std::fs::write(&log, [&whole[..], &whole[..40]].concat()).expect("it is written");
    let (operator, end) = stage.open().await;
    assert_eq!(operator.status().open_commands, before.open_commands);
    assert_eq!(std::fs::read(&log).expect("the log"), whole);
    drop((operator, end));
    let mut changed = whole.clone();
    changed[30] ^= 1;
    std::fs::write(&log, changed).expect("it is written");
    let error = stage.open_in(stage.folder.path()).await.err().expect("it is damaged");
    assert!(error.to_string().contains("000001.log is damaged: line 1"), "{error}");
    std::fs::write(&log, whole).expect("it is written");

    // A forged request is as if it had never come.
    let (mut operator, end) = stage.open().await;
    let honest = stage.place(0, Side::Buy, 9_000, 1);
    let other = stage.place(1, Side::Buy, 9_000, 1);
    end.send(Request { signature: other.signature, ..honest }).expect("there is room");
    end.send(honest).expect("there is room");
    drop(end);
    let told = settle(&mut operator).await;
    let commands = told.iter().find_map(|event| match event {
        Event::Closed { commands, .. } => Some(*commands),
        _ => None,
    });
    assert_eq!(commands, Some(before.open_commands + 2), "with the honest one, and the time");
}

/// The contract takes so many payouts at once: batches end there, and those that have more together become final one after the other.
#[tokio::test]
async fn payouts_become_final_in_runs_that_fit() {
    for (batch_commands, batches) in [(5_000, 3), (700, 4)] {
        let mut stage = Stage::new(options(Carrier::Calldata, batch_commands)).await;
        let most = stage.operator.run_max().await.expect("an answer");
        let many = 2 * most + 100;
        let (end, queue) = Queue::new();
        for _ in 0..many {
            end.send(stage.withdraw(0, 1)).expect("there is room");
        }
        drop(end);
        let venue = genesis(stage.at.chain, stage.at.vault);
        let (client, secret) = (stage.operator.clone(), SecretKey::from_seed([1; 32]));
        // All batches are committed before the first is proven.
        let (follower, orders) = (stage.follower(), Box::new(queue));
        let prove = Box::new(Slow(Duration::from_millis(300)));
        let parts = Parts { client, secret, follower, orders, prove };
        let opened = Operator::open(stage.folder.path(), &venue, parts, stage.options.clone());
        let mut operator = opened.await.expect("it opens");
        let told = settle(&mut operator).await;
        let finals = told.iter().filter(|event| matches!(event, Event::Final { .. })).count();
        let status = operator.status();
        assert_eq!((status.batches, status.payouts, status.paid), (batches, many, many), "{told:?}");
        let runs = stage.operator.runs().await.expect("an answer");
        assert!(runs >= 3 && finals as u64 >= runs, "{runs} runs");
        for run in 0..runs {
            let unpaid = stage.operator.unpaid(run).await.expect("an answer");
            assert!(unpaid.payouts.is_empty(), "run {run}: {unpaid:?}");
        }
        let report = stage.report().await;
        assert_eq!(report.alarms, [], "{report:?}");
        assert_eq!(report.claimable, many.to_string());
    }
}

/// A chain that goes back takes batches and finality with it; they come again.
#[tokio::test]
async fn after_a_reorganisation() {
    for undone in [Undone::Dropped, Undone::Pooled] {
        let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
        let (mut operator, end) = stage.open().await;
        let before = stage.chain.height();
        stage.trades().iter().for_each(|request| end.send(*request).expect("there is room"));
        end.send(stage.withdraw(0, 5_000)).expect("there is room");
        drop(end);
        settle(&mut operator).await;
        let root = stage.operator.root().await.expect("an answer");
        let (finished, height) = (operator.status().finished, stage.chain.height());
        stage.chain.reorganise(height - before, 1, undone).expect("so many blocks");
        settle(&mut operator).await;
        assert_eq!(stage.operator.root().await.expect("an answer"), root);
        assert_eq!(operator.status().finished, finished);
        assert_eq!(stage.report().await.alarms, []);
    }
}

/// Whoever has a proof may hand it in: what this operator's prover had begun does not fit then, and is begun anew.
#[tokio::test]
async fn others_prove_too() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let (mut operator, end) = stage.open().await;
    let requests = stage.trades();
    requests.iter().for_each(|request| end.send(*request).expect("there is room"));
    // Batches are committed, and a proof of the first alone is made elsewhere before this prover's is handed in.
    drop((operator, end));
    let (end, queue) = Queue::new();
    requests.iter().for_each(|request| end.send(*request).expect("there is room"));
    drop(end);
    let venue = genesis(stage.at.chain, stage.at.vault);
    let (client, secret) = (stage.operator.clone(), SecretKey::from_seed([1; 32]));
    let parts = Parts {
        client,
        secret,
        follower: stage.follower(),
        orders: Box::new(queue),
        prove: Box::new(Slow(Duration::from_millis(200))),
    };
    let opened = Operator::open(stage.folder.path(), &venue, parts, stage.options.clone());
    operator = opened.await.expect("it opens");
    for _ in 0..STEPS_MAX {
        operator.step().await.expect("a step");
        if operator.status().committed >= 3 {
            break;
        }
    }
    assert!(operator.status().committed >= 3 && operator.status().finished == 0, "{:?}", operator.status());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut poster = Poster::open(stage.operator.clone(), folder.path(), poster::Options::default()).expect("it opens");
    poster.finalise(&first_alone(&stage).await).expect("it is taken");
    poster.run().await.expect("the contract takes it");
    let told = settle(&mut operator).await;
    assert!(told.contains(&Event::ProvenByOthers { batch: 1 }), "{told:?}");
    assert!(operator.status().finished >= 3);
    assert_eq!(stage.report().await.alarms, []);
}

/// Takes its time, as provers do.
struct Slow(Duration);

impl Prove for Slow {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        std::thread::sleep(self.0);
        StandIn.batch(engine, committed, watch)
    }

    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>> {
        StandIn.last(stretch, watch)
    }
}

/// What makes batch 1 final, from the published data.
async fn first_alone(stage: &Stage) -> Finality {
    let venue = genesis(stage.at.chain, stage.at.vault);
    let mut engine = Engine::new(&venue).expect("a valid genesis");
    let (root_old, time_old) = (engine.root(), engine.system().time);
    let bytes = std::fs::read(stage.folder.path().join("batches/000001.batch")).expect("the batch");
    let batch = holdfast_protocol::Batch::decode(&bytes).expect("a batch");
    let root = engine.replay(&batch.instructions, |_, _, _| {}).expect("it is of this state");
    let z = holdfast_protocol::publication::point_in_calldata(&batch);
    let time = holdfast_protocol::TimeMs::new(engine.system().time).expect("a time");
    let committed = [Committed { batch: Arc::new(batch), z, time, root }];
    let stretch = Stretch { root_old, time_old, batches: &committed };
    let proof = StandIn.last(&stretch, &Watch { stop: &|| false, tell: &|_| {} }).expect("a statement");
    Finality { last: 1, proof, opening: holdfast_exchange::opening::open_bridge(engine.tree()) }
}

/// Directories that are not this venue's, or not free, are named.
#[tokio::test]
async fn directories_that_do_not_serve() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let (mut operator, end) = stage.open().await;
    let error = stage.open_in(stage.folder.path()).await.err().expect("it is in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    stage.trades().iter().for_each(|request| end.send(*request).expect("there is room"));
    drop(end);
    settle(&mut operator).await;
    drop(operator);
    let empty = tempfile::tempdir().expect("a temporary directory");
    let error = stage.open_in(empty.path()).await.err().expect("the batches are not there");
    assert!(matches!(error, Error::Behind { got: 0, .. }), "{error}");
    let other = Stage::new(options(Carrier::Calldata, 12)).await;
    stage.at.vault = alloy::primitives::Address::repeat_byte(1);
    let error = stage.open_in(empty.path()).await.err().expect("it is another vault");
    assert!(matches!(error, Error::OtherVault { .. }), "{error}");
    let path = other.folder.path().join("genesis.json");
    drop(other.open().await);
    let text = std::fs::read_to_string(&path).expect("the genesis").replace("BTC-USD", "BTC-EUR");
    std::fs::write(&path, text).expect("it is written");
    let error = other.open_in(other.folder.path()).await.err().expect("it is another genesis");
    assert!(matches!(error, Error::OtherGenesis { .. }), "{error}");
}
