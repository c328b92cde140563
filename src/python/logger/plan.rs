//! Where the records of one logger go: found once by the standard library's rules, and good as long as nothing on the way changed.
//!
//! The dicts of the logger and its ancestors are watched by version ([`Watch`]), the lists of handlers and filters, which are changed
//! in place, by what they hold. A handler is known by its address in the list, which keeps it alive; its class is asked again.
#![allow(unsafe_code)]

use std::cell::Cell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};
use smallvec::SmallVec;

use super::marks::{Watch, dict_version};
use super::piece::Piece;
use super::world::World;
use crate::json;
use crate::python::attach::AttachedCell;
use crate::python::held::Held;
use crate::python::text::utf8;
use crate::sample::Covered;

/// Ancestors, and handlers of one logger, beyond which calls go the standard way.
const MANY: usize = 32;

/// A list, and what it held.
struct Members {
    list: Py<PyList>,
    items: SmallVec<[usize; 2]>,
}

impl Members {
    fn of(list: &Bound<'_, PyList>) -> Self {
        Self {
            list: list.clone().unbind(),
            items: list.iter().map(|item| item.as_ptr() as usize).collect(),
        }
    }

    #[inline]
    fn is_unchanged(&self) -> bool {
        // SAFETY: a live list and indices in range.
        unsafe {
            let size = ffi::Py_SIZE(self.list.as_ptr());
            size.unsigned_abs() == self.items.len()
                && (0..size)
                    .zip(&self.items)
                    .all(|(at, item)| ffi::PyList_GetItem(self.list.as_ptr(), at) as usize == *item)
        }
    }
}

/// Levels that have a method.
pub(super) const LEVELS: usize = 5;
/// Bytes of `,"level":…,"logger":…` that are kept whole.
pub(super) const ROOM: usize = 80;

/// What is known of a logger.
pub(super) struct Plan {
    /// Tells when the logger goes.
    weak: Py<PyAny>,
    watches: SmallVec<[Watch; 4]>,
    members: SmallVec<[Members; 4]>,
    /// `logger.disabled`.
    pub(super) disabled: bool,
    /// Whether something in the logger's `__dict__` stands in a method's place: it may want to know also of what is not enabled.
    pub(super) patched: bool,
    /// `logger.name`.
    pub(super) name: Py<PyString>,
    /// `logger._cache`: level to whether it is enabled.
    enabled: Py<PyDict>,
    /// What was found there for the levels that have a method, and the version it was found in.
    levels: [Cell<(u64, bool)>; LEVELS],
    /// `,"level":…,"logger":…` for each of them, or empty.
    pub(super) heads: [Piece<ROOM>; LEVELS],
    /// The look at the world that the heads are of.
    look: u32,
    /// Which of a log's sampling rules cover the logger, by the number of these rules: the last that were asked.
    pub(super) covered: Cell<(u64, Covered)>,
    /// Addresses of the handlers reached, in order; none where a call has to go the standard way.
    pub(super) handlers: SmallVec<[usize; 2]>,
}

impl Plan {
    #[inline]
    fn is_good(&self) -> bool {
        self.watches.iter().all(Watch::is_unchanged)
            && self.members.iter().all(Members::is_unchanged)
    }

    /// Whether a level that has a method is enabled, if that is known.
    #[inline]
    pub(super) fn is_enabled(&self, place: usize) -> Option<bool> {
        let (version, enabled) = self.levels[place].get();
        (version == dict_version(self.enabled.as_ptr())).then_some(enabled)
    }

