//! What an event becomes.

use std::error::Error;
use std::fmt;

use serde_json::{Value, json};
use tracing::{debug, error, info, trace, warn};

use crate::{Logged, lines, logged};

/// The keys of schema 1 that an event can have, in their order.
const KEYS: [&str; 20] = [
    "category",
    "ts",
    "level",
    "logger",
    "event",
    "message",
    "service",
    "environment",
    "version",
    "pid",
    "thread",
    "session_id",
    "request_id",
    "trace_id",
    "span_id",
    "trace_flags",
    "tool",
    "fields",
    "exception",
    "src",
];

#[test]
fn an_event_is_a_record_of_the_schema_with_its_keys_in_order() {
    let log = Logged::new(|s| s.service("octollm").environment("test").version("1.2.3"));
    let parse = "x".parse::<u32>().unwrap_err();
    let records = log.run(|| {
        error!(
            target: "octollm::planner",
            category = "llm", session_id = "s-1", request_id = "req_0123456789abcdef", trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
            span_id = "00f067aa0ba902b7", trace_flags = "01", tool = "infer", event = "task.failed", attempt = 3,
            error = &parse as &dyn Error, "no plan"
        );
    });
    let line = &lines(log.dir.path())[0];
    let mut at = 0;
    for key in KEYS.iter().chain(&["seq"]) {
        let found = line[at..].find(&format!("\"{key}\":"));
        at += found.unwrap_or_else(|| panic!("{key} is not where it belongs: {line}"));
    }
    let record = &records[0];
    assert_eq!(record["level"], "ERROR");
    assert_eq!(record["logger"], "octollm::planner");
    assert_eq!(record["event"], "task.failed");
    assert_eq!(record["message"], "no plan");
    assert_eq!(record["pid"], std::process::id());
    assert_eq!(
        record["fields"],
        json!({"attempt": 3, "error": parse.to_string()})
    );
    assert_eq!(record["exception"]["type"], "ParseIntError");
    assert!(
        record["src"]["file"]
            .as_str()
            .unwrap()
            .ends_with("record.rs")
    );
    let ts = record["ts"].as_str().unwrap();
    assert_eq!((ts.len(), &ts[26..]), (27, "Z"), "{ts}");
    assert_eq!(record["seq"].as_str().unwrap().len(), 19);
    let thread = std::thread::current().name().unwrap().to_owned();
    assert_eq!(record["thread"], thread);
}

