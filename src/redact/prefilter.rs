//! Where in a finished line a secret may stand: one pass that most lines leave without a hit.
//!
//! Rules begin at *anchors*. Two kinds of things are looked for, 32 bytes at a time:
//!
//! * **Words**: `password`, `token`, `bearer`, `://`, `-----BEGIN`. Four bytes of each, the rarest it has, case folded: each byte by two
//!   table lookups (its low and its high half), as Hyperscan's Teddy does. A place that passes is compared with the words.
//! * **Tokens**: `sk-…`, `ghp_…`, `eyJ…`. All are long, and most of what a line holds is short: runs of [`RUN`] characters that tokens are
//!   made of are looked for, and only within one the places where a token may begin.
//!
//! A hit says only that it is worth to ask the rules.
#![allow(unsafe_code)]

/// What must stand behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// Anything.
    Any,
    /// More than the end of the text, and it is no key of an object.
    Value,
    /// `://`: an `@`, before the path.
    Userinfo,
}

/// A word of at least three bytes.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Lower case.
    text: Box<[u8]>,
    behind: Behind,
    /// Where in `text` the bytes stand that are looked for.
    at: usize,
}

/// Bytes that are looked for at once; of a word of three, the fourth is any.
const WINDOW: usize = 4;
/// Bytes that tell words, and beginnings of tokens, apart before they are compared.
const HASHED: usize = 3;
/// Words share so many bits of a table's byte.
const BUCKETS: usize = 8;
/// The shortest token, with its beginning (an AWS key's id).
pub(super) const RUN: usize = 20;
/// So far an address is followed.
const ADDRESS: usize = 1024;
/// So far a word is followed.
const WORD: usize = 64;
/// Bytes of a block.
const LANES: usize = 32;
/// A token may begin so far into a run: after what is left of an escape (`\n`, `\xff`, `%3D`, `\u0022`).
const ESCAPE: usize = 5;

/// Which buckets have a byte at one place of their windows.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    low: [u8; 16],
    high: [u8; 16],
}

impl Place {
    fn add(&mut self, byte: u8, bucket: usize) {
        self.low[usize::from(byte & 15)] |= 1 << bucket;
        for upper in [byte | FOLD, byte & !FOLD] {
            self.high[usize::from(upper >> 4)] |= 1 << bucket;
        }
    }

    /// Any byte will do.
    fn add_any(&mut self, bucket: usize) {
        for half in self.low.iter_mut().chain(&mut self.high) {
            *half |= 1 << bucket;
        }
    }

    /// The buckets of an ASCII byte, case folded.
    #[inline]
    fn of(&self, byte: u8) -> u8 {
        self.low[usize::from(byte & 15)] & self.high[usize::from(byte >> 4)]
    }
}

/// What tokens are made of (letters, digits, `_`, `-`, `.`): a bit for each kind of upper half.
const TOKEN: Place = {
    let mut place = Place {
        low: [0; 16],
        high: [0; 16],
    };
    place.high[2] = 1;
    place.high[3] = 2;
    place.high[4] = 4;
    place.high[5] = 8 | 16;
    place.high[6] = 4;
    place.high[7] = 8;
    let mut low = 0;
    while low < 16 {
        let mut bits = 0;
        if low == 0xd || low == 0xe {
            bits |= 1;
        }
        if low <= 9 {
            bits |= 2;
        }
        if low >= 1 {
            bits |= 4;
        }
        if low <= 10 {
            bits |= 8;
        }
        if low == 15 {
            bits |= 16;
        }
        place.low[low] = bits;
        low += 1;
    }
    place
};

/// Case folded, as far as the tables are concerned: other bytes change, too, each into one that is none of theirs.
const FOLD: u8 = 0x20;

#[inline]
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.of(byte) != 0
}

/// Texts by a hash of three of their bytes: a bit for each hash that one has, and where those are.
#[derive(Debug)]
struct Index {
    bits: Box<[u64; Self::BITS / 64]>,
    /// (hash, which), sorted.
    known: Vec<(u16, u16)>,
}

impl Index {
    const BITS: usize = 4096;

    fn new(windows: impl Iterator<Item = [u8; HASHED]>) -> Self {
        let mut bits = Box::new([0; Self::BITS / 64]);
        let mut known = Vec::new();
        for (which, window) in (0..).zip(windows) {
            let hash = Self::hash(window);
            bits[usize::from(hash) / 64] |= 1 << (hash % 64);
            known.push((hash, which));
        }
        known.sort_unstable();
        Self { bits, known }
    }

    #[inline]
    fn hash([a, b, c]: [u8; HASHED]) -> u16 {
        let word = u32::from(a | FOLD) | u32::from(b | FOLD) << 8 | u32::from(c | FOLD) << 16;
        // The upper bits of a product depend on all of the word's.
        #[allow(clippy::cast_possible_truncation)] // Twelve bits.
        let hash = (word.wrapping_mul(0x9e37_79b1) >> 20) as u16;
        hash
    }

