//! `holdfast compact`, `verify --compact` and `export-verifier --compact`: the last proof as one of some kilobytes, by a machine with much memory and the parameters of a trusted setup.
//!
//! They are there with the Cargo feature `compact` only: without it, each says how to build the program with it.

use std::path::PathBuf;

use holdfast_crypto::Digest;
use serde::Serialize;

use crate::{
    dir::Statement,
    error::Result,
    ui::{Ui, bytes, count, facts, good, seconds},
};

#[cfg(not(feature = "compact"))]
use absent as commands;
#[cfg(feature = "compact")]
use present as commands;

#[derive(Debug, Clone)]
pub struct Options {
    /// The directory that `holdfast aggregate` completed.
    pub dir: PathBuf,
    /// The directory with the files of parameters.
    pub params: PathBuf,
    /// Where the jobs' results are; in the directory itself by default.
    pub jobs_dir: Option<PathBuf>,
    /// Begin even if there seems to be too little memory.
    pub ignore_memory: bool,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    pub compact_proof_bytes: u64,
    /// SHA-256 of the key.
    pub key: String,
    /// A name for the ceremony of the parameters.
    pub ceremony: String,
    #[serde(flatten)]
    pub statement: Statement,
    /// Of the proof that the circuits verify, and of each circuit, its keys and the check of its parameters included.
    pub stark_seconds: f64,
    pub inner_seconds: f64,
    pub outer_seconds: f64,
    pub peak_memory_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// A compact proof, or the directory that `holdfast compact` completed.
    pub path: PathBuf,
    /// The key; that of the directory by default.
    pub key: Option<PathBuf>,
    /// The key that is trusted, as SHA-256 of its bytes.
    pub key_id: Option<String>,
    pub genesis_root: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub struct VerifyReport {
    pub ok: bool,
    /// The proof was compared with the published data.
    pub compared: bool,
    /// The key, and the genesis root, were given by whoever verifies.
    pub key_pinned: bool,
    pub genesis_pinned: bool,
    pub key: String,
    /// A name for the ceremony of the key's parameters.
    pub ceremony: String,
    #[serde(flatten)]
    pub statement: Statement,
    /// Batches that were published after the last that the proof is over.
    pub batches_after: u32,
    pub compact_proof_bytes: u64,
    pub verify_seconds: f64,
}

#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The directory that `holdfast compact` completed, or a key.
    pub key: PathBuf,
    /// The directory to write.
    pub out: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct ExportReport {
    pub out: PathBuf,
    /// SHA-256 of the key.
    pub key: String,
    /// A name for the ceremony of the key's parameters.
    pub ceremony: String,
    pub proof_bytes: usize,
    /// The contract's source, and its SHA-256.
    pub file: String,
    pub sha256: String,
    /// What it is to be compiled by, and the compiler's settings. (With others it may refuse every proof.)
    pub compiler: String,
    pub settings: String,
}

/// Makes a compact proof, and verifies it.
pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    commands::run(options, ui)
}

/// Verifies a compact proof.
pub fn verify(options: &VerifyOptions, ui: Ui) -> Result<VerifyReport> {
    commands::verify(options, ui)
}

/// Writes the source of the contract that verifies compact proofs.
pub fn export(options: &ExportOptions) -> Result<ExportReport> {
    commands::export(options)
}

impl Report {
    pub fn text(&self) -> String {
        facts(&[
            ("proof", bytes(self.compact_proof_bytes)),
            ("chain", format!("batches {} to {}", self.statement.batch_first, self.statement.batch_last)),
            ("root", format!("{} → {}", self.statement.old_root, self.statement.new_root)),
            ("key", self.key.clone()),
            ("ceremony", self.ceremony.clone()),
            (
                "time",
                format!(
                    "{} first proof, {} inner circuit, {} outer circuit",
                    seconds(self.stark_seconds),
                    seconds(self.inner_seconds),
                    seconds(self.outer_seconds)
                ),
            ),
            ("memory", format!("{} at most", bytes(self.peak_memory_bytes))),
        ])
    }
}

