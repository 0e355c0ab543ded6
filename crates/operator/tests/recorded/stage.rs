//! The venue whose proof is recorded: on the embedded chain, with all contracts and the verifier itself. Three traders deposit and register a key, trade, and take some out, one by its session key and
//! one by Ethereum; the operator makes two batches of it, in calldata. Nothing in it is by chance or by the clock, so that accounts, addresses, times and words are the same every time, and the proof
//! that was made of them once is a proof of them again.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, LazyLock,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use alloy::{
    primitives::{B256, Bytes, U256},
    signers::local::PrivateKeySigner,
};
use holdfast_circuit::last::{
    LastKey, LastPublic,
    export::{Export, export},
};
use holdfast_crypto::Digest;
use holdfast_exchange::{Engine, opening::open_bridge};
use holdfast_operator::{
    Committed, Error, Event, Operator, Options, Parts, Prove, Queue, QueueEnd, Result, Stretch, Watch,
};
use holdfast_protocol::{
    Amount, Batch, Command, Genesis, KeyIndex, Mark, MarketId, Outcome, Place, Price, Request, SecretKey, SelfTrade,
    Side, Size, TimeInForce, TimeMs, Withdraw,
    authority::Session,
    publication::{digest_word, point_in_calldata},
};
use holdfast_settlement::{
    Client, Follower, Publication,
    blobs::FromTransactions,
    client::SessionKey,
    embedded::{Config, Snapshot},
    follower::Cursor,
    poster::Carrier,
};
use holdfast_watcher::Proofs;

use crate::common::{
    self, signer,
    venue::{START, Settled, account, genesis},
};

const PROOF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/last.proof");
/// What writes it.
pub const BLESS: &str =
    "HOLDFAST_BLESS=1 cargo test --release --locked -p holdfast-operator --test recorded -- --ignored";

pub const TRADERS: u32 = 3;
/// Their accounts begin after those of the genesis.
const FIRST: u32 = 3;
/// What each of them deposits.
pub const DEPOSIT: u64 = 2_000_000;
/// What the first takes out by its session key, and the last by Ethereum.
pub const SIGNED: u64 = 150_000;
pub const FORCED: u64 = 70_000;
/// The second batch ends so many seconds after the last entry of the inbox that it consumes.
pub const HOUR: u64 = 3_600;
/// More steps than anything here takes.
const STEPS_MAX: usize = 100_000;

/// What a trader asks of Ethereum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Deposit(u64),
    Register,
    Withdraw(u64),
    CancelAll,
}

/// Who asks what: the last is for the second batch.
pub const ASKED: [(usize, Ask); 7] = [
    (0, Ask::Deposit(DEPOSIT)),
    (0, Ask::Register),
    (1, Ask::Deposit(DEPOSIT)),
    (1, Ask::Register),
    (2, Ask::Deposit(DEPOSIT)),
    (2, Ask::Register),
    (2, Ask::Withdraw(FORCED)),
];
const ASKED_FIRST: usize = ASKED.len() - 1;
/// Entries of the inbox that come of it: a first deposit opens an account too.
pub const ENTRIES: u64 = ASKED.len() as u64 + TRADERS as u64;

/// The key of the segments' proofs.
pub fn segment_key() -> Digest {
    let Proofs::Verified(_, segment_key) = Proofs::bundled() else { unreachable!("the bundled keys verify") };
    segment_key
}

/// The bundled key, as the contracts have it.
pub fn bundled() -> &'static Export {
    static EXPORT: LazyLock<Export> =
        LazyLock::new(|| export(LastKey::bundled()).expect("the bundled key is for the contracts"));
    &EXPORT
}

/// What a proof of these batches says.
fn statement(stretch: &Stretch<'_>) -> LastPublic {
    let number = |number: u64| u32::try_from(number).expect("batches have numbers of 32 bits");
    let (first, last) = stretch.numbers();
    LastPublic {
        root_old: stretch.root_old,
        root_new: stretch.last().root,
        batch_first: number(first),
        batch_last: number(last),
        time_start: stretch.time_old,
        time_end: stretch.last().time.get(),
        data: stretch.data(),
        segment_key: segment_key(),
    }
}

/// Whether these bytes are a proof of just that.
pub fn fits(proof: &[u8], expected: &LastPublic) -> std::result::Result<(), String> {
    let why = match LastKey::bundled().verify(proof) {
        Ok(got) if got == *expected => return Ok(()),
        Ok(got) => format!("it is of another venue: expected {expected:?}, got {got:?}"),
        Err(error) => error.to_string(),
    };
    Err(format!(
        "{PROOF} is not the proof of this venue: {why}. After a change of the circuits, of the genesis or of what is carried out here, record it anew (minutes, 7 GB): {BLESS}"
    ))
}

fn recorded() -> std::result::Result<Vec<u8>, String> {
    fs::read(PROOF).map_err(|error| format!("{PROOF}: {error}. Record it (minutes, 7 GB): {BLESS}"))
}

/// Keeps a proof for the tests.
pub fn bless(proof: &[u8]) {
    fs::write(PROOF, proof).expect("the proof can be written");
}

