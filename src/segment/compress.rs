//! Compression of a closed segment: never a moment at which neither the plain nor a whole compressed file is there.
//!
//! Order: temporary file in `.logspool/`, fsync, read back and compared with the source byte by byte, renamed to `<segment>.gz`, fsync of the
//! directory, and only then is the source unlinked, if it is still the file that was read. A kill anywhere leaves the plain
//! file, or both; the next run finds a finished `.gz` beside the plain one, compares it the same way and goes on from there.
//!
//! The `.gz` is a sequence of independent gzip members, each of about 1 MiB of whole lines (a longer line makes a longer
//! member). Each member's header carries the extra field `LS`: its own length in bytes and the length of what it holds, both
//! `u32` little endian (0: too long to say), so a reader can hop from member to member, or hand them to several threads.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, Stat, Timestamps};
use rustix::io::Errno;

use super::lock::Lock;
use super::naming::{gz_name, segment_name};

/// The default level, chosen on 32 MiB of records as this crate writes them (53,000 of 630 bytes: calls, costs, some tracebacks), in
/// members of 1 MiB, one core, medians of three:
///
/// | level | MB/s | size, % of the text | µs per record |
/// |---|---|---|---|
/// | 1 | 600 | 21.0 | 1.0 |
/// | **2** | **400** | **15.0** | **1.6** |
/// | 3 | 323 | 14.3 | 1.9 |
/// | 4 | 262 | 13.6 | 2.4 |
/// | 5 | 247 | 13.1 | 2.5 |
/// | 6 | 186 | 12.8 | 3.4 |
///
/// From 1 to 2 each point of size costs 0.1 µs; from 2 on, half a microsecond and more. This runs beside the program it logs for.
pub const DEFAULT_LEVEL: u32 = 2;

/// Bytes of text after which a member ends, at the next end of a line.
const MEMBER: usize = 1 << 20;

/// Bytes between two questions to the checkpoint.
const CHUNK: usize = 64 << 10;

/// Where the lengths stand in a member: after the fixed header (10 bytes), the length of the extra field (2), its id and length (4).
const LENGTHS_AT: u64 = 16;

/// How to compress.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Mode of the compressed file, whatever the umask.
    pub file_mode: u32,
    /// 1 (fast) to 9 (small).
    pub level: u32,
    /// Asked at least every 64 KiB of text; true means stop now, leaving everything as it was.
    pub checkpoint: &'a dyn Fn() -> bool,
    /// Called after each step, for tests that fail or kill there; `None` otherwise.
    pub on_step: Option<&'a dyn Fn(Step) -> io::Result<()>>,
}

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    SourceOpened,
    TempCreated,
    TempWritten,
    TempSynced,
    Verified,
    Renamed,
    DirSynced,
    SourceUnlinked,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 8] = [
        Self::SourceOpened,
        Self::TempCreated,
        Self::TempWritten,
        Self::TempSynced,
        Self::Verified,
        Self::Renamed,
        Self::DirSynced,
        Self::SourceUnlinked,
    ];
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The compressed file stands alone. Lengths in bytes, plain and compressed.
    Compressed {
        /// Of the plain file.
        bytes_in: u64,
        /// Of the compressed file.
        bytes_out: u64,
    },
    /// The checkpoint said stop; the plain file is as it was.
    Stopped,
    /// There is no plain file of this number.
    Gone,
}

/// Compresses segment `number` of the log `name` in `dir`. `spool_dir` is the `.logspool/` beside it (the same file system). The caller
/// holds the log's compression lock, see [`maintain`](super::retain::maintain).
///
/// # Errors
/// What could not be done, naming the file; the plain file is still there.
pub fn compress(
    dir: BorrowedFd<'_>,
    spool_dir: BorrowedFd<'_>,
    name: &str,
    number: u64,
    opts: &Options<'_>,
) -> io::Result<Outcome> {
    let job = Job {
        dir,
        spool_dir,
        plain: segment_name(name, number),
        gz: gz_name(name, number),
        temp_prefix: format!("{}{number}.", temp_prefix(name)),
        opts,
    };
    job.run()
        .map_err(|error| about(&format!("compress {}", job.plain), &error))
}

