//! The `holdfast` binary from order flow to verified roots, and everything that may happen to its files on the way.
//!
//! One test: it proves once, and tampers with copies of that.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use holdfast_cli::{
    commands::{audit, verify},
    dir::Dir,
    error::Result,
    ui::Ui,
};
use serde_json::Value;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
const COMMANDS: u64 = 300;
const BATCH_COMMANDS: u64 = 80;
const BATCHES: u64 = COMMANDS.div_ceil(BATCH_COMMANDS);
/// Bytes changed in each file: the first, the last, and some between.
const POSITIONS: usize = 6;
const WAIT_MAX: Duration = Duration::from_secs(120);

fn holdfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    holdfast(arguments).output().expect("the binary runs")
}

/// The one object that a command prints with `--json`.
fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

fn has_fields(report: &Value, fields: &[&str]) {
    for field in fields {
        assert!(report.get(field).is_some(), "{field} is in {report}");
    }
}

fn replay(out: &str, limit: u64) -> Value {
    let (limit, batch) = (limit.to_string(), BATCH_COMMANDS.to_string());
    json(&["replay", SAMPLE, "--out", out, "--limit", &limit, "--batch", &batch, "--accounts", "20"])
}

fn verified(dir: &Path) -> Result<verify::Report> {
    verify::run(&verify::Options { dir: dir.to_owned(), genesis_root: None }, Ui::QUIET)
}

/// Names of all files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = Vec::new();
    for below in ["", "batches", "proofs"] {
        for entry in fs::read_dir(dir.join(below)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                names.push(path.strip_prefix(dir).expect("it is inside").to_owned());
            }
        }
    }
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    for name in files(from) {
        fs::create_dir_all(to.join(&name).parent().expect("a directory")).expect("it can be made");
        fs::copy(from.join(&name), to.join(&name)).expect("it can be copied");
    }
}

fn proofs(dir: &Path) -> usize {
    files(dir).iter().filter(|name| name.extension().is_some_and(|extension| extension == "proof")).count()
}

/// Starts to prove, and waits until there are so many proofs.
fn prove_until(dir: &str, count: usize) -> Child {
    let mut child = holdfast(&["prove", dir]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let started = Instant::now();
    while proofs(Path::new(dir)) < count {
        assert!(started.elapsed() < WAIT_MAX, "{count} proofs within {WAIT_MAX:?}");
        assert!(child.try_wait().expect("it can be asked").is_none(), "it still proves");
        thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn order_flow_becomes_a_verified_chain_that_no_changed_byte_survives() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = temporary.path().join("day");
    let dir = path.to_str().expect("a path in UTF-8");

    // A replay of less, and then of all: the second finds the first's batches.
    let first = replay(dir, 2 * BATCH_COMMANDS);
    assert_eq!(first["batches"], 2);
    let replayed = replay(dir, COMMANDS);
    has_fields(
        &replayed,
        &[
            "commands",
            "accepted",
            "rejected",
            "fills",
            "volume",
            "batches",
            "root",
            "execute_seconds",
            "commands_per_second",
        ],
    );
    assert_eq!(
        [&replayed["commands"], &replayed["batches"], &replayed["batches_found"]],
        [&Value::from(COMMANDS), &Value::from(BATCHES), &Value::from(2)]
    );

    // Without proofs there is nothing to verify, and the error says what to do.
    let unproven = run(&["verify", dir]);
    assert_eq!(unproven.status.code(), Some(1));
    let message = String::from_utf8_lossy(&unproven.stderr).into_owned();
    assert!(message.contains("batch 1") && message.contains("holdfast prove"), "{message}");

    // Killed after the first proof.
    let mut killed = prove_until(dir, 1);
    let second = run(&["prove", dir]);
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && message.contains("another holdfast process"), "{message}");
    killed.kill().expect("it can be killed");
    killed.wait().expect("it ends");
    // A temporary file that a kill in the middle of a write leaves.
    fs::write(path.join("proofs/.000002.000.proof.1.tmp"), "half").expect("it can be written");
    // Interrupted while it works on another: that one is finished.
    #[cfg(unix)]
    {
        let before = proofs(&path);
        let child = prove_until(dir, before);
        thread::sleep(Duration::from_millis(1_000));
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("interrupted") && message.contains("holdfast prove"), "{message}");
        assert!((before + 1..BATCHES as usize).contains(&proofs(&path)), "one more segment is proven, not all");
        assert!(!files(&path).iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "nothing is half written");
    }
    let kept = proofs(&path);
    let other = run(&["prove", dir, "--segment-rows", "1000"]);
    assert_eq!(other.status.code(), Some(1), "proofs of other segments are there");
    let proven = json(&["prove", dir, "--jobs", "2"]);
    has_fields(
        &proven,
        &[
            "commands",
            "segments",
            "prove_seconds",
            "commands_per_second",
            "cells",
            "cells_per_command",
            "peak_memory_bytes",
            "proof_bytes",
        ],
    );
    assert_eq!(proven["segments"].as_u64(), Some(BATCHES - kept as u64), "what was proven stays proven");
    assert_eq!(json(&["prove", dir])["segments"], 0);

    let verdict = json(&["verify", dir]);
    has_fields(&verdict, &["batches", "commands", "old_root", "new_root", "verify_seconds", "ok"]);
    assert_eq!([&verdict["ok"], &verdict["commands"]], [&Value::from(true), &Value::from(COMMANDS)]);
    assert_eq!([&verdict["new_root"], &verdict["old_root"]], [&replayed["root"], &replayed["genesis_root"]]);
    let audited = audit::run(&audit::Options { dir: path.clone() }, Ui::QUIET).expect("it is in order");
    assert_eq!(audited.new_root, verdict["new_root"]);
    inspected(dir);
    pinned(dir, verdict["old_root"].as_str().expect("a root"));

    let changed = temporary.path().join("changed");
    copy(&path, &changed);
    changed_bytes_are_refused(&changed);
    missing_and_foreign_files_are_refused(&changed);
    segments_out_of_place_are_refused(&changed);
    verified(&changed).expect("every change was undone");
}

