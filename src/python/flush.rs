//! `flush` and `shutdown` of all logs, and who is told before them: what counts records in Python writes its counts then.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::engine::{Flushed, engine};
use crate::python::attach::{Attached, AttachedCell};

/// Seconds beyond which a wait is as good as for ever, and no clock overflows.
const LONGEST: f64 = 1e9;

static TOLD: AttachedCell<Option<Py<PyAny>>> = AttachedCell::new(None);

/// Sets what is called, without arguments, before each flush.
#[pyfunction]
pub fn set_flush_watcher(py: Python<'_>, callback: Option<Py<PyAny>>) {
    let old = TOLD.with(py, |told| std::mem::replace(told, callback));
    drop(old);
}

fn told(py: Python<'_>) -> PyResult<()> {
    let callback = TOLD.with(py, |told| told.as_ref().map(|told| told.clone_ref(py)));
    callback.map_or(Ok(()), |callback| callback.call0(py).map(drop))
}

/// Waits until everything accepted before the call is in segments.
pub fn flush(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    told(py)?;
    let mut caller = Attached::new(py);
    let flushed = engine().flush(seconds(timeout)?, &mut caller);
    finish(flushed, caller)
}

/// Flushes and stops.
pub fn shutdown(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    told(py)?;
    let mut caller = Attached::new(py);
    let flushed = engine().shutdown(seconds(timeout)?, &mut caller);
    finish(flushed, caller)
}

fn finish(flushed: Flushed, caller: Attached<'_>) -> PyResult<bool> {
    match caller.raised {
        Some(raised) => Err(raised),
        None => Ok(flushed == Flushed::Complete),
    }
}

fn seconds(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    timeout
        .map(|s| {
            Duration::try_from_secs_f64(s.clamp(0.0, LONGEST)).map_err(|_| {
                PyValueError::new_err(format!("timeout: {s}: seconds, or None to wait for ever"))
            })
        })
        .transpose()
}
