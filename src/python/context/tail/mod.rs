//! Blocks that keep their records back: `bound(buffer=DEBUG)` holds finished lines until it is known how the block ends.
//!
//! A line that is held is not in the spool: it is counted here, and among the log's own only when it is written. Everything here is
//! touched by attached threads only, so that there is no lock.

mod buffer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use serde::Serialize;

use super::bound::Context;
use crate::fork;
use crate::python::attach::{Attached, AttachedCell};
use crate::python::open::Open;
use buffer::Phase;
pub(super) use buffer::TailBuffer;

/// The level from which on a record has what is held written.
const ERROR: i64 = 40;

/// What became of lines that were held, in this process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct TailStats {
    /// Held now.
    held: u64,
    /// Given to their logs after all.
    written: u64,
    /// Dropped: their block ended well, or they were too many.
    discarded: u64,
}

/// Counters, and the number of forks they are of.
static COUNTS: AttachedCell<(u64, TailStats)> = AttachedCell::new((
    0,
    TailStats {
        held: 0,
        written: 0,
        discarded: 0,
    },
));

fn count(py: Python<'_>, change: impl FnOnce(&mut TailStats)) {
    let forks = fork::forks();
    COUNTS.with(py, |(of, stats)| {
        if *of != forks {
            (*of, *stats) = (forks, TailStats::default());
        }
        change(stats);
    });
}

/// The counters.
pub(crate) fn tail_stats(py: Python<'_>) -> TailStats {
    let mut now = TailStats::default();
    count(py, |stats| now = *stats);
    now
}

/// Buffers that have not ended, and how many: with none, no record asks.
static LIVE: AttachedCell<Vec<Weak<TailBuffer>>> = AttachedCell::new(Vec::new());
static LIVE_COUNT: AtomicUsize = AtomicUsize::new(0);
/// Notes that a buffer has ended.
fn forget(py: Python<'_>, ended: *const TailBuffer) {
    LIVE.with(py, |live| {
        live.retain(|other| !std::ptr::eq(other.as_ptr(), ended));
    });
    LIVE_COUNT.fetch_sub(1, Ordering::Relaxed);
}

/// A block that keeps its records back, as `bound(buffer=…)` has it.
#[pyclass(frozen, module = "logspool._core")]
pub(crate) struct Tail(Arc<TailBuffer>);

#[pymethods]
impl Tail {
    /// Holds records of `level` and below, at most `records` of `bytes` together, within the block of `outer`.
    #[new]
    fn new(
        outer: Option<&Bound<'_, Context>>,
        level: i64,
        records: usize,
        bytes: usize,
        py: Python<'_>,
    ) -> Self {
        let outer = outer.and_then(|outer| outer.get().tail().cloned());
        let buffer = Arc::new(TailBuffer::new(level, records, bytes, outer));
        let weak = Arc::downgrade(&buffer);
        LIVE.with(py, |live| live.push(weak));
        LIVE_COUNT.fetch_add(1, Ordering::Relaxed);
        Self(buffer)
    }

    /// Ends the block: what is held is written where it failed, else left to the block around it, or dropped.
    fn end(&self, py: Python<'_>, failed: bool) -> PyResult<()> {
        let mut caller = Attached::new(py);
        let ended = self.0.end(py, failed, &mut caller);
        caller.raised.map_or(ended, Err)
    }
}

impl Tail {
    pub(super) fn buffer(&self) -> Arc<TailBuffer> {
        Arc::clone(&self.0)
    }
}

/// Takes a finished line that is to be kept back, and has what is held written before one that says that its block failed. False where
/// the line goes to its log now.
#[inline]
pub(in crate::python) fn keep(
    open: &Bound<'_, Open>,
    line: &[u8],
    level: i64,
    caller: &mut Attached<'_>,
) -> PyResult<bool> {
    if LIVE_COUNT.load(Ordering::Relaxed) == 0 {
        return Ok(false);
    }
    Python::attach(|_| keep_if_wanted(open, line, level, caller))
}

#[cold]
fn keep_if_wanted(
    open: &Bound<'_, Open>,
    line: &[u8],
    level: i64,
    caller: &mut Attached<'_>,
) -> PyResult<bool> {
    let py = open.py();
    let Some(context) = super::here(py) else {
        return Ok(false);
    };
    let context = context.cast::<Context>()?;
    let Some(innermost) = context.get().tail() else {
        return Ok(false);
    };
    if level >= ERROR {
        innermost.fail(py);
        innermost.outermost(py).write(py, caller)?;
        return Ok(false);
    }
    let mut around = Some(innermost);
    while let Some(buffer) = around {
        match buffer.phase(py) {
            Phase::Holding if buffer.wants(level) => {
                buffer.hold(open, line, level);
                return Ok(true);
            }
            Phase::Failed => {
                // Another thread may be writing what is held: that is older.
                innermost.outermost(py).write(py, caller)?;
                return Ok(false);
            }
            Phase::Holding | Phase::Ended => around = buffer.outer(),
        }
    }
    Ok(false)
}

/// Writes what all blocks hold and has their records written at once from now on: the process ends, and how they would have ended nobody
/// knows.
pub(in crate::python) fn write_kept(py: Python<'_>, caller: &mut Attached<'_>) -> PyResult<()> {
    if LIVE_COUNT.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let live = LIVE.with(py, |live| live.clone());
    let live: Vec<_> = live.iter().filter_map(Weak::upgrade).collect();
    for buffer in &live {
        buffer.fail(py);
    }
    for buffer in &live {
        buffer.write(py, caller)?;
    }
    Ok(())
}
