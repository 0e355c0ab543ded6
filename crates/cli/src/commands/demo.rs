//! `holdfast demo`: everything on the bundled sample, told as it happens.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use holdfast_protocol::{Batch, Command, Side};
use serde::Serialize;

use super::{audit, prove, replay, verify};
use crate::{
    dir::{Dir, batch_name},
    error::{Error, Result, unexpected},
    flow::KEY_SEED_DEFAULT,
    ui::{self, Ui, bytes, count, decimal, dim, good, grouped, line, seconds, short_hex, shown, strong},
};

/// Small enough that the first proof comes soon, large enough that there is a chain of batches.
const BATCH_COMMANDS: usize = 2_048;
const ACCOUNTS: u32 = 64;

#[derive(Debug, Clone)]
pub struct Options {
    /// Where the results are kept; a temporary directory by default.
    pub out: Option<PathBuf>,
    /// Commands at most.
    pub limit: Option<u64>,
    /// Tell what happens.
    pub talk: bool,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    pub seconds: f64,
    pub replay: replay::Report,
    pub prove: prove::Report,
    pub verify: verify::Report,
    pub audit: audit::Report,
    pub tampered: Tampered,
}

/// A byte that was changed in a copy, and how that was noticed.
#[derive(Debug, Serialize)]
pub struct Tampered {
    pub file: String,
    pub byte: usize,
    pub command: usize,
    pub before: String,
    pub after: String,
    /// What verification says to it, and what an audit does.
    pub error: String,
    pub audit_error: String,
}

pub fn run(options: &Options, ui: Ui) -> Result<Report> {
    let started = Instant::now();
    let temporary = tempfile::Builder::new().prefix("holdfast-demo-").tempdir();
    let temporary = temporary.map_err(|error| Error::file("make a directory in", &std::env::temp_dir(), error))?;
    let path = options.out.clone().unwrap_or_else(|| temporary.path().join("demo"));
    if path.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let error = unexpected(path.display(), "a new or empty directory", "one with files in it");
        return Err(error.advise("choose another --out, or look at it with `holdfast inspect`"));
    }
    let say = |text: String| {
        if options.talk {
            line(&text);
        }
    };
    let stage = |number: u32, title: &str, what: &str| {
        say(format!("\n{} {}  {}", strong(&format!("{number}.")), strong(title), dim(what)))
    };
    let fact = |label: &str, text: String| say(format!("   {} {text}", dim(&format!("{label:<9}"))));

    say(format!("{} {}", strong("Holdfast"), dim("an exchange that can order and delay, but not cheat")));

    stage(1, "Replay", "6.2 seconds of Binance's BTCUSDT perpetual, 8 August 2024, through our matching engine");
    let replay = replay::run(
        &replay::Options {
            source: replay::Source::Sample,
            out: path.clone(),
            limit: options.limit,
            batch_commands: BATCH_COMMANDS,
            accounts: ACCOUNTS,
            key_seed: KEY_SEED_DEFAULT.into(),
        },
        ui,
    )?;
    let dir = Dir::open(&path)?;
    let terms = &dir.genesis.markets[0];
    fact(
        "orders",
        format!(
            "{} commands of {ACCOUNTS} accounts, {} refused by the rules",
            grouped(replay.commands),
            grouped(replay.rejected)
        ),
    );
    fact("fills", format!("{}, worth {} dollars", grouped(replay.fills), grouped(replay.volume as u64)));
    fact("book", format!("best bid / ask {}", replay.best_prices(terms.tick_decimals)));
    fact("speed", format!("{} commands/s with all rules, on one core", grouped(replay.commands_per_second as u64)));
    fact(
        "signed",
        format!(
            "every command, by its account's session key; checked in {:.0} µs each {}",
            replay.verify_seconds * 1e6 / replay.verified as f64,
            dim("(the seed of these keys is public: they are for replays only)")
        ),
    );
    fact("genesis", short_hex(&replay.genesis_root));
    for record in dir.batches()? {
        let fills = format!(
            "{} commands, {} fills, {} signatures",
            grouped(record.commands),
            grouped(record.fills),
            grouped(record.seals)
        );
        fact(&format!("batch {}", record.batch), format!("{} {}", short_hex(&record.root), dim(&fills)));
    }
    fact("published", format!("{}: all that anyone needs to check it", bytes(replay.published_bytes)));

    stage(
        2,
        "Prove",
        "every match, margin check, fee, rejection and signature, by STARK at 100 bits of proven security",
    );
    let prove = prove::run(
        &prove::Options { dir: path.clone(), segment_rows: None, segment_signatures: None, jobs: 1, share: None },
        ui,
    )?;
    fact(
        "proofs",
        format!(
            "{} for {} in {}",
            bytes(prove.proof_bytes),
            count(prove.segments, "segment"),
            seconds(prove.prove_seconds)
        ),
    );
    fact(
        "speed",
        format!(
            "{:.0} commands/s proven {}",
            prove.commands_per_second,
            dim("(larger batches prove faster: each segment has a fixed cost)")
        ),
    );
    fact(
        "work",
        format!(
            "{} cells, {:.0} a command; {} of memory",
            grouped(prove.cells),
            prove.cells_per_command,
            bytes(prove.peak_memory_bytes)
        ),
    );

    stage(3, "Verify", "as an outsider: from the genesis root, the published data and the proofs, executing nothing");
    let verify = verify::run(&verify::Options { dir: path.clone(), genesis_root: Some(dir.engine()?.root()) }, ui)?;
    fact("chain", format!("{} → {}", short_hex(&verify.old_root), short_hex(&verify.new_root)));
    fact(
        "checked",
        format!(
            "{} over {} in {}",
            count(verify.segments, "proof"),
            count(verify.commands, "command"),
            seconds(verify.verify_seconds)
        ),
    );
    fact("verdict", format!("{}", good("valid")));

    stage(4, "Audit", "as a watcher: executes the published data again and checks its signatures, needs no proofs");
    let audit = audit::run(&audit::Options { dir: path.clone() }, ui)?;
    fact(
        "checked",
        format!(
            "{}, {} and {} at {} commands/s",
            count(audit.commands, "outcome"),
            count(audit.seals, "signature"),
            count(audit.batches.into(), "root"),
            grouped(audit.commands_per_second as u64)
        ),
    );
    fact("verdict", format!("{}", good("in order")));

    stage(5, "Tamper", "one byte of one command, in a copy: what if the operator rewrote history?");
    let tampered = tamper(&dir, &temporary.path().join("tampered"), ui)?;
    fact("byte", format!("{} of {}", grouped(tampered.byte as u64), tampered.file));
    fact("before", tampered.before.clone());
    fact("after", tampered.after.clone());
    fact("verify", format!("{}", ui::bad(&tampered.error)));
    fact("audit", format!("{}", ui::bad(&tampered.audit_error)));
    fact("verdict", format!("{}, as it must be", good("refused")));

    let took = started.elapsed().as_secs_f64();
    say(format!("\n{} in {}.", good("Done"), seconds(took)));
    if options.out.is_some() {
        say(format!("Look around: holdfast inspect {}", path.display()));
    } else {
        say("To keep the files and look around: holdfast demo --out demo && holdfast inspect demo".into());
    }
    Ok(Report { ok: true, seconds: took, replay, prove, verify, audit, tampered })
}

