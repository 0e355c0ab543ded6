//! An upgrade, rehearsed on forks of a venue's chain: nine of the council's twelve put another verifier in the place of the first, and whoever does not want it leaves, before, during and after.
//!
//! The base is a venue at work on the embedded chain, served by HTTP as `holdfast devnet` serves it; each story has a fork of its own, by anvil. Contracts, states and openings are the real ones: only proofs are
//! not there, and each verifier is a contract that believes what it is told.
//!
//! Anvil comes with `npm ci` in `contracts/`; without it, this test says so and passes, unless `HOLDFAST_ANVIL=1` insists.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;
#[path = "common/fork.rs"]
mod fork;
#[path = "common/market.rs"]
mod market;

use alloy::primitives::{Address, B256, U256};
use common::venue::{DAY, SEGMENT_KEY, genesis};
use fork::{Base, Fork};
use holdfast_settlement::{
    Error, Result, Venue,
    client::{ask, holdings},
    contracts::{IParts, IProposals},
    poster::Carrier,
};
use holdfast_watcher::{Alarm, Proofs, Watcher, check, check_to_leave};
use market::{deposited, leave};

const NEXT_KEY: B256 = B256::repeat_byte(0x22);
const HOUR: u64 = 3_600;
/// From the ninth approval to the upgrade.
const NOTICE: u64 = 30 * DAY;

fn refused<T>(result: Result<T>, why: &str) {
    match result {
        Ok(_) => panic!("expected {why}, and it was let in"),
        Err(Error::Reverted { reason, .. }) => assert!(reason.contains(why), "expected {why}, got {reason}"),
        Err(error) => panic!("expected {why}, got {error}"),
    }
}

async fn alarms(watcher: &mut Watcher) -> Vec<Alarm> {
    watcher.look().await.expect("the fork answers").alarms
}

/// The verifier that the rollup has.
async fn verifier(fork: &Fork) -> Address {
    ask(&fork.provider, "the verifier", fork.at.rollup, &IParts::verifierCall {}, None).await.expect("an answer")
}

/// Time passes until then; the venue's clock stands.
async fn pass_to(fork: &Fork, then: u64) {
    let now = fork.now().await;
    market::pass(&fork.provider, then - now).await;
}

/// The council's proposal of another verifier: the first of all, number 0.
struct Upgrade {
    verifier: Address,
    /// When it can be carried out, in seconds.
    ready: u64,
}

impl Upgrade {
    /// With eight approvals.
    async fn proposed(fork: &Fork) -> Self {
        let verifier = fork.verifier().await;
        fork.propose(&IProposals::setVerifierCall { verifier, segmentKey: NEXT_KEY }).await;
        for seat in 1..8 {
            fork.approve(seat, 0).await;
        }
        Self { verifier, ready: u64::MAX }
    }

    /// With the ninth: the notice begins.
    async fn approved(fork: &Fork) -> Self {
        let proposed = Self::proposed(fork).await;
        proposed.approve(fork).await
    }

    async fn approve(self, fork: &Fork) -> Self {
        fork.approve(8, 0).await;
        Self { ready: fork.now().await + NOTICE, ..self }
    }

    /// What a watcher says of it.
    fn alarm(&self) -> Alarm {
        let proposed = format!("another verifier, {}, for segments of key {NEXT_KEY}", self.verifier);
        Alarm::Proposal { id: 0, ready_at: self.ready, proposed }
    }
}

/// While approvals are gathered.
async fn before(mut fork: Fork) {
    let mut watcher = fork.stranger();
    let upgrade = Upgrade::proposed(&fork).await;
    fork.sessions.trade(&mut fork.venue, 1);
    fork.withdraw(&mut watcher, 1, 30_000, Carrier::Calldata, SEGMENT_KEY).await;
    fork.pass(DAY).await;
    assert_eq!(alarms(&mut watcher).await, [], "eight of twelve are too few");
    refused(fork.execute(0).await, "not ready (id 0)");
    let upgrade = upgrade.approve(&fork).await;
    assert_eq!(alarms(&mut watcher).await, [upgrade.alarm()]);
    refused(fork.execute(0).await, "not ready (id 0)");
}

