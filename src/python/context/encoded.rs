//! Bound values as pieces of a line: encoded once, copied into each.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::span::SpanIds;
use crate::json;
use crate::python::cost;
use crate::python::encode::{Encoder, Limits, Nest, class_of};
use crate::python::fields::separate;
use crate::python::names::Names;
use crate::python::parts::{
    CATEGORY, EVENT, Extra, PROMOTED, SPAN_ID, TOOL, TRACE_FLAGS, TRACE_ID, is_container,
    promoted_place,
};
use crate::python::record::RecordEncoder;
use crate::python::text::utf8;

/// Bytes of all bound fields together: they go into every line.
const MAX_BYTES: usize = 16 << 10;
/// Of `"name":value,`.
const PUNCTUATION: usize = 4;
/// Characters of a bound id.
const MAX_ID: usize = 128;
/// Bytes of a usual id, with its name.
const USUAL_ID: usize = 56;

/// A field.
pub(in crate::python) struct Entry {
    /// The name, a plain `str`.
    key: Py<PyString>,
    /// As UTF-8.
    name: Vec<u8>,
    /// As it stands in a line, without quotes.
    pub(in crate::python) escaped: Vec<u8>,
    /// The value.
    pub(in crate::python) json: Vec<u8>,
    /// Whether a cost record has a member of that name.
    pub(in crate::python) of_cost: bool,
}

/// Bound values, and the static fields that none of them hides.
#[derive(Default)]
pub(in crate::python) struct Encoded {
    /// `,"session_id":"…"` by place among the promoted names, empty where it is not bound.
    ids: [Vec<u8>; PROMOTED.len()],
    /// All of them, in order, and how many bytes stand before and up to the end of those of a trace.
    joined_ids: Vec<u8>,
    trace: (usize, usize),
    /// `"category":"…",`
    category: Vec<u8>,
    pub(in crate::python) entries: Vec<Entry>,
    /// All of them.
    joined: Vec<u8>,
}

impl Encoded {
    /// `"category":"…",`, or nothing.
    #[inline]
    pub(in crate::python) fn category(&self) -> &[u8] {
        &self.category
    }

    /// `,"session_id":"…"`, by place among the promoted names; empty where it is not bound.
    pub(super) fn id(&self, place: usize) -> &[u8] {
        &self.ids[place]
    }

    /// Whether the values tell of a span of their own.
    #[inline]
    pub(super) fn has_trace(&self) -> bool {
        !self.ids[TRACE_ID].is_empty() || !self.ids[SPAN_ID].is_empty()
    }

    /// Appends all ids; those of a span where none is bound.
    #[inline]
    pub(in crate::python) fn write_ids(&self, out: &mut Vec<u8>, span: Option<&SpanIds>) {
        let Some(span) = span.filter(|_| !self.has_trace()) else {
            out.extend_from_slice(&self.joined_ids);
            return;
        };
        let (before, after) = self.trace;
        out.extend_from_slice(&self.joined_ids[..before]);
        if before == after {
            span.write(out);
        } else {
            // The flags alone are bound.
            out.extend_from_slice(span.part(TRACE_ID));
            out.extend_from_slice(span.part(SPAN_ID));
            out.extend_from_slice(&self.joined_ids[before..after]);
        }
        out.extend_from_slice(&self.joined_ids[after..]);
    }

    /// All fields: `"name":value,…`, or nothing.
    #[inline]
    pub(in crate::python) fn fields(&self) -> &[u8] {
        &self.joined
    }

    /// Whether a dict, whose keys are plain `str`, has one of the names, too.
    #[inline]
    pub(in crate::python) fn meets(&self, extra: Borrowed<'_, '_, PyAny>) -> bool {
        // SAFETY: a live dict and names; comparing `str` runs no code and raises nothing. The borrowed references are not used.
        self.entries.iter().any(|entry| unsafe {
            !ffi::PyDict_GetItemWithError(extra.as_ptr(), entry.key.as_ptr()).is_null()
        })
    }

