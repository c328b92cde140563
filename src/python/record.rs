//! One `logging.LogRecord` to one finished line (schema version 1), at the end of which only `seq` is left to patch.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::context::{self, Ambient};
use super::cut::KeyLimits;
use super::encode::{Encoder, Limits, MAX_DEPTH, Nest, Written};
use super::events;
use super::names::{Names, Slot};
use super::parts::{CATEGORY, Parts};
use super::redaction;
use super::verdict::Verdicts;
use crate::fork::pid;
use crate::json;
use crate::redact::Redactor;

/// The smallest `max_record` that can be kept: a line with everything cut still takes some bytes.
pub(super) const MIN_MAX_RECORD: usize = 1024;

/// Bytes that most lines need.
pub(super) const USUAL: usize = 1024;

/// Characters of `service`, `environment`, `version` that are kept.
const MAX_STATIC: usize = 256;

/// Turns records into lines. Holds no Python objects: static fields are encoded once.
#[derive(Debug)]
pub(crate) struct RecordEncoder {
    /// `,"service":…,"environment":…,"version":…`, those that are set.
    pub(super) identity: Vec<u8>,
    /// Static fields: the escaped name, and the value in JSON.
    pub(super) fixed: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) src: bool,
    pub(super) verdicts: &'static Verdicts,
    pub(super) redactor: Option<Arc<Redactor>>,
    /// Whether what is clean by the usual rules is clean: no others are in force.
    pub(super) usual: bool,
    /// Encoders of one kind write the same of a bound context.
    pub(super) kind: u32,
    pub(super) max_field: usize,
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
                crate::cut::write_cut(&mut identity, value.as_bytes(), MAX_STATIC);
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
}
