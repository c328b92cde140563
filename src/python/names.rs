//! Interned names and types, fetched once per process.
#![allow(unsafe_code)]

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

/// Where a standard attribute of a `LogRecord` goes; `Ignored` ones are written from another attribute or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Slot {
    Name,
    Msg,
    Args,
    LevelName,
    LevelNo,
    PathName,
    ExcInfo,
    ExcText,
    StackInfo,
    LineNo,
    FuncName,
    Created,
    ThreadName,
    Process,
    TaskName,
    Ignored,
}

/// How many slots there are, `Ignored` included.
pub(super) const SLOTS: usize = Slot::Ignored as usize + 1;

impl Slot {
    /// The slots that hold something, by attribute name.
    pub(super) const NAMED: [(&'static str, Slot); 15] = [
        ("name", Slot::Name),
        ("msg", Slot::Msg),
        ("args", Slot::Args),
        ("levelname", Slot::LevelName),
        ("levelno", Slot::LevelNo),
        ("pathname", Slot::PathName),
        ("exc_info", Slot::ExcInfo),
        ("exc_text", Slot::ExcText),
        ("stack_info", Slot::StackInfo),
        ("lineno", Slot::LineNo),
        ("funcName", Slot::FuncName),
        ("created", Slot::Created),
        ("threadName", Slot::ThreadName),
        ("process", Slot::Process),
        ("taskName", Slot::TaskName),
    ];

    /// The slot of an attribute, `None` for what the caller passed in `extra`. `message` and `asctime` are left by formatters.
    pub(super) fn of(name: &[u8]) -> Option<Slot> {
        match name {
            b"module" | b"filename" | b"msecs" | b"relativeCreated" | b"thread"
            | b"processName" | b"message" | b"asctime" => Some(Slot::Ignored),
            _ => Self::NAMED
                .iter()
                .find(|(known, _)| known.as_bytes() == name)
                .map(|&(_, slot)| slot),
        }
    }
}

/// What the encoder looks up once.
pub(super) struct Names {
    /// The attributes of a fresh `LogRecord`, in the order in which its constructor of this Python version sets them. Keys are
    /// compared by pointer: attribute names in code are interned, and the interned string stays alive in here.
    pub(super) order: Vec<(Py<PyString>, Slot)>,
    /// `logging.LogRecord`.
    pub(super) record: Py<PyType>,
    /// `enum.EnumType`.
    pub(super) enum_meta: Py<PyType>,
    /// `sys.modules`.
    pub(super) modules: Py<PyDict>,
    /// Whether `LogRecord` brings `taskName` itself (3.12).
    pub(super) has_task_name: bool,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

impl Names {
    /// The table, built at the first call.
    ///
    /// # Errors
    /// Whatever importing `logging`, `enum` or `sys` raises.
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Names> {
        // The table lives as long as the process: a static cell gives the reference that lifetime whatever the token's is.
        NAMES.get_or_try_init(py, || Names::new(py))
    }

    fn new(py: Python<'_>) -> PyResult<Names> {
        let record = py
            .import("logging")?
            .getattr("LogRecord")?
            .cast_into::<PyType>()?;
        let sample = record.call1(("", 20, "", 0, "", py.None(), py.None()))?;
        let attributes = sample.getattr("__dict__")?.cast_into::<PyDict>()?;
        let mut order = Vec::new();
        for key in attributes.keys() {
            let Ok(key) = key.cast_into::<PyString>() else {
                continue;
            };
            let key = PyString::intern(py, &key.to_cow()?);
            let slot = Slot::of(key.to_cow()?.as_bytes()).unwrap_or(Slot::Ignored);
            order.push((key.unbind(), slot));
        }
        Ok(Names {
            has_task_name: order.iter().any(|&(_, slot)| slot == Slot::TaskName),
            order,
            record: record.unbind(),
            enum_meta: py
                .import("enum")?
                .getattr("EnumMeta")?
                .cast_into::<PyType>()?
                .unbind(),
            modules: py
                .import("sys")?
                .getattr("modules")?
                .cast_into::<PyDict>()?
                .unbind(),
        })
    }
}

/// A class of a module that the encoder must not import: `None` until the program has imported the module itself, for until
/// then no object of the class can exist.
pub(super) struct LazyType {
    module: &'static str,
    name: &'static str,
    cell: PyOnceLock<Py<PyType>>,
}

impl LazyType {
    pub(super) const fn new(module: &'static str, name: &'static str) -> Self {
        LazyType {
            module,
            name,
            cell: PyOnceLock::new(),
        }
    }

    pub(super) fn get<'py>(
        &'static self,
        py: Python<'py>,
        names: &Names,
    ) -> Option<&'py Bound<'py, PyType>> {
        if let Some(known) = self.cell.get(py) {
            return Some(known.bind(py));
        }
        let module = names.modules.bind(py).get_item(self.module).ok()??;
        let class = module.getattr(self.name).ok()?.cast_into::<PyType>().ok()?;
        Some(self.cell.get_or_init(py, || class.unbind()).bind(py))
    }

    /// Whether `class` is this class or derives from it. Never consults the object's `__class__`.
    pub(super) fn covers(&'static self, class: &Bound<'_, PyType>, names: &Names) -> bool {
        self.get(class.py(), names)
            .is_some_and(|base| derives(class, base))
    }
}

/// Whether `class` derives from `base`, by its real bases: no user code runs.
pub(super) fn derives(class: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> bool {
    // SAFETY: both are live type objects and the interpreter is attached.
    unsafe { pyo3::ffi::PyType_IsSubtype(class.as_type_ptr(), base.as_type_ptr()) != 0 }
}
