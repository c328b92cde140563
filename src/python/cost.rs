//! `log_cost`: one call of a language model, its tokens and what it cost, as one line. What is not known is `null`, never 0.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::encode::{Encoder, Keys, Nest, Written};
use super::names::Names;
use super::record::{
    CATEGORY, Keep, Promoted, REQUEST_ID, RecordEncoder, is_container, pid, promoted_place,
    separate,
};
use super::task::task_name;
use super::text::{small_int, utf8};
use crate::json;

/// The arguments of `log_cost`; `None` is what the caller left out or gave as `None`.
#[derive(Default)]
pub(crate) struct CostCall<'py> {
    /// The tier of the call, e.g. `premium`.
    pub(crate) tier_id: Option<Bound<'py, PyAny>>,
    /// The model asked.
    pub(crate) model: Option<Bound<'py, PyAny>>,
    /// A provider's usage object or mapping: `OpenAI`'s, `OpenRouter`'s, `Anthropic`'s, or `{prompt, completion, total}`.
    pub(crate) usage: Option<Bound<'py, PyAny>>,
    /// Overrides `usage`.
    pub(crate) prompt_tokens: Option<Bound<'py, PyAny>>,
    /// Overrides `usage`.
    pub(crate) completion_tokens: Option<Bound<'py, PyAny>>,
    /// A number (the total) or `{input, output, total}`, in US dollars unless it has a `currency`.
    pub(crate) cost: Option<Bound<'py, PyAny>>,
    /// `{input_per_1m, output_per_1m}`: the cost is computed from it where neither caller nor provider gives one.
    pub(crate) pricing: Option<Bound<'py, PyAny>>,
    /// Milliseconds.
    pub(crate) latency_ms: Option<Bound<'py, PyAny>>,
    /// The provider's HTTP status.
    pub(crate) http_status: Option<Bound<'py, PyAny>>,
    /// Our id of the request, at the top of the line.
    pub(crate) request_id: Option<Bound<'py, PyAny>>,
    /// The provider's id of the response.
    pub(crate) response_id: Option<Bound<'py, PyAny>>,
    /// The provider asked.
    pub(crate) provider: Option<Bound<'py, PyAny>>,
    /// What the call was for.
    pub(crate) task: Option<Bound<'py, PyAny>>,
    /// The name of the event; `openrouter_cost` where left out.
    pub(crate) event: Option<Bound<'py, PyAny>>,
    /// Also `timestamp, tier, model, task, tokens, cost, pricing` at the top of the line.
    pub(crate) legacy_keys: bool,
    /// Every other keyword.
    pub(crate) fields: Option<Bound<'py, PyDict>>,
}

type Value<'py> = Option<Bound<'py, PyAny>>;

/// Tokens and cost, as far as they are known.
#[derive(Default)]
struct Bill<'py> {
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

/// Money: given, or computed from prices.
#[derive(Default)]
enum Amount<'py> {
    #[default]
    Unknown,
    Given(Bound<'py, PyAny>),
    Computed(f64),
}

