//! A handler whose log is closed, and the next record opens it again; or a fork or a shutdown lies in between.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyException, PyPermissionError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::engine::engine;
use crate::noise::LogNoise;
use crate::python::handler::{NativeHandler, to_python};
use crate::python::mirror::Mirror;
use crate::python::open::Open;
use crate::python::record::RecordEncoder;
use crate::python::settings::OpenSettings;
use crate::report;

/// What a closed handler opens again.
pub(super) struct Shut {
    pub(super) path: PathBuf,
    encoder: Arc<RecordEncoder>,
    settings: Arc<OpenSettings>,
    mirror: Option<Arc<Mirror>>,
    noise: Option<Arc<LogNoise>>,
}

impl NativeHandler {
    /// Lets go of the log; the next record opens it again.
    pub(super) fn let_go(&self, py: Python<'_>) {
        let Some(old) = self.inner.with(py, |inner| inner.open.take()) else {
            return;
        };
        let open = old.get();
        let shut = Arc::new(Shut {
            path: open.log.path(),
            encoder: Arc::clone(&open.encoder),
            settings: Arc::clone(&open.settings),
            mirror: open.mirror.clone(),
            noise: open.noise.clone(),
        });
        let before = self.inner.with(py, |inner| inner.shut.replace(shut));
        drop(before);
        if open.log.is_inherited() {
            std::mem::forget(old);
            return;
        }
        let noise = open.noise.clone();
        py.detach(|| noise.iter().for_each(|noise| noise.leave()));
        drop(old);
        py.detach(|| engine().release());
    }

    /// A log that was closed, opened again.
    #[cold]
    pub(super) fn reopen<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Open>> {
        let shut = self
            .inner
            .with(py, |inner| inner.shut.clone())
            .ok_or_else(|| PyValueError::new_err("the log is not open: _open() first"))?;
        let settings = &shut.settings;
        let opened = py.detach(|| engine().open(&shut.path, &settings.log, &settings.spool));
        let log = opened.map_err(|e| to_python(&e))?;
        let open = Bound::new(
            py,
            Open {
                noise: shut.noise.as_ref().map(|noise| log.quieten_again(noise)),
                log,
                encoder: Arc::clone(&shut.encoder),
                settings: Arc::clone(settings),
                mirror: shut.mirror.clone(),
            },
        )?;
        self.replace(py, open.clone().unbind());
        Ok(open)
    }

    #[cold]
    pub(super) fn renew<'py>(&self, old: Bound<'py, Open>) -> PyResult<Bound<'py, Open>> {
        let py = old.py();
        let standing = old.get();
        let again = py.detach(|| standing.again());
        if old.get().log.is_inherited() {
            std::mem::forget(old);
        }
        match again {
            Ok(open) => {
                let open = Bound::new(py, open)?;
                self.replace(py, open.clone().unbind());
                Ok(open)
            }
            Err(e) => Err(to_python(&e)),
        }
    }
}

/// A record for which the log could not be opened again, after a fork or after it was closed: counted and said. It is tried
/// again with the next one.
pub(super) fn unopened(py: Python<'_>, error: &PyErr) -> PyResult<()> {
    if !error.is_instance_of::<PyException>(py) {
        return Err(error.clone_ref(py));
    }
    engine().count_unopened();
    let raised = error.value(py);
    let text = raised
        .getattr(intern!(py, "strerror"))
        .and_then(|text| text.extract::<String>())
        .unwrap_or_else(|_| raised.to_string());
    let hint = if raised.is_instance_of::<PyPermissionError>() {
        format!(
            ": let user {} write there, or open the log after the change of user",
            rustix::process::geteuid().as_raw()
        )
    } else {
        String::new()
    };
    report::say(&format!(
        "{text}; records of process {} are dropped, and counted in stats(), until that succeeds{hint}",
        std::process::id()
    ));
    Ok(())
}
