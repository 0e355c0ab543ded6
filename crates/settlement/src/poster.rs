//! Who commits batches and posts proofs, in order, whatever happens to it or to the chain.
//!
//! What is to be done next is read from the chain at every step (the last committed and the last final batch), so there is nothing that a crash or a reorganisation could leave
//! behind. On disk are the batches and proofs that were given, until they are buried deep, and the transaction that is under way: it is written down before it is sent, under a nonce
//! that only it (or what replaces it) can use.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use alloy::{
    eips::{
        BlockId, BlockNumberOrTag,
        eip2718::Encodable2718,
        eip4844::{Blob, DATA_GAS_PER_BLOB},
        eip7594::BlobTransactionSidecarVariant,
    },
    network::TransactionBuilder,
    primitives::{B256, Bytes, U256},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolEvent,
};
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Fees, Publication, Result,
    blobs::{COEFFICIENTS, blobs_from_words, evaluate, sidecar},
    client::request,
    contracts::{IRollup, explain, small},
    embedded::TRANSACTION_GAS_MAX,
    journal::{self, Finality},
    publication::{WORD_BYTES, blob_commitment, digest_of, point},
};

/// Gas of a commit beside its data: storage, three compressions, the event.
const COMMIT_GAS: u128 = 150_000;
/// Gas of one more word, evaluated by the contract.
const WORD_GAS: u128 = 90;
/// Gas of one more blob: the precompile, and its arguments.
const BLOB_GAS: u128 = 62_000;
/// Blobs of a transaction, at most (EIP-7594).
const BLOBS_MAX: usize = 6;
/// How much more what replaces a transaction has to offer, in per mille; and where there are blobs.
const BUMP: u128 = 1_125;
const BLOB_BUMP: u128 = 2_000;
/// Nonces whose fees are remembered: what a reorganisation brings back waits under them.
const FEES_REMEMBERED: usize = 256;

/// In what data travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Whatever costs less now.
    Cheapest,
    Calldata,
    Blobs,
}

/// Where a test has the poster stop, as if it were killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    Chosen,
    Signed,
    TransactionWritten,
    JournalWritten,
    Sent,
    Mined,
    JournalCleared,
    Burying,
}

