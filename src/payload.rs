//! Payloads: images, sound and documents that stand as base64 or as bytes where text should be. A log keeps what they were, not them:
//! type, length, and the SHA-256 by which they are found again.
//!
//! Taken for one are data URIs, base64 of 1,024 characters or more, and bytes of a known format or that are plainly no text. All of it
//! takes linear time, at the pace of memory but for the hash; what is larger than [`MAX_HASHED`] is not hashed, for the caller waits.

mod base64;
mod magic;

use std::fmt::Write;

use sha2::{Digest, Sha256};

use self::base64::Body;
pub use self::magic::media_type;

/// Shorter text is not looked at: its caller compares the length, no more.
pub const SHORT: usize = 256;
/// Decoded bytes of the largest payload that is hashed: one or two milliseconds.
pub const MAX_HASHED: usize = 1 << 20;

/// Characters of base64 without a sign of its own, at least: shorter may be a key, an identifier, a digest.
const MIN_BASE64: usize = 1024;
/// The same in a data URI, which says what it is.
const MIN_URI: usize = 64;
/// Bytes of a known format, at least, and of any.
const MIN_KNOWN: usize = 64;
const MIN_BINARY: usize = 1024;
/// The longest media type with its parameters.
const MAX_TYPE: usize = 127;

/// What a payload was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its media type: what a data URI says, or what its first bytes say.
    pub kind: String,
    /// Its length, decoded.
    pub bytes: u64,
    /// Of what it is decoded; `None` where it is too large to be hashed in passing, or not all of it was there.
    pub sha256: Option<[u8; 32]>,
}

/// What a text is, or has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The text is a payload and nothing else.
    Whole(Payload),
    /// The text with its payloads (so many) replaced by what they were.
    Inside(String, usize),
}

