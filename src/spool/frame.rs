//! A frame: one finished line in the ring.
//!
//! ```text
//! 0  commit  u64   absolute position ^ salt; stored last, so that a frame is whole or absent
//! 8  crc     u32   of everything from 12 to the end of the payload, begun with the position: see `checksum`
//! 12 len     u32   payload bytes; !0 is the wrap marker: the next frame is at the start of the ring
//! 16 log     u32   number in the ring's log table
//! 20 kind    u32   0 a record, 1 an announcement of logspool's own
//! 24 payload, padded to 16
//! ```
//!
//! Positions count bytes ever written and never repeat, so that what an earlier lap left is invalid without zeroing;
//! the random salt stops a payload from forging a frame.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::failpoint;
use crate::mapping::Mapping;
use crate::spool::checksum;

/// Frames start at multiples of this.
pub const ALIGN: u64 = 16;
/// Bytes before the payload.
pub const HEADER: usize = 24;
pub(super) const WRAP: u32 = !0;

/// Bytes a payload of `len` takes.
#[inline]
#[must_use]
pub fn size(len: usize) -> u64 {
    ((HEADER + len) as u64).next_multiple_of(ALIGN)
}

/// What a checksum begins with: bytes that damage has moved to another lap are no frame there. Every bit of the position
/// counts, or one flipped in the upper half would pass for a frame far ahead.
#[allow(clippy::cast_possible_truncation)] // Folded, not cut.
#[inline]
pub(super) fn seed(position: u64) -> u32 {
    let at = position / ALIGN;
    (at ^ at >> 32) as u32
}

/// The checksum of a frame whose bytes from 12 on are `head` and then `payload`.
#[inline]
pub(super) fn checksum(position: u64, head: [u8; 12], payload: &[u8]) -> u32 {
    checksum::checksum(seed(position), head, payload)
}

/// The checksum of the wrap marker. Not of the length alone: four bytes of all ones have themselves as their checksum, and so
/// damage of all ones would pass for a marker at position 0.
pub(super) fn wrap_crc(position: u64) -> u32 {
    checksum(position, *b"end of a lap", &[])
}

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A record of the application's.
    Record,
    /// An announcement of logspool's own, which no counter of records counts.
    Announcement,
}

/// The data region of a ring.
#[derive(Debug)]
pub struct Region {
    /// The mapping of header and data.
    pub map: Mapping,
    /// Where the data starts in it.
    pub offset: usize,
    /// Bytes of data: a multiple of [`ALIGN`].
    pub capacity: u64,
    /// The ring's salt.
    pub salt: u64,
}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole frame of a log, and the position after it.
    Frame {
        /// Number of its log.
        log: usize,
        /// What it is.
        kind: Kind,
        /// The line.
        payload: &'a [u8],
        /// Where the next frame starts.
        next: u64,
    },
    /// The rest of this lap is unused.
    Wrap {
        /// The start of the next lap.
        next: u64,
    },
    /// A frame was committed here but its bytes are not what was committed.
    Damaged,
    /// Nothing was committed here.
    Nothing,
}

impl Region {
    #[allow(clippy::cast_possible_truncation)] // Below the capacity, which is the length of a mapping.
    #[inline]
    fn at(&self, position: u64) -> usize {
        self.offset + (position % self.capacity) as usize
    }

    /// The same, where the caller keeps count of the lap: a division is a tenth of an append.
    #[allow(clippy::cast_possible_truncation)] // As above.
    #[inline]
    fn within(&self, position: u64, offset: u64) -> usize {
        debug_assert_eq!(position % self.capacity, offset);
        self.offset + offset as usize
    }

    /// Bytes from `position` to the end of its lap.
    #[inline]
    #[must_use]
    pub fn to_end(&self, position: u64) -> u64 {
        self.capacity - position % self.capacity
    }

    /// Commits the wrap marker at `position`, which is `offset` bytes into its lap.
    pub fn put_wrap(&self, position: u64, offset: u64) {
        let at = self.within(position, offset);
        self.map.u32(at + 8).store(wrap_crc(position), Relaxed);
        self.map.u32(at + 12).store(WRAP, Relaxed);
        self.map.u64(at).store(position ^ self.salt, Release);
    }

