//! What a value looks like: whether it can be a secret at all, and whether it can be anything else.

use super::fold::Folded;
use super::keys;
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

/// Words with digits that name a thing, no secret.
const KNOWN_WORDS: &[&str] = &[
    "base64",
    "base32",
    "sha1",
    "sha256",
    "sha512",
    "sha-256",
    "md5",
    "utf8",
    "utf-8",
    "utf-16",
    "oauth2",
    "http2",
    "http/1.1",
    "http/2",
    "rs256",
    "hs256",
    "es256",
    "pkcs8",
    "pkcs12",
    "x509",
    "ipv4",
    "ipv6",
    "web3",
    "s3",
    "ec2",
    "k8s",
    "i18n",
    "gpt-4o",
    "python3",
    "latin1",
    "iso-8859-1",
    "oauth1",
    "tls1.2",
    "tls1.3",
    "v1beta1",
    "openid2",
    "aes256",
    "aes-256",
    "rsa2048",
    "ed25519",
];

fn lower_is_one_of(value: &[u8], words: &[&str]) -> bool {
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

/// Whether it is the name itself, in any spelling.
pub(super) fn same(value: &[u8], name: &[u8]) -> bool {
    Folded::of(value).compact() == Folded::of(name).compact()
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

/// Whether `value` can hardly be a word, a number, a date, a version or a path: letters and digits mixed, or signs among
/// letters, or an order of cases no word has.
pub(super) fn is_opaque(value: &[u8], least: usize) -> bool {
    let whole = value;
    let value = trim_end(value);
    if value.len() < least || value.starts_with(b"***") || lower_is_one_of(value, KNOWN_WORDS) {
        return false;
    }
    let value = &value[..value.len().min(256)];
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let (letters, digits) = (count(u8::is_ascii_alphabetic), count(u8::is_ascii_digit));
    if is_placeholder(whole) || is_path(value) {
        return false;
    }
    if letters > 0 && digits > 0 {
        return !is_quantity(value) && !is_date(value) && !is_version(value) && !is_slug(value);
    }
    if letters == 0 {
        return false;
    }
    let signs = count(|b| b"!#$%^&*~+=@".contains(b));
    if signs > 0 && !value.contains(&b'@') && !value.contains(&b'(') {
        return true;
    }
    let turns = value
        .windows(2)
        .filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
        .count();
    turns >= 3 && value.len() >= 10 && turns * 6 >= value.len()
        || letters == value.len() && letters > 20
}

/// `12ms`, `30s`, `1.5x`, `4096KiB`.
fn is_quantity(value: &[u8]) -> bool {
    let digits = value
        .iter()
        .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
        .count();
    digits > 0
        && value.len() - digits <= 7
        && value[digits..].iter().all(u8::is_ascii_alphabetic)
        && (value.len() - digits <= 3 || value.len() - digits > digits)
}

fn is_date(value: &[u8]) -> bool {
    value.len() >= 8
        && value[..4].iter().all(u8::is_ascii_digit)
        && matches!(value[4], b'-' | b'/')
        && value
            .iter()
            .all(|b| b.is_ascii_digit() || b"-/:.TZ+".contains(b))
}

fn is_version(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"v").unwrap_or(value);
    rest.first().is_some_and(u8::is_ascii_digit)
        && rest
            .iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'a' | b'b' | b'r' | b'c'))
}

