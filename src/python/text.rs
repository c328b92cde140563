//! Python's text, bytes and big integers to JSON.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::encode::Encoder;
use crate::cut::{is_start, write_cut};
use crate::json;
use crate::payload::{self, Found};

/// Ints of more digits are written as hexadecimal text: Python's own JSON reader refuses longer numbers, and a line that cannot
/// be read is worse than a number that is a string. (`sys.set_int_max_str_digits`' default.)
const MAX_DIGITS: usize = 4300;

/// No int of so many bits has more than [`MAX_DIGITS`] digits.
const MAX_BITS: usize = 14_284;

/// The UTF-8 of a `str`, which keeps it; `None` (no error set) where it holds lone surrogates.
#[inline]
pub(super) fn utf8<'a>(text: Borrowed<'a, '_, PyAny>) -> Option<&'a [u8]> {
    let mut size = 0;
    // SAFETY: `text` is a str, or an object of a class derived from it; the pointer lives as long as the object.
    unsafe {
        let data = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut size);
        if data.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(std::slice::from_raw_parts(
            data.cast(),
            usize::try_from(size).unwrap_or(0),
        ))
    }
}

/// The value of an int that fits 64 bits.
#[inline]
pub(super) fn small_int(value: Borrowed<'_, '_, PyAny>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is an int, or of a class derived from it, so this neither runs code nor raises.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(small)
}

/// The payloads in UTF-8 (surrogates allowed: such text has none).
#[inline]
fn found_in(text: &[u8]) -> Option<Found> {
    if text.len() < payload::SHORT {
        return None;
    }
    payload::in_text(std::str::from_utf8(text).ok()?)
}

/// Text of which payloads are told, not shown: for whatever has to stay text. How many there were.
pub(super) fn without_payloads(text: &str) -> Option<(String, usize)> {
    match payload::in_text(text)? {
        Found::Whole(payload) => Some((payload.text(), 1)),
        Found::Inside(text, count) => Some((text, count)),
    }
}

/// Text of which payloads are told, not shown, or what bytes are that are a payload; `None` where there is none.
#[pyfunction]
pub fn tell_payloads(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if let Ok(data) = value.cast::<PyBytes>() {
        let data = data.as_bytes();
        return Ok(payload::in_bytes(data, data.len()).map(|payload| payload.text()));
    }
    Ok(without_payloads(value.extract()?).map(|(text, _)| text))
}

