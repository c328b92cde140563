//! A value that a name beside it says is secret: `{"name": "password", "value": "…"}`, as HTTP archives, environments and tags have them.
//!
//! A key `value` has a mark of its own, so that only an object that has one is asked what it calls its value.
#![allow(unsafe_code)]

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::encode::{Encoder, Nest, class_of};
use super::text::utf8;
use super::verdict::Mark;

/// Whether a key may hold what another one names.
pub(super) fn is_value(key: &[u8]) -> bool {
    key.eq_ignore_ascii_case(b"value") || key.eq_ignore_ascii_case(b"val")
}

/// Whether a key may hold a name.
fn is_name(key: &[u8]) -> bool {
    key.eq_ignore_ascii_case(b"name") || key.eq_ignore_ascii_case(b"key")
}

impl<'py> Encoder<'py> {
    /// The verdict on the value under a key with [`Mark::BESIDE`], in the dict that is being written.
    #[cold]
    pub(super) fn mark_within(&self, nest: &Nest<'_>) -> Mark {
        // SAFETY: who writes an object keeps it alive until it is written; or null.
        let innermost = unsafe { Borrowed::from_ptr_or_opt(self.py, nest.innermost()) };
        match innermost.as_ref().map(|object| object.cast::<PyDict>()) {
            Some(Ok(dict)) => self.mark_beside(dict.as_borrowed()),
            _ => Mark::BESIDE,
        }
    }

    /// The same in a dict.
    pub(super) fn mark_beside(&self, dict: Borrowed<'_, 'py, PyDict>) -> Mark {
        self.mark_named(|name| self.ok(dict.get_item(name))?)
    }

    /// The same, where `of` gives what stands under a name.
    #[cold]
    pub(super) fn mark_named(
        &self,
        of: impl Fn(&Bound<'py, PyString>) -> Option<Bound<'py, PyAny>>,
    ) -> Mark {
        let py = self.py;
        [
            intern!(py, "name"),
            intern!(py, "key"),
            intern!(py, "Name"),
            intern!(py, "Key"),
        ]
        .into_iter()
        .filter_map(of)
        .find_map(|name| self.mark_said(name.as_borrowed()))
        .unwrap_or(Mark::BESIDE)
    }

    /// The same among items, of a record or an object.
    #[cold]
    pub(super) fn mark_among<'a>(
        &self,
        items: impl Iterator<Item = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>)>,
    ) -> Mark
    where
        'py: 'a,
    {
        items
            .filter(|(key, _)| {
                class_of(*key) == &raw mut pyo3::ffi::PyUnicode_Type
                    && utf8(*key).is_some_and(is_name)
            })
            .find_map(|(_, name)| self.mark_said(name))
            .unwrap_or(Mark::BESIDE)
    }

    /// The verdict on what a name says, if that is a secret's.
    fn mark_said(&self, name: Borrowed<'_, 'py, PyAny>) -> Option<Mark> {
        let mark = self.mark_of_name(name)?;
        self.verdicts.is_secret(mark).then_some(mark)
    }
}
