//! A `LogRecord` taken apart, and the parts of its line that need no settings.
#![allow(unsafe_code)]

use std::cell::OnceCell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smallvec::SmallVec;

use super::context::Ambient;
use super::encode::{Encoder, class_of};
use super::events;
use super::fragments;
use super::held::Held;
use super::message::{Args, Rendered, Template};
use super::names::{SLOTS, Slot};
use super::sites;
use super::task::task_name;
use super::text::{small_int, utf8};
use crate::json;

/// Keys of `extra` that stand at the top of a line, in the order of the schema. `event` and `category` stand elsewhere.
pub(super) const PROMOTED: [&str; 8] = [
    "event",
    "session_id",
    "request_id",
    "trace_id",
    "span_id",
    "trace_flags",
    "tool",
    "category",
];
pub(super) const EVENT: usize = 0;
pub(super) const REQUEST_ID: usize = 2;
pub(super) const TRACE_ID: usize = 3;
pub(super) const SPAN_ID: usize = 4;
pub(super) const TRACE_FLAGS: usize = 5;
pub(super) const TOOL: usize = 6;
pub(super) const CATEGORY: usize = 7;

/// The values of [`PROMOTED`] keys.
pub(super) type Promoted<'py> = [Option<Bound<'py, PyAny>>; PROMOTED.len()];

/// The index of a key in [`PROMOTED`].
#[inline]
pub(super) fn promoted_place(name: &[u8]) -> Option<usize> {
    match name {
        b"event" => Some(EVENT),
        b"session_id" => Some(1),
        b"request_id" => Some(REQUEST_ID),
        b"trace_id" => Some(TRACE_ID),
        b"span_id" => Some(SPAN_ID),
        b"trace_flags" => Some(TRACE_FLAGS),
        b"tool" => Some(TOOL),
        b"category" => Some(CATEGORY),
        _ => None,
    }
}

/// What an attribute is to a record, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A field of the caller's.
    Extra,
    /// Stands at the top of the line, at this place of [`PROMOTED`].
    Promoted(u8),
    /// `fields`: a mapping of more of them.
    Nested,
    /// Standard.
    Slot(Slot),
}

impl Role {
    pub(super) fn of(name: &[u8]) -> Self {
        if let Some(place) = promoted_place(name) {
            return Role::Promoted(u8::try_from(place).unwrap_or(0));
        }
        match Slot::of(name) {
            Some(slot) => Role::Slot(slot),
            None if name == b"fields" => Role::Nested,
            None => Role::Extra,
        }
    }
}

/// An attribute passed in `extra`.
pub(super) type Extra<'py> = (Held<'py>, Held<'py>);

/// So many extras take no memory from the heap.
const EXTRAS: usize = 16;

/// A record taken apart, everything held.
#[derive(Default)]
pub(super) struct Parts<'py> {
    pub(super) slots: [Option<Held<'py>>; SLOTS],
    pub(super) promoted: Promoted<'py>,
    pub(super) nested: Option<Bound<'py, PyAny>>,
    pub(super) extras: SmallVec<[Extra<'py>; EXTRAS]>,
    /// Whether a key may need a change to stand apart from the others.
    pub(super) odd_keys: bool,
    /// Microseconds since the epoch, where that is known otherwise than by `created`.
    pub(super) at: Option<i64>,
    /// The bound context and the active span.
    pub(super) ambient: Ambient<'py>,
    /// What Python rendered, empty as long as the template can be written as it is.
    pub(super) message: OnceCell<Rendered<'py>>,
}

impl<'py> Parts<'py> {
    pub(super) fn slot(&self, slot: Slot) -> Option<&Bound<'py, PyAny>> {
        self.slots[slot as usize].as_deref()
    }

    pub(super) fn integer(&self, slot: Slot) -> Option<i64> {
        let value = self.slot(slot)?;
        if class_of(value.as_borrowed()) == &raw mut ffi::PyLong_Type {
            return small_int(value.as_borrowed());
        }
        value.extract().ok()
    }
}

