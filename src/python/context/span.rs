//! The active OpenTelemetry span, in programs that use OpenTelemetry: never imported here.
//!
//! `opentelemetry.trace` is looked for when `sys.modules` has changed since the last look, which its version tells (where there is none, its
//! size). Where the API keeps its context in a context variable, as it does unless told otherwise, that is read directly; else
//! `get_current_span` is asked.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::variable;
use crate::python::attach::AttachedCell;
use crate::python::events;
use crate::python::held::Held;
use crate::python::logger::{Marks, dict_version};
use crate::python::parts::{SPAN_ID, TRACE_FLAGS, TRACE_ID};

/// Bytes of `,"trace_id":"…"`, of that and `,"span_id":"…"`, and of these and `,"trace_flags":"…"`.
const ENDS: [usize; 3] = [46, 75, 94];

/// The ids of a span as they stand in a line.
#[derive(Clone, Copy)]
pub(in crate::python) struct SpanIds([u8; ENDS[2]]);

impl SpanIds {
    fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        let text = format!(
            ",\"trace_id\":\"{trace:032x}\",\"span_id\":\"{span:016x}\",\"trace_flags\":\"{flags:02x}\""
        );
        text.into_bytes().try_into().ok().map(Self)
    }

    /// Appends all three.
    #[inline]
    pub(in crate::python) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    /// One of them, by its place among the promoted names.
    pub(super) fn part(&self, place: usize) -> &[u8] {
        match place {
            TRACE_ID => &self.0[..ENDS[0]],
            SPAN_ID => &self.0[ENDS[0]..ENDS[1]],
            TRACE_FLAGS => &self.0[ENDS[1]..],
            _ => &[],
        }
    }
}

/// `sys.modules`, and whether its version tells of changes.
struct Modules {
    modules: Py<PyDict>,
    marked: bool,
}

static MODULES: PyOnceLock<Modules> = PyOnceLock::new();
/// What `sys.modules` was like when it was last looked at.
static SEEN: AtomicU64 = AtomicU64::new(u64::MAX);

/// How the program's OpenTelemetry tells of its span.
enum Source {
    /// Its context, a dict, in a context variable; the key of the span in it.
    Variable(Py<PyAny>, Py<PyString>),
    /// `get_current_span`.
    Function(Py<PyAny>),
}

static SOURCE: PyOnceLock<Source> = PyOnceLock::new();

/// Begins to watch what is imported.
pub(super) fn watch(py: Python<'_>) -> PyResult<()> {
    let modules = py
        .import("sys")?
        .getattr("modules")?
        .cast_into::<PyDict>()?
        .unbind();
    let marked = Marks::probe(py)?.dicts;
    MODULES.get_or_init(py, || Modules { modules, marked });
    Ok(())
}

/// The ids of the valid span that is active here.
#[inline]
pub(super) fn active(py: Python<'_>) -> Option<SpanIds> {
    if let Some(source) = SOURCE.get(py) {
        return ids_of(source, py);
    }
    let watched = MODULES.get(py)?;
    let now = if watched.marked {
        dict_version(watched.modules.as_ptr())
    } else {
        // SAFETY: a live dict.
        unsafe { ffi::PyDict_Size(watched.modules.as_ptr()) }.cast_unsigned() as u64
    };
    if SEEN.load(Ordering::Relaxed) == now {
        return None;
    }
    look(py, watched, now)
}

/// Something was imported: perhaps OpenTelemetry, perhaps structlog.
#[cold]
fn look(py: Python<'_>, watched: &Modules, now: u64) -> Option<SpanIds> {
    Python::attach(|_| {
        let modules = watched.modules.bind(py);
        if modules.contains(intern!(py, "structlog")).unwrap_or(true) {
            events::expect();
        }
        let found = modules.get_item(intern!(py, "opentelemetry.trace"));
        let Some(trace) = found.ok().flatten() else {
            SEEN.store(now, Ordering::Relaxed);
            return None;
        };
        // Another thread may be importing it right now: then it is looked at again with the next record.
        let ask = trace
            .getattr_opt(intern!(py, "get_current_span"))
            .ok()??
            .unbind();
        let source = variable_of(modules).unwrap_or(Source::Function(ask));
        // From here on nobody looks at what is imported.
        events::expect();
        ids_of(SOURCE.get_or_init(py, || source), py)
    })
}

