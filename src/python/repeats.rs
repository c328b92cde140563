//! A response is paid for once, however often its cost is logged: by the program, and by who listens to its HTTP calls.
//!
//! The last ids are remembered as keyed hashes of 128 bits, so that no provider can make two of its ids look the same.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::attach::AttachedCell;
use super::text::utf8;

/// Responses remembered. A repetition comes within moments; a program would need thousands of calls under way to outrun this.
const MOST: usize = 8192;

struct Recent {
    keys: [RandomState; 2],
    known: HashSet<u128>,
    /// In the order in which they came; the next one takes the place at `next`.
    order: Vec<u128>,
    next: usize,
}

impl Recent {
    fn new() -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            known: HashSet::new(),
            order: Vec::new(),
            next: 0,
        }
    }

    /// Notes an id; whether it was known before.
    fn repeated(&mut self, id: &[u8]) -> bool {
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(id)) << 64 | u128::from(low.hash_one(id));
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

static RECENT: AttachedCell<Option<Recent>> = AttachedCell::new(None);

/// Whether the cost of this response was logged before; from now on it was. What is no text, or empty, is no id.
pub(super) fn repeated(py: Python<'_>, response_id: Borrowed<'_, '_, PyAny>) -> bool {
    let Ok(id) = response_id.cast::<PyString>() else {
        return false;
    };
    match utf8(id.as_any().as_borrowed()) {
        Some(id) if !id.is_empty() => RECENT.with(py, |recent| {
            recent.get_or_insert_with(Recent::new).repeated(id)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_until_thousands_have_followed_it() {
        let mut recent = Recent::new();
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
