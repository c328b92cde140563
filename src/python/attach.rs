//! The border between attached and detached: waiting without the GIL, and state that only attached threads touch.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::spool::producer::Caller;

/// A caller that lets other Python threads run while it waits, and looks at signals in between.
pub struct Attached<'py> {
    py: Python<'py>,
    /// What a signal handler raised.
    pub raised: Option<PyErr>,
}

impl<'py> Attached<'py> {
    /// The thread that runs Python code now.
    pub fn new(py: Python<'py>) -> Self {
        Self { py, raised: None }
    }

    /// That thread.
    pub fn py(&self) -> Python<'py> {
        self.py
    }
}

impl Caller for Attached<'_> {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        self.py.detach(wait);
        match self.py.check_signals() {
            Ok(()) => true,
            Err(raised) => {
                self.raised = Some(raised);
                false
            }
        }
    }
}

/// A value that only threads attached to Python touch, each for the length of one call of [`Self::with`].
#[derive(Debug, Default)]
pub struct AttachedCell<T>(UnsafeCell<T>);

// SAFETY: the extension is abi3 and so never runs without the GIL; every access proves that it is held (`Python<'_>`)
// and ends before Python code can run or the GIL can be given up (`with`'s contract, kept by its few callers).
unsafe impl<T: Send> Sync for AttachedCell<T> {}

impl<T> AttachedCell<T> {
    /// A cell holding `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Looks at or changes the value. `f` must not call into Python (not even to drop a reference) nor detach.
    #[inline]
    pub fn with<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: see `Sync`: no other access can be under way.
        f(unsafe { &mut *self.0.get() })
    }

    /// Looks at the value during a garbage collection, which runs attached but may not say so.
    pub fn while_collecting<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: as in `with`: the collector runs on an attached thread, outside of every `with`.
        f(unsafe { &*self.0.get() })
    }
}

/// Whether this thread runs in the interpreter the process began with.
pub fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: attached, as `_py` proves, so that there is a current interpreter; the main one's number is 0.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) == 0 }
}