/// The context variable of OpenTelemetry's usual runtime context.
fn variable_of(modules: &Bound<'_, PyDict>) -> Option<Source> {
    let py = modules.py();
    let module = |name: &str| modules.get_item(name).ok().flatten();
    let runtime = module("opentelemetry.context")?
        .getattr_opt(intern!(py, "_RUNTIME_CONTEXT"))
        .ok()??;
    let usual = module("opentelemetry.context.contextvars_context")?
        .getattr_opt(intern!(py, "ContextVarsRuntimeContext"))
        .ok()??;
    let variable = runtime
        .getattr_opt(intern!(py, "_current_context"))
        .ok()?
        .filter(|_| runtime.get_type().is(&usual))?;
    let class = py.import("contextvars").ok()?.getattr("ContextVar").ok()?;
    let key = module("opentelemetry.trace.propagation")?
        .getattr_opt(intern!(py, "_SPAN_KEY"))
        .ok()??
        .cast_into_exact::<PyString>()
        .ok()?;
    variable
        .get_type()
        .is(&class)
        .then(|| Source::Variable(variable.unbind(), key.unbind()))
}

#[inline(never)]
fn ids_of(source: &Source, py: Python<'_>) -> Option<SpanIds> {
    let span = match source {
        Source::Variable(variable, key) => {
            let context = variable::read(variable.bind_borrowed(py))?;
            if !context.is_instance_of::<PyDict>() {
                return None;
            }
            // SAFETY: a live dict, whatever its class, and a plain `str`; a borrowed reference or null. A key whose comparison runs
            // code is not OpenTelemetry's, and what it raises is cleared.
            unsafe {
                let span = ffi::PyDict_GetItemWithError(context.as_ptr(), key.as_ptr());
                if span.is_null() {
                    ffi::PyErr_Clear();
                }
                Held::new(Borrowed::from_ptr_or_opt(py, span)?)
            }
        }
        Source::Function(ask) => clear(py, ask.bind(py).call0()).map(Held::from)?,
    };
    let context = clear(py, span.call_method0(intern!(py, "get_span_context"))).map(Held::from)?;
    known(&context).unwrap_or_else(|| Python::attach(|_| learn(&context)))
}

/// The value; what was raised is dropped at once, for records are made without pyo3's count of attached callers.
fn clear<T>(py: Python<'_>, result: PyResult<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            error.restore(py);
            // SAFETY: attached.
            unsafe { ffi::PyErr_Clear() };
            None
        }
    }
}

/// So many span contexts are remembered: they hold a few numbers each.
const KNOWN: usize = 16;

type Known = Option<(Py<PyAny>, Option<SpanIds>)>;

static SPANS: AttachedCell<[Known; KNOWN]> = AttachedCell::new([const { None }; KNOWN]);

#[inline]
fn place(context: &Held<'_>) -> usize {
    let address = context.as_ptr() as usize;
    ((address >> 4) ^ (address >> 10)) % KNOWN
}

/// Outer `None`: not known yet; inner: no valid span.
#[inline]
#[allow(clippy::option_option)]
fn known(context: &Held<'_>) -> Option<Option<SpanIds>> {
    SPANS.with(context.py(), |spans| {
        spans[place(context)]
            .as_ref()
            .filter(|(known, _)| known.as_ptr() == context.as_ptr())
            .map(|(_, ids)| *ids)
    })
}

#[cold]
fn learn(context: &Held<'_>) -> Option<SpanIds> {
    let py = context.py();
    let ids = read(context).ok().flatten();
    let entry = ((**context).clone().unbind(), ids);
    let old = SPANS.with(py, |spans| spans[place(context)].replace(entry));
    // Not within `with`: this may free it.
    if let Some((old, _)) = old {
        old.drop_ref(py);
    }
    ids
}

fn read(context: &Bound<'_, PyAny>) -> PyResult<Option<SpanIds>> {
    let py = context.py();
    if !context.getattr(intern!(py, "is_valid"))?.is_truthy()? {
        return Ok(None);
    }
    let flags: i64 = context.getattr(intern!(py, "trace_flags"))?.extract()?;
    Ok(SpanIds::new(
        context.getattr(intern!(py, "trace_id"))?.extract()?,
        context.getattr(intern!(py, "span_id"))?.extract()?,
        u8::try_from(flags & 0xFF).unwrap_or(0),
    ))
}
