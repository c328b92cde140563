//! A record that is dropped though the spool is not full is announced in its log like any other drop.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Engine, Flushed, Log};
use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::fork;
use crate::json::SEQ_PLACEHOLDER;
use crate::segment::dir::LogDir;
use crate::segment::lock::Lock;
use crate::spool::producer::{Appended, Caller};
use crate::sync::Mutex;

const CAPACITY: u64 = 64 << 10;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

fn open(dir: &Path, when_full: WhenFull) -> (Engine, Log) {
    let engine = Engine {
        forks: fork::forks(),
        shared: Arc::default(),
        finished: AtomicBool::new(false),
        opening: Mutex::new(()),
    };
    let settings = LogSettings {
        max_bytes: 0,
        ..LogSettings::default()
    };
    let spool = SpoolSettings {
        bytes: CAPACITY,
        when_full,
        ..SpoolSettings::default()
    };
    let log = engine
        .open(&dir.join("a.jsonl"), &settings, &spool)
        .unwrap();
    (engine, log)
}

fn append(log: &Log, len: usize) -> Appended {
    let mut line = br#"{"event":""#.to_vec();
    line.resize(len, b'x');
    line.push(b'"');
    line.extend_from_slice(SEQ_PLACEHOLDER);
    log.append(&mut line, true, false, &mut Plain)
}

/// How many records the log holds, and by their reasons, how many are announced as dropped; fails unless these together have all
/// numbers, each once and in order.
fn read(dir: &Path) -> (u64, BTreeMap<String, u64>) {
    let (mut kept, mut announced, mut next) = (0, BTreeMap::new(), 0);
    let number = |text: &serde_json::Value| {
        u64::from_str_radix(text.as_str().unwrap().split_once('-').unwrap().1, 16).unwrap()
    };
    for line in std::fs::read_to_string(dir.join("a.jsonl"))
        .unwrap()
        .lines()
    {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["event"] == "records_dropped" {
            let fields = &record["fields"];
            let count = fields["count"].as_u64().unwrap();
            assert_eq!(number(&fields["first_seq"]), next, "{line}");
            *announced
                .entry(fields["reason"].as_str().unwrap().to_owned())
                .or_default() += count;
            next += count;
        } else {
            assert_eq!(number(&record["seq"]), next, "{line}");
            kept += 1;
            next += 1;
        }
    }
    (kept, announced)
}

#[test]
fn records_that_are_larger_than_the_spool_or_come_from_within_a_commit_are_announced() {
    for when_full in [WhenFull::Block, WhenFull::DropNewest, WhenFull::DropOldest] {
        let dir = tempfile::tempdir().unwrap();
        let (engine, log) = open(dir.path(), when_full);
        assert_eq!(append(&log, 100), Appended::Accepted);
        assert_eq!(append(&log, 100_000), Appended::Dropped);
        let within = log.spool.within_a_commit(|| append(&log, 100));
        assert_eq!(within, Appended::Dropped);
        assert_eq!(append(&log, 100), Appended::Accepted);
        assert_eq!(engine.flush(None, &mut Plain), Flushed::Complete);
        let within = log.spool.within_a_commit(|| append(&log, 100));
        assert_eq!(within, Appended::Dropped);
        assert_eq!(engine.flush(None, &mut Plain), Flushed::Complete);
        assert_eq!(
            read(dir.path()),
            (2, BTreeMap::from([("other".to_owned(), 3)]))
        );
        let totals = engine.stats().totals;
        assert_eq!((totals.emitted, totals.dropped_other), (5, 3));
        drop(log);
        engine.release();
    }
}

#[test]
fn an_announcement_that_is_dropped_as_the_oldest_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, log) = open(dir.path(), WhenFull::DropOldest);
    let own = LogDir::open(dir.path(), 0o700).unwrap();
    let held = Lock::try_named(own.own().as_fd(), "a.jsonl.state").unwrap();
    assert!(held.is_some());
    assert_eq!(append(&log, 100), Appended::Accepted);
    for _ in 0..3 {
        assert_eq!(append(&log, 100_000), Appended::Dropped);
    }
    // Announced in the spool, where records that follow overwrite the announcement.
    assert_eq!(
        engine.flush(Some(Duration::from_millis(1)), &mut Plain),
        Flushed::TimedOut
    );
    for _ in 0..1000 {
        assert_eq!(append(&log, 200), Appended::Accepted);
    }
    drop(held);
    assert_eq!(engine.flush(None, &mut Plain), Flushed::Complete);
    let (kept, announced) = read(dir.path());
    let totals = engine.stats().totals;
    assert_eq!(
        (totals.emitted, totals.dropped_other, totals.in_flight),
        (1004, 3, 0)
    );
    assert_eq!(
        (kept, announced.values().sum()),
        (totals.written, totals.dropped)
    );
    assert!(totals.dropped_oldest > 0);
    drop(log);
    engine.release();
}
