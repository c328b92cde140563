//! The handler's side of the fast path: what takes a finished line without having seen a record.
#![allow(unsafe_code)]

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::attach::Attached;
use super::context;
use super::handler::NativeHandler;
use super::held::Held;
use super::noise;
use super::open::Open;
use super::record::RecordEncoder;
use crate::noise::LogNoise;

/// What a handler makes of a record that does not exist yet.
pub(super) enum Reach<'a, 'py> {
    /// Its line.
    Direct(Direct<'a, 'py>),
    /// Nothing: the level is below the handler's.
    Below,
    /// Its filters, formatter, methods or mirror want to see it.
    Standard,
}

/// An open log that takes finished lines.
pub(super) struct Direct<'a, 'py> {
    native: &'a NativeHandler,
    open: Held<'py>,
}

impl Direct<'_, '_> {
    #[inline]
    fn open(&self) -> &Open {
        // SAFETY: `direct` put an `Open` in.
        unsafe { self.open.cast_unchecked::<Open>() }.get()
    }

    /// How lines for it are made.
    #[inline]
    pub(super) fn encoder(&self) -> &RecordEncoder {
        &self.open().encoder
    }

    /// What keeps its noise down, if anything does.
    #[inline]
    pub(super) fn noise(&self) -> Option<&LogNoise> {
        self.open().noise.as_deref()
    }

    /// Commits a line. Raises only what a signal handler raised while it waited for room.
    #[inline]
    pub(super) fn append(&self, line: &mut [u8], level: i64) -> PyResult<()> {
        let mut caller = Attached::new(self.open.py());
        // SAFETY: as in `open`.
        let open = unsafe { self.open.cast_unchecked::<Open>() };
        if !context::keep(open, line, level, &mut caller)? {
            self.native.commit(self.open(), line, level, &mut caller)?;
        }
        caller.raised.map_or(Ok(()), Err)
    }
}

impl Direct<'_, '_> {
    /// Commits a line, unless it repeats a recent one.
    pub(super) fn append_unless_repeated(&self, line: &mut [u8], level: i64) -> PyResult<()> {
        let mut caller = Attached::new(self.open.py());
        // SAFETY: as in `open`.
        let open = unsafe { self.open.cast_unchecked::<Open>() };
        let settled = context::keep(open, line, level, &mut caller)?
            || self
                .noise()
                .is_some_and(|noise| noise::repeats_line(self.open(), noise, line, &mut caller));
        if !settled {
            self.native.commit(self.open(), line, level, &mut caller)?;
        }
        caller.raised.map_or(Ok(()), Err)
    }
}

impl NativeHandler {
    /// What a record of this level can be written to without a `LogRecord`.
    #[inline]
    pub(super) fn direct<'a, 'py>(handler: &'a Bound<'py, Self>, level: i64) -> Reach<'a, 'py> {
        let py = handler.py();
        let native = handler.get();
        let known = native.inner.with(py, |inner| {
            let unfiltered = inner.filters.as_ref().is_none_or(|f| {
                f.bind(py)
                    .cast::<PyList>()
                    .is_ok_and(PyListMethods::is_empty)
            });
            let seen = !inner.plain || inner.formats || inner.formatter.is_some() || !unfiltered;
            let lowest = inner.level_number.filter(|_| !seen)?;
            let open = inner.open.as_ref().filter(|_| level >= lowest);
            Some((
                lowest,
                open.map(|open| Held::new(open.bind(py).as_any().as_borrowed())),
            ))
        });
        let open = match known {
            Some((lowest, _)) if level < lowest => return Reach::Below,
            Some((_, Some(open))) => open,
            // Closed: the standard way opens it again.
            _ => return Reach::Standard,
        };
        // SAFETY: what `inner.open` holds.
        let now = unsafe { open.cast_unchecked::<Open>() }.get();
        let shown = now
            .mirror
            .as_ref()
            .is_some_and(|mirror| level >= mirror.level);
        if shown || !now.settings.json || now.log.is_stale() {
            return Reach::Standard;
        }
        Reach::Direct(Direct { native, open })
    }
}
