//! Appends to the current segment of one log and rotates it. Everything here happens under the log's lock.
//!
//! An append is three steps that a kill may interrupt anywhere: the bytes are staged in the state file, an intent says
//! where they go, they are written. Whoever takes the lock next finds the intent, compares the file with staging and
//! writes only what is missing, so that nothing is lost, doubled or torn.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, fchmod, fdatasync, fstat, openat};
use rustix::io::Errno;

use crate::config::{Fsync, LogSettings};
use crate::error::{Context, Result};
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::segment::dir::LogDir;
use crate::segment::link;
use crate::segment::naming;
use crate::segment::state::{Current, Intent, STAGING, State};
use crate::segment::when::When;

/// Bytes staged before an append is worth making; one longer record may exceed it.
const BATCH: usize = 256 << 10;

/// How long a segment that could not be followed by a new one is written on before the next try.
const ROTATION_RETRY: Duration = Duration::from_secs(5);

/// The largest line that can be stored.
pub const MAX_LINE: usize = STAGING;

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
pub struct Store {
    dir: Arc<LogDir>,
    name: String,
    settings: LogSettings,
    state: State,
    segment: Option<Open>,
    locked: bool,
    staged: usize,
    records: u64,
    /// Set when a segment was closed, so that compression and retention have something to do.
    closed: bool,
    unsynced: bool,
    /// Until when rotation is not tried again, after it failed.
    hold: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: TrackedFd,
}

impl Store {
    /// Opens the log `name` in `dir`. The first writer's rotation settings stand; the larger retention counts.
    ///
    /// # Errors
    /// When the state cannot be opened.
    pub fn open(dir: Arc<LogDir>, name: &str, settings: LogSettings) -> Result<Self> {
        let state = match State::open(&dir, name) {
            Err(e) if e.errno() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                let shown = dir.path().display().to_string();
                State::anonymous().context("cannot hold the log's state in memory", &shown)?
            }
            other => other?,
        };
        Ok(Self {
            dir,
            name: name.to_owned(),
            settings,
            state,
            segment: None,
            locked: false,
            staged: 0,
            records: 0,
            closed: false,
            unsynced: false,
            hold: None,
        })
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
    /// cleared, to advance its ring.
    ///
    /// # Errors
    /// What stands in the way of finishing it or of having a segment to append to; the lock is then not held.
    pub fn try_lock(&mut self, finished: &mut dyn FnMut(&Intent)) -> io::Result<bool> {
        if self.locked {
            return Ok(true);
        }
        if !self.state.try_lock()? {
            return Ok(false);
        }
        let ready = self.finish_intent(finished).and_then(|()| self.refresh());
        match ready {
            Ok(()) => {
                self.locked = true;
                (self.staged, self.records) = (0, 0);
                Ok(true)
            }
            Err(e) => {
                self.state.unlock();
                Err(e)
            }
        }
    }

    /// Gives the lock back. What was staged without an intent is forgotten: its ring still has it.
    pub fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            (self.staged, self.records) = (0, 0);
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

    /// Stages a line (of at most [`MAX_LINE`] bytes).
    pub fn stage(&mut self, line: &[u8]) {
        self.state.stage(self.staged, line);
        self.staged += line.len();
        self.records += 1;
    }

