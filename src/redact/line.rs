//! The pass over a finished line: strings in which something may be secret are decoded, judged and written again.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Redactor;
use crate::json;

/// What stands before the first thing that a caller may have said: `{"ts":"…Z","level":"`.
const HEAD: usize = 38;

/// The note at the end of a text that was cut.
const CUT: &[u8] = "…(truncated".as_bytes();

impl Redactor {
    /// Takes out of the line of JSON that begins at `start` what is secret in its strings, those that are keys too; whether there was any.
    /// Texts of `cut` bytes and more may have been cut: what is left of a secret at the end of one is one, too.
    #[inline]
    pub fn line(&self, out: &mut Vec<u8>, start: usize, cut: usize) -> bool {
        // A category stands before the time.
        let head = if out[start..].starts_with(b"{\"ts\":") {
            HEAD
        } else {
            0
        };
        self.pass(out, start, head, false, cut)
    }

    /// Whether a text that JSON escapes nothing of may hold something to replace.
    #[inline]
    pub fn may_strike(&self, text: &[u8]) -> bool {
        !self.names_only && self.prefilter.find(text, 0).is_some()
    }

    /// Whether [`Self::part`] may change something in parts of a line, which stand together here.
    #[inline]
    pub fn may_change(&self, parts: &[u8], cut: usize) -> bool {
        !self.names_only
            && (self.always() || parts.len() > cut || self.prefilter.find(parts, 0).is_some())
    }

    /// The same for a part of a line, which begins and ends outside of its strings.
    #[inline]
    pub fn part(&self, out: &mut Vec<u8>, start: usize, cut: usize) -> bool {
        self.pass(out, start, 0, true, cut)
    }

    #[inline]
    fn pass(&self, out: &mut Vec<u8>, start: usize, head: usize, part: bool, cut: usize) -> bool {
        if self.names_only {
            return false;
        }
        let text = |text: &str, whose| match whose {
            Whose::Callers => self.text(text),
            Whose::Ours => self.text_by_rules(text),
        };
        if self.always() {
            return redact_strings(out, start, part, next_string, text);
        }
        let mut changed = false;
        if self.prefilter.find(&out[start..], head).is_some() {
            let find = |line: &[u8], from: usize| self.prefilter.find(line, from.max(head));
            changed = redact_strings(out, start, part, find, text);
        }
        if out.len() - start > cut.saturating_add(head) {
            let find = |line: &[u8], from| {
                memchr::memmem::find(line.get(from..)?, CUT).map(|at| from + at)
            };
            changed |= redact_strings(out, start, part, find, text);
        }
        changed
    }
}

/// Has `text` look at each string of the JSON in `out[start..]` in which `find` finds something, and puts what it returns in the
/// string's place; whether it did. With `part` it is not the whole line. `find` gives the first place at or after another that is worth a look.
fn redact_strings(
    out: &mut Vec<u8>,
    start: usize,
    part: bool,
    find: impl Fn(&[u8], usize) -> Option<usize>,
    mut text: impl FnMut(&str, Whose) -> Option<String>,
) -> bool {
    let line = &out[start..];
    let mut place = Place {
        key: b"",
        told: part,
        part,
    };
    let (mut rest, mut copied) = (0, 0);
    let mut again = Vec::new();
    let mut keys = HashSet::new();
    while let Some(hit) = find(line, rest) {
        let Some(open) = opening_quote(line, rest, hit) else {
            rest = hit + 1;
            continue;
        };
        let close = closing_quote(line, open + 1);
        rest = close + 1;
        let whose = place.whose(line, open + 1, close);
        let Some(redacted) = text(&decode(&line[open + 1..close]), whose) else {
            continue;
        };
        again.extend_from_slice(&line[copied..=open]);
        let from = again.len();
        json::write_escaped(&mut again, redacted.as_bytes());
        copied = close;
        // Two keys of one object stay two.
        if line.get(rest) == Some(&b':') {
            let key = again[from..].to_vec();
            let mut number = 2;
            while !keys.insert(again[from..].to_vec()) {
                again.truncate(from);
                again.extend_from_slice(&key);
                again.extend_from_slice(format!("#{number}").as_bytes());
                number += 1;
            }
        }
    }
    if copied > 0 {
        again.extend_from_slice(&line[copied..]);
        out.truncate(start);
        out.append(&mut again);
    }
    copied > 0
}

