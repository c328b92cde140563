//! Counters as `stats()` shows them. `emitted == written + dropped + in_flight`, always.

use std::collections::BTreeMap;

use serde::Serialize;

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Records given to logspool that passed their level.
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
    /// Dropped for another reason: logging from within logspool's own lock, a log that could not be opened again,
    /// a spool file that failed or was truncated.
    pub dropped_other: u64,
    /// Records logspool wrote itself to announce drops; not among the others.
    pub announced: u64,
    /// Times a call waited for room.
    pub waits: u64,
}

impl Totals {
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

/// Records that were not written because they are noise: in none of the [`Totals`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quieted {
    /// By sampling.
    pub sampled_out: SampledOut,
    /// Repeats that became one record with a count.
    pub collapsed: u64,
}

/// Records that were sampled out, once for each log that would have had them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SampledOut {
    /// All of them.
    pub total: u64,
    /// By the rule's name.
    pub rules: BTreeMap<String, u64>,
}

impl Quieted {
    /// Adds what a rule has sampled out.
    pub fn sample_out(&mut self, rule: &str, count: u64) {
        self.sampled_out.total += count;
        *self.sampled_out.rules.entry(rule.to_owned()).or_default() += count;
    }
}

/// One spool.
#[derive(Debug, Serialize)]
pub struct SpoolStats {
    /// Where its logs are.
    pub directory: String,
    /// The ring's name, as in `seq`.
    pub ring: String,
    /// Whether a file backs it: otherwise records do not survive a kill.
    pub durable: bool,
    /// Bytes it can hold.
    pub capacity_bytes: u64,
    /// Bytes not in segments yet.
    pub used_bytes: u64,
    /// Its logs.
    pub logs: Vec<LogStats>,
}

/// One log.
#[derive(Debug, Serialize)]
pub struct LogStats {
    /// File name.
    pub name: String,
    /// Records of it in segments.
    pub written: u64,
}

/// Compression and retention.
#[derive(Debug, Serialize)]
pub struct SegmentStats {
    /// Segments compressed.
    pub compressed: u64,
    /// Bytes read for that.
    pub bytes_in: u64,
    /// Bytes written for that.
    pub bytes_out: u64,
    /// Segments deleted.
    pub deleted: u64,
    /// Failures; each is tried again at the next rotation.
    pub errors: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Of all spools together.
    #[serde(flatten)]
    pub totals: Totals,
    /// What sampling and collapse left out.
    #[serde(flatten)]
    pub quieted: Quieted,
    /// Records taken from dead processes' spools.
    pub recovered: u64,
    /// Whether the writer thread is there.
    pub writer_running: bool,
    /// Each spool.
    pub spools: Vec<SpoolStats>,
    /// Compression and retention.
    pub segments: SegmentStats,
}
