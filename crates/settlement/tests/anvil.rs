//! The embedded chain against another implementation, anvil: the same transactions, the same receipts. And client, poster and follower on it, by HTTP.
//!
//! Anvil comes with `npm ci` in `contracts/`; without it, these tests say so and pass, unless `HOLDFAST_ANVIL=1` insists.

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    consensus::TxReceipt,
    eips::BlockId,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
    sol_types::SolValue,
};
use common::{KEYS, anvil::Anvil, post, proof, publication, signer, stand_in};
use holdfast_settlement::{
    Client, Error, Follower, Poster,
    blobs::{Beacon, Blobs, FromTransactions, Slots},
    client::{Wallet, endpoint, request},
    contracts::{
        FINAL_VERIFIER, IDevToken, IERC20, IInbox, INBOX, IRollup, VAULT, create, create_reader, create_token,
    },
    embedded::Chain,
    follower::{Cursor, Event},
    poster::{Carrier, Options},
};

fn anvil() -> Option<Anvil> {
    // As the embedded chain begins.
    Anvil::start(&["--base-fee", "1000000000", "--timestamp", "1700000000"])
}

/// What must be the same. (Hashes of blocks are not: the embedded chain has no state roots.)
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    what: String,
    status: bool,
    kind: u8,
    gas: u64,
    total: u64,
    blob_gas: Option<u64>,
    price: u128,
    created: Option<Address>,
    logs: Vec<(Address, Vec<B256>, Bytes, Option<u64>)>,
    hash: B256,
    bloom: String,
}

fn outcome(what: &str, receipt: &TransactionReceipt) -> Outcome {
    let log =
        |log: &alloy::rpc::types::Log| (log.address(), log.topics().to_vec(), log.data().data.clone(), log.log_index);
    Outcome {
        what: what.into(),
        status: receipt.status(),
        kind: receipt.transaction_type().into(),
        gas: receipt.gas_used,
        total: receipt.inner.cumulative_gas_used(),
        blob_gas: receipt.blob_gas_used,
        price: receipt.effective_gas_price,
        created: receipt.contract_address,
        logs: receipt.logs().iter().map(log).collect(),
        hash: receipt.transaction_hash,
        bloom: receipt.inner.bloom().to_string(),
    }
}

/// Sends with everything given, so that both chains see the same bytes.
async fn send(wallet: &Wallet, what: &str, request: TransactionRequest, gas: u64) -> Outcome {
    use alloy::{eips::eip2718::Encodable2718, network::TransactionBuilder};
    let mut request = request.nonce(wallet.nonce(true).await.expect("a nonce")).gas_limit(gas);
    request.set_max_fee_per_gas(20_000_000_000);
    request.set_max_priority_fee_per_gas(1_000_000_000);
    let signed = wallet.sign("a transaction", request).await.expect("it is signed");
    wallet.hand_in("a transaction", &signed.encoded_2718()).await.expect("it is taken");
    outcome(what, &wallet.wait("a transaction", *signed.tx_hash()).await.expect("it is mined"))
}

