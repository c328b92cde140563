//! A spool that takes the place of another: of one whose directory is gone, whose ring failed, or whose table is full of closed logs.
//!
//! A deleted log directory (or `.logspool/` in it) is made again where it was, and a fresh ring with it: the old one's
//! file was deleted too, and would not survive a kill. The old spool is closed, so that each log moves with its next record;
//! what it holds is carried into the new directory before anything of the new spool is, and then it is let go.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{AtFlags, unlinkat};

use crate::config::{LogSettings, SpoolSettings, WhenFull};
use crate::error::{Error, Result};
use crate::fork;
use crate::report;
use crate::segment::dir::LogDir;
use crate::spool::frame::{self, ALIGN, Kind};
use crate::spool::grow::{self, FIRST};
use crate::spool::notice;
use crate::spool::place;
use crate::spool::producer::{Producer, Spool};
use crate::spool::ring::{self, MAX_LOGS, Ring};

/// What the header of a ring said when it was last known to be sound.
#[derive(Debug, Default)]
pub(super) struct Kept {
    tail: u64,
    logs: Vec<KeptLog>,
}

#[derive(Debug)]
struct KeptLog {
    name: String,
    settings: LogSettings,
    done: u64,
    written: u64,
}

/// How a spool and the one in its place know each other.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// What took this one's place, or, once this one is empty, the place of that.
    pub(super) successor: crate::sync::Mutex<Option<Arc<Spool>>>,
    /// Those whose place this one took and that are not empty yet.
    pub(super) predecessors: crate::sync::Mutex<Vec<Arc<Spool>>>,
    pub(super) kept: crate::sync::Mutex<Kept>,
}

