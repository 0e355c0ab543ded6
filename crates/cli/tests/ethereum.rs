//! The binary against a venue on Ethereum: an embedded chain behind HTTP, with all its contracts. Only the proofs are not there: a contract that says what it is told stands in for their verifier, which
//! is what `--unproven` is for.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use common::{
    KEYS,
    venue::{Closed, DAY, Settled, account, believer, genesis, member},
};
use holdfast_exchange::sequencer::Sequencer;
use holdfast_protocol::SecretKey;
use holdfast_settlement::{
    Client, Venue,
    client::Wallet,
    contracts::{IProposals, create},
    embedded::http::Server,
    poster::{Carrier, Options, Poster},
};
use serde_json::{Value, json};

const ETHER: u128 = 1_000_000_000_000_000_000;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A venue, its file, and the port at which its chain is.
struct Place {
    settled: Settled,
    server: Server,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let settled = Settled::new().await;
        let server = Server::start(settled.chain.clone(), ([127, 0, 0, 1], 0).into()).expect("there is a free port");
        let place = Self { settled, server, folder: tempfile::tempdir().expect("a temporary directory") };
        place.venue().save(&place.path("venue.json")).expect("it is written");
        place
    }

    fn venue(&self) -> Venue {
        let at = self.settled.operator.at.clone();
        let genesis = genesis(at.chain, at.vault);
        Venue::new(&at, genesis)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").into()
    }

    /// Somebody with ether, tokens, and a file with a private key.
    async fn trader(&self, number: u8, units: u64) -> Client {
        let secret = B256::repeat_byte(0x70 + number);
        let signer = PrivateKeySigner::from_bytes(&secret).expect("a private key");
        std::fs::write(self.path(&format!("key-{number}")), format!("{secret}\n")).expect("it is written");
        self.settled.chain.set_balance(signer.address(), U256::from(ETHER));
        let client = Client::embedded(&self.settled.chain, signer, self.settled.operator.at.clone()).await;
        let client = client.expect("a client");
        client.mint(client.wallet.address, U256::from(units)).await.expect("tokens");
        client
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(arguments).args(["--venue", &self.text("venue.json"), "--l1", &self.server.url(), "--unproven"]);
        command.env_remove("HOLDFAST_PASSPHRASE").env_remove("HOLDFAST_PRIVATE_KEY").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// The one object that a command prints with `--json`, and its exit status.
    fn json(&self, arguments: &[&str], status: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"))
    }

    /// What a command prints for a person.
    fn said(&self, number: u8, arguments: &[&str]) -> String {
        let output = self.run(&[arguments, &["--key", &self.text(&format!("key-{number}"))]].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        format!("{}\n{errors}", String::from_utf8_lossy(&output.stdout))
    }

    fn by(&self, number: u8, arguments: &[&str]) -> Value {
        self.json(&[arguments, &["--key", &self.text(&format!("key-{number}"))]].concat(), 0)
    }

    fn refused(&self, number: u8, arguments: &[&str]) -> String {
        let value = self.json(&[arguments, &["--key", &self.text(&format!("key-{number}"))]].concat(), 1);
        let advice = value["advice"].as_str().unwrap_or_default();
        format!("{}; {advice}", value["error"].as_str().expect("an error in words"))
    }

    async fn settle(&mut self) {
        self.settled.serve().await;
        self.settled.settle(Carrier::Calldata).await;
    }

    /// Nine of the council's twelve approve of a call of the rollup.
    async fn approve<C: SolCall>(&self, call: &C) {
        let (chain, at) = (&self.settled.chain, &self.settled.operator.at);
        for seat in 0..9 {
            chain.set_balance(member(seat).address(), U256::from(ETHER));
            let wallet = Wallet::embedded(chain, member(seat)).await.expect("it answers");
            let propose = IProposals::proposeCall { target: at.rollup, data: call.abi_encode().into() };
            let approve = IProposals::approveCall { id: U256::ZERO };
            let done = match seat {
                0 => wallet.order("a proposal", at.council, &propose, U256::ZERO).await,
                _ => wallet.order("an approval", at.council, &approve, U256::ZERO).await,
            };
            done.expect("it is taken");
        }
    }

    fn pass(&self, seconds: u64) {
        self.settled.chain.pass(seconds);
        self.settled.chain.mine();
    }
}

#[tokio::test]
async fn from_a_deposit_to_a_claim() {
    let mut place = Place::new().await;
    let alice = place.trader(1, 20_000_000).await;
    let owner = alice.wallet.address;

    let priced = place.by(1, &["deposit", "--amount", "12.5", "--dry-run"]);
    assert_eq!((priced["account"].clone(), priced["opened"].clone()), (Value::Null, json!(true)));
    assert_eq!(priced["transactions"][0]["hash"], Value::Null);
    assert!(priced["transactions"][0]["gas"].as_u64().is_some_and(|gas| gas > 21_000));
    assert_eq!(priced["transactions"][1]["value_wei"], "2000");
    assert_eq!(alice.inbox_count().await.expect("an answer"), 0);

    let made = place.by(1, &["deposit", "--amount", "12.5"]);
    assert_eq!((made["account"].as_u64(), made["entries"].clone()), (Some(3), json!([0, 1])));
    assert_eq!(made["amount_units"], "12500000");
    let gas = made["transactions"][1]["gas"].as_u64().expect("what it took");
    assert!((200_000..400_000).contains(&gas), "{gas}");
    assert_eq!(alice.balance(owner).await.expect("an answer"), U256::from(7_500_000));
    let more = place.said(1, &["deposit", "--amount", "1"]);
    for part in
        ["account    3\n", "amount     1.000000", "allowance", " gas, 0.000", "and 0.000000000000001 ether sent along"]
    {
        assert!(more.contains(part), "{part} in {more}");
    }
    assert_eq!(alice.inbox_count().await.expect("an answer"), 3);

    let public = SecretKey::from_seed([7; 32]).public_key().to_hex();
    let key =
        place.by(1, &["force", "register", "--public-key", &public, "--index", "1", "--withdraws", "--days", "30"]);
    assert_eq!(key["entry"], 3);
    let cancelled = place.said(1, &["force", "cancel-all", "--market", "0"]);
    assert!(
        cancelled.contains("all orders in BTC-USD are cancelled")
            && cancelled.contains("entry           4 of the inbox; due by 20"),
        "{cancelled}"
    );
    place.by(1, &["force", "close", "--market", "0", "--side", "sell", "--price", "100.25", "--size", "0.01"]);
    place.settle().await;
    let engine = place.settled.venue.engine();
    assert_eq!(engine.account(account(3)).collateral, 13_500_000);
    let session = engine.store().session(3, 1);
    assert!(session.live && session.withdraws);
    assert_eq!(place.by(1, &["force", "revoke", "--index", "1"])["entry"], 6);

    let asked = place.by(1, &["withdraw", "--amount", "2.000001"]);
    assert_eq!((asked["account"].as_u64(), asked["entry"].as_u64()), (Some(3), Some(7)));
    assert!(place.refused(1, &["claim"]).contains("what is due to"));
    place.settle().await;
    assert!(!place.settled.venue.engine().store().session(3, 1).live);
    // Another withdrawal becomes final after it: that is another run, and not in the way.
    let bob = place.trader(2, 5_000_000).await;
    place.by(2, &["deposit", "--amount", "5"]);
    place.by(2, &["withdraw", "--amount", "3"]);
    place.settle().await;

    let whole = place.json(&["verify"], 0);
    assert_eq!((whole["ok"].clone(), whole["payouts"].clone()), (json!(true), json!("5000001")));
    assert_eq!((whole["batch_final"].as_u64(), whole["alarms"].clone()), (Some(3), json!([])));
    let priced = place.by(1, &["claim", "--dry-run"]);
    assert_eq!((priced["unpaid"].as_u64(), priced["paid"].as_u64()), (Some(2), Some(1)));
    let said = place.said(1, &["claim", "--dry-run"]);
    assert!(said.contains("2 final withdrawals of all: number 0") && said.contains("not sent: "), "{said}");
    let claimed = place.by(1, &["claim"]);
    assert_eq!((claimed["claimed_units"].clone(), claimed["claimed"].clone()), (json!("2000001"), json!("2.000001")));
    assert_eq!(alice.balance(owner).await.expect("an answer"), U256::from(6_500_000 + 2_000_001));
    assert!(place.refused(1, &["claim"]).contains("what is due to"));
    // Anybody may claim for another owner, who is paid.
    let claimed = place.by(1, &["claim", "--owner", &bob.wallet.address.to_string()]);
    assert_eq!((claimed["unpaid"].as_u64(), claimed["claimed"].clone()), (Some(1), json!("3.000000")));
    assert_eq!(bob.balance(bob.wallet.address).await.expect("an answer"), U256::from(3_000_000));
    assert_eq!(place.json(&["verify"], 0)["payouts"], "0");

    // The same without --json.
    let output = place.run(&["verify"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("verdict") && text.contains("in order") && text.contains("NOT verified"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_before_anything_is_sent() {
    let place = Place::new().await;
    let alice = place.trader(1, 2_000_000).await;
    let nonce = alice.wallet.nonce(true).await.expect("an answer");
    for (arguments, expected) in [
        (&["deposit", "--amount", "12.5"][..], "at least 12.500000 of the token"),
        (&["deposit", "--amount", "0.00001"], "at least 0.000100, the smallest deposit"),
        (&["deposit", "--amount", "1.1234567"], "--amount: expected 0.000001 to"),
        (&["deposit", "--amount", "0"], "--amount: expected"),
        (&["deposit", "--amount", "1e6"], "--amount: expected"),
        (&["withdraw", "--amount", "1"], "the first deposit opens it"),
        (&["force", "revoke", "--index", "0"], "the first deposit opens it"),
        (&["freeze"], "not before 20"),
        (&["refund"], "expected a frozen one, got one that serves"),
        (&["exit", "--account", "0", "--send"], "freeze it first"),
        (&["exit", "--account", "77"], "expected account 77, got none such"),
        (&["claim"], "what is due to"),
    ] {
        let error = place.refused(1, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(alice.wallet.nonce(true).await.expect("an answer"), nonce, "nothing was sent");
    let without = place.json(&["deposit", "--amount", "1"], 1);
    assert!(without["advice"].as_str().is_some_and(|advice| advice.contains("HOLDFAST_PRIVATE_KEY")), "{without}");
    for wrong in [
        &["deposit"][..],
        &["deposit", "--amount", "-1"],
        &["force", "revoke", "--index", "4"],
        &["exit"],
        &["watch", "--metrics", "here"],
    ] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
    }

    let url = place.server.url();
    for wrong in [&["verify"][..], &["verify", "day", "--second", &url], &["verify", "day", "--l1", &url]] {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }

    // By the environment, and by a keystore of the format's own examples.
    let secret = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
    let signer: PrivateKeySigner = secret.parse().expect("a private key");
    place.settled.chain.set_balance(signer.address(), U256::from(ETHER));
    alice.mint(signer.address(), U256::from(9_000_000)).await.expect("tokens");
    let output = place.command(&["deposit", "--amount", "1", "--json"]).env("HOLDFAST_PRIVATE_KEY", secret).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(value["owner"], json!(signer.address()));
    std::fs::write(place.path("wallet.json"), KEYSTORE).expect("it is written");
    std::fs::write(place.path("passphrase"), "testpassword\n").expect("it is written");
    let (wallet, passphrase) = (place.text("wallet.json"), place.text("passphrase"));
    let arguments = ["deposit", "--amount", "2", "--key", &wallet, "--passphrase-file", &passphrase];
    let value = place.json(&arguments, 0);
    assert_eq!((value["owner"].clone(), value["opened"].clone()), (json!(signer.address()), json!(false)));
    // Key files that are none.
    let other = KEYSTORE.replace("008aeeda", "018aeeda");
    let short = KEYSTORE.replace("\"version\":3", "\"version\":4");
    for content in ["", "{", "{}", "7a28", "xyz", &"ff".repeat(32), &KEYSTORE[..300], &other, &short] {
        std::fs::write(place.path("wallet.json"), content).expect("it is written");
        let error = place.json(&arguments, 1);
        assert!(error["error"].as_str().is_some_and(|error| error.contains("wallet.json")), "{content}: {error}");
    }
    std::fs::write(place.path("wallet.json"), KEYSTORE).expect("it is written");
    std::fs::write(place.path("passphrase"), "testpasswore\n").expect("it is written");
    let error = place.json(&arguments, 1);
    assert!(
        error["error"].as_str().is_some_and(|error| error.contains("the passphrase that it was made with")),
        "{error}"
    );
}

const KEYSTORE: &str = r#"{"address":"008aeeda4d805471df9b2a5b0f38a0c3bcba786b","crypto":{"cipher":"aes-128-ctr",
"cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt",
"kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

#[tokio::test]
async fn a_frozen_venue_is_left() {
    let mut place = Place::new().await;
    let alice = place.trader(1, 9_000_000).await;
    place.by(1, &["deposit", "--amount", "5"]);
    place.settle().await;
    place.by(1, &["withdraw", "--amount", "1"]);
    place.settle().await;
    // Never carried out.
    place.by(1, &["deposit", "--amount", "2"]);

    let stand = place.json(&["freeze", "--check"], 1);
    assert_eq!((stand["may_freeze"].clone(), stand["oldest_entry"].as_u64()), (json!(false), Some(3)));
    let proofs = place.text("exit.json");
    let left = place.json(&["exit", "--account", "3", "--out", &proofs], 0);
    assert_eq!((left["accounts"][0]["equity"].clone(), left["exits_from"].clone()), (json!("4.000000"), Value::Null));
    let said = place.said(1, &["exit", "--account", "3"]);
    assert!(said.contains("3: 4.0000 for 0x") && said.contains("next: nothing to do while the venue serves"), "{said}");
    let written: Value = serde_json::from_slice(&std::fs::read(&proofs).expect("it was written")).expect("JSON");
    assert_eq!(written["exits"][0]["owner"], json!(alice.wallet.address.to_string().to_lowercase()));
    assert!(written["record"]["system"].as_str().is_some_and(|system| system.len() > 500));

    place.pass(8 * DAY);
    let output = place.run(&["watch", "--once"]);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("not in order: 2 alarms")
            && said.contains("overdue entry 3 of the inbox has waited for 192 hours"),
        "{said}"
    );
    assert_eq!(told.matches("alarm:").count(), 2, "{told}");
    let late = place.json(&["watch", "--once"], 1);
    let kinds: Vec<&str> =
        late["alarms"].as_array().expect("alarms").iter().filter_map(|one| one["alarm"].as_str()).collect();
    assert_eq!((kinds, late["breached"].clone()), (vec!["overdue", "stale"], json!(false)));
    assert_eq!(place.json(&["freeze", "--check"], 0)["may_freeze"], true);
    assert_eq!(place.by(1, &["freeze", "--dry-run"])["frozen"], false);
    assert_eq!(place.by(1, &["freeze"])["frozen"], true);
    assert!(place.refused(1, &["freeze"]).contains("one that is frozen"));
    assert!(place.refused(1, &["deposit", "--amount", "1"]).contains("one that takes deposits"));
    assert!(place.refused(1, &["withdraw", "--amount", "1"]).contains("holdfast exit"));

    // Now the record; the exit itself when debts can be shown no more.
    let owner = alice.wallet.address.to_string();
    let first = place.by(1, &["exit", "--owner", &owner, "--send"]);
    let names = |value: &Value| -> Vec<String> {
        let sent = value["transactions"].as_array().expect("transactions");
        sent.iter().filter_map(|one| one["what"].as_str().map(Into::into)).collect()
    };
    assert_eq!(names(&first), ["record"]);
    assert_eq!((first["accounts"][0]["exited"].clone(), first["debts"].as_u64()), (json!(false), Some(0)));
    assert_eq!(names(&place.by(1, &["exit", "--owner", &owner, "--send"])), Vec::<String>::new());
    place.pass(3 * DAY + 1);
    let priced = place.by(1, &["exit", "--account", "3", "--send", "--dry-run"]);
    assert!(priced["transactions"][0]["gas"].as_u64().is_some_and(|gas| gas > 300_000));
    let second = place.by(1, &["exit", "--account", "3", "--send"]);
    assert_eq!((names(&second), second["accounts"][0]["exited"].clone()), (vec!["exit".into()], json!(true)));
    assert!(place.refused(1, &["exit", "--account", "3", "--send"]).contains("holdfast claim"));
    let refunded = place.by(1, &["refund"]);
    assert_eq!((refunded["sum"].clone(), refunded["refunds"][0]["entry"].as_u64()), (json!("2.000000"), Some(3)));
    assert!(place.refused(1, &["refund", "--entry", "1"]).contains("deposits to refund"));
    // The final withdrawal, the exit and the refund.
    let claimed = place.by(1, &["claim"]);
    assert_eq!((claimed["claimed"].clone(), claimed["paid"].as_u64()), (json!("7.000000"), Some(1)));
    assert_eq!(alice.balance(alice.wallet.address).await.expect("an answer"), U256::from(9_000_000));
}

/// Takes POSTs, answers the first with an error and the others with 200, and gives their bodies.
/// What the operator has committed, and nobody has proven, it takes back: at first, and when nobody has proven it for days.
#[tokio::test]
async fn the_operator_takes_batches_back() {
    let mut place = Place::new().await;
    place.trader(1, 9_000_000).await;
    std::fs::write(place.path("key-0"), KEYS[0]).expect("it is written");
    let error = place.refused(0, &["recall", "--from", "1"]);
    assert!(error.contains("committed and not final, got 1, where all that is committed is final"), "{error}");
    place.by(1, &["deposit", "--amount", "5"]);
    place.settle().await;
    let operator = place.settled.operator.clone();
    let options = Options { carrier: Carrier::Calldata, ..Options::default() };
    let mut poster = Poster::open(operator.clone(), &place.path("poster"), options).expect("it opens");
    for _ in 0..3 {
        poster.commit(&Closed::new(&mut place.settled.venue).publication).expect("it is taken");
    }
    poster.run().await.expect("they are committed");
    for (key, from, expected) in [
        (0, "1", "a batch that is committed and not final, 2 to 4, got 1"),
        (0, "5", "a batch that is committed and not final, 2 to 4, got 5"),
        (1, "3", "the key: expected the operator's, 0x"),
    ] {
        let error = place.refused(key, &["recall", "--from", from]);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(place.by(0, &["recall", "--from", "4", "--dry-run"])["transactions"][0]["hash"], Value::Null);
    assert_eq!(operator.batch_committed().await.expect("an answer"), 4);
    let said = place.said(0, &["recall", "--from", "4"]);
    assert!(said.contains("4 to 4: taken back"), "{said}");
    assert_eq!(operator.batch_committed().await.expect("an answer"), 3);

    place.pass(7 * 3_600);
    let error = place.refused(0, &["recall", "--from", "2"]);
    assert!(error.contains("one whose proof may still come; it could be until 20"), "{error}");
    place.pass(3 * DAY);
    let gone = place.by(0, &["recall", "--from", "2"]);
    assert_eq!((gone["first"].as_u64(), gone["last"].as_u64()), (Some(2), Some(3)));
    assert_eq!(operator.batch_committed().await.expect("an answer"), 1);
}

fn receiver() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let (give, got) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("all of it");
            let status = if number == 0 { "503 Not now" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("it is taken");
            if number > 0 && give.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
                return;
            }
        }
    });
    (address, got)
}

fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).expect("it is taken");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// A value of a metric, when it comes to be what it should.
fn awaited(address: &str, line: &str) -> String {
    let started = Instant::now();
    loop {
        let text = scrape(address);
        if text.lines().any(|found| found == line) {
            return text;
        }
        assert!(started.elapsed() < WAIT_MAX, "{line} in {text}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(status.success());
}

#[tokio::test]
async fn a_watcher_says_that_all_is_well_until_it_is_not() {
    let mut place = Place::new().await;
    place.trader(1, 9_000_000).await;
    place.by(1, &["deposit", "--amount", "5"]);
    place.settled.serve().await;
    place.settled.settle(Carrier::Blobs).await;
    let well = place.json(&["watch", "--once"], 0);
    assert_eq!(
        (well["ok"].clone(), well["held"].clone(), well["deposits"].clone()),
        (json!(true), json!("5000000"), json!("5000000"))
    );

    let (address, told) = receiver();
    let (state, webhook) = (place.text("state"), format!("http://{address}/hook"));
    let arguments = ["watch", "--interval", "1", "--metrics", "127.0.0.1:0", "--webhook", &webhook, "--state", &state];
    let mut child = place.command(&[&arguments[..], &["--json"]].concat());
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("a line");
    let metrics = line.trim().strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let metrics = metrics.unwrap_or_else(|| panic!("{line}")).to_owned();
    let text = awaited(&metrics, "holdfast_batch_final 1");
    for line in [
        "holdfast_vault_units 5000000.0",
        "holdfast_alarms{kind=\"batch\"} 0",
        "holdfast_liabilities_units{kind=\"deposits\"} 5000000.0",
        "holdfast_frozen 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(scrape(&metrics).starts_with("HTTP/1.1 200 OK"));
    assert!(told.try_recv().is_err(), "there is nothing to tell");
    let kept = std::fs::read_dir(place.path("state").join("blobs")).expect("a directory").count();
    assert_eq!(kept, 1, "the batch's blob is kept");

    // Money from nowhere, in a state that is made final: the stand-in for the verifier believes it.
    let mut engine = place.settled.venue.engine().clone();
    let mut rich = engine.store().account(3).clone();
    rich.collateral += 1_000;
    engine.store_mut().set_account(3, rich);
    let _ = engine.store_mut().take_conservation();
    place.settled.venue = Sequencer::new(engine);
    place.settled.settle(Carrier::Calldata).await;
    // The first POST was refused: it is tried again.
    let alarm = told.recv_timeout(WAIT_MAX).expect("the alarm is told");
    assert_eq!(
        (alarm["kind"].clone(), alarm["breach"].clone(), alarm["alarm"]["batch"].as_u64()),
        (json!("batch"), json!(true), Some(2))
    );
    let text = awaited(&metrics, "holdfast_alarms{kind=\"batch\"} 1");
    assert!(text.contains("holdfast_webhook_failures_total 1"), "{text}");
    interrupt(&child);
    let mut output = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut output).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect();
    assert_eq!(lines.iter().filter(|line| line["kind"] == "batch").count(), 1, "{output}");
    assert!(lines.iter().any(|line| line["seen"]["batch_final"] == 1));

    // Told once: not again after a restart, though the exit status says that it goes on.
    let again = place.json(&["watch", "--once", "--webhook", &webhook, "--state", &state], 1);
    assert_eq!((again["ok"].clone(), again["breached"].clone()), (json!(false), json!(true)));
    assert!(told.try_recv().is_err());
    let whole = place.json(&["verify"], 1);
    assert_eq!(whole["alarms"][0]["alarm"], "batch");
    // Nothing is paid or opened from a state that is not the final one.
    let error = place.json(&["exit", "--account", "3"], 1);
    assert!(error["error"].as_str().is_some_and(|error| error.contains("the state rebuilt from Ethereum")), "{error}");
}

#[tokio::test]
async fn venues_that_are_not_what_their_file_says_get_no_money() {
    let place = Place::new().await;
    let alice = place.trader(1, 9_000_000).await;
    let (venue, path) = (place.venue(), place.path("venue.json"));
    let nonce = alice.wallet.nonce(true).await.expect("an answer");
    let refused = |venue: &Venue| {
        venue.save(&path).expect("it is written");
        for arguments in
            [&["withdraw", "--amount", "1"][..], &["claim"], &["exit", "--account", "3"], &["watch", "--once"]]
        {
            let key = place.text("key-1");
            let signed = if arguments[0] == "watch" { Vec::new() } else { vec!["--key", &key] };
            place.json(&[arguments, &signed].concat(), 1);
        }
        place.refused(1, &["deposit", "--amount", "1"])
    };
    let change = |change: fn(&mut Venue)| {
        let mut other = venue.clone();
        change(&mut other);
        other
    };
    let cases: [(Venue, &str); 5] = [
        (
            change(|venue| (venue.chain_id, venue.genesis.deployment.chain_id) = (1_337, 1_337)),
            "chain id of the endpoint: expected 1337, got 31337",
        ),
        (
            change(|venue| venue.genesis.accounts[2].owner = Address::repeat_byte(0xbd)),
            "root that the rollup began with",
        ),
        (change(|venue| venue.contracts.council = Address::repeat_byte(0xbd)), "got no code"),
        (
            change(|venue| {
                (venue.contracts.inbox, venue.contracts.escape) = (venue.contracts.escape, venue.contracts.inbox)
            }),
            "inbox that the vault names",
        ),
        (change(|venue| venue.genesis.quote_decimals = 7), "quote_decimals"),
    ];
    for (other, expected) in &cases {
        let error = refused(other);
        assert!(error.contains(expected), "{expected}: {error}");
    }

    // Where proofs are to be verified, a stand-in is no verifier; and where there may be money, nobody can ask for one.
    venue.save(&path).expect("it is written");
    let url = place.server.url();
    let proven =
        ["deposit", "--amount", "1", "--venue", path.to_str().expect("UTF-8"), "--l1", &url, "--json", "--key"];
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(proven).arg(place.path("key-1")).output();
    let output = output.expect("it runs");
    let error = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && error.contains("key of the segments' proofs"), "{error}");
    let real = change(|venue| (venue.chain_id, venue.genesis.deployment.chain_id) = (1, 1));
    assert!(refused(&real).contains("a venue on a development chain"));

    for bytes in [&b""[..], b"{", b"[]", b"{\"version\":1}", b"\xff\xfe", b"null", &[b'['; 200_000]] {
        std::fs::write(&path, bytes).expect("it is written");
        let error = place.refused(1, &["deposit", "--amount", "1"]);
        assert!(error.contains("expected a venue file in JSON"), "{error}");
    }
    std::fs::remove_file(&path).expect("it is there");
    assert!(place.refused(1, &["deposit", "--amount", "1"]).contains("cannot read it"));
    assert_eq!(alice.wallet.nonce(true).await.expect("an answer"), nonce, "nothing was sent");
    assert!(Path::new(&place.text("key-1")).exists());
}

/// Nine of the twelve replace the verifier: it is told thirty days before by every way there is; and whoever is still there then gets out by this program, which does not know the new one.
#[tokio::test]
async fn an_upgrade_is_told_before_and_keeps_nobody_in() {
    let mut place = Place::new().await;
    let alice = place.trader(1, 9_000_000).await;
    place.by(1, &["deposit", "--amount", "5"]);
    place.settle().await;
    let wallet = &place.settled.operator.wallet;
    let verifier = create(wallet, "verifier", believer()).await.expect("a verifier");
    place.approve(&IProposals::setVerifierCall { verifier, segmentKey: B256::repeat_byte(0x22) }).await;
    let ready = place.settled.chain.timestamp() + 30 * DAY;

    let told = place.json(&["watch", "--once"], 1);
    let alarm = &told["alarms"][0];
    assert_eq!((alarm["alarm"].clone(), alarm["ready_at"].as_u64()), (json!("proposal"), Some(ready)));
    assert!(alarm["proposed"].as_str().is_some_and(|text| text.contains(&verifier.to_string())), "{alarm}");
    assert_eq!((told["breached"].clone(), told["checked"]["replaced"].clone()), (json!(false), Value::Null));
    let said = place.run(&["watch", "--once"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("from second {ready} on: another verifier")), "{said}");
    assert!(said.contains("(that is 2023-12-1"), "{said}");

    let (address, posted) = receiver();
    let webhook = format!("http://{address}/hook");
    let arguments = ["watch", "--interval", "1", "--metrics", "127.0.0.1:0", "--webhook", &webhook];
    let mut child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
    errors.read_line(&mut line).expect("a line");
    let metrics = line.trim().strip_prefix("metrics: http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let metrics = metrics.unwrap_or_else(|| panic!("{line}")).to_owned();
    thread::spawn(move || errors.lines().for_each(drop));
    let text = awaited(&metrics, &format!("holdfast_council_ready_timestamp_seconds {ready}"));
    assert!(text.lines().any(|line| line == "holdfast_alarms{kind=\"proposal\"} 1"), "{text}");
    let alarm = posted.recv_timeout(WAIT_MAX).expect("the alarm is told");
    assert_eq!((alarm["kind"].clone(), alarm["breach"].clone()), (json!("proposal"), json!(false)));
    assert_eq!(alarm["alarm"]["ready_at"].as_u64(), Some(ready));

    // It is carried out: who watches hears of it, and who comes later too.
    place.pass(30 * DAY);
    let council = place.settled.operator.at.council;
    let execute = IProposals::executeCall { id: U256::ZERO };
    alice.wallet.order("an upgrade", council, &execute, U256::ZERO).await.expect("its time has come");
    let text = awaited(&metrics, "holdfast_alarms{kind=\"replaced\"} 1");
    assert!(text.lines().any(|line| line == "holdfast_council_ready_timestamp_seconds 0"), "{text}");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let later = place.json(&["watch", "--once"], 1);
    let kinds: Vec<&str> =
        later["alarms"].as_array().into_iter().flatten().filter_map(|a| a["alarm"].as_str()).collect();
    assert_eq!(kinds, ["replaced", "stale"]);
    assert_eq!(later["checked"]["replaced"], json!(verifier));

    // No money goes in on this program's word; and all goes out.
    assert!(place.refused(1, &["deposit", "--amount", "1"]).contains("verifier that the rollup names"));
    assert_eq!(place.json(&["verify"], 1)["ok"], json!(false));
    let asked = place.said(1, &["withdraw", "--amount", "1"]);
    assert!(asked.contains("the council has REPLACED the verifier"), "{asked}");
    place.by(1, &["freeze"]);
    place.by(1, &["exit", "--account", "3", "--send"]);
    place.pass(3 * DAY + 1);
    place.by(1, &["exit", "--account", "3", "--send"]);
    place.by(1, &["claim"]);
    assert_eq!(alice.balance(alice.wallet.address).await.expect("an answer"), U256::from(9_000_000));
}
