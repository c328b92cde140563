//! A mutex and a condition variable that a forked child can use: the standard library's, without poisoning.
//!
//! Their state is a word in the lock itself. Locks that keep their waiters in a table of the process, as `parking_lot`'s
//! do, may be forked while another thread holds a part of that table, which then stays locked in the child for ever. The
//! moments are rare and short, and a child that hangs in one of them is not worth what such locks are faster.
//!
//! Poisoning is left out because no state of ours is left half changed by a panic: what is staged is in the ring too,
//! and counters are stored last.

use std::sync::{self, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub use std::sync::MutexGuard;

/// A mutex.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Takes it, waiting for it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(feature = "failpoints")]
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            if !crate::failpoint::turns::blocked() {
                break;
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition nobody waits for.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Waits until notified, at most `timeout`; may end early. True when time ran out.
    pub fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, outcome) = self
            .0
            .wait_timeout(guard, timeout)
            .unwrap_or_else(PoisonError::into_inner);
        (guard, outcome.timed_out())
    }

    /// The same, until `deadline`.
    pub fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, bool) {
        self.wait_for(guard, deadline.saturating_duration_since(Instant::now()))
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Contends for a fresh mutex and a fresh condition, as a child's first records and its writer do.
    fn contend() {
        let shared = Arc::new((Mutex::new(0_u64), Condvar::new()));
        let other = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for _ in 0..20 {
                *other.0.lock() += 1;
                other.1.notify_all();
                std::thread::yield_now();
            }
        });
        let mut guard = shared.0.lock();
        while *guard < 20 {
            guard = shared.1.wait_for(guard, Duration::from_millis(1)).0;
        }
        drop(guard);
        thread.join().unwrap();
    }

    #[test]
    fn a_child_forked_under_contention_can_lock_and_wait() {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new((Mutex::new(()), Condvar::new()));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (stop, shared) = (Arc::clone(&stop), Arc::clone(&shared));
                std::thread::spawn(move || {
                    while !stop.load(Relaxed) {
                        let guard = shared.0.lock();
                        shared.1.notify_one();
                        drop(shared.1.wait_for(guard, Duration::from_micros(50)));
                    }
                })
            })
            .collect();
        for round in 0..300 {
            // SAFETY: the child uses only what this module promises to a child, then `_exit`; a hang ends by SIGALRM.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: as above.
                unsafe { libc::alarm(10) };
                contend();
                // SAFETY: as above.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: waits for the child made above.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0, "the child of round {round} hung");
        }
        stop.store(true, Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
