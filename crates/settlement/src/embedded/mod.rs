//! An Ethereum in this process: the rules of Osaka by revm, blocks when they are asked for, and reorganisations.
//!
//! It is reached as every other Ethereum is: through alloy's provider, whose transport ([`Transport`]) answers JSON-RPC. What a chain of its own can do besides (mine, set the
//! time, roll back) are methods of [`Chain`], and of JSON-RPC under the names that anvil gives them.
//!
//! State roots are not computed: a header has a counter in their place, by which no two blocks have one hash.

pub mod http;
mod node;
mod pool;
mod rpc;
mod transport;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};

use alloy::{
    eips::eip7840::BlobParams,
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::client::RpcClient,
};
use serde_json::Value;

pub use node::{Mined, Record};
pub use pool::Pooled;
pub use transport::Transport;

/// The most gas that a transaction may have (EIP-7825).
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// An answer that is an error, as JSON-RPC has them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Fault {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Fault {
    /// A transaction or a call that is not taken.
    pub fn refused(message: String) -> Self {
        Self { code: -32000, message, data: None }
    }

    pub fn parameters(message: String) -> Self {
        Self { code: -32602, message, data: None }
    }

    pub fn unknown_method(method: &str) -> Self {
        Self { code: -32601, message: format!("the method {method} does not exist here"), data: None }
    }
}

/// When blocks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// Each transaction in a block of its own, at once.
    Immediate,
    /// When it is asked for.
    Asked,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub chain: u64,
    pub mining: Mining,
    pub gas_limit: u64,
    pub base_fee: u64,
    pub blobs: BlobParams,
    /// Of the genesis, in seconds.
    pub timestamp: u64,
    /// Seconds from one block to the next, where nothing else is said.
    pub step: u64,
    pub balances: Vec<(Address, U256)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chain: 31337,
            mining: Mining::Immediate,
            gas_limit: 60_000_000,
            base_fee: 1_000_000_000,
            blobs: BlobParams::osaka(),
            timestamp: 1_700_000_000,
            step: 12,
            balances: Vec::new(),
        }
    }
}

impl Config {
    /// Gives some accounts a million ether each.
    #[must_use]
    pub fn rich(mut self, accounts: impl IntoIterator<Item = Address>) -> Self {
        let wealth = U256::from(10).pow(U256::from(24));
        self.balances.extend(accounts.into_iter().map(|account| (account, wealth)));
        self
    }
}

/// What becomes of the transactions of blocks that are rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// They are forgotten, as if they had never been seen.
    Dropped,
    /// They wait again.
    Pooled,
}

/// A handle; its clones are the same chain.
#[derive(Debug, Clone)]
pub struct Chain(Arc<Mutex<node::Node>>);

/// The chain as it was at some moment.
#[derive(Debug, Clone)]
pub struct Snapshot(Box<node::Node>);

impl Chain {
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Mutex::new(node::Node::new(config))))
    }

    fn node(&self) -> MutexGuard<'_, node::Node> {
        // A panic while a block was made would leave half a block: whoever comes next may not go on with it.
        self.0.lock().unwrap_or_else(|_| panic!("the embedded chain broke in another thread"))
    }

    /// alloy's provider on this chain.
    pub fn provider(&self) -> DynProvider {
        ProviderBuilder::default().connect_client(RpcClient::new(Transport::new(self.clone()), true)).erased()
    }

    /// Answers a JSON-RPC request.
    pub fn call(&self, method: &str, parameters: &Value) -> Result<Value, Fault> {
        rpc::call(&mut self.node(), method, parameters)
    }

    pub fn mine(&self) -> u64 {
        self.node().mine()
    }

    pub fn mine_many(&self, blocks: u64) -> u64 {
        let mut node = self.node();
        (0..blocks).for_each(|_| {
            node.mine();
        });
        node.height()
    }

    pub fn height(&self) -> u64 {
        self.node().height()
    }

    /// Seconds, of the last block.
    pub fn timestamp(&self) -> u64 {
        self.node().head().header.timestamp
    }

    /// The next block's time, which must be later than the last one's.
    pub fn set_next_timestamp(&self, timestamp: u64) -> Result<(), Fault> {
        self.node().set_next_timestamp(timestamp)
    }

    /// Adds to the time until the next block.
    pub fn pass(&self, seconds: u64) {
        self.node().pass(seconds);
    }

    pub fn set_mining(&self, mining: Mining) {
        self.node().config.mining = mining;
    }

    pub fn set_base_fee(&self, base_fee: u64) {
        self.node().next_base_fee = Some(base_fee);
    }

    /// The excess of blob gas at the next block, which sets the price of blobs.
    pub fn set_excess_blob_gas(&self, excess: u64) {
        self.node().next_excess_blob_gas = Some(excess);
    }

    pub fn set_balance(&self, account: Address, balance: U256) {
        self.node().set_balance(account, balance);
    }

    /// Transactions that wait.
    pub fn waiting(&self) -> usize {
        self.node().pool.len()
    }

    /// Forgets the transactions that wait, as nodes do when they are restarted.
    pub fn drop_waiting(&self) {
        self.node().pool.clear();
    }

    /// Rolls back `depth` blocks, and makes `blocks` others, with what then waits.
    pub fn reorganise(&self, depth: u64, blocks: u64, undone: Undone) -> Result<(), Fault> {
        self.node().reorganise(depth, blocks, undone)
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Box::new(self.node().clone()))
    }

    pub fn restore(&self, snapshot: &Snapshot) {
        *self.node() = *snapshot.0.clone();
    }

    pub fn block_hash(&self, number: u64) -> Option<B256> {
        self.node().block(number).map(|block| block.hash)
    }
}
