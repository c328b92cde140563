//! The checksum of a frame: CRC-32C in four lanes.
//!
//! The processor's instruction takes three cycles until the next may begin that needs its result, and a line has some hundred words. So
//! each word of a block of 32 bytes goes into a lane of its own, and the lanes are joined at the end. Whatever is confined to one lane,
//! such as any run of up to 32 bits, changes the checksum as with CRC-32C; other damage goes unseen once in 2^32.
#![allow(unsafe_code)]

/// Begins with `seed` and `head`, the fixed part of a frame, and goes on with its payload.
#[inline]
pub(super) fn checksum(seed: u32, head: [u8; 12], payload: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has it.
        return unsafe { with_sse42(seed, head, payload) };
    }
    lanes(
        seed,
        head,
        payload,
        |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()),
        crc32c::crc32c_append,
    )
}

/// The same whatever the processor has; `word` and `bytes` go on with a CRC-32C.
#[inline(always)]
#[allow(clippy::inline_always)] // Or the instruction would be called, not used.
fn lanes(
    seed: u32,
    head: [u8; 12],
    payload: &[u8],
    word: impl Fn(u32, u64) -> u32,
    bytes: impl Fn(u32, &[u8]) -> u32,
) -> u32 {
    let mut lane = [bytes(seed, &head), !0, !1, !2];
    let mut blocks = payload.chunks_exact(32);
    for block in &mut blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, one) in lane.iter_mut().zip(words) {
            *lane = word(*lane, u64::from_le_bytes(*one));
        }
    }
    let (words, rest) = blocks.remainder().as_chunks::<8>();
    for (lane, one) in lane.iter_mut().zip(words) {
        *lane = word(*lane, u64::from_le_bytes(*one));
    }
    let [first, second, third, fourth] = lane;
    let joined = word(first, u64::from(second) | u64::from(third) << 32);
    bytes(word(joined, u64::from(fourth)), rest)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn with_sse42(seed: u32, head: [u8; 12], payload: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    // `crc32c_append` begins and ends with the complement, the instruction does not.
    #[allow(clippy::cast_possible_truncation)] // The upper half is zero.
    let word = |crc: u32, word: u64| !(_mm_crc32_u64(u64::from(!crc), word) as u32);
    let bytes = |crc: u32, bytes: &[u8]| {
        let mut crc = !crc;
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            crc = _mm_crc32_u32(crc, u32::from_le_bytes(*word));
        }
        for byte in rest {
            crc = _mm_crc32_u8(crc, *byte);
        }
        !crc
    };
    lanes(seed, head, payload, word, bytes)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)] // Any bytes will do.
mod tests {
    use super::*;

    fn plain(seed: u32, head: [u8; 12], payload: &[u8]) -> u32 {
        lanes(
            seed,
            head,
            payload,
            |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()),
            crc32c::crc32c_append,
        )
    }

    #[test]
    fn the_checksum_is_the_same_with_and_without_the_instruction() {
        let payload: Vec<u8> = (0..300_u32).map(|n| (n * 7 + n / 5) as u8).collect();
        for len in 0..payload.len() {
            let head = [len as u8; 12];
            assert_eq!(
                checksum(len as u32, head, &payload[..len]),
                plain(len as u32, head, &payload[..len])
            );
        }
    }

    #[test]
    fn every_flipped_bit_changes_the_checksum_and_so_does_every_missing_end() {
        let payload: Vec<u8> = (0..131_u32).map(|n| (n * 31) as u8).collect();
        let whole = checksum(9, [3; 12], &payload);
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(9, [3; 12], &damaged), whole, "bit {bit}");
        }
        for bit in 0..96 {
            let mut head = [3; 12];
            head[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(9, head, &payload), whole, "bit {bit} of the head");
        }
        for bit in 0..32 {
            assert_ne!(checksum(9 ^ 1 << bit, [3; 12], &payload), whole);
        }
        for len in 0..payload.len() {
            assert_ne!(checksum(9, [3; 12], &payload[..len]), whole);
        }
    }
}
