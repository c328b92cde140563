//! A look into a ring by somebody who must disturb nobody: nothing is locked, mapped or written, so that a ring that is
//! truncated or overwritten meanwhile cannot hurt.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::fstat;
use rustix::io::pread;

use super::table::{
    E_ANNOUNCED, E_DONE, E_LOST_COUNT, E_LOST_FIRST, E_NAME, E_NAME_LEN, E_SEQ, E_SETTINGS,
    E_WRITTEN, ENTRY, MAX_LOGS, MAX_NAME, TABLE,
};
use super::{
    AT_CAPACITY, AT_DROPS_OLDEST, AT_ID, AT_PID, AT_SALT, AT_TAIL, AT_VERSION, HEADER, MAGIC,
    VERSION,
};
use crate::config::LogSettings;
use crate::segment::state::unpack_settings;
use crate::spool::frame::{self, ALIGN, WRAP};

/// How often the walk begins anew because the writer freed what it was looking at.
const RESTARTS: usize = 100;
/// Bytes read at once.
const WINDOW: usize = 256 << 10;

/// What a ring holds for one log.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its file name.
    pub name: String,
    /// Its settings as the ring's owner had them.
    pub settings: LogSettings,
    /// The number its next record gets.
    pub next_seq: u64,
    /// Everything of it before is in segments.
    done: u64,
    /// Records of it that are in segments.
    pub written: u64,
    /// Records of it that are not.
    pub records: u64,
    /// The lines of these, in bytes.
    pub bytes: u64,
    /// Drops not announced yet: the first number and how many.
    pub lost: (u64, u64),
    /// The same, before the frames were looked at: they may be announced since, in a place already passed.
    pub lost_before: (u64, u64),
    /// The numbers of what waits, as runs of first and last.
    pub runs: Vec<(u64, u64)>,
}

impl Waiting {
    /// The numbers that this ring accounts for: what waits, and drops to be announced.
    #[must_use]
    pub fn numbers(&self) -> Vec<(u64, u64)> {
        let mut found = self.runs.clone();
        for (first, count) in [self.lost_before, self.lost] {
            found.extend(
                count
                    .checked_sub(1)
                    .map(|more| (first, first.saturating_add(more))),
            );
        }
        found
    }
}

/// What stands in a ring.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its name, as in `seq`.
    pub id: [u8; 8],
    /// The process that made it, as that process calls itself.
    pub pid: u64,
    /// Bytes of data it has room for.
    pub capacity: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that somebody damaged.
    pub damaged: u64,
    /// Whether it drops the oldest when it is full.
    pub drops_oldest: bool,
    /// What the ring was called when the first line that says so was written.
    pub author: Option<[u8; 8]>,
    /// What waits in it, by log.
    pub logs: Vec<Waiting>,
}

/// What stands under a ring's name.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A ring of this format.
    Ring(Box<Look>),
    /// A ring of another format version.
    OtherVersion(u64),
    /// Something else, or a ring whose header was damaged.
    NotARing,
}

