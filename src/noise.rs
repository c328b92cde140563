//! What keeps an open log's noise down, [`crate::sample`] and [`crate::collapse`], and who writes what they have counted.
//!
//! Counts are written by the call that finds them due, by `flush` and at the end, and, as there may be no further call, by the writer
//! between two rounds. The writer must not wait for room that it has to make itself: where there is none, the counts stay.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::collapse::{Collapse, NEVER, Noted, Said};
use crate::fork;
use crate::json::{self, SEQ_PLACEHOLDER};
use crate::sample::{ANNOUNCE_EVERY, Decisions, Rate, Rule, Rules, Tally};
use crate::spool::producer::{Caller, Spool};
use crate::stats::Quieted;
use crate::sync::Mutex;

/// When the writer tries again what found no room, in microseconds.
const AGAIN: u64 = 10_000;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoiseSettings {
    /// Rules by logger prefix, or `http`.
    pub sample: Vec<(String, Rate)>,
    /// Within which time identical records become one.
    pub collapse: Option<Duration>,
}

/// Microseconds of a clock that only goes forward.
pub fn clock() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let since = BEGAN.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_micros()).unwrap_or(NEVER)
}

/// That of all logs of this process.
#[derive(Debug)]
pub struct Noise {
    logs: Mutex<Vec<Weak<LogNoise>>>,
    /// When the first of what is counted is to be written.
    due: AtomicU64,
    /// What logs that are gone had counted.
    retired: Mutex<Quieted>,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            logs: Mutex::default(),
            due: AtomicU64::new(NEVER),
            retired: Mutex::default(),
        }
    }
}

impl Noise {
    fn wake_at(&self, at: u64) {
        self.due.fetch_min(at, Relaxed);
    }

    fn standing(&self) -> Vec<Arc<LogNoise>> {
        self.logs.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Writes what is due: for the writer.
    pub fn write_due(&self) {
        if self.due.load(Relaxed) != NEVER {
            self.write_due_at(clock());
        }
    }

    /// The same at a time of [`clock`].
    pub fn write_due_at(&self, now: u64) {
        if self.due.load(Relaxed) > now {
            return;
        }
        // What is counted from here on sets it again.
        self.due.store(NEVER, Relaxed);
        for log in self.standing() {
            let (owed, due) = log.settle(now, false, false);
            self.wake_at(if owed { now + AGAIN } else { due });
        }
    }

    /// Writes all counts of repeated records, and with `announce` those of sampled ones. True where room was missing.
    pub fn settle(&self, announce: bool) -> bool {
        let now = clock();
        let owing = self
            .standing()
            .iter()
            .filter(|log| log.settle(now, true, announce).0)
            .count();
        owing > 0
    }

    /// What was sampled out and collapsed since the process began.
    #[must_use]
    pub fn counted(&self) -> Quieted {
        // Held meanwhile, so that none of them goes and is counted twice.
        let logs = self.standing();
        let mut counted = self.retired.lock().clone();
        for log in logs {
            log.add_to(&mut counted);
        }
        counted
    }
}

/// Where a log's lines go.
#[derive(Clone, Debug)]
struct Home {
    spool: Arc<Spool>,
    slot: usize,
}

/// That of one open log.
#[derive(Debug)]
pub struct LogNoise {
    forks: u64,
    all: Arc<Noise>,
    json: bool,
    /// `,"service":…` as in every record of the log.
    identity: Vec<u8>,
    rules: Option<Rules>,
    collapse: Option<Collapse>,
    home: Mutex<Option<Home>>,
    /// Held by whoever writes counts.
    settling: Mutex<()>,
    announce_at: AtomicU64,
}

impl LogNoise {
    /// For a log of JSON or text whose lines are not longer than `longest`; `None` where nothing is asked for.
    #[must_use]
    pub fn new(
        settings: &NoiseSettings,
        json: bool,
        identity: &[u8],
        longest: usize,
        all: &Arc<Noise>,
    ) -> Option<Arc<Self>> {
        let rules = settings.sample.iter().map(|(name, r)| (name.as_str(), *r));
        let window = settings
            .collapse
            .map(|window| u64::try_from(window.as_micros()).unwrap_or(NEVER / 2))
            .filter(|window| *window > 0);
        let rules = Rules::new(rules);
        let collapse = window.map(|window| Collapse::new(window, longest));
        (rules.is_some() || collapse.is_some())
            .then(|| Self::enter(all, json, identity.to_vec(), rules, collapse))
    }

    /// The same with nothing counted: in a forked child.
    #[must_use]
    pub fn afresh(&self, all: &Arc<Noise>) -> Arc<Self> {
        Self::enter(
            all,
            self.json,
            self.identity.clone(),
            self.rules.as_ref().and_then(Rules::afresh),
            self.collapse.as_ref().map(Collapse::afresh),
        )
    }

