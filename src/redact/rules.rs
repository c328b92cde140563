//! The table of rules: what each is called in settings and counters, and what it says of what it found.

/// Which rule: an index into the table of a `Redactor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(super) u16);

impl RuleId {
    /// Its place in the table.
    pub const fn index(self) -> u16 {
        self.0
    }

    /// The rule at a place of the table.
    pub const fn at(index: u16) -> Self {
        Self(index)
    }

    /// Whether a number under such a key says nothing: `token` is also how many, or which, of a model's tokens.
    pub const fn spares_numbers(self) -> bool {
        self.0 == TOKEN.0
    }
}

macro_rules! rules {
    ($($id:ident $name:literal $reason:literal,)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]

        enum Index { $($id,)* }
        $(pub(super) const $id: RuleId = RuleId(Index::$id as u16);)*
        /// Name and reason of each rule there is without settings.
        pub(super) const BUILT_IN: &[(&str, &str)] = &[$(($name, $reason),)*];
    };
}

rules! {
    // Names of keys.
    AUTHORIZATION "authorization" "the value of an authorization header",
    COOKIE "cookie" "the value of a cookie or a cookie header",
    PASSWORD "password" "the value of a password",
    TOKEN "token" "the value of a token",
    SECRET "secret" "the value of a secret",
    API_KEY "api_key" "the value of an API key",
    PRIVATE_KEY "private_key" "the value of a key that signs, encrypts or admits",
    CREDENTIAL "credential" "the value of a credential",
    KEYS "keys" "the value of a key named in redact={\"keys\": …}",
    // Where they stand.
    SCHEME "scheme" "what follows an authorization scheme (Bearer, Basic, …)",
    URL "url" "a password or a credential in a URL",
    QUERY "query" "a credential among a URL's parameters",
    PEM "pem" "a private key in PEM form",
    JWT "jwt" "a JSON Web Token",
    // Shapes of tokens.
    OPENAI "openai" "an OpenAI key, or one of that shape",
    OPENROUTER "openrouter" "an OpenRouter key",
    ANTHROPIC "anthropic" "an Anthropic key",
    GOOGLE "google" "a Google key or token",
    HUGGINGFACE "huggingface" "a Hugging Face token",
    LLM "llm" "a key of another provider of models or of their tools",
    GITHUB "github" "a GitHub token",
    GITLAB "gitlab" "a GitLab token",
    SLACK "slack" "a Slack token or webhook",
    AWS "aws" "an AWS access key id",
    AZURE "azure" "an Azure key or signature",
    STRIPE "stripe" "a Stripe key",
    CHAT "chat" "a bot token or webhook of a chat service",
    REGISTRY "registry" "a token of a package registry",
    SERVICE "service" "a token of another service, by its shape",
    CUT "cut" "what may be the end of a secret whose beginning was left out",
    // Opt-in.
    EMAIL "email" "an e-mail address",
    IBAN "iban" "an international bank account number",
    CARD "card" "a payment card number",
    PHONE "phone" "a phone number",
}

/// Of personal data: on only where asked for.
pub(super) const PII: [RuleId; 4] = [EMAIL, IBAN, CARD, PHONE];
