//! The mirror to standard error. A native thread writes it, so that a terminal that is stopped, or a pipe that nobody reads, stalls nobody.
//!
//! Callers hand over a finished line and go on; where the queue is full the line is dropped and counted. The thread has its own
//! duplicate of descriptor 2 and never sets `O_NONBLOCK` on it, because that flag belongs to everyone who shares the terminal.
//! It asks `poll` and writes at most `PIPE_BUF` bytes at a time, which a pipe that polls writable takes whole. A line that cannot
//! be written within a bounded time is dropped and counted, and the reader is told how many are missing as soon as it
//! reads again. The thread is never joined at exit. This is a mirror: the records themselves are in the log.

pub mod sanitise;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use crate::sync::{Condvar, Mutex};
use crate::thread::{leaving, spawn_quiet};

/// Lines that wait for the thread.
const QUEUE: usize = 1024;

/// Of these, places that only lines of level ERROR (40) and above may take.
const RESERVED: usize = QUEUE / 8;

/// Bytes of one write: `PIPE_BUF` on Linux. The smallest a system may have is 512, which macOS has.
const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// How long a line waits for a reader that was reading until now.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a line waits once the one before it waited in vain.
const PATIENCE_STALLED: Duration = Duration::from_millis(5);

/// The longest the thread waits for the descriptor before it looks whether it is asked to stop.
const POLL: Duration = Duration::from_millis(20);

/// Lines mirrored and lines not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsoleStats {
    /// Lines written whole.
    pub written: u64,
    /// Lines dropped, or cut off in the middle: queue full, nobody reading, or the descriptor gone.
    pub dropped: u64,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when everything sent before it has been written or dropped.
    Drain(Sender<()>),
    /// Only to wake the thread, which then looks at `stop`.
    Wake,
}

/// A mirror. Dropping it asks the thread to end and does not wait for it; [`drain`](Console::drain) first.
pub struct Console {
    sender: Sender<Message>,
    shared: Arc<Shared>,
}

struct Shared {
    receiver: Receiver<Message>,
    fd: Duplicate,
    written: AtomicU64,
    dropped: AtomicU64,
    stop: AtomicBool,
    /// Whether a thread is there.
    running: Mutex<bool>,
    stopped: Condvar,
}

impl Console {
    /// A mirror to what descriptor 2 is at this moment. The thread starts with the first line.
    ///
    /// # Errors
    /// Standard error is closed.
    pub fn start() -> io::Result<Self> {
        Self::on(rustix::stdio::stderr())
    }

    /// A mirror to another descriptor, of which it takes a duplicate (closed on exec, never one of 0, 1, 2).
    ///
    /// # Errors
    /// The descriptor is closed, or there are no more to be had.
    pub fn on(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = Duplicate::of(fd)?;
        let (sender, receiver) = bounded(QUEUE);
        let shared = Shared {
            receiver,
            fd,
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            stop: AtomicBool::new(true),
            running: Mutex::new(false),
            stopped: Condvar::new(),
        };
        Ok(Self {
            sender,
            shared: Arc::new(shared),
        })
    }

    /// Mirrors one line: its text, possibly of several lines, with or without the last newline. `level` is the record's number. Never waits;
    /// false when it was dropped (and counted) instead.
    #[must_use = "false means that the line was dropped"]
    pub fn send(&self, line: Vec<u8>, level: i32) -> bool {
        let full = level < 40 && self.sender.len() >= QUEUE - RESERVED;
        if !full && self.run() && self.sender.try_send(Message::Line(line)).is_ok() {
            return true;
        }
        self.shared.dropped.fetch_add(1, Relaxed);
        false
    }

    /// Waits until all that was sent before is written or dropped, at most `timeout`; false if that was not enough.
    #[must_use = "false means that lines are still waiting"]
    pub fn drain(&self, timeout: Duration) -> bool {
        if self.sender.is_empty() && !*self.shared.running.lock() {
            return true; // Nothing is waiting, and no thread is begun for that.
        }
        let deadline = Instant::now() + timeout;
        let (answer, answered) = bounded(1);
        self.run()
            && self
                .sender
                .send_deadline(Message::Drain(answer), deadline)
                .is_ok()
            && answered.recv_deadline(deadline).is_ok()
    }

    /// Asks the thread to end after the piece it is writing, before a fork, and waits for that at most `timeout`; false if it is still
    /// there. Lines that wait stay; the next [`send`](Self::send) or [`drain`](Self::drain) starts a thread again.
    #[must_use = "false means that the thread is still there"]
    pub fn pause(&self, timeout: Duration) -> bool {
        let mut running = self.shared.running.lock();
        self.shared.stop.store(true, SeqCst);
        let _ = self.sender.try_send(Message::Wake);
        let deadline = Instant::now() + timeout;
        while *running {
            let timed_out;
            (running, timed_out) = self.shared.stopped.wait_until(running, deadline);
            if timed_out {
                return !*running;
            }
        }
        true
    }

    /// What was written and what not.
    #[must_use]
    pub fn stats(&self) -> ConsoleStats {
        ConsoleStats {
            written: self.shared.written.load(Relaxed),
            dropped: self.shared.dropped.load(Relaxed),
        }
    }

