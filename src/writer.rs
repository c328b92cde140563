//! The writer thread: drain, append, rotate. One per process, the only regular consumer of its spools, never attached
//! to Python. It polls, because durability does not depend on it; see [`crate::wake`].

mod succession;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::fs::fstat;

use crate::fork;
use crate::janitor::{Janitor, Job};
use crate::noise::Noise;
use crate::report;
use crate::segment::dir::LogDir;
use crate::spool::drain::{Pass, Source};
use crate::spool::producer::Spool;
use crate::spool::recover::{self, Recovered};
use crate::spool::stores::Stores;
use crate::stats::Totals;
use crate::sync::{Condvar, Mutex};
use crate::thread::{leaving, spawn_quiet};
use crate::wake::Waker;

/// Between two looks when there was something to do.
const SHORTEST: Duration = Duration::from_millis(1);
/// Between two looks when nothing has happened for a while.
const LONGEST: Duration = Duration::from_millis(50);
/// Between two searches for rings whose owner died.
const ADOPT_EVERY: Duration = Duration::from_secs(30);
/// The same where there may be more soon: after a fork, after one was found, and after one that could not be finished,
/// because another process held its log or the disk was full.
const ADOPT_AGAIN: Duration = Duration::from_secs(1);
/// Rings of dead processes that may stand when another ring is made.
const MAX_ORPHANS: u64 = 16;
/// How long a process waits, before it makes a ring, for another that keeps it from adopting so many.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(2);
/// Between two `fdatasync` with `fsync="interval"`.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What the writer, the callers and the engine share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Wakes the writer.
    pub waker: Arc<Waker>,
    /// The spools of this process.
    pub spools: Mutex<Vec<Arc<Spool>>>,
    /// Compression and retention.
    pub janitor: Arc<Janitor>,
    /// Sampling and collapse.
    pub noise: Arc<Noise>,
    /// Records recovered from dead processes' rings.
    pub recovered: AtomicU64,
    /// What spools that are gone had counted, and records that found none.
    pub retired: Mutex<Totals>,
    /// Whether rings of dead processes stand that could not be finished yet, or that are likely to.
    unfinished: AtomicBool,
    adoption: Mutex<Adoption>,
    running: AtomicBool,
    stopping: AtomicBool,
    /// Bumped when the set of spools changes.
    version: AtomicU64,
    progress_lock: Mutex<()>,
    progress: Condvar,
    waiting: AtomicU64,
}

/// The last search for rings whose owner died. Not the thread's own: each fork ends the thread.
#[derive(Debug, Default)]
struct Adoption {
    at: Option<Instant>,
    /// Forks made by then.
    forks: u64,
}

impl Shared {
    /// Whether the thread is there.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// Says that the set of spools has changed.
    pub fn spools_changed(&self) {
        self.version.fetch_add(1, SeqCst);
    }

    /// Starts the thread where it is not there.
    pub fn start(self: &Arc<Self>) {
        if self.stopping.load(SeqCst) || self.running.swap(true, SeqCst) {
            return;
        }
        let this = Arc::clone(self);
        if let Err(e) = spawn_quiet("writer", move || this.run()) {
            self.running.store(false, SeqCst);
            report::say(&format!(
                "cannot start the writer thread: {e}; records stay in the spool until it can be started"
            ));
        }
    }

