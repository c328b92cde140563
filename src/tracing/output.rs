//! The log that a layer appends to, through forks and shutdowns, and the guard that waits for it at the end.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::time::Duration;

use crate::config::{LogSettings, SpoolSettings};
use crate::engine::{Flushed, Log, engine};
use crate::error::Result;
use crate::report;
use crate::spool::producer::{Appended, Caller};

/// How long the end of a program waits for a disk.
const AT_EXIT: Duration = Duration::from_secs(5);

/// Guards that stand: the last of them ends it all.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// A thread that holds nothing others wait for.
struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// An open log. There is no lock around it, as a forked child might inherit that locked.
#[derive(Debug)]
pub(super) struct Output {
    /// Leaked: who was faster to look may still append to one that has been replaced. That is once for a fork or a shutdown.
    current: AtomicPtr<Log>,
    settings: LogSettings,
    spool: SpoolSettings,
}

impl Output {
    pub(super) fn new(log: Log, settings: LogSettings, spool: SpoolSettings) -> Self {
        Self {
            current: AtomicPtr::new(Box::into_raw(Box::new(log))),
            settings,
            spool,
        }
    }

    /// Bytes of the longest line that it takes.
    pub(super) fn max_line(&self) -> usize {
        self.standing().spool.max_line()
    }

    fn standing(&self) -> &Log {
        // SAFETY: never null, and never freed while `self` is there.
        unsafe { &*self.current.load(Acquire) }
    }

    /// The log, opened again where a fork, or a shutdown that was not the end, lies in between.
    fn open(&self) -> Result<&Log> {
        loop {
            let before = self.current.load(Acquire);
            // SAFETY: as in `standing`.
            let log = unsafe { &*before };
            if !log.is_stale() {
                return Ok(log);
            }
            let again = engine().reopen(log, &self.settings, &self.spool)?;
            let again = Box::into_raw(Box::new(again));
            if self
                .current
                .compare_exchange(before, again, AcqRel, Acquire)
                .is_err()
            {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(again) });
            }
        }
    }

    /// Appends a finished line; `urgent` wakes the writer. A record for which the log cannot be opened again is counted and said.
    pub(super) fn append(&self, line: &mut [u8], urgent: bool) {
        for _ in 0..2 {
            match self.open() {
                Ok(log) => {
                    if log.append(line, true, urgent, &mut Plain) != Appended::Forked {
                        return;
                    }
                }
                Err(error) => {
                    engine().count_unopened();
                    report::say(&format!(
                        "{error}; records of process {} are dropped, and counted, until that succeeds",
                        std::process::id()
                    ));
                    return;
                }
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: never null; whoever appends borrows `self`.
        let log = unsafe { Box::from_raw(current) };
        if log.is_inherited() {
            std::mem::forget(log);
            return;
        }
        drop(log);
        engine().release();
    }
}

/// Waits until everything accepted before the call is in segments; false when `timeout` passed first. `None` waits for ever.
#[must_use]
pub fn flush(timeout: Option<Duration>) -> bool {
    engine().flush(timeout, &mut Plain) == Flushed::Complete
}

/// Keep it until the end of `main`. Dropped, it waits until everything accepted is in segments, five seconds at most; the last one also
/// ends the native threads. What was not written by then, or where a program ends without it (`std::process::exit`, an abort, a
/// signal), stays in the spool for the next process that logs there, or `logspool recover`.
#[derive(Debug)]
#[must_use = "dropped at once, it ends the log's threads at once"]
pub struct Guard(());

impl Guard {
    pub(super) fn new() -> Self {
        GUARDS.fetch_add(1, Relaxed);
        Self(())
    }

    /// As [`flush`].
    #[must_use]
    pub fn flush(&self, timeout: Option<Duration>) -> bool {
        flush(timeout)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let flushed = if GUARDS.fetch_sub(1, AcqRel) == 1 {
            engine().shutdown(Some(AT_EXIT), &mut Plain)
        } else {
            engine().flush(Some(AT_EXIT), &mut Plain)
        };
        if flushed != Flushed::Complete {
            report::say(
                "records are still in the spool; the next process that logs there writes them, or `logspool recover`",
            );
        }
    }
}
