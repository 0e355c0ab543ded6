//! The code that a venue's contracts must have: that of the committed artifacts, made by their own constructors on a chain of this process, with what the venue was made with.
//!
//! Constructors leave addresses and numbers in the code. Where they are given the venue's addresses, the code comes out as it must be; what can only have an address of the chain
//! of this process (the rollup's constructor asks inbox and reader, the verifier's its data contracts) is found there by that address, and replaced.

use alloy::{
    primitives::{Address, B256, Bytes},
    signers::local::PrivateKeySigner,
};

use crate::{
    Error, Result,
    client::{DynProvider, Wallet, code, head},
    contracts::{Deployment, Parameters, Plan, create_reader, create_verifier, make},
    embedded::{Chain, Config},
};

/// A contract whose code is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub contract: &'static str,
    pub at: Address,
    /// Bytes of the code: as they must be, and as they are.
    pub expected: usize,
    pub got: usize,
}

/// A chain of this process, at this time.
async fn stage(chain: u64, timestamp: u64) -> Result<(Chain, Wallet)> {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(1));
    let signer = signer.map_err(|error| Error::Signing { what: "a contract", reason: error.to_string() })?;
    let chain = Chain::new(Config { chain, timestamp, ..Config::default().rich([signer.address()]) });
    let wallet = Wallet::embedded(&chain, signer).await?;
    Ok((chain, wallet))
}

fn replaced(code: &[u8], from: Address, to: Address) -> Vec<u8> {
    let mut code = code.to_vec();
    let mut at = 0;
    while at + Address::len_bytes() <= code.len() {
        if code[at..].starts_with(from.as_slice()) {
            code[at..at + Address::len_bytes()].copy_from_slice(to.as_slice());
        }
        at += 1;
    }
    code
}

/// Compares the venue's own contracts and the reader with what these parameters make. The token and the verifier are not looked at.
///
/// # Errors
///
/// If the endpoint does not answer, or a constructor does not take the parameters.
pub async fn differences(
    provider: &DynProvider,
    at: &Deployment,
    parameters: Parameters,
) -> Result<Option<Difference>> {
    // The rollup's constructor refuses a genesis of the future.
    let (chain, wallet) = stage(at.chain, head(provider).await?.2).await?;
    let &Deployment { vault, inbox, rollup, escape, council, reader, .. } = at;
    let read = create_reader(&wallet).await?;
    let places = Plan { nonce: wallet.nonce(true).await?, vault, inbox, rollup, escape, council };
    // The verifier is not in the code: the rollup has to be given a contract, and this is one.
    let parameters = Parameters { reader: read, verifier: read, ..parameters };
    let [made_vault, made_inbox, made_rollup, made_escape, made_council] = make(&wallet, &places, parameters).await?;
    let local = chain.provider();
    for (contract, made, place) in [
        ("reader", read, reader),
        ("vault", made_vault, vault),
        ("inbox", made_inbox, inbox),
        ("rollup", made_rollup, rollup),
        ("escape", made_escape, escape),
        ("council", made_council, council),
    ] {
        let expected = code(&local, contract, made).await?;
        let expected = replaced(&replaced(&expected, made_inbox, inbox), read, reader);
        let got = code(provider, contract, place).await?;
        if expected != got {
            return Ok(Some(Difference { contract, at: place, expected: expected.len(), got: got.len() }));
        }
    }
    Ok(None)
}

/// Compares the verifier, and its data contracts, with what these make: the creation code of the data contracts, and what the verifier calls its key.
///
/// # Errors
///
/// If the endpoint does not answer.
pub async fn verifier_difference(
    provider: &DynProvider,
    at: &Deployment,
    data_contracts: Vec<Vec<u8>>,
    key_commitment: B256,
) -> Result<Option<Difference>> {
    let (chain, wallet) = stage(at.chain, Config::default().timestamp).await?;
    let local = chain.provider();
    let (nonce, count) = (wallet.nonce(true).await?, data_contracts.len() as u64);
    let made = create_verifier(&wallet, data_contracts, key_commitment).await?;
    let expected = code(&local, "verifier", made).await?;
    let got = code(provider, "verifier", at.verifier).await?;
    let differs = |contract, at, expected, got: &Bytes| Ok(Some(Difference { contract, at, expected, got: got.len() }));
    let mut replaced_all = expected.to_vec();
    let mut pieces = Vec::new();
    for index in 0..count {
        let made = wallet.address.create(nonce + index);
        let place = expected.windows(Address::len_bytes()).position(|window| window == made.as_slice());
        let place = place.and_then(|place| got.get(place..place + Address::len_bytes()));
        let Some(place) = place.map(Address::from_slice) else {
            return differs("verifier", at.verifier, expected.len(), &got);
        };
        replaced_all = replaced(&replaced_all, made, place);
        pieces.push((place, made));
    }
    if replaced_all != got {
        return differs("verifier", at.verifier, expected.len(), &got);
    }
    for (place, made) in pieces {
        let expected = code(&local, "data contract", made).await?;
        let got = code(provider, "data contract", place).await?;
        if expected != got {
            return differs("verifier's data contract", place, expected.len(), &got);
        }
    }
    Ok(None)
}