/// Words and numbers of their own between hyphens: `claude-3-opus`, `user-123`, `step_2_of_3`.
fn is_slug(value: &[u8]) -> bool {
    value
        .split(|b| matches!(b, b'-' | b'_' | b'.' | b'/' | b':'))
        .all(|part| {
            let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            let digits = part[letters..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
            letters + digits == part.len() && (letters == 0 || digits == 0)
        })
        && value
            .iter()
            .any(|b| matches!(b, b'-' | b'_' | b'.' | b'/' | b':'))
        && value.len() <= 40
}

pub(super) fn is_path(value: &[u8]) -> bool {
    // Base64 may begin with a slash, too.
    value.starts_with(b"/") && !value.iter().any(|b| matches!(b, b'+' | b'='))
        || value.starts_with(b"./")
        || value.starts_with(b"~/")
        || matches!(value, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        || memchr::memmem::find(value, b"://").is_some()
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value
            .split(|b| *b == b'-')
            .map(<[u8]>::len)
            .eq([8, 4, 4, 4, 12])
        && value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

/// Whether what follows `sk-` is one: a long part of letters and digits mixed.
pub(super) fn is_key_material(value: &[u8]) -> bool {
    let value = &value[..value.len().min(256)];
    let mixed = |part: &[u8]| {
        let has = |is: fn(&u8) -> bool| part.iter().any(is);
        let (lower, upper, digit) = (
            has(u8::is_ascii_lowercase),
            has(u8::is_ascii_uppercase),
            has(u8::is_ascii_digit),
        );
        (digit && (lower || upper)) || (lower && upper && part.len() >= 32)
    };
    let parts = |least: usize| {
        value
            .split(|b| matches!(b, b'-' | b'_'))
            .any(|part| part.len() >= least && mixed(part))
    };
    let all_kinds = value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_digit);
    parts(16) || value.len() >= 20 && all_kinds || is_uuid(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::rules::PASSWORD;

    #[test]
    fn what_stands_in_a_secrets_place_is_none() {
        for value in [
            "",
            "None",
            "null",
            "true",
            "***",
            "***wxyz",
            "<redacted>",
            "<your token>",
            "[REDACTED]",
            "[Filtered]",
            "%s",
            "%(token)s",
            "{password}",
            "{}",
            "${DB_PASSWORD}",
            "$DB_PASSWORD",
            "$password",
            "{{ token }}",
            "xxxxxxxx",
            "********",
            "...",
            "-",
            "your-api-key",
            "YOUR_API_KEY_HERE",
            "required",
            "Expired.",
            "password",
            "Pass-Word",
        ] {
            assert!(is_none(value.as_bytes(), PASSWORD, b"password"), "{value}");
        }
        for value in [
            "hunter2",
            "swordfish",
            "12345678",
            "$ecret1",
            "{a,b}$#",
            "yourself",
            "secret",
        ] {
            assert!(!is_none(value.as_bytes(), PASSWORD, b"password"), "{value}");
        }
        assert!(is_none(b"1234", TOKEN, b"token"));
    }

    #[test]
    fn code_that_has_a_secret_is_not_one() {
        for value in [
            "os.environ[",
            "os.getenv(",
            "self.token",
            "get_token(",
            "get_token()",
            "settings.API_KEY",
            "access_token",
            "accessToken",
            "config.get(",
            "DB_PASSWORD",
        ] {
            assert!(is_code(value.as_bytes()), "{value}");
        }
        for value in [
            "hunter2",
            "swordfish",
            "a.b-c",
            "mypassword",
            "Tr0ub4dor&3",
            "x9.y8.z7",
            "8f3a(",
        ] {
            assert!(!is_code(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn opaque_is_what_no_sentence_holds() {
        for value in [
            "hunter2!",
            "8f3a9c01",
            "Tr0ub4dor&3",
            "aGVsbG8gd29ybGQ",
            "AbCdEfGhIjKl",
            "p@ss!word".trim_matches('@'),
            "9944b09199c62bcf",
            "swordfish#",
        ] {
            if !value.contains('@') {
                assert!(is_opaque(value.as_bytes(), 6), "{value}");
            }
        }
        for value in [
            "invalid",
            "refreshed",
            "authentication",
            "12",
            "12345678",
            "30s",
            "1.5x",
            "4096KiB",
            "2026-11-21T10:00:00Z",
            "v1.2.3",
            "base64",
            "OAuth2",
            "user-123",
            "claude-3-opus",
            "/etc/passwd1",
            "https://x.y/1",
            "wrong!",
            "***ab12",
        ] {
            assert!(!is_opaque(value.as_bytes(), 6), "{value}");
        }
    }
}
