//! Where a log may stand: what other users could use against who logs is refused at the start, in one sentence each.
//!
//! Nothing here is what keeps others out later: names that are not ours are never opened for writing, followed or truncated. It keeps a
//! program from logging where others may read along, take its files away or put theirs in the place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, lstat, openat, readlinkat, stat, statat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{Context, Error, Result};
use crate::segment::{link, naming};

/// How many directories above a log's are looked at.
const HIGHEST: usize = 64;

/// Whether every user may make and remove names in a directory.
fn is_open(directory: &Stat) -> bool {
    directory.st_mode & 0o002 != 0
}

/// Whether each name in a directory is safe from all but its owner.
fn is_sticky(directory: &Stat) -> bool {
    directory.st_mode & 0o1000 != 0
}

/// Whether something belongs to a user who is neither us nor root.
pub(super) fn is_strangers(stat: &Stat) -> bool {
    stat.st_uid != 0 && stat.st_uid != geteuid().as_raw()
}

/// Whether `stat` is what another user put in the directory, in which everybody may put something.
pub(super) fn is_planted(stat: &Stat, directory: &Stat) -> bool {
    is_open(directory) && is_strangers(stat)
}

/// Checks the directory of a log.
///
/// # Errors
/// When every user may replace what stands in it, or another user put it, or one it lies in, where everybody may put something.
pub fn check_directory(dir: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let what = "cannot use the log directory";
    let own = fstat(dir).context(what, &shown)?;
    if is_open(&own) && !is_sticky(&own) {
        return Err(Error::refused(
            what,
            &shown,
            Errno::PERM,
            format!(
                "every user may write to it, and take away or replace the log; take that right away (chmod o-w {shown}), set the sticky \
                 bit (chmod +t {shown}), or log to a directory of its own in it, such as {shown}/logs"
            ),
        ));
    }
    let mut child = own;
    let mut above: Option<OwnedFd> = None;
    for _ in 0..HIGHEST {
        let at = above.as_ref().map_or(dir, |fd| fd.as_fd());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // What may not be looked at from here was not made for us to fall into either.
        let Ok(parent) = openat(at, "..", flags, Mode::empty()) else {
            break;
        };
        let Ok(stat) = fstat(&parent) else { break };
        if (stat.st_dev, stat.st_ino) == (child.st_dev, child.st_ino) {
            break;
        }
        if is_planted(&child, &stat) {
            return Err(Error::refused(
                what,
                &shown,
                Errno::PERM,
                format!(
                    "it is, or lies in, a directory that user {} made where every user may make one; log to a directory of your own, or \
                     have it removed",
                    child.st_uid
                ),
            ));
        }
        child = stat;
        above = Some(parent);
    }
    Ok(())
}

/// Checks the links that a path goes through. A symbolic link is the choice of who made it: of the user, or of an administrator.
///
/// # Errors
/// When another user put one where everybody may put something.
pub fn check_links(path: &Path) -> Result<()> {
    let mut at = PathBuf::new();
    for part in path.components() {
        let parent = if at.as_os_str().is_empty() {
            lstat(".")
        } else {
            stat(&at)
        };
        at.push(part);
        let (Ok(parent), Ok(found)) = (parent, lstat(&at)) else {
            return Ok(()); // Opening it says what is wrong.
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink
            && is_planted(&found, &parent)
        {
            return Err(Error::refused(
                "cannot use the log directory",
                path.display().to_string(),
                Errno::LOOP,
                format!(
                    "{} is a symbolic link that user {} made where every user may make one; give the path itself, or have it removed",
                    at.display(),
                    found.st_uid
                ),
            ));
        }
    }
    Ok(())
}

/// Checks what stands under the plain name of a log, if anything does.
///
/// # Errors
/// When it is no file, a link to somewhere else, or a file that another user put where everybody may put one.
pub fn check_plain(dir: BorrowedFd<'_>, path: &Path, name: &str) -> Result<()> {
    let shown = path.join(name).display().to_string();
    let what = "cannot open the log";
    let refuse = |number, why: String| Err(Error::refused(what, &shown, number, why));
    let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(Error::new(what, shown, e)),
    };
    let directory = fstat(dir).context(what, &shown)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if !is_planted(&stat, &directory) => return Ok(()),
        // Another user's log of that name: each has segments of its own, and the name is the one's that was begun last.
        FileType::RegularFile if stat.st_nlink > 1 && link::is_segment(dir, name, &stat) => {
            return Ok(());
        }
        FileType::RegularFile => {
            return refuse(
                Errno::PERM,
                format!(
                    "the file belongs to user {}, who put it where every user may put one; have it removed, or give another path",
                    stat.st_uid
                ),
            );
        }
        FileType::Symlink => {
            let target = readlinkat(dir, name, Vec::new()).unwrap_or_default();
            let ours = naming::parse(target.to_bytes(), name).is_some_and(|segment| !segment.gz);
            if ours && !is_planted(&stat, &directory) {
                return Ok(()); // As it is made where there are no hard links.
            }
            return refuse(
                Errno::LOOP,
                format!(
                    "it is a symbolic link to {}; give the path of the log itself, or remove the link",
                    target.to_string_lossy()
                ),
            );
        }
        FileType::Directory => {
            return refuse(
                Errno::ISDIR,
                "it is a directory; give a file name in it".to_owned(),
            );
        }
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "no regular file",
    };
    refuse(
        Errno::INVAL,
        format!(
            "it is {kind}; a log needs a regular file: give another path, or remove what stands there"
        ),
    )
}
