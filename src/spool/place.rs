//! Where the rings of a log directory stand: in its `.logspool/`, in shared memory, or under a directory of the user's
//! choice, there keyed by the log directory's device and inode.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};

use crate::config::SpoolPlace;
use crate::error::{Context, Result};
use crate::segment::dir::{LogDir, create_all, private_dir};

const SHM: &str = "/dev/shm";
/// Our directory below one of the user's choice.
const BELOW: &str = "logspool";

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
            create_all(Path::new(path), 0o700).context(what, path)?;
            (path.as_str(), name_below(Path::new(path)))
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
    let found = match place {
        SpoolPlace::BesideLogs => return None,
        SpoolPlace::Shm => vec![Path::new(SHM).join(shm_name())],
        SpoolPlace::Directory(path) => {
            let base = Path::new(path);
            // Root looks into another user's, where it has none of its own.
            vec![base.join(name_below(base)), base.join(BELOW)]
        }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    found.into_iter().find_map(|ours| {
        let path = ours.join(key(id));
        let fd = openat(CWD, &path, flags, Mode::empty()).ok()?;
        Some((path, fd))
    })
}

/// Removes the place of `dir` where it is empty and was made for it alone. A process that has just opened it finds out when
/// it makes its ring, and makes the place again.
pub fn tidy(dir: &LogDir, place: &SpoolPlace) {
    let parent = match place {
        SpoolPlace::BesideLogs => return,
        SpoolPlace::Shm => Path::new(SHM).join(shm_name()),
        SpoolPlace::Directory(path) => Path::new(path).join(name_below(Path::new(path))),
    };
    let _ = unlinkat(CWD, parent.join(key(dir.id())), AtFlags::REMOVEDIR);
}

/// What the directory for rings is called below `base`: `logspool`, or `logspool.<uid>` where another user's stands in the way.
fn name_below(base: &Path) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let own = format!("{BELOW}.{uid}");
    let foreign = rustix::fs::lstat(base.join(BELOW)).is_ok_and(|stat| stat.st_uid != uid);
    if foreign { own } else { BELOW.to_owned() }
}

fn shm_name() -> String {
    format!("logspool.{}", rustix::process::geteuid().as_raw())
}

fn key((device, inode): (u64, u64)) -> String {
    format!("{device:x}-{inode:x}")
}
