//! The reader of states in an Ethereum virtual machine: deploys `contracts/artifacts/StateReader.json`, and calls it.

mod machine;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, sol};
use holdfast_exchange::opening::OpeningError;
use machine::{TRANSACTION_GAS_MAX, artifact, bytecode, context, tokens, transaction};
use revm::{
    ExecuteCommitEvm, ExecuteEvm, MainBuilder,
    context_interface::result::{ExecutionResult, Output},
    database::InMemoryDB,
    primitives::TxKind,
};

pub use machine::word;

sol! {
    #![sol(all_derives = true)]

    struct Account {
        bool open;
        address owner;
        int256 collateral;
        uint256 entries;
        uint256[16] directory;
        Position[] positions;
    }

    struct Position {
        uint256 entry;
        uint256 market;
        int256 size;
        int256 quote;
        uint256 bids;
        uint256 asks;
        uint256 openOrders;
    }

    struct System {
        uint256 time;
        uint256 oracle;
        uint256 operator;
        uint256 feeAccount;
        uint256 freeHead;
        uint256 fresh;
        uint256 deposits;
        uint256 registrar;
        uint256 unsealed;
        uint256 batches;
    }

    struct Bridge {
        uint256 inboxCount;
        bytes32 inboxHead;
        uint256 payoutCount;
        bytes32 payoutHead;
    }

    struct Market {
        uint256 market;
        bool exists;
        uint256 mark;
        uint256 initialMarginPpm;
        uint256 maintenanceMarginPpm;
        uint256 makerFeePpm;
        uint256 takerFeePpm;
        uint256 markMovePpm;
        uint256 positionMax;
        uint256 openOrdersMax;
        uint256 tickDecimals;
        uint256 lotDecimals;
    }

    function readAccount(bytes32 root, uint256 index, bytes calldata opening) external pure returns (Account memory);
    function readSystem(bytes32 root, bytes calldata opening) external pure returns (System memory);
    function readBridge(bytes32 root, bytes calldata opening) external pure returns (Bridge memory);
    function readDeployment(bytes32 root, bytes calldata opening) external pure returns (bytes32);
    function readMarkets(bytes32 root, uint256 set, bytes calldata opening) external pure returns (Market[] memory);

    error AccountRange(uint256 account);
    error NoMarkets();
    error OpeningLength(uint256 expected, uint256 got);
    error NotCanonical(uint256 offset);
    error LeafWrong(uint256 offset);
    error NegativeZero(uint256 offset);
    error EntriesWrong(uint256 entries);
    error DirectoryWrong(uint256 entry, uint256 cell);
    error MarketWrong(uint256 entry, uint256 expected, uint256 got);
    error RootWrong(bytes32 expected, bytes32 got);
}

/// What a call ended in.
#[derive(Debug)]
pub enum Verdict {
    Returned(Bytes, Gas),
    /// It reverted with these data.
    Refused(Bytes),
    /// Anything else: running out of gas, an invalid instruction. The contract must never do this.
    Broken(String),
}

/// Gas of a transaction, in parts.
#[derive(Debug, Clone, Copy)]
pub struct Gas {
    /// What is paid.
    pub total: u64,
    /// Without the 21,000 of a transaction and its calldata at 4 and 16 a byte.
    pub execution: u64,
}

/// A chain with the reader on it.
pub struct Reader {
    database: InMemoryDB,
    address: Address,
}

impl Reader {
    pub fn deploy() -> Self {
        let mut database = InMemoryDB::default();
        let deployment =
            transaction(TxKind::Create, bytecode(&artifact("artifacts/StateReader.json")), TRANSACTION_GAS_MAX, 0);
        let result = context(&mut database).build_mainnet().transact_commit(deployment).expect("it is well formed");
        let ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } = result else {
            panic!("the reader does not deploy: {result:?}")
        };
        Self { database, address }
    }

    pub fn call(&mut self, data: Vec<u8>) -> Verdict {
        let calldata = 4 * tokens(&data);
        let call = transaction(TxKind::Call(self.address), data.into(), TRANSACTION_GAS_MAX, 1);
        let result = context(&mut self.database).build_mainnet().transact(call).expect("it is well formed").result;
        match result {
            ExecutionResult::Success { gas, output, .. } => {
                let execution = gas.total_gas_spent() - 21_000 - calldata;
                Verdict::Returned(output.into_data(), Gas { total: gas.tx_gas_used(), execution })
            }
            ExecutionResult::Revert { output, .. } => Verdict::Refused(output),
            ExecutionResult::Halt { reason, .. } => Verdict::Broken(format!("{reason:?}")),
        }
    }

    /// What a call returns, decoded, and its gas; or the data that it reverts with.
    ///
    /// # Panics
    /// If it ends in anything else.
    pub fn read<C: SolCall>(&mut self, call: &C) -> Result<(C::Return, Gas), Bytes> {
        match self.call(call.abi_encode()) {
            Verdict::Returned(data, gas) => Ok((C::abi_decode_returns(&data).expect("it returns what it says"), gas)),
            Verdict::Refused(data) => Err(data),
            Verdict::Broken(reason) => panic!("{reason}"),
        }
    }
}

/// The data that the contract reverts with where its twin has this error.
pub fn revert_data(error: &OpeningError) -> Vec<u8> {
    let number = |value: usize| U256::from(value);
    match *error {
        OpeningError::AccountRange { account } => AccountRange { account: U256::from(account) }.abi_encode(),
        OpeningError::NoMarkets => NoMarkets {}.abi_encode(),
        OpeningError::OpeningLength { expected, got } => {
            OpeningLength { expected: number(expected), got: number(got) }.abi_encode()
        }
        OpeningError::NotCanonical { at } => NotCanonical { offset: number(at) }.abi_encode(),
        OpeningError::LeafWrong { at } => LeafWrong { offset: number(at) }.abi_encode(),
        OpeningError::NegativeZero { at } => NegativeZero { offset: number(at) }.abi_encode(),
        OpeningError::EntriesWrong { entries } => EntriesWrong { entries: U256::from(entries) }.abi_encode(),
        OpeningError::DirectoryWrong { entry, cell } => {
            DirectoryWrong { entry: number(entry), cell: U256::from(cell) }.abi_encode()
        }
        OpeningError::MarketWrong { entry, expected, got } => {
            MarketWrong { entry: number(entry), expected: U256::from(expected), got: U256::from(got) }.abi_encode()
        }
        OpeningError::RootWrong { expected, got } => {
            RootWrong { expected: word(&expected), got: word(&got) }.abi_encode()
        }
    }
}
