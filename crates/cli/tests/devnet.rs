//! A whole venue, from deposits to claims, on the bundled sample and with real proofs: on the embedded chain and on anvil (where it is started again), in calldata and in blobs.
//!
//! Each takes minutes and some 6 GB of memory, so that they are asked for by name:
//!
//! ```console
//! $ cargo nextest run --release -p holdfast-cli --test devnet --run-ignored all --test-threads 1
//! ```

#[path = "../../settlement/tests/common/anvil.rs"]
mod anvil;

use std::path::Path;

use anvil::Anvil;
use holdfast_cli::{
    commands::devnet::{Data, Options, Report, run},
    l1::Signing,
    ui::Ui,
};

const ACCOUNTS: u32 = 4;
/// Of the sample, enough to trade: its snapshot is some 2,000 orders.
const COMMANDS: u64 = 2_400;
/// With 6 decimals, by each trader.
const DEPOSIT: u128 = 10_000_000_000_000;
const WITHDRAWAL: u128 = DEPOSIT / 100;

fn options(out: &Path, data: Data) -> Options {
    Options {
        out: Some(out.to_owned()),
        accounts: ACCOUNTS,
        batch_commands: 900,
        batches: Some(u64::MAX),
        limit: Some(COMMANDS),
        data,
        ..Options::default()
    }
}

/// Every unit, every batch, every proof.
fn check(report: &Report) {
    assert!(report.ok, "{:?}", report.watcher.alarms);
    let (status, watcher) = (report.status, &report.watcher);
    assert!(status.is_idle() && status.batches >= 3, "{status:?}");
    assert_eq!(status.finished, status.batches);
    assert_eq!(watcher.batch_final, status.batches);
    // Two entries of each deposit, a key, the forced withdrawal; the other one is signed.
    let forced = 3 * u64::from(ACCOUNTS) + 1;
    assert_eq!((status.inbox, status.served, status.payouts, status.paid), (forced, forced, 2, 2));
    assert!(watcher.commands >= forced + 1 + COMMANDS + status.batches, "{watcher:?}");
    let deposited = DEPOSIT * u128::from(ACCOUNTS);
    assert_eq!(report.deposited, deposited.to_string());
    assert_eq!((watcher.payouts.as_str(), watcher.waiting.as_str(), watcher.claimable.as_str()), ("0", "0", "0"));
    assert_eq!(watcher.deposits, (deposited - 2 * WITHDRAWAL).to_string());
    assert_eq!(watcher.held, watcher.deposits, "the vault has what accounts have, and no more");
}

fn on_the_embedded_chain(data: Data) -> Report {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().join("net");
    let report = run(&options(&out, data), Ui::QUIET).expect("it goes to its end");
    println!("{}", report.text());
    check(&report);
    assert!(report.rows.iter().any(|row| row.fills > 0), "they have traded: {:?}", report.rows);
    assert_eq!((&report.paid, &report.claimed), (&(2 * WITHDRAWAL).to_string(), &(2 * WITHDRAWAL).to_string()));
    let error = run(&options(&out, data), Ui::QUIET).expect_err("its chain is gone");
    assert!(error.to_string().contains("whose chain ended with its process"), "{error}");
    assert!(error.advice().is_some_and(|advice| advice.contains("--out")), "{error}");
    report
}

#[test]
#[ignore = "real proofs: minutes"]
fn in_calldata() {
    let report = on_the_embedded_chain(Data::Calldata);
    assert!(report.rows.iter().all(|row| row.blobs == 0));
}

#[test]
#[ignore = "real proofs: minutes"]
fn in_blobs() {
    let report = on_the_embedded_chain(Data::Blobs);
    assert!(report.rows.iter().all(|row| row.blobs == 1));
}

/// On another chain, where it is started again: first until one batch is final, then to the end.
fn on_anvil(data: Data) {
    let Some(anvil) = Anvil::start(&[]) else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (out, key) = (folder.path().join("net"), folder.path().join("operator.key"));
    std::fs::write(&key, "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80\n").expect("it is written");
    let signing = Signing { key: Some(key), ..Signing::default() };
    let options = Options { url: Some(anvil.url.clone()), signing, ..options(&out, data) };
    let first = run(&Options { batches: Some(1), ..options.clone() }, Ui::QUIET).expect("it goes to its first batch");
    println!("{}", first.text());
    assert!(first.ok && first.status.finished >= 1, "{:?}", first.status);
    let blobs = u64::from(matches!(data, Data::Blobs));
    assert!(first.rows.iter().all(|row| row.blobs == blobs), "{:?}", first.rows);
    let report = run(&options, Ui::QUIET).expect("it goes on");
    println!("{}", report.text());
    check(&report);
    let other = run(&Options { accounts: ACCOUNTS + 1, ..options }, Ui::QUIET).expect_err("it is another devnet");
    assert!(other.to_string().contains("accounts: expected 5, got 4"), "{other}");
}

#[test]
#[ignore = "real proofs: minutes"]
fn on_anvil_in_calldata() {
    on_anvil(Data::Calldata);
}

#[test]
#[ignore = "real proofs: minutes"]
fn on_anvil_in_blobs() {
    on_anvil(Data::Blobs);
}
