//! The native half of `SpoolHandler`: filters, level and formatter only where they are in use, then encode and append.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple};

use crate::console::sanitise;
use crate::engine::engine;
use crate::error::Error;
use crate::python::attach::{Attached, AttachedCell};
use crate::python::buffer::Buffer;
use crate::python::context;
use crate::python::flush::flush;
use crate::python::noise;
use crate::python::open::Open;
use crate::python::record::RecordEncoder;
use crate::python::reopen::{Shut, unopened};
use crate::python::text::without_payloads;
use crate::report;
use crate::spool::producer::Appended;

const ERROR: i64 = 40;
/// Room for the note that says how much of a text line was cut.
const MAX_CUT_NOTE: usize = 64;

/// The native half of a handler.
#[pyclass(subclass, frozen, module = "logspool._core")]
#[derive(Default)]
pub struct NativeHandler {
    pub(super) inner: AttachedCell<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) filters: Option<Py<PyAny>>,
    level: Option<Py<PyAny>>,
    /// The level, where it is an int.
    pub(super) level_number: Option<i64>,
    pub(super) formatter: Option<Py<PyAny>>,
    pub(super) plain: bool,
    pub(super) formats: bool,
    pub(super) open: Option<Py<Open>>,
    /// After `close()`: what the next record opens again.
    pub(super) shut: Option<Arc<Shut>>,
}

#[pymethods]
impl NativeHandler {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[getter]
    fn filters(&self, py: Python<'_>) -> Py<PyAny> {
        self.inner
            .with(py, |inner| inner.filters.as_ref().map(|f| f.clone_ref(py)))
            .unwrap_or_else(|| PyList::empty(py).into_any().unbind())
    }

    #[setter]
    fn set_filters(&self, py: Python<'_>, filters: Py<PyAny>) {
        let old = self.inner.with(py, |inner| inner.filters.replace(filters));
        drop(old);
    }

    #[getter]
    fn formatter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inner.with(py, |inner| {
            inner.formatter.as_ref().map(|f| f.clone_ref(py))
        })
    }

    #[setter]
    fn set_formatter(&self, py: Python<'_>, formatter: Option<Py<PyAny>>) {
        let old = self.inner.with(py, |inner| {
            std::mem::replace(&mut inner.formatter, formatter)
        });
        drop(old);
    }

    #[getter]
    fn level(&self, py: Python<'_>) -> Py<PyAny> {
        self.inner
            .with(py, |inner| {
                inner.level.as_ref().map(|level| level.clone_ref(py))
            })
            .unwrap_or_else(|| {
                0_i64
                    .into_pyobject(py)
                    .map_or_else(|_| py.None(), |level| level.into_any().unbind())
            })
    }

    #[setter]
    fn set_level(&self, py: Python<'_>, level: Py<PyAny>) {
        let number = level
            .bind(py)
            .cast_exact::<PyInt>()
            .ok()
            .and_then(|level| level.extract().ok());
        let old = self.inner.with(py, |inner| {
            inner.level_number = number;
            inner.level.replace(level)
        });
        drop(old);
    }

    /// Opens (or shares) the log.
    fn _open(&self, settings: &Bound<'_, PyDict>) -> PyResult<()> {
        let open = Py::new(settings.py(), Open::new(settings)?)?;
        self.replace(settings.py(), open);
        Ok(())
    }

    /// Lets go of the log; the next record opens it again.
    fn _close(&self, py: Python<'_>) {
        self.let_go(py);
    }

    /// Whether `handle` may do the work of `logging.Handler.handle` natively, and whether a subclass's `format` makes the
    /// message.
    #[pyo3(signature = (plain, formats=false))]
    fn _set_plain(&self, py: Python<'_>, plain: bool, formats: bool) {
        self.inner.with(py, |inner| {
            inner.plain = plain;
            inner.formats = formats;
        });
    }

    /// Filters, encodes and appends a record.
    fn handle<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (plain, unfiltered) = slf.get().inner.with(py, |inner| {
            // Types and sizes of built-in objects: nothing of Python's runs.
            let unfiltered = inner.filters.as_ref().is_none_or(|f| {
                f.bind(py)
                    .cast::<PyList>()
                    .is_ok_and(PyListMethods::is_empty)
            });
            (inner.plain, unfiltered)
        });
        if !plain {
            return stdlib(py)?.handle.bind(py).call1((slf, record));
        }
        if unfiltered {
            Self::emit(slf, record)?;
            return Ok(true.into_pyobject(py)?.to_owned().into_any());
        }
        let passed = slf.call_method1(intern!(py, "filter"), (record,))?;
        if !passed.is_truthy()? {
            return Ok(passed);
        }
        // Since 3.12 a filter may put another record in the place of this one.
        let replaced = passed.is_instance(stdlib(py)?.record.bind(py))?;
        Self::emit(slf, if replaced { &passed } else { record })?;
        Ok(passed)
    }

    /// Encodes and appends a record. Raises only what a signal handler raised while it waited for room.
    fn emit(slf: &Bound<'_, Self>, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut caller = Attached::new(slf.py());
        // A defect of ours must not become the application's: the record is counted, and the program goes on.
        let outcome = catch_unwind(AssertUnwindSafe(|| Self::append(slf, record, &mut caller)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(e)) => handle_error(slf, record, &e)?,
            Err(_) => {
                engine().count_unopened();
                report::say("a record could not be encoded; this is a defect of logspool");
            }
        }
        caller.raised.map_or(Ok(()), Err)
    }

    /// Waits until everything accepted before the call is in segments; false when `timeout` (seconds) passed first.
    /// All logs are flushed together; with `closing` this one also says what was sampled out of it.
    #[pyo3(name = "_flush", signature = (timeout, closing=false))]
    fn wait_flushed(&self, py: Python<'_>, timeout: Option<f64>, closing: bool) -> PyResult<bool> {
        if closing {
            let noise = self.inner.with(py, |inner| {
                inner
                    .open
                    .as_ref()
                    .and_then(|open| open.get().noise.clone())
            });
            py.detach(|| noise.iter().for_each(|noise| noise.announce()));
        }
        flush(py, timeout)
    }

    /// Absolute plain path.
    fn _path(&self, py: Python<'_>) -> PyResult<String> {
        let shut = self.inner.with(py, |inner| match &inner.open {
            None => inner.shut.clone(),
            Some(_) => None,
        });
        if let Some(shut) = shut {
            return Ok(shut.path.display().to_string());
        }
        Ok(self.open(py)?.get().log.path().display().to_string())
    }

    #[allow(clippy::needless_pass_by_value)] // The protocol's signature.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector runs attached, between bytecodes or allocations, where nobody is inside `with`.
        self.inner.while_collecting(|inner| {
            visit.call(&inner.filters)?;
            visit.call(&inner.level)?;
            visit.call(&inner.formatter)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let old = self
            .inner
            .with(py, |inner| (inner.filters.take(), inner.formatter.take()));
        drop(old);
    }
}

