//! The operator, its disks and its prover vanish: from Ethereum alone, a stranger freezes the venue, rebuilds its state, and every account exits. And what a watcher says of a venue that does not do
//! what it published.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256};
use common::venue::{DAY, START, Settled, account, genesis};
use holdfast_exchange::{Refusal, sequencer::Sequencer};
use holdfast_protocol::{
    AccountId, Amount, Command, KeyIndex, Mark, MarketId, Outcome, Place, Price, Request, SecretKey, SelfTrade, Side,
    Size, TimeInForce, Withdraw, authority::Session,
};
use holdfast_settlement::{
    Client, Follower, blobs::FromTransactions, client::SessionKey, contracts::IRollup, follower::Cursor,
    poster::Carrier,
};
use holdfast_watcher::{Alarm, Proofs, Watcher, exit::market_set};

/// Traders, who get the accounts after those of the genesis.
const TRADERS: u32 = 6;
const FIRST: u32 = 3;
/// Ethereum has 18 decimals, and this is plenty.
const ETHER: u128 = 1_000_000_000_000_000_000;

fn key(index: u32) -> KeyIndex {
    KeyIndex::new(index).expect("a key")
}

fn secret(account: u32) -> SecretKey {
    SecretKey::from_seed([0x40 + account as u8; 32])
}

struct Trader {
    client: Client,
    session: Session,
}

/// A venue at work: traders whose deposits and keys came from Ethereum.
struct Market {
    settled: Settled,
    traders: Vec<Trader>,
    oracle: Session,
}

fn submit(venue: &mut Sequencer, request: &Request) -> Result<Outcome, Refusal> {
    venue.submit(request)
}

impl Market {
    async fn new() -> Self {
        let mut settled = Settled::new().await;
        let at = settled.operator.at.clone();
        let domain = genesis(at.chain, at.vault).deployment.domain();
        let mut traders = Vec::new();
        for number in 0..TRADERS {
            let id = FIRST + number;
            let signer = alloy::signers::local::PrivateKeySigner::from_bytes(&B256::repeat_byte(0x70 + id as u8));
            let signer = signer.expect("a private key");
            let owner = signer.address();
            settled.chain.set_balance(owner, U256::from(ETHER));
            let client = Client::embedded(&settled.chain, signer, at.clone()).await.expect("a client");
            let amount = U256::from(2_000_000 + 100_000 * u64::from(number));
            client.mint(owner, amount).await.expect("tokens");
            client.deposit(amount).await.expect("a deposit");
            assert_eq!(client.account_of(owner).await.expect("an answer"), Some(id.into()));
            let public = secret(id).public_key();
            let point = public.point();
            let (x, y) = (point.x().to_canonical(), point.y().to_canonical());
            let register = SessionKey { key: 0, replaces: false, withdraws: true, expiry: START * 2, x, y };
            client.register(register).await.expect("a session key");
            traders.push(Trader { client, session: Session::new(secret(id), &domain, account(id), key(0), 1) });
        }
        settled.serve().await;
        let oracle = Session::new(SecretKey::from_seed([0; 32]), &domain, account(0), key(0), 1);
        Self { settled, traders, oracle }
    }

    fn ask(&mut self, trader: usize, command: Command) -> Outcome {
        let request = self.traders[trader].session.request(command);
        submit(&mut self.settled.venue, &request).expect("it is let in")
    }

    fn place(&mut self, trader: usize, side: Side, price: u32, size: u64) -> Outcome {
        let command = Command::Place(Place {
            account: account(FIRST + trader as u32),
            market: MarketId::new(0).expect("a market"),
            side,
            time_in_force: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price: Price::new(price).expect("a price"),
            size: Size::new(size).expect("a size"),
        });
        self.ask(trader, command)
    }

    fn mark(&mut self, price: u32) {
        let (sender, market) = (account(0), MarketId::new(0).expect("a market"));
        let price = Price::new(price).expect("a price");
        let request = self.oracle.request(Command::Mark(Mark { sender, market, price }));
        assert_eq!(submit(&mut self.settled.venue, &request), Ok(Outcome::Accepted));
    }

    /// Whoever comes from nowhere: the genesis and an endpoint are all it has.
    fn stranger(&self) -> Watcher {
        let (chain, at) = (&self.settled.chain, self.settled.operator.at.clone());
        let genesis = genesis(at.chain, at.vault);
        let keeper = Arc::new(FromTransactions(chain.provider()));
        let follower = Follower::new(chain.provider(), keeper, Cursor::new(at));
        Watcher::new(genesis, || Proofs::Unverified, follower).expect("the genesis is valid")
    }

    async fn trade(&mut self) {
        for round in 0..3u32 {
            for trader in 0..TRADERS as usize {
                let side = if trader % 2 == 0 { Side::Buy } else { Side::Sell };
                self.place(trader, side, 10_000 + 10 * round, 20 + u64::from(round));
            }
        }
        self.settled.settle(Carrier::Calldata).await;
        self.mark(10_400);
        let withdraw = Withdraw { account: account(FIRST), amount: Amount::new(150_000).expect("an amount") };
        assert_eq!(self.ask(0, Command::Withdraw(withdraw)), Outcome::Accepted);
        self.traders[1].client.cancel_all(0).await.expect("a cancellation");
        self.traders[2].client.withdraw(U256::from(70_000)).await.expect("a withdrawal");
        self.settled.serve().await;
        self.settled.settle(Carrier::Blobs).await;
    }

    /// Everything that the vault could ever pay, and what traders hold.
    async fn tokens(&self) -> U256 {
        let mut sum = U256::ZERO;
        for Trader { client, .. } in &self.traders {
            sum += client.balance(client.wallet.address).await.expect("an answer");
        }
        sum
    }
}

