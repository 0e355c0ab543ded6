//! The one path to every Ethereum: an endpoint, and a key that signs.

use std::time::Duration;

use alloy::{
    consensus::TxEnvelope,
    eips::{BlockId, eip2718::Encodable2718},
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::{Provider, ProviderBuilder},
    rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
    transports::http::reqwest::Url,
};

pub use alloy::providers::DynProvider;

use crate::{
    Error, Result,
    contracts::{
        Deployment, IAccounts, ICouncil, IDevToken, IERC20, IEscape, IInbox, ILimits, IParts, IProposals, IRollup,
        IVault, explain, small,
    },
    embedded::{Chain, TRANSACTION_GAS_MAX},
};

/// What a transaction offers per unit of gas, and of blob gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fees {
    pub most: u128,
    pub tip: u128,
    pub blob: u128,
}

/// What a transaction may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub gas: u64,
    pub fees: Fees,
}

impl Quote {
    /// Wei, at most.
    pub fn most(&self) -> U256 {
        U256::from(self.gas) * U256::from(self.fees.most)
    }
}

/// Blocks whose events are asked for at once.
const SPAN: u64 = 2_000;

/// An endpoint.
pub async fn endpoint(url: &str) -> Result<DynProvider> {
    let parsed: Url = url.parse().map_err(|_| Error::Url(url.into()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(Error::Url(url.into()));
    }
    Ok(ProviderBuilder::default().connect_http(parsed).erased())
}

/// An endpoint and a key: sends transactions, and waits for them.
#[derive(Debug, Clone)]
pub struct Wallet {
    pub provider: DynProvider,
    signer: EthereumWallet,
    pub address: Address,
    pub chain: u64,
    /// How often it is looked whether a transaction was mined, and for how long.
    pub poll: Duration,
    pub patience: Duration,
}

impl Wallet {
    pub async fn new(provider: DynProvider, signer: PrivateKeySigner) -> Result<Self> {
        let chain = provider.get_chain_id().await.map_err(Error::endpoint("the chain's id"))?;
        Ok(Self {
            provider,
            address: signer.address(),
            signer: EthereumWallet::from(signer),
            chain,
            poll: Duration::from_millis(500),
            patience: Duration::from_secs(300),
        })
    }

    pub async fn embedded(chain: &Chain, signer: PrivateKeySigner) -> Result<Self> {
        let wallet = Self::new(chain.provider(), signer).await?;
        Ok(Self { poll: Duration::from_millis(1), patience: Duration::from_secs(5), ..wallet })
    }

    pub async fn connect(url: &str, signer: PrivateKeySigner) -> Result<Self> {
        Self::new(endpoint(url).await?, signer).await
    }

    /// Fees with which a transaction is soon mined: the base fee may double.
    pub async fn fees(&self) -> Result<Fees> {
        let block = self.provider.get_block(BlockId::latest()).await.map_err(Error::endpoint("the last block"))?;
        let block = block.ok_or_else(|| Error::Missing { what: "the last block", missing: "block".into() })?;
        let base = u128::from(block.header.base_fee_per_gas.unwrap_or_default());
        let tip = self.provider.get_max_priority_fee_per_gas().await.map_err(Error::endpoint("the usual tip"))?;
        let blob = self.provider.get_blob_base_fee().await.map_err(Error::endpoint("the price of blobs"))?;
        Ok(Fees { most: 2 * base + tip, tip, blob: 2 * blob.max(1) })
    }

    /// The next nonce: of what is mined, or of what waits too.
    pub async fn nonce(&self, waiting: bool) -> Result<u64> {
        let block = if waiting { BlockId::pending() } else { BlockId::latest() };
        let count = self.provider.get_transaction_count(self.address).block_id(block);
        count.await.map_err(Error::endpoint("the next nonce"))
    }

    /// Gas that a transaction needs, with a tenth to spare; a revert is an error here already.
    pub async fn gas(&self, what: &'static str, request: &TransactionRequest) -> Result<u64> {
        let request = TransactionRequest { from: Some(self.address), ..request.clone() };
        let gas = self.provider.estimate_gas(request.clone()).await;
        let gas = match gas {
            Ok(gas) => gas,
            Err(error) => {
                // Some endpoints give the reason of a revert to calls alone.
                self.provider.call(request).await.map_err(Error::endpoint(what))?;
                return Err(Error::endpoint(what)(error));
            }
        };
        if gas > TRANSACTION_GAS_MAX {
            return Err(Error::TooMuchGas { what, got: gas, most: TRANSACTION_GAS_MAX });
        }
        Ok((gas + gas / 10).min(TRANSACTION_GAS_MAX))
    }

    /// Signs a transaction, of which all but the signer is given.
    pub async fn sign(&self, what: &'static str, request: TransactionRequest) -> Result<TxEnvelope> {
        let request = TransactionRequest { from: Some(self.address), chain_id: Some(self.chain), ..request };
        request.build(&self.signer).await.map_err(|error| Error::Signing { what, reason: error.to_string() })
    }

    /// Hands a signed transaction to the endpoint. That it is known there already is well.
    pub async fn hand_in(&self, what: &'static str, raw: &[u8]) -> Result<()> {
        match self.provider.send_raw_transaction(raw).await {
            Ok(_) => Ok(()),
            Err(error) if error.as_error_resp().is_some_and(|error| known(&error.message)) => Ok(()),
            Err(error) => Err(Error::endpoint(what)(error)),
        }
    }

    /// What a transaction will cost: gas with a tenth to spare, and fees with which it is soon mined. One that would revert is an error.
    pub async fn quote(&self, what: &'static str, request: &TransactionRequest) -> Result<Quote> {
        Ok(Quote { gas: self.gas(what, request).await?, fees: self.fees().await? })
    }

    /// Signs a transaction at this price and hands it in, without waiting for it.
    pub async fn post(&self, what: &'static str, request: &TransactionRequest, quote: Quote) -> Result<B256> {
        let Quote { gas, fees } = quote;
        let mut request = request.clone().nonce(self.nonce(true).await?).gas_limit(gas);
        request.set_max_fee_per_gas(fees.most);
        request.set_max_priority_fee_per_gas(fees.tip);
        let signed = self.sign(what, request).await?;
        self.hand_in(what, &signed.encoded_2718()).await?;
        Ok(*signed.tx_hash())
    }

    /// A mined transaction's receipt; an error if it reverted.
    pub async fn settled(
        &self,
        what: &'static str,
        request: &TransactionRequest,
        receipt: TransactionReceipt,
    ) -> Result<TransactionReceipt> {
        if receipt.status() {
            return Ok(receipt);
        }
        let call = TransactionRequest { from: Some(self.address), ..request.clone() };
        let before = BlockId::number(receipt.block_number.unwrap_or_default().saturating_sub(1));
        let reason = match self.provider.call(call).block(before).await {
            Err(error) => match Error::endpoint(what)(error) {
                Error::Reverted { reason, .. } => reason,
                other => other.to_string(),
            },
            Ok(_) => "it failed, but does not when it is called alone".into(),
        };
        Err(Error::Reverted { what, reason })
    }

    /// Sends a transaction and waits for it; one that reverts is an error.
    pub async fn send(&self, what: &'static str, request: TransactionRequest) -> Result<TransactionReceipt> {
        let quote = self.quote(what, &request).await?;
        let hash = self.post(what, &request, quote).await?;
        let receipt = self.wait(what, hash).await?;
        self.settled(what, &request, receipt).await
    }

    pub async fn wait(&self, what: &'static str, hash: B256) -> Result<TransactionReceipt> {
        let mut waited = Duration::ZERO;
        loop {
            let receipt = self.provider.get_transaction_receipt(hash).await;
            if let Some(receipt) = receipt.map_err(Error::endpoint(what))? {
                return Ok(receipt);
            }
            if waited >= self.patience {
                return Err(Error::NotMined { what, seconds: self.patience.as_secs(), hash });
            }
            tokio::time::sleep(self.poll).await;
            waited += self.poll;
        }
    }

    /// Asks a contract.
    pub async fn ask<C: SolCall>(&self, what: &'static str, to: Address, call: &C) -> Result<C::Return> {
        ask(&self.provider, what, to, call, None).await
    }

    /// Orders something from a contract.
    pub async fn order<C: SolCall>(
        &self,
        what: &'static str,
        to: Address,
        call: &C,
        value: U256,
    ) -> Result<TransactionReceipt> {
        self.send(what, request(to, call).value(value)).await
    }
}

fn known(message: &str) -> bool {
    ["already known", "already imported"].iter().any(|part| message.contains(part))
}

pub fn request<C: SolCall>(to: Address, call: &C) -> TransactionRequest {
    let request = TransactionRequest::default().input(Bytes::from(call.abi_encode()).into());
    TransactionRequest { to: Some(TxKind::Call(to)), ..request }
}

/// What vault and rollup say of themselves after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Tokens that came in and have not been paid.
    pub held: U256,
    /// Of these, what is claimable.
    pub claimable: U256,
    /// What the token says that the vault has.
    pub balance: U256,
    pub frozen: bool,
    /// When the last batch became final, or the rollup was made, in seconds.
    pub final_since: u64,
    /// What the rollup has its proofs verified by.
    pub verifier: Address,
    pub segment_key: B256,
}

