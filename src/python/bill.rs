//! Tokens and cost of a call, from whatever shape the caller or the provider gives them in.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::cost::CostCall;
use super::encode::{Encoder, Nest, Written};
use super::held::Held;
use super::logger;
use super::members::{Members, Name};
use super::text::small_int;
use crate::json;

pub(super) type Value<'py> = Option<Held<'py>>;

/// Tokens and cost, as far as they are known.
#[derive(Default)]
pub(super) struct Bill<'py> {
    prompt: Value<'py>,
    completion: Value<'py>,
    total: Value<'py>,
    cached: Value<'py>,
    reasoning: Value<'py>,
    input_cost: Amount<'py>,
    output_cost: Amount<'py>,
    total_cost: Amount<'py>,
    currency: Value<'py>,
    source: Option<&'static str>,
}

/// Where the tokens that are counted apart may stand.
const DETAILS: &[Name] = &[
    Name::prompt_tokens_details,
    Name::input_tokens_details,
    Name::cache_read_input_tokens,
    Name::cached,
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
enum Amount<'py> {
    #[default]
    Unknown,
    Given(Held<'py>),
    Computed(f64),
}

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
                bill.reasoning = inner(
                    &[Name::completion_tokens_details, Name::output_tokens_details],
                    Name::reasoning_tokens,
                    &[Name::reasoning],
                );
            }
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

    fn price(&self, call: &CostCall<'_, 'py>, provided: Value<'py>, bill: &mut Bill<'py>) {
        let (cost, source) = match call.cost {
            Some(cost) => (Some(Held::new(cost)), "caller"),
            None => (provided, "provider"),
        };
        if let Some(cost) = cost {
            bill.source = Some(source);
            if !self.is_mapping(&cost) {
                bill.total_cost = Amount::Given(cost);
                return;
            }
            let parts = Members::of(self, &cost);
            let part = |name| parts.get(self, &[name]);
            let (input, output) = (part(Name::input), part(Name::output));
            let total = part(Name::total);
            bill.currency = part(Name::currency);
            bill.total_cost = match total {
                Some(total) => Amount::Given(total),
                None => match (
                    input.as_ref().and_then(|cost| self.number(cost)),
                    output.as_ref().and_then(|cost| self.number(cost)),
                ) {
                    (Some(input), Some(output)) => Amount::Computed(input + output),
                    _ => Amount::Unknown,
                },
            };
            bill.input_cost = input.map_or(Amount::Unknown, Amount::Given);
            bill.output_cost = output.map_or(Amount::Unknown, Amount::Given);
            return;
        }
        let Some(pricing) = call.pricing.as_deref() else {
            return;
        };
        let prices = Members::of(self, pricing);
        let side = |tokens: &Value<'py>, name| {
            let tokens = self.number(tokens.as_ref()?)?;
            Some(tokens * self.number(&*prices.get(self, &[name])?)? / 1e6)
        };
        let input = side(&bill.prompt, Name::input_per_1m);
        let output = side(&bill.completion, Name::output_per_1m);
        if input.is_some() || output.is_some() {
            bill.source = Some("computed");
        }
        let total = input.zip(output).map(|(input, output)| input + output);
        let amount = |cost: Option<f64>| cost.map_or(Amount::Unknown, Amount::Computed);
        (bill.input_cost, bill.output_cost, bill.total_cost) =
            (amount(input), amount(output), amount(total));
    }

    fn count(&self, value: &Bound<'py, PyAny>) -> Option<i64> {
        if value.is_exact_instance_of::<pyo3::types::PyInt>() {
            return small_int(value.as_borrowed());
        }
        self.ok(value.extract())
    }

    fn number(&self, value: &Bound<'py, PyAny>) -> Option<f64> {
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
        if details && bill.reasoning.is_some() {
            self.write_known_or_null(out, b",\"reasoning\":", borrowed(&bill.reasoning))?;
        }
        out.push(b'}');
        Ok(())
    }

    pub(super) fn write_cost(&self, out: &mut Vec<u8>, bill: &Bill<'py>, details: bool) -> Written {
        out.extend_from_slice(b",\"cost\":{");
        for (key, amount) in [
            (&b"\"input\":"[..], &bill.input_cost),
            (b",\"output\":", &bill.output_cost),
            (b",\"total\":", &bill.total_cost),
        ] {
            match amount {
                Amount::Computed(amount) => {
                    out.extend_from_slice(key);
                    json::write_float(out, *amount);
                }
                Amount::Given(amount) => {
                    self.write_known_or_null(out, key, Some(amount.as_borrowed()))?;
                }
                Amount::Unknown => self.write_known_or_null(out, key, None)?,
            }
        }
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
        self.write_known_or_null(out, b",\"pricing\":", call.pricing)
    }
}
