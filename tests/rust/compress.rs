//! A closed segment is compressed whole or stays plain, whatever happens in between. # req 25
#![allow(missing_docs)]

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::{GzDecoder, MultiGzDecoder};
use logspool::segment::compress::{
    DEFAULT_LEVEL, Options, Outcome, Step, clean_temporaries, compress,
};

const NAME: &str = "app.jsonl";

struct Log {
    dir: PathBuf,
    _temp: Option<tempfile::TempDir>,
}

impl Log {
    fn new(text: &[u8]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let log = Self {
            dir: temp.path().to_owned(),
            _temp: Some(temp),
        };
        fs::create_dir(log.spool()).unwrap();
        fs::write(log.plain(), text).unwrap();
        log
    }

    fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            _temp: None,
        }
    }

    fn spool(&self) -> PathBuf {
        self.dir.join(".logspool")
    }

    fn plain(&self) -> PathBuf {
        self.dir.join("app.jsonl.000007")
    }

    fn gz(&self) -> PathBuf {
        self.dir.join("app.jsonl.000007.gz")
    }

    fn compress(
        &self,
        checkpoint: &dyn Fn() -> bool,
        on_step: &dyn Fn(Step) -> io::Result<()>,
    ) -> io::Result<Outcome> {
        let (dir, spool) = (
            File::open(&self.dir).unwrap(),
            File::open(self.spool()).unwrap(),
        );
        let opts = Options {
            file_mode: 0o600,
            level: DEFAULT_LEVEL,
            checkpoint,
            on_step: Some(on_step),
        };
        compress(dir.as_fd(), spool.as_fd(), NAME, 7, &opts)
    }

    fn run(&self) -> io::Result<Outcome> {
        self.compress(&|| false, &|_| Ok(()))
    }

    fn temporaries(&self) -> usize {
        fs::read_dir(self.spool()).unwrap().count()
    }

    fn clean(&self) -> u64 {
        clean_temporaries(File::open(self.spool()).unwrap().as_fd(), NAME).unwrap()
    }

    fn unpacked(&self) -> Vec<u8> {
        unpack(&fs::read(self.gz()).unwrap())
    }

    /// The promise: the text is there, in the plain file or in a whole compressed one.
    fn holds(&self, text: &[u8]) -> bool {
        fs::read(self.plain()).map_or_else(|_| self.unpacked() == text, |plain| plain == text)
    }

    fn is_compressed(&self, text: &[u8]) {
        assert!(!self.plain().exists());
        assert!(self.unpacked() == text);
        assert_eq!(self.temporaries(), 0);
    }
}

fn unpack(gz: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    MultiGzDecoder::new(gz).read_to_end(&mut text).unwrap();
    text
}

fn pack(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// `megabytes` of lines of uneven length that do not compress to nothing.
fn lines(megabytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut state = 42_u64;
    while text.len() < megabytes << 20 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let pad = "x".repeat((state >> 55) as usize);
        writeln!(
            text,
            "{{\"ts\":\"2026-11-21T01:17:00Z\",\"id\":\"{state:016x}\",\"pad\":\"{pad}\"}}"
        )
        .unwrap();
    }
    text
}

/// Lengths (packed, text) of the members, following the header's own hints.
fn members(gz: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut rest = gz;
    let mut found = Vec::new();
    while !rest.is_empty() {
        assert_eq!(
            &rest[..4],
            b"\x1f\x8b\x08\x04",
            "a member begins here, with an extra field"
        );
        assert_eq!(&rest[10..16], b"\x0c\0LS\x08\0");
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (packed, text) = (number(16), number(20));
        let mut unpacked = Vec::new();
        GzDecoder::new(&rest[..packed])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked.len(), text);
        found.push((packed, unpacked));
        rest = &rest[packed..];
    }
    found
}

