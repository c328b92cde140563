//! What a spool that gives way still holds, or still has to announce, is not lost with it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::mapping::tests::REFUSE;
use crate::segment::dir::{LogDir, OWN_DIR};
use crate::segment::lock::Lock;
use crate::spool::producer::{Appended, Caller, Spool};
use crate::spool::ring::{Ring, file_name};
use crate::writer::Shared;

const CAPACITY: u64 = 256 << 10;

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

/// A spool without a thread that drains it.
struct Still {
    dir: tempfile::TempDir,
    shared: Arc<Shared>,
    spool: Arc<Spool>,
    slot: usize,
    made: u32,
}

impl Still {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = Arc::new(LogDir::open(&dir.path().join("logs"), 0o700).unwrap());
        let place = rustix::io::fcntl_dupfd_cloexec(logs.own(), 3).unwrap();
        let ring = Ring::create(place.as_fd(), CAPACITY, CAPACITY).unwrap();
        let settings = SpoolSettings {
            bytes: CAPACITY,
            when_full: WhenFull::DropNewest,
            ..SpoolSettings::default()
        };
        let shared = Arc::<Shared>::default();
        let waker = Arc::clone(&shared.waker);
        let spool = Arc::new(Spool::new(ring, logs, place, settings, waker));
        let slot = spool.enter("a.jsonl", &LogSettings::default()).unwrap();
        spool.users.fetch_add(1, Relaxed);
        shared.spools.lock().push(Arc::clone(&spool));
        Self {
            dir,
            shared,
            spool,
            slot,
            made: 0,
        }
    }

    fn logs(&self) -> std::path::PathBuf {
        self.dir.path().join("logs")
    }

    fn append(&mut self) -> Appended {
        let mut line = format!(
            r#"{{"event":"e","n":{},"seq":"-------------------"}}"#,
            self.made
        )
        .into_bytes();
        line.push(b'\n');
        self.made += 1;
        self.spool
            .append(self.slot, &mut line, true, false, &mut Plain)
    }

    /// Drains everything until nothing is left.
    fn drain(&self) {
        for _ in 0..100 {
            let spools = self.shared.spools.lock().clone();
            let passes: Vec<_> = spools.iter().map(|s| self.shared.drain(s)).collect();
            if passes.iter().all(|p| p.complete) && !spools.iter().any(|s| s.is_in_use()) {
                return;
            }
        }
        panic!("it is never drained");
    }

    fn totals(&self) -> crate::stats::Totals {
        let mut totals = *self.shared.retired.lock();
        for spool in self.shared.spools.lock().iter() {
            totals.add(&spool.totals());
        }
        totals
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        lines(&self.logs())
    }

    fn numbers(&self) -> Vec<u64> {
        self.lines()
            .iter()
            .filter_map(|r| r["n"].as_u64())
            .collect()
    }
}

fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("a.jsonl.0"))
        .collect();
    names.sort();
    names
        .iter()
        .flat_map(|name| {
            std::fs::read_to_string(dir.join(name))
                .unwrap()
                .lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn drops_of_a_full_spool_whose_directory_is_deleted_are_announced() {
    let mut still = Still::new();
    let mut dropped = 0;
    while dropped < 3 {
        dropped += u64::from(still.append() == Appended::Dropped);
    }
    std::fs::remove_dir_all(still.logs()).unwrap();
    still.drain();
    assert!(still.spool.successor().is_some());
    let announced: u64 = still
        .lines()
        .iter()
        .filter(|r| r["event"] == "records_dropped")
        .map(|r| r["fields"]["count"].as_u64().unwrap())
        .sum();
    assert_eq!(announced, dropped);
    assert_eq!(
        still.numbers().len() as u64,
        u64::from(still.made) - dropped
    );
    let totals = still.totals();
    assert_eq!((totals.dropped, totals.in_flight), (dropped, 0));
}

#[test]
fn a_record_committed_while_its_spool_is_let_go_is_not_announced_as_lost() {
    let mut still = Still::new();
    still.append();
    std::fs::remove_dir_all(still.logs()).unwrap();
    // Given way, but for a log whose lock is held: then it is drained, and just before it is let go a thread that had the
    // old one in its hands, because it waited for room perhaps, commits one more.
    let next = Arc::new(
        still
            .spool
            .another(Arc::new(still.spool.reopen_dir().unwrap()))
            .unwrap(),
    );
    still.spool.give_way(&next);
    still.shared.spools.lock().push(Arc::clone(&next));
    assert_eq!(still.append(), Appended::Accepted);
    assert!(!still.spool.finish(), "it holds records");
    still.drain();
    assert_eq!(still.numbers(), [0, 1]);
    assert!(still.lines().iter().all(|r| r["event"] == "e"));
    let totals = still.totals();
    assert_eq!((totals.emitted, totals.written, totals.dropped), (2, 2, 0));
}

#[test]
fn a_record_committed_after_its_spool_was_let_go_is_counted_and_written() {
    let mut still = Still::new();
    still.append();
    std::fs::remove_dir_all(still.logs()).unwrap();
    still.drain();
    assert!(still.spool.is_finished());
    assert_eq!(still.append(), Appended::Accepted);
    let totals = still.totals();
    assert_eq!(
        (totals.emitted, totals.written, totals.in_flight),
        (2, 1, 1)
    );
    still.drain();
    assert_eq!(still.numbers(), [0, 1]);
    let totals = still.totals();
    assert_eq!((totals.emitted, totals.written, totals.dropped), (2, 2, 0));
    let next = still.spool.newest().unwrap();
    assert!(!next.is_closed(), "its log may still move there");
    still.spool.users.fetch_sub(1, Relaxed);
    assert!(still.shared.retire_unused());
    assert!(still.shared.spools.lock().is_empty());
    assert_eq!(still.totals(), totals);
}

#[test]
fn a_log_that_is_stuck_in_a_spool_that_gave_way_holds_up_no_other() {
    let still = Still::new();
    let old = &still.spool;
    let append = |spool: &Spool, name: &str, n: u32| {
        let slot = spool.enter(name, &LogSettings::default()).unwrap();
        let mut line = format!("{{\"n\":{n}}}\n").into_bytes();
        let appended = spool.append(slot, &mut line, false, false, &mut Plain);
        assert_eq!(appended, Appended::Accepted);
    };
    let numbers = |name: &str| {
        let lines = std::fs::read_to_string(still.logs().join(name)).unwrap_or_default();
        lines.lines().count()
    };
    append(old, "a.jsonl", 0);
    append(old, "b.jsonl", 0);
    std::fs::remove_dir_all(still.logs()).unwrap();
    let own = still.logs().join(OWN_DIR);
    std::fs::create_dir_all(&own).unwrap();
    let own = File::open(own).unwrap();
    let lock = Lock::try_named(own.as_fd(), "b.jsonl.state").unwrap();
    assert!(!still.shared.drain(old).complete);
    let next = old.newest().unwrap();
    append(&next, "a.jsonl", 1);
    append(&next, "b.jsonl", 1);
    assert!(!still.shared.drain(&next).complete);
    assert_eq!((numbers("a.jsonl"), numbers("b.jsonl")), (2, 0));
    drop(lock);
    still.drain();
    let written = std::fs::read_to_string(still.logs().join("b.jsonl")).unwrap();
    assert_eq!(written, "{\"n\":0}\n{\"n\":1}\n");
    assert!(still.spool.predecessors().is_empty());
}

#[test]
fn what_is_committed_after_a_ring_was_truncated_and_before_that_is_noticed_is_kept() {
    let mut still = Still::new();
    for _ in 0..10 {
        assert_eq!(still.append(), Appended::Accepted);
    }
    still.drain();
    let ring = still
        .logs()
        .join(".logspool")
        .join(file_name(still.spool.ring.id()));
    File::options()
        .write(true)
        .open(ring)
        .unwrap()
        .set_len(0)
        .unwrap();
    for _ in 0..100 {
        assert_eq!(still.append(), Appended::Accepted);
    }
    still.drain();
    assert!(still.spool.successor().is_some());
    assert_eq!(still.numbers(), (0..110).collect::<Vec<_>>());
    let totals = still.totals();
    assert_eq!(
        (totals.emitted, totals.written, totals.dropped),
        (110, 110, 0)
    );
}

#[test]
fn a_living_ring_whose_header_is_overwritten_costs_no_record() {
    const TAIL: u64 = 64;
    const RESERVED: u64 = 56;
    const DONE: u64 = 4096 + 16;
    const NAME: u64 = 4096 + 128;
    let far = (CAPACITY * 1000).to_le_bytes();
    for (at, bytes) in [
        (TAIL, far),
        (TAIL, (u64::MAX - 15).to_le_bytes()),
        (TAIL, [0; 8]),
        (RESERVED, [0; 8]),
        (DONE, far),
        (NAME, *b"b.jsonl\0"),
    ] {
        let mut still = Still::new();
        // Beyond the first lap, so that a position of zero is wrong too.
        while still.spool.head() < CAPACITY * 2 {
            assert_eq!(still.append(), Appended::Accepted);
            if still.made.is_multiple_of(100) {
                still.drain();
            }
        }
        still.drain();
        for _ in 0..100 {
            assert_eq!(still.append(), Appended::Accepted);
        }
        let ring = still
            .logs()
            .join(OWN_DIR)
            .join(file_name(still.spool.ring.id()));
        let file = File::options().write(true).open(ring).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).unwrap();
        still.drain();
        let expected: Vec<u64> = (0..u64::from(still.made)).collect();
        assert_eq!(still.numbers(), expected, "{at}: {bytes:?}");
        assert!(!still.logs().join("b.jsonl").exists());
        let totals = still.totals();
        assert_eq!(totals.in_flight, 0, "{at}: {bytes:?}");
        assert_eq!(totals.written, u64::from(still.made), "{at}: {bytes:?}");
    }
}

#[test]
fn a_log_whose_directory_was_deleted_says_so_in_itself() {
    let mut still = Still::new();
    still.append();
    still.drain();
    std::fs::remove_dir_all(still.logs()).unwrap();
    still.append();
    still.drain();
    let said = &still.lines()[0];
    assert_eq!(said["event"], "log_trouble_ended");
    assert_eq!(said["fields"]["errno"], "ENOENT");
    let error = said["fields"]["error"].as_str().unwrap();
    assert!(error.contains("deleted"), "{error}");
    assert_eq!(still.numbers(), [1]);
}

#[test]
fn an_idle_log_keeps_none_of_the_spools_that_came_and_went_meanwhile() {
    let mut still = Still::new();
    let mut between = Vec::new();
    let mut busy = Arc::clone(&still.spool);
    for n in 0..5 {
        std::fs::remove_dir_all(still.logs()).unwrap();
        let slot = busy.enter("b.jsonl", &LogSettings::default()).unwrap();
        let mut line = format!("{{\"n\":{n}}}\n").into_bytes();
        let appended = busy.append(slot, &mut line, false, false, &mut Plain);
        assert_eq!(appended, Appended::Accepted);
        still.drain();
        // A busy log moves, as with each of its records.
        let next = still.spool.newest().unwrap();
        assert!(!Arc::ptr_eq(&next, &busy));
        next.users.fetch_add(1, Relaxed);
        if n > 0 {
            busy.users.fetch_sub(1, Relaxed);
        }
        between.push(Arc::downgrade(&busy));
        busy = next;
        still.drain();
    }
    still.shared.retire_unused();
    still.drain();
    let kept = between[1..].iter().filter(|s| s.upgrade().is_some());
    assert_eq!(kept.count(), 0);
    // What is logged to the idle one after all is kept.
    assert_eq!(still.append(), Appended::Accepted);
    still.drain();
    assert_eq!(still.numbers(), [0]);
    let totals = still.totals();
    assert_eq!((totals.emitted, totals.written, totals.dropped), (6, 6, 0));
}

#[test]
fn a_state_that_is_deleted_where_there_are_no_mappings_is_held_in_memory_again() {
    let mut still = Still::new();
    REFUSE.set(true);
    still.append();
    still.drain();
    let state = still.logs().join(OWN_DIR).join("a.jsonl.state");
    std::fs::remove_file(&state).unwrap();
    still.append();
    for _ in 0..10 {
        still.shared.drain(&still.spool);
    }
    REFUSE.set(false);
    assert!(!still.spool.is_in_use());
    assert_eq!(still.numbers(), [0, 1]);
    assert!(state.exists());
}
