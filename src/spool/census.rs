//! What a spool holds and has seen, as `stats()` shows it, and its end when it holds nothing.

use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{AtFlags, unlinkat};

use crate::spool::place;
use crate::spool::producer::Spool;
use crate::spool::ring::{self, name_of};
use crate::stats::{LogStats, SpoolStats, Totals};

impl Spool {
    /// Records of this spool that are not in segments.
    pub fn in_flight(&self, logs: usize) -> u64 {
        let written: u64 = (0..logs).map(|slot| self.ring.written(slot)).sum();
        let accepted = self.counters.accepted.load(Relaxed);
        let gone = self.counters.dropped_oldest.load(Relaxed) + self.counters.lost.load(Relaxed);
        accepted.saturating_sub(written + gone)
    }

    /// What became of its records.
    #[must_use]
    pub fn totals(&self) -> Totals {
        // Under the mutex, so that no record is counted on one side only.
        let producer = self.lock();
        let c = &self.counters;
        let accepted = c.accepted.load(Relaxed);
        let in_flight = self.in_flight(producer.logs());
        let (newest, oldest, other) = (
            c.dropped_newest.load(Relaxed),
            c.dropped_oldest.load(Relaxed),
            c.dropped_other.load(Relaxed),
        );
        let lost = c.lost.load(Relaxed);
        Totals {
            emitted: accepted + newest + other,
            written: accepted.saturating_sub(in_flight + oldest + lost),
            dropped: newest + oldest + other + lost,
            in_flight,
            dropped_newest: newest,
            dropped_oldest: oldest,
            dropped_other: other + lost,
            announced: c.announced.load(Relaxed),
            waits: c.waits.load(Relaxed),
        }
    }

    /// Where it is and how full.
    #[must_use]
    pub fn describe(&self) -> SpoolStats {
        SpoolStats {
            directory: self.dir.path().display().to_string(),
            ring: name_of(self.ring.id()),
            durable: self.ring.is_durable(),
            capacity_bytes: self.ring.region.capacity,
            used_bytes: self.head().saturating_sub(self.ring.tail()),
            logs: (0..self.lock().logs())
                .filter_map(|slot| {
                    Some(LogStats {
                        name: self.ring.log_name(slot)?,
                        written: self.ring.written(slot),
                    })
                })
                .collect(),
        }
    }

    /// Whether it holds anything, or has something to announce.
    pub fn is_in_use(&self) -> bool {
        self.head() != self.ring.tail() || self.has_unannounced()
    }

    /// Whether everything before `position` is in segments. A tail beyond the head says nothing: somebody damaged it, and the
    /// writer will notice.
    #[must_use]
    pub fn is_past(&self, position: u64) -> bool {
        (position..=self.head()).contains(&self.ring.tail())
    }

    /// Removes the ring, of a spool that is closed and empty, and its place where that was made for it alone.
    pub fn give_back(&self) {
        if self.is_in_use() || !self.ring.is_durable() {
            return;
        }
        let name = ring::file_name(self.ring.id());
        let _ = unlinkat(&self.place, name, AtFlags::empty());
        place::tidy(&self.dir, &self.settings.place);
    }
}
