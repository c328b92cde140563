//! What compression asks the allocator for. A process keeps what was freed in small and large pieces by turns, so that asking
//! anew with every member cost it megabytes for good.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use logspool::segment::compress::{DEFAULT_LEVEL, Options, Outcome, compress};

struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work; only the sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes asked for to compress a segment of so many MiB: lines of hexadecimal noise, so that the packed text is long too.
fn asked(megabytes: usize) -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut text = String::new();
    while text.len() < megabytes << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = writeln!(text, "{state:016x}");
    }
    let dir = tempfile::tempdir().unwrap();
    let logs = File::open(dir.path()).unwrap();
    fs::write(dir.path().join("a.jsonl.000001"), &text).unwrap();
    let options = Options {
        file_mode: 0o600,
        level: DEFAULT_LEVEL,
        checkpoint: &|| false,
        on_step: None,
    };
    let before = ASKED.load(Relaxed);
    let done = compress(logs.as_fd(), logs.as_fd(), "a.jsonl", 1, &options).unwrap();
    let asked = ASKED.load(Relaxed) - before;
    let Outcome::Compressed { bytes_in, .. } = done else {
        panic!("{done:?}");
    };
    assert_eq!(bytes_in, text.len() as u64);
    asked
}

#[test]
fn a_long_segment_takes_no_more_memory_than_a_short_one() {
    let (short, long) = (asked(1), asked(6));
    assert!(
        long <= short + 4096,
        "{short} bytes for 1 MiB, {long} for 6"
    );
    assert!(short < 1 << 20, "{short}");
}
