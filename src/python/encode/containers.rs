//! Lists, tuples and dicts, of exactly these classes or as what objects of derived ones store.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Encoder, Nest, Overflow, Written};
use crate::json;
use crate::python::keys::Keys;
use crate::python::verdict::Mark;

impl<'py> Encoder<'py> {
    /// Refuses early a container that cannot fit because each of its items takes at least two bytes.
    fn check_size(&self, out: &[u8], items: isize) -> Written {
        let least = usize::try_from(items)
            .unwrap_or(0)
            .min(self.limits.items)
            .saturating_mul(2);
        if out.len().saturating_add(least) > self.limits.end {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// The note in place of the items beyond the limit.
    pub(in crate::python) fn write_more(out: &mut Vec<u8>, rest: Option<usize>) {
        match rest {
            Some(rest) => json::write_str(out, &format!("…({rest} more)")),
            None => json::write_str(out, "…(more)"),
        }
    }

    /// Appends a list (or an object of a class derived from it, as what it stores).
    pub(in crate::python) fn write_list(
        &self,
        out: &mut Vec<u8>,
        list: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        // SAFETY: `list` is a list.
        self.write_array(
            out,
            list,
            nest,
            || unsafe { ffi::PyList_Size(list.as_ptr()) },
            |index| {
                // SAFETY: as above; out of range gives null and an error.
                unsafe { ffi::PyList_GetItem(list.as_ptr(), index) }
            },
        )
    }

    /// Appends a tuple (or an object of a class derived from it).
    pub(in crate::python) fn write_tuple(
        &self,
        out: &mut Vec<u8>,
        tuple: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        // SAFETY: `tuple` is a tuple.
        self.write_array(
            out,
            tuple,
            nest,
            || unsafe { ffi::PyTuple_Size(tuple.as_ptr()) },
            |index| {
                // SAFETY: as above; out of range gives null and an error.
                unsafe { ffi::PyTuple_GetItem(tuple.as_ptr(), index) }
            },
        )
    }

    /// Appends a list or tuple; `get` gives borrowed items. The size is asked again for each item: user code may shrink a list.
    #[inline]
    fn write_array(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
        size: impl Fn() -> isize,
        get: impl Fn(isize) -> *mut ffi::PyObject,
    ) -> Written {
        let Some(nest) = self.enter(out, value, nest) else {
            return Ok(());
        };
        self.check_size(out, size())?;
        out.push(b'[');
        let mut index = 0;
        while index < size() {
            if index > 0 {
                out.push(b',');
            }
            if usize::try_from(index).is_ok_and(|index| index >= self.limits.items) {
                Self::write_more(out, usize::try_from(size() - index).ok());
                break;
            }
            // SAFETY: the index is in range; the borrowed item is used before any code can run.
            let plain = self.write_plain(out, unsafe { Borrowed::from_ptr(self.py, get(index)) });
            if !plain {
                // Taken from the container once more, for the try may have run the garbage collector; and held this time.
                // SAFETY: a borrowed reference or null.
                let item = unsafe { Borrowed::from_ptr_or_opt(self.py, get(index)) }
                    .map(Borrowed::to_owned);
                if let Some(item) = item {
                    self.write_item(out, item.as_borrowed(), &nest)?;
                } else {
                    self.swallow(&PyErr::fetch(self.py));
                    out.extend_from_slice(b"null");
                }
            }
            self.check(out)?;
            index += 1;
        }
        out.push(b']');
        self.check(out)
    }

    /// Appends a dict (or an object of a class derived from it, as what it stores).
    pub(in crate::python) fn write_dict(
        &self,
        out: &mut Vec<u8>,
        dict: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        match self.enter(out, dict, nest) {
            Some(nest) => self.write_entries(out, dict, &nest),
            None => Ok(()),
        }
    }

    /// The same for a dict that was entered.
    #[inline]
    pub(in crate::python) fn write_entries(
        &self,
        out: &mut Vec<u8>,
        dict: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        // SAFETY: `dict` is a dict.
        let size = || unsafe { ffi::PyDict_Size(dict.as_ptr()) };
        let length = size();
        self.check_size(out, length)?;
        out.push(b'{');
        let mut keys = Keys::default();
        let mut position = 0;
        let mut count = 0;
        let entry = |position: &mut isize| {
            let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: `dict` is a dict, and any position is safe, also after a change. Both references are borrowed from it:
            // they are used at once, or held where code may run.
            unsafe {
                (ffi::PyDict_Next(dict.as_ptr(), position, &raw mut key, &raw mut value) != 0).then(
                    || {
                        (
                            Borrowed::from_ptr(self.py, key),
                            Borrowed::from_ptr(self.py, value),
                        )
                    },
                )
            }
        };
        let mut here = position;
        while let Some((key, value)) = entry(&mut position) {
            if count > 0 {
                out.push(b',');
            }
            if count >= self.limits.items {
                out.extend_from_slice("\"…\":".as_bytes());
                Self::write_more(
                    out,
                    usize::try_from(length)
                        .ok()
                        .map(|length| length.saturating_sub(count)),
                );
                break;
            }
            count += 1;
            let mut mark = self.write_plain_key(out, key);
            if !(mark == Some(Mark::NONE) && self.write_plain(out, value)) {
                // Read once more, for the try may have run the garbage collector; and held this time.
                let Some((key, value)) = entry(&mut here) else {
                    break;
                };
                let (key, value) = (key.to_owned(), value.to_owned());
                if mark.is_none() {
                    mark = self.write_plain_key(out, key.as_borrowed());
                }
                let mark = mark.unwrap_or_else(|| {
                    keys.reserve_text_keys(dict);
                    self.write_odd_key(out, key.as_borrowed(), &mut keys)
                });
                self.write_under(out, value.as_borrowed(), mark, nest)?;
                // Only here can code have run.
                if size() != length {
                    out.extend_from_slice(",\"…\":\"<changed while it was logged>\"".as_bytes());
                    self.check(out)?;
                    break;
                }
            }
            self.check(out)?;
            here = position;
        }
        out.push(b'}');
        self.check(out)
    }
}
