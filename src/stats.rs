//! Counters as `stats()` shows them. `emitted == written + dropped + in_flight`, always.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use crate::engine::Engine;
use crate::spool::producer::Spool;
use crate::spool::ring::name_of;

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Records given to logspool that passed their level, announcements included.
    pub emitted: u64,
    /// Of these, in segments.
    pub written: u64,
    /// Of these, not kept.
    pub dropped: u64,
    /// Of these, accepted and not in segments yet.
    pub in_flight: u64,
    /// Dropped because the spool was full.
    pub dropped_newest: u64,
    /// Dropped, oldest first, to make room.
    pub dropped_oldest: u64,
    /// Dropped for another reason: logging from within logspool's own lock, a log that could not be opened again.
    pub dropped_other: u64,
    /// Records logspool wrote itself to announce drops.
    pub announced: u64,
    /// Times a call waited for room.
    pub waits: u64,
}

impl Totals {
    /// Of one spool.
    #[must_use]
    pub fn of(spool: &Spool) -> Self {
        let c = &spool.counters;
        let in_flight = spool.in_flight(spool.logs());
        let accepted = c.accepted.load(Relaxed);
        let (newest, oldest, other) = (
            c.dropped_newest.load(Relaxed),
            c.dropped_oldest.load(Relaxed),
            c.dropped_other.load(Relaxed),
        );
        Self {
            emitted: accepted + newest + other,
            written: accepted - in_flight - oldest.min(accepted - in_flight),
            dropped: newest + oldest + other,
            in_flight,
            dropped_newest: newest,
            dropped_oldest: oldest,
            dropped_other: other,
            announced: c.announced.load(Relaxed),
            waits: c.waits.load(Relaxed),
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.emitted += other.emitted;
        self.written += other.written;
        self.dropped += other.dropped;
        self.in_flight += other.in_flight;
        self.dropped_newest += other.dropped_newest;
        self.dropped_oldest += other.dropped_oldest;
        self.dropped_other += other.dropped_other;
        self.announced += other.announced;
        self.waits += other.waits;
    }
}

/// One spool.
#[derive(Debug, Serialize)]
pub struct SpoolStats {
    directory: String,
    ring: String,
    durable: bool,
    capacity_bytes: u64,
    used_bytes: u64,
    logs: Vec<LogStats>,
}

/// One log.
#[derive(Debug, Serialize)]
pub struct LogStats {
    name: String,
    written: u64,
}

/// Compression and retention.
#[derive(Debug, Serialize)]
pub struct SegmentStats {
    compressed: u64,
    bytes_in: u64,
    bytes_out: u64,
    deleted: u64,
    errors: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Stats {
    #[serde(flatten)]
    totals: Totals,
    recovered: u64,
    writer_running: bool,
    spools: Vec<SpoolStats>,
    segments: SegmentStats,
}

/// The counters of this process.
#[must_use]
pub fn collect(engine: &Engine) -> Stats {
    let spools = engine.shared.spools.lock().clone();
    let mut totals = *engine.shared.retired.lock();
    for spool in &spools {
        totals.add(&Totals::of(spool));
    }
    let gzip = &engine.shared.janitor.counters;
    Stats {
        totals,
        recovered: engine.shared.recovered.load(Relaxed),
        writer_running: engine.shared.is_running(),
        spools: spools.iter().map(|s| describe(s)).collect(),
        segments: SegmentStats {
            compressed: gzip.compressed.load(Relaxed),
            bytes_in: gzip.bytes_in.load(Relaxed),
            bytes_out: gzip.bytes_out.load(Relaxed),
            deleted: gzip.deleted.load(Relaxed),
            errors: gzip.errors.load(Relaxed),
        },
    }
}

fn describe(spool: &Spool) -> SpoolStats {
    SpoolStats {
        directory: spool.dir.path().display().to_string(),
        ring: name_of(spool.ring.id()),
        durable: spool.ring.is_durable(),
        capacity_bytes: spool.ring.region.capacity,
        used_bytes: spool.head().saturating_sub(spool.ring.tail()),
        logs: (0..spool.logs())
            .filter_map(|slot| {
                Some(LogStats {
                    name: spool.ring.log_name(slot)?,
                    written: spool.ring.written(slot),
                })
            })
            .collect(),
    }
}
