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

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, fstat, ftruncate, openat, renameat,
    unlinkat,
};

use crate::config::LogSettings;
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::json::{SEQ_LEN, SEQ_TAIL};
use crate::mapping::{Mapping, Word};
use crate::segment::naming;
use crate::segment::reserve::{reserve, reserve_from};
use crate::segment::state::{Reached, pack_settings, unpack_settings};
use crate::spool::frame::{ALIGN, Found, Region};
use crate::spool::name::{ID, fill_random, random_id};
pub use crate::spool::name::{file_name, name_of};

const MAGIC: u64 = u64::from_le_bytes(*b"LSPRING\0");
/// One past the largest sequence number: ten digits of sixteen.
const SEQ_MAX: u64 = 1 << 40;
/// Version of the ring format.
pub const VERSION: u64 = 2;
/// Logs a ring can serve.
pub const MAX_LOGS: usize = 64;
const TABLE: usize = 4096;
const ENTRY: usize = 512;
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

// Words of a log table entry.
const E_NAME_LEN: usize = 0;
const E_SEQ: usize = 8;
const E_DONE: usize = 16;
const E_WRITTEN: usize = 24;
const E_LOST_FIRST: usize = 32;
const E_LOST_COUNT: usize = 40;
const E_ANNOUNCED: usize = 48;
const E_SETTINGS: usize = 64;
const E_NAME: usize = 128;
/// The longest file name a log can have in the table.
pub const MAX_NAME: usize = ENTRY - E_NAME;

/// What the first bytes of a ring file say, true or not.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    /// It is a ring.
    pub ring: bool,
    /// Of this format.
    pub version: u64,
    /// Bytes of data.
    pub capacity: u64,
    /// Its random name.
    pub id: [u8; 8],
}

/// Reads what a ring file says of itself; `None` when it is too short to say anything.
///
/// # Errors
/// When it cannot be read.
pub fn claims(file: &TrackedFd) -> io::Result<Option<Claims>> {
    let mut head = [0; AT_PID];
    let read = rustix::io::pread(file, &mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    Ok((read == head.len()).then(|| Claims {
        ring: word(0) == MAGIC,
        version: word(AT_VERSION),
        capacity: word(AT_CAPACITY),
        id: word(AT_ID).to_le_bytes(),
    }))
}

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

    /// Maps an existing ring. `Ok(None)` when it is not a ring of this format: damaged or of another version.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map(file: TrackedFd) -> io::Result<Option<Self>> {
        let len = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
        if len <= HEADER {
            return Ok(None);
        }
        let map = Mapping::file(&file, len)?;
        Ok(Self::sound(map, file))
    }

    /// The same of one that is `name` in `place` and that this process has locked.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn map_locked(
        file: TrackedFd,
        place: BorrowedFd<'_>,
        name: &str,
    ) -> io::Result<Option<Self>> {
        let len = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
        if len <= HEADER {
            return Ok(None);
        }
        let map = Mapping::named(place, name, &file, len)?;
        Ok(Self::sound(map, file))
    }

    fn sound(map: Mapping, file: TrackedFd) -> Option<Self> {
        let at = |offset| map.u64(offset).load(Acquire);
        let capacity = at(AT_CAPACITY);
        if at(0) != MAGIC
            || at(AT_VERSION) != VERSION
            || capacity == 0
            || !capacity.is_multiple_of(ALIGN)
            || capacity > (map.len() - HEADER) as u64
            || !at(AT_ID).to_le_bytes().iter().all(|c| ID.contains(c))
        {
            return None;
        }
        let id = at(AT_ID).to_le_bytes();
        Some(Self::of(map, file, capacity, id))
    }

    /// Maps `name` in `place`, which is `file`, with a capacity and a name from elsewhere: where the header is not to be
    /// trusted.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map_as(
        file: TrackedFd,
        (place, name): (BorrowedFd<'_>, &str),
        capacity: u64,
        id: [u8; 8],
    ) -> io::Result<Self> {
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        let map = Mapping::named(place, name, &file, len)?;
        Ok(Self::of(map, file, capacity, id))
    }

    fn of(map: Mapping, file: TrackedFd, capacity: u64, id: [u8; 8]) -> Self {
        let salt = map.u64(AT_SALT).load(Acquire);
        Self {
            region: Region {
                map,
                offset: HEADER,
                capacity,
                salt,
            },
            id,
            file: Some(file),
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

    /// Puts back what a lost page knew: so many records of log `slot` more are in segments.
    pub fn add_written(&self, slot: usize, records: u64) {
        self.word(slot, E_WRITTEN).fetch_add(records, Relaxed);
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
        self.word(slot, E_LOST_COUNT).store(count + 1, Release);
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
