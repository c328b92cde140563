//! Where records are logged, as finished JSON: `,"src":{…}` by call site.
//!
//! A call site logs again and again with the same two `str` objects and line. As in `super::fragments`, the table holds a
//! reference to both, so that equal pointers prove equal text.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

use super::attach::AttachedCell;
use super::encode::class_of;

const SITES: usize = 128;
/// Longer ones are not kept.
const ROOM: usize = 1024;

/// Path, function and line.
type Site = (Py<PyAny>, Py<PyAny>, i64);

struct Entry {
    site: Option<Site>,
    /// The limit of characters it was written with: another may cut it elsewhere.
    limit: usize,
    json: Vec<u8>,
}

static TABLE: AttachedCell<[Entry; SITES]> = AttachedCell::new(
    [const {
        Entry {
            site: None,
            limit: 0,
            json: Vec::new(),
        }
    }; SITES],
);

#[inline]
fn place_of(path: *mut ffi::PyObject, function: *mut ffi::PyObject, line: i64) -> usize {
    let addresses = (path as usize >> 4) ^ (function as usize >> 5);
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // Only to spread.
    let spread = addresses.wrapping_add((line as usize).wrapping_mul(0x9e37));
    (spread ^ (spread >> 7)) % SITES
}

/// Appends what was remembered for a call site; `false`, with nothing written, if there is nothing.
#[inline]
pub(super) fn write(
    out: &mut Vec<u8>,
    path: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
    line: i64,
    limit: usize,
) -> bool {
    let place = place_of(path.as_ptr(), function.as_ptr(), line);
    TABLE.with(path.py(), |table| {
        let entry = &table[place];
        let known = entry.site.as_ref().is_some_and(|site| {
            site.0.as_ptr() == path.as_ptr()
                && site.1.as_ptr() == function.as_ptr()
                && site.2 == line
        });
        if !known || entry.limit != limit {
            return false;
        }
        out.extend_from_slice(&entry.json);
        true
    })
}

/// Remembers what was written for a call site, if path and function are of exactly class `str`.
#[cold]
pub(super) fn remember(
    path: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
    line: i64,
    limit: usize,
    json: &[u8],
) {
    let text =
        |object: &Bound<'_, PyAny>| class_of(object.as_borrowed()) == &raw mut ffi::PyUnicode_Type;
    if json.len() > ROOM || !text(path) || !text(function) {
        return;
    }
    let place = place_of(path.as_ptr(), function.as_ptr(), line);
    let site = (path.clone().unbind(), function.clone().unbind(), line);
    let old = TABLE.with(path.py(), |table| {
        let entry = &mut table[place];
        entry.limit = limit;
        entry.json.clear();
        entry.json.extend_from_slice(json);
        entry.site.replace(site)
    });
    // Not within `with`: this may free the texts.
    drop(old);
}
