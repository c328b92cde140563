//! The producer's side: a finished line becomes a committed frame, or a counted drop.
//!
//! The mutex is held for a copy (about 100 ns). It leaves at most one torn frame, at the end, when the process is
//! killed, which is why this is not lock-free. Waiting for it or for room happens in [`Caller::detached`].

mod commit;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::error::{Error, Result};
use crate::segment::dir::LogDir;
use crate::spool::frame;
use crate::spool::grow;
use crate::spool::ring::{MAX_LOGS, MAX_NAME, Ring};
use crate::spool::stores::Stores;
use crate::spool::successor::Succession;
use crate::spool::untold::Untold;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wake::Waker;

pub(super) use self::commit::Tried;

const NEVER: u64 = u64::MAX;
/// What the thread that logs must do around a wait.
pub trait Caller {
    /// Runs `wait` without holding what other threads need, then says whether to go on: false when the user
    /// interrupted.
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Committed: it survives from now on.
    Accepted,
    /// Counted as dropped, by policy or because the lock was held by this very thread.
    Dropped,
    /// The user interrupted the wait for room; counted as dropped.
    Interrupted,
    /// A signal handler forked during the wait, and this is the child: nothing was done, and the log is its parent's.
    Forked,
}

/// What is guarded by the producer's mutex.
#[derive(Debug)]
pub struct Producer {
    pub(super) head: u64,
    /// `head` in its lap.
    pub(super) offset: u64,
    /// Where the lap's frames must end: the capacity, or, in a ring that has not grown yet, room for a wrap marker before
    /// the end of what has space.
    pub(super) lap_end: u64,
    pub(super) logs: usize,
    /// The ring could not grow: until when it is not tried again.
    pub(super) stuck: Option<Instant>,
}

impl Producer {
    /// How many logs the ring serves.
    #[must_use]
    pub fn logs(&self) -> usize {
        self.logs
    }

    /// Bytes the rest of the lap has for frames.
    #[inline]
    pub(super) fn lap_left(&self) -> u64 {
        self.lap_end - self.offset
    }
}

/// Counters of one spool.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records committed.
    pub accepted: AtomicU64,
    /// Records dropped because the spool was full.
    pub dropped_newest: AtomicU64,
    /// Committed records dropped to make room.
    pub dropped_oldest: AtomicU64,
    /// Records dropped because this very thread held the lock, or a line was too large for the ring.
    pub dropped_other: AtomicU64,
    /// Committed records lost with pages of the ring.
    pub lost: AtomicU64,
    /// Announcements of drops, beside the records.
    pub announced: AtomicU64,
    /// Times a caller waited for room.
    pub waits: AtomicU64,
}

/// One process's spool for one log directory.
#[derive(Debug)]
pub struct Spool {
    /// The ring.
    pub ring: Ring,
    /// The log directory.
    pub dir: Arc<LogDir>,
    /// Where the ring stands.
    pub place: OwnedFd,
    /// What it keeps to.
    pub settings: SpoolSettings,
    /// Counters.
    pub counters: Counters,
    /// The consumer's side; locked by whoever drains.
    pub stores: Mutex<Stores>,
    producer: Mutex<Producer>,
    owner: AtomicUsize,
    head: AtomicU64,
    last: [AtomicU64; MAX_LOGS],
    /// Records of each log that were dropped for another reason than a full spool and are not announced yet.
    pub(super) untold: [Untold; MAX_LOGS],
    pub(super) claimed: [AtomicU64; MAX_LOGS],
    pub(super) stalled_at: AtomicU64,
    /// Bytes of the ring, from its start, that are faulted in.
    pub(super) populated: AtomicU64,
    /// Held by whoever makes the ring grow.
    pub(super) growth: Mutex<()>,
    pub(super) waiters: AtomicUsize,
    pub(super) space_lock: Mutex<()>,
    pub(super) space: Condvar,
    closed: AtomicBool,
    /// Open logs that append to it: without any it may go.
    pub users: AtomicUsize,
    pub(super) waker: Arc<Waker>,
    pub(super) succession: Succession,
}

