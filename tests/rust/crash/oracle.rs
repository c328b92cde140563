//! What the crash model holds the logs against: the calls made, and a reader of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use logspool::spool::producer::Appended;

/// One logging call.
#[derive(Clone, Debug)]
pub struct Call {
    pub process: usize,
    pub log: &'static str,
    /// None while it has not returned.
    pub outcome: Option<Appended>,
    pub len: usize,
}

/// All calls, and which process has which ring.
#[derive(Default)]
pub struct Ledger {
    pub calls: Vec<Call>,
    /// The outsider's lines, which stood there before.
    pub before: BTreeMap<&'static str, String>,
    /// Whether the oldest records may have been dropped, where they are announced.
    pub may_drop_oldest: bool,
    /// Whether each process began when those before it had ended, so that their records come before its own.
    pub in_turn: bool,
    /// Lines that another program wrote into segments.
    pub foreign: usize,
    rings: BTreeMap<String, usize>,
}

/// What another program writes.
pub const FOREIGN: &[u8] = b"foreign\n";

impl Ledger {
    pub fn begin(&mut self, process: usize, ring: [u8; 8]) {
        self.rings
            .insert(String::from_utf8(ring.to_vec()).unwrap(), process);
    }

    pub fn of(&self, process: usize, outcome: Appended) -> usize {
        self.calls
            .iter()
            .filter(|c| c.process == process && c.outcome == Some(outcome))
            .count()
    }

    /// The line of call `n`.
    pub fn line(n: usize, len: usize) -> Vec<u8> {
        let pad = "x".repeat(len.saturating_sub(50));
        format!("{{\"n\":{n},\"pad\":\"{pad}\",\"seq\":\"-------------------\"}}\n").into_bytes()
    }

    /// Everything that is wrong with the logs in `dir`.
    pub fn faults(&self, dir: &Path) -> Vec<String> {
        let mut logs: BTreeSet<_> = self.calls.iter().map(|c| c.log).collect();
        logs.extend(self.before.keys());
        let mut faults = Vec::new();
        let mut foreign = 0;
        for log in logs {
            foreign += Reading::new(self, log, &mut faults).read(dir);
        }
        if foreign != self.foreign {
            faults.push(format!("{foreign} of {} foreign lines", self.foreign));
        }
        faults
    }
}

struct Reading<'a> {
    ledger: &'a Ledger,
    log: &'static str,
    faults: &'a mut Vec<String>,
    seen: BTreeSet<usize>,
    /// The last call seen of each process.
    last: BTreeMap<usize, usize>,
    newest: usize,
    /// Sequence numbers of records and of announced drops, by ring.
    kept: BTreeMap<String, BTreeSet<u64>>,
    announced: BTreeMap<String, BTreeSet<u64>>,
}

impl<'a> Reading<'a> {
    fn new(ledger: &'a Ledger, log: &'static str, faults: &'a mut Vec<String>) -> Self {
        Self {
            ledger,
            log,
            faults,
            seen: BTreeSet::new(),
            last: BTreeMap::new(),
            newest: 0,
            kept: BTreeMap::new(),
            announced: BTreeMap::new(),
        }
    }

    fn fault(&mut self, what: impl std::fmt::Display) {
        self.faults.push(format!("{}: {what}", self.log));
    }