/// A scenario's receipts, and answers to calls.
async fn scenario(wallet: &Wallet) -> (Vec<Outcome>, Vec<String>) {
    let (mut outcomes, mut answers) = (Vec::new(), Vec::new());
    let made = |code: Bytes| TransactionRequest {
        to: Some(alloy::primitives::TxKind::Create),
        ..TransactionRequest::default().input(code.into())
    };
    let token = wallet.address.create(0);
    let code = holdfast_settlement::contracts::DEV_TOKEN.creation(&[]).expect("code");
    outcomes.push(send(wallet, "token", made(code), 3_000_000).await);
    let place = wallet.address.create(1);
    outcomes.push(send(wallet, "stand-in", made(stand_in(wallet.address)), 6_000_000).await);
    // The largest contract, with key data of one piece that is not its key: refused, and all that was done undone.
    let arguments = (vec![token], keccak256(b"no key")).abi_encode_params();
    let code = FINAL_VERIFIER.creation(&arguments).expect("code");
    outcomes.push(send(wallet, "verifier", made(code), 16_000_000).await);
    let code = holdfast_settlement::contracts::STATE_READER.creation(&[]).expect("code");
    outcomes.push(send(wallet, "reader", made(code), 16_000_000).await);
    // Two of the venue's own, whose constructors compute and store.
    let other = Address::repeat_byte(0x77);
    let arguments = (token, U256::from(1) << 90, place, other, other).abi_encode_params();
    let code = VAULT.creation(&arguments).expect("code");
    outcomes.push(send(wallet, "vault", made(code), 16_000_000).await);
    let arguments = (other, other, other, U256::from(7), U256::from(1), vec![other; 3]).abi_encode_params();
    let code = INBOX.creation(&arguments).expect("code");
    outcomes.push(send(wallet, "inbox", made(code), 16_000_000).await);
    let mint = IDevToken::mintCall { to: wallet.address, amount: U256::from(1_000) };
    outcomes.push(send(wallet, "mint", request(token, &mint), 200_000).await);
    let transfer = IERC20::transferCall { to: other, amount: U256::from(1_000) };
    outcomes.push(send(wallet, "transfer of all", request(token, &transfer), 200_000).await);
    outcomes.push(send(wallet, "transfer of nothing left", request(token, &transfer), 200_000).await);
    outcomes.push(send(wallet, "out of gas", request(token, &mint), 24_000).await);
    let value = TransactionRequest::default().to(other).value(U256::from(12_345));
    outcomes.push(send(wallet, "ether", value, 21_000).await);
    for words in [0, 1, 300] {
        let of = publication(words as u64, words);
        let call = IRollup::commitCall {
            batch: U256::from(outcomes.iter().filter(|o| o.what == "commit").count() + 1),
            chain: of.chain,
            time: of.time,
            words: of.bytes(),
        };
        outcomes.push(send(wallet, "commit", request(place, &call), 2_000_000).await);
        let withdraw = IInbox::withdrawCall { amount: U256::from(words) };
        outcomes.push(send(wallet, "entry", request(place, &withdraw), 500_000).await);
    }
    let wrong = IRollup::commitCall { batch: U256::from(9), chain: B256::ZERO, time: 0, words: Bytes::new() };
    outcomes.push(send(wallet, "wrong batch", request(place, &wrong), 500_000).await);
    let call = IRollup::finaliseCall { proof: proof(2).proof.into(), opening: Bytes::new() };
    outcomes.push(send(wallet, "finality", request(place, &call), 500_000).await);

    let gas = wallet.provider.estimate_gas(request(token, &mint).from(wallet.address)).await.expect("an estimate");
    answers.push(format!("{}", gas.abs_diff(51_000) < 60_000));
    let block = BlockId::number(outcomes.len() as u64 / 2);
    let call = request(token, &IERC20::balanceOfCall { owner: wallet.address });
    for block in [block, BlockId::latest()] {
        answers.push(wallet.provider.call(call.clone()).block(block).await.expect("an answer").to_string());
    }
    let failing = request(place, &wrong).from(wallet.address);
    let error = wallet.provider.call(failing).await.expect_err("it reverts");
    answers.push(format!("{:?}", error.as_error_resp().and_then(|error| error.as_revert_data())));
    answers.push(format!("{:?}", wallet.provider.get_code_at(place).await.map(keccak256)));
    answers.push(format!("{:?}", wallet.provider.get_storage_at(place, U256::ZERO).await));
    answers.push(format!("{:?}", wallet.provider.get_balance(other).await));
    answers.push(format!(
        "{:?}",
        wallet.provider.get_balance(wallet.address).await.map(|balance| balance % U256::from(1u64 << 60))
    ));
    answers.push(format!("{:?}", wallet.provider.get_transaction_count(wallet.address).await));
    let error = wallet.provider.raw_request::<_, String>("eth_noSuchMethod".into(), ()).await.expect_err("unknown");
    answers.push(format!("{:?}", error.as_error_resp().map(|error| error.code)));
    let mut too_much = TransactionRequest::default().to(other).gas_limit((1 << 24) + 1).nonce(0);
    too_much.max_fee_per_gas = Some(20_000_000_000);
    too_much.max_priority_fee_per_gas = Some(1);
    too_much.nonce = Some(wallet.nonce(true).await.expect("a nonce"));
    let signed = wallet.sign("a transaction", too_much).await.expect("it is signed");
    let raw = alloy::eips::eip2718::Encodable2718::encoded_2718(&signed);
    answers.push(format!("{}", wallet.provider.send_raw_transaction(&raw).await.is_err()));
    (outcomes, answers)
}

#[tokio::test]
async fn the_same_receipts() {
    let Some(anvil) = anvil() else { return };
    let mut remote = Wallet::connect(&anvil.url, signer(0)).await.expect("anvil answers");
    remote.poll = Duration::from_millis(5);
    let chain = Chain::new(common::config());
    let local = Wallet::embedded(&chain, signer(0)).await.expect("it answers");
    let (expected, expected_answers) = scenario(&remote).await;
    let (got, got_answers) = scenario(&local).await;
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got, expected);
    }
    assert_eq!(got.len(), expected.len());
    for (at, (got, expected)) in got_answers.iter().zip(&expected_answers).enumerate().filter(|(at, _)| *at != 7) {
        assert_eq!(got, expected, "answer {at}");
    }
    let failed: Vec<_> = got.iter().filter(|outcome| !outcome.status).map(|outcome| outcome.what.as_str()).collect();
    assert_eq!(failed, ["verifier", "transfer of nothing left", "out of gas", "wrong batch"]);
}