    /// Commits a frame at `position`, which is `offset` bytes into its lap and leaves room for it there.
    #[allow(clippy::cast_possible_truncation)] // Lines are below 1 MiB.
    #[inline]
    pub fn put(&self, position: u64, offset: u64, log: usize, kind: Kind, payload: &[u8]) {
        let at = self.within(position, offset);
        let mut head = [0u8; 12];
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&(log as u32).to_le_bytes());
        head[8] = u8::from(kind == Kind::Announcement);
        let crc = checksum(position, head, payload);
        if failpoint::switched("commit-first") {
            self.map.u64(at).store(position ^ self.salt, Release);
        }
        self.map.u32(at + 8).store(crc, Relaxed);
        self.map.write(at + 12, &head);
        self.map.write(at + HEADER, payload);
        self.map.u64(at).store(position ^ self.salt, Release);
    }

    /// Has the processor fetch where a frame of `size` bytes will stand, `offset` bytes into its lap.
    #[allow(clippy::cast_possible_truncation)] // As in `put`.
    #[inline]
    pub fn expect(&self, offset: u64, size: u64) {
        self.map
            .expect_write(self.offset + offset as usize, size as usize);
    }

    /// The position the word at `offset` stands for, if it is a commit.
    #[must_use]
    pub fn committed(&self, offset: u64) -> u64 {
        self.map.u64(self.at(offset)).load(Acquire) ^ self.salt
    }

    /// What stands at `position`, of which at most `limit` bytes can be in use. `check` verifies the checksum: not
    /// needed for frames this process committed itself.
    #[must_use]
    pub fn find(&self, position: u64, limit: u64, check: bool) -> Found<'_> {
        self.find_below(self.capacity, position, limit, check)
    }

    /// The same, of a region of which only the bytes before `backed` may be touched: a lap ends there or before.
    #[must_use]
    pub fn find_below(&self, backed: u64, position: u64, limit: u64, check: bool) -> Found<'_> {
        let offset = position % self.capacity;
        if offset + ALIGN > backed {
            return Found::Nothing;
        }
        let at = self.at(position);
        let room = self.to_end(position);
        if self.map.u64(at).load(Acquire) != position ^ self.salt {
            return Found::Nothing;
        }
        let len = self.map.u32(at + 12).load(Relaxed);
        if len == WRAP {
            // Damage must not pass for a marker, behind which nothing is looked at.
            let whole = !check || self.map.u32(at + 8).load(Relaxed) == wrap_crc(position);
            return if room <= limit && whole {
                Found::Wrap {
                    next: position + room,
                }
            } else {
                Found::Damaged
            };
        }
        let len = len as usize;
        let total = size(len);
        if total > backed - offset || total > limit {
            return Found::Damaged;
        }
        let payload = self.map.bytes(at + HEADER, len);
        if check {
            let mut head = [0; 12];
            head.copy_from_slice(self.map.bytes(at + 12, 12));
            let crc = checksum(position, head, payload);
            if crc != self.map.u32(at + 8).load(Relaxed) && !failpoint::switched("no-checksum") {
                return Found::Damaged;
            }
        }
        Found::Frame {
            log: self.map.u32(at + 16).load(Relaxed) as usize,
            kind: if self.map.u32(at + 20).load(Relaxed) == 0 {
                Kind::Record
            } else {
                Kind::Announcement
            },
            payload,
            next: position + total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(capacity: u64) -> Region {
        Region {
            map: Mapping::anonymous(usize::try_from(capacity).unwrap()).unwrap(),
            offset: 0,
            capacity,
            salt: 0x5EED_0123_4567_89AB,
        }
    }

    #[test]
    fn an_earlier_lap_is_not_a_frame() {
        let r = region(4096);
        r.put(0, 0 % r.capacity, 1, Kind::Record, b"old");
        assert_eq!(r.find(4096, 4096, true), Found::Nothing);
        r.put(4096, 4096 % r.capacity, 2, Kind::Record, b"new");
        assert!(matches!(
            r.find(4096, 4096, true),
            Found::Frame {
                log: 2,
                payload: b"new",
                ..
            }
        ));
        assert_eq!(r.find(0, 4096, true), Found::Nothing);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_not_a_record() {
        let r = region(4096);
        r.put(32, 32 % r.capacity, 0, Kind::Record, b"hello world");
        r.map.write(32 + HEADER, b"j");
        assert_eq!(r.find(32, 4096, true), Found::Damaged);
    }

    proptest! {
        #[test]
        fn what_is_put_is_found(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..12)) {
            let r = region(1 << 13);
            let mut position = 0;
            for (i, p) in payloads.iter().enumerate() {
                r.put(position, position % r.capacity, i, Kind::Record, p);
                position += size(p.len());
            }
            let mut at = 0;
            for (i, p) in payloads.iter().enumerate() {
                match r.find(at, r.capacity, true) {
                    Found::Frame { log, payload, next, .. } => {
                        prop_assert_eq!((log, payload), (i, p.as_slice()));
                        at = next;
                    }
                    other => prop_assert!(false, "{:?} at {}", other, at),
                }
            }
            prop_assert_eq!(r.find(at, r.capacity, true), Found::Nothing);
        }

        #[test]
        fn arbitrary_bytes_never_pass_for_a_frame(noise in proptest::collection::vec(any::<u8>(), 4096)) {
            let r = region(4096);
            r.map.write(0, &noise);
            for position in (0..4096).step_by(16) {
                let found = r.find(position, 4096, true);
                let is_record = matches!(found, Found::Frame { .. });
                prop_assert!(!is_record);
            }
        }
    }
}
