//! A spool without room: wait, drop the newest or drop the oldest, and announce what was dropped.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

use crate::config::WhenFull;
use crate::fork;
use crate::spool::frame::{self, Found, Kind};
use crate::spool::notice::{self, Reason};
use crate::spool::producer::{Appended, Caller, Producer, Spool, Tried};
use crate::spool::ring::{MAX_LOGS, look};

/// How long a wait lasts before the caller may look at signals.
const SLICE: Duration = Duration::from_millis(50);

impl Spool {
    /// Waits for the lock and for room, as the policy says.
    #[cold]
    pub(super) fn append_slowly(
        &self,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
        urgent: bool,
        caller: &mut dyn Caller,
    ) -> Appended {
        let deadline = self.settings.block_timeout.map(|t| Instant::now() + t);
        let mut waited = false;
        // Signal handlers run at the end of a wait, and one may fork: the child must not touch its parent's ring.
        let forks = fork::forks();
        loop {
            let mut tried = Tried::Busy;
            // Of before the attempt: room that is made between that and the wait is not waited for.
            let tail = self.ring.tail();
            let goes_on = caller.detached(&mut || {
                tried = self.commit(self.lock(), slot, line, numbered, urgent);
                while let Tried::Short(need) = tried {
                    self.grow(need);
                    tried = self.commit(self.lock(), slot, line, numbered, urgent);
                }
            });
            match tried {
                Tried::Accepted => return Appended::Accepted,
                Tried::Dropped => return Appended::Dropped,
                Tried::Full | Tried::Busy | Tried::Short(_) => {}
            }
            if fork::forks() != forks {
                return Appended::Forked;
            }
            if !waited {
                waited = true;
                self.counters.waits.fetch_add(1, Relaxed);
            }
            let now = Instant::now();
            let left = deadline.map_or(SLICE, |d| d.saturating_duration_since(now));
            if goes_on && left.is_zero() {
                self.set_stalled();
                self.drop_new(&mut self.lock(), slot, numbered);
                return Appended::Dropped;
            }
            let goes_on =
                goes_on && caller.detached(&mut || self.wait_for_room(tail, left.min(SLICE)));
            if fork::forks() != forks {
                return Appended::Forked;
            }
            if !goes_on {
                self.drop_new(&mut self.lock(), slot, numbered);
                return Appended::Interrupted;
            }
        }
    }

    /// Whether a wait has run out and the consumer has not moved since: then nobody waits again.
    pub fn is_stalled(&self) -> bool {
        self.stalled_at.load(Relaxed) == self.ring.tail()
    }

    /// A wait has run out.
    pub fn set_stalled(&self) {
        self.stalled_at.store(self.ring.tail(), Relaxed);
    }

    /// Waits until the consumer has freed something behind `tail`, at most `timeout`.
    fn wait_for_room(&self, tail: u64, timeout: Duration) {
        self.waker.wake();
        let guard = self.space_lock.lock();
        self.waiters.fetch_add(1, Relaxed);
        fence(SeqCst); // As in `room_was_made`.
        if self.ring.tail() == tail {
            drop(self.space.wait_for(guard, timeout));
        }
        self.waiters.fetch_sub(1, Relaxed);
    }

    /// Wakes those who wait for room; the consumer calls it when it has freed something.
    pub fn room_was_made(&self) {
        // Either this sees who waits, or who begins to wait sees the tail that was stored before.
        fence(SeqCst);
        if self.waiters.load(Relaxed) > 0 {
            let _guard = self.space_lock.lock();
            self.space.notify_all();
        }
    }

    /// The first record after drops is preceded by the announcement of what is missing.
    #[cold]
    pub(super) fn commit_after_notice(
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
        if !self.has_room(producer, both) && !self.start_afresh(producer, both) {
            if self.wants_growth(producer, both) {
                return Tried::Short(both);
            }
            let alone = frame::size(text.len());
            if both > producer.lap_end && self.has_room(producer, alone) {
                // A line nearly as large as the ring: the announcement goes ahead.
                self.put(producer, slot, Kind::Announcement, &mut text, false);
                self.ring.clear_lost(slot);
            }
            return self.when_full(producer, slot, line, numbered);
        }
        self.put(producer, slot, Kind::Announcement, &mut text, false);
        self.ring.clear_lost(slot);
        self.put(producer, slot, Kind::Record, line, numbered);
        Tried::Accepted
    }

    /// Announces drops that no record has followed yet, as far as there is room.
    pub fn announce_drops(&self) {
        let mut producer = self.lock();
        for slot in 0..producer.logs {
            let (first, count) = self.ring.lost(slot);
            // Of the oldest the consumer announces them, in their place.
            if count > 0 && self.settings.when_full != WhenFull::DropOldest {
                let mut text = notice::dropped(self.ring.id(), Reason::Newest, first, count);
                let need = frame::size(text.len());
                if self.has_room(&producer, need) || self.start_afresh(&mut producer, need) {
                    self.put(&mut producer, slot, Kind::Announcement, &mut text, false);
                    self.ring.clear_lost(slot);
                } else {
                    continue; // Those that were dropped later have later numbers.
                }
            }
            self.announce_others(&mut producer, slot);
        }
    }

    #[cold]
    pub(super) fn when_full(
        &self,
        producer: &mut Producer,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
    ) -> Tried {
        let need = frame::size(line.len());
        if self.wants_growth(producer, need) {
            return Tried::Short(need);
        }
        match self.settings.when_full {
            WhenFull::Block if !self.is_stalled() => Tried::Full,
            WhenFull::Block | WhenFull::DropNewest => {
                self.drop_new(producer, slot, numbered);
                self.waker.wake();
                Tried::Dropped
            }
            WhenFull::DropOldest => {
                if self.drop_old(producer, need) {
                    self.put(producer, slot, Kind::Record, line, numbered);
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
        let seq = numbered.then(|| self.ring.take_seq(slot));
        self.ring.lose(slot, seq);
    }

    /// Frees room from the tail: what is staged with an intent costs nothing, what is not is counted as dropped.
    fn drop_old(&self, producer: &mut Producer, need: u64) -> bool {
        if need > producer.lap_end {
            return false; // Nothing that could be dropped would help.
        }
        let mut dropped = 0;
        // A limit on records is kept to by dropping one for one: what is claimed counts as in flight until it is written,
        // and dropping all others would not change that.
        while !self.has_bytes(producer, need) || (dropped == 0 && !self.has_count(producer)) {
            let tail = self.ring.tail();
            if tail >= producer.head {
                if !self.has_bytes(producer, need) {
                    self.start_afresh(producer, need);
                }
                return self.has_bytes(producer, need);
            }
            match self.ring.find(tail, producer.head - tail, false) {
                Found::Frame {
                    log,
                    kind,
                    payload,
                    next,
                } => {
                    // What the consumer has claimed is staged with an intent: freeing it loses nothing.
                    let counts =
                        tail >= self.ring.done(log) && tail >= self.claimed[log].load(Relaxed);
                    if counts && kind == Kind::Record {
                        dropped += 1;
                        self.counters.dropped_oldest.fetch_add(1, Relaxed);
                        self.ring.lose(log, self.ring.seq_of(payload));
                    } else if counts && let Some((_, first, count)) = look::dropped(payload) {
                        // What it stands for is announced with the records around it.
                        self.ring.lose_range(log, first, count);
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
            || self.has_untold()
    }
}