impl VerifyReport {
    pub fn text(&self) -> String {
        let pinned =
            |pinned, how| if pinned { "as you gave it".into() } else { format!("as the file says: pin it with {how}") };
        let Statement { old_root, new_root, batch_first, batch_last, time_start, time_end, data, segment_key } =
            &self.statement;
        let mut chain = format!("batches {batch_first} to {batch_last}");
        if self.batches_after > 0 {
            chain += &format!("; {} published since", count(self.batches_after.into(), "batch"));
        }
        let compared = if self.compared {
            "roots, batches, times and the digest of all data are those of the genesis and the published batches"
        } else {
            "nothing: give the directory to compare the proof with what was published"
        };
        facts(&[
            ("old root", format!("{old_root} ({})", pinned(self.genesis_pinned, "--genesis-root"))),
            ("new root", new_root.clone()),
            ("chain", chain),
            ("time", format!("{time_start} to {time_end} ms since 1970")),
            ("data", data.clone()),
            ("proof", format!("{}, verified in {}", bytes(self.compact_proof_bytes), seconds(self.verify_seconds))),
            ("key", format!("{} ({})", self.key, pinned(self.key_pinned, "--key-id"))),
            ("ceremony", self.ceremony.clone()),
            ("segments", segment_key.clone()),
            ("compared", compared.into()),
            (
                "trusted",
                "that ceremony, which the key's parameters are from, and whoever made the key from them".into(),
            ),
            ("verdict", format!("{}: the new root follows from the old one, for this key", good("valid"))),
        ])
    }
}

impl ExportReport {
    pub fn text(&self) -> String {
        facts(&[
            ("key", self.key.clone()),
            ("ceremony", self.ceremony.clone()),
            ("proofs", bytes(self.proof_bytes as u64)),
            ("contract", format!("{}, {}", self.file, self.sha256)),
            ("compile", format!("by {}, with the settings of {}", self.compiler, self.settings)),
            ("written to", self.out.display().to_string()),
        ])
    }
}

#[cfg(not(feature = "compact"))]
mod absent {
    use super::{ExportOptions, ExportReport, Options, Report, Result, Ui, VerifyOptions, VerifyReport};
    use crate::error::{Error, unexpected};

    fn not_built<T>() -> Result<T> {
        let error: Error = unexpected("this program", "one built with the feature `compact`", "one without");
        Err(error.advise("build it: cargo build --release -p holdfast-cli --features compact"))
    }

    pub fn run(_options: &Options, _ui: Ui) -> Result<Report> {
        not_built()
    }

    pub fn verify(_options: &VerifyOptions, _ui: Ui) -> Result<VerifyReport> {
        not_built()
    }

    pub fn export(_options: &ExportOptions) -> Result<ExportReport> {
        not_built()
    }
}

#[cfg(feature = "compact")]
mod present {
    use std::{fs, path::Path, time::Instant};

    use holdfast_circuit::verify::verifying_key;
    use holdfast_crypto::{field::digest_to_hex, hex::to_hex};
    use holdfast_prover::{
        aggregate::{
            Aggregator,
            compact::{Compact, CompactError, CompactKey, CompactProof, look_for_setups, memory, setup::Files},
        },
        jobs::{memory_peak_bytes, read_wrap},
    };

    use super::{ExportOptions, ExportReport, Options, Report, Result, Statement, Ui, VerifyOptions, VerifyReport};
    use crate::{
        commands::{
            aggregate::{self, record},
            verify_final::{compare, says},
        },
        dir::{COMPACT_KEY, COMPACT_PROOF, COMPACT_RECORD, Dir, read_file, sha256_hex},
        error::{Error, same, unexpected},
    };

