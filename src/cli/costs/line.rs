//! One line of a cost log: what was called, for what, and what it cost.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decimal::Decimal;

/// The keys of a line that are read.
#[derive(Deserialize)]
struct Line<'a> {
    logger: Option<Value>,
    ts: Option<Value>,
    timestamp: Option<Value>,
    session_id: Option<Value>,
    tool: Option<Value>,
    #[serde(borrow)]
    fields: Option<Fields<'a>>,
}

/// What stands in `fields`, and stood at the top with the predecessor of `log_cost`.
#[derive(Deserialize)]
struct Fields<'a> {
    provider: Option<Value>,
    model: Option<Value>,
    tier_id: Option<Value>,
    tier: Option<Value>,
    task: Option<Value>,
    #[serde(borrow)]
    tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Tokens {
    prompt: Option<Value>,
    completion: Option<Value>,
}

#[derive(Deserialize)]
struct Cost<'a> {
    #[serde(borrow)]
    total: Option<&'a RawValue>,
    currency: Option<Value>,
}

/// What one call cost, and what it is told apart by.
#[derive(Debug, Default, PartialEq)]
pub struct Call {
    pub at: Option<Timestamp>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub tier: Option<String>,
    pub tool: Option<String>,
    pub session: Option<String>,
    pub task: Option<String>,
    pub prompt: Option<i64>,
    pub completion: Option<i64>,
    pub currency: String,
    pub cost: Option<Decimal>,
}

/// What a line says, or `None` where it is none of a cost log.
pub fn read(line: &[u8]) -> Option<Call> {
    parse(line).or_else(|| parse(&without_lone_surrogates(line)?))
}

fn parse(line: &[u8]) -> Option<Call> {
    let whole = line;
    let line: Line<'_> = serde_json::from_slice(whole).ok()?;
    let logger = line.logger.as_ref().and_then(Value::as_str);
    let fields = match (logger, line.fields) {
        (Some("logspool.cost"), Some(fields)) => fields,
        (None, None) => {
            let fields: Fields<'_> = serde_json::from_slice(whole).ok()?;
            // An unknown cost is null there, which reads as none.
            fields.cost.or(fields.tokens)?;
            fields
        }
        _ => return None,
    };
    let tokens: Tokens = part(fields.tokens).unwrap_or_default();
    let (cost, currency) = match fields.cost {
        Some(raw) if raw.get().starts_with('{') => match part::<Cost<'_>>(Some(raw)) {
            Some(cost) => (cost.total.and_then(amount), text(cost.currency)),
            None => (None, None),
        },
        other => (other.and_then(amount), None),
    };
    let ts = line.ts.or(line.timestamp);
    Some(Call {
        at: ts.as_ref().and_then(at),
        provider: text(fields.provider),
        model: text(fields.model),
        tier: text(fields.tier_id).or_else(|| text(fields.tier)),
        tool: text(line.tool),
        session: text(line.session_id),
        task: text(fields.task),
        prompt: tokens.prompt.as_ref().and_then(Value::as_i64),
        completion: tokens.completion.as_ref().and_then(Value::as_i64),
        currency: currency.unwrap_or_else(|| "USD".to_owned()),
        cost,
    })
}

/// A moment: with its zone, without one in UTC, or in seconds since the epoch.
fn at(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_f64() {
        let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        return Timestamp::from_duration(since).ok();
    }
    let text = value.as_str()?;
    let without = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse()
        .ok()
        .or_else(|| without().map(|zoned| zoned.timestamp()))
}

/// The line with U+FFFD in the place of each escaped surrogate that has no other half: no text of Rust's can hold one, and one of Python's
/// can. `None` where there is none.
fn without_lone_surrogates(line: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended = Vec::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &line[at..]) {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.extend_from_slice(&line[done..at]);
                mended.extend_from_slice(b"\\ufffd");
                done = at + 6;
                6
            }
            _ => 2, // Also an escaped backslash, after which no escape begins.
        };
        at = at.min(line.len());
    }
    mended.extend_from_slice(&line[done..]);
    (done > 0).then_some(mended)
}

