//! The `holdfast` binary from order flow to verified roots, and everything that may happen to its files on the way.
//!
//! One test proves, and tampers with copies of that; two forge what is published before anybody proves it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use holdfast_cli::{
    commands::{audit, prove, verify},
    dir::{BatchRecord, Dir},
    error::Result,
    execute::execute,
    keystore::{self, Cost},
    ui::Ui,
};
use holdfast_protocol::{
    AccountId, Batch, CancelAll, Command as Ask, Instruction, KeyIndex, MarketId, Outcome, Register, Seal, Signature,
    Size,
};
use serde_json::Value;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/samples/binance-usdm-btcusdt-sample.jsonl.gz");
/// The signatures that the reference of the crypto crate has made.
const SIGNATURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crypto/tests/vectors/schnorr.json");
const COMMANDS: u64 = 300;
const BATCH_COMMANDS: u64 = 80;
const BATCHES: u64 = COMMANDS.div_ceil(BATCH_COMMANDS);
/// Bytes changed in each file: the first, the last, and some between.
const POSITIONS: usize = 6;
/// Kinds of commands.
const DEPOSIT: u32 = 1;
const PLACE: u32 = 3;
const REGISTER: u32 = 11;
const MUTATIONS: u32 = 2_000;
const WAIT_MAX: Duration = Duration::from_secs(120);

fn holdfast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).env_remove("HOLDFAST_PASSPHRASE").stdin(Stdio::null());
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
            "signed",
            "sign_seconds",
            "verified",
            "verify_seconds",
            "seals",
            "seal_bytes",
            "published_bytes",
        ],
    );
    assert_eq!(
        [&replayed["commands"], &replayed["batches"], &replayed["batches_found"]],
        [&Value::from(COMMANDS), &Value::from(BATCHES), &Value::from(2)]
    );
    assert_eq!([&replayed["signed"], &replayed["verified"]], [&Value::from(COMMANDS); 2], "each is signed and checked");

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
    for option in ["--segment-rows", "--segment-signatures"] {
        let other = run(&["prove", dir, option, "1000"]);
        assert_eq!(other.status.code(), Some(1), "proofs of other segments are there");
    }
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
    assert_eq!(replayed["seals"], audited.seals);
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
    let account = json(&["inspect", dir, "--account", "7"]);
    has_fields(&account, &["collateral", "equity", "positions", "orders", "owner", "keys"]);
    let key = &account["keys"][0];
    has_fields(key, &["key", "public_key", "withdraws", "expiry_ms", "sequence", "generation", "head"]);
    assert_eq!([&key["key"], &key["generation"]], [&Value::from(0), &Value::from(1)]);
    assert_eq!(account["owner"].as_str().map(str::len), Some(42));
    let closed = json(&["inspect", dir, "--account", "999"]);
    assert_eq!([&closed["owner"], &closed["keys"]], [&Value::Null, &Value::from(Vec::<u32>::new())]);
    has_fields(&json(&["inspect", dir, "--market", "0"]), &["mark", "bids", "asks"]);
    let batch = json(&["inspect", dir, "--batch", "1"]);
    has_fields(&batch, &["kinds", "rejects", "proofs", "published_bytes", "seals"]);
    let seals = batch["seals"].as_array().expect("a list");
    has_fields(&seals[0], &["after", "account", "key", "covers", "signature"]);
    let covered: u64 = seals.iter().filter_map(|seal| seal["covers"].as_u64()).sum();
    assert_eq!(covered, BATCH_COMMANDS, "every command is covered by one seal");
    for what in ["--account", "--batch"] {
        assert!(run(&["inspect", dir, what, "1"]).status.success());
    }
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

/// A replay of one batch without rejected commands, in which a few accounts ask for something.
struct Forgery {
    _temporary: tempfile::TempDir,
    dir: Dir,
    record: BatchRecord,
    honest: Batch,
}

