//! What a record costs below Python: JSON text, an append to the spool, a drain into segments. Each beside a floor
//! taken in the same run: a copy of the same bytes, or one plain `write` of them.
#![allow(missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use logspool::config::{LogSettings, SpoolSettings};
use logspool::engine::{Log, engine};
use logspool::json;
use logspool::spool::producer::{Appended, Caller};

/// A line of the size of a record with ten fields.
const LINE: usize = 460;
/// Records of one measured drain: about 2 MiB.
const BATCH: usize = 4096;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

fn line() -> Vec<u8> {
    let mut line =
        br#"{"ts":"2026-11-21T01:17:00.123456Z","level":"INFO","logger":"bench","event":""#
            .to_vec();
    line.resize(LINE - json::SEQ_PLACEHOLDER.len() - 1, b'x');
    line.push(b'"');
    line.extend_from_slice(json::SEQ_PLACEHOLDER);
    line
}

fn open(dir: &tempfile::TempDir) -> Log {
    let settings = LogSettings {
        max_bytes: 64 << 20,
        backup_count: 1,
        gzip: false,
        ..LogSettings::default()
    };
    let spool = SpoolSettings {
        block_timeout: None,
        ..SpoolSettings::default()
    };
    engine()
        .open(&dir.path().join("bench.jsonl"), &settings, &spool)
        .unwrap()
}

fn append(log: &Log, line: &mut [u8]) {
    assert_eq!(
        log.append(line, true, false, &mut Plain),
        Appended::Accepted
    );
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let mut out = Vec::with_capacity(4096);
    let plain = "finished in 17 ms; nothing to escape in a text of usual length".repeat(4);
    let odd = plain.replace("17 ms", "17\u{a0}ms\n\"ä\"");
    for (name, text) in [("plain", &plain), ("escapes", &odd)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{name} string, floor: copy"), |b| {
            b.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(text.as_bytes()));
                black_box(out.len())
            });
        });
        group.bench_function(format!("{name} string"), |b| {
            b.iter(|| {
                out.clear();
                json::write_str(&mut out, black_box(text));
                black_box(out.len())
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("timestamp", |b| {
        let mut micros = 1_795_224_220_123_456;
        b.iter(|| {
            out.clear();
            micros += 37;
            json::write_time(&mut out, black_box(micros));
            black_box(out.len())
        });
    });
    group.bench_function("float", |b| {
        b.iter(|| {
            out.clear();
            json::write_float(&mut out, black_box(0.002_841));
            black_box(out.len())
        });
    });
    group.finish();
}

fn append_one(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    let mut line = line();
    let mut copy = Vec::with_capacity(LINE);
    group.bench_function("floor: copy", |b| {
        b.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(&line));
            black_box(copy.len())
        });
    });
    let mut file = File::create(dir.path().join("floor")).unwrap();
    group.bench_function("floor: write", |b| {
        b.iter(|| file.write_all(black_box(&line)).unwrap());
    });
    group.bench_function("spool, the writer running", |b| {
        // Timed in bursts that fit the ring, so that what is measured is the append and not the disk.
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let burst = left.min(BATCH as u64);
                let start = Instant::now();
                for _ in 0..burst {
                    append(&log, &mut line);
                }
                spent += start.elapsed();
                left -= burst;
                engine().flush(None, &mut Plain);
            }
            spent
        });
    });
    group.finish();
}

fn drain(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let mut group = c.benchmark_group("drain");
    group.throughput(Throughput::Bytes((BATCH * LINE) as u64));
    let mut line = line();
    let all = line.repeat(BATCH);
    let mut file = File::create(dir.path().join("floor")).unwrap();
    group.bench_function("floor: one write of the same bytes", |b| {
        b.iter(|| file.write_all(black_box(&all)).unwrap());
    });
    engine().flush(None, &mut Plain);
    // Without the writer thread: the drain itself, on this thread.
    engine().before_fork(std::time::Instant::now() + logspool::engine::FORK_WAIT);
    group.bench_function("ring to segment", |b| {
        b.iter_batched(
            || {
                for _ in 0..BATCH {
                    log.spool
                        .append(log.slot, &mut line, true, false, &mut Plain);
                }
            },
            |()| {
                while !engine().shared.drain(&log.spool).complete {}
            },
            BatchSize::PerIteration,
        );
    });
    engine().after_fork_in_parent();
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = encode, append_one, drain
}
criterion_main!(benches);