impl Payload {
    fn of(kind: Option<&str>, body: &Body<'_>) -> Self {
        let head = body.head();
        Self {
            kind: match kind {
                Some(kind) if kind != "application/octet-stream" => kind.to_owned(),
                _ => magic::media_type(&head)
                    .unwrap_or("application/octet-stream")
                    .to_owned(),
            },
            bytes: body.bytes() as u64,
            sha256: (body.bytes() <= MAX_HASHED).then(|| {
                let mut hash = Sha256::new();
                body.decode(|bytes| hash.update(bytes));
                hash.finalize().into()
            }),
        }
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let digest = self.sha256?;
        Some(digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// As a JSON value: `{"type":"image/png","bytes":1234,"sha256":"…"}`, `null` for a hash that was not made.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":");
        crate::json::write_str(out, &self.kind);
        out.extend_from_slice(format!(",\"bytes\":{},\"sha256\":", self.bytes).as_bytes());
        match self.digest() {
            Some(digest) => crate::json::write_str(out, &digest),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }

    /// As it stands within text: `<image/png, 1234 bytes, sha256 …>`.
    #[must_use]
    pub fn text(&self) -> String {
        match self.digest() {
            Some(digest) => format!("<{}, {} bytes, sha256 {digest}>", self.kind, self.bytes),
            None => format!("<{}, {} bytes>", self.kind, self.bytes),
        }
    }
}

/// Looks for payloads in a text; `None`, without an allocation, where there is none.
#[must_use]
pub fn in_text(text: &str) -> Option<Found> {
    if text.len() < SHORT {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut done, mut count) = (0, 0);
    let mut at = 0;
    let mut uris = Uris::of(bytes);
    while let Some((start, end, payload)) = next(bytes, at, &mut uris) {
        if is_blank(&bytes[..start]) && is_blank(&bytes[end..]) {
            return Some(Found::Whole(payload));
        }
        out.push_str(&text[done..start]);
        out.push_str(&payload.text());
        count += 1;
        (done, at) = (end, end);
    }
    (count > 0).then(|| {
        out.push_str(&text[done..]);
        Found::Inside(out, count)
    })
}

/// Whether [`in_text`] may find something: for those who would have to make the text first. A payload that is escaped as JSON is found,
/// too.
#[must_use]
pub fn may_be_in(text: &[u8]) -> bool {
    text.len() >= SHORT
        && (memchr::memmem::find(text, MARK).is_some() || base64::run(text, 0).is_some())
}

/// Looks at bytes that are no text: `total` of them, of which `data` are the first. `None` where they should be shown.
#[must_use]
pub fn in_bytes(data: &[u8], total: usize) -> Option<Payload> {
    if total < MIN_KNOWN {
        return None;
    }
    let known = magic::media_type(data);
    if known.is_none() && (total < MIN_BINARY || !magic::is_binary(data)) {
        return None;
    }
    let whole = data.len() == total && total <= MAX_HASHED;
    Some(Payload {
        kind: known.unwrap_or("application/octet-stream").to_owned(),
        bytes: total as u64,
        sha256: whole.then(|| Sha256::digest(data).into()),
    })
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// How the data of a data URI begins.
const MARK: &[u8] = b"base64,";

/// The next payload from `from` on, with where it begins and ends.
fn next(text: &[u8], from: usize, uris: &mut Uris<'_>) -> Option<(usize, usize, Payload)> {
    let limit = uris.look(from).map_or(text.len(), |uri| uri.start);
    // Base64 that stands before the URI, and has no sign.
    let mut at = from;
    while let Some((start, end)) = base64::run(&text[..limit], at) {
        let mut inner = start;
        while let Some(body) = Body::find(text, inner, end) {
            if body.is_payload() && !is_of_token(text, &body) {
                return Some((body.start, body.end, Payload::of(None, &body)));
            }
            inner = body.end;
        }
        at = end;
    }
    let uri = uris.found.take()?;
    let payload = Payload::of(Some(&uri.kind), &uri.body);
    Some((uri.start, uri.body.end, payload))
}

/// Whether it is a part of a JSON Web Token, which is for redaction to see whole.
fn is_of_token(text: &[u8], body: &Body<'_>) -> bool {
    let dot = |at: usize| text.get(at) == Some(&b'.');
    let symbol = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    body.start > 1 && dot(body.start - 1) && symbol(body.start - 2)
        || text[body.start..].starts_with(b"eyJ") && dot(body.end) && symbol(body.end + 1)
}

/// A data URI.
struct Uri<'a> {
    start: usize,
    kind: String,
    body: Body<'a>,
}

/// The data URIs of a text, one after the other.
struct Uris<'a> {
    text: &'a [u8],
    /// Up to where it was looked for.
    at: usize,
    found: Option<Uri<'a>>,
}

impl<'a> Uris<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            found: None,
        }
    }

    /// The first from `from` on; `found` has it until it is taken.
    fn look(&mut self, from: usize) -> Option<&Uri<'a>> {
        if self.found.as_ref().is_none_or(|uri| uri.start < from) {
            self.found = self.search(from);
        }
        self.found.as_ref()
    }

    fn search(&mut self, from: usize) -> Option<Uri<'a>> {
        self.at = self.at.max(from);
        while let Some(mark) = memchr::memmem::find(&self.text[self.at..], MARK) {
            let (lowest, mark) = (self.at, self.at + mark);
            self.at = mark + MARK.len();
            let Some((start, kind)) = head(&self.text[lowest..mark]) else {
                continue;
            };
            let Some(body) = Body::at(self.text, self.at).filter(|body| body.chars >= MIN_URI)
            else {
                continue;
            };
            self.at = body.end;
            return Some(Uri {
                start: lowest + start,
                kind,
                body,
            });
        }
        self.at = self.text.len();
        None
    }
}

/// The head of a data URI, `data:image/png;charset=x;`, that `text` ends with: where it begins, and the media type.
fn head(text: &[u8]) -> Option<(usize, String)> {
    let window = text.len().saturating_sub(MAX_TYPE + 6);
    let start = window + memchr::memmem::rfind(&text[window..].to_ascii_lowercase(), b"data:")?;
    let between = text[start + 5..].strip_suffix(b";")?;
    // A slash may be escaped in JSON.
    let between: Vec<u8> = between.iter().copied().filter(|b| *b != b'\\').collect();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+/;= ".contains(b);
    if between.len() > MAX_TYPE || !between.iter().all(allowed) {
        return None;
    }
    let kind = between.split(|b| *b == b';').next().unwrap_or_default();
    let kind = String::from_utf8_lossy(kind).trim().to_ascii_lowercase();
    let whole = kind
        .split_once('/')
        .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    Some((
        start,
        if whole {
            kind
        } else {
            "application/octet-stream".to_owned()
        },
    ))
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
