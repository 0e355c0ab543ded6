//! The chain: blocks, the state after the last one, and the transactions that wait.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    consensus::{
        EMPTY_OMMER_ROOT_HASH, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction,
        constants::EMPTY_WITHDRAWALS,
        proofs::{calculate_receipt_root, calculate_transaction_root},
    },
    eips::{eip1559::BaseFeeParams, eip7685::EMPTY_REQUESTS_HASH},
    primitives::{Address, B64, B256, Bloom, Bytes, U256, address},
};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{
        BlockEnv, TxEnv,
        result::{EVMError, ExecutionResult, ResultAndState},
    },
    context_interface::{ContextSetters, block::BlobExcessGasAndPrice},
    primitives::hardfork::SpecId,
};

use super::{
    Config, Fault, Mining, TRANSACTION_GAS_MAX, Undone,
    pool::{Pool, Pooled},
    world::{Undo, View, World},
};

/// Who makes the blocks.
const BENEFICIARY: Address = address!("0x00000000000000000000000000000000c01bba5e");

/// The latest time that may be asked for, in seconds: beyond any that a contract computes with.
const TIMESTAMP_MAX: u64 = 1 << 40;

/// A transaction in a block.
#[derive(Debug, Clone)]
pub struct Record {
    pub pooled: Arc<Pooled>,
    pub receipt: ReceiptEnvelope,
    pub gas_used: u64,
    pub gas_price: u128,
    pub created: Option<Address>,
    /// Number, in the block, of its first log.
    pub first_log: u64,
    /// What it returned, or reverted with.
    pub output: Bytes,
}

/// A block.
#[derive(Debug, Clone)]
pub struct Mined {
    pub header: Header,
    pub hash: B256,
    pub records: Vec<Arc<Record>>,
    undo: Undo,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub config: Config,
    pub pool: Pool,
    pub next_base_fee: Option<u64>,
    pub next_excess_blob_gas: Option<u64>,
    world: World,
    /// By number.
    blocks: Vec<Arc<Mined>>,
    by_hash: BTreeMap<B256, u64>,
    transactions: BTreeMap<B256, (u64, usize)>,
    next_timestamp: Option<u64>,
    passed: u64,
    /// Blocks ever made.
    made: u64,
    pub snapshots: Vec<Node>,
}

impl Node {
    pub fn new(config: Config) -> Self {
        let header = Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            gas_limit: config.gas_limit,
            timestamp: config.timestamp,
            base_fee_per_gas: Some(config.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let hash = header.hash_slow();
        let (mut world, mut undo) = (World::default(), Undo::default());
        for &(address, balance) in &config.balances {
            world.set_balance(address, balance, &mut undo);
        }
        let genesis = Mined { header, hash, records: Vec::new(), undo: Undo::default() };
        Self {
            next_base_fee: Some(config.base_fee),
            config,
            pool: Pool::default(),
            next_excess_blob_gas: None,
            world,
            blocks: vec![Arc::new(genesis)],
            by_hash: BTreeMap::from([(hash, 0)]),
            transactions: BTreeMap::new(),
            next_timestamp: None,
            passed: 0,
            made: 0,
            snapshots: Vec::new(),
        }
    }

    pub fn head(&self) -> &Arc<Mined> {
        self.blocks.last().expect("there is always the genesis")
    }

    pub fn height(&self) -> u64 {
        self.head().header.number
    }

    pub fn block(&self, number: u64) -> Option<&Arc<Mined>> {
        usize::try_from(number).ok().and_then(|number| self.blocks.get(number))
    }

    pub fn number_of(&self, hash: B256) -> Option<u64> {
        self.by_hash.get(&hash).copied()
    }

    pub fn transaction(&self, hash: B256) -> Option<(&Arc<Mined>, usize)> {
        let &(number, index) = self.transactions.get(&hash)?;
        Some((self.block(number)?, index))
    }

    /// The state after a block.
    pub fn view(&self, number: u64) -> View<'_> {
        let mut past = Undo::default();
        let first = usize::try_from(number + 1).unwrap_or(usize::MAX).min(self.blocks.len());
        for block in self.blocks[first..].iter().rev() {
            past.over(&block.undo);
        }
        View { world: &self.world, past, blocks: &self.blocks[..first] }
    }

