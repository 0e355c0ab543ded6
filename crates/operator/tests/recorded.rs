//! A real proof of a whole venue, under the real verifier, with all contracts: what an honest operator does is accepted, to the last unit, and whatever differs from what was proven is refused.
//!
//! The proof is recorded, since it takes minutes to make; the rest is done anew each time (`stage`). The test that makes it is asked for by name; with `HOLDFAST_BLESS=1` it writes
//! `recorded/last.proof`:
//!
//! ```console
//! $ HOLDFAST_BLESS=1 cargo test --release --locked -p holdfast-operator --test recorded -- --ignored
//! ```

#[path = "../../settlement/tests/common/mod.rs"]
mod common;
#[path = "recorded/stage.rs"]
mod stage;

use std::collections::BTreeMap;

use alloy::{
    primitives::{B256, Bytes, U256},
    sol,
};
use common::{
    refused, signer,
    venue::{DAY, Settled},
};
use holdfast_circuit::last::{LastKey, LastPublic, export::export, public::offset};
use holdfast_crypto::{
    Digest,
    field::{PRIME, cell_to_canonical},
    poseidon2::compress,
};
use holdfast_exchange::{Engine, opening::open_bridge};
use holdfast_operator::{Operator, Prover, Status};
use holdfast_protocol::publication::{digest_of, digest_word};
use holdfast_prover::SegmentLimits;
use holdfast_settlement::{
    Error, Publication, Result, Venue,
    embedded::{Config, Snapshot},
    follower::Event,
    poster::Carrier,
};
use holdfast_watcher::{Proofs, Watcher, check};
use stage::{
    ASKED, Ask, BLESS, Closed, DEPOSIT, ENTRIES, FORCED, HOUR, Recorded, SIGNED, Stage, TRADERS, bless, bundled,
    config, fits, segment_key,
};

sol! {
    interface IToken {
        function totalSupply() external view returns (uint256);
    }

    interface IRegistry {
        function batches(uint256 batch) external view returns (bytes32 digest, uint64 time, uint64 committedAt);
    }
}

/// What the verifier says of a statement that is not the proof's: all its challenges are others then, and the first witness of work is none for them.
const NOT_PROVEN: &str = "witness wrong";
/// What the verifier finds wrong in a proof of the right length.
const VERIFIER: [&str; 13] = [
    "not canonical",
    "witness wrong",
    "gkr root not zero",
    "gkr root denominator",
    "gkr layer",
    "numerators wrong",
    "denominators wrong",
    "batch sum wrong",
    "constraints wrong",
    "stacking sum wrong",
    "stacking claim wrong",
    "merkle path wrong",
    "final polynomial wrong",
];
/// Where the statement stands in a proof, behind a commitment.
const STATEMENT: usize = 32;

