//! Frames as `traceback` rendered them, by code object and instruction.
//!
//! The table holds a reference to each code object, so that an equal address proves that it is the same immutable code. It is
//! of fixed size: a program that makes code again and again pushes out its own old frames, and at most so many code objects live on in here.

use std::sync::Arc;

use pyo3::prelude::*;

use super::files::File;
use crate::python::attach::AttachedCell;

const WAYS: usize = 2;
const SETS: usize = 256;
/// Longer ones are rendered each time.
const ROOM: usize = 2048;

/// Where an exception passed: code object, instruction, and line where that decides (0 elsewhere).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The address of a code object that is held by whoever asks.
    pub(super) code: usize,
    pub(super) instruction: i64,
    pub(super) line: i64,
}

impl Key {
    #[inline]
    fn set(self) -> usize {
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // Only to spread.
        let place = (self.instruction as usize).wrapping_add((self.line as usize) << 3);
        let spread = (self.code >> 5).wrapping_add(place.wrapping_mul(0x9e37));
        (spread ^ (spread >> 9)) % SETS
    }
}

/// What `traceback` compares to find repeated lines.
pub(super) struct Site {
    pub(super) file: Arc<File>,
    pub(super) function: Py<PyAny>,
    pub(super) line: i64,
}

impl Site {
    /// Whether this is the same line as another.
    pub(super) fn repeats(&self, py: Python<'_>, other: &Site) -> bool {
        let same = |one: &Py<PyAny>, other: &Py<PyAny>| {
            // Of exactly class `str`, both.
            one.is(other) || one.bind(py).eq(other).unwrap_or(false)
        };
        self.line == other.line
            && same(&self.function, &other.function)
            && same(&self.file.name, &other.file.name)
    }
}

struct Entry {
    key: Key,
    /// What keeps the address in `key` taken.
    _code: Py<PyAny>,
    site: Arc<Site>,
    text: Box<str>,
}

static TABLE: AttachedCell<[[Option<Entry>; WAYS]; SETS]> =
    AttachedCell::new([const { [const { None }; WAYS] }; SETS]);

/// Appends the text of a frame if it is known.
#[inline]
pub(super) fn copy(py: Python<'_>, key: Key, text: &mut String) -> Option<Arc<Site>> {
    TABLE.with(py, |table| {
        let entry = table[key.set()]
            .iter()
            .flatten()
            .find(|entry| entry.key == key)?;
        text.push_str(&entry.text);
        Some(Arc::clone(&entry.site))
    })
}

/// Keeps the text of a frame.
pub(super) fn keep(key: Key, code: &Bound<'_, PyAny>, site: &Arc<Site>, text: &str) {
    if text.len() > ROOM {
        return;
    }
    let entry = Some(Entry {
        key,
        _code: code.clone().unbind(),
        site: Arc::clone(site),
        text: text.into(),
    });
    let old = TABLE.with(code.py(), |table| {
        let [first, second] = &mut table[key.set()];
        if first.as_ref().is_some_and(|known| known.key == key) {
            return std::mem::replace(first, entry);
        }
        std::mem::replace(second, std::mem::replace(first, entry))
    });
    // Not within `with`: this may free the code.
    drop(old);
}
