//! Opening a log: its directory, the spool there, what dead processes left, and the log's own state.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::config::{Fsync, LogSettings, SpoolSettings};
use crate::engine::{Engine, Log};
use crate::error::{Error, Result};
use crate::janitor::Job;
use crate::report;
use crate::segment::dir::LogDir;
use crate::segment::naming;
use crate::spool::place;
use crate::spool::producer::Spool;
use crate::spool::ring::MAX_LOGS;
use crate::spool::stores::Stores;
use crate::spool::successor::make_ring;
use crate::writer::source;

/// How long a log that needs another spool waits for what the one before it holds.
const TURN_OVER: Duration = Duration::from_secs(1);

impl Engine {
    /// Opens the log at `path`, or shares it where this process already has it.
    ///
    /// # Errors
    /// When the path cannot hold a log: a full disk is not a reason, as records then wait in the spool.
    pub fn open(&self, path: &Path, settings: &LogSettings, spool: &SpoolSettings) -> Result<Log> {
        let (parent, name) = split(path)?;
        let dir = LogDir::open_for(&parent, settings.dir_mode, &name)?;
        let _one_at_a_time = self.opening.lock();
        let spool = self.spool_for(dir, spool)?;
        let spool = self.with_place(spool, &name, false);
        self.enter(spool, &name, settings, false)
    }