/// With both batches proven, everything is paid and claimed, and a watcher that verifies the proof itself has nothing to say.
async fn everything_is_accounted_for(stage: &Stage, operator: Operator) {
    let Status { batches, committed, finished, inbox, served, payouts, paid, .. } = operator.status();
    assert_eq!((batches, committed, finished), (2, 2, 2));
    assert_eq!((inbox, served, payouts, paid), (ENTRIES, ENTRIES, 2, 2));
    let root = operator.engine().root();
    operator.end();
    let [anybody, .., last] = &stage.traders[..] else { unreachable!("there are three") };
    assert_eq!(anybody.root().await.expect("an answer"), digest_word(&root));
    for (client, amount) in [(anybody, SIGNED), (last, FORCED)] {
        let owner = client.wallet.address;
        assert_eq!(client.claimable(owner).await.expect("an answer"), U256::from(amount));
        anybody.claim(owner).await.expect("a claim");
        assert_eq!(client.balance(owner).await.expect("an answer"), U256::from(amount));
        refused(anybody.claim(owner).await, "nothing to claim");
    }

    let mut watcher = Watcher::new(stage.genesis.clone(), Proofs::bundled, stage.follower()).expect("a valid genesis");
    let report = watcher.look().await.expect("Ethereum answers");
    assert_eq!(report.alarms, [], "{report:?}");
    assert_eq!((report.batch_final, report.batch_committed), (2, 2));
    let (deposited, withdrawn) = (u64::from(TRADERS) * DEPOSIT, SIGNED + FORCED);
    assert_eq!(report.deposits, (deposited - withdrawn).to_string());
    assert_eq!((report.payouts.as_str(), report.waiting.as_str(), report.claimable.as_str()), ("0", "0", "0"));
    assert_eq!(report.held, report.deposits, "the vault has what accounts have, and no more");
    let equities: BTreeMap<u32, i128> =
        watcher.rebuilt().exits().map(|exit| (exit.account.get(), exit.equity)).collect();
    assert_eq!(equities.values().sum::<i128>(), i128::from(deposited - withdrawn), "{equities:?}");
    let traded = |id, amount: u64| equities[&id] != i128::from(DEPOSIT - amount);
    assert!(traded(3, SIGNED) && traded(4, 0) && traded(5, FORCED), "not all have traded: {equities:?}");
    let supply = anybody.wallet.ask("all tokens", anybody.at.token, &IToken::totalSupplyCall {}).await;
    let held: U256 = report.held.parse().expect("a number");
    assert_eq!(supply.expect("an answer"), held + U256::from(withdrawn), "each token is a trader's or the vault's");
}

#[tokio::test]
async fn a_real_proof_makes_a_venue_final_and_pays_to_the_unit() {
    let stage = Stage::new().await;
    let venue = Venue::new(&stage.settled.operator.at, stage.genesis.clone());
    let checked = check(&venue, &stage.settled.chain.provider(), &Proofs::bundled()).await.expect("it is in order");
    assert_eq!(checked.key_commitment, Some(B256::from(bundled().commitment)));
    let working = stage.work(Recorded).await;
    let proof = stage.recorded(&stage.closed());
    let operator = working.finish().await;
    let handed_in = stage.follower().catch_up().await.expect("it follows").events;
    let handed_in = handed_in.iter().find(|located| matches!(located.event, Event::Final { batch: 2, .. }));
    let transaction = handed_in.expect("both are final at once").transaction;
    assert_eq!(stage.follower().proof_in(transaction).await.expect("it is there"), Some(proof));
    everything_is_accounted_for(&stage, operator).await;
}

/// The same venue, with the operator's own prover. A proof has random witnesses of work: it is another one each time, with one statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a real proof: minutes"]
async fn the_proof_is_made_anew() {
    let stage = Stage::new().await;
    let prover = Prover::open(&stage.path().join("jobs"), SegmentLimits::default()).expect("it opens");
    let working = stage.work(prover).await;
    let operator = working.finish().await;
    let statement = stage.statement(&stage.closed());
    let events = stage.follower().catch_up().await.expect("it follows").events;
    let last = events.iter().find(|located| matches!(located.event, Event::Final { .. })).expect("it is final");
    let proof = stage.follower().proof_in(last.transaction).await.expect("it is there").expect("a proof");
    assert_eq!(LastKey::bundled().verify(&proof), Ok(statement));
    everything_is_accounted_for(&stage, operator).await;
    if std::env::var("HOLDFAST_BLESS").as_deref() == Ok("1") {
        bless(&proof);
    }
    // What is kept says the same.
    stage.recorded(&stage.closed());
}

/// A venue whose two batches are committed, and its proof.
struct Drill {
    stage: Stage,
    closed: [Closed; 2],
    statement: LastPublic,
    proof: Vec<u8>,
    /// Both are committed as they were proven.
    committed: Snapshot,
}

impl Drill {
    async fn new() -> Self {
        let stage = Stage::new().await;
        stage.work(Recorded).await.abandon();
        let closed = stage.closed();
        let (statement, proof) = (stage.statement(&closed), stage.recorded(&closed));
        let committed = stage.settled.chain.snapshot();
        Self { stage, closed, statement, proof, committed }
    }

    fn settled(&self) -> &Settled {
        &self.stage.settled
    }

