//! A call to a finished line: as [`RecordEncoder::encode`] writes the record that `logging` would have made of it, without that record.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::Said;
use super::caller::Caller;
use super::plan;
use super::thread::Thread;
use super::world::World;
use crate::json;
use crate::python::context::{Ambient, Encoded};
use crate::python::encode::{Encoder, Nest, Overflow, Written, class_of};
use crate::python::fragments;
use crate::python::held::Held;
use crate::python::message::{Args, Template};
use crate::python::names::{Names, Slot};
use crate::python::parts::{Parts, Role};
use crate::python::record::RecordEncoder;
use crate::python::task::task_name;
use crate::python::text::utf8;

/// What a call becomes.
pub(super) struct CallRecord<'a, 'py> {
    pub(super) world: &'static World,
    /// Microseconds since the epoch.
    pub(super) created: i64,
    pub(super) level_object: Borrowed<'a, 'py, PyAny>,
    pub(super) name: Held<'py>,
    pub(super) said: Said<'a, 'py>,
    /// A tuple.
    pub(super) exc_info: Option<Bound<'py, PyAny>>,
    pub(super) thread: Thread<'py>,
    pub(super) caller: Caller<'py>,
    pub(super) extra: Extra,
    /// The bound context and the active span.
    pub(super) ambient: Ambient<'py>,
}

/// What kind of entries an `extra` has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// Only names without a meaning of their own, and scalars, or dicts and lists of them.
    Plain,
    /// Others, too.
    Mixed,
    /// Names of a record's attributes, for which `logging` raises, or what is no name.
    Refused,
}

impl Extra {
    /// Looks at an `extra`, a dict.
    #[inline]
    pub(super) fn of(extra: Option<Borrowed<'_, '_, PyAny>>) -> Self {
        let Some(extra) = extra else {
            return Self::Plain;
        };
        let py = extra.py();
        let mut kind = Self::Plain;
        let mut position = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a live dict, and no code runs within the loop: what is borrowed stays alive.
        while unsafe {
            ffi::PyDict_Next(
                extra.as_ptr(),
                &raw mut position,
                &raw mut key,
                &raw mut value,
            )
        } != 0
        {
            let role = match fragments::role(py, key) {
                Some(role) => role,
                None => {
                    // SAFETY: as above.
                    match role_of(unsafe { Borrowed::from_ptr(py, key) }) {
                        Some(role) => role,
                        None => return Self::Refused,
                    }
                }
            };
            // SAFETY: as above.
            let class = unsafe { ffi::Py_TYPE(value) };
            match role {
                Role::Slot(_) => return Self::Refused,
                Role::Extra if is_scalar(class, value) || holds_scalars(class, value) => {}
                Role::Extra | Role::Nested | Role::Promoted(_) => kind = Self::Mixed,
            }
        }
        kind
    }
}

#[inline(never)]
fn role_of(key: Borrowed<'_, '_, PyAny>) -> Option<Role> {
    (class_of(key) == &raw mut ffi::PyUnicode_Type)
        .then(|| utf8(key).map(Role::of))
        .flatten()
}

#[inline]
fn is_scalar(class: *mut ffi::PyTypeObject, value: *mut ffi::PyObject) -> bool {
    class == &raw mut ffi::PyUnicode_Type
        || class == &raw mut ffi::PyLong_Type
        || class == &raw mut ffi::PyFloat_Type
        || class == &raw mut ffi::PyBool_Type
        // SAFETY: immortal.
        || value == unsafe { ffi::Py_None() }
}