    /// In a forked child: closes the inherited descriptor and leaves everything else alone. The locks and the queue are copies of what
    /// other threads may have been using at the fork: this value must be leaked, neither used again nor dropped.
    pub fn abandon(&self) {
        if self.shared.fd.still_ours() {
            crate::thread::close_inherited(self.shared.fd.as_fd().as_raw_fd());
        }
    }

    /// Sees to it that a thread is there; false if there can be none.
    fn run(&self) -> bool {
        if !self.shared.stop.load(SeqCst) {
            return true;
        }
        let mut running = self.shared.running.lock();
        self.shared.stop.store(false, SeqCst);
        if !*running {
            let shared = Arc::clone(&self.shared);
            *running = spawn_quiet("stderr", move || shared.work()).is_ok();
            if !*running {
                self.shared.stop.store(true, SeqCst);
            }
        }
        *running
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // The receiver is in `Shared`, which the thread keeps alive: it has to be told.
        self.shared.stop.store(true, SeqCst);
        let _ = self.sender.try_send(Message::Wake);
    }
}

impl Shared {
    fn work(&self) {
        let mut reader = Reader::default();
        loop {
            while !self.stop.load(SeqCst) {
                let Ok(message) = self.receiver.recv() else {
                    break;
                };
                match message {
                    Message::Line(text) => self.mirror(&text, &mut reader),
                    Message::Drain(answer) => drop(answer.try_send(())),
                    Message::Wake => {}
                }
            }
            let mut running = self.running.lock();
            if self.stop.load(SeqCst) {
                leaving();
                *running = false;
                self.stopped.notify_all();
                return;
            }
        }
    }

    fn mirror(&self, text: &[u8], reader: &mut Reader) {
        let dropped = self.dropped.load(Relaxed);
        let mut line = Vec::with_capacity(text.len() + 80);
        if reader.cut {
            line.push(b'\n');
        }
        if dropped > reader.told {
            let missing = dropped - reader.told;
            line.extend_from_slice(
                format!("[logspool: lines not shown here: {missing}; the log has them]\n")
                    .as_bytes(),
            );
        }
        let notice = line.len();
        sanitise::record(text, &mut line);
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let patience = if reader.stalled {
            PATIENCE_STALLED
        } else {
            PATIENCE
        };
        let left = self.write(&line, patience);
        if left == 0 {
            self.written.fetch_add(1, Relaxed);
            *reader = Reader {
                told: dropped,
                ..Reader::default()
            };
        } else {
            if line.len() - left >= notice {
                reader.told = dropped;
            }
            self.dropped.fetch_add(1, Relaxed);
            reader.stalled = true;
            reader.cut |= left < line.len();
        }
    }

    /// Writes a line in pieces, waiting at most `patience` for each. Gives the bytes that could not be written.
    fn write(&self, mut line: &[u8], patience: Duration) -> usize {
        while !line.is_empty() {
            let piece = &line[..sanitise::boundary(line, PIECE)];
            if !self.wait_writable(patience) {
                break;
            }
            match rustix::io::write(&self.fd, piece) {
                // Some other holder of the terminal may have set O_NONBLOCK: ask `poll` once more.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Ok(0) | Err(_) => break,
                Ok(written) => line = &line[written..],
            }
        }
        line.len()
    }

    fn wait_writable(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            // A program may close all descriptors it does not know (daemons do), and its next file gets our number.
            if !self.fd.still_ours() {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left.min(POLL)).unwrap_or_default();
            let mut asked = [PollFd::new(&self.fd, PollFlags::OUT)];
            match poll(&mut asked, Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    let gone = PollFlags::ERR | PollFlags::NVAL;
                    return !asked[0].revents().intersects(gone);
                }
                Err(_) => return false,
            }
            if left.is_zero() || self.stop.load(SeqCst) {
                return false;
            }
        }
    }
}

/// What the thread knows of whoever reads.
#[derive(Default)]
struct Reader {
    /// The line before was given up.
    stalled: bool,
    /// A line stands there without its end.
    cut: bool,
    /// Dropped lines that were announced.
    told: u64,
}

/// Our duplicate of standard error, and what it was when it was made.
struct Duplicate {
    fd: Option<OwnedFd>,
    made: Stat,
}

impl Duplicate {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 3)?;
        let made = fstat(&fd)?;
        Ok(Self { fd: Some(fd), made })
    }

    fn still_ours(&self) -> bool {
        fstat(self).is_ok_and(|now| {
            (now.st_dev, now.st_ino, now.st_rdev)
                == (self.made.st_dev, self.made.st_ino, self.made.st_rdev)
        })
    }
}

impl AsFd for Duplicate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Some(fd) => fd.as_fd(),
            None => unreachable!("the descriptor is taken only by drop"),
        }
    }
}

impl Drop for Duplicate {
    fn drop(&mut self) {
        if !self.still_ours() {
            // The number may be someone else's file by now.
            let _ = self.fd.take().map(IntoRawFd::into_raw_fd);
        }
    }
}
