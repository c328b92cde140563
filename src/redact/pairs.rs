//! Names and values in text: `password=…`, `"token": "…"`, `--api-key …`, `Cookie: …`, `password is …`.

use std::ops::Range;

use super::Redactor;
use super::extent::{MOST_NAME, value_end};
use super::named::{
    Between, Named, is_a_parsers, is_in_arn, is_subscript, name_at, named, separator,
};
use super::quoted::{self, Quote};
use super::rules::{AUTHORIZATION, COOKIE, QUERY};
use super::scan::{Ahead, Class, Scan, Why};
use super::{keys, schemes, values};

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
        if !header && !values::is_opaque(body, 6) && !is_pair(scan, name, next, range.end, body) {
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
fn is_pair(scan: &Scan<'_>, name: &Named, after: usize, value_end: usize, body: &[u8]) -> bool {
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
    let closed =
        scan.get(after) == if bracket == b'(' { b')' } else { b']' } || scan.cut_at(value_end);
    let own = &scan.bytes[name.range.clone()];
    let in_list = matches!(
        outside.trim_ascii_end().last(),
        Some(b'[' | b'(' | b',' | b'{')
    );
    quote > 0 && closed && (in_list || own.contains(&b'-')) && !keys::is_name(body)
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
    let done = body.starts_with(b"***");
    if values::is_none(body, name.rule, own) && (done || !scan.cut_at(range.end))
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
