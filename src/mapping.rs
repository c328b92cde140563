//! One shared memory-mapped file, seen as atomics and byte ranges.
//!
//! Everything that touches mapped memory goes through here, so that the rest of the crate stays free of pointers. The
//! rule that makes it sound: a byte range is written by one thread of one process at a time, which the protocols of
//! [`crate::spool`] and [`crate::segment`] guarantee with a mutex, a file lock or a claim, and everything that several
//! parties look at without a lock is an atomic.
#![allow(unsafe_code)]
// The asserts are what makes the accesses sound: out of bounds is a defect of ours, never input.
#![allow(clippy::missing_panics_doc)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::failpoint;
use crate::memtrap::Trap;

/// An atomic in a mapping. With the feature `failpoints` its stores are places to crash at.
#[cfg(not(feature = "failpoints"))]
pub type Word<'a, T> = &'a T;
/// An atomic in a mapping. With the feature `failpoints` its stores are places to crash at.
#[cfg(feature = "failpoints")]
pub type Word<'a, T> = failpoint::crash::Watched<'a, T>;

#[cfg(not(feature = "failpoints"))]
#[inline]
fn word<T>(atomic: &T) -> Word<'_, T> {
    atomic
}

#[cfg(feature = "failpoints")]
fn word<T>(atomic: &T) -> Word<'_, T> {
    failpoint::crash::Watched(atomic)
}

/// A mapping of a whole file, or of anonymous memory where no file can back it.
#[derive(Debug)]
pub struct Mapping {
    base: *mut u8,
    len: usize,
    /// Keeps a file that fails from ending the process.
    trap: Option<Trap>,
}

// SAFETY: the mapping is plain memory owned by this value; all shared access is through atomics or ranges whose
// exclusivity the callers guarantee (module docs).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, shared.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn file(fd: impl AsFd, len: usize) -> io::Result<Self> {
        #[cfg(test)]
        if tests::REFUSE.get() {
            return Err(Errno::NODEV.into());
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice; its length is kept and unmapped on drop.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )?
        };
        Ok(Self {
            base: base.cast(),
            len,
            trap: Some(Trap::new(base as usize, len)),
        })
    }

    /// Maps `name` in `at`, which must be `file`, by an opening of its own: where `file` has a lock.
    ///
    /// A mapping keeps the open file it was made by, and with it that file's `flock`, also in a forked child: it can close a
    /// descriptor it inherited, but then the lock of its dead parent is still held by the mapping.
    ///
    /// # Errors
    /// What `open` and `mmap` say, and where `name` is another file by now.
    pub fn named(at: BorrowedFd<'_>, name: &str, file: impl AsFd, len: usize) -> io::Result<Self> {
        let own = openat(
            at,
            name,
            OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )?;
        let (one, other) = (fstat(&file)?, fstat(&own)?);
        if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino) {
            return Err(Errno::STALE.into());
        }
        Self::file(&own, len)
    }

    /// Memory that no file backs: where the file system cannot reserve a mapping.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        // SAFETY: as in `file`.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        Ok(Self {
            base: base.cast(),
            len,
            trap: None,
        })
    }

    /// Whether a page of the file behind it failed (see [`crate::memtrap`]): what that page held is lost.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.trap.as_ref().is_some_and(Trap::is_broken)
    }

    /// How many pages of it failed.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.trap.as_ref().map_or(0, Trap::faults)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it maps nothing; never true of one that was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The 64-bit atomic at `offset`, which must be aligned.
    #[inline]
    #[must_use]
    pub fn u64(&self, offset: usize) -> Word<'_, AtomicU64> {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: in bounds and aligned; zero-initialised file memory is a valid atomic; the borrow ends with self.
        word(unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) })
    }

    /// The 32-bit atomic at `offset`, which must be aligned.
    #[inline]
    #[must_use]
    pub fn u32(&self, offset: usize) -> Word<'_, AtomicU32> {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len);
        // SAFETY: as in `u64`.
        word(unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) })
    }

    /// Copies `bytes` to `offset`. The caller holds the range (module docs).
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && bytes.len() <= self.len - offset);
        failpoint::parts(bytes.len(), |n| self.copy(offset, &bytes[..n]));
        self.copy(offset, bytes);
    }

    #[inline]
    fn copy(&self, offset: usize, bytes: &[u8]) {
        debug_assert!(offset <= self.len && bytes.len() <= self.len - offset);
        // SAFETY: in bounds, as `write` checked; `bytes` cannot overlap: it is a buffer of ours or a range of another mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len());
        }
    }

    /// Faults in the pages from `offset` on for writing, so that no caller pays for that later. A kernel that cannot
    /// (before Linux 5.14) leaves it to the first write.
    pub fn populate(&self, offset: usize, len: usize) {
        assert!(offset <= self.len && len <= self.len - offset);
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            // SAFETY: in bounds; pages are only made present, their contents stay.
            let _ = unsafe {
                madvise(
                    self.base.add(offset).cast::<c_void>(),
                    len,
                    Advice::LinuxPopulateWrite,
                )
            };
        }
    }

    /// Has the processor fetch what will be written at `offset` soon; what lies outside is left out.
    #[inline]
    pub fn expect_write(&self, offset: usize, len: usize) {
        const LINE: usize = 64;
        let end = (offset + len).min(self.len);
        let mut at = offset & !(LINE - 1);
        while at < end {
            // SAFETY: in bounds; a hint that changes nothing.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_ET0>(self.base.add(at).cast());
            }
            at += LINE;
        }
    }

    /// The bytes at `offset`. The caller holds the range (module docs): nobody writes it while the borrow lives.
    #[inline]
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: in bounds, initialised (file or zero pages), and not written meanwhile by the protocol.
        unsafe { std::slice::from_raw_parts(self.base.add(offset), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First: another mapping may come to stand at this address.
        self.trap = None;
        // SAFETY: made by `mmap` with this length, and no borrow outlives self.
        let _ = unsafe { munmap(self.base.cast::<c_void>(), self.len) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Whether this thread's files are on a file system that has no mappings.
        pub static REFUSE: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn a_mapping_whose_file_was_truncated_reads_as_empty_and_keeps_its_sound_pages() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 16).unwrap();
        let map = Mapping::file(&file, 1 << 16).unwrap();
        map.write(0, b"sound");
        map.write(1 << 15, b"gone");
        assert!(!map.is_broken());
        file.set_len(4096).unwrap();
        map.write((1 << 15) + 8, b"new");
        assert!(map.is_broken());
        assert_eq!(map.bytes(0, 5), b"sound");
        assert_eq!(map.bytes(1 << 15, 11), b"\0\0\0\0\0\0\0\0new");
        assert_eq!(map.bytes((1 << 16) - 4, 4), [0; 4]);
    }

    #[test]
    fn threads_that_meet_in_a_failed_page_keep_what_each_wrote() {
        for _ in 0..200 {
            let file = tempfile::tempfile().unwrap();
            file.set_len(1 << 13).unwrap();
            let map = Mapping::file(&file, 1 << 13).unwrap();
            file.set_len(0).unwrap();
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let map = &map;
                    scope.spawn(move || map.write(4096 + n * 64, b"mine"));
                }
            });
            for n in 0..4 {
                assert_eq!(map.bytes(4096 + n * 64, 4), b"mine");
            }
        }
    }
}
