//! Whether a state file is sound, another version's, or was damaged by something other than logspool.
//!
//! Another version's is refused: its writer may know what is not known here. A damaged one holds nothing that cannot be had again:
//! numbers from the directory, settings from whoever opens the log, records from the rings, which are marked done only when an append is
//! complete. It is copied aside and made anew *in place*, under its own lock, because a file renamed away would leave the processes that have
//! it open with a lock of their own.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, openat, renameat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{
    AT_CREATING, AT_CURRENT, AT_INTENTS, AT_MAGIC, AT_SEGMENT, AT_VERSION, HEADER, LEN, MAGIC,
    State, VERSION,
};
use crate::report;
use crate::segment::dir::{LogDir, private_file};
use crate::segment::naming;

/// A version beyond this is no version but damage.
pub const VERSION_MAX: u64 = 0xFFFF;

/// What a state file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Sound,
    /// Nothing is in it yet.
    Fresh,
    /// It is another version's.
    Version(u64),
    Damaged,
}

impl State {
    pub(super) fn health(&self) -> Health {
        let word = |at: usize| self.map.u64(at).load(Acquire);
        let unused = |at: usize| word(at) == 0;
        let number = |at: usize| unused(at) || naming::is_number(word(at));
        match (word(AT_MAGIC), word(AT_VERSION)) {
            (0, 0 | VERSION)
                if [AT_SEGMENT, AT_CREATING, AT_CURRENT]
                    .into_iter()
                    .all(unused) =>
            {
                Health::Fresh
            }
            (MAGIC, VERSION)
                if number(AT_SEGMENT)
                    && number(AT_CREATING)
                    && word(AT_CURRENT) <= AT_INTENTS.len() as u64 =>
            {
                Health::Sound
            }
            (MAGIC, version) if version != VERSION && (1..=VERSION_MAX).contains(&version) => {
                Health::Version(version)
            }
            _ => Health::Damaged,
        }
    }

    /// Sees to it that the state can be used; the caller holds its lock. A fresh one is given its format: two processes may have
    /// created it together. A damaged one is made anew.
    ///
    /// # Errors
    /// It is another version's.
    pub fn ready(&self, dir: &LogDir, name: &str) -> io::Result<()> {
        match self.health() {
            Health::Sound => return Ok(()),
            Health::Version(version) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{}: {}", shown(dir, &file_name(name)), refusal(version)),
                ));
            }
            Health::Fresh => {}
            Health::Damaged => {
                let file = file_name(name);
                let kept = self.copy_aside(dir, &file).map_or_else(
                    |e| format!("No copy could be kept ({e})"),
                    |kept| format!("A copy is kept as {kept}"),
                );
                for at in (0..HEADER).step_by(8) {
                    self.map.u64(at).store(0, Release);
                }
                report::say(&format!(
                    "{} was damaged by something other than logspool; it is made anew from the files in the directory. {kept}",
                    shown(dir, &file)
                ));
            }
        }
        self.map.u64(AT_VERSION).store(VERSION, Relaxed);
        self.map.u64(AT_MAGIC).store(MAGIC, Release);
        Ok(())
    }

    fn copy_aside(&self, dir: &LogDir, file: &str) -> io::Result<String> {
        let kept = free_name(dir, file)?;
        let copy = openat(
            dir.own(),
            &kept,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?;
        fchmod(&copy, Mode::RUSR | Mode::WUSR)?;
        let mut bytes = self.map.bytes(0, LEN);
        while !bytes.is_empty() {
            match rustix::io::write(&copy, bytes) {
                Ok(0) => break,
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(kept)
    }
}

/// Why another version's state is not used, and what to do.
pub(super) fn refusal(version: u64) -> String {
    format!(
        "it has format version {version} and this logspool knows version {VERSION}; use the logspool that wrote it, or log \
         to another directory"
    )
}

/// The state file of log `name`, in `.logspool/`.
pub(super) fn file_name(name: &str) -> String {
    format!("{name}.state")
}

/// The same, for messages.
pub(super) fn shown(dir: &LogDir, file: &str) -> String {
    format!("{}/.logspool/{file}", dir.path().display())
}

/// Opens or creates a state file. What is none of ours (a link, a fifo, a directory, another user's file, another file's second name) is
/// renamed out of the way.
pub(super) fn open_file(dir: &LogDir, file: &str) -> io::Result<OwnedFd> {
    if let Ok(stat) = statat(dir.own(), file, AtFlags::SYMLINK_NOFOLLOW)
        && let Some(why) = distrust(&stat)
    {
        let kept = free_name(dir, file)?;
        renameat(dir.own(), file, dir.own(), &kept)?;
        report::say(&format!(
            "{} was damaged by something other than logspool: {why}. It is kept as {kept} and made anew",
            shown(dir, file)
        ));
    }
    private_file(dir.own(), file)
}

/// Why a state is not used: what is written to it would be written to something else, or somebody else made it.
fn distrust(stat: &Stat) -> Option<String> {
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        Some("it is not a file".to_owned())
    } else if stat.st_uid != geteuid().as_raw() {
        Some(format!("it belongs to user {}", stat.st_uid))
    } else if stat.st_nlink > 1 {
        Some("it has another name somewhere (a hard link)".to_owned())
    } else {
        None
    }
}

/// A name to keep something damaged under.
fn free_name(dir: &LogDir, file: &str) -> io::Result<String> {
    (1..100)
        .map(|n| match n {
            1 => format!("{file}.damaged"),
            n => format!("{file}.damaged.{n}"),
        })
        .find(|kept| statat(dir.own(), kept, AtFlags::SYMLINK_NOFOLLOW).err() == Some(Errno::NOENT))
        .ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}
