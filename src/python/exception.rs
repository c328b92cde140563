//! `exc_info` to `{type, message, stacktrace, causes?, notes?}`.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple};

use super::encode::{Encoder, Nest, Written};
use super::text::without_payloads;
use crate::json;

/// Causes that are named; a longer chain is in the stack trace.
const MAX_CAUSES: usize = 16;

/// Length of the longest stack trace, in longest strings.
const STACK_FIELDS: usize = 4;

/// An exception, and the traceback to show instead of its own.
type Raised<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

impl<'py> Encoder<'py> {
    /// Appends an exception as a value: `"Type: message"`.
    pub(super) fn write_exception_value(&self, out: &mut Vec<u8>, error: Borrowed<'_, 'py, PyAny>) {
        let name = self.type_name(error);
        let start = out.len();
        self.write_str_of(out, error);
        let message = out.split_off(start);
        let message = &message[1..message.len() - 1];
        out.push(b'"');
        json::write_escaped(out, name.as_bytes());
        if !message.is_empty() {
            out.extend_from_slice(b": ");
            out.extend_from_slice(message);
        }
        out.push(b'"');
    }

    fn type_name(&self, error: Borrowed<'_, 'py, PyAny>) -> String {
        let class = error.get_type();
        self.qualified_name(class.as_any().as_borrowed())
            .unwrap_or_else(|| "Exception".to_owned())
    }

    /// Appends `,"exception":{…}` for a record's `exc_info` (a tuple, an exception, or anything true for the one being handled),
    /// or for its `exc_text` alone; nothing if there is none.
    #[inline(never)]
    pub(super) fn write_exception(
        &self,
        out: &mut Vec<u8>,
        exc_info: Option<&Bound<'py, PyAny>>,
        exc_text: Option<&Bound<'py, PyAny>>,
    ) -> Written {
        if let Some((error, traceback)) = exc_info.and_then(|exc_info| self.exception_of(exc_info))
        {
            let start = out.len();
            let written = self.write_error(out, &error, traceback);
            if written.is_err() {
                out.truncate(start);
            }
            return written;
        }
        if let Some(text) = exc_text.filter(|text| !text.is_none())
            && self.ok(text.is_truthy()).unwrap_or(true)
        {
            out.extend_from_slice(b",\"exception\":{\"stacktrace\":");
            self.write_stack(out, text);
            out.push(b'}');
        }
        self.check(out)
    }

