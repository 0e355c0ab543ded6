//! Files that are whole, or not there: written under another name, synced, renamed.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use alloy::primitives::keccak256;

use crate::{Error, Publication, Result, publication::words_from_bytes};

/// Replaces a file's content; after a crash, it has the old or the new one.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(Error::file(&temporary))?;
    fs::rename(&temporary, path).map_err(Error::file(path))?;
    sync_folder(path)
}

/// A file's content, if there is such a file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file(path)(error)),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder))
}

const TAG: &[u8; 8] = b"HOLDPUB2";
const SUM_BYTES: usize = 32;

/// Behind a tag, and before the hash of all that.
fn sealed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = TAG.to_vec();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.extend(keccak256(&bytes));
    bytes
}

fn unsealed(bytes: &[u8]) -> std::result::Result<&[u8], String> {
    let rest = bytes.strip_prefix(TAG).ok_or("it does not begin like one of these files")?;
    let split = rest.len().checked_sub(SUM_BYTES).ok_or("it is too short")?;
    let (content, sum) = rest.split_at(split);
    if keccak256(&bytes[..TAG.len() + split]).as_slice() != sum {
        return Err("its checksum is wrong".into());
    }
    Ok(content)
}

pub fn encode_publication(publication: &Publication) -> Vec<u8> {
    let Publication { batch, chain, time, words } = publication;
    sealed(&[&batch.to_be_bytes(), chain.as_slice(), &time.to_be_bytes(), words.as_flattened()])
}

pub fn decode_publication(bytes: &[u8]) -> std::result::Result<Publication, String> {
    let content = unsealed(bytes)?;
    let (batch, content) = content.split_first_chunk().ok_or("it is too short")?;
    let (chain, content) = content.split_first_chunk::<32>().ok_or("it is too short")?;
    let (time, content) = content.split_first_chunk().ok_or("it is too short")?;
    let words = words_from_bytes(content).ok_or("its words are not whole")?;
    Ok(Publication { batch: u64::from_be_bytes(*batch), chain: chain.into(), time: u64::from_be_bytes(*time), words })
}

/// A proof that is to be posted, and the opening that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finality {
    /// The batches that it makes final.
    pub first: u64,
    pub last: u64,
    pub proof: Vec<u8>,
    pub opening: Vec<u8>,
}

pub fn encode_finality(finality: &Finality) -> Vec<u8> {
    let Finality { first, last, proof, opening } = finality;
    sealed(&[&first.to_be_bytes(), &last.to_be_bytes(), &(proof.len() as u64).to_be_bytes(), proof, opening])
}

pub fn decode_finality(bytes: &[u8]) -> std::result::Result<Finality, String> {
    let content = unsealed(bytes)?;
    let (first, content) = content.split_first_chunk().ok_or("it is too short")?;
    let (last, content) = content.split_first_chunk().ok_or("it is too short")?;
    let (length, content) = content.split_first_chunk().ok_or("it is too short")?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| "its proof is too long")?;
    let (proof, opening) = content.split_at_checked(length).ok_or("its proof is cut short")?;
    let (first, last) = (u64::from_be_bytes(*first), u64::from_be_bytes(*last));
    Ok(Finality { first, last, proof: proof.to_vec(), opening: opening.to_vec() })
}
