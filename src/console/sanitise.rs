//! Text that cannot steer a terminal, nor pass for something else: for whatever people read.
//!
//! | who | what |
//! |---|---|
//! | [`neutralise`] | a whole output; its newlines are ours |
//! | [`record`] | a record as text: it may have several lines, and none but its first looks like a record's first |
//! | [`one_line`] | a file name, a setting, a sentence: one line, whatever is in it |

use std::borrow::Cow;
use std::fmt::Write;

use crate::json;

/// How each further line of a record begins. Collectors that join lines go by white space there, too.
const CONTINUED: &[u8] = b"    ";

/// Appends `text` to `out` with every character that could move the cursor, change the terminal's state, or show text in an order or
/// place other than it has replaced by its escape (`\x1b`, `\u202e`). Newline and tab stay. Bytes that are not UTF-8 become `\xff`.
pub fn neutralise(text: &[u8], out: &mut Vec<u8>) {
    replace(text, out, |c| !matches!(c, '\n' | '\t') && is_control(c));
}

/// The same of one record, whose lines after the first begin with four spaces: what stands in a message or an exception's text, a newline
/// among it, never looks like another record. Newlines at the end stay as they are.
pub fn record(text: &[u8], out: &mut Vec<u8>) {
    let end = text.len() - text.iter().rev().take_while(|b| **b == b'\n').count();
    for (at, line) in text[..end].split(|b| *b == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
            out.extend_from_slice(CONTINUED);
        }
        neutralise(line, out);
    }
    out.extend_from_slice(&text[end..]);
}

/// The same of what has to stay one line: a newline is written as `\n`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    replace(text.as_bytes(), &mut out, is_control);
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// Replaces characters by their escapes.
fn replace(text: &[u8], out: &mut Vec<u8>, is_replaced: impl Fn(char) -> bool) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        // What is copied as it stands, up to the next character that is not.
        let mut from = 0;
        for (at, character) in valid.char_indices() {
            if is_replaced(character) {
                out.extend_from_slice(&valid.as_bytes()[from..at]);
                from = at + character.len_utf8();
                escape(u32::from(character), out);
            }
        }
        out.extend_from_slice(&valid.as_bytes()[from..]);
        for &byte in chunk.invalid() {
            escape(u32::from(byte), out);
        }
    }
}

fn escape(code: u32, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(10);
    // Writing to a string cannot fail.
    let _ = match code {
        0x0a => write!(text, "\\n"),
        0..=0xff => write!(text, "\\x{code:02x}"),
        0x100..=0xffff => write!(text, "\\u{code:04x}"),
        _ => write!(text, "\\U{code:08x}"),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Whether a character is a control of ASCII or [`json::is_unseen`].
#[must_use]
pub fn is_control(character: char) -> bool {
    character.is_ascii_control() || json::is_unseen(character)
}

/// Where to cut `text` so that the first piece has at most `most` bytes and ends with a whole character, after a newline if there is
/// one. `text` is valid UTF-8, or the rest of such a text after a write that took less than it was given.
pub(super) fn boundary(text: &[u8], most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    if let Some(newline) = memchr::memrchr(b'\n', &text[..most]) {
        return newline + 1;
    }
    character_boundary(text, most)
}

/// Where to cut `text`, which is longer than `most` bytes, so that the first piece has no more and ends with a whole character.
#[must_use]
pub fn character_boundary(text: &[u8], most: usize) -> usize {
    let is_start = |&at: &usize| text[at] & 0xc0 != 0x80;
    (1..=most).rev().find(is_start).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &[u8]) -> String {
        let mut out = Vec::new();
        neutralise(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_text() {
        for (text, expected) in [
            (b"plain\ttext\n".as_slice(), "plain\ttext\n"),
            (b"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            (b"a\rb\x08\x7f\x00", "a\\x0db\\x08\\x7f\\x00"),
            ("\u{9b}2J".as_bytes(), "\\x9b2J"),
            ("a\u{202e}b\u{2066}c".as_bytes(), "a\\u202eb\\u2066c"),
            (
                "\u{200b}\u{feff}\u{e0041}".as_bytes(),
                "\\u200b\\ufeff\\U000e0041",
            ),
            (b"\xff\xc3(", "\\xff\\xc3("),
            ("Grüße, 日本 🦀".as_bytes(), "Grüße, 日本 🦀"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn no_line_of_a_record_but_its_first_begins_where_a_record_does() {
        let shown = |text: &str| {
            let mut out = Vec::new();
            record(text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown("one\n"), "one\n");
        assert_eq!(
            shown("one\r\n2026 ERROR forged\n"),
            "one\\x0d\n    2026 ERROR forged\n"
        );
        assert_eq!(
            shown("\n\nTraceback\n  File\n\n"),
            "\n    \n    Traceback\n      File\n\n"
        );
        assert_eq!(shown(""), "");
        assert_eq!(one_line("a\nb\t\u{1b}[0m"), "a\\nb\\x09\\x1b[0m");
        assert_eq!(one_line("Grüße.jsonl"), "Grüße.jsonl");
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_is_a_control(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = shown(&text);
            prop_assert!(!text.chars().any(|c| is_control(c) && c != '\n' && c != '\t'), "{text:?}");
        }

        #[test]
        fn pieces_are_short_whole_characters_and_nothing_is_left_out(text in "[a-zé日🦀\n]{0,300}", most in 4_usize..40) {
            let (mut rest, mut again) = (text.as_bytes(), Vec::new());
            while !rest.is_empty() {
                let piece = &rest[..boundary(rest, most)];
                prop_assert!(!piece.is_empty() && piece.len() <= most);
                prop_assert!(std::str::from_utf8(piece).is_ok());
                again.extend_from_slice(piece);
                rest = &rest[piece.len()..];
            }
            prop_assert_eq!(again, text.as_bytes());
        }
    }
}