    /// Back to where both batches are committed as they were proven.
    fn again(&self) {
        self.settled().chain.restore(&self.committed);
    }

    fn publication(&self, batch: usize) -> Publication {
        self.closed[batch - 1].publication.clone()
    }

    /// Of the state that was proven.
    fn opening(&self) -> &Bytes {
        &self.closed[1].opening
    }

    async fn finalise(&self, proof: &[u8]) -> Result<()> {
        self.settled().finalise(proof.to_vec(), self.opening()).await.map(drop)
    }

    /// With the proof as it was made.
    async fn finalise_honestly(&self) -> Result<()> {
        self.finalise(&self.proof).await
    }

    /// Takes both batches back, and commits others in calldata.
    async fn commit_instead(&self, publications: [Publication; 2]) {
        self.again();
        self.settled().operator.remove(1).await.expect("they are not final");
        for publication in publications {
            self.settled().commit(&publication).await.expect("data are data");
        }
    }

    /// What the rollup keeps of a batch.
    async fn digest(&self, batch: u64) -> Digest {
        let (wallet, rollup) = (&self.settled().operator.wallet, self.settled().operator.at.rollup);
        let call = IRegistry::batchesCall { batch: U256::from(batch) };
        let kept = wallet.ask("what is kept of a batch", rollup, &call).await.expect("an answer");
        digest_of(&kept.digest).expect("a digest")
    }

    /// The proof, with other cells written into its statement.
    fn with_cells(&self, at: usize, cells: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut proof = self.proof.clone();
        for (cell, place) in cells.into_iter().zip((STATEMENT + 4 * at..).step_by(4)) {
            proof[place..place + 4].copy_from_slice(&cell.to_be_bytes());
        }
        proof
    }

    /// Refused as it is; and with the statement that the rollup wants, which nobody has proven.
    async fn data_are_refused(&self) {
        refused(self.finalise_honestly().await, "data wrong");
        let digests = [self.digest(1).await, self.digest(2).await];
        let data = digests.iter().fold(Digest::default(), |data, digest| compress(&data, digest));
        assert_ne!(data, self.statement.data);
        refused(self.finalise(&self.with_cells(offset::DATA, data.map(cell_to_canonical))).await, NOT_PROVEN);
    }
}

/// A test that needs the proof ends with what to do where it is another one's.
#[tokio::test]
async fn a_proof_that_does_not_fit_says_how_to_record_it_anew() {
    let Drill { closed, statement, mut proof, stage, .. } = Drill::new().await;
    assert_eq!(fits(&proof, &statement), Ok(()));
    let of_others = [
        LastPublic { root_new: closed[0].committed.root, ..statement.clone() },
        LastPublic { segment_key: Digest::default(), ..statement.clone() },
        LastPublic { time_end: statement.time_end + 1, ..statement.clone() },
    ];
    for other in of_others {
        let error = fits(&proof, &other).expect_err("it says something else");
        assert!(error.contains("of another venue") && error.ends_with(BLESS), "{error}");
    }
    proof[1 << 10] ^= 1;
    let error = fits(&proof, &stage.statement(&closed)).expect_err("it is changed");
    assert!(error.contains("is not valid") && error.ends_with(BLESS), "{error}");
}