    /// The contract's source.
    const CONTRACT: &str = "Halo2Verifier.sol";
    const MANIFEST: &str = "compact.json";
    /// What compiles it. The generator counts on its variables alone being in memory, which other settings do not keep.
    const COMPILER: &str = "solc 0.8.37";
    const SETTINGS: &str = "solc.json";
    const SETTINGS_TEXT: &str = include_str!("../../../../contracts/solc-generated.json");

    impl From<CompactError> for Error {
        fn from(source: CompactError) -> Self {
            let advice = match &source {
                CompactError::Setup(error) => Some(error.advice()),
                CompactError::Memory(_) => Some(
                    "run it on a machine with more memory, on a copy of the directory; or try it here nevertheless: --ignore-memory"
                        .into(),
                ),
                CompactError::Aggregate(_) => Some("make the last proof first: holdfast aggregate".into()),
                CompactError::Length { .. } | CompactError::Invalid(_) | CompactError::Public(_) => Some(
                    "it was changed, or made for another key, of which this one does not vouch".into(),
                ),
                CompactError::Key(_)
                | CompactError::Circuit { .. }
                | CompactError::Unsatisfied { .. }
                | CompactError::Prover { .. } => None,
            };
            Error::Compact { source, advice }
        }
    }

    pub fn run(options: &Options, ui: Ui) -> Result<Report> {
        let Options { dir: path, params, jobs_dir, ignore_memory } = options;
        let files = Files::new(params);
        // What can be known at once, first.
        look_for_setups(&files).map_err(CompactError::from)?;
        if !ignore_memory && let Some(available) = memory::available() {
            memory::enough_for_both(available).map_err(CompactError::from)?;
        }
        let dir = Dir::open(path)?;
        let bytes = aggregate::wrap(&aggregate::Options { dir: path.clone(), jobs_dir: jobs_dir.clone() })?;
        let wrap = read_wrap(&bytes).map_err(|reason| {
            unexpected("the job of the wrap", "its proof", reason).advise("make it again: holdfast aggregate")
        })?;

        let bar = ui.bar("compact", "proofs", Some(3));
        bar.set_message("keys");
        let aggregator = Aggregator::new();
        let compact = Compact::new(&aggregator);
        let mut began = Instant::now();
        let mut done = |number, next: &'static str| {
            let took = began.elapsed().as_secs_f64();
            began = Instant::now();
            bar.set_position(number);
            bar.set_message(next);
            took
        };
        let _keys = done(0, "first proof, under Poseidon2 over BN254");
        let stark = compact.stark(&wrap).map_err(CompactError::from)?;
        let stark_seconds = done(1, "inner circuit: parameters, keys, proof");
        let inner = compact.inner_proof(&files, &stark)?;
        let inner_seconds = done(2, "outer circuit: parameters, keys, proof");
        let CompactProof { key, bytes: proof } = inner.compact(&files)?;
        let outer_seconds = done(3, "");
        bar.finish_and_clear();

