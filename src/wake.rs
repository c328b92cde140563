//! Wakes the writer thread. Durability does not depend on it, and a futex call costs more than a record, so that the
//! writer is only woken when it sleeps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// The sleeping end and the waking end in one.
#[derive(Debug)]
pub struct Waker {
    asleep: AtomicBool,
    tx: Sender<()>,
    rx: Receiver<()>,
}

impl Default for Waker {
    fn default() -> Self {
        let (tx, rx) = bounded(1);
        Self {
            asleep: AtomicBool::new(false),
            tx,
            rx,
        }
    }
}

impl Waker {
    /// Wakes the sleeper, if it sleeps.
    #[inline]
    pub fn wake(&self) {
        if self.asleep.load(Ordering::Relaxed) {
            self.wake_now();
        }
    }

    /// Wakes the sleeper, or keeps it from its next sleep.
    #[cold]
    pub fn wake_now(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        let _ = self.tx.try_send(()); // Full: it is awake already.
    }

    /// Sleeps until woken, at most `timeout`.
    pub fn sleep(&self, timeout: Duration) {
        self.asleep.store(true, Ordering::Relaxed);
        let _ = self.rx.recv_timeout(timeout);
        self.asleep.store(false, Ordering::Relaxed);
    }
}
