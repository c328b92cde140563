//! TOML: the tables of the `toml` crate, with lines for its byte offsets.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, MAX_DEPTH, Node, Unreadable, Value};

pub(super) fn parse(text: &str) -> Result<Node, Unreadable> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        Unreadable::new(line, error.message())
    })?;
    Ok(Node {
        line: 1,
        value: lines.table(document.get_ref(), 0)?,
    })
}

/// Where lines end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// The line of a byte, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Unreadable> {
        let line = self.at(value.span().start);
        if depth > MAX_DEPTH {
            return Err(Unreadable::new(
                line,
                format!("nested more than {MAX_DEPTH} deep"),
            ));
        }
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let value = i64::from_str_radix(number.as_str(), number.radix());
                let value = value.map_err(|_| {
                    Unreadable::new(line, format!("{}: larger than 64 bits", number.as_str()))
                })?;
                // Another radix' digits would be read as decimal ones.
                let written = if number.radix() == 10 {
                    number.as_str().to_owned()
                } else {
                    value.to_string()
                };
                Value::Int(value, written)
            }
            DeValue::Float(number) => {
                let value = number.as_str().parse().map_err(|_| {
                    Unreadable::new(line, format!("{}: not a number", number.as_str()))
                })?;
                Value::Float(value, number.as_str().to_owned())
            }
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(items) => {
                let nodes = items.iter().map(|item| self.node(item, depth + 1));
                Value::List(nodes.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table, depth + 1)?,
        };
        Ok(Node { line, value })
    }

    fn table(&self, table: &DeTable<'_>, depth: usize) -> Result<Value, Unreadable> {
        let entries = table.iter().map(|(key, value)| {
            Ok(Entry {
                key: key.get_ref().to_string(),
                line: self.at(key.span().start),
                node: self.node(value, depth)?,
            })
        });
        Ok(Value::Table(entries.collect::<Result<_, _>>()?))
    }
}
