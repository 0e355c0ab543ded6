//! The poster: whatever happens to it or to the chain, each batch is committed once, in order.

mod common;

use alloy::primitives::{B256, U256};
use common::{Stage, calldata, drive, proof, publication, signer};
use holdfast_settlement::{
    Error,
    client::Wallet,
    contracts::IRollup,
    embedded::Undone,
    follower::Event,
    journal::Finality,
    poster::{Carrier, CrashPoint, Options, Prices, Progress, Task},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// What a follower from the beginning sees: batches, and how many words they have.
async fn committed(stage: &Stage) -> Vec<(u64, usize)> {
    let step = stage.follower().catch_up().await.expect("it follows");
    let mut list = Vec::new();
    for located in step.events {
        match located.event {
            Event::Committed(commit) => list.push((commit.batch, commit.words.expect("words").len())),
            Event::Removed { first, .. } => list.retain(|&(batch, _)| batch < first),
            _ => {}
        }
    }
    list
}

#[tokio::test]
async fn batches_and_proofs_are_posted_in_order() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(calldata());
    for batch in 1..=5 {
        poster.commit(&publication(batch, 10 * batch as usize)).expect("it is taken");
    }
    poster.finalise(&proof(3)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    assert_eq!(stage.client.batch_committed().await.expect("an answer"), 5);
    assert_eq!(stage.client.batch_final().await.expect("an answer"), 3);
    assert_eq!(committed(&stage).await, (1..=5).map(|batch| (batch, 10 * batch as usize)).collect::<Vec<_>>());
    // A gap is refused.
    assert!(matches!(poster.commit(&publication(9, 1)), Err(Error::Order { expected: 6, got: 9 })));
}

#[tokio::test]
async fn blobs_are_posted_and_read_back() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(Options { carrier: Carrier::Blobs, ..Options::default() });
    let (one, two) = (publication(1, 100), publication(2, 4_097));
    poster.commit(&one).expect("it is taken");
    poster.commit(&two).expect("it is taken");
    let progress = drive(&mut poster, &stage.chain).await;
    assert!(progress.iter().any(|step| matches!(step, Progress::Sent { blobs: true, .. })));
    let step = stage.follower().catch_up().await.expect("it follows");
    let words: Vec<_> = step
        .events
        .into_iter()
        .filter_map(|located| match located.event {
            Event::Committed(commit) => Some((commit.blobs, commit.words.expect("words"))),
            _ => None,
        })
        .collect();
    assert_eq!(words, [(1, one.words), (2, two.words)]);
}

/// Killed between any two steps, at every batch: what comes after goes on as if nothing had been.
#[tokio::test]
async fn killed_at_every_point() {
    for point in CrashPoint::ALL {
        let stage = Stage::new().await;
        let mut crashes = 0;
        for batch in 1..=4 {
            let options = Options { crash: Some(point), depth: 2, ..calldata() };
            let mut poster = stage.poster(options.clone());
            poster.commit(&publication(batch, 7)).expect("it is taken");
            if batch == 3 {
                poster.finalise(&proof(2)).expect("it is taken");
            }
            // Some steps that end at the point, with blocks in between or without.
            for round in 0..6 {
                if let Err(error) = poster.step().await {
                    assert!(matches!(error, Error::Crash(_)), "{error}");
                    crashes += 1;
                    poster = stage.poster(options.clone());
                }
                if round % 2 == 1 {
                    stage.chain.mine();
                }
            }
            drive(&mut stage.poster(calldata()), &stage.chain).await;
        }
        assert!(crashes > 0, "{point:?} is never passed");
        assert_eq!(committed(&stage).await, [(1, 7), (2, 7), (3, 7), (4, 7)], "{point:?}");
        assert_eq!(stage.client.batch_final().await.expect("an answer"), 2);
    }
}

/// Reorganisations of 1 to 64 blocks while batches are posted, with the transactions dropped or waiting again; the poster restarted now and then.
#[tokio::test]
async fn a_busy_poster_under_reorganisations() {
    let stage = Stage::new().await;
    stage.chain.mine_many(70);
    let mut random = StdRng::seed_from_u64(7);
    let mut poster = stage.poster(calldata());
    let mut given = 0;
    for depth in 1..=64 {
        for _ in 0..3 {
            given += 1;
            poster.commit(&publication(given, 5)).expect("it is taken");
        }
        for _ in 0..random.random_range(1..12) {
            poster.step().await.expect("a step");
            if random.random_bool(0.7) {
                stage.chain.mine();
            }
        }
        let undone = if random.random_bool(0.5) { Undone::Pooled } else { Undone::Dropped };
        let blocks = depth + random.random_range(0..3);
        stage.chain.reorganise(depth, blocks, undone).expect("the chain is long enough");
        if random.random_bool(0.3) {
            stage.chain.drop_waiting();
        }
        if random.random_bool(0.3) {
            poster = stage.poster(calldata());
        }
    }
    drive(&mut poster, &stage.chain).await;
    assert_eq!(stage.client.batch_committed().await.expect("an answer"), given);
    assert_eq!(committed(&stage).await, (1..=given).map(|batch| (batch, 5)).collect::<Vec<_>>());
}

