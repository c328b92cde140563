//! Blocks that keep their records back: `bound(buffer=DEBUG)` holds finished lines until it is known how the block ends.
//!
//! A line that is held is not in the spool: it is counted here, and among the log's own only when it is written. Everything here is
//! touched by attached threads only, so that there is no lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use serde::Serialize;

use super::around::Ambient;
use super::bound::Context;
use crate::engine::engine;
use crate::fork;
use crate::json;
use crate::python::attach::{Attached, AttachedCell};
use crate::python::open::Open;
use crate::python::record::pid;
use crate::report;

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
/// In which order lines were held, over all buffers.
static ORDER: AttachedCell<u64> = AttachedCell::new(0);

/// What happens to the block's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Those of its level and below are held.
    #[default]
    Holding,
    /// It has failed: they are written at once.
    Failed,
    /// It has ended: it does not matter any more.
    Ended,
}

/// A finished line and where it goes.
struct Line {
    order: u64,
    level: i64,
    open: Py<Open>,
    bytes: Box<[u8]>,
}

/// What lines that were pushed out came to.
struct Missing {
    open: Py<Open>,
    count: u64,
}

#[derive(Default)]
struct Inner {
    forks: u64,
    phase: Phase,
    lines: VecDeque<Line>,
    bytes: usize,
    missing: Vec<Missing>,
}

