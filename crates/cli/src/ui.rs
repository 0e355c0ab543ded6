//! What a person sees: progress on standard error, results on standard output.

use std::{
    io::{IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use console::{StyledObject, style};
use holdfast_crypto::{Digest, field::digest_to_hex};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// How a command talks while it runs.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Show progress. (Never to a file or a pipe.)
    pub progress: bool,
}

/// Colours only for a terminal, and not against the person's wish (`NO_COLOR`).
pub fn set_colours() {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    console::set_colors_enabled(wanted && std::io::stdout().is_terminal());
    console::set_colors_enabled_stderr(wanted && std::io::stderr().is_terminal());
}

impl Ui {
    pub const QUIET: Ui = Ui { progress: false };

    /// A bar that counts to `total`, or without a known end.
    pub fn bar(self, label: &'static str, unit: &'static str, total: Option<u64>) -> ProgressBar {
        let target = if self.progress { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_finish(ProgressFinish::AndClear);
        let template = match total {
            Some(_) => format!("  {label:<9} {{bar:28}} {{human_pos}} / {{human_len}} {unit} · {{elapsed}} · {{msg}}"),
            None => format!("  {label:<9} {{spinner}} {{human_pos}} {unit} · {{elapsed}} · {{msg}}"),
        };
        let look = ProgressStyle::with_template(&template).expect("the template is well formed");
        bar.set_style(look.progress_chars("━╸─"));
        bar.enable_steady_tick(Duration::from_millis(125));
        bar
    }
}

/// Writes a line, or several, to standard output. Where nobody reads any more (`| head`) there is nothing to say.
pub fn line(text: &str) {
    let _written = writeln!(std::io::stdout().lock(), "{}", text.trim_end_matches('\n'));
}

/// Lines of a label and what it is.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("  {}  {value}\n", dim(&format!("{label:<width$}")))).collect()
}

pub fn dim(text: &str) -> StyledObject<&str> {
    style(text).dim()
}

pub fn good(text: &str) -> StyledObject<&str> {
    style(text).green().bold()
}

pub fn bad(text: &str) -> StyledObject<&str> {
    style(text).red().bold()
}

pub fn bad_on_stderr(text: &str) -> StyledObject<&str> {
    style(text).red().bold().for_stderr()
}

pub fn strong(text: &str) -> StyledObject<&str> {
    style(text).bold()
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 batch`, `2,000 segments`. (The plural of a word in -h takes -es.)
pub fn count(number: u64, word: &str) -> String {
    let ending = match number {
        1 => "",
        _ if word.ends_with('h') => "es",
        _ => "s",
    };
    format!("{} {word}{ending}", grouped(number))
}

/// A whole number of 10^-decimals as a decimal number, exact.
pub fn decimal(number: i128, decimals: u32) -> String {
    let scale = 10_u128.pow(decimals);
    let (whole, part) = (number.unsigned_abs() / scale, number.unsigned_abs() % scale);
    let sign = if number < 0 { "-" } else { "" };
    if decimals == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:0>width$}", width = decimals as usize)
    }
}

/// A decimal number as people read it: thousands grouped, no more than four decimals.
pub fn shown(number: &str) -> String {
    const DECIMALS_SHOWN: usize = 4;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let whole = digits.parse::<i128>().map_or_else(|_| digits.to_owned(), grouped);
    let part = part.get(..DECIMALS_SHOWN).unwrap_or(part);
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

pub fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{} B", grouped(number)),
        10_000..10_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.2} GB", number as f64 / 1e9),
    }
}

pub fn seconds(number: f64) -> String {
    if number < 1.0 { format!("{:.0} ms", number * 1e3) } else { format!("{number:.1} s") }
}

/// How many a second, rounded; 0 where there is nothing to divide by.
pub fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// The start of a digest.
pub fn short(digest: &Digest) -> String {
    short_hex(&digest_to_hex(digest))
}

pub fn short_hex(hex: &str) -> String {
    format!("{}…", hex.get(..12).unwrap_or(hex))
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks to stop where nothing is lost (and says so, if it is to `talk`), the second stops at once.
pub fn catch_interrupts(talk: bool) {
    let handler = move || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // 128 + SIGINT, as a shell reports it.
            std::process::exit(130);
        }
        if talk {
            eprintln!("stopping after what is in work (Ctrl-C again stops at once)");
        }
    };
    // Without a handler Ctrl-C ends the process, which loses no more than the work in hand.
    let _installed = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
