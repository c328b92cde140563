//! The consumer: carries committed frames of a ring into segments, exactly once and in order per log.
//!
//! A batch of frames is staged per log, each log stores its intent, appends, advances its `done` in the ring's header,
//! and clears the intent. The ring's tail follows the slowest log. The same code serves a living ring and an orphan.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::WhenFull;
use crate::failpoint;
use crate::report;
use crate::segment::state::Reached;
use crate::segment::store::{Room, Store};
use crate::spool::frame::{Found, Kind};
use crate::spool::notice::{self, Reason};
use crate::spool::producer::Spool;
use crate::spool::recover;
use crate::spool::ring::{MAX_LOGS, Ring};
use crate::spool::stores::Stores;

/// Bytes of frames a batch looks at before it appends: `drop_oldest` holds the producer's mutex that long.
const BATCH: u64 = 256 << 10;
/// Bytes after which a pass gives the logs' locks back, so that other processes get their turn.
const PASS: u64 = 4 << 20;
/// Room an announcement needs.
pub(super) const MAX_NOTICE: usize = 512;

/// What is drained: a living ring or an orphan.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The ring.
    pub ring: &'a Ring,
    /// Its owner in this process; none for an orphan, whose end is found by looking.
    pub spool: Option<&'a Spool>,
    /// Where other rings of the directory stand, to advance the ring an inherited intent came from.
    pub place: BorrowedFd<'a>,
    /// Those whose place it took and that could not be drained just now: what a log has in them goes first.
    pub behind: &'a [Arc<Spool>],
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// Records that went into segments.
    pub records: u64,
    /// Whether everything that was there when the pass began is in segments.
    pub complete: bool,
    /// Whether a log is held by another process just now: worth trying again soon.
    pub contended: bool,
    /// Bytes of the ring that were damaged.
    pub damaged: u64,
    /// Whether that was announced in a log.
    pub announced: bool,
    /// The last damaged stretch, not announced yet.
    hole: Option<(u64, u64)>,
}

impl Pass {
    /// The pass over a ring that holds nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }

    /// Adds what another pass did, of a spool that is drained before this one.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.complete &= other.complete;
        self.contended |= other.contended;
        self.damaged += other.damaged;
        self.announced |= other.announced;
    }

    /// Notes a damaged stretch.
    fn skip(&mut self, from: u64, to: u64) {
        self.damaged += to - from;
        let began = self.hole.filter(|h| h.1 == from).map_or(from, |h| h.0);
        self.hole = Some((began, to));
    }
}

/// What a batch has staged, by number of the log.
struct Batch {
    /// Where its first frame was.
    first: [Option<u64>; MAX_LOGS],
    /// The drops before this number are announced by it.
    announced: [u64; MAX_LOGS],
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            first: [None; MAX_LOGS],
            announced: [0; MAX_LOGS],
        }
    }
}

impl Batch {
    /// The drops of log `slot` that nothing announces yet.
    fn owed(&self, ring: &Ring, slot: usize) -> Option<(u64, u64)> {
        let (first, count) = ring.lost(slot);
        (count > 0 && first + count > self.announced[slot]).then_some((first, count))
    }

    /// The logs that have something staged, with the position of the first.
    fn staged(&self) -> impl Iterator<Item = (usize, u64)> {
        self.first
            .iter()
            .enumerate()
            .filter_map(|(slot, began)| began.map(|b| (slot, b)))
    }
}

/// Why a batch ended.
enum Stop {
    End,
    Append,
    Rotate(usize),
}

impl Stores {
    /// Carries what `source` holds into segments.
    pub fn drain(&mut self, source: Source<'_>) -> Pass {
        let mut pass = Pass::default();
        let mut ready = self.lock_pending(source, &mut pass);
        let end = source.spool.map_or(u64::MAX, Spool::head);
        let mut position = source.ring.tail();
        let stop_at = position.saturating_add(PASS);
        let mut unsent = None;
        loop {
            let stop = self.batch(
                source,
                end,
                &mut position,
                &mut unsent,
                &mut ready,
                &mut pass,
            );
            match stop {
                Stop::Rotate(slot) => self.rotate(&ready, slot),
                // What a log that is stuck has in front of the others does not count: they have their turn behind it.
                Stop::Append if position < stop_at || pass.records == 0 => {}
                Stop::Append => break,
                Stop::End => {
                    pass.complete = unsent.is_none();
                    break;
                }
            }
        }
        for slot in &ready {
            if let Some(store) = slot.and_then(|at| self.store_at(at)) {
                store.unlock();
            }
        }
        if let Some(spool) = source.spool
            && pass.records > 0
        {
            spool.keep_header();
        }
        pass
    }

