//! An event to one finished line (schema 1), at the end of which only `seq` is left to patch.

use tracing_core::{Level, Metadata};

use super::encode::Encoder;
use super::values::{Kept, Values};
use crate::cut::write_cut;
use crate::fork::pid;
use crate::json;

/// Names that stand at the top of the line with what they are written as; `category` stands before everything else.
const IDS: [(&str, &[u8]); 6] = [
    ("session_id", b",\"session_id\":"),
    ("request_id", b",\"request_id\":"),
    ("trace_id", b",\"trace_id\":"),
    ("span_id", b",\"span_id\":"),
    ("trace_flags", b",\"trace_flags\":"),
    ("tool", b",\"tool\":"),
];
const CATEGORY: &str = "category";

/// The place of a name among [`IDS`], or after them for [`CATEGORY`].
fn top(name: &str) -> Option<usize> {
    match name {
        "session_id" => Some(0),
        "request_id" => Some(1),
        "trace_id" => Some(2),
        "span_id" => Some(3),
        "trace_flags" => Some(4),
        "tool" => Some(5),
        CATEGORY => Some(IDS.len()),
        _ => None,
    }
}

/// Values of what stands at the top.
type Top<'a> = [Option<&'a [u8]>; IDS.len() + 1];

/// What an attempt keeps of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything.
    All,
    /// Not the spans, whose fields stand among its own.
    NoSpans,
    /// No fields: a note stands in their place.
    NoFields,
    /// Only when, what level, which logger, what happened, and the note.
    Core,
}

/// What a line is made of.
pub(super) struct Parts<'a> {
    pub(super) metadata: &'a Metadata<'a>,
    pub(super) values: &'a Values,
    /// The spans around it, the innermost first.
    pub(super) spans: &'a [&'a Kept],
}

impl<'a> Parts<'a> {
    /// A value of the event's own.
    fn own(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values.iter();
        let found = values.find(|member| member.name == name);
        found.map(|member| member.value)
    }

    /// What stands at the top: the event's own, else of the innermost span that has it.
    fn top(&self) -> Top<'a> {
        let mut found = Top::default();
        let around = self.spans.iter().flat_map(|kept| kept.iter());
        for member in self.values.iter().chain(around) {
            if let Some(place) = top(member.name) {
                found[place].get_or_insert(member.value);
            }
        }
        found
    }
}

fn level(level: Level) -> &'static [u8] {
    match level {
        Level::ERROR => b"ERROR",
        Level::WARN => b"WARNING",
        Level::INFO => b"INFO",
        Level::DEBUG => b"DEBUG",
        Level::TRACE => b"TRACE",
    }
}

/// Appends JSON as a string.
fn write_as_text(out: &mut Vec<u8>, json: &[u8]) {
    if json.first() == Some(&b'"') {
        out.extend_from_slice(json);
    } else {
        json::write_quoted(out, json);
    }
}

thread_local! {
    /// `,"thread":…` of this thread.
    static THREAD: Box<[u8]> = {
        let thread = std::thread::current();
        let name = thread.name().map_or_else(|| format!("{:?}", thread.id()), ToOwned::to_owned);
        let mut text = b",\"thread\":".to_vec();
        json::write_str(&mut text, &name);
        text.into()
    };
}

impl Encoder {
    /// Appends a line without its end; names in it have at most `limit` characters.
    pub(super) fn write_line(
        &self,
        out: &mut Vec<u8>,
        parts: &Parts<'_>,
        keep: Keep,
        limit: usize,
    ) {
        out.push(b'{');
        let top = parts.top();
        if keep != Keep::Core
            && let Some(category) = top[IDS.len()]
        {
            out.extend_from_slice(b"\"category\":");
            write_as_text(out, category);
            out.push(b',');
        }
        out.extend_from_slice(b"\"ts\":");
        json::write_time(out, jiff::Timestamp::now().as_microsecond());
        out.extend_from_slice(b",\"level\":\"");
        out.extend_from_slice(level(*parts.metadata.level()));
        out.extend_from_slice(b"\",\"logger\":\"");
        write_cut(out, parts.metadata.target().as_bytes(), limit);
        out.push(b'"');
        write_event(out, parts);
        if keep == Keep::Core {
            out.extend_from_slice(b",\"pid\":");
            json::write_int(out, pid());
            return self.write_note(out);
        }
        out.extend_from_slice(&self.identity);
        out.extend_from_slice(b",\"pid\":");
        json::write_int(out, pid());
        // A thread that is about to end may have none any more.
        let _ = THREAD.try_with(|thread| out.extend_from_slice(thread));
        for ((_, key), id) in IDS.iter().zip(top) {
            if let Some(id) = id {
                out.extend_from_slice(key);
                write_as_text(out, id);
            }
        }
        if keep == Keep::NoFields {
            self.write_note(out);
        } else {
            self.write_fields(out, parts, keep);
            if !parts.values.exception.is_empty() {
                out.extend_from_slice(b",\"exception\":");
                out.extend_from_slice(&parts.values.exception);
            }
        }
        if self.src
            && let Some(file) = parts.metadata.file()
        {
            out.extend_from_slice(b",\"src\":{\"file\":");
            json::write_str(out, file);
            if let Some(line) = parts.metadata.line() {
                out.extend_from_slice(b",\"line\":");
                json::write_int(out, line.into());
            }
            out.push(b'}');
        }
    }