    /// Opens a log the parent had open: relative to the directory it resolved.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&self, log: &Log, settings: &LogSettings, spool: &SpoolSettings) -> Result<Log> {
        let newest = log.spool.newest();
        let newest = newest.as_ref().unwrap_or(&log.spool);
        let stands = !log.is_inherited() && {
            // While the list is locked it does not go; counted as in use, it does not go afterwards.
            let _list = self.shared.spools.lock();
            let stands = !newest.is_closed();
            if stands {
                newest.users.fetch_add(1, Ordering::SeqCst);
            }
            stands
        };
        if stands {
            let _one_at_a_time = self.opening.lock();
            let spool = self.with_place(Arc::clone(newest), &log.name, true);
            return self.enter(spool, &log.name, settings, true);
        }
        let dir = newest.dir.reopen(settings.dir_mode)?;
        let _one_at_a_time = self.opening.lock();
        let spool = self.spool_for(dir, spool)?;
        let spool = self.with_place(spool, &log.name, true);
        self.enter(spool, &log.name, settings, true)
    }

    /// Enters the log in `spool`, which counts it among its users. Trouble with its files is an error at the start of a program, where somebody can act on
    /// it, unless it is of the kind that passes; a log that was open keeps its records in the spool whatever happens.
    fn enter(
        &self,
        spool: Arc<Spool>,
        name: &str,
        settings: &LogSettings,
        was_open: bool,
    ) -> Result<Log> {
        self.finished.store(false, Ordering::SeqCst);
        let opened = self.open_on(&spool, name, settings, was_open);
        let slot = opened.inspect_err(|_| {
            spool.users.fetch_sub(1, Ordering::SeqCst);
        })?;
        self.shared.resume();
        self.shared.start();
        Ok(Log {
            slot,
            name: name.to_owned(),
            durable: settings.fsync == Fsync::Record,
            forks: self.forks,
            shared: Arc::clone(&self.shared),
            spool,
        })
    }

    fn open_on(
        &self,
        spool: &Arc<Spool>,
        name: &str,
        settings: &LogSettings,
        was_open: bool,
    ) -> Result<usize> {
        let slot = spool.enter(name, settings)?;
        {
            let mut stores = spool.stores.lock();
            if let Err(e) = stores.prepare(name, settings, source(spool)) {
                if !was_open && !is_passing(&e) {
                    return Err(e);
                }
                stores.troubled(name, e.cause());
            }
        }
        self.look_after(spool, name);
        Ok(slot)
    }

    /// The spool of a directory; the caller is counted among its users.
    fn spool_for(&self, dir: LogDir, settings: &SpoolSettings) -> Result<Arc<Spool>> {
        self.drop_ended();
        let standing = self.standing(&dir);
        if let Some(spool) = standing {
            if spool.settings != *settings {
                report::say(&format!(
                    "the logs in {} share the spool that was opened first, with its settings (spool_bytes, spool_dir, \
                     when_full, block_timeout, queue_max)",
                    spool.dir.path().display()
                ));
            }
            return Ok(spool);
        }
        let dir = Arc::new(dir);
        let mut place = place::open(&dir, &settings.place)?;
        // Before the first record of this process: what its predecessors accepted comes first. And before its ring: it
        // shall not be one too many.
        let mut stores = Stores::new(Arc::clone(&dir));
        self.shared.adopt_first(&dir, place.as_fd(), &mut stores);
        let ring = make_ring(&dir, &mut place, settings)?;
        let spool = Spool::new(
            ring,
            dir,
            place,
            settings.clone(),
            Arc::clone(&self.shared.waker),
        );
        *spool.stores.lock() = stores;
        spool.users.fetch_add(1, Ordering::SeqCst);
        let spool = Arc::new(spool);
        {
            let mut spools = self.shared.spools.lock();
            let left = |s: &&Arc<Spool>| {
                s.is_closed() && s.successor().is_none() && s.dir.id() == spool.dir.id()
            };
            for earlier in spools.iter().filter(left) {
                // What a shutdown could not write any more comes first.
                earlier.give_way(&spool);
                if let Some(mut stores) = earlier.stores.try_lock() {
                    stores.hand_over(&mut spool.stores.lock(), false);
                }
            }
            spools.push(Arc::clone(&spool));
        }
        self.shared.spools_changed();
        Ok(spool)
    }

    /// The spool, in which the caller is counted, or, where its table is full of logs that are closed, another one in its place: a
    /// file a session makes any number of logs in the life of a process, few of them open at a time.
    fn with_place(&self, spool: Arc<Spool>, name: &str, was_open: bool) -> Arc<Spool> {
        // A log that moves is counted twice meanwhile, and had a place before.
        if spool.has_place(name) || !(was_open || self.open_beside(&spool) <= MAX_LOGS) {
            return spool;
        }
        let next = match self.shared.turn_over(&spool) {
            Ok(next) => next,
            Err(e) => {
                report::say(&e.to_string());
                return spool;
            }
        };
        next.users.fetch_add(1, Ordering::SeqCst);
        spool.users.fetch_sub(1, Ordering::SeqCst);
        // Nobody moves there before this is done. What a dead device holds up is carried over by the writer; after a kill in that
        // time alone the older records might come after newer ones.
        let deadline = Instant::now() + TURN_OVER;
        while spool.is_in_use() && Instant::now() < deadline {
            self.shared.drain(&spool);
            if spool.is_in_use() {
                self.shared.wait_progress(Duration::from_millis(1));
            }
        }
        next
    }

    /// How many times logs of the spool's directory are open in this process.
    fn open_beside(&self, spool: &Spool) -> usize {
        let spools = self.shared.spools.lock();
        spools
            .iter()
            .filter(|s| s.dir.id() == spool.dir.id())
            .map(|s| s.users.load(Ordering::SeqCst))
            .sum()
    }

    /// Takes out the spools that were shut down. One that has given way is closed too, and stays until it is empty; so does one
    /// that the shutdown could not empty.
    fn drop_ended(&self) {
        let mut ended = Vec::new();
        self.shared.spools.lock().retain(|s| {
            let ends = s.is_closed() && s.successor().is_none() && !s.is_in_use();
            if ends {
                self.shared.retired.lock().add(&s.totals());
                ended.push(Arc::clone(s));
            }
            !ends
        });
        for spool in ended {
            spool.give_back();
        }
    }

    /// The spool that serves `dir`, if there is one; the caller is counted among its users.
    fn standing(&self, dir: &LogDir) -> Option<Arc<Spool>> {
        let mut candidates = self.shared.spools.lock().clone();
        candidates.retain(|s| !s.is_closed() && s.dir.id() == dir.id());
        // Looked at outside the lock: a dead device may take its time.
        let found = candidates.into_iter().find(|s| !s.is_lost())?;
        // While the list is locked it does not go; counted as in use, it does not go afterwards.
        let list = self.shared.spools.lock();
        if found.is_closed() {
            drop(list);
            return self.standing(dir); // It has given way meanwhile.
        }
        found.users.fetch_add(1, Ordering::SeqCst);
        drop(list);
        Some(found)
    }

    /// Segments an earlier process did not get round to compress or retire.
    fn look_after(&self, spool: &Arc<Spool>, name: &str) {
        let closed = naming::list(spool.dir.fd(), name).map_or(0, |l| l.len());
        if closed <= 2 {
            return;
        }
        for store in spool.stores.lock().iter_mut() {
            if store.name() == name {
                self.shared.janitor.request(Job {
                    dir: Arc::clone(&spool.dir),
                    name: name.to_owned(),
                    current: store.segment_number(),
                    settings: store.settings().clone(),
                });
            }
        }
    }
}

/// Directory and file name of a log path.
fn split(path: &Path) -> Result<(PathBuf, String)> {
    let shown = path.display().to_string();
    let refuse = |why: &str| Error::invalid("cannot open the log", shown.clone(), why);
    let name = path
        .file_name()
        .ok_or_else(|| refuse("the path has no file name; give one such as logs/app.jsonl"))?
        .to_str()
        .ok_or_else(|| refuse("the file name is not UTF-8"))?
        .to_owned();
    naming::check_name(&name).map_err(|why| refuse(&why))?;
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}

/// Whether trouble is of the kind that passes: the records wait for it.
fn is_passing(e: &Error) -> bool {
    [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::IO,
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::STALE,
        Errno::TIMEDOUT,
        Errno::NFILE,
        Errno::MFILE,
    ]
    .iter()
    .any(|n| e.errno() == Some(n.raw_os_error()))
}
