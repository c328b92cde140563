//! What is needed of the standard library, and whether it still is the standard library's own.
//!
//! Other libraries change how exceptions are shown by replacing functions of `traceback` (the `exceptiongroup` backport does, and
//! `trio` did) or of `linecache` (`IPython`). Their users must see the change here too, so that everything which has a say in
//! the text is compared with what it was, at each exception; where `CPython`'s own marks of change can be relied on, by those. And since later Pythons may show exceptions in another way, a few
//! samples are rendered both ways before anything is rendered here.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule, PyString, PyType};

use super::chain::Chain;
use super::standard_stack_trace;
use crate::python::attach::AttachedCell;
use crate::python::encode::Encoder;
use crate::python::logger::{Marks, dict_version, type_tag};

/// Functions, classes and constants of `traceback` with a say in the text; not every version has them all.
const TRACEBACK: [&str; 19] = [
    "format_exception",
    "extract_tb",
    "walk_tb",
    "linecache",
    "TracebackException",
    "StackSummary",
    "FrameSummary",
    "_ExceptionPrintContext",
    "_parse_value_tb",
    "_format_final_exc_line",
    "_some_str",
    "_safe_string",
    "_walk_tb_with_full_positions",
    "_get_code_position",
    "_compute_suggestion_error",
    "_extract_caret_anchors_from_line_segment",
    "_cause_message",
    "_context_message",
    "_RECURSIVE_CUTOFF",
];

/// The same of its classes.
const METHODS: [(&str, &str); 9] = [
    ("TracebackException", "__init__"),
    ("TracebackException", "format"),
    ("TracebackException", "format_exception_only"),
    ("StackSummary", "extract"),
    ("StackSummary", "_extract_from_extended_frame_gen"),
    ("StackSummary", "format"),
    ("StackSummary", "format_frame_summary"),
    ("FrameSummary", "__init__"),
    ("FrameSummary", "line"),
];

/// The same of `linecache`.
const LINECACHE: [&str; 7] = [
    "cache",
    "os",
    "getline",
    "getlines",
    "checkcache",
    "updatecache",
    "lazycache",
];

/// Exceptions that every version tells these of are shown here; what comes before is `traceback`'s.
const SAMPLES: &str = include_str!("samples.py");

/// Classes of what is neither function nor class.
const PLAIN: [&str; 5] = ["builtin_function_or_method", "module", "dict", "str", "int"];

/// A name and what stands under it as long as nobody has changed that.
struct Pin {
    /// A module's dict, or a class' read-only view of its own.
    names: Py<PyAny>,
    name: Py<PyString>,
    value: Py<PyAny>,
}

impl Pin {
    fn stands(&self, py: Python<'_>) -> bool {
        let found = self.names.bind(py).get_item(self.name.bind(py));
        found.is_ok_and(|found| found.is(&self.value))
    }
}

/// What is needed of the standard library.
pub(super) struct Standard {
    pins: Vec<Pin>,
    /// The namespaces that the pins are in, and `sys.__dict__`.
    dicts: [Py<PyDict>; 4],
    /// The classes.
    classes: [Py<PyType>; 3],
    marks: Marks,
    /// What marked them when every pin stood.
    stood: AttachedCell<Marked>,
    /// `linecache.cache`.
    pub(super) linecache: Py<PyDict>,
    pub(super) extract_tb: Py<PyAny>,
    pub(super) traceback_exception: Py<PyAny>,
    /// `BaseExceptionGroup`, since 3.11.
    pub(super) group: Option<Py<PyType>>,
    /// Classes whose last lines only `traceback` can write.
    pub(super) special: Vec<Py<PyType>>,
    /// Whether a frame's line comes from its instruction's position (3.11), else from the traceback itself.
    pub(super) by_position: bool,
    /// Whether notes are shown (3.11).
    pub(super) notes: bool,
    /// Whether the samples came out the same.
    agrees: bool,
}

/// The marks of all namespaces and classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marked {
    dicts: [u64; 4],
    /// None is 0 in what is kept.
    classes: [u32; 3],
}

/// So often samples that came out differently are rendered again with the next exception: it may have been Ctrl-C, or the end of the stack.
const TRIES: u32 = 2;

static DISAGREED: AtomicU32 = AtomicU32::new(0);

static KNOWN: PyOnceLock<Standard> = PyOnceLock::new();

