//! Names of segments: `app.jsonl.000042`, compressed `app.jsonl.000042.gz`. A segment keeps its number for life.
//!
//! Other programs name files much like it, logrotate's `dateext` above all: `app.jsonl.20261121`. Taken for a segment, such a file
//! would lead the numbers to twenty million and be deleted in its turn. So a number never has eight digits, which is what dates have
//! (9,999,999 is followed by 100,000,000), nor ten or more, which dates with a time and seconds since the epoch have. A date of six
//! digits looks like a number; it lies so far ahead of the state's that [`next_number`] knows better.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;

use rustix::fs::Dir;

use crate::segment::dir::OWN_DIR;

/// The longest file name the usual file systems take, in bytes.
const NAME_MAX: usize = 255;

/// What is appended to a segment's name when it is compressed.
const GZ: &str = ".gz";

/// Digits in a segment's number; more are used only when they are needed.
const DIGITS: usize = 6;

/// Numbers beyond this are not ours: at one segment a second it takes thirty years to get there. Without the limit one stray
/// file `app.jsonl.18446744073709551615` would leave no next number.
pub const NUMBER_MAX: u64 = 999_999_999;

/// Numbers of eight digits are dates, and not ours.
const DATES: RangeInclusive<u64> = 10_000_000..=99_999_999;

/// A file whose number is further ahead of the state's than this is not ours. Others who number the same log (another user's
/// processes, a state that was deleted) are no more than some rotations ahead.
const AHEAD: u64 = 10_000;

/// A segment found in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// Its number, 1 or more.
    pub number: u64,
    /// The file is the compressed one. The plain and the compressed file of one number may both be there for a moment.
    pub gz: bool,
}

impl Segment {
    /// The file's name in the directory of the log `name`.
    #[must_use]
    pub fn file_name(self, name: &str) -> String {
        if self.gz {
            gz_name(name, self.number)
        } else {
            segment_name(name, self.number)
        }
    }
}

/// `app.jsonl`, 42 → `app.jsonl.000042`.
#[must_use]
pub fn segment_name(name: &str, number: u64) -> String {
    format!("{name}.{number:0DIGITS$}")
}

/// `app.jsonl`, 42 → `app.jsonl.000042.gz`.
#[must_use]
pub fn gz_name(name: &str, number: u64) -> String {
    format!("{name}.{number:0DIGITS$}{GZ}")
}

/// The segment of the log `name` that a file name stands for, or `None` for a name this crate would not have made.
///
/// Strict both ways: only digits, at least six, no more leading zeros than needed, so that [`segment_name`] gives the same text back.
#[must_use]
pub fn parse(file_name: &[u8], name: &str) -> Option<Segment> {
    let rest = file_name
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b".")?;
    let (digits, gz) = match rest.strip_suffix(GZ.as_bytes()) {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    if digits.len() < DIGITS
        || !digits.iter().all(u8::is_ascii_digit)
        || (digits.len() > DIGITS && digits[0] == b'0')
    {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    is_number(number).then_some(Segment { number, gz })
}

/// Whether a segment can have this number.
#[must_use]
pub fn is_number(number: u64) -> bool {
    (1..=NUMBER_MAX).contains(&number) && !DATES.contains(&number)
}

/// The number after this one.
#[must_use]
pub fn following(number: u64) -> u64 {
    let next = number.saturating_add(1);
    if DATES.contains(&next) {
        DATES.end() + 1
    } else {
        next
    }
}

/// All segments of the log `name` in `dir`, by number, the plain file of a number before the compressed one.
///
/// # Errors
/// The directory cannot be read.
pub fn list(dir: BorrowedFd<'_>, name: &str) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        found.extend(parse(entry?.file_name().to_bytes(), name));
    }
    found.sort_unstable();
    Ok(found)
}

/// The number for a new segment: one past the largest that the state file or the directory knows. Where the state knows one (is not 0),
/// files far ahead of it are another program's, and do not count.
#[must_use]
pub fn next_number(max_state: u64, listing: &[Segment]) -> u64 {
    let largest = listing
        .iter()
        .map(|segment| segment.number)
        .filter(|&number| max_state == 0 || number <= max_state.saturating_add(AHEAD))
        .fold(max_state, u64::max);
    following(largest)
}

