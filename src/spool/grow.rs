//! A ring that begins small and grows: a forked child's. Most children log little, and a fork storm must not take up the
//! disk.
//!
//! Its file is as long as any, and so are positions and laps; only the first bytes have space at first. A lap then ends
//! early, with a wrap marker, for which there is always room. A frame that does not fit makes the ring grow, never on the
//! fast path; where the disk has no more space, the lap is begun anew as soon as there is room at its start.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::report;
use crate::spool::frame::ALIGN;
use crate::spool::producer::{Producer, Spool};
use crate::spool::ring::Ring;

/// Bytes of data a forked child's ring has at first.
pub const FIRST: u64 = 256 << 10;
/// What a ring grows by, at least.
const STEP: u64 = 1 << 20;
/// A ring that could not grow tries again after this.
const RETRY: Duration = Duration::from_secs(1);
/// How far ahead of the head pages are faulted in: milliseconds of a fast burst.
const AHEAD: u64 = 1 << 20;
/// How far ahead of the head pages that were written back are made writable again: as much as came since the last look, within
/// these bounds. An idle ring is left alone, or the kernel would write it back again and again.
const NEAR: u64 = 16 << 10;
const FAR: u64 = 256 << 10;
const PAGE: u64 = 4096;

/// Where a lap's frames must end.
pub(super) fn lap_end(ring: &Ring) -> u64 {
    let (reserved, capacity) = (ring.reserved(), ring.region.capacity);
    if reserved < capacity {
        reserved.saturating_sub(ALIGN) // For the wrap marker, which is no longer than that.
    } else {
        capacity
    }
}

/// What has space where a lap's frames must end at `lap_end`: the reverse of [`lap_end`].
pub(super) fn space(lap_end: u64, capacity: u64) -> u64 {
    if lap_end < capacity {
        lap_end + ALIGN
    } else {
        capacity
    }
}

impl Spool {
    /// What a frame of `need` bytes takes that does not fit into the rest of the lap.
    #[cold]
    pub(super) fn around(&self, producer: &Producer, need: u64) -> u64 {
        if producer.lap_end < self.ring.region.capacity && producer.stuck.is_none() {
            return self.ring.region.capacity + 1; // It grows first.
        }
        self.to_end(producer) + need
    }

    /// Ends the lap early. A ring that could not grow may try again at the end of the next one.
    #[cold]
    pub(super) fn wrap(&self, producer: &mut Producer) {
        self.ring.region.put_wrap(producer.head, producer.offset);
        producer.head += self.to_end(producer);
        producer.offset = 0;
        if producer.stuck.is_some_and(|until| Instant::now() >= until) {
            producer.stuck = None;
        }
    }

    /// Whether it is space that a frame of `need` bytes lacks, and worth asking for.
    pub(super) fn wants_growth(&self, producer: &mut Producer, need: u64) -> bool {
        if producer.lap_end == self.ring.region.capacity
            || need <= producer.lap_left()
            || !self.has_count(producer)
        {
            return false;
        }
        if producer.stuck.is_some_and(|until| Instant::now() >= until) {
            producer.stuck = None;
        }
        producer.stuck.is_none()
    }

    /// Makes the ring grow until a frame of `need` bytes fits into this lap, or notes that it cannot.
    #[cold]
    pub(super) fn grow(&self, need: u64) {
        let _one_at_a_time = self.growth.lock();
        let wanted = {
            let mut producer = self.lock();
            if !self.wants_growth(&mut producer, need) {
                return; // Another thread was faster.
            }
            producer.offset + need + ALIGN
        };
        let to = wanted
            .max(self.ring.reserved() + STEP)
            .next_multiple_of(PAGE)
            .min(self.ring.region.capacity);
        let extended = self.ring.extend(to);
        let mut producer = self.lock();
        match extended {
            Ok(()) => producer.lap_end = lap_end(&self.ring),
            Err(e) => {
                producer.stuck = Some(Instant::now() + RETRY);
                drop(producer);
                report::say(&format!(
                    "the spool of {} cannot grow beyond {} KiB: {e}; it goes on with what it has",
                    self.dir.path().display(),
                    self.ring.reserved() >> 10
                ));
            }
        }
    }

    /// Faults in what the head comes to next, on the first lap: a page's first write costs as much as many records. The
    /// writer does so, ahead of the callers; a ring that is never filled never takes up its size in memory.
    pub fn populate_ahead(&self) {
        let reserved = self.ring.reserved();
        let from = self.populated.load(Relaxed);
        if from < reserved {
            let ahead = self.head() % self.ring.region.capacity + AHEAD;
            let to = ahead.next_multiple_of(PAGE).min(reserved);
            if to > from {
                self.ring.populate(from, to - from);
                self.populated.store(to, Relaxed);
            }
        }
    }

    /// Makes the pages the head comes to next writable, after a pass that found `moved` bytes. What the kernel writes back, about
    /// every 30 s, it also protects: the next store to each page is a fault, in which the file system may wait for its journal.
    /// The writer meets it in the callers' stead.
    pub fn touch_ahead(&self, moved: u64) {
        if !self.ring.is_durable() {
            return;
        }
        let capacity = self.ring.region.capacity;
        let backed = self.populated.load(Relaxed).min(self.ring.reserved());
        let touch = |from: u64, to: u64| {
            let (from, to) = (from / PAGE * PAGE, to.min(backed));
            if from < to {
                self.ring.populate(from, to - from);
            }
        };
        let head = self.head();
        let from = if head == self.ring.tail() {
            Self::next_offset(head % capacity)
        } else {
            head % capacity
        };
        let to = from + moved.clamp(NEAR, FAR);
        touch(from, to);
        touch(0, to.saturating_sub(capacity));
    }
}
