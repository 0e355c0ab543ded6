//! What no other tool checks.

use std::{fs, path::Path};

/// Crates, and the only crates of the project that they may depend on (outside tests).
const LAYERS: &[(&str, &[&str])] = &[
    ("crypto", &[]),
    ("protocol", &["crypto"]),
    ("exchange", &["crypto", "protocol"]),
    ("circuit", &["crypto", "protocol", "exchange"]),
    ("prover", &["crypto", "protocol", "exchange", "circuit"]),
    ("settlement", &["crypto", "protocol"]),
    ("watcher", &["crypto", "protocol", "exchange", "circuit", "settlement"]),
    ("operator", &["crypto", "protocol", "exchange", "circuit", "prover", "settlement"]),
    ("sim", &["crypto", "protocol"]),
    ("cli", &["crypto", "protocol", "exchange", "circuit", "prover", "settlement", "watcher", "operator"]),
    ("bench", &["crypto", "protocol", "exchange", "circuit", "prover", "cli"]),
];

/// Crates whose results must follow from their inputs alone.
const DETERMINISTIC: &[&str] = &["crypto", "protocol", "exchange", "circuit"];
/// What those must not mention outside tests: hash maps, clocks, floats, randomness.
const NONDETERMINISTIC: &[&str] =
    &["HashMap", "HashSet", "Instant", "SystemTime", "f32", "f64", "thread_rng", "rand::"];
/// Marks of unfinished work.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

const LINES_MAX: usize = 1_300;

pub fn check() -> Result<(), String> {
    let mut faults = Vec::new();
    for (name, allowed) in LAYERS {
        layering(name, allowed, &mut faults);
        let root = format!("crates/{name}");
        for file in rust_files(Path::new(&root)) {
            source(name, &file, &mut faults);
        }
    }
    let listed: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    for entry in
        fs::read_dir("crates").map_err(|error| format!("crates/: {error} (run it in the repository's root)"))?.flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !listed.contains(&name.as_str()) {
            faults.push(format!("crates/{name}: not in the list of layers in xtask/src/tidy.rs"));
        }
    }
    if faults.is_empty() {
        println!("tidy: {} crates are in order", LAYERS.len());
        return Ok(());
    }
    Err(format!("{} faults:\n  {}", faults.len(), faults.join("\n  ")))
}

fn layering(name: &str, allowed: &[&str], faults: &mut Vec<String>) {
    let path = format!("crates/{name}/Cargo.toml");
    let Ok(manifest) = fs::read_to_string(&path) else {
        faults.push(format!("{path}: cannot be read"));
        return;
    };
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines() {
        let Some(dependency) = line.strip_prefix("holdfast-") else { continue };
        let dependency = dependency.split(['.', ' ', '=']).next().unwrap_or_default();
        if !allowed.contains(&dependency) {
            faults.push(format!("{path}: {name} must not depend on {dependency} (it may on: {})", allowed.join(", ")));
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        faults.push(format!("{path}: lacks `[lints] workspace = true`"));
    }
}

fn source(name: &str, file: &Path, faults: &mut Vec<String>) {
    let shown = file.display();
    let Ok(text) = fs::read_to_string(file) else {
        faults.push(format!("{shown}: cannot be read"));
        return;
    };
    if text.lines().count() > LINES_MAX {
        faults.push(format!("{shown}: {} lines, at most {LINES_MAX}", text.lines().count()));
    }
    let is_test = shown.to_string().contains("/tests/") || shown.to_string().ends_with("tests.rs");
    let is_example = shown.to_string().contains("/examples/");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (number, line) in code.lines().enumerate() {
        let statement = line.split("//").next().unwrap_or_default();
        for mark in UNFINISHED {
            if line.contains(mark) {
                faults.push(format!("{shown}:{}: unfinished: {mark}", number + 1));
            }
        }
        if DETERMINISTIC.contains(&name) && !is_test && !is_example {
            for word in NONDETERMINISTIC {
                if has_word(statement, word) {
                    faults.push(format!("{shown}:{}: {word} in a deterministic crate", number + 1));
                }
            }
        }
    }
}

/// Whether a text has a word that is not the end of a longer one (as `rand::` is of `Operand::`).
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
