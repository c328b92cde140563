//! A response is paid for once, however often its cost is logged: by the program, and by who listens to its HTTP calls.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::attach::AttachedCell;
use super::text::utf8;
use crate::recent::Recent;

/// The responses that were logged, and those of them of which something was known.
static RESPONSES: AttachedCell<Option<[Recent; 2]>> = AttachedCell::new(None);

/// Whether the cost of this response was logged before; from now on it was. What is no text, or empty, is no id. A record that `says` nothing
/// of tokens and cost (of a stream that was given up) does not stand in the way of one that does.
pub(super) fn repeated(py: Python<'_>, response_id: Borrowed<'_, '_, PyAny>, says: bool) -> bool {
    let Ok(id) = response_id.cast::<PyString>() else {
        return false;
    };
    match utf8(id.as_any().as_borrowed()) {
        Some(id) if !id.is_empty() => RESPONSES.with(py, |responses| {
            let [all, known] = responses.get_or_insert_default();
            let before = all.repeated(id);
            if says { known.repeated(id) } else { before }
        }),
        _ => false,
    }
}
