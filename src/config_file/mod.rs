//! Configuration files, YAML and TOML, as plain values that know their line: the messages about a setting name it.
//!
//! What the settings mean is Python's business (`python/logspool/configuration`). Here stands what only a reader knows: where a
//! key is, that it is there twice, how a number was written.

mod toml;
mod yaml;

use std::fmt;

/// Values in a file, at most: aliases within aliases multiply.
const MAX_VALUES: usize = 100_000;
/// Values within values.
const MAX_DEPTH: usize = 64;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Counted from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a file can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number, and how it was written.
    Int(i64, String),
    /// A number, and how it was written.
    Float(f64, String),
    /// Text.
    Text(String),
    /// One after the other.
    List(Vec<Node>),
    /// By name, in the order of the file (TOML: of the names).
    Table(Vec<Entry>),
}

/// One name of a table and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// Where the name stands, counted from 1.
    pub line: usize,
    /// The value.
    pub node: Node,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Counted from 1.
    pub line: usize,
    /// The reason, for the user.
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl Unreadable {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }

    fn twice(key: &str, line: usize, first: usize) -> Self {
        Self::new(
            line,
            format!("{key}: stands here a second time; the first is in line {first}"),
        )
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2, one document. JSON is YAML, too.
    Yaml,
    /// TOML 1.
    Toml,
}

/// The values of a file's text.
///
/// # Errors
/// The text is not in this format, has a name twice, is nested too deeply or is too large once its aliases are filled in.
pub fn parse(text: &str, format: Format) -> Result<Node, Unreadable> {
    match format {
        Format::Yaml => yaml::parse(text),
        Format::Toml => toml::parse(text),
    }
}

#[cfg(test)]
mod tests;
