//! Events that structlog, set up by others, hands to `logging` instead of a message: a dict (`wrap_for_formatter`), or the JSON that its
//! renderer or its formatter made. `python/logspool/_events.py` takes them apart; here stands what it
//! costs those that are none: nothing where structlog was never imported.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::encode::{Encoder, class_of};
use super::text::utf8;

/// Whether structlog was imported, as far as that is watched.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// Events are looked for from now on.
pub(super) fn expect() {
    EXPECTED.store(true, Ordering::Relaxed);
}

/// Whether events are looked for. Who asks has looked for the active span before, and so at what was imported.
#[inline]
pub(super) fn expected() -> bool {
    EXPECTED.load(Ordering::Relaxed)
}

/// Whether a message without arguments may be an event: a look at its class, and at the first two bytes of text.
#[inline]
pub(super) fn may_be(msg: Borrowed<'_, '_, PyAny>) -> bool {
    let class = class_of(msg);
    if class == &raw mut ffi::PyUnicode_Type {
        utf8(msg).is_some_and(|text| text.starts_with(b"{\""))
    } else {
        class == &raw mut ffi::PyDict_Type
    }
}

/// Whether a formatter is structlog's `ProcessorFormatter`.
#[cold]
pub(super) fn is_rendered_by(formatter: &Bound<'_, PyAny>) -> bool {
    formatter
        .hasattr(intern!(formatter.py(), "foreign_pre_chain"))
        .unwrap_or(false)
}

/// The record that an event makes of the one that carries it, in its message or as the `text` of a formatter; `None` if it carries none.
#[cold]
pub(super) fn adopt<'py>(
    encoder: &Encoder<'py>,
    record: &Bound<'py, PyAny>,
    text: Option<&Bound<'py, PyAny>>,
) -> Option<Bound<'py, PyAny>> {
    static ADOPT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = encoder.py;
    let adopt = encoder.ok(ADOPT.get_or_try_init(py, || {
        let module = py.import(intern!(py, "logspool._events"))?;
        Ok(module.getattr(intern!(py, "adopt"))?.unbind())
    }))?;
    let adopted = encoder.ok(adopt.bind(py).call1((record, text)))?;
    (!adopted.is_none()).then_some(adopted)
}
