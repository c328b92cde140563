//! The log table: which logs a ring serves, how far each is in segments, and what it lost.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Ring;
use crate::config::LogSettings;
use crate::mapping::Word;
use crate::segment::naming;
use crate::segment::state::{Reached, pack_settings, unpack_settings};

/// One past the largest sequence number: ten digits of sixteen.
const SEQ_MAX: u64 = 1 << 40;
/// Logs a ring can serve.
pub const MAX_LOGS: usize = 64;
pub(super) const TABLE: usize = 4096;
pub(super) const ENTRY: usize = 512;

// Words of a log table entry.
pub(super) const E_NAME_LEN: usize = 0;
pub(super) const E_SEQ: usize = 8;
pub(super) const E_DONE: usize = 16;
pub(super) const E_WRITTEN: usize = 24;
pub(super) const E_LOST_FIRST: usize = 32;
pub(super) const E_LOST_COUNT: usize = 40;
pub(super) const E_ANNOUNCED: usize = 48;
pub(super) const E_SETTINGS: usize = 64;
pub(super) const E_NAME: usize = 128;
/// The longest file name a log can have in the table.
pub const MAX_NAME: usize = ENTRY - E_NAME;

impl Ring {
    fn word(&self, slot: usize, word: usize) -> Word<'_, AtomicU64> {
        self.region.map.u64(TABLE + slot * ENTRY + word)
    }

    /// Whether log `slot` was entered; if it has no [name](Self::log_name) all the same, the table is damaged.
    #[must_use]
    pub fn is_entered(&self, slot: usize) -> bool {
        self.word(slot, E_NAME_LEN).load(Acquire) != 0
    }

    /// The name of log `slot`, or `None` where the slot is free or holds what cannot be a log's name.
    #[must_use]
    pub fn log_name(&self, slot: usize) -> Option<String> {
        if slot >= MAX_LOGS {
            return None;
        }
        let len = usize::try_from(self.word(slot, E_NAME_LEN).load(Acquire)).ok()?;
        if len == 0 || len > MAX_NAME {
            return None;
        }
        let bytes = self.region.map.bytes(TABLE + slot * ENTRY + E_NAME, len);
        String::from_utf8(bytes.to_vec())
            .ok()
            .filter(|name| naming::check_name(name).is_ok())
    }

    /// The settings of log `slot`.
    #[must_use]
    pub fn log_settings(&self, slot: usize) -> LogSettings {
        unpack_settings(std::array::from_fn(|i| {
            self.word(slot, E_SETTINGS + i * 8).load(Relaxed)
        }))
    }

    /// Enters a log in a free slot; everything before `done` is none of its business. The length of the name goes
    /// last: it makes the entry valid.
    ///
    /// # Panics
    /// When the slot or the name is out of bounds: the producer checks both.
    pub fn enter_log(&self, slot: usize, name: &str, settings: &LogSettings, done: u64) {
        assert!(slot < MAX_LOGS && name.len() <= MAX_NAME);
        for (i, v) in pack_settings(settings).into_iter().enumerate() {
            self.word(slot, E_SETTINGS + i * 8).store(v, Relaxed);
        }
        self.region
            .map
            .write(TABLE + slot * ENTRY + E_NAME, name.as_bytes());
        self.word(slot, E_DONE).store(done, Relaxed);
        self.word(slot, E_NAME_LEN)
            .store(name.len() as u64, Release);
    }

    /// How far log `slot` is in segments.
    pub fn done(&self, slot: usize) -> u64 {
        self.word(slot, E_DONE).load(Acquire)
    }

    /// Log `slot` is in segments up to what `reached` says. Absolute numbers, and `done` last: who is killed in between is
    /// followed by somebody who stores the same again.
    pub fn advance(&self, slot: usize, reached: Reached) {
        self.set_announced(slot, reached.announced);
        if self.done(slot) < reached.to {
            self.word(slot, E_WRITTEN).store(reached.written, Relaxed);
            self.word(slot, E_DONE).store(reached.to, Release);
        }
    }

    /// Puts back what a lost page knew: so many records of log `slot` more are in segments.
    pub fn add_written(&self, slot: usize, records: u64) {
        self.word(slot, E_WRITTEN).fetch_add(records, Relaxed);
    }

    /// Takes [`Self::advance`] back, where what it says cannot be.
    pub fn set_done(&self, slot: usize, to: u64) {
        self.word(slot, E_DONE).store(to, Release);
    }

    /// How many sequence numbers log `slot` has used.
    pub fn seq(&self, slot: usize) -> u64 {
        self.word(slot, E_SEQ).load(Relaxed)
    }

    /// Records of log `slot` that are in segments.
    pub fn written(&self, slot: usize) -> u64 {
        self.word(slot, E_WRITTEN).load(Relaxed)
    }

    /// The next sequence number of log `slot`, which it takes.
    #[inline]
    pub fn take_seq(&self, slot: usize) -> u64 {
        // Only the producer stores it, under its mutex; the header keeps it for the recoverer.
        let seq = self.word(slot, E_SEQ);
        let next = seq.load(Relaxed);
        seq.store(next + 1, Relaxed);
        next
    }

    /// Takes `count` sequence numbers of log `slot` at once.
    pub fn take_seqs(&self, slot: usize, count: u64) {
        self.word(slot, E_SEQ).fetch_add(count, Relaxed);
    }

    /// The drops of log `slot` not announced yet: the first sequence number and how many.
    #[inline]
    pub fn lost(&self, slot: usize) -> (u64, u64) {
        let count = self.word(slot, E_LOST_COUNT).load(Acquire);
        let first = self.word(slot, E_LOST_FIRST).load(Relaxed);
        if count > 0 {
            let end = first.saturating_add(count);
            // More than its text can say is damage.
            if end <= self.announced(slot) || end > SEQ_MAX {
                return (first.min(SEQ_MAX), 0);
            }
        }
        (first, count)
    }

    /// Whether what stands for the drops of log `slot` cannot have been written by a producer. (Not compared with the numbers used: a
    /// log without numbers has drops, too.)
    #[must_use]
    pub fn lost_is_damaged(&self, slot: usize) -> bool {
        let word = |at| self.word(slot, at).load(Acquire);
        word(E_LOST_COUNT) > 0 && word(E_LOST_FIRST).saturating_add(word(E_LOST_COUNT)) > SEQ_MAX
    }

    /// Counts one more drop of log `slot`: that of number `seq`, or, in a log without numbers, of the next one. Only the
    /// producer does so, under its mutex; a kill in between forgets what is announced already, or this one.
    pub fn lose(&self, slot: usize, seq: Option<u64>) {
        self.lose_from(slot, seq, 1);
    }

    /// The same for the numbers from `first` on.
    pub fn lose_range(&self, slot: usize, first: u64, count: u64) {
        self.lose_from(slot, Some(first), count);
    }

    fn lose_from(&self, slot: usize, seq: Option<u64>, more: u64) {
        let (first, count) = self.lost(slot);
        if count == 0 {
            let before = self.word(slot, E_LOST_COUNT).load(Relaxed);
            if before > 0 {
                self.word(slot, E_LOST_COUNT).store(0, Release);
            }
            // Below what is announced it would pass for announced too.
            let first = seq.unwrap_or(first + before).max(self.announced(slot));
            self.word(slot, E_LOST_FIRST).store(first, Release);
        }
        self.word(slot, E_LOST_COUNT).store(count + more, Release);
    }

    /// Forgets a count of drops that cannot be.
    pub fn forget_lost(&self, slot: usize) {
        self.word(slot, E_LOST_COUNT).store(0, Release);
        self.word(slot, E_LOST_FIRST).store(0, Release);
    }

    /// The drops of log `slot` are announced in the ring.
    pub fn clear_lost(&self, slot: usize) {
        let (first, count) = self.lost(slot);
        self.word(slot, E_LOST_COUNT).store(0, Release);
        self.word(slot, E_LOST_FIRST).store(first + count, Release);
    }

    /// The drops of log `slot` before this number are announced in segments or by an intent.
    fn announced(&self, slot: usize) -> u64 {
        self.word(slot, E_ANNOUNCED).load(Acquire)
    }

    /// Says so. Only who holds the log's lock does.
    pub fn set_announced(&self, slot: usize, before: u64) {
        if self.announced(slot) < before {
            self.word(slot, E_ANNOUNCED).store(before, Release);
        }
    }
}
