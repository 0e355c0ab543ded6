//! What a job takes of the machine.

use std::fs;

/// Largest resident memory of this process since it started, or since [`memory_peak_reset`], in bytes; 0 where the system does not tell.
pub fn memory_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// Counts the peak from now on, where the system lets it be reset.
pub fn memory_peak_reset() {
    // proc(5): 5 resets the peak. Elsewhere the peak is that of the process's life.
    let _reset = fs::write("/proc/self/clear_refs", "5");
}