/// Asks a contract as it is after a block, or now.
pub async fn ask<C: SolCall>(
    provider: &DynProvider,
    what: &'static str,
    to: Address,
    call: &C,
    block: Option<u64>,
) -> Result<C::Return> {
    let block = block.map_or_else(BlockId::latest, BlockId::number);
    let answer = provider.call(request(to, call)).block(block).await.map_err(Error::endpoint(what))?;
    C::abi_decode_returns(&answer)
        .map_err(|error| Error::Missing { what, missing: format!("contract at {to} that answers this ({error})") })
}

/// The chain's id, its last block, and that one's time in seconds.
pub async fn head(provider: &DynProvider) -> Result<(u64, u64, u64)> {
    let chain = provider.get_chain_id().await.map_err(Error::endpoint("the chain's id"))?;
    let block = provider.get_block(BlockId::latest()).await.map_err(Error::endpoint("the last block"))?;
    let header = block.ok_or_else(|| Error::Missing { what: "the last block", missing: "block".into() })?.header;
    Ok((chain, header.number, header.timestamp))
}

/// The code at an address; empty if there is none.
pub async fn code(provider: &DynProvider, what: &'static str, at: Address) -> Result<Bytes> {
    provider.get_code_at(at).await.map_err(Error::endpoint(what))
}

