//! The contracts of the compact option: a generated verifier, and the one that calls it, on a real proof.
//!
//! The proof, its key and the generated source are in `contracts/test/vectors/compact`, and `cargo xtask compact bless` makes them again. The proof below the two circuits has few queries, and the
//! parameters' number is one that everybody knows, so that the proof proves nothing; the circuits have the columns that they have at full size, and so has the contract.

#[path = "../../exchange/tests/evm/machine.rs"]
mod machine;

use std::fs;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolConstructor, SolError, sol};
use holdfast_circuit::last::LastPublic;
use holdfast_crypto::F;
use machine::{TRANSACTION_GAS_MAX, artifact, bytecode, context, tokens, transaction, word};
use revm::{
    ExecuteCommitEvm, ExecuteEvm, MainBuilder,
    context_interface::result::{ExecutionResult, HaltReason, Output},
    database::InMemoryDB,
    primitives::TxKind,
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

    constructor(address halo2, uint256 proofLength);
    function verify(bytes calldata proof) external view returns (Statement memory statement);

    error ProofLength(uint256 expected, uint256 got);
    error AccumulatorWrong(uint256 index, uint256 got);
    error InstanceWrong(uint256 index, uint256 got);
    error TimeWrong(uint256 cell, uint256 got);
    error ProofInvalid();
}

/// Words of a proof that are the two points to be paired, and those that say what is proven.
const ACCUMULATOR: usize = 12;
const INSTANCES: usize = 5;
/// The orders of the fields that instances and evaluations, and that coordinates are of.
const SCALARS: &str = "0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001";
const COORDINATES: &str = "0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47";
/// What a proof may cost at most, as a whole transaction. (Its calldata are not much more.)
const GAS_MAX: u64 = 380_000;

fn sample() -> Vec<u8> {
    fs::read(artifact("test/vectors/compact/weak.proof")).expect("it is committed")
}

/// What a proof says: eight cells in each instance, the first one least significant.
fn says(proof: &[u8]) -> Statement {
    let instance = |i: usize| get(proof, ACCUMULATOR + i);
    let mask = U256::from((1_u32 << 31) - 1);
    let cell = |i: usize| F::new(((instance(i / 8) >> (31 * (i % 8))) & mask).to());
    let cells: Vec<F> = (0..8 * INSTANCES).map(cell).collect();
    let LastPublic { root_old, root_new, batch_first, batch_last, time_start, time_end, data, segment_key } =
        LastPublic::from_cells(&cells).expect("the sample is valid");
    Statement {
        rootOld: word(&root_old),
        rootNew: word(&root_new),
        batchFirst: batch_first,
        batchLast: batch_last,
        timeStart: time_start,
        timeEnd: time_end,
        data: word(&data),
        segmentKey: word(&segment_key),
    }
}

fn get(proof: &[u8], index: usize) -> U256 {
    U256::from_be_slice(&proof[32 * index..32 * (index + 1)])
}

fn put(proof: &[u8], index: usize, value: U256) -> Vec<u8> {
    let mut changed = proof.to_vec();
    changed[32 * index..32 * (index + 1)].copy_from_slice(&value.to_be_bytes::<32>());
    changed
}

struct Chain {
    database: InMemoryDB,
    nonce: u64,
    halo2: Address,
    verifier: Address,
}

impl Chain {
    fn deploy() -> Self {
        let mut chain =
            Self { database: InMemoryDB::default(), nonce: 0, halo2: Address::ZERO, verifier: Address::ZERO };
        chain.halo2 = chain.create("generated verifier", bytecode(&artifact("test/artifacts/Halo2Verifier.json")));
        let arguments = constructorCall { halo2: chain.halo2, proofLength: U256::from(sample().len()) }.abi_encode();
        let code = [bytecode(&artifact("artifacts/CompactVerifier.json")).as_ref(), &arguments].concat();
        chain.verifier = chain.create("verifier", code.into());
        chain
    }

