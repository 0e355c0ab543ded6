//! A venue's contracts without money and proofs, on a chain of one's own.
#![allow(dead_code, reason = "every test takes what it needs")]

pub mod anvil;
pub mod venue;

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    signers::local::PrivateKeySigner,
    sol_types::SolValue,
};
use holdfast_settlement::{
    Client, Error, Follower, Poster, Publication, Result,
    blobs::{Blobs, FromTransactions},
    client::Wallet,
    contracts::{Deployment, create},
    embedded::{Chain, Config, Mining},
    follower::Cursor,
    poster::{Carrier, Options, Progress},
};

const STAND_IN: &str = include_str!("../../../../contracts/test/artifacts/StandIn.json");

/// Accounts that development nodes give money to.
pub const KEYS: [&str; 2] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];

pub fn signer(index: usize) -> PrivateKeySigner {
    KEYS[index].parse().expect("a private key")
}

pub fn config() -> Config {
    Config::default().rich([signer(0).address(), signer(1).address()])
}

pub fn stand_in(operator: Address) -> Bytes {
    let artifact: serde_json::Value = serde_json::from_str(STAND_IN).expect("an artifact is JSON");
    let code: Bytes = artifact["bytecode"].as_str().and_then(|code| code.parse().ok()).expect("code");
    [code.as_ref(), &operator.abi_encode()].concat().into()
}

/// Puts the stand-in where inbox, rollup and escape are.
pub async fn deploy(wallet: &Wallet) -> Deployment {
    let block = wallet.provider.get_block_number().await.expect("a block number") + 1;
    let place = create(wallet, "stand-in", stand_in(wallet.address)).await.expect("it is made");
    Deployment {
        chain: wallet.chain,
        block,
        token: Address::ZERO,
        vault: Address::ZERO,
        inbox: place,
        rollup: place,
        escape: place,
        council: Address::ZERO,
        verifier: Address::ZERO,
        reader: Address::ZERO,
    }
}

use alloy::providers::Provider as _;

pub struct Stage {
    pub chain: Chain,
    pub client: Client,
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// With a venue, whose blocks are made when it is asked for.
    pub async fn new() -> Self {
        let chain = Chain::new(config());
        let wallet = Wallet::embedded(&chain, signer(0)).await.expect("a chain in this process answers");
        let at = deploy(&wallet).await;
        chain.set_mining(Mining::Asked);
        let client = Client::new(wallet, at).expect("it is the same chain");
        Self { chain, client, folder: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn poster(&self, options: Options) -> Poster {
        Poster::open(self.client.clone(), self.folder.path(), options).expect("its files are in order")
    }

    pub fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::new(FromTransactions(self.chain.provider()))
    }

    pub fn follower(&self) -> Follower {
        Follower::new(self.chain.provider(), self.blobs(), Cursor::new(self.client.at.clone()))
    }
}

pub fn calldata() -> Options {
    Options { carrier: Carrier::Calldata, ..Options::default() }
}

/// A batch with so many words.
pub fn publication(batch: u64, words: usize) -> Publication {
    let word = |index: usize| {
        let hash = keccak256([batch.to_be_bytes(), (index as u64).to_be_bytes()].concat());
        let mut word = [0; 30];
        word[12..].copy_from_slice(&hash[..18]);
        word[12] |= 1;
        word
    };
    Publication {
        batch,
        // Cells below the modulus.
        chain: B256::new(std::array::from_fn(|byte| {
            keccak256(batch.to_be_bytes())[byte] & if byte % 4 == 0 { 0x3f } else { 0xff }
        })),
        time: 1_700_000_000_000 + batch,
        words: (0..words).map(word).collect(),
    }
}

pub fn proof(last: u64) -> holdfast_settlement::journal::Finality {
    let root = keccak256(last.to_be_bytes());
    holdfast_settlement::journal::Finality {
        first: last,
        last,
        proof: (U256::from(last), B256::from(root)).abi_encode_params(),
        opening: vec![1, 2, 3],
    }
}

/// That something is refused, and why.
#[track_caller]
pub fn refused<T>(result: Result<T>, why: &str) {
    match result {
        Ok(_) => panic!("expected {why}, and it was let in"),
        Err(Error::Reverted { reason, .. }) => assert!(reason.contains(why), "expected {why}, got {reason}"),
        Err(error) => assert!(error.to_string().contains(why), "expected {why}, got {error}"),
    }
}

/// Steps, with a block after each that has something to wait for, until nothing is left to do.
pub async fn drive(poster: &mut Poster, chain: &Chain) -> Vec<Progress> {
    let mut progress = Vec::new();
    for _ in 0..2_000 {
        let step = poster.step().await.expect("a step");
        match &step {
            Progress::Idle => return progress,
            Progress::Sent { .. } | Progress::Waiting { .. } | Progress::TooDear { .. } => {
                chain.mine();
            }
            _ => {}
        }
        progress.push(step);
    }
    panic!("the poster does not come to an end: {:?}", &progress[progress.len() - 10..]);
}

/// Steps until nothing is left to do, where another process makes the blocks.
pub async fn post(poster: &mut Poster) -> Vec<Progress> {
    let mut progress = Vec::new();
    for _ in 0..200 {
        let step = poster.step().await.expect("a step");
        if step == Progress::Idle {
            return progress;
        }
        progress.push(step);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come to an end: {progress:?}");
}
