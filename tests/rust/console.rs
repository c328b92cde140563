//! The mirror to standard error never makes a caller wait, and counts what it does not show. # req 8
#![allow(missing_docs, unsafe_code)]

use std::fs::File;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use logspool::console::{Console, ConsoleStats};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};

/// Far more than anything here needs; only a failing test waits that long.
const LONG: Duration = Duration::from_mins(1);

const INFO: i32 = 20;
const ERROR: i32 = 40;

/// Waits until `condition` holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn send_all(console: &Console, lines: usize, line: &[u8]) {
    for _ in 0..lines {
        until("a place in the queue", || {
            console.send(line.to_vec(), ERROR)
        });
    }
}

/// All that comes out of the pipe until it is closed.
fn reader(mut from: PipeReader) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        sender.send(text).unwrap();
    });
    receiver
}

#[test]
fn lines_come_out_whole_in_order_and_are_counted() {
    let (from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    drop(to);
    let text = reader(from);
    for number in 0..500 {
        // Some longer than one write may be, some without their newline, some of several lines.
        let line = format!(
            "{number} {}\n  at é{}",
            "é".repeat(number * 7),
            if number % 2 == 0 { "\n" } else { "" }
        );
        assert!(console.send(line.into_bytes(), INFO));
    }
    assert!(console.drain(LONG));
    assert_eq!(
        console.stats(),
        ConsoleStats {
            written: 500,
            dropped: 0
        }
    );
    assert!(console.pause(LONG));
    drop(console);
    let text = text.recv_timeout(LONG).unwrap();
    let expected: String = (0..500)
        .map(|n| format!("{n} {}\n      at é\n", "é".repeat(n * 7)))
        .collect::<Vec<_>>()
        .concat();
    assert!(
        text == expected,
        "{} bytes of {}",
        text.len(),
        expected.len()
    );
}

#[test]
fn a_reader_that_stops_stalls_nobody_and_is_told_what_it_missed() {
    let (mut from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    // Three pieces each: the pipe's sixteen pages fill up in the middle of a line.
    let line = vec![b'x'; 9000];
    // More than the pipe and the queue hold: send() comes back each time, and the thread gives every line up in bounded time.
    let mut accepted = 0;
    for _ in 0..3000 {
        accepted += u64::from(console.send(line.clone(), INFO));
    }
    until("every line is written or dropped", || {
        let stats = console.stats();
        stats.written + stats.dropped == 3000
    });
    let stats = console.stats();
    assert!(
        stats.dropped >= 3000 - accepted && stats.dropped > 0 && stats.written > 0,
        "{stats:?}"
    );

    let mut seen = vec![0; 1 << 20];
    let mut text = Vec::new();
    let told = "lines not shown here: ";
    send_all(&console, 1, b"after\n");
    until("the notice and the line after it", || {
        let read = from.read(&mut seen).unwrap();
        text.extend_from_slice(&seen[..read]);
        if !text.ends_with(b"after\n") {
            // The reader may have been too late for it once more.
            let _ = console.send(b"after\n".to_vec(), ERROR);
        }
        text.ends_with(b"after\n")
    });
    let text = String::from_utf8(text).unwrap();
    let mut missing = 0;
    for line in text.lines().filter(|line| line.contains(told)) {
        // A line that was cut does not run into the notice.
        assert!(line.starts_with("[logspool: "), "{line}");
        let (_, count) = line.split_once(told).unwrap();
        missing += count.split(';').next().unwrap().parse::<u64>().unwrap();
    }
    assert!(missing >= stats.dropped, "{missing} {stats:?}");
    assert!(
        missing <= console.stats().dropped,
        "{missing} {:?}",
        console.stats()
    );
}

#[test]
fn errors_have_places_in_the_queue_that_others_may_not_take() {
    let (_from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    // Lines larger than the pipe: the thread is busy waiting with the first.
    let line = vec![b'x'; 1 << 20];
    until("no place for INFO", || !console.send(line.clone(), INFO));
    assert!(console.send(line, ERROR));
}

#[test]
fn a_closed_reader_costs_lines_and_nothing_else() {
    let (from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    drop(from);
    // SIGPIPE would end this process, were it not blocked in the thread (the Rust runtime ignores it; an embedder may not).
    send_all(&console, 10, b"lost\n");
    assert!(console.drain(LONG));
    assert_eq!(
        console.stats(),
        ConsoleStats {
            written: 0,
            dropped: 10
        }
    );
}

#[cfg(target_os = "linux")] // looks through /proc
#[test]
fn the_shared_descriptor_keeps_its_flags_and_ours_is_closed_on_exec() {
    let (from, to) = pipe().unwrap();
    let before = fcntl_getfl(&to).unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    let text = reader(from);
    assert!(console.send(b"line".to_vec(), INFO) && console.drain(LONG));
    assert_eq!(fcntl_getfl(&to).unwrap(), before);
    assert!(!before.contains(OFlags::NONBLOCK));
    let inode = rustix::fs::fstat(&to).unwrap().st_ino;
    let mut duplicates = 0;
    for fd in 3..512 {
        // Through /proc, so that no foreign descriptor is touched.
        let Ok(file) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else {
            continue;
        };
        if file.to_string_lossy() == format!("pipe:[{inode}]") && fd != to.as_raw_fd() {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let flags = info
                .lines()
                .find_map(|l| l.strip_prefix("flags:"))
                .unwrap()
                .trim()
                .to_owned();
            let flags = u32::from_str_radix(&flags, 8).unwrap();
            // The writing end: of ours there is one duplicate, closed on exec (0o2000000).
            if flags & 0o3 == 1 {
                assert_ne!(flags & 0o2_000_000, 0);
                duplicates += 1;
            }
        }
    }
    assert_eq!(duplicates, 1);
    assert!(fcntl_getfd(&to).unwrap().contains(FdFlags::CLOEXEC));
    drop((console, to));
    assert_eq!(text.recv_timeout(LONG).unwrap(), "line\n");
}

#[cfg(target_os = "linux")] // looks through /proc
#[test]
fn what_a_terminal_would_obey_is_shown_as_text() {
    let file = tempfile::tempfile().unwrap();
    let console = Console::on(file.as_fd()).unwrap();
    assert!(console.send("a\x1b[2J\u{202e}b\rc\td".as_bytes().to_vec(), INFO));
    assert!(console.drain(LONG));
    let mut text = String::new();
    let mut again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    again.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a\\x1b[2J\\u202eb\\x0dc\td\n");
}

#[test]
fn a_paused_mirror_has_no_thread_and_the_next_line_starts_one() {
    let (from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    drop(to);
    let text = reader(from);
    for round in 0..50 {
        assert!(console.send(format!("{round}").into_bytes(), INFO));
        assert!(console.pause(LONG));
    }
    assert!(console.pause(LONG), "twice is no harm");
    assert!(console.drain(LONG));
    assert_eq!(console.stats().written, 50);
    drop(console);
    let expected: String = (0..50)
        .map(|round| format!("{round}\n"))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(
        text.recv_timeout(LONG).unwrap(),
        expected,
        "dropping it lets the descriptor go"
    );
}

#[test]
fn drain_says_when_its_time_was_not_enough() {
    let (_from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    let line = vec![b'x'; 1 << 20];
    assert!(console.send(line.clone(), INFO) && console.send(line, INFO));
    assert!(!console.drain(Duration::ZERO));
    assert!(console.drain(LONG), "lines that nobody reads are given up");
    assert_eq!(
        console.stats(),
        ConsoleStats {
            written: 0,
            dropped: 2
        }
    );
}

#[test]
fn a_descriptor_that_cannot_be_written_costs_lines_and_nothing_else() {
    let (from, _to) = pipe().unwrap();
    let console = Console::on(from.as_fd()).unwrap();
    assert!(console.send(b"x".to_vec(), INFO));
    assert!(console.drain(LONG));
    assert_eq!(
        console.stats(),
        ConsoleStats {
            written: 0,
            dropped: 1
        }
    );
}

#[cfg(target_os = "linux")] // looks through /proc
#[test]
fn a_descriptor_number_that_has_become_someone_elses_file_is_not_written_to_nor_closed() {
    let (_from, to) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    let inode = rustix::fs::fstat(&to).unwrap().st_ino;
    let ours = (3..512)
        .find(|&fd| {
            let file = std::fs::read_link(format!("/proc/self/fd/{fd}"));
            fd > to.as_raw_fd()
                && file.is_ok_and(|file| file.to_string_lossy() == format!("pipe:[{inode}]"))
        })
        .expect("the duplicate");
    let foreign = tempfile::tempfile().unwrap();
    // SAFETY: `ours` is a descriptor of this process; its owner is the one that must notice.
    assert_eq!(unsafe { libc::dup2(foreign.as_raw_fd(), ours) }, ours);
    assert!(console.send(b"not for this file\n".to_vec(), ERROR));
    assert!(console.drain(LONG));
    assert_eq!(foreign.metadata().unwrap().len(), 0);
    assert_eq!(console.stats().dropped, 1);
    assert!(console.pause(LONG));
    drop(console);
    assert!(std::fs::exists(format!("/proc/self/fd/{ours}")).unwrap());
}

#[test]
fn a_forked_child_that_abandons_the_mirror_does_not_keep_the_descriptor_open() {
    let (mut from, to) = pipe().unwrap();
    let (wait, release) = pipe().unwrap();
    let console = Console::on(to.as_fd()).unwrap();
    // SAFETY: the child makes only system calls on descriptors, then `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        console.abandon();
        // SAFETY: as above; `to` and `release` are the child's copies, which nothing uses after this.
        unsafe {
            libc::close(to.as_raw_fd());
            libc::close(release.as_raw_fd());
        }
        let _ = rustix::io::read(&wait, &mut [0_u8; 1]);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    drop((console, to));
    // The end comes while the child still lives: it waits for `release`.
    assert_eq!(from.read(&mut [0]).unwrap(), 0);
    drop(release);
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}
