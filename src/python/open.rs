//! An open log, as handlers hold it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::context;
use super::handler::to_python;
use super::mirror::Mirror;
use super::record::RecordEncoder;
use super::settings::OpenSettings;
use crate::engine::{Log, engine};
use crate::error::Error;
use crate::noise::LogNoise;

/// An open log and how records are encoded for it. A Python object, though Python never sees it, because each record takes and
/// gives back a reference: under the GIL that needs no atomic operations.
#[pyclass(frozen, module = "logspool._core")]
pub(crate) struct Open {
    /// Before the log: what it has counted goes there when both are dropped.
    pub(super) noise: Option<Arc<LogNoise>>,
    pub(super) log: Log,
    pub(crate) encoder: Arc<RecordEncoder>,
    pub(super) settings: Arc<OpenSettings>,
    pub(super) mirror: Option<Arc<Mirror>>,
}

impl Open {
    pub(super) fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let opened = OpenSettings::new(settings)?;
        let mirror = Mirror::new(settings, opened.console_level)?.map(Arc::new);
        let py = settings.py();
        let log = py
            .detach(|| engine().open(&opened.path, &opened.log, &opened.spool))
            .map_err(|e| to_python(&e))?;
        // A line larger than the spool can hold is cut, with a note, rather than dropped.
        let encoder = RecordEncoder::new(settings)?.within(log.spool.max_line());
        let encoder = Arc::new(encoder);
        context::set_usual(py, &encoder);
        let noise = log.quieten(
            &opened.noise,
            opened.json,
            &encoder.identity,
            encoder.max_record,
        );
        Ok(Self {
            noise,
            log,
            encoder,
            settings: Arc::new(opened),
            mirror,
        })
    }

    /// The same log, opened again: after a fork, or after a shutdown that was not the end.
    pub(super) fn again(&self) -> Result<Self, Error> {
        let log = engine().reopen(&self.log, &self.settings.log, &self.settings.spool)?;
        Ok(Self {
            noise: self.noise.as_ref().map(|noise| log.quieten_again(noise)),
            log,
            encoder: Arc::clone(&self.encoder),
            settings: Arc::clone(&self.settings),
            mirror: self.mirror.clone(),
        })
    }
}