/// One bit, a word more or less, one batch's data for another's.
#[tokio::test]
async fn data_that_were_not_proven_are_refused() {
    let drill = Drill::new().await;
    let [first, second] = [1, 2].map(|batch| drill.publication(batch));
    let changed = |publication: &Publication, change: fn(&mut Publication)| {
        let mut changed = publication.clone();
        change(&mut changed);
        changed
    };
    let bit = |publication: &mut Publication| publication.words[0][29] ^= 1;
    let longer = |publication: &mut Publication| publication.words.push(publication.words[0]);
    let shorter = |publication: &mut Publication| publication.words.truncate(publication.words.len() - 1);
    let chain = |publication: &mut Publication| {
        publication.chain = digest_word(&compress(&Digest::default(), &Digest::default()));
    };
    for change in [bit, longer, shorter, chain] {
        drill.commit_instead([changed(&first, change), second.clone()]).await;
        drill.data_are_refused().await;
        drill.commit_instead([first.clone(), changed(&second, change)]).await;
        drill.data_are_refused().await;
    }

    // Each with the data of the other, at the times that were proven; and one of them twice.
    let words = |at: &Publication, of: &Publication| Publication { words: of.words.clone(), ..at.clone() };
    let all = |at: &Publication, of: &Publication| Publication { chain: of.chain, ..words(at, of) };
    for pair in [
        [all(&first, &second), all(&second, &first)],
        [words(&first, &second), words(&second, &first)],
        [first.clone(), all(&second, &first)],
        [all(&first, &second), second.clone()],
    ] {
        drill.commit_instead(pair).await;
        drill.data_are_refused().await;
    }

    // What was proven may be committed anew: the proof is of data, not of transactions.
    drill.commit_instead([first, second]).await;
    drill.finalise_honestly().await.expect("it is what was proven");
}

/// The proof evaluates the words at the point that follows from calldata. In a blob the same words have another point.
#[tokio::test]
async fn the_same_words_in_a_blob_are_refused() {
    let mut drill = Drill::new().await;
    let publications = [1, 2].map(|batch| drill.publication(batch));
    for blobs in [[true, false], [false, true], [true, true]] {
        drill.again();
        drill.settled().operator.remove(1).await.expect("they are not final");
        drill.stage.settled.follower.catch_up().await.expect("it follows");
        for ((publication, closed), in_blob) in publications.iter().zip(&drill.closed).zip(blobs) {
            let carrier = if in_blob { Carrier::Blobs } else { Carrier::Calldata };
            let commit = drill.stage.settled.post(publication, carrier).await;
            assert_eq!(commit.words.as_ref(), Ok(&publication.words));
            assert_eq!(commit.digest == digest_word(&closed.committed.digest()), !in_blob);
        }
        drill.data_are_refused().await;
    }
}

/// The times at which the batches end are proven too.
#[tokio::test]
async fn a_time_that_was_not_proven_is_refused() {
    let drill = Drill::new().await;
    let at = |batch: usize, milliseconds: i64| {
        let publication = drill.publication(batch);
        Publication { time: publication.time.strict_add_signed(milliseconds), ..publication }
    };
    for milliseconds in [-1, 1, 60_000] {
        drill.commit_instead([at(1, milliseconds), at(2, 0)]).await;
        drill.data_are_refused().await;
        drill.commit_instead([at(1, 0), at(2, milliseconds)]).await;
        refused(drill.finalise_honestly().await, "time wrong (expected");
        // With the rollup's time written into the statement.
        let time = at(2, milliseconds).time;
        let limbs = [0, 14, 28].map(|bits| (time >> bits) as u32 & ((1 << 14) - 1));
        refused(drill.finalise(&drill.with_cells(offset::TIME_END, limbs)).await, NOT_PROVEN);
    }
    // In the other order of time, or far from Ethereum's, they are not even committed.
    drill.again();
    drill.settled().operator.remove(1).await.expect("they are not final");
    let late = Publication { time: at(2, 0).time, ..at(1, 0) };
    drill.settled().commit(&late).await.expect("a time of now");
    let early = Publication { time: at(1, 0).time, ..at(2, 0) };
    refused(drill.settled().commit(&early).await, "time range");
    drill.settled().chain.pass(DAY);
    drill.settled().chain.mine();
    refused(drill.settled().commit(&at(2, 0)).await, "time range");
}