impl Forgery {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let path = temporary.path().join("day");
        let out = path.to_str().expect("a path in UTF-8");
        json(&["replay", SAMPLE, "--out", out, "--limit", "90", "--batch", "100", "--accounts", "8"]);
        let dir = Dir::open(&path).expect("it opens");
        let record = dir.batches().expect("a batch").swap_remove(0);
        let honest = dir.batch(&record).expect("it is in order");
        assert!(honest.seals.len() > 4 && honest.outcomes.iter().all(|outcome| *outcome == Outcome::Accepted));
        Self { _temporary: temporary, dir, record, honest }
    }

    /// Writes a batch, with a record that vouches for it.
    fn publish(&self, batch: &Batch) {
        for name in ["batches/000001.batch", "batches/000001.json"] {
            fs::remove_file(self.dir.path().join(name)).expect("it is there");
        }
        let (commands, seals) = (batch.instructions.len() as u64, batch.seals.len() as u64);
        let record = BatchRecord { commands, seals, accepted: commands, ..self.record.clone() };
        self.dir.put_batch(batch, record).expect("it can be written");
    }

    fn audited(&self) -> Result<audit::Report> {
        audit::run(&audit::Options { dir: self.dir.path().to_owned() }, Ui::QUIET)
    }

    /// The batch with this change is refused by whoever executes it, in these words.
    #[track_caller]
    fn refused(&self, change: impl FnOnce(&mut Batch), says: &str) {
        let mut batch = self.honest.clone();
        change(&mut batch);
        assert_ne!(batch, self.honest);
        self.publish(&batch);
        let audited = self.audited().map(|_| ());
        let options = prove::Options {
            dir: self.dir.path().to_owned(),
            segment_rows: None,
            segment_signatures: None,
            jobs: 1,
            share: None,
        };
        let proven = prove::run(&options, Ui::QUIET).map(|_| ());
        for (by, result) in [("audit", audited), ("prove", proven)] {
            assert_eq!(result.expect_err(by).to_string(), says, "{by}");
        }
        self.publish(&self.honest);
    }

    fn session(seal: &Seal) -> String {
        format!("account {}, session key {}", seal.account, seal.key)
    }

    /// What is said of a seal that does not cover what its session has asked for.
    fn wrong_signature(&self, seal: usize) -> String {
        let session = Self::session(&self.honest.seals[seal]);
        format!("batch 1, seal {seal}: {session}: the signature is not that of the session's head")
    }

    /// The seal that covers an instruction.
    fn seal_of(&self, instruction: usize) -> usize {
        let session = self.honest.instructions[instruction].session();
        let seal = self.honest.seals.iter().position(|seal| (seal.account, seal.key) == session);
        seal.expect("every session has a seal")
    }

    /// The n-th instruction of a kind.
    fn nth(&self, kind: u32, n: usize) -> usize {
        let mut found = self.honest.instructions.iter().enumerate().filter(|(_, found)| found.command.kind() == kind);
        found.nth(n).expect("as many of this kind").0
    }
}

fn key(index: u32) -> KeyIndex {
    KeyIndex::new(index).expect("a key")
}

