//! The loop on the embedded chain, with all contracts and the venue's own engine. Only the proofs are not there: a contract that says what it is told stands in for their verifier. The operator is
//! stopped and started again between its steps.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{
    primitives::{B256, U256},
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolValue},
};
use common::venue::{DAY, SEGMENT_KEY, START, Settled, account, genesis, member};
use holdfast_exchange::Engine;
use holdfast_operator::{
    Asked, Committed, Error, Event, Operator, Options, Orders, Parts, Prove, Queue, QueueEnd, Refused, Result, Status,
    Stretch, Watch,
};
use holdfast_protocol::{
    Amount, Command, Instruction, KeyIndex, MarketId, Outcome, Place, Price, Register, Request, SecretKey, SelfTrade,
    Side, Size, TimeInForce, TimeMs, Withdraw, authority::Session, publication::digest_word,
};
use holdfast_settlement::{
    Client, Follower, Publication,
    blobs::FromTransactions,
    client::{SessionKey, Wallet},
    contracts::{Deployment, IProposals},
    embedded::{Chain, Mining, Undone},
    follower::Cursor,
    journal::Finality,
    poster::{self, Carrier, Poster},
};
use holdfast_watcher::{Proofs, Watcher};

alloy::sol! {
    function pause(uint256 seconds_) external;
}

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

    /// Nine of the council's twelve stop the venue for so long.
    async fn pause(&self, seconds: u64) {
        let (council, call) = (self.at.council, pauseCall { seconds_: U256::from(seconds) });
        for seat in 0..9 {
            let signer = member(seat);
            self.chain.set_balance(signer.address(), U256::from(ETHER));
            let wallet = Wallet::embedded(&self.chain, signer).await.expect("it answers");
            let done = if seat == 0 {
                let call = IProposals::proposeCall { target: council, data: call.abi_encode().into() };
                wallet.order("a proposal", council, &call, U256::ZERO).await
            } else {
                let call = IProposals::approveCall { id: U256::ZERO };
                wallet.order("an approval", council, &call, U256::ZERO).await
            };
            done.expect("a member may");
        }
        let call = IProposals::executeCall { id: U256::ZERO };
        self.operator.wallet.order("a pause", council, &call, U256::ZERO).await.expect("nine of twelve");
    }

    fn follower(&self) -> Follower {
        let keeper = Arc::new(FromTransactions(self.chain.provider()));
        Follower::new(self.chain.provider(), keeper, Cursor::new(self.at.clone()))
    }

    async fn open_of(&self, path: &Path, orders: Box<dyn Orders>, prove: Box<dyn Prove>) -> Result<Operator> {
        let genesis = genesis(self.at.chain, self.at.vault);
        let (client, secret) = (self.operator.clone(), SecretKey::from_seed([1; 32]));
        let parts = Parts { client, secret, follower: self.follower(), orders, prove };
        Operator::open(path, &genesis, parts, self.options.clone()).await
    }

    async fn open_in(&self, path: &Path) -> Result<(Operator, QueueEnd)> {
        let (end, queue) = Queue::new();
        let operator = self.open_of(path, Box::new(queue), Box::new(StandIn)).await?;
        Ok((operator, end))
    }

    /// With these requests and no more.
    async fn open_with(&self, requests: &[Request], prove: impl Prove + 'static) -> Operator {
        let (end, queue) = Queue::new();
        requests.iter().for_each(|request| end.send(*request).expect("there is room"));
        let opened = self.open_of(self.folder.path(), Box::new(queue), Box::new(prove)).await;
        opened.expect("its files are in order")
    }

    /// An operator whose batches are committed, three at least, of all the trades and a withdrawal; the first of them is proven, and none final. What it told; and what lets it go on.
    async fn open_committed(&mut self) -> (Operator, Vec<Event>, Arc<AtomicBool>) {
        let mut requests = self.trades();
        requests.push(self.withdraw(0, 5_000));
        let gate = Arc::new(AtomicBool::new(false));
        let mut operator = self.open_with(&requests, Gated(Arc::clone(&gate))).await;
        let mut told = Vec::new();
        for _ in 0..STEPS_MAX {
            told.extend(operator.step().await.expect("a step"));
            let status = operator.status();
            let committed = status.orders_ended && status.open_commands == 0 && status.committed == status.batches;
            if committed && told.iter().any(|event| matches!(event, Event::Proven { batch: 1, .. })) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let status = operator.status();
        assert!(status.committed >= 3 && status.committed == status.batches && status.finished == 0, "{status:?}");
        (operator, told, gate)
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
        let requests: Vec<Request> = (0..many).map(|_| stage.withdraw(0, 1)).collect();
        // All batches are committed before the first is proven.
        let mut operator = stage.open_with(&requests, Slow(Duration::from_millis(300))).await;
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

/// Gives these, and then the machine loses its power.
struct Unplugged(Vec<Request>);

impl Orders for Unplugged {
    fn next(&mut self, _: &Engine, most: usize) -> std::result::Result<Asked, String> {
        if self.0.is_empty() {
            return Err("no power".into());
        }
        let rest = self.0.split_off(most.min(self.0.len()));
        Ok(Asked::Requests(std::mem::replace(&mut self.0, rest)))
    }

    fn carried_out(&mut self, _: &Engine, _: &Instruction, _: Outcome) -> std::result::Result<(), String> {
        Ok(())
    }

    fn refused(&mut self, request: &Request, refused: Refused) -> std::result::Result<(), String> {
        Err(format!("{:?}: {refused}", request.instruction.command))
    }
}

/// Commands of each batch that was closed, and how many of them are forced.
fn closed(told: &[Event]) -> Vec<(u64, u64)> {
    let of = |event: &Event| match event {
        Event::Closed { commands, forced, .. } => Some((*commands, *forced)),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

/// A batch has as many signed withdrawals as may become final at once, also after a restart; what Ethereum asks for goes beside them.
#[tokio::test]
async fn a_batch_full_of_withdrawals_takes_forced_ones() {
    // Full when it is stopped, or soon after.
    for short in [0, 10] {
        let mut stage = Stage::new(options(Carrier::Calldata, 5_000)).await;
        let most = stage.operator.run_max().await.expect("an answer");
        let signed: Vec<Request> = (0..most + 100).map(|_| stage.withdraw(0, 1)).collect();
        let before = most - short;
        let (first, rest) = signed.split_at(before as usize);
        let orders = Box::new(Unplugged(first.to_vec()));
        let mut operator = stage.open_of(stage.folder.path(), orders, Box::new(StandIn)).await.expect("it opens");
        let error = operator.step().await.expect_err("it has no power");
        assert!(matches!(error, Error::Orders(_)), "{error}");
        operator.end();
        for _ in 0..50 {
            stage.traders[1].client.withdraw(U256::from(1)).await.expect("a withdrawal");
        }
        let mut operator = stage.open_with(rest, StandIn).await;
        let entries = 3 * u64::from(TRADERS);
        assert_eq!(operator.status().open_commands, entries + before);
        let told = settle(&mut operator).await;
        assert_eq!(closed(&told), [(entries + most + 50 + 1, entries + 50), (100 + 1, 0)]);
        let status = operator.status();
        assert_eq!((status.payouts, status.paid), (most + 150, most + 150));
        assert_eq!(stage.report().await.alarms, []);
    }
}

/// Two days without the operator, in which more withdrawals are forced than may become final at once: they are due, so what is left out of the first batch becomes final with it, and nobody's signed
/// withdrawals come in between.
#[tokio::test]
async fn what_is_due_after_an_outage_becomes_final_together() {
    let mut stage = Stage::new(options(Carrier::Calldata, 1_200)).await;
    let signed: Vec<Request> = (0..1_000).map(|_| stage.withdraw(0, 1)).collect();
    let (mut operator, end) = stage.open().await;
    signed.iter().for_each(|request| end.send(*request).expect("there is room"));
    operator.step().await.expect("a step");
    assert_eq!((operator.status().open_commands, operator.status().batches), (1_012, 0));
    operator.end();
    drop(end);
    for _ in 0..1_100 {
        stage.traders[1].client.withdraw(U256::from(1)).await.expect("a withdrawal");
    }
    stage.chain.pass(2 * DAY);
    stage.chain.mine();
    let signed: Vec<Request> = (0..1_000).map(|_| stage.withdraw(2, 1)).collect();
    let mut operator = stage.open_with(&signed, StandIn).await;
    // One block for each transaction, so that the prover has the first batch before the next is committed.
    stage.chain.set_mining(Mining::Asked);
    let mut told = Vec::new();
    while operator.status().committed < 3 {
        told.extend(operator.step().await.expect("a step"));
        stage.chain.mine();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(told.len() < STEPS_MAX, "{:?}", operator.status());
    }
    stage.chain.set_mining(Mining::Immediate);
    told.extend(settle(&mut operator).await);
    assert_eq!(closed(&told), [(1_201, 200), (913, 912), (1_001, 0)]);
    let finals: Vec<&Event> = told.iter().filter(|event| matches!(event, Event::Final { .. })).collect();
    assert_eq!(finals, [&Event::Final { batch: 2 }, &Event::Final { batch: 3 }]);
    let status = operator.status();
    assert_eq!((status.payouts, status.paid), (3_100, 3_100));
    assert_eq!(stage.report().await.alarms, []);
}

/// Withdrawals of dust are not taken; the owner can have Ethereum ask for them.
#[tokio::test]
async fn dust_is_withdrawn_by_ethereum_alone() {
    let mut stage = Stage::new(Options { withdraw_min: 100, ..options(Carrier::Calldata, 100) }).await;
    let (enough, dust) = (stage.withdraw(0, 100), stage.withdraw(0, 99));
    let mut operator = stage.open_with(&[enough, dust], StandIn).await;
    stage.traders[0].client.withdraw(U256::from(99)).await.expect("a withdrawal");
    settle(&mut operator).await;
    assert_eq!(operator.engine().store().session_of(enough.instruction.session()).sequence, enough.sequence + 1);
    assert_eq!((operator.status().payouts, operator.status().paid), (2, 2));
    assert_eq!(stage.report().await.claimable, "199");
    let first = first_batches(&stage, 1).1.remove(0);
    assert_eq!((first.number(), first.signed_withdrawals()), (1, 1), "not what Ethereum asked for");
    operator.end();
    let dust = Box::new(Unplugged(vec![stage.withdraw(1, 99)]));
    let mut operator = stage.open_of(stage.folder.path(), dust, Box::new(StandIn)).await.expect("it opens");
    let error = operator.step().await.expect_err("whoever asked is told");
    assert!(error.to_string().contains("a withdrawal of 99 units: this operator takes none below 100"), "{error}");
}

/// Says what is not so.
struct Liar;

impl Prove for Liar {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        StandIn.batch(engine, committed, watch)
    }

    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>> {
        let mut proof = StandIn.last(stretch, watch)?;
        proof[31] ^= 1;
        Ok(proof)
    }
}

/// Whatever is wrong with a proof, data of batches go on to Ethereum.
#[tokio::test]
async fn a_finality_that_reverts_stops_no_commits() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let (end, queue) = Queue::new();
    let opened = stage.open_of(stage.folder.path(), Box::new(queue), Box::new(Liar)).await;
    let mut operator = opened.expect("it opens");
    let (mut requests, mut refused) = (stage.trades(), 0);
    for step in 0..STEPS_MAX {
        if let Err(error) = operator.step().await {
            assert!(error.is_passing() && error.to_string().contains("root old wrong"), "{error}");
            refused += 1;
            // Only now is there more to commit.
            requests.drain(..).for_each(|request| end.send(request).expect("there is room"));
        }
        let status = operator.status();
        if refused > 1 && status.batches >= 2 && status.committed == status.batches {
            break;
        }
        assert!(step + 1 < STEPS_MAX, "{status:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(operator.status().finished, 0);
}

/// Batches that are removed while proofs are made are committed again as they were, and what was proven of them is kept; while the operator is stopped, too.
#[tokio::test]
async fn removed_batches_are_committed_again() {
    for (carrier, blobs) in [(Carrier::Calldata, 0), (Carrier::Blobs, 1)] {
        for stopped in [false, true] {
            let mut stage = Stage::new(options(carrier, 12)).await;
            let (mut operator, mut told, gate) = stage.open_committed().await;
            let last = operator.status().committed;
            if stopped {
                told.clear();
                operator.end();
                stage.operator.remove(2).await.expect("they are removed");
                operator = stage.open_with(&[], Gated(Arc::clone(&gate))).await;
                assert_eq!((operator.status().committed, operator.status().batches), (1, last));
            } else {
                stage.operator.remove(2).await.expect("they are removed");
            }
            gate.store(true, Ordering::Relaxed);
            told.extend(settle(&mut operator).await);
            assert_eq!(told.contains(&Event::Removed { first: 2, last }), !stopped, "{told:?}");
            let commits = told.iter().filter_map(|event| match event {
                Event::Committed { blobs, .. } => Some(*blobs),
                _ => None,
            });
            let commits: Vec<u64> = commits.collect();
            assert_eq!(commits.len() as u64, if stopped { last - 1 } else { 2 * last - 1 }, "{told:?}");
            assert!(commits.iter().all(|got| *got == blobs));
            for batch in 1..=last {
                let of = |event: &&Event| matches!(event, Event::Proven { batch: got, .. } if *got == batch);
                assert_eq!(told.iter().filter(of).count(), 1, "batch {batch}: {told:?}");
            }
            assert_eq!((operator.status().finished, operator.status().paid), (last, 1));
            operator.end();
            let mut operator = stage.open_with(&[], StandIn).await;
            settle(&mut operator).await;
            assert_eq!(operator.status().finished, last);
            assert_eq!(stage.report().await.alarms, []);
        }
    }
}

/// Batches that are committed again in another way have another digest: they are proven anew.
#[tokio::test]
async fn what_is_committed_otherwise_is_proven_anew() {
    for (carrier, other, stopped) in [
        (Carrier::Calldata, Carrier::Blobs, false),
        (Carrier::Blobs, Carrier::Calldata, false),
        (Carrier::Calldata, Carrier::Blobs, true),
    ] {
        let mut stage = Stage::new(options(carrier, 12)).await;
        let (mut operator, _, gate) = stage.open_committed().await;
        let last = operator.status().committed;
        let running = if stopped {
            // With a proof on its way, which is not mined.
            stage.chain.set_mining(Mining::Asked);
            gate.store(true, Ordering::Relaxed);
            let proofs = stage.folder.path().join("poster/proofs");
            for step in 0.. {
                operator.step().await.expect("a step");
                if std::fs::read_dir(&proofs).expect("a folder").next().is_some() {
                    break;
                }
                assert!(step < STEPS_MAX, "{:?}", operator.status());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            operator.end();
            stage.chain.drop_waiting();
            stage.chain.set_mining(Mining::Immediate);
            None
        } else {
            Some(operator)
        };
        stage.operator.remove(1).await.expect("they are removed");
        let first = first_batches(&stage, 1).1.remove(0);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let settings = poster::Options { carrier: other, ..poster::Options::default() };
        let mut poster = Poster::open(stage.operator.clone(), folder.path(), settings).expect("it opens");
        poster.commit(&Publication::of(&first.batch, first.time)).expect("it is taken");
        poster.run().await.expect("the contract takes it");
        gate.store(true, Ordering::Relaxed);
        let mut operator = match running {
            Some(operator) => operator,
            None => stage.open_with(&[], StandIn).await,
        };
        let told = settle(&mut operator).await;
        assert_eq!(told.contains(&Event::CommittedOtherwise { batch: 1 }), !stopped, "{told:?}");
        assert_eq!((operator.status().finished, operator.status().paid), (last, 1));
        operator.end();
        let mut operator = stage.open_with(&[], StandIn).await;
        settle(&mut operator).await;
        assert_eq!(operator.status().finished, last);
        assert_eq!(stage.report().await.alarms, []);
    }
}

/// What somebody else has committed with the operator's key stops the operator, until it is taken back.
#[tokio::test]
async fn a_foreign_batch_that_was_removed_is_no_obstacle() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let (operator, ..) = stage.open_committed().await;
    operator.end();
    stage.operator.remove(1).await.expect("they are removed");
    let first = first_batches(&stage, 1).1.remove(0);
    let mut foreign = holdfast_protocol::Batch::clone(&first.batch);
    foreign.instructions.truncate(1);
    foreign.outcomes.truncate(1);
    foreign.seals.clear();
    let foreign = Publication::of(&foreign, first.time);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut poster = Poster::open(stage.operator.clone(), folder.path(), poster::Options::default()).expect("it opens");
    poster.commit(&foreign).expect("it is taken");
    poster.run().await.expect("the contract takes it");
    let error = stage.open_in(stage.folder.path()).await.err().expect("it is foreign");
    assert!(matches!(error, Error::Foreign { batch: 1, .. }), "{error}");
    stage.operator.remove(1).await.expect("it is removed");
    let mut operator = stage.open_with(&[], StandIn).await;
    settle(&mut operator).await;
    assert_eq!(operator.status().paid, 1);
    assert_eq!(stage.report().await.alarms, []);
}

/// A removal that a reorganisation takes back did not happen.
#[tokio::test]
async fn a_removal_is_undone() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let (mut operator, _, gate) = stage.open_committed().await;
    let (last, height) = (operator.status().committed, stage.chain.height());
    stage.operator.remove(2).await.expect("they are removed");
    let told = operator.step().await.expect("a step");
    assert!(told.contains(&Event::Removed { first: 2, last }), "{told:?}");
    let depth = stage.chain.height() - height;
    stage.chain.reorganise(depth, depth + 1, Undone::Dropped).expect("so many blocks");
    operator.step().await.expect("a step");
    assert_eq!(operator.status().committed, last);
    gate.store(true, Ordering::Relaxed);
    settle(&mut operator).await;
    assert_eq!(operator.status().finished, last);
    assert_eq!(stage.report().await.alarms, []);
}

/// Batches that are removed and a day old cannot be committed again: the operator says which, and what to do; and that helps.
#[tokio::test]
async fn what_is_too_old_to_be_committed_again_is_carried_out_anew() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    // The first batch leaves it to the second.
    stage.traders[1].client.withdraw(U256::from(7)).await.expect("a withdrawal");
    let (operator, ..) = stage.open_committed().await;
    operator.end();
    stage.operator.remove(2).await.expect("they are removed");
    stage.chain.pass(25 * 3_600);
    stage.chain.mine();
    let mut operator = stage.open_with(&[], StandIn).await;
    let error = operator.step().await.expect_err("batch 2 is too old");
    assert!(matches!(error, Error::TooLate { batch: 2, .. }) && !error.is_passing(), "{error}");
    assert!(error.to_string().contains("move batches/000002.batch and those after it, open/ and poster/"), "{error}");
    operator.end();
    let (folder, aside) = (stage.folder.path(), tempfile::tempdir().expect("a temporary directory"));
    for batch in (2..).map(|batch| format!("batches/{batch:06}.batch")).take_while(|name| folder.join(name).exists()) {
        std::fs::remove_file(folder.join(batch)).expect("it is moved");
    }
    for name in ["open", "poster"] {
        std::fs::rename(folder.join(name), aside.path().join(name)).expect("it is moved");
    }
    let mut operator = stage.open_with(&[], StandIn).await;
    assert_eq!(operator.status().batches, 1);
    settle(&mut operator).await;
    let status = operator.status();
    assert_eq!((status.served, status.finished, status.payouts), (3 * u64::from(TRADERS) + 1, 2, 1));
    assert_eq!(stage.report().await.alarms, []);
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
    let requests = stage.trades();
    // Batches are committed, and a proof of the first alone is made elsewhere before this prover's is handed in.
    let mut operator = stage.open_with(&requests, Slow(Duration::from_millis(200))).await;
    for _ in 0..STEPS_MAX {
        operator.step().await.expect("a step");
        if operator.status().committed >= 3 {
            break;
        }
    }
    assert!(operator.status().committed >= 3 && operator.status().finished == 0, "{:?}", operator.status());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut poster = Poster::open(stage.operator.clone(), folder.path(), poster::Options::default()).expect("it opens");
    poster.finalise(&first_ones(&stage, 1)).expect("it is taken");
    poster.run().await.expect("the contract takes it");
    let told = settle(&mut operator).await;
    assert!(told.contains(&Event::ProvenByOthers { batch: 1 }), "{told:?}");
    assert!(operator.status().finished >= 3);
    assert_eq!(stage.report().await.alarms, []);
}

/// A proof that the poster had when the operator was stopped, and that does not begin where somebody else's ends, is made anew.
#[tokio::test]
async fn a_kept_proof_that_does_not_fit_is_made_anew() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let requests = stage.trades();
    let mut operator = stage.open_with(&requests, Slow(Duration::from_millis(200))).await;
    for _ in 0..STEPS_MAX {
        operator.step().await.expect("a step");
        if operator.status().committed >= 3 {
            break;
        }
    }
    assert!(operator.status().committed >= 3 && operator.status().finished == 0, "{:?}", operator.status());
    operator.end();
    let options = poster::Options::default;
    let own = Poster::open(stage.operator.clone(), &stage.folder.path().join("poster"), options()).expect("it opens");
    own.finalise(&first_ones(&stage, 3)).expect("it is taken");
    drop(own);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut others = Poster::open(stage.operator.clone(), folder.path(), options()).expect("it opens");
    others.finalise(&first_ones(&stage, 1)).expect("it is taken");
    others.run().await.expect("the contract takes it");
    let mut operator = stage.open_with(&[], StandIn).await;
    assert_eq!(operator.status().finished, 1);
    settle(&mut operator).await;
    assert!(operator.status().finished >= 3);
    assert_eq!(stage.report().await.alarms, []);
}

/// In a pause of the council's nothing is closed that would be too old when it is over.
#[tokio::test]
async fn a_pause_is_waited_for() {
    let mut stage = Stage::new(options(Carrier::Calldata, 12)).await;
    let requests = stage.trades();
    stage.pause(2 * DAY).await;
    let mut operator = stage.open_with(&requests, StandIn).await;
    for _ in 0..3 {
        operator.step().await.expect("a step");
        stage.chain.pass(DAY / 2);
        stage.chain.mine();
    }
    let Status { batches, open_commands, served, .. } = operator.status();
    assert_eq!((batches, open_commands, served), (0, 0, 0));
    stage.chain.pass(DAY);
    stage.chain.mine();
    settle(&mut operator).await;
    assert!(operator.status().finished >= 3);
    assert_eq!(stage.report().await.alarms, []);
}

/// Who floods a batch with instructions of many words (keys that a session may not register are refused, and published all the same) does not make it longer than a transaction takes.
#[tokio::test]
async fn a_batch_fits_what_carries_it() {
    let mut stage = Stage::new(options(Carrier::Calldata, 1 << 14)).await;
    let most = poster::words_max(Carrier::Calldata);
    let register = Command::Register(Register {
        sender: account(FIRST),
        account: account(FIRST),
        key: KeyIndex::new(1).expect("a key"),
        replaces: false,
        withdraws: false,
        expiry: TimeMs::new(START * 2).expect("a time"),
        public_key: secret(9).public_key(),
    });
    let requests: Vec<Request> = (0..most / 3 + 100).map(|_| stage.ask(0, register)).collect();
    let mut operator = stage.open_with(&requests, StandIn).await;
    let told = settle(&mut operator).await;
    let closed = told.iter().filter_map(|event| match event {
        Event::Closed { bytes, rejected, .. } => Some((*bytes, *rejected)),
        _ => None,
    });
    let closed: Vec<(u64, u64)> = closed.collect();
    assert_eq!(closed.iter().map(|(_, rejected)| *rejected).sum::<u64>(), requests.len() as u64);
    assert!(closed.len() == 2 && closed.iter().all(|(bytes, _)| *bytes <= 30 * most as u64), "{closed:?}");
    assert!(closed[0].0 > 30 * (most as u64 - 5), "{closed:?}");
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

/// Batches 1 to `last` as they are on disk, and what they are in calldata; the state after them.
fn first_batches(stage: &Stage, last: u64) -> (Engine, Vec<Committed>) {
    let venue = genesis(stage.at.chain, stage.at.vault);
    let mut engine = Engine::new(&venue).expect("a valid genesis");
    let mut carry_out = |number: u64| {
        let path = stage.folder.path().join(format!("batches/{number:06}.batch"));
        let batch = holdfast_protocol::Batch::decode(&std::fs::read(path).expect("the batch")).expect("a batch");
        let root = engine.replay(&batch.instructions, |_, _, _| {}).expect("it is of this state");
        let z = holdfast_protocol::publication::point_in_calldata(&batch);
        let time = TimeMs::new(engine.system().time).expect("a time");
        Committed { batch: Arc::new(batch), z, time, root, leaves_due: false }
    };
    let batches = (1..=last).map(&mut carry_out).collect();
    (engine, batches)
}

/// Makes no last proof before it is let.
struct Gated(Arc<AtomicBool>);

impl Prove for Gated {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        StandIn.batch(engine, committed, watch)
    }

    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>> {
        while !self.0.load(Ordering::Relaxed) {
            if (watch.stop)() {
                return Err(Error::Stopped);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        StandIn.last(stretch, watch)
    }
}

/// What makes batches 1 to `last` final.
fn first_ones(stage: &Stage, last: u64) -> Finality {
    let venue = Engine::new(&genesis(stage.at.chain, stage.at.vault)).expect("a valid genesis");
    let (engine, batches) = first_batches(stage, last);
    let stretch = Stretch { root_old: venue.root(), time_old: venue.system().time, batches: &batches };
    let proof = StandIn.last(&stretch, &Watch { stop: &|| false, tell: &|_| {} }).expect("a statement");
    Finality { first: 1, last, proof, opening: holdfast_exchange::opening::open_bridge(engine.tree()) }
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
