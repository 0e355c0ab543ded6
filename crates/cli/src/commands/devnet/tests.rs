//! The market of a devnet, without Ethereum: what it asks for, and that it finds its place again.

use holdfast_exchange::{Engine, Sequencer};
use holdfast_operator::{Asked, Orders};
use holdfast_protocol::{
    AccountId, Address, Amount, Command, Deployment, Deposit, Genesis, Instruction, KeyIndex, Open, Outcome, Register,
    Request, Withdraw,
};

use super::market::Market;
use crate::{
    commands::replay::SAMPLE,
    flow::{FIRST_TRADER, Flow, Wallets, default_genesis},
};

const SEED: &str = "a devnet's";
const ACCOUNTS: u32 = 3;
/// With what the sample's snapshot and its first trades take.
const COMMANDS: usize = 2_400;
const WITHDRAWS: u128 = 12_345;

fn flow() -> Flow {
    Flow::from_bytes(SAMPLE).expect("the sample is read")
}

fn genesis() -> Genesis {
    let flow = flow();
    let mut instrument = flow.instrument();
    instrument.lot_decimals += 1;
    let mut genesis = default_genesis(&instrument, flow.first_price(), &Wallets::new(SEED, 0));
    genesis.deployment = Deployment { chain_id: 1, contract: Address::repeat_byte(7) };
    genesis
}

fn market(accounts: u32, limit: Option<u64>) -> Market {
    let withdraws = Amount::new(WITHDRAWS).expect("an amount");
    Market::new(flow(), &genesis(), SEED, accounts, 10, limit, withdraws).expect("so many accounts")
}

/// What Ethereum has of the traders.
fn forced(account: AccountId) -> [Instruction; 3] {
    let public_key = Wallets::secret(SEED, account).public_key();
    let (sender, key, expiry) = (account, Wallets::KEY, Wallets::EXPIRY);
    let amount = Amount::new(10_000_000_000_000).expect("an amount");
    let commands = [
        Command::Open(Open { sender, account, owner: Address::repeat_byte(9) }),
        Command::Deposit(Deposit { sender, account, amount }),
        Command::Register(Register { sender, account, key, replaces: false, withdraws: true, expiry, public_key }),
    ];
    commands.map(|command| Instruction { key: KeyIndex::ETHEREUM, command })
}

fn venue() -> Sequencer {
    let mut venue = Sequencer::new(Engine::new(&genesis()).expect("a valid genesis"));
    for trader in 0..ACCOUNTS {
        let account = AccountId::new(FIRST_TRADER.get() + trader).expect("an account");
        for instruction in forced(account) {
            assert_eq!(venue.force(&instruction), Ok(Outcome::Accepted));
        }
    }
    venue
}

fn ask(market: &mut Market, venue: &Sequencer, most: usize) -> Vec<Request> {
    match market.next(venue.engine(), most).expect("the sample is in order") {
        Asked::Requests(requests) => requests,
        other => panic!("{other:?}"),
    }
}

/// Lets the market trade, and gives what was carried out.
fn trade(market: &mut Market, venue: &mut Sequencer, commands: usize) -> Vec<Instruction> {
    let mut done = Vec::new();
    while done.len() < commands {
        for request in ask(market, venue, 7) {
            let outcome = venue.submit(&request).expect("it is signed");
            market.carried_out(venue.engine(), &request.instruction, outcome).expect("it has asked for it");
            done.push(request.instruction);
        }
    }
    done
}

#[test]
fn it_waits_for_keys_trades_and_ends() {
    let nobody = Sequencer::new(Engine::new(&genesis()).expect("a valid genesis"));
    let mut market = market(ACCOUNTS, Some(50));
    assert_eq!(market.next(nobody.engine(), 5), Ok(Asked::Nothing), "nobody has a key yet");
    let mut venue = venue();
    let first = ask(&mut market, &venue, 5);
    let withdraw = Withdraw { account: FIRST_TRADER, amount: Amount::new(WITHDRAWS).expect("an amount") };
    assert_eq!(
        first.iter().map(|request| request.instruction.command).collect::<Vec<_>>(),
        [Command::Withdraw(withdraw)]
    );
    assert_eq!(market.next(venue.engine(), 5), Ok(Asked::Nothing), "one after the other");
    let outcome = venue.submit(&first[0]).expect("it is signed");
    assert_eq!(outcome, Outcome::Accepted);
    market.carried_out(venue.engine(), &first[0].instruction, outcome).expect("it has asked for it");
    let done = trade(&mut market, &mut venue, 50);
    assert!(done.iter().all(|instruction| !matches!(instruction.command, Command::Time(_))), "time is the operator's");
    assert_eq!(market.next(venue.engine(), 5), Ok(Asked::End));
}

#[test]
fn it_finds_its_place_again() {
    let (mut before, mut venue_before) = (market(ACCOUNTS, None), venue());
    let done = trade(&mut before, &mut venue_before, COMMANDS);
    let fills = venue_before.engine().account(FIRST_TRADER).positions.len();
    assert!(fills > 0, "they have traded");
    let (mut after, mut venue_after) = (market(ACCOUNTS, None), venue());
    let (mut engine, mut other) = (venue_after.engine().clone(), market(ACCOUNTS - 1, None));
    let mut contradicted = None;
    for instruction in &done {
        let outcome = engine.instruct(instruction).expect("it was carried out before");
        after.carried_out(&engine, instruction, outcome).expect("it is the flow's");
        if contradicted.is_none() {
            contradicted = other.carried_out(&engine, instruction, outcome).err();
        }
    }
    let contradicted = contradicted.expect("with fewer accounts, others would ask");
    assert!(contradicted.contains("another input") || contradicted.contains("no key here"), "{contradicted}");
    // The venue itself, up to there, with signatures: what is asked for next is the same, and is let in.
    let mut again = market(ACCOUNTS, None);
    assert_eq!(trade(&mut again, &mut venue_after, done.len()), done);
    let (expected, got) = (ask(&mut before, &venue_before, 20), ask(&mut after, &venue_after, 20));
    assert_eq!(got, expected);
    for request in got {
        venue_after.submit(&request).expect("it goes on where it was");
    }
}
