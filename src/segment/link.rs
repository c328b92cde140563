//! The plain name of a log: a hard link to its newest segment, so that what people open and `tail -F` is always a whole
//! file. It is derived from the state and repaired, never trusted.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, linkat, openat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failpoint;
use crate::segment::dir::LogDir;
use crate::segment::naming::{self, Segment};
use crate::segment::state::Current;
use crate::segment::store::now;
use crate::segment::trust;

/// A plain name that belongs to another user's segment is left to it for so long after its last record, in seconds: two
/// users' processes that log under one name would otherwise take it from each other with every record.
const NEIGHBOUR_IDLE: u64 = 60;

/// What stands under a plain name.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Device and inode, of its target where it is a symbolic link.
    pub id: (u64, u64),
    /// Whether it is a file that holds something.
    pub has_text: bool,
    /// Whether it is the segment of another user who has written to it a moment ago.
    pub neighbours: bool,
    /// Whether another user put it where every user may put something, and it is no segment of theirs.
    pub planted: bool,
}

/// Looks at what stands under the plain name; `None` when nothing does.
///
/// # Errors
/// When it cannot be looked at.
pub fn standing(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<Standing>> {
    let planted = |stat: &Stat| {
        trust::is_strangers(stat)
            && stat.st_nlink == 1
            && fstat(dir).is_ok_and(|directory| trust::is_planted(stat, &directory))
    };
    match statat(dir, name, AtFlags::empty()) {
        Ok(stat) => Ok(Some(Standing {
            planted: planted(&stat),
            id: (stat.st_dev, stat.st_ino),
            has_text: stat.st_size > 0,
            neighbours: stat.st_uid != geteuid().as_raw()
                && stat.st_nlink > 1
                && now().abs_diff(u64::try_from(stat.st_mtime).unwrap_or(0)) < NEIGHBOUR_IDLE,
        })),
        Err(Errno::NOENT | Errno::LOOP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Keeps a regular file that stands under the plain name as a segment of its own. `link` decides between two
/// processes: the loser finds the name taken and the file adopted. Its bytes are never touched. False when there is no
/// such file, or it is a segment already, or the copy of one: who copies a directory without keeping its hard links (`rsync -a`, `cp -r`)
/// makes two files of one.
///
/// # Errors
/// When it cannot be linked.
pub fn adopt_plain(
    dir: BorrowedFd<'_>,
    name: &str,
    mode: u32,
    current: Current,
) -> io::Result<bool> {
    let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let listing = naming::list(dir, name)?;
    if is_listed(dir, name, &listing, (stat.st_dev, stat.st_ino)) {
        return Ok(false); // The plain name of an earlier life, whose state was deleted: already a segment.
    }
    if let Some(newest) = listing.iter().rev().find(|s| !s.gz) {
        let segment = naming::segment_name(name, newest.number);
        match shorter(dir, name, &segment)? {
            Some(Shorter::First) => return Ok(false),
            // The segment was copied a moment before the plain name, which has the lines of that moment.
            Some(Shorter::Second)
                if newest.number != current.number || !is_it(dir, &segment, current.id) =>
            {
                renameat(dir, name, dir, &segment)?;
                return Ok(false);
            }
            _ => {}
        }
    }
    let mut number = naming::next_number(current.number, &listing);
    loop {
        let segment = naming::segment_name(name, number);
        failpoint::step();
        match linkat(dir, name, dir, &segment, AtFlags::empty()) {
            Ok(()) => return set_mode(dir, &segment, mode, (stat.st_dev, stat.st_ino)),
            Err(Errno::EXIST) => number = naming::following(number),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                // No hard links here: a rename keeps it just as well.
                failpoint::step();
                renameat(dir, name, dir, &segment)?;
                return Ok(true);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Gives an adopted file the mode logs have, for its contents are a log too; failing that, it keeps its own. False where it is not the
/// file `id` that was looked at, but what somebody put in its place a moment later: then it is let go again.
fn set_mode(dir: BorrowedFd<'_>, segment: &str, mode: u32, id: (u64, u64)) -> io::Result<bool> {
    failpoint::step();
    if !is_it(dir, segment, id) {
        unlinkat(dir, segment, AtFlags::empty())?;
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(dir, segment, flags, Mode::empty())
        && fstat(&file).is_ok_and(|s| (s.st_dev, s.st_ino) == id)
    {
        let _ = fchmod(&file, Mode::from_raw_mode(mode));
    }
    Ok(true)
}

/// Whether what stands under the plain name is one of the plain segments of the log.
pub(super) fn is_segment(dir: BorrowedFd<'_>, name: &str, stat: &Stat) -> bool {
    naming::list(dir, name)
        .is_ok_and(|listing| is_listed(dir, name, &listing, (stat.st_dev, stat.st_ino)))
}

/// Whether the file `id` is one of the plain segments in `listing`.
fn is_listed(dir: BorrowedFd<'_>, name: &str, listing: &[Segment], id: (u64, u64)) -> bool {
    listing.iter().filter(|s| !s.gz).any(|segment| {
        statat(dir, segment.file_name(name), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| (s.st_dev, s.st_ino) == id)
    })
}

/// Which of two files is the beginning of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shorter {
    /// The first, or they are the same.
    First,
    Second,
}

/// Compares two regular files as far as the shorter one goes; `None` if they differ, or one of them is empty or cannot be read.
fn shorter(dir: BorrowedFd<'_>, first: &str, second: &str) -> io::Result<Option<Shorter>> {
    let open = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(dir, name, flags, Mode::empty()).ok()?);
        let length = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)?
            .len();
        Some((file, length))
    };
    let (Some((a, a_len)), Some((b, b_len))) = (open(first), open(second)) else {
        return Ok(None);
    };
    let mut left = a_len.min(b_len);
    if left == 0 {
        return Ok(None);
    }
    let (mut a, mut b) = (a.take(left), b.take(left));
    let (mut from_a, mut from_b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    while left > 0 {
        let n = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(from_a.len());
        a.read_exact(&mut from_a[..n])?;
        b.read_exact(&mut from_b[..n])?;
        if from_a[..n] != from_b[..n] {
            return Ok(None);
        }
        left -= n as u64;
    }
    Ok(Some(if a_len <= b_len {
        Shorter::First
    } else {
        Shorter::Second
    }))
}

/// Whether a name is that of the regular file `id`. (The number of an inode that was freed is given to the next file, a directory or
/// fifo perhaps.)
fn is_it(dir: BorrowedFd<'_>, file: &str, id: (u64, u64)) -> bool {
    statat(dir, file, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| (s.st_dev, s.st_ino) == id && FileType::from_raw_mode(s.st_mode).is_file())
}

/// Whether segment `number` is still the file `id`: not renamed, replaced or removed by somebody. Where only the numbered name was
/// removed and the plain name still has the file, the numbered one is made again: it is what readers and retention go by.
///
/// # Errors
/// When the directory cannot be looked at.
pub fn keep_segment(
    dir: BorrowedFd<'_>,
    name: &str,
    number: u64,
    id: (u64, u64),
) -> io::Result<bool> {
    let segment = naming::segment_name(name, number);
    if is_it(dir, &segment, id) {
        return Ok(true);
    }
    match statat(dir, &segment, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        // Under another number it may be a segment already: then it is the number that somebody damaged.
        Err(Errno::NOENT) => Ok(is_it(dir, name, id)
            && !is_listed(dir, name, &naming::list(dir, name)?, id)
            && linkat(dir, name, dir, &segment, AtFlags::empty()).is_ok()
            && is_it(dir, &segment, id)),
        Err(e) => Err(e.into()),
    }
}

/// Points the plain name at `segment`: a link under a temporary name, then a rename over it, so that the name is never
/// absent. A symbolic link only where hard links are not supported.
///
/// # Errors
/// When neither kind of link can be made.
pub fn point_plain(dir: &LogDir, name: &str, segment: &str) -> io::Result<()> {
    let temporary = format!("{name}.link.tmp");
    loop {
        failpoint::step();
        match linkat(dir.fd(), segment, dir.own(), &temporary, AtFlags::empty()) {
            Ok(()) => break,
            Err(Errno::EXIST) => {
                failpoint::step();
                unlinkat(dir.own(), &temporary, AtFlags::empty())?;
            }
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::XDEV) => {
                match symlinkat(segment, dir.own(), &temporary) {
                    Err(Errno::EXIST) => unlinkat(dir.own(), &temporary, AtFlags::empty())?,
                    other => {
                        other?;
                        break;
                    }
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    failpoint::step();
    renameat(dir.own(), &temporary, dir.fd(), name)?;
    // A rename between two links of one file does nothing and leaves the temporary name: it already pointed there.
    failpoint::step();
    let _ = unlinkat(dir.own(), &temporary, AtFlags::empty());
    Ok(())
}
