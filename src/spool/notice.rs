//! Records logspool itself puts into a log: drops and damage, announced where they happened.

use std::time::Duration;

use rustix::io::Errno;
use serde_json::json;

use crate::spool::ring::name_of;

/// Why records were not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// New records were dropped: the spool was full.
    Newest,
    /// The oldest records were dropped to make room for new ones.
    Oldest,
    /// What was logged was larger than the spool, or came from within a commit to it.
    Other,
}

impl Reason {
    /// As in the settings and in `stats()`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "drop_newest",
            Self::Oldest => "drop_oldest",
            Self::Other => "other",
        }
    }
}

/// The sequence text of number `n` in ring `ring`.
#[must_use]
pub fn seq_text(ring: [u8; 8], n: u64) -> String {
    format!("{}-{n:010x}", name_of(ring))
}

/// A line that stands for `count` dropped records from sequence number `first` on. It takes the number of the last of
/// them, so that numbers stay in order and every gap is explained.
#[must_use]
pub fn dropped(ring: [u8; 8], reason: Reason, first: u64, count: u64) -> Vec<u8> {
    let last = first + count.saturating_sub(1);
    let why = match reason {
        Reason::Newest | Reason::Oldest => {
            format!("the spool was full ({})", reason.as_str())
        }
        Reason::Other => {
            "larger than the spool, or logged from within a commit to it (other)".to_owned()
        }
    };
    line(
        "records_dropped",
        &format!("{count} records dropped: {why}"),
        &json!({
            "count": count,
            "reason": reason.as_str(),
            "first_seq": seq_text(ring, first),
            "last_seq": seq_text(ring, last),
        }),
        Some(&seq_text(ring, last)),
    )
}

/// A line that stands for a damaged stretch of a ring.
#[must_use]
pub fn damaged(ring: [u8; 8], from: u64, to: u64) -> Vec<u8> {
    line(
        "spool_damaged",
        &format!(
            "{} bytes of the spool were damaged by something other than logspool; the records in them are lost",
            to - from
        ),
        &json!({"ring": name_of(ring), "from": from, "to": to}),
        None,
    )
}

/// A line that says that a ring was damaged where no stretch of it can be named; `what` says where.
#[must_use]
pub fn spoiled(ring: [u8; 8], what: &str) -> Vec<u8> {
    line(
        "spool_damaged",
        &format!(
            "a spool was damaged by something other than logspool ({what}); records in it may be lost"
        ),
        &json!({"ring": name_of(ring), "what": what}),
        None,
    )
}

/// A line that stands for records that were lost with pages of a ring whose file failed or was truncated.
#[must_use]
pub fn failed(ring: [u8; 8], records: u64) -> Vec<u8> {
    line(
        "spool_damaged",
        &format!(
            "{records} records were lost with the spool: its file failed, or was truncated by something other than \
             logspool"
        ),
        &json!({"ring": name_of(ring), "records": records}),
        None,
    )
}

/// A line that says what kept the log from being written and for how long, now that it is over.
#[must_use]
pub fn trouble_ended(
    error: &str,
    errno: Option<i32>,
    since: jiff::Timestamp,
    lasted: Duration,
) -> Vec<u8> {
    let seconds = lasted.as_secs_f64();
    line(
        "log_trouble_ended",
        &format!("the log could not be written for {seconds:.1} seconds: {error}"),
        &json!({
            "error": error,
            "errno": errno.and_then(errno_name),
            "since": format!("{since:.6}"),
            "seconds": seconds,
        }),
        None,
    )
}

/// The names of what disks and their file systems answer.
fn errno_name(errno: i32) -> Option<&'static str> {
    [
        (Errno::NOSPC, "ENOSPC"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::IO, "EIO"),
        (Errno::ROFS, "EROFS"),
        (Errno::ACCESS, "EACCES"),
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::EXIST, "EEXIST"),
        (Errno::FBIG, "EFBIG"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NXIO, "ENXIO"),
        (Errno::STALE, "ESTALE"),
        (Errno::NOLCK, "ENOLCK"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
    ]
    .into_iter()
    .find(|(number, _)| number.raw_os_error() == errno)
    .map(|(_, name)| name)
}

fn line(event: &str, message: &str, fields: &serde_json::Value, seq: Option<&str>) -> Vec<u8> {
    let now = jiff::Timestamp::now();
    let mut text = format!(
        r#"{{"ts":"{now:.6}","level":"WARNING","logger":"logspool","event":"{event}","message":{},"pid":{},"fields":{fields}"#,
        serde_json::Value::from(message),
        std::process::id(),
    );
    if let Some(seq) = seq {
        text.push_str(r#","seq":""#);
        text.push_str(seq);
        text.push('"');
    }
    text.push_str("}\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_notice_names_the_range_it_stands_for() {
        let line = dropped(*b"abcdefgh", Reason::Newest, 5, 3);
        let v: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(v["fields"]["first_seq"], "abcdefgh-0000000005");
        assert_eq!(v["fields"]["last_seq"], "abcdefgh-0000000007");
        assert_eq!(v["seq"], "abcdefgh-0000000007");
        assert_eq!(v["fields"]["count"], 3);
        assert_eq!(v["ts"].as_str().unwrap().len(), 27);
    }
}
