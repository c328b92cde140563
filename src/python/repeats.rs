//! A response is paid for once, however often its cost is logged: by the program, and by who listens to its HTTP calls.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::attach::AttachedCell;
use super::text::utf8;
use crate::recent::Recent;

static RESPONSES: AttachedCell<Option<Recent>> = AttachedCell::new(None);

/// Whether the cost of this response was logged before; from now on it was. What is no text, or empty, is no id.
pub(super) fn repeated(py: Python<'_>, response_id: Borrowed<'_, '_, PyAny>) -> bool {
    let Ok(id) = response_id.cast::<PyString>() else {
        return false;
    };
    match utf8(id.as_any().as_borrowed()) {
        Some(id) if !id.is_empty() => RESPONSES.with(py, |responses| {
            responses.get_or_insert_default().repeated(id)
        }),
        _ => false,
    }
}
