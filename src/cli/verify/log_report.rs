//! What was found in one log: each thing that is not as promised becomes a sentence.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::files::{Checked, staged_numbers};
use super::judge::{Misplaced, Missing, Tracks, uncovered};
use super::scan::{Kind, Lost, Place, RingId, Scan};
use crate::cli::survey::Survey;
use crate::cli::{counted, grouped};
use crate::segment::naming::{gz_name, segment_name};
use crate::spool::ring::name_of;

/// Findings of one kind that are told of one log; the others are counted.
const SHOWN: usize = 20;

/// Something that is not as promised.
pub struct Problem {
    /// `missing`, `doubled`, `order`, `damaged`, `torn`, `unreadable` or `files`.
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) more: Value,
}

/// One log.
pub struct LogReport {
    pub(super) name: String,
    pub(super) segments: usize,
    pub(super) gzipped: usize,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) records: u64,
    pub(super) rings: usize,
    pub(super) dropped: u64,
    pub(super) in_spool: u64,
    /// JSON that the numbers prove something of.
    pub(super) verified: bool,
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<Problem>,
    /// A gap that a writer at work may seem to have made.
    pub(super) uncertain: bool,
    compressed: BTreeSet<u64>,
    /// Rings with the log whose process lives, or whose records wait.
    waiting: BTreeMap<RingId, Standing>,
}

struct Standing {
    next: u64,
    covered: Vec<(u64, u64)>,
    alive: bool,
}

impl LogReport {
    pub fn new(name: &str, scans: &[Scan]) -> Self {
        let gz: BTreeSet<u64> = scans.iter().filter(|s| s.gz).map(|s| s.number).collect();
        Self {
            name: name.to_owned(),
            segments: scans.len(),
            gzipped: gz.len(),
            bytes: scans.iter().map(|s| s.bytes).sum(),
            lines: scans.iter().map(|s| s.lines).sum(),
            records: scans.iter().map(|s| s.records).sum(),
            rings: 0,
            dropped: scans.iter().map(|s| s.dropped).sum(),
            in_spool: 0,
            verified: true,
            notes: Vec::new(),
            problems: Vec::new(),
            uncertain: false,
            compressed: gz,
            waiting: BTreeMap::new(),
        }
    }

    fn problem(&mut self, kind: &'static str, text: String, more: Value) {
        self.problems.push(Problem { kind, text, more });
    }

    fn file(&self, number: u64) -> String {
        if self.compressed.contains(&number) {
            gz_name(&self.name, number)
        } else {
            segment_name(&self.name, number)
        }
    }

    fn place(&self, place: &Place) -> String {
        format!(
            "{} line {} ({})",
            self.file(place.segment),
            place.line,
            place.ts()
        )
    }

    fn place_json(&self, place: Option<&Place>) -> Value {
        place.map_or(
            Value::Null,
            |p| json!({"file": self.file(p.segment), "line": p.line, "ts": p.ts()}),
        )
    }