#[test]
fn forged_seals_are_refused() {
    let forgery = Forgery::new();
    let honest = &forgery.honest;
    let last = honest.seals.len() - 1;
    for seal in [0, last] {
        // Bytes of the scalar: the signature is still one, of something.
        for byte in [28, 40, 54] {
            let flip = |batch: &mut Batch| {
                let mut bytes = batch.seals[seal].signature.to_bytes();
                bytes[byte] ^= 1;
                batch.seals[seal].signature = Signature::from_bytes(&bytes).expect("a point and a scalar");
            };
            forgery.refused(flip, &forgery.wrong_signature(seal));
        }
        let remove = |batch: &mut Batch| {
            batch.seals.remove(seal);
        };
        forgery.refused(remove, "batch 1: expected every session sealed at its end, got 1 unsealed");
    }
    let none = format!("batch 1: expected every session sealed at its end, got {} unsealed", honest.seals.len());
    forgery.refused(|batch| batch.seals.clear(), &none);

    let of_another = |batch: &mut Batch| batch.seals[2].signature = batch.seals[3].signature;
    forgery.refused(of_another, &forgery.wrong_signature(2));
    let session = |seal: usize| Forgery::session(&honest.seals[seal]);
    let twice = |batch: &mut Batch| batch.seals.insert(2, batch.seals[1]);
    forgery.refused(twice, &format!("batch 1, seal 2: {}: there is nothing to seal", session(1)));
    let of_no_key = |batch: &mut Batch| batch.seals[1].key = key(2);
    let nobody = Forgery::session(&Seal { key: key(2), ..honest.seals[1] });
    forgery.refused(of_no_key, &format!("batch 1, seal 1: {nobody}: no such key is registered"));
    let before_all = |batch: &mut Batch| batch.seals[0].after = 0;
    forgery.refused(before_all, &format!("batch 1, seal 0: {}: there is nothing to seal", session(0)));
    // The operator's, before its last instruction.
    let operator = forgery.seal_of(0);
    let too_early = |batch: &mut Batch| {
        let mut seal = batch.seals.remove(operator);
        seal.after = 1;
        batch.seals.insert(0, seal);
    };
    forgery.refused(too_early, &forgery.wrong_signature(operator).replace(&format!("seal {operator}"), "seal 0"));
    forgery.audited().expect("every change was undone");
}

#[test]
fn forged_instructions_are_refused() {
    let forgery = Forgery::new();
    let honest = &forgery.honest;
    let count = honest.instructions.len();
    let place = forgery.nth(PLACE, 0);
    let larger = |batch: &mut Batch| {
        let Ask::Place(place) = &mut batch.instructions[place].command else { panic!("it is one") };
        place.size = Size::new(place.size.get() + 1).expect("a size");
    };
    forgery.refused(larger, &forgery.wrong_signature(forgery.seal_of(place)));
    let without_last = |batch: &mut Batch| {
        batch.instructions.pop();
        batch.outcomes.pop();
        batch.seals.iter_mut().for_each(|seal| seal.after -= 1);
    };
    forgery.refused(without_last, &forgery.wrong_signature(forgery.seal_of(count - 1)));
    // Two that do not depend on each other: the next account is opened after it.
    let deposit = forgery.nth(DEPOSIT, 0);
    assert!(matches!(honest.instructions[deposit + 1].command, Ask::Open(_)));
    let swapped = |batch: &mut Batch| batch.instructions.swap(deposit, deposit + 1);
    forgery.refused(swapped, &forgery.wrong_signature(forgery.seal_of(deposit)));

    // The operator asks in the name of somebody else.
    let cancel_all = |account, key| {
        let market = MarketId::new(0).expect("a market");
        Instruction { key, command: Ask::CancelAll(CancelAll { account, market }) }
    };
    let invent = |instruction: Instruction| {
        move |batch: &mut Batch| {
            batch.instructions.push(instruction);
            batch.outcomes.push(Outcome::Accepted);
            batch.seals.iter_mut().for_each(|seal| seal.after += 1);
        }
    };
    let last = honest.seals.len() - 1;
    let Seal { account, key: used, .. } = honest.seals[last];
    forgery.refused(invent(cancel_all(account, used)), &forgery.wrong_signature(last));
    let asks = |account: AccountId| honest.seals.iter().any(|seal| seal.account == account);
    let mut traders = honest.instructions.iter().filter_map(|instruction| match &instruction.command {
        Ask::Register(register) => Some(register.account),
        _ => None,
    });
    let silent = traders.find(|account| !asks(*account)).expect("somebody asks for nothing");
    let unsealed = "batch 1: expected every session sealed at its end, got 1 unsealed";
    forgery.refused(invent(cancel_all(silent, key(0))), unsealed);
    let no_key = format!("batch 1, instruction {count}: account {silent}, session key 1: no such key is registered");
    forgery.refused(invent(cancel_all(silent, key(1))), &no_key);

    // A key is replaced, so that nobody need have signed what it has asked for.
    let Ask::Register(register) = honest.instructions[forgery.nth(REGISTER, 0)].command else { panic!("it is one") };
    let replace = Instruction { key: key(0), command: Ask::Register(Register { account, replaces: true, ..register }) };
    let says = format!(
        "batch 1, instruction {count}: {}: it is replaced or revoked before a seal covers what it has asked for",
        Forgery::session(&honest.seals[last])
    );
    forgery.refused(invent(replace), &says);
    forgery.audited().expect("every change was undone");
}

