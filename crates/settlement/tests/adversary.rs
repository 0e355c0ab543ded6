//! An operator who does not do what he should, on the embedded chain, with all contracts and the venue's own engine. The contract that stands in for the proofs' verifier believes whatever it is
//! told: what is refused here is refused though a proof of it were valid.

mod common;

use alloy::{
    primitives::{B256, Bytes, U256},
    rpc::types::TransactionReceipt,
};
use common::{
    refused,
    venue::{Closed, DAY, START, Settled, Statement, account},
};
use holdfast_crypto::Digest;
use holdfast_exchange::opening::{open_account, open_markets, open_system};
use holdfast_protocol::{
    Command, KeyIndex, MarketId, Outcome, SecretKey, Time, TimeMs,
    authority::Session,
    publication::{commitment, digest_of},
};
use holdfast_settlement::{
    Result,
    contracts::IRollup,
    follower::Event,
    poster::Carrier,
    publication::{Publication, forced},
};

const HOUR: u64 = 3_600;

/// A venue whose operator does as it is told here.
struct Venue {
    settled: Settled,
    operator: Session,
    /// What is final.
    root: Digest,
    time: u64,
}

impl Venue {
    async fn new() -> Self {
        let settled = Settled::new().await;
        let at = &settled.operator.at;
        let domain = common::venue::genesis(at.chain, at.vault).deployment.domain();
        let key = KeyIndex::new(0).expect("a key");
        let operator = Session::new(SecretKey::from_seed([1; 32]), &domain, account(1), key, 1);
        Self { root: settled.root, time: START, operator, settled }
    }

    /// Time passes, and the venue's clock with it.
    fn pass(&mut self, seconds: u64) {
        self.settled.chain.pass(seconds);
        self.settled.chain.mine();
        let time = TimeMs::new(self.settled.chain.timestamp() * 1_000).expect("a time");
        let request = self.operator.request(Command::Time(Time { sender: account(1), time }));
        assert_eq!(self.settled.venue.submit(&request), Ok(Outcome::Accepted));
    }

    /// What the inbox has got since the last time.
    async fn entries(&mut self) -> Vec<Vec<[u32; 8]>> {
        let events = self.settled.follower.catch_up().await.expect("it follows").events;
        let blocks = events.into_iter().filter_map(|located| match located.event {
            Event::Appended { blocks, .. } => Some(blocks),
            _ => None,
        });
        blocks.collect()
    }

    fn close(&mut self) -> Closed {
        Closed::new(&mut self.settled.venue)
    }

    async fn commit(&self, publication: &Publication) -> Result<TransactionReceipt> {
        self.settled.commit(publication).await
    }

    /// What is true of a batch after the final ones.
    fn statement(&self, closed: &Closed, digest: &Digest) -> Statement {
        Statement::of(closed, digest, &self.root, self.time)
    }

    async fn finalise(&mut self, statement: &Statement, opening: &Bytes) -> Result<()> {
        self.settled.finalise(statement.encode(), opening).await?;
        self.root = digest_of(&statement.root_new).expect("a digest");
        self.time = statement.end;
        Ok(())
    }

    /// Closes a batch, commits it in calldata, and makes it final.
    async fn settle(&mut self) -> Closed {
        let closed = self.close();
        self.commit(&closed.publication).await.expect("it is committed");
        let statement = self.statement(&closed, &closed.in_calldata());
        self.finalise(&statement, &closed.opening).await.expect("it is final");
        closed
    }

    /// With an account of Alice's.
    async fn opened() -> Self {
        let mut venue = Self::new().await;
        let alice = venue.settled.alice.clone();
        alice.mint(alice.wallet.address, units(50_000_000)).await.expect("tokens");
        alice.deposit(units(5_000_000)).await.expect("a deposit");
        assert_eq!(venue.settled.serve().await, 2);
        venue.settle().await;
        venue
    }
}

fn units(number: u64) -> U256 {
    U256::from(number)
}

/// The operator goes on, but for one entry: nothing becomes final without it, and after a week everybody goes.
#[tokio::test]
async fn he_ignores_a_forced_command() {
    let mut venue = Venue::opened().await;
    let alice = venue.settled.alice.clone();
    alice.withdraw(units(1_000_000)).await.expect("it is appended");
    // For a day he may.
    venue.pass(23 * HOUR);
    venue.settle().await;
    // Then no proof helps.
    venue.pass(2 * HOUR);
    let closed = venue.close();
    venue.commit(&closed.publication).await.expect("it is committed");
    let statement = venue.statement(&closed, &closed.in_calldata());
    refused(venue.finalise(&statement, &closed.opening).await, "entry left out (index 2)");
    refused(alice.freeze().await, "nothing has waited for 7 days");

    venue.pass(6 * DAY);
    alice.freeze().await.expect("it has waited");
    refused(venue.finalise(&statement, &closed.opening).await, "is frozen");
    refused(venue.commit(&closed.publication).await, "is frozen");
    // The last final state is the one before the withdrawal.
    let final_tree = venue.settled.venue.engine().tree().clone();
    let markets = [MarketId::new(0).expect("a market")].into();
    let system = open_system(&final_tree).into();
    refused(alice.record(system, units(1), open_markets(&final_tree, &markets).into()).await, "root wrong");
}

