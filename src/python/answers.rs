//! What heads and bodies of HTTP calls say of an answer of a language model: called by `logspool.httpx`, for which `crate::skim` finds
//! the places.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use smallvec::{SmallVec, smallvec};

use crate::skim::{self, Lines, Value};

/// Deeper values are taken for null.
const DEEPEST: usize = 16;
/// A longer line of an event stream is passed over.
const MOST_LINE: usize = 1 << 20;
/// Characters of an error's code.
const MOST_CODE: usize = 100;

/// What the answer of a provider says, taken from it piece by piece.
#[pyclass(module = "logspool._core")]
#[derive(Default)]
pub struct Answer {
    lines: Lines,
    /// The provider's id of the answer.
    #[pyo3(get)]
    response_id: Option<Py<PyString>>,
    /// The model that answered.
    #[pyo3(get)]
    model: Option<Py<PyString>>,
    /// Tokens, and what they cost where the provider says it, under its own names.
    #[pyo3(get)]
    usage: Option<Py<PyDict>>,
    /// The code of an error.
    #[pyo3(get)]
    error: Option<Py<PyString>>,
    /// Whether it is complete.
    #[pyo3(get)]
    done: bool,
    /// Whether it is made in the background, and asked for later: that answer has the usage.
    #[pyo3(get)]
    pending: bool,
}

#[pymethods]
impl Answer {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// A whole body. Of one longer than `most` bytes, or without its beginning, only the usage is looked for, from its end on.
    fn body(&mut self, data: &Bound<'_, PyBytes>, most: usize) -> PyResult<()> {
        let (py, data) = (data.py(), data.as_bytes());
        if data.len() > most {
            return match skim::last_usage(data) {
                Some(usage) => self.take_usage(py, usage.0, usage.1),
                None => Ok(()),
            };
        }
        if !data.trim_ascii_start().starts_with(b"[") {
            return self.take(py, data).map(drop);
        }
        // Gemini streams a list.
        let mut parts = Vec::new();
        if let Some(Value::Array(array)) = skim::document(data)
            && skim::items(array, |part| parts.push(part))
        {
            for part in parts {
                if let Value::Object(object) = part {
                    self.take(py, object)?;
                }
            }
        }
        Ok(())
    }

    /// A piece of a stream of server-sent events; lines longer than [`MOST_LINE`] bytes are passed over.
    fn feed(&mut self, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let mut lines = std::mem::take(&mut self.lines);
        let mut done = Ok(());
        lines.feed(data.as_bytes(), MOST_LINE, |event| {
            if done.is_ok() {
                done = self.event(data.py(), event);
            }
        });
        self.lines = lines;
        done
    }
}

impl Answer {
    /// The data of one server-sent event.
    fn event(&mut self, py: Python<'_>, event: &[u8]) -> PyResult<()> {
        let settled = self.response_id.is_some() && self.model.is_some();
        if settled && !skim::may_matter(event) {
            return Ok(());
        }
        self.done |= event == b"[DONE]" || (self.take(py, event)? && skim::is_end(event));
        Ok(())
    }

    /// A document that is an object, which tells of the answer or has another in it that does; whether it is one.
    fn take(&mut self, py: Python<'_>, text: &[u8]) -> PyResult<bool> {
        let (mut members, mut inner) = (Members::default(), SmallVec::<[_; 1]>::new());
        let whole = skim::object(text, |name, value| match (name, value) {
            // OpenAI's responses, Anthropic's `message_start`.
            (b"response" | b"message", Value::Object(object)) => inner.push((name, object)),
            _ => members.note(name, value),
        });
        if !whole {
            return Ok(false);
        }
        for (name, object) in inner {
            let mut members = Members::default();
            if skim::members(object, |name, value| members.note(name, value)) {
                // At its beginning Anthropic counts the first token of the answer only.
                self.take_part(py, &members, name == b"message")?;
            }
        }
        self.take_part(py, &members, false)?;
        Ok(true)
    }

    fn take_part(
        &mut self,
        py: Python<'_>,
        members: &Members<'_>,
        beginning: bool,
    ) -> PyResult<()> {
        if self.response_id.is_none() {
            self.response_id = text(py, members.id).or_else(|| text(py, members.other_id));
        }
        if self.model.is_none() {
            self.model = text(py, members.model).or_else(|| text(py, members.other_model));
        }
        if let Some(Value::Object(usage)) = members.usage_of_gemini {
            self.take_usage(py, usage, true)?;
        } else if let Some(Value::Object(usage)) = members.usage {
            let counted = self.output_tokens(py)?;
            self.take_usage(py, usage, false)?;
            if beginning && let Some(usage) = &self.usage {
                let name = intern!(py, "output_tokens");
                match counted {
                    Some(counted) => usage.bind(py).set_item(name, counted)?,
                    None if usage.bind(py).contains(name)? => usage.bind(py).del_item(name)?,
                    None => {}
                }
            }
        }
        self.pending = matches!(
            members.status,
            Some(Value::Text(b"queued" | b"in_progress", _))
        );
        if let Some(Value::Object(error)) = members.error {
            self.error = Some(code_of(py, error)?);
        }
        Ok(())
    }

