//! Bytes of strangers: whatever comes, there is an answer or an error, and never a panic.

mod common;

use alloy::primitives::{Address, B256, Bytes, hex};
use common::{Stage, calldata, config, proof, publication, signer};
use holdfast_settlement::{
    contracts::explain,
    embedded::{Chain, Pooled},
    journal::{decode_finality, decode_publication, encode_finality, encode_publication},
    poster::Progress,
    publication::forced,
};
use proptest::prelude::*;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// A JSON value that is nearly a parameter.
fn parameter(random: &mut StdRng) -> Value {
    let number: u64 = [0, 1, 5, 1 << 33, u64::MAX][random.random_range(0..5)];
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2 => json!(if random.random_bool(0.9) { number % 50 } else { number }),
        3 => json!(format!("{:#x}", if random.random_bool(0.9) { number % 60 } else { number })),
        4 => json!(["latest", "pending", "finalized", "safe", "earliest", "0x", "-1"][random.random_range(0..7)]),
        5 => json!(Address::with_last_byte(random.random())),
        6 => json!(B256::with_last_byte(random.random())),
        7 => json!(signer(0).address()),
        8 => {
            let mut bytes = vec![0; random.random_range(0..80)];
            random.fill_bytes(&mut bytes);
            json!(hex::encode_prefixed(bytes))
        }
        9 => json!({"to": signer(1).address(), "from": signer(0).address(), "value": format!("{number:#x}"),
            "gas": format!("{:#x}", number), "input": "0x6001"}),
        10 => json!({"fromBlock": format!("{:#x}", number % 9), "toBlock": "latest", "address": [], "topics": [null]}),
        11 => json!({"maxFeePerGas": format!("{number:#x}"), "maxPriorityFeePerGas": format!("{:#x}", u64::MAX),
            "blobVersionedHashes": [B256::ZERO], "accessList": []}),
        12 => json!([parameter(random), parameter(random)]),
        _ => json!({"blockHash": B256::ZERO, "nonce": 3, "chainId": format!("{number:#x}")}),
    }
}

#[test]
fn requests_of_strangers() {
    let methods = [
        "eth_chainId",
        "eth_blockNumber",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getTransactionCount",
        "eth_getBalance",
        "eth_getCode",
        "eth_getAccountInfo",
        "eth_getBlockReceipts",
        "eth_call",
        "eth_estimateGas",
        "eth_sendRawTransaction",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_feeHistory",
        "eth_blobBaseFee",
        "eth_getLogs",
        "eth_getStorageAt",
        "net_version",
        "evm_mine",
        "evm_setNextBlockTimestamp",
        "evm_increaseTime",
        "evm_setAutomine",
        "evm_snapshot",
        "evm_revert",
        "anvil_reorg",
        "holdfast_reorg",
        "anvil_setBalance",
        "anvil_setCode",
        "anvil_setNextBlockBaseFeePerGas",
        "anvil_getBlobsByTransactionHash",
        "eth_unknown",
    ];
    let chain = Chain::new(config());
    let mut random = StdRng::seed_from_u64(11);
    let (mut answers, mut faults) = (0, 0);
    for _ in 0..20_000 {
        let method = methods.choose(&mut random).expect("there are some");
        let list: Vec<Value> = (0..random.random_range(0..4)).map(|_| parameter(&mut random)).collect();
        let given = if random.random_bool(0.95) { Value::Array(list) } else { parameter(&mut random) };
        match chain.call(method, &given) {
            Ok(_) => answers += 1,
            Err(_) => faults += 1,
        }
        if chain.height() > 300 {
            chain.reorganise(200, 0, holdfast_settlement::embedded::Undone::Dropped).expect("it is long enough");
        }
    }
    assert!(answers > 1_000 && faults > 1_000, "{answers} answers, {faults} faults");
    assert_eq!(chain.call("eth_unknown", &Value::Null).expect_err("unknown").code, -32601);
}

#[tokio::test]
async fn transactions_of_strangers() {
    use alloy::{eips::eip2718::Encodable2718, network::TransactionBuilder, rpc::types::TransactionRequest};
    let stage = Stage::new().await;
    let request = TransactionRequest::default().to(Address::ZERO).nonce(1).gas_limit(30_000);
    let request = request.with_max_fee_per_gas(2_000_000_000).with_max_priority_fee_per_gas(1);
    let signed = stage.client.wallet.sign("a transaction", request).await.expect("it is signed");
    let good = signed.encoded_2718();
    assert!(Pooled::decode(&good).is_ok());
    let mut random = StdRng::seed_from_u64(12);
    for _ in 0..5_000 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.random()),
            }
        }
        let _ = stage.chain.call("eth_sendRawTransaction", &json!([Bytes::from(bytes)]));
    }
    stage.chain.mine();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_and_errors(bytes: Vec<u8>, words in 0_usize..40, flip: usize) {
        let _ = (decode_publication(&bytes), decode_finality(&bytes));
        prop_assert!(!explain(&bytes).is_empty());
        let of = publication(3, words);
        let mut encoded = encode_publication(&of);
        prop_assert_eq!(decode_publication(&encoded), Ok(of));
        let at = flip % encoded.len();
        encoded[at] ^= 1;
        prop_assert!(decode_publication(&encoded).is_err());
        let of = proof(words as u64);
        let mut encoded = encode_finality(&of);
        prop_assert_eq!(decode_finality(&encoded), Ok(of));
        encoded.truncate(flip % encoded.len());
        prop_assert!(decode_finality(&encoded).is_err());
    }

    #[test]
    fn entries(blocks: Vec<[u32; 8]>, kind in 0_u32..200, cells: [u32; 5]) {
        let _ = forced(&blocks);
        let first = [kind, cells[0] % (5 << 20) , cells[1] >> 4, cells[2] >> 4, cells[3] >> 4, cells[4] >> 4, 0, 0];
        for blocks in [vec![first], vec![first, first], vec![first, first, first]] {
            if let Some(instruction) = forced(&blocks) {
                prop_assert!(instruction.is_forced());
            }
        }
    }
}

/// Files that were cut short by a full disk, or edited.
#[tokio::test]
async fn a_damaged_folder() {
    let stage = Stage::new().await;
    let mut poster = stage.poster(calldata());
    poster.commit(&publication(1, 3)).expect("it is taken");
    let path = stage.folder.path().join("batches/1.bin");
    let content = std::fs::read(&path).expect("it is there");
    std::fs::write(&path, &content[..content.len() - 1]).expect("it is written");
    let error = poster.step().await.expect_err("it is damaged");
    assert!(error.to_string().contains("1.bin is damaged"), "{error}");
    std::fs::write(&path, content).expect("it is written");
    assert!(matches!(poster.step().await.expect("a step"), Progress::Sent { .. }));
    let path = stage.folder.path().join("journal.json");
    std::fs::write(&path, "{").expect("it is written");
    let reopened = holdfast_settlement::Poster::open(stage.client.clone(), stage.folder.path(), calldata());
    assert!(reopened.is_err_and(|error| error.to_string().contains("journal.json is damaged")));
}