/// Each word of the statement, one at a time; bytes all over the proof; other lengths.
#[tokio::test]
async fn a_changed_proof_is_refused() {
    let drill = Drill::new().await;
    for at in 0..LastPublic::CELLS {
        let place = STATEMENT + 4 * at;
        let cell = u32::from_be_bytes(drill.proof[place..place + 4].try_into().expect("four bytes"));
        assert!(cell < PRIME);
        for other in [(cell + 1) % PRIME, (cell + PRIME - 1) % PRIME] {
            refused(drill.finalise(&drill.with_cells(at, [other])).await, NOT_PROVEN);
        }
        // Another spelling of the same.
        refused(drill.finalise(&drill.with_cells(at, [cell + PRIME])).await, "not canonical");
    }
    // The commitment in front of it, what follows it, and every hundredth part of the rest.
    let length = drill.proof.len();
    let places = [0, STATEMENT - 1, STATEMENT + 4 * LastPublic::CELLS + 3, length - 1];
    for place in (1..100).map(|part| part * length / 100).chain(places) {
        let mut changed = drill.proof.clone();
        changed[place] ^= 1;
        let error = drill.finalise(&changed).await.expect_err("it is changed");
        let Error::Reverted { reason, .. } = &error else { panic!("byte {place}: {error}") };
        assert!(VERIFIER.iter().any(|named| reason.starts_with(named)), "byte {place}: {reason}");
    }
    let longer = [&drill.proof[..], &[0]].concat();
    for proof in [&[][..], &drill.proof[..length - 4], &drill.proof[4..], &longer] {
        refused(drill.finalise(proof).await, "proof length (expected");
    }
    drill.finalise_honestly().await.expect("it is as it was made");
}

/// Handed in again, after finality, and with the data committed again.
#[tokio::test]
async fn a_replay_is_refused() {
    let drill = Drill::new().await;
    drill.finalise_honestly().await.expect("it is what was proven");
    assert_eq!(drill.settled().operator.batch_final().await.expect("an answer"), 2);
    refused(drill.finalise_honestly().await, "root old wrong");
    refused(drill.settled().commit(&drill.publication(2)).await, "batch wrong (expected 3, got 2)");
    refused(drill.settled().operator.remove(2).await, "nothing to remove");
    // The same data with the next numbers, of which there is no proof: what is hashed begins with a batch's number.
    let time = drill.publication(2).time;
    for batch in [1, 2] {
        let again = Publication { batch: 2 + batch as u64, time, ..drill.publication(batch) };
        drill.settled().commit(&again).await.expect("data are data");
    }
    refused(drill.finalise_honestly().await, "root old wrong");
    let root = drill.statement.root_new.map(cell_to_canonical);
    refused(drill.finalise(&drill.with_cells(offset::ROOT_OLD, root)).await, NOT_PROVEN);
}

/// The proven data, on a rollup that is like this one but for one thing.
async fn elsewhere(drill: &Drill, settled: Settled) -> Result<()> {
    settled.chain.pass(HOUR);
    settled.chain.mine();
    for batch in [1, 2] {
        settled.commit(&drill.publication(batch)).await.expect("data are data");
    }
    settled.finalise(drill.proof.clone(), drill.opening()).await.map(drop)
}

#[tokio::test]
async fn a_proof_of_another_chain_or_vault_is_refused() {
    let drill = Drill::new().await;
    let key = digest_word(&segment_key());
    let other_chain = Config { chain: 31_338, ..config() };
    let settled = Settled::made(other_chain, signer(0), Some((bundled(), key))).await;
    assert_eq!(settled.operator.at.vault, drill.settled().operator.at.vault);
    refused(elsewhere(&drill, settled).await, "root old wrong");
    let settled = Settled::made(config(), signer(1), Some((bundled(), key))).await;
    assert_ne!(settled.operator.at.vault, drill.settled().operator.at.vault);
    refused(elsewhere(&drill, settled).await, "root old wrong");
}

/// Segments of another circuit, and a last proof of another.
#[tokio::test]
async fn a_proof_of_another_key_is_refused() {
    let drill = Drill::new().await;
    let segments = B256::repeat_byte(0x22);
    let settled = Settled::made(config(), signer(0), Some((bundled(), segments))).await;
    assert_eq!(digest_word(&settled.root), digest_word(&drill.statement.root_old));
    refused(elsewhere(&drill, settled).await, "segment key wrong");
    // A key that differs in what its circuit commits to.
    let mut key = LastKey::bundled().clone();
    let commitment = key.cached_commitments.iter_mut().flatten().next().expect("the circuit below is committed to");
    commitment[31] ^= 1;
    let other = export(&key).expect("it has the shape of one");
    let settled = Settled::made(config(), signer(0), Some((&other, digest_word(&segment_key())))).await;
    refused(elsewhere(&drill, settled).await, NOT_PROVEN);
}