    fn create(&mut self, name: &str, code: Bytes) -> Address {
        let transaction = transaction(TxKind::Create, code, TRANSACTION_GAS_MAX, self.nonce);
        let result = context(&mut self.database).build_mainnet().transact_commit(transaction);
        self.nonce += 1;
        match result.expect("the transaction is well formed") {
            ExecutionResult::Success { gas, output: Output::Create(_, Some(address)), .. } => {
                println!("{name}: deployed for {} gas", gas.tx_gas_used());
                address
            }
            result => panic!("{name}: {result:?}"),
        }
    }

    fn call(&mut self, to: Address, data: Bytes) -> ExecutionResult {
        let transaction = transaction(TxKind::Call(to), data, TRANSACTION_GAS_MAX, self.nonce);
        let mut evm = context(&mut self.database).build_mainnet();
        evm.transact(transaction).expect("the transaction is well formed").result
    }

    /// Whether the generated verifier alone takes these bytes.
    fn halo2(&mut self, proof: &[u8]) -> bool {
        match self.call(self.halo2, proof.to_vec().into()) {
            ExecutionResult::Success { output, .. } => {
                assert!(output.data().is_empty());
                true
            }
            ExecutionResult::Revert { output, .. } => {
                assert!(output.is_empty());
                false
            }
            // A precompile that is called with what is no point takes all the gas that there is, and this code goes on.
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => false,
            ExecutionResult::Halt { reason, .. } => panic!("{reason:?}"),
        }
    }

    /// What a proof says, or the name of the error.
    fn verify(&mut self, proof: &[u8]) -> Result<Statement, String> {
        let data: Bytes = verifyCall { proof: proof.to_vec().into() }.abi_encode().into();
        match self.call(self.verifier, data) {
            ExecutionResult::Success { output, .. } => {
                Ok(verifyCall::abi_decode_returns(output.data()).expect("it returns a statement"))
            }
            ExecutionResult::Revert { output, .. } => Err(name(&output)),
            ExecutionResult::Halt { reason, .. } => panic!("{reason:?}"),
        }
    }
}

fn name(data: &[u8]) -> String {
    macro_rules! names {
        ($($error:ident),*) => {
            $(if let Ok(error) = <$error as SolError>::abi_decode(data) { return format!("{error:?}"); })*
        };
    }
    names!(ProofLength, AccumulatorWrong, InstanceWrong, TimeWrong, ProofInvalid);
    panic!("reverts with {data:?}")
}

#[test]
fn a_proof_is_valid_and_returns_what_it_says() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    let expected = says(&proof);
    assert_eq!((expected.batchFirst, expected.batchLast), (1, 1));
    assert_eq!(chain.verify(&proof), Ok(expected));

    let data: Bytes = verifyCall { proof: proof.clone().into() }.abi_encode().into();
    let tokens = tokens(&data);
    let ExecutionResult::Success { gas, .. } = chain.call(chain.verifier, data) else { panic!("it is valid") };
    let execution = gas.total_gas_spent() - 21_000 - 4 * tokens;
    println!(
        "{} bytes: transaction {} gas, execution {execution}, calldata {}",
        proof.len(),
        gas.tx_gas_used(),
        4 * tokens
    );
    assert!(gas.tx_gas_used() <= GAS_MAX, "{}", gas.tx_gas_used());
    let ExecutionResult::Success { gas, .. } = chain.call(chain.halo2, proof.clone().into()) else {
        panic!("it is valid")
    };
    println!("generated verifier alone: transaction {} gas", gas.tx_gas_used());
}

#[test]
fn a_change_of_any_word_is_refused() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    assert_eq!(proof.len() % 32, 0);
    for at in 0..proof.len() {
        // The least significant bit of each word, and a bit somewhere in it.
        let mask = if at % 32 == 31 { 1 } else { 0x10 };
        if at % 32 != 31 && at % 32 != (5 * (at / 32)) % 31 {
            continue;
        }
        let mut changed = proof.clone();
        changed[at] ^= mask;
        let error = chain.verify(&changed).expect_err("it is not that proof");
        let expected: &[&str] = match at / 32 {
            0..ACCUMULATOR => &["AccumulatorWrong", "ProofInvalid"],
            _ => &["ProofInvalid"],
        };
        assert!(expected.iter().any(|expected| error.starts_with(expected)), "byte {at}: {error}");
    }
}

