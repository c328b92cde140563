//! A look at a document of JSON that takes a few of its members and passes over the rest: bodies of language models are long, and what
//! is wanted of them is not.
//!
//! What is passed over is not checked but for its strings' ends and its brackets; what does not end is no document.

use memchr::{memchr2, memmem};

/// A value within a document, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `{…}`.
    Object(&'a [u8]),
    /// `[…]`.
    Array(&'a [u8]),
    /// What stands between the quotes, and whether there are escapes in it.
    Text(&'a [u8], bool),
    /// A number, `true`, `false`, `null`.
    Word(&'a [u8]),
}

/// The one value of a document. `None` where there is none, or more behind it.
#[must_use]
pub fn document(text: &[u8]) -> Option<Value<'_>> {
    let mut reader = Reader::of(text);
    let value = reader.value()?;
    reader.next_byte().is_none().then_some(value)
}

/// Gives each name (as it stands there) and its value of a document that is one object to `take`. `false` where it is damaged, or none.
pub fn object<'a>(text: &'a [u8], take: impl FnMut(&'a [u8], Value<'a>)) -> bool {
    let mut reader = Reader::of(text);
    reader.next_byte() == Some(b'{') && reader.members(take) && reader.next_byte().is_none()
}

/// The same of an object within a document.
pub fn members<'a>(object: &'a [u8], take: impl FnMut(&'a [u8], Value<'a>)) -> bool {
    let mut reader = Reader {
        text: object,
        at: 0,
    };
    reader.members(take)
}