/// The first events that fit a filter, by spans of blocks; none of a later span once there are some and `all` are not wanted.
pub async fn events(provider: &DynProvider, filter: &Filter, from: u64, to: u64, all: bool) -> Result<Vec<Log>> {
    let (mut found, mut next) = (Vec::new(), from);
    while next <= to {
        let last = to.min(next + SPAN - 1);
        let span = filter.clone().from_block(next).to_block(last);
        found.extend(provider.get_logs(&span).await.map_err(Error::endpoint("events"))?);
        if !found.is_empty() && !all {
            break;
        }
        next = last + 1;
    }
    Ok(found)
}

/// Asks the vault after a block, without a wallet.
pub async fn holdings(provider: &DynProvider, at: &Deployment, block: u64) -> Result<Holdings> {
    let (what, block) = ("what the vault holds", Some(block));
    let since = ask(provider, what, at.rollup, &IRollup::finalSinceCall {}, block).await?;
    Ok(Holdings {
        held: ask(provider, what, at.vault, &IVault::heldCall {}, block).await?,
        claimable: ask(provider, what, at.vault, &IVault::claimableTotalCall {}, block).await?,
        balance: ask(provider, what, at.token, &IERC20::balanceOfCall { owner: at.vault }, block).await?,
        frozen: ask(provider, what, at.rollup, &IRollup::frozenCall {}, block).await?,
        final_since: small(what, since)?,
        verifier: ask(provider, what, at.rollup, &IParts::verifierCall {}, block).await?,
        segment_key: ask(provider, what, at.rollup, &IParts::segmentKeyCall {}, block).await?,
    })
}

