//! The ring file: header, log table and data region, and how one is created.
//!
//! ```text
//! 0     magic, version, capacity, salt, ring id, process id, whether it drops the oldest, bytes of data that have space
//! 64    tail         everything before it is in segments
//! 4096  log table    64 entries of 512 bytes: name, settings, counters, `done`
//! 36864 data
//! ```
//!
//! A ring may have less space than its capacity (a forked child's has at first): what lies behind is a hole in the file,
//! which nobody stores to or reads, as either may find the disk full.
//!
//! The header names files and settings, never absolute paths: any process, in any container that mounts the directory
//! anywhere, can finish a dead owner's ring. The owner's life is its `flock`, never its process id.

pub mod look;
mod open;
mod table;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, fstat, ftruncate, openat, renameat,
    unlinkat,
};

use crate::failpoint;
use crate::fork::TrackedFd;
use crate::json::{SEQ_LEN, SEQ_TAIL};
use crate::mapping::Mapping;
use crate::segment::reserve::{reserve, reserve_from};
use crate::spool::frame::{ALIGN, Found, Region};
use crate::spool::name::{fill_random, random_id};

pub use self::open::{Claims, claims};
use self::table::{ENTRY, TABLE};
pub use self::table::{MAX_LOGS, MAX_NAME};
pub use crate::spool::name::{file_name, name_of};

const MAGIC: u64 = u64::from_le_bytes(*b"LSPRING\0");
/// Version of the ring format.
pub const VERSION: u64 = 3;
/// Bytes before the data region.
pub const HEADER: usize = TABLE + MAX_LOGS * ENTRY;

const AT_VERSION: usize = 8;
const AT_CAPACITY: usize = 16;
const AT_SALT: usize = 24;
const AT_ID: usize = 32;
const AT_PID: usize = 40;
const AT_DROPS_OLDEST: usize = 48;
const AT_RESERVED: usize = 56;
const AT_TAIL: usize = 64;

/// A mapped ring.
#[derive(Debug)]
pub struct Ring {
    /// Its data region (and the mapping of all of it).
    pub region: Region,
    id: [u8; 8],
    /// Holds the lock that says the owner lives; absent for a ring in memory.
    file: Option<TrackedFd>,
}

impl Ring {
    /// Creates a ring of `capacity` data bytes in `place`, of which `first` have space at once ([`Self::extend`] gets
    /// more): reserved, locked, and only then named.
    ///
    /// # Errors
    /// When the space cannot be had or the file system cannot hold it.
    pub fn create(place: BorrowedFd<'_>, capacity: u64, first: u64) -> io::Result<Self> {
        let id = random_id();
        let temporary = format!("{}.ring.tmp", name_of(id));
        failpoint::step();
        let file = TrackedFd::new(openat(
            place,
            &temporary,
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?);
        let made = Self::build(place, &temporary, &file, capacity, first, id);
        let done = made.and_then(|region| {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            failpoint::step();
            renameat(place, &temporary, place, file_name(id))?;
            Ok(region)
        });
        match done {
            Ok(region) => Ok(Self {
                region,
                id,
                file: Some(file),
            }),
            Err(e) => {
                let _ = unlinkat(place, &temporary, AtFlags::empty());
                Err(e)
            }
        }
    }

    fn build(
        place: BorrowedFd<'_>,
        name: &str,
        file: &TrackedFd,
        capacity: u64,
        first: u64,
        id: [u8; 8],
    ) -> io::Result<Region> {
        fchmod(file, Mode::RUSR | Mode::WUSR)?;
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        if first < capacity {
            ftruncate(file, len as u64)?;
            reserve(
                file,
                HEADER + usize::try_from(first).map_err(io::Error::other)?,
            )?;
        } else {
            reserve(file, len)?;
        }
        let map = Mapping::named(place, name, file, len)?;
        Ok(Self::format(map, capacity, first, id))
    }

    /// A ring in memory: survives nothing, for file systems that cannot reserve a mapping.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn anonymous(capacity: u64) -> io::Result<Self> {
        let id = random_id();
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        Ok(Self {
            region: Self::format(Mapping::anonymous(len)?, capacity, capacity, id),
            id,
            file: None,
        })
    }

