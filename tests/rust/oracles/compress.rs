//! Any text becomes a compressed segment that reads back as it, member by member too.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;

use flate2::read::{GzDecoder, MultiGzDecoder};
use logspool::segment::compress::{Options, Outcome, compress};

use super::{Bytes, be_quiet, scratch};

pub const NAME: &str = "a.jsonl";

pub fn options() -> Options<'static> {
    Options {
        file_mode: 0o600,
        level: 1,
        checkpoint: &|| false,
        on_step: None,
    }
}

pub fn check(data: &[u8]) {
    be_quiet();
    let mut input = Bytes(data);
    let repeat = match input.u8() {
        0..4 => 1 + (1 << 20) / data.len().max(1),
        n => usize::from(n) % 8 + 1,
    };
    let text = input.0.repeat(repeat);
    let dir = scratch();
    fs::create_dir(dir.path().join(".logspool")).unwrap();
    let plain = dir.path().join("a.jsonl.000001");
    fs::write(&plain, &text).unwrap();
    let logs = File::open(dir.path()).unwrap();
    let own = File::open(dir.path().join(".logspool")).unwrap();
    let done = compress(logs.as_fd(), own.as_fd(), NAME, 1, &options()).unwrap();
    assert!(matches!(done, Outcome::Compressed { .. }));
    assert!(!plain.exists());
    let packed = fs::read(dir.path().join("a.jsonl.000001.gz")).unwrap();
    let mut back = Vec::new();
    MultiGzDecoder::new(&packed[..])
        .read_to_end(&mut back)
        .unwrap();
    assert!(back == text, "other text comes back");
    // By hopping: each member says how long it is and what it holds.
    let mut at = 0;
    let mut hopped = Vec::new();
    while at < packed.len() {
        let word = |i: usize| {
            usize::try_from(u32::from_le_bytes(
                packed[at + i..at + i + 4].try_into().unwrap(),
            ))
            .unwrap()
        };
        let (len, holds) = (word(16), word(20));
        let before = hopped.len();
        GzDecoder::new(&packed[at..at + len])
            .read_to_end(&mut hopped)
            .unwrap();
        assert_eq!(hopped.len() - before, holds);
        at += len;
        assert!(
            at == packed.len() || hopped.ends_with(b"\n"),
            "a member ends within a line"
        );
    }
    assert!(hopped == text);
}