/// A splitmix64 generator: the seed is the test's, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) % bound as u64) as usize
    }
}

/// Changes something about who asks for what, and in which order. `None` if the bytes are no batch any more.
fn mutate(batch: &Batch, random: &mut Random) -> Option<Batch> {
    let mut changed = batch.clone();
    let (instructions, seals) = (&mut changed.instructions, &mut changed.seals);
    let [one, other] = [0, 1].map(|_| random.below(instructions.len()));
    let [seal, place] = [0, 1].map(|_| random.below(seals.len()));
    match random.below(8) {
        0 => instructions.swap(one, other),
        1 => instructions.swap(one, one.saturating_sub(1)),
        2 => instructions[one] = instructions[other],
        3 => {
            let moved = instructions.remove(one);
            instructions.insert(other.min(instructions.len()), moved);
        }
        4 => {
            let moved = Seal { after: one as u32, ..seals.remove(seal) };
            seals.insert(seals.partition_point(|seal| seal.after <= moved.after), moved);
        }
        5 => seals[seal] = seals[place],
        6 => {
            seals.remove(seal);
        }
        _ => {
            let mut bytes = batch.encode();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            return Batch::decode(&bytes).ok().filter(|batch| batch.header.number == 1);
        }
    }
    Some(changed)
}

/// The operator may choose the order of what different sessions ask for, and nothing else.
#[test]
fn what_is_accepted_is_what_each_session_has_signed() {
    let forgery = Forgery::new();
    let asked = |batch: &Batch| {
        let mut asked: BTreeMap<(AccountId, KeyIndex), Vec<Instruction>> = BTreeMap::new();
        for instruction in &batch.instructions {
            asked.entry(instruction.session()).or_default().push(*instruction);
        }
        asked
    };
    let engine = forgery.dir.engine().expect("a valid genesis");
    execute(&mut engine.clone(), &forgery.honest, |_| {}).expect("it is in order");
    let honest = asked(&forgery.honest);
    let seed = 1;
    let mut random = Random(seed);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..MUTATIONS {
        let Some(batch) = mutate(&forgery.honest, &mut random) else { continue };
        match execute(&mut engine.clone(), &batch, |_| {}) {
            Ok(()) => {
                assert_eq!(asked(&batch), honest, "seed {seed}");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted > MUTATIONS / 50 && refused > MUTATIONS / 2,
        "seed {seed}: {accepted} accepted, {refused} refused"
    );
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
        &["prove", &out, "--segment-signatures", "0"],
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
    let report = json(&["demo", "--out", out, "--limit", "300"]);
    assert_eq!([&report["ok"], &report["verify"]["ok"], &report["audit"]["ok"]], [true; 3]);
    let error = report["tampered"]["error"].as_str().expect("an error");
    assert!(error.contains("batch 1, digest of the published data: expected"), "{error}");
    let error = report["tampered"]["audit_error"].as_str().expect("an error");
    assert!(error.contains("the signature is not that of the session's head"), "{error}");
    assert_ne!(report["tampered"]["before"], report["tampered"]["after"]);
    assert_eq!(run(&["demo", "--out", out]).status.code(), Some(1), "it does not write over what is there");
}

/// Fails, and says this.
#[track_caller]
fn fails(arguments: &[&str], says: &str) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(says) && !message.contains("panicked"), "{message}");
}

