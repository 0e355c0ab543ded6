//! The operator's directory.
//!
//! ```text
//! genesis.json             what the venue starts from
//! batches/000001.batch     a closed batch: its published data with the seals
//! open/000002.log          what was carried out since, one JSON line each
//! poster/                  batches and proofs on their way to Ethereum, and the transaction under way
//! jobs/                    proofs (`holdfast_prover::jobs`)
//! lock                     held by the one operator that runs here
//! ```
//!
//! `jobs/` keeps every proof that was made; while no operator runs, it may be removed: what is not final is then proven anew.
//!
//! Batches are written under a temporary name, synced and renamed. The log of the open batch survives the end of the process, however it ends; of a machine that loses its power it may lose the last lines,
//! which nobody but those who were told has seen.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use holdfast_protocol::{Batch, Genesis, Instruction, Request, batch::INSTRUCTIONS_MAX};
use holdfast_settlement::journal;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Largest file that is read: more than the data of a batch, or the log of one, can have.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// A line of the log, at most.
const LINE_BYTES_MAX: u64 = 1 << 10;
const _: () = assert!(INSTRUCTIONS_MAX as u64 * LINE_BYTES_MAX <= FILE_BYTES_MAX);

/// Something that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Signed(Request),
    Forced(Instruction),
}

pub struct Records {
    path: PathBuf,
    genesis: Genesis,
    log: Option<(u64, File)>,
    _lock: File,
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::File { action, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(damaged(path, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(bytes))
}

fn damaged(path: &Path, reason: impl ToString) -> Error {
    Error::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

impl Records {
    /// Opens the directory of this venue, which is made if it is not there.
    pub fn open(path: &Path, genesis: &Genesis) -> Result<Self> {
        for folder in [path.to_owned(), path.join("batches"), path.join("open")] {
            fs::create_dir_all(&folder).map_err(failed("make the directory", &folder))?;
        }
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let genesis_path = path.join("genesis.json");
        match read(&genesis_path)? {
            None => {
                let bytes = serde_json::to_vec_pretty(genesis).map_err(|error| damaged(&genesis_path, error))?;
                journal::write(&genesis_path, &bytes)?;
            }
            Some(bytes) => {
                let found: Genesis = serde_json::from_slice(&bytes).map_err(|error| damaged(&genesis_path, error))?;
                if found != *genesis {
                    return Err(Error::OtherGenesis { path: path.to_owned() });
                }
            }
        }
        Ok(Self { path: path.to_owned(), genesis: genesis.clone(), log: None, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn batch_path(&self, number: u64) -> PathBuf {
        self.path.join("batches").join(format!("{number:06}.batch"))
    }

    fn log_path(&self, number: u64) -> PathBuf {
        self.path.join("open").join(format!("{number:06}.log"))
    }

    /// A closed batch, if it is there.
    pub fn batch(&self, number: u64) -> Result<Option<Batch>> {
        let path = self.batch_path(number);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let batch = Batch::decode(&bytes).map_err(|error| damaged(&path, error))?;
        if u64::from(batch.header.number) != number {
            return Err(damaged(&path, format!("it is batch {}", batch.header.number)));
        }
        Ok(Some(batch))
    }

    /// Keeps a batch, and forgets the log of what is in it.
    pub fn close(&mut self, batch: &Batch) -> Result<()> {
        let number = u64::from(batch.header.number);
        journal::write(&self.batch_path(number), &batch.encode())?;
        self.log = None;
        Ok(journal::remove(&self.log_path(number))?)
    }

    /// What was carried out since the last closed batch, `number - 1`. A last line that is not whole was never told to anybody, and is cut off.
    pub fn reopen(&mut self, number: u64) -> Result<Vec<Entry>> {
        let path = self.log_path(number);
        let mut entries = Vec::new();
        let bytes = read(&path)?.unwrap_or_default();
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for (line, text) in (1..).zip(bytes[..whole].split_inclusive(|&byte| byte == b'\n')) {
            let entry =
                serde_json::from_slice(text).map_err(|error| damaged(&path, format!("line {line}: {error}")))?;
            entries.push(entry);
        }
        let log = OpenOptions::new().create(true).truncate(false).append(true).open(&path);
        let log = log.map_err(failed("open", &path))?;
        log.set_len(whole as u64).map_err(failed("shorten", &path))?;
        self.log = Some((number, log));
        Ok(entries)
    }

    /// Notes what was carried out in the open batch.
    pub fn append(&mut self, number: u64, entries: &[Entry]) -> Result<()> {
        let path = self.log_path(number);
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry).map_err(|error| damaged(&path, error))?;
            lines.push(b'\n');
        }
        let log = match &mut self.log {
            Some((of, log)) if *of == number => log,
            log => {
                let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed("open", &path))?;
                &mut log.insert((number, file)).1
            }
        };
        log.write_all(&lines).map_err(failed("write", &path))
    }
}
