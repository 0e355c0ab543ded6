//! The directory of a replay: what is published, what is proven.
//!
//! ```text
//! genesis.json              what the venue starts from
//! meta.json                 where the commands come from; the genesis' root and hash
//! batches/000001.batch      published data of a batch: what a verifier and an auditor read
//! batches/000001.json       the batch's root and counts
//! proofs/settings.json      verifying key and limits of the segments
//! proofs/000001.000.proof   proof of a segment
//! proofs/000001.json        written when all segments of the batch are proven: their hashes
//! jobs/                     proofs of the aggregation (`holdfast_prover::jobs`)
//! final/last.proof          the last proof, over all batches: what Ethereum verifies
//! final/last.json           its hash, and what it says
//! final/compact.proof       the compact proof, if one was made; its key and its record are beside it
//! ```
//!
//! Every file is written under a temporary name, synced and renamed: it is there in full or not at all. Every JSON file has one form (reading it and
//! writing it again gives the same bytes) and carries a hash, so that a changed byte anywhere is noticed where it is, whether or not a proof depends on it. The
//! hashes guard against accidents only; what is guarded against a dishonest author are the roots and the commands, by the proofs.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_circuit::last::LastPublic;
use holdfast_crypto::{
    Digest,
    field::{digest_from_hex, digest_to_hex},
    hex::to_hex,
    schnorr::SIGNATURE_BYTES,
};
use holdfast_exchange::Engine;
use holdfast_protocol::{
    Batch, Genesis,
    batch::{BATCH_NUMBER_MAX, INSTRUCTIONS_MAX},
    wire::INSTRUCTION_BYTES_MAX,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, same, unexpected};

/// Version of this layout.
pub const FORMAT: u32 = 2;
/// Largest file that is read. A batch of 2^20 commands has at most 108 MiB, a proof less than 1 MiB.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// A command, as rejected (2 bytes), and a seal of its own: its place (at most 3 bytes), its session (4) and the signature.
const COMMAND_BYTES_MAX: usize = INSTRUCTION_BYTES_MAX + 2 + 3 + 4 + SIGNATURE_BYTES;
/// What a batch has besides: magic, number and three counts.
const HEADER_BYTES_MAX: usize = 4 + 4 + 3 * 3;
const _: () = assert!((HEADER_BYTES_MAX + INSTRUCTIONS_MAX * COMMAND_BYTES_MAX) as u64 <= FILE_BYTES_MAX);

const GENESIS: &str = "genesis.json";
const META: &str = "meta.json";
const SETTINGS: &str = "proofs/settings.json";
pub const FINAL_PROOF: &str = "final/last.proof";
pub const FINAL_RECORD: &str = "final/last.json";
pub const COMPACT_PROOF: &str = "final/compact.proof";
pub const COMPACT_KEY: &str = "final/compact.key";
pub const COMPACT_RECORD: &str = "final/compact.json";
/// Where the jobs of the aggregation are, unless somebody says otherwise.
const JOBS: &str = "jobs";

/// Where the commands come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub format: u32,
    /// Name and format of the input.
    pub source: String,
    pub accounts: u32,
    /// Commands of a full batch.
    pub batch_commands: u64,
    pub genesis_root: String,
    pub genesis_sha256: String,
}

/// What is known of a batch besides its published data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    pub batch: u32,
    pub commands: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub fills: u64,
    /// Lots filled, all markets together.
    pub volume_lots: u64,
    /// Signatures published.
    pub seals: u64,
    /// State root after the batch.
    pub root: String,
    /// Of the published data. No proof depends on which signatures are published, as long as there are valid ones.
    pub published_sha256: String,
}

/// How the proofs of a directory are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Hash of the verifying key.
    pub verifying_key: String,
    pub segment_rows: u64,
    pub segment_slots: u64,
    pub segment_signatures: u64,
}

/// All segments of a batch are proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRecord {
    pub batch: u32,
    pub segments: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub bytes: u64,
    pub sha256: String,
}

