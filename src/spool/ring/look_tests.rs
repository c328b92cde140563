//! What a look sees, and that nothing in a ring makes it fail.

use super::*;
use crate::segment::state::Reached;
use crate::spool::frame::Kind;
use crate::spool::ring::Ring;
use proptest::prelude::*;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

const CAPACITY: u64 = 16 << 10;

/// A ring of one log with `lines` frames, and its file.
fn ring(dir: &std::path::Path, lines: u64) -> (Ring, std::fs::File) {
    let fd = std::fs::File::open(dir).unwrap();
    let ring = Ring::create(fd.as_fd(), CAPACITY, CAPACITY).unwrap();
    ring.enter_log(0, "a.jsonl", &LogSettings::default(), 0);
    let mut at = 0;
    for n in 0..lines {
        let name = crate::spool::ring::name_of(ring.id());
        let line = format!("{{\"seq\":\"{name}-{:010x}\"}}\n", ring.take_seq(0));
        ring.region.put(at, at, 0, Kind::Record, line.as_bytes());
        at += frame::size(line.len());
        if n == 2 {
            ring.advance(
                0,
                Reached {
                    to: at,
                    written: 3,
                    announced: 0,
                },
            );
        }
    }
    let path = dir.join(crate::spool::ring::file_name(ring.id()));
    let file = std::fs::File::options().read(true).write(true).open(path);
    (ring, file.unwrap())
}

fn seen(file: &std::fs::File, alive: bool) -> Look {
    match look(file.as_fd(), alive).unwrap() {
        Seen::Ring(look) => *look,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_waits_is_what_is_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let (_ring, file) = ring(dir.path(), 10);
    for alive in [true, false] {
        let look = seen(&file, alive);
        assert_eq!(look.logs.len(), 1);
        let log = &look.logs[0];
        assert_eq!((log.written, log.records, log.next_seq), (3, 7, 10));
        assert_eq!(log.runs, [(3, 9)]);
        assert_eq!(look.damaged, 0);
    }
}

#[test]
fn a_damaged_frame_is_passed_over_in_an_orphan() {
    let dir = tempfile::tempdir().unwrap();
    let (_ring, file) = ring(dir.path(), 10);
    let size = frame::size(31);
    file.write_all_at(b"X", HEADER as u64 + size * 5 + frame::HEADER as u64)
        .unwrap();
    let look = seen(&file, false);
    assert_eq!(look.logs[0].runs, [(3, 4), (6, 9)]);
    assert_eq!(look.damaged, size);
}

proptest! {
    #[test]
    fn nothing_in_a_ring_makes_a_look_fail_or_hang(
        words in proptest::collection::vec((0..600u64, any::<u64>()), 1..8), cut in 0..80_000u64, alive: bool
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_ring, file) = ring(dir.path(), 40);
        for (at, value) in words {
            // The first words of the header, the log's entry, the first frames.
            let at = match at { 0..200 => at % 20 * 8, 200..400 => TABLE as u64 + at % 64 * 8, _ => HEADER as u64 + at % 200 * 8 };
            file.write_all_at(&value.to_ne_bytes(), at).unwrap();
        }
        file.set_len(cut.max(100)).unwrap();
        prop_assert!(look(file.as_fd(), alive).is_ok());
    }
}
