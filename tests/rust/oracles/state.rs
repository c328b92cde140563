//! Whatever stands in a log's state file: what is in segments stays, and what is appended is there, once.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use logspool::config::LogSettings;
use logspool::segment::dir::LogDir;
use logspool::segment::state::{Intent, Reached, State};
use logspool::segment::store::Store;

use super::{Bytes, be_quiet, scratch, text_of};

const LOG: &str = "a.jsonl";
const BEFORE: &str = "one\ntwo\n";

fn settings() -> LogSettings {
    LogSettings {
        gzip: false,
        backup_count: 0,
        ..LogSettings::default()
    }
}

/// Appends one line as the consumer does; false when the log cannot be used.
fn append(dir: &Arc<LogDir>, line: &str) -> bool {
    let Ok(mut store) = Store::open(Arc::clone(dir), LOG, settings()) else {
        return false;
    };
    if !matches!(store.try_lock(&mut |_| true), Ok(true)) {
        return false;
    }
    store.stage(line.as_bytes(), 1);
    store.intend(*b"aaaaaaaa", 0, Reached::default());
    store.append(&mut |_| {}).is_ok()
}

pub fn check(data: &[u8]) {
    be_quiet();
    let mut input = Bytes(data);
    let root = scratch();
    let dir = Arc::new(LogDir::open(root.path(), 0o700).unwrap());
    assert!(append(&dir, BEFORE));
    let path = root.path().join(".logspool/a.jsonl.state");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let how = input.u8();
    match how % 4 {
        0 => {
            // Any bytes, of any length.
            file.set_len(0).unwrap();
            file.write_all_at(input.0, 0).unwrap();
        }
        1 => {
            // An intent with any numbers.
            let state = State::open(&dir, LOG).unwrap();
            let staged: [u8; 16] = input.take();
            state.stage(0, &staged);
            let mut intent = Intent {
                ring: input.take(),
                slot: input.odd_word(0),
                reached: Reached {
                    to: input.odd_word(0),
                    written: input.odd_word(0),
                    announced: input.odd_word(0),
                },
                segment: input.odd_word(1),
                offset: input.odd_word(BEFORE.len() as u64),
                len: input.odd_word(16),
                crc: input.odd_word(0),
                skip: input.odd_word(0) % 64,
            };
            if how & 4 != 0 {
                intent.len %= 17;
                intent.crc = u64::from(crc32c::crc32c(
                    state.staged(usize::try_from(intent.len).unwrap_or(usize::MAX)),
                ));
            }
            state.set_intent(&intent);
        }
        _ => {
            while !input.is_empty() {
                let at = (u64::from(input.u16()) % 4200) & !7;
                let mut word = [0; 8];
                file.read_exact_at(&mut word, at).unwrap();
                let word = input.odd_word(u64::from_le_bytes(word));
                file.write_all_at(&word.to_le_bytes(), at).unwrap();
            }
            if how & 4 != 0 {
                file.set_len(u64::from(how) * 4000).unwrap();
            }
        }
    }
    drop(file);
    let appended = append(&dir, "three\n");
    let text = text_of(root.path(), LOG);
    assert!(text.starts_with(BEFORE.as_bytes()), "{text:?}");
    if appended {
        assert!(text.ends_with(b"three\n"), "{text:?}");
        assert_eq!(text.windows(6).filter(|w| w == b"three\n").count(), 1);
        assert!(append(&dir, "four\n"), "a log that works goes on working");
    }
}
