//! Whether `logging` and what it uses are the standard library's, as far as a log call can tell.
//!
//! Libraries put functions of their own in the place of the standard library's: Sentry `Logger.callHandlers`, OpenTelemetry the record
//! factory, freezegun `time.time`, gevent `threading.get_ident`. A call then goes the way they expect. What is asked is not whether
//! something changed since import, but whether it is the standard library's own code: who was patched before knows nothing else.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use super::frame::Frames;
use super::marks::{Marks, dict_version, type_tag};
use crate::python::attach::AttachedCell;

/// Methods of `Logger` that a call goes through.
pub(super) const INNER: [&str; 7] = [
    "isEnabledFor",
    "_log",
    "findCaller",
    "makeRecord",
    "handle",
    "callHandlers",
    "filter",
];
/// Methods that are called.
pub(super) const OUTER: [&str; 8] = [
    "debug",
    "info",
    "warning",
    "error",
    "critical",
    "exception",
    "log",
    "fatal",
];

const CLASSES: usize = 6;
const DICTS: usize = 5;

/// What was found at the last look, and the marks of that moment.
struct State {
    tags: [u32; CLASSES],
    versions: [u64; DICTS],
    /// Whether the two above can be relied on.
    marked: bool,
    ordinary: bool,
    /// Looks so far: what depends on the names of levels is as old as one.
    looks: u32,
    /// Looks in a row after which a class had no tag: an interpreter that has none left gives none.
    blind: u32,
}

/// After so many looks no more are made.
const BLIND: u32 = 100;

/// What is asked about.
pub(super) struct World {
    pub(super) marks: Marks,
    pub(super) frames: Frames,
    /// `logging.Logger`.
    pub(super) logger: Py<PyType>,
    /// `logging.RootLogger`.
    pub(super) root: Py<PyType>,
    /// `logspool.Logger`.
    pub(super) own: Py<PyType>,
    /// The root logger's counterpart.
    pub(super) own_root: Py<PyType>,
    /// `logspool.SpoolHandler`.
    pub(super) handler: Py<PyType>,
    /// `logging._levelToName`.
    pub(super) level_names: Py<PyDict>,
    /// `threading._active`.
    pub(super) threads: Py<PyDict>,
    /// Names of [`INNER`] and [`OUTER`] methods: in a logger's own `__dict__` they stand before the class'.
    pub(super) sensitive: Vec<Py<PyString>>,
    pub(super) record: Py<PyType>,
    /// `threading.Thread`, and its `name`.
    pub(super) thread: Py<PyType>,
    pub(super) thread_name: Py<PyAny>,
    /// The methods of [`OUTER`] of both classes, as they were made.
    pub(super) methods: [Vec<Py<PyAny>>; 2],
    /// `logging`, `threading`, `time`, `os`.
    pub(super) modules: [Py<PyDict>; 4],
    /// `time.time` or `time.time_ns`, and the C function it is: time-machine exchanges that one.
    pub(super) clock: (Py<PyAny>, usize),
    /// File of `logging`, and of `threading`.
    pub(super) files: [Py<PyAny>; 2],
    pub(super) native_handle: [Py<PyAny>; 2],
    state: AttachedCell<State>,
}

static WORLD: PyOnceLock<World> = PyOnceLock::new();

/// The world, if [`enter`] was called.
#[inline]
pub(super) fn world(py: Python<'_>) -> Option<&'static World> {
    WORLD.get(py)
}

/// Looks at the world for the first time.
pub(super) fn enter(
    own: &Bound<'_, PyType>,
    own_root: &Bound<'_, PyType>,
    handler: &Bound<'_, PyType>,
) -> PyResult<&'static World> {
    let py = own.py();
    if let Some(world) = WORLD.get(py) {
        return Ok(world);
    }
    let world = World::new(own, own_root, handler)?;
    Ok(WORLD.get_or_init(py, || world))
}

fn class(module: &Bound<'_, PyAny>, name: &str) -> PyResult<Py<PyType>> {
    Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
}

fn methods(class: &Bound<'_, PyType>) -> PyResult<Vec<Py<PyAny>>> {
    OUTER
        .iter()
        .map(|name| Ok(class.getattr(*name)?.unbind()))
        .collect()
}

fn function_address(function: &Bound<'_, PyAny>) -> usize {
    // SAFETY: a live object.
    let builtin = unsafe { ffi::PyCFunction_Check(function.as_ptr()) } != 0;
    if !builtin {
        return 0;
    }
    // SAFETY: a builtin function, as was checked.
    unsafe { ffi::PyCFunction_GetFunction(function.as_ptr()) }.map_or(0, |address| address as usize)
}

