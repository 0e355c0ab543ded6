//! A store and claims inside this process.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::{Claims, JobId, ObjectId, Outcome, Store, StoreError};

/// A store and claims inside this process, for its threads.
#[derive(Debug)]
pub struct Memory {
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<ObjectId, Vec<u8>>,
    results: BTreeMap<JobId, Outcome>,
    claims: BTreeMap<JobId, (String, Instant)>,
}

impl Memory {
    pub fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl Store for Memory {
    fn put_object(&self, bytes: &[u8]) -> Result<ObjectId, StoreError> {
        let id = ObjectId::of(bytes);
        self.state().objects.insert(id, bytes.to_vec());
        Ok(id)
    }

    fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().objects.get(&id).cloned())
    }

    fn has_object(&self, id: ObjectId) -> Result<bool, StoreError> {
        Ok(self.state().objects.contains_key(&id))
    }

    fn put_result(&self, job: JobId, outcome: &Outcome) -> Result<(), StoreError> {
        self.state().results.insert(job, *outcome);
        Ok(())
    }

    fn result(&self, job: JobId) -> Result<Option<Outcome>, StoreError> {
        Ok(self.state().results.get(&job).copied())
    }

    fn forget(&self, job: JobId) -> Result<(), StoreError> {
        self.state().results.remove(&job);
        Ok(())
    }
}

impl Claims for Memory {
    fn lease(&self) -> Duration {
        self.lease
    }

    fn claim(&self, job: JobId, owner: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.claims.get(&job).is_some_and(|(_, since)| since.elapsed() <= self.lease) {
            return Ok(false);
        }
        state.claims.insert(job, (owner.to_owned(), Instant::now()));
        Ok(true)
    }

    fn renew(&self, job: JobId, owner: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        let ours = state.claims.get_mut(&job).filter(|(claimed_by, _)| claimed_by == owner);
        Ok(ours.map(|(_, since)| *since = Instant::now()).is_some())
    }

    fn release(&self, job: JobId, owner: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.claims.get(&job).is_some_and(|(claimed_by, _)| claimed_by == owner) {
            state.claims.remove(&job);
        }
        Ok(())
    }
}
