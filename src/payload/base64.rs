//! Base64 within text: where it is, whether it is a payload, and what it decodes to. Both alphabets, in lines or not, also as JSON
//! escapes it (`\n`, `\/`).

use super::MIN_BASE64;

/// What a byte is to base64.
const UPPER: u8 = 1;
const LOWER: u8 = 2;
const DIGIT: u8 = 3;
/// `+` and `/`.
const PLAIN: u8 = 4;
/// `-` and `_`.
const URL: u8 = 5;
/// What may separate lines, also escaped, and the backslash of an escape.
const BREAK: u8 = 6;

/// What each byte is, and its six bits.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // Below 256.
        let b = byte as u8;
        table[byte] = match b {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => DIGIT,
            b'+' | b'/' => PLAIN,
            b'-' | b'_' => URL,
            b'\r' | b'\n' | b'\\' => BREAK,
            _ => 0,
        };
        byte += 1;
    }
    table
};

static BITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [0; 256];
    let mut at = 0;
    while at < 64 {
        #[allow(clippy::cast_possible_truncation)] // Below 64.
        {
            table[alphabet[at] as usize] = at as u8;
        }
        at += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// Lengths of lines that programs break base64 into.
const LINES: [usize; 6] = [60, 64, 72, 76, 80, 128];

/// Characters whose kinds are counted.
const COUNTED: usize = 64 << 10;

#[inline]
fn is_symbol(byte: u8) -> bool {
    matches!(CLASS[usize::from(byte)], UPPER..=URL)
}

/// Whether all of a piece are symbols: without branches or a table, so that many are asked at once.
#[inline]
fn all_symbols(piece: &[u8; 64]) -> bool {
    let mut others = 0;
    for &byte in piece {
        let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 26);
        let digit = u8::from(byte.wrapping_sub(b'0') < 10);
        let plus = u8::from(byte == b'+') | u8::from(byte == b'/');
        let dash = u8::from(byte == b'-') | u8::from(byte == b'_');
        others |= (letter | digit | plus | dash) ^ 1;
    }
    others == 0
}

/// How many symbols `text` begins with.
fn symbols(text: &[u8]) -> usize {
    let (pieces, _) = text.as_chunks::<64>();
    let whole = pieces.iter().take_while(|piece| all_symbols(piece)).count();
    let at = whole * 64;
    at + text[at..].iter().take_while(|b| is_symbol(**b)).count()
}

/// How many symbols and characters of line breaks `text` begins with.
fn symbols_and_breaks(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += symbols(&text[at..]);
        match text.get(at) {
            Some(byte) if CLASS[usize::from(*byte)] == BREAK => at += 1,
            _ => return at,
        }
    }
}

/// The next stretch, from `from` on, of symbols and what breaks lines that may hold a payload. Most of ordinary text is not looked at: a
/// stretch of that length has every so-manieth byte.
pub(super) fn run(text: &[u8], from: usize) -> Option<(usize, usize)> {
    const STEP: usize = MIN_BASE64 / 2;
    let within = |byte: &u8| CLASS[usize::from(*byte)] != 0;
    let mut at = from + STEP;
    while at < text.len() {
        if !within(&text[at]) {
            at += STEP;
            continue;
        }
        let before = text[from..at]
            .iter()
            .rev()
            .take_while(|b| within(b))
            .count();
        let start = at - before;
        let end = at + symbols_and_breaks(&text[at..]);
        if end - start >= MIN_BASE64 {
            return Some((start, end));
        }
        at = end + STEP;
    }
    None
}

/// Base64 at a place of a text.
pub(super) struct Body<'a> {
    text: &'a [u8],
    pub(super) start: usize,
    /// After its padding.
    pub(super) end: usize,
    /// Symbols, without padding and line breaks.
    pub(super) chars: usize,
    padding: usize,
    /// Length of its lines, where it has any.
    line: usize,
}

/// What stands between two symbols: a line break or an escape, and its length.
fn skip(text: &[u8]) -> Option<(Skip, usize)> {
    Some(match text {
        [b'\r', b'\n', ..] => (Skip::Line, 2),
        [b'\n' | b'\r', ..] => (Skip::Line, 1),
        [b'\\', b'r', b'\\', b'n', ..] => (Skip::Line, 4),
        [b'\\', b'n' | b'r', ..] => (Skip::Line, 2),
        [b'\\', b'/', ..] => (Skip::Escape, 1),
        _ => return None,
    })
}

#[derive(PartialEq, Eq)]
enum Skip {
    Line,
    Escape,
}

impl<'a> Body<'a> {
    /// All that stands at `start`, for who knows that it is base64.
    pub(super) fn at(text: &'a [u8], start: usize) -> Option<Self> {
        let body = Self::parse(text, start, text.len());
        (body.chars > 0 && body.chars % 4 != 1).then_some(body)
    }

    /// The first from `from` on, and before `end`, that is long enough: in one piece, or in lines as programs break them.
    pub(super) fn find(text: &'a [u8], from: usize, end: usize) -> Option<Self> {
        let mut at = from;
        while at < end {
            if !is_next(text, at, end) {
                at += skip(&text[at..end]).map_or(1, |(_, len)| len);
                continue;
            }
            let body = Self::parse(text, at, end);
            if body.chars >= MIN_BASE64 {
                return Some(body);
            }
            // A symbol at least was read.
            at = body.end.max(at + 1);
        }
        None
    }