/// In the thirty days the venue goes on as ever, and everybody is heard to the last second.
async fn during(mut fork: Fork) {
    let mut watcher = fork.stranger();
    let former = verifier(&fork).await;
    let upgrade = Upgrade::approved(&fork).await;
    for week in 1..=5 {
        fork.pass(6 * DAY - 2 * HOUR).await;
        assert!(fork.now().await < upgrade.ready);
        refused(fork.execute(0).await, "not ready (id 0)");
        // What the new verifier would believe does not count.
        fork.sessions.trade(&mut fork.venue, 1);
        fork.sessions.mark(&mut fork.venue, 10_400 + week);
        let committed = fork.commit(Carrier::Calldata).await;
        refused(fork.prove(&committed, NEXT_KEY).await, "segment key wrong");
        fork.prove(&committed, SEGMENT_KEY).await.expect("it is final");
        let carrier = if week % 2 == 0 { Carrier::Calldata } else { Carrier::Blobs };
        fork.withdraw(&mut watcher, week as usize, 10_000 + u64::from(week), carrier, SEGMENT_KEY).await;
        assert_eq!(alarms(&mut watcher).await, [upgrade.alarm()]);
    }
    // To the last minutes.
    pass_to(&fork, upgrade.ready - HOUR / 6).await;
    refused(fork.execute(0).await, "not ready (id 0)");
    assert_eq!(verifier(&fork).await, former);
}

/// The operator, who may be part of it, ignores somebody in the thirty days: the upgrade is over before its time.
async fn ignored(mut fork: Fork) {
    let former = verifier(&fork).await;
    let upgrade = Upgrade::approved(&fork).await;
    fork.pass(DAY).await;
    let (ignored, late) = (fork.traders[4].clone(), fork.traders[5].clone());
    ignored.withdraw(U256::from(1_000_000)).await.expect("a withdrawal");
    late.mint(late.wallet.address, U256::from(5_000)).await.expect("tokens");
    late.deposit(U256::from(5_000)).await.expect("a deposit");
    // For a day he may.
    fork.pass(23 * HOUR).await;
    fork.sessions.trade(&mut fork.venue, 1);
    let committed = fork.commit(Carrier::Blobs).await;
    fork.prove(&committed, SEGMENT_KEY).await.expect("it is final");
    fork.pass(2 * HOUR).await;
    let committed = fork.commit(Carrier::Calldata).await;
    refused(fork.prove(&committed, SEGMENT_KEY).await, "entry left out");
    let anybody = fork.traders[3].clone();
    refused(anybody.freeze().await, "nothing has waited for 7 days");
    fork.pass(6 * DAY).await;
    anybody.freeze().await.expect("somebody has waited");

    // Whoever comes now has the fork's endpoint, and nothing of the operator's.
    let mut watcher = fork.stranger();
    assert_eq!(alarms(&mut watcher).await, [Alarm::Frozen], "a frozen venue has no upgrade");
    assert_eq!(leave(&mut watcher, &anybody).await, U256::from(deposited() + 5_000));
    let now = fork.now().await;
    assert!(now < upgrade.ready, "all are out before");
    pass_to(&fork, upgrade.ready).await;
    refused(fork.execute(0).await, "is frozen");
    assert_eq!(verifier(&fork).await, former);
}

