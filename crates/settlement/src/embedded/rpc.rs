//! JSON-RPC: the methods that alloy and this crate use, and those that steer a chain of one's own.

use alloy::{
    consensus::{Transaction as _, transaction::Recovered},
    eips::{BlockId, BlockNumberOrTag, RpcBlockHash},
    primitives::{B256, Bytes, Log, TxKind, U256, hex},
    rpc::types::{
        AccountInfo, Block, BlockTransactions, FeeHistory, Filter, FilterBlockOption, Header, Log as RpcLog,
        Transaction, TransactionReceipt, TransactionRequest,
    },
    sol_types::{Revert, SolError},
};
use revm::{
    context::{TxEnv, either::Either, result::ExecutionResult},
    primitives::KECCAK_EMPTY,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Fault, Mining, TRANSACTION_GAS_MAX, Undone, node::Mined, node::Node, world::View};

/// The most blocks of one `eth_feeHistory`.
const HISTORY_MAX: u64 = 1024;
/// The most blocks that one request may ask to be made.
const MINE_MAX: u64 = 100_000;
/// The highest base fee that may be asked for.
const BASE_FEE_MAX: u64 = 1 << 50;
/// A tip that any block takes.
const TIP: u64 = 1_000_000_000;

struct Parameters<'a> {
    list: &'a [Value],
}

impl Parameters<'_> {
    fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, Fault> {
        match self.list.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| Fault::parameters(format!("parameter {index}: {error}"))),
        }
    }

    fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, Fault> {
        self.optional(index)?.ok_or_else(|| Fault::parameters(format!("parameter {index} is missing")))
    }

    /// A number in JSON, or a quantity in hexadecimal digits.
    fn number(&self, index: usize) -> Result<Option<u64>, Fault> {
        match self.list.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => number
                .as_u64()
                .map(Some)
                .ok_or_else(|| Fault::parameters(format!("parameter {index}: expected a number, got {number}"))),
            _ => Ok(Some(quantity(self.get::<U256>(index)?)?)),
        }
    }

    fn block(&self, node: &Node, index: usize) -> Result<u64, Fault> {
        block_number(node, self.optional::<BlockId>(index)?.unwrap_or_default())?
            .ok_or_else(|| Fault::refused("block not found".into()))
    }
}

fn quantity(value: U256) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| Fault::parameters(format!("{value} is too large a number")))
}

fn json(value: impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::refused(error.to_string()))
}

fn hex_number(number: impl TryInto<u128>) -> Value {
    json!(format!("{:#x}", number.try_into().unwrap_or(u128::MAX)))
}

/// The number of a block that is there.
fn block_number(node: &Node, id: BlockId) -> Result<Option<u64>, Fault> {
    let number = match id {
        BlockId::Hash(RpcBlockHash { block_hash, .. }) => return Ok(node.number_of(block_hash)),
        BlockId::Number(BlockNumberOrTag::Number(number)) => number,
        BlockId::Number(BlockNumberOrTag::Earliest) => 0,
        // Two epochs, as a rule.
        BlockId::Number(BlockNumberOrTag::Finalized) => node.height().saturating_sub(64),
        BlockId::Number(BlockNumberOrTag::Safe) => node.height().saturating_sub(32),
        BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Pending) => node.height(),
    };
    Ok((number <= node.height()).then_some(number))
}