/// The last proposals of the council that are looked at.
const PROPOSALS_MAX: u64 = 64;
/// How long a proposal can be carried out once it is ready, in seconds.
const EXECUTION_SECONDS: u64 = 14 * 86_400;

/// What the council has approved, and anybody can carry out when its delay is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub id: u64,
    /// In words.
    pub what: String,
    /// Seconds.
    pub ready_at: u64,
}

/// The council's approved proposals that are neither carried out nor lapsed, after a block of this time; pauses, which have no delay, are not among them.
pub async fn proposals(provider: &DynProvider, at: &Deployment, block: u64, time: u64) -> Result<Vec<Proposal>> {
    let (what, number) = ("the council's proposals", Some(block));
    let count = small(what, ask(provider, what, at.council, &IProposals::proposalsCall {}, number).await?)?;
    let mut found = Vec::new();
    if count == 0 {
        return Ok(found);
    }
    let term = ask(provider, what, at.council, &IProposals::termCall {}, number).await?;
    for id in count.saturating_sub(PROPOSALS_MAX)..count {
        let call = IProposals::proposalOfCall { id: U256::from(id) };
        let proposal = ask(provider, what, at.council, &call, number).await?;
        let ready_at = proposal.readyAt.to::<u64>();
        let pause = proposal.data.starts_with(&IProposals::pauseCall::SELECTOR);
        let open = !proposal.executed && proposal.term == term && time < ready_at.saturating_add(EXECUTION_SECONDS);
        if ready_at != 0 && open && !pause {
            found.push(Proposal { id, what: proposed(&proposal.data), ready_at });
        }
    }
    Ok(found)
}

fn proposed(data: &Bytes) -> String {
    if let Ok(call) = IProposals::setVerifierCall::abi_decode(data) {
        return format!("another verifier, {}, for segments of key {}", call.verifier, call.segmentKey);
    }
    if let Ok(call) = IProposals::setOperatorCall::abi_decode(data) {
        return format!("another operator, {}", call.operator);
    }
    if let Ok(call) = IProposals::replaceMemberCall::abi_decode(data) {
        return format!("{} in the place of member {}", call.member, call.former);
    }
    format!("a call of {} bytes that none of its contracts has", data.len())
}

/// What of a run is unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpaid {
    /// Their numbers; empty if all of the run is paid.
    pub payouts: std::ops::Range<u64>,
    /// The payouts' head after the last of them.
    pub head: B256,
}

/// A session key as the inbox takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// Its place among the account's keys.
    pub key: u64,
    pub replaces: bool,
    pub withdraws: bool,
    /// In milliseconds.
    pub expiry: u64,
    pub x: [u32; 7],
    pub y: [u32; 7],
}

/// A venue, to somebody with a key.
#[derive(Debug, Clone)]
pub struct Client {
    pub wallet: Wallet,
    pub at: Deployment,
}

impl Client {
    pub fn new(wallet: Wallet, at: Deployment) -> Result<Self> {
        if wallet.chain != at.chain {
            return Err(Error::WrongChain { expected: at.chain, got: wallet.chain });
        }
        Ok(Self { wallet, at })
    }

    pub async fn embedded(chain: &Chain, signer: PrivateKeySigner, at: Deployment) -> Result<Self> {
        Self::new(Wallet::embedded(chain, signer).await?, at)
    }

    /// By HTTP or HTTPS.
    pub async fn connect(url: &str, signer: PrivateKeySigner, at: Deployment) -> Result<Self> {
        Self::new(Wallet::connect(url, signer).await?, at)
    }

    /// Appends a forced command, with the fee that the inbox takes for it.
    async fn force<C: SolCall>(&self, what: &'static str, call: &C) -> Result<TransactionReceipt> {
        let fee = self.fee().await?;
        self.wallet.order(what, self.at.inbox, call, fee).await
    }