impl<'py> Encoder<'py> {
    /// Sorts the attributes of a record into what is standard, what the schema promotes, and fields.
    pub(super) fn take_apart(&self, record: &Bound<'py, PyAny>, parts: &mut Parts<'py>) {
        // SAFETY: a live object; a new reference or null with an error comes back.
        let attributes = unsafe {
            let plain = record.get_type_ptr() == self.names.record.as_ptr().cast();
            let attributes = if plain {
                Bound::from_owned_ptr_or_err(
                    self.py,
                    ffi::PyObject_GenericGetDict(record.as_ptr(), std::ptr::null_mut()),
                )
            } else {
                record.getattr(intern!(self.py, "__dict__"))
            };
            self.ok(attributes).filter(Bound::is_instance_of::<PyDict>)
        };
        let Some(attributes) = attributes else {
            for (name, slot) in Slot::NAMED {
                parts.slots[slot as usize] = self.ok(record.getattr(name)).map(Held::from);
            }
            return;
        };
        let mut position = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a live dict, in which no code changes anything while the loops run: whatever it holds is taken along.
        let mut next = || unsafe {
            let more = ffi::PyDict_Next(
                attributes.as_ptr(),
                &raw mut position,
                &raw mut key,
                &raw mut value,
            );
            (more != 0).then(|| {
                (
                    Borrowed::from_ptr(self.py, key),
                    Borrowed::from_ptr(self.py, value),
                )
            })
        };
        let mut entry = next();
        for (name, slot) in &self.names.order {
            match entry {
                Some((key, value)) if key.as_ptr() == name.as_ptr() => {
                    if *slot != Slot::Ignored {
                        // Each has one attribute: nothing is dropped.
                        std::mem::forget(parts.slots[*slot as usize].replace(Held::new(value)));
                    }
                    entry = next();
                }
                _ => break,
            }
        }
        while let Some((key, value)) = entry {
            Self::sort_in(key, value, parts);
            entry = next();
        }
        self.settle_nested(parts);
        if !self.names.has_task_name && parts.slot(Slot::TaskName).is_none() {
            parts.slots[Slot::TaskName as usize] = task_name(self).map(Held::from);
        }
    }

    /// A `fields` that is no mapping is a field like any other.
    pub(super) fn settle_nested(&self, parts: &mut Parts<'py>) {
        if let Some(nested) = parts.nested.take_if(|nested| !self.is_mapping(nested)) {
            parts.extras.push((
                intern!(self.py, "fields").clone().into_any().into(),
                nested.into(),
            ));
        }
    }

    /// Puts one attribute that does not stand where a fresh record has it.
    pub(super) fn sort_in(
        key: Borrowed<'_, 'py, PyAny>,
        value: Borrowed<'_, 'py, PyAny>,
        parts: &mut Parts<'py>,
    ) {
        // Held before the look at its text, which may raise.
        let (key, value) = (Held::new(key), Held::new(value));
        let role = fragments::role(key.py(), key.as_ptr())
            .or_else(|| Self::new_role(key.as_borrowed()))
            .unwrap_or_else(|| {
                parts.odd_keys = true;
                Role::Extra
            });
        match role {
            Role::Promoted(place) => {
                if value.is_none() {
                    return;
                }
                if !is_container(value.as_borrowed()) {
                    parts.promoted[usize::from(place)] = Some(value.clone());
                    return;
                }
            }
            Role::Nested => {
                parts.nested = Some(value.clone());
                return;
            }
            Role::Slot(slot) => {
                if slot != Slot::Ignored {
                    parts.slots[slot as usize] = Some(value);
                }
                return;
            }
            Role::Extra => {}
        }
        parts.extras.push((key, value));
    }

