//! The embedded chain by itself: its pool, its fees, its past.

mod common;

use std::time::Instant;

use alloy::{
    eips::{BlockId, eip2718::Encodable2718, eip7594::BlobTransactionSidecarVariant},
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use common::{config, publication, signer};
use holdfast_settlement::{
    blobs::{blobs_from_words, sidecar},
    client::{Wallet, request},
    contracts::{IDevToken, IERC20, create_token},
    embedded::{Chain, Config, Mining, Undone},
};
use serde_json::json;

const GWEI: u128 = 1_000_000_000;

async fn wallet(chain: &Chain) -> Wallet {
    Wallet::embedded(chain, signer(0)).await.expect("it answers")
}

fn ether(nonce: u64, most: u128, tip: u128) -> TransactionRequest {
    let request = TransactionRequest::default().to(Address::repeat_byte(0x33)).value(U256::from(1));
    request.nonce(nonce).gas_limit(21_000).with_max_fee_per_gas(most).with_max_priority_fee_per_gas(tip)
}

async fn hand_in(wallet: &Wallet, request: TransactionRequest) -> Result<B256, String> {
    let signed = wallet.sign("a transaction", request).await.expect("it is signed");
    let sent = wallet.provider.send_raw_transaction(&signed.encoded_2718()).await;
    sent.map(|_| *signed.tx_hash()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_pool() {
    let chain = Chain::new(Config { mining: Mining::Asked, ..config() });
    let wallet = wallet(&chain).await;
    let first = hand_in(&wallet, ether(0, 10 * GWEI, GWEI)).await.expect("it waits");
    let third = hand_in(&wallet, ether(2, 10 * GWEI, GWEI)).await.expect("it waits for the one before");
    assert_eq!((wallet.nonce(true).await.expect("a nonce"), wallet.nonce(false).await.expect("a nonce")), (1, 0));
    let refused = [
        (ether(0, 10 * GWEI, GWEI), "already known"),
        (ether(0, 10 * GWEI + 1, GWEI + 1), "replacement transaction underpriced"),
        (ether(1, GWEI, 2 * GWEI), "priority fee"),
        (ether(1, u128::MAX >> 20, GWEI), "insufficient funds"),
        (ether(1, 10 * GWEI, GWEI).gas_limit((1 << 24) + 1), "gas limit too high"),
        (ether(0, 20 * GWEI, 2 * GWEI).gas_limit(20_999), "gas"),
    ];
    for (request, reason) in refused {
        let error = hand_in(&wallet, request).await.expect_err(reason);
        assert!(error.contains(reason), "{error}: {reason}");
    }
    let replacing = hand_in(&wallet, ether(0, 11 * GWEI, GWEI * 11 / 10)).await.expect("it pays a tenth more");
    chain.mine();
    let receipt = |hash| wallet.provider.get_transaction_receipt(hash);
    assert!(receipt(first).await.expect("an answer").is_none());
    assert!(receipt(replacing).await.expect("an answer").is_some());
    assert!(receipt(third).await.expect("an answer").is_none(), "there is a gap");
    hand_in(&wallet, ether(1, 10 * GWEI, GWEI)).await.expect("it fills the gap");
    chain.mine();
    assert_eq!(receipt(third).await.expect("an answer").and_then(|receipt| receipt.block_number), Some(2));
    let error = hand_in(&wallet, ether(0, 50 * GWEI, GWEI)).await.expect_err("it is mined");
    assert!(error.contains("nonce too low"), "{error}");
}

/// Full blocks raise the base fee by an eighth, empty ones lower it; blobs likewise.
#[tokio::test]
async fn fees_move() {
    let chain =
        Chain::new(Config { mining: Mining::Asked, gas_limit: 42_000, base_fee: 1_000 * 1_000_000, ..config() });
    let wallet = wallet(&chain).await;
    for nonce in 0..5 {
        hand_in(&wallet, ether(nonce, 10 * GWEI, GWEI)).await.expect("it waits");
    }
    let base_fee = async |number| {
        let block = wallet.provider.get_block(BlockId::number(number)).await.expect("an answer").expect("a block");
        (block.header.base_fee_per_gas.expect("a base fee"), block.transactions.len())
    };
    chain.mine_many(4);
    assert_eq!(base_fee(1).await, (1_000_000_000, 2), "two fit into a block");
    assert_eq!(base_fee(2).await, (1_125_000_000, 2));
    assert_eq!(base_fee(3).await, (1_265_625_000, 1));
    assert_eq!(base_fee(4).await, (1_265_625_000, 0), "half full");
    let history = wallet.provider.get_fee_history(4, Default::default(), &[50.0]);
    let history = history.await.expect("a history");
    assert_eq!(history.base_fee_per_gas.len(), history.gas_used_ratio.len() + 1);

    // Dear enough that it is not held up by the price of execution (EIP-7918).
    chain.set_excess_blob_gas(150_000_000);
    chain.mine();
    let dear = wallet.provider.get_blob_base_fee().await.expect("a price");
    chain.mine_many(20);
    assert!(wallet.provider.get_blob_base_fee().await.expect("a price") < dear);
}

#[tokio::test]
async fn the_past_can_be_asked() {
    let chain = Chain::new(config());
    let wallet = wallet(&chain).await;
    let token = create_token(&wallet).await.expect("a token");
    let to = Address::repeat_byte(0x44);
    for _ in 0..5 {
        let mint = IDevToken::mintCall { to, amount: U256::from(10) };
        wallet.order("new tokens", token, &mint, U256::ZERO).await.expect("they are made");
    }
    let balance = async |number| {
        let call = request(token, &IERC20::balanceOfCall { owner: to });
        let answer = wallet.provider.call(call).block(BlockId::number(number)).await.expect("an answer");
        U256::try_from_be_slice(&answer).expect("a word").to::<u64>()
    };
    for (number, expected) in [(1, 0), (2, 10), (4, 30), (6, 50)] {
        assert_eq!(balance(number).await, expected, "after block {number}");
    }
    // What a fork asks for: an account in one answer, as it was; and a block's receipts.
    for (block, account, code) in [(0, wallet.address, false), (3, wallet.address, false), (6, token, true)] {
        let at = BlockId::number(block);
        let info = wallet.provider.get_account_info(account).block_id(at).await.expect("an answer");
        let provider = &wallet.provider;
        assert_eq!(info.balance, provider.get_balance(account).block_id(at).await.expect("an answer"));
        assert_eq!(info.nonce, provider.get_transaction_count(account).block_id(at).await.expect("an answer"));
        assert_eq!(info.code, provider.get_code_at(account).block_id(at).await.expect("an answer"));
        assert_eq!((info.nonce > 0, !info.code.is_empty()), (block > 0, code), "block {block}");
    }
    let receipts = wallet.provider.get_block_receipts(BlockId::number(6)).await.expect("an answer");
    let receipts = receipts.expect("the block is there");
    assert_eq!(receipts.len(), 1);
    let one = wallet.provider.get_transaction_receipt(receipts[0].transaction_hash).await.expect("an answer");
    assert_eq!(one.as_ref(), receipts.first());
    assert_eq!(wallet.provider.get_block_receipts(BlockId::number(7)).await.expect("an answer"), None);
    let kept = chain.snapshot();
    chain.reorganise(2, 1, Undone::Dropped).expect("it is long enough");
    assert_eq!((balance(4).await, balance(5).await), (30, 30));
    chain.restore(&kept);
    assert_eq!(balance(6).await, 50);
    // The same by JSON-RPC.
    let id = chain.call("evm_snapshot", &json!([])).expect("a number");
    chain.call("holdfast_reorg", &json!([3, 3, true])).expect("another chain");
    assert_eq!(chain.call("evm_revert", &json!([id])), Ok(json!(true)));
    assert_eq!(balance(6).await, 50);
    assert_eq!(chain.call("evm_revert", &json!([id])), Ok(json!(false)), "it is used up");
}

/// What a reorganisation takes back waits again, blobs and all.
#[tokio::test]
async fn transactions_return() {
    let chain = Chain::new(Config { mining: Mining::Asked, ..config() });
    let wallet = wallet(&chain).await;
    let carried = sidecar(blobs_from_words(&publication(1, 200).words)).expect("a sidecar");
    let mut blobs = ether(0, 10 * GWEI, GWEI);
    blobs.blob_versioned_hashes = Some(carried.versioned_hashes().collect());
    blobs.max_fee_per_blob_gas = Some(GWEI);
    let mut wrong = carried.clone();
    wrong.cell_proofs.swap(0, 1);
    blobs.sidecar = Some(BlobTransactionSidecarVariant::Eip7594(wrong));
    let error = hand_in(&wallet, blobs.clone()).await.expect_err("its proofs are wrong");
    assert!(error.contains("invalid blob sidecar"), "{error}");
    blobs.sidecar = Some(BlobTransactionSidecarVariant::Eip7594(carried));
    let hash = hand_in(&wallet, blobs).await.expect("it waits");
    chain.mine_many(2);
    let before = chain.block_hash(1);
    chain.reorganise(2, 1, Undone::Pooled).expect("it is long enough");
    assert_ne!(chain.block_hash(1), before);
    let receipt = wallet.provider.get_transaction_receipt(hash).await.expect("an answer").expect("it is there again");
    assert_eq!((receipt.block_number, receipt.blob_gas_used), (Some(1), Some(131_072)));
    assert!(chain.call("anvil_getBlobsByTransactionHash", &json!([hash])).is_ok_and(|blobs| blobs.is_array()));
    assert!(chain.reorganise(9, 9, Undone::Pooled).is_err(), "there are not so many");
}

/// Prints how fast it is.
#[tokio::test]
async fn speed() {
    let before = Instant::now();
    let chain = Chain::new(Config { mining: Mining::Asked, ..config() });
    let up = before.elapsed();
    let wallet = wallet(&chain).await;
    let mut raw = Vec::new();
    for nonce in 0..1_000 {
        let signed = wallet.sign("a transaction", ether(nonce, 10 * GWEI, GWEI)).await.expect("it is signed");
        raw.push(signed.encoded_2718());
    }
    let before = Instant::now();
    for raw in &raw {
        drop(wallet.provider.send_raw_transaction(raw).await.expect("it waits"));
    }
    let sent = before.elapsed();
    let before = Instant::now();
    chain.mine();
    println!("up in {up:?}; 1,000 transactions handed in in {sent:?}, mined in {:?}", before.elapsed());
    assert_eq!(chain.waiting(), 0);
}