#[tokio::test]
async fn everybody_walks_away_and_the_sum_matches_to_the_unit() {
    let mut market = Market::new().await;
    market.trade().await;
    // A deposit that the operator never carries out.
    let late = market.traders[5].client.clone();
    late.mint(late.wallet.address, U256::from(5_000)).await.expect("tokens");
    late.deposit(U256::from(5_000)).await.expect("a deposit");
    let mut stranger = market.stranger();
    let report = stranger.look().await.expect("Ethereum answers");
    assert_eq!(report.alarms, [], "{report:?}");
    assert_eq!((report.batch_final, report.batch_committed), (2, 2));
    assert_eq!(report.waiting, "5000");
    assert_eq!(report.payouts, "220000");
    let deposited: u64 = (0..u64::from(TRADERS)).map(|number| 2_000_000 + 100_000 * number).sum();
    assert_eq!(report.deposits, (deposited - 220_000).to_string());

    // The operator, its disks and its prover vanish.
    let Market { settled, traders, .. } = market;
    let (chain, anybody) = (settled.chain.clone(), traders[3].client.clone());
    drop((settled.venue, settled.folder, settled.follower));
    chain.pass(2 * DAY);
    chain.mine();
    let report = stranger.look().await.expect("Ethereum answers");
    assert!(matches!(report.alarms[..], [Alarm::Overdue { hours: 48, .. }, Alarm::Stale { hours: 48 }]), "{report:?}");
    assert!(!report.is_breached());
    chain.pass(6 * DAY);
    chain.mine();
    anybody.freeze().await.expect("it is late");
    let report = stranger.look().await.expect("Ethereum answers");
    assert!(report.frozen && report.alarms.contains(&Alarm::Frozen));

    // Payouts were final, and stay due: from the last backwards.
    let payout = |account: u32, amount: u64, before| IRollup::Payout {
        account: U256::from(account),
        amount: U256::from(amount),
        headBefore: before,
    };
    let first_head = holdfast_protocol::publication::digest_word(&holdfast_protocol::cells::absorb(
        &Default::default(),
        &[FIRST, 150_000, 0, 0, 0, 0, 0],
        0,
    ));
    let payouts = vec![payout(FIRST + 2, 70_000, first_head), payout(FIRST, 150_000, B256::ZERO)];
    anybody.pay(0, 2, payouts).await.expect("they are due");

    let record = stranger.rebuilt().record();
    anybody
        .record(Bytes::from(record.system), market_set(&record.markets), Bytes::from(record.markets_opening))
        .await
        .expect("the last state is recorded");
    assert!(stranger.rebuilt().debtors().is_empty());
    chain.pass(3 * DAY + 1);
    chain.mine();
    let exits: Vec<_> = stranger.rebuilt().exits().collect();
    assert_eq!(exits.len(), (FIRST + TRADERS) as usize);
    let mut paid = BTreeMap::new();
    for exit in &exits {
        if exit.equity <= 0 {
            continue;
        }
        let receipt = anybody.exit(exit.account.get().into(), exit.opening.clone().into()).await.expect("an exit");
        println!("account {}: equity {}, {} gas", exit.account, exit.equity, receipt.gas_used);
        assert!(receipt.gas_used <= 4_000_000);
        *paid.entry(exit.owner).or_insert(0) += exit.equity;
        // Once, and for all.
        let again = anybody.exit(exit.account.get().into(), exit.opening.clone().into()).await;
        assert!(again.expect_err("it has exited").to_string().contains("already exited"));
    }
    let equities: i128 = exits.iter().map(|exit| exit.equity).sum();
    assert_eq!(equities.to_string(), report.deposits, "without a debt, all that accounts have is what was deposited");
    let entry = 3 * u64::from(TRADERS) + 2;
    late.refund(entry).await.expect("it was not consumed");

    // Every unit: what traders have, and what the house's owner can claim.
    let house: Address = Address::repeat_byte(0xee);
    let owners: Vec<Address> = traders.iter().map(|trader| trader.client.wallet.address).chain([house]).collect();
    for owner in owners {
        if anybody.claimable(owner).await.expect("an answer") > U256::ZERO {
            anybody.claim(owner).await.expect("a claim");
        }
    }
    let mut held = anybody.balance(house).await.expect("an answer");
    for Trader { client, .. } in &traders {
        held += client.balance(client.wallet.address).await.expect("an answer");
    }
    assert_eq!(held, U256::from(deposited + 5_000));
    let report = stranger.look().await.expect("Ethereum answers");
    assert_eq!((report.held.as_str(), report.claimable.as_str()), ("0", "0"));
}

/// The stand-in for the verifier believes everything. The watcher does not.
#[tokio::test]
async fn a_venue_that_lies_is_found_out() {
    let mut market = Market::new().await;
    market.trade().await;
    assert!(market.tokens().await < U256::from(1));
    let mut watcher = market.stranger();
    assert_eq!(watcher.look().await.expect("Ethereum answers").alarms, []);

    // Money from nowhere, in the state that is made final.
    let thief: AccountId = account(FIRST);
    let store = market.settled.venue.engine().store().account(thief.get()).clone();
    let mut engine = market.settled.venue.engine().clone();
    let mut rich = store.clone();
    rich.collateral += 1_000;
    engine.store_mut().set_account(thief.get(), rich);
    let _ = engine.store_mut().take_conservation();
    market.settled.venue = Sequencer::new(engine);
    market.mark(10_401);
    market.settled.settle(Carrier::Calldata).await;
    let report = watcher.look().await.expect("Ethereum answers");
    assert!(report.is_breached());
    assert!(matches!(report.alarms[..], [Alarm::Batch { batch: 3, what: "root", .. }]), "{:?}", report.alarms);
}
