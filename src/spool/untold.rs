//! Records that were dropped though the spool was not full: logged from within a commit, by the thread that holds the mutex, or larger
//! than the ring. They can be counted only; whoever drains has them announced.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::spool::frame::{self, Kind};
use crate::spool::notice::{self, Reason};
use crate::spool::producer::{Producer, Spool};
use crate::spool::ring::MAX_LOGS;

/// One record that would have had a number; those without are counted in the lower half.
const NUMBERED: u64 = 1 << 32;

/// How many of one log.
#[derive(Debug)]
pub(super) struct Untold(AtomicU64);

impl Untold {
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Spool {
    /// Counts a record that is not taken. Without the mutex: this very thread may hold it.
    #[cold]
    pub(super) fn drop_other(&self, slot: usize, numbered: bool) {
        let one = if numbered { NUMBERED } else { 1 };
        self.untold[slot].0.fetch_add(one, Relaxed);
        self.counters.dropped_other.fetch_add(1, Relaxed);
    }

    /// Whether any are to be announced.
    pub(super) fn has_untold(&self) -> bool {
        self.counters.dropped_other.load(Relaxed) > 0
            && (0..MAX_LOGS).any(|slot| self.untold[slot].0.load(Relaxed) > 0)
    }

    /// Announces those of a log, where there is room. The numbers they would have had are taken last: killed before, nobody
    /// misses them.
    pub(super) fn announce_others(&self, producer: &mut Producer, slot: usize) {
        let untold = self.untold[slot].0.load(Relaxed);
        if untold == 0 {
            return;
        }
        let (numbered, count) = (untold / NUMBERED, untold / NUMBERED + untold % NUMBERED);
        let first = if numbered > 0 {
            self.ring.seq(slot)
        } else {
            self.ring.lost(slot).0
        };
        let mut text = notice::dropped(self.ring.id(), Reason::Other, first, count);
        let need = frame::size(text.len());
        if self.has_room(producer, need) || self.start_afresh(producer, need) {
            self.put(producer, slot, Kind::Announcement, &mut text, false);
            self.ring
                .take_seqs(slot, if numbered > 0 { count } else { 0 });
            self.untold[slot].0.fetch_sub(untold, Relaxed);
        }
    }
}
