//! Append-only JSON writer: escapes, numbers, RFC 3339 time.
//!
//! Everything appends to a `Vec<u8>` and nothing fails. Text comes in as UTF-8, or as UTF-8 in which lone surrogates stand in
//! their three-byte form (what Python's `surrogatepass` gives); it goes out as UTF-8 with quote, backslash, C0, DEL, C1,
//! lone surrogates and whatever is not seen or steers what is ([`is_unseen`]) escaped, so that a line is one line in every
//! reader, harmless in a terminal, and reads as what it is.
#![allow(unsafe_code)]

use std::cell::Cell;

/// Length of the sequence text `<8-character ring id>-<10 hex digits>`.
pub const SEQ_LEN: usize = 19;

/// What closes every JSON line after its sequence text: quote, brace, newline.
pub const SEQ_TAIL: &[u8] = b"\"}\n";

/// The end of a line as the encoder leaves it: the ring patches the dashes, under its lock, by the sequence text.
pub const SEQ_PLACEHOLDER: &[u8] = b",\"seq\":\"-------------------\"}\n";

/// Appends `text` between quotes.
#[inline]
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    write_quoted(out, text.as_bytes());
}

/// Appends UTF-8 (lone surrogates allowed) between quotes.
#[inline]
pub fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// High bit set in the first byte (in memory order) that is zero; of later ones perhaps.
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word
}

/// High bit set in the first ASCII byte (in memory order) that needs escaping; bits after that one mean nothing.
#[inline]
fn ascii_special(word: u64) -> u64 {
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    let quote = zero(word ^ (LOW * 0x22));
    let backslash = zero(word ^ (LOW * 0x5c));
    let delete = zero(word ^ (LOW * 0x7f));
    control | quote | backslash | delete
}

/// High bit set in the first byte (in memory order) that needs escaping or is not ASCII; bits after that one mean nothing.
#[inline]
fn special(word: u64) -> u64 {
    (ascii_special(word) | word) & HIGH
}

/// The same, not of every byte beyond ASCII but of those that may begin a character to escape ([`odd`]): where the first byte does
/// not say, by the second. A word's last byte is marked for its own sake.
#[inline]
fn wide_special(word: u64) -> u64 {
    if word & HIGH == 0 {
        return ascii_special(word) & HIGH;
    }
    // High bit set in each byte whose other bits are not those of `byte`: exact, as nothing is carried over.
    let seven = word & !HIGH;
    let is_not = |word: u64, byte: u64| (word ^ (LOW * (byte & 0x7f))) + !HIGH;
    // The same of the byte after; the last byte of a word has none.
    let second = |marks: u64| (marks & HIGH) >> 8;
    // C2 and E2 differ in one bit, and so do BB and BF.
    let not_latin_or_marks = is_not(seven & !(LOW * 0x20), 0xc2);
    let not_arabic = is_not(seven, 0xd8) | second(is_not(seven, 0x9c));
    let not_mongolian = is_not(seven, 0xe1) | second(is_not(seven, 0xa0));
    let not_special = is_not(seven, 0xef) | second(is_not(seven & !(LOW * 0x04), 0xbb));
    let wide = not_latin_or_marks
        & not_arabic
        & not_mongolian
        & not_special
        & is_not(seven, 0xed)
        & is_not(seven, 0xf3);
    (ascii_special(word) | word & !wide) & HIGH
}

/// Whether a character is not seen, or changes the order, the line or the place in which others are shown: controls but for
/// ASCII's own, bidirectional marks and overrides, zero-width characters, separators of lines, tags. The joiner of emoji and of
/// some scripts is one of them.
#[must_use]
pub fn is_unseen(character: char) -> bool {
    matches!(character,
        // C1; soft hyphen; Arabic letter mark; Mongolian vowel separator.
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        // Zero width; left-to-right and right-to-left marks.
        | '\u{200b}'..='\u{200f}'
        // Separators of lines and paragraphs; embeddings and overrides.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // Byte order mark, interlinear annotation.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        // Tags (an invisible ASCII), selectors of variants without an end, and what is reserved to be ignored like them.
        | '\u{e0000}'..='\u{e0fff}')
}

