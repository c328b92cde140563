//! What logspool itself has to say to the people who run the program: on standard error, from a native thread, each
//! sentence once a minute at most.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::console::Console;

const QUIET: Duration = Duration::from_secs(60);
const WARNING: i32 = 30;

struct Reporter {
    console: Option<Console>,
    said: Mutex<HashMap<String, Instant>>,
}

/// Says `message` on standard error, unless it was said in the last minute. Never waits.
pub fn say(message: &str) {
    static REPORTER: OnceLock<Reporter> = OnceLock::new();
    let reporter = REPORTER.get_or_init(|| Reporter {
        console: Console::start().ok(),
        said: Mutex::new(HashMap::new()),
    });
    let now = Instant::now();
    {
        let mut said = reporter.said.lock();
        said.retain(|_, at| now.duration_since(*at) < QUIET);
        if said.contains_key(message) {
            return;
        }
        said.insert(message.to_owned(), now);
    }
    if let Some(console) = &reporter.console {
        // A report that cannot be shown is lost; the counters still have it.
        let _ = console.send(format!("logspool: {message}\n").into_bytes(), WARNING);
    }
}
