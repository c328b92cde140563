//! The walk over a text: what it stops at, and who looks at it there.

use aho_corasick::{AhoCorasick, MatchKind};

use super::prefilter::{self, Behind, Prefilter, Word};
use super::scan::{Class, Scan};
use super::schemes::{self, SCHEMES};
use super::shapes::{SHAPES, Shape};
use super::{Redactor, pairs, tokens, urls};

/// What to look at where an anchor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Pair,
    Scheme(usize),
    Shape(usize),
    Jwt,
    Pem,
    Url,
    EncodedUrl,
    Oracle,
    Curl,
    Rest,
}

/// Words that names of secrets hold, so that the names can be found in a text.
const NAMES: &[&str] = &[
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    "auth",
    "cookie",
    "cred",
    "bearer",
    "csrf",
    "xsrf",
    "sessid",
    "sessionid",
    "connect.sid",
    "verifier",
    "assertion",
    "phrase",
    "recovery",
    "githubpat",
    "github_pat=",
    "gitlabpat",
    "azurepat",
    "sig=",
    "signature",
    "sig%3d",
    "?code",
    "&code",
    "hmac=",
];

const OTHERS: &[(&str, Look)] = &[
    ("eyj", Look::Jwt),
    ("-----begin", Look::Pem),
    ("://", Look::Url),
    ("%3a%2f%2f", Look::EncodedUrl),
    ("jdbc:oracle:", Look::Oracle),
    (" -u ", Look::Curl),
    ("--user ", Look::Curl),
    ("(truncated, ", Look::Rest),
];

/// How the escapes begin that JSON has for characters that are not seen.
const ESCAPES: &[&str] = &["\\u0", "\\u1", "\\u2", "\\ud", "\\uf"];

/// Whether a token of this shape is one run of the characters that the prefilter takes for a token's.
fn is_run(shape: &Shape) -> bool {
    matches!(
        shape.class,
        Class::Alnum | Class::Upper | Class::Word | Class::Dotted
    ) && shape.begins.bytes().all(prefilter::is_token)
}

/// The automaton, and what each of its words stands for.
#[derive(Debug)]
pub(super) struct Walk {
    automaton: AhoCorasick,
    words: Vec<String>,
    looks: Vec<Look>,
}

impl Walk {
    /// The built-in ones, and words of names that were added.
    pub(super) fn new(added: impl Iterator<Item = String>) -> Self {
        let names = NAMES.iter().map(|&name| (name.to_owned(), Look::Pair));
        let added = added.map(|name| (name, Look::Pair));
        let schemes = SCHEMES
            .iter()
            .enumerate()
            .map(|(i, scheme)| (scheme.name.to_owned(), Look::Scheme(i)));
        let shapes = SHAPES
            .iter()
            .enumerate()
            .map(|(i, shape)| (shape.begins.to_ascii_lowercase(), Look::Shape(i)));
        let others = OTHERS.iter().map(|&(word, look)| (word.to_owned(), look));
        let (words, looks): (Vec<_>, Vec<_>) = names
            .chain(added)
            .chain(schemes)
            .chain(shapes)
            .chain(others)
            .unzip();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&words)
            // A few hundred short words are far from any limit.
            .unwrap_or_else(|e| unreachable!("{e}"));
        Self {
            automaton,
            words,
            looks,
        }
    }

    #[cfg(test)]
    pub(super) fn anchors(&self) -> &[String] {
        &self.words
    }

    /// The pass over lines that finds all of them, as they stand in JSON, and escapes of what may hide one.
    pub(super) fn prefilter(&self) -> Prefilter {
        let (mut words, mut tokens) = (Vec::new(), Vec::new());
        for (word, look) in self.words.iter().zip(&self.looks) {
            let behind = match look {
                Look::Pair | Look::Scheme(_) => Behind::Value,
                Look::Url => Behind::Userinfo,
                Look::Jwt => {
                    tokens.push("eyJ");
                    continue;
                }
                // Cut texts are looked at in any case.
                Look::Rest => continue,
                Look::Shape(i) if is_run(&SHAPES[*i]) => {
                    tokens.push(SHAPES[*i].begins);
                    continue;
                }
                Look::Pem | Look::EncodedUrl | Look::Oracle | Look::Curl | Look::Shape(_) => {
                    Behind::Any
                }
            };
            words.push((word.as_str(), behind));
        }
        words.extend(ESCAPES.iter().map(|&escape| (escape, Behind::Any)));
        // What holds another word is found by that.
        words.sort_by_key(|(word, _)| word.len());
        let mut least: Vec<Word> = Vec::new();
        for (word, behind) in words {
            if !least.iter().any(|known| known.covers(word, behind)) {
                least.extend(Word::new(word, behind));
            }
        }
        Prefilter::new(least, &tokens)
    }

    /// Looks at each anchor of the text.
    pub(super) fn over(&self, scan: &mut Scan<'_>, rules: &Redactor) {
        for found in self.automaton.find_overlapping_iter(scan.text) {
            let (start, end) = (found.start(), found.end());
            let look = self.looks[found.pattern().as_usize()];
            // What was found already is not looked at again; the lines of a key may reach beyond it.
            if start < scan.covered && !matches!(look, Look::Pem | Look::Rest) {
                continue;
            }
            match look {
                Look::Pair => {
                    let offset = self.words[found.pattern().as_usize()]
                        .bytes()
                        .take_while(|b| !b.is_ascii_alphanumeric())
                        .count();
                    pairs::pair(scan, rules, start + offset);
                }
                Look::Scheme(i) => schemes::anywhere(scan, i, start),
                Look::Shape(i) => tokens::token(scan, &SHAPES[i], start),
                Look::Jwt => tokens::jwt(scan, start),
                Look::Pem => tokens::pem(scan, start),
                Look::Url => urls::userinfo(scan, end),
                Look::EncodedUrl => urls::encoded_userinfo(scan, end),
                Look::Oracle => urls::oracle(scan, end),
                Look::Curl => urls::curl(scan, end),
                Look::Rest => tokens::rest(scan, end),
            }
        }
    }
}
