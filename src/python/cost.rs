//! `log_cost`: one call of a language model, its tokens and what it cost, as one line. What is not known is `null`, never 0.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bill::Bill;
use super::context::{self, Ambient, Around};
use super::encode::{Encoder, Nest, Written};
use super::fields::separate;
use super::keys::Keys;
use super::logger;
use super::names::Names;
use super::parts::{CATEGORY, Promoted, REQUEST_ID, is_container, promoted_place};
use super::record::{Keep, RecordEncoder};
use super::task::task_name;
use super::text::utf8;
use super::verdict::Mark;
use crate::fork::pid;
use crate::json;

/// The arguments of `log_cost`, held by whoever calls; `None` is what the caller left out or gave as `None`.
#[derive(Default)]
pub(crate) struct CostCall<'a, 'py> {
    /// The tier of the call, e.g. `premium`.
    pub(crate) tier_id: Option<Borrowed<'a, 'py, PyAny>>,
    /// The model asked.
    pub(crate) model: Option<Borrowed<'a, 'py, PyAny>>,
    /// A provider's usage object or mapping: `OpenAI`'s, `OpenRouter`'s, `Anthropic`'s, or `{prompt, completion, total}`.
    pub(crate) usage: Option<Borrowed<'a, 'py, PyAny>>,
    /// Overrides `usage`.
    pub(crate) prompt_tokens: Option<Borrowed<'a, 'py, PyAny>>,
    /// Overrides `usage`.
    pub(crate) completion_tokens: Option<Borrowed<'a, 'py, PyAny>>,
    /// A number (the total) or `{input, output, total}`, in US dollars unless it has a `currency`.
    pub(crate) cost: Option<Borrowed<'a, 'py, PyAny>>,
    /// `{input_per_1m, output_per_1m, cached_per_1m?, cache_write_per_1m?, currency?}`: the cost is computed from it where neither caller
    /// nor provider gives one. Left out, it is what `logspool.prices` says of the model.
    pub(crate) pricing: Option<Borrowed<'a, 'py, PyAny>>,
    /// Milliseconds.
    pub(crate) latency_ms: Option<Borrowed<'a, 'py, PyAny>>,
    /// The provider's HTTP status.
    pub(crate) http_status: Option<Borrowed<'a, 'py, PyAny>>,
    /// Our id of the request, at the top of the line.
    pub(crate) request_id: Option<Borrowed<'a, 'py, PyAny>>,
    /// The provider's id of the response.
    pub(crate) response_id: Option<Borrowed<'a, 'py, PyAny>>,
    /// The provider asked.
    pub(crate) provider: Option<Borrowed<'a, 'py, PyAny>>,
    /// What the call was for.
    pub(crate) task: Option<Borrowed<'a, 'py, PyAny>>,
    /// The name of the event; `openrouter_cost` where left out.
    pub(crate) event: Option<Borrowed<'a, 'py, PyAny>>,
    /// Also `timestamp, tier, model, task, tokens, cost, pricing` at the top of the line.
    pub(crate) legacy_keys: bool,
    /// Every other keyword.
    pub(crate) fields: Option<&'a Bound<'py, PyDict>>,
}

/// The names in `fields` that are ours: a `**fields` member or a static field so named gives way.
pub(super) const OURS: [&[u8]; 10] = [
    b"provider",
    b"model",
    b"tier_id",
    b"tokens",
    b"cost",
    b"latency_ms",
    b"http_status",
    b"response_id",
    b"task",
    b"pricing",
];

