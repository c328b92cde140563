//! Rings whose owner died: found by their free lock, drained, unlinked. Damage never stops a start.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;

use crate::failpoint;
use crate::fork::TrackedFd;
use crate::report;
use crate::segment::dir::{LogDir, OWN_DIR};
use crate::spool::drain::Source;
use crate::spool::frame::{ALIGN, Found};
use crate::spool::ring::{self, Ring};
use crate::spool::salvage::{self, Opened};
use crate::spool::stores::Stores;

/// A temporary ring older than this was left by a process killed while it made it.
const STALE: Duration = Duration::from_mins(1);

/// How rings are named, and rings that are being made. Our own names: case matters.
const RING: &str = ".ring";
const TEMPORARY: &str = ".ring.tmp";

/// What became of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// Drained and removed.
    #[default]
    Finished,
    /// Drained as far as it could be read, and kept as `.damaged`.
    SetAside,
    /// Left to its owner, which lives, or to another process that is draining it.
    Held,
    /// Gone when its turn came: another process has finished it.
    Gone,
    /// Left: it has another name somewhere, and its records would be written twice.
    Linked,
    /// Left: other users may write to it, so that its records may be anybody's.
    Exposed,
    /// Left: no file of this user's that can be opened: a link, a directory, another user's.
    Foreign,
    /// Left: written by a logspool of another format version.
    OtherVersion(u64),
    /// Left: a log is locked by another process, or cannot be written.
    Unfinished,
    /// Left: a copy of another ring, whose records it has again.
    Copy,
    /// Left: trouble with the file itself.
    Failed,
}

/// What was found and done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovered {
    /// What became of the ring; of several together it says nothing.
    pub fate: Fate,
    /// Rings drained and removed.
    pub rings: u64,
    /// Records carried into segments.
    pub records: u64,
    /// Damaged bytes.
    pub damaged: u64,
    /// Orphans that could not be finished yet.
    pub left: u64,
    /// Whether that is because another process held a log.
    pub contended: bool,
}

impl Recovered {
    pub(crate) fn add(&mut self, other: Self) {
        self.rings += other.rings;
        self.records += other.records;
        self.damaged += other.damaged;
        self.left += other.left;
        self.contended |= other.contended;
    }
}

/// Drains every orphan in `place` into the logs of `stores`.
///
/// # Errors
/// When the place cannot be read; trouble with one ring leaves it for the next time.
pub fn adopt_orphans(place: BorrowedFd<'_>, stores: &mut Stores) -> io::Result<Recovered> {
    adopt_each(place, stores, &mut |_, _| {})
}

/// The same; `heard` is told of each ring what became of it.
///
/// # Errors
/// As [`adopt_orphans`].
pub fn adopt_each(
    place: BorrowedFd<'_>,
    stores: &mut Stores,
    heard: &mut dyn FnMut(&str, Recovered),
) -> io::Result<Recovered> {
    let mut total = Recovered::default();
    let path = path_of(place, &stores.dir);
    for name in rings(place)? {
        if name.ends_with(TEMPORARY) {
            remove_stale(place, &name);
            continue;
        }
        // Whatever is in a ring, it does not stop a start.
        let adopted = catch_unwind(AssertUnwindSafe(|| adopt((place, &path), &name, stores)))
            .unwrap_or_else(|panic| {
                failpoint::pass_on(panic);
                give_up((place, &path), &name)
            });
        match adopted {
            Ok(done) => {
                heard(&name, done);
                total.add(done);
            }
            Err(e) => {
                let done = Recovered {
                    fate: Fate::Failed,
                    left: 1,
                    ..Recovered::default()
                };
                heard(&name, done);
                total.add(done);
                report::say(&format!(
                    "cannot recover the spool file {}: {e}; left for later",
                    path.join(&name).display()
                ));
            }
        }
    }
    Ok(total)
}

