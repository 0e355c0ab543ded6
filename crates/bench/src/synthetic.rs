//! The synthetic mix: 50 % place, 40 % cancel, 10 % crossing, around a price that wanders.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// One operation on a book. `key` names the order.
#[derive(Debug, Clone, Copy)]
pub enum Operation {
    Add {
        key: u32,
        buys: bool,
        price: u32,
        size: u32,
    },
    /// Of an order that was added; it may have been filled since.
    Cancel {
        key: u32,
    },
    /// Immediate or cancel, through the best price.
    Cross {
        key: u32,
        buys: bool,
        price: u32,
        size: u32,
    },
}

pub const SEED: u64 = 7;
const MIDDLE: i64 = 100_000;
/// Orders that stand in the book before cancels begin.
const DEPTH: usize = 4_096;

/// `count` operations; the same for the same count.
pub fn operations(count: usize) -> Vec<Operation> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut middle = MIDDLE;
    let mut live: Vec<u32> = Vec::new();
    let mut operations = Vec::with_capacity(count);
    for key in 0..count as u32 {
        middle += [-1i64, 0, 0, 0, 1].choose(&mut random).copied().unwrap_or(0) * i64::from(key.is_multiple_of(64));
        let buys = random.random_bool(0.5);
        let roll = if live.len() < DEPTH { 0 } else { random.random_range(0..100) };
        let size = random.random_range(1..=100);
        operations.push(match roll {
            0..50 => {
                // Most orders come near the best price.
                let distance = 1 + (random.random_range(0f64..1.0).powi(3) * 200.0) as i64;
                let price = if buys { middle - distance } else { middle + distance };
                live.push(key);
                Operation::Add { key, buys, price: price as u32, size }
            }
            50..90 => {
                let at = random.random_range(0..live.len());
                Operation::Cancel { key: live.swap_remove(at) }
            }
            _ => {
                let price = if buys { middle + 40 } else { middle - 40 };
                Operation::Cross { key, buys, price: price as u32, size }
            }
        });
    }
    operations
}
