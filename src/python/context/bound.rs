//! What is bound, as Python has it: immutable, made anew by each `bind`, and encoded once for all records that have it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::encoded::Encoded;
use super::tail::{Tail, TailBuffer};
use crate::python::record::RecordEncoder;

thread_local!(static MAKING: Cell<bool> = const { Cell::new(false) });

/// Bound names and values: what `logspool.bind` and `bound` put into the context variable.
#[pyclass(frozen, module = "logspool._core")]
pub(crate) struct Context {
    values: Py<PyDict>,
    /// The innermost block that keeps its records back.
    tail: Option<Arc<TailBuffer>>,
    made: OnceLock<Box<Made>>,
}

/// The values as lines of one kind have them, and those of other kinds.
struct Made {
    kind: u32,
    encoded: Encoded,
    next: OnceLock<Box<Made>>,
}

#[pymethods]
impl Context {
    /// `values` on top of those of `outer`; its tail buffer, if none is given.
    #[new]
    #[pyo3(signature = (outer, values, tail=None))]
    fn new(
        outer: Option<&Bound<'_, Self>>,
        values: &Bound<'_, PyDict>,
        tail: Option<&Tail>,
    ) -> PyResult<Self> {
        let py = values.py();
        let all = match outer {
            Some(outer) => outer.get().values.bind(py).copy()?,
            None => PyDict::new(py),
        };
        for (name, value) in values {
            let name = name.cast_into::<PyString>()?;
            let text = name.to_string_lossy();
            if text == "event" {
                return Err(PyValueError::new_err(
                    "event: it says what one record is about and cannot be bound; pass it with the call, in extra",
                ));
            }
            if name.is_exact_instance_of::<PyString>() && name.to_str().is_ok() {
                all.set_item(&name, value)?;
            } else {
                all.set_item(&*text, value)?;
            }
        }
        let tail = tail
            .map(Tail::buffer)
            .or_else(|| outer.and_then(|outer| outer.get().tail.clone()));
        Ok(Self::start(all, tail))
    }

    /// Without some names; `None` where nothing is left.
    fn without(&self, py: Python<'_>, names: &Bound<'_, PyTuple>) -> PyResult<Option<Self>> {
        let left = self.values.bind(py).copy()?;
        for name in names {
            if left.contains(&name)? {
                left.del_item(name)?;
            }
        }
        Ok(self.rest(left))
    }

    /// Without any values; `None` where nothing is left.
    fn cleared(&self, py: Python<'_>) -> Option<Self> {
        self.rest(PyDict::new(py))
    }

    /// The values, in a dict of the caller's own.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.values.bind(py).copy()
    }

    #[allow(clippy::needless_pass_by_value)] // The protocol's signature.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.values)
    }
}

impl Context {
    fn start(values: Bound<'_, PyDict>, tail: Option<Arc<TailBuffer>>) -> Self {
        let py = values.py();
        super::begin();
        let context = Self {
            values: values.unbind(),
            tail,
            made: OnceLock::new(),
        };
        // As they are now: for the logs that were opened last, and all with the same settings.
        if let Some(usual) = super::usual(py) {
            context.make(py, &usual);
        }
        context
    }

    fn rest(&self, values: Bound<'_, PyDict>) -> Option<Self> {
        (!values.is_empty() || self.tail.is_some()).then(|| Self::start(values, self.tail.clone()))
    }

    /// The innermost block that keeps its records back.
    pub(super) fn tail(&self) -> Option<&Arc<TailBuffer>> {
        self.tail.as_ref()
    }

    /// The values for this encoder's lines, if they were encoded for such before.
    #[inline]
    pub(super) fn ready(&self, by: &RecordEncoder) -> Option<&Encoded> {
        let mut slot = &self.made;
        while let Some(made) = slot.get() {
            if made.kind == by.kind {
                return Some(&made.encoded);
            }
            slot = &made.next;
        }
        None
    }

    /// The same, encoded now if need be. `None` within that: a value's own `__str__` logs.
    pub(super) fn encoded(&self, py: Python<'_>, by: &RecordEncoder) -> Option<&Encoded> {
        self.ready(by).or_else(|| self.make(py, by))
    }

    #[cold]
    fn make(&self, py: Python<'_>, by: &RecordEncoder) -> Option<&Encoded> {
        if MAKING.replace(true) {
            return None;
        }
        let _until_done = Until;
        let mut new = Box::new(Made {
            kind: by.kind,
            encoded: by.encode_context(self.values.bind(py)),
            next: OnceLock::new(),
        });
        let mut slot = &self.made;
        loop {
            match slot.set(new) {
                Ok(()) => return slot.get().map(|made| &made.encoded),
                Err(ours) => {
                    // There is one: of another kind, or made by another thread meanwhile.
                    let standing = slot.get()?;
                    if standing.kind == by.kind {
                        return Some(&standing.encoded);
                    }
                    new = ours;
                    slot = &standing.next;
                }
            }
        }
    }
}

/// Ends [`MAKING`], whatever happens.
struct Until;

impl Drop for Until {
    fn drop(&mut self) {
        MAKING.set(false);
    }
}