/// Whether a log may be called `name`: it is one path component, its segments' names fit the file system, and it cannot be
/// taken for a segment of another log.
///
/// # Errors
/// A sentence that says what is wrong with the name and what to do, without the path.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(format!(
            "{name:?} is not a file name; give the log a name such as \"app.jsonl\""
        ));
    }
    if name.starts_with(OWN_DIR) {
        return Err(format!(
            "names that begin with {OWN_DIR} are logspool's own; give the log a name such as \"app.jsonl\""
        ));
    }
    let longest = gz_name(name, 1).len();
    if longest > NAME_MAX {
        return Err(format!(
            "the name is {} bytes long, and its segments ({name}.000001.gz) would need {longest} of the {NAME_MAX} bytes a file \
             name may have; use a name of at most {} bytes",
            name.len(),
            NAME_MAX - (longest - name.len()),
        ));
    }
    let plain = name.strip_suffix(GZ).unwrap_or(name);
    if plain
        .rsplit_once('.')
        .is_some_and(|(log, _)| parse(name.as_bytes(), log).is_some())
    {
        return Err(format!(
            "{name:?} is the name of a segment, a numbered part of another log; give the log's own name, without the number"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    #[test]
    fn names_are_six_digits_and_grow() {
        assert_eq!(segment_name("a.jsonl", 42), "a.jsonl.000042");
        assert_eq!(gz_name("a.jsonl", 42), "a.jsonl.000042.gz");
        assert_eq!(segment_name("a", 1_234_567), "a.1234567");
    }

    #[test]
    fn foreign_names_are_not_segments() {
        for foreign in [
            "a.jsonl",
            "a.jsonl.",
            "a.jsonl.1",
            "a.jsonl.00042",
            "a.jsonl.000000",
            "a.jsonl.0000042",
            "a.jsonl.000042.bz2",
            "a.jsonl.000042.gz.gz",
            "a.jsonl.gz",
            "a.jsonl.000042gz",
            "a.jsonl.00004x",
            "a.jsonl.+00042",
            "a.jsonl.000042~",
            "b.jsonl.000042",
            "aa.jsonl.000042",
            "a.jsonl000042",
            "a.jsonl.x.000042",
            "a.jsonl.2026-11-21",
            " a.jsonl.000042",
            "a.jsonl.000042.000001",
            "a.jsonl.18446744073709551615",
            "a.jsonl.20261121",
            "a.jsonl.20261121.gz",
            "a.jsonl.21112026",
            "a.jsonl.10000000",
            "a.jsonl.2026112104",
            "a.jsonl.1795235871",
            "a.jsonl.99999999999999999999999",
            "a.jsonl.٠٠٠٠٤٢",
        ] {
            assert_eq!(parse(foreign.as_bytes(), "a.jsonl"), None, "{foreign}");
        }
        assert_eq!(parse(b"a.jsonl.00004\xff", "a.jsonl"), None);
    }

    #[test]
    fn listing_is_sorted_by_number_and_next_is_past_everything() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "a.000010",
            "a.000009.gz",
            "a.000009",
            "a.1000000.gz",
            "a",
            "b.000077",
            "a.000002.gz",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let fd = std::fs::File::open(dir.path()).unwrap();
        let listing = list(fd.as_fd(), "a").unwrap();
        let pairs: Vec<_> = listing.iter().map(|s| (s.number, s.gz)).collect();
        assert_eq!(
            pairs,
            [
                (2, true),
                (9, false),
                (9, true),
                (10, false),
                (1_000_000, true)
            ]
        );
        assert_eq!(
            list(fd.as_fd(), "a").unwrap(),
            listing,
            "one descriptor can be listed twice"
        );
        assert_eq!(next_number(0, &listing), 1_000_001);
        assert_eq!(next_number(999_999, &listing), 1_000_001);
        assert_eq!(
            next_number(7, &listing),
            11,
            "what is a million ahead of the state is another program's"
        );
        assert_eq!(next_number(2_000_000, &listing), 2_000_001);
        assert_eq!(next_number(0, &[]), 1);
        assert_eq!(
            next_number(9_999_999, &[]),
            100_000_000,
            "eight digits are a date"
        );
    }

    #[test]
    fn a_name_that_leaves_no_room_for_its_segments_is_refused() {
        assert!(check_name(&"x".repeat(245)).is_ok());
        let message = check_name(&"x".repeat(246)).unwrap_err();
        assert!(
            message.contains("256 of the 255") && message.contains("at most 245"),
            "{message}"
        );
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a\0b",
            ".logspool",
            ".logspool.state",
            "a.jsonl.000042",
            "a.jsonl.000042.gz",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in [
            "a.jsonl",
            "a",
            "app.log.gz",
            "app.2026",
            ".000042x",
            "日本.jsonl",
            "000042",
        ] {
            assert!(check_name(good).is_ok(), "{good:?}: {:?}", check_name(good));
        }
    }

    proptest! {
        #[test]
        fn parse_gives_back_exactly_what_was_named(name in "[a-z.0-9]{1,20}", number in 1..=NUMBER_MAX, gz: bool) {
            let number = if is_number(number) { number } else { following(number.min(*DATES.start() - 1)) };
            let segment = Segment { number, gz };
            prop_assert_eq!(parse(segment.file_name(&name).as_bytes(), &name), Some(segment));
        }

        #[test]
        fn whatever_parses_is_a_name_we_would_make(file in "a\\.[0-9]{0,14}(\\.gz)?") {
            if let Some(segment) = parse(file.as_bytes(), "a") {
                prop_assert_eq!(segment.file_name("a"), file);
            }
        }
    }
}
