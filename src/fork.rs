//! What a forked child must know: that it is one, and which inherited descriptors hold its parent's locks.
//!
//! `flock` belongs to the open file, which a child shares: while it keeps the descriptor, its dead parent's ring looks
//! alive. The child therefore closes them (it never unlocks: that would unlock the parent's). It does so in a
//! `pthread_atfork` handler, which also covers forks made by C code, and there only `close` and an atomic are allowed.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memtrap;

/// Descriptors beyond this are not tracked: their locks stay with a child until it exits or executes.
const MAX_FDS: usize = 1 << 16;
static FDS: [AtomicU64; MAX_FDS / 64] = [const { AtomicU64::new(0) }; MAX_FDS / 64];
static FORKS: AtomicU64 = AtomicU64::new(0);
static MADE: AtomicU64 = AtomicU64::new(0);
static INSTALL: Once = Once::new();
/// This process' id, below the number of forks it was asked after; 0 until asked.
static PID: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between the first process and this one: compared, never counted on.
#[inline]
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// The process id, without a system call on the hot path.
#[must_use]
pub fn pid() -> i64 {
    let forks = forks() << 32;
    let known = PID.load(Ordering::Relaxed);
    let pid = u32::try_from(known & 0xFFFF_FFFF).unwrap_or(0);
    if pid != 0 && known & !0xFFFF_FFFF == forks {
        return i64::from(pid);
    }
    let pid = std::process::id();
    PID.store(forks | u64::from(pid), Ordering::Relaxed);
    i64::from(pid)
}

/// How many children this process and those before it have forked: where it grows, orphans are to be expected soon.
pub fn made() -> u64 {
    MADE.load(Ordering::Relaxed)
}

/// Installs the handlers; more than once does nothing.
pub fn install() {
    INSTALL.call_once(|| {
        // SAFETY: the handlers only close descriptors and store atomics, which is async-signal-safe.
        unsafe { libc::pthread_atfork(None, Some(in_parent), Some(in_child)) };
    });
}

extern "C" fn in_parent() {
    MADE.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    memtrap::after_fork();
    for (word, bits) in FDS.iter().enumerate() {
        let mut left = bits.swap(0, Ordering::Relaxed);
        while left != 0 {
            let fd = word * 64 + left.trailing_zeros() as usize;
            left &= left - 1;
            if let Ok(fd) = RawFd::try_from(fd) {
                // SAFETY: the owner of this descriptor belongs to the parent's engine, which the child leaks and never
                // touches again, so that nothing closes it twice.
                unsafe { libc::close(fd) };
            }
        }
    }
}

/// A descriptor that a forked child closes at once.
#[derive(Debug)]
pub struct TrackedFd {
    fd: OwnedFd,
}

impl TrackedFd {
    /// Tracks `fd` until it is dropped.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        if let Some((word, bit)) = place(fd.as_raw_fd()) {
            FDS[word].fetch_or(bit, Ordering::Relaxed);
        }
        Self { fd }
    }
}

impl Drop for TrackedFd {
    fn drop(&mut self) {
        if let Some((word, bit)) = place(self.fd.as_raw_fd()) {
            FDS[word].fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

impl AsFd for TrackedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok().filter(|fd| *fd < MAX_FDS)?;
    Some((fd / 64, 1 << (fd % 64)))
}