#[test]
fn the_compressed_segment_holds_every_byte_and_any_gzip_reads_it() {
    for text in [
        lines(3),
        Vec::new(),
        b"no newline at the end".to_vec(),
        b"\n".to_vec(),
        vec![0; 70_000],
    ] {
        let log = Log::new(&text);
        let outcome = log.run().unwrap();
        log.is_compressed(&text);
        let bytes_out = fs::metadata(log.gz()).unwrap().len();
        assert_eq!(
            outcome,
            Outcome::Compressed {
                bytes_in: text.len() as u64,
                bytes_out
            }
        );
        let zcat = Command::new("gzip")
            .arg("-dc")
            .arg(log.gz())
            .output()
            .unwrap();
        assert!(
            zcat.status.success() && zcat.stdout == text,
            "{}",
            String::from_utf8_lossy(&zcat.stderr)
        );
    }
}

#[test]
fn members_are_whole_lines_of_about_a_mebibyte_and_can_be_read_alone() {
    let mut text = lines(2);
    text.extend_from_slice(&vec![b'y'; 3 << 20]);
    text.push(b'\n');
    text.extend_from_slice(&lines(2));
    let log = Log::new(&text);
    log.run().unwrap();
    let members = members(&fs::read(log.gz()).unwrap());
    assert_eq!(
        members
            .iter()
            .flat_map(|(_, text)| text.iter().copied())
            .collect::<Vec<u8>>(),
        text
    );
    let (last, full) = members.split_last().unwrap();
    assert!(full.len() >= 3 && !last.1.is_empty());
    for (_, text) in full {
        assert_eq!(text.last(), Some(&b'\n'));
        let long_line = text
            .windows(1 << 20)
            .step_by(4096)
            .any(|w| w.iter().all(|&b| b == b'y'));
        let most = if long_line { 5 << 20 } else { (1 << 20) + 1024 };
        assert!((1 << 20..=most).contains(&text.len()), "{}", text.len());
    }
}

