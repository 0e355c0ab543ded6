//! What every benchmark prints beside its figures.

use std::fs;

/// Prints the machine.
pub fn machine() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let simd = if cfg!(target_feature = "avx512f") {
        "AVX-512"
    } else if cfg!(target_feature = "avx2") {
        "AVX2"
    } else {
        "no wide SIMD (build with RUSTFLAGS=\"-C target-cpu=native\")"
    };
    println!("machine: {model}, {cores} cores, built for {simd}");
}
