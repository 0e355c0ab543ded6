//! Decimal text to whole ticks and lots, exactly.

use holdfast_protocol::{Price, Size};

use super::error::{FlowError, Position, value};

/// Longer numbers are refused before they are looked at.
const DIGITS_MAX: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not digits with at most one point between them.
    NotDecimal,
    /// A digit other than zero beyond the last decimal.
    OffGrid,
    TooLarge,
}

/// `text` in units of 10^-decimals.
pub(crate) fn parse(text: &str, decimals: u32) -> Result<u128, Fault> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(Fault::NotDecimal),
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(Fault::NotDecimal);
    }
    if text.len() > DIGITS_MAX {
        return Err(Fault::TooLarge);
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(decimals as usize));
    if beyond.bytes().any(|byte| byte != b'0') {
        return Err(Fault::OffGrid);
    }
    let zeros = "0".repeat(decimals as usize - kept.len());
    format!("{whole}{kept}{zeros}").parse().map_err(|_| Fault::TooLarge)
}

/// `raw` in units of 10^-decimals, as decimal text.
pub(crate) fn format(raw: u128, decimals: u32) -> String {
    let digits = format!("{raw:0width$}", width = decimals as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals as usize);
    if fraction.is_empty() { whole.into() } else { format!("{whole}.{fraction}") }
}

/// Decimals with which a number is printed.
pub(super) fn decimals_of(text: &str) -> u32 {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32)
}

pub(super) fn price(at: Position, text: &str, decimals: u32) -> Result<Price, FlowError> {
    bounded(at, "price", text, decimals, 1, Price::BOUND - 1).map(|raw| Price::try_from(raw).expect("bounded above"))
}

pub(super) fn size(at: Position, text: &str, decimals: u32) -> Result<Size, FlowError> {
    bounded(at, "size", text, decimals, 1, Size::BOUND - 1).map(|raw| Size::try_from(raw).expect("bounded above"))
}

pub(super) fn size_or_zero(at: Position, text: &str, decimals: u32) -> Result<u64, FlowError> {
    bounded(at, "size", text, decimals, 0, Size::BOUND - 1).map(|raw| raw as u64)
}

fn bounded(
    at: Position,
    what: &'static str,
    text: &str,
    decimals: u32,
    min: u128,
    max: u128,
) -> Result<u128, FlowError> {
    match parse(text, decimals) {
        Ok(raw) if (min..=max).contains(&raw) => Ok(raw),
        Ok(_) | Err(Fault::TooLarge) => {
            let expected = format!("{} to {}", format(min, decimals), format(max, decimals));
            Err(value(at, what, expected, text))
        }
        Err(Fault::OffGrid) => Err(value(at, what, format!("a multiple of {}", format(1, decimals)), text)),
        Err(Fault::NotDecimal) => Err(value(at, what, "a decimal number", text)),
    }
}
