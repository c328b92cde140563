//! The variables that Python programs read, for what a program does not say itself.

// A variable that cannot be read is another thing than one that says "none".
#![allow(clippy::option_option)]

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Fsync, MAX_SPOOL_BYTES, MIN_SPOOL_BYTES, SpoolPlace, WhenFull};
use crate::error::{Error, Result};
use crate::redact::{Pii, RedactSettings};
use crate::segment::when::When;

/// Where variables are looked up: the environment, but for tests.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// That of the process. What is not UTF-8 or empty is not set.
pub(super) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables of one lookup.
pub(super) struct Environment<'a>(pub(super) Lookup<'a>);

impl Environment<'_> {
    /// A variable that is set to something.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    /// `LOGSPOOL_<name>`, else `LOG_<name>`, as `parse` reads it.
    ///
    /// # Errors
    /// A value that `parse` does not understand: the message has what is allowed.
    pub(super) fn setting<T>(
        &self,
        name: &str,
        allowed: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        for name in [format!("LOGSPOOL_{name}"), format!("LOG_{name}")] {
            if let Some(value) = self.get(&name) {
                let parsed = parse(value.trim());
                let refuse = || {
                    let why = format!("{value:?} was given; expected {allowed}");
                    Error::invalid("cannot use the variable", name.clone(), why)
                };
                return parsed.map(Some).ok_or_else(refuse);
            }
        }
        Ok(None)
    }

    /// Where the log goes: `LOG_PATH`, else `<stem>.jsonl` in `LOG_DIR`, else in `logs`.
    pub(super) fn path(&self, stem: &str) -> PathBuf {
        let file = format!("{stem}.jsonl");
        let of = |name: &str| {
            self.get(&format!("LOGSPOOL_{name}"))
                .or_else(|| self.get(&format!("LOG_{name}")))
                .map(|value| expand_home(&value, self))
        };
        match (of("PATH"), of("DIR")) {
            (Some(path), _) if path.is_dir() || path.to_string_lossy().ends_with('/') => {
                path.join(file)
            }
            (Some(path), _) => path,
            (None, Some(dir)) => dir.join(file),
            (None, None) => PathBuf::from("logs").join(file),
        }
    }
}

fn expand_home(path: &str, environment: &Environment<'_>) -> PathBuf {
    match (path.strip_prefix("~/"), environment.get("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

pub(super) const SIZE: &str =
    "a size: a number of 0 or more, or text such as 10_485_760, 512KB, 10MB, 1GB (1 KB = 1024)";

/// Bytes or characters.
pub(super) fn size(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let units = [("KB", 10), ("MB", 20), ("GB", 30), ("B", 0)];
    let unit = units.iter().find_map(|(unit, shift)| {
        let number = upper.strip_suffix(unit)?;
        Some((number.trim_end(), *shift))
    });
    let (number, shift) = unit.unwrap_or((&upper, 0));
    let number = number.replace('_', "");
    let allowed = |c: char| c.is_ascii_digit() || c == '.';
    if number.is_empty()
        || !number.chars().all(allowed)
        || !number.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if let Ok(whole) = number.parse::<u64>() {
        let bytes = whole.checked_mul(1 << shift);
        return bytes.filter(|bytes| *bytes < 1 << 63);
    }
    let bytes = number.parse::<f64>().ok()? * f64::from(1_u32 << shift);
    // Checked just before; no size has a sign.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (bytes < 9e18).then_some(bytes as u64)
}

pub(super) const FLAG: &str = "true or false (also 1/0, yes/no, on/off)";

/// A switch.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Some(true),
        "0" | "false" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

pub(super) const COUNT: &str = "a whole number of 0 or more";

/// A whole number.
pub(super) fn count(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok()).flatten();
    number.filter(|number| *number < 1 << 31)
}

pub(super) const OPTIONAL_COUNT: &str = "a whole number of 1 or more, or none for no limit";

/// A limit, or that there is none.
pub(super) fn optional_count(text: &str) -> Option<Option<u64>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    count(text).filter(|number| *number > 0).map(Some)
}

pub(super) const SECONDS: &str = "seconds, 0 or more, or none to wait for ever";

/// A time, or for ever.
pub(super) fn seconds(text: &str) -> Option<Option<Duration>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    let seconds = text.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(Some)
}

