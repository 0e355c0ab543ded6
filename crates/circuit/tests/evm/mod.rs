//! The verifier contract in an Ethereum virtual machine: deploys it with a key's data, and calls it. (Every test is a crate of its own, and uses only some of it.)

#![allow(dead_code)]

#[path = "../../../exchange/tests/evm/machine.rs"]
mod machine;

use std::{collections::BTreeMap, env, path::PathBuf};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::{SolCall, SolConstructor, SolError, sol};
use holdfast_circuit::last::{
    LastKey, LastPublic,
    export::{data_contract, export},
};
use machine::{TRANSACTION_GAS_MAX, word};
use revm::{
    ExecuteCommitEvm, ExecuteEvm, InspectEvm, Inspector, MainBuilder,
    context::TxEnv,
    context_interface::result::{ExecutionResult, Output},
    database::InMemoryDB,
    handler::MainnetContext,
    interpreter::{
        Interpreter, InterpreterTypes,
        interpreter_types::{Jumps, MemoryTr, StackTr},
    },
    primitives::TxKind,
    state::{AccountInfo, Bytecode},
};

sol! {
    #![sol(all_derives = true)]

    struct Statement {
        bytes32 rootOld;
        bytes32 rootNew;
        uint32 batchFirst;
        uint32 batchLast;
        uint64 timeStart;
        uint64 timeEnd;
        bytes32 data;
        bytes32 segmentKey;
    }

    constructor(address[] memory pieces, bytes32 commitment);
    function verify(bytes calldata proof) external view returns (Statement memory statement);
    function keyCommitment() external view returns (bytes32);

    error PieceCount(uint256 got);
    error PieceWrong(uint256 index);
    error KeyWrong(bytes32 expected, bytes32 got);
    error KeyMisplaced(uint256 length, uint256 place);
    error PublicValueCount(uint256 expected, uint256 got);
    error TimeWrong(uint256 cell, uint256 got);
    error ProofLength(uint256 expected, uint256 got);
    error NotCanonical();
    error WitnessWrong();
    error GkrRootNotZero();
    error GkrRootDenominator();
    error GkrLayer(uint256 round);
    error NumeratorsWrong();
    error DenominatorsWrong();
    error BatchSumWrong();
    error ConstraintsWrong();
    error StackingSumWrong();
    error StackingClaimWrong();
    error MerklePathWrong(uint256 round, uint256 query);
    error FinalPolynomialWrong();
}

/// Bytes of code that a contract may have here that is none for Ethereum.
const HARNESS_BYTES_MAX: usize = 1 << 16;

/// What a call of the verifier ended in.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The statement, and the gas of the whole transaction and of its execution alone.
    Valid { statement: Box<Statement>, gas: Gas },
    /// A custom error, with its arguments.
    Refused { error: String },
    /// Anything else: running out of gas, a panic, an invalid instruction. The contract must never do this.
    Broken(String),
}

/// Gas of a transaction, in parts.
#[derive(Debug, Clone, Copy)]
pub struct Gas {
    /// What is paid: the greater of the next two.
    pub total: u64,
    /// 21,000, the calldata at 4 and 16 a byte, and execution.
    pub standard: u64,
    /// The floor of EIP-7623: 21,000, and the calldata at 10 and 40 a byte.
    pub floor: u64,
    pub execution: u64,
}

/// A chain with the verifier of one key on it.
pub struct Chain {
    database: InMemoryDB,
    /// Ethereum's limit, or this one.
    code_bytes_max: Option<usize>,
    nonce: u64,
    pub verifier: Address,
    /// Bytes of the pieces of the key's data.
    pub pieces: Vec<usize>,
    /// The contracts with the key's data.
    data: Vec<Address>,
    /// What the deployments cost, in order.
    pub deployment_gas: Vec<u64>,
}

/// The verifier's artifact, and the variable with the path of another.
const VERIFIER_ELSEWHERE: &str = "HOLDFAST_VERIFIER";
const VERIFIER: &str = "artifacts/FinalVerifier.json";

