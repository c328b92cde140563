//! What heads and bodies of HTTP calls say of an answer of a language model: called by `logspool.httpx`, for which `crate::skim` finds the places.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use smallvec::{SmallVec, smallvec};

use crate::skim::{self, Lines, Value};

/// Deeper values are taken for null.
const DEEPEST: usize = 16;

/// The members that are taken from an answer.
const TAKEN: [&[u8]; 7] = [
    b"id",
    b"model",
    b"usage",
    b"error",
    b"responseId",
    b"modelVersion",
    b"usageMetadata",
];
/// The members of which in turn these are taken: of `OpenAI`'s responses, and Anthropic's `message_start`.
const OUTER: [&[u8]; 2] = [b"response", b"message"];

/// The members of an answer (or of the answers in a list) that tell of id, model, usage and errors; `None` where it is none.
#[pyfunction]
pub fn answer_members<'py>(data: &Bound<'py, PyBytes>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = data.py();
    match skim::document(data.as_bytes()) {
        Some(Value::Object(object)) => Ok(taken(py, object, true)?.map(Bound::into_any)),
        Some(Value::Array(array)) => {
            let mut parts = Vec::new();
            let whole = skim::items(array, |part| parts.push(part));
            let answers = PyList::empty(py);
            for part in parts {
                if let Value::Object(object) = part
                    && let Some(answer) = taken(py, object, true)?
                {
                    answers.append(answer)?;
                }
            }
            Ok(whole.then(|| answers.into_any()))
        }
        _ => Ok(None),
    }
}

/// The text that a request's body has as its `model`.
#[pyfunction]
pub fn asked_model<'py>(data: &Bound<'py, PyBytes>) -> Option<Bound<'py, PyString>> {
    let Some(Value::Object(object)) = skim::document(data.as_bytes()) else {
        return None;
    };
    let mut model = None;
    let whole = skim::members(object, |name, value| {
        if name == b"model" {
            model = Some(value);
        }
    });
    match model {
        Some(Value::Text(text, escaped)) if whole => string(data.py(), text, escaped),
        _ => None,
    }
}

/// The values of these headers, in their order; of one that stands there more than once all of them, and `None` for one that does not.
///
/// `raw` has pairs of bytes, `names` are in small letters.
#[pyfunction]
pub fn header_values<'py>(
    raw: &Bound<'py, PyList>,
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = raw.py();
    let names: SmallVec<[Bound<'py, PyBytes>; 8]> = names
        .iter()
        .map(Bound::cast_into::<PyBytes>)
        .collect::<Result<_, _>>()?;
    let mut values: SmallVec<[Option<String>; 8]> = smallvec![None; names.len()];
    for pair in raw {
        let pair = pair.cast_into::<PyTuple>()?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        let name = name.cast::<PyBytes>()?.as_bytes();
        let found = names
            .iter()
            .position(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name));
        if let Some(place) = found {
            let value = value.cast::<PyBytes>()?.as_bytes();
            let value = std::str::from_utf8(value).map_or_else(
                |_| value.iter().map(|byte| char::from(*byte)).collect(),
                str::to_owned,
            );
            match &mut values[place] {
                Some(standing) => {
                    standing.push_str(", ");
                    standing.push_str(&value);
                }
                none => *none = Some(value),
            }
        }
    }
    PyTuple::new(py, values)
}

fn taken<'py>(py: Python<'py>, object: &[u8], outer: bool) -> PyResult<Option<Bound<'py, PyDict>>> {
    let found = PyDict::new(py);
    let mut done = Ok(());
    let whole = skim::members(object, |name, value| {
        let put = || -> PyResult<()> {
            if TAKEN.contains(&name) {
                let key = PyString::intern(py, &String::from_utf8_lossy(name));
                return found.set_item(key, converted(py, value, 0)?);
            }
            if outer
                && OUTER.contains(&name)
                && let Value::Object(inner) = value
                && let Some(inner) = taken(py, inner, false)?
            {
                found.set_item(PyString::intern(py, &String::from_utf8_lossy(name)), inner)?;
            }
            Ok(())
        };
        if done.is_ok() {
            done = put();
        }
    });
    done?;
    Ok(whole.then_some(found))
}

/// The value as Python has it; what is damaged, or too deep, as `None`.
fn converted<'py>(py: Python<'py>, value: Value<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let none = || py.None().into_bound(py);
    Ok(match value {
        Value::Text(text, escaped) => string(py, text, escaped).map_or_else(none, Bound::into_any),
        Value::Word(b"true") => true.into_pyobject(py)?.to_owned().into_any(),
        Value::Word(b"false") => false.into_pyobject(py)?.to_owned().into_any(),
        Value::Word(word) => number(py, word)?.unwrap_or_else(none),
        Value::Object(_) | Value::Array(_) if depth == DEEPEST => none(),
        Value::Object(object) => {
            let dict = PyDict::new(py);
            let mut pairs = Vec::new();
            skim::members(object, |name, value| pairs.push((name, value)));
            for (name, value) in pairs {
                if let Some(name) = string(py, name, name.contains(&b'\\')) {
                    dict.set_item(name, converted(py, value, depth + 1)?)?;
                }
            }
            dict.into_any()
        }
        Value::Array(array) => {
            let mut values = Vec::new();
            skim::items(array, |value| values.push(value));
            let list = PyList::empty(py);
            for value in values {
                list.append(converted(py, value, depth + 1)?)?;
            }
            list.into_any()
        }
    })
}

fn string<'py>(py: Python<'py>, text: &[u8], escaped: bool) -> Option<Bound<'py, PyString>> {
    if !escaped {
        return Some(PyString::new(py, std::str::from_utf8(text).ok()?));
    }
    let quoted = [b"\"", text, b"\""].concat();
    let text: String = serde_json::from_slice(&quoted).ok()?;
    Some(PyString::new(py, &text))
}

fn number<'py>(py: Python<'py>, word: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(text) = std::str::from_utf8(word)
        .ok()
        .filter(|text| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    else {
        return Ok(None);
    };
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(number.into_pyobject(py)?.into_any()));
    }
    if text.bytes().skip(1).all(|byte| byte.is_ascii_digit()) {
        return Ok(py.get_type::<PyInt>().call1((text,)).ok());
    }
    // As exact as Python's.
    Ok(match text.parse::<f64>() {
        Ok(number) => Some(number.into_pyobject(py)?.into_any()),
        Err(_) => None,
    })
}

/// The data of server-sent events, found in pieces of a stream as they come.
#[pyclass(module = "logspool._core")]
pub struct Events {
    lines: Lines,
    most: usize,
}

#[pymethods]
impl Events {
    /// Lines longer than `most` bytes are passed over.
    #[new]
    #[pyo3(signature = (most=1 << 20))]
    fn new(most: usize) -> Self {
        let lines = Lines::default();
        Self { lines, most }
    }

    /// The data of each event line that ends in this piece; with `settled` only of those that may say more than a piece of text does.
    #[pyo3(signature = (data, settled=false))]
    fn feed<'py>(
        &mut self,
        data: &Bound<'py, PyBytes>,
        settled: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = data.py();
        let found = PyList::empty(py);
        let mut done = Ok(());
        self.lines.feed(data.as_bytes(), self.most, |event| {
            if done.is_ok() && (!settled || skim::may_matter(event)) {
                done = found.append(PyBytes::new(py, event));
            }
        });
        done.map(|()| found)
    }
}
