//! Everything that is not of one of JSON's own exact types, from the most to the least specific: what a value is comes from its
//! real class, never from its `__class__`, and no module is imported to find out.
//!
//! | value | JSON |
//! |---|---|
//! | `Enum` member | its value |
//! | subclass of str, int, float, dict, list, tuple | what it stores |
//! | bytes, bytearray, memoryview | text, `\xNN` where it is not UTF-8 |
//! | exception | `"Type: message"` |
//! | class, function | its qualified name |
//! | datetime, date, time | ISO 8601 |
//! | timedelta | seconds |
//! | Decimal | a number with its own digits, text if no double comes near it |
//! | UUID, Path | text |
//! | dataclass, attrs, msgspec, pydantic | an object; what a field keeps out of `repr` stays out |
//! | set, mapping, sequence, dict view | array or object |
//! | numpy-like scalar or array | its value; large arrays as their shape |
//! | anything else (iterators are not consumed) | `str`, else `repr`, else `<unprintable Type>` |
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PySlice, PyString, PyType};

use super::encode::{Encoder, Nest, Written};
use super::names::{LazyType, derives};
use super::text::utf8;
use crate::json;
use crate::payload;

static DATE: LazyType = LazyType::new("datetime", "date");
static TIME: LazyType = LazyType::new("datetime", "time");
static TIMEDELTA: LazyType = LazyType::new("datetime", "timedelta");
static DECIMAL: LazyType = LazyType::new("decimal", "Decimal");
static UUID: LazyType = LazyType::new("uuid", "UUID");
static FUNCTION: LazyType = LazyType::new("types", "FunctionType");
static METHOD: LazyType = LazyType::new("types", "MethodType");
static BUILTIN: LazyType = LazyType::new("types", "BuiltinFunctionType");

impl<'py> Encoder<'py> {
    /// Appends an object of any other type than JSON's own exact ones.
    #[inline(never)]
    pub(super) fn write_other(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        let class = value.get_type();
        if derives(&class.get_type(), self.names.enum_meta.bind(self.py))
            && let Some(inner) = self.ok(value.getattr(intern!(self.py, "_value_")))
        {
            let Some(nest) = self.enter(out, value, nest) else {
                return Ok(());
            };
            return self.write_value(out, inner.as_borrowed(), &nest);
        }
        // SAFETY: a live type object.
        let flags = unsafe { ffi::PyType_GetFlags(class.as_type_ptr()) };
        if flags & ffi::Py_TPFLAGS_UNICODE_SUBCLASS != 0 {
            self.write_text_value(out, value);
        } else if flags & ffi::Py_TPFLAGS_LONG_SUBCLASS != 0 {
            self.write_int(out, value);
        } else if flags & ffi::Py_TPFLAGS_DICT_SUBCLASS != 0 {
            return self.write_dict(out, value, nest);
        } else if flags & ffi::Py_TPFLAGS_LIST_SUBCLASS != 0 {
            return self.write_list(out, value, nest);
        } else if flags & ffi::Py_TPFLAGS_TUPLE_SUBCLASS != 0 {
            return self.write_named(out, value, nest);
        } else if flags & ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS != 0 {
            self.write_exception_value(out, value);
        } else if flags & ffi::Py_TPFLAGS_TYPE_SUBCLASS != 0 {
            self.write_qualified_name(out, value);
        } else if derives(&class, &self.py.get_type::<pyo3::types::PyFloat>()) {
            Self::write_float(out, value);
        } else if self.write_buffer(out, value) || self.write_known(out, &class, value) {
        } else if self.write_structure(out, &class, value, nest)?.is_none() {
            self.write_str_of(out, value);
        }
        self.check(out)
    }

