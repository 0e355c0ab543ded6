//! A venue on a fork of its chain: anvil begins with the last block of the embedded chain, which is served as a devnet serves it, and both go their own ways.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use alloy::{
    primitives::{B256, Bytes, U256},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use holdfast_crypto::Digest;
use holdfast_exchange::sequencer::Sequencer;
use holdfast_protocol::{Instruction, publication::digest_of};
use holdfast_settlement::{
    Client, Follower, Poster, Result,
    blobs::FromTransactions,
    client::{DynProvider, Wallet, endpoint, head},
    contracts::{Deployment, IProposals, IRollup, create},
    embedded::http::Server,
    follower::Event,
    poster::{Carrier, Options},
    publication::forced,
};
use holdfast_watcher::{Proofs, Watcher};

use crate::{
    common::{
        self,
        anvil::Anvil,
        post,
        venue::{Closed, START, Statement, believer, member},
    },
    market::{ETHER, Market, Sessions, TRADERS, pass, pay_all, signer, stranger},
};

/// How often it is looked whether a transaction was mined.
const POLL: Duration = Duration::from_millis(5);
const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A venue at work, whose chain others can fork.
pub struct Base {
    pub market: Market,
    server: Server,
}

impl Base {
    /// With final batches, whose data are calldata: an endpoint of a fork has no blobs from before it.
    pub async fn new() -> Self {
        let mut market = Market::new().await;
        market.trade([Carrier::Calldata; 2]).await;
        let chain = &market.settled.chain;
        (0..12).for_each(|seat| chain.set_balance(member(seat).address(), U256::from(ETHER)));
        let server = Server::start(chain.clone(), ANY_PORT.into()).expect("there is a free port");
        Self { market, server }
    }

    /// What a fork must leave as it was: the chain's length, and its last block.
    pub fn head(&self) -> (u64, Option<B256>) {
        let chain = &self.market.settled.chain;
        (chain.height(), chain.block_hash(chain.height()))
    }
}

/// A batch that is committed on a fork.
pub struct Committed {
    closed: Closed,
    digest: Digest,
}

/// The venue and its people on a fork.
pub struct Fork {
    url: String,
    pub provider: DynProvider,
    pub at: Deployment,
    operator: Client,
    pub traders: Vec<Client>,
    pub sessions: Sessions,
    pub venue: Sequencer,
    follower: Follower,
    /// Forced instructions that the venue has not carried out.
    entries: VecDeque<Instruction>,
    folder: tempfile::TempDir,
    /// What is final.
    root: Digest,
    time: u64,
    _anvil: Anvil,
}

async fn client(url: &str, signer: PrivateKeySigner, at: &Deployment) -> Client {
    let mut wallet = Wallet::connect(url, signer).await.expect("it answers");
    wallet.poll = POLL;
    Client::new(wallet, at.clone()).expect("it is the same chain")
}

/// All final withdrawals are paid, and an owner claims his.
async fn claim(watcher: &mut Watcher, owner: &Client) {
    watcher.look().await.expect("the fork answers");
    pay_all(watcher, owner).await;
    if owner.claimable(owner.wallet.address).await.expect("an answer") > U256::ZERO {
        owner.claim(owner.wallet.address).await.expect("a claim");
    }
}

impl Fork {
    /// From the last block of the base. `None` if there is no anvil.
    pub async fn of(base: &Base) -> Option<Self> {
        // What anvil keeps of forks on disk goes by chain and block alone: another test's would be taken for this one's.
        let arguments = ["--fork-url", &base.server.url(), "--no-storage-caching", "--accounts", "0"];
        let anvil = Anvil::start(&arguments)?;
        let Market { settled, sessions, .. } = &base.market;
        let (url, at) = (anvil.url.clone(), settled.operator.at.clone());
        let provider = endpoint(&url).await.expect("an endpoint");
        let mut traders = Vec::new();
        for trader in 0..TRADERS {
            traders.push(client(&url, signer(trader), &at).await);
        }
        let keeper = Arc::new(FromTransactions(provider.clone()));
        Some(Self {
            operator: client(&url, common::signer(0), &at).await,
            traders,
            sessions: sessions.branch(),
            venue: settled.venue.clone(),
            follower: Follower::new(provider.clone(), keeper, settled.follower.cursor().clone()),
            entries: VecDeque::new(),
            folder: tempfile::tempdir().expect("a temporary directory"),
            root: settled.root,
            time: START,
            url,
            at,
            provider,
            _anvil: anvil,
        })
    }

    /// Seconds, of the last block.
    pub async fn now(&self) -> u64 {
        head(&self.provider).await.expect("an answer").2
    }

