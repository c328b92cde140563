//! What is looked for of words: which of their bytes, and what must stand behind them.

use super::tables::{FOLD, HASHED, WINDOW};

/// What must stand behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) enum Behind {
    /// Anything.
    Any,
    /// More than the end of the text, and it is no key of an object.
    Value,
    /// `://`: an `@`, before the path.
    Userinfo,
}

/// A word of at least three bytes.
#[derive(Clone, Debug)]
pub(in crate::redact) struct Word {
    /// Lower case.
    pub(super) text: Box<[u8]>,
    behind: Behind,
    /// Where in `text` the bytes stand that are looked for.
    pub(super) at: usize,
}

/// So far an address is followed.
const ADDRESS: usize = 1024;
/// So far a word is followed.
const WORD: usize = 64;

/// How often bytes stand in logs, roughly: of a hundred.
pub(super) fn frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b'o' | b's' | b'"' | b'a' | b'i' | b'n' | b'r' | b'_' | b'0' | b'1' => 30,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'-' | b':' | b'/' | b'.' | b'2'..=b'9' => 15,
        b'g' | b'f' | b'h' | b'b' | b'y' | b' ' | b'=' => 8,
        _ => 3,
    }
}

impl Word {
    /// What is looked for of it.
    pub(super) fn window(&self) -> [Option<u8>; WINDOW] {
        let mut window = [None; WINDOW];
        for (place, byte) in window.iter_mut().zip(&self.text[self.at..]) {
            *place = Some(byte | FOLD);
        }
        window
    }

    /// A word; `None` if it is shorter than three bytes.
    pub(in crate::redact) fn new(text: &str, behind: Behind) -> Option<Self> {
        let text = text.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let weight =
            |window: &[u8]| -> u32 { window.iter().map(|&byte| frequency(byte)).product() };
        let windows = text.windows(WINDOW.min(text.len()).max(HASHED)).enumerate();
        let at = windows.min_by_key(|(_, window)| weight(window))?.0;
        Some(Self { text, behind, at })
    }

    /// Whether it is found wherever `text` is.
    pub(in crate::redact) fn covers(&self, text: &str, behind: Behind) -> bool {
        let text = text.to_ascii_lowercase();
        let at = memchr::memmem::find(text.as_bytes(), &self.text);
        at.is_some() && (self.behind == Behind::Any || self.behind == behind)
    }

    /// Whether it stands at `start`.
    pub(super) fn stands(&self, line: &[u8], start: usize) -> bool {
        let Some(there) = line.get(start..start + self.text.len()) else {
            return false;
        };
        let rest = &line[start + self.text.len()..];
        there.eq_ignore_ascii_case(&self.text)
            && match self.behind {
                Behind::Any => true,
                Behind::Value => has_value(rest),
                Behind::Userinfo => has_userinfo(rest),
            }
    }
}

/// Whether something follows that may be a value: not where the text ends, and not after the key of an object.
fn has_value(rest: &[u8]) -> bool {
    let word = rest
        .iter()
        .take(WORD)
        .position(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')));
    // Where quotes stand without a backslash, the text ends.
    word.is_none_or(|end| rest[end] != b'"')
}

/// Whether an `@` follows before the path, or behind a colon with more than a port, or the text was cut.
fn has_userinfo(rest: &[u8]) -> bool {
    let (mut colon, mut port) = (false, true);
    for &byte in rest.iter().take(ADDRESS) {
        match byte {
            b'@' => return true,
            b'"' | b'\\' | b' ' => return false,
            b'/' | b'?' | b'#' if port => return false,
            b':' if !colon => colon = true,
            _ if !byte.is_ascii() => return true,
            _ => port &= !colon || byte.is_ascii_digit(),
        }
    }
    rest.len() >= ADDRESS
}
