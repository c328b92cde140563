//! Sampling and collapse as a record meets them: who it is, whether it was decided about before, what of its line is a time.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyWeakrefMethods, PyWeakrefReference};

use super::attach::{Attached, AttachedCell};
use super::logger;
use super::open::Open;
use super::text::utf8;
use crate::collapse::{Said, Stamp};
use crate::json;
use crate::noise::LogNoise;
use crate::sample::{Decisions, Rules, WARNING};

/// Records that are remembered until the other handlers have seen them.
const RECENT: usize = 32;

/// A record that was decided about. The weak reference tells it from a later one at the same address.
struct Decided {
    record: usize,
    weak: Py<PyWeakrefReference>,
    decisions: Decisions,
}

struct Recent {
    records: [Option<Decided>; RECENT],
    next: usize,
}

static DECIDED: AttachedCell<Recent> = AttachedCell::new(Recent {
    records: [const { None }; RECENT],
    next: 0,
});

/// Whether a log keeps a record.
pub(super) fn keeps(noise: &LogNoise, record: &Bound<'_, PyAny>) -> bool {
    let Some(rules) = noise.rules() else {
        return true;
    };
    // What has no level or no name is kept.
    let place = place(rules, record).ok().flatten();
    place.is_none_or(|place| decide(noise, place, record))
}

/// The rule that covers a record.
fn place(rules: &Rules, record: &Bound<'_, PyAny>) -> PyResult<Option<u16>> {
    let py = record.py();
    let level = record.getattr(intern!(py, "levelno"))?;
    let level = level.cast::<PyInt>()?.extract::<i64>()?;
    if level >= WARNING {
        return Ok(None);
    }
    let name = record.getattr(intern!(py, "name"))?;
    let name = utf8(name.cast::<PyString>()?.as_any().as_borrowed());
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    Ok(name.and_then(|name| rules.find(name).rule(level)))
}

fn decide(noise: &LogNoise, place: u16, record: &Bound<'_, PyAny>) -> bool {
    let py = record.py();
    let at = created(record);
    if !Rules::has_others() {
        return noise.keeps(&mut Decisions::default(), place, at);
    }
    let address = record.as_ptr() as usize;
    let known = DECIDED.with(py, |recent| {
        recent
            .records
            .iter_mut()
            .find(|decided| decided.as_ref().is_some_and(|d| d.record == address))
            .and_then(Option::take)
    });
    let known = known.filter(|decided| decided.weak.bind(py).upgrade().is_some());
    let mut decided = match known {
        Some(decided) => decided,
        // A record of a class that cannot be referred to weakly is decided by each log for itself.
        None => match PyWeakrefReference::new(record) {
            Ok(weak) => Decided {
                record: address,
                weak: weak.unbind(),
                decisions: Decisions::default(),
            },
            Err(_) => return noise.keeps(&mut Decisions::default(), place, at),
        },
    };
    let kept = noise.keeps(&mut decided.decisions, place, at);
    let old = DECIDED.with(py, |recent| {
        let next = recent.next;
        recent.next = (next + 1) % RECENT;
        recent.records[next].replace(decided)
    });
    // Not within `with`: this drops a reference.
    drop(old);
    kept
}

/// Microseconds since the epoch of a record's `created`; now, if it is no time.
fn created(record: &Bound<'_, PyAny>) -> i64 {
    let seconds = record
        .getattr(intern!(record.py(), "created"))
        .and_then(|created| created.extract::<f64>());
    match seconds {
        // Well within i64 after the check.
        #[allow(clippy::cast_possible_truncation)]
        Ok(seconds) if seconds.abs() < 1e12 => (seconds * 1e6).round() as i64,
        _ => logger::now(),
    }
}

/// What is known of a line of text beside it.
pub(super) struct Text {
    /// Level and logger.
    about: Vec<u8>,
    time: Option<std::ops::Range<usize>>,
}

impl Text {
    /// Looks at the record that a formatter has just made `line` of: it leaves the time it wrote there.
    pub(super) fn of(record: &Bound<'_, PyAny>, line: &[u8]) -> Self {
        let py = record.py();
        let text = |name: &Bound<'_, PyString>| {
            let value = record.getattr(name).and_then(|value| value.str());
            value.map_or_else(|_| String::new(), |value| value.to_string_lossy().into())
        };
        let about = format!(
            "{}\0{}",
            text(intern!(py, "levelno")),
            text(intern!(py, "name"))
        );
        let time = record
            .getattr_opt(intern!(py, "asctime"))
            .ok()
            .flatten()
            .and_then(|time| time.cast_into::<PyString>().ok())
            .map(|time| time.to_string_lossy().into_owned());
        Self {
            about: about.into_bytes(),
            time: time.and_then(|time| time_in(line, time.as_bytes())),
        }
    }
}

/// Where a line has the time, with the milliseconds behind it.
fn time_in(line: &[u8], time: &[u8]) -> Option<std::ops::Range<usize>> {
    if time.is_empty() {
        return None;
    }
    let start = memchr::memmem::find(line, time)?;
    let end = start + time.len();
    let milliseconds = match &line[end..] {
        [b'.' | b',', a, b, c, ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => 4,
        _ => 0,
    };
    Some(start..end + milliseconds)
}

/// Whether a finished line repeats a recent one and was only counted. Writes the counts that are due before it.
#[inline(never)]
pub(super) fn repeats(
    open: &Open,
    noise: &LogNoise,
    line: &[u8],
    text: Option<&Text>,
    caller: &mut Attached<'_>,
) -> bool {
    let Some(collapse) = noise.collapse() else {
        return false;
    };
    // After the end nobody would write a count.
    if open.log.is_inherited() || open.log.spool.is_closed() || !collapse.takes(line) {
        return false;
    }
    let said = match text {
        None => Said::json(line),
        Some(text) => stamp().map(|at| Said::text(line, text.time.clone(), &text.about, at)),
    };
    let Some(said) = said else {
        return false;
    };
    let noted = noise.note(&said, caller);
    if open.log.is_inherited() {
        return false; // A signal handler forked meanwhile.
    }
    let json = open.settings.json;
    for mut ended in noted.ended {
        open.log.append(&mut ended, json, false, caller);
    }
    if noted.due.is_some() {
        open.log.awaken();
    }
    noted.due.is_some()
}

fn stamp() -> Option<Stamp> {
    let mut quoted = Vec::with_capacity(32);
    json::write_time(&mut quoted, logger::now());
    quoted.get(1..quoted.len() - 1)?.try_into().ok()
}