/// Whose a string is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Something that was said by who logs.
    Callers,
    /// A name of a field, or what this crate says of the record: the user's functions have no say in it.
    Ours,
}

/// Where in a record a string stands, as far as all of them were seen.
struct Place<'l> {
    key: &'l [u8],
    /// What happened has been told: no more of ours follows but `seq`, at the end.
    told: bool,
    /// All that is seen is a part of a line, and none of it ours.
    part: bool,
}

impl<'l> Place<'l> {
    fn whose(&mut self, line: &'l [u8], from: usize, to: usize) -> Whose {
        let rest = line.get(to + 1..).unwrap_or_default();
        if rest.first() == Some(&b':') {
            self.key = &line[from..to];
            self.told |= self.key == b"event";
            return Whose::Ours;
        }
        let ours = match self.key {
            b"ts" | b"level" | b"logger" => !self.told,
            b"seq" => !self.part && rest.trim_ascii_end() == b"}",
            _ => false,
        };
        if ours { Whose::Ours } else { Whose::Callers }
    }
}

/// Where each string of a line begins: what to look at where any may hold something.
fn next_string(line: &[u8], from: usize) -> Option<usize> {
    // What follows the opening quote: the search for it goes back from there.
    let open = from + memchr::memchr(b'"', line.get(from..)?)?;
    (open + 1 < line.len()).then_some(open + 1)
}

/// The quote that opens the string in which `inside` stands; no string that begins before `from`.
fn opening_quote(line: &[u8], from: usize, inside: usize) -> Option<usize> {
    let mut before = &line[from..inside];
    loop {
        let at = memchr::memrchr(b'"', before)?;
        before = &before[..at];
        let backslashes = before
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\\')
            .count();
        if backslashes % 2 == 0 {
            return Some(from + at);
        }
    }
}

/// The quote that ends the string that begins at `from`.
fn closing_quote(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &line[at..]) {
        at += found;
        if line[at] == b'"' {
            return at;
        }
        at = (at + 2).min(line.len());
    }
    line.len()
}

