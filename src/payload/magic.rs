//! What bytes are, by how they begin.

/// The media type of a known format, by its first bytes; `None` for any other.
#[must_use]
pub fn media_type(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, what: &[u8]| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(what))
    };
    let byte = |offset: usize| head.get(offset).copied().unwrap_or(0);
    Some(match byte(0) {
        0x89 if at(0, b"\x89PNG\r\n\x1a\n") => "image/png",
        0xff if at(0, b"\xff\xd8\xff") => "image/jpeg",
        // A frame of MPEG audio, layer III: its rates are none of those that are not allowed.
        0xff if matches!(byte(1), 0xfb | 0xfa | 0xf3 | 0xf2)
            && byte(2) >> 4 != 0
            && byte(2) >> 4 != 0xf
            && byte(2) >> 2 & 3 != 3 =>
        {
            "audio/mpeg"
        }
        b'G' if at(0, b"GIF87a") || at(0, b"GIF89a") => "image/gif",
        b'R' if at(0, b"RIFF") && at(8, b"WEBP") => "image/webp",
        b'R' if at(0, b"RIFF") && at(8, b"WAVE") => "audio/wav",
        b'%' if at(0, b"%PDF-") => "application/pdf",
        b'P' if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") => "application/zip",
        0x1f if at(0, b"\x1f\x8b\x08") => "application/gzip",
        // What follows is a version, not a word.
        b'I' if at(0, b"ID3") && byte(3) < 0x10 && byte(4) < 0x10 => "audio/mpeg",
        b'O' if at(0, b"OggS\0") => "audio/ogg",
        _ if at(4, b"ftyp") && byte(0) == 0 => "video/mp4",
        _ => return None,
    })
}

/// Bytes that are looked at.
const SAMPLE: usize = 4096;

/// Whether bytes are plainly no text of any encoding: UTF-8 is text, and so is what has neither NULs nor many controls, as old
/// single-byte encodings have none.
pub fn is_binary(data: &[u8]) -> bool {
    let sample = &data[..data.len().min(SAMPLE)];
    let (mut valid, mut controls) = (0, 0);
    for chunk in sample.utf8_chunks() {
        valid += chunk.valid().len();
    }
    for &byte in sample {
        if byte == 0 {
            return true;
        }
        controls +=
            usize::from(byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b));
    }
    // A character may be cut at the end of the sample.
    valid + 3 < sample.len() && controls * 50 > sample.len()
}