/// The code point and the length of the character that `text` begins with, if it is beyond ASCII and must be escaped: a lone
/// surrogate, or one of [`is_unseen`].
#[inline]
fn odd(text: &[u8]) -> Option<(u32, usize)> {
    let found = match *text {
        [0xc2, low @ (0x80..=0x9f | 0xad), ..] => (u32::from(low), 2),
        [0xd8, 0x9c, ..] => (0x61c, 2),
        [0xe1, 0xa0, 0x8e, ..] => (0x180e, 3),
        [0xe2, 0x80, low @ (0x8b..=0x8f | 0xa8..=0xae), ..] => (0x2000 | u32::from(low & 0x3f), 3),
        [0xe2, 0x81, low @ 0xa0..=0xaf, ..] => (0x2040 | u32::from(low & 0x3f), 3),
        [0xed, middle @ 0xa0..=0xbf, low, ..] => (
            0xd000 | u32::from(middle & 0x3f) << 6 | u32::from(low & 0x3f),
            3,
        ),
        [0xef, 0xbb, 0xbf, ..] => (0xfeff, 3),
        [0xef, 0xbf, low @ 0xb9..=0xbb, ..] => (0xffc0 | u32::from(low & 0x3f), 3),
        [0xf3, 0xa0, third @ 0x80..=0xbf, low, ..] => (
            0xe_0000 | u32::from(third & 0x3f) << 6 | u32::from(low & 0x3f),
            4,
        ),
        _ => return None,
    };
    Some(found)
}

/// Appends UTF-8 (lone surrogates allowed) escaped, without quotes.
#[inline]
pub fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Room for the text unescaped and for one whole word stored past the end of it.
    out.reserve(text.len() + 8);
    let clean = copy_clean(out, text, special);
    if clean < text.len() {
        write_escaped_from(out, &text[clean..]);
    }
}

/// Appends `text` escaped up to the first `%`, and returns where that stands: the length of `text` if there is none.
#[inline]
pub fn write_to_percent(out: &mut Vec<u8>, text: &[u8]) -> usize {
    out.reserve(text.len() + 8);
    let clean = copy_clean(out, text, |word| {
        special(word) | zero(word ^ (LOW * 0x25)) & HIGH
    });
    match text.get(clean) {
        None | Some(b'%') => clean,
        Some(_) => {
            let rest = &text[clean..];
            let end = memchr::memchr(b'%', rest).unwrap_or(rest.len());
            write_escaped(out, &rest[..end]);
            clean + end
        }
    }
}

/// Copies whole words and then the rest, up to the first byte that `marks` marks, as [`special`] does; returns how many bytes.
/// `out` has room for `text` and eight bytes more.
#[inline]
fn copy_clean(out: &mut Vec<u8>, text: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    debug_assert!(out.capacity() - out.len() >= text.len() + 8);
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let (word, whole) = match rest.first_chunk::<8>() {
            Some(word) => (u64::from_le_bytes(*word), 8),
            None => (last_word(rest), rest.len()),
        };
        let hit = marks(word);
        let clean = if hit == 0 {
            whole
        } else {
            hit.trailing_zeros() as usize / 8
        };
        // SAFETY: no more than `text.len()` bytes were appended before, so that eight bytes fit after `len`; of them only
        // those that were copied from `text` become part of `out`.
        unsafe {
            let len = out.len();
            out.as_mut_ptr()
                .add(len)
                .cast::<[u8; 8]>()
                .write_unaligned(word.to_le_bytes());
            out.set_len(len + clean);
        }
        at += clean;
        if clean < 8 {
            return at;
        }
    }
}