    /// The role of a name that is not known yet; `None` for a key that is no ordinary string.
    #[inline(never)]
    fn new_role(key: Borrowed<'_, 'py, PyAny>) -> Option<Role> {
        if class_of(key) != &raw mut ffi::PyUnicode_Type {
            return None;
        }
        let name = utf8(key)?;
        let role = Role::of(name);
        if role != Role::Extra {
            // The others are remembered when they are written.
            fragments::remember(key, name);
        }
        Some(role)
    }

    /// Has Python render the message unless it can be written without.
    pub(super) fn render_message(
        &self,
        record: &Bound<'py, PyAny>,
        formatter: Option<&Bound<'py, PyAny>>,
        parts: &mut Parts<'py>,
    ) {
        let none = || self.py.None().into_bound(self.py);
        if let Some(formatter) = formatter {
            let msg = parts.slot(Slot::Msg).cloned().unwrap_or_else(none);
            let text = formatter.call_method1(intern!(self.py, "format"), (record,));
            parts.message = self.render_by(text, &msg).into();
        } else if record.get_type_ptr() != self.names.record.as_ptr().cast() {
            let msg = parts.slot(Slot::Msg).cloned().unwrap_or_else(none);
            parts.message = self
                .render_by(record.call_method0(intern!(self.py, "getMessage")), &msg)
                .into();
        }
    }

    /// Puts the event that a record carries in the record's place, if it carries one.
    #[cold]
    pub(super) fn take_event(
        &self,
        record: &Bound<'py, PyAny>,
        formatter: Option<&Bound<'py, PyAny>>,
        parts: &mut Parts<'py>,
    ) {
        let text = formatter.map(|it| it.call_method1(intern!(self.py, "format"), (record,)));
        let adopted = match &text {
            None => events::adopt(self, record, None),
            Some(Ok(text)) => events::adopt(self, record, Some(text)),
            Some(Err(_)) => None,
        };
        if let Some(adopted) = adopted {
            let ambient = std::mem::take(&mut parts.ambient);
            *parts = Parts {
                ambient,
                ..Parts::default()
            };
            self.take_apart(&adopted, parts);
        } else if let Some(text) = text {
            let none = || self.py.None().into_bound(self.py);
            let msg = parts.slot(Slot::Msg).cloned().unwrap_or_else(none);
            parts.message = self.render_by(text, &msg).into();
        } else {
            self.render_message(record, None, parts);
        }
    }

    /// Microseconds since the epoch of a record's `created`; now, if it is no time.
    pub(super) fn created(&self, created: Option<&Bound<'py, PyAny>>) -> i64 {
        let seconds = created.and_then(|created| {
            if class_of(created.as_borrowed()) == &raw mut ffi::PyFloat_Type {
                // SAFETY: a live float.
                return Some(unsafe { ffi::PyFloat_AsDouble(created.as_ptr()) });
            }
            self.ok(created.extract::<f64>())
        });
        match seconds {
            // Halves away from zero as `round` has it, without a call: below 2^52 the sum is exact enough.
            #[allow(clippy::cast_possible_truncation)]
            Some(seconds) if (1.0..1e9 * 4.0).contains(&seconds) => (seconds * 1e6 + 0.5) as i64,
            // Well within i64 after the check.
            #[allow(clippy::cast_possible_truncation)]
            Some(seconds) if seconds.abs() < 1e12 => (seconds * 1e6).round() as i64,
            _ => jiff::Timestamp::now().as_microsecond(),
        }
    }

    /// `,"event":…` and, where an event was passed and differs, `,"message":…`.
    pub(super) fn write_event(&self, out: &mut Vec<u8>, parts: &Parts<'py>) {
        out.extend_from_slice(b",\"event\":\"");
        let Some(event) = &parts.promoted[EVENT] else {
            self.write_message(out, parts);
            out.push(b'"');
            return;
        };
        out.pop();
        let start = out.len();
        self.write_as_text(out, event);
        let end = out.len();
        out.extend_from_slice(b",\"message\":");
        let message = out.len();
        out.push(b'"');
        self.write_message(out, parts);
        out.push(b'"');
        if out[start..end] == out[message..] {
            out.truncate(end);
        }
    }

