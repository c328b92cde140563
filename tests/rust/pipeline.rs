//! From an append to segments, with the real writer thread and real files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use logspool::config::{LogSettings, SpoolSettings, WhenFull};
use logspool::engine::{Flushed, engine};
use logspool::spool::producer::{Appended, Caller};

/// A caller with nothing to let go of.
struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

fn line(thread: usize, n: usize) -> Vec<u8> {
    format!(
        r#"{{"thread":{thread},"n":{n},"pad":"{}","seq":"-------------------"}}"#,
        "x".repeat(n % 200)
    )
    .into_bytes()
    .into_iter()
    .chain([b'\n'])
    .collect()
}

fn segments(dir: &Path, name: &str) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with(&format!("{name}.0")))
        .collect();
    names.sort();
    names
}

fn records(dir: &Path, name: &str) -> Vec<serde_json::Value> {
    segments(dir, name)
        .iter()
        .flat_map(|segment| {
            let bytes = std::fs::read(dir.join(segment)).unwrap();
            assert!(
                bytes.is_empty() || bytes.ends_with(b"\n"),
                "{segment} ends in a torn line"
            );
            String::from_utf8(bytes)
                .unwrap()
                .lines()
                .map(|l| serde_json::from_str(l).expect("a whole line"))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_record_of_every_thread_is_in_segments_once_and_in_order_after_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings {
        max_bytes: 64 << 10,
        gzip: false,
        backup_count: 0,
        ..LogSettings::default()
    };
    let spool = SpoolSettings {
        bytes: 256 << 10,
        block_timeout: None,
        ..SpoolSettings::default()
    };
    let log = Arc::new(
        engine()
            .open(&dir.path().join("app.jsonl"), &settings, &spool)
            .unwrap(),
    );
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for n in 0..5_000 {
                    let mut line = line(t, n);
                    assert_eq!(
                        log.append(&mut line, true, false, &mut Plain),
                        Appended::Accepted
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(
        engine().flush(Some(Duration::from_secs(20)), &mut Plain),
        Flushed::Complete
    );
    let all = records(dir.path(), "app.jsonl");
    assert_eq!(all.len(), 20_000);
    let mut next = [0; 4];
    let mut seqs = std::collections::BTreeSet::new();
    for record in &all {
        let t = usize::try_from(record["thread"].as_u64().unwrap()).unwrap();
        assert_eq!(record["n"], next[t], "thread {t} out of order");
        next[t] += 1;
        assert!(seqs.insert(record["seq"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seqs.len(), 20_000);
    let names = segments(dir.path(), "app.jsonl");
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(dir.path().join(name).metadata().unwrap().len() <= 64 << 10);
    }
}

#[test]
fn a_full_spool_drops_what_it_counts_and_announces_it() {
    for policy in [WhenFull::DropNewest, WhenFull::DropOldest, WhenFull::Block] {
        let dir = tempfile::tempdir().unwrap();
        let spool = SpoolSettings {
            bytes: 64 << 10,
            when_full: policy,
            block_timeout: Some(Duration::from_millis(20)),
            ..SpoolSettings::default()
        };
        let settings = LogSettings::default();
        let log = engine()
            .open(&dir.path().join("app.jsonl"), &settings, &spool)
            .unwrap();
        // The sink stalls: somebody else holds the log's lock.
        let state = std::fs::File::open(dir.path().join(".logspool/app.jsonl.state")).unwrap();
        state.lock().unwrap();
        let mut accepted = 0;
        for n in 0..2_000 {
            let mut line = line(0, n);
            if log.append(&mut line, true, false, &mut Plain) == Appended::Accepted {
                accepted += 1;
            }
        }
        state.unlock().unwrap();
        let _ = log.append(&mut line(0, 2_000), true, false, &mut Plain);
        assert_eq!(
            engine().flush(Some(Duration::from_secs(20)), &mut Plain),
            Flushed::Complete
        );
        let all = records(dir.path(), "app.jsonl");
        let kept = all.iter().filter(|r| r.get("n").is_some()).count();
        let missing: u64 = all
            .iter()
            .filter(|r| r["event"] == "records_dropped")
            .map(|r| r["fields"]["count"].as_u64().unwrap())
            .sum();
        assert_eq!(kept as u64 + missing, 2_001, "{policy:?}");
        assert!(missing > 0, "{policy:?}");
        if policy == WhenFull::DropOldest {
            assert_eq!(accepted, 2_000);
            assert_eq!(all.last().unwrap()["n"], 2_000);
        }
        let mut seqs: Vec<_> = all.iter().map(|r| r["seq"].to_string()).collect();
        let sorted = {
            let mut s = seqs.clone();
            s.sort();
            s
        };
        assert_eq!(seqs, sorted, "{policy:?}");
        seqs.dedup();
        assert_eq!(seqs.len(), all.len());
        assert_eq!(log.spool.in_flight(1), 0, "{policy:?}");
    }
}

#[test]
fn a_file_that_stood_under_the_plain_name_is_kept_as_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("app.jsonl"), "before\n").unwrap();
    let log = engine()
        .open(
            &dir.path().join("app.jsonl"),
            &LogSettings::default(),
            &SpoolSettings::default(),
        )
        .unwrap();
    log.append(&mut line(0, 0), true, false, &mut Plain);
    engine().flush(None, &mut Plain);
    let names = segments(dir.path(), "app.jsonl");
    assert_eq!(names, ["app.jsonl.000001", "app.jsonl.000002"]);
    assert_eq!(
        std::fs::read_to_string(dir.path().join(&names[0])).unwrap(),
        "before\n"
    );
    assert_eq!(
        std::fs::read(dir.path().join(&names[1])).unwrap(),
        std::fs::read(dir.path().join("app.jsonl")).unwrap(),
        "the plain name is the newest segment"
    );
}

#[test]
fn a_ring_that_is_drained_as_fast_as_it_fills_keeps_to_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings {
        max_bytes: 0,
        ..LogSettings::default()
    };
    let spool = SpoolSettings {
        bytes: 1 << 20,
        ..SpoolSettings::default()
    };
    let log = engine()
        .open(&dir.path().join("app.jsonl"), &settings, &spool)
        .unwrap();
    let mut laps = 0;
    let mut before = 0;
    for n in 0..6_000 {
        log.append(&mut line(0, n), true, false, &mut Plain);
        if n % 16 == 15 {
            assert_eq!(engine().flush(None, &mut Plain), Flushed::Complete);
        }
        let offset = log.spool.head() % (1 << 20);
        assert!(offset < 300 << 10, "record {n} went to {offset}");
        laps += u32::from(offset < before);
        before = offset;
    }
    assert!(laps >= 3, "{laps} laps of a quarter of a ring");
    let all = records(dir.path(), "app.jsonl");
    let numbers: Vec<_> = all.iter().map(|r| r["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..6_000).collect::<Vec<_>>());
}