/// What a JSON string says. Lone surrogates, which no Rust text holds, read as U+FFFD.
fn decode(raw: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return String::from_utf8_lossy(raw);
    };
    let mut text = Vec::with_capacity(raw.len());
    text.extend_from_slice(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            continue;
        }
        let Some((&escape, after)) = after.split_first() else {
            break;
        };
        rest = after;
        match escape {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'u' => {
                let mut unit = hex(rest);
                rest = rest.get(4..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&unit) && rest.starts_with(b"\\u") {
                    let low = hex(&rest[2..]);
                    if (0xdc00..0xe000).contains(&low) {
                        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        rest = rest.get(6..).unwrap_or_default();
                    }
                }
                let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => text.push(other),
        }
    }
    Cow::Owned(
        String::from_utf8(text)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

/// The number that four hexadecimal digits write.
fn hex(digits: &[u8]) -> u32 {
    let digits = digits
        .get(..4)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(u32::from(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(line: &str, secret: &str, replacement: &str) -> String {
        let mut out = b"before".to_vec();
        out.extend_from_slice(line.as_bytes());
        redact_strings(
            &mut out,
            6,
            false,
            |line, from| memchr::memmem::find(line.get(from..)?, b"key").map(|at| from + at),
            |text, _| {
                text.contains(secret)
                    .then(|| text.replace(secret, replacement))
            },
        );
        assert!(out.starts_with(b"before"));
        String::from_utf8(out[6..].to_vec()).unwrap()
    }

    #[test]
    fn only_the_strings_that_hold_a_secret_are_written_again() {
        for (line, expected) in [
            (
                r#"{"a":"key","b":"no \"key\u0041"}"#,
                r#"{"a":"key","b":"no \"key\u0041"}"#,
            ),
            (
                r#"{"a":"key=s\"1","b":"key \u0041"}"#,
                r#"{"a":"key=***","b":"key \u0041"}"#,
            ),
            (
                r#"{"a":"x\\","b":"\\\"key s\"1\n"}"#,
                r#"{"a":"x\\","b":"\\\"key ***\n"}"#,
            ),
            (
                r#"{"key s\"1":1,"no":2,"key s\"1":{}}"#,
                r#"{"key ***":1,"no":2,"key ***#2":{}}"#,
            ),
        ] {
            assert_eq!(redacted(line, "s\"1", "***"), expected);
        }
    }

    proptest! {
        #[test]
        fn a_line_stays_json_and_what_holds_no_secret_as_it_was(
            texts in proptest::collection::vec("([a-z\"\\\\\n\u{1}é🦀]|key|secret){0,12}", 1..6),
        ) {
            let line = serde_json::to_string(&texts).unwrap();
            let again: Vec<String> = serde_json::from_str(&redacted(&line, "secret", "*")).unwrap();
            let expected: Vec<String> = texts
                .iter()
                .map(|text| if text.contains("key") { text.replace("secret", "*") } else { text.clone() })
                .collect();
            prop_assert_eq!(again, expected);
        }

        #[test]
        fn every_string_is_found_where_all_are_looked_at(texts in proptest::collection::vec("[a-z\"\\\\ ]{0,5}", 0..6)) {
            let line = serde_json::to_string(&texts).unwrap();
            let mut seen = Vec::new();
            redact_strings(&mut line.into_bytes(), 0, false, next_string, |text, _| { seen.push(text.to_owned()); None });
            prop_assert_eq!(seen, texts);
        }

        #[test]
        fn decoding_undoes_escaping(text in "\\PC{0,20}[\u{0}-\u{ff}]{0,9}[\u{2020}-\u{2030}]?") {
            let mut escaped = Vec::new();
            json::write_escaped(&mut escaped, text.as_bytes());
            prop_assert_eq!(decode(&escaped), text);
        }
    }

    /// What rules are made for, and what stands around it.
    const PIECES: &str = "password|api_key|Api-Key|token|secret|Cookie|Authorization|credentials|sig|--token|=|: |\": \"|%3D|'|\\\\|\n| is |&|\\?|/|@|://|:\
        |%3A%2F%2F|%40|Bearer |Basic |Digest username=|basic |sk-|sk-proj-|ghp_|github_pat_|glpat-|AKIA|AIza|hf_|xoxb-|eyJ|whsec_|1//0|123456789:AA|hooks.slack.com/services/\
        |-----BEGIN RSA PRIVATE KEY-----|-----END|jdbc:oracle:thin:| -u |--user |\u{200b}|\u{1b}\\[0m|\u{202e}|é|…|[A-Za-z0-9_-]{16,44}|[A-Z2-7]{16}|[a-z0-9./+=]{1,12}| ";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn a_line_is_redacted_wherever_its_texts_are(pieces in proptest::collection::vec(PIECES, 1..12), before in "[a-z \\\\\"]{0,40}") {
            static REDACTOR: std::sync::LazyLock<Redactor> = std::sync::LazyLock::new(Redactor::default);
            let text = format!("{before}{}", pieces.concat());
            let mut line = br#"{"ts":"2026-11-21T11:03:27.639009Z","level":"INFO","event":""#.to_vec();
            json::write_escaped(&mut line, text.as_bytes());
            line.extend_from_slice(b"\",\"more\":1}");
            let expected = REDACTOR.text(&text).unwrap_or(text);
            REDACTOR.line(&mut line, 0, usize::MAX);
            let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(line["event"].as_str(), Some(expected.as_str()));
        }
    }
}