    /// The exception that `exc_info` stands for, and the traceback that was passed along with it.
    fn exception_of(&self, exc_info: &Bound<'py, PyAny>) -> Option<Raised<'py>> {
        if exc_info.is_none() {
            return None;
        }
        if let Ok(parts) = exc_info.cast::<PyTuple>() {
            let error = self.ok(parts.get_item(1))?;
            if !error.is_none() {
                let traceback = parts.get_item(2).ok();
                return is_exception(&error).then_some((error, traceback));
            }
            // A class without an instance: what `sys.exc_info()` could give in old extensions.
            let class = self
                .ok(parts.get_item(0))
                .filter(|class| !class.is_none())?;
            let error = self.ok(class.call0()).filter(is_exception);
            return error.map(|error| (error, None));
        }
        if is_exception(exc_info) {
            return Some((exc_info.clone(), None));
        }
        if !self.ok(exc_info.is_truthy()).unwrap_or(false) {
            return None;
        }
        let current = self
            .py
            .import("sys")
            .and_then(|sys| sys.call_method0("exc_info")?.get_item(1));
        let error = self.ok(current).filter(is_exception);
        error.map(|error| (error, None))
    }

    fn write_error(
        &self,
        out: &mut Vec<u8>,
        error: &Bound<'py, PyAny>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> Written {
        let py = self.py;
        out.extend_from_slice(b",\"exception\":{");
        self.write_summary(out, error);
        out.extend_from_slice(b",\"stacktrace\":");
        let text = traceback
            .or_else(|| self.ok(error.getattr(intern!(py, "__traceback__"))))
            .and_then(|traceback| self.stack_trace(error, &traceback));
        match text {
            Some(text) => self.write_stack_text(out, &text),
            None => self.write_exception_value(out, error.as_borrowed()),
        }
        self.check(out)?;
        self.write_causes(out, error);
        self.check(out)?;
        if let Some(notes) = self.ok(notes_of(error))
            && let Ok(notes) = notes.cast_into::<PyList>()
            && !notes.is_empty()
        {
            out.extend_from_slice(b",\"notes\":");
            self.write_value(out, notes.as_any().as_borrowed(), &Nest::TOP)?;
        }
        out.push(b'}');
        self.check(out)
    }

    /// `"type":…,"message":…`
    fn write_summary(&self, out: &mut Vec<u8>, error: &Bound<'py, PyAny>) {
        out.extend_from_slice(b"\"type\":");
        self.write_cut_str(out, &self.type_name(error.as_borrowed()));
        out.extend_from_slice(b",\"message\":");
        self.write_str_of(out, error.as_borrowed());
    }

    /// The chain that a traceback shows, nearest first.
    fn write_causes(&self, out: &mut Vec<u8>, error: &Bound<'py, PyAny>) {
        let mut seen = vec![error.clone()];
        while seen.len() <= MAX_CAUSES.min(self.limits.items)
            && let Some(cause) = self.cause_of(&seen[seen.len() - 1])
            && !seen.iter().any(|known| known.is(&cause))
        {
            out.extend_from_slice(if seen.len() == 1 {
                b",\"causes\":[{"
            } else {
                b",{"
            });
            self.write_summary(out, &cause);
            out.push(b'}');
            seen.push(cause);
        }
        if seen.len() > 1 {
            out.push(b']');
        }
    }

    fn cause_of(&self, error: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = self.py;
        let read = |name| self.ok(error.getattr(name)).filter(is_exception);
        read(intern!(py, "__cause__")).or_else(|| {
            let suppressed = self.ok(error.getattr(intern!(py, "__suppress_context__")))?;
            if self.ok(suppressed.is_truthy()).unwrap_or(false) {
                None
            } else {
                read(intern!(py, "__context__"))
            }
        })
    }

    /// Appends the text of a stack between quotes, without the newline at its end. A long one keeps its beginning and its end,
    /// where the error is.
    #[inline(never)]
    pub(super) fn write_stack(&self, out: &mut Vec<u8>, text: &Bound<'py, PyAny>) {
        let Ok(text) = text.cast::<PyString>() else {
            self.write_str_of(out, text.as_borrowed());
            return;
        };
        self.write_stack_text(out, &text.to_string_lossy());
    }

    fn write_stack_text(&self, out: &mut Vec<u8>, text: &str) {
        let told = without_payloads(text);
        let text = told.as_ref().map_or(text, |(told, count)| {
            self.tally.note_payloads(*count);
            told
        });
        let mut text = text.trim_end_matches('\n');
        let limit = self.limits.text.saturating_mul(STACK_FIELDS);
        let redacted;
        if text.len() > limit {
            // Before it is cut: the second half of a secret looks like nothing at all.
            redacted = self.verdicts.redact(text);
            text = redacted.as_deref().unwrap_or(text);
        }
        out.push(b'"');
        if text.len() <= limit {
            write_lines(out, text.as_bytes());
        } else {
            self.tally.note(true);
            let total = text.chars().count();
            let boundary = |at: &usize| text.is_char_boundary(*at);
            let head = (0..=limit / 2).rev().find(boundary).unwrap_or(0);
            let tail = (text.len() - limit / 2..text.len())
                .find(boundary)
                .unwrap_or(text.len());
            write_lines(out, &text.as_bytes()[..head]);
            json::write_escaped(out, format!("\n…(truncated, {total} chars)…\n").as_bytes());
            write_lines(out, &text.as_bytes()[tail..]);
        }
        out.push(b'"');
    }
}

/// Appends text escaped, in which quotes and ends of lines are nearly all that needs it.
fn write_lines(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + text.len() / 8);
    let mut begin = 0;
    for at in memchr::memchr2_iter(b'"', b'\n', text) {
        json::write_escaped(out, &text[begin..at]);
        let letter = if text[at] == b'"' { b'"' } else { b'n' };
        out.extend_from_slice(&[b'\\', letter]);
        begin = at + 1;
    }
    json::write_escaped(out, &text[begin..]);
}

/// `getattr(error, "__notes__", None)`: Python's own, which raises nothing in between.
#[allow(unsafe_code)]
pub(super) fn notes_of<'py>(error: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static GETATTR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = error.py();
    let getattr = GETATTR.import(py, "builtins", "getattr")?;
    // SAFETY: live objects, and null at the end; a new reference or null with an error comes back.
    unsafe {
        let notes = ffi::PyObject_CallFunctionObjArgs(
            getattr.as_ptr(),
            error.as_ptr(),
            intern!(py, "__notes__").as_ptr(),
            ffi::Py_None(),
            std::ptr::null_mut::<ffi::PyObject>(),
        );
        Bound::from_owned_ptr_or_err(py, notes)
    }
}

pub(super) fn is_exception(value: &Bound<'_, PyAny>) -> bool {
    // By the real class: `__class__` may lie.
    super::names::derives(
        &value.get_type(),
        &value.py().get_type::<pyo3::exceptions::PyBaseException>(),
    )
}