/// Removes temporary files that killed compressions of this log have left. Only names this module makes, and only those whose lock
/// nobody holds. Gives their number.
///
/// # Errors
/// The directory cannot be read.
pub fn clean_temporaries(spool_dir: BorrowedFd<'_>, name: &str) -> io::Result<u64> {
    let prefix = temp_prefix(name);
    let mut cleaned = 0;
    for entry in fs::Dir::read_from(spool_dir)? {
        let entry = entry?;
        let Ok(file) = entry.file_name().to_str() else {
            continue;
        };
        let ours = file
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(".tmp"))
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(number, salt)| {
                number.parse::<u64>().is_ok()
                    && salt.len() == 16
                    && u64::from_str_radix(salt, 16).is_ok()
            });
        if !ours {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(opened) = fs::openat(spool_dir, file, flags, Mode::empty()) else {
            continue;
        };
        if let Ok(Some(_stale)) = Lock::try_on(opened)
            && fs::unlinkat(spool_dir, file, AtFlags::empty()).is_ok()
        {
            cleaned += 1;
        }
    }
    Ok(cleaned)
}

/// `gz.<hash of the log's name>.`: a name of fixed length, so that a log whose segments' names just fit can be compressed too.
fn temp_prefix(name: &str) -> String {
    // FNV-1a: the same in every process and version.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("gz.{hash:016x}.")
}

struct Job<'a> {
    dir: BorrowedFd<'a>,
    spool_dir: BorrowedFd<'a>,
    plain: String,
    gz: String,
    temp_prefix: String,
    opts: &'a Options<'a>,
}

impl Job<'_> {
    fn run(&self) -> io::Result<Outcome> {
        let (mut source, before) = match open_regular(self.dir, &self.plain) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Gone),
            opened => opened?,
        };
        self.step(Step::SourceOpened)?;
        let leftover = match open_regular(self.dir, &self.gz) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(|error| about(&self.gz, &error))?),
        };
        if let Some((mut gz, gz_stat)) = leftover {
            // A run killed after its rename, or a foreign file. The plain file is the truth; only what it contains may be replaced.
            return match compare(&mut gz, &mut source, self.opts.checkpoint)? {
                Verdict::Stopped => Ok(Outcome::Stopped),
                Verdict::Same => {
                    gz.sync_all()?;
                    self.retire(&before, length(&gz_stat))
                }
                Verdict::Beginning => {
                    source.rewind()?;
                    self.make(&mut source, &before, Some(&gz_stat))
                }
                Verdict::Different => Err(self.in_the_way()),
            };
        }
        self.make(&mut source, &before, None)
    }

    /// Writes, verifies and publishes the compressed file, in place of the damaged one `replaces`.
    fn make(
        &self,
        source: &mut File,
        before: &Stat,
        replaces: Option<&Stat>,
    ) -> io::Result<Outcome> {
        let mut temp = Temp::create(self.spool_dir, &self.temp_prefix)?;
        self.step(Step::TempCreated)?;
        let out = temp.lock.as_fd();
        if !write_members(source, out, self.opts)? {
            return Ok(Outcome::Stopped);
        }
        adopt_attributes(out, before, self.opts.file_mode)?;
        self.step(Step::TempWritten)?;
        fs::fsync(out)?;
        self.step(Step::TempSynced)?;

        source.rewind()?;
        fs::seek(out, fs::SeekFrom::Start(0))?;
        match compare(&mut Fd(out), source, self.opts.checkpoint)? {
            Verdict::Same => {}
            Verdict::Stopped => return Ok(Outcome::Stopped),
            Verdict::Beginning | Verdict::Different => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "what was written does not read back as the source; the segment stays plain (check the disk and the memory)",
                ));
            }
        }
        self.check_unchanged(before)?;
        self.step(Step::Verified)?;

        let bytes_out = length(&fs::fstat(out)?);
        self.publish(&mut temp, replaces)?;
        self.step(Step::Renamed)?;
        self.retire(before, bytes_out)
    }

    /// Renames the temporary file to the compressed name; nothing but the damaged file looked at before is ever replaced.
    fn publish(&self, temp: &mut Temp<'_>, replaces: Option<&Stat>) -> io::Result<()> {
        let standing = match fs::statat(self.dir, &self.gz, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let flags = match (&standing, replaces) {
            (Some(now), Some(then)) if same_file(now, then) => RenameFlags::empty(),
            (Some(_), _) => return Err(self.in_the_way()),
            (None, _) => RenameFlags::NOREPLACE,
        };
        match fs::renameat_with(self.spool_dir, &temp.name, self.dir, &self.gz, flags) {
            // The file system cannot do it in one step: nothing stood there a moment ago, and the log's lock keeps our kind out.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::renameat(self.spool_dir, &temp.name, self.dir, &self.gz)?;
            }
            Err(Errno::EXIST) => return Err(self.in_the_way()),
            renamed => renamed?,
        }
        temp.there = false;
        Ok(())
    }

    /// Makes the compressed file's name durable and removes the plain file.
    fn retire(&self, before: &Stat, bytes_out: u64) -> io::Result<Outcome> {
        fs::fsync(self.dir)?;
        self.step(Step::DirSynced)?;
        self.check_unchanged(before)?;
        fs::unlinkat(self.dir, &self.plain, AtFlags::empty())?;
        self.step(Step::SourceUnlinked)?;
        Ok(Outcome::Compressed {
            bytes_in: length(before),
            bytes_out,
        })
    }

    fn check_unchanged(&self, before: &Stat) -> io::Result<()> {
        let now = fs::statat(self.dir, &self.plain, AtFlags::SYMLINK_NOFOLLOW)?;
        if same_file(&now, before) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the segment changed while it was being compressed; it stays plain (stop the other program that writes to it)",
        ))
    }

    fn in_the_way(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "{} already exists and holds something else; both files stay (move it away, then the segment is compressed)",
                self.gz
            ),
        )
    }

    fn step(&self, step: Step) -> io::Result<()> {
        self.opts.on_step.map_or(Ok(()), |hook| hook(step))
    }
}

