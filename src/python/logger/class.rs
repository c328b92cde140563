//! The classes `logspool.Logger` and its counterpart for the root logger, with native methods.
//!
//! They add nothing to the layout of `logging.Logger`, so that existing loggers can be given the class by assignment to `__class__`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

use super::arguments::Arguments;
use super::call::{self, FAST, Method, Outcome, STANDARD};
use super::plan;
use super::world::{self, OUTER, world};
use crate::report;

/// Levels of the methods of [`OUTER`]; `log` is given its own.
const LEVELS: [i64; 8] = [10, 20, 30, 40, 50, 40, 0, 50];
/// Their places among those that a plan knows.
const PLACES: [usize; 8] = [0, 1, 2, 3, 4, 3, 0, 4];
const EXCEPTION: usize = 5;
const LOG: usize = 6;

static METHOD_NAMES: PyOnceLock<[Py<PyString>; 8]> = PyOnceLock::new();
static LEVEL_OBJECTS: PyOnceLock<[Py<PyAny>; 8]> = PyOnceLock::new();

macro_rules! documentation {
    ($name:literal, $signature:literal, $text:literal) => {
        concat!($name, $signature, "\n--\n\n", $text, "\0")
    };
}

const DOCUMENTATION: [&str; 8] = [
    documentation!(
        "debug",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level DEBUG."
    ),
    documentation!(
        "info",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level INFO."
    ),
    documentation!(
        "warning",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level WARNING."
    ),
    documentation!(
        "error",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level ERROR."
    ),
    documentation!(
        "critical",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level CRITICAL."
    ),
    documentation!(
        "exception",
        "($self, msg, *args, exc_info=True, **kwargs)",
        "Log `msg % args` with level ERROR and the exception being handled."
    ),
    documentation!(
        "log",
        "($self, level, msg, *args, **kwargs)",
        "Log `msg % args` with a level given as an int."
    ),
    documentation!(
        "fatal",
        "($self, msg, *args, **kwargs)",
        "Log `msg % args` with level CRITICAL: use critical() instead."
    ),
];

/// A method: number `N` of [`OUTER`].
unsafe extern "C" fn method<const N: usize>(
    logger: *mut ffi::PyObject,
    given: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached. What is dropped on the way is counted by hand (`Held`), or in `complete`.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: CPython passes what METH_FASTCALL | METH_KEYWORDS promises.
    let arguments = unsafe { Arguments::new(py, logger, given, count, names) };
    // A panic must not pass through C.
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt::<N>(arguments)));
    match outcome {
        Ok(Outcome::Done) => py.None().into_ptr(),
        Ok(Outcome::Standard) => standard::<N>(arguments),
        Ok(Outcome::Raised(raised)) => Python::attach(|py| {
            raised.restore(py);
            ptr::null_mut()
        }),
        Err(_) => {
            crate::engine::engine().count_unopened();
            report::say("a record could not be encoded; this is a defect of logspool");
            py.None().into_ptr()
        }
    }
}

#[inline]
fn attempt<const N: usize>(arguments: Arguments<'_, '_>) -> Outcome {
    let py = arguments.py;
    let (Some(world), Some(objects)) = (world(py), LEVEL_OBJECTS.get(py)) else {
        return Outcome::Standard;
    };
    let method = if N == LOG {
        match arguments.level() {
            Some((level, level_object)) => Method {
                level,
                level_object,
                place: None,
                message: 1,
                exception: false,
            },
            None => return Outcome::Standard,
        }
    } else {
        Method {
            level: LEVELS[N],
            level_object: objects[N].bind_borrowed(py),
            place: Some(PLACES[N]),
            message: 0,
            exception: N == EXCEPTION,
        }
    };
    call::log(world, arguments, method)
}