#[test]
fn levels_are_those_of_the_other_programs() {
    let records = logged(|| {
        error!("a");
        warn!("a");
        info!("a");
        debug!("a");
        trace!("a");
    });
    let levels: Vec<_> = records
        .iter()
        .map(|r| r["level"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["ERROR", "WARNING", "INFO", "DEBUG", "TRACE"]);
}

#[test]
fn values_keep_their_types() {
    #[derive(Debug)]
    #[allow(dead_code)]
    struct User<'a> {
        name: &'a str,
    }
    let records = logged(|| {
        info!(
            int = -3_i64,
            large = u64::MAX,
            huge = u128::MAX,
            low = i128::MIN,
            float = 1.5,
            nan = f64::NAN,
            yes = true,
            text = "a \"b\"\n",
            debug = ?User { name: "eva" },
            display = %std::net::Ipv4Addr::LOCALHOST,
            r#type = "raw",
            bytes = &[0xff_u8, 0x41][..],
            missing = Option::<u32>::None,
            "values"
        );
    });
    let text = records[0]["fields"].to_string();
    for part in [
        r#""int":-3"#,
        r#""large":18446744073709551615"#,
        r#""float":1.5"#,
        r#""nan":null"#,
        r#""yes":true"#,
        r#""text":"a \"b\"\n""#,
        r#""debug":"User { name: \"eva\" }""#,
        r#""display":"127.0.0.1""#,
        r#""type":"raw""#,
        r#""bytes":"\\xffA""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(records[0]["fields"].get("missing").is_none());
}

#[test]
fn integers_of_any_size_are_kept() {
    let log = Logged::new(|s| s);
    log.run(|| info!(huge = u128::MAX, low = i128::MIN, "x"));
    let line = &lines(log.dir.path())[0];
    assert!(line.contains(&format!("\"huge\":{}", u128::MAX)), "{line}");
    assert!(line.contains(&format!("\"low\":{}", i128::MIN)), "{line}");
}

#[test]
fn an_event_is_called_by_its_field_or_its_name_or_its_message() {
    let records = logged(|| {
        info!("only a message");
        info!(event = "task.created", "a message");
        info!(name: "task.named", "a message");
        info!(name: "task.named", event = "task.said", answer = 42);
        info!(event = "same", "same");
    });
    let called: Vec<_> = records
        .iter()
        .map(|r| (&r["event"], &r["message"]))
        .collect();
    let message = Value::from("a message");
    assert_eq!(called[0], (&"only a message".into(), &Value::Null));
    assert_eq!(called[1], (&"task.created".into(), &message));
    assert_eq!(called[2], (&"task.named".into(), &message));
    assert_eq!(called[3], (&"task.said".into(), &Value::Null));
    assert_eq!(called[4], (&"same".into(), &Value::Null));
}

#[test]
fn numbers_under_opentelemetrys_names_are_the_text_that_it_writes() {
    let records = logged(|| {
        info!(
            trace_id = 0xabc_u128,
            span_id = 0xdef_u64,
            trace_flags = 1_u64,
            request_id = 7,
            "x"
        );
    });
    assert_eq!(records[0]["trace_id"], "00000000000000000000000000000abc");
    assert_eq!(records[0]["span_id"], "0000000000000def");
    assert_eq!(records[0]["trace_flags"], "01");
    assert_eq!(records[0]["request_id"], "7");
    assert!(records[0].get("fields").is_none());
}

#[derive(Debug)]
struct Outer(std::io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot load the model")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_leaves_an_exception_with_its_causes() {
    let error = Outer(std::io::Error::other("disk on fire"));
    let records = logged(|| error!(error = &error as &dyn Error, "failed"));
    assert_eq!(
        records[0]["exception"],
        json!({
            "type": "Outer",
            "message": "cannot load the model",
            "stacktrace": "Outer: cannot load the model\nCaused by: std::io::Error: disk on fire",
            "causes": [{"type": "std::io::Error", "message": "disk on fire"}],
        })
    );
    assert_eq!(records[0]["fields"]["error"], "cannot load the model");
}

#[test]
fn no_secret_reaches_the_disk() {
    #[derive(Debug)]
    #[allow(dead_code)]
    struct Config {
        user: &'static str,
        password: &'static str,
    }
    let config = Config {
        user: "eva",
        password: "hunter2-hunter2",
    };
    let log = Logged::new(|s| s.field("client_secret", "fixed-secret-1"));
    let records = log.run(|| {
        let span = tracing::info_span!(
            "login",
            api_key = "sk-span-secret-0001",
            later = tracing::field::Empty
        );
        let _entered = span.enter();
        span.record("later", "Bearer abcdefghijklmnopqrstuvwx");
        info!(
            password = "hunter2-field",
            token = 12_345_678,
            config = ?config,
            url = "https://u:urlsecret99@host/x?api_key=querysecret1",
            "Authorization: Bearer messagesecret0001"
        );
    });
    let bytes = lines(log.dir.path()).join("\n");
    for secret in [
        "hunter2",
        "fixed-secret",
        "span-secret",
        "abcdefghijklmnop",
        "urlsecret99",
        "querysecret1",
        "messagesecret",
    ] {
        assert!(!bytes.contains(secret), "{secret}: {bytes}");
    }
    assert_eq!(records[0]["fields"]["api_key"], "***");
    assert!(bytes.contains("eva"));
    let open = Logged::new(|s| s.redact(None));
    open.run(|| info!(password = "hunter2-field", "x"));
    assert!(lines(open.dir.path())[0].contains("hunter2-field"));
}

#[test]
fn a_secret_is_found_before_its_text_is_cut() {
    let log = Logged::new(|s| s.max_field(40));
    log.run(|| {
        info!(
            note = format!("{} Bearer cutsecretcutsecret", "x".repeat(20)),
            "x"
        );
    });
    let line = &lines(log.dir.path())[0];
    assert!(!line.contains("cutsecret"), "{line}");
}

#[test]
fn long_texts_and_records_are_cut_with_a_note() {
    let log = Logged::new(|s| s.max_field(100).max_record(2048));
    let records = log.run(|| {
        info!(text = "é".repeat(1000), "long");
        info!(text = ?vec!["y"; 1 << 20], "longer than anybody reads");
        let span = tracing::info_span!("s", a = "z".repeat(99), b = "z".repeat(99));
        let _entered = span.enter();
        let inner = tracing::info_span!(
            "t",
            c = "\u{1}".repeat(99),
            d = "\u{1}".repeat(99),
            e = "\u{1}".repeat(99)
        );
        let _inner = inner.enter();
        info!(
            f = "\u{1}".repeat(99),
            g = "\u{1}".repeat(99),
            request_id = "r-1",
            "much too long"
        );
    });
    let text = records[0]["fields"]["text"].as_str().unwrap();
    assert_eq!(text, format!("{}…(truncated, 1000 chars)", "é".repeat(100)));
    let text = records[1]["fields"]["text"].as_str().unwrap();
    assert!(
        text.ends_with("…(truncated, more than 1048576 chars)"),
        "{text}"
    );
    assert_eq!(records[2]["event"], "much too long");
    assert_eq!(records[2]["request_id"], "r-1");
    assert!(
        records[2]["fields"]["truncated"]
            .as_str()
            .unwrap()
            .contains("2048 bytes"),
        "{}",
        records[2]
    );
    assert!(lines(log.dir.path()).iter().all(|line| line.len() < 2048));
}

#[test]
fn payloads_are_told_not_shown() {
    let image = format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(200));
    let records = logged(|| info!(image, "picture"));
    assert_eq!(records[0]["fields"]["image"]["type"], "image/png");
}

#[test]
fn what_a_terminal_would_obey_and_what_ends_a_line_is_escaped() {
    let log = Logged::new(|s| s);
    let hostile = "a\x1b[2J\r\nb\u{202e}c";
    let records = log.run(|| info!(hostile, "{hostile}"));
    let line = &lines(log.dir.path())[0];
    assert!(
        line.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{line:?}"
    );
    assert_eq!(records[0]["event"], hostile);
}

#[test]
fn records_of_log_say_where_they_were_made() {
    let log = Logged::new(|s| s);
    // Installed once in a process; a test that has its own process does it through `init`.
    let _ = tracing_log_for_tests();
    let records = log.run(|| log::warn!(target: "old::library", "by log {}", 7));
    assert_eq!(records[0]["logger"], "old::library");
    assert_eq!(records[0]["event"], "by log 7");
    assert_eq!(records[0]["level"], "WARNING");
    assert!(
        records[0]["src"]["file"]
            .as_str()
            .unwrap()
            .ends_with("record.rs")
    );
    assert!(records[0].get("fields").is_none(), "{}", records[0]);
}

fn tracing_log_for_tests() -> Result<(), log::SetLoggerError> {
    tracing_log::LogTracer::init()
}