/// Gives the proof that was recorded.
pub struct Recorded;

impl Prove for Recorded {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, _: &Watch<'_>) -> Result<()> {
        let root = engine.replay(&committed.batch.instructions, |_, _, _| {}).expect("it was carried out before");
        assert_eq!(root, committed.root);
        Ok(())
    }

    fn last(&mut self, stretch: &Stretch<'_>, _: &Watch<'_>) -> Result<Vec<u8>> {
        let proof = recorded().map_err(Error::Prover)?;
        fits(&proof, &statement(stretch)).map_err(Error::Prover)?;
        Ok(proof)
    }
}

/// Proves nothing before it is told to, so that one proof is of both batches.
struct Held {
    prove: Box<dyn Prove>,
    go: Receiver<()>,
}

impl Prove for Held {
    fn batch(&mut self, engine: &mut Engine, committed: &Committed, watch: &Watch<'_>) -> Result<()> {
        if committed.number() == 1 {
            self.go.recv().map_err(|_| Error::Stopped)?;
        }
        self.prove.batch(engine, committed, watch)
    }

    fn last(&mut self, stretch: &Stretch<'_>, watch: &Watch<'_>) -> Result<Vec<u8>> {
        self.prove.last(stretch, watch)
    }
}

fn trader(number: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x73 + number as u8)).expect("a private key")
}

fn secret(account: u32) -> SecretKey {
    SecretKey::from_seed([0x40 + account as u8; 32])
}

fn key() -> KeyIndex {
    KeyIndex::new(0).expect("a key")
}

/// The venue's chain, on which traders have ether from the beginning.
pub fn config() -> Config {
    common::config().rich((0..TRADERS as usize).map(|number| trader(number).address()))
}

/// A batch that was proven, and what belongs to it.
pub struct Closed {
    pub committed: Committed,
    pub publication: Publication,
    /// Of the bridge, after it.
    pub opening: Bytes,
}

/// The venue.
pub struct Stage {
    pub settled: Settled,
    pub genesis: Genesis,
    pub traders: Vec<Client>,
    /// The contracts were just made.
    pub deployed: Snapshot,
    folder: tempfile::TempDir,
}

/// An operator whose batches are committed.
pub struct Working {
    // Dropped first: the prover's thread, for which the operator waits, waits for it.
    go: Sender<()>,
    operator: Operator,
}