    /// The same for a record's extras.
    pub(in crate::python) fn meets_any(&self, extras: &[Extra<'_>]) -> bool {
        extras.iter().any(|(key, _)| {
            class_of(key.as_borrowed()) != &raw mut ffi::PyUnicode_Type
                || utf8(key.as_borrowed()).is_none_or(|name| {
                    self.entries
                        .iter()
                        .any(|entry| entry.key.as_ptr() == key.as_ptr() || entry.name == name)
                })
        })
    }

    fn holds(&self, escaped: &[u8]) -> bool {
        self.entries.iter().any(|entry| entry.escaped == escaped)
    }

    fn join_ids(&mut self) {
        self.joined_ids.clear();
        self.joined_ids.reserve(self.ids.iter().map(Vec::len).sum());
        for place in EVENT + 1..CATEGORY {
            match place {
                TRACE_ID => self.trace.0 = self.joined_ids.len(),
                TOOL => self.trace.1 = self.joined_ids.len(),
                _ => {}
            }
            self.joined_ids.extend_from_slice(&self.ids[place]);
        }
        const { assert!(TRACE_ID < SPAN_ID && SPAN_ID < TRACE_FLAGS && TRACE_FLAGS < TOOL) };
    }

    fn join_fields(&mut self) {
        for entry in &self.entries {
            separate(&mut self.joined, 0);
            entry.write(&mut self.joined);
        }
    }
}

impl Entry {
    fn new(py: Python<'_>, escaped: Vec<u8>, json: Vec<u8>) -> Self {
        let quoted = [b"\"", &escaped[..], b"\""].concat();
        let name = serde_json::from_slice::<String>(&quoted)
            .unwrap_or_else(|_| String::from_utf8_lossy(&escaped).into_owned());
        Self {
            key: PyString::new(py, &name).unbind(),
            of_cost: cost::OURS.contains(&name.as_bytes()),
            name: name.into_bytes(),
            escaped,
            json,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.escaped);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(&self.json);
    }
}

impl RecordEncoder {
    /// Encodes bound values for lines of this encoder's kind. Never fails: what does not fit is cut, with a note.
    pub(super) fn encode_context(&self, values: &Bound<'_, PyDict>) -> Encoded {
        let py = values.py();
        let mut bound = Encoded::default();
        let Ok(names) = Names::get(py) else {
            return bound;
        };
        let mut encoder = Encoder::new(py, names, self.limits(&[]), self.verdicts);
        let limits = encoder.limits;
        let mut fields = Vec::new();
        let mut nested = None;
        // Copies: code of the values' own may run.
        for (key, value) in values.iter().collect::<Vec<_>>() {
            let place = utf8(key.as_borrowed()).and_then(promoted_place);
            match place {
                Some(_) if value.is_none() => {}
                Some(place) if !is_container(value.as_borrowed()) => {
                    encoder.limits = limits.with_text(limits.text.min(MAX_ID));
                    encoder.write_bound_id(&mut bound, place, &value);
                    encoder.limits = limits;
                }
                None if nested.is_none()
                    && utf8(key.as_borrowed()) == Some(b"fields")
                    && encoder.is_mapping(&value) =>
                {
                    nested = encoder.pairs_of(&value);
                }
                _ => fields.push((key, value)),
            }
        }
        let own = fields.len();
        fields.extend(nested.unwrap_or_default());
        let mut left = MAX_BYTES;
        for (at, (key, value)) in fields.iter().enumerate() {
            if left < MAX_ID {
                let mut more = Vec::new();
                Encoder::write_more(&mut more, Some(fields.len() - at));
                bound.entries.push(Entry::new(py, "…".into(), more));
                break;
            }
            let (escaped, json) = encoder.encode_field(key, value, limits, left);
            left = left.saturating_sub(escaped.len() + json.len() + PUNCTUATION);
            // A name of its own stands before one within `fields`.
            if at < own || !bound.holds(&escaped) {
                bound.entries.push(Entry::new(py, escaped, json));
            }
        }
        encoder.finish();
        for entry in &mut bound.entries {
            self.redact_entry(&encoder, entry);
        }
        let fixed = self
            .fixed
            .iter()
            .filter(|(escaped, _)| !bound.holds(escaped));
        let fixed: Vec<_> = fixed
            .map(|(escaped, json)| {
                let mut entry = Entry::new(py, escaped.clone(), json.clone());
                self.redact_entry(&encoder, &mut entry);
                entry
            })
            .collect();
        bound.entries.splice(0..0, fixed);
        bound.join_ids();
        // One look for all of them.
        if self.may_redact(&bound.joined_ids) || self.may_redact(&bound.category) {
            for id in bound.ids.iter_mut().chain([&mut bound.category]) {
                // Cut by the lines' own limits if it grows.
                let _ = self.redact_part(&encoder, id, 0);
            }
            bound.join_ids();
        }
        bound.join_fields();
        bound
    }

    /// Takes out of a field what patterns find in it.
    fn redact_entry(&self, encoder: &Encoder<'_>, entry: &mut Entry) {
        let mut object = vec![b'{'];
        entry.write(&mut object);
        object.push(b'}');
        if self.may_redact(&object) {
            let _ = self.redact_part(encoder, &mut object, 0);
            let (escaped, json) = split(&object);
            *entry = Entry::new(encoder.py, escaped, json);
        }
    }
}

impl<'py> Encoder<'py> {
    fn write_bound_id(&self, encoded: &mut Encoded, place: usize, value: &Bound<'py, PyAny>) {
        if place == CATEGORY {
            encoded.category.extend_from_slice(b"\"category\":");
            self.write_as_text(&mut encoded.category, value);
            encoded.category.push(b',');
            return;
        }
        let name = PROMOTED[place];
        let id = &mut encoded.ids[place];
        id.reserve(USUAL_ID);
        for part in [",\"", name, "\":"] {
            id.extend_from_slice(part.as_bytes());
        }
        self.write_id(id, name, value);
    }

    /// The name and the value of a field, in at most about `left` bytes.
    fn encode_field(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        limits: Limits,
        left: usize,
    ) -> (Vec<u8>, Vec<u8>) {
        // As a member of an object, so that what holds for those holds here.
        let one = PyDict::new(self.py);
        let entered = self.ok(one.set_item(key, value)).is_some();
        let mut out = Vec::new();
        for (text, items, depth) in [
            (limits.text, limits.items, limits.depth),
            (1024, 64, 16),
            (128, 8, 4),
        ] {
            let tighter = Limits {
                items,
                depth,
                end: left.min(limits.end),
                ..limits
            };
            self.limits = tighter.with_text(text.min(limits.text));
            out.clear();
            let written = self.write_entries(&mut out, one.as_any().as_borrowed(), &Nest::TOP);
            if entered && written.is_ok() {
                self.limits = limits;
                return split(&out);
            }
        }
        self.limits = limits.with_text(limits.text.min(MAX_ID));
        let name = self.text_of(key.as_borrowed());
        self.limits = limits;
        let mut note = Vec::new();
        json::write_str(
            &mut note,
            &format!("<left out: what is bound is larger than {MAX_BYTES} bytes>"),
        );
        (name, note)
    }
}

/// `{"name":value}` to its parts.
fn split(object: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = 2;
    while end < object.len() && object[end] != b'"' {
        end += 1 + usize::from(object[end] == b'\\');
    }
    let value = object.get(end + 2..object.len() - 1).unwrap_or(b"null");
    (object[2..end.min(object.len())].to_vec(), value.to_vec())
}
