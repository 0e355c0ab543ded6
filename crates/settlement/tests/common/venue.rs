//! A venue with all its contracts on the embedded chain. Only the proofs are not there: a contract that says what it is told stands in for their verifier.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use holdfast_circuit::last::export::Export;
use holdfast_crypto::{Digest, poseidon2::compress};
use holdfast_exchange::{
    Engine,
    opening::{open_bridge, open_deployment, open_system},
    sequencer::Sequencer,
};
use holdfast_protocol::{
    AccountGenesis, AccountId, Batch, Deployment as Venue, Genesis, KeyGenesis, MarketGenesis, Price, SecretKey,
    TimeMs,
    publication::{Progress, commitment, digest_word},
};
use holdfast_settlement::{
    Client, Error, Follower, Poster, Result,
    blobs::FromTransactions,
    client::Wallet,
    contracts::{
        Deployment, IRollup, Opened, Parameters, create, create_reader, create_token, create_verifier, deploy, plan,
    },
    embedded::{Chain, Config, Mining},
    follower::{Commit, Cursor, Event},
    journal::Finality,
    poster::{Carrier, Options},
    publication::{Publication, forced, point},
};

use super::{drive, signer};

pub const START: u64 = 1_700_000_000_000;
pub const SEGMENT_KEY: B256 = B256::repeat_byte(0x11);
pub const DAY: u64 = 86_400;

/// A stand-in for the verifier: returns the bytes that it is given to verify, which are the statement.
pub fn believer() -> Bytes {
    // PUSH2 256, PUSH1 68, PUSH0, CALLDATACOPY, PUSH2 256, PUSH0, RETURN, behind what copies it.
    let code = [0x61, 1, 0, 0x60, 68, 0x5f, 0x37, 0x61, 1, 0, 0x5f, 0xf3];
    [&[0x60, code.len() as u8, 0x80, 0x60, 9, 0x3d, 0x39, 0x3d, 0xf3], &code[..]].concat().into()
}

/// The key of a seat of the council.
pub fn member(seat: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x30 + seat as u8)).expect("a private key")
}

pub fn account(id: u32) -> AccountId {
    AccountId::new(id).expect("an account")
}

pub fn genesis(chain_id: u64, vault: Address) -> Genesis {
    let open = |id| {
        let key = KeyGenesis {
            public_key: SecretKey::from_seed([id as u8; 32]).public_key(),
            withdraws: false,
            expiry: TimeMs::new(START * 2).expect("a time"),
        };
        AccountGenesis { account: account(id), owner: Address::repeat_byte(0xee), keys: vec![key] }
    };
    Genesis {
        deployment: Venue { chain_id, contract: vault },
        time: TimeMs::new(START).expect("a time"),
        oracle: account(0),
        operator: account(1),
        fee_account: account(2),
        quote_decimals: 6,
        accounts: [0, 1, 2].map(open).into(),
        markets: vec![MarketGenesis {
            symbol: "BTC-USD".into(),
            tick_decimals: 2,
            lot_decimals: 4,
            mark: Price::new(10_000).expect("a price"),
            initial_margin_ppm: 50_000,
            maintenance_margin_ppm: 25_000,
            maker_fee_ppm: 100,
            taker_fee_ppm: 350,
            open_orders_max: 100,
            position_max: 1 << 38,
            mark_move_ppm: 100_000,
        }],
    }
}

/// A batch that is closed, and the state after it.
pub struct Closed {
    pub batch: Batch,
    pub publication: Publication,
    pub root: Digest,
    pub time: TimeMs,
    /// Of the bridge.
    pub opening: Bytes,
}

impl Closed {
    /// The batch of all that the venue has carried out since the last one.
    pub fn new(venue: &mut Sequencer) -> Self {
        let (batch, root) = venue.close_batch();
        let time = TimeMs::new(venue.engine().system().time).expect("a time");
        let publication = Publication::of(&batch, time);
        let opening = open_bridge(venue.engine().tree()).into();
        Self { batch, publication, root, time, opening }
    }

