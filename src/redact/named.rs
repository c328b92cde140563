//! A name of a secret in text, and what stands between it and its value.

use std::ops::Range;

use super::Redactor;
use super::quoted::{self, Quote};
use super::rules::{PASSWORD, QUERY, RuleId, TOKEN};
use super::scan::{Class, Scan};

/// What is between a name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// `=`, `:=`, `=>`
    Equals,
    /// `==`: a comparison, or an assignment in some languages' tables.
    Compared,
    /// `:`
    Colon,
    /// `%3D`, or `%253D`: how often it is encoded.
    Encoded(u8),
    /// `, ` between two quoted texts
    Comma,
    /// White space after `--name`
    Flag,
    /// `password is …`
    Sentence,
    /// `PASSWORD '…'`
    Nothing,
    /// `<password>…<`
    Tag,
}

/// A name in the text, and what was made of it.
pub(super) struct Named {
    pub(super) range: Range<usize>,
    pub(super) rule: RuleId,
    /// Believed only if nothing else could stand there.
    pub(super) doubtful: bool,
}

/// The name that the word at `at` is part of.
pub(super) fn name_at(scan: &mut Scan<'_>, at: usize) -> Range<usize> {
    let end = scan.run(Class::Dotted, at);
    let mut start = at;
    while start > scan.names_until && scan.is(Class::Dotted, start - 1) {
        start -= 1;
    }
    scan.step(end - start);
    // Letters that end an escape are not the name's: `\npassword`, `%3Fapi_key`.
    for n in [5, 3, 2, 1] {
        if start + n < end && scan.escape_before(start + n) == n {
            start += n;
            break;
        }
    }
    start..end
}

pub(super) fn named(scan: &Scan<'_>, rules: &Redactor, mut range: Range<usize>) -> Option<Named> {
    let bytes = scan.bytes;
    let text = &bytes[range.clone()];
    let mut doubtful = false;
    let rule = rules.key(text).or_else(|| {
        let is = |word: &[u8]| text.eq_ignore_ascii_case(word);
        let before = range.start.checked_sub(1).map_or(0, |at| bytes[at]);
        let parameter =
            matches!(before, b'?' | b'&' | b'#' | b';') || scan.escape_before(range.start) == 2;
        if is(b"sig")
            || is(b"x-amz-signature")
            || is(b"x-goog-signature")
            || parameter
                && (is(b"key") || is(b"code") || is(b"auth") || is(b"signature") || is(b"hmac"))
        {
            doubtful = true;
            return (!rules.allows(text)).then_some(QUERY);
        }
        // Two words: `API key: …`, `private key = …`.
        if (is(b"key") || is(b"keys")) && before == b' ' {
            let word = bytes[..range.start - 1]
                .iter()
                .rev()
                .take(24)
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                .count();
            range.start -= word + 1;
            return rules.key(&bytes[range.clone()]);
        }
        if text == b"PWD" && !rules.allows(text) {
            return Some(PASSWORD);
        }
        if is(b"pass") && !rules.allows(text) {
            doubtful = true;
            return Some(PASSWORD);
        }
        None
    })?;
    rules.is_on(rule).then_some(Named {
        range,
        rule,
        doubtful,
    })
}

/// What follows the name, and where the value begins.
pub(super) fn separator(scan: &mut Scan<'_>, name: &Named) -> Option<(Between, usize)> {
    let mut at = name.range.end;
    if scan.get(at) == b'>' && name.range.start > 0 && scan.bytes[name.range.start - 1] == b'<' {
        return Some((Between::Tag, at + 1));
    }
    at = bracket(scan, at);
    let quote = quoted::quote_at(scan, at);
    at += quote.as_ref().map_or(0, Quote::len);
    at = bracket(scan, at);
    let spaced = scan.spaces(at);
    let is_flag = scan.bytes[name.range.clone()].starts_with(b"--");
    let verb = |word: &str| {
        scan.has(spaced, word) && matches!(scan.get(spaced + word.len()), b' ' | b':' | b'\t')
    };
    let found = match scan.get(spaced) {
        b'=' | b'-' if scan.get(spaced + 1) == b'>' => (Between::Equals, 2),
        b'=' if scan.get(spaced + 1) == b'=' => (
            Between::Compared,
            2 + usize::from(scan.get(spaced + 2) == b'='),
        ),
        b'=' => (Between::Equals, 1),
        b':' if scan.get(spaced + 1) == b'=' => (Between::Equals, 2),
        b':' if scan.get(spaced + 1) == b':' => return None,
        b':' => (Between::Colon, 1),
        b'%' if scan.has(spaced, "%3d") || scan.has(spaced, "%3a") => (Between::Encoded(1), 3),
        b'%' if scan.has(spaced, "%253d") || scan.has(spaced, "%253a") => (Between::Encoded(2), 5),
        b'\\' if scan.has(spaced, "\\u003d") || scan.has(spaced, "\\u003a") => (Between::Equals, 6),
        b',' if quote.is_some() => (Between::Comma, 1),
        _ if spaced == at => return None,
        _ if is_flag => (Between::Flag, 0),
        _ if verb("is") || verb("to") => (Between::Sentence, 3),
        _ if verb("was") => (Between::Sentence, 4),
        _ if verb("set to") => (Between::Sentence, 7),
        b'\'' | b'"' if name.rule == PASSWORD && quote.is_none() => (Between::Nothing, 0),
        _ => return None,
    };
    Some((found.0, spaced + found.1))
}

/// `]` of `user[password]`, also percent-encoded.
fn bracket(scan: &Scan<'_>, at: usize) -> usize {
    match scan.get(at) {
        b']' => at + 1,
        b'%' if scan.has(at, "%5d") => at + 3,
        _ => at,
    }
}

pub(super) fn is_subscript(scan: &Scan<'_>, name: &Named) -> bool {
    matches!(scan.get(name.range.end), b'"' | b'\'') && scan.get(name.range.end + 1) == b']'
}

/// `arn:aws:secretsmanager:eu-west-1:123456789012:secret:name`
pub(super) fn is_in_arn(scan: &Scan<'_>, name: &Named) -> bool {
    let before = &scan.bytes[..name.range.start];
    let before = &before[before.len().saturating_sub(96)..];
    before.ends_with(b":") && memchr::memmem::find(before, b"arn:").is_some()
}

/// `unexpected token: …`
pub(super) fn is_a_parsers(scan: &Scan<'_>, name: &Named) -> bool {
    if name.rule != TOKEN || name.range.len() != "token".len() {
        return false;
    }
    let before = scan.bytes[..name.range.start].trim_ascii_end();
    let before = &before[before.len().saturating_sub(16)..];
    let word = before
        .rsplit(|b| !b.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    [
        "unexpected",
        "invalid",
        "unknown",
        "illegal",
        "bad",
        "missing",
        "expected",
        "next",
        "last",
        "first",
        "previous",
        "current",
        "syntax",
        "sampled",
        "generated",
        "each",
        "special",
        "per",
    ]
    .iter()
    .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
}
