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
mod tables;
mod words;

use tables::{BUCKETS, HASHED, Index, Place, TOKEN, WINDOW, Window, passing, window};

pub(super) use tables::is_token;
pub(super) use words::{Behind, Word};

/// The shortest token, with its beginning (an AWS key's id).
pub(super) const RUN: usize = 20;
/// Bytes of a block.
const LANES: usize = 32;
/// A token may begin so far into a run: after what is left of an escape (`\n`, `\xff`, `%3D`, `\u0022`).
const ESCAPE: usize = 5;

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
            let window = word.window();
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

#[cfg(target_arch = "x86_64")]
fn is_wide() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_wide() -> bool {
    false
}

#[cfg(test)]
#[path = "prefilter_tests.rs"]
mod tests;
