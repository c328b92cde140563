//! Collapse: identical records within a window become the first of them and one that counts the others.
//!
//! What is compared is the finished line without what differs anyhow: time, sequence number, thread and task. A [`Collapse`] belongs
//! to one open log. It holds the lines of the last window, [`LINES`] and [`BYTES`] at most; what goes has its count written.

mod members;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use smallvec::SmallVec;

use crate::json::SEQ_PLACEHOLDER;
use crate::sync::{Mutex, MutexGuard};
use members::Members;

/// Lines that are remembered.
pub const LINES: usize = 64;
/// Bytes of lines that are remembered.
pub const BYTES: usize = 256 << 10;
/// Longer lines are written each.
pub const LONGEST: usize = 32 << 10;
/// What the count adds to a line, at most.
const ROOM: usize = 192;
/// No count is waiting.
pub const NEVER: u64 = u64::MAX;

/// A time, RFC 3339 in UTC with microseconds.
pub type Stamp = [u8; 27];

/// Where a line differs from others that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The time, with its quotes.
    time: Range<usize>,
    /// Thread and task, with their commas.
    thread: Range<usize>,
    /// Where the sequence number or the end of the line begins.
    end: usize,
}

/// A line that is about to be written.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    line: &'a [u8],
    shape: Shape,
    stamp: Stamp,
    /// Of a line of text, what must be the same, too.
    about: &'a [u8],
    json: bool,
}

impl<'a> Said<'a> {
    /// A line of JSON as the encoder leaves it; `None` for what is none.
    #[must_use]
    pub fn json(line: &'a [u8]) -> Option<Self> {
        let end = line.len().checked_sub(SEQ_PLACEHOLDER.len())?;
        let (mut time, mut thread) = (None, None);
        for member in Members::of(line) {
            match member.name {
                b"ts" => time = Some(member.value.clone()),
                b"pid" => thread = Some(member.value.end..member.value.end),
                b"thread" | b"task" => thread.as_mut()?.end = member.value.end,
                _ if thread.is_some() => break,
                _ => {}
            }
        }
        let (time, thread) = (time?, thread?);
        let stamp = line.get(time.start + 1..time.end.checked_sub(1)?)?;
        let stamp = stamp.try_into().ok()?;
        (time.end <= thread.start && thread.end <= end).then_some(Self {
            line,
            shape: Shape { time, thread, end },
            stamp,
            about: &[],
            json: true,
        })
    }

    /// A line of text, which has the record's time at `time` or nowhere; `about` is what else must be the same.
    #[must_use]
    pub fn text(line: &'a [u8], time: Option<Range<usize>>, about: &'a [u8], stamp: Stamp) -> Self {
        let end = line.len().saturating_sub(1);
        let time = time
            .filter(|time| time.start <= time.end && time.end <= end)
            .unwrap_or(0..0);
        Self {
            line,
            shape: Shape {
                time,
                thread: end..end,
                end,
            },
            stamp,
            about,
            json: false,
        }
    }

    fn hash(&self) -> u32 {
        pieces(self.line, &self.shape)
            .iter()
            .fold(crc32c::crc32c(self.about), |hash, piece| {
                crc32c::crc32c_append(hash, piece)
            })
    }
}

/// What is compared of a line.
fn pieces<'a>(line: &'a [u8], shape: &Shape) -> [&'a [u8]; 3] {
    [
        &line[..shape.time.start],
        &line[shape.time.end..shape.thread.start],
        &line[shape.thread.end..shape.end],
    ]
}

/// A line that was written, and how often it came again.
#[derive(Debug)]
struct Line {
    text: Box<[u8]>,
    about: Box<[u8]>,
    shape: Shape,
    json: bool,
    begun: u64,
    /// Since it was last written.
    count: u64,
    came_again: bool,
    first: Stamp,
    last: Stamp,
}

impl Line {
    fn size(&self) -> usize {
        self.text.len() + self.about.len()
    }

    fn is(&self, said: &Said<'_>) -> bool {
        *self.about == *said.about
            && pieces(&self.text, &self.shape) == pieces(said.line, &said.shape)
    }

    /// The same line once more, with how often it came again.
    fn repeated(&self) -> Vec<u8> {
        let (first, last) = (
            String::from_utf8_lossy(&self.first),
            String::from_utf8_lossy(&self.last),
        );
        let count = self.count;
        if !self.json {
            let note = format!(" … (repeated {count} times, first {first}, last {last})");
            let (text, end) = self.text.split_at(self.shape.end);
            return [text, note.as_bytes(), end].concat();
        }
        let value = format!("{{\"count\":{count},\"first\":\"{first}\",\"last\":\"{last}\"}}");
        let (at, open) = field_place(&self.text);
        let (key, before, after) = match open {
            Some(inner) => (
                unique_key(&self.text[inner]),
                if self.text[at - 1] == b'{' { "" } else { "," },
                "",
            ),
            None => ("repeated".to_owned(), ",\"fields\":{", "}"),
        };
        [
            &self.text[..=self.shape.time.start],
            &self.last,
            &self.text[self.shape.time.end - 1..at],
            format!("{before}\"{key}\":{value}{after}").as_bytes(),
            &self.text[at..],
        ]
        .concat()
    }
}

/// Where a field is to be added: before the end of `fields`, whose place comes with it, or where that would stand.
fn field_place(line: &[u8]) -> (usize, Option<Range<usize>>) {
    for member in Members::of(line) {
        match member.name {
            b"fields" if line[member.value.start] == b'{' => {
                return (member.value.end - 1, Some(member.value));
            }
            b"exception" | b"stack" | b"src" | b"seq" => return (member.begin, None),
            _ => {}
        }
    }
    (line.len().saturating_sub(SEQ_PLACEHOLDER.len()), None)
}