    fn enter(
        all: &Arc<Noise>,
        json: bool,
        identity: Vec<u8>,
        rules: Option<Rules>,
        collapse: Option<Collapse>,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            forks: fork::forks(),
            all: Arc::clone(all),
            json,
            identity,
            rules,
            collapse,
            home: Mutex::new(None),
            settling: Mutex::new(()),
            announce_at: AtomicU64::new(NEVER),
        });
        let mut logs = all.logs.lock();
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&this));
        drop(logs);
        this
    }

    /// Whether a fork lies between its making and now.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.forks != fork::forks()
    }

    /// Where counts are written from now on.
    pub fn move_to(&self, spool: &Arc<Spool>, slot: usize) {
        let home = Home {
            spool: Arc::clone(spool),
            slot,
        };
        drop(self.home.lock().replace(home));
        // What found no place before.
        self.all.wake_at(clock());
    }

    /// Writes everything: before the flush of a log that is being closed.
    pub fn announce(&self) {
        self.settle(clock(), true, true);
    }

    /// The log is closed: writes everything, and lets go of its spool.
    pub fn leave(&self) {
        self.settle(clock(), true, true);
        let home = self.home.lock().take();
        drop(home);
    }

    /// Its rules, if it samples.
    #[inline]
    #[must_use]
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// Its recent lines, if it collapses.
    #[inline]
    #[must_use]
    pub fn collapse(&self) -> Option<&Collapse> {
        self.collapse.as_ref()
    }

    /// Whether it keeps a record that rule `place` covers; `at` is microseconds since the epoch.
    pub fn keeps(&self, decisions: &mut Decisions, place: u16, at: i64) -> bool {
        let Some(rules) = &self.rules else {
            return true;
        };
        let verdict = decisions.decide(rules, place, at, clock);
        if verdict.begins {
            let due = clock().saturating_add(ANNOUNCE_EVERY);
            self.announce_at.fetch_min(due, Relaxed);
            self.all.wake_at(due);
        }
        verdict.kept
    }

    /// Counts a line or remembers it, waiting as `caller` has it.
    pub fn note(&self, said: &Said<'_>, caller: &mut dyn Caller) -> Noted {
        let Some(collapse) = &self.collapse else {
            return Noted::default();
        };
        let now = clock();
        let noted = collapse.try_note(said, now).unwrap_or_else(|| {
            let mut noted = Noted::default();
            caller.detached(&mut || noted = collapse.note(said, now));
            noted
        });
        if let Some(due) = noted.due {
            self.all.wake_at(due);
        }
        noted
    }

    /// Writes the counts of windows that have ended, or `all`, and announces what was sampled out when it is time or with `announce`.
    /// Whether room was missing, and when to come again.
    fn settle(&self, now: u64, all: bool, announce: bool) -> (bool, u64) {
        if self.is_inherited() {
            return (false, NEVER);
        }
        let _one_at_a_time = self.settling.lock();
        let Some(home) = self.home.lock().clone() else {
            return (false, NEVER);
        };
        if home.spool.successor().is_some() {
            return (false, NEVER); // It moves with its next record.
        }
        let mut write = |line: &mut Vec<u8>| home.spool.append_if_room(home.slot, line, self.json);
        let (mut owed, mut due) = (false, NEVER);
        if let Some(collapse) = &self.collapse {
            (owed, due) = collapse.settle(now, all, &mut write);
        }
        let announce_at = self.announce_at.load(Relaxed);
        if let Some(rules) = &self.rules
            && !owed
            && (announce || announce_at <= now)
        {
            // Before the counts are taken: what is counted afterwards sets it again.
            self.announce_at.store(NEVER, Relaxed);
            for rule in rules.iter() {
                let Some(tally) = rule.take() else { continue };
                if !write(&mut self.announcement(rule, tally)) {
                    rule.put_back(tally);
                    self.announce_at.fetch_min(now, Relaxed);
                    owed = true;
                }
            }
        }
        (owed, due.min(self.announce_at.load(Relaxed)))
    }

    /// The record that says what was sampled out.
    fn announcement(&self, rule: &Rule, tally: Tally) -> Vec<u8> {
        let Tally {
            kept, sampled_out, ..
        } = tally;
        let of = kept + sampled_out;
        let message = format!(
            "{sampled_out} of {of} records sampled out by the rule {:?} ({})",
            rule.name, rule.rate
        );
        let now = Timestamp::now();
        if !self.json {
            let local = now.to_zoned(jiff::tz::TimeZone::system());
            let time = local.strftime("%Y-%m-%d %H:%M:%S%.3f");
            return format!("{time} INFO logspool: {message}\n").into_bytes();
        }
        let mut line = b"{\"ts\":".to_vec();
        json::write_time(&mut line, now.as_microsecond());
        line.extend_from_slice(
            b",\"level\":\"INFO\",\"logger\":\"logspool\",\"event\":\"records_sampled\",\"message\":",
        );
        json::write_str(&mut line, &message);
        line.extend_from_slice(&self.identity);
        line.extend_from_slice(format!(",\"pid\":{}", std::process::id()).as_bytes());
        line.extend_from_slice(b",\"fields\":{\"rule\":");
        json::write_str(&mut line, &rule.name);
        line.extend_from_slice(
            format!(",\"kept\":{kept},\"sampled_out\":{sampled_out},\"first\":").as_bytes(),
        );
        json::write_time(&mut line, tally.first);
        line.extend_from_slice(b",\"last\":");
        json::write_time(&mut line, tally.last);
        line.push(b'}');
        line.extend_from_slice(SEQ_PLACEHOLDER);
        line
    }

    fn add_to(&self, counted: &mut Quieted) {
        for rule in self.rules.iter().flat_map(Rules::iter) {
            counted.sample_out(&rule.name, rule.sampled_out());
        }
        counted.collapsed += self.collapse.as_ref().map_or(0, Collapse::collapsed);
    }
}

impl Drop for LogNoise {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The parent's: its spool's descriptors were closed at the fork, and their numbers may be others' by now. Its locks may be
            // held by threads that are not here.
            std::mem::forget(self.home.get_mut().take());
            return;
        }
        self.settle(clock(), true, true);
        self.add_to(&mut self.all.retired.lock());
    }
}