/// Looks at an open ring file. `alive`: its owner goes on writing, so that its end is where nothing was committed yet.
///
/// # Errors
/// When it cannot be read.
pub fn look(file: BorrowedFd<'_>, alive: bool) -> io::Result<Seen> {
    let mut head = vec![0; HEADER];
    if pread(file, &mut head, 0)? < HEADER {
        return Ok(Seen::NotARing);
    }
    let capacity = word(&head, AT_CAPACITY);
    let room = u64::try_from(fstat(file)?.st_size)
        .unwrap_or(0)
        .saturating_sub(HEADER as u64);
    let fits = capacity > 0 && capacity.is_multiple_of(ALIGN) && capacity <= room;
    // No position that a process can reach in its life: it was damaged, and sums with it would overflow.
    let reached = word(&head, AT_TAIL) < 1 << 62;
    match (word(&head, 0), word(&head, AT_VERSION)) {
        (MAGIC, VERSION) if fits && reached => {}
        (MAGIC, VERSION) => return Ok(Seen::NotARing),
        (MAGIC, other) => return Ok(Seen::OtherVersion(other)),
        _ => return Ok(Seen::NotARing),
    }
    let logs: Vec<Option<Waiting>> = (0..MAX_LOGS).map(|slot| entry(&head, slot)).collect();
    let mut walk = Walk {
        file,
        capacity,
        salt: word(&head, AT_SALT),
        window: Vec::new(),
        window_at: 0,
    };
    let mut found = Found::default();
    for _ in 0..RESTARTS {
        let tail = walk.tail()?;
        found = Found {
            logs: logs.clone(),
            ..Found::default()
        };
        walk.window.clear();
        let end = walk.walk(tail, alive, &mut found)?;
        // Beyond its end the writer has freed nothing: then it is no place of an earlier lap that was looked at.
        if walk.tail()? <= end {
            found.used = end - tail;
            break;
        }
    }
    // Asked last: what was dropped meanwhile is among them.
    pread(file, &mut head, 0)?;
    for (slot, log) in found.logs.iter_mut().enumerate() {
        if let Some(log) = log {
            log.lost = lost(&head, slot);
        }
    }
    Ok(Seen::Ring(Box::new(Look {
        id: word(&head, AT_ID).to_le_bytes(),
        pid: word(&head, AT_PID),
        capacity,
        used: found.used,
        damaged: found.damaged,
        drops_oldest: word(&head, AT_DROPS_OLDEST) != 0,
        author: found.author,
        logs: found.logs.into_iter().flatten().collect(),
    })))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn lost(head: &[u8], slot: usize) -> (u64, u64) {
    let at = TABLE + slot * ENTRY;
    let (first, count) = (word(head, at + E_LOST_FIRST), word(head, at + E_LOST_COUNT));
    if first.saturating_add(count) <= word(head, at + E_ANNOUNCED) {
        return (first, 0);
    }
    (first, count)
}

fn entry(head: &[u8], slot: usize) -> Option<Waiting> {
    let at = TABLE + slot * ENTRY;
    let len = usize::try_from(word(head, at + E_NAME_LEN)).ok()?;
    if len == 0 || len > MAX_NAME {
        return None;
    }
    let name = head[at + E_NAME..at + E_NAME + len].to_vec();
    Some(Waiting {
        name: String::from_utf8(name).ok().filter(|n| !n.contains('/'))?,
        settings: unpack_settings(std::array::from_fn(|i| word(head, at + E_SETTINGS + i * 8))),
        next_seq: word(head, at + E_SEQ),
        done: word(head, at + E_DONE),
        written: word(head, at + E_WRITTEN),
        records: 0,
        bytes: 0,
        lost: lost(head, slot),
        lost_before: lost(head, slot),
        runs: Vec::new(),
    })
}

#[derive(Default)]
struct Found {
    logs: Vec<Option<Waiting>>,
    used: u64,
    damaged: u64,
    author: Option<[u8; 8]>,
}

enum Step {
    Frame { log: usize, kind: u32, next: u64 },
    Wrap(u64),
    Damaged,
    Nothing,
}

struct Walk<'a> {
    file: BorrowedFd<'a>,
    capacity: u64,
    salt: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Walk<'_> {
    fn tail(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        pread(self.file, &mut bytes, AT_TAIL as u64)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Walks the frames from `tail` on; gives where they end.
    fn walk(&mut self, tail: u64, alive: bool, found: &mut Found) -> io::Result<u64> {
        let limit = tail.saturating_add(self.capacity);
        let mut at = tail;
        while at < limit {
            match self.step(at, limit - at)? {
                Step::Frame { log, kind, next } => {
                    self.count(at, log, kind, found)?;
                    at = next;
                }
                Step::Wrap(next) => at = next,
                Step::Nothing | Step::Damaged if alive => break,
                Step::Damaged | Step::Nothing => {
                    let Some(next) = self.resync(at, limit)? else {
                        break;
                    };
                    found.damaged += next - at;
                    at = next;
                }
            }
        }
        Ok(at)
    }

    fn step(&mut self, position: u64, limit: u64) -> io::Result<Step> {
        let salt = self.salt;
        let room = self.capacity - position % self.capacity;
        let Some(head) = self.bytes(position, frame::HEADER)? else {
            return Ok(Step::Nothing);
        };
        if word(head, 0) != position ^ salt {
            return Ok(Step::Nothing);
        }
        let (crc, len) = (half(head, 8), half(head, 12));
        if len == WRAP {
            return Ok(if room <= limit && crc == frame::wrap_crc(position) {
                Step::Wrap(position + room)
            } else {
                Step::Damaged
            });
        }
        let (log, kind) = (half(head, 16) as usize, half(head, 20));
        let total = frame::size(len as usize);
        if total > room || total > limit || log >= MAX_LOGS {
            return Ok(Step::Damaged);
        }
        let whole = self
            .bytes(position, frame::HEADER + len as usize)?
            .is_some_and(|bytes| {
                let mut head = [0; 12];
                head.copy_from_slice(&bytes[12..frame::HEADER]);
                frame::checksum(position, head, &bytes[frame::HEADER..]) == crc
            });
        Ok(if whole {
            Step::Frame {
                log,
                kind,
                next: position + total,
            }
        } else {
            Step::Damaged
        })
    }

    fn count(&mut self, at: u64, log: usize, kind: u32, found: &mut Found) -> io::Result<()> {
        let len = match self.bytes(at, frame::HEADER)? {
            Some(head) => half(head, 12) as usize,
            None => return Ok(()),
        };
        if found.author.is_none()
            && let Some(frame) = self.bytes(at, frame::HEADER + len)?
        {
            found.author = seq(&frame[frame::HEADER..]).map(|(id, _)| id);
        }
        let Some(waiting) = found.logs[log].as_mut().filter(|w| w.done <= at) else {
            return Ok(());
        };
        if kind == 0 {
            waiting.records += 1;
        }
        waiting.bytes += len as u64;
        let Some(frame) = self.bytes(at, frame::HEADER + len)? else {
            return Ok(());
        };
        if let Some((first, last)) = numbers(&frame[frame::HEADER..]) {
            match waiting.runs.last_mut() {
                Some(run) if run.1 + 1 == first => run.1 = last,
                _ => waiting.runs.push((first, last)),
            }
        }
        Ok(())
    }

    /// As recovery does it: the next whole frame after damage at `at`.
    fn resync(&mut self, at: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut next = at + ALIGN;
        while next < limit {
            if let Step::Frame { .. } = self.step(next, limit - next)? {
                return Ok(Some(next));
            }
            next += ALIGN;
        }
        Ok(None)
    }

    /// `len` bytes at a position; `None` where the file ends before.
    fn bytes(&mut self, position: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let at = HEADER as u64 + position % self.capacity;
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if !(held.contains(&at) && at + len as u64 <= held.end) {
            self.window.resize(len.max(WINDOW), 0);
            let read = pread(self.file, &mut self.window, at)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(from..from.saturating_add(len)))
    }
}

/// The numbers a line stands for: its own, or the range of an announcement of drops.
#[must_use]
pub fn numbers(line: &[u8]) -> Option<(u64, u64)> {
    let (_, last) = seq(line)?;
    let first = dropped(line).map_or(last, |(_, first, _)| first);
    Some((first.min(last), last))
}

/// Ring and number in the sequence text a line of ours ends with.
#[must_use]
pub fn seq(line: &[u8]) -> Option<([u8; 8], u64)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let body = line.strip_suffix(b"\"}")?;
    let at = body.len().checked_sub(19)?;
    body.get(..at)?.strip_suffix(b"\"seq\":\"")?;
    parse_seq(&body[at..])
}

/// Ring and number of a sequence text.
#[must_use]
pub fn parse_seq(text: &[u8]) -> Option<([u8; 8], u64)> {
    let (ring, number) = (text.get(..8)?, text.get(9..)?);
    let fits = number.len() == 10
        && text[8] == b'-'
        && ring.iter().all(u8::is_ascii_alphanumeric)
        && number
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !fits {
        return None;
    }
    let number = u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?;
    Some((ring.try_into().ok()?, number))
}

/// Ring, first number and count of an announcement of drops.
#[must_use]
pub fn dropped(line: &[u8]) -> Option<([u8; 8], u64, u64)> {
    memchr::memmem::find(line, b"\"event\":\"records_dropped\"")?;
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    if record["logger"] != "logspool" || record["event"] != "records_dropped" {
        return None;
    }
    let (ring, first) = parse_seq(record["fields"]["first_seq"].as_str()?.as_bytes())?;
    Some((ring, first, record["fields"]["count"].as_u64()?))
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