        let public = key.verify(&proof)?;
        let id = to_hex(&key.id());
        dir.put_compact_proof(&record(id.clone(), &public, &proof), &proof, &key.to_bytes())?;
        Ok(Report {
            ok: true,
            compact_proof_bytes: proof.len() as u64,
            key: id,
            ceremony: to_hex(&key.ceremony()),
            statement: Statement::from(&public),
            stark_seconds,
            inner_seconds,
            outer_seconds,
            peak_memory_bytes: memory_peak_bytes(),
        })
    }

    pub fn verify(options: &VerifyOptions, ui: Ui) -> Result<VerifyReport> {
        let VerifyOptions { path, key: key_path, key_id, genesis_root } = options;
        let dir = if path.is_dir() { Some(Dir::open(path)?) } else { None };
        let (recorded, proof, key_bytes) = match &dir {
            None => {
                let none = || {
                    unexpected("--key", "a compact proof's key", "none")
                        .advise("a proof alone is of no key: name the key's file, or the directory that has both")
                };
                (None, read_file(path)?, read_file(key_path.as_ref().ok_or_else(none)?)?)
            }
            Some(dir) => {
                let none = || {
                    unexpected(path.display(), format!("a file {COMPACT_RECORD}"), "none")
                        .advise(format!("make the compact proof first: holdfast compact {} --params …", path.display()))
                };
                let (record, proof) = dir.compact_proof()?.ok_or_else(none)?;
                let key = key_path.as_ref().map_or_else(|| dir.compact_key(), |path| read_file(path))?;
                (Some(record), proof, key)
            }
        };
        let id = sha256_hex(&key_bytes);
        if let Some(pinned) = key_id {
            same("key", pinned, &id).map_err(|error| error.advise("this is not the key that you trust"))?;
        }
        let key = CompactKey::from_bytes(&key_bytes)?;
        let began = Instant::now();
        let public = key.verify(&proof)?;
        let verify_seconds = began.elapsed().as_secs_f64();
        same("segment key", digest_to_hex(&verifying_key().pre_hash), digest_to_hex(&public.segment_key))?;
        if let Some(pinned) = genesis_root {
            same("genesis root", digest_to_hex(pinned), digest_to_hex(&public.root_old)).map_err(|error| {
                error.advise("this proof starts from another state than the genesis that you trust")
            })?;
        }
        let mut batches_after = 0;
        if let (Some(dir), Some(record)) = (&dir, &recorded) {
            let what = |field: &str| format!("{COMPACT_PROOF} against {COMPACT_RECORD}, {field}");
            same(what("sha256"), &record.proof.sha256, &sha256_hex(&proof))?;
            says(COMPACT_RECORD, &public, record)?;
            batches_after = compare(dir, "the compact proof", &public, ui)?;
        }
        Ok(VerifyReport {
            ok: true,
            compared: dir.is_some(),
            key_pinned: key_id.is_some(),
            genesis_pinned: genesis_root.is_some(),
            key: id,
            ceremony: to_hex(&key.ceremony()),
            statement: Statement::from(&public),
            batches_after,
            compact_proof_bytes: proof.len() as u64,
            verify_seconds,
        })
    }

    pub fn export(options: &ExportOptions) -> Result<ExportReport> {
        let ExportOptions { key: path, out } = options;
        let path = if path.is_dir() { path.join(COMPACT_KEY) } else { path.clone() };
        let key_bytes = read_file(&path)?;
        let key = CompactKey::from_bytes(&key_bytes)?;
        let source = key.solidity();
        fs::create_dir_all(out).map_err(|error| Error::file("create", out, error))?;
        let write = |name: &str, content: &str| {
            let path = out.join(name);
            fs::write(&path, content).map_err(|error| Error::file("write", Path::new(&path), error))
        };
        write(CONTRACT, &source)?;
        write(SETTINGS, SETTINGS_TEXT)?;
        let report = ExportReport {
            out: out.clone(),
            key: to_hex(&key.id()),
            ceremony: to_hex(&key.ceremony()),
            proof_bytes: key.length(),
            file: CONTRACT.into(),
            sha256: sha256_hex(source.as_bytes()),
            compiler: COMPILER.into(),
            settings: SETTINGS.into(),
        };
        let manifest = serde_json::to_string_pretty(&report).expect("a report serialises");
        write(MANIFEST, &format!("{manifest}\n"))?;
        Ok(report)
    }
}

#[cfg(all(test, not(feature = "compact")))]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_it_says_how_to_build_with_it() {
        let options = Options { dir: "day".into(), params: "params".into(), jobs_dir: None, ignore_memory: false };
        let error = run(&options, Ui::QUIET).expect_err("it is not built in");
        assert!(error.to_string().contains("feature `compact`"), "{error}");
        assert!(error.advice().expect("it has advice").contains("--features compact"));
    }
}

