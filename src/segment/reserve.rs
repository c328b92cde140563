//! Space for files that are mapped: had before they are, because a store to a mapping cannot say that the disk is full.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstat;
#[cfg(target_os = "linux")]
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::failpoint;

/// Reserves `len` bytes of a fresh file by writing them where the file system cannot reserve (ext2, vfat).
///
/// # Errors
/// When the space is not there.
pub fn reserve_or_write(fd: impl AsFd, len: usize) -> io::Result<()> {
    match reserve(&fd, len) {
        Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
            // Only what is missing: another process may be at work in the rest.
            let held = usize::try_from(fstat(&fd)?.st_size).unwrap_or(0);
            write_zeros(fd, held, len)
        }
        other => other,
    }
}

fn write_zeros(fd: impl AsFd, mut at: usize, len: usize) -> io::Result<()> {
    let zeros = [0u8; 1 << 13];
    while at < len {
        match rustix::io::pwrite(&fd, &zeros[..zeros.len().min(len - at)], at as u64) {
            Ok(n) => at += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Reserves `len` bytes, so that a store to the mapping can never meet a full disk (a sparse one gets SIGBUS).
///
/// # Errors
/// When the space is not there, or the file system cannot reserve it.
pub fn reserve(fd: impl AsFd, len: usize) -> io::Result<()> {
    reserve_from(fd, 0, len)
}

/// The same for `len` bytes from `from` on, of which nothing has been written yet.
///
/// # Errors
/// As [`reserve`].
pub fn reserve_from(fd: impl AsFd, from: usize, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        failpoint::parts(len, |n| {
            let _ = fallocate(&fd, FallocateFlags::empty(), from as u64, n as u64);
        });
        if failpoint::switched("sparse") {
            let longer = fstat(&fd)?
                .st_size
                .max(i64::try_from(from + len).unwrap_or(i64::MAX));
            return Ok(rustix::fs::ftruncate(&fd, longer.unsigned_abs())?);
        }
        loop {
            match fallocate(&fd, FallocateFlags::empty(), from as u64, len as u64) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // Written zeros reserve on file systems without sparse files and on APFS alike.
        write_zeros(fd, from, from + len)
    }
}
