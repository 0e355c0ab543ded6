//! A venue's file against the chain: what is in order, and every way in which it is not.

#[path = "../../settlement/tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolValue},
};
use common::{
    signer, stand_in,
    venue::{DAY, SEGMENT_KEY, Settled, genesis, member},
};
use holdfast_circuit::{
    last::{LastKey, export::export},
    verify::verifying_key,
};
use holdfast_protocol::{Genesis, publication::digest_word};
use holdfast_settlement::{
    Follower, Venue,
    blobs::FromTransactions,
    client::Wallet,
    contracts::{ESCAPE, IProposals, create, create_reader, create_token},
    embedded::Chain,
    follower::Cursor,
    poster::Carrier,
};
use holdfast_watcher::{Alarm, CheckError, Proofs, Watcher, check, check_to_leave};

async fn refused(venue: &Venue, chain: &Chain, proofs: &Proofs) -> String {
    let error = check(venue, &chain.provider(), proofs).await.expect_err("it is not in order");
    assert!(matches!(&error, CheckError::Wrong { .. }), "{error}");
    assert!(error.advice().is_some());
    error.to_string()
}

fn named(settled: &Settled) -> Venue {
    let at = settled.operator.at.clone();
    let genesis: Genesis = genesis(at.chain, at.vault);
    Venue::new(&at, genesis)
}

#[tokio::test]
async fn a_venue_in_order_is_believed_before_and_after_its_first_batch() {
    let mut settled = Settled::new().await;
    let venue = named(&settled);
    let before = check(&venue, &settled.chain.provider(), &Proofs::Unverified).await.expect("it is in order");
    assert_eq!((before.batch_final, before.token_decimals, before.frozen), (0, 6, false));
    assert_eq!((before.fee, before.deposit_min), (U256::from(1_000), U256::from(100)));
    assert_eq!(before.segment_key, SEGMENT_KEY);
    settled.alice.mint(settled.alice.wallet.address, U256::from(5_000)).await.expect("tokens");
    settled.alice.deposit(U256::from(5_000)).await.expect("a deposit");
    settled.serve().await;
    settled.settle(Carrier::Calldata).await;
    let after = check(&venue, &settled.chain.provider(), &Proofs::Unverified).await.expect("it is in order");
    assert_eq!((after.batch_final, after.genesis_root), (1, before.genesis_root));

    // Another genesis is found out by the root with which the rollup began, though that is no longer its root.
    let mut other = venue.clone();
    other.genesis.markets[0].taker_fee_ppm += 1;
    let error = refused(&other, &settled.chain, &Proofs::Unverified).await;
    assert!(error.contains("root that the rollup began with"), "{error}");
}

#[tokio::test]
async fn venues_that_are_not_what_their_file_says_are_refused() {
    let settled = Settled::new().await;
    let (venue, chain) = (named(&settled), &settled.chain);
    let stand = Proofs::Unverified;

    let error = refused(&venue, chain, &Proofs::bundled()).await;
    assert!(error.contains("key of the segments' proofs"), "{error}");

    let elsewhere = Chain::new(holdfast_settlement::embedded::Config { chain: 5, ..common::config() });
    let error = refused(&venue, &elsewhere, &stand).await;
    assert!(error.contains("chain id of the endpoint: expected 31337, got 5"), "{error}");
    let empty = Chain::new(common::config());
    let error = refused(&venue, &empty, &stand).await;
    assert!(error.contains("expected a contract on chain 31337, got no code"), "{error}");

    let change = |change: fn(&mut Genesis)| {
        let mut other = venue.clone();
        change(&mut other.genesis);
        other
    };
    for other in [
        change(|genesis| genesis.accounts[2].owner = Address::repeat_byte(0xbd)),
        change(|genesis| genesis.accounts[0].keys[0].withdraws = true),
        change(|genesis| genesis.accounts[2].keys.clear()),
    ] {
        let error = refused(&other, chain, &stand).await;
        assert!(error.contains("root that the rollup began with"), "{error}");
    }

    // Contracts of another venue, each with the others that they name.
    let wallet = Wallet::embedded(chain, signer(0)).await.expect("it answers");
    let at = settled.operator.at.clone();
    let token = create_token(&wallet).await.expect("a token");
    let reader = create_reader(&wallet).await.expect("a reader");
    let arguments = (at.vault, at.inbox, at.rollup, reader).abi_encode_params();
    let escape = create(&wallet, "escape", ESCAPE.creation(&arguments).expect("code")).await.expect("an escape");
    let place = create(&wallet, "stand-in", stand_in(wallet.address)).await.expect("a stand-in");
    let mut other = venue.clone();
    other.contracts.token = token;
    assert!(refused(&other, chain, &stand).await.contains("token that the vault names"));
    let mut other = venue.clone();
    other.contracts.escape = escape;
    assert!(refused(&other, chain, &stand).await.contains("escape that the vault names"));
    let mut other = venue.clone();
    other.contracts.verifier = place;
    assert!(refused(&other, chain, &stand).await.contains("verifier that the rollup names"));

    // The same getters, and other code.
    flip_code(chain, at.vault);
    let error = refused(&venue, chain, &stand).await;
    assert!(error.contains(&format!("code of the vault at {}", at.vault)), "{error}");
}

