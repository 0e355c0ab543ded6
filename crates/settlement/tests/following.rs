//! The follower: all events, in order, once; back where the chain goes back; and no further where it is lied to.

mod common;

use std::collections::BTreeMap;

use alloy::{
    primitives::{B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        client::RpcClient,
        json_rpc::{RequestPacket, ResponsePacket},
    },
    transports::{BoxTransport, IntoBoxTransport, TransportError, TransportFut},
};
use common::{Stage, calldata, drive, publication};
use holdfast_settlement::{
    Error, Follower,
    embedded::{Chain, Config, Mining, Transport, Undone},
    follower::{Cursor, Event, Located, REMEMBERED, Step},
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

/// What somebody makes of steps.
#[derive(Debug, Default)]
struct Ledger(BTreeMap<u64, Vec<Located>>);

impl Ledger {
    fn take(&mut self, step: Step) {
        if let Some(from) = step.undone_from() {
            self.0.split_off(&from);
        }
        for located in step.events {
            self.0.entry(located.block).or_default().push(located);
        }
    }

    fn events(&self) -> Vec<&Located> {
        self.0.values().flatten().collect()
    }
}

async fn act(stage: &Stage, what: u64) {
    stage.chain.set_mining(Mining::Immediate);
    match what % 5 {
        0..3 => drop(stage.client.withdraw(U256::from(what)).await.expect("an entry")),
        3 => drop(
            stage
                .client
                .pay(
                    0,
                    1,
                    vec![holdfast_settlement::contracts::IRollup::Payout {
                        account: U256::from(7),
                        amount: U256::from(what),
                        headBefore: B256::ZERO,
                    }],
                )
                .await
                .expect("a payout"),
        ),
        _ => {
            let next = stage.client.batch_committed().await.expect("an answer") + 1;
            let folder = tempfile::tempdir().expect("a temporary directory");
            let mut poster =
                holdfast_settlement::Poster::open(stage.client.clone(), folder.path(), calldata()).expect("it opens");
            poster.commit(&publication(next, 4)).expect("it is taken");
            drive(&mut poster, &stage.chain).await;
        }
    }
    stage.chain.set_mining(Mining::Asked);
}

#[tokio::test]
async fn all_events_through_reorganisations_and_restarts() {
    let stage = Stage::new().await;
    stage.chain.mine_many(70);
    let path = stage.folder.path().join("cursor.json");
    let mut random = StdRng::seed_from_u64(3);
    let mut follower = stage.follower();
    let mut ledger = Ledger::default();
    for round in 0..64 {
        for _ in 0..random.random_range(0..4) {
            act(&stage, random.next_u64() % 1_000).await;
        }
        if random.random_bool(0.6) {
            ledger.take(follower.catch_up().await.expect("it follows"));
            follower.cursor().save(&path).expect("it is saved");
        }
        if random.random_bool(0.5) {
            let depth = 1 + round % 64;
            let undone = if random.random_bool(0.5) { Undone::Pooled } else { Undone::Dropped };
            stage.chain.reorganise(depth, depth + random.random_range(0..3), undone).expect("it is long enough");
            stage.chain.drop_waiting();
        }
        if random.random_bool(0.3) {
            let cursor = Cursor::load(&path, &stage.client.at).expect("a cursor");
            // What came after the last save comes again; the ledger forgets it, as somebody does who keeps both together.
            ledger.0.split_off(&cursor.next());
            follower = Follower::new(stage.chain.provider(), stage.blobs(), cursor);
        }
    }
    ledger.take(follower.catch_up().await.expect("it follows"));
    let fresh = stage.follower().catch_up().await.expect("it follows").events;
    assert_eq!(ledger.events(), fresh.iter().collect::<Vec<_>>());
    assert!(fresh.len() > 20, "{} events", fresh.len());
    let mut entries = 0;
    for located in &fresh {
        if let Event::Appended { index, account, blocks } = &located.event {
            assert_eq!((*index, *account), (entries, 7));
            assert_eq!(blocks[0][..2], [2, 7 + (4 << 20)]);
            entries += 1;
        }
    }
}

#[tokio::test]
async fn a_long_way_behind() {
    let stage = Stage::new().await;
    for what in 0..12 {
        act(&stage, what).await;
        stage.chain.mine_many(300);
    }
    let mut follower = stage.follower();
    let (mut steps, mut ledger) = (0, Ledger::default());
    loop {
        let step = follower.step().await.expect("a step");
        let done = step.done;
        ledger.take(step);
        steps += 1;
        if done {
            break;
        }
    }
    assert!(steps < 10, "{steps} steps");
    assert_eq!(ledger.events().len(), 12);
    // Nothing that is remembered is left of the chain.
    stage.chain.reorganise(REMEMBERED as u64 + 1, REMEMBERED as u64 + 1, Undone::Dropped).expect("it is long enough");
    assert!(matches!(follower.step().await, Err(Error::ReorganisedTooDeep { .. })));
}

#[tokio::test]
async fn only_what_is_deep() {
    let stage = Stage::new().await;
    let mut follower = stage.follower().with_confirmations(5);
    act(&stage, 1).await;
    stage.chain.mine_many(4);
    assert_eq!(follower.catch_up().await.expect("it follows").events, []);
    stage.chain.mine();
    assert_eq!(follower.catch_up().await.expect("it follows").events.len(), 1);
}

/// An endpoint that changes answers of a chain.
#[derive(Clone)]
struct Liar {
    truth: Transport,
    lie: fn(&str, &mut String),
}

impl tower::Service<RequestPacket> for Liar {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), TransportError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let method = packet.method_names().next().unwrap_or_default().to_owned();
        let (answer, lie) = (self.truth.call(packet), self.lie);
        Box::pin(async move {
            let ResponsePacket::Single(response) = answer.await? else { panic!("nobody asks for two things at once") };
            let mut text = serde_json::to_string(&response).expect("an answer is JSON");
            lie(&method, &mut text);
            Ok(ResponsePacket::Single(serde_json::from_str(&text).expect("a lie is JSON too")))
        })
    }
}