    /// Wei that an entry of the inbox costs.
    pub async fn fee(&self) -> Result<U256> {
        self.wallet.ask("the inbox's fee", self.at.inbox, &IInbox::feeCall {}).await
    }

    /// Deposits, and lets the vault take the tokens if it may not yet.
    pub async fn deposit(&self, amount: U256) -> Result<TransactionReceipt> {
        let (owner, spender) = (self.wallet.address, self.at.vault);
        let allowed = self
            .wallet
            .ask("what the vault may take", self.at.token, &IERC20::allowanceCall { owner, spender })
            .await?;
        if allowed < amount {
            let call = IERC20::approveCall { spender, amount };
            self.wallet.order("the vault's allowance", self.at.token, &call, U256::ZERO).await?;
        }
        // The first one opens the account, which is an entry too.
        let entries = if self.account_of(owner).await?.is_some() { 1 } else { 2 };
        let fee = self.fee().await? * U256::from(entries);
        self.wallet.order("a deposit", self.at.inbox, &IInbox::depositCall { amount }, fee).await
    }

    pub async fn register(&self, key: SessionKey) -> Result<TransactionReceipt> {
        let SessionKey { key, replaces, withdraws, expiry, x, y } = key;
        let call = IInbox::registerCall { key: U256::from(key), replaces, withdraws, expiry, x, y };
        self.force("the registration of a session key", &call).await
    }

    pub async fn revoke(&self, key: u64) -> Result<TransactionReceipt> {
        self.force("the revocation of a session key", &IInbox::revokeCall { key: U256::from(key) }).await
    }

    pub async fn withdraw(&self, amount: U256) -> Result<TransactionReceipt> {
        self.force("a withdrawal", &IInbox::withdrawCall { amount }).await
    }

    pub async fn cancel_all(&self, market: u64) -> Result<TransactionReceipt> {
        self.force("the cancellation of all orders", &IInbox::cancelAllCall { market: U256::from(market) }).await
    }

    /// Reduces a position against the book.
    pub async fn close(&self, market: u64, buys: bool, price: u64, size: u64) -> Result<TransactionReceipt> {
        let (market, price, size) = (U256::from(market), U256::from(price), U256::from(size));
        self.force("the close of a position", &IInbox::closeCall { market, buys, price, size }).await
    }

    pub async fn refund(&self, index: u64) -> Result<TransactionReceipt> {
        let call = IInbox::refundCall { index: U256::from(index) };
        self.wallet.order("a refund", self.at.inbox, &call, U256::ZERO).await
    }

    pub async fn claim(&self, owner: Address) -> Result<TransactionReceipt> {
        self.wallet.order("a claim", self.at.vault, &IVault::claimCall { owner }, U256::ZERO).await
    }

    /// Pays payouts of a run, from number `end` − 1 backwards; the last unpaid one has to be among them.
    pub async fn pay(&self, run: u64, end: u64, payouts: Vec<IRollup::Payout>) -> Result<TransactionReceipt> {
        let call = IRollup::payCall { run: U256::from(run), end: U256::from(end), payouts };
        self.wallet.order("payouts", self.at.rollup, &call, U256::ZERO).await
    }

    /// Payouts that can become final at once.
    pub async fn run_max(&self) -> Result<u64> {
        let what = "how many payouts can become final at once";
        small(what, self.wallet.ask(what, self.at.rollup, &ILimits::RUN_MAXCall {}).await?)
    }

    /// Runs of payouts so far, paid or not: one for each finality that had payouts.
    pub async fn runs(&self) -> Result<u64> {
        let what = "the number of runs";
        small(what, self.wallet.ask(what, self.at.rollup, &IRollup::runsCall {}).await?)
    }

    /// What of a run is unpaid.
    pub async fn unpaid(&self, run: u64) -> Result<Unpaid> {
        let what = "what of a run is unpaid";
        let call = IRollup::unpaidCall { run: U256::from(run) };
        let IRollup::unpaidReturn { from, to, head } = self.wallet.ask(what, self.at.rollup, &call).await?;
        Ok(Unpaid { payouts: small(what, from)?..small(what, to)?, head })
    }