impl Standard {
    /// What was found at the first exception; nothing as long as the standard library is not its own, or if it shows
    /// exceptions in a way not known here.
    pub(super) fn get(encoder: &Encoder<'_>) -> Option<&'static Standard> {
        let py = encoder.py;
        let known = if let Some(known) = KNOWN.get(py) {
            known
        } else {
            let mut fresh = encoder.ok(Standard::new(py))?;
            fresh.agrees = encoder.ok(fresh.matches_samples(encoder))?;
            if !fresh.agrees && DISAGREED.fetch_add(1, Ordering::Relaxed) < TRIES {
                return None;
            }
            KNOWN.get_or_init(py, || fresh)
        };
        known.agrees.then_some(known)
    }

    fn new(py: Python<'_>) -> PyResult<Self> {
        let traceback = PyModule::import(py, "traceback")?;
        let linecache = PyModule::import(py, "linecache")?;
        let os = PyModule::import(py, "os")?;
        let sys = PyModule::import(py, "sys")?;
        let builtins = PyModule::import(py, "builtins")?;
        let mut pins = Vec::new();
        for name in TRACEBACK {
            pin(&mut pins, &traceback, traceback.dict().as_any(), name)?;
        }
        for (class, name) in METHODS {
            let names = traceback.getattr(class)?.getattr("__dict__")?;
            pin(&mut pins, &traceback, &names, name)?;
        }
        for name in LINECACHE {
            pin(&mut pins, &linecache, linecache.dict().as_any(), name)?;
        }
        pin(&mut pins, &os, os.dict().as_any(), "stat")?;
        let version = py.version_info();
        let since = |minor| (version.major, version.minor) >= (3, minor);
        let mut special = vec!["SyntaxError"];
        if since(12) {
            // These may come with a suggestion.
            special.extend(["ImportError", "NameError", "AttributeError"]);
        }
        let class = |name| type_of(&builtins, name);
        Ok(Standard {
            pins,
            dicts: [&sys, &traceback, &linecache, &os].map(|module| module.dict().unbind()),
            classes: [
                type_of(&traceback, "TracebackException")?,
                type_of(&traceback, "StackSummary")?,
                type_of(&traceback, "FrameSummary")?,
            ],
            marks: Marks::probe(py)?,
            stood: AttachedCell::default(),
            linecache: linecache
                .getattr("cache")?
                .cast_into_exact::<PyDict>()?
                .unbind(),
            extract_tb: traceback.getattr("extract_tb")?.unbind(),
            traceback_exception: traceback.getattr("TracebackException")?.unbind(),
            group: since(11).then(|| class("BaseExceptionGroup")).transpose()?,
            special: special.into_iter().map(class).collect::<PyResult<_>>()?,
            by_position: since(11),
            notes: since(11),
            agrees: false,
        })
    }

    /// Whether nothing is in the way of writing what `traceback` would.
    pub(super) fn is_untouched(&self, py: Python<'_>) -> bool {
        let reliable = self.marks.types && self.marks.dicts;
        let mut now = self.marked();
        if reliable {
            if self.stood.with(py, |stood| *stood == now) {
                return true;
            }
            for class in &self.classes {
                // A class that was changed has a mark again once something of it was looked up.
                let _ = class.bind(py).getattr(intern!(py, "__doc__"));
            }
            now = self.marked();
        }
        let limited = self.dicts[0]
            .bind(py)
            .contains(intern!(py, "tracebacklimit"));
        if limited.unwrap_or(true) || !self.pins.iter().all(|pin| pin.stands(py)) {
            return false;
        }
        if reliable && !now.classes.contains(&0) {
            self.stood.with(py, |stood| *stood = now);
        }
        true
    }

    fn marked(&self) -> Marked {
        Marked {
            dicts: self
                .dicts
                .each_ref()
                .map(|dict| dict_version(dict.as_ptr())),
            classes: self
                .classes
                .each_ref()
                .map(|class| type_tag(class.as_ptr().cast())),
        }
    }

    /// Whether the samples are rendered here as `traceback` renders them.
    fn matches_samples(&self, encoder: &Encoder<'_>) -> PyResult<bool> {
        let py = encoder.py;
        let builtins = PyModule::import(py, "builtins")?;
        let code = builtins
            .getattr("compile")?
            .call1((SAMPLES, "<logspool>", "exec"))?;
        let names = PyDict::new(py);
        builtins.getattr("exec")?.call1((code, &names))?;
        let samples = names.as_any().get_item("samples")?.call0()?;
        for sample in samples.cast::<PyList>()?.iter() {
            let traceback = sample.getattr("__traceback__")?;
            let theirs = standard_stack_trace(&sample, &traceback)?;
            let ours = Chain::render(encoder, self, &sample, &traceback);
            if ours.ok().as_ref() != Some(&theirs) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn type_of(module: &Bound<'_, PyModule>, name: &str) -> PyResult<Py<PyType>> {
    Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
}

/// Enters what stands under a name, if anything does.
///
/// # Errors
/// It is not the module's own.
fn pin(
    pins: &mut Vec<Pin>,
    module: &Bound<'_, PyModule>,
    names: &Bound<'_, PyAny>,
    name: &str,
) -> PyResult<()> {
    let name = PyString::intern(module.py(), name);
    let Ok(value) = names.get_item(&name) else {
        return Ok(());
    };
    if !is_own(&value, module)? {
        return Err(PyRuntimeError::new_err(format!("{name} is another's")));
    }
    pins.push(Pin {
        names: names.clone().unbind(),
        name: name.unbind(),
        value: value.unbind(),
    });
    Ok(())
}

/// Whether a function, method, property or class was defined in a module; true for a value that is none of these.
fn is_own(value: &Bound<'_, PyAny>, module: &Bound<'_, PyModule>) -> PyResult<bool> {
    // Classes come first: they may have attributes of any name.
    if value.is_instance_of::<PyType>() {
        return value.getattr("__module__")?.eq(module.name()?);
    }
    for inner in ["fget", "__func__"] {
        if let Some(inner) = value.getattr_opt(inner)? {
            return is_own(&inner, module);
        }
    }
    if let Some(names) = value.getattr_opt("__globals__")? {
        return Ok(names.is(module.dict()));
    }
    // `os.stat` is C's. A stand-in for the module `os` would be a class' of its own.
    Ok(PLAIN.contains(&&*value.get_type().name()?.to_cow()?))
}
