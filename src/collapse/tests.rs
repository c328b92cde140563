//! What collapse promises, on time that stands still.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const WINDOW: u64 = 10_000_000;
const PLENTY: usize = 1 << 20;

fn stamp(at: u64) -> String {
    format!(
        "2026-11-21T00:{:02}:{:02}.{:06}Z",
        at / 60_000_000,
        at / 1_000_000 % 60,
        at % 1_000_000
    )
}

fn line(at: u64, event: &str, rest: &str) -> Vec<u8> {
    let mut line = format!(
        "{{\"ts\":\"{}\",\"level\":\"INFO\",\"logger\":\"a\",\"event\":{},\"pid\":7,\"thread\":\"T-{at}\"{rest}",
        stamp(at),
        Value::from(event),
    )
    .into_bytes();
    line.extend_from_slice(SEQ_PLACEHOLDER);
    line
}

/// A log in memory.
struct Log {
    collapse: Collapse,
    lines: Vec<Vec<u8>>,
}

impl Log {
    fn new() -> Self {
        Self {
            collapse: Collapse::new(WINDOW, PLENTY),
            lines: Vec::new(),
        }
    }

    fn say(&mut self, now: u64, line: &[u8]) {
        let noted = self.collapse.note(&Said::json(line).unwrap(), now);
        self.lines.extend(noted.ended);
        if noted.due.is_none() {
            self.lines.push(line.to_vec());
        }
    }

    fn settle(&mut self, now: u64, all: bool) -> (bool, u64) {
        let lines = &mut self.lines;
        self.collapse.settle(now, all, &mut |line| {
            lines.push(line.clone());
            true
        })
    }

