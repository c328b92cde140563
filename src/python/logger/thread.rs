//! The name of the thread that logs, as `threading.current_thread().name` gives it.
//!
//! A thread's object is found once by the thread; its name is looked up each time, as it can be changed.
#![allow(unsafe_code)]

use std::cell::RefCell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::world::World;
use crate::fork;
use crate::python::held::Held;

struct Known {
    ident: Py<PyAny>,
    thread: Py<PyAny>,
    attributes: Py<PyDict>,
    forks: u64,
}

thread_local!(static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) });

/// The name. `None` where the thread is not known to `threading` yet, or is of a class that finds its name otherwise.
#[inline]
pub(super) fn name<'py>(py: Python<'py>, world: &World) -> Option<Held<'py>> {
    let known = KNOWN.with_borrow(|known| {
        let known = known
            .as_ref()
            .filter(|known| known.forks == fork::forks())?;
        // SAFETY: live dicts; keys whose hash needs no code; borrowed references, the name held at once.
        unsafe {
            let thread = ffi::PyDict_GetItemWithError(world.threads.as_ptr(), known.ident.as_ptr());
            if thread != known.thread.as_ptr() {
                return None;
            }
            let name = ffi::PyDict_GetItemWithError(
                known.attributes.as_ptr(),
                intern!(py, "_name").as_ptr(),
            );
            Borrowed::from_ptr_or_opt(py, name).map(Held::new)
        }
    });
    known.or_else(|| learn(py, world))
}

#[cold]
fn learn<'py>(py: Python<'py>, world: &World) -> Option<Held<'py>> {
    let threading = py.import("threading").ok()?;
    let ident = threading.call_method0("get_ident").ok()?;
    let thread = world.threads.bind(py).get_item(&ident).ok()??;
    let class = thread.get_type();
    let usual = threading
        .getattr("Thread")
        .ok()?
        .cast_into::<PyType>()
        .ok()?;
    if !class.getattr("name").ok()?.is(&usual.getattr("name").ok()?) {
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
    let name = attributes.get_item(intern!(py, "_name")).ok()??;
    if !name.is_exact_instance_of::<PyString>() {
        return None;
    }
    let known = Known {
        ident: ident.unbind(),
        thread: thread.unbind(),
        attributes: attributes.unbind(),
        forks: fork::forks(),
    };
    let old = KNOWN.replace(Some(known));
    drop(old);
    Some(Held::from(name))
}
