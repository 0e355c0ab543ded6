//! Transactions as they are sent, and those that wait.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use alloy::{
    consensus::{
        EthereumTxEnvelope, Transaction, TxEip4844, TxEip4844WithSidecar, Typed2718, transaction::SignerRecoverable,
    },
    eips::{eip2718::Decodable2718, eip4844::env_settings::EnvKzgSettings, eip7594::BlobTransactionSidecarVariant},
    primitives::{Address, B256, TxKind, U256},
};
use revm::context::{TxEnv, either::Either};

use super::{Fault, TRANSACTION_GAS_MAX};

/// A transaction that is signed by `sender`.
#[derive(Debug)]
pub struct Pooled {
    pub transaction: EthereumTxEnvelope<TxEip4844>,
    pub sender: Address,
    pub hash: B256,
    pub sidecar: Option<BlobTransactionSidecarVariant>,
}

impl Pooled {
    /// Reads what `eth_sendRawTransaction` takes: with its sidecar, if it carries blobs, whose commitments and proofs are checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut rest = bytes;
        let decoded = EthereumTxEnvelope::<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>::decode_2718(&mut rest)
            .map_err(|error| Fault::refused(format!("transaction does not decode: {error}")))?;
        if !rest.is_empty() {
            return Err(Fault::refused(format!("{} bytes after the transaction", rest.len())));
        }
        let sender = decoded
            .recover_signer()
            .map_err(|error| Fault::refused(format!("invalid signature of the transaction: {error}")))?;
        let hash = *decoded.tx_hash();
        let sidecar = match &decoded {
            EthereumTxEnvelope::Eip4844(signed) => {
                let with = signed.tx();
                with.sidecar
                    .validate(&with.tx.blob_versioned_hashes, EnvKzgSettings::Default.get())
                    .map_err(|error| Fault::refused(format!("invalid blob sidecar: {error}")))?;
                Some(with.sidecar.clone())
            }
            _ => None,
        };
        let transaction = decoded.map_eip4844(|with| with.tx);
        Ok(Self { transaction, sender, hash, sidecar })
    }

    /// What depends on the transaction alone.
    pub fn check(&self, chain: u64) -> Result<(), Fault> {
        let transaction = &self.transaction;
        if let Some(got) = transaction.chain_id()
            && got != chain
        {
            return Err(Fault::refused(format!("invalid chain id: expected {chain}, got {got}")));
        }
        if transaction.gas_limit() > TRANSACTION_GAS_MAX {
            return Err(Fault::refused(format!(
                "transaction gas limit too high (cap: {TRANSACTION_GAS_MAX}, tx: {})",
                transaction.gas_limit()
            )));
        }
        let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
        if tip > transaction.max_fee_per_gas() {
            return Err(Fault::refused("max priority fee per gas higher than max fee per gas".into()));
        }
        Ok(())
    }

    /// The most that it can cost its sender.
    pub fn cost(&self) -> U256 {
        let transaction = &self.transaction;
        let gas = U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas());
        let blobs = U256::from(transaction.blob_gas_used().unwrap_or_default())
            * U256::from(transaction.max_fee_per_blob_gas().unwrap_or_default());
        gas.saturating_add(blobs).saturating_add(transaction.value())
    }

    /// What it leaves the block's maker per unit of gas, or nothing if it does not pay the block's fees.
    pub fn tip(&self, base_fee: u64, blob_fee: u128) -> Option<u128> {
        if self.transaction.max_fee_per_blob_gas().is_some_and(|most| most < blob_fee) {
            return None;
        }
        self.transaction.effective_tip_per_gas(base_fee)
    }

    /// Whether it pays enough more than another in its place: a tenth, or twice as much where there are blobs.
    fn outbids(&self, other: &Self) -> bool {
        let percent = if other.sidecar.is_some() || self.sidecar.is_some() { 200 } else { 110 };
        let enough = |new: u128, old: u128| U256::from(new) * U256::from(100) >= U256::from(old) * U256::from(percent);
        let tip = |of: &Self| of.transaction.max_priority_fee_per_gas().unwrap_or(of.transaction.max_fee_per_gas());
        enough(self.transaction.max_fee_per_gas(), other.transaction.max_fee_per_gas())
            && enough(tip(self), tip(other))
            && enough(
                self.transaction.max_fee_per_blob_gas().unwrap_or_default(),
                other.transaction.max_fee_per_blob_gas().unwrap_or_default(),
            )
    }

    pub fn environment(&self) -> TxEnv {
        let transaction = &self.transaction;
        TxEnv {
            tx_type: transaction.ty(),
            caller: self.sender,
            gas_limit: transaction.gas_limit(),
            gas_price: transaction.max_fee_per_gas(),
            kind: transaction.to().map_or(TxKind::Create, TxKind::Call),
            value: transaction.value(),
            data: transaction.input().clone(),
            nonce: transaction.nonce(),
            chain_id: transaction.chain_id(),
            access_list: transaction.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: transaction.max_priority_fee_per_gas(),
            blob_hashes: transaction.blob_versioned_hashes().map(<[B256]>::to_vec).unwrap_or_default(),
            max_fee_per_blob_gas: transaction.max_fee_per_blob_gas().unwrap_or_default(),
            authorization_list: transaction
                .authorization_list()
                .unwrap_or_default()
                .iter()
                .cloned()
                .map(Either::Left)
                .collect(),
        }
    }
}

/// Transactions that wait for a block, by sender and nonce.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    waiting: BTreeMap<(Address, u64), (u64, Arc<Pooled>)>,
    arrivals: u64,
}

impl Pool {
    pub fn add(&mut self, pooled: Arc<Pooled>) -> Result<(), Fault> {
        let place = (pooled.sender, pooled.transaction.nonce());
        if let Some((_, other)) = self.waiting.get(&place) {
            if other.hash == pooled.hash {
                return Err(Fault::refused("already known".into()));
            }
            if !pooled.outbids(other) {
                return Err(Fault::refused("replacement transaction underpriced".into()));
            }
        }
        self.arrivals += 1;
        self.waiting.insert(place, (self.arrivals, pooled));
        Ok(())
    }

    pub fn remove(&mut self, sender: Address, nonce: u64) {
        self.waiting.remove(&(sender, nonce));
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Each sender's transaction with the nonce that `nonce` says is its next.
    pub fn next(&self, nonce: impl Fn(Address) -> u64) -> impl Iterator<Item = (u64, &Arc<Pooled>)> {
        let mut after = None;
        let senders = std::iter::from_fn(move || {
            let from = after.map_or(Bound::Unbounded, |last| Bound::Excluded((last, u64::MAX)));
            after = self.waiting.range((from, Bound::Unbounded)).next().map(|((sender, _), _)| *sender);
            after
        });
        senders
            .filter_map(move |sender| self.waiting.get(&(sender, nonce(sender))))
            .map(|(arrival, pooled)| (*arrival, pooled))
    }

    pub fn find(&self, hash: B256) -> Option<&Arc<Pooled>> {
        self.waiting.values().map(|(_, pooled)| pooled).find(|pooled| pooled.hash == hash)
    }

    /// The nonce after those that wait without a gap from `from` on.
    pub fn nonce_after(&self, sender: Address, from: u64) -> u64 {
        let gap = (from..).find(|&nonce| !self.waiting.contains_key(&(sender, nonce)));
        gap.unwrap_or(from)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
