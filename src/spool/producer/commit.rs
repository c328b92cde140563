//! The path of every record: room, number, frame, commit. What is out of the ordinary is elsewhere: a full ring in
//! `full`, one that has to grow in `grow`.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::{Appended, Caller, Producer, Spool};
use crate::config::WhenFull;
use crate::failpoint;
use crate::json::{SEQ_LEN, SEQ_TAIL};
use crate::spool::frame::{self, Kind};
use crate::sync::MutexGuard;

/// A ring that is drained as fast as it fills keeps to its beginning, which stays in the processor's cache, and the kernel has
/// fewer pages to write back and to fault in again. Half of what a forked child's ring has at first ([`FIRST`](crate::spool::grow::FIRST)).
const RESTART: u64 = 128 << 10;

/// How one attempt ended.
pub(in crate::spool) enum Tried {
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

impl Spool {
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
                self.drop_other(slot, numbered);
                return Tried::Dropped;
            }
            return Tried::Busy;
        };
        self.commit(producer, slot, line, numbered, urgent)
    }

    #[inline]
    pub(in crate::spool) fn commit(
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
    pub(in crate::spool) fn commit_locked(
        &self,
        producer: &mut Producer,
        slot: usize,
        line: &mut [u8],
        numbered: bool,
    ) -> Tried {
        if line.len() > self.max_line() {
            self.drop_other(slot, numbered);
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

    /// Commits a line of our own, a record like others, where there is room at once: whoever calls may be who makes room.
    pub fn append_if_room(&self, slot: usize, line: &mut [u8], numbered: bool) -> bool {
        let mut producer = self.lock();
        // What was dropped before is announced first.
        let waits = self.ring.lost(slot).1 > 0 && self.settings.when_full != WhenFull::DropOldest;
        let need = frame::size(line.len());
        if waits || !self.has_room(&producer, need) && !self.start_afresh(&mut producer, need) {
            return false;
        }
        self.put(&mut producer, slot, Kind::Record, line, numbered);
        true
    }

    /// An empty ring holds a line of any size up to its own: the rest of the lap is skipped.
    #[cold]
    pub(in crate::spool) fn start_afresh(&self, producer: &mut Producer, need: u64) -> bool {
        if producer.head != self.ring.tail() {
            return false;
        }
        if need > producer.lap_left() && producer.offset > 0 {
            self.start_lap(producer);
        }
        self.has_room(producer, need)
    }

    /// Where the next frame of an empty ring goes that stands at `offset`.
    pub(in crate::spool) fn next_offset(offset: u64) -> u64 {
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
    pub(in crate::spool) fn to_end(&self, producer: &Producer) -> u64 {
        self.ring.region.capacity - producer.offset
    }

    #[inline]
    pub(in crate::spool) fn has_room(&self, producer: &Producer, need: u64) -> bool {
        self.has_bytes(producer, need) && self.has_count(producer)
    }

    /// Whether there is room for `need` bytes.
    #[inline]
    pub(in crate::spool) fn has_bytes(&self, producer: &Producer, need: u64) -> bool {
        let total = if need > producer.lap_left() {
            self.around(producer, need)
        } else {
            need
        };
        (producer.head + total).wrapping_sub(self.ring.tail()) <= self.ring.region.capacity
    }

    /// Whether one more record may be in flight.
    #[inline]
    pub(in crate::spool) fn has_count(&self, producer: &Producer) -> bool {
        self.settings
            .queue_max
            .is_none_or(|max| self.in_flight(producer.logs) < max)
    }

    #[inline]
    pub(in crate::spool) fn put(
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
}

#[cfg(test)]
impl Spool {
    /// What happens from within a commit.
    pub(crate) fn within_a_commit<T>(&self, act: impl FnOnce() -> T) -> T {
        let guard = self.lock();
        self.owner.store(this_thread(), Relaxed);
        let done = act();
        self.owner.store(0, Relaxed);
        drop(guard);
        done
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
