use holdfast_circuit::{
    published::digest_start,
    verify::{Chain, verify_segment},
    witness::Builder,
};
use holdfast_exchange::Engine;
use holdfast_protocol::*;
use holdfast_prover::{Prover, shapes};

fn genesis() -> Genesis {
    Genesis {
        time: TimeMs::new(1_700_000_000_000).unwrap(),
        oracle: AccountId::new(0).unwrap(),
        operator: AccountId::new(1).unwrap(),
        fee_account: AccountId::new(2).unwrap(),
        quote_decimals: 6,
        markets: vec![MarketGenesis {
            symbol: "X".into(),
            tick_decimals: 2,
            lot_decimals: 4,
            mark: Price::new(10_000).unwrap(),
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
fn smoke() {
    let genesis = genesis();
    let acc = |i| AccountId::new(i).unwrap();
    let place = |i, side, price, size| {
        Command::Place(Place {
            account: acc(i),
            market: MarketId::new(0).unwrap(),
            side,
            time_in_force: TimeInForce::GoodTillCancel,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price: Price::new(price).unwrap(),
            size: Size::new(size).unwrap(),
        })
    };
    let commands = vec![
        Command::Deposit(Deposit { account: acc(3), amount: Amount::new(1 << 40).unwrap() }),
        Command::Deposit(Deposit { account: acc(4), amount: Amount::new(1 << 40).unwrap() }),
        place(3, Side::Buy, 9_990, 100),
        place(3, Side::Buy, 9_980, 100),
        place(4, Side::Sell, 9_985, 150),
        place(4, Side::Sell, 9_980, 150),
        Command::Withdraw(Withdraw { account: acc(4), amount: Amount::new(5).unwrap() }),
        Command::CancelAll(CancelAll { account: acc(4), market: MarketId::new(0).unwrap() }),
        Command::CancelAll(CancelAll { account: acc(3), market: MarketId::new(0).unwrap() }),
    ];
    let mut native = Engine::new(&genesis).unwrap();
    let mut engine = Engine::new(&genesis).unwrap();
    let genesis_root = engine.root();
    let mut tree = engine.tree().clone();
    let mut builder = Builder::new(engine.store_mut(), 0, digest_start(1));
    for c in &commands {
        let expected = native.apply(c);
        println!("{c:?} -> {expected:?} {:?}", native.events());
        assert_eq!(builder.apply(c), expected);
    }
    let digest = builder.digest();
    let segment = builder.finish(&mut tree, true);
    assert_eq!(native.close_batch(), tree.root());
    let t = std::time::Instant::now();
    let prover = Prover::new();
    println!("keygen {:?}", t.elapsed());
    for (table, height, width) in shapes(&segment) {
        println!("{:20} {height:8} x {width}", table.name());
    }
    for (table, air) in holdfast_circuit::air::Table::all().zip(&prover.verifying_key().inner.per_air) {
        println!(
            "{:20} w {:?} interactions {} constraints {} degree {}",
            table.name(),
            air.params.width.common_main,
            air.symbolic_constraints.interactions.len(),
            air.symbolic_constraints.constraints.constraint_idx.len(),
            air.max_constraint_degree
        );
    }
    let t = std::time::Instant::now();
    let proof = prover.prove(segment).unwrap();
    println!("prove {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let public = verify_segment(prover.verifying_key(), &proof).unwrap();
    println!("verify {:?} {public:?}", t.elapsed());
    Chain::new(genesis_root).append(prover.verifying_key(), commands.len() as u32, &digest, &[proof]).unwrap();
}
