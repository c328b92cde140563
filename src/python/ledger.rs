//! `log_cost`: the entry from Python, and the handler cost records go to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::engine::engine;
use crate::python::attach::AttachedCell;
use crate::python::bill::{self, Bill};
use crate::python::buffer::Buffer;
use crate::python::cost::CostCall;
use crate::python::handler::NativeHandler;
use crate::python::record::RecordEncoder;
use crate::python::repeats;
use crate::report;

/// Where cost records go, and who opens that when nobody has yet.
#[derive(Default)]
struct Ledger {
    handler: Option<Py<NativeHandler>>,
    opener: Option<Py<PyAny>>,
    watcher: Option<Py<PyAny>>,
}

static LEDGER: AttachedCell<Ledger> = AttachedCell::new(Ledger {
    handler: None,
    opener: None,
    watcher: None,
});

/// A provider left out is `OpenRouter`; one given as `None` is unknown.
pub enum Provider<'py> {
    LeftOut,
    Given(Option<Bound<'py, PyAny>>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Provider<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Given((!value.is_none()).then(|| value.to_owned())))
    }
}

/// Sets the handler cost records go to.
#[pyfunction]
pub fn set_cost_handler(py: Python<'_>, handler: Option<Py<NativeHandler>>) {
    let old = LEDGER.with(py, |ledger| std::mem::replace(&mut ledger.handler, handler));
    drop(old);
}

/// Sets what is called, without arguments, for a handler when there is none.
#[pyfunction]
pub fn set_cost_opener(py: Python<'_>, callback: Option<Py<PyAny>>) {
    let old = LEDGER.with(py, |ledger| std::mem::replace(&mut ledger.opener, callback));
    drop(old);
}

/// Sets what is called with each finished line of the cost log, as bytes, after it was appended.
#[pyfunction]
pub fn set_cost_watcher(py: Python<'_>, callback: Option<Py<PyAny>>) {
    let old = LEDGER.with(py, |ledger| {
        std::mem::replace(&mut ledger.watcher, callback)
    });
    drop(old);
}

/// Appends one LLM cost record to the cost log, whatever the configured level.
#[pyfunction]
#[pyo3(signature = (tier_id=None, model=None, *, usage=None, prompt_tokens=None, completion_tokens=None, cost=None,
    pricing=None, latency_ms=None, http_status=None, request_id=None, response_id=None, provider=Provider::LeftOut,
    task=None, event=None, legacy_keys=false, **fields),
    text_signature = "(tier_id=None, model=None, *, usage=None, prompt_tokens=None, completion_tokens=None, cost=None, \
    pricing=None, latency_ms=None, http_status=None, request_id=None, response_id=None, provider='openrouter', \
    task=None, event='openrouter_cost', legacy_keys=False, **fields)")]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // The keywords of the public call.
pub fn log_cost<'py>(
    py: Python<'py>,
    tier_id: Option<Bound<'py, PyAny>>,
    model: Option<Bound<'py, PyAny>>,
    usage: Option<Bound<'py, PyAny>>,
    prompt_tokens: Option<Bound<'py, PyAny>>,
    completion_tokens: Option<Bound<'py, PyAny>>,
    cost: Option<Bound<'py, PyAny>>,
    pricing: Option<Bound<'py, PyAny>>,
    latency_ms: Option<Bound<'py, PyAny>>,
    http_status: Option<Bound<'py, PyAny>>,
    request_id: Option<Bound<'py, PyAny>>,
    response_id: Option<Bound<'py, PyAny>>,
    provider: Provider<'py>,
    task: Option<Bound<'py, PyAny>>,
    event: Option<Bound<'py, PyAny>>,
    legacy_keys: bool,
    fields: Option<Bound<'py, PyDict>>,
) -> PyResult<()> {
    let provider = match provider {
        Provider::LeftOut => Some(usual_provider(py).to_owned()),
        Provider::Given(given) => given,
    };
    let call = CostCall {
        tier_id: tier_id.as_ref().map(Bound::as_borrowed),
        model: model.as_ref().map(Bound::as_borrowed),
        usage: usage.as_ref().map(Bound::as_borrowed),
        prompt_tokens: prompt_tokens.as_ref().map(Bound::as_borrowed),
        completion_tokens: completion_tokens.as_ref().map(Bound::as_borrowed),
        cost: cost.as_ref().map(Bound::as_borrowed),
        pricing: pricing.as_ref().map(Bound::as_borrowed),
        latency_ms: latency_ms.as_ref().map(Bound::as_borrowed),
        http_status: http_status.as_ref().map(Bound::as_borrowed),
        request_id: request_id.as_ref().map(Bound::as_borrowed),
        response_id: response_id.as_ref().map(Bound::as_borrowed),
        provider: provider.as_ref().map(Bound::as_borrowed),
        task: task.as_ref().map(Bound::as_borrowed),
        event: event.as_ref().map(Bound::as_borrowed),
        legacy_keys,
        fields: fields.as_ref(),
    };
    log(py, &call, None)
}