impl Chain {
    /// Deploys the key's data, and the verifier of `contracts/artifacts`.
    pub fn deploy(key: &LastKey) -> Self {
        let export = export(key).expect("the key is one for the contracts");
        let pieces: Vec<Vec<u8>> = export.pieces().map(<[u8]>::to_vec).collect();
        let commitment = B256::from(export.commitment);
        Self::deploy_pieces(&pieces, commitment).expect("the verifier deploys")
    }

    /// Deploys pieces, and the verifier with a commitment; an error is what the verifier's constructor refuses with.
    pub fn deploy_pieces(pieces: &[Vec<u8>], commitment: B256) -> Result<Self, String> {
        Self::deploy_contract(VERIFIER, pieces, commitment)
    }

    /// As [`Self::deploy_pieces`], for a contract (by its artifact's path in `contracts/`) with the verifier's constructor.
    pub fn deploy_contract(artifact: &str, pieces: &[Vec<u8>], commitment: B256) -> Result<Self, String> {
        let mut chain = Self {
            database: InMemoryDB::default(),
            code_bytes_max: (artifact != VERIFIER).then_some(HARNESS_BYTES_MAX),
            nonce: 0,
            verifier: Address::ZERO,
            pieces: pieces.iter().map(Vec::len).collect(),
            data: Vec::new(),
            deployment_gas: Vec::new(),
        };
        chain.data = pieces.iter().map(|piece| chain.create(data_contract(piece).into())).collect::<Result<_, _>>()?;
        let arguments = constructorCall { pieces: chain.data.clone(), commitment }.abi_encode();
        let code: Vec<u8> = [bytecode(artifact).as_ref(), &arguments].concat();
        chain.verifier = chain.create(code.into())?;
        Ok(chain)
    }

    fn transaction(&self, kind: TxKind, data: Bytes, gas: u64) -> TxEnv {
        machine::transaction(kind, data, gas, self.nonce)
    }

    fn create(&mut self, code: Bytes) -> Result<Address, String> {
        let transaction = self.transaction(TxKind::Create, code, TRANSACTION_GAS_MAX);
        let context = context(&mut self.database)
            .modify_cfg_chained(|config| config.limit_contract_code_size = self.code_bytes_max);
        let mut evm = context.build_mainnet();
        let result = evm.transact_commit(transaction).expect("the transaction is well formed");
        self.nonce += 1;
        match result {
            ExecutionResult::Success { gas, output: Output::Create(_, Some(address)), .. } => {
                self.deployment_gas.push(gas.tx_gas_used());
                Ok(address)
            }
            ExecutionResult::Revert { output, .. } => Err(name(&output)),
            result => Err(format!("{result:?}")),
        }
    }

    /// The call data of a verification.
    pub fn calldata(proof: &[u8]) -> Bytes {
        verifyCall { proof: proof.to_vec().into() }.abi_encode().into()
    }

    /// Verifies a proof, in a transaction of the most gas that one may have.
    pub fn verify(&mut self, proof: &[u8]) -> Verdict {
        self.call(Self::calldata(proof), TRANSACTION_GAS_MAX)
    }

    /// Calls the verifier with any data.
    pub fn call(&mut self, data: Bytes, gas: u64) -> Verdict {
        let transaction = self.transaction(TxKind::Call(self.verifier), data.clone(), gas);
        let mut evm = context(&mut self.database).build_mainnet();
        verdict(evm.transact(transaction).expect("the transaction is well formed").result, &data)
    }

    /// Calls any function of the contract; an error says what it ended in, if it returned nothing.
    pub fn query(&mut self, data: Bytes, gas: u64) -> Result<Bytes, String> {
        let transaction = self.transaction(TxKind::Call(self.verifier), data, gas);
        let mut evm = context(&mut self.database).build_mainnet();
        match evm.transact(transaction).expect("the transaction is well formed").result {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(format!("reverts with {output} {}", name(&output))),
            ExecutionResult::Halt { reason, .. } => Err(format!("{reason:?}")),
        }
    }