fn inspected(dir: &str) {
    let overview = json(&["inspect", dir]);
    has_fields(&overview, &["root", "markets", "accounts"]);
    has_fields(&json(&["inspect", dir, "--account", "7"]), &["collateral", "equity", "positions", "orders"]);
    has_fields(&json(&["inspect", dir, "--market", "0"]), &["mark", "bids", "asks"]);
    has_fields(&json(&["inspect", dir, "--batch", "1"]), &["kinds", "rejects", "proofs", "published_bytes"]);
    assert_eq!(run(&["inspect", dir, "--batch", "99"]).status.code(), Some(1));
    assert!(run(&["inspect", dir]).status.success());
}

fn pinned(dir: &str, root: &str) {
    assert_eq!(json(&["verify", dir, "--genesis-root", root])["genesis_pinned"], true);
    let last = if root.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &root[..root.len() - 1]);
    let refused = run(&["verify", dir, "--json", "--genesis-root", &other]);
    assert!(!refused.status.success());
    let report: Value = serde_json::from_slice(&refused.stdout).expect("an error is one JSON object too");
    assert_eq!(report["ok"], false);
    assert!(report["error"].as_str().is_some_and(|error| error.contains("genesis root")), "{report}");
}

/// The batch that a file belongs to.
fn batch_of(name: &Path) -> Option<u32> {
    name.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Verification fails, and names the batch of the file that was changed.
fn refused(dir: &Path, name: &Path, what: &str) {
    let error = match verified(dir) {
        Ok(_) => panic!("{}: {what}: accepted", name.display()),
        Err(error) => error.to_string(),
    };
    match batch_of(name) {
        Some(batch) => assert!(error.contains(&format!("batch {batch}")), "{}: {what}: {error}", name.display()),
        None => assert!(error.contains("expected"), "{}: {what}: {error}", name.display()),
    }
}

fn changed_bytes_are_refused(dir: &Path) {
    for name in files(dir) {
        let path = dir.join(&name);
        let honest = fs::read(&path).expect("it can be read");
        for position in 0..POSITIONS {
            let at = (honest.len() - 1) * position / (POSITIONS - 1);
            for change in [1u8, 0x20, 0x80] {
                let mut bytes = honest.clone();
                bytes[at] ^= change;
                fs::write(&path, &bytes).expect("it can be written");
                refused(dir, &name, &format!("byte {at} changed by {change:#x}"));
            }
        }
        for length in [0, honest.len() / 2, honest.len() - 1] {
            fs::write(&path, &honest[..length]).expect("it can be written");
            refused(dir, &name, &format!("cut off at {length}"));
        }
        fs::write(&path, [honest.as_slice(), b"\n"].concat()).expect("it can be written");
        refused(dir, &name, "a line longer");
        fs::write(&path, &honest).expect("it can be written");
    }
}

fn missing_and_foreign_files_are_refused(dir: &Path) {
    for name in files(dir) {
        let (path, away) = (dir.join(&name), dir.with_extension("away"));
        fs::rename(&path, &away).expect("it can be moved");
        refused(dir, &name, "missing");
        fs::rename(&away, &path).expect("it can be moved");
    }
    for name in ["notes.txt", "batches/000001.batch.bak", "proofs/000002.001.proof", "proofs/.000001.json.1.tmp"] {
        fs::write(dir.join(name), "x").expect("it can be written");
        assert!(verified(dir).is_err(), "{name}: a foreign file");
        fs::remove_file(dir.join(name)).expect("it can be removed");
    }
}

/// Files that are right in themselves, in the wrong place.
fn segments_out_of_place_are_refused(dir: &Path) {
    let swap = |one: &str, other: &str| {
        let [one, other] = [one, other].map(|name| dir.join(name));
        let away = dir.with_extension("away");
        fs::rename(&one, &away).expect("it can be moved");
        fs::rename(&other, &one).expect("it can be moved");
        fs::rename(&away, &other).expect("it can be moved");
    };
    // The proofs of two batches, with records that vouch for them.
    let names = ["proofs/000001.000.proof", "proofs/000002.000.proof"];
    let records = Dir::open(dir).expect("it opens");
    swap(names[0], names[1]);
    let honest: Vec<_> =
        (1..=2).map(|batch| fs::read(dir.join(format!("proofs/{batch:06}.json"))).expect("a record")).collect();
    for batch in 1..=2 {
        records.put_proof_record(batch, 1).expect("it can be written");
    }
    let error = verified(dir).expect_err("proofs of other batches").to_string();
    assert!(error.contains("batch 1") && error.contains("old root") && error.contains("expected"), "{error}");
    swap(names[0], names[1]);
    for (batch, record) in (1..=2).zip(honest) {
        fs::write(dir.join(format!("proofs/{batch:06}.json")), record).expect("it can be written");
    }
    swap("batches/000001.batch", "batches/000002.batch");
    assert!(verified(dir).is_err(), "published data of another batch");
    assert!(audit::run(&audit::Options { dir: dir.to_owned() }, Ui::QUIET).is_err(), "published data of another batch");
    swap("batches/000001.batch", "batches/000002.batch");
}

#[test]
fn wrong_calls_and_wrong_inputs_are_explained() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| temporary.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let out = at("out");
    for wrong in [
        &[][..],
        &["replay"],
        &["replay", SAMPLE],
        &["replay", SAMPLE, "--out", &out, "--batch", "0"],
        &["replay", SAMPLE, "--out", &out, "--accounts", "0"],
        &["prove", &out, "--jobs", "0"],
        &["prove", &out, "--segment-rows", "0"],
        &["verify", &out, "--genesis-root", "12"],
        &["inspect", &out, "--account", "1", "--market", "0"],
        &["proof", &out],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let mut sample = fs::read(SAMPLE).expect("the sample");
    sample.truncate(sample.len() / 2);
    fs::write(at("cut.gz"), &sample).expect("it can be written");
    fs::write(at("text"), "no order flow").expect("it can be written");
    fs::write(at("empty"), "").expect("it can be written");
    for (input, says) in [("cut.gz", "truncated"), ("text", "unknown format"), ("empty", "empty"), ("none", "none")] {
        let output = run(&["replay", &at(input), "--out", &out, "--batch", "500"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{input}: {message}");
        assert!(message.contains(says), "{input}: {message}");
        assert!(!message.contains("panicked"), "{input}: {message}");
    }
    // What is good of the file that was cut off is there, in full batches.
    let audited = audit::run(&audit::Options { dir: PathBuf::from(&out) }, Ui::QUIET).expect("full batches");
    assert!(audited.commands > 0 && audited.commands.is_multiple_of(500), "{} commands", audited.commands);
    // Another input does not mix with it.
    let mixed = run(&["replay", SAMPLE, "--out", &out, "--batch", "600"]);
    assert_eq!(mixed.status.code(), Some(1));
    for command in ["verify", "audit", "prove", "inspect"] {
        assert_eq!(run(&[command, &at("none")]).status.code(), Some(1), "{command}");
        assert_eq!(run(&[command, &at("text")]).status.code(), Some(1), "{command}");
        assert!(run(&[command, "--help"]).status.success(), "{command}");
    }
}

#[test]
fn the_demo_proves_and_then_refuses_a_changed_byte() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let out = temporary.path().join("demo");
    let out = out.to_str().expect("a path in UTF-8");
    let report = json(&["demo", "--out", out, "--limit", "200"]);
    assert_eq!([&report["ok"], &report["verify"]["ok"], &report["audit"]["ok"]], [true; 3]);
    let error = report["tampered"]["error"].as_str().expect("an error");
    assert!(error.contains("batch 1, digest of the published data: expected"), "{error}");
    assert_ne!(report["tampered"]["before"], report["tampered"]["after"]);
    assert_eq!(run(&["demo", "--out", out]).status.code(), Some(1), "it does not write over what is there");
}
