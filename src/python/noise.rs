//! Sampling and collapse as a record meets them: who it is, whether it was decided about before, what of its line is a time.

use std::cell::Cell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyWeakrefMethods, PyWeakrefReference};

use super::attach::Attached;
use super::logger;
use super::open::Open;
use super::text::utf8;
use crate::collapse::{Said, Stamp};
use crate::json;
use crate::noise::LogNoise;
use crate::sample::{Decisions, Rules, WARNING};

/// Records that one thread is at, beyond which the oldest is forgotten: a record's handlers see it one after the other, and only
/// records that are logged meanwhile, by what it holds, come in between.
const MANY: usize = 16;

/// A record that was decided about. The weak reference tells it from a later one at the same address.
struct Decided {
    record: usize,
    weak: Py<PyWeakrefReference>,
    decisions: Decisions,
}

thread_local!(static DECIDED: Cell<Vec<Decided>> = const { Cell::new(Vec::new()) });

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
    let mut recent = DECIDED.try_with(Cell::take).unwrap_or_default();
    // Of those that are gone nobody asks any more.
    recent.retain(|decided| decided.weak.bind(py).upgrade().is_some());
    let known = recent.iter().position(|decided| decided.record == address);
    let place_of = known.or_else(|| {
        // A record of a class that cannot be referred to weakly is decided by each log for itself.
        let weak = PyWeakrefReference::new(record).ok()?.unbind();
        if recent.len() >= MANY {
            drop(recent.remove(0));
        }
        recent.push(Decided {
            record: address,
            weak,
            decisions: Decisions::default(),
        });
        Some(recent.len() - 1)
    });
    let kept = match place_of {
        Some(found) => noise.keeps(&mut recent[found].decisions, place, at),
        None => noise.keeps(&mut Decisions::default(), place, at),
    };
    // At the end of a thread its memory is gone.
    let _ = DECIDED.try_with(|slot| slot.set(recent));
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
struct Text {
    /// Level and logger.
    about: Vec<u8>,
    time: Option<std::ops::Range<usize>>,
}

impl Text {
    /// Looks at the record that a formatter has just made `line` of: it leaves the time it wrote there.
    fn of(record: &Bound<'_, PyAny>, line: &[u8]) -> Self {
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

/// Whether a record's finished line repeats a recent one and was only counted.
#[inline(never)]
pub(super) fn repeats_record(
    open: &Open,
    noise: &LogNoise,
    line: &[u8],
    record: &Bound<'_, PyAny>,
    caller: &mut Attached<'_>,
) -> bool {
    let text = !open.settings.json && noise.collapse().is_some();
    let text = text.then(|| Text::of(record, line));
    repeats(open, noise, line, text.as_ref(), caller)
}

/// Whether a finished line of JSON repeats a recent one and was only counted.
#[inline(never)]
pub(super) fn repeats_line(
    open: &Open,
    noise: &LogNoise,
    line: &[u8],
    caller: &mut Attached<'_>,
) -> bool {
    repeats(open, noise, line, None, caller)
}

/// Whether a line was only counted. Writes the counts that are due before it.
fn repeats(
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
