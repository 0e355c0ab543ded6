//! `holdfast export-verifier`: what is deployed to Ethereum, for the bundled key: the verifier's creation code, and the key data as data contracts.
//!
//! All of it follows from the source: `contracts/` compiles to the verifier byte for byte, and the key data is made from the key here.

use std::{fs, path::PathBuf};

use holdfast_circuit::last::{
    LastKey,
    encoding::length,
    export::{data_contract, export},
};
use holdfast_crypto::hex::to_hex;
use serde::Serialize;

use crate::{
    dir::sha256_hex,
    error::{Error, Result, unexpected},
    ui::{bytes, count, facts},
};

/// The verifier as the contracts' sources compile to it: ABI and creation code.
const VERIFIER: &str = include_str!("../../../../contracts/artifacts/FinalVerifier.json");
const VERIFIER_NAME: &str = "FinalVerifier.json";
const MANIFEST_NAME: &str = "verifier.json";

#[derive(Debug, Clone)]
pub struct Options {
    /// The directory to write.
    pub out: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub out: PathBuf,
    /// SHA-256 of the key.
    pub key: String,
    /// Keccak-256 of the key data: the constructor's second argument.
    pub key_commitment: String,
    pub proof_bytes: usize,
    pub pieces: Vec<Piece>,
    pub verifier: &'static str,
}

/// A data contract.
#[derive(Debug, Serialize)]
pub struct Piece {
    /// The file with its creation code, in hexadecimal digits.
    pub file: String,
    /// Bytes of its code.
    pub code_bytes: usize,
    pub sha256: String,
}

impl Report {
    pub fn text(&self) -> String {
        let stored = self.pieces.iter().map(|piece| piece.code_bytes as u64).sum();
        let facts = facts(&[
            ("key", self.key.clone()),
            ("key data", format!("{}, in {}", bytes(stored), count(self.pieces.len() as u64, "contract"))),
            ("commitment", self.key_commitment.clone()),
            ("proofs", bytes(self.proof_bytes as u64)),
            ("written to", self.out.display().to_string()),
        ]);
        format!(
            "{facts}  deploy the creation code of every piece, then {} with their addresses, in order, and the commitment\n",
            self.verifier
        )
    }
}

pub fn run(options: &Options) -> Result<Report> {
    let Options { out } = options;
    let key = LastKey::bundled();
    let exported = export(key).map_err(|error| unexpected("the bundled key", "one for the contracts", error))?;
    fs::create_dir_all(out).map_err(|source| Error::File { action: "create", path: out.clone(), source })?;
    let write = |name: &str, content: &str| {
        let path = out.join(name);
        fs::write(&path, content).map_err(|source| Error::File { action: "write", path, source })
    };
    let mut pieces = Vec::new();
    for (number, piece) in exported.pieces().enumerate() {
        let (file, code) = (format!("piece-{number}.hex"), data_contract(piece));
        write(&file, &format!("0x{}\n", to_hex(&code)))?;
        pieces.push(Piece { file, code_bytes: piece.len() + 1, sha256: sha256_hex(&code) });
    }
    write(VERIFIER_NAME, VERIFIER)?;
    let report = Report {
        out: out.clone(),
        key: to_hex(&key.id()),
        key_commitment: format!("0x{}", to_hex(&exported.commitment)),
        proof_bytes: length(key),
        pieces,
        verifier: VERIFIER_NAME,
    };
    let manifest = serde_json::to_string_pretty(&report).expect("a report serialises");
    write(MANIFEST_NAME, &format!("{manifest}\n"))?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for deployment is made from the bundled key again, byte for byte.
    #[test]
    fn the_exported_files_are_those_of_the_key() {
        let out = tempfile::tempdir().expect("a temporary directory");
        let report = run(&Options { out: out.path().to_owned() }).expect("the bundled key is exported");
        let read = |name: &str| fs::read_to_string(out.path().join(name)).expect("it was written");
        let mut data = Vec::new();
        for piece in &report.pieces {
            let text = read(&piece.file);
            let text = text.trim_end().strip_prefix("0x").expect("hexadecimal digits");
            let code: Vec<u8> = (0..text.len() / 2)
                .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal digits"))
                .collect();
            assert_eq!(sha256_hex(&code), piece.sha256);
            // Behind the twelve bytes that copy it, and the STOP.
            data.extend_from_slice(&code[13..]);
        }
        assert_eq!(data, export(LastKey::bundled()).expect("it is exported").data);
        assert_eq!(read(VERIFIER_NAME), VERIFIER);
        assert!(read(MANIFEST_NAME).contains(&report.key_commitment));
    }
}
