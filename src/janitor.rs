//! Compression and retention, on a thread of their own that exists only while there is something to do.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::LogSettings;
use crate::failpoint;
use crate::report;
use crate::segment::dir::LogDir;
use crate::segment::{compress, retain};
use crate::sync::{Condvar, Mutex};
use crate::thread::{leaving, spawn_quiet, yield_to_others};

/// A log whose closed segments want looking after.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its directory.
    pub dir: Arc<LogDir>,
    /// Its file name.
    pub name: String,
    /// The segment being written.
    pub current: u64,
    /// What it keeps to.
    pub settings: LogSettings,
}

/// What has been done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Segments compressed.
    pub compressed: AtomicU64,
    /// Bytes read for that.
    pub bytes_in: AtomicU64,
    /// Bytes written for that.
    pub bytes_out: AtomicU64,
    /// Segments deleted.
    pub deleted: AtomicU64,
    /// Failures, each tried again at the next rotation.
    pub errors: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: bool,
}

/// The queue and its thread.
#[derive(Debug, Default)]
pub struct Janitor {
    queue: Mutex<Queue>,
    idle: Condvar,
    stopping: AtomicBool,
    /// Counters.
    pub counters: Counters,
}

impl Janitor {
    /// Asks for a pass over a log; a pass asked for and not begun is replaced.
    pub fn request(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue.lock();
        queue
            .jobs
            .retain(|j| j.name != job.name || j.dir.id() != job.dir.id());
        queue.jobs.push_back(job);
        self.start(&mut queue);
    }

    fn start(self: &Arc<Self>, queue: &mut Queue) {
        if queue.running || queue.jobs.is_empty() || self.stopping.load(Relaxed) {
            return;
        }
        let this = Arc::clone(self);
        match spawn_quiet("gzip", move || this.run()) {
            Ok(_) => queue.running = true,
            Err(e) => report::say(&format!(
                "cannot start the compression thread: {e}; closed segments stay plain until the next rotation"
            )),
        }
    }

    fn run(&self) {
        yield_to_others();
        loop {
            let job = {
                let mut queue = self.queue.lock();
                let next = (!self.stopping.load(Relaxed))
                    .then(|| queue.jobs.pop_front())
                    .flatten();
                let Some(job) = next else {
                    leaving();
                    queue.running = false;
                    self.idle.notify_all();
                    return;
                };
                job
            };
            // A panic would leave the queue marked as being worked on for ever.
            match catch_unwind(AssertUnwindSafe(|| self.work(&job))) {
                Ok(false) => {}
                Ok(true) => self.queue.lock().jobs.push_front(job),
                Err(_) => {
                    self.counters.errors.fetch_add(1, Relaxed);
                    report::say("the compression thread failed; this is a defect of logspool");
                }
            }
        }
    }

    /// One pass; true when it was stopped and has to go on later.
    fn work(&self, job: &Job) -> bool {
        let passing = |step| {
            match step {
                compress::Step::TempWritten => failpoint::point("gz-written"),
                compress::Step::Renamed => failpoint::point("gz-renamed"),
                _ => {}
            }
            Ok(())
        };
        let options = retain::Options {
            backup_count: job.settings.backup_count,
            gzip: job.settings.gzip,
            file_mode: job.settings.file_mode,
            level: compress::DEFAULT_LEVEL,
            keep_from: None,
            checkpoint: &|| self.stopping.load(Relaxed),
            on_step: Some(&passing),
        };
        let shown = job.dir.path().join(&job.name);
        match retain::maintain(
            job.dir.fd(),
            job.dir.own(),
            &job.name,
            job.current,
            &options,
        ) {
            Ok(done) => {
                let c = &self.counters;
                c.compressed.fetch_add(done.compressed, Relaxed);
                c.bytes_in.fetch_add(done.bytes_in, Relaxed);
                c.bytes_out.fetch_add(done.bytes_out, Relaxed);
                c.deleted.fetch_add(done.deleted, Relaxed);
                c.errors.fetch_add(done.errors, Relaxed);
                if let Some(e) = done.last_error {
                    report::say(&format!(
                        "cannot compress or retire a segment of {}: {e}; it stays plain and is tried again at the next rotation",
                        shown.display()
                    ));
                }
                done.stopped
            }
            Err(e) => {
                self.counters.errors.fetch_add(1, Relaxed);
                report::say(&format!(
                    "cannot look after the closed segments of {}: {e}",
                    shown.display()
                ));
                false
            }
        }
    }

    /// Asks the thread to stop at the next checkpoint.
    pub fn ask_to_stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Stops at the next checkpoint, waiting for it until `deadline`; false when the thread is still there.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.stopping.store(true, Relaxed);
        self.wait(deadline, |queue| !queue.running)
    }

    /// Takes [`Self::stop`] back, without starting a thread.
    pub fn allow(&self) {
        self.stopping.store(false, Relaxed);
    }

    /// Goes on with what was left.
    pub fn resume(self: &Arc<Self>) {
        self.start(&mut self.queue.lock());
    }

    /// Waits until there is nothing left to do; false when `timeout` passed first.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.wait(Instant::now() + timeout, |queue| {
            !queue.running && (queue.jobs.is_empty() || self.stopping.load(Relaxed))
        })
    }

    fn wait(&self, deadline: Instant, done: impl Fn(&Queue) -> bool) -> bool {
        let mut queue = self.queue.lock();
        while !done(&queue) {
            let timed_out;
            (queue, timed_out) = self.idle.wait_until(queue, deadline);
            if timed_out {
                return done(&queue);
            }
        }
        true
    }
}
