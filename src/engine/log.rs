//! An open log: what the logging call appends to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::engine::engine;
use crate::fork;
use crate::noise::{LogNoise, NoiseSettings};
use crate::report;
use crate::spool::producer::{Appended, Caller, Spool};
use crate::writer::Shared;

/// With `fsync="record"`, how long at least a call waits for a device that does not answer.
const DEVICE_PATIENCE: Duration = Duration::from_secs(5);

/// An open log.
#[derive(Debug)]
pub struct Log {
    /// Its spool.
    pub spool: Arc<Spool>,
    /// Its number there.
    pub slot: usize,
    pub(super) name: String,
    pub(super) durable: bool,
    pub(super) forks: u64,
    pub(super) shared: Arc<Shared>,
}

impl Log {
    /// Appends a finished line. With `numbered` it ends in a sequence placeholder; `urgent` wakes the writer.
    #[inline]
    pub fn append(
        &self,
        line: &mut [u8],
        numbered: bool,
        urgent: bool,
        caller: &mut dyn Caller,
    ) -> Appended {
        let mut tended = Tended { log: self, caller };
        let appended = self
            .spool
            .append(self.slot, line, numbered, urgent, &mut tended);
        if self.durable || self.spool.is_closed() || !self.shared.is_running() {
            self.follow_up(appended, caller);
        }
        appended
    }

    /// Without a writer, after a fork or at the end of the process, whoever logs sees to it; with `fsync="record"` it
    /// waits for the device.
    #[cold]
    fn follow_up(&self, appended: Appended, caller: &mut dyn Caller) {
        if self.is_inherited() {
            return; // A signal handler forked meanwhile.
        }
        if self.spool.is_closed() {
            self.drain_late(caller);
            return;
        }
        self.shared.start();
        if self.durable && appended == Appended::Accepted {
            self.wait_durable(caller);
        }
    }

    /// Waits for the device, or, once per stall, until it is plain that it does not answer: the record then stays in the
    /// spool.
    #[cold]
    fn wait_durable(&self, caller: &mut dyn Caller) {
        let head = self.spool.head();
        let patience = self.spool.settings.block_timeout;
        let deadline = patience.map(|t| Instant::now() + t.max(DEVICE_PATIENCE));
        while self.spool.ring.done(self.slot) < head && !self.spool.is_stalled() {
            if self.spool.is_closed() {
                return self.drain_late(caller);
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                self.spool.set_stalled();
                report::say(&format!(
                    "{} does not answer; records wait in the spool and calls go on without waiting for the device",
                    self.path().display()
                ));
                return;
            }
            if !caller.detached(&mut || {
                self.shared.start();
                self.shared.waker.wake_now();
                self.shared.wait_progress(Duration::from_millis(5));
            }) || self.is_inherited()
            {
                return;
            }
        }
    }

    /// After the end nothing outlives the process but what is in segments: the caller waits for a log that another
    /// process holds, or a full disk, as long as it would for room in the spool.
    fn drain_late(&self, caller: &mut dyn Caller) {
        let head = self.spool.head();
        let deadline = self
            .spool
            .settings
            .block_timeout
            .map(|t| Instant::now() + t);
        let mut wait = Duration::ZERO;
        while caller.detached(&mut || {
            self.shared.wait_progress(wait);
            self.shared.drain(&self.spool);
        }) && !self.is_inherited()
            && self.spool.ring.tail() < head
            && !self.spool.is_stalled()
        {
            if deadline.is_some_and(|d| Instant::now() >= d) {
                self.spool.set_stalled();
                report::say(&format!(
                    "a record logged after shutdown could not be written to {} yet; unless that succeeds with a later \
                     record it is lost when the process ends",
                    self.path().display()
                ));
            }
            wait = Duration::from_millis(2);
        }
    }

    /// Puts what keeps noise down in front of this log; `None` where nothing is asked for. `identity` is in every line of JSON, and
    /// no line is longer than `longest`.
    #[must_use]
    pub fn quieten(
        &self,
        settings: &NoiseSettings,
        json: bool,
        identity: &[u8],
        longest: usize,
    ) -> Option<Arc<LogNoise>> {
        let noise = LogNoise::new(settings, json, identity, longest, &self.shared.noise)?;
        noise.move_to(&self.spool, self.slot);
        Some(noise)
    }

    /// The same noise as before this log was opened again; a forked child begins to count anew.
    #[must_use]
    pub fn quieten_again(&self, before: &Arc<LogNoise>) -> Arc<LogNoise> {
        let noise = if before.is_inherited() {
            before.afresh(&self.shared.noise)
        } else {
            Arc::clone(before)
        };
        noise.move_to(&self.spool, self.slot);
        noise
    }

    /// Sees to it that what was counted will be written.
    #[inline]
    pub fn awaken(&self) {
        if !self.shared.is_running() {
            self.shared.start();
        }
    }

    /// Whether this log is of another process's making, or of a spool that was shut down while others are open.
    #[inline]
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_inherited() || (self.spool.is_closed() && !engine().is_finished())
    }

    /// Whether a fork lies between its opening and now: then it must be leaked, not dropped.
    #[inline]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.forks != fork::forks()
    }

    /// Its plain path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.spool.dir.path().join(&self.name)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.spool.users.fetch_sub(1, SeqCst);
        if self.is_inherited() {
            // The parent's: its descriptors were closed at the fork, and their numbers may be others' by now.
            std::mem::forget(Arc::clone(&self.spool));
        }
    }
}

/// A caller that sees to it, before it waits, that somebody will make room: after a fork the writer is not running.
struct Tended<'a> {
    log: &'a Log,
    caller: &'a mut dyn Caller,
}

impl Caller for Tended<'_> {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        let log = self.log;
        self.caller.detached(&mut || {
            if log.spool.is_closed() {
                log.shared.drain(&log.spool);
            } else if !log.shared.is_running() {
                log.shared.start();
            }
            wait();
        })
    }
}
