//! The frames of a traceback: from the cache, or rendered by `traceback` one by one.
#![allow(unsafe_code)]

use std::fmt::Write;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::Odd;
use super::cache::{self, Key, Site};
use super::files::{Checked, File, cached};
use super::standard::Standard;
use crate::python::encode::{Encoder, class_of};
use crate::python::text::small_int;

/// So often a line is shown before the rest is counted.
const SHOWN: u64 = 3;

/// Writes the frames of one exception after another.
pub(super) struct Frames<'a, 'py> {
    encoder: &'a Encoder<'py>,
    standard: &'a Standard,
    checked: Checked,
}

impl<'a, 'py> Frames<'a, 'py> {
    pub(super) fn new(encoder: &'a Encoder<'py>, standard: &'a Standard) -> Self {
        Frames {
            encoder,
            standard,
            checked: Checked::default(),
        }
    }

    /// Appends all frames of a traceback and returns its last entry, the innermost.
    pub(super) fn write(
        &mut self,
        text: &mut String,
        traceback: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>, Odd> {
        let py = self.encoder.py;
        let mut last: Option<Arc<Site>> = None;
        let mut count = 0;
        let mut entry = traceback.clone();
        loop {
            let start = text.len();
            let site = self.write_frame(text, &entry)?;
            let repeats = last
                .as_ref()
                .is_some_and(|last| Arc::ptr_eq(last, &site) || last.repeats(py, &site));
            if repeats {
                count += 1;
            } else {
                if count > SHOWN {
                    let frame = text.split_off(start);
                    write_repeated(text, count);
                    text.push_str(&frame);
                }
                count = 1;
                last = Some(site);
            }
            if count > SHOWN {
                text.truncate(start);
            }
            let next = self.read(&entry, intern!(py, "tb_next"))?;
            if next.is_none() {
                break;
            }
            entry = next;
        }
        if count > SHOWN {
            write_repeated(text, count);
        }
        Ok(entry)
    }

    fn read(
        &self,
        object: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> Result<Bound<'py, PyAny>, Odd> {
        self.encoder.ok(object.getattr(name)).ok_or(Odd)
    }

    fn read_int(
        &self,
        object: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> Result<i64, Odd> {
        let value = self.read(object, name)?;
        if class_of(value.as_borrowed()) != &raw mut ffi::PyLong_Type {
            return Err(Odd);
        }
        small_int(value.as_borrowed()).ok_or(Odd)
    }

    fn write_frame(
        &mut self,
        text: &mut String,
        entry: &Bound<'py, PyAny>,
    ) -> Result<Arc<Site>, Odd> {
        let py = self.encoder.py;
        if class_of(entry.as_borrowed()) != &raw mut ffi::PyTraceBack_Type {
            return Err(Odd);
        }
        let frame = self.read(entry, intern!(py, "tb_frame"))?;
        // SAFETY: a traceback's frame is a frame, which always has code; a new reference comes back.
        let code = unsafe {
            Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast())
        };
        let instruction = self.read_int(entry, intern!(py, "tb_lasti"))?;
        let line = if self.standard.by_position {
            0
        } else {
            self.read_int(entry, intern!(py, "tb_lineno"))?
        };
        let key = Key {
            code: code.as_ptr() as usize,
            instruction,
            line,
        };
        let start = text.len();
        if let Some(site) = cache::copy(py, key, text) {
            if self
                .checked
                .check(self.standard.linecache.bind(py), &site.file)
            {
                return Ok(site);
            }
            text.truncate(start);
        }
        self.render(text, entry, &code, key)
    }

    /// Appends a frame as `traceback` renders it, and keeps it if it may be.
    #[cold]
    fn render(
        &mut self,
        text: &mut String,
        entry: &Bound<'py, PyAny>,
        code: &Bound<'py, PyAny>,
        key: Key,
    ) -> Result<Arc<Site>, Odd> {
        let py = self.encoder.py;
        let name = self.read(code, intern!(py, "co_filename"))?;
        let function = self.read(code, intern!(py, "co_name"))?;
        let plain = |text: &Bound<'py, PyAny>| text.is_exact_instance_of::<PyString>();
        if !plain(&name) || !plain(&function) {
            return Err(Odd);
        }
        let start = text.len();
        let rendered = self.rendered(entry, &name);
        let (frame, line, file) = self.encoder.ok(rendered).flatten().ok_or(Odd)?;
        text.push_str(&frame.to_string_lossy());
        let settled = !self.standard.by_position
            || self
                .encoder
                .ok(has_position(code, key.instruction))
                .ok_or(Odd)?;
        let file = self.checked.fresh(file);
        let keep = settled && file.is_known();
        let site = Arc::new(Site {
            file,
            function: function.unbind(),
            line,
        });
        if keep {
            cache::keep(key, code, &site, &text[start..]);
        }
        Ok(site)
    }

    /// A frame's text and line, and the file that its lines came from; nothing if any of them is of an unusual kind.
    #[allow(clippy::type_complexity)]
    fn rendered(
        &self,
        entry: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyString>, i64, File)>> {
        let py = self.encoder.py;
        let cache = self.standard.linecache.bind(py);
        let mut before = cached(cache, name)?;
        let mut known = None;
        let mut frames = None;
        // The first time fills `linecache`, so that the second finds the very lines it then has. Only a change in between
        // by another thread leaves it open whose lines were taken.
        for _ in 0..2 {
            frames = Some(self.standard.extract_tb.bind(py).call1((entry, 1))?);
            let after = cached(cache, name)?;
            let same = match (&before, &after) {
                (Some(before), Some(after)) => before.is(after),
                (before, after) => before.is_none() && after.is_none(),
            };
            if same {
                known = Some(File::new(name, after.as_ref())?);
                break;
            }
            before = after;
        }
        let Some(frames) = frames else {
            return Ok(None);
        };
        let line = frames.get_item(0)?.getattr(intern!(py, "lineno"))?;
        let texts = frames.call_method0(intern!(py, "format"))?;
        let Ok(texts) = texts.cast_into::<PyList>() else {
            return Ok(None);
        };
        if texts.len() != 1 || class_of(line.as_borrowed()) != &raw mut ffi::PyLong_Type {
            return Ok(None);
        }
        let text = texts.get_item(0)?.cast_into::<PyString>()?;
        let Some(line) = small_int(line.as_borrowed()) else {
            return Ok(None);
        };
        let file = known.unwrap_or_else(|| File::unknown(name));
        Ok(Some((text, line, file)))
    }
}

/// Whether an instruction has a line of its own: then the frame's text does not depend on what line its traceback names.
fn has_position(code: &Bound<'_, PyAny>, instruction: i64) -> PyResult<bool> {
    let Ok(instruction) = usize::try_from(instruction) else {
        return Ok(false);
    };
    let positions = code.call_method0(intern!(code.py(), "co_positions"))?;
    match positions.try_iter()?.nth(instruction / 2) {
        Some(position) => Ok(!position?.get_item(0)?.is_none()),
        None => Ok(false),
    }
}

/// What stands for the lines beyond those shown.
fn write_repeated(text: &mut String, count: u64) {
    let more = count - SHOWN;
    let plural = if more > 1 { "s" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  [Previous line repeated {more} more time{plural}]");
}