    /// Gives the number of foreign lines.
    fn read(mut self, dir: &Path) -> usize {
        let mut foreign = 0;
        let segments = segments(dir, self.log);
        let mut text = Vec::new();
        for path in segments.values() {
            let bytes = contents(path);
            if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                self.fault(format_args!("{} ends in a torn line", path.display()));
            }
            text.extend(bytes);
        }
        let before = self.ledger.before.get(self.log);
        let rest = match before.map(|b| text.strip_prefix(b.as_bytes())) {
            Some(None) => {
                self.fault("what stood there before is not the beginning");
                &text[..]
            }
            Some(Some(rest)) => rest,
            None => &text[..],
        };
        for line in rest.split_inclusive(|b| *b == b'\n') {
            if line == FOREIGN {
                foreign += 1;
            } else {
                self.line(line);
            }
        }
        self.missing();
        self.numbers();
        // What people open is the newest segment, also right after a kill.
        let inode = |p: &Path| p.metadata().map(|m| m.ino()).ok();
        if let Some(newest) = segments.values().next_back()
            && inode(newest) != inode(&dir.join(self.log))
        {
            self.fault("the plain name is not the newest segment");
        }
        foreign
    }

    fn line(&mut self, line: &[u8]) {
        // Long lines are not parsed: that takes longer than all the rest.
        let n = line
            .strip_prefix(b"{\"n\":")
            .and_then(|r| r.split(|b| *b == b',').next())
            .and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok());
        let Some(n) = n else {
            return self.announcement(line);
        };
        let Some(call) = self.ledger.calls.get(n).filter(|c| c.log == self.log) else {
            return self.fault(format_args!("call {n} was never made here"));
        };
        let mut expected = Ledger::line(n, 0);
        let seq_at = call.len - 22;
        if call.len > expected.len() {
            expected = Ledger::line(n, 50 + call.len - expected.len());
        }
        if line.len() != call.len
            || line[..seq_at] != expected[..seq_at]
            || line[seq_at + 19..] != expected[seq_at + 19..]
        {
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
            return self.fault(format_args!("call {n} is torn: {shown}"));
        }
        let seq = String::from_utf8_lossy(&line[seq_at..seq_at + 19]).into_owned();
        let (ring, number) = parse_seq(&seq);
        if self.ledger.rings.get(&ring) != Some(&call.process) {
            self.fault(format_args!("call {n} has the number {seq}"));
        }
        self.kept.entry(ring).or_default().insert(number);
        if !self.seen.insert(n) {
            self.fault(format_args!("call {n} is there twice"));
        } else if self.last.insert(call.process, n).is_some_and(|l| l > n) {
            self.fault(format_args!("call {n} is out of order"));
        }
        if self.ledger.in_turn && call.process < self.newest {
            self.fault(format_args!(
                "call {n} stands behind those of a later process"
            ));
        }
        self.newest = self.newest.max(call.process);
        if matches!(call.outcome, Some(o) if o != Appended::Accepted) {
            self.fault(format_args!("call {n} was dropped and is there"));
        }
    }

    fn announcement(&mut self, line: &[u8]) {
        let shown = String::from_utf8_lossy(line).into_owned();
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else {
            return self.fault(format_args!("not a line: {shown:?}"));
        };
        if value["event"] == "log_trouble_ended" {
            return; // The scenario's disk was full for a moment.
        }
        if value["event"] != "records_dropped" {
            return self.fault(format_args!("unexpected: {shown}"));
        }
        let of = |key: &str| parse_seq(value["fields"][key].as_str().unwrap_or_default());
        let ((ring, first), (_, last)) = (of("first_seq"), of("last_seq"));
        let count = value["fields"]["count"].as_u64().unwrap_or(0);
        if last + 1 != first + count {
            self.fault(format_args!("{count} from {first} to {last}: {shown}"));
        }
        for n in first..=last {
            if !self.announced.entry(ring.clone()).or_default().insert(n) {
                self.fault(format_args!("the drop of {ring}-{n:x} is announced twice"));
            }
        }
    }

    fn missing(&mut self) {
        // The drop policies say by number what they dropped: how many is enough here, as no number is there twice.
        let mut missing = BTreeMap::<usize, usize>::new();
        for (n, call) in self.ledger.calls.iter().enumerate() {
            if call.log != self.log || self.seen.contains(&n) {
                continue;
            }
            match call.outcome {
                Some(Appended::Accepted) if !self.ledger.may_drop_oldest => {
                    self.fault(format_args!("call {n} is lost"));
                }
                Some(_) => *missing.entry(call.process).or_default() += 1,
                // It had not returned: it may be gone, but its drop may be announced.
                None => {}
            }
        }
        let rings: Vec<_> = self.ledger.rings.iter().collect();
        for (ring, process) in rings {
            let known = self.announced.get(ring).map_or(0, BTreeSet::len);
            let missing = missing.get(process).copied().unwrap_or(0);
            let unreturned = self
                .ledger
                .calls
                .iter()
                .any(|c| c.process == *process && c.log == self.log && c.outcome.is_none());
            if known != missing && !(unreturned && known == missing + 1) {
                self.fault(format_args!(
                    "{missing} records of process {process} are missing and {known} announced"
                ));
            }
        }
    }

    fn numbers(&mut self) {
        for ring in self.ledger.rings.keys() {
            let kept = self.kept.remove(ring).unwrap_or_default();
            let announced = self.announced.remove(ring).unwrap_or_default();
            for both in kept.intersection(&announced) {
                let what = format!("{ring}-{both:x} is there and announced as dropped");
                self.fault(what);
            }
            let all: BTreeSet<_> = kept.union(&announced).copied().collect();
            if all.iter().next_back().map_or(0, |l| l + 1) != all.len() as u64 {
                self.fault(format_args!("numbers of {ring} are missing: {all:?}"));
            }
        }
    }
}

fn parse_seq(text: &str) -> (String, u64) {
    match text.split_once('-') {
        Some((ring, n)) => (
            ring.to_owned(),
            u64::from_str_radix(n, 16).unwrap_or(u64::MAX / 2),
        ),
        None => (String::new(), u64::MAX / 2),
    }
}

/// The segments of `log` by number, the plain one where both are there.
fn segments(dir: &Path, log: &str) -> BTreeMap<u64, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(log).and_then(|r| r.strip_prefix('.')) else {
            continue;
        };
        let gz = rest.strip_suffix(".gz");
        let Ok(number) = gz.unwrap_or(rest).parse::<u64>() else {
            continue;
        };
        if gz.is_none() || !found.contains_key(&number) {
            found.insert(number, path);
        }
    }
    found
}

fn contents(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_end(&mut text)
            .expect("a whole gzip file");
        return text;
    }
    bytes
}