    #[inline]
    fn may_have(&self, window: [u8; HASHED]) -> bool {
        let hash = Self::hash(window);
        self.bits[usize::from(hash) / 64] >> (hash % 64) & 1 != 0
    }

    /// Those that have the window, and perhaps others.
    fn of(&self, window: [u8; HASHED]) -> impl Iterator<Item = usize> {
        let hash = Self::hash(window);
        let first = self.known.partition_point(|(known, _)| *known < hash);
        let those = self.known[first..].iter();
        those
            .take_while(move |(known, _)| *known == hash)
            .map(|(_, which)| usize::from(*which))
    }
}

/// What is looked for of a word, case folded; `None` is any byte.
type Window = [Option<u8>; WINDOW];

/// How often bytes stand in logs, roughly: of a hundred.
fn frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b'o' | b's' | b'"' | b'a' | b'i' | b'n' | b'r' | b'_' | b'0' | b'1' => 30,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'-' | b':' | b'/' | b'.' | b'2'..=b'9' => 15,
        b'g' | b'f' | b'h' | b'b' | b'y' | b' ' | b'=' => 8,
        _ => 3,
    }
}

fn window(bytes: &[u8]) -> Option<[u8; HASHED]> {
    bytes.first_chunk().copied()
}

impl Word {
    /// A word; `None` if it is shorter than three bytes.
    pub(super) fn new(text: &str, behind: Behind) -> Option<Self> {
        let text = text.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let weight =
            |window: &[u8]| -> u32 { window.iter().map(|&byte| frequency(byte)).product() };
        let windows = text.windows(WINDOW.min(text.len()).max(HASHED)).enumerate();
        let at = windows.min_by_key(|(_, window)| weight(window))?.0;
        Some(Self { text, behind, at })
    }

    /// Whether it is found wherever `text` is.
    pub(super) fn covers(&self, text: &str, behind: Behind) -> bool {
        let text = text.to_ascii_lowercase();
        let at = memchr::memmem::find(text.as_bytes(), &self.text);
        at.is_some() && (self.behind == Behind::Any || self.behind == behind)
    }

    /// Whether it stands at `start`.
    fn stands(&self, line: &[u8], start: usize) -> bool {
        let Some(there) = line.get(start..start + self.text.len()) else {
            return false;
        };
        let rest = &line[start + self.text.len()..];
        there.eq_ignore_ascii_case(&self.text)
            && match self.behind {
                Behind::Any => true,
                Behind::Value => has_value(rest),
                Behind::Userinfo => has_userinfo(rest),
            }
    }
}

