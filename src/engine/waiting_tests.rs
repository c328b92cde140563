//! Nobody is held up by what others do to the logs meanwhile.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Engine, Flushed, Log};
use crate::config::{LogSettings, SpoolSettings};
use crate::fork;
use crate::segment::dir::LogDir;
use crate::segment::lock::Lock;
use crate::spool::producer::{Appended, Caller};
use crate::spool::successor::tests::LOOKING;
use crate::sync::Mutex;

/// Does something at its first wait, and gives up after many.
struct Meanwhile<'a> {
    act: Option<&'a mut (dyn FnMut() + Send)>,
    waits: u32,
}

impl Caller for Meanwhile<'_> {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        if let Some(act) = self.act.take() {
            act();
        }
        wait();
        self.waits += 1;
        self.waits < 500
    }
}

fn plain<'a>() -> Meanwhile<'a> {
    Meanwhile {
        act: None,
        waits: 0,
    }
}

fn fresh() -> Engine {
    Engine {
        forks: fork::forks(),
        shared: Arc::default(),
        finished: AtomicBool::new(false),
        opening: Mutex::new(()),
    }
}

#[test]
fn a_flush_ends_and_the_order_holds_though_another_thread_shuts_down_and_opens_again_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let engine = fresh();
    let (settings, spool) = (LogSettings::default(), SpoolSettings::default());
    let log = engine.open(&path, &settings, &spool).unwrap();
    let own = LogDir::open(dir.path(), 0o700).unwrap();
    let mut held = Lock::try_named(own.own().as_fd(), "a.jsonl.state").unwrap();
    assert!(held.is_some());
    let append = |log: &Log, n: u32| {
        let mut line = format!("{{\"n\":{n}}}\n").into_bytes();
        let appended = log.append(&mut line, false, false, &mut plain());
        assert_eq!(appended, Appended::Accepted);
    };
    append(&log, 1);
    let mut again = None;
    let mut act = || {
        let ended = engine.shutdown(Some(Duration::ZERO), &mut plain());
        assert_eq!(ended, Flushed::TimedOut, "its log is held");
        let opened = engine.open(&path, &settings, &spool).unwrap();
        append(&opened, 2);
        again = Some(opened);
        held = None;
    };
    let mut caller = Meanwhile {
        act: Some(&mut act),
        waits: 0,
    };
    assert_eq!(engine.flush(None, &mut caller), Flushed::Complete);
    assert_eq!(engine.flush(None, &mut plain()), Flushed::Complete);
    assert_eq!(std::fs::read(&path).unwrap(), b"{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(engine.stats().totals.written, 2);
    drop((log, again));
    engine.release();
}

#[test]
fn a_device_that_is_slow_to_say_whether_a_spool_is_lost_holds_up_no_other_log() {
    let dir = tempfile::tempdir().unwrap();
    let engine = fresh();
    let (settings, spool) = (LogSettings::default(), SpoolSettings::default());
    let open = |name: &str| {
        let path = dir.path().join(name);
        engine.open(&path, &settings, &spool).unwrap()
    };
    let log = open("a.jsonl");
    let (shared, looks) = (Arc::clone(&engine.shared), Rc::new(Cell::new(0)));
    let looked = Rc::clone(&looks);
    LOOKING.set(Some(Box::new(move || {
        // The writer may have it for a moment, another thread's look not.
        let free = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            shared.spools.try_lock().is_some()
        });
        assert!(free, "the list of spools is locked");
        looked.set(looked.get() + 1);
    })));
    let other = open("b.jsonl");
    LOOKING.set(None);
    assert!(looks.get() > 0);
    assert!(Arc::ptr_eq(&log.spool, &other.spool));
    drop((log, other));
    engine.release();
}
