//! The project's own chores: what CI runs, tidiness, benchmarks, long tests.

mod tidy;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

const HELP: &str = "\
usage: cargo xtask <task> [arguments]

  ci             everything that CI checks: format, lints, tidiness, tests
  test           all tests
  vectors        checks the golden vectors of signatures against the independent implementation in Python
  contracts      what CI checks of the contracts: that the artifacts are what the sources compile to, format, tests, the
                 verifier on a node that is started for it (needs Node)
  tidy           what no other tool checks: layering of the crates, forbidden words, sizes of files
  bench [what]   benchmarks, built for this processor: engine, authority, root, books, rebuild, prove, aggregate (all with defaults if none is named)
                 cargo xtask bench engine --binance capture.jsonl.gz
                 cargo xtask bench prove --input bitstamp.log.xz --batch 16384 --accounts 100
  recursion      proves a small chain down to the last proof, and compares the bundled key with the source (some minutes);
                 `recursion bless` writes the key, the sample proof and the recorded venue's proof anew
  compact        the feature `compact`: lints, and its tests, with real proofs over a first proof of few queries and with parameters of the
                 tests' own (9 GiB, half an hour of processor time); `compact bless` writes the contracts' proof, key and generated source
                 anew (then npm run build in contracts/), `compact full` takes the first proof of 100 bits too (20 GiB, some hours)
  long [million] long random tests of the engine against the reference model: that many million commands (10 by default)
  deny           licences and sources of the dependencies (needs cargo-deny)
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match task.as_str() {
        "ci" => ci(),
        "test" => test(),
        "tidy" => tidy::check(),
        "vectors" => vectors(),
        "contracts" => contracts(),
        "bench" => bench(&rest),
        "recursion" => recursion(&rest),
        "compact" => compact(&rest),
        "long" => long(&rest),
        "deny" => cargo(&["deny", "check"], &[]),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown task `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    tidy::check()?;
    vectors()?;
    contracts()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])?;
    test()
}

fn test() -> Result<(), String> {
    cargo(&["nextest", "run", "--locked"], &[])
}

/// Recomputes the signatures' vectors by plain Python integers, and compares.
fn vectors() -> Result<(), String> {
    run("python3", &["crates/crypto/tests/schnorr_reference.py", "--check"], &[])
}

/// Installs what the contracts are built with, if it is not there, and checks them.
fn contracts() -> Result<(), String> {
    const DIR: &str = "contracts";
    if !Path::new(DIR).join("node_modules/solc").exists() {
        run("npm", &["ci", "--prefix", DIR, "--no-audit", "--no-fund"], &[])?;
    }
    // npm has the Ethereum node for Linux alone.
    let scripts = if cfg!(target_os = "linux") {
        &["check", "fmt-check", "test", "anvil"][..]
    } else {
        &["check", "fmt-check", "test"]
    };
    for script in scripts {
        run("npm", &["run", "--prefix", DIR, "--silent", script], &[])?;
    }
    Ok(())
}

fn bench(rest: &[String]) -> Result<(), String> {
    let native = [("RUSTFLAGS", "-C target-cpu=native")];
    let base = ["run", "--release", "--locked", "--quiet", "--package", "holdfast-bench", "--"];
    if !rest.is_empty() {
        let arguments: Vec<&str> = base.into_iter().chain(rest.iter().map(String::as_str)).collect();
        return cargo(&arguments, &native);
    }
    for what in ["engine", "authority", "root", "books", "rebuild", "prove", "aggregate"] {
        let arguments: Vec<&str> = base.into_iter().chain([what]).collect();
        cargo(&arguments, &native)?;
    }
    Ok(())
}

fn recursion(rest: &[String]) -> Result<(), String> {
    let bless = match rest {
        [] => false,
        [word] if word == "bless" => true,
        _ => return Err(format!("expected nothing or `bless`, got `{}`", rest.join(" "))),
    };
    let mut environment = vec![("RUSTFLAGS", "-C target-cpu=native")];
    environment.extend(bless.then_some(("HOLDFAST_BLESS", "1")));
    let tests = |package, test| {
        let base = ["test", "--release", "--locked", "--package", package, "--test", test];
        let arguments: Vec<&str> = base.into_iter().chain(["--", "--ignored", "--nocapture"]).collect();
        cargo(&arguments, &environment)
    };
    tests("holdfast-prover", "recursion")?;
    // Its proof is verified with the bundled key, so that it comes after it.
    if bless { tests("holdfast-operator", "recorded") } else { Ok(()) }
}

fn compact(rest: &[String]) -> Result<(), String> {
    // The names of the tests that run at full size begin so.
    const FULL: &str = "at_full_size";
    let (bless, full) = match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (false, false),
        ["bless"] => (true, false),
        ["full"] => (false, true),
        _ => return Err(format!("expected nothing, `bless` or `full`, got `{}`", rest.join(" "))),
    };
    compact_lints()?;
    let mut environment = vec![("RUSTFLAGS", "-C target-cpu=native")];
    environment.extend(bless.then_some(("HOLDFAST_BLESS", "1")));
    let tests = |package: &str, rest: &[&str]| {
        let base = ["test", "--release", "--locked", "--package", package, "--features", "compact"];
        cargo(&base.iter().chain(rest).copied().collect::<Vec<_>>(), &environment)
    };
    let skip: &[&str] = if full { &[] } else { &["--skip", FULL] };
    tests("holdfast-prover", &["--lib"])?;
    tests("holdfast-prover", &[&["--test", "compact", "--", "--include-ignored", "--nocapture"], skip].concat())?;
    tests("holdfast-cli", &["--lib", "compact"])
}

fn compact_lints() -> Result<(), String> {
    let features = ["--locked", "--features", "holdfast-prover/compact,holdfast-cli/compact"];
    let lints = ["clippy", "--all-targets"].into_iter().chain(features).chain(["--", "-D", "warnings"]);
    cargo(&lints.collect::<Vec<_>>(), &[])
}

fn long(rest: &[String]) -> Result<(), String> {
    let million = rest.first().map_or("10", String::as_str);
    let commands =
        million.parse::<u64>().map_err(|_| format!("expected a number of millions, got `{million}`"))? * 1_000_000;
    cargo(
        &["test", "--release", "--locked", "--package", "holdfast-sim", "--test", "differential", "--", "--nocapture"],
        &[("HOLDFAST_DIFFERENTIAL_COMMANDS", &commands.to_string())],
    )
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    run(&cargo, arguments, environment)
}

fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let name = program.rsplit('/').next().unwrap_or(program);
    eprintln!("$ {name} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("{name} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name} {}` failed ({status})", arguments.join(" "))) }
}
