//! Wakes the writer thread. Durability does not depend on it, and a futex call costs more than a record, so that the
//! writer is only woken when it sleeps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

/// A sleep as short as this is not worth the futex call that ends it, unless there is no room left.
const SHORT: Duration = Duration::from_millis(2);

/// The sleeping end and the waking end in one. Not a channel: receiving from one with a timeout spins and yields before it
/// sleeps, which is most of what an idle writer would cost.
#[derive(Debug, Default)]
pub struct Waker {
    asleep: AtomicBool,
    /// Whether the sleep is longer than [`SHORT`].
    deep: AtomicBool,
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

    /// Wakes the sleeper from a long sleep: for what should be in segments soon. Errors that come one after the other
    /// find the writer on its short rounds, and none of them pays for a call to the kernel.
    #[inline]
    pub fn hurry(&self) {
        if self.deep.load(Ordering::Relaxed) {
            self.wake();
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
        self.deep.store(timeout > SHORT, Ordering::Relaxed);
        self.asleep.store(true, Ordering::Relaxed);
        let mut woken = self.woken.lock();
        if !*woken {
            woken = self.changed.wait_for(woken, timeout).0;
        }
        *woken = false;
        self.asleep.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A nap nobody waits for in a test that passes.
    const LONG: Duration = Duration::from_secs(90);

    fn asleep(waker: &Waker, deep: bool) -> bool {
        waker.asleep.load(Ordering::Relaxed) && waker.deep.load(Ordering::Relaxed) == deep
    }

    #[test]
    fn what_is_urgent_ends_a_long_sleep_and_leaves_a_short_one() {
        let waker = Arc::new(Waker::default());
        let sleeper = {
            let waker = Arc::clone(&waker);
            std::thread::spawn(move || waker.sleep(LONG))
        };
        while !asleep(&waker, true) {
            std::thread::yield_now();
        }
        waker.hurry();
        sleeper.join().unwrap();

        waker.deep.store(false, Ordering::Relaxed);
        waker.asleep.store(true, Ordering::Relaxed);
        waker.hurry();
        assert!(!*waker.woken.lock(), "a short sleep was ended");
        waker.wake();
        assert!(*waker.woken.lock());
    }
}
