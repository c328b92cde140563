//! Credentials in URLs, before the host: `https://user:password@host`, also percent-encoded.

use super::rules::URL;
use super::scan::{Ahead, Class, Scan, Why};
use super::values;

/// A name alone before the `@` is a credential if it is as long as one and looks like one.
const LEAST_ALONE: usize = 16;
/// How far the password may reach beyond a `/` in it.
const MOST: usize = 1024;

/// `://` ends at `at`.
pub(super) fn userinfo(scan: &mut Scan<'_>, at: usize) {
    let end = scan.run(Class::Url, at);
    let Some(mut host) = scan.next(Ahead::At, at).filter(|&found| found < end) else {
        cut_userinfo(scan, at, end);
        return;
    };
    let bytes = scan.bytes;
    // The authority ends at the first of these, unless a password that was not encoded holds one.
    let limit = end.min(at + MOST);
    let authority = bytes[at..limit]
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .map_or(limit, |len| at + len);
    scan.step(authority - at);
    if host > authority {
        let colon = bytes[at..authority].iter().position(|b| *b == b':');
        let port = colon.is_none_or(|colon| {
            let port = &bytes[at + colon + 1..authority];
            bytes[at] == b'[' || port.iter().all(u8::is_ascii_digit)
        });
        if port || host >= limit {
            return;
        }
    } else {
        // The last one: a password may hold `@`.
        while let Some(next) = bytes[host + 1..authority].iter().position(|b| *b == b'@') {
            host += 1 + next;
        }
    }
    let user = &bytes[at..host];
    let Some(colon) = user.iter().position(|b| *b == b':') else {
        alone(scan, at, host);
        return;
    };
    secret(scan, at + colon + 1, host);
    // `https://TOKEN:x-oauth-basic@host`
    if values::is_opaque(&user[..colon], LEAST_ALONE) {
        secret(scan, at, at + colon);
    }
}

/// The text was cut before the host: what stands after the user's name is a part of the password, if it is no port.
fn cut_userinfo(scan: &mut Scan<'_>, at: usize, end: usize) {
    const NOTE: &[u8] = "…(truncated,".as_bytes();
    let end = match scan.bytes[at..end].strip_suffix(NOTE) {
        Some(rest) => at + rest.len(),
        None if scan.cut_at(end) => end,
        None => return,
    };
    let user = &scan.bytes[at..end];
    let authority = user.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    if let Some(colon) = user[..authority.unwrap_or(user.len())]
        .iter()
        .position(|b| *b == b':')
        && !user[colon + 1..authority.unwrap_or(user.len())]
            .iter()
            .all(u8::is_ascii_digit)
    {
        secret(scan, at + colon + 1, end);
    }
}

fn alone(scan: &mut Scan<'_>, at: usize, host: usize) {
    let user = &scan.bytes[at..host];
    if values::is_opaque(user, LEAST_ALONE) {
        secret(scan, at, host);
    }
}

fn secret(scan: &mut Scan<'_>, from: usize, to: usize) {
    let value = &scan.bytes[from..to];
    let none = value.starts_with(b"***")
        || value.starts_with(b"<")
        || value.starts_with(b"${")
        || value.starts_with(b"{") && value.ends_with(b"}")
        || value == b"%s"
        || value == b"..."
        || value.len() > 2 && value.iter().all(|b| *b == b'x' || *b == b'X' || *b == b'*');
    if !none {
        scan.report(from..to, URL, Why::Rule);
    }
}

/// `%3A%2F%2F` ends at `at`.
pub(super) fn encoded_userinfo(scan: &mut Scan<'_>, at: usize) {
    let end = scan.run(Class::Path, at).min(at + MOST);
    let part = &scan.bytes[at..end];
    let find =
        |part: &[u8], what: &[u8]| part.windows(3).position(|w| w.eq_ignore_ascii_case(what));
    let authority = find(part, b"%2f").unwrap_or(part.len());
    let part = &part[..authority];
    let (host, colon) = (find(part, b"%40"), find(part, b"%3a"));
    scan.step(3 * authority);
    if let (Some(host), Some(colon)) = (host, colon)
        && colon < host
    {
        secret(scan, at + colon + 3, at + host);
    }
}

/// `jdbc:oracle:` ends at `at`: `thin:user/password@…`.
pub(super) fn oracle(scan: &mut Scan<'_>, at: usize) {
    let end = scan.run(Class::Url, at).min(at + MOST);
    let part = &scan.bytes[at..end];
    let host = part.iter().position(|b| *b == b'@');
    let slash = part.iter().position(|b| *b == b'/');
    if let (Some(host), Some(slash)) = (host, slash)
        && slash < host
    {
        secret(scan, at + slash + 1, at + host);
    }
}

/// `-u ` or `--user ` ends at `at`, as curl has it: `user:password`.
pub(super) fn curl(scan: &mut Scan<'_>, at: usize) {
    let start = at + usize::from(matches!(scan.get(at), b'"' | b'\''));
    let end = scan.run(Class::Url, start).min(start + MOST);
    let part = &scan.bytes[start..end];
    let Some(colon) = part.iter().position(|b| *b == b':') else {
        return;
    };
    let password = &part[colon + 1..];
    let names_a_user = colon > 0
        && part[..colon]
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(b));
    if names_a_user && !password.iter().all(u8::is_ascii_digit) && !password.starts_with(b"//") {
        secret(scan, start + colon + 1, end);
    }
}
