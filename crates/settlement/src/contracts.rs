//! The contracts: what they offer, their code, their errors in words, and their deployment.

use std::{collections::BTreeMap, sync::LazyLock};

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt},
    json_abi::{Error as AbiError, JsonAbi},
    primitives::{Address, B256, Bytes, Selector, U256, hex},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::{Panic, Revert, SolError, SolValue},
};
use serde::Deserialize;

use crate::{Error, Result, client::Wallet};

sol!(
    #[sol(all_derives)]
    "../../contracts/src/Settlement.sol"
);

sol! {
    #![sol(all_derives)]

    interface IERC20 {
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
        function decimals() external view returns (uint8);
    }

    interface ILimits {
        function RUN_MAX() external view returns (uint256);
    }

    /// What the rollup says of batches that are not final.
    interface IBatches {
        function operator() external view returns (address);
        function batches(uint256 batch) external view returns (bytes32 digest, uint64 time, uint64 committedAt);
        function RECALL_TIME() external view returns (uint256);
        function PROOF_WINDOW() external view returns (uint256);
    }

    /// The token of tests and devnets.
    interface IDevToken {
        function mint(address to, uint256 amount) external;
    }

    interface IAccounts {
        function hasAccount(address owner) external view returns (bool);
    }

    /// What the contracts say of each other, and of what they were made with.
    interface IParts {
        function token() external view returns (address);
        function vault() external view returns (address);
        function inbox() external view returns (address);
        function rollup() external view returns (address);
        function escape() external view returns (address);
        function council() external view returns (address);
        function reader() external view returns (address);
        function verifier() external view returns (address);
        function segmentKey() external view returns (bytes32);
        function keyCommitment() external view returns (bytes32);
        function cap() external view returns (uint256);
        function depositMin() external view returns (uint256);
        function firstAccount() external view returns (uint256);
        function members() external view returns (address[12] memory);
    }

    /// What the council has in work.
    interface IProposals {
        struct Proposal {
            address target;
            uint40 madeAt;
            uint40 readyAt;
            uint32 term;
            bool executed;
            uint16 approvals;
            bytes data;
        }

        function propose(address target, bytes calldata data) external returns (uint256 id);
        function approve(uint256 id) external;
        function execute(uint256 id) external;
        function proposals() external view returns (uint256);
        function proposalOf(uint256 id) external view returns (Proposal memory);
        function term() external view returns (uint32);
        function setVerifier(address verifier, bytes32 segmentKey) external;
        function setOperator(address operator) external;
        function replaceMember(address former, address member) external;
        function pause(uint256 seconds_) external;
    }

    /// What the escape and the rollup say of a frozen venue, and of one that may be frozen.
    interface IStand {
        function late() external view returns (bool);
        function frozenAt() external view returns (uint256);
        function systemRecorded() external view returns (bool);
        function marketsRecorded() external view returns (uint256);
        function deposits() external view returns (uint256);
        function debt() external view returns (uint256);
        function debtShown(uint256 account) external view returns (bool);
        function amountOf(uint256 index) external view returns (uint256);
    }

    /// What the rollup says when it is made, and when the council replaces its verifier.
    interface IVerifiers {
        event VerifierSet(address indexed verifier, bytes32 segmentKey);
    }

    /// As the rollup's constructor takes it.
    struct Parts {
        address vault;
        address inbox;
        address escape;
        address council;
        address reader;
        address verifier;
        bytes32 segmentKey;
        address operator;
    }

    /// The genesis: its root, and openings of what has to be right in it.
    struct Opened {
        bytes32 root;
        bytes deployment;
        bytes system;
        bytes bridge;
    }
}

/// Code and interface of a contract, as they are committed.
#[derive(Debug)]
pub struct Artifact {
    pub contract: &'static str,
    text: &'static str,
}

macro_rules! artifacts {
    ($($name:ident = $contract:literal in $path:literal;)*) => {
        $(pub const $name: Artifact = Artifact {
            contract: $contract,
            text: include_str!(concat!("../../../contracts/", $path, "/", $contract, ".json")),
        };)*

        /// All of them.
        pub const ARTIFACTS: &[Artifact] = &[$($name),*];
    };
}

