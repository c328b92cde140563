//! The layer for `tracing_subscriber`, with the real macros, real files and real processes. # req 22
#![allow(missing_docs)]

mod process;
mod record;
mod settings;
mod span;

use std::path::Path;
use std::time::Duration;

use logspool::tracing::{Builder, Guard, SpoolLayer, builder, flush};
use serde_json::Value;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

/// A log of its own for a test.
struct Logged {
    dir: tempfile::TempDir,
    dispatch: Dispatch,
    /// Goes last.
    _guard: Guard,
}

impl Logged {
    fn new(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (layer, guard) = layer_in(dir.path(), settings);
        Self {
            dir,
            dispatch: Dispatch::new(registry().with(layer)),
            _guard: guard,
        }
    }

    /// Runs with this log alone, and returns what it left.
    fn run(&self, run: impl FnOnce()) -> Vec<Value> {
        tracing::dispatcher::with_default(&self.dispatch, run);
        records(self.dir.path())
    }
}

fn layer_in(dir: &Path, settings: impl FnOnce(Builder) -> Builder) -> (SpoolLayer, Guard) {
    let plain = builder()
        .filename(dir.join("app.jsonl"))
        .spool_bytes(256 << 10)
        .backup_count(0)
        .gzip(false)
        .block_timeout(None);
    settings(plain).build().unwrap()
}

/// The records of one event or more.
fn logged(run: impl FnOnce()) -> Vec<Value> {
    Logged::new(|settings| settings).run(run)
}

/// Everything that was written, in order.
fn records(dir: &Path) -> Vec<Value> {
    lines(dir)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

fn lines(dir: &Path) -> Vec<String> {
    assert!(flush(Some(Duration::from_secs(30))));
    written(dir)
}

fn written(dir: &Path) -> Vec<String> {
    let mut segments: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("app.jsonl.0"))
        .collect();
    segments.sort();
    segments
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(
                text.is_empty() || text.ends_with('\n'),
                "{} is torn",
                path.display()
            );
            text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
