//! The files of a log: which are read and how far, and whether state, plain name and files agree.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

use super::scan::Scan;
use super::shown;
use crate::cli::survey::Log;
use crate::cli::{bytes, counted};
use crate::segment::naming::{gz_name, segment_name};
use crate::segment::state::peek::{Peek, Seen, peek};

/// Looks at state and files until they agree, while a writer is at work.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);
const BUFFER: usize = 128 << 10;

/// A segment to be read.
pub struct Source {
    dir: PathBuf,
    name: String,
    number: u64,
    /// The plain file counts, where both stand.
    gz: bool,
    /// How far it is written: what follows is an append under way.
    limit: Option<u64>,
    /// For the order of the work.
    pub bytes: u64,
}

impl Source {
    /// Reads it; `None` if retention deleted it meanwhile.
    pub fn read(&self) -> Option<Scan> {
        let plain = self.dir.join(segment_name(&self.name, self.number));
        if !self.gz {
            match File::open(&plain) {
                Ok(file) => {
                    let mut text = file.take(self.limit.unwrap_or(u64::MAX));
                    return Some(Scan::read(self.number, &mut text));
                }
                Err(e) if e.kind() == ErrorKind::NotFound => {} // Compressed meanwhile.
                Err(e) => return Some(self.failed(&e)),
            }
        }
        match File::open(self.dir.join(gz_name(&self.name, self.number))) {
            Ok(file) => {
                let packed = BufReader::with_capacity(BUFFER, file);
                Some(Scan::read(self.number, &mut MultiGzDecoder::new(packed)))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => Some(self.failed(&e)),
        }
    }

    fn failed(&self, error: &std::io::Error) -> Scan {
        Scan {
            number: self.number,
            error: Some(error.to_string()),
            ..Scan::default()
        }
    }
}

/// The segments of a log, each number once.
pub fn sources(dir: &Path, name: &str, log: &Log) -> Vec<Source> {
    let state = fresh(log, name);
    let mut found: Vec<Source> = Vec::new();
    for segment in &log.segments {
        if found.last().is_some_and(|s| s.number == segment.number) {
            continue; // The plain one comes first.
        }
        let meta = std::fs::metadata(dir.join(segment.file_name(name)));
        let current = state
            .as_ref()
            .map(|s| s.current)
            .filter(|c| c.number == segment.number && !segment.gz);
        let limit = current
            .filter(|c| meta.as_ref().is_ok_and(|m| (m.dev(), m.ino()) == c.id))
            .map(|c| c.size);
        found.push(Source {
            dir: dir.to_owned(),
            name: name.to_owned(),
            number: segment.number,
            gz: segment.gz,
            limit,
            bytes: meta.map_or(0, |m| m.len() * if segment.gz { 10 } else { 1 }),
        });
    }
    found
}

/// What was found out about the files of a log.
#[derive(Default)]
pub struct Checked {
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    /// Bytes of an append that was left half done, whose lines are not lost.
    pub staged: Vec<u8>,
}

/// The state as it is now.
fn fresh(log: &Log, name: &str) -> Option<Box<Peek>> {
    log.states.iter().find_map(|state| {
        let own = File::open(&state.own).ok()?;
        match peek(own.as_fd(), &format!("{name}.state")) {
            Ok(Seen::State(state)) => Some(state),
            _ => None,
        }
    })
}

/// Compares state, segments and plain name. A writer may be at work: what it has not changed in between is judged.
pub fn check(dir: &Path, name: &str, log: &Log) -> Checked {
    let mut found = Checked::default();
    for state in &log.states {
        if let Err(why) = &state.peek {
            found.problems.push(format!(
                "its state file {}/{name}.state cannot be used: {why}",
                state.own.display()
            ));
        }
    }
    if log.states.is_empty() {
        found.notes.push(
            "there is no state file: how long its newest segment should be is not known".to_owned(),
        );
        return found;
    }
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        let Some(before) = fresh(log, name) else {
            break;
        };
        let mut tried = Checked::default();
        judge(dir, name, &before, &mut tried);
        let after = fresh(log, name);
        let still = after
            .as_ref()
            .is_some_and(|a| a.current == before.current && a.intent == before.intent);
        if still || look + 1 == LOOKS {
            if still {
                found.problems.append(&mut tried.problems);
                found.notes.append(&mut tried.notes);
            }
            found.staged = tried.staged;
            break;
        }
    }
    holes(log, &mut found);
    found
}