artifacts! {
    FINAL_VERIFIER = "FinalVerifier" in "artifacts";
    STATE_READER = "StateReader" in "artifacts";
    VAULT = "Vault" in "artifacts";
    INBOX = "Inbox" in "artifacts";
    ROLLUP = "Rollup" in "artifacts";
    ESCAPE = "Escape" in "artifacts";
    COUNCIL = "Council" in "artifacts";
    DEV_TOKEN = "DevToken" in "test/artifacts";
}

#[derive(Deserialize)]
struct Content {
    abi: JsonAbi,
    bytecode: Bytes,
}

impl Artifact {
    fn content(&self) -> Result<Content> {
        serde_json::from_str(self.text)
            .map_err(|error| Error::Artifact { contract: self.contract, reason: error.to_string() })
    }

    /// What a transaction that makes the contract carries, with the constructor's arguments.
    pub fn creation(&self, arguments: &[u8]) -> Result<Bytes> {
        Ok([&self.content()?.bytecode, arguments].concat().into())
    }
}

static ERRORS: LazyLock<BTreeMap<Selector, AbiError>> = LazyLock::new(|| {
    let interfaces = ARTIFACTS.iter().filter_map(|artifact| artifact.content().ok());
    interfaces.flat_map(|content| content.abi.errors.into_values().flatten()).map(|e| (e.selector(), e)).collect()
});

/// What somebody who meets an error may do about it.
const ADVICE: &[(&str, &str)] = &[
    ("Insufficient", "get more of the token, or approve the vault for more"),
    ("CapReached", "deposit less, or wait until others have withdrawn"),
    ("Short", "the token takes a fee of transfers: it cannot be deposited"),
    ("NothingToClaim", "nothing is due: wait until the withdrawal is final and paid"),
    ("NotAllowed", "use the key that has this right"),
    ("FeeWrong", "send the inbox's fee along, no more and no less; the first deposit costs two"),
    ("AmountWrong", "give an amount of at least the smallest deposit, and below 2^84"),
    ("Paused", "wait until the pause ends; withdrawals and exits go on"),
    ("IsPaused", "wait until the pause ends; withdrawals and exits go on"),
    ("NoAccount", "deposit first: the first deposit opens the account"),
    ("AlreadyFrozen", "the venue is frozen: exit by the escape"),
    ("Frozen", "the venue is frozen: exit by the escape"),
    ("IsFrozen", "the venue is frozen: exit by the escape"),
    ("NotFrozen", "the venue is not frozen: withdraw by the inbox"),
    ("NotLate", "the venue serves: nothing has waited for 7 days"),
    ("BatchWrong", "commit the batch that comes next"),
    ("TimeRange", "a batch's end must be near Ethereum's time: close another one and commit that"),
    ("InboxHeadWrong", "the venue has consumed other entries than the inbox has: it must follow the inbox again"),
    ("EntryLeftOut", "consume the inbox's entries in time"),
    ("DataWrong", "prove the data that were committed: calldata and blobs have different digests"),
    ("ProofLength", "give a last proof of this deployment's key"),
    ("RootWrong", "make the opening of the state that is final"),
    ("OpeningLength", "make the opening anew"),
    ("TooEarly", "wait until then: it can be taken back no more, and its proof may still come"),
    ("WindowOpen", "wait until then: debts can still be shown"),
    ("WindowOver", "debts can no longer be shown: exit"),
    ("AlreadyExited", "this account was paid out already"),
    ("NothingThere", "this account has no owner, or nothing above zero"),
    ("NoRun", "runs are numbered from 0, one for each finality that had payouts"),
    ("NothingToPay", "all of this run is paid"),
    ("PayoutWrong", "pay the last unpaid payout of the run first"),
    ("NothingToRemove", "give a batch that is committed and not final"),
    ("RunTooLong", "make fewer batches final at once"),
    ("NoVerifier", "deploy the verifier first"),
    ("GenesisWrong", "open a genesis of this vault and chain, without deposits, whose bridge is unused"),
    ("BlobGas", "send more gas: the evaluation of a blob has too little"),
    (
        "BlobWrong",
        "make the blob's proof at the batch's point anew; if the evaluation has become dearer, send more gas",
    ),
    ("BlobLength", "give commitments and proofs of 48 bytes"),
    ("OffCurve", "give a public key of the venue's curve"),
];

