//! Whether a venue is what its file says, and what this program vouches for: to be asked before money goes in.
//!
//! The file is nobody's word. The chain, the code of every contract, which contract each of them names, what the rollup began with, and the key by which it has proofs verified are compared with the
//! file's genesis, with the committed artifacts, and with the bundled key. That the root that the rollup began with is that of this genesis says all of its state: no account, key or deposit that
//! the genesis does not have, nobody's live key on the bridge's account, and chains with Ethereum that have absorbed nothing.

use std::{fmt::Display, sync::LazyLock};

use alloy_primitives::{Address, B256, U256};
use holdfast_circuit::{
    last::{LastKey, export::export},
    verify::verifying_key,
};
use holdfast_crypto::Digest;
use holdfast_exchange::{
    Engine,
    opening::{open_bridge, open_deployment, open_system},
};
use holdfast_protocol::{AccountGenesis, GenesisError, publication::digest_word};
use holdfast_settlement::{
    Venue,
    client::{DynProvider, ask, code},
    code::{Difference, differences, verifier_difference},
    contracts::{Deployment, ICouncil, IERC20, IInbox, IParts, IRollup, Opened, Parameters, small},
    follower::{Beginning, beginning},
};
use serde::Serialize;

use crate::rebuild::Proofs;

/// Why a venue must not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Ethereum(#[from] holdfast_settlement::Error),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error("{what}: expected {expected}, got {got}")]
    Wrong { what: String, expected: String, got: String, advice: &'static str },
}

impl CheckError {
    /// What to do about it, if there is something to say.
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Wrong { advice, .. } => Some(advice),
            _ => None,
        }
    }
}

/// What was found in order, and what a user must believe of the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub chain_id: u64,
    /// The last block when it was looked at, and its time in seconds.
    pub block: u64,
    pub time: u64,
    pub genesis_root: B256,
    /// Keccak-256 of the verifier's key data; nothing where a stand-in is allowed for.
    pub key_commitment: Option<B256>,
    pub segment_key: B256,
    /// The verifier of now, if the council has put it in the place of the one that the file names, or given it another key of segments. Only who leaves is let in then.
    pub replaced: Option<Address>,
    pub token: Address,
    pub token_decimals: u32,
    pub operator: Address,
    pub members: Vec<Address>,
    /// The most that the vault takes, what of that it holds, and the least that is deposited, in quote units.
    pub cap: U256,
    pub deposit_min: U256,
    /// Wei for each entry of the inbox.
    pub fee: U256,
    pub paused: bool,
    pub frozen: bool,
    pub batch_final: u64,
}

const FOREIGN: &str =
    "this file is of another chain or venue: do not send money by it; get the file from whom you trust";
const MISWIRED: &str = "these contracts do not belong together: do not send money to them";
const OTHER_CODE: &str = "the contracts are not those of this version of holdfast, which does not vouch for them";
const OTHER_GENESIS: &str = "the venue began from another state than this file says: do not send money to it, whoever made it may own what is in it";
const OTHER_KEY: &str = "proofs are verified by other rules than those of this program, which does not vouch for them (the council may have replaced the verifier: look for a newer holdfast and a newer file; what is yours you can take out all the same)";

fn same<T: PartialEq + Display>(
    what: impl Display,
    expected: T,
    got: T,
    advice: &'static str,
) -> Result<(), CheckError> {
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(CheckError::Wrong { what: what.to_string(), expected, got, advice })
}

fn same_code(found: Option<Difference>) -> Result<(), CheckError> {
    match found {
        None => Ok(()),
        Some(Difference { contract, at, expected, got }) => Err(CheckError::Wrong {
            what: format!("code of the {contract} at {at}"),
            expected: format!("{expected} bytes that follow from the source"),
            got: format!("{got} bytes that do not"),
            advice: OTHER_CODE,
        }),
    }
}

/// What somebody wants of a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Dealing,
    Leaving,
}

/// Compares a venue's file with the chain, and with what this program is made of.
///
/// # Errors
///
/// If something is not as it must be, or the endpoint does not answer.
pub async fn check(venue: &Venue, provider: &DynProvider, proofs: &Proofs) -> Result<Checked, CheckError> {
    look_over(venue, provider, proofs, Purpose::Dealing).await
}