    pub fn set_next_timestamp(&mut self, timestamp: u64) -> Result<(), Fault> {
        let last = self.head().header.timestamp;
        if timestamp <= last {
            return Err(Fault::parameters(format!("timestamp {timestamp} is not after the last block's, {last}")));
        }
        if timestamp > TIMESTAMP_MAX {
            return Err(Fault::parameters(format!("timestamp {timestamp} is more than {TIMESTAMP_MAX}")));
        }
        self.next_timestamp = Some(timestamp);
        Ok(())
    }

    pub fn pass(&mut self, seconds: u64) {
        self.passed = self.passed.saturating_add(seconds).min(TIMESTAMP_MAX);
    }

    pub fn set_balance(&mut self, account: Address, balance: U256) {
        // Part of the last block, so that it is undone with it.
        let head = self.blocks.last_mut().expect("there is always the genesis");
        self.world.set_balance(account, balance, &mut Arc::make_mut(head).undo);
    }

    pub fn set_code(&mut self, account: Address, code: Bytes) {
        let head = self.blocks.last_mut().expect("there is always the genesis");
        self.world.set_code(account, code, &mut Arc::make_mut(head).undo);
    }

    pub fn base_fee(&self) -> u64 {
        let head = &self.head().header;
        self.next_base_fee.or_else(|| head.next_block_base_fee(BaseFeeParams::ethereum())).unwrap_or_default()
    }

    pub fn excess_blob_gas(&self) -> u64 {
        let head = &self.head().header;
        self.next_excess_blob_gas.unwrap_or_else(|| {
            self.config.blobs.next_block_excess_blob_gas_osaka(
                head.excess_blob_gas.unwrap_or_default(),
                head.blob_gas_used.unwrap_or_default(),
                head.base_fee_per_gas.unwrap_or_default(),
            )
        })
    }

    pub fn blob_fee(&self) -> u128 {
        self.config.blobs.calc_blob_fee(self.excess_blob_gas())
    }

