//! Wakes the writer thread. Durability does not depend on it, and a futex call costs more than a record, so that the
//! writer is only woken when it sleeps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The sleeping end and the waking end in one. Not a channel: receiving from one with a timeout spins and yields before it
/// sleeps, which is most of what an idle writer would cost.
#[derive(Debug, Default)]
pub struct Waker {
    asleep: AtomicBool,
    woken: Mutex<bool>,
    changed: Condvar,
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
        *self.woken.lock() = true;
        self.changed.notify_one();
    }

    /// Sleeps until woken, at most `timeout`.
    pub fn sleep(&self, timeout: Duration) {
        self.asleep.store(true, Ordering::Relaxed);
        let mut woken = self.woken.lock();
        if !*woken {
            self.changed.wait_for(&mut woken, timeout);
        }
        *woken = false;
        self.asleep.store(false, Ordering::Relaxed);
    }
}
