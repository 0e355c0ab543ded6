//! A store and claims in a directory that any number of processes share, on one machine or on several.
//!
//! ```text
//! objects/ab/cdef…   bytes, under their SHA-256
//! results/<job>      the object that is the job's result, and what it took
//! claims/<job>       who works on it; as old as its last renewal
//! tmp/               files being written
//! ```
//!
//! Files of objects and results are written under a temporary name, synced, and renamed. A kill leaves a file in `tmp/` (removed when it is old) and a claim (taken over when its lease is over).
//! The age of a claim is told by the file system's own clock, so that machines need not agree on the time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use super::{Claims, JobId, ObjectId, Outcome, Store, StoreError, owner_name};

/// A temporary file so old is nobody's any more: none takes longer than a moment to write.
const TEMPORARY_AGE: Duration = Duration::from_secs(60 * 60);
/// Tries to make a claim whose place another takes or leaves at the same time.
const CLAIM_TRIES: usize = 3;

/// A store and claims in a directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    lease: Duration,
    /// What this handle's temporary names begin with.
    name: String,
    temporaries: AtomicU64,
}

impl Directory {
    /// Opens a directory, which is made if it is not there.
    pub fn open(path: &Path, lease: Duration) -> Result<Self, StoreError> {
        let directory = Self { path: path.to_owned(), lease, name: owner_name(), temporaries: AtomicU64::new(0) };
        for below in ["objects", "results", "claims", "tmp"] {
            let made = path.join(below);
            fs::create_dir_all(&made).map_err(fail("make the directory", &made))?;
        }
        directory.remove_temporaries()?;
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn object_path(&self, id: ObjectId) -> PathBuf {
        let hex = id.to_string();
        self.path.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    pub(super) fn result_path(&self, job: JobId) -> PathBuf {
        self.path.join("results").join(job.to_string())
    }

    fn claim_path(&self, job: JobId) -> PathBuf {
        self.path.join("claims").join(job.to_string())
    }

    /// A name in `tmp/` that nothing else has.
    fn temporary(&self) -> PathBuf {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        self.path.join("tmp").join(format!("{}.{number}", self.name))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.temporary();
        let written = (|| {
            let mut file = File::create_new(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            let parent = path.parent().unwrap_or(&self.path);
            fs::create_dir_all(parent)?;
            fs::rename(&temporary, path)?;
            // The name is durable once the directory is.
            File::open(parent)?.sync_all()
        })();
        written.map_err(|error| {
            // If it is still there at all; the error at hand is the one to report.
            let _removed = fs::remove_file(&temporary);
            fail("write", path)(error)
        })
    }

    /// What the file system takes for the present.
    fn now(&self) -> Result<SystemTime, StoreError> {
        let probe = self.temporary();
        let time = File::create_new(&probe).and_then(|file| file.metadata()?.modified());
        let _removed = fs::remove_file(&probe);
        time.map_err(fail("ask the time by", &probe))
    }

    /// Whether a file was last written longer ago than this; in the future is as long ago, so that a clock that was wrong holds nothing up. `None` if there is no such file.
    fn is_older(&self, path: &Path, age: Duration) -> Result<Option<bool>, StoreError> {
        let written = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("read", path)(error)),
        };
        let now = self.now()?;
        let apart = now.duration_since(written).unwrap_or_else(|future| future.duration());
        Ok(Some(apart > age))
    }

    fn remove_temporaries(&self) -> Result<(), StoreError> {
        let path = self.path.join("tmp");
        for entry in fs::read_dir(&path).map_err(fail("list the directory", &path))? {
            let file = entry.map_err(fail("list the directory", &path))?.path();
            if self.is_older(&file, TEMPORARY_AGE)? == Some(true) {
                // Another process may have been faster.
                let _removed = fs::remove_file(&file);
            }
        }
        Ok(())
    }

    fn claimed_by(&self, job: JobId, owner: &str) -> Result<bool, StoreError> {
        Ok(read(&self.claim_path(job))?.is_some_and(|bytes| bytes == owner.as_bytes()))
    }
}

impl Store for Directory {
    fn put_object(&self, bytes: &[u8]) -> Result<ObjectId, StoreError> {
        let id = ObjectId::of(bytes);
        // What is there may be damaged: then it is written over.
        if self.object(id)?.is_none() {
            self.write(&self.object_path(id), bytes)?;
        }
        Ok(id)
    }

    fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(read(&self.object_path(id))?.filter(|bytes| ObjectId::of(bytes) == id))
    }

    fn has_object(&self, id: ObjectId) -> Result<bool, StoreError> {
        let path = self.object_path(id);
        path.try_exists().map_err(fail("read", &path))
    }

    fn put_result(&self, job: JobId, outcome: &Outcome) -> Result<(), StoreError> {
        self.write(&self.result_path(job), encode_outcome(outcome).as_bytes())
    }

    fn result(&self, job: JobId) -> Result<Option<Outcome>, StoreError> {
        Ok(read(&self.result_path(job))?.and_then(|bytes| decode_outcome(&bytes)))
    }

    fn forget(&self, job: JobId) -> Result<(), StoreError> {
        remove(&self.result_path(job))
    }
}

impl Claims for Directory {
    fn lease(&self) -> Duration {
        self.lease
    }

    fn claim(&self, job: JobId, owner: &str) -> Result<bool, StoreError> {
        let path = self.claim_path(job);
        for _ in 0..CLAIM_TRIES {
            match File::create_new(&path) {
                Ok(mut file) => {
                    file.write_all(owner.as_bytes()).map_err(fail("write", &path))?;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail("write", &path)(error)),
            }
            match self.is_older(&path, self.lease)? {
                Some(false) => return Ok(false),
                Some(true) => {
                    // Of several that find it too old at once, one moves it away. (One that comes late may move the claim of the one before: then both do the job.)
                    let away = self.temporary();
                    match fs::rename(&path, &away) {
                        Ok(()) => remove(&away)?,
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(fail("take over", &path)(error)),
                    }
                }
                None => {}
            }
        }
        Ok(false)
    }

    fn renew(&self, job: JobId, owner: &str) -> Result<bool, StoreError> {
        if !self.claimed_by(job, owner)? {
            return Ok(false);
        }
        let path = self.claim_path(job);
        // The same bytes again: what changes is the time at which they were written.
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(owner.as_bytes()));
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(fail("renew", &path)(error)),
        }
    }

    fn release(&self, job: JobId, owner: &str) -> Result<(), StoreError> {
        if self.claimed_by(job, owner)? { remove(&self.claim_path(job)) } else { Ok(()) }
    }
}

/// One line for each part, in this order.
fn encode_outcome(outcome: &Outcome) -> String {
    let Outcome { object, milliseconds, memory_bytes } = outcome;
    format!("object {object}\nmilliseconds {milliseconds}\nmemory_bytes {memory_bytes}\n")
}

/// Reads the one form; anything else is no result.
fn decode_outcome(bytes: &[u8]) -> Option<Outcome> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let outcome = Outcome {
        object: ObjectId::from_hex(value("object")?)?,
        milliseconds: value("milliseconds")?.parse().ok()?,
        memory_bytes: value("memory_bytes")?.parse().ok()?,
    };
    (encode_outcome(&outcome) == text).then_some(outcome)
}

/// The bytes of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail("read", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fail("remove", path)(error)),
        _ => Ok(()),
    }
}

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let what = path.display().to_string();
    move |source| StoreError { action, what, source }
}