#[test]
fn no_other_statement_goes_with_a_proof() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    for instance in 0..INSTANCES {
        for cell in 0..8 {
            let index = ACCUMULATOR + instance;
            let changed = put(&proof, index, get(&proof, index) ^ (U256::from(1) << (31 * cell)));
            assert_eq!(
                chain.verify(&changed),
                Err(name(&ProofInvalid {}.abi_encode())),
                "cell {}",
                8 * instance + cell
            );
        }
        for other in 0..instance {
            let (one, other) = (ACCUMULATOR + instance, ACCUMULATOR + other);
            let changed = put(&put(&proof, one, get(&proof, other)), other, get(&proof, one));
            assert!(chain.verify(&changed).is_err(), "instances {one} and {other}");
        }
    }
}

/// The generated verifier reads scalars modulo the order, so that it takes the same proof in other words. The contract refuses those of instances.
#[test]
fn instances_have_one_form() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    let order: U256 = SCALARS.parse().expect("a number");
    for index in 0..ACCUMULATOR + INSTANCES {
        let changed = put(&proof, index, get(&proof, index) + order);
        assert!(chain.halo2(&changed), "word {index}");
        let error = chain.verify(&changed).expect_err("it is another form");
        let expected = if index < ACCUMULATOR { "AccumulatorWrong" } else { "InstanceWrong" };
        assert!(error.starts_with(expected), "word {index}: {error}");
    }
    // A time's parts have fewer bits than cells.
    let changed = put(&proof, ACCUMULATOR + 2, get(&proof, ACCUMULATOR + 2) | U256::from(1) << (31 * 2 + 14));
    assert_eq!(chain.verify(&changed), Err(name(&ProofInvalid {}.abi_encode())));
}

/// A proof's own words: coordinates have one form, and evaluations have several (docs/LAST_PROOF.md says so).
#[test]
fn evaluations_have_several_forms_and_points_have_one() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    let [scalars, coordinates]: [U256; 2] = [SCALARS, COORDINATES].map(|order| order.parse().expect("a number"));
    let expected = says(&proof);
    let (mut evaluations, mut points) = (0, 0);
    for index in ACCUMULATOR + INSTANCES..proof.len() / 32 {
        match chain.verify(&put(&proof, index, get(&proof, index) + scalars)) {
            Ok(statement) => {
                assert_eq!(statement, expected);
                evaluations += 1;
            }
            Err(_) => points += 1,
        }
        assert!(chain.verify(&put(&proof, index, get(&proof, index) + coordinates)).is_err(), "word {index}");
    }
    println!("{evaluations} words of evaluations, {points} of coordinates");
    assert!(evaluations > 0 && points > 0 && points % 2 == 0);
}

#[test]
fn other_lengths_are_refused() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    let longer = [proof.as_slice(), &[0]].concat();
    for bytes in [&[], &proof[..32], &proof[..proof.len() - 1], &proof[..proof.len() - 32], &proof[1..], &longer] {
        let error = chain.verify(bytes).expect_err("it has another length");
        assert!(error.starts_with("ProofLength"), "{error}");
    }
    // The generated verifier does not look at what follows; what is missing is zero to it.
    assert!(chain.halo2(&longer));
    assert!(!chain.halo2(&proof[..proof.len() - 32]) && !chain.halo2(&[]));
}

/// Words that no proof has: everything zero, everything one, points that are zero or not on the curve.
#[test]
fn what_is_no_proof_at_all_is_refused() {
    let (mut chain, proof) = (Chain::deploy(), sample());
    for byte in [0, 0xff] {
        assert!(chain.verify(&vec![byte; proof.len()]).is_err());
        assert!(!chain.halo2(&vec![byte; proof.len()]));
    }
    for index in (0..proof.len() / 32 - 1).filter(|index| *index != 16) {
        let nothing = put(&put(&proof, index, U256::ZERO), index + 1, U256::ZERO);
        if nothing != proof {
            assert!(chain.verify(&nothing).is_err(), "words {index} and the next");
        }
        let generator = put(&put(&proof, index, U256::from(1)), index + 1, U256::from(2));
        assert!(chain.verify(&generator).is_err(), "words {index} and the next");
    }
}
