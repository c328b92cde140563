//! Authorization schemes and what follows them: `Bearer …`, `Basic …`, and the values of authorization headers.

use std::ops::Range;

use super::rules::{RuleId, SCHEME};
use super::scan::{Class, Scan, Why};
use super::values;

/// A scheme, and how what follows it is known where no header's name stands before it.
pub(super) struct Scheme {
    pub(super) name: &'static str,
    follows: Follows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// Something opaque of at least so many characters.
    Opaque(usize),
    /// Base64 of `user:password`.
    Pair,
    /// Parameters.
    Parameters,
}

pub(super) const SCHEMES: &[Scheme] = &[
    scheme("bearer", Follows::Opaque(6)),
    scheme("basic", Follows::Pair),
    scheme("digest", Follows::Parameters),
    scheme("token", Follows::Opaque(20)),
    scheme("apikey", Follows::Opaque(10)),
    scheme("api-key", Follows::Opaque(10)),
    scheme("negotiate", Follows::Opaque(20)),
    scheme("ntlm", Follows::Opaque(20)),
    scheme("hawk", Follows::Parameters),
    scheme("oauth", Follows::Parameters),
    scheme("aws4-hmac-sha256", Follows::Parameters),
    scheme("sso-key", Follows::Opaque(20)),
    scheme("dpop", Follows::Opaque(20)),
    scheme("splunk", Follows::Opaque(20)),
    scheme("geniekey", Follows::Opaque(20)),
];

const fn scheme(name: &'static str, follows: Follows) -> Scheme {
    Scheme { name, follows }
}

/// How much of a header's value is looked at before it is judged.
const MOST_JUDGED: usize = 256;

/// The space after a scheme's name: also `+` and `%20`, as URLs have it, or a tab.
fn space(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    match scan.get(at) {
        b' ' | b'\t' => Some(scan.spaces(at)),
        b'+' => Some(at + 1),
        b'%' if scan.has(at, "%20") => Some(at + 3),
        _ => None,
    }
}

/// The scheme `index` at `at`, in any text.
pub(super) fn anywhere(scan: &mut Scan<'_>, index: usize, at: usize) {
    let scheme = &SCHEMES[index];
    if !scan.begins(at) {
        return;
    }
    let Some(start) = space(scan, at + scheme.name.len()) else {
        return;
    };
    let end = match scheme.follows {
        Follows::Parameters => {
            if !begins_with_parameter(scan, start) {
                return;
            }
            line_end(scan, start)
        }
        Follows::Opaque(least) => {
            let end = credential_end(scan, start);
            let body = &scan.bytes[start..end];
            let is = values::is_opaque(body, least) || end > start && scan.cut_at(end);
            if !is {
                return;
            }
            end
        }
        Follows::Pair => {
            let end = credential_end(scan, start);
            let body = &scan.bytes[start..end];
            let is = is_pair(body) || body.len() >= 4 && scan.cut_at(end);
            if !is {
                return;
            }
            end
        }
    };
    scan.report(start..end, SCHEME, Why::Rule);
}

/// Where it ends; at its start where it is none, but a parameter: `Bearer grant_type=…`.
fn credential_end(scan: &mut Scan<'_>, start: usize) -> usize {
    let mut end = scan.run(Class::Token68, start);
    let body = &scan.bytes[start..end];
    let padding = body.iter().rev().take_while(|b| **b == b'=').count();
    // `realm="…"`, `grant_type=…`
    if padding > 0 && matches!(scan.get(end), b'"' | b'\'' | b'\\')
        || scan.bytes[start..end - padding]
            .iter()
            .take(64)
            .any(|b| *b == b'=')
    {
        return start;
    }
    while end > start && scan.bytes[end - 1] == b'.' {
        end -= 1;
    }
    end
}

/// `username=`, `realm=`, `Credential=` and the like.
fn begins_with_parameter(scan: &Scan<'_>, at: usize) -> bool {
    [
        "username=",
        "realm=",
        "nonce=",
        "uri=",
        "response=",
        "credential=",
        "id=",
        "oauth_",
        "qop=",
        "cnonce=",
    ]
    .iter()
    .any(|name| scan.has(at, name))
}

