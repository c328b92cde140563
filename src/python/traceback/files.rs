//! Whether a file's lines still are what they were, as `linecache` decides it.
//!
//! `traceback` asks `linecache.checkcache` once for each file of a stack: lines that came from a file are good as long as its size and
//! time of change are those that were noted with them, lines that a loader gave are good for ever, and what is not in the cache
//! is looked for each time. So a frame's text is good while `linecache.cache` holds the very entry it was made from and the file is still that old.

use std::ffi::CString;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};
use smallvec::SmallVec;

use crate::python::encode::class_of;

/// File systems of this machine, whose `stat` returns without waiting for another.
#[cfg(target_os = "linux")]
const LOCAL: [u64; 9] = [
    0xEF53,      // ext2 to ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0xF2F5_2010, // F2FS
    0x2FC1_2FC1, // ZFS
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x7371_7368, // SquashFS
    0x794C_7630, // overlayfs
];

/// What decides whether lines are still good.
enum Lines {
    /// Nothing known here: they must be looked for each time.
    Unknown,
    /// There are none, nor will be: a name such as `<string>`.
    Absent,
    /// A loader gave them.
    Given(Py<PyAny>),
    /// They were read from a file.
    Read {
        entry: Py<PyAny>,
        path: CString,
        size: i64,
        changed: f64,
        local: bool,
    },
}

/// A file as it was when a frame in it was rendered.
pub(super) struct File {
    /// A `str` of exactly that class.
    pub(super) name: Py<PyAny>,
    lines: Lines,
}

/// What `linecache.cache` holds for a file.
pub(super) fn cached<'py>(
    cache: &Bound<'py, PyDict>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    cache.get_item(name)
}

impl File {
    /// A file whose lines must be looked for each time.
    pub(super) fn unknown(name: &Bound<'_, PyAny>) -> Self {
        File {
            name: name.clone().unbind(),
            lines: Lines::Unknown,
        }
    }

    /// A file whose lines came from this entry of `linecache.cache`.
    pub(super) fn new(name: &Bound<'_, PyAny>, entry: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut file = File::unknown(name);
        file.lines = match entry {
            None => {
                let text = name.cast::<PyString>()?.to_string_lossy();
                if text.starts_with('<') && text.ends_with('>') {
                    Lines::Absent
                } else {
                    Lines::Unknown
                }
            }
            Some(entry) => lines_of(entry)?,
        };
        Ok(file)
    }

    /// Whether frames in it may be kept.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.lines, Lines::Unknown)
    }

    fn entry(&self) -> Option<&Py<PyAny>> {
        match &self.lines {
            Lines::Given(entry) | Lines::Read { entry, .. } => Some(entry),
            Lines::Unknown | Lines::Absent => None,
        }
    }

    /// Whether `linecache` would show the same lines now, as far as the cache can tell without the file.
    fn is_in(&self, cache: &Bound<'_, PyDict>) -> bool {
        let now = cached(cache, self.name.bind(cache.py()));
        match (now, self.entry()) {
            (Ok(Some(now)), Some(then)) => now.is(then),
            (Ok(None), None) => self.is_known(),
            _ => false,
        }
    }

    /// Whether the file is as old and as large as it was.
    fn is_unchanged(&self, py: Python<'_>) -> bool {
        let Lines::Read {
            path,
            size,
            changed,
            local,
            ..
        } = &self.lines
        else {
            return true;
        };
        let ask = || rustix::fs::stat(path.as_c_str());
        // Where it may take long, the others need not wait too.
        let now = if *local { ask() } else { py.detach(ask) };
        #[allow(clippy::cast_precision_loss, clippy::float_cmp)] // As Python has it.
        now.is_ok_and(|now| {
            now.st_size == *size
                && now.st_mtime as f64 + 1e-9 * now.st_mtime_nsec as f64 == *changed
        })
    }
}

fn lines_of(entry: &Bound<'_, PyAny>) -> PyResult<Lines> {
    let Ok(parts) = entry.cast_exact::<PyTuple>() else {
        return Ok(Lines::Unknown);
    };
    if parts.len() != 4 {
        return Ok(Lines::Unknown);
    }
    let (size, changed, name) = (parts.get_item(0)?, parts.get_item(1)?, parts.get_item(3)?);
    if changed.is_none() {
        return Ok(Lines::Given(entry.clone().unbind()));
    }
    let plain = size.is_exact_instance_of::<PyInt>()
        && changed.is_exact_instance_of::<PyFloat>()
        && name.is_exact_instance_of::<PyString>();
    let Some(path) = plain.then(|| path_of(&name)).flatten() else {
        return Ok(Lines::Unknown);
    };
    Ok(Lines::Read {
        entry: entry.clone().unbind(),
        local: is_local(&path),
        path,
        size: size.extract()?,
        changed: changed.extract()?,
    })
}

/// A name as the system calls take it.
#[allow(unsafe_code)]
fn path_of(name: &Bound<'_, PyAny>) -> Option<CString> {
    debug_assert!(class_of(name.as_borrowed()) == &raw mut ffi::PyUnicode_Type);
    // SAFETY: `name` is a str; a new reference or null with an error comes back.
    let bytes = unsafe {
        Bound::from_owned_ptr_or_err(name.py(), ffi::PyUnicode_EncodeFSDefault(name.as_ptr()))
    };
    CString::new(bytes.ok()?.cast::<PyBytes>().ok()?.as_bytes()).ok()
}

#[cfg(target_os = "linux")]
fn is_local(path: &CString) -> bool {
    rustix::fs::statfs(path.as_c_str())
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| LOCAL.contains(&kind)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: &CString) -> bool {
    false
}

/// The files that were looked at for one exception: each is asked for once.
#[derive(Default)]
pub(super) struct Checked(SmallVec<[Arc<File>; 8]>);

impl Checked {
    /// Whether the lines of a file are still good.
    pub(super) fn check(&mut self, cache: &Bound<'_, PyDict>, file: &Arc<File>) -> bool {
        if self.0.iter().any(|known| Arc::ptr_eq(known, file)) {
            return true;
        }
        if !file.is_in(cache) {
            return false;
        }
        let again = self
            .0
            .iter()
            .any(|known| match (known.entry(), file.entry()) {
                (Some(known), Some(entry)) => known.is(entry),
                _ => false,
            });
        let good = again || file.is_unchanged(cache.py());
        if good {
            self.0.push(Arc::clone(file));
        }
        good
    }

    /// A file that `linecache` has just looked at, as it is known already if it is.
    pub(super) fn fresh(&mut self, file: File) -> Arc<File> {
        let known = self
            .0
            .iter()
            .find(|known| match (known.entry(), file.entry()) {
                (Some(known), Some(entry)) => known.is(entry),
                _ => false,
            });
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let file = Arc::new(file);
        if file.is_known() {
            self.0.push(Arc::clone(&file));
        }
        file
    }
}
