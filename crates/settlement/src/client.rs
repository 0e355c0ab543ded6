//! The one path to every Ethereum: an endpoint, and a key that signs.

use std::time::Duration;

use alloy::{
    consensus::TxEnvelope,
    eips::{BlockId, eip2718::Encodable2718},
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, TxKind, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
    transports::http::reqwest::Url,
};

use crate::{
    Error, Result,
    contracts::{Deployment, IAccounts, IDevToken, IERC20, IEscape, IInbox, IRollup, IVault, explain, small},
    embedded::{Chain, TRANSACTION_GAS_MAX},
};

/// What a transaction offers per unit of gas, and of blob gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fees {
    pub most: u128,
    pub tip: u128,
    pub blob: u128,
}

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

    /// Sends a transaction and waits for it; one that reverts is an error.
    pub async fn send(&self, what: &'static str, request: TransactionRequest) -> Result<TransactionReceipt> {
        let gas = self.gas(what, &request).await?;
        let fees = self.fees().await?;
        let mut request = request.nonce(self.nonce(true).await?).gas_limit(gas);
        request.set_max_fee_per_gas(fees.most);
        request.set_max_priority_fee_per_gas(fees.tip);
        let signed = self.sign(what, request.clone()).await?;
        self.hand_in(what, &signed.encoded_2718()).await?;
        let receipt = self.wait(what, *signed.tx_hash()).await?;
        if receipt.status() {
            return Ok(receipt);
        }
        let call = TransactionRequest { from: Some(self.address), ..request };
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
        let request = request(to, call).from(self.address);
        let answer = self.provider.call(request).await.map_err(Error::endpoint(what))?;
        C::abi_decode_returns(&answer)
            .map_err(|error| Error::Missing { what, missing: format!("contract at {to} that answers this ({error})") })
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

/// What the vault says of itself after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Tokens that came in and have not been paid.
    pub held: U256,
    /// Of these, what is claimable.
    pub claimable: U256,
    /// What the token says that the vault has.
    pub balance: U256,
    pub frozen: bool,
}

/// Asks the vault after a block, without a wallet.
pub async fn holdings(provider: &DynProvider, at: &Deployment, block: u64) -> Result<Holdings> {
    async fn ask<C: SolCall>(provider: &DynProvider, to: Address, call: &C, block: u64) -> Result<C::Return> {
        let answer = provider.call(request(to, call)).block(BlockId::number(block)).await;
        let answer = answer.map_err(Error::endpoint("what the vault holds"))?;
        C::abi_decode_returns(&answer).map_err(|error| Error::Missing {
            what: "what the vault holds",
            missing: format!("contract at {to} that answers this ({error})"),
        })
    }
    Ok(Holdings {
        held: ask(provider, at.vault, &IVault::heldCall {}, block).await?,
        claimable: ask(provider, at.vault, &IVault::claimableTotalCall {}, block).await?,
        balance: ask(provider, at.token, &IERC20::balanceOfCall { owner: at.vault }, block).await?,
        frozen: ask(provider, at.rollup, &IRollup::frozenCall {}, block).await?,
    })
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

    /// Pays payouts of a run, from its last unpaid one backwards.
    pub async fn pay(&self, run: u64, payouts: Vec<IRollup::Payout>) -> Result<TransactionReceipt> {
        let call = IRollup::payCall { run: U256::from(run), payouts };
        self.wallet.order("payouts", self.at.rollup, &call, U256::ZERO).await
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

    /// Removes the batches that are not final: the operator at once, anybody when the oldest has waited too long for its proof.
    pub async fn remove(&self) -> Result<TransactionReceipt> {
        self.wallet.order("the removal of batches", self.at.rollup, &IRollup::removeCall {}, U256::ZERO).await
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
