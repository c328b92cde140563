//! The words by which names of secrets are known.

use super::rules::{
    API_KEY, AUTHORIZATION, COOKIE, CREDENTIAL, PASSWORD, PRIVATE_KEY, RuleId, SECRET, TOKEN,
};

/// A name's last letters and what they make of it. `Word`: only where a word begins there, because other words end so too.
pub(super) struct End(
    pub(super) &'static str,
    pub(super) RuleId,
    pub(super) Standing,
);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Anywhere: `dbpassword`.
    Any,
    /// As a word or words of its own.
    Word,
    /// As the whole name.
    Whole,
}
use Standing::{Any, Whole, Word};

/// By the last letter.
pub(super) fn ends(last: u8) -> &'static [End] {
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
pub(super) const WHOLE: &[(&str, RuleId)] = &[
    // Cookies by which the usual frameworks know a session.
    ("phpsessid", COOKIE),
    ("jsessionid", COOKIE),
    ("aspnetsessionid", COOKIE),
    ("connectsid", COOKIE),
    ("authheader", AUTHORIZATION),
    ("xauthheader", AUTHORIZATION),
];

/// Words that may follow what makes a name secret: `api_key_value`, `password_hash`.
pub(super) const AFTER: &[&str] = &[
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
pub(super) const AFTER_OTHERS: &[&str] = &[
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
pub(super) const PLURAL: &[RuleId] = &[PASSWORD, SECRET, API_KEY, PRIVATE_KEY, CREDENTIAL, COOKIE];

/// Words before `tokens` that say they are no model's.
pub(super) const PLURAL_TOKENS: &[&str] = &[
    "access", "refresh", "auth", "bearer", "api", "session", "oauth", "secret", "csrf",
];

/// Words before `token` that say it is a model's, a number, a place in a list, or a mark of an order of things.
pub(super) const NO_TOKEN: &[&str] = &[
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