fn part<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// A number, digit by digit; also one that was written as text.
fn amount(raw: &RawValue) -> Option<Decimal> {
    Decimal::parse(raw.get().trim_matches('"'))
}

fn text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_digit_by_digit() {
        let call = read(
            br#"{"ts":"2026-11-21T10:00:00.000000Z","level":"INFO","logger":"logspool.cost","event":"openrouter_cost","tool":"infer",
            "fields":{"provider":"openrouter","model":"m","tier_id":"deep","tokens":{"prompt":3,"completion":null,"total":3},
            "cost":{"input":null,"output":null,"total":0.10000000000000000000000000001,"currency":"EUR","source":"provider"}}}"#,
        )
        .unwrap();
        assert_eq!(
            call.cost.unwrap().to_string(),
            "0.10000000000000000000000000001"
        );
        assert_eq!((call.prompt, call.completion), (Some(3), None));
        assert_eq!(
            (call.tool.as_deref(), call.tier.as_deref()),
            (Some("infer"), Some("deep"))
        );
        assert_eq!(call.currency, "EUR");
    }

    #[test]
    fn the_predecessors_lines_are_read_and_other_logs_are_not() {
        let old = read(br#"{"timestamp":"2026-01-01T00:00:00+00:00","tier":"t","model":"m","cost":{"total":"0.5"},"tokens":{"prompt":1}}"#);
        let old = old.unwrap();
        assert_eq!(
            (
                old.cost.unwrap().to_string().as_str(),
                old.tier.as_deref(),
                old.at.is_some()
            ),
            ("0.5", Some("t"), true)
        );
        for other in [
            &br#"{"logger":"logspool.http","fields":{"cost":{"total":1}}}"#[..],
            br#"{"logger":"app","event":"x"}"#,
            b"[]",
            b"{",
        ] {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn a_surrogate_without_its_other_half_hides_no_cost() {
        let of = |model: &str| {
            let line = format!(
                r#"{{"logger":"logspool.cost","fields":{{"model":"{model}","cost":{{"total":1.5}}}}}}"#
            );
            let call = read(line.as_bytes()).unwrap();
            assert_eq!(call.cost.unwrap().to_string(), "1.5");
            call.model.unwrap()
        };
        assert_eq!(of(r"a\ud800"), "a\u{fffd}");
        assert_eq!(of(r"\udc00b\uDBFF\n"), "\u{fffd}b\u{fffd}\n");
        assert_eq!(
            of(r"\ud83d\ude00\\ud800\ud83d\ud83d\ude00"),
            "\u{1f600}\\ud800\u{fffd}\u{1f600}"
        );
        for torn in [&b"{\"a\\"[..], b"\\ud8", b"\\"] {
            assert_eq!(read(torn), None);
        }
    }

    #[test]
    fn a_time_without_a_zone_is_utc_and_a_number_is_seconds() {
        let at = |written: &str| {
            let line = format!(r#"{{"timestamp":{written},"model":"m","cost":{{"total":1}}}}"#);
            read(line.as_bytes()).unwrap().at.map(|at| at.to_string())
        };
        for written in [
            r#""2026-11-20T10:00:00""#,
            r#""2026-11-20 10:00:00.000""#,
            r#""2026-11-20T11:00:00+01:00""#,
            "1795168800",
            "1795168800.0",
        ] {
            assert_eq!(
                at(written).as_deref(),
                Some("2026-11-20T10:00:00Z"),
                "{written}"
            );
        }
        for wrong in ["1e300", "\"\"", "null", "[]", "\"yesterday\""] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn unknown_is_not_zero() {
        let old =
            read(br#"{"timestamp":"2026-01-01T00:00:00Z","model":"m","tokens":{},"cost":null}"#);
        assert_eq!(old.unwrap().cost, None);
        let line = br#"{"logger":"logspool.cost","fields":{"cost":{"total":null},"tokens":null}}"#;
        assert_eq!(read(line).unwrap().cost, None);
    }
}