    /// Whom to ask: [`Asked::answer`].
    pub(super) fn ask<'py>(&self, py: Python<'py>) -> Asked<'py> {
        Asked(Held::new(self.enabled.bind(py).as_any().as_borrowed()))
    }

    /// Remembers what was answered.
    pub(super) fn remember(&self, place: usize, (version, enabled): (u64, bool)) {
        self.levels[place].set((version, enabled));
    }

    /// Follows the standard library's rules from a logger up. `None` for what they do not cover: attributes of other types.
    fn find(world: &World, logger: &Bound<'_, PyAny>, look: u32) -> PyResult<Option<Self>> {
        let py = logger.py();
        let Some(own) = attributes(logger)? else {
            return Ok(None);
        };
        // Before anything is read: what changes from here on shows. Of the logger itself anything may matter: what stands in a method's
        // place does.
        let Some(watch) = Watch::new(world.marks, &own, &[]) else {
            return Ok(None);
        };
        let (Some(disabled), Some(name), Some(enabled), Some(filters)) = (
            boolean(&own, intern!(py, "disabled"))?,
            own.get_item(intern!(py, "name"))?
                .and_then(|name| name.cast_into_exact::<PyString>().ok()),
            own.get_item(intern!(py, "_cache"))?
                .and_then(|cache| cache.cast_into_exact::<PyDict>().ok()),
            list(&own, intern!(py, "filters"))?,
        ) else {
            return Ok(None);
        };
        let mut plan = Self {
            weak: py.None(),
            watches: SmallVec::from_iter([watch]),
            members: SmallVec::new(),
            disabled,
            patched: false,
            name: name.unbind(),
            enabled: enabled.unbind(),
            levels: [const { Cell::new((0, false)) }; LEVELS],
            heads: heads(world, &own)?,
            look,
            covered: Cell::default(),
            handlers: SmallVec::new(),
        };
        let mut standard = filters.is_empty();
        for name in &world.sensitive {
            plan.patched |= own.contains(name.bind(py))?;
        }
        standard &= !plan.patched;
        plan.members.push(Members::of(&filters));
        let inherited = [
            intern!(py, "handlers"),
            intern!(py, "propagate"),
            intern!(py, "parent"),
        ];
        let mut above = Some(logger.clone());
        while let Some(here) = above {
            let Some(own) = attributes(&here)? else {
                return Ok(None);
            };
            if !here.is(logger) {
                let Some(watch) = Watch::new(world.marks, &own, &inherited) else {
                    return Ok(None);
                };
                plan.watches.push(watch);
            }
            let (Some(handlers), Some(propagate)) = (
                list(&own, intern!(py, "handlers"))?,
                boolean(&own, intern!(py, "propagate"))?,
            ) else {
                return Ok(None);
            };
            standard &= is_plain_logger(world, &here)?;
            for handler in &handlers {
                standard &= handler.get_type().is(&world.handler);
                plan.handlers.push(handler.as_ptr() as usize);
            }
            plan.members.push(Members::of(&handlers));
            above = if propagate {
                own.get_item(intern!(py, "parent"))?
                    .filter(|parent| !parent.is_none())
            } else {
                None
            };
            if plan.watches.len() > MANY || plan.handlers.len() > MANY {
                return Ok(None);
            }
        }
        if !standard {
            plan.handlers.clear();
        }
        Ok(Some(plan))
    }
}

/// A logger's `_cache`, to be asked where code may run: its keys are what the program used as levels.
pub(super) struct Asked<'py>(Held<'py>);

impl Asked<'_> {
    /// Whether a level is enabled, as `isEnabledFor` found before, and the version that is of.
    pub(super) fn answer(&self, level: Borrowed<'_, '_, PyAny>) -> Option<(u64, bool)> {
        let version = dict_version(self.0.as_ptr());
        let cache = self.0.cast_exact::<PyDict>().ok()?;
        // Errors are freed by whoever is attached in pyo3's eyes.
        let enabled = Python::attach(|_| cache.get_item(level).ok().flatten())?;
        let enabled = enabled.cast_exact::<PyBool>().ok()?.is_true();
        Some((version, enabled))
    }
}

/// The beginnings of lines, by level. They are made beforehand: reading text that is no UTF-8 raises, and so may run code.
fn heads(world: &World, own: &Bound<'_, PyDict>) -> PyResult<[Piece<ROOM>; LEVELS]> {
    let py = own.py();
    let mut heads = [Piece::EMPTY; LEVELS];
    let name = own.get_item(intern!(py, "name"))?;
    for (head, level) in heads.iter_mut().zip([10, 20, 30, 40, 50]) {
        let level = world.level_names.bind(py).get_item(level)?;
        let texts = [level.as_ref(), name.as_ref()].map(|text| {
            text.filter(|text| text.is_exact_instance_of::<PyString>())
                .and_then(|text| utf8(text.as_borrowed()))
        });
        if let [Some(level), Some(name)] = texts {
            let mut line = b",\"level\":".to_vec();
            json::write_quoted(&mut line, level);
            line.extend_from_slice(b",\"logger\":");
            json::write_quoted(&mut line, name);
            *head = Piece::new(&line);
        }
    }
    Ok(heads)
}

/// `logging.getLevelName(level)`, for a level that has a name.
pub(super) fn level_name<'py>(
    world: &World,
    level: Borrowed<'_, 'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    let name = world.level_names.bind(level.py()).get_item(level).ok()??;
    name.is_exact_instance_of::<PyString>().then_some(name)
}

/// The attributes of an object, where that is a dict of its own.
fn attributes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    // SAFETY: a live object; a new reference or null with an error comes back.
    let dict = unsafe {
        Bound::from_owned_ptr_or_err(
            object.py(),
            ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()),
        )?
    };
    Ok(dict.cast_into_exact::<PyDict>().ok())
}

fn boolean(dict: &Bound<'_, PyDict>, name: &Bound<'_, PyString>) -> PyResult<Option<bool>> {
    let Some(value) = dict.get_item(name)? else {
        return Ok(None);
    };
    if let Ok(value) = value.cast_exact::<PyBool>() {
        return Ok(Some(value.is_true()));
    }
    // 0 and 1 are usual, too.
    value
        .cast_exact::<pyo3::types::PyInt>()
        .ok()
        .map(|value| value.is_truthy())
        .transpose()
}