fn liar(chain: &Chain, lie: fn(&str, &mut String)) -> DynProvider {
    let transport: BoxTransport = Liar { truth: Transport::new(chain.clone()), lie }.into_box_transport();
    ProviderBuilder::default().connect_client(RpcClient::new(transport, true)).erased()
}

fn leave_out_events(method: &str, answer: &mut String) {
    if method == "eth_getLogs" {
        let mut value: serde_json::Value = serde_json::from_str(answer).expect("JSON");
        value["result"] = serde_json::json!([]);
        *answer = value.to_string();
    }
}

fn other_calldata(method: &str, answer: &mut String) {
    if method == "eth_getTransactionByHash" {
        let mut value: serde_json::Value = serde_json::from_str(answer).expect("JSON");
        if let Some(input) = value["result"]["input"].as_str() {
            let cut = input.len() - 66;
            value["result"]["input"] = format!("{}01{}", &input[..cut], &input[cut + 2..]).into();
            *answer = value.to_string();
        }
    }
}

#[tokio::test]
async fn fed_lies() {
    let stage = Stage::new().await;
    for what in [1, 4, 2] {
        act(&stage, what).await;
    }
    let cursor = || Cursor::new(stage.client.at.clone());
    // Two that agree.
    let honest = stage.follower().with_second(stage.chain.provider()).catch_up().await.expect("they agree");
    assert_eq!(honest.events.len(), 3);

    // Another chain.
    let other = Chain::new(Config { timestamp: 1_600_000_000, ..common::config() });
    other.mine_many(stage.chain.height());
    let mut follower = stage.follower().with_second(other.provider());
    let error = follower.step().await.expect_err("they are not one chain");
    let block = stage.client.at.block;
    assert!(matches!(error, Error::Contradiction { block: at, .. } if at == block), "{error}");
    assert!(error.to_string().contains("contradict"), "{error}");
    assert_eq!(follower.cursor(), &cursor(), "nothing was taken");

    // Events that are left out, by the one or the other.
    for (first, second) in [
        (liar(&stage.chain, leave_out_events), stage.chain.provider()),
        (stage.chain.provider(), liar(&stage.chain, leave_out_events)),
    ] {
        let mut follower = Follower::new(first, stage.blobs(), cursor()).with_second(second);
        let error = follower.catch_up().await.expect_err("one of them leaves out events");
        assert!(matches!(error, Error::Contradiction { .. }), "{error}");
    }

    // Data that are not those of the commitment: no second endpoint is needed.
    let mut follower = Follower::new(liar(&stage.chain, other_calldata), stage.blobs(), cursor());
    let error = follower.catch_up().await.expect_err("the words are others");
    assert!(matches!(error, Error::Event { .. }), "{error}");
}

/// Where a later step fails, what the earlier ones found is found again.
#[tokio::test]
async fn an_error_in_the_middle_loses_nothing() {
    let stage = Stage::new().await;
    act(&stage, 1).await;
    stage.chain.mine_many(400);
    act(&stage, 4).await;
    let start = Cursor::new(stage.client.at.clone());
    let mut follower = Follower::new(liar(&stage.chain, other_calldata), stage.blobs(), start.clone());
    let first = follower.step().await.expect("the lie comes later");
    assert!(!first.events.is_empty() && !first.done);
    follower.rewind(start.clone());
    follower.catch_up().await.expect_err("the words are others");
    assert_eq!(follower.cursor(), &start, "nothing was taken");
}

/// A second endpoint that is late is waited for.
#[tokio::test]
async fn a_late_second_endpoint() {
    let stage = Stage::new().await;
    let late = Chain::new(Config::default());
    let mut follower = stage.follower().with_second(late.provider());
    act(&stage, 1).await;
    let step = follower.step().await.expect("it waits");
    assert_eq!((step.events.len(), step.done), (0, true));
}

#[test]
fn cursors_of_strangers() {
    let zero = alloy::primitives::Address::ZERO;
    let deployment: holdfast_settlement::contracts::Deployment = serde_json::from_value(serde_json::json!({
        "chain": 1, "block": 5, "token": zero, "vault": zero, "inbox": zero, "rollup": zero,
        "escape": zero, "council": zero, "verifier": zero, "reader": zero,
    }))
    .expect("a deployment");
    let good = Cursor::new(deployment.clone()).encode();
    assert!(Cursor::decode(&good, &deployment).is_ok());
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.random()),
            }
        }
        if let Ok(cursor) = Cursor::decode(&bytes, &deployment) {
            assert_eq!(cursor.next(), 5);
        }
    }
    let text = String::from_utf8(good).expect("JSON");
    for (from, to) in [("\"next\":5", "\"next\":6"), ("\"version\":1", "\"version\":2"), ("\"chain\":1", "\"chain\":2")]
    {
        assert!(text.contains(from), "{text}");
        assert!(Cursor::decode(text.replace(from, to).as_bytes(), &deployment).is_err(), "{to}");
    }
    let hash = B256::ZERO;
    for recent in [format!("[[7,\"{hash}\"],[6,\"{hash}\"]]"), format!("[[{},\"{hash}\"]]", u64::MAX)] {
        let changed =
            text.replace("\"recent\":[]", &format!("\"recent\":{recent}")).replace("\"next\":5", "\"next\":7");
        assert!(Cursor::decode(changed.as_bytes(), &deployment).is_err(), "{recent}");
    }
}
