//! Where the rings of a log directory stand: in its `.logspool/`, in shared memory, or under a directory of the user's
//! choice, there keyed by the log directory's device and inode.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};

use crate::config::SpoolPlace;
use crate::error::{Context, Result};
use crate::segment::dir::{LogDir, private_dir};

const SHM: &str = "/dev/shm";

/// Opens (and creates) the directory where rings for `dir` stand.
///
/// # Errors
/// When it cannot be created.
pub fn open(dir: &LogDir, place: &SpoolPlace) -> Result<OwnedFd> {
    let what = "cannot open the spool directory";
    let (base, name) = match place {
        SpoolPlace::BesideLogs => {
            let shown = dir.path().display().to_string();
            return rustix::io::fcntl_dupfd_cloexec(dir.own(), 3).context(what, &shown);
        }
        SpoolPlace::Shm => (SHM, shm_name()),
        SpoolPlace::Directory(path) => {
            std::fs::create_dir_all(path).context(what, path)?;
            (path.as_str(), "logspool".to_owned())
        }
    };
    let parent = openat(
        CWD,
        Path::new(base),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(what, base)?;
    let ours = private_dir(parent.as_fd(), &name).context(what, base)?;
    private_dir(ours.as_fd(), &key(dir.id())).context(what, base)
}

/// The shared-memory place of `dir`, if one was ever made: its orphans are looked for even by processes that spool
/// elsewhere.
#[must_use]
pub fn existing_shm(dir: &LogDir) -> Option<OwnedFd> {
    existing(&SpoolPlace::Shm, dir.id()).map(|(_, fd)| fd)
}

/// Where rings stand for the log directory of this device and inode, with its path; `None` where no spool was made.
#[must_use]
pub fn existing(place: &SpoolPlace, id: (u64, u64)) -> Option<(PathBuf, OwnedFd)> {
    let path = match place {
        SpoolPlace::BesideLogs => return None,
        SpoolPlace::Shm => Path::new(SHM).join(shm_name()),
        SpoolPlace::Directory(path) => Path::new(path).join("logspool"),
    }
    .join(key(id));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(CWD, &path, flags, Mode::empty()).ok()?;
    Some((path, fd))
}

/// Removes the place of `dir` where it is empty and was made for it alone. A process that has just opened it finds out when
/// it makes its ring, and makes the place again.
pub fn tidy(dir: &LogDir, place: &SpoolPlace) {
    let parent = match place {
        SpoolPlace::BesideLogs => return,
        SpoolPlace::Shm => Path::new(SHM).join(shm_name()),
        SpoolPlace::Directory(path) => Path::new(path).join("logspool"),
    };
    let _ = unlinkat(CWD, parent.join(key(dir.id())), AtFlags::REMOVEDIR);
}

fn shm_name() -> String {
    format!("logspool.{}", rustix::process::geteuid().as_raw())
}

fn key((device, inode): (u64, u64)) -> String {
    format!("{device:x}-{inode:x}")
}