/// Fewer than eight bytes as a word, in memory order, filled up with spaces.
#[inline]
fn last_word(rest: &[u8]) -> u64 {
    let spaces = LOW * 0x20;
    let len = rest.len();
    let word = if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>())
    {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << ((len - 4) * 8)
    } else if len > 0 {
        // One to three bytes: the first, the middle (or one of the others again) and the last.
        u64::from(rest[0])
            | u64::from(rest[len / 2]) << (len / 2 * 8)
            | u64::from(rest[len - 1]) << ((len - 1) * 8)
    } else {
        0
    };
    // `len` is below eight: the shift is in range.
    word | spaces << (len * 8)
}

/// An escape: how long it is, and its text.
type Escape = (u8, [u8; 7]);

/// What stands for each ASCII byte in a JSON string.
static ESCAPES: [Escape; 128] = {
    let hex = *b"0123456789abcdef";
    let mut escapes = [(1, [0; 7]); 128];
    let mut byte = 0;
    while byte < 128 {
        let letter = match byte {
            0x22 => b'"',
            0x5c => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            0x0a => b'n',
            0x0d => b'r',
            0x09 => b't',
            _ => 0,
        };
        #[allow(clippy::cast_possible_truncation)] // Below 128.
        let own = byte as u8;
        escapes[byte] = if letter != 0 {
            (2, [b'\\', letter, 0, 0, 0, 0, 0])
        } else if byte < 0x20 || byte == 0x7f {
            (
                6,
                [b'\\', b'u', b'0', b'0', hex[byte >> 4], hex[byte & 15], 0],
            )
        } else {
            (1, [own, 0, 0, 0, 0, 0, 0])
        };
        byte += 1;
    }
    escapes
};

/// The same as [`write_escaped`], of text that may begin with a byte that is odd or not ASCII.
fn write_escaped_from(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        // Room for all of it as it is and for what `copy_clean` stores past the end.
        out.reserve(rest.len() + 8);
        rest = &rest[copy_clean(out, rest, wide_special)..];
        let Some(&byte) = rest.first() else {
            return;
        };
        let used = match ESCAPES.get(usize::from(byte)) {
            Some((len, bytes)) => {
                out.reserve(8);
                // SAFETY: seven bytes fit, and the first `len` of them become part of `out`.
                unsafe {
                    let end = out.len();
                    out.as_mut_ptr().add(end).cast::<[u8; 7]>().write(*bytes);
                    out.set_len(end + usize::from(*len));
                }
                1
            }
            None => write_first(out, rest),
        };
        rest = &rest[used..];
    }
}

/// Appends the character at the start of `text`, which is beyond ASCII: escaped where it must be, else its first byte, or all of it
/// where that is sure; returns how many bytes.
fn write_first(out: &mut Vec<u8>, text: &[u8]) -> usize {
    if let Some((code, used)) = odd(text) {
        write_code(out, code);
        return used;
    }
    let len = match text {
        [0xc2..=0xdf, 0x80..=0xbf, ..] => 2,
        [0xe0..=0xef, 0x80..=0xbf, 0x80..=0xbf, ..] => 3,
        _ => 1,
    };
    out.extend_from_slice(&text[..len]);
    len
}

/// Appends `\uXXXX`, twice for what is beyond the basic plane.
fn write_code(out: &mut Vec<u8>, code: u32) {
    let mut unit = |code: u32| {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(b"0123456789abcdef"[(code >> shift & 0xf) as usize]);
        }
    };
    if let Some(beyond) = code.checked_sub(0x1_0000) {
        unit(0xd800 | beyond >> 10);
        unit(0xdc00 | beyond & 0x3ff);
    } else {
        unit(code);
    }
}