impl RecordEncoder {
    /// Appends the line of one cost record to `out`. Never fails.
    pub(crate) fn encode_cost<'py>(
        &self,
        py: Python<'py>,
        call: &CostCall<'py>,
        out: &mut Vec<u8>,
    ) {
        let Ok(names) = Names::get(py) else { return };
        let mut encoder = Encoder::new(py, names, self.limits(out));
        let bill = encoder.bill(call);
        let mut promoted = Promoted::default();
        let mut nested = None;
        let mut extras = Vec::new();
        for (key, value) in call.fields.iter().flatten() {
            match utf8(key.as_borrowed()).and_then(promoted_place) {
                Some(_) if value.is_none() => {}
                Some(place) if !is_container(value.as_borrowed()) => promoted[place] = Some(value),
                None if key.eq(intern!(py, "fields")).unwrap_or(false)
                    && encoder.is_mapping(&value) =>
                {
                    nested = Some(value)
                }
                _ => extras.push((key.into_any(), value)),
            }
        }
        if let Some(pairs) = nested.and_then(|nested| encoder.pairs_of(&nested)) {
            extras.extend(pairs);
        }
        promoted[REQUEST_ID] = call.request_id.clone().or(promoted[REQUEST_ID].take());
        let thread = encoder.thread_name();
        let task = task_name(&encoder);
        let now = jiff::Timestamp::now().as_microsecond();
        self.write_within_limits(&mut encoder, out, |encoder, keep, out| {
            out.push(b'{');
            if let Some(category) = &promoted[CATEGORY] {
                out.extend_from_slice(b"\"category\":");
                encoder.write_as_text(out, category);
                out.push(b',');
            }
            out.extend_from_slice(b"\"ts\":");
            json::write_time(out, now);
            out.extend_from_slice(b",\"level\":\"INFO\",\"logger\":\"logspool.cost\",\"event\":");
            match &call.event {
                Some(event) => encoder.write_as_text(out, event),
                None => out.extend_from_slice(b"\"openrouter_cost\""),
            }
            if keep != Keep::Core {
                out.extend_from_slice(&self.identity);
            }
            out.extend_from_slice(b",\"pid\":");
            json::write_int(out, pid());
            if keep == Keep::Core {
                self.write_dropped_note(out);
                return encoder.check(out);
            }
            for (key, value) in [(&b",\"thread\":"[..], &thread), (b",\"task\":", &task)] {
                if let Some(value) = value {
                    out.extend_from_slice(key);
                    encoder.write_as_text(out, value);
                }
            }
            encoder.write_ids(out, &promoted);
            self.write_cost_fields(
                encoder,
                call,
                &bill,
                if keep == Keep::All { &extras } else { &[] },
                out,
            )?;
            if call.legacy_keys {
                encoder.write_legacy(out, now, call, &bill)?;
            }
            encoder.check(out)
        });
        encoder.finish();
    }

    fn write_cost_fields<'py>(
        &self,
        encoder: &Encoder<'py>,
        call: &CostCall<'py>,
        bill: &Bill<'py>,
        extras: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
        out: &mut Vec<u8>,
    ) -> Written {
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        // What a keyword of ours cannot be named, but a `**fields` or static field can.
        const OURS: [&str; 10] = [
            "provider",
            "model",
            "tier_id",
            "tokens",
            "cost",
            "latency_ms",
            "http_status",
            "response_id",
            "task",
            "pricing",
        ];
        let mut keys = Keys::default();
        if !extras.is_empty() || !self.fixed.is_empty() {
            for name in OURS {
                keys.take(name.as_bytes());
            }
        }
        if !self.fixed.is_empty() {
            let given: Vec<_> = extras
                .iter()
                .map(|(key, _)| encoder.text_of(key.as_borrowed()))
                .collect();
            for (escaped, value) in &self.fixed {
                if !keys.holds(escaped) && !given.contains(escaped) {
                    separate(out, open);
                    out.push(b'"');
                    out.extend_from_slice(escaped);
                    out.extend_from_slice(b"\":");
                    out.extend_from_slice(value);
                }
            }
        }
        separate(out, open);
        for (key, value) in [
            (&b"\"provider\":"[..], &call.provider),
            (b",\"model\":", &call.model),
            (b",\"tier_id\":", &call.tier_id),
        ] {
            encoder.write_known_or_null(out, key, value.as_ref())?;
        }
        encoder.write_tokens(out, bill, true)?;
        encoder.write_cost(out, bill, true)?;
        for (key, value) in [
            (&b",\"latency_ms\":"[..], &call.latency_ms),
            (b",\"http_status\":", &call.http_status),
            (b",\"response_id\":", &call.response_id),
            (b",\"task\":", &call.task),
        ] {
            encoder.write_known_or_null(out, key, value.as_ref())?;
        }
        if call.pricing.is_some() {
            encoder.write_known_or_null(out, b",\"pricing\":", call.pricing.as_ref())?;
        }
        for (key, value) in extras {
            out.push(b',');
            encoder.write_odd_key(out, key.as_borrowed(), &mut keys);
            encoder.write_value(out, value.as_borrowed(), &Nest::TOP)?;
        }
        out.push(b'}');
        encoder.check(out)
    }
}

