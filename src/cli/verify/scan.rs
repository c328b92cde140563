//! One segment read from end to end: each line judged, the numbers of each ring gathered as runs.

use std::collections::HashMap;
use std::io::{self, Read};

use serde::de::IgnoredAny;

use crate::spool::ring::look::{dropped, seq};

/// A ring's name, as in `seq`.
pub type RingId = [u8; 8];

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// A longer line is none of ours (1 MiB at most): it is counted as torn without being held.
const LONGEST: usize = 8 << 20;
/// Lines that are wrong, in words; the rest is counted.
const SHOWN: usize = 20;

/// A record's place: for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of its segment.
    pub segment: u64,
    /// Number of its line there, from 1.
    pub line: u64,
    /// Its `ts`: 27 bytes.
    ts: [u8; 27],
}

impl Place {
    pub fn ts(&self) -> &str {
        std::str::from_utf8(&self.ts)
            .unwrap_or_default()
            .trim_end_matches('\0')
    }
}

/// Consecutive numbers of one ring, in consecutive places.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub first: u64,
    pub last: u64,
    pub from: Place,
    pub to: Place,
}

/// A line that is not as it should be.
#[derive(Clone, Debug)]
pub struct Bad {
    pub line: u64,
    pub why: String,
}

/// A `spool_damaged` record.
#[derive(Clone, Debug)]
pub struct Damage {
    pub ring: String,
    pub what: Lost,
    pub place: Place,
}

/// What a `spool_damaged` record says that was damaged.
#[derive(Clone, Debug)]
pub enum Lost {
    /// A stretch of so many bytes.
    Bytes(u64),
    /// So many records, with the file.
    Records(u64),
    /// A part of the spool, in words.
    Part(String),
    /// It does not say.
    Unsaid,
}

/// What one segment holds.
#[derive(Debug, Default)]
pub struct Scan {
    pub number: u64,
    /// Whether it was read from the compressed file.
    pub gz: bool,
    /// Bytes of text.
    pub bytes: u64,
    pub lines: u64,
    /// Records with a number, other than logspool's own.
    pub records: u64,
    /// Announcements of logspool's own.
    pub announcements: u64,
    /// Lines of JSON without a number.
    pub unnumbered: u64,
    /// Lines that are no JSON object.
    pub not_json: u64,
    pub bad: Vec<Bad>,
    pub rings: HashMap<RingId, Vec<Run>>,
    pub damage: Vec<Damage>,
    /// Drops that were announced.
    pub dropped: u64,
    /// The last line has no newline.
    pub torn: bool,
    /// Why it could not be read to its end.
    pub error: Option<String>,
}

/// What kind of lines a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours: every line has a number.
    Numbered,
    /// JSON of another program: a file that was there before.
    Foreign,
    /// Text.
    Text,
}

impl Scan {
    pub fn kind(&self) -> Kind {
        if self.records > 0 || self.unnumbered + self.not_json == 0 {
            Kind::Numbered
        } else if self.not_json == 0 {
            Kind::Foreign
        } else {
            Kind::Text
        }
    }

    /// Reads all lines. An error of the reader ends it and is kept.
    pub fn read(number: u64, reader: &mut dyn Read) -> Self {
        let mut scan = Self {
            number,
            ..Self::default()
        };
        if let Err(e) = scan.lines(reader) {
            scan.error = Some(if e.kind() == io::ErrorKind::UnexpectedEof {
                "it is cut off".to_owned()
            } else {
                e.to_string()
            });
        }
        scan
    }

