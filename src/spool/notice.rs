//! Records logspool itself puts into a log: drops and damage, announced where they happened.

use serde_json::json;

use crate::spool::ring::name_of;

/// Why records were not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// New records were dropped: the spool was full.
    Newest,
    /// The oldest records were dropped to make room for new ones.
    Oldest,
}

impl Reason {
    /// As in the settings and in `stats()`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "drop_newest",
            Self::Oldest => "drop_oldest",
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
    line(
        "records_dropped",
        &format!(
            "{count} records dropped: the spool was full ({})",
            reason.as_str()
        ),
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
