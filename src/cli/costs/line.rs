//! One line of a cost log: what was called, for what, and what it cost.

use jiff::Timestamp;
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
    let whole = line;
    let line: Line<'_> = serde_json::from_slice(whole).ok()?;
    let logger = line.logger.as_ref().and_then(Value::as_str);
    let fields = match (logger, line.fields) {
        (Some("logspool.cost"), Some(fields)) => fields,
        (None, None) => {
            let fields: Fields<'_> = serde_json::from_slice(whole).ok()?;
            fields.cost?;
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
    let ts = text(line.ts).or_else(|| text(line.timestamp));
    Some(Call {
        at: ts.and_then(|ts| ts.parse().ok()),
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
    fn unknown_is_not_zero() {
        let line = br#"{"logger":"logspool.cost","fields":{"cost":{"total":null},"tokens":null}}"#;
        assert_eq!(read(line).unwrap().cost, None);
    }
}
