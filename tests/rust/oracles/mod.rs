//! What must hold for any bytes: the same functions run under cargo-fuzz (`tests/fuzz`) and under proptest
//! (`tests/rust/fuzz.rs`). Each takes the fuzzer's bytes and panics where a promise is broken.
#![allow(dead_code)] // Each fuzz target uses one of them.

pub mod compress;
pub mod encoder;
pub mod frames;
pub mod ring;
pub mod segment;
pub mod state;

use std::path::Path;

/// The fuzzer's bytes, taken from the front; zeros when they are used up.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let n = N.min(self.0.len());
        taken[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        taken
    }

    pub fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// A word as damage makes them: any, or one at the edge of something.
    pub fn odd_word(&mut self, before: u64) -> u64 {
        match self.u8() % 10 {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX - u64::from(self.u8()),
            3 => 1 << (self.u8() % 64),
            4 => before.wrapping_add(u64::from(self.u8())),
            5 => before.wrapping_sub(u64::from(self.u8())),
            6 => before ^ 1 << (self.u8() % 64),
            7 => u64::from(self.u8()),
            8 => u64::from(self.u16()),
            _ => self.u64(),
        }
    }
}

/// A directory in memory.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a scratch directory")
}

/// Nothing is said on standard error, which would go on for ever.
pub fn be_quiet() {
    logspool::failpoint::crash::switch(&["quiet", "sparse", "no-backoff"]);
}

/// What the segments of `log` hold, in order.
pub fn text_of(dir: &Path, log: &str) -> Vec<u8> {
    let mut segments: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap())
        .filter_map(|e| {
            let name = e.file_name();
            let parsed = logspool::segment::naming::parse(name.as_encoded_bytes(), log)?;
            Some((parsed.number, e.path()))
        })
        .collect();
    segments.sort();
    segments
        .into_iter()
        .flat_map(|(_, path)| std::fs::read(path).unwrap())
        .collect()
}
