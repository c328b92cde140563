//! Whether what stands in a value's place can be a secret at all.

use super::fold::Folded;
use super::keys;
pub(super) use super::opaque::{is_key_material, is_opaque, is_path};
use super::rules::{COOKIE, RuleId, TOKEN};

/// What stands in a secret's place, in answers about it, or in code that has it.
const NO_SECRETS: &[&str] = &[
    "none",
    "null",
    "nil",
    "undefined",
    "nan",
    "true",
    "false",
    "yes",
    "no",
    "ok",
    "on",
    "off",
    "required",
    "optional",
    "missing",
    "invalid",
    "valid",
    "expired",
    "incorrect",
    "wrong",
    "correct",
    "empty",
    "unset",
    "set",
    "not_set",
    "not-set",
    "absent",
    "present",
    "redacted",
    "masked",
    "hidden",
    "filtered",
    "removed",
    "omitted",
    "unknown",
    "unavailable",
    "disabled",
    "enabled",
    "provided",
    "changed",
    "unchanged",
    "rejected",
    "accepted",
    "revoked",
    "refreshed",
    "denied",
    "failed",
    "ignored",
    "default",
    "string",
    "str",
    "int",
    "integer",
    "bytes",
    "bool",
    "boolean",
    "float",
    "object",
    "text",
    "number",
    "any",
    "secretstr",
    "ellipsis",
    "n/a",
    "na",
    "tbd",
    "todo",
    "basic",
    "bearer",
    "digest",
    "replace_me",
    "replaceme",
    "placeholder",
    "self",
    "this",
    "not",
    "is",
    "must",
    "was",
    "has",
    "cannot",
    "should",
    "may",
    "for",
    "the",
    "your",
    "in",
    "of",
    "and",
    "or",
    "if",
    "from",
    "with",
    "to",
    "too",
    "at",
    "on",
];

/// What code's objects are called before a dot.
const OBJECTS: &[&str] = &[
    "self",
    "os",
    "settings",
    "config",
    "request",
    "args",
    "kwargs",
    "env",
    "cfg",
    "conf",
    "app",
    "cls",
    "ctx",
    "process",
    "this",
    "user",
    "client",
    "data",
    "options",
    "opts",
    "params",
    "credentials",
    "session",
    "auth",
    "response",
    "headers",
    "event",
    "context",
    "secrets",
    "environ",
    "st",
    "req",
    "res",
    "event",
    "props",
    "state",
    "body",
    "form",
    "payload",
    "creds",
    "vars",
    "var",
    "local",
];

pub(super) fn lower_is_one_of(value: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|w| value.eq_ignore_ascii_case(w.as_bytes()))
}

fn is_identifier(value: &[u8]) -> bool {
    value
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && value
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Whether `value`, which stands under a name of `rule`, is none: nothing, a placeholder, a word about it.
pub(super) fn is_none(value: &[u8], rule: RuleId, name: &[u8]) -> bool {
    let value = value.trim_ascii();
    let trimmed = trim_end(value);
    if lower_is_one_of(trimmed, NO_SECRETS) {
        return true;
    }
    // Also what has been redacted before, with and without a hint.
    if value.starts_with(b"***") {
        return true;
    }
    if value
        .iter()
        .all(|b| b.is_ascii() && !b.is_ascii_alphanumeric())
        || value.strip_prefix("\u{2022}".as_bytes()).is_some()
    {
        return true;
    }
    if is_placeholder(value) {
        return true;
    }
    if matches!(rule, TOKEN | COOKIE) && is_number(value) {
        return true;
    }
    same(value, name)
}

/// `password=password`, `self._password = password`, `api_key_header=X-API-Key`: the name of what stands there.
pub(super) fn same(value: &[u8], name: &[u8]) -> bool {
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or(name);
    let (folded, last) = (Folded::of(value), Folded::of(last));
    let header = value.len() > 2 && value[..2].eq_ignore_ascii_case(b"x-");
    folded.compact() == last.compact()
        || folded.compact() == Folded::of(name).compact()
        || header && keys::is_name(value)
}

/// A number, also with a sign, separators, a point, a percent sign.
pub(super) fn is_number(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
        && value.iter().all(|b| {
            b.is_ascii_digit() || matches!(b, b'.' | b',' | b'_' | b'-' | b'+' | b'%' | b'/')
        })
}

pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let inside = |open: &[u8], close: &[u8]| {
        value.len() >= open.len() + close.len() && value.starts_with(open) && value.ends_with(close)
    };
    let wordy = |text: &[u8]| {
        text.iter()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b' ' | b'.' | b'*'))
    };
    if inside(b"<", b">") || inside(b"${", b"}") || inside(b"{{", b"}}") || inside(b"$(", b")") {
        return true;
    }
    if (inside(b"{", b"}") || inside(b"[", b"]") || inside(b"(", b")") || inside(b"%", b"%"))
        && value[1..value.len() - 1]
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.!:() ".contains(b))
    {
        return true;
    }
    match value {
        [b'%', conversion] if conversion.is_ascii_alphabetic() => return true,
        [b'%', b'(', rest @ ..] if rest.len() >= 2 && rest[rest.len() - 2] == b')' => return true,
        [b'$', rest @ ..]
            if is_identifier(rest)
                && (!rest.iter().any(u8::is_ascii_lowercase) || keys::is_name(rest)) =>
        {
            return true;
        }
        _ => {}
    }
    // xxxxxxxx, ........, 00000000
    if value.len() >= 3
        && value
            .iter()
            .all(|b| *b == value[0] && b"xX*.-_#?".contains(b))
    {
        return true;
    }
    let your = value.len() >= 5 && value[..4].eq_ignore_ascii_case(b"your") && wordy(value);
    your && value[4..].iter().any(|b| matches!(b, b'_' | b'-'))
}

/// Whether an unquoted `value` is code that has a secret rather than one: `os.environ[`, `self.token`, `get_token()`,
/// `access_token`.
pub(super) fn is_code(value: &[u8]) -> bool {
    let head_len = value
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')))
        .unwrap_or(value.len());
    let (head, rest) = value.split_at(head_len);
    let letters = |name: &[u8]| {
        is_identifier(name) && name.iter().filter(|b| b.is_ascii_digit()).count() <= 2
    };
    if head.is_empty() || !head.split(|b| *b == b'.').all(letters) {
        return false;
    }
    match rest.first() {
        Some(b'(' | b'[') => true,
        // The name of a header.
        Some(b'-') if !value.iter().any(u8::is_ascii_digit) => keys::is_compound_name(value),
        Some(_) => false,
        None => {
            let first = head.split(|b| *b == b'.').next().unwrap_or(head);
            let dotted = first.len() < head.len();
            dotted && lower_is_one_of(first, OBJECTS)
                || !head.iter().any(u8::is_ascii_digit) && keys::is_compound_name(head)
        }
    }
}

/// Without what a sentence puts after a word.
pub(super) fn trim_end(value: &[u8]) -> &[u8] {
    let len = value
        .iter()
        .rposition(|b| !matches!(b, b'.' | b',' | b':' | b';' | b'!' | b'?' | b')'))
        .map_or(0, |last| last + 1);
    &value[..len]
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
