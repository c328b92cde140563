//! Finishes an append that a killed process left half done, whoever takes the log's lock next.

use std::io;

use rustix::fs::{FileType, Mode, OFlags, fdatasync, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

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
        if let Some(skip) = self.complete(&intent, len)? {
            // The segment is gone or holds somebody else's bytes at our offset: the records it lacks go to a new one.
            // The intent is stored anew before anything is written there.
            self.create_segment()?;
            let current = self.state.current();
            self.state.set_intent(&Intent {
                segment: current.number,
                offset: 0,
                skip: skip as u64,
                ..intent
            });
            let open = self.segment.as_ref().ok_or(Errno::BADF)?;
            let lacking = &self.state.staged(len)[skip..];
            write_all(&open.file, lacking)?;
            self.state.set_size(lacking.len() as u64);
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

    /// Writes what the segment lacks of an intent. When it is not the file the intent was made for, or somebody else
    /// wrote to it, nothing is written, and this gives how much of staging stands in it as whole lines.
    fn complete(&mut self, intent: &Intent, len: usize) -> io::Result<Option<usize>> {
        let skip = usize::try_from(intent.skip).unwrap_or(len).min(len);
        let current = self.state.current();
        if current.number != intent.segment {
            return Ok(Some(skip));
        }
        if !self.open_current(current)? {
            let found = self.complete_copy(intent, skip, len)?;
            return Ok((!found).then_some(skip));
        }
        let Some(open) = &self.segment else {
            return Ok(Some(skip));
        };
        let size = u64::try_from(fstat(&open.file)?.st_size).unwrap_or(0);
        let Some(held) = size.checked_sub(intent.offset) else {
            return Ok(Some(skip));
        };
        let staged = &self.state.staged(len)[skip..];
        let held = if failpoint::switched("blind-finish") {
            0
        } else {
            usize::try_from(held)
                .unwrap_or(usize::MAX)
                .min(staged.len())
        };
        let equal = equal(&open.file, intent.offset, &staged[..held])?;
        if equal < held {
            let lines = memchr::memrchr(b'\n', &staged[..equal]).map_or(0, |end| end + 1);
            return Ok(Some(skip + lines));
        }
        write_all(&open.file, &staged[held..])?;
        self.unsynced = true;
        self.state.set_size(intent.offset + staged.len() as u64);
        Ok(None)
    }
}

impl Store {
    /// The same for a copy of the directory (a backup put back): the file of that name is another one, but if it ends in what was
    /// staged it is the segment all the same, and writing everything to a new one would double that.
    fn complete_copy(&self, intent: &Intent, skip: usize, len: usize) -> io::Result<bool> {
        let name = naming::segment_name(&self.name, intent.segment);
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = openat(self.dir.fd(), &name, flags, Mode::empty()) else {
            return Ok(false);
        };
        let stat = fstat(&file)?;
        let file = TrackedFd::new(file);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let held = usize::try_from(size.saturating_sub(intent.offset)).unwrap_or(usize::MAX);
        let staged = &self.state.staged(len)[skip..];
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || stat.st_uid != geteuid().as_raw()
            || !(1..=staged.len()).contains(&held)
            || equal(&file, intent.offset, &staged[..held])? < held
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

/// How many of `bytes` the file holds at `offset`, up to the first that is another.
fn equal(file: &TrackedFd, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    let mut buffer = vec![0; bytes.len().min(64 << 10)];
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let want = rest.len().min(buffer.len());
        let n = match rustix::io::pread(file, &mut buffer[..want], offset + at as u64) {
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        let same = buffer[..n].iter().zip(rest).take_while(|(a, b)| a == b);
        let same = same.count();
        at += same;
        if n == 0 || same < n {
            break;
        }
    }
    Ok(at)
}
