//! `log_cost` as Python calls it: the usual call without the dict that `**fields` makes pyo3 ask for.
//!
//! Keywords are recognised by pointer, as names in code are interned. Whatever else comes (other fields, names made at run time,
//! mistakes) goes to [`super::ledger::log_cost`] as it is, which says what is wrong.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use super::attach::AttachedCell;
use super::cost::CostCall;
use super::ledger;

/// The parameters in order, two of them positional; `legacy_keys` is the last.
const NAMES: [&str; 15] = [
    "tier_id",
    "model",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "cost",
    "pricing",
    "latency_ms",
    "http_status",
    "request_id",
    "response_id",
    "provider",
    "task",
    "event",
    "legacy_keys",
];
const POSITIONAL: usize = 2;

struct Known {
    names: [Py<PyString>; NAMES.len()],
    /// The function that takes any arguments.
    complete: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();

/// Puts the quick `log_cost` into the module, in the place of the complete one.
pub(super) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let complete = pyo3::wrap_pyfunction!(ledger::log_cost, module)?.into_any();
    let signature: String = complete.getattr("__text_signature__")?.extract()?;
    let doc: String = complete.getattr("__doc__")?.extract()?;
    let doc = CString::new(format!("log_cost{signature}\n--\n\n{doc}"))?;
    KNOWN.get_or_init(py, || Known {
        names: NAMES.map(|name| PyString::intern(py, name).unbind()),
        complete: complete.unbind(),
    });
    // Both live as long as the process, as the function may.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"log_cost".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: log_cost,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.into_raw(),
    }));
    // SAFETY: a definition that is never freed; a new reference or null with an error comes back.
    let quick = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyCFunction_NewEx(
                definition,
                std::ptr::null_mut(),
                module.name()?.into_any().as_ptr(),
            ),
        )?
    };
    module.add("log_cost", quick)
}

unsafe extern "C" fn log_cost(
    _module: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached.
    let py = unsafe { Python::assume_attached() };
    // A panic must not pass through C.
    let logged = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: CPython passes what METH_FASTCALL | METH_KEYWORDS promises.
        match unsafe { recognise(py, arguments, count, keywords) } {
            Some(call) => ledger::log(py, &call, None),
            // SAFETY: as above.
            None => Python::attach(|py| unsafe { complete(py, arguments, count, keywords) }),
        }
    }));
    match logged {
        Ok(Ok(())) => {}
        Ok(Err(raised)) => Python::attach(|py| raised.restore(py)),
        Err(_) => ledger::lost("this is a defect of logspool"),
    }
    // SAFETY: as above.
    if unsafe { ffi::PyErr_Occurred() }.is_null() {
        py.None().into_ptr()
    } else {
        std::ptr::null_mut()
    }
}

/// Passes any arguments on.
///
/// # Safety
/// As for [`recognise`].
unsafe fn complete(
    py: Python<'_>,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> PyResult<()> {
    let Some(known) = KNOWN.get(py) else {
        return Ok(());
    };
    let pairs = PyDict::new(py);
    let positional = count.unsigned_abs();
    // SAFETY: the caller's promise.
    let value = |at: usize| unsafe { Borrowed::from_ptr(py, *arguments.add(at)) };
    if !keywords.is_null() {
        // SAFETY: as above.
        let keys = unsafe { Borrowed::from_ptr(py, keywords) };
        for (index, name) in keys.cast::<PyTuple>()?.iter().enumerate() {
            pairs.set_item(name, value(positional + index))?;
        }
    }
    let positional = PyTuple::new(py, (0..positional).map(value))?;
    known.complete.bind(py).call(positional, Some(&pairs))?;
    Ok(())
}

/// Places in [`NAMES`] of the keywords of a call.
type Places = [u8; NAMES.len()];

/// How many places of the program that call are remembered.
const SITES: usize = 16;

/// The tuple of names is a constant of the code that calls: what was found for it before, with how many positional arguments.
type Seen = (Py<PyAny>, usize, Places);