pub(super) const WHEN: &str = "S, M, H, D, midnight, W0 (Monday) to W6, or none";

/// When a segment is closed by time, encoded as [`crate::config::LogSettings::when`].
pub(super) fn when(text: &str) -> Option<u8> {
    if text.eq_ignore_ascii_case("none") {
        return Some(0);
    }
    text.parse::<When>().ok().map(When::encode)
}

pub(super) const WHEN_FULL: &str = "one of block, drop_newest, drop_oldest";

/// What a call does when the spool is full.
pub(super) fn when_full(text: &str) -> Option<WhenFull> {
    match text.to_ascii_lowercase().replace('-', "_").as_str() {
        "block" => Some(WhenFull::Block),
        "drop_newest" => Some(WhenFull::DropNewest),
        "drop_oldest" => Some(WhenFull::DropOldest),
        _ => None,
    }
}

pub(super) const FSYNC: &str = "one of none, interval, record";

/// When what is written is forced to the device.
pub(super) fn fsync(text: &str) -> Option<Fsync> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(Fsync::None),
        "interval" => Some(Fsync::Interval),
        "record" => Some(Fsync::Record),
        _ => None,
    }
}

pub(super) const REDACT: &str = "true, false, hint or pii";

/// What is taken out of records.
pub(super) fn redact(text: &str) -> Option<Option<RedactSettings>> {
    let all = Pii {
        email: true,
        iban: true,
        card: true,
        phone: true,
    };
    match text.to_ascii_lowercase().as_str() {
        "hint" => Some(Some(RedactSettings {
            hint: true,
            ..RedactSettings::default()
        })),
        "pii" => Some(Some(RedactSettings {
            pii: all,
            ..RedactSettings::default()
        })),
        other => flag(other).map(|on| on.then(RedactSettings::default)),
    }
}

pub(super) const SPOOL_BYTES: &str = "a size from 64KB to 4GB";

/// The size of a spool.
pub(super) fn spool_bytes(text: &str) -> Option<u64> {
    size(text).filter(|bytes| (MIN_SPOOL_BYTES..=MAX_SPOOL_BYTES).contains(bytes))
}

pub(super) const SPOOL_DIR: &str = "a directory, shm, or none (beside the logs)";

/// Where a spool stands.
#[allow(clippy::unnecessary_wraps)] // One of a family.
pub(super) fn spool_dir(text: &str) -> Option<SpoolPlace> {
    Some(match text {
        _ if text.eq_ignore_ascii_case("none") => SpoolPlace::BesideLogs,
        _ if text.eq_ignore_ascii_case("shm") => SpoolPlace::Shm,
        directory => SpoolPlace::Directory(directory.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_python_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("10_485_760", 10_485_760),
            ("10MB", 10 << 20),
            ("512 kb", 512 << 10),
            ("1.5GB", 3 << 29),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "-1",
            "MB",
            "ten",
            "1TB",
            "1e3",
            "nan",
            "9999999999GB",
            ".",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn logspools_own_variable_is_stronger_and_a_wrong_value_is_named() {
        let values = |name: &str| match name {
            "LOG_BACKUPS" => Some("3".to_owned()),
            "LOGSPOOL_BACKUPS" => Some("four".to_owned()),
            "LOG_GZIP" => Some(" ".to_owned()),
            _ => None,
        };
        let environment = Environment(&values);
        let error = environment.setting("BACKUPS", COUNT, count).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("LOGSPOOL_BACKUPS") && text.contains("\"four\""),
            "{text}"
        );
        assert!(text.contains("a whole number of 0 or more"), "{text}");
        assert_eq!(environment.setting("GZIP", FLAG, flag).unwrap(), None);
        assert_eq!(environment.path("app"), PathBuf::from("logs/app.jsonl"));
    }
}
