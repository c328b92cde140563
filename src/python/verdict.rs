//! What is to be done with the value under a key, decided once for a name and kept with it.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::beside::is_value;
use super::cut::{KeyLimits, MOST};
use super::encode::{Encoder, Nest, Written, class_of};
use super::text::utf8;
use crate::json;
use crate::redact::{Redactor, RuleId};
use crate::sync::Mutex;

/// A verdict: an index of [`Verdicts::actions`], or nothing special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    pub(super) const NONE: Self = Self(0);
    /// Of a key `value`: what stands beside it may be its name (`beside.rs`).
    pub(super) const BESIDE: Self = Self(LIMITS - 1);

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The value is secret.
    Secret(RuleId),
    /// The value has at most so many characters.
    Limit(usize),
}

/// From here on marks are numbers of limits; below, those of rules, and that of values which something beside them names.
const LIMITS: u8 = u8::MAX - MOST;
/// The key whose limit those have.
const VALUE: &[u8] = b"value";

/// The verdicts of one set of settings. Lives for ever: a process has few.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// Tells its marks from those of other settings; 0 where there are too many to tell.
    pub(super) id: u8,
    redactor: Option<Arc<Redactor>>,
    limits: KeyLimits,
}

/// What keys are judged by.
type Standing = Mutex<Option<HashMap<String, &'static Verdicts>>>;

static STANDING: Standing = Mutex::new(None);

impl Verdicts {
    /// The verdicts for these settings. Two sets of settings with the same `keys` (as text) judge all names alike.
    pub(super) fn of(
        keys: &str,
        redactor: Option<&Arc<Redactor>>,
        limits: KeyLimits,
    ) -> &'static Self {
        let mut standing = STANDING.lock();
        let standing = standing.get_or_insert_default();
        let next = standing.len() + 1;
        standing.entry(keys.to_owned()).or_insert_with(|| {
            Box::leak(Box::new(Self {
                id: u8::try_from(next).unwrap_or(0),
                redactor: redactor.cloned(),
                limits,
            }))
        })
    }

    /// A text without what is secret in it; `None` if that is the same.
    pub(super) fn redact(&self, text: &str) -> Option<String> {
        self.redactor.as_ref()?.text(text)
    }

    /// Whether a text may hold something that the rules replace.
    #[inline]
    pub(super) fn may_strike(&self, text: &[u8]) -> bool {
        self.redactor
            .as_ref()
            .is_some_and(|redactor| redactor.may_strike(text))
    }

    /// The verdict on a name, in UTF-8.
    #[inline(never)]
    pub(super) fn judge(&self, name: &[u8]) -> Mark {
        let rule = self
            .redactor
            .as_ref()
            .and_then(|redactor| redactor.key(name));
        // Rules of names stand first in the table.
        if let Some(rule) = rule {
            return Mark(u8::try_from(rule.index() + 1).map_or(LIMITS - 2, |n| n.min(LIMITS - 2)));
        }
        let limit = self.limits.of(name);
        if self.redactor.is_some() && is_value(name) && limit == self.limits.of(VALUE) {
            return Mark::BESIDE;
        }
        limit.map_or(Mark::NONE, |n| Mark(LIMITS + n))
    }

    /// Whether a mark says that the value is secret.
    pub(super) fn is_secret(&self, mark: Mark) -> bool {
        matches!(self.action(mark), Some(Action::Secret(_)))
    }

    fn action(&self, mark: Mark) -> Option<Action> {
        if mark == Mark::BESIDE {
            let number = self.limits.of(VALUE)?;
            return Some(Action::Limit(self.limits.characters(number)));
        }
        if let Some(number) = mark.0.checked_sub(LIMITS) {
            return Some(Action::Limit(self.limits.characters(number)));
        }
        Some(Action::Secret(RuleId::at(u16::from(
            mark.0.checked_sub(1)?,
        ))))
    }
}