    fn records(&self) -> Vec<Value> {
        self.lines
            .iter()
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn bytes(&self) -> usize {
        self.collapse.table.lock().bytes
    }
}

#[test]
fn the_first_is_written_at_once_and_the_others_become_one() {
    let mut log = Log::new();
    for at in [1, 2, 3, 4] {
        log.say(
            at,
            &line(at, "again", ",\"fields\":{\"n\":1},\"src\":{\"line\":3}"),
        );
    }
    assert_eq!(log.lines.len(), 1);
    assert_eq!(log.settle(WINDOW, false), (false, WINDOW + 1));
    assert_eq!(log.lines.len(), 1);
    assert_eq!(log.settle(WINDOW + 1, false), (false, NEVER));
    let records = log.records();
    assert_eq!(records.len(), 2);
    assert_eq!(
        records[1]["fields"],
        json!({"n": 1, "repeated": {"count": 3, "first": stamp(2), "last": stamp(4)}})
    );
    assert_eq!(records[1]["ts"], stamp(4));
    assert_eq!(records[1]["src"], json!({"line": 3}));
    assert_eq!(log.collapse.collapsed(), 3);
}

#[test]
fn a_record_after_the_window_is_a_first_one() {
    let mut log = Log::new();
    for at in [0, WINDOW - 1, WINDOW, WINDOW + 1] {
        log.say(at, &line(at, "again", ""));
    }
    let records = log.records();
    assert_eq!(records.len(), 3);
    assert_eq!(records[1]["fields"]["repeated"]["count"], 1);
    assert_eq!(records[2].get("fields"), None);
}

#[test]
fn what_differs_in_more_than_time_thread_and_task_is_not_identical() {
    let mut log = Log::new();
    let lines = [
        line(0, "a", ""),
        line(0, "b", ""),
        line(0, "a", ",\"fields\":{\"n\":1}"),
        line(0, "a", ",\"fields\":{\"n\":2}"),
        line(0, "a", ",\"request_id\":\"1\""),
        line(0, "a", ",\"src\":{\"line\":1}"),
        line(0, "a", ",\"exception\":{\"type\":\"E\"}"),
    ];
    for line in &lines {
        log.say(0, line);
    }
    assert_eq!(log.lines, lines);
    for (n, same) in [",\"task\":\"Task-1\"", ",\"task\":\"Task-\\\"2\"", ""]
        .iter()
        .enumerate()
    {
        log.say(1, &line(n as u64 + 5, "a", same));
    }
    assert_eq!(log.lines.len(), lines.len());
}

#[test]
fn the_count_stands_among_the_fields_wherever_there_are_others() {
    for (rest, wanted) in [
        ("", json!({"repeated": 1})),
        (",\"fields\":{}", json!({"repeated": 1})),
        (
            ",\"exception\":{\"type\":\"E\"},\"src\":{}",
            json!({"repeated": 1}),
        ),
        (
            ",\"fields\":{\"a\":\"{\\\"\"},\"src\":{}",
            json!({"a": "{\"", "repeated": 1}),
        ),
        (
            ",\"fields\":{\"repeated\":[{\"x\":\"]\"}],\"repeated#2\":null}",
            json!({"repeated": [{"x": "]"}], "repeated#2": null, "repeated#3": 1}),
        ),
    ] {
        let mut log = Log::new();
        log.say(0, &line(0, "a \"}, {", rest));
        log.say(1, &line(1, "a \"}, {", rest));
        log.settle(1, true);
        let mut found = log.records().pop().unwrap();
        let fields = found["fields"].as_object_mut().unwrap();
        for (key, value) in fields.iter_mut() {
            if key.starts_with("repeated") && value.get("count").is_some() {
                *value = json!(1);
            }
        }
        assert_eq!(found["fields"], wanted, "{rest}");
        let text = String::from_utf8(log.lines.pop().unwrap()).unwrap();
        assert!(
            text.ends_with("\"seq\":\"-------------------\"}\n"),
            "{text}"
        );
        let order: Vec<_> = Members::of(text.as_bytes())
            .map(|member| String::from_utf8_lossy(member.name).into_owned())
            .filter(|name| ["fields", "exception", "src", "seq"].contains(&name.as_str()))
            .collect();
        let mut sorted = order.clone();
        sorted.sort_by_key(|name| {
            ["fields", "exception", "src", "seq"]
                .iter()
                .position(|n| n == name)
        });
        assert_eq!(order, sorted);
    }
}

#[test]
fn a_category_before_the_time_is_no_obstacle() {
    let mut log = Log::new();
    for at in [0, 1] {
        let text = String::from_utf8(line(at, "a", "")).unwrap();
        log.say(
            at,
            text.replacen('{', "{\"category\":\"llm\",", 1).as_bytes(),
        );
    }
    log.settle(1, true);
    assert_eq!(log.records()[1]["category"], "llm");
    assert_eq!(log.records()[1]["ts"], stamp(1));
}

#[test]
fn a_line_of_text_says_behind_itself_how_often_it_was_repeated() {
    let collapse = Collapse::new(WINDOW, PLENTY);
    let said = |line: &'static str, level: &'static str, at: u64| {
        let stamp = stamp(at).into_bytes().try_into().unwrap();
        collapse.note(
            &Said::text(line.as_bytes(), Some(0..8), level.as_bytes(), stamp),
            at,
        )
    };
    assert!(said("00:00:00 a: slow\n", "INFO", 0).due.is_none());
    assert!(said("00:00:01 a: slow\n", "INFO", 1).due.is_some());
    assert!(said("00:00:02 a: slow\n", "INFO", 2).due.is_some());
    assert!(said("00:00:02 a: slow\n", "ERROR", 2).due.is_none());
    assert!(said("00:00:02 a: slower\n", "INFO", 2).due.is_none());
    let mut lines = Vec::new();
    collapse.settle(3, true, &mut |line| {
        lines.push(String::from_utf8(line.clone()).unwrap());
        true
    });
    assert_eq!(
        lines,
        [format!(
            "00:00:00 a: slow … (repeated 2 times, first {}, last {})\n",
            stamp(1),
            stamp(2)
        )]
    );
}

#[test]
fn without_room_a_count_stays_until_there_is_some() {
    let mut log = Log::new();
    for event in ["a", "b", "a", "b"] {
        log.say(0, &line(0, event, ""));
    }
    assert_eq!(
        log.collapse.settle(WINDOW, false, &mut |_| false),
        (true, WINDOW)
    );
    assert_eq!(log.settle(WINDOW, false), (false, NEVER));
    assert_eq!(log.lines.len(), 4);
    assert_eq!(log.settle(WINDOW, true), (false, NEVER));
    assert_eq!(log.lines.len(), 4);
}

#[test]
fn a_flush_within_the_window_leaves_the_window_open() {
    let mut log = Log::new();
    log.say(0, &line(0, "a", ""));
    log.say(1, &line(1, "a", ""));
    log.settle(2, true);
    log.say(3, &line(3, "a", ""));
    log.settle(WINDOW, true);
    let counts: Vec<_> = log.records()[1..]
        .iter()
        .map(|record| record["fields"]["repeated"]["count"].clone())
        .collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn memory_is_bounded_by_lines_and_by_bytes_and_what_goes_is_counted_first() {
    let mut log = Log::new();
    for n in 0..LINES {
        log.say(0, &line(0, &n.to_string(), ""));
        log.say(0, &line(0, &n.to_string(), ""));
    }
    assert_eq!(log.lines.len(), LINES);
    log.say(0, &line(0, "one more", ""));
    assert_eq!(log.records()[LINES]["fields"]["repeated"]["count"], 1);
    assert_eq!(log.records()[LINES]["event"], "0");

    let mut log = Log::new();
    // What comes again stays while lines come by that do not.
    for n in 0..1000 {
        log.say(0, &line(0, &format!("{n} {}", "y".repeat(5000)), ""));
        if n % 20 == 0 {
            log.say(0, &line(0, "one more", ""));
        }
        assert!(log.bytes() <= BYTES);
    }
    let last: Vec<_> = log
        .records()
        .into_iter()
        .filter(|r| r["event"] == "one more")
        .collect();
    assert_eq!(last.len(), 1);

    let mut log = Log::new();
    for n in 0..30 {
        let wide = format!("{n}{}", "x".repeat(LONGEST - 400));
        assert!(log.collapse.takes(&line(0, &wide, "")));
        log.say(0, &line(0, &wide, ""));
        assert!(log.bytes() <= BYTES);
    }
    assert!(!log.collapse.takes(&vec![b'x'; LONGEST + 1]));
    assert!(!Collapse::new(WINDOW, 1024).takes(&[b'x'; 1000]));
}

#[test]
fn from_many_threads_none_is_lost() {
    let collapse = Arc::new(Collapse::new(WINDOW, PLENTY));
    let threads: Vec<_> = (0..8_u64)
        .map(|thread| {
            let collapse = Arc::clone(&collapse);
            std::thread::spawn(move || {
                let mut written = Vec::new();
                for n in 0..2_000 {
                    let text = line(n, &(n % 100 + thread % 2).to_string(), "");
                    let noted = collapse.note(&Said::json(&text).unwrap(), n * 20_000);
                    written.extend(noted.ended);
                    if noted.due.is_none() {
                        written.push(text);
                    }
                }
                written
            })
        })
        .collect();
    let mut written: Vec<_> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    collapse.settle(0, true, &mut |line| {
        written.push(line.clone());
        true
    });
    assert_eq!(total(&written), 16_000);
}

/// How many records the lines stand for.
fn total(lines: &[Vec<u8>]) -> u64 {
    lines
        .iter()
        .map(|line| {
            let record: Value = serde_json::from_slice(line).unwrap();
            record["fields"]["repeated"]["count"].as_u64().unwrap_or(1)
        })
        .sum()
}

proptest! {
    /// Whatever is said when, and whenever it is settled: each record is there or counted, each window's first is there itself, and
    /// within a window of a line that was written the same line is not written again.
    #[test]
    fn every_record_is_written_or_counted(
        said in prop::collection::vec((0_u64..4_000_000, 0_u8..6, 0_u8..8), 1..200),
    ) {
        let mut log = Log::new();
        let mut now = 0;
        for (step, event, settle) in &said {
            now += step;
            log.say(now, &line(now, &event.to_string(), ""));
            match settle {
                0 => { log.settle(now, true); }
                1 => { log.settle(now, false); }
                _ => {}
            }
        }
        log.settle(now, true);
        prop_assert_eq!(total(&log.lines), said.len() as u64);
        let mut began = std::collections::HashMap::new();
        for record in log.records() {
            if record.get("fields").is_none() {
                let at = now_of(&record);
                let earlier = began.insert(record["event"].as_str().unwrap().to_owned(), at);
                if let Some(earlier) = earlier {
                    prop_assert!(at >= earlier + WINDOW, "{} again after {} µs", record["event"], at - earlier);
                }
            }
        }
    }

    /// Any text passes through unharmed.
    #[test]
    fn what_a_line_says_is_found_and_kept(event in ".{0,40}", key in ".{0,8}", value in ".{0,8}") {
        let fields = format!(",\"fields\":{}", json!({ key: { value: [1, "]}"] } }));
        let mut log = Log::new();
        log.say(0, &line(0, &event, &fields));
        log.say(1, &line(1, &event, &fields));
        log.settle(1, true);
        let records = log.records();
        prop_assert_eq!(records.len(), 2);
        let mut again = records[1].clone();
        let repeated = again["fields"].as_object_mut().unwrap().remove("repeated");
        prop_assert_eq!(&repeated.unwrap()["count"], 1);
        prop_assert_eq!(&again["fields"], &records[0]["fields"]);
        prop_assert_eq!(&again["event"], &records[0]["event"]);
    }

    /// What is no line of ours is left alone.
    #[test]
    fn odd_bytes_are_no_line(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\tspid0".to_vec()), 0..60)) {
        let mut bytes = bytes;
        bytes.extend_from_slice(SEQ_PLACEHOLDER);
        let _ = Said::json(&bytes);
    }
}

fn now_of(record: &Value) -> u64 {
    let text = record["ts"].as_str().unwrap();
    let number = |range: Range<usize>| text[range].parse::<u64>().unwrap();
    number(14..16) * 60_000_000 + number(17..19) * 1_000_000 + number(20..26)
}
