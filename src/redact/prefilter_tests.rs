use super::*;
use proptest::prelude::*;

fn words(texts: &[&str], behind: Behind) -> Vec<Word> {
    let words = texts.iter().filter_map(|text| Word::new(text, behind));
    words.collect()
}

#[test]
fn words_and_tokens_are_found_wherever_they_stand() {
    let prefilter = Prefilter::new(
        words(&["password", "://", "\\u2"], Behind::Any),
        &["sk-", "ghp_"],
    );
    for length in [0, 1, 5, 30, 31, 32, 33, 34, 64, 65, 66, 100] {
        for secret in [
            "passWORD",
            "://",
            "\\u2",
            "sk-0123456789_abcdef",
            "ghp_0123456789abcdefghij",
        ] {
            let line = format!("{}{secret}", " ".repeat(length));
            for from in [0, length / 2, length] {
                assert!(
                    prefilter.find(line.as_bytes(), from).is_some(),
                    "{line} from {from}"
                );
            }
            assert_eq!(prefilter.find(line.as_bytes(), line.len()), None);
            assert_eq!(prefilter.find(&line.as_bytes()[..length + 2], 0), None);
        }
    }
}

#[test]
fn what_stands_around_a_word_counts() {
    for (behind, text, found) in [
        (Behind::Value, "{\"password\":1", false),
        (Behind::Value, "{\"user_password_2\":1", false),
        (Behind::Value, "{\"a\":\"password: x\"", true),
        (Behind::Value, "{\"a\":\"{\\\"password\\\": 1}\"", true),
        (Behind::Value, "\"the password\"", false),
        (Behind::Userinfo, "\"https://example.org/@x\"", false),
        (Behind::Userinfo, "\"https://user:word@example.org\"", true),
    ] {
        let prefilter = Prefilter::new(words(&["password", "://"], behind), &[]);
        assert_eq!(
            prefilter.find(text.as_bytes(), 0).is_some(),
            found,
            "{text}"
        );
    }
}

#[test]
fn a_token_begins_where_a_word_may_and_after_an_escape() {
    let prefilter = Prefilter::new(Vec::new(), &["sk-"]);
    for (text, found) in [
        ("sk-0123456789_abcdef", true),
        ("\\nsk-0123456789_abcdef", true),
        ("\\\\xffsk-0123456789_abcdef", true),
        ("%3Dsk-0123456789_abcdef", true),
        ("my_key_sk-0123456789_abcdef", true),
        ("some.risk-0123456789_abcdef", false),
        ("sk-0123456789", false),
    ] {
        assert_eq!(
            prefilter.find(text.as_bytes(), 0).is_some(),
            found,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn both_ways_find_the_same(
        line in "([a-zA-Z\"\\\\:/_@ é-]|sk-|[a-z0-9]{15,40}|ab){0,60}",
        texts in proptest::collection::vec("[a-e:_-]{3,6}", 0..30),
        from in 0_usize..50,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let prefilter = Prefilter::new(words(&texts, Behind::Any), &["sk-", "a-b", "abab"]);
        let line = line.as_bytes();
        let from = from.min(line.len());
        let (found, narrow) = (prefilter.find(line, from), prefilter.find_narrow(line, from));
        prop_assert_eq!(found.is_some(), narrow.is_some());
        // Of a word and a token within one run either will do: they stand in the same text.
        if let (Some(found), Some(narrow)) = (found, narrow) {
            let between = &line[found.min(narrow)..found.max(narrow)];
            prop_assert!(between.iter().all(|&byte| is_token(byte)), "{found} {narrow}");
        }
    }

    #[test]
    fn no_word_is_overlooked(line in "[a-eA-E:_-]{0,120}", texts in proptest::collection::vec("[a-e:_-]{3,6}", 1..30)) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let prefilter = Prefilter::new(words(&texts, Behind::Any), &[]);
        let folded = line.to_ascii_lowercase();
        let expected = texts.iter().any(|text| folded.contains(text));
        prop_assert_eq!(prefilter.find(line.as_bytes(), 0).is_some(), expected);
    }
}