/// The lines of one block.
pub(super) struct TailBuffer {
    level: i64,
    max_lines: usize,
    max_bytes: usize,
    outer: Option<Arc<TailBuffer>>,
    inner: AttachedCell<Inner>,
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
        let buffer = Arc::new(TailBuffer {
            level,
            max_lines: records,
            max_bytes: bytes,
            outer: outer.and_then(|outer| outer.get().tail().cloned()),
            inner: AttachedCell::new(Inner {
                forks: fork::forks(),
                ..Inner::default()
            }),
        });
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
        innermost.write(py, caller)?;
        return Ok(false);
    }
    let mut around = Some(innermost);
    while let Some(buffer) = around {
        match buffer.phase(py) {
            Phase::Holding if level <= buffer.level => {
                buffer.hold(open, line, level);
                return Ok(true);
            }
            Phase::Failed => {
                // Another thread may be writing what is held: that is older.
                innermost.write(py, caller)?;
                return Ok(false);
            }
            Phase::Holding | Phase::Ended => around = buffer.outer.as_ref(),
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

impl TailBuffer {
    /// Looks at or changes what is held. A forked child begins with nothing: what its parent held is the parent's to write.
    fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut Inner) -> R) -> R {
        let forks = fork::forks();
        self.inner.with(py, |inner| {
            if inner.forks != forks {
                // Not dropped: the parent's threads use the logs, and their locks may be held.
                std::mem::forget(std::mem::take(&mut inner.lines));
                std::mem::forget(std::mem::take(&mut inner.missing));
                (inner.forks, inner.bytes) = (forks, 0);
            }
            f(inner)
        })
    }

    fn phase(&self, py: Python<'_>) -> Phase {
        self.with(py, |inner| inner.phase)
    }

    fn hold(&self, open: &Bound<'_, Open>, line: &[u8], level: i64) {
        let py = open.py();
        let order = ORDER.with(py, |order| {
            *order += 1;
            *order
        });
        let new = Line {
            order,
            level,
            open: open.clone().unbind(),
            bytes: line.into(),
        };
        count(py, |stats| stats.held += 1);
        self.push(py, new);
    }

    /// Adds a line; the oldest go where there are too many.
    fn push(&self, py: Python<'_>, line: Line) {
        let pushed_out = self.with(py, |inner| {
            inner.bytes += line.cost();
            inner.lines.push_back(line);
            let mut out = Vec::new();
            while inner.lines.len() > self.max_lines || inner.bytes > self.max_bytes {
                let Some(oldest) = inner.lines.pop_front() else {
                    break;
                };
                inner.bytes -= oldest.cost();
                out.push(oldest);
            }
            out
        });
        for line in pushed_out {
            count(py, |stats| {
                stats.held -= 1;
                stats.discarded += 1;
            });
            self.miss(py, line.open, 1);
        }
    }

    /// Notes that lines of a log are missing.
    fn miss(&self, py: Python<'_>, open: Py<Open>, lines: u64) {
        let known = self.with(py, |inner| {
            let known = inner
                .missing
                .iter_mut()
                .find(|missing| missing.open.is(&open));
            if let Some(missing) = known {
                missing.count += lines;
                return Some(open);
            }
            inner.missing.push(Missing { open, count: lines });
            None
        });
        if let Some(open) = known {
            open.drop_ref(py);
        }
    }

    /// This block has failed, and with it those around it; what they hold comes together here, in its order.
    fn fail(&self, py: Python<'_>) {
        let mut held = Vec::new();
        let mut missing = Vec::new();
        let mut around = Some(self);
        while let Some(buffer) = around {
            buffer.with(py, |inner| {
                if inner.phase == Phase::Holding {
                    inner.phase = Phase::Failed;
                }
                inner.bytes = 0;
                held.extend(inner.lines.drain(..));
                missing.append(&mut inner.missing);
            });
            around = buffer.outer.as_deref();
        }
        held.sort_by_key(|line| line.order);
        self.with(py, |inner| inner.lines.extend(held));
        for Missing { open, count } in missing {
            self.miss(py, open, count);
        }
    }

    /// Writes what is held, one line after the other: whoever logs meanwhile goes on with it, so that all of it is written first.
    fn write(&self, py: Python<'_>, caller: &mut Attached<'_>) -> PyResult<()> {
        let missing = self.with(py, |inner| std::mem::take(&mut inner.missing));
        for Missing { open, count } in missing {
            let mut line = self.announcement(open.bind(py), count);
            append(open.bind(py), &mut line, caller);
            open.drop_ref(py);
        }
        loop {
            if let Some(raised) = caller.raised.take() {
                return Err(raised);
            }
            let Some(mut line) = self.with(py, |inner| inner.lines.pop_front()) else {
                return Ok(());
            };
            count(py, |stats| {
                stats.held -= 1;
                stats.written += 1;
            });
            append(line.open.bind(py), &mut line.bytes, caller);
            line.open.drop_ref(py);
        }
    }

    fn end(&self, py: Python<'_>, failed: bool, caller: &mut Attached<'_>) -> PyResult<()> {
        let before = self.with(py, |inner| {
            std::mem::replace(&mut inner.phase, Phase::Ended)
        });
        if before == Phase::Ended {
            return Ok(());
        }
        LIVE.with(py, |live| {
            live.retain(|other| !std::ptr::eq(other.as_ptr(), self));
        });
        LIVE_COUNT.fetch_sub(1, Ordering::Relaxed);
        if failed || before == Phase::Failed {
            return self.write(py, caller);
        }
        let (lines, missing) = self.with(py, |inner| {
            inner.bytes = 0;
            (
                std::mem::take(&mut inner.lines),
                std::mem::take(&mut inner.missing),
            )
        });
        for line in lines {
            self.pass_on(py, line, caller)?;
        }
        for Missing { open, count } in missing {
            match self.heir(py, self.level) {
                Some(heir) => heir.miss(py, open, count),
                None => open.drop_ref(py),
            }
        }
        Ok(())
    }

    /// The block around this one that would hold a record of this level itself, or would write it.
    fn heir(&self, py: Python<'_>, level: i64) -> Option<&TailBuffer> {
        let mut around = self.outer.as_deref();
        while let Some(buffer) = around {
            if level <= buffer.level && buffer.phase(py) != Phase::Ended {
                return Some(buffer);
            }
            around = buffer.outer.as_deref();
        }
        None
    }

    /// What becomes of a line whose block has ended well.
    fn pass_on(&self, py: Python<'_>, mut line: Line, caller: &mut Attached<'_>) -> PyResult<()> {
        match self.heir(py, line.level) {
            Some(heir) if heir.phase(py) == Phase::Holding => heir.push(py, line),
            Some(_) => {
                count(py, |stats| {
                    stats.held -= 1;
                    stats.written += 1;
                });
                append(line.open.bind(py), &mut line.bytes, caller);
                line.open.drop_ref(py);
            }
            None => {
                count(py, |stats| {
                    stats.held -= 1;
                    stats.discarded += 1;
                });
                line.open.drop_ref(py);
            }
        }
        caller.raised.take().map_or(Ok(()), Err)
    }

    /// The line that says that lines are missing.
    fn announcement(&self, open: &Bound<'_, Open>, missing: u64) -> Vec<u8> {
        let open_now = open.get();
        let now = jiff::Timestamp::now();
        let message = format!(
            "{missing} records that were held back are missing: no more than {} records and {} bytes are held \
             (bound(buffer_records=…, buffer_bytes=…))",
            self.max_lines, self.max_bytes
        );
        if !open_now.settings.json {
            return format!("{now:.6} WARNING logspool: {message}\n").into_bytes();
        }
        let mut line = format!(
            r#"{{"ts":"{now:.6}","level":"WARNING","logger":"logspool","event":"records_discarded","message":{},"pid":{}"#,
            serde_json::Value::from(message),
            pid()
        )
        .into_bytes();
        let ambient = Ambient::here(open.py());
        ambient
            .encoded(open.py(), &open_now.encoder)
            .write_ids(&mut line);
        line.extend_from_slice(
            format!(
                r#","fields":{{"count":{missing},"reason":"tail_buffer","buffer_records":{},"buffer_bytes":{}}}"#,
                self.max_lines, self.max_bytes
            )
            .as_bytes(),
        );
        line.extend_from_slice(json::SEQ_PLACEHOLDER);
        line
    }
}

impl Drop for TailBuffer {
    /// A block that was never left: its generator was forgotten.
    fn drop(&mut self) {
        let ours = std::ptr::from_ref(self);
        Python::attach(|py| {
            let (phase, held) = self.with(py, |inner| (inner.phase, inner.lines.len() as u64));
            count(py, |stats| {
                stats.held -= held;
                stats.discarded += held;
            });
            if phase != Phase::Ended {
                LIVE.with(py, |live| {
                    live.retain(|other| !std::ptr::eq(other.as_ptr(), ours));
                });
                LIVE_COUNT.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
}

impl Line {
    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

/// Gives a line to its log, opened again where a shutdown lies in between.
fn append(open: &Bound<'_, Open>, line: &mut [u8], caller: &mut Attached<'_>) {
    let now = open.get();
    let numbered = now.settings.json;
    if !now.log.is_stale() {
        now.log.append(line, numbered, false, caller);
        return;
    }
    match open.py().detach(|| now.again()) {
        Ok(again) => {
            again.log.append(line, numbered, false, caller);
        }
        Err(error) => {
            engine().count_unopened();
            report::say(&format!("a record that was held back was lost: {error}"));
        }
    }
}
