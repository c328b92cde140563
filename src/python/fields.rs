//! `fields`: what the caller passed, what is bound and what is static, each name once.

use pyo3::prelude::*;

use super::context::{self, Around, Encoded};
use super::encode::{Encoder, Nest, Written};
use super::keys::Keys;
use super::names::Slot;
use super::parts::{Extra, Parts};
use super::record::RecordEncoder;
use super::verdict::Mark;

impl RecordEncoder {
    #[cold]
    pub(super) fn write_dropped_note(&self, out: &mut Vec<u8>) {
        let note = format!(
            ",\"fields\":{{\"truncated\":\"fields left out: the record is larger than {} bytes (LOG_MAX_RECORD)\"}}",
            self.max_record
        );
        out.extend_from_slice(note.as_bytes());
    }

    /// `,"fields":{…}` of static ones alone.
    pub(super) fn write_fixed(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        for (escaped, value) in &self.fixed {
            separate(out, open);
            out.push(b'"');
            out.extend_from_slice(escaped);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        }
        out.push(b'}');
    }

    /// `,"fields":{…}`, static ones first; nothing if there are none.
    pub(super) fn write_fields<'py>(
        &self,
        encoder: &Encoder<'py>,
        parts: &Parts<'py>,
        around: Around<'_>,
        out: &mut Vec<u8>,
    ) -> Written {
        let error = parts
            .message
            .get()
            .and_then(|message| message.error.as_ref());
        // Names can meet only where the call's own are not all there is.
        let bound = around.encoded;
        let meet = match bound {
            None => !self.fixed.is_empty(),
            Some(bound) => encoder.limits.items != usize::MAX || bound.meets_any(&parts.extras),
        };
        if meet || parts.nested.is_some() || parts.odd_keys || error.is_some() {
            return self.write_mixed_fields(encoder, parts, around, error, out);
        }
        let bound = bound.map_or(&[][..], Encoded::fields);
        if parts.extras.is_empty() && bound.is_empty() {
            return Ok(());
        }
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        out.extend_from_slice(bound);
        // For those that are cut: two may then read alike.
        let mut odd = Keys::default();
        for (key, value) in &parts.extras {
            separate(out, open);
            let mut mark = encoder
                .write_plain_key(out, key.as_borrowed())
                .unwrap_or_else(|| encoder.write_odd_key(out, key.as_borrowed(), &mut odd));
            if mark == Mark::BESIDE {
                mark = encoder.mark_among(borrowed(&parts.extras));
            }
            encoder.write_under(out, value.as_borrowed(), mark, &Nest::TOP)?;
        }
        out.push(b'}');
        encoder.check(out)
    }

    /// Fields from several sources, or with keys that need a change to stand apart.
    #[inline(never)]
    fn write_mixed_fields<'py>(
        &self,
        encoder: &Encoder<'py>,
        parts: &Parts<'py>,
        around: Around<'_>,
        error: Option<&String>,
        out: &mut Vec<u8>,
    ) -> Written {
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        let mut keys = Keys::default();
        for (key, _) in &parts.extras {
            let mut plain = Vec::new();
            if encoder
                .write_plain_key(&mut plain, key.as_borrowed())
                .is_some()
            {
                keys.take(&plain[1..plain.len() - 2]);
            }
        }
        let nested = parts
            .nested
            .as_ref()
            .and_then(|nested| encoder.pairs_of(nested))
            .unwrap_or_default();
        let mut written = Vec::new();
        for (escaped, value, _) in around.fields(self) {
            let overridden = keys.holds(escaped)
                || nested
                    .iter()
                    .any(|(key, _)| encoder.text_of(key.as_borrowed()) == *escaped);
            if !overridden {
                separate(out, open);
                context::write_field(out, escaped, value, encoder.limits);
                written.push(escaped);
            }
        }
        for escaped in written {
            keys.take(escaped);
        }
        encoder.check(out)?;
        for (key, value) in &parts.extras {
            separate(out, open);
            let mut mark = encoder
                .write_plain_key(out, key.as_borrowed())
                .unwrap_or_else(|| encoder.write_odd_key(out, key.as_borrowed(), &mut keys));
            if mark == Mark::BESIDE {
                mark = encoder.mark_among(borrowed(&parts.extras));
            }
            encoder.write_under(out, value.as_borrowed(), mark, &Nest::TOP)?;
        }
        for (key, value) in &nested {
            separate(out, open);
            let mut mark = encoder.write_odd_key(out, key.as_borrowed(), &mut keys);
            if mark == Mark::BESIDE {
                mark = encoder.mark_among(
                    nested
                        .iter()
                        .map(|(key, value)| (key.as_borrowed(), value.as_borrowed())),
                );
            }
            encoder.write_under(out, value.as_borrowed(), mark, &Nest::TOP)?;
        }
        if let Some(error) = error {
            separate(out, open);
            keys.write_note_key(out, "format_error");
            encoder.write_cut_str(out, error);
            if let Some(args) = parts.slot(Slot::Args) {
                out.push(b',');
                keys.write_note_key(out, "format_args");
                let template = parts.slot(Slot::Msg).map(PyAnyMethods::str);
                if template
                    .and_then(|msg| encoder.ok(msg))
                    .is_some_and(|msg| self.introduces_secret(&msg.to_string_lossy()))
                {
                    out.extend_from_slice(b"\"***\"");
                } else {
                    encoder.write_value(out, args.as_borrowed(), &Nest::TOP)?;
                }
            }
        }
        out.push(b'}');
        encoder.check(out)
    }
}

fn borrowed<'a, 'py>(
    extras: &'a [Extra<'py>],
) -> impl Iterator<Item = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>)> {
    extras
        .iter()
        .map(|(key, value)| (key.as_borrowed(), value.as_borrowed()))
}

pub(super) fn separate(out: &mut Vec<u8>, open: usize) {
    if out.len() > open {
        out.push(b',');
    }
}
