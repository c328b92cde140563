//! What a record costs below Python: JSON text, an append to the spool, a drain into segments, compression. Each beside a floor
//! taken in the same run: a copy of the same bytes, or one plain `write` of them.
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use logspool::config::{LogSettings, SpoolSettings};
use logspool::engine::{Log, engine};
use logspool::json;
use logspool::segment::compress;
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

/// A segment as programs make them: mostly calls, some costs, a few tracebacks, every number different.
fn segment(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 2048);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: u32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 33).unwrap_or(0) % below
    };
    let mut n = 0;
    while text.len() < bytes {
        n += 1;
        let micros = n * 137 + u64::from(random(100));
        let _ = write!(
            text,
            r#"{{"ts":"2026-11-21T01:{:02}:{:02}.{:06}Z","level":"INFO","logger":"app.tools","event":""#,
            micros / 60_000_000 % 60,
            micros / 1_000_000 % 60,
            micros % 1_000_000
        );
        let tool = [
            "search_documents",
            "read_file",
            "run_query",
            "fetch_page",
            "summarise",
        ][random(5) as usize];
        let (prompt, completion, id) = (random(4000), random(900), random(1 << 31));
        match random(20) {
            0 => {
                let _ = write!(
                    text,
                    r#"tool_failed","request_id":"req_{id:08x}","tool":"{tool}","exception":{{"type":"ValueError","message":"row {prompt} is not a number","stacktrace":"Traceback (most recent call last):\n"#
                );
                for depth in 0..6 + random(6) {
                    let _ = write!(
                        text,
                        r#"  File \"/srv/app/tools/{tool}.py\", line {}, in step_{depth}\n    return call(rows[{}])\n"#,
                        random(900),
                        random(50)
                    );
                }
                text.push_str("ValueError\"}");
            }
            1..=6 => {
                let _ = write!(
                    text,
                    r#"openrouter_cost","request_id":"req_{id:08x}","fields":{{"provider":"openrouter","model":"vendor/some-model-large","tokens":{{"prompt":{prompt},"completion":{completion},"total":{}}},"cost":{{"total":0.00{id}}},"latency_ms":{}.{:02}}}"#,
                    prompt + completion,
                    random(3000),
                    random(100)
                );
            }
            _ => {
                let _ = write!(
                    text,
                    r#"tool_call","request_id":"req_{id:08x}","tool":"{tool}","fields":{{"call_index":{n},"user":"u-{}","attempt":1,"ok":true,"cache_hit":{},"latency_ms":{}.{:02},"tokens":{{"prompt":{prompt},"completion":{completion}}},"http":{{"method":"POST","status":200,"host":"api.example.com"}}}}"#,
                    random(100_000_000),
                    random(2) == 0,
                    random(200),
                    random(100)
                );
            }
        }
        let _ = writeln!(text, r#","seq":"k3mfw2qa-{n:010x}"}}"#);
    }
    text
}

/// What the calling thread has had of a processor: the device's part of compression is nobody's CPU.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Compression of a closed segment as the compressor does it, by level: read, packed, forced to the device, read back and compared.
fn gzip(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let fd = File::open(dir.path()).unwrap();
    let text = segment(4 << 20);
    let kept = dir.path().join("kept");
    std::fs::write(&kept, &text).unwrap();
    let mut group = c.benchmark_group("gzip");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(text.len() as u64));
    for level in 1..=6 {
        let mut packed = 0;
        group.bench_function(format!("level {level}"), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    std::fs::hard_link(&kept, dir.path().join("a.jsonl.000001")).unwrap();
                    let options = compress::Options {
                        file_mode: 0o600,
                        level,
                        checkpoint: &|| false,
                        on_step: None,
                    };
                    let before = thread_cpu();
                    let done =
                        compress::compress(fd.as_fd(), fd.as_fd(), "a.jsonl", 1, &options).unwrap();
                    spent += thread_cpu().saturating_sub(before);
                    let compress::Outcome::Compressed { bytes_out, .. } = done else {
                        panic!("{done:?}");
                    };
                    packed = bytes_out;
                    std::fs::remove_file(dir.path().join("a.jsonl.000001.gz")).unwrap();
                }
                spent
            });
        });
        if packed > 0 {
            #[allow(clippy::cast_precision_loss)]
            let share = packed as f64 / text.len() as f64 * 100.0;
            let line = text.len() / text.lines().count();
            println!("level {level}: {share:.1} % of the text; {line} bytes a line");
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = encode, append_one, drain, gzip
}
criterion_main!(benches);
