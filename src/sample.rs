//! Sampling: which of the records below WARNING are kept. Decided before a record is encoded.
//!
//! A [`Rules`] belongs to one open log and counts for it. A record that reaches several logs under the same rule is decided once
//! ([`Decisions`]), by the first of them, so that all keep the same ones; each counts what it was spared.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use smallvec::SmallVec;

use crate::sync::Mutex;

/// Records of this level and above are always kept.
pub const WARNING: i64 = 30;
/// Up to this level records are sampled by [`HTTP`], too.
pub const DEBUG: i64 = 10;
/// The rule for the DEBUG records of [`HTTP_CLIENTS`].
pub const HTTP: &str = "http";
/// Loggers of HTTP clients, with their children.
pub const HTTP_CLIENTS: [&str; 12] = [
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "urllib3",
    "requests",
    "aiohttp.client",
    "openai",
    "anthropic",
    "h11",
    "h2",
    "hpack",
];
/// Our own logger: the rule for all loggers does not mean it.
const OWN: &str = "logspool";
/// Microseconds between two announcements of one rule.
pub const ANNOUNCE_EVERY: u64 = 60_000_000;
const SECOND: u64 = 1_000_000;

/// How many records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// The first of so many.
    OneIn(u64),
    /// At most so many a second in the long run, and as many at once after a quiet second.
    PerSecond(u64),
}

impl FromStr for Rate {
    type Err = String;

    /// `10`: 1 in 10; `10/s`: 10 a second.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, per_second) = match text.strip_suffix("/s") {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse::<u32>() {
            Ok(number) if number > 0 && per_second => Ok(Self::PerSecond(number.into())),
            Ok(number) if number > 0 => Ok(Self::OneIn(number.into())),
            _ => Err(format!(
                "sample: {text}: expected N (keep 1 in N) or N/s (keep N a second), N of 1 or more"
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneIn(number) => write!(f, "1 in {number}"),
            Self::PerSecond(number) => write!(f, "{number} a second"),
        }
    }
}

/// What became of a log's records under one rule since the last announcement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kept.
    pub kept: u64,
    /// Not kept.
    pub sampled_out: u64,
    /// When the first was not kept, in microseconds since the epoch.
    pub first: i64,
    /// When the last was not kept.
    pub last: i64,
}

impl Tally {
    /// Adds what was counted before this.
    fn precede(&mut self, earlier: Self) {
        self.kept += earlier.kept;
        if self.sampled_out == 0 {
            (self.first, self.last) = (earlier.first, earlier.last);
        } else if earlier.sampled_out > 0 {
            self.first = self.first.min(earlier.first);
            self.last = self.last.max(earlier.last);
        }
        self.sampled_out += earlier.sampled_out;
    }
}

/// One rule of one log.
#[derive(Debug)]
pub struct Rule {
    /// As in the settings.
    pub name: String,
    /// How many it keeps.
    pub rate: Rate,
    /// The same for every log that has this rule.
    identity: u64,
    /// Records decided so far, or, where a second counts, when the bucket will be full again (microseconds).
    spent: AtomicU64,
    tally: Mutex<Tally>,
    sampled_out: AtomicU64,
}

impl Rule {
    fn new(name: &str, rate: Rate) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, rate).hash(&mut hasher);
        Self {
            name: name.to_owned(),
            rate,
            identity: hasher.finish(),
            spent: AtomicU64::new(0),
            tally: Mutex::default(),
            sampled_out: AtomicU64::new(0),
        }
    }

    /// Whether one more record is kept; `now` gives microseconds of a clock that only goes forward.
    fn admits(&self, now: impl FnOnce() -> u64) -> bool {
        match self.rate {
            Rate::OneIn(number) => self.spent.fetch_add(1, Relaxed).is_multiple_of(number),
            Rate::PerSecond(number) => {
                let now = now();
                // A bucket of `number` records, in time: each takes this much of the second it refills in.
                let one = SECOND.div_ceil(number);
                self.spent
                    .fetch_update(Relaxed, Relaxed, |full_at| {
                        let full_at = full_at.max(now) + one;
                        (full_at - now <= one * number).then_some(full_at)
                    })
                    .is_ok()
            }
        }
    }

    /// Counts a decision; true where it is the first of its kind since the last announcement.
    fn count(&self, kept: bool, at: i64) -> bool {
        let mut tally = self.tally.lock();
        if kept {
            tally.kept += 1;
            return false;
        }
        self.sampled_out.fetch_add(1, Relaxed);
        tally.precede(Tally {
            kept: 0,
            sampled_out: 1,
            first: at,
            last: at,
        });
        tally.sampled_out == 1
    }

    /// Records not kept since the beginning.
    #[must_use]
    pub fn sampled_out(&self) -> u64 {
        self.sampled_out.load(Relaxed)
    }

    /// What is to be announced, if any record was not kept since the last time; it is announced from here on.
    #[must_use]
    pub fn take(&self) -> Option<Tally> {
        let mut tally = self.tally.lock();
        (tally.sampled_out > 0).then(|| std::mem::take(&mut *tally))
    }

    /// Takes [`Self::take`] back.
    pub fn put_back(&self, earlier: Tally) {
        self.tally.lock().precede(earlier);
    }
}

