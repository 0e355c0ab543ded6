//! What can be wrong with a file of order flow.

use std::{fmt, io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error("{path}: {source}", path = path.display())]
    Open { path: PathBuf, source: io::Error },
    /// The file cannot be read, or decompressed, any further.
    #[error("after {after}: {what}: {source}")]
    Read { after: Position, what: &'static str, source: io::Error },
    #[error("expected order flow, got an empty file")]
    Empty,
    #[error(
        "unknown format: expected a Bitstamp order log or orders table, a Binance depth capture or a Databento file \
         (plain or compressed with gzip, xz or zstd), got {got}"
    )]
    UnknownFormat { got: String },
    #[error("{at}: expected an order or a trade up to here, got none")]
    NoPrice { at: Position },
    #[error("{at}, {what}: expected {expected}, got {got}")]
    Value { at: Position, what: &'static str, expected: String, got: String },
    /// Lines are missing: everything after it would be wrong.
    #[error("{at}: gap in the sequence: expected {expected}, got {got}")]
    Gap { at: Position, expected: String, got: String },
}

/// Where in a file: lines and records count from 1, and 0 is the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Line(u64),
    Record(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Line(number) => write!(f, "line {number}"),
            Position::Record(number) => write!(f, "record {number}"),
        }
    }
}

pub(super) fn value(at: Position, what: &'static str, expected: impl fmt::Display, got: &str) -> FlowError {
    FlowError::Value { at, what, expected: expected.to_string(), got: excerpt(got) }
}

/// The start of what was found, quoted, fit for a message.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut start: String = text.chars().take(CHARS_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}
