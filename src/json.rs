//! Append-only JSON writer: escapes, numbers, RFC 3339 time.
//!
//! Everything appends to a `Vec<u8>` and nothing fails. Text comes in as UTF-8, or as UTF-8 in which lone surrogates stand in
//! their three-byte form (what Python's `surrogatepass` gives); it goes out as UTF-8 with quote, backslash, C0, DEL, C1,
//! U+2028, U+2029 and lone surrogates escaped, so that a line is one line in every reader and harmless in a terminal.
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

/// High bit set in the first byte (in memory order) that may need escaping; bits after that one mean nothing.
#[inline]
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    let quote = zero(word ^ (LOW * 0x22));
    let backslash = zero(word ^ (LOW * 0x5c));
    let delete = zero(word ^ (LOW * 0x7f));
    (control | quote | backslash | delete | word) & HIGH
}

/// Bytes that may begin something to escape. C2, E2 and ED lead C1 controls, U+2028/9 and surrogates.
static ODD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte < 0x20 || matches!(byte, 0x22 | 0x5c | 0x7f | 0xc2 | 0xe2 | 0xed);
        byte += 1;
    }
    table
};

/// Appends UTF-8 (lone surrogates allowed) escaped, without quotes.
#[inline]
pub fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Room for the text unescaped and for one whole word stored past the end of it.
    out.reserve(text.len() + 8);
    let clean = copy_clean(out, text, |_| 0);
    if clean < text.len() {
        write_escaped_from(out, &text[clean..]);
    }
}

/// Appends `text` escaped up to the first `%`, and returns where that stands: the length of `text` if there is none.
#[inline]
pub fn write_to_percent(out: &mut Vec<u8>, text: &[u8]) -> usize {
    out.reserve(text.len() + 8);
    let clean = copy_clean(out, text, |word| zero(word ^ (LOW * 0x25)) & HIGH);
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

/// Copies whole words and then the rest, up to the first byte that may need escaping; returns how many bytes. `out` has room
/// for `text` and eight bytes more. `also` marks more bytes to stop at, as [`special`] does.
#[inline]
fn copy_clean(out: &mut Vec<u8>, text: &[u8], also: impl Fn(u64) -> u64) -> usize {
    debug_assert!(out.capacity() - out.len() >= text.len() + 8);
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let (word, whole) = match rest.first_chunk::<8>() {
            Some(word) => (u64::from_le_bytes(*word), 8),
            None => (last_word(rest), rest.len()),
        };
        let hit = special(word) | also(word);
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

/// The same as [`write_escaped`], of text that begins with a byte that is odd or not ASCII.
fn write_escaped_from(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(&byte) = rest.first() {
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
            None => write_wide(out, rest),
        };
        rest = &rest[used..];
        // Room for all of it as it is and for what `copy_clean` stores past the end.
        out.reserve(rest.len() + 8);
        rest = &rest[copy_clean(out, rest, |_| 0)..];
    }
}

/// Appends the characters at the start of `text` that are not ASCII, or the first of them if that needs an escape; returns how many bytes.
#[cold]
fn write_wide(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let run = text
        .iter()
        .position(|&byte| ODD[usize::from(byte)] || byte.is_ascii())
        .unwrap_or(text.len());
    if run == 0 {
        return write_odd(out, text);
    }
    out.extend_from_slice(&text[..run]);
    run
}

/// Appends the first character of `text`, which is not ASCII, escaped where it must be, and returns how many bytes it has.
fn write_odd(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let code = match *text {
        [0xc2, low @ 0x80..=0x9f, ..] => (u16::from(low), 2),
        [0xe2, 0x80, low @ (0xa8 | 0xa9), ..] => (0x2000 | u16::from(low & 0x3f), 3),
        [0xed, middle @ 0xa0..=0xbf, low, ..] => (
            0xd000 | u16::from(middle & 0x3f) << 6 | u16::from(low & 0x3f),
            3,
        ),
        [byte, ..] => {
            out.push(byte);
            return 1;
        }
        [] => return 0,
    };
    let (code, used) = code;
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[usize::from(code >> shift & 0xf)]);
    }
    used
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
