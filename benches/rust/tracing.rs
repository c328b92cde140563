//! What an event of a Rust program costs: `cargo bench --bench tracing --features tracing -- [filter] [events]`.
//!
//! The peers are `tracing_subscriber`'s JSON layer with what programs use for a file: the file itself, and `tracing_appender`'s thread. The
//! floor is a registry with a layer that only looks at the fields. An event has six fields and stands in two spans with three. Each row is
//! a process of its own (this program again); rows are interleaved and what is shown is the median of the repeats. Every row's lines are
//! counted: `lost` is what the peer dropped.
#![allow(missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, fmt, registry};

const REPEATS: usize = 5;
const ROWS: [(&str, &str); 7] = [
    ("floor", "fields looked at, nothing written"),
    ("logspool", "logspool"),
    (
        "logspool-lean",
        "logspool, `context` alone of the three forms of spans",
    ),
    ("logspool-open", "logspool, `redact(None)`"),
    ("file", "fmt JSON into a File behind a Mutex"),
    (
        "appender",
        "fmt JSON, tracing_appender::non_blocking, lossy(false)",
    ),
    (
        "appender-lossy",
        "fmt JSON, tracing_appender::non_blocking as it comes",
    ),
];

/// Looks at every field, as any layer must.
struct Looks;

struct Looked(usize);

impl Visit for Looked {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        black_box(value);
        self.0 += field.name().len();
    }
}

impl<S: Subscriber> Layer<S> for Looks {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut looked = Looked(0);
        event.record(&mut looked);
        black_box(looked.0);
    }
}

/// The subscriber of a row, and what waits until everything is written.
fn subscriber(kind: &str, dir: &Path) -> (Dispatch, Box<dyn FnOnce()>) {
    let path = dir.join("peer.jsonl");
    if let Some(how) = kind.strip_prefix("logspool") {
        let settings = logspool::tracing::builder()
            .filename(dir.join("app.jsonl"))
            .max_bytes(0)
            .backup_count(0)
            .block_timeout(None);
        let settings = match how {
            "-lean" => settings.current_span(false).span_list(false),
            "-open" => settings.redact(None),
            _ => settings,
        };
        let (layer, guard) = settings.build().unwrap();
        return (
            Dispatch::new(registry().with(layer)),
            Box::new(|| drop(guard)),
        );
    }
    let json = fmt::layer().json();
    match kind {
        "floor" => (Dispatch::new(registry().with(Looks)), Box::new(|| ())),
        "file" => {
            let layer = json.with_writer(Mutex::new(File::create(path).unwrap()));
            (Dispatch::new(registry().with(layer)), Box::new(|| ()))
        }
        _ => {
            let file = tracing_appender::rolling::never(dir, "peer.jsonl");
            let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
                .lossy(kind == "appender-lossy")
                .finish(file);
            let layer = json.with_writer(writer);
            (
                Dispatch::new(registry().with(layer)),
                Box::new(|| drop(guard)),
            )
        }
    }
}

fn event(number: u64) {
    info!(
        call_index = number,
        tool = "search_documents",
        user = "u-48151623",
        ok = true,
        latency_ms = 12.75,
        status = 200,
        "tool call finished"
    );
}

fn child(kind: &str, events: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, end) = subscriber(kind, dir.path());
    let mut took = Vec::with_capacity(usize::try_from(events).unwrap());
    tracing::dispatcher::set_global_default(dispatch).unwrap();
    let _request =
        info_span!("request", request_id = "req_0123456789abcdef", user = "eva").entered();
    let _task = info_span!("task", task_id = "task-123").entered();
    for number in 0..1000 {
        event(number);
    }
    // At a pace, as in life: what a call costs is not what a full queue costs.
    for number in 0..events / 10 {
        let began = Instant::now();
        event(number);
        took.push(began.elapsed());
        while began.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
    }
    took.sort_unstable();
    let at = |share: f64| {
        // An index below the length.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let place = (took.len() as f64 * share) as usize;
        took[place].as_nanos()
    };
    let began = Instant::now();
    for number in 0..events {
        event(number);
    }
    end();
    let wall = began.elapsed();
    let written: usize = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.ends_with("app.jsonl"))
        .map(|path| std::fs::read(path).unwrap())
        .map(|bytes| bytes.split(|byte| *byte == b'\n').count() - 1)
        .sum();
    let all = 1000 + events / 10 + events;
    let lost = if kind == "floor" {
        0
    } else {
        all - written as u64
    };
    println!(
        "{} {} {} {lost}",
        at(0.5),
        at(0.999),
        wall.as_nanos() / u128::from(events)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", kind, events] = words[..] {
        return child(kind, events.parse().unwrap());
    }
    let filter = words.first().copied().unwrap_or_default();
    let events = words.get(1).map_or(200_000, |n| n.parse().unwrap());
    let rows: Vec<_> = ROWS
        .iter()
        .filter(|(kind, _)| kind.contains(filter))
        .collect();
    let mut figures = vec![Vec::new(); rows.len()];
    for _ in 0..REPEATS {
        for (row, (kind, _)) in rows.iter().enumerate() {
            let ran = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["child", kind, &events.to_string()])
                .output()
                .unwrap();
            let text = String::from_utf8(ran.stdout).unwrap();
            let parsed: Vec<u64> = text
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect();
            assert_eq!(
                parsed.len(),
                4,
                "{kind}: {}",
                String::from_utf8_lossy(&ran.stderr)
            );
            figures[row].push(parsed);
        }
    }
    println!(
        "| {events} events | p50 of a call, every 20 µs | p99.9 | an event flat out, until written | lost |"
    );
    println!("|---|---:|---:|---:|---:|");
    for ((_, title), runs) in rows.iter().zip(&figures) {
        let median = |place: usize| {
            let mut values: Vec<u64> = runs.iter().map(|run| run[place]).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        println!(
            "| {title} | {} ns | {} ns | {} ns | {} |",
            median(0),
            median(1),
            median(2),
            median(3)
        );
    }
}
