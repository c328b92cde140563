//! Closed segments are compressed and retired by one process at a time; nothing else is touched. # req 24 # req 25 # req 28
#![allow(missing_docs)]

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use logspool::segment::naming::{Segment, gz_name, segment_name};
use logspool::segment::retain::{Options, Plan, Report, maintain, plan};
use proptest::prelude::*;

const NAME: &str = "app.jsonl";

fn options(backup_count: u64) -> Options<'static> {
    Options {
        backup_count,
        gzip: true,
        file_mode: 0o600,
        level: 1,
        keep_from: None,
        checkpoint: &|| false,
        on_step: None,
    }
}

struct Logs(tempfile::TempDir);

impl Logs {
    fn new(files: &[&str]) -> Self {
        let logs = Self(tempfile::tempdir().unwrap());
        fs::create_dir(logs.spool()).unwrap();
        for file in files {
            fs::write(logs.0.path().join(file), format!("{file}\n")).unwrap();
        }
        logs
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join(".logspool")
    }

    fn maintain(&self, current: u64, opts: &Options<'_>) -> Report {
        let (dir, spool) = (
            File::open(self.0.path()).unwrap(),
            File::open(self.spool()).unwrap(),
        );
        maintain(dir.as_fd(), spool.as_fd(), NAME, current, opts).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }
}

fn numbered(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| segment_name(NAME, number)).collect()
}

#[test]
fn the_oldest_go_the_older_are_compressed_the_newest_closed_stays_plain() {
    let names = numbered(1..=9);
    let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
    // Foreign files, and those of another log.
    let foreign = [
        "app.jsonl",
        "app.jsonl.1",
        "app.jsonl.2026-11-21",
        "app.jsonl.000001.bz2",
        "my-app.jsonl.000001",
        "app.jsonl.x.000001",
    ];
    files.extend(foreign);
    let logs = Logs::new(&files);
    let report = logs.maintain(9, &options(5));
    assert_eq!(
        (report.deleted, report.compressed, report.errors),
        (3, 4, 0)
    );
    assert_eq!(report.bytes_in, 4 * 17);
    assert!(report.bytes_out > 0 && !report.busy && !report.stopped);
    let mut expected: Vec<String> = (4..=7).map(|number| gz_name(NAME, number)).collect();
    expected.extend(numbered(8..=9));
    expected.extend(foreign.map(str::to_owned));
    expected.sort();
    assert_eq!(logs.files(), expected);
    // Nothing is left to do, and a rotation later exactly one goes and one is compressed.
    assert_eq!(logs.maintain(9, &options(5)), Report::default());
    fs::write(logs.0.path().join(segment_name(NAME, 10)), "x").unwrap();
    let report = logs.maintain(10, &options(5));
    assert_eq!((report.deleted, report.compressed), (1, 1));
    let mut text = String::new();
    let gz = File::open(logs.0.path().join(gz_name(NAME, 8))).unwrap();
    flate2::read::MultiGzDecoder::new(gz)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "app.jsonl.000008\n");
}

#[test]
fn a_count_of_zero_keeps_all_and_without_gzip_nothing_is_compressed() {
    let names = numbered(1..=6);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let plain = Options {
        gzip: false,
        ..options(0)
    };
    assert_eq!(logs.maintain(6, &plain), Report::default());
    assert_eq!(logs.files(), names);
    assert_eq!(logs.maintain(6, &options(0)).compressed, 4);
    assert_eq!(logs.files().len(), 6);
}

#[test]
fn a_plain_and_a_compressed_file_of_one_number_are_one_segment() {
    let both = [
        "app.jsonl.000001",
        "app.jsonl.000001.gz",
        "app.jsonl.000002",
        "app.jsonl.000003",
    ];
    let logs = Logs::new(&both);
    let report = logs.maintain(3, &options(1));
    assert_eq!((report.deleted, report.errors), (1, 0), "{report:?}");
    assert_eq!(logs.files(), ["app.jsonl.000002", "app.jsonl.000003"]);
}

#[test]
fn a_segment_that_an_export_cursor_has_not_passed_is_not_compressed_away() {
    let names = numbered(1..=6);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let held = Options {
        keep_from: Some(3),
        ..options(0)
    };
    assert_eq!(logs.maintain(6, &held).compressed, 2);
    assert!(logs.files().contains(&segment_name(NAME, 3)));
    assert!(logs.files().contains(&gz_name(NAME, 2)));
    assert_eq!(logs.maintain(6, &options(0)).compressed, 2);
}

