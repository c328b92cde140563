//! The user's own patterns.

use regex::Regex;

use super::rules::RuleId;
use super::scan::{Scan, Why};
use crate::error::{Error, Result};

/// What a compiled pattern may take, so that a setting cannot take the memory of the program.
const MOST_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Pattern {
    rule: RuleId,
    regex: Regex,
    /// The group that is the secret; 0 is the whole match.
    group: usize,
}

impl Pattern {
    /// # Errors
    /// No regular expression, one that is too large, or one that fits nothing at every place.
    pub(super) fn new(name: &str, pattern: &str, rule: RuleId) -> Result<Self> {
        let error = |why: String| Error::invalid("redact", format!("patterns: {name}"), why);
        let regex = regex::RegexBuilder::new(pattern)
            .size_limit(MOST_BYTES)
            .build()
            .map_err(|e| {
                // The last line says what is wrong; those before show where.
                let text = e.to_string();
                error(text.trim().to_owned())
            })?;
        if regex.is_match("") {
            return Err(error(format!(
                "{pattern:?} fits an empty text, and so every place of every text; require a character"
            )));
        }
        let group = regex
            .capture_names()
            .position(|n| n == Some("secret"))
            .unwrap_or(0);
        Ok(Self { rule, regex, group })
    }

    pub(super) fn find(&self, scan: &mut Scan<'_>) {
        let text = scan.text;
        if self.group == 0 {
            for found in self.regex.find_iter(text) {
                scan.report(found.range(), self.rule, Why::Rule);
            }
            return;
        }
        for found in self.regex.captures_iter(text) {
            if let Some(secret) = found.get(self.group) {
                scan.report(secret.range(), self.rule, Why::Rule);
            }
        }
    }
}
