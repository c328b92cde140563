//! What can be saved of a dead process's ring that something other than logspool wrote to, or cut short.
//!
//! A frame proves itself: its commit word holds its position and the ring's salt, its checksum covers the rest. So what the header says
//! is checked against the frames, and where both disagree the frames are believed.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{fstat, ftruncate};

use crate::config::MAX_SPOOL_BYTES;
use crate::fork::TrackedFd;
use crate::segment::state::Reached;
use crate::segment::state::health::VERSION_MAX;
use crate::segment::store::Room;
use crate::spool::drain::{MAX_NOTICE, Source};
use crate::spool::frame::{ALIGN, Found};
use crate::spool::notice;
use crate::spool::ring::{self, HEADER, MAX_LOGS, Ring, look};
use crate::spool::stores::Stores;

/// Positions count bytes: nobody comes near this.
const POSITION_MAX: u64 = 1 << 62;
/// A file that was cut is made whole again, with a hole, to be mapped; not at any price.
const REGROWN: u64 = 64 << 20;

/// A file that is called a ring.
#[derive(Debug)]
pub enum Opened {
    /// It can be drained; what was damaged, if anything.
    Ring(Ring, Option<String>),
    /// It is another version's.
    Version(u64),
    /// It is the ring of this name under another one.
    Copy([u8; 8]),
    /// There is no record in it.
    TooShort,
}

/// Maps the locked file `name` in `place`, a dead process's ring, and puts right what its header says wrong.
///
/// # Errors
/// When it cannot be read or mapped.
pub fn open(file: TrackedFd, place: BorrowedFd<'_>, name: &str) -> io::Result<Opened> {
    let len = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
    let Some(claims) = ring::claims(&file)?.filter(|_| len > HEADER as u64) else {
        return Ok(Opened::TooShort);
    };
    let mut damage = Vec::new();
    if claims.ring && claims.version != ring::VERSION && (1..=VERSION_MAX).contains(&claims.version)
    {
        return Ok(Opened::Version(claims.version));
    }
    if !claims.ring || claims.version != ring::VERSION {
        damage.push("its header");
    }
    let named = <[u8; 8]>::try_from(name.trim_end_matches(".ring").as_bytes())
        .ok()
        .filter(|n| is_id(*n));
    let misnamed = claims.ring && Some(claims.id) != named && is_id(claims.id);
    if Some(claims.id) != named {
        damage.push("its id");
    }
    let id = named.unwrap_or(*b"damaged0");
    let fits = |capacity: u64| (len - HEADER as u64).checked_sub(capacity);
    let whole = (len - HEADER as u64) / ALIGN * ALIGN;
    let mut capacity = claims.capacity;
    if fits(capacity).is_none_or(|rest| rest >= ALIGN)
        || capacity == 0
        || !capacity.is_multiple_of(ALIGN)
    {
        damage.push("its length");
        capacity = likelier(&file, (place, name), [capacity, whole], whole)?;
        if capacity == 0 {
            return Ok(Opened::TooShort);
        }
        regrow(&file, capacity, len)?;
    }
    let ring = Ring::map_as(file, (place, name), capacity, id)?;
    if ring.reserved_is_damaged() {
        // What has no space reads as empty: better than not to look at frames.
        ring.set_reserved(capacity);
        damage.push("its space");
    }
    if misnamed && author(&ring).is_some_and(|author| author.is_none_or(|id| Some(id) != named)) {
        return Ok(Opened::Copy(claims.id));
    }
    damage.extend(positions(&ring));
    damage.extend(table(&ring));
    let damage = (!damage.is_empty()).then(|| damage.join(", "));
    Ok(Opened::Ring(ring, damage))
}

/// The name in the first line whose frame is whole: what the ring was called when that was written. `Some(None)` where the
/// line does not say.
#[allow(clippy::option_option)] // No line, or a line that does not say: two answers.
fn author(ring: &Ring) -> Option<Option<[u8; 8]>> {
    frames(ring).find_map(
        |position| match ring.find(position, ring.region.capacity, true) {
            Found::Frame { payload, .. } => Some(look::seq(payload).map(|(id, _)| id)),
            _ => None,
        },
    )
}