    fn write_note(&self, out: &mut Vec<u8>) {
        let note = format!(
            ",\"fields\":{{\"truncated\":\"fields left out: the record is larger than {} bytes (LOG_MAX_RECORD)\"}}",
            self.max_record
        );
        out.extend_from_slice(note.as_bytes());
    }

    /// `,"fields":{…}`: static ones, then those of the spans, then the event's own, then the spans; nothing if there are none.
    fn write_fields(&self, out: &mut Vec<u8>, parts: &Parts<'_>, keep: Keep) {
        let start = out.len();
        out.extend_from_slice(b",\"fields\":{");
        let open = out.len();
        let own = |name: &str| parts.values.iter().any(|member| member.name == name);
        let around = if self.context { parts.spans } else { &[] };
        let bound = |name: &str, spans: &[&Kept]| {
            let mut all = spans.iter().flat_map(|kept| kept.iter());
            all.any(|member| member.name == name)
        };
        for (name, whole) in &self.fixed {
            if !own(name) && !bound(name, around) {
                write_member(out, open, whole);
            }
        }
        for (at, kept) in around.iter().enumerate().rev() {
            for member in kept.iter().filter(|member| top(member.name).is_none()) {
                if !own(member.name) && !bound(member.name, &around[..at]) {
                    write_member(out, open, member.whole);
                }
            }
        }
        for member in parts.values.iter() {
            if top(member.name).is_none() && !matches!(member.name, "message" | "event") {
                write_member(out, open, member.whole);
            }
        }
        if keep == Keep::All
            && let Some(current) = parts.spans.first()
        {
            // A field of the user's keeps its name.
            let taken = |name| own(name) || bound(name, around);
            if self.current_span {
                let key: &[u8] = if taken("span") {
                    b"\"span#2\":"
                } else {
                    b"\"span\":"
                };
                write_member(out, open, key);
                out.extend_from_slice(&current.object);
            }
            if self.span_list {
                let key: &[u8] = if taken("spans") {
                    b"\"spans#2\":["
                } else {
                    b"\"spans\":["
                };
                write_member(out, open, key);
                let list = out.len();
                for kept in parts.spans.iter().rev() {
                    write_member(out, list, &kept.object);
                }
                out.push(b']');
            }
        }
        if out.len() == open {
            out.truncate(start);
        } else {
            out.push(b'}');
        }
    }
}

/// Appends text after a comma, but where something opened.
fn write_member(out: &mut Vec<u8>, open: usize, whole: &[u8]) {
    if out.len() > open {
        out.push(b',');
    }
    out.extend_from_slice(whole);
}

/// `,"event":…` and, where it differs, `,"message":…`: a field of that name or the name given to the event, else the message.
fn write_event(out: &mut Vec<u8>, parts: &Parts<'_>) {
    let name = parts.metadata.name();
    // `log`'s records and events that are given no name are named by the macros.
    let named = !name.starts_with("event ") && !name.starts_with("log event");
    let message = parts.own("message");
    out.extend_from_slice(b",\"event\":");
    let start = out.len();
    match (parts.own("event"), message) {
        (Some(event), _) => write_as_text(out, event),
        (None, Some(message)) if !named => return write_as_text(out, message),
        _ => json::write_str(out, name),
    }
    if let Some(message) = message.filter(|message| **message != out[start..]) {
        out.extend_from_slice(b",\"message\":");
        write_as_text(out, message);
    }
}