/// Whatever is wrong with a proof, batches are committed.
#[tokio::test]
async fn a_proof_that_is_refused_stops_no_batches() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(Options { patience: 1, ..calldata() });
    poster.commit(&publication(1, 3)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    poster.finalise(&Finality { proof: Vec::new(), ..proof(1) }).expect("it is taken");
    for batch in 2..=4 {
        poster.commit(&publication(batch, 3)).expect("it is taken");
        assert!(matches!(poster.step().await.expect("a step"), Progress::Sent { task: Task::Commit(_), .. }));
        // It waits for some blocks, and is replaced: by itself.
        stage.chain.set_base_fee(100_000_000_000 * batch);
        stage.chain.mine();
        stage.chain.mine();
        assert!(matches!(poster.step().await.expect("a step"), Progress::Sent { task: Task::Commit(_), .. }));
        stage.chain.set_base_fee(1_000_000_000);
        stage.chain.mine();
        assert!(matches!(poster.step().await.expect("a step"), Progress::Mined { task: Task::Commit(_), .. }));
    }
    let error = poster.step().await.expect_err("nothing else is left");
    assert!(matches!(error, Error::Reverted { .. }), "{error}");
    assert_eq!(committed(&stage).await, [(1, 3), (2, 3), (3, 3), (4, 3)]);
    assert_eq!(stage.client.batch_final().await.expect("an answer"), 0);
}

/// Batches that were removed, because no proof came, are committed again.
#[tokio::test]
async fn removed_batches_are_committed_again() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(calldata());
    for batch in 1..=3 {
        poster.commit(&publication(batch, 3)).expect("it is taken");
    }
    drive(&mut poster, &stage.chain).await;
    stage.chain.set_mining(holdfast_settlement::embedded::Mining::Immediate);
    stage.client.remove(1).await.expect("batches are removed");
    stage.chain.set_mining(holdfast_settlement::embedded::Mining::Asked);
    assert_eq!(stage.client.batch_committed().await.expect("an answer"), 0);
    drive(&mut poster, &stage.chain).await;
    assert_eq!(committed(&stage).await, [(1, 3), (2, 3), (3, 3)]);
}

/// Batches that nobody can prove are removed by their operator, and others take their numbers.
#[tokio::test]
async fn discarded_batches_are_not_committed_again() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(calldata());
    for batch in 1..=4 {
        poster.commit(&publication(batch, 3)).expect("it is taken");
    }
    poster.finalise(&proof(1)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    poster.finalise(&proof(3)).expect("it is taken");
    assert!(matches!(poster.discard(1).await, Err(Error::Order { expected: 2, got: 1 })));
    poster.discard(2).await.expect("they are not final");
    assert_eq!(poster.kept().expect("a list"), [1]);
    stage.chain.set_mining(holdfast_settlement::embedded::Mining::Immediate);
    stage.client.remove(2).await.expect("batches are removed");
    stage.chain.set_mining(holdfast_settlement::embedded::Mining::Asked);
    assert!(drive(&mut poster, &stage.chain).await.is_empty());
    assert_eq!(stage.client.batch_committed().await.expect("an answer"), 1);
    // After a restart too.
    let mut poster = stage.poster(calldata());
    poster.commit(&publication(2, 8)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    assert_eq!(committed(&stage).await, [(1, 3), (2, 8)]);
    assert_eq!(stage.client.batch_final().await.expect("an answer"), 1);
}

/// When the base fee rises above what was offered, the transaction is replaced, until it is mined.
#[tokio::test]
async fn who_waits_too_long_pays_more() {
    for carrier in [Carrier::Calldata, Carrier::Blobs] {
        let stage = Stage::new().await;
        let mut poster = stage.poster(Options { carrier, patience: 2, ..Options::default() });
        poster.commit(&publication(1, 3)).expect("it is taken");
        assert!(matches!(poster.step().await.expect("a step"), Progress::Sent { .. }));
        let mut sent = 1;
        for fee in [50_000_000_000, 45_000_000_000, 60_000_000_000, 60_000_000_000, 60_000_000_000] {
            stage.chain.set_base_fee(fee);
            stage.chain.mine();
            if let Progress::Sent { .. } = poster.step().await.expect("a step") {
                sent += 1;
            }
        }
        drive(&mut poster, &stage.chain).await;
        assert!(sent >= 2, "sent {sent} times");
        assert_eq!(committed(&stage).await, [(1, 3)]);
    }
}

/// However long it waits, nobody pays more than was allowed; and once it is cheaper again, it goes on.
#[tokio::test]
async fn there_is_a_limit_to_what_is_paid() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(Options { patience: 1, fee_max: 40_000_000_000, ..calldata() });
    poster.commit(&publication(1, 3)).expect("it is taken");
    let mut dear = 0;
    for _ in 0..12 {
        stage.chain.set_base_fee(30_000_000_000);
        stage.chain.mine();
        if let Progress::TooDear { fees, .. } = poster.step().await.expect("a step") {
            assert!(fees.most > 40_000_000_000);
            dear += 1;
        }
    }
    assert!(dear > 8, "too dear {dear} times");
    stage.chain.set_base_fee(1_000_000_000);
    stage.chain.mine();
    drive(&mut poster, &stage.chain).await;
    assert_eq!(committed(&stage).await, [(1, 3)]);
}

