//! Venue files: one form, and an error for whatever else.

mod common;

use alloy::primitives::Address;
use common::venue::genesis;
use holdfast_settlement::{Venue, contracts::Deployment};
use proptest::prelude::*;
use serde_json::{Value, json};

fn venue() -> Venue {
    let place = Address::with_last_byte;
    let at = Deployment {
        chain: 31337,
        block: 7,
        token: place(1),
        vault: place(2),
        inbox: place(3),
        rollup: place(4),
        escape: place(5),
        council: place(6),
        verifier: place(7),
        reader: place(8),
    };
    Venue::new(&at, genesis(31337, place(2)))
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(venue()).expect("a venue is JSON");
    change(&mut value);
    let bytes = serde_json::to_vec(&value).expect("it is JSON");
    Venue::decode("venue.json", &bytes).expect_err("it is no venue").to_string()
}

#[test]
fn a_venue_file_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("venue.json");
    venue().save(&path).expect("it is written");
    assert_eq!(Venue::load(&path).expect("it is read"), venue());
    assert_eq!(Venue::new(&venue().deployment(), venue().genesis), venue());
    let error = Venue::load(&folder.path().join("none.json")).expect_err("there is none");
    assert!(error.to_string().contains("none.json: cannot read it"), "{error}");
}

/// What the error says, and what makes it.
type Case = (&'static str, fn(&mut Value));

#[test]
fn venue_files_that_contradict_themselves_are_refused() {
    let cases: &[Case] = &[
        ("version: expected 1, got 2", |value| value["version"] = json!(2)),
        ("vault: expected an address that is not zero", |value| value["contracts"]["vault"] = json!(Address::ZERO)),
        ("reader: expected an address of its own, not that of the token", |value| {
            value["contracts"]["reader"] = json!(Address::with_last_byte(1));
        }),
        ("genesis, chain_id: expected 1, got a genesis for chain 31337", |value| value["chain_id"] = json!(1)),
        ("genesis, contract: expected the vault", |value| {
            value["genesis"]["deployment"]["contract"] = json!(Address::with_last_byte(9));
        }),
        ("genesis, markets: expected 1 to", |value| value["genesis"]["markets"] = json!([])),
        ("unknown field `password`", |value| value["password"] = json!("1234")),
        ("missing field `rollup`", |value| {
            value["contracts"].as_object_mut().expect("an object").remove("rollup");
        }),
    ];
    for (expected, change) in cases {
        let error = refused(change);
        assert!(error.starts_with("venue.json") && error.contains(expected), "{expected}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at: usize, byte: u8, cut: usize) {
        let _ = Venue::decode("venue.json", &bytes);
        let mut changed = venue().encode();
        let length = changed.len();
        changed[at % length] = byte;
        if let Ok(read) = Venue::decode("venue.json", &changed) {
            prop_assert_eq!(Venue::decode("venue.json", &read.encode()).expect("it was read before"), read);
        }
        changed.truncate(cut % length);
        prop_assert!(Venue::decode("venue.json", &changed).is_err());
    }
}
