//! Who logs: what is known of the place a call is made at.
//!
//! The table holds a reference to the code, so that an equal [`Spot`] proves that it is the same place. Frames of `logging` itself
//! (`logging.info`, a `LoggerAdapter`) are passed over as `Logger.findCaller` does.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::frame::{self, Spot};
use super::world::World;
use crate::cut::write_cut;
use crate::json;
use crate::payload;
use crate::python::attach::AttachedCell;
use crate::python::encode::Encoder;
use crate::python::redaction::is_clean;
use crate::python::text::{small_int, utf8};

const SITES: usize = 1024;
/// Longer ones are not kept.
const ROOM: usize = 512;
/// Longer messages are escaped anew each time.
const MESSAGE: usize = payload::SHORT - 1;
/// So often a place is believed to have one message, after it had others.
const TRIES: u8 = 8;

struct Site {
    spot: Spot,
    /// Keeps the spot from becoming another's.
    _code: Option<Py<PyAny>>,
    /// `None` in a frame that is passed over.
    place: Option<Place>,
}

/// Where a record is logged.
struct Place {
    path: Py<PyAny>,
    function: Py<PyAny>,
    line: Py<PyAny>,
    /// `,"src":{…}`, written with this limit of characters.
    limit: usize,
    json: Vec<u8>,
    message: Message,
}

/// The message that a place logs, if that is always the same.
struct Message {
    text: Option<Py<PyAny>>,
    escaped: Vec<u8>,
    /// The last one that was not found: an address to compare, never followed.
    seen: usize,
    tries: u8,
}

/// What a look for a message came to.
enum Found {
    Written,
    New,
    /// This place has ever other ones.
    Other,
}

static TABLE: AttachedCell<[Site; SITES]> = AttachedCell::new(
    [const {
        Site {
            spot: Spot::NONE,
            _code: None,
            place: None,
        }
    }; SITES],
);

/// Where the call that is under way was made.
#[derive(Clone, Copy)]
pub(super) struct Caller<'py> {
    py: Python<'py>,
    spot: Spot,
}

impl<'py> Caller<'py> {
    /// Finds the frame that logs. `None` where there is none, as in a call from a thread of C's.
    #[inline]
    pub(super) fn find(py: Python<'py>, world: &World) -> Option<Self> {
        let frame = frame::current(py)?;
        match Self::at(frame, world) {
            (caller, true) => caller,
            _ => Self::above(frame, world),
        }
    }

    /// The place a frame is at, and whether that is the caller's.
    #[inline]
    fn at(frame: Borrowed<'_, 'py, PyAny>, world: &World) -> (Option<Self>, bool) {
        let py = frame.py();
        let Some(spot) = world.frames.spot(frame) else {
            return (None, true);
        };
        let known = TABLE.with(py, |table| {
            let site = &table[spot.place(SITES)];
            (site.spot == spot).then_some(site.place.is_some())
        });
        let Some(known) = known.or_else(|| learn(frame, spot, world)) else {
            return (None, true);
        };
        (Some(Caller { py, spot }), known)
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
    fn with<R>(self, look: impl FnOnce(&mut Place) -> R) -> Option<R> {
        TABLE.with(self.py, |table| {
            let site = &mut table[self.spot.place(SITES)];
            let same = site.spot == self.spot;
            site.place.as_mut().filter(|_| same).map(look)
        })
    }

    /// Appends a message without arguments, escaped, if this place always has the same; false, with nothing written, otherwise.
    #[inline]
    pub(super) fn write_message(
        self,
        encoder: &Encoder<'py>,
        text: Borrowed<'_, 'py, PyAny>,
        out: &mut Vec<u8>,
    ) -> bool {
        let found = self.with(|place| {
            let message = &place.message;
            if message
                .text
                .as_ref()
                .is_some_and(|known| known.as_ptr() == text.as_ptr())
            {
                // Another handler's limit: what is escaped is never shorter than the text.
                if message.escaped.len() > encoder.limits.text {
                    return Found::Other;
                }
                out.extend_from_slice(&message.escaped);
                return Found::Written;
            }
            if message.tries == 0 {
                Found::Other
            } else {
                Found::New
            }
        });
        match found {
            Some(Found::Written) => true,
            Some(Found::New) => {
                self.learn_message(encoder, text);
                false
            }
            Some(Found::Other) | None => false,
        }
    }

    #[cold]
    fn learn_message(self, encoder: &Encoder<'py>, text: Borrowed<'_, 'py, PyAny>) {
        let address = text.as_ptr() as usize;
        let again =
            self.with(|place| std::mem::replace(&mut place.message.seen, address) == address);
        if again != Some(true) || !text.is_exact_instance_of::<PyString>() {
            return;
        }
        let Some(plain) = utf8(text)
            .filter(|plain| plain.len() <= MESSAGE.min(encoder.limits.text) && is_clean(plain))
        else {
            return;
        };
        let mut escaped = Vec::new();
        json::write_escaped(&mut escaped, plain);
        let text = text.to_owned().unbind();
        let old = self.with(|place| {
            place.message.escaped = escaped;
            place.message.tries -= 1;
            place.message.text.replace(text)
        });
        // Not within `with`: this may free the text.
        if let Some(Some(old)) = old {
            old.drop_ref(self.py);
        }
    }

    /// Appends `,"src":{…}`; false, with nothing written, if another took the room meanwhile.
    #[inline]
    pub(super) fn write(self, encoder: &Encoder<'py>, out: &mut Vec<u8>) -> bool {
        self.with(|place| {
            let known = place.limit == encoder.limits.text;
            if known {
                out.extend_from_slice(&place.json);
            }
            known
        })
        .unwrap_or(false)
            || self.write_anew(encoder, out)
    }

    #[cold]
    fn write_anew(self, encoder: &Encoder<'py>, out: &mut Vec<u8>) -> bool {
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
    pub(super) fn parts(self) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = self.py;
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
fn learn(frame: Borrowed<'_, '_, PyAny>, spot: Spot, world: &World) -> Option<bool> {
    // Attached in pyo3's eyes, too: what is dropped here is freed here.
    Python::attach(|_| try_learn(frame, spot, world))
}

fn try_learn(frame: Borrowed<'_, '_, PyAny>, spot: Spot, world: &World) -> Option<bool> {
    let py = frame.py();
    let code = frame::code(frame);
    let path = code.getattr(intern!(py, "co_filename")).ok()?;
    let function = code.getattr(intern!(py, "co_name")).ok()?;
    let line = frame.getattr(intern!(py, "f_lineno")).ok()?;
    let path_text = path
        .cast_exact::<PyString>()
        .ok()?
        .to_string_lossy()
        .into_owned();
    if !function.is_exact_instance_of::<PyString>() || line.is_none() {
        return None;
    }
    let internal = world.is_internal(py, &path_text);
    let site = Site {
        spot,
        _code: Some(code.to_owned().unbind()),
        place: (!internal).then(|| Place {
            path: path.unbind(),
            function: function.unbind(),
            line: line.unbind(),
            limit: usize::MAX,
            json: Vec::new(),
            message: Message {
                text: None,
                escaped: Vec::new(),
                seen: 0,
                tries: TRIES,
            },
        }),
    };
    let old = TABLE.with(py, |table| {
        std::mem::replace(&mut table[spot.place(SITES)], site)
    });
    // Not within `with`: this drops references.
    drop(old);
    Some(!internal)
}
