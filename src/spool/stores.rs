//! The open logs of one directory: their locks, and their trouble with the disk.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::config::LogSettings;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::report;
use crate::segment::dir::LogDir;
use crate::segment::state::Intent;
use crate::segment::store::Store;
use crate::spool::drain::{Pass, Source};
use crate::spool::notice;
use crate::spool::recover;
use crate::spool::ring::{MAX_LOGS, Ring};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The open logs of one directory.
#[derive(Debug)]
pub struct Stores {
    pub(super) dir: Arc<LogDir>,
    /// Each keeps its place: a pass looks its logs up once, and not with every frame.
    logs: Vec<Log>,
    /// The directory is gone and cannot be made again just now.
    gone: Option<Trouble>,
}

#[derive(Debug, Default)]
struct Log {
    name: String,
    store: Option<Store>,
    trouble: Option<Trouble>,
}

/// A log that cannot be written just now: its records stay in the ring.
#[derive(Clone, Debug)]
struct Trouble {
    retry_at: Instant,
    delay: Duration,
    /// What began it, and when.
    error: String,
    errno: Option<i32>,
    since: jiff::Timestamp,
    began: Instant,
}

impl Trouble {
    fn new(error: &io::Error) -> Self {
        Self {
            retry_at: Instant::now() + FIRST_RETRY,
            delay: FIRST_RETRY,
            error: error.to_string(),
            errno: error.raw_os_error(),
            since: jiff::Timestamp::now(),
            began: Instant::now(),
        }
    }

    /// The directory was deleted and is there again.
    fn deleted() -> Self {
        Self {
            error: "the log directory was deleted by something other than logspool".to_owned(),
            ..Self::new(&Errno::NOENT.into())
        }
    }

    fn again(&mut self) {
        self.delay = (self.delay * 2).min(LAST_RETRY);
        self.retry_at = Instant::now() + self.delay;
    }

    fn is_waiting(&self) -> bool {
        Instant::now() < self.retry_at
    }
}

impl Stores {
    /// No logs yet.
    #[must_use]
    pub fn new(dir: Arc<LogDir>) -> Self {
        Self {
            dir,
            logs: Vec::new(),
            gone: None,
        }
    }

    /// Whether the directory was looked for in vain a moment ago.
    #[must_use]
    pub fn waits_for_dir(&self) -> bool {
        self.gone.as_ref().is_some_and(Trouble::is_waiting)
    }

    /// The directory is gone and could not be made again.
    pub fn miss_dir(&mut self, error: &Error) {
        if let Some(trouble) = &mut self.gone {
            return trouble.again();
        }
        self.gone = Some(Trouble::new(error.cause()));
        report::say(&format!(
            "the log directory {} was deleted and cannot be made again: {error}; records are kept in the spool and \
             written when this heals",
            self.dir.path().display()
        ));
    }

    /// What took the place of this directory has its troubles, and says in each log when they are over. Without any it was
    /// `deleted`, which is said too.
    pub fn hand_over(&mut self, next: &mut Self, deleted: bool) {
        for log in &mut self.logs {
            let trouble = log.trouble.take().or_else(|| self.gone.clone());
            if let Some(mut trouble) = trouble.or_else(|| deleted.then(Trouble::deleted)) {
                trouble.retry_at = Instant::now();
                next.entry(&log.name).trouble.get_or_insert(trouble);
            }
        }
    }

    /// The store of log `name`, opened if need be.
    ///
    /// # Errors
    /// When its state cannot be opened.
    pub fn open(&mut self, name: &str, settings: &LogSettings) -> Result<&mut Store> {
        let dir = Arc::clone(&self.dir);
        let log = self.entry(name);
        if log.store.is_none() {
            log.store = Some(Store::open(dir, name, settings.clone())?);
        }
        log.store
            .as_mut()
            .ok_or_else(|| Error::invalid("cannot open the log", name, "its state is not open"))
    }

    /// Closes the files of all logs. What comes after all opens them again.
    pub fn close(&mut self) {
        self.logs.clear();
    }

