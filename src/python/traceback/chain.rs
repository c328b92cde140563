//! What stands around the frames: causes, contexts and the parts of groups, in `traceback`'s order and with its indentation.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::fmt::Write;
use std::ops::Range;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use smallvec::SmallVec;

use super::frames::Frames;
use super::standard::Standard;
use super::{Odd, tail};
use crate::python::encode::Encoder;
use crate::python::names::derives;

const HEADER: &str = "Traceback (most recent call last):\n";
const GROUP_HEADER: &str = "Exception Group Traceback (most recent call last):\n";
const CAUSE: &str = "\nThe above exception was the direct cause of the following exception:\n\n";
const CONTEXT: &str = "\nDuring handling of the above exception, another exception occurred:\n\n";
/// Parts of a group that are shown, and levels of groups.
const MAX_WIDTH: usize = 15;
const MAX_DEPTH: usize = 10;
/// More exceptions in one record are left to `traceback`.
const MAX_EXCEPTIONS: usize = 4096;

/// One exception of the tree.
struct Node<'py> {
    error: Bound<'py, PyAny>,
    /// Its frames, in the text they share. Empty without a traceback.
    frames: Range<usize>,
    /// Its last lines.
    tail: Range<usize>,
    suppresses_context: bool,
    cause: Option<usize>,
    context: Option<usize>,
    parts: Option<Vec<usize>>,
}

