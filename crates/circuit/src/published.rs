//! The published commands as cells, and the digest that binds a proof to them.
//!
//! A command is seven cells, each below 2^28 (a head: kind + 16 × flags; ids; words and amounts as pairs of limbs), its outcome's code an eighth. The digest of a
//! batch is a chain: `digest' = compress(digest, cells)`, from the batch's number.

use holdfast_crypto::{Digest, F, poseidon2::compress};
use holdfast_exchange::machine::LIMB_BITS;
use holdfast_protocol::{Batch, Command, Outcome, SelfTrade, Side, TimeInForce};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

/// Cells of a command.
pub const COMMAND_CELLS: usize = 7;
/// Weight of the flags in the head.
pub const FLAGS: u32 = 16;

const PAIR: u32 = 2 * LIMB_BITS;

fn pair(value: u128, index: u32) -> u32 {
    (value >> (index * PAIR)) as u32 & ((1 << PAIR) - 1)
}

/// The cells of a command.
pub fn command_cells(command: &Command) -> [u32; COMMAND_CELLS] {
    let head = |flags: u32| command.kind() + FLAGS * flags;
    let transfer =
        |account: u32, amount: u128| [head(0), account, 0, pair(amount, 0), pair(amount, 1), pair(amount, 2), 0];
    let low_high = |value: u64| [pair(u128::from(value), 0), pair(u128::from(value), 1)];
    let self_trade = |mode: SelfTrade| mode as u32;
    match command {
        Command::Deposit(c) => transfer(c.account.get(), c.amount.get()),
        Command::Withdraw(c) => transfer(c.account.get(), c.amount.get()),
        Command::Place(c) => {
            let force = match c.time_in_force {
                TimeInForce::GoodTillCancel => 0,
                TimeInForce::ImmediateOrCancel => 1,
                TimeInForce::FillOrKill => 2,
                TimeInForce::PostOnly => 3,
            };
            let flags = u32::from(c.side == Side::Buy)
                + 2 * force
                + 8 * u32::from(c.reduce_only)
                + 16 * self_trade(c.self_trade);
            let [price_low, price_high] = low_high(u64::from(c.price.get()));
            let [size_low, size_high] = low_high(c.size.get());
            [head(flags), c.account.get(), c.market.get(), price_low, price_high, size_low, size_high]
        }
        Command::Cancel(c) => [head(0), c.account.get(), c.order.slot(), u32::from(c.order.generation()), 0, 0, 0],
        Command::CancelAll(c) => [head(0), c.account.get(), c.market.get(), 0, 0, 0, 0],
        Command::Amend(c) => {
            let flags = self_trade(c.self_trade) + 4 * u32::from(c.order.generation());
            let [price_low, price_high] = low_high(u64::from(c.price.get()));
            let [size_low, size_high] = low_high(c.size.get());
            [head(flags), c.account.get(), c.order.slot(), price_low, price_high, size_low, size_high]
        }
        Command::Mark(c) => {
            let [low, high] = low_high(u64::from(c.price.get()));
            [head(0), c.sender.get(), c.market.get(), low, high, 0, 0]
        }
        Command::Time(c) => {
            let [low, high] = low_high(c.time.get());
            [head(0), c.sender.get(), 0, low, high, 0, 0]
        }
        Command::Release(c) => [head(0), c.account.get(), c.market.get(), 0, 0, 0, 0],
    }
}

/// The digest before a batch's first command.
pub fn digest_start(batch_number: u32) -> Digest {
    let mut digest = Digest::default();
    digest[0] = F::from_u32(batch_number);
    digest
}

/// The digest after one more command.
pub fn digest_absorb(digest: &Digest, command: &Command, outcome: Outcome) -> Digest {
    let cells = command_cells(command);
    let absorbed = std::array::from_fn(|i| F::from_u32(cells.get(i).copied().unwrap_or(u32::from(outcome.code()))));
    compress(digest, &absorbed)
}

/// The digest of all of a batch's published commands and outcomes.
pub fn batch_digest(batch: &Batch) -> Digest {
    batch
        .commands
        .iter()
        .zip(&batch.outcomes)
        .fold(digest_start(batch.header.number), |digest, (command, outcome)| digest_absorb(&digest, command, *outcome))
}