impl Encoder<'_> {
    /// Appends text that is UTF-8 already between quotes, cut to the limit.
    pub(super) fn write_cut_str(&self, out: &mut Vec<u8>, text: &str) {
        out.push(b'"');
        self.write_plain_cut(out, text.as_bytes());
        out.push(b'"');
    }

    /// Appends between quotes what bytes are that are a payload.
    pub(super) fn write_told(&self, out: &mut Vec<u8>, data: &[u8]) {
        let found = payload::in_bytes(data, data.len()).map(Found::Whole);
        let told = found
            .or_else(|| found_in(data))
            .map_or_else(|| "<bytes>".to_owned(), |found| self.told(found));
        self.write_cut_str(out, &told);
    }

    /// Appends text that is UTF-8 (surrogates allowed), cut to the limit, with what its payloads were, without quotes.
    fn write_plain_cut(&self, out: &mut Vec<u8>, text: &[u8]) {
        let found = found_in(text);
        let told = found.map(|found| self.told(found));
        let text = told.as_ref().map_or(text, String::as_bytes);
        let start = out.len();
        self.tally.note(write_cut(out, text, self.limits.text));
        self.look_at(text, out.len() - start);
    }

    /// What a text is with its payloads told instead of shown.
    fn told(&self, found: Found) -> String {
        match found {
            Found::Whole(payload) => {
                self.tally.note_payloads(1);
                payload.text()
            }
            Found::Inside(text, count) => {
                self.tally.note_payloads(count);
                text
            }
        }
    }

    /// Appends a `str` (or an object of a class derived from it) as a value: one that is a payload as an object. It must be held.
    #[inline(never)]
    pub(super) fn write_text_value(&self, out: &mut Vec<u8>, text: Borrowed<'_, '_, PyAny>) {
        match utf8(text) {
            Some(plain) => self.write_plain_value(out, plain),
            None => self.write_text(out, text),
        }
    }

    /// The same of UTF-8.
    fn write_plain_value(&self, out: &mut Vec<u8>, text: &[u8]) {
        match found_in(text) {
            Some(Found::Whole(payload)) => {
                self.tally.note_payloads(1);
                payload.write_json(out);
            }
            found => {
                let told = found.map(|found| self.told(found));
                let text = told.as_ref().map_or(text, String::as_bytes);
                out.push(b'"');
                let start = out.len();
                self.tally.note(write_cut(out, text, self.limits.text));
                self.look_at(text, out.len() - start);
                out.push(b'"');
            }
        }
    }

    /// Appends a `str` (or an object of a class derived from it, as what it stores) between quotes. It must be held.
    #[inline(never)]
    pub(super) fn write_text(&self, out: &mut Vec<u8>, text: Borrowed<'_, '_, PyAny>) {
        out.push(b'"');
        self.write_inner(out, text);
        out.push(b'"');
    }

    /// The same without quotes.
    pub(super) fn write_inner(&self, out: &mut Vec<u8>, text: Borrowed<'_, '_, PyAny>) {
        if let Some(plain) = utf8(text) {
            self.write_plain_cut(out, plain);
        } else {
            self.write_surrogates(out, text);
        }
    }

    #[cold]
    fn write_surrogates(&self, out: &mut Vec<u8>, text: Borrowed<'_, '_, PyAny>) {
        self.look.set(true);
        // SAFETY: `text` is a str; the codec's names are C strings; a new reference or null with an error comes back.
        let bytes = unsafe {
            let bytes = ffi::PyUnicode_AsEncodedString(
                text.as_ptr(),
                c"utf-8".as_ptr(),
                c"surrogatepass".as_ptr(),
            );
            Bound::from_owned_ptr_or_err(self.py, bytes)
        };
        match self.ok(bytes.and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?))) {
            Some(bytes) => self.write_plain_cut(out, bytes.as_bytes()),
            None => out.extend_from_slice(b"<text out of memory>"),
        }
    }

    /// Appends bytes as text between quotes: decoded where they are UTF-8, else with `\xNN` for what is not ASCII.
    /// `total` is how many there are in all; `data` may be only the first of them, but more than the limit if any is missing.
    /// An image or other binary is told by what it is.
    pub(super) fn write_bytes(&self, out: &mut Vec<u8>, data: &[u8], total: usize) {
        self.look.set(true);
        if let Some(payload) = payload::in_bytes(data, total) {
            payload.write_json(out);
            self.tally.note_payloads(1);
            return;
        }
        let told = (data.len() == total).then(|| found_in(data)).flatten();
        let told = match told {
            Some(Found::Whole(payload)) => {
                payload.write_json(out);
                self.tally.note_payloads(1);
                return;
            }
            Some(found) => Some(self.told(found)),
            None => None,
        };
        let (data, total) = told
            .as_ref()
            .map_or((data, total), |told| (told.as_bytes(), told.len()));
        let limit = self.limits.text;
        let (mut kept, mut cut) = (data, data.len() < total);
        if data.len() > limit {
            // At most three bytes less, so that a character is not cut in two.
            let end = (limit.saturating_sub(3)..=limit)
                .rev()
                .find(|&end| is_start(data[end]))
                .unwrap_or(limit);
            (kept, cut) = (&data[..end], true);
        }
        out.push(b'"');
        if let Ok(text) = std::str::from_utf8(kept) {
            json::write_escaped(out, text.as_bytes());
        } else {
            for chunk in kept.utf8_chunks() {
                for byte in [chunk.valid().as_bytes(), chunk.invalid()].concat() {
                    if byte.is_ascii() {
                        json::write_escaped(out, &[byte]);
                    } else {
                        out.extend_from_slice(format!("\\\\x{byte:02x}").as_bytes());
                    }
                }
            }
        }
        if cut {
            out.extend_from_slice(format!("…(truncated, {total} bytes)").as_bytes());
        }
        self.tally.note(cut);
        out.push(b'"');
    }

    /// Appends an int beyond 64 bits: as a number up to 4,300 digits, else as hexadecimal text.
    #[inline(never)]
    pub(super) fn write_big_int(&self, out: &mut Vec<u8>, value: Borrowed<'_, '_, PyAny>) {
        let base = |base| {
            // SAFETY: the object is an int; a new reference or null with an error comes back.
            let text = unsafe {
                Bound::from_owned_ptr_or_err(self.py, ffi::PyNumber_ToBase(value.as_ptr(), base))
            };
            self.ok(text.and_then(|text| Ok(text.cast_into::<PyString>()?)))
        };
        // Hexadecimal first: it takes linear time, whatever the size.
        let Some(hex) = base(16) else {
            out.extend_from_slice(b"\"<int out of memory>\"");
            return;
        };
        let hex = utf8(hex.as_any().as_borrowed()).unwrap_or_default();
        let digits = hex.iter().filter(|byte| byte.is_ascii_hexdigit()).count() - 1;
        if digits * 4 <= MAX_BITS + 4
            && let Some(text) = base(10)
            && let Some(text) = utf8(text.as_any().as_borrowed())
            && text.len() <= MAX_DIGITS.min(self.limits.text.saturating_add(1))
        {
            out.extend_from_slice(text);
        } else {
            out.push(b'"');
            self.tally.note(write_cut(out, hex, self.limits.text));
            out.push(b'"');
        }
    }
}
