//! A key's name as rules see it: letters and digits in lower case, and where its words begin.

/// Bytes of a name that are looked at: its last ones, which say what it is.
pub(super) const MAX_NAME: usize = 128;

/// `X-Api-Key`, `x_api_key`, `xApiKey` and `x api key` are all `xapikey`, with the same three words.
pub(super) struct Folded {
    bytes: [u8; MAX_NAME],
    len: usize,
    /// Bit i: a word begins at byte i.
    starts: u128,
}

impl Folded {
    pub(super) fn of(name: &[u8]) -> Self {
        let name = &name[name.len().saturating_sub(MAX_NAME)..];
        let mut folded = Self {
            bytes: [0; MAX_NAME],
            len: 0,
            starts: 0,
        };
        let mut before = b'_';
        for (at, &byte) in name.iter().enumerate() {
            if byte.is_ascii_alphanumeric() || byte >= 0x80 {
                let upper_to_lower = || {
                    before.is_ascii_uppercase()
                        && name.get(at + 1).is_some_and(u8::is_ascii_lowercase)
                };
                let begins = !(before.is_ascii_alphanumeric() || before >= 0x80)
                    || byte.is_ascii_uppercase()
                        && (!before.is_ascii_uppercase() || upper_to_lower())
                    || before.is_ascii_digit() && byte.is_ascii_alphabetic();
                folded.starts |= u128::from(begins) << folded.len;
                folded.bytes[folded.len] = byte.to_ascii_lowercase();
                folded.len += 1;
            }
            before = byte;
        }
        folded
    }

    /// Letters and digits, in lower case.
    pub(super) fn compact(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether a word begins at `at`.
    pub(super) fn begins(&self, at: usize) -> bool {
        at < MAX_NAME && self.starts >> at & 1 == 1
    }

    /// The longest word, if it is ASCII.
    pub(super) fn longest_word(&self) -> Option<&str> {
        let mut longest = 0..0;
        let mut end = self.len;
        while end > 0 {
            let start = self.last_word(end);
            if end - start >= longest.len() {
                longest = start..end;
            }
            end = start;
        }
        let word = std::str::from_utf8(&self.bytes[longest]).ok()?;
        (!word.is_empty() && word.is_ascii()).then_some(word)
    }

    /// Where the last word before `end` begins.
    pub(super) fn last_word(&self, end: usize) -> usize {
        let before = if end >= MAX_NAME {
            self.starts
        } else {
            self.starts & ((1_u128 << end) - 1)
        };
        (u128::BITS - before.leading_zeros()).saturating_sub(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str) -> Vec<String> {
        let folded = Folded::of(name.as_bytes());
        let mut words: Vec<String> = Vec::new();
        for (at, &byte) in folded.compact().iter().enumerate() {
            if folded.begins(at) {
                words.push(String::new());
            }
            words.last_mut().unwrap().push(char::from(byte));
        }
        words
    }

    #[test]
    fn every_spelling_of_a_name_has_the_same_words() {
        for name in [
            "x-api-key",
            "X_API_KEY",
            "xApiKey",
            "XAPIKey",
            "X Api.Key",
            "x[api][key]",
        ] {
            assert_eq!(words(name).concat(), "xapikey", "{name}");
        }
        assert_eq!(words("OPENAI_API_KEY"), ["openai", "api", "key"]);
        assert_eq!(words("githubToken2"), ["github", "token2"]);
        assert_eq!(words("APIKey"), ["api", "key"]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn of_a_long_name_the_end_counts() {
        let name = format!("{}_password", "a".repeat(500));
        let folded = Folded::of(name.as_bytes());
        assert!(folded.compact().ends_with(b"password"));
        let at = folded.compact().len() - "password".len();
        assert_eq!(folded.last_word(folded.compact().len()), at);
        assert_eq!(folded.last_word(0), 0);
    }
}
