//! What a program says itself, what the environment says, and what is refused.

use logspool::tracing::builder;

use crate::process::{child, ended_well};

#[test]
fn a_path_that_cannot_hold_a_log_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = builder()
        .filename(dir.path().join("file/app.jsonl"))
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("file"), "{error}");
    let error = builder().filename("/").build().unwrap_err().to_string();
    assert!(error.contains("give one such as"), "{error}");
}

#[test]
fn a_setting_out_of_range_is_refused_with_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let plain = builder().filename(dir.path().join("app.jsonl"));
    let error = plain
        .clone()
        .spool_bytes(5)
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("spool_bytes") && error.contains("from 64KB to 4GB"),
        "{error}"
    );
    let error = plain.max_record(9).build().unwrap_err().to_string();
    assert!(
        error.contains("max_record") && error.contains("1024 bytes or more"),
        "{error}"
    );
}

#[test]
fn the_environment_says_what_the_program_does_not() {
    let dir = tempfile::tempdir().unwrap();
    ended_well(
        child("init", dir.path())
            .env("LOG_DIR", dir.path())
            .env("SERVICE_NAME", "octo/llm")
            .env("ENVIRONMENT", "test")
            .env("APP_VERSION", "9")
            .env("LOG_ROTATE_SIZE", "1KB")
            .env("LOG_BACKUPS", "0")
            .env("LOG_GZIP", "no")
            .env("RUST_LOG", "warn,tracing::process=debug"),
    );
    let mut found: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("octo-llm.jsonl.0"))
        .collect();
    found.sort();
    assert!(found.len() > 2, "rotated at 1 KB: {found:?}");
    let text: String = found
        .iter()
        .map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap())
        .collect();
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records[0]["service"], "octo/llm");
    assert_eq!(records[0]["environment"], "test");
    assert_eq!(records[0]["version"], "9");
    let events: Vec<_> = records
        .iter()
        .map(|r| r["event"].as_str().unwrap())
        .collect();
    assert!(
        events.contains(&"debug of the program") && events.contains(&"warn of a library"),
        "{events:?}"
    );
    assert!(
        events.contains(&"by log"),
        "init brings log's records: {events:?}"
    );
    assert!(
        !events.contains(&"trace of the program") && !events.contains(&"info of a library"),
        "{events:?}"
    );
}

#[test]
fn without_rust_log_the_level_of_the_other_programs_holds() {
    for (name, level, debug) in [
        ("LOG_LEVEL", "DEBUG", true),
        ("LOG_LEVEL", "Warning", false),
        ("OTHER", "x", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        ended_well(
            child("init", dir.path())
                .env("LOG_DIR", dir.path())
                .env("SERVICE_NAME", "app")
                .env(name, level),
        );
        let text = crate::written(dir.path()).join("\n");
        assert_eq!(
            text.contains("debug of the program"),
            debug,
            "{level}: {text}"
        );
        assert!(text.contains("warn of a library"));
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_said_and_info_holds() {
    let dir = tempfile::tempdir().unwrap();
    let ended = child("init", dir.path())
        .env("LOG_DIR", dir.path())
        .env("SERVICE_NAME", "app")
        .env("RUST_LOG", "a=b=c")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("RUST_LOG: \"a=b=c\"") && said.contains("info,my_crate=debug"),
        "{said}"
    );
    assert!(
        crate::written(dir.path())
            .join("\n")
            .contains("info of a library")
    );
}

#[test]
fn a_variable_that_cannot_be_read_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ended = child("init", dir.path())
        .env("LOG_DIR", dir.path())
        .env("LOG_BACKUPS", "many")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(
        said.contains("LOG_BACKUPS") && said.contains("a whole number of 0 or more"),
        "{said}"
    );
}
