//! What a record has beside what its call says: the bound context of `logspool.bind` and the active OpenTelemetry span.
//!
//! [`bound`] is the object in the context variable, [`encoded`] its values as pieces of a line, [`around`] puts them into one, [`variable`]
//! reads the variable, [`span`] the span, and [`tail`] keeps a block's records back.

mod around;
mod bound;
mod encoded;
mod span;
mod tail;
mod variable;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::attach::AttachedCell;
use super::held::Held;
use super::record::RecordEncoder;
use crate::sync::Mutex;

pub(super) use around::{Ambient, Around, write_field};
pub(super) use bound::Context;
pub(super) use encoded::Encoded;
pub(super) use tail::{Tail, TailStats, keep, tail_stats, write_kept};

/// Whether anything was ever bound: until then nothing is read.
static IN_USE: AtomicBool = AtomicBool::new(false);
/// The context variable, and the class of what is in it.
static VARIABLE: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
/// How the logs that were opened last encode.
static USUAL: AttachedCell<Option<Arc<RecordEncoder>>> = AttachedCell::new(None);

/// Makes the context variable and puts it into the module.
pub(super) fn set_up(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    variable::find_reader();
    span::watch(py)?;
    let class = py.get_type::<Context>().into_any().unbind();
    let variable = py
        .import("contextvars")?
        .getattr("ContextVar")?
        .call1(("logspool.context",))?;
    VARIABLE.get_or_init(py, || (variable.clone().unbind(), class));
    module.add("_context_variable", variable)
}

/// Notes that from now on something is bound.
fn begin() {
    IN_USE.store(true, Ordering::Relaxed);
}

/// The bound context here: a [`Context`].
#[inline]
fn here(py: Python<'_>) -> Option<Held<'_>> {
    if IN_USE.load(Ordering::Relaxed) {
        read(py)
    } else {
        None
    }
}

fn read(py: Python<'_>) -> Option<Held<'_>> {
    let (variable, class) = VARIABLE.get(py)?;
    let context = variable::read(variable.bind_borrowed(py))?;
    // Anybody can put anything into a variable.
    context.get_type().is(class).then_some(context)
}

/// Notes how the log that is opened now encodes.
pub(super) fn set_usual(py: Python<'_>, encoder: &Arc<RecordEncoder>) {
    let encoder = Arc::clone(encoder);
    let old = USUAL.with(py, |usual| usual.replace(encoder));
    drop(old);
}

/// What a bound context is encoded for: settings that make a difference, as text.
static KINDS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The number of an encoder's kind. Encoders with the same longest field, static fields and redaction are of the same.
pub(super) fn kind(
    max_field: usize,
    fixed: &[(Vec<u8>, Vec<u8>)],
    redact: Option<&Bound<'_, PyAny>>,
) -> PyResult<u32> {
    let redact = redact.map_or(Ok(String::new()), |redact| {
        redact
            .repr()
            .map(|text| text.to_string_lossy().into_owned())
    })?;
    let key = format!("{max_field} {redact} {fixed:?}").into_bytes();
    let mut kinds = KINDS.lock();
    let place = kinds.iter().position(|known| *known == key);
    let place = place.unwrap_or_else(|| {
        kinds.push(key);
        kinds.len() - 1
    });
    Ok(u32::try_from(place).unwrap_or(u32::MAX))
}

fn usual(py: Python<'_>) -> Option<Arc<RecordEncoder>> {
    USUAL.with(py, |usual| usual.clone())
}
