//! The compressed file: written member by member, and compared with its source.
//!
//! The `.gz` is a sequence of independent gzip members, each of about 1 MiB of whole lines (a longer line makes a longer
//! member). Each member's header carries the extra field `LS`: its own length in bytes and the length of what it holds, both
//! `u32` little endian (0: too long to say), so a reader can hop from member to member, or hand them to several threads.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::BorrowedFd;

use flate2::read::MultiGzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of text after which a member ends, at the next end of a line.
const MEMBER: usize = 1 << 20;

/// Bytes between two questions to the checkpoint.
const CHUNK: usize = 64 << 10;

/// Bytes after a member's text: its checksum and length.
const TRAILER: usize = 8;

/// Where the lengths stand in a member: after the fixed header (10 bytes), the length of the extra field (2), its id and length (4).
const LENGTHS: usize = 16;

/// The beginning of a member: gzip, deflate, an extra field and nothing else, no time, no system; then the extra field with its
/// lengths, which are noted when they are known.
const HEADER: [u8; 24] = *b"\x1f\x8b\x08\x04\0\0\0\0\x00\xff\x0c\0LS\x08\0\0\0\0\0\0\0\0\0";

/// Reads `source` to its end into members. False when the checkpoint said stop.
pub(super) fn write_members(
    source: &mut File,
    out: BorrowedFd<'_>,
    level: u32,
    checkpoint: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    // An empty segment has one empty member, so that `zcat` takes it too.
    let mut member = Member::start(out, level);
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
            if member.ended {
                member.next();
            }
            let end = member.end_in(rest);
            let (mine, others) = rest.split_at(end.unwrap_or(rest.len()));
            member.add(mine)?;
            rest = others;
            if end.is_some() {
                member.finish()?;
            }
        }
    }
    if !member.ended {
        member.finish()?;
    }
    Ok(true)
}

/// The member being written. One for all: what deflate needs is a third of a MiB, and freed and asked for again with every
/// member it would be several, which the process keeps.
struct Member<'a> {
    out: Fd<'a>,
    deflate: Compress,
    crc: Crc,
    /// Packed and not written yet.
    packed: Vec<u8>,
    /// Bytes of this member that are in the file.
    written: u64,
    /// Where it begins there.
    at: u64,
    ended: bool,
}

impl<'a> Member<'a> {
    fn start(out: BorrowedFd<'a>, level: u32) -> Self {
        let mut packed = Vec::with_capacity(CHUNK);
        packed.extend_from_slice(&HEADER);
        Self {
            out: Fd(out),
            deflate: Compress::new(Compression::new(level), false),
            crc: Crc::new(),
            packed,
            written: 0,
            at: 0,
            ended: false,
        }
    }

    /// Begins the one after it.
    fn next(&mut self) {
        self.deflate.reset();
        self.crc.reset();
        self.packed.extend_from_slice(&HEADER);
        self.at += self.written;
        (self.written, self.ended) = (0, false);
    }

    /// Where in `next` this member ends: after the first end of a line that makes it large enough.
    fn end_in(&self, next: &[u8]) -> Option<usize> {
        let held = usize::try_from(self.deflate.total_in()).unwrap_or(usize::MAX);
        let from = (MEMBER - 1).saturating_sub(held);
        let line = memchr::memchr(b'\n', next.get(from..)?)?;
        Some(from + line + 1)
    }

    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        self.crc.update(text);
        self.pack(text, FlushCompress::None)
    }

    /// Packs `text`, and with `Finish` what is held back too.
    fn pack(&mut self, mut text: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            // `compress_vec` fills what is allocated.
            if self.packed.len() == self.packed.capacity() {
                self.write_out()?;
            }
            let before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(text, &mut self.packed, flush)
                .map_err(io::Error::other)?;
            let taken = usize::try_from(self.deflate.total_in() - before);
            text = &text[taken.unwrap_or(text.len())..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => text.is_empty(),
            };
            if done {
                return Ok(());
            }
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.packed)?;
        self.written += self.packed.len() as u64;
        self.packed.clear();
        Ok(())
    }

    /// Ends the member and notes its lengths.
    fn finish(&mut self) -> io::Result<()> {
        self.pack(&[], FlushCompress::Finish)?;
        if self.packed.capacity() - self.packed.len() < TRAILER {
            self.write_out()?; // Or the buffer would grow.
        }
        self.packed.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.packed
            .extend_from_slice(&self.crc.amount().to_le_bytes());
        let member = self.written + self.packed.len() as u64;
        let lengths = match (
            u32::try_from(member),
            u32::try_from(self.deflate.total_in()),
        ) {
            (Ok(packed), Ok(text)) => (u64::from(text) << 32 | u64::from(packed)).to_le_bytes(),
            _ => [0; 8], // Too long to say.
        };
        let place = LENGTHS..LENGTHS + lengths.len();
        if self.written == 0 {
            self.packed[place].copy_from_slice(&lengths);
            self.write_out()?;
        } else {
            self.write_out()?;
            crate::failpoint::step();
            if rustix::io::pwrite(self.out.0, &lengths, self.at + LENGTHS as u64)? != lengths.len()
            {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.ended = true;
        Ok(())
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
