//! A record's message: the common `%` formats rendered straight into the line, everything else by Python.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::encode::{Encoder, class_of};
use super::text::{small_int, utf8};
use crate::json;
use crate::payload;

/// What a record's message is made of.
#[derive(Clone, Copy)]
pub(super) struct Template<'a, 'py> {
    pub(super) msg: &'a Bound<'py, PyAny>,
    pub(super) args: Args<'a, 'py>,
}

/// The arguments of a template, held by whoever has them.
#[derive(Clone, Copy)]
pub(super) enum Args<'a, 'py> {
    /// As a record has them: a tuple, a mapping or none.
    Object(Option<&'a Bound<'py, PyAny>>),
    /// As a call has them.
    Row(&'a [*mut ffi::PyObject]),
}

/// A message that Python rendered.
pub(super) struct Rendered<'py> {
    pub(super) text: Bound<'py, PyAny>,
    /// Why the arguments are not in it.
    pub(super) error: Option<String>,
}

impl<'py> Encoder<'py> {
    /// Appends the message, escaped, without quotes, if that needs no Python: text without arguments, or a tuple of plain values
    /// for `%s`, `%d`, `%i`, `%.2f` and the like. `false`, with nothing written, otherwise.
    pub(super) fn write_template(&self, out: &mut Vec<u8>, template: Template<'_, 'py>) -> bool {
        if class_of(template.msg.as_borrowed()) != &raw mut ffi::PyUnicode_Type {
            return false;
        }
        let Some(text) = utf8(template.msg.as_borrowed()) else {
            return false;
        };
        if text.len() > self.limits.short
            && (text.len() > self.limits.text || payload::may_be_in(text))
        {
            return false;
        }
        let start = out.len();
        let done = match template.args {
            Args::Object(None) | Args::Row([]) => {
                json::write_escaped(out, text);
                return true;
            }
            Args::Object(Some(args)) if args.is_none() => {
                json::write_escaped(out, text);
                return true;
            }
            Args::Object(Some(args))
                if class_of(args.as_borrowed()) == &raw mut ffi::PyTuple_Type =>
            {
                // SAFETY: a live tuple.
                let count = unsafe { ffi::PyTuple_Size(args.as_ptr()) };
                if count == 0 {
                    json::write_escaped(out, text);
                    return true;
                }
                // SAFETY: the index is in range, and the tuple, which the record holds, keeps its items.
                let get =
                    |at: usize| unsafe { ffi::PyTuple_GetItem(args.as_ptr(), at.cast_signed()) };
                self.write_formatted(out, text, count.unsigned_abs(), get)
            }
            Args::Object(Some(_)) => return false,
            Args::Row(row) => self.write_formatted(out, text, row.len(), |at| row[at]),
        };
        let made = &out[start..];
        let fits = made.len() <= self.limits.short
            || made.len() <= self.limits.text && !payload::may_be_in(made);
        if done.is_some() && fits {
            return true;
        }
        out.truncate(start);
        false
    }

    /// `None` for whatever is not simple, or is an error. `get` gives borrowed arguments, at indices below `count`.
    #[inline]
    fn write_formatted(
        &self,
        out: &mut Vec<u8>,
        mut text: &[u8],
        count: usize,
        get: impl Fn(usize) -> *mut ffi::PyObject,
    ) -> Option<()> {
        let mut index = 0;
        loop {
            let at = json::write_to_percent(out, text);
            if at == text.len() {
                break;
            }
            let spec = text.get(at + 1)?;
            text = &text[at + 2..];
            if *spec == b'%' {
                out.push(b'%');
                continue;
            }
            if index == count {
                return None;
            }
            // SAFETY: held by whoever has the arguments, and the index is in range.
            let arg = unsafe { Borrowed::from_ptr(self.py, get(index)) };
            index += 1;
            let class = class_of(arg);
            if class == &raw mut ffi::PyLong_Type && matches!(spec, b's' | b'd' | b'i') {
                json::write_int(out, small_int(arg)?);
            } else if class == &raw mut ffi::PyUnicode_Type && *spec == b's' {
                let arg = utf8(arg)?;
                if arg.len() > self.limits.text {
                    return None;
                }
                json::write_escaped(out, arg);
            } else if class == &raw mut ffi::PyFloat_Type
                && *spec == b'.'
                && let [digits @ b'0'..=b'9', b'f', rest @ ..] = text
            {
                // SAFETY: a live float.
                let value = unsafe { ffi::PyFloat_AsDouble(arg.as_ptr()) };
                if !value.is_finite() {
                    return None;
                }
                let digits = usize::from(digits - b'0');
                // Writing to a vector cannot fail.
                let _ = std::io::Write::write_fmt(out, format_args!("{value:.digits$}"));
                text = rest;
            } else {
                return None;
            }
        }
        (index == count).then_some(())
    }

