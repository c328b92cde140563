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
use crate::python::encode::class_of;
use crate::python::held::Held;
use crate::python::text::utf8;

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

/// What is known of a logger and a level.
#[derive(Clone, Copy)]
struct Known {
    /// Version of `_cache`, and the look at the world, of which it is.
    version: u64,
    look: u32,
    enabled: bool,
    /// `,"level":…,"logger":…`, or empty.
    head: Piece<ROOM>,
}

/// What is known of a logger.
pub(super) struct Plan {
    /// Tells when the logger goes.
    weak: Py<PyAny>,
    watches: SmallVec<[Watch; 4]>,
    members: SmallVec<[Members; 4]>,
    /// `logger.disabled`.
    pub(super) disabled: bool,
    /// `logger.name`.
    pub(super) name: Py<PyString>,
    /// `logger._cache`: level to whether it is enabled.
    enabled: Py<PyDict>,
    /// What was found there for the levels that have a method.
    levels: [Cell<Known>; LEVELS],
    /// Addresses of the handlers reached, in order; none where a call has to go the standard way.
    pub(super) handlers: SmallVec<[usize; 2]>,
}

impl Plan {
    #[inline]
    fn is_good(&self) -> bool {
        self.watches.iter().all(Watch::is_unchanged)
            && self.members.iter().all(Members::is_unchanged)
    }

    /// Whether a level is enabled, as `isEnabledFor` found before, and the beginning of its lines. `None` if it has not.
    ///
    /// `place`: of the level among those with a method; `look`: of the world.
    #[inline]
    pub(super) fn level(
        &self,
        world: &World,
        level: Borrowed<'_, '_, PyAny>,
        place: Option<usize>,
        look: u32,
    ) -> Option<(bool, Piece<ROOM>)> {
        let Some(place) = place else {
            return self
                .is_enabled(level)
                .map(|enabled| (enabled, Piece::EMPTY));
        };
        let version = dict_version(self.enabled.as_ptr());
        let known = self.levels[place].get();
        if known.version == version && known.look == look {
            return Some((known.enabled, known.head));
        }
        self.learn(world, level, place, look)
    }

    #[cold]
    fn learn(
        &self,
        world: &World,
        level: Borrowed<'_, '_, PyAny>,
        place: usize,
        look: u32,
    ) -> Option<(bool, Piece<ROOM>)> {
        let enabled = self.is_enabled(level)?;
        let name = level_name(world, level);
        let texts = name
            .as_ref()
            .and_then(|name| utf8(name.as_borrowed()))
            .zip(utf8(self.name.bind(level.py()).as_any().as_borrowed()));
        let head = texts.map_or(Piece::EMPTY, |(level, name)| {
            let mut line = b",\"level\":".to_vec();
            json::write_quoted(&mut line, level);
            line.extend_from_slice(b",\"logger\":");
            json::write_quoted(&mut line, name);
            Piece::new(&line)
        });
        self.levels[place].set(Known {
            version: dict_version(self.enabled.as_ptr()),
            look,
            enabled,
            head,
        });
        Some((enabled, head))
    }

    fn is_enabled(&self, level: Borrowed<'_, '_, PyAny>) -> Option<bool> {
        // SAFETY: a live dict and an int: its hash needs no code. A borrowed reference or null; immortal objects.
        unsafe {
            let enabled = ffi::PyDict_GetItemWithError(self.enabled.as_ptr(), level.as_ptr());
            if enabled == ffi::Py_True() {
                Some(true)
            } else {
                (enabled == ffi::Py_False()).then_some(false)
            }
        }
    }

    /// Follows the standard library's rules from a logger up. `None` for what they do not cover: attributes of other types.
    fn find(world: &World, logger: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = logger.py();
        let Some(own) = attributes(logger)? else {
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
            watches: SmallVec::new(),
            members: SmallVec::new(),
            disabled,
            name: name.unbind(),
            enabled: enabled.unbind(),
            levels: [const {
                Cell::new(Known {
                    version: 0,
                    look: 0,
                    enabled: false,
                    head: Piece::EMPTY,
                })
            }; LEVELS],
            handlers: SmallVec::new(),
        };
        let mut standard = filters.is_empty();
        for name in &world.sensitive {
            standard &= !own.contains(name.bind(py))?;
        }
        plan.members.push(Members::of(&filters));
        let names = [
            intern!(py, "disabled"),
            intern!(py, "name"),
            intern!(py, "_cache"),
            intern!(py, "filters"),
            intern!(py, "handlers"),
            intern!(py, "propagate"),
            intern!(py, "parent"),
        ];
        let mut above = Some(logger.clone());
        while let Some(here) = above {
            let Some(own) = attributes(&here)? else {
                return Ok(None);
            };
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
            plan.watches.push(Watch::new(world.marks, &own, &names)?);
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

/// `logging.getLevelName(level)`, for a level that has a name.
#[inline]
pub(super) fn level_name<'py>(world: &World, level: Borrowed<'_, 'py, PyAny>) -> Option<Held<'py>> {
    // SAFETY: as in `is_enabled`; held at once.
    unsafe {
        let name = ffi::PyDict_GetItemWithError(world.level_names.as_ptr(), level.as_ptr());
        let name = Borrowed::<PyAny>::from_ptr_or_opt(level.py(), name)?;
        (class_of(name) == &raw mut ffi::PyUnicode_Type).then(|| Held::new(name))
    }
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

/// What `look` makes of the logger's plan; `None` if there is none that is good.
#[inline]
pub(super) fn with<R>(
    py: Python<'_>,
    logger: *mut ffi::PyObject,
    look: impl FnOnce(&Plan) -> R,
) -> Option<R> {
    let logger = logger as usize;
    PLANS.with(py, |table| {
        let entry = table[set_of(logger)]
            .iter()
            .find(|entry| entry.logger == logger)?;
        let plan = entry.plan.as_ref()?;
        plan.is_good().then(|| look(plan))
    })
}

/// Makes a plan. False if the logger is one that no plan can be made for.
#[cold]
pub(super) fn make(world: &World, logger: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = logger.py();
    let Some(mut plan) = Plan::find(world, logger)? else {
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
