//! Quotes and brackets as texts have them: plain, escaped once or more, percent-encoded.

use super::scan::{Ahead, Scan};

/// Escaped more often than so, a quote is taken for a character.
const MOST_BACKSLASHES: usize = 15;
/// Brackets within brackets.
const MOST_DEPTH: usize = 32;

/// A quote, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quote {
    /// With so many backslashes before it.
    Plain(u8, usize),
    /// As an escape or an entity.
    Written(&'static str),
}

const WRITTEN: [&str; 6] = ["%22", "%27", "&quot;", "&#34;", "&#39;", "\\u0022"];

impl Quote {
    /// Bytes it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(_, backslashes) => backslashes + 1,
            Self::Written(text) => text.len(),
        }
    }
}

/// The quote at `at`, if there is one.
pub(super) fn quote_at(scan: &Scan<'_>, at: usize) -> Option<Quote> {
    let byte = scan.get(at);
    match byte {
        b'"' | b'\'' | b'`' => Some(Quote::Plain(byte, 0)),
        b'\\' | b'%' | b'&' => {
            if let Some(text) = WRITTEN.iter().find(|text| scan.has(at, text)) {
                return Some(Quote::Written(text));
            }
            let backslashes = scan.bytes[at..]
                .iter()
                .take(MOST_BACKSLASHES)
                .take_while(|b| **b == b'\\')
                .count();
            let quote = scan.get(at + backslashes);
            (backslashes > 0 && matches!(quote, b'"' | b'\''))
                .then_some(Quote::Plain(quote, backslashes))
        }
        _ => None,
    }
}

/// The quote that opens a text at `at`, perhaps after a prefix (`b'…'`, `f"…"`), and where the text begins.
pub(super) fn open_at(scan: &Scan<'_>, at: usize) -> Option<(Quote, usize)> {
    let prefix = match scan.get(at) {
        b'b' | b'B' | b'r' | b'R' | b'u' | b'f' | b'F' => {
            1 + usize::from(matches!(scan.get(at + 1), b'b' | b'r'))
        }
        b'@' | b'$' => 1,
        _ => 0,
    };
    let quote = quote_at(scan, at + prefix)?;
    Some((quote, at + prefix + quote.len()))
}

/// Where the text that begins at `start` ends: before its quote, or with its line.
pub(super) fn close(scan: &mut Scan<'_>, quote: &Quote, start: usize) -> usize {
    let bytes = scan.bytes;
    let found = match *quote {
        Quote::Written(text) => {
            let first = text.as_bytes()[0];
            memchr::memchr_iter(first, &bytes[start..])
                .map(|at| start + at)
                .find(|&at| scan.has(at, text))
        }
        Quote::Plain(byte, backslashes) => memchr::memchr_iter(byte, &bytes[start..])
            .map(|at| start + at)
            .find(|&at| {
                let before = bytes[start..at]
                    .iter()
                    .rev()
                    .take(4 * MOST_BACKSLASHES)
                    .take_while(|b| **b == b'\\')
                    .count();
                // In a text that is escaped n times, 2^n - 1 backslashes stand before a quote of its own, and 2^(n+1)
                // more for each backslash before it.
                before >= backslashes
                    && (before - backslashes).is_multiple_of(2 * (backslashes + 1))
                    // Or the text stands in another, which writes a backslash as two: `\\"` is then no end.
                    && (before == backslashes || goes_on_after(scan, at + 1))
            })
            .map(|at| at - backslashes),
    };
    scan.step(found.unwrap_or(bytes.len()) - start + 1);
    found.unwrap_or_else(|| {
        let line = scan.next(Ahead::Newline, start).unwrap_or(bytes.len());
        let cut = memchr::memmem::find(&bytes[start..line], super::scan::CUT);
        cut.map_or(line, |at| start + at)
    })
}

/// Whether what stands at `at` may follow the end of a quoted text.
fn goes_on_after(scan: &Scan<'_>, at: usize) -> bool {
    match scan.get(at) {
        0..=b' ' | b',' | b';' | b':' | b'.' | b'}' | b']' | b')' | b'>' | b'"' | b'\'' => true,
        b'\\' => matches!(scan.get(at + 1), b'n' | b'r' | b't'),
        _ => false,
    }
}

/// Whether the bracket at `at` opens a list, dict or tuple of literals rather than code.
pub(super) fn holds_literals(scan: &mut Scan<'_>, at: usize) -> bool {
    const MOST_SPACE: usize = 64;
    let mut at = at + 1;
    for _ in 0..4 {
        let rest = &scan.bytes[at.min(scan.bytes.len())..];
        let space = rest.iter().take(MOST_SPACE);
        at += space.take_while(|b| b.is_ascii_whitespace()).count();
        if open_at(scan, at).is_some() {
            return true;
        }
        if !matches!(scan.get(at), b'[' | b'{' | b'(') {
            return false;
        }
        at += 1;
    }
    false
}

/// Where the bracket at `open` is closed, or the text ends.
pub(super) fn closing_bracket(scan: &mut Scan<'_>, open: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = open;
    while at < scan.bytes.len() {
        if let Some(quote) = quote_at(scan, at) {
            let start = at + quote.len();
            let end = close(scan, &quote, start);
            at = (end + quote.len()).max(at + 1);
            continue;
        }
        match scan.bytes[at] {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            0xe2 if scan.cut_at(at) => return at,
            _ => {}
        }
        if depth > MOST_DEPTH {
            return at;
        }
        at += 1;
    }
    scan.bytes.len()
}