    /// The message as Python's `LogRecord.getMessage` renders it. Bad arguments give the raw message and the error.
    #[inline(never)]
    pub(super) fn render(&self, template: Template<'_, 'py>) -> Rendered<'py> {
        let mut error = None;
        let text = self.text_or_placeholder(template.msg);
        let args = match template.args {
            Args::Object(args) => args,
            // Only as long as it needs no Python.
            Args::Row(_) => None,
        };
        let args = args.filter(|args| self.ok(args.is_truthy()).unwrap_or(true) && !args.is_none());
        let Some(args) = args else {
            return Rendered { text, error };
        };
        let shown = self.shown_arguments(args);
        let args = shown.as_ref().unwrap_or(args);
        // SAFETY: `text` is a str; a new reference or null with an error comes back. A class derived from str may override `%`.
        let result = unsafe {
            let formatted = if class_of(text.as_borrowed()) == &raw mut ffi::PyUnicode_Type {
                ffi::PyUnicode_Format(text.as_ptr(), args.as_ptr())
            } else {
                ffi::PyNumber_Remainder(text.as_ptr(), args.as_ptr())
            };
            Bound::from_owned_ptr_or_err(self.py, formatted)
        };
        match result {
            Ok(formatted) if formatted.is_instance_of::<PyString>() => Rendered {
                text: formatted,
                error,
            },
            Ok(_) => Rendered { text, error },
            Err(raised) => {
                error = Some(self.describe(raised));
                Rendered { text, error }
            }
        }
    }

    /// What a method that should give the message gives; the raw message and the error if it fails.
    #[inline(never)]
    pub(super) fn render_by(
        &self,
        result: PyResult<Bound<'py, PyAny>>,
        msg: &Bound<'py, PyAny>,
    ) -> Rendered<'py> {
        match result {
            Ok(text) => Rendered {
                text: self.text_or_placeholder(&text),
                error: None,
            },
            Err(raised) => Rendered {
                text: self.text_or_placeholder(msg),
                error: Some(self.describe(raised)),
            },
        }
    }

    /// `"Type: message"` of an exception that was swallowed.
    fn describe(&self, raised: PyErr) -> String {
        self.swallow(&raised);
        let mut text = Vec::new();
        self.write_exception_value(&mut text, raised.value(self.py).as_any().as_borrowed());
        self.discard(raised);
        // Escaped already, but unescaped text is the same for what exceptions usually say.
        serde_json::from_slice(&text)
            .unwrap_or_else(|_| String::from_utf8_lossy(&text).into_owned())
    }

    /// `str(value)`, else its `repr`, else a placeholder: always a `str`.
    fn text_or_placeholder(&self, value: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        if class_of(value.as_borrowed()) == &raw mut ffi::PyUnicode_Type {
            return value.clone();
        }
        let text = self
            .ok(value.str())
            .or_else(|| self.ok(value.repr()))
            .map(Bound::into_any);
        text.unwrap_or_else(|| {
            let name = self
                .ok(value.get_type().name())
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|| "object".to_owned());
            PyString::new(self.py, &format!("<unprintable {name}>")).into_any()
        })
    }
}
