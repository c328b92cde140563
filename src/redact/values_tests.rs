use super::*;
use crate::redact::rules::PASSWORD;

#[test]
fn what_stands_in_a_secrets_place_is_none() {
    for value in [
        "",
        "None",
        "null",
        "true",
        "***",
        "***wxyz",
        "<redacted>",
        "<your token>",
        "[REDACTED]",
        "[Filtered]",
        "%s",
        "%(token)s",
        "{password}",
        "{}",
        "${DB_PASSWORD}",
        "$DB_PASSWORD",
        "$password",
        "{{ token }}",
        "xxxxxxxx",
        "********",
        "...",
        "-",
        "your-api-key",
        "YOUR_API_KEY_HERE",
        "required",
        "Expired.",
        "password",
        "Pass-Word",
    ] {
        assert!(is_none(value.as_bytes(), PASSWORD, b"password"), "{value}");
    }
    for value in [
        "hunter2",
        "swordfish",
        "12345678",
        "$ecret1",
        "{a,b}$#",
        "yourself",
        "secret",
    ] {
        assert!(!is_none(value.as_bytes(), PASSWORD, b"password"), "{value}");
    }
    assert!(is_none(b"1234", TOKEN, b"token"));
}

#[test]
fn code_that_has_a_secret_is_not_one() {
    for value in [
        "os.environ[",
        "os.getenv(",
        "self.token",
        "get_token(",
        "get_token()",
        "settings.API_KEY",
        "access_token",
        "accessToken",
        "config.get(",
        "DB_PASSWORD",
    ] {
        assert!(is_code(value.as_bytes()), "{value}");
    }
    for value in [
        "hunter2",
        "swordfish",
        "a.b-c",
        "mypassword",
        "Tr0ub4dor&3",
        "x9.y8.z7",
        "8f3a(",
    ] {
        assert!(!is_code(value.as_bytes()), "{value}");
    }
}

#[test]
fn opaque_is_what_no_sentence_holds() {
    for value in [
        "hunter2!",
        "8f3a9c01",
        "Tr0ub4dor&3",
        "aGVsbG8gd29ybGQ",
        "AbCdEfGhIjKl",
        "p@ss!word".trim_matches('@'),
        "9944b09199c62bcf",
        "swordfish#",
    ] {
        if !value.contains('@') {
            assert!(is_opaque(value.as_bytes(), 6), "{value}");
        }
    }
    for value in [
        "invalid",
        "refreshed",
        "authentication",
        "12",
        "12345678",
        "30s",
        "1.5x",
        "4096KiB",
        "2026-11-21T10:00:00Z",
        "v1.2.3",
        "base64",
        "OAuth2",
        "user-123",
        "claude-3-opus",
        "/etc/passwd1",
        "https://x.y/1",
        "wrong!",
        "***ab12",
    ] {
        assert!(!is_opaque(value.as_bytes(), 6), "{value}");
    }
}