    /// Puts other key data in the place of a piece's, as nobody could: whatever the verifier was constructed with stays.
    pub fn replace_piece(&mut self, piece: usize, data: &[u8]) {
        let code = Bytecode::new_raw([&[0], data].concat().into());
        self.database.insert_account_info(self.data[piece], AccountInfo::from_bytecode(code));
    }

    /// Verifies a proof while an inspector watches.
    pub fn watch<'a, I>(&'a mut self, proof: &[u8], inspector: I) -> Verdict
    where
        I: for<'b> Inspector<MainnetContext<&'b mut InMemoryDB>>,
    {
        let data = Self::calldata(proof);
        let transaction = self.transaction(TxKind::Call(self.verifier), data.clone(), u64::MAX >> 8);
        let mut evm = context(&mut self.database).build_mainnet_with_inspector(inspector);
        verdict(evm.inspect_tx(transaction).expect("the transaction is well formed").result, &data)
    }
}

/// The machine without the limit of a transaction's gas, which those that only watch exceed.
fn context(database: &mut InMemoryDB) -> MainnetContext<&mut InMemoryDB> {
    machine::context(database).modify_cfg_chained(|config| config.tx_gas_limit_cap = Some(u64::MAX))
}

fn verdict(result: ExecutionResult, data: &[u8]) -> Verdict {
    match result {
        ExecutionResult::Success { gas, output, .. } => match verifyCall::abi_decode_returns(output.data()) {
            Ok(statement) => {
                let tokens = machine::tokens(data);
                let total = gas.tx_gas_used();
                let execution = gas.total_gas_spent() - 21_000 - 4 * tokens;
                Verdict::Valid {
                    statement: Box::new(statement),
                    gas: Gas {
                        total,
                        standard: 21_000 + 4 * tokens + execution,
                        floor: 21_000 + 10 * tokens,
                        execution,
                    },
                }
            }
            Err(error) => Verdict::Broken(error.to_string()),
        },
        ExecutionResult::Revert { output, .. } => {
            let name = name(&output);
            if name.is_empty() {
                Verdict::Broken(format!("reverts with {output}"))
            } else {
                Verdict::Refused { error: name }
            }
        }
        ExecutionResult::Halt { reason, .. } => Verdict::Broken(format!("{reason:?}")),
    }
}

/// The name of a custom error, with its arguments; empty if it is none of the verifier's.
fn name(data: &[u8]) -> String {
    macro_rules! names {
        ($($error:ident),*) => {
            $(if let Ok(error) = <$error as SolError>::abi_decode(data) { return format!("{error:?}"); })*
        };
    }
    names!(
        PieceCount,
        PieceWrong,
        KeyWrong,
        KeyMisplaced,
        PublicValueCount,
        TimeWrong,
        ProofLength,
        NotCanonical,
        WitnessWrong,
        GkrRootNotZero,
        GkrRootDenominator,
        GkrLayer,
        NumeratorsWrong,
        DenominatorsWrong,
        BatchSumWrong,
        ConstraintsWrong,
        StackingSumWrong,
        StackingClaimWrong,
        MerklePathWrong,
        FinalPolynomialWrong
    );
    String::new()
}

/// What the contract says to a proof that the twin accepts; `None` for one that it refuses.
pub fn expected(key: &LastKey, proof: &[u8]) -> Option<Statement> {
    let LastPublic { root_old, root_new, batch_first, batch_last, time_start, time_end, data, segment_key } =
        key.verify(proof).ok()?;
    Some(Statement {
        rootOld: word(&root_old),
        rootNew: word(&root_new),
        batchFirst: batch_first,
        batchLast: batch_last,
        timeStart: time_start,
        timeEnd: time_end,
        data: word(&data),
        segmentKey: word(&segment_key),
    })
}

/// Contract and twin come to the same verdict. Returns it: the error's name, or `valid`.
pub fn check(key: &LastKey, chain: &mut Chain, proof: &[u8], what: &str) -> String {
    match (chain.verify(proof), expected(key, proof)) {
        (Verdict::Valid { statement, .. }, Some(expected)) => {
            assert_eq!(*statement, expected, "{what}");
            "valid".into()
        }
        (Verdict::Refused { error }, None) => error,
        (verdict, expected) => panic!("{what}: the contract says {verdict:?}, the twin {expected:?}"),
    }
}

