//! Who logs: the frame of the call, and what is known of that place.
//!
//! A place is a code object and an instruction in it. The table holds a reference to the code, so that an equal address proves that it
//! is the same. Frames of `logging` itself (`logging.info`, a `LoggerAdapter`) are passed over as `Logger.findCaller` does.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::world::World;
use crate::json;
use crate::python::attach::AttachedCell;
use crate::python::encode::Encoder;
use crate::python::held::Held;
use crate::python::text::{small_int, utf8, write_cut};

const SETS: usize = 256;
/// Longer ones are not kept.
const ROOM: usize = 512;

/// What is known of a place.
struct Site {
    code: Py<PyAny>,
    instruction: i64,
    /// `None` in a frame that is passed over.
    place: Option<Place>,
}

/// Where a record is logged.
pub(super) struct Place {
    pub(super) path: Py<PyAny>,
    pub(super) function: Py<PyAny>,
    pub(super) line: Py<PyAny>,
    /// `,"src":{…}`, written with this limit of characters.
    limit: usize,
    json: Vec<u8>,
}

static SITES: AttachedCell<[Option<Site>; SETS]> = AttachedCell::new([const { None }; SETS]);

/// How a frame says which instruction it is at: the descriptor, and its function.
struct Instruction {
    descriptor: Py<PyAny>,
    get: ffi::descrgetfunc,
}

static INSTRUCTION: PyOnceLock<Option<Instruction>> = PyOnceLock::new();

fn find_instruction(frame: &Bound<'_, PyAny>) -> Option<Instruction> {
    let py = frame.py();
    let descriptor = frame
        .get_type()
        .getattr(intern!(py, "f_lasti"))
        .ok()?
        .unbind();
    // SAFETY: the type of a live object; the slot holds a function of that signature or null.
    let get = unsafe {
        let slot = ffi::PyType_GetSlot(ffi::Py_TYPE(descriptor.as_ptr()), ffi::Py_tp_descr_get);
        std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::descrgetfunc>>(slot)?
    };
    Some(Instruction { descriptor, get })
}

/// The instruction a frame is at.
#[inline]
fn instruction_of(frame: Borrowed<'_, '_, PyAny>) -> Option<i64> {
    let py = frame.py();
    let known = match INSTRUCTION.get(py) {
        Some(known) => known,
        None => INSTRUCTION.get_or_init(py, || find_instruction(&frame)),
    };
    let known = known.as_ref()?;
    // SAFETY: the descriptor's own function, with a frame; a new reference or null with an error comes back.
    unsafe {
        let number = (known.get)(
            known.descriptor.as_ptr(),
            frame.as_ptr(),
            ffi::Py_TYPE(frame.as_ptr()).cast(),
        );
        let number = Bound::from_owned_ptr_or_opt(py, number);
        if number.is_none() {
            ffi::PyErr_Clear();
        }
        let number = Held::from(number?);
        small_int(number.as_borrowed())
    }
}

#[inline]
fn place_of(code: *mut ffi::PyObject, instruction: i64) -> usize {
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // Only to spread.
    let spread = (code as usize >> 5) ^ (instruction as usize).wrapping_mul(0x9e37);
    (spread ^ (spread >> 8)) % SETS
}

/// The code object of a frame, borrowed: the frame, which runs, holds it.
#[inline]
fn code_of<'a, 'py>(frame: Borrowed<'a, 'py, PyAny>) -> Borrowed<'a, 'py, PyAny> {
    // SAFETY: a live frame; the new reference is given back at once.
    unsafe {
        let code = ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast();
        drop(Held::from(Bound::from_owned_ptr(frame.py(), code)));
        Borrowed::from_ptr(frame.py(), code)
    }
}

/// Where the call that is under way was made.
pub(super) struct Caller<'py> {
    code: Held<'py>,
    instruction: i64,
    place: usize,
}

impl<'py> Caller<'py> {
    /// Finds the frame that logs. `None` where there is none, as in a call from a thread of C's.
    #[inline]
    pub(super) fn find(py: Python<'py>, world: &World) -> Option<Self> {
        // SAFETY: a borrowed reference or null: the frame runs.
        let frame = unsafe { Borrowed::from_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }?;
        match Self::at(frame, world) {
            (caller, true) => caller,
            _ => Self::above(frame, world),
        }
    }