    /// Reads on as long as it is base64: one line, or lines of one length that is usual and a shorter last one.
    fn parse(text: &'a [u8], start: usize, end: usize) -> Self {
        let (mut at, mut chars, mut line, mut in_line) = (start, 0, 0, 0);
        // Where the line before ended, and how many symbols there were.
        let mut whole = (start, 0);
        loop {
            let more = symbols(&text[at..end]);
            (at, chars, in_line) = (at + more, chars + more, in_line + more);
            match skip(&text[at..end]) {
                Some((Skip::Escape, len)) if is_next(text, at, end) => at += len,
                Some((Skip::Line, len)) if is_next(text, at + len, end) => {
                    if line == 0 && LINES.contains(&in_line) {
                        line = in_line;
                    }
                    if in_line != line {
                        break;
                    }
                    whole = (at, chars);
                    (at, in_line) = (at + len, 0);
                }
                _ => break,
            }
        }
        // What comes after the last whole line may be its end, or a word of the next sentence.
        let goes_on = text.get(at).is_some_and(|b| !b"=\r\n\"'<\\".contains(b));
        if line > 0 && (in_line > line || in_line < line && goes_on) {
            (at, chars) = whole;
        }
        let mut padding = 0;
        while padding < 2 && (chars + padding) % 4 != 0 && text.get(at + padding) == Some(&b'=') {
            padding += 1;
        }
        if (chars + padding) % 4 == 0 {
            at += padding;
        } else {
            padding = 0;
        }
        Self {
            text,
            start,
            end: at,
            chars,
            padding,
            line,
        }
    }

    /// Whether it reads as base64 of something: not as a hexadecimal dump, a very long name, or one character again and again.
    pub(super) fn is_payload(&self) -> bool {
        if self.chars % 4 == 1 || !self.line.is_multiple_of(4) {
            return false;
        }
        if self.text.get(self.end) == Some(&b'=') {
            return false;
        }
        let mut kinds = [0_usize; 8];
        let mut seen = 0_u64;
        let mut counted = 0;
        self.segments(COUNTED, |segment| {
            for byte in segment {
                kinds[usize::from(CLASS[usize::from(*byte)])] += 1;
                seen |= 1 << BITS[usize::from(*byte)];
            }
            counted += segment.len();
        });
        let kind = |kind: u8| kinds[usize::from(kind)];
        if kind(PLAIN) > 0 && kind(URL) > 0 {
            return false;
        }
        if super::magic::media_type(&self.head()).is_some() {
            return true;
        }
        let percent = |kind: usize| kind * 100 / counted.max(1);
        seen.count_ones() >= 40
            && (10..=75).contains(&percent(kind(UPPER)))
            && (10..=75).contains(&percent(kind(LOWER)))
            && (4..=60).contains(&percent(kind(DIGIT)))
            // A path or a list of words joined by dashes has more of these than one in thirty-two.
            && percent(kind(PLAIN) + kind(URL)) <= 12
    }

    /// Bytes it decodes to.
    pub(super) fn bytes(&self) -> usize {
        self.chars / 4 * 3
            + match self.chars % 4 {
                2 => 1,
                3 => 2,
                _ => 0,
            }
    }

    /// The first bytes it decodes to.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(48);
        self.decode_some(64, |bytes| head.extend_from_slice(bytes));
        head
    }

    /// All of it, decoded piece by piece.
    pub(super) fn decode(&self, take: impl FnMut(&[u8])) {
        self.decode_some(usize::MAX, take);
    }

    fn decode_some(&self, most: usize, mut take: impl FnMut(&[u8])) {
        let mut piece = Vec::with_capacity(6144);
        let (mut word, mut held) = (0_u32, 0);
        self.segments(most, |segment| {
            for byte in segment {
                word = word << 6 | u32::from(BITS[usize::from(*byte)]);
                held += 1;
                if held == 4 {
                    piece.extend_from_slice(&word.to_be_bytes()[1..]);
                    (word, held) = (0, 0);
                    if piece.len() >= 6141 {
                        take(&piece);
                        piece.clear();
                    }
                }
            }
        });
        match held {
            2 => piece.push((word >> 4).to_be_bytes()[3]),
            3 => piece.extend_from_slice(&(word >> 2).to_be_bytes()[2..]),
            _ => {}
        }
        take(&piece);
    }

    /// Its symbols piece by piece, at most so many.
    fn segments(&self, most: usize, mut take: impl FnMut(&[u8])) {
        let (mut at, mut left) = (self.start, most.min(self.chars));
        let end = self.end - self.padding;
        while at < end && left > 0 {
            let more = symbols(&self.text[at..end.min(at + left)]);
            take(&self.text[at..at + more]);
            (at, left) = (at + more, left - more);
            match skip(&self.text[at..end]) {
                Some((_, len)) => at += len,
                None => break,
            }
        }
    }
}

/// Whether a symbol, or an escaped one, stands there.
fn is_next(text: &[u8], at: usize, end: usize) -> bool {
    match text.get(at..end) {
        Some([byte, ..]) if is_symbol(*byte) => true,
        Some([b'\\', b'/', ..]) => true,
        _ => false,
    }
}
