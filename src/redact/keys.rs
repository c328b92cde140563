//! Key rules: whether what stands under a name is secret. A name is judged by its end: `db_password`, `githubToken`,
//! `X-Goog-Api-Key`.

use super::fold::Folded;
use super::rules::{
    API_KEY, AUTHORIZATION, COOKIE, CREDENTIAL, KEYS, PASSWORD, PRIVATE_KEY, RuleId, SECRET, TOKEN,
};

/// A name's last letters and what they make of it. `Word`: only where a word begins there, because other words end so too.
struct End(&'static str, RuleId, Standing);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Anywhere: `dbpassword`.
    Any,
    /// As a word or words of its own.
    Word,
    /// As the whole name.
    Whole,
}
use Standing::{Any, Whole, Word};

/// By the last letter.
fn ends(last: u8) -> &'static [End] {
    match last {
        b'd' => &[
            End("password", PASSWORD, Any),
            End("passwd", PASSWORD, Any),
            End("pwd", PASSWORD, Any),
        ],
        b'n' => &[
            End("token", TOKEN, Any),
            End("authorization", AUTHORIZATION, Any),
            End("clientassertion", CREDENTIAL, Any),
        ],
        b't' => &[
            End("secret", SECRET, Any),
            End("passwort", PASSWORD, Any),
            End("githubpat", TOKEN, Any),
            End("gitlabpat", TOKEN, Any),
            End("azurepat", TOKEN, Any),
            End("adopat", TOKEN, Word),
        ],
        b'e' => &[
            End("cookie", COOKIE, Word),
            End("setcookie", COOKIE, Any),
            End("sessioncookie", COOKIE, Any),
            End("authcookie", COOKIE, Any),
            End("passphrase", PASSWORD, Any),
            End("passcode", PASSWORD, Any),
            End("seedphrase", SECRET, Any),
            End("recoveryphrase", SECRET, Any),
            End("recoverycode", SECRET, Any),
            End("authorizationcode", CREDENTIAL, Any),
            End("authcode", CREDENTIAL, Any),
        ],
        b'y' => KEY_ENDS,
        b'l' => &[End("credential", CREDENTIAL, Any)],
        b's' => &[
            End("creds", CREDENTIAL, Word),
            // `DB_PASS`, but not `forward_pass`.
            End("dbpass", PASSWORD, Word),
            End("databasepass", PASSWORD, Word),
            End("smtppass", PASSWORD, Word),
            End("mailpass", PASSWORD, Word),
            End("emailpass", PASSWORD, Word),
            End("imappass", PASSWORD, Word),
            End("mysqlpass", PASSWORD, Word),
            End("postgrespass", PASSWORD, Word),
            End("pgpass", PASSWORD, Word),
            End("mongopass", PASSWORD, Word),
            End("redispass", PASSWORD, Word),
            End("ftppass", PASSWORD, Word),
            End("sshpass", PASSWORD, Word),
            End("ldappass", PASSWORD, Word),
            End("adminpass", PASSWORD, Word),
            End("rootpass", PASSWORD, Word),
            End("userpass", PASSWORD, Word),
            End("loginpass", PASSWORD, Word),
            End("authpass", PASSWORD, Word),
            End("proxypass", PASSWORD, Word),
        ],
        b'r' => &[
            End("bearer", AUTHORIZATION, Word),
            End("codeverifier", CREDENTIAL, Any),
        ],
        b'f' => &[End("csrf", TOKEN, Word), End("xsrf", TOKEN, Word)],
        b'h' => &[
            End("basicauth", AUTHORIZATION, Any),
            End("httpauth", AUTHORIZATION, Any),
            End("proxyauth", AUTHORIZATION, Any),
            End("digestauth", AUTHORIZATION, Any),
            End("registryauth", AUTHORIZATION, Any),
            End("xauth", AUTHORIZATION, Whole),
        ],
        _ => &[],
    }
}