/// `repeated`, or where the user has a field of that name, `repeated#2` …, as for every key of ours.
fn unique_key(fields: &[u8]) -> String {
    let taken = |key: &str| Members::of(fields).any(|member| member.name == key.as_bytes());
    let mut key = "repeated".to_owned();
    let mut number = 2;
    while taken(&key) {
        key = format!("repeated#{number}");
        number += 1;
    }
    key
}

#[derive(Debug, Default)]
struct Table {
    /// Oldest first.
    lines: VecDeque<Line>,
    /// Theirs.
    hashes: VecDeque<u32>,
    bytes: usize,
}

impl Table {
    /// Makes room: of the lines that never came again the oldest goes, or else the oldest of all. What is still to be written of it.
    fn make_room(&mut self) -> Option<Vec<u8>> {
        let single = self.lines.iter().position(|line| !line.came_again);
        self.forget(single.unwrap_or(0))
    }

    /// Forgets a line; what is still to be written of it.
    fn forget(&mut self, place: usize) -> Option<Vec<u8>> {
        self.hashes.remove(place);
        let line = self.lines.remove(place)?;
        self.bytes -= line.size();
        (line.count > 0).then(|| line.repeated())
    }

    fn find(&mut self, hash: u32, said: &Said<'_>) -> Option<&mut Line> {
        let place = self
            .hashes
            .iter()
            .zip(&self.lines)
            .position(|(known, line)| *known == hash && line.is(said))?;
        self.lines.get_mut(place)
    }
}

/// What becomes of a line.
#[derive(Debug, Default)]
pub struct Noted {
    /// When the line, which was counted, will be written with its count. `None`: it is to be written now, after `ended`.
    pub due: Option<u64>,
    /// Lines that are now to be written.
    pub ended: SmallVec<[Vec<u8>; 1]>,
}

/// The recent lines of one log.
#[derive(Debug)]
pub struct Collapse {
    /// Microseconds.
    window: u64,
    longest: usize,
    table: Mutex<Table>,
    collapsed: AtomicU64,
}

impl Collapse {
    /// For a window of so many microseconds, and lines that shall not become longer than `longest` bytes.
    #[must_use]
    pub fn new(window: u64, longest: usize) -> Self {
        Self {
            window,
            longest,
            table: Mutex::default(),
            collapsed: AtomicU64::new(0),
        }
    }

    /// The same with nothing in it.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self::new(self.window, self.longest)
    }

    /// Records that are not written themselves.
    #[must_use]
    pub fn collapsed(&self) -> u64 {
        self.collapsed.load(Relaxed)
    }

    /// Whether a line takes part at all.
    #[must_use]
    pub fn takes(&self, line: &[u8]) -> bool {
        line.len() <= LONGEST && line.len() + ROOM <= self.longest
    }

    /// Counts a line, or remembers it; `now` is microseconds of a clock that only goes forward. `None` while another thread is at it.
    #[must_use]
    pub fn try_note(&self, said: &Said<'_>, now: u64) -> Option<Noted> {
        let hash = said.hash();
        let table = self.table.try_lock()?;
        Some(self.note_in(table, hash, said, now))
    }

    /// The same, waiting for the other thread.
    #[must_use]
    pub fn note(&self, said: &Said<'_>, now: u64) -> Noted {
        let hash = said.hash();
        self.note_in(self.table.lock(), hash, said, now)
    }

    fn note_in(
        &self,
        mut table: MutexGuard<'_, Table>,
        hash: u32,
        said: &Said<'_>,
        now: u64,
    ) -> Noted {
        let mut noted = Noted::default();
        // Two threads may have looked at the clock in another order.
        let now = now.max(table.lines.back().map_or(0, |line| line.begun));
        while table
            .lines
            .front()
            .is_some_and(|line| line.begun + self.window <= now)
        {
            noted.ended.extend(table.forget(0));
        }
        if let Some(line) = table.find(hash, said) {
            line.count += 1;
            line.came_again = true;
            line.last = said.stamp;
            if line.count == 1 {
                line.first = said.stamp;
            }
            self.collapsed.fetch_add(1, Relaxed);
            noted.due = Some(line.begun + self.window);
            return noted;
        }
        let line = Line {
            text: said.line.into(),
            about: said.about.into(),
            shape: said.shape.clone(),
            json: said.json,
            begun: now,
            count: 0,
            came_again: false,
            first: said.stamp,
            last: said.stamp,
        };
        while table.lines.len() >= LINES || table.bytes + line.size() > BYTES {
            noted.ended.extend(table.make_room());
        }
        table.bytes += line.size();
        table.hashes.push_back(hash);
        table.lines.push_back(line);
        noted
    }

    /// Writes the counts of windows that have ended, with `all` those of all, and begins to count these anew. `write` says whether there
    /// was room; where there was none the rest stays. Returns whether any stays that should not, and when the next count is due.
    pub fn settle(
        &self,
        now: u64,
        all: bool,
        write: &mut dyn FnMut(&mut Vec<u8>) -> bool,
    ) -> (bool, u64) {
        let mut table = self.table.lock();
        let mut owed = false;
        for line in &mut table.lines {
            if line.count > 0 && (all || line.begun + self.window <= now) {
                owed = !write(&mut line.repeated());
                if owed {
                    break;
                }
                line.count = 0;
            }
        }
        let due = table
            .lines
            .iter()
            .find(|line| line.count > 0)
            .map_or(NEVER, |line| line.begun + self.window);
        (owed, due)
    }
}

#[cfg(test)]
mod tests;
