//! Compression of a closed segment: never a moment at which neither the plain nor a whole compressed file is there.
//!
//! Order: temporary file in `.logspool/`, fsync, read back and compared with the source byte by byte, renamed to `<segment>.gz`, fsync of the
//! directory, and only then is the source unlinked, if it is still the file that was read. A kill anywhere leaves the plain
//! file, or both; the next run finds a finished `.gz` beside the plain one, compares it the same way and goes on from there.

mod members;

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, Stat, Timestamps};
use rustix::io::Errno;

use self::members::{Fd, Verdict, compare, write_members};
use super::lock::Lock;
use super::naming::{gz_name, segment_name};
use crate::failpoint;

/// The default level, by what `cargo bench --bench spool -- gzip` measures: records as this crate writes them (calls, costs, some
/// tracebacks, 397 bytes each on average) in members of 1 MiB; the CPU of one core for all of it, with reading back and comparing:
///
/// | level | MiB/s | size, % of the text | µs per record |
/// |---|---|---|---|
/// | 1 | 450 | 17.0 | 0.8 |
/// | **2** | **340** | **12.7** | **1.1** |
/// | 3 | 265 | 12.0 | 1.4 |
/// | 4 | 230 | 11.7 | 1.6 |
/// | 5 | 212 | 11.0 | 1.8 |
/// | 6 | 160 | 10.8 | 2.4 |
///
/// From 1 to 2 each point of size costs 0.06 µs; from 2 on, 0.4 and more. This runs beside the program it logs for.
pub const DEFAULT_LEVEL: u32 = 2;

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
        if !write_members(source, out, self.opts.level, self.opts.checkpoint)? {
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
        failpoint::step();
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
        failpoint::step();
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
        failpoint::step();
        let file = fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR)?;
        fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
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
        if self.there && !failpoint::died() {
            // Failing leaves a stale file, which the next run cleans.
            let _ = fs::unlinkat(self.dir, &self.name, AtFlags::empty());
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
