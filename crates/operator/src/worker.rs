//! The prover's thread: takes batches as they are committed, and gives proofs.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use holdfast_crypto::field::digest_to_hex;
use holdfast_exchange::{Engine, opening::open_bridge};
use holdfast_settlement::journal::Finality;

use crate::{Committed, Error, Event, Prove, Result, Stretch, Watch};

/// Most batches of one proof: with the verifier's 11.5 M gas, their digests fit a transaction (16,300 gas each). Only where no proof of so many may end, because all of them leave out what was due, there are
/// more: up to some 300 can become final all the same.
const STRETCH_MAX: usize = 64;

/// What the thread gives.
pub enum Given {
    Event(Event),
    Last(Finality),
    Failed(Error),
}

/// A batch that is proven.
struct Proven {
    committed: Committed,
    signed_withdrawals: u64,
    /// Of the bridge's slots under its root; none if no proof may end with it.
    opening: Option<Vec<u8>>,
}

/// What proves, when no thread has it.
type Idle = Arc<Mutex<Option<Box<dyn Prove>>>>;

pub struct Worker {
    batches: Option<Sender<Committed>>,
    given: Receiver<Given>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    idle: Idle,
}

impl Worker {
    /// Starts from the state of this engine. So many signed withdrawals at most become final at once.
    pub fn start(engine: Engine, prove: Box<dyn Prove>, run_max: u64) -> Result<Self> {
        let idle: Idle = Arc::new(Mutex::new(Some(prove)));
        let (batches_in, batches) = channel();
        let (given_in, given) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, back) = (Arc::clone(&stop), Arc::clone(&idle));
        let run = move || {
            let taken = back.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut prove) = taken else { return };
            if let Err(error) = run(engine, run_max, prove.as_mut(), &batches, &given_in, &stopped) {
                // Where nobody hears it, the operator is gone.
                let _sent = given_in.send(Given::Failed(error));
            }
            *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(prove);
        };
        let thread = thread::Builder::new().name("prover".into()).spawn(run);
        let thread = thread.map_err(|error| Error::Prover(error.to_string()))?;
        Ok(Self { batches: Some(batches_in), given, stop, thread: Some(thread), idle })
    }

    /// Hands over the next batch.
    pub fn take(&self, committed: Committed) {
        if let Some(batches) = &self.batches {
            // A thread that has ended has said why.
            let _sent = batches.send(committed);
        }
    }

    /// What it has given since.
    pub fn given(&mut self) -> Result<Vec<Given>> {
        let mut all = Vec::new();
        loop {
            match self.given.try_recv() {
                Ok(given) => all.push(given),
                Err(TryRecvError::Empty) => return Ok(all),
                Err(TryRecvError::Disconnected) if all.is_empty() => {
                    let panic = self.thread.take().and_then(|thread| thread.join().err());
                    let said = panic.as_ref().and_then(|panic| panic.downcast_ref::<String>()).cloned();
                    return Err(Error::Prover(said.unwrap_or_else(|| "it is gone".into())));
                }
                Err(TryRecvError::Disconnected) => return Ok(all),
            }
        }
    }

    /// Ends the thread after the proof in work, and gives back what proves.
    pub fn end(mut self) -> Option<Box<dyn Prove>> {
        self.join();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.join();
    }
}

fn run(
    mut engine: Engine,
    run_max: u64,
    prove: &mut dyn Prove,
    batches: &Receiver<Committed>,
    given: &Sender<Given>,
    stop: &AtomicBool,
) -> Result<()> {
    let stopped = || stop.load(Ordering::Relaxed);
    let tell = |event| {
        let _sent = given.send(Given::Event(event));
    };
    let watch = Watch { stop: &stopped, tell: &tell };
    let mut queue: VecDeque<Committed> = VecDeque::new();
    let mut proven: Vec<Proven> = Vec::new();
    let (mut root_old, mut time_old) = (engine.root(), engine.system().time);
    loop {
        queue.extend(batches.try_iter());
        // As far on as a proof of what is there may end.
        let end = proven.iter().rposition(|proven| proven.opening.is_some());
        if queue.is_empty() && end.is_none() {
            match batches.recv() {
                Ok(committed) => queue.push_back(committed),
                Err(_) => return Ok(()),
            }
        }
        if stopped() {
            return Ok(());
        }
        let signed: u64 = proven.iter().map(|proven| proven.signed_withdrawals).sum();
        let fits = |next: &Committed| proven.len() < STRETCH_MAX && signed + next.signed_withdrawals() <= run_max;
        let Some(end) = end.filter(|_| !queue.front().is_some_and(fits)) else {
            let Some(committed) = queue.pop_front() else { continue };
            let done = prove.batch(&mut engine, &committed, &watch);
            match done {
                Err(Error::Stopped) => return Ok(()),
                done => done?,
            }
            if engine.root() != committed.root {
                let (expected, got) = (digest_to_hex(&committed.root), digest_to_hex(&engine.root()));
                return Err(Error::Root { batch: committed.number(), expected, got });
            }
            let opening = (!committed.leaves_due).then(|| open_bridge(engine.tree()));
            proven.push(Proven { signed_withdrawals: committed.signed_withdrawals(), opening, committed });
            continue;
        };
        let rest = proven.split_off(end + 1);
        let opening = proven[end].opening.take().unwrap_or_default();
        let done: Vec<Committed> = proven.into_iter().map(|proven| proven.committed).collect();
        let stretch = Stretch { root_old, time_old, batches: &done };
        let ((first, last), started) = (stretch.numbers(), Instant::now());
        tell(Event::Aggregating { first, last });
        let proof = match prove.last(&stretch, &watch) {
            Err(Error::Stopped) => return Ok(()),
            proof => proof?,
        };
        let seconds = started.elapsed().as_secs_f64();
        tell(Event::LastProof { first, last, bytes: proof.len() as u64, seconds });
        let _sent = given.send(Given::Last(Finality { first, last, proof, opening }));
        (root_old, time_old) = (stretch.last().root, stretch.last().time.get());
        proven = rest;
    }
}