impl Stage {
    /// With the verifier of the bundled key.
    pub async fn new() -> Self {
        let segment_key = digest_word(&segment_key());
        let settled = Settled::made(config(), signer(0), Some((bundled(), segment_key))).await;
        let at = settled.operator.at.clone();
        let mut traders = Vec::new();
        for number in 0..TRADERS as usize {
            let client = Client::embedded(&settled.chain, trader(number), at.clone()).await;
            traders.push(client.expect("a client"));
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (genesis, deployed) = (genesis(at.chain, at.vault), settled.chain.snapshot());
        Self { settled, genesis, traders, deployed, folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn follower(&self) -> Follower {
        let provider = self.settled.chain.provider();
        let keeper = Arc::new(FromTransactions(provider.clone()));
        Follower::new(provider, keeper, Cursor::new(self.settled.operator.at.clone()))
    }

    /// Asks Ethereum.
    pub async fn ask(&self, asked: &[(usize, Ask)]) {
        for &(number, ask) in asked {
            let client = &self.traders[number];
            match ask {
                Ask::Deposit(amount) => {
                    client.mint(client.wallet.address, U256::from(amount)).await.expect("tokens");
                    client.deposit(U256::from(amount)).await.expect("a deposit");
                }
                Ask::Register => {
                    let point = *secret(FIRST + number as u32).public_key().point();
                    let (x, y) = (point.x().to_canonical(), point.y().to_canonical());
                    let register = SessionKey { key: 0, replaces: false, withdraws: true, expiry: START * 2, x, y };
                    client.register(register).await.expect("a session key");
                }
                Ask::Withdraw(amount) => {
                    client.withdraw(U256::from(amount)).await.expect("a withdrawal");
                }
                Ask::CancelAll => {
                    client.cancel_all(0).await.expect("a cancellation");
                }
            }
        }
    }

    /// What is signed for each batch.
    fn requests(&self) -> [Vec<Request>; 2] {
        let domain = self.genesis.deployment.domain();
        let mut sessions: Vec<Session> =
            (FIRST..FIRST + TRADERS).map(|id| Session::new(secret(id), &domain, account(id), key(), 1)).collect();
        let mut oracle = Session::new(SecretKey::from_seed([0; 32]), &domain, account(0), key(), 1);
        let (market, price) = (MarketId::new(0).expect("a market"), |price| Price::new(price).expect("a price"));
        let mut place = |number: usize, side, at, size| {
            sessions[number].request(Command::Place(Place {
                account: account(FIRST + number as u32),
                market,
                side,
                time_in_force: TimeInForce::GoodTillCancel,
                reduce_only: false,
                self_trade: SelfTrade::ExpireTaker,
                price: price(at),
                size: Size::new(size).expect("a size"),
            }))
        };
        let first = vec![
            place(0, Side::Buy, 10_000, 20),
            place(1, Side::Sell, 10_000, 12),
            place(2, Side::Sell, 10_010, 5),
            place(0, Side::Buy, 10_010, 3),
        ];
        let trades = [place(1, Side::Sell, 9_990, 6), place(2, Side::Buy, 9_995, 4)];
        let mark = oracle.request(Command::Mark(Mark { sender: account(0), market, price: price(10_040) }));
        let withdraw = Withdraw { account: account(FIRST), amount: Amount::new(SIGNED.into()).expect("an amount") };
        let withdraw = sessions[0].request(Command::Withdraw(withdraw));
        [first, [mark].into_iter().chain(trades).chain([withdraw]).collect()]
    }

    /// Carries all of it out, until both batches are committed.
    pub async fn work(&self, prove: impl Prove + 'static) -> Working {
        let [first, second] = self.requests();
        let (end, queue) = Queue::new();
        let (go, held) = channel();
        // Full with what comes first, whatever the time.
        let batch_commands = ASKED_FIRST + TRADERS as usize + first.len();
        let options =
            Options { batch_commands, batch_age: Duration::MAX, carrier: Carrier::Calldata, ..Options::default() };
        let parts = Parts {
            client: self.settled.operator.clone(),
            secret: SecretKey::from_seed([1; 32]),
            follower: self.follower(),
            orders: Box::new(queue),
            prove: Box::new(Held { prove: Box::new(prove), go: held }),
        };
        let operator = Operator::open(self.path(), &self.genesis, parts, options).await.expect("it opens");
        let mut working = Working { go, operator };
        let send = |end: &QueueEnd, requests: &[Request]| {
            requests.iter().for_each(|request| end.send(*request).expect("there is room"));
        };
        self.ask(&ASKED[..ASKED_FIRST]).await;
        send(&end, &first);
        working.until_committed(1).await;
        self.ask(&ASKED[ASKED_FIRST..]).await;
        self.pass(HOUR);
        send(&end, &second);
        drop(end);
        working.until_committed(2).await;
        working
    }

    /// Ethereum's time passes.
    pub fn pass(&self, seconds: u64) {
        self.settled.chain.pass(seconds);
        self.settled.chain.mine();
    }

    /// The batches that the operator has made, all of whose commands were accepted.
    pub fn closed(&self) -> [Closed; 2] {
        let mut engine = Engine::new(&self.genesis).expect("a valid genesis");
        [1, 2].map(|number| {
            let bytes = fs::read(self.path().join(format!("batches/{number:06}.batch"))).expect("the batch");
            let batch = Batch::decode(&bytes).expect("a batch");
            assert!(batch.outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{:?}", batch.outcomes);
            let root = engine.replay(&batch.instructions, |_, _, _| {}).expect("it is of this state");
            let time = TimeMs::new(engine.system().time).expect("a time");
            let (publication, z) = (Publication::of(&batch, time), point_in_calldata(&batch));
            let committed = Committed { batch: Arc::new(batch), z, time, root, leaves_due: false };
            Closed { committed, publication, opening: open_bridge(engine.tree()).into() }
        })
    }

    /// What the proof of both says.
    pub fn statement(&self, closed: &[Closed; 2]) -> LastPublic {
        let engine = Engine::new(&self.genesis).expect("a valid genesis");
        let batches = closed.each_ref().map(|closed| closed.committed.clone());
        statement(&Stretch { root_old: engine.root(), time_old: START, batches: &batches })
    }

    /// The proof that was recorded: the tests that need it end here if it is not this venue's.
    #[track_caller]
    pub fn recorded(&self, closed: &[Closed; 2]) -> Vec<u8> {
        let fitting = recorded().and_then(|proof| fits(&proof, &self.statement(closed)).map(|()| proof));
        fitting.unwrap_or_else(|why| panic!("{why}"))
    }
}

impl Working {
    async fn until_committed(&mut self, batches: u64) {
        for _ in 0..STEPS_MAX {
            self.operator.step().await.expect("a step");
            if self.operator.status().committed == batches {
                return;
            }
        }
        panic!("batch {batches} is not committed: {:?}", self.operator.status());
    }

    /// Lets it prove, until both batches are final and all is paid.
    pub async fn finish(mut self) -> Operator {
        self.go.send(()).expect("it waits");
        let pause = Duration::from_millis(20);
        for _ in 0..STEPS_MAX {
            for event in self.operator.step().await.expect("a step") {
                if matches!(event, Event::Segment { .. } | Event::Aggregated { .. } | Event::LastProof { .. }) {
                    println!("{event:?}");
                }
            }
            if self.operator.status().is_idle() {
                return self.operator;
            }
            tokio::time::sleep(pause).await;
        }
        panic!("it does not come to an end: {:?}", self.operator.status());
    }

    /// Ends it, with both batches committed and unproven.
    pub fn abandon(self) {
        drop(self.go);
        self.operator.end();
    }
}
