//! A burst from first append to `flush()`: what it costs the callers, the writer and the compressor, by number of
//! producers, policy and gzip. `cargo bench --bench flat -- [filter] [records]`.
//!
//! Each row is a process of its own (this program again), so that one cannot leave the next its dirty pages' threads or its
//! heap; rows are interleaved and what is shown is the median of the repeats. A producer spends about as long on making a
//! line as the encoder does, and the line is W2's in length and make-up, so that gzip has what it has in life.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use logspool::config::{LogSettings, SpoolSettings, WhenFull};
use logspool::engine::engine;
use logspool::json;
use logspool::spool::producer::{Appended, Caller};

/// What a call of the fast path does beside the append, in ns.
const ENCODE: u64 = 800;
const REPEATS: usize = 3;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// A W2 record.
fn line(out: &mut Vec<u8>, i: u64) {
    let mut text = String::with_capacity(600);
    let _ = write!(
        text,
        r#"{{"ts":"2026-11-21T01:17:{:02}.{:06}Z","level":"INFO","logger":"bench","event":"tool_call","pid":4711,"thread":"MainThread","fields":{{"call_index":{i},"tool_name":"search_documents","user":"u-48151623","attempt":1,"ok":true,"cache_hit":false,"latency_ms":12.75,"tokens":{{"prompt":1200,"completion":345,"total":1545}},"cost":{{"input":0.0006,"output":0.00069,"total":0.00129}},"http":{{"method":"POST","status":200,"host":"api.example.com","retries":0}}}}"#,
        i / 1_000_000 % 60,
        i % 1_000_000
    );
    out.clear();
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(json::SEQ_PLACEHOLDER);
}

/// CPU of the calling thread.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(
        stat.split(' ')
            .next()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0),
    )
}

/// CPU of all threads there are and have been; the kernel gives it in hundredths of a second.
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// CPU of the threads of this name that run now, in seconds, and how often they slept.
fn named_cpu(name: &str) -> (f64, u64) {
    let mut total = (0.0, 0);
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").trim() == name {
            let ran = read("schedstat")
                .split(' ')
                .next()
                .and_then(|t| t.parse::<f64>().ok());
            total.0 += ran.unwrap_or(0.0) / 1e9;
            let status = read("status");
            let slept = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            total.1 += slept
                .and_then(|n| n.trim().parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    total
}

fn resident(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.trim_end_matches("kB").trim().parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0
}

fn spin(nanos: u64) {
    let start = Instant::now();
    while u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) < nanos {
        std::hint::spin_loop();
    }
}