async fn stage(anvil: &Anvil) -> Client {
    let mut wallet = Wallet::connect(&anvil.url, signer(0)).await.expect("anvil answers");
    wallet.poll = Duration::from_millis(5);
    let at = common::deploy(&wallet).await;
    Client::new(wallet, at).expect("it is the same chain")
}

#[tokio::test]
async fn posted_and_followed_by_http() {
    let Some(anvil) = anvil() else { return };
    let client = stage(&anvil).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut poster = Poster::open(client.clone(), folder.path(), common::calldata()).expect("it opens");
    for batch in 1..=3 {
        poster.commit(&publication(batch, 20)).expect("it is taken");
    }
    post(&mut poster).await;
    let blobs = Options { carrier: Carrier::Blobs, ..Options::default() };
    let mut poster = Poster::open(client.clone(), folder.path(), blobs).expect("it opens");
    poster.commit(&publication(4, 5_000)).expect("it is taken");
    poster.finalise(&proof(4)).expect("it is taken");
    post(&mut poster).await;
    client.withdraw(U256::from(5)).await.expect("an entry");

    let provider = endpoint(&anvil.url).await.expect("an endpoint");
    let keepers: [Arc<dyn Blobs>; 2] =
        [Arc::new(FromTransactions(provider.clone())), Arc::new(Beacon::new(&anvil.url, Slots::Blocks))];
    for keeper in keepers {
        let second = endpoint(&anvil.url).await.expect("an endpoint");
        let mut follower = Follower::new(provider.clone(), keeper, Cursor::new(client.at.clone())).with_second(second);
        let events = follower.catch_up().await.expect("it follows").events;
        let words: Vec<_> = events
            .iter()
            .filter_map(|located| match &located.event {
                Event::Committed(commit) => Some(commit.words.clone().expect("words")),
                _ => None,
            })
            .collect();
        assert_eq!(words.len(), 4);
        for (batch, words) in (1..).zip(words) {
            assert_eq!(words, publication(batch, if batch < 4 { 20 } else { 5_000 }).words);
        }
        assert_eq!(events.len(), 6);
    }

    // A reorganisation of anvil's, which drops what was in its blocks: the poster sends it again.
    let mut follower =
        Follower::new(provider.clone(), Arc::new(FromTransactions(provider.clone())), Cursor::new(client.at.clone()));
    follower.catch_up().await.expect("it follows");
    let depth = 4;
    provider
        .raw_request::<_, serde_json::Value>("anvil_reorg".into(), (depth, Vec::<u8>::new()))
        .await
        .expect("another chain");
    let mut poster = Poster::open(client.clone(), folder.path(), common::calldata()).expect("it opens");
    post(&mut poster).await;
    assert_eq!(client.batch_committed().await.expect("an answer"), 4);
    assert_eq!(client.batch_final().await.expect("an answer"), 4);
    let step = follower.catch_up().await.expect("it follows");
    assert_eq!(step.undone.len(), depth as usize, "{:?}", step.undone);
    assert!(step.events.iter().any(|located| matches!(located.event, Event::Final { batch: 4, .. })));
}

#[tokio::test]
async fn errors_by_http() {
    assert!(matches!(endpoint("ftp://example.org").await, Err(Error::Url(_))));
    assert!(matches!(endpoint("nonsense").await, Err(Error::Url(_))));
    let nowhere = Wallet::connect("http://127.0.0.1:9", signer(0)).await.expect_err("nobody listens");
    assert!(matches!(nowhere, Error::Endpoint { .. }), "{nowhere}");
    let Some(anvil) = anvil() else { return };
    let mut wallet = Wallet::connect(&anvil.url, signer(0)).await.expect("anvil answers");
    wallet.poll = Duration::from_millis(5);
    let token = create_token(&wallet).await.expect("a token");
    create_reader(&wallet).await.expect("a reader");
    let call = IERC20::transferCall { to: token, amount: U256::from(3) };
    let error = wallet.order("a transfer", token, &call, U256::ZERO).await.expect_err("there are none");
    assert!(error.to_string().contains("insufficient (owner 0x"), "{error}");
    let error = create(&wallet, "nonsense", vec![0xfe].into()).await.expect_err("it is no code");
    assert!(!error.to_string().is_empty());
    assert_eq!(KEYS.len(), 2);
}