#[test]
fn one_process_at_a_time_maintains_a_log_and_its_lock_is_its_own() {
    let names = numbered(1..=4);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let seen = Cell::new(None);
    let other_files = Cell::new(None);
    let look = |_| {
        // Another opening of the lock file is as good as another process.
        seen.set(Some(logs.maintain(4, &options(0)).busy));
        let (dir, spool) = (File::open(logs.0.path())?, File::open(logs.spool())?);
        let other = maintain(dir.as_fd(), spool.as_fd(), "other.jsonl", 4, &options(0))?;
        other_files.set(Some(other.busy));
        Ok(())
    };
    let report = logs.maintain(
        4,
        &Options {
            on_step: Some(&look),
            ..options(0)
        },
    );
    assert_eq!(report.compressed, 2);
    assert_eq!((seen.get(), other_files.get()), (Some(true), Some(false)));
    assert!(!logs.maintain(4, &options(0)).busy, "released");
    let file = fs::metadata(logs.spool().join("app.jsonl.gzlock")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_fails_is_counted_said_and_does_not_hold_up_the_rest() {
    let names = numbered(1..=5);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    fs::write(logs.0.path().join("app.jsonl.000002.gz"), "somebody's").unwrap();
    let report = logs.maintain(5, &options(0));
    assert_eq!((report.compressed, report.errors), (2, 1));
    let message = report.last_error.unwrap();
    assert!(
        message.contains("app.jsonl.000002") && message.contains("already exists"),
        "{message}"
    );
}

#[test]
fn a_full_disk_ends_the_pass_and_the_next_one_goes_on() {
    let names = numbered(1..=5);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let full = |_| Err(io::ErrorKind::StorageFull.into());
    let report = logs.maintain(
        5,
        &Options {
            on_step: Some(&full),
            ..options(0)
        },
    );
    assert_eq!((report.compressed, report.errors), (0, 1));
    assert_eq!(logs.files(), names);
    assert_eq!(logs.maintain(5, &options(0)).compressed, 3);
}

#[test]
fn a_pass_that_is_told_to_stop_stops_and_says_so() {
    let names = numbered(1..=5);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let report = logs.maintain(
        5,
        &Options {
            checkpoint: &|| true,
            ..options(0)
        },
    );
    assert_eq!(
        report,
        Report {
            stopped: true,
            ..Report::default()
        }
    );
    assert_eq!(logs.files(), names);
}

#[test]
fn a_directory_that_bears_a_segments_name_is_left_alone() {
    let names = numbered(2..=4);
    let logs = Logs::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir(logs.0.path().join("app.jsonl.000001")).unwrap();
    let report = logs.maintain(4, &options(1));
    assert_eq!((report.deleted, report.errors), (1, 0));
    assert_eq!(
        logs.files(),
        ["app.jsonl.000001", "app.jsonl.000003", "app.jsonl.000004"]
    );
}

proptest! {
    #[test]
    fn never_the_current_nor_a_newer_nor_one_of_the_kept_is_deleted(
        mut listing in proptest::collection::vec((1_u64..40, any::<bool>()), 0..40),
        current in 0_u64..45, backup_count in 0_u64..12, keep_from in proptest::option::of(0_u64..45),
    ) {
        listing.sort_unstable();
        listing.dedup();
        let listing: Vec<Segment> = listing.into_iter().map(|(number, gz)| Segment { number, gz }).collect();
        let mut closed: Vec<u64> = listing.iter().map(|s| s.number).filter(|&n| n < current).collect();
        closed.dedup();
        let Plan { delete, compress } = plan(&listing, current, &Options { keep_from, ..options(backup_count) });
        let deleted = |number: u64| delete.iter().any(|s| s.number == number);
        let kept: Vec<u64> = closed.iter().copied().filter(|&n| !deleted(n)).collect();
        prop_assert!(delete.iter().all(|s| s.number < current && listing.contains(s)));
        if backup_count == 0 {
            prop_assert!(delete.is_empty());
        } else {
            prop_assert_eq!(kept.len() as u64, backup_count.min(closed.len() as u64));
        }
        // The kept ones are the newest, and no file of a deleted segment stays.
        prop_assert!(closed.ends_with(&kept));
        prop_assert_eq!(delete.len(), listing.iter().filter(|s| deleted(s.number)).count());
        for number in &compress {
            prop_assert!(kept.contains(number) && Some(number) != kept.last());
            prop_assert!(keep_from.is_none_or(|from| *number < from));
        }
        for segment in listing.iter().filter(|s| !s.gz && kept.contains(&s.number)) {
            let due = Some(&segment.number) != kept.last() && keep_from.is_none_or(|from| segment.number < from);
            prop_assert_eq!(compress.contains(&segment.number), due);
        }
    }
}
