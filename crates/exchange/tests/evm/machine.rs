//! What the contracts' tests have in common, here and in the crates above: Ethereum's virtual machine, transactions, artifacts, and digests as contracts have them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, Bytes};
use holdfast_crypto::{Digest, field::cell_to_canonical};
use revm::{
    Context, MainContext,
    context::TxEnv,
    database::InMemoryDB,
    handler::MainnetContext,
    primitives::{TxKind, hardfork::SpecId},
};

/// The most gas that a transaction may have (EIP-7825).
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;
const CALLER: Address = Address::new([0x11; 20]);

/// The rules of Osaka, in blocks without a limit of gas.
pub fn context(database: &mut InMemoryDB) -> MainnetContext<&mut InMemoryDB> {
    Context::mainnet()
        .with_db(database)
        .modify_cfg_chained(|config| config.set_spec_and_mainnet_gas_params(SpecId::OSAKA))
        .modify_block_chained(|block| block.gas_limit = u64::MAX)
}

pub fn transaction(kind: TxKind, data: Bytes, gas: u64, nonce: u64) -> TxEnv {
    TxEnv::builder().caller(CALLER).kind(kind).data(data).gas_limit(gas).gas_price(0).nonce(nonce).build_fill()
}

/// Tokens of calldata (EIP-7623): a zero byte is one, any other four. A token is 4 gas, 10 at the floor.
pub fn tokens(data: &[u8]) -> u64 {
    let zeros = data.iter().filter(|&&byte| byte == 0).count() as u64;
    zeros + 4 * (data.len() as u64 - zeros)
}

/// The path of an artifact, by that in `contracts/`, as tests reach it.
pub fn artifact(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts").join(path)
}

/// The creation code of an artifact's contract.
pub fn bytecode(path: &Path) -> Bytes {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let artifact: serde_json::Value = serde_json::from_str(&text).expect("an artifact is JSON");
    artifact["bytecode"].as_str().and_then(|code| code.parse().ok()).expect("an artifact has bytecode")
}

/// A digest as a contract has it: eight cells, the first one most significant.
pub fn word(digest: &Digest) -> B256 {
    let bytes: Vec<u8> = digest.iter().flat_map(|&cell| cell_to_canonical(cell).to_be_bytes()).collect();
    B256::from_slice(&bytes)
}
