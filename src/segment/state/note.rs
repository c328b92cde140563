//! What was finished for rings that their finisher could not see.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Intent, Reached, State};

const AT_NEXT_NOTE: usize = 1016;
const AT_NOTES: usize = 1024;
const NOTE: usize = 32;
const NOTES: usize = 64;

/// What was finished for a ring that its finisher could not see: one in another place, such as another container's
/// shared memory. Whoever drains that ring learns from here what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The log's number in that ring.
    pub slot: u64,
    /// What that ring is to be told.
    pub reached: Reached,
}

impl State {
    /// Notes that `intent` was completed, for whoever drains its ring. The ring's name goes last: without it there is no
    /// note. Of more than 64 rings that were never seen again the oldest are forgotten.
    pub fn note_finished(&self, intent: &Intent) {
        let ring = u64::from_le_bytes(intent.ring);
        let at = self.find_note(ring).unwrap_or_else(|| {
            let next = self.map.u64(AT_NEXT_NOTE).fetch_add(1, Relaxed);
            AT_NOTES + usize::try_from(next).unwrap_or(0) % NOTES * NOTE
        });
        self.map.u64(at).store(0, Release);
        // Sequence numbers have 40 bits, slots 6.
        let slot = intent.slot & 0xff | intent.reached.announced << 8;
        for (i, v) in [slot, intent.reached.to, intent.reached.written]
            .into_iter()
            .enumerate()
        {
            self.map.u64(at + 8 + i * 8).store(v, Release);
        }
        self.map.u64(at).store(ring, Release);
    }

    /// What was finished for `ring` elsewhere.
    pub fn note(&self, ring: [u8; 8]) -> Option<Note> {
        let at = self.find_note(u64::from_le_bytes(ring))?;
        let word = |i: usize| self.map.u64(at + i * 8).load(Acquire);
        Some(Note {
            slot: word(1) & 0xff,
            reached: Reached {
                to: word(2),
                written: word(3),
                announced: word(1) >> 8,
            },
        })
    }

    /// Forgets the note for `ring`: the ring itself knows now.
    pub fn clear_note(&self, ring: [u8; 8]) {
        if let Some(at) = self.find_note(u64::from_le_bytes(ring)) {
            self.map.u64(at).store(0, Release);
        }
    }

    fn find_note(&self, ring: u64) -> Option<usize> {
        (0..NOTES)
            .map(|i| AT_NOTES + i * NOTE)
            .find(|at| self.map.u64(*at).load(Acquire) == ring)
    }
}