impl World {
    fn new(
        own: &Bound<'_, PyType>,
        own_root: &Bound<'_, PyType>,
        handler: &Bound<'_, PyType>,
    ) -> PyResult<Self> {
        let py = own.py();
        let logging = py.import("logging")?.into_any();
        let threading = py.import("threading")?.into_any();
        let time = py.import("time")?.into_any();
        let os = py.import("os")?.into_any();
        let dict_of = |module: &Bound<'_, PyAny>| {
            module
                .getattr("__dict__")?
                .extract::<Py<PyDict>>()
                .map_err(PyErr::from)
        };
        let clock = time.getattr(if py.version_info() < (3, 13) {
            "time"
        } else {
            "time_ns"
        })?;
        let address = function_address(&clock);
        let native = py.get_type::<crate::python::handler::NativeHandler>();
        Ok(Self {
            marks: Marks::probe(py)?,
            frames: Frames::probe(py)?,
            logger: class(&logging, "Logger")?,
            root: class(&logging, "RootLogger")?,
            own: own.clone().unbind(),
            own_root: own_root.clone().unbind(),
            handler: handler.clone().unbind(),
            level_names: logging.getattr("_levelToName")?.extract()?,
            threads: threading.getattr("_active")?.extract()?,
            sensitive: INNER
                .iter()
                .chain(&OUTER)
                .map(|name| PyString::intern(py, name).unbind())
                .collect(),
            record: class(&logging, "LogRecord")?,
            thread: class(&threading, "Thread")?,
            thread_name: threading.getattr("Thread")?.getattr("name")?.unbind(),
            methods: [methods(own)?, methods(own_root)?],
            modules: [
                dict_of(&logging)?,
                dict_of(&threading)?,
                dict_of(&time)?,
                dict_of(&os)?,
            ],
            clock: (clock.unbind(), address),
            files: [
                logging
                    .getattr("addLevelName")?
                    .getattr("__code__")?
                    .getattr("co_filename")?
                    .unbind(),
                // One that nobody patches.
                threading
                    .getattr("enumerate")?
                    .getattr("__code__")?
                    .getattr("co_filename")?
                    .unbind(),
            ],
            native_handle: [
                native.getattr("handle")?.unbind(),
                native.getattr("emit")?.unbind(),
            ],
            state: AttachedCell::new(State {
                tags: [0; CLASSES],
                versions: [0; DICTS],
                marked: false,
                ordinary: false,
                looks: 0,
                blind: 0,
            }),
        })
    }

    fn classes(&self) -> [*mut ffi::PyTypeObject; CLASSES] {
        [
            &self.own,
            &self.own_root,
            &self.handler,
            &self.record,
            &self.logger,
            &self.thread,
        ]
        .map(|class| class.as_ptr().cast())
    }

    fn dicts(&self) -> [*mut ffi::PyObject; DICTS] {
        let [logging, threading, time, os] = &self.modules;
        [logging, threading, time, os, &self.level_names].map(Py::as_ptr)
    }

    /// Whether a log call may do natively what the standard library would do: then how often that had to be looked up.
    #[inline]
    pub(super) fn is_ordinary(&self, py: Python<'_>) -> Option<u32> {
        let known = self.state.with(py, |state| {
            // All of them, whatever the first says: quicker than to decide after each.
            let mut changed = !state.marked;
            for (class, tag) in self.classes().iter().zip(&state.tags) {
                changed |= type_tag(*class) != *tag;
            }
            for (dict, version) in self.dicts().iter().zip(&state.versions) {
                changed |= dict_version(*dict) != *version;
            }
            (!changed).then_some((state.ordinary, state.looks))
        });
        let (ordinary, looks) = match known {
            Some(known) => known,
            None => self.look(py),
        };
        // time-machine exchanges what is behind the builtin function.
        // SAFETY: a builtin function, or nothing is ordinary.
        (ordinary
            && unsafe { ffi::PyCFunction_GetFunction(self.clock.0.as_ptr()) }
                .is_some_and(|address| address as usize == self.clock.1))
        .then_some(looks)
    }

    /// Whether a frame of this file is passed over by `Logger.findCaller`.
    pub(super) fn is_internal(&self, py: Python<'_>, file: &str) -> bool {
        let own = self.files[0].bind(py).eq(file).unwrap_or(false);
        // Since 3.11.
        own || py.version_info() >= (3, 11)
            && file.contains("importlib")
            && file.contains("_bootstrap")
    }

    /// Looks at everything once more.
    #[cold]
    fn look(&self, py: Python<'_>) -> (bool, u32) {
        let blind = self.state.with(py, |state| state.blind);
        // Without marks every call would have to look: the standard way is quicker.
        if !(self.marks.types && self.marks.dicts) || blind > BLIND {
            return (false, 0);
        }
        let before = (self.classes().map(type_tag), self.dicts().map(dict_version));
        // Attached in pyo3's eyes, too: what is dropped here is freed here.
        let ordinary =
            self.clock.1 != 0 && Python::attach(|py| self.is_standard(py).unwrap_or(false));
        // Looking attributes up gave the classes their tags. What changed meanwhile is looked at again the next time.
        let (tags, versions) = (self.classes().map(type_tag), self.dicts().map(dict_version));
        let has_tags = !tags.contains(&0);
        self.state.with(py, |state| {
            *state = State {
                tags,
                versions,
                marked: has_tags && before == (tags, versions),
                ordinary,
                looks: state.looks.wrapping_add(1),
                blind: if has_tags { 0 } else { blind + 1 },
            };
            (ordinary, state.looks)
        })
    }
}