#[test]
fn key_files_show_and_sign_what_the_vectors_say() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| temporary.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let (file, passphrase) = (at("key.json"), at("passphrase"));
    // With the end of a line, which is not part of it.
    fs::write(&passphrase, "a passphrase\n").expect("it can be written");
    let vectors: Value = serde_json::from_slice(&fs::read(SIGNATURES).expect("vectors")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    for vector in vectors["signatures"].as_array().expect("a list") {
        let [seed, public_key, head, signature] =
            ["seed", "public_key", "message", "signature"].map(|field| text(&vector[field]));
        let digits = |at: usize| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).expect("hexadecimal");
        let cost = Cost { n: 2, r: 1, p: 1 };
        let bytes = keystore::seal(&std::array::from_fn(digits), b"a passphrase", cost).expect("a key file");
        fs::write(&file, bytes).expect("it can be written");
        let with = ["--passphrase-file", &passphrase];
        assert_eq!(json(&[&["key", "show", &file], &with[..]].concat())["public_key"], *public_key);
        let signed = json(&[&["key", "sign", &file, &head], &with[..]].concat());
        assert_eq!([&signed["signature"], &signed["head"]], [&signature, &head]);
        let printed = run(&[&["key", "sign", &file, &head], &with[..]].concat());
        assert_eq!(String::from_utf8_lossy(&printed.stdout), format!("{signature}\n"));
        assert_eq!(json(&["key", "verify", &public_key, &head, &signature])["ok"], true);
    }
    for vector in vectors["forged"].as_array().expect("a list") {
        let [public_key, head, signature] = ["public_key", "message", "signature"].map(|field| text(&vector[field]));
        fails(&["key", "verify", &public_key, &head, &signature], "signature: expected one of");
    }
}

#[test]
fn new_key_is_its_owners_alone_and_never_over_another() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| temporary.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let file = at("key.json");
    let with_variable = |arguments: &[&str], passphrase: &str| {
        let mut command = holdfast(arguments);
        command.env("HOLDFAST_PASSPHRASE", passphrase).output().expect("the binary runs")
    };
    let made = with_variable(&["key", "new", "--out", &file, "--json"], "first");
    let made: Value = serde_json::from_slice(&made.stdout).expect("one JSON object on standard output");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    let shown = with_variable(&["key", "show", &file], "first");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim_end(), made["public_key"]);
    let refused = with_variable(&["key", "show", &file], "second");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(message.contains("key.json: expected the passphrase that it was made with"), "{message}");

    let before = fs::read(&file).expect("it is there");
    let again = with_variable(&["key", "new", "--out", &file], "first");
    let message = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1));
    assert!(message.contains("expected no such file") && message.contains("never written over"), "{message}");
    assert_eq!(fs::read(&file).expect("it is there"), before);

    // Nobody is there to ask, or what is there is no passphrase.
    fails(&["key", "show", &file], "expected a terminal to ask for it");
    fs::write(at("empty"), "\n").expect("it can be written");
    fs::write(at("long"), "x".repeat(1_025)).expect("it can be written");
    for (name, says) in [("empty", "1 to 1024 bytes, got 0"), ("long", "1 to 1024 bytes, got 1025"), ("none", "none")] {
        fails(&["key", "new", "--out", &at("other"), "--passphrase-file", &at(name)], says);
    }
    assert!(!Path::new(&at("other")).exists());
    fs::write(&file, &before[..before.len() / 2]).expect("it can be written");
    fs::write(at("passphrase"), "first").expect("it can be written");
    fails(
        &["key", "sign", &file, &"0".repeat(64), "--passphrase-file", &at("passphrase")],
        "expected a key file in JSON",
    );
    for wrong in [
        &["key"][..],
        &["key", "sign", &file],
        &["key", "sign", &file, "12"],
        &["key", "sign", &file, &"F".repeat(64)],
        &["key", "verify", &"0".repeat(56), &"0".repeat(64), &"0".repeat(111)],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
