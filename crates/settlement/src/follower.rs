//! Who follows a venue's contracts: block by block, in order, and back where the chain goes back.
//!
//! A step says what was undone and what came. Whoever takes it keeps what it made of a block under the block's number, throws away what was undone, and then saves the cursor: after a
//! crash in between it gets the same step again.

use std::{path::Path, sync::Arc};

use alloy::{
    consensus::Transaction,
    eips::BlockId,
    primitives::{Address, B256, U256, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::{Filter, Header, Log},
    sol_types::{SolCall, SolEvent},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    blobs::{Blobs, Place, fetch, words_from_blobs},
    client::{ask, events},
    contracts::{Deployment, IEscape, IInbox, IRollup, IVerifiers, digest},
    journal,
    publication::{Word, blob_commitment, words_from_bytes},
};

/// Blocks that are remembered by their hashes.
pub const REMEMBERED: usize = 128;
/// Blocks asked for at once, where they are far behind the last one.
const SPAN: u64 = 2_000;
const VERSION: u32 = 1;

/// What happened, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub block: u64,
    pub hash: B256,
    pub transaction: B256,
    /// Number of the log in its block.
    pub log: u64,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An entry of the inbox, with its blocks' cells.
    Appended {
        index: u64,
        account: u64,
        blocks: Vec<[u32; 8]>,
    },
    Committed(Commit),
    Final {
        batch: u64,
        root: B256,
        inbox_consumed: u64,
        payouts: u64,
    },
    Removed {
        first: u64,
        last: u64,
    },
    Paid {
        index: u64,
        account: u64,
        amount: U256,
    },
    Frozen {
        batch: u64,
        root: B256,
    },
    /// What the rollup has proofs verified by from here on: when it is made, and when the council replaces it.
    VerifierSet {
        verifier: Address,
        segment_key: B256,
    },
    DebtShown {
        account: u64,
        amount: U256,
    },
    Exited {
        account: u64,
        owner: Address,
        equity: U256,
        paid: U256,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub batch: u64,
    pub chain: B256,
    pub commitment: B256,
    pub digest: B256,
    pub time: u64,
    pub blobs: u64,
    /// The words; or why there are none in what was published, so that no proof can be made of it.
    pub words: std::result::Result<Vec<Word>, String>,
}

/// How far a follower is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    version: u32,
    deployment: Deployment,
    /// The block that comes next.
    next: u64,
    /// Blocks before it, ascending.
    recent: Vec<(u64, B256)>,
}

impl Cursor {
    pub fn new(deployment: Deployment) -> Self {
        Self { version: VERSION, next: deployment.block, deployment, recent: Vec::new() }
    }

    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a cursor serialises")
    }

    /// Reads a cursor of this deployment.
    pub fn decode(bytes: &[u8], deployment: &Deployment) -> std::result::Result<Self, String> {
        let cursor: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if cursor.version != VERSION {
            return Err(format!("it has version {}, expected {VERSION}", cursor.version));
        }
        if &cursor.deployment != deployment {
            return Err("it is of another deployment".into());
        }
        let ascending = cursor.recent.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let last = cursor.recent.last().map_or(deployment.block, |&(number, _)| number.saturating_add(1));
        if cursor.recent.len() > REMEMBERED || !ascending || cursor.next != last || cursor.next < deployment.block {
            return Err("its blocks are not in order".into());
        }
        Ok(cursor)
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        journal::write(path, &self.encode())
    }

    /// A new cursor, if there is no file.
    pub fn load(path: &Path, deployment: &Deployment) -> Result<Self> {
        match journal::read(path)? {
            None => Ok(Self::new(deployment.clone())),
            Some(bytes) => {
                Self::decode(&bytes, deployment).map_err(|reason| Error::Damaged { path: path.to_owned(), reason })
            }
        }
    }

    fn remember(&mut self, number: u64, hash: B256) {
        self.recent.push((number, hash));
        let surplus = self.recent.len().saturating_sub(REMEMBERED);
        self.recent.drain(..surplus);
        self.next = number + 1;
    }
}

