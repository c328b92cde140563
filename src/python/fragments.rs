//! Strings that records repeat, as finished JSON: keys, and names of loggers, levels and threads.
//!
//! A program logs the same few `str` objects over and over. The table holds a reference to each, so that an equal pointer
//! proves that it is the same immutable text: one compare and one copy then stand for type check, UTF-8 and escaping. Text is
//! entered when it comes for the second time, so that keys made for one record only pass by.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

use super::attach::AttachedCell;
use super::parts::Role;
use super::redaction::is_clean;
use super::verdict::{Mark, Verdicts};

/// Four to a set: a program's few dozen texts hardly ever push each other out.
const WAYS: usize = 4;
const SETS: usize = 128;
/// Of those that find a full set, one in so many goes in: should more than a set holds be in use, they are not entered all the time.
const REFUSED: u32 = 16;
/// Bytes of a fragment, quotes and colon included; longer text is not kept. Copied whole: three vector moves.
const ROOM: usize = 48;

/// One text: a cache line.
#[repr(align(64))]
struct Entry {
    text: Option<Py<PyAny>>,
    /// Bytes used, from `"` to `":`.
    len: u8,
    role: Role,
    /// As a key: whose verdict `mark` is, and the verdict.
    judge: u8,
    mark: Mark,
    bytes: [u8; ROOM],
}

const _: () = assert!(size_of::<Entry>() == 64);

struct Table {
    sets: [[Entry; WAYS]; SETS],
    /// The last texts of each set that were not found: addresses to compare, never followed. As many as may take turns.
    seen: [[usize; WAYS]; SETS],
    /// Those that found a full set.
    refused: u32,
}

const _: () = assert!(SETS == 1 << 7);

static TABLE: AttachedCell<Table> = AttachedCell::new(Table {
    sets: [const {
        [const {
            Entry {
                text: None,
                len: 0,
                role: Role::Extra,
                judge: 0,
                mark: Mark::NONE,
                bytes: [0; ROOM],
            }
        }; WAYS]
    }; SETS],
    seen: [[0; WAYS]; SETS],
    refused: 0,
});

#[inline]
fn set_of(text: *mut ffi::PyObject) -> usize {
    // Objects are 16 bytes apart at least, and constants of a program stand in a row: by the golden ratio they are spread evenly.
    let mixed = (text as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Seven bits.
    (mixed >> 57) as usize
}

impl Table {
    #[inline]
    fn find(&mut self, text: *mut ffi::PyObject) -> Option<&mut Entry> {
        self.sets[set_of(text)].iter_mut().find(|entry| {
            entry
                .text
                .as_ref()
                .is_some_and(|known| known.as_ptr() == text)
        })
    }
}

/// Appends `"text":` if the text is known and has at most `limit` characters, and gives the verdict on it; `None`, with nothing written,
/// otherwise.
#[inline]
pub(super) fn write_key(
    py: Python<'_>,
    out: &mut Vec<u8>,
    text: *mut ffi::PyObject,
    limit: usize,
    verdicts: &Verdicts,
) -> Option<Mark> {
    TABLE.with(py, |table| {
        let entry = table.find(text)?;
        if !entry.write(out, limit, 0) {
            return None;
        }
        if entry.judge != verdicts.id || entry.judge == 0 {
            entry.judge_again(verdicts);
        }
        Some(entry.mark)
    })
}

/// The same without the colon.
#[inline]
pub(super) fn write_quoted(
    py: Python<'_>,
    out: &mut Vec<u8>,
    text: *mut ffi::PyObject,
    limit: usize,
) -> bool {
    TABLE.with(py, |table| {
        table
            .find(text)
            .is_some_and(|entry| entry.write(out, limit, 1))
    })
}

impl Entry {
    /// Appends all of it but the last `without` bytes, if the text has at most `limit` characters.
    #[inline]
    fn write(&self, out: &mut Vec<u8>, limit: usize, without: usize) -> bool {
        let len = usize::from(self.len);
        if len - 3 > limit {
            return false;
        }
        out.reserve(ROOM);
        // SAFETY: `ROOM` bytes were reserved, and the first `len` of those written become part of `out`.
        unsafe {
            let end = out.len();
            out.as_mut_ptr()
                .add(end)
                .cast::<[u8; ROOM]>()
                .write(self.bytes);
            out.set_len(end + len - without);
        }
        true
    }

    #[cold]
    fn judge_again(&mut self, verdicts: &Verdicts) {
        self.judge = verdicts.id;
        // Nothing in it is escaped.
        self.mark = verdicts.judge(&self.bytes[1..usize::from(self.len) - 2]);
    }
}

/// What an attribute of this name is to a record, if the name is known.
#[inline]
pub(super) fn role(py: Python<'_>, name: *mut ffi::PyObject) -> Option<Role> {
    TABLE.with(py, |table| table.find(name).map(|entry| entry.role))
}

/// Enters a `str` (of exactly that class) whose UTF-8 is `plain`, if it came twice and is short and needs no escaping.
#[cold]
pub(super) fn remember(text: Borrowed<'_, '_, PyAny>, plain: &[u8]) {
    let set = set_of(text.as_ptr());
    let address = text.as_ptr() as usize;
    let again = TABLE.with(text.py(), |table| {
        let seen = &mut table.seen[set];
        if !seen.contains(&address) {
            seen.rotate_right(1);
            seen[0] = address;
            return false;
        }
        let full = table.sets[set].iter().all(|entry| entry.text.is_some());
        table.refused = table.refused.wrapping_add(u32::from(full));
        !full || table.refused % REFUSED == 0
    });
    if !again || plain.len() + 3 > ROOM {
        return;
    }
    let mut escaped = Vec::with_capacity(ROOM);
    crate::json::write_quoted(&mut escaped, plain);
    escaped.push(b':');
    // What there is something to redact in is looked at each time.
    if escaped.len() != plain.len() + 3 || !is_clean(plain) {
        return;
    }
    let mut bytes = [0; ROOM];
    bytes[..escaped.len()].copy_from_slice(&escaped);
    let entry = Entry {
        text: Some(text.to_owned().unbind()),
        len: u8::try_from(escaped.len()).unwrap_or(0),
        role: Role::of(plain),
        judge: 0,
        mark: Mark::NONE,
        bytes,
    };
    let old = TABLE.with(text.py(), |table| {
        let ways = &mut table.sets[set];
        ways.rotate_right(1);
        std::mem::replace(&mut ways[0], entry)
    });
    // Not within `with`: this may free the text.
    if let Some(old) = old.text {
        old.drop_ref(text.py());
    }
}
