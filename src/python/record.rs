//! One `logging.LogRecord` to one finished line (schema version 1), at the end of which only `seq` is left to patch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::context::{self, Ambient, Around, Encoded};
use super::cut::{self, KeyLimits};
use super::encode::{Encoder, Limits, MAX_DEPTH, Nest, Written};
use super::events;
use super::keys::Keys;
use super::names::{Names, Slot};
use super::parts::{CATEGORY, Parts};
use super::redaction;
use super::verdict::Verdicts;
use crate::json;
use crate::payload;
use crate::redact::Redactor;

/// The smallest `max_record` that can be kept: a line with everything cut still takes some bytes.
pub(super) const MIN_MAX_RECORD: usize = 1024;

/// Bytes that most lines need.
pub(super) const USUAL: usize = 1024;

/// Characters of `service`, `environment`, `version` that are kept.
const MAX_STATIC: usize = 256;

/// This process' id, below the number of forks it was asked after; 0 until asked.
static PID: AtomicU64 = AtomicU64::new(0);

/// The process id, without a system call on the hot path.
pub(super) fn pid() -> i64 {
    let forks = crate::fork::forks() << 32;
    let known = PID.load(Ordering::Relaxed);
    let pid = u32::try_from(known & 0xFFFF_FFFF).unwrap_or(0);
    if pid != 0 && known & !0xFFFF_FFFF == forks {
        return i64::from(pid);
    }
    let pid = std::process::id();
    PID.store(forks | u64::from(pid), Ordering::Relaxed);
    i64::from(pid)
}

/// Turns records into lines. Holds no Python objects: static fields are encoded once.
#[derive(Debug)]
pub(crate) struct RecordEncoder {
    /// `,"service":…,"environment":…,"version":…`, those that are set.
    pub(super) identity: Vec<u8>,
    /// Static fields: the escaped name, and the value in JSON.
    pub(super) fixed: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) src: bool,
    pub(super) verdicts: &'static Verdicts,
    redactor: Option<Arc<Redactor>>,
    /// Whether what is clean by the usual rules is clean: no others are in force.
    pub(super) usual: bool,
    /// Encoders of one kind write the same of a bound context.
    pub(super) kind: u32,
    max_field: usize,
    pub(super) max_record: usize,
}

/// What an attempt keeps of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything.
    All,
    /// No user fields: a note stands in their place.
    NoFields,
    /// Only when, what level, which logger, what happened, and the note.
    Core,
}