/// What a step found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Blocks that are no longer part of the chain, ascending; their events, and those of all blocks after the first of them, did not happen.
    pub undone: Vec<(u64, B256)>,
    pub events: Vec<Located>,
    /// Whether there is nothing more for now.
    pub done: bool,
}

impl Step {
    /// The first block whose events did not happen.
    pub fn undone_from(&self) -> Option<u64> {
        self.undone.first().map(|&(number, _)| number)
    }
}

/// What is known of the root that a rollup began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    Root(B256),
    /// The endpoint does not have the state of that time, but the proof of the first final batches, which starts from it.
    Proof(Vec<u8>),
}

/// Asks for the root that a rollup began with: that of now if no batch is final, else that before the first became so.
pub async fn beginning(provider: &DynProvider, at: &Deployment) -> Result<Beginning> {
    let what = "the root that the rollup began with";
    let number = provider.get_block_number().await.map_err(Error::endpoint("the last block's number"))?;
    if ask(provider, what, at.rollup, &IRollup::batchFinalCall {}, None).await?.is_zero() {
        return ask(provider, what, at.rollup, &IRollup::rootCall {}, None).await.map(Beginning::Root);
    }
    let filter = Filter::new().address(at.rollup).event_signature(IRollup::Final::SIGNATURE_HASH);
    let found = events(provider, &filter, at.block, number, false).await?;
    let missing = || Error::Missing { what, missing: format!("first final batch from block {} on", at.block) };
    let first = found.iter().min_by_key(|log| (log.block_number, log.log_index)).ok_or_else(missing)?;
    let (block, transaction) = first.block_number.zip(first.transaction_hash).ok_or_else(missing)?;
    match ask(provider, what, at.rollup, &IRollup::rootCall {}, Some(block.saturating_sub(1))).await {
        Ok(root) => Ok(Beginning::Root(root)),
        Err(error) => proof_in(provider, transaction).await?.map(Beginning::Proof).ok_or(error),
    }
}

/// The proof that a transaction made batches final with; nothing if it did not ask the rollup itself.
async fn proof_in(provider: &DynProvider, transaction: B256) -> Result<Option<Vec<u8>>> {
    let found = provider.get_transaction_by_hash(transaction).await;
    let found = found.map_err(Error::endpoint("the transaction of a proof"))?.ok_or_else(|| Error::Missing {
        what: "the transaction of a proof",
        missing: format!("transaction {transaction}"),
    })?;
    Ok(IRollup::finaliseCall::abi_decode(found.input()).ok().map(|call| call.proof.to_vec()))
}

pub struct Follower {
    provider: DynProvider,
    second: Option<DynProvider>,
    blobs: Arc<dyn Blobs>,
    confirmations: u64,
    cursor: Cursor,
}

impl Follower {
    pub fn new(provider: DynProvider, blobs: Arc<dyn Blobs>, cursor: Cursor) -> Self {
        Self { provider, second: None, blobs, confirmations: 0, cursor }
    }

    /// Looks only at blocks that have so many after them.
    #[must_use]
    pub fn with_confirmations(self, confirmations: u64) -> Self {
        Self { confirmations, ..self }
    }

