//! A ring that grows holds what one that is whole from the start holds, and never touches what has no space.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::sync::Arc;

use proptest::prelude::*;

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::fork::TrackedFd;
use crate::segment::dir::LogDir;
use crate::spool::frame::{Found, Kind};
use crate::spool::grow::FIRST;
use crate::spool::producer::{Appended, Caller, Spool};
use crate::spool::recover::adopt_orphans;
use crate::spool::ring::{HEADER, Ring, file_name, tests::REFUSE};
use crate::spool::stores::Stores;

const CAPACITY: u64 = 3 << 20;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// A spool on a ring that begins small, its log, and the lines that must be found in it.
struct Small {
    dir: tempfile::TempDir,
    spool: Spool,
    slot: usize,
    expected: VecDeque<Vec<u8>>,
    dropped_oldest: u64,
    made: u32,
}

impl Small {
    fn new(when_full: WhenFull) -> Self {
        REFUSE.set(false);
        let dir = tempfile::tempdir().unwrap();
        let logs = Arc::new(LogDir::open(dir.path(), 0o700).unwrap());
        let place = rustix::io::fcntl_dupfd_cloexec(logs.own(), 3).unwrap();
        let ring = Ring::create(place.as_fd(), CAPACITY, FIRST).unwrap();
        let settings = SpoolSettings {
            bytes: CAPACITY,
            when_full,
            ..SpoolSettings::default()
        };
        let spool = Spool::new(ring, logs, place, settings, Arc::default());
        let slot = spool.enter("a.jsonl", &LogSettings::default()).unwrap();
        Self {
            dir,
            spool,
            slot,
            expected: VecDeque::new(),
            dropped_oldest: 0,
            made: 0,
        }
    }

    fn append(&mut self, len: usize) -> Appended {
        let mut line = vec![b'x'; len.max(8)];
        line[..4].copy_from_slice(&self.made.to_le_bytes());
        self.made += 1;
        let appended = self
            .spool
            .append(self.slot, &mut line, false, false, &mut Plain);
        let dropped = self
            .spool
            .counters
            .dropped_oldest
            .load(std::sync::atomic::Ordering::Relaxed);
        self.expected
            .drain(..usize::try_from(dropped - self.dropped_oldest).unwrap());
        self.dropped_oldest = dropped;
        if appended == Appended::Accepted {
            self.expected.push_back(line);
        }
        appended
    }

    /// What the writer does: takes up to `most` frames and frees them.
    fn drain(&mut self, most: usize) {
        for _ in 0..most {
            let (tail, head) = (self.spool.ring.tail(), self.spool.head());
            if tail == head {
                return;
            }
            match self.spool.ring.find(tail, head - tail, false) {
                Found::Frame {
                    payload,
                    kind,
                    next,
                    ..
                } => {
                    if kind == Kind::Record {
                        assert_eq!(payload, self.expected.pop_front().unwrap());
                    }
                    self.spool.ring.set_tail(next);
                }
                Found::Wrap { next } => self.spool.ring.set_tail(next),
                other => panic!("{other:?} at {tail}"),
            }
        }
    }

    fn file(&self) -> File {
        let path = self
            .dir
            .path()
            .join(".logspool")
            .join(file_name(self.spool.ring.id()));
        File::options().read(true).write(true).open(path).unwrap()
    }

    /// What a recoverer finds, which has only the file; and the file has nothing where it has no space.
    fn check(&self) {
        let ring = Ring::map(TrackedFd::new(self.file().into()))
            .unwrap()
            .unwrap();
        let mut at = ring.tail();
        let mut found = Vec::new();
        loop {
            match ring.find(at, ring.tail() + CAPACITY - at, true) {
                Found::Frame {
                    payload,
                    kind,
                    next,
                    ..
                } => {
                    if kind == Kind::Record {
                        found.push(payload.to_vec());
                    }
                    at = next;
                }
                Found::Wrap { next } => at = next,
                Found::Nothing => break,
                Found::Damaged => panic!("damage at {at}"),
            }
        }
        assert_eq!(found, Vec::from(self.expected.clone()));
        let mut file = self.file();
        file.seek(SeekFrom::Start(HEADER as u64 + ring.reserved()))
            .unwrap();
        let mut behind = Vec::new();
        file.read_to_end(&mut behind).unwrap();
        assert!(
            behind.iter().all(|b| *b == 0),
            "something was stored where the ring has no space"
        );
    }
}

