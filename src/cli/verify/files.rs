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
use crate::segment::naming::{gz_name, list, segment_name};
use crate::segment::state::peek::{Peek, Seen, peek};

/// Looks at state and files until they agree, while a writer is at work.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);
const BUFFER: usize = 128 << 10;
/// Segments opened ahead of being read.
const MOST: usize = 4096;

/// A segment to be read.
pub struct Source {
    dir: PathBuf,
    name: String,
    number: u64,
    /// Opened when it was found, so that it can be read though retention deletes it; and whether it is gzipped.
    open: Option<(File, bool)>,
    /// How far it is written: what follows is an append under way.
    limit: Option<u64>,
    /// For the order of the work.
    pub bytes: u64,
}

impl Source {
    /// Reads it; `None` if retention deleted it before it could be opened.
    pub fn read(&self) -> Option<Scan> {
        let later;
        let (file, gz) = match &self.open {
            Some((file, gz)) => (file, *gz),
            None => match open(&self.dir, &self.name, self.number) {
                Ok(found) => {
                    later = found;
                    (&later.0, later.1)
                }
                Err(e) if e.kind() == ErrorKind::NotFound => return None,
                Err(e) => {
                    return Some(Scan {
                        number: self.number,
                        error: Some(e.to_string()),
                        ..Scan::default()
                    });
                }
            },
        };
        let mut scan = if gz {
            let packed = BufReader::with_capacity(BUFFER, file);
            Scan::read(self.number, &mut MultiGzDecoder::new(packed))
        } else {
            Scan::read(self.number, &mut file.take(self.limit.unwrap_or(u64::MAX)))
        };
        scan.gz = gz;
        Some(scan)
    }
}

/// Opens a segment: the plain file, or where that is gone the compressed one, which is there before the plain one goes.
fn open(dir: &Path, name: &str, number: u64) -> std::io::Result<(File, bool)> {
    match File::open(dir.join(segment_name(name, number))) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Ok((File::open(dir.join(gz_name(name, number)))?, true))
        }
        other => Ok((other?, false)),
    }
}

/// How many segments are opened at once, ahead of being read.
pub fn budget() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(MOST, |n| usize::try_from(n / 2).unwrap_or(MOST).min(MOST))
}

/// The segments of a log, each number once, as of now: the newest are opened first, as the oldest may be deleted any time.
pub fn sources(dir: &Path, name: &str, log: &Log, budget: &mut usize) -> Vec<Source> {
    let mut found = Vec::new();
    for _ in 0..LOOKS {
        let mut left = *budget;
        if let Some(complete) = opened(dir, name, &mut left) {
            (found, *budget) = (complete, left);
            break;
        }
    }
    let state = fresh(log, name);
    for source in &mut found {
        let Some((file, gz)) = &source.open else {
            continue;
        };
        let Ok(meta) = file.metadata() else { continue };
        source.bytes = meta.len() * if *gz { 10 } else { 1 };
        let current = state.as_ref().map(|s| s.current);
        source.limit = current
            .filter(|c| c.number == source.number && (meta.dev(), meta.ino()) == c.id)
            .map(|c| c.size);
    }
    found
}

/// Lists and opens; `None` when even the newest was deleted in between.
fn opened(dir: &Path, name: &str, budget: &mut usize) -> Option<Vec<Source>> {
    let listed = File::open(dir).and_then(|fd| list(fd.as_fd(), name));
    let mut numbers: Vec<u64> = listed
        .unwrap_or_default()
        .iter()
        .map(|s| s.number)
        .collect();
    numbers.dedup();
    let newest = numbers.last().copied();
    let mut found = Vec::new();
    for number in numbers.into_iter().rev() {
        let open = if *budget > 0 {
            match open(dir, name, number) {
                Ok(open) => {
                    *budget -= 1;
                    Some(open)
                }
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    if Some(number) == newest {
                        return None;
                    }
                    continue;
                }
                Err(_) => None, // Tried again when its turn comes, which tells why.
            }
        } else {
            None
        };
        found.push(Source {
            dir: dir.to_owned(),
            name: name.to_owned(),
            number,
            open,
            limit: None,
            bytes: 0,
        });
    }
    Some(found)
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
    let mut last = Checked::default();
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
        if still || look == 0 {
            last = tried;
        }
        // What is wrong must stay so: a writer moves state, segment and plain name one after the other.
        if still && last.problems.is_empty() {
            break;
        }
    }
    found.problems.append(&mut last.problems);
    found.notes.append(&mut last.notes);
    found.staged = last.staged;
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
        let whole = intent.offset.saturating_add(intent.len);
        if size < intent.offset || size > whole {
            found.problems.push(format!(
                "{segment} is {size} bytes long; with the append that was left half done it can be {} to {}: something else \
                 changed it",
                intent.offset, whole
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
    list(fd.as_fd(), name)
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
            open: None,
            limit: None,
            bytes: 0,
        };
        let scan = source.read().unwrap();
        assert!(scan.error.is_some());
        assert_eq!(scan.records, 2);
    }
}
