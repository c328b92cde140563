//! All PyO3 code and nothing else.

mod encode;
mod exception;
mod message;
mod names;
mod objects;
mod record;
mod task;
mod text;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _core {
    use pyo3::prelude::*;
    use pyo3::types::{PyBytes, PyDict};

    use super::record::RecordEncoder;

    /// The finished line of one record, its sequence text still dashes: for tests and tools.
    #[pyfunction]
    fn encode_record<'py>(record: &Bound<'py, PyAny>, settings: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyBytes>> {
        let mut line = Vec::new();
        RecordEncoder::new(settings)?.encode(record, None, &mut line);
        Ok(PyBytes::new(record.py(), &line))
    }
}