#[cfg(all(test, feature = "compact"))]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn options(params: &std::path::Path, dir: &std::path::Path) -> Options {
        Options { dir: dir.to_owned(), params: params.to_owned(), jobs_dir: None, ignore_memory: true }
    }

    /// The files are looked for before anything else, and what to do is said.
    #[test]
    fn missing_and_short_parameters_are_named_before_anything_is_read() {
        let params = tempfile::tempdir().expect("a temporary directory");
        let none = run(&options(params.path(), "nowhere".as_ref()), Ui::QUIET).expect_err("there are none");
        assert!(none.to_string().contains("kzg_bn254_22.srs: expected KZG parameters"), "{none}");
        assert!(none.advice().expect("it has advice").contains("ceremonies"));
        fs::write(params.path().join("kzg_bn254_22.srs"), [0; 9]).expect("it can be written");
        let short = run(&options(params.path(), "nowhere".as_ref()), Ui::QUIET).expect_err("it is short");
        assert!(
            short.to_string().contains("expected 536871172 bytes") && short.to_string().contains("got 9"),
            "{short}"
        );
    }

    /// A file of the right length, of which not a point is read, so that the next thing that is missing is named.
    #[test]
    fn without_a_last_proof_it_says_how_to_make_one() {
        let params = tempfile::tempdir().expect("a temporary directory");
        let path = params.path().join("kzg_bn254_22.srs");
        fs::write(&path, 22_u32.to_le_bytes()).expect("it can be written");
        let file = File::options().write(true).open(&path).expect("it is there");
        file.set_len(4 + (128 << 22) + 256).expect("a file may have a hole");
        let nowhere = params.path().join("nowhere");
        let error = run(&options(params.path(), &nowhere), Ui::QUIET).expect_err("there is no such directory");
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    #[test]
    fn a_proof_alone_needs_a_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("compact.proof");
        fs::write(&path, [0; 9]).expect("it can be written");
        let mut options = VerifyOptions { path: path.clone(), key: None, key_id: None, genesis_root: None };
        let error = verify(&options, Ui::QUIET).expect_err("there is no key");
        assert!(error.advice().expect("it has advice").contains("name the key's file"), "{error}");
        options.key = Some(path);
        let error = verify(&options, Ui::QUIET).expect_err("it is no key");
        assert!(error.to_string().contains("`HFC1`"), "{error}");
        let export = ExportOptions { key: options.path, out: directory.path().join("out") };
        assert!(super::export(&export).is_err());
    }

    fn vector(name: &str) -> PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/test/vectors/compact").join(name)
    }

    /// The committed key is of parameters whose number everybody knows, and its proof is over segments of another key perhaps; but it is a proof.
    #[test]
    fn a_key_is_pinned_and_its_contract_is_written() {
        let (key, out) = (vector("weak.key"), tempfile::tempdir().expect("a temporary directory"));
        let written = export(&ExportOptions { key: key.clone(), out: out.path().to_owned() }).expect("it is a key");
        let contract = fs::read(out.path().join(&written.file)).expect("it is written");
        assert!(contract == fs::read(vector("Halo2Verifier.sol")).expect("it is committed"));
        assert!(out.path().join(&written.settings).is_file());
        assert!(written.text().contains(&written.ceremony));
        let path = vector("weak.proof");
        assert_eq!(written.proof_bytes as u64, fs::metadata(&path).expect("it is committed").len());
        let pinned = |id: &str| {
            let options = VerifyOptions {
                path: path.clone(),
                key: Some(key.clone()),
                key_id: Some(id.into()),
                genesis_root: None,
            };
            verify(&options, Ui::QUIET).map(|report| report.text()).map_err(|error| error.to_string())
        };
        match pinned(&written.key) {
            Ok(text) => assert!(text.contains(&written.ceremony) && text.contains("as you gave it"), "{text}"),
            Err(error) => assert!(error.starts_with("segment key"), "{error}"),
        }
        let other = pinned(&"0".repeat(64)).expect_err("it is another key");
        assert!(other.starts_with("key"), "{other}");
    }
}
