//! Tokens by their shape, JSON Web Tokens, private keys in PEM form.

use super::prefilter;
use super::rules::{CUT, JWT, OPENAI, PEM};
use super::scan::{Ahead, Class, Scan, Why};
use super::shapes::{Look, SK, Shape};
use super::values;

/// How far before a JWT a name may stand that its run of characters includes.
const JWT_PREFIX: usize = 32;

/// What begins at `at` as `shape` does.
pub(super) fn token(scan: &mut Scan<'_>, shape: &Shape, at: usize) {
    let body = at + shape.begins.len();
    if scan.bytes.get(at..body) != Some(shape.begins.as_bytes()) {
        return;
    }
    let end = scan.run(shape.class, body);
    let mut rule = shape.rule;
    let mut start = at;
    let cut = scan.cut_at(end);
    let long_enough = end - body >= shape.least && end - at >= prefilter::RUN || cut;
    let is = match shape.look {
        Look::Plain => long_enough && scan.begins(at),
        Look::Opaque => {
            long_enough && scan.begins(at) && (cut || has_digit(&scan.bytes[body..end]))
        }
        Look::Exact => {
            (end - body == shape.least && !scan.is(Class::Word, end) || cut) && scan.begins(at)
        }
        Look::Webhook => {
            start = body;
            long_enough
        }
        Look::Telegram => {
            start = at + 1;
            long_enough && follows_a_number(scan, at)
        }
        Look::Azure => {
            start = at.saturating_sub(3);
            long_enough && (start..at).all(|i| scan.is(Class::Token68, i)) && scan.begins(start)
        }
        Look::Sk => {
            let (found, least, distinctive) = sk(&scan.bytes[body..end]);
            rule = found;
            let rest = &scan.bytes[body + least..end];
            let fits = rest.len() >= shape.least
                && end - at >= prefilter::RUN
                && (distinctive || values::is_key_material(rest));
            scan.begins(at) && (fits || cut)
        }
    };
    if is {
        let end = trimmed(scan, start, end);
        scan.report(start..end, rule, Why::Rule);
    }
}

/// Whose key `body` is, how much of it says so, and whether that is enough.
fn sk(body: &[u8]) -> (super::RuleId, usize, bool) {
    SK.iter()
        .find(|(begins, _, _)| body.starts_with(begins.as_bytes()))
        .map_or((OPENAI, 0, false), |&(begins, rule, distinctive)| {
            (rule, begins.len(), distinctive)
        })
}

fn has_digit(body: &[u8]) -> bool {
    body.iter().take(256).any(u8::is_ascii_digit)
}

/// Without the full stop of a sentence.
fn trimmed(scan: &Scan<'_>, start: usize, mut end: usize) -> usize {
    while end > start && scan.bytes[end - 1] == b'.' {
        end -= 1;
    }
    end
}

/// A bot's number: six to twelve digits before the colon at `at`, alone or after `bot`.
fn follows_a_number(scan: &Scan<'_>, at: usize) -> bool {
    let digits = scan.bytes[at.saturating_sub(13)..at]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let start = at - digits;
    (6..=12).contains(&digits) && (scan.begins(start) || scan.bytes[..start].ends_with(b"bot"))
}

/// `eyJ…` at `at`: three parts, or five.
pub(super) fn jwt(scan: &mut Scan<'_>, at: usize) {
    if scan.bytes.get(at..at + 3) != Some(b"eyJ") || !scan.begins(at) {
        return;
    }
    // Of a long run with many beginnings only the first is looked at: otherwise each would read all of it.
    let before = scan.bytes[at.saturating_sub(JWT_PREFIX)..at].iter().rev();
    let prefix = before
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        .count();
    if prefix == JWT_PREFIX {
        return;
    }
    let end = scan.run(Class::Dotted, at);
    scan.step(end - at);
    let mut parts = scan.bytes[at..end].split(|b| *b == b'.');
    let first = parts.next().map_or(0, <[u8]>::len);
    let second = parts.next().map(<[u8]>::len);
    let third = parts.next();
    let whole = end - at >= prefilter::RUN
        && first >= 10
        && second.is_some_and(|len| len == 0 || len >= 8)
        && third.is_some();
    if whole || first >= 8 && scan.cut_at(end) {
        let end = trimmed(scan, at, end);
        scan.report(at..end, JWT, Why::Rule);
    }
}

/// `-----BEGIN` at `at`: of a private key everything between the first line and the last.
pub(super) fn pem(scan: &mut Scan<'_>, at: usize) {
    const BEGIN: &str = "-----BEGIN ";
    const MOST_LABEL: usize = 64;
    if !scan.has(at, BEGIN) {
        return;
    }
    let label = at + BEGIN.len();
    let rest = &scan.bytes[label..scan.bytes.len().min(label + MOST_LABEL)];
    let Some(len) = memchr::memmem::find(rest, b"-----") else {
        return;
    };
    if memchr::memmem::find(&rest[..len], b"PRIVATE KEY").is_none() {
        return;
    }
    let body = label + len + 5;
    let end = match scan.next(Ahead::Dashes, body) {
        Some(end) if scan.has(end, "-----END") => end,
        other => unfinished(scan, body, other.unwrap_or(scan.bytes.len())),
    };
    let mut start = body;
    let mut end = end;
    // Line ends stay, written out too.
    while start < end && scan.bytes[start].is_ascii_whitespace() {
        start += 1;
    }
    while start + 1 < end && scan.bytes[start] == b'\\' && b"nr".contains(&scan.bytes[start + 1]) {
        start += 2;
    }
    while start < end && scan.bytes[end - 1].is_ascii_whitespace() {
        end -= 1;
    }
    while start + 1 < end && scan.bytes[end - 2] == b'\\' && b"nr".contains(&scan.bytes[end - 1]) {
        end -= 2;
    }
    if !scan.bytes[start..end].starts_with(b"***") {
        scan.report(start..end, PEM, Why::Rule);
    }
}

/// Where a key without a last line ends: it was cut, or its end is elsewhere.
fn unfinished(scan: &mut Scan<'_>, body: usize, most: usize) -> usize {
    let len = scan.bytes[body..most]
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || b"+/= \t\r\n\\:,-.".contains(b)))
        .unwrap_or(most - body);
    scan.step(len);
    body + len
}

/// The middle of a text was left out (`…(truncated, 900 chars)…`, which ends with the number that begins at `at`): what follows may be
/// the end of a secret that began there.
pub(super) fn rest(scan: &mut Scan<'_>, at: usize) {
    const MOST_KEY: usize = 16 << 10;
    const LEAST: usize = 8;
    let digits = scan.bytes[at..]
        .iter()
        .take(20)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let note = " chars)…".as_bytes();
    let Some(after) = scan.bytes[at + digits..].strip_prefix(note) else {
        return;
    };
    let start = at + digits + note.len() + usize::from(after.first() == Some(&b'\n'));
    let end = match scan.next(Ahead::Dashes, start) {
        // The last line of a key whose first one is gone, percent-encoded too.
        Some(end) if end - start < MOST_KEY && scan.has(end, "-----END") => {
            let line = &scan.bytes[end..scan.bytes.len().min(end + 64)];
            memchr::memmem::find(line, b"PRIVATE").map(|_| end)
        }
        _ => None,
    };
    if let Some(end) = end {
        if !scan.bytes[start..end].starts_with(b"***") {
            scan.report(start..end, PEM, Why::Rule);
        }
        return;
    }
    let end = scan.run(Class::Url, start);
    if values::is_opaque(&scan.bytes[start..end], LEAST) {
        scan.report(start..end, CUT, Why::Rule);
    }
}