/// Whether something follows that may be a value: not where the text ends, and not after the key of an object.
fn has_value(rest: &[u8]) -> bool {
    let word = rest
        .iter()
        .take(WORD)
        .position(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')));
    // Where quotes stand without a backslash, the text ends.
    word.is_none_or(|end| rest[end] != b'"')
}

/// Whether an `@` follows before the path, or behind a colon with more than a port, or the text was cut.
fn has_userinfo(rest: &[u8]) -> bool {
    let (mut colon, mut port) = (false, true);
    for &byte in rest.iter().take(ADDRESS) {
        match byte {
            b'@' => return true,
            b'"' | b'\\' | b' ' => return false,
            b'/' | b'?' | b'#' if port => return false,
            b':' if !colon => colon = true,
            _ if !byte.is_ascii() => return true,
            _ => port &= !colon || byte.is_ascii_digit(),
        }
    }
    rest.len() >= ADDRESS
}

/// The pass over a line.
#[derive(Debug)]
pub(super) struct Prefilter {
    places: [Place; WINDOW],
    words: Vec<Word>,
    by_window: Index,
    tokens: Vec<Box<[u8]>>,
    by_beginning: Index,
    wide: bool,
}

impl Prefilter {
    /// A pass that finds these words, and what begins as these tokens do (each with at least three bytes; others are left out).
    pub(super) fn new(words: Vec<Word>, tokens: &[&str]) -> Self {
        let mut places = [Place::default(); WINDOW];
        let mut buckets: Vec<Vec<Window>> = vec![Vec::new(); BUCKETS];
        for word in &words {
            let mut window = [None; WINDOW];
            for (place, byte) in window.iter_mut().zip(&word.text[word.at..]) {
                *place = Some(byte | FOLD);
            }
            let best = (0..BUCKETS).min_by_key(|&bucket| {
                let mut with = buckets[bucket].clone();
                let before = passing(&with);
                with.push(window);
                passing(&with) - before
            });
            let bucket = best.unwrap_or(0);
            buckets[bucket].push(window);
            for (place, byte) in places.iter_mut().zip(window) {
                match byte {
                    Some(byte) => place.add(byte, bucket),
                    None => place.add_any(bucket),
                }
            }
        }
        let tokens: Vec<Box<[u8]>> = tokens
            .iter()
            .filter(|token| token.len() >= HASHED)
            .map(|token| token.as_bytes().into())
            .collect();
        Self {
            places,
            by_window: Index::new(
                words
                    .iter()
                    .filter_map(|word| window(&word.text[word.at..])),
            ),
            words,
            by_beginning: Index::new(tokens.iter().filter_map(|token| window(token))),
            tokens,
            wide: is_wide(),
        }
    }

    /// The first place from `from` on at which it is worth to ask the rules.
    #[inline]
    pub(super) fn find(&self, line: &[u8], from: usize) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        if self.wide {
            // SAFETY: the processor has AVX2.
            return unsafe { self.find_wide(line, from) };
        }
        let _ = self.wide;
        self.find_narrow(line, from)
    }

    /// Byte by byte.
    fn find_narrow(&self, line: &[u8], from: usize) -> Option<usize> {
        let (mut run, mut checked) = (0, from);
        // A word may begin within a run before the run is long enough to be looked at: the earlier of both counts.
        let mut word = None;
        for at in from..line.len() {
            run = if is_token(line[at]) { run + 1 } else { 0 };
            if run == RUN && at >= checked {
                let start = at + 1 - run;
                checked = run_end(line, start);
                if let Some(token) = self.token_within(line, start, checked) {
                    return Some(word.map_or(token, |word: usize| word.min(token)));
                }
            }
            if word.is_some_and(|word| at >= word + RUN || run == 0) {
                return word;
            }
            let window = line[at..].iter().chain(&[b' '; WINDOW]);
            let pairs = self.places.iter().zip(window);
            let passed = pairs.fold(0xff, |passed, (place, byte)| passed & place.of(byte & 0x7f));
            if word.is_none() && passed != 0 && self.has_word(line, at) {
                word = Some(at);
            }
        }
        word
    }

    /// Whether a word has its window here.
    #[inline]
    fn has_word(&self, line: &[u8], at: usize) -> bool {
        let Some(window) = line.get(at..).and_then(window) else {
            return false;
        };
        self.by_window.may_have(window) && self.confirm_word(line, at, window)
    }

    #[inline(never)]
    fn confirm_word(&self, line: &[u8], at: usize, window: [u8; HASHED]) -> bool {
        self.by_window.of(window).any(|which| {
            let word = &self.words[which];
            at >= word.at && word.stands(line, at - word.at)
        })
    }

    /// Where a token begins within a run.
    #[inline(never)]
    fn token_within(&self, line: &[u8], start: usize, end: usize) -> Option<usize> {
        (start..end).find(|&at| {
            let begins = at <= start + ESCAPE || !line[at - 1].is_ascii_alphanumeric();
            begins
                && line.get(at..).and_then(window).is_some_and(|window| {
                    self.by_beginning.may_have(window)
                        && self.by_beginning.of(window).any(|which| {
                            let token = &self.tokens[which];
                            line[at..end].starts_with(token)
                        })
                })
        })
    }

    /// 32 bytes at a time.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[allow(clippy::cast_ptr_alignment)] // Loads that need none.
    unsafe fn find_wide(&self, line: &[u8], from: usize) -> Option<usize> {
        use std::arch::x86_64::{
            __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
            _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
            _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
        };
        const BLOCK: usize = LANES + WINDOW - 1;
        // SAFETY: the tables have 16 bytes each.
        let table = |place: &Place| unsafe {
            [&place.low, &place.high].map(|half| {
                _mm256_broadcastsi128_si256(_mm_loadu_si128(half.as_ptr().cast::<__m128i>()))
            })
        };
        let tables = [
            table(&self.places[0]),
            table(&self.places[1]),
            table(&self.places[2]),
            table(&self.places[3]),
        ];
        let token = table(&TOKEN);
        let seven = _mm256_set1_epi8(7);
        let (half, ascii) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x7f));
        let zero = _mm256_setzero_si256();
        let none =
            |passed: __m256i| _mm256_movemask_epi8(_mm256_cmpeq_epi8(passed, zero)).cast_unsigned();
        // 32 bytes, and their upper halves.
        let halves = |from: *const u8| {
            // SAFETY: `look` promises 35 bytes.
            let bytes = unsafe { _mm256_loadu_si256(from.cast::<__m256i>()) };
            [bytes, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half)]
        };
        // A shuffle takes its index from the lower half of a byte, and gives 0 for one from 0x80 on.
        let passing = |[bytes, upper]: [__m256i; 2], table: [__m256i; 2]| {
            _mm256_and_si256(
                _mm256_shuffle_epi8(table[0], bytes),
                _mm256_shuffle_epi8(table[1], upper),
            )
        };
        // Which of 32 bytes begin what may be a word, and which may be a token's. At least 35 bytes are there.
        let look = |block: *const u8| {
            let first = halves(block);
            // SAFETY: 35 bytes are there.
            let [second, third, [bytes, upper]] =
                unsafe { [1, 2, 3].map(|at| halves(block.add(at))) };
            // What may be any byte may be one that is not ASCII: its upper half is another's then, which is good enough.
            let fourth = [
                _mm256_and_si256(bytes, ascii),
                _mm256_and_si256(upper, seven),
            ];
            let passed = _mm256_and_si256(
                _mm256_and_si256(passing(first, tables[0]), passing(second, tables[1])),
                _mm256_and_si256(passing(third, tables[2]), passing(fourth, tables[3])),
            );
            (!none(passed), !none(passing(first, token)))
        };
        let mut runs = Runs::from(from);
        let mut at = from;
        while line.len() >= at + BLOCK {
            let (words, tokens) = look(line[at..].as_ptr());
            let begun = runs.add(tokens);
            if (words != 0 || begun != 0)
                && let Some(found) = self.settle(line, at, words, begun, &mut runs)
            {
                return Some(found);
            }
            at += LANES;
        }
        // The rest, filled up with spaces.
        let mut rest = [b' '; 2 * LANES + WINDOW - 1];
        let left = line.get(at..).unwrap_or_default();
        rest[..left.len()].copy_from_slice(left);
        for block in [0, LANES] {
            let (words, tokens) = look(rest[block..].as_ptr());
            let begun = runs.add(tokens);
            if (words != 0 || begun != 0)
                && let Some(found) = self.settle(line, at + block, words, begun, &mut runs)
            {
                return Some(found);
            }
        }
        None
    }

    /// The first place of a block, and of runs that reach into it, at which it is worth to ask.
    #[inline]
    fn settle(
        &self,
        line: &[u8],
        at: usize,
        mut words: u32,
        mut begun: u64,
        runs: &mut Runs,
    ) -> Option<usize> {
        let mut found = None;
        while words != 0 {
            let here = at + words.trailing_zeros() as usize;
            if self.has_word(line, here) {
                found = Some(here);
                break;
            }
            words &= words - 1;
        }
        while begun != 0 {
            // The window begins a block earlier.
            let start = (at + begun.trailing_zeros() as usize).saturating_sub(LANES);
            if start >= runs.checked {
                runs.checked = run_end(line, start);
                let token = self.token_within(line, start, runs.checked);
                if token.is_some() {
                    return found.map_or(token, |word| token.map(|token| token.min(word)));
                }
            }
            begun &= begun - 1;
        }
        found
    }
}