    /// The nonce of an account's next transaction, after those that wait.
    pub fn pending_nonce(&self, account: Address) -> u64 {
        let mined = self.world.account(account).unwrap_or_default().nonce;
        self.pool.nonce_after(account, mined)
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<B256, Fault> {
        let pooled = Arc::new(Pooled::decode(bytes)?);
        pooled.check(self.config.chain)?;
        let hash = pooled.hash;
        if self.transactions.contains_key(&hash) {
            return Err(Fault::refused("already known".into()));
        }
        let account = self.world.account(pooled.sender).unwrap_or_default();
        let nonce = pooled.transaction.nonce();
        if nonce < account.nonce {
            return Err(Fault::refused(format!("nonce too low: next nonce {}, tx nonce {nonce}", account.nonce)));
        }
        if account.balance < pooled.cost() {
            return Err(Fault::refused(format!(
                "insufficient funds for gas * price + value: have {}, want {}",
                account.balance,
                pooled.cost()
            )));
        }
        // What no block could ever take is not kept.
        if nonce == account.nonce {
            self.preflight(&pooled)?;
        }
        self.pool.add(pooled)?;
        if self.config.mining == Mining::Immediate {
            self.mine();
        }
        Ok(hash)
    }

    /// The checks before execution, by an execution that is thrown away at the first step: gas that does not suffice for the data, too many blobs, and so on.
    fn preflight(&self, pooled: &Pooled) -> Result<(), Fault> {
        let mut environment = pooled.environment();
        let height = self.height();
        let mut block = self.environment(&self.head().header);
        block.basefee = 0;
        block.gas_limit = u64::MAX;
        block.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 });
        environment.gas_price = environment.gas_price.max(1);
        match self.validate(self.view(height), block, environment) {
            Ok(()) => Ok(()),
            Err(error) => Err(Fault::refused(error)),
        }
    }

    fn validate(&self, view: View<'_>, block: BlockEnv, transaction: TxEnv) -> Result<(), String> {
        use revm::handler::{Handler, MainnetHandler};
        let mut evm = self.machine(view, block, true).build_mainnet();
        evm.set_tx(transaction);
        let handler = MainnetHandler::<_, EVMError<std::convert::Infallible>, revm::handler::EthFrame>::default();
        handler.validate(&mut evm).map(drop).map_err(|error| error.to_string())
    }

    /// What a block's transactions see of it.
    pub fn environment(&self, header: &Header) -> BlockEnv {
        let excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
        BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: U256::ZERO,
            prevrandao: Some(header.mix_hash),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas,
                blob_gasprice: self.config.blobs.calc_blob_fee(excess_blob_gas),
            }),
            slot_num: 0,
        }
    }

    fn machine<'a>(&self, view: View<'a>, block: BlockEnv, strict: bool) -> revm::handler::MainnetContext<View<'a>> {
        let cap = if strict { TRANSACTION_GAS_MAX } else { u64::MAX };
        Context::mainnet().with_db(view).with_block(block).modify_cfg_chained(|config| {
            config.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
            config.chain_id = self.config.chain;
            config.tx_gas_limit_cap = Some(cap);
            config.set_max_blobs_per_tx(self.config.blobs.max_blobs_per_tx);
            config.disable_nonce_check = !strict;
            config.disable_balance_check = !strict;
            config.disable_base_fee = !strict;
            config.disable_eip3607 = !strict;
        })
    }

    /// Runs a transaction after block `number`, in `header`, without consequences. Calls need no nonce and no funds.
    pub fn simulate(&self, number: u64, header: &Header, transaction: TxEnv) -> Result<ExecutionResult, Fault> {
        let mut block = self.environment(header);
        if transaction.gas_price == 0 {
            block.basefee = 0;
        }
        let done = self.machine(self.view(number), block, false).build_mainnet().transact(transaction);
        done.map(|done| done.result).map_err(|error| Fault::refused(error.to_string()))
    }

    /// The next block's header, as far as it is known before its transactions.
    pub fn next_header(&self) -> Header {
        let head = self.head();
        let later = head.header.timestamp.saturating_add(self.config.step.max(1)).saturating_add(self.passed);
        Header {
            parent_hash: head.hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: BENEFICIARY,
            state_root: B256::from(U256::from(self.made + 1)),
            number: head.header.number + 1,
            gas_limit: self.config.gas_limit,
            timestamp: self.next_timestamp.unwrap_or(later),
            mix_hash: alloy::primitives::keccak256((self.made + 1).to_be_bytes()),
            nonce: B64::ZERO,
            base_fee_per_gas: Some(self.base_fee()),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(self.excess_blob_gas()),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    /// Makes a block of what waits, those first who pay most.
    pub fn mine(&mut self) -> u64 {
        let mut header = self.next_header();
        let block = self.environment(&header);
        let (mut undo, mut records) = (Undo::default(), Vec::new());
        let (mut gas, mut blob_gas, mut logs, mut bloom) = (0, 0, 0, Bloom::ZERO);
        // Those that pay, but have no room in this block, and all that follow them from their senders.
        let mut without_room = Vec::new();
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let blob_fee = block.blob_excess_gas_and_price.map_or(0, |price| price.blob_gasprice);
        loop {
            let nonce = |sender| self.world.account(sender).unwrap_or_default().nonce;
            let best = self
                .pool
                .next(nonce)
                .filter(|(_, pooled)| !without_room.contains(&pooled.sender))
                .filter_map(|(arrival, pooled)| Some((pooled.tip(base_fee, blob_fee)?, arrival, pooled)))
                .max_by_key(|&(tip, arrival, _)| (tip, u64::MAX - arrival));
            let Some((_, _, pooled)) = best else { break };
            let pooled = Arc::clone(pooled);
            let blobs = pooled.transaction.blob_gas_used().unwrap_or_default();
            let room = gas + pooled.transaction.gas_limit() <= header.gas_limit
                && blob_gas + blobs <= self.config.blobs.max_blob_gas_per_block();
            if !room {
                without_room.push(pooled.sender);
                continue;
            }
            self.pool.remove(pooled.sender, pooled.transaction.nonce());
            // What cannot be executed at all (its sender has spent the money, say) is forgotten.
            let Some(ResultAndState { result, state }) = self.execute(block.clone(), &pooled) else { continue };
            self.world.commit(state, &mut undo);
            gas += result.tx_gas_used();
            blob_gas += blobs;
            let used = result.tx_gas_used();
            // Also of one that failed, as every client has it.
            let created = pooled.transaction.is_create().then(|| pooled.sender.create(pooled.transaction.nonce()));
            let (success, output) = (result.is_success(), result.output().cloned().unwrap_or_default());
            let found = if success { result.into_logs() } else { Vec::new() };
            let first_log = logs;
            logs += found.len() as u64;
            let receipt = Receipt { status: success.into(), cumulative_gas_used: gas, logs: found };
            let receipt = ReceiptWithBloom::from(receipt);
            bloom.accrue_bloom(&receipt.logs_bloom);
            let gas_price = pooled.transaction.effective_gas_price(Some(base_fee));
            let receipt = ReceiptEnvelope::from_typed(pooled.transaction.tx_type(), receipt);
            let record = Record { pooled, receipt, gas_used: used, gas_price, created, first_log, output };
            records.push(Arc::new(record));
        }
        header.gas_used = gas;
        header.blob_gas_used = Some(blob_gas);
        header.logs_bloom = bloom;
        let envelopes: Vec<_> = records.iter().map(|record| record.pooled.transaction.clone()).collect();
        header.transactions_root = calculate_transaction_root(&envelopes);
        let receipts: Vec<_> = records.iter().map(|record| record.receipt.clone()).collect();
        header.receipts_root = calculate_receipt_root(&receipts);
        self.append(Mined { hash: header.hash_slow(), header, records, undo })
    }

    fn execute(&self, block: BlockEnv, pooled: &Pooled) -> Option<ResultAndState> {
        self.machine(self.view(self.height()), block, true).build_mainnet().transact(pooled.environment()).ok()
    }

    fn append(&mut self, block: Mined) -> u64 {
        let number = block.header.number;
        for (index, record) in block.records.iter().enumerate() {
            self.transactions.insert(record.pooled.hash, (number, index));
        }
        self.by_hash.insert(block.hash, number);
        self.blocks.push(Arc::new(block));
        self.made += 1;
        (self.next_timestamp, self.next_base_fee, self.next_excess_blob_gas, self.passed) = (None, None, None, 0);
        number
    }

    pub fn reorganise(&mut self, depth: u64, blocks: u64, undone: Undone) -> Result<(), Fault> {
        if depth > self.height() {
            return Err(Fault::parameters(format!(
                "reorganisation of {depth} blocks, but there are {}",
                self.height()
            )));
        }
        let mut returned = Vec::new();
        for _ in 0..depth {
            let block = self.blocks.pop().expect("the depth is within the height");
            self.by_hash.remove(&block.hash);
            for record in &block.records {
                self.transactions.remove(&record.pooled.hash);
                returned.push(Arc::clone(&record.pooled));
            }
            self.world.undo(block.undo.clone());
        }
        if undone == Undone::Pooled {
            for pooled in returned {
                // One that was replaced while it was in a block stays replaced.
                let _ = self.pool.add(pooled);
            }
        }
        for _ in 0..blocks {
            self.mine();
        }
        Ok(())
    }
}
