//! The loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{B256, U256};
use holdfast_exchange::{Engine, Event as EngineEvent, Refusal, sequencer::Sequencer};
use holdfast_protocol::{
    AccountId, Batch, Command, Genesis, Instruction, KeyIndex, Outcome, Request, SecretKey, Time, TimeMs, Withdraw,
    authority::Session,
    batch::BATCH_NUMBER_MAX,
    cells::blocks,
    command::INBOX,
    limits,
    publication::{WORD_BYTES, digest_word},
};
use holdfast_settlement::{
    Client, Follower, Poster, Publication,
    contracts::IRollup,
    follower::{self, Event as L1, Located},
    poster::{self, Carrier, Progress, Task},
    publication::{digest_of, forced, point},
};

use crate::{
    Asked, Committed, Error, Event, Orders, Prove, Refused, Result,
    records::{Entry, Records},
    worker::{Given, Worker},
};

/// Closed batches that may wait for Ethereum; then no more requests are taken.
const UNPOSTED_MAX: u64 = 64;
/// Payouts of one transaction: some 100,000 gas each at first.
const PAYOUTS_MAX: usize = 64;
/// Transactions of the poster in one step, on a chain that mines at once.
const POSTS_MAX: usize = 256;
/// How long Ethereum lets an entry of the inbox wait before a batch must have it, and how long after its end a batch can be committed.
const DAY_SECONDS: u64 = 86_400;
/// Words of the longest instruction: a key's registration.
const INSTRUCTION_WORDS_MAX: usize = 3;
/// The session key with which the operator signs the time.
const TIME_KEY: u32 = 0;
const PAYOUT_PLACE: u32 = limits::PAYOUTS;

#[derive(Debug, Clone)]
pub struct Options {
    /// A batch is closed when it has so many commands,
    pub batch_commands: usize,
    /// or when it was open for so long.
    pub batch_age: Duration,
    /// Units below which no signed withdrawal is taken: each one that becomes final costs whoever pays it, and those who are paid after it.
    pub withdraw_min: u128,
    pub carrier: Carrier,
    pub poster: poster::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_commands: 1 << 14,
            batch_age: Duration::from_secs(60),
            withdraw_min: 1,
            carrier: Carrier::Cheapest,
            poster: poster::Options::default(),
        }
    }
}

/// A batch that is not final yet, or was not when this operator started.
struct Closed {
    batch: Arc<Batch>,
    root: holdfast_crypto::Digest,
    time: TimeMs,
    /// Entries of the inbox that are carried out at its end.
    consumed: u64,
    publication: Publication,
}

/// A withdrawal that was carried out.
#[derive(Debug, Clone, Copy)]
struct Payout {
    account: AccountId,
    amount: u128,
    head_before: B256,
}

/// A batch as it was committed.
#[derive(Debug, Clone, Copy)]
struct Posted {
    block: u64,
    chain: B256,
    commitment: B256,
    digest: B256,
}

/// Batches that were taken back, as they were committed.
#[derive(Debug)]
struct Removal {
    block: u64,
    last: u64,
    commits: BTreeMap<u64, Posted>,
}

/// What the prover was given of a batch: it is proven like this, or anew.
#[derive(Debug, Clone, Copy)]
struct Shown {
    block: u64,
    digest: B256,
    leaves_due: bool,
}

/// What the contracts have said, each with its block, so that it can be taken back.
#[derive(Debug, Default)]
struct Seen {
    entries: BTreeMap<u64, (u64, Instruction)>,
    /// Those that stand.
    commits: BTreeMap<u64, Posted>,
    removals: Vec<Removal>,
    /// By batch: block, and payouts up to it.
    finals: BTreeMap<u64, (u64, u64)>,
    paid: BTreeMap<u64, u64>,
}

/// What an operator works with.
pub struct Parts {
    /// With the operator's Ethereum key, which nobody else sends transactions with.
    pub client: Client,
    /// The operator's session key of the genesis.
    pub secret: SecretKey,
    /// Of this deployment.
    pub follower: Follower,
    pub orders: Box<dyn Orders>,
    pub prove: Box<dyn Prove>,
}

