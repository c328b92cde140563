//! The name of the running asyncio task on Pythons whose `LogRecord` does not bring it (before 3.12).

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::encode::Encoder;

/// `_asyncio._get_running_loop` and `asyncio.current_task`.
static ASYNCIO: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// `None` where no event loop runs in this thread. asyncio is never imported: without it there are no tasks.
pub(super) fn task_name<'py>(encoder: &Encoder<'py>) -> Option<Bound<'py, PyAny>> {
    let py = encoder.py;
    let (running_loop, current_task) = match ASYNCIO.get(py) {
        Some(known) => known,
        None => find(encoder)?,
    };
    let running = encoder.ok(running_loop.bind(py).call0())?;
    if running.is_none() {
        return None;
    }
    let task = encoder
        .ok(current_task.bind(py).call1((running,)))
        .filter(|task| !task.is_none())?;
    encoder.ok(task.call_method0(intern!(py, "get_name")))
}

fn find(encoder: &Encoder<'_>) -> Option<&'static (Py<PyAny>, Py<PyAny>)> {
    let py = encoder.py;
    let modules = encoder.names.modules.bind(py);
    let asyncio = modules.get_item(intern!(py, "asyncio")).ok()??;
    let native = modules.get_item(intern!(py, "_asyncio")).ok()??;
    // Another thread may be importing asyncio right now: then not yet.
    let current_task = asyncio.getattr_opt(intern!(py, "current_task")).ok()??;
    let running_loop = native
        .getattr_opt(intern!(py, "_get_running_loop"))
        .ok()??;
    Some(ASYNCIO.get_or_init(py, || (running_loop.unbind(), current_task.unbind())))
}
