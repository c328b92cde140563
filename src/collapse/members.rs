//! The members of a finished line, found without reading it whole.

use std::ops::Range;

use memchr::memchr2;

/// A member of an object: its name as written, where its comma or its name begins, and where its value stands.
pub(super) struct Member<'a> {
    pub(super) name: &'a [u8],
    pub(super) begin: usize,
    pub(super) value: Range<usize>,
}

/// The members of an object that a finished line is or holds.
pub(super) struct Members<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let (text, begin) = (self.text, self.at);
        if text.get(begin + 1) != Some(&b'"') {
            return None;
        }
        let end = string_end(text, begin + 1)?;
        let value = end + 1..value_end(text, end + 1)?;
        self.at = value.end;
        Some(Member {
            name: &text[begin + 2..end - 1],
            begin,
            value,
        })
    }
}

/// Where the string ends that begins at `at`.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the value ends that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match *text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}