    /// Time passes, and the venue's clock with it.
    pub async fn pass(&mut self, seconds: u64) {
        pass(&self.provider, seconds).await;
        let now = self.now().await;
        self.sessions.time(&mut self.venue, now);
    }

    /// Reads the chain up to now, and takes note of entries. The digest of the last batch that was committed.
    async fn follow(&mut self, closed: Option<&Closed>) -> Option<Digest> {
        let mut digest = None;
        for located in self.follower.catch_up().await.expect("it follows").events {
            match located.event {
                Event::Appended { blocks, .. } => self.entries.push_back(forced(&blocks).expect("an instruction")),
                Event::Committed(commit) => {
                    digest = closed.map(|closed| closed.digest(&commit.commitment));
                    assert_eq!(
                        digest.and_then(|digest| digest_of(&commit.digest).map(|got| got == digest)),
                        Some(true)
                    );
                }
                _ => {}
            }
        }
        digest
    }

    /// The venue carries out what the inbox has got.
    pub async fn serve(&mut self) -> usize {
        self.follow(None).await;
        let served = self.entries.len();
        for instruction in self.entries.drain(..) {
            self.venue.force(&instruction).expect("it is let in");
        }
        served
    }

    /// Closes a batch and commits it.
    pub async fn commit(&mut self, carrier: Carrier) -> Committed {
        let closed = Closed::new(&mut self.venue);
        let options = Options { carrier, ..Options::default() };
        let mut poster = Poster::open(self.operator.clone(), self.folder.path(), options).expect("it opens");
        poster.commit(&closed.publication).expect("it is taken");
        post(&mut poster).await;
        let digest = self.follow(Some(&closed)).await.expect("it was committed");
        Committed { closed, digest }
    }

    /// Hands in a proof, over segments of this key, that a committed batch is what comes next.
    pub async fn prove(&mut self, committed: &Committed, segment_key: B256) -> Result<TransactionReceipt> {
        let Committed { closed, digest } = committed;
        let statement = Statement { segment_key, ..Statement::of(closed, digest, &self.root, self.time) };
        let call = IRollup::finaliseCall { proof: statement.encode().into(), opening: closed.opening.clone() };
        let anybody = &self.traders[0].wallet;
        let receipt = anybody.order("a proof", self.at.rollup, &call, U256::ZERO).await?;
        (self.root, self.time) = (closed.root, closed.time.get());
        Ok(receipt)
    }

    /// Somebody withdraws by the inbox; the operator serves him in a batch that becomes final, and he has his money.
    pub async fn withdraw(
        &mut self,
        watcher: &mut Watcher,
        trader: usize,
        amount: u64,
        carrier: Carrier,
        segment_key: B256,
    ) {
        let owner = self.traders[trader].clone();
        // What is due to him from before is not counted.
        claim(watcher, &owner).await;
        let before = owner.balance(owner.wallet.address).await.expect("an answer");
        owner.withdraw(U256::from(amount)).await.expect("a withdrawal");
        assert_eq!(self.serve().await, 1);
        let committed = self.commit(carrier).await;
        self.prove(&committed, segment_key).await.expect("it is final");
        claim(watcher, &owner).await;
        let after = owner.balance(owner.wallet.address).await.expect("an answer");
        assert_eq!(after - before, U256::from(amount));
    }

    /// Another verifier, made and not yet in its place.
    pub async fn verifier(&self) -> alloy::primitives::Address {
        create(&self.operator.wallet, "verifier", believer()).await.expect("a verifier")
    }

    async fn order_of_seat<C: SolCall>(&self, seat: usize, what: &'static str, call: &C) -> Result<TransactionReceipt> {
        let member = client(&self.url, member(seat), &self.at).await;
        member.wallet.order(what, self.at.council, call, U256::ZERO).await
    }

    /// The first seat proposes a call of the rollup, and with it approves it.
    pub async fn propose<C: SolCall>(&self, call: &C) {
        let call = IProposals::proposeCall { target: self.at.rollup, data: Bytes::from(call.abi_encode()) };
        self.order_of_seat(0, "a proposal", &call).await.expect("it is taken");
    }

    pub async fn approve(&self, seat: usize, id: u64) {
        let call = IProposals::approveCall { id: U256::from(id) };
        self.order_of_seat(seat, "an approval", &call).await.expect("it is taken");
    }

    /// Anybody carries a proposal out.
    pub async fn execute(&self, id: u64) -> Result<TransactionReceipt> {
        let call = IProposals::executeCall { id: U256::from(id) };
        self.traders[0].wallet.order("an upgrade", self.at.council, &call, U256::ZERO).await
    }

    /// A watcher that has this fork's endpoint alone.
    pub fn stranger(&self) -> Watcher {
        stranger(&self.provider, &self.at, || Proofs::Unverified)
    }
}
