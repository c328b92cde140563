//! Whether what a log call goes through is the standard library's own code.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::world::{INNER, OUTER, World};

const RECORD: [&str; 2] = ["__init__", "getMessage"];
const HANDLER: [&str; 2] = ["handle", "emit"];

/// Attributes of a logger that a call reads.
const ATTRIBUTES: [&str; 7] = [
    "disabled",
    "name",
    "filters",
    "handlers",
    "propagate",
    "parent",
    "_cache",
];

impl World {
    /// Whether everything that a call goes through is the standard library's own.
    pub(super) fn is_standard(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.has_standard_classes(py)?
            && self.has_standard_logging(py)?
            && self.has_standard_sources(py)?)
    }

    fn has_standard_classes(&self, py: Python<'_>) -> PyResult<bool> {
        let file = &self.files[0];
        let own = |class: &Py<PyType>, names: &[&str]| -> PyResult<bool> {
            for name in names {
                if !is_function(&class.bind(py).getattr(*name)?, name, file.bind(py))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if !(own(&self.own, &INNER)?
            && own(&self.own_root, &INNER)?
            && own(&self.logger, &OUTER)?
            && own(&self.record, &RECORD)?)
        {
            return Ok(false);
        }
        // `exception` calls `error`, and `fatal` calls `critical`, whatever these are.
        for (class, known) in [&self.own, &self.own_root].into_iter().zip(&self.methods) {
            for (name, method) in OUTER.iter().zip(known) {
                if !class.bind(py).getattr(*name)?.is(method) {
                    return Ok(false);
                }
            }
        }
        if !self.has_standard_attributes(py)? {
            return Ok(false);
        }
        let handler = self.handler.bind(py);
        for (name, native) in HANDLER.iter().zip(&self.native_handle) {
            if !handler.getattr(*name)?.is(native) {
                return Ok(false);
            }
        }
        for name in ["format", "filter"] {
            if !is_function(&handler.getattr(name)?, name, file.bind(py))? {
                return Ok(false);
            }
        }
        let base = handler.mro().iter().find(|class| {
            class
                .getattr(intern!(py, "__name__"))
                .is_ok_and(|name| name.eq("Handler").unwrap_or(false))
        });
        if let Some(base) = base
            && !is_function(&base.getattr("handle")?, "handle", file.bind(py))?
        {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether attributes are found where everybody has them: no property in their place, no other way to find or set them.
    fn has_standard_attributes(&self, py: Python<'_>) -> PyResult<bool> {
        let object = py.get_type::<PyAny>();
        for class in [&self.own, &self.own_root] {
            let class = class.bind(py);
            for name in ATTRIBUTES {
                if class.getattr_opt(name)?.is_some() {
                    return Ok(false);
                }
            }
            if !class
                .getattr("__getattribute__")?
                .is(&object.getattr("__getattribute__")?)
            {
                return Ok(false);
            }
        }
        let record = self.record.bind(py);
        for name in ["__setattr__", "__getattribute__", "__new__"] {
            if !record.getattr(name)?.is(&object.getattr(name)?) {
                return Ok(false);
            }
        }
        let name = self.thread.bind(py).getattr("name")?;
        Ok(name.is(&self.thread_name))
    }

    /// The globals of `logging`.
    fn has_standard_logging(&self, py: Python<'_>) -> PyResult<bool> {
        let [logging, threading, time, os] = &self.modules;
        let file = &self.files[0];
        let logging = logging.bind(py);
        let global = |name: &str| logging.get_item(name);
        let is = |name: &str, wanted: &Bound<'_, PyAny>| -> PyResult<bool> {
            Ok(global(name)?.is_some_and(|value| value.is(wanted)))
        };
        let record = self.record.bind(py).as_any();
        if !(is("LogRecord", record)?
            && is("_logRecordFactory", record)?
            && is("_levelToName", self.level_names.bind(py).as_any())?)
        {
            return Ok(false);
        }
        for (name, module) in [("threading", threading), ("time", time), ("os", os)] {
            let same = global(name)?
                .and_then(|value| value.getattr("__dict__").ok())
                .is_some_and(|dict| dict.is(module));
            if !same {
                return Ok(false);
            }
        }
        for name in ["logThreads", "logProcesses", "logAsyncioTasks"] {
            // The last one is 3.12's.
            if let Some(value) = global(name)?
                && !value.is_truthy()?
            {
                return Ok(false);
            }
        }
        let source = global("_srcfile")?;
        let finds_caller = match (source, global("currentframe")?) {
            (Some(source), Some(current)) => {
                source.is_truthy()?
                    && source.eq(file.bind(py))?
                    && (is_function(&current, "<lambda>", file.bind(py))?
                        || is_function(&current, "currentframe", file.bind(py))?)
            }
            _ => false,
        };
        if !finds_caller {
            return Ok(false);
        }
        // The second one is 3.11's.
        for name in ["getLevelName", "_is_internal_frame"] {
            if let Some(function) = global(name)?
                && !is_function(&function, name, file.bind(py))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where thread, time and process come from.
    fn has_standard_sources(&self, py: Python<'_>) -> PyResult<bool> {
        let [_, threading, time, os] = &self.modules;
        let threads_file = &self.files[1];
        let threading = threading.bind(py);
        let current = threading.get_item("current_thread")?;
        let ident = threading.get_item("get_ident")?;
        let active = threading.get_item("_active")?;
        let clock_name = if py.version_info() < (3, 13) {
            "time"
        } else {
            "time_ns"
        };
        let clock = time.bind(py).get_item(clock_name)?;
        let pid = os.bind(py).get_item("getpid")?;
        Ok(current.is_some_and(|f| {
            is_function(&f, "current_thread", threads_file.bind(py)).unwrap_or(false)
        }) && is_builtin(ident.as_ref(), "_thread")?
            && active.is_some_and(|dict| dict.is(&self.threads))
            && clock.is_some_and(|clock| clock.is(&self.clock.0))
            && is_builtin(pid.as_ref(), "posix")?)
    }
}

/// Whether an object is a plain function of this name, from this file.
fn is_function(function: &Bound<'_, PyAny>, name: &str, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    if !function.is_instance_of::<pyo3::types::PyFunction>() {
        return Ok(false);
    }
    let code = function.getattr(intern!(py, "__code__"))?;
    Ok(code.getattr(intern!(py, "co_name"))?.eq(name)?
        && code.getattr(intern!(py, "co_filename"))?.eq(file)?)
}

/// Whether an object is a builtin function of a module.
fn is_builtin(function: Option<&Bound<'_, PyAny>>, module: &str) -> PyResult<bool> {
    let Some(function) = function else {
        return Ok(false);
    };
    // SAFETY: a live object.
    let builtin = unsafe { ffi::PyCFunction_Check(function.as_ptr()) } != 0;
    Ok(builtin && function.getattr("__module__")?.eq(module)?)
}