/// Changes a byte of a batch in a copy of the directory, so that it is still a batch, and returns what verification says to it.
fn tamper(dir: &Dir, copy: &Path, ui: Ui) -> Result<Tampered> {
    for name in dir.names()? {
        let (from, to) = (dir.path().join(&name), copy.join(&name));
        let made = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&from, &to).map(|_| ()));
        made.map_err(|error| Error::file("copy", &from, error))?;
    }
    let last = dir.batches()?.len() as u32;
    let file = batch_name(last.div_ceil(2));
    let path = copy.join(&file);
    let mut published = fs::read(&path).map_err(|error| Error::file("read", &path, error))?;
    let honest = Batch::decode(&published).map_err(|error| unexpected(&file, "published data", error))?;
    let (byte, command, changed) = (published.len() / 2..published.len())
        .find_map(|byte| {
            published[byte] ^= 1;
            let changed = Batch::decode(&published);
            published[byte] ^= 1;
            let changed = changed.ok().filter(|changed| changed.outcomes == honest.outcomes)?;
            let pairs = honest.instructions.iter().zip(&changed.instructions);
            let index = pairs.into_iter().position(|(was, is)| was != is)?;
            let (was, is) = (honest.instructions[index].command, changed.instructions[index].command);
            matches!((was, is), (Command::Place(was), Command::Place(is)) if was.size != is.size || was.price != is.price)
                .then_some((byte, index, is))
        })
        .ok_or_else(|| unexpected(&file, "a place among its commands", "none"))?;
    published[byte] ^= 1;
    fs::write(&path, &published).map_err(|error| Error::file("write", &path, error))?;
    let verified = verify::run(&verify::Options { dir: copy.to_owned(), genesis_root: None }, ui);
    let audited = audit::run(&audit::Options { dir: copy.to_owned() }, ui);
    let (Err(error), Err(audit_error)) = (verified, audited) else {
        return Err(unexpected("verification and audit of a changed batch", "an error", "none: this is a bug"));
    };
    Ok(Tampered {
        file,
        byte,
        command,
        before: describe(dir, &honest.instructions[command].command),
        after: describe(dir, &changed),
        error: error.to_string(),
        audit_error: audit_error.to_string(),
    })
}

fn describe(dir: &Dir, command: &Command) -> String {
    let Command::Place(place) = command else { return format!("{command:?}") };
    let terms = &dir.genesis.markets[place.market.get() as usize];
    let verb = if place.side == Side::Buy { "buys" } else { "sells" };
    let size = decimal(place.size.get().into(), terms.lot_decimals);
    let price = shown(&decimal(place.price.get().into(), terms.tick_decimals));
    format!("account {} {verb} {size} {} at {price}", place.account, terms.symbol)
}
