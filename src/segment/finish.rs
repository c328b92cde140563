//! Finishes an append that a killed process left half done, whoever takes the log's lock next.

use std::io;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fdatasync, fstat, openat, statat};
use rustix::io::Errno;

use crate::config::Fsync;
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::segment::naming;
use crate::segment::state::{Intent, Note, STAGING};
use crate::segment::store::{Store, write_all};

impl Store {
    /// Completes the append a killed process left, comparing what the file already holds with staging.
    pub(super) fn finish_intent(
        &mut self,
        finished: &mut dyn FnMut(&Intent) -> bool,
    ) -> io::Result<()> {
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
        if !finished(&intent) && !failpoint::switched("no-note") {
            self.state.note_finished(&intent);
        }
        self.state.clear_intent();
        Ok(())
    }

    /// What others who could not see `ring` have finished for it.
    #[must_use]
    pub fn finished_for(&self, ring: [u8; 8]) -> Option<Note> {
        self.state.note(ring)
    }

    /// Forgets that, once the ring itself knows.
    pub fn forget_finished(&self, ring: [u8; 8]) {
        self.state.clear_note(ring);
    }

    /// Writes what the segment lacks of an intent; false when it is not the file the intent was made for.
    fn complete(&mut self, intent: &Intent, len: usize) -> io::Result<bool> {
        let current = self.state.current();
        if current.number != intent.segment {
            return Ok(false);
        }
        if !self.open_current(current)? {
            return self.complete_copy(intent, len);
        }
        let Some(open) = &self.segment else {
            return Ok(false);
        };
        let size = u64::try_from(fstat(&open.file)?.st_size).unwrap_or(0);
        let Some(held) = size.checked_sub(intent.offset) else {
            return Ok(false);
        };
        let held = if failpoint::switched("blind-finish") {
            0
        } else {
            usize::try_from(held).unwrap_or(usize::MAX).min(len)
        };
        let staged = self.state.staged(len);
        if !holds(&open.file, intent.offset, &staged[..held])? {
            return Ok(false);
        }
        write_all(&open.file, &staged[held..])?;
        self.unsynced = true;
        self.state.set_size(intent.offset + intent.len);
        Ok(true)
    }
}

impl Store {
    /// The same for a copy of the directory (a backup put back): the file of that name is another one, but if it ends in what was
    /// staged it is the segment all the same, and writing everything to a new one would double that.
    fn complete_copy(&self, intent: &Intent, len: usize) -> io::Result<bool> {
        let name = naming::segment_name(&self.name, intent.segment);
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = openat(self.dir.fd(), &name, flags, Mode::empty()) else {
            return Ok(false);
        };
        let (file, stat) = (
            TrackedFd::new(file),
            statat(self.dir.fd(), &name, AtFlags::SYMLINK_NOFOLLOW)?,
        );
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let held = usize::try_from(size.saturating_sub(intent.offset)).unwrap_or(usize::MAX);
        let staged = self.state.staged(len);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || !(1..=len).contains(&held)
            || !holds(&file, intent.offset, &staged[..held])?
        {
            return Ok(false);
        }
        write_all(&file, &staged[held..])?;
        if self.settings.fsync == Fsync::Record {
            fdatasync(&file)?;
        }
        Ok(true)
    }
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