impl RecordEncoder {
    /// Appends the line of one cost record to `out`. Never fails.
    pub(crate) fn encode_cost<'py>(
        &self,
        py: Python<'py>,
        call: &CostCall<'_, 'py>,
        out: &mut Vec<u8>,
    ) {
        self.encode_billed(py, call, None, out);
    }

    /// The same, of a call whose bill may be there already.
    pub(super) fn encode_billed<'py>(
        &self,
        py: Python<'py>,
        call: &CostCall<'_, 'py>,
        bill: Option<&Bill<'py>>,
        out: &mut Vec<u8>,
    ) {
        let Ok(names) = Names::get(py) else { return };
        let mut encoder = Encoder::new(py, names, self.limits(out), self.verdicts);
        let made;
        let bill = if let Some(bill) = bill {
            bill
        } else {
            made = encoder.bill(call);
            &made
        };
        let mut promoted = Promoted::default();
        let mut nested = None;
        let mut extras = Vec::new();
        for (key, value) in call.fields.into_iter().flatten() {
            match utf8(key.as_borrowed()).and_then(promoted_place) {
                Some(_) if value.is_none() => {}
                Some(place) if !is_container(value.as_borrowed()) => promoted[place] = Some(value),
                None if key.eq(intern!(py, "fields")).unwrap_or(false)
                    && encoder.is_mapping(&value) =>
                {
                    nested = Some(value);
                }
                _ => extras.push((key.into_any(), value)),
            }
        }
        if let Some(pairs) = nested.and_then(|nested| encoder.pairs_of(&nested)) {
            extras.extend(pairs);
        }
        promoted[REQUEST_ID] = call
            .request_id
            .map(Borrowed::to_owned)
            .or(promoted[REQUEST_ID].take());
        let ambient = Ambient::here(py);
        let thread = encoder.thread_name();
        let task = task_name(&encoder);
        let now = logger::now();
        self.write_within_limits(&mut encoder, out, |encoder, keep, out| {
            let around = ambient.encoded(py, self);
            out.push(b'{');
            if let Some(category) = &promoted[CATEGORY] {
                out.extend_from_slice(b"\"category\":");
                encoder.write_as_text(out, category);
                out.push(b',');
            } else if keep == Keep::Core {
                out.extend_from_slice(around.short_category());
            } else {
                out.extend_from_slice(around.category());
            }
            out.extend_from_slice(b"\"ts\":");
            json::write_time(out, now);
            out.extend_from_slice(b",\"level\":\"INFO\",\"logger\":\"logspool.cost\",\"event\":");
            match call.event.as_deref() {
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
            for (key, value) in [
                (&b",\"thread\":"[..], thread.as_deref()),
                (b",\"task\":", task.as_ref()),
            ] {
                if let Some(value) = value {
                    out.extend_from_slice(key);
                    encoder.write_repeated(out, value);
                }
            }
            encoder.write_ids(out, &promoted, around);
            self.write_cost_fields(
                encoder,
                call,
                bill,
                if keep == Keep::All { &extras } else { &[] },
                if keep == Keep::All {
                    around
                } else {
                    around.of_ids()
                },
                out,
            )?;
            if call.legacy_keys {
                encoder.write_legacy(out, now, call, bill)?;
            }
            encoder.check(out)
        });
        encoder.finish();
    }

    fn write_cost_fields<'py>(
        &self,
        encoder: &Encoder<'py>,
        call: &CostCall<'_, 'py>,
        bill: &Bill<'py>,
        extras: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
        around: Around<'_>,
        out: &mut Vec<u8>,
    ) -> Written {
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        let mut before = around.fields(self).peekable();
        let mut keys = Keys::default();
        if before.peek().is_some() {
            let given: Vec<_> = extras
                .iter()
                .map(|(key, _)| encoder.text_of(key.as_borrowed()))
                .collect();
            for (escaped, value, of_cost) in before {
                if !of_cost && !given.iter().any(|given| given == escaped) {
                    separate(out, open);
                    context::write_field(out, escaped, value, encoder.limits);
                }
            }
        }
        separate(out, open);
        // One after the other: each key is copied with a move or two.
        encoder.write_known_or_null(out, b"\"provider\":", call.provider)?;
        encoder.write_known_or_null(out, b",\"model\":", call.model)?;
        encoder.write_known_or_null(out, b",\"tier_id\":", call.tier_id)?;
        encoder.write_tokens(out, bill, true)?;
        encoder.write_cost(out, bill, true)?;
        encoder.write_known_or_null(out, b",\"latency_ms\":", call.latency_ms)?;
        encoder.write_known_or_null(out, b",\"http_status\":", call.http_status)?;
        encoder.write_known_or_null(out, b",\"response_id\":", call.response_id)?;
        encoder.write_known_or_null(out, b",\"task\":", call.task)?;
        if let Some(pricing) = bill.pricing(call) {
            encoder.write_known_or_null(out, b",\"pricing\":", Some(pricing))?;
        }
        if !extras.is_empty() {
            for name in OURS {
                keys.take(name);
            }
        }
        for (key, value) in extras {
            out.push(b',');
            let mut mark = encoder.write_odd_key(out, key.as_borrowed(), &mut keys);
            if mark == Mark::BESIDE {
                mark = encoder.mark_among(
                    extras
                        .iter()
                        .map(|(key, value)| (key.as_borrowed(), value.as_borrowed())),
                );
            }
            encoder.write_under(out, value.as_borrowed(), mark, &Nest::TOP)?;
        }
        out.push(b'}');
        encoder.check(out)
    }
}