    /// Stages frames from `position` on, then appends them log by log.
    fn batch(
        &mut self,
        source: Source<'_>,
        end: u64,
        position: &mut u64,
        unsent: &mut Option<u64>,
        ready: &mut [Option<usize>],
        pass: &mut Pass,
    ) -> Stop {
        let ring = source.ring;
        // With `drop_oldest` the producer may overwrite what is not staged: it is kept out while staging.
        let exclusive = source
            .spool
            .filter(|s| s.settings.when_full == WhenFull::DropOldest)
            .filter(|_| !failpoint::switched("no-exclusion"));
        let guard = exclusive.map(Spool::lock);
        *position = (*position).max(ring.tail());
        let start = *position;
        let mut batch = Batch::default();
        // What this process committed itself is sound, unless its ring was given up because its file failed.
        let failed = || source.spool.is_some_and(|s| s.ring.has_failed());
        let check = source.spool.is_none_or(Spool::is_closed) || failed();
        let (faults, left, before) = (ring.faults(), *unsent, *pass);
        let stop = self.stage(
            source, end, check, position, unsent, ready, &mut batch, pass,
        );
        if ring.faults() != faults || (!check && failed()) {
            // A page went while it was copied: what is staged may be holes. The next look checks every frame.
            *pass = before;
            for (slot, _) in batch.staged() {
                if let Some(store) = ready[slot].and_then(|at| self.store_at(at)) {
                    store.unstage();
                }
            }
            (*position, *unsent) = (start, left);
            return Stop::Append;
        }
        let mut reached = [Reached::default(); MAX_LOGS];
        for (slot, _) in batch.staged() {
            if let Some(store) = ready[slot].and_then(|at| self.store_at(at)) {
                reached[slot] = Reached {
                    to: *position,
                    written: ring.written(slot).saturating_add(store.records()),
                    announced: batch.announced[slot],
                };
                if failpoint::switched("announced-first") {
                    ring.set_announced(slot, batch.announced[slot]);
                }
                store.intend(ring.id(), slot, reached[slot]);
                // Not before: a kill would forget the drops. And not later: the producer counts on.
                ring.set_announced(slot, batch.announced[slot]);
                if let Some(spool) = exclusive
                    && !failpoint::switched("no-claim")
                {
                    spool.set_claimed(slot, *position);
                }
            }
        }
        drop(guard);
        if failpoint::switched("tail-first") {
            ring.set_tail(*position);
        }
        for (slot, began) in batch.staged() {
            let Some(at) = ready[slot] else {
                continue;
            };
            let Some(store) = self.store_at(at) else {
                continue;
            };
            let mut written = 0;
            let appended = store.append(&mut |records| {
                ring.advance(slot, reached[slot]);
                written = records;
            });
            pass.records += written;
            if let Err(e) = appended {
                store.unlock();
                self.troubled(&self.name_at(at), &e);
                ready[slot] = None;
                *unsent = Some(unsent.map_or(began, |u| u.min(began)));
            }
        }
        if *position > start || unsent.is_none() {
            let free = unsent.unwrap_or(*position);
            let guard = exclusive.map(Spool::lock);
            if free > ring.tail() {
                ring.set_tail(free);
            }
            drop(guard);
            if let Some(spool) = source.spool {
                spool.room_was_made();
            }
        }
        stop
    }