pub fn call(node: &mut Node, method: &str, parameters: &Value) -> Result<Value, Fault> {
    let list: &[Value] = match parameters {
        Value::Array(list) => list,
        Value::Null => &[],
        _ => return Err(Fault::parameters("parameters are a list".into())),
    };
    let given = Parameters { list };
    match method {
        "eth_chainId" => Ok(hex_number(node.config.chain)),
        "net_version" => Ok(json!(node.config.chain.to_string())),
        "web3_clientVersion" => Ok(json!("holdfast-embedded")),
        "eth_blockNumber" => Ok(hex_number(node.height())),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => {
            let id = match method {
                "eth_getBlockByHash" => BlockId::from(given.get::<B256>(0)?),
                _ => BlockId::Number(given.get(0)?),
            };
            let full = given.optional(1)?.unwrap_or(false);
            match block_number(node, id)?.and_then(|number| node.block(number)) {
                Some(block) => rpc_block(block, full),
                None => Ok(Value::Null),
            }
        }
        "eth_getTransactionByHash" => {
            let hash = given.get(0)?;
            if let Some((block, index)) = node.transaction(hash) {
                return json(rpc_transaction(block, index));
            }
            let Some(waiting) = node.pool.find(hash) else { return Ok(Value::Null) };
            json(Transaction {
                inner: Recovered::new_unchecked(waiting.transaction.clone(), waiting.sender),
                block_hash: None,
                block_number: None,
                transaction_index: None,
                effective_gas_price: None,
                block_timestamp: None,
            })
        }
        "eth_getTransactionReceipt" => match node.transaction(given.get(0)?) {
            Some((block, index)) => json(rpc_receipt(node, block, index)),
            None => Ok(Value::Null),
        },
        "eth_getBlockReceipts" => match block_number(node, given.get(0)?)?.and_then(|number| node.block(number)) {
            Some(block) => {
                json((0..block.records.len()).map(|index| rpc_receipt(node, block, index)).collect::<Vec<_>>())
            }
            None => Ok(Value::Null),
        },
        "eth_getTransactionCount" => {
            let account = given.get(0)?;
            if given.optional::<BlockId>(1)? == Some(BlockId::pending()) {
                return Ok(hex_number(node.pending_nonce(account)));
            }
            let view = node.view(given.block(node, 1)?);
            Ok(hex_number(view.account(account).unwrap_or_default().nonce))
        }
        "eth_getBalance" => {
            let view = node.view(given.block(node, 1)?);
            json(view.account(given.get(0)?).unwrap_or_default().balance)
        }
        "eth_getCode" => {
            let view = node.view(given.block(node, 1)?);
            json(code(&view, view.account(given.get(0)?).unwrap_or_default().code_hash))
        }
        // Balance, nonce and code at once: whoever forks the chain asks for them.
        "eth_getAccountInfo" => {
            let view = node.view(given.block(node, 1)?);
            let account = view.account(given.get(0)?).unwrap_or_default();
            let code = code(&view, account.code_hash);
            json(AccountInfo { balance: account.balance, nonce: account.nonce, code })
        }
        "eth_getStorageAt" => {
            let view = node.view(given.block(node, 2)?);
            json(B256::from(view.slot(given.get(0)?, given.get(1)?)))
        }
        "eth_call" => {
            if list.len() > 2 && !list[2].is_null() {
                return Err(Fault::parameters("changes of the state for a call are not known here".into()));
            }
            let number = given.block(node, 1)?;
            let request: TransactionRequest = given.get(0)?;
            let result = simulate(node, &request, number, node.config.gas_limit)?;
            json(output(result)?)
        }
        "eth_estimateGas" => estimate(node, &given.get(0)?, given.block(node, 1)?),
        "eth_sendRawTransaction" => {
            let bytes: Bytes = given.get(0)?;
            json(node.send(&bytes)?)
        }
        "eth_gasPrice" => Ok(hex_number(node.base_fee().saturating_add(TIP))),
        "eth_maxPriorityFeePerGas" => Ok(hex_number(TIP)),
        "eth_blobBaseFee" => Ok(hex_number(node.blob_fee())),
        "eth_feeHistory" => history(node, &given),
        "eth_getLogs" => logs(node, &given.get(0)?),
        "evm_mine" => {
            if let Some(timestamp) = given.number(0)? {
                node.set_next_timestamp(timestamp)?;
            }
            node.mine();
            Ok(json!("0x0"))
        }
        "anvil_mine" => {
            let count = given.number(0)?.unwrap_or(1);
            let interval = given.number(1)?.unwrap_or(0);
            if count > MINE_MAX {
                return Err(Fault::parameters(format!("at most {MINE_MAX} blocks at a time, got {count}")));
            }
            for _ in 0..count {
                node.pass(interval.saturating_sub(node.config.step));
                node.mine();
            }
            Ok(Value::Null)
        }
        "evm_setNextBlockTimestamp" => {
            let timestamp = given.number(0)?.ok_or_else(|| Fault::parameters("parameter 0 is missing".into()))?;
            node.set_next_timestamp(timestamp)?;
            Ok(Value::Null)
        }
        "evm_increaseTime" => {
            let seconds = given.number(0)?.ok_or_else(|| Fault::parameters("parameter 0 is missing".into()))?;
            // A time that no block can have would stop the chain.
            if seconds > u64::from(u32::MAX) {
                return Err(Fault::parameters(format!("{seconds} seconds are too many")));
            }
            node.pass(seconds);
            Ok(json!(seconds))
        }
        "evm_setAutomine" | "anvil_setAutoMine" => {
            node.config.mining = if given.get(0)? { Mining::Immediate } else { Mining::Asked };
            Ok(Value::Null)
        }
        "evm_snapshot" => {
            let mut snapshot = node.clone();
            snapshot.snapshots.clear();
            node.snapshots.push(snapshot);
            Ok(hex_number(node.snapshots.len() as u64))
        }
        "evm_revert" => {
            let id = given.number(0)?.unwrap_or_default();
            let Some(index) = id.checked_sub(1).and_then(|index| usize::try_from(index).ok()) else {
                return Ok(json!(false));
            };
            if index >= node.snapshots.len() {
                return Ok(json!(false));
            }
            let mut older = std::mem::take(&mut node.snapshots);
            older.truncate(index + 1);
            if let Some(snapshot) = older.pop() {
                *node = snapshot;
            }
            node.snapshots = older;
            Ok(json!(true))
        }
        "anvil_setBalance" => {
            node.set_balance(given.get(0)?, given.get(1)?);
            Ok(Value::Null)
        }
        "anvil_setCode" => {
            node.set_code(given.get(0)?, given.get(1)?);
            Ok(Value::Null)
        }
        "anvil_setNextBlockBaseFeePerGas" => {
            node.next_base_fee = given.number(0)?.map(|fee| fee.min(BASE_FEE_MAX));
            Ok(Value::Null)
        }
        "anvil_dropAllTransactions" => {
            node.pool.clear();
            Ok(Value::Null)
        }
        "anvil_reorg" => {
            if list.get(1).and_then(Value::as_array).is_some_and(|pairs| !pairs.is_empty()) {
                return Err(Fault::parameters("transactions for the other blocks are not known here".into()));
            }
            let depth = given.number(0)?.ok_or_else(|| Fault::parameters("parameter 0 is missing".into()))?;
            node.reorganise(depth, depth, Undone::Dropped)?;
            Ok(Value::Null)
        }
        "holdfast_reorg" => {
            let depth = given.number(0)?.ok_or_else(|| Fault::parameters("parameter 0 is missing".into()))?;
            let blocks = given.number(1)?.unwrap_or(depth);
            if blocks > MINE_MAX {
                return Err(Fault::parameters(format!("at most {MINE_MAX} blocks at a time, got {blocks}")));
            }
            let undone = if given.optional(2)?.unwrap_or(true) { Undone::Pooled } else { Undone::Dropped };
            node.reorganise(depth, blocks, undone)?;
            Ok(Value::Null)
        }
        "anvil_getBlobsByTransactionHash" => {
            let Some((block, index)) = node.transaction(given.get(0)?) else { return Ok(Value::Null) };
            match &block.records[index].pooled.sidecar {
                Some(sidecar) => json(sidecar.blobs().iter().map(hex::encode_prefixed).collect::<Vec<_>>()),
                None => Ok(Value::Null),
            }
        }
        _ => Err(Fault::unknown_method(method)),
    }
}

