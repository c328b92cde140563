//! The current segment: opened and checked under the lock, created, made current, pointed at by the plain name.

use std::io;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::config::LogSettings;
use crate::failpoint;
use crate::fork::TrackedFd;
use crate::report;
use crate::segment::link;
use crate::segment::naming;
use crate::segment::state::Current;
use crate::segment::store::{Open, Store, now};
use crate::segment::when::When;

impl Store {
    /// Makes sure that the current segment is open, ours and as long as the state says; else starts a new one.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        self.adopt_settings();
        let current = self.state.current();
        if current.number == 0 {
            return self.create_segment(); // The first writer of this log.
        }
        if !self.open_current(current)? {
            self.closed = true;
            return self.create_segment();
        }
        let Some(open) = &self.segment else {
            return Err(Errno::BADF.into());
        };
        let stat = fstat(&open.file)?;
        if (u64::try_from(stat.st_size).unwrap_or(0) != current.size || stat.st_nlink == 0)
            && !failpoint::switched("no-inode-check")
        {
            self.closed = true;
            return self.create_segment();
        }
        let outlived = current.size == 0 && current.rollover_at > 0 && now() >= current.rollover_at;
        if outlived || self.set_back(current) | std::mem::take(&mut self.retimed) {
            // An empty segment that outlived its time is not closed; its time begins now. So does that of a segment
            // opened under another `when`, or before the clock was set back.
            self.state.set_current(Current {
                rollover_at: self.next_rollover(),
                ..current
            });
        }
        let kept = self.keep_plain(current);
        self.say_unlinked(kept);
        Ok(())
    }

    /// The name is derived; the segment it should point at can be written all the same.
    fn say_unlinked(&self, pointed: io::Result<()>) {
        // Rights that were dropped after the start: rotation, which needs them, says so.
        if let Err(e) = pointed
            && e.kind() != io::ErrorKind::PermissionDenied
        {
            report::say(&format!(
                "cannot point {} at its newest segment: {e}",
                self.dir.path().join(&self.name).display()
            ));
        }
    }

    /// Whether the clock was set back so far that the current segment would be closed later than one opened now. (The standard library
    /// waits for the old date: after a day set back, a day and an hour for the hour's rotation.)
    fn set_back(&mut self, current: Current) -> bool {
        let now = now();
        now < std::mem::replace(&mut self.looked_at, now)
            && current.rollover_at > 0
            && current.rollover_at > self.next_rollover()
    }

    /// Makes the plain name again where somebody removed, moved or replaced it: it is derived. What another program
    /// wrote under it meanwhile is kept as a segment.
    fn keep_plain(&mut self, current: Current) -> io::Result<()> {
        match link::standing(self.dir.fd(), &self.name)? {
            Some(plain) if plain.id == current.id || plain.neighbours => return Ok(()),
            Some(plain) if plain.planted => {
                report::say(&format!(
                    "{} belongs to another user, who put it where every user may put one; have it removed. The log is in {}",
                    self.dir.path().join(&self.name).display(),
                    naming::segment_name(&self.name, current.number)
                ));
                return Ok(());
            }
            _ => {}
        }
        if self.adopt_plain()? {
            self.closed = true;
            return self.create_segment();
        }
        link::point_plain(
            &self.dir,
            &self.name,
            &naming::segment_name(&self.name, current.number),
        )
    }

    /// Keeps as a segment what another program, or logging before logspool came, wrote under the plain name; false when there is nothing
    /// to keep.
    fn adopt_plain(&self) -> io::Result<bool> {
        let current = self.state.current();
        match link::standing(self.dir.fd(), &self.name)? {
            Some(plain)
                if plain.id != current.id
                    && plain.has_text
                    && !plain.neighbours
                    && !plain.planted =>
            {
                link::adopt_plain(self.dir.fd(), &self.name, self.settings.file_mode, current)
            }
            _ => Ok(false),
        }
    }

    /// The first writer's settings stand in the state; ours go in where there are none. Retention takes the larger.
    fn adopt_settings(&mut self) {
        match self.state.settings() {
            None => self.state.set_settings(&self.settings),
            Some(mut standing) if standing != self.settings => {
                if (LogSettings {
                    backup_count: 0,
                    ..standing.clone()
                }) != (LogSettings {
                    backup_count: 0,
                    ..self.settings.clone()
                }) {
                    report::say(&format!(
                        "{} is open in another process with other rotation settings; those stand, as long as it runs",
                        self.dir.path().join(&self.name).display()
                    ));
                }
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

    /// Opens the current segment unless it is open; false when the file of that name is not the one (any more).
    pub(super) fn open_current(&mut self, current: Current) -> io::Result<bool> {
        let held = self
            .segment
            .as_ref()
            .is_some_and(|s| s.number == current.number);
        match link::keep_segment(self.dir.fd(), &self.name, current.number, current.id) {
            Ok(false) if !failpoint::switched("no-inode-check") => return Ok(false),
            Ok(_) if held => return Ok(true),
            Ok(_) => {}
            // A process that gave up its rights may not look at names any more; it appends through what it has open.
            Err(e) if held && e.kind() == io::ErrorKind::PermissionDenied => return Ok(true),
            Err(e) => return Err(e),
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
        if (stat.st_dev, stat.st_ino) != current.id && !failpoint::switched("no-inode-check") {
            return Ok(false);
        }
        // What this process wrote to the segment another one closed is forced to the device before it is let go.
        self.sync()?;
        self.segment = Some(Open {
            number: current.number,
            file,
        });
        Ok(true)
    }

    /// Creates the next segment, makes it current and points the plain name at it.
    pub(super) fn create_segment(&mut self) -> io::Result<()> {
        // Before the name is pointed elsewhere; where it cannot be kept the name stays what it is.
        let kept = self.adopt_plain();
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
        // Not fatal: the segment stands and is current, and the name is tried again whenever the lock is taken.
        let name = naming::segment_name(&self.name, number);
        let pointed = kept.and_then(|_| match link::standing(self.dir.fd(), &self.name)? {
            Some(plain) if plain.planted => Ok(()), // Said when the lock is taken next.
            _ => link::point_plain(&self.dir, &self.name, &name),
        });
        self.say_unlinked(pointed);
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

    /// A segment whose creator was killed before it became current is empty and can be used, unless the file of that name is
    /// somebody else's.
    fn reuse_created(&self, number: u64) -> io::Result<Option<TrackedFd>> {
        let name = naming::segment_name(&self.name, number);
        let ours = |stat: &Stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_size == 0
                && stat.st_nlink == 1
                && stat.st_uid == geteuid().as_raw()
        };
        // Before it is opened, which may do something to what is no file, and after, when it can be nothing else any more.
        let named = || statat(self.dir.fd(), &name, AtFlags::SYMLINK_NOFOLLOW);
        if number == 0 || !named().is_ok_and(|stat| ours(&stat)) {
            return Ok(None);
        }
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat(self.dir.fd(), &name, flags, Mode::empty()) {
            Ok(file) => TrackedFd::new(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if !ours(&fstat(&file)?) {
            return Ok(None);
        }
        // Who made it may have been killed before it had its mode.
        fchmod(&file, Mode::from_raw_mode(self.settings.file_mode))?;
        Ok(Some(file))
    }

    fn create_numbered(&self, mut number: u64) -> io::Result<(u64, TrackedFd)> {
        let mode = Mode::from_raw_mode(self.settings.file_mode);
        let before = self.state.creating();
        while naming::is_number(number) {
            self.state.set_creating(number);
            failpoint::step();
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
                    failpoint::step();
                    fchmod(&file, mode)?;
                    return Ok((number, TrackedFd::new(file)));
                }
                Err(Errno::EXIST) => number = naming::following(number),
                Err(e) => {
                    // The number is still free: one that a full disk tried again and again must not use up thousands.
                    self.state.set_creating(before);
                    return Err(e.into());
                }
            }
        }
        Err(io::Error::other(
            "there is no number left for the next segment; move the files with the largest numbers away",
        ))
    }
}
