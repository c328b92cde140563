//! Recovery without a running engine: what a starting process does for the rings and intents dead ones left, for the
//! `logspool recover` command. It is the same code; what is added is that it waits for locks and tells what it did.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Dir;

use crate::config::{LogSettings, SpoolPlace};
use crate::error::{Context, Result};
use crate::failpoint;
use crate::segment::dir::LogDir;
use crate::segment::state::Intent;
use crate::segment::state::peek::{Seen, peek};
use crate::spool::place;
use crate::spool::recover::{self, Fate, Recovered};
use crate::spool::ring::MAX_LOGS;
use crate::spool::stores::Stores;

/// How states are named. Our own names: case matters.
const STATE: &str = ".state";
/// Between two tries for what another process holds.
const PAUSE: Duration = Duration::from_millis(20);

/// One ring and what became of it.
#[derive(Clone, Debug)]
pub struct RingReport {
    /// Where it stands.
    pub place: PathBuf,
    /// Its file name there.
    pub name: String,
    /// What was done; its `fate` says what became of the ring.
    pub done: Recovered,
}

/// An append that a killed process left half done, and which no ring led to.
#[derive(Clone, Debug)]
pub struct IntentReport {
    /// The log.
    pub log: String,
    /// Records in it.
    pub records: u64,
    /// Why it could not be finished.
    pub left: Option<String>,
}

/// What was found and done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rings, those of living processes too.
    pub rings: Vec<RingReport>,
    /// Intents.
    pub intents: Vec<IntentReport>,
}

impl Report {
    fn heard(&mut self, place: &Path, name: &str, done: Recovered) {
        let known = self
            .rings
            .iter_mut()
            .find(|r| r.name == name && r.place == place);
        if let Some(ring) = known {
            ring.done = Recovered {
                records: ring.done.records + done.records,
                ..done
            };
        } else {
            self.rings.push(RingReport {
                place: place.to_owned(),
                name: name.to_owned(),
                done,
            });
        }
    }

    fn is_unfinished(&self) -> bool {
        self.rings.iter().any(|r| r.done.fate == Fate::Unfinished)
    }
}

/// Adopts the orphans of the log directory `path`: in its own directories, in shared memory and below `spool_dirs`; then
/// finishes intents that no ring led to. What another process holds is tried again for as long as `patience`.
///
/// # Errors
/// When the directory cannot be opened; trouble with one ring or log is in the report.
pub fn recover(path: &Path, spool_dirs: &[PathBuf], patience: Duration) -> Result<Report> {
    let deadline = Instant::now() + patience;
    let mut report = Report::default();
    let mut dirs = LogDir::standing(path)?;
    let elsewhere = places_of(path, spool_dirs)?;
    let has_rings = |fd: &OwnedFd| recover::rings(fd.as_fd()).is_ok_and(|r| !r.is_empty());
    if dirs.is_empty() && elsewhere.iter().any(|(_, fd)| has_rings(fd)) {
        // Rings elsewhere, and somebody removed `.logspool/`: a starting process makes it again.
        dirs = vec![LogDir::open(path, LogSettings::default().dir_mode)?];
    }
    for (first, dir) in dirs.into_iter().enumerate().map(|(i, d)| (i == 0, d)) {
        let dir = Arc::new(dir);
        let own = (recover::own_path(&dir), dir.own());
        let mut places = vec![own];
        if first {
            places.extend(elsewhere.iter().map(|(p, fd)| (p.clone(), fd.as_fd())));
        }
        let mut stores = Stores::new(Arc::clone(&dir));
        adopt(&places, &mut stores, &mut report, deadline)?;
        finish_intents(&dir, &places, &mut stores, &mut report, deadline)?;
    }
    Ok(report)
}

/// The places beside `.logspool/` that hold rings of the directory.
fn places_of(path: &Path, spool_dirs: &[PathBuf]) -> Result<Vec<(PathBuf, OwnedFd)>> {
    let shown = path.display().to_string();
    let stat = rustix::fs::stat(path).context("cannot inspect the log directory", &shown)?;
    let mut wanted = vec![SpoolPlace::Shm];
    wanted.extend(
        spool_dirs
            .iter()
            .map(|p| SpoolPlace::Directory(p.display().to_string())),
    );
    Ok(wanted
        .iter()
        .filter_map(|place| place::existing(place, (stat.st_dev, stat.st_ino)))
        .collect())
}

fn adopt(
    places: &[(PathBuf, BorrowedFd<'_>)],
    stores: &mut Stores,
    report: &mut Report,
    deadline: Instant,
) -> Result<()> {
    loop {
        for (path, place) in places {
            let shown = path.display().to_string();
            recover::adopt_each(*place, stores, &mut |name, done| {
                report.heard(path, name, done);
            })
            .context("cannot look for spools of dead processes", &shown)?;
        }
        if !report.is_unfinished() || Instant::now() >= deadline {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

fn finish_intents(
    dir: &LogDir,
    places: &[(PathBuf, BorrowedFd<'_>)],
    stores: &mut Stores,
    report: &mut Report,
    deadline: Instant,
) -> Result<()> {
    let shown = recover::own_path(dir).display().to_string();
    for file in states(dir.own()).context("cannot list", &shown)? {
        let log = file.trim_end_matches(STATE).to_owned();
        while let Some((records, settings)) = left_behind(dir, &file) {
            failpoint::point("by-hand-intent");
            let mut finished = false;
            let tried = stores
                .open(&log, &settings)
                .map_err(|e| e.to_string())
                .and_then(|store| {
                    let locked = store
                        .try_lock(&mut |intent| {
                            finished = true;
                            advance(places, intent)
                        })
                        .map_err(|e| e.to_string())?;
                    store.unlock();
                    Ok(locked)
                });
            let left = match tried {
                Ok(true) if finished => None,
                Ok(true) => break, // Its own writer was faster.
                // A living writer's append under way, which it finishes itself.
                Ok(false) if Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Ok(false) => Some("another process holds the log's lock".to_owned()),
                Err(e) => Some(e),
            };
            report.intents.push(IntentReport { log, records, left });
            break;
        }
    }
    Ok(())
}

/// How many lines the intent in a state file has, with the settings in force: they go with it, so that nothing is decided for who opens the
/// log next.
fn left_behind(dir: &LogDir, file: &str) -> Option<(u64, LogSettings)> {
    match peek(dir.own(), file) {
        Ok(Seen::State(state)) => state
            .intent
            .map(|_| (state.lines_staged(), state.settings.unwrap_or_default())),
        _ => None,
    }
}

/// Tells the ring an intent came from that it is done; false when it is in none of the places.
fn advance(places: &[(PathBuf, BorrowedFd<'_>)], intent: &Intent) -> bool {
    let slot = usize::try_from(intent.slot).unwrap_or(MAX_LOGS);
    if slot >= MAX_LOGS {
        return true;
    }
    places.iter().any(|(_, place)| {
        let Ok(Some(ring)) = recover::find_ring(*place, intent.ring) else {
            return false;
        };
        ring.advance(slot, intent.reached);
        true
    })
}

fn states(own: BorrowedFd<'_>) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(own)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name.ends_with(STATE)
        {
            found.push(name.to_owned());
        }
    }
    found.sort();
    Ok(found)
}
