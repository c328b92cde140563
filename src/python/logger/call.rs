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
use crate::json;
use crate::noise::LogNoise;
use crate::python::buffer::Buffer;
use crate::python::context::Ambient;
use crate::python::direct::{Direct, Reach};
use crate::python::encode::class_of;
use crate::python::events;
use crate::python::handler::NativeHandler;
use crate::python::held::Held;
use crate::python::record::USUAL;
use crate::python::text::{small_int, utf8};
use crate::sample::{Covered, Decisions, WARNING};

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
    /// Its place among the levels that have a method.
    pub(super) place: Option<usize>,
    /// Which argument the message is.
    pub(super) message: usize,
    /// `exception()`.
    pub(super) exception: bool,
}

/// Where a call goes.
enum Way<'py> {
    Disabled,
    Standard,
    /// Not known yet.
    Ask(plan::Asked<'py>),
    One(Held<'py>, Begun<'py>),
    Many(SmallVec<[Held<'py>; 2]>, Begun<'py>),
}

/// What is known of a record as soon as its logger is.
struct Begun<'py> {
    /// Microseconds since the epoch.
    created: i64,
    name: Held<'py>,
    /// Which rules cover the logger, where they are those with this number.
    covered: (u64, Covered),
    /// `{"ts":…,"level":…,"logger":…`, or nothing.
    line: Buffer,
}

/// Does a call natively, if nothing stands in the way.
#[inline]
pub(super) fn log<'py>(
    world: &'static World,
    arguments: Arguments<'_, 'py>,
    method: Method<'_, 'py>,
) -> Outcome {
    let class = class_of(arguments.logger);
    if class != world.own.as_ptr().cast() && class != world.own_root.as_ptr().cast()
        || arguments.positional(method.message).is_none()
    {
        return Outcome::Standard;
    }
    match way(world, arguments, method) {
        Way::Disabled if arguments.is_plain() || !arguments.gives_twice(method.message) => {
            Outcome::Done
        }
        Way::Disabled | Way::Standard | Way::Ask(_) => Outcome::Standard,
        Way::One(handler, begun) => {
            // SAFETY: `follow` found only handlers whose class is `SpoolHandler`, which derives from it.
            let handler = unsafe { handler.cast_unchecked::<NativeHandler>() };
            match NativeHandler::direct(handler, method.level) {
                Reach::Direct(direct) => write(world, arguments, method, begun, [direct]),
                // What is wrong with a call is told even where nobody wants the record.
                Reach::Below if arguments.is_plain() => Outcome::Done,
                Reach::Below | Reach::Standard => Outcome::Standard,
            }
        }
        Way::Many(handlers, begun) => {
            let mut open: SmallVec<[Direct<'_, 'py>; 2]> = SmallVec::new();
            for handler in &handlers {
                // SAFETY: as above.
                let handler = unsafe { handler.cast_unchecked::<NativeHandler>() };
                match NativeHandler::direct(handler, method.level) {
                    Reach::Direct(direct) => open.push(direct),
                    Reach::Below => {}
                    Reach::Standard => return Outcome::Standard,
                }
            }
            write(world, arguments, method, begun, open)
        }
    }
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
    let Some(look) = world.is_ordinary(py) else {
        return Way::Standard;
    };
    let mut told = None;
    // At most: there is no plan, it does not know of the level, it does.
    for _ in 0..3 {
        let found = plan::with(py, logger.as_ptr(), look, |plan| {
            follow(world, plan, py, method, told)
        });
        match found {
            Some(Way::Ask(asked)) => match asked.answer(method.level_object) {
                Some(answer) => told = Some(answer),
                None => return Way::Standard,
            },
            Some(way) => return way,
            None => {
                if !plan::make(world, &logger, look) {
                    return Way::Standard;
                }
            }
        }
    }
    Way::Standard
}

/// What a good plan says of a call.
#[inline]
fn follow<'py>(
    world: &World,
    plan: &plan::Plan,
    py: Python<'py>,
    method: Method<'_, 'py>,
    told: Option<(u64, bool)>,
) -> Way<'py> {
    let disabled = || {
        if plan.patched {
            Way::Standard
        } else {
            Way::Disabled
        }
    };
    if plan.disabled {
        return disabled();
    }
    if let (Some(place), Some(told)) = (method.place, told) {
        plan.remember(place, told);
    }
    let known = match method.place {
        Some(place) => plan.is_enabled(place),
        None => told.map(|(_, enabled)| enabled),
    };
    match known {
        Some(true) => {}
        Some(false) => return disabled(),
        None => return Way::Ask(plan.ask(py)),
    }
    // SAFETY: the plan is good: the lists hold these objects now.
    let hold = |address: &usize| unsafe {
        let handler = Borrowed::<PyAny>::from_ptr(py, *address as *mut ffi::PyObject);
        (class_of(handler) == world.handler.as_ptr().cast()).then(|| Held::new(handler))
    };
    let begun = || {
        let mut line = Buffer::take();
        let created = now();
        if let Some(head) = method.place.map(|place| &plan.heads[place])
            && !head.is_empty()
        {
            line.bytes.reserve(USUAL);
            line.bytes.extend_from_slice(b"{\"ts\":");
            json::write_time(&mut line.bytes, created);
            head.write(&mut line.bytes);
        }
        Begun {
            created,
            name: Held::new(plan.name.bind(py).as_any().as_borrowed()),
            covered: plan.covered.get(),
            line,
        }
    };
    match &plan.handlers[..] {
        [] => Way::Standard,
        [one] => hold(one).map_or(Way::Standard, |handler| Way::One(handler, begun())),
        many => {
            let handlers: Option<SmallVec<_>> = many.iter().map(hold).collect();
            handlers.map_or(Way::Standard, |handlers| Way::Many(handlers, begun()))
        }
    }
}

