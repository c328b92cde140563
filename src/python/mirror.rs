//! The console mirror's text: one record as people read it.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::console::{Console, ConsoleStats, sanitise};
use crate::fork;
use crate::python::record::RecordEncoder;
use crate::python::text::without_payloads;

/// Shows records on standard error from a level on.
pub struct Mirror {
    /// The lowest level shown.
    pub level: i64,
    format: Option<Py<PyAny>>,
}

impl Mirror {
    /// The mirror the settings ask for, if any.
    pub fn new(settings: &Bound<'_, PyDict>, level: Option<i64>) -> PyResult<Option<Self>> {
        let Some(level) = level else {
            return Ok(None);
        };
        let format = settings
            .get_item("console_format")?
            .filter(|f| !f.is_none())
            .map(Bound::unbind);
        // Standard error is duplicated now, while it is what the user sees.
        console();
        Ok(Some(Self { level, format }))
    }

    /// Shows a record; what cannot be rendered or shown is counted, never raised.
    pub(super) fn show(&self, record: &Bound<'_, PyAny>, level: i64, encoder: &RecordEncoder) {
        let py = record.py();
        let text = match &self.format {
            Some(format) => format
                .bind(py)
                .call_method1(intern!(py, "format"), (record,))
                .and_then(|t| t.str().map(|s| s.to_string_lossy().into_owned())),
            None => default_text(record),
        };
        let Some(console) = console() else {
            return;
        };
        let text = text.unwrap_or_else(|e| format!("<record cannot be shown: {e}>"));
        let text = without_payloads(&text).map_or(text, |(told, _)| told);
        let text = encoder.redact_text(&text).unwrap_or(text);
        // Dropped lines are counted by the console.
        let _ = console.send(
            format!("{text}\n").into_bytes(),
            i32::try_from(level).unwrap_or(i32::MAX),
        );
    }
}

/// `2026-11-21 01:17:00.123 WARNING logger: message`, local time, then the traceback where there is one.
fn default_text(record: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = record.py();
    let created: f64 = record.getattr(intern!(py, "created"))?.extract()?;
    let time = jiff::Timestamp::from_nanosecond(nanoseconds(created))
        .map(|t| {
            t.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S%.3f")
                .to_string()
        })
        .unwrap_or_default();
    let mut text = format!(
        "{time} {} {}: {}",
        record
            .getattr(intern!(py, "levelname"))?
            .str()?
            .to_string_lossy(),
        record
            .getattr(intern!(py, "name"))?
            .str()?
            .to_string_lossy(),
        record
            .call_method0(intern!(py, "getMessage"))?
            .str()?
            .to_string_lossy(),
    );
    let exc_info = record.getattr(intern!(py, "exc_info"))?;
    if exc_info.is_truthy()? && exc_info.len().is_ok_and(|n| n == 3) {
        let lines = py
            .import(intern!(py, "traceback"))?
            .call_method1(
                intern!(py, "format_exception"),
                (
                    exc_info.get_item(0)?,
                    exc_info.get_item(1)?,
                    exc_info.get_item(2)?,
                ),
            )?
            .extract::<Vec<String>>()?;
        text.push('\n');
        text.push_str(lines.concat().trim_end());
    }
    Ok(text)
}

#[allow(clippy::cast_possible_truncation)] // A timestamp; out of range saturates and is then refused by jiff.
fn nanoseconds(created: f64) -> i128 {
    (created * 1e6).round() as i128 * 1000
}

struct Owned {
    forks: u64,
    console: Option<Console>,
}

static CONSOLE: AtomicPtr<Owned> = AtomicPtr::new(std::ptr::null_mut());

/// The mirror of this process; a forked child leaks its parent's, whose thread it does not have.
#[allow(unsafe_code)]
fn console() -> Option<&'static Console> {
    let standing = CONSOLE.load(Ordering::Acquire);
    // SAFETY: never freed.
    if let Some(owned) = unsafe { standing.as_ref() }
        && owned.forks == fork::forks()
    {
        return owned.console.as_ref();
    }
    let fresh = Box::leak(Box::new(Owned {
        forks: fork::forks(),
        console: Console::start().ok(),
    }));
    match CONSOLE.compare_exchange(standing, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // The inherited descriptor would keep a pipe open that others wait on.
            // SAFETY: never freed.
            let inherited = unsafe { standing.as_ref() };
            if let Some(old) = inherited.and_then(|o| o.console.as_ref()) {
                old.abandon();
            }
            fresh.console.as_ref()
        }
        Err(_) => console(),
    }
}

/// Whether a mirror was ever started in this process.
#[allow(unsafe_code)]
pub fn started() -> Option<&'static Console> {
    // SAFETY: never freed.
    let owned = unsafe { CONSOLE.load(Ordering::Acquire).as_ref() }?;
    (owned.forks == fork::forks())
        .then_some(owned.console.as_ref())
        .flatten()
}

/// A sentence as one line that cannot steer a terminal: for what the Python face says on standard error.
#[pyfunction]
pub fn one_line(text: &Bound<'_, PyString>) -> String {
    sanitise::one_line(&text.to_string_lossy()).into_owned()
}

/// Lines mirrored and dropped.
pub fn stats() -> ConsoleStats {
    started().map(Console::stats).unwrap_or_default()
}
