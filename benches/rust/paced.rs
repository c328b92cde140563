//! The caller's tail at an ordinary pace: each append of `cargo bench --bench paced -- [filter] [records]`, timed, with what the kernel did to
//! the calling thread meanwhile (page faults, involuntary switches).
//!
//! Rows: with and without small segments that are rotated and compressed all the time, and, harder than life, with somebody who
//! forces the ring's file to the device again and again: written back, its pages are write-protected, and the next store to each
//! is a fault in which the file system may wait for its journal. The floor is the same loop with a copy in place of the append.
//! `late` is how long after its time the thread was woken for a call: what its neighbours in the machine, our threads among them, do to it.
#![allow(missing_docs)]
#![allow(unsafe_code)]

use std::fs::File;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use logspool::config::{LogSettings, SpoolSettings};
use logspool::engine::engine;
use logspool::json;
use logspool::spool::producer::{Appended, Caller};

/// Between two calls; `LOGSPOOL_BENCH_PERIOD` in µs.
fn period() -> Duration {
    let asked = std::env::var("LOGSPOOL_BENCH_PERIOD")
        .ok()
        .and_then(|p| p.parse().ok());
    Duration::from_micros(asked.unwrap_or(500))
}

const REPEATS: usize = 3;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// Page faults and involuntary context switches of this thread so far.
fn disturbances() -> (i64, i64) {
    // SAFETY: all zeros are a valid rusage, which the call overwrites.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    (usage.ru_minflt + usage.ru_majflt, usage.ru_nivcsw)
}

fn child(kind: &str, records: u32) {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings {
        max_bytes: if kind.contains("gzip") { 512 << 10 } else { 0 },
        backup_count: 3,
        gzip: kind.contains("gzip"),
        ..LogSettings::default()
    };
    let log = engine()
        .open(
            &dir.path().join("bench.jsonl"),
            &settings,
            &SpoolSettings::default(),
        )
        .unwrap();
    let done = AtomicBool::new(false);
    let mut line =
        br#"{"ts":"2026-11-21T01:17:00.123456Z","level":"INFO","logger":"bench","event":""#
            .to_vec();
    line.resize(460 - json::SEQ_PLACEHOLDER.len() - 1, b'x');
    line.push(b'"');
    line.extend_from_slice(json::SEQ_PLACEHOLDER);
    let mut spent = Vec::with_capacity(records as usize);
    let mut late = Vec::with_capacity(records as usize);
    let mut copy = Vec::with_capacity(512);
    let mut faults = (0_i64, Duration::ZERO);
    std::thread::scope(|scope| {
        if kind.contains("synced") {
            scope.spawn(|| {
                let rings = dir.path().join(".logspool");
                let named = std::fs::read_dir(rings)
                    .unwrap()
                    .flatten()
                    .map(|e| e.path());
                let ring = named
                    .into_iter()
                    .find(|p| p.extension().is_some_and(|e| e == "ring"));
                let ring = File::open(ring.unwrap()).unwrap();
                while !done.load(Relaxed) {
                    ring.sync_data().unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let mut due = Instant::now();
        for _ in 0..records {
            due += period();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            late.push(Instant::now().saturating_duration_since(due));
            let before = disturbances();
            let start = Instant::now();
            if kind == "floor" {
                copy.clear();
                copy.extend_from_slice(black_box(&line));
                black_box(&copy);
            } else {
                assert_eq!(
                    log.append(&mut line, true, false, &mut Plain),
                    Appended::Accepted
                );
            }
            let took = start.elapsed();
            let after = disturbances();
            if after.0 > before.0 {
                faults = (faults.0 + 1, faults.1.max(took));
            }
            spent.push((took, after.1 > before.1));
        }
        done.store(true, Relaxed);
    });
    let undisturbed = spent
        .iter()
        .filter(|s| !s.1)
        .map(|s| s.0)
        .max()
        .unwrap_or_default();
    spent.sort_unstable();
    late.sort_unstable();
    let late_at = |share: usize| late[late.len() * share / 10_000].as_secs_f64() * 1e6;
    let at = |share: usize| {
        spent[(spent.len() * share / 10_000).min(spent.len() - 1)]
            .0
            .as_secs_f64()
            * 1e6
    };
    println!(
        "p50={} p99={} p99.9={} max={} max_undisturbed={} faulted={} max_faulted={} late_p50={} late_p99={} late_p99.9={}",
        at(5000),
        at(9900),
        at(9990),
        at(10_000),
        undisturbed.as_secs_f64() * 1e6,
        faults.0,
        faults.1.as_secs_f64() * 1e6,
        late_at(5000),
        late_at(9900),
        late_at(9990),
    );
    engine().shutdown(None, &mut Plain);
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    if let [mark, kind, records] = words.as_slice()
        && mark == "child"
    {
        return child(kind, records.parse().unwrap());
    }
    let number = |text: &String| text.parse::<u32>().ok();
    let filter = words
        .iter()
        .find(|w| number(w).is_none())
        .map_or("", String::as_str);
    let records = words.iter().find_map(number).unwrap_or(10_000);
    let rows = ["floor", "plain", "gzip", "plain, synced", "gzip, synced"]
        .map(|row| (row, Vec::<String>::new()));
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter(|(row, _)| row.contains(filter))
        .collect();
    for _ in 0..REPEATS {
        for (row, seen) in &mut rows {
            let run = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["child", row, &records.to_string()])
                .output()
                .unwrap();
            assert!(
                run.status.success(),
                "{}",
                String::from_utf8_lossy(&run.stderr)
            );
            seen.push(String::from_utf8_lossy(&run.stdout).trim().to_owned());
        }
    }
    println!(
        "µs a call at {} calls a second; the median of {REPEATS} runs",
        1_000_000 / period().as_micros()
    );
    for (row, seen) in rows {
        print!("{row:16}");
        let values = |run: &String| -> Vec<(String, f64)> {
            let pairs = run.split_whitespace().filter_map(|p| p.split_once('='));
            pairs
                .map(|(k, v)| (k.to_owned(), v.parse().unwrap()))
                .collect()
        };
        let runs: Vec<_> = seen.iter().map(values).collect();
        for column in 0..runs[0].len() {
            let mut figures: Vec<_> = runs.iter().map(|r| r[column].1).collect();
            figures.sort_by(f64::total_cmp);
            print!("  {} {:.2}", runs[0][column].0, figures[figures.len() / 2]);
        }
        println!();
    }
}