    /// As the circuit evaluates it, at the point of data that are committed to like this.
    pub fn digest(&self, commitment: &B256) -> Digest {
        let z = point(commitment, &self.publication.chain).expect("a digest");
        Progress::end(&self.batch, z).digest(self.time)
    }

    pub fn in_calldata(&self) -> Digest {
        self.digest(&commitment(&self.publication.words))
    }
}

/// What a proof says.
#[derive(Clone)]
pub struct Statement {
    pub root_old: B256,
    pub root_new: B256,
    pub first: u64,
    pub last: u64,
    pub start: u64,
    pub end: u64,
    pub data: B256,
    pub segment_key: B256,
}

impl Statement {
    /// What is true of one batch, of this digest, after a final state.
    pub fn of(closed: &Closed, digest: &Digest, root: &Digest, time: u64) -> Self {
        let number = closed.publication.batch;
        Self {
            root_old: digest_word(root),
            root_new: digest_word(&closed.root),
            first: number,
            last: number,
            start: time,
            end: closed.time.get(),
            data: digest_word(&compress(&Digest::default(), digest)),
            segment_key: SEGMENT_KEY,
        }
    }

    /// As the verifier returns it, and so as the stand-in for it takes it.
    pub fn encode(&self) -> Vec<u8> {
        let Self { root_old, root_new, first, last, start, end, data, segment_key } = *self;
        let word = |number: u64| U256::from(number);
        ((root_old, root_new, word(first), word(last), word(start)), (word(end), data, segment_key)).abi_encode_params()
    }
}

pub struct Settled {
    pub chain: Chain,
    pub operator: Client,
    pub alice: Client,
    pub venue: Sequencer,
    pub follower: Follower,
    pub folder: tempfile::TempDir,
    pub root: Digest,
}

impl Settled {
    /// With a stand-in for the verifier, which believes everything.
    pub async fn new() -> Self {
        Self::made(super::config(), signer(0), None).await
    }

    /// With the verifier of this key, and the segments' key.
    pub async fn proven(key: &Export, segment_key: B256) -> Self {
        Self::made(super::config(), signer(0), Some((key, segment_key))).await
    }

    /// On a chain like this, by this deployer, who operates it.
    pub async fn made(config: Config, deployer: PrivateKeySigner, key: Option<(&Export, B256)>) -> Self {
        let chain = Chain::new(config);
        let wallet = Wallet::embedded(&chain, deployer).await.expect("it answers");
        let token = create_token(&wallet).await.expect("a token");
        let reader = create_reader(&wallet).await.expect("a reader");
        let (verifier, segment_key) = match key {
            None => (create(&wallet, "verifier", believer()).await.expect("a verifier"), SEGMENT_KEY),
            Some((key, segment_key)) => {
                let made = create_verifier(&wallet, key.data_contracts(), key.commitment.into()).await;
                (made.expect("a verifier"), segment_key)
            }
        };
        let plan = plan(&wallet).await.expect("a plan");
        let engine = Engine::new(&genesis(wallet.chain, plan.vault)).expect("a valid genesis");
        let tree = engine.tree();
        let opened = Opened {
            root: digest_word(&engine.root()),
            deployment: open_deployment(tree).into(),
            system: open_system(tree).into(),
            bridge: open_bridge(tree).into(),
        };
        let parameters = Parameters {
            token,
            cap: U256::from(1) << 90,
            fee: U256::from(1_000),
            deposit_min: U256::from(100),
            owners: vec![Address::repeat_byte(0xee); 3],
            reader,
            verifier,
            segment_key,
            operator: wallet.address,
            members: std::array::from_fn(|seat| member(seat).address()),
            genesis: opened,
        };
        let at: Deployment = deploy(&wallet, &plan, parameters.clone()).await.expect("all contracts");
        assert_eq!((at.vault, at.council), (plan.vault, plan.council));
        let stale = deploy(&wallet, &plan, parameters).await.expect_err("the nonces are used");
        assert!(matches!(stale, Error::PlanStale { .. }), "{stale}");
        let alice = Client::embedded(&chain, signer(1), at.clone()).await.expect("a client");
        let keeper = Arc::new(FromTransactions(chain.provider()));
        Self {
            follower: Follower::new(chain.provider(), keeper, Cursor::new(at.clone())),
            operator: Client::new(wallet, at).expect("it is the same chain"),
            alice,
            root: engine.root(),
            venue: Sequencer::new(engine),
            folder: tempfile::tempdir().expect("a temporary directory"),
            chain,
        }
    }

