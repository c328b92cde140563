//! Any Python object to JSON, exact types first. Never fails for what a value is; stops only when the line grows too long.
//!
//! User code (`__str__`, properties, iterators) may run while a value is encoded and may change anything. So a borrowed
//! reference is used only where none can run between taking and using it; everything else is held. Whatever user code raises,
//! `BaseException`s included, becomes a placeholder. A `KeyboardInterrupt` is put back when the record is finished
//! ([`Encoder::finish`]), so that Ctrl-C pressed inside a `__str__` still stops the program.
#![allow(unsafe_code)]

mod containers;

use std::cell::Cell;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::ffi;
use pyo3::prelude::*;

use super::cut::Tally;
use super::names::Names;
use super::text::{small_int, utf8};
use super::verdict::Verdicts;
use crate::json;
use crate::payload;

/// The line has grown beyond what it may have: encode it again with tighter [`Limits`].
#[derive(Debug)]
pub(super) struct Overflow;

pub(super) type Written = Result<(), Overflow>;

/// What bounds one attempt at a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Characters a string.
    pub(super) text: usize,
    /// Bytes of text that is written without a look: not longer than that, and no payload.
    pub(super) short: usize,
    /// Items a container.
    pub(super) items: usize,
    /// Levels of nesting.
    pub(super) depth: u32,
    /// Length of the output buffer.
    pub(super) end: usize,
}

impl Limits {
    /// The same with other characters a string.
    pub(super) fn with_text(self, text: usize) -> Self {
        Self {
            text,
            short: text.min(payload::SHORT - 1),
            ..self
        }
    }
}

/// No shorter text says a secret: `pwd=1`.
const SHORTEST: usize = 5;

/// Deepest nesting that is written.
pub(super) const MAX_DEPTH: u32 = 64;

/// A container being written, linked to the one around it: to see cycles and depth without allocating.
#[derive(Clone, Copy)]
pub(super) struct Nest<'a> {
    object: *mut ffi::PyObject,
    depth: u32,
    outer: Option<&'a Nest<'a>>,
}

impl Nest<'static> {
    pub(super) const TOP: Self = Nest {
        object: std::ptr::null_mut(),
        depth: 0,
        outer: None,
    };

    /// The same for what an `extra` holds, which is not entered: an odd address, that of no object.
    pub(super) fn within(extra: Borrowed<'_, '_, PyAny>) -> Self {
        Nest {
            object: extra.as_ptr().map_addr(|address| address | 1),
            ..Self::TOP
        }
    }
}

impl Nest<'_> {
    /// What is being written innermost, if anything is.
    pub(super) fn innermost(&self) -> *mut ffi::PyObject {
        self.object.map_addr(|address| address & !1)
    }
}

/// One record's encoder.
pub(super) struct Encoder<'py> {
    pub(super) py: Python<'py>,
    pub(super) names: &'static Names,
    pub(super) limits: Limits,
    pub(super) verdicts: &'static Verdicts,
    /// What was left out so far.
    pub(super) tally: Tally,
    /// Whether something was written in which the usual rules may find something: otherwise no pass over the line is needed.
    pub(super) look: Cell<bool>,
    interrupted: Cell<bool>,
}

/// The exact type of an object.
#[inline]
pub(super) fn class_of(value: Borrowed<'_, '_, PyAny>) -> *mut ffi::PyTypeObject {
    // SAFETY: the reference is live and the interpreter attached.
    unsafe { ffi::Py_TYPE(value.as_ptr()) }
}

/// Has Python's SIGINT handler run again, if this is the main thread.
pub(super) fn interrupt_again(py: Python<'_>) {
    let main = py.import("threading").and_then(|threading| {
        Ok(threading
            .call_method0("current_thread")?
            .is(&threading.call_method0("main_thread")?))
    });
    if main.unwrap_or(false) {
        // SAFETY: needs no more than an initialised interpreter.
        unsafe { ffi::PyErr_SetInterrupt() };
    }
}

impl<'py> Encoder<'py> {
    pub(super) fn new(
        py: Python<'py>,
        names: &'static Names,
        limits: Limits,
        verdicts: &'static Verdicts,
    ) -> Self {
        Encoder {
            py,
            names,
            limits,
            verdicts,
            tally: Tally::default(),
            look: Cell::new(false),
            interrupted: Cell::new(false),
        }
    }

    /// Swallows what user code raised, and remembers a `KeyboardInterrupt`.
    pub(super) fn swallow(&self, error: &PyErr) {
        if error.is_instance_of::<PyKeyboardInterrupt>(self.py) {
            self.interrupted.set(true);
        }
    }

