//! Values that `tracing` hands over one by one, as JSON.

use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing_core::field::{Field, Visit};

use super::encode::Encoder;
use super::error::write_exception;
use crate::json;
use crate::redact::{MASK, RuleId};

/// Bytes of a value's text at which its rendering is stopped: more than any limit keeps, and enough to know a payload by.
const MAX_RENDERED: usize = 1 << 20;

/// A value with its name, somewhere in a buffer.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: &'static str,
    /// Where `"name":` begins, and the value.
    start: usize,
    value: usize,
    /// A later one has its name.
    replaced: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: &'static str,
    /// `"name":value`
    pub(super) whole: &'a [u8],
    /// The value in JSON.
    pub(super) value: &'a [u8],
}

/// Names and JSON of values, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// `{"type":…}` of the first error among them.
    pub(super) exception: Vec<u8>,
    names: Names,
}

impl Values {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.exception.clear();
    }

    fn begin(&mut self, name: &'static str) {
        if let Some(same) = self.entries.iter_mut().find(|entry| entry.name == name) {
            same.replaced = true;
        }
        let start = self.bytes.len();
        json::write_str(&mut self.bytes, name);
        self.bytes.push(b':');
        self.entries.push(Entry {
            name,
            start,
            value: self.bytes.len(),
            replaced: false,
        });
    }

    /// All of them; of two with one name the later.
    pub(super) fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        let ends = self.entries.iter().skip(1).map(|next| next.start);
        let ends = ends.chain([self.bytes.len()]);
        let all = self.entries.iter().zip(ends);
        all.filter(|(entry, _)| !entry.replaced)
            .map(|(entry, end)| Member {
                name: entry.name,
                whole: &self.bytes[entry.start..end],
                value: &self.bytes[entry.value..end],
            })
    }
}

/// Those that a span keeps: they are written with each of its events.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Name, `"name":value`, and where the value begins.
    entries: Vec<(&'static str, Box<[u8]>, usize)>,
    /// The span as an object: `{"name":…,…}`.
    pub(super) object: Vec<u8>,
}

impl Kept {
    /// Those of a span of this name, so far none.
    pub(super) fn new(span: &str) -> Self {
        let mut object = b"{\"name\":".to_vec();
        json::write_str(&mut object, span);
        object.push(b'}');
        Self {
            entries: Vec::new(),
            object,
        }
    }

    /// Takes over values; one that has the name of an earlier one stands in its place.
    pub(super) fn take(&mut self, span: &str, values: &Values) {
        for member in values.iter() {
            let key = member.whole.len() - member.value.len();
            let mut known = self.entries.iter_mut();
            match known.find(|(known, ..)| *known == member.name) {
                Some((_, standing, _)) => *standing = member.whole.into(),
                None => self.entries.push((member.name, member.whole.into(), key)),
            }
        }
        self.object = Self::new(span).object;
        self.object.pop();
        for (name, whole, key) in &self.entries {
            self.object.push(b',');
            if *name == "name" {
                self.object.extend_from_slice(b"\"name#2\":");
                self.object.extend_from_slice(&whole[*key..]);
            } else {
                self.object.extend_from_slice(whole);
            }
        }
        self.object.push(b'}');
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        self.entries.iter().map(|(name, whole, key)| Member {
            name,
            whole,
            value: &whole[*key..],
        })
    }
}