fn list<'py>(
    dict: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    Ok(dict
        .get_item(name)?
        .and_then(|list| list.cast_into_exact::<PyList>().ok()))
}

/// Whether what a record passes on its way up is an ordinary logger: no property in the place of its attributes.
fn is_plain_logger(world: &World, logger: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = logger.py();
    let class = logger.get_type();
    if [&world.own, &world.own_root, &world.logger, &world.root]
        .iter()
        .any(|known| class.is(*known))
    {
        return Ok(true);
    }
    for name in [
        intern!(py, "handlers"),
        intern!(py, "propagate"),
        intern!(py, "parent"),
    ] {
        if class.getattr_opt(name)?.is_some() {
            return Ok(false);
        }
    }
    class.is_subclass(world.logger.bind(py))
}

const SETS: usize = 512;
/// Two to a set: loggers that share one do not push each other out.
const WAYS: usize = 2;

struct Entry {
    logger: usize,
    plan: Option<Box<Plan>>,
}

static PLANS: AttachedCell<[[Entry; WAYS]; SETS]> = AttachedCell::new(
    [const {
        [const {
            Entry {
                logger: 0,
                plan: None,
            }
        }; WAYS]
    }; SETS],
);

#[inline]
fn set_of(logger: usize) -> usize {
    ((logger >> 4) ^ (logger >> 13)) % SETS
}

/// What `follow` makes of the logger's plan, during which no code may run; `None` if there is none that is good.
#[inline]
pub(super) fn with<R>(
    py: Python<'_>,
    logger: *mut ffi::PyObject,
    look: u32,
    follow: impl FnOnce(&Plan) -> R,
) -> Option<R> {
    let logger = logger as usize;
    PLANS.with(py, |table| {
        let entry = table[set_of(logger)]
            .iter()
            .find(|entry| entry.logger == logger)?;
        let plan = entry.plan.as_ref()?;
        (plan.look == look && plan.is_good()).then(|| follow(plan))
    })
}

/// Notes in the logger's plan which rules cover it.
pub(super) fn note_covered(py: Python<'_>, logger: *mut ffi::PyObject, covered: (u64, Covered)) {
    let logger = logger as usize;
    PLANS.with(py, |table| {
        let entry = table[set_of(logger)]
            .iter()
            .find(|entry| entry.logger == logger);
        if let Some(plan) = entry.and_then(|entry| entry.plan.as_ref()) {
            plan.covered.set(covered);
        }
    });
}

/// Makes a plan. False if the logger is one that no plan can be made for.
#[cold]
pub(super) fn make(world: &World, logger: &Bound<'_, PyAny>, look: u32) -> bool {
    // Attached in pyo3's eyes, too: what is dropped here is freed here.
    Python::attach(|_| try_make(world, logger, look).unwrap_or(false))
}

fn try_make(world: &World, logger: &Bound<'_, PyAny>, look: u32) -> PyResult<bool> {
    let py = logger.py();
    let Some(mut plan) = Plan::find(world, logger, look)? else {
        return Ok(false);
    };
    plan.weak = weak_reference(logger)?;
    let logger = logger.as_ptr() as usize;
    let old = PLANS.with(py, |table| {
        let [first, second] = &mut table[set_of(logger)];
        let entry = Entry {
            logger,
            plan: Some(Box::new(plan)),
        };
        if first.logger == logger {
            return std::mem::replace(first, entry);
        }
        if second.logger == logger {
            return std::mem::replace(second, entry);
        }
        std::mem::replace(second, std::mem::replace(first, entry))
    });
    // Not within `with`: this drops references.
    drop(old);
    Ok(true)
}

/// Forgets every plan.
pub(super) fn clear(py: Python<'_>) {
    let old: Vec<_> = PLANS.with(py, |table| {
        table
            .iter_mut()
            .flatten()
            .map(|entry| {
                entry.logger = 0;
                entry.plan.take()
            })
            .collect()
    });
    drop(old);
}

/// A weak reference whose end takes the plan along: another logger may come to stand at the address.
fn weak_reference(logger: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = logger.py();
    let forget = pyo3::wrap_pyfunction!(forget, py)?;
    // SAFETY: live objects; a new reference or null with an error comes back.
    let weak = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyWeakref_NewRef(logger.as_ptr(), forget.as_ptr()))?
    };
    Ok(weak.unbind())
}

#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // What Python calls.
fn forget(weak: Bound<'_, PyAny>) {
    let old = PLANS.with(weak.py(), |table| {
        let entry = table.iter_mut().flatten().find(|entry| {
            entry
                .plan
                .as_ref()
                .is_some_and(|plan| plan.weak.as_ptr() == weak.as_ptr())
        })?;
        entry.logger = 0;
        entry.plan.take()
    });
    drop(old);
}
