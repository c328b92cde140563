//! The thread that logs: its name as `threading.current_thread().name` gives it, and the process.
//!
//! What was found is good as long as `threading._active` and the thread object's attributes are what they were ([`super::marks`]).
#![allow(unsafe_code)]

use std::cell::RefCell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::marks::dict_version;
use super::piece::Piece;
use super::world::World;
use crate::fork;
use crate::fork::pid;
use crate::json;
use crate::python::held::Held;
use crate::python::redaction::is_clean;
use crate::python::text::utf8;

/// Bytes of `,"pid":…,"thread":…` that are kept whole.
const ROOM: usize = 64;

struct Known {
    /// The key of the thread in `_active`.
    ident: Py<PyAny>,
    thread: Py<PyAny>,
    attributes: Py<PyDict>,
    name: Py<PyAny>,
    forks: u64,
    /// Versions of `_active` and of the attributes.
    versions: (u64, u64),
    piece: Piece<ROOM>,
}

/// The thread that logs.
pub(super) struct Thread<'py> {
    pub(super) name: Held<'py>,
    /// `,"pid":…,"thread":…`, or empty.
    pub(super) piece: Piece<ROOM>,
}

thread_local!(static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) });

/// The thread. `None` where it is not known to `threading` yet, or is of a class that finds its name otherwise.
#[inline]
pub(super) fn current<'py>(py: Python<'py>, world: &World) -> Option<Thread<'py>> {
    // At the very end of a thread its slot is gone.
    let known = KNOWN.try_with(|known| {
        let mut known = known.try_borrow_mut().ok()?;
        let known = known.as_mut()?;
        if known.forks != fork::forks() || !known.is_current(py, world) {
            return None;
        }
        Some(Thread {
            name: Held::new(known.name.bind(py).as_borrowed()),
            piece: known.piece,
        })
    });
    // Attached in pyo3's eyes, too: what is dropped there, and what threads left that ended, is freed.
    known
        .ok()
        .flatten()
        .or_else(|| Python::attach(|_| learn(py, world)))
}

impl Known {
    #[inline]
    fn is_current(&mut self, py: Python<'_>, world: &World) -> bool {
        let now = (
            dict_version(world.threads.as_ptr()),
            dict_version(self.attributes.as_ptr()),
        );
        if world.marks.instances && now == self.versions {
            return true;
        }
        // Another thread came or went, most often.
        // SAFETY: live dicts, keys whose hash needs no code; borrowed references that are only compared.
        let same = unsafe {
            ffi::PyDict_GetItemWithError(world.threads.as_ptr(), self.ident.as_ptr())
                == self.thread.as_ptr()
                && ffi::PyDict_GetItemWithError(
                    self.attributes.as_ptr(),
                    intern!(py, "_name").as_ptr(),
                ) == self.name.as_ptr()
        };
        if same {
            self.versions = now;
        }
        same
    }
}

#[cold]
fn learn<'py>(py: Python<'py>, world: &World) -> Option<Thread<'py>> {
    let threading = py.import("threading").ok()?;
    let ident = threading.call_method0("get_ident").ok()?;
    let threads = world.threads.bind(py);
    let active_version = dict_version(threads.as_ptr());
    // The key itself, so that the dict finds it by its address.
    let (ident, thread) = threads
        .iter()
        .find(|(known, _)| known.eq(&ident).unwrap_or(false))?;
    let usual = threading
        .getattr("Thread")
        .ok()?
        .cast_into::<PyType>()
        .ok()?;
    let named_as_usual = thread
        .get_type()
        .getattr("name")
        .ok()?
        .is(&usual.getattr("name").ok()?);
    if !named_as_usual {
        return None;
    }
    // SAFETY: a live object; a new reference or null with an error comes back.
    let attributes = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyObject_GenericGetDict(thread.as_ptr(), std::ptr::null_mut()),
        )
    };
    let attributes = attributes.ok()?.cast_into_exact::<PyDict>().ok()?;
    let attributes_version = dict_version(attributes.as_ptr());
    let name = attributes.get_item(intern!(py, "_name")).ok()??;
    if !name.is_exact_instance_of::<PyString>() {
        return None;
    }
    let piece = utf8(name.as_borrowed()).map_or(Piece::EMPTY, |text| {
        let mut line = b",\"pid\":".to_vec();
        json::write_int(&mut line, pid());
        line.extend_from_slice(b",\"thread\":");
        json::write_quoted(&mut line, text);
        if is_clean(text) {
            Piece::new(&line)
        } else {
            Piece::EMPTY
        }
    });
    let known = Known {
        ident: ident.unbind(),
        thread: thread.unbind(),
        versions: (active_version, attributes_version),
        attributes: attributes.unbind(),
        name: name.clone().unbind(),
        forks: fork::forks(),
        piece,
    };
    let old = KNOWN.try_with(|slot| {
        let mut slot = slot.try_borrow_mut().ok()?;
        slot.replace(known)
    });
    drop(old);
    Some(Thread {
        name: Held::from(name),
        piece,
    })
}
