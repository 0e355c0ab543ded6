//! Benchmarks. Run them by `cargo xtask bench`, which builds for this processor; every figure comes with machine and parameters.

mod aggregate;
mod authority;
mod books;
mod engine;
mod proving;
mod rebuild;
mod report;
mod synthetic;

use std::path::PathBuf;

/// The prover allocates and frees gigabytes; the system's allocator gives them back to the kernel every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Holdfast's benchmarks", after_help = "Example: cargo xtask bench engine --binance capture.jsonl.gz")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Full rules on one core, without I/O: synthetic mix, and a capture of real flow if given.
    Engine {
        /// A Binance depth and trade capture (`.jsonl.gz`); the bundled sample by default.
        #[arg(long)]
        binance: Option<PathBuf>,
        /// Commands of the synthetic mix.
        #[arg(long, default_value_t = 1_000_000)]
        commands: usize,
    },
    /// Replays a file of real flow, proves it, and aggregates the segments into one last proof.
    Aggregate {
        /// Any file that `holdfast replay` reads; the bundled sample by default.
        #[arg(long)]
        input: Option<PathBuf>,
        #[arg(long, default_value_t = 1 << 14)]
        batch: usize,
        /// Batches, besides the one that opens the accounts.
        #[arg(long, default_value_t = 3)]
        batches: usize,
        #[arg(long, default_value_t = 100)]
        accounts: u32,
    },
    /// Session keys natively, on one core: signing, verifying one by one and in batches, chaining.
    Authority,
    /// State roots: touched slots per second on one core.
    Root,
    /// The bare book beside the crates matchcore and orderbook-rs, in one run.
    Books {
        #[arg(long, default_value_t = 1_000_000)]
        operations: usize,
    },
    /// Rebuilds the state of real flow from its published words alone, as a watcher does.
    Rebuild {
        /// Any file that `holdfast replay` reads; the bundled sample by default.
        #[arg(long)]
        input: Option<PathBuf>,
        #[arg(long, default_value_t = 1 << 14)]
        batch: usize,
        #[arg(long, default_value_t = 100)]
        accounts: u32,
    },
    /// Replays a file of real flow and proves it batch by batch.
    Prove {
        /// Any file that `holdfast replay` reads; the bundled sample by default.
        #[arg(long)]
        input: Option<PathBuf>,
        #[arg(long, default_value_t = 1 << 14)]
        batch: usize,
        /// Batches to prove; all by default.
        #[arg(long)]
        batches: Option<usize>,
        #[arg(long, default_value_t = 100)]
        accounts: u32,
        /// Commands to prove besides with a signature each, for comparison; 0 for none.
        #[arg(long, default_value_t = 1 << 12)]
        single: usize,
    },
}

fn main() {
    let arguments = Arguments::parse();
    report::machine();
    match arguments.what {
        What::Engine { binance, commands } => engine::run(binance.as_deref(), commands),
        What::Aggregate { input, batch, batches, accounts } => {
            aggregate::run(input.as_deref(), batch, batches, accounts);
        }
        What::Authority => authority::run(),
        What::Root => engine::roots(),
        What::Books { operations } => books::run(operations),
        What::Rebuild { input, batch, accounts } => rebuild::run(input.as_deref(), batch, accounts),
        What::Prove { input, batch, batches, accounts, single } => {
            proving::run(input.as_deref(), batch, batches, accounts, single);
        }
    }
}
