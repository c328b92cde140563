//! Marks of change that `CPython` keeps for its own caches, read in place: whether a class or a dict is what it was costs one load.
//!
//! A type object has a version tag, zeroed whenever an attribute of it or of a base is set; a dict has a version, new with each
//! change (up to 3.13, and for the dict of an instance up to 3.12, as later ones may change an object's values beside its dict). Neither
//! is part of the stable ABI. So nothing is assumed: [`Marks::probe`] changes a class, a dict and an object and looks whether the
//! marks say so, and where they do not, everything is looked up each time.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// Offset of `tp_version_tag` in a type object: the same since 3.4.
const TYPE_TAG: usize = 384;
/// Offset of `ma_version_tag` in a dict.
const DICT_VERSION: usize = 24;

/// Which marks can be relied on.
#[derive(Clone, Copy, Debug)]
pub(in crate::python) struct Marks {
    pub(in crate::python) types: bool,
    pub(in crate::python) dicts: bool,
    pub(super) instances: bool,
}

/// The tag of a class: 0 after a change, until its attributes are looked up.
#[inline]
pub(in crate::python) fn type_tag(class: *mut ffi::PyTypeObject) -> u32 {
    // SAFETY: a type object is larger than that, also where the word means something else: `probe` finds that out.
    unsafe {
        class
            .cast::<u8>()
            .add(TYPE_TAG)
            .cast::<u32>()
            .read_unaligned()
    }
}

/// The version of a dict.
#[inline]
pub(in crate::python) fn dict_version(dict: *mut ffi::PyObject) -> u64 {
    // SAFETY: as above; a dict has at least 48 bytes.
    unsafe {
        dict.cast::<u8>()
            .add(DICT_VERSION)
            .cast::<u64>()
            .read_unaligned()
    }
}

impl Marks {
    /// Looks what this interpreter marks.
    pub(in crate::python) fn probe(py: Python<'_>) -> PyResult<Self> {
        if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
            return Ok(Self {
                types: false,
                dicts: false,
                instances: false,
            });
        }
        let code = PyModule::from_code(
            py,
            // The store is repeated until the interpreter has specialised it.
            c"class Base: pass\nclass Derived(Base): pass\ndef store(o):\n    o.a = 0\n    for i in range(100):\n        o.a = i\n",
            c"logspool/_core",
            c"logspool._core._marks",
        )?;
        let base = code.getattr("Base")?.cast_into::<PyType>()?;
        let derived = code.getattr("Derived")?.cast_into::<PyType>()?;
        let dicts = Self::marks_dicts(py)?;
        Ok(Self {
            types: Self::marks_types(&base, &derived)?,
            dicts,
            instances: dicts
                && py.version_info() < (3, 13)
                && Self::marks_instances(&derived, &code.getattr("store")?)?,
        })
    }

    fn marks_types(base: &Bound<'_, PyType>, derived: &Bound<'_, PyType>) -> PyResult<bool> {
        let tag = || type_tag(derived.as_type_ptr());
        let mut seen = Vec::new();
        for value in 0..4 {
            base.setattr("attribute", value)?;
            if tag() != 0 {
                return Ok(false);
            }
            derived.getattr("attribute")?;
            let now = tag();
            derived.getattr("attribute")?;
            if now == 0 || now != tag() || seen.contains(&now) {
                return Ok(false);
            }
            seen.push(now);
        }
        Ok(true)
    }

    fn marks_dicts(py: Python<'_>) -> PyResult<bool> {
        let dict = PyDict::new(py);
        let mut seen = Vec::new();
        let mut is_new = || {
            let now = dict_version(dict.as_ptr());
            let again = dict_version(dict.as_ptr());
            let new = now == again && !seen.contains(&now);
            seen.push(now);
            new
        };
        let mut marked = is_new();
        for value in 1000..1004 {
            dict.set_item("a", value)?;
            marked &= is_new();
            dict.set_item("b", value)?;
            marked &= is_new();
            dict.del_item("b")?;
            marked &= is_new();
        }
        dict.get_item("a")?;
        Ok(marked && !is_new())
    }

    fn marks_instances(class: &Bound<'_, PyType>, store: &Bound<'_, PyAny>) -> PyResult<bool> {
        let object = class.call0()?;
        object.setattr("a", 1)?;
        let dict = object.getattr("__dict__")?;
        let mut last = dict_version(dict.as_ptr());
        let mut marked = true;
        for value in 0..4 {
            store.call1((&object,))?;
            let stored = dict_version(dict.as_ptr());
            object.setattr("a", value)?;
            let set = dict_version(dict.as_ptr());
            marked &= stored != last && set != stored;
            last = set;
        }
        Ok(marked)
    }
}

/// Names and what they stand for.
type Entries = Vec<(Py<PyString>, Py<PyAny>)>;

/// A dict, and what it was when it was looked at.
#[derive(Debug)]
pub(super) struct Watch {
    dict: Py<PyDict>,
    version: u64,
    /// Where there are no versions: its size, and the entries that matter.
    entries: Option<(isize, Entries)>,
}

impl Watch {
    /// Watches the dict of an object; `names` are the entries that matter: all, where there are none. `None` for a dict that has other
    /// keys than names: looking names up in it may run code.
    pub(super) fn new(
        marks: Marks,
        dict: &Bound<'_, PyDict>,
        names: &[&Bound<'_, PyString>],
    ) -> Option<Self> {
        let version = dict_version(dict.as_ptr());
        let mut entries = Vec::new();
        if !marks.instances {
            for (name, value) in dict {
                let name = name.cast_into_exact::<PyString>().ok()?;
                let matters =
                    |known: &&Bound<'_, PyString>| known.as_any().eq(&name).unwrap_or(false);
                if names.is_empty() || names.iter().any(matters) {
                    entries.push((name.unbind(), value.unbind()));
                }
            }
        }
        // SAFETY: a live dict.
        let size = unsafe { ffi::PyDict_Size(dict.as_ptr()) };
        Some(Self {
            dict: dict.clone().unbind(),
            version,
            entries: (!marks.instances).then_some((size, entries)),
        })
    }

    #[inline]
    pub(super) fn is_unchanged(&self) -> bool {
        match &self.entries {
            None => dict_version(self.dict.as_ptr()) == self.version,
            Some((size, entries)) => self.holds(*size, entries),
        }
    }

    fn holds(&self, size: isize, entries: &Entries) -> bool {
        let dict = self.dict.as_ptr();
        // SAFETY: a live dict and names whose hash is known: no code runs, and nothing is raised.
        unsafe {
            ffi::PyDict_Size(dict) == size
                && entries.iter().all(|(name, value)| {
                    ffi::PyDict_GetItemWithError(dict, name.as_ptr()) == value.as_ptr()
                })
        }
    }
}
