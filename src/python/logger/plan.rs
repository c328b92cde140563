//! Where the records of one logger go: found once by the standard library's rules, and good as long as nothing on the way changed.
//!
//! The dicts of the logger and its ancestors are watched by version ([`Watch`]), the lists of handlers and filters, which are changed
//! in place, by what they hold. A handler is known by its address in the list, which keeps it alive; its class is asked again.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};
use smallvec::SmallVec;

use super::marks::Watch;
use super::world::World;
use crate::python::attach::AttachedCell;

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
            let size = ffi::PyList_Size(self.list.as_ptr());
            size.unsigned_abs() == self.items.len()
                && (0..size)
                    .zip(&self.items)
                    .all(|(at, item)| ffi::PyList_GetItem(self.list.as_ptr(), at) as usize == *item)
        }
    }
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
    pub(super) enabled: Py<PyDict>,
    /// Addresses of the handlers reached, in order; none where a call has to go the standard way.
    pub(super) handlers: SmallVec<[usize; 2]>,
}

impl Plan {
    #[inline]
    fn is_good(&self) -> bool {
        self.watches.iter().all(Watch::is_unchanged)
            && self.members.iter().all(Members::is_unchanged)
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

/// Spreads addresses.
#[derive(Default)]
struct Addresses(u64);

impl Hasher for Addresses {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type Table = HashMap<usize, Box<Plan>, BuildHasherDefault<Addresses>>;

static PLANS: AttachedCell<Option<Table>> = AttachedCell::new(None);

/// What `look` makes of the logger's plan; `None` if there is none that is good.
#[inline]
pub(super) fn with<R>(
    py: Python<'_>,
    logger: *mut ffi::PyObject,
    look: impl FnOnce(&Plan) -> R,
) -> Option<R> {
    PLANS.with(py, |table| {
        let plan = table.as_ref()?.get(&(logger as usize))?;
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
    let address = logger.as_ptr() as usize;
    let old = PLANS.with(py, |table| {
        table
            .get_or_insert_default()
            .insert(address, Box::new(plan))
    });
    // Not within `with`: this drops references.
    drop(old);
    Ok(true)
}

/// Forgets every plan.
pub(super) fn clear(py: Python<'_>) {
    let old = PLANS.with(py, Option::take);
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
        let table = table.as_mut()?;
        let address = table
            .iter()
            .find(|(_, plan)| plan.weak.as_ptr() == weak.as_ptr())
            .map(|(address, _)| *address)?;
        table.remove(&address)
    });
    drop(old);
}
