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
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFrozenSet, PyMemoryView, PySet, PySlice, PyString, PyTuple,
    PyType,
};

use super::encode::{Encoder, Keys, Nest, Overflow, Written};
use super::names::{LazyType, derives};
use super::text::utf8;
use crate::json;

static DATE: LazyType = LazyType::new("datetime", "date");
static TIME: LazyType = LazyType::new("datetime", "time");
static TIMEDELTA: LazyType = LazyType::new("datetime", "timedelta");
static DECIMAL: LazyType = LazyType::new("decimal", "Decimal");
static UUID: LazyType = LazyType::new("uuid", "UUID");
static FUNCTION: LazyType = LazyType::new("types", "FunctionType");
static METHOD: LazyType = LazyType::new("types", "MethodType");
static BUILTIN: LazyType = LazyType::new("types", "BuiltinFunctionType");
static MAPPING: LazyType = LazyType::new("collections.abc", "Mapping");
static SEQUENCE: LazyType = LazyType::new("collections.abc", "Sequence");
static SET: LazyType = LazyType::new("collections.abc", "Set");
static VALUES_VIEW: LazyType = LazyType::new("collections.abc", "ValuesView");

/// Elements of the largest array that is written in full.
const MAX_ARRAY: usize = 4096;

/// What a try came to: `None` if the value is not of that kind after all, and nothing was written.
type Tried = Result<Option<()>, Overflow>;