    /// Bytes staged.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staged
    }

    /// Stores the intent to append what is staged, which stands for everything of this log below `to` in `ring`.
    pub fn intend(&mut self, ring: [u8; 8], slot: usize, to: u64) {
        failpoint::point("staged");
        let current = self.state.current();
        if failpoint::switched("no-intent") {
            return;
        }
        self.state.set_intent(&Intent {
            ring,
            slot: slot as u64,
            to,
            records: self.records,
            segment: current.number,
            offset: current.size,
            len: self.staged as u64,
            crc: u64::from(crc32c::crc32c(self.state.staged(self.staged))),
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
        write_all(&open.file, self.state.staged(self.staged))?;
        self.unsynced = true;
        if self.settings.fsync == Fsync::Record {
            fdatasync(&open.file)?;
            self.unsynced = false;
        }
        failpoint::point("appended");
        self.state.set_size(current.size + self.staged as u64);
        advance(self.records);
        failpoint::point("done-advanced");
        self.state.clear_intent();
        failpoint::point("intent-cleared");
        (self.staged, self.records) = (0, 0);
        Ok(())
    }

    /// Closes the current segment and opens the next.
    ///
    /// # Errors
    /// When the next one cannot be created: the current one stays in use.
    pub fn rotate(&mut self) -> io::Result<()> {
        debug_assert_eq!(self.staged, 0);
        self.sync()?;
        if let Err(e) = self.create_segment() {
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

    /// Completes the append a killed process left, comparing what the file already holds with staging.
    fn finish_intent(&mut self, finished: &mut dyn FnMut(&Intent)) -> io::Result<()> {
        let Some(intent) = self.state.intent() else {
            return Ok(());
        };
        let len = usize::try_from(intent.len).unwrap_or(usize::MAX);
        if len > STAGING || u64::from(crc32c::crc32c(self.state.staged(len))) != intent.crc {
            // Staging is not what the intent speaks of: somebody damaged the file. The ring still has the records, as
            // they were not marked done.
            self.state.clear_intent();
            return Ok(());
        }
        if !self.complete(&intent, len)? {
            // The segment is gone or holds somebody else's bytes at our offset: the records go to a new one. The
            // intent is stored anew before anything is written there.
            self.create_segment()?;
            let current = self.state.current();
            self.state.set_intent(&Intent {
                segment: current.number,
                offset: 0,
                ..intent
            });
            let open = self.segment.as_ref().ok_or(Errno::BADF)?;
            write_all(&open.file, self.state.staged(len))?;
            self.state.set_size(intent.len);
        }
        if self.settings.fsync == Fsync::Record
            && let Some(open) = &self.segment
        {
            fdatasync(&open.file)?;
        }
        finished(&intent);
        self.state.clear_intent();
        Ok(())
    }

    /// Writes what the segment lacks of an intent; false when it is not the file the intent was made for.
    fn complete(&mut self, intent: &Intent, len: usize) -> io::Result<bool> {
        let current = self.state.current();
        if current.number != intent.segment || !self.open_current(current)? {
            return Ok(false);
        }
        let Some(open) = &self.segment else {
            return Ok(false);
        };
        let size = u64::try_from(fstat(&open.file)?.st_size).unwrap_or(0);
        let Some(held) = size.checked_sub(intent.offset) else {
            return Ok(false);
        };
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(len);
        let staged = self.state.staged(len);
        if !holds(&open.file, intent.offset, &staged[..held])? {
            return Ok(false);
        }
        write_all(&open.file, &staged[held..])?;
        self.unsynced = true;
        self.state.set_size(intent.offset + intent.len);
        Ok(true)
    }

    /// Makes sure that the current segment is open, ours and as long as the state says; else starts a new one.
    fn refresh(&mut self) -> io::Result<()> {
        self.adopt_settings();
        let current = self.state.current();
        if current.number == 0 {
            // The first writer of this log: whatever stands under the plain name is kept as a segment.
            link::adopt_plain(self.dir.fd(), &self.name, self.settings.file_mode)?;
            return self.create_segment();
        }
        if !self.open_current(current)? {
            return self.create_segment();
        }
        let Some(open) = &self.segment else {
            return Err(Errno::BADF.into());
        };
        let stat = fstat(&open.file)?;
        if u64::try_from(stat.st_size).unwrap_or(0) != current.size || stat.st_nlink == 0 {
            return self.create_segment();
        }
        if current.size == 0 && current.rollover_at > 0 && now() >= current.rollover_at {
            // An empty segment that outlived its time is not closed; its time begins now.
            self.state.set_current(Current {
                rollover_at: self.next_rollover(),
                ..current
            });
        }
        if stat.st_nlink == 1 {
            // Somebody removed or replaced the plain name; it is derived, so it is made again.
            link::point_plain(
                &self.dir,
                &self.name,
                &naming::segment_name(&self.name, current.number),
            )?;
        }
        Ok(())
    }

    /// The first writer's settings stand in the state; ours go in where there are none. Retention takes the larger.
    fn adopt_settings(&mut self) {
        match self.state.settings() {
            None => self.state.set_settings(&self.settings),
            Some(mut standing) if standing != self.settings => {
                standing.backup_count = match (standing.backup_count, self.settings.backup_count) {
                    (0, _) | (_, 0) => 0,
                    (a, b) => a.max(b),
                };
                self.state.set_settings(&standing);
                self.settings = standing;
            }
            Some(_) => {}
        }
    }

    /// Opens the current segment unless it is open; false when the file of that name is not the one.
    fn open_current(&mut self, current: Current) -> io::Result<bool> {
        if self
            .segment
            .as_ref()
            .is_some_and(|s| s.number == current.number)
        {
            return Ok(true);
        }
        let name = naming::segment_name(&self.name, current.number);
        let file = match openat(
            self.dir.fd(),
            &name,
            OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        ) {
            Ok(file) => TrackedFd::new(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let stat = fstat(&file)?;
        if (stat.st_dev, stat.st_ino) != current.id {
            return Ok(false);
        }
        self.segment = Some(Open {
            number: current.number,
            file,
        });
        Ok(true)
    }

    /// Creates the next segment, makes it current and points the plain name at it.
    fn create_segment(&mut self) -> io::Result<()> {
        let listing = naming::list(self.dir.fd(), &self.name)?;
        let pending = self.state.creating();
        let (number, file) = match self.reuse_created(pending)? {
            Some(file) => (pending, file),
            None => self.create_numbered(naming::next_number(
                self.state.current().number.max(pending),
                &listing,
            ))?,
        };
        failpoint::point("segment-created");
        let stat = fstat(&file)?;
        self.state.set_current(Current {
            number,
            id: (stat.st_dev, stat.st_ino),
            size: 0,
            rollover_at: self.next_rollover(),
        });
        self.state.set_creating(0);
        self.segment = Some(Open { number, file });
        failpoint::point("state-switched");
        link::point_plain(
            &self.dir,
            &self.name,
            &naming::segment_name(&self.name, number),
        )?;
        failpoint::point("link-made");
        Ok(())
    }

    /// When a segment opened now is closed by time; 0 is never.
    fn next_rollover(&self) -> u64 {
        let now = i64::try_from(now()).unwrap_or(i64::MAX);
        When::decode(self.settings.when).map_or(0, |when| {
            let at = when.next_rollover(self.settings.interval, self.settings.utc, now);
            u64::try_from(at).unwrap_or(0)
        })
    }

    /// A segment whose creator was killed before it became current is empty and can be used.
    fn reuse_created(&self, number: u64) -> io::Result<Option<TrackedFd>> {
        if number == 0 {
            return Ok(None);
        }
        let name = naming::segment_name(&self.name, number);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(self.dir.fd(), &name, flags, Mode::empty()) {
            Ok(file) if fstat(&file)?.st_size == 0 => Ok(Some(TrackedFd::new(file))),
            Ok(_) | Err(Errno::NOENT | Errno::LOOP) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn create_numbered(&self, mut number: u64) -> io::Result<(u64, TrackedFd)> {
        let mode = Mode::from_raw_mode(self.settings.file_mode);
        loop {
            self.state.set_creating(number);
            match openat(
                self.dir.fd(),
                naming::segment_name(&self.name, number),
                OFlags::RDWR
                    | OFlags::APPEND
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::CLOEXEC
                    | OFlags::NOFOLLOW,
                mode,
            ) {
                Ok(file) => {
                    fchmod(&file, mode)?;
                    return Ok((number, TrackedFd::new(file)));
                }
                Err(Errno::EXIST) => number += 1,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Writes all of `bytes` at the end of the file.
fn write_all(file: &TrackedFd, mut bytes: &[u8]) -> io::Result<()> {
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

/// Whether the file holds `bytes` at `offset`.
fn holds(file: &TrackedFd, mut offset: u64, mut bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; bytes.len().min(64 << 10)];
    while !bytes.is_empty() {
        let want = bytes.len().min(buffer.len());
        let n = match rustix::io::pread(file, &mut buffer[..want], offset) {
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        if n == 0 || buffer[..n] != bytes[..n] {
            return Ok(false);
        }
        bytes = &bytes[n..];
        offset += n as u64;
    }
    Ok(true)
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
