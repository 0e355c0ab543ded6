//! Where signed requests come from.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use holdfast_exchange::{Engine, Refusal};
use holdfast_protocol::{Instruction, Outcome, Request};

/// What is asked for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// These, in order.
    Requests(Vec<Request>),
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    End,
}

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Session(#[from] Refusal),
    #[error("a withdrawal of {got} units: this operator takes none below {least}; the owner can force it by Ethereum")]
    WithdrawalSmall { least: u128, got: u128 },
}

/// Where signed requests come from. An error is the end of the operator.
pub trait Orders: Send {
    /// The next requests, `most` at most; `engine` has carried out all before.
    fn next(&mut self, engine: &Engine, most: usize) -> Result<Asked, String>;

    /// An instruction was carried out, whoever asked for it; `engine` has what it did among its events. When an operator starts, it first tells all instructions of the past in this way, so
    /// that whoever asks can go on where it was.
    fn carried_out(&mut self, engine: &Engine, instruction: &Instruction, outcome: Outcome) -> Result<(), String>;

    /// A request was not let in: it is as if it had never come.
    fn refused(&mut self, request: &Request, refused: Refused) -> Result<(), String>;
}

/// Most requests that wait in a [`Queue`].
const QUEUE_MAX: usize = 1 << 16;

/// The end of a [`Queue`] at which requests go in. When all its clones are gone, the queue ends.
pub type QueueEnd = SyncSender<Request>;

/// Requests from other threads.
pub struct Queue(Receiver<Request>);

impl Queue {
    pub fn new() -> (QueueEnd, Self) {
        let (end, requests) = sync_channel(QUEUE_MAX);
        (end, Self(requests))
    }
}

impl Orders for Queue {
    fn next(&mut self, _: &Engine, most: usize) -> Result<Asked, String> {
        let mut bunch = Vec::new();
        while bunch.len() < most {
            match self.0.try_recv() {
                Ok(request) => bunch.push(request),
                Err(TryRecvError::Disconnected) if bunch.is_empty() => return Ok(Asked::End),
                Err(_) => break,
            }
        }
        Ok(if bunch.is_empty() { Asked::Nothing } else { Asked::Requests(bunch) })
    }

    fn carried_out(&mut self, _: &Engine, _: &Instruction, _: Outcome) -> Result<(), String> {
        Ok(())
    }

    /// Whoever sent it sees that its session stands where it stood.
    fn refused(&mut self, _: &Request, _: Refused) -> Result<(), String> {
        Ok(())
    }
}
