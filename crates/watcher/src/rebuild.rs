//! The state, from events and published data alone.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{B256, U256};
use holdfast_circuit::last::LastKey;
use holdfast_crypto::{Digest, field::DIGEST_ZERO, poseidon2::compress};
use holdfast_exchange::{Engine, authority::Refusal};
use holdfast_protocol::{
    AccountId, Address, Batch, BatchHeader, Command, Genesis, GenesisError, Instruction, Outcome, TimeMs,
    cells::batch_digest,
    limits,
    publication::{Progress, commitment, digest_word, read_words},
};
use holdfast_settlement::{
    follower::{Commit, Event, Located},
    publication::forced,
};

use serde::Serialize;

use crate::{
    alarm::Alarm,
    exit::{self, Exit, Record},
};

/// The payouts' place among the bridge's sessions.
const PAYOUTS: u32 = 1;

/// How the proofs of final batches are checked.
pub enum Proofs {
    /// Each is verified with this key, and is over segments of this one.
    Verified(&'static LastKey, Digest),
    /// None is: for chains of tests, on which a contract stands in for the verifier.
    Unverified,
}

/// A batch that is committed, and not final.
#[derive(Debug, Clone)]
struct Pending {
    instructions: Vec<Instruction>,
    outcomes: Vec<Outcome>,
    /// What the proof must bind.
    digest: Digest,
    time: TimeMs,
}

/// The venue as Ethereum has it.
pub struct Rebuilt {
    engine: Engine,
    proofs: Proofs,
    /// Committed batches after the last final one; `None` if their data cannot be read.
    pending: VecDeque<Option<Pending>>,
    batch_final: u64,
    time_final: u64,
    commands: u64,
    /// Entries that are not consumed by a final batch: what each asks for, and what it deposits.
    inbox: BTreeMap<u64, (Option<Instruction>, u128)>,
    consumed: u64,
    /// Withdrawals of final batches that are not paid, in runs, of which there were so many: in each, the last is the next that can be.
    payouts: Vec<Payout>,
    runs: u64,
    frozen: bool,
    /// What was credited to accounts that have exited.
    exited: u128,
    /// What proofs are verified by on Ethereum, as the rollup has said: the first, which the watcher's key is that of, and another in its place.
    verifier: Option<Verifier>,
    foreign: Option<Foreign>,
}

/// A verifier of last proofs on Ethereum, and the segments that they are to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verifier {
    at: Address,
    segment_key: B256,
}

/// A verifier that the council has put in the place of the first.
#[derive(Debug, Clone, Copy)]
struct Foreign {
    at: Address,
    /// Batches that it makes final cannot be checked: that is told with the first of them.
    told: bool,
}

/// A withdrawal of a final batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payout {
    pub index: u64,
    /// Those that became final at once.
    pub run: u64,
    pub account: AccountId,
    pub owner: Option<Address>,
    /// In quote units.
    pub amount: u128,
    /// The chain of payouts before it.
    pub head_before: B256,
}

/// A deposit that no final batch has consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub index: u64,
    pub account: AccountId,
    /// In quote units.
    pub amount: u128,
}

impl Rebuilt {
    /// At the genesis.
    ///
    /// # Errors
    ///
    /// If the genesis is not valid.
    pub fn new(genesis: &Genesis, proofs: Proofs) -> Result<Self, GenesisError> {
        let engine = Engine::new(genesis)?;
        Ok(Self {
            engine,
            proofs,
            pending: VecDeque::new(),
            batch_final: 0,
            time_final: genesis.time.get(),
            commands: 0,
            inbox: BTreeMap::new(),
            consumed: 0,
            payouts: Vec::new(),
            runs: 0,
            frozen: false,
            exited: 0,
            verifier: None,
            foreign: None,
        })
    }