impl NativeHandler {
    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Open>> {
        let open = self.inner.with(py, |inner| {
            inner.open.as_ref().map(|open| open.bind(py).clone())
        });
        match open {
            Some(open) => Ok(open),
            None => self.reopen(py),
        }
    }

    /// Puts another log in place; what a forked child inherited is leaked, as its parent's threads still use it.
    pub(super) fn replace(&self, py: Python<'_>, open: Py<Open>) {
        let old = self.inner.with(py, |inner| inner.open.replace(open));
        match old {
            Some(old) if old.get().log.is_inherited() => std::mem::forget(old),
            old => drop(old),
        }
    }

    /// The open log, opened again where a fork or a shutdown lies in between.
    #[inline]
    pub(crate) fn current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Open>> {
        let open = self.open(py)?;
        if !open.get().log.is_stale() {
            return Ok(open);
        }
        self.renew(open)
    }

    fn append(
        slf: &Bound<'_, Self>,
        record: &Bound<'_, PyAny>,
        caller: &mut Attached<'_>,
    ) -> PyResult<()> {
        let py = record.py();
        let held = match slf.get().current(py) {
            Ok(open) => open,
            Err(e) => return unopened(py, &e),
        };
        let open = held.get();
        if let Some(noise) = &open.noise
            && !noise::keeps(noise, record)
        {
            return Ok(());
        }
        let (formatter, formats) = slf.get().inner.with(py, |inner| {
            (
                inner.formatter.as_ref().map(|f| f.clone_ref(py)),
                inner.formats,
            )
        });
        let formatter = if formats {
            // `logging.Handler.format` goes on to the formatter, if the subclass wants that.
            Some(slf.as_any())
        } else {
            formatter.as_ref().map(|f| f.bind(py))
        };
        let mut line = Buffer::take();
        let level = if open.settings.json {
            open.encoder.encode(record, formatter, &mut line.bytes)
        } else {
            text_line(
                record,
                formatter,
                &open.encoder,
                open.log.spool.max_line(),
                &mut line.bytes,
            )?
        };
        if let Some(mirror) = &open.mirror
            && level >= mirror.level
        {
            mirror.show(record, level, &open.encoder);
        }
        if context::keep(&held, &line.bytes, level, caller)? {
            return Ok(());
        }
        if let Some(noise) = &open.noise
            && noise::repeats_record(open, noise, &line.bytes, record, caller)
        {
            return Ok(());
        }
        slf.get().commit(open, &mut line.bytes, level, caller)
    }

