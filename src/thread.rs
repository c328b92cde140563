//! How every native thread of ours is started: named, deaf to signals, and never attached to Python.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicUsize};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// Starts a thread named `logspool-<name>` that handles no signals.
///
/// Python runs signal handlers on its main thread only after *some* thread took the signal; a signal delivered to one of ours would
/// not interrupt the main thread's `sleep` or `read`. The mask is set before the thread exists, so there is no moment at which it
/// could take one. The four signals a thread raises by its own fault stay open: blocked, the kernel would kill the process
/// without letting `faulthandler` or the spool's own handler speak.
///
/// Linux shows 15 bytes of a thread's name, `logspool-` leaves 6.
///
/// # Errors
/// The operating system refused another thread (`RLIMIT_NPROC`, a container's pids limit).
pub fn spawn_quiet<F>(name: &str, f: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    let masked = SignalsBlocked::new();
    let spawned = Builder::new().name(format!("logspool-{name}")).spawn(f);
    drop(masked);
    spawned
}

/// Numbers of the threads that ended last, or are about to; 0 is none.
static LEAVING: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// To be called by a thread of ours before it says that it is no longer there.
pub fn leaving() {
    #[cfg(target_os = "linux")]
    {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        LEAVING[NEXT.fetch_add(1, Relaxed) % LEAVING.len()].store(tid, Relaxed);
    }
}

/// Waits until the threads that said they were leaving are really gone; false when one is not at `deadline`. `CPython` asks the kernel how
/// many threads there are when it warns of a fork, and the kernel counts one for some microseconds after anybody could join it.
pub fn await_gone(deadline: Instant) -> bool {
    for place in &LEAVING {
        let tid = place.load(Relaxed);
        if tid == 0 {
            continue;
        }
        // Another thread of the program may have the number by now.
        let name = format!("/proc/self/task/{tid}/comm");
        while std::fs::read(&name).is_ok_and(|name| name.starts_with(b"logspool-")) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::yield_now();
        }
        let _ = place.compare_exchange(tid, 0, Relaxed, Relaxed);
    }
    true
}

/// Makes the calling thread the last to be scheduled among equals (10 nicer than the program is), for work that nobody waits for.
///
/// Linux keeps niceness per thread; elsewhere it belongs to the process, so nothing is done there.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let me = Some(rustix::thread::gettid());
        // A failure leaves the thread as it was, which is correct too.
        if let Ok(nice) = getpriority_process(me) {
            let _ = setpriority_process(me, (nice + 10).min(19));
        }
    }
}

/// The calling thread's signals, blocked until this is dropped.
struct SignalsBlocked {
    before: Option<libc::sigset_t>,
}

impl SignalsBlocked {
    fn new() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigfillset` initialises `all` before it is read; `sigdelset` gets valid signal numbers; on success
        // `pthread_sigmask` has initialised `before`. Nothing here outlives the call.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for own_fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                libc::sigdelset(all.as_mut_ptr(), own_fault);
            }
            let code = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            (code == 0).then(|| before.assume_init())
        };
        Self { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: `before` is the mask the kernel gave us for this thread.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
            }
        }
    }
}

/// Closes a descriptor that a forked child inherited from a thread which does not exist in the child.
pub(crate) fn close_inherited(fd: std::os::fd::RawFd) {
    // SAFETY: the only owner of `fd` is on the stack of a thread that `fork` did not copy, so nothing in this process uses the
    // number any more or will close it again.
    unsafe {
        libc::close(fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals blocked in the calling thread.
    fn blocked(signal: libc::c_int) -> bool {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: a null new set only asks for the mask, which initialises `set`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), signal) == 1
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_yields_is_never_more_urgent_than_the_program() {
        use rustix::process::{getpriority_process, setpriority_process};
        let now = getpriority_process(None).unwrap();
        for program in [now, now.max(5), now.max(15)] {
            let thread = std::thread::spawn(move || {
                let me = Some(rustix::thread::gettid());
                setpriority_process(me, program).unwrap();
                yield_to_others();
                getpriority_process(me).unwrap()
            });
            assert_eq!(thread.join().unwrap(), (program + 10).min(19));
        }
    }

    #[test]
    fn a_quiet_thread_takes_no_signal_but_its_own_faults() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let before = blocked(libc::SIGINT);
        spawn_quiet("test", move || {
            let name = std::thread::current().name().map(str::to_owned);
            let taken = [libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGCHLD].map(blocked);
            let faults = [libc::SIGSEGV, libc::SIGBUS].map(blocked);
            sender.send((name, taken, faults)).unwrap();
        })
        .unwrap()
        .join()
        .unwrap();
        let (name, taken, faults) = receiver.recv().unwrap();
        assert_eq!(name.as_deref(), Some("logspool-test"));
        assert_eq!(taken, [true; 4]);
        assert_eq!(faults, [false; 2]);
        assert_eq!(
            blocked(libc::SIGINT),
            before,
            "the caller's own mask is as it was"
        );
    }
}
