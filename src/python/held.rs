//! References taken and given back without a call.
//!
//! Under abi3, pyo3 counts references by calling the interpreter: some seventy calls for a record with ten fields. The count's
//! place is part of the stable ABI of the Pythons it began with (3.10's own headers count in place), and later ones keep
//! extensions that do so working. What they added is respected here: only the lower half is touched (3.14 keeps flags in the
//! upper), and one with its highest bit set marks an immortal object (3.12) and is left alone. Elsewhere than on 64-bit little-endian machines, the interpreter is called.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;

use pyo3::ffi;
use pyo3::prelude::*;

/// An owned reference, as [`Bound`], which it gives access to.
pub(super) struct Held<'py>(ManuallyDrop<Bound<'py, PyAny>>);

/// Whether counts are changed in place. (There is no abi3 with free threading in these versions, so no other layout.)
const IN_PLACE: bool = cfg!(all(target_pointer_width = "64", target_endian = "little"));

/// From here on a count's lower half marks an immortal object.
const IMMORTAL: u32 = 1 << 31;

impl<'py> Held<'py> {
    /// Takes a reference.
    #[inline]
    pub(super) fn new(object: Borrowed<'_, 'py, PyAny>) -> Self {
        if !IN_PLACE {
            return Self(ManuallyDrop::new(object.to_owned()));
        }
        // SAFETY: a live object and an attached thread; the lower half of its count is the first word on such machines
        // (module docs). What is counted here is what the `Bound` stands for.
        unsafe {
            let count = object.as_ptr().cast::<u32>();
            if *count < IMMORTAL {
                *count += 1;
            }
            Self(ManuallyDrop::new(Bound::from_owned_ptr(
                object.py(),
                object.as_ptr(),
            )))
        }
    }
}

impl Held<'_> {
    /// Another reference to the same object.
    #[inline]
    pub(super) fn share(&self) -> Self {
        Self::new(self.0.as_borrowed())
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if !IN_PLACE {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.0) };
            return;
        }
        // SAFETY: as in `new`; this reference is given back once, here. The last one is left to the interpreter.
        unsafe {
            let count = self.0.as_ptr().cast::<u32>();
            match *count {
                IMMORTAL.. => {}
                2.. => *count -= 1,
                _ => ffi::Py_DecRef(self.0.as_ptr()),
            }
        }
    }
}

impl<'py> Deref for Held<'py> {
    type Target = Bound<'py, PyAny>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'py> From<Bound<'py, PyAny>> for Held<'py> {
    fn from(owned: Bound<'py, PyAny>) -> Self {
        Self(ManuallyDrop::new(owned))
    }
}
