//! What must not reach a disk: names whose values are secret ([`Redactor::key`]) and secrets in text ([`Redactor::text`]).
//!
//! A text is walked once for anchors (`aho-corasick`): words that names of secrets hold, beginnings of tokens, `://`. Only at
//! an anchor is anything looked at closely, and no failing look makes another one read the same run again, so that the time is
//! proportional to the text whatever stands in it.

mod counts;
mod custom;
mod fold;
mod functions;
mod invisible;
mod keys;
mod line;
mod pairs;
mod pii;
mod prefilter;
mod quoted;
mod rules;
mod scan;
mod schemes;
mod shapes;
mod tokens;
mod urls;
mod values;
mod walk;

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use counts::counts;
pub use functions::{Failed, Function};
pub use rules::RuleId;

use counts::Counter;
use custom::Pattern;
use invisible::Visible;
use keys::KeyRules;
use prefilter::Prefilter;
use scan::{Found, Scan, Why};
use walk::Walk;

use crate::error::{Error, Result};

/// What a secret becomes.
pub const MASK: &str = "***";

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
    walk: Walk,
    patterns: Vec<Pattern>,
    pii: Pii,
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
        let mut patterns = Vec::new();
        for (name, pattern) in &settings.patterns {
            let id = Self::add(&mut rules, "patterns", name)?;
            patterns.push(Pattern::new(name, pattern, id)?);
        }
        for function in &settings.functions {
            Self::add(&mut rules, "functions", function.name())?;
        }
        for name in &settings.without {
            let rule = rules.iter_mut().find(|rule| rule.name == *name);
            let rule = rule.ok_or_else(|| {
                let names: Vec<_> = rules::BUILT_IN.iter().map(|(name, _)| *name).collect();
                let why = format!(
                    "there is no rule {name:?}; the rules are {}",
                    names.join(", ")
                );
                Error::invalid("redact", "without", why)
            })?;
            rule.on = false;
        }
        let keys = KeyRules::new(&settings.keys, &settings.allow_keys);
        let walk = Walk::new(keys.anchors());
        Ok(Self {
            prefilter: walk.prefilter(),
            walk,
            rules,
            keys,
            patterns,
            pii: settings.pii,
            hint: settings.hint,
            functions: settings.functions,
        })
    }

    fn add(rules: &mut Vec<Rule>, setting: &'static str, name: &str) -> Result<RuleId> {
        if rules.iter().any(|rule| rule.name == name) {
            let why = format!("there is a rule {name:?} already; choose another name");
            return Err(Error::invalid("redact", setting, why));
        }
        let id = u16::try_from(rules.len())
            .map_err(|_| Error::invalid("redact", setting, "too many rules"))?;
        rules.push(Rule::new(name, true));
        Ok(RuleId(id))
    }

    /// Which rule says that the value under `name` (UTF-8, as it was given) is secret. Takes tens of nanoseconds.
    pub fn key(&self, name: &[u8]) -> Option<RuleId> {
        self.keys.rule(name).filter(|&rule| self.is_on(rule))
    }

    /// `text` with everything secret in it replaced, and counted; `None` where there is nothing. Takes time proportional to
    /// the text's length. Where a rule fails, `***(redaction failed: NAME)` stands for the whole text.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut done = self.text_by_rules(text);
        let mut called = false;
        for function in &self.functions {
            let name = function.name();
            if !self.is_named_on(name) {
                continue;
            }
            match Self::call(function.as_ref(), done.as_deref().unwrap_or(text)) {
                Ok(None) => {}
                Ok(Some(changed)) => {
                    Counter::named(name).add();
                    done = Some(changed);
                    called = true;
                }
                Err(Failed) => return Some(Self::failed(name)),
            }
        }
        // What a function puts in is looked at like everything else.
        let Some(changed) = done.as_deref().filter(|_| called) else {
            return done;
        };
        self.text_by_rules(changed).or(done)
    }

    /// The same, without the user's functions.
    pub fn text_by_rules(&self, text: &str) -> Option<String> {
        // No state of ours outlives a panic: only the text is lost.
        catch_unwind(AssertUnwindSafe(|| self.by_rules(text)))
            .unwrap_or_else(|_| Some(Self::failed("built-in")))
    }

    fn call(function: &dyn Function, text: &str) -> std::result::Result<Option<String>, Failed> {
        catch_unwind(AssertUnwindSafe(|| function.apply(text))).unwrap_or(Err(Failed))
    }

    fn by_rules(&self, text: &str) -> Option<String> {
        let found = self.found(text);
        let first = found.first()?;
        let mut out = String::with_capacity(text.len());
        out.push_str(&text[..first.range.start]);
        for (i, one) in found.iter().enumerate() {
            self.count(one.rule);
            out.push_str(&self.replacement(&text[one.range.clone()]));
            let next = found.get(i + 1).map_or(text.len(), |next| next.range.start);
            out.push_str(&text[one.range.end..next]);
        }
        Some(out)
    }

    fn failed(name: &str) -> String {
        Counter::named(&format!("{name} (failed)")).add();
        format!("{MASK}(redaction failed: {name})")
    }

    /// What [`text`](Self::text) replaces, in order, without overlaps, and then what functions change. Counts nothing.
    pub fn find(&self, text: &str) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .found(text)
            .into_iter()
            .map(|found| self.finding(text, found))
            .collect();
        for function in &self.functions {
            let name = function.name();
            if !self.is_named_on(name) {
                continue;
            }
            let changed = match Self::call(function.as_ref(), text) {
                Ok(None) => continue,
                Ok(Some(changed)) => changed,
                Err(Failed) => String::new(),
            };
            findings.push(Finding {
                rule: name.to_owned(),
                reason: "what a function of redact={\"functions\": …} changes".into(),
                range: difference(text, &changed),
            });
        }
        findings
    }

    fn finding(&self, text: &str, found: Found) -> Finding {
        let reason = rules::BUILT_IN.get(usize::from(found.rule.0));
        let reason = reason.map_or("what a pattern of redact={\"patterns\": …} fits", |r| r.1);
        let reason = match found.why {
            Why::Rule => reason.into(),
            Why::Name(name) => format!("{reason}, by the name {:?}", &text[name]).into(),
        };
        Finding {
            rule: self.name(found.rule).to_owned(),
            reason,
            range: found.range,
        }
    }

    /// What the rules find, in order; where findings overlap, one that is as long as they are together.
    fn found(&self, text: &str) -> Vec<Found> {
        let Some(visible) = Visible::of(text) else {
            return self.found_in(text);
        };
        let mut found = self.found_in(&visible.text);
        for one in &mut found {
            one.range = visible.original(&one.range);
            if let Why::Name(name) = &mut one.why {
                *name = visible.original(name);
            }
        }
        found
    }

    fn found_in(&self, text: &str) -> Vec<Found> {
        let mut scan = Scan::new(text);
        self.walk.over(&mut scan, self);
        if self.pii != Pii::default() {
            pii::find(&mut scan, self.pii);
        }
        for pattern in &self.patterns {
            pattern.find(&mut scan);
        }
        let mut found = scan.found;
        if found.is_empty() {
            return found;
        }
        found.retain(|one| self.is_on(one.rule));
        found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
        found.dedup_by(|next, kept| {
            let overlap = next.range.start < kept.range.end;
            if overlap {
                kept.range.end = kept.range.end.max(next.range.end);
            }
            overlap
        });
        found
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

    /// Whether every text must be looked at, because there are rules that need no anchor: personal data,
    /// the user's patterns and functions.
    pub fn always(&self) -> bool {
        !self.functions.is_empty() || !self.patterns.is_empty() || self.pii != Pii::default()
    }

    /// What rules begin at, in lower case.
    #[cfg(test)]
    fn anchors(&self) -> &[String] {
        self.walk.anchors()
    }

    /// Counts that `rule` struck. [`text`](Self::text) counts by itself.
    pub fn count(&self, rule: RuleId) {
        self.rules[usize::from(rule.0)].counter.add();
    }

    /// What `rule` is called in settings and counters.
    pub fn name(&self, rule: RuleId) -> &str {
        &self.rules[usize::from(rule.0)].name
    }

    fn is_named_on(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.on && rule.name == name)
    }

    /// Whether the user took `name` away from the rules.
    fn allows(&self, name: &[u8]) -> bool {
        self.keys.allows(name)
    }

    /// What stands under a key whose value is secret; `text` is the value, if it is one. The scheme of an authorization stays.
    pub fn under_key(&self, text: Option<&str>) -> Cow<'static, str> {
        let Some(text) = text else {
            return MASK.into();
        };
        match text.trim_start().split_once(' ') {
            Some((scheme, rest)) if schemes::is_scheme(scheme.as_bytes()) => {
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

/// Where `changed` differs from `text`.
fn difference(text: &str, changed: &str) -> Range<usize> {
    let same = |(a, b): &((usize, char), (usize, char))| a.1 == b.1;
    let start = text
        .char_indices()
        .zip(changed.char_indices())
        .take_while(same)
        .last()
        .map_or(0, |((at, c), _)| at + c.len_utf8());
    let tail: usize = text[start..]
        .chars()
        .rev()
        .zip(changed[start..].chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum();
    start..text.len() - tail
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
