//! The JSON writer against `serde_json`.
use super::*;
use proptest::prelude::*;

fn quoted(text: &[u8]) -> String {
    let mut out = Vec::new();
    write_quoted(&mut out, text);
    String::from_utf8(out).expect("the writer gives UTF-8 for UTF-8")
}

fn float(value: f64) -> String {
    let mut out = Vec::new();
    write_float(&mut out, value);
    String::from_utf8(out).unwrap()
}

fn time(micros: i64) -> String {
    let mut out = Vec::new();
    write_time(&mut out, micros);
    String::from_utf8(out).unwrap()
}

fn is_forbidden(character: char) -> bool {
    character.is_control() || is_unseen(character)
}

/// Characters to escape and their neighbours in UTF-8, among others.
const ODD: &str = "[a-z\"\\\\\u{0}-\u{1f}\u{7f}-\u{b0}\u{600}-\u{63f}\u{1800}-\u{181f}\u{1ea0}-\u{1ea8}\u{2000}-\u{2070}\
                   \u{d7f0}-\u{d7ff}\u{fee0}-\u{ff0c}\u{fff0}-\u{ffff}\u{dfff0}-\u{e0080}\u{e0ff0}-\u{e1010}é語😀]{0,40}";

proptest! {
    #[test]
    fn any_text_reads_back_as_itself(text in any::<String>()) {
        prop_assert_eq!(serde_json::from_str::<String>(&quoted(text.as_bytes())).unwrap(), text);
    }

    #[test]
    fn odd_characters_read_back_and_never_stand_raw(text in ODD) {
        let line = quoted(text.as_bytes());
        prop_assert!(!line.contains(is_forbidden), "{line:?}");
        prop_assert!(text.chars().filter(|c| !c.is_ascii() && !is_forbidden(*c)).all(|c| line.contains(c)), "{line:?}");
        prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn json_from_elsewhere_is_made_harmless_and_reads_back_as_the_same(text in ODD) {
        let json = serde_json::json!({ text.clone(): [text] });
        let line = harmless(&json.to_string());
        prop_assert!(!line.contains(is_forbidden), "{line:?}");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), json);
    }

    #[test]
    fn any_finite_float_reads_back_as_the_same_double(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        prop_assert_eq!(float(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        prop_assert!(serde_json::from_str::<serde_json::Value>(&float(value)).unwrap().is_f64());
    }

    #[test]
    fn any_integer_reads_back(value in any::<i64>()) {
        let mut out = Vec::new();
        write_int(&mut out, value);
        prop_assert_eq!(serde_json::from_slice::<i64>(&out).unwrap(), value);
    }

    #[test]
    fn any_time_reads_back(micros in -62_135_596_800_000_000_i64..253_402_207_199_999_999) {
        let text: String = serde_json::from_str(&time(micros)).unwrap();
        prop_assert_eq!(text.len(), 27);
        prop_assert!(text.ends_with('Z'));
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_microsecond(), micros);
    }

    #[test]
    fn escaping_appends_and_leaves_what_was_there(before in any::<Vec<u8>>(), text in any::<String>()) {
        let mut out = before.clone();
        write_quoted(&mut out, text.as_bytes());
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let alone = quoted(text.as_bytes());
        prop_assert_eq!(&out[before.len()..], alone.as_bytes());
    }
}

#[test]
fn every_character_at_every_offset_of_a_word() {
    for code in (0..=0xffff_u32).chain(0xd_fff0..=0xe_1010) {
        let Some(character) = char::from_u32(code) else {
            continue;
        };
        for offset in [0, 3, 7, 8] {
            let text = format!("{}{character}tail of it", "x".repeat(offset));
            let line = quoted(text.as_bytes());
            assert!(!line.contains(is_forbidden), "U+{code:04x} stands raw");
            assert_eq!(
                serde_json::from_str::<String>(&line).unwrap(),
                text,
                "U+{code:04x}"
            );
        }
    }
}

#[test]
fn lone_surrogates_are_escaped() {
    assert_eq!(quoted(b"a\xed\xa0\x80b\xed\xbf\xbf"), r#""a\ud800b\udfff""#);
}

#[test]
fn truncated_sequences_are_copied_without_a_panic() {
    for text in [
        &b"\xed"[..],
        b"\xe2",
        b"\xe2\x80",
        b"\xc2",
        b"1234567\xed",
        b"\xff\xfe\xed\xa0",
    ] {
        let mut out = Vec::new();
        write_quoted(&mut out, text);
        assert!(out.len() >= 2 + text.len());
    }
}

#[test]
fn floats_without_a_json_form_are_null_and_whole_floats_keep_their_point() {
    assert_eq!(float(f64::NAN), "null");
    assert_eq!(float(f64::INFINITY), "null");
    assert_eq!(float(f64::NEG_INFINITY), "null");
    assert_eq!(float(1.0), "1.0");
    assert_eq!(float(-0.0), "-0.0");
    assert_eq!(float(0.1 + 0.2), "0.30000000000000004");
}

#[test]
fn times_are_cached_by_the_second_and_clamped_to_what_rfc_3339_can_write() {
    assert_eq!(time(0), r#""1970-01-01T00:00:00.000000Z""#);
    assert_eq!(time(999_999), r#""1970-01-01T00:00:00.999999Z""#);
    assert_eq!(time(1_000_000), r#""1970-01-01T00:00:01.000000Z""#);
    assert_eq!(time(-1), r#""1969-12-31T23:59:59.999999Z""#);
    assert!(time(i64::MAX).starts_with("\"9999-12-30T21:59:59"));
    assert!(time(i64::MIN).starts_with("\"0001-01-01T00:00:00"));
}

#[test]
fn the_end_of_a_line_has_the_lengths_the_ring_patches() {
    let text = &SEQ_PLACEHOLDER[SEQ_PLACEHOLDER.len() - SEQ_TAIL.len() - SEQ_LEN..];
    assert_eq!(text, [&[b'-'; SEQ_LEN][..], SEQ_TAIL].concat());
}
