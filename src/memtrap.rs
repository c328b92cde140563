//! Keeps a mapped file that fails under us from ending the program.
//!
//! A load or store to a mapping is answered with SIGBUS when its page cannot be had: the device fails, somebody truncated
//! the file, a file system did not keep what it reserved, a tmpfs ran into its memory limit. The handler puts an empty page
//! of memory in the place of the one that failed, notes that the mapping is broken and returns, so that the program goes
//! on; pages that are sound keep what they hold. Whoever consumes the mapping looks at the note, and gives it up.
//!
//! A SIGBUS elsewhere goes to the handler that stood before ours, or ends the process as it would have. A handler installed
//! later (`faulthandler.enable()` after the first log was opened) takes the place of ours.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Mappings beyond this many are not protected.
const MAX: usize = 1024;

struct Range {
    /// Address; 0 is a free place, 1 one that is being filled.
    base: AtomicUsize,
    len: AtomicUsize,
    /// Pages that failed.
    faults: AtomicUsize,
}

static RANGES: [Range; MAX] = [const {
    Range {
        base: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        faults: AtomicUsize::new(0),
    }
}; MAX];
static INSTALL: Once = Once::new();
/// What stood before ours; leaked, so that the handler may read it at any time.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());
static PAGE: AtomicUsize = AtomicUsize::new(4096);
/// One thread at a time replaces pages: a page that another thread has replaced and written to is left alone.
static REPLACING: AtomicBool = AtomicBool::new(false);

/// In a forked child, whose only thread replaces nothing just now: the lock may be that of a thread it does not have.
pub fn after_fork() {
    REPLACING.store(false, Ordering::Release);
}

/// The protection of one mapping, taken back when dropped (before it is unmapped).
#[derive(Debug)]
pub struct Trap {
    place: Option<usize>,
}

impl Trap {
    /// Protects the `len` bytes mapped at `base`.
    #[must_use]
    pub fn new(base: usize, len: usize) -> Self {
        INSTALL.call_once(install);
        for (place, range) in RANGES.iter().enumerate() {
            let free = range
                .base
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                range.faults.store(0, Ordering::Relaxed);
                range.len.store(len, Ordering::Relaxed);
                range.base.store(base, Ordering::Release);
                return Self { place: Some(place) };
            }
        }
        Self { place: None }
    }

    /// Whether a page of it failed: what that page held is lost.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.faults() > 0
    }

    /// How many of its pages failed.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.place
            .map_or(0, |place| RANGES[place].faults.load(Ordering::Acquire))
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            RANGES[place].base.store(0, Ordering::Release);
        }
    }
}

fn install() {
    // SAFETY: asks for a constant.
    if let Ok(page) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) {
        PAGE.store(page, Ordering::Relaxed);
    }
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: reads the standing action into memory of its type.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: filled in by the call above.
    let before = Box::leak(Box::new(unsafe { before.assume_init() }));
    BEFORE.store(before, Ordering::Release);
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // SAFETY: a zeroed action is valid, and its fields are set below; the handler has the signature SA_SIGINFO asks for and
    // does only what is safe in a signal handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel hands over a valid record; the address means something only where a fault made the signal, whose
    // codes are positive.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    if code > 0 && replace_page(address) {
        return;
    }
    pass_on(signal, code, info, context);
}

/// Puts an empty page where one of ours failed; false when the address is none of ours or there is no memory.
fn replace_page(address: usize) -> bool {
    let Some(range) = RANGES.iter().find(|range| {
        let base = range.base.load(Ordering::Acquire);
        base > 1 && address >= base && address - base < range.len.load(Ordering::Relaxed)
    }) else {
        return false;
    };
    while REPLACING.swap(true, Ordering::Acquire) {
        // SAFETY: lets another thread run, perhaps the one that is waited for.
        unsafe { libc::sched_yield() };
    }
    let size = PAGE.load(Ordering::Relaxed);
    let page = (address & !(size - 1)) as *mut libc::c_void;
    // The call that was interrupted may be about to look at its error number.
    // SAFETY: the address of this thread's own error number, which lives as long as the thread.
    let (errno, saved) = unsafe {
        let errno = errno();
        (errno, *errno)
    };
    // SAFETY: the page lies in a mapping of ours that cannot be used otherwise; it is replaced by memory of the same size
    // and protection. A page another thread has replaced meanwhile can be written, and is left alone.
    let done = unsafe {
        is_writable(page, size)
            || libc::mmap(
                page,
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            ) == page
    };
    range.faults.fetch_add(1, Ordering::Release);
    REPLACING.store(false, Ordering::Release);
    // SAFETY: as above.
    unsafe { *errno = saved };
    done
}

/// The handler that stood before ours decides; where there was none the process ends as it would have.
fn pass_on(
    signal: libc::c_int,
    code: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: null or leaked.
    let before = unsafe { BEFORE.load(Ordering::Acquire).as_ref() };
    let standing = before.map_or(libc::SIG_DFL, |b| b.sa_sigaction);
    if standing == libc::SIG_IGN && code <= 0 {
        return;
    }
    if standing == libc::SIG_DFL || standing == libc::SIG_IGN {
        // SAFETY: back to the default; a fault happens again on return, what was sent is sent again, and either ends the
        // process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            if code <= 0 {
                libc::raise(signal);
            }
        }
        return;
    }
    let takes_info = before.is_some_and(|b| b.sa_flags & libc::SA_SIGINFO != 0);
    // SAFETY: a handler that was installed for this signal, called with what it was installed for.
    unsafe {
        if takes_info {
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(standing);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(libc::c_int) = std::mem::transmute(standing);
            handler(signal);
        }
    }
}

/// Whether the page can be had after all.
#[cfg(target_os = "linux")]
unsafe fn is_writable(page: *mut libc::c_void, size: usize) -> bool {
    // SAFETY: asks the kernel to make the page present, which changes nothing; before Linux 5.14 it says no.
    unsafe { libc::madvise(page, size, libc::MADV_POPULATE_WRITE) == 0 }
}

#[cfg(not(target_os = "linux"))]
unsafe fn is_writable(_page: *mut libc::c_void, _size: usize) -> bool {
    false
}

#[cfg(target_os = "linux")]
unsafe fn errno() -> *mut libc::c_int {
    // SAFETY: always valid in a running thread.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno() -> *mut libc::c_int {
    // SAFETY: always valid in a running thread.
    unsafe { libc::__error() }
}