impl<'py> Encoder<'py> {
    /// Appends the value under a key, with what the verdict on that asks for. The caller keeps `value` alive throughout.
    #[inline]
    pub(super) fn write_under(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        mark: Mark,
        nest: &Nest<'_>,
    ) -> Written {
        if mark.is_none() {
            self.write_value(out, value, nest)
        } else {
            self.write_marked(out, value, mark, nest)
        }
    }

    /// Appends the value under a key that has a mark. The caller keeps `value` alive throughout.
    #[inline(never)]
    pub(super) fn write_marked(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        mark: Mark,
        nest: &Nest<'_>,
    ) -> Written {
        let mark = match mark {
            Mark::BESIDE => self.mark_within(nest),
            mark => mark,
        };
        let action = self.verdicts.action(mark);
        if action.is_none() {
            return self.write_value(out, value, nest);
        }
        self.look.set(true);
        match (action, &self.verdicts.redactor) {
            (Some(Action::Secret(rule)), Some(redactor)) => {
                self.write_secret(out, value, redactor, rule, nest)
            }
            (Some(Action::Limit(limit)), _) => self.write_limited(out, value, limit, nest),
            _ => self.write_value(out, value, nest),
        }
    }

    /// What is written in a secret's place: what says nothing (`None`, a bool, no text at all, a number where tokens are counted) stays.
    fn write_secret(
        &self,
        out: &mut Vec<u8>,
        value: Borrowed<'_, 'py, PyAny>,
        redactor: &Redactor,
        rule: RuleId,
        nest: &Nest<'_>,
    ) -> Written {
        let class = class_of(value);
        let number = class == &raw mut ffi::PyLong_Type || class == &raw mut ffi::PyFloat_Type;
        if value.is_none() || class == &raw mut ffi::PyBool_Type || number && rule.spares_numbers()
        {
            return self.write_value(out, value, nest);
        }
        let text = (class == &raw mut ffi::PyUnicode_Type)
            .then(|| utf8(value))
            .flatten()
            .and_then(|text| std::str::from_utf8(text).ok());
        if text == Some("") {
            return self.write_value(out, value, nest);
        }
        redactor.count(rule);
        json::write_str(out, &redactor.under_key(text));
        self.check(out)
    }

    /// Appends an item of a list or the like: a pair of a name and a value, as raw headers have them, like a member of an object.
    #[inline]
    pub(super) fn write_item(
        &self,
        out: &mut Vec<u8>,
        item: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        let class = class_of(item);
        if class == &raw mut ffi::PyTuple_Type || class == &raw mut ffi::PyList_Type {
            let mark = self.mark_of_first(item).unwrap_or_default();
            if !mark.is_none() && mark != Mark::BESIDE {
                return self.write_marked_pair(out, item, mark, nest);
            }
        }
        self.write_value(out, item, nest)
    }

    /// The verdict on the first of a pair.
    #[inline(never)]
    fn mark_of_first(&self, pair: Borrowed<'_, 'py, PyAny>) -> Option<Mark> {
        let first = if let Ok(pair) = pair.cast::<PyTuple>() {
            (pair.len() == 2).then(|| pair.get_item(0))?
        } else {
            let pair = pair.cast::<PyList>().ok()?;
            (pair.len() == 2).then(|| pair.get_item(0))?
        };
        let first = self.ok(first)?;
        self.mark_of_name(first.as_borrowed())
    }

    /// The verdict on a name that is a value.
    pub(super) fn mark_of_name(&self, name: Borrowed<'_, 'py, PyAny>) -> Option<Mark> {
        if let Ok(name) = name.cast::<PyBytes>() {
            return Some(self.verdicts.judge(name.as_bytes()));
        }
        let text = (class_of(name) == &raw mut ffi::PyUnicode_Type)
            .then(|| utf8(name))
            .flatten()?;
        Some(self.verdicts.judge(text))
    }