/// JSON text from elsewhere with whatever this writer would have escaped escaped: it reads back as the same.
#[must_use]
pub fn harmless(json: &str) -> String {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json.as_bytes();
    while let Some(&byte) = rest.first() {
        let used = match byte {
            // Stands in strings only, as all below.
            0x7f => {
                write_code(&mut out, 0x7f);
                1
            }
            0..0x7f => {
                out.push(byte);
                1
            }
            _ => write_first(&mut out, rest),
        };
        rest = &rest[used..];
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Copies the first and the last `N` of `len` bytes.
///
/// # Safety
/// `len` is at least `N`, and both pointers are good for `len` bytes.
#[inline]
unsafe fn push_ends<const N: usize>(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let last = from.add(len - N).cast::<[u8; N]>().read();
        to.cast::<[u8; N]>().write(from.cast::<[u8; N]>().read());
        to.add(len - N).cast::<[u8; N]>().write(last);
    }
}

/// Appends at most 32 bytes without a call: the runs of numbers are short.
#[inline]
fn push_short(out: &mut Vec<u8>, text: &[u8]) {
    const WIDE: usize = 16;
    let len = text.len();
    debug_assert!(len <= 2 * WIDE);
    out.reserve(2 * WIDE);
    // SAFETY: at least 32 bytes were reserved, and each branch writes the first `len` of them: with two moves that overlap,
    // both within `text`.
    unsafe {
        let (from, to) = (text.as_ptr(), out.as_mut_ptr().add(out.len()));
        match len {
            16.. => push_ends::<16>(from, to, len),
            8.. => push_ends::<8>(from, to, len),
            4.. => push_ends::<4>(from, to, len),
            2.. => push_ends::<2>(from, to, len),
            1 => to.write(*from),
            0 => {}
        }
        out.set_len(out.len() + len);
    }
}

/// Appends an integer.
#[inline]
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    push_short(out, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a float in the shortest form that reads back as the same double (`1.0` keeps its point); `null` where JSON has none.
#[inline]
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_short(out, zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// The numbers from 0 to 99 in two digits.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        #[allow(clippy::cast_possible_truncation)] // Below 10.
        {
            pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        }
        number += 1;
    }
    pairs
};

/// `2026-11-21T01:17:00.`: the part of a time that stays the same for a second.
type Second = [u8; 20];

thread_local! {
    /// The last second written by this thread; the sentinel is outside the range that is ever looked up.
    static LAST_SECOND: Cell<(i64, Second)> = const { Cell::new((i64::MIN, [0; 20])) };
}

/// The seconds that can be rendered: from year 1, as RFC 3339 needs four digits, to the last instant that `jiff` holds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_199;

/// Appends the time `micros` microseconds after the Unix epoch as RFC 3339 in UTC, quoted; clamped to the
/// years 0001 to 9999.
#[inline]
pub fn write_time(out: &mut Vec<u8>, micros: i64) {
    let second = micros
        .div_euclid(1_000_000)
        .clamp(*SECONDS.start(), *SECONDS.end());
    let rest = micros.rem_euclid(1_000_000).unsigned_abs();
    let prefix = match LAST_SECOND.get() {
        (known, prefix) if known == second => prefix,
        _ => second_text(second),
    };
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    text[1..21].copy_from_slice(&prefix);
    for (at, pair) in [
        (21, rest / 10_000),
        (23, rest / 100 % 100),
        (25, rest % 100),
    ] {
        #[allow(clippy::cast_possible_truncation)] // Below 100.
        text[at..at + 2].copy_from_slice(&PAIRS[pair as usize]);
    }
    out.extend_from_slice(&text);
}

/// Renders a second and remembers it for this thread.
#[cold]
fn second_text(second: i64) -> Second {
    let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let time = jiff::tz::Offset::UTC.to_datetime(time);
    let mut text = Second::default();
    let fields = [
        (0, 4, i64::from(time.year())),
        (5, 2, i64::from(time.month())),
        (8, 2, i64::from(time.day())),
        (11, 2, i64::from(time.hour())),
        (14, 2, i64::from(time.minute())),
        (17, 2, i64::from(time.second())),
    ];
    text.copy_from_slice(b"0000-00-00T00:00:00.");
    for (start, width, mut value) in fields {
        for digit in text[start..start + width].iter_mut().rev() {
            *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
    LAST_SECOND.set((second, text));
    text
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