static SEEN: AttachedCell<[Option<Seen>; SITES]> = AttachedCell::new([const { None }; SITES]);

/// The places of keywords, if all are known and none stands for an argument given already.
///
/// # Safety
/// `keywords` is a tuple of `named` objects.
#[inline]
unsafe fn places(
    py: Python<'_>,
    known: &Known,
    keywords: *mut ffi::PyObject,
    named: usize,
    positional: usize,
) -> Option<Places> {
    let site = (keywords as usize >> 4) % SITES;
    let seen = SEEN.with(py, |seen| {
        seen[site]
            .as_ref()
            .filter(|(tuple, before, _)| tuple.as_ptr() == keywords && *before == positional)
            .map(|(_, _, places)| *places)
    });
    if seen.is_some() {
        return seen;
    }
    // SAFETY: the caller's promise.
    unsafe { find_places(py, known, keywords, named, positional) }
}

/// # Safety
/// As for [`places`].
#[cold]
unsafe fn find_places(
    py: Python<'_>,
    known: &Known,
    keywords: *mut ffi::PyObject,
    named: usize,
    positional: usize,
) -> Option<Places> {
    let mut places = Places::default();
    let mut taken = [false; NAMES.len()];
    taken[..positional].fill(true);
    for index in 0..named {
        // SAFETY: the caller's promise, and the index is in range.
        let name = unsafe { ffi::PyTuple_GetItem(keywords, index.cast_signed()) };
        let place = known.names.iter().position(|n| n.as_ptr() == name)?;
        if std::mem::replace(&mut taken[place], true) {
            return None;
        }
        *places.get_mut(index)? = u8::try_from(place).ok()?;
    }
    // SAFETY: a live tuple.
    let tuple = unsafe { Borrowed::<PyAny>::from_ptr(py, keywords) }
        .to_owned()
        .unbind();
    let site = (keywords as usize >> 4) % SITES;
    let old = SEEN.with(py, |seen| seen[site].replace((tuple, positional, places)));
    // Not within `with`: this may free the tuple.
    if let Some((old, ..)) = old {
        old.drop_ref(py);
    }
    Some(places)
}

/// The arguments of a call that has only known ones, each once.
///
/// # Safety
/// `arguments` holds `count` objects and then one for each of `keywords`, a tuple of `str` or null.
unsafe fn recognise(
    py: Python<'_>,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> Option<CostCall<'_, '_>> {
    let known = KNOWN.get(py)?;
    let positional = usize::try_from(count).ok().filter(|n| *n <= POSITIONAL)?;
    let mut given = [const { None }; NAMES.len()];
    // SAFETY: the caller's promise.
    unsafe {
        let value = |at: usize| Borrowed::from_ptr(py, *arguments.add(at));
        for (at, place) in given.iter_mut().enumerate().take(positional) {
            *place = Some(value(at));
        }
        if !keywords.is_null() {
            let named = ffi::PyTuple_Size(keywords).unsigned_abs();
            let places = places(py, known, keywords, named, positional)?;
            for (index, place) in places.iter().enumerate().take(named) {
                given[usize::from(*place)] = Some(value(positional + index));
            }
        }
    }
    let legacy_keys = match given[NAMES.len() - 1] {
        None => false,
        Some(value) => value.cast::<PyBool>().ok()?.is_true(),
    };
    let provider = given[11];
    let mut rest = given
        .into_iter()
        .map(|value| value.filter(|value| !value.is_none()));
    let mut next = || rest.next().flatten();
    Some(CostCall {
        tier_id: next(),
        model: next(),
        usage: next(),
        prompt_tokens: next(),
        completion_tokens: next(),
        cost: next(),
        pricing: next(),
        latency_ms: next(),
        http_status: next(),
        request_id: next(),
        response_id: next(),
        provider: match (next(), provider) {
            (None, None) => Some(ledger::usual_provider(py)),
            (given, _) => given,
        },
        task: next(),
        event: next(),
        legacy_keys,
        fields: None,
    })
}
