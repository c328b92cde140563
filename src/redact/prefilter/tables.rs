//! The tables of the pass: which bytes may stand at each place of a window, and texts by a hash of their beginnings.

use super::words::frequency;

/// Bytes that are looked for at once; of a word of three, the fourth is any.
pub(super) const WINDOW: usize = 4;
/// Bytes that tell words, and beginnings of tokens, apart before they are compared.
pub(super) const HASHED: usize = 3;
/// Words share so many bits of a table's byte.
pub(super) const BUCKETS: usize = 8;

/// Which buckets have a byte at one place of their windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) low: [u8; 16],
    pub(super) high: [u8; 16],
}

impl Place {
    pub(super) fn add(&mut self, byte: u8, bucket: usize) {
        self.low[usize::from(byte & 15)] |= 1 << bucket;
        for upper in [byte | FOLD, byte & !FOLD] {
            self.high[usize::from(upper >> 4)] |= 1 << bucket;
        }
    }

    /// Any byte will do.
    pub(super) fn add_any(&mut self, bucket: usize) {
        for half in self.low.iter_mut().chain(&mut self.high) {
            *half |= 1 << bucket;
        }
    }

    /// The buckets of an ASCII byte, case folded.
    #[inline]
    pub(super) fn of(&self, byte: u8) -> u8 {
        self.low[usize::from(byte & 15)] & self.high[usize::from(byte >> 4)]
    }
}

/// What tokens are made of (letters, digits, `_`, `-`, `.`): a bit for each kind of upper half.
pub(super) const TOKEN: Place = {
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
pub(super) const FOLD: u8 = 0x20;

#[inline]
pub(in crate::redact) fn is_token(byte: u8) -> bool {
    TOKEN.of(byte) != 0
}

/// Texts by a hash of three of their bytes: a bit for each hash that one has, and where those are.
#[derive(Debug)]
pub(super) struct Index {
    bits: Box<[u64; Self::BITS / 64]>,
    /// (hash, which), sorted.
    known: Vec<(u16, u16)>,
}

impl Index {
    const BITS: usize = 4096;

    pub(super) fn new(windows: impl Iterator<Item = [u8; HASHED]>) -> Self {
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
    pub(super) fn may_have(&self, window: [u8; HASHED]) -> bool {
        let hash = Self::hash(window);
        self.bits[usize::from(hash) / 64] >> (hash % 64) & 1 != 0
    }

    /// Those that have the window, and perhaps others.
    pub(super) fn of(&self, window: [u8; HASHED]) -> impl Iterator<Item = usize> {
        let hash = Self::hash(window);
        let first = self.known.partition_point(|(known, _)| *known < hash);
        let those = self.known[first..].iter();
        those
            .take_while(move |(known, _)| *known == hash)
            .map(|(_, which)| usize::from(*which))
    }
}

/// What is looked for of a word, case folded; `None` is any byte.
pub(super) type Window = [Option<u8>; WINDOW];

pub(super) fn window(bytes: &[u8]) -> Option<[u8; HASHED]> {
    bytes.first_chunk().copied()
}

/// How likely a place passes a bucket, in some unit: tables tell only halves of bytes apart.
pub(super) fn passing(windows: &[Window]) -> u64 {
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