    /// The state after the last final batch.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    pub fn batch_final(&self) -> u64 {
        self.batch_final
    }

    pub fn batch_committed(&self) -> u64 {
        self.batch_final + self.pending.len() as u64
    }

    /// Instructions of final batches.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Milliseconds.
    pub fn time_final(&self) -> u64 {
        self.time_final
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The oldest entry of the inbox that no final batch has consumed.
    pub fn oldest_entry(&self) -> Option<u64> {
        self.inbox.keys().next().copied()
    }

    /// What accounts have that have not exited, all together.
    pub fn deposits(&self) -> u128 {
        self.engine.system().deposits.saturating_sub(self.exited)
    }

    /// Withdrawals of final batches that nobody was paid yet.
    pub fn payouts_due(&self) -> U256 {
        self.payouts.iter().map(|payout| U256::from(payout.amount)).sum()
    }

    /// These withdrawals: the rollup pays the last one of a run first.
    pub fn payouts(&self) -> &[Payout] {
        &self.payouts
    }

    /// Entries of the inbox that no final batch has consumed.
    pub fn entries_waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Of these, the deposits.
    pub fn waiting(&self) -> Vec<Waiting> {
        let deposit = |(&index, (instruction, amount)): (&u64, &(Option<Instruction>, u128))| match instruction {
            Some(Instruction { command: Command::Deposit(deposit), .. }) => {
                Some(Waiting { index, account: deposit.account, amount: *amount })
            }
            _ => None,
        };
        self.inbox.iter().filter_map(deposit).collect()
    }

    /// Deposits that no final batch has consumed.
    pub fn deposits_waiting(&self) -> U256 {
        self.inbox.values().map(|(_, amount)| U256::from(*amount)).sum()
    }

    /// One account's way out of the last final state; nothing if it has no owner.
    pub fn exit(&self, account: AccountId) -> Option<Exit> {
        exit::exit(&self.engine, account)
    }

    /// What the escape records of the last final state.
    pub fn record(&self) -> Record {
        exit::record(&self.engine)
    }

    /// Every account that has an owner, with its way out.
    pub fn exits(&self) -> impl Iterator<Item = Exit> + '_ {
        (0..limits::BRIDGE).filter_map(|id| self.exit(AccountId::new(id).expect("below the bound")))
    }

    /// The accounts below zero at the last marks.
    pub fn debtors(&self) -> Vec<(AccountId, i128)> {
        let engine = &self.engine;
        let equities = engine.accounts_in_use().map(|account| (account, exit::equity(engine, account)));
        equities.filter(|(_, equity)| *equity < 0).collect()
    }

    /// Takes the next event. `proof` is that of a `Final`, if it could be found.
    pub fn apply(&mut self, located: &Located, proof: Option<&[u8]>, alarms: &mut Vec<Alarm>) {
        match &located.event {
            Event::Appended { index, blocks, .. } => self.append(*index, blocks, alarms),
            Event::Committed(commit) => self.commit(commit, alarms),
            Event::Final { batch, root, inbox_consumed, .. } => {
                self.make_final(*batch, root, *inbox_consumed, proof, alarms);
            }
            Event::Removed { first, .. } => {
                let kept = first.saturating_sub(self.batch_final + 1);
                self.pending.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            }
            Event::Paid { index, account, amount } => self.pay(*index, *account, *amount, alarms),
            Event::Frozen { .. } => self.frozen = true,
            Event::VerifierSet { verifier, segment_key } => {
                self.set_verifier(Verifier { at: *verifier, segment_key: *segment_key });
            }
            Event::Exited { paid, .. } => {
                self.exited = self.exited.saturating_add(u128::try_from(*paid).unwrap_or(u128::MAX));
            }
            Event::DebtShown { .. } => {}
        }
    }

    fn set_verifier(&mut self, verifier: Verifier) {
        let first = *self.verifier.get_or_insert(verifier);
        self.foreign = (verifier != first).then_some(Foreign { at: verifier.at, told: false });
    }

    fn pay(&mut self, index: u64, account: u64, amount: U256, alarms: &mut Vec<Alarm>) {
        let got = format!("number {index}: {amount} to account {account}");
        let run = self.payouts.iter().find(|payout| payout.index == index).map(|payout| payout.run);
        let last = self.payouts.iter().rposition(|payout| Some(payout.run) == run);
        let expected = match last.map(|at| self.payouts.remove(at)) {
            None => "none".into(),
            Some(payout) => format!("number {}: {} to account {}", payout.index, payout.amount, payout.account),
        };
        if expected != got {
            alarms.push(Alarm::Payout { expected, got });
        }
    }

    fn append(&mut self, index: u64, blocks: &[[u32; 8]], alarms: &mut Vec<Alarm>) {
        let instruction = forced(blocks);
        if instruction.is_none() {
            let reason = format!("{} blocks that no command has", blocks.len());
            alarms.push(Alarm::Entry { index, reason });
        }
        let amount = match instruction.map(|instruction| instruction.command) {
            Some(Command::Deposit(deposit)) => deposit.amount.get(),
            _ => 0,
        };
        self.inbox.insert(index, (instruction, amount));
    }

    fn commit(&mut self, commit: &Commit, alarms: &mut Vec<Alarm>) {
        let expected = self.batch_committed() + 1;
        if commit.batch != expected {
            alarms.push(wrong(commit.batch, "number", expected, commit.batch));
        }
        match read(commit) {
            Ok((pending, differences)) => {
                alarms.extend(differences);
                self.pending.push_back(Some(pending));
            }
            Err(reason) => {
                alarms.push(Alarm::Data { batch: commit.batch, reason });
                self.pending.push_back(None);
            }
        }
    }

    fn make_final(&mut self, last: u64, root: &B256, consumed: u64, proof: Option<&[u8]>, alarms: &mut Vec<Alarm>) {
        let (first, root_old, time_old) = (self.batch_final + 1, self.engine.root(), self.time_final);
        let mut data = DIGEST_ZERO;
        for batch in first..=last {
            let Some(pending) = self.pending.pop_front().flatten() else {
                alarms.push(Alarm::Data { batch, reason: "it is final, and cannot be carried out".into() });
                return;
            };
            data = compress(&data, &pending.digest);
            self.carry_out(batch, &pending, alarms);
        }
        self.batch_final = last;
        if self.payouts.last().is_some_and(|payout| payout.run == self.runs) {
            self.runs += 1;
        }
        let got = digest_word(&self.engine.root());
        if got != *root {
            alarms.push(wrong(last, "root", root, got));
        }
        while self.inbox.first_key_value().is_some_and(|(index, _)| *index < consumed) {
            // What is left below was not carried out, though Ethereum was told so.
            let (index, _) = self.inbox.pop_first().expect("there is one");
            alarms.push(wrong(last, "entries of the inbox carried out", consumed, index));
        }
        if self.consumed != consumed {
            alarms.push(wrong(last, "entries of the inbox consumed", consumed, self.consumed));
        }
        if let Some(foreign) = &mut self.foreign {
            if !foreign.told && matches!(self.proofs, Proofs::Verified(..)) {
                alarms.push(Alarm::Foreign { batch: last, verifier: foreign.at.to_string() });
            }
            foreign.told = true;
            return;
        }
        if let Err(reason) = self.verify(proof, (first, last), (&root_old, time_old), &data) {
            alarms.push(Alarm::Proof { batch: last, reason });
        }
    }

    /// Carries out a batch, and compares with what was published.
    fn carry_out(&mut self, batch: u64, pending: &Pending, alarms: &mut Vec<Alarm>) {
        let Self { engine, inbox, consumed, payouts, runs, .. } = self;
        let mut before = bridge_payouts(engine);
        let told = |engine: &Engine, at: usize, outcome: Outcome| {
            let instruction = &pending.instructions[at];
            if outcome != pending.outcomes[at] {
                let (expected, got) = (format!("{outcome:?}"), format!("{:?}", pending.outcomes[at]));
                alarms.push(Alarm::Batch { batch, what: "outcome of an instruction", expected, got });
            }
            if let (Command::Withdraw(withdraw), Outcome::Accepted) = (&instruction.command, outcome) {
                let after = bridge_payouts(engine);
                payouts.push(Payout {
                    index: u64::from(before.0),
                    run: *runs,
                    account: withdraw.account,
                    owner: exit::owner(engine, withdraw.account),
                    amount: withdraw.amount.get(),
                    head_before: digest_word(&before.1),
                });
                before = after;
            }
            if instruction.is_forced() {
                let next = inbox.remove(consumed);
                let expected = next.and_then(|(instruction, _)| instruction);
                if expected.as_ref() != Some(instruction) {
                    let (expected, got) = (format!("{expected:?}"), format!("{instruction:?}"));
                    alarms.push(Alarm::Inbox { batch, expected, got });
                }
                *consumed += 1;
            }
        };
        if let Err((at, refusal)) = engine.replay(&pending.instructions, told) {
            alarms.push(refused(batch, at, &refusal));
        }
        self.commands += pending.instructions.len() as u64;
        self.time_final = self.engine.system().time;
        if self.time_final != pending.time.get() {
            alarms.push(wrong(batch, "time", self.time_final, pending.time));
        }
    }

    /// Verifies the proof of these batches, and that it says what they are.
    fn verify(
        &self,
        proof: Option<&[u8]>,
        (first, last): (u64, u64),
        (root_old, time_old): (&Digest, u64),
        data: &Digest,
    ) -> Result<(), String> {
        let Proofs::Verified(key, segment_key) = &self.proofs else { return Ok(()) };
        let proof = proof.ok_or("the transaction does not hand it to the rollup itself")?;
        let public = key.verify(proof).map_err(|error| error.to_string())?;
        let shown = [
            ("old root", digest_word(&public.root_old) == digest_word(root_old)),
            ("new root", public.root_new == self.engine.root()),
            ("first batch", u64::from(public.batch_first) == first),
            ("last batch", u64::from(public.batch_last) == last),
            ("time before", public.time_start == time_old),
            ("time after", public.time_end == self.time_final),
            ("data", public.data == *data),
            ("circuit", public.segment_key == *segment_key),
        ];
        match shown.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(format!("it is of another {what}")),
            None => Ok(()),
        }
    }
}

