//! The lines below the frames: which exception, what it says, its notes.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString};

use super::Odd;
use super::standard::Standard;
use crate::python::encode::{Encoder, class_of};
use crate::python::exception::notes_of;
use crate::python::names::derives;
use crate::python::text::utf8;

/// Appends what a `str` holds; lone surrogates become replacement characters.
fn push(text: &mut String, part: &Bound<'_, PyAny>) {
    match utf8(part.as_borrowed()).map(std::str::from_utf8) {
        Some(Ok(part)) => text.push_str(part),
        _ => {
            if let Ok(part) = part.cast::<PyString>() {
                text.push_str(&part.to_string_lossy());
            }
        }
    }
}

fn is_text(value: &Bound<'_, PyAny>) -> bool {
    class_of(value.as_borrowed()) == &raw mut ffi::PyUnicode_Type
}

/// Appends the last lines of an exception, whose innermost traceback entry is `last` (or `None`).
pub(super) fn write<'py>(
    encoder: &Encoder<'py>,
    standard: &Standard,
    text: &mut String,
    error: &Bound<'py, PyAny>,
    last: &Bound<'py, PyAny>,
) -> Result<(), Odd> {
    let py = encoder.py;
    let class = error.get_type();
    let special = standard
        .special
        .iter()
        .any(|special| derives(&class, special.bind(py)));
    if special {
        return write_by_traceback(encoder, standard, text, error, last);
    }
    let start = text.len();
    let message = match encoder.ok(error.str()) {
        Some(message) if is_text(&message) => Some(message),
        Some(_) => return write_by_traceback(encoder, standard, text, error, last),
        None => None,
    };
    let notes = if standard.notes {
        let notes = encoder.ok(notes_of(error)).ok_or(Odd)?;
        Some(notes).filter(|notes| !notes.is_none())
    } else {
        None
    };
    let name = encoder
        .ok(class.getattr(intern!(py, "__qualname__")))
        .filter(is_text)
        .ok_or(Odd)?;
    let module = encoder
        .ok(class.getattr(intern!(py, "__module__")))
        .filter(is_text)
        .ok_or(Odd)?;
    if !matches!(utf8(module.as_borrowed()), Some(b"builtins" | b"__main__")) {
        push(text, &module);
        text.push('.');
    }
    push(text, &name);
    match message {
        Some(message) => {
            let end = text.len();
            text.push_str(": ");
            push(text, &message);
            if text.len() == end + 2 {
                text.truncate(end);
            }
        }
        None if standard.notes => text.push_str(": <exception str() failed>"),
        // Before 3.11 the class is named.
        None => {
            let name = encoder.ok(class.getattr(intern!(py, "__name__")));
            let name = name.filter(is_text).ok_or(Odd)?;
            text.push_str(": <unprintable ");
            push(text, &name);
            text.push_str(" object>");
        }
    }
    text.push('\n');
    if let Some(notes) = notes
        && write_notes(text, &notes).is_none()
    {
        text.truncate(start);
        return write_by_traceback(encoder, standard, text, error, last);
    }
    Ok(())
}

/// Appends notes; nothing if they are not a list of texts.
fn write_notes(text: &mut String, notes: &Bound<'_, PyAny>) -> Option<()> {
    for note in notes.cast_exact::<PyList>().ok()?.iter() {
        if !is_text(&note) {
            return None;
        }
        push(text, &note);
        text.push('\n');
    }
    Some(())
}

/// Appends the last lines as `traceback` gives them, for this exception alone.
#[cold]
fn write_by_traceback<'py>(
    encoder: &Encoder<'py>,
    standard: &Standard,
    text: &mut String,
    error: &Bound<'py, PyAny>,
    last: &Bound<'py, PyAny>,
) -> Result<(), Odd> {
    let py = encoder.py;
    let lines = || {
        let options = PyDict::new(py);
        options.set_item("lookup_lines", false)?;
        options.set_item("compact", true)?;
        // As for a member of a chain, so that it does not look for more of them.
        options.set_item("_seen", PySet::empty(py)?)?;
        let shown = standard
            .traceback_exception
            .bind(py)
            .call((error.get_type(), error, last), Some(&options))?;
        // What is set only after members of a chain were made.
        shown.setattr("exceptions", py.None())?;
        let lines = shown.call_method0("format_exception_only")?;
        PyString::new(py, "").call_method1("join", (lines,))
    };
    push(text, &encoder.ok(lines()).ok_or(Odd)?);
    Ok(())
}