impl Spool {
    /// A spool on `ring`.
    #[must_use]
    pub fn new(
        ring: Ring,
        dir: Arc<LogDir>,
        place: OwnedFd,
        settings: SpoolSettings,
        waker: Arc<Waker>,
    ) -> Self {
        ring.set_drops_oldest(settings.when_full == WhenFull::DropOldest);
        let begun = grow::FIRST.min(ring.reserved());
        let lap_end = grow::lap_end(&ring);
        ring.populate(0, begun);
        Self {
            populated: AtomicU64::new(begun),
            growth: Mutex::new(()),
            stores: Mutex::new(Stores::new(Arc::clone(&dir))),
            ring,
            dir,
            place,
            settings,
            counters: Counters::default(),
            producer: Mutex::new(Producer {
                head: 0,
                offset: 0,
                lap_end,
                logs: 0,
                stuck: None,
            }),
            owner: AtomicUsize::new(0),
            head: AtomicU64::new(0),
            last: [const { AtomicU64::new(NEVER) }; MAX_LOGS],
            untold: [const { Untold::new() }; MAX_LOGS],
            claimed: [const { AtomicU64::new(0) }; MAX_LOGS],
            stalled_at: AtomicU64::new(NEVER),
            waiters: AtomicUsize::new(0),
            space_lock: Mutex::new(()),
            space: Condvar::new(),
            closed: AtomicBool::new(false),
            users: AtomicUsize::new(0),
            waker,
            succession: Succession::default(),
        }
    }

    /// Whether log `name` is in the table or has room there.
    #[must_use]
    pub fn has_place(&self, name: &str) -> bool {
        let logs = self.lock().logs;
        logs < MAX_LOGS || (0..logs).any(|slot| self.ring.log_name(slot).as_deref() == Some(name))
    }

    /// The number of log `name` in this spool, entered where it is new.
    ///
    /// # Errors
    /// When the table is full or the name too long.
    pub fn enter(&self, name: &str, settings: &LogSettings) -> Result<usize> {
        let shown = self.dir.path().join(name).display().to_string();
        if name.len() > MAX_NAME {
            return Err(Error::invalid(
                "cannot open the log",
                shown,
                format!("the file name is longer than {MAX_NAME} bytes"),
            ));
        }
        let mut producer = self.lock();
        for slot in 0..producer.logs {
            if self.ring.log_name(slot).as_deref() == Some(name) {
                return Ok(slot);
            }
        }
        let slot = producer.logs;
        if slot == MAX_LOGS {
            return Err(Error::invalid(
                "cannot open the log",
                shown,
                format!(
                    "one process can have {MAX_LOGS} logs open in one directory; use another directory for more"
                ),
            ));
        }
        self.ring.enter_log(slot, name, settings, producer.head);
        producer.logs = slot + 1;
        drop(producer);
        self.keep_header();
        Ok(slot)
    }

    /// The largest line it takes.
    #[must_use]
    pub fn max_line(&self) -> usize {
        usize::try_from(self.ring.region.capacity)
            .unwrap_or(usize::MAX)
            .min(crate::segment::store::MAX_LINE)
            - frame::HEADER
            - usize::from(frame::ALIGN.to_le_bytes()[0])
    }

    /// Where the next frame goes.
    #[inline]
    pub fn head(&self) -> u64 {
        self.head.load(Acquire)
    }

    /// Whether log `slot` has frames that are not in segments.
    pub fn is_pending(&self, slot: usize) -> bool {
        let last = self.last[slot].load(Acquire);
        last != NEVER && last >= self.ring.done(slot) || self.ring.lost(slot).1 > 0
    }

    /// Whether the process is going down, so that records are drained by whoever logs them.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Takes the producer's mutex, waiting for it.
    pub fn lock(&self) -> MutexGuard<'_, Producer> {
        self.producer.lock()
    }

    /// What log `slot` has before `position` is staged with an intent or done: `drop_oldest` may overwrite it at no
    /// loss. The consumer says so while it holds the producer's mutex.
    pub fn set_claimed(&self, slot: usize, position: u64) {
        self.claimed[slot].store(position, Relaxed);
    }

    /// Marks the end: from now on whoever logs drains. True when everything committed is in segments.
    pub fn close(&self) -> bool {
        let producer = self.lock();
        self.closed.store(true, Release);
        producer.head == self.ring.tail()
    }
}