fn shown(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::Int(number, _) => number.to_string(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Bool(bool) => bool.to_string(),
        DynSolValue::FixedBytes(bytes, size) => hex::encode_prefixed(&bytes[..*size]),
        other => format!("{other:?}"),
    }
}

/// `NotInTime` as `not in time`.
fn spoken(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// A reverted call's data in words: the contract's own error with its arguments, and what to do.
pub fn explain(data: &[u8]) -> String {
    if data.is_empty() {
        return "it gave no reason (out of gas, or no such function)".into();
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return revert.reason().to_owned();
    }
    if let Ok(panic) = Panic::abi_decode(data) {
        return format!("it panicked: {panic}");
    }
    let known = data.first_chunk().and_then(|selector| ERRORS.get(&Selector::from(*selector)));
    let Some(error) = known else {
        return format!("error {}, which none of the contracts has", hex::encode_prefixed(&data[..data.len().min(68)]));
    };
    let mut text = spoken(&error.name);
    if let Ok(values) = error.abi_decode_input(&data[4..]) {
        let named = |(value, parameter): (&DynSolValue, &alloy::json_abi::Param)| {
            format!("{} {}", spoken(parameter.name.trim_end_matches('_')), shown(value))
        };
        let arguments: Vec<_> = values.iter().zip(&error.inputs).map(named).collect();
        if !arguments.is_empty() {
            text = format!("{text} ({})", arguments.join(", "));
        }
    }
    match ADVICE.iter().find(|(name, _)| *name == error.name) {
        Some((_, advice)) => format!("{text}: {advice}"),
        None => text,
    }
}

/// Where the contracts of a venue are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Deployment {
    pub chain: u64,
    /// The first block that can have an event of theirs.
    pub block: u64,
    pub token: Address,
    pub vault: Address,
    pub inbox: Address,
    pub rollup: Address,
    pub escape: Address,
    pub council: Address,
    pub verifier: Address,
    pub reader: Address,
}

/// Seats of the council.
pub const SEATS: usize = 12;

/// Where a venue's own contracts will be: what the deployer makes next. The genesis names the vault, so this is known first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub nonce: u64,
    pub vault: Address,
    pub inbox: Address,
    pub rollup: Address,
    pub escape: Address,
    pub council: Address,
}

/// What a venue is made with, beside its plan.
#[derive(Debug, Clone)]
pub struct Parameters {
    pub token: Address,
    /// The most that the vault takes.
    pub cap: U256,
    /// Wei for each entry of the inbox.
    pub fee: U256,
    pub deposit_min: U256,
    /// Owner of each account of the genesis from 0 on; zero where there is no account.
    pub owners: Vec<Address>,
    pub reader: Address,
    pub verifier: Address,
    pub segment_key: B256,
    pub operator: Address,
    pub members: [Address; SEATS],
    pub genesis: Opened,
}

/// Plans a venue, made by this wallet's next transactions.
pub async fn plan(wallet: &Wallet) -> Result<Plan> {
    let nonce = wallet.nonce(true).await?;
    let place = |offset| wallet.address.create(nonce + offset);
    Ok(Plan { nonce, vault: place(0), inbox: place(1), rollup: place(2), escape: place(3), council: place(4) })
}

