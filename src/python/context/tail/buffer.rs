//! The lines that one block holds, in their order, and what becomes of them.

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::prelude::*;

use super::{count, forget};
use crate::engine::engine;
use crate::fork;
use crate::fork::pid;
use crate::json;
use crate::python::attach::{Attached, AttachedCell};
use crate::python::context::Ambient;
use crate::python::encode::Encoder;
use crate::python::names::Names;
use crate::python::open::Open;
use crate::report;

/// In which order lines were held, over all buffers.
static ORDER: AttachedCell<u64> = AttachedCell::new(0);

/// What happens to the block's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
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
pub(in crate::python::context) struct TailBuffer {
    level: i64,
    max_lines: usize,
    max_bytes: usize,
    outer: Option<Arc<TailBuffer>>,
    inner: AttachedCell<Inner>,
}

impl TailBuffer {
    pub(super) fn new(level: i64, lines: usize, bytes: usize, outer: Option<Arc<Self>>) -> Self {
        Self {
            level,
            max_lines: lines,
            max_bytes: bytes,
            outer,
            inner: AttachedCell::new(Inner {
                forks: fork::forks(),
                ..Inner::default()
            }),
        }
    }

    /// The buffer of the block around this one.
    pub(super) fn outer(&self) -> Option<&Arc<Self>> {
        self.outer.as_ref()
    }

    /// Whether records of this level are the buffer's.
    pub(super) fn wants(&self, level: i64) -> bool {
        level <= self.level
    }

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

    pub(super) fn phase(&self, py: Python<'_>) -> Phase {
        self.with(py, |inner| inner.phase)
    }

    pub(super) fn hold(&self, open: &Bound<'_, Open>, line: &[u8], level: i64) {
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

    /// The outermost block around this one that has not ended, or this one: the last to write what is left.
    pub(super) fn outermost(&self, py: Python<'_>) -> &TailBuffer {
        let mut found = self;
        let mut around = self.outer.as_deref();
        while let Some(buffer) = around {
            if buffer.phase(py) != Phase::Ended {
                found = buffer;
            }
            around = buffer.outer.as_deref();
        }
        found
    }

    /// This block has failed, and with it those around it; what they hold comes together in the outermost, in its order.
    pub(super) fn fail(&self, py: Python<'_>) {
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
        let last = self.outermost(py);
        last.with(py, |inner| inner.lines.extend(held));
        for Missing { open, count } in missing {
            last.miss(py, open, count);
        }
    }

    /// Writes what is held, one line after the other: whoever logs meanwhile goes on with it, so that all of it is written first.
    pub(super) fn write(&self, py: Python<'_>, caller: &mut Attached<'_>) -> PyResult<()> {
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

    pub(super) fn end(
        &self,
        py: Python<'_>,
        failed: bool,
        caller: &mut Attached<'_>,
    ) -> PyResult<()> {
        let before = self.with(py, |inner| {
            std::mem::replace(&mut inner.phase, Phase::Ended)
        });
        if before == Phase::Ended {
            return Ok(());
        }
        forget(py, self);
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
        if let Ok(names) = Names::get(open.py()) {
            let by = &open_now.encoder;
            let encoder = Encoder::new(open.py(), names, by.limits(&[]), by.verdicts);
            // A few ids never make it too long.
            let _ = by.redact(&encoder, &mut line, 0);
        }
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
                forget(py, ours);
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
