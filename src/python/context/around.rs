//! What stands around a record's own parts, and how it gets into the line. What the call says itself goes first.
#![allow(unsafe_code)]

use pyo3::prelude::*;

use super::bound::Context;
use super::encoded::Encoded;
use super::span::{self, SpanIds};
use crate::python::encode::{Encoder, Limits};
use crate::python::held::Held;
use crate::python::parts::{CATEGORY, EVENT, PROMOTED, Promoted, SPAN_ID, TRACE_FLAGS, TRACE_ID};
use crate::python::record::RecordEncoder;

/// Bytes of a bound category that are kept where a line is cut down to its core.
const CORE: usize = 64;

/// The bound context and the active span of a record, held.
#[derive(Default)]
pub(in crate::python) struct Ambient<'py> {
    context: Option<Held<'py>>,
    span: Option<SpanIds>,
}

impl<'py> Ambient<'py> {
    /// Of a record that is made here and now. A span's own code may run.
    #[inline]
    pub(in crate::python) fn here(py: Python<'py>) -> Self {
        Self {
            context: super::here(py),
            span: span::active(py),
        }
    }

    fn context(&self) -> Option<&Context> {
        // SAFETY: `here` asked for its class.
        self.context
            .as_ref()
            .map(|context| unsafe { context.cast_unchecked::<Context>() }.get())
    }

    /// The same once more.
    pub(in crate::python) fn share(&self) -> Self {
        Self {
            context: self.context.as_ref().map(Held::share),
            span: self.span,
        }
    }

    /// As this encoder writes it, where that needs no code: `None` otherwise.
    #[inline]
    pub(in crate::python) fn ready(&self, by: &RecordEncoder) -> Option<Around<'_>> {
        let encoded = match self.context() {
            Some(context) => Some(context.ready(by)?),
            None => None,
        };
        Some(Around {
            encoded,
            span: self.span.as_ref(),
            fields: true,
        })
    }

    /// As this encoder writes it.
    pub(in crate::python) fn encoded(&self, py: Python<'_>, by: &RecordEncoder) -> Around<'_> {
        Around {
            encoded: self.context().and_then(|context| context.encoded(py, by)),
            span: self.span.as_ref(),
            fields: true,
        }
    }
}

/// The pieces of a line.
#[derive(Clone, Copy, Default)]
pub(in crate::python) struct Around<'a> {
    pub(in crate::python) encoded: Option<&'a Encoded>,
    span: Option<&'a SpanIds>,
    fields: bool,
}

impl<'a> Around<'a> {
    /// `"category":"…",`, or nothing.
    #[inline]
    pub(in crate::python) fn category(self) -> &'a [u8] {
        self.encoded.map_or(&[], Encoded::category)
    }

    /// The same, if it is short.
    pub(in crate::python) fn short_category(self) -> &'a [u8] {
        let category = self.category();
        if category.len() <= CORE {
            category
        } else {
            &[]
        }
    }

    /// Whether there is nothing.
    #[inline]
    pub(in crate::python) fn is_empty(self) -> bool {
        self.encoded.is_none() && self.span.is_none()
    }

    /// Without the bound fields.
    pub(in crate::python) fn of_ids(self) -> Self {
        // A cost record that is cut keeps its own members and the ids.
        Self {
            fields: false,
            ..self
        }
    }

    /// Appends the ids, where the call has none of its own.
    #[inline]
    pub(in crate::python) fn write_ids(self, out: &mut Vec<u8>) {
        match (self.encoded, self.span) {
            (None, None) => {}
            (None, Some(span)) => span.write(out),
            (Some(encoded), span) => encoded.write_ids(out, span),
        }
    }

    /// An id, where the call does not give it: bound, or, if neither tells of a span of its own, the active one's.
    fn id(self, place: usize, own_span: bool) -> &'a [u8] {
        let bound = self.encoded.map_or(&[][..], |encoded| encoded.id(place));
        let bound_span = self.encoded.is_some_and(Encoded::has_trace);
        match self.span {
            Some(span) if bound.is_empty() && !own_span && !bound_span => span.part(place),
            _ => bound,
        }
    }

    /// Fields that stand before a call's own: name and value. The static ones and the bound ones.
    pub(in crate::python) fn fields(
        self,
        by: &'a RecordEncoder,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8], bool)> {
        let (bound, fixed) = match self.encoded {
            Some(_) if !self.fields => (&[][..], &by.fixed[..]),
            Some(encoded) => (&encoded.entries[..], &[][..]),
            None => (&[][..], &by.fixed[..]),
        };
        let bound = bound
            .iter()
            .map(|entry| (&entry.escaped[..], &entry.json[..], entry.of_cost));
        let fixed = fixed.iter().map(|(name, json)| {
            let of_cost = super::super::cost::OURS.contains(&name.as_slice());
            (&name[..], &json[..], of_cost)
        });
        bound.chain(fixed)
    }
}

/// Appends a field that stands before a call's own; a note where a line has to be short and it is not.
pub(in crate::python) fn write_field(out: &mut Vec<u8>, name: &[u8], json: &[u8], limits: Limits) {
    out.push(b'"');
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    if limits.items != usize::MAX && json.len() > limits.text + 2 {
        crate::json::write_str(out, &format!("<left out: {} bytes>", json.len()));
    } else {
        out.extend_from_slice(json);
    }
}

impl<'py> Encoder<'py> {
    /// Appends the correlation ids and the tool, those there are.
    #[inline]
    pub(in crate::python) fn write_ids(
        &self,
        out: &mut Vec<u8>,
        promoted: &Promoted<'py>,
        around: Around<'_>,
    ) {
        if promoted[EVENT + 1..CATEGORY].iter().any(Option::is_some) {
            self.write_some_ids(out, promoted, around);
        } else {
            around.write_ids(out);
        }
    }

    #[inline(never)]
    fn write_some_ids(&self, out: &mut Vec<u8>, promoted: &Promoted<'py>, around: Around<'_>) {
        let own_span = promoted[TRACE_ID].is_some() || promoted[SPAN_ID].is_some();
        const { assert!(TRACE_FLAGS < CATEGORY) };
        for place in EVENT + 1..CATEGORY {
            if let Some(value) = &promoted[place] {
                let name = PROMOTED[place];
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                self.write_id(out, name, value);
            } else {
                out.extend_from_slice(around.id(place, own_span));
            }
        }
    }
}
