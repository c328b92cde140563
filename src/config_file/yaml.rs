//! YAML: the events of `saphyr-parser`, put together by the core schema of YAML 1.2.
//!
//! What the schema of YAML 1.1 reads otherwise stays text, which each setting reads as it would read a variable: `yes`, `10_485_760`, `0600`.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::{Entry, MAX_DEPTH, MAX_VALUES, Node, Unreadable, Value};

/// What other readers of YAML take for "all of that, too".
const MERGE: &str = "<<";

pub(super) fn parse(text: &str) -> Result<Node, Unreadable> {
    document(text).map_err(|error| exact(text, error))
}

/// The error in the line that it is about: the scanner names where what stands before it began, or where it gave up.
fn exact(text: &str, mut error: Unreadable) -> Unreadable {
    // Of what ends a line for the scanner, it counts these two; `\r\n` is one.
    let lines: Vec<&str> = text
        .split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
        .collect();
    let at = error.line.saturating_sub(1);
    if error.reason.contains("found a tab") {
        let begins_with_tab = |line: &&str| line.trim_start_matches(' ').starts_with('\t');
        let offset = lines
            .get(at..)
            .and_then(|rest| rest.iter().position(begins_with_tab));
        error.line += offset.unwrap_or(0);
    } else if error.reason.starts_with("simple key") {
        let says_something =
            |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let before = lines
            .get(..at)
            .and_then(|all| all.iter().rposition(says_something));
        let line = before.map_or(error.line, |found| found + 1);
        return Unreadable::new(line, "expected a name, a colon and a value");
    }
    error
}

fn document(text: &str) -> Result<Node, Unreadable> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        values: 0,
    };
    let mut document = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => {
                return Ok(document.unwrap_or(Node {
                    line: 1,
                    value: Value::Null,
                }));
            }
            Event::DocumentStart(_) if document.is_some() => {
                return Err(Unreadable::new(
                    span.start.line(),
                    "a second document; expected one",
                ));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => document = Some(reader.node(event, span, 0)?),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What is named, and how many values it has.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Unreadable> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Unreadable::new(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        let line = span.start.line();
        if depth > MAX_DEPTH {
            return Err(Unreadable::new(
                line,
                format!("nested more than {MAX_DEPTH} deep"),
            ));
        }
        let before = self.values;
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some();
                let value = if is_text {
                    Value::Text(text.into_owned())
                } else {
                    scalar(&text)
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Value::Table(self.table(depth)?), anchor),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(Unreadable::new(line, "an alias within what it names"));
                };
                let (value, size) = (node.value.clone(), *size);
                self.count(size, line)?;
                return Ok(Node { line, value });
            }
            _ => return Err(Unreadable::new(line, "expected a value")),
        };
        let node = Node { line, value };
        if anchor != 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), Unreadable> {
        self.values += more;
        if self.values > MAX_VALUES {
            return Err(Unreadable::new(
                line,
                format!("more than {MAX_VALUES} values"),
            ));
        }
        Ok(())
    }

    fn table(&mut self, depth: usize) -> Result<Vec<Entry>, Unreadable> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(text, ..), span) => (text.into_owned(), span.start.line()),
                (_, span) => {
                    let reason = "expected a name: text, without braces or an alias";
                    return Err(Unreadable::new(span.start.line(), reason));
                }
            };
            self.count(1, line)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if let Some(first) = places.insert(key.clone(), line) {
                return Err(Unreadable::twice(&key, line, first));
            }
            if key == MERGE {
                merged.push(node);
            } else {
                entries.push(Entry { key, line, node });
            }
        }
        // What is said here goes before what is merged in, and that before what is merged in later.
        while let Some(node) = merged.pop() {
            match node.value {
                Value::Table(more) => {
                    for entry in more {
                        if !places.contains_key(&entry.key) {
                            places.insert(entry.key.clone(), entry.line);
                            entries.push(entry);
                        }
                    }
                }
                Value::List(nodes) => merged.extend(nodes.into_iter().rev()),
                _ => {
                    let reason = format!("{MERGE}: expected a mapping or a list of them");
                    return Err(Unreadable::new(node.line, reason));
                }
            }
        }
        Ok(entries)
    }
}

/// A plain scalar by the core schema.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        let digits = digits
            .starts_with(|first: char| first.is_digit(radix))
            .then_some(digits)?;
        i64::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Value::Int(number, number.to_string());
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Octal for some readers and decimal for others: the setting decides.
    let octal = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if octal || !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Value::Text(text.to_owned());
    }
    if let Ok(number) = text.parse() {
        return Value::Int(number, text.to_owned());
    }
    match text.parse() {
        Ok(number) if digits != "." => Value::Float(number, text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}