/// Code as it was deployed.
fn code(view: &View<'_>, hash: B256) -> Bytes {
    match hash {
        KECCAK_EMPTY => Bytes::new(),
        hash => view.code(hash).original_bytes(),
    }
}

fn rpc_transaction(
    block: &Mined,
    index: usize,
) -> Transaction<alloy::consensus::EthereumTxEnvelope<alloy::consensus::TxEip4844>> {
    let record = &block.records[index];
    Transaction {
        inner: Recovered::new_unchecked(record.pooled.transaction.clone(), record.pooled.sender),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(record.gas_price),
        block_timestamp: Some(block.header.timestamp),
    }
}

fn rpc_block(block: &Mined, full: bool) -> Result<Value, Fault> {
    let transactions = if full {
        BlockTransactions::Full((0..block.records.len()).map(|index| rpc_transaction(block, index)).collect())
    } else {
        BlockTransactions::Hashes(block.records.iter().map(|record| record.pooled.hash).collect())
    };
    let header = Header { hash: block.hash, inner: block.header.clone(), total_difficulty: None, size: None };
    json(Block { header, uncles: Vec::new(), transactions, withdrawals: Some(Vec::new().into()) })
}

fn rpc_log(block: &Mined, index: usize, number: u64, log: Log) -> RpcLog {
    RpcLog {
        inner: log,
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(block.records[index].pooled.hash),
        transaction_index: Some(index as u64),
        log_index: Some(number),
        removed: false,
    }
}