fn child(threads: u64, policy: WhenFull, gzip: bool, records: u64) {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings {
        max_bytes: if gzip { 10 << 20 } else { 0 },
        backup_count: 0,
        gzip,
        ..LogSettings::default()
    };
    let spool = SpoolSettings {
        when_full: policy,
        block_timeout: None,
        ..SpoolSettings::default()
    };
    let before = resident("VmRSS:");
    let log = engine()
        .open(&dir.path().join("bench.jsonl"), &settings, &spool)
        .unwrap();
    let start = Instant::now();
    let cpu = process_cpu();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|n| {
                let log = &log;
                scope.spawn(move || {
                    let mut buffer = Vec::with_capacity(1024);
                    let mut template = Vec::new();
                    line(&mut template, n * 1_000_000);
                    let (mut slowest, mut spent, mut dropped) =
                        (Duration::ZERO, Duration::ZERO, 0u64);
                    for i in 0..records / threads {
                        spin(ENCODE);
                        buffer.clear();
                        buffer.extend_from_slice(&template);
                        let digits = format!("{:09}", n * 1_000_000 + i);
                        buffer[150..159].copy_from_slice(digits.as_bytes());
                        let begun = Instant::now();
                        let appended = log.append(black_box(&mut buffer), true, false, &mut Plain);
                        let took = begun.elapsed();
                        spent += took;
                        slowest = slowest.max(took);
                        dropped += u64::from(appended != Appended::Accepted);
                    }
                    (spent, slowest, dropped, thread_cpu())
                })
            })
            .collect();
        running.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let called = start.elapsed();
    engine().flush(None, &mut Plain);
    let wall = start.elapsed();
    let writer = named_cpu("logspool-writer");
    let all_at_flush = process_cpu().saturating_sub(cpu);
    let waits = engine().stats().totals.waits;
    engine().shutdown(None, &mut Plain);
    let all = process_cpu().saturating_sub(cpu);
    let callers: Duration = outcomes.iter().map(|o| o.3).sum();
    #[allow(clippy::cast_precision_loss)]
    let n = records as f64;
    let us = |d: Duration| d.as_secs_f64() * 1e6 / n;
    let appends: Duration = outcomes.iter().map(|o| o.0).sum();
    let slowest = outcomes.iter().map(|o| o.1).max().unwrap_or_default();
    let dropped: u64 = outcomes.iter().map(|o| o.2).sum();
    println!(
        "wall={} called={} append={} callers_cpu={} writer_cpu={} rest_cpu={} cpu_at_flush={} cpu={} max_ms={} waits={} sleeps={} dropped={} peak_mb={}",
        us(wall),
        us(called),
        us(appends),
        us(callers),
        writer.0 * 1e6 / n,
        us(all.saturating_sub(callers)) - writer.0 * 1e6 / n,
        us(all_at_flush),
        us(all),
        slowest.as_secs_f64() * 1e3,
        waits,
        writer.1,
        dropped,
        resident("VmHWM:") - before,
    );
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let number = |text: &str| text.parse::<u64>().ok();
    if let [mark, threads, policy, gzip, records] = words.as_slice()
        && mark == "child"
    {
        let policy = match policy.as_str() {
            "drop_newest" => WhenFull::DropNewest,
            "drop_oldest" => WhenFull::DropOldest,
            _ => WhenFull::Block,
        };
        return child(
            number(threads).unwrap(),
            policy,
            gzip == "gzip",
            number(records).unwrap(),
        );
    }
    let filter = words
        .iter()
        .find(|w| number(w).is_none())
        .map_or("", String::as_str);
    let records = words.iter().find_map(|w| number(w)).unwrap_or(500_000);
    let rows: Vec<_> = ["1", "4", "16"]
        .iter()
        .flat_map(|threads| {
            let policies: &[&str] = &["block", "drop_newest", "drop_oldest"];
            policies
                .iter()
                .flat_map(move |policy| ["plain", "gzip"].map(|gzip| [*threads, *policy, gzip]))
        })
        .filter(|row| row.join("/").contains(filter))
        .collect();
    let columns = [
        "wall",
        "called",
        "append",
        "callers_cpu",
        "writer_cpu",
        "rest_cpu",
        "cpu_at_flush",
        "cpu",
        "max_ms",
        "waits",
        "sleeps",
        "dropped",
        "peak_mb",
    ];
    let mut figures: HashMap<(usize, String), Vec<f64>> = HashMap::new();
    for _ in 0..REPEATS {
        for (n, row) in rows.iter().enumerate() {
            let run = std::process::Command::new(std::env::current_exe().unwrap())
                .arg("child")
                .args(row)
                .arg(records.to_string())
                .output()
                .unwrap();
            assert!(
                run.status.success(),
                "{}",
                String::from_utf8_lossy(&run.stderr)
            );
            for pair in String::from_utf8_lossy(&run.stdout).split_whitespace() {
                let (key, value) = pair.split_once('=').unwrap();
                figures
                    .entry((n, key.to_owned()))
                    .or_default()
                    .push(value.parse().unwrap());
            }
        }
    }
    print!("{:24}", "µs a record");
    for column in columns {
        print!("{column:>13}");
    }
    println!();
    for (n, row) in rows.iter().enumerate() {
        print!("{:24}", row.join("/"));
        for column in columns {
            let mut seen = figures.remove(&(n, column.to_owned())).unwrap_or_default();
            seen.sort_by(f64::total_cmp);
            print!(
                "{:>13.3}",
                seen.get(seen.len() / 2).copied().unwrap_or(f64::NAN)
            );
        }
        println!();
    }
}