const KEY_ENDS: &[End] = &[
    End("apikey", API_KEY, Any),
    End("appkey", API_KEY, Word),
    End("applicationkey", API_KEY, Any),
    End("authkey", API_KEY, Any),
    End("subscriptionkey", API_KEY, Any),
    End("integrationkey", API_KEY, Any),
    End("accesskey", PRIVATE_KEY, Any),
    End("secretkey", PRIVATE_KEY, Any),
    End("privatekey", PRIVATE_KEY, Any),
    End("privkey", PRIVATE_KEY, Any),
    End("signingkey", PRIVATE_KEY, Any),
    End("signkey", PRIVATE_KEY, Any),
    End("encryptionkey", PRIVATE_KEY, Any),
    End("encryptkey", PRIVATE_KEY, Any),
    End("decryptionkey", PRIVATE_KEY, Any),
    End("wrappingkey", PRIVATE_KEY, Any),
    End("masterkey", PRIVATE_KEY, Any),
    End("accountkey", PRIVATE_KEY, Any),
    End("storagekey", PRIVATE_KEY, Any),
    End("sharedkey", PRIVATE_KEY, Any),
    End("servicekey", PRIVATE_KEY, Any),
    End("serviceaccountkey", PRIVATE_KEY, Any),
    End("servicerolekey", PRIVATE_KEY, Any),
    End("deploykey", PRIVATE_KEY, Any),
    End("hmackey", PRIVATE_KEY, Any),
    End("aeskey", PRIVATE_KEY, Word),
    End("rsakey", PRIVATE_KEY, Word),
    End("sshkey", PRIVATE_KEY, Any),
    End("gpgkey", PRIVATE_KEY, Any),
    End("fernetkey", PRIVATE_KEY, Any),
    End("jwtkey", PRIVATE_KEY, Any),
    End("cookiekey", PRIVATE_KEY, Any),
    End("webhookkey", PRIVATE_KEY, Any),
    End("presharedkey", PRIVATE_KEY, Any),
    End("licensekey", PRIVATE_KEY, Any),
    End("passkey", PASSWORD, Any),
    // A provider's key is its API key.
    End("openaikey", API_KEY, Any),
    End("anthropickey", API_KEY, Any),
    End("openrouterkey", API_KEY, Any),
    End("azurekey", API_KEY, Any),
    End("geminikey", API_KEY, Any),
    End("googlekey", API_KEY, Any),
    End("groqkey", API_KEY, Any),
    End("mistralkey", API_KEY, Any),
    End("coherekey", API_KEY, Any),
    End("huggingfacekey", API_KEY, Any),
    End("stripekey", API_KEY, Any),
    End("twiliokey", API_KEY, Any),
    End("sendgridkey", API_KEY, Any),
    End("mailgunkey", API_KEY, Any),
];

/// Whole names.
const WHOLE: &[(&str, RuleId)] = &[
    // Cookies by which the usual frameworks know a session.
    ("phpsessid", COOKIE),
    ("jsessionid", COOKIE),
    ("aspnetsessionid", COOKIE),
    ("connectsid", COOKIE),
    ("authheader", AUTHORIZATION),
    ("xauthheader", AUTHORIZATION),
];

/// Words that may follow what makes a name secret: `api_key_value`, `password_hash`.
const AFTER: &[&str] = &[
    "value",
    "header",
    "hash",
    "hashed",
    "b64",
    "base64",
    "plain",
    "plaintext",
    "cleartext",
    "raw",
    "encoded",
    "encrypted",
    "env",
    "var",
];

/// The same, but not after `token`: `token_str` and `token_text` are a model's.
const AFTER_OTHERS: &[&str] = &[
    "hex",
    "str",
    "string",
    "text",
    "bytes",
    "base",
    "old",
    "new",
    "current",
    "confirm",
    "confirmation",
    "again",
    "repeat",
    "primary",
    "secondary",
    "prod",
    "production",
    "staging",
    "dev",
    "live",
    "test",
];

/// What may be more than one. Of tokens see `PLURAL_TOKENS`.
const PLURAL: &[RuleId] = &[PASSWORD, SECRET, API_KEY, PRIVATE_KEY, CREDENTIAL, COOKIE];

/// Words before `tokens` that say they are no model's.
const PLURAL_TOKENS: &[&str] = &[
    "access", "refresh", "auth", "bearer", "api", "session", "oauth", "secret", "csrf",
];

/// Words before `token` that say it is a model's, a number, a place in a list, or a mark of an order of things.
const NO_TOKEN: &[&str] = &[
    "max",
    "min",
    "num",
    "n",
    "per",
    "first",
    "last",
    "next",
    "prev",
    "previous",
    "top",
    "sub",
    "prompt",
    "completion",
    "input",
    "output",
    "total",
    "cached",
    "reasoning",
    "thinking",
    "generated",
    "decoded",
    "draft",
    "special",
    "added",
    "eos",
    "bos",
    "pad",
    "padding",
    "unk",
    "unknown",
    "sep",
    "separator",
    "cls",
    "mask",
    "stop",
    "start",
    "end",
    "begin",
    "eot",
    "eom",
    "eod",
    "image",
    "audio",
    "video",
    "text",
    "word",
    "byte",
    "page",
    "pagination",
    "continuation",
    "continue",
    "sync",
    "cursor",
    "resume",
    "resumption",
    "cancellation",
    "cancel",
    "cancelation",
    "abort",
    "idempotency",
    "fencing",
    "concurrency",
    "progress",
    "by",
    "a",
    "the",
    "each",
    "every",
];
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
        // A shell's working directory.
        if name == b"PWD" || name == b"OLDPWD" {
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
                Any => true,
                Word => folded.begins(at),
                Whole => at == 0,
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