    /// Commits a finished line.
    #[inline]
    pub(super) fn commit(
        &self,
        open: &Open,
        line: &mut [u8],
        level: i64,
        caller: &mut Attached<'_>,
    ) -> PyResult<()> {
        let json = open.settings.json;
        if !open.log.is_inherited()
            && open.log.append(line, json, level >= ERROR, caller) != Appended::Forked
        {
            return Ok(());
        }
        self.commit_in_child(line, json, level, caller)
    }

    /// The user's code forked while the record was encoded or waited for room, and this is the child.
    #[cold]
    fn commit_in_child(
        &self,
        line: &mut [u8],
        json: bool,
        level: i64,
        caller: &mut Attached<'_>,
    ) -> PyResult<()> {
        let own = match self.current(caller.py()) {
            Ok(own) => own,
            Err(e) => return unopened(caller.py(), &e),
        };
        own.get().log.append(line, json, level >= ERROR, caller);
        Ok(())
    }

    /// Appends a line that is already finished: a cost record.
    pub fn append_line(&self, py: Python<'_>, line: &mut [u8]) -> PyResult<()> {
        let mut caller = Attached::new(py);
        let open = self.current(py)?;
        let mut appended = open.get().log.append(line, true, false, &mut caller);
        if appended == Appended::Forked {
            let own = self.current(py)?;
            appended = own.get().log.append(line, true, false, &mut caller);
        }
        debug_assert!(appended != Appended::Interrupted || caller.raised.is_some());
        caller.raised.map_or(Ok(()), Err)
    }
}

/// A line of text as the formatter made it, without what is secret in it.
fn text_line(
    record: &Bound<'_, PyAny>,
    formatter: Option<&Bound<'_, PyAny>>,
    encoder: &RecordEncoder,
    largest: usize,
    out: &mut Vec<u8>,
) -> PyResult<i64> {
    let py = record.py();
    let formatter =
        formatter.ok_or_else(|| PyRuntimeError::new_err("a text log has no formatter; set one"))?;
    let text = formatter.call_method1(intern!(py, "format"), (record,))?;
    let text = text.str()?;
    let text = text.to_string_lossy();
    let text = without_payloads(&text).map_or(text, |(told, _)| told.into());
    let text = encoder.redact_text(&text).map_or(text, Into::into);
    let start = out.len();
    sanitise::record(text.as_bytes(), out);
    if out.len() - start >= largest {
        let kept =
            sanitise::character_boundary(&out[start..], largest.saturating_sub(MAX_CUT_NOTE));
        let cut = String::from_utf8_lossy(&out[start + kept..])
            .chars()
            .count();
        out.truncate(start + kept);
        out.extend_from_slice(format!("…(truncated, {cut} chars)").as_bytes());
    }
    out.push(b'\n');
    record.getattr(intern!(py, "levelno"))?.extract()
}

/// What `logging.Handler.emit` implementations do with an exception: an `Exception` goes to `handleError`, what is not one
/// (a `KeyboardInterrupt` in a user's formatter) goes on.
fn handle_error(
    handler: &Bound<'_, NativeHandler>,
    record: &Bound<'_, PyAny>,
    error: &PyErr,
) -> PyResult<()> {
    let py = handler.py();
    stdlib(py)?
        .handle_error
        .bind(py)
        .call1((handler, record, error.value(py)))?;
    Ok(())
}

/// What is used of the standard library.
struct Stdlib {
    handle: Py<PyAny>,
    handle_error: Py<PyAny>,
    record: Py<PyAny>,
}

fn stdlib(py: Python<'_>) -> PyResult<&'static Stdlib> {
    static STDLIB: PyOnceLock<Stdlib> = PyOnceLock::new();
    STDLIB.get_or_try_init(py, || {
        let logging = py.import("logging")?;
        let handle_error = PyModule::from_code(
            py,
            c"def handle_error(handler, record, error):\n    try:\n        raise error\n    except Exception:\n        handler.handleError(record)\n",
            c"logspool/_core",
            c"logspool._core._errors",
        )?;
        Ok(Stdlib {
            handle: logging.getattr("Handler")?.getattr("handle")?.unbind(),
            handle_error: handle_error.getattr("handle_error")?.unbind(),
            record: logging.getattr("LogRecord")?.unbind(),
        })
    })
}

/// An error as Python's: `OSError` with its number where the system gave one, else `ValueError`.
pub fn to_python(error: &Error) -> PyErr {
    match error.errno() {
        Some(errno) => PyOSError::new_err((errno, error.to_string())),
        None => PyValueError::new_err(error.to_string()),
    }
}
