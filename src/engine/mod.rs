//! The engine of this process: which directories have a spool, flush, shutdown, fork. [`open`] opens logs, [`log`] is an
//! open one.

mod log;
#[cfg(test)]
mod noise_tests;
mod open;
#[cfg(test)]
mod succession_tests;
#[cfg(test)]
mod tail_tests;
#[cfg(test)]
mod untold_tests;
#[cfg(test)]
mod waiting_tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use crate::fork;
use crate::report;
use crate::spool::producer::Caller;
use crate::stats::{SegmentStats, Stats};
use crate::sync::Mutex;
use crate::writer::Shared;

pub use log::Log;

/// How long a fork and the end wait for our threads: a stuck one is left alone.
pub const FORK_WAIT: Duration = Duration::from_millis(100);
/// How long a wait lasts before the caller may look at signals.
const SLICE: Duration = Duration::from_millis(50);

static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(std::ptr::null_mut());

/// What a process has one of. A forked child gets a fresh one; its parent's is leaked there, never touched.
#[derive(Debug)]
pub struct Engine {
    forks: u64,
    /// Shared with the writer thread.
    pub shared: Arc<Shared>,
    /// After `shutdown`: records are drained by whoever logs them, until a log is opened again.
    finished: AtomicBool,
    opening: Mutex<()>,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything accepted before the call is in segments.
    Complete,
    /// Time ran out.
    TimedOut,
    /// The user interrupted.
    Interrupted,
}

/// The engine of this process.
#[allow(unsafe_code)]
pub fn engine() -> &'static Engine {
    let standing = ENGINE.load(Ordering::Acquire);
    // SAFETY: engines are leaked, never freed.
    if let Some(engine) = unsafe { standing.as_ref() }
        && engine.forks == fork::forks()
    {
        return engine;
    }
    fork::install();
    let fresh = Box::leak(Box::new(Engine {
        forks: fork::forks(),
        shared: Arc::default(),
        finished: AtomicBool::new(false),
        opening: Mutex::new(()),
    }));
    match ENGINE.compare_exchange(standing, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(_) => engine(), // Another thread was faster; this one's is leaked, once in a process.
    }
}

impl Engine {
    /// Waits until everything accepted before the call is in segments.
    pub fn flush(&self, timeout: Option<Duration>, caller: &mut dyn Caller) -> Flushed {
        // After the end nobody announces anything by itself.
        self.flush_counts(timeout, caller, self.is_finished())
    }

