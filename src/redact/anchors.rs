//! What the prefilter looks for: the beginnings of everything that the rules of text find.

use super::prefilter::{Behind, Prefilter, Word};

/// Parts of names whose values are secret, and of schemes. A part has no separator in it: `api_key` is also written `api-key`.
const NAMES: &[&str] = &[
    "auth",
    "cookie",
    "token",
    "secret",
    "passw",
    "passph",
    "pwd",
    "credential",
    "bearer",
    "basic",
    "digest",
    "key",
    "session",
    "apikey",
    "sig",
];

/// What rules begin at whatever stands behind it. Escapes of what may be hidden in a secret are among them.
const ANYWHERE: &[&str] = &[
    "-----begin",
    "hooks.slack.com",
    "\\u0",
    "\\u2",
    "\\uf",
    "%3a%2f%2f",
    "1//0",
];

/// How tokens begin.
const TOKENS: &[&str] = &[
    "sk-",
    "sk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "glft-",
    "glimt-",
    "glagent-",
    "gloas-",
    "glsoat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxe-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "xoxo-",
    "AKIA",
    "ASIA",
    "ABIA",
    "ACCA",
    "AIza",
    "ya29.",
    "GOCSPX-",
    "whsec_",
    "hf_",
    "api_org_",
    "eyJ",
    "npm_",
    "pypi-",
    "gsk_",
    "xai-",
    "pplx-",
    "r8_",
    "tvly-",
    "SG.",
    "dop_v1_",
    "hvs.",
    "lin_api_",
    "glsa_",
    "sess-",
    "figd_",
    "pcsk_",
    "lsv2_",
    "shpat_",
    "ATATT3",
    "sntrys_",
    "PMAK-",
    "NRAK-",
    "dapi",
    "fw_",
    "ntn_",
    "secret_",
];

/// The pass that finds all of these, and the user's own names.
pub(super) fn prefilter(keys: &[String]) -> Prefilter {
    let names = NAMES
        .iter()
        .copied()
        .chain(keys.iter().filter_map(|key| longest_part(key)));
    let mut words: Vec<Word> = names
        .filter_map(|name| Word::new(name, Behind::Value))
        .collect();
    words.extend(
        ANYWHERE
            .iter()
            .filter_map(|text| Word::new(text, Behind::Any)),
    );
    words.extend(Word::new("://", Behind::Userinfo));
    Prefilter::new(words, TOKENS)
}

/// The longest part of a name without separators, in which case is all that may differ.
fn longest_part(name: &str) -> Option<&str> {
    let parts = name.split(|character: char| !character.is_ascii_alphanumeric());
    parts
        .max_by_key(|part| part.len())
        .filter(|part| !part.is_empty())
}
