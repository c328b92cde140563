//! The writer's part in putting one spool in another's place; see [`crate::spool::successor`].

use std::sync::Arc;

use super::{Shared, sync_each};
use crate::error::Result;
use crate::report;
use crate::spool::producer::Spool;

impl Shared {
    /// Puts another spool in the place of one whose ring failed or whose directory is gone; false when that has to wait.
    pub(super) fn replace(&self, spool: &Arc<Spool>) -> bool {
        let mut stores = spool.stores.lock();
        if spool.successor().is_some() {
            return true;
        }
        if stores.waits_for_dir() {
            return false;
        }
        let broken = spool.is_damaged();
        let made = spool.reopen_dir().and_then(|dir| {
            // Looked at outside the lock: a dead device may take its time.
            let standing = self.spools.lock().clone();
            let same = |s: &&Arc<Spool>| {
                !Arc::ptr_eq(s, spool) && !s.is_closed() && s.dir.id() == dir.id() && !s.is_lost()
            };
            if let Some(same) = standing.iter().find(same) {
                return Ok(Arc::clone(same));
            }
            spool.another(Arc::new(dir)).map(Arc::new)
        });
        let next = match made {
            Ok(next) => next,
            Err(e) => {
                stores.miss_dir(&e);
                return false;
            }
        };
        {
            // Retirement, which looks at the list too, comes before or after this.
            let mut spools = self.spools.lock();
            if next.is_closed() && next.successor().is_none() {
                return false; // It went meanwhile. The next look finds or makes another.
            }
            spool.give_way(&next);
            if !spools.iter().any(|s| Arc::ptr_eq(s, &next)) {
                spools.push(next);
            }
        }
        self.spools_changed();
        let newest = spool.newest();
        let home = newest.as_ref().unwrap_or(spool);
        stores.hand_over(&mut home.stores.lock(), !broken);
        let path = spool.dir.path().display();
        report::say(&if broken {
            format!(
                "the spool of {path} failed or was truncated by something other than logspool; what can be read of it is \
                 written, what was lost is announced in the log, and logging goes on in another spool"
            )
        } else {
            format!(
                "the log directory {path} (or .logspool in it) was deleted by something other than logspool; it is made \
                 again, and logging goes on there"
            )
        });
        true
    }

    /// Puts another spool in the place of one whose table is full of logs that are closed, in the same directory. Logs that are open move
    /// there with their next record.
    ///
    /// # Errors
    /// When there is no place for its ring.
    pub fn turn_over(&self, spool: &Arc<Spool>) -> Result<Arc<Spool>> {
        let mut stores = spool.stores.lock();
        if let Some(newest) = spool.newest() {
            return Ok(newest);
        }
        let next = Arc::new(spool.another(Arc::clone(&spool.dir))?);
        {
            // Retirement, which looks at the list too, comes before or after this.
            let mut spools = self.spools.lock();
            spool.give_way(&next);
            spools.push(Arc::clone(&next));
        }
        self.spools_changed();
        stores.hand_over(&mut next.stores.lock(), false);
        // Its files are open for nothing from now on, and idle logs may have it for long.
        sync_each(spool, &mut stores);
        stores.close();
        Ok(next)
    }

    /// Lets go of a spool that has given way and is empty. It is counted as long as a log has it: a thread that waited for room in
    /// it may still commit there.
    pub(super) fn let_go(&self, spool: &Arc<Spool>) {
        if spool.successor().is_some() && spool.finish() {
            self.retire_unused();
        }
    }
}
