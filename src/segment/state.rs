//! The state file of one log, `.logspool/<name>.state`: which segment is current and how long it is, the settings in
//! force, the intent of the append under way and the bytes it appends (staging). Its `flock` is the log's lock.
//!
//! The file is mapped and shared by every process that writes the log; all of it is read and written under the lock.
//! A killed process leaves the last completed store of each field, in program order, so that an intent is either
//! absent or whole: it is filled in the slot that is not current, then `current` is switched by one store.

pub mod health;
mod intent;
mod note;
mod packing;
pub mod peek;

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::fs::{AtFlags, FlockOperation, Mode, fchmod, flock, fstat, statat};
use rustix::io::Errno;

use crate::config::LogSettings;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::mapping::Mapping;
use crate::segment::dir::LogDir;
use crate::segment::naming::NUMBER_MAX;
use crate::segment::reserve::reserve_or_write;
use crate::segment::state::health::Health;
use crate::segment::state::intent::{AT_CURRENT, AT_INTENTS};

pub use self::intent::{Intent, Reached};
pub use self::note::Note;
pub use self::packing::{pack_settings, unpack_settings};

const MAGIC: u64 = u64::from_le_bytes(*b"LSPSTATE");
const VERSION: u64 = 1;
const HEADER: usize = 4096;
/// Bytes one append can carry: batches stay well below it, one record never exceeds it.
pub const STAGING: usize = 1 << 20;
const LEN: usize = HEADER + STAGING;

const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 8;
const AT_SETTINGS: usize = 64;
const AT_SEGMENT: usize = 128;
const AT_CREATING: usize = 192;

/// The segment being written: its number (0 is none yet), identity, length and time of rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Number in its name.
    pub number: u64,
    /// Device and inode, so that a foreign file of the same name is noticed.
    pub id: (u64, u64),
    /// Bytes of ours in it.
    pub size: u64,
    /// When rotation by time closes it, in seconds since the epoch; 0 is never.
    pub rollover_at: u64,
}

/// A mapped state file.
#[derive(Debug)]
pub struct State {
    map: Mapping,
    file: TrackedFd,
    /// What the file is called, and its device and inode.
    name: String,
    id: (u64, u64),
}

impl State {
    /// Opens or creates the state of log `name`. A file of another format version is refused.
    ///
    /// # Errors
    /// When it cannot be created, mapped or understood.
    pub fn open(dir: &LogDir, name: &str) -> Result<Self> {
        let file_name = health::file_name(name);
        let shown = health::shown(dir, &file_name);
        let fd = health::open_file(dir, &file_name)
            .map(TrackedFd::new)
            .context("cannot open the log's state file", &shown)?;
        let stat = fstat(&fd).context("cannot inspect the log's state file", &shown)?;
        if stat.st_size < i64::try_from(LEN).unwrap_or(i64::MAX) {
            fchmod(&fd, Mode::RUSR | Mode::WUSR)
                .context("cannot set the mode of the log's state file", &shown)?;
            reserve_or_write(&fd, LEN).context("cannot reserve the log's state file", &shown)?;
        }
        let map = Mapping::named(dir.own(), &file_name, &fd, LEN)
            .context("cannot map the log's state file", &shown)?;
        let state = Self {
            map,
            file: fd,
            name: file_name,
            id: (stat.st_dev, stat.st_ino),
        };
        // A fresh or a damaged one is seen to as soon as its lock is held: see `ready`.
        if let Health::Version(version) = state.health() {
            return Err(Error::invalid(
                "cannot use the log's state file",
                shown,
                health::refusal(version),
            ));
        }
        Ok(state)
    }

    /// Whether it no longer is the file that stands under its name, so that its lock keeps nobody out, or a page of it is
    /// lost: the log then needs another.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_lost(&self, dir: &LogDir) -> io::Result<bool> {
        if self.is_broken() {
            return Ok(true);
        }
        match statat(dir.own(), &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok((found.st_dev, found.st_ino) != self.id
                || usize::try_from(found.st_size).unwrap_or(0) < LEN),
            Err(Errno::NOENT) => Ok(true),
            // Rights that were dropped after the start: the descriptor still tells whether the file was deleted.
            Err(Errno::ACCESS | Errno::PERM) => Ok(fstat(&self.file)?.st_nlink == 0),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether a page of it is lost: somebody truncated the file, or the device failed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.map.is_broken()
    }

