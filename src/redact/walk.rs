//! The walk over a text: what it stops at, and who looks at it there.

use aho_corasick::{AhoCorasick, MatchKind};

use super::scan::Scan;
use super::schemes::{self, SCHEMES};
use super::shapes::SHAPES;
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
];

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

    /// In lower case: every text in which there is something to replace holds one of them, in any case.
    pub(super) fn anchors(&self) -> &[String] {
        &self.words
    }

    /// Looks at each anchor of the text.
    pub(super) fn over(&self, scan: &mut Scan<'_>, rules: &Redactor) {
        for found in self.automaton.find_overlapping_iter(scan.text) {
            let (start, end) = (found.start(), found.end());
            let look = self.looks[found.pattern().as_usize()];
            // What was found already is not looked at again; the lines of a key may reach beyond it.
            if start < scan.covered && look != Look::Pem {
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
            }
        }
    }
}
