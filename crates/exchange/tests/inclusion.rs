//! Inclusion proofs of slots against the state root.

use holdfast_crypto::field::cell_to_canonical;
use holdfast_exchange::{Engine, slots::Kind};
use holdfast_protocol::{
    AccountId, Amount, Command, Deposit, Genesis, MarketGenesis, MarketId, Outcome, Place, Price, SelfTrade, Side,
    Size, TimeInForce, TimeMs, limits,
};

fn genesis() -> Genesis {
    let account = |id| AccountId::new(id).expect("an account");
    Genesis {
        time: TimeMs::new(1_700_000_000_000).expect("a time"),
        oracle: account(0),
        operator: account(1),
        fee_account: account(2),
        quote_decimals: 6,
        markets: vec![MarketGenesis {
            symbol: "BTC-USD".into(),
            tick_decimals: 2,
            lot_decimals: 4,
            mark: Price::new(10_000).expect("a price"),
            initial_margin_ppm: 50_000,
            maintenance_margin_ppm: 25_000,
            maker_fee_ppm: 100,
            taker_fee_ppm: 350,
            open_orders_max: 100,
            position_max: 1 << 38,
            mark_move_ppm: 100_000,
        }],
    }
}

#[test]
fn every_slot_is_proven_against_the_root() {
    let mut engine = Engine::new(&genesis()).expect("a valid genesis");
    let account = AccountId::new(7).expect("an account");
    let deposit = Command::Deposit(Deposit { account, amount: Amount::new(1 << 40).expect("an amount") });
    let place = Command::Place(Place {
        account,
        market: MarketId::new(0).expect("a market"),
        side: Side::Buy,
        time_in_force: TimeInForce::GoodTillCancel,
        reduce_only: false,
        self_trade: SelfTrade::ExpireTaker,
        price: Price::new(9_999).expect("a price"),
        size: Size::new(5).expect("a size"),
    });
    for command in [deposit, place] {
        assert_eq!(engine.apply(&command), Outcome::Accepted);
    }
    let root = engine.close_batch();

    let slots = [
        (Kind::System, 0, 0),
        (Kind::Market, 0, 0),
        (Kind::Account, 7, 0),
        (Kind::Position, 7, 0),
        (Kind::Order, limits::FIRST_ORDER, 0),
        // Never written: proven to be empty.
        (Kind::Account, (1 << limits::ACCOUNT_BITS) - 1, 0),
    ];
    for (kind, outer, inner) in slots {
        let proof = engine.prove_slot(kind, outer, inner);
        assert!(proof.verify(&root), "{kind:?}");
        let (_, cells) = engine.slot(kind, outer, inner);
        let proven: Vec<u32> = proof.leaves().iter().flatten().map(|&cell| cell_to_canonical(cell)).collect();
        assert_eq!(proven, cells, "{kind:?}");
    }

    let proof = engine.prove_account(account);
    assert!(proof.verify(&root));
    assert_eq!(proof.leaves().len(), 128);
    let (first, cells) = engine.slot(Kind::Position, 7, 0);
    let at = (first % 128) as usize;
    let proven: Vec<u32> = proof.leaves()[at..at + 4].iter().flatten().map(|&cell| cell_to_canonical(cell)).collect();
    assert_eq!(proven, cells);

    // A proof is of its root alone.
    assert_eq!(
        engine.apply(&Command::Deposit(Deposit { account, amount: Amount::new(1).expect("an amount") })),
        Outcome::Accepted
    );
    let later = engine.close_batch();
    assert!(!proof.verify(&later));
}
