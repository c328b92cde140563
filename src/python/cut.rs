//! What is left out of a line and why: values under keys with a limit of their own, and how often anything was cut.
//!
//! A text is cut to its first characters. A container whose JSON is longer is written as that JSON, cut: a reader sees how it begins, and
//! the line stays valid. Every cut says how much there was.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;

use super::encode::{Encoder, Limits, Nest, Written, class_of};
use crate::cut::{characters, prefix};
use crate::fork;
use crate::json;

/// The limits of keys: names folded, and characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyLimits {
    /// Sorted by name.
    names: Vec<(Vec<u8>, u8)>,
    /// Characters; a mark is an index of these.
    characters: Vec<usize>,
    /// A bit for each letter that a name begins with.
    first: u32,
}

/// So many different limits can be told apart.
pub(super) const MOST: u8 = 60;

impl KeyLimits {
    /// The limits in resolved settings: `{name: characters}`.
    ///
    /// # Errors
    /// Another type, or too many different limits.
    pub(super) fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut limits = Self::default();
        for (name, characters) in settings {
            let (name, characters) = (name.extract::<String>()?, characters.extract::<usize>()?);
            let known = limits.characters.iter().position(|c| *c == characters);
            let at = known.unwrap_or_else(|| {
                limits.characters.push(characters);
                limits.characters.len() - 1
            });
            let at = u8::try_from(at).ok().filter(|at| *at < MOST);
            let at = at.ok_or_else(|| {
                pyo3::exceptions::PyValueError::new_err(format!(
                    "truncate: more than {MOST} different limits"
                ))
            })?;
            let mut folded = Vec::new();
            folded.extend(fold(name.as_bytes()));
            limits.first |= first_bit(&folded);
            limits.names.push((folded, at));
        }
        limits.names.sort();
        Ok(limits)
    }

    /// The number of the limit of a name.
    pub(super) fn of(&self, name: &[u8]) -> Option<u8> {
        let begin = fold(name).next()?;
        if self.first & first_bit(&[begin]) == 0 {
            return None;
        }
        let found = self
            .names
            .binary_search_by(|(known, _)| known.iter().copied().cmp(fold(name)));
        Some(self.names[found.ok()?].1)
    }

    /// The characters of a limit.
    pub(super) fn characters(&self, number: u8) -> usize {
        let found = self.characters.get(usize::from(number));
        found.copied().unwrap_or(usize::MAX)
    }
}

/// A name as limits know it: without case, `-`, `_` and spaces.
fn fold(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter()
        .filter(|byte| !matches!(byte, b'-' | b'_' | b' '))
        .map(u8::to_ascii_lowercase)
}

fn first_bit(name: &[u8]) -> u32 {
    name.first().map_or(0, |byte| 1 << (byte & 31))
}

/// How often something was left out of one line.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Values that were cut.
    pub(super) values: Cell<u32>,
    /// Payloads of which the line says only what they were.
    pub(super) payloads: Cell<u32>,
}

impl Tally {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.values.get() | self.payloads.get() == 0
    }

    /// Notes a cut, if it was one.
    #[inline]
    pub(super) fn note(&self, cut: bool) {
        self.values.set(self.values.get() + u32::from(cut));
    }

    pub(super) fn note_payloads(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.payloads.set(self.payloads.get().saturating_add(count));
    }

    /// An attempt at the line was given up, and counts for nothing.
    pub(super) fn clear(&self) {
        self.values.set(0);
        self.payloads.set(0);
    }

    /// Adds the counts of an encoder that wrote a part of the line.
    fn add(&self, part: &Self) {
        self.values.set(self.values.get() + part.values.get());
        self.payloads.set(self.payloads.get() + part.payloads.get());
    }

    /// Adds them to those of the process.
    #[cold]
    pub(super) fn settle(&self) {
        count(&VALUES, self.values.take());
        count(&PAYLOADS, self.payloads.take());
    }
}

static VALUES: AtomicU64 = AtomicU64::new(0);
static PAYLOADS: AtomicU64 = AtomicU64::new(0);
static RECORDS: AtomicU64 = AtomicU64::new(0);
/// Below which number of forks these count: a child starts at 0.
static FORKS: AtomicU64 = AtomicU64::new(0);

fn count(counter: &AtomicU64, by: u32) {
    let forks = fork::forks();
    if FORKS.swap(forks, Relaxed) != forks {
        for counter in [&VALUES, &PAYLOADS, &RECORDS] {
            counter.store(0, Relaxed);
        }
    }
    counter.fetch_add(u64::from(by), Relaxed);
}

/// A record was larger than a line may be.
#[cold]
pub(super) fn count_record() {
    count(&RECORDS, 1);
}

/// What was left out of this process' records, as `stats()` shows it.
#[derive(Serialize)]
pub(super) struct Truncated {
    /// Values cut to their limit.
    values: u64,
    /// Records larger than `max_record`, of which less was kept.
    records: u64,
    /// Images, sound, documents that the log has the type, length and digest of.
    payloads: u64,
}

pub(super) fn truncated() -> Truncated {
    let own = FORKS.load(Relaxed) == fork::forks();
    let get = |counter: &AtomicU64| if own { counter.load(Relaxed) } else { 0 };
    Truncated {
        values: get(&VALUES),
        records: get(&RECORDS),
        payloads: get(&PAYLOADS),
    }
}

impl<'py> Encoder<'py> {
    /// Appends the value under a key whose values have at most `limit` characters.
    pub(super) fn write_limited(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        limit: usize,
        nest: &Nest<'_>,
    ) -> Written {
        if class_of(value) == &raw mut ffi::PyUnicode_Type {
            return self.write_within(out, value, limit, self.limits.end, nest);
        }
        let mut whole = Vec::new();
        // As much as there may be: the characters are counted.
        let end = self.limits.end.max(MEASURED);
        let written = self.write_within(&mut whole, value, self.limits.text, end, nest);
        let length = characters(&whole);
        match whole.first() {
            // Text of some other type, and its quotes.
            Some(b'"') if length > limit.saturating_add(2) => {
                return self.write_within(out, value, limit, self.limits.end, nest);
            }
            Some(b'{' | b'[') if written.is_err() || length > limit => {
                out.push(b'"');
                json::write_escaped(out, prefix(&whole, limit));
                let more = if written.is_err() { "more than " } else { "" };
                out.extend_from_slice(format!("…(truncated, {more}{length} chars)\"").as_bytes());
                self.tally.note(true);
            }
            _ => out.extend_from_slice(&whole),
        }
        self.check(out)
    }

    /// Appends a value with other limits.
    fn write_within(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        text: usize,
        end: usize,
        nest: &Nest<'_>,
    ) -> Written {
        let limits = Limits {
            end,
            ..self.limits.with_text(text.min(self.limits.text))
        };
        let part = Encoder::new(self.py, self.names, limits, self.verdicts);
        let written = part.write_value(out, value, nest);
        self.tally.add(&part.tally);
        self.inherit(&part);
        written
    }
}

/// Bytes of JSON that are made at most to see how long it is.
const MEASURED: usize = 1 << 20;