/// An exception, what led to it and what is in it.
pub(super) struct Chain<'a, 'py> {
    encoder: &'a Encoder<'py>,
    standard: &'a Standard,
    frames: Frames<'a, 'py>,
    nodes: SmallVec<[Node<'py>; 2]>,
    /// Addresses of the exceptions in `nodes`, once they are many.
    seen: HashSet<usize>,
    /// The frames and last lines of all nodes.
    text: String,
}

/// Where in the nested groups the text goes.
#[derive(Default)]
struct Margin {
    depth: usize,
    /// Whether the frame around the parts of a group is still open at the bottom.
    open: bool,
}

impl<'a, 'py> Chain<'a, 'py> {
    /// The whole text for an exception with this traceback (or `None`).
    pub(super) fn render(
        encoder: &'a Encoder<'py>,
        standard: &'a Standard,
        error: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> Result<String, Odd> {
        let mut chain = Chain {
            encoder,
            standard,
            frames: Frames::new(encoder, standard),
            nodes: SmallVec::new(),
            seen: HashSet::new(),
            text: String::with_capacity(1024),
        };
        // For an exception that stands alone, what is written below is the whole text already.
        if !traceback.is_none() {
            chain.text.push_str(HEADER);
        }
        chain.enter(error.clone(), traceback)?;
        chain.gather()?;
        if let [Node { parts: None, .. }] = chain.nodes.as_slice() {
            return Ok(chain.text);
        }
        let mut out = String::with_capacity(chain.text.len() + 256);
        chain.write(&mut out, 0, &mut Margin::default());
        Ok(out)
    }

    fn read(
        &self,
        object: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> Result<Bound<'py, PyAny>, Odd> {
        self.encoder.ok(object.getattr(name)).ok_or(Odd)
    }

    /// Reads one exception and writes its frames and last lines.
    fn enter(
        &mut self,
        error: Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> Result<usize, Odd> {
        let py = self.encoder.py;
        if self.nodes.len() >= MAX_EXCEPTIONS || has_truth(&error) {
            return Err(Odd);
        }
        let start = self.text.len();
        let last = if traceback.is_none() {
            traceback.clone()
        } else {
            self.frames.write(&mut self.text, traceback)?
        };
        let middle = self.text.len();
        tail::write(self.encoder, self.standard, &mut self.text, &error, &last)?;
        let suppresses = self.read(&error, intern!(py, "__suppress_context__"))?;
        let suppresses_context = self.encoder.ok(suppresses.is_truthy()).ok_or(Odd)?;
        self.nodes.push(Node {
            error,
            frames: start..middle,
            tail: middle..self.text.len(),
            suppresses_context,
            cause: None,
            context: None,
            parts: None,
        });
        Ok(self.nodes.len() - 1)
    }

    /// Enters everything that hangs on the first exception, in `traceback`'s order: what was seen once is not shown again.
    fn gather(&mut self) -> Result<(), Odd> {
        let py = self.encoder.py;
        let mut queue: SmallVec<[usize; 4]> = SmallVec::from_elem(0, 1);
        while let Some(at) = queue.pop() {
            let error = self.nodes[at].error.clone();
            let cause = self.linked(&error, intern!(py, "__cause__"))?;
            let context = if cause.is_none() && !self.nodes[at].suppresses_context {
                self.linked(&error, intern!(py, "__context__"))?
            } else {
                None
            };
            let parts = self.parts(&error)?;
            queue.extend(cause);
            queue.extend(context);
            queue.extend(parts.iter().flatten().copied());
            let node = &mut self.nodes[at];
            (node.cause, node.context, node.parts) = (cause, context, parts);
        }
        Ok(())
    }

    /// Enters the cause or context of an exception, if it has one that was not seen yet.
    fn linked(
        &mut self,
        error: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> Result<Option<usize>, Odd> {
        let other = self.read(error, name)?;
        if other.is_none() || self.has_seen(&other) {
            return Ok(None);
        }
        self.enter_part(other).map(Some)
    }

    fn enter_part(&mut self, error: Bound<'py, PyAny>) -> Result<usize, Odd> {
        if !super::super::exception::is_exception(&error) {
            return Err(Odd);
        }
        let traceback = self.read(&error, intern!(self.encoder.py, "__traceback__"))?;
        self.enter(error, &traceback)
    }

    fn has_seen(&mut self, error: &Bound<'py, PyAny>) -> bool {
        if self.nodes.len() <= 8 {
            return self.nodes.iter().any(|node| node.error.is(error));
        }
        // Kept alive by the nodes, so that an address is one object's.
        let entered = self.seen.len();
        let address = |error: &Bound<'py, PyAny>| error.as_ptr() as usize;
        self.seen.extend(
            self.nodes[entered.min(self.nodes.len())..]
                .iter()
                .map(|node| address(&node.error)),
        );
        self.seen.contains(&address(error))
    }

    /// Enters the exceptions of a group.
    fn parts(&mut self, error: &Bound<'py, PyAny>) -> Result<Option<Vec<usize>>, Odd> {
        let py = self.encoder.py;
        let Some(group) = &self.standard.group else {
            return Ok(None);
        };
        if !derives(&error.get_type(), group.bind(py)) {
            return Ok(None);
        }
        let parts = self.read(error, intern!(py, "exceptions"))?;
        let Ok(parts) = parts.cast_exact::<PyTuple>() else {
            return Err(Odd);
        };
        // Also those that were seen before.
        let entered = parts.iter().map(|part| self.enter_part(part));
        entered.collect::<Result<_, _>>().map(Some)
    }

    /// Appends an exception after what led to it.
    fn write(&self, out: &mut String, at: usize, margin: &mut Margin) {
        let mut shown: SmallVec<[(&str, usize); 4]> = SmallVec::new();
        let mut next = Some(at);
        while let Some(at) = next {
            let node = &self.nodes[at];
            let (before, earlier) = match (node.cause, node.context) {
                (Some(cause), _) => (CAUSE, Some(cause)),
                (None, Some(context)) if !node.suppresses_context => (CONTEXT, Some(context)),
                _ => ("", None),
            };
            shown.push((before, at));
            next = earlier;
        }
        for (before, at) in shown.into_iter().rev() {
            margin.write(out, before);
            let node = &self.nodes[at];
            let frames = &self.text[node.frames.clone()];
            let tail = &self.text[node.tail.clone()];
            if let Some(parts) = &node.parts {
                self.write_group(out, (frames, tail, parts), margin);
                continue;
            }
            if !frames.is_empty() {
                margin.write(out, HEADER);
                margin.write(out, frames);
            }
            margin.write(out, tail);
        }
    }

    fn write_group(
        &self,
        out: &mut String,
        (frames, tail, parts): (&str, &str, &[usize]),
        margin: &mut Margin,
    ) {
        if margin.depth > MAX_DEPTH {
            margin.write(out, &format!("... (max_group_depth is {MAX_DEPTH})\n"));
            return;
        }
        let outermost = margin.depth == 0;
        if outermost {
            margin.depth = 1;
        }
        if !frames.is_empty() {
            let first = if outermost { '+' } else { '|' };
            margin.write_with(out, GROUP_HEADER, first);
            margin.write(out, frames);
        }
        margin.write(out, tail);
        let lines = parts.len().min(MAX_WIDTH + 1);
        margin.open = false;
        for index in 0..lines {
            let last = index + 1 == lines;
            if last {
                // What is in the last part may close the frame.
                margin.open = true;
            }
            let cut = index >= MAX_WIDTH;
            margin.indent(out);
            out.push_str(if index == 0 { "+-" } else { "  " });
            // Writing to a string cannot fail.
            let _ = if cut {
                writeln!(out, "+---------------- ... ----------------")
            } else {
                writeln!(out, "+---------------- {} ----------------", index + 1)
            };
            margin.depth += 1;
            if cut {
                let more = parts.len() - MAX_WIDTH;
                let plural = if more > 1 { "s" } else { "" };
                margin.write(out, &format!("and {more} more exception{plural}\n"));
            } else {
                self.write(out, parts[index], margin);
            }
            if last && margin.open {
                margin.indent(out);
                out.push_str("+------------------------------------\n");
                margin.open = false;
            }
            margin.depth -= 1;
        }
        if outermost {
            margin.depth = 0;
        }
    }
}

impl Margin {
    fn indent(&self, out: &mut String) {
        out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn write(&self, out: &mut String, text: &str) {
        self.write_with(out, text, '|');
    }

    /// Appends lines, each behind the margin where there is one.
    fn write_with(&self, out: &mut String, text: &str, margin: char) {
        if self.depth == 0 {
            out.push_str(text);
            return;
        }
        for line in lines(text) {
            self.indent(out);
            out.push(margin);
            out.push(' ');
            out.push_str(line);
        }
    }
}

/// The lines of a text with their ends, as Python's `str.splitlines` has them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.char_indices().find_map(|(at, c)| match c {
            '\r' if rest[at + 1..].starts_with('\n') => Some(at + 2),
            '\n'
            | '\r'
            | '\x0b'
            | '\x0c'
            | '\x1c'..='\x1e'
            | '\u{85}'
            | '\u{2028}'
            | '\u{2029}' => Some(at + c.len_utf8()),
            _ => None,
        });
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// Whether an exception's class decides what it is worth as a truth value, which `traceback` asks.
fn has_truth(error: &Bound<'_, PyAny>) -> bool {
    [ffi::Py_nb_bool, ffi::Py_mp_length, ffi::Py_sq_length]
        .into_iter()
        // SAFETY: a live type and slots that every type may have.
        .any(|slot| unsafe { !ffi::PyType_GetSlot(error.get_type_ptr(), slot).is_null() })
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_end_where_python_says() {
        let text = "a\r\nb\rc\n\nd\u{2028}e\x1cf\u{85}g";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(
            found,
            [
                "a\r\n",
                "b\r",
                "c\n",
                "\n",
                "d\u{2028}",
                "e\x1c",
                "f\u{85}",
                "g"
            ]
        );
        assert_eq!(lines("").count(), 0);
    }
}
