//! The frame that runs, and which instruction of which code it is at.
//!
//! One word of the interpreter's frame is the address of the instruction: code and place in one. Where it stands is no part of the stable
//! ABI, so [`Frames::probe`] looks whether it moves as `f_lasti` does, and where it does not, `f_lasti` is asked each time.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::python::held::Held;
use crate::python::text::small_int;

/// Offset of `f_frame` in a frame object, and of `prev_instr` or `instr_ptr` in what it points to (3.11 to 3.13).
const INNER: usize = 24;
const INSTRUCTION: usize = 56;

/// How frames are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    in_place: bool,
}

/// Where a frame is: equal for equal instructions of one code object, as long as that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The instruction's address, or the code's.
    address: usize,
    /// Its offset where the address is the code's.
    offset: i64,
}

impl Spot {
    pub(super) const NONE: Self = Self {
        address: 0,
        offset: 0,
    };

    /// Where in a table of so many it belongs.
    #[inline]
    pub(super) fn place(self, size: usize) -> usize {
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // Only to spread.
        let spread = (self.address >> 1) ^ (self.offset as usize).wrapping_mul(0x9e37);
        (spread ^ (spread >> 9)) % size
    }
}

/// The frame that runs now; `None` outside of Python code.
#[inline]
pub(super) fn current(py: Python<'_>) -> Option<Borrowed<'_, '_, PyAny>> {
    // SAFETY: a borrowed reference or null; a frame that runs stays.
    unsafe { Borrowed::from_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }
}

/// The code object of a frame, borrowed: the frame holds it.
#[inline]
pub(super) fn code<'a, 'py>(frame: Borrowed<'a, 'py, PyAny>) -> Borrowed<'a, 'py, PyAny> {
    // SAFETY: a live frame; the new reference is given back at once.
    unsafe {
        let code = ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast();
        drop(Held::from(Bound::from_owned_ptr(frame.py(), code)));
        Borrowed::from_ptr(frame.py(), code)
    }
}

impl Frames {
    /// Looks whether frames can be read in place.
    pub(super) fn probe(py: Python<'_>) -> PyResult<Self> {
        let version = py.version_info();
        let known = cfg!(all(target_pointer_width = "64", target_endian = "little"))
            && ((3, 11)..(3, 14)).contains(&(version.major, version.minor));
        if !known {
            return Ok(Self { in_place: false });
        }
        let spots = pyo3::wrap_pyfunction!(spot_for_probe, py)?;
        let code = PyModule::from_code(
            py,
            c"def probe(spot):\n    a = spot()\n    b = [spot() for _ in range(50)][-1]\n    return [a, spot(), (1, spot())[1], spot()]\ndef other(spot):\n    for _ in range(50):\n        a = spot()\n    return [a, spot()]\n",
            c"logspool/_core",
            c"logspool._core._frames",
        )?;
        let mut in_place = true;
        for function in ["probe", "other"] {
            let seen: Vec<(usize, i64)> = code.getattr(function)?.call1((&spots,))?.extract()?;
            let moved = |at: usize| {
                let by = seen[at].0.wrapping_sub(seen[0].0).cast_signed() as i64;
                by != 0 && by == seen[at].1 - seen[0].1
            };
            in_place &= seen.len() > 1 && (1..seen.len()).all(moved);
        }
        Ok(Self { in_place })
    }

    /// Where a frame is. The frame runs, or ran when one further down was called.
    #[inline]
    pub(super) fn spot(self, frame: Borrowed<'_, '_, PyAny>) -> Option<Spot> {
        if self.in_place {
            return Some(Spot {
                address: instruction(frame),
                offset: 0,
            });
        }
        Some(Spot {
            address: code(frame).as_ptr() as usize,
            offset: last_instruction(frame)?,
        })
    }
}

/// The word that says where a frame is.
#[inline]
fn instruction(frame: Borrowed<'_, '_, PyAny>) -> usize {
    // SAFETY: in 3.11 to 3.13 a frame object points to the frame it stands for, in which this word is; `probe` saw it move.
    unsafe {
        let inner = frame
            .as_ptr()
            .cast::<u8>()
            .add(INNER)
            .cast::<*const u8>()
            .read_unaligned();
        inner.add(INSTRUCTION).cast::<usize>().read_unaligned()
    }
}

fn last_instruction(frame: Borrowed<'_, '_, PyAny>) -> Option<i64> {
    let number = frame.getattr(intern!(frame.py(), "f_lasti")).ok()?;
    small_int(number.as_borrowed())
}

/// The word and `f_lasti` of the frame that calls.
#[pyfunction]
fn spot_for_probe(py: Python<'_>) -> Option<(usize, i64)> {
    let frame = current(py)?;
    Some((instruction(frame), last_instruction(frame)?))
}
