//! The embedded chain by HTTP: what another process reaches by the same path as any Ethereum.

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use alloy::{primitives::U256, providers::Provider};
use common::{signer, venue::Settled};
use holdfast_settlement::{
    Client, Error,
    blobs::FromTransactions,
    client::endpoint,
    embedded::{
        Chain,
        http::{BODY_BYTES_MAX, REQUESTS_MAX, Server},
    },
    follower::{Cursor, Event, Follower},
};
use serde_json::{Value, json};

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn serve(chain: &Chain) -> Server {
    Server::start(chain.clone(), ANY.into()).expect("there is a free port")
}

/// Status line and body of the answer to these bytes; the connection ends with it.
fn raw(address: SocketAddr, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    // What is refused for its length is not read to its end.
    let _written = stream.write_all(request);
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn post(address: SocketAddr, body: &str) -> (String, String) {
    let head = format!("POST / HTTP/1.1\r\nHost: l1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    raw(address, &[head.as_bytes(), body.as_bytes()].concat())
}

fn ask(address: SocketAddr, body: &Value) -> Value {
    let (status, body) = post(address, &body.to_string());
    assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// A deposit, a refusal in words, and the events, through alloy's HTTP.
#[tokio::test]
async fn a_deposit_from_another_process() {
    let settled = Settled::new().await;
    let server = serve(&settled.chain);
    let at = settled.operator.at.clone();
    let mut alice = Client::connect(&server.url(), signer(1), at.clone()).await.expect("it answers");
    alice.wallet.poll = Duration::from_millis(5);
    let owner = alice.wallet.address;
    let error = alice.deposit(U256::from(5)).await.expect_err("it is too little");
    assert!(error.to_string().contains("amount wrong (amount 5)"), "{error}");
    alice.mint(owner, U256::from(3_000_000)).await.expect("tokens");
    alice.deposit(U256::from(2_000_000)).await.expect("a deposit");
    assert_eq!(alice.account_of(owner).await.expect("an answer"), Some(3));
    // The same chain, seen from inside.
    assert_eq!(settled.alice.balance(owner).await.expect("an answer"), U256::from(1_000_000));

    let provider = endpoint(&server.url()).await.expect("an endpoint");
    let keeper = std::sync::Arc::new(FromTransactions(provider.clone()));
    let mut follower = Follower::new(provider.clone(), keeper, Cursor::new(at));
    let events = follower.catch_up().await.expect("it follows").events;
    let appended = events.iter().filter(|located| matches!(located.event, Event::Appended { account: 3, .. }));
    assert_eq!(appended.count(), 2, "the account, and the deposit: {events:?}");

    let address = server.address();
    server.stop();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    provider.get_block_number().await.expect_err("the connections are closed too");
    let again = Server::start(settled.chain.clone(), address).expect("the port is free again");
    assert_eq!(provider.get_block_number().await.expect("an answer"), settled.chain.height());
    drop(again);
}

#[test]
fn requests_are_answered_one_by_one_and_in_lists() {
    let chain = Chain::new(common::config());
    let server = serve(&chain);
    let address = server.address();
    let request = |id: Value, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [] });
    let chain_id = json!({ "jsonrpc": "2.0", "id": 7, "result": "0x7a69" });
    assert_eq!(ask(address, &request(json!(7), "eth_chainId")), chain_id);
    let list = json!([
        request(json!("a"), "evm_mine"),
        { "jsonrpc": "2.0", "method": "evm_mine" },
        request(json!(7), "eth_chainId"),
        request(json!(8), "eth_noSuchMethod"),
        5,
    ]);
    let answers = ask(address, &list);
    assert_eq!(answers.as_array().map(Vec::len), Some(4), "what has no id gets no answer: {answers}");
    assert_eq!(answers[0]["id"], "a");
    assert_eq!(answers[1], chain_id);
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(8), &json!(-32_601)));
    assert_eq!((&answers[3]["id"], &answers[3]["error"]["code"]), (&Value::Null, &json!(-32_600)));
    assert_eq!(chain.height(), 2, "both were carried out");
    let (status, body) = post(address, &json!({ "jsonrpc": "2.0", "method": "evm_mine" }).to_string());
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 204 No Content", ""));
}

#[test]
fn what_is_no_request_is_refused() {
    let chain = Chain::new(common::config());
    let server = serve(&chain);
    let address = server.address();
    let code = |body: &str| {
        let (status, body) = post(address, body);
        assert_eq!(status, "HTTP/1.1 200 OK");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["id"], Value::Null);
        answer["error"]["code"].as_i64()
    };
    let many = format!("[{}1]", "1,".repeat(REQUESTS_MAX));
    let cases = [
        ("", -32_700),
        ("{", -32_700),
        ("\u{fffd}", -32_700),
        ("5", -32_600),
        ("[]", -32_600),
        ("{}", -32_600),
        (r#"{"id":1,"method":5}"#, -32_600),
        (r#"{"id":{},"method":"eth_chainId"}"#, -32_600),
        (many.as_str(), -32_600),
    ];
    for (body, expected) in cases {
        assert_eq!(code(body), Some(expected), "{}", &body[..body.len().min(40)]);
    }
    // Brackets without an end must not exhaust the stack.
    assert_eq!(code(&"[".repeat(1 << 20)), Some(-32_700));
    let (status, _) = raw(address, b"GET / HTTP/1.1\r\nHost: l1\r\nConnection: close\r\n\r\n");
    assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
    let (status, body) = post(address, &" ".repeat(BODY_BYTES_MAX + 1));
    assert!(status.is_empty() || status.contains("413"), "{status}: {body}");
    let head = format!("POST / HTTP/1.1\r\nHost: l1\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    assert_eq!(raw(address, head.as_bytes()).0, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(post(address, r#"{"id":1,"method":"eth_blockNumber"}"#).0, "HTTP/1.1 200 OK", "it serves on");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind(SocketAddr::from(ANY)).expect("a free port");
    let address = taken.local_addr().expect("its address");
    let error = Server::start(Chain::new(common::config()), address).expect_err("it is taken");
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()) && error.to_string().contains("another port"), "{error}");
}
