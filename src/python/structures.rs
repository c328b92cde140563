//! Records and containers that are not exactly JSON's own: dataclasses, models, mappings, sequences, arrays.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PySet, PyString, PyTuple, PyType};

use super::encode::{Encoder, Nest, Overflow};
use super::keys::Keys;
use super::names::LazyType;
use super::verdict::Mark;
use crate::json;

static MAPPING: LazyType = LazyType::new("collections.abc", "Mapping");
static SEQUENCE: LazyType = LazyType::new("collections.abc", "Sequence");
static SET: LazyType = LazyType::new("collections.abc", "Set");
static VALUES_VIEW: LazyType = LazyType::new("collections.abc", "ValuesView");

/// Elements of the largest array that is written in full.
const MAX_ARRAY: usize = 4096;

/// What a try came to: `None` if the value is not of that kind after all, and nothing was written.
pub(super) type Tried = Result<Option<()>, Overflow>;

impl<'py> Encoder<'py> {
    /// Records and containers. What fails half-way is taken back, and the next way tried.
    pub(super) fn write_structure(
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
            let names: Vec<_> = shown
                .filter_map(|field| self.ok(field.getattr(intern!(py, "name"))))
                .collect();
            return self.write_attributes(out, value, &names, outer);
        }
        if let Some(fields) = self.attribute(class, intern!(py, "__attrs_attrs__"))
            && let Ok(fields) = fields.cast_into::<PyTuple>()
        {
            let shown = fields.iter().filter(|field| self.is_shown(field, false));
            let names: Vec<_> = shown
                .filter_map(|field| self.ok(field.getattr(intern!(py, "name"))))
                .collect();
            return self.write_attributes(out, value, &names, outer);
        }
        if let Some(fields) = self.attribute(class, intern!(py, "__struct_fields__"))
            && let Ok(fields) = fields.cast_into::<PyTuple>()
        {
            let names: Vec<_> = fields.iter().collect();
            return self.write_attributes(out, value, &names, outer);
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
        names: &[Bound<'py, PyAny>],
        outer: &Nest<'_>,
    ) -> Tried {
        let Some(nest) = self.enter(out, value, outer) else {
            return Ok(Some(()));
        };
        let mut object = Object::new(out);
        for name in names {
            let Some(mut mark) = object.next(self, out, name.as_borrowed()) else {
                break;
            };
            if mark == Mark::BESIDE {
                let of = |name: &Bound<'py, PyString>| {
                    let known = names.iter().any(|known| known.eq(name).unwrap_or(false));
                    known.then(|| self.ok(value.getattr(name))).flatten()
                };
                mark = self.mark_named(of);
            }
            match name
                .cast::<PyString>()
                .ok()
                .and_then(|name| self.ok(value.getattr(name)))
            {
                Some(field) => self.write_under(out, field.as_borrowed(), mark, &nest)?,
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
            let Some(mut mark) = object.next(self, out, key.as_borrowed()) else {
                break;
            };
            if mark == Mark::BESIDE {
                let of = |name: &Bound<'py, PyString>| {
                    self.ok(value.call_method1(intern!(self.py, "get"), (name,)))
                };
                mark = self.mark_named(of);
            }
            self.write_under(out, item.as_borrowed(), mark, &nest)?;
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
                Some(item) => self.write_item(out, item.as_borrowed(), &nest)?,
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

    /// Appends the next key and gives the verdict on it; `None` after writing a note where the limit is reached.
    fn next<'py>(
        &mut self,
        encoder: &Encoder<'py>,
        out: &mut Vec<u8>,
        key: Borrowed<'_, 'py, PyAny>,
    ) -> Option<Mark> {
        if self.count >= encoder.limits.items {
            self.note(out, "…(more)");
            return None;
        }
        if self.count > 0 {
            out.push(b',');
        }
        self.count += 1;
        Some(encoder.write_odd_key(out, key, &mut self.keys))
    }

    fn note(&mut self, out: &mut Vec<u8>, note: &str) {
        if self.count > 0 {
            out.push(b',');
        }
        out.extend_from_slice("\"…\":".as_bytes());
        json::write_str(out, note);
    }
}