/// Runs of characters that tokens are made of, across blocks.
struct Runs {
    /// Which of the block before are such characters.
    before: u32,
    /// Up to here all runs were looked at.
    checked: usize,
}

impl Runs {
    fn from(from: usize) -> Self {
        Self {
            before: 0,
            checked: from,
        }
    }

    /// Takes a block; gives the places, from the beginning of the block before, at which [`RUN`] such characters begin.
    #[inline]
    fn add(&mut self, tokens: u32) -> u64 {
        let one = u64::from(self.before) | u64::from(tokens) << LANES;
        self.before = tokens;
        let two = one & one >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        let sixteen = eight & eight >> 8;
        sixteen & four >> (RUN - 4)
    }
}

fn run_end(line: &[u8], from: usize) -> usize {
    let rest = line[from..].iter();
    from + rest.take_while(|&&byte| is_token(byte)).count()
}

/// How likely a place passes a bucket, in some unit: tables tell only halves of bytes apart.
fn passing(windows: &[Window]) -> u64 {
    let sum = |place: usize| -> u64 {
        let passes = |byte: u8| {
            let byte = byte | FOLD;
            let with = |half: fn(u8) -> u8| {
                let mut known = windows.iter().map(|window| window[place]);
                known.any(|known| known.is_none_or(|known| half(known) == half(byte)))
            };
            with(|byte| byte & 15) && with(|byte| byte >> 4)
        };
        let those = (0x20_u8..0x7f).filter(|&byte| !byte.is_ascii_uppercase() && passes(byte));
        those.map(|byte| u64::from(frequency(byte))).sum()
    };
    (0..WINDOW).map(sum).product()
}

#[cfg(target_arch = "x86_64")]
fn is_wide() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_wide() -> bool {
    false
}

#[cfg(test)]
mod tests {
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
            prop_assert_eq!(prefilter.find(line, from), prefilter.find_narrow(line, from));
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
}
