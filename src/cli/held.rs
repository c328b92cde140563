//! Who holds a lock, found out without disturbing: from `/proc/locks`, which names the process; where that says nothing (a
//! lock of another pid namespace is not in it), by trying a shared lock and giving it back at once.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;

/// Whether a lock is held, and by whom as far as that is to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether it is.
    pub held: bool,
    /// By these processes of ours.
    pub pids: Vec<u32>,
}

/// The `flock`s of this moment, by device and inode.
#[derive(Debug, Default)]
pub struct Locks {
    by_file: HashMap<(u64, u64), Vec<u32>>,
}

impl Locks {
    /// Reads `/proc/locks`; empty where there is none.
    pub fn read() -> Self {
        let mut found = Self::default();
        let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        for line in text.lines() {
            if let Some((file, pid)) = parse(line) {
                found.by_file.entry(file).or_default().push(pid);
            }
        }
        found
    }

    /// Who holds the lock of an open file.
    pub fn of(&self, file: BorrowedFd<'_>) -> Held {
        let listed = fstat(file)
            .ok()
            .and_then(|s| self.by_file.get(&(s.st_dev, s.st_ino)));
        if let Some(pids) = listed {
            return Held {
                held: true,
                pids: pids.clone(),
            };
        }
        // Free as far as can be seen, so that nobody is kept from anything in the moment that this takes.
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = flock(file, FlockOperation::Unlock);
                Held::default()
            }
            Err(e) => Held {
                held: e == Errno::WOULDBLOCK,
                pids: Vec::new(),
            },
        }
    }

    /// Who holds the lock of a file that others hold shared: listed only, never tried.
    pub fn listed(&self, file: BorrowedFd<'_>) -> Vec<u32> {
        fstat(file)
            .ok()
            .and_then(|s| self.by_file.get(&(s.st_dev, s.st_ino)).cloned())
            .unwrap_or_default()
    }
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fd:00:123456 0 EOF` → device and inode, process. Waiters have an arrow.
fn parse(line: &str) -> Option<((u64, u64), u32)> {
    let mut words = line.split_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let pid = words.nth(2)?.parse().ok()?;
    let mut file = words.next()?.split(':');
    let major = u32::from_str_radix(file.next()?, 16).ok()?;
    let minor = u32::from_str_radix(file.next()?, 16).ok()?;
    let inode = file.next()?.parse().ok()?;
    Some(((rustix::fs::makedev(major, minor), inode), pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_locks_names_file_and_process() {
        let line = "1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF";
        let file = (rustix::fs::makedev(0xfd, 1), 123_456);
        assert_eq!(parse(line), Some((file, 4711)));
        for other in [
            "2: POSIX  ADVISORY  WRITE 4711 fd:01:123456 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