    fn write_message(&self, out: &mut Vec<u8>, parts: &Parts<'py>) {
        let Some(msg) = parts.slot(Slot::Msg) else {
            return;
        };
        let template = Template {
            msg,
            args: Args::Object(parts.slot(Slot::Args)),
        };
        if parts.message.get().is_some() || !self.write_template(out, template) {
            let message = parts.message.get_or_init(|| self.render(template));
            self.write_inner(out, message.text.as_borrowed());
        }
    }

    /// Appends text that many records share, such as the name of a logger, as a JSON string.
    #[inline]
    pub(super) fn write_repeated(&self, out: &mut Vec<u8>, value: &Bound<'py, PyAny>) {
        if !fragments::write_quoted(self.py, out, value.as_ptr(), self.limits.text) {
            self.write_new(out, value);
        }
    }

    #[inline(never)]
    fn write_new(&self, out: &mut Vec<u8>, value: &Bound<'py, PyAny>) {
        self.write_as_text(out, value);
        if class_of(value.as_borrowed()) == &raw mut ffi::PyUnicode_Type
            && let Some(plain) = utf8(value.as_borrowed())
        {
            fragments::remember(value.as_borrowed(), plain);
        }
    }

    pub(super) fn write_as_text_or(
        &self,
        out: &mut Vec<u8>,
        value: Option<&Bound<'py, PyAny>>,
        missing: &str,
    ) {
        match value {
            Some(value) => self.write_as_text(out, value),
            None => json::write_str(out, missing),
        }
    }

    /// `,"src":{…}`: where the record was logged.
    pub(super) fn write_source(&self, out: &mut Vec<u8>, parts: &Parts<'py>) {
        let line = parts.integer(Slot::LineNo).unwrap_or(0);
        let (path, function) = (parts.slot(Slot::PathName), parts.slot(Slot::FuncName));
        let site = path.zip(function);
        if let Some((path, function)) = site
            && sites::write(out, path, function, line, self.limits.text)
        {
            return;
        }
        let start = out.len();
        out.extend_from_slice(b",\"src\":{\"file\":");
        self.write_as_text_or(out, path, "");
        out.extend_from_slice(b",\"line\":");
        json::write_int(out, line);
        out.extend_from_slice(b",\"function\":");
        self.write_as_text_or(out, function, "");
        out.push(b'}');
        if let Some((path, function)) = site {
            sites::remember(path, function, line, self.limits.text, &out[start..]);
        }
    }

    /// Appends an object as a JSON string.
    #[inline]
    pub(super) fn write_as_text(&self, out: &mut Vec<u8>, value: &Bound<'py, PyAny>) {
        if class_of(value.as_borrowed()) == &raw mut ffi::PyUnicode_Type {
            self.write_text(out, value.as_borrowed());
        } else {
            out.push(b'"');
            out.extend_from_slice(&self.text_of(value.as_borrowed()));
            out.push(b'"');
        }
    }

    /// Appends a correlation id; OpenTelemetry's own ints as the hexadecimal text it writes for them.
    pub(super) fn write_id(&self, out: &mut Vec<u8>, name: &str, value: &Bound<'py, PyAny>) {
        let width = match name {
            "trace_id" => 32,
            "span_id" => 16,
            "trace_flags" => 2,
            _ => 0,
        };
        if width > 0
            && class_of(value.as_borrowed()) == &raw mut ffi::PyLong_Type
            && let Some(id) = self.ok(value.extract::<u128>())
        {
            out.extend_from_slice(format!("\"{id:0width$x}\"").as_bytes());
        } else {
            self.write_as_text(out, value);
        }
    }
}

/// Whether a value has structure, so that it belongs in `fields` even under a promoted name.
pub(super) fn is_container(value: Borrowed<'_, '_, PyAny>) -> bool {
    let class = class_of(value);
    class == &raw mut ffi::PyDict_Type
        || class == &raw mut ffi::PyList_Type
        || class == &raw mut ffi::PyTuple_Type
}
