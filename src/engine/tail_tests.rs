//! What a caller must not pay for.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::config::{LogSettings, SpoolSettings};
use crate::segment::dir::{LogDir, OWN_DIR};
use crate::spool::producer::{Appended, Caller, Spool};
use crate::spool::ring::{Ring, file_name};
use crate::writer::Shared;

const CAPACITY: u64 = 1 << 20;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// Page faults of this thread so far.
fn faults() -> u64 {
    let mut text = [0; 512];
    let file = File::open("/proc/thread-self/stat").unwrap();
    let read = rustix::io::read(&file, &mut text).unwrap();
    let text = std::str::from_utf8(&text[..read]).unwrap();
    let after_name = text.rsplit(") ").next().unwrap();
    after_name.split(' ').nth(7).unwrap().parse().unwrap()
}

/// What appending `count` lines costs in page faults.
fn append(spool: &Spool, count: u64) -> u64 {
    let before = faults();
    for _ in 0..count {
        let mut line = [b'x'; 484];
        let appended = spool.append(0, &mut line, false, false, &mut Plain);
        assert_eq!(appended, Appended::Accepted);
    }
    faults() - before
}

#[test]
fn a_page_of_the_ring_that_was_written_back_is_made_writable_again_by_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Arc::new(LogDir::open(dir.path(), 0o700).unwrap());
    let place = rustix::io::fcntl_dupfd_cloexec(logs.own(), 3).unwrap();
    let ring = Ring::create(place.as_fd(), CAPACITY, CAPACITY).unwrap();
    let file = dir.path().join(OWN_DIR).join(file_name(ring.id()));
    let shared = Arc::<Shared>::default();
    let waker = Arc::clone(&shared.waker);
    let spool = Arc::new(Spool::new(
        ring,
        logs,
        place,
        SpoolSettings::default(),
        waker,
    ));
    spool.enter("a.jsonl", &LogSettings::default()).unwrap();
    append(&spool, 10);
    assert!(shared.drain(&spool).complete);
    // In the middle of the stretch an unhurried program keeps to, and where the next record begins it anew.
    for filler in [0, 256 - 41] {
        append(&spool, filler);
        assert!(shared.drain(&spool).complete);
        File::open(&file).unwrap().sync_all().unwrap();
        if append(&spool, 1) == 0 {
            return; // A file system that writes nothing back, such as tmpfs.
        }
        assert!(shared.drain(&spool).complete);
        // Nearly 16 KiB: four pages.
        assert_eq!(append(&spool, 30), 0);
    }
}
