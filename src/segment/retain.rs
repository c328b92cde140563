//! Which closed segments are compressed and which are deleted, and the pass over one log that does both.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::compress::{self, Outcome, Step};
use super::lock::Lock;
use super::naming::{self, Segment};

/// What to keep, and how.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Closed segments kept; 0 keeps all.
    pub backup_count: u64,
    /// Compress closed segments.
    pub gzip: bool,
    /// Mode of compressed files.
    pub file_mode: u32,
    /// Level of compression, 1 to 9; [`compress::DEFAULT_LEVEL`].
    pub level: u32,
    /// The first segment that some export cursor has not passed: from it on nothing is compressed away. It does not hold back
    /// deletion: the bound on the disk is the user's, and stands.
    pub keep_from: Option<u64>,
    /// Asked at least every 64 KiB of text and between files; true means stop now.
    pub checkpoint: &'a dyn Fn() -> bool,
    /// As in [`compress::Options`].
    pub on_step: Option<&'a dyn Fn(Step) -> io::Result<()>>,
}

/// What is to be done with a log's closed segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files past the number to be kept, oldest first.
    pub delete: Vec<Segment>,
    /// Numbers of plain segments to compress, oldest first.
    pub compress: Vec<u64>,
}

/// What one pass has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments compressed.
    pub compressed: u64,
    /// Their bytes before.
    pub bytes_in: u64,
    /// Their bytes after.
    pub bytes_out: u64,
    /// Segments (not files) deleted.
    pub deleted: u64,
    /// Files that could not be deleted or compressed; they stay as they were and are tried again in the next pass.
    pub errors: u64,
    /// The last of these errors, in words.
    pub last_error: Option<String>,
    /// Another process (or thread) is maintaining this log at this moment; nothing was done.
    pub busy: bool,
    /// The checkpoint said stop before everything was done.
    pub stopped: bool,
}

/// Decides, from a listing of the log, the number of the segment being written, and the options.
///
/// Only segments below `current` are closed; larger numbers are a sibling's newer segments, about which a later call decides.
/// The newest closed segment stays plain (`delaycompress`): a reader that has just seen the rotation finishes it undisturbed.
#[must_use]
pub fn plan(listing: &[Segment], current: u64, opts: &Options<'_>) -> Plan {
    let mut closed: Vec<u64> = listing
        .iter()
        .map(|segment| segment.number)
        .filter(|&number| number < current)
        .collect();
    closed.sort_unstable();
    closed.dedup();
    let excess = match usize::try_from(opts.backup_count) {
        Ok(kept @ 1..) => closed.len().saturating_sub(kept),
        _ => 0,
    };
    let kept = &closed[excess..];
    let Some((&newest, older)) = kept.split_last() else {
        return Plan::default();
    };
    let oldest_kept = older.first().copied().unwrap_or(newest);
    let mut compress: Vec<u64> = listing
        .iter()
        .filter(|segment| opts.gzip && !segment.gz)
        .map(|segment| segment.number)
        .filter(|&number| {
            (oldest_kept..newest).contains(&number)
                && opts.keep_from.is_none_or(|from| number < from)
        })
        .collect();
    compress.sort_unstable();
    let mut delete: Vec<Segment> = listing
        .iter()
        .copied()
        .filter(|segment| segment.number < oldest_kept)
        .collect();
    delete.sort_unstable();
    Plan { delete, compress }
}

/// One pass over the log `name` in `dir`: cleans what killed passes left, deletes what is past the count, compresses the rest. `current` is the
/// number of the segment being written. At most one pass runs per log, whatever the number of processes: it holds the
/// lock `<name>.gzlock` in `spool_dir` (the `.logspool/` beside the segments), and gives up at once where that is taken. Files of other users are
/// neither touched nor counted.
///
/// # Errors
/// The lock or the listing could not be had, so nothing was done. What fails for single files is counted in the report.
pub fn maintain(
    dir: BorrowedFd<'_>,
    spool_dir: BorrowedFd<'_>,
    name: &str,
    current: u64,
    opts: &Options<'_>,
) -> io::Result<Report> {
    let mut report = Report::default();
    let Some(_lock) = Lock::try_named(spool_dir, &format!("{name}.gzlock"))? else {
        report.busy = true;
        return Ok(report);
    };
    compress::clean_temporaries(spool_dir, name)?;
    let mut listing = naming::list(dir, name)?;
    listing.retain(|segment| is_ours(dir, &segment.file_name(name)));
    let plan = plan(&listing, current, opts);

    let mut last_deleted = None;
    for segment in plan.delete {
        match delete(dir, &segment.file_name(name)) {
            Ok(false) => {}
            Ok(true) if last_deleted == Some(segment.number) => {}
            Ok(true) => {
                report.deleted += 1;
                last_deleted = Some(segment.number);
            }
            Err(error) => report.failed(&error),
        }
    }

    let how = compress::Options {
        file_mode: opts.file_mode,
        level: opts.level,
        checkpoint: opts.checkpoint,
        on_step: opts.on_step,
    };
    for number in plan.compress {
        if (opts.checkpoint)() {
            report.stopped = true;
            break;
        }
        match compress::compress(dir, spool_dir, name, number, &how) {
            Ok(Outcome::Compressed {
                bytes_in,
                bytes_out,
            }) => {
                report.compressed += 1;
                report.bytes_in += bytes_in;
                report.bytes_out += bytes_out;
            }
            Ok(Outcome::Gone) => {}
            Ok(Outcome::Stopped) => {
                report.stopped = true;
                break;
            }
            Err(error) => {
                report.failed(&error);
                if hopeless(&error) {
                    break;
                }
            }
        }
    }
    Ok(report)
}

impl Report {
    fn failed(&mut self, error: &io::Error) {
        self.errors += 1;
        self.last_error = Some(error.to_string());
    }
}

/// The next file would fail the same way, after as much work.
fn hopeless(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied
    )
}

/// Whether it is a regular file of this user's. Another user who logs under the same name has a state, a lock and a number of segments to
/// keep that are not known here; which of its segments is being written cannot be told. That counts for root too.
fn is_ours(dir: BorrowedFd<'_>, file: &str) -> bool {
    statat(dir, file, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        stat.st_uid == geteuid().as_raw() && FileType::from_raw_mode(stat.st_mode).is_file()
    })
}

/// Deletes a regular file; false if there is none of this name. A directory or link that bears a segment's name is not ours.
fn delete(dir: BorrowedFd<'_>, file: &str) -> io::Result<bool> {
    let gone = statat(dir, file, AtFlags::SYMLINK_NOFOLLOW).and_then(|stat| {
        if FileType::from_raw_mode(stat.st_mode).is_file() {
            crate::failpoint::step();
            unlinkat(dir, file, AtFlags::empty()).map(|()| true)
        } else {
            Ok(false)
        }
    });
    match gone {
        Err(Errno::NOENT) => Ok(false),
        Err(error) => {
            let error = io::Error::from(error);
            Err(io::Error::new(
                error.kind(),
                format!("delete {file}: {error}"),
            ))
        }
        Ok(gone) => Ok(gone),
    }
}