/// What was found of names: they are the program's constants, and the same all the time.
#[derive(Debug)]
struct Names([Option<(u64, &'static str, Option<RuleId>)>; NAMES]);

const NAMES: usize = 64;

impl Default for Names {
    fn default() -> Self {
        Self([None; NAMES])
    }
}

impl Names {
    /// The rule by which the value under a name is secret, as the encoder with this number has it.
    fn secret(&mut self, encoder: &Encoder, name: &'static str) -> Option<RuleId> {
        let address = name.as_ptr().addr();
        let slot = &mut self.0[(address ^ address >> 6 ^ name.len()) % NAMES];
        match *slot {
            Some((number, known, rule))
                if number == encoder.number && std::ptr::eq(known, name) =>
            {
                rule
            }
            _ => {
                let rule = encoder.secret(name);
                *slot = Some((encoder.number, name, rule));
                rule
            }
        }
    }
}

/// Writes what it is shown.
pub(super) struct Visitor<'a> {
    pub(super) encoder: &'a Encoder,
    pub(super) values: &'a mut Values,
    /// Characters that a text may have.
    pub(super) limit: usize,
}

impl Visitor<'_> {
    /// Begins a value, and says by which rule it is secret; `None` for what `log` says of its record, which is told elsewhere.
    #[allow(clippy::option_option)] // Not to be written, or not secret.
    fn begin(&mut self, field: &Field) -> Option<Option<RuleId>> {
        let name = field.name();
        if name.starts_with("log.") {
            return None;
        }
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.values.begin(name);
        Some(self.values.names.secret(self.encoder, name))
    }

    fn number(&mut self, field: &Field, write: impl FnOnce(&mut Vec<u8>)) {
        match self.begin(field) {
            None => {}
            Some(Some(rule)) if !rule.spares_numbers() => {
                self.encoder.count(rule);
                json::write_str(&mut self.values.bytes, MASK);
            }
            Some(_) => write(&mut self.values.bytes),
        }
    }

    /// An id of OpenTelemetry's given as a number is the hexadecimal text that everybody else writes for it.
    fn whole(&mut self, field: &Field, value: u128, write: impl FnOnce(&mut Vec<u8>)) {
        let width = match field.name() {
            "trace_id" => 32,
            "span_id" => 16,
            "trace_flags" => 2,
            _ => return self.number(field, write),
        };
        self.number(field, |out| {
            out.extend_from_slice(format!("\"{value:0width$x}\"").as_bytes());
        });
    }

    fn text(&mut self, field: &Field, text: &str, more: bool) {
        let Some(rule) = self.begin(field) else {
            return;
        };
        let out = &mut self.values.bytes;
        // What says nothing stays.
        if let Some(rule) = rule.filter(|_| !matches!(text, "" | "None" | "()")) {
            self.encoder.write_secret(out, text, rule);
        } else if field.name() == "message" || field.name() == "event" {
            self.encoder.write_text(out, text, self.limit, more);
        } else {
            self.encoder.write_value(out, text, self.limit, more);
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, |out| json::write_float(out, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, |out| json::write_int(out, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let text = itoa::Buffer::new().format(value).to_owned();
        self.whole(field, value.into(), |out| {
            out.extend_from_slice(text.as_bytes());
        });
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        let mut text = itoa::Buffer::new();
        let text = text.format(value);
        self.number(field, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        let mut text = itoa::Buffer::new();
        let text = text.format(value);
        self.whole(field, value, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.begin(field).is_some() {
            let text: &[u8] = if value { b"true" } else { b"false" };
            self.values.bytes.extend_from_slice(text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value, false);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        if let Ok(text) = std::str::from_utf8(value) {
            self.text(field, text, false);
        } else if let Some(rule) = self.begin(field) {
            let out = &mut self.values.bytes;
            match rule {
                Some(rule) => self.encoder.write_secret(out, MASK, rule),
                None => self.encoder.write_binary(out, value, self.limit),
            }
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let rendered = render(format_args!("{value}"));
        if self.values.exception.is_empty() && !field.name().starts_with("log.") {
            let mut exception = std::mem::take(&mut self.values.exception);
            write_exception(self.encoder, &mut exception, value, self.limit);
            self.values.exception = exception;
        }
        self.text(field, &rendered.text, rendered.stopped);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let rendered = render(format_args!("{value:?}"));
        self.text(field, &rendered.text, rendered.stopped);
    }
}

/// Text that a program's own code made.
pub(super) struct Rendered {
    pub(super) text: String,
    /// It was longer than anybody wants to see, and its making was stopped.
    pub(super) stopped: bool,
}

impl Write for Rendered {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() <= MAX_RENDERED {
            self.text.push_str(text);
            return Ok(());
        }
        let mut end = MAX_RENDERED - self.text.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        self.stopped = true;
        Err(fmt::Error)
    }
}

/// Has a program's code make a text. Where that panics or fails, the text says so: a log call does not fail.
pub(super) fn render(arguments: fmt::Arguments<'_>) -> Rendered {
    let mut rendered = Rendered {
        text: String::new(),
        stopped: false,
    };
    if let Some(text) = arguments.as_str() {
        rendered.stopped = rendered.write_str(text).is_err();
        return rendered;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| rendered.write_fmt(arguments)));
    if !rendered.stopped {
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(_)) => rendered.text.push_str("<its formatting failed>"),
            Err(_) => rendered.text.push_str("<its formatting panicked>"),
        }
    }
    rendered
}