/// The state that was proven has consumed the inbox as it was. On an Ethereum where others asked, or in another order, it is refused.
#[tokio::test]
async fn an_inbox_that_was_not_consumed_is_refused() {
    let drill = Drill::new().await;
    let mut swapped = ASKED;
    swapped.swap(1, 2);
    let mut another = ASKED;
    another[6].1 = Ask::Withdraw(FORCED + 1);
    let skipped = [&ASKED[..6], &[(1, Ask::CancelAll)], &ASKED[6..]].concat();
    let twice = [&ASKED[..6], &[ASKED[6], ASKED[6]]].concat();
    let made_up = &ASKED[..6];
    let short = format!("inbox range (got {ENTRIES})");
    for (asked, expected) in [
        (&ASKED[..], None),
        (&swapped, Some("inbox head wrong")),
        (&another, Some("inbox head wrong")),
        (&skipped, Some("inbox head wrong")),
        (made_up, Some(short.as_str())),
        // What comes later may wait.
        (&twice, None),
    ] {
        drill.settled().chain.restore(&drill.stage.deployed);
        drill.stage.ask(asked).await;
        drill.stage.pass(HOUR);
        for batch in [1, 2] {
            drill.settled().commit(&drill.publication(batch)).await.expect("data are data");
        }
        match expected {
            Some(why) => refused(drill.finalise_honestly().await, why),
            None => drill.finalise_honestly().await.expect("it is what was consumed"),
        }
    }

    // But not for more than a day.
    drill.settled().chain.restore(&drill.stage.deployed);
    drill.stage.ask(&twice).await;
    drill.settled().commit(&drill.publication(1)).await.expect("data are data");
    drill.stage.pass(DAY + HOUR / 2);
    drill.settled().commit(&drill.publication(2)).await.expect("data are data");
    refused(drill.finalise_honestly().await, &format!("entry left out (index {ENTRIES})"));
}

/// Of the state before, of the genesis, changed, or none.
#[tokio::test]
async fn an_opening_of_another_root_is_refused() {
    // The bridge's two slots are four leaves of 32 bytes each, and then come the nodes beside the way to the root.
    const SLOT: usize = 128;
    let drill = Drill::new().await;
    let genesis = Engine::new(&drill.stage.genesis).expect("a valid genesis");
    let honest = drill.opening();
    let with = |at: usize| {
        let mut opening = honest.to_vec();
        opening[at] ^= 1;
        Bytes::from(opening)
    };
    for (opening, why) in [
        (drill.closed[0].opening.clone(), "root wrong (expected"),
        (open_bridge(genesis.tree()).into(), "root wrong (expected"),
        // In the third leaf of each, cell 5 is the number of entries, and cell 6 begins the head; in the fourth, its rest is followed by cells that nothing uses.
        (with(64 + 23), "root wrong (expected"),
        (with(SLOT + 64 + 23), "root wrong (expected"),
        (with(64 + 27), "root wrong (expected"),
        (with(SLOT + 64 + 27), "root wrong (expected"),
        (with(96 + 3), "root wrong (expected"),
        (with(SLOT + 96 + 3), "root wrong (expected"),
        (with(96 + 31), "leaf wrong (offset 96"),
        (with(SLOT + 96 + 31), "leaf wrong (offset 224"),
        (with(2 * SLOT + 31), "root wrong (expected"),
        (with(honest.len() - 1), "root wrong (expected"),
        (Bytes::new(), "opening length"),
        (honest.slice(32..), "opening length"),
        ([&honest[..], &[0; 32]].concat().into(), "opening length"),
    ] {
        refused(drill.settled().finalise(drill.proof.clone(), &opening).await, why);
    }
    drill.finalise_honestly().await.expect("it is the state's");
}
