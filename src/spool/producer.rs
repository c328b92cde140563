//! The producer's side: a finished line becomes a committed frame, or a counted drop.
//!
//! The mutex is held for a copy (about 100 ns). It leaves at most one torn frame, at the end, when the process is
//! killed, which is why this is not lock-free. Waiting for it or for room happens in [`Caller::detached`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::json::{SEQ_LEN, SEQ_TAIL};
use crate::segment::dir::LogDir;
use crate::spool::frame::{self, Kind};
use crate::spool::grow;
use crate::spool::ring::{MAX_LOGS, MAX_NAME, Ring};
use crate::spool::stores::Stores;
use crate::spool::successor::Succession;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wake::Waker;

const NEVER: u64 = u64::MAX;
/// A ring that is drained as fast as it fills keeps to its beginning, which stays in the processor's cache, and the kernel has
/// fewer pages to write back and to fault in again. Half of what a forked child's ring has at first ([`grow::FIRST`]).
const RESTART: u64 = 128 << 10;

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

/// How one attempt ended.
pub(super) enum Tried {
    /// Committed.
    Accepted,
    /// Counted as dropped.
    Dropped,
    /// Another thread holds the mutex.
    Busy,
    /// There is no room, and the policy is to wait.
    Full,
    /// The ring has to grow first, for so many bytes: [`Spool::grow`].
    Short(u64),
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
                    "one process can have {MAX_LOGS} logs in one directory; use another directory for more"
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

    /// Commits `line` to log `slot`. With `numbered`, the line ends in a sequence placeholder, which is filled in.
    #[inline]
    pub fn append(
        &self,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
        urgent: bool,
        caller: &mut dyn Caller,
    ) -> Appended {
        match self.try_append(slot, line, numbered, urgent) {
            Tried::Accepted => Appended::Accepted,
            Tried::Dropped => Appended::Dropped,
            Tried::Busy | Tried::Full | Tried::Short(_) => {
                self.append_slowly(slot, line, numbered, urgent, caller)
            }
        }
    }

    #[inline]
    fn try_append(&self, slot: usize, line: &mut [u8], numbered: bool, urgent: bool) -> Tried {
        let Some(producer) = self.producer.try_lock() else {
            if self.owner.load(Relaxed) == this_thread() {
                self.counters.dropped_other.fetch_add(1, Relaxed);
                return Tried::Dropped;
            }
            return Tried::Busy;
        };
        self.commit(producer, slot, line, numbered, urgent)
    }

    #[inline]
    pub(super) fn commit(
        &self,
        mut producer: MutexGuard<'_, Producer>,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
        urgent: bool,
    ) -> Tried {
        self.owner.store(this_thread(), Relaxed);
        let tried = self.commit_locked(&mut producer, slot, line, numbered);
        self.owner.store(0, Relaxed);
        // Wrapping, here and below: a tail that somebody damaged is beyond the head until the writer notices.
        let used = producer.head.wrapping_sub(self.ring.tail());
        // The next record is probably as long as this one. The ring is larger than the caches near the processor, and
        // letting go of the mutex waits for every store before it: by then those of the next record shall not be far away.
        self.ring
            .region
            .expect(producer.offset, frame::size(line.len()));
        drop(producer);
        if used > self.ring.region.capacity / 2 {
            self.waker.wake();
        } else if urgent {
            self.waker.hurry();
        }
        tried
    }

    #[inline]
    pub(super) fn commit_locked(
        &self,
        producer: &mut Producer,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
    ) -> Tried {
        if line.len() > self.max_line() {
            self.counters.dropped_other.fetch_add(1, Relaxed);
            return Tried::Dropped;
        }
        let lost = self.ring.lost(slot);
        if lost.1 > 0 && self.settings.when_full != WhenFull::DropOldest {
            return self.commit_after_notice(producer, slot, line, numbered, lost);
        }
        let need = frame::size(line.len());
        if producer.offset > RESTART && producer.head == self.ring.tail() {
            self.start_lap(producer);
        }
        if !self.has_room(producer, need) && !self.start_afresh(producer, need) {
            return self.when_full(producer, slot, line, numbered);
        }
        self.put(producer, slot, Kind::Record, line, numbered);
        Tried::Accepted
    }