impl CrashPoint {
    pub const ALL: [Self; 8] = [
        Self::Chosen,
        Self::Signed,
        Self::TransactionWritten,
        Self::JournalWritten,
        Self::Sent,
        Self::Mined,
        Self::JournalCleared,
        Self::Burying,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Signed => "signed",
            Self::TransactionWritten => "transaction written",
            Self::JournalWritten => "journal written",
            Self::Sent => "sent",
            Self::Mined => "mined",
            Self::JournalCleared => "journal cleared",
            Self::Burying => "burying",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    pub carrier: Carrier,
    /// Blocks after which a transaction that is not mined is replaced by one that pays more.
    pub patience: u64,
    /// Blocks after which what was mined is not expected to be undone.
    pub depth: u64,
    /// Wei per unit of gas, and of blob gas, that is never exceeded, however long a transaction waits.
    pub fee_max: u128,
    pub crash: Option<CrashPoint>,
}

impl Default for Options {
    fn default() -> Self {
        Self { carrier: Carrier::Cheapest, patience: 5, depth: 96, fee_max: 2_000_000_000_000, crash: None }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    Commit(u64),
    /// Up to this batch.
    Finalise(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    task: Task,
    hash: B256,
    fees: Fees,
    blobs: bool,
    /// The last block when it was sent.
    height: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Journal {
    /// The transaction under way, and those that it replaced: all of one nonce.
    nonce: u64,
    attempts: Vec<Attempt>,
    /// What was offered under each nonce, lately, and whether with blobs.
    offered: BTreeMap<u64, (Fees, bool)>,
    /// Batches that go in blobs (or do not). A batch's digest, and with it its proof, depends on this: it is decided once.
    carried: BTreeMap<u64, bool>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to do.
    Idle,
    Sent {
        task: Task,
        hash: B256,
        blobs: bool,
    },
    /// The transaction under way is not mined yet.
    Waiting {
        task: Task,
    },
    /// It was mined, and did what it should.
    Mined {
        task: Task,
        hash: B256,
        block: u64,
        gas: u64,
    },
    /// It would cost more than it may: it waits as it is, or is not sent yet.
    TooDear {
        task: Task,
        fees: Fees,
    },
    /// Its nonce was used by another transaction of the same key, or somebody else has done it.
    Displaced {
        task: Task,
    },
}

/// Words that a batch can have at most, whatever they are, so that this carrier can take them in one transaction.
pub const fn words_max(carrier: Carrier) -> usize {
    match carrier {
        Carrier::Calldata => (TRANSACTION_GAS_MAX as usize - 21_000) / (40 * WORD_BYTES),
        Carrier::Blobs | Carrier::Cheapest => BLOBS_MAX * COEFFICIENTS,
    }
}

/// What a commit costs in wei, by its carrier; nothing where it does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    pub calldata: Option<u128>,
    pub blobs: Option<u128>,
}

impl Prices {
    pub fn of(publication: &Publication, base_fee: u128, blob_fee: u128) -> Self {
        let words = publication.words.len() as u128;
        let zeros = publication.words.as_flattened().iter().filter(|&&byte| byte == 0).count() as u128;
        let others = words * WORD_BYTES as u128 - zeros;
        let execution = 21_000 + COMMIT_GAS + WORD_GAS * words + 4 * zeros + 16 * others;
        let gas = execution.max(21_000 + 10 * zeros + 40 * others);
        let calldata = (gas <= u128::from(TRANSACTION_GAS_MAX)).then(|| gas.saturating_mul(base_fee));
        let count = publication.words.len().div_ceil(COEFFICIENTS);
        let carried = count as u128;
        let gas = 21_000 + COMMIT_GAS + BLOB_GAS * carried;
        let data = carried * u128::from(DATA_GAS_PER_BLOB);
        let blobs = (1..=BLOBS_MAX)
            .contains(&count)
            .then(|| gas.saturating_mul(base_fee).saturating_add(data.saturating_mul(blob_fee)));
        Self { calldata, blobs }
    }

    fn choose(self, carrier: Carrier) -> Option<Carrier> {
        let cheaper = match (self.calldata, self.blobs) {
            (Some(calldata), Some(blobs)) if blobs < calldata => Carrier::Blobs,
            (Some(_), _) => Carrier::Calldata,
            (None, Some(_)) => Carrier::Blobs,
            (None, None) => return None,
        };
        let fits = match carrier {
            Carrier::Cheapest => return Some(cheaper),
            Carrier::Calldata => self.calldata.is_some(),
            Carrier::Blobs => self.blobs.is_some(),
        };
        fits.then_some(carrier)
    }
}

pub struct Poster {
    client: Client,
    folder: PathBuf,
    options: Options,
    journal: Journal,
    /// What was last mined, if it failed there.
    failed: Option<Task>,
}

/// A transaction that is not signed yet.
struct Prepared {
    what: &'static str,
    request: TransactionRequest,
    blobs: Vec<Blob>,
}

const fn named(task: Task) -> &'static str {
    match task {
        Task::Commit(_) => "the commit of a batch",
        Task::Finalise(_) => "the finality of batches",
    }
}

/// Some more than before, or what is offered now, if that is more still.
fn bumped(now: Fees, before: Option<(Fees, bool)>, blobs: bool) -> Fees {
    let Some((old, had_blobs)) = before else { return now };
    let factor = if blobs || had_blobs { BLOB_BUMP } else { BUMP };
    let more = |now: u128, old: u128| now.max(old.saturating_mul(factor).div_ceil(1_000).saturating_add(1));
    Fees { most: more(now.most, old.most), tip: more(now.tip, old.tip), blob: more(now.blob, old.blob) }
}

impl Poster {
    /// A poster whose files are in this folder; the client's key is the operator's, and nobody else sends transactions with it.
    pub fn open(client: Client, folder: &Path, options: Options) -> Result<Self> {
        for folder in [folder.to_owned(), folder.join("batches"), folder.join("proofs"), folder.join("transactions")] {
            fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        let path = folder.join("journal.json");
        let journal = match journal::read(&path)? {
            None => Journal::default(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| Error::Damaged { path, reason: error.to_string() })?
            }
        };
        let poster = Self { client, folder: folder.to_owned(), options, journal, failed: None };
        poster.sweep()?;
        Ok(poster)
    }

