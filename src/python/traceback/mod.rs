//! Stack traces, byte for byte as `"".join(traceback.format_exception(…))` gives them, for a fraction of what it costs.
//!
//! What takes time there is the frames: reading lines, asking for the instruction's columns, parsing the line for its anchors.
//! So `traceback` renders each frame once ([`frames`]), and its text is kept by code object and instruction ([`cache`]) for as long as `linecache`
//! would show the same lines ([`files`]). What stands around the frames is simple and written here: the chain of causes and
//! contexts and the parts of groups ([`chain`]), the line that names the exception, and its notes ([`tail`]).
//!
//! Whatever is not simple goes to `traceback`, for the last lines alone (a `SyntaxError`, suggestions of names) or for the whole: a traceback
//! of somebody's own making, `sys.tracebacklimit`, or a `traceback` or `linecache` that something has changed ([`standard`]).

mod cache;
mod chain;
mod files;
mod frames;
mod standard;
mod tail;

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString};

use self::chain::Chain;
use self::standard::Standard;
use super::encode::Encoder;

/// Something about an exception that only the standard library knows how to show.
pub(super) struct Odd;

/// Stack traces written here, and by the standard library.
static NATIVE: AtomicU64 = AtomicU64::new(0);
static STANDARD: AtomicU64 = AtomicU64::new(0);

/// How many stack traces were written here and how many by the standard library since the start: for tests.
#[pyfunction]
#[pyo3(name = "_stack_traces")]
pub fn stack_traces() -> (u64, u64) {
    (
        NATIVE.load(Ordering::Relaxed),
        STANDARD.load(Ordering::Relaxed),
    )
}

impl<'py> Encoder<'py> {
    /// The text that `traceback.format_exception` gives for an exception with this traceback (or `None`); nothing if it fails.
    pub(super) fn stack_trace(
        &self,
        error: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> Option<String> {
        if let Some(text) = self.native_stack_trace(error, traceback) {
            NATIVE.fetch_add(1, Ordering::Relaxed);
            return Some(text);
        }
        STANDARD.fetch_add(1, Ordering::Relaxed);
        self.ok(standard_stack_trace(error, traceback))
    }

    fn native_stack_trace(
        &self,
        error: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> Option<String> {
        let standard = Standard::get(self)?;
        if !standard.is_untouched(self.py) {
            return None;
        }
        Chain::render(self, standard, error, traceback).ok()
    }
}

/// What `traceback.format_exception` itself gives.
fn standard_stack_trace<'py>(
    error: &Bound<'py, PyAny>,
    traceback: &Bound<'py, PyAny>,
) -> PyResult<String> {
    let py = error.py();
    let lines = PyModule::import(py, intern!(py, "traceback"))?
        .getattr(intern!(py, "format_exception"))?
        .call1((error.get_type(), error, traceback))?;
    let text = PyString::new(py, "").call_method1(intern!(py, "join"), (lines,))?;
    Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
}
