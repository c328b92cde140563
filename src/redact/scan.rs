//! A text being looked at: runs of characters, each read once however often it is asked for, and what was found so far.

use std::ops::Range;

use super::rules::RuleId;

/// Sets of ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// Letters and digits.
    Alnum,
    /// Upper-case letters and digits.
    Upper,
    /// Letters, digits, `_`, `-`: base64 for URLs.
    Word,
    /// The same and `.`: names, JWTs.
    Dotted,
    /// What HTTP calls token68: letters, digits, `-._~+/=`.
    Token68,
    /// Path of a URL: token68 and `%`, `:`, `@`.
    Path,
    /// Not white space, no control, no quote, no `<>`: what a URL may hold.
    Url,
}
const CLASSES: usize = 7;

/// Bit n: member of class n.
static MEMBER: [u8; 256] = members();

const fn members() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    #[allow(clippy::cast_possible_truncation)] // Below 256.
    while byte < 256 {
        let b = byte as u8;
        let alnum = b.is_ascii_alphanumeric();
        let word = alnum || b == b'_' || b == b'-';
        let dotted = word || b == b'.';
        let token68 = dotted || b == b'~' || b == b'+' || b == b'/' || b == b'=';
        let path = token68 || b == b'%' || b == b':' || b == b'@';
        let url = b > b' ' && b != 0x7f && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\');
        let upper = b.is_ascii_uppercase() || b.is_ascii_digit();
        table[byte] = alnum as u8
            | (upper as u8) << 1
            | (word as u8) << 2
            | (dotted as u8) << 3
            | (token68 as u8) << 4
            | (path as u8) << 5
            | (url as u8) << 6;
        byte += 1;
    }
    table
}

/// Why something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The rule's own reason.
    Rule,
    /// The value under the name that stands there.
    Name(Range<usize>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    pub(super) rule: RuleId,
    pub(super) why: Why,
}

pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) bytes: &'t [u8],
    pub(super) found: Vec<Found>,
    /// Up to where names have been judged.
    pub(super) names_until: usize,
    /// Up to where the last finding reaches.
    pub(super) covered: usize,
    /// The run of each class that was read last.
    runs: [Range<usize>; CLASSES],
    /// The run of an unquoted value that was read last: in plain text, percent-encoded, and that twice.
    pub(super) values: [Range<usize>; 3],
    /// Where the next of something is that was looked for: see `next`.
    ahead: [(usize, Option<usize>); AHEADS],
    /// Bytes looked at, for the proof that they are few.
    #[cfg(test)]
    pub(super) steps: usize,
}

/// What may be looked for far ahead, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ahead {
    At,
    Less,
    Newline,
    Dashes,
}
const AHEADS: usize = 4;

/// How a text that was cut ends.
pub(super) const CUT: &[u8] = "…(truncated, ".as_bytes();

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            found: Vec::new(),
            names_until: 0,
            covered: 0,
            runs: [const { 0..0 }; CLASSES],
            values: [const { 0..0 }; 3],
            ahead: [(usize::MAX, None); AHEADS],
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Where the run of `class` that goes on at `at` ends.
    pub(super) fn run(&mut self, class: Class, at: usize) -> usize {
        let known = &mut self.runs[class as usize];
        if known.start <= at && at < known.end {
            return known.end;
        }
        let bit = 1 << class as u8;
        let rest = &self.bytes[at.min(self.bytes.len())..];
        let len = rest
            .iter()
            .position(|&b| MEMBER[usize::from(b)] & bit == 0)
            .unwrap_or(rest.len());
        *known = at..at + len;
        self.step(len + 1);
        at + len
    }

    pub(super) fn is(&self, class: Class, at: usize) -> bool {
        self.bytes
            .get(at)
            .is_some_and(|&b| MEMBER[usize::from(b)] & 1 << class as u8 != 0)
    }

    /// Where the next of `what` begins, from `at` on.
    pub(super) fn next(&mut self, what: Ahead, at: usize) -> Option<usize> {
        let (from, found) = self.ahead[what as usize];
        if from <= at && found.is_none_or(|found| at <= found) {
            return found;
        }
        let rest = &self.bytes[at.min(self.bytes.len())..];
        let found = match what {
            Ahead::At => memchr::memchr(b'@', rest),
            Ahead::Less => memchr::memchr(b'<', rest),
            Ahead::Newline => memchr::memchr2(b'\n', b'\r', rest),
            Ahead::Dashes => memchr::memmem::find(rest, b"-----"),
        };
        self.step(found.unwrap_or(rest.len()) + 1);
        let found = found.map(|offset| at + offset);
        self.ahead[what as usize] = (at, found);
        found
    }

    #[cfg(test)]
    pub(super) fn step(&mut self, bytes: usize) {
        self.steps += bytes;
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unused_self)] // Only a test counts.
    pub(super) fn step(&mut self, _: usize) {}

    /// Whether a token may begin at `at`: no letter or digit stands before it, other than one that ends an escape
    /// (`\n`, `\u0022`, `\x1b`, `%3D`).
    pub(super) fn begins(&self, at: usize) -> bool {
        let before = &self.bytes[..at];
        let Some(&last) = before.last() else {
            return true;
        };
        !last.is_ascii_alphanumeric() || self.escape_before(at) > 0
    }

    /// How many letters and digits before `at` belong to an escape that ends there.
    pub(super) fn escape_before(&self, at: usize) -> usize {
        let before = &self.bytes[..at];
        let hex = |n: usize| before[before.len() - n..].iter().all(u8::is_ascii_hexdigit);
        match before {
            [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => 1,
            [.., b'%', _, _] if hex(2) => 2,
            [.., b'\\', b'x', _, _] if hex(2) => 3,
            [.., b'\\', b'u', _, _, _, _] if hex(4) => 5,
            _ => 0,
        }
    }

    /// Whether the text was cut at `at`. In a stack trace the note stands on a line of its own.
    pub(super) fn cut_at(&self, at: usize) -> bool {
        let rest = &self.bytes[at..];
        rest.strip_prefix(b"\n").unwrap_or(rest).starts_with(CUT)
    }

    /// Notes a finding. An empty one is none.
    pub(super) fn report(&mut self, range: Range<usize>, rule: RuleId, why: Why) {
        if range.is_empty() {
            return;
        }
        self.covered = self.covered.max(range.end);
        self.found.push(Found { range, rule, why });
    }

    pub(super) fn get(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Whether `what` (lower case) stands at `at`, in any case.
    pub(super) fn has(&self, at: usize, what: &str) -> bool {
        self.bytes
            .get(at..at + what.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(what.as_bytes()))
    }

    pub(super) fn spaces(&mut self, mut at: usize) -> usize {
        let from = at;
        while matches!(self.get(at), b' ' | b'\t') && at - from < 16 {
            at += 1;
        }
        at
    }
}