    /// The place a frame is at, and whether that is the caller's.
    #[inline]
    fn at(frame: Borrowed<'_, 'py, PyAny>, world: &World) -> (Option<Self>, bool) {
        let py = frame.py();
        let code = code_of(frame);
        let Some(instruction) = instruction_of(frame) else {
            return (None, true);
        };
        let place = place_of(code.as_ptr(), instruction);
        let known = SITES.with(py, |sites| {
            sites[place]
                .as_ref()
                .filter(|site| {
                    site.code.as_ptr() == code.as_ptr() && site.instruction == instruction
                })
                .map(|site| site.place.is_some())
        });
        let known = match known {
            Some(known) => known,
            None => match learn(frame, code, instruction, place, world) {
                Some(known) => known,
                None => return (None, true),
            },
        };
        let caller = Caller {
            code: Held::new(code),
            instruction,
            place,
        };
        (Some(caller), known)
    }

    /// Passes over the frames of `logging`.
    #[cold]
    fn above(frame: Borrowed<'_, 'py, PyAny>, world: &World) -> Option<Self> {
        let py = frame.py();
        let mut frame = frame.to_owned();
        loop {
            frame = frame.getattr(intern!(py, "f_back")).ok()?;
            if frame.is_none() {
                return None;
            }
            if let (caller, true) = Self::at(frame.as_borrowed(), world) {
                return caller;
            }
        }
    }

    /// What `look` makes of the place; `None` if another took its room meanwhile.
    #[inline]
    fn with<R>(&self, look: impl FnOnce(&mut Place) -> R) -> Option<R> {
        SITES.with(self.code.py(), |sites| {
            let site = sites[self.place].as_mut()?;
            let same =
                site.code.as_ptr() == self.code.as_ptr() && site.instruction == self.instruction;
            site.place.as_mut().filter(|_| same).map(look)
        })
    }

    /// Appends `,"src":{…}`; false, with nothing written, if another took the room meanwhile.
    #[inline]
    pub(super) fn write(&self, encoder: &Encoder<'py>, out: &mut Vec<u8>) -> bool {
        self.with(|place| {
            if place.limit != encoder.limits.text {
                return false;
            }
            out.extend_from_slice(&place.json);
            true
        })
        .unwrap_or(false)
            || self.write_anew(encoder, out)
    }

    #[cold]
    fn write_anew(&self, encoder: &Encoder<'py>, out: &mut Vec<u8>) -> bool {
        let Some((path, function, line)) = self.parts() else {
            return false;
        };
        let (Some(path), Some(function)) = (utf8(path.as_borrowed()), utf8(function.as_borrowed()))
        else {
            return false;
        };
        let start = out.len();
        out.extend_from_slice(b",\"src\":{\"file\":\"");
        write_cut(out, path, encoder.limits.text);
        out.extend_from_slice(b"\",\"line\":");
        json::write_int(out, small_int(line.as_borrowed()).unwrap_or(0));
        out.extend_from_slice(b",\"function\":\"");
        write_cut(out, function, encoder.limits.text);
        out.extend_from_slice(b"\"}");
        if out.len() - start <= ROOM {
            self.with(|place| {
                place.limit = encoder.limits.text;
                place.json.clear();
                place.json.extend_from_slice(&out[start..]);
            });
        }
        true
    }

    /// Path, function and line, as a record has them.
    pub(super) fn parts(
        &self,
    ) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = self.code.py();
        self.with(|place| {
            // Counted in place: nothing runs.
            [&place.path, &place.function, &place.line].map(|part| part.clone_ref(py))
        })
        .map(|[path, function, line]| {
            (
                path.into_bound(py),
                function.into_bound(py),
                line.into_bound(py),
            )
        })
    }
}

/// Enters a place. Whether it is a caller's; `None` if it cannot be told.
#[cold]
fn learn(
    frame: Borrowed<'_, '_, PyAny>,
    code: Borrowed<'_, '_, PyAny>,
    instruction: i64,
    at: usize,
    world: &World,
) -> Option<bool> {
    let py = frame.py();
    let path = code.getattr(intern!(py, "co_filename")).ok()?;
    let function = code.getattr(intern!(py, "co_name")).ok()?;
    let line = frame.getattr(intern!(py, "f_lineno")).ok()?;
    let (path_text, plain) = (
        path.cast_exact::<PyString>()
            .ok()?
            .to_string_lossy()
            .into_owned(),
        function.cast_exact::<PyString>().is_ok(),
    );
    if !plain || line.is_none() {
        return None;
    }
    let internal = world.is_internal(py, &path_text);
    let site = Site {
        code: code.to_owned().unbind(),
        instruction,
        place: (!internal).then(|| Place {
            path: path.unbind(),
            function: function.unbind(),
            line: line.unbind(),
            limit: usize::MAX,
            json: Vec::new(),
        }),
    };
    let old = SITES.with(py, |sites| sites[at].replace(site));
    // Not within `with`: this drops references.
    drop(old);
    Some(!internal)
}
