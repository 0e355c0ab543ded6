//! The exchange against the model: the same commands, and after every command the same state.
//!
//! Outcome, fills, system, and the accounts, sessions and books that the command may have touched are compared after every
//! command; everything there is, links and generations included, every so many. The heads of the sessions are compared with
//! those that a client would compute. A difference (or a panic) is shrunk
//! to the few commands that cause it, and printed with the scenario and the seed.

mod pair;

use holdfast_protocol::{
    AccountGenesis, AccountId, Address, Amount, Command, Deposit, Instruction, KeyGenesis, KeyIndex, MarketId, Outcome,
    Place, Register, Reject, SelfTrade, Side, Size, TimeInForce, limits,
};
use holdfast_sim::{Scenario, keyring::public_key, shrink, stream::NEVER};
use pair::Pair;

/// Commands per scenario and seed.
const COMMANDS: usize = 50_000;
const SEEDS: std::ops::Range<u64> = 0..6;
const SCENARIOS: u64 = 7;

/// The first difference on given commands.
fn difference(scenario: &Scenario, commands: &[Instruction]) -> Option<String> {
    let mut pair = Pair::new(scenario);
    let differs = commands.iter().find_map(|command| pair.apply(command).err());
    differs.or_else(|| pair.compare_all().err())
}

fn check(scenario: &Scenario, seed: u64) {
    let (mut pair, mut stream) = (Pair::new(scenario), scenario.stream(seed));
    let mut commands = Vec::with_capacity(COMMANDS);
    for _ in 0..COMMANDS {
        let command = stream.next(&pair.model);
        assert!(has_key(&pair, &command), "scenario {}, seed {seed}: {command:?} of no registered key", scenario.name);
        commands.push(command);
        if let Err(first) = pair.apply(&command) {
            let commands = shrink(&commands, |commands| difference(scenario, commands).is_some());
            let text = difference(scenario, &commands).unwrap_or(first);
            let lines: String = commands.iter().map(|command| format!("  {command:?}\n")).collect();
            panic!("scenario {}, seed {seed}: {text}\nafter\n{lines}", scenario.name);
        }
    }
    if let Err(text) = pair.compare_all() {
        panic!("scenario {}, seed {seed}, at the end: {text}", scenario.name);
    }
}

/// The streams leave no instruction outside.
fn has_key(pair: &Pair, instruction: &Instruction) -> bool {
    // Ethereum's asking needs no key.
    if instruction.is_forced() {
        return true;
    }
    let (account, key) = instruction.session();
    pair.model.session(account, key).public_key.is_some()
}

/// Seeds per scenario: [`SEEDS`], or more for a long run of as many commands as the environment asks for.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("HOLDFAST_DIFFERENTIAL_COMMANDS") {
        Ok(commands) => {
            let commands: u64 = commands.parse().expect("HOLDFAST_DIFFERENTIAL_COMMANDS is a number of commands");
            0..commands.div_ceil(SCENARIOS * COMMANDS as u64)
        }
        Err(_) => SEEDS,
    }
}

fn check_all(name: &str) {
    let scenario = Scenario::named(name);
    seeds().for_each(|seed| check(&scenario, seed));
}

/// An order meets more opposite orders than one command may look at: it stops, and its remainder expires; and a fill-or-kill order does not look further.
#[test]
fn a_command_looks_at_a_bounded_number_of_makers() {
    let mut scenario = Scenario::named("calm");
    let makers = u64::from(limits::MAKERS_MAX);
    // Open orders are limited per account: several accounts make the queue.
    let per_account = u64::from(scenario.genesis.markets[0].open_orders_max);
    for id in 10..=10 + ((makers + 1) / per_account) as u32 {
        scenario.genesis.accounts.push(AccountGenesis {
            account: AccountId::new(id).expect("an account"),
            owner: Address::repeat_byte(1),
            keys: vec![KeyGenesis { public_key: public_key(0), withdraws: true, expiry: NEVER }],
        });
    }
    let mut pair = Pair::new(&scenario);
    let first = KeyIndex::new(0).expect("a key");
    let sender = scenario.genesis.operator;
    let (maker, taker) = (AccountId::new(3).expect("an account"), AccountId::new(4).expect("an account"));
    let price = scenario.genesis.markets[0].mark;
    let place = |account, side, size, time_in_force| {
        Command::Place(Place {
            account,
            market: MarketId::new(0).expect("a market"),
            side,
            time_in_force,
            reduce_only: false,
            self_trade: SelfTrade::ExpireTaker,
            price,
            size: Size::new(size).expect("a size"),
        })
    };
    let mut apply = |command: &Command| {
        let instruction = Instruction { key: first, command: *command };
        pair.apply(&instruction).unwrap_or_else(|difference| panic!("{command:?}: {difference}"));
        pair.exchange.engine.events().len()
    };
    for account in [maker, taker] {
        apply(&Command::Deposit(Deposit { sender, account, amount: Amount::new(1 << 70).expect("an amount") }));
    }
    for order in 0..makers + 2 {
        let account = AccountId::new(10 + (order / per_account) as u32).expect("an account");
        if order % per_account == 0 {
            apply(&Command::Deposit(Deposit { sender, account, amount: Amount::new(1 << 70).expect("an amount") }));
        }
        assert_eq!(apply(&place(account, Side::Sell, 1, TimeInForce::GoodTillCancel)), 1, "order {order} rests");
    }
    assert_eq!(
        apply(&place(taker, Side::Buy, makers + 1, TimeInForce::FillOrKill)),
        0,
        "not fillable within the bound"
    );
    let events = apply(&place(taker, Side::Buy, makers + 2, TimeInForce::GoodTillCancel));
    assert_eq!(events as u64, 2 * makers + 1, "as many fills and removals as the bound, and then the rest expires");
}

/// A place that has had as many keys as it may takes one more, and then no more.
#[test]
fn a_place_for_keys_wears_out() {
    let scenario = Scenario::named("calm");
    let mut pair = Pair::new(&scenario);
    let (account, key) = (AccountId::new(3).expect("an account"), KeyIndex::new(3).expect("a key"));
    let worn = limits::GENERATIONS_MAX - 2;
    pair.model.set_generation(account, key, worn);
    let store = pair.exchange.engine.store_mut();
    let mut session = store.session_of((account, key)).clone();
    session.generation = worn;
    store.set_session(account.get(), key.get(), session);
    let sender = scenario.genesis.operator;
    for (replaces, expected) in [(false, Outcome::Accepted), (true, Outcome::Rejected(Reject::KeyWornOut))] {
        let public_key = public_key(0);
        let register = Register { sender, account, key, replaces, withdraws: true, expiry: NEVER, public_key };
        let first = KeyIndex::new(0).expect("a key");
        pair.apply(&Instruction { key: first, command: Command::Register(register) }).expect("they agree");
        assert_eq!(pair.last_outcome(), expected);
    }
}

#[test]
fn calm_markets_agree() {
    check_all("calm");
}

#[test]
fn frantic_markets_agree() {
    check_all("frenzy");
}

#[test]
fn settled_markets_agree() {
    check_all("settled");
}

#[test]
fn thin_margins_agree() {
    check_all("margin");
}

#[test]
fn full_directories_agree() {
    check_all("directory");
}

#[test]
fn tiny_prices_agree() {
    check_all("tiny-prices");
}

#[test]
fn extreme_numbers_agree() {
    check_all("extremes");
}

#[test]
fn full_books_agree() {
    check_all("full-book");
}
