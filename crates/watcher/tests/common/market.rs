//! A venue at work: traders whose deposits and keys came from Ethereum; and everybody's way out of it once it is frozen.

#![allow(dead_code, reason = "every test takes what it needs")]

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    signers::local::PrivateKeySigner,
};
use holdfast_crypto::Digest;
use holdfast_exchange::sequencer::Sequencer;
use holdfast_protocol::{
    Amount, Command, KeyIndex, Mark, MarketId, Outcome, Place, Price, SecretKey, SelfTrade, Side, Size, Time,
    TimeInForce, TimeMs, Withdraw, authority::Session,
};
use holdfast_settlement::{
    Client, Follower,
    blobs::FromTransactions,
    client::{DynProvider, SessionKey},
    contracts::{Deployment, IRollup},
    follower::Cursor,
    poster::Carrier,
};
use holdfast_watcher::{Proofs, Watcher, exit::market_set};

use crate::common::venue::{DAY, START, Settled, account, genesis};

/// Traders, who get the accounts after those of the genesis.
pub const TRADERS: u32 = 6;
pub const FIRST: u32 = 3;
/// Who owns the accounts of the genesis.
pub const HOUSE: Address = Address::repeat_byte(0xee);
/// Ethereum has 18 decimals, and this is plenty.
pub const ETHER: u128 = 1_000_000_000_000_000_000;

fn key(index: u32) -> KeyIndex {
    KeyIndex::new(index).expect("a key")
}

/// Of an account's session.
fn secret(account: u32) -> SecretKey {
    match account {
        0..FIRST => SecretKey::from_seed([account as u8; 32]),
        _ => SecretKey::from_seed([0x40 + account as u8; 32]),
    }
}

/// Of a trader's Ethereum account.
pub fn signer(trader: u32) -> PrivateKeySigner {
    let key = B256::repeat_byte(0x70 + (FIRST + trader) as u8);
    PrivateKeySigner::from_bytes(&key).expect("a private key")
}

/// What a trader has deposited.
pub fn deposit(trader: u32) -> u64 {
    2_000_000 + 100_000 * u64::from(trader)
}

/// What all have.
pub fn deposited() -> u64 {
    (0..TRADERS).map(deposit).sum()
}

/// The sessions of all accounts, by which they command the venue.
pub struct Sessions(Vec<Session>);

impl Sessions {
    fn new(domain: &Digest) -> Self {
        let session = |id| Session::new(secret(id), domain, account(id), key(0), 1);
        Self((0..FIRST + TRADERS).map(session).collect())
    }

    /// The same once more, for a venue that goes another way from here on.
    pub fn branch(&self) -> Self {
        let session =
            |(id, session): (u32, &Session)| Session::resume(secret(id), key(0), session.sequence(), *session.head());
        Self((0..).zip(&self.0).map(session).collect())
    }

    fn ask(&mut self, venue: &mut Sequencer, account: u32, command: Command) -> Outcome {
        let request = self.0[account as usize].request(command);
        venue.submit(&request).expect("it is let in")
    }

    pub fn place(&mut self, venue: &mut Sequencer, trader: u32, side: Side, price: u32, size: u64) -> Outcome {
        let id = FIRST + trader;
        let command = Command::Place(Place {
            account: account(id),
            market: MarketId::new(0).expect("a market"),
            side,
            time_in_force: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price: Price::new(price).expect("a price"),
            size: Size::new(size).expect("a size"),
        });
        self.ask(venue, id, command)
    }

    /// All traders place orders that meet.
    pub fn trade(&mut self, venue: &mut Sequencer, rounds: u32) {
        for round in 0..rounds {
            for trader in 0..TRADERS {
                let side = if trader % 2 == 0 { Side::Buy } else { Side::Sell };
                self.place(venue, trader, side, 10_000 + 10 * round, 20 + u64::from(round));
            }
        }
    }

    pub fn withdraw(&mut self, venue: &mut Sequencer, trader: u32, amount: u128) {
        let id = FIRST + trader;
        let withdraw = Withdraw { account: account(id), amount: Amount::new(amount).expect("an amount") };
        assert_eq!(self.ask(venue, id, Command::Withdraw(withdraw)), Outcome::Accepted);
    }

    /// The oracle sets the mark.
    pub fn mark(&mut self, venue: &mut Sequencer, price: u32) {
        let (sender, market) = (account(0), MarketId::new(0).expect("a market"));
        let price = Price::new(price).expect("a price");
        assert_eq!(self.ask(venue, 0, Command::Mark(Mark { sender, market, price })), Outcome::Accepted);
    }

    /// The operator sets the clock.
    pub fn time(&mut self, venue: &mut Sequencer, seconds: u64) {
        let time = TimeMs::new(seconds * 1_000).expect("a time");
        assert_eq!(self.ask(venue, 1, Command::Time(Time { sender: account(1), time })), Outcome::Accepted);
    }
}

/// A venue at work on the embedded chain.
pub struct Market {
    pub settled: Settled,
    /// To each trader.
    pub traders: Vec<Client>,
    pub sessions: Sessions,
}

