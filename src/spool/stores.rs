//! The open logs of one directory: their locks, and their trouble with the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::LogSettings;
use crate::error::{Context, Error, Result};
use crate::failpoint;
use crate::report;
use crate::segment::dir::LogDir;
use crate::segment::state::Intent;
use crate::segment::store::Store;
use crate::spool::drain::{Pass, Source};
use crate::spool::recover;
use crate::spool::ring::{MAX_LOGS, Ring};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The open logs of one directory, by file name.
#[derive(Debug)]
pub struct Stores {
    pub(super) dir: Arc<LogDir>,
    logs: HashMap<String, Log>,
}

#[derive(Debug, Default)]
struct Log {
    store: Option<Store>,
    trouble: Option<Trouble>,
}

/// A log that cannot be written just now: its records stay in the ring.
#[derive(Debug)]
struct Trouble {
    retry_at: Instant,
    delay: Duration,
}

impl Stores {
    /// No logs yet.
    #[must_use]
    pub fn new(dir: Arc<LogDir>) -> Self {
        Self {
            dir,
            logs: HashMap::new(),
        }
    }

    /// The store of log `name`, opened if need be.
    ///
    /// # Errors
    /// When its state cannot be opened.
    pub fn open(&mut self, name: &str, settings: &LogSettings) -> Result<&mut Store> {
        let log = self.logs.entry(name.to_owned()).or_default();
        if log.store.is_none() {
            log.store = Some(Store::open(Arc::clone(&self.dir), name, settings.clone())?);
        }
        log.store
            .as_mut()
            .ok_or_else(|| Error::invalid("cannot open the log", name, "its state is not open"))
    }

    /// All open stores.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Store> {
        self.logs.values_mut().filter_map(|l| l.store.as_mut())
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

    pub(super) fn store(&mut self, name: &str) -> Option<&mut Store> {
        self.logs.get_mut(name)?.store.as_mut()
    }

    /// Locks every log that may have something to write; by number in the ring, the names of those locked.
    pub(super) fn lock_pending(
        &mut self,
        source: Source<'_>,
        pass: &mut Pass,
    ) -> Vec<Option<String>> {
        let mut ready = vec![None; MAX_LOGS];
        for (slot, place) in ready.iter_mut().enumerate() {
            let pending = source.spool.is_none_or(|s| s.is_pending(slot));
            if !pending {
                continue;
            }
            let Some(name) = source.ring.log_name(slot) else {
                continue;
            };
            match self.lock(&name, slot, source) {
                Ok(true) => *place = Some(name),
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
        let now = Instant::now();
        let log = self.logs.entry(name.to_owned()).or_default();
        if log.trouble.as_ref().is_some_and(|t| now < t.retry_at)
            && !failpoint::switched("no-backoff")
        {
            return Err(());
        }
        let locked = self
            .open(name, &source.ring.log_settings(slot))
            .map_err(|e| e.to_string())
            .and_then(|store| {
                let locked = store
                    .try_lock(&mut |intent| finished(source, intent))
                    .map_err(|e| e.to_string())?;
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

    pub(super) fn troubled(&mut self, name: &str, error: &str) {
        let path = self.dir.path().join(name);
        let Some(log) = self.logs.get_mut(name) else {
            return;
        };
        let delay = match &log.trouble {
            None => {
                report::say(&format!(
                    "cannot write {}: {error}; records are kept in the spool and written when this heals",
                    path.display()
                ));
                FIRST_RETRY
            }
            Some(t) => (t.delay * 2).min(LAST_RETRY),
        };
        log.trouble = Some(Trouble {
            retry_at: Instant::now() + delay,
            delay,
        });
    }

    fn healed(&mut self, name: &str) {
        if let Some(log) = self.logs.get_mut(name)
            && log.trouble.take().is_some()
        {
            report::say(&format!(
                "writing {} again",
                self.dir.path().join(name).display()
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
