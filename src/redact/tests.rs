use std::sync::LazyLock;

use super::*;

/// Made once: what there is to find is put together anew for each.
static DEFAULT: LazyLock<Redactor> = LazyLock::new(Redactor::default);

fn apply(text: &str) -> String {
    DEFAULT.text(text).unwrap_or_else(|| text.to_owned())
}

/// `«…»` marks what goes.
fn check(cases: &[&str]) {
    let redactor = &*DEFAULT;
    let mut wrong = Vec::new();
    for case in cases {
        let text = case.replace(['«', '»'], "");
        let mut expected = String::new();
        for (i, part) in case.split(['«', '»']).enumerate() {
            expected.push_str(if i % 2 == 0 { part } else { "***" });
        }
        let done = redactor.text(&text).unwrap_or_else(|| text.clone());
        let mut line =
            br#"{"ts":"2026-11-21T01:17:00.123456Z","level":"INFO","logger":"a","event":"#.to_vec();
        line.extend_from_slice(serde_json::to_string(&text).unwrap().as_bytes());
        line.push(b'}');
        redactor.line(&mut line, 0, 0);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        if line["event"] != expected {
            wrong.push(format!(
                "{text}\n   in a line became {}\n   not {expected}",
                line["event"]
            ));
        }
        if done != expected {
            wrong.push(format!("{text}\n   became {done}\n   not    {expected}"));
        } else if redactor.text(&done).is_some() {
            wrong.push(format!("{done}: redacted again"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn stay(cases: &[&str]) {
    check(cases);
    for case in cases {
        assert_eq!(DEFAULT.find(case), [], "{case}");
    }
}

#[test]
fn values_under_names_of_secrets_go() {
    check(&[
        "password=«hunter2»",
        "password = «swordfish»",
        "db_password: «swordfish»",
        "login user=bob password=«hunter2» host=db",
        "token=«abc»&user=bob",
        "user=bob,password=«a,b;c»,host=x",
        "{\"password\": \"«hunter2»\", \"user\": \"bob\"}",
        "{'password': '«hunter2»', 'user': 'bob'}",
        "{'api_key': b'«hunter2»'}",
        "{\"a\": \"{\\\"password\\\": \\\"«hun\\\\\\\"ter2»\\\"}\"}",
        "Config(api_key='«abc»', model='gpt-4o')",
        "password => «hunter2», x",
        "password := «hunter2»",
        "connect(host='x', password=«hunter2»)",
        "run --password «hunter2» --host x",
        "run --api-key=«abc»",
        "['run', '--token', '«a8f3c2d1e4»']",
        "export OPENAI_API_KEY=«abc»",
        "X-Api-Key: «abc»",
        "API key: «abc123def»",
        "private key = «abc»",
        "password is «hunter2!»",
        "the token is «8f3a9c01b2».",
        "your password is '«swordfish»'",
        "Password: «swordfish»",
        "<password>«hunter2»</password>",
        "user[password]=«hunter2»&user[name]=bob",
        "user%5Bpassword%5D=«hunter2»&x=1",
        "next=%2Flogin%3Fapi_key%3D«abc»%26user%3Dbob",
        "api_key%253D«abc»%2526x",
        "next=%3Fapi_key%3D«a%2520b%2526c»%26x%3D1",
        "[('accept', '*'), ('X-Auth-Token', '«azgbeo hwmahkn»')]",
        "line one\\npassword=«hunter2»\\nline two",
        "password=«hunter2»\nuser=bob",
        "{\"passwords\": [«\"a\", \"b\"»], \"n\": 1}",
        "{'cookies': {«'sid': 'abc', 'x': {'y': 'z'}»}, 'n': 1}",
        "('x-api-key', '«a8f3c2d1e4»')",
        "[(b'authorization', b'Bearer «abc»'), (b'host', b'x')]",
        "{\"name\": \"X-Api-Key\", \"value\": \"«abc»\"}",
        "$env:API_KEY = \"«abc»\"",
        "password: str = \"«hunter2»\"",
        "ALTER USER bob PASSWORD '«hunter2»'",
        "password=«12345678»",
        "mot de passe: x password=«pässwörd»",
        "sasl.password=«x1»; sasl.username=u",
    ]);
}

#[test]
fn headers_go_to_their_ends_and_schemes_stay() {
    check(&[
        "Authorization: Bearer «abc»",
        "Authorization: Basic «dXNlcjpwYXNz»\r\nHost: x",
        "authorization: «abc123»",
        "'Authorization': 'Bearer «abc.def»'",
        "curl -H \"Authorization: Bearer «abc»\" https://x",
        "Authorization: Digest «username=\"bob\", realm=\"x\", response=\"8f3a\"»\nHost: x",
        "Authorization: AWS4-HMAC-SHA256 «Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu/s3, SignedHeaders=host, Signature=fe5f80»",
        "Proxy-Authorization: Basic «dXNlcjpwYXNz»",
        "Cookie: «sid=abc; theme=dark»\nHost: x",
        "Set-Cookie: «sid=abc; Path=/; HttpOnly»",
        "curl -H 'Cookie: «sid=abc; theme=dark»' https://x",
        "got Bearer «abcdef123456» from x",
        "sent Basic «dXNlcjpwYXNzd29yZA==»",
        "x-amz-security-token: «abc»",
        "Authorization: Token token=«\"abc\"»"
            .replace("token=«\"abc\"»", "«token=\"abc\"»")
            .as_str(),
        "curl -u bob:«hunter2» https://x",
        "token_type=Bearer grant_type=client_credentials expires_in=4939",
        "cannot connect to postgres://app:«jNePee»…(truncated, 900 chars)",
        "first «sk-ant-»\n…(truncated, 9 chars)…\nthe rest",
        "Traceback\n…(truncated, 900 chars)…\n«flaZ414rZ2ZZ1DrRZj3» and more",
        "Traceback\n…(truncated, 900 chars)…\n«flaZ4\nAbc/d+=\n»-----END RSA PRIVATE KEY-----\nmore",
        "Traceback\n…(truncated, 900 chars)…\nent.py\", line 12, in f",
    ]);
}

#[test]
fn tokens_go_by_their_shape() {
    let a = |n: usize| {
        "a8Fk3Jq9Zx2Lm5Np7Rt4Vw6Yb1Cd0Eg"
            .chars()
            .cycle()
            .take(n)
            .collect::<String>()
    };
    let u = |n: usize| a(n).to_uppercase();
    for (token, rule) in [
        (format!("sk-{}", a(48)), "openai"),
        (format!("sk-proj-{}-{}", a(40), a(30)), "openai"),
        (format!("sk-svcacct-{}", a(40)), "openai"),
        (format!("sess-{}", a(40)), "openai"),
        (format!("sk-or-v1-{}", a(64)), "openrouter"),
        (format!("sk-ant-api03-{}", a(80)), "anthropic"),
        (format!("ghp_{}", a(36)), "github"),
        (format!("gho_{}", a(36)), "github"),
        (format!("github_pat_{}_{}", a(22), a(59)), "github"),
        (format!("glpat-{}", a(20)), "gitlab"),
        (format!("glrt-{}", a(20)), "gitlab"),
        (format!("gloas-{}", a(64)), "gitlab"),
        (format!("xoxb-123456789012-{}", a(24)), "slack"),
        (format!("xapp-1-A0B1C2D3-{}", a(24)), "slack"),
        (format!("AKIA{}", u(16)), "aws"),
        (format!("ASIA{}", u(16)), "aws"),
        (format!("AIza{}", a(35)), "google"),
        (format!("ya29.{}", a(60)), "google"),
        (format!("GOCSPX-{}", a(28)), "google"),
        (format!("sk_live_{}", a(24)), "stripe"),
        (format!("rk_test_{}", a(24)), "stripe"),
        (format!("whsec_{}", a(32)), "stripe"),
        (format!("hf_{}", a(34)), "huggingface"),
        (format!("api_org_{}", a(34)), "huggingface"),
        (format!("gsk_{}", a(52)), "llm"),
        (format!("xai-{}", a(80)), "llm"),
        (format!("pplx-{}", a(48)), "llm"),
        (format!("r8_{}", a(37)), "llm"),
        (format!("tvly-{}", a(32)), "llm"),
        (format!("npm_{}", a(36)), "registry"),
        (format!("pypi-{}", a(100)), "registry"),
        (format!("SG.{}.{}", a(22), a(43)), "service"),
        (format!("dop_v1_{}", a(64)), "service"),
        (format!("hvs.{}", a(90)), "service"),
        (format!("lin_api_{}", a(40)), "service"),
        (format!("glsa_{}_{}", a(32), a(8)), "service"),
        (format!("eyJ{}.eyJ{}.{}", a(20), a(40), a(43)), "jwt"),
    ] {
        for text in [
            token.clone(),
            format!("using {token}."),
            format!("[{token}]"),
            format!("a\\n{token}\\n"),
            format!("x%3D{token}%26y"),
            format!("https://x.y/?q={token}&z=1"),
            format!("“{token}”"),
        ] {
            let found = DEFAULT.find(&text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].rule, rule, "{text}");
            assert_eq!(&text[found[0].range.clone()], token, "{text}");
        }
        // Within another word it is none; cut off it is one whatever is left of it.
        let cut = format!("{}…(truncated, 9000 chars)", &token[..token.len().min(17)]);
        if !matches!(rule, "service" | "slack") || !token.contains('.') {
            assert!(
                apply(&cut).starts_with("***…(truncated"),
                "{cut}: {}",
                apply(&cut)
            );
        }
    }
    check(&[
        "POST https://hooks.slack.com/services/«T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX»",
        "bot 123456789:«AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX»",
        "https://api.telegram.org/bot123456789:«AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX»/send",
    ]);
}

#[test]
fn keys_in_pem_form_go_and_certificates_stay() {
    check(&[
        "-----BEGIN RSA PRIVATE KEY-----\n«MIIEpAIBAAKCAQEA\nabc==»\n-----END RSA PRIVATE KEY-----",
        "key: -----BEGIN PRIVATE KEY-----\\n«MIIE\\nabc==»\\n-----END PRIVATE KEY-----\\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n«b3BlbnNzaC1rZXk»…(truncated, 9000 chars)",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n«lQ\n=aa»\n-----END PGP PRIVATE KEY BLOCK-----",
    ]);
    stay(&[
        "-----BEGIN CERTIFICATE-----\nMIIDXTCCAkWgAwIBAgIJAJC1HiIAZAiIMA0GCSqGSIb3\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    ]);
}

#[test]
fn credentials_in_urls_go() {
    check(&[
        "postgres://user:«secret»@host:5432/db",
        "postgresql+asyncpg://user:«p@ss:word»@host/db",
        "redis://:«abc»@host:6379/0",
        "mongodb+srv://u:«p%40ss»@cluster0.x.mongodb.net/?retryWrites=true",
        "amqp://guest:«guest»@localhost:5672//",
        "https://«ghx8f3a9c01b2d4e5f6»@github.com/x/y",
        "https://x-access-token:«abc»@github.com/x.git",
        "https://u:«p/w»@host/x",
        "https%3A%2F%2Fuser%3A«pw»%40host%2Fpath",
        "https://x.y/cb?code=«8f3a9c01b2d4e5f6a7»&state=1",
        "https://x.y/p?access_token=«abc»#frag"
            .replace("«abc»#frag", "«abc#frag»")
            .as_str(),
        "https://x.y/p#access_token=«abc»&token_type=bearer",
        "https://acc.blob.core.windows.net/c?sv=2022&sig=«aB3dE5fG7hI9jK1lM3nO5pQ7%3D»&se=1",
        "https://maps.googleapis.com/x?key=«8f3a9c01b2d4e5f6a7»&q=1",
        "https://s3.x/k?X-Amz-Signature=«fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024»&x=1",
        "Server=x;User Id=sa;Password=«hunter2»;Database=y",
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=«abc+/==»;EndpointSuffix=core.windows.net",
        "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=«abc=»",
        "jdbc:mysql://h/db?user=u&password=«p»",
        "jdbc:oracle:thin:scott/«tiger»@//h:1521/x",
        "host=h user=u password=«p» dbname=d",
        "org.apache.kafka…PlainLoginModule required username=\"u\" password=\"«p»\";",
        "DRIVER={x};UID=sa;PWD=«hunter2»;",
    ]);
}

#[test]
fn what_is_no_secret_stays() {
    stay(&[
        "",
        "the token was refreshed",
        "password must be 12 characters",
        "Password is 12 characters long",
        "secret santa starts at 10:30",
        "invalid token: unexpected end of file",
        "Unexpected token: '}' at line 3",
        "unexpected token: identifier",
        "password: ",
        "password=None token=null secret='' api_key=\"\"",
        "password=*** token=<redacted> secret=[REDACTED] api_key=%s",
        "password={password} token=${TOKEN} secret=$SECRET",
        "api_key=os.environ[\"OPENAI_API_KEY\"]",
        "token = self.token",
        "token = get_token(user)",
        "password=password, token=token, api_key=access_token",
        "max_tokens=4096 prompt_tokens=12 completion_tokens: 30 total_tokens=42",
        "{\"max_tokens\": 100, \"usage\": {\"prompt_tokens\": 1, \"total_tokens\": 3}, \"token\": 17}",
        "tokens: 512, tokens_per_second=88.1, first_token_ms=120",
        "session_id=9f8e7d6c request_id=8f3a9c01b2d4 session_key=abc api_key_id=12",
        "PWD=/home/bob OLDPWD=/tmp {'PWD': '/home/bob', 'OLDPWD': '/tmp'}",
        "password=[REDACTED] password=(hidden) password: {secret!r}",
        "cookie_policy=strict author=bob authorized=true keyboard=us monkey=x",
        "missing fields: ['password', 'email']",
        "{\"required\": [\"token\", \"password\"], \"type\": \"object\"}",
        "bearer token missing; Bearer authentication required; Basic authentication failed",
        "Digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Authorization: required for this endpoint",
        "authorization: missing",
        "task-1234567890abcdef risk-assessment-2024 disk-usage",
        "sk-learn-contrib sk-fading-circle",
        "hf_hub_download npm_config_registry hf_transformers_cache",
        "https://example.com:8080/path/@user and git@github.com:x/y.git",
        "https://example.com/a?page=2&sort=key&code=404",
        "commit 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "next_page_token=abc123def456 eos_token=</s> pad_token: [PAD]",
        "docker run -u 1000:1000 x",
        "see docs/password.md and secrets.yaml; key=value; primary_key=12",
        "grant_type=password&scope=read token_type=bearer",
        "{\"grant_type\": \"password\", \"username\": \"bob\"}",
        "The password: it must not be empty",
        "if password == expected and token != other:",
        "password::hash",
        "self._password = password",
        "WWW-Authenticate: Bearer realm=\"api\", error=\"invalid_token\"",
        "api_key_header=X-API-Key cookies: 1726",
        "arn:aws:secretsmanager:eu-west-1:195633953106:secret:search-VWybig",
        "headers['Authorization'] = header",
        "Enter password: ",
        "--password PASSWORD  the password to use",
    ]);
}

#[test]
fn characters_that_are_not_seen_hide_nothing() {
    for text in [
        "pass\u{200b}word=hunter2",
        "password=hun\u{200b}ter2",
        "\u{1b}[31mpassword\u{1b}[0m=\u{1b}[1mhunter2\u{1b}[0m",
        "sk-proj-\u{ad}a8Fk3Jq9Zx2Lm5Np7Rt4Vw6Yb1Cd0Eg",
        "g\u{0}hp_a8Fk3Jq9Zx2Lm5Np7Rt4Vw6Yb1Cd0Eg1234",
    ] {
        let done = apply(text);
        assert!(
            done.contains("***") && !done.contains("ter2") && !done.contains("Zx2"),
            "{done:?}"
        );
    }
}

fn with(change: impl FnOnce(&mut RedactSettings)) -> Redactor {
    let mut settings = RedactSettings::default();
    change(&mut settings);
    Redactor::new(settings).unwrap()
}

#[test]
fn a_hint_is_the_last_four_characters_of_a_long_secret() {
    let redactor = with(|s| s.hint = true);
    let done = redactor
        .text("password=hunter2 api_key=a8Fk3Jq9Zx2Lm5Npwxyz")
        .unwrap();
    assert_eq!(done, "password=*** api_key=***wxyz");
    assert_eq!(redactor.text(&done), None);
    assert_eq!(redactor.replacement("äöüäöüäöüäöüäöüß"), "***äöüß");
}

#[test]
fn rules_are_added_and_taken_away() {
    let redactor = with(|s| {
        s.keys = vec!["patient_id".to_owned(), "*_ssn".to_owned()];
        s.allow_keys = vec!["client_token".to_owned()];
        s.patterns = vec![
            ("ticket".to_owned(), r"TCK-\d+".to_owned()),
            ("room".to_owned(), r"room (?<secret>\d+)".to_owned()),
        ];
        s.without = vec!["password".to_owned(), "jwt".to_owned()];
    });
    let text = "patientId=77 user_ssn: 12 client_token=abc password=hunter2 TCK-1234 in room 12";
    assert_eq!(
        redactor.text(text).unwrap(),
        "patientId=*** user_ssn: *** client_token=abc password=hunter2 *** in room ***"
    );
    assert!(redactor.always());
    assert_eq!(redactor.key(b"password"), None);
    let rules: Vec<_> = redactor.find(text).into_iter().map(|f| f.rule).collect();
    assert_eq!(rules, ["keys", "keys", "ticket", "room"]);
    for (change, said) in [
        (
            RedactSettings {
                without: vec!["nope".to_owned()],
                ..Default::default()
            },
            "there is no rule",
        ),
        (
            RedactSettings {
                patterns: vec![("x".to_owned(), "(".to_owned())],
                ..Default::default()
            },
            "patterns: x",
        ),
        (
            RedactSettings {
                patterns: vec![("x".to_owned(), "a*".to_owned())],
                ..Default::default()
            },
            "empty",
        ),
        (
            RedactSettings {
                patterns: vec![("jwt".to_owned(), "a".to_owned())],
                ..Default::default()
            },
            "another name",
        ),
    ] {
        let error = Redactor::new(change).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[derive(Debug)]
struct Own(
    &'static str,
    fn(&str) -> std::result::Result<Option<String>, Failed>,
);

impl Function for Own {
    fn name(&self) -> &str {
        self.0
    }
    fn apply(&self, text: &str) -> std::result::Result<Option<String>, Failed> {
        (self.1)(text)
    }
}

#[test]
fn functions_change_texts_and_a_failing_one_takes_the_text_with_it() {
    let redactor = with(|s| {
        s.functions = vec![Arc::new(Own("bob", |text| {
            Ok(text.contains("bob").then(|| text.replace("bob", "user")))
        }))];
    });
    assert_eq!(
        redactor.text("bob: password=hunter2").unwrap(),
        "user: password=***"
    );
    assert_eq!(redactor.text("nothing"), None);
    assert_eq!(
        redactor.find("hi bob!").first().map(|f| f.range.clone()),
        Some(3..6)
    );
    let failing = with(|s| s.functions = vec![Arc::new(Own("mine", |_| Err(Failed)))]);
    assert_eq!(failing.text("x").unwrap(), "***(redaction failed: mine)");
    let panicking = with(|s| s.functions = vec![Arc::new(Own("wild", |_| panic!("no")))]);
    assert_eq!(panicking.text("x").unwrap(), "***(redaction failed: wild)");
    assert!(counts().contains_key("mine (failed)"));
}

#[test]
fn each_rule_counts_what_it_strikes_and_finding_counts_nothing() {
    let redactor = with(|s| s.patterns = vec![("counted here".to_owned(), "x1+".to_owned())]);
    redactor.find("x1 x11");
    assert_eq!(counts().get("counted here"), None);
    redactor.text("x1 x11");
    assert_eq!(counts().get("counted here"), Some(&2));
}

#[test]
fn personal_data_goes_where_asked_for() {
    let all = with(|s| {
        s.pii = Pii {
            email: true,
            iban: true,
            card: true,
            phone: true,
        };
    });
    for (text, expected) in [
        ("mail bob.b+x@example.co.uk, now", "mail ***, now"),
        ("DE89 3704 0044 0532 0130 00 paid", "*** paid"),
        ("GB82WEST12345698765432", "***"),
        ("DE89370400440532013001", "DE89370400440532013001"),
        ("card 4111 1111 1111 1111.", "card ***."),
        ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),
        ("5500005555555559", "***"),
        ("ts 1732186800000000", "ts 1732186800000000"),
        ("call +49 30 1234567 today", "call *** today"),
        ("call (415) 555-2671", "call ***"),
        ("call 415-555-2671", "call ***"),
        ("030 12345678", "***"),
        (
            "2026-11-21 10:30:00 v1.2.3 10.0.0.1 12345 0.5",
            "2026-11-21 10:30:00 v1.2.3 10.0.0.1 12345 0.5",
        ),
        ("@decorator a@b", "@decorator a@b"),
        (
            "550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-446655440000",
        ),
    ] {
        assert_eq!(all.text(text).as_deref().unwrap_or(text), expected);
        assert_eq!(apply(text), text, "off unless asked for");
    }
}

/// Bytes looked at beyond the automaton's own walk.
fn steps(text: &str) -> usize {
    let redactor = &*DEFAULT;
    let mut scan = Scan::new(text);
    redactor.walk.over(&mut scan, redactor);
    scan.steps
}

#[test]
fn hostile_near_matches_take_time_in_proportion_to_their_length() {
    let every: String = DEFAULT.walk.anchors().concat();
    for piece in [
        "sk-",
        "eyJ",
        "eyJa.",
        "Bearer ",
        "Basic ",
        "=",
        "password=",
        "password:",
        "password: ",
        "password=\"",
        "password=\\\"",
        "password='\"",
        "password:[",
        "password: {'",
        "password=[\"",
        "-----BEGIN",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE-----",
        "://",
        "://a:",
        "://a:b/",
        "https://u:p@",
        "@",
        "%3A%2F%2F",
        "a%3A%2F%2Fb%3A",
        "authorization: ",
        "authorization: a ",
        "cookie: ",
        "cookie: a ",
        "Digest realm=\"",
        "ghp_",
        "ghp_a",
        "token-",
        "token.",
        "key_",
        "a.",
        "<password>",
        "<password",
        "--password ",
        "password,",
        "\"password\",\"",
        "1234567:AA",
        "hooks.slack.com/services/",
        " -u a:",
        "--user ",
        "password is ",
        "token=(",
        "password\\",
        "\\\\\\",
        "password=\\\\\\\"",
        "&password=a",
        "password=a,",
        "password=None;",
        "password=os.x[",
        "%22password%22%3A%22",
        "&quot;password&quot;:&quot;",
        &every,
    ] {
        // A quarter of a MiB for the longest; for the others an eighth of that says the same.
        let small = if piece.len() > 64 { 8 << 10 } else { 1 << 10 };
        let times = small / piece.len();
        let (small, large) = (
            steps(&piece.repeat(times)),
            steps(&piece.repeat(32 * times)),
        );
        assert!(
            large <= small * 40 + 4096,
            "{piece:?}: {small} bytes looked at, then {large}"
        );
        assert!(large <= 40 * (256 << 10), "{piece:?}: {large}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_is_found_is_in_order(
        text in "(password|token|key|Bearer |Basic |Cookie|Authorization|sk-|ghp_|eyJ|://|%3A%2F%2F|@|-----BEGIN PRIVATE KEY-----|-----END|[\"'\\\\=:,;&<>(){}\\[\\] .%/-]|[a-zA-Z0-9é…😀\u{200b}\u{1b}]|\n){0,40}",
    ) {
        let redactor = &*DEFAULT;
        let found = redactor.find(&text);
        for pair in found.windows(2) {
            proptest::prop_assert!(pair[0].range.end <= pair[1].range.start);
        }
        for one in &found {
            proptest::prop_assert!(!text[one.range.clone()].is_empty());
        }
        proptest::prop_assert_eq!(redactor.text(&text).is_some(), !found.is_empty());
        let lower = Visible::of(&text).map_or_else(|| text.clone(), |v| v.text).to_ascii_lowercase();
        let anchored = redactor.anchors().iter().any(|anchor| lower.contains(anchor.as_str()));
        proptest::prop_assert!(found.is_empty() || anchored);
    }

    #[test]
    fn a_random_secret_goes_wherever_it_stands(secret in "[A-Za-z0-9]{3}[0-9][a-z][A-Za-z0-9_+/-]{6,40}[A-Za-z0-9]", place in 0_usize..16) {
        let text = [
            format!("password={secret}"), format!("db_password: {secret}"), format!("{{\"api_key\": \"{secret}\"}}"),
            format!("{{'token': '{secret}', 'x': 1}}"), format!("Authorization: Bearer {secret}"), format!("--secret {secret} --x"),
            format!("https://x.y/?access_token={secret}&z=1"), format!("postgres://u:{}@h/d", secret.replace('/', "_")),
            format!("Cookie: sid={secret}; a=b"), format!("x-api-key: {secret}\r\nhost: x"), format!("\"{{\\\"password\\\": \\\"{secret}\\\"}}\""),
            format!("the password is {secret} now"), format!("client_secret%3D{secret}%26x%3D1"), format!("Password={secret};Server=x"),
            format!("<token>{secret}</token>"), format!("('x-api-key', '{secret}')"),
        ][place].clone();
        let done = apply(&text);
        proptest::prop_assert!(!done.contains(&secret) && !done.contains(&secret[..secret.len() - 4]), "{}", done);
    }
}