    /// Appends a tuple of a derived class. One with named fields is an array still, in which what its names say is secret is not shown.
    pub(super) fn write_named(
        &self,
        out: &mut Vec<u8>,
        tuple: Borrowed<'_, 'py, PyAny>,
        nest: &Nest<'_>,
    ) -> Written {
        let fields = self.attribute(&tuple.get_type(), intern!(self.py, "_fields"));
        let fields = fields.and_then(|fields| fields.cast_into::<PyTuple>().ok());
        let marks: Vec<Mark> = fields
            .iter()
            .flatten()
            .map(|name| {
                let name = (class_of(name.as_borrowed()) == &raw mut ffi::PyUnicode_Type)
                    .then(|| utf8(name.as_borrowed()))
                    .flatten();
                name.map_or(Mark::NONE, |name| self.verdicts.judge(name))
            })
            .collect();
        // SAFETY: what is given is a tuple.
        let size = unsafe { ffi::PyTuple_Size(tuple.as_ptr()) }.unsigned_abs();
        if marks.len() != size || marks.iter().all(|mark| mark.is_none()) {
            return self.write_tuple(out, tuple, nest);
        }
        let Some(nest) = self.enter(out, tuple, nest) else {
            return Ok(());
        };
        out.push(b'[');
        for (at, mut mark) in marks.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if mark == Mark::BESIDE {
                let of = |name: &Bound<'py, PyString>| {
                    fields.as_ref()?.contains(name).ok()?.then_some(())?;
                    self.ok(tuple.getattr(name))
                };
                mark = self.mark_named(of);
            }
            // SAFETY: the index is in range, and a tuple keeps its items.
            let item = unsafe {
                Borrowed::from_ptr(
                    self.py,
                    ffi::PyTuple_GetItem(tuple.as_ptr(), at.cast_signed()),
                )
            };
            self.write_under(out, item, mark, &nest)?;
        }
        out.push(b']');
        self.check(out)
    }

    /// The arguments of a template, as it may show them: of a dict, what its names say is secret is replaced.
    pub(super) fn shown_arguments(&self, args: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let args = args.cast_exact::<PyDict>().ok()?;
        let mut shown = None;
        for (key, value) in args {
            let Ok(name) = key.cast_exact::<PyString>() else {
                continue;
            };
            let Some(name) = utf8(name.as_any().as_borrowed()) else {
                continue;
            };
            let mut mark = self.verdicts.judge(name);
            if mark == Mark::BESIDE {
                mark = self.mark_beside(args.as_borrowed());
            }
            if mark.is_none() || mark == Mark::BESIDE {
                continue;
            }
            let mut text = Vec::new();
            if self
                .write_marked(&mut text, value.as_borrowed(), mark, &Nest::TOP)
                .is_ok()
                && text.first() == Some(&b'"')
                && let Ok(text) = serde_json::from_slice::<String>(&text)
            {
                let shown = match &shown {
                    Some(shown) => shown,
                    None => shown.insert(self.ok(args.copy())?),
                };
                let _ = self.ok(shown.set_item(key, text));
            }
        }
        shown.map(Bound::into_any)
    }

    /// Appends a pair whose name has a mark.
    #[inline(never)]
    fn write_marked_pair(
        &self,
        out: &mut Vec<u8>,
        pair: Borrowed<'_, 'py, PyAny>,
        mark: Mark,
        nest: &Nest<'_>,
    ) -> Written {
        let items = self.ok(pair
            .try_iter()
            .and_then(Iterator::collect::<PyResult<Vec<_>>>));
        let Some([name, value]) = items.as_deref() else {
            return self.write_value(out, pair, nest);
        };
        out.push(b'[');
        self.write_value(out, name.as_borrowed(), nest)?;
        out.push(b',');
        self.write_marked(out, value.as_borrowed(), mark, nest)?;
        out.push(b']');
        self.check(out)
    }
}