impl Spool {
    /// Whether it must be given up: its ring failed, or the directory of its logs is not where they are looked for. What
    /// cannot be told is no reason.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        #[cfg(test)]
        tests::LOOKING.with_borrow_mut(|looking| looking.iter_mut().for_each(|look| look()));
        self.is_damaged() || self.dir.is_lost().unwrap_or(false)
    }

    /// Whether its ring failed, or its header says what cannot be: its owner knows better.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let kept = self.succession.kept.lock();
        let producer = self.lock();
        let names = |(slot, log): (usize, &KeptLog)| {
            self.ring.log_name(slot).as_deref() == Some(log.name.as_str())
        };
        self.ring.has_failed()
            || !self.is_possible(&producer, self.ring.tail())
            || self.ring.reserved() < grow::space(producer.lap_end, self.ring.region.capacity)
            || (0..producer.logs()).any(|slot| self.ring.done(slot) > producer.head)
            || !kept.logs.iter().enumerate().all(names)
    }

    /// Whether the tail can be there.
    fn is_possible(&self, producer: &Producer, tail: u64) -> bool {
        let used = producer.head.checked_sub(tail);
        tail.is_multiple_of(ALIGN) && used.is_some_and(|used| used <= self.ring.region.capacity)
    }

    /// What took its place.
    #[must_use]
    pub fn successor(&self) -> Option<Arc<Self>> {
        self.succession.successor.lock().clone()
    }

    /// The last in the line of those that took its place; none while nothing did.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Self>> {
        let mut newest = self.successor()?;
        while let Some(next) = newest.successor() {
            newest = next;
        }
        Some(newest)
    }

    /// Those it took the place of that are not empty yet.
    #[must_use]
    pub fn predecessors(&self) -> Vec<Arc<Self>> {
        self.succession.predecessors.lock().clone()
    }

    /// Whether it holds records of log `name`.
    #[must_use]
    pub fn has_pending(&self, name: &str) -> bool {
        (0..MAX_LOGS)
            .any(|slot| self.is_pending(slot) && self.ring.log_name(slot).as_deref() == Some(name))
    }

    /// Opens the directory anew, and makes it where it is gone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn reopen_dir(&self) -> Result<LogDir> {
        if self.is_damaged() {
            self.restore();
        }
        self.dir.reopen(self.ring.log_settings(0).dir_mode)
    }

    /// A spool like this one in `dir`.
    ///
    /// # Errors
    /// When there is no place for its ring, not even in memory.
    pub fn another(&self, dir: Arc<LogDir>) -> Result<Self> {
        let mut place = place::open(&dir, &self.settings.place)?;
        let ring = make_ring(&dir, &mut place, &self.settings)?;
        Ok(Self::new(
            ring,
            dir,
            place,
            self.settings.clone(),
            Arc::clone(&self.waker),
        ))
    }

    /// Gives its place to `next`, unless another was faster, and takes no more records.
    pub fn give_way(self: &Arc<Self>, next: &Arc<Self>) {
        let mut successor = self.succession.successor.lock();
        if successor.is_none() {
            next.succession.predecessors.lock().push(Arc::clone(self));
            *successor = Some(Arc::clone(next));
        }
        drop(successor);
        self.close();
    }

    /// Lets it go when it is empty: what it should hold and does not is counted, and announced by its successor. False while
    /// there is no room for that, and while it holds or owes something: a thread that waited for room may have committed one more
    /// since the last pass began. The first to see it through gets true.
    pub fn finish(self: &Arc<Self>) -> bool {
        let Some(next) = self.successor() else {
            return false;
        };
        if !self.predecessors().is_empty() {
            return false; // It passes on what they have to announce.
        }
        {
            let producer = self.lock();
            if producer.head != self.ring.tail() || self.has_unannounced() {
                return false;
            }
            let lost = self.in_flight(producer.logs());
            if lost > 0 && next.announce_lost(&self.ring, lost) {
                self.counters.lost.fetch_add(lost, Relaxed);
            } else if lost > 0 {
                return false;
            }
        }
        let mut waiting = next.succession.predecessors.lock();
        let before = waiting.len();
        waiting.retain(|s| !Arc::ptr_eq(s, self));
        let first = waiting.len() < before;
        drop(waiting);
        self.look_further();
        if first && self.ring.is_durable() {
            let _ = unlinkat(
                &self.place,
                ring::file_name(self.ring.id()),
                AtFlags::empty(),
            );
        }
        first
    }

    /// Lets go of what took its place where that has given way as well: an idle log may have this one for ever, and with it the
    /// mappings of all that came and went meanwhile. Only when nothing is to be carried over any more.
    fn look_further(&self) {
        let newest = self.newest();
        let between = std::mem::replace(&mut *self.succession.successor.lock(), newest);
        drop(between);
    }

    /// Whether it has given way and everything it held was carried over.
    #[must_use]
    pub fn is_finished(self: &Arc<Self>) -> bool {
        self.successor()
            .is_some_and(|next| !next.predecessors().iter().any(|s| Arc::ptr_eq(s, self)))
    }

    /// Announces `records` lost with `ring` in the first of its logs.
    fn announce_lost(&self, ring: &Ring, records: u64) -> bool {
        let Some(name) = ring.log_name(0) else {
            return true;
        };
        let Ok(slot) = self.enter(&name, &ring.log_settings(0)) else {
            return true;
        };
        let mut line = notice::failed(ring.id(), records);
        let mut producer = self.lock();
        let need = frame::size(line.len());
        let room = self.has_bytes(&producer, need) || self.start_afresh(&mut producer, need);
        if room {
            self.put(&mut producer, slot, Kind::Announcement, &mut line, false);
        }
        room
    }

    /// Notes what the header says, as long as it is sound.
    pub(super) fn keep_header(&self) {
        let logs = (0..MAX_LOGS)
            .map_while(|slot| {
                Some(KeptLog {
                    name: self.ring.log_name(slot)?,
                    settings: self.ring.log_settings(slot),
                    done: self.ring.done(slot),
                    written: self.ring.written(slot),
                })
            })
            .collect();
        let now = Kept {
            tail: self.ring.tail(),
            logs,
        };
        if !self.is_damaged() {
            *self.succession.kept.lock() = now;
        }
    }

    /// Puts back what the header has lost, or says wrong. Pages that were lost are empty but for what happened since.
    fn restore(&self) {
        let kept = self.succession.kept.lock();
        let producer = self.lock();
        let (ring, head) = (&self.ring, producer.head);
        let capacity = ring.region.capacity;
        if !ring.has_header() {
            ring.set_tail(kept.tail.max(ring.tail()));
            ring.set_drops_oldest(self.settings.when_full == WhenFull::DropOldest);
            ring.set_header();
        }
        let space = grow::space(producer.lap_end, capacity);
        if ring.reserved() < space {
            ring.set_reserved(space);
        }
        if !self.is_possible(&producer, ring.tail()) {
            // As far back as there can be frames: what is done is skipped by the logs' own words.
            let first = head.saturating_sub(capacity).next_multiple_of(ALIGN);
            ring.set_tail(kept.tail.max(first));
        }
        for (slot, log) in kept.logs.iter().enumerate() {
            let done = Some(ring.done(slot)).filter(|done| *done <= head);
            let done = done.unwrap_or(log.done);
            if ring.log_name(slot).as_deref() != Some(log.name.as_str()) {
                ring.enter_log(slot, &log.name, &log.settings, done.max(log.done));
                if ring.written(slot) < log.written {
                    ring.add_written(slot, log.written);
                }
            }
            ring.set_done(slot, done.max(log.done));
        }
    }
}

/// Creates the ring; in memory where the file system cannot reserve it, which is said.
///
/// # Errors
/// When there is no memory either.
pub fn make_ring(dir: &LogDir, place: &mut OwnedFd, settings: &SpoolSettings) -> Result<Ring> {
    let shown = dir.path().display().to_string();
    // A forked child begins small: most log little, and there may be thousands.
    let first = if fork::forks() > 0 {
        FIRST
    } else {
        settings.bytes
    };
    let mut made = Ring::create(place.as_fd(), settings.bytes, first);
    for _ in 0..3 {
        // Another process found the place empty when it went, and took it away.
        if !made
            .as_ref()
            .is_err_and(|e| e.kind() == ErrorKind::NotFound)
        {
            break;
        }
        *place = place::open(dir, &settings.place)?;
        made = Ring::create(place.as_fd(), settings.bytes, first);
    }
    made.or_else(|e| {
        let full = Error::new("cannot reserve the spool", shown.clone(), e);
        report::say(&format!(
            "{full}; records wait in memory instead and do not survive a kill (spool_dir=\"shm\" puts the spool into \
             shared memory)"
        ));
        Ring::anonymous(settings.bytes)
            .map_err(|e| Error::new("cannot reserve memory for the spool", shown, e))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    thread_local! {
        /// What happens while this thread asks the file system whether a spool is lost, which may take its time.
        pub static LOOKING: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    }
}
