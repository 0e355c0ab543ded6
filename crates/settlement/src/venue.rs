//! The file that names a venue: its chain, where its contracts are, and what it starts from.
//!
//! It holds nothing secret, and nothing of it is believed for being there: `holdfast_watcher::check` holds it against the chain and against the source.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use holdfast_protocol::{Genesis, GenesisError};
use serde::{Deserialize, Serialize};

use crate::{Result, contracts::Deployment, journal};

/// Version of the file's form.
pub const VERSION: u32 = 1;
/// Largest file that is read: a genesis of some 50,000 accounts.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venue {
    pub version: u32,
    pub chain_id: u64,
    /// The first block that can have an event of the contracts.
    pub first_block: u64,
    pub contracts: Contracts,
    /// Whose root the rollup began with.
    pub genesis: Genesis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contracts {
    pub token: Address,
    pub vault: Address,
    pub inbox: Address,
    pub rollup: Address,
    pub escape: Address,
    pub council: Address,
    pub verifier: Address,
    pub reader: Address,
}

/// Why a file does not name a venue.
#[derive(Debug, thiserror::Error)]
pub enum VenueError {
    #[error("{}: cannot read it: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{name}: expected a venue file in JSON, got something else: {reason}")]
    Form { name: String, reason: String },
    #[error("{name}, {what}: expected {expected}, got {got}")]
    Wrong { name: String, what: String, expected: String, got: String },
    #[error("{name}, {source}")]
    Genesis { name: String, source: GenesisError },
}

impl Contracts {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, Address); 8] {
        let Self { token, vault, inbox, rollup, escape, council, verifier, reader } = *self;
        [
            ("token", token),
            ("vault", vault),
            ("inbox", inbox),
            ("rollup", rollup),
            ("escape", escape),
            ("council", council),
            ("verifier", verifier),
            ("reader", reader),
        ]
    }
}

impl Venue {
    pub fn new(at: &Deployment, genesis: Genesis) -> Self {
        let &Deployment { chain, block, token, vault, inbox, rollup, escape, council, verifier, reader } = at;
        Self {
            version: VERSION,
            chain_id: chain,
            first_block: block,
            contracts: Contracts { token, vault, inbox, rollup, escape, council, verifier, reader },
            genesis,
        }
    }

    /// Where its contracts are, as the client and the follower take it.
    pub fn deployment(&self) -> Deployment {
        let Contracts { token, vault, inbox, rollup, escape, council, verifier, reader } = self.contracts;
        Deployment {
            chain: self.chain_id,
            block: self.first_block,
            token,
            vault,
            inbox,
            rollup,
            escape,
            council,
            verifier,
            reader,
        }
    }

    /// Reads a file's content; `name` is for errors. What can be wrong without a look at the chain is found here.
    ///
    /// # Errors
    ///
    /// If it is no venue's, or contradicts itself.
    pub fn decode(name: &str, bytes: &[u8]) -> std::result::Result<Self, VenueError> {
        let form = |error: serde_json::Error| VenueError::Form { name: name.into(), reason: error.to_string() };
        let venue: Self = serde_json::from_slice(bytes).map_err(form)?;
        let wrong = |what: String, expected: String, got: String| {
            Err(VenueError::Wrong { name: name.into(), what, expected, got })
        };
        if venue.version != VERSION {
            return wrong("version".into(), VERSION.to_string(), venue.version.to_string());
        }
        let named = venue.contracts.named();
        for (place, (contract, address)) in named.iter().enumerate() {
            if *address == Address::ZERO {
                return wrong((*contract).into(), "an address that is not zero".into(), address.to_string());
            }
            if let Some((other, _)) = named[..place].iter().find(|(_, other)| other == address) {
                let expected = format!("an address of its own, not that of the {other}");
                return wrong((*contract).into(), expected, address.to_string());
            }
        }
        venue.genesis.validate().map_err(|source| VenueError::Genesis { name: name.into(), source })?;
        let deployment = &venue.genesis.deployment;
        if deployment.chain_id != venue.chain_id {
            let got = format!("a genesis for chain {}", deployment.chain_id);
            return wrong("genesis, chain_id".into(), venue.chain_id.to_string(), got);
        }
        if deployment.contract != venue.contracts.vault {
            let expected = format!("the vault, {}", venue.contracts.vault);
            return wrong("genesis, contract".into(), expected, deployment.contract.to_string());
        }
        Ok(venue)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a venue serialises");
        bytes.push(b'\n');
        bytes
    }

    /// # Errors
    ///
    /// If there is no such file, or it names no venue.
    pub fn load(path: &Path) -> std::result::Result<Self, VenueError> {
        let name = path.display().to_string();
        let fail = |source| VenueError::File { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).map_err(fail)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let (what, expected) = ("length".into(), format!("at most {FILE_BYTES_MAX} bytes"));
            return Err(VenueError::Wrong { name, what, expected, got: "more".into() });
        }
        Self::decode(&name, &bytes)
    }

    /// Writes the file, in full or not at all.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        journal::write(path, &self.encode())
    }
}
