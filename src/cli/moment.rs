//! `--since` and `--until`: a moment, or how long ago it was.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The moment that a text names, in UTC where it says nothing else: `2026-11-21`, `2026-11-21 10:30`, `2026-11-21T10:30:00Z`, or `30m`, `2h`, `1d` before `now`.
///
/// # Errors
/// A sentence that says what can be written.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    let in_utc = |moment: DateTime| {
        let zoned = moment.to_zoned(TimeZone::UTC).ok();
        zoned.map(|zoned| zoned.timestamp())
    };
    let found = ago(text)
        .and_then(|ago| now.checked_sub(ago).ok())
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| in_utc(text.parse::<DateTime>().ok()?))
        .or_else(|| in_utc(DateTime::strptime("%Y-%m-%d %H:%M", text).ok()?))
        .or_else(|| in_utc(DateTime::strptime("%Y-%m-%dT%H:%M", text).ok()?))
        .or_else(|| in_utc(text.parse::<Date>().ok()?.at(0, 0, 0, 0)));
    found.ok_or_else(|| {
        format!(
            "{text:?} is no time; write 2026-11-21, 2026-11-21T10:30:00Z (without a zone it is UTC), or how long ago: 30m, 2h, 1d"
        )
    })
}

/// `90s`, `30m`, `2h`, `1d`, `1w`.
fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = count.checked_mul(seconds).filter(|n| *n >= 0)?;
    Some(SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_absolute_or_so_long_ago() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, meant) in [
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("2026-11-21 10:30", "2026-11-21T10:30:00Z"),
            ("2026-11-21T10:30", "2026-11-21T10:30:00Z"),
            ("2026-11-21 10:30:05", "2026-11-21T10:30:05Z"),
            ("2026-11-21T10:30:05.5Z", "2026-11-21T10:30:05.5Z"),
            ("2026-11-21T10:30:05+02:00", "2026-11-21T08:30:05Z"),
            ("90s", "2026-11-21T11:58:30Z"),
            ("30m", "2026-11-21T11:30:00Z"),
            ("2h", "2026-11-21T10:00:00Z"),
            ("1d", "2026-11-20T12:00:00Z"),
        ] {
            assert_eq!(moment(text, now), Ok(meant.parse().unwrap()), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "-1d",
            "d",
            "2026-13-01",
            "99999999999999999d",
        ] {
            assert!(moment(wrong, now).unwrap_err().contains("UTC"), "{wrong}");
        }
    }
}
