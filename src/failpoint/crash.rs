//! Kills in the middle of the real code, without a process: a step unwinds the operation it stands in.
//!
//! What a kill leaves is what lies in files and mappings, and free locks. A test arms a thread, runs an operation, catches
//! [`Crash`] and drops what belonged to the process: that closes its descriptors, which frees its locks. Whatever else runs
//! while it is dropped sees [`died`] and does nothing.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What unwinds instead of a kill.
#[derive(Clone, Copy, Debug)]
pub struct Crash;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static PASSED: Cell<u64> = const { Cell::new(0) };
    static AT: Cell<u64> = const { Cell::new(u64::MAX) };
    static DEAD: Cell<bool> = const { Cell::new(false) };
    static FULL_AFTER: Cell<u64> = const { Cell::new(u64::MAX) };
    static SWITCHES: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Turns mutations on in this thread, instead of those that were.
pub fn switch(names: &[&'static str]) {
    SWITCHES.with_borrow_mut(|s| *s = names.to_vec());
}

pub(super) fn switched(name: &str) -> bool {
    SWITCHES.with_borrow(|s| s.contains(&name))
}

/// Counts steps from here on in this thread and crashes before number `at`, from 0 on; never with `u64::MAX`.
pub fn arm(at: u64) {
    PASSED.set(0);
    AT.set(at);
    ARMED.set(true);
}

/// Counts no more; gives the number of steps passed.
pub fn disarm() -> u64 {
    ARMED.set(false);
    PASSED.get()
}

/// Lets the write number `n` from now on meet a full disk in its middle.
pub fn fill_disk_at_write(n: u64) {
    FULL_AFTER.set(n);
}

/// Runs `operation`; `Err` when it crashed, whereafter the process is dead until [`bury`].
///
/// # Errors
/// [`Crash`], at the step that was armed.
pub fn survive<T>(operation: impl FnOnce() -> T) -> Result<T, Crash> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(value) => Ok(value),
        Err(payload) if payload.is::<Crash>() => Err(Crash),
        Err(payload) => resume_unwind(payload),
    }
}

/// Unwinds on where `panic` stands for a kill, which nobody survives.
pub fn pass_on(panic: Box<dyn std::any::Any + Send>) {
    if panic.is::<Crash>() {
        resume_unwind(panic);
    }
}

/// Drops what belonged to the dead process; steps count again for others.
pub fn bury<T>(process: T) {
    DEAD.set(true);
    drop(process);
    DEAD.set(false);
}

/// Whether this thread acts for a process that was killed.
#[must_use]
pub fn died() -> bool {
    DEAD.get()
}

fn is_next() -> bool {
    if !ARMED.get() || DEAD.get() {
        return false;
    }
    let passed = PASSED.get();
    if passed == AT.get() {
        return true;
    }
    PASSED.set(passed + 1);
    false
}

pub(super) fn crash() -> ! {
    DEAD.set(true);
    ARMED.set(false);
    resume_unwind(Box::new(Crash));
}

/// Stands before a change of what a kill leaves behind.
#[inline]
pub fn step() {
    super::turn();
    if is_next() {
        crash();
    }
}

/// Stands before a change of `len` bytes that a kill may leave half done: the steps are before it, after the first byte,
/// in the middle and before the last byte.
pub fn parts(len: usize, partly: impl FnOnce(usize)) {
    super::turn();
    let mut prefixes = [0, 1, len / 2, len.saturating_sub(1)];
    prefixes.sort_unstable();
    let mut last = None;
    for prefix in prefixes {
        if prefix < len.max(1) && last.replace(prefix) != Some(prefix) && is_next() {
            if prefix > 0 {
                partly(prefix);
            }
            crash();
        }
    }
}

/// How much of a write of `len` bytes the disk takes; all of it, unless it was filled.
#[must_use]
pub fn room_on_disk(len: usize) -> Option<usize> {
    match FULL_AFTER.get() {
        u64::MAX => None,
        0 => {
            FULL_AFTER.set(u64::MAX);
            Some(len / 2)
        }
        n => {
            FULL_AFTER.set(n - 1);
            None
        }
    }
}

/// An atomic in mapped memory whose stores are steps.
#[derive(Debug)]
pub struct Watched<'a, T>(pub(crate) &'a T);

macro_rules! watched {
    ($atomic:ty, $int:ty) => {
        #[allow(missing_docs)]
        impl Watched<'_, $atomic> {
            #[inline]
            pub fn load(&self, order: Ordering) -> $int {
                super::turn();
                self.0.load(order)
            }

            #[inline]
            pub fn store(&self, value: $int, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            #[inline]
            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                step();
                self.0.fetch_add(value, order)
            }
        }
    };
}

watched!(AtomicU64, u64);
watched!(AtomicU32, u32);
