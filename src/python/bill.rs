//! Tokens and cost of a call, from whatever shape the caller or the provider gives them in.

use std::sync::OnceLock;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};

use super::cost::CostCall;
use super::cut::KeyLimits;
use super::encode::{Encoder, Limits, MAX_DEPTH, Nest, Written};
use super::held::Held;
use super::logger;
use super::members::{Members, Name};
use super::names::Names;
use super::text::small_int;
use super::verdict::Verdicts;
use crate::json;

pub(super) type Value<'py> = Option<Held<'py>>;

/// Tokens and cost, as far as they are known.
#[derive(Default)]
pub(super) struct Bill<'py> {
    pub(super) prompt: Value<'py>,
    pub(super) completion: Value<'py>,
    pub(super) total: Value<'py>,
    pub(super) cached: Value<'py>,
    pub(super) cache_write: Value<'py>,
    reasoning: Value<'py>,
    pub(super) input_cost: Amount<'py>,
    pub(super) output_cost: Amount<'py>,
    pub(super) total_cost: Amount<'py>,
    pub(super) currency: Value<'py>,
    pub(super) source: Option<&'static str>,
    /// The prices of the model, where the call gave none and they were needed.
    pub(super) pricing: Value<'py>,
}

/// Where the tokens that are counted apart may stand.
const DETAILS: &[Name] = &[
    Name::prompt_tokens_details,
    Name::input_tokens_details,
    Name::cache_read_input_tokens,
    Name::cached,
    Name::cache_creation_input_tokens,
    Name::cache_write,
    Name::completion_tokens_details,
    Name::output_tokens_details,
    Name::reasoning,
];

/// What is known, borrowed.
fn borrowed<'a, 'py>(value: &'a Value<'py>) -> Option<Borrowed<'a, 'py, PyAny>> {
    value.as_deref().map(Bound::as_borrowed)
}

/// Money: given, or computed from prices.
#[derive(Default)]
pub(super) enum Amount<'py> {
    #[default]
    Unknown,
    Given(Held<'py>),
    Computed(f64),
}

impl<'py> Bill<'py> {
    /// The prices given, or those that were looked up and used.
    pub(super) fn pricing<'a>(
        &'a self,
        call: &CostCall<'a, 'py>,
    ) -> Option<Borrowed<'a, 'py, PyAny>> {
        call.pricing.or(borrowed(&self.pricing))
    }
}

/// What `log_cost` makes of these arguments: `{"tokens":{…},"cost":{…}}` in JSON.
#[pyfunction]
#[pyo3(signature = (*, usage=None, model=None, cost=None, pricing=None))]
#[allow(clippy::needless_pass_by_value)] // What Python passes.
pub fn bill<'py>(
    py: Python<'py>,
    usage: Option<Bound<'py, PyAny>>,
    model: Option<Bound<'py, PyAny>>,
    cost: Option<Bound<'py, PyAny>>,
    pricing: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let call = CostCall {
        usage: usage.as_ref().map(Bound::as_borrowed),
        model: model.as_ref().map(Bound::as_borrowed),
        cost: cost.as_ref().map(Bound::as_borrowed),
        pricing: pricing.as_ref().map(Bound::as_borrowed),
        ..CostCall::default()
    };
    let encoder = Encoder::new(py, Names::get(py)?, BILL_LIMITS, verdicts());
    let bill = encoder.bill(&call);
    let mut out = Vec::new();
    // Without an end there is nothing that could be too long.
    let _ = encoder
        .write_tokens(&mut out, &bill, true)
        .and_then(|()| encoder.write_cost(&mut out, &bill, true));
    encoder.finish();
    out[0] = b'{'; // In the place of the comma that parts it from what stands before it in a line.
    out.push(b'}');
    Ok(PyBytes::new(py, &out))
}

/// The bill of a call, and its tokens and cost as dicts, with the values as they are.
pub(super) fn made<'py>(
    py: Python<'py>,
    call: &CostCall<'_, 'py>,
) -> PyResult<(Bill<'py>, Bound<'py, PyDict>, Bound<'py, PyDict>)> {
    let encoder = Encoder::new(py, Names::get(py)?, BILL_LIMITS, verdicts());
    let bill = encoder.bill(call);
    encoder.finish();
    let none = py.None().into_bound(py);
    let or_none = |value: &Value<'py>| value.as_deref().unwrap_or(&none).to_owned();
    let tokens = PyDict::new(py);
    tokens.set_item(intern!(py, "prompt"), or_none(&bill.prompt))?;
    tokens.set_item(intern!(py, "completion"), or_none(&bill.completion))?;
    tokens.set_item(intern!(py, "total"), or_none(&bill.total))?;
    for (name, value) in [
        (intern!(py, "cached"), &bill.cached),
        (intern!(py, "cache_write"), &bill.cache_write),
        (intern!(py, "reasoning"), &bill.reasoning),
    ] {
        if let Some(value) = value {
            tokens.set_item(name, &**value)?;
        }
    }
    let amount = |amount: &Amount<'py>| -> PyResult<Bound<'py, PyAny>> {
        Ok(match amount {
            Amount::Unknown => none.clone(),
            Amount::Given(amount) => (**amount).clone(),
            Amount::Computed(amount) => amount.into_pyobject(py)?.into_any(),
        })
    };
    let cost = PyDict::new(py);
    cost.set_item(intern!(py, "input"), amount(&bill.input_cost)?)?;
    cost.set_item(intern!(py, "output"), amount(&bill.output_cost)?)?;
    cost.set_item(intern!(py, "total"), amount(&bill.total_cost)?)?;
    match bill.currency.as_deref() {
        Some(currency) => cost.set_item(intern!(py, "currency"), currency)?,
        None => cost.set_item(intern!(py, "currency"), intern!(py, "USD"))?,
    }
    cost.set_item(intern!(py, "source"), bill.source)?;
    Ok((bill, tokens, cost))
}