    /// State in memory only: where the file system cannot hold a mapping. No other process sees it; the lock is the file's
    /// all the same, so that processes take turns, each in segments of its own.
    ///
    /// # Errors
    /// When there is no memory, or the file cannot be opened.
    pub fn anonymous(dir: &LogDir, name: &str) -> io::Result<Self> {
        let file_name = health::file_name(name);
        let file = TrackedFd::new(health::open_file(dir, &file_name)?);
        let stat = fstat(&file)?;
        let state = Self {
            map: Mapping::anonymous(LEN)?,
            file,
            name: file_name,
            id: (stat.st_dev, stat.st_ino),
        };
        state.map.u64(AT_VERSION).store(VERSION, Relaxed);
        state.map.u64(AT_MAGIC).store(MAGIC, Release);
        Ok(state)
    }

    /// Takes the log's lock without waiting; false when another process holds it.
    ///
    /// # Errors
    /// What `flock` says, other than that it is held.
    pub fn try_lock(&self) -> io::Result<bool> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Gives the lock back.
    pub fn unlock(&self) {
        // Unlocking a lock this descriptor holds cannot fail in a way that could be acted on.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }

    /// The current segment.
    pub fn current(&self) -> Current {
        let at = |i: usize| self.map.u64(AT_SEGMENT + i * 8).load(Relaxed);
        let number = at(0);
        if number > NUMBER_MAX {
            return Current::default(); // Damaged: a segment of the next number would be nobody's.
        }
        Current {
            number,
            id: (at(1), at(2)),
            size: at(3),
            rollover_at: at(4),
        }
    }

    /// Switches to another segment. The number goes last: a kill in between leaves the old number with a new identity,
    /// which the next opener takes for a foreign file, and moves on.
    pub fn set_current(&self, current: Current) {
        let set = |i: usize, v: u64| self.map.u64(AT_SEGMENT + i * 8).store(v, Release);
        set(1, current.id.0);
        set(2, current.id.1);
        set(3, current.size);
        set(4, current.rollover_at);
        set(0, current.number);
    }

    /// Records how long the current segment is.
    pub fn set_size(&self, size: u64) {
        self.map.u64(AT_SEGMENT + 24).store(size, Release);
    }

    /// The number of a segment that was about to be created: a killed process may have left it empty.
    pub fn creating(&self) -> u64 {
        let number = self.map.u64(AT_CREATING).load(Acquire);
        if number > NUMBER_MAX { 0 } else { number }
    }

    /// Announces the segment about to be created; 0 when it stands.
    pub fn set_creating(&self, number: u64) {
        self.map.u64(AT_CREATING).store(number, Release);
    }

    /// The settings in force, or `None` before the first writer.
    pub fn settings(&self) -> Option<LogSettings> {
        let at = |i: usize| self.map.u64(AT_SETTINGS + i * 8).load(Acquire);
        (at(7) != 0).then(|| unpack_settings([at(0), at(1), at(2), at(3), at(4)]))
    }

    /// Puts settings in force.
    pub fn set_settings(&self, settings: &LogSettings) {
        for (i, v) in pack_settings(settings).into_iter().enumerate() {
            self.map.u64(AT_SETTINGS + i * 8).store(v, Release);
        }
        self.map.u64(AT_SETTINGS + 56).store(1, Release);
    }

    /// Copies `bytes` into staging at `offset`.
    ///
    /// # Panics
    /// When they do not fit: lines are bounded before they get here.
    pub fn stage(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= STAGING);
        self.map.write(HEADER + offset, bytes);
    }

    /// The first `len` staged bytes.
    pub fn staged(&self, len: usize) -> &[u8] {
        self.map.bytes(HEADER, len.min(STAGING))
    }

    /// The intent of an append under way, if one was left.
    pub fn intent(&self) -> Option<Intent> {
        Intent::read(|at| self.map.u64(at).load(Acquire))
    }

    /// Stores an intent whole or not at all.
    pub fn set_intent(&self, intent: &Intent) {
        let next = usize::from(self.map.u64(AT_CURRENT).load(Relaxed) == 1);
        let base = AT_INTENTS[next];
        if failpoint::switched("current-first") {
            self.map.u64(AT_CURRENT).store(next as u64 + 1, Release);
        }
        for (i, v) in intent.words().into_iter().enumerate() {
            self.map.u64(base + i * 8).store(v, Release);
        }
        self.map.u64(AT_CURRENT).store(next as u64 + 1, Release);
    }

    /// The append is complete.
    pub fn clear_intent(&self) {
        self.map.u64(AT_CURRENT).store(0, Release);
    }
}
