//! Text cut to so many characters, with a note of how many there were.

use crate::json;

/// Whether a byte of UTF-8 begins a character.
#[must_use]
pub fn is_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// The bytes that hold the first `count` characters of UTF-8 (surrogates allowed).
#[must_use]
pub fn prefix(text: &[u8], count: usize) -> &[u8] {
    let starts = text.iter().enumerate().filter(|(_, byte)| is_start(**byte));
    let end = starts.map(|(at, _)| at).nth(count).unwrap_or(text.len());
    &text[..end]
}

/// How many characters UTF-8 has (surrogates allowed).
#[must_use]
pub fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| is_start(**byte)).count()
}

/// Appends UTF-8 (surrogates allowed) escaped, cut to `limit` characters with a note of how many there were; returns whether it was cut.
pub fn write_cut(out: &mut Vec<u8>, text: &[u8], limit: usize) -> bool {
    let kept = if text.len() <= limit {
        text
    } else {
        prefix(text, limit)
    };
    json::write_escaped(out, kept);
    if kept.len() < text.len() {
        let total = characters(text);
        out.extend_from_slice(format!("…(truncated, {total} chars)").as_bytes());
    }
    kept.len() < text.len()
}
