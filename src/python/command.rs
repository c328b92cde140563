//! The `logspool` command's entry: arguments and what `basicConfig` would do here go in, an exit status comes out.

use std::ffi::OsString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::cli::{self, Configured};

/// Runs the command, detached; `argv` begins with the program's name. `configured` is for `doctor`.
#[pyfunction]
#[pyo3(signature = (argv, configured=None))]
pub fn main(
    py: Python<'_>,
    argv: Vec<OsString>,
    configured: Option<&Bound<'_, PyAny>>,
) -> PyResult<i32> {
    let configured: Option<Configured> = configured
        .map(|c| pythonize::depythonize(c))
        .transpose()
        .map_err(|e| PyValueError::new_err(format!("configured: {e}")))?;
    Ok(py.detach(|| cli::main(argv, configured.as_ref())))
}