/// As [`check`], for those who put no money in: who watches, and who takes out what is his. That the council has replaced the verifier keeps nobody from that, since who it is that says what becomes final
/// changes nothing of what the contracts owe; it is said in [`Checked::replaced`].
///
/// # Errors
///
/// If something else is not as it must be, or the endpoint does not answer.
pub async fn check_to_leave(venue: &Venue, provider: &DynProvider, proofs: &Proofs) -> Result<Checked, CheckError> {
    look_over(venue, provider, proofs, Purpose::Leaving).await
}

async fn look_over(
    venue: &Venue,
    provider: &DynProvider,
    proofs: &Proofs,
    purpose: Purpose,
) -> Result<Checked, CheckError> {
    let at = venue.deployment();
    let (chain, block, time) = holdfast_settlement::client::head(provider).await?;
    same("chain id of the endpoint", at.chain, chain, "give an endpoint of the venue's chain")?;
    for (contract, place) in venue.contracts.named() {
        if code(provider, "the code of a contract", place).await?.is_empty() {
            let (what, expected) = (format!("{contract} at {place}"), format!("a contract on chain {chain}"));
            return Err(CheckError::Wrong { what, expected, got: "no code".into(), advice: FOREIGN });
        }
    }
    wiring(provider, &at).await?;
    let engine = Engine::new(&venue.genesis)?;
    let root = digest_word(&engine.root());
    begin(provider, &at, root, proofs).await?;
    let owners = owners(venue);
    for (account, owner) in owners.iter().enumerate() {
        let call = IInbox::ownerOfCall { account: U256::from(account) };
        let got = ask(provider, "an account's owner", at.inbox, &call, None).await?;
        same(format!("owner of account {account}, as the inbox has it"), *owner, got, OTHER_GENESIS)?;
    }
    let first = ask(provider, "the inbox's first account", at.inbox, &IParts::firstAccountCall {}, None).await?;
    same("accounts of the genesis, as the inbox has them", U256::from(owners.len()), first, OTHER_GENESIS)?;
    let decimals = ask(provider, "the token's decimals", at.token, &IERC20::decimalsCall {}, None).await?;
    same("decimals of the token", venue.genesis.quote_decimals, decimals.into(), OTHER_GENESIS)?;

    let replaced = replaced(provider, &at, proofs).await?;
    let key_commitment = match (purpose, replaced) {
        (Purpose::Leaving, Some(_)) => None,
        _ => key(provider, &at, proofs).await?,
    };
    let what = "what the venue was made with";
    let members = ask(provider, what, at.council, &IParts::membersCall {}, None).await?;
    let checked = Checked {
        chain_id: chain,
        block,
        time,
        genesis_root: root,
        key_commitment,
        segment_key: ask(provider, what, at.rollup, &IParts::segmentKeyCall {}, None).await?,
        replaced,
        token: at.token,
        token_decimals: decimals.into(),
        operator: ask(provider, what, at.rollup, &IRollup::operatorCall {}, None).await?,
        members: members.to_vec(),
        cap: ask(provider, what, at.vault, &IParts::capCall {}, None).await?,
        deposit_min: ask(provider, what, at.inbox, &IParts::depositMinCall {}, None).await?,
        fee: ask(provider, what, at.inbox, &IInbox::feeCall {}, None).await?,
        paused: ask(provider, what, at.council, &ICouncil::pausedCall {}, None).await?,
        frozen: ask(provider, what, at.rollup, &IRollup::frozenCall {}, None).await?,
        batch_final: small(what, ask(provider, what, at.rollup, &IRollup::batchFinalCall {}, None).await?)?,
    };
    let tree = engine.tree();
    let parameters = Parameters {
        token: at.token,
        cap: checked.cap,
        fee: checked.fee,
        deposit_min: checked.deposit_min,
        owners,
        reader: at.reader,
        verifier: at.verifier,
        segment_key: checked.segment_key,
        operator: checked.operator,
        members,
        genesis: Opened {
            root,
            deployment: open_deployment(tree).into(),
            system: open_system(tree).into(),
            bridge: open_bridge(tree).into(),
        },
    };
    same_code(differences(provider, &at, parameters).await?)?;
    Ok(checked)
}

/// Owner of each account of the genesis from 0 on, as the inbox was given them.
fn owners(venue: &Venue) -> Vec<Address> {
    let mut accounts: Vec<&AccountGenesis> = venue.genesis.accounts.iter().collect();
    accounts.sort_by_key(|entry| entry.account);
    accounts.iter().map(|entry| entry.owner).collect()
}