impl Seen {
    /// Forgets what was said from this block on.
    fn undo(&mut self, from: u64) {
        let Self { entries, commits, removals, finals, paid } = self;
        while let Some(mut removal) = removals.pop_if(|removal| removal.block >= from) {
            commits.retain(|_, posted| posted.block < removal.block);
            commits.append(&mut removal.commits);
        }
        entries.retain(|_, (block, _)| *block < from);
        commits.retain(|_, posted| posted.block < from);
        finals.retain(|_, (block, _)| *block < from);
        paid.retain(|_, block| *block < from);
    }

    fn committed(&self) -> u64 {
        self.commits.last_key_value().map_or(0, |(&batch, _)| batch)
    }

    fn finished(&self) -> u64 {
        self.finals.last_key_value().map_or(0, |(&batch, _)| batch)
    }
}

/// Where an operator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    pub batches: u64,
    pub committed: u64,
    #[serde(rename = "final")]
    pub finished: u64,
    /// Commands in the open batch.
    pub open_commands: u64,
    /// Entries of the inbox, and those that were carried out.
    pub inbox: u64,
    pub served: u64,
    /// Payouts under the last final root, and those that were paid.
    pub payouts: u64,
    pub paid: u64,
    /// There will be no more requests.
    pub orders_ended: bool,
}

impl Status {
    /// Whether nothing is left to do until somebody asks for something.
    pub fn is_idle(&self) -> bool {
        self.orders_ended
            && self.open_commands == 0
            && self.served == self.inbox
            && self.finished == self.batches
            && self.paid == self.payouts
    }
}

pub struct Operator {
    records: Records,
    options: Options,
    client: Client,
    follower: Follower,
    poster: Poster,
    sequencer: Sequencer,
    session: Session,
    operator: AccountId,
    orders: Box<dyn Orders>,
    orders_ended: bool,
    seen: Seen,
    /// Every entry of the inbox that was carried out, and every withdrawal.
    served: Vec<Instruction>,
    payouts: Vec<Payout>,
    payout_head: B256,
    /// Withdrawals of the open batch that a session key has signed; and the contract's bound of those of one, or of batches that become final at once. (One that Ethereum asked for has its entry
    /// beside the bound.)
    signed_open: u64,
    run_max: u64,
    /// Words of the open batch, which have to fit a transaction.
    words_open: usize,
    /// The last closed batch has left out entries of the inbox that were there: they are served before anything else, in batches of their own.
    left_out: bool,
    closed: BTreeMap<u64, Closed>,
    fills: u64,
    opened: Option<Instant>,
    /// Milliseconds of the chain's last block.
    now: u64,
    worker: Option<Worker>,
    /// The last batch that the prover was given; and where its proofs end, from that on behind which it began.
    given: u64,
    proven: BTreeSet<u64>,
    /// What it was given, or had proven before, of batches that are not final.
    shown: BTreeMap<u64, Shown>,
    paying: BTreeSet<u64>,
    told: Vec<Event>,
    /// After an error in the middle of a change, nothing may go on.
    broken: bool,
}

/// What carrying out an instruction adds, in the present and when the past is told.
struct Past<'a> {
    served: &'a mut Vec<Instruction>,
    payouts: &'a mut Vec<Payout>,
    payout_head: &'a mut B256,
    fills: &'a mut u64,
    signed: &'a mut u64,
    words: &'a mut usize,
    orders: &'a mut dyn Orders,
}

impl Past<'_> {
    fn take(&mut self, engine: &Engine, instruction: &Instruction, outcome: Outcome) -> Result<()> {
        if instruction.is_forced() {
            self.served.push(*instruction);
        }
        *self.words += 1 + blocks(instruction).further().len();
        if let (Command::Withdraw(withdraw), Outcome::Accepted) = (&instruction.command, outcome) {
            let (account, amount) = (withdraw.account, withdraw.amount.get());
            self.payouts.push(Payout { account, amount, head_before: *self.payout_head });
            *self.signed += u64::from(!instruction.is_forced());
        }
        *self.payout_head = digest_word(&engine.store().session(limits::BRIDGE, PAYOUT_PLACE).head);
        let filled = engine.events().iter().filter(|event| matches!(event, EngineEvent::Filled { .. }));
        *self.fills += filled.count() as u64;
        self.orders.carried_out(engine, instruction, outcome).map_err(Error::Orders)
    }
}