/// Gives each item of an array to `take`. `false` where it is damaged.
pub fn items<'a>(array: &'a [u8], mut take: impl FnMut(Value<'a>)) -> bool {
    let mut reader = Reader { text: array, at: 1 };
    if reader.next_byte() == Some(b']') {
        return true;
    }
    loop {
        let Some(value) = reader.value() else {
            return false;
        };
        take(value);
        match reader.next_byte() {
            Some(b',') => reader.at += 1,
            other => return other == Some(b']'),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn of(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self { text, at: 0 }
    }

    /// From the bracket that opens an object to behind the one that closes it.
    fn members(&mut self, mut take: impl FnMut(&'a [u8], Value<'a>)) -> bool {
        self.at += 1;
        if self.next_byte() == Some(b'}') {
            self.at += 1;
            return true;
        }
        loop {
            if self.next_byte() != Some(b'"') {
                return false;
            }
            let Some(Value::Text(name, _)) = self.value() else {
                return false;
            };
            if self.next_byte() != Some(b':') {
                return false;
            }
            self.at += 1;
            let Some(value) = self.value() else {
                return false;
            };
            take(name, value);
            let after = self.next_byte();
            self.at += 1;
            if after != Some(b',') {
                return after == Some(b'}');
            }
        }
    }

    /// The next byte that is no space; it is not passed.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let first = self.next_byte()?;
        let start = self.at;
        match first {
            b'"' => {
                let escaped = self.pass_text()?;
                Some(Value::Text(&self.text[start + 1..self.at - 1], escaped))
            }
            b'{' | b'[' => {
                self.pass_nested()?;
                let whole = &self.text[start..self.at];
                Some(if first == b'{' {
                    Value::Object(whole)
                } else {
                    Value::Array(whole)
                })
            }
            _ => {
                while self.text.get(self.at).is_some_and(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                }) {
                    self.at += 1;
                }
                (self.at > start).then(|| Value::Word(&self.text[start..self.at]))
            }
        }
    }

    /// From a quote to behind the one that ends the text; whether there are escapes.
    #[inline]
    fn pass_text(&mut self) -> Option<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.text.get(self.at..)?;
            let found = memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Some(escaped);
            }
            escaped = true;
            self.at += 1;
        }
    }

    /// From a bracket to behind the one that closes it.
    fn pass_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.text.get(self.at)? {
                b'"' => {
                    self.pass_text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Lines of an event stream, found in pieces as they come.
#[derive(Debug, Default)]
pub struct Lines {
    /// The line under way.
    part: Vec<u8>,
    /// It is too long: its rest is passed over.
    passing: bool,
    /// The data so far of an event that goes on in the next line.
    event: Vec<u8>,
    /// The last piece ended in `\r`: a `\n` is the other half of it.
    torn: bool,
}

impl Lines {
    /// Gives the data of each event that ends in this piece to `take`: of each line `data: …` that is one by itself, and of longer ones. What
    /// is longer than `most` bytes is passed over.
    pub fn feed(&mut self, mut piece: &[u8], most: usize, mut take: impl FnMut(&[u8])) {
        if piece.is_empty() {
            return;
        }
        if std::mem::replace(&mut self.torn, piece.ends_with(b"\r")) {
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr2(b'\n', b'\r', piece) {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            piece = match piece[end] {
                b'\r' => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
            if std::mem::take(&mut self.passing) {
                continue;
            }
            if self.part.is_empty() {
                self.line(line, most, &mut take);
            } else {
                let mut whole = std::mem::take(&mut self.part);
                whole.extend_from_slice(line);
                self.line(&whole, most, &mut take);
                whole.clear();
                self.part = whole;
            }
        }
        if self.passing || piece.is_empty() {
            return;
        }
        self.part.extend_from_slice(piece);
        if self.part.len() > most {
            (self.part, self.passing) = (Vec::new(), true);
        }
    }

    fn line(&mut self, line: &[u8], most: usize, take: &mut impl FnMut(&[u8])) {
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.trim_ascii();
            if !self.event.is_empty() {
                self.event.push(b'\n');
            } else if !data.starts_with(b"{") || data.ends_with(b"}") {
                return take(data);
            }
            self.event.extend_from_slice(data);
            if self.event.len() > most {
                self.event = Vec::new();
            }
        } else if line.is_empty() && !self.event.is_empty() {
            take(&std::mem::take(&mut self.event));
        }
    }
}

/// Whether an event may say more of the answer than one of the many with a piece of its text: usage, an error, the end.
#[must_use]
pub fn may_matter(event: &[u8]) -> bool {
    event == b"[DONE]"
        || has_usage(event)
        || memmem::find(event, b"\"error\"").is_some()
        || is_end(event)
}

/// Whether an event says that it is the answer's last: Anthropic's, and that of `OpenAI`'s responses.
#[must_use]
pub fn is_end(event: &[u8]) -> bool {
    memmem::find(event, b"\"message_stop\"").is_some()
        || memmem::find(event, b"\"response.completed\"").is_some()
}

/// The last object called `usage` or `usageMetadata`, and whether it is the latter.
#[must_use]
pub fn last_usage(text: &[u8]) -> Option<(&[u8], bool)> {
    let (at, gemini) = memmem::rfind_iter(text, USAGE).find_map(|at| usage_at(text, at))?;
    let mut reader = Reader { text, at };
    match reader.value()? {
        Value::Object(object) => Some((object, gemini)),
        _ => None,
    }
}

/// Whether there is an object called `usage` or `usageMetadata`.
fn has_usage(event: &[u8]) -> bool {
    memmem::find_iter(event, USAGE).any(|at| usage_at(event, at).is_some())
}

const USAGE: &[u8] = b"\"usage";

/// Where the object begins whose name seems to stand here, and whether it is called `usageMetadata`.
fn usage_at(text: &[u8], at: usize) -> Option<(usize, bool)> {
    let rest = &text[at + USAGE.len()..];
    let (gemini, rest) = match rest.strip_prefix(b"Metadata") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.strip_prefix(b"\"")?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    rest.starts_with(b"{")
        .then_some((text.len() - rest.len(), gemini))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        let (mut names, mut inner) = (Vec::new(), 0);
        let whole = object(text.as_bytes(), |name, _| {
            names.push(String::from_utf8_lossy(name).into_owned());
        });
        let of_value = match document(text.as_bytes()) {
            Some(Value::Object(object)) => members(object, |_, _| inner += 1),
            _ => false,
        };
        assert_eq!(whole, of_value, "{text}");
        whole.then(|| {
            assert_eq!(names.len(), inner);
            names
        })
    }

    #[test]
    fn members_are_found_around_whatever_is_passed_over() {
        let text =
            r#" {"a":"}\"{\\","b" : [1, {"c": "]"}, []] , "d":{"e":{}},"f":-1.5e3,"g":null} "#;
        assert_eq!(names(text).unwrap(), ["a", "b", "d", "f", "g"]);
        assert_eq!(names("{}").unwrap(), [""; 0]);
        assert_eq!(names("\u{feff}{\"a\":1}").unwrap(), ["a"]);
    }

    #[test]
    fn a_document_that_does_not_end_or_goes_on_is_none() {
        let whole = r#"{"a":[1,{"b":"c\\"}],"d":2}"#;
        assert!(names(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(names(&whole[..end]), None, "{end}");
        }
        for damaged in [
            "{} {}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":}",
            "{1:2}",
            "{,}",
            "}",
        ] {
            assert_eq!(names(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn items_of_an_array_are_its_values() {
        let Some(Value::Array(array)) = document(br#"[1, "a", {"b":[2]}, []]"#) else {
            panic!("an array")
        };
        let mut found = Vec::new();
        assert!(items(array, |item| found.push(item)));
        assert_eq!(
            found,
            [
                Value::Word(b"1"),
                Value::Text(b"a", false),
                Value::Object(br#"{"b":[2]}"#),
                Value::Array(b"[]")
            ]
        );
    }

    #[test]
    fn the_data_of_events_is_found_wherever_a_stream_is_cut() {
        let stream = b": hi\r\n\r\nevent: x\r\ndata: {\"a\":1}\r\n\r\ndata:b\ndata: \n\rdata:  c \r\rdatum: d\ndata: e";
        for size in 1..=stream.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in stream.chunks(size) {
                lines.feed(piece, 100, |data| found.push(data.to_vec()));
            }
            assert_eq!(found, [&b"{\"a\":1}"[..], b"b", b"", b"c"], "{size}");
        }
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in [&b"data: xxxxx"[..], b"x", b"xx\n", b"data: after\n"] {
            lines.feed(piece, 11, |data| found.push(data.to_vec()));
        }
        assert_eq!(found, [b"after"]);
    }

    #[test]
    fn the_last_usage_of_a_long_body_counts() {
        let text = br#"..."usage": {"a": 1}, "x": "\"usage\": 2", "usageMetadata" : {"b": {}}, "usage": null} ..."#;
        assert_eq!(last_usage(text), Some((&br#"{"b": {}}"#[..], true)));
        assert_eq!(
            last_usage(br#""usage":{"a":1}"#),
            Some((&br#"{"a":1}"#[..], false))
        );
        assert_eq!(last_usage(br#""usage":{"a":1"#), None);
    }

    #[test]
    fn what_says_no_more_than_a_piece_of_text_does_not_matter() {
        for matters in [
            "[DONE]",
            r#"{"usage":{"a":1}}"#,
            r#"{"usage" : {"#,
            r#"{"usage":null,"usageMetadata":{}}"#,
            r#"{"error":1}"#,
            r#"{"type":"message_stop"}"#,
        ] {
            assert!(may_matter(matters.as_bytes()), "{matters}");
        }
        for other in [r#"{"usage":null}"#, r#"{"delta":"usage"}"#, "", "[DONE] "] {
            assert!(!may_matter(other.as_bytes()), "{other}");
        }
    }
}
