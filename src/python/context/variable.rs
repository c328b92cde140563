//! Reading a `contextvars.ContextVar` without a call of a Python method.
//!
//! `PyContextVar_Get` is not in the stable ABI, though every `CPython` from 3.7 on exports it: it is looked up by name when the module is
//! loaded, and where it is missing, the variable's own `get` is called.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::python::held::Held;

/// `PyContextVar_Get`, null where there is none.
static GET: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

type Get =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject, *mut *mut ffi::PyObject) -> c_int;

/// Looks for the interpreter's function.
pub(super) fn find_reader() {
    // SAFETY: a constant name; the interpreter's symbols are the process'.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"PyContextVar_Get".as_ptr()) };
    GET.store(found, Ordering::Relaxed);
}

/// What the variable holds here: `None` where that is nothing, or Python's `None`.
#[inline]
pub(super) fn read<'py>(variable: Borrowed<'_, 'py, PyAny>) -> Option<Held<'py>> {
    let get = GET.load(Ordering::Relaxed);
    if get.is_null() {
        return ask(variable);
    }
    let mut value = ptr::null_mut();
    // SAFETY: the function of that name has had this signature since 3.7.1; it checks the class of the variable, and gives a new
    // reference or null.
    let value = unsafe {
        let get: Get = std::mem::transmute::<*mut c_void, Get>(get);
        if get(variable.as_ptr(), ptr::null_mut(), &raw mut value) < 0 {
            ffi::PyErr_Clear();
            return None;
        }
        Bound::from_owned_ptr_or_opt(variable.py(), value).map(Held::from)
    };
    value.filter(|value| !value.is_none())
}

/// By the method: a variable that was never set and has no default raises.
#[cold]
fn ask<'py>(variable: Borrowed<'_, 'py, PyAny>) -> Option<Held<'py>> {
    let py = variable.py();
    Python::attach(|_| {
        let value = variable.call_method1(intern!(py, "get"), (py.None(),));
        value.ok().filter(|value| !value.is_none()).map(Held::from)
    })
}