    /// Whether every line is whole.
    pub fn lines(&mut self, scans: &[Scan]) {
        for scan in scans {
            let file = self.file(scan.number);
            if let Some(error) = &scan.error {
                let text = format!(
                    "{file} cannot be read to its end (after line {}): {error}",
                    scan.lines
                );
                self.problem("unreadable", text, json!({"file": file}));
            }
            if scan.torn && scan.error.is_none() {
                let text = format!("{file} ends in the middle of a line (line {})", scan.lines);
                self.problem("torn", text, json!({"file": file, "line": scan.lines}));
            }
            for damage in &scan.damage {
                let what = match &damage.what {
                    Lost::Bytes(n) => format!(" ({})", counted(*n, "byte")),
                    Lost::Records(n) => format!(" ({})", counted(*n, "record")),
                    Lost::Part(part) => format!(" ({part})"),
                    Lost::Unsaid => String::new(),
                };
                self.notes.push(format!(
                    "damage of the spool of ring {}{what} is announced at {}",
                    damage.ring,
                    self.place(&damage.place)
                ));
            }
            match scan.kind() {
                Kind::Foreign if scan.lines > 0 => self.notes.push(format!(
                    "{file} is not logspool's ({} without `seq`, such as a file that was there before): only that its lines are \
                     whole JSON can be verified",
                    counted(scan.unnumbered, "line")
                )),
                Kind::Foreign | Kind::Text => {}
                Kind::Numbered => {
                    for bad in &scan.bad {
                        let text = format!("{file} line {}: {}", bad.line, bad.why);
                        self.problem("torn", text, json!({"file": file, "line": bad.line}));
                    }
                    let more = scan.not_json.saturating_sub(scan.bad.len() as u64);
                    if more > 0 {
                        let text = format!("{file}: {} more lines are not whole", grouped(more));
                        self.problem("torn", text, json!({"file": file}));
                    }
                    if scan.unnumbered > 0 {
                        let text = format!(
                            "{file} holds {} without a number: something other than logspool wrote there",
                            counted(scan.unnumbered, "line")
                        );
                        self.problem("files", text, json!({"file": file}));
                    }
                }
            }
        }
    }

    /// What the comparison of files and state has shown.
    pub fn files(&mut self, checked: &Checked) {
        for text in &checked.problems {
            self.problem("files", text.clone(), Value::Null);
        }
        self.notes.extend(checked.notes.iter().cloned());
    }

    /// Whether it is a log of text lines: then there is nothing more to prove.
    pub fn is_text(&mut self, kinds: &[Kind]) -> bool {
        let text = kinds.iter().filter(|k| **k == Kind::Text).count();
        if text == 0 {
            return false;
        }
        if kinds.contains(&Kind::Numbered) && self.records > 0 {
            self.notes.push(format!(
                "{} of text (json=False) cannot be verified beyond whole lines",
                counted(text as u64, "segment")
            ));
            return false;
        }
        self.verified = false;
        self.notes.push(
            "a text log (json=False): its lines have no numbers, and cannot be verified beyond being whole".to_owned(),
        );
        true
    }

    /// What waits in rings, and in an append left half done.
    pub fn spool(&mut self, survey: &Survey, tracks: &mut Tracks, staged: &[u8]) {
        for ring in survey.rings.iter().filter(|r| r.copy_of().is_none()) {
            let Ok(look) = &ring.look else { continue };
            let Some(log) = look.logs.iter().find(|l| l.name == self.name) else {
                continue;
            };
            self.in_spool += log.records;
            let id = name_of(look.id);
            if log.records > 0 {
                self.notes.push(if ring.owner.held {
                    format!("in the spool: {} of ring {id}, whose process lives", counted(log.records, "record"))
                } else {
                    format!(
                        "in the spool: {} of ring {id}, whose process is gone; the next process writes them, or `logspool recover`",
                        counted(log.records, "record")
                    )
                });
            }
            if log.lost.1 > 0 {
                self.notes.push(format!(
                    "{} of ring {id}, not announced in the log yet",
                    counted(log.lost.1, "drop")
                ));
            }
            if log.next_seq > 0 {
                tracks.rings.entry(look.id).or_default();
                self.waiting.insert(
                    look.id,
                    Standing {
                        next: log.next_seq,
                        covered: log.numbers(),
                        alive: ring.owner.held,
                    },
                );
            }
        }
        let staged = staged_numbers(staged);
        if !staged.is_empty() && self.in_spool == 0 {
            self.in_spool += staged.len() as u64;
            self.notes.push(format!(
                "in the spool: {} of an append that was left half done; the next process completes it, or `logspool recover`",
                counted(staged.len() as u64, "record")
            ));
        }
        for (ring, range) in staged {
            if let Some(standing) = self.waiting.get_mut(&ring) {
                standing.covered.push(range);
            }
        }
    }

