//! A log directory, resolved once: everything is opened relative to its descriptor, so that `chdir`, symlinks and bind
//! mounts do not matter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::segment::trust;

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
    /// The same of `.logspool/`.
    own_id: (u64, u64),
}

impl LogDir {
    /// Opens `path`, creating it and what it lacks above it with `mode`.
    ///
    /// # Errors
    /// When it cannot be created, opened, or holds no usable `.logspool/`.
    pub fn open(path: &Path, mode: u32) -> Result<Self> {
        Self::open_unless(path, mode, |_| Ok(()))
    }

    /// The same for the log `name` in it, if that may stand there.
    ///
    /// # Errors
    /// As [`Self::open`], and where something that is no log's stands under the name: see [`trust`].
    pub fn open_for(path: &Path, mode: u32, name: &str) -> Result<Self> {
        Self::open_unless(path, mode, |fd| trust::check_plain(fd, path, name))
    }

    fn open_unless(
        path: &Path,
        mode: u32,
        check: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<Self> {
        let shown = path.display().to_string();
        trust::check_links(path)?;
        create_all(path, mode).context("cannot create the log directory", &shown)?;
        let fd = open_dir(CWD, path).context("cannot open the log directory", &shown)?;
        trust::check_directory(fd.as_fd(), path)?;
        check(fd.as_fd())?;
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
            if let Ok(own_stat) = fstat(&own)
                && own_stat.st_uid == uid
            {
                found.push(Self {
                    fd,
                    own,
                    path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
                    id: (stat.st_dev, stat.st_ino),
                    own_id: (own_stat.st_dev, own_stat.st_ino),
                });
            }
        }
        Ok(found)
    }

    /// The same directory again, with descriptors of its own: for a forked child, which must not touch its parent's, and
    /// for one whose `.logspool/` is gone. One that was deleted itself is made again where it was.
    ///
    /// # Errors
    /// When no descriptor can be had, or the directory cannot be made again.
    pub fn reopen(&self, mode: u32) -> Result<Self> {
        let shown = self.path.display().to_string();
        if fstat(&self.fd).is_ok_and(|found| found.st_nlink == 0) {
            return Self::open(&self.path, mode);
        }
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
        let own_id = fstat(&own)
            .map(|own| (own.st_dev, own.st_ino))
            .context("cannot inspect logspool's own directory", &shown)?;
        Ok(Self {
            fd,
            own,
            path: std::path::absolute(&path).unwrap_or(path),
            id: (found.st_dev, found.st_ino),
            own_id,
        })
    }

    /// Whether it was deleted, or its `.logspool/` was deleted, moved away or replaced: what is written there nobody finds,
    /// and a lock held there keeps nobody out. A directory that was renamed is still itself.
    ///
    /// # Errors
    /// When that cannot be told, as on a device that fails.
    pub fn is_lost(&self) -> io::Result<bool> {
        let stands = |name: &str| match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == self.own_id),
            Err(Errno::NOENT) => Ok(false),
            // Rights that were dropped after the start: the descriptor still tells whether it was deleted.
            Err(Errno::ACCESS | Errno::PERM) => Ok(fstat(&self.own)?.st_nlink > 0),
            Err(e) => Err(io::Error::from(e)),
        };
        if stands(OWN_DIR)? {
            return Ok(false);
        }
        // A process that dropped its rights keeps the directory it opened with them.
        let uid = fstat(&self.own)?.st_uid;
        Ok(!stands(&format!("{OWN_DIR}.{uid}"))?)
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
///
/// # Errors
/// When one cannot be made.
pub fn create_all(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_all(parent, mode)?;
    }
    failpoint::step();
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => {
            // Who may write above it may have put something else there meanwhile, which is not ours to change.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(CWD, path, flags, Mode::empty())?;
            if fstat(&fd)?.st_uid == rustix::process::geteuid().as_raw() {
                failpoint::step();
                fchmod(&fd, Mode::from_raw_mode(mode))?;
            }
            Ok(())
        }
        Err(Errno::EXIST) if path.is_dir() => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Opens or creates a private directory `name` in `at`: 0700, ours, no symlink. One of ours that others were let into is closed to them.
///
/// # Errors
/// When it cannot be made, is not a directory, or belongs to another user.
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
    let stat = fstat(&fd)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(foreign(name, "directory", stat.st_uid));
    }
    if made || stat.st_mode & 0o077 != 0 {
        failpoint::step();
        fchmod(&fd, Mode::RWXU)?;
    }
    Ok(fd)
}

/// Opens or creates a private file `name` in `at`, for reading and writing: 0600 whatever the umask, regular, ours, under one name.
///
/// # Errors
/// When it cannot be made or opened, or is another kind of thing, another user's, or has another name somewhere.
pub fn private_file(at: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(at, name, flags, mode)?;
    let stat = fstat(&fd)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(foreign(name, "file", stat.st_uid));
    }
    if !FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_nlink > 1 {
        let why = format!("{name} is no file of its own; remove it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    if stat.st_mode & 0o777 != mode.as_raw_mode() {
        failpoint::step();
        fchmod(&fd, mode)?;
    }
    Ok(fd)
}

fn foreign(name: &str, kind: &str, uid: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("the {kind} {name} belongs to user {uid}; have it removed, or use another place"),
    )
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
