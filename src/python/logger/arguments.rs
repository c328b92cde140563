//! The arguments of a log call, as `CPython` hands them to a fast call: positional ones in a row, then those named.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use crate::python::encode::class_of;
use crate::python::text::{small_int, utf8};

/// What a call passes by name.
const NAMES: [&str; 4] = ["exc_info", "extra", "stack_info", "stacklevel"];

static KNOWN: PyOnceLock<[Py<PyString>; NAMES.len()]> = PyOnceLock::new();

/// One call. Everything in it is held by whoever calls, for as long as the call lasts.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) logger: Borrowed<'a, 'py, PyAny>,
    given: &'a [*mut ffi::PyObject],
    named: Option<Borrowed<'a, 'py, PyAny>>,
    count: usize,
}

/// What an ordinary call says.
#[derive(Clone, Copy)]
pub(super) struct Said<'a, 'py> {
    pub(super) msg: Borrowed<'a, 'py, PyAny>,
    pub(super) args: &'a [*mut ffi::PyObject],
    /// Not empty.
    pub(super) extra: Option<Borrowed<'a, 'py, PyAny>>,
    pub(super) exc_info: Option<Borrowed<'a, 'py, PyAny>>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// # Safety
    /// As `CPython` calls a method with `METH_FASTCALL | METH_KEYWORDS`: `given` holds `count` objects and then one for each name.
    #[inline]
    pub(super) unsafe fn new(
        py: Python<'py>,
        logger: *mut ffi::PyObject,
        given: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let count = count.unsigned_abs();
            let named = Borrowed::from_ptr_or_opt(py, keywords);
            let total = count + named.map_or(0, |_| ffi::PyTuple_Size(keywords).unsigned_abs());
            let given = if total == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(given, total)
            };
            Self {
                py,
                logger: Borrowed::from_ptr(py, logger),
                given,
                named,
                count,
            }
        }
    }

    /// A positional argument.
    #[inline]
    pub(super) fn positional(&self, at: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
        // SAFETY: held by the caller.
        self.given[..self.count]
            .get(at)
            .map(|object| unsafe { Borrowed::from_ptr(self.py, *object) })
    }

    /// Whether nothing is passed by name.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.named.is_none()
    }

    /// Whether an argument that is given by position is given by name, too: that raises also where nothing is logged.
    #[cold]
    pub(super) fn gives_twice(&self, message: usize) -> bool {
        let positional: &[&[u8]] = if message == 0 {
            &[b"self", b"msg"]
        } else {
            &[b"self", b"level", b"msg"]
        };
        let Some(named) = self.named else {
            return false;
        };
        (0..self.given.len() - self.count).any(|at| {
            // SAFETY: a live tuple of `str`, one for each value given by name.
            let name: Borrowed<'_, '_, PyAny> = unsafe {
                let name = ffi::PyTuple_GetItem(named.as_ptr(), at.cast_signed());
                Borrowed::from_ptr(self.py, name)
            };
            utf8(name).is_some_and(|name| positional.contains(&name))
        })
    }

    /// The level that `log` is given, if it is an int and no other.
    #[inline]
    pub(super) fn level(&self) -> Option<(i64, Borrowed<'a, 'py, PyAny>)> {
        let object = self.positional(0)?;
        if class_of(object) != &raw mut ffi::PyLong_Type {
            return None;
        }
        Some((small_int(object)?, object))
    }

    /// What the call says from argument `from` on. `None` for all that is not ordinary: unknown names, `stack_info`, a `stacklevel`,
    /// an `extra` that is no dict.
    #[inline]
    pub(super) fn read(&self, from: usize, always_exc_info: bool) -> Option<Said<'a, 'py>> {
        let msg = self.positional(from)?;
        let mut said = Said {
            msg,
            args: &self.given[from + 1..self.count],
            extra: None,
            exc_info: None,
        };
        if always_exc_info {
            // SAFETY: immortal.
            said.exc_info = Some(unsafe { Borrowed::from_ptr(self.py, ffi::Py_True()) });
        }
        match self.named {
            None => Some(said),
            Some(named) => self.read_named(named, &mut said).map(|()| said),
        }
    }

    #[inline]
    fn read_named(&self, named: Borrowed<'a, 'py, PyAny>, said: &mut Said<'a, 'py>) -> Option<()> {
        let py = self.py;
        let known = KNOWN.get_or_init(py, || NAMES.map(|name| PyString::intern(py, name).unbind()));
        for (at, value) in self.given[self.count..].iter().enumerate() {
            // SAFETY: there are as many names as values after the positional ones; both are held by the caller.
            let (name, value) = unsafe {
                (
                    ffi::PyTuple_GetItem(named.as_ptr(), at.cast_signed()),
                    Borrowed::<PyAny>::from_ptr(py, *value),
                )
            };
            // Names in code are interned.
            let place = known.iter().position(|known| known.as_ptr() == name)?;
            match place {
                0 => {
                    said.exc_info = if is_no(value) { None } else { Some(value) };
                }
                1 if value.is_none() => {}
                1 if class_of(value) == &raw mut ffi::PyDict_Type => {
                    // SAFETY: a dict.
                    let size = unsafe { ffi::PyDict_Size(value.as_ptr()) };
                    said.extra = (size > 0).then_some(value);
                }
                2 if is_no(value) => {}
                3 if class_of(value) == &raw mut ffi::PyLong_Type
                    && small_int(value) == Some(1) => {}
                _ => return None,
            }
        }
        Some(())
    }

    /// Calls a function with this call's arguments, the logger first.
    pub(super) fn pass_on(&self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        // SAFETY: held by the caller.
        let value = |at: usize| unsafe { Borrowed::<PyAny>::from_ptr(py, self.given[at]) };
        let mut positional = vec![self.logger];
        positional.extend((0..self.count).map(value));
        let positional = PyTuple::new(py, positional)?;
        let Some(named) = self.named else {
            return function.call1(positional);
        };
        let pairs = PyDict::new(py);
        for (at, name) in named.cast::<PyTuple>()?.iter().enumerate() {
            pairs.set_item(name, value(self.count + at))?;
        }
        function.call(positional, Some(&pairs))
    }
}

/// Whether a value is plainly false.
#[inline]
fn is_no(value: Borrowed<'_, '_, PyAny>) -> bool {
    value.is_none() || value.cast::<PyBool>().is_ok_and(|value| !value.is_true())
}
