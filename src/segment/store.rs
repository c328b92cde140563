//! Appends to the current segment of one log and rotates it. Everything here happens under the log's lock.
//!
//! An append is three steps that a kill may interrupt anywhere: the bytes are staged in the state file, an intent says
//! where they go, they are written. Whoever takes the lock next finds the intent, compares the file with staging and
//! writes only what is missing, so that nothing is lost, doubled or torn.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, fdatasync, flock};
use rustix::io::Errno;

use crate::config::{Fsync, LogSettings};
use crate::error::{Context, Result};
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::report;
use crate::segment::dir::{LogDir, private_file};
use crate::segment::state::{Intent, Reached, STAGING, State};

/// Bytes staged before an append is worth making; one longer record may exceed it.
const BATCH: usize = 256 << 10;

/// How long a segment that could not be followed by a new one is written on before the next try.
const ROTATION_RETRY: Duration = Duration::from_secs(5);

/// The largest line that can be stored, with announcements before it.
pub const MAX_LINE: usize = STAGING - 4096;

/// Whether a line can be staged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Fits,
    /// Not before what is staged has been appended.
    Append,
    /// Not before the segment has been rotated (and what is staged appended).
    Rotate,
}

/// One log of one directory: its state, its open segment and what is staged for it.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, not the states of one machine.
pub struct Store {
    pub(super) dir: Arc<LogDir>,
    pub(super) name: String,
    pub(super) settings: LogSettings,
    pub(super) state: State,
    pub(super) segment: Option<Open>,
    locked: bool,
    staged: usize,
    records: u64,
    /// Checksum of what is staged, taken of what was given: what is staged may fail us.
    crc: u32,
    /// Set when a segment was closed, so that compression and retention have something to do.
    pub(super) closed: bool,
    pub(super) unsynced: bool,
    /// Until when rotation is not tried again, after it failed.
    hold: Option<Instant>,
    /// Held shared by every process that has the log open: who gets it exclusively is the first.
    users: Option<TrackedFd>,
    /// Set when other settings are in force since the current segment was opened.
    pub(super) retimed: bool,
    /// The time of day when the lock was last taken: an earlier one says that the clock was set back.
    pub(super) looked_at: u64,
    /// What logspool has to say in the log, before its next record, and whether that is staged.
    news: Option<Vec<u8>>,
    told: bool,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) file: TrackedFd,
}

/// The state of log `name`; in memory where the file system has no mappings.
fn open_state(dir: &LogDir, name: &str) -> Result<State> {
    match State::open(dir, name) {
        Err(e) if e.errno() == Some(Errno::NODEV.raw_os_error()) => {
            let shown = dir.path().display().to_string();
            State::anonymous(dir, name).context("cannot hold the log's state in memory", &shown)
        }
        other => other,
    }
}

impl Store {
    /// Opens the log `name` in `dir`. The first writer's rotation settings stand; the larger retention counts.
    ///
    /// # Errors
    /// When the state cannot be opened.
    pub fn open(dir: Arc<LogDir>, name: &str, settings: LogSettings) -> Result<Self> {
        let state = open_state(&dir, name)?;
        Ok(Self {
            dir,
            name: name.to_owned(),
            settings,
            state,
            segment: None,
            locked: false,
            staged: 0,
            records: 0,
            crc: 0,
            closed: false,
            unsynced: false,
            hold: None,
            users: None,
            retimed: false,
            looked_at: u64::MAX,
            news: None,
            told: false,
        })
    }

