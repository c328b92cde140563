//! A dead owner's ring whose header somebody damaged: numbers that cannot be are replaced by what the frames say.

use crate::spool::frame::{ALIGN, Found};
use crate::spool::ring::{MAX_LOGS, Ring};

/// No ring ever gets as far as this: at a gigabyte a second it takes a century.
const FARTHEST: u64 = 1 << 62;

/// Replaces a tail that cannot be by the position of the first frame that is not in segments, and says how many bytes of
/// the header were wrong. What a log has `done` beyond everything there is, it has not done: rather twice than not at all.
pub fn mend(ring: &Ring) -> u64 {
    let mut wrong = 0;
    let word = 8;
    if ring.tail() > FARTHEST || !ring.tail().is_multiple_of(ALIGN) {
        wrong += word;
        ring.set_tail(first_frame(ring).unwrap_or(0));
    }
    let end = ring.tail() + ring.region.capacity;
    for slot in (0..MAX_LOGS).filter(|slot| ring.log_name(*slot).is_some()) {
        if ring.done(slot) > end {
            wrong += word;
            ring.set_done(slot, ring.tail());
        }
    }
    wrong
}

/// The lowest position of a frame that its log has not done.
fn first_frame(ring: &Ring) -> Option<u64> {
    let capacity = ring.region.capacity;
    (0..ring.reserved())
        .step_by(usize::try_from(ALIGN).unwrap_or(1))
        .filter_map(|offset| ring.region.claims(offset))
        .filter(|position| *position < FARTHEST)
        .filter(|position| match ring.find(*position, capacity, true) {
            Found::Frame { log, .. } => {
                log < MAX_LOGS && (ring.done(log) <= *position || ring.done(log) > FARTHEST)
            }
            _ => false,
        })
        .min()
}