    /// Believes only what another endpoint says too. (With no confirmations, two honest ones can differ for a moment.)
    #[must_use]
    pub fn with_second(self, second: DynProvider) -> Self {
        Self { second: Some(second), ..self }
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Goes back to where a cursor stands.
    pub fn rewind(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// When a block was made, in seconds.
    pub async fn time_of(&self, block: u64) -> Result<u64> {
        let header = Self::header(&self.provider, block).await?;
        let missing = || Error::Missing { what: "a block's time", missing: format!("block {block}") };
        Ok(header.ok_or_else(missing)?.timestamp)
    }

    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The proof that a transaction made batches final with; nothing if it did not ask the rollup itself.
    pub async fn proof_in(&self, transaction: B256) -> Result<Option<Vec<u8>>> {
        proof_in(&self.provider, transaction).await
    }

    /// The last block's number.
    pub async fn height(&self) -> Result<u64> {
        Self::height_of(&self.provider).await
    }

    async fn header(provider: &DynProvider, number: u64) -> Result<Option<Header>> {
        let block = provider.get_block(BlockId::number(number)).await.map_err(Error::endpoint("a block"))?;
        Ok(block.map(|block| block.header))
    }

    async fn height_of(provider: &DynProvider) -> Result<u64> {
        provider.get_block_number().await.map_err(Error::endpoint("the last block's number"))
    }

    /// Forgets blocks that the chain has no more, and gives them.
    async fn roll_back(&mut self) -> Result<Vec<(u64, B256)>> {
        let mut undone = Vec::new();
        while let Some(&(number, hash)) = self.cursor.recent.last() {
            if Self::header(&self.provider, number).await?.is_some_and(|header| header.hash == hash) {
                break;
            }
            if self.cursor.recent.len() == 1 && number > self.cursor.deployment.block {
                return Err(Error::ReorganisedTooDeep { oldest: number });
            }
            self.cursor.recent.pop();
            self.cursor.next = number;
            undone.push((number, hash));
        }
        undone.reverse();
        Ok(undone)
    }

    /// Goes on by some blocks.
    pub async fn step(&mut self) -> Result<Step> {
        let before = self.cursor.clone();
        let step = self.advance().await;
        if step.is_err() {
            self.cursor = before;
        }
        step
    }

    async fn advance(&mut self) -> Result<Step> {
        let undone = self.roll_back().await?;
        let mut height = Self::height_of(&self.provider).await?;
        if let Some(second) = &self.second {
            height = height.min(Self::height_of(second).await?);
        }
        let mut step = Step { undone, ..Step::default() };
        // Until so many blocks are there, nothing is deep enough.
        let target = height.checked_sub(self.confirmations).filter(|&target| target >= self.cursor.next);
        let Some(target) = target else {
            step.done = true;
            return Ok(step);
        };
        let behind = target - self.cursor.next + 1;
        if behind > 2 * REMEMBERED as u64 {
            self.leap(self.cursor.next + SPAN.min(behind - REMEMBERED as u64) - 1, &mut step).await?;
            return Ok(step);
        }
        for number in self.cursor.next..=target {
            if !self.walk(number, &mut step).await? {
                return Ok(step);
            }
        }
        step.done = true;
        Ok(step)
    }

    /// All events up to now, or an error and none of them lost; for those who do not keep steps apart.
    pub async fn catch_up(&mut self) -> Result<Step> {
        let before = self.cursor.clone();
        let all = self.all_steps().await;
        if all.is_err() {
            self.cursor = before;
        }
        all
    }

    async fn all_steps(&mut self) -> Result<Step> {
        let mut all = Step::default();
        loop {
            let step = self.step().await?;
            if let Some(from) = step.undone_from() {
                // What came and went within this call was never seen by anybody.
                all.events.retain(|located| located.block < from);
            }
            for undone in step.undone {
                if all.undone.iter().all(|&(number, _)| number != undone.0) {
                    all.undone.push(undone);
                }
            }
            all.events.extend(step.events);
            if step.done {
                all.undone.sort_unstable();
                all.done = true;
                return Ok(all);
            }
        }
    }

    /// One block; false if the chain has just changed below it.
    async fn walk(&mut self, number: u64, step: &mut Step) -> Result<bool> {
        let Some(header) = Self::header(&self.provider, number).await? else { return Ok(false) };
        if self.cursor.recent.last().is_some_and(|&(last, hash)| last + 1 == number && hash != header.parent_hash) {
            return Ok(false);
        }
        self.compare(&header).await?;
        let logs = self.logs(Filter::new().at_block_hash(header.hash)).await?;
        for log in logs {
            let found = self.locate(&log, Some(&header)).await?;
            step.events.extend(found);
        }
        self.cursor.remember(number, header.hash);
        Ok(true)
    }

    /// Many blocks, that are far behind the last one.
    async fn leap(&mut self, last: u64, step: &mut Step) -> Result<()> {
        let missing = || Error::Missing { what: "following the chain", missing: format!("block {last}") };
        let header = Self::header(&self.provider, last).await?.ok_or_else(missing)?;
        self.compare(&header).await?;
        let logs = self.logs(Filter::new().from_block(self.cursor.next).to_block(last)).await?;
        for log in logs {
            let found = self.locate(&log, None).await?;
            step.events.extend(found);
        }
        self.cursor.remember(last, header.hash);
        Ok(())
    }

    async fn compare(&self, header: &Header) -> Result<()> {
        let Some(second) = &self.second else { return Ok(()) };
        let missing = || Error::Missing { what: "the second endpoint", missing: format!("block {}", header.number) };
        let other = Self::header(second, header.number).await?.ok_or_else(missing)?;
        if other.hash != header.hash {
            return Err(Error::Contradiction { block: header.number, first: header.hash, second: other.hash });
        }
        Ok(())
    }

    /// Logs of the contracts, in order; the same from both endpoints.
    async fn logs(&self, filter: Filter) -> Result<Vec<Log>> {
        let Deployment { inbox, rollup, escape, .. } = self.cursor.deployment;
        let mut addresses = vec![inbox, rollup, escape];
        addresses.sort_unstable();
        addresses.dedup();
        let filter = filter.address(addresses);
        let mut logs = self.provider.get_logs(&filter).await.map_err(Error::endpoint("events"))?;
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        if let Some(second) = &self.second {
            let mut others =
                second.get_logs(&filter).await.map_err(Error::endpoint("events of the second endpoint"))?;
            others.sort_by_key(|log| (log.block_number, log.log_index));
            let sum = |logs: &[Log]| {
                let mut bytes = Vec::new();
                for log in logs {
                    bytes.extend(log.block_hash.unwrap_or_default());
                    bytes.extend(log.transaction_hash.unwrap_or_default());
                    bytes.extend(log.address());
                    log.topics().iter().for_each(|topic| bytes.extend(topic));
                    bytes.extend(keccak256(&log.data().data));
                }
                keccak256(bytes)
            };
            if sum(&logs) != sum(&others) {
                let differ = (0..).find(|&at| logs.get(at) != others.get(at)).unwrap_or_default();
                let at = logs.get(differ).or(others.get(differ)).and_then(|log| log.block_number);
                return Err(Error::Contradiction {
                    block: at.unwrap_or(self.cursor.next),
                    first: sum(&logs),
                    second: sum(&others),
                });
            }
        }
        Ok(logs)
    }

    /// An event of a log, if it is one that matters.
    async fn locate(&self, log: &Log, header: Option<&Header>) -> Result<Option<Located>> {
        let (Some(block), Some(hash), Some(transaction), Some(index)) =
            (log.block_number, log.block_hash, log.transaction_hash, log.log_index)
        else {
            return Err(Error::Missing { what: "an event", missing: "place in a block".into() });
        };
        if header.is_some_and(|header| header.hash != hash) || block < self.cursor.next {
            return Err(Error::Event { block, reason: "it is of a block that was not asked for".into() });
        }
        let unreadable = |reason: String| Error::Event { block, reason };
        let small = |word: U256| u64::try_from(word).map_err(|_| unreadable(format!("{word} is too large")));
        let bad = |error: alloy::sol_types::Error| unreadable(error.to_string());
        let Deployment { inbox, rollup, escape, .. } = self.cursor.deployment;
        let (from, topic) = (log.address(), log.topic0().copied().unwrap_or_default());
        let event = match topic {
            IInbox::Appended::SIGNATURE_HASH if from == inbox => {
                let event = IInbox::Appended::decode_log(&log.inner).map_err(bad)?;
                let blocks = event.blocks.iter().map(|&word| digest(word)).collect();
                Event::Appended { index: small(event.index)?, account: small(event.account)?, blocks }
            }
            IRollup::Committed::SIGNATURE_HASH if from == rollup => {
                let event = IRollup::Committed::decode_log(&log.inner).map_err(bad)?;
                let timestamp = header.map(|header| header.timestamp).or(log.block_timestamp);
                let words = self.words(&event.data, block, timestamp, transaction).await?;
                Event::Committed(Commit {
                    batch: small(event.batch)?,
                    chain: event.chain,
                    commitment: event.commitment,
                    digest: event.digest,
                    time: event.time,
                    blobs: small(event.blobs)?,
                    words,
                })
            }
            IRollup::Final::SIGNATURE_HASH if from == rollup => {
                let event = IRollup::Final::decode_log(&log.inner).map_err(bad)?;
                Event::Final {
                    batch: small(event.batch)?,
                    root: event.root,
                    inbox_consumed: small(event.inboxConsumed)?,
                    payouts: small(event.payouts)?,
                }
            }
            IRollup::Removed::SIGNATURE_HASH if from == rollup => {
                let event = IRollup::Removed::decode_log(&log.inner).map_err(bad)?;
                Event::Removed { first: small(event.first)?, last: small(event.last)? }
            }
            IRollup::Paid::SIGNATURE_HASH if from == rollup => {
                let event = IRollup::Paid::decode_log(&log.inner).map_err(bad)?;
                Event::Paid { index: small(event.index)?, account: small(event.account)?, amount: event.amount }
            }
            IRollup::Frozen::SIGNATURE_HASH if from == rollup => {
                let event = IRollup::Frozen::decode_log(&log.inner).map_err(bad)?;
                Event::Frozen { batch: small(event.batch)?, root: event.root }
            }
            IVerifiers::VerifierSet::SIGNATURE_HASH if from == rollup => {
                let event = IVerifiers::VerifierSet::decode_log(&log.inner).map_err(bad)?;
                Event::VerifierSet { verifier: event.verifier, segment_key: event.segmentKey }
            }
            IEscape::DebtShown::SIGNATURE_HASH if from == escape => {
                let event = IEscape::DebtShown::decode_log(&log.inner).map_err(bad)?;
                Event::DebtShown { account: small(event.account)?, amount: event.amount }
            }
            IEscape::Exited::SIGNATURE_HASH if from == escape => {
                let event = IEscape::Exited::decode_log(&log.inner).map_err(bad)?;
                Event::Exited {
                    account: small(event.account)?,
                    owner: event.owner,
                    equity: event.equity,
                    paid: event.paid,
                }
            }
            // Whatever else the contracts have to say.
            _ => return Ok(None),
        };
        Ok(Some(Located { block, hash, transaction, log: index, event }))
    }

    /// What a commit published: from its transaction's calldata, or from its blobs. Both are held against the commitment.
    async fn words(
        &self,
        event: &IRollup::Committed,
        block: u64,
        timestamp: Option<u64>,
        hash: B256,
    ) -> Result<std::result::Result<Vec<Word>, String>> {
        let found = self.provider.get_transaction_by_hash(hash).await.map_err(Error::endpoint("a transaction"))?;
        let missing = || Error::Missing { what: "data of a batch", missing: format!("transaction {hash}") };
        let transaction = found.ok_or_else(missing)?.inner;
        let unreadable = |reason: &str| Error::Event { block, reason: reason.into() };
        if event.blobs.is_zero() {
            let Ok(call) = IRollup::commitCall::abi_decode(transaction.input()) else {
                return Ok(Err(
                    "it was not committed by the transaction itself: whoever wants its data must trace it".into()
                ));
            };
            if keccak256(&call.words) != event.commitment {
                return Err(unreadable("the endpoint gave other calldata than was committed"));
            }
            return Ok(words_from_bytes(&call.words).ok_or_else(|| "they are not whole words".into()));
        }
        let hashes = transaction.blob_versioned_hashes().unwrap_or_default().to_vec();
        if blob_commitment(&hashes) != event.commitment {
            return Err(unreadable("the endpoint gave other versioned hashes than were committed"));
        }
        let timestamp = match timestamp {
            Some(timestamp) => timestamp,
            None => {
                let header = Self::header(&self.provider, block).await?;
                header.ok_or_else(|| unreadable("the block is gone"))?.timestamp
            }
        };
        let place = Place { block, timestamp, transaction: hash, hashes };
        let blobs = fetch(self.blobs.as_ref(), &place).await?;
        Ok(words_from_blobs(&blobs).map_err(|error| error.to_string()))
    }
}
