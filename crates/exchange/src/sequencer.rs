//! The engine behind its session keys: requests come in signed, batches go out sealed.

use std::collections::BTreeMap;

use holdfast_crypto::Digest;
use holdfast_protocol::{
    AccountId, Batch, BatchHeader, Instruction, KeyIndex, Outcome, Request, Seal, batch::INSTRUCTIONS_MAX,
};

use crate::{
    authority::{Chained, Refusal, Verified, admit, check_instruction, replaced},
    engine::Engine,
};

/// Checks every signature as it arrives, executes, and keeps what the batch under way will publish.
#[derive(Clone)]
pub struct Sequencer {
    engine: Engine,
    instructions: Vec<Instruction>,
    outcomes: Vec<Outcome>,
    seals: Vec<Seal>,
    /// The last signature of every session that is not sealed.
    last: BTreeMap<(AccountId, KeyIndex), Verified>,
}

impl Sequencer {
    /// Goes on from the end of a batch.
    ///
    /// # Panics
    /// If the engine stands inside of a batch.
    pub fn new(engine: Engine) -> Self {
        assert_eq!(engine.system().unsealed, 0, "a batch ends sealed");
        Self { engine, instructions: Vec::new(), outcomes: Vec::new(), seals: Vec::new(), last: BTreeMap::new() }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Instructions of the batch under way.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Lets one request in, and carries it out. A refused request is as if it had never come.
    pub fn submit(&mut self, request: &Request) -> Result<Outcome, Refusal> {
        let mut outcome = None;
        self.submit_all(std::slice::from_ref(request), |_, got| outcome = Some(got));
        outcome.expect("one request has one result")
    }

    /// Lets requests in, in order, checking their signatures together; tells of each what became of it, while the engine's events are those of this request
    /// (none, if it is refused).
    pub fn submit_all(&mut self, requests: &[Request], mut told: impl FnMut(&Engine, Result<Outcome, Refusal>)) {
        let mut rest = requests;
        while !rest.is_empty() {
            // What follows a change of keys may be signed by the new key: it is checked against the state after it.
            let store = self.engine.store();
            let change = rest.iter().position(|request| replaced(store, &request.instruction).is_some());
            let (requests, after) = rest.split_at(change.map_or(rest.len(), |at| at + 1));
            rest = after;
            for admitted in admit(store, requests) {
                let result = admitted.and_then(|(chained, verified)| self.carry_out(&chained, verified));
                if result.is_err() {
                    self.engine.clear_events();
                }
                told(&self.engine, result);
            }
        }
    }

    fn carry_out(&mut self, chained: &Chained, verified: Verified) -> Result<Outcome, Refusal> {
        if self.instructions.len() == INSTRUCTIONS_MAX {
            return Err(Refusal::BatchFull);
        }
        self.seal_replaced(chained.instruction());
        let outcome = self.execute(chained);
        self.last.insert(verified.session(), verified);
        Ok(outcome)
    }

    /// Carries out what Ethereum asks: the next entry of its inbox.
    ///
    /// # Errors
    /// If this is no settled deployment, the instruction is not a forced one, or the batch is full. Nothing is changed then.
    pub fn force(&mut self, instruction: &Instruction) -> Result<Outcome, Refusal> {
        let (account, key) = instruction.session();
        if !instruction.is_forced() {
            return Err(Refusal::NoKey { account, key });
        }
        if self.instructions.len() == INSTRUCTIONS_MAX {
            return Err(Refusal::BatchFull);
        }
        // What can be refused is refused before a key is sealed.
        match check_instruction(self.engine.store(), instruction) {
            Ok(()) | Err(Refusal::Unsealed { .. }) => self.seal_replaced(instruction),
            Err(refusal) => return Err(refusal),
        }
        let chained = Chained::new(self.engine.store(), instruction)?;
        Ok(self.execute(&chained))
    }

    /// A key that is about to go is sealed first.
    fn seal_replaced(&mut self, instruction: &Instruction) {
        let replaced = replaced(self.engine.store(), instruction);
        if let Some(verified) = replaced.and_then(|session| self.last.remove(&session)) {
            self.seal(&verified);
        }
    }

    fn execute(&mut self, chained: &Chained) -> Outcome {
        let outcome = self.engine.apply(chained);
        self.instructions.push(*chained.instruction());
        self.outcomes.push(outcome);
        outcome
    }

    fn seal(&mut self, verified: &Verified) {
        self.engine.seal(verified);
        let (account, key) = verified.session();
        let after = self.instructions.len() as u32;
        self.seals.push(Seal { after, account, key, signature: *verified.signature() });
    }

    /// Ends the batch: seals every session, and gives what is published, and the state's root after it.
    pub fn close_batch(&mut self) -> (Batch, Digest) {
        for verified in std::mem::take(&mut self.last).into_values() {
            self.seal(&verified);
        }
        let root = self.engine.close_batch();
        let batch = Batch {
            header: BatchHeader { number: self.engine.system().batches },
            instructions: std::mem::take(&mut self.instructions),
            outcomes: std::mem::take(&mut self.outcomes),
            seals: std::mem::take(&mut self.seals),
        };
        (batch, root)
    }
}
