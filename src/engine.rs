//! The engine of this process: which directories have a spool, opening a log, flush, shutdown, fork.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::config::{Fsync, LogSettings, SpoolSettings};
use crate::error::{Error, Result};
use crate::fork;
use crate::janitor::Job;
use crate::report;
use crate::segment::dir::LogDir;
use crate::segment::naming;
use crate::spool::producer::{Appended, Caller, Spool};
use crate::spool::ring::{self, Ring};
use crate::spool::{place, recover};
use crate::stats::{SegmentStats, Stats};
use crate::writer::{Shared, source};

/// How long `before` a fork waits for our threads: a stuck one is left alone.
const FORK_WAIT: Duration = Duration::from_millis(100);
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

/// An open log.
#[derive(Debug)]
pub struct Log {
    /// Its spool.
    pub spool: Arc<Spool>,
    /// Its number there.
    pub slot: usize,
    name: String,
    durable: bool,
    forks: u64,
    shared: Arc<Shared>,
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
    /// Opens the log at `path`, or shares it where this process already has it.
    ///
    /// # Errors
    /// When the path cannot hold a log: a full disk is not a reason, as records then wait in the spool.
    pub fn open(&self, path: &Path, settings: &LogSettings, spool: &SpoolSettings) -> Result<Log> {
        let (parent, name) = split(path)?;
        let dir = LogDir::open(&parent, settings.dir_mode)?;
        self.open_in(dir, &name, settings, spool)
    }

    /// Opens a log the parent had open: relative to the directory it resolved.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&self, log: &Log, settings: &LogSettings, spool: &SpoolSettings) -> Result<Log> {
        self.open_in(log.spool.dir.reopen()?, &log.name, settings, spool)
    }

    fn open_in(
        &self,
        dir: LogDir,
        name: &str,
        settings: &LogSettings,
        spool_settings: &SpoolSettings,
    ) -> Result<Log> {
        let _one_at_a_time = self.opening.lock();
        self.finished.store(false, Ordering::SeqCst);
        let spool = self.spool_for(dir, spool_settings)?;
        let slot = spool.enter(name, settings)?;
        let prepared = spool.stores.lock().prepare(name, settings, source(&spool));
        if let Err(e) = prepared {
            if !is_passing(&e) {
                return Err(e);
            }
            report::say(&format!(
                "{e}; records are kept in the spool until this heals"
            ));
        }
        self.look_after(&spool, name);
        self.shared.resume();
        self.shared.start();
        Ok(Log {
            slot,
            name: name.to_owned(),
            durable: settings.fsync == Fsync::Record,
            forks: self.forks,
            shared: Arc::clone(&self.shared),
            spool,
        })
    }

    fn spool_for(&self, dir: LogDir, settings: &SpoolSettings) -> Result<Arc<Spool>> {
        let standing = {
            let mut spools = self.shared.spools.lock();
            spools.retain(|s| {
                if s.is_closed() {
                    self.shared.retired.lock().add(&s.totals());
                }
                !s.is_closed()
            });
            spools.iter().find(|s| s.dir.id() == dir.id()).cloned()
        };
        if let Some(spool) = standing {
            if spool.settings != *settings {
                report::say(&format!(
                    "the logs in {} share the spool that was opened first, with its settings (spool_bytes, spool_dir, \
                     when_full, block_timeout, queue_max)",
                    spool.dir.path().display()
                ));
            }
            return Ok(spool);
        }
        let dir = Arc::new(dir);
        let place = place::open(&dir, &settings.place)?;
        let ring = make_ring(&dir, &place, settings)?;
        let spool = Arc::new(Spool::new(
            ring,
            dir,
            place,
            settings.clone(),
            Arc::clone(&self.shared.waker),
        ));
        // Before the first record of this process: what its predecessors accepted comes first.
        self.shared.adopt(&spool);
        self.shared.spools.lock().push(Arc::clone(&spool));
        self.shared.spools_changed();
        Ok(spool)
    }

    /// Segments an earlier process did not get round to compress or retire.
    fn look_after(&self, spool: &Arc<Spool>, name: &str) {
        let closed = naming::list(spool.dir.fd(), name).map_or(0, |l| l.len());
        if closed <= 2 {
            return;
        }
        for store in spool.stores.lock().iter_mut() {
            if store.name() == name {
                self.shared.janitor.request(Job {
                    dir: Arc::clone(&spool.dir),
                    name: name.to_owned(),
                    current: store.segment_number(),
                    settings: store.settings().clone(),
                });
            }
        }
    }

    /// Waits until everything accepted before the call is in segments.
    pub fn flush(&self, timeout: Option<Duration>, caller: &mut dyn Caller) -> Flushed {
        let spools = self.shared.spools.lock().clone();
        // Announces what there is room for. True while drops wait for it; asked before the heads are read, so that an
        // announcement the writer commits meanwhile lies before them.
        let announce = || {
            for spool in &spools {
                spool.announce_drops();
            }
            spools.iter().any(|s| s.has_unannounced())
        };
        let mut owed = announce();
        let mut targets: Vec<_> = spools.iter().map(|s| (s, s.head())).collect();
        let mut retargets = 3;
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            if targets.iter().all(|(s, head)| s.ring.tail() >= *head) {
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
                if self.finished.load(Ordering::SeqCst) {
                    for (spool, _) in &targets {
                        self.shared.drain(spool);
                    }
                } else {
                    self.shared.start();
                    self.shared.waker.wake_now();
                }
                if targets.iter().any(|(s, head)| s.ring.tail() < *head) {
                    self.shared
                        .wait_progress(left.min(SLICE).min(Duration::from_millis(5)));
                }
            });
            if !goes_on {
                return Flushed::Interrupted;
            }
        }
    }

    /// Flushes, waits within `timeout` for compression under way, stops our threads and gives empty rings back. What
    /// could not be written stays in its ring for the next process. Records logged afterwards are written by whoever
    /// logs them.
    pub fn shutdown(&self, timeout: Option<Duration>, caller: &mut dyn Caller) -> Flushed {
        let deadline = timeout.map(|t| Instant::now() + t);
        let left = || deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let flushed = self.flush(timeout, caller);
        if flushed == Flushed::Interrupted {
            return flushed;
        }
        let mut idle = false;
        while !idle {
            let slice = left().map_or(SLICE, |l| l.min(SLICE));
            if !caller.detached(&mut || idle = self.shared.janitor.wait_idle(slice)) {
                return Flushed::Interrupted;
            }
            if slice.is_zero() {
                break;
            }
        }
        self.finished.store(true, Ordering::SeqCst);
        caller.detached(&mut || {
            let soon = Instant::now() + FORK_WAIT;
            self.shared.janitor.stop(soon);
            self.shared.stop(soon);
            for spool in self.shared.spools.lock().iter() {
                let empty = spool.close() || {
                    self.shared.drain(spool);
                    spool.close()
                };
                if empty && spool.ring.is_durable() {
                    let name = ring::file_name(spool.ring.id());
                    let _ = rustix::fs::unlinkat(&spool.place, name, AtFlags::empty());
                }
            }
        });
        flushed
    }

    /// The counters of this process.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let spools = self.shared.spools.lock().clone();
        let mut totals = *self.shared.retired.lock();
        for spool in &spools {
            totals.add(&spool.totals());
        }
        let gzip = &self.shared.janitor.counters;
        Stats {
            totals,
            recovered: self.shared.recovered.load(Ordering::Relaxed),
            writer_running: self.shared.is_running(),
            spools: spools.iter().map(|s| s.describe()).collect(),
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

    /// Stops our threads for a fork: `CPython` counts them when it warns, and a child of a quiet process starts clean.
    pub fn before_fork(&self) {
        let deadline = Instant::now() + FORK_WAIT;
        self.shared.stop(deadline);
        self.shared.janitor.stop(deadline);
        report::pause(deadline.saturating_duration_since(Instant::now()));
    }

    /// Lets them start again, with the next record, flush or statistics.
    pub fn after_fork_in_parent(&self) {
        if !self.is_finished() {
            self.shared.resume();
        }
    }
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
        if self.durable || !self.shared.is_running() {
            self.follow_up(appended, caller);
        }
        appended
    }

    /// Without a writer, after a fork or at the end of the process, whoever logs sees to it; with `fsync="record"` it
    /// waits for the device.
    #[cold]
    fn follow_up(&self, appended: Appended, caller: &mut dyn Caller) {
        if self.spool.is_closed() {
            self.drain_late(caller);
            return;
        }
        self.shared.start();
        self.shared.janitor.resume();
        if self.durable && appended == Appended::Accepted {
            let head = self.spool.head();
            while self.spool.ring.tail() < head
                && caller.detached(&mut || {
                    self.shared.waker.wake_now();
                    self.shared.wait_progress(Duration::from_millis(5));
                })
            {}
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
        }) && self.spool.ring.tail() < head
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