#[test]
fn a_failure_after_any_step_leaves_the_plain_file_or_both_and_no_temporary_file() {
    let text = lines(1);
    for failing in Step::ALL {
        let log = Log::new(&text);
        let fail = |step| {
            if step == failing {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        };
        let error = log.compress(&|| false, &fail).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(
            error.to_string().contains("compress app.jsonl.000007"),
            "{error}"
        );
        assert!(log.holds(&text), "{failing:?}");
        assert_eq!(
            log.plain().exists(),
            failing != Step::SourceUnlinked,
            "{failing:?}"
        );
        assert_eq!(log.temporaries(), 0, "{failing:?}");
        log.run().unwrap();
        log.is_compressed(&text);
    }
}

/// Not a test of its own: the process that `a_kill_…` starts, which kills itself after the step it is told.
#[test]
#[ignore = "run by a_kill_after_any_step_loses_nothing"]
fn killed_child() {
    let Ok(told) = std::env::var("LOGSPOOL_TEST_KILL") else {
        return;
    };
    let (step, dir) = told.split_once(' ').unwrap();
    let kill = |now: Step| -> io::Result<()> {
        if format!("{now:?}") == step {
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
        }
        Ok(())
    };
    // In the middle of writing and of verifying there is no step, but a checkpoint.
    let asked = Cell::new(0);
    let checkpoint = || {
        asked.set(asked.get() + 1);
        kill_at(step, asked.get())
    };
    let _ = Log::at(Path::new(dir)).compress(&checkpoint, &kill);
}

fn kill_at(step: &str, asked: u32) -> bool {
    if step.parse() == Ok(asked) {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .unwrap();
    }
    false
}

#[test]
fn a_kill_after_any_step_loses_nothing() {
    let text = lines(1);
    // 18 questions while writing, about as many while verifying.
    let moments = Step::ALL
        .iter()
        .map(|step| format!("{step:?}"))
        .chain(["10", "25"].map(str::to_owned));
    for moment in moments {
        let log = Log::new(&text);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_child", "--ignored"])
            .env(
                "LOGSPOOL_TEST_KILL",
                format!("{moment} {}", log.dir.display()),
            )
            .output()
            .unwrap()
            .status;
        assert_eq!(status.signal(), Some(9), "{moment}");
        assert!(log.holds(&text), "{moment}");
        let in_the_middle =
            !["SourceOpened", "Renamed", "DirSynced", "SourceUnlinked"].contains(&moment.as_str());
        assert_eq!(log.temporaries(), usize::from(in_the_middle), "{moment}");
        assert_eq!(log.clean(), u64::from(in_the_middle), "{moment}");
        log.run().unwrap();
        log.is_compressed(&text);
    }
}

#[test]
fn a_checkpoint_is_asked_at_least_every_64_kib_and_stopping_leaves_everything_as_it_was() {
    let text = lines(1);
    let log = Log::new(&text);
    let asked = Cell::new(0);
    log.compress(
        &|| {
            asked.set(asked.get() + 1);
            false
        },
        &|_| Ok(()),
    )
    .unwrap();
    let questions: u32 = asked.get();
    assert!(
        questions as usize > 2 * (text.len() / 65_536),
        "{questions}"
    );
    for stop_at in (1..=questions).step_by(11).chain([questions]) {
        let log = Log::new(&text);
        let asked = Cell::new(0);
        let outcome = log.compress(
            &|| {
                asked.set(asked.get() + 1);
                asked.get() == stop_at
            },
            &|_| Ok(()),
        );
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        assert_eq!(fs::read(log.plain()).unwrap(), text);
        assert!(!log.gz().exists());
        assert_eq!(log.temporaries(), 0);
    }
}

#[test]
fn a_finished_file_of_a_killed_run_is_accepted_and_a_damaged_one_made_again() {
    let text = lines(1);
    let whole = pack(&text);
    let damaged = [
        Vec::new(),
        vec![0x1f],
        vec![0; 4096],
        whole[..whole.len() / 2].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        pack(&text[..1000]),
    ];
    for leftover in damaged {
        let log = Log::new(&text);
        fs::write(log.gz(), &leftover).unwrap();
        assert!(matches!(log.run().unwrap(), Outcome::Compressed { .. }));
        log.is_compressed(&text);
    }
    let log = Log::new(&text);
    fs::write(log.gz(), &whole).unwrap();
    let inode = fs::metadata(log.gz()).unwrap().ino();
    log.run().unwrap();
    log.is_compressed(&text);
    assert_eq!(
        fs::metadata(log.gz()).unwrap().ino(),
        inode,
        "accepted, not made again"
    );
}

#[test]
fn a_file_that_holds_something_else_is_never_replaced() {
    let text = lines(1);
    let mut longer = text.clone();
    longer.extend_from_slice(b"one more\n");
    for foreign in [
        pack(b"another log\n"),
        pack(&longer),
        b"not gzip at all".to_vec(),
    ] {
        let log = Log::new(&text);
        fs::write(log.gz(), &foreign).unwrap();
        let error = log.run().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(
            error
                .to_string()
                .contains("app.jsonl.000007.gz already exists"),
            "{error}"
        );
        assert_eq!(fs::read(log.gz()).unwrap(), foreign);
        assert_eq!(fs::read(log.plain()).unwrap(), text);
        assert_eq!(log.temporaries(), 0);
    }
    // One that appears while we work.
    let log = Log::new(&text);
    let appear = |step| {
        if step == Step::Verified {
            fs::write(log.gz(), "late")
        } else {
            Ok(())
        }
    };
    assert_eq!(
        log.compress(&|| false, &appear).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(fs::read(log.gz()).unwrap(), b"late");
    assert!(log.holds(&text));
}

#[test]
fn a_source_that_changes_meanwhile_is_not_removed() {
    let text = lines(1);
    for step in [
        Step::TempCreated,
        Step::TempSynced,
        Step::Renamed,
        Step::DirSynced,
    ] {
        let log = Log::new(&text);
        let append = |now| {
            if now == step {
                File::options()
                    .append(true)
                    .open(log.plain())?
                    .write_all(b"late\n")?;
            }
            Ok(())
        };
        let outcome = log.compress(&|| false, &append);
        if step == Step::DirSynced {
            // After the rename and its fsync comes one more look, then the unlink.
            assert!(outcome.is_err());
        }
        let error = outcome.unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidData,
            "{step:?}: {error}"
        );
        assert!(fs::read(log.plain()).unwrap().ends_with(b"late\n"));
        // The next run takes the longer file.
        let mut longer = text.clone();
        longer.extend_from_slice(b"late\n");
        log.run().unwrap();
        log.is_compressed(&longer);
    }
}

#[test]
fn what_does_not_read_back_as_the_source_is_not_published() {
    let text = lines(1);
    let log = Log::new(&text);
    let damage = |step| {
        if step == Step::TempSynced {
            let temp = fs::read_dir(log.spool())?.next().unwrap()?.path();
            let file = File::options().write(true).open(temp)?;
            std::os::unix::fs::FileExt::write_all_at(&file, b"\xde\xad\xbe\xef", 5_000)?;
        }
        Ok(())
    };
    let error = log.compress(&|| false, &damage).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(!log.gz().exists() && log.holds(&text));
    assert_eq!(log.temporaries(), 0);
}

// # req 84
#[test]
fn the_compressed_file_has_the_mode_asked_for_whatever_the_umask_and_the_time_of_the_source() {
    let log = Log::new(b"line\n");
    let before = fs::metadata(log.plain()).unwrap();
    for mode in [0o600, 0o640, 0o666] {
        fs::write(log.plain(), b"line\n").unwrap();
        let _ = fs::remove_file(log.gz());
        let (dir, spool) = (
            File::open(&log.dir).unwrap(),
            File::open(log.spool()).unwrap(),
        );
        let opts = Options {
            file_mode: mode,
            level: 6,
            checkpoint: &|| false,
            on_step: None,
        };
        let modified = fs::metadata(log.plain()).unwrap().modified().unwrap();
        compress(dir.as_fd(), spool.as_fd(), NAME, 7, &opts).unwrap();
        let after = fs::metadata(log.gz()).unwrap();
        assert_eq!(after.permissions().mode() & 0o7777, mode);
        assert_eq!(after.modified().unwrap(), modified);
        assert_eq!(after.uid(), before.uid());
    }
}

#[test]
fn only_stale_temporary_files_of_this_log_are_cleaned() {
    let log = Log::new(b"line\n");
    let in_use = Cell::new(None);
    let look = |step| {
        if step == Step::TempWritten {
            in_use.set(Some(log.clean()));
        }
        Ok(())
    };
    let foreign = [
        "gz.tmp",
        "gz.0123456789abcdef.7.0123456789abcdef.tmp",
        "app.jsonl.gzlock",
        "x.ring",
        "note.tmp",
    ];
    for name in foreign {
        fs::write(log.spool().join(name), "").unwrap();
    }
    log.compress(&|| false, &look).unwrap();
    assert_eq!(in_use.get(), Some(0), "a temporary file in use is locked");
    assert_eq!(log.clean(), 0);
    assert_eq!(log.temporaries(), foreign.len());
}

#[test]
fn a_missing_segment_is_no_error_and_a_foreign_kind_of_file_is_left_alone() {
    let log = Log::new(b"line\n");
    fs::remove_file(log.plain()).unwrap();
    assert_eq!(log.run().unwrap(), Outcome::Gone);
    fs::create_dir(log.plain()).unwrap();
    assert!(
        log.run()
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
    fs::remove_dir(log.plain()).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", log.plain()).unwrap();
    log.run().unwrap_err();
    assert!(log.plain().is_symlink());
}
