//! The contracts themselves, on the embedded chain, with the venue's own engine: from a deposit to a claim, and from a freeze to an exit. Only the proofs are not there: a contract that says
//! what it is told stands in for their verifier.

mod common;

use std::{collections::BTreeSet, path::Path};

use alloy::{
    primitives::{B256, Bytes, U256},
    sol,
};
use common::{
    signer,
    venue::{DAY, START, Settled, account},
};
use holdfast_circuit::last::{LastKey, export::export};
use holdfast_exchange::opening::{open_account, open_markets, open_system};
use holdfast_protocol::{MarketId, SecretKey, cells::absorb, publication::digest_word};
use holdfast_settlement::{
    client::{SessionKey, Unpaid, Wallet},
    contracts::{IRollup, create_verifier},
    embedded::Chain,
    follower::Event,
    poster::Carrier,
    publication::blob_commitment,
};

sol! {
    interface IVerifier {
        function keyCommitment() external view returns (bytes32);
        function verify(bytes calldata proof) external view returns (bytes32 rootOld, bytes32 rootNew);
    }
}

#[tokio::test]
async fn from_a_deposit_to_a_claim_and_an_exit() {
    let mut settled = Settled::new().await;
    let alice = settled.alice.clone();
    let owner = alice.wallet.address;
    let units = |number: u64| U256::from(number);

    let error = alice.withdraw(units(5)).await.expect_err("it has no account");
    assert!(error.to_string().contains("no account") && error.to_string().contains("deposit first"), "{error}");
    let error = alice.deposit(units(5)).await.expect_err("it is too little, or there is nothing to take");
    assert!(error.to_string().contains("amount wrong (amount 5)"), "{error}");
    let error = alice.deposit(units(5_000_000)).await.expect_err("it has no tokens");
    assert!(error.to_string().contains("transfer failed"), "{error}");
    let error = alice.freeze().await.expect_err("nothing is late");
    assert!(error.to_string().contains("nothing has waited for 7 days"), "{error}");

    alice.mint(owner, units(9_000_000)).await.expect("tokens");
    alice.deposit(units(5_000_000)).await.expect("a deposit");
    alice.deposit(units(1_000_000)).await.expect("another one");
    assert_eq!(alice.account_of(owner).await.expect("an answer"), Some(3));
    assert_eq!(alice.inbox_count().await.expect("an answer"), 3);
    let public = SecretKey::from_seed([7; 32]).public_key();
    let key = SessionKey {
        key: 1,
        replaces: false,
        withdraws: true,
        expiry: START * 2,
        x: public.point().x().to_canonical(),
        y: public.point().y().to_canonical(),
    };
    alice.register(key).await.expect("a session key");
    let error = alice.register(SessionKey { x: key.y, ..key }).await.expect_err("it is no point");
    assert!(error.to_string().contains("off curve"), "{error}");
    alice.cancel_all(0).await.expect("a cancellation");
    alice.close(0, true, 10_000, 5).await.expect("a close");
    assert_eq!(settled.serve().await, 6);
    assert_eq!(settled.venue.engine().account(account(3)).collateral, 6_000_000);
    settled.settle(Carrier::Calldata).await;

    alice.withdraw(units(2_000_000)).await.expect("a withdrawal");
    alice.revoke(1).await.expect("a revocation");
    assert_eq!(settled.serve().await, 2);
    settled.settle(Carrier::Blobs).await;
    let payout = IRollup::Payout { account: units(3), amount: units(2_000_000), headBefore: B256::ZERO };
    let wrong = IRollup::Payout { amount: units(2_000_001), ..payout.clone() };
    let error = alice.pay(0, 1, vec![wrong]).await.expect_err("it is another amount");
    assert!(error.to_string().contains("payout wrong (index 0)"), "{error}");
    let error = alice.pay(1, 1, vec![payout.clone()]).await.expect_err("there is one run");
    assert!(error.to_string().contains("no run (run 1, runs 1)"), "{error}");
    let head = absorb(&Default::default(), &[3, 2_000_000, 0, 0, 0, 0, 0], 0);
    let due = Unpaid { payouts: 0..1, head: digest_word(&head) };
    assert_eq!((alice.runs().await.expect("an answer"), alice.unpaid(0).await.expect("an answer")), (1, due));
    alice.pay(0, 1, vec![payout.clone()]).await.expect("a payout");
    assert_eq!(alice.unpaid(0).await.expect("an answer"), Unpaid { payouts: 0..0, head: B256::ZERO });
    let error = alice.pay(0, 0, vec![payout]).await.expect_err("it is paid");
    assert!(error.to_string().contains("nothing to pay (run 0)"), "{error}");
    assert_eq!(alice.claimable(owner).await.expect("an answer"), units(2_000_000));
    alice.claim(owner).await.expect("a claim");
    assert_eq!(alice.balance(owner).await.expect("an answer"), units(5_000_000));

    settled.chain.pass(8 * DAY);
    settled.chain.mine();
    alice.freeze().await.expect("nothing became final");
    assert!(alice.frozen().await.expect("an answer"));
    let tree = settled.venue.engine().tree();
    let markets = BTreeSet::from([MarketId::new(0).expect("a market")]);
    alice
        .record(open_system(tree).into(), units(1), open_markets(tree, &markets).into())
        .await
        .expect("the last state is recorded");
    let opening: Bytes = open_account(tree, account(3)).into();
    let error = alice.exit(3, opening.clone()).await.expect_err("debts can still be shown");
    assert!(error.to_string().contains("window open"), "{error}");
    settled.chain.pass(3 * DAY + 1);
    settled.chain.mine();
    alice.exit(3, opening).await.expect("an exit");
    alice.claim(owner).await.expect("a claim");
    assert_eq!(alice.balance(owner).await.expect("an answer"), units(9_000_000));

    let seen = settled.follower.catch_up().await.expect("it follows").events;
    let kinds: Vec<_> = seen
        .iter()
        .map(|located| match located.event {
            Event::Final { .. } => "final",
            Event::Paid { index: 0, account: 3, .. } => "paid",
            Event::Frozen { batch: 2, .. } => "frozen",
            Event::Exited { account: 3, .. } => "exited",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["final", "paid", "frozen", "exited"]);
    assert_ne!(blob_commitment(&[]), B256::ZERO);
}

/// The verifier with its key data, and the sample proof of the contracts' tests: in one transaction's gas.
#[tokio::test]
async fn the_verifier() {
    let chain = Chain::new(common::config());
    let wallet = Wallet::embedded(&chain, signer(0)).await.expect("it answers");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let proof = std::fs::read(root.join("crates/circuit/tests/vectors/last.proof")).expect("a proof");
    let exported = export(LastKey::bundled()).expect("the bundled key is for the contracts");
    let made = create_verifier(&wallet, exported.data_contracts(), exported.commitment.into()).await;
    let place = made.expect("a verifier");
    let commitment = wallet.ask("the key", place, &IVerifier::keyCommitmentCall {}).await.expect("an answer");
    assert_eq!(commitment, exported.commitment);
    let call = IVerifier::verifyCall { proof: proof.clone().into() };
    let receipt = wallet.order("a proof", place, &call, U256::ZERO).await.expect("it is valid");
    println!("the proof is verified with {} gas", receipt.gas_used);
    let call = IVerifier::verifyCall { proof: proof[1..].to_vec().into() };
    let error = wallet.order("a proof", place, &call, U256::ZERO).await.expect_err("it is too short");
    assert!(error.to_string().contains("proof length (expected"), "{error}");
}
