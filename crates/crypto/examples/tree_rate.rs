//! Measures how many touched slots a second the state tree takes.
//!
//! A slot is two raw leaves. A region of consecutive slots is filled once; each batch then sets random slots of it.
//! Run it with `RUSTFLAGS="-C target-cpu=native" cargo run --release -p holdfast-crypto --example tree_rate -- [threads]`.

use std::time::Instant;

use holdfast_crypto::Digest;
use holdfast_crypto::poseidon2::{LANES, compress, compress_many};
use holdfast_crypto::tree::Tree;
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 1;

/// Regions start here, as the slots of one kind do: far from the start of the tree.
const REGION_START: u32 = 1 << 26;

/// Slots set in each measurement, over as many batches as that takes.
const SLOTS_PER_MEASUREMENT: u32 = 1 << 18;

fn main() {
    let threads = std::env::args().nth(1).map_or(1, |threads| threads.parse().expect("a number of threads"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    println!("cpu {}, threads {threads}, lanes {LANES}, seed {SEED}", cpu_model());
    pool.install(|| {
        compression_rate();
        println!(
            "{:>12} {:>12} {:>14} {:>12} {:>10} {:>10}",
            "region", "batch", "slots/s", "ns/slot", "hashes", "ns/hash"
        );
        for region_log2 in [14, 17, 20] {
            slot_rate(region_log2);
        }
    });
}

fn compression_rate() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let pairs: Vec<[Digest; 2]> = (0..1024).map(|_| [rng.random(), rng.random()]).collect();
    let mut out = vec![Digest::default(); pairs.len()];

    let start = Instant::now();
    for _ in 0..512 {
        compress_many(&pairs, &mut out);
    }
    println!("compress_many: {:.1} ns a pair", start.elapsed().as_secs_f64() * 1e9 / (512.0 * 1024.0));

    let start = Instant::now();
    for _ in 0..16 {
        for (pair, out) in pairs.iter().zip(&mut out) {
            *out = compress(&pair[0], &pair[1]);
        }
    }
    println!("compress: {:.1} ns a pair", start.elapsed().as_secs_f64() * 1e9 / (16.0 * 1024.0));
}

fn slot_rate(region_log2: u32) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let memory_before = memory_resident();
    let mut tree = Tree::new();
    let start = Instant::now();
    let filled: Vec<(u32, Digest)> = (0..2 << region_log2).map(|leaf| (REGION_START + leaf, rng.random())).collect();
    let generated = start.elapsed();
    let _root = tree.update(&filled);
    let seconds = (start.elapsed() - generated).as_secs_f64();
    drop(filled);
    let memory = memory_resident().saturating_sub(memory_before);
    let slots = 1_u32 << region_log2;
    println!(
        "{:>12} {:>12} {:>14.0}  filled, {} MiB",
        format!("2^{region_log2}"),
        "all",
        f64::from(slots) / seconds,
        memory >> 20
    );

    for batch in [16, 128, 1 << 10, 1 << 13, 1 << 16].into_iter().filter(|batch| *batch <= slots) {
        let batches: Vec<Vec<(u32, Digest)>> = (0..SLOTS_PER_MEASUREMENT.min(batch * 4096) / batch)
            .map(|_| {
                let mut slots = sample(&mut rng, slots as usize, batch as usize).into_vec();
                slots.sort_unstable();
                slots
                    .iter()
                    .flat_map(|slot| [2 * slot, 2 * slot + 1])
                    .map(|leaf| (REGION_START + leaf as u32, rng.random()))
                    .collect()
            })
            .collect();
        let hashes: usize = batches.iter().map(|batch| hashes(batch)).sum();
        let start = Instant::now();
        for batch in &batches {
            let _root = tree.update(batch);
        }
        let seconds = start.elapsed().as_secs_f64();
        let slots = f64::from(batch) * batches.len() as f64;
        println!(
            "{:>12} {:>12} {:>14.0} {:>12.0} {:>10.2} {:>10.1}",
            "",
            batch,
            slots / seconds,
            seconds * 1e9 / slots,
            hashes as f64 / slots,
            seconds * 1e9 / hashes as f64
        );
    }
}

/// How many nodes setting `leaves` touches.
fn hashes(leaves: &[(u32, Digest)]) -> usize {
    let mut touched: Vec<u32> = leaves.iter().map(|leaf| leaf.0).collect();
    (0..holdfast_crypto::tree::DEPTH)
        .map(|_| {
            touched.iter_mut().for_each(|index| *index >>= 1);
            touched.dedup();
            touched.len()
        })
        .sum()
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    model.trim_start_matches([' ', '\t', ':']).to_string()
}

/// Bytes of memory that are resident, or 0 where the system does not say.
fn memory_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
}
