//! Whatever stands in a ring file: what was left whole in it is recovered, in order, and nothing else; and it ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use logspool::config::{LogSettings, SpoolSettings};
use logspool::segment::dir::LogDir;
use logspool::spool::drain::Source;
use logspool::spool::frame;
use logspool::spool::place;
use logspool::spool::producer::{Appended, Caller, Spool};
use logspool::spool::recover::adopt_orphans;
use logspool::spool::ring::{self, HEADER, Ring};
use logspool::spool::stores::Stores;

use super::{Bytes, be_quiet, scratch, text_of};

struct Plain;

impl Caller for Plain {
    fn detached(&mut self, wait: &mut (dyn FnMut() + Send)) -> bool {
        wait();
        true
    }
}

const LOG: &str = "a.jsonl";

/// Where one line lies in the file.
struct Line {
    text: Vec<u8>,
    at: usize,
    size: usize,
}

pub fn check(data: &[u8]) {
    be_quiet();
    let mut input = Bytes(data);
    let root = scratch();
    let dir = Arc::new(LogDir::open(root.path(), 0o700).unwrap());
    if input.u8() == 0 {
        std::fs::write(root.path().join(".logspool/aaaaaaaa.ring"), input.0).unwrap();
        return adopt(&dir, root.path());
    }
    let (path, lines) = orphan(&dir, &mut input);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    // Only what lies among the frames tells where the rest went; damage to the header may cost all of it.
    let header = input.u8() % 4 == 0;
    let mut damaged = vec![false; usize::try_from(len).unwrap()];
    while !input.is_empty() {
        let at = if header {
            damaged.fill(true);
            match input.u8() {
                // The words before the table, those of the first log, and its name.
                n @ 0..128 => u64::from(n) / 8 * 8,
                n => 4096 + u64::from(n - 128) * 2,
            }
        } else {
            HEADER as u64 + u64::from(input.u16()) % (len - HEADER as u64 - 8)
        };
        let mut before = [0; 8];
        file.read_exact_at(&mut before, at).unwrap();
        let after = input.odd_word(u64::from_le_bytes(before)).to_le_bytes();
        file.write_all_at(&after, at).unwrap();
        for i in 0..8 {
            damaged[usize::try_from(at).unwrap() + i] |= before[i] != after[i];
        }
    }
    drop(file);
    adopt(&dir, root.path());

    let text = text_of(root.path(), LOG);
    let mut found = text.split_inclusive(|b| *b == b'\n').filter(|line| {
        let announced = line.starts_with(b"{\"ts\":");
        if announced {
            serde_json::from_slice::<serde_json::Value>(line).expect("an announcement is JSON");
        }
        assert!(line.ends_with(b"\n"), "a torn line");
        !announced
    });
    if header {
        // Where the frames begin and what is done may be wrong now; what is read was accepted all the same.
        for line in found {
            assert!(lines.iter().any(|l| l.text == line), "never accepted");
        }
        return;
    }
    let mut next = found.next();
    for line in &lines {
        let whole = !damaged[line.at..line.at + line.size].contains(&true);
        if next == Some(&line.text[..]) {
            next = found.next();
        } else {
            let shown = String::from_utf8_lossy(&line.text);
            assert!(!whole, "lost: {shown}");
        }
    }
    let next = next.map(String::from_utf8_lossy);
    assert_eq!(next, None, "it was never accepted, or is out of order");
}

/// A ring that a process left, with lines in it that it may have begun to write.
fn orphan(dir: &Arc<LogDir>, input: &mut Bytes<'_>) -> (std::path::PathBuf, Vec<Line>) {
    let settings = SpoolSettings {
        bytes: 512 + u64::from(input.u8()) * 16,
        ..SpoolSettings::default()
    };
    let log = LogSettings {
        gzip: false,
        backup_count: 0,
        max_bytes: u64::from(input.u16() & 0x3ff),
        ..LogSettings::default()
    };
    let place = place::open(dir, &settings.place).unwrap();
    let ring = Ring::create(place.as_fd(), settings.bytes, settings.bytes).unwrap();
    let path = dir
        .path()
        .join(".logspool")
        .join(ring::file_name(ring.id()));
    let spool = Spool::new(ring, Arc::clone(dir), place, settings, Arc::default());
    spool.enter(LOG, &log).unwrap();
    let mut lines = Vec::new();
    let capacity = spool.ring.region.capacity;
    for n in 0..input.u8() % 24 {
        let len = usize::from(input.u8());
        let mut text = format!("{{\"n\":{n},\"{}\"}}\n", "x".repeat(len)).into_bytes();
        if spool.ring.tail() + capacity < spool.head() + 2 * frame::size(text.len()) + 400 {
            let source = Source {
                ring: &spool.ring,
                spool: Some(&spool),
                place: spool.place.as_fd(),
                behind: &[],
            };
            spool.stores.lock().drain(source);
        }
        let before = spool.head();
        if spool.append(0, &mut text, false, false, &mut Plain) == Appended::Accepted {
            let size = frame::size(text.len());
            let at = (spool.head() - size) % capacity;
            assert!(spool.head() - size >= before);
            // A damaged wrap marker hides nothing: the next lap is looked through.
            lines.push(Line {
                at: HEADER + usize::try_from(at).unwrap(),
                size: 24 + text.len(),
                text,
            });
        }
    }
    // Those that are in segments need no bytes of the ring any more.
    let tail = spool.ring.tail();
    let mut position = tail;
    let mut left = 0;
    while let frame::Found::Frame { next, .. } | frame::Found::Wrap { next } =
        spool.ring.region.find(position, capacity, true)
    {
        left += u32::from(
            spool.ring.region.find(position, capacity, true) != frame::Found::Wrap { next },
        );
        position = next;
    }
    let written = lines.len() - usize::try_from(left).unwrap();
    for line in &mut lines[..written] {
        line.size = 0;
    }
    (path, lines)
}

/// Recovers, twice: the first time may find damage that the second must not trip over.
fn adopt(dir: &Arc<LogDir>, root: &Path) {
    for _ in 0..2 {
        let mut stores = Stores::new(Arc::clone(dir));
        let done = adopt_orphans(dir.own(), &mut stores).expect("the place can be read");
        assert_eq!(done.left, 0, "left for ever");
    }
    for entry in std::fs::read_dir(root.join(".logspool")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "ring") {
            // Only a ring of another version waits for the logspool that wrote it.
            let bytes = std::fs::read(&path).unwrap();
            let version = bytes
                .get(8..16)
                .map(|v| u64::from_le_bytes(v.try_into().unwrap()));
            // Or a copy of another, which lines that do not say where they come from cannot be told from.
            let stem = path.file_stem().and_then(|s| s.to_str()).map(str::as_bytes);
            let copy = bytes.get(32..40) != stem;
            assert!(copy || version != Some(ring::VERSION), "a ring is left");
        }
    }
}
