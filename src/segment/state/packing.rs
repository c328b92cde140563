//! Settings as words: a state file and the table of a ring keep them.

use crate::config::{Fsync, LogSettings};

/// Settings as five words, for state files and ring headers.
#[must_use]
pub fn pack_settings(s: &LogSettings) -> [u64; 5] {
    let flags = u64::from(s.when)
        | u64::from(s.utc) << 8
        | u64::from(s.gzip) << 9
        | (match s.fsync {
            Fsync::None => 0,
            Fsync::Interval => 1,
            Fsync::Record => 2,
        }) << 16;
    [
        s.max_bytes,
        s.backup_count,
        u64::from(s.interval),
        flags,
        u64::from(s.file_mode) | u64::from(s.dir_mode) << 32,
    ]
}

/// The reverse of [`pack_settings`].
#[must_use]
#[allow(clippy::cast_possible_truncation)] // Each field is cut to the width it was packed from.
pub fn unpack_settings(words: [u64; 5]) -> LogSettings {
    let [max_bytes, backup_count, interval, flags, modes] = words;
    LogSettings {
        max_bytes,
        backup_count,
        when: flags as u8,
        interval: interval as u32,
        utc: flags >> 8 & 1 == 1,
        gzip: flags >> 9 & 1 == 1,
        // Nothing but permissions, whatever a damaged file says.
        file_mode: modes as u32 & 0o777,
        dir_mode: (modes >> 32) as u32 & 0o777,
        fsync: match flags >> 16 & 3 {
            1 => Fsync::Interval,
            2 => Fsync::Record,
            _ => Fsync::None,
        },
    }
}
