//! The ring file: header, log table and data region, and how one is created.
//!
//! ```text
//! 0     magic, version, capacity, salt, ring id, process id
//! 64    tail         everything before it is in segments
//! 128   seal         set when the owner will commit nothing more
//! 4096  log table    64 entries of 512 bytes: name, settings, counters, `done`
//! 36864 data
//! ```
//!
//! The header names files and settings, never absolute paths: any process, in any container that mounts the directory
//! anywhere, can finish a dead owner's ring. The owner's life is its `flock`, never its process id.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, fstat, openat, renameat, unlinkat,
};

use crate::config::LogSettings;
use crate::fork::TrackedFd;
use crate::mapping::Mapping;
use crate::segment::reserve::reserve;
use crate::segment::state::{pack_settings, unpack_settings};
use crate::spool::frame::{ALIGN, Region};

const MAGIC: u64 = u64::from_le_bytes(*b"LSPRING\0");
/// Version of the ring format.
pub const VERSION: u64 = 1;
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
const AT_TAIL: usize = 64;

// Words of a log table entry.
const E_NAME_LEN: usize = 0;
const E_SEQ: usize = 8;
const E_DONE: usize = 16;
const E_WRITTEN: usize = 24;
const E_LOST_FIRST: usize = 32;
const E_LOST_COUNT: usize = 40;
const E_SETTINGS: usize = 64;
const E_NAME: usize = 128;
/// The longest file name a log can have in the table.
pub const MAX_NAME: usize = ENTRY - E_NAME;

/// The format version of a ring file; `None` when it is no ring at all.
///
/// # Errors
/// When it cannot be read.
pub fn version(file: &TrackedFd) -> io::Result<Option<u64>> {
    let mut head = [0; 16];
    let read = rustix::io::pread(file, &mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    Ok((read == head.len() && word(0) == MAGIC).then(|| word(AT_VERSION)))
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
    /// Creates a ring of `capacity` data bytes in `place`: reserved, locked, and only then named.
    ///
    /// # Errors
    /// When the space cannot be had or the file system cannot hold it.
    pub fn create(place: BorrowedFd<'_>, capacity: u64) -> io::Result<Self> {
        let id = random_id();
        let temporary = format!("{}.ring.tmp", name_of(id));
        let file = TrackedFd::new(openat(
            place,
            &temporary,
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?);
        let made = Self::build(&file, capacity, id);
        let done = made.and_then(|region| {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
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

    fn build(file: &TrackedFd, capacity: u64, id: [u8; 8]) -> io::Result<Region> {
        fchmod(file, Mode::RUSR | Mode::WUSR)?;
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        reserve(file, len)?;
        let map = Mapping::file(file, len)?;
        Ok(Self::format(map, capacity, id))
    }

    /// A ring in memory: survives nothing, for file systems that cannot reserve a mapping.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn anonymous(capacity: u64) -> io::Result<Self> {
        let id = random_id();
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        Ok(Self {
            region: Self::format(Mapping::anonymous(len)?, capacity, id),
            id,
            file: None,
        })
    }

    fn format(map: Mapping, capacity: u64, id: [u8; 8]) -> Region {
        let capacity = capacity - capacity % ALIGN;
        let mut salt = [0; 8];
        fill_random(&mut salt);
        // The top bit keeps zeroed memory from being a commit of any position that can ever be reached.
        let salt = u64::from_le_bytes(salt) | 1 << 63;
        map.u64(AT_VERSION).store(VERSION, Relaxed);
        map.u64(AT_CAPACITY).store(capacity, Relaxed);
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
        let at = |offset| map.u64(offset).load(Acquire);
        let capacity = at(AT_CAPACITY);
        if at(0) != MAGIC
            || at(AT_VERSION) != VERSION
            || capacity == 0
            || !capacity.is_multiple_of(ALIGN)
            || capacity > (len - HEADER) as u64
        {
            return Ok(None);
        }
        let (salt, id) = (at(AT_SALT), at(AT_ID).to_le_bytes());
        Ok(Some(Self {
            region: Region {
                map,
                offset: HEADER,
                capacity,
                salt,
            },
            id,
            file: Some(file),
        }))
    }

    /// Faults in `len` data bytes from `from` on, for writing.
    pub fn populate(&self, from: u64, len: u64) {
        if let (Ok(from), Ok(len)) = (usize::try_from(from), usize::try_from(len)) {
            self.region.map.populate(self.region.offset + from, len);
        }
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

    fn word(&self, slot: usize, word: usize) -> &std::sync::atomic::AtomicU64 {
        self.region.map.u64(TABLE + slot * ENTRY + word)
    }

    /// The name of log `slot`, or `None` where the slot is free.
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
            .filter(|n| !n.contains('/'))
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

    /// Log `slot` is in segments up to `to`, `records` more than before.
    pub fn advance(&self, slot: usize, to: u64, records: u64) {
        if self.done(slot) < to {
            self.word(slot, E_DONE).store(to, Release);
            self.word(slot, E_WRITTEN).fetch_add(records, Relaxed);
        }
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
        (
            self.word(slot, E_LOST_FIRST).load(Relaxed),
            self.word(slot, E_LOST_COUNT).load(Relaxed),
        )
    }

    /// Notes the drops of log `slot` not announced yet.
    pub fn set_lost(&self, slot: usize, first: u64, count: u64) {
        self.word(slot, E_LOST_FIRST).store(first, Relaxed);
        self.word(slot, E_LOST_COUNT).store(count, Release);
    }
}

/// The name of a ring file.
#[must_use]
pub fn file_name(id: [u8; 8]) -> String {
    format!("{}.ring", name_of(id))
}

/// A ring id as text.
#[must_use]
pub fn name_of(id: [u8; 8]) -> String {
    String::from_utf8_lossy(&id).into_owned()
}

/// Eight random characters that need no escaping anywhere: 40 bits.
fn random_id() -> [u8; 8] {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    bytes.map(|b| b"abcdefghijkmnpqrstuvwxyz23456789"[usize::from(b) % 32])
}

fn fill_random(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[at..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => at += n,
            Err(rustix::io::Errno::INTR) => {}
            // Without an entropy source the clock still tells two rings apart.
            Err(_) => {
                let nanos = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |d| d.subsec_nanos())
                    .to_le_bytes();
                for (i, byte) in bytes[at..].iter_mut().enumerate() {
                    *byte = nanos[i % 4] ^ u8::try_from(i).unwrap_or(0);
                }
                return;
            }
        }
    }
}
