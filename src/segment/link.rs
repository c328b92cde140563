//! The plain name of a log: a hard link to its newest segment, so that what people open and `tail -F` is always a whole
//! file. It is derived from the state and repaired, never trusted.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::Mode;
use rustix::fs::{AtFlags, FileType, chmodat, linkat, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failpoint;
use crate::segment::dir::LogDir;
use crate::segment::naming::{self, Segment};
use crate::segment::store::now;

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
}

/// Looks at what stands under the plain name; `None` when nothing does.
///
/// # Errors
/// When it cannot be looked at.
pub fn standing(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<Standing>> {
    match statat(dir, name, AtFlags::empty()) {
        Ok(stat) => Ok(Some(Standing {
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
/// such file, or it is a segment already. `current` is the number of the current segment, 0 before the first.
///
/// # Errors
/// When it cannot be linked.
pub fn adopt_plain(dir: BorrowedFd<'_>, name: &str, mode: u32, current: u64) -> io::Result<bool> {
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
    let mut number = naming::next_number(current, &listing);
    loop {
        let segment = naming::segment_name(name, number);
        failpoint::step();
        match linkat(dir, name, dir, &segment, AtFlags::empty()) {
            Ok(()) => {
                // Its contents are a log too: it gets the mode logs have. Failing that, it keeps its own.
                failpoint::step();
                let _ = chmodat(dir, &segment, Mode::from_raw_mode(mode), AtFlags::empty());
                return Ok(true);
            }
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

/// Whether the file `id` is one of the plain segments in `listing`.
fn is_listed(dir: BorrowedFd<'_>, name: &str, listing: &[Segment], id: (u64, u64)) -> bool {
    listing.iter().filter(|s| !s.gz).any(|segment| {
        statat(dir, segment.file_name(name), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| (s.st_dev, s.st_ino) == id)
    })
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
    // The number of an inode that was freed is given to the next file, a directory or fifo perhaps.
    let is_it = |file: &str| {
        statat(dir, file, AtFlags::SYMLINK_NOFOLLOW)
            .map(|s| (s.st_dev, s.st_ino) == id && FileType::from_raw_mode(s.st_mode).is_file())
    };
    match is_it(&segment) {
        Ok(it) => Ok(it),
        // Under another number it may be a segment already: then it is the number that somebody damaged.
        Err(Errno::NOENT) => Ok(is_it(name) == Ok(true)
            && !is_listed(dir, name, &naming::list(dir, name)?, id)
            && linkat(dir, name, dir, &segment, AtFlags::empty()).is_ok()
            && is_it(&segment) == Ok(true)),
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