/// He carries out the second entry and not the first, or both in another order: the state's chain is not Ethereum's.
#[tokio::test]
async fn he_skips_an_entry() {
    for order in [&[1][..], &[1, 0], &[0, 0]] {
        let mut venue = Venue::opened().await;
        let alice = venue.settled.alice.clone();
        alice.deposit(units(700_000)).await.expect("a deposit");
        alice.withdraw(units(900_000)).await.expect("a withdrawal");
        let entries = venue.entries().await;
        for &index in order {
            let instruction = forced(&entries[index]).expect("an instruction");
            venue.settled.venue.force(&instruction).expect("the engine cannot know");
        }
        let closed = venue.close();
        venue.commit(&closed.publication).await.expect("it is committed");
        let statement = venue.statement(&closed, &closed.in_calldata());
        refused(venue.finalise(&statement, &closed.opening).await, "inbox head wrong");
    }
}

/// Nor does he carry out what nobody has asked for.
#[tokio::test]
async fn he_makes_an_entry_up() {
    let mut venue = Venue::opened().await;
    let alice = venue.settled.alice.clone();
    alice.deposit(units(700_000)).await.expect("a deposit");
    let entries = venue.entries().await;
    let deposit = forced(&entries[0]).expect("an instruction");
    for _ in 0..2 {
        venue.settled.venue.force(&deposit).expect("the engine cannot know");
    }
    let closed = venue.close();
    venue.commit(&closed.publication).await.expect("it is committed");
    let statement = venue.statement(&closed, &closed.in_calldata());
    refused(venue.finalise(&statement, &closed.opening).await, "inbox range (got 4)");
}

/// The data are those of another batch, or changed in one bit; in calldata and in blobs. The proof is over what was executed.
#[tokio::test]
async fn his_data_do_not_match_the_proof() {
    for carrier in [Carrier::Calldata, Carrier::Blobs] {
        let mut venue = Venue::opened().await;
        let former = venue.settled.venue.engine().clone();
        let alice = venue.settled.alice.clone();
        alice.deposit(units(700_000)).await.expect("a deposit");
        venue.settled.serve().await;
        let closed = venue.close();
        // Another batch that could be: an empty one has no words, so this one has what it should not.
        let mut changed = closed.publication.clone();
        changed.words[0][29] ^= 1;
        let mut longer = closed.publication.clone();
        longer.words.push(closed.publication.words[0]);
        drop(former);
        for wrong in [changed, longer] {
            let snapshot = venue.settled.chain.snapshot();
            let commit = venue.settled.post(&wrong, carrier).await;
            // The proof is made at the point that was committed to, and also at that of the true data.
            for commitment in [commit.commitment, commitment(&closed.publication.words)] {
                let statement = venue.statement(&closed, &closed.digest(&commitment));
                refused(venue.finalise(&statement, &closed.opening).await, "data wrong");
            }
            venue.settled.chain.restore(&snapshot);
            venue.settled.follower.catch_up().await.expect("it follows");
        }
    }
}

/// The venue's clock is Ethereum's, within bounds, and never goes back.
#[tokio::test]
async fn his_time_is_stale_or_in_the_future() {
    let mut venue = Venue::opened().await;
    venue.pass(DAY);
    let closed = venue.close();
    let honest = closed.time.get();
    for time in [START - 1, honest - 2 * DAY * 1_000, honest + DAY * 1_000, u64::MAX] {
        let publication = Publication { time, ..closed.publication.clone() };
        refused(venue.commit(&publication).await, "time range");
    }
    venue.commit(&closed.publication).await.expect("it is committed");
    // The proof has the state's time; the batch was committed with it.
    let statement = venue.statement(&closed, &closed.in_calldata());
    let later = Statement { end: honest + 1, ..statement.clone() };
    refused(venue.finalise(&later, &closed.opening).await, "time wrong");
    let earlier = Statement { start: START + 1, ..statement.clone() };
    refused(venue.finalise(&earlier, &closed.opening).await, "time wrong");
    venue.finalise(&statement, &closed.opening).await.expect("it is final");
}

/// A proof over another venue's state, of other batches, or of another circuit.
#[tokio::test]
async fn his_proof_is_of_another_chain_or_key() {
    let mut venue = Venue::opened().await;
    let closed = venue.close();
    venue.commit(&closed.publication).await.expect("it is committed");
    let honest = venue.statement(&closed, &closed.in_calldata());
    let other = B256::repeat_byte(0x22);
    let wrong = [
        (Statement { root_old: other, ..honest.clone() }, "root old wrong"),
        (Statement { segment_key: other, ..honest.clone() }, "segment key wrong"),
        (Statement { first: honest.first - 1, ..honest.clone() }, "batch wrong"),
        (Statement { first: honest.first + 1, ..honest.clone() }, "batch wrong"),
        (Statement { last: honest.last + 1, ..honest.clone() }, "not committed"),
        (Statement { last: honest.last - 1, ..honest.clone() }, "not committed"),
        (Statement { data: other, ..honest.clone() }, "data wrong"),
        (Statement { root_new: other, ..honest.clone() }, "root wrong"),
    ];
    for (statement, why) in wrong {
        refused(venue.finalise(&statement, &closed.opening).await, why);
    }
    venue.finalise(&honest, &closed.opening).await.expect("it is final");
}