impl Market {
    pub async fn new() -> Self {
        let mut settled = Settled::new().await;
        let at = settled.operator.at.clone();
        let mut traders = Vec::new();
        for number in 0..TRADERS {
            let (id, signer) = (FIRST + number, signer(number));
            let owner = signer.address();
            settled.chain.set_balance(owner, U256::from(ETHER));
            let client = Client::embedded(&settled.chain, signer, at.clone()).await.expect("a client");
            let amount = U256::from(deposit(number));
            client.mint(owner, amount).await.expect("tokens");
            client.deposit(amount).await.expect("a deposit");
            assert_eq!(client.account_of(owner).await.expect("an answer"), Some(id.into()));
            let public = secret(id).public_key();
            let point = public.point();
            let (x, y) = (point.x().to_canonical(), point.y().to_canonical());
            let register = SessionKey { key: 0, replaces: false, withdraws: true, expiry: START * 2, x, y };
            client.register(register).await.expect("a session key");
            traders.push(client);
        }
        settled.serve().await;
        let sessions = Sessions::new(&genesis(at.chain, at.vault).deployment.domain());
        Self { settled, traders, sessions }
    }

    /// Two final batches, with their data in these: trades, and two withdrawals that nobody has been paid yet.
    pub async fn trade(&mut self, carriers: [Carrier; 2]) {
        let Self { settled, traders, sessions } = self;
        sessions.trade(&mut settled.venue, 3);
        settled.settle(carriers[0]).await;
        sessions.mark(&mut settled.venue, 10_400);
        sessions.withdraw(&mut settled.venue, 0, 150_000);
        traders[1].cancel_all(0).await.expect("a cancellation");
        traders[2].withdraw(U256::from(70_000)).await.expect("a withdrawal");
        settled.serve().await;
        settled.settle(carriers[1]).await;
    }

    pub fn stranger(&self) -> Watcher {
        stranger(&self.settled.chain.provider(), &self.settled.operator.at, || Proofs::Unverified)
    }
}

/// Whoever comes from nowhere: the genesis and an endpoint are all it has.
pub fn stranger(provider: &DynProvider, at: &Deployment, proofs: fn() -> Proofs) -> Watcher {
    let keeper = std::sync::Arc::new(FromTransactions(provider.clone()));
    let follower = Follower::new(provider.clone(), keeper, Cursor::new(at.clone()));
    Watcher::new(genesis(at.chain, at.vault), proofs, follower).expect("the genesis is valid")
}

/// Time passes on a chain of development.
pub async fn pass(provider: &DynProvider, seconds: u64) {
    let done = provider.raw_request::<_, serde_json::Value>("evm_increaseTime".into(), (seconds,)).await;
    done.expect("it passes");
    provider.raw_request::<_, serde_json::Value>("evm_mine".into(), ()).await.expect("a block");
}

/// Everybody who can own something of the venue.
pub fn owners() -> Vec<Address> {
    (0..TRADERS).map(|trader| signer(trader).address()).chain([HOUSE]).collect()
}

/// Pays all final withdrawals that are due, as a watcher knows them: of each run from the last backwards.
pub async fn pay_all(watcher: &Watcher, anybody: &Client) {
    let mut runs = BTreeMap::<u64, Vec<IRollup::Payout>>::new();
    for payout in watcher.rebuilt().payouts().iter().rev() {
        runs.entry(payout.run).or_default().push(IRollup::Payout {
            account: U256::from(payout.account.get()),
            amount: U256::from(payout.amount),
            headBefore: payout.head_before,
        });
    }
    for (run, payouts) in runs {
        let end = anybody.unpaid(run).await.expect("an answer").payouts.end;
        anybody.pay(run, end, payouts).await.expect("they are due");
    }
}

/// From the freeze to the last claim, by what a watcher has rebuilt of a venue without debts: payouts that were final, exits of all accounts, refunds of deposits that were not consumed. Anybody sends it
/// all, and in the end owners have these tokens together.
pub async fn leave(watcher: &mut Watcher, anybody: &Client) -> U256 {
    let report = watcher.look().await.expect("Ethereum answers");
    assert!(report.frozen);
    pay_all(watcher, anybody).await;
    let record = watcher.rebuilt().record();
    let (system, markets) = (Bytes::from(record.system), market_set(&record.markets));
    anybody.record(system, markets, record.markets_opening.into()).await.expect("the last state is recorded");
    assert!(watcher.rebuilt().debtors().is_empty());
    pass(&anybody.wallet.provider, 3 * DAY + 1).await;
    let exits: Vec<_> = watcher.rebuilt().exits().collect();
    assert_eq!(exits.len(), (FIRST + TRADERS) as usize);
    for exit in exits.iter().filter(|exit| exit.equity > 0) {
        let receipt = anybody.exit(exit.account.get().into(), exit.opening.clone().into()).await.expect("an exit");
        println!("account {}: equity {}, {} gas", exit.account, exit.equity, receipt.gas_used);
        assert!(receipt.gas_used <= 4_000_000);
        // Once, and for all.
        let again = anybody.exit(exit.account.get().into(), exit.opening.clone().into()).await;
        assert!(again.expect_err("it has exited").to_string().contains("already exited"));
    }
    let equities: i128 = exits.iter().map(|exit| exit.equity).sum();
    assert_eq!(equities.to_string(), report.deposits, "without a debt, all that accounts have is what was deposited");
    for deposit in watcher.rebuilt().waiting() {
        anybody.refund(deposit.index).await.expect("it was not consumed");
    }
    let mut held = U256::ZERO;
    for owner in owners() {
        if anybody.claimable(owner).await.expect("an answer") > U256::ZERO {
            anybody.claim(owner).await.expect("a claim");
        }
        held += anybody.balance(owner).await.expect("an answer");
    }
    let report = watcher.look().await.expect("Ethereum answers");
    assert_eq!((report.held.as_str(), report.claimable.as_str(), report.deposits.as_str()), ("0", "0", "0"));
    held
}
