//! The contracts themselves, on the embedded chain, with the venue's own engine: from a deposit to a claim, and from a freeze to an exit. Only the proofs are not there: a contract that says
//! what it is told stands in for their verifier.

mod common;

use std::{collections::BTreeSet, path::Path, sync::Arc};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol,
    sol_types::SolValue,
};
use common::{drive, signer};
use holdfast_crypto::{Digest, poseidon2::compress};
use holdfast_exchange::{
    Engine,
    opening::{open_account, open_bridge, open_deployment, open_markets, open_system},
    sequencer::Sequencer,
};
use holdfast_protocol::{
    AccountGenesis, AccountId, Deployment as Venue, Genesis, KeyGenesis, MarketGenesis, MarketId, Price, SecretKey,
    TimeMs,
    publication::{Progress, digest_word},
};
use holdfast_settlement::{
    Client, Error, Follower, Poster,
    blobs::FromTransactions,
    client::{SessionKey, Wallet},
    contracts::{
        Deployment, IRollup, Opened, Parameters, create, create_reader, create_token, create_verifier, deploy, plan,
    },
    embedded::{Chain, Mining},
    follower::{Cursor, Event},
    journal::Finality,
    poster::{Carrier, Options},
    publication::{Publication, blob_commitment, forced, point},
};

const START: u64 = 1_700_000_000_000;
const SEGMENT_KEY: B256 = B256::repeat_byte(0x11);
const DAY: u64 = 86_400;

sol! {
    interface IVerifier {
        function keyCommitment() external view returns (bytes32);
        function verify(bytes calldata proof) external view returns (bytes32 rootOld, bytes32 rootNew);
    }
}

/// Returns the bytes that it is given to verify: they are the statement.
fn verifier() -> Bytes {
    // PUSH2 256, PUSH1 68, PUSH0, CALLDATACOPY, PUSH2 256, PUSH0, RETURN, behind what copies it.
    let code = [0x61, 1, 0, 0x60, 68, 0x5f, 0x37, 0x61, 1, 0, 0x5f, 0xf3];
    [&[0x60, code.len() as u8, 0x80, 0x60, 9, 0x3d, 0x39, 0x3d, 0xf3], &code[..]].concat().into()
}

fn account(id: u32) -> AccountId {
    AccountId::new(id).expect("an account")
}

