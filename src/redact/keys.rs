//! Key rules: whether what stands under a name is secret. A name is judged by its end: `db_password`, `githubToken`,
//! `X-Goog-Api-Key`.

use super::fold::Folded;
use super::names::{
    AFTER, AFTER_OTHERS, End, NO_TOKEN, PLURAL, PLURAL_TOKENS, Standing, WHOLE, ends,
};
use super::rules::{CREDENTIAL, KEYS, RuleId, TOKEN};
/// A name given by the user, folded; with `*` at either end.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    any_before: bool,
    any_after: bool,
    /// Its longest word, which every spelling holds.
    anchor: Option<String>,
}

impl Named {
    fn new(pattern: &str) -> Self {
        let pattern = pattern.trim();
        let folded = Folded::of(pattern.as_bytes());
        Self {
            name: folded.compact().to_vec(),
            anchor: folded.longest_word().map(str::to_owned),
            any_before: pattern.starts_with('*'),
            any_after: pattern.ends_with('*'),
        }
    }

    fn fits(&self, name: &[u8]) -> bool {
        match (self.any_before, self.any_after) {
            (false, false) => name == self.name,
            (true, false) => name.ends_with(&self.name),
            (false, true) => name.starts_with(&self.name),
            (true, true) => memchr::memmem::find(name, &self.name).is_some(),
        }
    }
}

/// Names whose values are secret: the built-in ones and the user's.
#[derive(Debug, Default)]
pub(super) struct KeyRules {
    added: Vec<Named>,
    allowed: Vec<Named>,
}

impl KeyRules {
    pub(super) fn new(added: &[String], allowed: &[String]) -> Self {
        let named = |names: &[String]| names.iter().map(|n| Named::new(n)).collect();
        Self {
            added: named(added),
            allowed: named(allowed),
        }
    }

    /// A word of each name that was added, by which it is found in a text.
    pub(super) fn anchors(&self) -> impl Iterator<Item = String> {
        self.added.iter().filter_map(|named| named.anchor.clone())
    }

    /// Whether the user took `name` away.
    pub(super) fn allows(&self, name: &[u8]) -> bool {
        !self.allowed.is_empty() && {
            let folded = Folded::of(name);
            self.allowed.iter().any(|n| n.fits(folded.compact()))
        }
    }

    /// Which rule holds for `name`.
    pub(super) fn rule(&self, name: &[u8]) -> Option<RuleId> {
        let folded = Folded::of(name);
        let compact = folded.compact();
        if compact.is_empty() || self.allowed.iter().any(|n| n.fits(compact)) {
            return None;
        }
        if self.added.iter().any(|n| n.fits(compact)) {
            return Some(KEYS);
        }
        // A shell's working directory; `Access-Control-Allow-Credentials: true`.
        if name == b"PWD" || name == b"OLDPWD" || compact.ends_with(b"allowcredentials") {
            return None;
        }
        judge(&folded)
    }
}

/// Whether `name` names a secret.
pub(super) fn is_name(name: &[u8]) -> bool {
    judge(&Folded::of(name)).is_some()
}

/// The same, and it is more than one word: a variable rather than a bad password.
pub(super) fn is_compound_name(name: &[u8]) -> bool {
    let folded = Folded::of(name);
    folded.last_word(folded.compact().len()) > 0 && judge(&folded).is_some()
}

fn judge(folded: &Folded) -> Option<RuleId> {
    let mut end = folded.compact().len();
    let mut others_only = false;
    // `password2_value`: at most a number, a word, and a number.
    for _ in 0..3 {
        let name = &folded.compact()[..end];
        if let Some(rule) = ending(folded, end) {
            return (rule != TOKEN || !others_only).then_some(rule);
        }
        let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let word = folded.last_word(end);
        if digits > 0 && digits < end {
            end -= digits;
        } else if word > 0 && is_one_of(AFTER, &name[word..]) {
            end = word;
        } else if word > 0 && is_one_of(AFTER_OTHERS, &name[word..]) {
            others_only = true;
            end = word;
        } else {
            return None;
        }
    }
    None
}

fn is_one_of(words: &[&str], word: &[u8]) -> bool {
    words.iter().any(|w| w.as_bytes() == word)
}

fn ending(folded: &Folded, end: usize) -> Option<RuleId> {
    let name = &folded.compact()[..end];
    let last = *name.last()?;
    let one = match_end(folded, name, ends(last));
    if one.is_some() || last != b's' {
        return one.or_else(|| whole(name));
    }
    let name = &name[..end - 1];
    let rule = match_end(folded, name, ends(*name.last()?))?;
    if rule == TOKEN && name.ends_with(b"token") {
        let before = &name[..name.len() - "token".len()];
        let ours = PLURAL_TOKENS.iter().any(|w| before.ends_with(w.as_bytes()));
        return ours.then_some(TOKEN);
    }
    PLURAL.contains(&rule).then_some(rule)
}

fn whole(name: &[u8]) -> Option<RuleId> {
    let found = WHOLE.iter().find(|(whole, _)| whole.as_bytes() == name)?;
    Some(found.1)
}

fn match_end(folded: &Folded, name: &[u8], ends: &[End]) -> Option<RuleId> {
    let fits = |end: &&End| {
        let at = name.len().wrapping_sub(end.0.len());
        name.ends_with(end.0.as_bytes())
            && match end.2 {
                Standing::Any => true,
                Standing::Word => folded.begins(at),
                Standing::Whole => at == 0,
            }
    };
    let found = ends.iter().find(fits)?;
    // `access-control-allow-credentials`, `with_credentials`
    if found.1 == CREDENTIAL && found.0 == "credential" {
        let word = &name[..name.len() - found.0.len()];
        if word.ends_with(b"allow") || word.ends_with(b"with") {
            return None;
        }
    }
    if found.0 == "token" && is_a_models(folded, name.len() - found.0.len()) {
        return None;
    }
    Some(found.1)
}

/// Whether what stands before `token`, which begins at `at`, says that it is no secret.
fn is_a_models(folded: &Folded, at: usize) -> bool {
    let before = &folded.compact()[..at];
    if before.is_empty() {
        return false;
    }
    if folded.begins(at) {
        let word = &before[folded.last_word(at)..];
        return is_one_of(NO_TOKEN, word);
    }
    // Written as one word.
    NO_TOKEN
        .iter()
        .any(|w| w.len() >= 3 && before.ends_with(w.as_bytes()))
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
