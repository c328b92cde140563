//! How a ring that exists is opened: what its file says of itself, and how it is mapped.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Acquire;

use rustix::fs::fstat;

use super::{AT_CAPACITY, AT_ID, AT_PID, AT_SALT, AT_VERSION, HEADER, MAGIC, Ring, VERSION};
use crate::fork::TrackedFd;
use crate::mapping::Mapping;
use crate::spool::frame::{ALIGN, Region};
use crate::spool::name::ID;

/// What the first bytes of a ring file say, true or not.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    /// It is a ring.
    pub ring: bool,
    /// Of this format.
    pub version: u64,
    /// Bytes of data.
    pub capacity: u64,
    /// Its random name.
    pub id: [u8; 8],
}

/// Reads what a ring file says of itself; `None` when it is too short to say anything.
///
/// # Errors
/// When it cannot be read.
pub fn claims(file: &TrackedFd) -> io::Result<Option<Claims>> {
    let mut head = [0; AT_PID];
    let read = rustix::io::pread(file, &mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    Ok((read == head.len()).then(|| Claims {
        ring: word(0) == MAGIC,
        version: word(AT_VERSION),
        capacity: word(AT_CAPACITY),
        id: word(AT_ID).to_le_bytes(),
    }))
}

impl Ring {
    /// Maps an existing ring. `Ok(None)` when it is not a ring of this format: damaged or of another version.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map(file: TrackedFd) -> io::Result<Option<Self>> {
        let len = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
        if len <= HEADER {
            return Ok(None);
        }
        let map = Mapping::file(&file, len)?;
        Ok(Self::sound(map, file))
    }

    /// The same of one that is `name` in `place` and that this process has locked.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn map_locked(
        file: TrackedFd,
        place: BorrowedFd<'_>,
        name: &str,
    ) -> io::Result<Option<Self>> {
        let len = usize::try_from(fstat(&file)?.st_size).unwrap_or(0);
        if len <= HEADER {
            return Ok(None);
        }
        let map = Mapping::named(place, name, &file, len)?;
        Ok(Self::sound(map, file))
    }

    fn sound(map: Mapping, file: TrackedFd) -> Option<Self> {
        let at = |offset| map.u64(offset).load(Acquire);
        let capacity = at(AT_CAPACITY);
        if at(0) != MAGIC
            || at(AT_VERSION) != VERSION
            || capacity == 0
            || !capacity.is_multiple_of(ALIGN)
            || capacity > (map.len() - HEADER) as u64
            || !at(AT_ID).to_le_bytes().iter().all(|c| ID.contains(c))
        {
            return None;
        }
        let id = at(AT_ID).to_le_bytes();
        Some(Self::of(map, file, capacity, id))
    }

    /// Maps `name` in `place`, which is `file`, with a capacity and a name from elsewhere: where the header is not to be
    /// trusted.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn map_as(
        file: TrackedFd,
        (place, name): (BorrowedFd<'_>, &str),
        capacity: u64,
        id: [u8; 8],
    ) -> io::Result<Self> {
        let len = HEADER + usize::try_from(capacity).map_err(io::Error::other)?;
        let map = Mapping::named(place, name, &file, len)?;
        Ok(Self::of(map, file, capacity, id))
    }

    fn of(map: Mapping, file: TrackedFd, capacity: u64, id: [u8; 8]) -> Self {
        let salt = map.u64(AT_SALT).load(Acquire);
        Self {
            region: Region {
                map,
                offset: HEADER,
                capacity,
                salt,
            },
            id,
            file: Some(file),
        }
    }
}