/// Writes what a call of a language model used and cost into the fields of its HTTP record, as `tokens` and `cost`, and with `log` appends
/// its cost record, too. `fields` has everything else that one says, but for tier and task.
#[pyfunction]
pub fn bill_http_call<'py>(
    fields: &Bound<'py, PyDict>,
    usage: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
    log: bool,
) -> PyResult<()> {
    let py = fields.py();
    let of = |name: &Bound<'py, PyString>| -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(fields.get_item(name)?.filter(|value| !value.is_none()))
    };
    let model = of(intern!(py, "model"))?;
    let tier_id = of(intern!(py, "tier_id"))?;
    let latency_ms = of(intern!(py, "latency_ms"))?;
    let http_status = of(intern!(py, "http_status"))?;
    let request_id = of(intern!(py, "request_id"))?;
    let response_id = of(intern!(py, "response_id"))?;
    let provider = of(intern!(py, "provider"))?;
    let call = CostCall {
        tier_id: tier_id.as_ref().map(Bound::as_borrowed),
        model: model.as_ref().map(Bound::as_borrowed),
        usage: (!usage.is_none()).then(|| usage.as_borrowed()),
        latency_ms: latency_ms.as_ref().map(Bound::as_borrowed),
        http_status: http_status.as_ref().map(Bound::as_borrowed),
        request_id: request_id.as_ref().map(Bound::as_borrowed),
        response_id: response_id.as_ref().map(Bound::as_borrowed),
        provider: provider.as_ref().map(Bound::as_borrowed),
        task: (!task.is_none()).then(|| task.as_borrowed()),
        ..CostCall::default()
    };
    let (bill, tokens, cost) = bill::made(py, &call)?;
    fields.set_item(intern!(py, "tokens"), tokens)?;
    fields.set_item(intern!(py, "cost"), cost)?;
    if log {
        return self::log(py, &call, Some(&bill));
    }
    Ok(())
}

/// Who is meant where the caller names no provider.
pub(super) fn usual_provider(py: Python<'_>) -> Borrowed<'_, '_, PyAny> {
    intern!(py, "openrouter").as_any().as_borrowed()
}

/// Appends one cost record.
pub(super) fn log<'py>(
    py: Python<'py>,
    call: &CostCall<'_, 'py>,
    bill: Option<&Bill<'py>>,
) -> PyResult<()> {
    let says = call.usage.is_some()
        || call.cost.is_some()
        || call.prompt_tokens.is_some()
        || call.completion_tokens.is_some();
    if call
        .response_id
        .is_some_and(|id| repeats::repeated(py, id, says))
    {
        return Ok(());
    }
    let Some(handler) = handler(py)? else {
        return Ok(()); // Counted and said.
    };
    let mut line = Buffer::take();
    // A defect of ours must not become the application's.
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        let open = handler.get().current(py)?;
        open.get()
            .encoder
            .encode_billed(py, call, bill, &mut line.bytes);
        Ok::<_, PyErr>(())
    }));
    match encoded {
        Ok(Ok(())) => match append(py, handler.get(), &mut line.bytes) {
            Err(e) if e.is_instance_of::<PyException>(py) => {
                lost(&format!("the cost log could not be opened again: {e}"));
                Ok(())
            }
            other => other,
        },
        Ok(Err(e)) => {
            lost(&format!("the cost log could not be opened again: {e}"));
            Ok(())
        }
        Err(_) => {
            lost("a cost record could not be encoded; this is a defect of logspool");
            Ok(())
        }
    }
}

