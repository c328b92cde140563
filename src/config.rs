//! Validated settings. The Python face resolves arguments, environment and defaults; what arrives here is complete.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Spool size when nothing else is asked for: about 20,000 records, a second of a fast burst.
pub const DEFAULT_SPOOL_BYTES: u64 = 8 << 20;
/// The smallest spool: no line is longer than it.
pub const MIN_SPOOL_BYTES: u64 = 64 << 10;
/// The largest spool: beyond this a log server is the better tool.
pub const MAX_SPOOL_BYTES: u64 = 4 << 30;

/// When written records are forced to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// Never: a record survives the death of the process, not of the machine.
    #[default]
    None,
    /// About once a second.
    Interval,
    /// Before the record counts as written; the log call waits for it.
    Record,
}

/// What a log call does when the spool has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Wait, detached from Python, at most the block timeout once per stall.
    #[default]
    Block,
    /// Drop the new record; count and announce it.
    DropNewest,
    /// Drop the oldest records not yet written; count and announce them.
    DropOldest,
}

/// What one log file keeps to. Stored in ring headers, so that any process can finish a dead one's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Bytes a segment; 0 never rotates by size.
    pub max_bytes: u64,
    /// Closed segments kept; 0 keeps all.
    pub backup_count: u64,
    /// Rotation by time: the encoded `when` (0 is none) as [`crate::segment::when`] numbers them.
    pub when: u8,
    /// Units of `when` a segment lasts.
    pub interval: u32,
    /// Whether `midnight` and weekdays are UTC.
    pub utc: bool,
    /// Whether closed segments are compressed.
    pub gzip: bool,
    /// Mode of files we create.
    pub file_mode: u32,
    /// Mode of directories we create.
    pub dir_mode: u32,
    /// When written records are forced to the device.
    pub fsync: Fsync,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            max_bytes: 10_485_760,
            backup_count: 5,
            when: 0,
            interval: 1,
            utc: true,
            gzip: true,
            file_mode: 0o600,
            dir_mode: 0o700,
            fsync: Fsync::None,
        }
    }
}

/// Where a spool's ring file stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpoolPlace {
    /// In `.logspool/` beside the logs.
    #[default]
    BesideLogs,
    /// In shared memory: does not stall with the disk, lost with the machine.
    Shm,
    /// Under a directory of the user's choice.
    Directory(String),
}

/// What one spool keeps to; the first log opened in a directory decides.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolSettings {
    /// Size of the ring's data region.
    pub bytes: u64,
    /// Where the ring stands.
    pub place: SpoolPlace,
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// How long `Block` waits once per stall; `None` for ever.
    pub block_timeout: Option<Duration>,
    /// Records in flight, beside the bytes.
    pub queue_max: Option<u64>,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            bytes: DEFAULT_SPOOL_BYTES,
            place: SpoolPlace::BesideLogs,
            when_full: WhenFull::Block,
            block_timeout: Some(Duration::from_millis(100)),
            queue_max: None,
        }
    }
}
