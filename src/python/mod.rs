//! All `PyO3` code and nothing else.

mod bill;
mod cost;
mod encode;
mod exception;
mod keys;
mod message;
mod names;
mod objects;
mod parts;
mod record;
mod structures;
mod task;
mod text;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _core {
    use pyo3::prelude::*;
    use pyo3::types::{PyBytes, PyDict};

    use super::cost::CostCall;
    use super::record::RecordEncoder;

    /// The finished line of one record, its sequence text still dashes: for tests and tools.
    #[pyfunction]
    #[pyo3(signature = (record, settings, formatter=None))]
    fn encode_record<'py>(
        record: &Bound<'py, PyAny>,
        settings: &Bound<'py, PyDict>,
        formatter: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut line = Vec::new();
        RecordEncoder::new(settings)?.encode(record, formatter, &mut line);
        Ok(PyBytes::new(record.py(), &line))
    }

    /// The finished line of one `log_cost` call: for tests.
    #[pyfunction]
    #[pyo3(signature = (settings, tier_id=None, model=None, *, usage=None, prompt_tokens=None, completion_tokens=None, cost=None,
        pricing=None, latency_ms=None, http_status=None, request_id=None, response_id=None, provider=None, task=None, event=None,
        legacy_keys=false, **fields))]
    #[allow(clippy::too_many_arguments)]
    fn encode_cost<'py>(
        settings: &Bound<'py, PyDict>,
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
        provider: Option<Bound<'py, PyAny>>,
        task: Option<Bound<'py, PyAny>>,
        event: Option<Bound<'py, PyAny>>,
        legacy_keys: bool,
        fields: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = settings.py();
        let call = CostCall {
            tier_id,
            model,
            usage,
            prompt_tokens,
            completion_tokens,
            cost,
            pricing,
            latency_ms,
            http_status,
            request_id,
            response_id,
            provider,
            task,
            event,
            legacy_keys,
            fields,
        };
        let mut line = Vec::new();
        RecordEncoder::new(settings)?.encode_cost(py, &call, &mut line);
        Ok(PyBytes::new(py, &line))
    }

    /// Seconds that `count` encodings of a record take.
    #[pyfunction]
    fn bench(record: &Bound<'_, PyAny>, settings: &Bound<'_, PyDict>, count: u32) -> PyResult<f64> {
        let encoder = RecordEncoder::new(settings)?;
        let mut line = Vec::new();
        let start = std::time::Instant::now();
        for _ in 0..count {
            line.clear();
            encoder.encode(record, None, &mut line);
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(count))
    }

    /// Encodes and keeps nothing, with the encoder of the first call.
    #[pyfunction]
    fn bench_one(record: &Bound<'_, PyAny>, settings: &Bound<'_, PyDict>) -> PyResult<i64> {
        static ENCODER: std::sync::OnceLock<RecordEncoder> = std::sync::OnceLock::new();
        thread_local!(static LINE: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) });
        if ENCODER.get().is_none() {
            let _ = ENCODER.set(RecordEncoder::new(settings)?);
        }
        let mut line = LINE.take();
        line.clear();
        let level = ENCODER
            .get()
            .map_or(0, |encoder| encoder.encode(record, None, &mut line));
        LINE.set(line);
        Ok(level)
    }

    /// The same for a cost call of usual arguments.
    #[allow(clippy::needless_pass_by_value)]
    #[pyfunction]
    #[pyo3(signature = (settings, count, **arguments))]
    fn bench_cost(
        settings: &Bound<'_, PyDict>,
        count: u32,
        arguments: Option<Bound<'_, PyDict>>,
    ) -> PyResult<f64> {
        let encoder = RecordEncoder::new(settings)?;
        let get = |name: &str| {
            arguments
                .as_ref()
                .and_then(|all| all.get_item(name).ok().flatten())
        };
        let call = CostCall {
            tier_id: get("tier_id"),
            model: get("model"),
            usage: get("usage"),
            cost: get("cost"),
            latency_ms: get("latency_ms"),
            http_status: get("http_status"),
            request_id: get("request_id"),
            fields: get("fields").and_then(|f| f.cast_into().ok()),
            ..CostCall::default()
        };
        let mut line = Vec::new();
        let start = std::time::Instant::now();
        for _ in 0..count {
            line.clear();
            encoder.encode_cost(settings.py(), &call, &mut line);
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(count))
    }
}
