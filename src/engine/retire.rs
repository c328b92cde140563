//! What no handler uses any more is given back: a spool of a directory whose logs are all closed, with its descriptors and its ring.

use rustix::fs::AtFlags;

use crate::engine::Engine;
use crate::spool::producer::Spool;
use crate::spool::ring::{self, MAX_LOGS};

impl Engine {
    /// Closes the spools that nobody uses and that hold nothing. The one of the directory `wanted` is kept, unless its
    /// table is full: a program that logs to ever other files needs a fresh one.
    ///
    /// Under the lock `opening`, so that nobody starts to use one meanwhile.
    pub(super) fn close_unused(&self, wanted: (u64, u64)) {
        let spools = self.shared.spools.lock().clone();
        for spool in spools {
            let idle = spool.users() == 0 && !spool.is_closed();
            let kept = spool.dir.id() == wanted && spool.lock().logs() < MAX_LOGS;
            let empty = spool.head() == spool.ring.tail() && !spool.has_unannounced();
            if idle && !kept && empty && spool.close() {
                unlink(&spool);
            }
        }
    }

    /// Takes the closed spools that `which` names off the list; what they counted stays.
    pub(super) fn forget_closed(&self, which: impl Fn(&Spool) -> bool) {
        let mut spools = self.shared.spools.lock();
        let before = spools.len();
        spools.retain(|spool| {
            let gone = spool.is_closed() && which(spool);
            if gone {
                self.shared.retired.lock().add(&spool.totals());
            }
            !gone
        });
        if spools.len() != before {
            self.shared.spools_changed(); // The writer lets go of them.
        }
    }
}

/// Unlinks the ring of a closed spool that holds nothing.
pub(super) fn unlink(spool: &Spool) {
    if spool.ring.is_durable() {
        let name = ring::file_name(spool.ring.id());
        let _ = rustix::fs::unlinkat(&spool.place, name, AtFlags::empty());
    }
}
