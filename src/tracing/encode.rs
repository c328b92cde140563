//! What a layer's lines have in common, and how texts are written into them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cut::{characters, prefix, write_cut};
use crate::json;
use crate::payload::{self, Found};
use crate::redact::{Redactor, RuleId};

/// Resolved settings of a layer's lines.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // They are four switches.
pub(super) struct Encoder {
    /// Tells it from those of other layers.
    pub(super) number: u64,
    /// `,"service":…,"environment":…,"version":…`, those that are set.
    pub(super) identity: Vec<u8>,
    /// Static fields: the name, and `"name":value`.
    pub(super) fixed: Vec<(String, Vec<u8>)>,
    pub(super) redactor: Option<Redactor>,
    /// Whether lines have `src`.
    pub(super) src: bool,
    /// Whether fields of spans are fields of their events.
    pub(super) context: bool,
    /// Whether lines have `span`.
    pub(super) current_span: bool,
    /// Whether lines have `spans`.
    pub(super) span_list: bool,
    /// Characters of a text.
    pub(super) max_field: usize,
    /// Bytes of a line.
    pub(super) max_record: usize,
}

impl Encoder {
    /// A number that no other encoder of this process has.
    pub(super) fn next_number() -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        NUMBER.fetch_add(1, Relaxed)
    }

    /// The rule by which the value under a name is secret.
    pub(super) fn secret(&self, name: &str) -> Option<RuleId> {
        self.redactor.as_ref()?.key(name.as_bytes())
    }

    pub(super) fn count(&self, rule: RuleId) {
        if let Some(redactor) = &self.redactor {
            redactor.count(rule);
        }
    }

    /// Appends what stands for a secret text.
    pub(super) fn write_secret(&self, out: &mut Vec<u8>, text: &str, rule: RuleId) {
        if let Some(redactor) = &self.redactor {
            redactor.count(rule);
            json::write_str(out, &redactor.under_key(Some(text)));
        }
    }

    /// Appends a text between quotes, with its payloads told; `more` where it is the beginning of a longer one.
    pub(super) fn write_text(&self, out: &mut Vec<u8>, text: &str, limit: usize, more: bool) {
        match payload::in_text(text) {
            None => self.write_plain(out, text, limit, more),
            Some(Found::Whole(payload)) => self.write_plain(out, &payload.text(), limit, more),
            Some(Found::Inside(told, _)) => self.write_plain(out, &told, limit, more),
        }
    }

    /// The same of a value: one that is a payload becomes an object.
    pub(super) fn write_value(&self, out: &mut Vec<u8>, text: &str, limit: usize, more: bool) {
        match payload::in_text(text) {
            Some(Found::Whole(payload)) => payload.write_json(out),
            Some(Found::Inside(told, _)) => self.write_plain(out, &told, limit, more),
            None => self.write_plain(out, text, limit, more),
        }
    }

    fn write_plain(&self, out: &mut Vec<u8>, text: &str, limit: usize, more: bool) {
        // Before it is cut: the first half of a secret may look like nothing at all.
        let redacted = (text.len() > limit)
            .then(|| self.redactor.as_ref()?.text(text))
            .flatten();
        let text = redacted.as_deref().unwrap_or(text).as_bytes();
        out.push(b'"');
        if more {
            json::write_escaped(out, prefix(text, limit));
            let total = characters(text);
            out.extend_from_slice(format!("…(truncated, more than {total} chars)").as_bytes());
        } else {
            write_cut(out, text, limit);
        }
        out.push(b'"');
    }

    /// Appends bytes that are no text: what they are, or with `\xNN` for what is not UTF-8.
    #[allow(clippy::unused_self)] // One of a family.
    pub(super) fn write_binary(&self, out: &mut Vec<u8>, data: &[u8], limit: usize) {
        if let Some(payload) = payload::in_bytes(data, data.len()) {
            return payload.write_json(out);
        }
        let shown: String = data
            .utf8_chunks()
            .flat_map(|chunk| {
                let odd = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
                std::iter::once(chunk.valid().to_owned()).chain(odd)
            })
            .collect();
        self.write_plain(out, &shown, limit, false);
    }
}