/// What a proof over whole batches says in public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub old_root: String,
    pub new_root: String,
    pub batch_first: u32,
    pub batch_last: u32,
    /// Milliseconds since the Unix epoch.
    pub time_start: u64,
    pub time_end: u64,
    /// Digest of all published data.
    pub data: String,
    /// Hash of the segments' verifying key.
    pub segment_key: String,
}

impl From<&LastPublic> for Statement {
    fn from(public: &LastPublic) -> Self {
        let LastPublic { root_old, root_new, batch_first, batch_last, time_start, time_end, data, segment_key } =
            public;
        Self {
            old_root: digest_to_hex(root_old),
            new_root: digest_to_hex(root_new),
            batch_first: *batch_first,
            batch_last: *batch_last,
            time_start: *time_start,
            time_end: *time_end,
            data: digest_to_hex(data),
            segment_key: digest_to_hex(segment_key),
        }
    }
}

/// What a last or a compact proof says, and for which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalRecord {
    /// SHA-256 of the key.
    pub key: String,
    #[serde(flatten)]
    pub statement: Statement,
    pub proof: FileRecord,
}

/// What became of a batch that was to be written.
#[derive(Debug, Clone, Copy)]
pub struct Put {
    /// It was not there before.
    pub written: bool,
    /// Length of its published data.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    #[serde(flatten)]
    record: T,
    /// Of the record's compact JSON.
    sha256: String,
}

/// A directory with a genesis and batches.
#[derive(Debug, Clone)]
pub struct Dir {
    path: PathBuf,
    pub genesis: Genesis,
    pub meta: Meta,
    /// Held by the one process that writes.
    _lock: Option<Arc<File>>,
}

pub fn batch_name(batch: u32) -> String {
    format!("batches/{batch:06}.batch")
}

pub fn record_name(batch: u32) -> String {
    format!("batches/{batch:06}.json")
}

pub fn proof_name(batch: u32, segment: usize) -> String {
    format!("proofs/{batch:06}.{segment:03}.proof")
}