/// A batch that is final, committed and proven again.
#[tokio::test]
async fn he_replays_a_batch() {
    let mut venue = Venue::opened().await;
    let alice = venue.settled.alice.clone();
    alice.deposit(units(700_000)).await.expect("a deposit");
    venue.settled.serve().await;
    let closed = venue.close();
    let statement = venue.statement(&closed, &closed.in_calldata());
    venue.commit(&closed.publication).await.expect("it is committed");
    refused(venue.commit(&closed.publication).await, "batch wrong (expected 3, got 2)");
    venue.finalise(&statement, &closed.opening).await.expect("it is final");
    refused(venue.finalise(&statement, &closed.opening).await, "root old wrong");
    // Its data as the next batch: the proof is still over the second, from the state before it. (Of the third there is none: what a proof hashes begins with the batch's number.)
    let again = Publication { batch: 3, ..closed.publication.clone() };
    venue.commit(&again).await.expect("data are data");
    refused(venue.finalise(&statement, &closed.opening).await, "root old wrong");
    let rooted = Statement { root_old: statement.root_new, ..statement };
    refused(venue.finalise(&rooted, &closed.opening).await, "batch wrong (expected 3, got 2)");
}

/// Nobody is paid twice, and nobody gets what is another's.
#[tokio::test]
async fn a_withdrawal_is_paid_once_and_to_its_owner() {
    let mut venue = Venue::opened().await;
    let (alice, thief) = (venue.settled.alice.clone(), venue.settled.operator.clone());
    let owner = alice.wallet.address;
    alice.withdraw(units(2_000_000)).await.expect("it is appended");
    venue.settled.serve().await;
    venue.settle().await;
    let payout = |account: u64, amount| IRollup::Payout { account: units(account), amount, headBefore: B256::ZERO };
    for wrong in [payout(3, units(2_000_001)), payout(0, units(2_000_000)), payout(1 << 20, units(2_000_000))] {
        refused(thief.pay(0, 1, vec![wrong]).await, "payout wrong");
    }
    // Anybody may have it paid: it goes to the owner.
    thief.pay(0, 1, vec![payout(3, units(2_000_000))]).await.expect("a payout");
    refused(thief.pay(0, 0, vec![payout(3, units(2_000_000))]).await, "nothing to pay");
    // By its number, somebody else was faster.
    thief.pay(0, 1, vec![payout(3, units(2_000_000))]).await.expect("nothing happens");
    assert_eq!(alice.claimable(owner).await.expect("an answer"), units(2_000_000));
    refused(thief.claim(thief.wallet.address).await, "nothing to claim");
    let before = alice.balance(owner).await.expect("an answer");
    thief.claim(owner).await.expect("a claim, for her");
    refused(alice.claim(owner).await, "nothing to claim");
    assert_eq!(alice.balance(owner).await.expect("an answer"), before + units(2_000_000));
    assert_eq!(thief.balance(thief.wallet.address).await.expect("an answer"), U256::ZERO);
}

/// Dust costs its sender a fee an entry, and is consumed with the rest: it does not delay who was there before, and who comes after is served in the same batch.
#[tokio::test]
async fn somebody_deposits_dust() {
    const DUST: u64 = 400;
    let mut venue = Venue::opened().await;
    let (alice, thief) = (venue.settled.alice.clone(), venue.settled.operator.clone());
    refused(thief.deposit(units(1)).await, "amount wrong");
    alice.withdraw(units(100)).await.expect("it is appended");
    thief.mint(thief.wallet.address, units(100 * DUST)).await.expect("tokens");
    for _ in 0..DUST {
        thief.deposit(units(100)).await.expect("a deposit");
    }
    alice.withdraw(units(200)).await.expect("it is appended");
    let paid = units(thief.fee().await.expect("an answer").to::<u64>() * (DUST + 1));
    let rollup = &thief.wallet.provider;
    let held = alloy::providers::Provider::get_balance(rollup, thief.at.inbox).await.expect("an answer");
    assert!(held >= paid, "{held} is less than {paid}");
    assert_eq!(venue.settled.serve().await as u64, DUST + 3);
    venue.settle().await;
    let collateral = venue.settled.venue.engine().account(account(3)).collateral;
    assert_eq!(collateral, 5_000_000 - 300);
    let tree = venue.settled.venue.engine().tree();
    assert!(!open_account(tree, account(3)).is_empty());
}
