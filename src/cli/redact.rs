//! `logspool redact --test FILE`: what redaction would take out of a text, line by line, and why.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use crate::cli::out::Out;
use crate::cli::{Ended, counted, grouped, json_argument};
use crate::redact::{Finding, Pii, RedactSettings, Redactor};

pub const EXAMPLES: &str = "Examples:
  logspool redact --test old.log               what a log with redact=True would have kept out
  journalctl -u app | logspool redact --test -
  logspool redact --test old.log --pii --json | jq .rules
  logspool redact --test old.log --key shoe_size --pattern 'badge=B-\\d{4}' --without jwt";

/// Lines that a private key may have: they are looked at together.
const MOST_KEY_LINES: usize = 300;

pub fn command() -> Command {
    let names = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .action(ArgAction::Append)
            .help(help)
    };
    Command::new("redact")
        .about("Shows what redaction would take out of a text, by line and rule. Changes nothing.")
        .long_about(
            "Shows what redaction would take out of a text, by line and rule, as redact=True does with what is logged. Of \
             secrets of 16 characters and more the last four are shown, of others nothing. Changes nothing.",
        )
        .arg(
            Arg::new("test")
                .long("test")
                .value_name("FILE")
                .required(true)
                .help("The text: a log, any file, or - for standard input"),
        )
        .arg(
            Arg::new("pii")
                .long("pii")
                .action(ArgAction::SetTrue)
                .help("E-mail addresses, account, card and phone numbers too (redact=\"pii\")"),
        )
        .arg(names("key", "NAME", "A name whose values are secret, * at either end (redact={\"keys\": …})"))
        .arg(names("allow-key", "NAME", "A name whose values are not (redact={\"allow_keys\": …})"))
        .arg(names("pattern", "RULE=REGEX", "A rule of your own (redact={\"patterns\": …})"))
        .arg(names("without", "RULE", "A rule that is off (redact={\"without\": …})"))
        .arg(json_argument())
}

pub fn run(matches: &ArgMatches, out: &mut Out) -> Result<Ended, String> {
    let redactor = redactor(matches)?;
    let file = matches
        .get_one::<String>("test")
        .map_or("-", String::as_str);
    let text = read(file)?;
    let as_json = matches.get_flag("json");
    let mut findings = Vec::new();
    let mut rules: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = 0;
    for unit in Units::of(&text) {
        for found in redactor.find(unit.text) {
            *rules.entry(found.rule.clone()).or_default() += 1;
            lines += 1;
            let shown = Shown::new(&redactor, &unit, &found);
            if as_json {
                findings.push(shown.json());
            } else {
                out.line(&shown.line());
            }
        }
    }
    if as_json {
        out.json(&json!({"file": file, "findings": findings, "rules": rules}));
    } else {
        total(file, &text, lines, &rules, out);
    }
    Ok(Ended::Fine)
}

fn total(file: &str, text: &str, found: u64, rules: &BTreeMap<String, u64>, out: &mut Out) {
    let lines = counted(text.lines().count() as u64, "line");
    if found == 0 {
        out.line(&format!("{file}: nothing would go from {lines}"));
        return;
    }
    let rules: Vec<String> = rules
        .iter()
        .map(|(rule, count)| format!("{rule} {}", grouped(*count)))
        .collect();
    out.line(&format!(
        "{file}: {} would go from {lines}: {}",
        counted(found, "secret"),
        rules.join(", ")
    ));
}

fn redactor(matches: &ArgMatches) -> Result<Redactor, String> {
    let given = |name: &str| -> Vec<String> {
        let values = matches.get_many::<String>(name);
        values
            .map(|values| values.cloned().collect())
            .unwrap_or_default()
    };
    let pattern = |text: String| {
        let split = text
            .split_once('=')
            .filter(|(name, regex)| !name.is_empty() && !regex.is_empty());
        split
            .map(|(name, regex)| (name.to_owned(), regex.to_owned()))
            .ok_or_else(|| {
                format!("--pattern {text}: expected RULE=REGEX, such as 'badge=B-\\d{{4}}'")
            })
    };
    let pii = matches.get_flag("pii");
    let settings = RedactSettings {
        hint: true,
        pii: Pii {
            email: pii,
            iban: pii,
            card: pii,
            phone: pii,
        },
        keys: given("key"),
        allow_keys: given("allow-key"),
        patterns: given("pattern")
            .into_iter()
            .map(pattern)
            .collect::<Result<_, _>>()?,
        without: given("without"),
        functions: Vec::new(),
    };
    Redactor::new(settings).map_err(|e| e.to_string())
}

/// The text; what is not UTF-8 in it reads as U+FFFD.
fn read(file: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        fs::read(Path::new(file)).map(|read| bytes = read)
    };
    read.map_err(|e| format!("cannot read {file}: {e}; give a file, or - for standard input"))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    })
}

/// What is looked at as one text: a line, or the lines of a private key.
struct Unit<'t> {
    /// The first line's number, from 1.
    line: usize,
    text: &'t str,
}

struct Units<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Units<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            rest: text,
            line: 1,
        }
    }
}

impl<'t> Iterator for Units<'t> {
    type Item = Unit<'t>;

    fn next(&mut self) -> Option<Unit<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut lines = self.rest.split_inclusive('\n');
        let mut taken = lines.next()?.len();
        let mut count = 1;
        let first = &self.rest[..taken];
        if first.contains("-----BEGIN")
            && first.contains("PRIVATE KEY")
            && !first.contains("-----END")
        {
            let mut end = taken;
            let key = lines
                .take(MOST_KEY_LINES)
                .enumerate()
                .find_map(|(i, line)| {
                    end += line.len();
                    line.contains("-----END").then_some((i + 2, end))
                });
            (count, taken) = key.unwrap_or((count, taken));
        }
        let unit = Unit {
            line: self.line,
            text: self.rest[..taken].trim_end_matches(['\n', '\r']),
        };
        self.rest = &self.rest[taken..];
        self.line += count;
        Some(unit)
    }
}

/// A finding as it is told.
struct Shown<'f> {
    line: usize,
    /// Characters, from 1.
    column: usize,
    hint: String,
    found: &'f Finding,
}

impl<'f> Shown<'f> {
    fn new(redactor: &Redactor, unit: &Unit<'_>, found: &'f Finding) -> Self {
        let before = &unit.text[..found.range.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: unit.line + before.matches('\n').count(),
            column: before[line_start..].chars().count() + 1,
            hint: redactor
                .replacement(&unit.text[found.range.clone()])
                .into_owned(),
            found,
        }
    }

    fn line(&self) -> String {
        let Finding { rule, reason, .. } = self.found;
        format!(
            "{}:{}: {rule}: {reason}: {}",
            self.line, self.column, self.hint
        )
    }

    fn json(&self) -> Value {
        json!({
            "line": self.line,
            "column": self.column,
            "rule": self.found.rule,
            "reason": self.found.reason,
            "hint": self.hint,
        })
    }
}
