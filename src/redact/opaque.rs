//! Whether a word is none: what no sentence, path, date or name looks like.

use super::values::{is_placeholder, lower_is_one_of, trim_end};

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
    let value = &value[..value.len().min(96)];
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