fn judge(dir: &Path, name: &str, state: &Peek, found: &mut Checked) {
    let current = state.current;
    if current.number == 0 {
        return;
    }
    let segment = segment_name(name, current.number);
    let Ok(meta) = std::fs::symlink_metadata(dir.join(&segment)) else {
        let gz = gz_name(name, current.number);
        let packed = dir.join(&gz).exists();
        found.problems.push(if packed {
            format!("{segment}, which the state calls the newest, was compressed by something else: there is only {gz}")
        } else {
            format!("{segment}, the newest segment, is gone ({} of records): somebody deleted or moved it", bytes(current.size))
        });
        return;
    };
    let size = meta.len();
    let ours = (meta.dev(), meta.ino()) == current.id;
    if let Some(intent) = state.intent.filter(|i| i.segment == current.number && ours) {
        found.staged = state.staged.clone().unwrap_or_default();
        if size < intent.offset || size > intent.offset + intent.len {
            found.problems.push(format!(
                "{segment} is {size} bytes long; with the append that was left half done it can be {} to {}: something else \
                 changed it",
                intent.offset,
                intent.offset + intent.len
            ));
        }
    } else if size < current.size {
        found.problems.push(format!(
            "{segment} is {} shorter than what was written to it: somebody truncated it, and those records are gone",
            counted(current.size - size, "byte")
        ));
    } else if size > current.size {
        found.problems.push(format!(
            "{segment} holds {} that logspool did not write: something else appends to it",
            counted(size - current.size, "byte")
        ));
    } else if !ours {
        found.notes.push(format!(
            "{segment} is not the file the state speaks of, and as long: a copy of the directory"
        ));
    }
    let newest = newest(dir, name, current.number);
    if newest > current.number && newest != state.creating {
        found.problems.push(format!(
            "{} is newer than the newest segment the state knows, {segment}: something else put it there",
            segment_name(name, newest)
        ));
    }
    plain(dir, name, (meta.dev(), meta.ino()), ours, found);
}

/// The plain name must be the newest segment.
fn plain(dir: &Path, name: &str, id: (u64, u64), ours: bool, found: &mut Checked) {
    let path = shown(dir, name);
    match std::fs::metadata(dir.join(name)) {
        Ok(meta) if (meta.dev(), meta.ino()) == id => {}
        Ok(_) if !ours => {}
        Ok(_) => found.problems.push(format!(
            "{path} is not the newest segment but another file: something else replaced it (the next record puts it right, \
             and keeps what that file holds)"
        )),
        Err(_) => found.problems.push(format!(
            "{path} is not there: somebody removed it (the next record makes it again; nothing is lost by that)"
        )),
    }
}

fn newest(dir: &Path, name: &str, known: u64) -> u64 {
    let Ok(fd) = File::open(dir) else {
        return known;
    };
    crate::segment::naming::list(fd.as_fd(), name)
        .unwrap_or_default()
        .iter()
        .map(|s| s.number)
        .max()
        .unwrap_or(known)
}

/// Numbers of segments that are missing in the middle. That is no proof of a loss: a number that could not be created is
/// passed over.
fn holes(log: &Log, found: &mut Checked) {
    let mut numbers: Vec<u64> = log.segments.iter().map(|s| s.number).collect();
    numbers.dedup();
    for pair in numbers.windows(2) {
        if pair[1] > pair[0] + 1 {
            let (first, last) = (pair[0] + 1, pair[1] - 1);
            found.notes.push(if first == last {
                format!("there is no segment {first:06}")
            } else {
                format!("there are no segments {first:06} to {last:06}")
            });
        }
    }
}

/// Reads all of a log's staged lines for their numbers.
pub fn staged_numbers(staged: &[u8]) -> Vec<([u8; 8], (u64, u64))> {
    staged
        .split_inclusive(|b| *b == b'\n')
        .filter_map(|line| {
            let (ring, _) = crate::spool::ring::look::seq(line)?;
            Some((ring, crate::spool::ring::look::numbers(line)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_member_that_is_cut_off_is_an_error_and_the_lines_before_it_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut packed = Vec::new();
        for n in 0..2 {
            let mut member =
                flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
            writeln!(member, "{{\"seq\":\"abcdefgh-{n:010x}\"}}").unwrap();
            member.finish().unwrap();
        }
        packed.truncate(packed.len() - 5);
        std::fs::write(dir.path().join("a.000001.gz"), &packed).unwrap();
        let source = Source {
            dir: dir.path().to_owned(),
            name: "a".to_owned(),
            number: 1,
            gz: true,
            limit: None,
            bytes: 0,
        };
        let scan = source.read().unwrap();
        assert!(scan.error.is_some());
        assert_eq!(scan.records, 2);
    }
}
