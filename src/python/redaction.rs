//! The setting `redact` as the Python face resolved it, the user's functions among its rules, and `logspool.redact`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use serde::Deserialize;

use super::encode::interrupt_again;
use crate::redact::{Failed, Finding, Function, Pii, RedactSettings, Redactor};
use crate::sync::Mutex;

/// What a mapping may hold, besides functions.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    hint: bool,
    names_only: bool,
    pii: Vec<String>,
    keys: Vec<String>,
    allow_keys: Vec<String>,
    patterns: BTreeMap<String, String>,
    without: Vec<String>,
}

thread_local! {
    /// Whether a function of the user's runs in this thread: what it logs itself goes by the rules alone.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// A callable among the rules: `callable(text) -> text`.
#[derive(Debug)]
struct Callable {
    name: String,
    function: Py<PyAny>,
}

impl Function for Callable {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(&self, text: &str) -> Result<Option<String>, Failed> {
        if WITHIN.replace(true) {
            return Ok(None);
        }
        let done = Python::attach(|py| {
            let made = self.function.bind(py).call1((text,));
            let made = match made {
                Ok(made) => made,
                Err(error) => {
                    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                        interrupt_again(py);
                    }
                    return Err(Failed);
                }
            };
            let made = made.cast::<PyString>().map_err(|_| Failed)?;
            let made = made.to_string_lossy();
            Ok((made != text).then(|| made.into_owned()))
        });
        WITHIN.set(false);
        done
    }
}

/// The redactor that `redact` asks for, `None` for `False`, and a text that is the same for settings that are.
///
/// # Errors
/// `ValueError` for a pattern that is none, a rule there is not, a name given twice.
pub(super) fn redactor(
    redact: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Option<Arc<Redactor>>, String)> {
    let Some(redact) = redact.filter(|redact| !redact.is_none()) else {
        return Ok((Some(usual()), String::new()));
    };
    if let Ok(on) = redact.cast::<PyBool>() {
        let redactor = on.is_true().then(usual);
        let identity = if on.is_true() { "" } else { "off" };
        return Ok((redactor, identity.to_owned()));
    }
    let plain = redact.cast::<PyDict>()?.copy()?;
    let mut functions: Vec<Arc<dyn Function>> = Vec::new();
    let mut identity = String::new();
    if let Some(given) = plain.get_item("functions")? {
        plain.del_item("functions")?;
        for (name, function) in given.cast_into::<PyDict>()? {
            // Cannot fail.
            let _ = write!(identity, "{:?}", function.as_ptr());
            functions.push(Arc::new(Callable {
                name: name.extract()?,
                function: function.unbind(),
            }));
        }
    }
    let raw: Raw = pythonize::depythonize(&plain)
        .map_err(|e| PyValueError::new_err(format!("redact: {e}")))?;
    let _ = write!(identity, "{raw:?}");
    let on = |kind: &str| raw.pii.iter().any(|on| on == kind);
    let settings = RedactSettings {
        hint: raw.hint,
        names_only: raw.names_only,
        pii: Pii {
            email: on("email"),
            iban: on("iban"),
            card: on("card"),
            phone: on("phone"),
        },
        keys: raw.keys,
        allow_keys: raw.allow_keys,
        patterns: raw.patterns.into_iter().collect(),
        without: raw.without,
        functions,
    };
    let redactor = Redactor::new(settings).map_err(|e| PyValueError::new_err(e.to_string()))?;
    Ok((Some(Arc::new(redactor)), identity))
}

/// Whether the rules without any setting find nothing in a text. One that is no UTF-8 may hold anything.
pub(super) fn is_clean(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| usual().find(text).is_empty())
}

/// The rules without any setting, which all logs share.
pub(super) fn usual() -> Arc<Redactor> {
    static USUAL: Mutex<Option<Arc<Redactor>>> = Mutex::new(None);
    USUAL.lock().get_or_insert_default().clone()
}

/// What would go: rule, reason, where from, where to, in characters.
#[pyfunction]
pub fn redact_explain(
    text: &str,
    redact: &Bound<'_, PyAny>,
) -> PyResult<Vec<(String, String, usize, usize)>> {
    let Some(redactor) = redactor(Some(redact))?.0 else {
        return Ok(Vec::new());
    };
    let (mut bytes, mut characters) = (0, 0);
    let mut character = |at: usize| {
        if at < bytes {
            // What a function changes may begin before what the rules found.
            (bytes, characters) = (0, 0);
        }
        characters += text[bytes..at].chars().count();
        bytes = at;
        characters
    };
    let found = redactor.find(text).into_iter();
    Ok(found
        .map(
            |Finding {
                 rule,
                 reason,
                 range,
             }| {
                let (start, end) = (character(range.start), character(range.end));
                (rule, reason.into_owned(), start, end)
            },
        )
        .collect())
}

/// The rules of one setting, made once for many texts.
#[pyclass(frozen, module = "logspool._core")]
pub struct TextRedactor(Option<Arc<Redactor>>);

#[pymethods]
impl TextRedactor {
    #[new]
    fn new(redact: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(redactor(Some(redact))?.0))
    }

    /// The text as a log would hold it; `None` where nothing would go.
    fn apply(&self, text: &str) -> Option<String> {
        self.0.as_ref()?.text(text)
    }
}

/// The text as a log would hold it.
#[pyfunction]
pub fn redact_apply(text: &str, redact: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(redactor(Some(redact))?
        .0
        .and_then(|redactor| redactor.text(text)))
}