pub fn proof_record_name(batch: u32) -> String {
    format!("proofs/{batch:06}.json")
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

impl Dir {
    /// Makes the directory, or takes up one that was made from the same input in the same way.
    pub fn create(path: &Path, genesis: Genesis, meta: impl FnOnce(String, String) -> Meta) -> Result<Dir> {
        let root = digest_to_hex(&Engine::new(&genesis)?.root());
        let genesis_json = pretty(&genesis);
        let meta = meta(root, sha256_hex(&genesis_json));
        for made in [path.to_owned(), path.join("batches"), path.join("proofs")] {
            fs::create_dir_all(&made).map_err(|error| Error::file("make the directory", &made, error))?;
        }
        let dir = Dir { path: path.to_owned(), genesis, meta, _lock: lock(path)? };
        dir.remove_temporaries()?;
        let present = dir.names()?;
        let another = "it was made from another input, or with other options: choose another --out, or remove it";
        match (present.contains(GENESIS), present.contains(META)) {
            (_, true) => {
                let found: Meta = dir.read_sealed(META)?;
                let Meta { format, source, accounts, batch_commands, genesis_root, genesis_sha256 } = &dir.meta;
                let check = || {
                    let what = |field: &str| format!("{}, {field}", dir.show(META));
                    same(what("format"), *format, found.format)?;
                    same(what("source"), source, &found.source)?;
                    same(what("accounts"), *accounts, found.accounts)?;
                    same(what("batch_commands"), *batch_commands, found.batch_commands)?;
                    same(what("genesis_root"), genesis_root, &found.genesis_root)?;
                    same(what("genesis_sha256"), genesis_sha256, &found.genesis_sha256)
                };
                check().map_err(|error| error.advise(another))?;
            }
            (_, false) if present.iter().any(|name| name != GENESIS) => {
                let other = present.iter().find(|name| *name != GENESIS).cloned().unwrap_or_default();
                return Err(unexpected(dir.path.display(), "an empty directory or that of an earlier replay", other)
                    .advise("choose another --out"));
            }
            _ => {}
        }
        dir.write(GENESIS, &genesis_json)?;
        dir.write_sealed(META, &dir.meta)?;
        Ok(dir)
    }

    /// Reads the genesis and its description, and checks one against the other.
    pub fn open(path: &Path) -> Result<Dir> {
        let advice = "give the directory that `holdfast replay INPUT --out DIR` wrote";
        if !path.is_dir() {
            let got = if path.exists() { "a file" } else { "nothing there" };
            return Err(unexpected(path.display(), "a directory", got).advise(advice));
        }
        let meta: Meta = read_sealed(path, META).map_err(|error| match error {
            Error::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                unexpected(path.display(), format!("a directory with {META}"), "one without").advise(advice)
            }
            error => error,
        })?;
        same(format!("{}, format", show(path, META)), FORMAT, meta.format)
            .map_err(|error| error.advise("another version of holdfast wrote it: replay the input again"))?;
        let bytes = read(path, GENESIS)?;
        let what = show(path, GENESIS);
        let genesis: Genesis =
            serde_json::from_slice(&bytes).map_err(|error| unexpected(&what, "a genesis in JSON", error))?;
        same(format!("{what}, sha256"), &meta.genesis_sha256, &sha256_hex(&bytes))?;
        if pretty(&genesis) != bytes {
            return Err(unexpected(what, "the genesis' one form in JSON", "another"));
        }
        let root = digest_to_hex(&Engine::new(&genesis)?.root());
        same(format!("{}, genesis_root", show(path, META)), &root, &meta.genesis_root)?;
        Ok(Dir { path: path.to_owned(), genesis, meta, _lock: None })
    }

    /// The same for the one process that writes, without what an interrupted run left under temporary names.
    pub fn open_to_write(path: &Path) -> Result<Dir> {
        let dir = Dir { _lock: lock(path)?, ..Dir::open(path)? };
        dir.remove_temporaries()?;
        Ok(dir)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state before the first batch.
    pub fn engine(&self) -> Result<Engine> {
        Ok(Engine::new(&self.genesis)?)
    }

    /// The files of the replay and of its proofs, by name. (Those of the aggregation depend on nothing but these.) Anything but files, and the directories known here, is an error.
    pub fn names(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (prefix, below) in
            [("", self.path.clone()), ("batches/", self.path.join("batches")), ("proofs/", self.path.join("proofs"))]
        {
            let list = |error| Error::file("list the directory", &below, error);
            for entry in fs::read_dir(&below).map_err(list)? {
                let entry = entry.map_err(list)?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                let kind = entry.file_type().map_err(list)?;
                if kind.is_file() {
                    names.insert(name);
                } else if !(kind.is_dir() && matches!(name.as_str(), "batches" | "proofs" | "jobs" | "final")) {
                    return Err(unexpected(entry.path().display(), "files only", "something else"));
                }
            }
        }
        Ok(names)
    }

    /// The records of all batches, which must be numbered without a gap.
    pub fn batches(&self) -> Result<Vec<BatchRecord>> {
        let names = self.names()?;
        let count = names.iter().filter_map(|name| batch_of(name)).max().unwrap_or(0);
        for batch in 1..=count {
            for name in [batch_name(batch), record_name(batch)] {
                if !names.contains(&name) {
                    let error = unexpected(format!("batch {batch}"), format!("a file {name}"), "none");
                    return Err(
                        error.advise("run `holdfast replay` again with the same arguments: it writes what is missing")
                    );
                }
            }
        }
        let records = (1..=count).map(|batch| self.batch_record(batch)).collect::<Result<Vec<_>>>()?;
        if records.is_empty() {
            return Err(unexpected(self.path.display(), "at least one batch", "none"));
        }
        Ok(records)
    }

    fn batch_record(&self, batch: u32) -> Result<BatchRecord> {
        let name = record_name(batch);
        let record: BatchRecord = self.read_sealed(&name).map_err(|error| within(batch, error))?;
        same(format!("batch {batch}, {name}, batch"), batch, record.batch)?;
        if let Err(error) = digest_from_hex(&record.root) {
            return Err(unexpected(format!("batch {batch}, {name}, root"), "a digest in hexadecimal", error));
        }
        Ok(record)
    }

    /// A batch's published data, which must agree with its record.
    pub fn batch(&self, record: &BatchRecord) -> Result<Batch> {
        let number = record.batch;
        let name = batch_name(number);
        let bytes = self.read(&name).map_err(|error| within(number, error))?;
        let what = format!("batch {number}, {name}");
        let batch = Batch::decode(&bytes).map_err(|error| unexpected(&what, "published data", error))?;
        same(format!("{what}, number"), number, batch.header.number)?;
        same(format!("{what}, commands"), record.commands, batch.instructions.len() as u64)?;
        let rejected = batch.outcomes.iter().filter(|outcome| outcome.code() != 0).count() as u64;
        same(format!("{what}, rejected commands"), record.rejected, rejected)?;
        same(format!("{what}, accepted commands"), record.accepted, record.commands - rejected)?;
        same(format!("{what}, seals"), record.seals, batch.seals.len() as u64)?;
        Ok(batch)
    }

    /// Writes a closed batch and its record (with the hash of what is published), unless they are there already; one that differs is an error.
    pub fn put_batch(&self, batch: &Batch, record: BatchRecord) -> Result<Put> {
        let number = record.batch;
        let published = batch.encode();
        let record = BatchRecord { published_sha256: sha256_hex(&published), ..record };
        let mut put = Put { written: false, bytes: published.len() as u64 };
        for (name, bytes) in [(batch_name(number), published), (record_name(number), seal(&record))] {
            match self.read(&name) {
                Ok(found) if found == bytes => {}
                Ok(_) => {
                    let error = unexpected(
                        format!("batch {number}, {}", self.show(&name)),
                        format!("what this input gives ({} commands)", record.commands),
                        "something else",
                    );
                    return Err(error.advise(
                        "the directory was written with another --limit or input, or changed since: choose another --out",
                    ));
                }
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.write(&name, &bytes)?;
                    put.written = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(put)
    }

    /// How the proofs are made, if any are.
    pub fn settings(&self) -> Result<Option<Settings>> {
        match self.read_sealed(SETTINGS) {
            Ok(settings) => Ok(Some(settings)),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn put_settings(&self, settings: &Settings) -> Result<()> {
        self.write_sealed(SETTINGS, settings)
    }

    /// The record of a batch's proofs, if it is proven.
    pub fn proof_record(&self, batch: u32) -> Result<Option<ProofRecord>> {
        let name = proof_record_name(batch);
        match self.read_sealed::<ProofRecord>(&name) {
            Ok(record) => {
                same(format!("batch {batch}, {name}, batch"), batch, record.batch)?;
                Ok(Some(record))
            }
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(within(batch, error)),
        }
    }

    /// Records that a batch with this many segments is proven.
    pub fn put_proof_record(&self, batch: u32, segments: usize) -> Result<()> {
        let segments = (0..segments)
            .map(|segment| {
                let bytes = self.read(&proof_name(batch, segment))?;
                Ok(FileRecord { bytes: bytes.len() as u64, sha256: sha256_hex(&bytes) })
            })
            .collect::<Result<_>>()?;
        self.write_sealed(&proof_record_name(batch), &ProofRecord { batch, segments })
    }

    /// A segment's proof, if it is there.
    pub fn proof(&self, batch: u32, segment: usize) -> Result<Option<Vec<u8>>> {
        match self.read(&proof_name(batch, segment)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(within(batch, error)),
        }
    }

    pub fn put_proof(&self, batch: u32, segment: usize, bytes: &[u8]) -> Result<()> {
        self.write(&proof_name(batch, segment), bytes)
    }

    /// The proofs of all batches, in a directory in which everything is proven and nothing else lies.
    pub fn proof_records(&self, batches: &[BatchRecord]) -> Result<(Settings, Vec<ProofRecord>)> {
        let unproven = |batch: u32, name: &str| {
            unexpected(format!("batch {batch}"), format!("a file {name}"), "none")
                .advise(format!("prove it first: holdfast prove {}", self.path.display()))
        };
        let settings = self.settings()?.ok_or_else(|| unproven(1, SETTINGS))?;
        let mut left = self.names()?;
        for name in [GENESIS, META, SETTINGS] {
            left.remove(name);
        }
        let mut records = Vec::with_capacity(batches.len());
        for &BatchRecord { batch, .. } in batches {
            let name = proof_record_name(batch);
            let record = self.proof_record(batch)?.ok_or_else(|| unproven(batch, &name))?;
            let proofs = (0..record.segments.len()).map(|segment| proof_name(batch, segment));
            for name in proofs.chain([batch_name(batch), record_name(batch), name]) {
                if !left.remove(&name) {
                    return Err(unproven(batch, &name));
                }
            }
            records.push(record);
        }
        if let Some(name) = left.first() {
            let what = batch_of(name).map_or_else(String::new, |batch| format!("batch {batch}, "));
            let error = unexpected(format!("{what}{}", self.show(name)), "no such file", "one");
            return Err(error
                .advise("nothing vouches for it: remove it (a name with .tmp is left over from an interrupted run)"));
        }
        Ok((settings, records))
    }

    /// The batches that are not proven yet.
    pub fn unproven(&self, batches: &[BatchRecord]) -> Result<Vec<u32>> {
        let mut unproven = Vec::new();
        for &BatchRecord { batch, .. } in batches {
            if self.proof_record(batch)?.is_none() {
                unproven.push(batch);
            }
        }
        Ok(unproven)
    }

    /// Where the jobs of the aggregation are.
    pub fn jobs_path(&self) -> PathBuf {
        self.path.join(JOBS)
    }

    /// The last proof and what is recorded of it. `None` if there is none.
    pub fn last_proof(&self) -> Result<Option<(FinalRecord, Vec<u8>)>> {
        self.final_proof(FINAL_RECORD, FINAL_PROOF)
    }

    pub fn put_last_proof(&self, record: &FinalRecord, proof: &[u8]) -> Result<()> {
        self.make_final()?;
        self.write(FINAL_PROOF, proof)?;
        self.write_sealed(FINAL_RECORD, record)
    }

    /// The compact proof and what is recorded of it. `None` if there is none.
    pub fn compact_proof(&self) -> Result<Option<(FinalRecord, Vec<u8>)>> {
        self.final_proof(COMPACT_RECORD, COMPACT_PROOF)
    }

    /// The key of the compact proof, if there is one.
    pub fn compact_key(&self) -> Result<Vec<u8>> {
        self.read(COMPACT_KEY)
    }

    pub fn put_compact_proof(&self, record: &FinalRecord, proof: &[u8], key: &[u8]) -> Result<()> {
        self.make_final()?;
        self.write(COMPACT_KEY, key)?;
        self.write(COMPACT_PROOF, proof)?;
        self.write_sealed(COMPACT_RECORD, record)
    }

    fn final_proof(&self, record: &str, proof: &str) -> Result<Option<(FinalRecord, Vec<u8>)>> {
        match self.read_sealed(record) {
            Ok(record) => Ok(Some((record, self.read(proof)?))),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_final(&self) -> Result<()> {
        let made = self.path.join("final");
        fs::create_dir_all(&made).map_err(|error| Error::file("make the directory", &made, error))
    }

    fn remove_temporaries(&self) -> Result<()> {
        for name in self.names()? {
            let file = name.rsplit('/').next().unwrap_or(&name);
            if file.starts_with('.') && file.ends_with(".tmp") {
                let path = self.path.join(&name);
                fs::remove_file(&path).map_err(|error| Error::file("remove the file", &path, error))?;
            }
        }
        Ok(())
    }

    fn show(&self, name: &str) -> String {
        show(&self.path, name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        read(&self.path, name)
    }

    fn read_sealed<T: Serialize + DeserializeOwned>(&self, name: &str) -> Result<T> {
        read_sealed(&self.path, name)
    }

    fn write_sealed<T: Serialize>(&self, name: &str, record: &T) -> Result<()> {
        self.write(name, &seal(record))
    }

    /// Writes a file in full or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{file_name}.{}.tmp", std::process::id()));
        let written = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            // The name is durable once the directory is.
            File::open(path.parent().unwrap_or(&self.path))?.sync_all()
        })();
        written.map_err(|error| {
            // If it is still there at all; the error at hand is the one to report.
            let _removed = fs::remove_file(&temporary);
            Error::file("write", &path, error)
        })
    }
}

/// Makes sure that no other process writes to the directory. Where the file system has no locks, nobody does.
fn lock(directory: &Path) -> Result<Option<Arc<File>>> {
    let Ok(file) = File::open(directory) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(Arc::new(file))),
        Err(TryLockError::WouldBlock) => {
            let error =
                unexpected(directory.display(), "nobody else to write to it", "another holdfast process at work");
            Err(error.advise("wait for it, or stop it"))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn show(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

fn read(directory: &Path, name: &str) -> Result<Vec<u8>> {
    read_file(&directory.join(name))
}

/// Reads a file, which must not be larger than any that a replay writes.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let fail = |error| Error::file("read", path, error);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unexpected(path.display(), format!("at most {FILE_BYTES_MAX} bytes"), "more"));
    }
    Ok(bytes)
}

fn read_sealed<T: Serialize + DeserializeOwned>(directory: &Path, name: &str) -> Result<T> {
    unseal(&show(directory, name), &read(directory, name)?)
}

/// The batch that a file in `batches/` or `proofs/` belongs to by its name.
fn batch_of(name: &str) -> Option<u32> {
    let (_, file) = name.split_once('/')?;
    let (digits, _) = file.split_once('.')?;
    let batch: u32 = digits.parse().ok()?;
    let known = name == batch_name(batch)
        || name == record_name(batch)
        || name == proof_record_name(batch)
        || name.starts_with("proofs/");
    (known && (1..=BATCH_NUMBER_MAX).contains(&batch)).then_some(batch)
}

/// Says to which batch an error belongs.
fn within(batch: u32, error: Error) -> Error {
    match error {
        Error::Unexpected { what, expected, got, advice } => {
            Error::Unexpected { what: format!("batch {batch}, {what}"), expected, got, advice }
        }
        Error::File { action, path, source } if source.kind() == io::ErrorKind::NotFound => {
            unexpected(format!("batch {batch}, cannot {action}"), format!("a file {}", path.display()), "none")
        }
        error => error,
    }
}

/// JSON as people read it, in the one form that is accepted.
pub(crate) fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("records are JSON");
    text.push(b'\n');
    text
}

fn seal<T: Serialize>(record: &T) -> Vec<u8> {
    let sha256 = sha256_hex(&serde_json::to_vec(record).expect("records are JSON"));
    pretty(&Sealed { record, sha256 })
}

fn unseal<T: Serialize + DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let sealed: Sealed<T> =
        serde_json::from_slice(bytes).map_err(|error| unexpected(what, "a record in JSON", error))?;
    let sha256 = sha256_hex(&serde_json::to_vec(&sealed.record).expect("records are JSON"));
    same(format!("{what}, sha256"), sha256, sealed.sha256)?;
    if seal(&sealed.record) != bytes {
        return Err(unexpected(what, "the record's one form in JSON", "another"));
    }
    Ok(sealed.record)
}

/// The root that a record states. Its form was checked when the record was read.
pub fn record_root(record: &BatchRecord) -> Digest {
    digest_from_hex(&record.root).expect("the form of a record's root was checked")
}
