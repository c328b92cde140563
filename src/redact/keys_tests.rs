use super::*;

fn rule(name: &str) -> Option<RuleId> {
    KeyRules::default().rule(name.as_bytes())
}

#[test]
fn names_that_end_in_a_secret_word_are_secret_in_every_spelling() {
    for (name, expected) in [
        ("authorization", AUTHORIZATION),
        ("Proxy-Authorization", AUTHORIZATION),
        ("HTTP_AUTHORIZATION", AUTHORIZATION),
        ("auth_header", AUTHORIZATION),
        ("cookie", COOKIE),
        ("Cookies", COOKIE),
        ("set-cookie", COOKIE),
        ("session_cookie", COOKIE),
        ("sessionCookie", COOKIE),
        ("connect.sid", COOKIE),
        ("PHPSESSID", COOKIE),
        ("x-api-key", API_KEY),
        ("api key", API_KEY),
        ("apikey", API_KEY),
        ("apiKey", API_KEY),
        ("OPENAI_API_KEY", API_KEY),
        ("X-Goog-Api-Key", API_KEY),
        ("api_keys", API_KEY),
        ("openai_key", API_KEY),
        ("Ocp-Apim-Subscription-Key", API_KEY),
        ("token", TOKEN),
        ("githubToken", TOKEN),
        ("access_token", TOKEN),
        ("refreshToken", TOKEN),
        ("id_token", TOKEN),
        ("csrf", TOKEN),
        ("X-XSRF-TOKEN", TOKEN),
        ("csrfmiddlewaretoken", TOKEN),
        ("authenticity_token", TOKEN),
        ("x-amz-security-token", TOKEN),
        ("slack_bot_token", TOKEN),
        ("token2", TOKEN),
        ("access_tokens", TOKEN),
        ("api_token_1", TOKEN),
        ("secret", SECRET),
        ("client_secret", SECRET),
        ("clientSecret", SECRET),
        ("SECRETS", SECRET),
        ("password", PASSWORD),
        ("db_password", PASSWORD),
        ("dbpassword", PASSWORD),
        ("PGPASSWORD", PASSWORD),
        ("passwd", PASSWORD),
        ("mysql_pwd", PASSWORD),
        ("pwd", PASSWORD),
        ("passphrase", PASSWORD),
        ("password_hash", PASSWORD),
        ("password2", PASSWORD),
        ("password_confirmation", PASSWORD),
        ("SMTP_PASS", PASSWORD),
        ("user[password]", PASSWORD),
        ("private_key", PRIVATE_KEY),
        ("private-key", PRIVATE_KEY),
        ("aws_secret_access_key", PRIVATE_KEY),
        ("SECRET_KEY_BASE", PRIVATE_KEY),
        ("secret_key", PRIVATE_KEY),
        ("signingKey", PRIVATE_KEY),
        ("encryption_key", PRIVATE_KEY),
        ("MASTER_KEY", PRIVATE_KEY),
        ("AccountKey", PRIVATE_KEY),
        ("SharedAccessKey", PRIVATE_KEY),
        ("credential", CREDENTIAL),
        ("GOOGLE_CREDENTIALS", CREDENTIAL),
        ("aws_creds", CREDENTIAL),
        ("bearer", AUTHORIZATION),
        ("code_verifier", CREDENTIAL),
    ] {
        assert_eq!(rule(name), Some(expected), "{name}");
        assert_eq!(rule(&name.replace('_', "-")), Some(expected), "{name}");
        if name != "pwd" {
            assert_eq!(rule(&name.to_uppercase()), Some(expected), "{name}");
        }
    }
}

#[test]
fn names_that_only_look_similar_are_not() {
    for name in [
        "access-control-allow-credentials",
        "max_tokens",
        "maxTokens",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "tokens",
        "token_count",
        "tokens_per_second",
        "tokenizer",
        "tokenizer_name",
        "first_token_ms",
        "time_to_first_token",
        "eos_token",
        "eos_token_id",
        "bos_token",
        "pad_token",
        "unk_token",
        "sep_token",
        "next_page_token",
        "nextPageToken",
        "NextToken",
        "continuation_token",
        "pagetoken",
        "cost_per_token",
        "input_token",
        "output_tokens",
        "reasoning_tokens",
        "cached_tokens",
        "token_type",
        "token_str",
        "token_text",
        "token_ids",
        "token_usage",
        "n_tokens",
        "session_id",
        "sessionId",
        "session_key",
        "request_id",
        "api_key_id",
        "api_key_name",
        "password_reset_at",
        "password_policy",
        "password_length",
        "cookie_policy",
        "cookie_consent",
        "secretary",
        "secret_name",
        "author",
        "authors",
        "authorized",
        "authority",
        "authenticated",
        "authorization_url",
        "auth",
        "auth_method",
        "monkey",
        "turkey",
        "keyboard",
        "key",
        "keys",
        "keyword",
        "primary_key",
        "public_key",
        "foreign_key",
        "cache_key",
        "partition_key",
        "idempotency_key",
        "sort_key",
        "routing_key",
        "object_key",
        "PWD",
        "OLDPWD",
        "compass",
        "bypass",
        "forward_pass",
        "passed",
        "pass",
        "passenger",
        "token_bucket",
        "secretion",
        "bearer_of_news",
        "credential_type",
        "cookiecutter",
        "",
        "_",
        "42",
        "model",
        "provider",
        "latency_ms",
        "tier_id",
        "status",
        "url",
    ] {
        assert_eq!(rule(name), None, "{name}");
    }
}

#[test]
fn users_add_names_and_take_names_away() {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rules = KeyRules::new(
        &own(&["patient_id", "*_ssn", "internal*", "*badge*"]),
        &own(&["Client-Token", "*_api_key", "badge_colour"]),
    );
    let rule = |name: &str| rules.rule(name.as_bytes());
    for name in [
        "patientId",
        "PATIENT-ID",
        "user_ssn",
        "internal_note",
        "the_badge_no",
    ] {
        assert_eq!(rule(name), Some(KEYS), "{name}");
    }
    for name in [
        "client_token",
        "OPENAI_API_KEY",
        "patient",
        "badge_colour",
        "ssnx",
    ] {
        assert_eq!(rule(name), None, "{name}");
    }
    assert_eq!(rule("access_token"), Some(TOKEN));
}

proptest::proptest! {
    #[test]
    fn any_name_with_a_secret_word_at_its_end_is_secret(before in "[a-zA-Z_.-]{0,40}", at in 0_usize..5, number in "[0-9]{0,2}") {
        let word = ["password", "client_secret", "x-api-key", "authorization", "passphrase"][at];
        let name = format!("{before}_{word}{number}");
        proptest::prop_assert!(rule(&name).is_some(), "{name}");
    }

    #[test]
    fn no_name_makes_it_panic(name in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = KeyRules::default().rule(&name);
    }
}