/// Reads what was published, and compares it with what was committed.
fn read(commit: &Commit) -> Result<(Pending, Vec<Alarm>), String> {
    let words = commit.words.as_ref().map_err(Clone::clone)?;
    let (instructions, outcomes) = read_words(words).map_err(|error| error.to_string())?;
    let number = u32::try_from(commit.batch).map_err(|_| "its number has more than 32 bits".to_owned())?;
    let time = TimeMs::new(commit.time).map_err(|error| error.to_string())?;
    let batch = Batch { header: BatchHeader { number }, instructions, outcomes, seals: Vec::new() };
    let chain = batch_digest(&batch);
    let digest = Progress::end_of_words(chain, &commit.commitment, words).digest(time);
    let mut alarms = Vec::new();
    // The contract has made the commitment from the data, and the digest from these.
    if digest_word(&chain) != commit.chain {
        alarms.push(wrong(commit.batch, "digest of the instructions", digest_word(&chain), commit.chain));
    }
    if commit.blobs == 0 && commitment(words) != commit.commitment {
        alarms.push(wrong(commit.batch, "commitment to the data", commitment(words), commit.commitment));
    }
    if digest_word(&digest) != commit.digest {
        alarms.push(wrong(commit.batch, "digest", digest_word(&digest), commit.digest));
    }
    let Batch { instructions, outcomes, .. } = batch;
    Ok((Pending { instructions, outcomes, digest, time }, alarms))
}

/// How many payouts the state has, and the head of their chain.
fn bridge_payouts(engine: &Engine) -> (u32, Digest) {
    let payouts = engine.store().session(limits::BRIDGE, PAYOUTS);
    (payouts.sequence, payouts.head)
}

fn wrong(batch: u64, what: &'static str, expected: impl ToString, got: impl ToString) -> Alarm {
    Alarm::Batch { batch, what, expected: expected.to_string(), got: got.to_string() }
}

fn refused(batch: u64, at: usize, refusal: &Refusal) -> Alarm {
    let got = format!("instruction {at}, which is none of this state: {refusal}");
    Alarm::Batch { batch, what: "instructions", expected: "instructions of this state".into(), got }
}
