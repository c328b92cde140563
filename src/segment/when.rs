//! Rotation by time, with the meaning of `logging.handlers.TimedRotatingFileHandler`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// The unit of time-based rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum When {
    /// Seconds since the segment was opened.
    S,
    /// Minutes since the segment was opened.
    M,
    /// Hours since the segment was opened.
    H,
    /// Spans of 24 hours since the segment was opened.
    D,
    /// At midnight.
    Midnight,
    /// At the midnight that ends this day of the week, as the standard library has it: `W0` ends Monday. 0 is Monday, 6 Sunday.
    W(u8),
}

/// A `when` that names no unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWhen(String);

impl fmt::Display for UnknownWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "when={:?} is not known; allowed are 'S' (seconds), 'M' (minutes), 'H' (hours), 'D' (days), 'midnight' and \
             'W0' to 'W6' (W0 is Monday), in upper or lower case",
            self.0
        )
    }
}

impl std::error::Error for UnknownWhen {}

impl FromStr for When {
    type Err = UnknownWhen;

    fn from_str(text: &str) -> Result<Self, UnknownWhen> {
        match text.to_ascii_uppercase().as_bytes() {
            b"S" => Ok(Self::S),
            b"M" => Ok(Self::M),
            b"H" => Ok(Self::H),
            b"D" => Ok(Self::D),
            b"MIDNIGHT" => Ok(Self::Midnight),
            [b'W', day @ b'0'..=b'6'] => Ok(Self::W(day - b'0')),
            _ => Err(UnknownWhen(text.to_owned())),
        }
    }
}

impl TryFrom<String> for When {
    type Error = UnknownWhen;

    fn try_from(text: String) -> Result<Self, UnknownWhen> {
        text.parse()
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S => f.write_str("S"),
            Self::M => f.write_str("M"),
            Self::H => f.write_str("H"),
            Self::D => f.write_str("D"),
            Self::Midnight => f.write_str("midnight"),
            Self::W(day) => write!(f, "W{day}"),
        }
    }
}

impl When {
    /// As a byte, for state files and ring headers: 0 stands for none.
    #[must_use]
    pub fn encode(self) -> u8 {
        match self {
            Self::S => 1,
            Self::M => 2,
            Self::H => 3,
            Self::D => 4,
            Self::Midnight => 5,
            Self::W(day) => 10 + day,
        }
    }

    /// The reverse of [`Self::encode`].
    #[must_use]
    pub fn decode(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::S,
            2 => Self::M,
            3 => Self::H,
            4 => Self::D,
            5 => Self::Midnight,
            10..=16 => Self::W(byte - 10),
            _ => return None,
        })
    }

    /// The first moment after `now` at which a segment opened `now` ends. Both are seconds since the epoch; an `interval` of 0
    /// counts as 1. Midnight and week days are those of UTC or, with `utc` false, of the system's time zone (`TZ`, else
    /// `/etc/localtime`), also across a change of daylight saving time: a day of 23 or 25 hours ends at its midnight, and where
    /// there is no midnight at the next day's first moment. `i64::MAX`, never, where the calendar ends before.
    ///
    /// With `interval` > 1 midnights and week days are skipped, as newer standard libraries do (3.11.7 still did not).
    #[must_use]
    pub fn next_rollover(self, interval: u32, utc: bool, now: i64) -> i64 {
        let zone = if utc || self.is_span() {
            TimeZone::UTC
        } else {
            TimeZone::system()
        };
        self.next_rollover_in(interval, &zone, now)
    }

    /// When the segment opened at `opened_at` ends. The time of opening is kept in the state file, so a process that starts again
    /// asks the same question and gets the same boundary; if it has passed meanwhile, the next record rotates. (The standard
    /// library starts from the file's last modification, so that a program restarted more often than `when` never rotates.)
    #[must_use]
    pub fn rollover_for(self, interval: u32, utc: bool, opened_at: i64) -> i64 {
        self.next_rollover(interval, utc, opened_at)
    }

    /// [`next_rollover`](Self::next_rollover) in a zone of the caller's choice.
    #[must_use]
    pub fn next_rollover_in(self, interval: u32, zone: &TimeZone, now: i64) -> i64 {
        let interval = i64::from(interval.max(1));
        let unit = match self {
            Self::S => 1,
            Self::M => 60,
            Self::H => 3_600,
            Self::D => 86_400,
            Self::Midnight | Self::W(_) => {
                return self.midnight_after(interval, zone, now).unwrap_or(i64::MAX);
            }
        };
        now.saturating_add(interval * unit)
    }

    fn midnight_after(self, interval: i64, zone: &TimeZone, now: i64) -> Option<i64> {
        let local = Timestamp::from_second(now).ok()?.to_zoned(zone.clone());
        let start_of = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_second());
        let days = match self {
            Self::W(day) => 7 * (interval - 1) + i64::from(days_until(local.weekday(), day)) + 1,
            _ => interval,
        };
        let date = local
            .date()
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()?;
        let midnight = start_of(date)?;
        if midnight > now {
            return Some(midnight);
        }
        // A zone that skipped a whole day (Samoa, 2011) may name a date whose start is not ahead of us.
        start_of(date.checked_add(1.day()).ok()?)
    }

    /// A length of time, the same in every zone.
    fn is_span(self) -> bool {
        !matches!(self, Self::Midnight | Self::W(_))
    }
}

/// Days from `today` to the week day `day` (0 is Monday), 0 if it is today.
fn days_until(today: Weekday, day: u8) -> i8 {
    let day = i8::try_from(day).unwrap_or(0);
    (day - today.to_monday_zero_offset()).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_in_either_case_and_written_as_documented() {
        for (text, when) in [
            ("S", When::S),
            ("m", When::M),
            ("h", When::H),
            ("D", When::D),
            ("MidNight", When::Midnight),
            ("w6", When::W(6)),
        ] {
            assert_eq!(text.parse(), Ok(when));
            assert_eq!(when.to_string().parse(), Ok(when));
            let json = serde_json::to_string(&when).unwrap();
            assert_eq!(serde_json::from_str::<When>(&json).unwrap(), when);
        }
        assert_eq!(When::Midnight.to_string(), "midnight");
    }

    #[test]
    fn an_unknown_unit_is_refused_naming_the_allowed_ones() {
        for bad in ["", "W", "W7", "W00", "daily", "midnight ", "ſ"] {
            let message = bad.parse::<When>().unwrap_err().to_string();
            assert!(message.contains(&format!("{bad:?}")), "{message}");
            assert!(
                message.contains("'midnight'") && message.contains("'W0' to 'W6'"),
                "{message}"
            );
        }
        let message = serde_json::from_str::<When>("\"W9\"")
            .unwrap_err()
            .to_string();
        assert!(message.contains("'W0' to 'W6'"), "{message}");
    }

    #[test]
    fn the_end_of_time_is_never_and_not_a_panic() {
        for when in [When::S, When::D, When::Midnight, When::W(3)] {
            for now in [i64::MIN, -1, 0, i64::MAX, 253_402_300_799] {
                let next = when.next_rollover(u32::MAX, true, now);
                assert!(next > now || next == i64::MAX, "{when} {now} {next}");
            }
        }
    }
}