#[test]
fn a_ring_that_is_drained_in_time_stays_small() {
    let mut small = Small::new(WhenFull::DropNewest);
    for n in 0..20_000 {
        assert_eq!(small.append(300), Appended::Accepted);
        if n % 10 == 9 {
            small.drain(20);
        }
    }
    assert_eq!(small.spool.ring.reserved(), FIRST);
    small.check();
}

#[test]
fn a_ring_that_is_not_drained_grows_to_its_capacity() {
    let mut small = Small::new(WhenFull::DropNewest);
    while small.append(1000) == Appended::Accepted {}
    assert_eq!(small.spool.ring.reserved(), CAPACITY);
    assert!(small.expected.len() > 2900, "{}", small.expected.len());
    small.check();
}

#[test]
fn a_ring_that_cannot_grow_goes_round_in_what_it_has() {
    let mut small = Small::new(WhenFull::DropNewest);
    REFUSE.set(true);
    while small.append(1000) == Appended::Accepted {}
    assert_eq!(small.expected.len(), 255);
    for _ in 0..600 {
        small.drain(3);
        assert_eq!(small.append(1000), Appended::Accepted);
    }
    assert_eq!(small.spool.ring.reserved(), FIRST);
    small.check();
}

#[test]
fn a_line_larger_than_what_the_ring_has_at_first_makes_an_empty_ring_grow() {
    let mut small = Small::new(WhenFull::DropOldest);
    small.append(100);
    assert_eq!(small.append(600 << 10), Appended::Accepted);
    assert_eq!(small.expected.len(), 2);
    small.check();
}

#[test]
fn oldest_records_are_not_dropped_for_a_line_that_fits_nowhere() {
    let mut small = Small::new(WhenFull::DropOldest);
    REFUSE.set(true);
    for _ in 0..10 {
        small.append(100);
    }
    assert_eq!(small.append(600 << 10), Appended::Dropped);
    assert_eq!(small.expected.len(), 10);
    small.check();
}

#[test]
fn a_ring_also_grows_for_the_announcement_before_a_line() {
    let mut small = Small::new(WhenFull::DropNewest);
    small.append(100);
    small.spool.ring.lose(small.slot, Some(7));
    let left = usize::try_from(small.spool.lock().lap_left()).unwrap();
    assert_eq!(small.append(left - 64), Appended::Accepted);
    assert!(small.spool.ring.reserved() > FIRST);
    small.check();
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize, usize),
    Drain(usize),
    Refuse(bool),
    /// The time after which growing is tried again has come.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..40, prop_oneof![8 => 8_usize..400, 4 => 400_usize..20_000, 1 => 20_000_usize..400_000])
            .prop_map(|(times, len)| Step::Append(times, len)),
        3 => (1_usize..200).prop_map(Step::Drain),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_growing_ring_keeps_what_it_accepted(
        oldest in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut small = Small::new(if oldest { WhenFull::DropOldest } else { WhenFull::DropNewest });
        for step in steps {
            match step {
                Step::Append(times, len) => for n in 0..times {
                    small.append(len + n);
                },
                Step::Drain(most) => small.drain(most),
                Step::Refuse(refuse) => REFUSE.set(refuse),
                Step::Wait => {
                    let mut producer = small.spool.lock();
                    producer.stuck = producer.stuck.map(|_| std::time::Instant::now());
                }
            }
        }
        small.check();
        small.drain(usize::MAX);
        prop_assert!(small.expected.is_empty());
        small.check();
    }
}

#[test]
fn a_ring_whose_word_for_its_space_was_damaged_gives_its_records_all_the_same() {
    for said in [0, 17, FIRST + 1, u64::MAX] {
        let mut small = Small::new(WhenFull::Block);
        for _ in 0..10 {
            assert_eq!(small.append(200), Appended::Accepted);
        }
        small.spool.ring.set_reserved(said);
        let (dir, spool) = (small.dir, small.spool);
        drop(spool);
        let logs = Arc::new(LogDir::open(dir.path(), 0o700).unwrap());
        let mut stores = Stores::new(Arc::clone(&logs));
        let found = adopt_orphans(logs.own(), &mut stores).unwrap();
        assert_eq!((found.records, found.left), (10, 0), "{said}");
        assert!(found.damaged > 0);
    }
}