impl Operator {
    /// Opens the directory of a venue, and goes on where it was left.
    pub async fn open(path: &Path, genesis: &Genesis, parts: Parts, options: Options) -> Result<Self> {
        let Parts { client, secret, mut follower, mut orders, prove } = parts;
        if genesis.deployment.contract != client.at.vault {
            let (expected, got) = (genesis.deployment.contract.to_string(), client.at.vault.to_string());
            return Err(Error::OtherVault { expected, got });
        }
        let mut records = Records::open(path, genesis)?;
        let poster_options = poster::Options { carrier: options.carrier, ..options.poster.clone() };
        let poster = Poster::open(client.clone(), &path.join("poster"), poster_options)?;
        let (finished, run_max) = (client.batch_final().await?, client.run_max().await?);

        let (mut served, mut payouts, mut payout_head) = (Vec::new(), Vec::new(), B256::ZERO);
        let (mut fills, mut signed_open, mut words_open) = (0, 0, 0);
        let mut past = Past {
            served: &mut served,
            payouts: &mut payouts,
            payout_head: &mut payout_head,
            fills: &mut fills,
            signed: &mut signed_open,
            words: &mut words_open,
            orders: orders.as_mut(),
        };
        let mut engine = Engine::new(genesis)?;
        // What was handed to the poster is proven, whether it is final yet or not, as long as each proof begins behind the one before it: others may have made batches final in other stretches.
        let mut proven = BTreeSet::from([finished]);
        let mut handed = finished;
        for (first, last) in poster.proofs_kept()?.into_iter().filter(|&(_, last)| last > finished) {
            if first != handed + 1 {
                poster.forget_proofs()?;
                (handed, proven) = (finished, BTreeSet::from([finished]));
                break;
            }
            handed = last;
            proven.insert(last);
        }
        let mut start = (handed == 0).then(|| engine.clone());
        let (mut closed, mut number) = (BTreeMap::new(), 0);
        while let Some(batch) = records.batch(number + 1)? {
            number += 1;
            replay(&mut engine, &batch, |engine, at, outcome| past.take(engine, &batch.instructions[at], outcome))?;
            if number == handed {
                start = Some(engine.clone());
            }
            if number > finished {
                closed.insert(number, Closed::new(batch, &engine)?);
            }
        }
        let behind = Error::Behind { path: path.to_owned(), expected: handed, got: number };
        let start = start.ok_or(behind)?;
        (*past.fills, *past.signed, *past.words) = (0, 0, 0);
        let mut sequencer = Sequencer::new(engine);
        for entry in records.reopen(number + 1)? {
            let (instruction, outcome) = match entry {
                Entry::Signed(request) => (request.instruction, sequencer.submit(&request)?),
                Entry::Forced(instruction) => (instruction, sequencer.force(&instruction)?),
            };
            past.take(sequencer.engine(), &instruction, outcome)?;
        }
        let key = KeyIndex::new(TIME_KEY).expect("the first key is one");
        let operator = genesis.operator;
        let at = sequencer.engine().store().session_of((operator, key));
        let session = Session::resume(secret, key, at.sequence, at.head);
        let worker = Some(Worker::start(start, prove, run_max)?);
        follower.rewind(holdfast_settlement::follower::Cursor::new(client.at.clone()));
        let opened = (!sequencer.instructions().is_empty()).then(Instant::now);
        let mut this = Self {
            records,
            options,
            client,
            follower,
            poster,
            sequencer,
            session,
            operator,
            orders,
            orders_ended: false,
            seen: Seen::default(),
            served,
            payouts,
            payout_head,
            signed_open,
            run_max,
            words_open,
            left_out: false,
            closed,
            fills,
            opened,
            now: 0,
            worker,
            given: handed,
            proven,
            shown: BTreeMap::new(),
            paying: BTreeSet::new(),
            told: Vec::new(),
            broken: false,
        };
        this.follow().await?;
        this.left_out = this.has_left_out().await?;
        // Proofs from before a removal may be of what was removed.
        if this.seen.removals.iter().any(|removal| removal.last > finished) && handed > finished {
            this.start_anew()?;
        }
        // What was on disk, and not yet in the poster's hands, when the operator was last stopped; and what it has to commit again, should it be removed.
        let (committed, kept) = (this.client.batch_committed().await?, this.poster.kept()?);
        for (number, closed) in &this.closed {
            if *number > committed || !kept.contains(number) {
                this.poster.commit(&closed.publication)?;
            }
        }
        this.told.clear();
        Ok(this)
    }