/// The path of a place, for messages.
fn path_of(place: BorrowedFd<'_>, dir: &LogDir) -> PathBuf {
    let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    if let (Ok(place), Ok(own)) = (fstat(place), fstat(dir.own()))
        && same(&place, &own)
    {
        return own_path(dir);
    }
    // It was opened by descriptor, and what it is called now is what helps who reads the message.
    std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).unwrap_or_default()
}

/// The path of a log directory's own directory, for messages.
pub(super) fn own_path(dir: &LogDir) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let other = dir.path().join(format!("{OWN_DIR}.{uid}"));
    let is_other = rustix::fs::stat(&other)
        .is_ok_and(|s| fstat(dir.own()).is_ok_and(|own| own.st_ino == s.st_ino));
    if is_other {
        other
    } else {
        dir.path().join(OWN_DIR)
    }
}

/// The names of the rings in a place, and of those being made.
pub(super) fn rings(place: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(place)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && (name.ends_with(RING) || name.ends_with(TEMPORARY))
        {
            found.push(name.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Drains one ring if nobody owns it.
fn adopt(
    (place, path): (BorrowedFd<'_>, &Path),
    name: &str,
    stores: &mut Stores,
) -> io::Result<Recovered> {
    let mut done = Recovered::default();
    let shown = path.join(name).display().to_string();
    let file = match lock_orphan(place, name)? {
        Ok(file) => file,
        Err(fate) => {
            let why = match fate {
                Fate::Linked => Some(
                    "it has another name somewhere, and its records would be written twice. Remove one of the names".to_owned(),
                ),
                Fate::Exposed => Some(format!(
                    "other users may write to it, and may have put their records in it. If nobody did, `chmod 600 {shown}` lets it be \
                     recovered"
                )),
                _ => None,
            };
            if let Some(why) = why {
                report::say(&format!("the spool file {shown} is left alone: {why}"));
            }
            done.fate = fate;
            return Ok(done);
        }
    };
    let (ring, mut damage) = match salvage::open(file, place, name)? {
        Opened::Ring(ring, damage) => (ring, damage),
        Opened::Version(version) => {
            report::say(&format!(
                "{shown} is a spool of format version {version} and this logspool knows version {}; it is left for the \
                 logspool that wrote it",
                ring::VERSION
            ));
            done.fate = Fate::OtherVersion(version);
            return Ok(done);
        }
        Opened::Copy(id) => {
            report::say(&format!(
                "{shown} is left alone: it is a copy of {0}, and its records would be written twice. Remove it; only if {0} was \
                 lost before its records were in the logs, give it that name again",
                ring::file_name(id)
            ));
            done.fate = Fate::Copy;
            return Ok(done);
        }
        Opened::TooShort => {
            let kept = path.join(set_aside(place, name)?);
            report::say(&format!(
                "{shown} was damaged by something other than logspool: it was cut, and its records cannot be read. It is \
                 kept as {}",
                kept.display()
            ));
            done.rings += 1;
            done.fate = Fate::SetAside;
            return Ok(done);
        }
    };
    let source = Source {
        ring: &ring,
        spool: None,
        place,
        behind: &[],
    };
    if failpoint::switched("unlink-first") {
        unlinkat(place, name, AtFlags::empty())?;
    }
    let mut announced = false;
    loop {
        let pass = stores.drain(source);
        done.records += pass.records;
        done.damaged += pass.damaged;
        announced |= pass.announced;
        if pass.complete {
            break;
        }
        if pass.records == 0 {
            done.left += 1;
            done.contended = pass.contended;
            done.fate = Fate::Unfinished;
            return Ok(done);
        }
    }
    if done.damaged > 0 && damage.is_none() {
        damage = Some(format!("{} bytes of records", done.damaged));
    }
    if let Some(what) = damage {
        done.damaged = done.damaged.max(1);
        if !announced {
            salvage::announce(stores, source, &what);
        }
        let kept = path.join(set_aside(place, name)?);
        done.fate = Fate::SetAside;
        report::say(&format!(
            "{shown} was damaged by something other than logspool ({what}); what could be read of it is recovered. It is \
             kept as {}",
            kept.display()
        ));
    } else {
        failpoint::step();
        unlinkat(place, name, AtFlags::empty())?;
    }
    done.rings += 1;
    Ok(done)
}

/// What a ring's damage made us fail at: a defect, but not one to fail a start with, or to meet again at each.
fn give_up((place, path): (BorrowedFd<'_>, &Path), name: &str) -> io::Result<Recovered> {
    let kept = path.join(set_aside(place, name)?);
    report::say(&format!(
        "the damaged spool file {} could not be recovered; this is a defect of logspool. It is kept as {}",
        path.join(name).display(),
        kept.display()
    ));
    Ok(Recovered {
        fate: Fate::SetAside,
        rings: 1,
        damaged: 1,
        ..Recovered::default()
    })
}

/// Renames a damaged ring so that nobody looks at it again but people; gives the new name.
fn set_aside(place: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    failpoint::step();
    let mut kept = format!("{}.damaged", name.trim_end_matches(RING));
    let mut n = 1;
    while statat(place, &kept, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        n += 1;
        kept = format!("{}.damaged.{n}", name.trim_end_matches(RING));
    }
    renameat(place, name, place, &kept)?;
    Ok(kept)
}

/// Opens and locks a ring nobody owns: regular, ours, with one link, and still under its name; else says why it is left.
fn lock_orphan(place: BorrowedFd<'_>, name: &str) -> io::Result<Result<TrackedFd, Fate>> {
    let file = match openat(
        place,
        name,
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    ) {
        Ok(file) => TrackedFd::new(file),
        Err(Errno::NOENT) => return Ok(Err(Fate::Gone)),
        // A link, a directory, a socket, another user's.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::ACCESS) => {
            return Ok(Err(Fate::Foreign));
        }
        Err(e) => return Err(e.into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Err(Fate::Held)),
        Err(e) => return Err(e.into()),
    }
    let held = fstat(&file)?;
    let named = match statat(place, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Err(Fate::Gone)), // Another recoverer was faster.
        Err(e) => return Err(e.into()),
    };
    let same = (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino);
    Ok(match (is_ours(&held), same) {
        (false, _) => Err(Fate::Foreign),
        (true, false) => Err(Fate::Gone),
        (true, true) if held.st_nlink != 1 => Err(Fate::Linked),
        (true, true) if held.st_mode & 0o022 != 0 => Err(Fate::Exposed),
        (true, true) => Ok(file),
    })
}

/// Whether it is a regular file of this user's.
fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw()
}

fn remove_stale(place: BorrowedFd<'_>, name: &str) {
    let Ok(stat) = statat(place, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return;
    };
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        .saturating_sub(u64::try_from(stat.st_mtime).unwrap_or(0));
    if age > STALE.as_secs() {
        failpoint::step();
        let _ = unlinkat(place, name, AtFlags::empty());
    }
}

/// Another ring of the place, mapped to advance its counters; `None` when it is gone.
///
/// # Errors
/// When it is there but cannot be mapped.
pub fn find_ring(place: BorrowedFd<'_>, id: [u8; 8]) -> io::Result<Option<Ring>> {
    if !salvage::is_id(id) {
        return Ok(None); // From a damaged intent: it could lead anywhere.
    }
    match openat(
        place,
        ring::file_name(id),
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    ) {
        Ok(file) => {
            let file = TrackedFd::new(file);
            let stat = fstat(&file)?;
            if !is_ours(&stat) || stat.st_nlink != 1 {
                return Ok(None);
            }
            Ring::map(file)
        }
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The position of the next whole frame after damage at `position`; for a living ring its head where there is none.
#[must_use]
pub fn resync(source: Source<'_>, position: u64, end: u64) -> Option<u64> {
    let ring = source.ring;
    let limit = (ring.tail() + ring.region.capacity).min(end);
    let mut at = position + ALIGN;
    while at < limit {
        if let Found::Frame { .. } = ring.find(at, limit - at, true) {
            return Some(at);
        }
        at += ALIGN;
    }
    source.spool.map(|_| end)
}