/// The creation code of a contract. That of the verifier may be elsewhere: `contracts/bin/mutants.js` runs the tests with verifiers that lack a check.
fn bytecode(artifact: &str) -> Bytes {
    let other = env::var_os(VERIFIER_ELSEWHERE).filter(|_| artifact == VERIFIER);
    machine::bytecode(&other.map_or_else(|| machine::artifact(artifact), PathBuf::from))
}

/// Records the contract's transcript: every hash whose input begins with the state before, and what was absorbed with it.
#[derive(Debug, Default)]
pub struct Recorder {
    pub state: B256,
    /// What was absorbed, and the state after it.
    pub steps: Vec<(Vec<u8>, B256)>,
}

const KECCAK256: u8 = 0x20;

impl<C, I: InterpreterTypes> Inspector<C, I> for Recorder {
    fn step(&mut self, interpreter: &mut Interpreter<I>, _: &mut C) {
        if interpreter.bytecode.opcode() != KECCAK256 {
            return;
        }
        let stack = interpreter.stack.data();
        let [.., length, offset] = stack else { return };
        let (offset, length) = (offset.to::<usize>(), length.to::<usize>());
        if length < 32 {
            return;
        }
        let input = interpreter.memory.slice_len(offset, length).to_vec();
        if input[..32] == self.state[..] {
            self.state = keccak256(&input);
            self.steps.push((input[32..].to_vec(), self.state));
        }
    }
}

/// Adds up the gas of a verification, by program counter and by section of the proof that is being read.
#[derive(Debug, Default)]
pub struct Profile {
    /// Where each section begins in the proof, in ascending order.
    pub sections: Vec<(usize, &'static str)>,
    /// Gas by section.
    pub gas: Vec<u64>,
    /// Gas of keccak by section.
    pub gas_keccak: Vec<u64>,
    /// Gas and number of executions by program counter.
    pub counters: BTreeMap<usize, (u64, u64)>,
    section: usize,
    last: Option<(usize, u8, u64)>,
}

const CALLDATALOAD: u8 = 0x35;
const CALLDATACOPY: u8 = 0x37;
/// Selector, offset and length of the proof in the call data.
const PROOF_OFFSET: usize = 68;

impl Profile {
    pub fn new(sections: Vec<(usize, &'static str)>) -> Self {
        Self { sections, ..Self::default() }
    }
}

impl<C, I: InterpreterTypes> Inspector<C, I> for Profile {
    fn step(&mut self, interpreter: &mut Interpreter<I>, _: &mut C) {
        let remaining = interpreter.gas.remaining();
        self.gas.resize(self.sections.len(), 0);
        self.gas_keccak.resize(self.sections.len(), 0);
        if let Some((pc, opcode, before)) = self.last {
            let spent = before.saturating_sub(remaining);
            let counter = self.counters.entry(pc).or_default();
            *counter = (counter.0 + spent, counter.1 + 1);
            self.gas[self.section] += spent;
            if opcode == KECCAK256 {
                self.gas_keccak[self.section] += spent;
            }
        }
        let opcode = interpreter.bytecode.opcode();
        let read = match (opcode, interpreter.stack.data()) {
            (CALLDATALOAD, [.., offset]) | (CALLDATACOPY, [.., offset, _]) => Some(offset.to::<usize>()),
            _ => None,
        };
        if let Some(at) = read.and_then(|read| read.checked_sub(PROOF_OFFSET)) {
            while self.sections.get(self.section + 1).is_some_and(|&(start, _)| start <= at) {
                self.section += 1;
            }
        }
        self.last = Some((interpreter.bytecode.pc(), opcode, remaining));
    }
}

/// Calls the verifier for its key's commitment.
pub fn key_commitment(chain: &mut Chain) -> B256 {
    let returned = chain.query(keyCommitmentCall {}.abi_encode().into(), 1_000_000).expect("it returns");
    keyCommitmentCall::abi_decode_returns(&returned).expect("it returns a hash")
}