/// The rules that cover a logger, as places in [`Rules`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// For levels up to DEBUG.
    pub debug: Option<u16>,
    /// For levels between that and WARNING.
    pub above: Option<u16>,
}

impl Covered {
    /// The rule for a level.
    #[inline]
    #[must_use]
    pub fn rule(self, level: i64) -> Option<u16> {
        match level {
            WARNING.. => None,
            _ if level > DEBUG => self.above,
            _ => self.debug,
        }
    }
}

/// The rules of one log.
#[derive(Debug)]
pub struct Rules {
    id: u64,
    all: Vec<Rule>,
    by_prefix: HashMap<String, Covered>,
}

/// How many [`Rules`] there are now.
static STANDING: AtomicUsize = AtomicUsize::new(0);

impl Rules {
    /// Rules by logger prefix, or [`HTTP`]. `None` where all of them keep everything.
    #[must_use]
    pub fn new<'a>(given: impl IntoIterator<Item = (&'a str, Rate)>) -> Option<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let rules: Vec<_> = given
            .into_iter()
            .take(usize::from(u16::MAX))
            .map(|(name, rate)| Rule::new(name, rate))
            .collect();
        if rules.iter().all(|rule| rule.rate == Rate::OneIn(1)) {
            return None;
        }
        let mut by_prefix: HashMap<String, Covered> = HashMap::new();
        for (place, rule) in (0..).zip(&rules) {
            if rule.name != HTTP {
                let covered = Covered {
                    debug: Some(place),
                    above: Some(place),
                };
                by_prefix.insert(rule.name.clone(), covered);
            }
        }
        for (place, rule) in (0..).zip(&rules) {
            if rule.name == HTTP {
                for client in HTTP_CLIENTS {
                    let covered = by_prefix.entry(client.to_owned()).or_default();
                    covered.debug.get_or_insert(place);
                }
            }
        }
        STANDING.fetch_add(1, Relaxed);
        Some(Self {
            id: IDS.fetch_add(1, Relaxed),
            all: rules,
            by_prefix,
        })
    }

    /// The same rules, with nothing counted.
    #[must_use]
    pub fn afresh(&self) -> Option<Self> {
        Self::new(self.all.iter().map(|r| (r.name.as_str(), r.rate)))
    }

    /// A number that no other rules have.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether other logs have rules, too: then decisions are worth remembering.
    #[must_use]
    pub fn has_others() -> bool {
        STANDING.load(Relaxed) > 1
    }

    /// Which rules cover a logger: of those for a level the one with the longest prefix.
    #[must_use]
    pub fn find(&self, logger: &str) -> Covered {
        let mut found = Covered::default();
        let mut prefix = Some(logger);
        while let Some(name) = prefix {
            if let Some(covered) = self.by_prefix.get(name) {
                found.debug = found.debug.or(covered.debug);
                found.above = found.above.or(covered.above);
            }
            prefix = match name.rfind('.') {
                Some(dot) => Some(&name[..dot]),
                None if name.is_empty() || name == OWN => None,
                None => Some(""),
            };
        }
        found
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        STANDING.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
struct Decision {
    identity: u64,
    kept: bool,
    /// The logs that went by it.
    asked: SmallVec<[u64; 4]>,
}

/// What was decided of one record.
#[derive(Debug, Default)]
pub struct Decisions(SmallVec<[Decision; 1]>);

/// What a log makes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the log writes it.
    pub kept: bool,
    /// Whether an announcement is now to come.
    pub begins: bool,
}

impl Decisions {
    /// Decides for a log with `rules`, of which `place` is the one; `at` is the record's time in microseconds since the epoch.
    /// A log that asks again asks about the record's next way through the handlers.
    pub fn decide(
        &mut self,
        rules: &Rules,
        place: u16,
        at: i64,
        now: impl FnOnce() -> u64,
    ) -> Verdict {
        let rule = &rules.all[usize::from(place)];
        let known = self
            .0
            .iter_mut()
            .find(|decision| decision.identity == rule.identity);
        let kept = match known {
            Some(decision) if !decision.asked.contains(&rules.id) => {
                decision.asked.push(rules.id);
                decision.kept
            }
            known => {
                let decision = Decision {
                    identity: rule.identity,
                    kept: rule.admits(now),
                    asked: SmallVec::from_iter([rules.id]),
                };
                let kept = decision.kept;
                match known {
                    Some(earlier) => *earlier = decision,
                    None => self.0.push(decision),
                }
                kept
            }
        };
        Verdict {
            kept,
            begins: rule.count(kept, at),
        }
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