impl<'py> Encoder<'py> {
    /// Appends an object of any other type than JSON's own exact ones.
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
            self.write_text(out, value);
        } else if flags & ffi::Py_TPFLAGS_LONG_SUBCLASS != 0 {
            self.write_int(out, value);
        } else if flags & ffi::Py_TPFLAGS_DICT_SUBCLASS != 0 {
            return self.write_dict(out, value, nest);
        } else if flags & ffi::Py_TPFLAGS_LIST_SUBCLASS != 0 {
            return self.write_list(out, value, nest);
        } else if flags & ffi::Py_TPFLAGS_TUPLE_SUBCLASS != 0 {
            return self.write_tuple(out, value, nest);
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
            let end = isize::try_from(self.limits.text)
                .unwrap_or(isize::MAX)
                .saturating_add(1);
            let read = || {
                let total: usize = value.getattr(intern!(self.py, "nbytes"))?.extract()?;
                let part = if total > self.limits.text {
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
    fn has(&self, class: &Bound<'py, PyType>, name: &Bound<'py, PyString>) -> bool {
        self.attribute(class, name).is_some()
    }

    fn attribute(
        &self,
        class: &Bound<'py, PyType>,
        name: &Bound<'py, PyString>,
    ) -> Option<Bound<'py, PyAny>> {
        self.ok(class.getattr_opt(name)).flatten()
    }

    /// Records and containers. What fails half-way is taken back, and the next way tried.
    fn write_structure(
        &self,
        out: &mut Vec<u8>,
        class: &Bound<'py, PyType>,
        value: Borrowed<'_, 'py, PyAny>,
        outer: &Nest<'_>,
    ) -> Tried {
        let py = self.py;
        if let Some(fields) = self.attribute(class, intern!(py, "__dataclass_fields__"))
            && let Ok(fields) = fields.cast_into::<PyDict>()
        {
            let shown = fields
                .values()
                .iter()
                .filter(|field| self.is_shown(field, true));
            let names = shown
                .filter_map(|field| self.ok(field.getattr(intern!(py, "name"))))
                .collect();
            return self.write_attributes(out, value, names, outer);
        }
        if let Some(fields) = self.attribute(class, intern!(py, "__attrs_attrs__"))
            && let Ok(fields) = fields.cast_into::<PyTuple>()
        {
            let shown = fields.iter().filter(|field| self.is_shown(field, false));
            let names = shown
                .filter_map(|field| self.ok(field.getattr(intern!(py, "name"))))
                .collect();
            return self.write_attributes(out, value, names, outer);
        }
        if let Some(fields) = self.attribute(class, intern!(py, "__struct_fields__"))
            && let Ok(fields) = fields.cast_into::<PyTuple>()
        {
            return self.write_attributes(out, value, fields.iter().collect(), outer);
        }
        let dump = if self.has(class, intern!(py, "model_dump")) {
            Some(intern!(py, "model_dump"))
        } else if self.has(class, intern!(py, "__fields__")) && self.has(class, intern!(py, "dict"))
        {
            Some(intern!(py, "dict"))
        } else {
            None
        };
        if let Some(dump) = dump
            && let Some(fields) = self.ok(value.call_method0(dump))
            && fields.is_instance_of::<PyDict>()
        {
            let Some(nest) = self.enter(out, value, outer) else {
                return Ok(Some(()));
            };
            return self.write_dict(out, fields.as_borrowed(), &nest).map(Some);
        }
        if self.has(class, intern!(py, "dtype")) && self.has(class, intern!(py, "tolist")) {
            return self.write_array_like(out, class, value, outer);
        }
        if value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>() {
            return self.write_iterable(out, value, outer);
        }
        if self.is_kind(class, &MAPPING) {
            return self.write_mapping(out, value, outer);
        }
        if self.is_kind(class, &SEQUENCE)
            || self.is_kind(class, &SET)
            || self.is_kind(class, &VALUES_VIEW)
        {
            return self.write_iterable(out, value, outer);
        }
        Ok(None)
    }

    /// Whether a dataclass or attrs field is one that `repr` shows (and, of a dataclass, not a `ClassVar`).
    fn is_shown(&self, field: &Bound<'py, PyAny>, dataclass: bool) -> bool {
        let py = self.py;
        let real = !dataclass
            || self
                .ok(field
                    .getattr(intern!(py, "_field_type"))
                    .and_then(|kind| kind.getattr(intern!(py, "name"))))
                .is_none_or(|name| name.eq("_FIELD").unwrap_or(true));
        // attrs allows a function for `repr`: anything but False shows.
        real && self
            .ok(field.getattr(intern!(py, "repr")))
            .is_none_or(|shown| !shown.is(pyo3::types::PyBool::new(py, false)))
    }

    /// Whether an object is a mapping.
    pub(super) fn is_mapping(&self, value: &Bound<'py, PyAny>) -> bool {
        value.is_instance_of::<PyDict>() || self.is_kind(&value.get_type(), &MAPPING)
    }

    /// The items of a mapping, as many as a line can hold; `None` if they cannot be had.
    pub(super) fn pairs_of(
        &self,
        mapping: &Bound<'py, PyAny>,
    ) -> Option<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let items = mapping
            .call_method0(intern!(self.py, "items"))
            .and_then(|items| items.try_iter());
        let items = self.ok(items)?.take(self.limits.end.min(self.limits.items));
        self.ok(items.map(|item| item?.extract()).collect())
    }

    /// Whether an abstract base class covers a class.
    fn is_kind(&self, class: &Bound<'py, PyType>, kind: &'static LazyType) -> bool {
        kind.get(self.py, self.names)
            .is_some_and(|kind| self.ok(class.is_subclass(kind)).unwrap_or(false))
    }

    /// The named attributes as an object; one that cannot be read gets a placeholder.
    fn write_attributes(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        names: Vec<Bound<'py, PyAny>>,
        outer: &Nest<'_>,
    ) -> Tried {
        let Some(nest) = self.enter(out, value, outer) else {
            return Ok(Some(()));
        };
        let mut object = Object::new(out);
        for name in names {
            if !object.next(self, out, name.as_borrowed()) {
                break;
            }
            match name
                .cast::<PyString>()
                .ok()
                .and_then(|name| self.ok(value.getattr(name)))
            {
                Some(field) => self.write_value(out, field.as_borrowed(), &nest)?,
                None => out.extend_from_slice(b"\"<unreadable>\""),
            }
            self.check(out)?;
        }
        out.push(b'}');
        Ok(Some(()))
    }

    fn write_mapping(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        outer: &Nest<'_>,
    ) -> Tried {
        let items = value
            .call_method0(intern!(self.py, "items"))
            .and_then(|items| items.try_iter());
        let Some(items) = self.ok(items) else {
            return Ok(None);
        };
        let start = out.len();
        let Some(nest) = self.enter(out, value, outer) else {
            return Ok(Some(()));
        };
        let mut object = Object::new(out);
        for item in items {
            let pair =
                item.and_then(|item| item.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>());
            let Some((key, item)) = self.ok(pair) else {
                if object.count == 0 {
                    out.truncate(start);
                    return Ok(None);
                }
                object.note(out, "<changed while it was logged>");
                break;
            };
            if !object.next(self, out, key.as_borrowed()) {
                break;
            }
            self.write_value(out, item.as_borrowed(), &nest)?;
            self.check(out)?;
        }
        out.push(b'}');
        Ok(Some(()))
    }

    fn write_iterable(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        outer: &Nest<'_>,
    ) -> Tried {
        let Some(items) = self.ok(value.try_iter()) else {
            return Ok(None);
        };
        let start = out.len();
        let Some(nest) = self.enter(out, value, outer) else {
            return Ok(Some(()));
        };
        out.push(b'[');
        for (count, item) in items.enumerate() {
            if count > 0 {
                out.push(b',');
            }
            if count >= self.limits.items {
                Self::write_more(out, None);
                break;
            }
            match self.ok(item) {
                Some(item) => self.write_value(out, item.as_borrowed(), &nest)?,
                None if count == 0 => {
                    out.truncate(start);
                    return Ok(None);
                }
                None => {
                    json::write_str(out, "<changed while it was logged>");
                    break;
                }
            }
            self.check(out)?;
        }
        out.push(b']');
        Ok(Some(()))
    }

    /// numpy's scalars and arrays and what behaves like them.
    fn write_array_like(
        &self,
        out: &mut Vec<u8>,
        class: &Bound<'py, PyType>,
        value: Borrowed<'_, 'py, PyAny>,
        outer: &Nest<'_>,
    ) -> Tried {
        let py = self.py;
        let shape = self
            .ok(value
                .getattr(intern!(py, "shape"))
                .and_then(|shape| shape.extract::<Vec<usize>>()))
            .unwrap_or_default();
        let elements = shape
            .iter()
            .try_fold(1_usize, |product, side| product.checked_mul(*side));
        if elements.is_none_or(|elements| elements > MAX_ARRAY) {
            let dtype = self.ok(value
                .getattr(intern!(py, "dtype"))
                .and_then(|dtype| dtype.str()));
            let dtype = dtype
                .map(|dtype| dtype.to_string_lossy().into_owned())
                .unwrap_or_default();
            let name = self
                .ok(class.name())
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            self.write_cut_str(out, &format!("<{name} shape={shape:?} dtype={dtype}>"));
            return Ok(Some(()));
        }
        let Some(inner) = self.ok(value.call_method0(intern!(py, "tolist"))) else {
            return Ok(None);
        };
        if inner.get_type().is(class) {
            return Ok(None);
        }
        let Some(nest) = self.enter(out, value, outer) else {
            return Ok(Some(()));
        };
        self.write_value(out, inner.as_borrowed(), &nest).map(Some)
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

/// An object whose keys come one by one and may collide.
struct Object {
    keys: Keys,
    count: usize,
}

impl Object {
    fn new(out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Object {
            keys: Keys::default(),
            count: 0,
        }
    }

    /// Appends the next key; `false` after writing a note where the limit is reached.
    fn next<'py>(
        &mut self,
        encoder: &Encoder<'py>,
        out: &mut Vec<u8>,
        key: Borrowed<'_, 'py, PyAny>,
    ) -> bool {
        if self.count >= encoder.limits.items {
            self.note(out, "…(more)");
            return false;
        }
        if self.count > 0 {
            out.push(b',');
        }
        self.count += 1;
        encoder.write_odd_key(out, key, &mut self.keys);
        true
    }

    fn note(&mut self, out: &mut Vec<u8>, note: &str) {
        if self.count > 0 {
            out.push(b',');
        }
        out.extend_from_slice("\"…\":".as_bytes());
        json::write_str(out, note);
    }
}
