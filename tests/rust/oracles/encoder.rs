//! Whatever the encoder writes is JSON, on one line, and reads back as what went in.

use logspool::json;
use serde_json::Value;

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut input = Bytes(data);
    let mut line = b"{".to_vec();
    let mut expected = Vec::new();
    let mut n = 0;
    while !input.is_empty() && n < 64 {
        if n > 0 {
            line.push(b',');
        }
        let key = format!("{n}:{}", text(&mut input));
        json::write_str(&mut line, &key);
        line.push(b':');
        let value = value(&mut input, &mut line);
        expected.push((key, value));
        n += 1;
    }
    line.push(b'}');
    let line = String::from_utf8(line).expect("UTF-8 for UTF-8");
    assert!(!line.contains(is_forbidden), "{line:?}");
    let parsed: serde_json::Map<String, Value> = serde_json::from_str(&line).expect("JSON");
    assert_eq!(parsed.len(), expected.len());
    for (key, value) in expected {
        assert_eq!(parsed[&key], value, "{key:?}");
    }
    not_utf8(data);
}

/// A value as text, a number or a time; gives what a reader must see.
fn value(input: &mut Bytes<'_>, line: &mut Vec<u8>) -> Value {
    match input.u8() % 6 {
        0 | 1 => {
            let text = text(input);
            json::write_str(line, &text);
            Value::from(text)
        }
        2 => {
            let text = text(input);
            line.push(b'"');
            let percent = json::write_to_percent(line, text.as_bytes());
            line.push(b'"');
            assert_eq!(percent, text.find('%').unwrap_or(text.len()));
            Value::from(&text[..percent])
        }
        3 => {
            let n = i64::from_le_bytes(input.take());
            json::write_int(line, n);
            Value::from(n)
        }
        4 => {
            let x = f64::from_bits(input.u64());
            let from = line.len();
            json::write_float(line, x);
            if x.is_finite() {
                // The reader of the test rounds some doubles in their last bit; the language's own does not.
                let text = std::str::from_utf8(&line[from..]).unwrap();
                let back: f64 = text.parse().unwrap();
                assert_eq!(back.to_bits(), x.to_bits(), "{text}");
                return serde_json::from_str(text).unwrap();
            }
            Value::Null
        }
        _ => {
            let micros = i64::from_le_bytes(input.take());
            let from = line.len();
            json::write_time(line, micros);
            let text: String = serde_json::from_slice(&line[from..]).unwrap();
            let time: jiff::Timestamp = text.parse().unwrap();
            if (-62_135_596_800_000_000..253_402_207_199_999_999).contains(&micros) {
                assert_eq!(time.as_microsecond(), micros);
            }
            Value::from(text)
        }
    }
}

fn text(input: &mut Bytes<'_>) -> String {
    let len = usize::from(input.u8()) % 64;
    let taken = len.min(input.0.len());
    let text = String::from_utf8_lossy(&input.0[..taken]).into_owned();
    input.0 = &input.0[taken..];
    text
}

fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Text that is no UTF-8, as lone surrogates are, does no harm either.
fn not_utf8(data: &[u8]) {
    let mut out = b"before".to_vec();
    json::write_quoted(&mut out, data);
    let quoted = out.strip_prefix(b"before\"").unwrap();
    let inside = quoted.strip_suffix(b"\"").unwrap();
    assert!(inside.iter().all(|b| *b >= 0x20 && *b != 0x7f));
    let mut escaped = false;
    for byte in inside {
        assert!(escaped || *byte != b'"', "{:?}", inside.escape_ascii());
        escaped = *byte == b'\\' && !escaped;
    }
    assert!(!escaped);
}