    /// The value, or `None` after swallowing what was raised.
    pub(super) fn ok<T>(&self, result: PyResult<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.swallow(&error);
                self.discard(error);
                None
            }
        }
    }

    /// Frees an error now. Calls arrive without pyo3's own count of attached callers, and what is dropped then waits for the next one
    /// that has it: perhaps for ever.
    pub(super) fn discard(&self, error: PyErr) {
        error.restore(self.py);
        // SAFETY: attached.
        unsafe { ffi::PyErr_Clear() };
    }

    /// Puts a swallowed Ctrl-C back: Python's SIGINT handler runs again, after the logging call, if this is the main thread
    /// (elsewhere nobody pressed Ctrl-C: the exception was raised by hand).
    pub(super) fn finish(&self) {
        if !self.tally.is_empty() {
            self.tally.settle();
        }
        if self.interrupted.take() {
            interrupt_again(self.py);
        }
    }

    /// Takes over what another encoder swallowed.
    pub(super) fn inherit(&self, part: &Self) {
        if part.interrupted.get() {
            self.interrupted.set(true);
        }
    }

    #[inline]
    pub(super) fn check(&self, out: &[u8]) -> Written {
        if out.len() > self.limits.end {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Notes whether a text, of which so many bytes were written, has to be looked at again when the line is finished.
    #[inline]
    pub(super) fn look_at(&self, text: &[u8], written: usize) {
        if text.len() >= SHORTEST && !self.look.get() {
            self.look
                .set(written != text.len() || self.verdicts.may_strike(text));
        }
    }

    /// Appends a value of a plain type, during which no code can run; `false`, with nothing written, for any other (also for
    /// text with surrogates and for big ints: raising their errors may start the garbage collector, and with it user code).
    #[inline]
    fn write_plain(&self, out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) -> bool {
        let class = class_of(value);
        if class == &raw mut ffi::PyUnicode_Type {
            match utf8(value) {
                Some(text) if text.len() <= self.limits.short => {
                    let start = out.len();
                    json::write_quoted(out, text);
                    self.look_at(text, out.len() - start - 2);
                }
                _ => return false,
            }
        } else if class == &raw mut ffi::PyLong_Type {
            match small_int(value) {
                Some(small) => json::write_int(out, small),
                None => return false,
            }
        } else if class == &raw mut ffi::PyFloat_Type {
            Self::write_float(out, value);
        } else if value.is_none() {
            out.extend_from_slice(b"null");
        } else if class == &raw mut ffi::PyBool_Type {
            // SAFETY: `Py_True` is immortal.
            let truth = value.as_ptr() == unsafe { ffi::Py_True() };
            out.extend_from_slice(if truth { b"true" } else { b"false" });
        } else {
            return false;
        }
        true
    }

    /// Appends any object as a JSON value. The caller keeps `value` alive throughout.
    pub(super) fn write_value(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        let class = class_of(value);
        if class == &raw mut ffi::PyDict_Type {
            return self.write_dict(out, value, nest);
        } else if class == &raw mut ffi::PyList_Type {
            return self.write_list(out, value, nest);
        } else if class == &raw mut ffi::PyTuple_Type {
            return self.write_tuple(out, value, nest);
        } else if self.write_plain(out, value) {
        } else if class == &raw mut ffi::PyUnicode_Type {
            self.write_text_value(out, value);
        } else if class == &raw mut ffi::PyLong_Type {
            self.write_int(out, value);
        } else {
            return self.write_other(out, value, nest);
        }
        self.check(out)
    }

    /// Appends a float, or an object of a class derived from it.
    pub(super) fn write_float(out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) {
        // SAFETY: the object is a float, so its value is read without running code.
        json::write_float(out, unsafe { ffi::PyFloat_AsDouble(value.as_ptr()) });
    }

    /// Appends an int, or an object of a class derived from it; of any size.
    pub(super) fn write_int(&self, out: &mut Vec<u8>, value: Borrowed<'_, 'py, PyAny>) {
        match small_int(value) {
            Some(small) => json::write_int(out, small),
            None => self.write_big_int(out, value),
        }
    }

    /// Marks `value` as being written. `None` after writing a placeholder, for it is being written already or lies too deep.
    pub(super) fn enter<'a>(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        outer: &'a Nest<'a>,
    ) -> Option<Nest<'a>> {
        let mut around = Some(outer);
        while let Some(nest) = around {
            if nest.object == value.as_ptr() {
                out.extend_from_slice(b"\"<cycle>\"");
                return None;
            }
            around = nest.outer;
        }
        if outer.depth >= self.limits.depth {
            out.extend_from_slice(b"\"<nested too deep>\"");
            return None;
        }
        Some(Nest {
            object: value.as_ptr(),
            depth: outer.depth + 1,
            outer: Some(outer),
        })
    }
}
