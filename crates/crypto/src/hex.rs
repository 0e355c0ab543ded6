//! Bytes as lower-case hexadecimal digits, without a prefix: each byte string has exactly one text.

/// Why text is not the digits of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HexError {
    Length { expected: usize, got: usize },
    Digit { position: usize, got: u8 },
}

/// The digits of these bytes, in lower case.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
    text
}

/// Reads what [`to_hex`] writes, and nothing else: neither upper case nor a prefix.
pub fn from_hex<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], HexError> {
    let text = text.as_bytes();
    if text.len() != 2 * BYTES {
        return Err(HexError::Length { expected: 2 * BYTES, got: text.len() });
    }
    let mut bytes = [0; BYTES];
    for (position, &digit) in text.iter().enumerate() {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            got => return Err(HexError::Digit { position, got }),
        };
        bytes[position / 2] = (bytes[position / 2] << 4) | nibble;
    }
    Ok(bytes)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
