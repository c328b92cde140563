//! Counts are written when they are due, and not before there is room.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::{Engine, Flushed, Log};
use crate::collapse::Said;
use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::fork;
use crate::json::SEQ_PLACEHOLDER;
use crate::noise::{LogNoise, NoiseSettings, clock};
use crate::sample::{ANNOUNCE_EVERY, Decisions};
use crate::segment::dir::LogDir;
use crate::segment::lock::Lock;
use crate::spool::producer::{Appended, Caller};
use crate::sync::Mutex;

const LARGE: usize = 1 << 20;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

fn fresh() -> Engine {
    Engine {
        forks: fork::forks(),
        shared: Arc::default(),
        finished: AtomicBool::new(false),
        opening: Mutex::new(()),
    }
}

fn open(engine: &Engine, path: &Path, spool: &SpoolSettings) -> (Log, Arc<LogNoise>) {
    let log = engine.open(path, &LogSettings::default(), spool).unwrap();
    let asked = NoiseSettings {
        sample: vec![("a".to_owned(), "10".parse().unwrap())],
        collapse: Some(Duration::from_hours(1)),
    };
    let noise = log
        .quieten(&asked, true, b",\"service\":\"s\"", LARGE)
        .unwrap();
    (log, noise)
}

fn sample(noise: &LogNoise, records: usize) -> usize {
    let place = noise.rules().unwrap().find("a").debug.unwrap();
    (0..records)
        .filter(|_| noise.keeps(&mut Decisions::default(), place, 1_000_000))
        .count()
}

fn line(event: &str) -> Vec<u8> {
    let text = format!(
        "{{\"ts\":\"2026-11-21T00:00:00.000000Z\",\"level\":\"INFO\",\"event\":\"{event}\",\"pid\":1"
    );
    [text.as_bytes(), SEQ_PLACEHOLDER].concat()
}

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn announced(path: &Path) -> Vec<(u64, u64)> {
    records(path)
        .iter()
        .filter(|record| record["event"] == "records_sampled")
        .map(|record| {
            let number = |name: &str| record["fields"][name].as_u64().unwrap();
            (number("kept"), number("sampled_out"))
        })
        .collect()
}

// req 36
#[test]
fn while_records_are_sampled_out_that_is_announced_once_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let engine = fresh();
    let (_log, noise) = open(&engine, &path, &SpoolSettings::default());
    let all = &engine.shared.noise;
    let seen = |now: u64| {
        all.write_due_at(now);
        assert_eq!(engine.flush(None, &mut Plain), Flushed::Complete);
        announced(&path)
    };
    let began = clock();
    assert_eq!(sample(&noise, 20), 2);
    assert_eq!(seen(began + ANNOUNCE_EVERY - 1), []);
    let minute = clock() + ANNOUNCE_EVERY;
    assert_eq!(seen(minute), [(2, 18)]);
    // Nothing to say.
    assert_eq!(seen(minute + 10 * ANNOUNCE_EVERY), [(2, 18)]);
    assert_eq!(sample(&noise, 5), 1);
    assert_eq!(seen(minute).len(), 1);
    assert_eq!(seen(clock() + ANNOUNCE_EVERY), [(2, 18), (1, 4)]);
    let record = &records(&path)[0];
    assert_eq!(record["service"], "s");
    assert_eq!(record["fields"]["first"], "1970-01-01T00:00:01.000000Z");
    assert_eq!(engine.stats().quieted.sampled_out.rules["a"], 22);
}

#[test]
fn counts_wait_for_room_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let engine = fresh();
    let spool = SpoolSettings {
        bytes: 64 << 10,
        when_full: WhenFull::DropNewest,
        ..SpoolSettings::default()
    };
    let (log, noise) = open(&engine, &path, &spool);
    // The writer cannot write.
    let own = LogDir::open(dir.path(), 0o700).unwrap();
    let mut held = Lock::try_named(own.own().as_fd(), "a.jsonl.state").unwrap();
    assert!(held.is_some());
    assert_eq!(sample(&noise, 30), 3);
    for _ in 0..5 {
        let said = line("again");
        noise.note(&Said::json(&said).unwrap(), &mut Plain);
    }
    while log.append(&mut line("filling"), true, false, &mut Plain) == Appended::Accepted {}
    assert!(engine.shared.noise.settle(true), "there is no room");
    let soon = Some(Duration::from_millis(1));
    assert_eq!(engine.flush(soon, &mut Plain), Flushed::TimedOut);
    held.take();
    assert_eq!(engine.shutdown(None, &mut Plain), Flushed::Complete);
    assert_eq!(announced(&path), [(3, 27)]);
    let counts: Vec<_> = records(&path)
        .iter()
        .filter(|record| record["event"] == "again")
        .map(|record| record["fields"]["repeated"]["count"].clone())
        .collect();
    assert_eq!(counts, [4]);
    let stats = engine.stats();
    assert_eq!(stats.quieted.collapsed, 4);
    let totals = stats.totals;
    assert_eq!(
        totals.emitted,
        totals.written + totals.dropped + totals.in_flight
    );
}

#[test]
fn what_a_log_had_counted_stays_in_the_statistics_when_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let engine = fresh();
    let (log, noise) = open(&engine, &path, &SpoolSettings::default());
    sample(&noise, 10);
    drop(noise);
    assert_eq!(engine.stats().quieted.sampled_out.total, 9);
    assert_eq!(engine.flush(None, &mut Plain), Flushed::Complete);
    assert_eq!(announced(&path), [(1, 9)]);
    drop(log);
}