    /// Asks the thread to drain once more and stop, waiting for it until `deadline`; false when it is still there.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.stopping.store(true, SeqCst);
        self.waker.wake_now();
        let mut guard = self.progress_lock.lock();
        while self.is_running() {
            let timed_out;
            (guard, timed_out) = self.progress.wait_until(guard, deadline);
            if timed_out {
                return !self.is_running();
            }
        }
        true
    }

    /// Lets our threads be started again.
    pub fn resume(&self) {
        self.stopping.store(false, SeqCst);
        self.janitor.allow();
    }

    /// Waits until a pass has ended, at most `timeout`.
    pub fn wait_progress(&self, timeout: Duration) {
        let guard = self.progress_lock.lock();
        self.waiting.fetch_add(1, SeqCst);
        drop(self.progress.wait_for(guard, timeout));
        self.waiting.fetch_sub(1, SeqCst);
    }

    fn passed(&self) {
        if self.waiting.load(SeqCst) > 0 {
            let _guard = self.progress_lock.lock();
            self.progress.notify_all();
        }
    }

    fn run(self: Arc<Self>) {
        // Whatever happens in here, callers must be able to start another thread.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        leaving();
        {
            let _guard = self.progress_lock.lock();
            self.running.store(false, SeqCst);
            self.progress.notify_all();
        }
        // It found nothing to do and ended, and a log that was opened meanwhile saw it running.
        if outcome.is_ok() && !self.spools.lock().is_empty() {
            self.start();
        }
        if outcome.is_err() {
            report::say(
                "the writer thread failed; this is a defect of logspool. It is started again",
            );
        }
    }

    fn work(self: &Arc<Self>) {
        self.janitor.resume();
        let mut spools = Vec::new();
        let mut version = u64::MAX;
        let mut nap = SHORTEST;
        let mut sync_at = Instant::now() + SYNC_EVERY;
        loop {
            let stopping = self.stopping.load(SeqCst);
            if version != self.version.load(SeqCst) {
                version = self.version.load(SeqCst);
                spools.clone_from(&self.spools.lock());
                if spools.is_empty() {
                    return;
                }
            }
            self.noise.write_due();
            let mut busy = false;
            let mut more = false;
            for spool in &spools {
                let pass = self.drain(spool);
                busy |= pass.records > 0 || pass.contended;
                more |= !pass.complete && pass.records > 0;
            }
            self.passed();
            if stopping {
                return;
            }
            if spools.iter().any(|s| s.users.load(Relaxed) == 0) && self.retire_unused() {
                continue;
            }
            let now = Instant::now();
            if now >= sync_at {
                sync_at = now + SYNC_EVERY;
                for spool in &spools {
                    sync(spool);
                }
            }
            self.adopt_at_times(&spools, now);
            if !more {
                nap = if busy {
                    SHORTEST
                } else {
                    (nap * 2).min(LONGEST)
                };
                self.waker.sleep(nap);
            }
        }
    }

    /// Takes out the spools that no open log uses and that are empty; true where there were any.
    pub fn retire_unused(&self) -> bool {
        let mut gone: Vec<Arc<Spool>> = Vec::new();
        {
            let mut spools = self.spools.lock();
            loop {
                let (standing, before) = (spools.clone(), gone.len());
                spools.retain(|s| {
                    // One that gave way goes when it is drained, and what took its place stays while logs may still move there.
                    let moves_here =
                        |o: &Arc<Spool>| o.successor().is_some_and(|next| Arc::ptr_eq(&next, s));
                    let waits = if s.is_closed() {
                        s.successor().is_some() && (!s.is_finished() || s.is_in_use())
                            || !s.predecessors().is_empty()
                    } else {
                        standing.iter().any(moves_here)
                    };
                    let goes = s.users.load(SeqCst) == 0
                        && !waits
                        && (s.is_closed() || (!s.is_in_use() && s.close()));
                    if goes {
                        self.retired.lock().add(&s.totals());
                        gone.push(Arc::clone(s));
                    }
                    !goes
                });
                if gone.len() == before {
                    break;
                }
            }
        }
        for spool in &gone {
            sync(spool);
            spool.give_back();
        }
        if !gone.is_empty() {
            self.spools_changed();
        }
        !gone.is_empty()
    }

    /// Carries what is in `spool` into segments: by the writer, or by a caller after the last flush. What those hold whose
    /// place it took goes first: a log that is stuck in one of them waits here, too, and others do not.
    pub fn drain(self: &Arc<Self>, spool: &Arc<Spool>) -> Pass {
        let (mut behind, mut earlier) = (spool.predecessors(), Pass::nothing());
        behind.retain(|before| {
            let pass = self.drain(before);
            earlier.add(&pass);
            !pass.complete
        });
        let mut pass = self.drain_behind(spool, &behind);
        pass.add(&earlier);
        pass
    }

    fn drain_behind(self: &Arc<Self>, spool: &Arc<Spool>, behind: &[Arc<Spool>]) -> Pass {
        if spool.has_unannounced() {
            spool.announce_drops();
        }
        let empty = spool.head() == spool.ring.tail() && !spool.has_unannounced();
        if empty && !spool.ring.is_broken() {
            self.let_go(spool);
            return Pass::nothing();
        }
        if spool.successor().is_none() && spool.is_lost() && !self.replace(spool) {
            return Pass::default();
        }
        spool.populate_ahead();
        let newest = spool.newest();
        let home = newest.as_ref().unwrap_or(spool);
        let tail = spool.ring.tail();
        let mut stores = home.stores.lock();
        let pass = stores.drain(Source {
            behind,
            ..source(spool)
        });
        for store in stores.iter_mut() {
            if store.take_closed() {
                self.janitor.request(Job {
                    dir: Arc::clone(&home.dir),
                    name: store.name().to_owned(),
                    current: store.segment_number(),
                    settings: store.settings().clone(),
                });
            }
        }
        drop(stores);
        let moved = spool.ring.tail().wrapping_sub(tail);
        if moved > 0 {
            spool.touch_ahead(moved);
        }
        if pass.complete {
            self.let_go(spool);
        }
        pass
    }

    /// Drains the rings dead processes left in `place`, where this process spools for `dir`, and wherever else they may be.
    pub fn adopt(&self, dir: &LogDir, place: BorrowedFd<'_>, stores: &mut Stores) -> Recovered {
        let shm = crate::spool::place::existing_shm(dir);
        // Also where this process does not spool: the dead one may have been configured otherwise.
        let places = [Some(place), Some(dir.own()), shm.as_ref().map(AsFd::as_fd)];
        let mut total = Recovered::default();
        let mut seen = Vec::new();
        for place in places.into_iter().flatten() {
            let id = fstat(place).map_or((0, 0), |s| (s.st_dev, s.st_ino));
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            match recover::adopt_orphans(place, stores) {
                Ok(found) => total.add(found),
                Err(e) => report::say(&format!(
                    "cannot look for spools of dead processes beside {}: {e}",
                    dir.path().display()
                )),
            }
        }
        self.recovered.fetch_add(total.records, Relaxed);
        self.unfinished.fetch_or(total.left > 0, Relaxed);
        total
    }

    /// The same before this process makes a ring: while too many orphans stand, it waits for whoever holds their logs.
    pub fn adopt_first(&self, dir: &LogDir, place: BorrowedFd<'_>, stores: &mut Stores) {
        let deadline = Instant::now() + ORPHANS_PATIENCE;
        loop {
            let found = self.adopt(dir, place, stores);
            if found.left <= MAX_ORPHANS || !found.contended {
                return;
            }
            if Instant::now() >= deadline {
                report::say(&format!(
                    "{} spools of dead processes stand beside {}, and another process has held their logs for {} s; they \
                     are left for later",
                    found.left,
                    dir.path().display(),
                    ORPHANS_PATIENCE.as_secs()
                ));
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Looks for orphans when it is time to.
    fn adopt_at_times(&self, spools: &[Arc<Spool>], now: Instant) {
        let mut adoption = self.adoption.lock();
        let looked = *adoption.at.get_or_insert(now);
        let soon = adoption.forks != fork::made() || self.unfinished.load(Relaxed);
        if now < looked + if soon { ADOPT_AGAIN } else { ADOPT_EVERY } {
            return;
        }
        *adoption = Adoption {
            at: Some(now),
            forks: fork::made(),
        };
        self.unfinished.store(false, Relaxed);
        for spool in spools.iter().filter(|s| s.successor().is_none()) {
            let found = self.adopt(&spool.dir, spool.place.as_fd(), &mut spool.stores.lock());
            // Where one was there may be more soon.
            self.unfinished.fetch_or(found.rings > 0, Relaxed);
        }
    }
}

/// A living spool as something to drain.
#[must_use]
pub fn source(spool: &Spool) -> Source<'_> {
    Source {
        ring: &spool.ring,
        spool: Some(spool),
        place: spool.place.as_fd(),
        behind: &[],
    }
}

fn sync(spool: &Spool) {
    sync_each(spool, &mut spool.stores.lock());
}

fn sync_each(spool: &Spool, stores: &mut Stores) {
    for store in stores.iter_mut() {
        if let Err(e) = store.sync() {
            report::say(&format!(
                "cannot force {} to the device: {e}",
                spool.dir.path().join(store.name()).display()
            ));
        }
    }
}