    /// Removes transactions that were written down, but are not under way.
    fn sweep(&self) -> Result<()> {
        let folder = self.folder.join("transactions");
        let entries = fs::read_dir(&folder).map_err(Error::file(&folder))?;
        let kept: Vec<PathBuf> =
            self.journal.attempts.iter().map(|attempt| self.transaction_path(attempt.hash)).collect();
        for entry in entries.flatten().filter(|entry| !kept.contains(&entry.path())) {
            journal::remove(&entry.path())?;
        }
        Ok(())
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether a batch goes in blobs, once that is decided; until it is deep in the chain.
    pub fn carried_in_blobs(&self, batch: u64) -> Option<bool> {
        self.journal.carried.get(&batch).copied()
    }

    /// Stops at a point from now on.
    pub fn crash_at(&mut self, point: Option<CrashPoint>) {
        self.options.crash = point;
    }

    fn passed(&self, point: CrashPoint) -> Result<()> {
        if self.options.crash == Some(point) {
            return Err(Error::Crash(point.name()));
        }
        Ok(())
    }

    fn batch_path(&self, batch: u64) -> PathBuf {
        self.folder.join("batches").join(format!("{batch}.bin"))
    }

    fn proof_path(&self, last: u64) -> PathBuf {
        self.folder.join("proofs").join(format!("{last}.bin"))
    }

    fn transaction_path(&self, hash: B256) -> PathBuf {
        self.folder.join("transactions").join(format!("{hash}.bin"))
    }

    /// Numbers of the files of a folder.
    fn numbers(&self, name: &str) -> Result<Vec<u64>> {
        let folder = self.folder.join(name);
        let entries = fs::read_dir(&folder).map_err(Error::file(&folder))?;
        let stem = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".bin")?.parse().ok();
        let mut numbers: Vec<u64> = entries.flatten().filter_map(stem).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Batches that are kept, because they are not committed, or not deep enough.
    pub fn kept(&self) -> Result<Vec<u64>> {
        self.numbers("batches")
    }

    /// The first and the last batch of each proof that is kept, ascending.
    pub fn proofs_kept(&self) -> Result<Vec<(u64, u64)>> {
        let read = |last| {
            let path = self.proof_path(last);
            let Some(bytes) = journal::read(&path)? else { return Ok(None) };
            let finality = journal::decode_finality(&bytes).map_err(|reason| Error::Damaged { path, reason })?;
            Ok(Some((finality.first, finality.last)))
        };
        self.numbers("proofs")?.into_iter().filter_map(|last| read(last).transpose()).collect()
    }

    /// Drops the proofs that are kept: others have become final in their place.
    pub fn forget_proofs(&self) -> Result<()> {
        self.numbers("proofs")?.into_iter().rev().try_for_each(|last| journal::remove(&self.proof_path(last)))
    }

    /// Takes charge of a batch: when this returns, it will be committed, also after a crash.
    pub fn commit(&self, publication: &Publication) -> Result<()> {
        if digest_of(&publication.chain).is_none() {
            return Err(Error::NoDigest { batch: publication.batch, got: publication.chain });
        }
        if let Some(&last) = self.numbers("batches")?.last()
            && publication.batch > last + 1
        {
            return Err(Error::Order { expected: last + 1, got: publication.batch });
        }
        journal::write(&self.batch_path(publication.batch), &journal::encode_publication(publication))
    }

    /// Takes charge of a proof. It begins behind the last one that was taken, or behind the last final batch.
    pub fn finalise(&self, finality: &Finality) -> Result<()> {
        journal::write(&self.proof_path(finality.last), &journal::encode_finality(finality))
    }

    /// Forgets the batches from this one on, and the proofs that reach there, so that what is removed from the chain is not committed again: others take their numbers. (A commit that
    /// is under way may still be mined: whoever removes looks after that.)
    ///
    /// # Errors
    ///
    /// If the batch is final.
    pub async fn discard(&mut self, from: u64) -> Result<()> {
        let (_, finished) = self.state(BlockId::latest()).await?;
        if from <= finished {
            return Err(Error::Order { expected: finished + 1, got: from });
        }
        // The last ones first: what a crash leaves is without a gap.
        for batch in self.kept()?.into_iter().rev().filter(|&batch| batch >= from) {
            journal::remove(&self.batch_path(batch))?;
            self.journal.carried.remove(&batch);
        }
        for last in self.numbers("proofs")?.into_iter().filter(|&last| last >= from) {
            journal::remove(&self.proof_path(last))?;
        }
        self.save()
    }

    fn publication(&self, batch: u64) -> Result<Option<Publication>> {
        let path = self.batch_path(batch);
        let Some(bytes) = journal::read(&path)? else { return Ok(None) };
        let publication = journal::decode_publication(&bytes);
        let whole =
            publication.and_then(|of| digest_of(&of.chain).map(|_| of).ok_or_else(|| "its chain is no digest".into()));
        whole.map(Some).map_err(|reason| Error::Damaged { path, reason })
    }

    fn save(&self) -> Result<()> {
        let bytes = serde_json::to_vec(&self.journal).expect("a journal serialises");
        journal::write(&self.folder.join("journal.json"), &bytes)
    }

    async fn number(&self, what: &'static str, block: BlockId, call: TransactionRequest) -> Result<u64> {
        let answer = self.client.wallet.provider.call(call).block(block).await.map_err(Error::endpoint(what))?;
        let word = U256::try_from_be_slice(&answer).filter(|_| answer.len() == 32);
        small(what, word.ok_or_else(|| Error::Missing { what, missing: "rollup at its address".into() })?)
    }

    /// The last committed and the last final batch.
    async fn state(&self, block: BlockId) -> Result<(u64, u64)> {
        let rollup = self.client.at.rollup;
        let committed = request(rollup, &IRollup::batchCommittedCall {});
        let finished = request(rollup, &IRollup::batchFinalCall {});
        let committed = self.number("the last committed batch", block, committed).await?;
        Ok((committed, self.number("the last final batch", block, finished).await?))
    }

    /// What can be done now: a proof, and a batch. A proof comes first, unless it has just failed in its block.
    async fn tasks(&self) -> Result<Vec<Task>> {
        let (committed, finished) = self.state(BlockId::latest()).await?;
        let proofs = self.numbers("proofs")?;
        // Each begins where the one before it ends.
        let proof = proofs.into_iter().find(|&last| last > finished && last <= committed).map(Task::Finalise);
        let next = committed + 1;
        let batch = self.batch_path(next).exists().then_some(Task::Commit(next));
        let mut tasks: Vec<Task> = proof.into_iter().chain(batch).collect();
        if tasks.first() == self.failed.as_ref() {
            tasks.reverse();
        }
        Ok(tasks)
    }

    /// Does what is next to be done, and does not wait for anything.
    pub async fn step(&mut self) -> Result<Progress> {
        let height = self.client.wallet.provider.get_block_number().await.map_err(Error::endpoint("the last block"))?;
        let nonce = self.client.wallet.nonce(false).await?;
        if !self.journal.attempts.is_empty() {
            if nonce > self.journal.nonce {
                return self.settle().await;
            }
            if nonce == self.journal.nonce {
                return self.push(height).await;
            }
            // A reorganisation took back transactions before this one: what comes next is sent anew from there on.
            self.forget()?;
        }
        self.bury(height).await?;
        let tasks = self.tasks().await?;
        self.send_first(&tasks, nonce, height).await
    }

    /// Sends the first of these that the contract takes: a proof that it refuses keeps no batch from being committed.
    async fn send_first(&mut self, tasks: &[Task], nonce: u64, height: u64) -> Result<Progress> {
        let mut refused = None;
        for &task in tasks {
            match self.send(task, nonce, height).await {
                Err(error @ Error::Reverted { .. }) => refused = refused.or(Some(error)),
                done => return done,
            }
        }
        refused.map_or(Ok(Progress::Idle), Err)
    }

    /// Nothing is under way any more.
    fn forget(&mut self) -> Result<()> {
        self.journal.attempts.clear();
        self.save()?;
        self.passed(CrashPoint::JournalCleared)?;
        self.sweep()
    }

    /// The transaction under way has no longer the next nonce: it was mined, or one that it replaced.
    async fn settle(&mut self) -> Result<Progress> {
        self.passed(CrashPoint::Mined)?;
        let attempts = self.journal.attempts.clone();
        let mut progress = Progress::Displaced { task: attempts[attempts.len() - 1].task };
        let mut failure = None;
        for attempt in &attempts {
            let receipt = self.client.wallet.provider.get_transaction_receipt(attempt.hash).await;
            let Some(receipt) = receipt.map_err(Error::endpoint("a receipt"))? else { continue };
            let block = receipt.block_number.unwrap_or_default();
            if receipt.status() {
                progress = Progress::Mined { task: attempt.task, hash: attempt.hash, block, gas: receipt.gas_used };
            } else {
                failure = Some(attempt.task);
            }
        }
        self.forget()?;
        self.failed = failure;
        match failure {
            // Whether it is worth another attempt, the next step finds out before it pays for it.
            Some(task) => Err(Error::Reverted { what: named(task), reason: "it failed in its block".into() }),
            None => Ok(progress),
        }
    }

    /// The transaction under way is not mined.
    async fn push(&mut self, height: u64) -> Result<Progress> {
        let last = self.journal.attempts[self.journal.attempts.len() - 1].clone();
        let tasks = self.tasks().await?;
        let wanted = tasks.contains(&last.task);
        if tasks.is_empty() {
            // Somebody else has done it. Should it be mined all the same, it changes nothing.
            self.forget()?;
            return Ok(Progress::Displaced { task: last.task });
        }
        // After a reorganisation, what waits may no longer be what is next; and the chain may be shorter than it was.
        let late = height.saturating_sub(last.height) >= self.options.patience;
        if late || !wanted {
            return self.send_first(&tasks, self.journal.nonce, height).await;
        }
        let found = self.client.wallet.provider.get_transaction_by_hash(last.hash).await;
        if found.map_err(Error::endpoint("a transaction"))?.is_none()
            && wanted
            && let Some(raw) = journal::read(&self.transaction_path(last.hash))?
        {
            self.hand_in(last.task, &raw).await?;
            self.passed(CrashPoint::Sent)?;
        }
        Ok(Progress::Waiting { task: last.task })
    }

    /// False if the endpoint wants more for this nonce.
    async fn hand_in(&self, task: Task, raw: &[u8]) -> Result<bool> {
        match self.client.wallet.hand_in(named(task), raw).await {
            Ok(()) => Ok(true),
            Err(Error::Endpoint { source, .. })
                if source.as_error_resp().is_some_and(|error| error.message.contains("underpriced")) =>
            {
                Ok(false)
            }
            // It has just been mined: the next step sees that.
            Err(Error::Endpoint { source, .. })
                if source.as_error_resp().is_some_and(|error| error.message.contains("nonce too low")) =>
            {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, task: Task, now: Fees) -> Result<Option<Prepared>> {
        let (what, rollup) = (named(task), self.client.at.rollup);
        let publication = match task {
            Task::Finalise(last) => {
                let path = self.proof_path(last);
                let Some(bytes) = journal::read(&path)? else { return Ok(None) };
                let Finality { proof, opening, .. } =
                    journal::decode_finality(&bytes).map_err(|reason| Error::Damaged { path, reason })?;
                let call = IRollup::finaliseCall { proof: proof.into(), opening: opening.into() };
                return Ok(Some(Prepared { what, request: request(rollup, &call), blobs: Vec::new() }));
            }
            Task::Commit(batch) => match self.publication(batch)? {
                Some(publication) => publication,
                None => return Ok(None),
            },
        };
        let prices = Prices::of(&publication, now.most, now.blob);
        let carrier = match self.journal.carried.get(&publication.batch) {
            Some(true) => Carrier::Blobs,
            Some(false) => Carrier::Calldata,
            None => self.options.carrier,
        };
        let too_much = Error::TooMuchGas {
            what,
            got: 21_000 + 40 * (publication.words.len() * WORD_BYTES) as u64,
            most: TRANSACTION_GAS_MAX,
        };
        let (batch, chain, time) = (U256::from(publication.batch), publication.chain, publication.time);
        match prices.choose(carrier).ok_or(too_much)? {
            Carrier::Blobs => {
                let blobs = blobs_from_words(&publication.words);
                let call = IRollup::commitBlobsCall { batch, chain, time, blobs: Vec::new() };
                Ok(Some(Prepared { what, request: request(rollup, &call), blobs }))
            }
            _ => {
                let call = IRollup::commitCall { batch, chain, time, words: publication.bytes() };
                Ok(Some(Prepared { what, request: request(rollup, &call), blobs: Vec::new() }))
            }
        }
    }

    /// Signs, writes down, sends.
    async fn send(&mut self, task: Task, nonce: u64, height: u64) -> Result<Progress> {
        self.passed(CrashPoint::Chosen)?;
        let now = self.client.wallet.fees().await?;
        let Some(Prepared { what, mut request, blobs }) = self.prepare(task, now).await? else {
            return Ok(Progress::Idle);
        };
        let with_blobs = !blobs.is_empty();
        let mut carried = None;
        if let Task::Commit(batch) = task
            && with_blobs
        {
            let carried = carried.insert(sidecar(blobs)?);
            let hashes: Vec<B256> = carried.versioned_hashes().collect();
            let publication = self.publication(batch)?.expect("it was read a moment ago");
            let z = point(&blob_commitment(&hashes), &publication.chain).expect("it was a digest when it was taken");
            let blobs = evaluate(&carried.blobs, &carried.commitments, z)?
                .into_iter()
                .map(|one| IRollup::Blob {
                    y: one.y,
                    commitment: Bytes::copy_from_slice(one.commitment.as_slice()),
                    proof: Bytes::copy_from_slice(one.proof.as_slice()),
                })
                .collect();
            let (batch, chain, time) = (U256::from(batch), publication.chain, publication.time);
            let call = IRollup::commitBlobsCall { batch, chain, time, blobs };
            request = crate::client::request(self.client.at.rollup, &call);
            request.blob_versioned_hashes = Some(hashes);
            request.max_fee_per_blob_gas = Some(now.blob);
        }
        let gas = self.client.wallet.gas(what, &request).await?;
        let mut before = self.journal.offered.get(&nonce).copied();
        // What waits under this nonce may be of another time, and offer more than is remembered.
        for _ in 0..8 {
            let fees = bumped(now, before, with_blobs);
            if fees.most > self.options.fee_max || (with_blobs && fees.blob > self.options.fee_max) {
                return Ok(Progress::TooDear { task, fees });
            }
            let mut request = request.clone().nonce(nonce).gas_limit(gas);
            request.set_max_fee_per_gas(fees.most);
            request.set_max_priority_fee_per_gas(fees.tip.min(fees.most));
            if let Some(carried) = &carried {
                request.max_fee_per_blob_gas = Some(fees.blob);
                request.sidecar = Some(BlobTransactionSidecarVariant::Eip7594(carried.clone()));
            }
            let signed = self.client.wallet.sign(what, request).await?;
            self.passed(CrashPoint::Signed)?;
            let (hash, raw) = (*signed.tx_hash(), signed.encoded_2718());
            journal::write(&self.transaction_path(hash), &raw)?;
            self.passed(CrashPoint::TransactionWritten)?;
            if self.journal.nonce != nonce {
                self.journal.attempts.clear();
            }
            if let Task::Commit(batch) = task {
                self.journal.carried.insert(batch, with_blobs);
            }
            self.journal.nonce = nonce;
            self.journal.attempts.push(Attempt { task, hash, fees, blobs: with_blobs, height });
            self.journal.offered.insert(nonce, (fees, with_blobs));
            while self.journal.offered.len() > FEES_REMEMBERED {
                self.journal.offered.pop_first();
            }
            self.save()?;
            self.passed(CrashPoint::JournalWritten)?;
            if self.hand_in(task, &raw).await? {
                self.passed(CrashPoint::Sent)?;
                return Ok(Progress::Sent { task, hash, blobs: with_blobs });
            }
            before = Some((fees, true));
        }
        Ok(Progress::Waiting { task })
    }

    /// Forgets what is so deep in the chain that it stays there; before, looks that it is ours.
    async fn bury(&mut self, height: u64) -> Result<()> {
        let Some(deep) = height.checked_sub(self.options.depth).filter(|&deep| deep >= self.client.at.block) else {
            return Ok(());
        };
        let kept = self.kept()?;
        let proofs = self.numbers("proofs")?;
        if kept.is_empty() && proofs.is_empty() {
            return Ok(());
        }
        let (_, finished) = self.state(BlockId::Number(BlockNumberOrTag::Number(deep))).await?;
        // Batches that are not final can still be removed by the operator, and are committed again then.
        for batch in kept.into_iter().filter(|&batch| batch <= finished) {
            self.assert_ours(batch, deep).await?;
            self.passed(CrashPoint::Burying)?;
            journal::remove(&self.batch_path(batch))?;
            self.journal.carried.remove(&batch);
        }
        for last in proofs.into_iter().filter(|&last| last <= finished) {
            journal::remove(&self.proof_path(last))?;
        }
        Ok(())
    }

    async fn assert_ours(&self, batch: u64, deep: u64) -> Result<()> {
        let Some(publication) = self.publication(batch)? else { return Ok(()) };
        let filter = Filter::new()
            .address(self.client.at.rollup)
            .event_signature(IRollup::Committed::SIGNATURE_HASH)
            .topic1(B256::from(U256::from(batch)))
            .from_block(self.client.at.block)
            .to_block(deep);
        let logs = self.client.wallet.provider.get_logs(&filter).await.map_err(Error::endpoint("commits"))?;
        let Some(log) = logs.last() else { return Ok(()) };
        let unreadable = |error: alloy::sol_types::Error| Error::Event { block: deep, reason: error.to_string() };
        let event = IRollup::Committed::decode_log(&log.inner).map_err(unreadable)?;
        let expected = publication.chain;
        if event.chain != expected {
            return Err(Error::Foreign { batch, expected, got: event.chain });
        }
        Ok(())
    }

    /// Steps until there is nothing more to do, waiting where something must be waited for.
    pub async fn run(&mut self) -> Result<()> {
        loop {
            match self.step().await? {
                Progress::Idle => return Ok(()),
                Progress::Mined { .. } | Progress::Displaced { .. } => {}
                Progress::Sent { .. } | Progress::Waiting { .. } | Progress::TooDear { .. } => {
                    tokio::time::sleep(self.client.wallet.poll).await
                }
            }
        }
    }

    /// A reverted transaction's reason in words.
    pub fn reason(data: &[u8]) -> String {
        explain(data)
    }
}