/// The upgrade is carried out: the venue goes on by the new verifier, and ends as every venue can.
async fn after(mut fork: Fork) {
    let mut watcher = fork.stranger();
    let former = verifier(&fork).await;
    let venue = Venue::new(&fork.at, genesis(fork.at.chain, fork.at.vault));
    let checked = check(&venue, &fork.provider, &Proofs::Unverified).await.expect("it is in order");
    assert_eq!((checked.batch_final, checked.replaced), (2, None));
    let upgrade = Upgrade::approved(&fork).await;
    for _ in 0..4 {
        fork.pass(6 * DAY).await;
        let committed = fork.commit(Carrier::Calldata).await;
        fork.prove(&committed, SEGMENT_KEY).await.expect("it is final");
    }
    let rest = upgrade.ready - fork.now().await;
    fork.pass(rest - HOUR).await;
    fork.sessions.trade(&mut fork.venue, 1);
    let committed = fork.commit(Carrier::Blobs).await;
    let told = alarms(&mut watcher).await;
    assert!(matches!(&told[..], [first, Alarm::Stale { .. }] if *first == upgrade.alarm()), "{told:?}");
    pass_to(&fork, upgrade.ready).await;
    fork.execute(0).await.expect("its time has come");
    assert_eq!(verifier(&fork).await, upgrade.verifier);

    // What the former one would believe does not count any more; the new one says what was committed before.
    refused(fork.prove(&committed, SEGMENT_KEY).await, "segment key wrong");
    fork.prove(&committed, NEXT_KEY).await.expect("it is final");
    let replaced =
        Alarm::Replaced { what: "verifier", expected: former.to_string(), got: upgrade.verifier.to_string() };
    assert_eq!(alarms(&mut watcher).await, std::slice::from_ref(&replaced), "it is carried out, and told from now on");
    refused(fork.execute(0).await, "already executed");
    // Who brings money is refused, since the file names the former one; who leaves is not.
    let error = check(&venue, &fork.provider, &Proofs::Unverified).await.expect_err("it is another venue now");
    assert!(error.to_string().contains("verifier that the rollup names"), "{error}");
    let leaving = check_to_leave(&venue, &fork.provider, &Proofs::Unverified).await.expect("the rest is in order");
    assert_eq!(leaving.replaced, Some(upgrade.verifier));
    fork.pass(DAY).await;
    fork.withdraw(&mut watcher, 1, 40_000, Carrier::Calldata, NEXT_KEY).await;

    // Who verifies proofs has none here that holds, and says so of each; from the upgrade on it cannot tell, and says that once.
    let mut strict = market::stranger(&fork.provider, &fork.at, Proofs::bundled);
    let told = alarms(&mut strict).await;
    let kinds: Vec<_> = told.iter().map(Alarm::kind).collect();
    let expected = [&["proof"; 6][..], &["foreign", "replaced", "replaced"]].concat();
    assert_eq!(kinds, expected);
    assert_eq!(told[6], Alarm::Foreign { batch: 7, verifier: upgrade.verifier.to_string() });

    // The operator vanishes.
    let anybody = fork.traders[3].clone();
    refused(anybody.freeze().await, "nothing has waited for 7 days");
    market::pass(&fork.provider, 7 * DAY + HOUR).await;
    anybody.freeze().await.expect("nothing became final");
    let mut stranger = fork.stranger();
    assert_eq!(alarms(&mut stranger).await, [replaced, Alarm::Frozen]);
    assert_eq!(leave(&mut stranger, &anybody).await, U256::from(deposited()));
}

#[tokio::test]
async fn everybody_can_leave_before_during_and_after() {
    let base = Base::new().await;
    let (head, settled) = (base.head(), &base.market.settled);
    let held = holdings(&settled.chain.provider(), &settled.operator.at, head.0).await.expect("an answer");
    for story in ["before", "during", "ignored", "after"] {
        println!("story: {story}");
        let Some(fork) = Fork::of(&base).await else { return };
        match story {
            "before" => before(fork).await,
            "during" => during(fork).await,
            "ignored" => ignored(fork).await,
            _ => after(fork).await,
        }
        assert_eq!(base.head(), head, "the base is as it was");
    }
    let after = holdings(&settled.chain.provider(), &settled.operator.at, head.0).await.expect("an answer");
    assert_eq!(after, held);
}