/// Lets the standard library do it: the public method of `logging.Logger`, or whatever stands in its place now.
#[cold]
fn standard<const N: usize>(arguments: Arguments<'_, '_>) -> *mut ffi::PyObject {
    Python::attach(|py| {
        call::count(&STANDARD);
        let name =
            METHOD_NAMES.get_or_init(py, || OUTER.map(|name| PyString::intern(py, name).unbind()));
        let class = match world(py) {
            Some(world) => Ok(world.logger.bind(py).clone().into_any()),
            None => py
                .import("logging")
                .and_then(|logging| logging.getattr("Logger")),
        };
        let result = class
            .and_then(|class| class.getattr(name[N].bind(py)))
            .and_then(|function| arguments.pass_on(&function).map(Bound::unbind));
        match result {
            Ok(value) => value.into_ptr(),
            Err(raised) => {
                raised.restore(py);
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn get_dict(logger: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: a live object; a new reference or null with an error goes back.
    unsafe { ffi::PyObject_GenericGetDict(logger, ptr::null_mut()) }
}

/// Another dict in the place of a logger's own: the plans watch the old one.
unsafe extern "C" fn set_dict(
    logger: *mut ffi::PyObject,
    dict: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: a live object and a value or null, as the interpreter passes them.
    let set = unsafe { ffi::PyObject_GenericSetDict(logger, dict, ptr::null_mut()) };
    if set == 0 {
        Python::attach(plan::clear);
    }
    set
}

fn definition<const N: usize>(name: &'static CStr) -> ffi::PyMethodDef {
    let documentation = CStr::from_bytes_until_nul(DOCUMENTATION[N].as_bytes()).unwrap_or(c"");
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: method::<N>,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: documentation.as_ptr(),
    }
}

/// Makes a class with the methods that derives from `base` and is as large.
fn make<'py>(
    base: &Bound<'py, PyType>,
    name: &'static CStr,
    documentation: &'static CStr,
) -> PyResult<Bound<'py, PyType>> {
    let py = base.py();
    // They live as long as the process, as the class does.
    let methods = Box::leak(Box::new([
        definition::<0>(c"debug"),
        definition::<1>(c"info"),
        definition::<2>(c"warning"),
        definition::<3>(c"error"),
        definition::<4>(c"critical"),
        definition::<5>(c"exception"),
        definition::<6>(c"log"),
        definition::<7>(c"fatal"),
        ffi::PyMethodDef::zeroed(),
    ]));
    let attributes = Box::leak(Box::new([
        ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(get_dict),
            set: Some(set_dict),
            doc: ptr::null(),
            closure: ptr::null_mut(),
        },
        ffi::PyGetSetDef::default(),
    ]));
    let slots = Box::leak(Box::new([
        ffi::PyType_Slot {
            slot: ffi::Py_tp_getset,
            pfunc: attributes.as_mut_ptr().cast::<c_void>(),
        },
        ffi::PyType_Slot {
            slot: ffi::Py_tp_methods,
            pfunc: methods.as_mut_ptr().cast::<c_void>(),
        },
        ffi::PyType_Slot {
            slot: ffi::Py_tp_doc,
            pfunc: documentation.as_ptr().cast_mut().cast::<c_void>(),
        },
        ffi::PyType_Slot {
            slot: 0,
            pfunc: ptr::null_mut(),
        },
    ]));
    let spec = Box::leak(Box::new(ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: 0,
        itemsize: 0,
        #[allow(clippy::cast_possible_truncation)] // As the interpreter's own header has it.
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE) as _,
        // From 3.13 on objects have their values beside the dict, and only the class' own setter keeps both in step.
        slots: if py.version_info() < (3, 13) {
            slots.as_mut_ptr()
        } else {
            slots[1..].as_mut_ptr()
        },
    }));
    let bases = PyTuple::new(py, [base])?;
    // SAFETY: a spec that is never freed; a new reference or null with an error comes back.
    let class = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(spec, bases.as_ptr()))?
    };
    Ok(class.cast_into::<PyType>()?)
}

/// Puts the classes into the module.
pub(in crate::python) fn set_up(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let logging = py.import("logging")?;
    let base = |name: &str| -> PyResult<Bound<'_, PyType>> {
        Ok(logging.getattr(name)?.cast_into::<PyType>()?)
    };
    let logger = make(
        &base("Logger")?,
        c"logspool.Logger",
        c"A `logging.Logger` whose calls take a native way, as long as nothing that only the standard one knows is in the way.",
    )?;
    let root = make(
        &base("RootLogger")?,
        c"logspool._core.RootLogger",
        c"`Logger` for the root logger.",
    )?;
    LEVEL_OBJECTS.get_or_init(py, || {
        LEVELS.map(|level| {
            level
                .into_pyobject(py)
                .map_or_else(|_| py.None(), |level| level.into_any().unbind())
        })
    });
    module.add("Logger", logger)?;
    module.add("RootLogger", root)
}

/// Begins to answer calls natively where records go to handlers of exactly the class `handler`.
#[pyfunction]
#[pyo3(name = "_install")]
pub(in crate::python) fn install(
    logger: &Bound<'_, PyType>,
    root: &Bound<'_, PyType>,
    handler: &Bound<'_, PyType>,
) -> PyResult<()> {
    plan::clear(logger.py());
    world::enter(logger, root, handler).map(|_| ())
}

/// How many calls went the native way and how many the standard one, since the process began.
#[pyfunction]
#[pyo3(name = "_fast_calls")]
pub(in crate::python) fn fast_calls() -> (u64, u64) {
    use std::sync::atomic::Ordering::Relaxed;
    (FAST.load(Relaxed), STANDARD.load(Relaxed))
}
