//! What logspool itself has to say to the people who run the program: on standard error, from a native thread, each
//! sentence once a minute at most.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use crate::console::Console;
use crate::failpoint;
use crate::fork;
use crate::sync::Mutex;

const QUIET: Duration = Duration::from_mins(1);
const WARNING: i32 = 30;

struct Reporter {
    forks: u64,
    console: Option<Console>,
    said: Mutex<HashMap<String, Instant>>,
}

static REPORTER: AtomicPtr<Reporter> = AtomicPtr::new(std::ptr::null_mut());

/// The reporter of this process, if it has said anything.
fn standing() -> Option<&'static Reporter> {
    // SAFETY: reporters are leaked, never freed.
    unsafe { REPORTER.load(Ordering::Acquire).as_ref() }.filter(|r| r.forks == fork::forks())
}

/// The reporter of this process: a forked child leaks its parent's, whose thread it does not have.
fn reporter() -> &'static Reporter {
    let before = REPORTER.load(Ordering::Acquire);
    if let Some(reporter) = standing() {
        return reporter;
    }
    let fresh = Box::leak(Box::new(Reporter {
        forks: fork::forks(),
        console: Console::start().ok(),
        said: Mutex::new(HashMap::new()),
    }));
    match REPORTER.compare_exchange(before, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // The inherited descriptor would keep a pipe open that others wait on.
            // SAFETY: never freed.
            let inherited = unsafe { before.as_ref() };
            if let Some(old) = inherited.and_then(|r| r.console.as_ref()) {
                old.abandon();
            }
            fresh
        }
        Err(_) => reporter(),
    }
}

/// Says `message` on standard error, unless it was said in the last minute. Never waits.
pub fn say(message: &str) {
    if failpoint::switched("quiet") {
        return;
    }
    let reporter = reporter();
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

/// Stops the reporter's thread for a fork, waiting at most `timeout`; it starts again with the next report. False when it
/// is still there.
pub fn pause(timeout: Duration) -> bool {
    let console = standing().and_then(|reporter| reporter.console.as_ref());
    console.is_none_or(|console| console.pause(timeout))
}

/// Waits until what was said has been shown, at most `timeout`, then ends the thread.
pub fn drain(timeout: Duration) {
    if let Some(console) = standing().and_then(|reporter| reporter.console.as_ref()) {
        let _ = console.drain(timeout) && console.pause(timeout);
    }
}