/// Whether this is a name that a ring is given.
#[must_use]
pub fn is_id(id: [u8; 8]) -> bool {
    id.iter()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Of two capacities, what the header says and what the length of the file says, the one under which more frames are whole.
fn likelier(
    file: &TrackedFd,
    named: (BorrowedFd<'_>, &str),
    candidates: [u64; 2],
    whole: u64,
) -> io::Result<u64> {
    let mut best = (0, 0);
    for capacity in candidates {
        let sane = capacity.is_multiple_of(ALIGN)
            && (1..=MAX_SPOOL_BYTES).contains(&capacity)
            && capacity <= REGROWN.max(whole);
        if !sane {
            continue;
        }
        let len = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
        regrow(file, capacity, len)?;
        let copy = TrackedFd::new(rustix::io::fcntl_dupfd_cloexec(file, 3)?);
        let found = scan(
            &Ring::map_as(copy, named, capacity, *b"damaged0")?,
            u64::MAX,
        )
        .0;
        if best.0 == 0 || found > best.1 {
            best = (capacity, found);
        }
    }
    Ok(best.0)
}

fn regrow(file: &TrackedFd, capacity: u64, len: u64) -> io::Result<()> {
    if len < HEADER as u64 + capacity {
        ftruncate(file, HEADER as u64 + capacity)?;
    }
    Ok(())
}

/// The positions that words in the right places stand for, whole frames behind them or not.
fn frames(ring: &Ring) -> impl Iterator<Item = u64> {
    let capacity = ring.region.capacity;
    (0..ring.reserved()).step_by(16).filter_map(move |offset| {
        let position = ring.region.committed(offset);
        let possible = position <= POSITION_MAX
            && position % capacity == offset
            && position.is_multiple_of(ALIGN);
        possible.then_some(position)
    })
}

/// How many whole frames there are before `limit`, and where the last one ends; 0 without any.
fn scan(ring: &Ring, limit: u64) -> (u64, u64) {
    frames(ring)
        .filter(|p| *p < limit)
        .fold((0, 0), |(count, end), position| {
            match ring.find(position, ring.region.capacity, true) {
                Found::Frame { next, .. } | Found::Wrap { next } => (count + 1, end.max(next)),
                _ => (count, end),
            }
        })
}

/// Checks the tail and how far each log is done against the frames, where there is reason to.
fn positions(ring: &Ring) -> Option<&'static str> {
    let region = &ring.region;
    let tail = ring.tail();
    let possible = tail.is_multiple_of(ALIGN) && tail <= POSITION_MAX;
    let whole = possible
        && matches!(
            ring.find(tail, region.capacity, true),
            Found::Frame { .. } | Found::Wrap { .. }
        );
    if whole && (0..MAX_LOGS).all(|slot| ring.done(slot) <= tail) {
        return None;
    }
    // Two words of the header that say the same are right: then it is the frames around it that are damaged.
    let agreed = possible && (0..MAX_LOGS).any(|slot| ring.done(slot) == tail);
    let limit = if agreed {
        tail + region.capacity
    } else {
        u64::MAX
    };
    let (count, end) = scan(ring, limit);
    if count == 0 {
        // A number is used up by a record that was dropped, too, and by the one its owner was killed in.
        let used = (0..MAX_LOGS).any(|slot| {
            ring.done(slot) > 0 || ring.seq(slot) > ring.lost(slot).1.saturating_add(1)
        });
        // Its owner may have been killed while the first frame of a lap overwrote the only one there was.
        let lap_began = tail > 0
            && possible
            && tail.is_multiple_of(region.capacity)
            && (0..MAX_LOGS).all(|slot| ring.done(slot) <= tail);
        if lap_began || tail == 0 && !used {
            return None;
        }
        ring.set_tail(0);
        return Some("all of its records");
    }
    let mut damage = None;
    // The rest of a lap that an empty ring did not need was skipped.
    let skipped = tail > end && tail == end.next_multiple_of(region.capacity);
    let end = if skipped { tail } else { end };
    let end = if agreed { end.max(tail) } else { end };
    if !possible || tail > end || end - tail > region.capacity {
        // What is done is skipped by the logs' own words.
        ring.set_tail(end.saturating_sub(region.capacity));
        damage = Some("its tail");
    }
    for slot in 0..MAX_LOGS {
        if ring.done(slot) > end {
            ring.set_done(slot, ring.tail());
            damage = Some("how far it was written");
        }
    }
    damage
}

/// Checks the log table.
fn table(ring: &Ring) -> Option<&'static str> {
    let mut damage = None;
    for slot in 0..MAX_LOGS {
        if ring.is_entered(slot) && ring.log_name(slot).is_none() {
            damage = Some("the name of a log");
        }
        if ring.lost_is_damaged(slot) {
            ring.forget_lost(slot);
            damage = Some("its count of drops");
        }
    }
    damage
}

/// Says in each log of a ring that it was damaged, where no stretch of frames could be named. A log that cannot be written just now goes
/// without: standard error says it too.
pub fn announce(stores: &mut Stores, source: Source<'_>, what: &str) {
    let ring = source.ring;
    for slot in 0..MAX_LOGS {
        let Some(name) = ring.log_name(slot) else {
            continue;
        };
        if stores.lock(&name, slot, source) != Ok(true) {
            continue;
        }
        let Some(store) = stores.store(&name) else {
            continue;
        };
        let room = store.room(MAX_NOTICE);
        if room != Room::Rotate || store.rotate().is_ok() {
            store.stage(&notice::spoiled(ring.id(), what), 0);
            let reached = Reached {
                to: ring.done(slot),
                written: ring.written(slot),
                announced: 0,
            };
            store.intend(ring.id(), slot, reached);
            if let Err(e) = store.append(&mut |_| {}) {
                store.unlock();
                stores.troubled(&name, &e);
                continue;
            }
        }
        store.unlock();
    }
}
