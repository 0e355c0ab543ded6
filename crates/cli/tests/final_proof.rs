//! One proof for all batches: `holdfast aggregate`, `holdfast work` and `holdfast verify --final`.
//!
//! One test aggregates in earnest, over two batches. It takes minutes in a release build, a quarter of an hour in the test profile, and some gigabytes of memory, so it is run by name:
//! `cargo test --release -p holdfast-cli --test final_proof -- --ignored`. What happens to jobs whose processes end, whose files are damaged, or which others work on, is tested where no proof
//! is made (`holdfast_prover::jobs`).

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
/// A last proof under the bundled key.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../circuit/tests/vectors/last.proof");
const WAIT_MAX: Duration = Duration::from_secs(900);
/// A leaf, a first node, a node, the wrap and the last proof.
const JOBS: u64 = 5;

fn holdfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    holdfast(arguments).output().expect("the binary runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

/// Fails, and says all of this.
#[track_caller]
fn fails(arguments: &[&str], says: &[&str]) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    for says in says {
        assert!(message.contains(says), "{arguments:?}: expected {says:?} in {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

fn replay(dir: &str, commands: &str) -> Value {
    json(&["replay", ORDERS, "--out", dir, "--limit", commands, "--batch", "40", "--accounts", "8"])
}

#[test]
fn the_sample_is_verified_and_no_changed_byte_survives() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = temporary.path().join("last.proof");
    let file = path.to_str().expect("a path in UTF-8");
    let honest = fs::read(SAMPLE).expect("the sample");
    let verdict = json(&["verify", "--final", SAMPLE]);
    assert_eq!([&verdict["ok"], &verdict["compared"]], [&Value::from(true), &Value::from(false)]);
    assert_eq!(verdict["final_proof_bytes"].as_u64(), Some(honest.len() as u64));
    let security = &verdict["security"];
    assert!(security["bits"].as_f64().is_some_and(|bits| bits >= 100.0), "{security}");
    assert_eq!(security["layers"].as_array().map(Vec::len), Some(5));
    let text = run(&["verify", "--final", SAMPLE]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for says in ["valid", "security", "pin it with --genesis-root", verdict["new_root"].as_str().expect("a root")] {
        assert!(text.contains(says), "expected {says:?} in {text}");
    }

    let root = verdict["old_root"].as_str().expect("a root");
    assert_eq!(json(&["verify", "--final", SAMPLE, "--genesis-root", root])["genesis_pinned"], true);
    let other = verdict["new_root"].as_str().expect("a root");
    fails(&["verify", "--final", SAMPLE, "--genesis-root", other], &["genesis root: expected", other, root]);

    for position in 0..16 {
        let at = (honest.len() - 1) * position / 15;
        for change in [1_u8, 0x80] {
            let mut bytes = honest.clone();
            bytes[at] ^= change;
            fs::write(&path, bytes).expect("it can be written");
            fails(&["verify", "--final", file], &["the last proof", "does not vouch for"]);
        }
    }
    for length in [0, 1, honest.len() / 2, honest.len() - 1] {
        fs::write(&path, &honest[..length]).expect("it can be written");
        fails(&["verify", "--final", file], &["the last proof: expected"]);
    }
    fs::write(&path, [honest.as_slice(), &[0]].concat()).expect("it can be written");
    fails(&["verify", "--final", file], &["the last proof: expected"]);
}

#[test]
fn what_cannot_be_aggregated_is_explained() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = temporary.path().join("day");
    let dir = path.to_str().expect("a path in UTF-8");
    let none = temporary.path().join("none");
    let none = none.to_str().expect("a path in UTF-8");
    replay(dir, "100");
    for command in ["aggregate", "work"] {
        fails(&[command, dir], &["batches 1 to 3 of 3 batches: expected all proven", "holdfast prove"]);
        fails(&[command, none], &["expected a directory", "holdfast replay"]);
        assert!(run(&[command, "--help"]).status.success());
        assert_eq!(run(&[command]).status.code(), Some(2));
    }
    assert!(!path.join("jobs").exists() && !path.join("final").exists());
    fails(&["verify", "--final", dir], &["expected a file final/last.json, got none", "holdfast aggregate"]);
    fails(&["verify", "--final", none], &["cannot read"]);
    // The proofs of a directory do not stand in for a last proof.
    fs::create_dir(path.join("final")).expect("it can be made");
    fs::write(path.join("final/last.json"), "{}").expect("it can be written");
    fails(&["verify", "--final", dir], &["final/last.json: expected a record in JSON"]);
}

#[test]
#[ignore = "it takes minutes: see above"]
fn a_chain_is_aggregated_through_a_kill_and_verified_against_what_was_published() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = temporary.path().join("day");
    let dir = path.to_str().expect("a path in UTF-8");
    let replayed = replay(dir, "60");
    json(&["prove", dir]);

    // Killed when the first job is done and the second begun.
    let mut child =
        holdfast(&["aggregate", dir]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let entries = |below: &str| fs::read_dir(path.join("jobs").join(below)).map_or(0, Iterator::count);
    let started = Instant::now();
    while entries("results") == 0 || entries("claims") == 0 {
        assert!(started.elapsed() < WAIT_MAX, "a result within {WAIT_MAX:?}");
        assert!(child.try_wait().expect("it can be asked").is_none(), "it still works");
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    fails(&["verify", "--final", dir], &["holdfast aggregate"]);

    let report = json(&["aggregate", dir]);
    for field in ["segments", "layers", "seconds_per_layer", "peak_memory_bytes", "final_proof_bytes"] {
        assert!(report.get(field).is_some(), "{field} is in {report}");
    }
    assert_eq!([&report["segments"], &report["layers"]], [&Value::from(2), &Value::from(JOBS)]);
    let (jobs, found) = (report["jobs"].as_u64().expect("a number"), report["jobs_found"].as_u64().expect("a number"));
    assert!(found >= 1 && jobs >= 1 && jobs + found == JOBS, "{report}");
    for layer in ["leaf", "first", "node", "wrap", "last"] {
        assert!(report["seconds_per_layer"][layer].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
        assert_eq!(report["proofs_per_layer"][layer], 1);
    }
    assert_eq!([&report["new_root"], &report["old_root"]], [&replayed["root"], &replayed["genesis_root"]]);
    assert_eq!(entries("claims"), 0);
    assert_eq!(json(&["aggregate", dir])["jobs"], 0, "what is proven stays proven");
    assert_eq!(json(&["work", dir])["jobs"], 0);

    let verdict = json(&["verify", "--final", dir]);
    assert_eq!([&verdict["ok"], &verdict["compared"]], [true; 2]);
    assert_eq!([&verdict["batch_first"], &verdict["batch_last"], &verdict["batches_after"]], [1, 2, 0]);
    assert_eq!([&verdict["new_root"], &verdict["old_root"]], [&replayed["root"], &replayed["genesis_root"]]);
    assert_eq!(json(&["verify", dir])["ok"], true, "it stands beside the other proofs");
    let file = path.join("final/last.proof");
    assert_eq!(json(&["verify", "--final", file.to_str().expect("a path in UTF-8")])["new_root"], verdict["new_root"]);
    not_of_this_directory(&path, dir);

    // A batch more: the proof is still good for those that it is over.
    replay(dir, "100");
    let verdict = json(&["verify", "--final", dir]);
    assert_eq!([&verdict["batch_last"], &verdict["batches_after"]], [2, 1]);
    fails(&["aggregate", dir], &["batch 3 of 3 batches: expected all proven", "holdfast prove"]);
}

/// A valid proof is refused beside anything that it is not over.
fn not_of_this_directory(path: &Path, dir: &str) {
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>), says: &[&str]| {
        let file = path.join(name);
        let honest = fs::read(&file).expect("it can be read");
        let mut bytes = honest.clone();
        change(&mut bytes);
        fs::write(&file, &bytes).expect("it can be written");
        fails(&["verify", "--final", dir], says);
        fs::write(&file, &honest).expect("it can be written");
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    changed("final/last.proof", &flip, &["the last proof"]);
    changed("final/last.json", &flip, &["final/last.json"]);
    changed("batches/000001.batch", &flip, &["batch 1"]);
    changed("batches/000002.json", &flip, &["batch 2"]);
    changed("genesis.json", &flip, &["genesis"]);
    // A proof of another chain, which is valid, with no record that vouches for it.
    let sample = fs::read(SAMPLE).expect("the sample");
    let replace = |bytes: &mut Vec<u8>| *bytes = sample.clone();
    changed("final/last.proof", &replace, &["final/last.proof against final/last.json", "expected"]);
    // The segments' proofs are not needed any more.
    let away = path.with_extension("away");
    fs::rename(path.join("proofs/000001.000.proof"), &away).expect("it can be moved");
    assert_eq!(json(&["verify", "--final", dir])["ok"], true);
    fails(&["aggregate", dir], &["batch 1", "holdfast prove"]);
    fs::rename(&away, path.join("proofs/000001.000.proof")).expect("it can be moved");
}
