//! Text that cannot steer a terminal.

use std::fmt::Write;

use crate::json;

/// Appends `text` to `out` with every character that could move the cursor, change the terminal's state, or show text in an order or
/// place other than it has replaced by its escape (`\x1b`, `\u202e`). Newline and tab stay. Bytes that are not UTF-8 become `\xff`.
pub(super) fn neutralise(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        // What is copied as it stands, up to the next character that is not.
        let mut from = 0;
        for (at, character) in valid.char_indices() {
            if is_control(character) {
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
        0..=0xff => write!(text, "\\x{code:02x}"),
        0x100..=0xffff => write!(text, "\\u{code:04x}"),
        _ => write!(text, "\\U{code:08x}"),
    };
    out.extend_from_slice(text.as_bytes());
}

fn is_control(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\0'..='\x1f' | '\x7f' => true,
        _ => json::is_unseen(character),
    }
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

    proptest! {
        #[test]
        fn nothing_that_is_shown_is_a_control(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = shown(&text);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
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
