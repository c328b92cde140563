//! A log directory, resolved once: everything is opened relative to its descriptor, so that `chdir`, symlinks and bind
//! mounts do not matter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::failpoint;

/// The name of our own directory beside the logs.
pub const OWN_DIR: &str = ".logspool";

/// An open log directory with its `.logspool/`.
#[derive(Debug)]
pub struct LogDir {
    /// The directory of the logs.
    fd: OwnedFd,
    /// `.logspool/` in it: state, rings and every temporary file.
    own: OwnedFd,
    /// For messages only.
    path: PathBuf,
    /// Device and inode: what identifies it.
    id: (u64, u64),
}

impl LogDir {
    /// Opens `path`, creating it and what it lacks above it with `mode`.
    ///
    /// # Errors
    /// When it cannot be created, opened, or holds no usable `.logspool/`.
    pub fn open(path: &Path, mode: u32) -> Result<Self> {
        let shown = path.display().to_string();
        create_all(path, mode).context("cannot create the log directory", &shown)?;
        let fd = open_dir(CWD, path).context("cannot open the log directory", &shown)?;
        Self::from_fd(fd, path.to_owned())
    }

    /// The directory at `path` with each of our own directories that stands in it and is ours: `.logspool/` and
    /// `.logspool.<uid>/`. Nothing is created.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn standing(path: &Path) -> Result<Vec<Self>> {
        let shown = path.display().to_string();
        let uid = rustix::process::geteuid().as_raw();
        let mut found = Vec::new();
        for name in [OWN_DIR.to_owned(), format!("{OWN_DIR}.{uid}")] {
            let fd = open_dir(CWD, path).context("cannot open the log directory", &shown)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(own) = openat(&fd, &name, flags, Mode::empty()) else {
                continue;
            };
            let stat = fstat(&fd).context("cannot inspect the log directory", &shown)?;
            if fstat(&own).is_ok_and(|own| own.st_uid == uid) {
                found.push(Self {
                    fd,
                    own,
                    path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
                    id: (stat.st_dev, stat.st_ino),
                });
            }
        }
        Ok(found)
    }

    /// The same directory again, with descriptors of its own: for a forked child, which must not touch its parent's.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn reopen(&self) -> Result<Self> {
        let shown = self.path.display().to_string();
        let fd = open_dir(self.fd.as_fd(), Path::new("."))
            .context("cannot reopen the log directory", &shown)?;
        Self::from_fd(fd, self.path.clone())
    }

    fn from_fd(fd: OwnedFd, path: PathBuf) -> Result<Self> {
        let shown = path.display().to_string();
        let found = fstat(&fd).context("cannot inspect the log directory", &shown)?;
        let own = open_own(fd.as_fd()).map_err(|e| {
            let e: io::Error = e;
            Error::new(
                "cannot create logspool's own directory",
                format!("{shown}/{OWN_DIR}"),
                e,
            )
        })?;
        Ok(Self {
            fd,
            own,
            path: std::path::absolute(&path).unwrap_or(path),
            id: (found.st_dev, found.st_ino),
        })
    }

    /// The directory of the logs.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// `.logspool/`.
    #[must_use]
    pub fn own(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// Where it was found, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        self.id
    }
}

/// Opens a directory relative to `at`, following links: a symlinked log directory is the user's choice.
fn open_dir(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(
        at,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Creates `path` and its missing parents, each with `mode` whatever the umask; what exists is left alone.
fn create_all(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_all(parent, mode)?;
    }
    failpoint::step();
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => {
            let fd = open_dir(CWD, path)?;
            failpoint::step();
            fchmod(&fd, Mode::from_raw_mode(mode))?;
            Ok(())
        }
        Err(Errno::EXIST) if path.is_dir() => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Opens or creates a private directory `name` in `at`: 0700, ours, no symlink.
///
/// # Errors
/// When it cannot be made or is not a directory.
pub fn private_dir(at: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    failpoint::step();
    let made = match mkdirat(at, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(e) => return Err(e.into()),
    };
    let fd = openat(
        at,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if made {
        failpoint::step();
        fchmod(&fd, Mode::RWXU)?;
    }
    Ok(fd)
}

/// `.logspool/`, or `.logspool.<uid>/` where another user's stands in the way.
fn open_own(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let uid = rustix::process::geteuid().as_raw();
    if let Ok(stat) = statat(dir, OWN_DIR, AtFlags::SYMLINK_NOFOLLOW)
        && (stat.st_uid != uid || FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
    {
        return private_dir(dir, &format!("{OWN_DIR}.{uid}"));
    }
    private_dir(dir, OWN_DIR)
}
