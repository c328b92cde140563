//! Personal data: e-mail addresses, account and card numbers by their check digits, phone numbers. Off unless asked for.

use super::Pii;
use super::rules::{CARD, EMAIL, IBAN, PHONE};
use super::scan::{Scan, Why};

pub(super) fn find(scan: &mut Scan<'_>, pii: Pii) {
    if pii.email {
        emails(scan);
    }
    if pii.iban {
        ibans(scan);
    }
    if pii.card || pii.phone {
        numbers(scan, pii);
    }
}

/// The longest local part and the longest domain.
const MOST_LOCAL: usize = 64;
const MOST_DOMAIN: usize = 253;

fn emails(scan: &mut Scan<'_>) {
    let bytes = scan.bytes;
    let mut done = 0;
    for at in memchr::memchr_iter(b'@', bytes) {
        let local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+-'".contains(b) || *b >= 0x80;
        let before = bytes[done.max(at.saturating_sub(MOST_LOCAL))..at]
            .iter()
            .rev()
            .take_while(|b| local(b))
            .count();
        let mut start = at - before;
        let domain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || *b >= 0x80;
        let after = bytes[at + 1..]
            .iter()
            .take(MOST_DOMAIN)
            .take_while(|b| domain(b))
            .count();
        let mut end = at + 1 + after;
        while end > at && matches!(bytes[end - 1], b'.' | b'-') {
            end -= 1;
        }
        while start < at && matches!(bytes[start], b'.' | b'-' | b'%' | b'\'') {
            start += 1;
        }
        while !scan.text.is_char_boundary(start) {
            start += 1;
        }
        while !scan.text.is_char_boundary(end) {
            end -= 1;
        }
        done = at + 1;
        let host = &bytes[(at + 1).min(end)..end];
        let last = host.rsplit(|b| *b == b'.').next().unwrap_or_default();
        let is_host = host.contains(&b'.')
            && !host.starts_with(b".")
            && last.len() >= 2
            && last.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80);
        if start < at && is_host {
            done = end;
            scan.report(start..end, EMAIL, Why::Rule);
        }
    }
}

/// The longest: two letters, two digits, thirty of either.
const MOST_IBAN: usize = 34;

fn ibans(scan: &mut Scan<'_>) {
    let bytes = scan.bytes;
    let mut at = 0;
    while at + 15 <= bytes.len() {
        let begins = bytes[at].is_ascii_alphabetic()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 2].is_ascii_digit()
            && bytes[at + 3].is_ascii_digit()
            && scan.begins(at);
        if !begins {
            at += 1;
            continue;
        }
        let mut digits = Vec::with_capacity(MOST_IBAN);
        let mut ends = Vec::new();
        let mut next = at;
        while next < bytes.len() && digits.len() < MOST_IBAN {
            let b = bytes[next];
            if b.is_ascii_alphanumeric() {
                digits.push(b);
                next += 1;
                if !bytes.get(next).is_some_and(u8::is_ascii_alphanumeric) {
                    ends.push((digits.len(), next));
                }
            } else if matches!(b, b' ' | b'-')
                && digits.len() % 4 == 0
                && bytes.get(next + 1).is_some_and(u8::is_ascii_alphanumeric)
            {
                next += 1;
            } else {
                break;
            }
        }
        // The longest that checks: what follows after a space may be the next word.
        let found = ends
            .iter()
            .rev()
            .find(|(len, _)| *len >= 15 && checks_97(&digits[..*len]));
        if let Some(&(_, end)) = found {
            scan.report(at..end, IBAN, Why::Rule);
            at = end;
        } else {
            at += 4;
        }
    }
}

fn checks_97(iban: &[u8]) -> bool {
    let moved = iban[4..].iter().chain(&iban[..4]);
    moved.fold(0_u32, |rest, b| {
        let value = match b {
            b'0'..=b'9' => return (rest * 10 + u32::from(b - b'0')) % 97,
            _ => u32::from(b.to_ascii_uppercase() - b'A') + 10,
        };
        (rest * 100 + value) % 97
    }) == 1
}

/// Digits of the longest card number and of the longest phone number.
const MOST_CARD: usize = 19;
const MOST_PHONE: usize = 15;