    fn lines(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut held = 0;
        let mut skipping = false;
        loop {
            if held == buffer.len() {
                if buffer.len() >= LONGEST {
                    (held, skipping) = (0, true);
                } else {
                    buffer.resize(buffer.len() * 2, 0);
                }
            }
            let read = match reader.read(&mut buffer[held..]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.bytes += read as u64;
            let end = held + read;
            let mut start = 0;
            for at in memchr::memchr_iter(b'\n', &buffer[held..end]) {
                let stop = held + at;
                if std::mem::take(&mut skipping) {
                    self.too_long();
                } else {
                    self.line(&buffer[start..stop]);
                }
                start = stop + 1;
            }
            buffer.copy_within(start..end, 0);
            held = end - start;
        }
        if skipping {
            self.too_long();
        } else if held > 0 {
            self.lines += 1;
            self.torn = true;
        }
        Ok(())
    }

    fn too_long(&mut self) {
        self.lines += 1;
        self.wrong(format!("it is longer than {LONGEST} bytes"));
    }

    fn wrong(&mut self, why: String) {
        self.not_json += 1;
        if self.bad.len() < SHOWN {
            self.bad.push(Bad {
                line: self.lines,
                why,
            });
        }
    }

    /// Judges one line, without its newline.
    fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        if let Err(why) = check(line) {
            return self.wrong(why);
        }
        let place = Place {
            segment: self.number,
            line: self.lines,
            ts: ts(line),
        };
        let announced = is_announcement(line);
        let Some((ring, last)) = seq(line).or_else(|| seq_elsewhere(line)) else {
            match announced.then(|| own(line, place)).flatten() {
                Some(damage) => {
                    self.announcements += 1;
                    self.damage.extend(damage);
                }
                None => self.unnumbered += 1,
            }
            return;
        };
        let mut first = last;
        if announced && let Some((_, from, count)) = dropped(line) {
            self.announcements += 1;
            self.dropped += count;
            first = from;
            if from.checked_add(count) != Some(last + 1) {
                self.wrong(format!(
                    "it announces {count} drops from number {from} on, and bears the number {last}"
                ));
                first = from.min(last);
            }
        } else {
            self.records += 1;
        }
        let runs = self.rings.entry(ring).or_default();
        match runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(first) => {
                run.last = last;
                run.to = place;
            }
            _ => runs.push(Run {
                first,
                last,
                from: place,
                to: place,
            }),
        }
    }
}

/// Whether a line is one whole JSON object.
fn check(line: &[u8]) -> Result<(), String> {
    if line.first() != Some(&b'{') {
        let nul = line.first() == Some(&0);
        return Err(if nul {
            "it begins with zeros: the machine stopped, or another program truncated the file"
                .to_owned()
        } else {
            "it is no JSON object".to_owned()
        });
    }
    if std::str::from_utf8(line).is_err() {
        return Err("it is not UTF-8".to_owned());
    }
    serde_json::from_slice::<IgnoredAny>(line)
        .map(|_| ())
        .map_err(|e| format!("it is not whole JSON: {e}"))
}

/// Records of logspool's own are few, and only they are parsed.
fn is_announcement(line: &[u8]) -> bool {
    memchr::memmem::find(&line[..line.len().min(160)], b"\"logger\":\"logspool\"").is_some()
}

/// What a record of logspool's own without a number announces; `None` where it is none that logspool writes.
#[allow(clippy::option_option)] // None of ours, or one of ours that tells of no damage: two answers.
fn own(line: &[u8], place: Place) -> Option<Option<Damage>> {
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    if record["logger"] != "logspool" {
        return None;
    }
    if record["event"] == "log_trouble_ended" {
        return Some(None);
    }
    if record["event"] != "spool_damaged" {
        return None;
    }
    let fields = &record["fields"];
    let what = if let (Some(from), Some(to)) = (fields["from"].as_u64(), fields["to"].as_u64()) {
        Lost::Bytes(to.saturating_sub(from))
    } else if let Some(records) = fields["records"].as_u64() {
        Lost::Records(records)
    } else if let Some(part) = fields["what"].as_str() {
        Lost::Part(part.to_owned())
    } else {
        Lost::Unsaid
    };
    Some(fields["ring"].as_str().map(|ring| Damage {
        ring: ring.to_owned(),
        what,
        place,
    }))
}

/// A number that does not stand at the line's end: somebody rewrote the file.
fn seq_elsewhere(line: &[u8]) -> Option<(RingId, u64)> {
    memchr::memmem::find(line, b"\"seq\"")?;
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    crate::spool::ring::look::parse_seq(record["seq"].as_str()?.as_bytes())
}

fn ts(line: &[u8]) -> [u8; 27] {
    let mut found = [0; 27];
    let head = &line[..line.len().min(300)];
    if let Some(at) = memchr::memmem::find(head, b"\"ts\":\"")
        && let Some(text) = line.get(at + 6..at + 33)
        && text.is_ascii()
    {
        found.copy_from_slice(text);
    }
    found
}