    fn format(map: Mapping, capacity: u64, first: u64, id: [u8; 8]) -> Region {
        let capacity = capacity - capacity % ALIGN;
        let mut salt = [0; 8];
        fill_random(&mut salt);
        // The top bit keeps zeroed memory from being a commit of any position that can ever be reached.
        let salt = u64::from_le_bytes(salt) | 1 << 63;
        map.u64(AT_VERSION).store(VERSION, Relaxed);
        map.u64(AT_CAPACITY).store(capacity, Relaxed);
        map.u64(AT_RESERVED).store(first.min(capacity), Relaxed);
        map.u64(AT_SALT).store(salt, Relaxed);
        map.u64(AT_ID).store(u64::from_le_bytes(id), Relaxed);
        map.u64(AT_PID).store(
            rustix::process::getpid()
                .as_raw_nonzero()
                .get()
                .unsigned_abs()
                .into(),
            Relaxed,
        );
        map.u64(0).store(MAGIC, Release);
        Region {
            map,
            offset: HEADER,
            capacity,
            salt,
        }
    }

    /// Faults in `len` data bytes from `from` on, for writing.
    pub fn populate(&self, from: u64, len: u64) {
        if let (Ok(from), Ok(len)) = (usize::try_from(from), usize::try_from(len)) {
            self.region.map.populate(self.region.offset + from, len);
        }
    }

    /// Bytes of data, from the start, that have space: nothing behind them is ever touched.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.region
            .map
            .u64(AT_RESERVED)
            .load(Acquire)
            .min(self.region.capacity)
    }

    /// Gets space for the first `to` bytes of data; only the owner does so.
    ///
    /// # Errors
    /// When there is none: then everything is as it was.
    pub fn extend(&self, to: u64) -> io::Result<()> {
        #[cfg(test)]
        if tests::REFUSE.get() {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        let from = self.reserved();
        let to = to.min(self.region.capacity);
        if let Some(file) = &self.file
            && to > from
        {
            let bytes = |n: u64| usize::try_from(n).map_err(io::Error::other);
            reserve_from(file, HEADER + bytes(from)?, bytes(to - from)?)?;
        }
        self.region.map.u64(AT_RESERVED).store(to, Release);
        Ok(())
    }

    /// Whether what stands for the space cannot have been written by an owner.
    #[must_use]
    pub fn reserved_is_damaged(&self) -> bool {
        let (said, capacity) = (
            self.region.map.u64(AT_RESERVED).load(Acquire),
            self.region.capacity,
        );
        said != capacity && (said == 0 || said > capacity || !said.is_multiple_of(ALIGN))
    }

    /// Puts back what a lost page knew: how many bytes have space.
    pub fn set_reserved(&self, to: u64) {
        self.region.map.u64(AT_RESERVED).store(to, Release);
    }

    /// What stands at `position`: see [`Region::find`].
    #[must_use]
    pub fn find(&self, position: u64, limit: u64, check: bool) -> Found<'_> {
        self.region
            .find_below(self.reserved(), position, limit, check)
    }

    /// Its random name.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Whether a file backs it.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Whether a page of it is lost: its file failed or was truncated.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.region.map.is_broken()
    }

    /// The same, also where no lost page was touched yet: the page in which a file was cut reads as zeros, without a fault.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let is_short = |file| {
            let len = self.region.map.len() as u64;
            fstat(file).is_ok_and(|s| u64::try_from(s.st_size).unwrap_or(0) < len)
        };
        self.is_broken() || self.file.as_ref().is_some_and(is_short)
    }

    /// How many pages of it were lost.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.region.map.faults()
    }

    /// Whether its first page is there.
    pub fn has_header(&self) -> bool {
        self.region.map.u64(0).load(Acquire) == MAGIC
    }

    /// Marks the first page as being there again.
    pub fn set_header(&self) {
        self.region.map.u64(0).store(MAGIC, Release);
    }

    /// Whether a full ring drops the oldest: then drops are announced where they happened, by the consumer.
    pub fn drops_oldest(&self) -> bool {
        self.region.map.u64(AT_DROPS_OLDEST).load(Relaxed) != 0
    }

    /// Says so, before the first record.
    pub fn set_drops_oldest(&self, does: bool) {
        self.region
            .map
            .u64(AT_DROPS_OLDEST)
            .store(u64::from(does), Relaxed);
    }

    /// Everything before it is in segments.
    pub fn tail(&self) -> u64 {
        self.region.map.u64(AT_TAIL).load(Acquire)
    }

    /// Frees everything before `position`.
    pub fn set_tail(&self, position: u64) {
        self.region.map.u64(AT_TAIL).store(position, Release);
    }

    /// The number in the sequence text that `line` ends with, if it is one of this ring's.
    #[must_use]
    pub fn seq_of(&self, line: &[u8]) -> Option<u64> {
        let end = line.len().checked_sub(SEQ_TAIL.len())?;
        let text = line.get(end.checked_sub(SEQ_LEN)?..end)?;
        let digits = text.strip_prefix(&self.id)?.strip_prefix(b"-")?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Whether the disk has no more space, as far as this thread's rings are concerned.
        pub static REFUSE: Cell<bool> = const { Cell::new(false) };
    }
}
