//! What one record costs in the core: encode, append, drain; and recovering the ring of a process that died.
//!
//! `cargo bench --bench spool`. Each figure is of 1,000 records of about 420 bytes; divide by a thousand. Appending is timed
//! with nobody draining, draining with nobody appending, so that the two do not share a processor.

use std::fs::remove_dir_all;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logspool::config::{LogSettings, SpoolPlace, SpoolSettings};
use logspool::engine::recover_dir;
use logspool::json;
use logspool::segment::dir::LogDir;
use logspool::spool::place;
use logspool::spool::producer::{Appended, Caller, Spool};
use logspool::spool::ring::Ring;
use logspool::wake::Waker;
use logspool::writer::source;
use std::os::fd::AsFd;

const RECORDS: usize = 1000;
const NAME: &str = "bench.jsonl";

/// A caller with nothing to let go of.
struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

fn encode(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(b"{\"ts\":");
    json::write_time(out, 1_795_223_820_123_456 + n);
    out.extend_from_slice(b",\"level\":\"INFO\",\"logger\":");
    json::write_str(out, "llm.inference");
    out.extend_from_slice(b",\"event\":\"tool_call\",\"pid\":4711,\"fields\":{\"call_index\":");
    json::write_int(out, n);
    for (key, value) in [
        ("tool_name", "search_documents"),
        ("user", "u-48151623"),
        ("host", "api.example.com"),
    ] {
        out.push(b',');
        json::write_str(out, key);
        out.push(b':');
        json::write_str(out, value);
    }
    for (key, value) in [
        ("latency_ms", 12.75),
        ("input", 0.0006),
        ("output", 0.000_69),
    ] {
        out.push(b',');
        json::write_str(out, key);
        out.push(b':');
        json::write_float(out, value);
    }
    out.extend_from_slice(b",\"text\":");
    json::write_str(out, &"a line of \"text\" with a tab\t and é ".repeat(4));
    out.extend_from_slice(
        b"},\"src\":{\"file\":\"/srv/servers/llm-inference-mcp.py\",\"line\":51}",
    );
    out.extend_from_slice(json::SEQ_PLACEHOLDER);
}

fn spool(path: &Path) -> (Spool, usize) {
    let settings = SpoolSettings::default();
    let dir = Arc::new(LogDir::open(path, 0o700).expect("a log directory"));
    let place = place::open(&dir, &SpoolPlace::BesideLogs).expect("a place for the ring");
    let ring = Ring::create(place.as_fd(), settings.bytes).expect("a ring");
    let spool = Spool::new(ring, dir, place, settings, Arc::new(Waker::default()));
    let slot = spool.enter(NAME, &log_settings()).expect("a log");
    (spool, slot)
}

fn log_settings() -> LogSettings {
    LogSettings {
        gzip: false,
        backup_count: 1,
        ..LogSettings::default()
    }
}

fn append(spool: &Spool, slot: usize, line: &mut [u8]) {
    for _ in 0..RECORDS {
        let appended = spool.append(slot, line, true, false, &mut Plain);
        assert_eq!(appended, Appended::Accepted);
    }
}

fn drain(spool: &Spool) {
    while !spool.stores.lock().drain(source(spool)).complete {}
}

/// Deletes closed segments: gigabytes of unwritten pages would make the kernel slow every write down.
fn tidy(path: &Path) {
    let mut segments: Vec<_> = std::fs::read_dir(path)
        .expect("the log directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e != "jsonl"))
        .collect();
    segments.sort();
    segments.pop();
    for closed in segments.iter().filter(|path| path.is_file()) {
        std::fs::remove_file(closed).expect("removed");
    }
}

/// The sum of what `timed` says, for as many rounds as criterion wants.
fn rounds(n: u64, mut timed: impl FnMut() -> Duration) -> Duration {
    (0..n).map(|_| timed()).sum()
}

fn took(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn records(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut line = Vec::new();
    encode(&mut line, 1);
    let mut group = c.benchmark_group(format!("1000 records of {} bytes", line.len()));
    group.throughput(Throughput::Bytes((RECORDS * line.len()) as u64));

    group.bench_function("encode", |b| {
        let mut out = Vec::with_capacity(1 << 20);
        b.iter(|| {
            out.clear();
            (0..RECORDS as i64).for_each(|n| encode(&mut out, n));
            black_box(out.len())
        });
    });
    let (spool, slot) = spool(directory.path());
    group.bench_function("append", |b| {
        b.iter_custom(|n| {
            rounds(n, || {
                let time = took(|| append(&spool, slot, &mut line));
                drain(&spool);
                tidy(directory.path());
                time
            })
        });
    });
    group.bench_function("drain", |b| {
        b.iter_custom(|n| {
            rounds(n, || {
                append(&spool, slot, &mut line);
                tidy(directory.path());
                took(|| drain(&spool))
            })
        });
    });
    group.finish();
}

/// A ring of 8 MiB, filled to the brim, whose owner is gone.
fn recovery(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut line = Vec::new();
    encode(&mut line, 1);
    c.bench_function("recover a full ring of 8 MiB", |b| {
        b.iter_custom(|n| {
            rounds(n, || {
                let logs = directory.path().join("logs");
                let (orphan, slot) = spool(&logs);
                let size = orphan.ring.region.capacity / logspool::spool::frame::size(line.len());
                for _ in 0..size {
                    orphan.append(slot, &mut line, true, false, &mut Plain);
                }
                drop(orphan); // Closes the ring and so gives up its lock, as the death of the process does.
                let mut found = None;
                let time = took(|| found = Some(recover_dir(&logs).expect("recovered")));
                assert_eq!(found.map(|r| r.records), Some(size));
                remove_dir_all(&logs).expect("removed");
                time
            })
        });
    });
}

criterion_group!(benches, records, recovery);
criterion_main!(benches);
