//! The compressed file: written member by member, and compared with its source.
//!
//! The `.gz` is a sequence of independent gzip members, each of about 1 MiB of whole lines (a longer line makes a longer
//! member). Each member's header carries the extra field `LS`: its own length in bytes and the length of what it holds, both
//! `u32` little endian (0: too long to say), so a reader can hop from member to member, or hand them to several threads.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::BorrowedFd;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rustix::fs;

/// Bytes of text after which a member ends, at the next end of a line.
const MEMBER: usize = 1 << 20;

/// Bytes between two questions to the checkpoint.
const CHUNK: usize = 64 << 10;

/// Where the lengths stand in a member: after the fixed header (10 bytes), the length of the extra field (2), its id and length (4).
const LENGTHS_AT: u64 = 16;

/// Reads `source` to its end into members. False when the checkpoint said stop.
pub(super) fn write_members(
    source: &mut File,
    out: BorrowedFd<'_>,
    level: u32,
    checkpoint: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    // An empty segment has one empty member, so that `zcat` takes it too.
    let mut member = Some(Member::start(out, at, level));
    loop {
        if checkpoint() {
            return Ok(false);
        }
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        let mut rest = &chunk[..read];
        while !rest.is_empty() {
            let current = member.get_or_insert_with(|| Member::start(out, at, level));
            let end = current.end_in(rest);
            let (mine, others) = rest.split_at(end.unwrap_or(rest.len()));
            current.encoder.write_all(mine)?;
            current.text += mine.len();
            rest = others;
            if end.is_some()
                && let Some(full) = member.take()
            {
                at = full.finish(out)?;
            }
        }
    }
    if let Some(last) = member {
        last.finish(out)?;
    }
    Ok(true)
}

struct Member<'a> {
    encoder: GzEncoder<Fd<'a>>,
    /// Where it begins in the file.
    at: u64,
    /// Bytes of text so far.
    text: usize,
}

impl<'a> Member<'a> {
    fn start(out: BorrowedFd<'a>, at: u64, level: u32) -> Self {
        let encoder = GzBuilder::new()
            .extra(*b"LS\x08\0\0\0\0\0\0\0\0\0")
            .write(Fd(out), Compression::new(level));
        Self {
            encoder,
            at,
            text: 0,
        }
    }

    /// Where in `next` this member ends: after the first end of a line that makes it large enough.
    fn end_in(&self, next: &[u8]) -> Option<usize> {
        let from = (MEMBER - 1).saturating_sub(self.text);
        let line = memchr::memchr(b'\n', next.get(from..)?)?;
        Some(from + line + 1)
    }

    /// Ends the member, notes its lengths, and gives the offset after it.
    fn finish(self, out: BorrowedFd<'_>) -> io::Result<u64> {
        self.encoder.finish()?;
        let end = fs::tell(out)?;
        if let (Ok(packed), Ok(text)) = (u32::try_from(end - self.at), u32::try_from(self.text)) {
            let lengths = (u64::from(text) << 32 | u64::from(packed)).to_le_bytes();
            crate::failpoint::step();
            if rustix::io::pwrite(out, &lengths, self.at + LENGTHS_AT)? != lengths.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(end)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The compressed file is whole and holds exactly the source.
    Same,
    /// It is damaged or short, and all that can be read of it is the beginning of the source.
    Beginning,
    /// It holds something that the source does not.
    Different,
    Stopped,
}

/// Compares what a compressed file holds with the source, both from where they stand.
pub(super) fn compare(
    gz: &mut impl Read,
    source: &mut impl Read,
    checkpoint: &dyn Fn() -> bool,
) -> io::Result<Verdict> {
    let mut head = [0; 2];
    let mut magic = 0;
    while magic < 2 {
        match gz.read(&mut head[magic..])? {
            0 => return Ok(Verdict::Beginning),
            read => magic += read,
        }
    }
    // Zeros are what a power cut leaves of a file; any other beginning is not a compressed file of ours.
    if head != [0x1f, 0x8b] && head != [0, 0] {
        return Ok(Verdict::Different);
    }
    let mut gz = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, head.as_slice().chain(gz)));
    let (mut unpacked, mut expected) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        if checkpoint() {
            return Ok(Verdict::Stopped);
        }
        let read = match gz.read(&mut unpacked) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // From the disk, and not about what was read.
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => return Ok(Verdict::Beginning),
        };
        if read == 0 {
            let more = source.read(&mut expected)? > 0;
            return Ok(if more {
                Verdict::Beginning
            } else {
                Verdict::Same
            });
        }
        match source.read_exact(&mut expected[..read]) {
            Ok(()) if unpacked[..read] == expected[..read] => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => return Ok(Verdict::Different),
        }
    }
}

/// Reads and writes a borrowed descriptor: a `File` would need a duplicate, which a forked child would inherit uncounted, lock and all.
pub(super) struct Fd<'a>(pub(super) BorrowedFd<'a>);

impl Read for Fd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buf)?)
    }
}

impl Write for Fd<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        crate::failpoint::parts(buf.len(), |n| {
            let _ = rustix::io::write(self.0, &buf[..n]);
        });
        Ok(rustix::io::write(self.0, buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