/// Somebody else makes batches final while our proof waits.
#[tokio::test]
async fn what_others_have_done_is_not_done_again() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(calldata());
    poster.commit(&publication(1, 3)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    poster.finalise(&proof(1)).expect("it is taken");
    assert!(matches!(poster.step().await.expect("a step"), Progress::Sent { .. }));
    stage.chain.drop_waiting();
    stage.chain.set_mining(holdfast_settlement::embedded::Mining::Immediate);
    let other = Wallet::embedded(&stage.chain, signer(1)).await.expect("it answers");
    let call = IRollup::finaliseCall { proof: proof(1).proof.into(), opening: Default::default() };
    other.order("a proof", stage.client.at.rollup, &call, U256::ZERO).await.expect("it is final");
    assert!(matches!(poster.step().await.expect("a step"), Progress::Displaced { .. }));
    assert_eq!(poster.step().await.expect("a step"), Progress::Idle);
    let left = std::fs::read_dir(stage.folder.path().join("transactions")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_is_deep_is_forgotten() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(Options { depth: 4, ..calldata() });
    for batch in 1..=3 {
        poster.commit(&publication(batch, 3)).expect("it is taken");
    }
    drive(&mut poster, &stage.chain).await;
    assert_eq!(poster.kept().expect("a list"), [1, 2, 3]);
    poster.finalise(&proof(2)).expect("it is taken");
    drive(&mut poster, &stage.chain).await;
    stage.chain.mine_many(6);
    assert_eq!(poster.step().await.expect("a step"), Progress::Idle);
    assert_eq!(poster.kept().expect("a list"), [3]);
}

/// Somebody else with the operator's key.
#[tokio::test]
async fn a_foreign_batch_is_noticed() {
    let (mine, theirs) = (Stage::new().await, tempfile::tempdir().expect("a temporary directory"));
    let mut other =
        holdfast_settlement::Poster::open(mine.client.clone(), theirs.path(), calldata()).expect("it opens");
    let mut publication_of_theirs = publication(1, 4);
    publication_of_theirs.chain = B256::repeat_byte(9);
    other.commit(&publication_of_theirs).expect("it is taken");
    drive(&mut other, &mine.chain).await;
    let mut poster = mine.poster(Options { depth: 2, ..calldata() });
    poster.commit(&publication(1, 4)).expect("it is taken");
    poster.finalise(&proof(1)).expect("it is taken");
    drive(&mut poster, &mine.chain).await;
    mine.chain.mine_many(4);
    let error = poster.step().await.expect_err("another batch 1 is final");
    assert!(matches!(error, Error::Foreign { batch: 1, .. }), "{error}");
}

#[test]
fn the_cheaper_carrier() {
    let small = publication(1, 20);
    let large = publication(1, 8_000);
    let gwei = 1_000_000_000;
    let at = Prices::of;
    let prices = at(&small, gwei, 100 * gwei);
    assert!(prices.calldata < prices.blobs);
    let prices = at(&large, gwei, 1);
    assert!(prices.blobs < prices.calldata);
    // What does not fit is no choice.
    assert_eq!(at(&publication(1, 6 * 4096 + 1), gwei, 1).blobs, None);
    assert_eq!(at(&publication(1, 20_000), gwei, 1).calldata, None);
    assert_eq!(at(&publication(1, 0), gwei, 1).blobs, None);
}
