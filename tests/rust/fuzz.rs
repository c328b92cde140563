//! The oracles of `tests/fuzz` under proptest, without a fuzzer: on random bytes and on the corpus that the fuzzers found.
#![allow(missing_docs)]

mod oracles;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

/// Each input of the corpus of `target`, in the order of the names.
fn corpus(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
    }
}

macro_rules! oracle {
    ($target:ident, $oracle:ident, $longest:expr) => {
        mod $target {
            use super::*;

            #[test]
            fn holds_for_the_corpus() {
                corpus(stringify!($target), oracles::$oracle::check);
            }

            proptest! {
                #[test]
                fn holds_for_random_bytes(data in vec(any::<u8>(), 0..$longest)) {
                    oracles::$oracle::check(&data);
                }
            }
        }
    };
}

oracle!(ring_reader, ring, 300);
oracle!(frame_parser, frames, 300);
oracle!(state_reader, state, 200);
oracle!(segment_reader, segment, 600);
oracle!(encoder, encoder, 600);
oracle!(compress, compress, 2000);