    /// Removes batches that are not final, from this one on: the operator's right, for some hours after it committed them, and when they have waited too long for their proof.
    pub async fn remove(&self, from: u64) -> Result<TransactionReceipt> {
        let call = IRollup::removeCall { from: U256::from(from) };
        self.wallet.order("the removal of batches", self.at.rollup, &call, U256::ZERO).await
    }

    pub async fn freeze(&self) -> Result<TransactionReceipt> {
        self.wallet.order("the freeze", self.at.escape, &IEscape::freezeCall {}, U256::ZERO).await
    }

    pub async fn record(&self, system: Bytes, markets: U256, opening: Bytes) -> Result<TransactionReceipt> {
        let call = IEscape::recordCall { systemOpening: system, marketSet: markets, marketsOpening: opening };
        self.wallet.order("the record of the last state", self.at.escape, &call, U256::ZERO).await
    }

    pub async fn show_debt(&self, account: u64, opening: Bytes) -> Result<TransactionReceipt> {
        let call = IEscape::showDebtCall { account: U256::from(account), opening };
        self.wallet.order("a debt", self.at.escape, &call, U256::ZERO).await
    }

    pub async fn exit(&self, account: u64, opening: Bytes) -> Result<TransactionReceipt> {
        let call = IEscape::exitCall { account: U256::from(account), opening };
        self.wallet.order("an exit", self.at.escape, &call, U256::ZERO).await
    }

    /// Makes tokens, where the token is that of tests and devnets.
    pub async fn mint(&self, to: Address, amount: U256) -> Result<TransactionReceipt> {
        let call = IDevToken::mintCall { to, amount };
        self.wallet.order("new tokens", self.at.token, &call, U256::ZERO).await
    }

    pub async fn balance(&self, owner: Address) -> Result<U256> {
        self.wallet.ask("a balance", self.at.token, &IERC20::balanceOfCall { owner }).await
    }

    pub async fn claimable(&self, owner: Address) -> Result<U256> {
        self.wallet.ask("what is claimable", self.at.vault, &IVault::claimableCall { owner }).await
    }

    /// The account of an owner, if it has one.
    pub async fn account_of(&self, owner: Address) -> Result<Option<u64>> {
        let what = "an account";
        if !self.wallet.ask(what, self.at.inbox, &IAccounts::hasAccountCall { owner }).await? {
            return Ok(None);
        }
        let account = self.wallet.ask(what, self.at.inbox, &IInbox::accountOfCall { owner }).await?;
        small(what, account).map(Some)
    }

    pub async fn frozen(&self) -> Result<bool> {
        self.wallet.ask("whether the venue is frozen", self.at.rollup, &IRollup::frozenCall {}).await
    }

    /// Whether the council has stopped batches and deposits.
    pub async fn paused(&self) -> Result<bool> {
        self.wallet.ask("whether there is a pause", self.at.council, &ICouncil::pausedCall {}).await
    }

    pub async fn root(&self) -> Result<B256> {
        self.wallet.ask("the final root", self.at.rollup, &IRollup::rootCall {}).await
    }

    pub async fn batch_committed(&self) -> Result<u64> {
        let what = "the last committed batch";
        small(what, self.wallet.ask(what, self.at.rollup, &IRollup::batchCommittedCall {}).await?)
    }

    pub async fn batch_final(&self) -> Result<u64> {
        let what = "the last final batch";
        small(what, self.wallet.ask(what, self.at.rollup, &IRollup::batchFinalCall {}).await?)
    }

    pub async fn inbox_count(&self) -> Result<u64> {
        let what = "the inbox's length";
        small(what, self.wallet.ask(what, self.at.inbox, &IInbox::countCall {}).await?)
    }

    /// Why a mined transaction of ours reverted.
    pub fn reason(data: &[u8]) -> String {
        explain(data)
    }
}