fn rpc_receipt(node: &Node, block: &Mined, index: usize) -> TransactionReceipt {
    let record = &block.records[index];
    let mut number = record.first_log;
    let inner = record.receipt.clone().map_logs(|log| {
        number += 1;
        rpc_log(block, index, number - 1, log)
    });
    let blob_gas_used = record.pooled.transaction.blob_gas_used();
    TransactionReceipt {
        inner,
        transaction_hash: record.pooled.hash,
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        gas_used: record.gas_used,
        effective_gas_price: record.gas_price,
        blob_gas_used,
        blob_gas_price: blob_gas_used
            .map(|_| node.config.blobs.calc_blob_fee(block.header.excess_blob_gas.unwrap_or_default())),
        from: record.pooled.sender,
        to: record.pooled.transaction.to(),
        contract_address: record.created,
    }
}

fn environment(node: &Node, request: &TransactionRequest, number: u64, gas: u64) -> TxEnv {
    let caller = request.from.unwrap_or_default();
    let price = request.max_fee_per_gas.or(request.gas_price).unwrap_or_default();
    let mut blob_hashes = request.blob_versioned_hashes.clone().unwrap_or_default();
    if let Some(sidecar) = &request.sidecar
        && blob_hashes.is_empty()
    {
        blob_hashes = sidecar.versioned_hashes().collect();
    }
    let kind = request.to.unwrap_or(TxKind::Create);
    let authorization_list: Vec<_> = request.authorization_list.iter().flatten().cloned().map(Either::Left).collect();
    let access_list = request.access_list.clone().unwrap_or_default();
    let tx_type = if !blob_hashes.is_empty() {
        3
    } else if !authorization_list.is_empty() {
        4
    } else if request.gas_price.is_some() || request.max_fee_per_gas.is_none() {
        u8::from(!access_list.0.is_empty())
    } else {
        2
    };
    let nonce = || node.view(number).account(caller).unwrap_or_default().nonce;
    TxEnv {
        tx_type,
        caller,
        gas_limit: request.gas.unwrap_or(gas),
        gas_price: price,
        kind,
        value: request.value.unwrap_or_default(),
        data: request.input.input().cloned().unwrap_or_default(),
        nonce: request.nonce.unwrap_or_else(nonce),
        chain_id: request.chain_id.or(Some(node.config.chain)),
        access_list,
        gas_priority_fee: (tx_type >= 2).then(|| request.max_priority_fee_per_gas.unwrap_or_default().min(price)),
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(if blob_hashes.is_empty() {
            0
        } else {
            u128::MAX >> 32
        }),
        blob_hashes,
        authorization_list,
    }
}

fn simulate(node: &Node, request: &TransactionRequest, number: u64, gas: u64) -> Result<ExecutionResult, Fault> {
    let block = node.block(number).ok_or_else(|| Fault::refused("block not found".into()))?;
    // A call is made in the block after whose transactions it sees the state, as every client has it.
    node.simulate(number, &block.header, environment(node, request, number, gas))
}

/// What a call returned, or its failure as an error.
fn output(result: ExecutionResult) -> Result<Bytes, Fault> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => {
            let reason = Revert::abi_decode(&output).map(|revert| format!(": {}", revert.reason())).unwrap_or_default();
            Err(Fault {
                code: 3,
                message: format!("execution reverted{reason}"),
                data: Some(json!(hex::encode_prefixed(&output))),
            })
        }
        ExecutionResult::Halt { reason, .. } => Err(Fault::refused(format!("execution halted: {reason:?}"))),
    }
}

