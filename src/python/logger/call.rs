//! One log call: whether it is enabled, where it goes, and then the record, without a `LogRecord`.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use smallvec::SmallVec;

use super::arguments::Arguments;
use super::caller::Caller;
use super::line::{CallRecord, Extra};
use super::world::World;
use super::{plan, thread};
use crate::python::buffer::Buffer;
use crate::python::encode::class_of;
use crate::python::handler::{Direct, NativeHandler, Reach};
use crate::python::held::Held;
use crate::python::text::small_int;

/// Calls that went either way, for tests: only attached threads count.
pub(super) static FAST: AtomicU64 = AtomicU64::new(0);
pub(super) static STANDARD: AtomicU64 = AtomicU64::new(0);

pub(super) fn count(which: &AtomicU64) {
    which.store(which.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// How a call ended.
pub(super) enum Outcome {
    /// Logged, or not enabled.
    Done,
    /// The standard library has to do it; nothing was done yet.
    Standard,
    /// A signal handler raised while the call waited for room.
    Raised(PyErr),
}

/// What is called, beside the arguments.
#[derive(Clone, Copy)]
pub(super) struct Method<'a, 'py> {
    pub(super) level: i64,
    pub(super) level_object: Borrowed<'a, 'py, PyAny>,
    /// Which argument the message is.
    pub(super) message: usize,
    /// `exception()`.
    pub(super) exception: bool,
}

/// Room for what a plan says, taken out of the table.
struct Reached<'py> {
    name: Held<'py>,
    handlers: SmallVec<[Held<'py>; 2]>,
}

enum Way<'py> {
    Disabled,
    Standard,
    Reached(Reached<'py>),
}

/// Does a call natively, if nothing stands in the way.
#[inline]
pub(super) fn log<'py>(
    world: &'static World,
    arguments: Arguments<'_, 'py>,
    method: Method<'_, 'py>,
) -> Outcome {
    let py = arguments.py;
    let class = class_of(arguments.logger);
    if class != world.own.as_ptr().cast() && class != world.own_root.as_ptr().cast()
        || arguments.positional(method.message).is_none()
        || !world.is_ordinary(py)
    {
        return Outcome::Standard;
    }
    let reached = match way(world, arguments, method) {
        Way::Disabled => return Outcome::Done,
        Way::Standard => return Outcome::Standard,
        Way::Reached(reached) => reached,
    };
    let Some(said) = arguments.read(method.message, method.exception) else {
        return Outcome::Standard;
    };
    let mut open: SmallVec<[Direct<'_, 'py>; 2]> = SmallVec::new();
    for handler in &reached.handlers {
        // SAFETY: `way` found only handlers whose class is `SpoolHandler`, which derives from it.
        let handler = unsafe { handler.cast_unchecked::<NativeHandler>() };
        match NativeHandler::direct(handler, method.level) {
            Reach::Direct(direct) => open.push(direct),
            Reach::Below => {}
            Reach::Standard => return Outcome::Standard,
        }
    }
    let (Some(level_name), Some(thread), Some(caller)) = (
        level_name(world, method),
        thread::name(py, world),
        Caller::find(py, world),
    ) else {
        return Outcome::Standard;
    };
    let exc_info = said.exc_info.map(|given| exception_of(py, given));
    if matches!(exc_info, Some(None)) {
        return Outcome::Standard;
    }
    let extra = Extra::of(said.extra);
    if extra == Extra::Refused {
        return Outcome::Standard;
    }
    let record = CallRecord {
        created: now(),
        level_object: method.level_object,
        level_name,
        name: reached.name,
        said,
        exc_info: exc_info.flatten(),
        thread,
        caller,
        extra,
    };
    for direct in open {
        let mut line = Buffer::take();
        direct.encoder().encode_call(&record, &mut line.bytes);
        if let Err(raised) = direct.append(&mut line.bytes, method.level) {
            return Outcome::Raised(raised);
        }
    }
    count(&FAST);
    Outcome::Done
}

/// Where the call goes.
#[inline]
fn way<'py>(
    world: &'static World,
    arguments: Arguments<'_, 'py>,
    method: Method<'_, 'py>,
) -> Way<'py> {
    let py = arguments.py;
    let logger = arguments.logger;
    let look = || plan::with(py, logger.as_ptr(), |plan| follow(world, py, plan, method));
    if let Some(way) = look() {
        return way;
    }
    match plan::make(world, &logger) {
        Ok(true) => look().unwrap_or(Way::Standard),
        _ => Way::Standard,
    }
}