/// Whether `body` is base64 of something printable with a colon in it, or looks like nothing but base64.
fn is_pair(body: &[u8]) -> bool {
    const MOST: usize = 512;
    if body.len() < 6 {
        return false;
    }
    let mut colon = false;
    let mut printable = true;
    let mut bits = 0_u32;
    let mut held = 0_u32;
    for &byte in body.iter().take(MOST) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => continue,
            _ => return false,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            let decoded = bits >> held & 0xff;
            colon |= decoded == u32::from(b':');
            printable &= decoded >= u32::from(b' ') && decoded != 0x7f;
        }
    }
    colon && printable || values::is_opaque(body, 16)
}

/// The end of a header's line: a line end, written out too, or the quote in which the header stands.
pub(super) fn line_end(scan: &mut Scan<'_>, start: usize) -> usize {
    let bytes = scan.bytes;
    let mut quotes = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if matches!(scan.get(at + 1), b'n' | b'r') => break,
            // A parameter in quotes: `realm="x"`. Otherwise the end of what the header stands in.
            b'"' | b'\'' if quotes % 2 == 1 || at > start && bytes[at - 1] == b'=' => quotes += 1,
            b'\\' if matches!(scan.get(at + 1), b'"' | b'\'') && quotes.is_multiple_of(2) => {
                if at > start && bytes[at - 1] == b'=' {
                    quotes += 1;
                    at += 1;
                } else {
                    break;
                }
            }
            b'"' | b'\'' | b'\n' | b'\r' => break,
            0xe2 if scan.cut_at(at) => break,
            _ => {}
        }
        at += 1;
    }
    scan.step(at - start);
    while at > start && matches!(bytes[at - 1], b' ' | b'\t') {
        at -= 1;
    }
    at
}

/// Whether `name` is a scheme's.
pub(super) fn is_scheme(name: &[u8]) -> bool {
    let others = ["key", "bot"];
    let mut known = SCHEMES.iter().map(|s| s.name).chain(others);
    known.any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Where in the value `range` of a secret the secret itself begins: after a scheme.
pub(super) fn after_scheme(scan: &mut Scan<'_>, range: Range<usize>) -> usize {
    let word = scan.run(Class::Word, range.start).min(range.end);
    let name = &scan.bytes[range.start..word];
    if !is_scheme(name) {
        return range.start;
    }
    match space(scan, word) {
        Some(start) if start < range.end => start,
        _ => range.start,
    }
}

/// The value of an authorization header that goes on to the end of its line.
pub(super) fn header(scan: &mut Scan<'_>, at: usize, rule: RuleId, why: Why, tight: bool) {
    let most = scan.bytes.len().min(at + MOST_JUDGED);
    let start = after_scheme(scan, at..most);
    if begins_with_parameter(scan, start) || scan.has(start, "token=") {
        let end = line_end(scan, start);
        scan.report(start..end, rule, why);
        return;
    }
    let end = super::pairs::value_end(scan, start, 0);
    let word = values::trim_end(&scan.bytes[start..end]);
    if start > at {
        if !values::is_none(word, rule, b"authorization") || scan.cut_at(end) {
            let end = start + word.len().max(end - start);
            scan.report(start..end, rule, why);
        }
        return;
    }
    if words_are_opaque(scan, at) {
        let end = line_end(scan, at);
        scan.report(at..end, rule, why);
    } else if !values::is_none(word, rule, b"authorization") && (tight || ends_there(scan, end)) {
        scan.report(at..end, rule, why);
    }
}

/// Whether one of the first words is no word.
pub(super) fn words_are_opaque(scan: &mut Scan<'_>, at: usize) -> bool {
    let most = scan.bytes.len().min(at + MOST_JUDGED);
    let text = &scan.bytes[at..most];
    let line = text
        .iter()
        .position(|b| matches!(b, b'\n' | b'\r' | b'"' | b'\'' | b'\\'))
        .unwrap_or(text.len());
    scan.step(line);
    text[..line]
        .split(|b| *b == b' ')
        .take(8)
        .any(|word| values::is_opaque(word, 6))
}

/// Whether the line, or what the value stands in, ends at `at`.
pub(super) fn ends_there(scan: &Scan<'_>, at: usize) -> bool {
    matches!(
        scan.get(at),
        0 | b'\n'
            | b'\r'
            | b'"'
            | b'\''
            | b'`'
            | b'\\'
            | b','
            | b';'
            | b'&'
            | b')'
            | b']'
            | b'}'
            | b'<'
    ) || scan.cut_at(at)
}