    /// All open stores.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Store> {
        self.logs.iter_mut().filter_map(|l| l.store.as_mut())
    }

    /// Takes the lock of log `name` and finishes what a killed process left there, so that trouble shows at start.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn prepare(
        &mut self,
        name: &str,
        settings: &LogSettings,
        source: Source<'_>,
    ) -> Result<()> {
        let shown = self.dir.path().join(name).display().to_string();
        let store = self.open(name, settings)?;
        store
            .claim(settings)
            .context("cannot open the log", &shown)?;
        let locked = store
            .try_lock(&mut |intent| finished(source, intent))
            .map_err(|e| Error::new("cannot write the log", shown, e))?;
        if locked {
            store.unlock();
        }
        Ok(())
    }

    /// The place of log `name`, if it was ever opened.
    fn find(&self, name: &str) -> Option<usize> {
        self.logs.iter().position(|l| l.name == name)
    }

    fn entry(&mut self, name: &str) -> &mut Log {
        let at = self.find(name).unwrap_or_else(|| {
            self.logs.push(Log {
                name: name.to_owned(),
                ..Log::default()
            });
            self.logs.len() - 1
        });
        &mut self.logs[at]
    }

    pub(super) fn store(&mut self, name: &str) -> Option<&mut Store> {
        self.find(name).and_then(|at| self.store_at(at))
    }

    /// The store in place `at` of those [`Self::lock_pending`] gave.
    #[inline]
    pub(super) fn store_at(&mut self, at: usize) -> Option<&mut Store> {
        self.logs.get_mut(at)?.store.as_mut()
    }

    /// The name of the log in place `at`.
    pub(super) fn name_at(&self, at: usize) -> String {
        self.logs
            .get(at)
            .map_or_else(String::new, |l| l.name.clone())
    }

    /// Locks every log that may have something to write; by number in the ring, the places of those locked.
    pub(super) fn lock_pending(
        &mut self,
        source: Source<'_>,
        pass: &mut Pass,
    ) -> Vec<Option<usize>> {
        let mut ready = vec![None; MAX_LOGS];
        for (slot, place) in ready.iter_mut().enumerate() {
            let pending = source.spool.is_none_or(|s| s.is_pending(slot));
            if !pending {
                continue;
            }
            let Some(name) = source.ring.log_name(slot) else {
                continue;
            };
            if source.behind.iter().any(|s| s.has_pending(&name)) {
                continue;
            }
            match self.lock(&name, slot, source) {
                Ok(true) => *place = self.find(&name),
                Ok(false) => pass.contended = true,
                Err(()) => {}
            }
        }
        ready
    }

    /// Locks one log, with back-off after trouble. `Err` while it is in trouble.
    pub(super) fn lock(
        &mut self,
        name: &str,
        slot: usize,
        source: Source<'_>,
    ) -> std::result::Result<bool, ()> {
        let log = self.entry(name);
        if log.trouble.as_ref().is_some_and(Trouble::is_waiting)
            && !failpoint::switched("no-backoff")
        {
            return Err(());
        }
        let locked = self
            .open(name, &source.ring.log_settings(slot))
            .map_err(io::Error::from)
            .and_then(|store| {
                let locked = store.try_lock(&mut |intent| finished(source, intent))?;
                if locked {
                    settle(source.ring, store);
                }
                Ok(locked)
            });
        match locked {
            Ok(locked) => {
                if locked {
                    self.healed(name);
                }
                Ok(locked)
            }
            Err(e) => {
                self.troubled(name, &e);
                Err(())
            }
        }
    }

    /// The log cannot be written just now: said once, until it heals.
    pub fn troubled(&mut self, name: &str, error: &io::Error) {
        let path = self.dir.path().join(name);
        let Some(at) = self.find(name) else {
            return;
        };
        let log = &mut self.logs[at];
        if let Some(trouble) = &mut log.trouble {
            return trouble.again();
        }
        log.trouble = Some(Trouble::new(error));
        report::say(&format!(
            "cannot write {}: {error}; records are kept in the spool and written when this heals",
            path.display()
        ));
    }

    /// Says that it is over: on standard error, and in the log before its next record.
    fn healed(&mut self, name: &str) {
        let Some(at) = self.find(name) else {
            return;
        };
        let log = &mut self.logs[at];
        let Some(over) = log.trouble.take() else {
            return;
        };
        report::say(&format!(
            "writing {} again",
            self.dir.path().join(name).display()
        ));
        if let Some(store) = &mut log.store {
            store.tell(notice::trouble_ended(
                &over.error,
                over.errno,
                over.since,
                over.began.elapsed(),
            ));
        }
    }
}

/// Tells `ring` what others who could not see it have finished for it; the note goes when the ring knows.
fn settle(ring: &Ring, store: &Store) {
    let Some(note) = store.finished_for(ring.id()) else {
        return;
    };
    if let Ok(slot) = usize::try_from(note.slot)
        && slot < MAX_LOGS
    {
        ring.advance(slot, note.reached);
    }
    store.forget_finished(ring.id());
}

/// Advances the ring an inherited intent came from: this one, or another one of the directory. False when it cannot be
/// seen from here.
fn finished(source: Source<'_>, intent: &Intent) -> bool {
    let slot = usize::try_from(intent.slot).unwrap_or(MAX_LOGS);
    if slot >= MAX_LOGS {
        return true;
    }
    if intent.ring == source.ring.id() {
        source.ring.advance(slot, intent.reached);
        return true;
    }
    match recover::find_ring(source.place, intent.ring) {
        Ok(Some(other)) => {
            other.advance(slot, intent.reached);
            true
        }
        // Drained and gone, or in a place of its own, or we are out of descriptors.
        Ok(None) | Err(_) => false,
    }
}