/// What a good plan says of a call.
#[inline]
fn follow<'py>(
    world: &World,
    py: Python<'py>,
    plan: &plan::Plan,
    method: Method<'_, 'py>,
) -> Way<'py> {
    if plan.disabled {
        return Way::Disabled;
    }
    // SAFETY: a live dict and an int: its hash needs no code. What `isEnabledFor` found before; a borrowed reference or null.
    let enabled = unsafe {
        ffi::PyDict_GetItemWithError(plan.enabled.as_ptr(), method.level_object.as_ptr())
    };
    // SAFETY: immortal objects.
    let (yes, no) = unsafe { (ffi::Py_True(), ffi::Py_False()) };
    if enabled == no {
        return Way::Disabled;
    }
    if enabled != yes || plan.handlers.is_empty() {
        return Way::Standard;
    }
    let mut handlers = SmallVec::new();
    for address in &plan.handlers {
        // SAFETY: the plan is good: the lists hold these objects now.
        let handler = unsafe { Borrowed::<PyAny>::from_ptr(py, *address as *mut ffi::PyObject) };
        if class_of(handler) != world.handler.as_ptr().cast() {
            return Way::Standard;
        }
        handlers.push(Held::new(handler));
    }
    Way::Reached(Reached {
        name: Held::new(plan.name.bind(py).as_any().as_borrowed()),
        handlers,
    })
}

/// `logging.getLevelName(level)`, for a level that has a name.
#[inline]
fn level_name<'py>(world: &World, method: Method<'_, 'py>) -> Option<Held<'py>> {
    let py = method.level_object.py();
    // SAFETY: as in `follow`.
    unsafe {
        let name =
            ffi::PyDict_GetItemWithError(world.level_names.as_ptr(), method.level_object.as_ptr());
        let name = Borrowed::<PyAny>::from_ptr_or_opt(py, name)?;
        (class_of(name) == &raw mut ffi::PyUnicode_Type).then(|| Held::new(name))
    }
}

/// What `_log` makes of a true `exc_info`, a tuple. `None` where that takes the standard library.
#[inline(never)]
fn exception_of<'py>(
    py: Python<'py>,
    given: Borrowed<'_, 'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    if class_of(given) == &raw mut ffi::PyTuple_Type {
        return Some(given.to_owned());
    }
    if given.is_instance_of::<PyBaseException>() {
        // SAFETY: a live exception; a new reference or null comes back.
        let traceback = unsafe {
            Bound::<PyAny>::from_owned_ptr_or_opt(py, ffi::PyException_GetTraceback(given.as_ptr()))
        };
        let traceback = traceback.unwrap_or_else(|| py.None().into_bound(py));
        let parts = [given.get_type().into_any(), given.to_owned(), traceback];
        return PyTuple::new(py, parts).ok().map(Bound::into_any);
    }
    // SAFETY: an immortal object.
    if given.as_ptr() != unsafe { ffi::Py_True() } && small_int_of(given) != Some(1) {
        return None;
    }
    let (mut class, mut value, mut traceback) = (
        std::ptr::null_mut(),
        std::ptr::null_mut(),
        std::ptr::null_mut(),
    );
    // SAFETY: new references or null come back.
    let parts = unsafe {
        ffi::PyErr_GetExcInfo(&raw mut class, &raw mut value, &raw mut traceback);
        [class, value, traceback].map(|part| {
            Bound::<PyAny>::from_owned_ptr_or_opt(py, part)
                .unwrap_or_else(|| py.None().into_bound(py))
        })
    };
    PyTuple::new(py, parts).ok().map(Bound::into_any)
}

fn small_int_of(value: Borrowed<'_, '_, PyAny>) -> Option<i64> {
    (class_of(value) == &raw mut ffi::PyLong_Type)
        .then(|| small_int(value))
        .flatten()
}

/// Microseconds since the epoch.
#[inline]
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