impl<'py> Encoder<'py> {
    /// The member of a mapping, or the attribute of an object, of the first of these names that is there and not `None`.
    fn member(&self, object: &Bound<'py, PyAny>, names: &[&Bound<'py, PyString>]) -> Value<'py> {
        if let Ok(dict) = object.cast::<PyDict>() {
            return names.iter().find_map(|name| {
                self.ok(dict.get_item(name))
                    .flatten()
                    .filter(|value| !value.is_none())
            });
        }
        if self.is_mapping(object) {
            return names.iter().find_map(|name| {
                let value = self
                    .ok(object.contains(name))
                    .unwrap_or(false)
                    .then(|| self.ok(object.get_item(name)));
                value.flatten().filter(|value| !value.is_none())
            });
        }
        names.iter().find_map(|name| {
            self.ok(object.getattr_opt(name))
                .flatten()
                .filter(|value| !value.is_none())
        })
    }

    fn bill(&self, call: &CostCall<'py>) -> Bill<'py> {
        let py = self.py;
        let mut bill = Bill::default();
        if let Some(usage) = &call.usage {
            bill.prompt = self.member(
                usage,
                &[
                    intern!(py, "prompt_tokens"),
                    intern!(py, "input_tokens"),
                    intern!(py, "prompt"),
                ],
            );
            bill.completion = self.member(
                usage,
                &[
                    intern!(py, "completion_tokens"),
                    intern!(py, "output_tokens"),
                    intern!(py, "completion"),
                ],
            );
            bill.total = self.member(usage, &[intern!(py, "total_tokens"), intern!(py, "total")]);
            let inner = |outer: &[&Bound<'py, PyString>], name, flat: &[&Bound<'py, PyString>]| {
                let details = self.member(usage, outer);
                details
                    .and_then(|details| self.member(&details, &[name]))
                    .or_else(|| self.member(usage, flat))
            };
            bill.cached = inner(
                &[
                    intern!(py, "prompt_tokens_details"),
                    intern!(py, "input_tokens_details"),
                ],
                intern!(py, "cached_tokens"),
                &[
                    intern!(py, "cache_read_input_tokens"),
                    intern!(py, "cached"),
                ],
            );
            bill.reasoning = inner(
                &[
                    intern!(py, "completion_tokens_details"),
                    intern!(py, "output_tokens_details"),
                ],
                intern!(py, "reasoning_tokens"),
                &[intern!(py, "reasoning")],
            );
        }
        let given = call.prompt_tokens.is_some() || call.completion_tokens.is_some();
        bill.prompt = call.prompt_tokens.clone().or(bill.prompt);
        bill.completion = call.completion_tokens.clone().or(bill.completion);
        if given || bill.total.is_none() {
            let sum = bill.prompt.as_ref().zip(bill.completion.as_ref()).and_then(
                |(prompt, completion)| {
                    let sum = self.count(prompt)?.checked_add(self.count(completion)?)?;
                    sum.into_pyobject(py).ok().map(Bound::into_any)
                },
            );
            bill.total = sum.or(bill.total);
        }
        self.price(call, &mut bill);
        bill
    }

    fn price(&self, call: &CostCall<'py>, bill: &mut Bill<'py>) {
        let py = self.py;
        let provided = || {
            call.usage
                .as_ref()
                .and_then(|usage| self.member(usage, &[intern!(py, "cost")]))
        };
        let (cost, source) = match &call.cost {
            Some(cost) => (Some(cost.clone()), "caller"),
            None => (provided(), "provider"),
        };
        if let Some(cost) = cost {
            bill.source = Some(source);
            if !self.is_mapping(&cost) {
                bill.total_cost = Amount::Given(cost);
                return;
            }
            let part = |name| self.member(&cost, &[name]);
            bill.currency = part(intern!(py, "currency"));
            let (input, output) = (part(intern!(py, "input")), part(intern!(py, "output")));
            bill.total_cost = match part(intern!(py, "total")) {
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
        let Some(pricing) = &call.pricing else { return };
        let side = |tokens: &Value<'py>, name| {
            let tokens = self.number(tokens.as_ref()?)?;
            Some(tokens * self.number(&self.member(pricing, &[name])?)? / 1e6)
        };
        let input = side(&bill.prompt, intern!(py, "input_per_1m"));
        let output = side(&bill.completion, intern!(py, "output_per_1m"));
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
    fn thread_name(&self) -> Value<'py> {
        let py = self.py;
        let current = py.import(intern!(py, "threading")).and_then(|threading| {
            threading
                .call_method0(intern!(py, "current_thread"))?
                .getattr(intern!(py, "name"))
        });
        self.ok(current)
    }

    fn write_known_or_null(
        &self,
        out: &mut Vec<u8>,
        key: &[u8],
        value: Option<&Bound<'py, PyAny>>,
    ) -> Written {
        out.extend_from_slice(key);
        match value {
            Some(value) => self.write_value(out, value.as_borrowed(), &Nest::TOP),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn write_tokens(&self, out: &mut Vec<u8>, bill: &Bill<'py>, details: bool) -> Written {
        self.write_known_or_null(out, b",\"tokens\":{\"prompt\":", bill.prompt.as_ref())?;
        self.write_known_or_null(out, b",\"completion\":", bill.completion.as_ref())?;
        self.write_known_or_null(out, b",\"total\":", bill.total.as_ref())?;
        if details && bill.cached.is_some() {
            self.write_known_or_null(out, b",\"cached\":", bill.cached.as_ref())?;
        }
        if details && bill.reasoning.is_some() {
            self.write_known_or_null(out, b",\"reasoning\":", bill.reasoning.as_ref())?;
        }
        out.push(b'}');
        Ok(())
    }

    fn write_cost(&self, out: &mut Vec<u8>, bill: &Bill<'py>, details: bool) -> Written {
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
                Amount::Given(amount) => self.write_known_or_null(out, key, Some(amount))?,
                Amount::Unknown => self.write_known_or_null(out, key, None)?,
            }
        }
        if details {
            match &bill.currency {
                Some(currency) => {
                    self.write_known_or_null(out, b",\"currency\":", Some(currency))?
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
    fn write_legacy(
        &self,
        out: &mut Vec<u8>,
        now: i64,
        call: &CostCall<'py>,
        bill: &Bill<'py>,
    ) -> Written {
        out.extend_from_slice(b",\"timestamp\":");
        json::write_time(out, now);
        self.write_known_or_null(out, b",\"tier\":", call.tier_id.as_ref())?;
        self.write_known_or_null(out, b",\"model\":", call.model.as_ref())?;
        self.write_known_or_null(out, b",\"task\":", call.task.as_ref())?;
        self.write_tokens(out, bill, false)?;
        self.write_cost(out, bill, false)?;
        self.write_known_or_null(out, b",\"pricing\":", call.pricing.as_ref())
    }
}
