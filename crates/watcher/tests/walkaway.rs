//! The operator, its disks and its prover vanish: from Ethereum alone, a stranger freezes the venue, rebuilds its state, and every account exits. And what a watcher says of a venue that does not do
//! what it published.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;
#[path = "common/market.rs"]
mod market;

use alloy::primitives::{B256, U256};
use common::venue::{DAY, account};
use holdfast_exchange::sequencer::Sequencer;
use holdfast_protocol::{AccountId, cells::absorb, publication::digest_word};
use holdfast_settlement::poster::Carrier;
use holdfast_watcher::{Alarm, Payout};
use market::{FIRST, Market, TRADERS, deposited, leave};

const CARRIERS: [Carrier; 2] = [Carrier::Calldata, Carrier::Blobs];

#[tokio::test]
async fn everybody_walks_away_and_the_sum_matches_to_the_unit() {
    let mut market = Market::new().await;
    market.trade(CARRIERS).await;
    // A deposit that the operator never carries out.
    let late = market.traders[5].clone();
    late.mint(late.wallet.address, U256::from(5_000)).await.expect("tokens");
    late.deposit(U256::from(5_000)).await.expect("a deposit");
    let mut stranger = market.stranger();
    let report = stranger.look().await.expect("Ethereum answers");
    assert_eq!(report.alarms, [], "{report:?}");
    assert_eq!((report.batch_final, report.batch_committed), (2, 2));
    assert_eq!(report.waiting, "5000");
    assert_eq!(report.payouts, "220000");
    assert_eq!(report.deposits, (deposited() - 220_000).to_string());
    let waiting = stranger.rebuilt().waiting();
    assert_eq!(waiting.iter().map(|one| one.index).collect::<Vec<_>>(), [3 * u64::from(TRADERS) + 2]);

    // The operator, its disks and its prover vanish.
    let Market { settled, traders, .. } = market;
    let (chain, anybody) = (settled.chain.clone(), traders[3].clone());
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

    // Payouts were final, and stay due.
    let first_head = digest_word(&absorb(&Default::default(), &[FIRST, 150_000, 0, 0, 0, 0, 0], 0));
    let payout = |index, trader: u32, amount, head_before| Payout {
        index,
        run: 0,
        account: account(FIRST + trader),
        owner: Some(traders[trader as usize].wallet.address),
        amount,
        head_before,
    };
    assert_eq!(stranger.rebuilt().payouts(), [payout(0, 0, 150_000, B256::ZERO), payout(1, 2, 70_000, first_head)]);

    // Every unit: what traders have, and what the house's owner can claim.
    assert_eq!(leave(&mut stranger, &anybody).await, U256::from(deposited() + 5_000));
}

/// The stand-in for the verifier believes everything. The watcher does not.
#[tokio::test]
async fn a_venue_that_lies_is_found_out() {
    let mut market = Market::new().await;
    market.trade(CARRIERS).await;
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
    market.sessions.mark(&mut market.settled.venue, 10_401);
    market.settled.settle(Carrier::Calldata).await;
    let report = watcher.look().await.expect("Ethereum answers");
    assert!(report.is_breached());
    assert!(matches!(report.alarms[..], [Alarm::Batch { batch: 3, what: "root", .. }]), "{:?}", report.alarms);
}
