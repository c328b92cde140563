//! All PyO3 code and nothing else.
use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _core {}