/// Cards and phone numbers: groups of digits with one sign between them.
fn numbers(scan: &mut Scan<'_>, pii: Pii) {
    let bytes = scan.bytes;
    let mut at = 0;
    while at < bytes.len() {
        let b = bytes[at];
        let starts = b.is_ascii_digit() || b == b'+' || b == b'(';
        let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
        let alone = scan.begins(at) && !matches!(before, b'.' | b'_' | b'-' | b'+' | b'/' | b'#');
        if !starts || !alone {
            at += 1;
            continue;
        }
        let group = Group::read(bytes, at);
        let card = pii.card.then(|| group.card()).flatten();
        let phone = || pii.phone && group.is_phone();
        if let Some(end) = card {
            scan.report(at..end, CARD, Why::Rule);
            at = end;
        } else if phone() {
            scan.report(at..group.end, PHONE, Why::Rule);
            at = group.end;
        } else {
            // The next group of the same number is looked at as a beginning too only after a space.
            at += 1 + bytes[at + 1..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
        }
    }
}

/// Digits, and what stands between them.
struct Group {
    digits: Vec<u8>,
    /// After each digit: the end of the number if it ended there.
    ends: Vec<usize>,
    signs: Vec<u8>,
    plus: bool,
    parens: bool,
    end: usize,
    /// A letter, or more of a number, follows.
    goes_on: bool,
}

impl Group {
    fn read(bytes: &[u8], from: usize) -> Self {
        let mut group = Self {
            digits: Vec::new(),
            ends: Vec::new(),
            signs: Vec::new(),
            plus: bytes[from] == b'+',
            parens: false,
            end: from,
            goes_on: false,
        };
        let mut at = from + usize::from(group.plus);
        while at < bytes.len() && group.digits.len() <= MOST_CARD && at - from < 40 {
            let b = bytes[at];
            let next = bytes.get(at + 1).copied().unwrap_or(b' ');
            if b.is_ascii_digit() {
                group.digits.push(b - b'0');
                at += 1;
                group.ends.push(at);
                group.end = at;
            } else if b == b'(' && !group.parens && next.is_ascii_digit() && group.digits.len() <= 4
            {
                group.parens = true;
                at += 1;
            } else if b == b')' && group.parens {
                group.signs.push(b);
                at += 1 + usize::from(next == b' ' || next == b'-');
            } else if matches!(b, b' ' | b'-' | b'.' | b'/')
                && (next.is_ascii_digit() || next == b'(' && b == b' ')
            {
                group.signs.push(b);
                at += 1;
            } else {
                break;
            }
        }
        let after = bytes.get(group.end).copied().unwrap_or(b' ');
        let later = bytes.get(group.end + 1).copied().unwrap_or(b' ');
        group.goes_on = after.is_ascii_alphanumeric()
            || after == b'_'
            || matches!(after, b'.' | b'-' | b':') && later.is_ascii_alphanumeric();
        group
    }

    /// Where a card number that begins here ends.
    fn card(&self) -> Option<usize> {
        let uniform = self.signs.iter().all(|s| matches!(s, b' ' | b'-'));
        if self.plus
            || self.parens
            || !uniform
            || !(13..=MOST_CARD).contains(&self.digits.len())
            || self.goes_on
        {
            return None;
        }
        // The networks' numbers; 0, 1, 7, 8 and 9 begin timestamps, identifiers and other cards.
        if !matches!(self.digits[0], 2..=6) || self.digits.iter().all(|d| *d == self.digits[0]) {
            return None;
        }
        luhn(&self.digits).then_some(self.end)
    }

    fn is_phone(&self) -> bool {
        let count = self.digits.len();
        if self.goes_on || count > MOST_PHONE {
            return false;
        }
        if self.plus {
            return count >= 8 && self.digits[0] != 0;
        }
        let international = self.digits.starts_with(&[0, 0]) && count >= 10;
        // (415) 555-2671, 415-555-2671, 415.555.2671
        let northern = count == 10
            && self.digits[0] >= 2
            && self.digits[3] >= 2
            && (self.parens || self.signs == b"--" || self.signs == b"..");
        // 030 1234567, 0171/1234567, 06 12 34 56 78
        let trunk = self.digits.starts_with(&[0])
            && (9..=12).contains(&count)
            && !self.signs.is_empty()
            && !self.signs.contains(&b'.')
            && !(self.signs == b"--" || self.signs == b"//");
        international || northern || trunk
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &digit)| {
            let doubled = u32::from(digit) * if i % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}