fn estimate(node: &Node, request: &TransactionRequest, number: u64) -> Result<Value, Fault> {
    let cap = request.gas.unwrap_or(TRANSACTION_GAS_MAX).min(TRANSACTION_GAS_MAX);
    let with = |gas: u64| simulate(node, &TransactionRequest { gas: Some(gas), ..request.clone() }, number, gas);
    let most = with(cap)?;
    let used = most.tx_gas_used();
    output(most)?;
    let (mut fails, mut works) = (used.saturating_sub(1).max(20_999), cap);
    // Most need what they use, and a 63rd of what they pass on.
    let guess = (used + used / 63 + 2_400).min(cap);
    if with(guess).is_ok_and(|result| result.is_success()) {
        works = guess;
    } else {
        fails = fails.max(guess.min(cap - 1));
    }
    if with(used).is_ok_and(|result| result.is_success()) {
        works = used;
    }
    while works > fails + 1 {
        let middle = fails + (works - fails) / 2;
        if with(middle).is_ok_and(|result| result.is_success()) {
            works = middle;
        } else {
            fails = middle;
        }
    }
    Ok(hex_number(works))
}

fn history(node: &Node, given: &Parameters<'_>) -> Result<Value, Fault> {
    let count = given.number(0)?.unwrap_or(1).clamp(1, HISTORY_MAX);
    let newest = given.block(node, 1)?;
    let percentiles: Option<Vec<f64>> = given.optional(2)?;
    let oldest = (newest + 1).saturating_sub(count);
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for block in (oldest..=newest).filter_map(|number| node.block(number)) {
        let header = &block.header;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit.max(1) as f64);
        let blob_fee = node.config.blobs.calc_blob_fee(header.excess_blob_gas.unwrap_or_default());
        history.base_fee_per_blob_gas.push(blob_fee);
        let most = node.config.blobs.max_blob_gas_per_block().max(1);
        history.blob_gas_used_ratio.push(header.blob_gas_used.unwrap_or_default() as f64 / most as f64);
        let tip = |percentile: f64| {
            let mut tips: Vec<u128> = block
                .records
                .iter()
                .map(|record| record.gas_price.saturating_sub(header.base_fee_per_gas.unwrap_or_default().into()))
                .collect();
            tips.sort_unstable();
            let at = (percentile.clamp(0.0, 100.0) / 100.0 * tips.len() as f64) as usize;
            tips.get(at.min(tips.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        rewards.push(percentiles.iter().flatten().map(|&percentile| tip(percentile)).collect());
    }
    let next = node.block(newest + 1);
    history
        .base_fee_per_gas
        .push(next.map_or_else(|| node.base_fee(), |block| block.header.base_fee_per_gas.unwrap_or_default()).into());
    history.base_fee_per_blob_gas.push(next.map_or_else(
        || node.blob_fee(),
        |block| node.config.blobs.calc_blob_fee(block.header.excess_blob_gas.unwrap_or_default()),
    ));
    history.reward = percentiles.is_some().then_some(rewards);
    json(history)
}

fn logs(node: &Node, filter: &Filter) -> Result<Value, Fault> {
    let (first, last) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = node.number_of(hash).ok_or_else(|| Fault::refused("block not found".into()))?;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let number = |tag: Option<BlockNumberOrTag>| match tag {
                Some(BlockNumberOrTag::Number(number)) => Ok(number),
                tag => Ok(block_number(node, tag.unwrap_or_default().into())?.unwrap_or_default()),
            };
            (number(from_block)?, number(to_block)?.min(node.height()))
        }
    };
    let mut found = Vec::new();
    for block in (first..=last).filter_map(|number| node.block(number)) {
        for (index, record) in block.records.iter().enumerate() {
            for (offset, log) in (0..).zip(record.receipt.logs()) {
                if filter.matches(log) {
                    found.push(rpc_log(block, index, record.first_log + offset, log.clone()));
                }
            }
        }
    }
    json(found)
}