    /// Copies frames into the staging of their logs, until one is full, a segment must be closed, or the end.
    #[allow(clippy::too_many_arguments)] // The state of one pass, which lives on the stack of `drain`.
    fn stage(
        &mut self,
        source: Source<'_>,
        end: u64,
        check: bool,
        position: &mut u64,
        unsent: &mut Option<u64>,
        ready: &[Option<usize>],
        batch: &mut Batch,
        pass: &mut Pass,
    ) -> Stop {
        let ring = source.ring;
        let stop_at = *position + BATCH;
        while *position < end {
            if *position >= stop_at {
                return Stop::Append;
            }
            let limit = (ring.tail() + ring.region.capacity).saturating_sub(*position);
            let (log, kind, payload, next) = match ring.find(*position, limit, check) {
                Found::Frame {
                    log,
                    kind,
                    payload,
                    next,
                } if log < MAX_LOGS => (log, kind, payload, next),
                Found::Wrap { next } => {
                    *position = next;
                    continue;
                }
                found => {
                    let Some(next) = recover::resync(source, *position, end) else {
                        pass.damaged += u64::from(!matches!(found, Found::Nothing));
                        break;
                    };
                    pass.skip(*position, next);
                    *position = next;
                    continue;
                }
            };
            if *position < ring.done(log) {
                *position = next;
                continue;
            }
            let Some(store) = ready[log].and_then(|at| self.store_at(at)) else {
                if ring.log_name(log).is_none() {
                    pass.skip(*position, next); // Nobody can say any more whose it is.
                } else {
                    unsent.get_or_insert(*position);
                }
                *position = next;
                continue;
            };
            if source.spool.is_none() && was_being_dropped(ring, log, kind, payload) {
                *position = next;
                continue;
            }
            if batch.first[log].is_none() && store.is_due() {
                return Stop::Rotate(log);
            }
            match store.room(payload.len()) {
                Room::Append => return Stop::Append,
                Room::Rotate => return Stop::Rotate(log),
                Room::Fits => {}
            }
            if drops_oldest(source)
                && let Some(owed) = batch.owed(ring, log)
            {
                batch.announced[log] = announce(source, store, owed);
            }
            if let Some((from, to)) = pass.hole.take() {
                store.stage(&notice::damaged(ring.id(), from, to), 0);
                pass.announced = true;
            }
            store.stage_news();
            store.stage(payload, u64::from(kind == Kind::Record));
            if kind == Kind::Announcement
                && let Some(last) = ring.seq_of(payload)
            {
                // Its owner may have been killed before it could strike out the drops.
                batch.announced[log] = last + 1;
            }
            batch.first[log].get_or_insert(*position);
            *position = next;
        }
        self.announce_rest(source, *position, ready, batch)
            .unwrap_or(Stop::End)
    }

    /// Announces drops that no frame of their log has followed: of the oldest, whose place is here, and those a dead
    /// owner left.
    fn announce_rest(
        &mut self,
        source: Source<'_>,
        position: u64,
        ready: &[Option<usize>],
        batch: &mut Batch,
    ) -> Option<Stop> {
        if source.spool.is_some() && !drops_oldest(source) {
            return None; // The owner does so itself.
        }
        for (log, place) in ready.iter().enumerate() {
            if let Some(owed) = batch.owed(source.ring, log)
                && let Some(store) = place.and_then(|at| self.store_at(at))
            {
                match store.room(MAX_NOTICE) {
                    Room::Append => return Some(Stop::Append),
                    Room::Rotate => return Some(Stop::Rotate(log)),
                    Room::Fits => {}
                }
                batch.announced[log] = announce(source, store, owed);
                batch.first[log].get_or_insert(position);
            }
        }
        None
    }

    fn rotate(&mut self, ready: &[Option<usize>], slot: usize) {
        let Some(at) = ready[slot] else {
            return;
        };
        if let Some(store) = self.store_at(at)
            && let Err(e) = store.rotate()
        {
            let path = self.dir.path().join(self.name_at(at));
            report::say(&format!(
                "cannot rotate {}: {e}; it goes on in the current segment",
                path.display()
            ));
        }
    }
}

/// Whether a dead owner was killed while it dropped this frame, the oldest, which it had counted already.
fn was_being_dropped(ring: &Ring, log: usize, kind: Kind, payload: &[u8]) -> bool {
    let (first, count) = ring.lost(log);
    kind == Kind::Record
        && count > 0
        && ring.drops_oldest()
        && ring.seq_of(payload) == Some(first + count - 1)
}

/// Whether drops of this ring are announced by the consumer: the oldest were dropped, so that the gap is here.
fn drops_oldest(source: Source<'_>) -> bool {
    source.ring.drops_oldest()
}

/// Stages the announcement of what was dropped before the next frame of a log; gives the number after it.
fn announce(source: Source<'_>, store: &mut Store, (first, count): (u64, u64)) -> u64 {
    let reason = if drops_oldest(source) {
        Reason::Oldest
    } else {
        Reason::Newest
    };
    store.stage(&notice::dropped(source.ring.id(), reason, first, count), 0);
    if let Some(spool) = source.spool {
        spool.counters.announced.fetch_add(1, Relaxed);
    }
    first + count
}