impl RecordEncoder {
    /// An encoder for resolved settings: `service`, `environment`, `version` (str or None), `static` (dict), `src` (bool),
    /// `max_field` (characters), `max_record` (bytes).
    ///
    /// # Errors
    /// A missing key, a value of the wrong type, or a `max_record` below 1024 bytes.
    pub(crate) fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = settings.py();
        let names = Names::get(py)?;
        let setting = |name: &str| {
            settings.get_item(name)?.ok_or_else(|| {
                PyValueError::new_err(format!("settings: {name}: missing; pass every setting"))
            })
        };
        let max_field = setting("max_field")?.extract::<usize>()?;
        let max_record = setting("max_record")?.extract::<usize>()?;
        if max_record < MIN_MAX_RECORD {
            return Err(PyValueError::new_err(format!(
                "max_record: {max_record}: too small for a line; use at least {MIN_MAX_RECORD} bytes"
            )));
        }
        let limits = Limits {
            text: 0,
            short: 0,
            items: usize::MAX,
            depth: MAX_DEPTH,
            end: max_record / 2,
        };
        let limits = limits.with_text(max_field);
        let truncate = settings.get_item("truncate")?;
        let truncate = truncate.map(Bound::cast_into::<PyDict>);
        let truncate = match truncate {
            Some(limits) => KeyLimits::new(&limits?)?,
            None => KeyLimits::default(),
        };
        let redact = settings.get_item("redact")?;
        let (redactor, which) = redaction::redactor(redact.as_ref())?;
        let verdicts = Verdicts::of(
            &format!("{which} {truncate:?}"),
            redactor.as_ref(),
            truncate,
        );
        // What all lines share is looked at once where the usual rules are in force, else in each line.
        let usual = redactor
            .as_ref()
            .is_none_or(|redactor| Arc::ptr_eq(redactor, &redaction::usual()));
        let once = redactor.as_ref().filter(|_| usual);
        let mut identity = Vec::new();
        for name in ["service", "environment", "version"] {
            if let Some(value) = setting(name)?.extract::<Option<String>>()? {
                identity.extend_from_slice(format!(",\"{name}\":\"").as_bytes());
                let value = once.and_then(|once| once.text(&value)).unwrap_or(value);
                super::text::write_cut(&mut identity, value.as_bytes(), MAX_STATIC);
                identity.push(b'"');
            }
        }
        let encoder = Encoder::new(py, names, limits, verdicts);
        let mut fixed = Vec::new();
        for (key, value) in setting("static")?.cast_into::<PyDict>()? {
            let name = key
                .cast::<PyString>()
                .map_err(|_| PyTypeError::new_err(format!("static: {key}: names must be str")))?;
            let name = name.to_string_lossy().into_owned();
            let (mut escaped, mut json) = (Vec::new(), Vec::new());
            json::write_escaped(&mut escaped, name.as_bytes());
            let mark = verdicts.judge(name.as_bytes());
            if encoder
                .write_under(&mut json, value.as_borrowed(), mark, &Nest::TOP)
                .is_err()
            {
                return Err(PyValueError::new_err(format!(
                    "static: {name}: too large for a field of every record"
                )));
            }
            if let Some(once) = once {
                once.part(&mut json, 0, max_field);
            }
            fixed.push((escaped, json));
        }
        let kind = context::kind(max_field, &fixed, redact.as_ref())?;
        Ok(RecordEncoder {
            identity,
            kind,
            fixed,
            src: setting("src")?.is_truthy()?,
            verdicts,
            usual,
            redactor,
            max_field,
            max_record,
        })
    }

    /// Appends the record's line to `out` and returns its level. Never fails, never runs longer than `max_record`, and leaves
    /// the record as it is (a user's `formatter`, whose text becomes the message, may not).
    pub(crate) fn encode<'py>(
        &self,
        record: &Bound<'py, PyAny>,
        formatter: Option<&Bound<'py, PyAny>>,
        out: &mut Vec<u8>,
    ) -> i64 {
        let py = record.py();
        let Ok(names) = Names::get(py) else {
            return 0;
        };
        let mut encoder = Encoder::new(py, names, self.limits(out), self.verdicts);
        let mut parts = Parts {
            ambient: Ambient::here(py),
            ..Parts::default()
        };
        encoder.take_apart(record, &mut parts);
        let may_be_event = || match formatter {
            None => parts
                .slot(Slot::Msg)
                .is_some_and(|msg| events::may_be(msg.as_borrowed())),
            Some(formatter) => events::is_rendered_by(formatter),
        };
        if events::expected() && may_be_event() {
            encoder.take_event(record, formatter, &mut parts);
        } else {
            encoder.render_message(record, formatter, &mut parts);
        }
        self.write_within_limits(&mut encoder, out, |encoder, keep, out| {
            self.write_line(encoder, &parts, keep, out)
        });
        encoder.finish();
        parts.integer(Slot::LevelNo).unwrap_or(0)
    }

    /// Never more than `bytes` a line: what the spool can take.
    #[must_use]
    pub(crate) fn within(mut self, bytes: usize) -> Self {
        self.max_record = self.max_record.min(bytes);
        self
    }

    /// The limits of a first attempt at a line that begins here.
    pub(super) fn limits(&self, out: &[u8]) -> Limits {
        let end = out.len() + self.max_record - json::SEQ_PLACEHOLDER.len();
        Limits {
            text: self.max_field,
            short: self.max_field.min(payload::SHORT - 1),
            items: usize::MAX,
            depth: MAX_DEPTH,
            end,
        }
    }

    /// Writes a line, again with tighter limits while it is too long, and ends it.
    pub(super) fn write_within_limits<'py>(
        &self,
        encoder: &mut Encoder<'py>,
        out: &mut Vec<u8>,
        write: impl Fn(&Encoder<'py>, Keep, &mut Vec<u8>) -> Written,
    ) {
        let start = out.len();
        if write(encoder, Keep::All, out).is_err() || self.look_over(encoder, out, start).is_err() {
            out.truncate(start);
            self.write_tighter(encoder, out, write);
        }
        out.extend_from_slice(json::SEQ_PLACEHOLDER);
    }

    /// The same, unless the encoder knows that there is nothing to be found.
    fn look_over(&self, encoder: &Encoder<'_>, out: &mut Vec<u8>, start: usize) -> Written {
        if self.usual && !encoder.look.get() {
            return Ok(());
        }
        self.redact(encoder, out, start)
    }

    /// Takes out of the line that begins at `start` what patterns find in it.
    #[inline]
    pub(super) fn redact(&self, encoder: &Encoder<'_>, out: &mut Vec<u8>, start: usize) -> Written {
        if let Some(redactor) = &self.redactor
            && redactor.line(out, start, encoder.limits.text)
        {
            // What is put in a secret's place may be longer.
            return encoder.check(out);
        }
        Ok(())
    }

    /// The same for the part of a line from `start` on.
    pub(super) fn redact_part(
        &self,
        encoder: &Encoder<'_>,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Written {
        if let Some(redactor) = &self.redactor
            && redactor.part(out, start, self.max_field)
        {
            return encoder.check(out);
        }
        Ok(())
    }

    /// Whether a template says that an argument is secret: `password=%s`.
    #[cold]
    fn introduces_secret(&self, template: &str) -> bool {
        // As if each argument were some opaque word.
        let filled = template.replace('%', "Xq7");
        self.redact_text(&filled).is_some()
    }

    /// A text without what is secret in it; `None` if that is the same.
    pub(super) fn redact_text(&self, text: &str) -> Option<String> {
        self.redactor.as_ref()?.text(text)
    }

    #[cold]
    fn write_tighter<'py>(
        &self,
        encoder: &mut Encoder<'py>,
        out: &mut Vec<u8>,
        write: impl Fn(&Encoder<'py>, Keep, &mut Vec<u8>) -> Written,
    ) {
        let start = out.len();
        cut::count_record();
        let Limits { end, .. } = encoder.limits;
        let attempts = [
            (1024, 64, 16, Keep::All),
            (128, 8, 4, Keep::All),
            (64, 4, 2, Keep::NoFields),
            (24, 2, 1, Keep::Core),
        ];
        for (text, items, depth, keep) in attempts {
            encoder.tally.clear();
            let limits = Limits {
                items,
                depth,
                end,
                ..encoder.limits
            };
            encoder.limits = limits.with_text(text.min(self.max_field));
            if write(encoder, keep, out).is_ok() && self.look_over(encoder, out, start).is_ok() {
                break;
            }
            out.truncate(start);
        }
    }

    pub(super) fn write_line<'py>(
        &self,
        encoder: &Encoder<'py>,
        parts: &Parts<'py>,
        keep: Keep,
        out: &mut Vec<u8>,
    ) -> Written {
        // Messages, exceptions and names of records are not looked at piece by piece.
        encoder.look.set(true);
        // Most lines fit, so that the buffer is not grown piece by piece.
        out.reserve(USUAL);
        let around = parts.ambient.encoded(encoder.py, self);
        out.push(b'{');
        if let Some(category) = &parts.promoted[CATEGORY] {
            out.extend_from_slice(b"\"category\":");
            encoder.write_as_text(out, category);
            out.push(b',');
        } else if keep == Keep::Core {
            out.extend_from_slice(around.short_category());
        } else {
            out.extend_from_slice(around.category());
        }
        out.extend_from_slice(b"\"ts\":");
        let at = parts
            .at
            .unwrap_or_else(|| encoder.created(parts.slot(Slot::Created)));
        json::write_time(out, at);
        out.extend_from_slice(b",\"level\":");
        match parts.slot(Slot::LevelName) {
            Some(level) => encoder.write_repeated(out, level),
            None => json::write_str(out, "NOTSET"),
        }
        out.extend_from_slice(b",\"logger\":");
        match parts.slot(Slot::Name) {
            Some(name) => encoder.write_repeated(out, name),
            None => json::write_str(out, "root"),
        }
        encoder.check(out)?;
        encoder.write_event(out, parts);
        if keep != Keep::Core {
            out.extend_from_slice(&self.identity);
        }
        out.extend_from_slice(b",\"pid\":");
        json::write_int(out, parts.integer(Slot::Process).unwrap_or_else(pid));
        if keep == Keep::Core {
            self.write_dropped_note(out);
            return encoder.check(out);
        }
        for (key, slot) in [
            (&b",\"thread\":"[..], Slot::ThreadName),
            (b",\"task\":", Slot::TaskName),
        ] {
            if let Some(value) = parts.slot(slot).filter(|value| !value.is_none()) {
                out.extend_from_slice(key);
                encoder.write_repeated(out, value);
            }
        }
        encoder.write_ids(out, &parts.promoted, around);
        encoder.check(out)?;
        if keep == Keep::All {
            self.write_fields(encoder, parts, around, out)?;
        } else {
            self.write_dropped_note(out);
        }
        let exception = (parts.slot(Slot::ExcInfo), parts.slot(Slot::ExcText));
        if [exception.0, exception.1]
            .into_iter()
            .flatten()
            .any(|part| !part.is_none())
        {
            encoder.write_exception(out, exception.0, exception.1)?;
        }
        if let Some(stack) = parts.slot(Slot::StackInfo).filter(|stack| !stack.is_none()) {
            out.extend_from_slice(b",\"stack\":");
            encoder.write_stack(out, stack);
        }
        if self.src {
            encoder.write_source(out, parts);
        }
        encoder.check(out)
    }

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
    fn write_fields<'py>(
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
            let mark = encoder
                .write_plain_key(out, key.as_borrowed())
                .unwrap_or_else(|| encoder.write_odd_key(out, key.as_borrowed(), &mut odd));
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
            let mark = encoder
                .write_plain_key(out, key.as_borrowed())
                .unwrap_or_else(|| encoder.write_odd_key(out, key.as_borrowed(), &mut keys));
            encoder.write_under(out, value.as_borrowed(), mark, &Nest::TOP)?;
        }
        for (key, value) in &nested {
            separate(out, open);
            let mark = encoder.write_odd_key(out, key.as_borrowed(), &mut keys);
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

pub(super) fn separate(out: &mut Vec<u8>, open: usize) {
    if out.len() > open {
        out.push(b',');
    }
}
