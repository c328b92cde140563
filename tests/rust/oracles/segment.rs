//! Whatever stands beside a segment under its compressed name: the segment is never lost.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use logspool::segment::compress::{Outcome, compress};
use logspool::segment::naming;

use super::compress::{NAME, options};
use super::{Bytes, be_quiet, scratch};

pub fn check(data: &[u8]) {
    be_quiet();
    names(data);
    let mut input = Bytes(data);
    let how = input.u8();
    let len = usize::from(input.u16()).min(input.0.len());
    let (text, rest) = input.0.split_at(len);
    let found = standing(how, text, rest);

    let dir = scratch();
    fs::create_dir(dir.path().join(".logspool")).unwrap();
    let plain = dir.path().join("a.jsonl.000001");
    let packed = dir.path().join("a.jsonl.000001.gz");
    fs::write(&plain, text).unwrap();
    fs::write(&packed, &found).unwrap();
    let logs = File::open(dir.path()).unwrap();
    let own = File::open(dir.path().join(".logspool")).unwrap();
    match compress(logs.as_fd(), own.as_fd(), NAME, 1, &options()) {
        Ok(Outcome::Compressed { .. }) => {
            assert!(!plain.exists());
            let mut back = Vec::new();
            MultiGzDecoder::new(&fs::read(&packed).unwrap()[..])
                .read_to_end(&mut back)
                .expect("what stands for the segment is whole");
            assert_eq!(back, text);
        }
        Ok(other) => panic!("{other:?}"),
        Err(_) => {
            assert_eq!(fs::read(&plain).unwrap(), text);
            assert_eq!(fs::read(&packed).unwrap(), found);
        }
    }
    assert_eq!(
        fs::read_dir(dir.path().join(".logspool")).unwrap().count(),
        0,
        "no temporary file is left"
    );
}

/// What stands under the compressed name: any bytes, or a compressed form of the text, changed or cut.
fn standing(how: u8, text: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut changes = Bytes(rest);
    let mut packed = match how % 4 {
        0 => return rest.to_vec(),
        1 => pack(text),
        2 => [pack(&text[..text.len() / 2]), pack(&text[text.len() / 2..])].concat(),
        _ => [pack(text), changes.take::<8>().to_vec()].concat(),
    };
    if how & 4 != 0 {
        packed.truncate(usize::from(changes.u16()) % (packed.len() + 1));
    }
    while !changes.is_empty() && !packed.is_empty() {
        let at = usize::from(changes.u16()) % packed.len();
        packed[at] = changes.u8();
    }
    packed
}

fn pack(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A name is a segment's only if it is the one we would have given.
fn names(data: &[u8]) {
    let name = "a";
    if let Some(segment) = naming::parse(data, name) {
        assert_eq!(segment.file_name(name).as_bytes(), data);
    }
    if let Ok(name) = std::str::from_utf8(data)
        && naming::check_name(name).is_ok()
    {
        let segment = naming::segment_name(name, 7);
        let parsed = naming::parse(segment.as_bytes(), name).expect("its own segment");
        assert_eq!((parsed.number, parsed.gz), (7, false));
        assert!(naming::check_name(&segment).is_err());
        assert!(!name.contains('/') && segment.len() + 3 <= 255);
    }
}