    /// What the inbox has, carried out by the venue.
    pub async fn serve(&mut self) -> usize {
        let mut served = 0;
        for located in self.follower.catch_up().await.expect("it follows").events {
            if let Event::Appended { blocks, .. } = located.event {
                let instruction = forced(&blocks).expect("an instruction");
                self.venue.force(&instruction).expect("it is let in");
                served += 1;
            }
        }
        served
    }

    /// Commits to data in calldata, whatever they are.
    pub async fn commit(&self, publication: &Publication) -> Result<TransactionReceipt> {
        let Publication { batch, chain, time, .. } = *publication;
        let call = IRollup::commitCall { batch: U256::from(batch), chain, time, words: publication.bytes() };
        self.operator.wallet.order("a batch", self.operator.at.rollup, &call, U256::ZERO).await
    }

    /// Commits to data by a poster of its own, and gives what was committed. The follower is at the end of the chain.
    pub async fn post(&mut self, publication: &Publication, carrier: Carrier) -> Commit {
        let options = Options { carrier, ..Options::default() };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut poster = Poster::open(self.operator.clone(), folder.path(), options).expect("it opens");
        poster.commit(publication).expect("it is taken");
        self.chain.set_mining(Mining::Asked);
        drive(&mut poster, &self.chain).await;
        self.chain.set_mining(Mining::Immediate);
        let commit = self.committed().await;
        assert_eq!(commit.blobs > 0, carrier == Carrier::Blobs);
        commit
    }

    /// What was committed since the follower last looked.
    async fn committed(&mut self) -> Commit {
        let step = self.follower.catch_up().await.expect("it follows");
        let commit = step.events.into_iter().find_map(|located| match located.event {
            Event::Committed(commit) => Some(commit),
            _ => None,
        });
        commit.expect("it was committed")
    }

    /// Hands in a proof, whatever it is.
    pub async fn finalise(&self, proof: impl Into<Bytes>, opening: &Bytes) -> Result<TransactionReceipt> {
        let call = IRollup::finaliseCall { proof: proof.into(), opening: opening.clone() };
        self.operator.wallet.order("a proof", self.operator.at.rollup, &call, U256::ZERO).await
    }

    /// Closes a batch, commits it, and makes it final.
    pub async fn settle(&mut self, carrier: Carrier) {
        let closed = Closed::new(&mut self.venue);
        let publication = &closed.publication;
        let options = Options { carrier, ..Options::default() };
        let mut poster = Poster::open(self.operator.clone(), self.folder.path(), options).expect("it opens");
        poster.commit(publication).expect("it is taken");
        self.chain.set_mining(Mining::Asked);
        drive(&mut poster, &self.chain).await;

        // Who proves the batch takes its point from what was committed.
        let commit = self.committed().await;
        assert_eq!(commit.words.as_ref(), Ok(&publication.words));
        assert_eq!(commit.blobs > 0, carrier == Carrier::Blobs);
        let z = point(&commit.commitment, &publication.chain).expect("a digest");
        let progress = match carrier {
            Carrier::Blobs => Progress::end(&closed.batch, z),
            _ => Progress::end_in_calldata(&closed.batch),
        };
        let digest = progress.digest(closed.time);
        assert_eq!((progress.z, digest_word(&digest)), (z, commit.digest));

        let statement = Statement::of(&closed, &digest, &self.root, START);
        let finality = Finality {
            first: statement.first,
            last: statement.last,
            proof: statement.encode(),
            opening: closed.opening.to_vec(),
        };
        poster.finalise(&finality).expect("it is taken");
        drive(&mut poster, &self.chain).await;
        self.chain.set_mining(Mining::Immediate);
        assert_eq!(self.operator.batch_final().await.expect("an answer"), publication.batch);
        assert_eq!(self.operator.root().await.expect("an answer"), digest_word(&closed.root));
        self.root = closed.root;
    }
}