fn flip_code(chain: &Chain, at: Address) {
    let code = chain.call("eth_getCode", &serde_json::json!([at, "latest"])).expect("its code");
    let mut code: Vec<u8> = code.as_str().and_then(|code| alloy::hex::decode(code).ok()).expect("hexadecimal digits");
    *code.last_mut().expect("it is not empty") ^= 1;
    chain.call("anvil_setCode", &serde_json::json!([at, alloy::hex::encode_prefixed(&code)])).expect("it is set");
}

/// The verifier itself, with the bundled key in its data contracts.
#[tokio::test]
async fn the_bundled_key_is_asked_for_down_to_its_bytes() {
    let exported = export(LastKey::bundled()).expect("the bundled key is one for the contracts");
    let segment_key = digest_word(&verifying_key().pre_hash);
    let settled = Settled::proven(&exported, segment_key).await;
    let (venue, chain) = (named(&settled), &settled.chain);
    let checked = check(&venue, &chain.provider(), &Proofs::bundled()).await.expect("it is in order");
    assert_eq!(checked.key_commitment, Some(B256::from(exported.commitment)));
    assert_eq!(checked.segment_key, segment_key);

    // A verifier that says the same of its key, and does something else.
    let before = chain.snapshot();
    flip_code(chain, venue.contracts.verifier);
    assert!(refused(&venue, chain, &Proofs::bundled()).await.contains("code of the verifier at"));
    chain.restore(&before);
    check(&venue, &chain.provider(), &Proofs::bundled()).await.expect("it is in order again");
    // The first transactions of the deployer: token, reader, and then the pieces of the key data.
    let piece = signer(0).address().create(3);
    flip_code(chain, piece);
    let error = refused(&venue, chain, &Proofs::bundled()).await;
    assert!(error.contains(&format!("code of the verifier's data contract at {piece}")), "{error}");

    let other = Settled::proven(&exported, B256::repeat_byte(0x22)).await;
    let (venue, chain) = (named(&other), &other.chain);
    let error = refused(&venue, chain, &Proofs::bundled()).await;
    assert!(error.contains("key of the segments' proofs"), "{error}");
    // As if the council had replaced it: who leaves is let in, and told.
    let leaving = check_to_leave(&venue, &chain.provider(), &Proofs::bundled()).await.expect("all else is in order");
    assert_eq!((leaving.replaced, leaving.key_commitment), (Some(venue.contracts.verifier), None));
    flip_code(chain, venue.contracts.vault);
    let error = check_to_leave(&venue, &chain.provider(), &Proofs::bundled()).await.expect_err("that is no upgrade");
    assert!(error.to_string().contains("code of the vault at"), "{error}");
}

/// Nine of the twelve want another operator: everybody hears of it thirty days before.
#[tokio::test]
async fn what_the_council_plans_is_told_before_it_can_be_done() {
    let settled = Settled::new().await;
    let (venue, chain) = (named(&settled), &settled.chain);
    let at = settled.operator.at.clone();
    let keeper = Arc::new(FromTransactions(chain.provider()));
    let follower = Follower::new(chain.provider(), keeper, Cursor::new(at.clone()));
    let mut watcher = Watcher::new(venue.genesis.clone(), || Proofs::Unverified, follower).expect("a valid genesis");
    assert_eq!(watcher.look().await.expect("Ethereum answers").alarms, []);

    let operator = Address::repeat_byte(0xbd);
    let data = IProposals::setOperatorCall { operator }.abi_encode().into();
    for seat in 0..9 {
        chain.set_balance(member(seat).address(), U256::from(10).pow(U256::from(18)));
        let wallet = Wallet::embedded(chain, member(seat)).await.expect("it answers");
        if seat == 0 {
            let call = IProposals::proposeCall { target: at.rollup, data: Bytes::clone(&data) };
            wallet.order("a proposal", at.council, &call, U256::ZERO).await.expect("it is taken");
        } else {
            assert_eq!(watcher.look().await.expect("Ethereum answers").alarms, [], "eight of twelve are too few");
            let call = IProposals::approveCall { id: U256::ZERO };
            wallet.order("an approval", at.council, &call, U256::ZERO).await.expect("it is taken");
        }
    }
    let alarms = watcher.look().await.expect("Ethereum answers").alarms;
    let ready = chain.timestamp() + 30 * DAY;
    let expected = Alarm::Proposal { id: 0, ready_at: ready, proposed: format!("another operator, {operator}") };
    assert_eq!(alarms, [expected]);
    assert!(!alarms[0].is_breach() && alarms[0].kind() == "proposal");
    chain.pass(45 * DAY);
    chain.mine();
    let kinds: Vec<_> = watcher.look().await.expect("Ethereum answers").alarms.iter().map(Alarm::kind).collect();
    assert_eq!(kinds, ["stale"], "it has lapsed");
}
