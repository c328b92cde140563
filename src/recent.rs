//! What was seen lately: a bounded memory of texts, kept as keyed hashes of 128 bits, so that nobody can make two texts look the same.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Texts remembered.
const MOST: usize = 8192;

/// The last texts.
#[derive(Debug, Default)]
pub struct Recent {
    keys: [RandomState; 2],
    known: HashSet<u128>,
    /// In the order in which they came; the next one takes the place at `next`.
    order: Vec<u128>,
    next: usize,
}

impl Recent {
    /// Notes a text; whether it was known before.
    pub fn repeated(&mut self, text: &[u8]) -> bool {
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(text)) << 64 | u128::from(low.hash_one(text));
        if !self.known.insert(key) {
            return true;
        }
        if self.order.len() < MOST {
            self.order.push(key);
        } else {
            self.known.remove(&self.order[self.next]);
            self.order[self.next] = key;
            self.next = (self.next + 1) % MOST;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_until_thousands_have_followed_it() {
        let mut recent = Recent::default();
        assert!(!recent.repeated(b"first"));
        assert!(recent.repeated(b"first"));
        for n in 1..MOST {
            assert!(!recent.repeated(n.to_string().as_bytes()));
        }
        assert!(recent.repeated(b"first"));
        assert!(!recent.repeated(b"one more"));
        assert!(!recent.repeated(b"first"), "forgotten, as the oldest");
        assert_eq!((recent.known.len(), recent.order.len()), (MOST, MOST));
    }
}