    pub fn engine(&self) -> &Engine {
        self.sequencer.engine()
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn path(&self) -> PathBuf {
        self.records.path().to_owned()
    }

    pub fn status(&self) -> Status {
        let last =
            |map: &BTreeMap<u64, (u64, u64)>| map.last_key_value().map(|(&batch, &(_, payouts))| (batch, payouts));
        let (finished, payouts) = last(&self.seen.finals).unwrap_or_default();
        Status {
            batches: self.engine().system().batches.into(),
            committed: self.seen.committed(),
            finished,
            open_commands: self.sequencer.instructions().len() as u64,
            inbox: self.seen.entries.last_key_value().map_or(0, |(&index, _)| index + 1),
            served: self.served.len() as u64,
            payouts,
            paid: self.seen.paid.len() as u64,
            orders_ended: self.orders_ended,
        }
    }

    /// Seconds of the chain's last block, as of the last step.
    pub fn now(&self) -> u64 {
        self.now / 1_000
    }

    /// One round. What it tells happened in this order. After an error that [`Error::is_passing`], call it again.
    pub async fn step(&mut self) -> Result<Vec<Event>> {
        if self.broken {
            return Err(Error::Stopped);
        }
        let done = self.round().await;
        match done {
            Ok(()) => Ok(std::mem::take(&mut self.told)),
            Err(error) => {
                self.broken = !error.is_passing();
                Err(error)
            }
        }
    }

    /// What happened in a round that ended with an error.
    pub fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    /// Ends the prover after the proof in work.
    pub fn end(mut self) {
        if let Some(worker) = self.worker.take() {
            let _prove = worker.end();
        }
    }

    async fn round(&mut self) -> Result<()> {
        self.follow().await?;
        self.start_anew_behind_others()?;
        self.start_anew_behind_changes().await?;
        if self.client.paused().await? {
            // Batches that are closed now would be too old by its end.
            self.prove().await?;
            return self.pay().await;
        }
        self.assert_in_time().await?;
        self.serve()?;
        if !self.left_out {
            self.take_orders()?;
        }
        if self.is_due() {
            self.close()?;
        }
        // A proof that the contract does not take keeps nothing from being proven: what takes its place may be.
        let posted = match self.post().await {
            Err(error) if !error.is_passing() => return Err(error),
            posted => posted,
        };
        self.prove().await?;
        // A transaction that would be refused is not under way.
        if matches!(posted, Ok(true) | Err(Error::Settlement(holdfast_settlement::Error::Reverted { .. }))) {
            self.pay().await?;
        }
        posted.map(|_| ())
    }

    /// What the contracts have said since.
    async fn follow(&mut self) -> Result<()> {
        let step = self.follower.catch_up().await?;
        if let Some(from) = step.undone_from() {
            self.seen.undo(from);
            self.paying.clear();
        }
        for located in step.events {
            self.hear(located)?;
        }
        self.assert_ours(u64::MAX)?;
        if let Some(block) = self.follower.cursor().next().checked_sub(1) {
            self.now = self.follower.time_of(block).await? * 1_000;
        }
        Ok(())
    }

    /// What is committed up to this batch, and was not removed, is what is here.
    fn assert_ours(&self, last: u64) -> Result<()> {
        for (&batch, closed) in self.closed.range(..=last) {
            if let Some(posted) = self.seen.commits.get(&batch)
                && closed.publication.chain != posted.chain
            {
                let (expected, got) = (closed.publication.chain.to_string(), posted.chain.to_string());
                return Err(Error::Foreign { batch, expected, got });
            }
        }
        Ok(())
    }

    /// What is to be committed ended less than a day ago: after that, Ethereum does not take it.
    async fn assert_in_time(&mut self) -> Result<()> {
        let next = self.seen.committed() + 1;
        let Some(time) = self.closed.get(&next).map(|closed| closed.time.get()) else { return Ok(()) };
        // It may be committed in a block that is not deep enough to be followed.
        if time + DAY_SECONDS * 1_000 >= self.now || self.client.batch_committed().await? >= next {
            return Ok(());
        }
        Err(Error::TooLate { batch: next, time, path: self.path() })
    }

    fn hear(&mut self, Located { block, event, .. }: Located) -> Result<()> {
        match event {
            L1::Appended { index, blocks, .. } => {
                let reason = || format!("{} blocks that no command has", blocks.len());
                let instruction = forced(&blocks).ok_or_else(|| Error::Entry { index, reason: reason() })?;
                let place = usize::try_from(index).unwrap_or(usize::MAX);
                if self.served.get(place).is_some_and(|served| *served != instruction) {
                    return Err(Error::InboxChanged { index });
                }
                self.seen.entries.insert(index, (block, instruction));
            }
            L1::Committed(commit) => {
                let follower::Commit { batch, chain, commitment, digest, .. } = commit;
                self.seen.commits.insert(batch, Posted { block, chain, commitment, digest });
                self.told.push(Event::Committed { batch: commit.batch, blobs: commit.blobs });
            }
            L1::Final { batch, payouts, .. } => {
                self.assert_ours(batch)?;
                self.seen.finals.insert(batch, (block, payouts));
                self.closed.retain(|&number, _| number > batch);
                self.told.push(Event::Final { batch });
            }
            L1::Removed { first, last } => {
                let commits = self.seen.commits.split_off(&first);
                self.seen.removals.push(Removal { block, last, commits });
                self.told.push(Event::Removed { first, last });
            }
            L1::Paid { index, .. } => {
                self.seen.paid.insert(index, block);
                self.paying.remove(&index);
            }
            L1::Frozen { batch, .. } => return Err(Error::Frozen { batch }),
            L1::VerifierSet { .. } | L1::DebtShown { .. } | L1::Exited { .. } => {}
        }
        Ok(())
    }

    /// Whether the last closed batch, if it is not final, has left out an entry that was there at its end.
    async fn has_left_out(&self) -> Result<bool> {
        let Some((_, closed)) = self.closed.last_key_value() else { return Ok(false) };
        let Some(&(block, _)) = self.seen.entries.get(&closed.consumed) else { return Ok(false) };
        Ok(self.follower.time_of(block).await? * 1_000 <= closed.time.get())
    }

    /// Carries out what the inbox has. Where that takes several batches, the first of them may leave out entries that are due, and becomes final with the others only: so none of these others takes
    /// withdrawals, which would make too many with those of the first.
    fn serve(&mut self) -> Result<()> {
        while self.has_room() {
            let next = self.engine().store().session_of(INBOX).sequence;
            let Some(&(_, instruction)) = self.seen.entries.get(&u64::from(next)) else {
                if std::mem::take(&mut self.left_out) && !self.sequencer.instructions().is_empty() {
                    self.close()?;
                }
                return Ok(());
            };
            if self.is_long() {
                self.close()?;
                continue;
            }
            let outcome = self.sequencer.force(&instruction)?;
            self.carried_out(&[(Entry::Forced(instruction), instruction, outcome)])?;
            let account = instruction.command.signer().get();
            self.told.push(Event::Served { index: next.into(), account, outcome: shown(outcome) });
        }
        Ok(())
    }

    /// Lets requests in until the batch is full, or there are none.
    fn take_orders(&mut self) -> Result<()> {
        while !self.orders_ended && self.has_room() {
            let room = self.options.batch_commands.saturating_sub(self.sequencer.instructions().len());
            if room == 0 {
                break;
            }
            let requests = match self.orders.next(self.sequencer.engine(), room).map_err(Error::Orders)? {
                Asked::Requests(requests) => requests,
                Asked::Nothing => break,
                Asked::End => {
                    self.orders_ended = true;
                    break;
                }
            };
            // One by one: whoever asks may see in the engine what became of each.
            for request in &requests {
                self.submit(request)?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, request: &Request) -> Result<()> {
        let least = self.options.withdraw_min;
        if let Command::Withdraw(Withdraw { amount, .. }) = &request.instruction.command
            && amount.get() < least
        {
            let refused = Refused::WithdrawalSmall { least, got: amount.get() };
            return self.orders.refused(request, refused).map_err(Error::Orders);
        }
        if self.is_full() {
            self.close()?;
        }
        match self.sequencer.submit(request) {
            Ok(outcome) => self.carried_out(&[(Entry::Signed(*request), request.instruction, outcome)]),
            Err(Refusal::BatchFull) => {
                self.close()?;
                let outcome = self.sequencer.submit(request)?;
                self.carried_out(&[(Entry::Signed(*request), request.instruction, outcome)])
            }
            Err(refusal) => self.orders.refused(request, refusal.into()).map_err(Error::Orders),
        }
    }

    /// What was carried out is noted before anybody hears of it.
    fn carried_out(&mut self, done: &[(Entry, Instruction, Outcome)]) -> Result<()> {
        let number = u64::from(self.engine().system().batches) + 1;
        let entries: Vec<Entry> = done.iter().map(|(entry, ..)| *entry).collect();
        self.records.append(number, &entries)?;
        self.opened.get_or_insert_with(Instant::now);
        let Self { served, payouts, payout_head, fills, signed_open: signed, words_open: words, .. } = self;
        let Self { orders, sequencer, .. } = self;
        let mut past = Past { served, payouts, payout_head, fills, signed, words, orders: orders.as_mut() };
        done.iter().try_for_each(|(_, instruction, outcome)| past.take(sequencer.engine(), instruction, *outcome))
    }

    fn has_room(&self) -> bool {
        u64::from(self.engine().system().batches).saturating_sub(self.seen.committed()) < UNPOSTED_MAX
    }

    fn is_due(&self) -> bool {
        let commands = self.sequencer.instructions().len();
        let old = self.opened.is_some_and(|opened| opened.elapsed() >= self.options.batch_age);
        commands > 0 && self.has_room() && (self.is_full() || old || self.orders_ended)
    }

    /// Whether the batch has as many commands as it may, or as many words as fit a transaction with one more instruction and the time.
    fn is_long(&self) -> bool {
        let words = self.words_open + INSTRUCTION_WORDS_MAX + 1;
        self.sequencer.instructions().len() >= self.options.batch_commands
            || words > poster::words_max(self.options.carrier)
    }

    /// Whether it is long, or has as many signed withdrawals as it may.
    fn is_full(&self) -> bool {
        self.is_long() || self.signed_open >= self.run_max
    }

    /// Ends the batch at Ethereum's time, and hands it to the poster.
    fn close(&mut self) -> Result<()> {
        let batches = self.engine().system().batches;
        if batches == BATCH_NUMBER_MAX {
            return Err(Error::BatchesUsedUp(batches));
        }
        let now = self.now.max(self.engine().system().time);
        let time = TimeMs::new(now).map_err(|error| Error::Session(error.to_string()))?;
        let request = self.session.request(Command::Time(Time { sender: self.operator, time }));
        let outcome = match self.sequencer.submit(&request) {
            Ok(outcome) => outcome,
            Err(refusal) => return Err(Error::Session(refusal.to_string())),
        };
        if outcome != Outcome::Accepted {
            return Err(Error::Session(shown(outcome)));
        }
        self.carried_out(&[(Entry::Signed(request), request.instruction, outcome)])?;
        let (batch, _) = self.sequencer.close_batch();
        self.records.close(&batch)?;
        let number = u64::from(batch.header.number);
        let closed = Closed::new(batch, self.sequencer.engine())?;
        self.poster.commit(&closed.publication)?;
        let Closed { batch, root, publication, .. } = &closed;
        let count = |of: &dyn Fn(&(&Instruction, &Outcome)) -> bool| {
            batch.instructions.iter().zip(&batch.outcomes).filter(of).count() as u64
        };
        self.told.push(Event::Closed {
            batch: number,
            commands: batch.instructions.len() as u64,
            rejected: count(&|(_, outcome)| **outcome != Outcome::Accepted),
            forced: count(&|(instruction, _)| instruction.is_forced()),
            fills: std::mem::take(&mut self.fills),
            bytes: (publication.words.len() * WORD_BYTES) as u64,
            root: digest_word(root).to_string(),
            time: publication.time,
        });
        self.left_out = self.seen.entries.contains_key(&closed.consumed);
        self.closed.insert(number, closed);
        (self.signed_open, self.words_open) = (0, 0);
        self.opened = None;
        Ok(())
    }

    /// Batches and proofs, as far as the chain takes them now. Says whether no transaction is under way.
    async fn post(&mut self) -> Result<bool> {
        for _ in 0..POSTS_MAX {
            match self.poster.step().await? {
                Progress::Idle => return Ok(true),
                Progress::Waiting { .. } => return Ok(false),
                Progress::TooDear { task, .. } => {
                    self.told.push(Event::TooDear { task });
                    return Ok(false);
                }
                Progress::Sent { task, hash, blobs } => {
                    self.told.push(Event::Sent { task, hash: hash.to_string(), blobs });
                }
                Progress::Mined { task, block, gas, .. } => self.told.push(Event::Mined { task, block, gas }),
                Progress::Displaced { task: Task::Finalise(batch) } => self.told.push(Event::ProvenByOthers { batch }),
                Progress::Displaced { .. } => {}
            }
        }
        Ok(false)
    }

    /// Gives the prover what is committed, and the poster what is proven.
    async fn prove(&mut self) -> Result<()> {
        self.follow().await?;
        self.start_anew_behind_others()?;
        self.start_anew_behind_changes().await?;
        let mut number = self.given + 1;
        while let Some(&Posted { block, commitment, digest, .. }) = self.seen.commits.get(&number)
            && self.closed.contains_key(&number)
        {
            let leaves_due = self.leaves_due(number, block).await?;
            let closed = &self.closed[&number];
            let z = point(&commitment, &closed.publication.chain).unwrap_or(U256::ZERO);
            let Closed { time, root, .. } = *closed;
            let committed = Committed { batch: Arc::clone(&closed.batch), z, time, root, leaves_due };
            let expected = digest_word(&committed.digest());
            if digest != expected {
                let (expected, got) = (expected.to_string(), digest.to_string());
                return Err(Error::Foreign { batch: number, expected, got });
            }
            if let Some(worker) = &self.worker {
                worker.take(committed);
            }
            self.shown.insert(number, Shown { block, digest, leaves_due });
            self.given = number;
            number += 1;
        }
        let Some(worker) = &mut self.worker else { return Ok(()) };
        for given in worker.given()? {
            match given {
                Given::Event(event) => self.told.push(event),
                Given::Failed(error) => return Err(error),
                Given::Last(finality) => {
                    self.poster.finalise(&finality)?;
                    self.proven.insert(finality.last);
                }
            }
        }
        Ok(())
    }

    /// If somebody else has made batches final, in other stretches than those of this prover, what it has begun does not fit any more.
    fn start_anew_behind_others(&mut self) -> Result<()> {
        let finished = self.seen.finished();
        if self.proven.contains(&finished) || self.proven.first() > Some(&finished) {
            return Ok(());
        }
        self.start_anew()?;
        self.told.push(Event::ProvenByOthers { batch: finished });
        Ok(())
    }

    /// If batches were committed again, after a removal or a reorganisation, and in another way than before, what was proven of them does not fit any more.
    async fn start_anew_behind_changes(&mut self) -> Result<()> {
        let finished = self.seen.finished();
        self.shown.retain(|&batch, _| batch > finished);
        for batch in finished + 1..=self.given {
            let Some(&Posted { block, digest, .. }) = self.seen.commits.get(&batch) else { return Ok(()) };
            let shown = self.shown.get(&batch).copied();
            if shown.is_some_and(|shown| shown.block == block && shown.digest == digest) {
                continue;
            }
            let leaves_due = self.leaves_due(batch, block).await?;
            if shown.is_some_and(|shown| (shown.digest, shown.leaves_due) != (digest, leaves_due)) {
                self.start_anew()?;
                self.told.push(Event::CommittedOtherwise { batch });
                return Ok(());
            }
            self.shown.insert(batch, Shown { block, digest, leaves_due });
        }
        Ok(())
    }

    /// Whether a batch that was committed in this block leaves out an entry of the inbox that was due then.
    async fn leaves_due(&mut self, batch: u64, block: u64) -> Result<bool> {
        let left = self.closed.get(&batch).and_then(|closed| self.seen.entries.get(&closed.consumed));
        let Some(&(appended, _)) = left.filter(|(appended, _)| *appended < block) else { return Ok(false) };
        let (appended, committed) = (self.follower.time_of(appended).await?, self.follower.time_of(block).await?);
        Ok(appended + DAY_SECONDS < committed)
    }

    /// Lets the prover begin behind the last final batch again. What it has proven before, and what is the same, is still there.
    fn start_anew(&mut self) -> Result<()> {
        let finished = self.seen.finished();
        let Some(worker) = self.worker.take() else { return Ok(()) };
        let prove = worker.end().ok_or_else(|| Error::Prover("it did not come back".into()))?;
        self.poster.forget_proofs()?;
        let mut engine = Engine::new(self.records.genesis())?;
        for number in 1..=finished {
            let behind = Error::Behind { path: self.path(), expected: finished, got: number - 1 };
            let batch = self.records.batch(number)?.ok_or(behind)?;
            replay(&mut engine, &batch, |_, _, _| Ok(()))?;
        }
        self.worker = Some(Worker::start(engine, prove, self.run_max)?);
        self.given = finished;
        self.proven = BTreeSet::from([finished]);
        self.shown.clear();
        Ok(())
    }

    /// Makes final withdrawals claimable: those of the last run that has any unpaid, from its last backwards.
    async fn pay(&mut self) -> Result<()> {
        let Some((&finished, &(_, count))) = self.seen.finals.last_key_value() else { return Ok(()) };
        if self.seen.paid.len() + self.paying.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let unpaid = |index: &u64| !self.seen.paid.contains_key(index) && !self.paying.contains(index);
        // A run is what became final at once.
        let ends = self.seen.finals.values().map(|(_, end)| *end);
        let runs = ends.scan(0, |from, end| Some(std::mem::replace(from, end)..end)).filter(|run| !run.is_empty());
        let runs: Vec<_> = runs.collect();
        let due = runs.into_iter().enumerate().rev().find_map(|(run, payouts)| {
            let due: Vec<u64> = payouts.rev().filter(unpaid).take(PAYOUTS_MAX).collect();
            (!due.is_empty()).then_some((run, due))
        });
        let Some((run, due)) = due else { return Ok(()) };
        let (mut payouts, mut sum) = (Vec::new(), 0);
        for &index in &due {
            let payout = usize::try_from(index).ok().and_then(|index| self.payouts.get(index));
            let Some(&Payout { account, amount, head_before }) = payout else {
                let (expected, got) = (format!("{count} payouts"), format!("{}", self.payouts.len()));
                return Err(Error::Foreign { batch: finished, expected, got });
            };
            sum += amount;
            let account = U256::from(account.get());
            payouts.push(IRollup::Payout { account, amount: U256::from(amount), headBefore: head_before });
        }
        let receipt = self.client.pay(run as u64, due[0] + 1, payouts).await?;
        self.paying.extend(&due);
        self.told.push(Event::Paid { payouts: due.len() as u64, amount: sum.to_string(), gas: receipt.gas_used });
        Ok(())
    }
}

impl Closed {
    /// A batch with whose end the engine stands.
    fn new(batch: Batch, engine: &Engine) -> Result<Self> {
        let time = TimeMs::new(engine.system().time).map_err(|error| Error::Session(error.to_string()))?;
        let publication = Publication::of(&batch, time);
        debug_assert!(digest_of(&publication.chain).is_some(), "what was hashed here is a digest");
        let consumed = engine.store().session_of(INBOX).sequence.into();
        Ok(Self { batch: Arc::new(batch), root: engine.root(), time, consumed, publication })
    }
}

/// Carries out a batch from disk again.
fn replay(
    engine: &mut Engine,
    batch: &Batch,
    mut told: impl FnMut(&Engine, usize, Outcome) -> Result<()>,
) -> Result<()> {
    let number = u64::from(batch.header.number);
    let mut first_error = None;
    let replayed = engine.replay(&batch.instructions, |engine, at, got| {
        let expected = got;
        let got = batch.outcomes[at];
        let done = if expected == got {
            told(engine, at, expected)
        } else {
            Err(Error::Outcome { batch: number, instruction: at, expected, got })
        };
        if let Err(error) = done {
            first_error.get_or_insert(error);
        }
    });
    if let Some(error) = first_error {
        return Err(error);
    }
    match replayed {
        Ok(_) => Ok(()),
        Err((_, refusal)) => Err(refusal.into()),
    }
}

fn shown(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted => "accepted".into(),
        Outcome::Rejected(reject) => format!("rejected: {reject:?}"),
    }
}
