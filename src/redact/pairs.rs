//! Names and values in text: `password=…`, `"token": "…"`, `--api-key …`, `Cookie: …`, `password is …`.

use std::ops::Range;

use super::Redactor;
use super::quoted::{self, Quote};
use super::rules::{AUTHORIZATION, COOKIE, PASSWORD, QUERY, RuleId, TOKEN};
use super::scan::{Ahead, Class, Scan, Why};
use super::{keys, schemes, values};

/// How many characters may stand between a comma and the `=` of the next name.
const MOST_NAME: usize = 40;

/// What is between a name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
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
struct Named {
    range: Range<usize>,
    rule: RuleId,
    /// Believed only if nothing else could stand there.
    doubtful: bool,
}

/// A word of a secret's name stands at `at`.
pub(super) fn pair(scan: &mut Scan<'_>, rules: &Redactor, at: usize) {
    if at < scan.names_until {
        return;
    }
    let range = name_at(scan, at);
    scan.names_until = range.end;
    let Some(name) = named(scan, rules, range) else {
        return;
    };
    let Some((between, at)) = separator(scan, &name) else {
        return;
    };
    value(scan, rules, &name, between, at);
}

/// The name that the word at `at` is part of.
fn name_at(scan: &mut Scan<'_>, at: usize) -> Range<usize> {
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

fn named(scan: &Scan<'_>, rules: &Redactor, mut range: Range<usize>) -> Option<Named> {
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
            return Some(QUERY);
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
fn separator(scan: &mut Scan<'_>, name: &Named) -> Option<(Between, usize)> {
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

fn value(scan: &mut Scan<'_>, rules: &Redactor, name: &Named, between: Between, after: usize) {
    if between == Between::Tag {
        let Some(end) = scan.next(Ahead::Less, after) else {
            return;
        };
        secret(scan, name, after..end, false);
        return;
    }
    let at = scan.spaces(after);
    if let Some((quote, start)) = quoted::open_at(scan, at) {
        let end = quoted::close(scan, &quote, start);
        in_quotes(scan, rules, name, between, &quote, start..end);
    } else if matches!(scan.get(at), b'[' | b'{' | b'(') && quoted::holds_literals(scan, at) {
        if !matches!(between, Between::Sentence | Between::Flag | Between::Comma) && !name.doubtful
        {
            let end = quoted::closing_bracket(scan, at);
            scan.report(at + 1..end, name.rule, Why::Name(name.range.clone()));
        }
    } else if !matches!(
        between,
        Between::Comma | Between::Compared | Between::Nothing
    ) {
        bare(scan, rules, name, between, after, at);
    }
}

fn in_quotes(
    scan: &mut Scan<'_>,
    rules: &Redactor,
    name: &Named,
    between: Between,
    quote: &Quote,
    range: Range<usize>,
) {
    let body = &scan.bytes[range.clone()];
    if between == Between::Comma {
        let next = scan.spaces(range.end + quote.len());
        let is = |word: &[u8]| body.eq_ignore_ascii_case(word);
        if scan.get(next) == b':' {
            // {"name": "authorization", "value": "…"}
            if is(b"value") || is(b"val") {
                value(scan, rules, name, Between::Colon, next + 1);
            }
            return;
        }
        let header =
            matches!(name.rule, AUTHORIZATION | COOKIE) && body.iter().any(|b| b" =".contains(b));
        if !header && !values::is_opaque(body, 6) && !is_pair(scan, name, next, body) {
            return;
        }
    }
    if name.doubtful && !values::is_opaque(body, 6)
        || matches!(between, Between::Colon | Between::Sentence)
            && is_a_parsers(scan, name)
            && !values::is_opaque(body, 6)
    {
        return;
    }
    secret(scan, name, range, true);
}

/// Whether name and value are alone between brackets, `('X-Auth-Token', '…')`, and no list of names: the name is a header's, or the
/// brackets stand in a list. What stands after the value begins at `after`.
fn is_pair(scan: &Scan<'_>, name: &Named, after: usize, body: &[u8]) -> bool {
    let before = &scan.bytes[..name.range.start];
    let quote = before
        .iter()
        .rev()
        .take(16)
        .take_while(|b| matches!(b, b'"' | b'\'' | b'\\' | b'b'))
        .count();
    let (bracket, outside) = match &before[..before.len() - quote] {
        [outside @ .., bracket @ (b'(' | b'[')] => (*bracket, outside),
        _ => return false,
    };
    let closed = scan.get(after) == if bracket == b'(' { b')' } else { b']' };
    let own = &scan.bytes[name.range.clone()];
    let in_list = matches!(
        outside.trim_ascii_end().last(),
        Some(b'[' | b'(' | b',' | b'{')
    );
    quote > 0 && closed && (in_list || own.contains(&b'-')) && !keys::is_name(body)
}

fn is_subscript(scan: &Scan<'_>, name: &Named) -> bool {
    matches!(scan.get(name.range.end), b'"' | b'\'') && scan.get(name.range.end + 1) == b']'
}

/// `arn:aws:secretsmanager:eu-west-1:123456789012:secret:name`
fn is_in_arn(scan: &Scan<'_>, name: &Named) -> bool {
    let before = &scan.bytes[..name.range.start];
    let before = &before[before.len().saturating_sub(96)..];
    before.ends_with(b":") && memchr::memmem::find(before, b"arn:").is_some()
}

/// `unexpected token: …`
fn is_a_parsers(scan: &Scan<'_>, name: &Named) -> bool {
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

/// An unquoted value.
fn bare(
    scan: &mut Scan<'_>,
    rules: &Redactor,
    name: &Named,
    between: Between,
    after: usize,
    at: usize,
) {
    let tight = at == after;
    let encoded = match between {
        Between::Encoded(times) => times,
        _ => 0,
    };
    let why = Why::Name(name.range.clone());
    // `headers["Authorization"] = header` is code.
    if between == Between::Equals && is_subscript(scan, name) {
        let end = value_end(scan, at, 0);
        let body = &scan.bytes[at..end];
        if !values::is_opaque(body, 6) || values::is_code(body) {
            return;
        }
    }
    if name.rule == AUTHORIZATION && encoded == 0 && between != Between::Sentence {
        let tight = tight || between == Between::Equals || begins_line(scan, name);
        schemes::header(scan, at, name.rule, why, tight);
        return;
    }
    if name.rule == COOKIE && is_cookies(scan, at, between) {
        let end = schemes::line_end(scan, at);
        scan.report(at..end, name.rule, why);
        return;
    }
    let end = value_end(scan, at, encoded);
    let body = &scan.bytes[at..end];
    // The value ends before a bracket; a placeholder ends with it: `[REDACTED]`, `{token}`.
    let bracketed = &scan.bytes[at..scan.bytes.len().min(end + 1)];
    if body.is_empty() || values::is_code(body) || values::is_placeholder(bracketed) {
        return;
    }
    if tight && between == Between::Colon && is_in_arn(scan, name) {
        return;
    }
    // `self._password = password`
    let own = &scan.bytes[name.range.clone()];
    let attribute = own.rsplit(|b| *b == b'.').next().unwrap_or(own);
    if attribute.len() < own.len() && values::same(body, attribute) {
        return;
    }
    // An annotation, and then the value: `password: str = "…"`.
    if between == Between::Colon && values::is_none(body, name.rule, b"") {
        let next = scan.spaces(end);
        if scan.get(next) == b'=' && scan.get(next + 1) != b'=' && next > end {
            value(scan, rules, name, Between::Equals, next + 1);
        }
        return;
    }
    if body.starts_with(b"http://") || body.starts_with(b"https://") {
        return;
    }
    let opaque = values::is_opaque(body, 5);
    let believed = match between {
        _ if name.doubtful => values::is_opaque(body, if name.rule == QUERY { 16 } else { 5 }),
        Between::Sentence => opaque,
        Between::Flag => !body.starts_with(b"-"),
        Between::Colon if !tight && !opaque => is_no_sentence(scan, name, at..end),
        Between::Colon if is_a_parsers(scan, name) => opaque,
        _ => true,
    };
    if believed {
        secret(scan, name, at..end, false);
    }
}

/// Whether the plain word after `name: ` is a value and not a sentence's next word.
fn is_no_sentence(scan: &mut Scan<'_>, name: &Named, value: Range<usize>) -> bool {
    let text = &scan.bytes[name.range.clone()];
    if is_a_parsers(scan, name) {
        return false;
    }
    let joined = |b: &u8| matches!(b, b'_' | b'-' | b'.') || b.is_ascii_digit();
    let identifier = text.iter().any(joined)
        || text
            .windows(2)
            .any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
    if identifier || begins_line(scan, name) && schemes::ends_there(scan, value.end) {
        return true;
    }
    let next = scan.spaces(value.end);
    let goes_on = next > value.end && {
        let b = scan.get(next);
        b.is_ascii_alphabetic() || b == b'(' || b == b'-'
    };
    // `user: bob password: swordfish host: x`
    let pair_follows = goes_on && {
        let end = next
            + scan.bytes[next..]
                .iter()
                .take(MOST_NAME)
                .take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b))
                .count();
        matches!(scan.get(end), b'=' | b':')
    };
    !goes_on || pair_follows
}

/// Whether nothing but space, a bullet or a prompt stands before the name on its line.
fn begins_line(scan: &Scan<'_>, name: &Named) -> bool {
    let before = &scan.bytes[..name.range.start];
    let before = before
        .iter()
        .rev()
        .take(8)
        .find(|b| !matches!(b, b' ' | b'\t' | b'-' | b'>' | b'<' | b'*'));
    matches!(before, None | Some(b'\n' | b'\r' | b'"' | b'\''))
        || scan.escape_before(name.range.start) > 0
}

/// Whether the value of a cookie header, or something called so, is pairs that go on to the end of the line.
fn is_cookies(scan: &mut Scan<'_>, at: usize, between: Between) -> bool {
    if !matches!(between, Between::Colon | Between::Equals) {
        return false;
    }
    let end = scan.run(Class::Word, at);
    scan.get(end) == b'=' && end > at
        || between == Between::Colon && schemes::words_are_opaque(scan, at)
}

/// Notes the value of `name` in `range`, less an authorization scheme at its beginning.
fn secret(scan: &mut Scan<'_>, name: &Named, range: Range<usize>, quoted: bool) {
    let body = &scan.bytes[range.clone()];
    let own = &scan.bytes[name.range.clone()];
    // A shell's working directory; in a connection string the same name is a password's.
    if own == b"PWD" && values::is_path(body) {
        return;
    }
    if values::is_none(body, name.rule, own) && !scan.cut_at(range.end)
        || values::is_none(body, name.rule, own) && body.is_empty()
    {
        return;
    }
    let start = schemes::after_scheme(scan, range.clone());
    if start > range.start && values::is_none(&scan.bytes[start..range.end], name.rule, own) {
        return;
    }
    let mut end = range.end;
    if !quoted {
        while end > start + 1 && matches!(scan.bytes[end - 1], b'.' | b',' | b':' | b';') {
            end -= 1;
        }
    }
    scan.report(start..end, name.rule, Why::Name(name.range.clone()));
}

/// Where an unquoted value ends. Depends on nothing before `at`, so that a run is read once.
pub(super) fn value_end(scan: &mut Scan<'_>, at: usize, encoded: u8) -> usize {
    let known = &scan.values[usize::from(encoded)];
    if known.start <= at && at < known.end {
        return known.end;
    }
    let mut end = at;
    while end < scan.bytes.len() && !ends_value(scan, end, encoded) {
        end += 1;
    }
    scan.step(end - at + 1);
    while !scan.text.is_char_boundary(end) {
        end -= 1;
    }
    scan.values[usize::from(encoded)] = at..end;
    end
}

fn ends_value(scan: &mut Scan<'_>, at: usize, encoded: u8) -> bool {
    match scan.bytes[at] {
        0..=b' ' | 0x7f | b'"' | b'\'' | b'`' | b'<' | b'>' => true,
        b'\\' => matches!(
            scan.get(at + 1),
            b'n' | b'r' | b't' | b'"' | b'\'' | b'u' | b'\\' | 0
        ),
        b',' | b';' | b'&' | b'|' => scan.has(at, "&amp;") || separates(scan, at + 1),
        b')' | b']' | b'}' => matches!(
            scan.get(at + 1),
            0..=b' '
                | b'"'
                | b'\''
                | b'`'
                | b','
                | b';'
                | b'.'
                | b':'
                | b')'
                | b']'
                | b'}'
                | b'<'
                | b'&'
                | b'\\'
        ),
        // `&`, a space, a quote and the like, encoded as often as the `=` was: more often, they are the value's.
        b'%' if encoded > 0 => {
            let after = match encoded {
                2 if scan.has(at, "%25") => 3,
                _ => 1,
            };
            matches!(
                (
                    scan.get(at + after),
                    scan.get(at + after + 1).to_ascii_lowercase()
                ),
                (b'2', b'6' | b'0' | b'2' | b'3' | b'7' | b'c')
                    | (b'0', b'a' | b'd')
                    | (b'3', b'b')
            )
        }
        0xe2 => scan.cut_at(at),
        _ => false,
    }
}

/// Whether what stands at `at`, after a comma or the like, is the next thing and no more of the value.
fn separates(scan: &mut Scan<'_>, at: usize) -> bool {
    match scan.get(at) {
        0..=b' ' | b'"' | b'\'' | b'`' | b'<' | b')' | b']' | b'}' | b'\\' | b'{' | b'[' => {
            return true;
        }
        _ => {}
    }
    let rest = &scan.bytes[at..scan.bytes.len().min(at + MOST_NAME)];
    let name = rest
        .iter()
        .take_while(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'$')
        })
        .count();
    let end = at + name;
    name > 0
        && (matches!(scan.get(end), b'=' | b':') || scan.has(end, "%3d") || scan.has(end, "%5"))
}
