//! The settings of a log that are in force, in words and for machines.

use serde_json::{Value, json};

use crate::cli::{bytes, counted};
use crate::config::{Fsync, LogSettings};
use crate::segment::when::When;

/// When segments are closed, and what becomes of them then.
pub fn rotation(s: &LogSettings) -> String {
    let size = match s.max_bytes {
        0 => "never by size".to_owned(),
        n => format!("at {}", bytes(n)),
    };
    let when = When::decode(s.when).map_or_else(String::new, |when| {
        let unit = match when {
            When::S => "second",
            When::M => "minute",
            When::H => "hour",
            When::D => "day",
            When::Midnight => "midnight",
            When::W(_) => "week",
        };
        format!(", and by time (every {})", every(s.interval.into(), unit))
    });
    let keep = match s.backup_count {
        0 => "all closed segments kept".to_owned(),
        n => format!("{n} closed segments kept"),
    };
    let gzip = if s.gzip { "gzip" } else { "not compressed" };
    let fsync = match s.fsync {
        Fsync::None => "none",
        Fsync::Interval => "interval",
        Fsync::Record => "record",
    };
    format!(
        "{size}{when}; {keep}, {gzip}; files {:04o}, fsync {fsync}",
        s.file_mode
    )
}

/// "hour", "2 hours".
fn every(interval: u64, unit: &str) -> String {
    if interval == 1 {
        unit.to_owned()
    } else {
        counted(interval, unit)
    }
}

/// The same for machines.
pub fn settings_json(s: &LogSettings) -> Value {
    json!({
        "maxBytes": s.max_bytes,
        "backupCount": s.backup_count,
        "by_time": s.when != 0,
        "interval": s.interval,
        "utc": s.utc,
        "gzip": s.gzip,
        "file_mode": format!("{:04o}", s.file_mode),
        "dir_mode": format!("{:04o}", s.dir_mode),
        "fsync": s.fsync,
    })
}