    fn output_tokens<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.usage {
            Some(usage) => usage.bind(py).get_item(intern!(py, "output_tokens")),
            None => Ok(None),
        }
    }

    /// Adds what is known now to what was known before.
    fn take_usage(&mut self, py: Python<'_>, object: &[u8], gemini: bool) -> PyResult<()> {
        let usage = match &self.usage {
            Some(usage) => usage.bind(py).copy()?,
            None => PyDict::new(py),
        };
        let found = converted(py, Value::Object(object), 0)?;
        let found = found.cast::<PyDict>()?;
        if gemini {
            let get = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
                Ok(found.get_item(name)?.filter(|value| !value.is_none()))
            };
            let thoughts = get("thoughtsTokenCount")?;
            let candidates = get("candidatesTokenCount")?;
            let completion = match (&candidates, &thoughts) {
                (Some(candidates), Some(thoughts)) => candidates.add(thoughts).ok(),
                _ => candidates,
            };
            for (name, value) in [
                ("prompt", get("promptTokenCount")?),
                ("completion", completion),
                ("total", get("totalTokenCount")?),
                ("cached", get("cachedContentTokenCount")?),
                ("reasoning", thoughts),
            ] {
                if let Some(value) = value {
                    usage.set_item(name, value)?;
                }
            }
        } else {
            for (name, value) in found {
                if !value.is_none() {
                    usage.set_item(name, value)?;
                }
            }
        }
        self.usage = Some(usage.unbind());
        Ok(())
    }
}

/// The members that tell of an answer.
#[derive(Default)]
struct Members<'a> {
    id: Option<Value<'a>>,
    model: Option<Value<'a>>,
    usage: Option<Value<'a>>,
    error: Option<Value<'a>>,
    other_id: Option<Value<'a>>,
    other_model: Option<Value<'a>>,
    usage_of_gemini: Option<Value<'a>>,
    status: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    fn note(&mut self, name: &[u8], value: Value<'a>) {
        let place = match name {
            b"id" => &mut self.id,
            b"model" => &mut self.model,
            b"usage" => &mut self.usage,
            b"error" => &mut self.error,
            b"responseId" => &mut self.other_id,
            b"modelVersion" => &mut self.other_model,
            b"usageMetadata" => &mut self.usage_of_gemini,
            b"status" => &mut self.status,
            _ => return,
        };
        *place = Some(value);
    }
}

/// What an error object has as `code`, `type` or `status`.
fn code_of(py: Python<'_>, error: &[u8]) -> PyResult<Py<PyString>> {
    let error = converted(py, Value::Object(error), 0)?;
    let error = error.cast::<PyDict>()?;
    for name in ["code", "type", "status"] {
        if let Some(code) = error.get_item(name)?
            && code.is_truthy()?
        {
            let code = code.str()?.to_string_lossy().into_owned();
            let code: String = code.chars().take(MOST_CODE).collect();
            return Ok(PyString::new(py, &code).unbind());
        }
    }
    Ok(intern!(py, "error").clone().unbind())
}

/// The text that a request's body has as its `model`.
#[pyfunction]
pub fn asked_model<'py>(data: &Bound<'py, PyBytes>) -> Option<Bound<'py, PyString>> {
    let mut model = None;
    let whole = skim::object(data.as_bytes(), |name, value| {
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

/// A text that is not empty.
fn text(py: Python<'_>, value: Option<Value<'_>>) -> Option<Py<PyString>> {
    match value? {
        Value::Text(text, escaped) if !text.is_empty() => {
            string(py, text, escaped).map(Bound::unbind)
        }
        _ => None,
    }
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
            let mut done = Ok(());
            skim::members(object, |name, value| {
                if let Some(name) = string(py, name, name.contains(&b'\\'))
                    && done.is_ok()
                {
                    done = converted(py, value, depth + 1)
                        .and_then(|value| dict.set_item(name, value));
                }
            });
            done?;
            dict.into_any()
        }
        Value::Array(array) => {
            let list = PyList::empty(py);
            let mut done = Ok(());
            skim::items(array, |value| {
                if done.is_ok() {
                    done = converted(py, value, depth + 1).and_then(|value| list.append(value));
                }
            });
            done?;
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