    /// An empty ring holds a line of any size up to its own: the rest of the lap is skipped.
    #[cold]
    pub(super) fn start_afresh(&self, producer: &mut Producer, need: u64) -> bool {
        if producer.head != self.ring.tail() {
            return false;
        }
        if need > producer.lap_left() && producer.offset > 0 {
            self.start_lap(producer);
        }
        self.has_room(producer, need)
    }

    /// Where the next frame of an empty ring goes that stands at `offset`.
    pub(super) fn next_offset(offset: u64) -> u64 {
        if offset > RESTART { 0 } else { offset }
    }

    /// Skips the rest of the lap of an empty ring, whose tail nobody else moves. The tail goes first: the consumer must
    /// never look for frames in what is skipped.
    #[cold]
    fn start_lap(&self, producer: &mut Producer) {
        producer.head += self.to_end(producer);
        producer.offset = 0;
        self.ring.set_tail(producer.head);
        failpoint::turn();
        self.head.store(producer.head, Release);
    }

    /// Bytes to the end of the lap, with those that have no space.
    #[inline]
    pub(super) fn to_end(&self, producer: &Producer) -> u64 {
        self.ring.region.capacity - producer.offset
    }

    #[inline]
    pub(super) fn has_room(&self, producer: &Producer, need: u64) -> bool {
        self.has_bytes(producer, need) && self.has_count(producer)
    }

    /// Whether there is room for `need` bytes.
    #[inline]
    pub(super) fn has_bytes(&self, producer: &Producer, need: u64) -> bool {
        let total = if need > producer.lap_left() {
            self.around(producer, need)
        } else {
            need
        };
        (producer.head + total).wrapping_sub(self.ring.tail()) <= self.ring.region.capacity
    }

    /// Whether one more record may be in flight.
    #[inline]
    pub(super) fn has_count(&self, producer: &Producer) -> bool {
        self.settings
            .queue_max
            .is_none_or(|max| self.in_flight(producer.logs) < max)
    }

    #[inline]
    pub(super) fn put(
        &self,
        producer: &mut Producer,
        slot: usize,
        kind: Kind,
        line: &mut [u8],
        numbered: bool,
    ) {
        let region = &self.ring.region;
        if numbered {
            patch_seq(line, self.ring.id(), self.ring.take_seq(slot));
        }
        let need = frame::size(line.len());
        if need > producer.lap_left() {
            self.wrap(producer);
        }
        if failpoint::switched("head-first") {
            self.head.store(producer.head + need, Release);
        }
        region.put(producer.head, producer.offset, slot, kind, line);
        failpoint::turn();
        self.last[slot].store(producer.head, Release);
        failpoint::turn();
        producer.head += need;
        producer.offset += need;
        if producer.offset == region.capacity {
            producer.offset = 0;
        }
        self.head.store(producer.head, Release);
        // Only under the mutex: a plain load and store suffice.
        let counter = match kind {
            Kind::Record => &self.counters.accepted,
            Kind::Announcement => &self.counters.announced,
        };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
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

/// Identifies the running thread, cheaply.
#[inline]
fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

/// Fills in the sequence placeholder a numbered line ends with.
#[inline]
fn patch_seq(line: &mut [u8], ring: [u8; 8], mut n: u64) {
    let Some(start) = line.len().checked_sub(SEQ_LEN + SEQ_TAIL.len()) else {
        return;
    };
    let text = &mut line[start..start + SEQ_LEN];
    text[..8].copy_from_slice(&ring);
    text[8] = b'-';
    for digit in text[9..].iter_mut().rev() {
        *digit = b"0123456789abcdef"[(n & 15) as usize];
        n >>= 4;
    }
}