fn genesis(chain_id: u64, vault: Address) -> Genesis {
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

struct Settled {
    chain: Chain,
    operator: Client,
    alice: Client,
    venue: Sequencer,
    follower: Follower,
    folder: tempfile::TempDir,
    root: Digest,
}

impl Settled {
    async fn new() -> Self {
        let chain = Chain::new(common::config());
        let wallet = Wallet::embedded(&chain, signer(0)).await.expect("it answers");
        let token = create_token(&wallet).await.expect("a token");
        let reader = create_reader(&wallet).await.expect("a reader");
        let verifier = create(&wallet, "verifier", verifier()).await.expect("a verifier");
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
            segment_key: SEGMENT_KEY,
            operator: wallet.address,
            members: std::array::from_fn(|seat| Address::repeat_byte(0xc0 + seat as u8)),
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
    async fn serve(&mut self) -> usize {
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

    /// Closes a batch, commits it, and makes it final.
    async fn settle(&mut self, carrier: Carrier) {
        let (batch, root) = self.venue.close_batch();
        let time = TimeMs::new(self.venue.engine().system().time).expect("a time");
        let publication = Publication::of(&batch, time);
        let options = Options { carrier, ..Options::default() };
        let mut poster = Poster::open(self.operator.clone(), self.folder.path(), options).expect("it opens");
        poster.commit(&publication).expect("it is taken");
        self.chain.set_mining(Mining::Asked);
        drive(&mut poster, &self.chain).await;

        // Who proves the batch takes its point from what was committed.
        let step = self.follower.catch_up().await.expect("it follows");
        let commit = step.events.into_iter().find_map(|located| match located.event {
            Event::Committed(commit) => Some(commit),
            _ => None,
        });
        let commit = commit.expect("it was committed");
        assert_eq!(commit.words.as_ref(), Ok(&publication.words));
        assert_eq!(commit.blobs > 0, carrier == Carrier::Blobs);
        let z = point(&commit.commitment, &publication.chain).expect("a digest");
        let progress = match carrier {
            Carrier::Blobs => Progress::end(&batch, z),
            _ => Progress::end_in_calldata(&batch),
        };
        let digest = progress.digest(time);
        assert_eq!((progress.z, digest_word(&digest)), (z, commit.digest));

        let number = U256::from(batch.header.number);
        let statement = (
            (digest_word(&self.root), digest_word(&root), number, number, U256::from(START)),
            (U256::from(time.get()), digest_word(&compress(&Digest::default(), &digest)), SEGMENT_KEY),
        );
        let finality = Finality {
            last: publication.batch,
            proof: statement.abi_encode_params(),
            opening: open_bridge(self.venue.engine().tree()),
        };
        poster.finalise(&finality).expect("it is taken");
        drive(&mut poster, &self.chain).await;
        self.chain.set_mining(Mining::Immediate);
        assert_eq!(self.operator.batch_final().await.expect("an answer"), publication.batch);
        assert_eq!(self.operator.root().await.expect("an answer"), digest_word(&root));
        self.root = root;
    }
}

#[tokio::test]
async fn from_a_deposit_to_a_claim_and_an_exit() {
    let mut settled = Settled::new().await;
    let alice = settled.alice.clone();
    let owner = alice.wallet.address;
    let units = |number: u64| U256::from(number);

    let error = alice.withdraw(units(5)).await.expect_err("it has no account");
    assert!(error.to_string().contains("no account") && error.to_string().contains("deposit first"), "{error}");
    let error = alice.deposit(units(5)).await.expect_err("it is too little, or there is nothing to take");
    assert!(error.to_string().contains("amount wrong (amount 5)"), "{error}");
    let error = alice.deposit(units(5_000_000)).await.expect_err("it has no tokens");
    assert!(error.to_string().contains("transfer failed"), "{error}");
    let error = alice.freeze().await.expect_err("nothing is late");
    assert!(error.to_string().contains("nothing has waited for 7 days"), "{error}");

    alice.mint(owner, units(9_000_000)).await.expect("tokens");
    alice.deposit(units(5_000_000)).await.expect("a deposit");
    alice.deposit(units(1_000_000)).await.expect("another one");
    assert_eq!(alice.account_of(owner).await.expect("an answer"), Some(3));
    assert_eq!(alice.inbox_count().await.expect("an answer"), 3);
    let public = SecretKey::from_seed([7; 32]).public_key();
    let key = SessionKey {
        key: 1,
        replaces: false,
        withdraws: true,
        expiry: START * 2,
        x: public.point().x().to_canonical(),
        y: public.point().y().to_canonical(),
    };
    alice.register(key).await.expect("a session key");
    let error = alice.register(SessionKey { x: key.y, ..key }).await.expect_err("it is no point");
    assert!(error.to_string().contains("off curve"), "{error}");
    alice.cancel_all(0).await.expect("a cancellation");
    alice.close(0, true, 10_000, 5).await.expect("a close");
    assert_eq!(settled.serve().await, 6);
    assert_eq!(settled.venue.engine().account(account(3)).collateral, 6_000_000);
    settled.settle(Carrier::Calldata).await;

    alice.withdraw(units(2_000_000)).await.expect("a withdrawal");
    alice.revoke(1).await.expect("a revocation");
    assert_eq!(settled.serve().await, 2);
    settled.settle(Carrier::Blobs).await;
    let payout = IRollup::Payout { account: units(3), amount: units(2_000_000), headBefore: B256::ZERO };
    let wrong = IRollup::Payout { amount: units(2_000_001), ..payout.clone() };
    let error = alice.pay(vec![wrong]).await.expect_err("it is another amount");
    assert!(error.to_string().contains("payout wrong (index 0)"), "{error}");
    alice.pay(vec![payout]).await.expect("a payout");
    assert_eq!(alice.claimable(owner).await.expect("an answer"), units(2_000_000));
    alice.claim(owner).await.expect("a claim");
    assert_eq!(alice.balance(owner).await.expect("an answer"), units(5_000_000));

    settled.chain.pass(8 * DAY);
    settled.chain.mine();
    alice.freeze().await.expect("nothing became final");
    assert!(alice.frozen().await.expect("an answer"));
    let tree = settled.venue.engine().tree();
    let markets = BTreeSet::from([MarketId::new(0).expect("a market")]);
    alice
        .record(open_system(tree).into(), units(1), open_markets(tree, &markets).into())
        .await
        .expect("the last state is recorded");
    let opening: Bytes = open_account(tree, account(3)).into();
    let error = alice.exit(3, opening.clone()).await.expect_err("debts can still be shown");
    assert!(error.to_string().contains("window open"), "{error}");
    settled.chain.pass(3 * DAY + 1);
    settled.chain.mine();
    alice.exit(3, opening).await.expect("an exit");
    alice.claim(owner).await.expect("a claim");
    assert_eq!(alice.balance(owner).await.expect("an answer"), units(9_000_000));

    let seen = settled.follower.catch_up().await.expect("it follows").events;
    let kinds: Vec<_> = seen
        .iter()
        .map(|located| match located.event {
            Event::Final { .. } => "final",
            Event::Paid { index: 0, account: 3, .. } => "paid",
            Event::Frozen { batch: 2, .. } => "frozen",
            Event::Exited { account: 3, .. } => "exited",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["final", "paid", "frozen", "exited"]);
    assert_ne!(blob_commitment(&[]), B256::ZERO);
}

/// The verifier with its key data, and the sample proof of the contracts' tests: in one transaction's gas.
#[tokio::test]
async fn the_verifier() {
    let chain = Chain::new(common::config());
    let wallet = Wallet::embedded(&chain, signer(0)).await.expect("it answers");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let key = std::fs::read(root.join("contracts/test/vectors/key.bin")).expect("key data");
    let proof = std::fs::read(root.join("crates/circuit/tests/vectors/last.proof")).expect("a proof");
    let place = create_verifier(&wallet, &key).await.expect("a verifier");
    let commitment = wallet.ask("the key", place, &IVerifier::keyCommitmentCall {}).await.expect("an answer");
    assert_eq!(commitment, keccak256(&key));
    let call = IVerifier::verifyCall { proof: proof.clone().into() };
    let receipt = wallet.order("a proof", place, &call, U256::ZERO).await.expect("it is valid");
    println!("the proof is verified with {} gas", receipt.gas_used);
    let call = IVerifier::verifyCall { proof: proof[1..].to_vec().into() };
    let error = wallet.order("a proof", place, &call, U256::ZERO).await.expect_err("it is too short");
    assert!(error.to_string().contains("proof length (expected"), "{error}");
}