/// Makes a venue's contracts as planned. Token, reader and verifier are there already.
pub async fn deploy(wallet: &Wallet, plan: &Plan, parameters: Parameters) -> Result<Deployment> {
    let nonce = wallet.nonce(true).await?;
    if nonce != plan.nonce {
        return Err(Error::PlanStale { expected: plan.nonce, got: nonce });
    }
    let head = wallet.provider.get_block_number().await.map_err(Error::endpoint("the last block's number"))?;
    let (token, reader, verifier) = (parameters.token, parameters.reader, parameters.verifier);
    make(wallet, plan, parameters).await?;
    let &Plan { vault, inbox, rollup, escape, council, .. } = plan;
    Ok(Deployment {
        chain: wallet.chain,
        block: head + 1,
        token,
        vault,
        inbox,
        rollup,
        escape,
        council,
        verifier,
        reader,
    })
}

/// Makes a venue's contracts, which are told of each other as planned; only the rollup is given the inbox that was made, since its constructor asks it. Gives vault, inbox, rollup, escape and council.
pub(crate) async fn make(wallet: &Wallet, plan: &Plan, parameters: Parameters) -> Result<[Address; 5]> {
    let Parameters { token, cap, fee, deposit_min, owners, reader, verifier, segment_key, operator, members, genesis } =
        parameters;
    let &Plan { vault, inbox, rollup, escape, council, .. } = plan;
    let arguments = (token, cap, inbox, rollup, escape).abi_encode_params();
    let made_vault = create(wallet, "vault", VAULT.creation(&arguments)?).await?;
    let arguments = (vault, rollup, council, fee, deposit_min, owners).abi_encode_params();
    let made_inbox = create(wallet, "inbox", INBOX.creation(&arguments)?).await?;
    let parts =
        Parts { vault, inbox: made_inbox, escape, council, reader, verifier, segmentKey: segment_key, operator };
    let made_rollup = create(wallet, "rollup", ROLLUP.creation(&(parts, genesis).abi_encode_params())?).await?;
    let arguments = (vault, inbox, rollup, reader).abi_encode_params();
    let made_escape = create(wallet, "escape", ESCAPE.creation(&arguments)?).await?;
    let made_council = create(wallet, "council", COUNCIL.creation(&(rollup, members).abi_encode_params())?).await?;
    Ok([made_vault, made_inbox, made_rollup, made_escape, made_council])
}

/// Makes a contract, and says where it is.
pub async fn create(wallet: &Wallet, what: &'static str, code: Bytes) -> Result<Address> {
    let request = TransactionRequest::default().input(code.into());
    let request = TransactionRequest { to: Some(alloy::primitives::TxKind::Create), ..request };
    let receipt = wallet.send(what, request).await?;
    receipt.contract_address.ok_or_else(|| Error::Missing { what, missing: "address of the new contract".into() })
}

/// Makes the verifier of last proofs, with its key data in contracts of their own: what creates these (`circuit::last::export::data_contract` of each piece), and what the verifier calls its key.
pub async fn create_verifier(wallet: &Wallet, data_contracts: Vec<Vec<u8>>, key_commitment: B256) -> Result<Address> {
    let mut pieces = Vec::new();
    for code in data_contracts {
        pieces.push(create(wallet, "data contract", code.into()).await?);
    }
    let arguments = (pieces, key_commitment).abi_encode_params();
    create(wallet, "verifier", FINAL_VERIFIER.creation(&arguments)?).await
}

pub async fn create_reader(wallet: &Wallet) -> Result<Address> {
    create(wallet, "state reader", STATE_READER.creation(&[])?).await
}

/// Makes the token of tests and devnets, of which anybody may have as much as it likes.
pub async fn create_token(wallet: &Wallet) -> Result<Address> {
    create(wallet, "token", DEV_TOKEN.creation(&[])?).await
}

/// A digest as contracts have it.
pub fn digest(word: B256) -> [u32; 8] {
    let cells = word.0.as_chunks::<4>().0;
    std::array::from_fn(|cell| u32::from_be_bytes(cells[cell]))
}

/// A whole number of seconds or batches, which contracts have as words.
pub fn small(what: &'static str, word: U256) -> Result<u64> {
    u64::try_from(word).map_err(|_| Error::Missing { what, missing: format!("number of 64 bits: got {word}") })
}
