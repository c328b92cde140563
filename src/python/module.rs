//! What the Python face calls: see `python/logspool/_core.pyi`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Serialize;

use crate::engine::{FORK_WAIT, engine};
use crate::python::attach::Attached;
use crate::python::buffer::Buffer;
use crate::python::context::{self, TailStats};
use crate::python::flush as all;
use crate::python::record::RecordEncoder;
use crate::python::{cut, mirror};
use crate::redact;
use crate::report;
use crate::stats::Stats;
use crate::thread::await_gone;

/// How long the end of the process waits for what standard error has not taken yet.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long a fork waits for our threads while it keeps Python's: as long as any of them may keep it.
const ATTACHED: Duration = Duration::from_millis(5);

/// What makes lines of records for a formatter, its rules made once: in lines that it finishes, the sequence text is dashes.
#[pyclass(frozen, module = "logspool._core")]
pub struct LineEncoder(RecordEncoder);

#[pymethods]
impl LineEncoder {
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        RecordEncoder::new(settings).map(Self)
    }

    /// The finished line of one record.
    fn encode<'py>(&self, record: &Bound<'py, PyAny>) -> Bound<'py, PyBytes> {
        let mut line = Buffer::take();
        self.0.encode(record, None, &mut line.bytes);
        PyBytes::new(record.py(), &line.bytes)
    }
}

/// The finished line of one record, its sequence text still dashes: for tests and tools.
#[pyfunction]
#[pyo3(signature = (record, settings, formatter=None))]
pub fn encode_record<'py>(
    record: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
    formatter: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut line = Vec::new();
    RecordEncoder::new(settings)?.encode(record, formatter, &mut line);
    Ok(PyBytes::new(record.py(), &line))
}

/// Waits until everything accepted before the call, in all logs, is in the segments.
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub fn flush(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    all::flush(py, timeout)
}

/// Writes what blocks keep back: the process ends.
#[pyfunction]
pub fn write_kept(py: Python<'_>) -> PyResult<()> {
    let mut caller = Attached::new(py);
    let written = context::write_kept(py, &mut caller);
    caller.raised.map_or(written, Err)
}

/// Flushes, and waits within `timeout` seconds for compression under way; later records are written by who logs them.
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub fn shutdown(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    write_kept(py)?;
    let flushed = all::shutdown(py, timeout)?;
    py.detach(|| {
        // The threads start again with the next word.
        report::drain(LAST_WORDS);
        report::pause(LAST_WORDS);
        if let Some(console) = mirror::started() {
            // What standard error does not take by then is counted as dropped.
            let _ = console.drain(LAST_WORDS) && console.pause(LAST_WORDS);
        }
    });
    Ok(flushed)
}

#[derive(Serialize)]
struct Console {
    written: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct All {
    #[serde(flatten)]
    stats: Stats,
    console: Console,
    /// How often each rule struck.
    redacted: BTreeMap<String, u64>,
    tail: TailStats,
    truncated: cut::Truncated,
}

/// Counters of this process since its start.
#[pyfunction]
pub fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let stats = py.detach(|| engine().stats());
    let mirrored = mirror::stats();
    let all = All {
        stats,
        console: Console {
            written: mirrored.written,
            dropped: mirrored.dropped,
        },
        redacted: redact::counts(),
        tail: context::tail_stats(py),
        truncated: cut::truncated(),
    };
    Ok(pythonize::pythonize(py, &all)?)
}

/// Stops our threads before a fork.
#[pyfunction]
pub fn fork_before(py: Python<'_>) {
    let began = Instant::now();
    let stopped = |deadline: Instant| {
        let ours = engine().before_fork(deadline);
        let left = || deadline.saturating_duration_since(Instant::now());
        let console = mirror::started().is_none_or(|console| console.pause(left()));
        await_gone(deadline) && ours && console
    };
    // At first without letting go of Python: it takes a fraction of a millisecond, and getting Python back from threads that
    // are busy takes many. One that does not stop is counted by CPython's warning, and harmless.
    let _ = stopped(began + ATTACHED) || py.detach(|| stopped(began + FORK_WAIT));
}

/// Lets them start again, with the next record.
#[pyfunction]
pub fn fork_parent() {
    engine().after_fork_in_parent();
}

/// The child starts fresh by itself (`crate::fork`), also after forks Python knows nothing of.
#[pyfunction]
pub fn fork_child() {}