    /// The same; when `ending` also what was sampled out.
    fn flush_counts(
        &self,
        timeout: Option<Duration>,
        caller: &mut dyn Caller,
        ending: bool,
    ) -> Flushed {
        let spools = self.shared.spools.lock().clone();
        // Announces what there is room for. True while drops wait for it; asked before the heads are read, so that an
        // announcement the writer commits meanwhile lies before them.
        let announce = || {
            for spool in &spools {
                spool.announce_drops();
            }
            let owed = self.shared.noise.settle(ending);
            owed || spools.iter().any(|s| s.has_unannounced())
        };
        let mut owed = announce();
        let mut targets: Vec<_> = spools.iter().map(|s| (s, s.head())).collect();
        let mut retargets = 3;
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            if targets.iter().all(|(s, head)| s.is_past(*head)) {
                // Drops for whose announcement there was no room before belong to what came before the call. Under
                // drops that never end, the rest of them is left to the writer.
                if !owed || retargets == 0 {
                    return Flushed::Complete;
                }
                retargets -= 1;
                owed = announce();
                for (spool, head) in &mut targets {
                    *head = spool.head();
                }
            }
            let left = deadline.map_or(SLICE, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Flushed::TimedOut;
            }
            let goes_on = caller.detached(&mut || {
                let finished = self.finished.load(Ordering::SeqCst);
                for (spool, _) in &targets {
                    // One that was shut down, and let go since then, is nobody else's any more.
                    if finished || spool.is_closed() && spool.successor().is_none() {
                        self.shared.drain(spool);
                    }
                }
                if !finished {
                    self.shared.start();
                    self.shared.waker.wake_now();
                }
                if !targets.iter().all(|(s, head)| s.is_past(*head)) {
                    self.shared
                        .wait_progress(left.min(SLICE).min(Duration::from_millis(5)));
                }
            });
            if !goes_on {
                return Flushed::Interrupted;
            }
            if self.forks != fork::forks() {
                return Flushed::Complete; // A signal handler forked: the child has nothing to flush.
            }
        }
    }

    /// Flushes, waits within `timeout` for compression under way, stops our threads and gives empty rings back. What
    /// could not be written stays in its ring for the next process. Records logged afterwards are written by whoever
    /// logs them.
    pub fn shutdown(&self, timeout: Option<Duration>, caller: &mut dyn Caller) -> Flushed {
        let deadline = timeout.map(|t| Instant::now() + t);
        let left = || deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let flushed = self.flush_counts(timeout, caller, true);
        if flushed == Flushed::Interrupted || self.forks != fork::forks() {
            return flushed;
        }
        self.shared.janitor.resume();
        let mut idle = false;
        while !idle {
            let slice = left().map_or(SLICE, |l| l.min(SLICE));
            if !caller.detached(&mut || idle = self.shared.janitor.wait_idle(slice)) {
                return Flushed::Interrupted;
            }
            if self.forks != fork::forks() {
                return flushed;
            }
            if slice.is_zero() {
                break;
            }
        }
        self.finished.store(true, Ordering::SeqCst);
        caller.detached(&mut || {
            let soon = Instant::now() + FORK_WAIT;
            self.shared.janitor.stop(soon);
            // Segments that late records close are looked after all the same.
            self.shared.janitor.allow();
            let stopped = self.shared.stop(soon);
            let spools = self.shared.spools.lock().clone();
            for spool in &spools {
                // A writer that does not stop is stuck in the disk, with what draining needs: what is left waits in the
                // ring for the next process.
                let empty = spool.close()
                    || stopped && {
                        self.shared.drain(spool);
                        spool.close()
                    };
                if empty {
                    spool.give_back();
                }
            }
        });
        flushed
    }

    /// Lets go of what no open log needs any more: spools, their files, and our threads where nothing is left for them.
    pub fn release(&self) {
        let _one_at_a_time = self.opening.lock();
        if !self.shared.retire_unused() {
            return;
        }
        // The thread has references of its own. It is started again where there is work for it.
        self.shared.stop(Instant::now() + FORK_WAIT);
        if !self.is_finished() {
            self.shared.resume();
            if !self.shared.spools.lock().is_empty() {
                self.shared.start();
            }
        }
    }

    /// The counters of this process.
    #[must_use]
    pub fn stats(&self) -> Stats {
        // Together, so that a spool that goes is counted once.
        let (spools, mut totals) = {
            let spools = self.shared.spools.lock();
            (spools.clone(), *self.shared.retired.lock())
        };
        if !spools.is_empty() && !self.is_finished() {
            self.shared.start();
        }
        for spool in &spools {
            totals.add(&spool.totals());
        }
        let gzip = &self.shared.janitor.counters;
        Stats {
            totals,
            quieted: self.shared.noise.counted(),
            recovered: self.shared.recovered.load(Ordering::Relaxed),
            writer_running: self.shared.is_running(),
            spools: spools
                .iter()
                .filter(|s| !s.is_finished() || s.is_in_use())
                .map(|s| s.describe())
                .collect(),
            segments: SegmentStats {
                compressed: gzip.compressed.load(Ordering::Relaxed),
                bytes_in: gzip.bytes_in.load(Ordering::Relaxed),
                bytes_out: gzip.bytes_out.load(Ordering::Relaxed),
                deleted: gzip.deleted.load(Ordering::Relaxed),
                errors: gzip.errors.load(Ordering::Relaxed),
            },
        }
    }

    /// Counts a record whose log could not be opened.
    pub fn count_unopened(&self) {
        let mut retired = self.shared.retired.lock();
        retired.emitted += 1;
        retired.dropped += 1;
        retired.dropped_other += 1;
    }

    /// Whether `shutdown` was called and no log opened since.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// Stops our threads for a fork: `CPython` counts them when it warns, and a child of a quiet process starts clean. False
    /// when one is still there at `deadline`.
    pub fn before_fork(&self, deadline: Instant) -> bool {
        self.shared.janitor.ask_to_stop();
        let stopped = [
            self.shared.stop(deadline),
            self.shared.janitor.stop(deadline),
            report::pause(deadline.saturating_duration_since(Instant::now())),
        ];
        !stopped.contains(&false)
    }

    /// Lets them start again, with the next record, flush or statistics.
    pub fn after_fork_in_parent(&self) {
        if !self.is_finished() {
            self.shared.resume();
        }
    }
}
