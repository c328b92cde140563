//! Configuration files for Python: see `python/logspool/configuration`.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::config_file::{Format, Node, Value, parse};

/// The whole, or the line and the reason.
type Found<'py> = (Option<Bound<'py, PyTuple>>, Option<(usize, String)>);

/// The values of a configuration file's text: each one `(line, value, written)`, a list as a list of these, a table as a tuple of
/// `(name, line, value)`. `written` is a number's own text. What cannot be read comes back as `(line, reason)`, beside None.
#[pyfunction]
#[pyo3(name = "_read_configuration")]
pub fn read_configuration<'py>(py: Python<'py>, text: &str, toml: bool) -> PyResult<Found<'py>> {
    let format = if toml { Format::Toml } else { Format::Yaml };
    match parse(text, format) {
        Ok(node) => Ok((Some(convert(py, &node)?), None)),
        Err(error) => Ok((None, Some((error.line, error.reason)))),
    }
}

fn convert<'py>(py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyTuple>> {
    let nothing = || py.None().into_bound(py);
    let (value, written) = match &node.value {
        Value::Null => (nothing(), None),
        Value::Bool(value) => (value.into_pyobject(py)?.to_owned().into_any(), None),
        Value::Int(value, written) => (value.into_pyobject(py)?.into_any(), Some(written)),
        Value::Float(value, written) => (value.into_pyobject(py)?.into_any(), Some(written)),
        Value::Text(text) => (text.into_pyobject(py)?.into_any(), None),
        Value::List(nodes) => {
            let items: Vec<_> = nodes
                .iter()
                .map(|node| convert(py, node))
                .collect::<PyResult<_>>()?;
            (PyList::new(py, items)?.into_any(), None)
        }
        Value::Table(entries) => {
            let items: Vec<_> = entries
                .iter()
                .map(|entry| {
                    (entry.key.as_str(), entry.line, convert(py, &entry.node)?).into_pyobject(py)
                })
                .collect::<PyResult<_>>()?;
            (PyTuple::new(py, items)?.into_any(), None)
        }
    };
    (node.line, value, written).into_pyobject(py)
}
