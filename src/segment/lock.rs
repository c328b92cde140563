//! Advisory locks (`flock`) on files in `.logspool/`. Liveness is the lock, never a pid.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

/// Descriptors of the locks held at this moment, -1 where free. A forked child gets copies of them and would keep the locks for
/// as long as it lives, should the parent be killed.
static HELD: [AtomicI32; 16] = [const { AtomicI32::new(-1) }; 16];

/// An exclusive lock, released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
    slot: Option<&'static AtomicI32>,
}

impl Lock {
    /// Takes the lock on an open file, or gives `None` when another process (or another opening in this one) has it.
    ///
    /// # Errors
    /// The file system has no locks.
    pub fn try_on(file: OwnedFd) -> io::Result<Option<Self>> {
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let raw = file.as_raw_fd();
        let slot = HELD.iter().find(|slot| {
            slot.compare_exchange(-1, raw, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        Ok(Some(Self { file, slot }))
    }

    /// Opens `name` in `dir`, making it (mode 0600) where it is missing, and tries to lock it. The file stays when the lock goes:
    /// unlinking it would let two processes lock two files of one name.
    ///
    /// # Errors
    /// The file cannot be opened or made, or the file system has no locks.
    pub fn try_named(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::try_on(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.store(-1, Ordering::Release);
        }
        // Not left to the closing of the descriptor: a child forked behind our back (from C) has a copy of it, and the lock
        // belongs to all copies together until one of them releases it.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Closes the locks' descriptors a forked child has inherited, without unlocking: they belong to the parent. Called in the child
/// only, where none of the threads that hold the locks exist.
pub fn close_inherited() {
    for slot in &HELD {
        let fd: RawFd = slot.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            crate::thread::close_inherited(fd);
        }
    }
}