/// Whether a value is a dict or a list of scalars: writing it runs no code that could change the `extra` it is in.
#[inline]
fn holds_scalars(class: *mut ffi::PyTypeObject, value: *mut ffi::PyObject) -> bool {
    // SAFETY: live objects of the classes that were asked for; no code runs within the loops.
    unsafe {
        // What a value refers to is looked at where it is.
        let scalar = |item: *mut ffi::PyObject| is_scalar(ffi::Py_TYPE(item), item);
        if class == &raw mut ffi::PyDict_Type {
            let mut position = 0;
            let (mut key, mut item) = (std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(value, &raw mut position, &raw mut key, &raw mut item) != 0 {
                if !scalar(item) || ffi::Py_TYPE(key) != &raw mut ffi::PyUnicode_Type {
                    return false;
                }
            }
            return true;
        }
        class == &raw mut ffi::PyList_Type
            && (0..ffi::PyList_Size(value)).all(|at| scalar(ffi::PyList_GetItem(value, at)))
    }
}

impl RecordEncoder {
    /// Writes the line of a call, as [`Self::encode`] does that of a record. `out` holds its beginning, up to the name of the logger, or
    /// nothing.
    #[inline]
    pub(super) fn encode_call(&self, record: &CallRecord<'_, '_>, out: &mut Vec<u8>) {
        let py = record.level_object.py();
        let Ok(names) = Names::get(py) else {
            return;
        };
        let mut encoder = Encoder::new(py, names, self.limits(&[]), self.verdicts);
        let task = task_name(&encoder);
        if let Ok(true) = self.write_call(&encoder, record, task.as_ref(), out) {
            out.extend_from_slice(json::SEQ_PLACEHOLDER);
        } else {
            out.clear();
            // Attached in pyo3's eyes, too: what is dropped on the way is freed at once.
            Python::attach(|_| self.encode_parts(&mut encoder, record, task, out));
        }
        encoder.finish();
    }

    /// Most calls: nothing of Python's has to run, but for odd values within dicts and lists. False where the call is not such.
    #[inline]
    fn write_call<'py>(
        &self,
        encoder: &Encoder<'py>,
        record: &CallRecord<'_, 'py>,
        task: Option<&Bound<'py, PyAny>>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Overflow> {
        let said = record.said;
        if record.extra != Extra::Plain
            || record.exc_info.is_some()
            || out.is_empty()
            || record.thread.piece.is_empty()
            || encoder.limits.text < plan::ROOM
        {
            return Ok(false);
        }
        // Encoded before, for such a log: nothing runs here.
        let Some(around) = record.ambient.ready(self) else {
            return Ok(false);
        };
        if let Some(extra) = said.extra {
            let meets = around
                .encoded
                .map_or(!self.fixed.is_empty(), |bound| bound.meets(extra));
            if meets {
                return Ok(false);
            }
        }
        let category = around.category();
        if !category.is_empty() {
            // After the brace.
            out.splice(1..1, category.iter().copied());
        }
        let event = out.len();
        out.extend_from_slice(b",\"event\":\"");
        let template = Template {
            msg: &said.msg,
            args: Args::Row(said.args),
        };
        let constant = said.args.is_empty() && record.caller.write_message(encoder, said.msg, out);
        if !constant && !encoder.write_template(out, template) {
            return Ok(false);
        }
        out.push(b'"');
        // What many lines share was looked at when it was made: a constant message, what stands before it and who we are.
        if self.usual && !constant {
            self.redact_part(encoder, out, event)?;
        }
        out.extend_from_slice(&self.identity);
        record.thread.piece.write(out);
        let begin = if self.usual { out.len() } else { 0 };
        if let Some(task) = task {
            out.extend_from_slice(b",\"task\":");
            encoder.write_repeated(out, task);
        }
        // What stands around is redacted already, once for all lines: what comes before it is looked at, and what comes after.
        let apart = !around.is_empty();
        if apart && (encoder.look.get() || !self.usual) {
            self.redact_from(encoder, out, begin)?;
        }
        around.write_ids(out);
        let bound = around.encoded.map_or(&[][..], Encoded::fields);
        let mut rest = out.len();
        if let Some(extra) = said.extra {
            if bound.is_empty() {
                out.extend_from_slice(b",\"fields\":");
                encoder.write_entries(out, extra, &Nest::within(extra))?;
            } else {
                out.extend_from_slice(b",\"fields\":{");
                out.extend_from_slice(bound);
                rest = out.len();
                encoder.write_entries(out, extra, &Nest::within(extra))?;
                // An object of its own so far; never an empty one.
                out[rest] = b',';
            }
        } else if !bound.is_empty() {
            out.extend_from_slice(b",\"fields\":{");
            out.extend_from_slice(bound);
            out.push(b'}');
            rest = out.len();
        } else if around.encoded.is_none() && !self.fixed.is_empty() {
            self.write_fixed(out);
        }
        // Not where it was called: that is the program's own text.
        let look = encoder.look.get() || !self.usual;
        if look && !apart {
            self.redact_from(encoder, out, begin)?;
        } else if look && rest < out.len() {
            self.redact_part(encoder, out, rest)?;
        }
        if self.src && !record.caller.write(encoder, out) {
            return Ok(false);
        }
        encoder.check(out)?;
        Ok(true)
    }

    /// Redacts the whole of a line, or a part that begins outside of its strings.
    #[inline]
    fn redact_from(&self, encoder: &Encoder<'_>, out: &mut Vec<u8>, begin: usize) -> Written {
        if begin == out.len() {
            Ok(())
        } else if begin > 0 {
            self.redact_part(encoder, out, begin)
        } else {
            self.redact(encoder, out, 0)
        }
    }

    /// Any other: by way of what a record would have been taken apart to.
    #[inline(never)]
    fn encode_parts<'py>(
        &self,
        encoder: &mut Encoder<'py>,
        record: &CallRecord<'_, 'py>,
        task: Option<Bound<'py, PyAny>>,
        out: &mut Vec<u8>,
    ) {
        let py = encoder.py;
        let mut parts = Parts {
            at: Some(record.created),
            ambient: record.ambient.share(),
            ..Parts::default()
        };
        let said = record.said;
        let mut set = |slot: Slot, value: Bound<'py, PyAny>| {
            parts.slots[slot as usize] = Some(Held::from(value));
        };
        set(Slot::Name, (*record.name).clone());
        if let Some(name) = plan::level_name(record.world, record.level_object) {
            set(Slot::LevelName, name);
        }
        set(Slot::LevelNo, record.level_object.to_owned());
        set(Slot::Msg, said.msg.to_owned());
        set(Slot::ThreadName, (*record.thread.name).clone());
        if let Some(args) = args_of(encoder, said) {
            set(Slot::Args, args);
        }
        // Code that ran meanwhile may have pushed the place out: the frame is still the same.
        let place = record
            .caller
            .parts()
            .or_else(|| Caller::find(py, record.world).and_then(Caller::parts));
        if let Some((path, function, line)) = place {
            set(Slot::PathName, path);
            set(Slot::FuncName, function);
            set(Slot::LineNo, line);
        }
        if let Some(exc_info) = &record.exc_info {
            set(Slot::ExcInfo, exc_info.clone());
        }
        if let Some(task) = task {
            set(Slot::TaskName, task);
        }
        if let Some(extra) = said.extra {
            let mut position = 0;
            let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: a live dict; whatever it holds is taken along before any code can run.
            while unsafe {
                ffi::PyDict_Next(
                    extra.as_ptr(),
                    &raw mut position,
                    &raw mut key,
                    &raw mut value,
                )
            } != 0
            {
                // SAFETY: as above.
                unsafe {
                    Encoder::sort_in(
                        Borrowed::from_ptr(py, key),
                        Borrowed::from_ptr(py, value),
                        &mut parts,
                    );
                }
            }
            encoder.settle_nested(&mut parts);
        }
        self.write_within_limits(encoder, out, |encoder, keep, out| {
            self.write_line(encoder, &parts, keep, out)
        });
    }
}

/// The arguments as a record has them: a tuple, or the mapping that is the only one.
fn args_of<'py>(encoder: &Encoder<'py>, said: Said<'_, 'py>) -> Option<Bound<'py, PyAny>> {
    let py = encoder.py;
    if said.args.is_empty() {
        return None;
    }
    // SAFETY: held by whoever calls.
    let args = said
        .args
        .iter()
        .map(|arg| unsafe { Borrowed::<PyAny>::from_ptr(py, *arg) }.to_owned());
    let args: Vec<_> = args.collect();
    if let [only] = &args[..]
        && encoder.is_mapping(only)
        && encoder.ok(only.is_truthy()).unwrap_or(false)
    {
        return Some(only.clone());
    }
    PyTuple::new(py, args).ok().map(Bound::into_any)
}