/// Directory and file name of a log path.
fn split(path: &Path) -> Result<(PathBuf, String)> {
    let shown = path.display().to_string();
    let refuse = |why: &str| Error::invalid("cannot open the log", shown.clone(), why);
    let name = path
        .file_name()
        .ok_or_else(|| refuse("the path has no file name; give one such as logs/app.jsonl"))?
        .to_str()
        .ok_or_else(|| refuse("the file name is not UTF-8"))?
        .to_owned();
    naming::check_name(&name).map_err(|why| refuse(&why))?;
    if path.is_dir() {
        return Err(refuse("it is a directory; give a file name in it"));
    }
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}

/// Creates the ring; in memory where the file system cannot reserve it, which is said.
fn make_ring(dir: &LogDir, place: &std::os::fd::OwnedFd, settings: &SpoolSettings) -> Result<Ring> {
    use std::os::fd::AsFd;
    let shown = dir.path().display().to_string();
    match Ring::create(place.as_fd(), settings.bytes) {
        Ok(ring) => Ok(ring),
        Err(e) => {
            let full = Error::new("cannot reserve the spool", shown.clone(), e);
            report::say(&format!(
                "{full}; records wait in memory instead and do not survive a kill (spool_dir=\"shm\" puts the spool \
                 into shared memory)"
            ));
            Ring::anonymous(settings.bytes)
                .map_err(|e| Error::new("cannot reserve memory for the spool", shown, e))
        }
    }
}

/// Whether trouble is of the kind that passes: the records wait for it.
fn is_passing(e: &Error) -> bool {
    [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::IO,
        Errno::NFILE,
        Errno::MFILE,
    ]
    .iter()
    .any(|n| e.errno() == Some(n.raw_os_error()))
}

/// Recovers `dir` without opening a log in it.
///
/// # Errors
/// When it cannot be opened.
pub fn recover_dir(dir: &Path) -> Result<recover::Recovered> {
    use std::os::fd::AsFd;
    let dir = Arc::new(LogDir::open(dir, 0o700)?);
    let place = place::open(&dir, &crate::config::SpoolPlace::BesideLogs)?;
    let shown = dir.path().display().to_string();
    let mut stores = crate::spool::stores::Stores::new(dir);
    recover::adopt_orphans(place.as_fd(), &mut stores)
        .map_err(|e| Error::new("cannot recover", shown, e))
}