    /// bytes, bytearray, memoryview.
    fn write_buffer(&self, out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) -> bool {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            self.write_bytes(out, bytes.as_bytes(), bytes.as_bytes().len());
        } else if let Ok(bytes) = value.cast::<PyByteArray>() {
            // SAFETY: nothing else runs while the slice is in use, so the array keeps its size.
            self.write_bytes(out, unsafe { bytes.as_bytes() }, bytes.len());
        } else if value.cast::<PyMemoryView>().is_ok() {
            // All of what is hashed, and of anything else enough to see what it is.
            let most = self.limits.text.max(payload::MAX_HASHED);
            let end = isize::try_from(most)
                .unwrap_or(isize::MAX)
                .saturating_add(1);
            let read = || {
                let total: usize = value.getattr(intern!(self.py, "nbytes"))?.extract()?;
                let part = if total > most {
                    value.get_item(PySlice::new(self.py, 0, end, 1))?
                } else {
                    value.to_owned()
                };
                // SAFETY: a live object; a new reference or null with an error comes back.
                let bytes = unsafe {
                    Bound::from_owned_ptr_or_err(self.py, ffi::PyBytes_FromObject(part.as_ptr()))?
                };
                Ok((bytes.cast_into::<PyBytes>()?, total))
            };
            match self.ok(read()) {
                Some((bytes, total)) => self.write_bytes(out, bytes.as_bytes(), total),
                None => return false,
            }
        } else {
            return false;
        }
        true
    }

    /// Times, decimals, UUIDs, paths and functions: what becomes one scalar.
    fn write_known(
        &self,
        out: &mut Vec<u8>,
        class: &Bound<'py, PyType>,
        value: Borrowed<'_, 'py, PyAny>,
    ) -> bool {
        let py = self.py;
        let names = self.names;
        if DATE.covers(class, names) || TIME.covers(class, names) {
            return self.write_text_result(out, value.call_method0(intern!(py, "isoformat")));
        }
        if TIMEDELTA.covers(class, names) {
            let seconds = value
                .call_method0(intern!(py, "total_seconds"))
                .and_then(|seconds| seconds.extract::<f64>());
            return self
                .ok(seconds)
                .map(|seconds| json::write_float(out, seconds))
                .is_some();
        }
        if DECIMAL.covers(class, names) {
            let Some(text) = self.ok(value.str()) else {
                return false;
            };
            let Some(text) = utf8(text.as_any().as_borrowed()) else {
                return false;
            };
            self.write_decimal(out, text);
            return true;
        }
        if UUID.covers(class, names) {
            return self.write_text_result(out, value.str().map(Bound::into_any));
        }
        if self.has(class, intern!(py, "__fspath__")) {
            // SAFETY: a live object; a new reference or null with an error comes back.
            let path =
                unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyOS_FSPath(value.as_ptr())) };
            return match self.ok(path) {
                Some(path) if path.is_instance_of::<PyString>() => {
                    self.write_text_result(out, Ok(path))
                }
                Some(path) => self.write_buffer(out, path.as_borrowed()),
                None => false,
            };
        }
        if [&FUNCTION, &METHOD, &BUILTIN]
            .iter()
            .any(|kind| kind.covers(class, names))
        {
            self.write_qualified_name(out, value);
            return true;
        }
        false
    }

    /// A decimal's text as a JSON number where a double comes near it; `NaN`, infinities and giants as text.
    fn write_decimal(&self, out: &mut Vec<u8>, text: &[u8]) {
        let number = std::str::from_utf8(text).ok().filter(|text| {
            let starts = text
                .trim_start_matches('-')
                .starts_with(|first: char| first.is_ascii_digit());
            starts
                && text.len() <= self.limits.text
                && text.parse::<f64>().is_ok_and(f64::is_finite)
        });
        match number {
            Some(number) => out.extend_from_slice(number.as_bytes()),
            None => json::write_quoted(out, &text[..text.len().min(self.limits.text)]),
        }
    }

    /// Appends the string that a call gave; `false`, with nothing written, if it raised or gave something else.
    fn write_text_result(&self, out: &mut Vec<u8>, result: PyResult<Bound<'py, PyAny>>) -> bool {
        match self.ok(result) {
            Some(text) if text.is_instance_of::<PyString>() => {
                self.write_text(out, text.as_borrowed());
                true
            }
            _ => false,
        }
    }

    /// Whether a class has an attribute: on the class, so that a `__getattr__` of its instances cannot pretend.
    pub(super) fn has(&self, class: &Bound<'py, PyType>, name: &Bound<'py, PyString>) -> bool {
        self.attribute(class, name).is_some()
    }

    pub(super) fn attribute(
        &self,
        class: &Bound<'py, PyType>,
        name: &Bound<'py, PyString>,
    ) -> Option<Bound<'py, PyAny>> {
        self.ok(class.getattr_opt(name)).flatten()
    }

    /// Appends `str(value)`, else its `repr`, else a placeholder, between quotes.
    pub(super) fn write_str_of(&self, out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) {
        if self.write_text_result(out, value.str().map(Bound::into_any))
            || self.write_text_result(out, value.repr().map(Bound::into_any))
        {
            return;
        }
        let name = self
            .ok(value.get_type().name())
            .map(|name| name.to_string_lossy().into_owned());
        self.write_cut_str(
            out,
            &format!("<unprintable {}>", name.as_deref().unwrap_or("object")),
        );
    }

    /// Appends `module.qualname` between quotes; what has no such names as `str` gives it.
    fn write_qualified_name(&self, out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) {
        match self.qualified_name(value) {
            Some(name) => self.write_cut_str(out, &name),
            None => self.write_str_of(out, value),
        }
    }

    /// `module.qualname`, without the module for builtins and `__main__`, as tracebacks name classes.
    pub(super) fn qualified_name(&self, value: Borrowed<'_, 'py, PyAny>) -> Option<String> {
        let text = |name: &Bound<'py, PyString>| {
            let text = self.ok(value.getattr(name))?.cast_into::<PyString>().ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        let name = text(intern!(self.py, "__qualname__"))?;
        match text(intern!(self.py, "__module__")).as_deref() {
            None | Some("builtins" | "__main__") => Some(name),
            Some(module) => Some(format!("{module}.{name}")),
        }
    }
}