/// A temporary file, locked while in use and removed unless it was renamed.
struct Temp<'a> {
    dir: BorrowedFd<'a>,
    name: String,
    lock: Lock,
    there: bool,
}

impl<'a> Temp<'a> {
    fn create(dir: BorrowedFd<'a>, prefix: &str) -> io::Result<Self> {
        let salt = RandomState::new().hash_one(std::process::id());
        let name = format!("{prefix}{salt:016x}.tmp");
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR)?;
        let lock = Lock::try_on(file)?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Self {
            dir,
            name,
            lock,
            there: true,
        })
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if self.there {
            // Failing leaves a stale file, which the next run cleans.
            let _ = fs::unlinkat(self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// Reads `source` to its end into members. False when the checkpoint said stop.
fn write_members(source: &mut File, out: BorrowedFd<'_>, opts: &Options) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    // An empty segment has one empty member, so that `zcat` takes it too.
    let mut member = Some(Member::start(out, at, opts.level));
    loop {
        if (opts.checkpoint)() {
            return Ok(false);
        }
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        let mut rest = &chunk[..read];
        while !rest.is_empty() {
            let current = member.get_or_insert_with(|| Member::start(out, at, opts.level));
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
            if rustix::io::pwrite(out, &lengths, self.at + LENGTHS_AT)? != lengths.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(end)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The compressed file is whole and holds exactly the source.
    Same,
    /// It is damaged or short, and all that can be read of it is the beginning of the source.
    Beginning,
    /// It holds something that the source does not.
    Different,
    Stopped,
}

/// Compares what a compressed file holds with the source, both from where they stand.
fn compare(
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

/// Opens a file for reading, without following a link or waiting for a fifo's writer.
fn open_regular(dir: BorrowedFd<'_>, name: &str) -> io::Result<(File, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::empty())?;
    let stat = fs::fstat(&file)?;
    if !fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file; it is left alone",
        ));
    }
    Ok((File::from(file), stat))
}

/// Gives the compressed file its mode, and the source's owner and time of modification as far as we may.
fn adopt_attributes(out: BorrowedFd<'_>, source: &Stat, file_mode: u32) -> io::Result<()> {
    let made = fs::fstat(out)?;
    if made.st_uid != source.st_uid || made.st_gid != source.st_gid {
        // A root process compressing a service's log must leave it readable to the service. Without the right, it stays ours.
        let (uid, gid) = (
            fs::Uid::from_raw(source.st_uid),
            fs::Gid::from_raw(source.st_gid),
        );
        let _ = fs::fchown(out, Some(uid), Some(gid));
    }
    let modified = fs::Timespec {
        tv_sec: source.st_mtime,
        tv_nsec: source.st_mtime_nsec.try_into().unwrap_or(0),
    };
    let times = Timestamps {
        last_access: modified,
        last_modification: modified,
    };
    let _ = fs::futimens(out, &times);
    // After the owner: changing that may clear bits of the mode.
    fs::fchmod(out, Mode::from_bits_truncate(file_mode))?;
    Ok(())
}

fn same_file(a: &Stat, b: &Stat) -> bool {
    let key = |s: &Stat| (s.st_dev, s.st_ino, s.st_size, s.st_mtime, s.st_mtime_nsec);
    key(a) == key(b)
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn about(what: &str, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{what}: {cause}"))
}

/// Reads and writes a borrowed descriptor: a `File` would need a duplicate, which a forked child would inherit uncounted, lock and all.
struct Fd<'a>(BorrowedFd<'a>);

impl Read for Fd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buf)?)
    }
}

impl Write for Fd<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