/// Each contract names the others.
async fn wiring(provider: &DynProvider, at: &Deployment) -> Result<(), CheckError> {
    let &Deployment { token, vault, inbox, rollup, escape, council, reader, .. } = at;
    macro_rules! names {
        ($($from:ident.$to:ident = $call:ident;)*) => {$(
            let what = concat!(stringify!($to), " that the ", stringify!($from), " names");
            let got = ask(provider, what, $from, &IParts::$call {}, None).await?;
            same(what, $to, got, MISWIRED)?;
        )*};
    }
    names! {
        vault.token = tokenCall;
        vault.inbox = inboxCall;
        vault.rollup = rollupCall;
        vault.escape = escapeCall;
        inbox.vault = vaultCall;
        inbox.rollup = rollupCall;
        inbox.council = councilCall;
        rollup.vault = vaultCall;
        rollup.inbox = inboxCall;
        rollup.escape = escapeCall;
        rollup.council = councilCall;
        rollup.reader = readerCall;
        escape.vault = vaultCall;
        escape.inbox = inboxCall;
        escape.rollup = rollupCall;
        escape.reader = readerCall;
        council.rollup = rollupCall;
    }
    Ok(())
}

/// The rollup's verifier, if it is another than the file's, or is to verify proofs over segments of another key.
async fn replaced(provider: &DynProvider, at: &Deployment, proofs: &Proofs) -> Result<Option<Address>, CheckError> {
    let what = "the verifier";
    let verifier = ask(provider, what, at.rollup, &IParts::verifierCall {}, None).await?;
    let other_key = match proofs {
        Proofs::Unverified => false,
        Proofs::Verified(_, expected) => {
            ask(provider, what, at.rollup, &IParts::segmentKeyCall {}, None).await? != digest_word(expected)
        }
    };
    Ok((verifier != at.verifier || other_key).then_some(verifier))
}

/// The root that the rollup began with is that of the genesis.
async fn begin(provider: &DynProvider, at: &Deployment, root: B256, proofs: &Proofs) -> Result<(), CheckError> {
    let got = match beginning(provider, at).await? {
        Beginning::Root(root) => root,
        // An endpoint without old states: the proof of the first final batch says from which state it starts.
        Beginning::Proof(proof) => {
            let wrong = |got: String| CheckError::Wrong {
                what: "state that the rollup began with".into(),
                expected: "an endpoint that has it, or a proof that says it".into(),
                got,
                advice: "give an endpoint that keeps old states (an archive)",
            };
            let Proofs::Verified(key, _) = proofs else { return Err(wrong("neither".into())) };
            let public = key.verify(&proof).map_err(|error| wrong(error.to_string()))?;
            digest_word(&public.root_old)
        }
    };
    same("root that the rollup began with", root, got, OTHER_GENESIS)
}

/// The verifier is the file's; its code and key are the bundled ones.
async fn key(provider: &DynProvider, at: &Deployment, proofs: &Proofs) -> Result<Option<B256>, CheckError> {
    let got = ask(provider, "the verifier", at.rollup, &IParts::verifierCall {}, None).await?;
    same("verifier that the rollup names", at.verifier, got, OTHER_KEY)?;
    let Proofs::Verified(key, segment_key) = proofs else { return Ok(None) };
    let got = ask(provider, "the segments' key", at.rollup, &IParts::segmentKeyCall {}, None).await?;
    same("key of the segments' proofs", digest_word(segment_key), got, OTHER_KEY)?;
    let what = "key of the verifier";
    let exported = export(key).map_err(|error| CheckError::Wrong {
        what: what.into(),
        expected: "one for the contracts".into(),
        got: error.to_string(),
        advice: OTHER_KEY,
    })?;
    let commitment = B256::from(exported.commitment);
    let got = ask(provider, what, at.verifier, &IParts::keyCommitmentCall {}, None).await?;
    same(what, commitment, got, OTHER_KEY)?;
    same_code(verifier_difference(provider, at, exported.data_contracts(), commitment).await?)?;
    Ok(Some(commitment))
}

impl Proofs {
    /// By the keys that follow from the source.
    pub fn bundled() -> Self {
        static SEGMENT_KEY: LazyLock<Digest> = LazyLock::new(|| verifying_key().pre_hash);
        Self::Verified(LastKey::bundled(), *SEGMENT_KEY)
    }
}
