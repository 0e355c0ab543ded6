//! The market: recorded order flow as requests of the venue's traders.
//!
//! The mapper's commands follow from the flow and from what became of the commands before. So nothing is kept on disk: when the operator starts, it tells what was carried out, and the
//! flow is mapped again up to there.
//!
//! Time is the operator's, who takes it from Ethereum; the flow's own time only says when marks are due. Accounts, keys and deposits come from Ethereum.

use std::collections::{BTreeMap, VecDeque};

use holdfast_exchange::Engine;
use holdfast_operator::{Asked, Orders, Refused};
use holdfast_protocol::{
    AccountId, Amount, Command, Genesis, Instruction, MarketId, Outcome, Request, Size, Withdraw, authority::Session,
};

use crate::{
    error::Result as CliResult,
    flow::{FIRST_TRADER, Feedback, Flow, FlowEvent, Mapper, OPERATOR, ORACLE, Wallets},
    order_events,
};

pub struct Market {
    flow: Flow,
    mapper: Mapper,
    /// Lots of the venue in one of the flow.
    scale: u64,
    sessions: BTreeMap<AccountId, Session>,
    /// Commands that are not signed yet, and those that are not carried out yet; whether the mapper issued them.
    issued: VecDeque<(Command, bool)>,
    asked: VecDeque<(Command, bool)>,
    /// Commands of the flow still to be taken.
    left: u64,
    ended: bool,
    carried_out: u64,
}

impl Market {
    /// Traders of this many accounts of a venue, whose keys derive from the seed. The first of them withdraws this much before it trades.
    pub fn new(
        flow: Flow,
        genesis: &Genesis,
        seed: &str,
        accounts: u32,
        scale: u64,
        limit: Option<u64>,
        withdraws: Amount,
    ) -> CliResult<Self> {
        let market = MarketId::new(0).expect("the first market");
        let mapper = Mapper::new(genesis, market, accounts)?;
        let domain = genesis.deployment.domain();
        let traders = (0..accounts)
            .map(|trader| AccountId::new(FIRST_TRADER.get() + trader).expect("the mapper has checked their number"));
        let session = |account| {
            let secret = Wallets::secret(seed, account);
            (account, Session::new(secret, &domain, account, Wallets::KEY, 1))
        };
        let withdrawal = Withdraw { account: FIRST_TRADER, amount: withdraws };
        Ok(Self {
            flow,
            mapper,
            scale,
            sessions: traders.chain([ORACLE]).map(session).collect(),
            issued: VecDeque::from([(Command::Withdraw(withdrawal), false)]),
            asked: VecDeque::new(),
            left: limit.unwrap_or(u64::MAX),
            ended: false,
            carried_out: 0,
        })
    }

    /// Maps events until there is a command, or the flow has ended.
    fn issue(&mut self) -> Result<(), String> {
        let mut commands = Vec::new();
        while self.issued.is_empty() && !self.ended {
            if self.left == 0 {
                self.ended = true;
                return Ok(());
            }
            let Some(event) = self.flow.next() else {
                self.ended = true;
                return Ok(());
            };
            let event = self.scaled(event.map_err(|error| error.to_string())?)?;
            self.mapper.map(&event, &mut commands);
            for command in commands.drain(..) {
                if matches!(command, Command::Time(_)) {
                    self.mapper.observe(&command, Outcome::Accepted, &[]);
                } else {
                    self.issued.push_back((command, true));
                    self.left = self.left.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    fn scaled(&self, event: FlowEvent) -> Result<FlowEvent, String> {
        let scaled = |lots: u64| {
            let size = u128::from(lots) * u128::from(self.scale);
            Size::try_from(size).map_err(|error| format!("{}: {error}", self.flow.position()))
        };
        Ok(match event {
            FlowEvent::Place { key, trader, side, price, size, time_in_force } => {
                FlowEvent::Place { key, trader, side, price, size: scaled(size.get())?, time_in_force }
            }
            FlowEvent::Amend { key, price, size } => FlowEvent::Amend { key, price, size: scaled(size.get())? },
            FlowEvent::Level { key, side, price, size } => {
                FlowEvent::Level { key, side, price, size: scaled(size)?.get() }
            }
            other => other,
        })
    }

    fn session(&mut self, command: &Command) -> Result<&mut Session, String> {
        let account = command.signer();
        self.sessions.get_mut(&account).ok_or_else(|| format!("account {account} has no key here"))
    }
}

impl Orders for Market {
    fn next(&mut self, engine: &Engine, most: usize) -> Result<Asked, String> {
        if !self.asked.is_empty() {
            return Ok(Asked::Nothing);
        }
        // Keys come by Ethereum's inbox, which has been carried out as far as it is known.
        let live = |account: &AccountId| engine.store().session_of((*account, Wallets::KEY)).live;
        if !self.sessions.keys().all(live) {
            return Ok(Asked::Nothing);
        }
        self.issue()?;
        if self.issued.is_empty() {
            return Ok(Asked::End);
        }
        let mut requests: Vec<Request> = Vec::new();
        for _ in 0..most.min(self.issued.len()) {
            let Some((command, mapped)) = self.issued.pop_front() else { break };
            requests.push(self.session(&command)?.request(command));
            self.asked.push_back((command, mapped));
        }
        Ok(Asked::Requests(requests))
    }

    fn carried_out(&mut self, engine: &Engine, instruction: &Instruction, outcome: Outcome) -> Result<(), String> {
        let command = instruction.command;
        if instruction.is_forced() || command.signer() == OPERATOR {
            return Ok(());
        }
        if self.asked.is_empty() {
            // What was carried out before this process was there.
            self.issue()?;
            let next = self.issued.pop_front();
            self.session(&command)?.extend(command);
            self.asked.extend(next);
        }
        let mapped = match self.asked.pop_front() {
            Some((asked, mapped)) if asked == command => mapped,
            other => {
                let expected = other.map_or_else(|| "none".into(), |(asked, _)| format!("{asked:?}"));
                return Err(format!(
                    "expected {expected} of the flow next, got {command:?}: was it started with another input, or other options?"
                ));
            }
        };
        self.carried_out += 1;
        if mapped {
            self.mapper.observe(&command, outcome, &order_events(engine.events()));
        }
        Ok(())
    }

    fn refused(&mut self, request: &Request, refused: Refused) -> Result<(), String> {
        Err(format!("{:?} was refused: {refused}", request.instruction.command))
    }
}