/// Writes the call's line to each of the logs.
#[inline]
fn write<'a, 'py: 'a>(
    world: &'static World,
    arguments: Arguments<'_, 'py>,
    method: Method<'_, 'py>,
    begun: Begun<'py>,
    logs: impl AsRef<[Direct<'a, 'py>]>,
) -> Outcome {
    let py = arguments.py;
    let Some(said) = arguments.read(method.message, method.exception) else {
        return Outcome::Standard;
    };
    let (Some(thread), Some(caller)) = (thread::current(py, world), Caller::find(py, world)) else {
        return Outcome::Standard;
    };
    let exc_info = said.exc_info.map(|given| exception_of(py, given));
    if matches!(exc_info, Some(None)) {
        return Outcome::Standard;
    }
    // Before the look at the extra: a span's code may run.
    let ambient = Ambient::here(py);
    if events::expected() && said.args.is_empty() && events::may_be(said.msg) {
        return Outcome::Standard;
    }
    let extra = Extra::of(said.extra);
    if extra == Extra::Refused {
        return Outcome::Standard;
    }
    let Begun {
        created,
        name,
        covered,
        mut line,
    } = begun;
    // Otherwise it has just been found.
    if line.bytes.is_empty() && plan::level_name(world, method.level_object).is_none() {
        return Outcome::Standard;
    }
    let record = CallRecord {
        world,
        created,
        level_object: method.level_object,
        name,
        said,
        exc_info: exc_info.flatten(),
        thread,
        caller,
        extra,
        ambient,
    };
    let logs = logs.as_ref();
    if logs.iter().any(|direct| direct.noise().is_some()) {
        return write_quietly(&record, covered, arguments, method.level, line, logs);
    }
    for direct in logs {
        direct.encoder().encode_call(&record, &mut line.bytes);
        if let Err(raised) = direct.append(&mut line.bytes, method.level) {
            return Outcome::Raised(raised);
        }
        // A next one begins anew.
        line.bytes.clear();
    }
    count(&FAST);
    Outcome::Done
}

/// The same where a log samples or collapses: apart, so that others do not pay for it.
#[inline(never)]
fn write_quietly(
    record: &CallRecord<'_, '_>,
    covered: (u64, Covered),
    arguments: Arguments<'_, '_>,
    level: i64,
    mut line: Buffer,
    logs: &[Direct<'_, '_>],
) -> Outcome {
    let mut decisions = Decisions::default();
    for direct in logs {
        if let Some(noise) = direct.noise()
            && !keeps(noise, covered, record, arguments, level, &mut decisions)
        {
            continue;
        }
        direct.encoder().encode_call(record, &mut line.bytes);
        if let Err(raised) = direct.append_unless_repeated(&mut line.bytes, level) {
            return Outcome::Raised(raised);
        }
        line.bytes.clear();
    }
    count(&FAST);
    Outcome::Done
}

/// Whether a log keeps the record: what covers the logger is as its plan knows, or found and noted there.
fn keeps(
    noise: &LogNoise,
    (of, known): (u64, Covered),
    record: &CallRecord<'_, '_>,
    arguments: Arguments<'_, '_>,
    level: i64,
    decisions: &mut Decisions,
) -> bool {
    let Some(rules) = noise.rules().filter(|_| level < WARNING) else {
        return true;
    };
    let covered = if of == rules.id() {
        known
    } else {
        let name = utf8(record.name.as_borrowed()).and_then(|name| std::str::from_utf8(name).ok());
        let found = name.map_or_else(Covered::default, |name| rules.find(name));
        plan::note_covered(arguments.py, arguments.logger.as_ptr(), (rules.id(), found));
        found
    };
    let Some(place) = covered.rule(level) else {
        return true;
    };
    noise.keeps(decisions, place, record.created)
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
pub(in crate::python) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs().cast_signed() * 1_000_000 + i64::from(since.subsec_micros())
}