/// Of a bill every member is shown.
fn verdicts() -> &'static Verdicts {
    static VERDICTS: OnceLock<&Verdicts> = OnceLock::new();
    VERDICTS.get_or_init(|| Verdicts::of("bill", None, KeyLimits::default()))
}

const BILL_LIMITS: Limits = Limits {
    text: MAX_BILL,
    short: 0,
    items: MAX_BILL,
    depth: MAX_DEPTH,
    end: usize::MAX,
};

/// Characters, and items, of an odd value in the place of a number.
const MAX_BILL: usize = 256;

impl<'py> Encoder<'py> {
    pub(super) fn bill(&self, call: &CostCall<'_, 'py>) -> Bill<'py> {
        let py = self.py;
        let mut bill = Bill::default();
        let mut provided = None;
        if let Some(usage) = call.usage.as_deref() {
            let usage = &Members::of(self, usage);
            let get = |names: &[Name]| usage.get(self, names);
            bill.prompt = get(&[Name::prompt_tokens, Name::input_tokens, Name::prompt]);
            bill.completion = get(&[
                Name::completion_tokens,
                Name::output_tokens,
                Name::completion,
            ]);
            bill.total = get(&[Name::total_tokens, Name::total]);
            let inner = |outer: &[Name], name: Name, flat: &[Name]| {
                get(outer)
                    .and_then(|details| Members::of(self, &details).get(self, &[name]))
                    .or_else(|| get(flat))
            };
            if usage.may_have(DETAILS) {
                bill.cached = inner(
                    &[Name::prompt_tokens_details, Name::input_tokens_details],
                    Name::cached_tokens,
                    &[Name::cache_read_input_tokens, Name::cached],
                );
                bill.cache_write = inner(
                    &[Name::prompt_tokens_details, Name::input_tokens_details],
                    Name::cache_write_tokens,
                    &[Name::cache_creation_input_tokens, Name::cache_write],
                );
                bill.reasoning = inner(
                    &[Name::completion_tokens_details, Name::output_tokens_details],
                    Name::reasoning_tokens,
                    &[Name::reasoning],
                );
            }
            self.count_cached_apart(usage, &mut bill);
            if call.cost.is_none() {
                provided = get(&[Name::cost]);
            }
        }
        let given = call.prompt_tokens.is_some() || call.completion_tokens.is_some();
        bill.prompt = call.prompt_tokens.map(Held::new).or(bill.prompt);
        bill.completion = call.completion_tokens.map(Held::new).or(bill.completion);
        if given || bill.total.is_none() {
            let sum = bill.prompt.as_ref().zip(bill.completion.as_ref()).and_then(
                |(prompt, completion)| {
                    let sum = self.count(prompt)?.checked_add(self.count(completion)?)?;
                    sum.into_pyobject(py)
                        .ok()
                        .map(|sum| Held::from(sum.into_any()))
                },
            );
            bill.total = sum.or(bill.total);
        }
        self.price(call, provided, &mut bill);
        bill
    }

    /// Anthropic counts what comes from its cache, and what goes there, beside the rest of the prompt; elsewhere they are part of it.
    fn count_cached_apart(&self, usage: &Members<'_, 'py>, bill: &mut Bill<'py>) {
        const ITS_OWN: &[Name] = &[
            Name::cache_read_input_tokens,
            Name::cache_creation_input_tokens,
        ];
        const OF_OTHERS: &[Name] = &[
            Name::prompt_tokens,
            Name::total_tokens,
            Name::input_tokens_details,
            Name::prompt_tokens_details,
        ];
        if !usage.may_have(ITS_OWN)
            || usage.get(self, ITS_OWN).is_none()
            || usage.get(self, OF_OTHERS).is_some()
        {
            return;
        }
        let known = |value: &Value<'py>| {
            value
                .as_ref()
                .map_or(Some(0), |value| self.count(value).filter(|n| *n >= 0))
        };
        let sum = bill
            .prompt
            .as_ref()
            .and_then(|prompt| self.count(prompt))
            .zip(known(&bill.cached))
            .zip(known(&bill.cache_write))
            .and_then(|((fresh, read), written)| fresh.checked_add(read)?.checked_add(written));
        if let Some(sum) = sum.and_then(|sum| sum.into_pyobject(self.py).ok()) {
            bill.prompt = Some(Held::from(sum.into_any()));
        }
    }

    pub(super) fn count(&self, value: &Bound<'py, PyAny>) -> Option<i64> {
        if value.is_exact_instance_of::<pyo3::types::PyInt>() {
            return small_int(value.as_borrowed());
        }
        if value.is_instance_of::<pyo3::types::PyBool>() {
            return None;
        }
        self.ok(value.extract())
    }

    /// The name of this thread, as the program's records have it.
    pub(super) fn thread_name(&self) -> Value<'py> {
        static CURRENT_THREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = self.py;
        if let Some(name) = logger::thread_name(py) {
            return Some(name);
        }
        let current = CURRENT_THREAD.get_or_try_init(py, || {
            Ok(py.import("threading")?.getattr("current_thread")?.unbind())
        });
        self.ok(current.and_then(|current| current.bind(py).call0()?.getattr(intern!(py, "name"))))
            .map(Held::from)
    }

    #[inline]
    pub(super) fn write_known_or_null(
        &self,
        out: &mut Vec<u8>,
        key: &[u8],
        value: Option<Borrowed<'_, 'py, PyAny>>,
    ) -> Written {
        out.extend_from_slice(key);
        if let Some(value) = value {
            return self.write_value(out, value, &Nest::TOP);
        }
        out.extend_from_slice(b"null");
        Ok(())
    }

    #[inline]
    fn write_amount(&self, out: &mut Vec<u8>, key: &[u8], amount: &Amount<'py>) -> Written {
        match amount {
            Amount::Computed(amount) => {
                out.extend_from_slice(key);
                json::write_float(out, *amount);
                Ok(())
            }
            Amount::Given(amount) => self.write_known_or_null(out, key, Some(amount.as_borrowed())),
            Amount::Unknown => self.write_known_or_null(out, key, None),
        }
    }

    pub(super) fn write_tokens(
        &self,
        out: &mut Vec<u8>,
        bill: &Bill<'py>,
        details: bool,
    ) -> Written {
        self.write_known_or_null(out, b",\"tokens\":{\"prompt\":", borrowed(&bill.prompt))?;
        self.write_known_or_null(out, b",\"completion\":", borrowed(&bill.completion))?;
        self.write_known_or_null(out, b",\"total\":", borrowed(&bill.total))?;
        if details && bill.cached.is_some() {
            self.write_known_or_null(out, b",\"cached\":", borrowed(&bill.cached))?;
        }
        if details && bill.cache_write.is_some() {
            self.write_known_or_null(out, b",\"cache_write\":", borrowed(&bill.cache_write))?;
        }
        if details && bill.reasoning.is_some() {
            self.write_known_or_null(out, b",\"reasoning\":", borrowed(&bill.reasoning))?;
        }
        out.push(b'}');
        Ok(())
    }

    pub(super) fn write_cost(&self, out: &mut Vec<u8>, bill: &Bill<'py>, details: bool) -> Written {
        out.extend_from_slice(b",\"cost\":{");
        self.write_amount(out, b"\"input\":", &bill.input_cost)?;
        self.write_amount(out, b",\"output\":", &bill.output_cost)?;
        self.write_amount(out, b",\"total\":", &bill.total_cost)?;
        if details {
            match &bill.currency {
                Some(currency) => {
                    self.write_known_or_null(out, b",\"currency\":", Some(currency.as_borrowed()))?;
                }
                None => out.extend_from_slice(b",\"currency\":\"USD\""),
            }
            out.extend_from_slice(b",\"source\":");
            match bill.source {
                Some(source) => json::write_str(out, source),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The keys that the predecessor of `log_cost` wrote, as it wrote them.
    pub(super) fn write_legacy(
        &self,
        out: &mut Vec<u8>,
        now: i64,
        call: &CostCall<'_, 'py>,
        bill: &Bill<'py>,
    ) -> Written {
        out.extend_from_slice(b",\"timestamp\":");
        json::write_time(out, now);
        self.write_known_or_null(out, b",\"tier\":", call.tier_id)?;
        self.write_known_or_null(out, b",\"model\":", call.model)?;
        self.write_known_or_null(out, b",\"task\":", call.task)?;
        self.write_tokens(out, bill, false)?;
        self.write_cost(out, bill, false)?;
        self.write_known_or_null(out, b",\"pricing\":", bill.pricing(call))
    }
}