    /// Whether the numbers of every ring are complete and in order.
    pub fn numbers(&mut self, tracks: &Tracks, retired: bool) {
        self.rings = tracks.rings.len();
        for (id, track) in &tracks.rings {
            let ring = name_of(*id);
            let standing = self.waiting.remove(id);
            let mut missing = track.missing.clone();
            if let Some(standing) = &standing
                && let Some(newest) = standing.next.checked_sub(1)
                && track.next <= newest
            {
                for (first, last) in uncovered(track.next, newest, &standing.covered) {
                    // The last number may have been taken by a call that had not returned.
                    if (first, last) != (newest, newest) {
                        missing.push(Missing {
                            first,
                            last: if last == newest { last - 1 } else { last },
                            after: track.newest,
                            before: None,
                        });
                    }
                }
            }
            for gap in &missing {
                let alive = standing.as_ref().is_some_and(|s| s.alive);
                self.missing(&ring, gap, retired, alive);
            }
            for found in &track.misplaced {
                self.misplaced(&ring, found);
            }
        }
        self.limit();
    }

    fn missing(&mut self, ring: &str, gap: &Missing, retired: bool, alive: bool) {
        let count = gap.last - gap.first + 1;
        if gap.after.is_none() && gap.first == 0 && retired {
            self.notes.push(format!(
                "older records are no longer kept: ring {ring} begins at number {} here, the {} before it went with segments \
                 that are deleted",
                grouped(gap.last + 1),
                grouped(count)
            ));
            return;
        }
        let between = match (&gap.after, &gap.before) {
            (Some(a), Some(b)) => format!("between {} and {}", self.place(a), self.place(b)),
            (None, Some(b)) => format!("before {}", self.place(b)),
            (Some(a), None) => format!("after {}", self.place(a)),
            (None, None) => "no record of this ring is left".to_owned(),
        };
        let numbers = numbers(ring, gap.first, gap.last);
        self.uncertain |= alive;
        let text = format!(
            "{} of ring {ring} missing: {numbers}, {between}",
            counted(count, "record")
        );
        let more = json!({
            "ring": ring,
            "first": gap.first,
            "last": gap.last,
            "after": self.place_json(gap.after.as_ref()),
            "before": self.place_json(gap.before.as_ref()),
        });
        self.problem("missing", text, more);
    }

    fn misplaced(&mut self, ring: &str, found: &Misplaced) {
        let count = counted(found.last - found.first + 1, "record");
        let (numbers, place) = (
            numbers(ring, found.first, found.last),
            self.place(&found.at),
        );
        let (kind, text) = if found.doubled {
            (
                "doubled",
                format!("{count} of ring {ring} doubled: {numbers}, again at {place}"),
            )
        } else {
            (
                "order",
                format!("{count} of ring {ring} out of order: {numbers}, too late at {place}"),
            )
        };
        let more = json!({
            "ring": ring,
            "first": found.first,
            "last": found.last,
            "at": self.place_json(Some(&found.at)),
        });
        self.problem(kind, text, more);
    }

    /// Of many findings the first of each kind are told.
    fn limit(&mut self) {
        for kind in ["missing", "doubled", "order", "damaged"] {
            let of_kind = self.problems.iter().filter(|p| p.kind == kind).count();
            if of_kind > SHOWN {
                let mut seen = 0;
                self.problems.retain(|p| {
                    seen += usize::from(p.kind == kind);
                    p.kind != kind || seen <= SHOWN
                });
                let text = format!(
                    "{} more findings of this kind ({kind})",
                    grouped((of_kind - SHOWN) as u64)
                );
                self.problem(kind, text, Value::Null);
            }
        }
    }
}

/// `numbers 10 to 14 (seq k3mfw2qa-000000000a to …0e)`.
fn numbers(ring: &str, first: u64, last: u64) -> String {
    if first == last {
        format!("number {} (seq {ring}-{first:010x})", grouped(first))
    } else {
        format!(
            "numbers {} to {} (seq {ring}-{first:010x} to {ring}-{last:010x})",
            grouped(first),
            grouped(last)
        )
    }
}