    /// Puts `settings` in force if no other process has the log open; else the ones that stand are adopted, which is
    /// said, and retention takes the larger count.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn claim(&mut self, settings: &LogSettings) -> io::Result<()> {
        if self.users.is_some() {
            return Ok(());
        }
        failpoint::step();
        let file = TrackedFd::new(private_file(
            self.dir.own(),
            &format!("{}.users", self.name),
        )?);
        let alone = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(e) => return Err(e.into()),
        };
        self.settings = settings.clone();
        if alone {
            self.retimed = self.state.settings().is_some_and(|s| {
                (s.when, s.interval, s.utc) != (settings.when, settings.interval, settings.utc)
            });
            self.state.set_settings(settings);
        }
        // Shared from now on. Another process' moment of exclusiveness is over before it can be noticed; if not, this
        // one merely does not count as a user.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        self.users = Some(file);
        Ok(())
    }

    /// The log's file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &LogSettings {
        &self.settings
    }

    /// The number of the current segment, as of the last time the lock was held.
    #[must_use]
    pub fn segment_number(&self) -> u64 {
        self.segment.as_ref().map_or(0, |s| s.number)
    }

    /// Whether the lock is held by this store.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether a segment was closed since the last call.
    pub fn take_closed(&mut self) -> bool {
        std::mem::take(&mut self.closed)
    }

    /// Takes the lock if it is free. An intent left behind is finished first: `finished` hears of it before it is
    /// cleared, to advance its ring, and says whether that was to be found.
    ///
    /// # Errors
    /// What stands in the way of finishing it or of having a segment to append to; the lock is then not held.
    pub fn try_lock(&mut self, finished: &mut dyn FnMut(&Intent) -> bool) -> io::Result<bool> {
        // Still locked: a pass ended in a panic. What it had staged is in the ring, or in an intent.
        self.unlock();
        if !self.state.try_lock()? {
            return Ok(false);
        }
        let ready = self
            .state
            .ready(&self.dir, &self.name)
            .and_then(|()| self.finish_intent(finished))
            .and_then(|()| {
                let sound = !self.state.is_lost(&self.dir)? || self.replace_state()?;
                if sound {
                    self.refresh()?;
                }
                Ok(sound)
            });
        if let Ok(true) = ready {
            self.locked = true;
            self.unstage();
        } else {
            self.state.unlock();
        }
        ready
    }

    /// Goes on with the state file that stands where ours was deleted, replaced or truncated, and makes one where there is
    /// none: a lock on ours keeps nobody out any more. The intent in ours is finished. Numbers go on from where they were.
    /// False when another process holds the lock of the new one.
    fn replace_state(&mut self) -> io::Result<bool> {
        let held = self.state.current().number.max(self.state.creating());
        let number = held.max(self.segment_number());
        // It may be the same file, truncated: opening it needs the lock.
        self.state.unlock();
        let fresh = open_state(&self.dir, &self.name).map_err(io::Error::from)?;
        if !fresh.try_lock()? {
            return Ok(false);
        }
        if fresh.is_lost(&self.dir)? {
            fresh.unlock();
            return Ok(false);
        }
        fresh.ready(&self.dir, &self.name)?;
        if fresh.current().number == 0 {
            fresh.set_creating(number.max(fresh.creating()));
        }
        self.state = fresh;
        self.sync()?;
        self.segment = None;
        report::say(&format!(
            "the state file of {} was deleted or damaged by something other than logspool; it is made again and logging \
             goes on in a new segment",
            self.dir.path().join(&self.name).display()
        ));
        Ok(true)
    }

    /// Has `line` stand in the log before its next record.
    pub fn tell(&mut self, line: Vec<u8>) {
        self.news = Some(line);
    }

    /// Stages what is to be said.
    pub fn stage_news(&mut self) {
        if self.told {
            return;
        }
        // Kept until it is written: what is staged may be forgotten.
        if let Some(line) = self.news.take() {
            self.stage(&line, 0);
            self.news = Some(line);
            self.told = true;
        }
    }

    /// Gives the lock back. What was staged without an intent is forgotten: its ring still has it.
    pub fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            self.unstage();
            self.state.unlock();
        }
    }

    /// Whether a line of `len` bytes can be staged.
    #[must_use]
    pub fn room(&self, len: usize) -> Room {
        let current = self.state.current();
        let held = current.size + self.staged as u64;
        let max = self.settings.max_bytes;
        if held > 0 && max > 0 && held + len as u64 > max && self.may_rotate() {
            Room::Rotate
        } else if self.staged > 0 && self.staged + len > BATCH {
            Room::Append
        } else {
            Room::Fits
        }
    }

    /// Whether rotation by time is due.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let current = self.state.current();
        current.rollover_at > 0
            && now() >= current.rollover_at
            && current.size > 0
            && self.may_rotate()
    }

    /// Stages a line (of at most [`MAX_LINE`] bytes); `records` is 0 for one that no counter counts.
    pub fn stage(&mut self, line: &[u8], records: u64) {
        self.state.stage(self.staged, line);
        self.crc = crc32c::crc32c_append(if self.staged == 0 { 0 } else { self.crc }, line);
        self.staged += line.len();
        self.records += records;
    }

    /// Records staged.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Forgets what is staged: its ring still has it.
    pub fn unstage(&mut self) {
        (self.staged, self.records) = (0, 0);
        self.told = false;
    }

    /// Bytes staged.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staged
    }

    /// Stores the intent to append what is staged, after which the log of number `slot` in `ring` has `reached` that.
    pub fn intend(&mut self, ring: [u8; 8], slot: usize, reached: Reached) {
        failpoint::point("staged");
        let current = self.state.current();
        if failpoint::switched("no-intent") {
            return;
        }
        self.state.set_intent(&Intent {
            ring,
            slot: slot as u64,
            reached,
            segment: current.number,
            offset: current.size,
            len: self.staged as u64,
            crc: u64::from(self.crc),
            skip: 0,
        });
        failpoint::point("intent-stored");
    }

    /// Appends what is staged; `advance` hears the number of records before the intent is cleared.
    ///
    /// # Errors
    /// When not everything could be written: the intent stays, and is finished when the lock is next taken.
    pub fn append(&mut self, advance: &mut dyn FnMut(u64)) -> io::Result<()> {
        let current = self.state.current();
        let open = self.segment.as_ref().ok_or(Errno::BADF)?;
        if failpoint::switched("done-first") {
            advance(self.records);
        }
        let sound = crc32c::crc32c(self.state.staged(self.staged)) == self.crc;
        if !sound || self.state.is_broken() {
            // What is staged may be gone with a page of it: the ring still has it.
            return Err(io::Error::other("its state file failed or was truncated"));
        }
        write_all(&open.file, self.state.staged(self.staged))?;
        self.unsynced = true;
        if self.settings.fsync == Fsync::Record {
            fdatasync(&open.file)?;
            self.unsynced = false;
        }
        failpoint::point("appended");
        self.state.set_size(current.size + self.staged as u64);
        if failpoint::switched("clear-first") {
            self.state.clear_intent();
        }
        advance(self.records);
        failpoint::point("done-advanced");
        self.state.clear_intent();
        failpoint::point("intent-cleared");
        if self.told {
            self.news = None;
        }
        self.unstage();
        Ok(())
    }

    /// Closes the current segment and opens the next.
    ///
    /// # Errors
    /// When the next one cannot be created: the current one stays in use.
    pub fn rotate(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.staged, 0);
        if let Err(e) = self.sync().and_then(|()| self.create_segment()) {
            self.hold = Some(Instant::now() + ROTATION_RETRY);
            return Err(e);
        }
        self.hold = None;
        self.closed = true;
        Ok(())
    }

    fn may_rotate(&self) -> bool {
        self.hold.is_none_or(|until| Instant::now() >= until)
    }

    /// Forces what was written to the device, where the settings ask for it.
    ///
    /// # Errors
    /// What `fdatasync` says.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced && self.settings.fsync != Fsync::None {
            if let Some(open) = &self.segment {
                fdatasync(&open.file)?;
            }
            self.unsynced = false;
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Writes all of `bytes` at the end of the file.
pub(super) fn write_all(file: &TrackedFd, mut bytes: &[u8]) -> io::Result<()> {
    failpoint::parts(bytes.len(), |n| {
        let _ = rustix::io::write(file, &bytes[..n]);
    });
    #[cfg(feature = "failpoints")]
    if let Some(n) = failpoint::crash::room_on_disk(bytes.len()) {
        rustix::io::write(file, &bytes[..n])?;
        return Err(Errno::NOSPC.into());
    }
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