/// Appends the line, which then has its number, and tells who watches.
fn append(py: Python<'_>, handler: &NativeHandler, line: &mut [u8]) -> PyResult<()> {
    handler.append_line(py, line)?;
    if LEDGER.with(py, |ledger| ledger.watcher.is_some()) {
        // Rare, and it may do anything.
        return Python::attach(|py| tell(py, line));
    }
    Ok(())
}

fn tell(py: Python<'_>, line: &[u8]) -> PyResult<()> {
    let watcher = LEDGER.with(py, |ledger| {
        let watcher = ledger.watcher.as_ref();
        watcher.map(|watcher| watcher.clone_ref(py))
    });
    let told = watcher.map(|watcher| watcher.call1(py, (PyBytes::new(py, line),)));
    match told {
        Some(Err(error)) if error.is_instance_of::<PyException>(py) => {
            error.write_unraisable(py, None);
            Ok(())
        }
        Some(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The handler, opened where there is none; trouble with that is counted and said, not raised.
fn handler(py: Python<'_>) -> PyResult<Option<Bound<'_, NativeHandler>>> {
    let (standing, opener) = LEDGER.with(py, |ledger| {
        let clone = |h: &Py<NativeHandler>| h.clone_ref(py);
        match &ledger.handler {
            Some(handler) => (Some(clone(handler)), None),
            None => (None, ledger.opener.as_ref().map(|o| o.clone_ref(py))),
        }
    });
    if let Some(handler) = standing {
        return Ok(Some(handler.into_bound(py)));
    }
    let outcome = opener
        .ok_or_else(|| PyRuntimeError::new_err("there is no cost log"))
        .and_then(|callback| callback.bind(py).call0())
        .and_then(|object| Ok(object.cast_into::<NativeHandler>()?));
    match outcome {
        Ok(cost_log) => {
            // Unless another thread has configured one meanwhile.
            let ours = cost_log.clone().unbind();
            let refused = LEDGER.with(py, |ledger| match ledger.handler {
                Some(_) => Some(ours),
                None => ledger.handler.replace(ours),
            });
            drop(refused);
            Ok(Some(cost_log))
        }
        Err(e) if !e.is_instance_of::<PyException>(py) => Err(e),
        Err(e) => {
            lost(&format!("the cost log cannot be opened: {e}"));
            Ok(None)
        }
    }
}

pub(super) fn lost(why: &str) {
    engine().count_unopened();
    report::say(&format!("a cost record was lost: {why}"));
}

/// The finished line of one `log_cost` call, for tests: `keywords` as for `log_cost`.
#[pyfunction]
#[pyo3(signature = (settings, tier_id=None, model=None, **keywords))]
#[allow(clippy::needless_pass_by_value)] // What Python passes.
pub fn encode_cost<'py>(
    settings: &Bound<'py, PyDict>,
    tier_id: Option<Bound<'py, PyAny>>,
    model: Option<Bound<'py, PyAny>>,
    keywords: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = settings.py();
    let rest = keywords.unwrap_or_else(|| PyDict::new(py));
    let take = |name: &str| -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = PyString::new(py, name);
        let value = rest.get_item(&name)?;
        if value.is_some() {
            rest.del_item(&name)?;
        }
        Ok(value.filter(|v| !v.is_none()))
    };
    let taken = [
        take("usage")?,
        take("prompt_tokens")?,
        take("completion_tokens")?,
        take("cost")?,
        take("pricing")?,
        take("latency_ms")?,
        take("http_status")?,
        take("request_id")?,
        take("response_id")?,
        take("provider")?,
        take("task")?,
        take("event")?,
    ];
    let legacy_keys = take("legacy_keys")?.is_some_and(|v| v.is_truthy().unwrap_or(false));
    let mut values = taken
        .iter()
        .map(|value| value.as_ref().map(Bound::as_borrowed));
    let mut next = || values.next().flatten();
    let call = CostCall {
        tier_id: tier_id.as_ref().map(Bound::as_borrowed),
        model: model.as_ref().map(Bound::as_borrowed),
        usage: next(),
        prompt_tokens: next(),
        completion_tokens: next(),
        cost: next(),
        pricing: next(),
        latency_ms: next(),
        http_status: next(),
        request_id: next(),
        response_id: next(),
        provider: next(),
        task: next(),
        event: next(),
        legacy_keys,
        fields: Some(&rest),
    };
    let mut line = Vec::new();
    RecordEncoder::new(settings)?.encode_cost(py, &call, &mut line);
    Ok(PyBytes::new(py, &line))
}
