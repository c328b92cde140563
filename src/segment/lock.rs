//! Advisory locks (`flock`) on files in `.logspool/`. Liveness is the lock, never a pid.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::fork::TrackedFd;
use crate::segment::dir::private_file;

/// An exclusive lock, released when dropped.
#[derive(Debug)]
pub struct Lock {
    /// Closed in a forked child, which would keep the lock for as long as it lives, should the parent be killed.
    file: TrackedFd,
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
        Ok(Some(Self {
            file: TrackedFd::new(file),
        }))
    }

    /// Opens `name` in `dir`, making it (mode 0600) where it is missing, and tries to lock it. The file stays when the lock goes:
    /// unlinking it would let two processes lock two files of one name.
    ///
    /// # Errors
    /// The file cannot be opened or made, or the file system has no locks.
    pub fn try_named(dir: BorrowedFd<'_>, name: &str) -> io::Result<Option<Self>> {
        Self::try_on(private_file(dir, name)?)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the closing of the descriptor: a child forked behind our back (from C) has a copy of it, and the lock
        // belongs to all copies together until one of them releases it.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use std::io::{Read, Write, pipe};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_forked_child_does_not_keep_inherited_locks_when_the_parent_dies() {
        crate::fork::install();
        let dir = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(dir.path()).unwrap();
        let lock = Lock::try_named(dir.as_fd(), "a.gzlock").unwrap().unwrap();
        assert!(Lock::try_named(dir.as_fd(), "a.gzlock").unwrap().is_none());
        let (mut closed, tell) = pipe().unwrap();
        let (wait, mut release) = pipe().unwrap();
        // SAFETY: the child makes only system calls on descriptors, then `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let _ = rustix::io::write(&tell, b"x");
            let _ = rustix::io::read(&wait, &mut [0_u8; 1]);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(0) };
        }
        closed.read_exact(&mut [0]).unwrap();
        assert!(
            Lock::try_named(dir.as_fd(), "a.gzlock").unwrap().is_none(),
            "the child does not unlock what the parent holds"
        );
        // The parent is killed: its descriptor goes without any unlocking.
        let raw = lock.as_fd().as_raw_fd();
        std::mem::forget(lock);
        crate::thread::close_inherited(raw);
        let free = Lock::try_named(dir.as_fd(), "a.gzlock").unwrap().is_some();
        release.write_all(b"x").unwrap();
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert!(free);
    }
}
