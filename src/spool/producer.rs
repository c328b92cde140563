//! The producer's side: a finished line becomes a committed frame, or a counted drop.
//!
//! The mutex is held for a copy (about 100 ns). It leaves at most one torn frame, at the end, when the process is
//! killed, which is why this is not lock-free. Waiting for it or for room happens in [`Caller::detached`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::error::{Error, Result};
use crate::json::{SEQ_LEN, SEQ_TAIL};
use crate::segment::dir::LogDir;
use crate::spool::drain::Stores;
use crate::spool::frame::{self, Found};
use crate::spool::notice::{self, Reason};
use crate::spool::ring::{MAX_LOGS, MAX_NAME, Ring};
use crate::wake::Waker;

/// How long a wait lasts before the caller may look at signals.
const SLICE: Duration = Duration::from_millis(50);
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
}

enum Tried {
    Accepted,
    Dropped,
    Busy,
    Full,
}

/// What is guarded by the producer's mutex.
#[derive(Debug)]
pub struct Producer {
    head: u64,
    logs: usize,
}

/// Counters of one spool.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames committed, announcements included.
    pub accepted: AtomicU64,
    /// Records dropped because the spool was full.
    pub dropped_newest: AtomicU64,
    /// Committed records dropped to make room.
    pub dropped_oldest: AtomicU64,
    /// Records dropped because this very thread held the lock, or a line was too large for the ring.
    pub dropped_other: AtomicU64,
    /// Announcements among the accepted.
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
    claimed: AtomicU64,
    stalled_at: AtomicU64,
    waiters: AtomicUsize,
    space_lock: Mutex<()>,
    space: Condvar,
    closed: AtomicBool,
    waker: Arc<Waker>,
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
        Self {
            stores: Mutex::new(Stores::new(Arc::clone(&dir))),
            ring,
            dir,
            place,
            settings,
            counters: Counters::default(),
            producer: Mutex::new(Producer { head: 0, logs: 0 }),
            owner: AtomicUsize::new(0),
            head: AtomicU64::new(0),
            last: [const { AtomicU64::new(NEVER) }; MAX_LOGS],
            claimed: AtomicU64::new(0),
            stalled_at: AtomicU64::new(NEVER),
            waiters: AtomicUsize::new(0),
            space_lock: Mutex::new(()),
            space: Condvar::new(),
            closed: AtomicBool::new(false),
            waker,
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
                format!("one process can have {MAX_LOGS} logs in one directory; use another directory for more"),
            ));
        }
        self.ring.enter_log(slot, name, settings, producer.head);
        producer.logs = slot + 1;
        Ok(slot)
    }

    /// How many logs it serves.
    pub fn logs(&self) -> usize {
        self.lock().logs
    }

    /// The largest line it takes.
    #[must_use]
    pub fn max_line(&self) -> usize {
        usize::try_from(self.ring.region.capacity / 4)
            .unwrap_or(usize::MAX)
            .min(crate::segment::store::MAX_LINE)
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
            Tried::Busy | Tried::Full => self.append_slowly(slot, line, numbered, urgent, caller),
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

    /// Waits for the lock and for room, as the policy says.
    #[cold]
    fn append_slowly(
        &self,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
        urgent: bool,
        caller: &mut dyn Caller,
    ) -> Appended {
        let deadline = self.settings.block_timeout.map(|t| Instant::now() + t);
        let mut waited = false;
        loop {
            let mut tried = Tried::Busy;
            let goes_on = caller.detached(&mut || {
                tried = self.commit(self.lock(), slot, line, numbered, urgent);
            });
            match tried {
                Tried::Accepted => return Appended::Accepted,
                Tried::Dropped => return Appended::Dropped,
                Tried::Full | Tried::Busy => {}
            }
            if !waited {
                waited = true;
                self.counters.waits.fetch_add(1, Relaxed);
            }
            let now = Instant::now();
            let left = deadline.map_or(SLICE, |d| d.saturating_duration_since(now));
            if goes_on && left.is_zero() {
                self.stalled_at.store(self.ring.tail(), Relaxed);
                self.drop_new(&mut self.lock(), slot, numbered);
                return Appended::Dropped;
            }
            if !goes_on || !caller.detached(&mut || self.wait_for_room(left.min(SLICE))) {
                self.drop_new(&mut self.lock(), slot, numbered);
                return Appended::Interrupted;
            }
        }
    }

    /// Waits until the consumer has freed something, at most `timeout`.
    fn wait_for_room(&self, timeout: Duration) {
        self.waker.wake();
        let tail = self.ring.tail();
        let mut guard = self.space_lock.lock();
        self.waiters.fetch_add(1, Relaxed);
        if self.ring.tail() == tail {
            self.space.wait_for(&mut guard, timeout);
        }
        self.waiters.fetch_sub(1, Relaxed);
    }

    /// Wakes those who wait for room; the consumer calls it when it has freed something.
    pub fn room_was_made(&self) {
        if self.waiters.load(Acquire) > 0 {
            let _guard = self.space_lock.lock();
            self.space.notify_all();
        }
    }

    #[inline]
    fn commit(
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
        let used = producer.head - self.ring.tail();
        drop(producer);
        if urgent || used > self.ring.region.capacity / 2 {
            self.waker.wake();
        }
        tried
    }

    #[inline]
    fn commit_locked(
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
        if !self.has_room(producer, frame::size(line.len())) {
            return self.when_full(producer, slot, line, numbered);
        }
        self.put(producer, slot, line, numbered);
        Tried::Accepted
    }

    /// The first record after drops is preceded by the announcement of what is missing.
    #[cold]
    fn commit_after_notice(
        &self,
        producer: &mut Producer,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
        (first, count): (u64, u64),
    ) -> Tried {
        let mut text = notice::dropped(self.ring.id(), Reason::Newest, first, count);
        // Both or neither; a wrap between them costs at most one frame more.
        let both = frame::size(text.len()) * 2 + frame::size(line.len());
        if !self.has_room(producer, both) {
            return self.when_full(producer, slot, line, numbered);
        }
        self.put(producer, slot, &mut text, false);
        self.counters.announced.fetch_add(1, Relaxed);
        self.ring.set_lost(slot, 0, 0);
        self.put(producer, slot, line, numbered);
        Tried::Accepted
    }

    /// Announces drops that no record has followed yet, as far as there is room.
    pub fn announce_drops(&self) {
        if self.settings.when_full == WhenFull::DropOldest {
            return; // The consumer announces these, in their place.
        }
        let mut producer = self.lock();
        for slot in 0..producer.logs {
            let (first, count) = self.ring.lost(slot);
            if count > 0 {
                let mut text = notice::dropped(self.ring.id(), Reason::Newest, first, count);
                if self.has_room(&producer, frame::size(text.len())) {
                    self.put(&mut producer, slot, &mut text, false);
                    self.counters.announced.fetch_add(1, Relaxed);
                    self.ring.set_lost(slot, 0, 0);
                }
            }
        }
    }

    #[inline]
    fn has_room(&self, producer: &Producer, need: u64) -> bool {
        let region = &self.ring.region;
        let to_end = region.to_end(producer.head);
        let total = if need > to_end { to_end + need } else { need };
        producer.head + total - self.ring.tail() <= region.capacity
            && self
                .settings
                .queue_max
                .is_none_or(|max| self.in_flight(producer.logs) < max)
    }

    #[inline]
    fn put(&self, producer: &mut Producer, slot: usize, line: &mut [u8], numbered: bool) {
        let region = &self.ring.region;
        if numbered {
            patch_seq(line, self.ring.id(), self.ring.take_seq(slot));
        }
        let need = frame::size(line.len());
        let to_end = region.to_end(producer.head);
        if need > to_end {
            region.put_wrap(producer.head);
            producer.head += to_end;
        }
        region.put(producer.head, slot, line);
        self.last[slot].store(producer.head, Release);
        producer.head += need;
        self.head.store(producer.head, Release);
        // Only under the mutex: a plain load and store suffice.
        let accepted = &self.counters.accepted;
        accepted.store(accepted.load(Relaxed) + 1, Relaxed);
    }

    #[cold]
    fn when_full(
        &self,
        producer: &mut Producer,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
    ) -> Tried {
        match self.settings.when_full {
            WhenFull::Block if self.stalled_at.load(Relaxed) != self.ring.tail() => Tried::Full,
            WhenFull::Block | WhenFull::DropNewest => {
                self.drop_new(producer, slot, numbered);
                self.waker.wake();
                Tried::Dropped
            }
            WhenFull::DropOldest => {
                if self.drop_old(producer, frame::size(line.len())) {
                    self.put(producer, slot, line, numbered);
                    Tried::Accepted
                } else {
                    self.drop_new(producer, slot, numbered);
                    Tried::Dropped
                }
            }
        }
    }

    /// Counts a record that was not taken; its sequence number is used up, so that the gap can be explained.
    fn drop_new(&self, _producer: &mut Producer, slot: usize, numbered: bool) {
        self.counters.dropped_newest.fetch_add(1, Relaxed);
        let (first, count) = self.ring.lost(slot);
        let seq = if numbered {
            self.ring.take_seq(slot)
        } else {
            first + count
        };
        self.ring
            .set_lost(slot, if count == 0 { seq } else { first }, count + 1);
    }

    /// Frees room from the tail: what is staged with an intent costs nothing, what is not is counted as dropped.
    fn drop_old(&self, producer: &Producer, need: u64) -> bool {
        while !self.has_room(producer, need) {
            let tail = self.ring.tail();
            if tail >= producer.head {
                return false;
            }
            match self.ring.region.find(tail, producer.head - tail, false) {
                Found::Frame { log, payload, next } => {
                    // What the consumer has claimed is staged with an intent: freeing it loses nothing.
                    if tail >= self.ring.done(log) && tail >= self.claimed.load(Relaxed) {
                        self.counters.dropped_oldest.fetch_add(1, Relaxed);
                        let (first, count) = self.ring.lost(log);
                        let first = if count == 0 {
                            read_seq(payload).unwrap_or(0)
                        } else {
                            first
                        };
                        self.ring.set_lost(log, first, count + 1);
                    }
                    self.ring.set_tail(next);
                }
                Found::Wrap { next } => self.ring.set_tail(next),
                Found::Damaged | Found::Nothing => return false,
            }
        }
        true
    }

    /// Whether drops wait to be announced.
    #[must_use]
    pub fn has_unannounced(&self) -> bool {
        let dropped = &self.counters;
        dropped.dropped_newest.load(Relaxed) + dropped.dropped_oldest.load(Relaxed) > 0
            && (0..MAX_LOGS).any(|slot| self.ring.lost(slot).1 > 0)
    }

    /// Records of this spool that are not in segments.
    pub fn in_flight(&self, logs: usize) -> u64 {
        let written: u64 = (0..logs).map(|slot| self.ring.written(slot)).sum();
        let accepted = self.counters.accepted.load(Relaxed);
        accepted.saturating_sub(written + self.counters.dropped_oldest.load(Relaxed))
    }

    /// Everything before `position` is staged with an intent or done: `drop_oldest` may overwrite it at no loss. The
    /// consumer says so while it holds the producer's mutex.
    pub fn set_claimed(&self, position: u64) {
        self.claimed.store(position, Relaxed);
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

/// The number in the sequence text a line ends with.
fn read_seq(line: &[u8]) -> Option<u64> {
    let end = line.len().checked_sub(SEQ_TAIL.len())?;
    let text = std::str::from_utf8(line.get(end.checked_sub(10)?..end)?).ok()?;
    u64::from_str_radix(text, 16).ok()
}
