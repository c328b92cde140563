//! What a spool holds and has seen, as `stats()` shows it.

use std::sync::atomic::Ordering::Relaxed;

use crate::spool::producer::Spool;
use crate::spool::ring::name_of;
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
}
